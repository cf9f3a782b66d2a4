/* SPDX-License-Identifier: MIT */
/* memory.h - asyncio.testing.stream_pair: two Streams that are connected without a socket.
 *
 * They behave as a connection does, backpressure included, but need no kernel: on a loop with a
 * virtual clock everything that happens to them happens at exact times. They are also the model of
 * a carrier (flow.h). */
#ifndef ASY_MEMORY_H
#define ASY_MEMORY_H

#include "flow.h"

/* Make it loadable as "asyncio.memory", for asyncio.testing. [-0, +0, m] */
ASY_FUNC void asy_memory_open(lua_State *L, asy_State *S);

#endif
