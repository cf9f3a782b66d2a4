/* SPDX-License-Identifier: MIT */
/* sockopt.c - see sockopt.h. */
#include "sockopt.h"

#include <string.h>

#include "error.h"
#include "option.h"

#define SOCKOPT_LINGER_MOST 0xffff /* seconds; some systems keep no more than 16 bits */

typedef enum sockopt_Kind {
  SOCKOPT_SWITCH,
  SOCKOPT_NUMBER,
  SOCKOPT_LINGER,
  SOCKOPT_INTERFACE /* where multicast leaves the machine */
} sockopt_Kind;

typedef struct sockopt_Option {
  const char *name;
  int level, code;
  sockopt_Kind kind;
  int code6; /* of IPPROTO_IPV6, for an IPv6 socket; 0: the same as for the others */
} sockopt_Option;

static const sockopt_Option sockopt_options[] = {
    {"reuseaddr", SOL_SOCKET, SO_REUSEADDR, SOCKOPT_SWITCH, 0},
    {"keepalive", SOL_SOCKET, SO_KEEPALIVE, SOCKOPT_SWITCH, 0},
    {"broadcast", SOL_SOCKET, SO_BROADCAST, SOCKOPT_SWITCH, 0},
    {"oobinline", SOL_SOCKET, SO_OOBINLINE, SOCKOPT_SWITCH, 0},
    {"dontroute", SOL_SOCKET, SO_DONTROUTE, SOCKOPT_SWITCH, 0},
    {"nodelay", IPPROTO_TCP, TCP_NODELAY, SOCKOPT_SWITCH, 0},
    {"ipv6_only", IPPROTO_IPV6, IPV6_V6ONLY, SOCKOPT_SWITCH, 0},
    {"rcvbuf", SOL_SOCKET, SO_RCVBUF, SOCKOPT_NUMBER, 0},
    {"sndbuf", SOL_SOCKET, SO_SNDBUF, SOCKOPT_NUMBER, 0},
    {"linger", SOL_SOCKET, SO_LINGER, SOCKOPT_LINGER, 0},
    {"ttl", IPPROTO_IP, IP_TTL, SOCKOPT_NUMBER, IPV6_UNICAST_HOPS},
    {"multicast_ttl", IPPROTO_IP, IP_MULTICAST_TTL, SOCKOPT_NUMBER, IPV6_MULTICAST_HOPS},
    {"multicast_loop", IPPROTO_IP, IP_MULTICAST_LOOP, SOCKOPT_SWITCH, IPV6_MULTICAST_LOOP},
    {"multicast_interface", IPPROTO_IP, IP_MULTICAST_IF, SOCKOPT_INTERFACE, IPV6_MULTICAST_IF},
#ifdef IPV6_TCLASS
    {"tos", IPPROTO_IP, IP_TOS, SOCKOPT_NUMBER, IPV6_TCLASS},
#endif
#ifdef SO_REUSEPORT
    {"reuseport", SOL_SOCKET, SO_REUSEPORT, SOCKOPT_SWITCH, 0},
#endif
#ifdef TCP_KEEPIDLE
    {"keepidle", IPPROTO_TCP, TCP_KEEPIDLE, SOCKOPT_NUMBER, 0},
#endif
#ifdef TCP_KEEPINTVL
    {"keepintvl", IPPROTO_TCP, TCP_KEEPINTVL, SOCKOPT_NUMBER, 0},
#endif
#ifdef TCP_KEEPCNT
    {"keepcnt", IPPROTO_TCP, TCP_KEEPCNT, SOCKOPT_NUMBER, 0},
#endif
#ifdef TCP_USER_TIMEOUT
    {"user_timeout", IPPROTO_TCP, TCP_USER_TIMEOUT, SOCKOPT_NUMBER, 0},
#endif
#ifdef TCP_CORK
    {"cork", IPPROTO_TCP, TCP_CORK, SOCKOPT_SWITCH, 0},
#endif
#ifdef TCP_QUICKACK
    {"quickack", IPPROTO_TCP, TCP_QUICKACK, SOCKOPT_SWITCH, 0},
#endif
#ifdef TCP_DEFER_ACCEPT
    {"defer_accept", IPPROTO_TCP, TCP_DEFER_ACCEPT, SOCKOPT_NUMBER, 0},
#endif
};

static const sockopt_Option *sockopt_find(const char *name) {
  for (size_t i = 0; i < sizeof sockopt_options / sizeof *sockopt_options; i++)
    if (strcmp(sockopt_options[i].name, name) == 0) return &sockopt_options[i];
  return NULL;
}

static int sockopt_write(uv_os_sock_t fd, int family, const sockopt_Option *option,
                         const void *value, size_t size) {
  bool six = family == AF_INET6 && option->code6;
  return asy_sys_setopt(fd, six ? IPPROTO_IPV6 : option->level, six ? option->code6 : option->code,
                        value, size);
}

static int sockopt_read(uv_os_sock_t fd, int family, const sockopt_Option *option, void *value,
                        size_t size) {
  bool six = family == AF_INET6 && option->code6;
  return asy_sys_getopt(fd, six ? IPPROTO_IPV6 : option->level, six ? option->code6 : option->code,
                        value, size);
}

