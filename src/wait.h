/* SPDX-License-Identifier: MIT */
/* wait.h - the one way to wait.
 *
 * A task waits for one thing at a time, so its wait record lies inside the Task: waiting allocates
 * nothing. This room is the only one that calls lua_yieldk and lua_resume. Everything that waits is
 * written like this:
 *
 *   static int lock_acquire(lua_State *L) {                     // the binding
 *     asy_State *S = asy_state(L);
 *     asy_Lock *lock = asy_type_check(L, S, 1, ASY_SLOT_LOCK);  // 1. check the arguments
 *     asy_Wait *w = asy_wait_begin(L, S);                       // 2. may this thread wait here?
 *     if (!w) return asy_wait_outside(L, S);                    //    no: top level, or an error
 *     if (!lock->locked) { ...; return 1; }                     // 3. answer at once if possible
 *     asy_list_append(&lock->waiters, &w->link);                // 4. else link the record and park
 *     return asy_wait_park(L, w, &lock_wait, lock, lock_k_acquire);
 *   }
 *   static int lock_k_acquire(lua_State *L, asy_Wait *w) {      // the continuation, in the task,
 *     asy_Lock *lock = w->on;                                   //    with the stack of the park
 *     asy_list_remove(&w->link);                                // 5. make everything consistent
 *     if (asy_wait_failed(w)) {                                 // 6. cancelled: hand on, raise
 *       ...
 *       return asy_wait_raise(L, w);
 *     }
 *     ...                                                       // 7. push results
 *   }
 *
 * What the waker does. asy_wait_wake(w): the task goes to the ready queue and runs its continuation
 * in its turn; it does not run now. Waking a record that was woken or cancelled before does nothing
 * (returns false), so that a second waker or a late one is harmless; a record that does not wait
 * any more can never be woken by somebody who still holds a pointer, because the continuation
 * unlinks it (step 5) before anything else happens.
 *
 * What cancelling does (task.c decides when). The kind's `cancel` is asked; the usual one,
 * asy_wait_cancel, marks the record ASY_WAIT_CANCELLED and queues the task. The record stays in the
 * list of what it waited for until its continuation runs: fairness and order depend on it (a woken
 * or cancelled waiter still counts as a waiter in asyncio). Who must stop something at once, such
 * as a request in flight, has a `cancel` of his own, which unlinks and then calls asy_wait_cancel.
 * If the record has been woken already, cancel returns false, and the task is marked must_cancel:
 * it then runs once, with the CancelledError, although `state` is ASY_WAIT_WOKEN; the continuation
 * hands on what it was given.
 *
 * In a continuation w->state says what happened to the *wait*: WOKEN or CANCELLED.
 * asy_wait_failed(w) says whether an error is to be raised now. A continuation may park again.
 *
 * Inner coroutines. asyncio.wrap and asyncio.patch resume coroutines so that a wait inside passes
 * through: the inner thread yields the sentinel, the C function that resumed it yields it on, down
 * to the task's own thread; when the task is woken the way is gone upwards again, each thread
 * resumed by the next one below (asy_wait_resume). S->innermost is the thread in which a wait is
 * legal: the last one that was entered in this way.
 *
 * By hand. coroutine.resume on a thread that waits is refused: the continuation runs only if the
 * loop asked for it
 * (`armed`), else it hands (nil, message) to the resumer and stays suspended. A thread that was
 * closed by hand is noticed when it would be resumed, and its task fails. */
#ifndef ASY_WAIT_H
#define ASY_WAIT_H

#include "ready.h"
#include "timer.h"

/* What a task does after its wait; the result count, as of a lua_CFunction. */
typedef int asy_Cont(lua_State *L, asy_Wait *w);

typedef enum asy_WaitState {
  ASY_WAIT_NONE,      /* the task runs, is queued for its first step, or is done */
  ASY_WAIT_PARKED,    /* suspended: nothing has happened yet */
  ASY_WAIT_WOKEN,     /* what it waited for has come; the task is queued */
  ASY_WAIT_CANCELLED, /* the wait was cancelled; the task is queued */
  ASY_WAIT_YIELDED    /* a bare coroutine.yield(): queued, without a continuation of ours */
} asy_WaitState;

