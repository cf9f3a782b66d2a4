/* SPDX-License-Identifier: MIT */
/* barrier.c - see barrier.h.
 *
 * asyncio builds the barrier on a Condition, whose lock is held wherever its state is looked at.
 * But no step of a barrier waits for anything while it holds that lock: the lock is free whenever
 * it is asked for, and is left out here. What remains is the condition's list of waiters and the
 * order of its wake-ups, those in vain included: a waiter that fails wakes the next one. */
#include "barrier.h"

#include "error.h"
#include "waiters.h"

typedef enum asy_BarrierState {
  ASY_BARRIER_FILLING,   /* tasks arrive */
  ASY_BARRIER_DRAINING,  /* all are there, and leave; newcomers wait until the last one has left */
  ASY_BARRIER_RESETTING, /* the same after reset(); those who leave raise an error */
  ASY_BARRIER_BROKEN     /* after abort(): everybody raises an error, until reset() */
} asy_BarrierState;

typedef struct asy_Barrier {
  asy_Waiters waiters; /* those who are inside, and those who wait to come in */
  asy_Loop *loop;      /* of the first wait, held in ASY_WAITERS_LOOP; NULL before */
  lua_Integer parties; /* so many tasks open it */
  lua_Integer count;   /* so many are inside */
  asy_BarrierState state;
} asy_Barrier;

static asy_Barrier *barrier_check(lua_State *L) {
  return asy_type_check(L, asy_state(L), 1, ASY_SLOT_BARRIER);
}

static int barrier_raise(lua_State *L, const char *message) {
  return asy_error_raise(L, asy_state(L), ASY_BROKEN_BARRIER_ERROR, "%s", message);
}

/* ---- wait */

static const asy_WaitKind barrier_kind = {"barrier", NULL, true};

static int barrier_park(lua_State *L, asy_Wait *w, asy_Barrier *barrier, asy_Cont *k) {
  asy_list_append(&barrier->waiters.parked, &w->link);
  return asy_wait_park(L, w, &barrier_kind, barrier, k);
}

/* A task goes out; the last one makes room for the next round. */
static void barrier_leave(asy_Barrier *barrier) {
  if (--barrier->count > 0) return;
  if (barrier->state != ASY_BARRIER_BROKEN) barrier->state = ASY_BARRIER_FILLING;
  asy_waiters_wake_all(&barrier->waiters);
}

/* Inside, with the task's index on top of the stack: it has waited for the others. */
static int barrier_k_fill(lua_State *L, asy_Wait *w) {
  asy_Barrier *barrier = w->on;
  asy_list_remove(&w->link);
  if (asy_wait_failed(w)) {
    asy_waiters_wake_next(&barrier->waiters);
    barrier_leave(barrier);
    return asy_wait_raise(L, w);
  }
  if (barrier->state == ASY_BARRIER_FILLING) return barrier_park(L, w, barrier, barrier_k_fill);
  bool is_open = barrier->state == ASY_BARRIER_DRAINING;
  barrier_leave(barrier);
  return is_open ? 1 : barrier_raise(L, "the barrier was aborted or reset");
}

static int barrier_k_enter(lua_State *L, asy_Wait *w);

static int barrier_enter(lua_State *L, asy_Wait *w, asy_Barrier *barrier) {
  if (barrier->state == ASY_BARRIER_BROKEN) return barrier_raise(L, "the barrier is broken");
  bool is_filling = barrier->state == ASY_BARRIER_FILLING;
  bool is_last = is_filling && barrier->count + 1 == barrier->parties;
  if (!is_last) asy_waiters_bind(L, 1, &barrier->loop, w->loop);
  if (!is_filling) return barrier_park(L, w, barrier, barrier_k_enter);
  lua_pushinteger(L, barrier->count++);
  if (!is_last) return barrier_park(L, w, barrier, barrier_k_fill);
  barrier->state = ASY_BARRIER_DRAINING;
  asy_waiters_wake_all(&barrier->waiters);
  barrier_leave(barrier);
  return 1;
}

static int barrier_k_enter(lua_State *L, asy_Wait *w) {
  asy_Barrier *barrier = w->on;
  asy_list_remove(&w->link);
  if (!asy_wait_failed(w)) return barrier_enter(L, w, barrier);
  asy_waiters_wake_next(&barrier->waiters);
  return asy_wait_raise(L, w);
}

/***
Wait until as many tasks have come to the barrier as it has parties; then all of them go on.
@function Barrier:wait
@treturn integer the task's index in the order of arrival, from 0
@waits yes, unless the task is the last one
@cancel raises CancelledError; the task is no longer counted
@raise argument error; BrokenBarrierError if the barrier is broken, or is aborted or reset
meanwhile; an error if it belongs to another event loop
@usage
local barrier = asyncio.Barrier(2)
local other = asyncio.create_task(function() return barrier:wait() end)
assert(barrier:wait() == 0 and other:await() == 1)
@see asyncio-sync.html#asyncio.Barrier.wait
*/
static int barrier_wait(lua_State *L) {
  asy_State *S = asy_state(L);
  asy_Barrier *barrier = barrier_check(L);
  asy_Wait *w = asy_wait_begin(L, S);
  if (!w) return asy_wait_outside(L, S);
  lua_settop(L, 1);
  return barrier_enter(L, w, barrier);
}

