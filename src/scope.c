/* SPDX-License-Identifier: MIT */
/* scope.c - scopes that cancel what runs in them: timeout, timeout_at, and TaskGroup.
 *
 * Both are the state machines of CPython's timeouts.py and taskgroups.py, entered where they are
 * made and left through `__close` or, with a function, when that has ended. Whether a
 * CancelledError is their own they decide by what they have done and by the task's count of
 * cancellations, never by the text of an error. What they raise when they are left takes the place
 * of the error that came; they never have to swallow one.
 *
 * A function that is given with a scope is called by a line of Lua that holds the scope in a
 * `<close>` variable, so that there is one way to leave a scope, and tracebacks begin where an
 * error was raised.
 *
 * Who holds whom: a timeout is held by its `<close>` variable or its C frame, and disarms itself
 * when it is collected. A group is pinned in its loop while it has children. Their entries lie in
 * blocks that the group holds, and are used again; the children themselves lie in the group's list
 * until their entries have run. */
#include "scope.h"

#include <string.h>

#include "coro.h"
#include "error.h"
#include "loop.h"
#include "redeliver.h"

static int scope_check_end(lua_State *L, int count) {
  luaL_argcheck(L, lua_gettop(L) <= count, count + 1, "no value expected");
  return 0;
}

/* ---- running an awaitable in a scope */

/* Waits for the future that is its argument. */
static int scope_await(lua_State *L) {
  asy_State *S = asy_state(L);
  asy_Wait *w = asy_wait_begin(L, S);
  if (!w) return asy_wait_outside(L, S);
  return asy_future_await(L, w, asy_future_test(L, S, 1));
}

/* Make the awaitable at idx, with what lies above it, a function with arguments at the same place;
 * returns their number. */
static int scope_prepare(lua_State *L, asy_State *S, int idx) {
  if (lua_isfunction(L, idx)) return lua_gettop(L) - idx;
  if (!asy_future_test(L, S, idx)) {
    int nargs = asy_coro_unpack(L, S, idx);
    lua_remove(L, idx);
    return nargs;
  }
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_pushcclosure(L, scope_await, 1);
  lua_insert(L, idx);
  return 1;
}

static const char scope_source[] =
    "return function(scope, f, ...) local _ <close> = scope return f(...) end";

/* Where that function is found: a field of the metatable of Timeout. */
static const char scope_field[] = "__within";

/* A dumped function: the one below takes about a fifth of the room. */
typedef struct asy_Dump {
  char bytes[1024];
  size_t count;
} asy_Dump;

static int scope_write(lua_State *L, const void *bytes, size_t n, void *ud) {
  (void)L;
  asy_Dump *dump = ud;
  if (n > sizeof dump->bytes - dump->count) return 1;
  if (n) memcpy(dump->bytes + dump->count, bytes, n); /* Lua 5.5 ends with a call without bytes */
  dump->count += n;
  return 0;
}

/* Push the function. It has no line numbers, so that reports name the line of its caller. */
static void scope_push_function(lua_State *L) {
  int top = lua_gettop(L);
  asy_Dump dump;
  dump.count = 0;
  bool ok = luaL_loadbuffer(L, scope_source, sizeof scope_source - 1, "=asyncio") == LUA_OK;
  if (!ok) lua_error(L); /* no memory */
  if (lua_dump(L, scope_write, &dump, 1)) luaL_error(L, "cannot prepare asyncio.scope");
  lua_settop(L, top);
  if (luaL_loadbufferx(L, dump.bytes, dump.count, "=asyncio", "b") != LUA_OK) lua_error(L);
  lua_call(L, 0, 1);
}

/* Push it; it is made when it is first needed. */
static void scope_push_runner(lua_State *L, asy_State *S) {
  asy_type_push(L, S, ASY_SLOT_TIMEOUT);
  if (lua_getfield(L, -1, scope_field) == LUA_TNIL) {
    lua_pop(L, 1);
    scope_push_function(L);
    lua_pushvalue(L, -1);
    lua_setfield(L, -3, scope_field);
  }
  lua_replace(L, -2);
}

static int scope_k_within(lua_State *L, int status, lua_KContext base) {
  (void)status;
  return lua_gettop(L) - (int)base;
}

/* The scope is on top, below it a function and nargs arguments: call it within the scope and return
 * its results. */
