/* SPDX-License-Identifier: MIT */
/* wait.c - suspending, waking and resuming: the only lua_yieldk and lua_resume of the library. The
 * contract is in wait.h.
 *
 * Invariants. A record in state PARKED is on at least one list or in the heap (what will wake it),
 * and its thread is suspended in asy_wait_park. In state WOKEN, CANCELLED or YIELDED its entry is
 * in the ready queue. A coroutine through which a task waits has the sentinel on top of its stack
 * until it is resumed; the task's own thread yields nothing. */
#include "wait.h"

#include <string.h>

#include "error.h"
#include "name.h"

/* What a waiting thread yields; only its address counts. */
static const char wait_sentinel = 0;

static void wait_push_sentinel(lua_State *L) {
  lua_pushlightuserdata(L, (void *)&wait_sentinel);
}

bool asy_wait_passes(lua_State *co) {
  return lua_status(co) == LUA_YIELD && lua_gettop(co) > 0 &&
         lua_touserdata(co, -1) == (const void *)&wait_sentinel;
}

void asy_wait_init(asy_Wait *w, asy_Loop *loop, lua_State *co, int top) {
  asy_ready_init(&w->entry, asy_wait_run);
  asy_list_init(&w->link);
  w->loop = loop;
  w->co = co;
  w->top = top;
}

/* ---- the base frame */

/* Lua 5.4.3 keeps the status of a thread that is being closed, and marks the caller of a finalizer
 * instead of the finalizer; the collector is stopped in one. */
#define WAIT_IS_543 (LUA_VERSION_NUM == 504 && LUA_VERSION_RELEASE_NUM < 50404)

/* The lowest level of a thread's stack; -1 if it is empty. Asking for a level takes time with its
 * number. */
static int wait_lowest_level(lua_State *co) {
  lua_Debug ar;
  int above = -1, below = 0; /* a level that there is, one that there is not */
  while (lua_getstack(co, below, &ar)) {
    above = below;
    below = below * 2 + 1;
  }
  while (below - above > 1) {
    int middle = (above + below) / 2;
    if (lua_getstack(co, middle, &ar))
      above = middle;
    else
      below = middle;
  }
  return above;
}

/* Fill `ar` for the base frame of a task that has started. False if it is not where it was: the
 * thread was closed, by hand or by its loop. Needs a free slot on w->co. */
static bool wait_get_base(asy_Wait *w, lua_Debug *ar) {
  const asy_State *S = w->loop->S;
  lua_State *co = w->co;
  if (!w->base) {
    if (!lua_getstack(co, wait_lowest_level(co), ar)) return false;
    w->base = ar->i_ci;
  }
  if (S->waiter != w && (WAIT_IS_543 || lua_status(co) != LUA_YIELD)) {
    if (!lua_getstack(co, 0, ar)) return false;
    ar->i_ci =
        w->base; /* in a thread that is being closed this is the frame of a __close handler */
    lua_getinfo(co, "f", ar);
    bool same = lua_tocfunction(co, -1) == S->base;
    lua_pop(co, 1);
    if (!same) return false;
  }
  memset(ar, 0, sizeof *ar);
  ar->i_ci = w->base;
  return true;
}

/* May a slot of its base frame be asked for? If it has started, `ar` is filled. */
static bool wait_has_slots(asy_Wait *w, lua_Debug *ar) {
  lua_State *co = w->co;
  if (!co || !lua_checkstack(co, 2)) return false;
  return w->started ? wait_get_base(w, ar) : lua_gettop(co) > ASY_BASE_FUNCTION;
}

void asy_wait_push_slot(lua_State *L, asy_Wait *w, int slot) {
  lua_Debug ar;
  lua_State *co = w->co;
  if (!wait_has_slots(w, &ar)) {
    lua_pushnil(L);
    return;
  }
  if (w->started) {
    if (!lua_getlocal(co, &ar, slot)) lua_pushnil(co);
  } else {
    lua_pushvalue(co, slot + 1); /* not started: the base function is at 1, its arguments follow */
  }
  if (co != L) lua_xmove(co, L, 1);
}

void asy_wait_set_slot(lua_State *L, asy_Wait *w, int slot) {
  lua_Debug ar;
  lua_State *co = w->co;
  if (!wait_has_slots(w, &ar)) {
    lua_pop(L, 1);
    return;
  }
  if (co != L) lua_xmove(L, co, 1);
  if (w->started) {
    if (!lua_setlocal(co, &ar, slot)) lua_pop(co, 1);
  } else {
    lua_replace(co, slot + 1);
  }
}

