/* SPDX-License-Identifier: MIT */
/* fileread.c - see fileread.h.
 *
 * Each format looks at what the buffer holds behind `taken`; it gives its value and moves `taken`
 * on, or wants more to be read. Only when all formats have their value are the bytes taken out of
 * the buffer: who fails, or is cancelled, has lost no byte. */
#include "fileread.h"

#include <string.h>

#include "error.h"

#define FILEREAD_FORMATS 200 /* of one call, at the most */
#define FILEREAD_FEW 8       /* values for which a C function's stack has room */
#define FILEREAD_DIGITS 200  /* characters of the longest numeral, as in Lua */

/* What came of a format: its value is on the stack; there is none; or so much more is wanted. */
typedef enum fileread_Result { FILEREAD_DONE, FILEREAD_NONE, FILEREAD_MORE } fileread_Result;

/* What the buffer holds for the formats that are left. */
typedef struct fileread_View {
  asy_File *f;
  const char *at;
  size_t count;
  size_t want; /* with MORE: bytes to be read, at least 1 */
  bool ended;  /* the end of the file is behind them */
} fileread_View;

static fileread_Result fileread_more(fileread_View *v, size_t want) {
  v->want = want;
  return FILEREAD_MORE;
}

/* Push n bytes, without what is behind the first `shown`. */
static fileread_Result fileread_give(lua_State *L, fileread_View *v, size_t n, size_t shown) {
  lua_pushlstring(L, v->at, shown);
  v->f->taken += n;
  return FILEREAD_DONE;
}

/* ---- the formats */

static fileread_Result fileread_bytes(lua_State *L, fileread_View *v, size_t n) {
  if (v->count == 0 && v->ended) return FILEREAD_NONE;
  if (n == 0 && v->count) return fileread_give(L, v, 0, 0);
  if (v->count < n && !v->ended) return fileread_more(v, n - v->count);
  if (n == 0) return fileread_more(v, 1);
  return fileread_give(L, v, v->count < n ? v->count : n, v->count < n ? v->count : n);
}

static fileread_Result fileread_all(lua_State *L, fileread_View *v) {
  if (!v->ended) return fileread_more(v, v->count); /* twice as much each time */
  return fileread_give(L, v, v->count, v->count);
}

static fileread_Result fileread_line(lua_State *L, fileread_View *v, bool keep) {
  const char *end = v->count ? memchr(v->at, '\n', v->count) : NULL;
  if (end) {
    size_t n = (size_t)(end - v->at);
    return fileread_give(L, v, n + 1, keep ? n + 1 : n);
  }
  if (!v->ended) return fileread_more(v, v->count + 1);
  return v->count ? fileread_give(L, v, v->count, v->count) : FILEREAD_NONE;
}

/* ---- numerals
 *
 * As Lua's own reading: spaces, then the longest beginning of a numeral, of 200 characters at the
 * most; what was looked at is taken even if it is none. */

typedef struct fileread_Numeral {
  const char *at;
  size_t left;
  bool ended;
  bool starved; /* more is needed to go on */
  int length;
  char text[FILEREAD_DIGITS + 1];
} fileread_Numeral;

/* The next character, or -1. */
static int fileread_peek(fileread_Numeral *num) {
  if (num->left) return (unsigned char)*num->at;
  if (!num->ended) num->starved = true;
  return -1;
}

static void fileread_skip(fileread_Numeral *num) {
  num->at++;
  num->left--;
}

/* Take the next character if it is one of these. */
static bool fileread_accept(fileread_Numeral *num, const char *these) {
  int c = fileread_peek(num);
  if (c <= 0 || !strchr(these, c)) return false;
  if (num->length == FILEREAD_DIGITS) { /* too long: it is none */
    num->text[0] = 0;
    return false;
  }
  num->text[num->length++] = (char)c;
  fileread_skip(num);
  return true;
}

static int fileread_digits(fileread_Numeral *num, bool hexadecimal) {
  int n = 0;
  while (fileread_accept(num, hexadecimal ? "0123456789abcdefABCDEF" : "0123456789"))
    n++;
  return n;
}

