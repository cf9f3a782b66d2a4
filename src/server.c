/* SPDX-License-Identifier: MIT */
/* server.c - see server.h.
 *
 * A server that listens is pinned: it lives although nobody refers to it. libuv's callback accepts
 * (flow.c) and queues the server's ready entry; in its turn each connection becomes a Stream and a
 * task. When there are no descriptors left it is reported, and accepting pauses for a while. A
 * server knows its clients (the group), so that wait_closed, close_clients and abort_clients find
 * them. */
#include "server.h"

#include <string.h>

#include "error.h"
#include "loop.h"
#include "socket.h"

#define SERVER_RETRY 1.0 /* seconds until accepting is tried again */

static asy_Server *server_check(lua_State *L, int arg) {
  return asy_type_check(L, asy_state(L), arg, ASY_SLOT_SERVER);
}

/* The last client has gone. */
static void server_on_empty(asy_FlowSet *group) {
  asy_Server *server = ASY_CONTAINER(group, asy_Server, group);
  if (server->closed) asy_wait_wake_all(&server->waiters, 0);
}

/* ---- a connection */

/* [1] = stream, [2] = its task, which has failed, [3] = was the stream closed before? Report it,
 * unless it is the error of a wait whose stream was closed: after close_clients, or a close() by
 * somebody else, that is how a handler ends. */
static int server_report(lua_State *L) {
  asy_Future *fut = lua_touserdata(L, 2);
  asy_State *S = fut->loop->S;
  bool was_closed = lua_toboolean(L, 3);
  asy_future_push_error(L, 2, fut);
  if (asy_error_is(L, S, 4, ASY_KEYBOARD_INTERRUPT)) return 0; /* whoever runs the loop raises it */
  if (was_closed && asy_error_is(L, S, 4, ASY_OS_ERROR)) {
    lua_getfield(L, 4, "errno");
    if (lua_tointeger(L, -1) == -(lua_Integer)UV_ECANCELED) return 0;
    lua_pop(L, 1);
  }
  asy_future_push_traceback(L, 2, fut);
  asy_error_report(L, fut->loop, "unhandled error in the handler of a connection", "stream", 1);
  return 0;
}

/* No task runs for the stream any more. */
static void server_let_go(lua_State *L, asy_Loop *loop, asy_Stream *s) {
  asy_resource_let_go(L, loop, s->res.kept);
  asy_resource_let_go(L, loop, s->task);
  s->res.kept = s->task = 0;
}

/* A handler has ended. While it ran its stream and its task were kept alive. */
static void server_task_done(lua_State *L, asy_Loop *loop, asy_Ready *entry) {
  asy_Stream *s = ASY_CONTAINER(entry, asy_Stream, served);
  bool was_closed = asy_flow_is_closed(s);
  lua_pushcfunction(L, server_report);
  asy_resource_push_kept(L, loop, s->res.kept);
  asy_resource_push_kept(L, loop, s->task);
  server_let_go(L, loop, s);
  asy_Future *fut = lua_touserdata(L, -1);
  if (fut->state != ASY_FINISHED) asy_flow_close(s);
  if (fut->state == ASY_FAILED) {
    lua_pushboolean(L, was_closed);
    asy_error_call(L, loop, 3, "error in the handler of a connection", NULL, 0);
  } else {
    lua_pop(L, 3);
  }
}

/* Start the task of the connection on top, which is popped. [1] = server */
static void server_start_task(lua_State *L, asy_Server *server, asy_Stream *s) {
  int stream = lua_gettop(L);
  lua_pushvalue(L, stream);
  s->res.kept = asy_resource_keep(L, server->loop);
  lua_pushboolean(L, false); /* a place for the task: once that has been started nothing may fail */
  s->task = asy_resource_keep(L, server->loop);
  lua_getiuservalue(L, 1, ASY_SERVER_HANDLER);
  lua_pushvalue(L, stream);
  lua_pushvalue(L, stream);
  asy_Task *task = asy_task_new(L, server->loop, 2);
  asy_resource_exchange(L, server->loop, s->task);
  s->served.run = server_task_done;
  asy_future_add(&task->fut, &s->served);
  lua_settop(L, stream - 1);
}

/* Push the list of sockets; the index of the server is given. Returns how many there are. */
lua_Integer asy_server_push_sockets(lua_State *L, int idx) {
  lua_getiuservalue(L, idx, ASY_SERVER_SOCKETS);
  return (lua_Integer)lua_rawlen(L, -1);
}

