/* SPDX-License-Identifier: MIT */
/* resource.h - what libuv and a Lua object both see: a handle or a request in progress.
 *
 * Such a record comes from asy_malloc, because libuv may see it after lua_close; the Lua object, if
 * there is one, has just a pointer to it. It is freed when both have let go: the object is
 * finalized, and libuv has called the callback of uv_close. A record is on its loop's list of
 * resources while it is open, so that closing the loop, or lua_close, closes it; `loop` is NULL
 * from then on, and a callback that comes later touches nothing but the record itself.
 *
 * Besides: pins, the Lua objects that must stay alive although only libuv will wake them, such as a
 * server that listens; they have a key or a number. */
#ifndef ASY_RESOURCE_H
#define ASY_RESOURCE_H

#include "ready.h"

/* The parties that hold a record. */
enum { ASY_HELD_BY_LUA = 1, ASY_HELD_BY_UV = 2 };

/* First member of each record. */
typedef struct asy_Resource {
  asy_Closer closer; /* `close` is the room's function; it ends with asy_resource_detach */
  asy_Loop *loop;    /* NULL once it is closed */
  uint8_t holders;   /* ASY_HELD_BY_* */
  int kept;          /* the number with which the Lua object is kept alive, or 0 */
} asy_Resource;

/* A new record, open, with nobody holding it yet. */
static inline void asy_resource_init(asy_Resource *res, asy_Loop *loop,
                                     void (*close)(asy_Closer *)) {
  res->closer.close = close;
  res->loop = loop;
  res->holders = 0;
  res->kept = 0;
  asy_list_append(&loop->resources, &res->closer.link);
}

/* The record is closed: its loop forgets it. */
static inline void asy_resource_detach(asy_Resource *res) {
  asy_list_remove(&res->closer.link);
  res->loop = NULL;
}

static inline void asy_resource_hold(asy_Resource *res, int who) {
  res->holders |= (uint8_t)who;
}

/* True if that was the last holder of a closed record: the caller frees it. */
static inline bool asy_resource_release(asy_Resource *res, int who) {
  res->holders &= (uint8_t)~who;
  return res->holders == 0 && !res->loop;
}

/* Push a new userdata of a type with n user values, for an object that has a record. An error while
 * the Lua state closes: nobody would finalize it. [-0, +1, v] */
ASY_FUNC void *asy_resource_box(lua_State *L, asy_State *S, asy_Slot slot, size_t size, int nuv);

/* Pop an object and keep it alive under a key until it is unpinned, or the loop is gone. [-1, +0,
 * m] */
ASY_FUNC void asy_resource_pin(lua_State *L, asy_Loop *loop, const void *key);

/* Push the object that is pinned under the key, or nil. [-0, +1, -] */
ASY_FUNC void asy_resource_push_pinned(lua_State *L, asy_Loop *loop, const void *key);

/* [-0, +0, -] */
ASY_FUNC void asy_resource_unpin(lua_State *L, asy_Loop *loop, const void *key);

/* Of what there may be very many a number takes less memory than a key. */

/* Pop a value, which is not nil, and keep it alive until it is let go, or the loop is gone. Returns
 * its number. [-1, +0, m] */
ASY_FUNC int asy_resource_keep(lua_State *L, asy_Loop *loop);

/* Pop a value and keep it instead of the one that has the number. [-1, +0, -] */
ASY_FUNC void asy_resource_exchange(lua_State *L, asy_Loop *loop, int number);

/* Push the value that has the number. [-0, +1, -] */
ASY_FUNC void asy_resource_push_kept(lua_State *L, asy_Loop *loop, int number);

/* Let go of the value that has the number; 0: of none. [-0, +0, -] */
ASY_FUNC void asy_resource_let_go(lua_State *L, asy_Loop *loop, int number);

ASY_FUNC void asy_resource_open(lua_State *L, asy_State *S);

#endif
