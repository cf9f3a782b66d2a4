/* SPDX-License-Identifier: MIT */
/* future.c - Future. Also the methods that Task shares with it.
 *
 * Invariants. A pending future has its entries in `callbacks`; those that are handles
 * (add_done_callback) lie also, in the same order, in the ring in ASY_FUTURE_VALUE, which keeps
 * them alive. Completing moves the ring to the loop's, the entries to the ready queue, and then the
 * user value holds the outcome. */
#include "future.h"

#include <string.h>

#include "error.h"
#include "name.h"

/* ---- types
 *
 * Each loop has metatables of its own for its futures and tasks, copies of those in the state's
 * shelf. The field with this address as key holds the Loop. */
static const char future_key = 0;

/* Is the metatable on top one of the two of a loop? The field alone does not say it: a script may
 * have put it into the metatable of something else. */
static bool future_is_type(lua_State *L, asy_State *S) {
  const void *mt = lua_topointer(L, -1);
  lua_rawgetp(L, -1, &future_key);
  asy_Loop *loop = asy_type_test(L, S, -1, ASY_SLOT_LOOP_TYPE);
  lua_pop(L, 1);
  return loop && loop->shelf &&
         (mt == lua_topointer(loop->shelf, ASY_LOOP_FUTURE_TYPE) ||
          mt == lua_topointer(loop->shelf, ASY_LOOP_TASK_TYPE));
}

asy_Future *asy_future_test(lua_State *L, asy_State *S, int idx) {
  void *p = lua_touserdata(L, idx);
  if (!p || !lua_getmetatable(L, idx)) return NULL;
  const void *mt = lua_topointer(L, -1);
  bool found = mt == S->task_type || mt == S->future_type || future_is_type(L, S);
  lua_pop(L, 1);
  return found ? p : NULL;
}

asy_Future *asy_future_check(lua_State *L, asy_State *S, int arg) {
  asy_Future *fut = asy_future_test(L, S, arg);
  return fut ? fut : asy_type_check(L, S, arg, ASY_SLOT_FUTURE);
}

/* The copy of a metatable for the loop on top. */
static void future_make_type(lua_State *L, asy_Loop *loop, asy_Slot from, asy_LoopSlot to) {
  lua_createtable(L, 0, 8);
  asy_type_push(L, loop->S, from);
  for (lua_pushnil(L); lua_next(L, -2);) {
    lua_pushvalue(L, -2);
    lua_insert(L, -2);
    lua_rawset(L, -5);
  }
  lua_pop(L, 1);
  lua_pushvalue(L, -2);
  lua_rawsetp(L, -2, &future_key);
  asy_shelf_set(L, loop->shelf, to);
}

void asy_future_make_types(lua_State *L, asy_Loop *loop) {
  future_make_type(L, loop, ASY_SLOT_FUTURE, ASY_LOOP_FUTURE_TYPE);
  future_make_type(L, loop, ASY_SLOT_TASK, ASY_LOOP_TASK_TYPE);
  asy_future_use_types(loop);
}

void asy_future_use_types(asy_Loop *loop) {
  loop->S->future_type = lua_topointer(loop->shelf, ASY_LOOP_FUTURE_TYPE);
  loop->S->task_type = lua_topointer(loop->shelf, ASY_LOOP_TASK_TYPE);
}

void asy_future_forget_types(asy_Loop *loop) {
  asy_State *S = loop->S;
  if (!loop->shelf || S->task_type != lua_topointer(loop->shelf, ASY_LOOP_TASK_TYPE)) return;
  S->future_type = S->task_type = NULL;
}

/* ---- making */

static asy_Future *future_new(lua_State *L, asy_Loop *loop, asy_LoopSlot type, size_t size,
                              int nuv) {
  asy_Future *fut = lua_newuserdatauv(L, size, nuv);
  memset(fut, 0, size);
  fut->loop = loop;
  fut->is_task = type == ASY_LOOP_TASK_TYPE;
  asy_list_init(&fut->callbacks);
  asy_shelf_push(L, loop->shelf, type);
  lua_setmetatable(L, -2);
  return fut;
}

