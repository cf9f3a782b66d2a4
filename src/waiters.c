/* SPDX-License-Identifier: MIT */
/* waiters.c - see waiters.h. */
#include "waiters.h"

bool asy_waiters_wake_next(asy_Waiters *waiters) {
  for (asy_Link *link; (link = asy_list_take(&waiters->parked));) {
    if (!asy_wait_wake(asy_waiters_wait(link))) continue;
    asy_list_append(&waiters->woken, link);
    return true;
  }
  return false;
}

void asy_waiters_wake_all(asy_Waiters *waiters) {
  while (asy_waiters_wake_next(waiters))
    continue;
}

bool asy_waiters_any(const asy_List *list) {
  for (asy_Link *link = asy_list_first(list); link; link = asy_list_next(list, link))
    if (asy_waiters_wait(link)->state != ASY_WAIT_CANCELLED) return true;
  return false;
}

int asy_waiters_count(const asy_List *list) {
  int n = 0;
  for (asy_Link *link = asy_list_first(list); link; link = asy_list_next(list, link))
    n++;
  return n;
}

void asy_waiters_bind(lua_State *L, int idx, asy_Loop **owner, asy_Loop *loop) {
  if (*owner == loop) return;
  if (*owner) luaL_error(L, "%s is bound to a different event loop", luaL_tolstring(L, idx, NULL));
  idx = lua_absindex(L, idx);
  asy_shelf_push(L, loop->shelf, ASY_LOOP_SELF);
  lua_setiuservalue(L, idx, ASY_WAITERS_LOOP);
  *owner = loop;
}

void asy_waiters_push_string(lua_State *L, const char *state, int waiters) {
  luaL_getmetafield(L, 1, "__name");
  const char *name = lua_tostring(L, -1);
  if (waiters)
    lua_pushfstring(L, "<%s %p [%s, waiters:%d]>", name, lua_topointer(L, 1), state, waiters);
  else
    lua_pushfstring(L, "<%s %p [%s]>", name, lua_topointer(L, 1), state);
  lua_replace(L, -2);
}
