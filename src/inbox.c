/* SPDX-License-Identifier: MIT */
/* inbox.c - see inbox.h. The mutex guards everything in it; uv_async_send is called under it, so
 * that nobody sends to an async that is being closed. */
#include "inbox.h"

struct asy_Inbox {
  uv_mutex_t mutex;
  asy_List posted;   /* asy_Ready.link */
  uv_async_t *async; /* NULL once the loop is closed */
  int holders;
};

asy_Inbox *asy_inbox_new(uv_async_t *async) {
  asy_Inbox *inbox = asy_malloc(sizeof *inbox);
  if (!inbox) return NULL;
  if (uv_mutex_init(&inbox->mutex) != 0) {
    asy_free(inbox);
    return NULL;
  }
  asy_list_init(&inbox->posted);
  inbox->async = async;
  inbox->holders = 1;
  return inbox;
}

void asy_inbox_hold(asy_Inbox *inbox) {
  uv_mutex_lock(&inbox->mutex);
  inbox->holders++;
  uv_mutex_unlock(&inbox->mutex);
}

void asy_inbox_release(asy_Inbox *inbox) {
  if (!inbox) return;
  uv_mutex_lock(&inbox->mutex);
  bool last = --inbox->holders == 0;
  uv_mutex_unlock(&inbox->mutex);
  if (!last) return;
  uv_mutex_destroy(&inbox->mutex);
  asy_free(inbox);
}

bool asy_inbox_post(asy_Inbox *inbox, asy_Ready *entry) {
  uv_mutex_lock(&inbox->mutex);
  bool open = inbox->async != NULL;
  if (open) {
    asy_list_append(&inbox->posted, &entry->link);
    uv_async_send(inbox->async);
  }
  uv_mutex_unlock(&inbox->mutex);
  return open;
}

void asy_inbox_drain(asy_Inbox *inbox, asy_Loop *loop) {
  uv_mutex_lock(&inbox->mutex);
  if (!asy_list_is_empty(&inbox->posted)) asy_ready_join(loop, &inbox->posted);
  uv_mutex_unlock(&inbox->mutex);
}

void asy_inbox_close(asy_Inbox *inbox) {
  uv_mutex_lock(&inbox->mutex);
  inbox->async = NULL;
  asy_list_clear(&inbox->posted);
  uv_mutex_unlock(&inbox->mutex);
}
