/* SPDX-License-Identifier: MIT */
/* listen.c - see listen.h. */
#include "listen.h"

#include <string.h>

#include "error.h"
#include "loop.h"
#include "option.h"
#include "server.h"
#include "socket.h"

#define LISTEN_BACKLOG 100

/* ---- what both kinds of servers have */

static void listen_check_common(lua_State *L, int arg) {
  asy_flow_check_options(L, arg);
  asy_option_integer(L, arg, "backlog", 1, 0, 0x7fffffff);
  asy_option_boolean(L, arg, "start_serving", true);
}

/* Push a new Server. */
static asy_Server *listen_new(lua_State *L, asy_Loop *loop, int options) {
  asy_Server *server = asy_server_new(L, loop, 1);
  server->limit = asy_flow_limit(L, options);
  server->marks = asy_flow_marks(L, options);
  server->backlog = (int)asy_option_integer(L, options, "backlog", LISTEN_BACKLOG, 0, 0x7fffffff);
  return server;
}

/* Pop a Stream into the list of sockets of the Server at idx. */
static void listen_add(lua_State *L, int idx) {
  lua_Integer count = asy_server_push_sockets(L, idx);
  lua_insert(L, -2);
  lua_rawseti(L, -2, count + 1);
  lua_pop(L, 1);
}

/* The option sock: a socket that is bound, or listens, becomes the server's, which is at idx. False
 * if it is not given. */
static bool listen_take_socket(lua_State *L, asy_Server *server, int options, int idx) {
  if (!asy_option_push(L, options, "sock")) return false;
  asy_Stream *s = asy_flow_check(L, server->loop->S, lua_gettop(L));
  asy_flow_check_open(L, server->loop->S, s, server->loop, "listen");
  bool listens =
      s->state == ASY_FLOW_LISTENING && !s->uv.listener.arrived && asy_list_is_empty(&s->readers);
  if (s->kind > ASY_FLOW_UNIX || (s->state != ASY_FLOW_FRESH && !listens))
    asy_option_error(L, options, "sock", "a socket that is bound, or listens, expected");
  listen_add(L, idx);
  return true;
}

/* The Server on top has its sockets. */
static int listen_finish(lua_State *L, int options) {
  if (asy_option_boolean(L, options, "start_serving", true)) asy_server_start(L, lua_gettop(L));
  return 1;
}

/* ---- start_server
 *
 * The stack while it is in progress: */
enum {
  LISTEN_HANDLER = 1,
  LISTEN_HOSTS, /* a list of names and addresses */
  LISTEN_PORT,
  LISTEN_OPTIONS,
  LISTEN_INDEX, /* of the next host */
  LISTEN_SELF   /* the Server */
};

/* What was asked for: the bits of a socket before it is bound. 0 or a libuv code. */
static int listen_set_options(lua_State *L, asy_Stream *s) {
#ifdef _WIN32
  bool reuse = false; /* means something else there */
#else
  bool reuse = true;
#endif
  if (asy_option_boolean(L, LISTEN_OPTIONS, "reuse_address", reuse))
    asy_socket_set(s, "reuseaddr", true);
  if (asy_option_boolean(L, LISTEN_OPTIONS, "keep_alive", false))
    asy_socket_set(s, "keepalive", true); /* connections have it from here */
  if (s->kind == ASY_FLOW_INET6)          /* else 0.0.0.0 has a socket of its own */
    asy_socket_set(s, "ipv6_only", asy_option_boolean(L, LISTEN_OPTIONS, "ipv6_only", true));
  bool share = asy_option_boolean(L, LISTEN_OPTIONS, "reuse_port", false);
  return share ? asy_socket_set(s, "reuseport", true) : 0;
}

/* Bind one more socket. 0 or a libuv code. */
static int listen_bind(lua_State *L, asy_Server *server, const struct sockaddr *addr) {
  int err = asy_socket_push(L, server->loop, addr->sa_family);
  if (err) return err;
  asy_Stream *s = asy_flow_at(L, -1);
  err = listen_set_options(L, s);
  if (!err) err = asy_socket_bind(s, addr);
  if (err) {
    asy_flow_abort(s);
    lua_pop(L, 1);
    return err;
  }
  listen_add(L, LISTEN_SELF);
  return 0;
}