static void fileread_scan(fileread_Numeral *num) {
  int digits = 0;
  bool hexadecimal = false;
  while (fileread_peek(num) > 0 && strchr(" \t\n\v\f\r", fileread_peek(num)))
    fileread_skip(num);
  fileread_accept(num, "-+");
  if (fileread_accept(num, "0")) {
    if (fileread_accept(num, "xX"))
      hexadecimal = true;
    else
      digits = 1;
  }
  digits += fileread_digits(num, hexadecimal);
  if (fileread_accept(num, ".")) digits += fileread_digits(num, hexadecimal);
  if (digits > 0 && fileread_accept(num, hexadecimal ? "pP" : "eE")) {
    fileread_accept(num, "-+");
    fileread_digits(num, false);
  }
  num->text[num->length] = 0;
}

static fileread_Result fileread_number(lua_State *L, fileread_View *v) {
  fileread_Numeral num;
  memset(&num, 0, sizeof num);
  num.at = v->at;
  num.left = v->count;
  num.ended = v->ended;
  fileread_scan(&num);
  if (num.starved) return fileread_more(v, 1);
  v->f->taken += v->count - num.left;
  return lua_stringtonumber(L, num.text) ? FILEREAD_DONE : FILEREAD_NONE;
}

/* ---- read
 *
 * [1] = file, [2] = how many formats, then the formats, then the values. */

/* The formats at first ... top are what they should be. */
static void fileread_check_formats(lua_State *L, int first) {
  luaL_argcheck(L, lua_gettop(L) - first < FILEREAD_FORMATS, FILEREAD_FORMATS + first,
                "too many arguments");
  for (int i = first; i <= lua_gettop(L); i++) {
    if (lua_type(L, i) == LUA_TNUMBER) {
      luaL_argcheck(L, luaL_checkinteger(L, i) >= 0, i, "negative number of bytes");
      continue;
    }
    if (lua_type(L, i) != LUA_TSTRING) luaL_typeerror(L, i, "integer or format");
    const char *format = lua_tostring(L, i);
    format += *format == '*'; /* as Lua 5.1 wrote it; Lua still takes it */
    luaL_argcheck(L, *format && strchr("nlLa", *format), i,
                  "invalid format (\"n\", \"l\", \"L\", \"a\" or a number expected)");
  }
}

static fileread_Result fileread_format(lua_State *L, fileread_View *v, int format) {
  v->at = v->f->in.at + v->f->taken;
  v->count = v->f->in.count - v->f->taken;
  if (lua_type(L, format) == LUA_TNUMBER)
    return fileread_bytes(L, v, (size_t)lua_tointeger(L, format));
  const char *text = lua_tostring(L, format);
  switch (text[*text == '*']) {
  case 'n': return fileread_number(L, v);
  case 'a': return fileread_all(L, v);
  default: return fileread_line(L, v, text[*text == '*'] == 'L');
  }
}

static const asy_DiskOp fileread_op;

static int fileread_body(lua_State *L, asy_Wait *w, asy_File *f, int status) {
  fileread_View v = {f, NULL, 0, 0, status == UV_EOF};
  int count = (int)lua_tointeger(L, 2), i;
  if (status < 0 && !v.ended) return asy_disk_raise(L, w->loop->S, f, status, fileread_op.name);
  if (f->out.count) return asy_disk_write(L, w, f, &fileread_op);
  while ((i = lua_gettop(L) - 2 - count) < count) {
    fileread_Result result = fileread_format(L, &v, 3 + i);
    if (result == FILEREAD_MORE) return asy_disk_read(L, w, f, v.want, &fileread_op);
    if (result == FILEREAD_DONE) continue;
    lua_pushnil(L); /* the formats behind it are not tried */
    break;
  }
  if (f->taken) asy_disk_take(&f->in, f->taken);
  f->taken = 0;
  return lua_gettop(L) - 2 - count;
}

static int fileread_k_read(lua_State *L, asy_Wait *w) {
  return asy_disk_resume(L, w, &fileread_op);
}

static const asy_DiskOp fileread_op = {"read", fileread_body, fileread_k_read};

/* Room for so many values; a few are always there, and need no memory. */
static void fileread_reserve(lua_State *L, int n) {
  if (n > FILEREAD_FEW) luaL_checkstack(L, n + LUA_MINSTACK, "not enough memory");
}

