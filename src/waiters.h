/* SPDX-License-Identifier: MIT */
/* waiters.h - what locks, semaphore, barrier and queue share: lists of waiting tasks, and the rule
 * which loop a primitive belongs to.
 *
 * But for queue, a waiter stays in its primitive's list from its park until its continuation runs,
 * also when it has been woken or cancelled: who comes meanwhile lines up behind it, and nobody is
 * overtaken. A wake-up gives the task a place in the ready queue; what the task came for it takes
 * when it runs, and if it is cancelled before that, its continuation hands the wake-up on. Nothing
 * here that walks a list allocates, so that no finalizer comes in between. */
#ifndef ASY_WAITERS_H
#define ASY_WAITERS_H

#include "wait.h"

/* User value of every primitive: the loop on which it first waited. */
#define ASY_WAITERS_LOOP 1

/* Waiters that are woken one by one. Those who were woken have a list of their own, so that each
 * wake-up finds the next one at once. */
typedef struct asy_Waiters {
  asy_List parked; /* asy_Wait.link: not woken, perhaps cancelled */
  asy_List woken;  /* asy_Wait.link: woken, until the continuation runs */
} asy_Waiters;

static inline void asy_waiters_init(asy_Waiters *waiters) {
  asy_list_init(&waiters->parked);
  asy_list_init(&waiters->woken);
}

static inline asy_Wait *asy_waiters_wait(asy_Link *link) {
  return ASY_CONTAINER(link, asy_Wait, link);
}

/* Wake the first who was neither woken nor cancelled; false if there is none. The cancelled ones on
 * the way are passed over once and for all: they leave the list. [-0, +0, -] */
ASY_FUNC bool asy_waiters_wake_next(asy_Waiters *waiters);
ASY_FUNC void asy_waiters_wake_all(asy_Waiters *waiters);

/* Does anybody in the list still wait, or has been woken: is not just cancelled? [-0, +0, -] */
ASY_FUNC bool asy_waiters_any(const asy_List *list);

/* How many are in a list, the cancelled ones included. [-0, +0, -] */
ASY_FUNC int asy_waiters_count(const asy_List *list);

/* The primitive at idx is about to wait on `loop`: note that in *owner and hold the loop, or raise
 * an error if the primitive belongs to another one. [-0, +0, v] */
ASY_FUNC void asy_waiters_bind(lua_State *L, int idx, asy_Loop **owner, asy_Loop *loop);

/* Push what tostring shows of the primitive at index 1: "<asyncio.Lock 0x... [locked, waiters:2]>".
 * [-0, +1, m] */
ASY_FUNC void asy_waiters_push_string(lua_State *L, const char *state, int waiters);

#endif
