/* SPDX-License-Identifier: MIT */
/* error.c - error objects, their classes, tracebacks, and the exception handler.
 *
 * An error object is a table {message = ..., ...} whose metatable is its class; a class is a table
 * {name = ...} that makes error objects when it is called. A class is made when it is first needed,
 * and lies on the state's shelf, so that a test for it is one comparison of metatables. What nobody
 * can catch goes to asy_error_handle: the loop's handler, or a report on stderr. */
#include "error.h"

#include <stdarg.h>
#include <string.h>
#include <uv.h>

static const char *const error_names[] = {
    NULL,
    "CancelledError",
    "TimeoutError",
    "InvalidStateError",
    "QueueEmpty",
    "QueueFull",
    "QueueShutDown",
    "IncompleteReadError",
    "LimitOverrunError",
    "BrokenBarrierError",
    "ExceptionGroup",
    "KeyboardInterrupt",
    "DeadlockError",
    "OSError",
};

const char *asy_error_class_name(asy_Class cls) {
  return error_names[cls];
}

/* ---- making and raising */

static void error_make_class(lua_State *L, asy_State *S, asy_Class cls);

static void error_push_class(lua_State *L, asy_State *S, asy_Class cls) {
  if (ASY_UNLIKELY(!S->types[cls])) error_make_class(L, S, cls);
  asy_shelf_push(L, S->shelf, (int)cls);
}

bool asy_error_push_class(lua_State *L, asy_State *S, const char *name) {
  for (int cls = ASY_CANCELLED_ERROR; cls <= ASY_CLASS_COUNT; cls++) {
    if (strcmp(error_names[cls], name) != 0) continue;
    error_push_class(L, S, (asy_Class)cls);
    return true;
  }
  return false;
}

void asy_error_wrap(lua_State *L, asy_State *S, asy_Class cls) {
  lua_createtable(L, 0, 1);
  lua_insert(L, -2);
  if (lua_isnil(L, -1))
    lua_pop(L, 1);
  else
    lua_setfield(L, -2, "message");
  error_push_class(L, S, cls);
  lua_setmetatable(L, -2);
}

static void error_push_va(lua_State *L, asy_State *S, asy_Class cls, const char *fmt,
                          va_list args) {
  luaL_checkstack(L, 5, NULL);
  if (fmt)
    lua_pushvfstring(L, fmt, args);
  else
    lua_pushnil(L);
  asy_error_wrap(L, S, cls);
}

void asy_error_push(lua_State *L, asy_State *S, asy_Class cls, const char *fmt, ...) {
  va_list args;
  va_start(args, fmt);
  error_push_va(L, S, cls, fmt, args);
  va_end(args);
}

int asy_error_raise(lua_State *L, asy_State *S, asy_Class cls, const char *fmt, ...) {
  va_list args;
  va_start(args, fmt);
  error_push_va(L, S, cls, fmt, args);
  va_end(args);
  return lua_error(L);
}

void asy_error_push_os(lua_State *L, asy_State *S, int code, const char *op, const char *where) {
  char name[32], text[128];
  uv_err_name_r(code, name, sizeof name);
  uv_strerror_r(code, text, sizeof text);
  if (where)
    asy_error_push(L, S, ASY_OS_ERROR, "%s %s: %s (%s)", op, where, text, name);
  else
    asy_error_push(L, S, ASY_OS_ERROR, "%s: %s (%s)", op, text, name);
  lua_pushstring(L, name);
  lua_setfield(L, -2, "code");
  lua_pushinteger(L, -(lua_Integer)code);
  lua_setfield(L, -2, "errno");
  lua_pushstring(L, op);
  lua_setfield(L, -2, "op");
  if (where) {
    lua_pushstring(L, where);
    lua_setfield(L, -2, "address");
  }
}

void asy_error_push_closed(lua_State *L, asy_State *S, int code, const char *op, const char *where,
                           const char *what) {
  bool late = code == UV_EBADF;
  asy_error_push_os(L, S, code, op, where);
  lua_pushfstring(L, "%s%s%s: the %s %s closed (%s)", op, where ? " " : "", where ? where : "",
                  what, late ? "is" : "was", late ? "EBADF" : "ECANCELED");
  lua_setfield(L, -2, "message");
}

int asy_error_raise_os(lua_State *L, asy_State *S, int code, const char *op, const char *where) {
  asy_error_push_os(L, S, code, op, where);
  return lua_error(L);
}

