/* SPDX-License-Identifier: MIT */
/* fd.c - see fd.h. There is one uv_poll_t for all who wait for a descriptor (sys.h says how it
 * watches).
 *
 * The number may be closed, and used again, while it is watched. The system tells nobody; therefore
 * each poll is preceded by a look whether the numbers still mean what they did (fd_on_prepare), at
 * most once in a tick of the coarse clock. Before a poll, too, what nobody waits for any more is
 * given up, and not at the end of a wait: a task that waits again in the same turn finds everything
 * as it was.
 *
 * Handlers of add_reader and add_writer lie in Handles, pinned under the address of their side.
 * Tasks that wait are served one at a poll, in the order in which they came. */
#include "fd.h"

#include <limits.h>
#include <stdio.h>

#include "descriptor.h"
#include "error.h"
#include "handle.h"
#include "loop.h"
#include "resource.h"
#include "sys.h"
#include "wait.h"

#define FD_BUCKETS 64 /* a power of two */
#define FD_LATER 5    /* milliseconds: when a look that was left out is made */

enum { FD_IN, FD_OUT };

/* Who waits for one direction. */
typedef struct fd_Side {
  struct fd_Watch *watch;
  asy_List waiters; /* asy_Wait.link */
  asy_Ready entry;  /* in the ready queue while the handler is to be called */
  bool handled;     /* there is a handler; it is pinned */
} fd_Side;

/* A descriptor that is watched. */
typedef struct fd_Watch {
  asy_Resource res;
  uv_poll_t poll;
  asy_Link bucket; /* in fd_Set.buckets; in none once its number means something else */
  asy_Link idle;   /* in fd_Set.idle, if somebody has just left */
  fd_Side sides[2];
  uv_os_sock_t fd;  /* the user's */
  uv_os_sock_t own; /* what libuv watches; valid while `active` */
  asy_SysId id;
  int events; /* what is polled for */
  bool active;
} fd_Watch;

/* All that a loop watches. */
typedef struct fd_Set {
  asy_Resource res;
  uv_prepare_t prepare;
  uv_timer_t timer; /* for a look that was left out */
  asy_List buckets[FD_BUCKETS];
  asy_List idle;  /* fd_Watch.idle */
  uint64_t swept; /* asy_sys_tick of the last look */
  size_t count;   /* of the watches in the buckets */
  int open;       /* handles that libuv has */
} fd_Set;

/* ---- the end of a watch */

static void fd_on_close(uv_handle_t *handle) {
  fd_Watch *watch = ASY_CONTAINER(handle, fd_Watch, poll);
  if (asy_resource_release(&watch->res, ASY_HELD_BY_UV)) asy_free(watch);
}

/* Its number means something else from now on, or nobody is interested: stop polling. */
static void fd_detach(fd_Watch *watch) {
  if (!watch->active) return;
  watch->active = false;
  asy_list_remove(&watch->bucket);
  asy_list_remove(&watch->idle);
  watch->res.loop->foreign->count--;
  uv_poll_stop(&watch->poll);
  asy_sys_watch_done(watch->own);
}

/* Nobody is called any more. The pins are the caller's, or die with the loop. */
static void fd_close(asy_Closer *closer) {
  fd_Watch *watch = ASY_CONTAINER(closer, fd_Watch, res.closer);
  fd_detach(watch);
  for (int i = FD_IN; i <= FD_OUT; i++) {
    asy_list_clear(&watch->sides[i].waiters);
    asy_list_remove(&watch->sides[i].entry.link);
  }
  asy_resource_detach(&watch->res);
  uv_close((uv_handle_t *)&watch->poll, fd_on_close);
}

static bool fd_is_wanted(const fd_Side *side) {
  return side->handled || !asy_list_is_empty(&side->waiters);
}

/* The user has closed his number: whoever waits learns it. */
static void fd_lose(fd_Watch *watch) {
  bool handled = false;
  fd_detach(watch);
  for (int i = FD_IN; i <= FD_OUT; i++) {
    fd_Side *side = &watch->sides[i];
    for (asy_Link *link; (link = asy_list_take(&side->waiters));) {
      asy_Wait *w = ASY_CONTAINER(link, asy_Wait, link);
      if (asy_wait_wake(w)) w->status = UV_EBADF;
    }
    if (!side->handled) continue;
    handled = true; /* it is reported in the loop's turn */
    asy_list_remove(&side->entry.link);
    asy_ready_append(watch->res.loop, &side->entry);
  }
  if (!handled) fd_close(&watch->res.closer);
}

