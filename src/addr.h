/* SPDX-License-Identifier: MIT */
/* addr.h - internet addresses, and names: loop:getaddrinfo, loop:getnameinfo.
 *
 * A numeric address never needs a thread. A name is looked up on libuv's pool; such a request
 * belongs to the wait of one task, and is forgotten when that is cancelled. */
#ifndef ASY_ADDR_H
#define ASY_ADDR_H

#include "sys.h"
#include "wait.h"

/* An address as a stream keeps it: a sockaddr that is small. */
typedef struct asy_Address {
  uint8_t family; /* 0: none, 4 or 6 */
  uint16_t port;
  uint8_t bytes[16]; /* of IPv4 the first four */
  uint32_t scope;    /* of IPv6 */
} asy_Address;

/* What is used of it for IPv4, and for none. */
#define ASY_ADDRESS_SHORT (offsetof(asy_Address, bytes) + 4)

#define ASY_ADDRESS_TEXT 96 /* bytes of the longest text, and its zero */

/* Of an address of IPv4, or of none, nothing behind ASY_ADDRESS_SHORT is written. */
ASY_FUNC void asy_address_set(asy_Address *address, const struct sockaddr *from);

/* "127.0.0.1:80", "[::1]:80"; NULL if there is none. Returns text. [-0, +0, -] */
ASY_FUNC const char *asy_address_format(const asy_Address *address, char text[ASY_ADDRESS_TEXT]);

/* Push host and port; two nils if there is none. [-0, +2, m] */
ASY_FUNC int asy_address_push(lua_State *L, const asy_Address *address);

/* An address of any family, as the system takes it. */
typedef struct asy_Sockaddr {
  struct sockaddr_storage sa;
  socklen_t length;
} asy_Sockaddr;

#define ASY_SOCKADDR_TEXT 128

static inline struct sockaddr *asy_sockaddr(asy_Sockaddr *address) {
  return (struct sockaddr *)&address->sa;
}

/* The address of a unix socket: a path, or an abstract name, which begins with a zero byte (Linux).
 * 0, UV_ENAMETOOLONG, or UV_EINVAL for a path with a zero byte in it. */
ASY_FUNC int asy_sockaddr_unix(const char *path, size_t n, asy_Sockaddr *out);

/* The path, or abstract name, of a unix socket at arg: argument error if there is none; what
 * asy_sockaddr_unix says of it. [-0, +0, v] */
ASY_FUNC int asy_sockaddr_check_unix(lua_State *L, int arg, asy_Sockaddr *out);

/* Raise an OSError that names the path at arg. [-0, +0, v] */
ASY_FUNC int asy_sockaddr_raise_unix(lua_State *L, asy_State *S, int err, const char *op, int arg);

/* For messages: "127.0.0.1:80", "/run/x.sock", "@abstract"; NULL if there is none. Returns text. */
ASY_FUNC const char *asy_sockaddr_format(const asy_Sockaddr *address, char text[ASY_SOCKADDR_TEXT]);

/* Push host and port, or the path of a unix socket; nil, and nothing else, for one without a name.
 * [-0, +(1|2), m] */
ASY_FUNC int asy_sockaddr_push(lua_State *L, const asy_Sockaddr *address);

/* A numeric host (NULL or "": any address) and a port: 0, or UV_EINVAL for a name. family: AF_INET,
 * AF_INET6, or AF_UNSPEC. */
ASY_FUNC int asy_addr_parse(const char *host, int port, int family, struct sockaddr_storage *out);

/* A host name at arg: a string without zeros that is not too long, or nil for NULL. [-0, +0, v] */
ASY_FUNC const char *asy_addr_check_host(lua_State *L, int arg);

/* The option family, "inet" or "inet6": AF_INET, AF_INET6, or AF_UNSPEC if it is not given. [-0,
 * +0, v] */
ASY_FUNC int asy_addr_option_family(lua_State *L, int arg);

/* A port number at arg. [-0, +0, v] */
ASY_FUNC int asy_addr_check_port(lua_State *L, int arg);

/* Start to look up a name, then park: `return asy_addr_lookup(L, w, ...)`. The continuation begins
 * with asy_addr_result. Raises an OSError if the request cannot be started. [-0, +n, v] */
ASY_FUNC int asy_addr_lookup(lua_State *L, asy_Wait *w, const char *host, const char *service,
                             const struct addrinfo *hints, asy_Cont *k);

/* In the continuation of a look-up: push the list of {family=, type=, host=, port=} and return 0;
 * or a libuv code, and push nothing; or raise the cancellation. [-0, +(0|1), v] */
ASY_FUNC int asy_addr_result(lua_State *L, asy_Wait *w);

ASY_FUNC void asy_addr_open(lua_State *L, asy_State *S);

#endif