/* What a task waits for; static const in the room that parks. */
typedef struct asy_WaitKind {
  const char *what; /* for reports: "lock", "timer", "queue item" ... */
  /* Cancel the wait; msg is the index in L of the message (0: none). True if the task will be woken
   * because of it, false if the wait is over already. NULL: asy_wait_cancel. Must not raise. [-0,
   * +0, -] */
  bool (*cancel)(lua_State *L, asy_Wait *w, int msg);
  /* What is waited for is waited for again and again (a lock, queue, socket): the task keeps hold
   * of it after the wait. Else it lets go of it, so that a future that is done can be collected. */
  bool sticky;
} asy_WaitKind;

/* Slots of a task's base frame, the C function at the bottom of its thread: what belongs to a task
 * while it runs lies there, and costs no memory of its own. */
enum {
  ASY_BASE_TASK = 1,  /* the Task: its own thread keeps it alive */
  ASY_BASE_CONTEXT,   /* context table or nil */
  ASY_BASE_MUST,      /* message of the cancellation that must be raised at the next step */
  ASY_BASE_MESSAGE,   /* message of the cancelled wait; or the error object that was thrown into it
                         (thrown) */
  ASY_BASE_TRACEBACK, /* of the error that ends the task */
  ASY_BASE_CALLED,    /* the task's function once more, for its name */
  ASY_BASE_HANDLER,   /* the message handler, then the function and its arguments */
  ASY_BASE_FUNCTION
};

/* User value of a pending Task: the userdata that it waits for. Once it has resumed an inner
 * coroutine, a table of that and the inner coroutine in which it waits. */
#define ASY_WAIT_KEPT 2

/* The wait record of a task. */
struct asy_Wait {
  asy_Ready entry; /* the task's place in the ready queue, or among the callbacks of the future it
                      awaits */
  asy_Link link;   /* in the waiters of what it waits for; the continuation unlinks it */
  union {
    asy_Timer timer; /* for waits with a time: sleep */
    struct {         /* hooked: the hook that the thread had */
      int mask, count;
      uint64_t place; /* of the timer's node, which stays 0 */
      lua_Hook function;
    } hook;
  } u;
  asy_Loop *loop;
  const asy_WaitKind *kind; /* valid while state is not NONE */
  void *on;                 /* what it waits for, for the continuation */
  const void *kept;         /* the userdata in the Task's user value ASY_WAIT_KEPT */
  asy_Cont *k;
  lua_State *co;     /* the task's thread; NULL once the task is done */
  lua_State *parked; /* the thread in which it waits: co, or an inner coroutine, which is kept alive
                        in ASY_WAIT_KEPT, too */
  void *base;        /* activation record of the base frame; NULL until it is asked for */
  uint32_t slot;     /* of the thread in ASY_LOOP_THREADS, and of the task in ASY_LOOP_TASKS */
  unsigned limit;    /* of parks: S->overdue is called when it is reached; redeliver.c */
  unsigned parks;    /* how often it has parked */
  int top;           /* of `parked` when it parked; before the first step: how many values `co` has
                        above its base function */
  int status; /* for the waker to tell the continuation something (0 or a libuv code); 0 after the
                 park */
  uint8_t state;        /* asy_WaitState */
  bool started : 1;     /* the first step has begun */
  bool guarded : 1;     /* not started, and asy_wait_guard lies on top of co's stack */
  bool must_cancel : 1; /* raise a CancelledError at the next step, whatever has come */
  bool thrown : 1;      /* ASY_BASE_MESSAGE holds an error object to be raised as it is */
  bool hooked : 1;      /* a hook of ours is set on co, to raise out of a bare yield */
  bool has_context : 1; /* ASY_BASE_CONTEXT is a table; context.c */
  bool bad_yield : 1;   /* the next step raises out of a coroutine.yield that had values */
  bool parking : 1;     /* it has parked in this step */
  bool inner : 1;       /* ASY_WAIT_KEPT holds an inner coroutine */
  bool paired : 1;      /* ASY_WAIT_KEPT is a table */
  bool armed : 1;       /* the loop is resuming this record now: a continuation may run */
  bool refused : 1;     /* `parked` was resumed by hand: its stack may hold more than `top` */
};

