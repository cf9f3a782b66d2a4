/* SPDX-License-Identifier: MIT */
/* interrupt.c - Ctrl-C: SIGINT while a loop is driven.
 *
 * The handler counts and wakes the poll. When the count passes what is tolerated it also sets a
 * hook on the threads that may be executing Lua code, as lua itself does, so that a busy loop is
 * interrupted by a KeyboardInterrupt. The struct below is the one writable static variable of the
 * library: a signal handler gets no argument.
 *
 * The system may deliver the signal on any thread, on one that runs a job for instance: the handler
 * passes it on to the thread that drives, since no other one may touch its Lua state. The watch
 * lies in the frame of the drive, so that the drive does not end while a handler looks at it. */
#include "interrupt.h"

#include <errno.h>
#include <string.h>
#include <uv.h>

#include "error.h"

typedef struct interrupt_Now {
  asy_Interrupt *volatile watch; /* of the drive that gets SIGINT, or NULL */
  volatile long handlers;        /* that are at work now, on any thread */
} interrupt_Now;

static interrupt_Now interrupt_now;

/* Drives on several threads may begin at the same time: one gets the signal. Each of these is a
 * full barrier. */
#ifdef _MSC_VER
#include <intrin.h>
#define INTERRUPT_SWAP(from, to) \
  _InterlockedCompareExchangePointer((void *volatile *)&interrupt_now.watch, (to), (from))
#define INTERRUPT_COUNT(n) (_InterlockedExchangeAdd(&interrupt_now.handlers, (n)) + (n))
#else
#define INTERRUPT_SWAP(from, to) __sync_val_compare_and_swap(&interrupt_now.watch, (from), (to))
#define INTERRUPT_COUNT(n) __sync_add_and_fetch(&interrupt_now.handlers, (n))
#endif

static void interrupt_raise(lua_State *L, lua_Debug *ar) {
  (void)ar;
  lua_sethook(L, NULL, 0, 0);
  asy_error_raise(L, asy_state_from_registry(L), ASY_KEYBOARD_INTERRUPT, NULL);
}

static void interrupt_hook_all(const asy_Interrupt *watch, lua_Hook hook) {
  int mask = hook ? LUA_MASKCALL | LUA_MASKRET | LUA_MASKLINE | LUA_MASKCOUNT : 0;
  const asy_State *S = watch->S;
  lua_State *threads[] = {watch->L, S->waiter ? S->waiter->co : NULL, S->innermost};
  for (size_t i = 0; i < sizeof threads / sizeof *threads; i++) {
    lua_State *co = threads[i];
    if (co && (hook || lua_gethook(co) == interrupt_raise))
      lua_sethook(co, hook, mask, hook ? 1 : 0);
  }
}

static bool interrupt_gave_up(const asy_Interrupt *watch) {
  return watch->count > watch->tolerated + 1;
}

/* Did the signal come on another thread than the drive's? Then that one gets it. */
static bool interrupt_pass_on(const asy_Interrupt *watch, int signum) {
#ifdef _WIN32
  (void)watch; /* the system makes a thread for the handler: as in lua itself, it acts at once */
  (void)signum;
  return false;
#else
  if (pthread_equal(watch->thread, pthread_self())) return false;
  pthread_kill(watch->thread, signum);
  return true;
#endif
}

static void interrupt_on_signal(int signum) {
  int saved = errno;
  INTERRUPT_COUNT(1);
  asy_Interrupt *watch = INTERRUPT_SWAP(NULL, NULL);
  if (watch && !interrupt_pass_on(watch, signum)) {
    watch->count++;
    if (asy_interrupt_is_due(watch)) interrupt_hook_all(watch, interrupt_raise);
    /* That did not help: a C function is busy, or a coroutine that we do not know. The next one
     * ends the process, as it does in lua itself. */
    if (interrupt_gave_up(watch)) signal(signum, SIG_DFL);
    watch->wake(watch->arg);
  }
  INTERRUPT_COUNT(-1);
  errno = saved;
}

/* The watch gets no signal any more, and nobody looks at it. */
static void interrupt_leave(asy_Interrupt *watch) {
  (void)INTERRUPT_SWAP(watch, NULL);
  while (INTERRUPT_COUNT(0) != 0) /* the handler of another thread may have the pointer */
    uv_sleep(0);
}

#ifdef _WIN32

static bool interrupt_can_reach(asy_Interrupt *watch) {
  (void)watch;
  return true;
}

static void interrupt_on_signal_again(int signum) {
  signal(SIGINT, interrupt_on_signal_again); /* the disposition is reset at each signal */
  interrupt_on_signal(signum);               /* may put the default back */
}

static bool interrupt_install(asy_Interrupt *watch) {
  watch->previous = signal(SIGINT, interrupt_on_signal_again);
  if (watch->previous != SIG_IGN) return true;
  signal(SIGINT, SIG_IGN);
  return false;
}

static void interrupt_restore(asy_Interrupt *watch) {
  signal(SIGINT, watch->previous);
}

#else

/* Note the thread. One that blocks SIGINT does not want it. */
static bool interrupt_can_reach(asy_Interrupt *watch) {
  sigset_t blocked;
  watch->thread = pthread_self();
  return pthread_sigmask(SIG_BLOCK, NULL, &blocked) == 0 && !sigismember(&blocked, SIGINT);
}

static bool interrupt_install(asy_Interrupt *watch) {
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_handler = interrupt_on_signal;
  sigemptyset(&action.sa_mask);
  if (sigaction(SIGINT, NULL, &watch->previous) != 0 || watch->previous.sa_handler == SIG_IGN)
    return false;
  return sigaction(SIGINT, &action, NULL) == 0;
}

/* Somebody may have put a handler of his own over ours, and be there still: it is left alone, but
 * if it is the program's (loop:add_signal_handler), what it gives back one day is no longer ours.
 */
static void interrupt_restore(asy_Interrupt *watch) {
  struct sigaction now, *before = watch->S->sigint_before;
  if (before && before->sa_handler == interrupt_on_signal)
    *before = watch->previous;
  else if (sigaction(SIGINT, NULL, &now) == 0 &&
           (now.sa_handler == interrupt_on_signal ||
            (now.sa_handler == SIG_DFL && interrupt_gave_up(watch))))
    sigaction(SIGINT, &watch->previous, NULL);
}

#endif

void asy_interrupt_begin(asy_Interrupt *watch) {
  watch->count = 0;
  watch->active = false;
  if (watch->S->sigint_before) return; /* the program has a handler of its own */
  if (!interrupt_can_reach(watch) || INTERRUPT_SWAP(NULL, watch)) return;
  watch->active = interrupt_install(watch);
  if (!watch->active) interrupt_leave(watch);
}

void asy_interrupt_end(asy_Interrupt *watch) {
  if (!watch->active) return;
  interrupt_restore(watch);
  interrupt_leave(watch);
  watch->active = false;
  interrupt_hook_all(watch, NULL);
}
