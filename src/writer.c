/* SPDX-License-Identifier: MIT */
/* writer.c - see writer.h. Everything goes out in the order in which it was written, by whichever
 * method.
 *
 * A connection that is broken is no error of write() itself, as in asyncio: it is raised where the
 * program waits, by drain, sendall, wait_closed. */
#include "writer.h"

#include "error.h"
#include "option.h"
#include "udp.h"

/* May this be written to? loop: NULL for methods that do not wait. */
static void writer_check(lua_State *L, asy_State *S, asy_Stream *s, asy_Loop *loop,
                         const char *op) {
  asy_flow_check_open(L, S, s, loop, op);
  if (s->state != ASY_FLOW_OPEN) asy_flow_raise(L, S, s, UV_ENOTCONN, op);
  if (s->no_more) luaL_error(L, "%s: write_eof or shutdown was called before", op);
}

/* ---- write, writelines, write_eof */

static int writer_send(lua_State *L, asy_State *S, asy_Stream *s, const char *data, size_t n) {
  int err = asy_flow_write(s, data, n, NULL);
  return err == UV_ENOMEM ? asy_flow_raise(L, S, s, err, "write") : 0;
}

/***
Write bytes. What the kernel does not take at once is kept and sent later; call `drain` to keep step
with the peer.
@function Stream:write
@tparam string data the bytes
@return nothing
@waits no
@raise argument error; OSError if the stream is closed or not connected; an error after write_eof. A
connection that is broken is reported by drain
@usage local a, b = asyncio.testing.stream_pair(); a:write("hello"); assert(b:readexactly(5) ==
"hello")
@see asyncio-stream.html#asyncio.StreamWriter.write
*/
static int writer_write(lua_State *L) {
  asy_State *S = asy_state(L);
  asy_Stream *s = asy_flow_check(L, S, 1);
  size_t n;
  const char *data = luaL_checklstring(L, 2, &n);
  writer_check(L, S, s, NULL, "write");
  return writer_send(L, S, s, data, n);
}

/***
Write a list of strings, as if they were one.
@function Stream:writelines
@tparam table list of strings; no newlines are added
@return nothing
@waits no
@raise argument error; OSError if the stream is closed or not connected; an error after write_eof
@usage local a, b = asyncio.testing.stream_pair(); a:writelines{"one\n", "two\n"};
assert(b:readexactly(8) == "one\ntwo\n")
@see asyncio-stream.html#asyncio.StreamWriter.writelines
*/
static int writer_writelines(lua_State *L) {
  asy_State *S = asy_state(L);
  asy_Stream *s = asy_flow_check(L, S, 1);
  luaL_checktype(L, 2, LUA_TTABLE);
  writer_check(L, S, s, NULL, "writelines");
  lua_Integer count = (lua_Integer)lua_rawlen(L, 2);
  luaL_Buffer all;
  luaL_buffinit(L, &all);
  for (lua_Integer i = 1; i <= count; i++) {
    lua_rawgeti(L, 2, i);
    if (!lua_isstring(L, -1))
      return luaL_argerror(L, 2,
                           lua_pushfstring(L, "list of strings expected, got %s at [%I]",
                                           luaL_typename(L, -1), (LUAI_UACINT)i));
    luaL_addvalue(&all);
  }
  luaL_pushresult(&all);
  size_t n;
  const char *data = lua_tolstring(L, -1, &n);
  return writer_send(L, S, s, data, n);
}

/***
End the writing side, when everything written before is out; the peer reads the end of the stream.
Reading goes on.
@function Stream:write_eof
@return nothing
@waits no
@raise OSError if the stream is closed, not connected, or broken
@usage local a, b = asyncio.testing.stream_pair(); a:write("all"); a:write_eof(); assert(b:read() ==
"all")
@see asyncio-stream.html#asyncio.StreamWriter.write_eof
*/
static int writer_write_eof(lua_State *L) {
  asy_State *S = asy_state(L);
  asy_Stream *s = asy_flow_check(L, S, 1);
  asy_flow_check_open(L, S, s, NULL, "write_eof");
  if (s->state != ASY_FLOW_OPEN) return asy_flow_raise(L, S, s, UV_ENOTCONN, "write_eof");
  int err = asy_flow_end(s);
  return err ? asy_flow_raise(L, S, s, err, "write_eof") : 0;
}

/***
Whether the writing side can be ended on its own (`write_eof`).
@function Stream:can_write_eof
@treturn boolean true for every Stream that is connected
@waits no
@raise argument error
@usage local a = asyncio.testing.stream_pair(); assert(a:can_write_eof())
@see asyncio-stream.html#asyncio.StreamWriter.can_write_eof
*/
static int writer_can_write_eof(lua_State *L) {
  lua_pushboolean(L, asy_flow_check(L, asy_state(L), 1)->state == ASY_FLOW_OPEN);
  return 1;
}

