/* SPDX-License-Identifier: MIT */
/* inbox.h - how other threads reach a loop.
 *
 * Any thread that holds an inbox may post an entry of the ready queue: the loop's poll ends, and
 * the entry runs in the loop's next turn, on its thread. The inbox comes from malloc and counts
 * those who hold it, so that it outlives its loop: posting to a closed loop does nothing, and says
 * so. An entry belongs to the loop from the moment at which it was posted. */
#ifndef ASY_INBOX_H
#define ASY_INBOX_H

#include <uv.h>

#include "ready.h"

/* A new inbox with one holder; `async` is sent whenever something is posted. NULL: no memory. */
ASY_FUNC asy_Inbox *asy_inbox_new(uv_async_t *async);

/* One holder more; from any thread. */
ASY_FUNC void asy_inbox_hold(asy_Inbox *inbox);

/* One holder less; the last one frees it. From any thread; NULL is allowed. */
ASY_FUNC void asy_inbox_release(asy_Inbox *inbox);

/* Post an entry, which is on no list; from any thread. False if the loop is closed: the entry is
 * still the caller's. */
ASY_FUNC bool asy_inbox_post(asy_Inbox *inbox, asy_Ready *entry);

/* Move what has been posted to the end of the loop's ready queue; on the loop's thread. */
ASY_FUNC void asy_inbox_drain(asy_Inbox *inbox, asy_Loop *loop);

/* The loop closes: `async` is not touched any more, and what was posted is forgotten. */
ASY_FUNC void asy_inbox_close(asy_Inbox *inbox);

#endif
