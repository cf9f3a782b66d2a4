/* SPDX-License-Identifier: MIT */
/* udp.c - see udp.h. In this order: names, receiving, sending. */
#include "udp.h"

#include <string.h>

#include "arena.h"
#include "error.h"
#include "loop.h"

#define UDP_MOST ((lua_Integer)65536)        /* more than any datagram of UDP has */
#define UDP_UNIX_MOST ((lua_Integer)1 << 24) /* and more than a unix socket is allowed to send */
#define UDP_BURST 64                         /* after so many in one go others have their turn */
#define UDP_RETRY 0.001                      /* seconds; see udp_park_sender */

/* Where a method's arguments lie when it waits. */
enum { UDP_SELF = 1, UDP_DATA, UDP_HOST, UDP_PORT, UDP_WHAT };

/* Has this task done so much at a stretch that others must have their turn? Who never waits because
 * there is always something would keep the loop from everything else. */
static bool udp_is_greedy(asy_Datagram *d) {
  if (d->polled != d->res.loop->polls) d->burst = 0;
  d->polled = d->res.loop->polls;
  if (++d->burst <= UDP_BURST) return false;
  d->burst = 0;
  return true;
}

/* ---- addresses, and names that are to be looked up first
 *
 * At UDP_HOST and UDP_PORT, or a path at UDP_HOST. */

/* The arguments from arg on; they may be nil if that is allowed. */
static void udp_check_address(lua_State *L, const asy_Datagram *d, int arg, bool may_be_nil) {
  if (may_be_nil && lua_isnoneornil(L, arg) && lua_isnoneornil(L, arg + 1)) return;
  if (d->family == AF_UNIX) {
    asy_Sockaddr address;
    asy_sockaddr_check_unix(L, arg, &address); /* a path that is too long is no argument error */
    return;
  }
  if (!may_be_nil) luaL_checktype(L, arg, LUA_TSTRING);
  asy_addr_check_host(L, arg);
  if (!may_be_nil || !lua_isnoneornil(L, arg + 1)) asy_addr_check_port(L, arg + 1);
}

/* A table {host, port}, or a path, at arg: replaced by two values. */
static void udp_spread_address(lua_State *L, const asy_Datagram *d, int arg) {
  if (d->family == AF_UNIX) {
    luaL_checktype(L, arg, LUA_TSTRING);
    lua_settop(L, arg);
    lua_pushnil(L);
    return;
  }
  luaL_checktype(L, arg, LUA_TTABLE);
  lua_settop(L, arg);
  lua_rawgeti(L, arg, 1);
  lua_rawgeti(L, arg, 2);
  luaL_argcheck(L, lua_type(L, -2) == LUA_TSTRING && lua_isinteger(L, -1), arg,
                "{host, port} expected");
  lua_remove(L, arg);
}

/* 0; UV_EINVAL for a name; or what is wrong with a path. */
static int udp_parse(lua_State *L, const asy_Datagram *d, asy_Sockaddr *out) {
  if (d->family == AF_UNIX) {
    size_t n = 0;
    const char *path = lua_isnil(L, UDP_HOST) ? "" : lua_tolstring(L, UDP_HOST, &n);
    return asy_sockaddr_unix(path, n, out);
  }
  int err = asy_addr_parse(lua_tostring(L, UDP_HOST), (int)lua_tointeger(L, UDP_PORT), d->family,
                           &out->sa);
  out->length = asy_sys_length(asy_sockaddr(out));
  return err;
}

/* Raise an OSError that names the address, or, without one, the peer. */
static int udp_raise(lua_State *L, asy_State *S, const asy_Datagram *d, int err, const char *op) {
  char text[ASY_SOCKADDR_TEXT];
  const char *where = NULL;
  asy_Sockaddr address;
  if (d->family == AF_UNIX && lua_type(L, UDP_HOST) == LUA_TSTRING) {
    where = lua_tostring(L, UDP_HOST);
    if (*where == '\0' && lua_rawlen(L, UDP_HOST) > 0) where = lua_pushfstring(L, "@%s", where + 1);
  } else if (lua_type(L, UDP_HOST) == LUA_TSTRING) {
    if (udp_parse(L, d, &address) == 0) where = asy_sockaddr_format(&address, text);
  } else if (d->connected && asy_sys_getpeername(d->fd, &address.sa, &address.length) == 0) {
    where = asy_sockaddr_format(&address, text);
  }
  return asy_error_raise_os(L, S, err, op, where);
}

