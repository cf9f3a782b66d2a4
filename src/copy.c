/* SPDX-License-Identifier: MIT */
/* copy.c - see copy.h.
 *
 * The bytes: the number of values, the values, then for each table, in the order of its number, its
 * keys and values up to an END. A value is a tag and what belongs to it; a table is the tag and its
 * number, the first one being 1. Both ends are the same program: numbers lie there as in memory. */
#include "copy.h"

#include <string.h>

#define COPY_LEAST 128     /* bytes of the smallest parcel */
#define COPY_PATH_DEPTH 12 /* so many steps of a path to a culprit are shown, the last ones */

typedef enum copy_Tag {
  COPY_END,
  COPY_NIL,
  COPY_FALSE,
  COPY_TRUE,
  COPY_INTEGER,
  COPY_FLOAT,
  COPY_STRING,
  COPY_TABLE
} copy_Tag;

/* ---- packing */

/* Three entries of the list `tables` for each table: itself, the number of the table in which it
 * was found (0: it is one of the values), and its key there, a null pointer if it is itself a key.
 */
enum { COPY_IT, COPY_PARENT, COPY_KEY, COPY_ENTRIES };

typedef struct copy_Packer {
  lua_State *L;
  asy_Parcel *parcel;
  int tables; /* stack index of that list */
  int seen;   /* stack index of the table that gives each table's number */
  lua_Integer count;
} copy_Packer;

static void copy_put(copy_Packer *P, const void *data, size_t n) {
  asy_Parcel *parcel = P->parcel;
  if (parcel->size - parcel->count < n) {
    size_t most = (size_t)-1 / 4;
    if (n > most || parcel->count > most) luaL_error(P->L, "not enough memory");
    size_t size = parcel->count * 2 > COPY_LEAST ? parcel->count * 2 : COPY_LEAST;
    if (size < parcel->count + n) size = parcel->count + n;
    char *bytes = asy_malloc(size);
    if (!bytes) luaL_error(P->L, "not enough memory");
    if (parcel->count) memcpy(bytes, parcel->bytes, parcel->count);
    asy_free(parcel->bytes);
    parcel->bytes = bytes;
    parcel->size = size;
  }
  if (n) memcpy(parcel->bytes + parcel->count, data, n);
  parcel->count += n;
}

static void copy_put_tagged(copy_Packer *P, copy_Tag tag, const void *data, size_t n) {
  char c = (char)tag;
  copy_put(P, &c, 1);
  copy_put(P, data, n);
}

static lua_Integer copy_entry(lua_Integer number, int which) {
  return (number - 1) * COPY_ENTRIES + which + 1;
}

/* The table on top has been found for the first time; key: its index there, 0 for none. */
static lua_Integer copy_add_table(copy_Packer *P, lua_Integer parent, int key) {
  lua_State *L = P->L;
  lua_Integer number = ++P->count;
  lua_pushvalue(L, -1);
  lua_rawseti(L, P->tables, copy_entry(number, COPY_IT));
  lua_pushinteger(L, parent);
  lua_rawseti(L, P->tables, copy_entry(number, COPY_PARENT));
  if (key)
    lua_pushvalue(L, key);
  else
    lua_pushlightuserdata(L, NULL);
  lua_rawseti(L, P->tables, copy_entry(number, COPY_KEY));
  lua_pushvalue(L, -1);
  lua_pushinteger(L, number);
  lua_rawset(L, P->seen);
  return number;
}

static bool copy_put_table(copy_Packer *P, lua_Integer parent, int key) {
  lua_State *L = P->L;
  if (lua_getmetatable(L, -1)) {
    lua_pop(L, 1);
    return false;
  }
  lua_pushvalue(L, -1);
  lua_rawget(L, P->seen);
  lua_Integer number = lua_tointeger(L, -1);
  lua_pop(L, 1);
  if (!number) number = copy_add_table(P, parent, key);
  copy_put_tagged(P, COPY_TABLE, &number, sizeof number);
  return true;
}

