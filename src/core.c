/* SPDX-License-Identifier: MIT */
/* core.c - the functions of core.h: the State and its shelf, and the few helpers that every binding
 * uses: types, argument checks, rare fields of objects, numbered lists in a shelf, memory. */
#include "core.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The key of the State in the registry is the address of this constant. */
static const char core_key = 0;

asy_State *asy_state_from_registry(lua_State *L) {
  lua_rawgetp(L, LUA_REGISTRYINDEX, &core_key);
  asy_State *S = lua_touserdata(L, -1);
  lua_pop(L, 1);
  return S;
}

void asy_add_protector(asy_State *S, lua_CFunction f, int place) {
  for (size_t i = 0; i < sizeof S->protectors / sizeof *S->protectors; i++) {
    if (S->protectors[i].f && S->protectors[i].f != f) continue;
    S->protectors[i].f = f;
    S->protectors[i].place = place;
    return;
  }
}

/* ---- types */

void asy_set_functions(lua_State *L, asy_State *S, const luaL_Reg *functions) {
  asy_shelf_push(L, S->shelf, ASY_SLOT_STATE);
  luaL_setfuncs(L, functions, 1);
}

/* Register methods in a metatable and its __index table, both given by stack index. */
static void core_register(lua_State *L, asy_State *S, int mt, int index, const luaL_Reg *methods) {
  luaL_checkstack(L, 3, NULL);
  for (; methods->name; methods++) {
    asy_shelf_push(L, S->shelf, ASY_SLOT_STATE);
    lua_pushcclosure(L, methods->func, 1);
    lua_setfield(L, strncmp(methods->name, "__", 2) ? index : mt, methods->name);
  }
}

void asy_type_new(lua_State *L, asy_State *S, asy_Slot slot, const char *name,
                  const luaL_Reg *methods) {
  luaL_checkstack(L, 6, NULL);
  lua_createtable(L, 0, 8);
  int mt = lua_gettop(L);
  lua_pushstring(L, name);
  lua_setfield(L, mt, "__name");
  int count = 0;
  while (methods[count].name)
    count++;
  lua_createtable(L, 0, count ? count : 48); /* none: Loop, whose methods come from many rooms */
  lua_pushvalue(L, -1);
  lua_setfield(L, mt, "__index");
  core_register(L, S, mt, mt + 1, methods); /* may bring an __index function of its own */
  lua_settop(L, mt);
  S->types[slot] = lua_topointer(L, mt);
  asy_shelf_set(L, S->shelf, slot);
}

void asy_type_add(lua_State *L, asy_State *S, asy_Slot slot, const luaL_Reg *methods) {
  luaL_checkstack(L, 6, NULL);
  asy_shelf_push(L, S->shelf, slot);
  int mt = lua_gettop(L);
  lua_getfield(L, mt, "__index");
  core_register(L, S, mt, mt + 1, methods);
  lua_settop(L, mt - 1);
}

void *asy_type_create(lua_State *L, asy_State *S, asy_Slot slot, size_t size, int nuv) {
  if (ASY_UNLIKELY(nuv >= USHRT_MAX))
    luaL_error(L, "too many arguments"); /* Lua would take the number modulo 65536 */
  void *p = lua_newuserdatauv(L, size, nuv);
  memset(p, 0, size);
  asy_shelf_push(L, S->shelf, slot);
  lua_setmetatable(L, -2);
  return p;
}

void *asy_type_check(lua_State *L, asy_State *S, int arg, asy_Slot slot) {
  void *p = asy_type_test(L, S, arg, slot);
  if (!p) {
    asy_shelf_push(L, S->shelf, slot);
    lua_getfield(L, -1, "__name");
    const char *name = lua_tostring(L, -1);
    lua_pop(L, 2); /* the metatable keeps the name; what was not passed must stay "no value" */
    luaL_typeerror(L, arg, name);
  }
  return p;
}

/* ---- arguments */

double asy_check_seconds(lua_State *L, int arg) {
  int is_number;
  double s = lua_tonumberx(L, arg, &is_number);
  if (ASY_UNLIKELY(!is_number)) luaL_checknumber(L, arg);
  luaL_argcheck(L, !isnan(s), arg, "number of seconds expected, got NaN");
  return s;
}

bool asy_opt_seconds(lua_State *L, int arg, double *out) {
  if (lua_isnoneornil(L, arg)) return false;
  *out = asy_check_seconds(L, arg);
  return true;
}

asy_Loop *asy_check_loop(lua_State *L, asy_State *S, int arg) {
  asy_Loop *loop = asy_type_check(L, S, arg, ASY_SLOT_LOOP_TYPE);
  if (loop->closed) luaL_error(L, "the event loop is closed");
  return loop;
}

