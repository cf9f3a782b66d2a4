/* SPDX-License-Identifier: MIT */
/* task.c - Task: making, stepping, cancelling and ending one.
 *
 * A task's thread runs task_base, a C function that calls the task's own function protected: only
 * so do __close handlers run, and may wait, when an error unwinds. Whatever way the function ends,
 * task_base completes the future before it returns; then task_stepped gives the thread back to the
 * pool. A thread that ends without that (a memory error, a close by hand) fails its task. */
#include "task.h"

#include <string.h>

#include "error.h"

/* Gathers nested deeper than this are cancelled without their children: each level takes C stack.
 */
#define TASK_CANCEL_DEPTH 2000

typedef enum asy_Factory { TASK_PLAIN, TASK_EAGER, TASK_CUSTOM } asy_Factory;

/* ---- the base function */

/* The traceback of the future that the failing function awaited: its error is being raised again.
 * Pushes it or nil. */
static void task_push_origin(lua_State *L, asy_State *S) {
  lua_Debug ar;
  if (lua_getstack(L, 1, &ar) && lua_getlocal(L, &ar, 1)) {
    asy_Future *fut = asy_future_test(L, S, -1);
    if (fut && fut->state == ASY_FAILED) {
      asy_future_push_traceback(L, -1, fut);
      asy_future_push_error(L, -2, fut);
      bool same = lua_rawequal(L, -1, 1);
      lua_pop(L, 1);
      if (same) {
        lua_remove(L, -2);
        return;
      }
      lua_pop(L, 1);
    }
    lua_pop(L, 1);
  }
  lua_pushnil(L);
}

#define TASK_ORIGIN "\nthe error was raised in a task that it awaited:\n"

/* Of a longer traceback, of a chain of tasks, only the last part is passed on: where the error was
 * raised. */
#define TASK_LONGEST_ORIGIN 2000

/* Replace the traceback on top and, above it, that of the error's origin by both together. */
static void task_join_origin(lua_State *L) {
  const char *origin = lua_tostring(L, -1), *next, *between = "";
  if (lua_rawlen(L, -1) > TASK_LONGEST_ORIGIN && strstr(origin, TASK_ORIGIN)) {
    while ((next = strstr(origin, TASK_ORIGIN)) != NULL)
      origin = next + strlen(TASK_ORIGIN);
    between = "\n...\t(other tasks that awaited each other)";
  }
  lua_pushfstring(L, "%s%s" TASK_ORIGIN "%s", lua_tostring(L, -2), between, origin);
  lua_replace(L, -3);
  lua_pop(L, 1);
}

/* Message handler of every task: keeps the traceback in the base frame; the error stays the value
 * that it is. */
static int task_handler(lua_State *L) {
  asy_State *S = asy_state_from_registry(L);
  lua_settop(L, 1);
  if (!S->waiter || asy_error_is(L, S, 1, ASY_CANCELLED_ERROR)) return 1;
  luaL_traceback(L, L, NULL, 1);
  task_push_origin(L, S);
  if (lua_isstring(L, -1))
    task_join_origin(L);
  else
    lua_pop(L, 1);
  asy_wait_set_slot(L, S->waiter, ASY_BASE_TRACEBACK);
  lua_settop(L, 1);
  return 1;
}

/* Debug mode: the task ends normally, although it was cancelled and nobody has uncancelled it. */
static void task_report_swallowed(lua_State *L, asy_Task *task) {
  asy_Loop *loop = task->fut.loop;
  luaL_checkstack(L, LUA_MINSTACK, NULL);
  lua_pushnil(L);
  asy_extra_get(L, loop->S, ASY_BASE_TASK, "cancelled");
  asy_error_report(L, loop, "task has swallowed its cancellation, which was raised here", "task",
                   ASY_BASE_TASK);
}

