/* SPDX-License-Identifier: MIT */
/* name.c - what to call a function in a report: looks where it is stored. Used by reports and
 * tostring only; slow. */
#include "name.h"

#include <string.h>

/* Put "module.field" (plain for a global) into index `best` if it is shorter than the name there:
 * several modules may hold the same function, and their order in the table is any. */
static void name_choose(lua_State *L, int best, const char *module, const char *field) {
  if (strcmp(module, LUA_GNAME) == 0)
    lua_pushstring(L, field);
  else
    lua_pushfstring(L, "%s.%s", module, field);
  const char *name = lua_tostring(L, -1), *old = lua_tostring(L, best);
  size_t length = strlen(name), old_length = old ? strlen(old) : (size_t)-1;
  if (length < old_length || (length == old_length && strcmp(name, old) < 0))
    lua_replace(L, best);
  else
    lua_pop(L, 1);
}

const char *asy_name_global(lua_State *L, int idx) {
  int f = lua_absindex(L, idx), best = lua_gettop(L) + 1;
  luaL_checkstack(L, 8, NULL);
  lua_pushnil(L);
  if (lua_getfield(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE) == LUA_TTABLE) {
    for (lua_pushnil(L); lua_next(L, best + 1); lua_pop(L, 1)) {
      if (!lua_istable(L, -1) || lua_type(L, -2) != LUA_TSTRING) continue;
      const char *module = lua_tostring(L, -2);
      for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1))
        if (lua_type(L, -2) == LUA_TSTRING && lua_rawequal(L, -1, f))
          name_choose(L, best, module, lua_tostring(L, -2));
    }
  }
  lua_settop(L, best);
  if (lua_isnil(L, best)) lua_pop(L, 1);
  return lua_gettop(L) == best ? lua_tostring(L, best) : NULL;
}

/* Is the value on top the function at f, or a closure of asyncio.async around it? Pops it. */
static bool name_matches(lua_State *L, int f) {
  bool same = lua_rawequal(L, -1, f);
  if (!same && lua_iscfunction(L, -1) && lua_getupvalue(L, -1, 2)) {
    same = lua_rawequal(L, -1, f);
    lua_pop(L, 1);
  }
  lua_pop(L, 1);
  return same;
}

/* The name of the upvalue of the function on top that holds the function at f, or NULL. */
static const char *name_of_upvalue(lua_State *L, int f) {
  if (lua_iscfunction(L, -1)) return NULL;
  const char *name;
  for (int i = 1; (name = lua_getupvalue(L, -1, i)) != NULL; i++)
    if (name_matches(L, f) && *name && *name != '(') return name;
  return NULL;
}

/* The name of a variable that can be seen in the running functions of this thread, or NULL. */
static const char *name_of_variable(lua_State *L, int f) {
  lua_Debug ar;
  const char *name;
  for (int level = 0; level < 50 && lua_getstack(L, level, &ar); level++) {
    const char *found = NULL;
    for (int i = 1; (name = lua_getlocal(L, &ar, i)) != NULL; i++)
      if (name_matches(L, f) && *name != '(') found = name;
    if (!found) {
      lua_getinfo(L, "f", &ar);
      found = name_of_upvalue(L, f);
      lua_pop(L, 1);
    }
    if (found) return found;
  }
  return NULL;
}

const char *asy_name_push(lua_State *L, int idx) {
  idx = lua_absindex(L, idx);
  luaL_checkstack(L, 8, NULL);
  if (lua_isnil(L, idx)) return lua_pushliteral(L, "function"); /* else any nil variable is it */
  const char *name = asy_name_global(L, idx);
  if (name) return name;
  name = name_of_variable(L, idx);
  if (!name && lua_isfunction(L, idx)) {
    lua_pushvalue(L, idx);
    name = name_of_upvalue(L, idx);
    lua_pop(L, 1);
  }
  return lua_pushstring(L, name ? name : "function");
}

const char *asy_name_push_place(lua_State *L, int idx) {
  idx = lua_absindex(L, idx);
  const char *name = asy_name_push(L, idx);
  lua_Debug ar;
  if (lua_isfunction(L, idx)) {
    lua_pushvalue(L, idx);
    lua_getinfo(L, ">S", &ar);
    if (ar.linedefined > 0)
      lua_pushfstring(L, "%s() at %s:%d", name, ar.short_src, ar.linedefined);
    else
      lua_pushfstring(L, "%s() at %s", name, ar.short_src);
  } else {
    lua_pushfstring(L, "%s()", name);
  }
  lua_remove(L, -2);
  return lua_tostring(L, -1);
}

const char *asy_name_push_value(lua_State *L, int idx) {
  if (lua_type(L, idx) != LUA_TSTRING) return luaL_tolstring(L, idx, NULL);
  return lua_pushfstring(L, "'%s'", lua_tostring(L, idx));
}
