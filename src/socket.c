/* SPDX-License-Identifier: MIT */
/* socket.c - see socket.h. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* accept4, in sys.h */
#endif
#include "socket.h"

#include <string.h>

#include "error.h"
#include "loop.h"
#include "option.h"
#include "sockopt.h"
#include "sys.h"
#include "udp.h"

#define SOCKET_BACKLOG 128

static int socket_family(const asy_Stream *s) {
  return s->kind == ASY_FLOW_INET6 ? AF_INET6 : s->kind == ASY_FLOW_UNIX ? AF_UNIX : AF_INET;
}

/* Raise an OSError that names an address given by the caller. */
static int socket_raise_at(lua_State *L, asy_State *S, int err, const char *op,
                           const struct sockaddr *addr) {
  asy_Address address;
  char text[ASY_ADDRESS_TEXT];
  asy_address_set(&address, addr);
  return asy_error_raise_os(L, S, err, op, asy_address_format(&address, text));
}

/* ---- making one */

int asy_socket_push(lua_State *L, asy_Loop *loop, int family) {
  uv_os_sock_t fd;
  asy_flow_box(L, loop->S);
  int err = asy_sys_socket(family, SOCK_STREAM, &fd);
  asy_Stream *s = err ? NULL : asy_flow_new(loop, fd, asy_flow_kind_of(family));
  if (s) {
    asy_flow_fill(L, -1, s);
    return 0;
  }
  lua_pop(L, 1);
  return err ? err : UV_ENOMEM;
}

/* Is it a socket that can become ours, and of which kind? 0 or a libuv code. */
static int socket_examine(asy_Loop *loop, uv_os_sock_t fd, int *family, int *type) {
  asy_Sockaddr name;
  int err = asy_sys_getsockname(fd, &name.sa, &name.length);
  if (!err) err = asy_sys_getopt(fd, SOL_SOCKET, SO_TYPE, type, sizeof *type);
  if (err) return err;
  *family = name.sa.ss_family;
  if (*family != AF_INET && *family != AF_INET6 && *family != AF_UNIX) return UV_EAFNOSUPPORT;
  if (*type != SOCK_STREAM && *type != SOCK_DGRAM) return UV_EPROTONOSUPPORT;
  if (asy_flow_owns(loop, fd) || asy_datagram_owns(loop, fd)) return UV_EEXIST;
  return asy_sys_take(fd);
}

/* The record of a stream socket in whatever state it is. 0 or a libuv code. */
static int socket_revive(asy_Loop *loop, uv_os_sock_t fd, int family, asy_Stream **out) {
  asy_Sockaddr peer;
  int listens = 0;
  if (asy_sys_getpeername(fd, &peer.sa, &peer.length) == 0)
    return asy_flow_adopt(loop, fd, asy_flow_kind_of(family), asy_sockaddr(&peer), out);
  asy_Stream *s = asy_flow_new(loop, fd, asy_flow_kind_of(family));
  if (!s) return UV_ENOMEM;
  int err = asy_sys_getopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, sizeof listens);
  if (!err && listens) err = asy_flow_listen(s, -1);
  if (err) asy_flow_release(s);
  *out = s;
  return err;
}

int asy_socket_push_open(lua_State *L, asy_Loop *loop, uv_os_sock_t fd) {
  int family, type, err = socket_examine(loop, fd, &family, &type);
  if (err) return err;
  if (type == SOCK_DGRAM) return asy_datagram_push_open(L, loop, family, fd);
  asy_Stream *s;
  asy_flow_box(L, loop->S);
  err = socket_revive(loop, fd, family, &s);
  if (err)
    lua_pop(L, 1);
  else
    asy_flow_fill(L, -1, s);
  return err;
}

/* socket{fileno = 5} */
static int socket_from_options(lua_State *L, asy_State *S) {
  static const char *const names[] = {"fileno", NULL};
  asy_option_check(L, 1, names);
  lua_Integer fd = asy_option_integer(L, 1, "fileno", -1, 0, 0x7fffffff);
  if (fd < 0) asy_option_error(L, 1, "fileno", "integer expected");
  int err = asy_socket_push_open(L, asy_loop_get(L, S), (uv_os_sock_t)fd);
  return err ? asy_error_raise_os(L, S, err, "socket", NULL) : 1;
}

