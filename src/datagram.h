/* SPDX-License-Identifier: MIT */
/* datagram.h - the record behind every DatagramSocket, who waits for it, and what libuv watches.
 *
 * Nothing is received before somebody asks for it. The queue is the kernel's, whose bound is the
 * option rcvbuf; a wait that is cancelled has taken nothing, so that no datagram is lost. All
 * families go the same way, recvfrom and sendto behind uv_poll_t, because libuv has no unix
 * datagrams, and its uv_udp_t is not faster: per datagram of 64 bytes over the loopback 3.3 to 3.6
 * microseconds with either in bursts of 16 and more, 4.7 and 4.7 to 5.9 one by one (libuv 1.44.2).
 *
 * Receiving and sending stand in the room udp. Who waits stands in a list until its continuation
 * has run; of each list one is woken at a time, the first: so they are served in the order in which
 * they came. */
#ifndef ASY_DATAGRAM_H
#define ASY_DATAGRAM_H

#include "resource.h"
#include "sockopt.h"

typedef struct asy_Datagram {
  asy_Resource res;
  uv_poll_t poll;
  asy_List receivers; /* asy_Wait.link: of recv and recvfrom */
  asy_List senders;   /* asy_Wait.link: of sendall and sendto */
  uv_os_sock_t fd;    /* valid until it is closed */
  int family;
  int events;      /* that libuv watches; left on until they come and nobody is there */
  unsigned polled; /* asy_Loop.polls when `burst` was 0; udp.c */
  int burst;       /* datagrams since then, without a wait; udp.c */
  bool has_poll;   /* poll is initialised */
  bool connected;
  bool closed;
} asy_Datagram;

/* Push a new socket of the family (AF_INET, AF_INET6, AF_UNIX). 0, or a libuv code, and nothing
 * pushed. [-0, +(0|1), v] */
ASY_FUNC int asy_datagram_push(lua_State *L, asy_Loop *loop, int family);

/* The same for a socket that is open already, and the library's from now on, unless an error is
 * raised. [-0, +(0|1), v] */
ASY_FUNC int asy_datagram_push_open(lua_State *L, asy_Loop *loop, int family, uv_os_sock_t fd);

/* Does a datagram socket of this loop own the descriptor? */
ASY_FUNC bool asy_datagram_owns(asy_Loop *loop, uv_os_sock_t fd);

/* The record of the DatagramSocket at arg, or an argument error. [-0, +0, v] */
ASY_FUNC asy_Datagram *asy_datagram_check(lua_State *L, asy_State *S, int arg);

/* The record of the one at index 1, or an error if it is closed. w: of the method's wait, or NULL.
 * [-0, +0, v] */
ASY_FUNC asy_Datagram *asy_datagram_check_open(lua_State *L, asy_State *S, asy_Wait *w,
                                               const char *op);

/* Wake the first of a list who is there, when libuv says that one of these events (UV_READABLE,
 * UV_WRITABLE) has come. 0 or a libuv code. */
ASY_FUNC int asy_datagram_watch(asy_Datagram *d, int events);

/* How a continuation begins whose socket is at index 1: leave the list; raise the cancellation, or
 * that the socket was closed. [-0, +0, v] */
ASY_FUNC asy_Datagram *asy_datagram_resumed(lua_State *L, asy_Wait *w, const char *op);

/* Raise that the socket was closed in mid-wait. [-0, +0, v] */
ASY_FUNC int asy_datagram_raise_closed(lua_State *L, asy_State *S, const char *op);

/* Add the type. [-0, +0, m] */
ASY_FUNC void asy_datagram_open(lua_State *L, asy_State *S);

#endif