static int udp_go(lua_State *L, asy_Wait *w, asy_Datagram *d);

static int udp_k_resolved(lua_State *L, asy_Wait *w) {
  int err = asy_addr_result(L, w);
  if (!err && lua_rawgeti(L, -1, 1) == LUA_TNIL) err = UV_EAI_NODATA;
  if (err) return asy_error_raise_os(L, w->loop->S, err, "getaddrinfo", lua_tostring(L, UDP_HOST));
  lua_getfield(L, -1, "host");
  lua_replace(L, UDP_HOST);
  lua_settop(L, UDP_WHAT);
  asy_Datagram *d = asy_datagram_check(L, w->loop->S, UDP_SELF);
  if (d->closed) return asy_datagram_raise_closed(L, w->loop->S, "getaddrinfo");
  return udp_go(L, w, d);
}

/* Look up the name at UDP_HOST, then go on. */
static int udp_resolve(lua_State *L, asy_Wait *w, const asy_Datagram *d) {
  struct addrinfo hints;
  memset(&hints, 0, sizeof hints);
  hints.ai_family = d->family;
  hints.ai_socktype = SOCK_DGRAM;
  return asy_addr_lookup(L, w, lua_tostring(L, UDP_HOST), NULL, &hints, udp_k_resolved);
}

/* What is done with the address, at UDP_WHAT. */
enum { UDP_BIND, UDP_CONNECT, UDP_SENDTO };

static int udp_bind_to(lua_State *L, asy_Datagram *d, asy_Sockaddr *address) {
  int err = asy_sys_bind(d->fd, asy_sockaddr(address), address->length);
  return err ? udp_raise(L, asy_state(L), d, err, "bind") : 0;
}

static int udp_connect_to(lua_State *L, asy_Datagram *d, asy_Sockaddr *address) {
  int err = asy_sys_connect(d->fd, asy_sockaddr(address), address->length);
  if (err) return udp_raise(L, asy_state(L), d, err, "connect");
  d->connected = true;
  return 0;
}

static int udp_try_send(lua_State *L, asy_Wait *w, asy_Datagram *d, bool again);

static int udp_go(lua_State *L, asy_Wait *w, asy_Datagram *d) {
  static const char *const ops[] = {"bind", "connect", "sendto"};
  int what = (int)lua_tointeger(L, UDP_WHAT);
  asy_Sockaddr address;
  if (what == UDP_SENDTO) return udp_try_send(L, w, d, false);
  int err = udp_parse(L, d, &address);
  if (err) return udp_raise(L, w->loop->S, d, err, ops[what]);
  return what == UDP_BIND ? udp_bind_to(L, d, &address) : udp_connect_to(L, d, &address);
}

/* The socket is at 1, its address behind. May it wait? w may be NULL if the address is no name. */
static int udp_begin_address(lua_State *L, int what, const char *op) {
  asy_State *S = asy_state(L);
  asy_Datagram *d = asy_datagram_check_open(L, S, NULL, op);
  asy_Sockaddr address;
  udp_check_address(L, d, 2, what == UDP_BIND);
  asy_Wait *w = NULL;
  if (d->family != AF_UNIX && asy_addr_parse(lua_tostring(L, 2), 0, d->family, &address.sa)) {
    w = asy_wait_begin(L, S);
    if (!w) return asy_wait_outside(L, S);
    asy_datagram_check_open(L, w->loop->S, w, op);
  }
  lua_settop(L, 3);
  lua_pushnil(L);
  lua_insert(L, UDP_DATA);
  lua_pushinteger(L, what);
  if (w) return udp_resolve(L, w, d);
  int err = udp_parse(L, d, &address);
  if (err) return udp_raise(L, S, d, err, op);
  return what == UDP_BIND ? udp_bind_to(L, d, &address) : udp_connect_to(L, d, &address);
}

/***
Bind the socket to an address of this machine, from which its datagrams come, and at which others
reach it.
@function DatagramSocket:bind
@tparam[opt] string host numeric address or name; nil or "" is every address of this machine. Of a
unix socket: its path; a name that begins with a zero byte is abstract (Linux), and nil lets Linux
choose such a name
@tparam[opt=0] integer port 0 lets the system choose
@return nothing
@waits yes, if it must look up a name
@cancel raises CancelledError; the socket is as it was
@raise argument error; OSError, with code "EADDRINUSE" if the port is used, or there is a file of
that name
@usage local sock <close> = asyncio.socket("inet", "dgram"); sock:bind("127.0.0.1", 0)
@see asyncio-eventloop.html#asyncio.loop.create_datagram_endpoint
*/
static int udp_bind(lua_State *L) {
  return udp_begin_address(L, UDP_BIND, "bind");
}