/* The function of the task on this thread has returned n values, on top. */
static void task_finish(lua_State *L, asy_Task *task, int n) {
  bool swallowed = task->fut.loop->debug && task->cancels > 0 && !task->wait.must_cancel;
  if (ASY_UNLIKELY(swallowed)) task_report_swallowed(L, task);
  if (!task->wait.must_cancel) {
    asy_future_finish(L, ASY_BASE_TASK, &task->fut, n);
    return;
  }
  lua_pushvalue(L, ASY_BASE_MUST); /* cancelled just before it ended: it counts */
  asy_future_set_cancelled(L, ASY_BASE_TASK, &task->fut, false);
}

/* It has raised the error on top. */
static void task_fail(lua_State *L, asy_Task *task) {
  if (asy_error_is(L, task->fut.loop->S, -1, ASY_CANCELLED_ERROR)) {
    asy_future_set_cancelled(L, ASY_BASE_TASK, &task->fut, true);
    return;
  }
  if (asy_error_is(L, task->fut.loop->S, -1, ASY_KEYBOARD_INTERRUPT) && !task->fut.loop->by_host) {
    task->fut.loop->interrupted = true; /* who drives the loop raises it */
    asy_future_expect(&task->fut);
  }
  lua_pushvalue(L, ASY_BASE_TRACEBACK);
  asy_future_fail(L, ASY_BASE_TASK, &task->fut);
}

static int task_k_base(lua_State *L, int status, lua_KContext ctx) {
  asy_Task *task = (asy_Task *)ctx;
  if (status != LUA_OK && status != LUA_YIELD) {
    task_fail(L, task);
  } else if (task->wait.bad_yield) { /* no instruction of Lua's followed in which it could have been
                                        raised */
    lua_pushliteral(L, ASY_BAD_YIELD);
    task_fail(L, task);
  } else {
    task_finish(L, task, lua_gettop(L) - ASY_BASE_HANDLER);
  }
  lua_pushvalue(L, ASY_BASE_CALLED); /* as task_let_go, from within */
  lua_setiuservalue(L, ASY_BASE_TASK, ASY_TASK_KEPT);
  asy_wait_end(&task->wait);
  return 0;
}

static int task_base(lua_State *L) {
  asy_Task *task = lua_touserdata(L, ASY_BASE_TASK);
  int nargs = task->wait.top - ASY_BASE_FUNCTION;
  lua_KContext ctx = (lua_KContext)task;
  return task_k_base(L, lua_pcallk(L, nargs, LUA_MULTRET, ASY_BASE_HANDLER, ctx, task_k_base), ctx);
}

/* ---- threads */

static asy_Thread task_take_thread(lua_State *L, asy_Loop *loop) {
  if (loop->pool_count) return loop->pool[--loop->pool_count];
  asy_Slots *slots = &loop->thread_slots;
  lua_Integer next = slots->free ? slots->free : slots->count + 1;
  asy_shelf_push(L, loop->shelf,
                 ASY_LOOP_TASKS); /* the task's entry exists before the thread's does */
  lua_pushboolean(L, 0);
  lua_rawseti(L, -2, next);
  lua_pop(L, 1);
  asy_Thread thread;
  thread.co = lua_newthread(L);
  thread.slot = asy_slots_add(L, loop, ASY_LOOP_THREADS, slots);
  return thread;
}

static void task_give_back(asy_Loop *loop, asy_Thread thread, bool reusable) {
  if (reusable && !loop->pool)
    loop->pool = asy_alloc(loop->S, NULL, 0, ASY_POOL_SIZE * sizeof thread);
  if (reusable && loop->pool && loop->pool_count < ASY_POOL_SIZE)
    loop->pool[loop->pool_count++] = thread;
  else
    asy_slots_remove(loop, ASY_LOOP_THREADS, &loop->thread_slots, thread.slot);
}

/* The task is done: let go of it and of its thread. */
static void task_release(asy_Task *task, bool reusable) {
  asy_Loop *loop = task->fut.loop;
  asy_Wait *w = &task->wait;
  asy_Thread thread = {w->co, w->slot};
  asy_list_remove(&task->all);
  w->state = ASY_WAIT_NONE;
  w->kind = NULL;
  w->co = NULL;
  lua_pushboolean(loop->shelf, 0);
  lua_rawseti(loop->shelf, ASY_LOOP_TASKS, thread.slot);
  task_give_back(loop, thread,
                 reusable && !task->handed_out && !loop->debug && !lua_gethook(thread.co));
}

