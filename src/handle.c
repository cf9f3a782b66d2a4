/* SPDX-License-Identifier: MIT */
/* handle.c - the handles of call_soon, call_later, call_at and done callbacks; and sleep.
 *
 * A handle in the ready queue is kept alive by the loop's ring, one in the heap by ASY_LOOP_TIMERS,
 * one among the callbacks of a pending future by the ring in that future. Moving it from one to the
 * other needs no memory, so that what is due or complete can never be lost. Handles run in the
 * order of their ring, which is that of the ready queue. */
#include "handle.h"

#include "context.h"
#include "error.h"
#include "name.h"

/* ---- rings */

void asy_ring_add(lua_State *L) {
  if (lua_isnil(L, -1)) {
    lua_pop(L, 1);
    lua_pushvalue(L, -1);
    lua_setiuservalue(L, -2, ASY_HANDLE_NEXT);
    return;
  }
  lua_getiuservalue(L, -1, ASY_HANDLE_NEXT); /* handle, newest, oldest */
  lua_setiuservalue(L, -3, ASY_HANDLE_NEXT);
  lua_pushvalue(L, -2); /* handle, newest, handle */
  lua_setiuservalue(L, -2, ASY_HANDLE_NEXT);
  lua_pop(L, 1);
}

void asy_ring_join(lua_State *L) {
  if (lua_isnil(L, -1)) {
    lua_pop(L, 1);
    return;
  }
  if (!lua_isnil(L, -2)) {
    lua_getiuservalue(L, -2, ASY_HANDLE_NEXT);
    lua_getiuservalue(L, -2, ASY_HANDLE_NEXT); /* lower, upper, lower's oldest, upper's oldest */
    lua_setiuservalue(L, -4, ASY_HANDLE_NEXT);
    lua_setiuservalue(L, -2, ASY_HANDLE_NEXT);
  }
  lua_remove(L, -2);
}

/* Take the oldest handle, which the caller knows, out of the loop's ring and push it; on the shelf,
 * for moving values to and fro would cost as much again. [-0, +1, -] */
static void ring_take(lua_State *L, asy_Loop *loop, const asy_Handle *oldest) {
  lua_State *shelf = loop->shelf;
  bool alone = lua_touserdata(shelf, ASY_LOOP_RING) == oldest;
  lua_getiuservalue(shelf, ASY_LOOP_RING, ASY_HANDLE_NEXT);
  if (alone) {
    lua_pushnil(shelf);
    lua_replace(shelf, ASY_LOOP_RING);
  } else {
    lua_getiuservalue(shelf, -1, ASY_HANDLE_NEXT);
    lua_setiuservalue(shelf, ASY_LOOP_RING, ASY_HANDLE_NEXT);
  }
  lua_pushnil(shelf); /* what has run keeps nothing alive */
  lua_setiuservalue(shelf, -2, ASY_HANDLE_NEXT);
  lua_xmove(shelf, L, 1);
}

/* Put the handle on top into the loop's ring, as its newest. [-1, +0, -] */
static void ring_put(lua_State *L, asy_Loop *loop) {
  lua_State *shelf = loop->shelf;
  lua_xmove(L, shelf, 1);
  if (lua_isnil(shelf, ASY_LOOP_RING)) {
    lua_pushvalue(shelf, -1);
  } else {
    lua_getiuservalue(shelf, ASY_LOOP_RING, ASY_HANDLE_NEXT);
    lua_pushvalue(shelf, -2);
    lua_setiuservalue(shelf, ASY_LOOP_RING, ASY_HANDLE_NEXT);
  }
  lua_setiuservalue(shelf, -2, ASY_HANDLE_NEXT); /* to the oldest */
  lua_replace(shelf, ASY_LOOP_RING);
}

void asy_ring_keep(lua_State *L, asy_Loop *loop) {
  asy_shelf_push(L, loop->shelf, ASY_LOOP_RING);
  lua_insert(L, -2);
  asy_ring_join(L);
  asy_shelf_set(L, loop->shelf, ASY_LOOP_RING);
}

/* ---- handles */

void asy_handle_call(lua_State *L, asy_Loop *loop, asy_Handle *handle) {
  asy_State *S = loop->S;
  int idx = lua_gettop(L);
  if (!lua_checkstack(L, handle->nargs + LUA_MINSTACK)) {
    lua_writestringerror("asyncio: %s\n", "stack overflow before a callback");
    return;
  }
  lua_pushvalue(L, idx);
  asy_shelf_set(L, loop->shelf, ASY_LOOP_CALLBACK);
  S->callback = loop;
  for (int i = 0; i <= handle->nargs; i++)
    lua_getiuservalue(L, idx, ASY_HANDLE_FUNCTION + i);
  asy_error_call(L, loop, handle->nargs, "exception in callback", "handle", idx);
  S->callback = NULL;
  lua_pushnil(L);
  asy_shelf_set(L, loop->shelf, ASY_LOOP_CALLBACK);
}