asy_Future *asy_future_new(lua_State *L, asy_Loop *loop) {
  return future_new(L, loop, ASY_LOOP_FUTURE_TYPE, sizeof(asy_Future), ASY_FUTURE_UVS);
}

asy_Future *asy_future_new_task(lua_State *L, asy_Loop *loop, size_t size) {
  return future_new(L, loop, ASY_LOOP_TASK_TYPE, size, ASY_TASK_UVS);
}

/* ---- completing */

/* Pop the outcome into the user value and let the callbacks go. [-1, +0, -] */
static void future_complete(lua_State *L, int idx, asy_Future *fut, asy_FutureState state) {
  asy_Loop *loop = fut->loop;
  if (fut->has_handles) {
    fut->has_handles = false;
    lua_getiuservalue(L, idx, ASY_FUTURE_VALUE);
    if (loop->closed)
      lua_pop(L, 1);
    else
      asy_ring_keep(L, loop);
  }
  lua_setiuservalue(L, idx, ASY_FUTURE_VALUE);
  fut->state = (uint8_t)state;
  if (loop->closed)
    while (asy_list_take(&fut->callbacks))
      continue; /* nothing runs any more */
  else
    asy_ready_join(loop, &fut->callbacks);
}

void asy_future_finish(lua_State *L, int idx, asy_Future *fut, int n) {
  if (n == 0) {
    lua_pushnil(L);
  } else if (n > 1) {
    lua_createtable(L, n, 0);
    lua_insert(L, -n - 1);
    for (int i = n; i >= 1; i--)
      lua_rawseti(L, -i - 1, i);
  }
  if (fut->state != ASY_PENDING) { /* a finalizer was faster */
    lua_pop(L, 1);
    return;
  }
  fut->count = n;
  future_complete(L, idx, fut, ASY_FINISHED);
}

void asy_future_fail(lua_State *L, int idx, asy_Future *fut) {
  idx = lua_absindex(L, idx);
  asy_Loop *loop = fut->loop;
  asy_Failure *failure =
      asy_type_create(L, loop->S, ASY_SLOT_FAILURE, sizeof *failure, ASY_FAILURE_UVS);
  asy_list_init(&failure->link);
  failure->loop = loop;
  lua_insert(L, -3);
  lua_setiuservalue(L, -3, ASY_FAILURE_TRACEBACK);
  lua_setiuservalue(L, -2, ASY_FAILURE_ERROR);
  asy_shelf_push(L, loop->shelf, ASY_LOOP_UNSEEN);
  lua_pushvalue(L, -2);
  lua_rawsetp(L, -2, failure);
  lua_pop(L, 1);
  if (fut->state != ASY_PENDING) {
    lua_pop(L, 1);
    return;
  }
  lua_pushvalue(L, idx);
  lua_setiuservalue(L, -2, ASY_FAILURE_FUTURE);
  if (!fut->expected && !loop->closed) asy_list_append(&loop->unseen, &failure->link);
  future_complete(L, idx, fut, ASY_FAILED);
}

void asy_future_set_cancelled(lua_State *L, int idx, asy_Future *fut, bool is_error) {
  fut->has_error = is_error;
  future_complete(L, lua_absindex(L, idx), fut, ASY_CANCELLED);
}

bool asy_future_cancel(lua_State *L, int idx, asy_Future *fut, int msg) {
  if (fut->is_task) return fut->loop->S->cancel_task(L, fut, msg);
  if (fut->state != ASY_PENDING) return false;
  idx = lua_absindex(L, idx);
  if (msg)
    lua_pushvalue(L, msg);
  else
    lua_pushnil(L);
  asy_future_set_cancelled(L, idx, fut, false);
  return true;
}

/* ---- the outcome */

