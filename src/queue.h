/* SPDX-License-Identifier: MIT */
/* queue.h - Queue, LifoQueue, PriorityQueue. Called from Lua only.
 *
 * An item is in the queue until a task that runs takes it out: waking a getter gives it nothing
 * yet. Unlike a lock, a queue takes a waiter out of its list when it wakes it; a woken waiter that
 * cannot use its chance (it was cancelled, or its comparison failed) wakes the next one. */
#ifndef ASY_QUEUE_H
#define ASY_QUEUE_H

#include "core.h"

ASY_FUNC void asy_queue_open(lua_State *L, asy_State *S);

#endif
