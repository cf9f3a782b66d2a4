/* SPDX-License-Identifier: MIT */
/* deadlock.c - the report of a program that waits for what can never come. When to make it is
 * loop.c's business. */
#include "deadlock.h"

#include "error.h"
#include "name.h"

/* So many tasks have a line of their own in the report, and the main one; error.tasks has all. */
#define DEADLOCK_SHOWN 50

/* Push " at file:line" of the Lua code that waits in a thread; false, and nothing, if there is
 * none. [-0, +(0|1), m] */
static bool deadlock_push_line(lua_State *L, lua_State *co) {
  lua_Debug ar;
  for (int level = 0; co && lua_getstack(co, level, &ar); level++) {
    lua_getinfo(co, "Sl", &ar);
    if (ar.currentline <= 0) continue;
    lua_pushfstring(L, " at %s:%d", ar.short_src, ar.currentline);
    return true;
  }
  return false;
}

/* Push where a task waits. One that is a C function has no line of its own: a wait at top level has
 * that of its caller. [-0, +1, m] */
static void deadlock_push_place(lua_State *L, asy_Task *task, bool is_main) {
  asy_Wait *w = &task->wait;
  if (deadlock_push_line(L, w->parked) || deadlock_push_line(L, w->co) ||
      (is_main && deadlock_push_line(L, L)))
    return;
  asy_task_push(L, task);
  asy_task_push_function(L, -1, task);
  lua_pushfstring(L, " in %s()", asy_name_push(L, -1));
  lua_replace(L, -4);
  lua_pop(L, 2);
}

/* Push what a task waits for: the name of another task, or the kind of thing. [-0, +1, m] */
static const char *deadlock_push_what(lua_State *L, asy_Wait *w) {
  if (!w->kind) return lua_pushliteral(L, "nothing");
  if (asy_future_awaited(w) && ((asy_Future *)w->on)->is_task) {
    asy_wait_push_kept(L, w);
    asy_task_push_name(L, lua_gettop(L), w->on);
    lua_remove(L, -2);
    return lua_tostring(L, -1);
  }
  return lua_pushfstring(L, "%s %p", w->kind->what, w->on);
}

void asy_deadlock_push(lua_State *L, asy_Loop *loop, const asy_Task *main) {
  luaL_checkstack(L, LUA_MINSTACK, NULL);
  asy_task_push_all(L, loop);
  int list = lua_gettop(L);
  lua_pushliteral(L, "deadlock: nothing can wake the main task any more");
  lua_Integer n = (lua_Integer)lua_rawlen(L, list), hidden = 0;
  for (lua_Integer i = 1; i <= n; i++) {
    lua_rawgeti(L, list, i);
    asy_Task *task = lua_touserdata(L, -1);
    if (!task || (i > DEADLOCK_SHOWN && task != main)) {
      hidden += task != NULL;
      lua_pop(L, 1);
      continue;
    }
    const char *name = asy_task_push_name(L, list + 2, task);
    const char *what = deadlock_push_what(L, &task->wait);
    deadlock_push_place(L, task, task == main);
    lua_pushfstring(L, "%s\n  %s waits for %s%s", lua_tostring(L, list + 1), name, what,
                    lua_tostring(L, -1));
    lua_replace(L, list + 1);
    lua_settop(L, list + 1);
  }
  if (hidden) {
    lua_pushfstring(L, "%s\n  and %I more (see the field tasks)", lua_tostring(L, -1),
                    (LUAI_UACINT)hidden);
    lua_replace(L, list + 1);
  }
  asy_error_wrap(L, loop->S, ASY_DEADLOCK_ERROR);
  lua_insert(L, list);
  lua_setfield(L, list, "tasks");
}
