/* SPDX-License-Identifier: MIT */
/* locks.c - see locks.h. A Condition's acquire, release, locked and with are its lock's. */
#include "locks.h"

#include "barrier.h"
#include "semaphores.h"
#include "waiters.h"

enum { LOCKS_LOOP = ASY_WAITERS_LOOP, LOCKS_LOCK /* of a Condition: its Lock */ };

typedef struct asy_Lock {
  asy_List waiters; /* asy_Wait.link, until the continuation runs */
  asy_Loop *loop;   /* of the first wait, held in LOCKS_LOOP; NULL before */
  bool locked;
} asy_Lock;

typedef struct asy_Condition {
  asy_Lock *lock;      /* held in LOCKS_LOCK */
  asy_Waiters waiters; /* those who wait for a notification */
  asy_Loop *loop;      /* as asy_Lock.loop */
} asy_Condition;

typedef struct asy_Event {
  asy_List waiters; /* asy_Wait.link, until the continuation runs */
  asy_Loop *loop;   /* as asy_Lock.loop */
  bool is_set;
} asy_Event;

/* ---- Lock */

/* The lock of the Lock or Condition at index 1. */
static asy_Lock *locks_check_lock(lua_State *L, asy_State *S) {
  asy_Lock *lock = asy_type_test(L, S, 1, ASY_SLOT_LOCK);
  if (lock) return lock;
  asy_Condition *cond = asy_type_test(L, S, 1, ASY_SLOT_CONDITION);
  return cond ? cond->lock : asy_type_check(L, S, 1, ASY_SLOT_LOCK);
}

/* The lock of the object at index 1 is about to be waited for. */
static void locks_bind_lock(lua_State *L, asy_Lock *lock, asy_Loop *loop) {
  if (lock->loop == loop) return;
  if (lua_touserdata(L, 1) == (void *)lock)
    lua_pushvalue(L, 1);
  else
    lua_getiuservalue(L, 1, LOCKS_LOCK);
  asy_waiters_bind(L, -1, &lock->loop, loop);
  lua_pop(L, 1);
}

static void locks_wake_first(asy_Lock *lock) {
  asy_Link *first = asy_list_first(&lock->waiters);
  /* One that was cancelled is not passed over: it wakes the next one itself, when it runs. */
  if (first) asy_wait_wake(asy_waiters_wait(first));
}

/* Take the lock if it is free, and nobody waits who was not cancelled. */
static bool locks_try(asy_Lock *lock) {
  if (lock->locked || asy_waiters_any(&lock->waiters)) return false;
  return lock->locked = true;
}

static void locks_free(lua_State *L, asy_Lock *lock) {
  if (!lock->locked) luaL_error(L, "the lock is not acquired");
  lock->locked = false;
  locks_wake_first(lock);
}

static const asy_WaitKind locks_lock_kind = {"lock", NULL, true};

/* It waits on the object at index 1, which keeps the lock alive. */
static int locks_park(lua_State *L, asy_Wait *w, asy_Lock *lock, asy_Cont *k) {
  locks_bind_lock(L, lock, w->loop);
  asy_list_append(&lock->waiters, &w->link);
  return asy_wait_park(L, w, &locks_lock_kind, lua_touserdata(L, 1), k);
}

/* The wait for a lock is over: take it, or, when the task was cancelled, see to it that another one
 * gets it. True: taken. */
static bool locks_arrive(asy_Wait *w, asy_Lock *lock) {
  asy_list_remove(&w->link);
  if (!asy_wait_failed(w)) return lock->locked = true;
  if (!lock->locked) locks_wake_first(lock);
  return false;
}

static int locks_k_acquire(lua_State *L, asy_Wait *w) {
  return locks_arrive(w, locks_check_lock(L, asy_state(L))) ? 1 : asy_wait_raise(L, w);
}