static asy_Failure *future_push_failure(lua_State *L, int idx) {
  lua_getiuservalue(L, idx, ASY_FUTURE_VALUE);
  return lua_touserdata(L, -1);
}

void asy_future_push_error(lua_State *L, int idx, asy_Future *fut) {
  idx = lua_absindex(L, idx);
  if (fut->state == ASY_FAILED) {
    asy_list_remove(&future_push_failure(L, idx)->link);
    lua_getiuservalue(L, -1, ASY_FAILURE_ERROR);
    lua_remove(L, -2);
    return;
  }
  lua_getiuservalue(L, idx, ASY_FUTURE_VALUE);
  if (fut->has_error) return;
  asy_error_wrap(L, fut->loop->S,
                 ASY_CANCELLED_ERROR); /* made when it is first asked for; the same for everyone */
  lua_pushvalue(L, -1);
  lua_setiuservalue(L, idx, ASY_FUTURE_VALUE);
  fut->has_error = true;
}

void asy_future_push_traceback(lua_State *L, int idx, asy_Future *fut) {
  if (fut->state != ASY_FAILED) {
    lua_pushnil(L);
    return;
  }
  future_push_failure(L, idx);
  lua_getiuservalue(L, -1, ASY_FAILURE_TRACEBACK);
  lua_remove(L, -2);
}

void asy_future_push_first(lua_State *L, int idx, asy_Future *fut) {
  lua_getiuservalue(L, idx, ASY_FUTURE_VALUE);
  if (fut->count > 1) {
    lua_rawgeti(L, -1, 1);
    lua_remove(L, -2);
  }
}

int asy_future_push_results(lua_State *L, int idx, asy_Future *fut) {
  idx = lua_absindex(L, idx);
  if (fut->state != ASY_FINISHED) {
    asy_future_push_error(L, idx, fut);
    return lua_error(L);
  }
  if (fut->count == 0) return 0;
  lua_getiuservalue(L, idx, ASY_FUTURE_VALUE);
  if (fut->count == 1) return 1;
  luaL_checkstack(L, fut->count, "too many results");
  int list = lua_gettop(L);
  for (int i = 1; i <= fut->count; i++)
    lua_rawgeti(L, list, i);
  return fut->count;
}

void asy_future_expect(asy_Future *fut) {
  fut->expected = true;
}

/* ---- errors that nobody has looked at */

static void future_report(lua_State *L, asy_Loop *loop, int failure) {
  failure = lua_absindex(L, failure);
  lua_getiuservalue(L, failure, ASY_FAILURE_FUTURE);
  asy_Future *fut = lua_touserdata(L, -1);
  if (!fut || fut->expected) {
    lua_pop(L, 1);
    return;
  }
  bool is_task = fut->is_task;
  const char *message = fut->doomed ? "unhandled exception during asyncio.run() shutdown"
                        : is_task   ? "task error was never retrieved"
                                    : "future error was never retrieved";
  lua_getiuservalue(L, failure, ASY_FAILURE_ERROR);
  lua_getiuservalue(L, failure, ASY_FAILURE_TRACEBACK);
  asy_error_report(L, loop, message, is_task ? "task" : "future", lua_gettop(L) - 2);
  lua_pop(L, 1);
}

static int failure_gc(lua_State *L) {
  asy_Failure *failure = asy_type_test(L, asy_state(L), 1, ASY_SLOT_FAILURE);
  if (!failure || (asy_list_is_empty(&failure->link) && !failure->late)) return 0;
  asy_list_remove(&failure->link);
  failure->late = false;
  luaL_checkstack(L, LUA_MINSTACK, NULL);
  future_report(L, failure->loop, 1);
  return 0;
}

