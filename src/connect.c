/* SPDX-License-Identifier: MIT */
/* connect.c - see connect.h. */
#include "connect.h"

#include <string.h>

#include "error.h"
#include "loop.h"
#include "option.h"
#include "socket.h"

/* ---- open_connection
 *
 * The stack while it is in progress: */
enum {
  CONNECT_HOST = 1,
  CONNECT_PORT,
  CONNECT_OPTIONS,
  CONNECT_LIST,   /* of getaddrinfo */
  CONNECT_INDEX,  /* which of them is tried */
  CONNECT_SOCKET, /* the one that connects */
  CONNECT_ERROR   /* of the first that failed, or nil */
};

static int connect_try_next(lua_State *L, asy_Wait *w);

/* This address failed with code: keep the error if it is the first, and try the next one. */
static int connect_failed(lua_State *L, asy_Wait *w, int code, const char *op,
                          const struct sockaddr *addr) {
  if (!lua_isnil(L, CONNECT_SOCKET)) asy_flow_abort(asy_flow_at(L, CONNECT_SOCKET));
  if (lua_isnil(L, CONNECT_ERROR)) {
    asy_Address address;
    char text[ASY_ADDRESS_TEXT];
    asy_address_set(&address, addr);
    asy_error_push_os(L, w->loop->S, code, op, asy_address_format(&address, text));
    lua_replace(L, CONNECT_ERROR);
  }
  return connect_try_next(L, w);
}

static const asy_WaitKind connect_wait = {"a connection to open", asy_flow_cancel_connect, false};

static bool connect_parse_entry(lua_State *L, struct sockaddr_storage *sa) {
  if (lua_rawgeti(L, CONNECT_LIST, lua_tointeger(L, CONNECT_INDEX)) == LUA_TNIL) {
    lua_pop(L, 1);
    return false;
  }
  lua_getfield(L, -1, "host");
  int err = asy_addr_parse(lua_tostring(L, -1), (int)lua_tointeger(L, CONNECT_PORT), AF_UNSPEC, sa);
  lua_pop(L, 2);
  return err == 0;
}

static int connect_k_connected(lua_State *L, asy_Wait *w) {
  int status = w->status;
  asy_Stream *s = asy_flow_at(L, CONNECT_SOCKET);
  asy_list_remove(&w->link);
  if (asy_wait_failed(w)) {
    asy_flow_abort(s);
    return asy_wait_raise(L, w);
  }
  if (!status) status = asy_flow_read_start(s);
  if (!status) {
    lua_pushvalue(L, CONNECT_SOCKET);
    lua_pushvalue(L, CONNECT_SOCKET);
    return 2;
  }
  struct sockaddr_storage sa;
  connect_parse_entry(L, &sa);
  return connect_failed(L, w, status, "connect", (struct sockaddr *)&sa);
}

/* The option local_addr = {host, port}, numeric, whose table others can change. False if it is not
 * given; *err is a libuv code if it is no address of that family. [-0, +0, v] */
static bool connect_read_local(lua_State *L, int arg, int family, struct sockaddr_storage *sa,
                               int *err) {
  if (!asy_option_push(L, arg, "local_addr")) return false;
  if (!lua_istable(L, -1)) asy_option_error(L, arg, "local_addr", "{host, port} expected");
  lua_rawgeti(L, -1, 1);
  lua_rawgeti(L, -2, 2);
  lua_Integer port = lua_isinteger(L, -1) ? lua_tointeger(L, -1) : -1;
  if (lua_type(L, -2) != LUA_TSTRING || port < 0 || port > 65535)
    asy_option_error(L, arg, "local_addr", "{host, port} expected");
  *err = asy_addr_parse(lua_tostring(L, -2), (int)port, family, sa);
  lua_pop(L, 3);
  return true;
}

