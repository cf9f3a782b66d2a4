/* SPDX-License-Identifier: MIT */
/* queue.c - see queue.h.
 *
 * The items lie in a Lua table of a fixed size, a power of two, in a user value: a ring, a stack,
 * or a binary heap. Neither putting nor taking allocates, but for a put that must double the table.
 * What runs user code (a comparison; a finalizer, while the table is doubled) may use the same
 * queue: `changes` tells, and the step begins anew. No step leaves the queue half done when it
 * does. */
#include "queue.h"

#include <limits.h>

#include "error.h"
#include "waiters.h"

enum { QUEUE_LOOP = ASY_WAITERS_LOOP, QUEUE_ITEMS /* table or nil */, QUEUE_LESS /* or nil */ };

typedef enum asy_QueueOrder { ASY_QUEUE_FIFO, ASY_QUEUE_LIFO, ASY_QUEUE_PRIORITY } asy_QueueOrder;

typedef struct asy_Queue {
  asy_List getters;       /* asy_Wait.link: tasks that wait for an item */
  asy_List putters;       /* asy_Wait.link: tasks that wait for room */
  asy_List joiners;       /* asy_Wait.link: tasks that wait until nothing is unfinished */
  asy_Loop *loop;         /* of the first wait, held in QUEUE_LOOP; NULL before */
  lua_Integer maxsize;    /* 0 or less: no limit */
  lua_Integer unfinished; /* items put, and not yet accounted for by task_done */
  unsigned head;          /* ring: place of the first item, from 0; else 0 */
  unsigned count;         /* items */
  unsigned size;          /* of the table: a power of two; 0 while there is none */
  unsigned changes;       /* counts changes of the items or their table */
  asy_QueueOrder order;
  bool is_shut;
  bool has_less; /* QUEUE_LESS is a function */
} asy_Queue;

#define QUEUE_FIRST_SIZE 8u
#define QUEUE_KEEP_SIZE 256u /* a larger table is given back when the queue is empty */
#define QUEUE_MAX_SIZE (1u << 30)

static asy_Queue *queue_check(lua_State *L, asy_State *S) {
  asy_Queue *q = lua_touserdata(L, 1);
  if (q && lua_getmetatable(L, 1)) {
    const void *mt = lua_topointer(L, -1);
    lua_pop(L, 1);
    if (mt == S->types[ASY_SLOT_QUEUE] || mt == S->types[ASY_SLOT_LIFO_QUEUE] ||
        mt == S->types[ASY_SLOT_PRIORITY_QUEUE])
      return q;
  }
  return asy_type_check(L, S, 1, ASY_SLOT_QUEUE);
}

static bool queue_is_full(const asy_Queue *q) {
  return q->maxsize > 0 && q->count >= (lua_Unsigned)q->maxsize;
}

static void queue_wake_next(asy_List *waiters) {
  asy_Link *link;
  while ((link = asy_list_take(waiters)) && !asy_wait_wake(asy_waiters_wait(link)))
    continue; /* it was cancelled */
}

static void queue_wake_all(asy_List *waiters) {
  while (!asy_list_is_empty(waiters))
    queue_wake_next(waiters);
}

/* ---- the table of items */

/* Double the table of the queue at index 1, unless a finalizer has done so meanwhile. */
static void queue_grow(lua_State *L, asy_Queue *q) {
  unsigned size = q->size ? 2 * q->size : QUEUE_FIRST_SIZE;
  if (size > QUEUE_MAX_SIZE) luaL_error(L, "too many items in a queue");
  unsigned changes = q->changes;
  lua_createtable(L, (int)size, 0);
  if (changes == q->changes) {
    lua_getiuservalue(L, 1, QUEUE_ITEMS);
    for (unsigned i = 0; i < q->count; i++) {
      lua_rawgeti(L, -1, ((q->head + i) & (q->size - 1)) + 1);
      lua_rawseti(L, -3, i + 1);
    }
    lua_pop(L, 1);
    lua_setiuservalue(L, 1, QUEUE_ITEMS);
    q->size = size;
    q->head = 0;
    q->changes++;
  } else {
    lua_pop(L, 1);
  }
}

