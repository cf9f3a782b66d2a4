/* SPDX-License-Identifier: MIT */
#include <stdlib.h>

#include "buffer.h"
#include "check.h"

/* What the owner of a buffer does: room first, then the bytes. */
static void put(asy_Buffer *b, const char *text) {
  size_t n = strlen(text);
  if (!asy_buffer_has_room(b, n)) {
    size_t size = asy_buffer_next_size(b, n);
    free(asy_buffer_move(b, malloc(size), size));
  }
  asy_buffer_append(b, text, n);
}

static int holds(const asy_Buffer *b, const char *text) {
  return b->count == strlen(text) && (b->count == 0 || memcmp(b->at, text, b->count) == 0);
}

static void test_append_take(Check *t) {
  asy_Buffer b = {0};
  check(t, !asy_buffer_has_room(&b, 0));
  put(&b, "hello");
  put(&b, " world");
  check(t, holds(&b, "hello world"));
  check_int(t, b.size, ASY_BUFFER_LEAST);
  asy_buffer_take(&b, 6);
  check(t, holds(&b, "world"));
  asy_buffer_take(&b, 5);
  check(t, holds(&b, ""));
  check(t, b.at == b.block);
  put(&b, "again");
  check(t, holds(&b, "again"));
  free(b.block);
}

static void test_moves_to_the_front_before_it_grows(Check *t) {
  asy_Buffer b = {0};
  char text[ASY_BUFFER_LEAST + 1];
  memset(text, 'x', sizeof text - 1);
  text[sizeof text - 1] = 0;
  put(&b, text);
  char *block = b.block;
  asy_buffer_take(&b, ASY_BUFFER_LEAST - 3);
  put(&b, "0123456789");
  check(t, b.block == block);
  check(t, holds(&b, "xxx0123456789"));
  free(b.block);
}

static void test_grows(Check *t) {
  asy_Buffer b = {0};
  size_t total = 0, moves = 0;
  for (int i = 0; i < 5000; i++) {
    char *before = b.block;
    char text[32];
    sprintf(text, "%d,", i);
    put(&b, text);
    total += strlen(text);
    moves += before != b.block;
  }
  check_int(t, b.count, total);
  check(t, moves < 12);
  for (int i = 0; i < 5000; i++) {
    char text[32];
    sprintf(text, "%d,", i);
    size_t n = strlen(text);
    if (b.count < n || memcmp(b.at, text, n) != 0) {
      check(t, !"the bytes come out as they went in");
      break;
    }
    asy_buffer_take(&b, n);
  }
  check_int(t, b.count, 0);
  free(b.block);
}

static void test_sizes_that_do_not_exist(Check *t) {
  asy_Buffer b = {0};
  check_int(t, asy_buffer_next_size(&b, (size_t)-1), 0);
  b.count = 100;
  check_int(t, asy_buffer_next_size(&b, (size_t)-1 / 2), 0);
  check_int(t, asy_buffer_next_size(&b, 1000), 1100);
  check_int(t, asy_buffer_next_size(&b, 1), ASY_BUFFER_LEAST);
}

static void test_lent(Check *t) {
  asy_Buffer b = {0};
  char arena[] = "lent bytes";
  check(t, !asy_buffer_is_lent(&b));
  asy_buffer_lend(&b, arena, 10);
  check(t, asy_buffer_is_lent(&b));
  check(t, !asy_buffer_has_room(&b, 1));
  asy_buffer_take(&b, 5);
  check(t, holds(&b, "bytes"));
  put(&b, " and own ones");
  check(t, !asy_buffer_is_lent(&b));
  memset(arena, '?', sizeof arena);
  check(t, holds(&b, "bytes and own ones"));
  free(b.block);

  asy_Buffer c = {0};
  asy_buffer_lend(&c, arena, 3);
  asy_buffer_take(&c, 3);
  check(t, !asy_buffer_is_lent(&c));
  check(t, c.at == NULL);
}

static void test_find(Check *t) {
  asy_Buffer b = {0};
  put(&b, "one\r\ntwo\rthree\r\n");
  check_int(t, asy_buffer_find(&b, "\r\n", 2, 0), 3);
  check_int(t, asy_buffer_find(&b, "\r\n", 2, 3), 3);
  check_int(t, asy_buffer_find(&b, "\r\n", 2, 4), 14);
  check_int(t, asy_buffer_find(&b, "\r\n", 2, 15), ASY_BUFFER_NONE);
  check_int(t, asy_buffer_find(&b, "\r\n", 2, 1000), ASY_BUFFER_NONE);
  check_int(t, asy_buffer_find(&b, "o", 1, 0), 0);
  check_int(t, asy_buffer_find(&b, "one\r\ntwo\rthree\r\n", 16, 0), 0);
  check_int(t, asy_buffer_find(&b, "one\r\ntwo\rthree\r\n.", 17, 0), ASY_BUFFER_NONE);
  asy_buffer_take(&b, 5);
  check_int(t, asy_buffer_find(&b, "\r\n", 2, 0), 9);
  asy_buffer_take(&b, b.count);
  check_int(t, asy_buffer_find(&b, "\n", 1, 0), ASY_BUFFER_NONE);
  free(b.block);
}

static void test_find_in_repeats(Check *t) {
  asy_Buffer b = {0};
  put(&b, "aaaaaaab");
  check_int(t, asy_buffer_find(&b, "aab", 3, 0), 5);
  check_int(t, asy_buffer_find(&b, "aac", 3, 0), ASY_BUFFER_NONE);
  free(b.block);
}

CHECK_MAIN({"append and take", test_append_take},
           {"moves to the front before it grows", test_moves_to_the_front_before_it_grows},
           {"grows by doubling", test_grows},
           {"sizes that do not exist", test_sizes_that_do_not_exist}, {"lent bytes", test_lent},
           {"find", test_find}, {"find in repeats", test_find_in_repeats})
