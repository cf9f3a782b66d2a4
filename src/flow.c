/* SPDX-License-Identifier: MIT */
/* flow.c - see flow.h. In this order: life, listening, reading, writing; each callback beside what
 * starts it. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* accept4, in sys.h */
#endif
#include "flow.h"

#include <string.h>

#include "error.h"
#include "loop.h"
#include "option.h"
#include "sys.h"

#define FLOW_SLICE ((size_t)256 * 1024)          /* the most that is with libuv at a time */
#define FLOW_TRY_MOST ((size_t)16 * 1024 * 1024) /* a result must fit into an int */
#define FLOW_CHUNK_LEAST ((size_t)4 * 1024) /* room in a chunk, so that small writes share it */
#define FLOW_ACCEPT_MOST 64                 /* connections that a server accepts in one turn */

static asy_Wait *flow_wait_of(asy_Link *link) {
  return ASY_CONTAINER(link, asy_Wait, link);
}

static void flow_wake(asy_Link *link, int status) {
  asy_Wait *w = flow_wait_of(link);
  if (asy_wait_wake(w)) w->status = status;
}

static void flow_wake_settling(asy_Stream *s, int status) {
  if (s->extra) asy_wait_wake_all(&s->extra->settling, status);
}

/* ---- life */

static void flow_finish(asy_Stream *s);
static void flow_read_stop(asy_Stream *s);
static void flow_drop_output(asy_Stream *s, asy_Link *from, int status);
static void flow_forget_hold(asy_Stream *s);

static void flow_free(asy_Stream *s) {
  asy_input_take(&s->input, s->input.buffer.count);
  asy_free(s->extra);
  asy_free(s);
}

static void flow_on_close(uv_handle_t *handle) {
  asy_Stream *s = ASY_CONTAINER(handle, asy_Stream, uv.handle);
  if (asy_resource_release(&s->res, ASY_HELD_BY_UV)) flow_free(s);
}

/* The loop closes, perhaps because the Lua state does: nobody is woken. */
static void flow_on_loop_close(asy_Closer *closer) {
  asy_Stream *s = ASY_CONTAINER(closer, asy_Stream, res.closer);
  asy_list_remove(&s->served.link);
  asy_list_clear(&s->readers);
  if (s->extra) asy_list_clear(&s->extra->settling);
  for (asy_Link *link = asy_flow_first_output(s); link; link = asy_flow_next_output(s, link))
    asy_list_clear(&ASY_CONTAINER(link, asy_Chunk, link)->waiters);
  const asy_Carrier *carrier = asy_flow_carrier(s);
  if (carrier && carrier->flush) carrier->flush(s);
  flow_finish(s);
}

/* Of the record whose union ends behind a member. Any but the last kind may come to listen. */
#define FLOW_UP_TO(end) ((end) > FLOW_LISTENS ? (end) : FLOW_LISTENS)
#define FLOW_LISTENS (offsetof(asy_Stream, uv.listener) + sizeof(asy_Listener))

static asy_Stream *flow_create(asy_Loop *loop, asy_FlowKind kind) {
  static const size_t sizes[] = {
      FLOW_UP_TO(offsetof(asy_Stream, uv.inet.peer) + ASY_ADDRESS_SHORT),
      FLOW_UP_TO(offsetof(asy_Stream, uv.inet.peer) + sizeof(asy_Address)),
      FLOW_UP_TO(offsetof(asy_Stream, uv.pipe) + sizeof(uv_pipe_t)),
      FLOW_UP_TO(offsetof(asy_Stream, uv.pipe) + sizeof(uv_pipe_t)), sizeof(asy_Stream)};
  asy_Stream *s = asy_malloc(sizes[kind]);
  if (!s) return NULL;
  memset(s, 0, sizes[kind]);
  s->kind = (uint8_t)kind;
  asy_resource_init(&s->res, loop, flow_on_loop_close);
  asy_resource_hold(&s->res, ASY_HELD_BY_UV); /* until it is closed, also while it has no handle */
  asy_input_init(&s->input);
  asy_list_init(&s->readers);
  asy_ready_init(&s->served, NULL);
  s->fd = ASY_SYS_NO_SOCKET;
  return s;
}

asy_FlowKind asy_flow_kind_of(int family) {
  return family == AF_INET6 ? ASY_FLOW_INET6 : family == AF_UNIX ? ASY_FLOW_UNIX : ASY_FLOW_INET;
}

asy_Stream *asy_flow_new(asy_Loop *loop, uv_os_sock_t fd, asy_FlowKind kind) {
  asy_Stream *s = flow_create(loop, kind);
  if (!s) {
    asy_sys_close(fd);
    return NULL;
  }
  s->fd = fd;
  return s;
}