static void wait_set_slot_from(lua_State *L, asy_Wait *w, int slot, int idx) {
  if (idx)
    lua_pushvalue(L, idx);
  else
    lua_pushnil(L);
  asy_wait_set_slot(L, w, slot);
}

/* ---- a bare coroutine.yield() that is cancelled
 *
 * Lua can raise where a coroutine yielded only if the C function that yielded left a continuation;
 * coroutine.yield leaves none. A count hook that fires at the next instruction can. */

static void wait_restore_hook(asy_Wait *w) {
  if (!w->hooked) return;
  w->hooked = false;
  lua_sethook(w->co, w->u.hook.function, w->u.hook.mask, w->u.hook.count);
}

static void wait_raise_in_hook(lua_State *L, lua_Debug *ar) {
  (void)ar;
  asy_State *S = asy_state_from_registry(L);
  asy_Wait *w = S->waiter;
  if (!w || w->co != L) {
    lua_sethook(L, NULL, 0, 0);
    return;
  }
  wait_restore_hook(w);
  bool bad = w->bad_yield;
  w->bad_yield = false;
  if (w->must_cancel) asy_wait_raise(L, w);
  if (bad) luaL_error(L, ASY_BAD_YIELD);
}

static void wait_set_hook(asy_Wait *w) {
  w->u.hook.function = lua_gethook(w->co);
  w->u.hook.mask = lua_gethookmask(w->co);
  w->u.hook.count = lua_gethookcount(w->co);
  w->hooked = true;
  lua_sethook(w->co, wait_raise_in_hook, LUA_MASKCOUNT, 1);
}

/* ---- waking and cancelling */

static void wait_queue(asy_Wait *w) {
  w->entry.run = asy_wait_run;
  asy_list_remove(&w->entry.link);
  asy_ready_append(w->loop, &w->entry);
}

bool asy_wait_wake(asy_Wait *w) {
  if (w->state != ASY_WAIT_PARKED) return false;
  w->state = ASY_WAIT_WOKEN;
  wait_queue(w);
  return true;
}

void asy_wait_wake_all(asy_List *list, int status) {
  for (asy_Link *link = asy_list_first(list); link; link = asy_list_next(list, link)) {
    asy_Wait *w = ASY_CONTAINER(link, asy_Wait, link);
    if (asy_wait_wake(w)) w->status = status;
  }
}

void asy_wait_due(lua_State *L, asy_Loop *loop, asy_Timer *timer) {
  (void)L;
  (void)loop;
  asy_wait_wake(ASY_CONTAINER(timer, asy_Wait, u.timer));
}

bool asy_wait_cancel(lua_State *L, asy_Wait *w, int msg) {
  if (w->state != ASY_WAIT_PARKED) return false;
  wait_set_slot_from(L, w, ASY_BASE_MESSAGE, msg);
  w->thrown = false;
  w->state = ASY_WAIT_CANCELLED;
  asy_timer_stop(w->loop, &w->u.timer);
  wait_queue(w);
  return true;
}

void asy_wait_throw(lua_State *L, asy_Wait *w) {
  asy_wait_cancel(L, w, lua_gettop(L));
  w->thrown = true;
  lua_pop(L, 1);
}

void asy_wait_drop(asy_Wait *w) {
  asy_list_remove(&w->entry.link);
  asy_list_remove(&w->link);
  if (w->state == ASY_WAIT_YIELDED || w->hooked)
    wait_restore_hook(w);
  else if (w->state != ASY_WAIT_NONE)
    asy_timer_stop(w->loop, &w->u.timer);
  w->state = ASY_WAIT_NONE;
  w->kind = NULL;
  w->armed = false;
}

void asy_wait_push_error(lua_State *L, asy_Wait *w) {
  bool cancelled =
      w->state == ASY_WAIT_CANCELLED; /* its own error comes before that of a later request */
  asy_wait_push_slot(L, w, cancelled ? ASY_BASE_MESSAGE : ASY_BASE_MUST);
  if (cancelled && w->thrown)
    w->thrown = false;
  else
    asy_error_wrap(L, w->loop->S,
                   ASY_CANCELLED_ERROR); /* if this raises, the cancellation is still due */
  w->must_cancel = false;
}

