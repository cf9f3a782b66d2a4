/* SPDX-License-Identifier: MIT */
/* wrap.c - coroutines of the user's through which waits pass: asyncio.wrap (generators) and
 * asyncio.patch (the global coroutine library). Both resume through asy_wait_resume; here is only
 * what they do with the values. */
#include "wrap.h"

#include <string.h>

#include "error.h"

/* ---- resuming */

/* Why a coroutine cannot be resumed now, or NULL. */
static const char *wrap_obstacle(lua_State *L, lua_State *co) {
  lua_Debug ar;
  if (asy_wait_passes(co)) return "cannot resume a coroutine in which a task waits";
  if (lua_status(co) == LUA_YIELD) return NULL;
  if (lua_status(co) != LUA_OK) return "cannot resume dead coroutine";
  if (co == L || lua_getstack(co, 0, &ar)) return "cannot resume non-suspended coroutine";
  return lua_gettop(co) == 0 ? "cannot resume dead coroutine" : NULL;
}

/* Before asy_wait_resume: move the n values on top of L to co. */
static void wrap_move(lua_State *L, lua_State *co, int n) {
  asy_wait_prepare(L);
  if (!lua_checkstack(co, n + 1)) luaL_error(L, "too many arguments to resume");
  lua_xmove(L, co, n);
}

static int wrap_take_results(lua_State *L, lua_State *co, int n) {
  luaL_checkstack(L, n + 1, "too many results");
  lua_xmove(co, L, n);
  return n;
}

/* ---- asyncio.wrap */

/* The bottom of a generator's thread: its body runs protected, so that __close handlers may wait
 * when an error unwinds. */
static int wrap_k_base(lua_State *L, int status, lua_KContext ctx) {
  (void)ctx;
  return status == LUA_OK || status == LUA_YIELD ? lua_gettop(L) : lua_error(L);
}

static int wrap_base(lua_State *L) {
  return wrap_k_base(L, lua_pcallk(L, lua_gettop(L) - 1, LUA_MULTRET, 0, 0, wrap_k_base), 0);
}

static int wrap_after(lua_State *L, lua_State *co, int status, int n) {
  if (status == LUA_OK || status == LUA_YIELD) return wrap_take_results(L, co, n);
  lua_xmove(co, L, 1);
  return lua_error(L);
}

/* The iterator: upvalues are the State and the thread. */
static int wrap_next(lua_State *L) {
  lua_State *co = lua_tothread(L, lua_upvalueindex(2));
  const char *obstacle = wrap_obstacle(L, co);
  if (obstacle) return luaL_error(L, "%s", obstacle);
  int n = lua_gettop(L);
  wrap_move(L, co, n);
  lua_pushvalue(L, lua_upvalueindex(2));
  if (lua_status(co) == LUA_OK) n++; /* the first time: the body is an argument of wrap_base */
  return asy_wait_resume(L, n, wrap_after);
}

/* Close a suspended coroutine; what its __close handlers raise is pushed (returns false). */
static bool wrap_close_thread(lua_State *L, lua_State *co) {
  asy_State *S = asy_state_from_registry(L);
  const char *forbidden = S->forbidden;
  S->forbidden = "while a coroutine is closed";
  int status = asy_closethread(co, L);
  S->forbidden = forbidden;
  if (status == LUA_OK) return true;
  lua_xmove(co, L, 1);
  return false;
}

/* The closer's __close. The closer is a userdata that keeps the thread out of reach. */
static int wrap_closer_close(lua_State *L) {
  asy_type_check(L, asy_state(L), 1, ASY_SLOT_CLOSER);
  lua_getiuservalue(L, 1, 1);
  lua_State *co = lua_tothread(L, -1);
  if (!co || asy_wait_passes(co) || lua_status(co) != LUA_YIELD) return 0;
  return wrap_close_thread(L, co) ? 0 : lua_error(L);
}

/***
Make a generator: like coroutine.wrap, but waits inside the function pass through to the task. For
use in a `for`.
@function wrap
@tparam function fn its coroutine.yield(...) hands values out
@treturn function the iterator; then nil, nil, and a closer with which `break` closes the generator
@waits no
@raise argument error; what fn raises is raised by the iterator
@usage for i in asyncio.wrap(function() asyncio.sleep(0) coroutine.yield(1) end) do assert(i == 1)
end
@see asyncio-task.html#asynchronous-generators
*/
static int wrap_wrap(lua_State *L) {
  luaL_checktype(L, 1, LUA_TFUNCTION);
  lua_settop(L, 1);
  lua_State *co = lua_newthread(L);
  lua_pushcfunction(co, wrap_base);
  lua_pushvalue(L, 1);
  lua_xmove(L, co, 1);
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_pushvalue(L, 2);
  lua_pushcclosure(L, wrap_next, 2);
  lua_pushnil(L);
  lua_pushnil(L);
  asy_type_create(L, asy_state(L), ASY_SLOT_CLOSER, 0, 1);
  lua_pushvalue(L, 2);
  lua_setiuservalue(L, -2, 1);
  return 4;
}

/* ---- asyncio.patch: the functions of the coroutine library */

static lua_State *wrap_check_thread(lua_State *L, int arg) {
  lua_State *co = lua_tothread(L, arg);
  luaL_argexpected(L, co, arg, "coroutine");
  return co;
}

static int wrap_after_resume(lua_State *L, lua_State *co, int status, int n) {
  if (status == LUA_OK || status == LUA_YIELD) {
    lua_pushboolean(L, 1);
    return wrap_take_results(L, co, n) + 1;
  }
  lua_pushboolean(L, 0);
  lua_xmove(co, L, 1);
  return 2;
}