static asy_Stream *server_socket_at(lua_State *L, lua_Integer i) {
  lua_rawgeti(L, -1, i);
  asy_Stream *s = asy_flow_at(L, -1);
  lua_pop(L, 1);
  return s && s->state == ASY_FLOW_LISTENING ? s : NULL;
}

static void server_join(lua_State *L, asy_Server *server, asy_Stream *s) {
  asy_flow_join(s, &server->group);
  if (asy_flow_configure(s, server->limit, server->marks)) luaL_error(L, "not enough memory");
  if (s->kind != ASY_FLOW_UNIX) asy_socket_set(s, "nodelay", true);
  int err = asy_flow_read_start(s);
  if (err) s->read_error = err; /* the handler will see it */
}

/* [1] = server. Make tasks of the connections that were accepted. */
static int server_hand_out(lua_State *L) {
  asy_Server *server = lua_touserdata(L, 1);
  lua_Integer count = asy_server_push_sockets(L, 1);
  for (lua_Integer i = 1; i <= count; i++) {
    asy_Stream *listener;
    while ((listener = server_socket_at(L, i)) &&
           !asy_list_is_empty(&listener->uv.listener.accepted)) {
      server->handing = asy_socket_push_accepted(L, server->loop->S, listener);
      server_join(L, server, server->handing);
      server_start_task(L, server, server->handing);
      server->handing = NULL;
    }
  }
  return 0;
}

/* Listen to libuv, or stop that, on all sockets. [1] = server. The first libuv code, or 0. */
static int server_watch(lua_State *L, bool on) {
  int err = 0;
  lua_Integer count = asy_server_push_sockets(L, 1);
  for (lua_Integer i = 1; i <= count; i++) {
    asy_Stream *s = server_socket_at(L, i);
    if (!s) continue;
    if (!on)
      asy_flow_unwatch(s);
    else if (!err)
      err = asy_flow_watch(s);
  }
  lua_pop(L, 1);
  return err;
}

static void server_retry_due(lua_State *L, asy_Loop *loop, asy_Timer *timer) {
  (void)L;
  asy_Server *server = ASY_CONTAINER(timer, asy_Server, retry);
  if (asy_list_is_empty(&server->entry.link)) asy_ready_append(loop, &server->entry);
}

/* [1] = server. Report that accepting failed, if it did, and pause. */
static int server_check_trouble(lua_State *L) {
  asy_Server *server = lua_touserdata(L, 1);
  int err = 0;
  lua_Integer count = asy_server_push_sockets(L, 1);
  for (lua_Integer i = 1; i <= count; i++) {
    asy_Stream *s = server_socket_at(L, i);
    if (!s) continue;
    if (!err) err = s->uv.listener.error;
    s->uv.listener.error = 0;
  }
  lua_pop(L, 1);
  if (!err && !asy_timer_is_armed(&server->retry)) err = server_watch(L, true);
  if (!err) return 0;
  server_watch(L, false);
  asy_timer_reserve(L, server->loop);
  asy_timer_start(server->loop, &server->retry, asy_timer_now(server->loop) + SERVER_RETRY,
                  server_retry_due);
  asy_error_push_os(L, server->loop->S, err, "accept", NULL);
  lua_pushnil(L);
  asy_error_report(L, server->loop, "a server cannot accept connections, it will try again",
                   "server", 1);
  return 0;
}

/* Is there still something that was accepted? The server is on top. */
static bool server_has_more(lua_State *L) {
  bool more = false;
  lua_Integer count = asy_server_push_sockets(L, lua_gettop(L));
  for (lua_Integer i = 1; i <= count && !more; i++) {
    asy_Stream *s = server_socket_at(L, i);
    more = s && !asy_list_is_empty(&s->uv.listener.accepted);
  }
  lua_pop(L, 1);
  return more;
}

/* The server's turn. */
static void server_run(lua_State *L, asy_Loop *loop, asy_Ready *entry) {
  asy_Server *server = ASY_CONTAINER(entry, asy_Server, entry);
  asy_resource_push_pinned(L, loop, server);
  if (!lua_isnil(L, -1)) {
    lua_pushcfunction(L, server_hand_out);
    lua_pushvalue(L, -2);
    bool ok = asy_error_call(L, loop, 1, "a server lost a connection", NULL, 0);
    if (server->handing) { /* no task was started for it */
      server_let_go(L, loop, server->handing);
      asy_flow_abort(server->handing);
    }
    server->handing = NULL;
    if (!ok && server_has_more(L)) asy_ready_append(loop, entry);
    lua_pushcfunction(L, server_check_trouble);
    lua_pushvalue(L, -2);
    asy_error_call(L, loop, 1, "a server cannot accept connections", NULL, 0);
  }
  lua_pop(L, 1);
}

