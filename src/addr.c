/* SPDX-License-Identifier: MIT */
/* addr.c - see addr.h. */
#include "addr.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "loop.h"
#include "option.h"
#include "resource.h"
#include "sys.h"

#define ADDR_NAME_MAX 1024 /* bytes of the longest name that is passed on */

/* ---- addresses */

void asy_address_set(asy_Address *address, const struct sockaddr *from) {
  address->family = 0;
  if (from->sa_family == AF_INET) {
    const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)from;
    memcpy(address->bytes, &in->sin_addr, 4);
    address->port = ntohs(in->sin_port);
    address->family = 4;
  } else if (from->sa_family == AF_INET6) {
    const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)from;
    memcpy(address->bytes, &in6->sin6_addr, 16);
    address->port = ntohs(in6->sin6_port);
    address->scope = in6->sin6_scope_id;
    address->family = 6;
  }
}

/* The host alone, "fe80::1%eth0". False if there is none. */
static bool addr_format_host(const asy_Address *address, char *text, size_t size) {
  if (!address->family) return false;
  if (uv_inet_ntop(address->family == 6 ? AF_INET6 : AF_INET, address->bytes, text, size))
    return false;
  size_t length = strlen(text);
  if (address->family == 6 && address->scope && length + 2 < size) {
    size_t room = size - length - 1;
    if (uv_if_indextoiid(address->scope, text + length + 1, &room) == 0) text[length] = '%';
  }
  return true;
}

const char *asy_address_format(const asy_Address *address, char text[ASY_ADDRESS_TEXT]) {
  char host[ASY_ADDRESS_TEXT - 10];
  if (!addr_format_host(address, host, sizeof host)) return NULL;
  snprintf(text, ASY_ADDRESS_TEXT, address->family == 6 ? "[%s]:%d" : "%s:%d", host, address->port);
  return text;
}

int asy_address_push(lua_State *L, const asy_Address *address) {
  char host[ASY_ADDRESS_TEXT];
  if (addr_format_host(address, host, sizeof host)) {
    lua_pushstring(L, host);
    lua_pushinteger(L, address->port);
  } else {
    lua_pushnil(L);
    lua_pushnil(L);
  }
  return 2;
}

/* The scope behind the '%', as a name or a number: libuv knows names only, and takes no notice of
 * those that do not exist. False if there is none of that name. */
static bool addr_parse_scope(const char *zone, struct sockaddr_in6 *in6) {
  char *end;
  in6->sin6_scope_id = asy_sys_interface(zone);
  if (in6->sin6_scope_id) return true;
  if (*zone < '0' || *zone > '9') return false;
  unsigned long long number = strtoull(zone, &end, 10);
  in6->sin6_scope_id = (uint32_t)number;
  return *end == '\0' && number <= UINT32_MAX;
}

int asy_addr_parse(const char *host, int port, int family, struct sockaddr_storage *out) {
  bool any = !host || !*host;
  struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)(void *)out;
  memset(out, 0, sizeof *out);
  if (family != AF_INET6 &&
      uv_ip4_addr(any ? "0.0.0.0" : host, port, (struct sockaddr_in *)(void *)out) == 0)
    return 0;
  if (family == AF_INET || uv_ip6_addr(any ? "::" : host, port, in6)) return UV_EINVAL;
  const char *zone = any ? NULL : strchr(host, '%');
  return !zone || addr_parse_scope(zone + 1, in6) ? 0 : UV_EINVAL;
}

int asy_sockaddr_unix(const char *path, size_t n, asy_Sockaddr *out) {
  struct sockaddr_un *un = (struct sockaddr_un *)(void *)&out->sa;
  bool abstract = n > 0 && *path == '\0';
  memset(out, 0, sizeof *out);
#ifndef __linux__
  if (abstract) return UV_EINVAL;
#endif
  if (!abstract && memchr(path, 0, n)) return UV_EINVAL;
  if (n > sizeof un->sun_path - !abstract) return UV_ENAMETOOLONG;
  un->sun_family = AF_UNIX;
  memcpy(un->sun_path, path, n);
  out->length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n + (n && !abstract));
  return 0;
}

int asy_sockaddr_check_unix(lua_State *L, int arg, asy_Sockaddr *out) {
  size_t n;
  luaL_checktype(L, arg, LUA_TSTRING);
  const char *path = lua_tolstring(L, arg, &n);
  luaL_argcheck(L, n < 2 || !memchr(path + 1, 0, n - 1), arg, "path contains a zero byte");
  return asy_sockaddr_unix(path, n, out);
}

