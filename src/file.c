/* SPDX-License-Identifier: MIT */
/* file.c - see file.h. Writing is buffered as C's stdio does it: what is written lies in the
 * record's `out` until the buffer is full, or something needs it to be out. Reading and writing may
 * alternate at will: before a write the descriptor goes back over what was read ahead, before a
 * read (a seek, a flush) what was written goes out. */
#include "file.h"

#include <string.h>

#include "error.h"
#include "fileread.h"
#include "loop.h"
#include "request.h"

#define FILE_PERMISSIONS 0666 /* of new files; the process's umask takes from them */

/* The File at arg, open, and the task that may wait for it; NULL: `return asy_wait_outside`. */
static asy_Wait *file_enter(lua_State *L, asy_File **f, const char *op) {
  asy_State *S = asy_state(L);
  *f = asy_disk_check(L, S, 1);
  asy_disk_check_open(L, S, *f, NULL, op);
  return asy_wait_begin(L, S);
}

/* ---- open */

typedef struct file_Mode {
  int flags, mode; /* of the system; asy_DiskMode */
} file_Mode;

/* As Lua reads it: "r", "w" or "a", then perhaps "+", then perhaps "b". */
static file_Mode file_check_mode(lua_State *L, int arg) {
  const char *text = luaL_optstring(L, arg, "r");
  const char *rest = text + (*text != 0);
  bool plus = *rest == '+';
  rest += plus;
  rest += strspn(rest, "b");
  luaL_argcheck(L, *text && strchr("rwa", *text) && !*rest, arg, "invalid mode");
  file_Mode m = {plus ? UV_FS_O_RDWR : UV_FS_O_WRONLY, ASY_DISK_WRITES};
  if (plus) m.mode |= ASY_DISK_READS;
  if (*text == 'r' && !plus) {
    m.flags = UV_FS_O_RDONLY;
    m.mode = ASY_DISK_READS;
  } else if (*text == 'w') {
    m.flags |= UV_FS_O_CREAT | UV_FS_O_TRUNC;
  } else if (*text == 'a') {
    m.flags |= UV_FS_O_CREAT | UV_FS_O_APPEND;
    if (!plus) m.mode |= ASY_DISK_AT_END;
  }
  return m;
}

/* A descriptor that nobody has taken. It was not written to: closing it does not take long. */
static void file_discard(asy_Request *r) {
  uv_fs_t req;
  if (r->fs.result < 0) return;
  uv_fs_close(NULL, &req, (uv_file)r->fs.result, NULL);
  uv_fs_req_cleanup(&req);
}

int asy_file_push(lua_State *L, asy_Wait *w, asy_Request *r, const char *op, const char *path,
                  int mode) {
  asy_State *S = w->loop->S;
  if (r->fs.result < 0) return asy_request_raise(L, S, (int)r->fs.result, op, path);
  asy_disk_box(L, S);
  int err = asy_disk_fill(L, -1, w->loop, (uv_file)r->fs.result, path, mode);
  if (err) return asy_request_raise(L, S, err, op, path);
  r->discard = NULL;
  return 1;
}

static int file_k_open(lua_State *L, asy_Wait *w) {
  asy_Request *r = asy_request_done(L, w);
  return asy_file_push(L, w, r, "open", lua_tostring(L, 1), file_check_mode(L, 2).mode);
}

