/* SPDX-License-Identifier: MIT */
/* thread.c - jobs: functions that run on threads of the loop's own, each in a Lua state of its own.
 *
 * A job is packed (copy.h) and queued in the loop's Pool; a worker takes it, unpacks it in the
 * worker's state, calls it, packs what came of it and posts the job back through the loop's inbox;
 * in the loop's turn it is unpacked again and completes the Future. No worker ever touches the
 * loop's lua_State.
 *
 * Who owns a job: the loop's thread, but for `call` and the outcome, which are the worker's from
 * the moment at which it takes the job (under the mutex) until it posts it. Everything here comes
 * from malloc. The workers are joined when the loop is closed, collected or left behind by
 * lua_close: until then the jobs that have begun run to their end. */
#include "thread.h"

#include <lualib.h>
#include <string.h>

#include "copy.h"
#include "error.h"
#include "inbox.h"
#include "loop.h"
#include "resource.h"

#define THREAD_DEFAULT_MOST 32 /* as in asyncio: min(32, cores + 4) */
#define THREAD_DEFAULT_MORE 4

/* A worker's garbage is collected when its state, in KiB, is so much bigger than after the last
 * time: an idle one keeps no big results. */
#define THREAD_GARBAGE 1024

typedef enum thread_Outcome {
  THREAD_NO_MEMORY, /* nothing could be packed */
  THREAD_RETURNED,  /* parcel: the results */
  THREAD_RAISED     /* parcel: the error value and the traceback */
} thread_Outcome;

typedef struct thread_Job {
  asy_Ready done;  /* posted to the inbox by the worker; completes the future */
  asy_Ready watch; /* among the future's callbacks: sees that it was cancelled */
  asy_Link all;    /* in asy_Pool.jobs */
  asy_Link queued; /* in asy_Pool.queue until a worker takes it; guarded by the mutex */
  asy_Loop *loop;
  asy_Parcel parcel; /* the call; then what came of it */
  uint8_t outcome;   /* thread_Outcome */
} thread_Job;

typedef struct thread_Worker {
  asy_Link link; /* in asy_Pool.workers */
  asy_Pool *pool;
  uv_thread_t id;
  bool ended; /* guarded by the mutex: it can be joined */
} thread_Worker;

struct asy_Pool {
  asy_Closer closer;
  asy_Loop *loop;
  asy_Inbox *inbox;
  asy_List jobs;    /* thread_Job.all: every job; the loop's thread only */
  asy_List workers; /* the loop's thread only */
  uv_mutex_t mutex; /* guards what follows */
  uv_cond_t changed;
  asy_List queue;   /* thread_Job.queued: not begun */
  int waiting;      /* how many that are */
  int idle;         /* workers that run no job */
  int count, limit; /* workers there are, and may be */
  bool closing;
};

/* ---- in the worker's thread */

static const char thread_traceback = 0; /* key in a worker's registry */

/* Message handler: keeps the traceback, returns the error as it is. */
static int thread_handler(lua_State *L) {
  lua_settop(L, 1);
  luaL_traceback(L, L, NULL, 1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &thread_traceback);
  return 1;
}

/* Replace the module's name on top by the function "a.b.c" of it; the path is at index `path`. */
static void thread_find(lua_State *L, int path) {
  const char *at = lua_tostring(L, path), *dot;
  lua_getglobal(L, "require");
  lua_insert(L, -2);
  lua_call(L, 1, 1);
  for (;; at = dot + 1) {
    dot = strchr(at, '.');
    lua_pushlstring(L, at, dot ? (size_t)(dot - at) : strlen(at));
    lua_gettable(L, -2);
    lua_remove(L, -2);
    if (!dot) break;
  }
  if (!lua_isfunction(L, -1))
    luaL_error(L, "the thread has no function '%s'", lua_tostring(L, path));
}

static void thread_set_path(lua_State *L, const char *field, int value) {
  lua_getglobal(L, "package");
  lua_pushvalue(L, value);
  lua_setfield(L, -2, field);
  lua_pop(L, 1);
}

