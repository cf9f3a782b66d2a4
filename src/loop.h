/* SPDX-License-Identifier: MIT */
/* loop.h - the event loop: one turn, and the three drivers that call it.
 *
 * A turn: what is due is appended to the ready queue; then as many entries run as the queue holds
 * at this moment. The drivers are run_forever / run_until_complete (the loop's own uv_run),
 * asyncio_poll (a host's frame), and a check callback on a uv_loop_t that the host runs. */
#ifndef ASY_LOOP_H
#define ASY_LOOP_H

#include <uv.h>

#include "task.h"

typedef enum asy_LoopFlags {
  ASY_LOOP_VIRTUAL = 1, /* simulated time */
  ASY_LOOP_DEBUG = 2,
  ASY_LOOP_SIGINT = 4, /* Ctrl-C works while it is driven */
  ASY_LOOP_KEEP_SIGPIPE = 8,
  ASY_LOOP_THREADS_ALLOWED = 16,  /* jobs may run on threads */
  ASY_LOOP_CHILDREN_ALLOWED = 32, /* child processes may be started */
  ASY_LOOP_FILES_ALLOWED = 64,
  ASY_LOOP_STDIO_ALLOWED = 128 /* the process's own standard streams may be used */
} asy_LoopFlags;

/* Push a new Loop. uv: the host's loop, or NULL for one of its own. Raises an OSError if libuv
 * fails. [-0, +1, v] */
ASY_FUNC asy_Loop *asy_loop_new(lua_State *L, asy_State *S, uv_loop_t *uv, unsigned flags);

/* Push the Lua value of a loop. [-0, +1, -] */
static inline void asy_loop_push(lua_State *L, asy_Loop *loop) {
  asy_shelf_push(L, loop->shelf, ASY_LOOP_SELF);
}

/* The running loop, or an error "no running event loop". [-0, +0, v] */
ASY_FUNC asy_Loop *asy_loop_running(lua_State *L, asy_State *S);

/* The running loop, else the current one, which is made and set if there is none. [-0, +0, v] */
ASY_FUNC asy_Loop *asy_loop_get(lua_State *L, asy_State *S);

/* Make the Loop at idx the current one; 0 or nil: there is none but the host's. [-0, +0, -] */
ASY_FUNC void asy_loop_set_current(lua_State *L, asy_State *S, int idx);

/* The loop has been opened from C: while it is open, scripts find it as the current one, and unless
 * it watches SIGINT as a script's does, they run no loop, since that would block the host. [-0, +0,
 * -] */
ASY_FUNC void asy_loop_give_to_host(asy_Loop *loop);

/* Would a script that runs this loop (NULL: one of its own) block a host that does not want that?
 * [-0, +0, -] */
static inline bool asy_loop_blocks_host(const asy_State *S, const asy_Loop *loop) {
  return loop && loop->of_host ? !loop->watches_sigint : S->strict_hosts > 0;
}

/* An error, if so. `what` would block: "asyncio.run". [-0, +0, v] */
ASY_FUNC void asy_loop_check_block(lua_State *L, asy_State *S, const asy_Loop *loop,
                                   const char *what);

/* Error if the loop is closed. [-0, +0, v] */
ASY_FUNC void asy_loop_check_open(lua_State *L, asy_Loop *loop);

/* The libuv loop, for the rooms that do I/O. [-0, +0, -] */
ASY_FUNC uv_loop_t *asy_loop_uv(asy_Loop *loop);

/* The loop's inbox, made when it is first asked for; NULL: no memory. Who hands it to another
 * thread holds it for that. [-0, +0, -] */
ASY_FUNC asy_Inbox *asy_loop_inbox(asy_Loop *loop);

/* Somebody outside may still complete something, and has not yet: until asy_loop_unhold there is no
 * deadlock, and a host's loop stays alive. [-0, +0, -] */
ASY_FUNC void asy_loop_hold(asy_Loop *loop);
ASY_FUNC void asy_loop_unhold(asy_Loop *loop);

/* Run the loop until the future at index `fut` of L is done (0: until stop()). Pushes nothing.
 * False if the loop was stopped before; raises KeyboardInterrupt. [-0, +0, v] */
ASY_FUNC bool asy_loop_drive(lua_State *L, asy_Loop *loop, int fut);

/* For a host's frame: look for I/O without blocking and run turns for `budget` seconds at the most
 * (0: one turn); stops between two entries. True if something is ready to run now. Nothing is
 * raised. [-0, +0, -] */
ASY_FUNC bool asy_loop_poll(asy_Loop *loop, double budget);

/* Close: pending tasks are closed, handles released. [-0, +0, v] */
ASY_FUNC void asy_loop_close(lua_State *L, asy_Loop *loop);

ASY_FUNC void asy_loop_open(lua_State *L, asy_State *S);

#endif
