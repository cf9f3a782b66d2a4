/* SPDX-License-Identifier: MIT */
/* redeliver.h - cancelling again what has swallowed its cancellation. */
#ifndef ASY_REDELIVER_H
#define ASY_REDELIVER_H

#include "task.h"

/* Has the task waited again since its last cancellation, with no error on its way in it? [-0, +0,
 * -] */
ASY_FUNC bool asy_redeliver_is_due(const asy_Task *task);

/* Cancel it again; the 101st time it is reported and closed instead, and this returns false. [-0,
 * +0, -] */
ASY_FUNC bool asy_redeliver(lua_State *L, asy_Task *task);

/* A TaskGroup that shuts down has cancelled the task: cancel it again if it goes on for long. [-0,
 * +0, -] */
ASY_FUNC void asy_redeliver_watch(asy_Task *task);

ASY_FUNC void asy_redeliver_open(lua_State *L, asy_State *S);

#endif
