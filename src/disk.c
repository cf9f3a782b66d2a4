/* SPDX-License-Identifier: MIT */
/* disk.c - see disk.h. In this order: buffers, closing, jobs, turns, the Lua object. */
#include "disk.h"

#include <string.h>

#include "error.h"
#include "loop.h"
#include "request.h"
#include "sys.h"

typedef struct disk_Box {
  asy_File *f; /* NULL while it is being made, and when it was finalized */
} disk_Box;

/* ---- buffers */

bool asy_disk_reserve(asy_Buffer *b, size_t n) {
  if (asy_buffer_has_room(b, n)) {
    if ((size_t)(b->block + b->size - b->at) - b->count < n) {
      memmove(b->block, b->at, b->count);
      b->at = b->block;
    }
    return true;
  }
  size_t size = asy_buffer_next_size(b, n);
  char *block = size ? asy_malloc(size) : NULL;
  if (!block) return false;
  asy_free(asy_buffer_move(b, block, size));
  return true;
}

static void disk_drop(asy_Buffer *b) {
  asy_free(b->block);
  *b = (asy_Buffer){NULL, NULL, 0, 0};
}

void asy_disk_take(asy_Buffer *b, size_t n) {
  asy_buffer_take(b, n);
  if (b->count == 0) disk_drop(b);
}

/* ---- closing
 *
 * One step after the other, each begun by the callback of the one before: the job that runs ends,
 * what is left is written, the descriptor is closed. */

static void disk_free(asy_File *f) {
  disk_drop(&f->in);
  disk_drop(&f->out);
  asy_free(f);
}

static void disk_closed(asy_File *f, int status) {
  f->fd = -1;
  if (!f->error) f->error = status;
  disk_drop(&f->in);
  disk_drop(&f->out);
  asy_wait_wake_all(&f->closers, f->error);
  asy_list_clear(&f->closers); /* the record may go before they run */
  if (f->res.loop) asy_resource_detach(&f->res);
  if (asy_resource_release(&f->res, ASY_HELD_BY_UV)) disk_free(f);
}

static void disk_begin_job(asy_File *f, asy_Job job) {
  f->job = (uint8_t)job;
  if (f->res.loop) f->res.loop->in_flight++;
}

static int disk_start_write(asy_File *f) {
  size_t n = f->out.count < ASY_DISK_MOST ? f->out.count : ASY_DISK_MOST;
  uv_buf_t buf = uv_buf_init(f->out.at, (unsigned)n);
  return uv_fs_write(f->uv, &f->req.fs, f->fd, &buf, 1, -1, asy_disk_on_fs);
}

static void disk_close_step(asy_File *f) {
  if (f->job != ASY_JOB_NONE || f->fd < 0) return;
  if (f->out.count && !f->error) {
    f->error = disk_start_write(f);
    if (!f->error) {
      disk_begin_job(f, ASY_JOB_WRITE);
      return;
    }
  }
  int err = uv_fs_close(f->uv, &f->req.fs, f->fd, asy_disk_on_fs);
  if (!err) {
    disk_begin_job(f, ASY_JOB_CLOSE);
  } else { /* not even a request was to be had: close it here */
    uv_fs_close(f->uv, &f->req.fs, f->fd, NULL);
    uv_fs_req_cleanup(&f->req.fs);
    disk_closed(f, err);
  }
}

void asy_disk_close(asy_File *f) {
  if (f->closing) return;
  f->closing = true;
  asy_wait_wake_all(&f->queue, UV_ECANCELED);
  disk_close_step(f);
}

/* The loop closes, perhaps because the Lua state does: nobody is woken. */
static void disk_on_loop_close(asy_Closer *closer) {
  asy_File *f = ASY_CONTAINER(closer, asy_File, res.closer);
  asy_list_clear(&f->queue);
  asy_list_clear(&f->closers);
  asy_resource_detach(&f->res);
  asy_disk_close(f);
}

/* ---- jobs */