asy_Stream *asy_flow_carried(asy_Loop *loop, const asy_Carrier *carrier) {
  asy_Stream *s = flow_create(loop, ASY_FLOW_CARRIED);
  if (!s) return NULL;
  s->uv.carried.carrier = carrier;
  s->state = ASY_FLOW_OPEN;
  s->uv.carried.fd = -1;
  return s;
}

/* Give the descriptor to libuv. */
static int flow_open_handle(asy_Stream *s) {
  uv_loop_t *uv = asy_loop_uv(s->res.loop);
  bool is_tcp = s->kind == ASY_FLOW_INET || s->kind == ASY_FLOW_INET6;
  if (s->has_handle) return 0;
  int err = is_tcp ? uv_tcp_init(uv, &s->uv.inet.tcp) : uv_pipe_init(uv, &s->uv.pipe, 0);
  if (err) return err;
  s->has_handle = true;
  err = is_tcp ? uv_tcp_open(&s->uv.inet.tcp, s->fd) : uv_pipe_open(&s->uv.pipe, (uv_file)s->fd);
  if (err) {
    asy_sys_close(s->fd); /* uv_close closes only what libuv has taken */
    flow_finish(s);
  }
  return err;
}

/* The address of the other end, unless it is of another family than the record has room for. */
static void flow_set_peer(asy_Stream *s, const struct sockaddr *peer) {
  if ((peer->sa_family == AF_INET && s->kind == ASY_FLOW_INET) ||
      (peer->sa_family == AF_INET6 && s->kind == ASY_FLOW_INET6))
    asy_address_set(&s->uv.inet.peer, peer);
}

/* Begin the life of a record whose descriptor is connected. 0, or a libuv code: it is gone. */
static int flow_begin(asy_Stream *s, asy_Stream **out) {
  int err = flow_open_handle(s);
  if (err) {
    asy_flow_release(s);
    return err;
  }
  s->state = ASY_FLOW_OPEN;
  *out = s;
  return 0;
}

int asy_flow_adopt(asy_Loop *loop, uv_os_sock_t fd, asy_FlowKind kind, const struct sockaddr *peer,
                   asy_Stream **out) {
  asy_Stream *s = asy_flow_new(loop, fd, kind);
  if (!s) return UV_ENOMEM;
  flow_set_peer(s, peer);
  return flow_begin(s, out);
}

int asy_flow_open_pipe(asy_Loop *loop, uv_os_sock_t fd, asy_FlowKind kind, asy_Stream **out) {
  asy_Stream *s = asy_flow_new(loop, fd, kind);
  return s ? flow_begin(s, out) : UV_ENOMEM;
}

typedef struct flow_Connect {
  uv_connect_t req;
  asy_Stream *s;
} flow_Connect;

static void flow_on_connect(uv_connect_t *req, int status) {
  flow_Connect *c = ASY_CONTAINER(req, flow_Connect, req);
  asy_Stream *s = c->s;
  asy_free(c);
  if (s->state != ASY_FLOW_CONNECTING) return; /* closed meanwhile */
  s->res.loop->in_flight--;
  s->state = status ? ASY_FLOW_FRESH : ASY_FLOW_OPEN;
  flow_wake_settling(s, status);
}

int asy_flow_connect(asy_Stream *s, const struct sockaddr *addr) {
  int err = flow_open_handle(s);
  if (err) return err;
  if (!asy_flow_extra(s)) return UV_ENOMEM;
  flow_Connect *c = asy_malloc(sizeof *c);
  if (!c) return UV_ENOMEM;
  c->s = s;
  err = uv_tcp_connect(&c->req, &s->uv.inet.tcp, addr, flow_on_connect);
  if (err == UV_ECONNABORTED) /* Linux says so, once, after a connect that has failed */
    err = uv_tcp_connect(&c->req, &s->uv.inet.tcp, addr, flow_on_connect);
  if (err) {
    asy_free(c);
    return err;
  }
  flow_set_peer(s, addr);
  s->state = ASY_FLOW_CONNECTING;
  s->res.loop->in_flight++;
  return 0;
}

int asy_flow_connect_unix(asy_Stream *s, asy_Sockaddr *addr) {
  int err = asy_sys_connect(s->fd, asy_sockaddr(addr), addr->length);
  if (err) return err;
  err = flow_open_handle(s);
  if (!err) s->state = ASY_FLOW_OPEN;
  return err;
}

/* Everything is out, or will never be: give back what libuv and the kernel hold, and tell whoever
 * waits for that. */
