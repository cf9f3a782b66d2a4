/* SPDX-License-Identifier: MIT */
/* disk.h - the record behind every File: its descriptor, what was read ahead and what is still to
 * be written, and who waits for it. This room is the whole traffic with libuv; Lua's methods stand
 * in the rooms file and fileread.
 *
 * A file does one thing at a time: it has one job on libuv's thread pool, or none. Operations take
 * turns in the order in which they came. The first one in `queue` has the file while a job runs for
 * it; an operation that goes on without a job is in no list, since nobody else runs meanwhile. When
 * a task is woken for its turn the next one is woken right behind it, before anything can fail, and
 * waits on if the file is not free yet: so nobody is forgotten, whatever becomes of the one before.
 *
 * A job that a thread has begun runs to its end, also if its task is cancelled: bytes that were
 * read stay for the next reader. Closing waits for the job, writes what is left, and closes the
 * descriptor, all without Lua, and so also when the file was collected or the loop has closed. The
 * record comes from malloc; it is freed when the descriptor is closed and the Lua object is gone.
 */
#ifndef ASY_DISK_H
#define ASY_DISK_H

#include <uv.h>

#include "buffer.h"
#include "flow.h"

#define ASY_DISK_SIZE ((size_t)64 * 1024)   /* of the buffers, unless setvbuf says otherwise */
#define ASY_DISK_MOST ((size_t)1024 * 1024) /* bytes of one job, at the most */

typedef enum asy_DiskMode { /* how a file was opened, besides what the system needs to know */
                            ASY_DISK_READS = 1,
                            ASY_DISK_WRITES = 2,
                            ASY_DISK_AT_END =
                                4 /* "a": the position is the end, even before the first write */
} asy_DiskMode;

typedef enum asy_Buffering { ASY_BUFFER_FULL, ASY_BUFFER_LINE, ASY_BUFFER_NO } asy_Buffering;

typedef enum asy_Job {
  ASY_JOB_NONE,
  ASY_JOB_READ,
  ASY_JOB_WRITE,
  ASY_JOB_SEEK,
  ASY_JOB_SEND,
  ASY_JOB_OTHER,
  ASY_JOB_CLOSE
} asy_Job;

typedef struct asy_File {
  asy_Resource res;
  asy_List queue;    /* asy_Wait.link: operations, the first one's turn it is */
  asy_List closers;  /* asy_Wait.link: close() */
  asy_Buffer in;     /* read and not taken; a job reads behind its last byte */
  asy_Buffer out;    /* written and not given to the system; a job writes from its first byte on */
  size_t taken;      /* of `in`: what the reading that is under way will take when it is complete */
  size_t size;       /* of the buffers */
  int64_t offset;    /* of a seek */
  int64_t position;  /* which a seek has found; of a SEND, how many bytes; or a code */
  size_t length;     /* of a SEND */
  asy_FlowHold hold; /* of a SEND: the stream */
  uv_loop_t *uv;
  uv_file fd;     /* -1 when it is closed */
  uv_file target; /* of a SEND */
  int error;      /* why the last bytes could not be written, while closing */
  int whence;     /* of a seek */
  uint8_t mode;   /* asy_DiskMode */
  uint8_t buffering;
  uint8_t job;   /* asy_Job: what runs now */
  bool keep;     /* a seek that only asks: `in` stays valid */
  bool is_pipe;  /* it cannot seek: reading and writing do not know each other */
  bool has_line; /* `out` has a newline */
  bool closing;  /* close() was called, or it was collected: no more operations */
  union {
    uv_req_t req;
    uv_fs_t fs;
    uv_work_t work;
  } req;
  char path[];
} asy_File;

/* ---- operations
 *
 * A method checks its arguments and calls asy_disk_begin; its continuation calls asy_disk_resume.
 * Both call the body, which does what it can and, when it needs the system, starts a job and parks:
 * it is called again when that is done, from the start, with the job's status: 0, a libuv code
 * (UV_EOF: the end of the file), or ASY_DISK_FIRST at the first time. The file is at index 1. */