static int connect_bind_local(lua_State *L, asy_Stream *s, int family) {
  struct sockaddr_storage sa;
  int err;
  if (!connect_read_local(L, CONNECT_OPTIONS, family, &sa, &err)) return 0;
  return err ? err : asy_socket_bind(s, (struct sockaddr *)&sa);
}

/* Make a socket for the address and begin to connect it; it is at CONNECT_SOCKET then. 0 or a libuv
 * code. */
static int connect_begin(lua_State *L, asy_Wait *w, const struct sockaddr *addr) {
  int err = asy_socket_push(L, w->loop, addr->sa_family);
  if (err) return err;
  lua_replace(L, CONNECT_SOCKET);
  asy_Stream *s = asy_flow_at(L, CONNECT_SOCKET);
  err =
      asy_flow_configure(s, asy_flow_limit(L, CONNECT_OPTIONS), asy_flow_marks(L, CONNECT_OPTIONS));
  if (err) return err;
  asy_socket_set(s, "nodelay", true); /* as asyncio does; of no consequence if it fails */
  err = connect_bind_local(L, s, addr->sa_family);
  return err ? err : asy_flow_connect(s, addr);
}

static int connect_try_next(lua_State *L, asy_Wait *w) {
  struct sockaddr_storage sa;
  lua_settop(L, CONNECT_ERROR);
  lua_pushinteger(L, lua_tointeger(L, CONNECT_INDEX) + 1);
  lua_replace(L, CONNECT_INDEX);
  if (!connect_parse_entry(L, &sa)) {
    if (!lua_isnil(L, CONNECT_ERROR)) return lua_error(L);
    return asy_error_raise_os(L, w->loop->S, UV_EAI_NODATA, "getaddrinfo",
                              lua_tostring(L, CONNECT_HOST));
  }
  int err = connect_begin(L, w, (struct sockaddr *)&sa);
  if (err) return connect_failed(L, w, err, "connect", (struct sockaddr *)&sa);
  asy_Stream *s = asy_flow_at(L, CONNECT_SOCKET);
  asy_list_append(&s->extra->settling, &w->link);
  return asy_wait_park(L, w, &connect_wait, lua_touserdata(L, CONNECT_SOCKET), connect_k_connected);
}

static int connect_k_resolved(lua_State *L, asy_Wait *w) {
  int err = asy_addr_result(L, w);
  if (err)
    return asy_error_raise_os(L, w->loop->S, err, "getaddrinfo", lua_tostring(L, CONNECT_HOST));
  lua_replace(L, CONNECT_LIST);
  return connect_try_next(L, w);
}

static void connect_check_local(lua_State *L, int arg) {
  struct sockaddr_storage sa;
  int err;
  if (connect_read_local(L, arg, AF_UNSPEC, &sa, &err) && err)
    asy_option_error(L, arg, "local_addr", "{host, port} expected, the host numeric");
}

/* Push the option happy_eyeballs_delay, a number of seconds, or nil. */
static bool connect_push_delay(lua_State *L, int arg) {
  if (!asy_option_push(L, arg, "happy_eyeballs_delay")) {
    lua_pushnil(L);
    return false;
  }
  if (lua_type(L, -1) != LUA_TNUMBER || lua_tonumber(L, -1) != lua_tonumber(L, -1))
    asy_option_error(L, arg, "happy_eyeballs_delay", "number of seconds expected");
  return true;
}

static void connect_check_options(lua_State *L, int arg) {
  static const char *const names[] = {
      "limit", "high_water",           "low_water",  "family", "local_addr",
      "sock",  "happy_eyeballs_delay", "interleave", "ssl",    NULL};
  static const char *const of_address[] = {"family", "local_addr", "happy_eyeballs_delay",
                                           "interleave", NULL};
  asy_option_check(L, arg, names);
  asy_flow_check_options(L, arg);
  asy_addr_option_family(L, arg);
  connect_push_delay(L, arg);
  lua_pop(L, 1);
  asy_option_integer(L, arg, "interleave", 0, 0, 1000);
  connect_check_local(L, arg);
  asy_option_excludes(L, arg, "sock", of_address);
}

