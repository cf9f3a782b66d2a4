/* SPDX-License-Identifier: MIT */
/* loop.c - the event loop: one turn, and the drivers that call it.
 *
 * What libuv can see of a loop (the backend) comes from malloc and outlives the Lua state if it
 * must: on a host's uv_loop_t lua_close only asks libuv to close the handles, and the last close
 * callback frees the record. With the loop's own uv_loop_t the turn runs after uv_run has returned,
 * so that no Lua code ever runs inside a libuv callback; on a host's uv_loop_t it is loop_on_turn,
 * a check callback, the only libuv callback that enters Lua. */
#include "loop.h"

#include <math.h>
#include <string.h>

#include "deadlock.h"
#include "error.h"
#include "inbox.h"
#include "interrupt.h"
#include "name.h"
#include "pin.h"
#include "sys.h"

/* While something is ready the poll is left out until so many entries have run, or so much time has
 * passed (at the next tick of the system's coarse clock: reading the fine one each turn would cost
 * more than the turn of a small program). */
#define LOOP_POLL_ENTRIES 256
#define LOOP_POLL_NANOSECONDS 1000000u

/* The longest that one poll sleeps, in seconds: a day, as in asyncio. */
#define LOOP_LONGEST_SLEEP 86400.0

struct asy_Backend {
  uv_loop_t own;
  uv_loop_t *uv;    /* &own, or the host's */
  uv_async_t async; /* ends a poll: a signal, another thread */
  uv_timer_t timer; /* the first timer of the heap */
  uv_check_t check; /* on a host's loop: runs the turn after its poll */
  uv_idle_t idle; /* on a host's loop: active while something is ready or due, so that its poll does
                     not sleep */
  int open;       /* handles that are not closed yet */
  asy_Loop *loop; /* NULL once the Lua side is gone */
  lua_State *L;   /* on a host's loop: the thread on which its turns run */
};

uv_loop_t *asy_loop_uv(asy_Loop *loop) {
  return loop->backend->uv;
}

/* ---- the turn */

/* [1] = what ran, [2] = seconds */
static int loop_print_slow(lua_State *L) {
  const char *what = luaL_tolstring(L, 1, NULL);
  lua_writestringerror("asyncio: %s", what);
  lua_writestringerror(" took %.3f seconds\n", lua_tonumber(L, 2));
  return 0;
}

/* Push the task or handle to which an entry belongs that is about to run. */
static void loop_push_entry(lua_State *L, asy_Loop *loop, asy_Ready *entry) {
  if (entry->run == asy_wait_run) {
    asy_task_push(L, ASY_TASK_OF_WAIT(ASY_CONTAINER(entry, asy_Wait, entry)));
  } else if (entry->run == asy_handle_run) {
    asy_shelf_push(L, loop->shelf, ASY_LOOP_RING);
    lua_getiuservalue(L, -1, ASY_HANDLE_NEXT); /* the oldest one */
    lua_remove(L, -2);
  } else {
    lua_pushliteral(L, "a callback");
  }
}

/* Debug mode: say what has kept the loop busy for too long. */
static void loop_run_timed(lua_State *L, asy_Loop *loop, asy_Ready *entry) {
  if (!lua_checkstack(L, LUA_MINSTACK + 4)) {
    entry->run(L, loop, entry);
    return;
  }
  loop_push_entry(L, loop, entry);
  uint64_t begun = uv_hrtime();
  entry->run(L, loop, entry);
  double seconds = (double)(uv_hrtime() - begun) / 1e9;
  if (seconds >= loop->slow_callback) {
    lua_pushcfunction(L, loop_print_slow);
    lua_pushvalue(L, -2);
    lua_pushnumber(L, seconds);
    if (lua_pcall(L, 2, 0, 0) != LUA_OK) lua_pop(L, 1);
  }
  lua_pop(L, 1);
}

/* As asy_wait_run_turn, for a host, or in debug mode. With a deadline (of uv_hrtime; 0: none) it
 * may stop in between. */