void asy_future_report_unseen(lua_State *L, asy_Loop *loop) {
  asy_Link *link;
  luaL_checkstack(L, LUA_MINSTACK, NULL);
  while ((link = asy_list_take(&loop->unseen)) != NULL) {
    asy_Failure *failure = ASY_CONTAINER(link, asy_Failure, link);
    asy_shelf_push(L, loop->shelf, ASY_LOOP_UNSEEN);
    if (lua_rawgetp(L, -1, failure) == LUA_TNIL)
      failure->late = true;
    else
      future_report(L, loop, -1);
    lua_pop(L, 2);
  }
}

/* ---- await */

static bool future_cancel_wait(lua_State *L, asy_Wait *w, int msg) {
  asy_Future *fut = w->on;
  if (asy_future_is_done(fut)) return false;
  asy_wait_push_kept(L, w);
  bool hit = asy_future_cancel(L, lua_gettop(L), fut, msg);
  lua_pop(L, 1);
  return hit;
}

static const asy_WaitKind future_wait = {"future", future_cancel_wait, false};
static const asy_WaitKind future_self_wait = {"itself", NULL, false};

bool asy_future_awaited(const asy_Wait *w) {
  return w->kind == &future_wait;
}

static int future_k_await(lua_State *L, asy_Wait *w) {
  asy_Future *fut = w->on;
  if (fut->state == ASY_CANCELLED && w->state != ASY_WAIT_CANCELLED) {
    w->must_cancel = false; /* the future's error delivers a request that came later, too */
    asy_wait_note_cancel(L, w);
  } else if (asy_wait_failed(w)) {
    return asy_wait_raise(L, w);
  }
  return asy_future_push_results(L, 1, fut);
}

static int future_k_self(lua_State *L, asy_Wait *w) {
  if (asy_wait_failed(w)) return asy_wait_raise(L, w);
  return luaL_error(L, "a task cannot await itself");
}

int asy_future_await(lua_State *L, asy_Wait *w, asy_Future *fut) {
  if (asy_future_is_done(fut)) return asy_future_push_results(L, 1, fut);
  if (fut->loop != w->loop)
    return luaL_error(L, "%s belongs to a different event loop", luaL_tolstring(L, 1, NULL));
  if (fut->is_task && fut == asy_wait_owner(w))
    return asy_wait_park_ready(L, w, &future_self_wait, future_k_self);
  asy_list_append(&fut->callbacks, &w->entry.link);
  return asy_wait_park(L, w, &future_wait, fut, future_k_await);
}

/* ---- methods */

static asy_Future *future_check_pending(lua_State *L, const char *operation) {
  asy_State *S = asy_state(L);
  asy_Future *fut = asy_future_check(L, S, 1);
  if (fut->is_task) luaL_error(L, "a Task does not support %s", operation);
  if (fut->state != ASY_PENDING)
    asy_error_raise(L, S, ASY_INVALID_STATE_ERROR, "invalid state: the future is done");
  return fut;
}

/***
Complete the future with results.
@function Future:set_result
@param[opt] ... the results; `await` and `result` return all of them
@return nothing
@waits no
@raise argument error; InvalidStateError if it is done; an error for a Task
@usage local f = asyncio.get_running_loop():create_future(); f:set_result(1); assert(f:await() == 1)
@see asyncio-future.html#asyncio.Future.set_result
*/
static int future_set_result(lua_State *L) {
  asy_Future *fut = future_check_pending(L, "set_result");
  asy_future_finish(L, 1, fut, lua_gettop(L) - 1);
  return 0;
}

/***
Complete the future with an error.
@function Future:set_exception
@param err any value but nil; an error class stands for a new error of it
@return nothing
@waits no
@raise argument error; InvalidStateError if it is done; an error for a Task
@usage local f = asyncio.get_running_loop():create_future(); f:set_exception("no"); assert(not
pcall(f.await, f))
@see asyncio-future.html#asyncio.Future.set_exception
*/
static int future_set_exception(lua_State *L) {
  asy_State *S = asy_state(L);
  asy_Future *fut = future_check_pending(L, "set_exception");
  luaL_argcheck(L, !lua_isnoneornil(L, 2), 2, "error value expected, got nil");
  lua_settop(L, 2);
  const void *cls = lua_istable(L, 2) ? lua_topointer(L, 2) : NULL;
  for (int i = ASY_CANCELLED_ERROR; cls && i <= ASY_CLASS_COUNT; i++) {
    if (cls != S->types[i]) continue;
    asy_error_push(L, S, (asy_Class)i, NULL);
    lua_replace(L, 2);
  }
  lua_pushnil(L);
  asy_future_fail(L, 1, fut);
  return 0;
}

