/* SPDX-License-Identifier: MIT */
/* script.c - what a script does with a loop: the current loop, running one until something is done,
 * waiting at top level, and the methods of Loop that need no other room. */
#include "script.h"

#include <string.h>

#include "error.h"
#include "name.h"

/***
The loop that is running.
@function get_running_loop
@treturn Loop
@waits no
@raise an error if no loop is running
@usage assert(asyncio.get_running_loop():is_running())
@see asyncio-eventloop.html#asyncio.get_running_loop
*/
static int script_get_running(lua_State *L) {
  asy_loop_push(L, asy_loop_running(L, asy_state(L)));
  return 1;
}

/***
The running loop, else the current one; if there is none, one is made and set.
@function get_event_loop
@treturn Loop
@waits no
@raise OSError if libuv cannot make a loop
@usage assert(asyncio.get_event_loop() == asyncio.get_running_loop())
@see asyncio-eventloop.html#asyncio.get_event_loop
*/
static int script_get_event_loop(lua_State *L) {
  asy_loop_push(L, asy_loop_get(L, asy_state(L)));
  return 1;
}

/***
Make a loop. It is not the current one unless `set_event_loop` makes it so.
@function new_event_loop
@tparam[opt] table opts `clock="virtual"`: time is simulated, it jumps to the next timer when
nothing is ready, and stands still while a look-up of a name, a file, a job on a thread or the end
of a child process is waited for; `debug=true`; `threads=n`: at most n threads for to_thread, as
Loop:set_thread_count sets it
@treturn Loop
@waits no
@raise argument error; OSError if libuv cannot make a loop
@usage local l = asyncio.new_event_loop{clock = "virtual"}; assert(l:time() == 0); l:close()
@see asyncio-eventloop.html#asyncio.new_event_loop
*/
static int script_new_event_loop(lua_State *L) {
  unsigned flags = ASY_LOOP_SIGINT;
  lua_Integer threads = 0;
  if (!lua_isnoneornil(L, 1)) {
    luaL_checktype(L, 1, LUA_TTABLE);
    for (lua_pushnil(L); lua_next(L, 1); lua_pop(L, 1)) {
      const char *key = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "?";
      if (strcmp(key, "clock") == 0) {
        const char *clock = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "?";
        if (strcmp(clock, "virtual") == 0)
          flags |= ASY_LOOP_VIRTUAL;
        else
          luaL_argcheck(L, strcmp(clock, "real") == 0, 1, "clock must be \"virtual\" or \"real\"");
      } else if (strcmp(key, "debug") == 0) {
        luaL_argcheck(L, lua_isboolean(L, -1), 1, "debug must be a boolean");
        if (lua_toboolean(L, -1)) flags |= ASY_LOOP_DEBUG;
      } else if (strcmp(key, "threads") == 0) {
        threads = lua_isinteger(L, -1) ? lua_tointeger(L, -1) : 0;
        luaL_argcheck(L, threads > 0 && threads <= ASY_THREADS_MOST, 1,
                      "threads must be an integer from 1 to 1024");
      } else {
        return luaL_argerror(L, 1, lua_pushfstring(L, "unknown option '%s'", key));
      }
    }
  }
  asy_loop_new(L, asy_state(L), NULL, flags)->thread_limit = (int)threads;
  return 1;
}

/***
Make a loop the current one, which waits at top level run and `get_event_loop` returns.
@function set_event_loop
@tparam ?Loop loop nil: there is none, unless a host has opened one
@return nothing
@waits no
@raise argument error
@usage local l = asyncio.new_event_loop(); asyncio.set_event_loop(l); asyncio.set_event_loop(nil);
l:close()
@see asyncio-eventloop.html#asyncio.set_event_loop
*/
static int script_set_event_loop(lua_State *L) {
  asy_State *S = asy_state(L);
  if (!lua_isnoneornil(L, 1)) asy_type_check(L, S, 1, ASY_SLOT_LOOP_TYPE);
  lua_settop(L, 1);
  asy_loop_set_current(L, S, 1);
  return 0;
}

/***
Make a task of an awaitable, unless it is a Future or Task already.
@function ensure_future
@param aw the awaitable
@treturn Future the same, or a new Task of the running loop, else of the current one
@waits no
@raise argument error
@usage assert(asyncio.ensure_future(function() return 1 end):await() == 1)
@see asyncio-future.html#asyncio.ensure_future
*/
static int script_ensure_future(lua_State *L) {
  asy_State *S = asy_state(L);
  asy_coro_check(L, S, 1);
  luaL_argcheck(L, lua_gettop(L) == 1, 2,
                "no value expected: bind arguments with a function or asyncio.async");
  if (asy_future_test(L, S, 1)) return 1;
  asy_task_ensure(L, asy_loop_get(L, S), 1);
  return 1;
}

