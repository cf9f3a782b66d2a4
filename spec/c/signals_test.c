/* SPDX-License-Identifier: MIT */
/*
** What becomes of a host's signals: SIGINT while scripts run loops, on whatever thread; SIGPIPE
*when
** a loop is opened.
*/
#include <signal.h>
#include <unistd.h>

#include "host.h"

static int signal_count; /* atomic: the signal may come on any thread */

static void signal_on_any(int signum) {
  (void)signum;
  __sync_add_and_fetch(&signal_count, 1);
}

static int signal_so_far(void) {
  return __sync_add_and_fetch(&signal_count, 0);
}

static void (*signal_handler(int signum))(int) {
  struct sigaction now;
  sigaction(signum, NULL, &now);
  return now.sa_handler;
}

/* For scripts: SIGINT to the process, as a terminal sends it. */
static int signal_interrupt(lua_State *L) {
  (void)L;
  kill(getpid(), SIGINT);
  return 0;
}

static lua_State *signal_new_state(void) {
  lua_State *L = host_new_state();
  luaL_requiref(L, "asyncio.core", luaopen_asyncio_core, 0);
  lua_setglobal(L, "asyncio");
  lua_register(L, "interrupt", signal_interrupt);
  lua_settop(L, 0);
  return L;
}

static void signal_sigint_ignored(Check *t) {
  lua_State *L = signal_new_state();
  signal(SIGINT, SIG_IGN);
  host_run(t, L,
           "assert(asyncio.run(function()\n"
           "  interrupt()\n"
           "  return asyncio.sleep(0.002, 'slept')\n"
           "end) == 'slept')\n");
  check(t, signal_handler(SIGINT) == SIG_IGN);
  signal(SIGINT, SIG_DFL);
  lua_close(L);
}

static void signal_sigint_restored(Check *t) {
  lua_State *L = signal_new_state();
  static const char run[] =
      "local ok, err = pcall(asyncio.run, function() interrupt() asyncio.sleep(20) end)\n"
      "assert(not ok and asyncio.is(err, asyncio.KeyboardInterrupt))\n";
  host_run(t, L, run);
  check(t, signal_handler(SIGINT) == SIG_DFL);
  signal(SIGINT, signal_on_any);
  signal_count = 0;
  host_run(t, L, run);
  check_int(t, signal_count, 0);
  check(t, signal_handler(SIGINT) == signal_on_any);
  kill(getpid(), SIGINT);
  check_int(t, signal_count, 1);
  host_run(t, L, /* so many that the default is put back: the host's own comes back all the same */
           "pcall(asyncio.run, function()\n"
           "  coroutine.wrap(function() for _ = 1, 3 do interrupt() end end)()\n"
           "end)\n");
  check(t, signal_handler(SIGINT) == signal_on_any);
  signal(SIGINT, SIG_DFL);
  lua_close(L);
}

/* A loop opened from C does not watch SIGINT, polled or not. */
static void signal_sigint_of_the_host(Check *t) {
  lua_State *L = signal_new_state();
  signal(SIGINT, signal_on_any);
  signal_count = 0;
  asyncio_Loop *loop = host_open(t, L, NULL, 0);
  host_run(t, L,
           "asyncio.get_event_loop():create_task(function()\n"
           "  interrupt()\n"
           "  asyncio.sleep(0)\n"
           "  done = 1\n"
           "end)\n");
  for (int i = 0; i < 4; i++)
    asyncio_poll(loop, 0);
  check_int(t, signal_count, 1);
  check_int(t, host_integer(L, "done"), 1);
  check(t, signal_handler(SIGINT) == signal_on_any);
  signal(SIGINT, SIG_DFL);
  lua_close(L);
}

/* ---- a loop on a thread, the signal on another one */

typedef struct Driver {
  lua_State *L;
  Check *t;
  uv_sem_t begun;
} Driver;

static int driver_tell(lua_State *L) {
  uv_sem_post(&((Driver *)lua_touserdata(L, lua_upvalueindex(1)))->begun);
  return 0;
}

static void driver_main(void *arg) {
  Driver *d = arg;
  host_run(d->t, d->L,
           "local loop = asyncio.new_event_loop()\n"
           "local ok, err = pcall(loop.run_until_complete, loop, function()\n"
           "  tell()\n"
           "  local start = os.time()\n"
           "  while os.time() < start + 20 do end\n" /* busy: it must be interrupted */
           "  late = 1\n"
           "end)\n"
           "assert(not ok and asyncio.is(err, asyncio.KeyboardInterrupt))\n"
           "local start = loop:time()\n"
           "loop:call_soon(tell)\n"
           "ok, err = pcall(loop.run_until_complete, loop, asyncio.sleep, 20)\n"
           "assert(not ok and asyncio.is(err, asyncio.KeyboardInterrupt))\n"
           "loop:close()\n");
}

/* The signal comes to the main thread, the loop runs on another one. */
static void signal_sigint_on_another_thread(Check *t) {
  uv_thread_t thread;
  Driver d = {signal_new_state(), t, {{0}}};
  uv_sem_init(&d.begun, 0);
  lua_pushlightuserdata(d.L, &d);
  lua_pushcclosure(d.L, driver_tell, 1);
  lua_setglobal(d.L, "tell");
  uv_thread_create(&thread, driver_main, &d);
  for (int i = 0; i < 2; i++) {
    uv_sem_wait(&d.begun);
    kill(getpid(), SIGINT);
  }
  uv_thread_join(&thread);
  check(t, host_integer(d.L, "late") != 1);
  check(t, signal_handler(SIGINT) == SIG_DFL);
  uv_sem_destroy(&d.begun);
  lua_close(d.L);
}