/***
Open a file, as `io.open` does, on libuv's thread pool: the loop goes on meanwhile, whatever the
disk is doing. Unlike `io.open` it raises. A file that is not closed is written out and closed when
it is collected, or when its loop closes; call `close` to hear of errors.
@function open
@tparam string path name of the file
@tparam[opt="r"] string mode `"r"` read, `"w"` write and empty it first, `"a"` append; with `"+"`
behind it read and write; a `"b"` at the end changes nothing
@treturn File
@waits yes
@cancel raises CancelledError; the file is closed again if it was opened, and may have been made or
emptied
@raise argument error; OSError (fields code, path), for example with code "ENOENT"; an error if the
loop's host keeps files for itself
@usage local path = os.tmpname()
local f <close> = asyncio.open(path, "w+"); f:write("hello\n"); f:seek("set"); assert(f:read() ==
"hello"); os.remove(path)
@see https://www.lua.org/manual/5.4/manual.html#pdf-io.open
*/
static int file_open(lua_State *L) {
  asy_State *S = asy_state(L);
  const char *path = asy_request_check_path(L, 1);
  file_Mode m = file_check_mode(L, 2);
  asy_Wait *w = asy_wait_begin(L, S);
  if (!w) return asy_wait_outside(L, S);
  asy_request_check_allowed(L, w->loop, "open");
  lua_settop(L, 2);
  asy_Request *r = asy_request_new(L, w);
  r->discard = file_discard;
  int err = uv_fs_open(asy_loop_uv(w->loop), &r->fs, path, m.flags, FILE_PERMISSIONS,
                       asy_request_on_done);
  return asy_request_park(L, w, err, "open", file_k_open);
}

/* ---- write
 *
 * [1] = file, [2] ... = strings, then the index of the one that is being written, and how many
 * bytes of it are in the buffer. */

static const asy_DiskOp file_write_op;

/* How many of n bytes go into the buffer now; 0: it must be written first. */
static size_t file_room(const asy_File *f, size_t n) {
  size_t most = f->size;
  if (f->out.count == 0 && n > most) most = ASY_DISK_MOST;
  size_t room = f->out.count < most ? most - f->out.count : 0;
  return room < n ? room : n;
}

/* Copy what there is room for. True when everything is in the buffer, false when that must be
 * written first. */
static bool file_fill(lua_State *L, asy_State *S, asy_File *f) {
  int top = lua_gettop(L), i = (int)lua_tointeger(L, top - 1);
  size_t done = (size_t)lua_tointeger(L, top), n, room = 1;
  for (; i < top - 1; i++, done = 0) {
    const char *data = lua_tolstring(L, i, &n);
    while (done < n && (room = file_room(f, n - done)) > 0) {
      if (!asy_disk_reserve(&f->out, room)) asy_disk_raise(L, S, f, UV_ENOMEM, "write");
      asy_buffer_append(&f->out, data + done, room);
      if (f->buffering == ASY_BUFFER_LINE && memchr(data + done, '\n', room)) f->has_line = true;
      done += room;
    }
    if (done < n) break;
  }
  lua_settop(L, top - 2);
  lua_pushinteger(L, i);
  lua_pushinteger(L, (lua_Integer)done);
  return i == top - 1;
}

static bool file_must_flush(const asy_File *f) {
  if (f->out.count == 0) return false;
  return f->out.count >= f->size || f->buffering == ASY_BUFFER_NO || f->has_line;
}

static int file_write_body(lua_State *L, asy_Wait *w, asy_File *f, int status) {
  asy_State *S = w->loop->S;
  if (status == UV_ESPIPE)
    f->is_pipe = true;
  else if (status < 0)
    return asy_disk_raise(L, S, f, status, file_write_op.name);
  if (f->in.count && !f->is_pipe) {
    f->keep = false;
    return asy_disk_seek(L, w, f, -(int64_t)f->in.count, SEEK_CUR, &file_write_op);
  }
  if (!file_fill(L, S, f) || file_must_flush(f)) return asy_disk_write(L, w, f, &file_write_op);
  lua_pushvalue(L, 1);
  return 1;
}

static int file_k_write(lua_State *L, asy_Wait *w) {
  return asy_disk_resume(L, w, &file_write_op);
}

static const asy_DiskOp file_write_op = {"write", file_write_body, file_k_write};

/* Numbers become strings as io.write of this Lua makes them. */
static void file_check_text(lua_State *L, int arg) {
#if LUA_VERSION_NUM == 504
  if (lua_type(L, arg) == LUA_TNUMBER && !lua_isinteger(L, arg)) {
    char text[64];
    lua_number2str(text, sizeof text, lua_tonumber(L, arg));
    lua_pushstring(L, text);
    lua_replace(L, arg);
  }
#endif
  lua_tostring(L, arg);
}