/***
Make a socket of the current loop; or, with `socket{fileno = fd}`, one of a descriptor that is open
already, whatever it is: TCP, UDP or unix, new, bound, listening or connected. The descriptor
belongs to the library from then on.
@function socket
@tparam[opt="inet"] string|table family "inet" (IPv4), "inet6" (IPv6) or "unix"; or options: fileno
(integer, the descriptor), with which there is no second argument
@tparam[opt="stream"] string type "stream" (TCP) or "dgram" (UDP)
@treturn Stream|DatagramSocket a socket that is neither bound nor connected
@waits no
@raise argument error; OSError, for example with code "EMFILE"; of a descriptor "EBADF", "ENOTSOCK",
or "EEXIST" if a socket of this loop has it
@usage local sock <close> = asyncio.socket(); sock:bind("127.0.0.1", 0); sock:listen()
@see asyncio-stream.html
*/
static int socket_socket(lua_State *L) {
  static const char *const families[] = {"inet", "inet6", "unix", NULL};
  static const char *const types[] = {"stream", "dgram", NULL};
  static const int codes[] = {AF_INET, AF_INET6, AF_UNIX};
  asy_State *S = asy_state(L);
  if (lua_istable(L, 1)) return socket_from_options(L, S);
  int family = codes[luaL_checkoption(L, 1, "inet", families)];
  bool is_dgram = luaL_checkoption(L, 2, "stream", types) == 1;
  asy_Loop *loop = asy_loop_get(L, S);
  int err = is_dgram ? asy_datagram_push(L, loop, family) : asy_socket_push(L, loop, family);
  return err ? asy_error_raise_os(L, S, err, "socket", NULL) : 1;
}

/* ---- options */

static uv_os_sock_t socket_check_fd(lua_State *L, asy_State *S, asy_Stream *s, const char *op) {
  asy_flow_check_open(L, S, s, NULL, op);
  if (asy_flow_carrier(s)) asy_flow_raise(L, S, s, UV_ENOTSOCK, op);
  return s->fd;
}

int asy_socket_set(asy_Stream *s, const char *name, bool on) {
  return asy_sockopt_switch(s->fd, socket_family(s), name, on);
}

/***
Set an option of the socket.
@function Stream:setsockopt
@tparam string name on or off: reuseaddr reuseport nodelay keepalive broadcast ipv6_only oobinline
dontroute cork quickack; numbers: rcvbuf sndbuf (bytes), keepidle keepintvl (seconds), keepcnt,
user_timeout (milliseconds); linger: seconds, or false. Which there are depends on the system
@tparam boolean|integer value in the option's unit: bytes, seconds or milliseconds
@return nothing
@waits no
@raise argument error; OSError
@usage local sock <close> = asyncio.socket(); sock:setsockopt("nodelay", true)
@see asyncio-stream.html
*/
static int socket_setsockopt(lua_State *L) {
  asy_State *S = asy_state(L);
  asy_Stream *s = asy_flow_check(L, S, 1);
  asy_sockopt_check(L, 2, true);
  asy_sockopt_set(L, S, socket_check_fd(L, S, s, "setsockopt"), socket_family(s), 2);
  return 0;
}

/***
Ask for an option of the socket.
@function Stream:getsockopt
@tparam string name as for setsockopt
@treturn boolean|integer
@waits no
@raise argument error; OSError
@usage local sock <close> = asyncio.socket(); sock:setsockopt("nodelay", true);
assert(sock:getsockopt("nodelay") == true)
@see asyncio-stream.html
*/
static int socket_getsockopt(lua_State *L) {
  asy_State *S = asy_state(L);
  asy_Stream *s = asy_flow_check(L, S, 1);
  asy_sockopt_check(L, 2, false);
  return asy_sockopt_get(L, S, socket_check_fd(L, S, s, "getsockopt"), socket_family(s), 2);
}

/* ---- addresses */

