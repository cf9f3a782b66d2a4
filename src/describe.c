/* SPDX-License-Identifier: MIT */
/* describe.c - see describe.h. */
#include "describe.h"

#include "name.h"

/* Push the traceback of the pending task at idx: of the coroutine in which it waits, then of its
 * own thread. */
static void describe_push_stack(lua_State *L, asy_Task *task) {
  asy_Wait *w = &task->wait;
  bool inner = w->kind && w->parked && w->parked != w->co && lua_status(w->parked) == LUA_YIELD;
  if (inner) {
    luaL_traceback(L, w->parked, NULL, 0);
    luaL_traceback(L, w->co, lua_tostring(L, -1), 0);
    lua_remove(L, -2);
  } else {
    luaL_traceback(L, w->co, NULL, w->co == L ? 1 : 0);
  }
}

/***
The task's stack as text: where it waits, or where the error was raised.
@function Task:traceback
@treturn ?string nil for a task that has finished or was cancelled
@waits no
@raise argument error
@usage assert(asyncio.current_task():traceback():match "stack traceback")
@see asyncio-task.html#asyncio.Task.get_stack
*/
static int describe_traceback(lua_State *L) {
  asy_Task *task = asy_task_check(L, 1);
  lua_settop(L, 1);
  if (task->wait.co)
    describe_push_stack(L, task);
  else
    asy_future_push_traceback(L, 1, &task->fut);
  if (lua_isnil(L, 2)) return 1;
  asy_extra_get(L, asy_state(L), 1, "created");
  if (lua_isstring(L, 3))
    lua_pushfstring(L, "%s\nthe task was created here:\n%s", lua_tostring(L, 2),
                    lua_tostring(L, 3));
  else
    lua_pop(L, 1);
  return 1;
}

/* Push "file:line" where the pending task's own function is now, or where it is defined. */
static const char *describe_push_line(lua_State *L, asy_Task *task, int fn) {
  lua_Debug ar, lowest;
  bool found = false;
  if (task->wait.co && task->wait.started) {
    for (int level = 0; lua_getstack(task->wait.co, level, &ar); level++) {
      lua_getinfo(task->wait.co, "Sl", &ar);
      if (ar.currentline <= 0) continue;
      lowest = ar;
      found = true;
    }
    if (found) return lua_pushfstring(L, "%s:%d", lowest.short_src, lowest.currentline);
  }
  if (!lua_isfunction(L, fn)) return lua_pushliteral(L, "?");
  lua_pushvalue(L, fn);
  lua_getinfo(L, ">S", &ar);
  if (ar.linedefined <= 0) return lua_pushstring(L, ar.short_src);
  return lua_pushfstring(L, "%s:%d", ar.short_src, ar.linedefined);
}

/* Push "Task pending name='Task-1' coro=<f() running at x.lua:1>" for the Task at idx. */
static void describe_push_head(lua_State *L, int idx, asy_Task *task) {
  static const char *const states[] = {"pending", "finished", "finished", "cancelled"};
  const char *state =
      task->fut.state == ASY_PENDING && task->cancels > 0 ? "cancelling" : states[task->fut.state];
  int top = lua_gettop(L);
  asy_task_push_name(L, idx, task);
  asy_task_push_function(L, idx, task);
  asy_name_push(L, top + 2);
  describe_push_line(L, task, top + 2);
  lua_pushfstring(L, "Task %s name='%s' coro=<%s() %s %s>", state, lua_tostring(L, top + 1),
                  lua_tostring(L, top + 3),
                  asy_future_is_done(&task->fut) ? "done, defined at" : "running at",
                  lua_tostring(L, top + 4));
  lua_replace(L, top + 1);
  lua_settop(L, top + 1);
}

/* Push " wait_for=<...>" if the task awaits a future, else "". What a task that is awaited awaits
 * in its turn is left out: the chain may be long, or a ring. */
static void describe_push_awaited(lua_State *L, asy_Task *task) {
  asy_Wait *w = &task->wait;
  if (asy_future_is_done(&task->fut) || w->state != ASY_WAIT_PARKED || !asy_future_awaited(w)) {
    lua_pushliteral(L, "");
    return;
  }
  asy_Future *awaited = w->on;
  int top = lua_gettop(L);
  asy_wait_push_kept(L, w);
  if (lua_touserdata(L, -1) != awaited)
    lua_pushfstring(L, "%s at %p", awaited->is_task ? "Task" : "Future", (void *)awaited);
  else if (awaited->is_task)
    describe_push_head(L, top + 1, (asy_Task *)(void *)awaited);
  else
    asy_future_push_shown(L, top + 1, awaited);
  lua_pushfstring(L, " wait_for=<%s>", lua_tostring(L, -1));
  lua_replace(L, top + 1);
  lua_settop(L, top + 1);
}

static int describe_tostring(lua_State *L) {
  asy_Task *task = asy_task_check(L, 1);
  lua_settop(L, 1);
  describe_push_head(L, 1, task);
  describe_push_awaited(L, task);
  asy_future_push_callbacks(L, 1, &task->fut);
  asy_future_push_outcome(L, 1, &task->fut);
  lua_pushfstring(L, "<%s%s%s%s>", lua_tostring(L, 2), lua_tostring(L, 3), lua_tostring(L, 4),
                  lua_tostring(L, 5));
  return 1;
}

/***
Write the task and its stack to stderr.
@function Task:print_stack
@return nothing
@waits no
@raise argument error
@usage if false then asyncio.current_task():print_stack() end
@see asyncio-task.html#asyncio.Task.print_stack
*/
static int describe_print_stack(lua_State *L) {
  asy_Task *task = asy_task_check(L, 1);
  describe_tostring(L);
  lua_replace(L, 2);
  lua_settop(L, 2);
  if (task->wait.co)
    describe_push_stack(L, task);
  else
    asy_future_push_traceback(L, 1, &task->fut);
  lua_writestringerror("%s\n", lua_tostring(L, 2));
  if (lua_isstring(L, 3)) lua_writestringerror("%s\n", lua_tostring(L, 3));
  return 0;
}

void asy_describe_open(lua_State *L, asy_State *S) {
  static const luaL_Reg methods[] = {{"traceback", describe_traceback},
                                     {"print_stack", describe_print_stack},
                                     {"__tostring", describe_tostring},
                                     {NULL, NULL}};
  asy_type_add(L, S, ASY_SLOT_TASK, methods);
}
