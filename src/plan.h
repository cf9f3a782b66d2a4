/* SPDX-License-Identifier: MIT */
/* plan.h - what create_subprocess_exec and _shell are asked for: their options, read and checked
 * before anything is started. */
#ifndef ASY_PLAN_H
#define ASY_PLAN_H

#include "flow.h"

/* stdin, stdout, stderr: descriptors 0, 1, 2 of the child */
#define ASY_PLAN_STREAMS 3

/* Where one of the child's standard streams comes from. */
typedef enum asy_PlanSource {
  ASY_PLAN_PIPE, /* in the order of the names of the option */
  ASY_PLAN_INHERIT,
  ASY_PLAN_DEVNULL,
  ASY_PLAN_STDOUT, /* stderr only: the same as stdout */
  ASY_PLAN_GIVEN   /* a descriptor */
} asy_PlanSource;

typedef struct asy_Plan {
  uv_process_options_t uv; /* file, args and stdio are the caller's */
  asy_PlanSource source[ASY_PLAN_STREAMS];
  int given[ASY_PLAN_STREAMS];          /* ASY_PLAN_GIVEN: the descriptor */
  asy_Stream *handed[ASY_PLAN_STREAMS]; /* whose descriptor that is, or NULL */
  size_t limit;                         /* of the Streams, in bytes */
  double grace;                         /* seconds between SIGTERM and SIGKILL */
  bool survives;                        /* the end of its loop */
  bool group;                           /* it leads a process group, to which signals go */
} asy_Plan;

/* "stdin", "stdout", "stderr" */
ASY_FUNC const char *asy_plan_name(int i);

/* The string at arg, without zeros: else an argument error. [-0, +0, v] */
ASY_FUNC const char *asy_plan_check_text(lua_State *L, int arg);

/* The arguments from `first` to `last` as a list for uv_spawn, behind `more` places; pushes its
 * memory. [-0, +1, v] */
ASY_FUNC char **asy_plan_push_argv(lua_State *L, int first, int last, int more);

/* Read the options at `opts`; what is needed until the child has started is pushed. [-0, +?, v] */
ASY_FUNC void asy_plan_read(lua_State *L, int opts, asy_Plan *plan);

#endif