int asy_socket_name(const asy_Stream *s, asy_Sockaddr *name) {
  if (asy_flow_is_closed(s)) return UV_EBADF;
  return asy_flow_carrier(s) ? UV_ENOTSOCK : asy_sys_getsockname(s->fd, &name->sa, &name->length);
}

int asy_socket_push_peer(lua_State *L, const asy_Stream *s) {
  asy_Sockaddr name;
  if (asy_flow_peer(s)) return asy_address_push(L, asy_flow_peer(s));
  if (s->kind == ASY_FLOW_UNIX && s->state == ASY_FLOW_OPEN &&
      asy_sys_getpeername(s->fd, &name.sa, &name.length) == 0)
    return asy_sockaddr_push(L, &name);
  lua_pushnil(L);
  return 1;
}

/***
The address that the socket is bound to.
@function Stream:getsockname
@treturn string|nil host, numeric; of a unix socket: its path, nil if it has none
@treturn integer port; a unix socket has none
@waits no
@raise OSError
@usage local sock <close> = asyncio.socket(); sock:bind("127.0.0.1", 0); assert(sock:getsockname()
== "127.0.0.1")
@see asyncio-stream.html
*/
static int socket_getsockname(lua_State *L) {
  asy_State *S = asy_state(L);
  asy_Stream *s = asy_flow_check(L, S, 1);
  asy_Sockaddr name;
  int err = asy_socket_name(s, &name);
  return err ? asy_flow_raise(L, S, s, err, "getsockname") : asy_sockaddr_push(L, &name);
}

/***
The address of the peer.
@function Stream:getpeername
@treturn string|nil host, numeric; of a unix socket: its path, nil if it has none
@treturn integer port; a unix socket has none
@waits no
@raise OSError with code "ENOTCONN" if the socket is not connected
@usage local server <close> = asyncio.start_server(function() end, "127.0.0.1", 0)
local conn <close> = asyncio.open_connection(server:sockets()[1]:getsockname());
assert(conn:getpeername() == "127.0.0.1")
@see asyncio-stream.html
*/
static int socket_getpeername(lua_State *L) {
  asy_State *S = asy_state(L);
  asy_Stream *s = asy_flow_check(L, S, 1);
  socket_check_fd(L, S, s, "getpeername");
  if (s->state != ASY_FLOW_OPEN) return asy_flow_raise(L, S, s, UV_ENOTCONN, "getpeername");
  return asy_socket_push_peer(L, s);
}

/***
The number of the socket's descriptor.
@function Stream:fileno
@treturn integer -1 if the stream is closed or has none
@waits no
@raise argument error
@usage local sock = asyncio.socket(); assert(sock:fileno() >= 0); sock:close(); assert(sock:fileno()
== -1)
@see asyncio-stream.html
*/
static int socket_fileno(lua_State *L) {
  asy_Stream *s = asy_flow_check(L, asy_state(L), 1);
  lua_Integer fd = asy_flow_carrier(s) ? s->uv.carried.fd : (lua_Integer)s->fd;
  lua_pushinteger(L, asy_flow_is_closed(s) ? -1 : fd);
  return 1;
}

/* ---- names that are to be looked up first
 *
 * [1] = socket, [2] = host, [3] = port: `apply` gets the address. */

typedef int socket_Apply(lua_State *L, asy_Wait *w, asy_Stream *s, const struct sockaddr *addr);

static void socket_hints(const asy_Stream *s, struct addrinfo *hints) {
  memset(hints, 0, sizeof *hints);
  hints->ai_family = socket_family(s);
  hints->ai_socktype = SOCK_STREAM;
}