/* ---- running from a script */

/* Is the C function on top one that runs a file and catches nothing? */
static bool script_lets_errors_pass(lua_State *L) {
  const char *name = asy_name_global(L, -1);
  return name && (strcmp(name, "require") == 0 || strcmp(name, "dofile") == 0);
}

/* An error leaves the library at the end of a run. If nothing on the stack can catch it, the failed
 * task's own stack is shown: stock lua would show the main chunk's only. */
static void script_show_uncaught(lua_State *L, int fut) {
  asy_State *S = asy_state(L);
  asy_Future *future = lua_touserdata(L, fut);
  lua_Debug ar;
  bool host = false;
  int top = lua_gettop(L);
  if (future->state != ASY_FAILED || L != S->main) return;
  for (int level = 1; lua_getstack(L, level, &ar); level++) {
    if (host) return; /* a C function in between may be a pcall */
    lua_getinfo(L, "Sf", &ar);
    host = *ar.what == 'C' && !script_lets_errors_pass(L);
    lua_settop(L, top);
  }
  if (!host) return; /* called by a C host, not by the lua program */
  asy_future_push_traceback(L, fut, future);
  if (lua_isstring(L, -1)) {
    luaL_tolstring(L, fut, NULL);
    lua_writestringerror("asyncio: error in %s\n", lua_tostring(L, -1));
    lua_writestringerror("%s\n", lua_tostring(L, -2));
    lua_pop(L, 1);
  }
  lua_pop(L, 1);
}

int asy_script_results(lua_State *L, int fut) {
  script_show_uncaught(L, fut);
  return asy_future_push_results(L, fut, lua_touserdata(L, fut));
}

/* Replace the awaitable at `aw`, and the arguments behind it, by its future, at `aw`. */
static asy_Future *script_prepare(lua_State *L, asy_State *S, asy_Loop *loop, int aw) {
  asy_coro_check(L, S, aw);
  int extra = lua_gettop(L) - aw;
  if (lua_isfunction(L, aw)) return &asy_task_new(L, loop, extra)->fut;
  luaL_argcheck(L, extra == 0, aw + 1, "no value expected: only a function takes arguments");
  asy_Future *fut = asy_task_ensure(L, loop, aw);
  lua_replace(L, aw);
  return fut;
}

int asy_script_run_until_complete(lua_State *L, asy_Loop *loop, int aw) {
  asy_State *S = loop->S;
  if (S->running)
    return luaL_error(L, "cannot run the event loop while %s is running",
                      S->running == loop ? "it" : "another loop");
  asy_loop_check_block(L, S, loop, "run_until_complete");
  asy_Future *fut = script_prepare(L, S, loop, aw);
  if (!asy_loop_drive(L, loop, aw))
    return luaL_error(L, "the event loop was stopped before the future was done");
  (void)fut;
  return asy_script_results(L, aw);
}

/***
Run the loop until an awaitable is done.
@function Loop:run_until_complete
@param aw a future, task, coroutine object, function ...
@param[opt] ... arguments, if it is a function
@return its results
@waits no
@raise its error; DeadlockError; KeyboardInterrupt; an error if a loop is running or it was stopped
before
@usage -- in a script: asyncio.get_event_loop():run_until_complete(main)
@see asyncio-eventloop.html#asyncio.loop.run_until_complete
*/
static int script_run_until_complete(lua_State *L) {
  asy_Loop *loop = asy_check_loop(L, asy_state(L), 1);
  return asy_script_run_until_complete(L, loop, 2);
}

/***
Run the loop until `stop` is called.
@function Loop:run_forever
@return nothing
@waits no
@raise KeyboardInterrupt; an error if a loop is running
@usage -- in a script: loop:call_later(1, loop.stop, loop); loop:run_forever()
@see asyncio-eventloop.html#asyncio.loop.run_forever
*/
static int script_run_forever(lua_State *L) {
  asy_loop_drive(L, asy_check_loop(L, asy_state(L), 1), 0);
  return 0;
}

/* S->toplevel: run the C function that calls, with its arguments, in a task of the current loop. */
static int script_toplevel(lua_State *L) {
  asy_State *S = asy_state_from_registry(L);
  lua_Debug ar;
  int n = lua_gettop(L);
  luaL_checkstack(L, LUA_MINSTACK, NULL);
  lua_getstack(L, 0, &ar);
  lua_getinfo(L, "f", &ar);
  lua_insert(L, 1);
  if (S->current && S->current->closed) asy_loop_set_current(L, S, 0);
  asy_Loop *loop = asy_loop_get(L, S);
  if (asy_loop_blocks_host(S, loop))
    return luaL_error(L, "cannot wait outside a task: the host drives the event loop");
  asy_task_new(L, loop, n);
  if (!asy_loop_drive(L, loop, 1))
    return luaL_error(L, "the event loop was stopped before the wait was over");
  return asy_script_results(L, 1);
}