/***
Acquire the lock: wait until it is free and all who came before have had it, then take it.
The lock is returned, and its `__close` releases it: `local _ <close> = lock:acquire()` holds it to
the end of the block.
@function Lock:acquire
@function Condition:acquire
@return the lock (or condition) itself
@waits yes, unless it is free
@cancel raises CancelledError; a wake-up that was on its way goes to the next waiter
@raise argument error; an error if the lock belongs to another event loop
@usage
local lock = asyncio.Lock()
do
  local _ <close> = lock:acquire()
  assert(lock:locked())
end
assert(not lock:locked())
@see asyncio-sync.html#asyncio.Lock.acquire
*/
static int locks_acquire(lua_State *L) {
  asy_State *S = asy_state(L);
  asy_Lock *lock = locks_check_lock(L, S);
  asy_Wait *w = asy_wait_begin(L, S);
  if (!w) return asy_wait_outside(L, S);
  lua_settop(L, 1);
  return locks_try(lock) ? 1 : locks_park(L, w, lock, locks_k_acquire);
}

static int locks_k_call(lua_State *L, int status, lua_KContext ctx) {
  (void)ctx;
  locks_free(L, locks_check_lock(L, asy_state(L)));
  if (status != LUA_OK && status != LUA_YIELD) return lua_error(L);
  return lua_gettop(L) - 1;
}

/* With the lock held: call the function at 2 with the arguments behind it. */
static int locks_call(lua_State *L) {
  int nargs = lua_gettop(L) - 2;
  return locks_k_call(L, lua_pcallk(L, nargs, LUA_MULTRET, 0, 0, locks_k_call), 0);
}

static int locks_k_with(lua_State *L, asy_Wait *w) {
  asy_Lock *lock = locks_check_lock(L, asy_state(L));
  return locks_arrive(w, lock) ? locks_call(L) : asy_wait_raise(L, w);
}

/***
Call a function with the lock held: acquire, call, release, also when the function fails.
@function Lock:with
@function Condition:with
@tparam function fn what is called; it may wait
@param[opt] ... its arguments
@return what `fn` returns
@waits yes, unless the lock is free; and whatever `fn` waits for
@cancel raises CancelledError; the lock is free again
@raise argument error; what `fn` raises; an error if the lock belongs to another event loop, or if
`fn` has released it
@usage
local lock = asyncio.Lock()
assert(lock:with(function(a, b) return a + b end, 1, 2) == 3)
assert(not lock:locked())
@see asyncio-sync.html#asyncio.Lock
*/
static int locks_with(lua_State *L) {
  asy_State *S = asy_state(L);
  asy_Lock *lock = locks_check_lock(L, S);
  asy_check_callable(L, 2);
  asy_Wait *w = asy_wait_begin(L, S);
  if (!w) return asy_wait_outside(L, S);
  return locks_try(lock) ? locks_call(L) : locks_park(L, w, lock, locks_k_with);
}

/***
Release the lock: the first of those who wait for it gets it.
Any task may release it, not only the one that acquired it.
@function Lock:release
@function Condition:release
@return nothing
@waits no
@raise argument error; an error if the lock is not acquired
@usage
local lock = asyncio.Lock()
lock:acquire()
lock:release()
assert(not lock:locked())
@see asyncio-sync.html#asyncio.Lock.release
*/
static int locks_release(lua_State *L) {
  locks_free(L, locks_check_lock(L, asy_state(L)));
  return 0;
}

/* The end of `local _ <close> = lock:acquire()`. A loop that closes runs the <close> variables of
 * a task that is in the midst of Condition:wait: the lock is not held then; that is no mistake. */
static int locks_close(lua_State *L) {
  asy_State *S = asy_state(L);
  asy_Lock *lock = locks_check_lock(L, S);
  if (lock->locked || !S->forbidden) locks_free(L, lock);
  return 0;
}

/***
Tell whether the lock is acquired.
@function Lock:locked
@function Condition:locked
@treturn boolean true while somebody holds it
@waits no
@raise argument error
@usage assert(asyncio.Lock():locked() == false)
@see asyncio-sync.html#asyncio.Lock.locked
*/
static int locks_locked(lua_State *L) {
  lua_pushboolean(L, locks_check_lock(L, asy_state(L))->locked);
  return 1;
}