/* The thread of the task on top of L will be gone, or is: keep its function, not what it waits for.
 */
static void task_let_go(lua_State *L, asy_Task *task) {
  asy_Wait *w = &task->wait;
  asy_wait_push_slot(L, w, ASY_BASE_CALLED);
  if (lua_isfunction(L, -1) || w->kept || w->paired)
    lua_setiuservalue(L, -2, ASY_TASK_KEPT);
  else
    lua_pop(L, 1);
  asy_wait_end(w);
}

/* ---- a step */

/* [1] task, [2] error: fail a task whose thread is gone */
static int task_fail_protected(lua_State *L) {
  lua_pushnil(L);
  asy_future_fail(L, 1, lua_touserdata(L, 1));
  return 0;
}

/* The thread died with an error value on top of its stack, outside our epilogue. */
static void task_die(lua_State *L, asy_Task *task) {
  asy_task_push(L, task);
  task_let_go(L, task);
  lua_pushcfunction(L, task_fail_protected);
  lua_pushvalue(L, -2);
  lua_xmove(task->wait.co, L, 1);
  if (lua_pcall(L, 2, 0, 0) != LUA_OK) { /* not even memory for that: it must end all the same */
    lua_pop(L, 1);
    lua_pushnil(L);
    asy_future_set_cancelled(L, -2, &task->fut, false);
  }
  task_release(task, false);
  lua_pop(L, 1);
}

/* Cancelled before its first step: it never runs. */
static void task_end_unstarted(lua_State *L, asy_Task *task) {
  asy_Wait *w = &task->wait;
  asy_task_push(L, task);
  task_let_go(L, task);
  asy_wait_push_slot(L, w, ASY_BASE_MUST);
  w->must_cancel = false;
  asy_future_set_cancelled(L, -2, &task->fut, false);
  lua_settop(w->co, 0);
  task_release(task, true);
  lua_pop(L, 1);
}

static bool task_cancel_wait(lua_State *L, asy_Wait *w, int msg) {
  if (w->state != ASY_WAIT_PARKED) return false;
  return (w->kind->cancel ? w->kind->cancel : asy_wait_cancel)(L, w, msg);
}

/* It was cancelled while it ran, and waits now: the cancellation is delivered to this wait. */
static void task_deliver(lua_State *L, asy_Wait *w) {
  asy_wait_push_slot(L, w, ASY_BASE_MUST);
  if (task_cancel_wait(L, w, lua_gettop(L))) w->must_cancel = false;
  lua_pop(L, 1);
}

/* After a step of a task, unless it just waits again. */
static void task_stepped(lua_State *L, asy_Wait *w, int how) {
  asy_Task *task = ASY_TASK_OF_WAIT(w);
  switch ((asy_Step)how) {
  case ASY_STEP_UNSTARTED: task_end_unstarted(L, task); break;
  case ASY_STEP_WAITS: task_deliver(L, w); break;
  case ASY_STEP_YIELDED: asy_wait_yielded(w, false); break;
  case ASY_STEP_BAD: asy_wait_yielded(w, true); break;
  case ASY_STEP_ENDED:
    if (!asy_future_is_done(&task->fut)) { /* Lua 5.5: coroutine.close() of itself */
      lua_pushliteral(w->co, "the task's coroutine closed itself");
      task_die(L, task);
    } else {
      task_release(task, true);
    }
    break;
  case ASY_STEP_DEAD: task_die(L, task); break;
  }
}

/* ---- making a task */

/* With no more arguments than that there is room on both stacks without asking for it: a thread
 * that has not begun has LUA_MINSTACK slots, and who makes a task needs few of his. */
#define TASK_FEW_ARGS 8

/* Put on the thread what its first step needs: the base function and the slots of ASY_BASE_*, then
 * the task's function and its arguments. These and, above them, the Task are on top of L; only the
 * Task stays. [-(nargs+2), +1, -] */
