/* SPDX-License-Identifier: MIT */
/* stream.c - see stream.h. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* struct ucred, in sys.h */
#endif
#include "stream.h"

#include <string.h>

#include "error.h"
#include "pair.h"
#include "reader.h"
#include "socket.h"
#include "writer.h"

/* ---- closing */

/***
Close the stream. What `write` has kept is still sent first; a `sendall` in progress is given up.
Whoever reads, accepts or sends is woken with an OSError whose code is "ECANCELED". Closing twice
does nothing.
@function Stream:close
@return nothing
@waits no
@raise argument error
@usage local a, b = asyncio.testing.stream_pair(); a:write("bye"); a:close(); assert(b:read() ==
"bye")
@see asyncio-stream.html#asyncio.StreamWriter.close
*/
static int stream_close(lua_State *L) {
  asy_flow_close(asy_flow_check(L, asy_state(L), 1));
  return 0;
}

/***
Close the stream at once; what `write` has kept is thrown away.
@function Stream:abort
@return nothing
@waits no
@raise argument error
@usage local a = asyncio.testing.stream_pair(); a:abort(); assert(a:is_closing())
@see asyncio-protocol.html#asyncio.WriteTransport.abort
*/
static int stream_abort(lua_State *L) {
  asy_flow_abort(asy_flow_check(L, asy_state(L), 1));
  return 0;
}

/***
Whether the stream is closed, or is being closed, or its connection has broken.
@function Stream:is_closing
@treturn boolean
@waits no
@raise argument error
@usage local a = asyncio.testing.stream_pair(); assert(not a:is_closing()); a:close();
assert(a:is_closing())
@see asyncio-stream.html#asyncio.StreamWriter.is_closing
*/
static int stream_is_closing(lua_State *L) {
  asy_Stream *s = asy_flow_check(L, asy_state(L), 1);
  lua_pushboolean(L, asy_flow_is_closed(s) || s->write_error || s->read_error);
  return 1;
}

static const asy_WaitKind stream_closed_wait = {"a stream to be closed", NULL, false};

static int stream_k_wait_closed(lua_State *L, asy_Wait *w);

static int stream_try_wait_closed(lua_State *L, asy_Wait *w, asy_Stream *s) {
  if (s->state == ASY_FLOW_CLOSED)
    return s->write_error ? asy_flow_raise(L, w->loop->S, s, s->write_error, "wait_closed") : 0;
  asy_FlowExtra *extra = asy_flow_extra(s);
  if (!extra) return asy_flow_raise(L, w->loop->S, s, UV_ENOMEM, "wait_closed");
  asy_list_append(&extra->settling, &w->link);
  return asy_wait_park(L, w, &stream_closed_wait, lua_touserdata(L, 1), stream_k_wait_closed);
}

static int stream_k_wait_closed(lua_State *L, asy_Wait *w) {
  return stream_try_wait_closed(L, w, asy_flow_resumed(L, w));
}

/***
Wait until the stream is closed and everything written before is out. Somebody must call `close`.
@function Stream:wait_closed
@return nothing
@waits yes
@cancel raises CancelledError; closing goes on
@raise OSError if the connection broke before everything was out
@usage local a = asyncio.testing.stream_pair(); a:close(); a:wait_closed()
@see asyncio-stream.html#asyncio.StreamWriter.wait_closed
*/
static int stream_wait_closed(lua_State *L) {
  asy_State *S = asy_state(L);
  asy_Stream *s = asy_flow_check(L, S, 1);
  asy_Wait *w = asy_wait_begin(L, S);
  if (!w) return asy_wait_outside(L, S);
  if (s->res.loop && s->res.loop != w->loop)
    return luaL_error(L, "wait_closed: the stream belongs to another event loop");
  lua_settop(L, 1);
  return stream_try_wait_closed(L, w, s);
}

/* ---- what there is to know */