static int scope_within(lua_State *L, asy_State *S, int nargs) {
  int base = lua_gettop(L) - nargs - 2;
  luaL_checkstack(L, LUA_MINSTACK, NULL);
  lua_insert(L, base + 1);
  scope_push_runner(L, S);
  lua_insert(L, base + 1);
  lua_callk(L, nargs + 2, LUA_MULTRET, base, scope_k_within);
  return scope_k_within(L, LUA_OK, base);
}

/* For finalizers: was a scope that is collected forgotten, or does it go with its loop or the
 * Lua state? While the loop runs it is the former, but for os.exit(n, true): Lua runs the last
 * finalizers on the main thread, with nothing below them (Lua 5.4.3 leaves there what was, but a
 * task is being run then, on another thread). */
static bool scope_may_report(lua_State *L, const asy_State *S, const asy_Loop *loop) {
  lua_Debug ar;
  if (S->running != loop || S->closing) return false;
  return L != S->main || (!S->waiter && lua_getstack(L, 1, &ar));
}

/* ---- timeout */

typedef enum asy_TimeoutState {
  TIMEOUT_ACTIVE,
  TIMEOUT_EXPIRING,
  TIMEOUT_EXPIRED,
  TIMEOUT_FINISHED
} asy_TimeoutState;

static const char *const timeout_names[] = {"active", "expiring", "expired", "finished"};

/* User value 1: the task in which it was entered. */
typedef struct asy_Timeout {
  asy_Task *task;
  asy_Timer timer;  /* armed while active, unless there is no deadline */
  asy_Ready expiry; /* queued when the time has come */
  double when;      /* valid if has_when */
  int cancels;      /* the task's count of cancellations at the entry */
  uint8_t state;    /* asy_TimeoutState */
  bool has_when;
} asy_Timeout;

static void timeout_run(lua_State *L, asy_Loop *loop, asy_Ready *entry) {
  (void)loop;
  asy_Timeout *t = ASY_CONTAINER(entry, asy_Timeout, expiry);
  asy_task_cancel(L, t->task, 0);
  t->state = TIMEOUT_EXPIRING;
}

static void timeout_due(lua_State *L, asy_Loop *loop, asy_Timer *timer) {
  (void)L;
  asy_ready_append(loop, &ASY_CONTAINER(timer, asy_Timeout, timer)->expiry);
}

static void timeout_disarm(asy_Timeout *t) {
  asy_Loop *loop = t->task->fut.loop;
  if (!loop->closed) asy_timer_stop(loop, &t->timer);
  asy_list_remove(&t->expiry.link);
}

/* Set the deadline anew (NULL: none). One that has passed counts in the next turn. [-0, +0, m] */
static void timeout_arm(lua_State *L, asy_Timeout *t, const double *when) {
  asy_Loop *loop = t->task->fut.loop;
  asy_timer_reserve(L, loop);
  timeout_disarm(t);
  t->has_when = when != NULL;
  if (!when) return;
  t->when = *when;
  if (t->when <= asy_timer_now(loop))
    asy_ready_append(loop, &t->expiry);
  else
    asy_timer_start(loop, &t->timer, t->when, timeout_due);
}

/* Push a new scope of the current task. [-0, +1, m] */
static asy_Timeout *timeout_enter(lua_State *L, asy_State *S, const double *when) {
  asy_Task *task = asy_task_current(S);
  asy_task_push(L, task);
  asy_Timeout *t = asy_type_create(L, S, ASY_SLOT_TIMEOUT, sizeof *t, 1);
  t->task = task;
  t->cancels = task->cancels;
  asy_ready_init(&t->expiry, timeout_run);
  lua_insert(L, -2);
  lua_setiuservalue(L, -2, 1);
  timeout_arm(L, t, when);
  return t;
}

/* Leave the scope with the error at index `err` (0: none). True if a TimeoutError must take its
 * place. [-0, +0, -] */
static bool timeout_leave(lua_State *L, asy_State *S, asy_Timeout *t, int err) {
  timeout_disarm(t);
  if (t->state == TIMEOUT_ACTIVE) t->state = TIMEOUT_FINISHED;
  if (t->state != TIMEOUT_EXPIRING) return false;
  t->state = TIMEOUT_EXPIRED;
  return asy_task_uncancel(t->task) <= t->cancels && err &&
         asy_error_is(L, S, err, ASY_CANCELLED_ERROR);
}

