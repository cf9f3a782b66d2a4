/* SPDX-License-Identifier: MIT */
/* reader.c - see reader.h.
 *
 * Each way of reading is a function reader_try_x, which looks at what has come in and gives the
 * result, or an error, or parks the task until there is more; its continuation calls it again.
 * Nothing is taken from the input before the Lua values for it are made: who fails, or is
 * cancelled, has lost no byte.
 *
 * One read*, or any number of recv, may wait at a time; recv are served in the order in which they
 * came. */
#include "reader.h"

#include <string.h>

#include "error.h"
#include "udp.h"

#define READER_ALL ((size_t)-1) /* asy_Stream.need: nothing but the end is enough */

static const asy_WaitKind reader_wait = {"data from a stream", NULL, true};
static const asy_WaitKind reader_recv_wait = {"data from a socket", NULL, true};

/* ---- what all have in common */

/* May this task read now? op is the name of the method. */
static void reader_check(lua_State *L, asy_State *S, asy_Stream *s, asy_Wait *w, const char *op) {
  asy_flow_check_open(L, S, s, w->loop, op);
  if (s->state != ASY_FLOW_OPEN) asy_flow_raise(L, S, s, UV_ENOTCONN, op);
  asy_Link *link = asy_list_first(&s->readers);
  if (!link) return;
  bool both_recv =
      strcmp(op, "recv") == 0 && ASY_CONTAINER(link, asy_Wait, link)->kind == &reader_recv_wait;
  if (!both_recv) luaL_error(L, "%s: another task is reading from this stream", op);
}

typedef int reader_Try(lua_State *L, asy_Wait *w, asy_Stream *s);

/* Wait for so many bytes in all; k, like the caller, is to try. */
static int reader_park(lua_State *L, asy_Wait *w, asy_Stream *s, size_t need, reader_Try *retry,
                       asy_Cont *k) {
  asy_list_append(&s->readers, &w->link);
  int err = asy_flow_need(s, need);
  if (!err && !asy_flow_is_ready(s))
    return asy_wait_park(L, w, &reader_wait, lua_touserdata(L, 1), k);
  asy_list_remove(&w->link);
  return err ? asy_flow_raise(L, w->loop->S, s, err, "read") : retry(L, w, s);
}

/* Nothing more will come, for another reason than the end of the stream: raise it. */
static void reader_check_failed(lua_State *L, asy_State *S, asy_Stream *s, const char *op) {
  if (s->read_error) asy_flow_raise(L, S, s, s->read_error, op);
  if (asy_flow_is_closed(s)) asy_flow_raise(L, S, s, UV_ECANCELED, op);
}

/* Push the first n bytes of the input, and take them. */
static int reader_push(lua_State *L, asy_Stream *s, size_t n) {
  lua_pushlstring(L, s->input.buffer.at, n);
  asy_flow_take(s, n);
  return 1;
}

/* How a continuation begins. */
static asy_Stream *reader_resumed(lua_State *L, asy_Wait *w) {
  asy_Stream *s = asy_flow_resumed(L, w);
  asy_flow_pull(s);
  return s;
}

/* ---- read(n): what there is */

static int reader_k_some(lua_State *L, asy_Wait *w);

/* [2] = n */
static int reader_try_some(lua_State *L, asy_Wait *w, asy_Stream *s) {
  size_t n = (size_t)lua_tointeger(L, 2), count = s->input.buffer.count;
  if (n == 0) {
    lua_pushliteral(L, "");
    return 1;
  }
  if (count) return reader_push(L, s, count < n ? count : n);
  if (s->eof) {
    lua_pushnil(L);
    return 1;
  }
  reader_check_failed(L, w->loop->S, s, "read");
  return reader_park(L, w, s, 1, reader_try_some, reader_k_some);
}

static int reader_k_some(lua_State *L, asy_Wait *w) {
  return reader_try_some(L, w, reader_resumed(L, w));
}

/* ---- read(), read(-1), read("a"): all until the end */

static int reader_k_all(lua_State *L, asy_Wait *w);

/* [2] = "a" if an empty rest is "", else it is nil */
static int reader_try_all(lua_State *L, asy_Wait *w, asy_Stream *s) {
  if (s->eof) {
    if (s->input.buffer.count || lua_type(L, 2) == LUA_TSTRING)
      return reader_push(L, s, s->input.buffer.count);
    lua_pushnil(L);
    return 1;
  }
  reader_check_failed(L, w->loop->S, s, "read");
  return reader_park(L, w, s, READER_ALL, reader_try_all, reader_k_all);
}

