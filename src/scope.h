/* SPDX-License-Identifier: MIT */
/* scope.h - timeout scopes and task groups. */
#ifndef ASY_SCOPE_H
#define ASY_SCOPE_H

#include "task.h"

/* Run the awaitable at idx in this task, in a timeout scope; a function gets what lies above it as
 * arguments. `when`: time of the loop's clock, NULL for no limit. Returns its results, or raises
 * its error or a TimeoutError: `return asy_scope_run(...)`. [-0, +n, v] */
ASY_FUNC int asy_scope_run(lua_State *L, asy_State *S, int idx, const double *when);

/* Register the functions and types in the module table on top. [-0, +0, m] */
ASY_FUNC void asy_scope_open(lua_State *L, asy_State *S);

#endif
