/* SPDX-License-Identifier: MIT */
/* fs.h - asyncio.fs: what is done to files by name, each on libuv's thread pool. */
#ifndef ASY_FS_H
#define ASY_FS_H

#include "request.h"

/* Put the table `fs` into the module table on top. [-0, +0, m] */
ASY_FUNC void asy_fs_open(lua_State *L, asy_State *S);

#endif