static int reader_k_all(lua_State *L, asy_Wait *w) {
  return reader_try_all(L, w, reader_resumed(L, w));
}

/* ---- readexactly(n) */

static int reader_k_exactly(lua_State *L, asy_Wait *w);

/* The stream has ended too early: raise IncompleteReadError with what there was. expected < 0: not
 * known. */
static int reader_raise_incomplete(lua_State *L, asy_State *S, asy_Stream *s,
                                   lua_Integer expected) {
  size_t count = s->input.buffer.count;
  if (expected < 0)
    asy_error_push(L, S, ASY_INCOMPLETE_READ_ERROR, "%I bytes read, then the stream ended",
                   (LUAI_UACINT)count);
  else
    asy_error_push(L, S, ASY_INCOMPLETE_READ_ERROR, "%I bytes read on a total of %I expected bytes",
                   (LUAI_UACINT)count, (LUAI_UACINT)expected);
  if (expected >= 0) {
    lua_pushinteger(L, expected);
    lua_setfield(L, -2, "expected");
  }
  lua_pushlstring(L, s->input.buffer.at, count);
  lua_setfield(L, -2, "partial");
  asy_flow_take(s, count);
  return lua_error(L);
}

/* [2] = n */
static int reader_try_exactly(lua_State *L, asy_Wait *w, asy_Stream *s) {
  size_t n = (size_t)lua_tointeger(L, 2);
  if (s->input.buffer.count >= n) return reader_push(L, s, n);
  if (s->eof) return reader_raise_incomplete(L, w->loop->S, s, (lua_Integer)n);
  reader_check_failed(L, w->loop->S, s, "readexactly");
  return reader_park(L, w, s, n, reader_try_exactly, reader_k_exactly);
}

static int reader_k_exactly(lua_State *L, asy_Wait *w) {
  return reader_try_exactly(L, w, reader_resumed(L, w));
}

/***
Read exactly n bytes.
@function Stream:readexactly
@tparam integer n how many bytes, at least 0
@treturn string
@waits yes
@cancel raises CancelledError; no byte is lost
@raise argument error; IncompleteReadError (fields partial, expected) if the stream ends before;
OSError; an error if another task is reading
@usage local a, b = asyncio.testing.stream_pair(); b:write("head"); assert(a:readexactly(4) ==
"head")
@see asyncio-stream.html#asyncio.StreamReader.readexactly
*/
static int reader_readexactly(lua_State *L) {
  asy_State *S = asy_state(L);
  asy_Stream *s = asy_flow_check(L, S, 1);
  luaL_argcheck(L, luaL_checkinteger(L, 2) >= 0, 2, "negative number of bytes");
  asy_Wait *w = asy_wait_begin(L, S);
  if (!w) return asy_wait_outside(L, S);
  lua_settop(L, 2);
  reader_check(L, S, s, w, "readexactly");
  return reader_try_exactly(L, w, s);
}

/* ---- readuntil(separator), lines */

/* Where the first separator of those at indices first..top ends and begins; false if there is none.
 * Of two that end together the shorter one counts, as in asyncio. */
static bool reader_find(lua_State *L, const asy_Stream *s, int first, size_t from, size_t *start,
                        size_t *end) {
  bool found = false;
  for (int i = first; i <= lua_gettop(L); i++) {
    size_t n, at;
    const char *sep = lua_tolstring(L, i, &n);
    at = asy_buffer_find(&s->input.buffer, sep, n, from);
    if (at == ASY_BUFFER_NONE) continue;
    if (found && (at + n > *end || (at + n == *end && at <= *start))) continue;
    found = true;
    *start = at;
    *end = at + n;
  }
  return found;
}

static int reader_raise_overrun(lua_State *L, asy_State *S, const char *text, size_t consumed) {
  asy_error_push(L, S, ASY_LIMIT_OVERRUN_ERROR, "%s", text);
  lua_pushinteger(L, (lua_Integer)consumed);
  lua_setfield(L, -2, "consumed");
  return lua_error(L);
}

static size_t reader_longest(lua_State *L, int first) {
  size_t most = 0;
  for (int i = first; i <= lua_gettop(L); i++)
    if (lua_rawlen(L, i) > most) most = (size_t)lua_rawlen(L, i);
  return most;
}