/* The option sock: the Stream of a socket that is connected. [arg] = options */
static int connect_use_socket(lua_State *L, asy_Wait *w, int arg) {
  asy_option_push(L, arg, "sock");
  int idx = lua_gettop(L);
  asy_Stream *s = asy_flow_check(L, w->loop->S, idx);
  asy_flow_check_open(L, w->loop->S, s, w->loop, "open_connection");
  if (s->state != ASY_FLOW_OPEN) asy_option_error(L, arg, "sock", "a connected socket expected");
  int err = asy_flow_configure(s, asy_flow_limit(L, arg), asy_flow_marks(L, arg));
  if (!err) err = asy_flow_read_start(s);
  if (err) return asy_flow_raise(L, w->loop->S, s, err, "open_connection");
  lua_pushvalue(L, idx);
  return 2;
}

static int connect_k_raced(lua_State *L, int status, lua_KContext ctx) {
  (void)status;
  return lua_gettop(L) - (int)ctx;
}

/* Several addresses at the same time: lua/asyncio/eyeballs.lua. */
static int connect_race(lua_State *L) {
  asy_shelf_push(L, asy_state(L)->shelf, ASY_SLOT_MODULE);
  lua_getfield(L, -1, "eyeballs");
  lua_rawgeti(L, -1, 1);
  lua_replace(L, -3);
  lua_pop(L, 1);
  lua_pushvalue(L, CONNECT_HOST);
  lua_pushvalue(L, CONNECT_PORT);
  lua_pushvalue(L, CONNECT_OPTIONS);
  connect_push_delay(L, CONNECT_OPTIONS);
  if (!asy_option_push(L, CONNECT_OPTIONS, "interleave")) lua_pushnil(L);
  lua_callk(L, 5, LUA_MULTRET, CONNECT_OPTIONS, connect_k_raced);
  return connect_k_raced(L, LUA_OK, CONNECT_OPTIONS);
}

/* One address after the other. */
static int connect_in_turn(lua_State *L, asy_Wait *w) {
  struct sockaddr_storage sa;
  struct addrinfo hints;
  const char *host = lua_tostring(L, CONNECT_HOST);
  memset(&hints, 0, sizeof hints);
  hints.ai_family = asy_addr_option_family(L, CONNECT_OPTIONS);
  hints.ai_socktype = SOCK_STREAM;
  lua_settop(L, CONNECT_ERROR);
  lua_pushinteger(L, 0);
  lua_replace(L, CONNECT_INDEX);
  if (asy_addr_parse(host, 0, hints.ai_family, &sa))
    return asy_addr_lookup(L, w, host, NULL, &hints, connect_k_resolved);
  lua_createtable(L, 1, 0); /* a list of one */
  lua_createtable(L, 0, 1);
  lua_pushvalue(L, CONNECT_HOST);
  lua_setfield(L, -2, "host");
  lua_rawseti(L, -2, 1);
  lua_replace(L, CONNECT_LIST);
  return connect_try_next(L, w);
}

