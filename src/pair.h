/* SPDX-License-Identifier: MIT */
/* pair.h - asyncio.testing.stream_pair: two Streams that are connected without a socket.
 *
 * They behave as a connection does, backpressure included, but need no kernel: on a loop with a
 * virtual clock everything that happens to them happens at exact times. They are also the model of
 * a carrier (flow.h). */
#ifndef ASY_PAIR_H
#define ASY_PAIR_H

#include "flow.h"

/* Make it loadable as "asyncio.pair", for asyncio.testing. [-0, +0, m] */
ASY_FUNC void asy_pair_open(lua_State *L, asy_State *S);

#endif