typedef enum reader_Search { READER_FOUND, READER_MORE, READER_LONG, READER_END } reader_Search;

/* Look for a separator. [2] = where to begin; the separators are at first..top.
 * FOUND: it begins at *start and ends at *end. LONG: it is not within the limit; *start bytes are
 * before it or were looked at. */
static reader_Search reader_search(lua_State *L, asy_Stream *s, int first, size_t *start,
                                   size_t *end) {
  size_t count = s->input.buffer.count, longest = reader_longest(L, first);
  *end = 0;
  if (reader_find(L, s, first, (size_t)lua_tointeger(L, 2), start, end))
    return *start > asy_flow_get_limit(s) ? READER_LONG : READER_FOUND;
  *start = count + 1 > longest ? count + 1 - longest : 0;
  if (*start > asy_flow_get_limit(s)) return READER_LONG;
  lua_pushinteger(L, (lua_Integer)*start); /* a separator may have begun behind this */
  lua_replace(L, 2);
  return s->eof ? READER_END : READER_MORE;
}

static int reader_k_until(lua_State *L, asy_Wait *w);

static int reader_try_until(lua_State *L, asy_Wait *w, asy_Stream *s) {
  size_t start, end;
  switch (reader_search(L, s, 3, &start, &end)) {
  case READER_FOUND: return reader_push(L, s, end);
  case READER_LONG:
    return reader_raise_overrun(L, w->loop->S,
                                end ? "separator is found, but chunk is longer than limit"
                                    : "separator is not found, and chunk exceeds the limit",
                                start);
  case READER_END: return reader_raise_incomplete(L, w->loop->S, s, -1);
  case READER_MORE: break;
  }
  reader_check_failed(L, w->loop->S, s, "readuntil");
  return reader_park(L, w, s, s->input.buffer.count + 1, reader_try_until, reader_k_until);
}

static int reader_k_until(lua_State *L, asy_Wait *w) {
  return reader_try_until(L, w, reader_resumed(L, w));
}

/* Put 0, where to begin, at index 2, and the separators, a string or a list of strings, behind it.
 */
static void reader_spread_separators(lua_State *L) {
  if (lua_isnil(L, 2)) {
    lua_pushliteral(L, "\n");
  } else if (lua_istable(L, 2)) {
    lua_Unsigned count = lua_rawlen(L, 2);
    luaL_argcheck(L, count > 0 && count <= 100, 2, "list of 1 to 100 separators expected");
    luaL_checkstack(L, (int)count + LUA_MINSTACK, NULL);
    for (lua_Unsigned i = 1; i <= count; i++)
      lua_rawgeti(L, 2, (lua_Integer)i);
  } else {
    luaL_checkstring(L, 2);
    lua_pushvalue(L, 2);
  }
  for (int i = 3; i <= lua_gettop(L); i++) {
    luaL_argcheck(L, lua_type(L, i) == LUA_TSTRING, 2, "separators must be strings");
    luaL_argcheck(L, lua_rawlen(L, i) > 0, 2, "empty separator");
  }
  lua_pushinteger(L, 0);
  lua_replace(L, 2);
}

/***
Read until a separator, which belongs to the result.
@function Stream:readuntil
@tparam[opt="\n"] string|table separator or a list of separators: the one that ends first counts
@treturn string
@waits yes
@cancel raises CancelledError; no byte is lost
@raise argument error; IncompleteReadError (field partial) if the stream ends before;
LimitOverrunError (field consumed) if there is no separator within the stream's limit, what has come
stays to be read; OSError; an error if another task is reading
@usage local a, b = asyncio.testing.stream_pair()
b:write("key: value\r\n")
assert(a:readuntil(": ") == "key: ")
@see asyncio-stream.html#asyncio.StreamReader.readuntil
*/
static int reader_readuntil(lua_State *L) {
  asy_State *S = asy_state(L);
  asy_Stream *s = asy_flow_check(L, S, 1);
  if (!lua_isnoneornil(L, 2) && !lua_istable(L, 2)) luaL_checkstring(L, 2);
  asy_Wait *w = asy_wait_begin(L, S);
  if (!w) return asy_wait_outside(L, S);
  lua_settop(L, 2);
  reader_spread_separators(L);
  reader_check(L, S, s, w, "readuntil");
  return reader_try_until(L, w, s);
}

