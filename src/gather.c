/* SPDX-License-Identifier: MIT */
/* gather.c - gather, wait, as_completed, wait_for and shield: whoever waits for several futures, or
 * for one but not as `await` does.
 *
 * Each call makes one record, a userdata with an entry for every child. The entry stands among the
 * child's callbacks; when the child is done it goes through the ready queue as a callback of its
 * own, as in CPython, and what it decides there wakes the waiter one turn later. The record and,
 * through it, the children are held by the stack of the waiting task (the record lies at index 1 of
 * the C function that parks) or by whoever holds the iterator.
 *
 * Invariant: an entry is linked only while its record is alive. The continuation unlinks all of
 * them, and the finalizer does it for a record whose wait was dropped. Entries only count and wake:
 * they need no memory and cannot fail. */
#include "gather.h"

#include <limits.h>
#include <math.h>

#include "coro.h"
#include "error.h"
#include "loop.h"
#include "option.h"
#include "scope.h"

typedef struct asy_Gather asy_Gather;

/* One future that is waited for. */
typedef struct gather_Child {
  asy_Ready entry; /* among the callbacks of `fut`, or in the ready queue; as_completed: then in
                      `finished` */
  asy_Future *fut; /* the list of futures holds it */
  asy_Gather *gather;
} gather_Child;

/* What `wait` waits for: index in gather_when_names. */
typedef enum asy_When { WHEN_ALL_COMPLETED, WHEN_FIRST_COMPLETED, WHEN_FIRST_EXCEPTION } asy_When;

static const char *const gather_when_names[] = {"ALL_COMPLETED", "FIRST_COMPLETED",
                                                "FIRST_EXCEPTION", NULL};

/* One call of a function of this room. User value 1: the list of futures, one for each place in the
 * result (a gather has a future that was given twice in two places, everybody else has it once). */
struct asy_Gather {
  asy_Loop *loop;
  asy_List waiters;     /* asy_Wait.link: at most one, but as_completed may have several */
  asy_Timer timer;      /* wait, as_completed: their timeout */
  asy_Ready expiry;     /* the timer's entry, in the turn in which it is due */
  asy_List finished;    /* as_completed: entries of children that are done and not yet handed out */
  gather_Child *failed; /* gather: the child whose error ends it */
  gather_Child *last;   /* gather: the child that finished last of all */
  lua_Integer places;   /* length of the list of futures */
  lua_Integer count;    /* how many children there are */
  lua_Integer left;     /* children whose entry has not run */
  lua_Integer unasked;  /* as_completed: children that nobody has asked for yet */
  lua_Integer expired;  /* as_completed: timeouts to be raised, one for each child that was not done
                           in time */
  asy_When when;        /* wait */
  bool keeps_errors;    /* gather: return_exceptions */
  bool cancelled;       /* gather: cancelling it has cancelled a child */
  bool done;            /* decided: what happens to the other children changes nothing more */
  gather_Child children[];
};

#define GATHER_MAX (INT_MAX / (lua_Integer)sizeof(gather_Child))

enum { GATHER_FUTURES = 1, GATHER_UVS = GATHER_FUTURES };

/* ---- arguments */

static void gather_check_end(lua_State *L, int count) {
  luaL_argcheck(L, lua_gettop(L) <= count, count + 1, "no value expected");
}

/* The option `timeout` of the table at argument 2: seconds from now; false if it is not given. */
static bool gather_opt_timeout(lua_State *L, double *seconds) {
  if (!asy_option_push(L, 2, "timeout")) return false;
  if (lua_type(L, -1) != LUA_TNUMBER)
    asy_option_error(L, 2, "timeout",
                     lua_pushfstring(L, "number expected, got %s", luaL_typename(L, -1)));
  *seconds = lua_tonumber(L, -1);
  if (isnan(*seconds)) asy_option_error(L, 2, "timeout", "number of seconds expected, got NaN");
  lua_pop(L, 1);
  return true;
}

/* Is argument 1 a list of awaitables (and not a table that is awaitable itself)? */
static bool gather_is_list(lua_State *L, asy_State *S) {
  return lua_istable(L, 1) && !asy_coro_is_awaitable(L, S, 1);
}

static void gather_push_item(lua_State *L, bool list, lua_Integer i) {
  if (list)
    lua_rawgeti(L, 1, i);
  else
    lua_pushvalue(L, (int)i);
}

