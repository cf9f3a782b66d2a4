/* SPDX-License-Identifier: MIT */
/* child.h - a child process: starting it, learning how it has ended, signals, the end of its loop.
 *
 * libuv reaps its children, but says nothing of one that somebody else in the process has reaped.
 * So a loop that has children watches SIGCHLD besides (unref'd), and asks after its own children,
 * and after nobody else's. Whoever is first, libuv or this watch, reaps the child.
 *
 * The record is freed when it has ended, libuv has closed its handle, and Lua has let go. The
 * object that is pinned under its address (asy_resource_pin) is let go when the child has ended. */
#ifndef ASY_CHILD_H
#define ASY_CHILD_H

#include "disposition.h"
#include "resource.h"

typedef enum asy_ChildState {
  ASY_CHILD_NEW,     /* not started, or that has failed */
  ASY_CHILD_RUNNING, /* as far as is known */
  ASY_CHILD_ENDED,   /* and `code` says how */
  ASY_CHILD_LOST,    /* somebody else has reaped it */
  ASY_CHILD_LEFT     /* its loop has closed, and it ran on */
} asy_ChildState;

typedef struct asy_Child {
  asy_Resource res; /* open while it runs, and until the loop's next turn */
  uv_process_t uv;
  asy_Link link;    /* in the children of its loop, while `res` is open */
  asy_Ready ended;  /* queued when it has ended */
  asy_List waiters; /* asy_Wait.link */
  int64_t code;     /* exit status, or minus the signal that killed it */
  int pid;
  uint8_t state;   /* asy_ChildState */
  bool survives;   /* the end of its loop; set by the caller before it is started */
  bool group;      /* signals go to its process group, which it leads; likewise */
  bool in_flight;  /* counted in the loop's: somebody waits for it */
  bool has_handle; /* uv is initialised and not closed */
} asy_Child;

/* A record, not started, held by Lua. NULL: no memory. */
ASY_FUNC asy_Child *asy_child_new(void);

/* Start it; of the options exit_cb is set here. 0 or a libuv code. [-0, +0, -] */
ASY_FUNC int asy_child_start(asy_Child *c, asy_Loop *loop, uv_process_options_t *options);

/* Send a signal to a child that was started. 0 or a libuv code; UV_ESRCH: it has ended. [-0, +0, -]
 */
ASY_FUNC int asy_child_signal(asy_Child *c, int signum);

/* Link the wait of somebody who waits for the end of a child that runs. [-0, +0, -] */
ASY_FUNC void asy_child_await(asy_Child *c, asy_Wait *w);

/* In the continuation: unlink it. [-0, +0, -] */
ASY_FUNC void asy_child_awaited(asy_Child *c, asy_Wait *w);

/* The Lua object is gone. [-0, +0, -] */
ASY_FUNC void asy_child_release(asy_Child *c);

#endif