/* [1] job -> packs its results into it */
static int thread_call(lua_State *L) {
  thread_Job *job = lua_touserdata(L, 1);
  int n = asy_copy_unpack(L, &job->parcel); /* 2 path, 3 cpath, 4 module or false, 5 code or name */
  asy_copy_clear(&job->parcel);
  thread_set_path(L, "path", 2);
  thread_set_path(L, "cpath", 3);
  if (lua_toboolean(L, 4)) {
    lua_pushvalue(L, 4);
    thread_find(L, 5);
  } else {
    size_t size;
    const char *code = lua_tolstring(L, 5, &size);
    if (luaL_loadbufferx(L, code, size, "=(job)", "b") != LUA_OK) return lua_error(L);
  }
  lua_replace(L, 5);
  lua_call(L, n - 4, LUA_MULTRET);
  if (!asy_copy_pack(L, &job->parcel, 5, lua_gettop(L) - 4, "result", 1)) {
    lua_pushfstring(
        L, "%s: only nil, booleans, numbers, strings and plain tables come back from a thread",
        lua_tostring(L, -1));
    return lua_error(L);
  }
  return 0;
}

static int thread_text(lua_State *L) {
  luaL_tolstring(L, 1, NULL);
  return 1;
}

/* [1] job, [2] error -> packs it, or its text if it cannot be sent, and the traceback */
static int thread_pack_error(lua_State *L) {
  thread_Job *job = lua_touserdata(L, 1);
  lua_rawgetp(L, LUA_REGISTRYINDEX, &thread_traceback);
  if (!lua_toboolean(L, -1)) {
    lua_pop(L, 1);
    lua_pushnil(L);
  }
  asy_copy_clear(&job->parcel);
  if (asy_copy_pack(L, &job->parcel, 2, 2, "error", 1)) return 0;
  lua_settop(L, 3);
  lua_pushcfunction(L, thread_text); /* __tostring may fail */
  lua_pushvalue(L, 2);
  if (lua_pcall(L, 1, 1, 0) != LUA_OK)
    lua_pushfstring(L, "(error object is a %s value)", luaL_typename(L, 2));
  lua_replace(L, 2);
  asy_copy_clear(&job->parcel);
  asy_copy_pack(L, &job->parcel, 2, 2, "error", 1);
  return 0;
}

/* Run a job in the worker's state; L is NULL if there was no memory for one. */
static void thread_run(lua_State *L, thread_Job *job) {
  job->outcome = THREAD_NO_MEMORY;
  if (!L) return;
  lua_settop(L, 0);
  lua_pushboolean(L, false);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &thread_traceback); /* the entry exists: no memory is needed */
  lua_pushcfunction(L, thread_handler);
  lua_pushcfunction(L, thread_call);
  lua_pushlightuserdata(L, job);
  if (lua_pcall(L, 1, 0, 1) == LUA_OK) {
    job->outcome = THREAD_RETURNED;
    return;
  }
  lua_pushcfunction(L, thread_pack_error);
  lua_pushlightuserdata(L, job);
  lua_pushvalue(L, -3);
  if (lua_pcall(L, 2, 0, 0) == LUA_OK) job->outcome = THREAD_RAISED;
  lua_settop(L, 0);
}

/* What a new state gets, protected. */
static int thread_prepare(lua_State *L) {
  luaL_openlibs(L);
  lua_pushboolean(L, false);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &thread_traceback);
  return 0;
}

static lua_State *thread_new_state(void) {
  lua_State *L = luaL_newstate();
  if (!L) return NULL;
  lua_pushcfunction(L, thread_prepare);
  if (lua_pcall(L, 0, 0, 0) == LUA_OK) return L;
  lua_close(L);
  return NULL;
}

/* The next job, waiting for it; NULL when the worker is to end. */
static thread_Job *thread_take(asy_Pool *pool) {
  uv_mutex_lock(&pool->mutex);
  while (!pool->closing && pool->count <= pool->limit && asy_list_is_empty(&pool->queue))
    uv_cond_wait(&pool->changed, &pool->mutex);
  pool->idle--;
  thread_Job *job = NULL;
  if (pool->closing || pool->count > pool->limit) {
    pool->count--;
  } else {
    job = ASY_CONTAINER(asy_list_take(&pool->queue), thread_Job, queued);
    pool->waiting--;
  }
  uv_mutex_unlock(&pool->mutex);
  return job;
}

/* Give a job back. The worker counts as idle before its loop hears of it, so that what the loop
 * sends next finds this worker, not a new one. */
