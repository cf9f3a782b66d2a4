/* SPDX-License-Identifier: MIT */
/* arena.c - see arena.h. A loop's arena is the first of its resources, so that it is found without
 * a look-up; it is made when the first stream reads and freed when the loop closes. */
#include "arena.h"

#include <string.h>

#define ARENA_SIZE ((size_t)128 * 1024)
#define ARENA_PIECE ((size_t)64 * 1024) /* the most that is read at once */
#define ARENA_LEAST ((size_t)16 * 1024) /* with less room than this the arena is emptied first */

/* glibc gives the top of the heap back to the system whenever 128 KiB of it are free, which large
 * received strings do all the time, and takes it again, page fault by page fault. Freeing a block
 * of this size once makes it wait for twice as much: what 500 connections with messages of 16 KiB
 * have on their way. */
#define ARENA_WARM_UP ((size_t)8 * 1024 * 1024)

typedef struct arena_Arena {
  asy_Closer closer; /* in asy_Loop.resources, always at its front */
  asy_List lent;     /* asy_Input.lent: whose bytes lie here */
  size_t used;       /* free is what lies behind */
  unsigned full;     /* the poll (asy_Loop.polls) in which it became full */
  char bytes[ARENA_SIZE];
} arena_Arena;

/* The loop closes: what nobody has read is gone. */
static void arena_close(asy_Closer *closer) {
  arena_Arena *arena = ASY_CONTAINER(closer, arena_Arena, closer);
  asy_list_remove(&closer->link);
  for (asy_Link *link; (link = asy_list_take(&arena->lent));) {
    asy_Input *input = ASY_CONTAINER(link, asy_Input, lent);
    input->buffer = (asy_Buffer){NULL, NULL, 0, 0};
  }
  asy_free(arena);
}

static arena_Arena *arena_of(asy_Loop *loop) {
  asy_Link *link = asy_list_first(&loop->resources);
  asy_Closer *closer = link ? ASY_CONTAINER(link, asy_Closer, link) : NULL;
  return closer && closer->close == arena_close ? ASY_CONTAINER(closer, arena_Arena, closer) : NULL;
}

int asy_arena_prepare(asy_Loop *loop) {
  if (arena_of(loop)) return 0;
  asy_free(asy_malloc(ARENA_WARM_UP));
  arena_Arena *arena = asy_malloc(sizeof *arena); /* untouched pages of it cost nothing */
  if (!arena) return UV_ENOMEM;
  asy_list_init(&arena->lent);
  arena->full = loop->polls - 1;
  arena->used = 0;
  arena->closer.close = arena_close;
  asy_list_prepend(&loop->resources, &arena->closer.link);
  return 0;
}

static int arena_grow(asy_Input *input, size_t n) {
  size_t size = asy_buffer_next_size(&input->buffer, n);
  char *block = size ? asy_malloc(size) : NULL;
  if (!block) return UV_ENOMEM;
  asy_free(asy_buffer_move(&input->buffer, block, size));
  asy_list_remove(&input->lent);
  return 0;
}

/* Move what lies in the arena out of it; without memory for that it stays. */
static void arena_empty(arena_Arena *arena) {
  asy_List stay;
  asy_list_init(&stay);
  for (asy_Link *link; (link = asy_list_first(&arena->lent));) {
    if (arena_grow(ASY_CONTAINER(link, asy_Input, lent), 0) == 0) continue;
    asy_list_remove(link);
    asy_list_append(&stay, link);
  }
  asy_list_join(&arena->lent, &stay);
}

void asy_arena_alloc(asy_Loop *loop, uv_buf_t *buf) {
  arena_Arena *arena = arena_of(loop);
  if (asy_list_is_empty(&arena->lent)) arena->used = 0;
  if (ARENA_SIZE - arena->used < ARENA_LEAST) {
    if (arena->used < ARENA_SIZE) { /* for the first time in this poll */
      arena->used = ARENA_SIZE;
      arena->full = loop->polls;
    }
    if (arena->full == loop->polls) { /* the others wait for the next poll: by then the readers have
                                         run, as a rule */
      *buf = uv_buf_init(NULL, 0);
      return;
    }
    arena_empty(arena);
    if (asy_list_is_empty(&arena->lent)) arena->used = 0;
  }
  size_t room = ARENA_SIZE - arena->used;
  *buf =
      uv_buf_init(arena->bytes + arena->used, (unsigned)(room < ARENA_PIECE ? room : ARENA_PIECE));
}

int asy_arena_receive(asy_Loop *loop, asy_Input *input, char *data, size_t n) {
  asy_Buffer *b = &input->buffer;
  arena_Arena *arena = arena_of(loop);
  if (b->count == 0) {
    asy_buffer_lend(b, data, n);
    asy_list_append(&arena->lent, &input->lent);
  } else if (asy_buffer_is_lent(b) && b->at + b->count == data) {
    b->count += n; /* right behind what came before, in the same poll */
  } else {
    return asy_input_append(input, data, n);
  }
  arena->used = (size_t)(data - arena->bytes) + n;
  return 0;
}

int asy_input_append(asy_Input *input, const char *data, size_t n) {
  if (!asy_buffer_has_room(&input->buffer, n)) {
    int err = arena_grow(input, n);
    if (err) return err;
  }
  asy_buffer_append(&input->buffer, data, n);
  return 0;
}

void asy_input_take(asy_Input *input, size_t n) {
  asy_buffer_take(&input->buffer, n);
  if (input->buffer.count) return;
  asy_list_remove(&input->lent);
  asy_free(input->buffer.block);
  input->buffer = (asy_Buffer){NULL, NULL, 0, 0};
}