static void flow_finish(asy_Stream *s) {
  if (s->state == ASY_FLOW_CLOSED) return;
  if (s->state == ASY_FLOW_CONNECTING) s->res.loop->in_flight--;
  bool listening = s->state == ASY_FLOW_LISTENING;
  s->state = ASY_FLOW_CLOSED;
  s->closing = true;
  s->reading = false;
  flow_drop_output(s, asy_flow_first_output(s), UV_ECANCELED);
  flow_wake_settling(s, UV_ECANCELED);
  if (listening) {
    for (asy_Link *link; (link = asy_list_take(&s->uv.listener.accepted));)
      asy_flow_release(ASY_CONTAINER(link, asy_Stream, served.link));
  }
  flow_forget_hold(s);
  if (s->group && --s->group->count == 0) s->group->on_empty(s->group);
  s->group = NULL;
  asy_resource_detach(&s->res);
  const asy_Carrier *carrier = asy_flow_carrier(s);
  if (carrier) carrier->close(s);
  if (asy_list_is_empty(&s->readers)) asy_input_take(&s->input, s->input.buffer.count);
  if (s->has_handle) uv_close(&s->uv.handle, flow_on_close);
  if (!carrier && (!s->has_handle || listening))
    asy_sys_close(s->fd); /* else libuv has closed it */
  s->fd = ASY_SYS_NO_SOCKET;
  if (!s->has_handle && asy_resource_release(&s->res, ASY_HELD_BY_UV)) flow_free(s);
}

void asy_flow_close(asy_Stream *s) {
  if (asy_flow_is_closed(s)) return;
  s->closing = true;
  if (s->state == ASY_FLOW_OPEN) flow_read_stop(s);
  asy_wait_wake_all(&s->readers, UV_ECANCELED);
  for (asy_Link *link = asy_flow_first_output(s); link; link = asy_flow_next_output(s, link)) {
    if (asy_list_is_empty(&ASY_CONTAINER(link, asy_Chunk, link)->waiters)) continue;
    flow_drop_output(s, link, UV_ECANCELED); /* what was written before it goes out */
    break;
  }
  asy_Link *first = asy_flow_first_output(s);
  bool just_a_rest =
      first && !asy_flow_next_output(s, first) && ASY_CONTAINER(first, asy_Chunk, link)->sendall;
  if (!first || just_a_rest) flow_finish(s); /* the rest of a sendall that was cancelled */
}

void asy_flow_abort(asy_Stream *s) {
  if (s->state == ASY_FLOW_CLOSED) return;
  if (!s->closing) asy_wait_wake_all(&s->readers, UV_ECANCELED);
  flow_finish(s);
}

void asy_flow_release(asy_Stream *s) {
  asy_resource_hold(&s->res, ASY_HELD_BY_LUA); /* if nobody holds it, at least this function does */
  asy_flow_close(s);
  flow_wake_settling(s, UV_ECANCELED);
  /* Tasks hold the object, or it is pinned, but not if __gc was called by hand, or by lua_close,
   * after which they are gone. */
  asy_list_clear(&s->readers);
  if (s->extra) asy_list_clear(&s->extra->settling);
  asy_list_remove(&s->served.link);
  if (asy_resource_release(&s->res, ASY_HELD_BY_LUA)) flow_free(s);
}

/* ---- what few streams need; the clients of a server */

asy_FlowExtra *asy_flow_extra(asy_Stream *s) {
  asy_FlowExtra *extra = s->extra;
  if (extra) return extra;
  extra = asy_malloc(sizeof *extra);
  if (!extra) return NULL;
  asy_list_init(&extra->settling);
  asy_list_init(&extra->output);
  extra->queued = 0;
  extra->limit = ASY_FLOW_LIMIT;
  extra->marks = ASY_FLOW_MARKS;
  extra->hold = NULL;
  s->extra = extra;
  return extra;
}

/* The output has grown or shrunk, or the marks have changed. */
static void flow_queued(asy_Stream *s) {
  const asy_FlowExtra *extra = s->extra;
  if (extra->queued > extra->marks.high) {
    s->full = true;
  } else if (s->full && extra->queued <= extra->marks.low) {
    s->full = false;
    flow_wake_settling(s, 0);
  }
}

int asy_flow_configure(asy_Stream *s, size_t limit, asy_Marks marks) {
  const asy_Marks usual = ASY_FLOW_MARKS;
  if (!s->extra && limit == ASY_FLOW_LIMIT && marks.high == usual.high && marks.low == usual.low)
    return 0;
  asy_FlowExtra *extra = asy_flow_extra(s);
  if (!extra) return UV_ENOMEM;
  extra->limit = limit;
  extra->marks = marks;
  flow_queued(s);
  return 0;
}