void asy_handle_run(lua_State *L, asy_Loop *loop, asy_Ready *entry) {
  asy_Handle *handle = ASY_CONTAINER(entry, asy_Handle, entry);
  ring_take(L, loop, handle);
  if (!handle->cancelled) asy_handle_call(L, loop, handle);
  lua_pop(L, 1);
}

/* A TimerHandle is due: from the timers' list to the ring. */
static void handle_due(lua_State *L, asy_Loop *loop, asy_Timer *timer) {
  asy_Handle *handle = ASY_CONTAINER(timer, asy_Handle, timer);
  lua_rawgeti(loop->shelf, ASY_LOOP_TIMERS, handle->slot);
  lua_xmove(loop->shelf, L, 1);
  asy_slots_remove(loop, ASY_LOOP_TIMERS, &loop->timer_slots, handle->slot);
  handle->slot = 0;
  asy_handle_queue(L, loop, handle);
}

void asy_handle_queue(lua_State *L, asy_Loop *loop, asy_Handle *handle) {
  asy_ready_append(loop, &handle->entry);
  ring_put(L, loop);
}

static asy_Handle *handle_create(lua_State *L, asy_Loop *loop, int nargs, asy_Slot type) {
  bool is_timer = type == ASY_SLOT_TIMER_HANDLE;
  size_t size = is_timer ? sizeof(asy_Handle) : offsetof(asy_Handle, timer);
  luaL_checkstack(L, 4, NULL);
  asy_Handle *handle = asy_type_create(L, loop->S, type, size, ASY_HANDLE_ARGS - 1 + nargs);
  int idx = lua_gettop(L) - nargs - 1;
  asy_ready_init(&handle->entry, asy_handle_run);
  handle->loop = loop;
  handle->nargs = nargs;
  handle->is_timer = is_timer;
  if (asy_context_push(L, loop->S)) lua_setiuservalue(L, -2, ASY_HANDLE_CONTEXT);
  lua_insert(L, idx);
  for (int i = nargs; i >= 0; i--)
    lua_setiuservalue(L, idx, ASY_HANDLE_FUNCTION + i);
  return handle;
}

asy_Handle *asy_handle_new(lua_State *L, asy_Loop *loop, int nargs) {
  return handle_create(L, loop, nargs, ASY_SLOT_HANDLE);
}

/* Arm a new TimerHandle with the function and nargs arguments on top. */
static int handle_start_timer(lua_State *L, asy_Loop *loop, double when, int nargs) {
  asy_Handle *handle = handle_create(L, loop, nargs, ASY_SLOT_TIMER_HANDLE);
  handle->when = when;
  lua_pushvalue(L, -1);
  handle->slot = asy_slots_add(L, loop, ASY_LOOP_TIMERS, &loop->timer_slots);
  if (!asy_timer_grow(loop)) {
    asy_slots_remove(loop, ASY_LOOP_TIMERS, &loop->timer_slots, handle->slot);
    handle->slot = 0;
    return luaL_error(L, "not enough memory");
  }
  asy_timer_start(loop, &handle->timer, when, handle_due);
  return 1;
}

/***
Call a function in the next turn of the loop.
@function Loop:call_soon
@tparam function f what is called
@param[opt] ... its arguments
@treturn Handle with :cancel() and :cancelled()
@waits no
@raise argument error; an error if the loop is closed
@usage asyncio.get_running_loop():call_soon(print, "soon")
@see asyncio-eventloop.html#asyncio.loop.call_soon
*/
static int loop_call_soon(lua_State *L) {
  asy_Loop *loop = asy_check_loop(L, asy_state(L), 1);
  asy_check_callable(L, 2);
  asy_Handle *handle = asy_handle_new(L, loop, lua_gettop(L) - 2);
  lua_pushvalue(L, -1);
  asy_handle_queue(L, loop, handle);
  return 1;
}