int asy_scope_run(lua_State *L, asy_State *S, int idx, const double *when) {
  int nargs = scope_prepare(L, S, idx);
  timeout_enter(L, S, when);
  return scope_within(L, S, nargs);
}

/* timeout and timeout_at: a scope, or a function that runs in one. */
static int timeout_new(lua_State *L, asy_State *S, const double *when) {
  if (lua_isnone(L, 2)) {
    if (!asy_task_current(S))
      return luaL_error(
          L, "a timeout scope works only inside a task; elsewhere give a function: timeout(s, f)");
    timeout_enter(L, S, when);
    return 1;
  }
  asy_coro_check(L, S, 2);
  if (!lua_isfunction(L, 2)) scope_check_end(L, 2);
  asy_Wait *w = asy_wait_begin(L, S);
  if (!w) return asy_wait_outside(L, S);
  return asy_scope_run(L, S, 2, when);
}

/***
Cancel what runs in a scope when it takes too long, and turn that cancellation into a TimeoutError.
Without a function it begins here and must be held by a `<close>` variable, whose block is the
scope.
@function timeout
@tparam number delay seconds; nil: no limit as yet
@param[opt] f a function (or another awaitable) to be run in the scope
@param[opt] ... arguments of the function
@return a Timeout with :when(), :reschedule(t), :expired(); or what the function returns
@waits yes, with a function
@cancel goes through: it is not the scope's own
@raise argument error; without a function: an error outside a task; when the scope is left:
TimeoutError
@usage local late <const> = not pcall(asyncio.timeout, 0.01, asyncio.sleep, 9)
assert(late)
@see asyncio-task.html#asyncio.timeout
*/
static int timeout_timeout(lua_State *L) {
  asy_State *S = asy_state(L);
  double when = 0;
  luaL_checkany(L, 1);
  bool limited = asy_opt_seconds(L, 1, &when);
  if (limited && S->waiter) when += asy_timer_now(S->waiter->loop);
  return timeout_new(L, S, limited ? &when : NULL);
}

/***
The same as `timeout`, with the time at which it ends.
@function timeout_at
@tparam number when seconds of the loop's clock; nil: no limit as yet
@param[opt] f a function (or another awaitable) to be run in the scope
@param[opt] ... arguments of the function
@return a Timeout; or what the function returns
@waits yes, with a function
@cancel goes through: it is not the scope's own
@raise argument error; without a function: an error outside a task; when the scope is left:
TimeoutError
@usage local t <close> = asyncio.timeout_at(asyncio.get_running_loop():time() + 5)
assert(not t:expired())
@see asyncio-task.html#asyncio.timeout_at
*/
static int timeout_timeout_at(lua_State *L) {
  double when = 0;
  luaL_checkany(L, 1);
  bool limited = asy_opt_seconds(L, 1, &when);
  return timeout_new(L, asy_state(L), limited ? &when : NULL);
}

static asy_Timeout *timeout_check(lua_State *L) {
  return asy_type_check(L, asy_state(L), 1, ASY_SLOT_TIMEOUT);
}

/***
When the scope ends.
@function Timeout:when
@treturn number seconds of the loop's clock; nil: no limit
@waits no
@raise argument error
@usage local t <close> = asyncio.timeout(nil)
assert(t:when() == nil)
@see asyncio-task.html#asyncio.Timeout.when
*/
static int timeout_when(lua_State *L) {
  asy_Timeout *t = timeout_check(L);
  if (t->has_when)
    lua_pushnumber(L, t->when);
  else
    lua_pushnil(L);
  return 1;
}

/***
Change when the scope ends.
@function Timeout:reschedule
@tparam number when seconds of the loop's clock; one that has passed ends it at once; nil: no limit
@return nothing
@waits no
@raise argument error; an error if the scope has expired or was left
@usage local t <close> = asyncio.timeout(5)
t:reschedule(t:when() + 5)
@see asyncio-task.html#asyncio.Timeout.reschedule
*/
static int timeout_reschedule(lua_State *L) {
  asy_Timeout *t = timeout_check(L);
  double when = 0;
  luaL_checkany(L, 2);
  bool limited = asy_opt_seconds(L, 2, &when);
  if (t->state != TIMEOUT_ACTIVE)
    return luaL_error(L, "cannot reschedule a timeout that is %s", timeout_names[t->state]);
  timeout_arm(L, t, limited ? &when : NULL);
  return 0;
}