static void thread_give(asy_Pool *pool, thread_Job *job) {
  uv_mutex_lock(&pool->mutex);
  pool->idle++;
  uv_mutex_unlock(&pool->mutex);
  asy_inbox_post(pool->inbox, &job->done);
}

static void thread_main(void *arg) {
  thread_Worker *worker = arg;
  asy_Pool *pool = worker->pool;
  lua_State *L = NULL;
  thread_Job *job;
  int kept = 0;
  while ((job = thread_take(pool)) != NULL) {
    if (!L) L = thread_new_state();
    thread_run(L, job);
    thread_give(pool, job);
    if (L && lua_gc(L, LUA_GCCOUNT) > 2 * kept + THREAD_GARBAGE) {
      lua_gc(L, LUA_GCCOLLECT);
      kept = lua_gc(L, LUA_GCCOUNT);
    }
  }
  if (L) lua_close(L);
  uv_mutex_lock(&pool->mutex);
  worker->ended = true;
  uv_mutex_unlock(&pool->mutex);
}

/* ---- the pool, in the loop's thread */

/* Start a worker; it counts from now on. 0 or a libuv code. */
static int thread_add_worker(asy_Pool *pool) {
  thread_Worker *worker = asy_malloc(sizeof *worker);
  if (!worker) return UV_ENOMEM;
  worker->pool = pool;
  worker->ended = false;
  uv_mutex_lock(&pool->mutex);
  pool->count++;
  pool->idle++;
  uv_mutex_unlock(&pool->mutex);
  int err = uv_thread_create(&worker->id, thread_main, worker);
  if (!err) {
    asy_list_append(&pool->workers, &worker->link);
    return 0;
  }
  uv_mutex_lock(&pool->mutex);
  pool->count--;
  pool->idle--;
  uv_mutex_unlock(&pool->mutex);
  asy_free(worker);
  return err;
}

/* Join the workers that have ended, or all of them. */
static void thread_join(asy_Pool *pool, bool all) {
  asy_Link *next;
  for (asy_Link *link = asy_list_first(&pool->workers); link; link = next) {
    thread_Worker *worker = ASY_CONTAINER(link, thread_Worker, link);
    next = asy_list_next(&pool->workers, link);
    uv_mutex_lock(&pool->mutex);
    bool ended = worker->ended;
    uv_mutex_unlock(&pool->mutex);
    if (!ended && !all) continue;
    uv_thread_join(&worker->id);
    asy_list_remove(link);
    asy_free(worker);
  }
}

/* A job is over for the loop, whatever became of it. */
static void thread_forget(thread_Job *job) {
  asy_list_remove(&job->done.link);
  asy_list_remove(&job->watch.link);
  asy_list_remove(&job->all);
  asy_copy_clear(&job->parcel);
  asy_loop_unhold(job->loop);
  job->loop->in_flight--;
  asy_free(job);
}

/* Take a job off the queue; false if it has begun. */
static bool thread_withdraw(asy_Pool *pool, thread_Job *job) {
  uv_mutex_lock(&pool->mutex);
  bool queued = !asy_list_is_empty(&job->queued);
  if (queued) {
    asy_list_remove(&job->queued);
    pool->waiting--;
  }
  uv_mutex_unlock(&pool->mutex);
  return queued;
}

/* The loop closes: jobs that have not begun never will, the others are waited for. */
static void thread_close(asy_Closer *closer) {
  asy_Pool *pool = ASY_CONTAINER(closer, asy_Pool, closer);
  asy_Link *link;
  uv_mutex_lock(&pool->mutex);
  pool->closing = true;
  asy_list_clear(&pool->queue);
  int begun = pool->count - pool->idle;
  uv_cond_broadcast(&pool->changed);
  uv_mutex_unlock(&pool->mutex);
  if (begun && pool->loop->debug)
    lua_writestringerror("asyncio: closing the loop waits for jobs on threads: %d\n", begun);
  thread_join(pool, true);
  asy_inbox_drain(pool->inbox, pool->loop); /* no link of a job is on a list of other threads now */
  while ((link = asy_list_first(&pool->jobs)) != NULL)
    thread_forget(ASY_CONTAINER(link, thread_Job, all));
  asy_list_remove(&closer->link);
  pool->loop->workers = NULL;
  asy_inbox_release(pool->inbox);
  uv_cond_destroy(&pool->changed);
  uv_mutex_destroy(&pool->mutex);
  asy_free(pool);
}