/* The look-up is over: the first address counts. */
static int socket_apply_result(lua_State *L, asy_Wait *w, socket_Apply *apply) {
  struct sockaddr_storage sa;
  asy_State *S = w->loop->S;
  int err = asy_addr_result(L, w);
  if (err) return asy_error_raise_os(L, S, err, "getaddrinfo", lua_tostring(L, 2));
  asy_Stream *s = asy_flow_check(L, S, 1);
  lua_rawgeti(L, -1, 1);
  if (lua_isnil(L, -1))
    return asy_error_raise_os(L, S, UV_EAI_NODATA, "getaddrinfo", lua_tostring(L, 2));
  lua_getfield(L, -1, "host");
  err = asy_addr_parse(lua_tostring(L, -1), (int)lua_tointeger(L, 3), socket_family(s), &sa);
  if (err) return asy_error_raise_os(L, S, err, "getaddrinfo", lua_tostring(L, 2));
  lua_settop(L, 3);
  return apply(L, w, s, (struct sockaddr *)&sa);
}

static int socket_resolve(lua_State *L, asy_Wait *w, asy_Stream *s, socket_Apply *apply,
                          asy_Cont *k) {
  struct sockaddr_storage sa;
  const char *host = lua_tostring(L, 2);
  if (asy_addr_parse(host, (int)lua_tointeger(L, 3), socket_family(s), &sa) == 0)
    return apply(L, w, s, (struct sockaddr *)&sa);
  struct addrinfo hints;
  socket_hints(s, &hints);
  return asy_addr_lookup(L, w, host, NULL, &hints, k);
}

/* ---- bind, listen */

int asy_socket_bind(asy_Stream *s, const struct sockaddr *addr) {
  return asy_sys_bind(s->fd, addr, asy_sys_length(addr));
}

static int socket_bind_to(lua_State *L, asy_Wait *w, asy_Stream *s, const struct sockaddr *addr) {
  (void)w;
  asy_State *S = asy_state(L);
  asy_flow_check_open(L, S, s, NULL, "bind");
  int err = asy_socket_bind(s, addr);
  return err ? socket_raise_at(L, S, err, "bind", addr) : 0;
}

static int socket_bind_unix(lua_State *L, asy_State *S, asy_Stream *s) {
  asy_Sockaddr address;
  int err = asy_sockaddr_check_unix(L, 2, &address);
  asy_flow_check_open(L, S, s, NULL, "bind");
  if (!err) err = asy_sys_bind(s->fd, asy_sockaddr(&address), address.length);
  return err ? asy_sockaddr_raise_unix(L, S, err, "bind", 2) : 0;
}

static int socket_k_bind(lua_State *L, asy_Wait *w) {
  return socket_apply_result(L, w, socket_bind_to);
}

/***
Bind the socket to an address of this machine.
@function Stream:bind
@tparam[opt] string host numeric address or name; nil or "" is every address of this machine. Of a
unix socket: its path; a name that begins with a zero byte is abstract (Linux)
@tparam[opt=0] integer port 0 lets the system choose; a unix socket has none
@return nothing
@waits yes, if it must look up a name
@cancel raises CancelledError; the socket is as it was
@raise argument error; OSError, with code "EADDRINUSE" if the port is used, or there is a file of
that name
@usage local sock <close> = asyncio.socket(); sock:bind("127.0.0.1", 0)
@see asyncio-stream.html
*/
static int socket_bind(lua_State *L) {
  asy_State *S = asy_state(L);
  asy_Stream *s = asy_flow_check(L, S, 1);
  struct sockaddr_storage sa;
  if (s->kind == ASY_FLOW_UNIX) return socket_bind_unix(L, S, s);
  const char *host = asy_addr_check_host(L, 2);
  int port = lua_isnoneornil(L, 3) ? 0 : asy_addr_check_port(L, 3);
  socket_check_fd(L, S, s, "bind");
  if (asy_addr_parse(host, port, socket_family(s), &sa) == 0)
    return socket_bind_to(L, NULL, s, (struct sockaddr *)&sa);
  asy_Wait *w = asy_wait_begin(L, S);
  if (!w) return asy_wait_outside(L, S);
  asy_flow_check_open(L, S, s, w->loop, "bind");
  lua_settop(L, 3);
  return socket_resolve(L, w, s, socket_bind_to, socket_k_bind);
}