/***
Has the scope ended because its time was over?
@function Timeout:expired
@treturn boolean
@waits no
@raise argument error
@usage local t <close> = asyncio.timeout(5)
assert(t:expired() == false)
@see asyncio-task.html#asyncio.Timeout.expired
*/
static int timeout_expired(lua_State *L) {
  asy_Timeout *t = timeout_check(L);
  lua_pushboolean(L, t->state == TIMEOUT_EXPIRING || t->state == TIMEOUT_EXPIRED);
  return 1;
}

static int timeout_close(lua_State *L) {
  asy_State *S = asy_state(L);
  asy_Timeout *t = timeout_check(L);
  lua_settop(L, 2);
  if (timeout_leave(L, S, t, lua_isnil(L, 2) ? 0 : 2))
    return asy_error_raise(L, S, ASY_TIMEOUT_ERROR, NULL);
  return 0;
}

static int timeout_tostring(lua_State *L) {
  asy_Timeout *t = timeout_check(L);
  if (t->state != TIMEOUT_ACTIVE)
    lua_pushfstring(L, "<Timeout [%s]>", timeout_names[t->state]);
  else if (t->has_when)
    lua_pushfstring(L, "<Timeout [active] when=%f>", (LUAI_UACNUMBER)t->when);
  else
    lua_pushliteral(L, "<Timeout [active] when=nil>");
  return 1;
}

/* Nobody can leave the scope any more. */
static int timeout_gc(lua_State *L) {
  asy_State *S = asy_state(L);
  asy_Timeout *t = asy_type_test(L, S, 1, ASY_SLOT_TIMEOUT);
  bool open = t && t->task && (t->state == TIMEOUT_ACTIVE || t->state == TIMEOUT_EXPIRING);
  if (!open) return 0;
  asy_Loop *loop = t->task->fut.loop;
  timeout_disarm(t);
  t->state = TIMEOUT_FINISHED;
  if (!scope_may_report(L, S, loop)) return 0;
  lua_getiuservalue(L, 1, 1);
  lua_pushnil(L);
  lua_pushnil(L);
  asy_error_report(L, loop, "a timeout was never closed: local t <close> = asyncio.timeout(...)",
                   "task", 2);
  return 0;
}

/* ---- TaskGroup */

typedef struct asy_Group asy_Group;

/* What a group knows of a child, or, in `free`, of none. */
typedef struct asy_Member {
  asy_Ready entry; /* among the callbacks of the task, or in the ready queue */
  asy_Link link;   /* in `members` until the entry has run; then in `failed`, with an error, or
                      in `free` */
  asy_Task *task;
  asy_Group *group;
  int place; /* of the task in the group's list */
} asy_Member;

/* User values: the parent; the list of the tasks, with `false` in a place that is free; the newest
 * block of members, whose only user value is the block before it. */
enum { GROUP_PARENT = 1, GROUP_TASKS, GROUP_BLOCK, GROUP_UVS = GROUP_BLOCK };

/* How many members there are in the first block; each further one doubles their number, up to a
 * limit. */
#define GROUP_FIRST_BLOCK 8
#define GROUP_MOST_IN_BLOCK 1024

struct asy_Group {
  asy_Loop *loop;
  asy_Task *parent;      /* the task that has entered it; a user value holds it */
  asy_List waiters;      /* asy_Wait.link: the parent, at the exit */
  asy_List members;      /* asy_Member.link: in the order of creation */
  asy_List failed;       /* asy_Member.link: in the order of their errors */
  asy_List free;         /* asy_Member.link */
  int open, errors;      /* lengths of `members` and `failed` */
  int places;            /* members in all blocks, and length of the list of the tasks */
  bool pinned;           /* kept alive by the loop */
  bool exiting;          /* the body has ended */
  bool aborting;         /* the children have been cancelled */
  bool cancelled_parent; /* because of a child's error: to be uncancelled at the exit */
  bool left;             /* the exit has come to its end */
};

/* Slots of group_close: group, the body's error or nil, the CancelledError to be raised or nil. */
enum { LEAVE_GROUP = 1, LEAVE_ERROR, LEAVE_CANCELLED };

