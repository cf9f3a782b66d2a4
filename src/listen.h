/* SPDX-License-Identifier: MIT */
/* listen.h - start_server and start_unix_server: what a server listens on. */
#ifndef ASY_LISTEN_H
#define ASY_LISTEN_H

#include "core.h"

ASY_FUNC void asy_listen_open(lua_State *L, asy_State *S);

#endif