/***
Let others connect to the socket.
@function Stream:listen
@tparam[opt=128] integer backlog how many connections the system keeps that nobody has accepted
@return nothing
@waits no
@raise argument error; OSError
@usage local sock <close> = asyncio.socket(); sock:bind("127.0.0.1", 0); sock:listen(10)
@see asyncio-stream.html
*/
static int socket_listen(lua_State *L) {
  asy_State *S = asy_state(L);
  asy_Stream *s = asy_flow_check(L, S, 1);
  lua_Integer backlog = luaL_optinteger(L, 2, SOCKET_BACKLOG);
  luaL_argcheck(L, backlog >= 0 && backlog <= 0x7fffffff, 2, "out of range");
  socket_check_fd(L, S, s, "listen");
  if (s->state == ASY_FLOW_LISTENING) return 0;
  int err = s->state == ASY_FLOW_FRESH ? asy_flow_listen(s, (int)backlog) : UV_EISCONN;
  return err ? asy_flow_raise(L, S, s, err, "listen") : 0;
}

/* ---- accept */

static const asy_WaitKind socket_accept_wait = {"a connection", NULL, true};

asy_Stream *asy_socket_push_accepted(lua_State *L, asy_State *S, asy_Stream *listener) {
  asy_flow_box(L, S);
  asy_Link *link = asy_list_take(&listener->uv.listener.accepted);
  asy_Stream *s = ASY_CONTAINER(link, asy_Stream, served.link);
  asy_flow_fill(L, -1, s);
  return s;
}

/* If there is a connection left, and somebody who waits for it, wake him. */
static void socket_hand_on(asy_Stream *s) {
  if (s->state != ASY_FLOW_LISTENING || asy_list_is_empty(&s->uv.listener.accepted)) return;
  for (asy_Link *link = asy_list_first(&s->readers); link; link = asy_list_next(&s->readers, link))
    if (asy_wait_wake(ASY_CONTAINER(link, asy_Wait, link))) return;
}

static int socket_push_connection(lua_State *L, asy_State *S, asy_Stream *s) {
  asy_Stream *conn = asy_socket_push_accepted(L, S, s);
  luaL_checkstack(L, 2, NULL);
  return 1 + asy_socket_push_peer(L, conn);
}

static int socket_k_accept(lua_State *L, asy_Wait *w);

static int socket_park_accept(lua_State *L, asy_Wait *w, asy_Stream *s) {
  int err = asy_flow_watch(s);
  if (err) return asy_flow_raise(L, w->loop->S, s, err, "accept");
  asy_list_append(&s->readers, &w->link);
  return asy_wait_park(L, w, &socket_accept_wait, lua_touserdata(L, 1), socket_k_accept);
}

static int socket_k_accept(lua_State *L, asy_Wait *w) {
  asy_State *S = w->loop->S;
  int status = w->status;
  asy_list_remove(&w->link);
  if (asy_wait_failed(w) && asy_flow_at(L, 1)) socket_hand_on(asy_flow_at(L, 1));
  asy_Stream *s = asy_flow_resumed(L, w);
  if (status) return asy_flow_raise(L, S, s, status, "accept");
  if (asy_flow_is_closed(s)) return asy_flow_raise(L, S, s, UV_ECANCELED, "accept");
  if (asy_list_is_empty(&s->uv.listener.accepted)) return socket_park_accept(L, w, s);
  return socket_push_connection(L, S, s);
}

/* self: where the Stream is; 2 for a method of Loop. */
static int socket_accept_at(lua_State *L, int self) {
  asy_State *S = asy_state(L);
  asy_Loop *loop = self == 2 ? asy_check_loop(L, S, 1) : NULL;
  asy_Stream *s = asy_flow_check(L, S, self);
  asy_Wait *w = asy_wait_begin(L, S);
  if (!w) return asy_wait_outside(L, S);
  if (loop && loop != w->loop) return luaL_error(L, "this is not the running event loop");
  lua_settop(L, self);
  if (loop) lua_remove(L, 1);
  asy_flow_check_open(L, S, s, w->loop, "accept");
  if (s->state != ASY_FLOW_LISTENING) return asy_flow_raise(L, S, s, UV_EINVAL, "accept");
  if (s->uv.listener.arrived) return luaL_error(L, "accept: a server accepts from this socket");
  if (!asy_list_is_empty(&s->readers)) return socket_park_accept(L, w, s);
  if (asy_list_is_empty(&s->uv.listener.accepted)) {
    asy_Stream *conn;
    int err = asy_flow_accept(s, &conn);
    if (err == UV_EAGAIN) return socket_park_accept(L, w, s);
    if (err) return asy_flow_raise(L, S, s, err, "accept");
    asy_list_append(&s->uv.listener.accepted, &conn->served.link);
  }
  return socket_push_connection(L, S, s);
}

