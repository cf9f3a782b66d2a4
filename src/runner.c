/* SPDX-License-Identifier: MIT */
/* runner.c - asyncio.run and Runner: a loop of its own for a main task, and an orderly end.
 *
 * The end: every task that is left is cancelled and runs on until it is done; one that swallows its
 * cancellation gets it again (redeliver.c). */
#include "runner.h"

#include <string.h>

#include "context.h"
#include "error.h"
#include "redeliver.h"

typedef struct Runner {
  asy_Loop *loop; /* NULL before the first use, and after close */
  bool debug, has_debug, closed;
  bool has_run; /* the runs share one context from the first one on */
} Runner;

enum { RUNNER_LOOP = 1, RUNNER_FACTORY };

/* ---- shutting down */

/* Between two turns of the shutdown: deliver again where it was swallowed; stop when everybody is
 * done. */
static void runner_after_turn(lua_State *L, asy_Loop *loop) {
  bool pending = false;
  asy_Link *link = asy_list_first(&loop->tasks), *next;
  for (; link; link = next) {
    asy_Task *task = ASY_CONTAINER(link, asy_Task, all);
    next = asy_list_next(&loop->tasks, link);
    if (!task->fut.doomed) continue;
    if (asy_redeliver_is_due(task) && !asy_redeliver(L, task)) {
      next = asy_list_first(&loop->tasks); /* its __close handlers may have done anything */
      pending = false;
      continue;
    }
    pending = true;
  }
  if (!pending) loop->stopping = true;
}

/* [1] = loop */
static int runner_shutdown_protected(lua_State *L) {
  asy_Loop *loop = lua_touserdata(L, 1);
  asy_Link *link;
  bool any = false;
  for (link = asy_list_first(&loop->tasks); link; link = asy_list_next(&loop->tasks, link)) {
    asy_Task *task = ASY_CONTAINER(link, asy_Task, all);
    task->fut.doomed = any = true;
    asy_task_cancel(L, task, 0); /* queues; nothing ends before the next turn */
  }
  if (!any) return 0;
  loop->after_turn = runner_after_turn;
  asy_loop_drive(L, loop, 0);
  return 0;
}

/* Cancel what is left, let it finish, close the Loop at `idx`. True, or false with an error
 * (KeyboardInterrupt) pushed. */
static bool runner_shutdown(lua_State *L, int idx) {
  idx = lua_absindex(L, idx);
  asy_Loop *loop = lua_touserdata(L, idx);
  lua_pushcfunction(L, runner_shutdown_protected);
  lua_pushvalue(L, idx);
  bool ok = lua_pcall(L, 1, 0, 0) == LUA_OK;
  loop->after_turn = NULL;
  asy_loop_close(L, loop);
  return ok;
}

/* ---- running */

/* [1] = loop, [2] = future */
static int runner_drive_protected(lua_State *L) {
  asy_Loop *loop = lua_touserdata(L, 1);
  if (!asy_loop_drive(L, loop, 2))
    return luaL_error(L, "the event loop was stopped before the main task was done");
  return 0;
}

/* Run the future at index fut on the Loop at index idx to its end. False with an error pushed if
 * the drive raised. */
static bool runner_drive(lua_State *L, int idx, int fut) {
  asy_Loop *loop = lua_touserdata(L, idx);
  asy_Future *future = lua_touserdata(L, fut);
  future->expected = true; /* its error is raised below */
  loop->cancel_on_sigint = true;
  loop->interrupts = 0;
  lua_pushcfunction(L, runner_drive_protected);
  lua_pushvalue(L, idx);
  lua_pushvalue(L, fut);
  bool ok = lua_pcall(L, 2, 0, 0) == LUA_OK;
  loop->cancel_on_sigint = false;
  if (!ok) return false;
  if (loop->interrupts && future->state == ASY_CANCELLED && future->is_task &&
      asy_task_uncancel((asy_Task *)(void *)future) == 0) {
    asy_error_push(L, loop->S, ASY_KEYBOARD_INTERRUPT, NULL);
    return false;
  }
  return true;
}

