/* SPDX-License-Identifier: MIT */
/* describe.h - a task as people see it: its stack, and what tostring shows of it. */
#ifndef ASY_DESCRIBE_H
#define ASY_DESCRIBE_H

#include "task.h"

ASY_FUNC void asy_describe_open(lua_State *L, asy_State *S);

#endif
