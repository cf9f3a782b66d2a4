/* SPDX-License-Identifier: MIT */
/* standard.h - asyncio.stdin, stdout, stderr, and what a Stream over a terminal can do. */
#ifndef ASY_STANDARD_H
#define ASY_STANDARD_H

#include "core.h"

/* Register the functions in the module table on top, the methods in the type Stream. [-0, +0, m] */
ASY_FUNC void asy_standard_open(lua_State *L, asy_State *S);

#endif