static int listen_fail(lua_State *L, asy_Server *server, int err, const struct sockaddr *addr) {
  asy_Address address;
  char text[ASY_ADDRESS_TEXT];
  asy_address_set(&address, addr);
  asy_server_stop(L, LISTEN_SELF);
  return asy_error_raise_os(L, server->loop->S, err, "bind", asy_address_format(&address, text));
}

static bool listen_is_missing(int err) {
  return err == UV_EAFNOSUPPORT || err == UV_EADDRNOTAVAIL;
}

/* The port of the first socket, so that the second one gets the same if the system chose it. */
static int listen_bound_port(lua_State *L, int port) {
  asy_Sockaddr name;
  asy_Address bound = {0, 0, {0}, 0};
  if (port == 0 && asy_server_push_sockets(L, LISTEN_SELF) > 0) {
    lua_rawgeti(L, -1, (lua_Integer)lua_rawlen(L, -1));
    if (asy_socket_name(asy_flow_at(L, -1), &name) == 0)
      asy_address_set(&bound, asy_sockaddr(&name));
  }
  lua_settop(L, LISTEN_SELF);
  return bound.family ? bound.port : port;
}

/* Every address of IPv6. 0 or a libuv code. */
static int listen_bind_any6(lua_State *L, asy_Server *server, int port,
                            struct sockaddr_storage *sa) {
  int same = listen_bound_port(L, port);
  asy_addr_parse("::", same, AF_INET6, sa);
  int err = listen_bind(L, server, (struct sockaddr *)sa);
  if (err != UV_EADDRINUSE || same == port) return err;
  asy_addr_parse("::", port, AF_INET6, sa);
  return listen_bind(L, server, (struct sockaddr *)sa);
}

/* Every address: IPv4 and, where there is IPv6, that too, on two sockets, or on one. */
static void listen_bind_any(lua_State *L, asy_Server *server, int family, int port) {
  struct sockaddr_storage sa;
  bool both = family != AF_INET && !asy_option_boolean(L, LISTEN_OPTIONS, "ipv6_only", true);
  if (both) {
    int err = listen_bind_any6(L, server, port, &sa);
    if (!err) return;
    if (!listen_is_missing(err) || family == AF_INET6)
      listen_fail(L, server, err, (struct sockaddr *)&sa);
  }
  if (family != AF_INET6) {
    asy_addr_parse("0.0.0.0", port, AF_INET, &sa);
    int err = listen_bind(L, server, (struct sockaddr *)&sa);
    if (err) listen_fail(L, server, err, (struct sockaddr *)&sa);
  }
  if (family == AF_INET || both) return;
  int err = listen_bind_any6(L, server, port, &sa);
  if (err && (!listen_is_missing(err) || family == AF_INET6))
    listen_fail(L, server, err, (struct sockaddr *)&sa);
}

static int listen_next_host(lua_State *L, asy_Wait *w, asy_Server *server);

/* The addresses of a name, on top: all of them, but for those that this machine does not have. */
static void listen_bind_list(lua_State *L, asy_Server *server) {
  struct sockaddr_storage sa;
  int list = lua_gettop(L), err = 0, bound = 0;
  for (lua_Integer i = 1; lua_rawgeti(L, list, i) == LUA_TTABLE; i++) {
    lua_getfield(L, -1, "host");
    err = asy_addr_parse(lua_tostring(L, -1), (int)lua_tointeger(L, LISTEN_PORT), AF_UNSPEC, &sa);
    if (!err) err = listen_bind(L, server, (struct sockaddr *)&sa);
    if (err && !listen_is_missing(err)) break;
    bound += !err;
    lua_settop(L, list);
  }
  if (err && (bound == 0 || !listen_is_missing(err)))
    listen_fail(L, server, err, (struct sockaddr *)&sa);
}

static int listen_k_resolved(lua_State *L, asy_Wait *w) {
  asy_Server *server = lua_touserdata(L, LISTEN_SELF);
  if (asy_wait_failed(w)) asy_server_stop(L, LISTEN_SELF);
  int err = asy_addr_result(L, w);
  if (err) {
    asy_server_stop(L, LISTEN_SELF);
    lua_rawgeti(L, LISTEN_HOSTS, lua_tointeger(L, LISTEN_INDEX));
    return asy_error_raise_os(L, server->loop->S, err, "getaddrinfo", lua_tostring(L, -1));
  }
  listen_bind_list(L, server);
  return listen_next_host(L, w, server);
}