/* The queue is empty: forget where it was, and a large table altogether. */
static void queue_rewind(lua_State *L, asy_Queue *q) {
  q->head = 0;
  if (q->size <= QUEUE_KEEP_SIZE) return;
  lua_pushnil(L);
  lua_setiuservalue(L, 1, QUEUE_ITEMS);
  q->size = 0;
}

/* ---- the heap: items[1] is the least, items[i] is not above items[2i] and items[2i + 1]. The
 * order of the comparisons is that of Python's heapq, so that what is equal comes out in the same
 * order. */

/* Is the first of the two values on top below the second? Pops them. [-2, +0, e] */
static bool queue_below(lua_State *L, const asy_Queue *q) {
  bool below;
  if (q->has_less) {
    lua_getiuservalue(L, 1, QUEUE_LESS);
    lua_insert(L, -3);
    lua_call(L, 2, 1);
    below = lua_toboolean(L, -1);
    lua_pop(L, 1);
  } else {
    below = lua_compare(L, -2, -1, LUA_OPLT);
    lua_pop(L, 2);
  }
  return below;
}

/* Where the item on top of the table at `items` would go, of which nothing is changed yet; 0 if the
 * queue was changed by a comparison. */
static unsigned queue_find_place(lua_State *L, const asy_Queue *q, int items) {
  unsigned changes = q->changes, place = q->count + 1;
  while (place > 1) {
    lua_pushvalue(L, 2);
    lua_rawgeti(L, items, place / 2);
    bool below = queue_below(L, q);
    if (changes != q->changes) return 0;
    if (!below) break;
    place /= 2;
  }
  return place;
}

/* The last item goes where the hole is that the first one leaves, after the hole has wandered down:
 * its place, 0 if the queue was changed. */
static unsigned queue_find_hole(lua_State *L, const asy_Queue *q, int items) {
  unsigned changes = q->changes, last = q->count, place = 1;
  while (2 * place < last) {
    unsigned child = 2 * place;
    if (child + 1 < last) {
      lua_rawgeti(L, items, child);
      lua_rawgeti(L, items, child + 1);
      bool below = queue_below(L, q);
      if (changes != q->changes) return 0;
      if (!below) child++;
    }
    place = child;
  }
  while (place > 1) {
    lua_rawgeti(L, items, last);
    lua_rawgeti(L, items, place); /* has moved to place / 2, in effect */
    bool below = queue_below(L, q);
    if (changes != q->changes) return 0;
    if (!below) break;
    place /= 2;
  }
  return place;
}

/* Move the items between the root and `place` one step up, or those between `place` and the new end
 * one step down, so that `place` is free. */
static void queue_shift_up(lua_State *L, int items, unsigned place) {
  unsigned depth = 0;
  while (place >> (depth + 1))
    depth++;
  for (; depth > 0; depth--) {
    lua_rawgeti(L, items, place >> (depth - 1));
    lua_rawseti(L, items, place >> depth);
  }
}

static void queue_shift_down(lua_State *L, int items, unsigned place, unsigned end) {
  for (unsigned i = end; i > place; i /= 2) {
    lua_rawgeti(L, items, i / 2);
    lua_rawseti(L, items, i);
  }
}

/* Put the item at index 2 into the heap; false if the queue was changed meanwhile. */
static bool queue_heap_put(lua_State *L, asy_Queue *q) {
  int items = lua_gettop(L) + 1;
  lua_getiuservalue(L, 1, QUEUE_ITEMS);
  unsigned place = queue_find_place(L, q, items);
  if (place) {
    queue_shift_down(L, items, place, q->count + 1);
    lua_pushvalue(L, 2);
    lua_rawseti(L, items, place);
  }
  lua_settop(L, items - 1);
  return place > 0;
}