bool asy_error_is(lua_State *L, asy_State *S, int idx, asy_Class cls) {
  if (!lua_istable(L, idx) || !lua_getmetatable(L, idx)) return false;
  bool same = lua_topointer(L, -1) == S->types[cls];
  lua_pop(L, 1);
  return same;
}

/* ---- classes */

/* CancelledError("why") */
static int error_class_call(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 2);
  lua_createtable(L, 0, 1);
  if (!lua_isnil(L, 2)) {
    lua_pushvalue(L, 2);
    lua_setfield(L, -2, "message");
  }
  lua_pushvalue(L, 1);
  lua_setmetatable(L, -2);
  return 1;
}

static int error_class_tostring(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_getfield(L, 1, "name");
  lua_pushfstring(L, "<class asyncio.%s>", luaL_tolstring(L, -1, NULL));
  return 1;
}

static int error_tostring(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  lua_getfield(L, 1, "name");
  const char *name = luaL_tolstring(L, -1, NULL);
  lua_pushliteral(L, "message");
  if (lua_rawget(L, 1) == LUA_TNIL)
    lua_pushstring(L, name);
  else
    lua_pushfstring(L, "%s: %s", name, luaL_tolstring(L, -1, NULL));
  return 1;
}

/* The members of a group stand below its own line. */
static int error_group_tostring(lua_State *L) {
  error_tostring(L);
  lua_pushliteral(L, "exceptions");
  if (lua_rawget(L, 1) != LUA_TTABLE) {
    lua_pop(L, 1);
    return 1;
  }
  int list = lua_gettop(L), count = (int)luaL_len(L, list);
  lua_pushvalue(L, list - 1);
  for (int i = 1; i <= count; i++) {
    lua_rawgeti(L, list, i);
    luaL_tolstring(L, -1, NULL);
    luaL_gsub(L, lua_tostring(L, -1), "\n", "\n  ");
    lua_pushfstring(L, "%s\n  %s", lua_tostring(L, list + 1), lua_tostring(L, -1));
    lua_replace(L, list + 1);
    lua_settop(L, list + 1);
  }
  return 1;
}

static void error_make_class(lua_State *L, asy_State *S, asy_Class cls) {
  static const luaL_Reg functions[] = {
      {"__call", error_class_call}, {"__tostring", error_class_tostring}, {NULL, NULL}};
  luaL_checkstack(L, 4, NULL);
  lua_createtable(L, 0, 4); /* the class: metatable of its errors, and their __index */
  lua_pushstring(L, error_names[cls]);
  lua_setfield(L, -2, "name");
  lua_pushfstring(L, "asyncio.%s", error_names[cls]);
  lua_setfield(L, -2, "__name");
  lua_pushvalue(L, -1);
  lua_setfield(L, -2, "__index");
  lua_pushcfunction(L, cls == ASY_EXCEPTION_GROUP ? error_group_tostring : error_tostring);
  lua_setfield(L, -2, "__tostring");
  luaL_newlib(L, functions);
  lua_setmetatable(L, -2);
  S->types[cls] = lua_topointer(L, -1);
  asy_shelf_set(L, S->shelf, (int)cls);
}

/* ---- is, pcall, xpcall */

/***
Test whether a value is an error object of a class.
@function is
@param err any value
@tparam table class such as `asyncio.TimeoutError`
@treturn boolean true for an error object of exactly that class
@waits no
@raise argument error
@usage assert(asyncio.is(asyncio.TimeoutError("late"), asyncio.TimeoutError))
@see asyncio-exceptions.html
*/
static int error_is(lua_State *L) {
  luaL_checkany(L, 1);
  luaL_checktype(L, 2, LUA_TTABLE);
  bool same = lua_istable(L, 1) && lua_getmetatable(L, 1) && lua_rawequal(L, -1, 2);
  lua_pushboolean(L, same);
  return 1;
}

/* Finish asyncio.pcall and asyncio.xpcall: `base` values lie below the results. */
static int error_pcall_finish(lua_State *L, int status, lua_KContext base) {
  if (status == LUA_OK || status == LUA_YIELD) {
    lua_pushboolean(L, 1);
    lua_replace(L, (int)base);
    return lua_gettop(L) - (int)base + 1;
  }
  if (asy_error_is(L, asy_state(L), -1, ASY_CANCELLED_ERROR)) return lua_error(L);
  lua_pushboolean(L, 0);
  lua_insert(L, -2);
  return 2;
}