/***
Send to one address from now on, and receive from there only. If nobody listens there, a later
`recv` or `sendall` raises an OSError with code "ECONNREFUSED".
@function DatagramSocket:connect
@tparam string host numeric address or name, of which the first address of the socket's family is
taken; of a unix socket: the path
@tparam[opt] integer port number; a unix socket has none
@return nothing
@waits yes, if it must look up a name
@cancel raises CancelledError; the socket is as it was
@raise argument error; OSError
@usage local sock <close> = asyncio.socket("inet", "dgram"); sock:connect("127.0.0.1", 9)
@see asyncio-eventloop.html#asyncio.loop.sock_connect
*/
static int udp_connect(lua_State *L) {
  return udp_begin_address(L, UDP_CONNECT, "connect");
}

int asy_udp_connect(lua_State *L, asy_Wait *w) {
  asy_Datagram *d = asy_datagram_check_open(L, w->loop->S, w, "connect");
  udp_spread_address(L, d, 2);
  return udp_begin_address(L, UDP_CONNECT, "connect");
}

/* ---- receiving
 *
 * [1] socket, [2] how many bytes, [3] true: the address, too */

static const asy_WaitKind udp_recv_wait = {"a datagram", NULL, true};

static const char *udp_recv_name(lua_State *L) {
  return lua_toboolean(L, 3) ? "recvfrom" : "recv";
}

/* Receive one datagram, and push it. 0 or a libuv code. It is read into the loop's arena, where no
 * libuv callback can come in between. */
static int udp_receive(lua_State *L, asy_Datagram *d, asy_Sockaddr *from) {
  size_t n = (size_t)lua_tointeger(L, 2);
  uv_buf_t piece = uv_buf_init(NULL, 0);
  memset(from, 0, sizeof *from);
  from->sa.ss_family = (unsigned short)d->family; /* a unix socket without a name has none */
  if (asy_arena_prepare(d->res.loop) == 0) asy_arena_alloc(d->res.loop, &piece);
  if (piece.len >= n && piece.base) {
    long got = asy_sys_recvfrom(d->fd, piece.base, n, &from->sa, &from->length);
    if (got < 0) return (int)got;
    lua_pushlstring(L, piece.base, (size_t)got);
    return 0;
  }
  luaL_Buffer buffer;
  char *place = luaL_buffinitsize(L, &buffer, n);
  long got = asy_sys_recvfrom(d->fd, place, n, &from->sa, &from->length);
  luaL_pushresultsize(&buffer, got > 0 ? (size_t)got : 0);
  if (got >= 0) return 0;
  lua_pop(L, 1);
  return (int)got;
}

static int udp_k_recv(lua_State *L, asy_Wait *w);
static int udp_k_recv_again(lua_State *L, asy_Wait *w);

/* again: it has waited before, and is still the first. */
static int udp_try_recv(lua_State *L, asy_Wait *w, asy_Datagram *d, bool again) {
  asy_Sockaddr from;
  int err = UV_EAGAIN;
  if (!again && udp_is_greedy(d))
    return asy_wait_park_ready(L, w, &udp_recv_wait, udp_k_recv_again);
  if (again || asy_list_is_empty(&d->receivers)) err = udp_receive(L, d, &from);
  if (!err) {
    if (!lua_toboolean(L, 3)) return 1;
    luaL_checkstack(L, 2, NULL);
    return 1 + asy_sockaddr_push(L, &from);
  }
  if (err == UV_EAGAIN) err = asy_datagram_watch(d, UV_READABLE);
  if (err) return udp_raise(L, w->loop->S, d, err, udp_recv_name(L));
  (again ? asy_list_prepend : asy_list_append)(&d->receivers, &w->link);
  return asy_wait_park(L, w, &udp_recv_wait, lua_touserdata(L, UDP_SELF), udp_k_recv);
}

static int udp_k_recv(lua_State *L, asy_Wait *w) {
  return udp_try_recv(L, w, asy_datagram_resumed(L, w, udp_recv_name(L)), true);
}

