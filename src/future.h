/* SPDX-License-Identifier: MIT */
/* future.h - Future: a result that will be there later; the base of Task.
 *
 * Whoever wants to know of the completion puts an entry into `callbacks` (the wait record of a
 * task, a Handle, an entry of a gather); completing moves all of them to the ready queue at once.
 * Awaiting links the task's own record: nothing is allocated. The pending future is kept alive by
 * the stacks of those that wait for it. */
#ifndef ASY_FUTURE_H
#define ASY_FUTURE_H

#include "handle.h"

typedef enum asy_FutureState {
  ASY_PENDING,
  ASY_FINISHED,
  ASY_FAILED,
  ASY_CANCELLED
} asy_FutureState;

struct asy_Future {
  asy_Loop *loop;
  asy_List callbacks; /* asy_Ready: in the order in which they were added; empty once it is done */
  int count;          /* how many results; with 2 or more they lie in a table */
  uint32_t stamp;     /* the last call that has counted it (asy_Loop.stamps): gather finds what was
                         given twice */
  uint8_t state;      /* asy_FutureState */
  bool is_task;
  bool has_error;   /* cancelled, and ASY_FUTURE_VALUE is the CancelledError, no longer just the
                       message */
  bool expected;    /* somebody has taken charge of a later error (a gather that has ended): do not
                       report it */
  bool has_handles; /* pending, and ASY_FUTURE_VALUE is the ring of its done callbacks */
  bool doomed;      /* a task for which a Runner that shuts down waits */
};

/* The error of a failed future: a userdata of its own with a finalizer, so that futures need none.
 * It lies in ASY_FUTURE_VALUE. */
typedef struct asy_Failure {
  asy_Link link; /* in asy_Loop.unseen until somebody looks at the error */
  asy_Loop *loop;
  bool late; /* the loop has closed, but the finalizer, which was due already, has yet to report it
              */
} asy_Failure;

enum {
  ASY_FAILURE_ERROR = 1,
  ASY_FAILURE_TRACEBACK,
  ASY_FAILURE_FUTURE,
  ASY_FAILURE_UVS = ASY_FAILURE_FUTURE
};

enum {
  ASY_FUTURE_VALUE = 1, /* pending: ring of done-callback handles; then result, error, or message of
                       the cancellation */
  ASY_FUTURE_UVS = ASY_FUTURE_VALUE,
  ASY_TASK_KEPT, /* of a Task: ASY_WAIT_KEPT; when it is done: its function, for tostring */
  ASY_TASK_UVS = ASY_TASK_KEPT
};

/* The Future or Task at idx, or NULL. [-0, +0, -] */
ASY_FUNC asy_Future *asy_future_test(lua_State *L, asy_State *S, int idx);

/* The same, or an argument error. [-0, +0, v] */
ASY_FUNC asy_Future *asy_future_check(lua_State *L, asy_State *S, int arg);

static inline bool asy_future_is_done(const asy_Future *fut) {
  return fut->state != ASY_PENDING;
}

/* Push a new pending Future of the loop. [-0, +1, m] */
ASY_FUNC asy_Future *asy_future_new(lua_State *L, asy_Loop *loop);

/* Push a new pending Task, of which only the Future is set up: the rest, up to `size` bytes, is
 * zero. [-0, +1, m] */
ASY_FUNC asy_Future *asy_future_new_task(lua_State *L, asy_Loop *loop, size_t size);

/* Make the metatables of a new loop, the userdata on top: they keep it alive, so that a future need
 * not do it by a value of its own. [-0, +0, m] */
ASY_FUNC void asy_future_make_types(lua_State *L, asy_Loop *loop);

/* From now on the futures of this loop are those that are found at once. [-0, +0, -] */
ASY_FUNC void asy_future_use_types(asy_Loop *loop);

/* The loop is being collected, and its metatables will be. [-0, +0, -] */
ASY_FUNC void asy_future_forget_types(asy_Loop *loop);

/* Complete the future at idx (no negative index) with the top n values, which are popped; it must
 * be pending. Memory is taken before anything is changed. [-n, +0, m] */
ASY_FUNC void asy_future_finish(lua_State *L, int idx, asy_Future *fut, int n);

/* Complete with the error value and, above it, its traceback (string or nil): FAILED. From here on
 * it is reported if nobody looks at it. It must be pending. [-2, +0, m] */
ASY_FUNC void asy_future_fail(lua_State *L, int idx, asy_Future *fut);

/* Complete as CANCELLED with the value on top: a message (error false) or the CancelledError
 * itself. [-1, +0, -] */
ASY_FUNC void asy_future_set_cancelled(lua_State *L, int idx, asy_Future *fut, bool is_error);

/* Add an entry, to be queued at completion; at once when the future is done already. [-0, +0, -] */
static inline void asy_future_add(asy_Future *fut, asy_Ready *entry) {
  if (fut->state == ASY_PENDING)
    asy_list_append(&fut->callbacks, &entry->link);
  else
    asy_ready_append(fut->loop, entry);
}

/* Cancel the future or task at idx with the message at msg (0: none); false if it is done. [-0, +0,
 * -] */
ASY_FUNC bool asy_future_cancel(lua_State *L, int idx, asy_Future *fut, int msg);

/* Push the results of a future that is done (returns how many), or raise its error; it counts as
 * seen. [-0, +n, v] */
ASY_FUNC int asy_future_push_results(lua_State *L, int idx, asy_Future *fut);

/* Push the first result (nil if none) of a FINISHED future. [-0, +1, -] */
ASY_FUNC void asy_future_push_first(lua_State *L, int idx, asy_Future *fut);

/* Push the error of a FAILED or CANCELLED future: the same value for everyone. It counts as seen.
 * [-0, +1, m] */
ASY_FUNC void asy_future_push_error(lua_State *L, int idx, asy_Future *fut);

/* Push the traceback of a FAILED future, or nil. [-0, +1, -] */
ASY_FUNC void asy_future_push_traceback(lua_State *L, int idx, asy_Future *fut);

/* Push what tostring shows of it: " result=1" and the like, " cb=[...]"; maybe "". [-0, +1, v] */
ASY_FUNC void asy_future_push_outcome(lua_State *L, int idx, asy_Future *fut);
ASY_FUNC void asy_future_push_callbacks(lua_State *L, int idx, asy_Future *fut);

/* Push what tostring shows of a Future that is no Task, without the angle brackets. [-0, +1, v] */
ASY_FUNC void asy_future_push_shown(lua_State *L, int idx, asy_Future *fut);

/* The methods that Future and Task have in common. */
ASY_FUNC const luaL_Reg *asy_future_methods(void);

/* Nobody needs to be told of this future's error any more (now, or when it fails later). [-0, +0,
 * -] */
ASY_FUNC void asy_future_expect(asy_Future *fut);

/* Wait for the future at index 1 of L, and return its results or raise: `return asy_future_await(L,
 * w)`; the stack may hold more values, which stay. The wait's cancellation cancels the future, as
 * in asyncio. [-0, +n, v] */
ASY_FUNC int asy_future_await(lua_State *L, asy_Wait *w, asy_Future *fut);

/* Does the record wait for a future (w->on is it)? */
ASY_FUNC bool asy_future_awaited(const asy_Wait *w);

/* Report every failed future of the loop that nobody has looked at (the loop closes). [-0, +0, -]
 */
ASY_FUNC void asy_future_report_unseen(lua_State *L, asy_Loop *loop);

ASY_FUNC void asy_future_open(lua_State *L, asy_State *S);

#endif
