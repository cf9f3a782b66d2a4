/* SPDX-License-Identifier: MIT */
/* blocking.c - see blocking.h. A worker has one job at a time: to read once, or to write what was
 * copied for it. When that is done, it posts its entry to the loop's inbox, and the loop's turn
 * does the rest.
 *
 * Before it reads or writes, the thread waits in poll(2) for the descriptor and for a pipe of its
 * own, by which it is told to look again: so a job can be taken back, and the thread be joined.
 * Somebody else may be faster and take what poll has promised; then the call itself blocks (`busy`)
 * and nobody waits long for the thread: it ends when the call does, and frees what it has. */
#include "blocking.h"

#ifndef _WIN32
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>

#include "inbox.h"
#include "loop.h"
#include "sys.h"

#define BLOCKING_ROOM ((size_t)64 * 1024)
#define BLOCKING_PATIENCE ((uint64_t)200 * 1000 * 1000) /* ns; a call that does not block ends */
#define BLOCKING_WRITE ((size_t)4096) /* a pipe that poll says is writable takes so much */

typedef enum blocking_Job { BLOCKING_NONE, BLOCKING_READ, BLOCKING_WRITE_OUT } blocking_Job;

typedef struct blocking_Worker {
  asy_Ready entry;    /* posted when a job is done */
  asy_Inbox *inbox;   /* held */
  asy_Port *port;     /* the loop's thread only */
  uv_thread_t thread; /* the loop's thread only */
  bool held;          /* the loop's thread only: the loop is told to wait for a job */
  int wake[2];        /* a byte: look again */
  asy_Port own;       /* fd and kind, for the thread; its fd is a duplicate */
  uv_cond_t idle;     /* with `quit`: not busy any more */
  uv_mutex_t mutex;   /* guards what follows */
  uint8_t job;        /* blocking_Job; NONE: there is none, or it is done */
  bool finished;      /* a job is done, and the loop's side has not seen to what it has brought */
  bool quit, busy, abandoned;
  size_t count, done; /* bytes to be written, and how many are; or how many were read */
  int status;
  char bytes[BLOCKING_ROOM];
} blocking_Worker;

/* ---- the thread */

static void blocking_free(blocking_Worker *w) {
  uv_cond_destroy(&w->idle);
  uv_mutex_destroy(&w->mutex);
  asy_inbox_release(w->inbox);
  for (int i = 0; i < 2; i++)
    asy_sys_close(w->wake[i]);
  asy_sys_close(w->own.fd);
  asy_free(w);
}

/* Wait for something to do. True if the descriptor is ready. */
static bool blocking_wait(blocking_Worker *w, blocking_Job job) {
  short events = job == BLOCKING_READ ? POLLIN : POLLOUT;
  struct pollfd fds[2] = {{w->wake[0], POLLIN, 0}, {w->own.fd, events, 0}};
  char byte[64];
  if (poll(fds, job == BLOCKING_NONE ? 1 : 2, -1) < 0) return false;
  if (fds[0].revents && read(w->wake[0], byte, sizeof byte) < 0) return false;
  return job != BLOCKING_NONE && fds[1].revents != 0;
}

/* One call. The mutex is held, but for the call itself. */
static void blocking_call(blocking_Worker *w) {
  bool reading = w->job == BLOCKING_READ;
  size_t left = w->count - w->done;
  w->busy = true;
  uv_mutex_unlock(&w->mutex);
  if (left > BLOCKING_WRITE) left = BLOCKING_WRITE;
  long n = reading ? asy_port_read(&w->own, w->bytes, sizeof w->bytes, true)
                   : asy_port_write(&w->own, w->bytes + w->done, left, true);
  uv_mutex_lock(&w->mutex);
  w->busy = false;
  uv_cond_signal(&w->idle);
  if (n == UV_EAGAIN) return; /* somebody was faster, and has set O_NONBLOCK for all */
  w->status = n < 0 ? (int)n : 0;
  if (n > 0) w->done += (size_t)n;
  if (!reading && n >= 0 && w->done < w->count) return;
  w->job = BLOCKING_NONE;
  w->finished = true;
  if (!w->quit) asy_inbox_post(w->inbox, &w->entry);
}