static const asy_WaitKind disk_turn_wait = {"a file that is in use", NULL, true};

/* What no thread has begun yet is withdrawn. */
static bool disk_cancel(lua_State *L, asy_Wait *w, int msg) {
  asy_File *f = ((disk_Box *)w->on)->f;
  if (w->state == ASY_WAIT_PARKED && f && f->job != ASY_JOB_NONE) uv_cancel(&f->req.req);
  return asy_wait_cancel(L, w, msg);
}

static const asy_WaitKind disk_job_wait = {"a file", disk_cancel, true};

/* The file is free: wake the one whose turn it is, for which the job was done if it waits for one.
 */
static void disk_hand_on(asy_File *f, int status) {
  asy_Link *link = asy_list_first(&f->queue);
  if (f->job != ASY_JOB_NONE || !link) return;
  asy_Wait *w = ASY_CONTAINER(link, asy_Wait, link);
  bool for_job = w->kind == &disk_job_wait;
  if (asy_wait_wake(w)) w->status = for_job ? status : ASY_DISK_FIRST;
}

/* What a job has brought is noted here, whether its task still waits or not. Returns the status for
 * the task. */
static int disk_note(asy_File *f, asy_Job job, ssize_t result) {
  int status = result < 0 ? (int)result : 0;
  if (job == ASY_JOB_READ) {
    if (result == 0) return UV_EOF;
    if (result > 0) f->in.count += (size_t)result;
  } else if (job == ASY_JOB_WRITE) {
    if (result == 0) status = UV_EIO; /* it would go on for ever */
    if (result > 0) asy_disk_take(&f->out, (size_t)result);
    if (f->out.count == 0) f->has_line = false;
  } else if (job == ASY_JOB_SEEK && status == 0 && !f->keep) {
    disk_drop(&f->in);
  }
  return status;
}

static void disk_done(asy_File *f, ssize_t result) {
  asy_Job job = (asy_Job)f->job;
  f->job = ASY_JOB_NONE;
  if (f->res.loop) f->res.loop->in_flight--;
  if (job == ASY_JOB_CLOSE) {
    disk_closed(f, (int)result);
    return;
  }
  int status = disk_note(f, job, result);
  if (!f->closing) {
    disk_hand_on(f, status);
    return;
  }
  /* A write that was withdrawn when its task was cancelled is begun again. */
  if (job == ASY_JOB_WRITE && status && status != UV_ECANCELED) f->error = status;
  disk_close_step(f);
}

void asy_disk_on_fs(uv_fs_t *fs) {
  asy_File *f = ASY_CONTAINER(fs, asy_File, req.fs);
  ssize_t result = fs->result;
  uv_fs_req_cleanup(fs);
  disk_done(f, result);
}

/* A job was started for the task: err, a libuv code, if not. */
static int disk_wait(lua_State *L, asy_Wait *w, asy_File *f, asy_Job job, int err,
                     const asy_DiskOp *op) {
  if (err) return asy_disk_raise(L, w->loop->S, f, err, op->name);
  disk_begin_job(f, job);
  asy_list_prepend(&f->queue, &w->link);
  return asy_wait_park(L, w, &disk_job_wait, lua_touserdata(L, 1), op->k);
}

int asy_disk_read(lua_State *L, asy_Wait *w, asy_File *f, size_t want, const asy_DiskOp *op) {
  size_t n = want < f->size ? f->size : want;
  if (n > ASY_DISK_MOST) n = ASY_DISK_MOST;
  if (!asy_disk_reserve(&f->in, n)) return asy_disk_raise(L, w->loop->S, f, UV_ENOMEM, op->name);
  uv_buf_t buf = uv_buf_init(f->in.at + f->in.count, (unsigned)n);
  int err = uv_fs_read(f->uv, &f->req.fs, f->fd, &buf, 1, -1, asy_disk_on_fs);
  return disk_wait(L, w, f, ASY_JOB_READ, err, op);
}

