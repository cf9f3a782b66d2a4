/* SPDX-License-Identifier: MIT */
/* datagram.c - see datagram.h. */
#include "datagram.h"

#include <string.h>

#include "error.h"
#include "loop.h"

/* The userdata. */
typedef struct datagram_Box {
  asy_Datagram *d; /* NULL while it is made, and when it was finalized */
} datagram_Box;

/* ---- life */

static void datagram_on_close(uv_handle_t *handle) {
  asy_Datagram *d = ASY_CONTAINER(handle, asy_Datagram, poll);
  if (asy_resource_release(&d->res, ASY_HELD_BY_UV)) asy_free(d);
}

/* Give back what libuv and the kernel hold. */
static void datagram_finish(asy_Datagram *d) {
  if (d->closed) return;
  d->closed = true;
  asy_resource_detach(&d->res);
  if (d->has_poll) uv_close((uv_handle_t *)&d->poll, datagram_on_close);
  asy_sys_close(d->fd);
  d->fd = ASY_SYS_NO_SOCKET;
  if (!d->has_poll && asy_resource_release(&d->res, ASY_HELD_BY_UV)) asy_free(d);
}

static void datagram_forget_all(asy_Datagram *d) {
  asy_list_clear(&d->receivers);
  asy_list_clear(&d->senders);
}

/* The loop closes, perhaps because the Lua state does: nobody is woken. */
static void datagram_on_loop_close(asy_Closer *closer) {
  asy_Datagram *d = ASY_CONTAINER(closer, asy_Datagram, res.closer);
  datagram_forget_all(d);
  datagram_finish(d);
}

static asy_Datagram *datagram_new(asy_Loop *loop, uv_os_sock_t fd, int family) {
  asy_Datagram *d = asy_malloc(sizeof *d);
  if (!d) return NULL;
  memset(d, 0, sizeof *d);
  asy_resource_init(&d->res, loop, datagram_on_loop_close);
  asy_resource_hold(&d->res, ASY_HELD_BY_UV); /* until it is closed, also without a handle */
  asy_list_init(&d->receivers);
  asy_list_init(&d->senders);
  d->fd = fd;
  d->family = family;
  d->polled = loop->polls;
  return d;
}

static void datagram_box(lua_State *L, asy_State *S) {
  asy_resource_box(L, S, ASY_SLOT_DATAGRAM, sizeof(datagram_Box), 0);
}

/* Put the socket into the box on top. 0, or a libuv code: socket and box are gone. */
static int datagram_fill(lua_State *L, asy_Loop *loop, uv_os_sock_t fd, int family) {
  asy_Datagram *d = datagram_new(loop, fd, family);
  if (!d) {
    asy_sys_close(fd);
    lua_pop(L, 1);
    return UV_ENOMEM;
  }
  asy_resource_hold(&d->res, ASY_HELD_BY_LUA);
  ((datagram_Box *)lua_touserdata(L, -1))->d = d;
  return 0;
}

int asy_datagram_push(lua_State *L, asy_Loop *loop, int family) {
  uv_os_sock_t fd;
  datagram_box(L, loop->S);
  int err = asy_sys_socket(family, SOCK_DGRAM, &fd);
  if (!err) return datagram_fill(L, loop, fd, family);
  lua_pop(L, 1);
  return err;
}

int asy_datagram_push_open(lua_State *L, asy_Loop *loop, int family, uv_os_sock_t fd) {
  asy_Sockaddr peer;
  datagram_box(L, loop->S);
  int err = datagram_fill(L, loop, fd, family);
  if (err) return err;
  asy_Datagram *d = ((datagram_Box *)lua_touserdata(L, -1))->d;
  d->connected = asy_sys_getpeername(fd, &peer.sa, &peer.length) == 0;
  return 0;
}

bool asy_datagram_owns(asy_Loop *loop, uv_os_sock_t fd) {
  for (asy_Link *link = asy_list_first(&loop->resources); link;
       link = asy_list_next(&loop->resources, link)) {
    asy_Closer *closer = ASY_CONTAINER(link, asy_Closer, link);
    if (closer->close == datagram_on_loop_close &&
        ASY_CONTAINER(closer, asy_Datagram, res.closer)->fd == fd)
      return true;
  }
  return false;
}

