/* SPDX-License-Identifier: MIT */
/* watch.c - see watch.h. libuv's callback notes an event in the record, up to a limit, and wakes
 * the first task that waits. Events that come when the limit is reached are only counted, until the
 * program has been told how many they are: so what it is told is in order. */
#include "watch.h"

#include <string.h>

#include "error.h"
#include "loop.h"
#include "option.h"

#define WATCH_LIMIT 1024 /* events that nobody has taken */

typedef struct watch_Event {
  asy_Link link;
  bool renamed, named;
  char name[];
} watch_Event;

typedef struct watch_Record {
  asy_Resource res;
  uv_fs_event_t uv;
  asy_List events;  /* watch_Event.link */
  asy_List waiters; /* asy_Wait.link */
  size_t count, limit;
  size_t lost; /* events since the limit was reached */
  int error;   /* libuv's code: nothing more will come */
  char path[];
} watch_Record;

typedef struct watch_Box {
  watch_Record *r; /* NULL while it is being made, and when it was finalized */
} watch_Box;

/* ---- life */

static void watch_on_close(uv_handle_t *handle) {
  watch_Record *r = ASY_CONTAINER(handle, watch_Record, uv);
  if (asy_resource_release(&r->res, ASY_HELD_BY_UV)) asy_free(r);
}

static void watch_drop_events(watch_Record *r) {
  for (asy_Link *link; (link = asy_list_take(&r->events));)
    asy_free(ASY_CONTAINER(link, watch_Event, link));
  r->count = 0;
}

/* Those who wait stay in the list until their continuations run. */
static void watch_stop(watch_Record *r) {
  if (!r->res.loop) return;
  asy_wait_wake_all(&r->waiters, 0);
  watch_drop_events(r);
  asy_resource_detach(&r->res);
  uv_close((uv_handle_t *)&r->uv, watch_on_close);
}

static void watch_on_loop_close(asy_Closer *closer) {
  watch_Record *r = ASY_CONTAINER(closer, watch_Record, res.closer);
  asy_list_clear(&r->waiters);
  watch_stop(r);
}

static int watch_gc(lua_State *L) {
  watch_Box *box = asy_type_test(L, asy_state(L), 1, ASY_SLOT_WATCHER);
  watch_Record *r = box ? box->r : NULL;
  if (!r) return 0;
  box->r = NULL;
  watch_stop(r);
  asy_list_clear(&r->waiters);
  if (asy_resource_release(&r->res, ASY_HELD_BY_LUA)) asy_free(r);
  return 0;
}

/* ---- events */

static void watch_wake_next(watch_Record *r) {
  if (!r->count && !r->lost && !r->error) return;
  for (asy_Link *link = asy_list_first(&r->waiters); link; link = asy_list_next(&r->waiters, link))
    if (asy_wait_wake(ASY_CONTAINER(link, asy_Wait, link))) return;
}

/* The same as the last one, which nobody has seen yet? */
static bool watch_is_repeated(const watch_Record *r, bool renamed, const char *name) {
  if (!r->count) return false;
  const watch_Event *last = ASY_CONTAINER(r->events.prev, watch_Event, link);
  return last->renamed == renamed && last->named == (name != NULL) &&
         strcmp(last->name, name ? name : "") == 0;
}

static void watch_on_event(uv_fs_event_t *uv, const char *name, int events, int status) {
  watch_Record *r = ASY_CONTAINER(uv, watch_Record, uv);
  bool renamed = (events & UV_RENAME) != 0;
  size_t length = name ? strlen(name) : 0;
  if (!r->res.loop) return;
  if (status < 0) {
    r->error = status;
  } else if (r->lost || r->count >= r->limit) {
    r->lost++;
  } else if (!watch_is_repeated(r, renamed, name)) {
    watch_Event *event = asy_malloc(sizeof *event + length + 1);
    if (event) {
      event->renamed = renamed;
      event->named = name != NULL;
      memcpy(event->name, name ? name : "", length + 1);
      asy_list_append(&r->events, &event->link);
      r->count++;
    } else {
      r->lost++;
    }
  }
  watch_wake_next(r);
}

/* ---- the iterator */

static watch_Record *watch_check(lua_State *L) {
  watch_Record *r = ((watch_Box *)asy_type_check(L, asy_state(L), 1, ASY_SLOT_WATCHER))->r;
  if (!r) luaL_error(L, "the watcher was finalized");
  return r;
}

static const asy_WaitKind watch_wait = {"a change of a file", NULL, true};

static int watch_k_next(lua_State *L, asy_Wait *w);

static int watch_push_event(lua_State *L, watch_Record *r) {
  watch_Event *event = ASY_CONTAINER(asy_list_first(&r->events), watch_Event, link);
  lua_pushstring(L, event->renamed ? "rename" : "change");
  if (event->named)
    lua_pushstring(L, event->name);
  else
    lua_pushnil(L);
  asy_list_remove(&event->link);
  asy_free(event);
  r->count--;
  return 2;
}

/* It is closed: the iteration ends. */
static int watch_push_end(lua_State *L) {
  lua_pushnil(L);
  return 1;
}

/* `again`: it has waited, and is still the first. */
static int watch_try_next(lua_State *L, asy_Wait *w, watch_Record *r, bool again) {
  bool first = again || asy_list_is_empty(&r->waiters);
  if (!r->res.loop) return watch_push_end(L);
  if (first && r->count) return watch_push_event(L, r);
  if (first && r->lost) {
    lua_pushliteral(L, "overflow");
    lua_pushnil(L);
    lua_pushinteger(L, (lua_Integer)r->lost);
    r->lost = 0;
    return 3;
  }
  if (r->error) return asy_request_raise(L, w->loop->S, r->error, "watch", r->path);
  (again ? asy_list_prepend : asy_list_append)(&r->waiters, &w->link);
  return asy_wait_park(L, w, &watch_wait, lua_touserdata(L, 1), watch_k_next);
}