static void future_check_done(lua_State *L, asy_State *S, const asy_Future *fut, const char *what) {
  if (fut->state == ASY_PENDING)
    asy_error_raise(L, S, ASY_INVALID_STATE_ERROR, "%s is not set", what);
}

/***
The results of a future that is done.
@function Future:result
@return the results; raises the error instead if there was one
@waits no
@raise argument error; InvalidStateError if it is pending; CancelledError if it was cancelled; its
own error
@usage local f = asyncio.get_running_loop():create_future(); f:set_result(1, 2); assert(select("#",
f:result()) == 2)
@see asyncio-future.html#asyncio.Future.result
*/
static int future_result(lua_State *L) {
  asy_State *S = asy_state(L);
  asy_Future *fut = asy_future_check(L, S, 1);
  future_check_done(L, S, fut, "result");
  return asy_future_push_results(L, 1, fut);
}

/***
The error of a future that is done.
@function Future:exception
@return the error, or nil if it has results
@waits no
@raise argument error; InvalidStateError if it is pending; CancelledError if it was cancelled
@usage local f = asyncio.get_running_loop():create_future(); f:set_exception("no");
assert(f:exception() == "no")
@see asyncio-future.html#asyncio.Future.exception
*/
static int future_exception(lua_State *L) {
  asy_State *S = asy_state(L);
  asy_Future *fut = asy_future_check(L, S, 1);
  future_check_done(L, S, fut, "exception");
  if (fut->state == ASY_FINISHED) {
    lua_pushnil(L);
    return 1;
  }
  asy_future_push_error(L, 1, fut);
  return fut->state == ASY_CANCELLED ? lua_error(L) : 1;
}

/***
Is it done: finished, failed or cancelled?
@function Future:done
@treturn boolean
@waits no
@raise argument error
@usage assert(not asyncio.current_task():done())
@see asyncio-future.html#asyncio.Future.done
*/
static int future_done(lua_State *L) {
  lua_pushboolean(L, asy_future_is_done(asy_future_check(L, asy_state(L), 1)));
  return 1;
}

/***
Was it cancelled?
@function Future:cancelled
@treturn boolean
@waits no
@raise argument error
@usage local f = asyncio.get_running_loop():create_future(); f:cancel(); assert(f:cancelled())
@see asyncio-future.html#asyncio.Future.cancelled
*/
static int future_cancelled(lua_State *L) {
  lua_pushboolean(L, asy_future_check(L, asy_state(L), 1)->state == ASY_CANCELLED);
  return 1;
}

/***
Cancel. A Future is cancelled at once; in a Task the CancelledError is raised at its wait, in its
next step.
@function Future:cancel
@param[opt] msg the CancelledError's message
@treturn boolean false if it is done already
@waits no
@raise argument error
@usage local t = asyncio.create_task(asyncio.sleep, 9); assert(t:cancel("enough"))
@see asyncio-task.html#asyncio.Task.cancel
*/
static int future_cancel(lua_State *L) {
  asy_Future *fut = asy_future_check(L, asy_state(L), 1);
  lua_settop(L, 2);
  if (fut->state == ASY_FAILED) /* who wants to be rid of it does not want its error reported */
    asy_list_remove(&future_push_failure(L, 1)->link);
  lua_pushboolean(L, asy_future_cancel(L, 1, fut, lua_isnil(L, 2) ? 0 : 2));
  return 1;
}

