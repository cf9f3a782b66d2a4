/* SPDX-License-Identifier: MIT */
/* parts.h - the parts of the library that are written in Lua. */
#ifndef ASY_PARTS_H
#define ASY_PARTS_H

#include "core.h"

/* Push the part that the module, at this positive index, has under this name; false, and nothing is
 * pushed, if there is none. [-0, +(0|1), v] */
ASY_FUNC bool asy_parts_push(lua_State *L, int module, const char *name);

/* Make the parts known to require; the module table is on top. [-0, +0, m] */
ASY_FUNC void asy_parts_open(lua_State *L, asy_State *S);

#endif