static void task_fill_thread(lua_State *L, asy_State *S, asy_Wait *w, int nargs) {
  lua_State *co = w->co;
  lua_pushcfunction(co, task_base);
  lua_xmove(L, co, 1);
  if (asy_context_push(L, S)) {
    lua_xmove(L, co, 1);
    w->has_context = true;
  }
  lua_settop(co, 1 + ASY_BASE_CALLED - 1);
  lua_pushvalue(L, -nargs - 1);
  lua_xmove(L, co, 1);
  lua_pushcfunction(co, task_handler);
  lua_xmove(L, co, nargs + 1);
  lua_pushvalue(co, 1 + ASY_BASE_TASK);
  lua_xmove(co, L, 1);
}

/* Push a new Task for the function and nargs arguments on top, which it pops. Not queued yet. */
static asy_Task *task_create(lua_State *L, asy_Loop *loop, int nargs) {
  asy_State *S = loop->S;
  bool few = nargs <= TASK_FEW_ARGS;
  if (ASY_UNLIKELY(!few)) luaL_checkstack(L, LUA_MINSTACK, NULL);
  asy_Task *task = (asy_Task *)(void *)asy_future_new_task(L, loop, sizeof *task);
  asy_Thread thread = task_take_thread(L, loop);
  if (ASY_UNLIKELY(!few) && !lua_checkstack(thread.co, nargs + ASY_BASE_FUNCTION + 1)) {
    task_give_back(loop, thread, true);
    luaL_error(L, "too many arguments for a task");
  }
  asy_wait_init(&task->wait, loop, thread.co, nargs + ASY_BASE_FUNCTION);
  task->wait.slot = (uint32_t)thread.slot;
  task->number = ++S->tasks_made;
  asy_list_init(&task->all);
  asy_list_append(&loop->tasks, &task->all);
  lua_pushvalue(L, -1);
  lua_xmove(L, loop->shelf, 1);
  lua_rawseti(loop->shelf, ASY_LOOP_TASKS, thread.slot);
  task_fill_thread(L, S, &task->wait, nargs);
  return task;
}

/* Where the task on top was created, for reports in debug mode. */
static void task_note_creation(lua_State *L, asy_State *S) {
  luaL_traceback(L, L, NULL, 0);
  asy_extra_set(L, S, -2, "created");
}

/* Call the user's task factory: f(loop, function, args...) must return a Task of the loop. */
static asy_Task *task_create_custom(lua_State *L, asy_Loop *loop, int nargs) {
  luaL_checkstack(L, 3, NULL);
  asy_shelf_push(L, loop->shelf, ASY_LOOP_FACTORY);
  lua_insert(L, -nargs - 2);
  asy_shelf_push(L, loop->shelf, ASY_LOOP_SELF);
  lua_insert(L, -nargs - 2);
  lua_call(L, nargs + 2, 1);
  asy_Future *fut = asy_future_test(L, loop->S, -1);
  if (!fut || !fut->is_task)
    luaL_error(L, "the task factory must return a Task, not %s", luaL_typename(L, -1));
  if (fut->loop != loop) luaL_error(L, "the task factory has returned a Task of another loop");
  return (asy_Task *)(void *)fut;
}

static asy_Task *task_start_plain(lua_State *L, asy_Loop *loop, int nargs) {
  asy_Task *task = task_create(L, loop, nargs);
  asy_ready_append(loop, &task->wait.entry);
  return task;
}

static asy_Task *task_start_eager(lua_State *L, asy_Loop *loop, int nargs) {
  if (loop->S->running != loop) return task_start_plain(L, loop, nargs);
  asy_Task *task = task_create(L, loop, nargs);
  asy_wait_run(L, loop, &task->wait.entry);
  return task;
}

asy_Task *asy_task_new(lua_State *L, asy_Loop *loop, int nargs) {
  if (loop->closed) luaL_error(L, "the event loop is closed");
  if (loop->factory == TASK_CUSTOM) return task_create_custom(L, loop, nargs);
  asy_Task *task = loop->factory == TASK_EAGER ? task_start_eager(L, loop, nargs)
                                               : task_start_plain(L, loop, nargs);
  if (loop->debug) task_note_creation(L, loop->S);
  return task;
}

