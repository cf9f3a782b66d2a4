/* SPDX-License-Identifier: MIT */
/* Clock and memory readings for the Lua programs: wall(), cpu() in ns; rss() = VmRSS, peak() =
 * VmHWM in bytes. */
#include <lauxlib.h>
#include <lua.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static int clock_ns(lua_State *L, clockid_t id) {
  struct timespec t;
  clock_gettime(id, &t);
  lua_pushinteger(L, (lua_Integer)t.tv_sec * 1000000000 + t.tv_nsec);
  return 1;
}
static int l_wall(lua_State *L) {
  return clock_ns(L, CLOCK_MONOTONIC);
}
static int l_cpu(lua_State *L) {
  return clock_ns(L, CLOCK_PROCESS_CPUTIME_ID);
}

static int status_kb(lua_State *L, const char *key) {
  char line[256];
  long kb = 0;
  FILE *f = fopen("/proc/self/status", "r");
  while (f && fgets(line, sizeof line, f))
    if (!strncmp(line, key, strlen(key))) {
      sscanf(line + strlen(key), "%ld", &kb);
      break;
    }
  if (f) fclose(f);
  lua_pushinteger(L, (lua_Integer)kb * 1024);
  return 1;
}
static int l_rss(lua_State *L) {
  return status_kb(L, "VmRSS:");
}
static int l_peak(lua_State *L) {
  return status_kb(L, "VmHWM:");
}

int luaopen_benchutil_c(lua_State *L);
int luaopen_benchutil_c(lua_State *L) {
  static const luaL_Reg f[] = {
      {"wall", l_wall}, {"cpu", l_cpu}, {"rss", l_rss}, {"peak", l_peak}, {NULL, NULL}};
  luaL_newlib(L, f);
  return 1;
}
