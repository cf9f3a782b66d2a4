/* SPDX-License-Identifier: MIT */
/* parts.h - the parts of the library that are written in Lua. */
#ifndef ASY_PARTS_H
#define ASY_PARTS_H

#include "core.h"

/* Make the parts reachable from the module table on top, and by require; each is loaded at its
 * first use. [-0, +0, m] */
ASY_FUNC void asy_parts_open(lua_State *L, asy_State *S);

#endif
