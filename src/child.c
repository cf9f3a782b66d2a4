/* SPDX-License-Identifier: MIT */
/* child.c - see child.h. */
#include "child.h"

#include <signal.h>
#include <string.h>

#include "loop.h"
#include "sys.h"
#include "wait.h"

/* A loop that closes waits so many milliseconds at the most for the children that it has killed. */
#define CHILD_PATIENCE 1000

/* Besides, so often (in milliseconds) is asked after children whose SIGCHLD may never come: because
 * somebody else in the program ignores or blocks it. */
#define CHILD_LOOK 1000

/* Besides Lua and libuv: the entry `ended` is queued. */
#define CHILD_HELD_BY_ENTRY 4

/* The children of a loop. Made before the first child, it is closed before them with the loop. */
struct asy_ChildWatch {
  asy_Resource res;
  uv_signal_t uv;   /* SIGCHLD, while there are children */
  uv_timer_t timer; /* likewise */
  asy_List children;
  bool watching;
  uint8_t open; /* handles that are not closed yet */
};

/* ---- life */

static void child_on_close(uv_handle_t *handle) {
  asy_Child *c = ASY_CONTAINER(handle, asy_Child, uv);
  if (asy_resource_release(&c->res, ASY_HELD_BY_UV)) asy_free(c);
}

static void child_close_handle(asy_Child *c) {
  if (!c->has_handle) return;
  c->has_handle = false;
  uv_close((uv_handle_t *)&c->uv, child_on_close);
}

/* Whether anybody waits or not: simulated time need not stand still for it any more. */
static void child_land(asy_Child *c) {
  if (c->in_flight) c->res.loop->in_flight--;
  c->in_flight = false;
}

static void child_forget_waiters(asy_Child *c) {
  asy_list_clear(&c->waiters);
  child_land(c);
}

static void child_unwatch(asy_ChildWatch *watch) {
  if (!watch->watching || !asy_list_is_empty(&watch->children)) return;
  watch->watching = false;
  uv_timer_stop(&watch->timer);
  asy_disposition_unwatch(watch->res.loop->S, &watch->uv, ASY_SYS_SIGCHLD);
}

/* Its loop has nothing to do with it any more. libuv's handle first: libuv watches SIGCHLD, too,
 * and leaves nothing of what was there before. */
static void child_settle(asy_Child *c) {
  asy_ChildWatch *watch = c->res.loop->children;
  child_close_handle(c);
  asy_list_remove(&c->ended.link);
  asy_list_remove(&c->link);
  asy_resource_detach(&c->res);
  child_unwatch(watch);
  if (asy_resource_release(&c->res, CHILD_HELD_BY_ENTRY)) asy_free(c);
}

/* The loop's turn after the end: let go of the object. */
static void child_run_ended(lua_State *L, asy_Loop *loop, asy_Ready *entry) {
  asy_Child *c = ASY_CONTAINER(entry, asy_Child, ended);
  asy_resource_unpin(L, loop, c);
  child_settle(c);
}

/* The handle is closed at once: libuv must not ask after this pid again. */
static void child_end(asy_Child *c, asy_ChildState state, int64_t code) {
  if (c->state != ASY_CHILD_RUNNING) return;
  c->state = (uint8_t)state;
  c->code = code;
  child_close_handle(c);
  asy_wait_wake_all(&c->waiters, 0);
  child_land(c);
  asy_resource_hold(&c->res, CHILD_HELD_BY_ENTRY);
  asy_ready_append(c->res.loop, &c->ended);
}

/* libuv has reaped it. */
static void child_on_exit(uv_process_t *uv, int64_t status, int signum) {
  child_end(ASY_CONTAINER(uv, asy_Child, uv), ASY_CHILD_ENDED, signum ? -(int64_t)signum : status);
}

/* Ask after a child: reap it if it has ended. */
static void child_check(asy_Child *c) {
  int64_t code = 0;
  if (c->state != ASY_CHILD_RUNNING) return;
  int err = asy_sys_reap(c->pid, &code);
  if (err != UV_EAGAIN) child_end(c, err ? ASY_CHILD_LOST : ASY_CHILD_ENDED, code);
}

static void child_check_all(asy_ChildWatch *watch) {
  for (asy_Link *link = asy_list_first(&watch->children); link;
       link = asy_list_next(&watch->children, link))
    child_check(ASY_CONTAINER(link, asy_Child, link));
}

static void child_on_signal(uv_signal_t *uv, int signum) {
  (void)signum;
  child_check_all(ASY_CONTAINER(uv, asy_ChildWatch, uv));
}

static void child_on_look(uv_timer_t *timer) {
  child_check_all(ASY_CONTAINER(timer, asy_ChildWatch, timer));
}

/* ---- the end of the loop */

/* Nobody is woken any more. */
static void child_kill(asy_Child *c) {
  child_forget_waiters(c);
  if (c->state == ASY_CHILD_RUNNING && !c->survives) asy_child_signal(c, SIGKILL);
}

/* Reap what was killed; a child that is not gone by the deadline is left alone, as is one that
 * survives. */
static void child_leave(asy_Child *c, uint64_t deadline) {
  child_check(c);
  while (c->state == ASY_CHILD_RUNNING && !c->survives && uv_hrtime() < deadline) {
    uv_sleep(1);
    child_check(c);
  }
  if (c->state == ASY_CHILD_RUNNING) c->state = ASY_CHILD_LEFT;
  child_settle(c);
}

