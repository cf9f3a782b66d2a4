/* SPDX-License-Identifier: MIT */
/* server.h - Server: what accepts connections, and starts a task for each.
 *
 * A server is made, given its sockets and started by the room listen. */
#ifndef ASY_SERVER_H
#define ASY_SERVER_H

#include "flow.h"

enum {
  ASY_SERVER_LOOP = 1, /* user values: the Loop */
  ASY_SERVER_HANDLER,
  ASY_SERVER_SOCKETS, /* list of Streams */
  ASY_SERVER_PATH,    /* of the file that goes when the server closes, or nil */
  ASY_SERVER_UVS = ASY_SERVER_PATH
};

typedef struct asy_Server {
  asy_Loop *loop;
  asy_FlowSet group;   /* its clients */
  asy_List waiters;    /* asy_Wait.link: wait_closed */
  asy_List forever;    /* asy_Wait.link: serve_forever, one at the most */
  asy_Ready entry;     /* queued while connections are to be handed out */
  asy_Timer retry;     /* until accepting goes on */
  asy_Stream *handing; /* the connection that is being handed out */
  size_t limit;        /* of the clients' inputs; listen.c */
  asy_Marks marks;     /* of their outputs; listen.c */
  uint64_t dev, ino;   /* which file ASY_SERVER_PATH was when it was made; listen.c */
  int backlog;         /* listen.c */
  bool serving;
  bool closed;
} asy_Server;

/* Push a new Server without sockets; the handler lies at an index. [-0, +1, m] */
ASY_FUNC asy_Server *asy_server_new(lua_State *L, asy_Loop *loop, int handler);

/* Push the list of its sockets, those that are to listen; the Server is at idx. Returns how many
 * there are. [-0, +1, -] */
ASY_FUNC lua_Integer asy_server_push_sockets(lua_State *L, int idx);

/* Listen and accept. Raises an OSError, and stops the server, if that fails. [-0, +0, v] */
ASY_FUNC void asy_server_start(lua_State *L, int idx);

/* Stop listening; clients are left alone. Allocates nothing. [-0, +0, -] */
ASY_FUNC void asy_server_stop(lua_State *L, int idx);

ASY_FUNC void asy_server_open(lua_State *L, asy_State *S);

#endif