/***
Write values to the file. They lie in a buffer until it is full (see `setvbuf`), or until `flush`,
`seek`, `close` or reading sends it on; then the method waits. Tasks that use a file at the same
time take turns, in the order in which they came: the values of one call are not mixed with others.
@function File:write
@param ... strings or numbers
@treturn File the file, so that calls can be chained
@waits yes, when the buffer is full
@cancel raises CancelledError; an unknown part of the data, from its beginning, was or will be
written, the rest never
@raise argument error, then nothing was written; OSError, for example with code "ENOSPC": what could
not be written stays in the buffer, and is tried again by the next write, flush or close
@usage local path = os.tmpname(); local f <close> = asyncio.open(path, "w")
f:write("one ", 2, "\n"):write("three\n"):flush(); os.remove(path)
@see https://www.lua.org/manual/5.4/manual.html#pdf-file:write
*/
static int file_write(lua_State *L) {
  asy_File *f;
  for (int i = 2; i <= lua_gettop(L); i++)
    if (!lua_isstring(L, i)) luaL_typeerror(L, i, "string");
  asy_Wait *w = file_enter(L, &f, "write");
  if (!w) return asy_wait_outside(L, asy_state(L));
  if (!(f->mode & ASY_DISK_WRITES)) return asy_disk_raise(L, w->loop->S, f, UV_EBADF, "write");
  luaL_checkstack(L, LUA_MINSTACK, NULL);
  for (int i = 2; i <= lua_gettop(L); i++)
    file_check_text(L, i);
  lua_pushinteger(L, 2);
  lua_pushinteger(L, 0);
  return asy_disk_begin(L, w, f, &file_write_op);
}

/* ---- flush, sync, truncate */

static const asy_DiskOp file_flush_op;

static int file_flush_body(lua_State *L, asy_Wait *w, asy_File *f, int status) {
  if (status < 0) return asy_disk_raise(L, w->loop->S, f, status, file_flush_op.name);
  if (f->out.count) return asy_disk_write(L, w, f, &file_flush_op);
  lua_pushvalue(L, 1);
  return 1;
}

static int file_k_flush(lua_State *L, asy_Wait *w) {
  return asy_disk_resume(L, w, &file_flush_op);
}

static const asy_DiskOp file_flush_op = {"flush", file_flush_body, file_k_flush};

/***
Give everything that was written to the system.
@function File:flush
@treturn File the file
@waits yes, if the buffer is not empty
@cancel raises CancelledError; what was not written stays in the buffer
@raise OSError
@usage local path = os.tmpname(); local f <close> = asyncio.open(path, "w")
f:write("x"):flush(); assert(asyncio.fs.stat(path).size == 1); os.remove(path)
@see https://www.lua.org/manual/5.4/manual.html#pdf-file:flush
*/
static int file_flush(lua_State *L) {
  asy_File *f;
  asy_Wait *w = file_enter(L, &f, "flush");
  if (!w) return asy_wait_outside(L, asy_state(L));
  lua_settop(L, 1);
  return asy_disk_begin(L, w, f, &file_flush_op);
}

static const asy_DiskOp file_sync_op;

/* [2] = has it been done? */
static int file_sync_body(lua_State *L, asy_Wait *w, asy_File *f, int status) {
  if (status < 0) return asy_disk_raise(L, w->loop->S, f, status, file_sync_op.name);
  if (f->out.count) return asy_disk_write(L, w, f, &file_sync_op);
  lua_settop(L, 2);
  if (lua_toboolean(L, 2)) {
    lua_pushvalue(L, 1);
    return 1;
  }
  lua_pushboolean(L, true);
  lua_replace(L, 2);
  return asy_disk_other(L, w, f, uv_fs_fsync(f->uv, &f->req.fs, f->fd, asy_disk_on_fs),
                        &file_sync_op);
}

static int file_k_sync(lua_State *L, asy_Wait *w) {
  return asy_disk_resume(L, w, &file_sync_op);
}

static const asy_DiskOp file_sync_op = {"sync", file_sync_body, file_k_sync};