/* ---- polling */

static void fd_on_poll(uv_poll_t *poll, int status, int events);

/* Poll for what is waited for now. 0 or a libuv code. */
static int fd_update(fd_Watch *watch) {
  int events = (fd_is_wanted(&watch->sides[FD_IN]) ? UV_READABLE : 0) |
               (fd_is_wanted(&watch->sides[FD_OUT]) ? UV_WRITABLE : 0);
  if (events == watch->events) return 0;
  int err = asy_sys_watch_start(&watch->poll, watch->fd, watch->own, events, fd_on_poll);
  if (!err) watch->events = events;
  return err;
}

static void fd_note_idle(fd_Watch *watch) {
  if (watch->active && asy_list_is_empty(&watch->idle))
    asy_list_append(&watch->res.loop->foreign->idle, &watch->idle);
}

/* One task is woken, and only if none has been that has not run since. */
static void fd_tell(fd_Watch *watch, fd_Side *side) {
  if (side->handled && asy_list_is_empty(&side->entry.link))
    asy_ready_append(watch->res.loop, &side->entry);
  for (asy_Link *link = asy_list_first(&side->waiters); link;
       link = asy_list_next(&side->waiters, link)) {
    asy_Wait *w = ASY_CONTAINER(link, asy_Wait, link);
    if (w->state == ASY_WAIT_WOKEN || asy_wait_wake(w)) break;
  }
  if (!fd_is_wanted(side)) fd_note_idle(watch); /* a task was closed by hand */
}

static void fd_on_poll(uv_poll_t *poll, int status, int events) {
  fd_Watch *watch = ASY_CONTAINER(poll, fd_Watch, poll);
  if (!watch->active) return;
  if (status < 0) { /* libuv has stopped: before the next poll it is started again, if need be */
    watch->events = 0;
    fd_note_idle(watch);
  }
  events = asy_sys_watch_events(watch->own, status, events);
  if (events & UV_READABLE) fd_tell(watch, &watch->sides[FD_IN]);
  if (events & UV_WRITABLE) fd_tell(watch, &watch->sides[FD_OUT]);
}

/* Whoever left may have been the last. */
static void fd_tidy(fd_Set *set) {
  for (asy_Link *link; (link = asy_list_take(&set->idle));) {
    fd_Watch *watch = ASY_CONTAINER(link, fd_Watch, idle);
    if (!fd_is_wanted(&watch->sides[FD_IN]) && !fd_is_wanted(&watch->sides[FD_OUT]))
      fd_close(&watch->res.closer);
    else if (fd_update(watch))
      fd_lose(watch); /* the system has no memory for it */
  }
}

/* Do the numbers still mean what they did? */
static void fd_sweep(fd_Set *set) {
  for (int i = 0; i < FD_BUCKETS; i++) {
    for (asy_Link *next, *link = asy_list_first(&set->buckets[i]); link; link = next) {
      fd_Watch *watch = ASY_CONTAINER(link, fd_Watch, bucket);
      next = asy_list_next(&set->buckets[i], link);
      if (!asy_sys_is_same(watch->fd, &watch->id)) fd_lose(watch);
    }
  }
}

static void fd_on_timer(uv_timer_t *timer) {
  (void)timer; /* there will be a poll now, and so a look */
}

static void fd_on_prepare(uv_prepare_t *prepare) {
  fd_Set *set = ASY_CONTAINER(prepare, fd_Set, prepare);
  uint64_t now = asy_sys_tick();
  if (!set->res.loop) return;
  fd_tidy(set);
  if (!set->count) {
    uv_prepare_stop(&set->prepare);
  } else if (now != set->swept) {
    set->swept = now;
    fd_sweep(set);
  } else if (!uv_is_active((uv_handle_t *)&set->timer)) {
    uv_timer_start(&set->timer, fd_on_timer, FD_LATER, 0);
  }
  asy_Loop *loop = set->res.loop;
  if (!loop->hosted && !asy_list_is_empty(&loop->ready))
    uv_stop(prepare->loop); /* the poll must not sleep now; on a host's loop the ready queue sees to
                               that */
}

/* ---- the set */