static int locks_lock_tostring(lua_State *L) {
  asy_Lock *lock = asy_type_check(L, asy_state(L), 1, ASY_SLOT_LOCK);
  const char *state = lock->locked ? "locked" : "unlocked";
  asy_waiters_push_string(L, state, asy_waiters_count(&lock->waiters));
  return 1;
}

static asy_Lock *locks_lock_new(lua_State *L, asy_State *S) {
  asy_Lock *lock = asy_type_create(L, S, ASY_SLOT_LOCK, sizeof *lock, LOCKS_LOOP);
  asy_list_init(&lock->waiters);
  return lock;
}

/***
Make a lock: at most one task holds it at a time.
The others wait, and get it in the order in which they came. It belongs to the event loop on which
it is first waited for.
@function Lock
@treturn Lock an unlocked lock
@waits no
@raise nothing
@usage
local lock = asyncio.Lock()
local _ <close> = lock:acquire()
@see asyncio-sync.html#asyncio.Lock
*/
static int locks_lock(lua_State *L) {
  locks_lock_new(L, asy_state(L));
  return 1;
}

/* ---- Event */

static asy_Event *locks_check_event(lua_State *L) {
  return asy_type_check(L, asy_state(L), 1, ASY_SLOT_EVENT);
}

static const asy_WaitKind locks_event_kind = {"event", NULL, true};

static int locks_event_k_wait(lua_State *L, asy_Wait *w) {
  asy_list_remove(&w->link);
  if (asy_wait_failed(w)) return asy_wait_raise(L, w);
  lua_pushboolean(L, 1); /* it was set; it may have been cleared since */
  return 1;
}

/***
Wait until the event is set.
@function Event:wait
@treturn boolean true
@waits yes, unless it is set
@cancel raises CancelledError
@raise argument error; an error if the event belongs to another event loop
@usage
local event = asyncio.Event()
loop:call_soon(event.set, event)
assert(event:wait() == true)
@see asyncio-sync.html#asyncio.Event.wait
*/
static int locks_event_wait(lua_State *L) {
  asy_State *S = asy_state(L);
  asy_Event *event = locks_check_event(L);
  asy_Wait *w = asy_wait_begin(L, S);
  if (!w) return asy_wait_outside(L, S);
  if (event->is_set) {
    lua_pushboolean(L, 1);
    return 1;
  }
  asy_waiters_bind(L, 1, &event->loop, w->loop);
  asy_list_append(&event->waiters, &w->link);
  return asy_wait_park(L, w, &locks_event_kind, event, locks_event_k_wait);
}

/***
Set the event: all who wait for it go on, and nobody waits until it is cleared.
@function Event:set
@return nothing
@waits no
@raise argument error
@usage
local event = asyncio.Event()
event:set()
assert(event:wait())
@see asyncio-sync.html#asyncio.Event.set
*/
static int locks_event_set(lua_State *L) {
  asy_Event *event = locks_check_event(L);
  if (event->is_set) return 0;
  event->is_set = true;
  const asy_List *waiters = &event->waiters;
  for (asy_Link *link = asy_list_first(waiters); link; link = asy_list_next(waiters, link))
    asy_wait_wake(asy_waiters_wait(link));
  return 0;
}

/***
Clear the event: who comes from now on waits until it is set again.
@function Event:clear
@return nothing
@waits no
@raise argument error
@usage
local event = asyncio.Event()
event:set()
event:clear()
assert(not event:is_set())
@see asyncio-sync.html#asyncio.Event.clear
*/
static int locks_event_clear(lua_State *L) {
  locks_check_event(L)->is_set = false;
  return 0;
}

/***
Tell whether the event is set.
@function Event:is_set
@treturn boolean true if it is set
@waits no
@raise argument error
@usage assert(asyncio.Event():is_set() == false)
@see asyncio-sync.html#asyncio.Event.is_set
*/
static int locks_event_is_set(lua_State *L) {
  lua_pushboolean(L, locks_check_event(L)->is_set);
  return 1;
}

