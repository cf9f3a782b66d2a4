/* SPDX-License-Identifier: MIT */
/* coro.c - coroutine objects (asyncio.async), what counts as awaitable, and asyncio.await.
 *
 * A coroutine object is a function with its arguments bound, to be run once: a userdata whose user
 * values are the function and the arguments. Awaiting it runs the function in the awaiting task,
 * with nothing in between. */
#include "coro.h"

#include <string.h>

#include "error.h"
#include "name.h"

enum { CORO_FUNCTION = 1, CORO_ARGS };

typedef struct Coro {
  int nargs;
  bool used;    /* awaited, or made a task */
  bool checked; /* debug mode: warn if it is never awaited */
} Coro;

static int coro_call(lua_State *L);

/* Is the value at idx a function made by asyncio.async? */
static bool coro_is_function(lua_State *L, int idx) {
  return lua_tocfunction(L, idx) == coro_call;
}

/* An unstarted thread: a function lies on its stack, and nothing else has run. A task's own is
 * none. */
static bool coro_is_fresh_thread(lua_State *co) {
  lua_Debug ar;
  return lua_status(co) == LUA_OK && lua_gettop(co) > 0 && !lua_getstack(co, 0, &ar) &&
         lua_tocfunction(co, -1) != asy_wait_guard;
}

bool asy_coro_is_awaitable(lua_State *L, asy_State *S, int idx) {
  switch (lua_type(L, idx)) {
  case LUA_TFUNCTION: return true;
  case LUA_TTHREAD: return coro_is_fresh_thread(lua_tothread(L, idx));
  case LUA_TUSERDATA:
    if (asy_type_test(L, S, idx, ASY_SLOT_COROUTINE) || asy_future_test(L, S, idx)) return true;
    break;
  default: break;
  }
  if (luaL_getmetafield(L, idx, "__await") == LUA_TNIL) return false;
  lua_pop(L, 1);
  return true;
}

void asy_coro_check(lua_State *L, asy_State *S, int arg) {
  if (asy_coro_is_awaitable(L, S, arg)) return;
  if (lua_isthread(L, arg)) luaL_argerror(L, arg, "a coroutine that has not started expected");
  luaL_typeerror(L, arg, "awaitable (future, task, coroutine object, function)");
}

static int coro_unpack_object(lua_State *L, int idx) {
  Coro *coro = lua_touserdata(L, idx);
  if (coro->used) return luaL_error(L, "cannot await a coroutine object twice");
  luaL_checkstack(L, coro->nargs + 1, "too many arguments");
  coro->used = true;
  for (int i = 0; i <= coro->nargs; i++)
    lua_getiuservalue(L, idx, CORO_FUNCTION + i);
  return coro->nargs;
}

int asy_coro_unpack(lua_State *L, asy_State *S, int idx) {
  idx = lua_absindex(L, idx);
  if (lua_isfunction(L, idx)) {
    lua_pushvalue(L, idx);
    return 0;
  }
  if (asy_type_test(L, S, idx, ASY_SLOT_COROUTINE)) return coro_unpack_object(L, idx);
  if (lua_isthread(L, idx)) {
    lua_State *co = lua_tothread(L, idx);
    int n = lua_gettop(co);
    luaL_checkstack(L, n, "too many arguments");
    lua_xmove(co, L, n);
    return n - 1;
  }
  luaL_getmetafield(L, idx, "__await");
  lua_pushvalue(L, idx);
  return 1;
}

/* ---- asyncio.async */

/* Calling a coroutine function: upvalues are the State and the function. */
static int coro_call(lua_State *L) {
  asy_State *S = asy_state(L);
  int n = lua_gettop(L);
  luaL_checkstack(L, 3, NULL);
  Coro *coro = asy_type_create(L, S, ASY_SLOT_COROUTINE, sizeof *coro, n + 1);
  coro->nargs = n;
  coro->checked = S->running && S->running->debug;
  lua_pushvalue(L, lua_upvalueindex(2));
  lua_setiuservalue(L, n + 1, CORO_FUNCTION);
  for (int i = 1; i <= n; i++) {
    lua_pushvalue(L, i);
    lua_setiuservalue(L, n + 1, CORO_ARGS + i - 1);
  }
  return 1;
}

/***
Make a coroutine function: calling it runs nothing, and returns a coroutine object with the
arguments bound.
@function async
@tparam function fn what the coroutine object runs
@treturn function the coroutine function
@waits no
@raise argument error
@usage local f = asyncio.async(function(x) return x + 1 end); assert(asyncio.await(f(1)) == 2)
@see asyncio-task.html#coroutines
*/
static int coro_async(lua_State *L) {
  luaL_checktype(L, 1, LUA_TFUNCTION);
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_pushvalue(L, 1);
  lua_pushcclosure(L, coro_call, 2);
  return 1;
}