int asy_wait_raise(lua_State *L, asy_Wait *w) {
  asy_wait_note_cancel(L, w);
  asy_wait_push_error(L, w);
  return lua_error(L);
}

/* ---- what a task waits for stays alive */

static void wait_push_task(lua_State *L, asy_Wait *w) {
  lua_rawgeti(w->loop->shelf, ASY_LOOP_TASKS, w->slot);
  lua_xmove(w->loop->shelf, L, 1);
}

void asy_wait_note_cancel(lua_State *L, asy_Wait *w) {
  if (!w->loop->debug) return;
  luaL_checkstack(L, LUA_MINSTACK, NULL);
  wait_push_task(L, w);
  luaL_traceback(L, L, NULL, 0);
  asy_extra_set(L, w->loop->S, -2, "cancelled");
  lua_pop(L, 1);
}

const void *asy_wait_owner(asy_Wait *w) {
  lua_rawgeti(w->loop->shelf, ASY_LOOP_TASKS, w->slot);
  const void *task = lua_touserdata(w->loop->shelf, -1);
  lua_pop(w->loop->shelf, 1);
  return task;
}

/* What ASY_WAIT_KEPT holds, as a table. */
enum { WAIT_OBJECT = 1, WAIT_COROUTINE };

/* Pop a value into ASY_WAIT_KEPT. Only with a table can it be a WAIT_COROUTINE. [-1, +0, -] */
static void wait_set_kept(lua_State *L, asy_Wait *w, int which) {
  wait_push_task(L, w);
  lua_insert(L, -2);
  if (ASY_UNLIKELY(w->paired)) {
    lua_getiuservalue(L, -2, ASY_WAIT_KEPT);
    lua_insert(L, -2);
    lua_rawseti(L, -2, which);
    lua_pop(L, 1);
  } else {
    lua_setiuservalue(L, -2, ASY_WAIT_KEPT);
  }
  lua_pop(L, 1);
}

void asy_wait_prepare(lua_State *L) {
  asy_Wait *w = asy_state(L)->waiter;
  if (!w || w->paired) return;
  luaL_checkstack(L, 4, NULL);
  lua_createtable(L, WAIT_COROUTINE, 0);
  asy_wait_push_kept(L, w);
  lua_rawseti(L, -2, WAIT_OBJECT);
  wait_set_kept(L, w, WAIT_OBJECT);
  w->paired = true;
}

/* Keep the userdata `on` alive in the Task: the thread's own stack would lose it in
 * coroutine.close. */
static void wait_keep(lua_State *L, asy_Wait *w, const void *on) {
  int i = 1;
  while (i <= w->top && lua_touserdata(L, i) != on)
    i++;
  if (i > w->top) return;
  lua_pushvalue(L, i);
  wait_set_kept(L, w, WAIT_OBJECT);
  w->kept = on;
}

static void wait_let_go(lua_State *L, asy_Wait *w) {
  lua_pushnil(L);
  wait_set_kept(L, w, WAIT_OBJECT);
  w->kept = NULL;
}

void asy_wait_end(asy_Wait *w) {
  w->kept = NULL;
  w->inner = w->paired = false;
}

void asy_wait_push_kept(lua_State *L, asy_Wait *w) {
  wait_push_task(L, w);
  lua_getiuservalue(L, -1, ASY_WAIT_KEPT);
  lua_replace(L, -2);
  if (!w->paired) return;
  lua_rawgeti(L, -1, WAIT_OBJECT);
  lua_replace(L, -2);
}

/* After a wait in an inner coroutine, or one that was resumed by hand meanwhile: the stack becomes
 * what it was at the park, and the coroutine is let go. */
static void wait_clean_up(lua_State *L, asy_Wait *w) {
  lua_settop(L, w->top);
  w->refused = false;
  if (!w->inner) return;
  lua_pushnil(L);
  wait_set_kept(L, w, WAIT_COROUTINE);
  w->inner = false;
}

/* ---- parking */

/* A continuation that the loop did not ask for: the thread was resumed by hand. It stays suspended,
 * with what the resumer has passed on its stack. */
static int wait_refuse(lua_State *L, lua_KContext ctx, lua_KFunction k) {
  luaL_checkstack(L, 2, NULL);
  lua_pushnil(L);
  lua_pushliteral(L, "cannot resume by hand: it waits in an asyncio task");
  return lua_yieldk(L, 2, ctx, k);
}