/* Keep the group at index 1 alive, which has children or will have one. [-0, +0, m] */
static void group_pin(lua_State *L, asy_Group *g) {
  if (g->pinned) return;
  luaL_checkstack(L, 2, NULL);
  asy_shelf_push(L, g->loop->shelf, ASY_LOOP_PINS);
  lua_pushvalue(L, 1);
  lua_rawsetp(L, -2, g);
  lua_pop(L, 1);
  g->pinned = true;
}

/* [-0, +0, -] */
static void group_unpin(asy_Group *g) {
  if (!g->pinned) return;
  g->pinned = false;
  lua_pushnil(g->loop->shelf);
  lua_rawsetp(g->loop->shelf, ASY_LOOP_PINS, g);
}

/* Push the group, which is pinned. [-0, +1, -] */
static void group_push(lua_State *L, asy_Group *g) {
  lua_rawgetp(g->loop->shelf, ASY_LOOP_PINS, g);
  lua_xmove(g->loop->shelf, L, 1);
}

/* ---- the members of a group */

static void group_run(lua_State *L, asy_Loop *loop, asy_Ready *entry);

/* Add a block of members to the group at index 1, and their places to its list. [-0, +0, m] */
static void group_grow(lua_State *L, asy_Group *g) {
  int count = g->places;
  if (count < GROUP_FIRST_BLOCK) count = GROUP_FIRST_BLOCK;
  if (count > GROUP_MOST_IN_BLOCK) count = GROUP_MOST_IN_BLOCK;
  luaL_checkstack(L, 3, NULL);
  asy_Member *block = lua_newuserdatauv(L, (size_t)count * sizeof *block, 1);
  lua_getiuservalue(L, 1, GROUP_TASKS); /* a finalizer may have grown it: look only from here on */
  for (int i = 1; i <= count; i++) {
    lua_pushboolean(L, 0);
    lua_rawseti(L, -2, g->places + i);
  }
  lua_getiuservalue(L, 1, GROUP_BLOCK);
  lua_setiuservalue(L, -3, 1);
  lua_pop(L, 1);
  lua_setiuservalue(L, 1, GROUP_BLOCK);
  for (asy_Member *m = block; m < block + count; m++) {
    asy_ready_init(&m->entry, group_run);
    asy_list_append(&g->free, &m->link);
    m->group = g;
    m->place = ++g->places;
  }
}

/* See to it that a task can be entered in the group at index 1, which needs no memory then. Pins
 * it last: a finalizer that is run by the other may leave the group. [-0, +0, m] */
static void group_reserve(lua_State *L, asy_Group *g) {
  if (ASY_UNLIKELY(asy_list_is_empty(&g->free))) group_grow(L, g);
  group_pin(L, g);
}

/* The member of the task on top; the group is at index 1. [-0, +0, -] */
static asy_Member *group_take_member(lua_State *L, asy_Group *g, asy_Task *task) {
  asy_Member *m = ASY_CONTAINER(asy_list_take(&g->free), asy_Member, link);
  m->task = task;
  lua_getiuservalue(L, 1, GROUP_TASKS);
  lua_pushvalue(L, -2);
  lua_rawseti(L, -2, m->place);
  lua_pop(L, 1);
  return m;
}

/* The member, which is on no list, has no task any more. The group is at idx. [-0, +0, -] */
static void group_forget_task(lua_State *L, asy_Group *g, int idx, asy_Member *m) {
  asy_list_prepend(&g->free, &m->link);
  lua_getiuservalue(L, idx, GROUP_TASKS);
  lua_pushboolean(L, 0);
  lua_rawseti(L, -2, m->place);
  lua_pop(L, 1);
}

/* Push the member's Task. The group is at idx. */
static void group_push_task(lua_State *L, int idx, asy_Member *m) {
  lua_getiuservalue(L, idx, GROUP_TASKS);
  lua_rawgeti(L, -1, m->place);
  lua_replace(L, -2);
}

/* ---- children that end */

/* Cancel all children, in the order of their creation. */
static void group_abort(lua_State *L, asy_Group *g) {
  g->aborting = true;
  for (asy_Link *link = asy_list_first(&g->members); link;
       link = asy_list_next(&g->members, link)) {
    asy_Task *task = ASY_CONTAINER(link, asy_Member, link)->task;
    asy_task_cancel(L, task, 0);
    asy_redeliver_watch(task);
  }
}