static int locks_event_tostring(lua_State *L) {
  asy_Event *event = locks_check_event(L);
  const char *state = event->is_set ? "set" : "unset";
  asy_waiters_push_string(L, state, asy_waiters_count(&event->waiters));
  return 1;
}

/***
Make an event: a flag that tasks can wait for.
It belongs to the event loop on which it is first waited for.
@function Event
@treturn Event an event that is not set
@waits no
@raise nothing
@usage
local event = asyncio.Event()
asyncio.create_task(function() event:set() end)
event:wait()
@see asyncio-sync.html#asyncio.Event
*/
static int locks_event(lua_State *L) {
  asy_State *S = asy_state(L);
  asy_Event *event = asy_type_create(L, S, ASY_SLOT_EVENT, sizeof *event, LOCKS_LOOP);
  asy_list_init(&event->waiters);
  return 1;
}

/* ---- Condition
 *
 * A wait is two waits: for the notification, then for the lock, which is taken back whatever
 * happens. What is to be raised is kept until then. The stack of a wait: */
enum { LOCKS_CONDITION = 1, LOCKS_PREDICATE /* or nil */, LOCKS_ERROR /* or nil */ };

static asy_Condition *locks_check_condition(lua_State *L) {
  return asy_type_check(L, asy_state(L), LOCKS_CONDITION, ASY_SLOT_CONDITION);
}

static const asy_WaitKind locks_notify_kind = {"condition", NULL, true};
static const asy_WaitKind locks_relock_kind = {"lock of a condition", NULL, true};

static int locks_push_error(lua_State *L) {
  asy_wait_push_error(L, lua_touserdata(L, 1));
  return 1;
}

/* Keep the error of a failed wait. Called protected: where there is no memory to make it, the error
 * that says so takes its place, and the lock is taken back all the same. */
static void locks_keep_error(lua_State *L, asy_Wait *w) {
  lua_pushcfunction(L, locks_push_error);
  lua_pushlightuserdata(L, w);
  lua_pcall(L, 1, 1, 0);
  lua_replace(L, LOCKS_ERROR);
}

static int locks_k_test(lua_State *L, int status, lua_KContext ctx);

/* The wait is over: raise, return, or ask the predicate. */
static int locks_notified(lua_State *L, asy_Condition *cond) {
  if (!lua_isnil(L, LOCKS_ERROR)) {
    asy_waiters_wake_next(&cond->waiters); /* it may have been notified: then that is for another */
    lua_settop(L, LOCKS_ERROR);
    return lua_error(L);
  }
  if (lua_isnil(L, LOCKS_PREDICATE)) {
    lua_pushboolean(L, 1);
    return 1;
  }
  lua_pushvalue(L, LOCKS_PREDICATE);
  lua_callk(L, 0, 1, 0, locks_k_test);
  return locks_k_test(L, LUA_OK, 0);
}

static int locks_k_relock(lua_State *L, asy_Wait *w);

static int locks_relock(lua_State *L, asy_Wait *w, asy_Condition *cond) {
  if (locks_try(cond->lock)) return locks_notified(L, cond);
  asy_list_append(&cond->lock->waiters, &w->link);
  return asy_wait_park(L, w, &locks_relock_kind, cond, locks_k_relock);
}

/* However often it is cancelled, it waits for the lock again; only a deadlock ends it without. */
static int locks_k_relock(lua_State *L, asy_Wait *w) {
  asy_Condition *cond = w->on;
  if (locks_arrive(w, cond->lock)) return locks_notified(L, cond);
  bool is_deadlock = w->thrown && !w->must_cancel;
  locks_keep_error(L, w);
  return is_deadlock ? locks_notified(L, cond) : locks_relock(L, w, cond);
}

static int locks_k_wait(lua_State *L, asy_Wait *w) {
  asy_list_remove(&w->link);
  if (asy_wait_failed(w)) locks_keep_error(L, w);
  return locks_relock(L, w, w->on);
}