static void fd_on_set_close(uv_handle_t *handle) {
  fd_Set *set = handle->data;
  if (--set->open == 0 && asy_resource_release(&set->res, ASY_HELD_BY_UV)) asy_free(set);
}

static void fd_close_set(asy_Closer *closer) {
  fd_Set *set = ASY_CONTAINER(closer, fd_Set, res.closer);
  asy_resource_detach(&set->res);
  uv_close((uv_handle_t *)&set->prepare, fd_on_set_close);
  uv_close((uv_handle_t *)&set->timer, fd_on_set_close);
}

/* 0 or a libuv code */
static int fd_open_set(asy_Loop *loop) {
  if (loop->foreign) return 0;
  fd_Set *set = asy_malloc(sizeof *set);
  if (!set) return UV_ENOMEM;
  uv_prepare_init(asy_loop_uv(loop), &set->prepare); /* neither can fail */
  uv_timer_init(asy_loop_uv(loop), &set->timer);
  set->prepare.data = set->timer.data = set;
  uv_unref((uv_handle_t *)&set->prepare);
  uv_unref((uv_handle_t *)&set->timer);
  for (int i = 0; i < FD_BUCKETS; i++)
    asy_list_init(&set->buckets[i]);
  asy_list_init(&set->idle);
  set->swept = 0;
  set->count = 0;
  set->open = 2;
  asy_resource_init(&set->res, loop, fd_close_set);
  asy_resource_hold(&set->res, ASY_HELD_BY_UV);
  loop->foreign = set;
  return 0;
}

static asy_List *fd_bucket(fd_Set *set, uv_os_sock_t fd) {
  return &set->buckets[(size_t)fd & (FD_BUCKETS - 1)];
}

/* The watch of a number, or NULL. */
static fd_Watch *fd_find(asy_Loop *loop, uv_os_sock_t fd) {
  asy_List *bucket = loop->foreign ? fd_bucket(loop->foreign, fd) : NULL;
  for (asy_Link *link = bucket ? asy_list_first(bucket) : NULL; link;
       link = asy_list_next(bucket, link)) {
    fd_Watch *watch = ASY_CONTAINER(link, fd_Watch, bucket);
    if (watch->fd == fd) return watch;
  }
  return NULL;
}

/* ---- making a watch */

typedef struct fd_Search {
  uv_os_sock_t fd;
  bool found;
} fd_Search;

static void fd_on_walk(uv_handle_t *handle, void *arg) {
  fd_Search *search = arg;
  uv_os_fd_t fd;
  if (uv_is_closing(handle) || uv_fileno(handle, &fd)) return;
  if ((uv_os_sock_t)fd == search->fd) search->found = true;
}

static void fd_run(lua_State *L, asy_Loop *loop, asy_Ready *entry);

/* 0 or a libuv code; UV_EEXIST: a Stream has it. */
static int fd_new(asy_Loop *loop, uv_os_sock_t fd, fd_Watch **out) {
  fd_Search search = {fd, false};
  asy_SysId id;
  int err = asy_sys_identify(fd, &id);
  if (err) return err;
  uv_walk(asy_loop_uv(loop), fd_on_walk, &search);
  if (search.found) return UV_EEXIST;
  err = fd_open_set(loop);
  fd_Watch *watch = err ? NULL : asy_malloc(sizeof *watch);
  if (!watch) return UV_ENOMEM;
  err = asy_sys_watch_init(asy_loop_uv(loop), &watch->poll, fd, &watch->own);
  if (err) {
    asy_free(watch);
    return err;
  }
  asy_resource_init(&watch->res, loop, fd_close);
  asy_resource_hold(&watch->res, ASY_HELD_BY_UV);
  for (int i = FD_IN; i <= FD_OUT; i++) {
    watch->sides[i].watch = watch;
    asy_list_init(&watch->sides[i].waiters);
    asy_ready_init(&watch->sides[i].entry, fd_run);
    watch->sides[i].handled = false;
  }
  watch->fd = fd;
  watch->id = id;
  watch->events = 0;
  watch->active = true;
  asy_list_append(fd_bucket(loop->foreign, fd), &watch->bucket);
  asy_list_init(&watch->idle);
  loop->foreign->count++;
  uv_prepare_start(&loop->foreign->prepare, fd_on_prepare);
  fd_note_idle(watch); /* until somebody waits */
  *out = watch;
  return 0;
}

/* ---- errors */

