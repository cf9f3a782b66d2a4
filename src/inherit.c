/* SPDX-License-Identifier: MIT */
/* inherit.c - see inherit.h. The protocol is systemd's (sd_listen_fds): descriptors from 3 on,
 * LISTEN_FDS of them, if LISTEN_PID is this process; LISTEN_FDNAMES has their names, separated by
 * colons. */
#include "inherit.h"

#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "loop.h"
#include "option.h"
#include "socket.h"

#define INHERIT_FIRST 3
#define INHERIT_MOST 4096

/* The number in an environment variable; -1 if there is none. */
static long inherit_number(const char *name) {
  const char *text = getenv(name);
  char *end;
  if (!text || !*text) return -1;
  long n = strtol(text, &end, 10);
  return *end || n < 0 ? -1 : n;
}

static void inherit_forget(void) {
  uv_os_unsetenv("LISTEN_PID");
  uv_os_unsetenv("LISTEN_FDS");
  uv_os_unsetenv("LISTEN_FDNAMES");
}

/* Push the list of n names: those that are missing are "unknown", as systemd has it. */
static void inherit_push_names(lua_State *L, long n) {
  const char *names = getenv("LISTEN_FDNAMES");
  lua_createtable(L, (int)n, 0);
  for (lua_Integer i = 1; i <= n; i++) {
    size_t length = names ? strcspn(names, ":") : 0;
    if (length)
      lua_pushlstring(L, names, length);
    else
      lua_pushliteral(L, "unknown");
    lua_rawseti(L, -2, i);
    if (names) names = names[length] ? names + length + 1 : NULL;
  }
}

/***
The sockets that the process was given when it was started: socket activation, as by systemd. They
are of the current loop. A server takes one by its option `sock`. Without activation both lists are
empty.
@function listen_fds
@tparam[opt] table opts keep_env (boolean; true: the environment variables LISTEN_PID, LISTEN_FDS
and LISTEN_FDNAMES stay; else they are removed, so that child processes do not see them, and a
second call gives nothing)
@treturn table list of Streams and DatagramSockets
@treturn table list of their names
@waits no
@raise argument error; OSError, for example with code "ENOTSOCK"
@usage local sockets, names = asyncio.listen_fds(); assert(#sockets == #names)
@see asyncio-eventloop.html#asyncio.loop.create_server
*/
static int inherit_listen_fds(lua_State *L) {
  static const char *const options[] = {"keep_env", NULL};
  asy_State *S = asy_state(L);
  asy_option_check(L, 1, options);
  bool keep = asy_option_boolean(L, 1, "keep_env", false);
  long n = inherit_number("LISTEN_FDS");
  if (n < 0 || n > INHERIT_MOST || inherit_number("LISTEN_PID") != (long)uv_os_getpid()) n = 0;
  lua_settop(L, 1);
  lua_createtable(L, (int)n, 0);
  inherit_push_names(L, n);
  asy_Loop *loop = n ? asy_loop_get(L, S) : NULL;
  if (n && !keep) inherit_forget();
  for (lua_Integer i = 1; i <= n; i++) {
    int err = asy_socket_push_open(L, loop, (uv_os_sock_t)(INHERIT_FIRST + i - 1));
    if (err) {
      lua_rawgeti(L, 3, i);
      return asy_error_raise_os(L, S, err, "listen_fds", lua_tostring(L, -1));
    }
    lua_rawseti(L, 2, i);
  }
  return 2;
}

void asy_inherit_open(lua_State *L, asy_State *S) {
  static const luaL_Reg functions[] = {{"listen_fds", inherit_listen_fds}, {NULL, NULL}};
  asy_add_functions(L, S, functions);
}