/* It gave way to the others, and is in no list. */
static int udp_k_recv_again(lua_State *L, asy_Wait *w) {
  return udp_try_recv(L, w, asy_datagram_resumed(L, w, udp_recv_name(L)), false);
}

/* [1] = socket, [2] = n or nil */
static int udp_begin_recv(lua_State *L, asy_Wait *w, bool with_address) {
  lua_settop(L, 2);
  lua_pushboolean(L, with_address);
  asy_Datagram *d = asy_datagram_check_open(L, w->loop->S, w, udp_recv_name(L));
  lua_Integer most = d->family == AF_UNIX ? UDP_UNIX_MOST : UDP_MOST;
  lua_Integer n = luaL_optinteger(L, 2, UDP_MOST);
  lua_pushinteger(L, n < most ? n : most);
  lua_replace(L, 2);
  return udp_try_recv(L, w, d, false);
}

int asy_udp_recv(lua_State *L, asy_Wait *w) {
  return udp_begin_recv(L, w, false);
}

static void udp_check_size(lua_State *L, int arg) {
  luaL_argcheck(L, luaL_optinteger(L, arg, 0) >= 0, arg, "negative number of bytes");
}

static int udp_recv_at(lua_State *L, bool with_address) {
  asy_State *S = asy_state(L);
  asy_datagram_check(L, S, UDP_SELF);
  udp_check_size(L, 2);
  asy_Wait *w = asy_wait_begin(L, S);
  if (!w) return asy_wait_outside(L, S);
  return udp_begin_recv(L, w, with_address);
}

/***
Receive a datagram. Tasks that wait are served in the order in which they came.
@function DatagramSocket:recv
@tparam[opt=65536] integer n the most bytes; what is behind them in the datagram is lost
@treturn string the datagram, which may be empty
@waits yes
@cancel raises CancelledError; no datagram is lost
@raise argument error; OSError, with code "ECONNREFUSED" if nobody listens where the socket is
connected to, "ECANCELED" if it was closed meanwhile
@usage local a <close> = asyncio.socket("inet", "dgram")
local b <close> = asyncio.socket("inet", "dgram")
a:bind("127.0.0.1", 0); b:connect(a:getsockname()); b:sendall("hello"); assert(a:recv() == "hello")
@see asyncio-eventloop.html#asyncio.loop.sock_recv
*/
static int udp_recv(lua_State *L) {
  return udp_recv_at(L, false);
}

/***
Receive a datagram, and the address from which it came.
@function DatagramSocket:recvfrom
@tparam[opt=65536] integer n the most bytes; what is behind them in the datagram is lost
@treturn string the datagram, which may be empty
@treturn string|nil host of the sender, numeric; of a unix socket: its path, nil if it has none
@treturn integer port of the sender; a unix socket has none
@waits yes
@cancel raises CancelledError; no datagram is lost
@raise argument error; OSError, with code "ECANCELED" if the socket was closed meanwhile
@usage local a <close> = asyncio.socket("inet", "dgram")
local b <close> = asyncio.socket("inet", "dgram")
a:bind("127.0.0.1", 0); b:sendto("ping", a:getsockname())
local data, host, port = a:recvfrom(); a:sendto(data:upper(), host, port)
assert(b:recv() == "PING")
@see asyncio-eventloop.html#asyncio.loop.sock_recvfrom
*/
static int udp_recvfrom(lua_State *L) {
  return udp_recv_at(L, true);
}

/***
The same as `sock:recvfrom(n)`.
@function Loop:sock_recvfrom
@tparam DatagramSocket sock a socket that is bound
@tparam[opt=65536] integer n the most bytes; what is behind them in the datagram is lost
@treturn string the datagram, which may be empty
@treturn string|nil host of the sender, numeric; of a unix socket: its path, nil if it has none
@treturn integer port of the sender; a unix socket has none
@waits yes
@cancel raises CancelledError; no datagram is lost
@raise argument error; OSError, with code "ECANCELED" if the socket was closed meanwhile
@usage local a <close> = asyncio.socket("inet", "dgram")
local b <close> = asyncio.socket("inet", "dgram")
a:bind("127.0.0.1", 0); b:sendto("ping", a:getsockname())
assert(asyncio.get_running_loop():sock_recvfrom(a, 100) == "ping")
@see asyncio-eventloop.html#asyncio.loop.sock_recvfrom
*/
static int udp_sock_recvfrom(lua_State *L) {
  asy_State *S = asy_state(L);
  asy_Loop *loop = asy_check_loop(L, S, 1);
  asy_datagram_check(L, S, 2);
  udp_check_size(L, 3);
  asy_Wait *w = asy_wait_begin(L, S);
  if (!w) return asy_wait_outside(L, S);
  if (loop != w->loop) return luaL_error(L, "this is not the running event loop");
  lua_remove(L, 1);
  return udp_begin_recv(L, w, true);
}

