/* SPDX-License-Identifier: MIT */
/* standard.c - see standard.h. A loop has one Stream for each of the three, which is pinned: what
 * it has read ahead belongs to whoever asks for it next. */
#include "standard.h"

#include "blocking.h"
#include "error.h"
#include "loop.h"
#include "option.h"
#include "port.h"

/* Their addresses are the keys of the pins. */
static const char standard_names[3][8] = {"stdin", "stdout", "stderr"};

/* The carrier that fits. */
static const asy_Carrier *standard_carrier(const asy_Port *p) {
  bool slow = p->kind == ASY_PORT_TERMINAL || p->kind == ASY_PORT_PIPE;
  if (p->kind == ASY_PORT_FILE && p->output) return asy_port_file();
  return p->kind == ASY_PORT_FILE || (slow && p->shared) ? asy_blocking_carrier()
                                                         : asy_port_polled();
}

/* 0 or a libuv code */
static int standard_begin(asy_Loop *loop, int number, asy_Stream **out) {
  asy_Port *p;
  int err = asy_port_new(loop, number, &p);
  if (err) return err;
  asy_Stream *s = asy_flow_carried(loop, standard_carrier(p));
  if (s) s->uv.carried.name = standard_names[number];
  if (s) s->uv.carried.fd = number;
  err = s ? asy_port_begin(p, s) : UV_ENOMEM;
  if (!err) {
    *out = s;
    return 0;
  }
  asy_port_free(p);
  if (!s) return err;
  s->uv.carried.carrier = NULL; /* it has nothing to close */
  asy_flow_release(s);
  return err;
}

/* Push the Stream, made if the loop has none. [-0, +1, v] */
static asy_Stream *standard_push(lua_State *L, asy_Loop *loop, int number) {
  const char *key = standard_names[number];
  asy_Stream *s = NULL;
  asy_resource_push_pinned(L, loop, key);
  if (!lua_isnil(L, -1)) s = asy_flow_at(L, -1);
  if (s && !asy_flow_is_closed(s)) return s;
  lua_pop(L, 1);
  asy_flow_box(L, loop->S);
  lua_pushvalue(L, -1);
  asy_resource_pin(L, loop, key);
  int err = standard_begin(loop, number, &s);
  if (err) {
    asy_resource_unpin(L, loop, key);
    asy_error_raise_os(L, loop->S, err, "open", key);
  }
  asy_flow_fill(L, -1, s);
  return s;
}

static int standard_get(lua_State *L, int number) {
  static const char *const names[] = {"limit", NULL};
  asy_State *S = asy_state(L);
  asy_option_check(L, 1, names);
  lua_Integer limit = asy_option_integer(L, 1, "limit", 0, 1, (lua_Integer)1 << 40);
  asy_Loop *loop = asy_loop_get(L, S);
  if (!loop->allows_stdio) /* opened from C, and the host has not said so */
    return luaL_error(L, "%s: the host keeps its standard streams for itself",
                      standard_names[number]);
  asy_Stream *s = standard_push(L, loop, number);
  if (limit && asy_flow_configure(s, (size_t)limit, asy_flow_get_marks(s)))
    return luaL_error(L, "not enough memory");
  return 1;
}

/***
The standard input as a Stream, whether it is a terminal, a pipe, a socket or a file. A loop has
one: each call gives the same, until it is closed. What it has read ahead is not seen by `io.read`;
what is left when it or the loop is closed is there for the next one. It is read only while somebody
waits for input: what nobody asks for is left to others. Closing leaves descriptor 0 open.
@function stdin
@tparam[opt] table opts limit (integer, bytes: the longest line, and half of what is read ahead,
65536)
@treturn Stream
@waits no
@raise argument error; OSError, with code "EBADF" if descriptor 0 is closed
@usage local input = asyncio.stdin(); assert(input == asyncio.stdin())
@see asyncio-eventloop.html#asyncio.loop.connect_read_pipe
*/
static int standard_stdin(lua_State *L) {
  return standard_get(L, 0);
}

/***
The standard output as a Stream. What `print` has written before comes out before. What was written
goes out also if the script ends before: by its end, `os.exit` in the same thread, or an error.
Closing leaves descriptor 1 open.
@function stdout
@tparam[opt] table opts limit (integer, bytes; see stdin)
@treturn Stream
@waits no
@raise argument error; OSError, with code "EBADF" if descriptor 1 is closed
@usage asyncio.stdout():write("hello\n")
@see asyncio-eventloop.html#asyncio.loop.connect_write_pipe
*/
static int standard_stdout(lua_State *L) {
  return standard_get(L, 1);
}