int asy_sockaddr_raise_unix(lua_State *L, asy_State *S, int err, const char *op, int arg) {
  const char *path = lua_tostring(L, arg);
  if (*path == '\0' && lua_rawlen(L, arg) > 0) path = lua_pushfstring(L, "@%s", path + 1);
  return asy_error_raise_os(L, S, err, op, path);
}

/* The path within it, and how long it is; 0 for a socket without a name. */
static size_t addr_unix_path(const asy_Sockaddr *address, const char **path) {
  const struct sockaddr_un *un = (const struct sockaddr_un *)(const void *)&address->sa;
  size_t before = offsetof(struct sockaddr_un, sun_path);
  *path = un->sun_path;
  if ((size_t)address->length <= before) return 0;
  size_t n = (size_t)address->length - before;
  return un->sun_path[0] ? strnlen(un->sun_path, n) : n;
}

const char *asy_sockaddr_format(const asy_Sockaddr *address, char text[ASY_SOCKADDR_TEXT]) {
  if (address->sa.ss_family == AF_UNIX) {
    const char *path;
    size_t n = addr_unix_path(address, &path);
    if (n == 0) return NULL;
    memcpy(text, path, n);
    text[n] = '\0';
    if (text[0] == '\0') text[0] = '@'; /* as the system's tools write it */
    return text;
  }
  asy_Address inet;
  asy_address_set(&inet, (const struct sockaddr *)&address->sa);
  return asy_address_format(&inet, text);
}

int asy_sockaddr_push(lua_State *L, const asy_Sockaddr *address) {
  if (address->sa.ss_family == AF_UNIX) {
    const char *path;
    size_t n = addr_unix_path(address, &path);
    if (n)
      lua_pushlstring(L, path, n);
    else
      lua_pushnil(L);
    return 1;
  }
  asy_Address inet;
  asy_address_set(&inet, (const struct sockaddr *)&address->sa);
  return asy_address_push(L, &inet);
}

const char *asy_addr_check_host(lua_State *L, int arg) {
  if (lua_isnoneornil(L, arg)) return NULL;
  size_t length;
  if (lua_type(L, arg) != LUA_TSTRING) luaL_typeerror(L, arg, "string");
  const char *host = lua_tolstring(L, arg, &length);
  luaL_argcheck(L, strlen(host) == length, arg, "host name contains a zero byte");
  luaL_argcheck(L, length <= ADDR_NAME_MAX, arg, "host name too long");
  return host;
}

int asy_addr_option_family(lua_State *L, int arg) {
  static const char *const families[] = {"inet", "inet6", NULL};
  static const int codes[] = {AF_UNSPEC, AF_INET, AF_INET6};
  return codes[asy_option_choice(L, arg, "family", families) + 1];
}

int asy_addr_check_port(lua_State *L, int arg) {
  lua_Integer port = luaL_checkinteger(L, arg);
  luaL_argcheck(L, port >= 0 && port <= 65535, arg, "port out of range (0 to 65535)");
  return (int)port;
}

/* ---- requests
 *
 * A request is on its loop's list of resources from its start until its continuation has run. Who
 * waits for it is in `waiters`: nobody when the wait was cancelled or dropped, then the callback
 * frees it. */

typedef struct addr_Request {
  asy_Closer closer;
  asy_Loop *loop;   /* NULL when it is closed */
  asy_List waiters; /* asy_Wait.link: one, or none */
  int status;       /* libuv's, once it is done */
  bool done;
  union {
    uv_req_t req;
    uv_getaddrinfo_t info;
    uv_getnameinfo_t name;
  } uv;
} addr_Request;

static void addr_free(addr_Request *r) {
  asy_list_remove(&r->closer.link);
  if (r->uv.req.type == UV_GETADDRINFO) uv_freeaddrinfo(r->uv.info.addrinfo);
  asy_free(r);
}

/* The loop closes, or nobody waits any more. */
static void addr_abandon(addr_Request *r) {
  asy_list_clear(&r->waiters);
  asy_list_remove(&r->closer.link);
  if (r->done) {
    addr_free(r);
    return;
  }
  if (r->loop) r->loop->in_flight--;
  r->loop = NULL;
  uv_cancel(&r->uv.req); /* if it has begun it runs on; its callback comes in either case */
}

