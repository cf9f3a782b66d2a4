/* SPDX-License-Identifier: MIT */
/* thread.h - to_thread and run_in_executor: functions that run on threads of the loop's own. */
#ifndef ASY_THREAD_H
#define ASY_THREAD_H

#include "core.h"

/* Register to_thread in the module table on top, and the methods of Loop. [-0, +0, m] */
ASY_FUNC void asy_thread_open(lua_State *L, asy_State *S);

#endif