/***
As call_soon. In Lua there is one thread only; the name is here for those who know asyncio.
@function Loop:call_soon_threadsafe
@tparam function f what is called
@param[opt] ... its arguments
@treturn Handle with :cancel() and :cancelled()
@waits no
@raise argument error; an error if the loop is closed
@usage asyncio.get_running_loop():call_soon_threadsafe(print, "soon")
@see asyncio-eventloop.html#asyncio.loop.call_soon_threadsafe
*/
static int loop_call_soon_threadsafe(lua_State *L) {
  return loop_call_soon(L);
}

/***
Call a function after a while.
@function Loop:call_later
@tparam number delay seconds
@tparam function f what is called
@param[opt] ... its arguments
@treturn TimerHandle with :cancel(), :cancelled() and :when()
@waits no
@raise argument error; an error if the loop is closed
@usage local h = asyncio.get_running_loop():call_later(0.01, print, "later"); h:cancel()
@see asyncio-eventloop.html#asyncio.loop.call_later
*/
static int loop_call_later(lua_State *L) {
  asy_Loop *loop = asy_check_loop(L, asy_state(L), 1);
  double delay = asy_check_seconds(L, 2);
  asy_check_callable(L, 3);
  return handle_start_timer(L, loop, asy_timer_now(loop) + delay, lua_gettop(L) - 3);
}

/***
Call a function at a time of the loop's clock.
@function Loop:call_at
@tparam number when seconds, as loop:time() counts them
@tparam function f what is called
@param[opt] ... its arguments
@treturn TimerHandle with :cancel(), :cancelled() and :when()
@waits no
@raise argument error; an error if the loop is closed
@usage local l = asyncio.get_running_loop(); l:call_at(l:time() + 0.01, print, "later")
@see asyncio-eventloop.html#asyncio.loop.call_at
*/
static int loop_call_at(lua_State *L) {
  asy_Loop *loop = asy_check_loop(L, asy_state(L), 1);
  double when = asy_check_seconds(L, 2);
  asy_check_callable(L, 3);
  return handle_start_timer(L, loop, when, lua_gettop(L) - 3);
}

/***
The time of the loop's clock: monotonic, or simulated.
@function Loop:time
@treturn number seconds
@waits no
@raise argument error
@usage local l = asyncio.get_running_loop(); assert(l:time() <= l:time())
@see asyncio-eventloop.html#asyncio.loop.time
*/
static int loop_time(lua_State *L) {
  asy_Loop *loop = asy_type_check(L, asy_state(L), 1, ASY_SLOT_LOOP_TYPE);
  lua_pushnumber(L, asy_timer_now(loop));
  return 1;
}

static asy_Handle *handle_check(lua_State *L, int arg) {
  asy_State *S = asy_state(L);
  asy_Handle *handle = asy_type_test(L, S, arg, ASY_SLOT_TIMER_HANDLE);
  return handle ? handle : asy_type_check(L, S, arg, ASY_SLOT_HANDLE);
}

/***
Cancel the callback: it is not called any more, and the handle lets go of it. Does nothing if it has
been called.
@function Handle:cancel
@return nothing
@waits no
@raise argument error
@usage local h = asyncio.get_running_loop():call_soon(error); h:cancel()
@see asyncio-eventloop.html#asyncio.Handle.cancel
*/
static int handle_cancel(lua_State *L) {
  asy_Handle *handle = handle_check(L, 1);
  handle->cancelled = true;
  for (int i = 0; i <= handle->nargs; i++) { /* who keeps the handle does not keep these */
    lua_pushnil(L);
    lua_setiuservalue(L, 1, ASY_HANDLE_FUNCTION + i);
  }
  if (!handle->is_timer || !asy_timer_is_armed(&handle->timer))
    return 0; /* was called, or its loop was closed: that may be gone */
  asy_timer_stop(handle->loop, &handle->timer);
  asy_slots_remove(handle->loop, ASY_LOOP_TIMERS, &handle->loop->timer_slots, handle->slot);
  handle->slot = 0;
  return 0;
}

/***
Was the callback cancelled?
@function Handle:cancelled
@treturn boolean
@waits no
@raise argument error
@usage local h = asyncio.get_running_loop():call_soon(error); h:cancel(); assert(h:cancelled())
@see asyncio-eventloop.html#asyncio.Handle.cancelled
*/
static int handle_cancelled(lua_State *L) {
  lua_pushboolean(L, handle_check(L, 1)->cancelled);
  return 1;
}

