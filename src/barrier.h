/* SPDX-License-Identifier: MIT */
/* barrier.h - Barrier. Called from Lua only; opened by `locks`. */
#ifndef ASY_BARRIER_H
#define ASY_BARRIER_H

#include "core.h"

ASY_FUNC void asy_barrier_open(lua_State *L, asy_State *S);

#endif