/* Push the least item and take it out; false if the queue was changed meanwhile. */
static bool queue_heap_take(lua_State *L, asy_Queue *q) {
  int items = lua_gettop(L) + 1;
  lua_getiuservalue(L, 1, QUEUE_ITEMS);
  unsigned place = queue_find_hole(L, q, items);
  if (!place) {
    lua_settop(L, items - 1);
    return false;
  }
  lua_rawgeti(L, items, 1);
  queue_shift_up(L, items, place);
  lua_rawgeti(L, items, q->count);
  lua_rawseti(L, items, place);
  lua_pushnil(L);
  lua_rawseti(L, items, q->count);
  lua_replace(L, items);
  return true;
}

/* ---- putting and taking */

/* One try to store the item at index 2, for which there is room; false: look at the queue again. */
static bool queue_store(lua_State *L, asy_Queue *q) {
  if (ASY_UNLIKELY(q->count == q->size)) {
    queue_grow(L, q);
    return false;
  }
  if (q->order == ASY_QUEUE_PRIORITY) return queue_heap_put(L, q);
  lua_getiuservalue(L, 1, QUEUE_ITEMS);
  lua_pushvalue(L, 2);
  lua_rawseti(L, -2, ((q->head + q->count) & (q->size - 1)) + 1);
  return true;
}

/* Put the item at index 2 into the queue at index 1; false if that is full. Raises if it is shut
 * down, or what a comparison raises: nothing is changed then. */
static bool queue_add(lua_State *L, asy_State *S, asy_Queue *q) {
  do {
    if (q->is_shut) asy_error_raise(L, S, ASY_QUEUE_SHUT_DOWN, "the queue is shut down");
    if (queue_is_full(q)) return false;
  } while (ASY_UNLIKELY(!queue_store(L, q)));
  q->count++;
  q->changes++;
  q->unfinished++;
  queue_wake_next(&q->getters);
  return true;
}

/* One try to push the next item and take it out of the table; false: look at the queue again. */
static bool queue_load(lua_State *L, asy_Queue *q) {
  if (q->order == ASY_QUEUE_PRIORITY) return queue_heap_take(L, q);
  unsigned place = (q->order == ASY_QUEUE_LIFO ? q->count - 1 : q->head) + 1;
  lua_getiuservalue(L, 1, QUEUE_ITEMS);
  lua_rawgeti(L, -1, place);
  lua_pushnil(L);
  lua_rawseti(L, -3, place);
  if (q->order == ASY_QUEUE_FIFO) q->head = (q->head + 1) & (q->size - 1);
  return true;
}

/* Take the next item out of the queue at index 1: it is on top of the stack then, above what else
 * is there. False if the queue is empty. Raises as queue_add. */
static bool queue_take(lua_State *L, asy_Queue *q) {
  do {
    if (q->count == 0) return false;
  } while (ASY_UNLIKELY(!queue_load(L, q)));
  q->changes++;
  if (--q->count == 0) queue_rewind(L, q);
  queue_wake_next(&q->putters);
  return true;
}

/* Who was woken and cannot use it lets the next one try. */
static void queue_pass_item_on(asy_Queue *q) {
  if (q->count > 0) queue_wake_next(&q->getters);
}

static void queue_pass_room_on(asy_Queue *q) {
  if (!queue_is_full(q)) queue_wake_next(&q->putters);
}

/* queue_add and queue_take for lua_pcall: a woken task must learn of an error to pass its chance
 * on. */
static int queue_protected_add(lua_State *L) {
  asy_Queue *q = lua_touserdata(L, 1);
  lua_pushboolean(L, queue_add(L, q->loop->S, q));
  return 1;
}

static int queue_protected_take(lua_State *L) {
  bool done = queue_take(L, lua_touserdata(L, 1));
  lua_pushboolean(L, done);
  if (!done) return 1;
  lua_insert(L, -2);
  return 2;
}