static void loop_run_turn(lua_State *L, asy_Loop *loop, uint64_t deadline) {
  asy_Link *link;
  while ((link = asy_list_take(&loop->ready)) != NULL && link != &loop->marker) {
    asy_Ready *entry = ASY_CONTAINER(link, asy_Ready, link);
    loop->run_since_poll++;
    if (loop->debug)
      loop_run_timed(L, loop, entry);
    else
      entry->run(L, loop, entry);
    if (loop->interrupted || (deadline && uv_hrtime() >= deadline)) break;
  }
}

/* Append what is due, then run what the queue holds now; what is appended meanwhile runs in the
 * next turn. If it stops at the deadline, the next call goes on with the same turn. */
static void loop_turn(lua_State *L, asy_Loop *loop, uint64_t deadline) {
  if (asy_list_is_empty(&loop->marker)) {
    asy_timer_collect(L, loop);
    if (asy_list_is_empty(&loop->ready)) return;
    asy_list_append(&loop->ready, &loop->marker);
  }
  if (ASY_UNLIKELY(loop->debug || deadline))
    loop_run_turn(L, loop, deadline);
  else
    asy_wait_run_turn(L, loop);
}

/* ---- the poll */

static void loop_on_timer(uv_timer_t *timer) {
  asy_Backend *backend = timer->data;
  if (backend->loop && backend->loop->hosted)
    asy_ready_notify(backend->loop);
  else
    uv_stop(timer->loop); /* before 1.45 timers run before the poll, which would then sleep on */
}

static void loop_on_async(uv_async_t *async) {
  asy_Backend *backend = async->data;
  asy_Loop *loop = backend->loop;
  if (!loop) return;
  if (loop->inbox) asy_inbox_drain(loop->inbox, loop);
  if (loop->hosted) asy_ready_notify(loop);
}

/* Set the uv timer for a time from now; libuv counts milliseconds: never early. */
static void loop_arm(asy_Backend *backend, double seconds) {
  if (seconds > LOOP_LONGEST_SLEEP) seconds = LOOP_LONGEST_SLEEP;
  uv_update_time(backend->uv);
  uint64_t ns = uv_hrtime() + (uint64_t)(seconds * 1e9), now = uv_now(backend->uv);
  uint64_t due = (ns + 999999) / 1000000;
  uv_timer_start(&backend->timer, loop_on_timer, due > now ? due - now : 0, 0);
}

static void loop_uv_run(asy_Loop *loop, uv_run_mode mode) {
  loop->polls++;
  uv_run(loop->backend->uv, mode);
  loop->polled_at = asy_sys_tick();
  loop->run_since_poll = 0;
}

/* Simulated time: when nothing is ready, one poll brought nothing, and nobody outside is at work,
 * jump to the first timer. True if there was one. */
static bool loop_jump(asy_Loop *loop) {
  asy_HeapNode *first = asy_heap_top(&loop->timers);
  if (!asy_list_is_empty(&loop->ready)) return true;
  if (!first || loop->in_flight) return false;
  if (first->at > loop->now) loop->now = first->at;
  return true;
}

static void loop_poll_virtual(asy_Loop *loop) {
  loop_uv_run(loop, UV_RUN_NOWAIT);
  if (!loop_jump(loop)) loop_uv_run(loop, UV_RUN_ONCE);
}

/* Let libuv look for I/O; sleep until the first timer if nothing is ready. */
static void loop_poll(asy_Loop *loop) {
  if (!asy_list_is_empty(&loop->ready) || loop->stopping) {
    if (loop->run_since_poll >= LOOP_POLL_ENTRIES ||
        asy_sys_tick() - loop->polled_at >= LOOP_POLL_NANOSECONDS)
      loop_uv_run(loop, UV_RUN_NOWAIT);
    return;
  }
  if (loop->is_virtual) {
    loop_poll_virtual(loop);
    return;
  }
  double left = asy_timer_left(loop);
  if (left == 0) {
    loop_uv_run(loop, UV_RUN_NOWAIT);
    return;
  }
  if (left > 0) loop_arm(loop->backend, left);
  loop_uv_run(loop, UV_RUN_ONCE);
  if (left > 0) uv_timer_stop(&loop->backend->timer);
}

/* ---- deadlock */

