/* SPDX-License-Identifier: MIT */
/* arena.h - where received bytes lie until they are read.
 *
 * libuv, or the task that waits for the bytes, reads into one block that all streams of a loop
 * share, the arena. What has arrived stays there (the stream's input borrows it), and the task that
 * reads makes its Lua string straight from it: one copy. When the arena is full, what nobody has
 * read yet is moved into buffers of its own. While every chunk is read in the turn in which it
 * came, which is the rule, the same few pages at the front of the arena are used again and again
 * and stay in the cache. */
#ifndef ASY_ARENA_H
#define ASY_ARENA_H

#include <uv.h>

#include "buffer.h"
#include "core.h"

/* What a stream has received and nobody has read yet. */
typedef struct asy_Input {
  asy_Link lent; /* in the arena's list while the bytes lie there */
  asy_Buffer buffer;
} asy_Input;

/* Make the loop's arena, if there is none. 0 or UV_ENOMEM. */
ASY_FUNC int asy_arena_prepare(asy_Loop *loop);

/* For uv_alloc_cb: a place for the next bytes; of length 0 when there is no memory. */
ASY_FUNC void asy_arena_alloc(asy_Loop *loop, uv_buf_t *buf);

static inline void asy_input_init(asy_Input *input) {
  asy_list_init(&input->lent);
  input->buffer = (asy_Buffer){NULL, NULL, 0, 0};
}

/* n bytes have arrived at the place of the last asy_arena_alloc. 0 or UV_ENOMEM: they are lost. */
ASY_FUNC int asy_arena_receive(asy_Loop *loop, asy_Input *input, char *data, size_t n);

/* Append bytes that lie elsewhere. 0 or UV_ENOMEM. */
ASY_FUNC int asy_input_append(asy_Input *input, const char *data, size_t n);

/* The first n bytes have been read. */
ASY_FUNC void asy_input_take(asy_Input *input, size_t n);

#endif