/* Argument error unless all n items are awaitable. */
static void gather_check_items(lua_State *L, asy_State *S, bool list, lua_Integer n) {
  for (lua_Integer i = 1; i <= n; i++) {
    gather_push_item(L, list, i);
    if (!asy_future_test(L, S, -1) && !asy_coro_is_awaitable(L, S, -1)) {
      const char *got = luaL_typename(L, -1);
      if (list)
        luaL_argerror(
            L, 1,
            lua_pushfstring(L, "awaitable expected at index %I, got %s", (LUAI_UACINT)i, got));
      const char *hint =
          lua_istable(L, -1) ? " (a list, or options, must come as gather({...}, options))" : "";
      luaL_argerror(L, (int)i, lua_pushfstring(L, "awaitable expected, got %s%s", got, hint));
    }
    lua_pop(L, 1);
  }
}

/* The length of the list at argument 1, whose items are checked when they are taken. */
static lua_Integer gather_check_list(lua_State *L, asy_State *S) {
  if (!gather_is_list(L, S)) luaL_typeerror(L, 1, "list of awaitables");
  return (lua_Integer)lua_rawlen(L, 1);
}

/* This thread may not wait: as asy_wait_outside, but wrong items are told of before that. */
static int gather_outside(lua_State *L, asy_State *S, bool list, lua_Integer n) {
  gather_check_items(L, S, list, n);
  return asy_wait_outside(L, S);
}

/* ---- the record */

static void gather_run_expiry(lua_State *L, asy_Loop *loop, asy_Ready *entry);

/* Push a new record for up to n children; `run` is what their entries do. `fields`: of the list of
 * futures, besides its items. */
static asy_Gather *gather_new(lua_State *L, asy_State *S, asy_Loop *loop, lua_Integer n,
                              asy_Run *run, int fields) {
  luaL_argcheck(L, n <= GATHER_MAX, 1, "too many awaitables");
  size_t size = sizeof(asy_Gather) + (size_t)n * sizeof(gather_Child);
  asy_Gather *g = asy_type_create(L, S, ASY_SLOT_GATHER, size, GATHER_UVS);
  g->loop = loop;
  asy_list_init(&g->waiters);
  asy_list_init(&g->finished);
  asy_ready_init(&g->expiry, gather_run_expiry);
  for (lua_Integer i = 0; i < n; i++) {
    asy_ready_init(&g->children[i].entry, run);
    g->children[i].gather = g;
  }
  lua_createtable(L, (int)n, fields);
  lua_setiuservalue(L, -2, GATHER_FUTURES);
  return g;
}

static void gather_stop_timer(asy_Gather *g) {
  if (!g->loop->closed) asy_timer_stop(g->loop, &g->timer);
  asy_list_remove(&g->expiry.link);
}

/* Take all entries back. */
static void gather_unlink(asy_Gather *g) {
  gather_stop_timer(g);
  for (lua_Integer i = 0; i < g->count; i++)
    asy_list_remove(&g->children[i].entry.link);
}

/* It is over: let go of the futures. An object with a finalizer, and what it holds, would be freed
 * only one collection later. The record is at index 1. [-0, +0, -] */
static void gather_let_go(lua_State *L) {
  lua_pushnil(L);
  lua_setiuservalue(L, 1, GATHER_FUTURES);
}

/* The wait was dropped with its thread, or nobody holds the iterator any more. */
static int gather_gc(lua_State *L) {
  asy_Gather *g = asy_type_test(L, asy_state(L), 1, ASY_SLOT_GATHER);
  if (g && g->loop) gather_unlink(g);
  return 0;
}

/* Replace the item on top by its future, which a table at index `seen` knows if the item was given
 * before (in which case this returns NULL). Functions have no identity. */
static asy_Future *gather_ensure(lua_State *L, asy_Gather *g, int seen) {
  if (lua_isfunction(L, -1)) {
    asy_Future *fut = asy_task_ensure(L, g->loop, -1);
    lua_replace(L, -2);
    return fut;
  }
  if (lua_isnil(L, seen)) {
    lua_newtable(L);
    lua_replace(L, seen);
  }
  lua_pushvalue(L, -1);
  bool again = lua_rawget(L, seen) != LUA_TNIL; /* item, its future or nil */
  if (again) {
    lua_replace(L, -2);
    return NULL;
  }
  lua_pop(L, 1);
  asy_Future *fut = asy_task_ensure(L, g->loop, -1);
  lua_insert(L, -2);
  lua_pushvalue(L, -2); /* future, item, future */
  lua_rawset(L, seen);
  return fut;
}