static int thread_default_limit(void) {
  int n = (int)uv_available_parallelism() + THREAD_DEFAULT_MORE;
  return n < THREAD_DEFAULT_MOST ? n : THREAD_DEFAULT_MOST;
}

/* 0 or a libuv code */
static int thread_new_pool(asy_Loop *loop) {
  asy_Inbox *inbox = asy_loop_inbox(loop);
  asy_Pool *pool = inbox ? asy_malloc(sizeof *pool) : NULL;
  if (!pool) return UV_ENOMEM;
  memset(pool, 0, sizeof *pool);
  int err = uv_mutex_init(&pool->mutex);
  if (!err && (err = uv_cond_init(&pool->changed)) != 0) uv_mutex_destroy(&pool->mutex);
  if (err) {
    asy_free(pool);
    return err;
  }
  asy_inbox_hold(inbox);
  pool->inbox = inbox;
  pool->loop = loop;
  pool->limit = loop->thread_limit ? loop->thread_limit : thread_default_limit();
  asy_list_init(&pool->jobs);
  asy_list_init(&pool->workers);
  asy_list_init(&pool->queue);
  pool->closer.close = thread_close;
  asy_list_append(&loop->resources, &pool->closer.link);
  loop->workers = pool;
  return 0;
}

/* Queue a job, and start a worker if all are busy. 0, or a libuv code if there is none to run it.
 */
static int thread_submit(asy_Pool *pool, thread_Job *job) {
  uv_mutex_lock(&pool->mutex);
  asy_list_append(&pool->queue, &job->queued);
  pool->waiting++;
  bool more = pool->waiting > pool->idle && pool->count < pool->limit;
  int count = pool->count;
  uv_cond_signal(&pool->changed);
  uv_mutex_unlock(&pool->mutex);
  int err = more ? thread_add_worker(pool) : 0;
  return count ? 0 : err; /* the others will come to it */
}

/* ---- the way back, in the loop's turn */

/* [1] job: complete its future */
static int thread_complete(lua_State *L) {
  thread_Job *job = lua_touserdata(L, 1);
  asy_resource_push_pinned(L, job->loop, job);
  asy_Future *fut = lua_touserdata(L, 2);
  if (asy_future_is_done(fut)) return 0;
  if (job->outcome == THREAD_NO_MEMORY) return luaL_error(L, "not enough memory");
  int n = asy_copy_unpack(L, &job->parcel);
  if (job->outcome == THREAD_RETURNED)
    asy_future_finish(L, 2, fut, n);
  else
    asy_future_fail(L, 2, fut);
  return 0;
}

/* [1] job, [2] error: there was no memory for that */
static int thread_complete_failed(lua_State *L) {
  thread_Job *job = lua_touserdata(L, 1);
  asy_resource_push_pinned(L, job->loop, job);
  lua_insert(L, 2);
  lua_pushnil(L);
  asy_Future *fut = lua_touserdata(L, 2);
  if (!asy_future_is_done(fut)) asy_future_fail(L, 2, fut);
  return 0;
}

static void thread_run_done(lua_State *L, asy_Loop *loop, asy_Ready *entry) {
  thread_Job *job = ASY_CONTAINER(entry, thread_Job, done);
  int top = lua_gettop(L);
  asy_list_remove(&job->watch.link);
  lua_pushcfunction(L, thread_complete);
  lua_pushlightuserdata(L, job);
  if (lua_pcall(L, 1, 0, 0) != LUA_OK) {
    lua_pushcfunction(L, thread_complete_failed);
    lua_pushlightuserdata(L, job);
    lua_pushvalue(L, -3);
    if (lua_pcall(L, 2, 0, 0) != LUA_OK) { /* at least nobody waits for ever */
      asy_resource_push_pinned(L, loop, job);
      asy_Future *fut = lua_touserdata(L, -1);
      lua_pushnil(L);
      if (!asy_future_is_done(fut)) asy_future_set_cancelled(L, lua_gettop(L) - 1, fut, false);
    }
  }
  lua_settop(L, top);
  asy_resource_unpin(L, loop, job);
  thread_forget(job);
}

