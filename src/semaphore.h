/* SPDX-License-Identifier: MIT */
/* semaphore.h - Semaphore and BoundedSemaphore. Called from Lua only; opened by `locks`.
 *
 * A permit is taken when a waiter is woken, not when it runs; a woken waiter that is cancelled
 * gives it back. */
#ifndef ASY_SEMAPHORE_H
#define ASY_SEMAPHORE_H

#include "core.h"

ASY_FUNC void asy_semaphore_open(lua_State *L, asy_State *S);

#endif
