/* SPDX-License-Identifier: MIT */
/* fileread.h - reading from a File: File:read, File:lines. */
#ifndef ASY_FILEREAD_H
#define ASY_FILEREAD_H

#include "disk.h"

ASY_FUNC void asy_fileread_open(lua_State *L, asy_State *S);

#endif
