/* SPDX-License-Identifier: MIT */
/* exit.h - what is still to be done when the process ends by exit(), as os.exit calls it: nobody
 * closes the loops then.
 *
 * lua_close comes first where it comes at all; whatever it closes has nothing left to do here. */
#ifndef ASY_EXIT_H
#define ASY_EXIT_H

#include <uv.h>

#include "core.h"

/* Embedded in what it belongs to. */
typedef struct asy_Exit {
  asy_Link link;
  uv_thread_t owner;              /* only if this thread ends the process, unless `anywhere` */
  uv_pid_t pid;                   /* not in a child that was forked from it */
  void (*run)(struct asy_Exit *); /* no Lua; NULL: it was never added */
  bool anywhere; /* any thread runs it; the owner cannot remove it meanwhile, nor `run` itself */
} asy_Exit;

/* From now on, until asy_exit_remove, which the owner may call at any time after asy_exit_init. */
ASY_FUNC void asy_exit_add(asy_Exit *e, void (*run)(asy_Exit *));
ASY_FUNC void asy_exit_remove(asy_Exit *e);

static inline void asy_exit_init(asy_Exit *e, bool anywhere) {
  asy_list_init(&e->link);
  e->run = NULL;
  e->anywhere = anywhere;
}

#endif
