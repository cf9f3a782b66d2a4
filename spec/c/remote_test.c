/* SPDX-License-Identifier: MIT */
/*
** asyncio_call_soon_threadsafe: threads of the host's have a loop call functions. Under
** ThreadSanitizer (`make tsan F=remote`) this shows that nothing is touched by two threads at once.
*/
#include "host.h"

#define THREADS 4
#define CALLS 500

/* What one call brings; each is freed once, by the loop's thread or by its maker. */
typedef struct Parcel {
  int from, number;
  int *last;    /* per thread: the number of its last call; the loop's thread only */
  int *dropped; /* calls that came without a state */
} Parcel;

typedef struct Caller {
  uv_thread_t thread;
  asyncio_Remote *remote; /* of its own, or shared */
  int from, owns;
  int refused; /* calls that were not taken */
  int *counts, *dropped;
} Caller;

static void remote_add(lua_State *L, const char *global, int by) {
  lua_getglobal(L, global);
  lua_Integer n = lua_tointeger(L, -1);
  lua_pop(L, 1);
  lua_pushinteger(L, n + by);
  lua_setglobal(L, global);
}

static void remote_deliver(lua_State *L, void *arg) {
  Parcel parcel = *(Parcel *)arg;
  free(arg);
  if (!L) {
    ++*parcel.dropped;
    return;
  }
  if (parcel.last[parcel.from] != parcel.number - 1 || lua_gettop(L) != 0)
    remote_add(L, "wrong", 1);
  parcel.last[parcel.from] = parcel.number;
  remote_add(L, "count", 1);
  if (parcel.number == CALLS) remote_add(L, "finished", 1);
}

static void remote_caller(void *arg) {
  Caller *caller = arg;
  for (int i = 1; i <= CALLS; i++) {
    Parcel *parcel = malloc(sizeof *parcel);
    parcel->from = caller->from;
    parcel->number = i;
    parcel->last = caller->counts;
    parcel->dropped = caller->dropped;
    if (asyncio_call_soon_threadsafe(caller->remote, remote_deliver, parcel) != 0) {
      caller->refused++;
      free(parcel);
    }
    if (i % 100 == 0) uv_sleep(1);
  }
  if (caller->owns) asyncio_remote_free(caller->remote);
}

static int remote_is_true(lua_State *L, const char *source) {
  int ok = luaL_dostring(L, source) == LUA_OK && lua_toboolean(L, -1);
  lua_settop(L, 0);
  return ok;
}

/* Run the loop in its way until the Lua expression holds. */
static void remote_drive(Check *t, lua_State *L, asyncio_Loop *loop, uv_loop_t *uv,
                         const char *until) {
  uint64_t end = uv_hrtime() + UINT64_C(20000000000);
  while (!remote_is_true(L, until)) {
    if (uv)
      uv_run(uv, UV_RUN_ONCE);
    else if (asyncio_poll(loop, 0.001) == 0)
      uv_sleep(1);
    if (uv_hrtime() < end) continue;
    check(t, !"it was done in time");
    return;
  }
}

/* Threads that share a remote, or have one each. */
static void remote_threads(Check *t, int hosted, int owns) {
  uv_loop_t uv;
  Caller callers[THREADS];
  int counts[THREADS] = {0}, dropped = 0;
  lua_State *L = host_new_state();
  if (hosted) uv_loop_init(&uv);
  asyncio_Loop *loop = host_open(t, L, hosted ? &uv : NULL, 0);
  host_run(t, L, "count, finished, wrong = 0, 0, 0");
  asyncio_Remote *shared = owns ? NULL : asyncio_remote(loop);
  memset(callers, 0, sizeof callers);
  for (int i = 0; i < THREADS; i++) {
    callers[i].remote = owns ? asyncio_remote(loop) : shared;
    callers[i].from = i;
    callers[i].owns = owns;
    callers[i].counts = counts;
    callers[i].dropped = &dropped;
    uv_thread_create(&callers[i].thread, remote_caller, &callers[i]);
  }
  remote_drive(t, L, loop, hosted ? &uv : NULL, "return finished == 4");
  for (int i = 0; i < THREADS; i++) {
    uv_thread_join(&callers[i].thread);
    check_int(t, callers[i].refused, 0);
  }
  check_int(t, host_integer(L, "count"), THREADS * CALLS);
  check_int(t, host_integer(L, "wrong"), 0);
  check_int(t, dropped, 0);
  if (hosted && !owns) check(t, uv_run(&uv, UV_RUN_NOWAIT) != 0); /* the remote keeps it alive */
  asyncio_remote_free(shared);
  if (hosted) {
    check_int(t, uv_run(&uv, UV_RUN_DEFAULT), 0); /* and nothing else does */
  }
  lua_close(L);
  if (!hosted) return;
  uv_run(&uv, UV_RUN_DEFAULT);
  check_int(t, uv_loop_close(&uv), 0);
}

