/* SPDX-License-Identifier: MIT */
/* port.c - see port.h. In this order: system calls, opening, polling, plain files, the end. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* ttyname_r and the like, in strict compilers */
#endif
#include "port.h"

#include <stdio.h>
#include <string.h>

#include "loop.h"
#include "sys.h"

#define PORT_BLOCK ((size_t)16 * 1024) /* what one read takes */
#define PORT_BLOCKS 4                  /* so often in one callback */

#ifndef _WIN32
#include <poll.h>
#include <sys/ioctl.h>

/* ---- system calls */

static long port_result(ssize_t n) {
  if (n >= 0) return (long)n;
  return errno == EWOULDBLOCK ? UV_EAGAIN : asy_sys_error();
}

static void port_await(const asy_Port *p, short events) {
  struct pollfd f = {p->fd, events, 0};
  poll(&f, 1, -1);
}

long asy_port_read(asy_Port *p, char *bytes, size_t n, bool wait) {
  ssize_t got;
  do
    got = p->kind == ASY_PORT_SOCKET ? recv(p->fd, bytes, n, wait ? 0 : MSG_DONTWAIT)
                                     : read(p->fd, bytes, n);
  while (got < 0 && errno == EINTR);
  if (got < 0 && errno == EIO && p->kind == ASY_PORT_TERMINAL) return 0; /* it was hung up */
  return port_result(got);
}

long asy_port_write(asy_Port *p, const char *bytes, size_t n, bool wait) {
  ssize_t sent;
  for (;;) {
    sent = p->kind == ASY_PORT_SOCKET ? send(p->fd, bytes, n, wait ? 0 : MSG_DONTWAIT)
                                      : write(p->fd, bytes, n);
    if (sent >= 0) return (long)sent;
    if (wait && errno == EWOULDBLOCK)
      port_await(p, POLLOUT);
    else if (errno != EINTR)
      return port_result(sent);
  }
}

/* ---- opening */

static int port_classify(int number, asy_PortKind *kind) {
  struct stat st;
  if (fstat(number, &st)) return asy_sys_error();
  if (!(st.st_mode & S_IFMT)) return UV_EBADF; /* libuv's own (epoll): the number was free */
  *kind = S_ISFIFO(st.st_mode)   ? ASY_PORT_PIPE
          : S_ISSOCK(st.st_mode) ? ASY_PORT_SOCKET
          : isatty(number)       ? ASY_PORT_TERMINAL
                                 : ASY_PORT_FILE;
  return 0;
}

/* To open the other side of a terminal once more is to make a new terminal. */
static bool port_is_master(int number) {
#ifdef TIOCGPTN
  unsigned int terminal;
  return ioctl(number, TIOCGPTN, &terminal) == 0;
#else
  (void)number;
  return false;
#endif
}

/* A description of our own of what `number` refers to. -1: there is none to be had. */
static int port_reopen(int number, asy_PortKind kind, bool output) {
  int flags = (output ? O_WRONLY : O_RDONLY) | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, fd = -1;
  char name[128];
  if (kind == ASY_PORT_TERMINAL && port_is_master(number)) return -1;
#ifdef __linux__
  snprintf(name, sizeof name, "/proc/self/fd/%d", number);
  fd = open(name, flags);
#endif
  if (fd < 0 && kind == ASY_PORT_TERMINAL && ttyname_r(number, name, sizeof name) == 0)
    fd = open(name, flags);
  return fd;
}

/* Fill in kind, fd and shared. 0 or a libuv code. */
static int port_open(asy_Port *p) {
  asy_PortKind kind = ASY_PORT_FILE;
  int err = port_classify(p->number, &kind), fd = -1;
  if (err) return err;
  p->kind = (uint8_t)kind;
  if (kind == ASY_PORT_PIPE || kind == ASY_PORT_TERMINAL)
    fd = port_reopen(p->number, kind, p->output);
  p->shared = fd < 0;
  if (fd < 0) fd = fcntl(p->number, F_DUPFD_CLOEXEC, 3);
  if (fd < 0) return asy_sys_error();
  p->fd = fd;
  return 0;
}

#else /* _WIN32 */

long asy_port_read(asy_Port *p, char *bytes, size_t n, bool wait) {
  (void)p;
  (void)bytes;
  (void)n;
  (void)wait;
  return UV_ENOTSUP;
}

