/* SPDX-License-Identifier: MIT */
/* asyncio.h - lua-asyncio for a host written in C that embeds Lua.
 *
 * The host opens a loop on its lua_State, and drives it in one of two ways:
 *  - from its own frame: asyncio_poll(loop, budget), which never blocks;
 *  - by running a uv_loop_t of its own, on which the loop was opened: nothing else is needed.
 * Scripts then find the loop as the current one: asyncio.get_event_loop(), and create_task on it. A
 * loop opened from C touches no signal but SIGPIPE unless the flags say so. While it is open, what
 * would block the host is an error that says so: a wait outside a task, asyncio.run, running a loop
 * of the script's own (unless ASYNCIO_SCRIPT allows it).
 *
 * Nothing here raises a Lua error or panics: every entry runs protected, and tells of failure by
 * its result. All of it is for the thread on which the Lua state runs, but for what is said to be
 * for any thread. */
#ifndef ASYNCIO_H
#define ASYNCIO_H

#include <lua.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(_WIN32) && defined(ASYNCIO_DLL)
#define ASYNCIO_API extern __declspec(dllexport)
#elif defined(__GNUC__)
#define ASYNCIO_API extern __attribute__((visibility("default")))
#else
#define ASYNCIO_API extern
#endif

#define ASYNCIO_VERSION "0.1.0"

typedef struct asyncio_Loop asyncio_Loop;
typedef struct asyncio_Remote asyncio_Remote; /* what another thread may hold of a loop */
struct uv_loop_s;

enum {
  ASYNCIO_VIRTUAL_CLOCK = 1, /* simulated time, for tests */
  ASYNCIO_DEBUG = 2,         /* asyncio's debug mode */
  ASYNCIO_SCRIPT = 4,       /* as in a script: a wait outside a task runs the loop until it is over,
                               asyncio.run works, and Ctrl-C meanwhile */
  ASYNCIO_KEEP_SIGPIPE = 8, /* leave SIGPIPE alone: the host sees to it */
  ASYNCIO_ALLOW_THREADS = 16,  /* to_thread and run_in_executor may start threads, each with a Lua
                                 state and all its libraries; a SCRIPT may, too */
  ASYNCIO_ALLOW_CHILDREN = 32, /* create_subprocess_exec and _shell may start child processes, and
                                  SIGCHLD is watched while one runs; a SCRIPT may, too */
  ASYNCIO_ALLOW_FILES = 64,    /* asyncio.open and asyncio.fs may touch files; a SCRIPT may, too */
  ASYNCIO_ALLOW_STDIO = 128 /* asyncio.stdin, stdout and stderr give the process's own, may set the
                               mode of its terminal, catch the signals that end it meanwhile, and
                               start a thread where that is needed; a SCRIPT may, too */
};

/* The loader of the module: package.preload["asyncio"] = luaopen_asyncio_core in a host that links
 * statically. */
ASYNCIO_API int luaopen_asyncio_core(lua_State *L);

/* Open the library in the state of L (the module can be required afterwards as "asyncio" and
 * "asyncio.core") and a loop in it, which becomes the current one. uv: a loop that the host runs,
 * or NULL for one of the library's own, for asyncio_poll. Returns the loop, or NULL with an error
 * message on top of L's stack. The pointer is good until asyncio_close has returned 0, or
 * lua_close.
 *
 * On the host's uv_loop_t the library keeps it alive (as uv_run understands it) only while
 * something is ready, a timer runs or I/O is under way; it looks at no handle but its own. Those
 * are not for the host to close: asyncio_close or lua_close comes before a uv_walk that closes
 * everything. */
ASYNCIO_API asyncio_Loop *asyncio_open(lua_State *L, struct uv_loop_s *uv, unsigned flags);

/* Do what is ready, without ever sleeping, for `budget` seconds at the most (0: one turn); it stops
 * between two tasks, never inside one. Returns 1 if more is ready now, 0 if not, -1 if the loop is
 * closed. For loops opened without a uv_loop_t. */
ASYNCIO_API int asyncio_poll(asyncio_Loop *loop, double budget);

/* Seconds until asyncio_poll has something to do by the clock: 0 if something is ready now, -1 if
 * there is no timer. I/O may come earlier. */
ASYNCIO_API double asyncio_timeout(asyncio_Loop *loop);

/* Close the loop: pending tasks are closed (their to-be-closed variables run). Returns 0, or -1
 * with an error message on top of the stack of L: a task of the loop is calling. On a host's
 * uv_loop_t libuv closes the handles in its next run, which may be after lua_close; lua_close alone
 * does, too, and runs no task code. */
ASYNCIO_API int asyncio_close(lua_State *L, asyncio_Loop *loop);

/* ---- From other threads: asyncio's loop.call_soon_threadsafe */

/* What another thread has the loop call: in its next turn, on its thread, with nothing on the stack
 * of L. It may raise, which goes to the loop's exception handler; it cannot wait, but it can set
 * futures and start tasks. L is NULL if the loop was closed before: then `arg` is to be freed, and
 * nothing else. */
typedef void asyncio_Call(lua_State *L, void *arg);

/* Make a remote of the loop. While it is there, the loop expects calls: waiting for them is no
 * deadlock, and a host's uv_loop_t is kept alive. NULL: no memory. */
ASYNCIO_API asyncio_Remote *asyncio_remote(asyncio_Loop *loop);

/* Have the loop call a function; its poll ends, the host's too. For any thread, at any time, also
 * after the loop was closed or the Lua state is gone. Calls of one thread run in their order. 0;
 * or -1: the loop is closed, or there is no memory; it will not be called. */
ASYNCIO_API int asyncio_call_soon_threadsafe(asyncio_Remote *remote, asyncio_Call *call, void *arg);

/* Let go of the remote: nobody uses it any more. For any thread; calls that are queued still run.
 */
ASYNCIO_API void asyncio_remote_free(asyncio_Remote *remote);

#ifdef __cplusplus
}
#endif

#endif