asy_Datagram *asy_datagram_check(lua_State *L, asy_State *S, int arg) {
  asy_Datagram *d = ((datagram_Box *)asy_type_check(L, S, arg, ASY_SLOT_DATAGRAM))->d;
  if (!d) luaL_error(L, "the socket was finalized");
  return d;
}

static int datagram_raise(lua_State *L, asy_State *S, int code, const char *op) {
  asy_error_push_closed(L, S, code, op, NULL, "socket");
  return lua_error(L);
}

int asy_datagram_raise_closed(lua_State *L, asy_State *S, const char *op) {
  return datagram_raise(L, S, UV_ECANCELED, op);
}

asy_Datagram *asy_datagram_check_open(lua_State *L, asy_State *S, asy_Wait *w, const char *op) {
  asy_Datagram *d = asy_datagram_check(L, S, 1);
  if (d->closed) datagram_raise(L, S, UV_EBADF, op);
  if (w && d->res.loop != w->loop)
    luaL_error(L, "%s: the socket belongs to another event loop", op);
  return d;
}

static bool datagram_wake(asy_List *list, bool all);

static void datagram_close_now(asy_Datagram *d) {
  datagram_wake(&d->receivers, true);
  datagram_wake(&d->senders, true);
  datagram_finish(d);
}

static int datagram_gc(lua_State *L) {
  datagram_Box *box = asy_type_test(L, asy_state(L), 1, ASY_SLOT_DATAGRAM);
  asy_Datagram *d = box ? box->d : NULL;
  if (!d) return 0;
  box->d = NULL;
  datagram_close_now(d);
  datagram_forget_all(d);
  if (asy_resource_release(&d->res, ASY_HELD_BY_LUA)) asy_free(d);
  return 0;
}

/* ---- watching */

/* Wake the first who was not cancelled, unless he is woken already, or all. False if there is
 * nobody. */
static bool datagram_wake(asy_List *list, bool all) {
  bool anybody = false;
  for (asy_Link *link = asy_list_first(list); link && (all || !anybody);
       link = asy_list_next(list, link)) {
    asy_Wait *w = ASY_CONTAINER(link, asy_Wait, link);
    anybody = asy_wait_wake(w) || w->state == ASY_WAIT_WOKEN;
  }
  return anybody;
}

static void datagram_on_poll(uv_poll_t *poll, int status, int events);

int asy_datagram_watch(asy_Datagram *d, int events) {
  int err = 0;
  if (!d->has_poll) err = uv_poll_init_socket(asy_loop_uv(d->res.loop), &d->poll, d->fd);
  if (err) return err;
  d->has_poll = true;
  uv_ref((uv_handle_t *)&d->poll);
  if ((d->events | events) == d->events) return 0;
  err = uv_poll_start(&d->poll, d->events | events, datagram_on_poll);
  if (!err) d->events |= events;
  return err;
}

static void datagram_unwatch(asy_Datagram *d, int events) {
  d->events &= ~events;
  if (d->events)
    uv_poll_start(&d->poll, d->events, datagram_on_poll);
  else
    uv_poll_stop(&d->poll);
}

static void datagram_on_poll(uv_poll_t *poll, int status, int events) {
  asy_Datagram *d = ASY_CONTAINER(poll, asy_Datagram, poll);
  int idle = 0;
  if (status < 0) { /* libuv has stopped, because the socket has an error to tell */
    events = d->events;
    d->events = 0;
    uv_poll_start(poll, events, datagram_on_poll);
    d->events = events;
  }
  if ((events & UV_READABLE) && !datagram_wake(&d->receivers, false)) idle |= UV_READABLE;
  if ((events & UV_WRITABLE) && !datagram_wake(&d->senders, false)) idle |= UV_WRITABLE;
  if (idle) datagram_unwatch(d, idle);
}

/* A continuation begins: leave the list. NULL if the socket was finalized. */
static asy_Datagram *datagram_leave(lua_State *L, asy_Wait *w) {
  asy_Datagram *d = ((datagram_Box *)lua_touserdata(L, 1))->d;
  asy_list_remove(&w->link);
  asy_timer_stop(w->loop, &w->u.timer);
  if (d && d->has_poll && !d->closed && asy_list_is_empty(&d->receivers) &&
      asy_list_is_empty(&d->senders))
    uv_unref((uv_handle_t *)&d->poll); /* a loop that has nothing else does not wait for it */
  return d;
}