static void blocking_main(void *arg) {
  blocking_Worker *w = arg;
  sigset_t most;
  sigfillset(&most);         /* signals are for the threads that run Lua */
  sigdelset(&most, SIGTTIN); /* but this one is by whose call the system stops a process that */
  sigdelset(&most, SIGTTOU); /* is in the background: where it is blocked the call fails */
  pthread_sigmask(SIG_SETMASK, &most, NULL);
  uv_mutex_lock(&w->mutex);
  while (!w->quit) {
    blocking_Job job = (blocking_Job)w->job;
    uv_mutex_unlock(&w->mutex);
    bool ready = blocking_wait(w, job);
    uv_mutex_lock(&w->mutex);
    if (ready && !w->quit && w->job == (uint8_t)job) blocking_call(w);
  }
  bool abandoned = w->abandoned;
  uv_mutex_unlock(&w->mutex);
  if (abandoned) blocking_free(w);
}

/* ---- the loop's side */

static void blocking_done(lua_State *L, asy_Loop *loop, asy_Ready *entry);

static void blocking_tell(blocking_Worker *w) {
  if (write(w->wake[1], "", 1) < 0) return; /* it is full of such bytes */
}

static void blocking_hold(blocking_Worker *w, bool on) {
  if (w->held == on) return;
  w->held = on;
  (on ? asy_loop_hold : asy_loop_unhold)(w->port->loop);
}

/* 0 or a libuv code */
static int blocking_open(blocking_Worker *w, asy_Port *p) {
  if (pipe(w->wake)) return asy_sys_error();
  w->own.fd = fcntl(p->fd, F_DUPFD_CLOEXEC, 3);
  int err = w->own.fd < 0 ? asy_sys_error() : 0;
  for (int i = 0; i < 2 && !err; i++)
    err = asy_sys_prepare(w->wake[i]);
  if (!err) err = uv_cond_init(&w->idle);
  if (!err && (err = uv_mutex_init(&w->mutex)) != 0) uv_cond_destroy(&w->idle);
  if (!err) return 0;
  for (int i = 0; i < 2; i++)
    asy_sys_close(w->wake[i]);
  if (w->own.fd >= 0) asy_sys_close(w->own.fd);
  return err;
}

/* The port's worker, made if there is none; NULL and *err. */
static blocking_Worker *blocking_obtain(asy_Port *p, int *err) {
  blocking_Worker *w = p->worker;
  *err = w ? 0 : UV_ENOMEM;
  if (w) return w;
  asy_Inbox *inbox = asy_loop_inbox(p->loop);
  w = inbox ? asy_malloc(sizeof *w) : NULL;
  if (!w) return NULL;
  memset(w, 0, offsetof(blocking_Worker, bytes));
  asy_ready_init(&w->entry, blocking_done);
  w->port = p;
  w->own.kind = p->kind;
  *err = blocking_open(w, p);
  if (*err) {
    asy_free(w);
    return NULL;
  }
  asy_inbox_hold(inbox);
  w->inbox = inbox;
  *err = uv_thread_create(&w->thread, blocking_main, w);
  if (!*err) return p->worker = w;
  blocking_free(w);
  return NULL;
}

static void blocking_give(blocking_Worker *w, blocking_Job job) {
  uv_mutex_lock(&w->mutex);
  w->job = (uint8_t)job;
  uv_mutex_unlock(&w->mutex);
  blocking_hold(w, true);
  blocking_tell(w);
}

static int blocking_read_start(asy_Stream *s) {
  int err;
  asy_Port *p = s->uv.carried.other;
  if (p->output) return UV_EBADF;
  blocking_Worker *w = blocking_obtain(p, &err);
  if (!w) return err;
  uv_mutex_lock(&w->mutex);
  bool at_work = w->finished || w->job != BLOCKING_NONE;
  if (!at_work) w->count = w->done = 0;
  uv_mutex_unlock(&w->mutex);
  if (!at_work) blocking_give(w, BLOCKING_READ);
  return 0;
}

/* A read that has not come to the call is taken back. */
static void blocking_read_stop(asy_Stream *s) {
  blocking_Worker *w = ((asy_Port *)s->uv.carried.other)->worker;
  if (!w) return;
  uv_mutex_lock(&w->mutex);
  bool back = w->job == BLOCKING_READ && !w->busy;
  if (back) w->job = BLOCKING_NONE;
  uv_mutex_unlock(&w->mutex);
  if (!back) return;
  blocking_hold(w, false);
  blocking_tell(w);
}

static int blocking_try_write(asy_Stream *s, const char *data, size_t n) {
  const asy_Port *p = s->uv.carried.other;
  (void)data;
  (void)n;
  if (!p->output) return UV_EBADF;
  asy_port_flush_print(p);
  return UV_EAGAIN;
}