/* The usual case: all n items are futures of this loop. Nothing is changed unless they are; then
 * they stand in the record and in its list (at index `futures`), each once or, for a gather, in
 * every place. [-0, +0, m] */
static bool gather_fill_futures(lua_State *L, asy_State *S, asy_Gather *g, bool list, lua_Integer n,
                                bool gathers) {
  const int futures = lua_gettop(L);
  uint32_t stamp = ++g->loop->stamps;
  lua_Integer count = 0, places = 0;
  for (lua_Integer i = 1; i <= n; i++) {
    gather_push_item(L, list, i);
    asy_Future *fut = asy_future_test(L, S, -1);
    if (!fut || fut->loop != g->loop) {
      lua_pop(L, 1);
      return false;
    }
    bool again = fut->stamp == stamp;
    if (again && !gathers) {
      lua_pop(L, 1);
      continue;
    }
    lua_rawseti(L, futures, ++places);
    if (again) continue;
    fut->stamp = stamp;
    g->children[count++].fut = fut;
  }
  g->count = g->left = count;
  g->places = places;
  for (lua_Integer i = 0; gathers && i < count; i++)
    if (!asy_future_is_done(g->children[i].fut))
      asy_future_add(g->children[i].fut, &g->children[i].entry);
  return true;
}

/* Check the n items and make futures of them. The record is on top. `gathers`: as gather does it,
 * every item has its place, and a child that is pending is listened to at once (another one may
 * start eagerly and complete it). [-0, +0, v] */
static void gather_fill(lua_State *L, asy_Gather *g, bool list, lua_Integer n, bool gathers) {
  const int top = lua_gettop(L), futures = top + 1, seen = top + 2;
  lua_getiuservalue(L, top, GATHER_FUTURES);
  if (gather_fill_futures(L, g->loop->S, g, list, n, gathers)) {
    lua_settop(L, top);
    return;
  }
  gather_check_items(L, g->loop->S, list, n);
  lua_pushnil(L);
  for (lua_Integer i = 1; i <= n; i++) {
    gather_push_item(L, list, i);
    asy_Future *fut = gather_ensure(L, g, seen);
    if (fut) {
      gather_Child *child = &g->children[g->count++];
      child->fut = fut;
      if (gathers && !asy_future_is_done(fut)) asy_future_add(fut, &child->entry);
    }
    if (fut || gathers)
      lua_rawseti(L, futures, ++g->places);
    else
      lua_pop(L, 1);
  }
  g->left = g->count;
  lua_settop(L, top);
}

/* A record with one child: the future on top, which it replaces; its entry is queued or listens at
 * once. [-1, +1, m] */
static asy_Gather *gather_one(lua_State *L, asy_State *S, asy_Future *fut, asy_Run *run) {
  asy_Gather *g = gather_new(L, S, fut->loop, 1, run, 0);
  lua_getiuservalue(L, -1, GATHER_FUTURES);
  lua_pushvalue(L, -3);
  lua_rawseti(L, -2, 1);
  lua_pop(L, 1);
  lua_replace(L, -2);
  g->places = g->count = g->left = 1;
  g->children[0].fut = fut;
  asy_future_add(fut, &g->children[0].entry);
  return g;
}

/* Push the future in a place of the record at index 1. */
static asy_Future *gather_push_future(lua_State *L, lua_Integer place) {
  lua_getiuservalue(L, 1, GATHER_FUTURES);
  lua_rawgeti(L, -1, place);
  lua_remove(L, -2);
  return lua_touserdata(L, -1);
}

/* Wake the first waiter that was not woken or cancelled; `take`: it leaves the list at once. */
static void gather_wake(asy_Gather *g, bool take) {
  asy_Link *link = asy_list_first(&g->waiters);
  while (link) {
    asy_Wait *w = ASY_CONTAINER(link, asy_Wait, link);
    asy_Link *next = asy_list_next(&g->waiters, link);
    if (take) asy_list_remove(link);
    if (asy_wait_wake(w)) return;
    link = next;
  }
}

