/* SPDX-License-Identifier: MIT */
/* exit.c - see exit.h. The list is the process's, as the end of a process is: static, and guarded
 * by a mutex. */
#include "exit.h"

#include <stdlib.h>

static uv_once_t exit_once = UV_ONCE_INIT;
static uv_mutex_t exit_mutex;
static asy_List exit_list;

/* Take out the next one for this thread; NULL: there is none. The mutex is held. */
static asy_Exit *exit_take(void) {
  uv_thread_t self = uv_thread_self();
  for (asy_Link *link = asy_list_first(&exit_list); link; link = asy_list_next(&exit_list, link)) {
    asy_Exit *e = ASY_CONTAINER(link, asy_Exit, link);
    if (e->pid != uv_os_getpid() || !(e->anywhere || uv_thread_equal(&e->owner, &self))) continue;
    asy_list_remove(link);
    return e;
  }
  return NULL;
}

/* The mutex is free while one of this thread runs: it may wait for a thread that wants it. */
static void exit_run_all(void) {
  asy_Exit *e;
  uv_mutex_lock(&exit_mutex);
  while ((e = exit_take()) != NULL) {
    bool held = e->anywhere;
    if (!held) uv_mutex_unlock(&exit_mutex);
    e->run(e);
    if (!held) uv_mutex_lock(&exit_mutex);
  }
  uv_mutex_unlock(&exit_mutex);
}

static void exit_begin(void) {
  asy_list_init(&exit_list);
  if (uv_mutex_init(&exit_mutex)) abort();
  atexit(exit_run_all);
}

void asy_exit_add(asy_Exit *e, void (*run)(asy_Exit *)) {
  uv_once(&exit_once, exit_begin);
  e->owner = uv_thread_self();
  e->pid = uv_os_getpid();
  e->run = run;
  uv_mutex_lock(&exit_mutex);
  asy_list_append(&exit_list, &e->link);
  uv_mutex_unlock(&exit_mutex);
}

void asy_exit_remove(asy_Exit *e) {
  if (!e->run) return;
  uv_mutex_lock(&exit_mutex);
  asy_list_remove(&e->link);
  uv_mutex_unlock(&exit_mutex);
}