/* ---- readline(), read("l"), read("L") */

static int reader_k_line(lua_State *L, asy_Wait *w);

/* Push the line of so many bytes, and take them. [3] = keep the newline? */
static int reader_push_line(lua_State *L, asy_Stream *s, size_t n) {
  size_t shown = n;
  if (!lua_toboolean(L, 3) && n && s->input.buffer.at[n - 1] == '\n') shown--;
  lua_pushlstring(L, s->input.buffer.at, shown);
  asy_flow_take(s, n);
  return 1;
}

/* [2] = where to begin, [3] = keep, [4] = "\n" */
static int reader_try_line(lua_State *L, asy_Wait *w, asy_Stream *s) {
  size_t start, end;
  switch (reader_search(L, s, 4, &start, &end)) {
  case READER_FOUND: return reader_push_line(L, s, end);
  case READER_LONG: /* as in asyncio, the line is gone, as far as it has come */
    asy_flow_take(s, end ? end : s->input.buffer.count);
    return reader_raise_overrun(L, w->loop->S, "line is longer than limit", start);
  case READER_END:
    if (s->input.buffer.count) return reader_push_line(L, s, s->input.buffer.count);
    lua_pushnil(L);
    return 1;
  case READER_MORE: break;
  }
  reader_check_failed(L, w->loop->S, s, "readline");
  return reader_park(L, w, s, s->input.buffer.count + 1, reader_try_line, reader_k_line);
}

static int reader_k_line(lua_State *L, asy_Wait *w) {
  return reader_try_line(L, w, reader_resumed(L, w));
}

static int reader_line(lua_State *L, asy_Wait *w, asy_Stream *s, bool keep) {
  lua_settop(L, 1);
  lua_pushinteger(L, 0);
  lua_pushboolean(L, keep);
  lua_pushliteral(L, "\n");
  return reader_try_line(L, w, s);
}

/***
Read a line with its newline. The last line may have none.
@function Stream:readline
@treturn string|nil nil at the end of the stream
@waits yes
@cancel raises CancelledError; no byte is lost
@raise LimitOverrunError if the line is longer than the stream's limit: it is dropped; OSError; an
error if another task is reading
@usage local a, b = asyncio.testing.stream_pair(); b:write("one\ntwo\n"); assert(a:readline() ==
"one\n")
@see asyncio-stream.html#asyncio.StreamReader.readline
*/
static int reader_readline(lua_State *L) {
  asy_State *S = asy_state(L);
  asy_Stream *s = asy_flow_check(L, S, 1);
  asy_Wait *w = asy_wait_begin(L, S);
  if (!w) return asy_wait_outside(L, S);
  reader_check(L, S, s, w, "readline");
  return reader_line(L, w, s, true);
}

/* ---- read */

typedef enum reader_Format {
  READER_SOME,
  READER_REST,
  READER_LINE,
  READER_LINE_KEPT
} reader_Format;

/* What read() or lines() is asked for at arg: a number of bytes, a format, or nothing. */
static reader_Format reader_check_format(lua_State *L, int arg) {
  if (lua_isnoneornil(L, arg)) return READER_REST;
  if (lua_type(L, arg) == LUA_TNUMBER)
    return luaL_checkinteger(L, arg) < 0 ? READER_REST : READER_SOME;
  if (lua_type(L, arg) != LUA_TSTRING) luaL_typeerror(L, arg, "integer or format");
  const char *format = lua_tostring(L, arg);
  if (*format == '*') format++; /* as Lua 5.1 wrote it; Lua still takes it */
  if (strcmp(format, "l") == 0) return READER_LINE;
  if (strcmp(format, "L") == 0) return READER_LINE_KEPT;
  if (strcmp(format, "a") != 0)
    luaL_argerror(L, arg, "invalid format (\"l\", \"L\", \"a\" or a number expected)");
  return READER_REST;
}

/* [1] = stream, [2] = format */
static int reader_read_format(lua_State *L, asy_Wait *w, asy_Stream *s, reader_Format format) {
  reader_check(L, w->loop->S, s, w, "read");
  switch (format) {
  case READER_SOME: return reader_try_some(L, w, s);
  case READER_REST: return reader_try_all(L, w, s);
  default: return reader_line(L, w, s, format == READER_LINE_KEPT);
  }
}