asy_Future *asy_task_ensure(lua_State *L, asy_Loop *loop, int idx) {
  asy_State *S = loop->S;
  idx = lua_absindex(L, idx);
  asy_Future *fut = asy_future_test(L, S, idx);
  if (fut) {
    if (fut->loop != loop) luaL_error(L, "the future belongs to a different event loop");
    lua_pushvalue(L, idx);
    return fut;
  }
  int n = asy_coro_unpack(L, S, idx);
  return &asy_task_new(L, loop, n)->fut;
}

/* ---- cancelling */

/* The task that this one awaits and that is not done, or NULL. */
static asy_Task *task_awaited(const asy_Task *task) {
  const asy_Wait *w = &task->wait;
  if (w->state != ASY_WAIT_PARKED || !asy_future_awaited(w)) return NULL;
  asy_Future *fut = w->on;
  return fut->is_task && !asy_future_is_done(fut) ? (asy_Task *)(void *)fut : NULL;
}

/* Deliver to the task at the end of the chain of waits. */
static void task_cancel_end(lua_State *L, asy_Task *task, int msg) {
  asy_Wait *w = &task->wait;
  bool hit;
  if (task_awaited(task) ||
      task->fut.loop->cancel_depth > TASK_CANCEL_DEPTH) /* a ring, or too deep: break it here */
    hit = asy_wait_cancel(L, w, msg);
  else
    hit = task_cancel_wait(L, w, msg);
  if (hit) return;
  w->must_cancel = true;
  if (msg)
    lua_pushvalue(L, msg);
  else
    lua_pushnil(L);
  asy_wait_set_slot(L, w, ASY_BASE_MUST);
}

bool asy_task_cancel(lua_State *L, asy_Task *task, int msg) {
  if (asy_future_is_done(&task->fut) || !lua_checkstack(L, LUA_MINSTACK)) return false;
  asy_Loop *loop = task->fut.loop;
  asy_Task *first = task, *next;
  loop->cancel_depth++;
  for (;; task = next) { /* down the chain: a task that awaits a task passes the request on */
    task->cancels++;
    task->cancelled_at = task->wait.parks;
    task->on_path = true;
    next = task_awaited(task);
    if (!next || next->on_path) break;
  }
  task_cancel_end(L, task, msg);
  for (asy_Task *last = task; first != last; first = next) {
    next = task_awaited(first);
    first->on_path = false;
    if (!next) break;
  }
  task->on_path = false;
  loop->cancel_depth--;
  return true;
}

static bool task_cancel_future(lua_State *L, asy_Future *fut, int msg) {
  return asy_task_cancel(L, (asy_Task *)(void *)fut, msg);
}

int asy_task_uncancel(asy_Task *task) {
  if (task->cancels > 0 && --task->cancels == 0) task->wait.must_cancel = false;
  return task->cancels;
}

void asy_task_close(lua_State *L, asy_Task *task) {
  asy_Wait *w = &task->wait;
  asy_Loop *loop = task->fut.loop;
  asy_State *S = loop->S;
  const char *forbidden = S->forbidden;
  luaL_checkstack(L, LUA_MINSTACK, NULL);
  asy_task_push(L, task);
  asy_wait_drop(w);
  task_let_go(L, task);
  S->forbidden = "while its loop closes";
  if (lua_status(w->co) == LUA_YIELD && asy_closethread(w->co, L) != LUA_OK) {
    lua_xmove(w->co, L, 1);
    lua_pushnil(L);
    asy_error_report(L, loop, "error in __close while the loop closed a task", "task",
                     lua_gettop(L) - 2);
  }
  S->forbidden = forbidden;
  if (!asy_future_is_done(&task->fut)) {
    lua_pushnil(L);
    asy_future_set_cancelled(L, -2, &task->fut, false);
  }
  task_release(task, false);
  lua_pop(L, 1);
}