/* The future is done, by somebody else: cancelled, as a rule. */
static void thread_run_watch(lua_State *L, asy_Loop *loop, asy_Ready *entry) {
  thread_Job *job = ASY_CONTAINER(entry, thread_Job, watch);
  if (!thread_withdraw(loop->workers, job)) return; /* it has begun, and runs on unobserved */
  asy_resource_unpin(L, loop, job);
  thread_forget(job);
}

/* ---- the way there */

/* Argument error unless the Lua function at f can be sent: no upvalue but _ENV, with the globals.
 */
static void thread_check_upvalues(lua_State *L, int f, int arg) {
  const char *name;
  if (lua_iscfunction(L, f))
    luaL_argerror(L, arg,
                  "a C function cannot be sent to a thread: give its name, as in \"os.execute\"");
  for (int i = 1; (name = lua_getupvalue(L, f, i)) != NULL; i++) {
    lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_GLOBALS);
    bool globals = lua_rawequal(L, -1, -2);
    lua_pop(L, 2);
    bool env = strcmp(name, "_ENV") == 0 || strcmp(name, "(no name)") == 0;
    if (env && globals && i == 1) continue;
    const char *problem =
        env ? "its _ENV is not the table of globals"
            : "the function cannot be sent to a thread: pass the value as an argument";
    luaL_argerror(L, arg, lua_pushfstring(L, "upvalue '%s': %s", name, problem));
  }
}

/* Replace the table on top by what `rest` ("b.c") leads to from it, or nil. */
static void thread_follow(lua_State *L, const char *rest) {
  for (const char *dot = rest; dot; rest = dot + 1) {
    if (!lua_istable(L, -1)) {
      lua_pop(L, 1);
      lua_pushnil(L);
      return;
    }
    dot = strchr(rest, '.');
    lua_pushlstring(L, rest, dot ? (size_t)(dot - rest) : strlen(rest));
    lua_gettable(L, -2);
    lua_remove(L, -2);
    if (!dot) return;
  }
}

/* Find the function that the string at f names, "module.function" or that of a basic function:
 * pushes the module's name and the rest, or raises an argument error. */
static void thread_push_name(lua_State *L, int f, int arg) {
  const char *name = lua_tostring(L, f);
  size_t end = strlen(name);
  luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
  while (end > 0 && name[--end] != '.')
    continue;
  for (bool plain = !strchr(name, '.');;) {
    if (plain)
      lua_pushliteral(L, "_G");
    else
      lua_pushlstring(L, name, end);
    const char *rest = plain ? name : name + end + 1;
    lua_pushvalue(L, -1);
    lua_rawget(L, -3);
    thread_follow(L, rest);
    bool found = plain ? lua_iscfunction(L, -1) : lua_isfunction(L, -1);
    lua_pop(L, 1);
    if (found) {
      lua_pushstring(L, rest);
      lua_remove(L, -3);
      return;
    }
    lua_pop(L, 1);
    if (plain || !end) break;
    while (end > 0 && name[--end] != '.')
      continue;
    if (!end) break;
  }
  luaL_argerror(L, arg, lua_pushfstring(L, "no library function is called '%s'", name));
}

static int thread_writer(lua_State *L, const void *bytes, size_t n, void *buffer) {
  (void)L;
  luaL_addlstring(buffer, bytes, n);
  return 0;
}

/* What the function at f becomes on its way: pushes a module and a name, or false and the code. */
static void thread_push_function(lua_State *L, int f, int arg) {
  luaL_checkstack(L, LUA_MINSTACK, NULL);
  if (lua_type(L, f) == LUA_TSTRING) {
    thread_push_name(L, f, arg);
    return;
  }
  if (!lua_isfunction(L, f)) luaL_typeerror(L, arg, "function or name of a library function");
  thread_check_upvalues(L, f, arg);
  luaL_Buffer buffer;
  lua_pushboolean(L, false);
  luaL_buffinit(L, &buffer);
  lua_pushvalue(L, f);
  lua_dump(L, thread_writer, &buffer, 0); /* not stripped, for the traceback */
  lua_pop(L, 1);
  luaL_pushresult(&buffer);
}

static void thread_push_path(lua_State *L, const char *field) {
  luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
  lua_getfield(L, -1, LUA_LOADLIBNAME);
  if (lua_istable(L, -1)) {
    lua_pushstring(L, field);
    lua_rawget(L, -2);
  } else {
    lua_pushnil(L);
  }
  if (lua_type(L, -1) != LUA_TSTRING) {
    lua_pop(L, 1);
    lua_pushliteral(L, "");
  }
  lua_replace(L, -3);
  lua_pop(L, 1);
}