/* ---- gather */

static gather_Child *gather_child(asy_Ready *entry) {
  return ASY_CONTAINER(entry, gather_Child, entry);
}

/* A child is done: is the gather decided by it? */
static void gather_count(gather_Child *child) {
  asy_Gather *g = child->gather;
  g->left--;
  if (g->done) return;
  if (!g->keeps_errors && child->fut->state != ASY_FINISHED)
    g->failed = child;
  else if (g->left == 0)
    g->last = child;
  g->done = g->failed || g->last;
}

static void gather_run(lua_State *L, asy_Loop *loop, asy_Ready *entry) {
  (void)L;
  (void)loop;
  gather_Child *child = gather_child(entry);
  gather_count(child);
  if (child->gather->done) gather_wake(child->gather, false);
}

/* Cancelling a gather cancels its children; it is woken when they are done. Where tasks gather each
 * other, task.c breaks the ring. */
static bool gather_cancel(lua_State *L, asy_Wait *w, int msg) {
  asy_Gather *g = w->on;
  bool taken = false;
  if (g->done || !lua_checkstack(L, LUA_MINSTACK)) return false;
  int top = lua_gettop(L);
  asy_wait_push_kept(L, w);
  lua_getiuservalue(L, -1, GATHER_FUTURES);
  for (lua_Integer i = 1; i <= g->places; i++) {
    lua_rawgeti(L, top + 2, i);
    if (asy_future_cancel(L, top + 3, lua_touserdata(L, -1), msg)) taken = true;
    lua_pop(L, 1);
  }
  lua_settop(L, top);
  if (taken) g->cancelled = true;
  return taken;
}

static const asy_WaitKind gather_waiting = {"gather", gather_cancel, false};

/* Push the error that ends the gather. */
static void gather_push_error(lua_State *L, asy_State *S, asy_Gather *g) {
  gather_Child *child = g->failed;
  if (!child && g->last->fut->state == ASY_CANCELLED) child = g->last;
  if (!child) {
    asy_error_push(L, S, ASY_CANCELLED_ERROR, NULL);
    return;
  }
  lua_Integer place = child - g->children + 1; /* or behind it, if futures were given twice */
  while (gather_push_future(L, place) != child->fut) {
    lua_pop(L, 1);
    place++;
  }
  asy_future_push_error(L, -1, child->fut);
}

/* Push the list of results; errors stand in it as values. It is the list of futures, in which each
 * gives way to its result. */
static int gather_push_results(lua_State *L, asy_Gather *g) {
  lua_getiuservalue(L, 1, GATHER_FUTURES);
  const int list = lua_gettop(L);
  const bool each_once = g->count == g->places; /* then a child's number is its place */
  for (lua_Integer i = 1; i <= g->places; i++) {
    lua_rawgeti(L, list, i);
    asy_Future *fut = each_once ? g->children[i - 1].fut : lua_touserdata(L, -1);
    if (fut->state == ASY_FINISHED)
      asy_future_push_first(L, -1, fut);
    else
      asy_future_push_error(L, -1, fut);
    lua_rawseti(L, list, i);
    lua_pop(L, 1);
  }
  gather_let_go(L);
  lua_pushinteger(L, g->places);
  lua_setfield(L, list, "n");
  return 1;
}

/* The gather at index 1 is decided: return its results or raise. What the others do is nobody's
 * concern any more. */
static int gather_finish(lua_State *L, asy_State *S, asy_Gather *g) {
  gather_unlink(g);
  if (!g->failed && !g->cancelled) return gather_push_results(L, g);
  gather_push_error(L, S, g);
  for (lua_Integer i = 0; i < g->count; i++)
    asy_future_expect(g->children[i].fut);
  gather_let_go(L);
  return lua_error(L);
}

static int gather_k_gather(lua_State *L, asy_Wait *w) {
  asy_Gather *g = w->on;
  asy_list_remove(&w->link);
  if (!g->done) { /* not cancelled, which takes the children's way, but thrown out */
    gather_unlink(g);
    return asy_wait_raise(L, w);
  }
  if (asy_wait_failed(w)) {
    asy_wait_push_error(L, w);
    bool was_cancelled = g->cancelled || (g->failed && g->failed->fut->state == ASY_CANCELLED);
    if (!was_cancelled) { /* else the CancelledError of the children is the one to raise */
      gather_unlink(g);
      for (lua_Integer i = 0; i < g->count; i++)
        asy_future_expect(g->children[i].fut);
      gather_let_go(L);
      return lua_error(L);
    }
    lua_pop(L, 1);
  }
  return gather_finish(L, asy_state(L), g);
}