/* ---- sending
 *
 * UDP_HOST is nil on a connected socket. */

static const asy_WaitKind udp_send_wait = {"a datagram to be sent", NULL, true};

static int udp_k_send(lua_State *L, asy_Wait *w);
static int udp_k_send_again(lua_State *L, asy_Wait *w);

static const char *udp_send_name(lua_State *L) {
  return lua_isnil(L, UDP_HOST) ? "sendall" : "sendto";
}

/* The kernel's queue is full. When that of another unix socket is, which this one is not connected
 * to, poll() says "writable" all the same: then there is nothing but to try again. */
static int udp_park_sender(lua_State *L, asy_Wait *w, asy_Datagram *d, bool again) {
  if (d->family == AF_UNIX && !lua_isnil(L, UDP_HOST)) {
    asy_timer_reserve(L, w->loop);
    asy_timer_start(w->loop, &w->u.timer, asy_timer_now(w->loop) + UDP_RETRY, asy_wait_due);
  } else {
    int err = asy_datagram_watch(d, UV_WRITABLE);
    if (err) return udp_raise(L, w->loop->S, d, err, udp_send_name(L));
  }
  (again ? asy_list_prepend : asy_list_append)(&d->senders, &w->link);
  return asy_wait_park(L, w, &udp_send_wait, lua_touserdata(L, UDP_SELF), udp_k_send);
}

static int udp_try_send(lua_State *L, asy_Wait *w, asy_Datagram *d, bool again) {
  asy_Sockaddr address;
  size_t n;
  const char *data = lua_tolstring(L, UDP_DATA, &n);
  bool to = !lua_isnil(L, UDP_HOST);
  int err = to ? udp_parse(L, d, &address) : 0;
  if (err) return udp_raise(L, w->loop->S, d, err, "sendto");
  if (!again && udp_is_greedy(d))
    return asy_wait_park_ready(L, w, &udp_send_wait, udp_k_send_again);
  if (!again && !asy_list_is_empty(&d->senders)) return udp_park_sender(L, w, d, false);
  err = asy_sys_sendto(d->fd, data, n, to ? asy_sockaddr(&address) : NULL, to ? address.length : 0);
  if (err == UV_EAGAIN) return udp_park_sender(L, w, d, again);
  if (err) return udp_raise(L, w->loop->S, d, err, udp_send_name(L));
  if (!to) return 0;
  lua_pushinteger(L, (lua_Integer)n);
  return 1;
}

static int udp_k_send(lua_State *L, asy_Wait *w) {
  return udp_try_send(L, w, asy_datagram_resumed(L, w, udp_send_name(L)), true);
}

static int udp_k_send_again(lua_State *L, asy_Wait *w) {
  return udp_try_send(L, w, asy_datagram_resumed(L, w, udp_send_name(L)), false);
}

/* [1] = socket, [2] = data */
int asy_udp_sendall(lua_State *L, asy_Wait *w) {
  asy_Datagram *d = asy_datagram_check_open(L, w->loop->S, w, "sendall");
  lua_settop(L, UDP_DATA);
  lua_settop(L, UDP_WHAT);
  return udp_try_send(L, w, d, false);
}

/* [1] = socket, [2] = data, [3] = host or path, [4] = port */
static int udp_begin_sendto(lua_State *L, asy_Wait *w) {
  asy_Datagram *d = asy_datagram_check_open(L, w->loop->S, w, "sendto");
  asy_Sockaddr address;
  lua_settop(L, UDP_PORT);
  lua_pushinteger(L, UDP_SENDTO);
  if (d->family != AF_UNIX && udp_parse(L, d, &address)) return udp_resolve(L, w, d);
  return udp_try_send(L, w, d, false);
}

