/* SPDX-License-Identifier: MIT */
/* sockopt.h - the named options of sockets, streams' and datagrams' alike: what setsockopt and
 * getsockopt, join_group and leave_group do with a descriptor. */
#ifndef ASY_SOCKOPT_H
#define ASY_SOCKOPT_H

#include "addr.h"

/* Argument error unless there is the name of an option at arg and, to set it, its value behind.
 * [-0, +0, v] */
ASY_FUNC void asy_sockopt_check(lua_State *L, int arg, bool with_value);

/* Set the option whose name is at arg to the value behind it. Both have been checked. [-0, +0, v]
 */
ASY_FUNC void asy_sockopt_set(lua_State *L, asy_State *S, uv_os_sock_t fd, int family, int arg);

/* Push the option whose name is at arg, which has been checked. [-0, +1, v] */
ASY_FUNC int asy_sockopt_get(lua_State *L, asy_State *S, uv_os_sock_t fd, int family, int arg);

/* Set an option of the kind that is on or off. 0 or a libuv code. [-0, +0, -] */
ASY_FUNC int asy_sockopt_switch(uv_os_sock_t fd, int family, const char *name, bool on);

/* Join or leave the multicast group whose address is at arg, with options behind it. [-0, +0, v] */
ASY_FUNC void asy_sockopt_group(lua_State *L, asy_State *S, uv_os_sock_t fd, int family, int arg,
                                bool join);

#endif
