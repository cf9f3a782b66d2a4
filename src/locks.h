/* SPDX-License-Identifier: MIT */
/* locks.h - Lock, Event, Condition. Called from Lua only.
 *
 * A woken task does not own the lock yet: `release` marks it free and queues the first waiter,
 * which takes it when it runs. Until then nobody else gets it, because acquire lines up behind
 * whoever waits; only waiters that were cancelled are passed over. */
#ifndef ASY_LOCKS_H
#define ASY_LOCKS_H

#include "core.h"

/* Opens semaphore and barrier, too. */
ASY_FUNC void asy_locks_open(lua_State *L, asy_State *S);

#endif