static int locks_wait(lua_State *L, asy_Wait *w, asy_Condition *cond) {
  if (!cond->lock->locked) return luaL_error(L, "cannot wait on un-acquired lock");
  asy_waiters_bind(L, LOCKS_CONDITION, &cond->loop, w->loop);
  locks_bind_lock(L, cond->lock, w->loop); /* now, because taking it back must not fail */
  locks_free(L, cond->lock);
  asy_list_append(&cond->waiters.parked, &w->link);
  return asy_wait_park(L, w, &locks_notify_kind, cond, locks_k_wait);
}

/***
Release the lock, wait for a notification, and take the lock back.
It may also return without a notification: look again at what you wait for, or use `wait_for`.
@function Condition:wait
@treturn boolean true
@waits yes
@cancel raises CancelledError, as soon as the lock is taken back; a notification that was on its way
goes to the next waiter
@raise argument error; an error if the lock is not acquired, or if the condition or its lock belongs
to another event loop
@usage
local cond = asyncio.Condition()
asyncio.create_task(cond.with, cond, cond.notify, cond)
local _ <close> = cond:acquire()
assert(cond:wait() == true)
@see asyncio-sync.html#asyncio.Condition.wait
*/
static int locks_condition_wait(lua_State *L) {
  asy_State *S = asy_state(L);
  asy_Condition *cond = locks_check_condition(L);
  asy_Wait *w = asy_wait_begin(L, S);
  if (!w) return asy_wait_outside(L, S);
  lua_settop(L, LOCKS_CONDITION);
  lua_settop(L, LOCKS_ERROR); /* no predicate, no error */
  return locks_wait(L, w, cond);
}

/***
Wait until a predicate holds: it is asked at once, and again after each wait.
@function Condition:wait_for
@tparam function predicate called without arguments, with the lock held
@return the predicate's first result, which is neither nil nor false
@waits yes, unless the predicate holds at once
@cancel raises CancelledError, as soon as the lock is taken back; a notification that was on its way
goes to the next waiter
@raise argument error; what the predicate raises; an error if it does not hold and the lock is not
acquired
@usage
local cond, items = asyncio.Condition(), {}
asyncio.create_task(function()
  local _ <close> = cond:acquire()
  items[1] = "x"
  cond:notify_all()
end)
local _ <close> = cond:acquire()
assert(cond:wait_for(function() return items[1] end) == "x")
@see asyncio-sync.html#asyncio.Condition.wait_for
*/
static int locks_condition_wait_for(lua_State *L) {
  asy_State *S = asy_state(L);
  asy_Condition *cond = locks_check_condition(L);
  asy_check_callable(L, LOCKS_PREDICATE);
  if (!asy_wait_begin(L, S)) return asy_wait_outside(L, S);
  lua_settop(L, LOCKS_PREDICATE);
  lua_settop(L, LOCKS_ERROR);
  return locks_notified(L, cond);
}

static int locks_k_test(lua_State *L, int status, lua_KContext ctx) {
  (void)status;
  (void)ctx;
  if (lua_toboolean(L, -1)) return 1;
  lua_settop(L, LOCKS_ERROR);
  asy_State *S = asy_state(L);
  asy_Wait *w = asy_wait_begin(L, S);
  if (!w) return asy_wait_outside(L, S);
  return locks_wait(L, w, lua_touserdata(L, LOCKS_CONDITION));
}

static void locks_check_notifier(lua_State *L, const asy_Condition *cond) {
  if (!cond->lock->locked) luaL_error(L, "cannot notify on un-acquired lock");
}

/***
Wake some of the tasks that wait on the condition, in the order in which they came.
They go on when they have got the lock back: release it soon.
@function Condition:notify
@tparam[opt=1] integer n how many, at most
@return nothing
@waits no
@raise argument error; an error if the lock is not acquired
@usage
local cond = asyncio.Condition()
cond:with(function() cond:notify(2) end)
@see asyncio-sync.html#asyncio.Condition.notify
*/
static int locks_condition_notify(lua_State *L) {
  asy_Condition *cond = locks_check_condition(L);
  lua_Integer n = luaL_optinteger(L, 2, 1);
  locks_check_notifier(L, cond);
  while (n-- > 0 && asy_waiters_wake_next(&cond->waiters))
    continue;
  return 0;
}

