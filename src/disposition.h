/* SPDX-License-Identifier: MIT */
/* disposition.h - what signal handlers and child processes share: the names of signals, and
 * watching one through libuv so that the disposition that was there before comes back.
 *
 * libuv leaves SIG_DFL when the last watcher of a signal stops. So the first watcher of a signal in
 * a Lua state notes what was there, and the last one gives it back: lua's own handler, the host's,
 * or the one with which a drive watches Ctrl-C (interrupt.c). The notes lie in the State's list. If
 * somebody else in the process still watches the signal through libuv, nothing is given back. */
#ifndef ASY_DISPOSITION_H
#define ASY_DISPOSITION_H

#include <uv.h>

#include "core.h"

/* The signal at arg: "SIGTERM" or a number; else an argument error. [-0, +0, v] */
ASY_FUNC int asy_disposition_check(lua_State *L, int arg);

/* The name of a signal, or NULL. [-0, +0, -] */
ASY_FUNC const char *asy_disposition_name(int signum);

/* Start an initialised watcher. 0 or a libuv code. [-0, +0, -] */
ASY_FUNC int asy_disposition_watch(asy_State *S, uv_signal_t *handle, uv_signal_cb on_signal,
                                   int signum);

/* Stop a watcher that was started so. [-0, +0, -] */
ASY_FUNC void asy_disposition_unwatch(asy_State *S, uv_signal_t *handle, int signum);

/* Make the list of notes. [-0, +0, -] */
ASY_FUNC void asy_disposition_open(lua_State *L, asy_State *S);

#endif