/***
Call a function in protected mode, as Lua's pcall, but let a CancelledError through.
@function pcall
@tparam function f the function, which may wait
@param[opt] ... its arguments
@return true and the results, or false and the error
@waits yes
@cancel goes through: it is raised, not returned
@raise argument error; the CancelledError
@usage assert(asyncio.pcall(error, "x") == false)
@see asyncio-task.html#task-cancellation
*/
static int error_pcall(lua_State *L) {
  luaL_checkany(L, 1);
  lua_pushboolean(L, 1);
  lua_insert(L, 1);
  return error_pcall_finish(
      L, lua_pcallk(L, lua_gettop(L) - 2, LUA_MULTRET, 0, 1, error_pcall_finish), 1);
}

/* The user's message handler never sees a cancellation. */
static int error_filter(lua_State *L) {
  if (asy_error_is(L, asy_state(L), 1, ASY_CANCELLED_ERROR)) return 1;
  lua_pushvalue(L, lua_upvalueindex(2));
  lua_insert(L, 1);
  lua_call(L, lua_gettop(L) - 1, 1);
  return 1;
}

/***
Call a function with a message handler, as Lua's xpcall, but let a CancelledError through: the
handler never sees it.
@function xpcall
@tparam function f the function, which may wait
@tparam function handler called with the error
@param[opt] ... arguments of f
@return true and the results, or false and the handler's result
@waits yes
@cancel goes through: it is raised, not returned
@raise argument error; the CancelledError
@usage local ok, m = asyncio.xpcall(error, function(e) return e .. "!" end, "x"); assert(m == "x!")
@see asyncio-task.html#task-cancellation
*/
static int error_xpcall(lua_State *L) {
  int n = lua_gettop(L);
  luaL_checktype(L, 2, LUA_TFUNCTION);
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_pushvalue(L, 2);
  lua_pushcclosure(L, error_filter, 2);
  lua_replace(L, 2); /* f, filter, args */
  lua_pushboolean(L, 1);
  lua_pushvalue(L, 1);
  lua_rotate(L, 3, 2); /* f, filter, true, f, args */
  return error_pcall_finish(L, lua_pcallk(L, n - 2, LUA_MULTRET, 2, 3, error_pcall_finish), 3);
}

/* ---- tracebacks and reports */

void asy_error_traceback(lua_State *L, lua_State *co, int idx, int level) {
  if (idx) idx = lua_absindex(L, idx);
  luaL_checkstack(L, LUA_MINSTACK, NULL);
  const char *head = idx ? luaL_tolstring(L, idx, NULL) : NULL;
  luaL_traceback(L, co, head, level);
  if (idx) lua_remove(L, -2);
}

static int error_to_text(lua_State *L) {
  luaL_tolstring(L, 1, NULL);
  return 1;
}

static void error_print_field(lua_State *L, const char *label, int idx) {
  if (lua_isstring(
          L,
          idx)) { /* what cannot fail comes first: reports are written also when memory is short */
    lua_writestringerror("  %s", label);
    lua_writestringerror("%s\n", lua_tostring(L, idx));
    return;
  }
  lua_pushcfunction(L, error_to_text);
  lua_pushvalue(L, idx);
  bool ok = lua_pcall(L, 1, 1, 0) == LUA_OK;
  lua_writestringerror("  %s", label);
  lua_writestringerror("%s", ok ? lua_tostring(L, -1) : luaL_typename(L, idx));
  lua_writestringerror("%s\n", ok ? "" : " that cannot be shown: its __tostring has failed");
  lua_pop(L, 1);
}

/* The default handler: the context on stderr. [1] = context */
static int error_print(lua_State *L) {
  static const char *const fields[][2] = {
      {"task", "task: "},       {"future", "future: "}, {"handle", "handle: "},
      {"exception", "error: "}, {"traceback", ""},
  };
  lua_getfield(L, 1, "message");
  lua_writestringerror("asyncio: %s\n",
                       lua_isstring(L, -1) ? lua_tostring(L, -1) : "unhandled error");
  for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
    if (lua_getfield(L, 1, fields[i][0]) != LUA_TNIL)
      error_print_field(L, fields[i][1], lua_gettop(L));
    lua_settop(L, 1);
  }
  return 0;
}

/* [1] = handler, [2] = loop, [3] = context */
static int error_call_handler(lua_State *L) {
  lua_call(L, 2, 0);
  return 0;
}

void asy_error_default(lua_State *L, int idx) {
  idx = lua_absindex(L, idx);
  lua_pushcfunction(L, error_print);
  lua_pushvalue(L, idx);
  if (lua_pcall(L, 1, 0, 0) != LUA_OK) lua_pop(L, 1);
}