void asy_task_push_all(lua_State *L, asy_Loop *loop) {
  int count = 0, i = 0;
  asy_Link *link;
  for (link = asy_list_first(&loop->tasks); link; link = asy_list_next(&loop->tasks, link))
    count++;
  lua_createtable(L, count + 4,
                  0); /* the only allocation: nothing may change while the list is walked */
  for (link = asy_list_first(&loop->tasks); link && i < count + 4;
       link = asy_list_next(&loop->tasks, link)) {
    asy_task_push(L, ASY_CONTAINER(link, asy_Task, all));
    lua_rawseti(L, -2, ++i);
  }
}

void asy_task_push_function(lua_State *L, int idx, asy_Task *task) {
  idx = lua_absindex(L, idx);
  if (!asy_future_is_done(&task->fut)) {
    asy_wait_push_slot(L, &task->wait, ASY_BASE_CALLED);
    if (lua_isfunction(L, -1)) return;
    lua_pop(L, 1);
  }
  if (lua_getiuservalue(L, idx, ASY_TASK_KEPT) == LUA_TFUNCTION) return;
  lua_pop(L, 1);
  lua_pushnil(L);
}

const char *asy_task_push_name(lua_State *L, int idx, asy_Task *task) {
  if (task->number)
    lua_pushfstring(L, "Task-%I", (LUAI_UACINT)task->number);
  else
    asy_extra_get(L, task->fut.loop->S, idx, "name");
  return lua_tostring(L, -1);
}

/* ---- functions */

static asy_Loop *task_check_running(lua_State *L, asy_State *S) {
  if (!S->running) luaL_error(L, "no running event loop");
  return S->running;
}

/* What create_task takes, at index aw: leaves a function and its arguments on top, and returns how
 * many these are. */
static int task_unpack(lua_State *L, asy_State *S, int aw) {
  int extra = lua_gettop(L) - aw;
  if (lua_isfunction(L, aw)) return extra;
  asy_coro_check(L, S, aw);
  luaL_argcheck(L, !asy_future_test(L, S, aw), aw,
                "coroutine object or function expected, got a Future");
  luaL_argcheck(L, extra == 0, aw + 1, "no value expected: only a function takes arguments");
  return asy_coro_unpack(L, S, aw);
}

/***
Start a task on the running loop: the function runs concurrently, from the next turn on.
@function create_task
@param aw a function, coroutine object, thread that has not started, or object with `__await`
@param[opt] ... arguments, if it is a function
@treturn Task
@waits no
@raise argument error; an error if no loop is running
@usage local t = asyncio.create_task(function(x) return x end, 5); assert(t:await() == 5)
@see asyncio-task.html#asyncio.create_task
*/
static int task_create_task(lua_State *L) {
  asy_State *S = asy_state(L);
  asy_Loop *loop = task_check_running(L, S);
  asy_task_new(L, loop, task_unpack(L, S, 1));
  return 1;
}

/***
Start a task on this loop.
@function Loop:create_task
@param aw a function, coroutine object, thread that has not started, or object with `__await`
@param[opt] ... arguments, if it is a function
@treturn Task
@waits no
@raise argument error; an error if the loop is closed
@usage asyncio.get_running_loop():create_task(print, "in a task")
@see asyncio-eventloop.html#asyncio.loop.create_task
*/
static int loop_create_task(lua_State *L) {
  asy_State *S = asy_state(L);
  asy_Loop *loop = asy_check_loop(L, S, 1);
  asy_task_new(L, loop, task_unpack(L, S, 2));
  return 1;
}

/***
A task factory that runs a task at once until its first wait: for `loop:set_task_factory`.
@function eager_task_factory
@tparam Loop loop where the task runs
@tparam function fn what the task runs
@param[opt] ... arguments
@treturn Task
@waits no
@raise argument error
@usage local l = asyncio.get_running_loop(); l:set_task_factory(asyncio.eager_task_factory);
l:set_task_factory(nil)
@see asyncio-task.html#asyncio.eager_task_factory
*/
static int task_eager_factory(lua_State *L) {
  asy_State *S = asy_state(L);
  asy_Loop *loop = asy_check_loop(L, S, 1);
  task_start_eager(L, loop, task_unpack(L, S, 2));
  return 1;
}

