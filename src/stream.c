/* SPDX-License-Identifier: MIT */
/* stream.c - see stream.h. */
#include "stream.h"

#include <string.h>

#include "error.h"
#include "loop.h"
#include "option.h"
#include "pair.h"
#include "reader.h"
#include "socket.h"
#include "writer.h"

/* ---- open_connection
 *
 * The stack while it is in progress: */
enum {
  STREAM_HOST = 1,
  STREAM_PORT,
  STREAM_OPTIONS,
  STREAM_LIST,   /* of getaddrinfo */
  STREAM_INDEX,  /* which of them is tried */
  STREAM_STREAM, /* the one that connects */
  STREAM_ERROR   /* of the first that failed, or nil */
};

static int stream_try_next(lua_State *L, asy_Wait *w);

/* This address failed with code: keep the error if it is the first, and try the next one. */
static int stream_failed(lua_State *L, asy_Wait *w, int code, const char *op,
                         const struct sockaddr *addr) {
  if (!lua_isnil(L, STREAM_STREAM)) asy_flow_abort(asy_flow_at(L, STREAM_STREAM));
  if (lua_isnil(L, STREAM_ERROR)) {
    asy_Address address;
    char text[ASY_ADDRESS_TEXT];
    asy_address_set(&address, addr);
    asy_error_push_os(L, w->loop->S, code, op, asy_address_format(&address, text));
    lua_replace(L, STREAM_ERROR);
  }
  return stream_try_next(L, w);
}

static const asy_WaitKind stream_connect_wait = {"a connection to open", asy_flow_cancel_connect,
                                                 false};

static bool stream_parse_entry(lua_State *L, struct sockaddr_storage *sa) {
  if (lua_rawgeti(L, STREAM_LIST, lua_tointeger(L, STREAM_INDEX)) == LUA_TNIL) {
    lua_pop(L, 1);
    return false;
  }
  lua_getfield(L, -1, "host");
  int err = asy_addr_parse(lua_tostring(L, -1), (int)lua_tointeger(L, STREAM_PORT), AF_UNSPEC, sa);
  lua_pop(L, 2);
  return err == 0;
}

static int stream_k_connected(lua_State *L, asy_Wait *w) {
  int status = w->status;
  asy_Stream *s = asy_flow_at(L, STREAM_STREAM);
  asy_list_remove(&w->link);
  if (asy_wait_failed(w)) {
    asy_flow_abort(s);
    return asy_wait_raise(L, w);
  }
  if (!status) status = asy_flow_read_start(s);
  if (!status) {
    lua_pushvalue(L, STREAM_STREAM);
    lua_pushvalue(L, STREAM_STREAM);
    return 2;
  }
  struct sockaddr_storage sa;
  stream_parse_entry(L, &sa);
  return stream_failed(L, w, status, "connect", (struct sockaddr *)&sa);
}

/* local_addr = {host, port}, numeric */
static int stream_bind_local(lua_State *L, asy_Stream *s, int family) {
  struct sockaddr_storage sa;
  if (!asy_option_push(L, STREAM_OPTIONS, "local_addr")) return 0;
  lua_rawgeti(L, -1, 1);
  lua_rawgeti(L, -2, 2);
  int err = asy_addr_parse(lua_tostring(L, -2), (int)lua_tointeger(L, -1), family, &sa);
  lua_pop(L, 3);
  return err ? err : asy_socket_bind(s, (struct sockaddr *)&sa);
}

/* Make a socket for the address and begin to connect it; it is at STREAM_STREAM then. 0 or a libuv
 * code. */
static int stream_begin(lua_State *L, asy_Wait *w, const struct sockaddr *addr) {
  int err = asy_socket_push(L, w->loop, addr->sa_family);
  if (err) return err;
  lua_replace(L, STREAM_STREAM);
  asy_Stream *s = asy_flow_at(L, STREAM_STREAM);
  s->limit = asy_flow_limit(L, STREAM_OPTIONS);
  s->marks = asy_flow_marks(L, STREAM_OPTIONS);
  asy_socket_set(s, "nodelay", true); /* as asyncio does; of no consequence if it fails */
  err = stream_bind_local(L, s, addr->sa_family);
  return err ? err : asy_flow_connect(s, addr);
}