/***
Run awaitables concurrently and wait for all of them.
@function gather
@param ... awaitables; or one list of them and a table of options: `return_exceptions` (boolean):
errors stand in the list of results instead of being raised. A future, task or coroutine object that
is given twice counts once, a function runs as often as it is given
@treturn table the first result of each, in the order given, and their number `n`
@waits yes
@cancel cancels all that are not done; CancelledError is raised when the first of them has ended by
it, with `return_exceptions` when all have ended
@raise argument error; the first error of a child (the others go on, and their errors are not
reported)
@usage local r = asyncio.gather(function() return 1 end, function() return 2 end); assert(r[1] +
r[2] == 3 and r.n == 2)
@see asyncio-task.html#asyncio.gather
*/
static int gather_gather(lua_State *L) {
  asy_State *S = asy_state(L);
  static const char *const names[] = {"return_exceptions", NULL};
  bool list = gather_is_list(L, S), keeps_errors = false;
  if (list) {
    asy_option_check(L, 2, names);
    keeps_errors = asy_option_boolean(L, 2, names[0], false);
    gather_check_end(L, 2);
  }
  lua_Integer n = list ? (lua_Integer)lua_rawlen(L, 1) : lua_gettop(L);
  asy_Wait *w = asy_wait_begin(L, S);
  if (!w) return gather_outside(L, S, list, n);
  asy_Gather *g = gather_new(L, S, w->loop, n, gather_run, 1); /* the results have a field n */
  g->keeps_errors = keeps_errors;
  gather_fill(L, g, list, n, true);
  lua_insert(L, 1);
  lua_settop(L, 1);
  for (lua_Integer i = 0; i < g->count;
       i++) /* no turn has run: what is not linked was done from the beginning */
    if (asy_list_is_empty(&g->children[i].entry.link)) gather_count(&g->children[i]);
  if (g->done || n == 0) return gather_finish(L, S, g);
  asy_list_append(&g->waiters, &w->link);
  return asy_wait_park(L, w, &gather_waiting, g, gather_k_gather);
}

/* ---- wait */

/* The timer of wait or as_completed is due. */
static void gather_due(lua_State *L, asy_Loop *loop, asy_Timer *timer) {
  (void)L;
  asy_ready_append(loop, &ASY_CONTAINER(timer, asy_Gather, timer)->expiry);
}

static void gather_run_wait(lua_State *L, asy_Loop *loop, asy_Ready *entry) {
  (void)L;
  (void)loop;
  gather_Child *child = gather_child(entry);
  asy_Gather *g = child->gather;
  bool enough = --g->left == 0 || g->when == WHEN_FIRST_COMPLETED ||
                (g->when == WHEN_FIRST_EXCEPTION && child->fut->state == ASY_FAILED);
  if (!enough) return;
  gather_stop_timer(g);
  gather_wake(g, false);
}

/* Arm the timeout, if there is one, and listen to every child. [-0, +0, m] */
static void gather_listen(lua_State *L, asy_Gather *g, const double *timeout) {
  if (timeout && g->count) {
    asy_timer_reserve(L, g->loop);
    asy_timer_start(g->loop, &g->timer, asy_timer_now(g->loop) + *timeout, gather_due);
  }
  for (lua_Integer i = 0; i < g->count; i++)
    asy_future_add(g->children[i].fut, &g->children[i].entry);
}

static const asy_WaitKind gather_wait_waiting = {"tasks (wait)", NULL, false};

static int gather_k_wait(lua_State *L, asy_Wait *w) {
  asy_Gather *g = w->on;
  asy_list_remove(&w->link);
  gather_unlink(g);
  if (asy_wait_failed(w)) return asy_wait_raise(L, w);
  lua_Integer n[2] = {0, 0};
  lua_newtable(L); /* 2: done, 3: pending */
  lua_newtable(L);
  lua_getiuservalue(L, 1, GATHER_FUTURES);
  for (lua_Integer i = 1; i <= g->places; i++) {
    lua_rawgeti(L, 4, i);
    int pending = !asy_future_is_done(lua_touserdata(L, -1));
    lua_rawseti(L, 2 + pending, ++n[pending]);
  }
  lua_settop(L, 3);
  gather_let_go(L);
  return 2;
}