/* [1] job, [2] number of the first argument, [3] future, [4...] the call: pack it, pin the future.
 * Returns true, or false and the culprit. */
static int thread_pack_call(lua_State *L) {
  thread_Job *job = lua_touserdata(L, 1);
  int number = (int)lua_tointeger(L, 2), n = lua_gettop(L) - 3;
  if (!asy_copy_pack(L, &job->parcel, 4, n, "argument", number - 4)) {
    lua_pushboolean(L, false);
    lua_insert(L, -2);
    return 2;
  }
  lua_pushvalue(L, 3);
  asy_resource_pin(L, job->loop, job);
  lua_pushboolean(L, true);
  lua_pushnil(L);
  return 2;
}

/* The future is at `at`, the call above it: pack it into the new job, which is freed if that
 * fails. Leaves the future on top. */
static void thread_pack(lua_State *L, int at, thread_Job *job, int number) {
  lua_pushcfunction(L, thread_pack_call);
  lua_pushlightuserdata(L, job);
  lua_pushinteger(L, number);
  lua_pushvalue(L, at);
  lua_rotate(L, at + 1, 4);
  int status = lua_pcall(L, lua_gettop(L) - at - 1, 2, 0);
  if (status == LUA_OK && lua_toboolean(L, -2)) {
    lua_pop(L, 2);
    return;
  }
  asy_copy_clear(&job->parcel);
  asy_free(job);
  if (status != LUA_OK) lua_error(L);
  luaL_error(L, "%s: only nil, booleans, numbers, strings and plain tables can be sent to a thread",
             lua_tostring(L, -1));
}

/* Start the job that is the function at f with the arguments above it, the first of which Lua
 * counts as argument `number`; leaves its Future there instead. */
static asy_Future *thread_start(lua_State *L, asy_Loop *loop, int f, int number) {
  int n = lua_gettop(L) - f;
  luaL_checkstack(L, n + LUA_MINSTACK, "too many arguments");
  thread_push_function(L, f, f);
  thread_push_path(L, "path");
  thread_push_path(L, "cpath");
  lua_rotate(L, -4, 2);    /* path, cpath, module, code */
  lua_rotate(L, f + 1, 4); /* below the arguments */
  asy_Future *fut = asy_future_new(L, loop);
  lua_replace(L, f);
  int err = loop->workers ? 0 : thread_new_pool(loop);
  thread_Job *job = err ? NULL : asy_malloc(sizeof *job);
  if (!job) {
    asy_error_raise_os(L, loop->S, err ? err : UV_ENOMEM, "thread", NULL);
    return NULL;
  }
  memset(job, 0, sizeof *job);
  job->loop = loop;
  asy_ready_init(&job->done, thread_run_done);
  asy_ready_init(&job->watch, thread_run_watch);
  asy_list_init(&job->queued);
  thread_pack(L, f, job, number);
  if (!loop->workers) { /* closed by a finalizer that ran meanwhile */
    asy_resource_unpin(L, loop, job);
    asy_copy_clear(&job->parcel);
    asy_free(job);
    luaL_error(L, "the event loop is closed");
  }
  asy_list_append(&loop->workers->jobs, &job->all);
  asy_loop_hold(loop);
  loop->in_flight++;
  err = thread_submit(loop->workers, job);
  if (err && thread_withdraw(loop->workers, job)) {
    asy_resource_unpin(L, loop, job);
    thread_forget(job);
    asy_error_raise_os(L, loop->S, err, "thread", NULL);
  }
  asy_future_add(fut, &job->watch);
  return fut;
}

static void thread_check_allowed(lua_State *L, asy_Loop *loop) {
  if (!loop->allows_threads) luaL_error(L, "the host of this event loop does not allow threads");
}