/***
Call a function with the future once it is done: in the turn after, in the order in which the
functions were added.
@function Future:add_done_callback
@tparam function f called as f(future)
@return nothing
@waits no
@raise argument error; an error if the loop is closed
@usage asyncio.create_task(asyncio.sleep, 0, "x"):add_done_callback(function(t) assert(t:result()
== "x") end)
@see asyncio-future.html#asyncio.Future.add_done_callback
*/
static int future_add_done_callback(lua_State *L) {
  asy_Future *fut = asy_future_check(L, asy_state(L), 1);
  asy_check_callable(L, 2);
  if (fut->loop->closed) return luaL_error(L, "the event loop is closed");
  lua_settop(L, 2);
  lua_pushvalue(L, 1);
  asy_Handle *handle = asy_handle_new(L, fut->loop, 1);
  if (asy_future_is_done(fut)) {
    asy_handle_queue(L, fut->loop, handle);
    return 0;
  }
  if (fut->has_handles)
    lua_getiuservalue(L, 1, ASY_FUTURE_VALUE);
  else
    lua_pushnil(L);
  asy_ring_add(L);
  lua_setiuservalue(L, 1, ASY_FUTURE_VALUE);
  fut->has_handles = true;
  asy_list_append(&fut->callbacks, &handle->entry.link);
  return 0;
}

/***
Take a function out of the done callbacks.
@function Future:remove_done_callback
@tparam function f as it was added
@treturn integer how many times it was there
@waits no
@raise argument error
@usage local f = asyncio.get_running_loop():create_future(); f:add_done_callback(print);
assert(f:remove_done_callback(print) == 1)
@see asyncio-future.html#asyncio.Future.remove_done_callback
*/
static int future_remove_done_callback(lua_State *L) {
  asy_Future *fut = asy_future_check(L, asy_state(L), 1);
  asy_check_callable(L, 2);
  lua_settop(L, 2);
  int removed = 0;
  if (!fut->has_handles) {
    lua_pushinteger(L, 0);
    return 1;
  }
  lua_getiuservalue(L, 1, ASY_FUTURE_VALUE); /* 3: newest */
  lua_pushnil(L);                            /* 4: the new ring */
  lua_getiuservalue(L, 3, ASY_HANDLE_NEXT);  /* 5: current, from the oldest on */
  for (bool last = false; !last;) {
    asy_Handle *handle = lua_touserdata(L, 5);
    last = lua_rawequal(L, 5, 3);
    lua_getiuservalue(L, 5, ASY_HANDLE_NEXT); /* 6: next */
    lua_getiuservalue(L, 5, ASY_HANDLE_FUNCTION);
    bool same = lua_rawequal(L, 7, 2);
    lua_pop(L, 1);
    if (same) {
      asy_list_remove(&handle->entry.link);
      removed++;
    } else {
      lua_pushvalue(L, 5);
      lua_pushvalue(L, 4);
      asy_ring_add(L);
      lua_replace(L, 4);
    }
    lua_replace(L, 5);
  }
  lua_settop(L, 4);
  fut->has_handles = !lua_isnil(L, 4);
  lua_setiuservalue(L, 1, ASY_FUTURE_VALUE);
  lua_pushinteger(L, removed);
  return 1;
}

/***
The loop of the future.
@function Future:get_loop
@treturn Loop
@waits no
@raise argument error
@usage assert(asyncio.current_task():get_loop() == asyncio.get_running_loop())
@see asyncio-future.html#asyncio.Future.get_loop
*/
static int future_get_loop(lua_State *L) {
  asy_Future *fut = asy_future_check(L, asy_state(L), 1);
  asy_shelf_push(L, fut->loop->shelf, ASY_LOOP_SELF);
  return 1;
}

