/* SPDX-License-Identifier: MIT */
/* flow.h - the record behind every Stream: a socket, what has come in and was not read, what was
 * written and is not out, and who waits for it.
 *
 * This room is the whole traffic with libuv: its callbacks store bytes or a status and wake. Lua's
 * functions stand in the rooms reader, writer, socket and stream, which wait on the record and call
 * this room.
 *
 * Reading goes on, once it has begun, while the input is below its limit, whether anybody reads or
 * not. What the kernel does not take at once is copied into the output queue, of which one piece at
 * a time is with libuv: so that the rest of a sendall that was cancelled can be dropped. The record
 * is freed when the Lua object is finalized and libuv has closed the handle; a collected stream
 * whose output is not empty is thus still sent. */
#ifndef ASY_FLOW_H
#define ASY_FLOW_H

#include "addr.h"
#include "arena.h"
#include "resource.h"

#define ASY_FLOW_LIMIT ((size_t)64 * 1024) /* asyncio's default */

/* When a writer is held back (drain): from more than `high` bytes of output until there are no more
 * than `low`. */
typedef struct asy_Marks {
  size_t high, low;
} asy_Marks;

#define ASY_FLOW_MARKS ((asy_Marks){(size_t)64 * 1024, (size_t)16 * 1024}) /* asyncio's default */

typedef enum asy_FlowState {
  ASY_FLOW_FRESH, /* a socket that neither listens nor is connected */
  ASY_FLOW_LISTENING,
  ASY_FLOW_CONNECTING,
  ASY_FLOW_OPEN, /* connected; perhaps closing, while output is left */
  ASY_FLOW_CLOSED
} asy_FlowState;

/* What a stream is made of. */
typedef enum asy_FlowKind {
  ASY_FLOW_INET, /* TCP */
  ASY_FLOW_INET6,
  ASY_FLOW_UNIX,   /* a unix socket */
  ASY_FLOW_PIPE,   /* one end of a pipe: it is for reading or for writing */
  ASY_FLOW_CARRIED /* not a libuv handle: it has a carrier */
} asy_FlowKind;

typedef struct asy_Stream asy_Stream;
typedef struct asy_Chunk asy_Chunk;

/* What carries the bytes of a stream that is not a libuv handle. Received bytes go to
 * asy_flow_feed, the end or an error to asy_flow_feed_end. Results are 0 or libuv codes. */
typedef struct asy_Carrier {
  int (*read_start)(asy_Stream *s);
  void (*read_stop)(asy_Stream *s);
  int (*try_write)(asy_Stream *s, const char *data,
                   size_t n);                    /* how many bytes it took; UV_EAGAIN: none now */
  int (*write)(asy_Stream *s, asy_Chunk *chunk); /* chunk->sending bytes at chunk->at; later
                                                    asy_flow_written, not before it returns */
  int (*shutdown)(asy_Stream *s);                /* of writing; the output is empty */
  void (*close)(asy_Stream *s); /* a chunk that it still has must be given back by asy_flow_written
                                   with UV_ECANCELED */
  void (*flush)(asy_Stream *s); /* the loop closes: write what is left in `output`, and wait for
                                   that; NULL: it is dropped */
  bool on_demand; /* reading stops when nobody waits: what is not asked for is left to others */
} asy_Carrier;

/* The streams that a server has accepted and that are not closed yet: those of its loop whose
 * `group` it is. */
typedef struct asy_FlowSet {
  size_t count;
  void (*on_empty)(struct asy_FlowSet *g); /* the last one has closed; runs no Lua */
} asy_FlowSet;

/* Of a stream that listens. */
typedef struct asy_Listener {
  uv_poll_t poll;
  asy_List accepted;              /* asy_Stream.served: accepted, not yet handed out */
  void (*arrived)(asy_Stream *s); /* a server's: something is in `accepted`, or `error` is set;
                                     NULL: accept() is used */
  void *owner;                    /* the server */
  int error;                      /* why accepting failed; the server resets it */
  bool polling;
} asy_Listener;

/* Held while another thread writes to the socket of a stream (sendfile): what others write
 * meanwhile is queued. */
typedef struct asy_FlowHold {
  asy_Stream *s; /* NULL when nothing is held, also if the stream was closed meanwhile */
} asy_FlowHold;

/* What a stream can do without while everything that it writes goes out at once, and as long as it
 * has the usual limits. A connection that is idle spends no memory on it. */