/***
Connect to a server. The addresses of a name are tried one after the other.
@function open_connection
@tparam string host name or numeric address
@tparam integer port number
@tparam[opt] table opts limit (integer, bytes: the longest line, and half of what is read ahead,
65536), high_water and low_water (integer, bytes: see Stream:set_write_buffer_limits), family
("inet", "inet6"), local_addr (`{host, port}`, numeric: where to connect from), happy_eyeballs_delay
(seconds, as in RFC 8305, which recommends 0.25: the next address is tried when this time is over,
too, and the first connection wins), interleave (integer: mix the families, with so many addresses
of the first at the beginning; 0: as they come; 1 with happy_eyeballs_delay), sock (a Stream that
is connected, in place of host and port and of the options about them)
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
static int connect_open(lua_State *L) {
  asy_State *S = asy_state(L);
  bool given = lua_isnoneornil(L, CONNECT_HOST) && lua_isnoneornil(L, CONNECT_PORT) &&
               asy_option_is_given(L, CONNECT_OPTIONS, "sock");
  if (!given) {
    luaL_checktype(L, CONNECT_HOST, LUA_TSTRING);
    asy_addr_check_host(L, CONNECT_HOST);
    asy_addr_check_port(L, CONNECT_PORT);
  }
  connect_check_options(L, CONNECT_OPTIONS);
  if (!given && asy_option_is_given(L, CONNECT_OPTIONS, "sock"))
    return asy_option_error(L, CONNECT_OPTIONS, "sock", "host and port must be nil");
  asy_Wait *w = asy_wait_begin(L, S);
  if (!w) return asy_wait_outside(L, S);
  lua_settop(L, CONNECT_OPTIONS);
  asy_option_copy(L, CONNECT_OPTIONS);
  if (given) return connect_use_socket(L, w, CONNECT_OPTIONS);
  if (asy_option_is_given(L, CONNECT_OPTIONS, "happy_eyeballs_delay") ||
      asy_option_is_given(L, CONNECT_OPTIONS, "interleave"))
    return connect_race(L);
  return connect_in_turn(L, w);
}

/* ---- open_unix_connection */

/***
Connect to a server on a unix socket. If the server has more connections to accept than it wants,
this waits until there is room.
@function open_unix_connection
@tparam string path of the socket; a name that begins with a zero byte is abstract (Linux)
@tparam[opt] table opts limit, high_water, low_water: as for open_connection; sock (a Stream that is
connected, in place of the path, which is nil then)
@treturn Stream reader
@treturn Stream writer: the same Stream
@waits yes
@cancel raises CancelledError; the connection is not made
@raise argument error, also for the option ssl: there is no TLS yet; OSError that names the path,
for example with code "ENOENT", "ECONNREFUSED" or "EACCES"
@usage local path = os.tmpname(); os.remove(path)
local server <close> = asyncio.start_unix_server(function(r, w) w:write(r:readline()) w:close() end,
path) local reader, writer = asyncio.open_unix_connection(path)
writer:write("hello\n"); assert(reader:readline() == "hello\n"); writer:close()
@see asyncio-stream.html#asyncio.open_unix_connection
*/
static int connect_open_unix(lua_State *L) {
  static const char *const names[] = {"limit", "high_water", "low_water", "sock", "ssl", NULL};
  asy_State *S = asy_state(L);
  asy_Sockaddr address;
  bool given = lua_isnoneornil(L, 1) && asy_option_is_given(L, 2, "sock");
  if (!given) asy_sockaddr_check_unix(L, 1, &address);
  asy_option_check(L, 2, names);
  asy_flow_check_options(L, 2);
  if (!given && asy_option_is_given(L, 2, "sock"))
    asy_option_error(L, 2, "sock", "path must be nil");
  asy_Wait *w = asy_wait_begin(L, S);
  if (!w) return asy_wait_outside(L, S);
  lua_settop(L, 2);
  if (given) return connect_use_socket(L, w, 2);
  int err = asy_socket_push(L, w->loop, AF_UNIX);
  if (err) return asy_error_raise_os(L, S, err, "socket", NULL);
  asy_Stream *s = asy_flow_at(L, -1);
  err = asy_flow_configure(s, asy_flow_limit(L, 2), asy_flow_marks(L, 2));
  if (err) return asy_flow_raise(L, S, s, err, "open_unix_connection");
  lua_insert(L, 1);
  lua_settop(L, 2);
  lua_pushboolean(L, true);
  return asy_socket_connect_unix(L, w);
}

void asy_connect_open(lua_State *L, asy_State *S) {
  static const luaL_Reg functions[] = {
      {"open_connection", connect_open}, {"open_unix_connection", connect_open_unix}, {NULL, NULL}};
  asy_add_functions(L, S, functions);
}