/***
Say how the loop makes tasks.
@function Loop:set_task_factory
@tparam ?function f called as f(loop, fn, ...), must return a Task; nil for the default
@return nothing
@waits no
@raise argument error
@usage local l = asyncio.get_running_loop(); l:set_task_factory(asyncio.eager_task_factory);
l:set_task_factory(nil)
@see asyncio-eventloop.html#asyncio.loop.set_task_factory
*/
static int loop_set_task_factory(lua_State *L) {
  asy_Loop *loop = asy_check_loop(L, asy_state(L), 1);
  if (!lua_isnoneornil(L, 2)) asy_check_callable(L, 2);
  lua_settop(L, 2);
  loop->factory = lua_isnil(L, 2)                               ? TASK_PLAIN
                  : lua_tocfunction(L, 2) == task_eager_factory ? TASK_EAGER
                                                                : TASK_CUSTOM;
  asy_shelf_set(L, loop->shelf, ASY_LOOP_FACTORY);
  return 0;
}

/***
The loop's task factory.
@function Loop:get_task_factory
@treturn ?function nil for the default
@waits no
@raise argument error
@usage assert(asyncio.get_running_loop():get_task_factory() == nil)
@see asyncio-eventloop.html#asyncio.loop.get_task_factory
*/
static int loop_get_task_factory(lua_State *L) {
  asy_Loop *loop = asy_check_loop(L, asy_state(L), 1);
  asy_shelf_push(L, loop->shelf, ASY_LOOP_FACTORY);
  return 1;
}

/***
A task that is made without asking the loop's task factory: what a factory of your own returns.
@function Task
@tparam[opt] Loop loop where the task runs; default: the running loop
@param aw a function, coroutine object, thread that has not started, or object with `__await`
@param[opt] ... arguments, if it is a function
@treturn Task
@waits no
@raise argument error; an error if no loop is running and none is given
@usage local l = asyncio.get_running_loop(); assert(asyncio.Task(l, print, 1):get_loop() == l)
@see asyncio-task.html#asyncio.Task
*/
static int task_new(lua_State *L) {
  asy_State *S = asy_state(L);
  bool given = asy_type_test(L, S, 1, ASY_SLOT_LOOP_TYPE) != NULL;
  asy_Loop *loop = given ? asy_check_loop(L, S, 1) : task_check_running(L, S);
  task_start_plain(L, loop, task_unpack(L, S, given ? 2 : 1));
  return 1;
}

/***
The task that is being executed now.
@function current_task
@tparam[opt] Loop loop default: the running loop
@treturn ?Task nil in a callback
@waits no
@raise argument error; an error if no loop is running and none is given
@usage assert(asyncio.current_task():get_name():match "Task")
@see asyncio-task.html#asyncio.current_task
*/
static int task_current_task(lua_State *L) {
  asy_State *S = asy_state(L);
  asy_Loop *loop = lua_isnoneornil(L, 1) ? task_check_running(L, S)
                                         : asy_type_check(L, S, 1, ASY_SLOT_LOOP_TYPE);
  asy_Task *task = asy_task_current(S);
  if (task && task->fut.loop == loop)
    asy_task_push(L, task);
  else
    lua_pushnil(L);
  return 1;
}

/***
All tasks that are not done.
@function all_tasks
@tparam[opt] Loop loop default: the running loop, else the current one
@treturn table list in the order of creation
@waits no
@raise argument error; an error if there is no loop
@usage assert(#asyncio.all_tasks() >= 1)
@see asyncio-task.html#asyncio.all_tasks
*/
static int task_all_tasks(lua_State *L) {
  asy_task_push_all(L, asy_opt_loop(L, asy_state(L), 1));
  return 1;
}

/* ---- methods */

asy_Task *asy_task_check(lua_State *L, int arg) {
  asy_State *S = asy_state(L);
  asy_Future *fut = asy_future_test(L, S, arg);
  if (fut && fut->is_task) return (asy_Task *)(void *)fut;
  return asy_type_check(L, S, arg, ASY_SLOT_TASK); /* raises: no object has that metatable itself */
}