typedef struct asy_FlowExtra {
  asy_List settling; /* asy_Wait.link: connect, drain, wait_closed */
  asy_List output;   /* asy_Chunk.link; the first is with libuv */
  size_t queued;     /* bytes in `output` */
  size_t limit;      /* of the input, in bytes; see asy_flow_take */
  asy_Marks marks;
  asy_FlowHold *hold; /* or NULL */
} asy_FlowExtra;

/* There may be very many of them, each of them idle: every byte counts. */
struct asy_Stream {
  asy_Resource res;
  asy_Input input;
  asy_List readers;     /* asy_Wait.link: read*, recv, or accept */
  asy_FlowExtra *extra; /* NULL before it is needed: asy_flow_extra */
  asy_FlowSet *group;   /* or NULL */
  asy_Ready served;     /* in asy_Listener.accepted; then among the callbacks of the task that a
                           server has started for it; server.c */
  size_t need;          /* bytes that the first of `readers` waits for */
  uv_os_sock_t fd;      /* valid until the state is CLOSED */
  int task;             /* the number with which that task is kept alive, or 0; server.c */
  int16_t read_error;   /* libuv's code that ended reading; 0 at the end of the stream, too */
  int16_t write_error;  /* libuv's code that ended writing */
  uint8_t state;        /* asy_FlowState */
  uint8_t kind;         /* asy_FlowKind */
  bool has_handle : 1;  /* uv.inet.tcp, uv.pipe, or uv.listener.poll, is initialised */
  bool reading : 1;     /* uv_read_start was called and not stopped */
  bool arrived : 1;     /* bytes are there that the reader who was woken takes himself:
                           asy_flow_pull */
  bool eof : 1;         /* nothing more will come */
  bool closing : 1;     /* close() was called */
  bool no_more : 1;     /* write_eof() was called: shut down when the output is empty */
  bool lost : 1;        /* output was thrown away, by abort or by an error */
  bool full : 1;        /* the output has passed marks.high, and is not down to marks.low yet */
  union {               /* last, because of a record as much is allocated as its kind needs */
    uv_handle_t handle;
    uv_stream_t stream;
    struct { /* INET, INET6 */
      uv_tcp_t tcp;
      asy_Address peer; /* of INET only ASY_ADDRESS_SHORT bytes are there */
    } inet;
    uv_pipe_t pipe; /* UNIX, PIPE */
    asy_Listener listener;
    struct { /* CARRIED */
      const asy_Carrier *carrier;
      void *other; /* this and what follows is the carrier's own */
      asy_Chunk *chunk;
      size_t done;
      const char *name; /* for messages, or NULL; it outlives the stream */
      int fd;           /* the process's, for which the stream stands, or -1 */
    } carried;
  } uv;
};

/* What is left of one or several writes. */
struct asy_Chunk {
  uv_write_t req;
  asy_Stream *s;
  asy_Link link;    /* in asy_FlowExtra.output */
  asy_List waiters; /* asy_Wait.link: the sendall whose bytes these are, as long as it waits */
  char *at;         /* what is not out yet */
  size_t count;
  size_t sending; /* of these, how many are with libuv */
  size_t room;    /* behind them, for the next write */
  bool sendall;
  char bytes[];
};

/* ---- life */

/* The kind of a socket of this family: AF_INET, AF_INET6, AF_UNIX. */
ASY_FUNC asy_FlowKind asy_flow_kind_of(int family);

/* A record for a socket, which it owns from now on; held by nobody. NULL: no memory, and the socket
 * is closed. */
ASY_FUNC asy_Stream *asy_flow_new(asy_Loop *loop, uv_os_sock_t fd, asy_FlowKind kind);

/* A record for a descriptor of our own that is ready to be used: one end of a pipe, or a connected
 * unix socket. 0, or a libuv code: it is closed. */
ASY_FUNC int asy_flow_open_pipe(asy_Loop *loop, uv_os_sock_t fd, asy_FlowKind kind,
                                asy_Stream **out);

/* A record for a stream that something else than libuv carries; it is OPEN. NULL: no memory. */
ASY_FUNC asy_Stream *asy_flow_carried(asy_Loop *loop, const asy_Carrier *carrier);

/* The record of a socket that is connected already, to `peer`. 0, or a libuv code: it is gone. */
ASY_FUNC int asy_flow_adopt(asy_Loop *loop, uv_os_sock_t fd, asy_FlowKind kind,
                            const struct sockaddr *peer, asy_Stream **out);

