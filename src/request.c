/* SPDX-License-Identifier: MIT */
/* request.c - see request.h. */
#include "request.h"

#include <string.h>

#include "error.h"
#include "loop.h"

typedef struct request_Box {
  asy_Request *r; /* NULL before it is made, and when it is free */
} request_Box;

/* ---- life */

static void request_release(asy_Request *r, int who) {
  if (!asy_resource_release(&r->res, who)) return;
  if (r->done && r->discard) r->discard(r);
  if (r->done) uv_fs_req_cleanup(&r->fs);
  asy_free(r);
}

/* Nobody is interested any more: libuv need not begin with it. */
static void request_abandon(asy_Request *r) {
  asy_list_clear(&r->waiters);
  if (!r->res.loop) return;
  r->res.loop->in_flight--;
  asy_resource_detach(&r->res);
  if (!(r->res.holders & ASY_HELD_BY_UV)) return;
  asy_sys_flag_set(&r->unwanted);
  /* if it has begun it runs on; its callback always comes */
  uv_cancel(r->job ? (uv_req_t *)&r->work : (uv_req_t *)&r->fs);
}

static void request_close(asy_Closer *closer) {
  request_abandon(ASY_CONTAINER(closer, asy_Request, res.closer));
}

void asy_request_on_done(uv_fs_t *fs) {
  asy_Request *r = ASY_CONTAINER(fs, asy_Request, fs);
  asy_Link *link = asy_list_first(&r->waiters);
  r->done = true;
  if (r->res.loop) {
    r->res.loop->in_flight--;
    asy_resource_detach(&r->res);
  }
  if (link) asy_wait_wake(ASY_CONTAINER(link, asy_Wait, link));
  request_release(r, ASY_HELD_BY_UV);
}

/* On a thread of the pool. */
static void request_on_job(uv_work_t *work) {
  asy_Request *r = ASY_CONTAINER(work, asy_Request, work);
  r->fs.result = r->job(r);
}

static void request_on_job_done(uv_work_t *work, int status) {
  asy_Request *r = ASY_CONTAINER(work, asy_Request, work);
  if (status) r->fs.result = status; /* it has not begun */
  asy_request_on_done(&r->fs);
}

int asy_request_start_job(asy_Request *r, uv_loop_t *uv, int (*job)(asy_Request *r)) {
  r->job = job;
  return uv_queue_work(uv, &r->work, request_on_job, request_on_job_done);
}

asy_Request *asy_request_at(lua_State *L, int idx) {
  return ((request_Box *)lua_touserdata(L, idx))->r;
}

void asy_request_free(lua_State *L, int idx) {
  request_Box *box = lua_touserdata(L, idx);
  asy_Request *r = box->r;
  box->r = NULL;
  if (!r) return;
  request_abandon(r);
  request_release(r, ASY_HELD_BY_LUA);
}

static int request_gc(lua_State *L) {
  if (asy_type_test(L, asy_state(L), 1, ASY_SLOT_REQUEST)) asy_request_free(L, 1);
  return 0;
}

/* ---- a request and its task */

/* Cancelled: withdraw it. If it is done already, its continuation will see to it. */
static bool request_cancel(lua_State *L, asy_Wait *w, int msg) {
  asy_Request *r = ((request_Box *)w->on)->r;
  if (w->state == ASY_WAIT_PARKED && r) request_abandon(r);
  return asy_wait_cancel(L, w, msg);
}

static const asy_WaitKind request_wait = {"the file system", request_cancel, false};

asy_Request *asy_request_new(lua_State *L, asy_Wait *w) {
  asy_State *S = w->loop->S;
  luaL_checkstack(L, LUA_MINSTACK, NULL);
  request_Box *box = asy_resource_box(L, S, ASY_SLOT_REQUEST, sizeof *box, 0);
  asy_Request *r = asy_malloc(sizeof *r);
  if (!r) asy_error_raise_os(L, S, UV_ENOMEM, "request", NULL);
  memset(r, 0, sizeof *r);
  asy_list_init(&r->waiters);
  asy_resource_init(&r->res, w->loop, request_close);
  asy_resource_hold(&r->res, ASY_HELD_BY_LUA);
  w->loop->in_flight++;
  box->r = r;
  return r;
}

int asy_request_park(lua_State *L, asy_Wait *w, int err, const char *op, asy_Cont *k) {
  asy_Request *r = asy_request_at(L, -1);
  if (err) {
    asy_request_free(L, -1);
    return asy_request_raise(L, w->loop->S, err, op, lua_tostring(L, 1));
  }
  asy_resource_hold(&r->res, ASY_HELD_BY_UV);
  asy_list_append(&r->waiters, &w->link);
  return asy_wait_park(L, w, &request_wait, lua_touserdata(L, -1), k);
}

asy_Request *asy_request_done(lua_State *L, asy_Wait *w) {
  asy_list_remove(&w->link);
  if (asy_wait_failed(w)) {
    asy_request_free(L, -1);
    asy_wait_raise(L, w);
  }
  asy_Request *r = asy_request_at(L, -1);
  if (!r) luaL_error(L, "the request was finalized");
  return r;
}

/* ---- paths, errors */

const char *asy_request_check_path(lua_State *L, int arg) {
  size_t length;
  const char *path = luaL_checklstring(L, arg, &length);
  luaL_argcheck(L, strlen(path) == length, arg, "path contains a zero byte");
  return path;
}

void asy_request_check_allowed(lua_State *L, asy_Loop *loop, const char *op) {
  if (!loop->allows_files) luaL_error(L, "%s: the host keeps files for itself", op);
}

void asy_request_push_error(lua_State *L, asy_State *S, int code, const char *op,
                            const char *path) {
  asy_error_push_os(L, S, code, op, path);
  if (path) asy_request_set_path(L, path);
}

void asy_request_set_path(lua_State *L, const char *path) {
  lua_pushnil(L);
  lua_setfield(L, -2, "address");
  lua_pushstring(L, path);
  lua_setfield(L, -2, "path");
}

int asy_request_raise(lua_State *L, asy_State *S, int code, const char *op, const char *path) {
  asy_request_push_error(L, S, code, op, path);
  return lua_error(L);
}

void asy_request_open(lua_State *L, asy_State *S) {
  static const luaL_Reg methods[] = {{"__gc", request_gc}, {"__close", request_gc}, {NULL, NULL}};
  asy_type_new(L, S, ASY_SLOT_REQUEST, "asyncio.Request", methods);
}