/* ---- several threads that begin and end drives while SIGINTs come */

#define THREADS 4
#define SIGNALS 200

typedef struct Rush {
  uv_thread_t thread;
  lua_State *L;
  Check check;
  int *interrupts; /* of all of them */
  int *over;
} Rush;

static int rush_interrupted(lua_State *L) {
  __sync_add_and_fetch((int *)lua_touserdata(L, lua_upvalueindex(1)), 1);
  return 0;
}

static int rush_is_over(lua_State *L) {
  lua_pushboolean(L, __sync_add_and_fetch((int *)lua_touserdata(L, lua_upvalueindex(1)), 0));
  return 1;
}

static void rush_main(void *arg) {
  Rush *rush = arg;
  host_run(&rush->check, rush->L,
           "while not is_over() do\n"
           "  local ok, err = pcall(asyncio.run, asyncio.sleep, 0.0002)\n"
           "  assert(ok or asyncio.is(err, asyncio.KeyboardInterrupt), err)\n"
           "  if not ok then interrupted() end\n"
           "end\n");
}

static void rush_begin(Rush *rush, int *interrupts, int *over) {
  memset(rush, 0, sizeof *rush);
  rush->L = signal_new_state();
  lua_pushlightuserdata(rush->L, interrupts);
  lua_pushcclosure(rush->L, rush_interrupted, 1);
  lua_setglobal(rush->L, "interrupted");
  lua_pushlightuserdata(rush->L, over);
  lua_pushcclosure(rush->L, rush_is_over, 1);
  lua_setglobal(rush->L, "is_over");
  uv_thread_create(&rush->thread, rush_main, rush);
}

/* Each signal comes to this thread. It ends the drive that watches, on whatever thread that is, or
 * goes to the host's handler if none does. One is sent when the one before has shown itself (or, if
 * it met the very end of a drive, after a while). */
static void signal_sigint_on_many_threads(Check *t) {
  Rush rushes[THREADS];
  int interrupts = 0, over = 0;
  signal(SIGINT, signal_on_any);
  signal_count = 0;
  for (int i = 0; i < THREADS; i++)
    rush_begin(&rushes[i], &interrupts, &over);
  for (int sent = 1; sent <= SIGNALS; sent++) {
    int before = __sync_add_and_fetch(&interrupts, 0) + signal_so_far();
    kill(getpid(), SIGINT);
    for (int i = 0; i < 100; i++) {
      if (__sync_add_and_fetch(&interrupts, 0) + signal_so_far() > before) break;
      uv_sleep(1);
    }
    uv_sleep(sent % 3 == 0);
  }
  __sync_add_and_fetch(&over, 1);
  for (int i = 0; i < THREADS; i++) {
    uv_thread_join(&rushes[i].thread);
    check_int(t, rushes[i].check.failures, 0);
    lua_close(rushes[i].L);
  }
  check(t, interrupts > 0 && interrupts + signal_count <= SIGNALS);
  check(t, interrupts + signal_count > SIGNALS - SIGNALS / 10);
  check(t, signal_handler(SIGINT) == signal_on_any);
  signal(SIGINT, SIG_DFL);
}

/* A thread that blocks SIGINT does not get it, and another one's drive is not held up by that. */
static void signal_sigint_blocked(Check *t) {
  lua_State *L = signal_new_state();
  sigset_t blocked, before;
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGINT);
  pthread_sigmask(SIG_BLOCK, &blocked, &before);
  host_run(t, L,
           "assert(asyncio.run(function()\n"
           "  interrupt()\n"
           "  return asyncio.sleep(0.002, 'slept')\n"
           "end) == 'slept')\n");
  signal(SIGINT, signal_on_any);
  signal_count = 0;
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  check_int(t, signal_count, 1);
  signal(SIGINT, SIG_DFL);
  lua_close(L);
}

static void signal_sigpipe(Check *t) {
  lua_State *L = host_new_state();
  signal(SIGPIPE, SIG_DFL);
  host_open(t, L, NULL, ASYNCIO_KEEP_SIGPIPE);
  check(t, signal_handler(SIGPIPE) == SIG_DFL);
  signal(SIGPIPE, signal_on_any);
  host_open(t, L, NULL, 0);
  check(t, signal_handler(SIGPIPE) == signal_on_any);
  signal(SIGPIPE, SIG_DFL);
  host_open(t, L, NULL, 0);
  check(t, signal_handler(SIGPIPE) == SIG_IGN);
  lua_close(L);
  check(t, signal_handler(SIGPIPE) == SIG_IGN);
}

CHECK_MAIN({"sigint_ignored", signal_sigint_ignored}, {"sigint_restored", signal_sigint_restored},
           {"sigint_of_the_host", signal_sigint_of_the_host},
           {"sigint_on_another_thread", signal_sigint_on_another_thread},
           {"sigint_on_many_threads", signal_sigint_on_many_threads},
           {"sigint_blocked", signal_sigint_blocked}, {"sigpipe", signal_sigpipe})