static int wait_k(lua_State *L, int status, lua_KContext ctx) {
  (void)status;
  asy_Wait *w = (asy_Wait *)ctx;
  if (!w->armed || w->parked != L) {
    if (w->parked != L || w->state == ASY_WAIT_NONE)
      return luaL_error(L, "the task that waited here has ended");
    w->refused = true;
    return wait_refuse(L, ctx, wait_k);
  }
  w->armed = false;
  if (ASY_UNLIKELY(w->refused || w->inner)) wait_clean_up(L, w);
  if (w->kept && !w->kind->sticky) wait_let_go(L, w);
  w->kind = NULL;
  return w->k(L, w);
}

/* An inner coroutine and the record point to each other, and the user may lose or close either
 * first: each keeps the other. Leaves the Task on the coroutine's stack. */
static void wait_keep_inner(lua_State *L, asy_Wait *w) {
  wait_push_task(L, w);
  lua_pushthread(L);
  wait_set_kept(L, w, WAIT_COROUTINE);
  w->inner = true;
}

/* Set up the record; returns how many values are to be yielded. */
static int wait_park(lua_State *L, asy_Wait *w, const asy_WaitKind *kind, void *on, asy_Cont *k) {
  w->top = lua_gettop(L);
  w->kind = kind;
  w->on = on;
  w->k = k;
  w->parked = L;
  w->parks++;
  w->status = 0;
  w->state = ASY_WAIT_PARKED;
  w->parking = true;
  if (on && on != w->kept) wait_keep(L, w, on);
  if (L == w->co) return 0;
  wait_keep_inner(L, w);
  wait_push_sentinel(L);
  return 1;
}

int asy_wait_park(lua_State *L, asy_Wait *w, const asy_WaitKind *kind, void *on, asy_Cont *k) {
  return lua_yieldk(L, wait_park(L, w, kind, on, k), (lua_KContext)w, wait_k);
}

int asy_wait_park_ready(lua_State *L, asy_Wait *w, const asy_WaitKind *kind, asy_Cont *k) {
  int n = wait_park(L, w, kind, NULL, k);
  w->state = ASY_WAIT_WOKEN;
  w->entry.run = asy_wait_run;
  asy_ready_append(w->loop, &w->entry);
  return lua_yieldk(L, n, (lua_KContext)w, wait_k);
}

/* ---- the step of a task */

int asy_wait_guard(lua_State *L) {
  return luaL_error(L, "cannot resume a task by hand");
}

void asy_wait_add_guard(asy_Wait *w) {
  if (w->started || w->guarded || !lua_checkstack(w->co, 1)) return;
  lua_pushcfunction(w->co, asy_wait_guard);
  w->guarded = true;
}

/* Ready for the first step: take the guard away. False if the thread was closed by hand, which
 * nobody can have done who was not given it. */
static bool wait_begin_first(asy_Wait *w) {
  if (w->guarded) {
    if (lua_status(w->co) != LUA_OK || lua_gettop(w->co) <= ASY_BASE_FUNCTION) return false;
    lua_pop(w->co, 1);
    w->guarded = false;
  }
  w->started = true;
  return true;
}

/* The thread was closed by hand: there is nothing to resume. */
static asy_Step wait_step_closed(asy_Wait *w) {
  asy_wait_drop(w);
  lua_settop(w->co, 0);
  lua_pushliteral(w->co, "the task's coroutine was closed by hand");
  return ASY_STEP_DEAD;
}

void asy_wait_yielded(asy_Wait *w, bool bad) {
  w->state = ASY_WAIT_YIELDED;
  w->parked = w->co;
  w->parks++;
  w->bad_yield = bad;
  wait_queue(w);
}