/***
Read from the stream.
@function Stream:read
@tparam[opt=-1] integer|string n at least one and at most n bytes: what there is; -1 all until the
end; 0 gives `""`; or a format of Lua's: `"l"` a line without its newline, `"L"` with it, `"a"` all
until the end
@treturn string|nil nil at the end of the stream; `""` for `"a"`
@waits yes
@cancel raises CancelledError; no byte is lost
@raise argument error; OSError; LimitOverrunError for a line that is longer than the limit; an error
if another task is reading
@usage local a, b = asyncio.testing.stream_pair(); b:write("hello"); assert(a:read(100) == "hello")
@see asyncio-stream.html#asyncio.StreamReader.read
*/
static int reader_read(lua_State *L) {
  asy_State *S = asy_state(L);
  asy_Stream *s = asy_flow_check(L, S, 1);
  reader_Format format = reader_check_format(L, 2);
  asy_Wait *w = asy_wait_begin(L, S);
  if (!w) return asy_wait_outside(L, S);
  lua_settop(L, 2);
  return reader_read_format(L, w, s, format);
}

/* The iterator of lines(): a closure of the State, the stream and the format. */
static int reader_next_line(lua_State *L) {
  asy_State *S = asy_state(L);
  asy_Wait *w = asy_wait_begin(L, S);
  if (!w) return asy_wait_outside(L, S);
  lua_settop(L, 0);
  lua_pushvalue(L, lua_upvalueindex(2));
  lua_pushvalue(L, lua_upvalueindex(3));
  asy_Stream *s = asy_flow_check(L, S, 1);
  return reader_read_format(L, w, s, reader_check_format(L, 2));
}

/***
Iterate over the lines, until the stream ends. The iterator waits.
@function Stream:lines
@tparam[opt="l"] integer|string format `"l"` lines without newline, `"L"` with it, or a number of
bytes at most
@return an iterator
@waits no
@raise argument error
@usage local a, b = asyncio.testing.stream_pair(); b:write("one\ntwo\n"); b:close()
local n = 0; for line in a:lines() do n = n + #line end; assert(n == 6)
@see asyncio-stream.html#asyncio.StreamReader
*/
static int reader_lines(lua_State *L) {
  asy_flow_check(L, asy_state(L), 1);
  lua_settop(L, 2);
  if (lua_isnil(L, 2)) {
    lua_pushliteral(L, "l");
    lua_replace(L, 2);
  }
  reader_Format format = reader_check_format(L, 2);
  luaL_argcheck(L, format != READER_REST, 2, "\"l\", \"L\" or a positive number expected");
  luaL_argcheck(L, format != READER_SOME || lua_tointeger(L, 2) > 0, 2,
                "\"l\", \"L\" or a positive number expected");
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_insert(L, 1);
  lua_pushcclosure(L, reader_next_line, 3);
  return 1;
}

/***
Whether the stream has ended, or was closed here, and nothing is left to be read.
@function Stream:at_eof
@treturn boolean
@waits no
@raise argument error
@usage local a, b = asyncio.testing.stream_pair(); b:close(); assert(a:read() == nil and
a:at_eof())
@see asyncio-stream.html#asyncio.StreamReader.at_eof
*/
static int reader_at_eof(lua_State *L) {
  asy_Stream *s = asy_flow_check(L, asy_state(L), 1);
  lua_pushboolean(L, (s->eof || s->closing) && s->input.buffer.count == 0);
  return 1;
}

/* ---- recv */

static int reader_k_recv(lua_State *L, asy_Wait *w);

/* [2] = n. `again`: it has waited before, and is still the first. */
static int reader_try_recv(lua_State *L, asy_Wait *w, asy_Stream *s, bool again) {
  size_t count = s->input.buffer.count;
  bool alone = asy_list_is_empty(&s->readers);
  if (count && (alone || again)) {
    size_t n = (size_t)lua_tointeger(L, 2);
    return reader_push(L, s, count < n ? count : n);
  }
  if (s->eof && (alone || again)) {
    lua_pushnil(L);
    return 1;
  }
  if (!count) reader_check_failed(L, w->loop->S, s, "recv");
  (again ? asy_list_prepend : asy_list_append)(&s->readers, &w->link);
  int err = asy_flow_need(s, 1);
  if (!err && (!alone || !asy_flow_is_ready(s)))
    return asy_wait_park(L, w, &reader_recv_wait, lua_touserdata(L, 1), reader_k_recv);
  asy_list_remove(&w->link);
  return err ? asy_flow_raise(L, w->loop->S, s, err, "recv") : reader_try_recv(L, w, s, again);
}

