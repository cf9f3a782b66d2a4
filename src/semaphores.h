/* SPDX-License-Identifier: MIT */
/* semaphores.h - Semaphore and BoundedSemaphore. Called from Lua only; opened by `locks`.
 *
 * A permit is taken when a waiter is woken, not when it runs; a woken waiter that is cancelled
 * gives it back. */
#ifndef ASY_SEMAPHORES_H
#define ASY_SEMAPHORES_H

#include "core.h"

ASY_FUNC void asy_semaphores_open(lua_State *L, asy_State *S);

#endif