/***
Wait for a connection. Tasks that wait are served in the order in which they came.
@function Stream:accept
@treturn Stream the connection
@treturn string|nil host of the peer, numeric; of a unix socket: its path, nil if it has none
@treturn integer port of the peer; a unix socket has none
@waits yes
@cancel raises CancelledError; no connection is lost
@raise OSError, with code "ECANCELED" if the socket was closed meanwhile, "EMFILE" if there is no
descriptor left
@usage local sock <close> = asyncio.socket(); sock:bind("127.0.0.1", 0); sock:listen()
local client <close> = asyncio.open_connection(sock:getsockname()); local conn <close>, host =
sock:accept() assert(host == "127.0.0.1")
@see asyncio-eventloop.html#asyncio.loop.sock_accept
*/
static int socket_accept(lua_State *L) {
  return socket_accept_at(L, 1);
}

/***
The same as `sock:accept()`.
@function Loop:sock_accept
@tparam Stream sock a listening socket
@treturn Stream the connection
@treturn string|nil host of the peer, numeric; of a unix socket: its path, nil if it has none
@treturn integer port of the peer; a unix socket has none
@waits yes
@cancel raises CancelledError; no connection is lost
@raise argument error; OSError, with code "ECANCELED" if the socket was closed meanwhile
@usage local sock <close> = asyncio.socket(); sock:bind("127.0.0.1", 0); sock:listen()
local client <close> = asyncio.open_connection(sock:getsockname())
local conn <close> = asyncio.get_running_loop():sock_accept(sock)
@see asyncio-eventloop.html#asyncio.loop.sock_accept
*/
static int socket_sock_accept(lua_State *L) {
  return socket_accept_at(L, 2);
}

/* ---- connect */

static const asy_WaitKind socket_connect_wait = {"a socket to connect", asy_flow_cancel_connect,
                                                 false};

static int socket_k_connect(lua_State *L, asy_Wait *w) {
  int status = w->status;
  asy_Stream *s = asy_flow_resumed(L, w);
  return status ? asy_flow_raise(L, w->loop->S, s, status, "connect") : 0;
}

static int socket_connect_to(lua_State *L, asy_Wait *w, asy_Stream *s,
                             const struct sockaddr *addr) {
  asy_State *S = w->loop->S;
  asy_flow_check_open(L, S, s, w->loop, "connect");
  int err = s->state == ASY_FLOW_OPEN         ? UV_EISCONN
            : s->state == ASY_FLOW_CONNECTING ? UV_EALREADY
                                              : UV_EINVAL;
  if (s->state == ASY_FLOW_FRESH) err = asy_flow_connect(s, addr);
  if (err) return socket_raise_at(L, S, err, "connect", addr);
  asy_list_append(&s->extra->settling, &w->link);
  return asy_wait_park(L, w, &socket_connect_wait, lua_touserdata(L, 1), socket_k_connect);
}

static int socket_k_resolved(lua_State *L, asy_Wait *w) {
  return socket_apply_result(L, w, socket_connect_to);
}

/* ---- a unix socket connects at once, unless its server has too many to accept: then later */

#define SOCKET_RETRY 0.005 /* seconds */

static int socket_k_retry(lua_State *L, asy_Wait *w);

static int socket_fail_unix(lua_State *L, asy_Wait *w, asy_Stream *s, int err) {
  if (lua_toboolean(L, 3)) asy_flow_abort(s);
  return asy_sockaddr_raise_unix(L, w->loop->S, err, "connect", 2);
}