/***
End run_forever, or run_until_complete, after the current turn.
@function Loop:stop
@return nothing
@waits no
@raise argument error
@usage asyncio.get_running_loop():call_soon(print) -- loop:stop() would end the run
@see asyncio-eventloop.html#asyncio.loop.stop
*/
static int script_stop(lua_State *L) {
  asy_check_loop(L, asy_state(L), 1)->stopping = true;
  return 0;
}

/***
Close the loop: pending tasks are closed in the order of creation (their to-be-closed variables
run), handles released.
@function Loop:close
@return nothing
@waits no
@raise an error if it is running
@usage local l = asyncio.new_event_loop(); l:close(); assert(l:is_closed())
@see asyncio-eventloop.html#asyncio.loop.close
*/
static int script_close(lua_State *L) {
  asy_loop_close(L, asy_type_check(L, asy_state(L), 1, ASY_SLOT_LOOP_TYPE));
  return 0;
}

/***
Is the loop running?
@function Loop:is_running
@treturn boolean
@waits no
@raise argument error
@usage assert(asyncio.get_running_loop():is_running())
@see asyncio-eventloop.html#asyncio.loop.is_running
*/
static int script_is_running(lua_State *L) {
  asy_State *S = asy_state(L);
  lua_pushboolean(L, S->running == asy_type_check(L, S, 1, ASY_SLOT_LOOP_TYPE));
  return 1;
}

/***
Is the loop closed?
@function Loop:is_closed
@treturn boolean
@waits no
@raise argument error
@usage assert(not asyncio.get_running_loop():is_closed())
@see asyncio-eventloop.html#asyncio.loop.is_closed
*/
static int script_is_closed(lua_State *L) {
  asy_Loop *loop = asy_type_check(L, asy_state(L), 1, ASY_SLOT_LOOP_TYPE);
  lua_pushboolean(L, loop->closed);
  return 1;
}

/***
Say what is called for errors that nobody can catch: of callbacks, and of tasks that nobody awaits.
@function Loop:set_exception_handler
@tparam ?function f called as f(loop, context); context has message, exception, traceback, and
task, future or handle; nil:
the default, which writes to stderr
@return nothing
@waits no
@raise argument error
@usage asyncio.get_running_loop():set_exception_handler(nil)
@see asyncio-eventloop.html#asyncio.loop.set_exception_handler
*/
static int script_set_exception_handler(lua_State *L) {
  asy_Loop *loop = asy_type_check(L, asy_state(L), 1, ASY_SLOT_LOOP_TYPE);
  if (!lua_isnoneornil(L, 2)) asy_check_callable(L, 2);
  lua_settop(L, 2);
  asy_shelf_set(L, loop->shelf, ASY_LOOP_HANDLER);
  return 0;
}

/***
The function of set_exception_handler.
@function Loop:get_exception_handler
@treturn ?function nil for the default
@waits no
@raise argument error
@usage assert(asyncio.get_running_loop():get_exception_handler() == nil)
@see asyncio-eventloop.html#asyncio.loop.get_exception_handler
*/
static int script_get_exception_handler(lua_State *L) {
  asy_Loop *loop = asy_type_check(L, asy_state(L), 1, ASY_SLOT_LOOP_TYPE);
  asy_shelf_push(L, loop->shelf, ASY_LOOP_HANDLER);
  return 1;
}

/***
Call the exception handler.
@function Loop:call_exception_handler
@tparam table context with `message` and whatever else is known
@return nothing
@waits no
@raise argument error
@usage local loop, got = asyncio.get_running_loop(), nil
loop:set_exception_handler(function(_, context) got = context.message end)
loop:call_exception_handler {message = "mine"}; assert(got == "mine")
@see asyncio-eventloop.html#asyncio.loop.call_exception_handler
*/
static int script_call_exception_handler(lua_State *L) {
  asy_Loop *loop = asy_type_check(L, asy_state(L), 1, ASY_SLOT_LOOP_TYPE);
  luaL_checktype(L, 2, LUA_TTABLE);
  lua_settop(L, 2);
  asy_error_handle(L, loop);
  return 0;
}