/* False: an error is on top. True: at 3 whether it worked, on top the item taken. */
static bool queue_protect(lua_State *L, lua_CFunction step) {
  lua_settop(L, 2);
  lua_pushcfunction(L, step);
  lua_pushvalue(L, 1);
  lua_pushvalue(L, 2);
  return lua_pcall(L, 2, 2, 0) == LUA_OK;
}

/* ---- put */

static const asy_WaitKind queue_put_kind = {"room in a queue", NULL, true};

static int queue_k_put(lua_State *L, asy_Wait *w);

static int queue_put_or_park(lua_State *L, asy_Queue *q, asy_Wait *w) {
  if (queue_add(L, w->loop->S, q)) return 0;
  asy_waiters_bind(L, 1, &q->loop, w->loop);
  asy_list_append(&q->putters, &w->link);
  return asy_wait_park(L, w, &queue_put_kind, q, queue_k_put);
}

static int queue_k_put(lua_State *L, asy_Wait *w) {
  asy_Queue *q = w->on;
  asy_list_remove(&w->link);
  if (asy_wait_failed(w)) {
    if (w->state == ASY_WAIT_WOKEN) queue_pass_room_on(q);
    return asy_wait_raise(L, w);
  }
  if (q->order == ASY_QUEUE_PRIORITY || q->count == q->size) {
    if (!queue_protect(L, queue_protected_add)) {
      queue_pass_room_on(q);
      return lua_error(L);
    }
    if (lua_toboolean(L, 3)) return 0;
    lua_settop(L, 2);
  }
  return queue_put_or_park(L, q, w);
}

/***
Put an item into the queue; wait until there is room for it.
@function Queue:put
@function LifoQueue:put
@function PriorityQueue:put
@param item any value; nil, too, but see `iter`
@return nothing
@waits yes, if the queue is full
@cancel raises CancelledError; the item is not put, and the room goes to the next who waits for it
@raise argument error; QueueShutDown after `shutdown`; an error if the queue belongs to another
event loop; what the comparison of a PriorityQueue raises (the item is not put then)
@usage
local queue = asyncio.Queue(1)
asyncio.create_task(function() assert(queue:get() == "a") end)
queue:put("a")
queue:put("b") -- waits until the task has taken the first
@see asyncio-queue.html#asyncio.Queue.put
*/
static int queue_put(lua_State *L) {
  asy_State *S = asy_state(L);
  asy_Queue *q = queue_check(L, S);
  luaL_checkany(L, 2);
  asy_Wait *w = asy_wait_begin(L, S);
  if (!w) return asy_wait_outside(L, S);
  return queue_put_or_park(L, q, w);
}

/***
Put an item into the queue, or raise an error if there is no room.
@function Queue:put_nowait
@function LifoQueue:put_nowait
@function PriorityQueue:put_nowait
@param item any value; nil, too, but see `iter`
@return nothing
@waits no
@raise argument error; QueueFull; QueueShutDown after `shutdown`; what the comparison of a
PriorityQueue raises (the item is not put then)
@usage
local queue = asyncio.Queue(1)
queue:put_nowait("a")
local ok, err = pcall(queue.put_nowait, queue, "b")
assert(not ok and asyncio.is(err, asyncio.QueueFull))
@see asyncio-queue.html#asyncio.Queue.put_nowait
*/
static int queue_put_nowait(lua_State *L) {
  asy_State *S = asy_state(L);
  asy_Queue *q = queue_check(L, S);
  luaL_checkany(L, 2);
  if (!queue_add(L, S, q)) return asy_error_raise(L, S, ASY_QUEUE_FULL, "the queue is full");
  return 0;
}

/* ---- get */

static const asy_WaitKind queue_get_kind = {"item of a queue", NULL, true};

static int queue_k_next(lua_State *L, asy_Wait *w);