void asy_flow_join(asy_Stream *s, asy_FlowSet *group) {
  s->group = group;
  group->count++;
}

/* The stream behind a resource of the loop; NULL: it is none. */
static asy_Stream *flow_of_resource(asy_Link *link) {
  asy_Closer *closer = ASY_CONTAINER(link, asy_Closer, link);
  return closer->close == flow_on_loop_close ? ASY_CONTAINER(closer, asy_Stream, res.closer) : NULL;
}

void asy_flow_each(asy_Loop *loop, const asy_FlowSet *group, void (*f)(asy_Stream *s)) {
  asy_Link *next;
  for (asy_Link *link = asy_list_first(&loop->resources); link; link = next) {
    asy_Stream *s = flow_of_resource(link);
    next = asy_list_next(&loop->resources, link);
    if (s && s->group == group) f(s);
  }
}

bool asy_flow_owns(asy_Loop *loop, uv_os_sock_t fd) {
  for (asy_Link *link = asy_list_first(&loop->resources); link;
       link = asy_list_next(&loop->resources, link)) {
    const asy_Stream *s = flow_of_resource(link);
    if (s && s->fd == fd) return true;
  }
  return false;
}

/* ---- listening */

int asy_flow_accept(asy_Stream *s, asy_Stream **out) {
  struct sockaddr_storage peer;
  uv_os_sock_t fd;
  int err = asy_sys_accept(s->fd, &peer, &fd);
  if (err) return err;
  return asy_flow_adopt(s->res.loop, fd, s->kind, (struct sockaddr *)&peer, out);
}

/* A server takes what there is, up to a number. */
static void flow_accept_many(asy_Stream *s) {
  asy_Listener *l = &s->uv.listener;
  for (int i = 0; i < FLOW_ACCEPT_MOST; i++) {
    asy_Stream *conn;
    int err = asy_flow_accept(s, &conn);
    if (err == UV_EAGAIN) break;
    if (err) {
      l->error = err;
      break;
    }
    asy_list_append(&l->accepted, &conn->served.link);
  }
  if (l->error || !asy_list_is_empty(&l->accepted)) l->arrived(s);
}

/* accept(): one connection for each task that waits, no more; libuv is stopped when nobody does. */
static void flow_accept_waited(asy_Stream *s) {
  bool anybody = false;
  for (asy_Link *link = asy_list_first(&s->readers); link;
       link = asy_list_next(&s->readers, link)) {
    asy_Stream *conn;
    if (flow_wait_of(link)->state != ASY_WAIT_PARKED) continue;
    anybody = true;
    int err = asy_flow_accept(s, &conn);
    if (err == UV_EAGAIN) break;
    if (!err) asy_list_append(&s->uv.listener.accepted, &conn->served.link);
    flow_wake(link, err);
    if (err) break;
  }
  if (!anybody) asy_flow_unwatch(s);
}

static void flow_on_poll(uv_poll_t *poll, int status, int events) {
  (void)events;
  asy_Stream *s = ASY_CONTAINER(poll, asy_Stream, uv.listener.poll);
  if (status < 0) { /* the socket itself is broken */
    asy_flow_unwatch(s);
    s->uv.listener.error = status;
    asy_wait_wake_all(&s->readers, status);
    if (s->uv.listener.arrived) s->uv.listener.arrived(s);
  } else if (s->uv.listener.arrived) {
    flow_accept_many(s);
  } else {
    flow_accept_waited(s);
  }
}

int asy_flow_listen(asy_Stream *s, int backlog) {
  if (s->has_handle) return UV_EINVAL; /* a connect was tried */
  int err = backlog < 0 ? 0 : asy_sys_listen(s->fd, backlog);
  if (err) return err;
  err = uv_poll_init_socket(asy_loop_uv(s->res.loop), &s->uv.listener.poll, s->fd);
  if (err) return err;
  s->has_handle = true;
  asy_list_init(&s->uv.listener.accepted);
  s->uv.listener.arrived = NULL;
  s->uv.listener.owner = NULL;
  s->uv.listener.error = 0;
  s->uv.listener.polling = false;
  s->state = ASY_FLOW_LISTENING;
  return 0;
}

int asy_flow_watch(asy_Stream *s) {
  if (s->uv.listener.polling) return 0;
  int err = uv_poll_start(&s->uv.listener.poll, UV_READABLE, flow_on_poll);
  s->uv.listener.polling = err == 0;
  return err;
}

