/* SPDX-License-Identifier: MIT */
/* coro.h - coroutine objects (asyncio.async), what counts as awaitable, and asyncio.await.
 *
 * An awaitable is: a Future or Task; a coroutine object; a Lua thread that has not started; a
 * function; an object with
 * __await in its metatable. */
#ifndef ASY_CORO_H
#define ASY_CORO_H

#include "future.h"

/* Is the value at idx a function or an awaitable of another kind? [-0, +0, -] */
ASY_FUNC bool asy_coro_is_awaitable(lua_State *L, asy_State *S, int idx);

/* Argument error unless it is. [-0, +0, v] */
ASY_FUNC void asy_coro_check(lua_State *L, asy_State *S, int arg);

/* Replace an awaitable at idx that is not a future by a function and its arguments on top of the
 * stack: returns the number of arguments. A coroutine object counts as awaited, a thread is dead
 * then; an error if it was awaited before.
 * [-0, +(1+n), v] */
ASY_FUNC int asy_coro_unpack(lua_State *L, asy_State *S, int idx);

ASY_FUNC void asy_coro_open(lua_State *L, asy_State *S);

#endif