static void addr_close(asy_Closer *closer) {
  addr_abandon(ASY_CONTAINER(closer, addr_Request, closer));
}

static void addr_finish(addr_Request *r, int status) {
  asy_Link *link = asy_list_first(&r->waiters);
  r->done = true;
  r->status = status;
  if (r->loop) r->loop->in_flight--;
  if (link)
    asy_wait_wake(ASY_CONTAINER(link, asy_Wait, link));
  else
    addr_free(r);
}

static void addr_on_info(uv_getaddrinfo_t *req, int status, struct addrinfo *list) {
  addr_Request *r = ASY_CONTAINER(req, addr_Request, uv.info);
  r->uv.info.addrinfo = list;
  addr_finish(r, status);
}

static void addr_on_name(uv_getnameinfo_t *req, int status, const char *host, const char *service) {
  (void)host;
  (void)service;
  addr_finish(ASY_CONTAINER(req, addr_Request, uv.name), status);
}

/* Cancelled: the request is of no use any more. If it is done already, its continuation will see to
 * it. */
static bool addr_cancel(lua_State *L, asy_Wait *w, int msg) {
  if (w->state == ASY_WAIT_PARKED) {
    addr_abandon(w->on);
    w->on = NULL;
  }
  return asy_wait_cancel(L, w, msg);
}

static const asy_WaitKind addr_wait = {"name lookup", addr_cancel, false};

static addr_Request *addr_request_new(lua_State *L, asy_Loop *loop, const char *op) {
  addr_Request *r = asy_malloc(sizeof *r);
  if (!r) asy_error_raise_os(L, loop->S, UV_ENOMEM, op, NULL);
  memset(r, 0, sizeof *r);
  asy_list_init(&r->waiters);
  r->loop = loop;
  return r;
}

/* The request was started, or not: err. */
static int addr_park(lua_State *L, asy_Wait *w, addr_Request *r, int err, const char *where,
                     asy_Cont *k) {
  if (err) {
    const char *op = r->uv.req.type == UV_GETNAMEINFO ? "getnameinfo" : "getaddrinfo";
    asy_free(r);
    return asy_error_raise_os(L, w->loop->S, err, op, where);
  }
  r->closer.close = addr_close;
  asy_list_append(&w->loop->resources, &r->closer.link);
  w->loop->in_flight++;
  asy_list_append(&r->waiters, &w->link);
  return asy_wait_park(L, w, &addr_wait, r, k);
}

/* ---- getaddrinfo */

int asy_addr_lookup(lua_State *L, asy_Wait *w, const char *host, const char *service,
                    const struct addrinfo *hints, asy_Cont *k) {
  luaL_checkstack(L, LUA_MINSTACK, NULL);
  addr_Request *r = addr_request_new(L, w->loop, "getaddrinfo");
  r->uv.req.type = UV_GETADDRINFO;
  int err = uv_getaddrinfo(asy_loop_uv(w->loop), &r->uv.info, addr_on_info, host, service, hints);
  if (err) r->uv.info.addrinfo = NULL;
  return addr_park(L, w, r, err, host ? host : service, k);
}

static void addr_push_entry(lua_State *L, const struct addrinfo *entry) {
  asy_Address address;
  asy_address_set(&address, entry->ai_addr);
  lua_createtable(L, 0, 4);
  lua_pushstring(L, address.family == 6 ? "inet6" : "inet");
  lua_setfield(L, -2, "family");
  if (entry->ai_socktype == SOCK_STREAM || entry->ai_socktype == SOCK_DGRAM) {
    lua_pushstring(L, entry->ai_socktype == SOCK_STREAM ? "stream" : "dgram");
    lua_setfield(L, -2, "type");
  }
  asy_address_push(L, &address);
  lua_setfield(L, -3, "port");
  lua_setfield(L, -2, "host");
}

/* [1] addrinfo list, a light userdata */
static int addr_push_list(lua_State *L) {
  const struct addrinfo *entry = lua_touserdata(L, 1);
  lua_newtable(L);
  for (lua_Integer n = 0; entry; entry = entry->ai_next) {
    if (entry->ai_family != AF_INET && entry->ai_family != AF_INET6) continue;
    addr_push_entry(L, entry);
    lua_rawseti(L, -2, ++n);
  }
  return 1;
}

