/* SPDX-License-Identifier: MIT */
/* sendfile.c - see sendfile.h.
 *
 * On a socket, slices of the file are given to the kernel (sendfile(2)) by a thread, for which the
 * socket does not block; when it takes nothing more, one piece is read and written as any other
 * data is, and what is in the way is waited for: so libuv tells when there is room again. Where
 * there is no socket (a carrier), or the system does not do it, everything goes that way. */
#include "sendfile.h"

#include "error.h"
#include "loop.h"
#include "sys.h"

#define SENDFILE_PIECE ((size_t)64 * 1024) /* that is read and written */

/* The stack while it is in progress: */
enum {
  SENDFILE_FILE = 1,
  SENDFILE_STREAM,
  SENDFILE_OFFSET, /* where to begin */
  SENDFILE_LEFT,   /* bytes to be sent; -1: all */
  SENDFILE_SENT,
  SENDFILE_PHASE,
  SENDFILE_COPIES /* true: the kernel does not do it */
};

typedef enum sendfile_Phase { /* what the job is that has ended */
                              SENDFILE_FLUSHING,
                              SENDFILE_SEEKING,
                              SENDFILE_BETWEEN, /* none */
                              SENDFILE_SENDING,
                              SENDFILE_READING
} sendfile_Phase;

static const asy_DiskOp sendfile_op;
static int sendfile_next(lua_State *L, asy_Wait *w, asy_File *f);

static void sendfile_set_phase(lua_State *L, sendfile_Phase phase) {
  lua_pushinteger(L, phase);
  lua_replace(L, SENDFILE_PHASE);
}

/* How many of n bytes are to be sent. */
static size_t sendfile_limit(lua_State *L, size_t n) {
  lua_Integer left = lua_tointeger(L, SENDFILE_LEFT);
  return left >= 0 && (lua_Unsigned)left < n ? (size_t)left : n;
}

/* n bytes are out, or with the stream. */
static void sendfile_count(lua_State *L, size_t n) {
  lua_Integer left = lua_tointeger(L, SENDFILE_LEFT);
  lua_pushinteger(L, lua_tointeger(L, SENDFILE_SENT) + (lua_Integer)n);
  lua_replace(L, SENDFILE_SENT);
  if (left < 0) return;
  lua_pushinteger(L, left - (lua_Integer)n);
  lua_replace(L, SENDFILE_LEFT);
}

static int sendfile_finish(lua_State *L) {
  lua_pushvalue(L, SENDFILE_SENT);
  return 1;
}

/* ---- waiting for the stream */

static const asy_WaitKind sendfile_wait = {"a stream to be drained", NULL, true};

static int sendfile_k_drained(lua_State *L, asy_Wait *w);

static int sendfile_drain(lua_State *L, asy_Wait *w, asy_Stream *s) {
  asy_State *S = w->loop->S;
  if (s->write_error) return asy_flow_raise(L, S, s, s->write_error, sendfile_op.name);
  if (s->lost || asy_flow_is_closed(s))
    return asy_flow_raise(L, S, s, UV_ECANCELED, sendfile_op.name);
  if (!asy_flow_first_output(s)) {
    asy_File *f = asy_disk_check(L, S, SENDFILE_FILE);
    sendfile_set_phase(L, SENDFILE_BETWEEN);
    return asy_disk_begin(L, w, f, &sendfile_op);
  }
  asy_list_append(&s->extra->settling, &w->link); /* which it has: there is output */
  return asy_wait_park(L, w, &sendfile_wait, lua_touserdata(L, SENDFILE_STREAM),
                       sendfile_k_drained);
}

static int sendfile_k_drained(lua_State *L, asy_Wait *w) {
  asy_list_remove(&w->link);
  if (asy_wait_failed(w)) return asy_wait_raise(L, w);
  return sendfile_drain(L, w, asy_flow_check(L, w->loop->S, SENDFILE_STREAM));
}

/* ---- pieces */

/* Give what was read to the stream. */
static int sendfile_write(lua_State *L, asy_Wait *w, asy_File *f, asy_Stream *s) {
  size_t n = sendfile_limit(L, f->in.count);
  int err = asy_flow_write(s, f->in.at, n, NULL);
  if (err) return asy_flow_raise(L, w->loop->S, s, err, sendfile_op.name);
  asy_disk_take(&f->in, n);
  sendfile_count(L, n);
  return sendfile_drain(L, w, s);
}