/***
Wait until some or all of several awaitables are done. Nothing is cancelled, no error is raised.
@function wait
@tparam table list awaitables; functions and coroutine objects become tasks
@tparam[opt] table options `timeout` (seconds): return then, whatever is done; `return_when`:
`asyncio.FIRST_COMPLETED`, `asyncio.FIRST_EXCEPTION` or `asyncio.ALL_COMPLETED` (the default)
@treturn table the futures and tasks that are done, in the order given
@treturn table those that are pending
@waits yes
@cancel raises CancelledError; the awaitables go on
@raise argument error, also for an empty list
@usage local done, pending = asyncio.wait({function() end, function() asyncio.sleep(9) end},
{timeout = 0.01}) assert(#done == 1 and #pending == 1)
@see asyncio-task.html#asyncio.wait
*/
static int gather_wait(lua_State *L) {
  asy_State *S = asy_state(L);
  static const char *const names[] = {"timeout", "return_when", NULL};
  double timeout;
  lua_Integer n = gather_check_list(L, S);
  luaL_argcheck(L, n > 0, 1, "the list of awaitables is empty");
  asy_option_check(L, 2, names);
  bool limited = gather_opt_timeout(L, &timeout);
  int when = asy_option_choice(L, 2, names[1], gather_when_names);
  gather_check_end(L, 2);
  asy_Wait *w = asy_wait_begin(L, S);
  if (!w) return gather_outside(L, S, true, n);
  asy_Gather *g = gather_new(L, S, w->loop, n, gather_run_wait, 0);
  if (when > 0) g->when = (asy_When)when;
  gather_fill(L, g, true, n, false);
  lua_replace(L, 1);
  lua_settop(L, 1);
  gather_listen(L, g, limited ? &timeout : NULL);
  asy_list_append(&g->waiters, &w->link);
  return asy_wait_park(L, w, &gather_wait_waiting, g, gather_k_wait);
}

/* The timer's entry: the waiter of `wait` goes on; as_completed brings its own. */
static void gather_run_expiry(lua_State *L, asy_Loop *loop, asy_Ready *entry) {
  (void)L;
  (void)loop;
  gather_wake(ASY_CONTAINER(entry, asy_Gather, expiry), false);
}

/* ---- as_completed
 *
 * The record belongs to the iterator, a closure. What is done goes through a queue, `finished`, as
 * in CPython: a waiter that was woken looks again whether something is there, and one that is woken
 * and then cancelled wakes the next. */

static void gather_run_completed(lua_State *L, asy_Loop *loop, asy_Ready *entry) {
  (void)L;
  (void)loop;
  asy_Gather *g = gather_child(entry)->gather;
  if (g->left == 0) return; /* the timeout was faster */
  asy_list_append(&g->finished, &entry->link);
  if (--g->left == 0) gather_stop_timer(g);
  gather_wake(g, true);
}

/* The entry of as_completed's timer: everyone who asks for a child that is not done gets a
 * TimeoutError. */
static void gather_run_late(lua_State *L, asy_Loop *loop, asy_Ready *entry) {
  (void)L;
  (void)loop;
  asy_Gather *g = ASY_CONTAINER(entry, asy_Gather, expiry);
  g->expired = g->left;
  for (; g->left > 0; g->left--)
    gather_wake(g, true);
}

static const asy_WaitKind gather_next_waiting = {"the next completed task", NULL, false};

static int gather_k_next(lua_State *L, asy_Wait *w);

/* Return the next child that is done, raise a timeout, or wait. The record is at index 1. */
static int gather_take(lua_State *L, asy_State *S, asy_Gather *g, asy_Wait *w) {
  asy_Link *link = asy_list_take(&g->finished);
  if (link) {
    gather_Child *child = gather_child(ASY_CONTAINER(link, asy_Ready, link));
    gather_push_future(L, child - g->children + 1);
    return 1;
  }
  if (g->expired > 0) {
    g->expired--;
    return asy_error_raise(L, S, ASY_TIMEOUT_ERROR, NULL);
  }
  asy_list_append(&g->waiters, &w->link);
  return asy_wait_park(L, w, &gather_next_waiting, g, gather_k_next);
}

