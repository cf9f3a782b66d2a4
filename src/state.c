/* SPDX-License-Identifier: MIT */
/* state.c - the sum of the rooms: each is opened here, in the order of the layers, when the library
 * is opened in a Lua state. */
#include "state.h"

#include "addr.h"
#include "connect.h"
#include "context.h"
#include "describe.h"
#include "error.h"
#include "fd.h"
#include "file.h"
#include "fs.h"
#include "gather.h"
#include "handle.h"
#include "inherit.h"
#include "listen.h"
#include "locks.h"
#include "loop.h"
#include "parts.h"
#include "processes.h"
#include "queue.h"
#include "redeliver.h"
#include "request.h"
#include "resource.h"
#include "runner.h"
#include "scope.h"
#include "script.h"
#include "sendfile.h"
#include "server.h"
#include "signals.h"
#include "standard.h"
#include "stream.h"
#include "thread.h"
#include "udp.h"
#include "watch.h"
#include "wrap.h"

/* Lua's own pcall keeps `true` below the function, xpcall the function, the handler and `true`. */
static void state_add_protectors(lua_State *L, asy_State *S) {
  lua_getglobal(L, "pcall");
  if (lua_iscfunction(L, -1)) asy_add_protector(S, lua_tocfunction(L, -1), 2);
  lua_getglobal(L, "xpcall");
  if (lua_iscfunction(L, -1)) asy_add_protector(S, lua_tocfunction(L, -1), ASY_PLACE_IN_XPCALL);
  lua_pop(L, 2);
}

/* Each room registers its functions in the module table on top. */
static void state_open_rooms(lua_State *L, asy_State *S) {
  static const luaL_Reg none[] = {{NULL, NULL}};
  asy_type_new(L, S, ASY_SLOT_LOOP_TYPE, "asyncio.Loop",
               none); /* its methods come from several rooms */
  asy_error_open(L, S);
  asy_context_open(L, S);
  asy_handle_open(L, S);
  asy_future_open(L, S);
  asy_coro_open(L, S);
  asy_task_open(L, S);
  asy_wrap_open(L, S);
  asy_describe_open(L, S);
  asy_redeliver_open(L, S);
  asy_loop_open(L, S);
  asy_script_open(L, S);
  asy_runner_open(L, S);
  asy_gather_open(L, S);
  asy_scope_open(L, S);
  asy_locks_open(L, S);
  asy_queue_open(L, S);
  asy_resource_open(L, S);
  asy_addr_open(L, S);
  asy_udp_open(L, S);
  asy_stream_open(L, S);
  asy_connect_open(L, S);
  asy_server_open(L, S);
  asy_request_open(L, S);
  asy_file_open(L, S);
  asy_fs_open(L, S);
  asy_watch_open(L, S);
  asy_sendfile_open(L, S);
  asy_listen_open(L, S);
  asy_inherit_open(L, S);
  asy_disposition_open(L, S);
  asy_signals_open(L, S);
  asy_processes_open(L, S);
  asy_thread_open(L, S);
  asy_fd_open(L, S);
  asy_standard_open(L, S);
  asy_parts_open(L, S);
}

/* Before Lua 5.4.3 __close can neither wait nor replace an error. These releases cannot be told
 * apart by number, but lua_closeslot came with 5.4.3: without it the library neither compiles nor
 * loads. */
typedef void state_CloseSlot(lua_State *L, int idx);
#if defined(__GNUC__)
__attribute__((used))
#endif
static state_CloseSlot *const state_newest = lua_closeslot;

/* __index of the module: a function, a class of errors or a part that is looked at for the first
 * time. [1] module, [2] key */
static int state_index(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  if (lua_type(L, 2) != LUA_TSTRING) return 0;
  const char *name = lua_tostring(L, 2);
  asy_State *S = asy_state(L);
  if (!asy_function_push(L, S, ASY_SLOT_MODULE, name) && !asy_error_push_class(L, S, name) &&
      !asy_fs_push(L, S, name) && !asy_parts_push(L, 1, name))
    return 0;
  lua_pushvalue(L, 2);
  lua_pushvalue(L, -2);
  lua_rawset(L, 1);
  return 1;
}

static int state_next(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 2);
  if (lua_next(L, 1)) return 2;
  lua_pushnil(L);
  return 1;
}

/* Look at a field of the module at 1. */
static void state_touch(lua_State *L, const char *name) {
  lua_getfield(L, 1, name);
  lua_pop(L, 1);
}

/* __pairs of the module: with all its functions and classes. [1] module */
static int state_pairs(lua_State *L) {
  const asy_State *S = asy_state(L);
  const luaL_Reg *f;
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  for (int i = 0; (f = asy_functions_next(S, ASY_SLOT_MODULE, &i)) != NULL;)
    for (; f->name; f++)
      state_touch(L, f->name);
  for (int cls = ASY_CANCELLED_ERROR; cls <= ASY_CLASS_COUNT; cls++)
    state_touch(L, asy_error_class_name((asy_Class)cls));
  state_touch(L, "fs");
  lua_pushcfunction(L, state_next);
  lua_insert(L, 1);
  return 2;
}

/* Give the module, the table on top, its metatable. */
static void state_set_metatable(lua_State *L, asy_State *S) {
  static const luaL_Reg functions[] = {
      {"__index", state_index}, {"__pairs", state_pairs}, {NULL, NULL}};
  lua_createtable(L, 0, 2);
  asy_set_functions(L, S, functions);
  lua_setmetatable(L, -2);
}

asy_State *asy_state_open(lua_State *L) {
  asy_State *S = asy_state_from_registry(L);
  if (S && !lua_isnil(S->shelf, ASY_SLOT_MODULE)) {
    asy_shelf_push(L, S->shelf, ASY_SLOT_MODULE);
    return S;
  }
  if (!S) S = asy_state_new(L);
  S->list_count = 0; /* an attempt before this one may have failed */
  lua_createtable(L, 0, 48);
  state_add_protectors(L, S);
  state_open_rooms(L, S);
  state_set_metatable(L, S);
  lua_pushvalue(L, -1);
  asy_shelf_set(L, S->shelf, ASY_SLOT_MODULE);
  return S;
}