void asy_check_callable(lua_State *L, int arg) {
  if (lua_isfunction(L, arg)) return;
  if (luaL_getmetafield(L, arg, "__call") == LUA_TNIL) luaL_typeerror(L, arg, "function");
  lua_pop(L, 1);
}

/* ---- rare fields of objects */

void asy_extra_get(lua_State *L, asy_State *S, int idx, const char *field) {
  idx = lua_absindex(L, idx);
  asy_shelf_push(L, S->shelf, ASY_SLOT_EXTRAS);
  lua_pushvalue(L, idx);
  if (lua_rawget(L, -2) == LUA_TTABLE) {
    lua_pushstring(L, field);
    lua_rawget(L, -2);
    lua_replace(L, -3);
    lua_pop(L, 1);
  } else {
    lua_replace(L, -2); /* nil */
  }
}

void asy_extra_set(lua_State *L, asy_State *S, int idx, const char *field) {
  idx = lua_absindex(L, idx);
  asy_shelf_push(L, S->shelf, ASY_SLOT_EXTRAS);
  lua_pushvalue(L, idx);
  if (lua_rawget(L, -2) != LUA_TTABLE) {
    lua_pop(L, 1);
    lua_createtable(L, 0, 1);
    lua_pushvalue(L, idx);
    lua_pushvalue(L, -2);
    lua_rawset(L, -4);
  }
  lua_pushvalue(L, -3);
  lua_setfield(L, -2, field);
  lua_pop(L, 3);
}

/* ---- numbered lists in a loop's shelf */

lua_Integer asy_slots_add(lua_State *L, asy_Loop *loop, int list, asy_Slots *slots) {
  asy_shelf_push(L, loop->shelf, list);
  lua_insert(L, -2);
  lua_Integer n = slots->free;
  if (n) {
    lua_rawgeti(L, -2, n);
    slots->free = lua_tointeger(L, -1);
    lua_pop(L, 1);
  } else {
    n = slots->count + 1;
  }
  lua_rawseti(L, -2, n); /* may raise only for a new number, which is not counted yet */
  if (n > slots->count) slots->count = n;
  lua_pop(L, 1);
  return n;
}

void asy_slots_remove(asy_Loop *loop, int list, asy_Slots *slots, lua_Integer n) {
  lua_pushinteger(loop->shelf, slots->free);
  lua_rawseti(loop->shelf, list, n); /* an existing entry: no memory is needed */
  slots->free = n;
}

/* ---- memory */

void *asy_alloc(asy_State *S, void *ptr, size_t old_size, size_t new_size) {
  void *ud;
  lua_Alloc alloc = lua_getallocf(S->main, &ud);
  return alloc(ud, ptr, old_size, new_size);
}

#ifndef ASY_MALLOC /* `make oom` builds with an allocator that can be told to fail */
#define ASY_MALLOC malloc
#endif

void *asy_malloc(size_t size) {
  return ASY_MALLOC(size);
}

void asy_free(void *ptr) {
  free(ptr);
}

/* ---- opening */

/* The State goes last: everything that could still ask for it has been finalized. */
static int core_gc(lua_State *L) {
  asy_State *S = lua_touserdata(L, 1);
  S->closing = true;
  S->forbidden = "while the Lua state closes";
  return 0;
}

asy_State *asy_state_new(lua_State *L) {
  asy_State *S = lua_newuserdatauv(L, sizeof *S, 1);
  memset(S, 0, sizeof *S);
  lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_MAINTHREAD);
  S->main = lua_tothread(L, -1);
  lua_pop(L, 1);
  S->shelf = lua_newthread(L);
  lua_setiuservalue(L, -2, 1);
  if (!lua_checkstack(S->shelf, ASY_SLOT_COUNT + LUA_MINSTACK)) luaL_error(L, "not enough memory");
  lua_settop(S->shelf, ASY_SLOT_COUNT);
  lua_createtable(L, 0, 1);
  lua_pushcfunction(L, core_gc);
  lua_setfield(L, -2, "__gc");
  lua_setmetatable(L, -2);
  lua_createtable(L, 0, 0); /* extras: weak keys */
  lua_createtable(L, 0, 1);
  lua_pushliteral(L, "k");
  lua_setfield(L, -2, "__mode");
  lua_setmetatable(L, -2);
  asy_shelf_set(L, S->shelf, ASY_SLOT_EXTRAS);
  lua_pushvalue(L, -1);
  asy_shelf_set(L, S->shelf, ASY_SLOT_STATE);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &core_key);
  return S;
}
