/* SPDX-License-Identifier: MIT */
/* descriptor.c - see descriptor.h. */
#include "descriptor.h"

#include "sys.h"

/* Push one of the object's methods, and its name in *name. False if it has none. */
static bool descriptor_push_method(lua_State *L, int idx, const char **name) {
  static const char *const names[] = {"fileno", "pollfd", "getfd"};
  if (!lua_istable(L, idx) && luaL_getmetafield(L, idx, "__index") == LUA_TNIL) return false;
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    *name = names[i];
    if (lua_getfield(L, idx, names[i]) == LUA_TFUNCTION) return true;
  }
  return false;
}

bool asy_descriptor_of(lua_State *L, int idx, lua_Integer *fd, const char **problem) {
  const char *name;
  int is_integer;
  luaL_checkstack(L, LUA_MINSTACK, NULL);
  idx = lua_absindex(L, idx);
  *problem = NULL;
  luaL_Stream *file = luaL_testudata(L, idx, LUA_FILEHANDLE);
  if (file) {
    *fd = file->closef ? asy_sys_fileno(file->f) : -1;
    return true;
  }
  if (!lua_istable(L, idx) && !lua_isuserdata(L, idx)) return false;
  if (!descriptor_push_method(L, idx, &name)) return false;
  lua_pushvalue(L, idx);
  lua_call(L, 1, 1);
  *fd = lua_tointegerx(L, -1, &is_integer);
  if (!is_integer)
    *problem = lua_pushfstring(L, "its method '%s' gave no descriptor but a %s", name,
                               luaL_typename(L, -1));
  return true;
}
