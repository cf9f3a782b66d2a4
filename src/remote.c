/* SPDX-License-Identifier: MIT */
/* remote.c - see remote.h.
 *
 * The calls of a remote lie in its own list; its one entry is posted to the loop's inbox when the
 * list is no longer empty, or when the remote is released. In its turn the entry takes the whole
 * list, so that calls that are queued by calls run in the next turn. */
#include "remote.h"

#include <uv.h>

#include "error.h"
#include "inbox.h"
#include "loop.h"

typedef struct remote_Call {
  asy_Link link;
  asy_RemoteCall *call;
  void *arg;
} remote_Call;

struct asy_Remote {
  asy_Closer closer; /* the first five: the loop's thread only */
  asy_Ready entry;   /* posted to the inbox, or in the ready queue, while `posted` */
  asy_Loop *loop;
  asy_Inbox *inbox;
  asy_List running; /* remote_Call.link: taken for this turn */
  uv_mutex_t mutex; /* guards what follows */
  asy_List queued;  /* remote_Call.link */
  bool posted;
  bool refused;  /* no more calls: the loop closes, or the remote was released */
  bool released; /* by whoever held it */
  bool closed;   /* by the loop, which touches it no more */
};

static void remote_free(asy_Remote *remote) {
  uv_mutex_destroy(&remote->mutex);
  asy_free(remote);
}

/* Take the calls for this turn, or the last ones. True if the remote was released. */
static bool remote_take(asy_Remote *remote, bool last) {
  uv_mutex_lock(&remote->mutex);
  asy_list_join(&remote->running, &remote->queued);
  remote->posted = false;
  bool released = remote->released;
  remote->refused = last || released;
  uv_mutex_unlock(&remote->mutex);
  return released;
}

/* The loop lets go of the remote, which takes no more calls. The last holder frees it. */
static void remote_leave_loop(asy_Remote *remote) {
  asy_inbox_drain(remote->inbox, remote->loop); /* or its entry could be on others' list */
  asy_list_remove(&remote->entry.link);
  asy_list_remove(&remote->closer.link);
  asy_loop_unhold(remote->loop);
  asy_inbox_release(remote->inbox);
  uv_mutex_lock(&remote->mutex);
  remote->closed = true;
  bool released = remote->released;
  uv_mutex_unlock(&remote->mutex);
  if (released) remote_free(remote);
}

/* [1] call */
static int remote_protected(lua_State *L) {
  remote_Call *call = lua_touserdata(L, 1);
  lua_settop(L, 0);
  call->call(L, call->arg);
  return 0;
}

static void remote_run(lua_State *L, asy_Loop *loop, asy_Ready *entry) {
  asy_Remote *remote = ASY_CONTAINER(entry, asy_Remote, entry);
  asy_Link *link;
  bool released = remote_take(remote, false);
  while ((link = asy_list_take(&remote->running)) != NULL) {
    remote_Call *call = ASY_CONTAINER(link, remote_Call, link);
    lua_pushcfunction(L, remote_protected);
    lua_pushlightuserdata(L, call);
    asy_error_call(L, loop, 1, "error in a call from another thread", NULL, 0);
    asy_free(call);
  }
  if (released) remote_leave_loop(remote);
}

/* The loop closes, or the Lua state does: the calls are told so. */
static void remote_close(asy_Closer *closer) {
  asy_Remote *remote = ASY_CONTAINER(closer, asy_Remote, closer);
  asy_Link *link;
  remote_take(remote, true);
  while ((link = asy_list_take(&remote->running)) != NULL) {
    remote_Call *call = ASY_CONTAINER(link, remote_Call, link);
    call->call(NULL, call->arg);
    asy_free(call);
  }
  remote_leave_loop(remote);
}

asy_Remote *asy_remote_new(asy_Loop *loop) {
  asy_Inbox *inbox = asy_loop_inbox(loop);
  asy_Remote *remote = inbox ? asy_malloc(sizeof *remote) : NULL;
  if (!remote) return NULL;
  if (uv_mutex_init(&remote->mutex) != 0) {
    asy_free(remote);
    return NULL;
  }
  asy_inbox_hold(inbox);
  asy_loop_hold(loop);
  remote->inbox = inbox;
  remote->loop = loop;
  remote->posted = remote->refused = remote->released = remote->closed = false;
  asy_list_init(&remote->running);
  asy_list_init(&remote->queued);
  asy_ready_init(&remote->entry, remote_run);
  remote->closer.close = remote_close;
  asy_list_append(&loop->resources, &remote->closer.link);
  return remote;
}

/* The mutex is held, the loop open. */
static void remote_post(asy_Remote *remote) {
  if (remote->posted) return;
  remote->posted = true;
  asy_inbox_post(remote->inbox, &remote->entry);
}

int asy_remote_call(asy_Remote *remote, asy_RemoteCall *function, void *arg) {
  remote_Call *call = asy_malloc(sizeof *call);
  if (!call) return UV_ENOMEM;
  call->call = function;
  call->arg = arg;
  uv_mutex_lock(&remote->mutex);
  bool open = !remote->refused;
  if (open) {
    asy_list_append(&remote->queued, &call->link);
    remote_post(remote);
  }
  uv_mutex_unlock(&remote->mutex);
  if (open) return 0;
  asy_free(call);
  return UV_ECANCELED;
}

void asy_remote_release(asy_Remote *remote) {
  uv_mutex_lock(&remote->mutex);
  bool closed = remote->closed;
  remote->released = true;
  if (!remote->refused) remote_post(remote);
  uv_mutex_unlock(&remote->mutex);
  if (closed) remote_free(remote);
}