int asy_disk_write(lua_State *L, asy_Wait *w, asy_File *f, const asy_DiskOp *op) {
  return disk_wait(L, w, f, ASY_JOB_WRITE, disk_start_write(f), op);
}

/* On a thread of the pool. */
static void disk_on_seek(uv_work_t *work) {
  asy_File *f = ASY_CONTAINER(work, asy_File, req.work);
  if (f->mode & ASY_DISK_AT_END) asy_sys_seek(f->fd, 0, SEEK_END);
  f->position = asy_sys_seek(f->fd, f->offset, f->whence);
}

static void disk_on_seek_done(uv_work_t *work, int status) {
  asy_File *f = ASY_CONTAINER(work, asy_File, req.work);
  if (!status) f->mode &= (uint8_t)~ASY_DISK_AT_END;
  if (!status && f->position < 0) status = (int)f->position;
  disk_done(f, status);
}

int asy_disk_seek(lua_State *L, asy_Wait *w, asy_File *f, int64_t offset, int whence,
                  const asy_DiskOp *op) {
  f->offset = offset;
  f->whence = whence;
  int err = uv_queue_work(f->uv, &f->req.work, disk_on_seek, disk_on_seek_done);
  return disk_wait(L, w, f, ASY_JOB_SEEK, err, op);
}

/* On a thread of the pool. */
static void disk_on_send(uv_work_t *work) {
  asy_File *f = ASY_CONTAINER(work, asy_File, req.work);
  f->position = asy_sys_sendfile(f->target, f->fd, f->length);
}

static void disk_on_send_done(uv_work_t *work, int status) {
  asy_File *f = ASY_CONTAINER(work, asy_File, req.work);
  asy_sys_close_file(f->target);
  asy_flow_unhold(&f->hold);
  if (!status && f->position <= 0) status = f->position ? (int)f->position : UV_EOF;
  disk_done(f, status);
}

int asy_disk_send(lua_State *L, asy_Wait *w, asy_File *f, asy_Stream *s, uv_file target, size_t n,
                  const asy_DiskOp *op) {
  f->target = target;
  f->length = n < ASY_DISK_MOST ? n : ASY_DISK_MOST;
  int err = uv_queue_work(f->uv, &f->req.work, disk_on_send, disk_on_send_done);
  if (err)
    asy_sys_close_file(target);
  else
    asy_flow_hold(s, &f->hold);
  return disk_wait(L, w, f, ASY_JOB_SEND, err, op);
}

int asy_disk_other(lua_State *L, asy_Wait *w, asy_File *f, int err, const asy_DiskOp *op) {
  return disk_wait(L, w, f, ASY_JOB_OTHER, err, op);
}

/* ---- turns */

int asy_disk_begin(lua_State *L, asy_Wait *w, asy_File *f, const asy_DiskOp *op) {
  asy_disk_check_open(L, w->loop->S, f, w->loop, op->name);
  if (f->job == ASY_JOB_NONE && asy_list_is_empty(&f->queue)) {
    f->taken = 0;
    return op->body(L, w, f, ASY_DISK_FIRST);
  }
  asy_list_append(&f->queue, &w->link);
  disk_hand_on(f, 0); /* in case that the one before died without a turn of its own */
  return asy_wait_park(L, w, &disk_turn_wait, lua_touserdata(L, 1), op->k);
}

/* Woken behind another one who has taken the file again: wait on, in the same place. */
static bool disk_must_wait(asy_File *f, asy_Wait *w) {
  return !f->closing && (f->job != ASY_JOB_NONE || asy_list_first(&f->queue) != &w->link);
}

