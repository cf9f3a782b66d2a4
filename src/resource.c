/* SPDX-License-Identifier: MIT */
/* resource.c - see resource.h. The pins of a loop lie in a table on its shelf. */
#include "resource.h"

#include "wait.h"

void *asy_resource_box(lua_State *L, asy_State *S, asy_Slot slot, size_t size, int nuv) {
  if (asy_wait_state_closes(S)) luaL_error(L, "the Lua state is closing");
  return asy_type_create(L, S, slot, size, nuv);
}

void asy_resource_pin(lua_State *L, asy_Loop *loop, const void *key) {
  luaL_checkstack(L, 3, NULL);
  asy_shelf_push(L, loop->shelf, ASY_LOOP_PINS);
  lua_insert(L, -2);
  lua_rawsetp(L, -2, key);
  lua_pop(L, 1);
}

void asy_resource_push_pinned(lua_State *L, asy_Loop *loop, const void *key) {
  asy_shelf_push(L, loop->shelf, ASY_LOOP_PINS);
  lua_rawgetp(L, -1, key);
  lua_replace(L, -2);
}

void asy_resource_unpin(lua_State *L, asy_Loop *loop, const void *key) {
  asy_shelf_push(L, loop->shelf, ASY_LOOP_PINS);
  lua_pushnil(L);
  lua_rawsetp(L, -2, key); /* nil is never inserted: no memory is needed */
  lua_pop(L, 1);
}

int asy_resource_keep(lua_State *L, asy_Loop *loop) {
  luaL_checkstack(L, 3, NULL);
  asy_shelf_push(L, loop->shelf, ASY_LOOP_PINS);
  lua_insert(L, -2);
  int number = luaL_ref(L, -2);
  lua_pop(L, 1);
  return number;
}

void asy_resource_exchange(lua_State *L, asy_Loop *loop, int number) {
  asy_shelf_push(L, loop->shelf, ASY_LOOP_PINS);
  lua_insert(L, -2);
  lua_rawseti(L, -2, number); /* it exists: no memory is needed */
  lua_pop(L, 1);
}

void asy_resource_push_kept(lua_State *L, asy_Loop *loop, int number) {
  asy_shelf_push(L, loop->shelf, ASY_LOOP_PINS);
  lua_rawgeti(L, -1, number);
  lua_replace(L, -2);
}

void asy_resource_let_go(lua_State *L, asy_Loop *loop, int number) {
  if (!number) return;
  asy_shelf_push(L, loop->shelf, ASY_LOOP_PINS);
  luaL_unref(L, -1, number);
  lua_pop(L, 1);
}

void asy_resource_open(lua_State *L, asy_State *S) {
  (void)L;
  (void)S;
}