long asy_port_write(asy_Port *p, const char *bytes, size_t n, bool wait) {
  (void)p;
  (void)bytes;
  (void)n;
  (void)wait;
  return UV_ENOTSUP;
}

static int port_open(asy_Port *p) {
  (void)p;
  return UV_ENOTSUP;
}
#endif

int asy_port_new(asy_Loop *loop, int number, asy_Port **out) {
  asy_Port *p = asy_malloc(sizeof *p);
  if (!p) return UV_ENOMEM;
  memset(p, 0, sizeof *p);
  p->loop = loop;
  p->number = number;
  p->output = number != 0;
  asy_exit_init(&p->exit, false);
  int err = port_open(p);
  if (err) asy_free(p);
  if (!err) *out = p;
  return err;
}

void asy_port_free(asy_Port *p) {
  asy_sys_close(p->fd);
  asy_free(p);
}

/* ---- polling */

static void port_on_poll(uv_poll_t *poll, int status, int events);

/* Poll for what is waited for now. 0 or a libuv code. */
static int port_update(asy_Port *p) {
  int events = (p->s->reading ? UV_READABLE : 0) | (p->chunk ? UV_WRITABLE : 0);
  if (events == p->events) return 0;
  int err = asy_sys_watch_start(&p->poll, p->fd, p->own, events, port_on_poll);
  if (!err) p->events = events;
  return err;
}

static void port_on_readable(asy_Port *p) {
  char bytes[PORT_BLOCK];
  for (int i = 0; i < PORT_BLOCKS && p->s->reading; i++) {
    long n = asy_port_read(p, bytes, sizeof bytes, false);
    if (n == UV_EAGAIN) break;
    int err = n > 0 ? asy_flow_feed(p->s, bytes, (size_t)n) : n < 0 ? (int)n : UV_EOF;
    if (err) asy_flow_feed_end(p->s, err);
  }
}

static void port_on_writable(asy_Port *p) {
  asy_Chunk *chunk = p->chunk;
  long n = asy_port_write(p, chunk->at + p->done, chunk->sending - p->done, false);
  if (n == UV_EAGAIN) return;
  if (n > 0) p->done += (size_t)n;
  if (n >= 0 && p->done < chunk->sending) return;
  p->chunk = NULL;
  asy_flow_written(chunk, n < 0 ? (int)n : 0); /* may give the next one, or close */
}

static void port_on_poll(uv_poll_t *poll, int status, int events) {
  asy_Port *p = ASY_CONTAINER(poll, asy_Port, poll);
  if (!p->s) return;
  if (status < 0) p->events = 0; /* libuv has stopped */
  events = asy_sys_watch_events(p->own, status, events);
  if ((events & UV_READABLE) && p->s->reading) port_on_readable(p);
  if ((events & UV_WRITABLE) && p->chunk) port_on_writable(p);
  int err = p->s ? port_update(p) : 0;
  if (err) asy_flow_feed_end(p->s, err);
}

static int port_read_start(asy_Stream *s) {
  asy_Port *p = s->uv.carried.other;
  return p->output ? UV_EBADF : port_update(p);
}

static void port_read_stop(asy_Stream *s) {
  port_update(s->uv.carried.other);
}

void asy_port_flush_print(const asy_Port *p) {
  fflush(p->number == 1 ? stdout : stderr);
}

static int port_try_write(asy_Stream *s, const char *data, size_t n) {
  asy_Port *p = s->uv.carried.other;
  if (!p->output) return UV_EBADF;
  asy_port_flush_print(p);
  return (int)asy_port_write(p, data, n, false);
}

static int port_begin_write(asy_Stream *s, asy_Chunk *chunk) {
  asy_Port *p = s->uv.carried.other;
  p->chunk = chunk;
  p->done = 0;
  int err = port_update(p);
  if (err) p->chunk = NULL; /* the caller frees it */
  return err;
}

static int port_shutdown(asy_Stream *s) {
  (void)s; /* others may still write to what is behind the descriptor */
  return 0;
}

static void port_on_close(uv_handle_t *handle) {
  asy_free(ASY_CONTAINER(handle, asy_Port, poll));
}

static void port_close(asy_Stream *s) {
  asy_Port *p = s->uv.carried.other;
  asy_Chunk *chunk = p->chunk;
  p->chunk = NULL;
  if (p->polled) {
    uv_poll_stop(&p->poll);
    asy_sys_watch_done(p->own);
  }
  asy_port_end(p);
  if (chunk) asy_flow_written(chunk, UV_ECANCELED);
  if (p->polled)
    uv_close((uv_handle_t *)&p->poll, port_on_close);
  else
    asy_free(p);
}