/* k is the continuation of get, or of the iterator, which ends where get raises QueueShutDown. */
static int queue_get_or_park(lua_State *L, asy_Queue *q, asy_Wait *w, asy_Cont *k) {
  if (queue_take(L, q)) return 1;
  if (q->is_shut) {
    if (k == queue_k_next) return 0;
    return asy_error_raise(L, w->loop->S, ASY_QUEUE_SHUT_DOWN, "the queue is shut down");
  }
  asy_waiters_bind(L, 1, &q->loop, w->loop);
  asy_list_append(&q->getters, &w->link);
  return asy_wait_park(L, w, &queue_get_kind, q, k);
}

static int queue_get_again(lua_State *L, asy_Wait *w, asy_Cont *k) {
  asy_Queue *q = w->on;
  asy_list_remove(&w->link);
  if (asy_wait_failed(w)) {
    if (w->state == ASY_WAIT_WOKEN) queue_pass_item_on(q);
    return asy_wait_raise(L, w);
  }
  if (q->order == ASY_QUEUE_PRIORITY) {
    if (!queue_protect(L, queue_protected_take)) {
      queue_pass_item_on(q);
      return lua_error(L);
    }
    if (lua_toboolean(L, 3)) return 1;
    lua_settop(L, 1);
  }
  return queue_get_or_park(L, q, w, k);
}

static int queue_k_get(lua_State *L, asy_Wait *w) {
  return queue_get_again(L, w, queue_k_get);
}

static int queue_k_next(lua_State *L, asy_Wait *w) {
  return queue_get_again(L, w, queue_k_next);
}

/***
Take the next item out of the queue; wait until there is one.
@function Queue:get
@function LifoQueue:get
@function PriorityQueue:get
@return the item: the oldest one, of a LifoQueue the newest one, of a PriorityQueue the least one
@waits yes, if the queue is empty
@cancel raises CancelledError; no item is lost: one that was on its way goes to the next getter
@raise argument error; QueueShutDown when the queue is empty after `shutdown`; an error if the queue
belongs to another event loop; what the comparison of a PriorityQueue raises (no item is taken then)
@usage
local queue = asyncio.Queue()
loop:call_soon(queue.put_nowait, queue, "a")
assert(queue:get() == "a")
@see asyncio-queue.html#asyncio.Queue.get
*/
static int queue_get(lua_State *L) {
  asy_State *S = asy_state(L);
  asy_Queue *q = queue_check(L, S);
  asy_Wait *w = asy_wait_begin(L, S);
  if (!w) return asy_wait_outside(L, S);
  return queue_get_or_park(L, q, w, queue_k_get);
}

/***
Take the next item out of the queue, or raise an error if there is none.
@function Queue:get_nowait
@function LifoQueue:get_nowait
@function PriorityQueue:get_nowait
@return the item, as of `get`
@waits no
@raise argument error; QueueEmpty; QueueShutDown when the queue is empty after `shutdown`; what the
comparison of a PriorityQueue raises (no item is taken then)
@usage
local queue = asyncio.LifoQueue()
queue:put_nowait("a")
queue:put_nowait("b")
assert(queue:get_nowait() == "b")
@see asyncio-queue.html#asyncio.Queue.get_nowait
*/
static int queue_get_nowait(lua_State *L) {
  asy_State *S = asy_state(L);
  asy_Queue *q = queue_check(L, S);
  if (queue_take(L, q)) return 1;
  if (q->is_shut) return asy_error_raise(L, S, ASY_QUEUE_SHUT_DOWN, "the queue is shut down");
  return asy_error_raise(L, S, ASY_QUEUE_EMPTY, "the queue is empty");
}

/* Upvalue 2 is the queue. */
static int queue_next(lua_State *L) {
  asy_State *S = asy_state(L);
  asy_Wait *w = asy_wait_begin(L, S);
  if (!w) return asy_wait_outside(L, S);
  lua_settop(L, 0);
  lua_pushvalue(L, lua_upvalueindex(2));
  return queue_get_or_park(L, lua_touserdata(L, 1), w, queue_k_next);
}