static ASY_INLINE asy_Step wait_step(lua_State *L, asy_State *S, asy_Wait *w) {
  lua_State *co = w->co;
  asy_Wait *waiter = S->waiter;
  lua_State *innermost = S->innermost;
  asy_Loop *callback = S->callback;
  int count, nargs = w->started ? 0 : w->top;
  if (ASY_UNLIKELY(w->started ? lua_status(co) != LUA_YIELD : !wait_begin_first(w)))
    return wait_step_closed(w);
  if (w->state == ASY_WAIT_YIELDED) {
    w->state = ASY_WAIT_NONE;
    if (w->must_cancel || w->bad_yield) wait_set_hook(w);
  } else if (w->state != ASY_WAIT_NONE) {
    w->armed = true;
    if (w->parked != co && asy_wait_passes(co)) lua_pop(co, 1);
  }
  S->waiter = w;
  S->innermost = co;
  S->callback = NULL;
  int status = lua_resume(co, L, nargs, &count);
  S->waiter = waiter;
  S->innermost = innermost;
  S->callback = callback;
  if (ASY_UNLIKELY(w->hooked)) wait_restore_hook(w);
  if (status == LUA_OK) return ASY_STEP_ENDED;
  if (status != LUA_YIELD) return ASY_STEP_DEAD;
  bool waits = w->parking && (w->parked == co || asy_wait_passes(co));
  w->parking = false;
  if (waits) return ASY_STEP_WAITS; /* a sentinel stays, to be seen by asy_wait_passes */
  lua_pop(co, count);
  return count == 0 ? ASY_STEP_YIELDED : ASY_STEP_BAD;
}

static ASY_INLINE void wait_run(lua_State *L, asy_State *S, asy_Wait *w) {
  asy_Step how = ASY_STEP_UNSTARTED;
  if (w->state == ASY_WAIT_PARKED)
    w->state = ASY_WAIT_WOKEN; /* queued by the future that it awaits */
  if (w->started || !w->must_cancel) how = wait_step(L, S, w);
  if (how == ASY_STEP_WAITS) {
    if (ASY_UNLIKELY(w->parks == w->limit) && !S->overdue(L, w)) return; /* it is closed */
    if (!w->must_cancel) return;
  }
  S->stepped(L, w, how);
}

void asy_wait_run(lua_State *L, asy_Loop *loop, asy_Ready *entry) {
  wait_run(L, loop->S, ASY_CONTAINER(entry, asy_Wait, entry));
}

void asy_wait_run_turn(lua_State *L, asy_Loop *loop) {
  asy_State *S = loop->S;
  asy_Link *link;
  while ((link = asy_list_take(&loop->ready)) != NULL && link != &loop->marker) {
    asy_Ready *entry = ASY_CONTAINER(link, asy_Ready, link);
    loop->run_since_poll++;
    if (entry->run == asy_wait_run)
      wait_run(L, S, ASY_CONTAINER(entry, asy_Wait, entry));
    else
      entry->run(L, loop, entry);
    if (ASY_UNLIKELY(loop->interrupted)) break;
  }
}

/* ---- waits that pass through inner coroutines */

static int wait_pass_k(lua_State *L, int status, lua_KContext ctx);

static int wait_pass(lua_State *L, asy_State *S, lua_State *co, int nargs, asy_PassCont *k) {
  lua_State *outer = S->innermost, *blocked = S->blocked;
  int count;
  S->innermost = outer == L && lua_isyieldable(L) ? co : NULL;
  if (outer == L && !S->innermost) S->blocked = L;
  int status = lua_resume(co, L, nargs, &count);
  S->innermost = outer;
  S->blocked = blocked;
  if (status == LUA_YIELD && S->waiter && S->waiter->parking && asy_wait_passes(co)) {
    wait_push_sentinel(L);
    return lua_yieldk(L, 1, (lua_KContext)k, wait_pass_k);
  }
  return k(L, co, status, count);
}

static int wait_pass_k(lua_State *L, int status, lua_KContext ctx) {
  (void)status;
  asy_State *S = asy_state(L);
  asy_Wait *w = S->waiter;
  lua_State *co = lua_tothread(L, 1);
  if (!w || !w->armed || S->innermost != L) return wait_refuse(L, ctx, wait_pass_k);
  lua_settop(L, 1);
  if (lua_status(co) != LUA_YIELD) {
    asy_wait_drop(w);
    return luaL_error(L, "a coroutine through which the task waited was closed by hand");
  }
  if (asy_wait_passes(co)) lua_pop(co, 1);
  return wait_pass(L, S, co, 0, (asy_PassCont *)ctx);
}

int asy_wait_resume(lua_State *L, int nargs, asy_PassCont *k) {
  return wait_pass(L, asy_state(L), lua_tothread(L, 1), nargs, k);
}

/* ---- is an error on its way? */

