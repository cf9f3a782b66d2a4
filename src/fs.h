/* SPDX-License-Identifier: MIT */
/* fs.h - asyncio.fs: what is done to files by name, each on libuv's thread pool. */
#ifndef ASY_FS_H
#define ASY_FS_H

#include "request.h"

/* Declare its functions. [-0, +0, v] */
ASY_FUNC void asy_fs_open(lua_State *L, asy_State *S);

/* Push the table, if its name is asked for; else false, and nothing is pushed. [-0, +(0|1), m] */
ASY_FUNC bool asy_fs_push(lua_State *L, asy_State *S, const char *name);

#endif