int asy_disk_resume(lua_State *L, asy_Wait *w, const asy_DiskOp *op) {
  int status = w->status;
  asy_File *f = ((disk_Box *)lua_touserdata(L, 1))->f;
  if (f && !asy_wait_failed(w) && status == ASY_DISK_FIRST && disk_must_wait(f, w))
    return asy_wait_park(L, w, &disk_turn_wait, lua_touserdata(L, 1), op->k);
  asy_list_remove(&w->link);
  if (f) disk_hand_on(f, 0);
  if (asy_wait_failed(w)) return asy_wait_raise(L, w);
  f = asy_disk_check(L, w->loop->S, 1);
  if (f->closing) return asy_disk_raise(L, w->loop->S, f, UV_ECANCELED, op->name);
  if (status == ASY_DISK_FIRST) f->taken = 0;
  return op->body(L, w, f, status);
}

/* ---- the Lua object */

void asy_disk_box(lua_State *L, asy_State *S) {
  asy_resource_box(L, S, ASY_SLOT_FILE, sizeof(disk_Box), 0);
}

int asy_disk_fill(lua_State *L, int idx, asy_Loop *loop, uv_file fd, const char *path, int mode) {
  size_t length = strlen(path) + 1;
  asy_File *f = asy_malloc(sizeof *f + length);
  if (!f) return UV_ENOMEM;
  memset(f, 0, sizeof *f);
  memcpy(f->path, path, length);
  asy_list_init(&f->queue);
  asy_list_init(&f->closers);
  asy_resource_init(&f->res, loop, disk_on_loop_close);
  asy_resource_hold(&f->res, ASY_HELD_BY_UV); /* until the descriptor is closed */
  asy_resource_hold(&f->res, ASY_HELD_BY_LUA);
  f->uv = asy_loop_uv(loop);
  f->fd = fd;
  f->mode = (uint8_t)mode;
  f->size = ASY_DISK_SIZE;
  ((disk_Box *)lua_touserdata(L, idx))->f = f;
  return 0;
}

/* What was read ahead is given back, which does not block; writing would. */
const char *asy_disk_hand_over(asy_File *f) {
  if (f->closing) return "the file is closed";
  if (f->job != ASY_JOB_NONE || !asy_list_is_empty(&f->queue)) return "the file is in use";
  if (f->out.count) return "the file has output that is not written yet: flush it before";
  if (!f->in.count) return NULL;
  if (asy_sys_seek(f->fd, -(int64_t)f->in.count, SEEK_CUR) < 0)
    return "the file has input that has come here already";
  disk_drop(&f->in);
  return NULL;
}

asy_File *asy_disk_check(lua_State *L, asy_State *S, int arg) {
  asy_File *f = ((disk_Box *)asy_type_check(L, S, arg, ASY_SLOT_FILE))->f;
  if (!f) luaL_error(L, "the file was finalized");
  return f;
}

int asy_disk_gc(lua_State *L) {
  disk_Box *box = asy_type_test(L, asy_state(L), 1, ASY_SLOT_FILE);
  asy_File *f = box ? box->f : NULL;
  if (!f) return 0;
  box->f = NULL;
  asy_disk_close(f);
  /* Tasks hold the object, but not if __gc was called by hand, or by lua_close. */
  asy_list_clear(&f->queue);
  asy_wait_wake_all(&f->closers, UV_ECANCELED);
  asy_list_clear(&f->closers);
  if (asy_resource_release(&f->res, ASY_HELD_BY_LUA)) disk_free(f);
  return 0;
}

int asy_disk_raise(lua_State *L, asy_State *S, const asy_File *f, int code, const char *op) {
  if (!f->closing || (code != UV_EBADF && code != UV_ECANCELED))
    return asy_request_raise(L, S, code, op, f->path);
  asy_error_push_closed(L, S, code, op, f->path, "file");
  asy_request_set_path(L, f->path);
  return lua_error(L);
}

void asy_disk_check_open(lua_State *L, asy_State *S, const asy_File *f, const asy_Loop *loop,
                         const char *op) {
  if (f->closing) asy_disk_raise(L, S, f, UV_EBADF, op);
  if (loop && f->res.loop != loop) luaL_error(L, "%s: the file belongs to another event loop", op);
}