/***
Flush, and have the system put the data on the device (fsync): then it survives a power failure.
@function File:sync
@treturn File the file
@waits yes
@cancel raises CancelledError; the system may be doing it nevertheless
@raise OSError
@usage local path = os.tmpname(); local f <close> = asyncio.open(path, "w"); f:write("x"):sync();
os.remove(path)
@see https://docs.python.org/3/library/os.html#os.fsync
*/
static int file_sync(lua_State *L) {
  asy_File *f;
  asy_Wait *w = file_enter(L, &f, "sync");
  if (!w) return asy_wait_outside(L, asy_state(L));
  lua_settop(L, 1);
  lua_pushboolean(L, false);
  return asy_disk_begin(L, w, f, &file_sync_op);
}

static const asy_DiskOp file_truncate_op;

/* [2] = size, [3] = has it been done? */
static int file_truncate_body(lua_State *L, asy_Wait *w, asy_File *f, int status) {
  if (status < 0) return asy_disk_raise(L, w->loop->S, f, status, file_truncate_op.name);
  if (f->out.count) return asy_disk_write(L, w, f, &file_truncate_op);
  if (f->in.count) { /* it may not be there afterwards */
    f->keep = false;
    return asy_disk_seek(L, w, f, -(int64_t)f->in.count, SEEK_CUR, &file_truncate_op);
  }
  if (lua_toboolean(L, 3)) {
    lua_pushvalue(L, 1);
    return 1;
  }
  lua_pushboolean(L, true);
  lua_replace(L, 3);
  int err = uv_fs_ftruncate(f->uv, &f->req.fs, f->fd, lua_tointeger(L, 2), asy_disk_on_fs);
  return asy_disk_other(L, w, f, err, &file_truncate_op);
}

static int file_k_truncate(lua_State *L, asy_Wait *w) {
  return asy_disk_resume(L, w, &file_truncate_op);
}

static const asy_DiskOp file_truncate_op = {"truncate", file_truncate_body, file_k_truncate};

/***
Flush, and make the file so long: what is behind is lost, what is missing are zero bytes. The
position stays where it is.
@function File:truncate
@tparam[opt=0] integer size bytes
@treturn File the file
@waits yes
@cancel raises CancelledError; the system may be doing it nevertheless
@raise argument error; OSError
@usage local path = os.tmpname(); local f <close> = asyncio.open(path, "w")
f:write("hello"):truncate(2); assert(asyncio.fs.stat(path).size == 2); os.remove(path)
@see https://docs.python.org/3/library/io.html#io.IOBase.truncate
*/
static int file_truncate(lua_State *L) {
  asy_File *f;
  lua_Integer size = luaL_optinteger(L, 2, 0);
  luaL_argcheck(L, size >= 0, 2, "negative size");
  asy_Wait *w = file_enter(L, &f, "truncate");
  if (!w) return asy_wait_outside(L, asy_state(L));
  lua_settop(L, 1);
  lua_pushinteger(L, size);
  lua_pushboolean(L, false);
  return asy_disk_begin(L, w, f, &file_truncate_op);
}

/* ---- seek */

static const asy_DiskOp file_seek_op;

/* [2] = SEEK_*, [3] = offset, [4] = has it been done? */
static int file_seek_body(lua_State *L, asy_Wait *w, asy_File *f, int status) {
  if (status < 0) return asy_disk_raise(L, w->loop->S, f, status, file_seek_op.name);
  if (lua_toboolean(L, 4)) {
    lua_pushinteger(L, (lua_Integer)(f->position - (int64_t)f->in.count));
    return 1;
  }
  if (f->out.count) return asy_disk_write(L, w, f, &file_seek_op);
  int whence = (int)lua_tointeger(L, 2);
  int64_t offset = (int64_t)lua_tointeger(L, 3), ahead = (int64_t)f->in.count;
  f->keep = whence == SEEK_CUR && offset == 0;
  if (whence == SEEK_CUR && !f->keep) {
    if (offset < INT64_MIN + ahead)
      return asy_disk_raise(L, w->loop->S, f, UV_EINVAL, file_seek_op.name);
    offset -= ahead;
  }
  lua_pushboolean(L, true);
  lua_replace(L, 4);
  return asy_disk_seek(L, w, f, offset, whence, &file_seek_op);
}

static int file_k_seek(lua_State *L, asy_Wait *w) {
  return asy_disk_resume(L, w, &file_seek_op);
}