int asy_addr_result(lua_State *L, asy_Wait *w) {
  addr_Request *r = w->on;
  if (r) asy_list_remove(&w->link);
  if (asy_wait_failed(w) || !r) {
    if (r) addr_free(r);
    return asy_wait_raise(L, w);
  }
  int err = r->status;
  if (!err) { /* protected, so that the list is freed whatever happens */
    lua_pushcfunction(L, addr_push_list);
    lua_pushlightuserdata(L, r->uv.info.addrinfo);
    int status = lua_pcall(L, 1, 1, 0);
    addr_free(r);
    return status == LUA_OK ? 0 : lua_error(L);
  }
  addr_free(r);
  return err;
}

/* A numeric answer needs no thread. [1] loop, [2] host, [3] port */
static bool addr_push_numeric(lua_State *L, const struct addrinfo *hints) {
  struct sockaddr_storage sa;
  const char *host = lua_tostring(L, 2);
  if (!host || (lua_type(L, 3) == LUA_TSTRING) ||
      asy_addr_parse(host, (int)lua_tointeger(L, 3), hints->ai_family, &sa))
    return false;
  struct addrinfo entry = *hints;
  entry.ai_addr = (struct sockaddr *)&sa;
  if (!entry.ai_socktype) entry.ai_socktype = SOCK_STREAM;
  lua_createtable(L, 1, 0);
  addr_push_entry(L, &entry);
  lua_rawseti(L, -2, 1);
  return true;
}

static void addr_read_hints(lua_State *L, int arg, struct addrinfo *hints) {
  static const char *const names[] = {"family", "type", "passive", "numeric", NULL};
  static const char *const types[] = {"stream", "dgram", NULL};
  static const int type_codes[] = {0, SOCK_STREAM, SOCK_DGRAM};
  memset(hints, 0, sizeof *hints);
  asy_option_check(L, arg, names);
  hints->ai_family = asy_addr_option_family(L, arg);
  hints->ai_socktype = type_codes[asy_option_choice(L, arg, "type", types) + 1];
  if (asy_option_boolean(L, arg, "passive", false)) hints->ai_flags |= AI_PASSIVE;
  if (asy_option_boolean(L, arg, "numeric", false)) hints->ai_flags |= AI_NUMERICHOST;
}

static int addr_k_getaddrinfo(lua_State *L, asy_Wait *w) {
  int err = asy_addr_result(L, w);
  if (err)
    return asy_error_raise_os(L, asy_state(L), err, "getaddrinfo",
                              lua_tostring(L, lua_isnil(L, 2) ? 3 : 2));
  return 1;
}

/***
Find the addresses of a host name, on libuv's thread pool. A numeric host with a numeric port is
answered at once.
@function Loop:getaddrinfo
@tparam[opt] string host name or numeric address, with its scope if it needs one ("fe80::1%eth0",
"fe80::1%2"); nil means this machine
@tparam[opt] integer|string port number, or a service such as `"http"`; host and port cannot both be
nil
@tparam[opt] table opts family ("inet", "inet6"), type ("stream", "dgram"), passive (boolean: nil is
the address to listen on), numeric (boolean: names are not looked up)
@treturn table list of `{family=, type=, host=, port=}`, in the order in which they should be tried
@waits yes
@cancel raises CancelledError; the result is dropped when it comes
@raise argument error; OSError with a code such as "EAI_NONAME"
@usage local list = asyncio.get_running_loop():getaddrinfo("127.0.0.1", 80); assert(list[1].host ==
"127.0.0.1")
@see asyncio-eventloop.html#asyncio.loop.getaddrinfo
*/
static int addr_getaddrinfo(lua_State *L) {
  asy_State *S = asy_state(L);
  asy_Loop *loop = asy_check_loop(L, S, 1);
  struct addrinfo hints;
  addr_read_hints(L, 4, &hints);
  const char *host = asy_addr_check_host(L, 2);
  bool numeric_port = lua_type(L, 3) != LUA_TSTRING;
  if (!lua_isnoneornil(L, 3) && lua_type(L, 3) != LUA_TSTRING) asy_addr_check_port(L, 3);
  luaL_argcheck(L, host || !lua_isnoneornil(L, 3), 2, "host or port expected");
  asy_Wait *w = asy_wait_begin(L, S);
  if (!w) return asy_wait_outside(L, S);
  if (w->loop != loop) return luaL_error(L, "this is not the running event loop");
  lua_settop(L, 3);
  if (numeric_port && addr_push_numeric(L, &hints)) return 1;
  const char *service = NULL;
  if (!lua_isnil(L, 3)) {
    lua_pushvalue(L, 3);
    lua_tostring(L, -1);
    lua_replace(L, 3);
    service = asy_addr_check_host(L, 3);
  }
  return asy_addr_lookup(L, w, host, service, &hints, addr_k_getaddrinfo);
}