void asy_flow_unwatch(asy_Stream *s) {
  uv_poll_stop(&s->uv.listener.poll);
  s->uv.listener.polling = false;
}

/* ---- reading */

static void flow_read_stop(asy_Stream *s) {
  if (!s->reading) return;
  s->reading = false;
  const asy_Carrier *carrier = asy_flow_carrier(s);
  if (carrier)
    carrier->read_stop(s);
  else
    uv_read_stop(&s->uv.stream);
}

void asy_flow_hand_on(asy_Stream *s) {
  asy_Link *link = asy_list_first(&s->readers);
  if (link && asy_flow_is_ready(s)) flow_wake(link, 0);
}

static bool flow_is_on_demand(const asy_Stream *s) {
  const asy_Carrier *carrier = asy_flow_carrier(s);
  return carrier && carrier->on_demand;
}

/* Bytes have come. Past the limit reading stops, unless somebody waits for more. */
static void flow_received(asy_Stream *s) {
  size_t count = s->input.buffer.count;
  bool more = !asy_list_is_empty(&s->readers) && count < s->need;
  if (!more && (count > 2 * asy_flow_get_limit(s) || flow_is_on_demand(s))) flow_read_stop(s);
  asy_flow_hand_on(s);
}

void asy_flow_feed_end(asy_Stream *s, int err) {
  if (s->eof || s->read_error) return; /* the first reason counts */
  flow_read_stop(s);
  if (err == UV_EOF)
    s->eof = true;
  else
    s->read_error = err;
  asy_flow_hand_on(s);
}

int asy_flow_feed(asy_Stream *s, const char *data, size_t n) {
  int err = asy_input_append(&s->input, data, n);
  if (!err) flow_received(s);
  return err;
}

/* Does somebody wait who is content with any number of bytes, and can take them himself? */
static bool flow_has_taker(const asy_Stream *s) {
  asy_Link *link = asy_list_first(&s->readers);
  return ASY_SYS_READS_ALL && link && s->need <= 1 && s->input.buffer.count == 0 &&
         flow_wait_of(link)->state == ASY_WAIT_PARKED;
}

/* Bytes are there. A taker reads them in his own turn (libuv is told "no room", and leaves it at
 * that): so they are received, made a string and used while they are in the cache, instead of those
 * of all connections being received first. */
static void flow_on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf) {
  (void)suggested;
  asy_Stream *s = ASY_CONTAINER(handle, asy_Stream, uv.handle);
  if (flow_has_taker(s)) {
    s->arrived = true;
    flow_wake(asy_list_first(&s->readers), 0);
    *buf = uv_buf_init(NULL, 0);
  } else {
    asy_arena_alloc(s->res.loop, buf);
  }
}

static void flow_on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf) {
  asy_Stream *s = ASY_CONTAINER(stream, asy_Stream, uv.stream);
  if (n == 0 || n == UV_ENOBUFS)
    return; /* EAGAIN; or a taker reads, or the arena is full: libuv asks again in its next poll */
  int err = n < 0 ? (int)n : asy_arena_receive(s->res.loop, &s->input, buf->base, (size_t)n);
  if (err)
    asy_flow_feed_end(s, err);
  else
    flow_received(s);
}

void asy_flow_pull(asy_Stream *s) {
  uv_buf_t buf;
  if (!s->arrived) return;
  s->arrived = false;
  if (s->input.buffer.count || s->eof || s->read_error || asy_flow_is_closed(s)) return;
  asy_arena_alloc(s->res.loop, &buf);
  if (!buf.len) return; /* he waits again, and libuv tells again */
  long n = asy_sys_read(s->fd, buf.base, buf.len);
  bool broken = s->write_error && s->write_error != UV_EPIPE;
  if (n == 0 && broken) n = s->write_error; /* the system tells only once: who wrote has heard it */
  if (n == 0) n = UV_EOF;
  if (n != UV_EAGAIN) flow_on_read(&s->uv.stream, n, &buf);
}

int asy_flow_read_start(asy_Stream *s) {
  if (s->reading || s->eof || s->read_error) return 0;
  s->reading = true; /* a carrier may have bytes at once */
  const asy_Carrier *carrier = asy_flow_carrier(s);
  int err = carrier ? carrier->read_start(s) : asy_arena_prepare(s->res.loop);
  if (!err && !carrier) err = uv_read_start(&s->uv.stream, flow_on_alloc, flow_on_read);
  if (err) s->reading = false;
  return err;
}

int asy_flow_need(asy_Stream *s, size_t need) {
  s->need = need;
  return asy_flow_read_start(s);
}