/***
What is done when there is no other exception handler: write the context to stderr. For handlers
that see to some errors and leave the others to it.
@function Loop:default_exception_handler
@tparam table context `message`, and exception, traceback, task, future, handle, if it has them
@return nothing
@waits no
@raise argument error
@usage local loop = asyncio.get_running_loop()
loop:set_exception_handler(function(_, context)
  if context.exception ~= "expected" then loop:default_exception_handler(context) end
end)
loop:call_soon(error, "expected", 0)
@see asyncio-eventloop.html#asyncio.loop.default_exception_handler
*/
static int script_default_exception_handler(lua_State *L) {
  asy_type_check(L, asy_state(L), 1, ASY_SLOT_LOOP_TYPE);
  luaL_checktype(L, 2, LUA_TTABLE);
  asy_error_default(L, 2);
  return 0;
}

/***
Debug mode: slow callbacks, coroutine objects that are never awaited, swallowed cancellations are
reported; tasks know where they
were created.
@function Loop:set_debug
@tparam boolean on whether it is on
@return nothing
@waits no
@raise argument error
@usage asyncio.get_running_loop():set_debug(false)
@see asyncio-eventloop.html#asyncio.loop.set_debug
*/
static int script_set_debug(lua_State *L) {
  asy_Loop *loop = asy_type_check(L, asy_state(L), 1, ASY_SLOT_LOOP_TYPE);
  luaL_checktype(L, 2, LUA_TBOOLEAN);
  loop->debug = lua_toboolean(L, 2);
  return 0;
}

/***
Is debug mode on?
@function Loop:get_debug
@treturn boolean
@waits no
@raise argument error
@usage assert(asyncio.get_running_loop():get_debug() == false)
@see asyncio-eventloop.html#asyncio.loop.get_debug
*/
static int script_get_debug(lua_State *L) {
  asy_Loop *loop = asy_type_check(L, asy_state(L), 1, ASY_SLOT_LOOP_TYPE);
  lua_pushboolean(L, loop->debug);
  return 1;
}

/* loop.slow_callback_duration is a number; everything else is a method. */
static int script_index(lua_State *L) {
  lua_settop(L, 2);
  lua_pushvalue(L, 2);
  if (lua_rawget(L, lua_upvalueindex(2)) != LUA_TNIL) return 1; /* a method that was used before */
  asy_State *S = asy_state(L);
  asy_Loop *loop = asy_type_check(L, S, 1, ASY_SLOT_LOOP_TYPE);
  if (lua_type(L, 2) == LUA_TSTRING && strcmp(lua_tostring(L, 2), "slow_callback_duration") == 0)
    lua_pushnumber(L, loop->slow_callback);
  else
    asy_method_push(L, S, ASY_SLOT_LOOP_TYPE);
  return 1;
}

static int script_newindex(lua_State *L) {
  asy_Loop *loop = asy_type_check(L, asy_state(L), 1, ASY_SLOT_LOOP_TYPE);
  const char *key = luaL_checkstring(L, 2);
  if (strcmp(key, "slow_callback_duration") != 0)
    return luaL_error(L, "a Loop has no field '%s'", key);
  loop->slow_callback = asy_check_seconds(L, 3);
  return 0;
}

static int script_tostring(lua_State *L) {
  asy_State *S = asy_state(L);
  asy_Loop *loop = asy_type_check(L, S, 1, ASY_SLOT_LOOP_TYPE);
  lua_pushfstring(L, "<asyncio.Loop running=%s closed=%s debug=%s>",
                  S->running == loop ? "true" : "false", loop->closed ? "true" : "false",
                  loop->debug ? "true" : "false");
  return 1;
}

void asy_script_open(lua_State *L, asy_State *S) {
  static const luaL_Reg methods[] = {
      {"run_until_complete", script_run_until_complete},
      {"run_forever", script_run_forever},
      {"stop", script_stop},
      {"close", script_close},
      {"is_running", script_is_running},
      {"is_closed", script_is_closed},
      {"set_exception_handler", script_set_exception_handler},
      {"get_exception_handler", script_get_exception_handler},
      {"call_exception_handler", script_call_exception_handler},
      {"default_exception_handler", script_default_exception_handler},
      {"set_debug", script_set_debug},
      {"get_debug", script_get_debug},
      {"__index", script_index},
      {"__newindex", script_newindex},
      {"__tostring", script_tostring},
      {NULL, NULL}};
  static const luaL_Reg functions[] = {
      {"get_running_loop", script_get_running},  {"get_event_loop", script_get_event_loop},
      {"new_event_loop", script_new_event_loop}, {"set_event_loop", script_set_event_loop},
      {"ensure_future", script_ensure_future},   {NULL, NULL}};
  S->toplevel = script_toplevel;
  asy_type_add(L, S, ASY_SLOT_LOOP_TYPE, methods);
  asy_add_functions(L, S, functions);
}
