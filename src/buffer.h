/* SPDX-License-Identifier: MIT */
/* buffer.h - the bytes that have been received and not yet read.
 *
 * They always lie side by side in memory, either in a block of the buffer's own or, right after
 * they were received, in a block that somebody else lends (arena.h): then `block` is NULL.
 * Appending to lent bytes needs a block first. Growing is the caller's: asy_buffer_next_size tells
 * how much he should allocate, asy_buffer_move goes over to the new block, so that nothing here
 * allocates. Taking bytes moves none; a block that has become empty is to be freed by the caller,
 * so that an idle connection costs no buffer. */
#ifndef ASY_BUFFER_H
#define ASY_BUFFER_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#define ASY_BUFFER_LEAST 256         /* bytes of the smallest block */
#define ASY_BUFFER_NONE ((size_t)-1) /* asy_buffer_find: not there */

typedef struct asy_Buffer {
  char *block;  /* memory of the buffer's own, or NULL */
  char *at;     /* the first byte; in `block`, or lent */
  size_t size;  /* of the block */
  size_t count; /* bytes there are */
} asy_Buffer;

/* Is there room for n more bytes in the block (perhaps after moving what there is to its front)? */
static inline bool asy_buffer_has_room(const asy_Buffer *b, size_t n) {
  return b->block && b->size - b->count >= n;
}

/* The size of the block that should be allocated for n more bytes: at least twice what there is; 0
 * if there is no such number. */
static inline size_t asy_buffer_next_size(const asy_Buffer *b, size_t n) {
  size_t most = (size_t)-1 / 2;
  if (n > most || b->count > most - n) return 0;
  size_t need = b->count + n, size = b->count * 2;
  if (size < ASY_BUFFER_LEAST) size = ASY_BUFFER_LEAST;
  return size < need ? need : size;
}

/* Go over to another block, whose size is at least b->count; returns the old one (may be NULL) for
 * the caller to free. */
static inline char *asy_buffer_move(asy_Buffer *b, char *block, size_t size) {
  char *old = b->block;
  if (b->count) memcpy(block, b->at, b->count);
  b->block = b->at = block;
  b->size = size;
  return old;
}

/* Append; asy_buffer_has_room(b, n) must hold. */
static inline void asy_buffer_append(asy_Buffer *b, const char *data, size_t n) {
  if ((size_t)(b->block + b->size - b->at) - b->count < n) {
    memmove(b->block, b->at, b->count);
    b->at = b->block;
  }
  memcpy(b->at + b->count, data, n);
  b->count += n;
}

/* Take bytes that somebody lends; there must be neither bytes nor a block. */
static inline void asy_buffer_lend(asy_Buffer *b, char *data, size_t n) {
  b->at = data;
  b->count = n;
}

static inline bool asy_buffer_is_lent(const asy_Buffer *b) {
  return b->count != 0 && !b->block;
}

/* The first n bytes have been read. */
static inline void asy_buffer_take(asy_Buffer *b, size_t n) {
  b->count -= n;
  b->at = b->count ? b->at + n : b->block;
}

/* Where a separator of n > 0 bytes begins, looking from byte `from` on; ASY_BUFFER_NONE if it is
 * not there. */
static inline size_t asy_buffer_find(const asy_Buffer *b, const char *sep, size_t n, size_t from) {
  while (b->count >= n && from <= b->count - n) {
    const char *hit = (const char *)memchr(b->at + from, sep[0], b->count - n + 1 - from);
    if (!hit) break;
    if (memcmp(hit, sep, n) == 0) return (size_t)(hit - b->at);
    from = (size_t)(hit - b->at) + 1;
  }
  return ASY_BUFFER_NONE;
}

#endif