/***
Iterate over the items as they come, until the queue is shut down and empty.
Each step is a `get`; call `task_done` yourself if somebody joins the queue. A nil item ends the
loop, as Lua's `for` does with any nil.
@function Queue:iter
@function LifoQueue:iter
@function PriorityQueue:iter
@treturn function an iterator; calling it waits for the next item
@waits no, but the iterator does
@raise argument error; the iterator raises what `get` does, but for QueueShutDown
@usage
local queue, sum = asyncio.Queue(), 0
for i = 1, 3 do queue:put(i) end
queue:shutdown()
for item in queue:iter() do sum = sum + item end
assert(sum == 6)
@see asyncio-queue.html#asyncio.Queue.get
*/
static int queue_iter(lua_State *L) {
  queue_check(L, asy_state(L));
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_pushvalue(L, 1);
  lua_pushcclosure(L, queue_next, 2);
  return 1;
}

/* ---- join */

static const asy_WaitKind queue_join_kind = {"tasks of a queue", NULL, true};

static int queue_k_join(lua_State *L, asy_Wait *w) {
  asy_list_remove(&w->link);
  return asy_wait_failed(w) ? asy_wait_raise(L, w) : 0;
}

/***
Wait until `task_done` was called for every item that was put.
@function Queue:join
@function LifoQueue:join
@function PriorityQueue:join
@return nothing
@waits yes, unless nothing is unfinished
@cancel raises CancelledError
@raise argument error; an error if the queue belongs to another event loop
@usage
local queue = asyncio.Queue()
asyncio.create_task(function()
  for _ in queue:iter() do queue:task_done() end
end)
queue:put("a")
queue:put("b")
queue:join()
assert(queue:empty())
@see asyncio-queue.html#asyncio.Queue.join
*/
static int queue_join(lua_State *L) {
  asy_State *S = asy_state(L);
  asy_Queue *q = queue_check(L, S);
  asy_Wait *w = asy_wait_begin(L, S);
  if (!w) return asy_wait_outside(L, S);
  if (q->unfinished == 0) return 0;
  asy_waiters_bind(L, 1, &q->loop, w->loop);
  asy_list_append(&q->joiners, &w->link);
  return asy_wait_park(L, w, &queue_join_kind, q, queue_k_join);
}

/***
Say that the work on an item is done: once for each item that was taken.
@function Queue:task_done
@function LifoQueue:task_done
@function PriorityQueue:task_done
@return nothing
@waits no
@raise argument error; an error if it is called more often than items were put
@usage
local queue = asyncio.Queue()
queue:put("a")
queue:get()
queue:task_done()
queue:join()
@see asyncio-queue.html#asyncio.Queue.task_done
*/
static int queue_task_done(lua_State *L) {
  asy_Queue *q = queue_check(L, asy_state(L));
  if (q->unfinished == 0) return luaL_error(L, "task_done() called too many times");
  if (--q->unfinished == 0) queue_wake_all(&q->joiners);
  return 0;
}

/***
Shut the queue down: putting raises QueueShutDown from now on, getting does so when it is empty.
Everybody who waits to put is woken to that error.
@function Queue:shutdown
@function LifoQueue:shutdown
@function PriorityQueue:shutdown
@tparam[opt=false] boolean immediate drop the items that are left; they count as done
@return nothing
@waits no
@raise argument error
@usage
local queue = asyncio.Queue()
queue:put("a")
queue:shutdown()
assert(queue:get() == "a")
assert(not pcall(queue.get, queue))
@see asyncio-queue.html#asyncio.Queue.shutdown
*/
static int queue_shutdown(lua_State *L) {
  asy_Queue *q = queue_check(L, asy_state(L));
  if (!lua_isnoneornil(L, 2)) luaL_checktype(L, 2, LUA_TBOOLEAN);
  q->is_shut = true;
  if (lua_toboolean(L, 2)) {
    q->unfinished = q->unfinished > q->count ? q->unfinished - q->count : 0;
    q->head = q->count = q->size = 0;
    q->changes++;
    lua_pushnil(L);
    lua_setiuservalue(L, 1, QUEUE_ITEMS);
    if (q->unfinished == 0) queue_wake_all(&q->joiners);
  }
  queue_wake_all(&q->getters);
  queue_wake_all(&q->putters);
  return 0;
}