static int gather_k_next(lua_State *L, asy_Wait *w) {
  asy_Gather *g = w->on;
  asy_list_remove(&w->link);
  if (!asy_wait_failed(w)) return gather_take(L, asy_state(L), g, w);
  g->unasked++;
  if (w->state == ASY_WAIT_WOKEN && (g->expired > 0 || !asy_list_is_empty(&g->finished)))
    gather_wake(g, true);
  return asy_wait_raise(L, w);
}

/* The iterator; upvalue 2 is the record. Returns the next task that is done, nil after the last. */
static int gather_next(lua_State *L) {
  asy_State *S = asy_state(L);
  lua_settop(L, 0);
  lua_pushvalue(L, lua_upvalueindex(2));
  asy_Gather *g = lua_touserdata(L, 1);
  if (g->unasked == 0) {
    lua_pushnil(L);
    return 1;
  }
  asy_Wait *w = asy_wait_begin(L, S);
  if (!w) return asy_wait_outside(L, S);
  if (w->loop != g->loop)
    return luaL_error(L, "as_completed: its tasks belong to a different event loop");
  g->unasked--;
  return gather_take(L, S, g, w);
}

/***
Run awaitables concurrently and iterate over them as they finish.
@function as_completed
@tparam table list awaitables
@tparam[opt] table options `timeout` (seconds, from this call on): then the iterator raises
TimeoutError
@treturn function an iterator, which waits and returns the next task or future that is done;
functions and coroutine objects have become tasks
@waits no (the iterator does)
@raise argument error; the iterator: TimeoutError
@usage for task in asyncio.as_completed({function() return "x" end}) do assert(task:result() == "x")
end
@see asyncio-task.html#asyncio.as_completed
*/
static int gather_as_completed(lua_State *L) {
  asy_State *S = asy_state(L);
  static const char *const names[] = {"timeout", NULL};
  double timeout;
  lua_Integer n = gather_check_list(L, S);
  asy_option_check(L, 2, names);
  bool limited = gather_opt_timeout(L, &timeout);
  gather_check_end(L, 2);
  asy_Loop *loop = asy_loop_get(L, S);
  asy_loop_check_open(L, loop);
  asy_Gather *g = gather_new(L, S, loop, n, gather_run_completed, 0);
  asy_ready_init(&g->expiry, gather_run_late);
  gather_fill(L, g, true, n, false);
  g->unasked = g->count;
  gather_listen(L, g, limited ? &timeout : NULL);
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_insert(L, -2);
  lua_pushcclosure(L, gather_next, 2);
  return 1;
}

/* ---- wait_for, shield */

static void gather_run_one(lua_State *L, asy_Loop *loop, asy_Ready *entry) {
  (void)L;
  (void)loop;
  asy_Gather *g = gather_child(entry)->gather;
  g->done = true;
  gather_wake(g, false);
}

static const asy_WaitKind gather_cancelled_waiting = {"a cancelled task (wait_for)", NULL, false};
static const asy_WaitKind gather_shield_waiting = {"shielded task", NULL, false};

static int gather_k_wait_for(lua_State *L, asy_Wait *w) {
  asy_Gather *g = w->on;
  asy_list_remove(&w->link);
  gather_unlink(g);
  if (asy_wait_failed(w)) return asy_wait_raise(L, w);
  asy_Future *fut = gather_push_future(L, 1);
  gather_let_go(L);
  if (fut->state == ASY_CANCELLED) return asy_error_raise(L, asy_state(L), ASY_TIMEOUT_ERROR, NULL);
  return asy_future_push_results(L, -1, fut);
}

/* wait_for with no time left: what is not done is cancelled, and waited for. */
static int gather_no_time(lua_State *L, asy_State *S, asy_Wait *w) {
  asy_Future *fut = asy_task_ensure(L, w->loop, 1);
  lua_replace(L, 1);
  if (asy_future_is_done(fut)) return asy_future_push_results(L, 1, fut);
  lua_pushvalue(L, 1);
  asy_Gather *g = gather_one(L, S, fut, gather_run_one);
  lua_insert(L, 1);
  asy_future_cancel(L, 2, fut, 0);
  lua_settop(L, 1);
  asy_list_append(&g->waiters, &w->link);
  return asy_wait_park(L, w, &gather_cancelled_waiting, g, gather_k_wait_for);
}