static void remote_polled(Check *t) {
  remote_threads(t, 0, 0);
  remote_threads(t, 0, 1);
}

static void remote_hosted(Check *t) {
  remote_threads(t, 1, 0);
  remote_threads(t, 1, 1);
}

/* The loop is closed, or the state is, while the threads call. Every parcel is freed once. */
static void remote_closing(Check *t) {
  for (int round = 0; round < 8; round++) {
    Caller callers[THREADS];
    int counts[THREADS] = {0}, dropped = 0, refused = 0;
    lua_State *L = host_new_state();
    asyncio_Loop *loop = host_open(t, L, NULL, 0);
    host_run(t, L, "count, finished, wrong = 0, 0, 0");
    memset(callers, 0, sizeof callers);
    for (int i = 0; i < THREADS; i++) {
      callers[i].remote = asyncio_remote(loop);
      callers[i].from = i;
      callers[i].owns = round % 2;
      callers[i].counts = counts;
      callers[i].dropped = &dropped;
      uv_thread_create(&callers[i].thread, remote_caller, &callers[i]);
    }
    remote_drive(t, L, loop, NULL, "return count > 100");
    uv_sleep(round / 2);
    lua_Integer count = host_integer(L, "count");
    check_int(t, host_integer(L, "wrong"), 0);
    if (round % 4 < 2) check_int(t, asyncio_close(L, loop), 0);
    lua_close(L);
    for (int i = 0; i < THREADS; i++) {
      uv_thread_join(&callers[i].thread);
      refused += callers[i].refused;
      if (!callers[i].owns) asyncio_remote_free(callers[i].remote);
    }
    check_int(t, count + dropped + refused, THREADS * CALLS);
  }
}

static void remote_set_result(lua_State *L, void *arg) {
  int *stage = arg;
  if (!L) return;
  if (luaL_dostring(L, *stage ? "future:set_result('from afar')" : "error('no more')") != LUA_OK)
    lua_error(L);
}

static void remote_later(void *arg) {
  Caller *caller = arg;
  static const int stages[] = {0, 1};
  for (int i = 0; i < 2; i++) {
    uv_sleep(20);
    asyncio_call_soon_threadsafe(caller->remote, remote_set_result, (void *)&stages[i]);
  }
  asyncio_remote_free(caller->remote);
}

/* A script's loop sleeps until another thread completes its future: that is no deadlock. A call
 * that raises is reported. Without a remote it is one. */
static void remote_wakes(Check *t) {
  Caller caller;
  lua_State *L = host_new_state();
  asyncio_Loop *loop = host_open(t, L, NULL, ASYNCIO_SCRIPT);
  caller.remote = asyncio_remote(loop);
  host_run(t, L,
           "asyncio = require 'asyncio' loop = asyncio.get_event_loop()\n"
           "loop:set_exception_handler(function(_, context) report = context end)\n"
           "future = loop:create_future()\n");
  uv_thread_create(&caller.thread, remote_later, &caller);
  host_run(t, L,
           "result = future:await()\n"
           "message, what = report.message, report.exception:match('no more')\n");
  uv_thread_join(&caller.thread);
  host_check_string(t, L, "result", "from afar");
  host_check_string(t, L, "message", "error in a call from another thread");
  host_check_string(t, L, "what", "no more");
  host_run(t, L,
           "local ok, err = pcall(function() return loop:create_future():await() end)\n"
           "deadlock = not ok and asyncio.is(err, asyncio.DeadlockError) and 'yes' or 'no'\n");
  host_check_string(t, L, "deadlock", "yes");
  check_int(t, asyncio_close(L, loop), 0);
  lua_close(L);
}

/* A call that queues a call: it runs in the next turn, not in the same one. */
static void remote_again(lua_State *L, void *arg) {
  if (!L) return;
  remote_add(L, "count", 1);
  if (host_integer(L, "count") < 10) asyncio_call_soon_threadsafe(arg, remote_again, arg);
}

static void remote_nested(Check *t) {
  lua_State *L = host_new_state();
  asyncio_Loop *loop = host_open(t, L, NULL, 0);
  asyncio_Remote *remote = asyncio_remote(loop);
  lua_pushinteger(L, 0);
  lua_setglobal(L, "count");
  check_int(t, asyncio_call_soon_threadsafe(remote, remote_again, remote), 0);
  for (int i = 0; i < 3; i++)
    asyncio_poll(loop, 0);
  check(t, host_integer(L, "count") <= 3);
  remote_drive(t, L, loop, NULL, "return count == 10");
  check_int(t, asyncio_close(L, loop), 0);
  check_int(t, asyncio_call_soon_threadsafe(remote, remote_again, remote), -1);
  asyncio_remote_free(remote);
  lua_close(L);
}

CHECK_MAIN({"polled", remote_polled}, {"hosted", remote_hosted}, {"closing", remote_closing},
           {"wakes", remote_wakes}, {"nested", remote_nested})