/* The value on top; false if it cannot be sent. */
static bool copy_put_value(copy_Packer *P, lua_Integer parent, int key) {
  lua_State *L = P->L;
  switch (lua_type(L, -1)) {
  case LUA_TNIL: copy_put_tagged(P, COPY_NIL, NULL, 0); return true;
  case LUA_TBOOLEAN:
    copy_put_tagged(P, lua_toboolean(L, -1) ? COPY_TRUE : COPY_FALSE, NULL, 0);
    return true;
  case LUA_TNUMBER:
    if (lua_isinteger(L, -1)) {
      lua_Integer i = lua_tointeger(L, -1);
      copy_put_tagged(P, COPY_INTEGER, &i, sizeof i);
    } else {
      lua_Number x = lua_tonumber(L, -1);
      copy_put_tagged(P, COPY_FLOAT, &x, sizeof x);
    }
    return true;
  case LUA_TSTRING: {
    size_t n;
    const char *s = lua_tolstring(L, -1, &n);
    copy_put_tagged(P, COPY_STRING, &n, sizeof n);
    copy_put(P, s, n);
    return true;
  }
  case LUA_TTABLE: return copy_put_table(P, parent, key);
  default: return false;
  }
}

/* ---- the path to what cannot be sent */

/* Push a step, ".name" or "[3]", for the key at idx. */
static void copy_push_step(lua_State *L, int idx) {
  size_t n;
  const char *s;
  switch (lua_type(L, idx)) {
  case LUA_TSTRING:
    s = lua_tolstring(L, idx, &n);
    if (n > 0 &&
        strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") == n &&
        !(*s >= '0' && *s <= '9'))
      lua_pushfstring(L, ".%s", s);
    else
      lua_pushfstring(L, "[\"%s\"]", s);
    break;
  case LUA_TNUMBER:
    lua_pushvalue(L, idx);
    lua_pushfstring(L, "[%s]", lua_tostring(L, -1));
    lua_remove(L, -2);
    break;
  default: lua_pushfstring(L, "[%s]", luaL_typename(L, idx));
  }
}

/* Put the step for the key at `key` (a null pointer: the thing was a key itself) before the path on
 * top. */
static void copy_prepend(lua_State *L, int key) {
  if (lua_islightuserdata(L, key) && !lua_touserdata(L, key))
    lua_pushliteral(L, ", a key");
  else
    copy_push_step(L, key);
  lua_insert(L, -2);
  lua_concat(L, 2);
}

/* Push the description of the value at `bad`, found in table `parent` (0: among the values, in
 * which case it is number `number`) under the key at `key`. */
static void copy_push_culprit(copy_Packer *P, int bad, lua_Integer parent, int key,
                              const char *what, lua_Integer number) {
  lua_State *L = P->L;
  bool is_table = lua_istable(L, bad);
  lua_pushliteral(L, "");
  for (int depth = 0; parent; depth++) {
    if (depth < COPY_PATH_DEPTH) copy_prepend(L, key);
    lua_rawgeti(L, P->tables, copy_entry(parent, COPY_KEY));
    lua_replace(L, key);
    lua_rawgeti(L, P->tables, copy_entry(parent, COPY_PARENT));
    parent = lua_tointeger(L, -1);
    lua_pop(L, 1);
    if (!parent) number = lua_tointeger(L, key);
    if (!parent && depth >= COPY_PATH_DEPTH) {
      lua_pushliteral(L, "...");
      lua_insert(L, -2);
      lua_concat(L, 2);
    }
  }
  const char *path = lua_tostring(L, -1);
  lua_pushfstring(L, "%s #%I%s%s: %s", what, (LUAI_UACINT)number, *path && *path != ',' ? ", " : "",
                  path, is_table ? "table with a metatable" : luaL_typename(L, bad));
  lua_remove(L, -2);
}

/* ---- all of it */

/* The keys and values of one table. */
static bool copy_pack_table(copy_Packer *P, lua_Integer number, const char *what) {
  lua_State *L = P->L;
  lua_rawgeti(L, P->tables, copy_entry(number, COPY_IT));
  int t = lua_gettop(L), key = t + 1;
  lua_pushnil(L);
  while (lua_next(L, t)) {
    lua_pushvalue(L, key);
    lua_pushlightuserdata(L, NULL);
    lua_insert(L, -2);
    bool sent = copy_put_value(P, number, 0);
    if (!sent) {
      copy_push_culprit(P, lua_gettop(L), number, lua_gettop(L) - 1, what, 0);
      return false;
    }
    lua_pop(L, 2);
    if (!copy_put_value(P, number, key)) {
      copy_push_culprit(P, key + 1, number, key, what, 0);
      return false;
    }
    lua_pop(L, 1);
  }
  copy_put_tagged(P, COPY_END, NULL, 0);
  lua_settop(L, t - 1);
  return true;
}