void asy_flow_take(asy_Stream *s, size_t n) {
  asy_input_take(&s->input, n);
  if (s->reading || s->state != ASY_FLOW_OPEN || s->closing || flow_is_on_demand(s)) return;
  if (s->input.buffer.count <= asy_flow_get_limit(s))
    asy_flow_read_start(s); /* if that fails, the next who waits is told: he tries it again */
}

/* ---- writing */

static int flow_submit(asy_Stream *s);

/* What is behind the output's last byte has happened: it is empty. */
static void flow_output_empty(asy_Stream *s) {
  if (s->no_more && !s->write_error && !s->closing) {
    const asy_Carrier *carrier = asy_flow_carrier(s);
    int err = 0;
    if (s->kind == ASY_FLOW_PIPE)
      s->closing = uv_is_writable(&s->uv.stream); /* the only way to tell its reader */
    else
      err = carrier ? carrier->shutdown(s) : asy_sys_shutdown(s->fd, 1);
    if (err && err != UV_ENOTCONN) s->write_error = err;
  }
  flow_wake_settling(s, 0); /* a sendfile waits until it is empty */
  if (s->closing) flow_finish(s);
}

static void flow_go_on(asy_Stream *s) {
  if (asy_flow_first_output(s))
    flow_submit(s);
  else
    flow_output_empty(s);
}

/* Take a chunk out of the queue; what libuv has in its hands is freed by flow_on_write. */
static void flow_remove_chunk(asy_Chunk *chunk) {
  asy_Stream *s = chunk->s;
  s->extra->queued -= chunk->count;
  chunk->count = 0;
  asy_list_remove(&chunk->link);
  if (!chunk->sending) asy_free(chunk);
  flow_queued(s);
}

/* Drop the chunk at `from` and all behind it; the sendalls among them are woken. */
static void flow_drop_output(asy_Stream *s, asy_Link *from, int status) {
  while (from) {
    asy_Link *next = asy_flow_next_output(s, from);
    asy_Chunk *chunk = ASY_CONTAINER(from, asy_Chunk, link);
    asy_wait_wake_all(&chunk->waiters, status);
    asy_list_clear(&chunk->waiters);
    if (!chunk->sendall) s->lost = true;
    flow_remove_chunk(chunk);
    from = next;
  }
}

static int flow_write_failed(asy_Stream *s, int err) {
  if (!s->write_error) s->write_error = err;
  flow_drop_output(s, asy_flow_first_output(s), err);
  flow_wake_settling(s, err);
  if (s->closing) flow_finish(s);
  return err;
}

void asy_flow_written(asy_Chunk *chunk, int status) {
  asy_Stream *s = chunk->s;
  size_t sent = chunk->sending;
  chunk->sending = 0;
  if (asy_list_is_empty(&chunk->link)) { /* it was dropped meanwhile */
    asy_free(chunk);
    return;
  }
  if (status < 0) {
    flow_write_failed(s, status);
    return;
  }
  chunk->at += sent;
  chunk->count -= sent;
  s->extra->queued -= sent;
  flow_queued(s);
  if (chunk->count == 0) {
    asy_wait_wake_all(&chunk->waiters, 0);
    asy_list_clear(&chunk->waiters);
    flow_remove_chunk(chunk);
  }
  flow_go_on(s);
}

static void flow_on_write(uv_write_t *req, int status) {
  asy_flow_written(ASY_CONTAINER(req, asy_Chunk, req), status);
}

/* Give the first chunk, or the beginning of it, to libuv. It is not counted in the loop's
 * in_flight: like reading it depends on the peer, who may be a task here that sleeps in simulated
 * time. */
static int flow_submit(asy_Stream *s) {
  asy_Chunk *chunk = ASY_CONTAINER(asy_flow_first_output(s), asy_Chunk, link);
  const asy_Carrier *carrier = asy_flow_carrier(s);
  chunk->sending = chunk->count < FLOW_SLICE ? chunk->count : FLOW_SLICE;
  uv_buf_t buf = uv_buf_init(chunk->at, (unsigned)chunk->sending);
  int err = carrier ? carrier->write(s, chunk)
                    : uv_write(&chunk->req, &s->uv.stream, &buf, 1, flow_on_write);
  if (!err) return 0;
  chunk->sending = 0;
  return flow_write_failed(s, err);
}