/* Bind to the hosts one after the other; then the server is ready. */
static int listen_next_host(lua_State *L, asy_Wait *w, asy_Server *server) {
  int port = (int)lua_tointeger(L, LISTEN_PORT), family = asy_addr_option_family(L, LISTEN_OPTIONS);
  for (;;) {
    struct sockaddr_storage sa;
    lua_settop(L, LISTEN_SELF);
    lua_pushinteger(L, lua_tointeger(L, LISTEN_INDEX) + 1);
    lua_replace(L, LISTEN_INDEX);
    if (lua_rawgeti(L, LISTEN_HOSTS, lua_tointeger(L, LISTEN_INDEX)) == LUA_TNIL) break;
    const char *host = lua_tostring(L, -1);
    if (*host == '\0') {
      listen_bind_any(L, server, family, port);
    } else if (asy_addr_parse(host, port, family, &sa) == 0) {
      int err = listen_bind(L, server, (struct sockaddr *)&sa);
      if (err) return listen_fail(L, server, err, (struct sockaddr *)&sa);
    } else {
      struct addrinfo hints;
      memset(&hints, 0, sizeof hints);
      hints.ai_family = family;
      hints.ai_socktype = SOCK_STREAM;
      return asy_addr_lookup(L, w, host, NULL, &hints, listen_k_resolved);
    }
  }
  lua_settop(L, LISTEN_SELF);
  return listen_finish(L, LISTEN_OPTIONS);
}

/* nil, a host, or a list of hosts at arg: make it a list. */
static void listen_check_hosts(lua_State *L, int arg) {
  if (lua_istable(L, arg)) {
    lua_Unsigned count = lua_rawlen(L, arg);
    luaL_argcheck(L, count > 0, arg, "list of hosts is empty");
    for (lua_Unsigned i = 1; i <= count; i++) {
      lua_rawgeti(L, arg, (lua_Integer)i);
      luaL_argcheck(L, lua_type(L, -1) == LUA_TSTRING, arg, "list of hosts (strings) expected");
      luaL_argcheck(L, strlen(lua_tostring(L, -1)) == lua_rawlen(L, -1), arg,
                    "host name contains a zero byte");
      lua_pop(L, 1);
    }
    return;
  }
  asy_addr_check_host(L, arg);
}

/* Our own list, which nobody else can change. */
static void listen_copy_hosts(lua_State *L) {
  lua_newtable(L);
  if (lua_istable(L, LISTEN_HOSTS)) {
    for (lua_Integer i = 1; lua_rawgeti(L, LISTEN_HOSTS, i) == LUA_TSTRING; i++)
      lua_rawseti(L, -2, i);
    lua_pop(L, 1);
  } else {
    lua_pushstring(L, lua_isnil(L, LISTEN_HOSTS) ? "" : lua_tostring(L, LISTEN_HOSTS));
    lua_rawseti(L, -2, 1);
  }
  lua_replace(L, LISTEN_HOSTS);
}

static void listen_check_options(lua_State *L, int arg) {
  static const char *const names[] = {"limit",   "high_water",    "low_water",  "family",
                                      "backlog", "reuse_address", "reuse_port", "start_serving",
                                      "sock",    "ipv6_only",     "keep_alive", "ssl",
                                      NULL};
  static const char *const of_address[] = {"family",    "reuse_address", "reuse_port",
                                           "ipv6_only", "keep_alive",    NULL};
  asy_option_check(L, arg, names);
  listen_check_common(L, arg);
  asy_option_boolean(L, arg, "reuse_address", true);
  asy_option_boolean(L, arg, "reuse_port", true);
  asy_option_boolean(L, arg, "ipv6_only", true);
  asy_option_boolean(L, arg, "keep_alive", true);
  asy_addr_option_family(L, arg);
  asy_option_excludes(L, arg, "sock", of_address);
}