/***
The state as one word.
@function Future:state
@treturn string "pending", "running" (the task that is being executed now), "done" or "cancelled"
@waits no
@raise argument error
@usage assert(asyncio.current_task():state() == "running")
@see asyncio-future.html#asyncio.Future
*/
static int future_state(lua_State *L) {
  asy_State *S = asy_state(L);
  asy_Future *fut = asy_future_check(L, S, 1);
  const char *state = fut->state == ASY_CANCELLED ? "cancelled" : "done";
  if (fut->state == ASY_PENDING) {
    bool running = fut->is_task && S->waiter && asy_wait_owner(S->waiter) == fut;
    state = running ? "running" : "pending";
  }
  lua_pushstring(L, state);
  return 1;
}

/***
Wait for the future, and return its results or raise its error.
@function Future:await
@return the results
@waits yes
@cancel cancels the future or task that is awaited, and raises CancelledError
@raise the future's error; CancelledError if it was cancelled
@usage assert(asyncio.create_task(asyncio.sleep, 0, "x"):await() == "x")
@see asyncio-task.html#awaitables
*/
static int future_await(lua_State *L) {
  asy_State *S = asy_state(L);
  asy_Future *fut = asy_future_check(L, S, 1);
  asy_Wait *w = asy_wait_begin(L, S);
  return w ? asy_future_await(L, w, fut) : asy_wait_outside(L, S);
}

/* ---- tostring */

/* Push the value on top as text; of a future only its address, since it may be the one that is
 * being shown. [-0, +1, v] */
static const char *future_push_value(lua_State *L, asy_State *S) {
  asy_Future *fut = asy_future_test(L, S, -1);
  if (!fut) return asy_name_push_value(L, lua_gettop(L));
  return lua_pushfstring(L, "<%s at %p>", fut->is_task ? "Task" : "Future", (void *)fut);
}

void asy_future_push_outcome(lua_State *L, int idx, asy_Future *fut) {
  asy_State *S = fut->loop->S;
  if (fut->state == ASY_FINISHED) {
    asy_future_push_first(L, idx, fut);
    lua_pushfstring(L, " result=%s", future_push_value(L, S));
  } else if (fut->state == ASY_FAILED) {
    future_push_failure(L, idx);
    lua_getiuservalue(L, -1, ASY_FAILURE_ERROR);
    lua_pushfstring(L, " exception=%s", future_push_value(L, S));
    lua_remove(L, -4);
  } else {
    lua_pushliteral(L, "");
    return;
  }
  lua_replace(L, -3);
  lua_pop(L, 1);
}

/* Push the name of the newest callback (first false) or the oldest one, in place of the ring on
 * top. */
static void future_push_callback_name(lua_State *L, bool first) {
  if (first) {
    lua_getiuservalue(L, -1, ASY_HANDLE_NEXT);
    lua_replace(L, -2);
  }
  lua_getiuservalue(L, -1, ASY_HANDLE_FUNCTION);
  asy_name_push_place(L, -1);
  lua_replace(L, -3);
  lua_pop(L, 1);
}

void asy_future_push_callbacks(lua_State *L, int idx, asy_Future *fut) {
  if (!fut->has_handles) {
    lua_pushliteral(L, "");
    return;
  }
  int count = 0;
  for (asy_Link *link = asy_list_first(&fut->callbacks); link;
       link = asy_list_next(&fut->callbacks, link))
    count += ASY_CONTAINER(link, asy_Ready, link)->run == asy_handle_run;
  lua_getiuservalue(L, idx, ASY_FUTURE_VALUE);
  lua_pushvalue(L, -1);
  future_push_callback_name(L, true);
  lua_insert(L, -2);
  future_push_callback_name(L, false);
  const char *oldest = lua_tostring(L, -2), *newest = lua_tostring(L, -1);
  if (count == 1)
    lua_pushfstring(L, " cb=[%s]", oldest);
  else if (count == 2)
    lua_pushfstring(L, " cb=[%s, %s]", oldest, newest);
  else
    lua_pushfstring(L, " cb=[%s, <%d more>, %s]", oldest, count - 2, newest);
  lua_replace(L, -3);
  lua_pop(L, 1);
}