/* Could anything still happen? Asked with our own handles unref'd. */
static bool loop_is_alive(asy_Loop *loop) {
  asy_Backend *backend = loop->backend;
  if (!asy_list_is_empty(&loop->ready) || loop->timers.count || loop->holds || loop->stopping)
    return true;
  uv_unref((uv_handle_t *)&backend->async);
  bool alive = uv_loop_alive(backend->uv) != 0;
  uv_ref((uv_handle_t *)&backend->async);
  return alive;
}

/* [1] the main future: raise DeadlockError at its task's wait */
static int loop_throw_deadlock(lua_State *L) {
  asy_State *S = asy_state_from_registry(L);
  asy_Task *task = lua_touserdata(L, 1);
  asy_deadlock_push(L, S->running, task);
  asy_wait_throw(L, &task->wait);
  return 0;
}

/* Nothing is left that could wake anybody: say so in the main task. False if there is no task in
 * which it could be raised. */
static bool loop_break_deadlock(lua_State *L, int fut) {
  asy_Future *main = lua_touserdata(L, fut);
  if (!main->is_task || ((asy_Task *)(void *)main)->wait.state != ASY_WAIT_PARKED) return false;
  lua_pushcfunction(L, loop_throw_deadlock);
  lua_pushvalue(L, fut);
  if (lua_pcall(L, 1, 0, 0) != LUA_OK) { /* no memory for the report: break it all the same */
    asy_wait_throw(L, &((asy_Task *)(void *)main)->wait);
  }
  return true;
}

/* True if the main future can never be completed: asked again after a collection, since a finalizer
 * may wake somebody. */
static bool loop_is_deadlocked(lua_State *L, asy_Loop *loop) {
  if (loop_is_alive(loop)) return false;
  lua_gc(L, LUA_GCCOLLECT);
  return !loop_is_alive(loop);
}

/* ---- driving the loop's own uv_run */

static void loop_wake(void *arg) {
  uv_async_send(&((asy_Loop *)arg)->backend->async);
}

/* The last callback of the future that is run until it is complete. */
static void loop_stop_run(lua_State *L, asy_Loop *loop, asy_Ready *entry) {
  (void)L;
  (void)entry;
  loop->stopping = true;
}

/* The first SIGINT of a Runner cancels its main task. */
static void loop_cancel_main(lua_State *L, asy_Loop *loop, int fut, asy_Interrupt *watch) {
  if (!fut || !loop->cancel_on_sigint || watch->count == 0) return;
  if (asy_future_is_done(lua_touserdata(L, fut))) return;
  loop->cancel_on_sigint = false;
  loop->interrupts++;
  asy_future_cancel(L, fut, lua_touserdata(L, fut), 0);
}

/* Turn after turn, until it is stopped or interrupted. False for a deadlock that no task can be
 * told of. */
static bool loop_run(lua_State *L, asy_Loop *loop, int fut, asy_Interrupt *watch) {
  for (;;) {
    if (fut && loop_is_deadlocked(L, loop) && !loop_break_deadlock(L, fut)) return false;
    loop_poll(loop);
    loop_turn(L, loop, 0);
    if (ASY_UNLIKELY(watch->count)) loop_cancel_main(L, loop, fut, watch);
    if (asy_interrupt_is_due(watch)) loop->interrupted = true;
    if (loop->stopping || loop->interrupted) return true;
    if (loop->after_turn) loop->after_turn(L, loop);
  }
}

static void loop_enter(lua_State *L, asy_Loop *loop, asy_Interrupt *watch) {
  asy_State *S = loop->S;
  if (loop->closed) luaL_error(L, "the event loop is closed");
  if (loop->hosted) luaL_error(L, "the host runs this event loop");
  if (S->running == loop) luaL_error(L, "this event loop is already running");
  if (S->running) luaL_error(L, "cannot run the event loop while another loop is running");
  asy_loop_check_block(L, S, loop, "running an event loop");
  if (loop->closing) luaL_error(L, "the event loop is being closed");
  if (asy_wait_in_finalizer(L, S)) luaL_error(L, "cannot run the event loop in a finalizer (__gc)");
  luaL_checkstack(L, LUA_MINSTACK, NULL);
  S->running = loop;
  asy_future_use_types(loop);
  memset(watch, 0, sizeof *watch);
  watch->tolerated = loop->cancel_on_sigint ? 1 : 0;
  watch->L = L;
  watch->S = S;
  watch->wake = loop_wake;
  watch->arg = loop;
  if (loop->watches_sigint) asy_interrupt_begin(watch);
}