/* The next one in the queue is woken first, so that he has his turn even if this one fails. */
static int watch_k_next(lua_State *L, asy_Wait *w) {
  watch_Record *r = ((watch_Box *)lua_touserdata(L, 1))->r;
  asy_list_remove(&w->link);
  if (r) watch_wake_next(r);
  if (asy_wait_failed(w)) return asy_wait_raise(L, w);
  return watch_try_next(L, w, watch_check(L), true);
}

/* __call: the iterator of a for loop. [1] = watcher */
static int watch_next(lua_State *L) {
  asy_State *S = asy_state(L);
  watch_Record *r = watch_check(L);
  if (!r->res.loop) return watch_push_end(L);
  asy_Wait *w = asy_wait_begin(L, S);
  if (!w) return asy_wait_outside(L, S);
  if (r->res.loop != w->loop) return luaL_error(L, "the watcher belongs to another event loop");
  lua_settop(L, 1);
  return watch_try_next(L, w, r, false);
}

/***
Stop watching. Loops over the watcher end.
@function Watcher:close
@return nothing
@waits no
@raise argument error
@usage local watcher = asyncio.fs.watch("/tmp"); watcher:close()
@see http://docs.libuv.org/en/v1.x/fs_event.html
*/
static int watch_close(lua_State *L) {
  watch_stop(watch_check(L));
  return 0;
}

static int watch_tostring(lua_State *L) {
  watch_Record *r = watch_check(L);
  lua_pushfstring(L, "<asyncio.Watcher %p [%s, %s]>", lua_topointer(L, 1),
                  r->res.loop ? "open" : "closed", r->path);
  return 1;
}

static int watch_start(watch_Record *r, asy_Loop *loop) {
  int err = uv_fs_event_init(asy_loop_uv(loop), &r->uv);
  if (err) {
    asy_free(r);
    return err;
  }
  asy_list_init(&r->events);
  asy_list_init(&r->waiters);
  asy_resource_init(&r->res, loop, watch_on_loop_close);
  asy_resource_hold(&r->res, ASY_HELD_BY_UV);
  err = uv_fs_event_start(&r->uv, watch_on_event, r->path, 0);
  if (err) watch_stop(r); /* libuv frees it */
  return err;
}

/***
Watch a file, or the files of a directory (not of those in it), for changes: by inotify on Linux.
The watcher is an iterator that waits: each step gives an event, its kind and the name of the file,
without the directory. It belongs to the current loop. Leaving the loop closes it, and so does the
end of a scope: `local watcher <close> = asyncio.fs.watch(path)`.
@function fs.watch
@tparam string path name of the file or directory
@tparam[opt] table opts limit (integer: events that are kept until they are taken, 1024)
@treturn Watcher gives `"change"` and a name when contents or properties have changed; `"rename"`
and a name when a file was made, removed or renamed; `"overflow"`, nil and a number when so many
events were lost because the limit was reached: look for yourself then. Equal events that follow
each other are one. What the kernel loses, libuv does not tell. A step ends the loop when the
watcher was closed, and raises an OSError if watching fails
@waits no; a step of the iterator does
@raise argument error; OSError (fields code, path), for example with code "ENOENT"
@usage local dir = asyncio.fs.mkdtemp()
for kind, name in asyncio.wrap(function()
  local watcher <close> = asyncio.fs.watch(dir); asyncio.open(dir .. "/x", "w"):close()
  coroutine.yield(watcher())
end) do assert(kind == "rename" and name == "x") end
asyncio.fs.unlink(dir .. "/x"); asyncio.fs.rmdir(dir)
@see http://docs.libuv.org/en/v1.x/fs_event.html
*/
static int watch_watch(lua_State *L) {
  static const char *const names[] = {"limit", NULL};
  asy_State *S = asy_state(L);
  const char *path = asy_request_check_path(L, 1);
  asy_option_check(L, 2, names);
  size_t limit = (size_t)asy_option_integer(L, 2, "limit", WATCH_LIMIT, 1, 1 << 30);
  asy_Loop *loop = asy_loop_get(L, S);
  asy_request_check_allowed(L, loop, "asyncio.fs");
  lua_settop(L, 1);
  watch_Box *box = asy_resource_box(L, S, ASY_SLOT_WATCHER, sizeof *box, 0);
  size_t length = strlen(path) + 1;
  watch_Record *r = asy_malloc(sizeof *r + length);
  if (!r) return asy_request_raise(L, S, UV_ENOMEM, "watch", path);
  memset(r, 0, sizeof *r);
  memcpy(r->path, path, length);
  r->limit = limit;
  int err = watch_start(r, loop);
  if (err) return asy_request_raise(L, S, err, "watch", path);
  asy_resource_hold(&r->res, ASY_HELD_BY_LUA);
  box->r = r;
  lua_pushnil(L);
  lua_pushnil(L);
  lua_pushvalue(L, 2);
  return 4;
}

void asy_watch_open(lua_State *L, asy_State *S) {
  static const luaL_Reg functions[] = {{"watch", watch_watch}, {NULL, NULL}};
  static const luaL_Reg methods[] = {{"close", watch_close},         {"__call", watch_next},
                                     {"__close", watch_close},       {"__gc", watch_gc},
                                     {"__tostring", watch_tostring}, {NULL, NULL}};
  asy_type_add(L, S, ASY_SLOT_FS, functions);
  asy_type_new(L, S, ASY_SLOT_WATCHER, "asyncio.Watcher", methods);
}
