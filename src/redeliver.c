/* SPDX-License-Identifier: MIT */
/* redeliver.c - cancelling again what has swallowed its cancellation.
 *
 * Lua's pcall catches a cancellation as easily as any error. While a Runner shuts down, a task that
 * swallowed it and waits again gets it again, a turn later; while a TaskGroup shuts down, when it
 * has waited a thousand times more: asyncio does not do that, and an ordinary program that catches
 * a cancellation to go on for a while shall see no difference. After 100 times the task is
 * reported, abandoned and closed. A wait in a __close handler while the error is still on its way
 * is cleanup: it is left alone. */
#include "redeliver.h"

#include "error.h"

#define REDELIVER_MOST 100
#define REDELIVER_PATIENCE 1000 /* waits of a group's child, before the first time */
#define REDELIVER_STEP 10       /* and from time to time */

/* It has waited again since its last cancellation, and no error is on its way in it. It need not be
 * suspended for long: `while true do pcall(asyncio.sleep, 0) end` is always woken already. */
bool asy_redeliver_is_due(const asy_Task *task) {
  const asy_Wait *w = &task->wait;
  if (w->state == ASY_WAIT_NONE || w->state == ASY_WAIT_CANCELLED || w->must_cancel) return false;
  return w->parks != task->cancelled_at && !asy_wait_unwinds(w);
}

/* Push the stack of the task at idx as text. */
static void redeliver_push_stack(lua_State *L, int idx) {
  lua_getfield(L, idx, "traceback");
  lua_pushvalue(L, idx);
  lua_call(L, 1, 1);
}

/* [1] = task: remember where the last cancellation is raised, for the report. */
static int redeliver_note_place(lua_State *L) {
  redeliver_push_stack(L, 1);
  asy_extra_set(L, asy_state_from_registry(L), 1, "swallowed");
  return 0;
}

/* [1] = task: report that it ignores its cancellation. */
static int redeliver_report(lua_State *L) {
  asy_Task *task = lua_touserdata(L, 1);
  lua_pushnil(L);
  redeliver_push_stack(L, 1);
  asy_extra_get(L, task->fut.loop->S, 1, "swallowed");
  lua_pushfstring(L, "%s\nits last cancellation was raised here:\n%s", luaL_tolstring(L, 3, NULL),
                  luaL_tolstring(L, 4, NULL));
  lua_replace(L, 3);
  lua_settop(L, 3);
  asy_error_report(L, task->fut.loop,
                   "task swallowed its cancellation 100 times and still waits; it is abandoned",
                   "task", 1);
  return 0;
}

static void redeliver_call(lua_State *L, asy_Task *task, lua_CFunction f) {
  lua_pushcfunction(L, f);
  asy_task_push(L, task);
  if (lua_pcall(L, 1, 0, 0) != LUA_OK) lua_pop(L, 1);
}

bool asy_redeliver(lua_State *L, asy_Task *task) {
  if (task->deliveries >= REDELIVER_MOST) {
    redeliver_call(L, task, redeliver_report);
    asy_task_close(L, task);
    return false;
  }
  if (++task->deliveries == REDELIVER_MOST) redeliver_call(L, task, redeliver_note_place);
  asy_task_cancel(L, task, 0);
  return true;
}

void asy_redeliver_watch(asy_Task *task) {
  task->wait.limit = task->wait.parks + REDELIVER_PATIENCE;
}

/* S->overdue: the task has waited as often as asy_redeliver_watch allows, and has just begun to
 * wait again. False if it is closed now. */
static bool redeliver_overdue(lua_State *L, asy_Wait *w) {
  asy_Task *task = ASY_TASK_OF_WAIT(w);
  bool due = task->cancels > 0 && asy_redeliver_is_due(task);
  w->limit = w->parks + (due ? REDELIVER_STEP : REDELIVER_PATIENCE);
  return !due || asy_redeliver(L, task);
}

void asy_redeliver_open(lua_State *L, asy_State *S) {
  (void)L;
  S->overdue = redeliver_overdue;
}