static const asy_DiskOp file_seek_op = {"seek", file_seek_body, file_k_seek};

/***
Flush, and set the position at which the file is read or written next.
@function File:seek
@tparam[opt="cur"] string whence `"set"` from the beginning, `"cur"` from the present position,
`"end"` from the end of the file
@tparam[opt=0] integer offset bytes
@treturn integer the new position, bytes from the beginning
@waits yes
@cancel raises CancelledError; the position may have changed
@raise argument error; OSError, for example with code "ESPIPE" for a pipe
@usage local path = os.tmpname(); local f <close> = asyncio.open(path, "w+")
f:write("hello"); assert(f:seek("end") == 5 and f:seek("set", 1) == 1 and f:read(2) == "el")
os.remove(path)
@see https://www.lua.org/manual/5.4/manual.html#pdf-file:seek
*/
static int file_seek(lua_State *L) {
  static const char *const names[] = {"set", "cur", "end", NULL};
  static const int codes[] = {SEEK_SET, SEEK_CUR, SEEK_END};
  asy_File *f;
  int whence = codes[luaL_checkoption(L, 2, "cur", names)];
  lua_Integer offset = luaL_optinteger(L, 3, 0);
  asy_Wait *w = file_enter(L, &f, "seek");
  if (!w) return asy_wait_outside(L, asy_state(L));
  lua_settop(L, 1);
  lua_pushinteger(L, whence);
  lua_pushinteger(L, offset);
  lua_pushboolean(L, false);
  return asy_disk_begin(L, w, f, &file_seek_op);
}

/* ---- setvbuf */

/***
Say how writing is buffered. What the buffer holds already stays there until the next write or
flush. Reading is always buffered.
@function File:setvbuf
@tparam string mode `"no"`: each write goes out before it returns; `"full"`: when the buffer is
full, or `flush` is called; `"line"`: when a newline was written, too
@tparam[opt=65536] integer size bytes of the buffer, 1 to 1 GiB; also how much is read ahead
@treturn boolean true
@waits no
@raise argument error; OSError if the file is closed
@usage local path = os.tmpname(); local f <close> = asyncio.open(path, "w"); f:setvbuf("line")
f:write("a line\n"); assert(asyncio.fs.stat(path).size == 7); os.remove(path)
@see https://www.lua.org/manual/5.4/manual.html#pdf-file:setvbuf
*/
static int file_setvbuf(lua_State *L) {
  static const char *const names[] = {"full", "line", "no", NULL}; /* as in asy_Buffering */
  asy_State *S = asy_state(L);
  asy_File *f = asy_disk_check(L, S, 1);
  int buffering = luaL_checkoption(L, 2, NULL, names);
  lua_Integer size = luaL_optinteger(L, 3, (lua_Integer)ASY_DISK_SIZE);
  luaL_argcheck(L, size >= 1 && size <= (lua_Integer)1 << 30, 3, "out of range (1 to 2^30)");
  asy_disk_check_open(L, S, f, NULL, "setvbuf");
  f->buffering = (uint8_t)buffering;
  f->size = (size_t)size;
  lua_pushboolean(L, true);
  return 1;
}

/* ---- close */

static const asy_WaitKind file_close_wait = {"a file to close", NULL, true};

/* [2] = an error that is on its way: then this one is not raised */
static int file_k_close(lua_State *L, asy_Wait *w) {
  int status = w->status;
  asy_list_remove(&w->link);
  if (asy_wait_failed(w)) return asy_wait_raise(L, w);
  if (status && lua_isnil(L, 2))
    return asy_disk_raise(L, w->loop->S, asy_disk_check(L, w->loop->S, 1), status, "close");
  lua_pushboolean(L, true);
  return 1;
}

static int file_wait_closed(lua_State *L, asy_Wait *w, asy_File *f) {
  if (f->res.loop && f->res.loop != w->loop)
    return luaL_error(L, "close: the file belongs to another event loop");
  asy_disk_close(f);
  if (f->fd < 0) {
    lua_pushboolean(L, true);
    return 1;
  }
  asy_list_append(&f->closers, &w->link);
  return asy_wait_park(L, w, &file_close_wait, lua_touserdata(L, 1), file_k_close);
}

