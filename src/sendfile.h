/* SPDX-License-Identifier: MIT */
/* sendfile.h - asyncio.sendfile: a file goes out on a Stream. */
#ifndef ASY_SENDFILE_H
#define ASY_SENDFILE_H

#include "disk.h"

ASY_FUNC void asy_sendfile_open(lua_State *L, asy_State *S);

#endif