/* libuv's callback has accepted something, or failed to. */
static void server_on_arrival(asy_Stream *listener) {
  asy_Server *server = listener->uv.listener.owner;
  if (asy_list_is_empty(&server->entry.link)) asy_ready_append(server->loop, &server->entry);
}

/* ---- serving */

/* The file of a unix server goes with it, unless another one has put its own there. It blocks, as
 * briefly as a system call on a local name does. */
static void server_remove_file(lua_State *L, int idx, const asy_Server *server) {
  uv_fs_t req;
  if (lua_getiuservalue(L, idx, ASY_SERVER_PATH) == LUA_TSTRING) {
    const char *path = lua_tostring(L, -1);
    int err = uv_fs_lstat(NULL, &req, path, NULL);
    bool ours = !err && req.statbuf.st_dev == server->dev && req.statbuf.st_ino == server->ino;
    uv_fs_req_cleanup(&req);
    if (ours) uv_fs_unlink(NULL, &req, path, NULL);
    if (ours) uv_fs_req_cleanup(&req);
  }
  lua_pop(L, 1);
}

void asy_server_stop(lua_State *L, int idx) {
  asy_Server *server = lua_touserdata(L, idx);
  if (server->closed) return;
  server->closed = true;
  server->serving = false;
  asy_timer_stop(server->loop, &server->retry);
  asy_list_remove(&server->entry.link);
  if (lua_getiuservalue(L, idx, ASY_SERVER_SOCKETS) == LUA_TTABLE) {
    for (lua_Integer i = (lua_Integer)lua_rawlen(L, -1); i >= 1; i--) {
      lua_rawgeti(L, -1, i);
      asy_Stream *s = asy_flow_at(L, -1);
      if (s) asy_flow_close(s);
      lua_pop(L, 1);
    }
  }
  lua_pop(L, 1);
  server_remove_file(L, idx, server);
  asy_wait_wake_all(&server->forever, 0);
  if (server->group.count == 0) asy_wait_wake_all(&server->waiters, 0);
  if (!server->loop->closed) asy_resource_unpin(L, server->loop, server);
}

void asy_server_start(lua_State *L, int idx) {
  asy_Server *server = lua_touserdata(L, idx);
  asy_State *S = asy_state(L);
  if (server->closed) luaL_error(L, "the server is closed");
  asy_loop_check_open(L, server->loop);
  if (server->serving) return;
  lua_pushvalue(L, idx);
  asy_resource_pin(L, server->loop, server);
  server->serving = true;
  lua_getiuservalue(L, idx, ASY_SERVER_SOCKETS);
  for (lua_Integer i = 1, n = (lua_Integer)lua_rawlen(L, -1); i <= n; i++) {
    lua_rawgeti(L, -1, i);
    asy_Stream *s = asy_flow_check(L, S, lua_gettop(L));
    int err = s->state == ASY_FLOW_LISTENING ? 0 : UV_EBADF; /* it was given, and listens already */
    if (s->state == ASY_FLOW_FRESH) err = asy_flow_listen(s, server->backlog);
    if (!err) {
      s->uv.listener.owner = server;
      s->uv.listener.arrived = server_on_arrival;
      err = asy_flow_watch(s);
    }
    if (err) {
      asy_Sockaddr name;
      char text[ASY_SOCKADDR_TEXT];
      bool known = asy_socket_name(s, &name) == 0;
      const char *where = known ? asy_sockaddr_format(&name, text) : NULL;
      asy_server_stop(L, idx);
      asy_error_raise_os(L, S, err, "listen", where);
    }
    lua_pop(L, 1);
  }
  lua_pop(L, 1);
}

/***
Begin to accept connections. If the server does already, nothing happens.
@function Server:start_serving
@return nothing
@waits no
@raise OSError, with code "EADDRINUSE" if the port is used; an error if the server is closed
@usage local server <close> = asyncio.start_server(function() end, "127.0.0.1", 0, {start_serving =
false}) assert(not server:is_serving()); server:start_serving(); assert(server:is_serving())
@see asyncio-eventloop.html#asyncio.Server.start_serving
*/
static int server_start_serving(lua_State *L) {
  server_check(L, 1);
  asy_server_start(L, 1);
  return 0;
}

