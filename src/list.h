/* SPDX-License-Identifier: MIT */
/* list.h - an intrusive, circular, doubly linked list.
 *
 * A record that can be on a list embeds an asy_Link; the list itself is one link, its head.
 * Appending, removing and joining two lists take constant time and never allocate. A link that is
 * on no list points to itself, so that removing it again does nothing: whoever cancels need not
 * know whether somebody else was faster. */
#ifndef ASY_LIST_H
#define ASY_LIST_H

#include <stdbool.h>
#include <stddef.h>

typedef struct asy_Link {
  struct asy_Link *next, *prev;
} asy_Link;

typedef asy_Link asy_List; /* the head */

/* the record of type `type` that embeds `ptr` as its field `field` */
#define ASY_CONTAINER(ptr, type, field) ((type *)(void *)((char *)(ptr)-offsetof(type, field)))

static inline void asy_list_init(asy_Link *link) {
  link->next = link->prev = link;
}

/* true for a head without records, and for a link that is on no list */
static inline bool asy_list_is_empty(const asy_Link *link) {
  return link->next == link;
}

static inline void asy_list_append(asy_List *list, asy_Link *link) {
  link->prev = list->prev;
  link->next = list;
  list->prev->next = link;
  list->prev = link;
}

static inline void asy_list_prepend(asy_List *list, asy_Link *link) {
  asy_list_append(list->next, link);
}

static inline void asy_list_remove(asy_Link *link) {
  link->prev->next = link->next;
  link->next->prev = link->prev;
  link->next = link->prev = link;
}

/* the first link, or NULL */
static inline asy_Link *asy_list_first(const asy_List *list) {
  return list->next == list ? NULL : list->next;
}

/* the link after `link`, or NULL at the end */
static inline asy_Link *asy_list_next(const asy_List *list, const asy_Link *link) {
  return link->next == list ? NULL : link->next;
}

/* take the first link off the list; NULL when it is empty */
static inline asy_Link *asy_list_take(asy_List *list) {
  asy_Link *link = asy_list_first(list);
  if (link) asy_list_remove(link);
  return link;
}

/* take all links off the list */
static inline void asy_list_clear(asy_List *list) {
  while (asy_list_take(list))
    continue;
}

/* move all records of `from` behind those of `list`; `from` is empty then */
static inline void asy_list_join(asy_List *list, asy_List *from) {
  if (asy_list_is_empty(from)) return;
  from->next->prev = list->prev;
  from->prev->next = list;
  list->prev->next = from->next;
  list->prev = from->prev;
  asy_list_init(from);
}

#endif
