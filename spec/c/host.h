/* SPDX-License-Identifier: MIT */
/*
** What the C tests that play a host share: a state that panics into a failed test, running Lua
** source, reading what it left in globals.
*/
#ifndef HOST_H
#define HOST_H

#include <lauxlib.h>
#include <lualib.h>
#include <stdlib.h>
#include <uv.h>

#include "asyncio.h"
#include "check.h"

/* Lua 5.5 wants a seed as well. */
#if LUA_VERSION_NUM >= 505
#define host_newstate(alloc, data) lua_newstate((alloc), (data), luaL_makeseed(NULL))
#else
#define host_newstate(alloc, data) lua_newstate((alloc), (data))
#endif

/* Nothing of the library may panic: the process ends with a message that names the test's file. */
static inline int host_on_panic(lua_State *L) {
  const char *text = lua_tostring(L, -1);
  printf("not ok PANIC: %s\n", text ? text : "(no text)");
  fflush(stdout);
  abort();
  return 0;
}

static inline lua_State *host_new_state(void) {
  lua_State *L = luaL_newstate();
  lua_atpanic(L, host_on_panic);
  luaL_openlibs(L);
  return L;
}

/* Run Lua source; what it raises fails the test. */
static inline void host_run(Check *t, lua_State *L, const char *source) {
  if (luaL_dostring(L, source) == LUA_OK) return;
  printf("%s\n", lua_tostring(L, -1));
  lua_pop(L, 1);
  check(t, !"the Lua source ran without an error");
}

static inline lua_Integer host_integer(lua_State *L, const char *global) {
  lua_getglobal(L, global);
  lua_Integer n = lua_isinteger(L, -1) ? lua_tointeger(L, -1) : -1;
  lua_pop(L, 1);
  return n;
}

/* Is the global string equal to the text? Says so if not. */
static inline void host_check_string(Check *t, lua_State *L, const char *global, const char *want) {
  lua_getglobal(L, global);
  check_str(t, lua_tostring(L, -1), want);
  lua_pop(L, 1);
}

/* A loop for asyncio_poll in a new state, or a failed test. */
static inline asyncio_Loop *host_open(Check *t, lua_State *L, uv_loop_t *uv, unsigned flags) {
  asyncio_Loop *loop = asyncio_open(L, uv, flags);
  check(t, loop != NULL);
  if (!loop) printf("%s\n", lua_tostring(L, -1));
  return loop;
}

/* Poll until a global is true, sleeping as long as the loop says, for ten seconds at the most. */
static inline void host_poll_until(Check *t, lua_State *L, asyncio_Loop *loop, const char *global) {
  uint64_t end = uv_hrtime() + UINT64_C(10000000000);
  for (;;) {
    lua_getglobal(L, global);
    int done = lua_toboolean(L, -1);
    lua_pop(L, 1);
    if (done) return;
    if (uv_hrtime() > end) break;
    asyncio_poll(loop, 0.001);
    if (asyncio_timeout(loop) != 0) uv_sleep(1);
  }
  check(t, !"it was done in time");
}

#endif