/* The same; raise the cancellation, or that the socket was closed. */
asy_Datagram *asy_datagram_resumed(lua_State *L, asy_Wait *w, const char *op) {
  asy_Datagram *d = datagram_leave(L, w);
  if (asy_wait_failed(w)) asy_wait_raise(L, w);
  if (!d || d->closed) datagram_raise(L, w->loop->S, UV_ECANCELED, op);
  return d;
}

/* ---- options, groups, addresses, the end */

/***
Set an option of the socket.
@function DatagramSocket:setsockopt
@tparam string name on or off: reuseaddr reuseport broadcast multicast_loop ipv6_only dontroute;
numbers: rcvbuf sndbuf (bytes), ttl multicast_ttl tos; multicast_interface: the name of a network
interface, or an address of it. Which there are depends on the system
@tparam boolean|integer|string value bytes, hops, or as said above
@return nothing
@waits no
@raise argument error; OSError
@usage local sock <close> = asyncio.socket("inet", "dgram"); sock:setsockopt("broadcast", true)
@see asyncio-eventloop.html#asyncio.loop.create_datagram_endpoint
*/
static int datagram_setsockopt(lua_State *L) {
  asy_State *S = asy_state(L);
  asy_Datagram *d = asy_datagram_check_open(L, S, NULL, "setsockopt");
  asy_sockopt_check(L, 2, true);
  asy_sockopt_set(L, S, d->fd, d->family, 2);
  return 0;
}

/***
Ask for an option of the socket.
@function DatagramSocket:getsockopt
@tparam string name as for setsockopt
@treturn boolean|integer|string|nil multicast_interface: its address (IPv4) or name (IPv6), nil if
none was set
@waits no
@raise argument error; OSError
@usage local sock <close> = asyncio.socket("inet", "dgram")
sock:setsockopt("multicast_ttl", 4); assert(sock:getsockopt("multicast_ttl") == 4)
@see asyncio-eventloop.html#asyncio.loop.create_datagram_endpoint
*/
static int datagram_getsockopt(lua_State *L) {
  asy_State *S = asy_state(L);
  asy_Datagram *d = asy_datagram_check_open(L, S, NULL, "getsockopt");
  asy_sockopt_check(L, 2, false);
  return asy_sockopt_get(L, S, d->fd, d->family, 2);
}

static int datagram_group(lua_State *L, bool join) {
  asy_State *S = asy_state(L);
  asy_Datagram *d = asy_datagram_check_open(L, S, NULL, join ? "join_group" : "leave_group");
  if (d->family == AF_UNIX)
    return asy_error_raise_os(L, S, UV_ENOTSUP, join ? "join_group" : "leave_group", NULL);
  asy_sockopt_group(L, S, d->fd, d->family, 2, join);
  return 0;
}

/***
Receive what is sent to a multicast group, too; until `leave_group`, or the socket is closed.
@function DatagramSocket:join_group
@tparam string group numeric address of the group
@tparam[opt] table opts interface (name of a network interface, or an address of it; else the system
chooses), source (numeric address: only what comes from there)
@return nothing
@waits no
@raise argument error; OSError, for example with code "ENODEV" if there is no such interface
@usage local sock <close> = asyncio.socket("inet", "dgram"); sock:bind("", 0)
sock:join_group("239.255.7.7", {interface = "127.0.0.1"})
@see asyncio-eventloop.html#asyncio.loop.create_datagram_endpoint
*/
static int datagram_join_group(lua_State *L) {
  return datagram_group(L, true);
}

/***
Take back what `join_group` did with the same arguments.
@function DatagramSocket:leave_group
@tparam string group numeric address of the group
@tparam[opt] table opts interface, source: as for join_group
@return nothing
@waits no
@raise argument error; OSError, with code "EADDRNOTAVAIL" if the socket is not in the group
@usage local sock <close> = asyncio.socket("inet", "dgram"); sock:bind("", 0)
sock:join_group("239.255.7.7", {interface = "127.0.0.1"})
sock:leave_group("239.255.7.7", {interface = "127.0.0.1"})
@see asyncio-eventloop.html#asyncio.loop.create_datagram_endpoint
*/
static int datagram_leave_group(lua_State *L) {
  return datagram_group(L, false);
}

