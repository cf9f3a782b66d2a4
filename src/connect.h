/* SPDX-License-Identifier: MIT */
/* connect.h - open_connection and open_unix_connection. */
#ifndef ASY_CONNECT_H
#define ASY_CONNECT_H

#include "core.h"

ASY_FUNC void asy_connect_open(lua_State *L, asy_State *S);

#endif