/* Does a stream of this loop own the descriptor? */
ASY_FUNC bool asy_flow_owns(asy_Loop *loop, uv_os_sock_t fd);

/* Begin to connect; wakes the first of `settling`, which is there then, with its status. 0 or a
 * libuv code. */
ASY_FUNC int asy_flow_connect(asy_Stream *s, const struct sockaddr *addr);

/* Connect a unix socket, which is done at once. 0; UV_EAGAIN: the server is busy, try it later; or
 * another libuv code. */
ASY_FUNC int asy_flow_connect_unix(asy_Stream *s, asy_Sockaddr *addr);

/* Close, when what write() has queued is out; a sendall in progress, and what was written behind
 * it, is dropped. Whoever reads, accepts or sends is woken with UV_ECANCELED. */
ASY_FUNC void asy_flow_close(asy_Stream *s);

/* Close now. */
ASY_FUNC void asy_flow_abort(asy_Stream *s);

/* The Lua object is gone. */
ASY_FUNC void asy_flow_release(asy_Stream *s);

static inline bool asy_flow_is_closed(const asy_Stream *s) {
  return s->closing || s->state == ASY_FLOW_CLOSED;
}

/* What carries it, or NULL: libuv. */
static inline const asy_Carrier *asy_flow_carrier(const asy_Stream *s) {
  return s->kind == ASY_FLOW_CARRIED ? s->uv.carried.carrier : NULL;
}

/* The address of the peer of a TCP connection; NULL if there is none. */
static inline const asy_Address *asy_flow_peer(const asy_Stream *s) {
  bool is_tcp = s->kind == ASY_FLOW_INET || s->kind == ASY_FLOW_INET6;
  return is_tcp && s->uv.inet.peer.family ? &s->uv.inet.peer : NULL;
}

/* ---- what few streams need */

/* Its extra, which is made if there is none. NULL: no memory. */
ASY_FUNC asy_FlowExtra *asy_flow_extra(asy_Stream *s);

/* How much input there may be, and between which marks writers are held back, from now on. 0 or
 * UV_ENOMEM. */
ASY_FUNC int asy_flow_configure(asy_Stream *s, size_t limit, asy_Marks marks);

static inline size_t asy_flow_get_limit(const asy_Stream *s) {
  return s->extra ? s->extra->limit : ASY_FLOW_LIMIT;
}

static inline asy_Marks asy_flow_get_marks(const asy_Stream *s) {
  return s->extra ? s->extra->marks : ASY_FLOW_MARKS;
}

/* The first chunk of the output, by its link, and the one behind it, or NULL. */
static inline asy_Link *asy_flow_first_output(const asy_Stream *s) {
  return s->extra ? asy_list_first(&s->extra->output) : NULL;
}

static inline asy_Link *asy_flow_next_output(const asy_Stream *s, const asy_Link *link) {
  return asy_list_next(&s->extra->output, link);
}

static inline bool asy_flow_is_held(const asy_Stream *s) {
  return s->extra && s->extra->hold;
}

/* ---- the clients of a server */

ASY_FUNC void asy_flow_join(asy_Stream *s, asy_FlowSet *group);

/* Call a function for each of them; it may close its stream. */
ASY_FUNC void asy_flow_each(asy_Loop *loop, const asy_FlowSet *group, void (*f)(asy_Stream *s));

/* ---- listening */

/* 0 or a libuv code. A negative backlog: it listens already. */
ASY_FUNC int asy_flow_listen(asy_Stream *s, int backlog);

/* Ask libuv to tell when somebody connects. 0 or a libuv code. */
ASY_FUNC int asy_flow_watch(asy_Stream *s);
ASY_FUNC void asy_flow_unwatch(asy_Stream *s);

/* Accept one connection. 0, UV_EAGAIN, or another libuv code. */
ASY_FUNC int asy_flow_accept(asy_Stream *s, asy_Stream **out);

/* ---- reading */

/* Begin to read, if that has not been done. 0 or a libuv code. */
ASY_FUNC int asy_flow_read_start(asy_Stream *s);

/* The wait that was just linked into `readers` is for so many bytes of input, or its end. 0 or a
 * libuv code. There may be enough at once (asy_flow_is_ready): a carrier may have had them. */
ASY_FUNC int asy_flow_need(asy_Stream *s, size_t need);

/* Is there what the first of `readers` waits for, or will it never come? */
static inline bool asy_flow_is_ready(const asy_Stream *s) {
  return s->input.buffer.count >= s->need || s->eof || s->read_error || s->closing;
}