/* The n values of an address on top, host and port or a path: as one, {host, port} or the path. */
static void stream_join_address(lua_State *L, int n) {
  if (n == 1) return;
  lua_createtable(L, 2, 0);
  lua_insert(L, -3);
  lua_rawseti(L, -3, 2);
  lua_rawseti(L, -2, 1);
}

/* {pid=, uid=, gid=} */
static bool stream_push_credentials(lua_State *L, const asy_Stream *s) {
  long pid = -1, uid = 0, gid = 0;
  if (s->kind != ASY_FLOW_UNIX || s->state != ASY_FLOW_OPEN ||
      asy_sys_peercred(s->fd, &pid, &uid, &gid))
    return false;
  lua_createtable(L, 0, 3);
  if (pid >= 0) {
    lua_pushinteger(L, pid);
    lua_setfield(L, -2, "pid");
  }
  lua_pushinteger(L, uid);
  lua_setfield(L, -2, "uid");
  lua_pushinteger(L, gid);
  lua_setfield(L, -2, "gid");
  return true;
}

/***
Something that belongs to the connection: "peername", "sockname" (both `{host, port}`, or the path
of a unix socket), "peercred" (of a unix socket: `{pid=, uid=, gid=}` of who has made the other end)
or "socket" (the Stream itself).
@function Stream:get_extra_info
@tparam string name what is asked for
@param[opt] default what to return if there is no such thing
@return the value, or `default`. "peername" of TCP is known after the stream was closed, too
@waits no
@raise argument error
@usage local server <close> = asyncio.start_server(function() end, "127.0.0.1", 0)
local conn <close> = asyncio.open_connection(server:sockets()[1]:getsockname())
assert(conn:get_extra_info("peername")[1] == "127.0.0.1")
@see asyncio-stream.html#asyncio.StreamWriter.get_extra_info
*/
static int stream_get_extra_info(lua_State *L) {
  asy_Stream *s = asy_flow_check(L, asy_state(L), 1);
  const char *name = luaL_checkstring(L, 2);
  asy_Sockaddr address;
  lua_settop(L, 3);
  if (strcmp(name, "socket") == 0)
    lua_pushvalue(L, 1);
  else if (strcmp(name, "peername") == 0 && s->state >= ASY_FLOW_OPEN)
    stream_join_address(L, asy_socket_push_peer(L, s));
  else if (strcmp(name, "sockname") == 0 && asy_socket_name(s, &address) == 0)
    stream_join_address(L, asy_sockaddr_push(L, &address));
  else if (strcmp(name, "peercred") != 0 || !stream_push_credentials(L, s))
    lua_pushnil(L);
  if (lua_isnil(L, -1)) lua_settop(L, 3);
  return 1;
}

static int stream_tostring(lua_State *L) {
  static const char *const states[] = {"new", "listening", "connecting", "connected", "closed"};
  asy_Stream *s = asy_flow_check(L, asy_state(L), 1);
  char text[ASY_SOCKADDR_TEXT];
  const char *peer = asy_flow_where(s, text);
  const char *state =
      asy_flow_is_closed(s) && s->state != ASY_FLOW_CLOSED ? "closing" : states[s->state];
  lua_pushfstring(L, peer ? "<asyncio.Stream %p [%s, %s]>" : "<asyncio.Stream %p [%s]>",
                  lua_topointer(L, 1), state, peer);
  return 1;
}

void asy_stream_open(lua_State *L, asy_State *S) {
  static const luaL_Reg methods[] = {{"close", stream_close},
                                     {"abort", stream_abort},
                                     {"is_closing", stream_is_closing},
                                     {"wait_closed", stream_wait_closed},
                                     {"get_extra_info", stream_get_extra_info},
                                     {"__tostring", stream_tostring},
                                     {"__close", stream_close},
                                     {"__gc", asy_flow_gc},
                                     {NULL, NULL}};
  asy_type_new(L, S, ASY_SLOT_STREAM, "asyncio.Stream", methods);
  asy_socket_open(L, S);
  asy_reader_open(L, S);
  asy_writer_open(L, S);
  asy_pair_open(L, S);
}
