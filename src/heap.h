/* SPDX-License-Identifier: MIT */
/* heap.h - the timers' priority queue: a 4-ary heap of (time, node) pairs in one array.
 *
 * The earliest time is on top; of equal times the one that was made first (the order of `seq`). A
 * node knows its place, so that a timer is taken out in O(log n) from anywhere. Four children a
 * node: half the levels of a binary heap, and the four keys that are compared lie side by side.
 * Growing is the caller's (asy_heap_reserve_size), so that nothing here allocates. */
#ifndef ASY_HEAP_H
#define ASY_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct asy_HeapNode {
  double at;      /* key; set by the owner before the push */
  uint32_t seq;   /* orders equal keys; set by the push */
  uint32_t place; /* index in the array + 1; 0 while it is not in the heap */
} asy_HeapNode;

typedef struct asy_HeapItem {
  double at; /* a copy of node->at: comparing does not touch the nodes */
  asy_HeapNode *node;
} asy_HeapItem;

typedef struct asy_Heap {
  asy_HeapItem *items; /* owned by whoever reserves */
  uint32_t count, size;
  uint32_t seq; /* the next node's; it may start again from 0 */
} asy_Heap;

static inline bool asy_heap_before(asy_HeapItem a, asy_HeapItem b) {
  return a.at < b.at || (a.at == b.at && (int32_t)(a.node->seq - b.node->seq) < 0);
}

static inline void asy_heap_set(asy_Heap *heap, uint32_t i, asy_HeapItem item) {
  heap->items[i] = item;
  item.node->place = i + 1;
}

static inline void asy_heap_up(asy_Heap *heap, uint32_t i, asy_HeapItem item) {
  while (i > 0) {
    uint32_t parent = (i - 1) / 4;
    if (!asy_heap_before(item, heap->items[parent])) break;
    asy_heap_set(heap, i, heap->items[parent]);
    i = parent;
  }
  asy_heap_set(heap, i, item);
}

static inline void asy_heap_down(asy_Heap *heap, uint32_t i, asy_HeapItem item) {
  for (;;) {
    uint32_t first = 4 * i + 1, end = first + 4, least = first;
    if (first >= heap->count) break;
    if (end > heap->count) end = heap->count;
    for (uint32_t j = first + 1; j < end; j++)
      if (asy_heap_before(heap->items[j], heap->items[least])) least = j;
    if (!asy_heap_before(heap->items[least], item)) break;
    asy_heap_set(heap, i, heap->items[least]);
    i = least;
  }
  asy_heap_set(heap, i, item);
}

/* the caller has seen to it that count < size */
static inline void asy_heap_push(asy_Heap *heap, asy_HeapNode *node) {
  node->seq = heap->seq++;
  asy_heap_up(heap, heap->count++, (asy_HeapItem){node->at, node});
}

static inline void asy_heap_remove(asy_Heap *heap, asy_HeapNode *node) {
  if (node->place == 0) return;
  uint32_t i = node->place - 1;
  node->place = 0;
  asy_HeapItem last = heap->items[--heap->count];
  if (last.node == node) return;
  if (i > 0 && asy_heap_before(last, heap->items[(i - 1) / 4]))
    asy_heap_up(heap, i, last);
  else
    asy_heap_down(heap, i, last);
}

static inline asy_HeapNode *asy_heap_top(const asy_Heap *heap) {
  return heap->count ? heap->items[0].node : NULL;
}

#endif