static void blocking_write_next(blocking_Worker *w) {
  asy_Port *p = w->port;
  size_t left = p->chunk->sending - p->done;
  w->count = left < sizeof w->bytes ? left : sizeof w->bytes;
  w->done = 0;
  memcpy(w->bytes, p->chunk->at + p->done, w->count);
  blocking_give(w, BLOCKING_WRITE_OUT);
}

static int blocking_write(asy_Stream *s, asy_Chunk *chunk) {
  int err;
  asy_Port *p = s->uv.carried.other;
  blocking_Worker *w = blocking_obtain(p, &err);
  if (!w) return err;
  p->chunk = chunk;
  p->done = 0;
  blocking_write_next(w);
  return 0;
}

/* What was read goes to the stream. */
static void blocking_have_read(blocking_Worker *w, asy_Stream *s) {
  int err = w->status ? w->status : w->done ? 0 : UV_EOF;
  if (!err) err = asy_flow_feed(s, w->bytes, w->done);
  if (err) asy_flow_feed_end(s, err);
  if (s->reading && (err = blocking_read_start(s)) != 0) asy_flow_feed_end(s, err);
}

static void blocking_have_written(blocking_Worker *w) {
  asy_Port *p = w->port;
  asy_Chunk *chunk = p->chunk;
  p->done += w->done;
  if (!w->status && p->done < chunk->sending) {
    blocking_write_next(w);
    return;
  }
  p->chunk = NULL;
  asy_flow_written(chunk, w->status); /* may give the next one, or close */
}

/* The loop's turn: a job is done. The mutex is for the eyes of the thread: it has nothing to do. */
static void blocking_done(lua_State *L, asy_Loop *loop, asy_Ready *entry) {
  (void)L;
  (void)loop;
  blocking_Worker *w = ASY_CONTAINER(entry, blocking_Worker, entry);
  uv_mutex_lock(&w->mutex);
  w->finished = false;
  uv_mutex_unlock(&w->mutex);
  blocking_hold(w, false);
  if (w->port->output)
    blocking_have_written(w);
  else
    blocking_have_read(w, w->port->s);
}

/* ---- the end */

/* No job is begun any more. With `wait` the thread has ended afterwards; else it is left behind if
 * it is in a call that blocks, and frees the record. Returns whether it has ended. */
static bool blocking_quit(blocking_Worker *w, bool wait) {
  uv_thread_t thread = w->thread;
  blocking_hold(w, false);
  uv_mutex_lock(&w->mutex);
  w->quit = true;
  uint64_t end = uv_hrtime() + BLOCKING_PATIENCE;
  for (uint64_t now; !wait && w->busy && (now = uv_hrtime()) < end;)
    uv_cond_timedwait(&w->idle, &w->mutex, end - now);
  bool leave = w->abandoned = w->busy && !wait;
  if (!leave) blocking_tell(w);
  uv_mutex_unlock(&w->mutex);
  if (leave) {
    pthread_detach(thread);
    return false;
  }
  uv_thread_join(&thread);
  if (w->finished) asy_inbox_drain(w->inbox, w->port->loop);
  asy_list_remove(&w->entry.link);
  return true;
}

static void blocking_close(asy_Stream *s) {
  asy_Port *p = s->uv.carried.other;
  blocking_Worker *w = p->worker;
  asy_Chunk *chunk = p->chunk;
  p->chunk = NULL;
  if (w && blocking_quit(w, false)) {
    if (!p->output && w->finished && w->done) asy_flow_feed(s, w->bytes, w->done);
    blocking_free(w);
  }
  asy_port_end(p);
  if (chunk) asy_flow_written(chunk, UV_ECANCELED);
  asy_free(p);
}

/* What the thread has not written is written here. */
static void blocking_flush(asy_Stream *s) {
  asy_Port *p = s->uv.carried.other;
  blocking_Worker *w = p->worker;
  if (!p->output || !asy_flow_first_output(s)) return;
  p->worker = NULL;
  if (w && blocking_quit(w, true)) {
    p->done += w->done;
    blocking_free(w);
  }
  asy_port_flush(p);
}

static int blocking_shutdown(asy_Stream *s) {
  (void)s;
  return 0;
}

const asy_Carrier *asy_blocking_carrier(void) {
  static const asy_Carrier carrier = {
      blocking_read_start, blocking_read_stop, blocking_try_write, blocking_write,
      blocking_shutdown,   blocking_close,     blocking_flush,     true};
  return &carrier;
}

#else /* _WIN32: no port is opened there */

const asy_Carrier *asy_blocking_carrier(void) {
  return asy_port_polled();
}
#endif