/* A chunk at the end of the queue with room for n bytes; small writes share one. */
static asy_Chunk *flow_chunk(asy_Stream *s, size_t n, bool sendall) {
  asy_FlowExtra *extra = asy_flow_extra(s);
  if (!extra) return NULL;
  if (!asy_list_is_empty(&extra->output) && !sendall) {
    asy_Chunk *last = ASY_CONTAINER(extra->output.prev, asy_Chunk, link);
    if (!last->sendall && last->room >= n) return last;
  }
  size_t room = n < FLOW_CHUNK_LEAST && !sendall ? FLOW_CHUNK_LEAST : n;
  asy_Chunk *chunk = asy_malloc(offsetof(asy_Chunk, bytes) + room);
  if (!chunk) return NULL;
  chunk->s = s;
  asy_list_init(&chunk->waiters);
  chunk->at = chunk->bytes;
  chunk->count = chunk->sending = 0;
  chunk->room = room;
  chunk->sendall = sendall;
  asy_list_append(&extra->output, &chunk->link);
  return chunk;
}

/* Add to *done how many bytes the kernel, or the carrier, takes at once. 0 or a libuv code. */
static int flow_try_write(asy_Stream *s, const char *data, size_t n, size_t *done) {
  const asy_Carrier *carrier = asy_flow_carrier(s);
  int sent;
  do {
    size_t part = n - *done < FLOW_TRY_MOST ? n - *done : FLOW_TRY_MOST;
    uv_buf_t buf = uv_buf_init((char *)data + *done, (unsigned)part);
    sent = carrier ? carrier->try_write(s, buf.base, part) : uv_try_write(&s->uv.stream, &buf, 1);
    if (sent > 0) *done += (size_t)sent;
  } while (sent == (int)FLOW_TRY_MOST && *done < n);
  return sent >= 0 || sent == UV_EAGAIN ? 0 : sent;
}

int asy_flow_write(asy_Stream *s, const char *data, size_t n, asy_Chunk **out) {
  bool idle = !asy_flow_first_output(s) && !asy_flow_is_held(s);
  size_t sent = 0;
  if (out) *out = NULL;
  if (s->write_error) return s->write_error;
  int err = idle && n ? flow_try_write(s, data, n, &sent) : 0;
  if (err) return err == UV_ENOMEM && !sent ? err : flow_write_failed(s, err);
  data += sent;
  n -= sent;
  if (n == 0) return 0;
  asy_Chunk *chunk = flow_chunk(s, n, out != NULL);
  if (!chunk) {
    if (sent) { /* a part is out, and nothing sensible can follow it */
      s->write_error = UV_ENOMEM;
      asy_flow_abort(s);
    }
    return UV_ENOMEM;
  }
  memcpy(chunk->at + chunk->count, data, n);
  chunk->count += n;
  chunk->room -= n;
  s->extra->queued += n;
  flow_queued(s);
  err = idle ? flow_submit(s) : 0;
  if (out && !err) *out = chunk;
  return err;
}

void asy_flow_drop(asy_Chunk *chunk) {
  asy_Stream *s = chunk->s;
  asy_list_clear(&chunk->waiters);
  s->extra->queued -= chunk->count - chunk->sending;
  chunk->count = chunk->sending;
  chunk->room = 0;
  flow_queued(s);
  if (chunk->count == 0) flow_remove_chunk(chunk);
}

int asy_flow_end(asy_Stream *s) {
  if (s->write_error) return s->write_error;
  if (s->no_more) return 0;
  s->no_more = true;
  if (!asy_flow_first_output(s) && !asy_flow_is_held(s)) flow_output_empty(s);
  return s->write_error;
}

void asy_flow_hold(asy_Stream *s, asy_FlowHold *hold) {
  s->extra->hold = hold;
  hold->s = s;
}

/* The stream is closed, or somebody has ended it. */
static void flow_forget_hold(asy_Stream *s) {
  if (!asy_flow_is_held(s)) return;
  s->extra->hold->s = NULL;
  s->extra->hold = NULL;
}

void asy_flow_unhold(asy_FlowHold *hold) {
  asy_Stream *s = hold->s;
  if (!s) return;
  flow_forget_hold(s);
  flow_go_on(s);
}

/* ---- the Lua object */

#define FLOW_LIMIT_MOST ((lua_Integer)1 << 40)

size_t asy_flow_limit(lua_State *L, int arg) {
  return (size_t)asy_option_integer(L, arg, "limit", (lua_Integer)ASY_FLOW_LIMIT, 1,
                                    FLOW_LIMIT_MOST);
}