/* A child has failed. The group is at idx. */
static void group_fail(lua_State *L, asy_Group *g, int idx, asy_Member *m) {
  asy_list_append(&g->failed, &m->link);
  g->errors++;
  if (asy_future_is_done(&g->parent->fut)) {
    group_push_task(L, idx, m);
    asy_future_push_error(L, -1, &m->task->fut);
    asy_future_push_traceback(L, -2, &m->task->fut);
    asy_error_report(L, g->loop, "a task of a TaskGroup has failed whose parent task is done",
                     "task", lua_gettop(L) - 2);
    lua_pop(L, 1);
  } else if (!g->aborting && !g->cancelled_parent) {
    group_abort(L, g);
    g->cancelled_parent = true;
    asy_task_cancel(L, g->parent, 0);
  }
}

/* A child is done. The group is at idx. [-0, +0, -] */
static void group_count(lua_State *L, asy_Group *g, int idx, asy_Member *m) {
  asy_list_remove(&m->link);
  if (g->open == 0) {
    for (asy_Link *link = g->waiters.next; link != &g->waiters; link = link->next)
      asy_wait_wake(ASY_CONTAINER(link, asy_Wait, link));
    group_unpin(g);
  }
  if (m->task->fut.state == ASY_FAILED)
    group_fail(L, g, idx, m);
  else
    group_forget_task(L, g, idx, m);
}

static void group_run(lua_State *L, asy_Loop *loop, asy_Ready *entry) {
  (void)loop;
  asy_Member *m = ASY_CONTAINER(entry, asy_Member, entry);
  asy_Group *g = m->group;
  group_push(L, g);
  g->open--;
  group_count(L, g, lua_gettop(L), m);
  lua_pop(L, 1);
}

static asy_Group *group_check(lua_State *L) {
  return asy_type_check(L, asy_state(L), 1, ASY_SLOT_TASK_GROUP);
}

/* Push a new group of the current task. [-0, +1, m] */
static asy_Group *group_enter(lua_State *L, asy_State *S) {
  asy_Group *g = asy_type_create(L, S, ASY_SLOT_TASK_GROUP, sizeof *g, GROUP_UVS);
  asy_list_init(&g->waiters);
  asy_list_init(&g->members);
  asy_list_init(&g->failed);
  asy_list_init(&g->free);
  g->parent = asy_task_current(S);
  g->loop = g->parent->fut.loop;
  asy_task_push(L, g->parent);
  lua_setiuservalue(L, -2, GROUP_PARENT);
  lua_createtable(L, GROUP_FIRST_BLOCK, 0);
  lua_setiuservalue(L, -2, GROUP_TASKS);
  return g;
}

/***
Start a task that belongs to the group.
@function TaskGroup:create_task
@param aw a function, coroutine object or other awaitable
@param[opt] ... arguments of the function
@treturn Task
@waits no
@raise argument error; an error if the group is finished or shutting down (a coroutine object counts
as awaited then)
@usage local tg <close> = asyncio.TaskGroup()
tg:create_task(asyncio.sleep, 0.01)
@see asyncio-task.html#asyncio.TaskGroup.create_task
*/
static int group_create_task(lua_State *L) {
  asy_State *S = asy_state(L);
  asy_Group *g = group_check(L);
  asy_coro_check(L, S, 2);
  luaL_argcheck(L, !asy_future_test(L, S, 2), 2,
                "coroutine object or function expected, got a Future");
  if (!lua_isfunction(L, 2)) scope_check_end(L, 2);
  int nargs = scope_prepare(L, S, 2);
  if (g->exiting && g->open == 0)
    return luaL_error(L, "the TaskGroup is finished: it takes no more tasks");
  if (g->aborting) return luaL_error(L, "the TaskGroup is shutting down: it takes no more tasks");
  group_reserve(L, g);
  asy_Task *task = asy_task_new(L, g->loop, nargs); /* group, task */
  group_reserve(L, g); /* an eager task, or a factory, may have used or left the group */
  asy_Member *m = group_take_member(L, g, task);
  if (asy_future_is_done(&task->fut)) { /* it was started eagerly */
    group_count(L, g, 1, m);
    return 1;
  }
  asy_list_append(&g->members, &m->link);
  g->open++;
  asy_future_add(&task->fut, &m->entry);
  if (g->aborting) asy_task_cancel(L, task, 0); /* by another one, which it started eagerly */
  return 1;
}