/* ---- asking */

/***
Tell how many items are in the queue.
@function Queue:qsize
@function LifoQueue:qsize
@function PriorityQueue:qsize
@treturn integer number of items
@waits no
@raise argument error
@usage assert(asyncio.Queue():qsize() == 0)
@see asyncio-queue.html#asyncio.Queue.qsize
*/
static int queue_qsize(lua_State *L) {
  lua_pushinteger(L, queue_check(L, asy_state(L))->count);
  return 1;
}

/***
Tell how many items the queue can hold.
@function Queue:maxsize
@function LifoQueue:maxsize
@function PriorityQueue:maxsize
@treturn integer number of items, as it was given; 0 or less: no limit
@waits no
@raise argument error
@usage assert(asyncio.Queue(3):maxsize() == 3)
@see asyncio-queue.html#asyncio.Queue.maxsize
*/
static int queue_maxsize(lua_State *L) {
  lua_pushinteger(L, queue_check(L, asy_state(L))->maxsize);
  return 1;
}

/***
Tell whether the queue is empty.
@function Queue:empty
@function LifoQueue:empty
@function PriorityQueue:empty
@treturn boolean true if `get` would wait
@waits no
@raise argument error
@usage assert(asyncio.Queue():empty())
@see asyncio-queue.html#asyncio.Queue.empty
*/
static int queue_empty(lua_State *L) {
  lua_pushboolean(L, queue_check(L, asy_state(L))->count == 0);
  return 1;
}

/***
Tell whether the queue is full.
@function Queue:full
@function LifoQueue:full
@function PriorityQueue:full
@treturn boolean true if `put` would wait; a queue without a limit is never full
@waits no
@raise argument error
@usage assert(not asyncio.Queue(1):full())
@see asyncio-queue.html#asyncio.Queue.full
*/
static int queue_full(lua_State *L) {
  lua_pushboolean(L, queue_is_full(queue_check(L, asy_state(L))));
  return 1;
}

static void queue_add_field(lua_State *L, const char *name, lua_Integer n) {
  if (n == 0) return;
  lua_pushfstring(L, ", %s:%I", name, (LUAI_UACINT)n);
  lua_concat(L, 2);
}

static int queue_tostring(lua_State *L) {
  asy_Queue *q = queue_check(L, asy_state(L));
  lua_pushfstring(L, "maxsize:%I", (LUAI_UACINT)q->maxsize);
  queue_add_field(L, "items", q->count);
  queue_add_field(L, "getters", asy_waiters_count(&q->getters));
  queue_add_field(L, "putters", asy_waiters_count(&q->putters));
  queue_add_field(L, "tasks", q->unfinished);
  if (q->is_shut) {
    lua_pushliteral(L, ", shutdown");
    lua_concat(L, 2);
  }
  asy_waiters_push_string(L, lua_tostring(L, -1), 0);
  return 1;
}

/* ---- making */

static asy_Queue *queue_new(lua_State *L, asy_Slot slot, asy_QueueOrder order) {
  lua_Integer maxsize = luaL_optinteger(L, 1, 0);
  int values = order == ASY_QUEUE_PRIORITY ? QUEUE_LESS : QUEUE_ITEMS;
  asy_Queue *q = asy_type_create(L, asy_state(L), slot, sizeof *q, values);
  asy_list_init(&q->getters);
  asy_list_init(&q->putters);
  asy_list_init(&q->joiners);
  q->maxsize = maxsize;
  q->order = order;
  return q;
}