static int sendfile_read(lua_State *L, asy_Wait *w, asy_File *f) {
  sendfile_set_phase(L, SENDFILE_READING);
  return asy_disk_read(L, w, f, sendfile_limit(L, SENDFILE_PIECE), &sendfile_op);
}

static int sendfile_next(lua_State *L, asy_Wait *w, asy_File *f) {
  asy_State *S = w->loop->S;
  asy_Stream *s = asy_flow_check(L, S, SENDFILE_STREAM);
  asy_flow_check_open(L, S, s, w->loop, sendfile_op.name);
  if (lua_tointeger(L, SENDFILE_LEFT) == 0) return sendfile_finish(L);
  if (s->write_error || asy_flow_first_output(s)) return sendfile_drain(L, w, s);
  if (f->in.count) return sendfile_write(L, w, f, s);
  if (!asy_flow_carrier(s) && !asy_flow_is_held(s) && !lua_toboolean(L, SENDFILE_COPIES) &&
      asy_flow_extra(s)) {
    int target = asy_sys_dup(s->fd);
    sendfile_set_phase(L, SENDFILE_SENDING);
    if (target >= 0)
      return asy_disk_send(L, w, f, s, target, sendfile_limit(L, ASY_DISK_MOST), &sendfile_op);
  }
  return sendfile_read(L, w, f);
}

/* A slice was sent, or not. */
static int sendfile_sent(lua_State *L, asy_Wait *w, asy_File *f, int status) {
  asy_State *S = w->loop->S;
  switch (status) {
  case 0: sendfile_count(L, (size_t)f->position); return sendfile_next(L, w, f);
  case UV_EOF: return sendfile_finish(L);
  case UV_EAGAIN: return sendfile_read(L, w, f);
  case UV_EINVAL:
  case UV_ENOSYS:
  case UV_ENOTSUP:
    lua_pushboolean(L, true);
    lua_replace(L, SENDFILE_COPIES);
    return sendfile_read(L, w, f);
  default:
    return asy_flow_raise(L, S, asy_flow_check(L, S, SENDFILE_STREAM), status, sendfile_op.name);
  }
}

static int sendfile_body(lua_State *L, asy_Wait *w, asy_File *f, int status) {
  asy_State *S = w->loop->S;
  lua_Integer offset = lua_tointeger(L, SENDFILE_OFFSET);
  switch ((sendfile_Phase)lua_tointeger(L, SENDFILE_PHASE)) {
  case SENDFILE_FLUSHING:
    if (status < 0) break;
    if (f->out.count) return asy_disk_write(L, w, f, &sendfile_op);
    sendfile_set_phase(L, SENDFILE_SEEKING);
    f->keep = false;
    return asy_disk_seek(L, w, f, offset, SEEK_SET, &sendfile_op);
  case SENDFILE_SEEKING:
    if (status == UV_ESPIPE && offset == 0)
      f->is_pipe = true; /* it goes on from where it is */
    else if (status < 0)
      break;
    return sendfile_next(L, w, f);
  case SENDFILE_BETWEEN: return sendfile_next(L, w, f);
  case SENDFILE_SENDING: return sendfile_sent(L, w, f, status);
  case SENDFILE_READING:
    if (status == UV_EOF) return sendfile_finish(L);
    if (status < 0) break;
    return sendfile_next(L, w, f);
  }
  return asy_disk_raise(L, S, f, status, sendfile_op.name);
}

static int sendfile_k_next(lua_State *L, asy_Wait *w) {
  return asy_disk_resume(L, w, &sendfile_op);
}

static const asy_DiskOp sendfile_op = {"sendfile", sendfile_body, sendfile_k_next};

/* [1] = file, [2] = stream, [3] = offset, [4] = count; in the function's arguments they stand at
 * `file`, `stream` and behind the later one. */