/* ---- leaving a group */

/* Push the list of the errors, the body's own last; returns how many. [-0, +1, m] */
static int group_push_errors(lua_State *L, asy_State *S, asy_Group *g) {
  int n = 0;
  lua_createtable(L, g->errors + 1, 0);
  for (asy_Link *link = asy_list_first(&g->failed); link; link = asy_list_next(&g->failed, link)) {
    asy_Member *m = ASY_CONTAINER(link, asy_Member, link);
    group_push_task(L, LEAVE_GROUP, m);
    asy_future_push_error(L, -1, &m->task->fut);
    lua_rawseti(L, -3, ++n);
    lua_pop(L, 1);
  }
  if (!lua_isnil(L, LEAVE_ERROR) && !asy_error_is(L, S, LEAVE_ERROR, ASY_CANCELLED_ERROR)) {
    lua_pushvalue(L, LEAVE_ERROR);
    lua_rawseti(L, -2, ++n);
  }
  return n;
}

/* A KeyboardInterrupt among the n errors in the list on top is raised as it is. */
static void group_check_interrupt(lua_State *L, asy_State *S, int n) {
  for (int i = 1; i <= n; i++) {
    lua_rawgeti(L, -1, i);
    if (asy_error_is(L, S, -1, ASY_KEYBOARD_INTERRUPT)) lua_error(L);
    lua_pop(L, 1);
  }
}

/* All children are done: raise what is to be raised. The counts are put right before memory is
 * needed. */
static int group_finish(lua_State *L, asy_State *S, asy_Group *g) {
  g->left = true;
  group_unpin(g);
  if (g->cancelled_parent && asy_task_uncancel(g->parent) == 0) { /* there was no other but ours */
    lua_pushnil(L);
    lua_replace(L, LEAVE_CANCELLED);
  }
  if (g->errors == 0 && !lua_isnil(L, LEAVE_CANCELLED)) {
    lua_pushvalue(L, LEAVE_CANCELLED);
    return lua_error(L);
  }
  if (g->errors == 0 && lua_isnil(L, LEAVE_ERROR)) return 0;
  if (g->parent->cancels > 0) { /* from outside: raised at the next wait; the count stays */
    asy_task_uncancel(g->parent);
    asy_task_cancel(L, g->parent, 0);
  }
  asy_error_push(L, S, ASY_EXCEPTION_GROUP, "unhandled errors in a TaskGroup");
  group_check_interrupt(L, S, group_push_errors(L, S, g));
  lua_setfield(L, -2, "exceptions");
  return lua_error(L);
}

static const asy_WaitKind group_waiting = {"the tasks of a TaskGroup", NULL, false};

static int group_k_leave(lua_State *L, asy_Wait *w);

/* Wait until all children are done. */
static int group_wait(lua_State *L, asy_State *S, asy_Group *g) {
  if (g->open == 0) return group_finish(L, S, g);
  asy_Wait *w = asy_wait_begin(L, S);
  if (!w) { /* the thread is being closed, or a C function forbids the wait */
    group_abort(L, g);
    g->left = true;
    if (S->forbidden && S->running != g->loop) return 0; /* the loop closes: the children, too */
    if (S->waiter || S->forbidden) return asy_wait_outside(L, S);
    return luaL_error(L, "a TaskGroup was closed where it cannot wait for its tasks");
  }
  if (w->loop != g->loop) return luaL_error(L, "the TaskGroup belongs to a different event loop");
  asy_list_append(&g->waiters, &w->link);
  return asy_wait_park(L, w, &group_waiting, g, group_k_leave);
}

static int group_k_leave(lua_State *L, asy_Wait *w) {
  asy_State *S = asy_state(L);
  asy_Group *g = w->on;
  asy_list_remove(&w->link);
  if (!asy_wait_failed(w)) return group_wait(L, S, g);
  if (w->thrown && !w->must_cancel) { /* a deadlock: nobody can end the children */
    g->left = true;
    return asy_wait_raise(L, w);
  }
  if (g->aborting) {
    w->must_cancel = false; /* taken, and dropped, as in CPython */
  } else {
    group_abort(L, g);
    asy_wait_push_error(L, w);
    lua_replace(L, LEAVE_CANCELLED);
  }
  return group_wait(L, S, g);
}