/***
Make a queue: items come out in the order in which they were put.
It belongs to the event loop on which it is first waited for.
@function Queue
@tparam[opt=0] integer maxsize number of items that it can hold; 0 or less: no limit
@treturn Queue an empty queue
@waits no
@raise argument error
@usage
local queue = asyncio.Queue()
queue:put("a")
queue:put("b")
assert(queue:get() == "a")
@see asyncio-queue.html#asyncio.Queue
*/
static int queue_queue(lua_State *L) {
  queue_new(L, ASY_SLOT_QUEUE, ASY_QUEUE_FIFO);
  return 1;
}

/***
Make a queue from which the item that was put last comes out first.
@function LifoQueue
@tparam[opt=0] integer maxsize number of items that it can hold; 0 or less: no limit
@treturn LifoQueue an empty queue
@waits no
@raise argument error
@usage
local stack = asyncio.LifoQueue()
stack:put("a")
stack:put("b")
assert(stack:get() == "b")
@see asyncio-queue.html#asyncio.LifoQueue
*/
static int queue_lifo_queue(lua_State *L) {
  queue_new(L, ASY_SLOT_LIFO_QUEUE, ASY_QUEUE_LIFO);
  return 1;
}

/***
Make a queue from which the least item comes out first.
Items that are equal come out in no particular order. Where a comparison raises an error, `put` has
put nothing and `get` has taken nothing.
@function PriorityQueue
@tparam[opt=0] integer maxsize number of items that it can hold; 0 or less: no limit
@tparam[opt] function less called with two items, tells whether the first comes out before the
second; it may not wait. Without it, items are compared with `<`
@treturn PriorityQueue an empty queue
@waits no
@raise argument error
@usage
local jobs = asyncio.PriorityQueue(0, function(a, b) return a.priority < b.priority end)
jobs:put({priority = 2, name = "sweep"})
jobs:put({priority = 1, name = "cook"})
assert(jobs:get().name == "cook")
@see asyncio-queue.html#asyncio.PriorityQueue
*/
static int queue_priority_queue(lua_State *L) {
  lua_settop(L, 2);
  if (!lua_isnil(L, 2)) asy_check_callable(L, 2);
  asy_Queue *q = queue_new(L, ASY_SLOT_PRIORITY_QUEUE, ASY_QUEUE_PRIORITY);
  q->has_less = !lua_isnil(L, 2);
  lua_pushvalue(L, 2);
  lua_setiuservalue(L, -2, QUEUE_LESS);
  return 1;
}

static const luaL_Reg queue_methods[] = {
    {"put", queue_put},
    {"put_nowait", queue_put_nowait},
    {"get", queue_get},
    {"get_nowait", queue_get_nowait},
    {"iter", queue_iter},
    {"join", queue_join},
    {"task_done", queue_task_done},
    {"shutdown", queue_shutdown},
    {"qsize", queue_qsize},
    {"maxsize", queue_maxsize},
    {"empty", queue_empty},
    {"full", queue_full},
    {"__tostring", queue_tostring},
    {NULL, NULL},
};

static const luaL_Reg queue_functions[] = {
    {"Queue", queue_queue},
    {"LifoQueue", queue_lifo_queue},
    {"PriorityQueue", queue_priority_queue},
    {NULL, NULL},
};

void asy_queue_open(lua_State *L, asy_State *S) {
  asy_type_new(L, S, ASY_SLOT_QUEUE, "asyncio.Queue", queue_methods);
  asy_type_new(L, S, ASY_SLOT_LIFO_QUEUE, "asyncio.LifoQueue", queue_methods);
  asy_type_new(L, S, ASY_SLOT_PRIORITY_QUEUE, "asyncio.PriorityQueue", queue_methods);
  asy_add_functions(L, S, queue_functions);
}