/* The next one in the queue is woken first, so that he has his turn even if this one fails; if
 * there is nothing left then, he waits on, still the first. */
static int reader_k_recv(lua_State *L, asy_Wait *w) {
  asy_Stream *s = asy_flow_at(L, 1);
  asy_list_remove(&w->link);
  if (s && !asy_wait_failed(w)) asy_flow_pull(s);
  if (s) asy_flow_hand_on(s);
  return reader_try_recv(L, w, asy_flow_resumed(L, w), true);
}

/* self: where the Stream is; 2 for a method of Loop. */
static int reader_recv_at(lua_State *L, int self) {
  asy_State *S = asy_state(L);
  asy_Loop *loop = self == 2 ? asy_check_loop(L, S, 1) : NULL;
  asy_Stream *s = asy_flow_check(L, S, self);
  lua_Integer n = luaL_checkinteger(L, self + 1);
  luaL_argcheck(L, n >= 0, self + 1, "negative number of bytes");
  asy_Wait *w = asy_wait_begin(L, S);
  if (!w) return asy_wait_outside(L, S);
  if (loop && loop != w->loop) return luaL_error(L, "this is not the running event loop");
  lua_settop(L, self + 1);
  if (loop) lua_remove(L, 1);
  reader_check(L, S, s, w, "recv");
  if (n == 0) {
    lua_pushliteral(L, "");
    return 1;
  }
  return reader_try_recv(L, w, s, false);
}

/***
Receive at least one and at most n bytes. Tasks that wait are served in the order in which they
came.
@function Stream:recv
@tparam integer n the most bytes; 0 gives `""`
@treturn string|nil nil when the peer has ended its side
@waits yes
@cancel raises CancelledError; no byte is lost
@raise argument error; OSError; an error if another task is in a `read` of this stream
@usage local a, b = asyncio.testing.stream_pair(); b:sendall("hello"); assert(a:recv(4) == "hell")
@see asyncio-eventloop.html#asyncio.loop.sock_recv
*/
static int reader_recv(lua_State *L) {
  return reader_recv_at(L, 1);
}

/***
The same as `sock:recv(n)`.
@function Loop:sock_recv
@tparam Stream|DatagramSocket sock a connected socket
@tparam integer n the most bytes; 0 gives `""`
@treturn string|nil nil when the peer has ended its side; a datagram may be empty
@waits yes
@cancel raises CancelledError; no byte is lost
@raise argument error; OSError; an error if another task is in a `read` of this stream
@usage local a, b = asyncio.testing.stream_pair(); b:sendall("hello")
assert(asyncio.get_running_loop():sock_recv(a, 100) == "hello")
@see asyncio-eventloop.html#asyncio.loop.sock_recv
*/
static int reader_sock_recv(lua_State *L) {
  asy_State *S = asy_state(L);
  if (!asy_udp_is(L, S, 2)) return reader_recv_at(L, 2);
  asy_Loop *loop = asy_check_loop(L, S, 1);
  luaL_argcheck(L, luaL_checkinteger(L, 3) >= 0, 3, "negative number of bytes");
  asy_Wait *w = asy_wait_begin(L, S);
  if (!w) return asy_wait_outside(L, S);
  if (loop != w->loop) return luaL_error(L, "this is not the running event loop");
  lua_remove(L, 1);
  return asy_udp_recv(L, w);
}

void asy_reader_open(lua_State *L, asy_State *S) {
  static const luaL_Reg methods[] = {{"read", reader_read},
                                     {"readline", reader_readline},
                                     {"readexactly", reader_readexactly},
                                     {"readuntil", reader_readuntil},
                                     {"lines", reader_lines},
                                     {"at_eof", reader_at_eof},
                                     {"recv", reader_recv},
                                     {NULL, NULL}};
  static const luaL_Reg loop_methods[] = {{"sock_recv", reader_sock_recv}, {NULL, NULL}};
  asy_type_add(L, S, ASY_SLOT_STREAM, methods);
  asy_type_add(L, S, ASY_SLOT_LOOP_TYPE, loop_methods);
}