/***
When the callback is due.
@function TimerHandle:when
@treturn number seconds of the loop's clock
@waits no
@raise argument error
@usage local h = asyncio.get_running_loop():call_at(5, print); assert(h:when() == 5); h:cancel()
@see asyncio-eventloop.html#asyncio.TimerHandle.when
*/
static int handle_when(lua_State *L) {
  asy_Handle *handle = asy_type_check(L, asy_state(L), 1, ASY_SLOT_TIMER_HANDLE);
  lua_pushnumber(L, handle->when);
  return 1;
}

static int handle_tostring(lua_State *L) {
  asy_Handle *handle = handle_check(L, 1);
  bool timer = asy_type_test(L, asy_state(L), 1, ASY_SLOT_TIMER_HANDLE) != NULL;
  if (handle->cancelled) {
    if (timer)
      lua_pushfstring(L, "<TimerHandle cancelled when=%f>", handle->when);
    else
      lua_pushliteral(L, "<Handle cancelled>");
    return 1;
  }
  lua_getiuservalue(L, 1, ASY_HANDLE_FUNCTION);
  const char *name = asy_name_push_place(L, -1);
  if (timer)
    lua_pushfstring(L, "<TimerHandle when=%f %s>", handle->when, name);
  else
    lua_pushfstring(L, "<Handle %s>", name);
  return 1;
}

/* asyncio.sleep(0) and the like have no timer; asyncio.sleep(t) arms the one in the wait record */

static void sleep_run(lua_State *L, asy_Loop *loop, asy_Ready *entry) {
  (void)L;
  (void)loop;
  asy_wait_wake(ASY_CONTAINER(entry, asy_Wait, entry));
}

/* As in asyncio, the timer is an entry of its own in the turn in which it is due, and the task runs
 * in the next one. */
static void sleep_due(lua_State *L, asy_Loop *loop, asy_Timer *timer) {
  (void)L;
  asy_Wait *w = ASY_CONTAINER(timer, asy_Wait, u.timer);
  w->entry.run = sleep_run;
  asy_ready_append(loop, &w->entry);
}

static const asy_WaitKind sleep_wait = {"timer", NULL, false};
static const asy_WaitKind sleep_zero_wait = {"its next turn", NULL, false};

static int sleep_k(lua_State *L, asy_Wait *w) {
  if (asy_wait_failed(w)) return asy_wait_raise(L, w);
  if (w->top < 2) return 0;
  lua_settop(L, 2);
  return 1;
}

/***
Suspend the current task for a while.
@function sleep
@tparam number delay seconds; 0 or less gives way once
@param[opt] result any value
@return `result`
@waits yes
@cancel raises CancelledError; the timer is disarmed
@raise argument error
@usage assert(asyncio.sleep(0.01, "x") == "x")
@see asyncio-task.html#asyncio.sleep
*/
static int sleep_call(lua_State *L) {
  asy_State *S = asy_state(L);
  double delay = asy_check_seconds(L, 1);
  asy_Wait *w = asy_wait_begin(L, S);
  if (!w) return asy_wait_outside(L, S);
  if (delay > 0) {
    asy_timer_reserve(L, w->loop);
    asy_timer_start(w->loop, &w->u.timer, asy_timer_now(w->loop) + delay, sleep_due);
    return asy_wait_park(L, w, &sleep_wait, NULL, sleep_k);
  }
  return asy_wait_park_ready(L, w, &sleep_zero_wait, sleep_k);
}

void asy_handle_open(lua_State *L, asy_State *S) {
  static const luaL_Reg handle_methods[] = {{"cancel", handle_cancel},
                                            {"cancelled", handle_cancelled},
                                            {"__tostring", handle_tostring},
                                            {NULL, NULL}};
  static const luaL_Reg timer_methods[] = {{"cancel", handle_cancel},
                                           {"cancelled", handle_cancelled},
                                           {"when", handle_when},
                                           {"__tostring", handle_tostring},
                                           {NULL, NULL}};
  static const luaL_Reg loop_methods[] = {{"call_soon", loop_call_soon},
                                          {"call_soon_threadsafe", loop_call_soon_threadsafe},
                                          {"call_later", loop_call_later},
                                          {"call_at", loop_call_at},
                                          {"time", loop_time},
                                          {NULL, NULL}};
  static const luaL_Reg functions[] = {{"sleep", sleep_call}, {NULL, NULL}};
  asy_type_new(L, S, ASY_SLOT_HANDLE, "asyncio.Handle", handle_methods);
  asy_type_new(L, S, ASY_SLOT_TIMER_HANDLE, "asyncio.TimerHandle", timer_methods);
  asy_type_add(L, S, ASY_SLOT_LOOP_TYPE, loop_methods);
  asy_add_functions(L, S, functions);
}
