/* SPDX-License-Identifier: MIT */
/* interrupt.h - Ctrl-C: SIGINT while a loop is driven. Signals belong to the process: one drive at
 * a time watches, the first one if several threads drive, and gets the signal on whatever thread it
 * comes. */
#ifndef ASY_INTERRUPT_H
#define ASY_INTERRUPT_H

#ifndef _WIN32
#include <pthread.h>
#endif
#include <signal.h>

#include "task.h"

/* One watch; lies in the C frame of the drive. */
typedef struct asy_Interrupt {
  volatile sig_atomic_t count; /* SIGINTs since it began; set by the signal handler */
  int tolerated; /* so many do not interrupt Lua code: the driver cancels the main task instead */
  bool active;   /* it is the one that watches */
  lua_State *L;  /* the driver's thread */
  asy_State *S;
  void (*wake)(void *arg); /* async-signal-safe: ends the poll */
  void *arg;
#ifdef _WIN32
  void (*previous)(int);
#else
  pthread_t thread;          /* the driver's */
  struct sigaction previous; /* given back by asy_interrupt_end */
#endif
} asy_Interrupt;

/* Watch SIGINT until asy_interrupt_end; does nothing if it is ignored, if this thread blocks it, or
 * if another drive watches. The caller has set tolerated, L, S, wake and arg. [-0, +0, -] */
ASY_FUNC void asy_interrupt_begin(asy_Interrupt *watch);

/* Give back the disposition that was there before. [-0, +0, -] */
ASY_FUNC void asy_interrupt_end(asy_Interrupt *watch);

/* Has a SIGINT come that must end the drive? [-0, +0, -] */
static inline bool asy_interrupt_is_due(const asy_Interrupt *watch) {
  return watch->count > watch->tolerated;
}

#endif