int asy_sockopt_switch(uv_os_sock_t fd, int family, const char *name, bool on) {
  const sockopt_Option *option = sockopt_find(name);
  int value = on;
  return option ? sockopt_write(fd, family, option, &value, sizeof value) : UV_ENOPROTOOPT;
}

/* ---- interfaces
 *
 * They are named as the system does ("eth0"), or by one of their addresses. */

typedef struct sockopt_Interface {
  unsigned index;
  struct in_addr address; /* one of its IPv4 addresses */
} sockopt_Interface;

static bool sockopt_same_address(const uv_interface_address_t *a, const struct sockaddr_storage *sa,
                                 bool parsed) {
  if (!parsed || a->address.address4.sin_family != sa->ss_family) return false;
  const struct sockaddr_in *in = (const void *)sa;
  const struct sockaddr_in6 *in6 = (const void *)sa;
  return sa->ss_family == AF_INET
             ? memcmp(&a->address.address4.sin_addr, &in->sin_addr, sizeof in->sin_addr) == 0
             : memcmp(&a->address.address6.sin6_addr, &in6->sin6_addr, sizeof in6->sin6_addr) == 0;
}

/* False if there is none of that name or address. Both passes: first which, then its IPv4 address.
 */
static bool sockopt_find_interface(const char *name, sockopt_Interface *out) {
  uv_interface_address_t *list;
  struct sockaddr_storage sa;
  int count;
  bool parsed = asy_addr_parse(name, 0, AF_UNSPEC, &sa) == 0;
  out->index = parsed ? 0 : asy_sys_interface(name);
  out->address.s_addr = htonl(INADDR_ANY);
  if (uv_interface_addresses(&list, &count)) return out->index != 0;
  for (int i = 0; i < count && !out->index; i++)
    if (sockopt_same_address(&list[i], &sa, parsed)) out->index = asy_sys_interface(list[i].name);
  for (int i = 0; i < count && out->index; i++) {
    if (list[i].address.address4.sin_family != AF_INET ||
        asy_sys_interface(list[i].name) != out->index)
      continue;
    out->address = list[i].address.address4.sin_addr;
    break;
  }
  uv_free_interface_addresses(list, count);
  return out->index != 0;
}

static int sockopt_set_interface(uv_os_sock_t fd, int family, const sockopt_Option *option,
                                 const char *name) {
  sockopt_Interface found;
  memset(&found, 0, sizeof found); /* INADDR_ANY */
  if (*name && !sockopt_find_interface(name, &found)) return UV_ENODEV;
  if (family == AF_INET6)
    return sockopt_write(fd, family, option, &found.index, sizeof found.index);
#ifdef __linux__
  struct ip_mreqn request; /* the number counts, the address is what getsockopt gives */
  memset(&request, 0, sizeof request);
  request.imr_ifindex = (int)found.index;
  request.imr_address = found.address;
  return sockopt_write(fd, family, option, &request, sizeof request);
#else
  return sockopt_write(fd, family, option, &found.address, sizeof found.address);
#endif
}

/* Push its address (IPv4) or name (IPv6), or nil if none was set. */
static int sockopt_push_interface(lua_State *L, uv_os_sock_t fd, int family,
                                  const sockopt_Option *option) {
  char text[UV_IF_NAMESIZE + 64];
  size_t size = sizeof text;
  unsigned index = 0;
  struct in_addr address;
  int err = family == AF_INET6 ? sockopt_read(fd, family, option, &index, sizeof index)
                               : sockopt_read(fd, family, option, &address, sizeof address);
  if (err) return err;
  bool none = family == AF_INET6 ? index == 0 : address.s_addr == htonl(INADDR_ANY);
  if (!none)
    err = family == AF_INET6 ? uv_if_indextoname(index, text, &size)
                             : uv_inet_ntop(AF_INET, &address, text, size);
  if (err) return err;
  if (none)
    lua_pushnil(L);
  else
    lua_pushstring(L, text);
  return 0;
}

/* ---- set, get */

void asy_sockopt_check(lua_State *L, int arg, bool with_value) {
  const char *name = luaL_checkstring(L, arg);
  const sockopt_Option *option = sockopt_find(name);
  int value = arg + 1;
  if (!option) luaL_argerror(L, arg, lua_pushfstring(L, "unknown socket option '%s'", name));
  if (!with_value) return;
  bool off = lua_isboolean(L, value) && !lua_toboolean(L, value);
  if (option->kind == SOCKOPT_SWITCH) {
    luaL_checktype(L, value, LUA_TBOOLEAN);
  } else if (option->kind == SOCKOPT_INTERFACE) {
    if (!lua_isnoneornil(L, value)) luaL_checktype(L, value, LUA_TSTRING);
  } else if (option->kind != SOCKOPT_LINGER || !off) {
    lua_Integer n = luaL_checkinteger(L, value);
    lua_Integer most = option->kind == SOCKOPT_LINGER ? SOCKOPT_LINGER_MOST : 0x7fffffff;
    luaL_argcheck(L, n >= 0 && n <= most, value, "out of range");
  }
}

