/* SPDX-License-Identifier: MIT */
/* inherit.h - sockets that the process was started with: asyncio.listen_fds. */
#ifndef ASY_INHERIT_H
#define ASY_INHERIT_H

#include "core.h"

ASY_FUNC void asy_inherit_open(lua_State *L, asy_State *S);

#endif