/* The record with which this thread may wait now; NULL if it may not: return asy_wait_outside then.
 * [-0, +0, -] */
static inline asy_Wait *asy_wait_begin(lua_State *L, asy_State *S) {
  return L == S->innermost && lua_isyieldable(L) ? S->waiter : NULL;
}

/* Outside a task with no loop running: run the calling C function, with its arguments, in a task of
 * the current loop, and return its results. Else raise the error that names what forbids the wait
 * here. [-all, +n, v] */
ASY_FUNC int asy_wait_outside(lua_State *L, asy_State *S);

/* Is the running C function called by the collector, as a finalizer, and not by hand? [-0, +0, -]
 */
ASY_FUNC bool asy_wait_is_finalizer(lua_State *L);

/* Is a finalizer (__gc) being run on this thread? [-0, +0, -] */
ASY_FUNC bool asy_wait_in_finalizer(lua_State *L, const asy_State *S);

/* Is the Lua state being closed, as far as can be told: is the lowest frame of its main thread that
 * of a finalizer? Objects that are made then get no finalizer any more. [-0, +0, -] */
ASY_FUNC bool asy_wait_state_closes(asy_State *S);

/* Suspend the task until it is woken or cancelled, then go on in k. The caller has linked the
 * record. Call as `return asy_wait_park(...)`. L is the thread of asy_wait_begin. `on`: if it is a
 * userdata on the caller's stack, it is kept alive for the time of the wait, even if the user
 * closes the thread meanwhile (coroutine.close). [-0, +0, -] */
ASY_FUNC int asy_wait_park(lua_State *L, asy_Wait *w, const asy_WaitKind *kind, void *on,
                           asy_Cont *k);

/* The same for a wait that is over in the next turn (sleep(0)): it is woken at once. [-0, +0, -] */
ASY_FUNC int asy_wait_park_ready(lua_State *L, asy_Wait *w, const asy_WaitKind *kind, asy_Cont *k);

/* What was waited for has come: queue the task. False if it was woken or cancelled before. [-0, +0,
 * -] */
ASY_FUNC bool asy_wait_wake(asy_Wait *w);

/* Wake all in a list of asy_Wait.link, and tell those who had not been woken before a status. They
 * stay in the list until their continuations run. [-0, +0, -] */
ASY_FUNC void asy_wait_wake_all(asy_List *list, int status);

/* The asy_Due of a record's own timer: wake it. [-0, +0, -] */
ASY_FUNC void asy_wait_due(lua_State *L, asy_Loop *loop, asy_Timer *timer);

/* The usual asy_WaitKind.cancel. [-0, +0, -] */
ASY_FUNC bool asy_wait_cancel(lua_State *L, asy_Wait *w, int msg);

/* Pop an error object and raise it at the task's wait (a deadlock). The wait must be PARKED. [-1,
 * +0, -] */
ASY_FUNC void asy_wait_throw(lua_State *L, asy_Wait *w);

/* The address of the Task to which the record belongs. [-0, +0, -] */
ASY_FUNC const void *asy_wait_owner(asy_Wait *w);

/* Push the userdata that the record waits for (see asy_wait_park), or nil. [-0, +1, -] */
ASY_FUNC void asy_wait_push_kept(lua_State *L, asy_Wait *w);

/* In a continuation: is an error to be raised? [-0, +0, -] */
static inline bool asy_wait_failed(const asy_Wait *w) {
  return w->must_cancel || w->state == ASY_WAIT_CANCELLED;
}

/* In a continuation: raise that error, a CancelledError as a rule. [-0, +0, v] */
ASY_FUNC int asy_wait_raise(lua_State *L, asy_Wait *w);

/* In a continuation that must not raise yet (Condition.wait): push the error that asy_wait_raise
 * would raise, and take it as delivered. [-0, +1, m] */
ASY_FUNC void asy_wait_push_error(lua_State *L, asy_Wait *w);

/* Debug mode: a CancelledError is about to be raised here; a task that swallows it is reported with
 * this place (the extra "cancelled"). Does nothing otherwise. [-0, +0, m] */
ASY_FUNC void asy_wait_note_cancel(lua_State *L, asy_Wait *w);