#define ASY_DISK_FIRST 1

typedef int asy_DiskBody(lua_State *L, asy_Wait *w, asy_File *f, int status);

typedef struct asy_DiskOp {
  const char *name;
  asy_DiskBody *body;
  asy_Cont *k; /* { return asy_disk_resume(L, w, &this); } */
} asy_DiskOp;

/* [-0, +n, v] */
ASY_FUNC int asy_disk_begin(lua_State *L, asy_Wait *w, asy_File *f, const asy_DiskOp *op);
ASY_FUNC int asy_disk_resume(lua_State *L, asy_Wait *w, const asy_DiskOp *op);

/* Jobs: `return asy_disk_read(...)`. [-0, +0, v] */

/* Read at least one byte more; `want` are wanted. */
ASY_FUNC int asy_disk_read(lua_State *L, asy_Wait *w, asy_File *f, size_t want,
                           const asy_DiskOp *op);

/* Write from the beginning of `out`, which must not be empty. */
ASY_FUNC int asy_disk_write(lua_State *L, asy_Wait *w, asy_File *f, const asy_DiskOp *op);

/* Move the position of the descriptor, and forget what was read ahead, unless f->keep is set. */
ASY_FUNC int asy_disk_seek(lua_State *L, asy_Wait *w, asy_File *f, int64_t offset, int whence,
                           const asy_DiskOp *op);

/* Send up to n bytes from the position on to the socket of a stream, whose output is held
 * meanwhile; f->position is how many it were. `target` is a descriptor of that socket, which is
 * closed afterwards. UV_EAGAIN: the socket takes nothing now; UV_EOF. */
ASY_FUNC int asy_disk_send(lua_State *L, asy_Wait *w, asy_File *f, asy_Stream *s, uv_file target,
                           size_t n, const asy_DiskOp *op);

/* Another request, on f->req.fs, was started with asy_disk_on_fs as its callback: err. */
ASY_FUNC int asy_disk_other(lua_State *L, asy_Wait *w, asy_File *f, int err, const asy_DiskOp *op);
ASY_FUNC void asy_disk_on_fs(uv_fs_t *fs);

/* Room for n more bytes behind those of the buffer. [-0, +0, -] */
ASY_FUNC bool asy_disk_reserve(asy_Buffer *b, size_t n);

/* The first n bytes of a buffer are not needed any more. [-0, +0, -] */
ASY_FUNC void asy_disk_take(asy_Buffer *b, size_t n);

/* ---- life */

/* Push a File without a record. [-0, +1, v] */
ASY_FUNC void asy_disk_box(lua_State *L, asy_State *S);

/* Make the record of the File at idx, which owns the descriptor from now on. 0, or UV_ENOMEM: it
 * does not. [-0, +0, -] */
ASY_FUNC int asy_disk_fill(lua_State *L, int idx, asy_Loop *loop, uv_file fd, const char *path,
                           int mode);

/* The File at arg, or an argument error. [-0, +0, v] */
ASY_FUNC asy_File *asy_disk_check(lua_State *L, asy_State *S, int arg);

/* The descriptor is given to a child process, which shall go on where the file has come to. NULL,
 * or why that cannot be. [-0, +0, -] */
ASY_FUNC const char *asy_disk_hand_over(asy_File *f);

/* Begin to close: operations in progress are woken with UV_ECANCELED. [-0, +0, -] */
ASY_FUNC void asy_disk_close(asy_File *f);

/* An error if the file is closed or, unless loop is NULL, belongs to another one. [-0, +0, v] */
ASY_FUNC void asy_disk_check_open(lua_State *L, asy_State *S, const asy_File *f,
                                  const asy_Loop *loop, const char *op);

/* Raise an OSError that names the path. [-0, +0, v] */
ASY_FUNC int asy_disk_raise(lua_State *L, asy_State *S, const asy_File *f, int code,
                            const char *op);

/* __gc */
ASY_FUNC int asy_disk_gc(lua_State *L);

#endif
