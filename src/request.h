/* SPDX-License-Identifier: MIT */
/* request.h - a request to the file system, on libuv's thread pool, and the task that waits for it.
 *
 * A request lies in a box, a Lua object: whoever starts one pushes the box first, starts libuv, and
 * parks; the continuation takes the result. A task that is cancelled leaves at once: a request that
 * no thread has begun is withdrawn, one that has begun runs on, and what it brings is given back
 * (`discard`). The record is freed when Lua and libuv have both let go. */
#ifndef ASY_REQUEST_H
#define ASY_REQUEST_H

#include <uv.h>

#include "resource.h"
#include "sys.h"
#include "wait.h"

typedef struct asy_Request {
  asy_Resource res;
  asy_List waiters; /* asy_Wait.link: one, or none */
  bool done;
  /* Give back a result that nobody has taken, such as an open descriptor; NULL: there is nothing to
   * give back. Whoever takes it sets this to NULL. */
  void (*discard)(struct asy_Request *r);
  uv_fs_t fs;

  /* A job of our own in place of one of libuv's: what it does on the thread, and returns as
   * fs.result. It must not touch Lua. */
  int (*job)(struct asy_Request *r);
  void *data; /* what it needs */
  uv_work_t work;
  asy_Flag unwanted; /* it may stop */
} asy_Request;

/* Push a box with a new request of the task's loop; fs is not started. [-0, +1, v] */
ASY_FUNC asy_Request *asy_request_new(lua_State *L, asy_Wait *w);

/* Have a thread do a job; 0, or a libuv code if it was not started. [-0, +0, -] */
ASY_FUNC int asy_request_start_job(asy_Request *r, uv_loop_t *uv, int (*job)(asy_Request *r));

/* In the job: nobody waits for it any more. */
static inline bool asy_request_is_unwanted(asy_Request *r) {
  return asy_sys_flag_is_set(&r->unwanted);
}

/* The callback to be given to libuv. */
ASY_FUNC void asy_request_on_done(uv_fs_t *fs);

/* Wait for the request whose box is on top of the stack, and which libuv has taken: or not, then
 * err is its code, which is raised as that of `op`, with the path at index 1. Call as `return
 * asy_request_park(...)`. [-0, +0, v] */
ASY_FUNC int asy_request_park(lua_State *L, asy_Wait *w, int err, const char *op, asy_Cont *k);

/* A continuation begins: the request, which is done, in the box on top; its fs.result may be a
 * code. Raises if the task was cancelled. [-0, +0, v] */
ASY_FUNC asy_Request *asy_request_done(lua_State *L, asy_Wait *w);

/* What the box at idx has is not needed any more. The collector would do it later. [-0, +0, -] */
ASY_FUNC void asy_request_free(lua_State *L, int idx);

/* The request in the box at idx, or NULL if it is free. [-0, +0, -] */
ASY_FUNC asy_Request *asy_request_at(lua_State *L, int idx);

/* The path at arg: a string without zero bytes. [-0, +0, v] */
ASY_FUNC const char *asy_request_check_path(lua_State *L, int arg);

/* An error unless the loop may touch files: one that was opened from C may not, as a rule. [-0, +0,
 * v] */
ASY_FUNC void asy_request_check_allowed(lua_State *L, asy_Loop *loop, const char *op);

/* Push an OSError with the field path (NULL: none). [-0, +1, m] */
ASY_FUNC void asy_request_push_error(lua_State *L, asy_State *S, int code, const char *op,
                                     const char *path);
/* The OSError on top has the path where others have an address. [-0, +0, m] */
ASY_FUNC void asy_request_set_path(lua_State *L, const char *path);
ASY_FUNC int asy_request_raise(lua_State *L, asy_State *S, int code, const char *op,
                               const char *path);

ASY_FUNC void asy_request_open(lua_State *L, asy_State *S);

#endif
