/* SPDX-License-Identifier: MIT */
/* pair.c - see pair.h. What is written on one side is fed to the other one at once, while that
 * reads; else it waits, in carried.chunk of the writing side, until the other side reads again. */
#include "pair.h"

#include "loop.h"
#include "option.h"

/* After so many bytes it is asked again whether the other side still reads. */
#define PAIR_PIECE ((size_t)64 * 1024)

static int pair_try_write(asy_Stream *s, const char *data, size_t n) {
  asy_Stream *other = s->uv.carried.other;
  size_t sent = 0;
  if (!other || asy_flow_is_closed(other)) return UV_EPIPE;
  while (other->reading && sent < n) {
    size_t piece = n - sent < PAIR_PIECE ? n - sent : PAIR_PIECE;
    if (asy_flow_feed(other, data + sent, piece)) {
      if (sent == 0) return UV_ENOMEM;
      asy_flow_feed_end(other, UV_ECONNRESET); /* half of it has arrived: the connection breaks */
      return UV_ENOBUFS;
    }
    sent += piece;
  }
  return sent ? (int)sent : UV_EAGAIN;
}

static int pair_write(asy_Stream *s, asy_Chunk *chunk) {
  if (!s->uv.carried.other) return UV_EPIPE;
  s->uv.carried.chunk = chunk;
  s->uv.carried.done = 0;
  return 0;
}

/* Take what the other side has been waiting to write. */
static int pair_read_start(asy_Stream *s) {
  asy_Stream *other;
  while (s->reading && (other = s->uv.carried.other) && other->uv.carried.chunk) {
    asy_Chunk *chunk = other->uv.carried.chunk;
    size_t *done = &other->uv.carried.done, left = chunk->sending - *done;
    size_t piece = left < PAIR_PIECE ? left : PAIR_PIECE;
    int err = asy_flow_feed(s, chunk->at + *done, piece);
    if (err) return err;
    *done += piece;
    if (*done < chunk->sending) continue;
    other->uv.carried.chunk = NULL;
    asy_flow_written(chunk, 0); /* may give the next one, shut down, or close */
  }
  return 0;
}

static void pair_read_stop(asy_Stream *s) {
  (void)s;
}

static int pair_shutdown(asy_Stream *s) {
  asy_Stream *other = s->uv.carried.other;
  if (other && !other->eof) asy_flow_feed_end(other, UV_EOF);
  return 0;
}

static void pair_close(asy_Stream *s) {
  asy_Stream *other = s->uv.carried.other;
  asy_Chunk *chunk = s->uv.carried.chunk;
  s->uv.carried.chunk = NULL;
  s->uv.carried.other = NULL;
  if (chunk) asy_flow_written(chunk, UV_ECANCELED);
  if (!other) return;
  chunk = other->uv.carried.chunk;
  other->uv.carried.chunk = NULL;
  other->uv.carried.other = NULL;
  if (!other->eof) asy_flow_feed_end(other, UV_EOF);
  if (chunk) asy_flow_written(chunk, UV_EPIPE);
}

static const asy_Carrier pair_carrier = {
    pair_read_start, pair_read_stop, pair_try_write, pair_write,
    pair_shutdown,   pair_close,     NULL,           false};

/***
Make two Streams that are connected to each other in memory, without sockets. They need a loop, but
no time: with a virtual clock (`asyncio.testing.run`) a test of a protocol is exact.
@function testing.stream_pair
@tparam[opt] table opts limit (integer, bytes: of each side's input, 65536)
@treturn Stream one end
@treturn Stream the other end
@waits no
@raise argument error
@usage local a, b = asyncio.testing.stream_pair(); a:write("hi"); assert(b:read(10) == "hi")
@see asyncio-stream.html
*/
static int pair_stream_pair(lua_State *L) {
  static const char *const names[] = {"limit", NULL};
  asy_State *S = asy_state(L);
  asy_option_check(L, 1, names);
  size_t limit = (size_t)asy_option_integer(L, 1, "limit", (lua_Integer)ASY_FLOW_LIMIT, 1,
                                            (lua_Integer)1 << 40);
  asy_Loop *loop = asy_loop_get(L, S);
  asy_Stream *ends[2];
  for (int i = 0; i < 2; i++) {
    asy_flow_box(L, S);
    ends[i] = asy_flow_carried(loop, &pair_carrier);
    if (!ends[i]) return luaL_error(L, "not enough memory");
    asy_flow_fill(L, -1, ends[i]);
    if (asy_flow_configure(ends[i], limit, ASY_FLOW_MARKS))
      return luaL_error(L, "not enough memory");
  }
  ends[0]->uv.carried.other = ends[1];
  ends[1]->uv.carried.other = ends[0];
  asy_flow_read_start(ends[0]);
  asy_flow_read_start(ends[1]);
  return 2;
}

/* package.preload["asyncio.pair"]: what asyncio.testing takes from here */
static int pair_load(lua_State *L) {
  static const luaL_Reg functions[] = {{"stream_pair", pair_stream_pair}, {NULL, NULL}};
  lua_createtable(L, 0, 1);
  asy_set_functions(L, asy_state(L), functions);
  return 1;
}

void asy_pair_open(lua_State *L, asy_State *S) {
  static const luaL_Reg loaders[] = {{"asyncio.pair", pair_load}, {NULL, NULL}};
  luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
  asy_set_functions(L, S, loaders);
  lua_pop(L, 1);
}