/***
Write what the buffer holds, and close the file. Tasks that use it are woken at once, with an
OSError whose code is "ECANCELED"; the descriptor is closed when the thread that may be using it is
done. Closing a closed file does nothing.
@function File:close
@treturn boolean true
@waits yes
@cancel raises CancelledError; the file is closed nevertheless
@raise OSError if the last bytes could not be written: the file is closed, and they are lost
@usage local path = os.tmpname(); local f = asyncio.open(path, "w"); f:write("x"); f:close()
os.remove(path)
@see https://www.lua.org/manual/5.4/manual.html#pdf-file:close
*/
static int file_close(lua_State *L) {
  asy_State *S = asy_state(L);
  asy_File *f = asy_disk_check(L, S, 1);
  asy_Wait *w = f->fd < 0 ? NULL : asy_wait_begin(L, S);
  if (f->fd < 0) {
    lua_pushboolean(L, true);
    return 1;
  }
  if (!w) return asy_wait_outside(L, S);
  lua_settop(L, 1);
  lua_pushnil(L);
  return file_wait_closed(L, w, f);
}

/* __close(file, err): where nothing may wait, the file is closed in the background. */
static int file_scope_end(lua_State *L) {
  asy_State *S = asy_state(L);
  asy_File *f = asy_disk_check(L, S, 1);
  asy_Wait *w = asy_wait_begin(L, S);
  if (f->fd < 0) return 0;
  if (!w && !S->running && !S->forbidden) return asy_wait_outside(L, S);
  lua_settop(L, 2);
  if (w && f->res.loop == w->loop) return file_wait_closed(L, w, f);
  asy_disk_close(f);
  return 0;
}

/***
Whether the file was closed, by `close`, by the end of its loop, or is being closed.
@function File:is_closed
@treturn boolean
@waits no
@raise argument error
@usage local f = asyncio.open("/dev/null"); assert(not f:is_closed()); f:close();
assert(f:is_closed())
@see https://docs.python.org/3/library/io.html#io.IOBase.closed
*/
static int file_is_closed(lua_State *L) {
  lua_pushboolean(L, asy_disk_check(L, asy_state(L), 1)->closing);
  return 1;
}

/***
The number of the file's descriptor. Its position is that of the buffers: flush before somebody else
writes to it, such as a child process.
@function File:fileno
@treturn integer -1 if the file is closed
@waits no
@raise argument error
@usage local f = asyncio.open("/dev/null"); assert(f:fileno() >= 0); f:close(); assert(f:fileno() ==
-1)
@see https://docs.python.org/3/library/io.html#io.IOBase.fileno
*/
static int file_fileno(lua_State *L) {
  asy_File *f = asy_disk_check(L, asy_state(L), 1);
  lua_pushinteger(L, f->closing ? -1 : (lua_Integer)f->fd);
  return 1;
}

static int file_tostring(lua_State *L) {
  asy_File *f = asy_disk_check(L, asy_state(L), 1);
  lua_pushfstring(L, "<asyncio.File %p [%s, %s]>", lua_topointer(L, 1),
                  f->fd < 0    ? "closed"
                  : f->closing ? "closing"
                               : "open",
                  f->path);
  return 1;
}

void asy_file_open(lua_State *L, asy_State *S) {
  static const luaL_Reg functions[] = {{"open", file_open}, {NULL, NULL}};
  static const luaL_Reg methods[] = {{"write", file_write},
                                     {"flush", file_flush},
                                     {"sync", file_sync},
                                     {"truncate", file_truncate},
                                     {"seek", file_seek},
                                     {"setvbuf", file_setvbuf},
                                     {"close", file_close},
                                     {"is_closed", file_is_closed},
                                     {"fileno", file_fileno},
                                     {"__close", file_scope_end},
                                     {"__gc", asy_disk_gc},
                                     {"__tostring", file_tostring},
                                     {NULL, NULL}};
  asy_add_functions(L, S, functions);
  asy_type_new(L, S, ASY_SLOT_FILE, "asyncio.File", methods);
  asy_fileread_open(L, S);
}