static int coro_tostring(lua_State *L) {
  void *coro = asy_type_check(L, asy_state(L), 1, ASY_SLOT_COROUTINE);
  lua_getiuservalue(L, 1, CORO_FUNCTION);
  lua_pushfstring(L, "<coroutine object %s at %p>", asy_name_push(L, -1), coro);
  return 1;
}

/***
Drop a coroutine object that will not be awaited.
@function Coroutine:close
@return nothing
@waits no
@raise argument error
@usage local f = asyncio.async(print); f("never"):close()
@see asyncio-task.html#coroutines
*/
static int coro_close(lua_State *L) {
  Coro *coro = asy_type_check(L, asy_state(L), 1, ASY_SLOT_COROUTINE);
  coro->used = true;
  return 0;
}

/* Only in debug mode does a coroutine object have something to say when it is collected. */
static int coro_gc(lua_State *L) {
  Coro *coro = asy_type_check(L, asy_state(L), 1, ASY_SLOT_COROUTINE);
  if (coro->used || !coro->checked) return 0;
  lua_getiuservalue(L, 1, CORO_FUNCTION);
  lua_writestringerror("asyncio: coroutine '%s' was never awaited\n", asy_name_push_place(L, -1));
  return 0;
}

static int coro_k_results(lua_State *L, int status, lua_KContext ctx) {
  (void)status;
  return lua_gettop(L) - (int)ctx;
}

/***
Wait for an awaitable: a future or task; or run a coroutine object, a function, a thread that has
not started, or an object
with `__await`, in this task.
@function await
@param aw the awaitable
@return its results
@waits yes
@cancel raises CancelledError at the innermost wait; a future or task that is awaited is cancelled
@raise the awaitable's error; argument error
@usage assert(asyncio.await(function() return 1 end) == 1)
@see asyncio-task.html#awaitables
*/
static int coro_await(lua_State *L) {
  asy_State *S = asy_state(L);
  asy_coro_check(L, S, 1);
  asy_Future *fut = asy_future_test(L, S, 1);
  if (lua_gettop(L) > 1)
    luaL_argerror(L, 2, "no value expected: bind arguments with a function or asyncio.async");
  if (fut) {
    asy_Wait *w = asy_wait_begin(L, S);
    return w ? asy_future_await(L, w, fut) : asy_wait_outside(L, S);
  }
  if (!S->waiter && !S->running) return asy_wait_outside(L, S);
  int n = asy_coro_unpack(L, S, 1);
  lua_callk(L, n, LUA_MULTRET, 1, coro_k_results);
  return coro_k_results(L, LUA_OK, 1);
}

/***
Is the value a coroutine object (of asyncio.async), or a Lua thread?
@function iscoroutine
@param x any value
@treturn boolean
@waits no
@raise never
@usage local f = asyncio.async(print); assert(asyncio.iscoroutine(f()))
@see asyncio-task.html#asyncio.iscoroutine
*/
static int coro_iscoroutine(lua_State *L) {
  lua_pushboolean(L, lua_isthread(L, 1) || asy_type_test(L, asy_state(L), 1, ASY_SLOT_COROUTINE));
  return 1;
}

/***
Is the value a coroutine function, made by asyncio.async?
@function iscoroutinefunction
@param x any value
@treturn boolean
@waits no
@raise never
@usage assert(asyncio.iscoroutinefunction(asyncio.async(print)) and not
asyncio.iscoroutinefunction(print))
@see inspect.html#inspect.iscoroutinefunction
*/
static int coro_iscoroutinefunction(lua_State *L) {
  lua_pushboolean(L, coro_is_function(L, 1));
  return 1;
}

void asy_coro_open(lua_State *L, asy_State *S) {
  static const luaL_Reg methods[] = {
      {"close", coro_close}, {"__tostring", coro_tostring}, {"__gc", coro_gc}, {NULL, NULL}};
  static const luaL_Reg functions[] = {{"async", coro_async},
                                       {"await", coro_await},
                                       {"iscoroutine", coro_iscoroutine},
                                       {"iscoroutinefunction", coro_iscoroutinefunction},
                                       {NULL, NULL}};
  asy_type_new(L, S, ASY_SLOT_COROUTINE, "asyncio.Coroutine", methods);
  asy_add_functions(L, S, functions);
}
