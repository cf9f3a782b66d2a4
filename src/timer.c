/* SPDX-License-Identifier: MIT */
/* timer.c - the clock and the heap of timers. */
#include "timer.h"

#include <uv.h>

/* Two times that differ by less count as equal: the resolution of the clock. */
#define TIMER_RESOLUTION 1e-9

/* So many timers fit into a heap's numbers. */
#define TIMER_MOST (UINT32_MAX / 4)

double asy_timer_now(asy_Loop *loop) {
  return loop->is_virtual ? loop->now : (double)uv_hrtime() / 1e9;
}

/* ---- the heap */

bool asy_timer_grow(asy_Loop *loop) {
  asy_Heap *heap = &loop->timers;
  if (heap->count < heap->size) return true;
  uint32_t size = heap->size ? heap->size * 2 : 64;
  const size_t item = sizeof(asy_HeapItem);
  if (size > TIMER_MOST) return false;
  void *items = asy_alloc(loop->S, heap->items, heap->size * item, size * item);
  if (!items) return false;
  heap->items = items;
  heap->size = size;
  return true;
}

void asy_timer_reserve(lua_State *L, asy_Loop *loop) {
  if (loop->closed)
    luaL_error(L, "the event loop is closed"); /* nobody would free the heap again */
  if (!asy_timer_grow(loop)) luaL_error(L, "not enough memory");
}

void asy_timer_start(asy_Loop *loop, asy_Timer *timer, double at, asy_Due *due) {
  asy_timer_stop(loop, timer);
  timer->node.at = at;
  timer->due = due;
  asy_heap_push(&loop->timers, &timer->node);
  if (loop->hosted && asy_heap_top(&loop->timers) == &timer->node) asy_timer_notify(loop);
}

void asy_timer_stop(asy_Loop *loop, asy_Timer *timer) {
  if (asy_timer_is_armed(timer)) asy_heap_remove(&loop->timers, &timer->node);
}

void asy_timer_collect(lua_State *L, asy_Loop *loop) {
  asy_HeapNode *node = asy_heap_top(&loop->timers);
  if (!node) return;
  double now = asy_timer_now(loop), end = now + TIMER_RESOLUTION;
  while (node &&
         (node->at < end || node->at <= now)) { /* far from 0 the resolution is lost in the sum */
    asy_Timer *timer = ASY_CONTAINER(node, asy_Timer, node);
    asy_heap_remove(&loop->timers, node);
    timer->due(L, loop, timer);
    node = asy_heap_top(&loop->timers);
  }
}

double asy_timer_left(asy_Loop *loop) {
  asy_HeapNode *node = asy_heap_top(&loop->timers);
  if (!node) return -1;
  double left = node->at - asy_timer_now(loop);
  return left > 0 ? left : 0;
}