/* ---- getnameinfo */

/* [1] light userdata: the request */
static int addr_push_name(lua_State *L) {
  const addr_Request *r = lua_touserdata(L, 1);
  lua_pushstring(L, r->uv.name.host);
  lua_pushstring(L, r->uv.name.service);
  return 2;
}

static int addr_k_getnameinfo(lua_State *L, asy_Wait *w) {
  addr_Request *r = w->on;
  if (r) asy_list_remove(&w->link);
  if (asy_wait_failed(w) || !r) {
    if (r) addr_free(r);
    return asy_wait_raise(L, w);
  }
  int err = r->status, status = LUA_OK;
  if (!err) {
    lua_pushcfunction(L, addr_push_name);
    lua_pushlightuserdata(L, r);
    status = lua_pcall(L, 1, 2, 0);
  }
  addr_free(r);
  if (err) return asy_error_raise_os(L, asy_state(L), err, "getnameinfo", lua_tostring(L, 2));
  return status == LUA_OK ? 2 : lua_error(L);
}

/***
Find the names of an address, on libuv's thread pool.
@function Loop:getnameinfo
@tparam table addr `{host, port}`, the host numeric
@tparam[opt] table opts numeric_host, numeric_service (boolean: give the number instead of the
name), name_required (boolean: an address without a name is an error), dgram (boolean: the service
of UDP)
@treturn string host
@treturn string service
@waits yes
@cancel raises CancelledError; the result is dropped when it comes
@raise argument error; OSError with a code such as "EAI_NONAME"
@usage local host, service = asyncio.get_running_loop():getnameinfo({"127.0.0.1", 80}, {numeric_host
= true, numeric_service = true}); assert(host == "127.0.0.1" and service == "80")
@see asyncio-eventloop.html#asyncio.loop.getnameinfo
*/
static int addr_getnameinfo(lua_State *L) {
  static const char *const names[] = {"numeric_host", "numeric_service", "name_required", "dgram",
                                      NULL};
  static const int bits[] = {NI_NUMERICHOST, NI_NUMERICSERV, NI_NAMEREQD, NI_DGRAM};
  asy_State *S = asy_state(L);
  asy_Loop *loop = asy_check_loop(L, S, 1);
  luaL_checktype(L, 2, LUA_TTABLE);
  asy_option_check(L, 3, names);
  int flags = 0;
  for (int i = 0; names[i]; i++)
    if (asy_option_boolean(L, 3, names[i], false)) flags |= bits[i];
  struct sockaddr_storage sa;
  int port;
  lua_rawgeti(L, 2, 1);
  lua_rawgeti(L, 2, 2);
  luaL_argcheck(L, lua_type(L, -2) == LUA_TSTRING && lua_isinteger(L, -1), 2,
                "{host, port} expected");
  port = (int)lua_tointeger(L, -1);
  luaL_argcheck(L, lua_tointeger(L, -1) >= 0 && lua_tointeger(L, -1) <= 65535, 2,
                "port out of range (0 to 65535)");
  luaL_argcheck(L, !asy_addr_parse(lua_tostring(L, -2), port, AF_UNSPEC, &sa), 2,
                "numeric host expected");
  lua_pop(L, 2);
  asy_Wait *w = asy_wait_begin(L, S);
  if (!w) return asy_wait_outside(L, S);
  if (w->loop != loop) return luaL_error(L, "this is not the running event loop");
  lua_settop(L, 2);
  lua_rawgeti(L, 2, 1);
  lua_replace(L, 2); /* the host, for the error */
  addr_Request *r = addr_request_new(L, loop, "getnameinfo");
  r->uv.req.type = UV_GETNAMEINFO;
  int err =
      uv_getnameinfo(asy_loop_uv(loop), &r->uv.name, addr_on_name, (struct sockaddr *)&sa, flags);
  return addr_park(L, w, r, err, lua_tostring(L, 2), addr_k_getnameinfo);
}

void asy_addr_open(lua_State *L, asy_State *S) {
  static const luaL_Reg methods[] = {
      {"getaddrinfo", addr_getaddrinfo}, {"getnameinfo", addr_getnameinfo}, {NULL, NULL}};
  asy_type_add(L, S, ASY_SLOT_LOOP_TYPE, methods);
}
