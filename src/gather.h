/* SPDX-License-Identifier: MIT */
/* gather.h - gather, wait, as_completed, wait_for, shield. */
#ifndef ASY_GATHER_H
#define ASY_GATHER_H

#include "task.h"

/* Register the functions in the module table on top. [-0, +0, m] */
ASY_FUNC void asy_gather_open(lua_State *L, asy_State *S);

#endif