int asy_socket_connect_unix(lua_State *L, asy_Wait *w) {
  asy_Stream *s = asy_flow_check(L, w->loop->S, 1);
  asy_Sockaddr address;
  int err = asy_sockaddr_check_unix(L, 2, &address);
  asy_flow_check_open(L, w->loop->S, s, w->loop, "connect");
  if (!err && s->state != ASY_FLOW_FRESH) err = s->state == ASY_FLOW_OPEN ? UV_EISCONN : UV_EINVAL;
  if (!err) err = asy_flow_connect_unix(s, &address);
  if (err == UV_EAGAIN) {
    asy_FlowExtra *extra = asy_flow_extra(s);
    if (!extra) return socket_fail_unix(L, w, s, UV_ENOMEM);
    asy_timer_reserve(L, w->loop);
    asy_timer_start(w->loop, &w->u.timer, asy_timer_now(w->loop) + SOCKET_RETRY, asy_wait_due);
    asy_list_append(&extra->settling, &w->link);
    return asy_wait_park(L, w, &socket_connect_wait, lua_touserdata(L, 1), socket_k_retry);
  }
  bool open = lua_toboolean(L, 3);
  if (!err && open) err = asy_flow_read_start(s);
  if (err) return socket_fail_unix(L, w, s, err);
  if (!open) return 0;
  lua_pushvalue(L, 1);
  lua_pushvalue(L, 1);
  return 2;
}

static int socket_k_retry(lua_State *L, asy_Wait *w) {
  int status = w->status;
  asy_timer_stop(w->loop, &w->u.timer);
  asy_Stream *s = asy_flow_resumed(L, w);
  if (status || asy_flow_is_closed(s))
    return asy_flow_raise(L, w->loop->S, s, UV_ECANCELED, "connect");
  return asy_socket_connect_unix(L, w);
}

static int socket_connect_with(lua_State *L, asy_Wait *w, asy_Stream *s) {
  if (s->kind == ASY_FLOW_UNIX) {
    lua_settop(L, 2);
    return asy_socket_connect_unix(L, w);
  }
  asy_flow_check_open(L, w->loop->S, s, w->loop, "connect");
  if (asy_flow_carrier(s)) asy_flow_raise(L, w->loop->S, s, UV_EISCONN, "connect");
  return socket_resolve(L, w, s, socket_connect_to, socket_k_resolved);
}

/***
Connect the socket.
@function Stream:connect
@tparam string host numeric address or name, of which the first address of the socket's family is
taken; of a unix socket: the path
@tparam[opt] integer port number; a unix socket has none
@return nothing
@waits yes
@cancel raises CancelledError; the socket is closed, except while a name is looked up
@raise argument error; OSError, for example with code "ECONNREFUSED", that names the address
@usage local server <close> = asyncio.start_server(function() end, "127.0.0.1", 0)
local sock <close> = asyncio.socket(); sock:connect(server:sockets()[1]:getsockname())
@see asyncio-eventloop.html#asyncio.loop.sock_connect
*/
static int socket_connect(lua_State *L) {
  asy_State *S = asy_state(L);
  asy_Stream *s = asy_flow_check(L, S, 1);
  luaL_checktype(L, 2, LUA_TSTRING);
  if (s->kind != ASY_FLOW_UNIX) {
    asy_addr_check_host(L, 2);
    asy_addr_check_port(L, 3);
  }
  asy_Wait *w = asy_wait_begin(L, S);
  if (!w) return asy_wait_outside(L, S);
  lua_settop(L, 3);
  return socket_connect_with(L, w, s);
}