void asy_error_handle(lua_State *L, asy_Loop *loop) {
  if (!lua_checkstack(L, 6)) {
    lua_pop(L, 1);
    return;
  }
  asy_State *S = loop->S;
  asy_Wait *waiter = S->waiter; /* the handler is a callback: it may not wait */
  lua_State *innermost = S->innermost;
  S->waiter = NULL;
  S->innermost = NULL;
  asy_shelf_push(L, loop->shelf, ASY_LOOP_HANDLER);
  if (lua_isnil(L, -1)) {
    lua_pop(L, 1);
    asy_error_default(L, -1);
  } else {
    lua_pushcfunction(L, error_call_handler);
    lua_insert(L, -2);
    asy_shelf_push(L, loop->shelf, ASY_LOOP_SELF);
    lua_pushvalue(L, -4);
    if (lua_pcall(L, 3, 0, 0) != LUA_OK) {
      lua_writestringerror("asyncio: %s\n", "the exception handler itself failed");
      asy_error_default(L, -2);
      lua_writestringerror("  handler's error: %s\n",
                           lua_isstring(L, -1) ? lua_tostring(L, -1) : luaL_typename(L, -1));
      lua_pop(L, 1);
    }
  }
  S->waiter = waiter;
  S->innermost = innermost;
  lua_pop(L, 1);
}

/* [1] error, [2] traceback, [3] object, [4] message, [5] key: light userdata of C strings */
static int error_context(lua_State *L) {
  lua_createtable(L, 0, 4);
  lua_pushstring(L, lua_touserdata(L, 4));
  lua_setfield(L, 6, "message");
  lua_pushvalue(L, 1);
  lua_setfield(L, 6, "exception");
  lua_pushvalue(L, 2);
  lua_setfield(L, 6, "traceback");
  if (lua_touserdata(L, 5)) {
    lua_pushvalue(L, 3);
    lua_setfield(L, 6, lua_touserdata(L, 5));
  }
  return 1;
}

void asy_error_report(lua_State *L, asy_Loop *loop, const char *message, const char *key,
                      int object) {
  if (object) object = lua_absindex(L, object);
  if (!lua_checkstack(L, 10)) {
    lua_pop(L, 2);
    return;
  }
  lua_pushcfunction(L, error_context);
  lua_insert(L, -3);
  if (object)
    lua_pushvalue(L, object);
  else
    lua_pushnil(L);
  lua_pushlightuserdata(L, (void *)message);
  lua_pushlightuserdata(L, (void *)key);
  if (lua_pcall(L, 5, 1, 0) == LUA_OK) {
    asy_error_handle(L, loop);
  } else {
    lua_writestringerror("asyncio: %s (no memory for a report)\n", message);
    lua_pop(L, 1);
  }
}

int asy_error_handler(lua_State *L) {
  asy_State *S = asy_state_from_registry(L);
  lua_settop(L, 1);
  luaL_traceback(L, L, NULL, 1);
  asy_shelf_set(L, S->shelf, ASY_SLOT_TRACEBACK);
  return 1;
}

bool asy_error_call(lua_State *L, asy_Loop *loop, int nargs, const char *message, const char *key,
                    int object) {
  asy_State *S = loop->S;
  if (object) object = lua_absindex(L, object);
  int f = lua_gettop(L) - nargs;
  lua_pushcfunction(L, asy_error_handler);
  lua_insert(L, f);
  int status = lua_pcall(L, nargs, 0, f);
  if (status != LUA_OK) {
    asy_shelf_push(L, S->shelf, ASY_SLOT_TRACEBACK);
    lua_pushnil(L);
    asy_shelf_set(L, S->shelf, ASY_SLOT_TRACEBACK);
    if (!loop->by_host &&
        asy_error_is(L, S, -2, ASY_KEYBOARD_INTERRUPT)) { /* raised by whoever drives the loop */
      loop->interrupted = true;
      lua_pop(L, 2);
    } else {
      asy_error_report(L, loop, message, key, object);
    }
  }
  lua_remove(L, f);
  return status == LUA_OK;
}

void asy_error_open(lua_State *L, asy_State *S) {
  static const luaL_Reg functions[] = {
      {"is", error_is}, {"pcall", error_pcall}, {"xpcall", error_xpcall}, {NULL, NULL}};
  asy_add_protector(S, error_pcall, 2);
  asy_add_protector(S, error_xpcall, ASY_PLACE_IN_XPCALL);
  asy_add_functions(L, S, functions);
}
