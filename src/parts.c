/* SPDX-License-Identifier: MIT */
/* parts.c - the parts of the library that are written in Lua: their text is compiled in, so that a
 * host needs no file, and each is loaded when `asyncio.<part>` is first looked at. */
#include "parts.h"

#include <string.h>

#include "lua_parts.h"

/* Load the part with this module name, which is called with the module, and push what it returns.
 */
static void parts_load(lua_State *L, int module, const asy_LuaPart *part) {
  luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
  if (lua_getfield(L, -1, part->name) == LUA_TNIL) {
    lua_pop(L, 1);
    lua_pushfstring(L, "=%s", part->name);
    if (luaL_loadbufferx(L, part->code, part->size, lua_tostring(L, -1), "t") != LUA_OK)
      lua_error(L);
    lua_pushvalue(L, module);
    lua_call(L, 1, 1);
    lua_replace(L, -2);
    lua_pushvalue(L, -1);
    lua_setfield(L, -3, part->name);
  }
  lua_remove(L, -2);
}

bool asy_parts_push(lua_State *L, int module, const char *name) {
  for (const asy_LuaPart *part = asy_lua_parts; part->name; part++) {
    if (strcmp(part->name + strlen("asyncio."), name) != 0) continue;
    parts_load(L, module, part);
    return true;
  }
  return false;
}

/* package.preload["asyncio.<part>"]: upvalue 2 is the module table */
static int parts_require(lua_State *L) {
  lua_getfield(L, lua_upvalueindex(2), luaL_checkstring(L, 1) + strlen("asyncio."));
  return 1;
}

void asy_parts_open(lua_State *L, asy_State *S) {
  int module = lua_gettop(L);
  luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
  for (const asy_LuaPart *part = asy_lua_parts; part->name; part++) {
    asy_shelf_push(L, S->shelf, ASY_SLOT_STATE);
    lua_pushvalue(L, module);
    lua_pushcclosure(L, parts_require, 2);
    lua_setfield(L, -2, part->name);
  }
  lua_pop(L, 1);
}
