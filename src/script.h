/* SPDX-License-Identifier: MIT */
/* script.h - what a script does with a loop. */
#ifndef ASY_SCRIPT_H
#define ASY_SCRIPT_H

#include "loop.h"

/* Push the results of the future at index `fut`, which is done, or raise its error; an error that
 * nothing can catch shows the task's stack on stderr first. [-0, +n, v] */
ASY_FUNC int asy_script_results(lua_State *L, int fut);

/* Run the loop until the awaitable at index `aw` is done (what lies above it are arguments); pushes
 * its results or raises. The future lies at `aw` then. [-?, +n, v] */
ASY_FUNC int asy_script_run_until_complete(lua_State *L, asy_Loop *loop, int aw);

ASY_FUNC void asy_script_open(lua_State *L, asy_State *S);

#endif