/***
The task's name.
@function Task:get_name
@treturn string "Task-1" and so on if none was set
@waits no
@raise argument error
@usage assert(asyncio.current_task():set_name("me"):get_name() == "me")
@see asyncio-task.html#asyncio.Task.get_name
*/
static int task_get_name(lua_State *L) {
  asy_task_push_name(L, 1, asy_task_check(L, 1));
  return 1;
}

/***
Give the task a name.
@function Task:set_name
@tparam string name shown by tostring and reports
@treturn Task the task
@waits no
@raise argument error
@usage assert(asyncio.current_task():set_name("me"):get_name() == "me")
@see asyncio-task.html#asyncio.Task.set_name
*/
static int task_set_name(lua_State *L) {
  asy_Task *task = asy_task_check(L, 1);
  luaL_checkany(L, 2);
  luaL_tolstring(L, 2, NULL);
  asy_extra_set(L, asy_state(L), 1, "name");
  task->number = 0;
  lua_settop(L, 1);
  return 1;
}

/***
The Lua thread on which the task runs. It must not be resumed or closed by hand.
@function Task:get_coro
@treturn ?thread nil when the task is done
@waits no
@raise argument error
@usage assert(type(asyncio.current_task():get_coro()) == "thread")
@see asyncio-task.html#asyncio.Task.get_coro
*/
static int task_get_coro(lua_State *L) {
  asy_Task *task = asy_task_check(L, 1);
  if (asy_future_is_done(&task->fut)) {
    lua_pushnil(L);
    return 1;
  }
  task->handed_out = true;
  asy_wait_add_guard(&task->wait);
  lua_pushthread(task->wait.co);
  lua_xmove(task->wait.co, L, 1);
  return 1;
}

/***
How many requests to cancel the task are pending: calls of cancel less calls of uncancel.
@function Task:cancelling
@treturn integer
@waits no
@raise argument error
@usage assert(asyncio.current_task():cancelling() == 0)
@see asyncio-task.html#asyncio.Task.cancelling
*/
static int task_cancelling(lua_State *L) {
  lua_pushinteger(L, asy_task_check(L, 1)->cancels);
  return 1;
}

/***
Withdraw one request to cancel the task; the last one also withdraws a cancellation that was not
delivered yet.
@function Task:uncancel
@treturn integer how many are left
@waits no
@raise argument error
@usage assert(asyncio.current_task():uncancel() == 0)
@see asyncio-task.html#asyncio.Task.uncancel
*/
static int task_uncancel(lua_State *L) {
  lua_pushinteger(L, asy_task_uncancel(asy_task_check(L, 1)));
  return 1;
}

void asy_task_open(lua_State *L, asy_State *S) {
  static const luaL_Reg methods[] = {{"get_name", task_get_name}, {"set_name", task_set_name},
                                     {"get_coro", task_get_coro}, {"cancelling", task_cancelling},
                                     {"uncancel", task_uncancel}, {NULL, NULL}};
  static const luaL_Reg functions[] = {
      {"create_task", task_create_task},          {"Task", task_new},
      {"current_task", task_current_task},        {"all_tasks", task_all_tasks},
      {"eager_task_factory", task_eager_factory}, {NULL, NULL}};
  static const luaL_Reg loop_methods[] = {{"create_task", loop_create_task},
                                          {"set_task_factory", loop_set_task_factory},
                                          {"get_task_factory", loop_get_task_factory},
                                          {NULL, NULL}};
  S->stepped = task_stepped;
  S->base = task_base;
  asy_add_protector(S, task_base, ASY_BASE_FUNCTION);
  S->cancel_task = task_cancel_future;
  asy_type_new(L, S, ASY_SLOT_TASK, "asyncio.Task", asy_future_methods());
  asy_type_add(L, S, ASY_SLOT_TASK, methods);
  asy_type_add(L, S, ASY_SLOT_LOOP_TYPE, loop_methods);
  asy_add_functions(L, S, functions);
}
