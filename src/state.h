/* SPDX-License-Identifier: MIT */
/* state.h - opening the library in a Lua state. */
#ifndef ASY_STATE_H
#define ASY_STATE_H

#include "core.h"

/* Open the library if that has not been done in this state, and push the module table: always the
 * same one. [-0, +1, v] */
ASY_FUNC asy_State *asy_state_open(lua_State *L);

#endif