static int patch_resume(lua_State *L) {
  lua_State *co = wrap_check_thread(L, 1);
  const char *obstacle = wrap_obstacle(L, co);
  if (obstacle) {
    lua_pushboolean(L, 0);
    lua_pushstring(L, obstacle);
    return 2;
  }
  int n = lua_gettop(L) - 1;
  wrap_move(L, co, n);
  return asy_wait_resume(L, n, wrap_after_resume);
}

/* As coroutine.wrap's function: an error closes the coroutine and gains the position if it is a
 * string. */
static int wrap_after_call(lua_State *L, lua_State *co, int status, int n) {
  if (status == LUA_OK || status == LUA_YIELD) return wrap_take_results(L, co, n);
  asy_closethread(co, L);
  lua_xmove(co, L, 1);
  if (status != LUA_ERRMEM && lua_type(L, -1) == LUA_TSTRING) {
    luaL_where(L, 1);
    lua_insert(L, -2);
    lua_concat(L, 2);
  }
  return lua_error(L);
}

static int patch_wrapped(lua_State *L) {
  lua_State *co = lua_tothread(L, lua_upvalueindex(2));
  const char *obstacle = wrap_obstacle(L, co);
  if (obstacle) return luaL_error(L, "%s", obstacle);
  int n = lua_gettop(L);
  wrap_move(L, co, n);
  lua_pushvalue(L, lua_upvalueindex(2));
  return asy_wait_resume(L, n, wrap_after_call);
}

static int patch_wrap(lua_State *L) {
  luaL_checktype(L, 1, LUA_TFUNCTION);
  lua_State *co = lua_newthread(L);
  lua_pushvalue(L, 1);
  lua_xmove(L, co, 1);
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_insert(L, -2);
  lua_pushcclosure(L, patch_wrapped, 2);
  return 1;
}

static const char *patch_status_of(lua_State *L, lua_State *co) {
  lua_Debug ar;
  if (L == co) return "running";
  if (asy_wait_passes(co)) return "normal";
  if (lua_status(co) == LUA_YIELD) return "suspended";
  if (lua_status(co) != LUA_OK) return "dead";
  if (lua_getstack(co, 0, &ar)) return "normal";
  return lua_gettop(co) == 0 ? "dead" : "suspended";
}

static int patch_status(lua_State *L) {
  lua_pushstring(L, patch_status_of(L, wrap_check_thread(L, 1)));
  return 1;
}

static int patch_close(lua_State *L) {
  lua_State *co = wrap_check_thread(L, 1);
  const char *status = patch_status_of(L, co);
  if (strcmp(status, "dead") != 0 && strcmp(status, "suspended") != 0)
    return luaL_error(L, "cannot close a %s coroutine", status);
  if (wrap_close_thread(L, co)) {
    lua_pushboolean(L, 1);
    return 1;
  }
  lua_pushboolean(L, 0);
  lua_insert(L, -2);
  return 2;
}

static const luaL_Reg patch_functions[] = {{"resume", patch_resume},
                                           {"wrap", patch_wrap},
                                           {"status", patch_status},
                                           {"close", patch_close},
                                           {NULL, NULL}};

/* Put the functions of the saved table (upvalue 2) back. */
static int patch_undo(lua_State *L) {
  lua_getglobal(L, "coroutine");
  if (!lua_istable(L, -1)) return 0;
  for (const luaL_Reg *f = patch_functions; f->name; f++) {
    if (lua_getfield(L, lua_upvalueindex(2), f->name) == LUA_TNIL)
      lua_pop(L, 1);
    else
      lua_setfield(L, -2, f->name);
  }
  return 0;
}

/***
Give the global `coroutine` library versions of resume, wrap, close and status that let waits pass
through: libraries that make
coroutines inside then work in tasks. Code that took `coroutine.resume` into a local variable
before is not reached. A function that the library lacks, as in a sandbox, is not put in.
@function patch
@treturn function undoes it
@waits no
@raise an error if there is no global coroutine library
@usage local undo = asyncio.patch(); local f = coroutine.wrap(function() return asyncio.sleep(0, 1)
end); assert(f() == 1); undo()
@see asyncio-dev.html
*/
static int wrap_patch(lua_State *L) {
  lua_settop(L, 0);
  if (lua_getglobal(L, "coroutine") != LUA_TTABLE)
    return luaL_error(L, "there is no global table 'coroutine' to patch");
  lua_newtable(L);
  for (const luaL_Reg *f = patch_functions; f->name; f++) {
    lua_getfield(L, 1, f->name);
    lua_setfield(L, 2, f->name);
  }
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_pushvalue(L, 2);
  lua_pushcclosure(L, patch_undo, 2);
  int n = 0;
  for (const luaL_Reg *f = patch_functions; f->name; f++, n++) {
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_pushcclosure(L, f->func, 1);
  }
  /* From here on nothing needs memory, so that they are put in together or not at all: a field that
   * a sandbox has taken out is not made anew. */
  while (n-- > 0) {
    bool missing = lua_getfield(L, 2, patch_functions[n].name) == LUA_TNIL;
    lua_pop(L, 1);
    if (missing)
      lua_pop(L, 1);
    else
      lua_setfield(L, 1, patch_functions[n].name);
  }
  return 1;
}

void asy_wrap_open(lua_State *L, asy_State *S) {
  static const luaL_Reg functions[] = {{"wrap", wrap_wrap}, {"patch", wrap_patch}, {NULL, NULL}};
  static const luaL_Reg closer[] = {{"__close", wrap_closer_close}, {NULL, NULL}};
  asy_add_protector(S, wrap_base, 1);
  asy_type_new(L, S, ASY_SLOT_CLOSER, "asyncio.Closer", closer);
  asy_add_functions(L, S, functions);
}