/***
Run a function on a thread of the loop's own, in a Lua state of that thread, and wait for its
results. Tasks go on meanwhile.

The function is a Lua function without upvalues (but for `_ENV`: globals are those of the
thread's state), or the name of a function in a library. What it is given and what it returns is
copied: nil, booleans, numbers, strings, and tables of these without metatables; a table that is
reached in two ways stays one table. The thread's state has the standard libraries and this
state's `package.path` and `package.cpath`; it is used again, so that globals and loaded modules
stay for the next job that happens to run there. C modules that jobs use must bear to be used on
several threads.
@function to_thread
@tparam function|string fn the function, or its name, `"os.execute"`, `"socket.http.request"`
(the module must be loaded here)
@param[opt] ... arguments
@return the function's results
@waits yes
@cancel raises CancelledError; a job that has not begun is dropped, one that has begun runs on
and its results are dropped
@raise argument error; an error that names what cannot be sent, `argument #2, .items[3]:
function`; what the function raises (a value that cannot be sent comes as its text); OSError if
no thread can be started
@usage assert(asyncio.to_thread(function(a, b) return a + b end, 1, 2) == 3)
@see asyncio-task.html#asyncio.to_thread
*/
static int thread_to_thread(lua_State *L) {
  asy_State *S = asy_state(L);
  asy_Wait *w = asy_wait_begin(L, S);
  if (!w) {
    int top = lua_gettop(L);
    thread_push_function(L, 1, 1); /* wrong arguments are refused before a loop is made for them */
    lua_settop(L, top);
    return asy_wait_outside(L, S);
  }
  thread_check_allowed(L, w->loop);
  asy_Future *fut = thread_start(L, w->loop, 1, 2);
  return asy_future_await(L, w, fut);
}

/***
The same as `asyncio.to_thread`, without waiting: gives a Future. To cancel it drops the job if
it has not begun.
@function Loop:run_in_executor
@tparam nil executor there is only the loop's own: see `Loop:set_thread_count`
@tparam function|string fn the function, or the name of a library function
@param[opt] ... arguments
@treturn Future of the function's results
@waits no
@raise as to_thread
@usage local f = asyncio.get_running_loop():run_in_executor(nil, "string.rep", "ab", 2);
assert(f:await() == "abab")
@see asyncio-eventloop.html#asyncio.loop.run_in_executor
*/
static int thread_run_in_executor(lua_State *L) {
  asy_Loop *loop = asy_check_loop(L, asy_state(L), 1);
  luaL_argcheck(L, lua_isnil(L, 2), 2,
                "nil expected: the loop's own threads are the only executor");
  thread_check_allowed(L, loop);
  thread_start(L, loop, 3, 3); /* as a method counts: without the loop */
  return 1;
}

/***
Set how many threads the loop may have for `to_thread` and `run_in_executor`: min(32, cores + 4)
if nothing is said. They are started when they are needed, and end with the loop; if there are
more than allowed from now on, they end when they have finished their jobs.
`new_event_loop{threads = n}` does the same.
@function Loop:set_thread_count
@tparam integer n how many (count), 1 to 1024
@return nothing
@waits no
@raise argument error; an error if the loop is closed
@usage asyncio.get_running_loop():set_thread_count(2)
@see asyncio-eventloop.html#asyncio.loop.set_default_executor
*/
static int thread_set_count(lua_State *L) {
  asy_Loop *loop = asy_check_loop(L, asy_state(L), 1);
  lua_Integer n = luaL_checkinteger(L, 2);
  luaL_argcheck(L, n >= 1 && n <= ASY_THREADS_MOST, 2,
                "number of threads out of range (1 to 1024)");
  loop->thread_limit = (int)n;
  asy_Pool *pool = loop->workers;
  if (!pool) return 0;
  uv_mutex_lock(&pool->mutex);
  pool->limit = (int)n;
  int more = pool->waiting - pool->idle, room = pool->limit - pool->count;
  uv_cond_broadcast(&pool->changed);
  uv_mutex_unlock(&pool->mutex);
  for (; more > 0 && room > 0; more--, room--)
    if (thread_add_worker(pool) != 0) break; /* those that there are will come to it */
  thread_join(pool, false);
  return 0;
}

void asy_thread_open(lua_State *L, asy_State *S) {
  static const luaL_Reg functions[] = {{"to_thread", thread_to_thread}, {NULL, NULL}};
  static const luaL_Reg methods[] = {{"run_in_executor", thread_run_in_executor},
                                     {"set_thread_count", thread_set_count},
                                     {NULL, NULL}};
  asy_add_functions(L, S, functions);
  asy_type_add(L, S, ASY_SLOT_LOOP_TYPE, methods);
}