/* So many bytes of input have been read; reading goes on if it had stopped and the input is within
 * its limit again. */
ASY_FUNC void asy_flow_take(asy_Stream *s, size_t n);

/* The carrier has received bytes: 0 or UV_ENOMEM. The end of the stream (UV_EOF), or an error. */
ASY_FUNC int asy_flow_feed(asy_Stream *s, const char *data, size_t n);
ASY_FUNC void asy_flow_feed_end(asy_Stream *s, int err);

/* At the beginning of a reader's turn: fetch what was left in the kernel for him. */
ASY_FUNC void asy_flow_pull(asy_Stream *s);

/* Whoever is first in `readers` has something to do: wake him. */
ASY_FUNC void asy_flow_hand_on(asy_Stream *s);

/* ---- writing */

/* Send, or queue what the kernel does not take. 0 or a libuv code; after UV_ENOMEM nothing was
 * sent, or nothing more can be. *chunk: what the sendall is to wait for, or NULL when everything
 * is out; `chunk` itself is NULL for write(), whose bytes nobody waits for. */
ASY_FUNC int asy_flow_write(asy_Stream *s, const char *data, size_t n, asy_Chunk **chunk);

/* The carrier is done with the bytes that it was given. 0 or a libuv code. */
ASY_FUNC void asy_flow_written(asy_Chunk *chunk, int status);

/* The sendall that waits for this chunk is cancelled: what libuv does not have yet is dropped. */
ASY_FUNC void asy_flow_drop(asy_Chunk *chunk);

/* Hold the output, which must be empty, of a stream that has its extra; let it go. */
ASY_FUNC void asy_flow_hold(asy_Stream *s, asy_FlowHold *hold);
ASY_FUNC void asy_flow_unhold(asy_FlowHold *hold);

/* No more will be written: tell the peer when the output is empty. 0 or a libuv code. */
ASY_FUNC int asy_flow_end(asy_Stream *s);

/* ---- the Lua object */

/* What the options limit, high_water and low_water say, or the defaults; an argument error if they
 * are wrong. [-0, +0, v] */
ASY_FUNC size_t asy_flow_limit(lua_State *L, int arg);
ASY_FUNC asy_Marks asy_flow_marks(lua_State *L, int arg);

/* Check the options that connections and servers have in common: limit, the marks, sock, ssl. [-0,
 * +0, v] */
ASY_FUNC void asy_flow_check_options(lua_State *L, int arg);

/* Push a Stream without a record: memory first, then asy_flow_fill. [-0, +1, m] */
ASY_FUNC void asy_flow_box(lua_State *L, asy_State *S);

/* Put the record into the Stream at idx, which holds it from now on. [-0, +0, -] */
ASY_FUNC void asy_flow_fill(lua_State *L, int idx, asy_Stream *s);

/* The record of the Stream at idx, which must be one; NULL if it was finalized. [-0, +0, -] */
ASY_FUNC asy_Stream *asy_flow_at(lua_State *L, int idx);

/* The record of the Stream at arg, or an argument error. [-0, +0, v] */
ASY_FUNC asy_Stream *asy_flow_check(lua_State *L, asy_State *S, int arg);

/* How a continuation begins whose Stream is at index 1: unlink, raise the cancellation if there is
 * one. [-0, +0, v] */
ASY_FUNC asy_Stream *asy_flow_resumed(lua_State *L, asy_Wait *w);

/* asy_WaitKind.cancel of a connect, whose `on` is the Stream: half a connection is of no use, it is
 * closed. */
ASY_FUNC bool asy_flow_cancel_connect(lua_State *L, asy_Wait *w, int msg);

/* __gc */
ASY_FUNC int asy_flow_gc(lua_State *L);

/* For messages: the peer's address; of a unix socket its path, or ours if that has none. NULL if
 * there is nothing to tell. */
ASY_FUNC const char *asy_flow_where(const asy_Stream *s, char text[ASY_SOCKADDR_TEXT]);

/* Raise an OSError that names the peer. [-0, +0, v] */
ASY_FUNC int asy_flow_raise(lua_State *L, asy_State *S, const asy_Stream *s, int code,
                            const char *op);

/* An error if the stream is closed or, unless loop is NULL, belongs to another one. [-0, +0, v] */
ASY_FUNC void asy_flow_check_open(lua_State *L, asy_State *S, const asy_Stream *s,
                                  const asy_Loop *loop, const char *op);

#endif
