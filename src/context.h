/* SPDX-License-Identifier: MIT */
/* context.h - ContextVar: values that belong to a task and are inherited by the tasks that it
 * starts.
 *
 * A context is a Lua table {[var] = value} that is never changed once it can be seen by two: `set`
 * replaces the current context by a changed copy. Starting a task, or a callback, copies a
 * reference. nil stands for the empty context. */
#ifndef ASY_CONTEXT_H
#define ASY_CONTEXT_H

#include "wait.h"

/* The user value of a Handle in which its context lies (handle.h). */
#define ASY_CONTEXT_OF_HANDLE 2

/* Push the current context: of the running task, of the running callback, or of the state. False,
 * and nothing is pushed, if it is empty. [-0, +(0|1), -] */
ASY_FUNC bool asy_context_push(lua_State *L, asy_State *S);

/* Let the task, which has not begun, run in the context that its loop's Runner keeps from run to
 * run: in what an earlier run has left (again), or in its own, which is kept from now on. [-0, +0,
 * -] */
ASY_FUNC void asy_context_share(lua_State *L, asy_Wait *w, bool again);

ASY_FUNC void asy_context_open(lua_State *L, asy_State *S);

#endif
