/* SPDX-License-Identifier: MIT */
/* How much memory one operation of each kind asks for when the program has been running for a
 * while: allocations and bytes of Lua's allocator, of the library's own calls of malloc (the linker
 * leads them here) and of libuv. The garbage collector is stopped while it is counted, so the
 * counts are exact, and are compared with what they have to be. ALLOCATIONS=1: prints the table.
 */
#include <lauxlib.h>
#include <lualib.h>
#include <stdlib.h>
#include <uv.h>

#include "asyncio.h"
#include "check.h"
#include "host.h"

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);

/* This is a program, not the library: its state may be global. */
static size_t allocations, bytes;

static void count(size_t old_size, size_t new_size) {
  if (new_size <= old_size) return;
  allocations++;
  bytes += new_size - old_size;
}

void *__wrap_malloc(size_t size) {
  count(0, size);
  return __real_malloc(size);
}

static void *for_libuv_realloc(void *ptr, size_t size) {
  count(0, size);
  return realloc(ptr, size);
}

static void *for_libuv_calloc(size_t n, size_t size) {
  count(0, n * size);
  return calloc(n, size);
}

static void *for_lua(void *ud, void *ptr, size_t old_size, size_t new_size) {
  (void)ud;
  if (new_size == 0) {
    free(ptr);
    return NULL;
  }
  count(ptr ? old_size : 0, new_size);
  return realloc(ptr, new_size);
}

static int counted(lua_State *L) {
  size_t a = allocations, b = bytes;
  lua_pushinteger(L, (lua_Integer)a);
  lua_pushinteger(L, (lua_Integer)b);
  return 2;
}

/* The cost of a string beside its bytes. */
static lua_Integer string_header(lua_State *L) {
  char text[100] = {0};
  size_t before = bytes;
  lua_pushlstring(L, text, sizeof text);
  lua_pop(L, 1);
  return (lua_Integer)(bytes - before - sizeof text);
}

/* [1] = table for the results */
static int load(lua_State *L) {
  luaL_openlibs(L);
  if (luaL_loadfile(L, "bench/allocations.lua") != LUA_OK) return lua_error(L);
  luaL_requiref(L, "asyncio", luaopen_asyncio_core, 0);
  lua_pushcfunction(L, counted);
  lua_pushvalue(L, 1);
  lua_pushinteger(L, string_header(L));
  lua_call(L, 4, 0);
  return 0;
}

static double field(lua_State *L, const char *name) {
  lua_getfield(L, -1, name);
  double n = lua_tonumber(L, -1);
  lua_pop(L, 1);
  return n;
}

/* Show and check the row on top of the stack. */
static void check_row(Check *t, lua_State *L, int shown) {
  lua_getfield(L, -1, "good");
  int good = lua_toboolean(L, -1);
  check(t, good);
  lua_getfield(L, -2, "name");
  const char *name = lua_tostring(L, -1);
  lua_pop(L, 2);
  if (!shown && good) return;
  printf("%-42s %6.2f %9.1f %9.2f %11.1f\n", name, field(L, "allocations"), field(L, "bytes"),
         field(L, "strings"), field(L, "size"));
}

static void test_operations(Check *t) {
  int shown = getenv("ALLOCATIONS") != NULL;
  uv_replace_allocator(__wrap_malloc, for_libuv_realloc, for_libuv_calloc, free);
  lua_State *L = host_newstate(for_lua, NULL);
  lua_pushcfunction(L, load);
  lua_newtable(L);
  lua_pushvalue(L, -1);
  lua_insert(L, 1);
  int status = lua_pcall(L, 1, 0, 0);
  check_int(t, status, LUA_OK);
  if (status != LUA_OK) printf("%s\n", lua_tostring(L, -1));
  lua_settop(L, 1);
  if (shown)
    printf("%-42s %6s %9s %9s %11s\n", "one operation", "allocs", "bytes", "strings",
           "their bytes");
  for (lua_Integer i = 1; lua_rawgeti(L, 1, i) == LUA_TTABLE; i++) {
    check_row(t, L, shown);
    lua_pop(L, 1);
  }
  lua_close(L);
}

CHECK_MAIN({"an operation allocates what it must", test_operations})
