/* SPDX-License-Identifier: MIT */
/* option.c - see option.h. */
#include "option.h"

#include <string.h>

int asy_option_error(lua_State *L, int arg, const char *name, const char *problem) {
  return luaL_argerror(L, arg, lua_pushfstring(L, "option '%s': %s", name, problem));
}

static int option_type_error(lua_State *L, int arg, const char *name, const char *expected) {
  return asy_option_error(
      L, arg, name, lua_pushfstring(L, "%s expected, got %s", expected, luaL_typename(L, -1)));
}

static bool option_is_known(const char *name, const char *const names[]) {
  for (; *names; names++)
    if (strcmp(name, *names) == 0) return true;
  return false;
}

void asy_option_check(lua_State *L, int arg, const char *const names[]) {
  if (lua_isnoneornil(L, arg)) return;
  luaL_checktype(L, arg, LUA_TTABLE);
  luaL_checkstack(L, 4, NULL);
  lua_pushnil(L);
  while (lua_next(L, arg)) {
    if (lua_type(L, -2) != LUA_TSTRING)
      luaL_argerror(L, arg,
                    lua_pushfstring(L, "names of options expected, got a key of type %s",
                                    luaL_typename(L, -2)));
    if (!option_is_known(lua_tostring(L, -2), names))
      luaL_argerror(L, arg, lua_pushfstring(L, "unknown option '%s'", lua_tostring(L, -2)));
    lua_pop(L, 1);
  }
}

void asy_option_copy(lua_State *L, int arg) {
  if (lua_type(L, arg) != LUA_TTABLE) return;
  luaL_checkstack(L, 5, NULL);
  lua_newtable(L);
  lua_pushnil(L);
  while (lua_next(L, arg)) {
    lua_pushvalue(L, -2);
    lua_insert(L, -2);
    lua_rawset(L, -4);
  }
  lua_replace(L, arg);
}

bool asy_option_push(lua_State *L, int arg, const char *name) {
  if (lua_type(L, arg) != LUA_TTABLE) return false;
  lua_pushstring(L, name);
  if (lua_rawget(L, arg) != LUA_TNIL) return true;
  lua_pop(L, 1);
  return false;
}

bool asy_option_boolean(lua_State *L, int arg, const char *name, bool otherwise) {
  if (!asy_option_push(L, arg, name)) return otherwise;
  if (!lua_isboolean(L, -1)) option_type_error(L, arg, name, "boolean");
  bool value = lua_toboolean(L, -1);
  lua_pop(L, 1);
  return value;
}

lua_Integer asy_option_integer(lua_State *L, int arg, const char *name, lua_Integer otherwise,
                               lua_Integer least, lua_Integer most) {
  if (!asy_option_push(L, arg, name)) return otherwise;
  int ok;
  lua_Integer value = lua_tointegerx(L, -1, &ok);
  if (!ok || lua_type(L, -1) != LUA_TNUMBER) option_type_error(L, arg, name, "integer");
  if (value < least || value > most) asy_option_error(L, arg, name, "out of range");
  lua_pop(L, 1);
  return value;
}

int asy_option_choice(lua_State *L, int arg, const char *name, const char *const names[]) {
  if (!asy_option_push(L, arg, name)) return -1;
  if (lua_type(L, -1) != LUA_TSTRING) option_type_error(L, arg, name, "string");
  for (int i = 0; names[i]; i++) {
    if (strcmp(lua_tostring(L, -1), names[i]) != 0) continue;
    lua_pop(L, 1);
    return i;
  }
  return asy_option_error(L, arg, name,
                          lua_pushfstring(L, "invalid value '%s'", lua_tostring(L, -1)));
}

bool asy_option_is_given(lua_State *L, int arg, const char *name) {
  bool given = asy_option_push(L, arg, name);
  if (given) lua_pop(L, 1);
  return given;
}

void asy_option_excludes(lua_State *L, int arg, const char *name, const char *const names[]) {
  if (!asy_option_is_given(L, arg, name)) return;
  for (; *names; names++)
    if (asy_option_is_given(L, arg, *names))
      asy_option_error(L, arg, *names, lua_pushfstring(L, "has no meaning with '%s'", name));
}

void asy_option_refuse_ssl(lua_State *L, int arg) {
  if (asy_option_push(L, arg, "ssl")) asy_option_error(L, arg, "ssl", "TLS is not supported yet");
}