static const char *fd_reason(int code) {
  switch (code) {
  case UV_EPERM: return "it cannot be polled: a plain file, for example, is always ready (EPERM)";
  case UV_EEXIST: return "a Stream or another part of the library has it (EEXIST)";
  case UV_EBADF: return "the descriptor is closed (EBADF)";
  default: return NULL;
  }
}

static void fd_push_error(lua_State *L, asy_State *S, int code, const char *op, uv_os_sock_t fd) {
  char where[32];
  snprintf(where, sizeof where, "%lld", (long long)fd);
  asy_error_push_os(L, S, code, op, where);
  if (!fd_reason(code)) return;
  lua_pushfstring(L, "%s %s: %s", op, where, fd_reason(code));
  lua_setfield(L, -2, "message");
}

static int fd_raise(lua_State *L, asy_State *S, int code, const char *op, uv_os_sock_t fd) {
  fd_push_error(L, S, code, op, fd);
  return lua_error(L);
}

/* ---- arguments */

/* The descriptor at arg. Calls methods of the object there. */
static uv_os_sock_t fd_check(lua_State *L, asy_State *S, int arg, const char *op) {
  lua_Integer fd = -1;
  const char *problem = NULL;
  int top = lua_gettop(L);
  if (lua_type(L, arg) == LUA_TNUMBER) {
    fd = luaL_checkinteger(L, arg);
    luaL_argcheck(L, fd >= 0 && fd <= INT_MAX, arg, "descriptor out of range");
  } else if (!asy_descriptor_of(L, arg, &fd, &problem)) {
    lua_settop(L, top);
    luaL_typeerror(L, arg, "descriptor (integer, file, or object with fileno or pollfd)");
  }
  if (problem) luaL_argerror(L, arg, problem);
  lua_settop(L, top);
  if (fd < 0 || fd > INT_MAX) fd_raise(L, S, UV_EBADF, op, (uv_os_sock_t)-1);
  return (uv_os_sock_t)fd;
}

/* The watch of a number, made if there is none; or an error. */
static fd_Watch *fd_obtain(lua_State *L, asy_Loop *loop, uv_os_sock_t fd, const char *op) {
  fd_Watch *watch = fd_find(loop, fd);
  if (watch && asy_sys_is_same(fd, &watch->id)) return watch;
  if (watch) fd_lose(watch);
  int err = fd_new(loop, fd, &watch);
  if (err) fd_raise(L, loop->S, err, op, fd);
  return watch;
}

/* ---- handlers */

#define FD_LOST "a descriptor was closed while a function waited for it"

/* [1] = loop, [2] = descriptor */
static int fd_report_lost(lua_State *L) {
  asy_Loop *loop = lua_touserdata(L, 1);
  fd_push_error(L, loop->S, UV_EBADF, "poll", (uv_os_sock_t)lua_tointeger(L, 2));
  lua_pushnil(L);
  asy_error_report(L, loop, FD_LOST, NULL, 0);
  return 0;
}

/* The handlers of a descriptor that was closed: nobody calls them any more, and that is told. */
static void fd_drop_lost(lua_State *L, asy_Loop *loop, fd_Watch *watch) {
  for (int i = FD_IN; i <= FD_OUT; i++)
    asy_resource_unpin(L, loop, &watch->sides[i]);
  lua_pushcfunction(L, fd_report_lost);
  lua_pushlightuserdata(L, loop);
  lua_pushinteger(L, (lua_Integer)watch->fd);
  fd_close(&watch->res.closer);
  asy_error_call(L, loop, 2, FD_LOST, NULL, 0);
}

/* The loop's turn: call the handler. It may remove itself, and so free the record. */
static void fd_run(lua_State *L, asy_Loop *loop, asy_Ready *entry) {
  fd_Side *side = ASY_CONTAINER(entry, fd_Side, entry);
  if (!side->watch->active) {
    fd_drop_lost(L, loop, side->watch);
    return;
  }
  asy_resource_push_pinned(L, loop, side);
  asy_Handle *handle = lua_touserdata(L, -1);
  if (handle) asy_handle_call(L, loop, handle);
  lua_pop(L, 1);
}

static void fd_remove_handler(lua_State *L, asy_Loop *loop, fd_Side *side) {
  side->handled = false;
  asy_list_remove(&side->entry.link);
  fd_note_idle(side->watch);
  asy_resource_unpin(L, loop, side);
}