asy_Marks asy_flow_marks(lua_State *L, int arg) {
  lua_Integer high = asy_option_integer(L, arg, "high_water", -1, 0, FLOW_LIMIT_MOST);
  lua_Integer low = asy_option_integer(L, arg, "low_water", -1, 0, FLOW_LIMIT_MOST);
  if (high < 0 && low < 0) return ASY_FLOW_MARKS;
  if (high < 0) high = 4 * low;
  if (low < 0) low = high / 4;
  if (low > high) asy_option_error(L, arg, "low_water", "no more than high_water expected");
  return (asy_Marks){(size_t)high, (size_t)low};
}

void asy_flow_check_options(lua_State *L, int arg) {
  asy_option_refuse_ssl(L, arg);
  asy_flow_limit(L, arg);
  asy_flow_marks(L, arg);
  if (!asy_option_push(L, arg, "sock")) return;
  if (!asy_type_test(L, asy_state(L), -1, ASY_SLOT_STREAM))
    asy_option_error(L, arg, "sock", "asyncio.Stream expected");
  lua_pop(L, 1);
}

/* What a Stream userdata holds. */
typedef struct flow_Box {
  asy_Stream *s; /* NULL only while it is being made */
} flow_Box;

void asy_flow_box(lua_State *L, asy_State *S) {
  asy_resource_box(L, S, ASY_SLOT_STREAM, sizeof(flow_Box), 0);
}

void asy_flow_fill(lua_State *L, int idx, asy_Stream *s) {
  flow_Box *box = lua_touserdata(L, idx);
  box->s = s;
  asy_resource_hold(&s->res, ASY_HELD_BY_LUA);
}

asy_Stream *asy_flow_resumed(lua_State *L, asy_Wait *w) {
  asy_Stream *s = asy_flow_at(L, 1); /* it was checked before the wait */
  asy_list_remove(&w->link);
  if (!asy_wait_failed(w)) return s ? s : asy_flow_check(L, w->loop->S, 1);
  if (s && flow_is_on_demand(s) && asy_list_is_empty(&s->readers)) flow_read_stop(s);
  asy_wait_raise(L, w);
  return NULL;
}

asy_Stream *asy_flow_at(lua_State *L, int idx) {
  return ((flow_Box *)lua_touserdata(L, idx))->s;
}

asy_Stream *asy_flow_check(lua_State *L, asy_State *S, int arg) {
  asy_Stream *s = ((flow_Box *)asy_type_check(L, S, arg, ASY_SLOT_STREAM))->s;
  if (!s) luaL_error(L, "the stream was finalized");
  return s;
}

bool asy_flow_cancel_connect(lua_State *L, asy_Wait *w, int msg) {
  if (w->state == ASY_WAIT_PARKED) {
    asy_Stream *s = ((flow_Box *)w->on)->s;
    asy_list_remove(&w->link);
    if (s) asy_flow_abort(s);
  }
  return asy_wait_cancel(L, w, msg);
}

int asy_flow_gc(lua_State *L) {
  flow_Box *box = asy_type_test(L, asy_state(L), 1, ASY_SLOT_STREAM);
  asy_Stream *s = box ? box->s : NULL;
  if (s) {
    box->s = NULL;
    asy_flow_release(s);
  }
  return 0;
}

const char *asy_flow_where(const asy_Stream *s, char text[ASY_SOCKADDR_TEXT]) {
  asy_Sockaddr name;
  const char *where = NULL;
  if (s->kind == ASY_FLOW_CARRIED) return s->uv.carried.name;
  if (s->kind != ASY_FLOW_UNIX)
    return asy_flow_peer(s) ? asy_address_format(asy_flow_peer(s), text) : NULL;
  if (s->state == ASY_FLOW_CLOSED) return NULL;
  if (asy_sys_getpeername(s->fd, &name.sa, &name.length) == 0)
    where = asy_sockaddr_format(&name, text);
  if (!where && asy_sys_getsockname(s->fd, &name.sa, &name.length) == 0)
    where = asy_sockaddr_format(&name, text);
  return where;
}

int asy_flow_raise(lua_State *L, asy_State *S, const asy_Stream *s, int code, const char *op) {
  char text[ASY_SOCKADDR_TEXT];
  if (code == UV_ECANCELED || (code == UV_EBADF && asy_flow_is_closed(s)))
    asy_error_push_closed(L, S, code, op, asy_flow_where(s, text), "stream");
  else
    asy_error_push_os(L, S, code, op, asy_flow_where(s, text));
  return lua_error(L);
}

void asy_flow_check_open(lua_State *L, asy_State *S, const asy_Stream *s, const asy_Loop *loop,
                         const char *op) {
  if (asy_flow_is_closed(s)) asy_flow_raise(L, S, s, UV_EBADF, op);
  if (loop && s->res.loop != loop)
    luaL_error(L, "%s: the stream belongs to another event loop", op);
}