/***
Connect a socket; as `sock:connect`, with the address as a table.
@function Loop:sock_connect
@tparam Stream|DatagramSocket sock a socket that is not connected
@tparam table|string address `{host, port}`, or the path of a unix socket
@return nothing
@waits yes
@cancel raises CancelledError; the socket is closed, except while a name is looked up
@raise argument error; OSError, for example with code "ECONNREFUSED", that names the address
@usage local server <close> = asyncio.start_server(function() end, "127.0.0.1", 0)
local sock <close> = asyncio.socket()
asyncio.get_running_loop():sock_connect(sock, {server:sockets()[1]:getsockname()})
@see asyncio-eventloop.html#asyncio.loop.sock_connect
*/
static int socket_sock_connect(lua_State *L) {
  asy_State *S = asy_state(L);
  asy_Loop *loop = asy_check_loop(L, S, 1);
  bool is_dgram = asy_udp_is(L, S, 2);
  asy_Stream *s = is_dgram ? NULL : asy_flow_check(L, S, 2);
  bool is_unix = s && s->kind == ASY_FLOW_UNIX;
  if (!is_dgram) luaL_checktype(L, 3, is_unix ? LUA_TSTRING : LUA_TTABLE);
  asy_Wait *w = asy_wait_begin(L, S);
  if (!w) return asy_wait_outside(L, S);
  if (loop != w->loop) return luaL_error(L, "this is not the running event loop");
  lua_settop(L, 3);
  if (is_dgram || is_unix) {
    lua_remove(L, 1);
    return is_dgram ? asy_udp_connect(L, w) : asy_socket_connect_unix(L, w);
  }
  lua_rawgeti(L, 3, 1);
  lua_rawgeti(L, 3, 2);
  luaL_argcheck(L, lua_type(L, 4) == LUA_TSTRING && lua_isinteger(L, 5), 3,
                "{host, port} expected");
  asy_addr_check_host(L, 4);
  asy_addr_check_port(L, 5);
  lua_remove(L, 3);
  lua_remove(L, 1);
  return socket_connect_with(L, w, s);
}

/* ---- shutdown */

/***
End reading, writing, or both, of the socket. Writing ends when everything written before is out.
@function Stream:shutdown
@tparam string how "read", "write" or "both"
@return nothing
@waits no
@raise argument error; OSError, with code "ENOTCONN" if the socket is not connected
@usage local server <close> = asyncio.start_server(function(r, w) w:write(r:read("a"):upper())
w:close() end, "127.0.0.1", 0) local sock <close> = asyncio.socket();
sock:connect(server:sockets()[1]:getsockname()) sock:sendall("hello"); sock:shutdown("write");
assert(sock:read() == "HELLO")
@see asyncio-stream.html
*/
static int socket_shutdown(lua_State *L) {
  static const char *const hows[] = {"read", "write", "both", NULL};
  asy_State *S = asy_state(L);
  asy_Stream *s = asy_flow_check(L, S, 1);
  int how = luaL_checkoption(L, 2, NULL, hows), err = 0;
  asy_flow_check_open(L, S, s, NULL, "shutdown");
  if (s->state != ASY_FLOW_OPEN) return asy_flow_raise(L, S, s, UV_ENOTCONN, "shutdown");
  if (how != 1) {
    if (!asy_flow_carrier(s)) err = asy_sys_shutdown(s->fd, 0);
    if (!err && !s->eof) asy_flow_feed_end(s, UV_EOF);
  }
  if (how != 0 && !err) err = asy_flow_end(s);
  return err ? asy_flow_raise(L, S, s, err, "shutdown") : 0;
}

void asy_socket_open(lua_State *L, asy_State *S) {
  static const luaL_Reg functions[] = {{"socket", socket_socket}, {NULL, NULL}};
  static const luaL_Reg methods[] = {{"setsockopt", socket_setsockopt},
                                     {"getsockopt", socket_getsockopt},
                                     {"getsockname", socket_getsockname},
                                     {"getpeername", socket_getpeername},
                                     {"fileno", socket_fileno},
                                     {"bind", socket_bind},
                                     {"listen", socket_listen},
                                     {"accept", socket_accept},
                                     {"connect", socket_connect},
                                     {"shutdown", socket_shutdown},
                                     {NULL, NULL}};
  static const luaL_Reg loop_methods[] = {
      {"sock_accept", socket_sock_accept}, {"sock_connect", socket_sock_connect}, {NULL, NULL}};
  asy_add_functions(L, S, functions);
  asy_type_add(L, S, ASY_SLOT_STREAM, methods);
  asy_type_add(L, S, ASY_SLOT_LOOP_TYPE, loop_methods);
}