/***
Listen for connections, and run the handler in a task of its own for each: `handler(reader,
writer)`, both the same Stream. A handler that raises has its connection closed and the error
reported through the loop's exception handler; one that returns leaves the connection open until it
is closed or collected.
@function start_server
@tparam function handler called with reader and writer
@tparam[opt] string|table host address, name, or a list of these; nil or "" is every address of this
machine
@tparam integer port 0 lets the system choose: see `server:sockets()[1]:getsockname()`
@tparam[opt] table opts limit (integer, bytes, of each connection's input, 65536), high_water
and low_water (integer, bytes: see Stream:set_write_buffer_limits), family ("inet",
"inet6"), ipv6_only (boolean, true; false: one IPv6 socket for both families), backlog (integer,
100), reuse_address (boolean, true), reuse_port (boolean), keep_alive (boolean), start_serving
(boolean, true: false leaves that to `start_serving`), sock (a Stream that is bound, or listens, in
place of host and port and of the options about them; it is the server's from now on)
@treturn Server
@waits yes
@cancel raises CancelledError; there is no server
@raise argument error, also for the option ssl: there is no TLS yet; OSError, for example with code
"EADDRINUSE"
@usage local server <close> = asyncio.start_server(function(reader, writer)
  for line in reader:lines() do writer:write(line:upper() .. "\n") end
  writer:close()
end, "127.0.0.1", 0)
local conn <close> = asyncio.open_connection(server:sockets()[1]:getsockname())
conn:write("hello\n"); assert(conn:read("l") == "HELLO")
@see asyncio-stream.html#asyncio.start_server
*/
static int listen_start_server(lua_State *L) {
  asy_State *S = asy_state(L);
  asy_check_callable(L, LISTEN_HANDLER);
  listen_check_hosts(L, LISTEN_HOSTS);
  bool given = lua_isnoneornil(L, LISTEN_PORT) && asy_option_is_given(L, LISTEN_OPTIONS, "sock");
  if (given)
    luaL_argcheck(L, lua_isnil(L, LISTEN_HOSTS), LISTEN_HOSTS, "host and option 'sock' given");
  else
    asy_addr_check_port(L, LISTEN_PORT);
  listen_check_options(L, LISTEN_OPTIONS);
  asy_Wait *w = asy_wait_begin(L, S);
  lua_settop(L, LISTEN_OPTIONS);
  if (!w) return asy_wait_outside(L, S);
  if (!given && asy_option_is_given(L, LISTEN_OPTIONS, "sock"))
    return asy_option_error(L, LISTEN_OPTIONS, "sock", "host and port must be nil");
  listen_copy_hosts(L);
  asy_option_copy(L, LISTEN_OPTIONS);
  lua_pushinteger(L, 0);
  asy_Server *server = listen_new(L, w->loop, LISTEN_OPTIONS);
  if (listen_take_socket(L, server, LISTEN_OPTIONS, LISTEN_SELF))
    return listen_finish(L, LISTEN_OPTIONS);
  return listen_next_host(L, w, server);
}

/* ---- start_unix_server
 *
 * [1] handler, [2] path, [3] options, [4] the Server */

#define LISTEN_UNIX_OPTIONS 3
#define LISTEN_UNIX_SELF 4

/* A socket file in the way, of a server that is gone as a rule, is removed; anything else stays,
 * and binding fails. */
static void listen_remove_socket(const char *path) {
  uv_fs_t req;
  bool is_socket =
      uv_fs_lstat(NULL, &req, path, NULL) == 0 && asy_sys_is_socket(req.statbuf.st_mode);
  uv_fs_req_cleanup(&req);
  if (!is_socket) return;
  uv_fs_unlink(NULL, &req, path, NULL);
  uv_fs_req_cleanup(&req);
}

/* The file is there: note which one it is, and set its permissions. 0 or a libuv code. */
static int listen_mark_file(lua_State *L, asy_Server *server, const char *path) {
  uv_fs_t req;
  int err = uv_fs_lstat(NULL, &req, path, NULL);
  if (!err) {
    server->dev = req.statbuf.st_dev;
    server->ino = req.statbuf.st_ino;
  }
  uv_fs_req_cleanup(&req);
  if (!err && asy_option_boolean(L, LISTEN_UNIX_OPTIONS, "cleanup_socket", true)) {
    lua_pushvalue(L, 2);
    lua_setiuservalue(L, LISTEN_UNIX_SELF, ASY_SERVER_PATH);
  }
  lua_Integer mode = asy_option_integer(L, LISTEN_UNIX_OPTIONS, "mode", -1, 0, 0777);
  if (err || mode < 0) return err;
  err = uv_fs_chmod(NULL, &req, path, (int)mode, NULL);
  uv_fs_req_cleanup(&req);
  return err;
}

/* Bind to the path: as nobody can connect before the server listens, its permissions are set in
 * time. 0 or a libuv code. */
