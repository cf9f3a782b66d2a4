/* SPDX-License-Identifier: MIT */
/* wrap.h - coroutines of the user's through which waits pass: asyncio.wrap and asyncio.patch. */
#ifndef ASY_WRAP_H
#define ASY_WRAP_H

#include "wait.h"

ASY_FUNC void asy_wrap_open(lua_State *L, asy_State *S);

#endif
