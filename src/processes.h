/* SPDX-License-Identifier: MIT */
/* processes.h - Process: create_subprocess_exec, create_subprocess_shell, and what can be done with
 * a child. */
#ifndef ASY_PROCESSES_H
#define ASY_PROCESSES_H

#include "child.h"

/* Register the functions in the module table on top, the type Process, and what the part
 * asyncio.subprocess takes from here. [-0, +0, m] */
ASY_FUNC void asy_processes_open(lua_State *L, asy_State *S);

#endif
