/* SPDX-License-Identifier: MIT */
/* stream.h - Stream: socket, reader and writer in one object; how it ends, and what there is to
 * know of it.
 *
 * What it can do stands in the rooms socket, reader and writer; they are opened from here. */
#ifndef ASY_STREAM_H
#define ASY_STREAM_H

#include "flow.h"

ASY_FUNC void asy_stream_open(lua_State *L, asy_State *S);

#endif