static int datagram_push_name(lua_State *L, const char *op,
                              int (*ask)(uv_os_sock_t, struct sockaddr_storage *, socklen_t *)) {
  asy_State *S = asy_state(L);
  asy_Datagram *d = asy_datagram_check_open(L, S, NULL, op);
  asy_Sockaddr address;
  int err = ask(d->fd, &address.sa, &address.length);
  return err ? asy_error_raise_os(L, S, err, op, NULL) : asy_sockaddr_push(L, &address);
}

/***
The address that the socket is bound to.
@function DatagramSocket:getsockname
@treturn string|nil host, numeric; of a unix socket: its path, nil if it has none
@treturn integer port; a unix socket has none
@waits no
@raise OSError
@usage local sock <close> = asyncio.socket("inet", "dgram"); sock:bind("127.0.0.1", 0)
assert(sock:getsockname() == "127.0.0.1")
@see asyncio-eventloop.html#asyncio.loop.create_datagram_endpoint
*/
static int datagram_getsockname(lua_State *L) {
  return datagram_push_name(L, "getsockname", asy_sys_getsockname);
}

/***
The address that the socket is connected to.
@function DatagramSocket:getpeername
@treturn string host, numeric; of a unix socket: its path
@treturn integer port; a unix socket has none
@waits no
@raise OSError with code "ENOTCONN" if the socket is not connected
@usage local sock <close> = asyncio.socket("inet", "dgram"); sock:connect("127.0.0.1", 9)
assert(select(2, sock:getpeername()) == 9)
@see asyncio-eventloop.html#asyncio.loop.create_datagram_endpoint
*/
static int datagram_getpeername(lua_State *L) {
  return datagram_push_name(L, "getpeername", asy_sys_getpeername);
}

/***
The number of the socket's descriptor.
@function DatagramSocket:fileno
@treturn integer -1 if the socket is closed
@waits no
@raise argument error
@usage local sock = asyncio.socket("inet", "dgram"); assert(sock:fileno() >= 0); sock:close()
assert(sock:fileno() == -1)
@see asyncio-eventloop.html#asyncio.loop.create_datagram_endpoint
*/
static int datagram_fileno(lua_State *L) {
  asy_Datagram *d = asy_datagram_check(L, asy_state(L), 1);
  lua_pushinteger(L, d->closed ? -1 : (lua_Integer)d->fd);
  return 1;
}

/***
Close the socket. Whoever receives or sends is woken with an OSError whose code is "ECANCELED".
Closing twice does nothing. The file of a unix socket that was bound stays.
@function DatagramSocket:close
@return nothing
@waits no
@raise argument error
@usage local sock = asyncio.socket("inet", "dgram"); sock:close()
@see asyncio-eventloop.html#asyncio.loop.create_datagram_endpoint
*/
static int datagram_close(lua_State *L) {
  datagram_close_now(asy_datagram_check(L, asy_state(L), 1));
  return 0;
}

static int datagram_tostring(lua_State *L) {
  asy_Datagram *d = asy_datagram_check(L, asy_state(L), 1);
  char text[ASY_SOCKADDR_TEXT];
  const char *where = NULL;
  asy_Sockaddr address;
  if (!d->closed && asy_sys_getsockname(d->fd, &address.sa, &address.length) == 0)
    where = asy_sockaddr_format(&address, text);
  lua_pushfstring(
      L, where ? "<asyncio.DatagramSocket %p [%s, %s]>" : "<asyncio.DatagramSocket %p [%s]>",
      lua_topointer(L, 1),
      d->closed      ? "closed"
      : d->connected ? "connected"
                     : "open",
      where);
  return 1;
}

void asy_datagram_open(lua_State *L, asy_State *S) {
  static const luaL_Reg methods[] = {{"setsockopt", datagram_setsockopt},
                                     {"getsockopt", datagram_getsockopt},
                                     {"join_group", datagram_join_group},
                                     {"leave_group", datagram_leave_group},
                                     {"getsockname", datagram_getsockname},
                                     {"getpeername", datagram_getpeername},
                                     {"fileno", datagram_fileno},
                                     {"close", datagram_close},
                                     {"__tostring", datagram_tostring},
                                     {"__close", datagram_close},
                                     {"__gc", datagram_gc},
                                     {NULL, NULL}};
  asy_type_new(L, S, ASY_SLOT_DATAGRAM, "asyncio.DatagramSocket", methods);
}
