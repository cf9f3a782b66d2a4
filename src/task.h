/* SPDX-License-Identifier: MIT */
/* task.h - Task: a function that runs on a Lua thread of its own, step by step.
 *
 * A pending task is held by its loop (ASY_LOOP_TASKS), and so is its thread (ASY_LOOP_THREADS, same
 * number): it is never collected. The thread goes back to the loop's pool when the function has
 * returned. */
#ifndef ASY_TASK_H
#define ASY_TASK_H

#include "coro.h"

struct asy_Task {
  asy_Future fut; /* first: a Task is a Future */
  asy_Wait wait;
  asy_Link all;            /* in asy_Loop.tasks until it is done */
  uint64_t number : 48;    /* of the default name Task-<number>; 0: a name was set (extras) */
  uint64_t deliveries : 8; /* cancellations delivered again while a Runner shuts down */
  bool on_path : 1;        /* a cancel() is passing through it down the chain of waits */
  bool handed_out : 1;     /* the thread is known outside: never used again */
  int cancels;             /* cancel requests not withdrawn by uncancel */
  unsigned cancelled_at;   /* wait.parks at the last cancel: more parks since then mean that it was
                              swallowed (shutdown) */
};

#define ASY_TASK_OF_WAIT(w) ASY_CONTAINER(w, asy_Task, wait)

/* The task that is being executed, or NULL. [-0, +0, -] */
static inline asy_Task *asy_task_current(asy_State *S) {
  return S->waiter ? ASY_TASK_OF_WAIT(S->waiter) : NULL;
}

/* Push the Lua value of a task that is not done. [-0, +1, -] */
static inline void asy_task_push(lua_State *L, const asy_Task *task) {
  lua_State *shelf = task->fut.loop->shelf;
  lua_rawgeti(shelf, ASY_LOOP_TASKS, task->wait.slot);
  lua_xmove(shelf, L, 1);
}

/* Start a task from a function and nargs arguments on top of the stack; pops them, pushes the Task.
 * Its first step is queued (or run now, with an eager task factory). [-(nargs+1), +1, m] */
ASY_FUNC asy_Task *asy_task_new(lua_State *L, asy_Loop *loop, int nargs);

/* Make a Future or Task of the awaitable at idx: itself, or a new task of `loop`. Pushes it. [-0,
 * +1, v] */
ASY_FUNC asy_Future *asy_task_ensure(lua_State *L, asy_Loop *loop, int idx);

/* Cancel; the message is at index msg of L (0: none). False if the task is done. [-0, +0, -] */
ASY_FUNC bool asy_task_cancel(lua_State *L, asy_Task *task, int msg);

/* Withdraw one cancel request; returns how many are left. [-0, +0, -] */
ASY_FUNC int asy_task_uncancel(asy_Task *task);

/* Close a pending task: its to-be-closed variables run, it counts as cancelled. [-0, +0, -] */
ASY_FUNC void asy_task_close(lua_State *L, asy_Task *task);

/* Push a list of all pending tasks, in the order of creation. [-0, +1, m] */
ASY_FUNC void asy_task_push_all(lua_State *L, asy_Loop *loop);

/* The Task at arg, or an argument error. [-0, +0, v] */
ASY_FUNC asy_Task *asy_task_check(lua_State *L, int arg);

/* Push the function of the task at idx, or nil if its thread was closed by hand. [-0, +1, -] */
ASY_FUNC void asy_task_push_function(lua_State *L, int idx, asy_Task *task);

/* Push the name of the task at idx. [-0, +1, m] */
ASY_FUNC const char *asy_task_push_name(lua_State *L, int idx, asy_Task *task);

ASY_FUNC void asy_task_open(lua_State *L, asy_State *S);

#endif