static int sockopt_apply(lua_State *L, uv_os_sock_t fd, int family, const sockopt_Option *option,
                         int arg) {
  struct linger linger = {0, 0};
  int value = lua_isboolean(L, arg) ? lua_toboolean(L, arg) : (int)lua_tointeger(L, arg);
  if (option->kind == SOCKOPT_INTERFACE)
    return sockopt_set_interface(fd, family, option, luaL_optstring(L, arg, ""));
  if (option->kind != SOCKOPT_LINGER)
    return sockopt_write(fd, family, option, &value, sizeof value);
  linger.l_onoff = !lua_isboolean(L, arg);
  linger.l_linger = (unsigned short)value;
  return sockopt_write(fd, family, option, &linger, sizeof linger);
}

void asy_sockopt_set(lua_State *L, asy_State *S, uv_os_sock_t fd, int family, int arg) {
  const sockopt_Option *option = sockopt_find(lua_tostring(L, arg));
  int err = sockopt_apply(L, fd, family, option, arg + 1);
  if (err) asy_error_raise_os(L, S, err, "setsockopt", option->name);
}

int asy_sockopt_get(lua_State *L, asy_State *S, uv_os_sock_t fd, int family, int arg) {
  const sockopt_Option *option = sockopt_find(lua_tostring(L, arg));
  struct linger linger = {0, 0};
  int value = 0, err;
  if (option->kind == SOCKOPT_INTERFACE) {
    err = sockopt_push_interface(L, fd, family, option);
    return err ? asy_error_raise_os(L, S, err, "getsockopt", option->name) : 1;
  }
  if (option->kind == SOCKOPT_LINGER) {
    err = sockopt_read(fd, family, option, &linger, sizeof linger);
    value = linger.l_onoff ? linger.l_linger : -1;
  } else {
    err = sockopt_read(fd, family, option, &value, sizeof value);
  }
  if (err) return asy_error_raise_os(L, S, err, "getsockopt", option->name);
  if (option->kind == SOCKOPT_SWITCH || value < 0)
    lua_pushboolean(L, value > 0);
  else
    lua_pushinteger(L, value);
  return 1;
}

/* ---- multicast groups: the requests of RFC 3678, which are the same for IPv4 and IPv6 */

static void sockopt_check_group(lua_State *L, int arg, int family, struct sockaddr_storage *sa) {
  luaL_checktype(L, arg, LUA_TSTRING);
  const char *host = lua_tostring(L, arg);
  luaL_argcheck(L, *host && asy_addr_parse(host, 0, family, sa) == 0, arg,
                "numeric address of the socket's family expected");
}

/* The option `interface`, as a number; 0: the system chooses. */
static unsigned sockopt_opt_interface(lua_State *L, asy_State *S, int arg, const char *op) {
  sockopt_Interface found;
  if (!asy_option_push(L, arg, "interface")) return 0;
  if (lua_type(L, -1) != LUA_TSTRING)
    asy_option_error(L, arg, "interface", "name or address expected");
  if (!sockopt_find_interface(lua_tostring(L, -1), &found))
    asy_error_raise_os(L, S, UV_ENODEV, op, lua_tostring(L, -1));
  lua_pop(L, 1);
  return found.index;
}

void asy_sockopt_group(lua_State *L, asy_State *S, uv_os_sock_t fd, int family, int arg,
                       bool join) {
  static const char *const names[] = {"interface", "source", NULL};
  const char *op = join ? "join_group" : "leave_group";
  int level = family == AF_INET6 ? IPPROTO_IPV6 : IPPROTO_IP;
  struct group_source_req request;
  struct group_req any_source;
  struct sockaddr_storage sa;
  memset(&request, 0, sizeof request);
  memset(&any_source, 0, sizeof any_source);
  sockopt_check_group(L, arg, family, &sa);
  asy_option_check(L, arg + 1, names);
  memcpy(&request.gsr_group, &sa, sizeof sa);
  request.gsr_interface = sockopt_opt_interface(L, S, arg + 1, op);
  int err;
  if (asy_option_push(L, arg + 1, "source")) {
    if (lua_type(L, -1) != LUA_TSTRING || asy_addr_parse(lua_tostring(L, -1), 0, family, &sa))
      asy_option_error(L, arg + 1, "source", "numeric address of the socket's family expected");
    memcpy(&request.gsr_source, &sa, sizeof sa);
    err = asy_sys_setopt(fd, level, join ? MCAST_JOIN_SOURCE_GROUP : MCAST_LEAVE_SOURCE_GROUP,
                         &request, sizeof request);
  } else {
    any_source.gr_interface = request.gsr_interface;
    memcpy(&any_source.gr_group, &request.gsr_group, sizeof any_source.gr_group);
    err = asy_sys_setopt(fd, level, join ? MCAST_JOIN_GROUP : MCAST_LEAVE_GROUP, &any_source,
                         sizeof any_source);
  }
  if (err) asy_error_raise_os(L, S, err, op, lua_tostring(L, arg));
}