/* Begin to read: [1] = file, then the formats, of which there is at least one. */
static int fileread_begin(lua_State *L, asy_Wait *w, asy_File *f) {
  int count = lua_gettop(L) - 1;
  asy_disk_check_open(L, w->loop->S, f, w->loop, "read");
  if (!(f->mode & ASY_DISK_READS)) return asy_disk_raise(L, w->loop->S, f, UV_EBADF, "read");
  fileread_reserve(L, 2 * count);
  lua_pushinteger(L, count);
  lua_insert(L, 2);
  return asy_disk_begin(L, w, f, &fileread_op);
}

/***
Read from the file, in Lua's formats. What was written before is written out first. Tasks that read
one file at the same time take turns.
@function File:read
@tparam[opt="l"] integer|string ... formats: a number of bytes, exactly, unless the file ends
before; 0 gives `""` unless the file has ended; `"l"` a line without its newline, `"L"` with it,
`"a"` all until the end, `"n"` a numeral. A `*` before a letter is skipped
@treturn string|number|nil a value for each format; nil where there was none, and nothing for those
behind it
@waits yes, when the buffer does not hold enough
@cancel raises CancelledError; no byte is lost
@raise argument error; OSError, with code "ECANCELED" if the file was closed meanwhile, "EISDIR" for
a directory
@usage local path = os.tmpname(); local f <close> = asyncio.open(path, "w+")
f:write("12 apples\nand pears\n"):seek("set"); local n, rest = f:read("n", "l")
assert(n == 12 and rest == " apples" and f:read(3) == "and" and f:read("a") == " pears\n")
assert(f:read() == nil); os.remove(path)
@see https://www.lua.org/manual/5.4/manual.html#pdf-file:read
*/
static int fileread_read(lua_State *L) {
  asy_State *S = asy_state(L);
  asy_File *f = asy_disk_check(L, S, 1);
  fileread_check_formats(L, 2);
  asy_Wait *w = asy_wait_begin(L, S);
  if (!w) return asy_wait_outside(L, S);
  if (lua_gettop(L) == 1) lua_pushliteral(L, "l");
  return fileread_begin(L, w, f);
}

/* The iterator of lines: upvalues are the file and the formats. */
static int fileread_next(lua_State *L) {
  asy_State *S = asy_state(L);
  asy_Wait *w = asy_wait_begin(L, S);
  if (!w) return asy_wait_outside(L, S);
  lua_settop(L, 0);
  for (int i = 2; !lua_isnone(L, lua_upvalueindex(i)); i++) {
    if (i == FILEREAD_FEW) fileread_reserve(L, FILEREAD_FORMATS);
    lua_pushvalue(L, lua_upvalueindex(i));
  }
  return fileread_begin(L, w, asy_disk_check(L, S, 1));
}

/***
Iterate over the file: each step reads with the formats, until the first of them gives nil. The
iterator waits. The file stays open.
@function File:lines
@tparam[opt="l"] integer|string ... formats, as for `read`: a number of bytes, or a letter
@return an iterator; a step raises, and is cancelled, as `read`
@waits no
@raise argument error
@usage local path = os.tmpname(); local f <close> = asyncio.open(path, "w+")
f:write("one\ntwo\n"):seek("set"); local n = 0; for line in f:lines() do n = n + #line end
assert(n == 6); os.remove(path)
@see https://www.lua.org/manual/5.4/manual.html#pdf-file:lines
*/
static int fileread_lines(lua_State *L) {
  asy_disk_check(L, asy_state(L), 1);
  fileread_check_formats(L, 2);
  if (lua_gettop(L) == 1) lua_pushliteral(L, "l");
  luaL_checkstack(L, 1, NULL);
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_insert(L, 1);
  lua_pushcclosure(L, fileread_next, lua_gettop(L));
  return 1;
}

void asy_fileread_open(lua_State *L, asy_State *S) {
  static const luaL_Reg methods[] = {
      {"read", fileread_read}, {"lines", fileread_lines}, {NULL, NULL}};
  asy_type_add(L, S, ASY_SLOT_FILE, methods);
}
