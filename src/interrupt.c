/* SPDX-License-Identifier: MIT */
/* interrupt.c - Ctrl-C: SIGINT while a loop is driven.
 *
 * The handler counts and wakes the poll. When the count passes what is tolerated it also sets a
 * hook on the threads that may be executing Lua code, as lua itself does, so that a busy loop is
 * interrupted by a KeyboardInterrupt. The pointer below, with the thread that it belongs to, is the
 * one writable static variable of the library: a signal handler gets no argument. The system may
 * deliver the signal to any thread, to one that runs a job for instance: that one hands it on. */
#include "interrupt.h"

#include <errno.h>
#include <string.h>

#ifndef _WIN32
#include <pthread.h>
#include <signal.h>
#endif

#include "error.h"

static asy_Interrupt *volatile interrupt_watch = NULL;

#ifndef _WIN32
static pthread_t interrupt_thread; /* on which the watch lives; valid while there is one */
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

/* Is this another thread than the watch's? Then that one gets the signal instead. */
static bool interrupt_is_elsewhere(void) {
#ifdef _WIN32
  return false;
#else
  return !pthread_equal(pthread_self(), interrupt_thread) &&
         pthread_kill(interrupt_thread, SIGINT) == 0;
#endif
}

static void interrupt_on_signal(int signum) {
  int saved = errno;
  asy_Interrupt *watch = interrupt_watch;
  if (watch && !interrupt_is_elsewhere()) {
    watch->count++;
    if (asy_interrupt_is_due(watch)) interrupt_hook_all(watch, interrupt_raise);
    /* That did not help: a C function is busy, or a coroutine that we do not know. The next one
     * ends the process, as it does in lua itself. */
    if (watch->count > watch->tolerated + 1) signal(signum, SIG_DFL);
    watch->wake(watch->arg);
  }
  errno = saved;
}

#ifdef _WIN32

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
  else if (sigaction(SIGINT, NULL, &now) == 0 && now.sa_handler == interrupt_on_signal)
    sigaction(SIGINT, &watch->previous, NULL);
}

#endif

void asy_interrupt_begin(asy_Interrupt *watch) {
  watch->count = 0;
  watch->active = false;
  if (interrupt_watch || watch->S->sigint_before)
    return; /* or the program has a handler of its own */
#ifndef _WIN32
  interrupt_thread = pthread_self();
#endif
  interrupt_watch = watch;
  watch->active = interrupt_install(watch);
  if (!watch->active) interrupt_watch = NULL;
}

void asy_interrupt_end(asy_Interrupt *watch) {
  if (!watch->active) return;
  interrupt_restore(watch);
  interrupt_watch = NULL;
  watch->active = false;
  interrupt_hook_all(watch, NULL);
}