static int group_close(lua_State *L) {
  asy_State *S = asy_state(L);
  asy_Group *g = group_check(L);
  lua_settop(L, LEAVE_ERROR);
  lua_pushnil(L);
  if (g->left) return 0;
  g->exiting = true;
  if (lua_isnil(L, LEAVE_ERROR)) return group_wait(L, S, g);
  if (asy_error_is(L, S, LEAVE_ERROR, ASY_CANCELLED_ERROR)) {
    lua_pushvalue(L, LEAVE_ERROR);
    lua_replace(L, LEAVE_CANCELLED);
  }
  if (!g->aborting) group_abort(L, g);
  return group_wait(L, S, g);
}

/***
A group of tasks that are all awaited: the first that fails cancels the others and what runs in the
block, and then all errors are raised together. Without a function it begins here and must be held
by a `<close>` variable, whose block is the scope.
@function TaskGroup
@tparam[opt] function f called with the group; when it has returned, the tasks are awaited
@return a TaskGroup with :create_task(aw, ...); or what the function returns
@waits yes, with a function; else where the block ends
@cancel cancels the tasks, waits for them, and raises CancelledError
@raise argument error; without a function: an error outside a task; when the group is left:
ExceptionGroup (field `exceptions`: a list of errors)
@usage asyncio.TaskGroup(function(tg)
  tg:create_task(asyncio.sleep, 0.01)
  tg:create_task(asyncio.sleep, 0.02)
end)
@see asyncio-task.html#asyncio.TaskGroup
*/
static int group_new(lua_State *L) {
  asy_State *S = asy_state(L);
  scope_check_end(L, 1);
  if (lua_isnone(L, 1)) {
    if (!asy_task_current(S))
      return luaL_error(
          L, "a TaskGroup works only inside a task; elsewhere give a function: TaskGroup(f)");
    group_enter(L, S);
    return 1;
  }
  asy_check_callable(L, 1);
  if (!asy_wait_begin(L, S)) return asy_wait_outside(L, S);
  group_enter(L, S);
  lua_pushvalue(L, 2); /* f, group, group */
  return scope_within(L, S, 1);
}

static int group_tostring(lua_State *L) {
  asy_Group *g = group_check(L);
  lua_pushliteral(L, "<TaskGroup");
  if (g->open) lua_pushfstring(L, " tasks=%d", g->open);
  if (g->errors) lua_pushfstring(L, " errors=%d", g->errors);
  lua_pushstring(L, g->left ? " finished>" : g->aborting ? " cancelling>" : " entered>");
  lua_concat(L, lua_gettop(L) - 1);
  return 1;
}

/* Only a group without children can be collected, or one whose loop is gone. */
static int group_gc(lua_State *L) {
  asy_State *S = asy_state(L);
  asy_Group *g = asy_type_test(L, S, 1, ASY_SLOT_TASK_GROUP);
  if (!g || !g->loop || g->left || !scope_may_report(L, S, g->loop)) return 0;
  lua_getiuservalue(L, 1, GROUP_PARENT);
  lua_pushnil(L);
  lua_pushnil(L);
  asy_error_report(L, g->loop,
                   "a TaskGroup was never closed; hold it: local tg <close> = asyncio.TaskGroup()",
                   "task", 2);
  return 0;
}

void asy_scope_open(lua_State *L, asy_State *S) {
  static const luaL_Reg timeout_methods[] = {{"when", timeout_when},
                                             {"reschedule", timeout_reschedule},
                                             {"expired", timeout_expired},
                                             {"__close", timeout_close},
                                             {"__tostring", timeout_tostring},
                                             {"__gc", timeout_gc},
                                             {NULL, NULL}};
  static const luaL_Reg group_methods[] = {{"create_task", group_create_task},
                                           {"__close", group_close},
                                           {"__tostring", group_tostring},
                                           {"__gc", group_gc},
                                           {NULL, NULL}};
  static const luaL_Reg functions[] = {{"timeout", timeout_timeout},
                                       {"timeout_at", timeout_timeout_at},
                                       {"TaskGroup", group_new},
                                       {NULL, NULL}};
  asy_type_new(L, S, ASY_SLOT_TIMEOUT, "asyncio.Timeout", timeout_methods);
  asy_type_new(L, S, ASY_SLOT_TASK_GROUP, "asyncio.TaskGroup", group_methods);
  asy_add_functions(L, S, functions);
}
