/* SPDX-License-Identifier: MIT */
/* asyncio.c - the functions of asyncio.h. */
#include "asyncio.h"

#include "loop.h"
#include "pin.h"
#include "remote.h"
#include "state.h"

#define ASYNCIO_ALL_FLAGS                                                          \
  (ASYNCIO_VIRTUAL_CLOCK | ASYNCIO_DEBUG | ASYNCIO_SCRIPT | ASYNCIO_KEEP_SIGPIPE | \
   ASYNCIO_ALLOW_THREADS | ASYNCIO_ALLOW_CHILDREN | ASYNCIO_ALLOW_FILES | ASYNCIO_ALLOW_STDIO)

static asy_Loop *asyncio_inner(asyncio_Loop *loop) {
  return (asy_Loop *)(void *)loop;
}

int luaopen_asyncio_core(lua_State *L) {
  asy_pin_library();
  asy_state_open(L);
  return 1;
}

/* [1] = uv_loop_t, [2] = flags -> light userdata of the loop */
static int asyncio_open_protected(lua_State *L) {
  uv_loop_t *uv = lua_touserdata(L, 1);
  unsigned flags = (unsigned)lua_tointeger(L, 2);
  if (uv && (flags & (ASYNCIO_VIRTUAL_CLOCK | ASYNCIO_SCRIPT)))
    return luaL_error(L, "a loop that the host runs has a real clock, and does not run at a wait");
  luaL_requiref(L, "asyncio.core", luaopen_asyncio_core, 0);
  luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
  lua_pushvalue(L, -2);
  lua_setfield(L, -2, "asyncio");
  asy_State *S = asy_state_from_registry(L);
  unsigned inner = flags & ASYNCIO_ALL_FLAGS; /* the bits of asy_LoopFlags */
  asy_Loop *loop = asy_loop_new(L, S, uv, inner);
  lua_pushvalue(L, -1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, loop); /* held until asyncio_close */
  asy_loop_give_to_host(loop);
  asy_loop_set_current(L, S, lua_gettop(L));
  lua_pushlightuserdata(L, loop);
  return 1;
}

asyncio_Loop *asyncio_open(lua_State *L, struct uv_loop_s *uv, unsigned flags) {
  if (!lua_checkstack(L, LUA_MINSTACK)) return NULL;
  lua_pushcfunction(L, asyncio_open_protected);
  lua_pushlightuserdata(L, uv);
  lua_pushinteger(L, (lua_Integer)flags);
  if (lua_pcall(L, 2, 1, 0) != LUA_OK) return NULL;
  asyncio_Loop *loop = lua_touserdata(L, -1);
  lua_pop(L, 1);
  return loop;
}

int asyncio_poll(asyncio_Loop *loop, double budget) {
  asy_Loop *inner = asyncio_inner(loop);
  if (inner->closed || inner->hosted) return -1;
  return asy_loop_poll(inner, budget);
}

double asyncio_timeout(asyncio_Loop *loop) {
  asy_Loop *inner = asyncio_inner(loop);
  if (inner->closed) return -1;
  if (!asy_list_is_empty(&inner->ready)) return 0;
  double left = asy_timer_left(inner);
  return inner->is_virtual && left > 0 ? 0 : left;
}

static int asyncio_close_protected(lua_State *L) {
  asy_Loop *loop = lua_touserdata(L, 1);
  asy_loop_close(L, loop);
  if (loop->S->current == loop) asy_loop_set_current(L, loop->S, 0);
  lua_pushnil(L);
  lua_rawsetp(L, LUA_REGISTRYINDEX, loop);
  return 0;
}

int asyncio_close(lua_State *L, asyncio_Loop *loop) {
  if (!lua_checkstack(L, LUA_MINSTACK)) return -1;
  lua_pushcfunction(L, asyncio_close_protected);
  lua_pushlightuserdata(L, loop);
  return lua_pcall(L, 1, 0, 0) == LUA_OK ? 0 : -1;
}

static asy_Remote *asyncio_inner_remote(asyncio_Remote *remote) {
  return (asy_Remote *)(void *)remote;
}

asyncio_Remote *asyncio_remote(asyncio_Loop *loop) {
  asy_Loop *inner = asyncio_inner(loop);
  return inner->closed ? NULL : (asyncio_Remote *)(void *)asy_remote_new(inner);
}

int asyncio_call_soon_threadsafe(asyncio_Remote *remote, asyncio_Call *call, void *arg) {
  return asy_remote_call(asyncio_inner_remote(remote), call, arg) == 0 ? 0 : -1;
}

void asyncio_remote_free(asyncio_Remote *remote) {
  if (remote) asy_remote_release(asyncio_inner_remote(remote));
}