bool asy_loop_drive(lua_State *L, asy_Loop *loop, int fut) {
  asy_Interrupt watch;
  asy_Ready stop;
  asy_State *S = loop->S;
  loop_enter(L, loop, &watch);
  asy_ready_init(&stop, loop_stop_run);
  if (fut) asy_future_add(lua_touserdata(L, fut), &stop);
  lua_State *innermost = S->innermost;
  S->innermost = NULL;
  bool alive = loop_run(L, loop, fut, &watch);
  S->innermost = innermost;
  S->running = NULL;
  asy_list_remove(&stop.link);
  asy_interrupt_end(&watch);
  bool late = watch.count && loop->cancel_on_sigint; /* a SIGINT after the main task was done */
  bool interrupted = loop->interrupted || late || asy_interrupt_is_due(&watch);
  loop->stopping = loop->interrupted = false;
  if (interrupted) asy_error_raise(L, S, ASY_KEYBOARD_INTERRUPT, NULL);
  if (!alive) {
    asy_deadlock_push(L, loop, NULL);
    lua_error(L);
  }
  return !fut || asy_future_is_done(lua_touserdata(L, fut));
}

/* ---- a loop that the host runs */

/* The idle handle has nothing to do: while it is active, the host's poll does not sleep. */
static void loop_on_idle(uv_idle_t *idle) {
  (void)idle;
}

void asy_ready_notify(asy_Loop *loop) {
  uv_idle_start(&loop->backend->idle, loop_on_idle);
}

void asy_timer_notify(asy_Loop *loop) {
  double left = asy_timer_left(loop);
  if (left < 0)
    uv_timer_stop(&loop->backend->timer);
  else
    loop_arm(loop->backend, left);
}

/* [1] loop, [2] deadline: one turn, protected */
static int loop_protected_turn(lua_State *L) {
  asy_Loop *loop = lua_touserdata(L, 1);
  loop_turn(L, loop, (uint64_t)lua_tointeger(L, 2));
  return 0;
}

/* Run one turn on the thread of a loop that the host drives. Nothing raises through the host. */
static void loop_host_turn(asy_Loop *loop, uint64_t deadline) {
  asy_State *S = loop->S;
  lua_State *L = loop->backend->L;
  asy_Loop *running = S->running;
  if (running == loop || !lua_checkstack(L, LUA_MINSTACK)) return;
  asy_Wait *waiter = S->waiter;
  lua_State *innermost = S->innermost;
  asy_Loop *callback = S->callback;
  S->running = loop;
  S->waiter = NULL;
  S->innermost = NULL;
  S->callback = NULL;
  loop->by_host = true;
  lua_pushcfunction(L, loop_protected_turn);
  lua_pushlightuserdata(L, loop);
  lua_pushinteger(L, (lua_Integer)deadline);
  if (lua_pcall(L, 2, 0, 0) != LUA_OK) lua_pop(L, 1);
  loop->by_host = false;
  S->running = running;
  S->waiter = waiter;
  S->innermost = innermost;
  S->callback = callback;
}

static void loop_on_turn(uv_check_t *check) {
  asy_Backend *backend = check->data;
  asy_Loop *loop = backend->loop;
  if (!loop || loop->S->running == loop) return;
  loop->polls++;
  loop_host_turn(loop, 0);
  if (!backend->loop) return; /* closed meanwhile */
  if (asy_list_is_empty(&loop->ready))
    uv_idle_stop(&backend->idle);
  else
    asy_ready_notify(loop);
  asy_timer_notify(loop);
}

bool asy_loop_poll(asy_Loop *loop, double budget) {
  uint64_t deadline = budget > 0 ? uv_hrtime() + (uint64_t)(budget * 1e9) : 0;
  if (loop->S->running == loop) return true;
  do {
    if (asy_list_is_empty(&loop->marker)) {
      loop_uv_run(loop, UV_RUN_NOWAIT);
      if (loop->is_virtual) loop_jump(loop);
    }
    loop_host_turn(loop, deadline);
    if (loop->closed) return false;
  } while (deadline && !asy_list_is_empty(&loop->ready) && uv_hrtime() < deadline);
  return !asy_list_is_empty(&loop->ready) || asy_timer_left(loop) == 0;
}

