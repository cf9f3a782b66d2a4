/* SPDX-License-Identifier: MIT */
/* writer.h - writing to a Stream: asyncio's write, writelines, drain, write_eof, and sendall and
 * shutdown of sockets. */
#ifndef ASY_WRITER_H
#define ASY_WRITER_H

#include "flow.h"

/* Add the methods to the types Stream and Loop. [-0, +0, m] */
ASY_FUNC void asy_writer_open(lua_State *L, asy_State *S);

#endif