static bool copy_pack_all(copy_Packer *P, int first, int n, const char *what, int number) {
  lua_State *L = P->L;
  copy_put(P, &n, sizeof n);
  for (int i = 0; i < n; i++) {
    lua_pushinteger(L, number + i); /* the "key" of a value is its number */
    lua_pushvalue(L, first + i);
    if (!copy_put_value(P, 0, lua_gettop(L) - 1)) {
      copy_push_culprit(P, lua_gettop(L), 0, 0, what, number + i);
      return false;
    }
    lua_pop(L, 2);
  }
  for (lua_Integer i = 1; i <= P->count; i++)
    if (!copy_pack_table(P, i, what)) return false;
  return true;
}

bool asy_copy_pack(lua_State *L, asy_Parcel *parcel, int first, int n, const char *what,
                   int number) {
  luaL_checkstack(L, LUA_MINSTACK, NULL);
  int top = lua_gettop(L);
  copy_Packer P = {L, parcel, top + 1, top + 2, 0};
  lua_newtable(L);
  lua_newtable(L);
  bool sent = copy_pack_all(&P, first, n, what, number);
  if (!sent) lua_replace(L, top + 1);
  lua_settop(L, sent ? top : top + 1);
  return sent;
}

/* ---- unpacking */

static const char *copy_get(const char *at, void *out, size_t n) {
  memcpy(out, at, n);
  return at + n;
}

/* Push table `number`, which is made when it is first met. */
static void copy_push_table(lua_State *L, int tables, lua_Integer number) {
  if (lua_rawgeti(L, tables, number) == LUA_TTABLE) return;
  lua_pop(L, 1);
  lua_newtable(L);
  lua_pushvalue(L, -1);
  lua_rawseti(L, tables, number);
}

/* Push the value that lies at `at`; returns where the next one lies. NULL, and nothing pushed, for
 * an END. */
static const char *copy_push_value(lua_State *L, const char *at, int tables) {
  lua_Integer i;
  lua_Number x;
  size_t n;
  switch ((copy_Tag)*at++) {
  case COPY_END: return NULL;
  case COPY_NIL: lua_pushnil(L); break;
  case COPY_FALSE: lua_pushboolean(L, false); break;
  case COPY_TRUE: lua_pushboolean(L, true); break;
  case COPY_INTEGER:
    at = copy_get(at, &i, sizeof i);
    lua_pushinteger(L, i);
    break;
  case COPY_FLOAT:
    at = copy_get(at, &x, sizeof x);
    lua_pushnumber(L, x);
    break;
  case COPY_STRING:
    at = copy_get(at, &n, sizeof n);
    lua_pushlstring(L, at, n);
    return at + n;
  case COPY_TABLE:
    at = copy_get(at, &i, sizeof i);
    copy_push_table(L, tables, i);
    break;
  }
  return at;
}

int asy_copy_unpack(lua_State *L, const asy_Parcel *parcel) {
  int n;
  const char *at = copy_get(parcel->bytes, &n, sizeof n), *end = parcel->bytes + parcel->count;
  luaL_checkstack(L, n + LUA_MINSTACK, "too many values");
  lua_newtable(L);
  int tables = lua_gettop(L);
  for (int i = 0; i < n; i++)
    at = copy_push_value(L, at, tables);
  for (lua_Integer number = 1; at < end; number++) {
    const char *next;
    copy_push_table(L, tables, number);
    while ((next = copy_push_value(L, at, tables)) != NULL) {
      at = copy_push_value(L, next, tables);
      lua_rawset(L, -3);
    }
    at++; /* the END */
    lua_pop(L, 1);
  }
  lua_remove(L, tables);
  return n;
}

void asy_copy_clear(asy_Parcel *parcel) {
  asy_free(parcel->bytes);
  memset(parcel, 0, sizeof *parcel);
}
