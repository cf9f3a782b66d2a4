/* SPDX-License-Identifier: MIT */
/* handle.h - Handle and TimerHandle: a function to be called by the loop (call_soon, call_later,
 * done callbacks). */
#ifndef ASY_HANDLE_H
#define ASY_HANDLE_H

#include "context.h"

/* A function to be called by the loop: userdata with user values (ASY_HANDLE_*). While it runs it
 * lies on the stack of the loop's shelf, above the slots, where its context is found. */
typedef struct asy_Handle {
  asy_Ready entry; /* in the ready queue, or among the callbacks of a future */
  asy_Loop *loop;
  int nargs;
  bool cancelled;
  bool is_timer; /* a TimerHandle; a plain one ends here */
  asy_Timer timer;
  lua_Integer slot; /* in ASY_LOOP_TIMERS; 0 when it is not there (any more) */
  double when;
} asy_Handle;

enum {
  ASY_HANDLE_NEXT = 1, /* the next handle of its ring */
  ASY_HANDLE_CONTEXT = ASY_CONTEXT_OF_HANDLE,
  ASY_HANDLE_FUNCTION,
  ASY_HANDLE_ARGS /* and so on */
};

/* Make a Handle from a function and nargs arguments on top of the stack, which it pops, in the
 * current context; pushes it. It is not queued yet. [-(nargs+1), +1, m] */
ASY_FUNC asy_Handle *asy_handle_new(lua_State *L, asy_Loop *loop, int nargs);

/* Append the handle on top of the stack to the ready queue. [-1, +0, -] */
ASY_FUNC void asy_handle_queue(lua_State *L, asy_Loop *loop, asy_Handle *handle);

/* Call the function of the handle on top of the stack, which stays there; what it raises is
 * reported. [-0, +0, -] */
ASY_FUNC void asy_handle_call(lua_State *L, asy_Loop *loop, asy_Handle *handle);

/* The run function of handles; an entry that has it is one. */
ASY_FUNC void asy_handle_run(lua_State *L, asy_Loop *loop, asy_Ready *entry);

/* The ring of handles: how a pending future, or the ready queue, keeps its handles alive without
 * allocating. A ring is the newest handle (or nil); its ASY_HANDLE_NEXT is the oldest one. */

/* Pop a handle and a ring (on top), push the ring with the handle as its newest. [-2, +1, -] */
ASY_FUNC void asy_ring_add(lua_State *L);

/* Pop two rings and push the ring that has the handles of the lower one, then those of the upper
 * one. [-2, +1, -] */
ASY_FUNC void asy_ring_join(lua_State *L);

/* Pop a ring into the loop's, behind what is ready there: its handles have been appended to the
 * ready queue. [-1, +0, -] */
ASY_FUNC void asy_ring_keep(lua_State *L, asy_Loop *loop);

ASY_FUNC void asy_handle_open(lua_State *L, asy_State *S);

#endif
