/* SPDX-License-Identifier: MIT */
/* timer.h - the clock and the heap of timers.
 *
 * Times are seconds as doubles, as in asyncio: sums of the same numbers compare as they do there. A
 * timer is embedded in what it belongs to; when it is due its function is called, which appends
 * something to the ready queue and runs nothing. */
#ifndef ASY_TIMER_H
#define ASY_TIMER_H

#include "ready.h"

typedef struct asy_Timer asy_Timer;

/* The timer is due (and no longer in the heap): append to the ready queue. Must not raise, allocate
 * or run Lua. */
typedef void asy_Due(lua_State *L, asy_Loop *loop, asy_Timer *timer);

struct asy_Timer {
  asy_HeapNode node;
  asy_Due *due;
};

/* The loop's time in seconds. [-0, +0, -] */
ASY_FUNC double asy_timer_now(asy_Loop *loop);

/* Make room for one more timer; false if there is no memory. Runs no Lua, no collection. [-0, +0,
 * -] */
ASY_FUNC bool asy_timer_grow(asy_Loop *loop);

/* The same, raising: call it right before asy_timer_start, with no Lua allocation between. [-0, +0,
 * m] */
ASY_FUNC void asy_timer_reserve(lua_State *L, asy_Loop *loop);

/* Arm: due at `at`, after those armed before with the same time. Needs asy_timer_reserve. [-0, +0,
 * -] */
ASY_FUNC void asy_timer_start(asy_Loop *loop, asy_Timer *timer, double at, asy_Due *due);

/* Disarm; does nothing when it is not armed. [-0, +0, -] */
ASY_FUNC void asy_timer_stop(asy_Loop *loop, asy_Timer *timer);

static inline bool asy_timer_is_armed(const asy_Timer *timer) {
  return timer->node.place != 0;
}

/* Call `due` of every timer whose time has come, in the order of times. [-0, +0, -] */
ASY_FUNC void asy_timer_collect(lua_State *L, asy_Loop *loop);

/* Seconds until the first timer; 0 when it is due, negative when there is none. [-0, +0, -] */
ASY_FUNC double asy_timer_left(asy_Loop *loop);

/* The loop's uv timer must be set anew: the first timer has changed outside a turn (loop.c). */
ASY_FUNC void asy_timer_notify(asy_Loop *loop);

#endif