static int listen_bind_unix(lua_State *L, asy_Server *server) {
  asy_Sockaddr address;
  int err = asy_sockaddr_check_unix(L, 2, &address);
  bool is_file = *lua_tostring(L, 2) != '\0';
  if (!err) err = asy_socket_push(L, server->loop, AF_UNIX);
  if (err) return err;
  asy_Stream *s = asy_flow_at(L, -1);
  listen_add(L, LISTEN_UNIX_SELF);
  if (is_file) listen_remove_socket(lua_tostring(L, 2));
  err = asy_sys_bind(s->fd, asy_sockaddr(&address), address.length);
  return err || !is_file ? err : listen_mark_file(L, server, lua_tostring(L, 2));
}

static void listen_check_unix(lua_State *L) {
  static const char *const names[] = {"limit",         "high_water", "low_water", "backlog",
                                      "start_serving", "sock",       "mode",      "cleanup_socket",
                                      "ssl",           NULL};
  static const char *const of_path[] = {"mode", "cleanup_socket", NULL};
  asy_Sockaddr address;
  asy_check_callable(L, 1);
  bool given = lua_isnoneornil(L, 2) && asy_option_is_given(L, LISTEN_UNIX_OPTIONS, "sock");
  if (!given) asy_sockaddr_check_unix(L, 2, &address);
  asy_option_check(L, LISTEN_UNIX_OPTIONS, names);
  listen_check_common(L, LISTEN_UNIX_OPTIONS);
  asy_option_integer(L, LISTEN_UNIX_OPTIONS, "mode", 0, 0, 0777);
  asy_option_boolean(L, LISTEN_UNIX_OPTIONS, "cleanup_socket", true);
  if (!given && asy_option_is_given(L, LISTEN_UNIX_OPTIONS, "sock"))
    asy_option_error(L, LISTEN_UNIX_OPTIONS, "sock", "path must be nil");
  asy_option_excludes(L, LISTEN_UNIX_OPTIONS, "sock", of_path);
}

/***
The same as `start_server`, on a unix socket. A socket file of that name is replaced, as asyncio
does it; any other file in the way is an error. The file goes when the server closes, unless another
one has taken its place.
@function start_unix_server
@tparam function handler called with reader and writer
@tparam string path of the socket; a name that begins with a zero byte is abstract (Linux)
@tparam[opt] table opts limit, high_water, low_water, backlog, start_serving: as for start_server;
mode (integer, the permissions of the file, such as `tonumber("600", 8)`), cleanup_socket (boolean,
true; false: the file stays), sock (a Stream that is bound, or listens, in place of the path and of
the options about it; its file stays)
@treturn Server
@waits yes
@cancel raises CancelledError; there is no server
@raise argument error, also for the option ssl: there is no TLS yet; OSError, for example with code
"EADDRINUSE" or "EACCES"
@usage local path = os.tmpname(); os.remove(path)
local server <close> = asyncio.start_unix_server(function(reader, writer)
  writer:write(reader:readline():upper()); writer:close()
end, path)
local conn <close> = asyncio.open_unix_connection(path)
conn:write("hello\n"); assert(conn:read("l") == "HELLO")
@see asyncio-stream.html#asyncio.start_unix_server
*/
static int listen_start_unix_server(lua_State *L) {
  asy_State *S = asy_state(L);
  listen_check_unix(L);
  asy_Wait *w = asy_wait_begin(L, S);
  lua_settop(L, LISTEN_UNIX_OPTIONS);
  if (!w) return asy_wait_outside(L, S);
  asy_Server *server = listen_new(L, w->loop, LISTEN_UNIX_OPTIONS);
  if (!listen_take_socket(L, server, LISTEN_UNIX_OPTIONS, LISTEN_UNIX_SELF)) {
    int err = listen_bind_unix(L, server);
    if (err) {
      asy_server_stop(L, LISTEN_UNIX_SELF);
      return asy_sockaddr_raise_unix(L, S, err, "bind", 2);
    }
  }
  lua_settop(L, LISTEN_UNIX_SELF);
  return listen_finish(L, LISTEN_UNIX_OPTIONS);
}

void asy_listen_open(lua_State *L, asy_State *S) {
  static const luaL_Reg functions[] = {{"start_server", listen_start_server},
                                       {"start_unix_server", listen_start_unix_server},
                                       {NULL, NULL}};
  asy_add_functions(L, S, functions);
}
