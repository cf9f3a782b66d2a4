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

static void core_list(lua_State *L, asy_State *S, asy_Slot slot, const luaL_Reg *functions) {
  if (S->list_count == ASY_MOST_LISTS) luaL_error(L, "too many lists of functions");
  S->lists[S->list_count].functions = functions;
  S->lists[S->list_count++].slot = (uint8_t)slot;
}

void asy_type_new(lua_State *L, asy_State *S, asy_Slot slot, const char *name,
                  const luaL_Reg *methods) {
  S->names[slot] = name;
  core_list(L, S, slot, methods);
}

void asy_type_add(lua_State *L, asy_State *S, asy_Slot slot, const luaL_Reg *methods) {
  core_list(L, S, slot, methods);
}

const luaL_Reg *asy_functions_next(const asy_State *S, asy_Slot slot, int *i) {
  while (*i < S->list_count && S->lists[*i].slot != slot)
    ++*i;
  return *i < S->list_count ? S->lists[(*i)++].functions : NULL;
}

static lua_CFunction core_find(const asy_State *S, asy_Slot slot, const char *name) {
  const luaL_Reg *f;
  for (int i = 0; (f = asy_functions_next(S, slot, &i)) != NULL;)
    for (; f->name; f++)
      if (strcmp(f->name, name) == 0) return f->func;
  return NULL;
}

bool asy_function_push(lua_State *L, asy_State *S, asy_Slot slot, const char *name) {
  lua_CFunction f = core_find(S, slot, name);
  if (!f) return false;
  asy_shelf_push(L, S->shelf, ASY_SLOT_STATE);
  lua_pushcclosure(L, f, 1);
  return true;
}

void asy_method_push(lua_State *L, asy_State *S, asy_Slot slot) {
  lua_pushvalue(L, 2);
  if (lua_rawget(L, lua_upvalueindex(2)) != LUA_TNIL || lua_type(L, 2) != LUA_TSTRING) return;
  const char *name = lua_tostring(L, 2);
  if (strncmp(name, "__", 2) == 0 || !asy_function_push(L, S, slot, name)) return;
  lua_replace(L, -2);
  lua_pushvalue(L, 2);
  lua_pushvalue(L, -2);
  lua_rawset(L, lua_upvalueindex(2));
}

void asy_add_functions(lua_State *L, asy_State *S, const luaL_Reg *functions) {
  core_list(L, S, ASY_SLOT_MODULE, functions);
}

/* Fill a metatable and, above it, its table of methods, unless there is an __index function, which
 * does that. */
static void core_fill_type(lua_State *L, asy_State *S, asy_Slot slot, lua_CFunction index) {
  const luaL_Reg *method;
  for (int i = 0; (method = asy_functions_next(S, slot, &i)) != NULL;)
    for (; method->name; method++) {
      bool meta = strncmp(method->name, "__", 2) == 0;
      if (method->func == index || (index && !meta)) continue;
      asy_shelf_push(L, S->shelf, ASY_SLOT_STATE);
      lua_pushcclosure(L, method->func, 1);
      lua_setfield(L, meta ? -3 : -2, method->name);
    }
}

static void core_make_type(lua_State *L, asy_State *S, asy_Slot slot) {
  lua_CFunction index = core_find(S, slot, "__index");
  luaL_checkstack(L, 6, NULL);
  lua_createtable(L, 0, 8);
  lua_pushstring(L, S->names[slot]);
  lua_setfield(L, -2, "__name");
  lua_createtable(L, 0, 16);
  core_fill_type(L, S, slot, index);
  if (index) {
    asy_shelf_push(L, S->shelf, ASY_SLOT_STATE);
    lua_insert(L, -2);
    lua_pushcclosure(L, index, 2);
  }
  lua_setfield(L, -2, "__index");
  S->types[slot] = lua_topointer(L, -1);
  asy_shelf_set(L, S->shelf, slot);
}

void asy_type_push(lua_State *L, asy_State *S, asy_Slot slot) {
  if (ASY_UNLIKELY(!S->types[slot])) core_make_type(L, S, slot);
  asy_shelf_push(L, S->shelf, slot);
}

void *asy_type_create(lua_State *L, asy_State *S, asy_Slot slot, size_t size, int nuv) {
  if (ASY_UNLIKELY(nuv >= USHRT_MAX))
    luaL_error(L, "too many arguments"); /* Lua would take the number modulo 65536 */
  if (ASY_UNLIKELY(!S->types[slot])) core_make_type(L, S, slot);
  void *p = lua_newuserdatauv(L, size, nuv);
  memset(p, 0, size);
  asy_shelf_push(L, S->shelf, slot);
  lua_setmetatable(L, -2);
  return p;
}

void *asy_type_check(lua_State *L, asy_State *S, int arg, asy_Slot slot) {
  void *p = asy_type_test(L, S, arg, slot);
  if (!p) luaL_typeerror(L, arg, S->names[slot]);
  return p;
}

/* ---- arguments */

asy_Loop *asy_opt_loop(lua_State *L, asy_State *S, int arg) {
  asy_Loop *loop = S->running ? S->running : S->current;
  if (!lua_isnoneornil(L, arg)) loop = asy_type_check(L, S, arg, ASY_SLOT_LOOP_TYPE);
  if (!loop) luaL_error(L, "no running event loop");
  return loop;
}

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
  asy_free(S->unread);
  S->unread = NULL;
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
