/* SPDX-License-Identifier: MIT */
/* semaphores.c - see semaphores.h. */
#include "semaphores.h"

#include "waiters.h"

typedef struct asy_Semaphore {
  asy_Waiters waiters;
  asy_Loop *loop;    /* of the first wait, held in ASY_WAITERS_LOOP; NULL before */
  lua_Integer value; /* free permits; one that was given to a woken waiter is not counted */
  lua_Integer bound; /* of value */
} asy_Semaphore;

/* The Semaphore or BoundedSemaphore at index 1. */
static asy_Semaphore *semaphore_check(lua_State *L, asy_State *S) {
  asy_Semaphore *sem = asy_type_test(L, S, 1, ASY_SLOT_BOUNDED_SEMAPHORE);
  return sem ? sem : asy_type_check(L, S, 1, ASY_SLOT_SEMAPHORE);
}

/* Must a newcomer wait? Also while permits are free, if somebody waits who came before. */
static bool semaphore_is_locked(const asy_Semaphore *sem) {
  return sem->value == 0 || !asy_list_is_empty(&sem->waiters.woken) ||
         asy_waiters_any(&sem->waiters.parked);
}

static bool semaphore_wake_next(asy_Semaphore *sem) {
  if (!asy_waiters_wake_next(&sem->waiters)) return false;
  sem->value--;
  return true;
}

static void semaphore_free(lua_State *L, asy_Semaphore *sem) {
  if (sem->value >= sem->bound) luaL_error(L, "the semaphore is released too many times");
  sem->value++;
  semaphore_wake_next(sem);
}

static bool semaphore_try(asy_Semaphore *sem) {
  if (semaphore_is_locked(sem)) return false;
  sem->value--;
  return true;
}

/* ---- acquire and with */

static const asy_WaitKind semaphore_kind = {"semaphore", NULL, true};

static int semaphore_park(lua_State *L, asy_Wait *w, asy_Semaphore *sem, asy_Cont *k) {
  asy_waiters_bind(L, 1, &sem->loop, w->loop);
  asy_list_append(&sem->waiters.parked, &w->link);
  return asy_wait_park(L, w, &semaphore_kind, sem, k);
}

/* The wait for a permit is over. The permit of a woken task that was then cancelled is given back;
 * and permits that were released while newcomers had to line up find their takers. True: the task
 * has its permit. */
static bool semaphore_arrive(asy_Wait *w, asy_Semaphore *sem) {
  bool failed = asy_wait_failed(w);
  asy_list_remove(&w->link);
  if (failed && w->state == ASY_WAIT_WOKEN) sem->value++;
  while (sem->value > 0 && semaphore_wake_next(sem))
    continue;
  return !failed;
}

static int semaphore_k_acquire(lua_State *L, asy_Wait *w) {
  return semaphore_arrive(w, w->on) ? 1 : asy_wait_raise(L, w);
}

/***
Take a permit: wait until one is free and all who came before have theirs.
The semaphore is returned, and its `__close` gives the permit back:
`local _ <close> = sem:acquire()` holds it to the end of the block.
@function Semaphore:acquire
@function BoundedSemaphore:acquire
@return the semaphore itself
@waits yes, unless a permit is free
@cancel raises CancelledError; a permit that was on its way goes to the next waiter
@raise argument error; an error if the semaphore belongs to another event loop
@usage
local sem = asyncio.Semaphore(1)
do
  local _ <close> = sem:acquire()
  assert(sem:locked())
end
assert(not sem:locked())
@see asyncio-sync.html#asyncio.Semaphore.acquire
*/
static int semaphore_acquire(lua_State *L) {
  asy_State *S = asy_state(L);
  asy_Semaphore *sem = semaphore_check(L, S);
  asy_Wait *w = asy_wait_begin(L, S);
  if (!w) return asy_wait_outside(L, S);
  lua_settop(L, 1);
  return semaphore_try(sem) ? 1 : semaphore_park(L, w, sem, semaphore_k_acquire);
}

static int semaphore_k_call(lua_State *L, int status, lua_KContext ctx) {
  (void)ctx;
  semaphore_free(L, lua_touserdata(L, 1));
  if (status != LUA_OK && status != LUA_YIELD) return lua_error(L);
  return lua_gettop(L) - 1;
}

/* With a permit: call the function at 2 with the arguments behind it. */
static int semaphore_call(lua_State *L) {
  int nargs = lua_gettop(L) - 2;
  return semaphore_k_call(L, lua_pcallk(L, nargs, LUA_MULTRET, 0, 0, semaphore_k_call), 0);
}

static int semaphore_k_with(lua_State *L, asy_Wait *w) {
  return semaphore_arrive(w, w->on) ? semaphore_call(L) : asy_wait_raise(L, w);
}

