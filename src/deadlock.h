/* SPDX-License-Identifier: MIT */
/* deadlock.h - the report of a program that waits for what can never come. */
#ifndef ASY_DEADLOCK_H
#define ASY_DEADLOCK_H

#include "task.h"

/* Push a DeadlockError that says which task waits for what, and where; its field `tasks` lists
 * them. L is the thread that drives the loop, `main` the task for which it does so, or NULL. [-0,
 * +1, m] */
ASY_FUNC void asy_deadlock_push(lua_State *L, asy_Loop *loop, const asy_Task *main);

#endif