/* ---- drain */

static const asy_WaitKind writer_drain_wait = {"a stream to be drained", NULL, true};

static int writer_k_drain(lua_State *L, asy_Wait *w);

static int writer_try_drain(lua_State *L, asy_Wait *w, asy_Stream *s) {
  asy_State *S = w->loop->S;
  if (s->write_error) return asy_flow_raise(L, S, s, s->write_error, "drain");
  if (s->read_error) return asy_flow_raise(L, S, s, s->read_error, "drain");
  if (s->lost) return asy_flow_raise(L, S, s, UV_ECANCELED, "drain");
  if (!s->full) return 0;
  asy_list_append(&s->extra->settling, &w->link);
  return asy_wait_park(L, w, &writer_drain_wait, lua_touserdata(L, 1), writer_k_drain);
}

static int writer_k_drain(lua_State *L, asy_Wait *w) {
  return writer_try_drain(L, w, asy_flow_resumed(L, w));
}

/***
Keep step with the peer: wait while too much of what was written has not gone out. From more than
the high mark (64 KiB) until no more than the low one (16 KiB) is left; below, it returns at once.
`wait_closed` waits until everything is out. Several tasks may do so.
@function Stream:drain
@return nothing
@waits yes
@cancel raises CancelledError; what was written is still sent
@raise OSError if the connection broke, or was aborted before everything was out
@usage local a, b = asyncio.testing.stream_pair(); a:write("hello"); a:drain()
@see asyncio-stream.html#asyncio.StreamWriter.drain
*/
static int writer_drain(lua_State *L) {
  asy_State *S = asy_state(L);
  asy_Stream *s = asy_flow_check(L, S, 1);
  asy_Wait *w = asy_wait_begin(L, S);
  if (!w) return asy_wait_outside(L, S);
  if (s->res.loop && s->res.loop != w->loop)
    return luaL_error(L, "drain: the stream belongs to another event loop");
  lua_settop(L, 1);
  return writer_try_drain(L, w, s);
}

/***
Set the marks between which `drain` holds writers back: from more than `high_water` bytes that are
kept here until there are `low_water` or fewer. One that is not given follows from the other: the
high one is four times the low one; without both they are as at first. `open_connection` and
`start_server` have options of these names.
@function Stream:set_write_buffer_limits
@tparam[opt] table limits high_water (integer, bytes, 65536; 0: whatever the kernel does not take at
once is waited for), low_water (integer, bytes, 16384)
@return nothing
@waits no
@raise argument error, also if low_water is more than high_water
@usage local a = asyncio.testing.stream_pair(); a:set_write_buffer_limits{high_water = 1000}
local low, high = a:get_write_buffer_limits(); assert(low == 250 and high == 1000)
@see asyncio-protocol.html#asyncio.WriteTransport.set_write_buffer_limits
*/
static int writer_set_limits(lua_State *L) {
  static const char *const names[] = {"high_water", "low_water", NULL};
  asy_State *S = asy_state(L);
  asy_Stream *s = asy_flow_check(L, S, 1);
  asy_option_check(L, 2, names);
  int err = asy_flow_configure(s, asy_flow_get_limit(s), asy_flow_marks(L, 2));
  return err ? asy_flow_raise(L, S, s, err, "set_write_buffer_limits") : 0;
}

/***
The marks between which `drain` holds writers back.
@function Stream:get_write_buffer_limits
@treturn integer the low one (bytes)
@treturn integer the high one (bytes)
@waits no
@raise argument error
@usage local a = asyncio.testing.stream_pair(); local low, high = a:get_write_buffer_limits()
assert(low == 16384 and high == 65536)
@see asyncio-protocol.html#asyncio.WriteTransport.get_write_buffer_limits
*/
static int writer_get_limits(lua_State *L) {
  asy_Stream *s = asy_flow_check(L, asy_state(L), 1);
  asy_Marks marks = asy_flow_get_marks(s);
  lua_pushinteger(L, (lua_Integer)marks.low);
  lua_pushinteger(L, (lua_Integer)marks.high);
  return 2;
}

/***
How much of what was written is still kept here; what the kernel has taken does not count.
@function Stream:get_write_buffer_size
@treturn integer bytes
@waits no
@raise argument error
@usage local a = asyncio.testing.stream_pair(); a:write("hello"); assert(a:get_write_buffer_size()
== 0)
@see asyncio-protocol.html#asyncio.WriteTransport.get_write_buffer_size
*/
static int writer_get_size(lua_State *L) {
  const asy_FlowExtra *extra = asy_flow_check(L, asy_state(L), 1)->extra;
  lua_pushinteger(L, extra ? (lua_Integer)extra->queued : 0);
  return 1;
}

