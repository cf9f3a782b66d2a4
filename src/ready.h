/* SPDX-License-Identifier: MIT */
/* ready.h - the FIFO of what runs in the next turn.
 *
 * An entry is a link and a function, embedded in what it belongs to: a task, a handle, a child of a
 * gather. The list of callbacks of a pending future consists of the same entries: completing the
 * future moves the whole list behind the ready queue, in constant time and without allocating. An
 * entry is on one list at a time. */
#ifndef ASY_READY_H
#define ASY_READY_H

#include "core.h"

/* Run an entry, which has been taken off the queue. L is the loop's thread with at least
 * LUA_MINSTACK free slots, and must be left with the same top. Must not raise: whatever may fail is
 * called protected. */
typedef void asy_Run(lua_State *L, asy_Loop *loop, asy_Ready *entry);

struct asy_Ready {
  asy_Link link; /* in asy_Loop.ready, in asy_Future.callbacks, or in none */
  asy_Run *run;
};

static inline void asy_ready_init(asy_Ready *entry, asy_Run *run) {
  asy_list_init(&entry->link);
  entry->run = run;
}

/* Wake a loop that a host runs: the queue is no longer empty (loop.c). */
ASY_FUNC void asy_ready_notify(asy_Loop *loop);

/* Append an entry, which is on no list. [-0, +0, -] */
static inline void asy_ready_append(asy_Loop *loop, asy_Ready *entry) {
  if (ASY_UNLIKELY(loop->hosted) && asy_list_is_empty(&loop->ready)) asy_ready_notify(loop);
  asy_list_append(&loop->ready, &entry->link);
}

/* Append all entries of a list, which is empty then. [-0, +0, -] */
static inline void asy_ready_join(asy_Loop *loop, asy_List *entries) {
  if (ASY_UNLIKELY(loop->hosted) && asy_list_is_empty(&loop->ready)) asy_ready_notify(loop);
  asy_list_join(&loop->ready, entries);
}

#endif