/***
Wait for an awaitable, but not longer than a time.
@function wait_for
@param aw an awaitable. A function or coroutine object runs in the current task; if the time is 0 or
less it becomes a task, which is cancelled before it starts
@tparam[opt] number timeout seconds; nil: no limit
@return what it returns
@waits yes
@cancel cancels the awaitable; its CancelledError is raised
@raise argument error; TimeoutError when the awaitable was cancelled because its time was over; its
error
@usage assert(not pcall(asyncio.wait_for, function() asyncio.sleep(9) end, 0.01))
@see asyncio-task.html#asyncio.wait_for
*/
static int gather_wait_for(lua_State *L) {
  asy_State *S = asy_state(L);
  double timeout = 0;
  asy_coro_check(L, S, 1);
  bool limited = asy_opt_seconds(L, 2, &timeout);
  gather_check_end(L, 2);
  asy_Wait *w = asy_wait_begin(L, S);
  if (!w) return asy_wait_outside(L, S);
  lua_settop(L, 1);
  if (limited && timeout <= 0) return gather_no_time(L, S, w);
  double when = asy_timer_now(w->loop) + timeout;
  return asy_scope_run(L, S, 1, limited ? &when : NULL);
}

static int gather_k_shield(lua_State *L, asy_Wait *w) {
  asy_State *S = asy_state(L);
  asy_Gather *g = w->on;
  asy_list_remove(&w->link);
  gather_unlink(g);
  asy_Future *fut = gather_push_future(L, 1);
  gather_let_go(L);
  bool first = w->state == ASY_WAIT_WOKEN; /* the end of the awaitable came before a cancellation */
  bool inner_cancelled = first && fut->state == ASY_CANCELLED;
  if (asy_wait_failed(w)) {
    if (!inner_cancelled) return asy_wait_raise(L, w);
    asy_wait_push_error(
        L, w); /* delivered as the error of the shield, which is a CancelledError, too */
  }
  if (inner_cancelled) return asy_error_raise(L, S, ASY_CANCELLED_ERROR, NULL);
  return asy_future_push_results(L, 2, fut);
}

/***
Wait for an awaitable without passing a cancellation on to it.
@function shield
@param aw an awaitable; a function or coroutine object becomes a task
@return what it returns
@waits yes
@cancel raises CancelledError; the awaitable goes on, and if it fails later and nobody looks, its
error is reported
@raise argument error; the error of the awaitable; a CancelledError without message if it is
cancelled
@usage assert(asyncio.shield(function() return "done" end) == "done")
@see asyncio-task.html#asyncio.shield
*/
static int gather_shield(lua_State *L) {
  asy_State *S = asy_state(L);
  asy_coro_check(L, S, 1);
  gather_check_end(L, 1);
  asy_Wait *w = asy_wait_begin(L, S);
  if (!w) return asy_wait_outside(L, S);
  asy_Future *fut = asy_task_ensure(L, w->loop, 1);
  lua_replace(L, 1);
  if (asy_future_is_done(fut)) return asy_future_push_results(L, 1, fut);
  asy_Gather *g = gather_one(L, S, fut, gather_run_one);
  asy_list_append(&g->waiters, &w->link);
  return asy_wait_park(L, w, &gather_shield_waiting, g, gather_k_shield);
}

void asy_gather_open(lua_State *L, asy_State *S) {
  static const luaL_Reg methods[] = {{"__gc", gather_gc}, {NULL, NULL}};
  static const luaL_Reg functions[] = {{"gather", gather_gather},
                                       {"wait", gather_wait},
                                       {"as_completed", gather_as_completed},
                                       {"wait_for", gather_wait_for},
                                       {"shield", gather_shield},
                                       {NULL, NULL}};
  asy_type_new(L, S, ASY_SLOT_GATHER, "asyncio.gather", methods);
  asy_add_functions(L, S, functions);
  for (int i = 0; i < 3; i++) {
    lua_pushstring(L, gather_when_names[i]);
    lua_setfield(L, -2, gather_when_names[i]);
  }
}
