/* SPDX-License-Identifier: MIT */
/* copyfile.c - see copyfile.h. Everything but the start runs on a thread of libuv's pool, where its
 * functions are called without a loop: they block. */
#include "copyfile.h"

#include <string.h>

#define COPYFILE_CHUNK (1 << 20) /* bytes between two looks at whether the copy is still wanted */
#define COPYFILE_BUFFER                                                    \
  (1 << 16) /* bytes read at once where the kernel does not copy by itself \
             */

/* Both names lie behind it. */
typedef struct copyfile_Job {
  asy_Request *r;
  const char *path, *new_path;
  bool exclusive;
  bool made; /* there was no file of the new name */
  uv_file from, to;
  int mode;       /* permission bits of the original */
  int64_t offset; /* bytes copied */
} copyfile_Job;

/* What libuv's functions return. */
static int copyfile_end(uv_fs_t *fs) {
  int result = (int)fs->result;
  uv_fs_req_cleanup(fs);
  return result;
}

/* What would block for want of another process is opened, too, and refused by its type. */
static int copyfile_open(const char *path, int flags, int mode) {
  uv_fs_t fs;
  uv_fs_open(NULL, &fs, path, flags | UV_FS_O_NONBLOCK, mode, NULL);
  return copyfile_end(&fs);
}

static int copyfile_stat(uv_file fd, uv_stat_t *st) {
  uv_fs_t fs;
  uv_fs_fstat(NULL, &fs, fd, NULL);
  *st = fs.statbuf;
  return copyfile_end(&fs);
}

static int copyfile_close(uv_file fd) {
  uv_fs_t fs;
  if (fd < 0) return 0;
  uv_fs_close(NULL, &fs, fd, NULL);
  return copyfile_end(&fs);
}

static int copyfile_open_source(copyfile_Job *job, uv_stat_t *st) {
  int err = job->from = copyfile_open(job->path, UV_FS_O_RDONLY, 0);
  if (err >= 0) err = copyfile_stat(job->from, st);
  if (err < 0) return err;
  job->mode = (int)(st->st_mode & 0777);
  if ((st->st_mode & S_IFMT) == S_IFDIR) return UV_EISDIR;
  return (st->st_mode & S_IFMT) == S_IFIFO ? UV_EINVAL : 0;
}

static int copyfile_open_target(copyfile_Job *job, uv_stat_t *st) {
  int flags = UV_FS_O_WRONLY | UV_FS_O_CREAT;
  job->to = copyfile_open(job->new_path, flags | UV_FS_O_EXCL, job->mode);
  job->made = job->to >= 0;
  if (job->to == UV_EEXIST && !job->exclusive)
    job->to = copyfile_open(job->new_path, flags, job->mode);
  return job->to < 0 ? job->to : copyfile_stat(job->to, st);
}

/* Give the target the original's mode, and no content. A device has neither. */
static int copyfile_clear(copyfile_Job *job, const uv_stat_t *st) {
  uv_fs_t fs;
  if ((st->st_mode & S_IFMT) != S_IFREG) return 0;
  uv_fs_ftruncate(NULL, &fs, job->to, 0, NULL);
  int err = copyfile_end(&fs);
  if (err < 0) return err;
  uv_fs_fchmod(NULL, &fs, job->to, job->mode, NULL);
  err = copyfile_end(&fs);
  return err == UV_EPERM ? 0 : err; /* a file of somebody else's, or a system without modes */
}

/* Copy a chunk: the number of bytes, or 0: the kernel does not do that, or this is the end. It
 * writes where the descriptor stands. */
static int copyfile_by_kernel(copyfile_Job *job) {
  uv_fs_t fs;
  uv_fs_sendfile(NULL, &fs, job->to, job->from, job->offset, COPYFILE_CHUNK, NULL);
  int n = copyfile_end(&fs);
  return n < 0 ? 0 : n;
}

/* The same by reading and writing; 0 is the end, or it is a code. */
static int copyfile_by_hand(copyfile_Job *job) {
  char buffer[COPYFILE_BUFFER];
  uv_fs_t fs;
  uv_buf_t buf = uv_buf_init(buffer, sizeof buffer);
  uv_fs_read(NULL, &fs, job->from, &buf, 1, job->offset, NULL);
  int n = copyfile_end(&fs);
  for (int done = 0; done < n;) {
    buf = uv_buf_init(buffer + done, (unsigned)(n - done));
    uv_fs_write(NULL, &fs, job->to, &buf, 1, -1, NULL);
    int written = copyfile_end(&fs);
    if (written < 0) return written;
    done += written;
  }
  return n;
}

/* The kernel finds nothing in files that it makes up when they are read (/proc), and does not copy
 * between all file systems: so what it leaves, if only the end, is read. */
static int copyfile_content(copyfile_Job *job) {
  bool by_kernel = true;
  int n = 1;
  while (n > 0 && !asy_request_is_unwanted(job->r)) {
    if (by_kernel) {
      n = copyfile_by_kernel(job);
      by_kernel = n > 0;
    }
    if (!by_kernel) n = copyfile_by_hand(job);
    if (n > 0) job->offset += n;
  }
  return n > 0 ? UV_ECANCELED : n;
}

static int copyfile_copy(copyfile_Job *job) {
  uv_stat_t from, to;
  int err = copyfile_open_source(job, &from);
  if (!err) err = copyfile_open_target(job, &to);
  if (err) return err;
  if (from.st_dev == to.st_dev && from.st_ino == to.st_ino) return 0; /* the same file */
  err = copyfile_clear(job, &to);
  return err ? err : copyfile_content(job);
}

static int copyfile_run(asy_Request *r) {
  copyfile_Job *job = r->data;
  uv_fs_t fs;
  int err = copyfile_copy(job);
  int end = copyfile_close(job->to);
  copyfile_close(job->from);
  if (!err) err = end; /* some file systems tell only now that the disk is full */
  if (err && job->made) {
    uv_fs_unlink(NULL, &fs, job->new_path, NULL);
    copyfile_end(&fs);
  }
  return err;
}

static void copyfile_discard(asy_Request *r) {
  asy_free(r->data);
}

int asy_copyfile_start(asy_Request *r, uv_loop_t *uv, const char *path, const char *new_path,
                       bool exclusive) {
  size_t n = strlen(path) + 1, m = strlen(new_path) + 1;
  copyfile_Job *job = asy_malloc(sizeof *job + n + m);
  if (!job) return UV_ENOMEM;
  memset(job, 0, sizeof *job);
  char *names = (char *)(job + 1);
  job->r = r;
  job->path = memcpy(names, path, n);
  job->new_path = memcpy(names + n, new_path, m);
  job->exclusive = exclusive;
  job->from = job->to = -1;
  r->fs.fs_type = UV_FS_COPYFILE;
  r->data = job;
  r->discard = copyfile_discard;
  int err = asy_request_start_job(r, uv, copyfile_run);
  if (!err) return 0;
  r->discard = NULL;
  asy_free(job);
  return err;
}