/* The slot of the called function in the frame of a function that calls protected, or 0. */
static int wait_protected_place(const asy_State *S, lua_CFunction f) {
  for (size_t i = 0; f && i < sizeof S->protectors / sizeof *S->protectors; i++)
    if (S->protectors[i].f == f) return S->protectors[i].place;
  return 0;
}

/* While an error unwinds to a protected call, __close handlers are called from the frame of that
 * call, with the place of its function among its temporary values; as long as the function itself
 * runs, that place belongs to the function's own frame. */
static bool wait_frame_unwinds(lua_State *co, lua_Debug *ar, const asy_State *S) {
  lua_getinfo(co, "f", ar);
  int place = wait_protected_place(S, lua_tocfunction(co, -1));
  lua_pop(co, 1);
  if (!place || !lua_getlocal(co, ar, place)) return false;
  lua_pop(co, 1);
  return true;
}

static bool wait_thread_unwinds(lua_State *co, const asy_State *S) {
  lua_Debug ar;
  if (!lua_checkstack(co, 3)) return true;
  for (int level = 0; lua_getstack(co, level, &ar); level++)
    if (wait_frame_unwinds(co, &ar, S)) return true;
  return false;
}

bool asy_wait_unwinds(const asy_Wait *w) {
  const asy_State *S = w->loop->S;
  if (!w->co) return false;
  return wait_thread_unwinds(w->co, S) ||
         (w->parked && w->parked != w->co && wait_thread_unwinds(w->parked, S));
}

/* ---- where waiting is forbidden */

/* Push on L the function at a level of a thread that does not run now, or of L itself; NULL when
 * there is no such level. */
static const char *wait_push_function(lua_State *L, lua_State *co, int level, lua_Debug *ar) {
  if (!lua_checkstack(co, 2) || !lua_getstack(co, level, ar)) return NULL;
  lua_getinfo(co, "Snf", ar);
  if (co != L) lua_xmove(co, L, 1);
  return ar->what;
}

/* The level at which a message handler runs, or -1: a function that an xpcall further down has in
 * its frame as handler. */
static int wait_handler_level(lua_State *L, lua_State *co, const asy_State *S) {
  lua_Debug ar, inner;
  int top = lua_gettop(L), found = -1;
  for (int level = 0; found < 0 && wait_push_function(L, co, level, &ar); level++) {
    bool is_xpcall = wait_protected_place(S, lua_tocfunction(L, -1)) == ASY_PLACE_IN_XPCALL;
    lua_settop(L, top);
    if (!is_xpcall || !lua_getlocal(co, &ar, 2)) continue;
    if (co != L) lua_xmove(co, L, 1);
    for (int i = 0; found < 0 && i < level && wait_push_function(L, co, i, &inner); i++) {
      if (lua_rawequal(L, -1, top + 1)) found = i;
      lua_settop(L, top + 1);
    }
    lua_settop(L, top);
  }
  return found;
}

/* Does a wait pass through the C function at index idx, which is called so? */
static bool wait_may_pass(lua_State *L, const asy_State *S, int idx, const char *name,
                          const lua_Debug *ar) {
  static const char *const functions[] = {"dofile", "await", "timeout", "timeout_at", "TaskGroup"};
  static const char *const methods[] = {"with", "wait_for"};
  if (wait_protected_place(S, lua_tocfunction(L, idx))) return true;
  const char *last = name ? strrchr(name, '.') : NULL;
  last = last ? last + 1 : name;
  bool ours = name && (last == name || strncmp(name, "asyncio.", 8) == 0);
  for (size_t i = 0; ours && i < sizeof functions / sizeof *functions; i++)
    if (strcmp(last, functions[i]) == 0) return true;
  for (size_t i = 0; strcmp(ar->namewhat, "method") == 0 && i < sizeof methods / sizeof *methods;
       i++)
    if (strcmp(ar->name, methods[i]) == 0) return true;
  return false;
}

/* Push what to call the C function on top of the stack (popped), which forbids a wait. */
static void wait_push_culprit_name(lua_State *L, const char *name, const lua_Debug *ar) {
  if (name)
    lua_pushfstring(L, "'%s'", name);
  else if (strcmp(ar->namewhat, "for iterator") == 0)
    lua_pushliteral(L, "a C iterator (ipairs)");
  else
    lua_pushfstring(L, "a C function (%s)", ar->name ? ar->name : "?");
}

