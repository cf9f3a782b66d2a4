/* SPDX-License-Identifier: MIT */
/* server.h - Server: asyncio.start_server. A task per connection runs the handler. */
#ifndef ASY_SERVER_H
#define ASY_SERVER_H

#include "flow.h"

ASY_FUNC void asy_server_open(lua_State *L, asy_State *S);

#endif