/* ---- for task.c */

/* Set up the record, which is all zero; `co` has `top` values above its base function. [-0, +0, -]
 */
ASY_FUNC void asy_wait_init(asy_Wait *w, asy_Loop *loop, lua_State *co, int top);

/* Lies on top of the stack of a thread that has not begun, but is known outside: who resumes it by
 * hand calls this, which raises. */
ASY_FUNC int asy_wait_guard(lua_State *L);

/* Push it there, if the thread has not begun; the first step takes it away. [-0, +0, -] */
ASY_FUNC void asy_wait_add_guard(asy_Wait *w);

/* The task is done: ASY_WAIT_KEPT holds something else from now on. [-0, +0, -] */
ASY_FUNC void asy_wait_end(asy_Wait *w);

/* How a step of a task's thread ended. */
typedef enum asy_Step {
  ASY_STEP_UNSTARTED, /* it was cancelled before its first step, and did not run */
  ASY_STEP_WAITS,     /* it has parked */
  ASY_STEP_YIELDED,   /* a bare coroutine.yield() */
  ASY_STEP_BAD,       /* it yielded values: they are gone */
  ASY_STEP_ENDED,     /* its base function has returned */
  ASY_STEP_DEAD /* it died without its epilogue, or was closed by hand: an error value is on top of
                   w->co */
} asy_Step;

/* The run function of tasks: resume the thread; then, unless it just waits again, S->stepped is
 * called with what has come of it. [-0, +0, -] */
ASY_FUNC void asy_wait_run(lua_State *L, asy_Loop *loop, asy_Ready *entry);

/* Run the entries of the ready queue up to the loop's marker; an interrupt ends it before. It is
 * here and not in loop.c because returning through C frames after a longjmp is slow (the processor
 * has guessed other places): from here to lua_resume there is no call in between. [-0, +0, -] */
ASY_FUNC void asy_wait_run_turn(lua_State *L, asy_Loop *loop);

/* After a bare yield (YIELDED, BAD): queue the next step. With an error, that is raised out of the
 * yield. [-0, +0, -] */
ASY_FUNC void asy_wait_yielded(asy_Wait *w, bool bad);

/* What a bare yield with values raises. */
#define ASY_BAD_YIELD "bad yield: a task may yield no values (asyncio.wrap makes a generator)"

/* Push a slot of the base frame on L (any thread but w->co may be suspended). [-0, +1, -] */
ASY_FUNC void asy_wait_push_slot(lua_State *L, asy_Wait *w, int slot);

/* Pop a value into a slot of the base frame. [-1, +0, -] */
ASY_FUNC void asy_wait_set_slot(lua_State *L, asy_Wait *w, int slot);

/* Take a wait back without running its continuation (the thread is gone or will be closed): unlink
 * it from everywhere. */
ASY_FUNC void asy_wait_drop(asy_Wait *w);

/* Is the waiting task in a __close handler because an error unwinds its stack? Then that error is
 * still on its way. [-0, +0, -] */
ASY_FUNC bool asy_wait_unwinds(const asy_Wait *w);

/* ---- for wrap.c: pass-through coroutines */

/* What the C function that resumed an inner coroutine does when that has yielded values
 * (LUA_YIELD), returned (LUA_OK) or failed (an error code): nres values, or the error, are on top
 * of `co`. */
typedef int asy_PassCont(lua_State *L, lua_State *co, int status, int nres);

/* A coroutine is about to be resumed from here: make room for noting, without memory, that a task
 * waits in it. [-0, +0, m] */
ASY_FUNC void asy_wait_prepare(lua_State *L);

/* After asy_wait_prepare: resume the inner coroutine at index 1 of L, with nargs arguments on the
 * coroutine's own stack; waits inside it pass through to the task, as often as there are, before k
 * is called. Call as `return asy_wait_resume(...)`. [-0, +0, v] */
ASY_FUNC int asy_wait_resume(lua_State *L, int nargs, asy_PassCont *k);

/* Does a wait pass through the coroutine `co`? (It is suspended, but not for the user to resume.)
 */
ASY_FUNC bool asy_wait_passes(lua_State *co);

#endif