/***
Stop listening. Connections that were accepted are left open; `serve_forever` ends with a
CancelledError.
@function Server:close
@return nothing
@waits no
@raise argument error
@usage local server = asyncio.start_server(function() end, "127.0.0.1", 0); server:close();
assert(not server:is_serving())
@see asyncio-eventloop.html#asyncio.Server.close
*/
static int server_close(lua_State *L) {
  server_check(L, 1);
  asy_server_stop(L, 1);
  return 0;
}

static void server_leave(asy_Stream *s) {
  s->group = NULL;
}

static int server_gc(lua_State *L) {
  asy_Server *server = asy_type_test(L, asy_state(L), 1, ASY_SLOT_SERVER);
  if (!server || !server->loop) return 0;
  asy_server_stop(L, 1);
  if (server->group.count) asy_flow_each(server->loop, &server->group, server_leave);
  server->group.count = 0;
  return 0;
}

static asy_Wait *server_begin(lua_State *L, asy_State *S, asy_Server *server) {
  asy_Wait *w = asy_wait_begin(L, S);
  if (w && w->loop != server->loop) luaL_error(L, "the server belongs to another event loop");
  return w;
}

static const asy_WaitKind server_forever_wait = {"connections, as a server", NULL, true};

static int server_k_forever(lua_State *L, asy_Wait *w) {
  asy_list_remove(&w->link);
  if (asy_wait_failed(w)) {
    asy_server_stop(L, 1);
    return asy_wait_raise(L, w);
  }
  return asy_error_raise(L, w->loop->S, ASY_CANCELLED_ERROR, NULL);
}

/***
Accept connections until the task is cancelled, or the server closed. It closes the server; it does
not wait for clients that are still connected.
@function Server:serve_forever
@return never
@waits yes
@cancel closes the server and raises CancelledError, even while clients are connected
@raise CancelledError when the server is closed; an error if the server is closed already, or
another task is in this method
@usage local server = asyncio.start_server(function() end, "127.0.0.1", 0)
local task = asyncio.create_task(server.serve_forever, server); asyncio.sleep(0); task:cancel()
assert(not pcall(asyncio.await, task) and not server:is_serving())
@see asyncio-eventloop.html#asyncio.Server.serve_forever
*/
static int server_serve_forever(lua_State *L) {
  asy_State *S = asy_state(L);
  asy_Server *server = server_check(L, 1);
  asy_Wait *w = server_begin(L, S, server);
  if (!w) return asy_wait_outside(L, S);
  lua_settop(L, 1);
  if (!asy_list_is_empty(&server->forever))
    return luaL_error(L, "the server is already awaited in serve_forever");
  asy_server_start(L, 1);
  asy_list_append(&server->forever, &w->link);
  return asy_wait_park(L, w, &server_forever_wait, server, server_k_forever);
}

static const asy_WaitKind server_closed_wait = {"a server to be closed", NULL, false};

static int server_k_wait_closed(lua_State *L, asy_Wait *w);

static int server_try_wait_closed(lua_State *L, asy_Wait *w, asy_Server *server) {
  if (server->closed && server->group.count == 0) return 0;
  asy_list_append(&server->waiters, &w->link);
  return asy_wait_park(L, w, &server_closed_wait, server, server_k_wait_closed);
}

static int server_k_wait_closed(lua_State *L, asy_Wait *w) {
  asy_list_remove(&w->link);
  if (asy_wait_failed(w)) return asy_wait_raise(L, w);
  return server_try_wait_closed(L, w, lua_touserdata(L, 1));
}

/***
Wait until the server is closed and all its connections are.
@function Server:wait_closed
@return nothing
@waits yes
@cancel raises CancelledError; nothing else changes
@raise argument error
@usage local server = asyncio.start_server(function() end, "127.0.0.1", 0)
server:close() -- a graceful stop: handlers have five seconds, then their connections are cut off
if not asyncio.pcall(asyncio.timeout, 5, server.wait_closed, server) then server:abort_clients() end
@see asyncio-eventloop.html#asyncio.Server.wait_closed
*/
static int server_wait_closed(lua_State *L) {
  asy_State *S = asy_state(L);
  asy_Server *server = server_check(L, 1);
  asy_Wait *w = server_begin(L, S, server);
  if (!w) return asy_wait_outside(L, S);
  lua_settop(L, 1);
  return server_try_wait_closed(L, w, server);
}

/* ---- clients, and what there is to know */

static int server_each_client(lua_State *L, void (*end)(asy_Stream *s)) {
  asy_Server *server = server_check(L, 1);
  asy_flow_each(server->loop, &server->group, end);
  return 0;
}