/* ---- sendall */

/* What is not with libuv yet is dropped. */
static bool writer_cancel_sendall(lua_State *L, asy_Wait *w, int msg) {
  if (w->state == ASY_WAIT_PARKED &&
      !asy_list_is_empty(&w->link)) /* the chunk's list has one link, this one */
    asy_flow_drop(ASY_CONTAINER(w->link.next, asy_Chunk, waiters));
  return asy_wait_cancel(L, w, msg);
}

static const asy_WaitKind writer_sendall_wait = {"data to be sent", writer_cancel_sendall, true};

static int writer_k_sendall(lua_State *L, asy_Wait *w) {
  int status = w->status;
  asy_Stream *s = asy_flow_resumed(L, w);
  return status ? asy_flow_raise(L, w->loop->S, s, status, "sendall") : 0;
}

/* self: where the Stream is; 2 for a method of Loop. */
static int writer_sendall_at(lua_State *L, int self) {
  asy_State *S = asy_state(L);
  asy_Loop *loop = self == 2 ? asy_check_loop(L, S, 1) : NULL;
  asy_Stream *s = asy_flow_check(L, S, self);
  luaL_checkstring(L, self + 1);
  asy_Wait *w = asy_wait_begin(L, S);
  if (!w) return asy_wait_outside(L, S);
  if (loop && loop != w->loop) return luaL_error(L, "this is not the running event loop");
  lua_settop(L, self + 1);
  if (loop) lua_remove(L, 1);
  writer_check(L, S, s, w->loop, "sendall");
  size_t n;
  const char *data = lua_tolstring(L, 2, &n);
  asy_Chunk *chunk;
  int err = asy_flow_write(s, data, n, &chunk);
  if (err) return asy_flow_raise(L, S, s, err, "sendall");
  if (!chunk) return 0;
  lua_settop(L, 1); /* the chunk has what is left of it */
  asy_list_append(&chunk->waiters, &w->link);
  return asy_wait_park(L, w, &writer_sendall_wait, lua_touserdata(L, 1), writer_k_sendall);
}

/***
Send all the bytes, and wait until they are out. Several tasks may do so; their data is not mixed.
@function Stream:sendall
@tparam string data the bytes
@return nothing
@waits yes
@cancel raises CancelledError; an unknown part of the data, from its beginning, has been sent, the
rest never will be
@raise argument error; OSError, with code "ECANCELED" if the stream was closed meanwhile
@usage local a, b = asyncio.testing.stream_pair(); a:sendall("hello"); assert(b:recv(10) == "hello")
@see asyncio-eventloop.html#asyncio.loop.sock_sendall
*/
static int writer_sendall(lua_State *L) {
  return writer_sendall_at(L, 1);
}

/***
The same as `sock:sendall(data)`.
@function Loop:sock_sendall
@tparam Stream|DatagramSocket sock a connected socket
@tparam string data the bytes, or the datagram
@return nothing
@waits yes
@cancel raises CancelledError; an unknown part of the data, from its beginning, has been sent, the
rest never will be
@raise argument error; OSError, with code "ECANCELED" if the stream was closed meanwhile
@usage local a, b = asyncio.testing.stream_pair(); asyncio.get_running_loop():sock_sendall(a,
"hello") assert(b:recv(10) == "hello")
@see asyncio-eventloop.html#asyncio.loop.sock_sendall
*/
static int writer_sock_sendall(lua_State *L) {
  asy_State *S = asy_state(L);
  if (!asy_udp_is(L, S, 2)) return writer_sendall_at(L, 2);
  asy_Loop *loop = asy_check_loop(L, S, 1);
  luaL_checkstring(L, 3);
  asy_Wait *w = asy_wait_begin(L, S);
  if (!w) return asy_wait_outside(L, S);
  if (loop != w->loop) return luaL_error(L, "this is not the running event loop");
  lua_remove(L, 1);
  return asy_udp_sendall(L, w);
}

void asy_writer_open(lua_State *L, asy_State *S) {
  static const luaL_Reg methods[] = {{"write", writer_write},
                                     {"writelines", writer_writelines},
                                     {"write_eof", writer_write_eof},
                                     {"can_write_eof", writer_can_write_eof},
                                     {"drain", writer_drain},
                                     {"set_write_buffer_limits", writer_set_limits},
                                     {"get_write_buffer_limits", writer_get_limits},
                                     {"get_write_buffer_size", writer_get_size},
                                     {"sendall", writer_sendall},
                                     {NULL, NULL}};
  static const luaL_Reg loop_methods[] = {{"sock_sendall", writer_sock_sendall}, {NULL, NULL}};
  asy_type_add(L, S, ASY_SLOT_STREAM, methods);
  asy_type_add(L, S, ASY_SLOT_LOOP_TYPE, loop_methods);
}