static uint64_t child_deadline(void) {
  return uv_hrtime() + (uint64_t)CHILD_PATIENCE * 1000000u;
}

static void child_on_loop_close(asy_Closer *closer) {
  asy_Child *c = ASY_CONTAINER(closer, asy_Child, res.closer);
  child_kill(c);
  child_leave(c, child_deadline());
}

static void child_watch_on_close(uv_handle_t *handle) {
  asy_ChildWatch *watch = handle->data;
  if (--watch->open == 0) asy_free(watch);
}

/* All of them are killed first, then waited for. */
static void child_watch_on_loop_close(asy_Closer *closer) {
  asy_ChildWatch *watch = ASY_CONTAINER(closer, asy_ChildWatch, res.closer);
  asy_Loop *loop = watch->res.loop;
  asy_Link *link;
  uint64_t deadline = child_deadline();
  for (link = asy_list_first(&watch->children); link; link = asy_list_next(&watch->children, link))
    child_kill(ASY_CONTAINER(link, asy_Child, link));
  while ((link = asy_list_first(&watch->children)) != NULL)
    child_leave(ASY_CONTAINER(link, asy_Child, link), deadline);
  loop->children = NULL;
  asy_resource_detach(&watch->res);
  uv_close((uv_handle_t *)&watch->uv, child_watch_on_close);
  uv_close((uv_handle_t *)&watch->timer, child_watch_on_close);
}

/* ---- starting */

static int child_make_watch(asy_Loop *loop) {
  asy_ChildWatch *watch = asy_malloc(sizeof *watch);
  if (!watch) return UV_ENOMEM;
  int err = uv_signal_init(asy_loop_uv(loop), &watch->uv);
  if (err) {
    asy_free(watch);
    return err;
  }
  uv_timer_init(asy_loop_uv(loop), &watch->timer);
  uv_unref((uv_handle_t *)&watch->uv);
  uv_unref((uv_handle_t *)&watch->timer);
  watch->uv.data = watch->timer.data = watch;
  watch->open = 2;
  asy_list_init(&watch->children);
  watch->watching = false;
  asy_resource_init(&watch->res, loop, child_watch_on_loop_close);
  loop->children = watch;
  return 0;
}

/* Before libuv watches SIGCHLD itself: what was there is noted here. */
static int child_watch(asy_Loop *loop) {
  int err = loop->children ? 0 : child_make_watch(loop);
  if (err || !ASY_SYS_SIGCHLD || loop->children->watching) return err;
  err = asy_disposition_watch(loop->S, &loop->children->uv, child_on_signal, ASY_SYS_SIGCHLD);
  if (err) return err;
  loop->children->watching = true;
  uv_timer_start(&loop->children->timer, child_on_look, CHILD_LOOK, CHILD_LOOK);
  return 0;
}

asy_Child *asy_child_new(void) {
  asy_Child *c = asy_malloc(sizeof *c);
  if (!c) return NULL;
  memset(c, 0, sizeof *c);
  asy_list_init(&c->link);
  asy_list_init(&c->waiters);
  asy_list_init(&c->res.closer.link);
  asy_ready_init(&c->ended, child_run_ended);
  asy_resource_hold(&c->res, ASY_HELD_BY_LUA);
  return c;
}

int asy_child_start(asy_Child *c, asy_Loop *loop, uv_process_options_t *options) {
  int err = child_watch(loop);
  if (err) return err;
  options->exit_cb = child_on_exit;
  err = uv_spawn(asy_loop_uv(loop), &c->uv, options);
  c->has_handle = true; /* also if it has failed */
  asy_resource_hold(&c->res, ASY_HELD_BY_UV);
  if (err) {
    child_close_handle(c);
    child_unwatch(loop->children);
    return err;
  }
  c->pid = c->uv.pid;
  c->state = ASY_CHILD_RUNNING;
  asy_resource_init(&c->res, loop, child_on_loop_close);
  c->res.holders = ASY_HELD_BY_LUA | ASY_HELD_BY_UV;
  asy_list_append(&loop->children->children, &c->link);
  return 0;
}

/* ---- while it runs */

int asy_child_signal(asy_Child *c, int signum) {
  if (c->state != ASY_CHILD_RUNNING) return UV_ESRCH;
  child_check(c); /* its pid may be another's by now, if somebody else has reaped it */
  if (c->state != ASY_CHILD_RUNNING) return 0;
  return uv_kill(c->group && ASY_SYS_HAS_GROUPS ? -c->pid : c->pid, signum);
}

void asy_child_await(asy_Child *c, asy_Wait *w) {
  asy_list_append(&c->waiters, &w->link);
  if (!c->in_flight) c->res.loop->in_flight++;
  c->in_flight = true;
}

void asy_child_awaited(asy_Child *c, asy_Wait *w) {
  asy_list_remove(&w->link);
  if (asy_list_is_empty(&c->waiters)) child_land(c);
}

void asy_child_release(asy_Child *c) {
  /* Tasks hold the object, but not if __gc was called by hand. */
  asy_wait_wake_all(&c->waiters, 0);
  child_forget_waiters(c);
  if (asy_resource_release(&c->res, ASY_HELD_BY_LUA)) asy_free(c);
}