static int stream_try_next(lua_State *L, asy_Wait *w) {
  struct sockaddr_storage sa;
  lua_settop(L, STREAM_ERROR);
  lua_pushinteger(L, lua_tointeger(L, STREAM_INDEX) + 1);
  lua_replace(L, STREAM_INDEX);
  if (!stream_parse_entry(L, &sa)) {
    if (!lua_isnil(L, STREAM_ERROR)) return lua_error(L);
    return asy_error_raise_os(L, w->loop->S, UV_EAI_NODATA, "getaddrinfo",
                              lua_tostring(L, STREAM_HOST));
  }
  int err = stream_begin(L, w, (struct sockaddr *)&sa);
  if (err) return stream_failed(L, w, err, "connect", (struct sockaddr *)&sa);
  asy_Stream *s = asy_flow_at(L, STREAM_STREAM);
  asy_list_append(&s->settling, &w->link);
  return asy_wait_park(L, w, &stream_connect_wait, lua_touserdata(L, STREAM_STREAM),
                       stream_k_connected);
}

static int stream_k_resolved(lua_State *L, asy_Wait *w) {
  int err = asy_addr_result(L, w);
  if (err)
    return asy_error_raise_os(L, w->loop->S, err, "getaddrinfo", lua_tostring(L, STREAM_HOST));
  lua_replace(L, STREAM_LIST);
  return stream_try_next(L, w);
}

static int stream_check_family(lua_State *L, int arg) {
  static const char *const families[] = {"inet", "inet6", NULL};
  static const int codes[] = {AF_UNSPEC, AF_INET, AF_INET6};
  return codes[asy_option_choice(L, arg, "family", families) + 1];
}

static void stream_check_options(lua_State *L, int arg) {
  static const char *const names[] = {"limit",      "high_water", "low_water", "family",
                                      "local_addr", "ssl",        NULL};
  struct sockaddr_storage sa;
  asy_option_check(L, arg, names);
  asy_option_refuse_ssl(L, arg);
  asy_flow_limit(L, arg);
  asy_flow_marks(L, arg);
  if (!asy_option_push(L, arg, "local_addr")) return;
  if (!lua_istable(L, -1)) asy_option_error(L, arg, "local_addr", "{host, port} expected");
  lua_rawgeti(L, -1, 1);
  lua_rawgeti(L, -2, 2);
  bool good = lua_type(L, -2) == LUA_TSTRING && lua_isinteger(L, -1) && lua_tointeger(L, -1) >= 0 &&
              lua_tointeger(L, -1) <= 65535 &&
              asy_addr_parse(lua_tostring(L, -2), 0, AF_UNSPEC, &sa) == 0;
  if (!good) asy_option_error(L, arg, "local_addr", "{host, port} expected, the host numeric");
  lua_pop(L, 3);
}