/* ---- other threads */

asy_Inbox *asy_loop_inbox(asy_Loop *loop) {
  if (!loop->inbox) loop->inbox = asy_inbox_new(&loop->backend->async);
  return loop->inbox;
}

void asy_loop_hold(asy_Loop *loop) {
  if (loop->holds++ == 0 && loop->hosted) uv_ref((uv_handle_t *)&loop->backend->async);
}

void asy_loop_unhold(asy_Loop *loop) {
  if (--loop->holds == 0 && loop->hosted) uv_unref((uv_handle_t *)&loop->backend->async);
}

/* ---- making and closing */

static void loop_on_close(uv_handle_t *handle) {
  asy_Backend *backend = handle->data;
  if (--backend->open == 0 && backend->uv != &backend->own) asy_free(backend);
}

static void loop_init_handle(asy_Backend *backend, uv_handle_t *handle) {
  handle->data = backend;
  backend->open++;
}

/* Start what libuv needs; 0 or a libuv code. */
static int loop_init_handles(asy_Backend *backend, bool hosted) {
  int code;
  if ((code = uv_async_init(backend->uv, &backend->async, loop_on_async)) != 0) return code;
  loop_init_handle(backend, (uv_handle_t *)&backend->async);
  if ((code = uv_timer_init(backend->uv, &backend->timer)) != 0) return code;
  loop_init_handle(backend, (uv_handle_t *)&backend->timer);
  if (!hosted) return 0;
  if ((code = uv_check_init(backend->uv, &backend->check)) != 0) return code;
  loop_init_handle(backend, (uv_handle_t *)&backend->check);
  if ((code = uv_idle_init(backend->uv, &backend->idle)) != 0) return code;
  loop_init_handle(backend, (uv_handle_t *)&backend->idle);
  uv_unref((uv_handle_t *)&backend->async);
  uv_unref((uv_handle_t *)&backend->check);
  return uv_check_start(&backend->check, loop_on_turn);
}

static void loop_close_handle(uv_handle_t *handle) {
  if (handle->data && !uv_is_closing(handle)) uv_close(handle, loop_on_close);
}

/* Close the handles; free the record, at once or in the last close callback. */
static void loop_close_backend(asy_Backend *backend) {
  uv_loop_t *uv = backend->uv;
  bool own = uv == &backend->own;
  backend->loop = NULL;
  bool none = backend->open == 0;
  loop_close_handle((uv_handle_t *)&backend->async);
  loop_close_handle((uv_handle_t *)&backend->timer);
  loop_close_handle((uv_handle_t *)&backend->check);
  loop_close_handle((uv_handle_t *)&backend->idle);
  if (own) {
    while (uv_loop_close(uv) == UV_EBUSY)
      uv_run(uv, UV_RUN_ONCE);
    asy_free(backend);
  } else if (none) {
    asy_free(backend);
  }
}

static int loop_new_backend(asy_Loop *loop, uv_loop_t *uv) {
  asy_Backend *backend = asy_malloc(sizeof *backend);
  if (!backend) return UV_ENOMEM;
  memset(backend, 0, sizeof *backend);
  backend->uv = uv ? uv : &backend->own;
  if (!uv) asy_sys_fill_standard();
  int code = uv ? 0 : uv_loop_init(&backend->own);
  if (code != 0) {
    asy_free(backend);
    return code;
  }
  code = loop_init_handles(backend, uv != NULL);
  if (code != 0) {
    loop_close_backend(backend);
    return code;
  }
  backend->loop = loop;
  loop->backend = backend;
  return 0;
}

