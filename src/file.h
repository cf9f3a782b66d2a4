/* SPDX-License-Identifier: MIT */
/* file.h - asyncio.open, and the methods of its File but those that read (fileread.h). */
#ifndef ASY_FILE_H
#define ASY_FILE_H

#include "disk.h"
#include "request.h"

/* A continuation whose request has opened a file: push it. [-0, +1, v] */
ASY_FUNC int asy_file_push(lua_State *L, asy_Wait *w, asy_Request *r, const char *op,
                           const char *path, int mode);

ASY_FUNC void asy_file_open(lua_State *L, asy_State *S);

#endif