/***
Call a function with a permit: acquire, call, release, also when the function fails.
@function Semaphore:with
@function BoundedSemaphore:with
@tparam function fn what is called; it may wait
@param[opt] ... its arguments
@return what `fn` returns
@waits yes, unless a permit is free; and whatever `fn` waits for
@cancel raises CancelledError; the permit is free again
@raise argument error; what `fn` raises; an error if the semaphore belongs to another event loop
@usage
local sem = asyncio.Semaphore(2)
assert(sem:with(function(x) return 2 * x end, 21) == 42)
@see asyncio-sync.html#asyncio.Semaphore
*/
static int semaphore_with(lua_State *L) {
  asy_State *S = asy_state(L);
  asy_Semaphore *sem = semaphore_check(L, S);
  asy_check_callable(L, 2);
  asy_Wait *w = asy_wait_begin(L, S);
  if (!w) return asy_wait_outside(L, S);
  return semaphore_try(sem) ? semaphore_call(L) : semaphore_park(L, w, sem, semaphore_k_with);
}

/* ---- the rest */

/***
Give a permit back: the first of those who wait gets it.
@function Semaphore:release
@function BoundedSemaphore:release
@return nothing
@waits no
@raise argument error; an error if a BoundedSemaphore would have more permits than it was made with
@usage
local sem = asyncio.BoundedSemaphore(1)
assert(not pcall(sem.release, sem))
@see asyncio-sync.html#asyncio.Semaphore.release
*/
static int semaphore_release(lua_State *L) {
  semaphore_free(L, semaphore_check(L, asy_state(L)));
  return 0;
}

/***
Tell whether `acquire` would wait.
@function Semaphore:locked
@function BoundedSemaphore:locked
@treturn boolean true if no permit is free, or if others wait for one
@waits no
@raise argument error
@usage assert(asyncio.Semaphore(0):locked())
@see asyncio-sync.html#asyncio.Semaphore.locked
*/
static int semaphore_locked(lua_State *L) {
  lua_pushboolean(L, semaphore_is_locked(semaphore_check(L, asy_state(L))));
  return 1;
}

static int semaphore_tostring(lua_State *L) {
  asy_Semaphore *sem = semaphore_check(L, asy_state(L));
  int waiters = asy_waiters_count(&sem->waiters.parked) + asy_waiters_count(&sem->waiters.woken);
  if (semaphore_is_locked(sem))
    lua_pushliteral(L, "locked");
  else
    lua_pushfstring(L, "unlocked, value:%I", (LUAI_UACINT)sem->value);
  asy_waiters_push_string(L, lua_tostring(L, -1), waiters);
  return 1;
}

static int semaphore_new(lua_State *L, asy_Slot slot) {
  lua_Integer value = luaL_optinteger(L, 1, 1);
  luaL_argcheck(L, value >= 0, 1, "number of permits must not be negative");
  asy_Semaphore *sem = asy_type_create(L, asy_state(L), slot, sizeof *sem, ASY_WAITERS_LOOP);
  asy_waiters_init(&sem->waiters);
  sem->value = value;
  sem->bound = slot == ASY_SLOT_BOUNDED_SEMAPHORE ? value : LUA_MAXINTEGER;
  return 1;
}

/***
Make a semaphore: as many tasks as it has permits hold it at the same time.
The others wait, and get their permits in the order in which they came. It belongs to the event loop
on which it is first waited for.
@function Semaphore
@tparam[opt=1] integer value number of permits, not negative
@treturn Semaphore a semaphore with all its permits free
@waits no
@raise argument error
@usage
local limit, most, now = asyncio.Semaphore(2), 0, 0
local function job()
  local _ <close> = limit:acquire()
  now = now + 1
  most = math.max(most, now)
  asyncio.sleep(0.001)
  now = now - 1
end
asyncio.gather(job, job, job, job)
assert(most == 2)
@see asyncio-sync.html#asyncio.Semaphore
*/
static int semaphore_semaphore(lua_State *L) {
  return semaphore_new(L, ASY_SLOT_SEMAPHORE);
}

/***
Make a semaphore that raises an error if it is released more often than it was acquired.
@function BoundedSemaphore
@tparam[opt=1] integer value number of permits, not negative
@treturn BoundedSemaphore a semaphore with all its permits free
@waits no
@raise argument error
@usage
local sem = asyncio.BoundedSemaphore(2)
sem:acquire()
sem:release()
assert(not pcall(sem.release, sem))
@see asyncio-sync.html#asyncio.BoundedSemaphore
*/
static int semaphore_bounded_semaphore(lua_State *L) {
  return semaphore_new(L, ASY_SLOT_BOUNDED_SEMAPHORE);
}

static const luaL_Reg semaphore_methods[] = {
    {"acquire", semaphore_acquire},
    {"with", semaphore_with},
    {"release", semaphore_release},
    {"locked", semaphore_locked},
    {"__close", semaphore_release},
    {"__tostring", semaphore_tostring},
    {NULL, NULL},
};

static const luaL_Reg semaphore_functions[] = {
    {"Semaphore", semaphore_semaphore},
    {"BoundedSemaphore", semaphore_bounded_semaphore},
    {NULL, NULL},
};

void asy_semaphores_open(lua_State *L, asy_State *S) {
  asy_type_new(L, S, ASY_SLOT_SEMAPHORE, "asyncio.Semaphore", semaphore_methods);
  asy_type_new(L, S, ASY_SLOT_BOUNDED_SEMAPHORE, "asyncio.BoundedSemaphore", semaphore_methods);
  asy_add_functions(L, S, semaphore_functions);
}