static void runner_check_outside(lua_State *L, asy_State *S, const char *name) {
  if (S->running) luaL_error(L, "%s() cannot be called from a running event loop", name);
  asy_loop_check_block(L, S, NULL, name);
}

/* Replace the awaitable at aw and its arguments by its future, which belongs to the loop. */
static void runner_prepare(lua_State *L, asy_State *S, asy_Loop *loop, int aw) {
  int extra = lua_gettop(L) - aw;
  if (lua_isfunction(L, aw)) {
    asy_task_new(L, loop, extra);
    return;
  }
  luaL_argcheck(L, extra == 0, aw + 1, "no value expected: only a function takes arguments");
  asy_coro_check(L, S, aw);
  asy_task_ensure(L, loop, aw);
  lua_replace(L, aw);
}

/***
Run an awaitable on a new loop; then cancel what is left, let it finish, and close the loop. Ctrl-C
cancels the main task.
@function run
@param aw a function, coroutine object, ...
@param[opt] ... arguments, if it is a function
@return all its results
@waits no
@raise its error; KeyboardInterrupt; DeadlockError; an error if a loop is running
@usage -- in a script: asyncio.run(function() asyncio.sleep(0.1) end)
@see asyncio-runner.html#asyncio.run
*/
static int runner_run_function(lua_State *L) {
  asy_State *S = asy_state(L);
  runner_check_outside(L, S, "asyncio.run");
  asy_coro_check(L, S, 1);
  asy_Loop *loop = asy_loop_new(L, S, NULL, ASY_LOOP_SIGINT);
  lua_insert(L, 1);
  runner_prepare(L, S, loop, 2);
  asy_loop_set_current(L, S, 1);
  bool ok = runner_drive(L, 1, 2); /* loop, future, [error] */
  bool closed = runner_shutdown(L, 1);
  asy_loop_set_current(L, S, 0);
  return ok && closed ? asy_script_results(L, 2) : lua_error(L);
}

/* ---- Runner */

/***
The parts of `run`: several runs on one loop.
@function Runner
@tparam[opt] table opts `debug` (boolean), `loop_factory` (function that returns a Loop)
@treturn Runner with :run, :get_loop, :close and `<close>`
@waits no
@raise argument error
@usage -- in a script: local runner <close> = asyncio.Runner(); runner:run(main)
@see asyncio-runner.html#asyncio.Runner
*/
static int runner_new(lua_State *L) {
  asy_State *S = asy_state(L);
  lua_settop(L, 1);
  Runner *runner = asy_type_create(L, S, ASY_SLOT_RUNNER, sizeof *runner, 2);
  if (lua_isnil(L, 1)) return 1;
  luaL_checktype(L, 1, LUA_TTABLE);
  for (lua_pushnil(L); lua_next(L, 1); lua_pop(L, 1)) {
    const char *key = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "?";
    if (strcmp(key, "debug") == 0) {
      luaL_argcheck(L, lua_isboolean(L, -1), 1, "debug must be a boolean");
      runner->debug = lua_toboolean(L, -1);
      runner->has_debug = true;
    } else if (strcmp(key, "loop_factory") == 0) {
      luaL_argcheck(L, lua_isfunction(L, -1), 1, "loop_factory must be a function");
      lua_pushvalue(L, -1);
      lua_setiuservalue(L, 2, RUNNER_FACTORY);
    } else {
      return luaL_argerror(L, 1, lua_pushfstring(L, "unknown option '%s'", key));
    }
  }
  return 1;
}

/* The runner's loop, made at the first use; the Runner is at index 1. Pushes the Loop. */
static asy_Loop *runner_push_loop(lua_State *L, asy_State *S, Runner *runner) {
  if (runner->closed) luaL_error(L, "the Runner is closed");
  if (runner->loop) {
    lua_getiuservalue(L, 1, RUNNER_LOOP);
    return runner->loop;
  }
  if (lua_getiuservalue(L, 1, RUNNER_FACTORY) == LUA_TNIL) {
    lua_pop(L, 1);
    asy_loop_new(L, S, NULL, ASY_LOOP_SIGINT);
  } else {
    lua_call(L, 0, 1);
  }
  asy_Loop *loop = asy_type_test(L, S, -1, ASY_SLOT_LOOP_TYPE);
  if (!loop) luaL_error(L, "loop_factory must return a Loop, not %s", luaL_typename(L, -1));
  asy_loop_check_open(L, loop);
  if (runner->has_debug) loop->debug = runner->debug;
  runner->loop = loop;
  lua_pushvalue(L, -1);
  lua_setiuservalue(L, 1, RUNNER_LOOP);
  return loop;
}