/* Fill the shelf; the Loop is on top of the stack. */
static void loop_new_shelf(lua_State *L, asy_Loop *loop) {
  loop->shelf = lua_newthread(L);
  lua_setiuservalue(L, -2, 1);
  if (!lua_checkstack(loop->shelf, ASY_LOOP_COUNT + LUA_MINSTACK))
    luaL_error(L, "not enough memory");
  lua_settop(loop->shelf, ASY_LOOP_COUNT);
  static const int tables[] = {ASY_LOOP_THREADS, ASY_LOOP_TASKS, ASY_LOOP_TIMERS, ASY_LOOP_PINS,
                               ASY_LOOP_UNSEEN};
  for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) {
    lua_newtable(L);
    asy_shelf_set(L, loop->shelf, tables[i]);
  }
  asy_shelf_push(L, loop->shelf, ASY_LOOP_UNSEEN);
  lua_createtable(L, 0, 1);
  lua_pushliteral(L, "v");
  lua_setfield(L, -2, "__mode");
  lua_setmetatable(L, -2);
  lua_pop(L, 1);
  lua_pushvalue(L, -1);
  asy_shelf_set(L, loop->shelf, ASY_LOOP_SELF);
  asy_future_make_types(L, loop);
}

asy_Loop *asy_loop_new(lua_State *L, asy_State *S, uv_loop_t *uv, unsigned flags) {
  if (asy_wait_state_closes(S)) luaL_error(L, "the Lua state is closing");
  luaL_checkstack(L, LUA_MINSTACK, NULL);
  asy_Loop *loop = asy_type_create(L, S, ASY_SLOT_LOOP_TYPE, sizeof *loop, 2);
  loop->closed = true; /* valid, and nothing to release yet */
  loop->S = S;
  asy_list_init(&loop->ready);
  asy_list_init(&loop->marker);
  asy_list_init(&loop->tasks);
  asy_list_init(&loop->unseen);
  asy_list_init(&loop->resources);
  loop->slow_callback = 0.1;
  loop->is_virtual = (flags & ASY_LOOP_VIRTUAL) != 0;
  loop->debug = (flags & ASY_LOOP_DEBUG) != 0;
  loop->watches_sigint = (flags & ASY_LOOP_SIGINT) != 0;
  loop->allows_threads = (flags & (ASY_LOOP_SIGINT | ASY_LOOP_THREADS_ALLOWED)) != 0;
  loop->allows_files = (flags & (ASY_LOOP_SIGINT | ASY_LOOP_FILES_ALLOWED)) != 0;
  loop->allows_stdio = (flags & (ASY_LOOP_SIGINT | ASY_LOOP_STDIO_ALLOWED)) != 0;
  loop->allows_children = (flags & (ASY_LOOP_SIGINT | ASY_LOOP_CHILDREN_ALLOWED)) != 0;
  loop->hosted = uv != NULL;
  if (!(flags & ASY_LOOP_KEEP_SIGPIPE)) asy_pin_ignore_sigpipe();
  loop_new_shelf(L, loop);
  lua_State *thread = lua_newthread(L); /* on which the turns of a host run */
  lua_setiuservalue(L, -2, 2);
  int code = loop_new_backend(loop, uv);
  if (code != 0) asy_error_raise_os(L, S, code, "loop", NULL);
  loop->backend->L = thread;
  loop->closed = false;
  return loop;
}

/* Release what lies outside Lua's memory. Runs no Lua code: lua_close and the collector call it,
 * too. */
static void loop_release(asy_Loop *loop) {
  asy_Link *link;
  asy_HeapNode *node;
  loop->closed = true;
  if (loop->S->host == loop) loop->S->host = NULL;
  if (loop->of_host && !loop->watches_sigint) loop->S->strict_hosts--;
  while ((link = asy_list_first(&loop->resources)) != NULL) {
    asy_Closer *closer = ASY_CONTAINER(link, asy_Closer, link);
    asy_list_remove(link);
    closer->close(closer);
  }
  loop->hosted = false; /* nobody is to be notified any more */
  if (loop->inbox) asy_inbox_close(loop->inbox);
  asy_inbox_release(loop->inbox);
  loop->inbox = NULL;
  loop_close_backend(loop->backend);
  loop->backend = NULL;
  asy_list_clear(&loop->ready);
  asy_list_clear(&loop->tasks);
  asy_list_clear(&loop->unseen);
  while ((node = asy_heap_top(&loop->timers)) != NULL)
    asy_heap_remove(&loop->timers, node);
  if (loop->timers.items)
    asy_alloc(loop->S, loop->timers.items, loop->timers.size * sizeof(asy_HeapItem), 0);
  memset(&loop->timers, 0, sizeof loop->timers);
  if (loop->pool) asy_alloc(loop->S, loop->pool, ASY_POOL_SIZE * sizeof *loop->pool, 0);
  loop->pool = NULL;
  loop->pool_count = 0;
}