static void port_flush(asy_Stream *s) {
  asy_port_flush(s->uv.carried.other);
}

const asy_Carrier *asy_port_polled(void) {
  static const asy_Carrier carrier = {
      port_read_start, port_read_stop, port_try_write, port_begin_write,
      port_shutdown,   port_close,     port_flush,     true};
  return &carrier;
}

/* ---- plain files */

/* All of it, unless the disk is full or the like: that is told when what is left is to be written.
 */
static int port_write_file(asy_Stream *s, const char *data, size_t n) {
  asy_Port *p = s->uv.carried.other;
  size_t done = 0;
  if (!p->output) return UV_EBADF;
  asy_port_flush_print(p);
  while (done < n) {
    long sent = asy_port_write(p, data + done, n - done, true);
    if (sent <= 0) p->error = sent ? (int)sent : UV_EIO;
    if (sent <= 0) break;
    done += (size_t)sent;
  }
  return done || !n ? (int)done : p->error;
}

static int port_write_rest(asy_Stream *s, asy_Chunk *chunk) {
  const asy_Port *p = s->uv.carried.other;
  (void)chunk;
  return p->error ? p->error : UV_EBADF;
}

static int port_read_nothing(asy_Stream *s) {
  (void)s;
  return UV_EBADF;
}

static void port_stop_nothing(asy_Stream *s) {
  (void)s;
}

const asy_Carrier *asy_port_file(void) {
  static const asy_Carrier carrier = {port_read_nothing,
                                      port_stop_nothing,
                                      port_write_file,
                                      port_write_rest,
                                      port_shutdown,
                                      port_close,
                                      NULL,
                                      false};
  return &carrier;
}

/* ---- beginning and end */

/* The process ends by exit(). */
static void port_leave(asy_Exit *e) {
  asy_Port *p = ASY_CONTAINER(e, asy_Port, exit);
  const asy_Carrier *carrier = p->s ? asy_flow_carrier(p->s) : NULL;
  if (carrier && carrier->flush) carrier->flush(p->s);
}

int asy_port_begin(asy_Port *p, asy_Stream *s) {
  if (asy_flow_carrier(s) == asy_port_polled()) {
    int err = asy_sys_watch_init(asy_loop_uv(p->loop), &p->poll, p->fd, &p->own);
    if (err) return err;
    p->polled = true;
  }
  p->s = s;
  s->uv.carried.other = p;
  if (p->output) asy_exit_add(&p->exit, port_leave);
  asy_State *S = p->loop->S;
  if (p->output || !S->unread || asy_flow_feed(s, S->unread, S->unread_count)) return 0;
  asy_free(S->unread);
  S->unread = NULL;
  S->unread_count = 0;
  return 0;
}

/* What was read and not used is still there for whoever comes next: in the file, or in the State.
 */
static void port_keep(asy_Port *p) {
  const asy_Buffer *unread = &p->s->input.buffer;
  asy_State *S = p->loop->S;
  size_t count = unread->count;
  if (!count || (p->kind == ASY_PORT_FILE && asy_sys_rewind(p->fd, count))) return;
  char *kept = asy_malloc(S->unread_count + count);
  if (!kept) return;
  memcpy(kept, unread->at, count);
  if (S->unread) memcpy(kept + count, S->unread, S->unread_count);
  asy_free(S->unread);
  S->unread = kept;
  S->unread_count += count;
}

void asy_port_end(asy_Port *p) {
  if (!p->output) port_keep(p);
  asy_exit_remove(&p->exit);
  asy_terminal_release(&p->mode);
  asy_sys_close(p->fd);
  p->s = NULL;
}

void asy_port_flush(asy_Port *p) {
  for (asy_Link *link = asy_flow_first_output(p->s); link;
       link = asy_flow_next_output(p->s, link)) {
    asy_Chunk *chunk = ASY_CONTAINER(link, asy_Chunk, link);
    size_t done = chunk == p->chunk ? p->done : 0;
    while (done < chunk->count) {
      long n = asy_port_write(p, chunk->at + done, chunk->count - done, true);
      if (n <= 0) return; /* nobody reads any more */
      done += (size_t)n;
    }
  }
}