/* The new task at index idx runs in the context in which the run before it has ended. */
static void runner_share_context(lua_State *L, Runner *runner, int idx) {
  asy_Task *task = lua_touserdata(L, idx);
  if (task->wait.started || asy_future_is_done(&task->fut)) return; /* a factory's doing */
  asy_context_share(L, &task->wait, runner->has_run);
  runner->has_run = true;
}

/***
Run an awaitable on the runner's loop. What it sets in a ContextVar is there in the next run.
@function Runner:run
@param aw a function, coroutine object, ...
@param[opt] ... arguments, if it is a function
@return all its results
@waits no
@raise its error; KeyboardInterrupt; DeadlockError; an error if a loop is running or the Runner is
closed
@usage -- in a script: local runner <close> = asyncio.Runner(); runner:run(main)
@see asyncio-runner.html#asyncio.Runner.run
*/
static int runner_run(lua_State *L) {
  asy_State *S = asy_state(L);
  Runner *runner = asy_type_check(L, S, 1, ASY_SLOT_RUNNER);
  runner_check_outside(L, S, "Runner:run");
  asy_coro_check(L, S, 2);
  asy_Loop *loop = runner_push_loop(L, S, runner);
  lua_insert(L, 2);
  bool is_new = !asy_future_test(L, S, 3);
  runner_prepare(L, S, loop, 3);
  if (is_new) runner_share_context(L, runner, 3);
  asy_loop_set_current(L, S, 2);
  bool ok = runner_drive(L, 2, 3);
  loop->sharer = NULL;
  return ok ? asy_script_results(L, 3) : lua_error(L);
}

/***
The runner's loop.
@function Runner:get_loop
@treturn Loop
@waits no
@raise an error if the Runner is closed
@usage -- in a script: local r <close> = asyncio.Runner(); r:get_loop():set_debug(true)
@see asyncio-runner.html#asyncio.Runner.get_loop
*/
static int runner_get_loop(lua_State *L) {
  asy_State *S = asy_state(L);
  runner_push_loop(L, S, asy_type_check(L, S, 1, ASY_SLOT_RUNNER));
  return 1;
}

/***
Cancel what is left, let it finish, and close the loop.
@function Runner:close
@return nothing
@waits no
@raise KeyboardInterrupt; an error if the loop is running
@usage local r = asyncio.Runner(); r:get_loop(); -- in a script: r:close()
@see asyncio-runner.html#asyncio.Runner.close
*/
static int runner_close(lua_State *L) {
  asy_State *S = asy_state(L);
  Runner *runner = asy_type_check(L, S, 1, ASY_SLOT_RUNNER);
  if (runner->closed) return 0;
  if (runner->loop && S->running)
    return luaL_error(L, "cannot close a Runner while an event loop is running");
  runner->closed = true;
  if (!runner->loop) return 0;
  lua_settop(L, 1);
  lua_getiuservalue(L, 1, RUNNER_LOOP);
  bool current = S->current == runner->loop;
  bool ok = runner->loop->closed || runner_shutdown(L, 2);
  runner->loop = NULL;
  if (current) asy_loop_set_current(L, S, 0);
  return ok ? 0 : lua_error(L);
}

void asy_runner_open(lua_State *L, asy_State *S) {
  static const luaL_Reg methods[] = {{"run", runner_run},
                                     {"get_loop", runner_get_loop},
                                     {"close", runner_close},
                                     {"__close", runner_close},
                                     {NULL, NULL}};
  static const luaL_Reg functions[] = {
      {"run", runner_run_function}, {"Runner", runner_new}, {NULL, NULL}};
  asy_type_new(L, S, ASY_SLOT_RUNNER, "asyncio.Runner", methods);
  asy_add_functions(L, S, functions);
}