/***
Send a datagram to where the socket is connected to.
@function DatagramSocket:sendall
@tparam string data the datagram
@return nothing
@waits yes
@cancel raises CancelledError; the datagram is not sent
@raise argument error; OSError, with code "EDESTADDRREQ" or "ENOTCONN" if the socket is not
connected, "EMSGSIZE" if the data is too long for a datagram
@usage local a <close> = asyncio.socket("inet", "dgram")
local b <close> = asyncio.socket("inet", "dgram")
a:bind("127.0.0.1", 0); b:connect(a:getsockname()); b:sendall("hello"); assert(a:recv() == "hello")
@see asyncio-eventloop.html#asyncio.loop.sock_sendall
*/
static int udp_sendall(lua_State *L) {
  asy_State *S = asy_state(L);
  asy_datagram_check(L, S, UDP_SELF);
  luaL_checkstring(L, UDP_DATA);
  asy_Wait *w = asy_wait_begin(L, S);
  if (!w) return asy_wait_outside(L, S);
  return asy_udp_sendall(L, w);
}

/***
Send a datagram to an address.
@function DatagramSocket:sendto
@tparam string data the datagram
@tparam string host numeric address or name, of which the first address of the socket's family is
taken; of a unix socket: the path
@tparam[opt] integer port number; a unix socket has none
@treturn integer how many bytes were sent: all of them
@waits yes
@cancel raises CancelledError; the datagram is not sent
@raise argument error; OSError, for example with code "EMSGSIZE" if the data is too long for a
datagram
@usage local a <close> = asyncio.socket("inet", "dgram")
local b <close> = asyncio.socket("inet", "dgram")
a:bind("127.0.0.1", 0); assert(b:sendto("hello", a:getsockname()) == 5); assert(a:recv() == "hello")
@see asyncio-eventloop.html#asyncio.loop.sock_sendto
*/
static int udp_sendto(lua_State *L) {
  asy_State *S = asy_state(L);
  asy_Datagram *d = asy_datagram_check(L, S, UDP_SELF);
  luaL_checkstring(L, UDP_DATA);
  udp_check_address(L, d, UDP_HOST, false);
  asy_Wait *w = asy_wait_begin(L, S);
  if (!w) return asy_wait_outside(L, S);
  return udp_begin_sendto(L, w);
}

/***
The same as `sock:sendto`, with the address as a table.
@function Loop:sock_sendto
@tparam DatagramSocket sock a socket
@tparam string data the datagram
@tparam table|string address `{host, port}`, or the path of a unix socket
@treturn integer how many bytes were sent: all of them
@waits yes
@cancel raises CancelledError; the datagram is not sent
@raise argument error; OSError, for example with code "EMSGSIZE" if the data is too long for a
datagram
@usage local a <close> = asyncio.socket("inet", "dgram")
local b <close> = asyncio.socket("inet", "dgram")
a:bind("127.0.0.1", 0); asyncio.get_running_loop():sock_sendto(b, "hello", {a:getsockname()})
assert(a:recv() == "hello")
@see asyncio-eventloop.html#asyncio.loop.sock_sendto
*/
static int udp_sock_sendto(lua_State *L) {
  asy_State *S = asy_state(L);
  asy_Loop *loop = asy_check_loop(L, S, 1);
  asy_Datagram *d = asy_datagram_check(L, S, 2);
  luaL_checkstring(L, 3);
  if (d->family == AF_UNIX)
    udp_check_address(L, d, 4, false);
  else
    luaL_checktype(L, 4, LUA_TTABLE);
  asy_Wait *w = asy_wait_begin(L, S);
  if (!w) return asy_wait_outside(L, S);
  if (loop != w->loop) return luaL_error(L, "this is not the running event loop");
  udp_spread_address(L, d, 4);
  if (d->family != AF_UNIX) asy_addr_check_port(L, 5);
  lua_remove(L, 1);
  return udp_begin_sendto(L, w);
}

void asy_udp_open(lua_State *L, asy_State *S) {
  static const luaL_Reg methods[] = {{"bind", udp_bind},
                                     {"connect", udp_connect},
                                     {"recv", udp_recv},
                                     {"recvfrom", udp_recvfrom},
                                     {"sendall", udp_sendall},
                                     {"sendto", udp_sendto},
                                     {NULL, NULL}};
  static const luaL_Reg loop_methods[] = {
      {"sock_recvfrom", udp_sock_recvfrom}, {"sock_sendto", udp_sock_sendto}, {NULL, NULL}};
  asy_datagram_open(L, S);
  asy_type_add(L, S, ASY_SLOT_DATAGRAM, methods);
  asy_type_add(L, S, ASY_SLOT_LOOP_TYPE, loop_methods);
}
