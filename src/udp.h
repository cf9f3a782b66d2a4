/* SPDX-License-Identifier: MIT */
/* udp.h - what a DatagramSocket does: bind, connect, receive, send; UDP over IPv4 and IPv6, and
 * unix datagram sockets. */
#ifndef ASY_UDP_H
#define ASY_UDP_H

#include "datagram.h"

/* Is the value at idx a DatagramSocket? [-0, +0, -] */
static inline bool asy_udp_is(lua_State *L, asy_State *S, int idx) {
  return asy_type_test(L, S, idx, ASY_SLOT_DATAGRAM) != NULL;
}

/* What the loop's functions for sockets do with one: the socket is at index 1, what belongs to it
 * behind that, and w is the wait that has begun. [-0, +n, v] */
ASY_FUNC int asy_udp_recv(lua_State *L, asy_Wait *w);
ASY_FUNC int asy_udp_sendall(lua_State *L, asy_Wait *w);
ASY_FUNC int asy_udp_connect(lua_State *L, asy_Wait *w);

/* Add the type, and the loop's functions. [-0, +0, m] */
ASY_FUNC void asy_udp_open(lua_State *L, asy_State *S);

#endif