/***
The standard error as a Stream; as `stdout`.
@function stderr
@tparam[opt] table opts limit (integer, bytes; see stdin)
@treturn Stream
@waits no
@raise argument error; OSError, with code "EBADF" if descriptor 2 is closed
@usage local err = asyncio.stderr(); err:write(""); err:drain()
@see asyncio-eventloop.html#asyncio.loop.connect_write_pipe
*/
static int standard_stderr(lua_State *L) {
  return standard_get(L, 2);
}

/* ---- terminals */

/* The port of the Stream at 1 if it is one over a terminal; else NULL. */
static asy_Port *standard_terminal(lua_State *L, asy_State *S, const char *op) {
  asy_Stream *s = asy_flow_check(L, S, 1);
  asy_flow_check_open(L, S, s, NULL, op);
  const asy_Carrier *carrier = asy_flow_carrier(s);
  bool has_port = carrier && (carrier == asy_port_polled() || carrier == asy_port_file() ||
                              carrier == asy_blocking_carrier());
  asy_Port *p = has_port ? s->uv.carried.other : NULL;
  return p && p->kind == ASY_PORT_TERMINAL ? p : NULL;
}

/***
Whether this is a stream over a terminal.
@function Stream:isatty
@treturn boolean
@waits no
@raise argument error; OSError if the stream is closed
@usage local a = asyncio.testing.stream_pair(); assert(not a:isatty())
@see https://docs.python.org/3/library/io.html#io.IOBase.isatty
*/
static int standard_isatty(lua_State *L) {
  lua_pushboolean(L, standard_terminal(L, asy_state(L), "isatty") != NULL);
  return 1;
}

/***
Set the mode of the terminal. It is given back when the stream or the loop is closed, at the end of
the script, by `os.exit`, an error, or a signal that ends or stops the process.
@function Stream:set_mode
@tparam string mode "raw": every key comes at once, is not shown, and makes no signal; "cbreak": the
same, but Ctrl-C and the like still make signals; "noecho": lines as usual, but not shown, for
passwords; "normal": as it was. Output is processed as before
@return nothing
@waits no
@raise argument error; OSError with code "ENOTTY" if this is no terminal, "EBUSY" if another one has
another mode
@usage local input = asyncio.stdin()
if input:isatty() then input:set_mode("raw"); input:close() end
@see https://docs.python.org/3/library/tty.html
*/
static int standard_set_mode(lua_State *L) {
  static const char *const modes[] = {"normal", "noecho", "cbreak", "raw", NULL};
  asy_State *S = asy_state(L);
  asy_Stream *s = asy_flow_check(L, S, 1);
  asy_TerminalMode mode = (asy_TerminalMode)luaL_checkoption(L, 2, NULL, modes);
  asy_Port *p = standard_terminal(L, S, "set_mode");
  int err = p ? asy_terminal_set(&p->mode, p->fd, mode) : UV_ENOTTY;
  return err ? asy_flow_raise(L, S, s, err, "set_mode") : 0;
}

/***
The size of the terminal. The signal "SIGWINCH" comes when it changes.
@function Stream:winsize
@treturn integer columns
@treturn integer rows
@waits no
@raise OSError with code "ENOTTY" if this is no terminal
@usage local out = asyncio.stdout(); if out:isatty() then local columns, rows = out:winsize() end
@see https://docs.python.org/3/library/os.html#os.get_terminal_size
*/
static int standard_winsize(lua_State *L) {
  asy_State *S = asy_state(L);
  asy_Stream *s = asy_flow_check(L, S, 1);
  asy_Port *p = standard_terminal(L, S, "winsize");
  int columns = 0, rows = 0;
  int err = p ? asy_terminal_size(p->fd, &columns, &rows) : UV_ENOTTY;
  if (err) return asy_flow_raise(L, S, s, err, "winsize");
  lua_pushinteger(L, columns);
  lua_pushinteger(L, rows);
  return 2;
}

void asy_standard_open(lua_State *L, asy_State *S) {
  static const luaL_Reg functions[] = {{"stdin", standard_stdin},
                                       {"stdout", standard_stdout},
                                       {"stderr", standard_stderr},
                                       {NULL, NULL}};
  static const luaL_Reg methods[] = {{"isatty", standard_isatty},
                                     {"set_mode", standard_set_mode},
                                     {"winsize", standard_winsize},
                                     {NULL, NULL}};
  asy_add_functions(L, S, functions);
  asy_type_add(L, S, ASY_SLOT_STREAM, methods);
}
