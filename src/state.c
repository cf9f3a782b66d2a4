/* SPDX-License-Identifier: MIT */
/* state.c - the sum of the rooms: each is opened here, in the order of the layers, when the library
 * is opened in a Lua state. */
#include "state.h"

#include "addr.h"
#include "connect.h"
#include "context.h"
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
  asy_script_seal(L, S);
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

asy_State *asy_state_open(lua_State *L) {
  asy_State *S = asy_state_from_registry(L);
  if (S && !lua_isnil(S->shelf, ASY_SLOT_MODULE)) {
    asy_shelf_push(L, S->shelf, ASY_SLOT_MODULE);
    return S;
  }
  if (!S) S = asy_state_new(L);
  lua_createtable(L, 0, 96);
  state_add_protectors(L, S);
  state_open_rooms(L, S);
  lua_pushvalue(L, -1);
  asy_shelf_set(L, S->shelf, ASY_SLOT_MODULE);
  return S;
}
