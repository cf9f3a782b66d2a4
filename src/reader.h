/* SPDX-License-Identifier: MIT */
/* reader.h - reading from a Stream: asyncio's read, readline, readexactly, readuntil, Lua's formats
 * and lines, and recv. */
#ifndef ASY_READER_H
#define ASY_READER_H

#include "flow.h"

/* Add the methods to the types Stream and Loop. [-0, +0, m] */
ASY_FUNC void asy_reader_open(lua_State *L, asy_State *S);

#endif