/***
Connect to a server. The addresses of a name are tried one after the other.
@function open_connection
@tparam string host name or numeric address
@tparam integer port number or service name
@tparam[opt] table opts limit (integer, bytes: the longest line, and half of what is read ahead,
65536), high_water and low_water (integer, bytes: see Stream:set_write_buffer_limits), family
("inet", "inet6"), local_addr (`{host, port}`, numeric: where to connect from)
@treturn Stream reader
@treturn Stream writer: the same Stream
@waits yes
@cancel raises CancelledError; the connection is not made
@raise argument error, also for the option ssl: there is no TLS yet; OSError, for example with code
"ECONNREFUSED" or "EAI_NONAME", that names the first address that failed
@usage local server <close> = asyncio.start_server(function(r, w) w:write(r:readline()) w:close()
end, "127.0.0.1", 0) local reader, writer =
asyncio.open_connection(server:sockets()[1]:getsockname()) writer:write("hello\n");
assert(reader:readline() == "hello\n"); writer:close()
@see asyncio-stream.html#asyncio.open_connection
*/
static int stream_open_connection(lua_State *L) {
  asy_State *S = asy_state(L);
  luaL_checktype(L, STREAM_HOST, LUA_TSTRING);
  const char *host = asy_addr_check_host(L, STREAM_HOST);
  asy_addr_check_port(L, STREAM_PORT);
  stream_check_options(L, STREAM_OPTIONS);
  struct addrinfo hints;
  memset(&hints, 0, sizeof hints);
  hints.ai_family = stream_check_family(L, STREAM_OPTIONS);
  hints.ai_socktype = SOCK_STREAM;
  asy_Wait *w = asy_wait_begin(L, S);
  if (!w) return asy_wait_outside(L, S);
  lua_settop(L, STREAM_OPTIONS);
  lua_settop(L, STREAM_ERROR);
  lua_pushinteger(L, 0);
  lua_replace(L, STREAM_INDEX);
  struct sockaddr_storage sa;
  if (asy_addr_parse(host, 0, hints.ai_family, &sa))
    return asy_addr_lookup(L, w, host, NULL, &hints, stream_k_resolved);
  lua_createtable(L, 1, 0); /* a list of one */
  lua_createtable(L, 0, 1);
  lua_pushvalue(L, STREAM_HOST);
  lua_setfield(L, -2, "host");
  lua_rawseti(L, -2, 1);
  lua_replace(L, STREAM_LIST);
  return stream_try_next(L, w);
}

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
  asy_list_append(&s->settling, &w->link);
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

/* {host, port} */
static void stream_push_address(lua_State *L, const asy_Address *address) {
  lua_createtable(L, 2, 0);
  asy_address_push(L, address);
  lua_rawseti(L, -3, 2);
  lua_rawseti(L, -2, 1);
}

/***
Something that belongs to the connection: "peername", "sockname" (both `{host, port}`) or "socket"
(the Stream itself).
@function Stream:get_extra_info
@tparam string name what is asked for
@param[opt] default what to return if there is no such thing
@return the value, or `default`. "peername" is known after the stream was closed, too
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
  asy_Address address;
  lua_settop(L, 3);
  if (strcmp(name, "socket") == 0) {
    lua_pushvalue(L, 1);
  } else if (strcmp(name, "peername") == 0 && s->peer.family && s->state >= ASY_FLOW_OPEN) {
    stream_push_address(L, &s->peer);
  } else if (strcmp(name, "sockname") == 0 && asy_socket_name(s, &address) == 0) {
    stream_push_address(L, &address);
  } else {
    lua_pushvalue(L, 3);
  }
  return 1;
}

static int stream_tostring(lua_State *L) {
  static const char *const states[] = {"new", "listening", "connecting", "connected", "closed"};
  asy_Stream *s = asy_flow_check(L, asy_state(L), 1);
  char text[ASY_ADDRESS_TEXT];
  const char *peer = asy_address_format(&s->peer, text);
  const char *state =
      asy_flow_is_closed(s) && s->state != ASY_FLOW_CLOSED ? "closing" : states[s->state];
  lua_pushfstring(L, peer ? "<asyncio.Stream %p [%s, %s]>" : "<asyncio.Stream %p [%s]>",
                  lua_topointer(L, 1), state, peer);
  return 1;
}

void asy_stream_open(lua_State *L, asy_State *S) {
  static const luaL_Reg functions[] = {{"open_connection", stream_open_connection}, {NULL, NULL}};
  static const luaL_Reg methods[] = {{"close", stream_close},
                                     {"abort", stream_abort},
                                     {"is_closing", stream_is_closing},
                                     {"wait_closed", stream_wait_closed},
                                     {"get_extra_info", stream_get_extra_info},
                                     {"__tostring", stream_tostring},
                                     {"__close", stream_close},
                                     {"__gc", asy_flow_gc},
                                     {NULL, NULL}};
  asy_set_functions(L, S, functions);
  asy_type_new(L, S, ASY_SLOT_STREAM, "asyncio.Stream", methods);
  asy_socket_open(L, S);
  asy_reader_open(L, S);
  asy_writer_open(L, S);
  asy_pair_open(L, S);
}
