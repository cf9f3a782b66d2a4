/* SPDX-License-Identifier: MIT */
/* remote.h - functions that other threads have a loop call: call_soon_threadsafe for hosts in C.
 *
 * A remote is what the other threads hold. It comes from malloc and outlives its loop. */
#ifndef ASY_REMOTE_H
#define ASY_REMOTE_H

#include "core.h"

typedef struct asy_Remote asy_Remote;

/* Runs in a turn of the loop, on its thread, and may raise; L is NULL if the loop was closed before
 * that. */
typedef void asy_RemoteCall(lua_State *L, void *arg);

/* A remote of an open loop, which is held until asy_remote_release; NULL: no memory. On the loop's
 * thread. */
ASY_FUNC asy_Remote *asy_remote_new(asy_Loop *loop);

/* Queue a call; from any thread. 0 or a libuv code: it will not be called. */
ASY_FUNC int asy_remote_call(asy_Remote *remote, asy_RemoteCall *call, void *arg);

/* Nobody will use the remote any more; what was queued is still called. From any thread. */
ASY_FUNC void asy_remote_release(asy_Remote *remote);

#endif
