/* SPDX-License-Identifier: MIT */
/* error.h - error objects, their classes, tracebacks, and the exception handler: every raise of the
 * library but the argument errors, which are Lua's own (luaL_argerror). */
#ifndef ASY_ERROR_H
#define ASY_ERROR_H

#include "core.h"

/* Push a new error object; fmt (as lua_pushfstring) may be NULL: no message. [-0, +1, m] */
ASY_FUNC void asy_error_push(lua_State *L, asy_State *S, asy_Class cls, const char *fmt, ...);

/* Pop a message (any value, nil for none) and push an error object with it. [-1, +1, m] */
ASY_FUNC void asy_error_wrap(lua_State *L, asy_State *S, asy_Class cls);

/* Raise a new error object. [-0, +0, v] */
ASY_FUNC int asy_error_raise(lua_State *L, asy_State *S, asy_Class cls, const char *fmt, ...);

/* Push an OSError from a libuv code (negative): op as "connect", where (may be NULL) as
 * "127.0.0.1:80" or a path; its fields are code ("ECONNREFUSED"), errno (positive), op, address
 * (`where`). [-0, +1, m] */
ASY_FUNC void asy_error_push_os(lua_State *L, asy_State *S, int code, const char *op,
                                const char *where);
/* The same for what (a "stream", "file") was closed while somebody waited for it (UV_ECANCELED), or
 * is closed already (UV_EBADF), with words that say so. [-0, +1, m] */
ASY_FUNC void asy_error_push_closed(lua_State *L, asy_State *S, int code, const char *op,
                                    const char *where, const char *what);
ASY_FUNC int asy_error_raise_os(lua_State *L, asy_State *S, int code, const char *op,
                                const char *where);

/* Is the value at idx an error object of that class? [-0, +0, -] */
ASY_FUNC bool asy_error_is(lua_State *L, asy_State *S, int idx, asy_Class cls);

/* Message handler for the lua_pcall of callbacks: returns the error as it is and leaves its
 * traceback in ASY_SLOT_TRACEBACK. */
ASY_FUNC int asy_error_handler(lua_State *L);

/* Call a function of the user's with nargs arguments, protected; what it raises is reported with
 * the message, and the object at index `object` under `key` (see asy_error_report). Results are
 * dropped. True if it raised nothing. [-(nargs+1), +0, -] */
ASY_FUNC bool asy_error_call(lua_State *L, asy_Loop *loop, int nargs, const char *message,
                             const char *key, int object);

/* Push the traceback of thread `co` from `level` on, with the value at idx of L as its head (0:
 * none). [-0, +1, m] */
ASY_FUNC void asy_error_traceback(lua_State *L, lua_State *co, int idx, int level);

/* Report what nobody can catch: pops an error value and a traceback (string or nil), and calls the
 * loop's exception handler (or prints) with a context table {message=, exception=, traceback=,
 * [key]=object}; `object` is the index of the value that goes under `key` (both 0/NULL: none).
 * Never raises: a handler that fails is reported on stderr. [-2, +0, -] */
ASY_FUNC void asy_error_report(lua_State *L, asy_Loop *loop, const char *message, const char *key,
                               int object);

/* What the default exception handler does: write the context table at an index to stderr. Needs 3
 * free slots. [-0, +0, -] */
ASY_FUNC void asy_error_default(lua_State *L, int idx);

/* Call the exception handler, or the default one, with the context table on top. [-1, +0, -] */
ASY_FUNC void asy_error_handle(lua_State *L, asy_Loop *loop);

/* The name of a class, without "asyncio.". [-0, +0, -] */
ASY_FUNC const char *asy_error_class_name(asy_Class cls);

/* Push the class of this name; false, and nothing is pushed, if there is none. [-0, +(0|1), m] */
ASY_FUNC bool asy_error_push_class(lua_State *L, asy_State *S, const char *name);

/* Declare `is`, `pcall` and `xpcall`. [-0, +0, v] */
ASY_FUNC void asy_error_open(lua_State *L, asy_State *S);

#endif