/***
Wake all tasks that wait on the condition.
@function Condition:notify_all
@return nothing
@waits no
@raise argument error; an error if the lock is not acquired
@usage
local cond = asyncio.Condition()
cond:with(function() cond:notify_all() end)
@see asyncio-sync.html#asyncio.Condition.notify_all
*/
static int locks_condition_notify_all(lua_State *L) {
  asy_Condition *cond = locks_check_condition(L);
  locks_check_notifier(L, cond);
  asy_waiters_wake_all(&cond->waiters);
  return 0;
}

static int locks_condition_tostring(lua_State *L) {
  asy_Condition *cond = locks_check_condition(L);
  int waiters = asy_waiters_count(&cond->waiters.parked) + asy_waiters_count(&cond->waiters.woken);
  asy_waiters_push_string(L, cond->lock->locked ? "locked" : "unlocked", waiters);
  return 1;
}

/***
Make a condition: who holds its lock can wait on it until another task, which then holds the lock,
notifies him.
It belongs to the event loop on which it is first waited for.
@function Condition
@tparam[opt] Lock lock for conditions that share one; else it has one of its own
@treturn Condition a condition
@waits no
@raise argument error
@usage
local lock = asyncio.Lock()
local not_empty, not_full = asyncio.Condition(lock), asyncio.Condition(lock)
local _ <close> = lock:acquire()
assert(not_empty:locked() and not_full:locked())
@see asyncio-sync.html#asyncio.Condition
*/
static int locks_condition(lua_State *L) {
  asy_State *S = asy_state(L);
  lua_settop(L, 1);
  asy_Lock *lock;
  if (lua_isnil(L, 1)) {
    lock = locks_lock_new(L, S);
    lua_replace(L, 1);
  } else {
    lock = asy_type_check(L, S, 1, ASY_SLOT_LOCK);
  }
  asy_Condition *cond = asy_type_create(L, S, ASY_SLOT_CONDITION, sizeof *cond, LOCKS_LOCK);
  asy_waiters_init(&cond->waiters);
  cond->lock = lock;
  lua_pushvalue(L, 1);
  lua_setiuservalue(L, -2, LOCKS_LOCK);
  return 1;
}

/* ---- opening */

static const luaL_Reg locks_lock_methods[] = {
    {"acquire", locks_acquire},
    {"with", locks_with},
    {"release", locks_release},
    {"locked", locks_locked},
    {"__close", locks_close},
    {"__tostring", locks_lock_tostring},
    {NULL, NULL},
};

static const luaL_Reg locks_event_methods[] = {
    {"wait", locks_event_wait},           {"set", locks_event_set},
    {"clear", locks_event_clear},         {"is_set", locks_event_is_set},
    {"__tostring", locks_event_tostring}, {NULL, NULL},
};

static const luaL_Reg locks_condition_methods[] = {
    {"acquire", locks_acquire},
    {"with", locks_with},
    {"release", locks_release},
    {"locked", locks_locked},
    {"wait", locks_condition_wait},
    {"wait_for", locks_condition_wait_for},
    {"notify", locks_condition_notify},
    {"notify_all", locks_condition_notify_all},
    {"__close", locks_close},
    {"__tostring", locks_condition_tostring},
    {NULL, NULL},
};

static const luaL_Reg locks_functions[] = {
    {"Lock", locks_lock},
    {"Event", locks_event},
    {"Condition", locks_condition},
    {NULL, NULL},
};

void asy_locks_open(lua_State *L, asy_State *S) {
  asy_type_new(L, S, ASY_SLOT_LOCK, "asyncio.Lock", locks_lock_methods);
  asy_type_new(L, S, ASY_SLOT_EVENT, "asyncio.Event", locks_event_methods);
  asy_type_new(L, S, ASY_SLOT_CONDITION, "asyncio.Condition", locks_condition_methods);
  asy_add_functions(L, S, locks_functions);
  asy_semaphores_open(L, S);
  asy_barrier_open(L, S);
}