static int fd_add(lua_State *L, int which, const char *op) {
  asy_State *S = asy_state(L);
  asy_Loop *loop = asy_check_loop(L, S, 1);
  uv_os_sock_t fd = fd_check(L, S, 2, op);
  asy_check_callable(L, 3);
  asy_handle_new(L, loop, lua_gettop(L) - 3);
  asy_loop_check_open(L, loop); /* a method of the object may have closed it */
  fd_Side *side = &fd_obtain(L, loop, fd, op)->sides[which];
  asy_resource_pin(L, loop, side);
  asy_list_remove(&side->entry.link);
  side->handled = true;
  int err = fd_update(side->watch);
  if (!err) return 0;
  fd_remove_handler(L, loop, side);
  return fd_raise(L, S, err, op, fd);
}

static int fd_remove(lua_State *L, int which, const char *op) {
  asy_State *S = asy_state(L);
  asy_Loop *loop = asy_type_check(L, S, 1, ASY_SLOT_LOOP_TYPE);
  uv_os_sock_t fd = fd_check(L, S, 2, op);
  fd_Watch *watch = loop->closed ? NULL : fd_find(loop, fd);
  bool had = watch && watch->sides[which].handled;
  if (had) fd_remove_handler(L, loop, &watch->sides[which]);
  lua_pushboolean(L, had);
  return 1;
}

/***
Call a function whenever a descriptor can be read from, in the loop's next turn, until
`remove_reader`. A function that the descriptor had before is replaced. What is buffered in a file
of Lua's is not seen. If the descriptor is closed while it is watched, the exception handler is
told, and the function is forgotten.
@function Loop:add_reader
@param fd number of a descriptor, a file of Lua's `io`, or an object with a method `fileno`,
`pollfd` or `getfd`
@tparam function f what is called
@param[opt] ... its arguments
@return nothing
@waits no
@raise argument error; OSError with code "EPERM" for what cannot be polled, such as a plain file,
"EEXIST" for the descriptor of a Stream, "EBADF" if it is closed; an error if the loop is closed
@usage local loop, pipe = asyncio.get_running_loop(), io.popen("echo hello")
local line = loop:create_future()
loop:add_reader(pipe, function() loop:remove_reader(pipe); line:set_result(pipe:read()) end)
assert(line:await() == "hello"); pipe:close()
@see asyncio-eventloop.html#asyncio.loop.add_reader
*/
static int fd_add_reader(lua_State *L) {
  return fd_add(L, FD_IN, "add_reader");
}

/***
Call a function whenever a descriptor can be written to, until `remove_writer`; as `add_reader`.
@function Loop:add_writer
@param fd number of a descriptor, a file of Lua's `io`, or an object with a method `fileno`,
`pollfd` or `getfd`
@tparam function f what is called
@param[opt] ... its arguments
@return nothing
@waits no
@raise argument error; OSError with code "EPERM" for what cannot be polled, such as a plain file,
"EEXIST" for the descriptor of a Stream, "EBADF" if it is closed; an error if the loop is closed
@usage local loop, pipe = asyncio.get_running_loop(), io.popen("cat >/dev/null", "w")
local ready = asyncio.Event()
loop:add_writer(pipe, ready.set, ready); ready:wait()
assert(loop:remove_writer(pipe)); pipe:close()
@see asyncio-eventloop.html#asyncio.loop.add_writer
*/
static int fd_add_writer(lua_State *L) {
  return fd_add(L, FD_OUT, "add_writer");
}

/***
Take back what `add_reader` did.
@function Loop:remove_reader
@param fd number of a descriptor, a file of Lua's `io`, or an object with a method `fileno`,
`pollfd` or `getfd`
@treturn boolean false if the descriptor had no such function
@waits no
@raise argument error; OSError with code "EBADF" for an object that is closed
@usage assert(asyncio.get_running_loop():remove_reader(0) == false)
@see asyncio-eventloop.html#asyncio.loop.remove_reader
*/
static int fd_remove_reader(lua_State *L) {
  return fd_remove(L, FD_IN, "remove_reader");
}