void asy_future_push_shown(lua_State *L, int idx, asy_Future *fut) {
  static const char *const states[] = {"pending", "finished", "finished", "cancelled"};
  asy_future_push_callbacks(L, idx, fut);
  asy_future_push_outcome(L, idx, fut);
  lua_pushfstring(L, "Future %s%s%s", states[fut->state], lua_tostring(L, -2), lua_tostring(L, -1));
  lua_replace(L, -3);
  lua_pop(L, 1);
}

static int future_tostring(lua_State *L) {
  asy_Future *fut = asy_future_check(L, asy_state(L), 1);
  lua_settop(L, 1);
  asy_future_push_shown(L, 1, fut);
  lua_pushfstring(L, "<%s>", lua_tostring(L, 2));
  return 1;
}

/***
Is the value a Future or a Task?
@function isfuture
@param x any value
@treturn boolean
@waits no
@raise never
@usage assert(asyncio.isfuture(asyncio.current_task()))
@see asyncio-future.html#asyncio.isfuture
*/
static int future_isfuture(lua_State *L) {
  lua_pushboolean(L, asy_future_test(L, asy_state(L), 1) != NULL);
  return 1;
}

/***
Make a Future of this loop.
@function Loop:create_future
@treturn Future pending
@waits no
@raise argument error; an error if the loop is closed
@usage local f = asyncio.get_running_loop():create_future(); assert(not f:done())
@see asyncio-eventloop.html#asyncio.loop.create_future
*/
static int loop_create_future(lua_State *L) {
  asy_future_new(L, asy_check_loop(L, asy_state(L), 1));
  return 1;
}

/***
Make a Future.
@function Future
@tparam[opt] Loop loop to which it belongs; default: the running loop, else the current one
@treturn Future pending
@waits no
@raise argument error; an error if the loop is closed, or if there is none
@usage local f = asyncio.Future(); f:set_result(1); assert(f:await() == 1)
@see asyncio-future.html#asyncio.Future
*/
static int future_make(lua_State *L) {
  asy_Loop *loop = asy_opt_loop(L, asy_state(L), 1);
  if (loop->closed) return luaL_error(L, "the event loop is closed");
  asy_future_new(L, loop);
  return 1;
}

const luaL_Reg *asy_future_methods(void) {
  static const luaL_Reg methods[] = {{"set_result", future_set_result},
                                     {"set_exception", future_set_exception},
                                     {"result", future_result},
                                     {"exception", future_exception},
                                     {"done", future_done},
                                     {"cancelled", future_cancelled},
                                     {"cancel", future_cancel},
                                     {"add_done_callback", future_add_done_callback},
                                     {"remove_done_callback", future_remove_done_callback},
                                     {"get_loop", future_get_loop},
                                     {"state", future_state},
                                     {"await", future_await},
                                     {NULL, NULL}};
  return methods;
}

void asy_future_open(lua_State *L, asy_State *S) {
  static const luaL_Reg meta[] = {{"__tostring", future_tostring}, {NULL, NULL}};
  static const luaL_Reg failure_meta[] = {{"__gc", failure_gc}, {NULL, NULL}};
  static const luaL_Reg functions[] = {
      {"Future", future_make}, {"isfuture", future_isfuture}, {NULL, NULL}};
  static const luaL_Reg loop_methods[] = {{"create_future", loop_create_future}, {NULL, NULL}};
  asy_type_new(L, S, ASY_SLOT_FUTURE, "asyncio.Future", asy_future_methods());
  asy_type_add(L, S, ASY_SLOT_FUTURE, meta);
  asy_type_new(L, S, ASY_SLOT_FAILURE, "asyncio.Failure", failure_meta);
  asy_type_add(L, S, ASY_SLOT_LOOP_TYPE, loop_methods);
  asy_add_functions(L, S, functions);
}