/* ---- the rest */

/***
Make the barrier as new: tasks that wait at it get a BrokenBarrierError, and a broken one can be
used again.
@function Barrier:reset
@return nothing
@waits no
@raise argument error
@usage
local barrier = asyncio.Barrier(2)
barrier:abort()
barrier:reset()
assert(not barrier:broken())
@see asyncio-sync.html#asyncio.Barrier.reset
*/
static int barrier_reset(lua_State *L) {
  asy_Barrier *barrier = barrier_check(L);
  barrier->state = barrier->count > 0 ? ASY_BARRIER_RESETTING : ASY_BARRIER_FILLING;
  asy_waiters_wake_all(&barrier->waiters);
  return 0;
}

/***
Break the barrier: who waits at it, or comes to it before it is reset, gets a BrokenBarrierError.
@function Barrier:abort
@return nothing
@waits no
@raise argument error
@usage
local barrier = asyncio.Barrier(2)
barrier:abort()
local ok, err = pcall(barrier.wait, barrier)
assert(not ok and asyncio.is(err, asyncio.BrokenBarrierError))
@see asyncio-sync.html#asyncio.Barrier.abort
*/
static int barrier_abort(lua_State *L) {
  asy_Barrier *barrier = barrier_check(L);
  barrier->state = ASY_BARRIER_BROKEN;
  asy_waiters_wake_all(&barrier->waiters);
  return 0;
}

/***
Tell how many tasks open the barrier.
@function Barrier:parties
@treturn integer number of tasks
@waits no
@raise argument error
@usage assert(asyncio.Barrier(3):parties() == 3)
@see asyncio-sync.html#asyncio.Barrier.parties
*/
static int barrier_parties(lua_State *L) {
  lua_pushinteger(L, barrier_check(L)->parties);
  return 1;
}

static lua_Integer barrier_count_waiting(const asy_Barrier *barrier) {
  return barrier->state == ASY_BARRIER_FILLING ? barrier->count : 0;
}

/***
Tell how many tasks are there while the barrier waits for others.
@function Barrier:n_waiting
@treturn integer number of tasks; 0 once the barrier has opened, and when it is broken
@waits no
@raise argument error
@usage assert(asyncio.Barrier(3):n_waiting() == 0)
@see asyncio-sync.html#asyncio.Barrier.n_waiting
*/
static int barrier_n_waiting(lua_State *L) {
  lua_pushinteger(L, barrier_count_waiting(barrier_check(L)));
  return 1;
}

/***
Tell whether the barrier is broken.
@function Barrier:broken
@treturn boolean true after `abort`, until `reset`
@waits no
@raise argument error
@usage assert(asyncio.Barrier(3):broken() == false)
@see asyncio-sync.html#asyncio.Barrier.broken
*/
static int barrier_broken(lua_State *L) {
  lua_pushboolean(L, barrier_check(L)->state == ASY_BARRIER_BROKEN);
  return 1;
}

static int barrier_tostring(lua_State *L) {
  static const char *const names[] = {"filling", "draining", "resetting", "broken"};
  asy_Barrier *barrier = barrier_check(L);
  const char *state = names[barrier->state];
  if (barrier->state != ASY_BARRIER_BROKEN)
    state =
        lua_pushfstring(L, "%s, waiters:%I/%I", state, (LUAI_UACINT)barrier_count_waiting(barrier),
                        (LUAI_UACINT)barrier->parties);
  asy_waiters_push_string(L, state, 0);
  return 1;
}

/***
Make a barrier: tasks that come to it wait until a number of them are there.
It can be used again and again. It belongs to the event loop on which it is first waited for.
@function Barrier
@tparam integer parties number of tasks that open it, at least 1
@treturn Barrier an empty barrier
@waits no
@raise argument error
@usage
local barrier = asyncio.Barrier(3)
local function part() return barrier:wait() end
local indexes = asyncio.gather(part, part, part)
assert(indexes[1] == 0 and indexes[2] == 1 and indexes[3] == 2)
@see asyncio-sync.html#asyncio.Barrier
*/
static int barrier_barrier(lua_State *L) {
  asy_State *S = asy_state(L);
  lua_Integer parties = luaL_checkinteger(L, 1);
  luaL_argcheck(L, parties > 0, 1, "number of parties must be positive");
  asy_Barrier *barrier = asy_type_create(L, S, ASY_SLOT_BARRIER, sizeof *barrier, ASY_WAITERS_LOOP);
  asy_waiters_init(&barrier->waiters);
  barrier->parties = parties;
  return 1;
}

static const luaL_Reg barrier_methods[] = {
    {"wait", barrier_wait},           {"reset", barrier_reset},
    {"abort", barrier_abort},         {"parties", barrier_parties},
    {"n_waiting", barrier_n_waiting}, {"broken", barrier_broken},
    {"__tostring", barrier_tostring}, {NULL, NULL},
};

static const luaL_Reg barrier_functions[] = {{"Barrier", barrier_barrier}, {NULL, NULL}};

void asy_barrier_open(lua_State *L, asy_State *S) {
  asy_type_new(L, S, ASY_SLOT_BARRIER, "asyncio.Barrier", barrier_methods);
  asy_add_functions(L, S, barrier_functions);
}