/***
Take back what `add_writer` did.
@function Loop:remove_writer
@param fd number of a descriptor, a file of Lua's `io`, or an object with a method `fileno`,
`pollfd` or `getfd`
@treturn boolean false if the descriptor had no such function
@waits no
@raise argument error; OSError with code "EBADF" for an object that is closed
@usage assert(asyncio.get_running_loop():remove_writer(1) == false)
@see asyncio-eventloop.html#asyncio.loop.remove_writer
*/
static int fd_remove_writer(lua_State *L) {
  return fd_remove(L, FD_OUT, "remove_writer");
}

/* ---- waiting */

static const asy_WaitKind fd_kinds[] = {{"a descriptor to become readable", NULL, false},
                                        {"a descriptor to become writable", NULL, false}};
static const char *const fd_names[] = {"wait_readable", "wait_writable"};

/* [1] = descriptor, [2] = name of the function. The record is alive as long as the wait is linked.
 */
static int fd_k_wait(lua_State *L, asy_Wait *w) {
  int status = w->status;
  const char *op = lua_tostring(L, 2);
  if (!asy_list_is_empty(&w->link)) {
    asy_list_remove(&w->link);
    fd_note_idle(((fd_Side *)w->on)->watch);
  }
  if (asy_wait_failed(w)) return asy_wait_raise(L, w);
  return status ? fd_raise(L, w->loop->S, status, op, (uv_os_sock_t)lua_tointeger(L, 1)) : 0;
}

static int fd_wait(lua_State *L, int which) {
  asy_State *S = asy_state(L);
  uv_os_sock_t fd = fd_check(L, S, 1, fd_names[which]);
  asy_Wait *w = asy_wait_begin(L, S);
  if (!w) return asy_wait_outside(L, S);
  lua_settop(L, 0);
  lua_pushinteger(L, (lua_Integer)fd);
  lua_pushstring(L, fd_names[which]);
  fd_Side *side = &fd_obtain(L, w->loop, fd, fd_names[which])->sides[which];
  asy_list_append(&side->waiters, &w->link);
  int err = fd_update(side->watch);
  if (err) {
    asy_list_remove(&w->link);
    return fd_raise(L, S, err, fd_names[which], fd);
  }
  return asy_wait_park(L, w, &fd_kinds[which], side, fd_k_wait);
}

/***
Wait until a descriptor can be read from: there is something, or its end, or an error. Tasks that
wait for the same one are served one after the other, in the order in which they came. What is
buffered in a file of Lua's is not seen.
@function wait_readable
@param fd number of a descriptor, a file of Lua's `io`, or an object with a method `fileno`,
`pollfd` or `getfd`
@return nothing
@waits yes
@cancel raises CancelledError
@raise argument error; OSError with code "EPERM" for what cannot be polled, such as a plain file,
"EEXIST" for the descriptor of a Stream, "EBADF" if it is closed, also while the task waits
@usage local pipe <close> = io.popen("sleep 0.01; echo hello")
asyncio.wait_readable(pipe); assert(pipe:read() == "hello")
@see asyncio-eventloop.html#watching-file-descriptors
*/
static int fd_wait_readable(lua_State *L) {
  return fd_wait(L, FD_IN);
}

/***
Wait until a descriptor can be written to; as `wait_readable`.
@function wait_writable
@param fd number of a descriptor, a file of Lua's `io`, or an object with a method `fileno`,
`pollfd` or `getfd`
@return nothing
@waits yes
@cancel raises CancelledError
@raise argument error; OSError with code "EPERM" for what cannot be polled, such as a plain file,
"EEXIST" for the descriptor of a Stream, "EBADF" if it is closed, also while the task waits
@usage local pipe <close> = io.popen("cat >/dev/null", "w"); asyncio.wait_writable(pipe)
@see asyncio-eventloop.html#watching-file-descriptors
*/
static int fd_wait_writable(lua_State *L) {
  return fd_wait(L, FD_OUT);
}

void asy_fd_open(lua_State *L, asy_State *S) {
  static const luaL_Reg functions[] = {
      {"wait_readable", fd_wait_readable}, {"wait_writable", fd_wait_writable}, {NULL, NULL}};
  static const luaL_Reg methods[] = {{"add_reader", fd_add_reader},
                                     {"add_writer", fd_add_writer},
                                     {"remove_reader", fd_remove_reader},
                                     {"remove_writer", fd_remove_writer},
                                     {NULL, NULL}};
  asy_add_functions(L, S, functions);
  asy_type_add(L, S, ASY_SLOT_LOOP_TYPE, methods);
}