/***
Close all connections that the server has accepted, as `stream:close()` does: what was written is
still sent.
@function Server:close_clients
@return nothing
@waits no
@raise argument error
@usage local server <close> = asyncio.start_server(function() end, "127.0.0.1", 0);
server:close_clients()
@see asyncio-eventloop.html#asyncio.Server.close_clients
*/
static int server_clients_close(lua_State *L) {
  return server_each_client(L, asy_flow_close);
}

/***
Close all connections that the server has accepted at once; what was written and is not sent is
thrown away. A handler that waits for its stream gets an OSError; one that waits for something else
goes on.
@function Server:abort_clients
@return nothing
@waits no
@raise argument error
@usage local server <close> = asyncio.start_server(function() end, "127.0.0.1", 0);
server:abort_clients()
@see asyncio-eventloop.html#asyncio.Server.abort_clients
*/
static int server_clients_abort(lua_State *L) {
  return server_each_client(L, asy_flow_abort);
}

/***
The sockets on which the server listens.
@function Server:sockets
@treturn table list of Streams; empty when the server is closed
@waits no
@raise argument error
@usage local server <close> = asyncio.start_server(function() end, "127.0.0.1", 0);
assert(#server:sockets() == 1)
@see asyncio-eventloop.html#asyncio.Server.sockets
*/
static int server_sockets(lua_State *L) {
  asy_Server *server = server_check(L, 1);
  lua_settop(L, 1);
  lua_Integer count = server->closed ? 0 : asy_server_push_sockets(L, 1);
  lua_createtable(L, (int)count, 0);
  for (lua_Integer i = 1; i <= count; i++) {
    lua_rawgeti(L, 2, i);
    lua_rawseti(L, -2, i);
  }
  return 1;
}

/***
Whether the server accepts connections.
@function Server:is_serving
@treturn boolean
@waits no
@raise argument error
@usage local server <close> = asyncio.start_server(function() end, "127.0.0.1", 0);
assert(server:is_serving())
@see asyncio-eventloop.html#asyncio.Server.is_serving
*/
static int server_is_serving(lua_State *L) {
  asy_Server *server = server_check(L, 1);
  lua_pushboolean(L, server->serving && !server->loop->closed);
  return 1;
}

/***
The server's event loop.
@function Server:get_loop
@treturn Loop
@waits no
@raise argument error
@usage local server <close> = asyncio.start_server(function() end, "127.0.0.1", 0)
assert(server:get_loop() == asyncio.get_running_loop())
@see asyncio-eventloop.html#asyncio.Server.get_loop
*/
static int server_get_loop(lua_State *L) {
  server_check(L, 1);
  lua_getiuservalue(L, 1, ASY_SERVER_LOOP);
  return 1;
}

static int server_tostring(lua_State *L) {
  asy_Server *server = server_check(L, 1);
  lua_pushfstring(L, "<asyncio.Server %p [%s, clients:%I]>", (const void *)server,
                  server->closed    ? "closed"
                  : server->serving ? "serving"
                                    : "not serving",
                  (LUAI_UACINT)server->group.count);
  return 1;
}

asy_Server *asy_server_new(lua_State *L, asy_Loop *loop, int handler) {
  asy_Server *server = asy_type_create(L, loop->S, ASY_SLOT_SERVER, sizeof *server, ASY_SERVER_UVS);
  server->group.on_empty = server_on_empty;
  asy_list_init(&server->waiters);
  asy_list_init(&server->forever);
  asy_ready_init(&server->entry, server_run);
  server->loop = loop;
  asy_loop_push(L, loop);
  lua_setiuservalue(L, -2, ASY_SERVER_LOOP);
  lua_newtable(L);
  lua_setiuservalue(L, -2, ASY_SERVER_SOCKETS);
  lua_pushvalue(L, handler);
  lua_setiuservalue(L, -2, ASY_SERVER_HANDLER);
  return server;
}

void asy_server_open(lua_State *L, asy_State *S) {
  static const luaL_Reg methods[] = {{"start_serving", server_start_serving},
                                     {"serve_forever", server_serve_forever},
                                     {"close", server_close},
                                     {"wait_closed", server_wait_closed},
                                     {"close_clients", server_clients_close},
                                     {"abort_clients", server_clients_abort},
                                     {"sockets", server_sockets},
                                     {"is_serving", server_is_serving},
                                     {"get_loop", server_get_loop},
                                     {"__tostring", server_tostring},
                                     {"__close", server_close},
                                     {"__gc", server_gc},
                                     {NULL, NULL}};
  asy_type_new(L, S, ASY_SLOT_SERVER, "asyncio.Server", methods);
}