static int sendfile_start(lua_State *L, asy_Loop *loop, int file, int stream) {
  asy_State *S = asy_state(L);
  int rest = (file > stream ? file : stream) + 1;
  asy_Stream *s = file > stream ? asy_flow_check(L, S, stream) : NULL; /* the first one first */
  asy_File *f = asy_disk_check(L, S, file);
  s = asy_flow_check(L, S, stream);
  lua_Integer offset = luaL_optinteger(L, rest, 0), count = luaL_optinteger(L, rest + 1, -1);
  luaL_argcheck(L, offset >= 0, rest, "negative offset");
  luaL_argcheck(L, count >= 0 || lua_isnoneornil(L, rest + 1), rest + 1, "negative count");
  asy_Wait *w = asy_wait_begin(L, S);
  if (!w) return asy_wait_outside(L, S);
  if (loop && loop != w->loop) return luaL_error(L, "this is not the running event loop");
  asy_flow_check_open(L, S, s, w->loop, sendfile_op.name);
  if (s->state != ASY_FLOW_OPEN) return asy_flow_raise(L, S, s, UV_ENOTCONN, sendfile_op.name);
  if (s->no_more) return luaL_error(L, "sendfile: write_eof or shutdown was called before");
  if (!(f->mode & ASY_DISK_READS)) return asy_disk_raise(L, S, f, UV_EBADF, sendfile_op.name);
  lua_pushvalue(L, file);
  lua_pushvalue(L, stream);
  lua_rotate(L, 1, 2);
  lua_settop(L, SENDFILE_STREAM);
  lua_pushinteger(L, offset);
  lua_pushinteger(L, count);
  lua_pushinteger(L, 0);
  lua_pushinteger(L, SENDFILE_FLUSHING);
  lua_pushboolean(L, false);
  return asy_disk_begin(L, w, f, &sendfile_op);
}

/***
Send a file, or a part of it, on a Stream, in bounded memory. On a socket the kernel does it
(sendfile(2), Linux), else the file is read and written in pieces. Wait for it before anybody else
uses the file; what others write to the stream meanwhile goes out between two pieces.
@function sendfile
@tparam File file a file that was opened for reading; its position is behind what was sent
afterwards
@tparam Stream stream a Stream that is connected
@tparam[opt=0] integer offset where in the file to begin (bytes)
@tparam[opt] integer count how many bytes; nil: all until the end of the file
@treturn integer how many bytes were sent
@waits yes
@cancel raises CancelledError; an unknown part, from its beginning, has been sent
@raise argument error; OSError of the file or the stream
@usage local file <close>, path = asyncio.fs.mkstemp(); file:write("hello")
local a, b = asyncio.testing.stream_pair(); assert(asyncio.sendfile(file, a) == 5)
assert(b:read(5) == "hello"); asyncio.fs.unlink(path)
@see asyncio-eventloop.html#asyncio.loop.sendfile
*/
static int sendfile_sendfile(lua_State *L) {
  return sendfile_start(L, NULL, 1, 2);
}

/***
The same as `asyncio.sendfile(file, stream, offset, count)`, with asyncio's order of arguments.
@function Loop:sendfile
@tparam Stream stream a Stream that is connected
@tparam File file a file that was opened for reading
@tparam[opt=0] integer offset where in the file to begin (bytes)
@tparam[opt] integer count how many bytes; nil: all until the end of the file
@treturn integer how many bytes were sent
@waits yes
@cancel raises CancelledError; an unknown part, from its beginning, has been sent
@raise argument error; OSError of the file or the stream
@usage local file <close>, path = asyncio.fs.mkstemp(); file:write("hello")
local a, b = asyncio.testing.stream_pair()
assert(asyncio.get_running_loop():sendfile(a, file, 1, 2) == 2); assert(b:read(5) == "el")
asyncio.fs.unlink(path)
@see asyncio-eventloop.html#asyncio.loop.sendfile
*/
static int sendfile_loop_sendfile(lua_State *L) {
  return sendfile_start(L, asy_check_loop(L, asy_state(L), 1), 3, 2);
}

void asy_sendfile_open(lua_State *L, asy_State *S) {
  static const luaL_Reg functions[] = {{"sendfile", sendfile_sendfile}, {NULL, NULL}};
  static const luaL_Reg methods[] = {{"sendfile", sendfile_loop_sendfile}, {NULL, NULL}};
  asy_add_functions(L, S, functions);
  asy_type_add(L, S, ASY_SLOT_LOOP_TYPE, methods);
}