/* Is the frame that of a finalizer which the collector called? */
static bool wait_is_finalizer(const lua_Debug *ar) {
  return strcmp(ar->namewhat, "metamethod") == 0 && strcmp(ar->name, "__gc") == 0;
}

bool asy_wait_is_finalizer(lua_State *L) {
  lua_Debug ar;
  if (!WAIT_IS_543)
    return lua_getstack(L, 0, &ar) && lua_getinfo(L, "n", &ar) && wait_is_finalizer(&ar);
  if (!lua_getstack(L, 1, &ar)) return lua_gc(L, LUA_GCISRUNNING) == 0; /* no caller to be marked */
  return lua_getinfo(L, "n", &ar) && wait_is_finalizer(&ar);
}

/* Push the description of what forbids a wait in thread co: the nearest function that cannot be
 * suspended. */
static void wait_push_culprit(lua_State *L, const asy_State *S, lua_State *co) {
  lua_Debug ar;
  int top = lua_gettop(L), handler = wait_handler_level(L, co, S);
  for (int level = 0; wait_push_function(L, co, level, &ar); level++, lua_settop(L, top)) {
    if (strcmp(ar.namewhat, "hook") == 0) {
      lua_pushliteral(L, "a debug hook");
    } else if (wait_is_finalizer(&ar)) {
      lua_pushliteral(L, "a finalizer (__gc)");
    } else if (level == handler) {
      break;
    } else {
      if (level == 0 || *ar.what != 'C')
        continue; /* 0: the waiting function, or the one that resumes L */
      const char *name = asy_name_global(L, top + 1);
      if (wait_may_pass(L, S, top + 1, name, &ar)) continue;
      wait_push_culprit_name(L, name, &ar);
    }
    lua_replace(L, top + 1);
    lua_settop(L, top + 1);
    return;
  }
  lua_settop(L, top);
  lua_pushliteral(L, "a message handler (xpcall)");
}

/* Is the lowest frame of the main thread that of a finalizer? In 5.4.3 there is no caller to be
 * marked: it is taken for one if it is a Lua function but no chunk, and the collector is stopped.
 */
static bool wait_is_finalizer_lowest(const asy_State *S) {
  lua_Debug ar;
  if (!lua_getstack(S->main, wait_lowest_level(S->main), &ar)) return false;
  lua_getinfo(S->main, "nS", &ar);
  if (!WAIT_IS_543) return wait_is_finalizer(&ar);
  return strcmp(ar.what, "Lua") == 0 && lua_gc(S->main, LUA_GCISRUNNING) == 0;
}

bool asy_wait_in_finalizer(lua_State *L, const asy_State *S) {
  lua_Debug ar;
  if (WAIT_IS_543 && L == S->main && wait_is_finalizer_lowest(S)) return true;
  for (int level = 0; lua_getstack(L, level, &ar); level++) {
    lua_getinfo(L, "n", &ar);
    if (wait_is_finalizer(&ar)) return true;
  }
  return false;
}

bool asy_wait_state_closes(asy_State *S) {
  if (S->closing || S->running) return S->closing;
  return wait_is_finalizer_lowest(S);
}

int asy_wait_outside(lua_State *L, asy_State *S) {
  luaL_checkstack(L, LUA_MINSTACK, NULL);
  if (S->forbidden) return luaL_error(L, "cannot wait %s", S->forbidden);
  if (!S->waiter) {
    if (!S->running && !asy_wait_in_finalizer(L, S) && !asy_wait_state_closes(S))
      return S->toplevel(L);
    if (!S->running) return luaL_error(L, "cannot wait inside a finalizer (__gc)");
    return luaL_error(
        L, "cannot wait in a callback of the loop (call_soon, call_later, a done callback): "
           "start a task with asyncio.create_task");
  }
  bool is_main = lua_pushthread(L);
  if (L == S->innermost || is_main || (!S->innermost && S->blocked)) {
    wait_push_culprit(L, S, L == S->innermost || is_main ? L : S->blocked);
    return luaL_error(
        L, "cannot wait inside %s: Lua cannot suspend it; wait before or after it, or start a task",
        lua_tostring(L, -1));
  }
  return luaL_error(
      L, "cannot wait in a coroutine that was not made for it: make it with asyncio.wrap, "
         "or call asyncio.patch() before it is created");
}
