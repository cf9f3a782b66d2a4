/* SPDX-License-Identifier: MIT */
/* socket.h - what a Stream does as a socket: asyncio.socket, bind, listen, accept, connect,
 * options, addresses. */
#ifndef ASY_SOCKET_H
#define ASY_SOCKET_H

#include "flow.h"

/* Push a new Stream that is a socket of the family (AF_INET, AF_INET6, AF_UNIX). 0, or a libuv
 * code, and nothing pushed. [-0, +(0|1), m] */
ASY_FUNC int asy_socket_push(lua_State *L, asy_Loop *loop, int family);

/* Push a Stream or DatagramSocket for a socket that is open already, and the library's from now on.
 * 0, or a libuv code, and nothing pushed. [-0, +(0|1), m] */
ASY_FUNC int asy_socket_push_open(lua_State *L, asy_Loop *loop, uv_os_sock_t fd);

/* Set an option of the kind that is on or off. 0 or a libuv code. [-0, +0, -] */
ASY_FUNC int asy_socket_set(asy_Stream *s, const char *name, bool on);

/* Bind; a port that is used is reported here. 0 or a libuv code. [-0, +0, -] */
ASY_FUNC int asy_socket_bind(asy_Stream *s, const struct sockaddr *addr);

/* The address that it is bound to. 0 or a libuv code. [-0, +0, -] */
ASY_FUNC int asy_socket_name(const asy_Stream *s, asy_Sockaddr *name);

/* Push the address of the peer: host and port, or a path; nil, and nothing else, for one without a
 * name, or that is not known any more. [-0, +(1|2), m] */
ASY_FUNC int asy_socket_push_peer(lua_State *L, const asy_Stream *s);

/* Connect the unix socket at index 1 to the path at index 2; then, if there is `true` at index 3,
 * begin to read, and return the Stream twice. On an error it is closed in that case. [-0, +(0|2),
 * v] */
ASY_FUNC int asy_socket_connect_unix(lua_State *L, asy_Wait *w);

/* Accept what has been accepted by libuv's callback: push the Stream. The list must not be empty.
 * [-0, +1, m] */
ASY_FUNC asy_Stream *asy_socket_push_accepted(lua_State *L, asy_State *S, asy_Stream *listener);

/* Add the functions to the module table on top, the methods to the types Stream and Loop. [-0, +0,
 * m] */
ASY_FUNC void asy_socket_open(lua_State *L, asy_State *S);

#endif
