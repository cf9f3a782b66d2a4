/* SPDX-License-Identifier: MIT */
/* watch.h - asyncio.fs.watch: what happens to a file or in a directory. */
#ifndef ASY_WATCH_H
#define ASY_WATCH_H

#include "request.h"

/* Declare `watch` among the functions of asyncio.fs. [-0, +0, v] */
ASY_FUNC void asy_watch_open(lua_State *L, asy_State *S);

#endif