/* Debug mode: a pending task is about to be closed. */
static void loop_report_destroyed(lua_State *L, asy_Loop *loop, asy_Task *task) {
  luaL_checkstack(L, LUA_MINSTACK, NULL);
  asy_task_push(L, task);
  lua_pushnil(L);
  lua_pushnil(L);
  asy_error_report(L, loop, "task was closed while it was pending", "task", lua_gettop(L) - 2);
  lua_pop(L, 1);
}

/* [1] = loop */
static int loop_close_protected(lua_State *L) {
  asy_Loop *loop = lua_touserdata(L, 1);
  asy_Link *link;
  while ((link = asy_list_first(&loop->tasks)) != NULL) {
    asy_Task *task = ASY_CONTAINER(link, asy_Task, all);
    if (loop->debug) loop_report_destroyed(L, loop, task);
    asy_task_close(L, task);
  }
  asy_future_report_unseen(L, loop);
  return 0;
}

void asy_loop_close(lua_State *L, asy_Loop *loop) {
  if (loop->closed || loop->closing) return;
  if (loop->S->running == loop) luaL_error(L, "cannot close a running event loop");
  luaL_checkstack(L, 2, NULL);
  loop->closing = true;
  lua_pushcfunction(L, loop_close_protected);
  asy_shelf_push(L, loop->shelf, ASY_LOOP_SELF);
  int status = lua_pcall(L, 1, 0, 0);
  loop->closing = false;
  if (status != LUA_OK) lua_error(L);
  loop_release(loop);
}

static int loop_gc(lua_State *L) {
  asy_State *S = asy_state(L);
  asy_Loop *loop = asy_type_test(L, S, 1, ASY_SLOT_LOOP_TYPE);
  if (!loop) return 0;
  bool finalized = asy_wait_is_finalizer(L);
  if (finalized) asy_future_forget_types(loop);
  if (loop->closed) return 0;
  if (S->running == loop && !(finalized && L == S->main))
    return 0; /* lua_close may come while it runs, but not getmetatable(loop).__gc(loop) */
  loop_release(loop);
  return 0;
}

/* ---- the current loop */

asy_Loop *asy_loop_running(lua_State *L, asy_State *S) {
  if (!S->running) luaL_error(L, "no running event loop");
  return S->running;
}

void asy_loop_set_current(lua_State *L, asy_State *S, int idx) {
  S->current = idx && !lua_isnoneornil(L, idx) ? lua_touserdata(L, idx) : S->host;
  if (S->current)
    asy_loop_push(L, S->current);
  else
    lua_pushnil(L);
  asy_shelf_set(L, S->shelf, ASY_SLOT_LOOP);
}

void asy_loop_give_to_host(asy_Loop *loop) {
  loop->of_host = true;
  loop->S->host = loop;
  if (!loop->watches_sigint) loop->S->strict_hosts++;
}

void asy_loop_check_block(lua_State *L, asy_State *S, const asy_Loop *loop, const char *what) {
  if (!asy_loop_blocks_host(S, loop)) return;
  luaL_error(L,
             "%s would block the host, which drives the event loop: start a task with "
             "asyncio.get_event_loop():create_task",
             what);
}

asy_Loop *asy_loop_get(lua_State *L, asy_State *S) {
  if (S->running) return S->running;
  if (S->current) return S->current;
  asy_loop_new(L, S, NULL, ASY_LOOP_SIGINT);
  asy_loop_set_current(L, S, lua_gettop(L));
  lua_pop(L, 1);
  return S->current;
}

void asy_loop_check_open(lua_State *L, asy_Loop *loop) {
  if (loop->closed) luaL_error(L, "the event loop is closed");
}

void asy_loop_open(lua_State *L, asy_State *S) {
  static const luaL_Reg methods[] = {{"__gc", loop_gc}, {NULL, NULL}};
  asy_type_add(L, S, ASY_SLOT_LOOP_TYPE, methods);
}
