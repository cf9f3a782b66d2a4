/* SPDX-License-Identifier: MIT */
/* fs.c - see fs.h. Each function starts one request (mkdir several, if there are parents to make)
 * and waits for it; its arguments stay on the stack, below the request's box, for the error. */
#include "fs.h"

#include <math.h>
#include <string.h>

#include "copyfile.h"
#include "error.h"
#include "file.h"
#include "loop.h"
#include "option.h"

#define FS_PERMISSIONS 0777 /* of new directories; the process's umask takes from them */
#define FS_MARK "XXXXXX"    /* what libuv replaces in the name of a temporary file */

/* ---- what all have in common */

/* What the request does, for errors. */
static const char *fs_op(const asy_Request *r) {
  switch (r->fs.fs_type) {
  case UV_FS_STAT: return "stat";
  case UV_FS_LSTAT: return "lstat";
  case UV_FS_MKDIR: return "mkdir";
  case UV_FS_RENAME: return "rename";
  case UV_FS_UNLINK: return "unlink";
  case UV_FS_RMDIR: return "rmdir";
  case UV_FS_SCANDIR: return "scandir";
  case UV_FS_COPYFILE: return "copyfile";
  case UV_FS_REALPATH: return "realpath";
  case UV_FS_READLINK: return "readlink";
  case UV_FS_SYMLINK: return "symlink";
  case UV_FS_LINK: return "link";
  case UV_FS_UTIME: return "utime";
  case UV_FS_CHMOD: return "chmod";
  case UV_FS_MKDTEMP: return "mkdtemp";
  case UV_FS_MKSTEMP: return "mkstemp";
  default: return "access";
  }
}

/* Raise an OSError that names the path at 1 and, of two, the path at 2. */
static int fs_raise(lua_State *L, asy_State *S, int code, const asy_Request *r) {
  const char *path = lua_tostring(L, 1), *second = NULL;
  switch (r->fs.fs_type) {
  case UV_FS_RENAME:
  case UV_FS_COPYFILE:
  case UV_FS_LINK:
  case UV_FS_SYMLINK: second = lua_tostring(L, 2); break;
  default: break;
  }
  if (!second) return asy_request_raise(L, S, code, fs_op(r), path);
  asy_request_push_error(L, S, code, fs_op(r), lua_pushfstring(L, "%s -> %s", path, second));
  lua_pushvalue(L, 1);
  lua_setfield(L, -2, "path");
  lua_pushvalue(L, 2);
  lua_setfield(L, -2, "path2");
  return lua_error(L);
}

/* Push the box of a new request above the first n arguments. NULL: `return asy_wait_outside`. */
static asy_Request *fs_enter(lua_State *L, asy_Wait **w, int n) {
  *w = asy_wait_begin(L, asy_state(L));
  if (!*w) return NULL;
  asy_request_check_allowed(L, (*w)->loop, "asyncio.fs");
  lua_settop(L, n);
  return asy_request_new(L, *w);
}

static uv_loop_t *fs_uv(const asy_Wait *w) {
  return asy_loop_uv(w->loop);
}

/* libuv has taken the request: err, if not. */
static int fs_park(lua_State *L, asy_Wait *w, int err, asy_Cont *k) {
  return asy_request_park(L, w, err, fs_op(asy_request_at(L, -1)), k);
}

/* The request is done and has not failed. */
static asy_Request *fs_done(lua_State *L, asy_Wait *w) {
  asy_Request *r = asy_request_done(L, w);
  if (r->fs.result < 0) fs_raise(L, w->loop->S, (int)r->fs.result, r);
  return r;
}

static int fs_k_nothing(lua_State *L, asy_Wait *w) {
  fs_done(L, w);
  asy_request_free(L, -1);
  return 0;
}

/* The result is a path that libuv has allocated. */
static int fs_k_path(lua_State *L, asy_Wait *w) {
  asy_Request *r = fs_done(L, w);
  lua_pushstring(L, r->fs.ptr);
  asy_request_free(L, -2);
  return 1;
}

typedef int fs_StartPath(uv_loop_t *uv, uv_fs_t *fs, const char *path, uv_fs_cb done);
typedef int fs_StartPaths(uv_loop_t *uv, uv_fs_t *fs, const char *path, const char *path2,
                          uv_fs_cb done);

/* A function whose only argument is a path. */
static int fs_with_path(lua_State *L, fs_StartPath *start, asy_Cont *k) {
  const char *path = asy_request_check_path(L, 1);
  asy_Wait *w;
  asy_Request *r = fs_enter(L, &w, 1);
  if (!r) return asy_wait_outside(L, asy_state(L));
  return fs_park(L, w, start(fs_uv(w), &r->fs, path, asy_request_on_done), k);
}

/* One that has two paths, and no result. */
static int fs_with_paths(lua_State *L, fs_StartPaths *start) {
  const char *path = asy_request_check_path(L, 1), *path2 = asy_request_check_path(L, 2);
  asy_Wait *w;
  asy_Request *r = fs_enter(L, &w, 2);
  if (!r) return asy_wait_outside(L, asy_state(L));
  return fs_park(L, w, start(fs_uv(w), &r->fs, path, path2, asy_request_on_done), fs_k_nothing);
}

/* Permission bits: a number, or a string of octal digits. */
static int fs_mode_of(lua_State *L, int idx) {
  int isnum;
  lua_Integer mode;
  if (lua_type(L, idx) == LUA_TSTRING) {
    size_t length;
    const char *text = lua_tolstring(L, idx, &length);
    if (length == 0 || length > 5 || strspn(text, "01234567") != length) return -1;
    for (mode = 0; *text; text++)
      mode = mode * 8 + (*text - '0');
  } else {
    mode = lua_tointegerx(L, idx, &isnum);
    if (!isnum) return -1;
  }
  return mode >= 0 && mode <= 07777 ? (int)mode : -1;
}

/* ---- stat, lstat */

static void fs_set_integer(lua_State *L, const char *name, uint64_t value) {
  lua_pushinteger(L, (lua_Integer)value);
  lua_setfield(L, -2, name);
}

static void fs_set_time(lua_State *L, const char *name, const uv_timespec_t *t) {
  lua_pushnumber(L, (lua_Number)t->tv_sec + (lua_Number)t->tv_nsec / 1e9);
  lua_setfield(L, -2, name);
}

static const char *fs_type_of(uint64_t mode) {
  switch (mode & 0170000) {
  case 0100000: return "file";
  case 0040000: return "directory";
  case 0120000: return "link";
  case 0010000: return "fifo";
  case 0140000: return "socket";
  case 0020000: return "char";
  case 0060000: return "block";
  default: return "unknown";
  }
}

static int fs_k_stat(lua_State *L, asy_Wait *w) {
  const uv_stat_t *s = &fs_done(L, w)->fs.statbuf;
  lua_createtable(L, 0, 16);
  lua_pushstring(L, fs_type_of(s->st_mode));
  lua_setfield(L, -2, "type");
  fs_set_integer(L, "size", s->st_size);
  fs_set_integer(L, "mode", s->st_mode & 07777);
  fs_set_integer(L, "uid", s->st_uid);
  fs_set_integer(L, "gid", s->st_gid);
  fs_set_integer(L, "nlink", s->st_nlink);
  fs_set_integer(L, "dev", s->st_dev);
  fs_set_integer(L, "rdev", s->st_rdev);
  fs_set_integer(L, "ino", s->st_ino);
  fs_set_integer(L, "blksize", s->st_blksize);
  fs_set_integer(L, "blocks", s->st_blocks);
  fs_set_time(L, "atime", &s->st_atim);
  fs_set_time(L, "mtime", &s->st_mtim);
  fs_set_time(L, "ctime", &s->st_ctim);
  fs_set_time(L, "birthtime", &s->st_birthtim);
  asy_request_free(L, -2);
  return 1;
}

/***
Look at a file.
@function fs.stat
@tparam string path its name; a symbolic link is followed
@treturn table type ("file", "directory", "link", "fifo", "socket", "char", "block"), size (bytes),
mode (permission bits), atime, mtime, ctime, birthtime (seconds, float), uid, gid, nlink, dev, rdev,
ino, blksize, blocks
@waits yes
@cancel raises CancelledError
@raise argument error; OSError (fields code, path)
@usage assert(asyncio.fs.stat("/").type == "directory")
@see https://docs.python.org/3/library/os.html#os.stat
*/
static int fs_stat(lua_State *L) {
  return fs_with_path(L, uv_fs_stat, fs_k_stat);
}

/***
Look at a file; of a symbolic link, at the link itself.
@function fs.lstat
@tparam string path its name
@treturn table as `fs.stat`
@waits yes
@cancel raises CancelledError
@raise argument error; OSError (fields code, path)
@usage assert(asyncio.fs.lstat("/").type == "directory")
@see https://docs.python.org/3/library/os.html#os.lstat
*/
static int fs_lstat(lua_State *L) {
  return fs_with_path(L, uv_fs_lstat, fs_k_stat);
}

static int fs_k_access(lua_State *L, asy_Wait *w) {
  int code = (int)asy_request_done(L, w)->fs.result;
  char name[32];
  lua_pushboolean(L, code == 0);
  if (code == 0) return 1;
  lua_pushstring(L, uv_err_name_r(code, name, sizeof name));
  return 2;
}

/***
Whether there is a file, and whether this process may use it.
@function fs.access
@tparam string path its name
@tparam[opt=""] string mode any of `"r"` read, `"w"` write, `"x"` execute; `""`: that it is there
@treturn boolean
@treturn string|nil the code of the reason if it is false, such as "ENOENT"
@waits yes
@cancel raises CancelledError
@raise argument error
@usage assert(asyncio.fs.access("/", "rx")); assert(not asyncio.fs.access("/no/such/file"))
@see https://docs.python.org/3/library/os.html#os.access
*/
static int fs_access(lua_State *L) {
  const char *path = asy_request_check_path(L, 1), *mode = luaL_optstring(L, 2, "");
  int bits = 0; /* those of access(2) */
  for (; *mode; mode++) {
    luaL_argcheck(L, strchr("rwx", *mode), 2, "invalid mode (\"r\", \"w\", \"x\" expected)");
    bits |= *mode == 'r' ? 4 : *mode == 'w' ? 2 : 1;
  }
  asy_Wait *w;
  asy_Request *r = fs_enter(L, &w, 1);
  if (!r) return asy_wait_outside(L, asy_state(L));
  return fs_park(L, w, uv_fs_access(fs_uv(w), &r->fs, path, bits, asy_request_on_done),
                 fs_k_access);
}

/* ---- mkdir
 *
 * [1] = path, [2] = how long the beginning of it is that is being made, [3] = mode, [4] = parents?,
 * [5] = exist_ok?, then the box. */

enum { FS_PATH = 1, FS_LENGTH, FS_MODE, FS_PARENTS, FS_EXIST_OK };

static bool fs_is_separator(char c) {
#ifdef _WIN32
  return c == '/' || c == '\\' || c == ':';
#else
  return c == '/';
#endif
}

/* The length of the path without its last name; 0 if nothing is left. */
static size_t fs_parent(const char *path, size_t n) {
  while (n && fs_is_separator(path[n - 1]))
    n--;
  while (n && !fs_is_separator(path[n - 1]))
    n--;
  while (n && fs_is_separator(path[n - 1]))
    n--;
  return n;
}

/* The length of the path with one more name than the first n bytes have. */
static size_t fs_child(const char *path, size_t n) {
  while (path[n] && fs_is_separator(path[n]))
    n++;
  while (path[n] && !fs_is_separator(path[n]))
    n++;
  return path[n + strspn(path + n, "/")] ? n : strlen(path);
}

static int fs_k_mkdir(lua_State *L, asy_Wait *w);

/* Make the directory whose name is the first n bytes of the path. */
static int fs_make(lua_State *L, asy_Wait *w, size_t n) {
  lua_settop(L, FS_EXIST_OK);
  lua_pushinteger(L, (lua_Integer)n);
  lua_replace(L, FS_LENGTH);
  const char *name = lua_pushlstring(L, lua_tostring(L, FS_PATH), n);
  asy_Request *r = asy_request_new(L, w);
  int mode = (int)lua_tointeger(L, FS_MODE);
  return fs_park(L, w, uv_fs_mkdir(fs_uv(w), &r->fs, name, mode, asy_request_on_done), fs_k_mkdir);
}

/* There is something of that name already: it must be a directory. */
static int fs_k_exists(lua_State *L, asy_Wait *w) {
  asy_Request *r = asy_request_done(L, w);
  bool is_directory =
      r->fs.result == 0 && strcmp(fs_type_of(r->fs.statbuf.st_mode), "directory") == 0;
  if (!is_directory)
    return asy_request_raise(L, w->loop->S, UV_EEXIST, "mkdir", lua_tostring(L, FS_PATH));
  return 0;
}

static int fs_k_mkdir(lua_State *L, asy_Wait *w) {
  asy_Request *r = asy_request_done(L, w);
  const char *path = lua_tostring(L, FS_PATH);
  size_t n = (size_t)lua_tointeger(L, FS_LENGTH), all = lua_rawlen(L, FS_PATH);
  int code = (int)r->fs.result;
  asy_request_free(L, -1);
  if (code == UV_ENOENT && lua_toboolean(L, FS_PARENTS) && fs_parent(path, n))
    return fs_make(L, w, fs_parent(path, n));
  if ((code == 0 || code == UV_EEXIST) && n < all) {
    lua_pushboolean(L, false); /* what is still missing then leads through a broken link */
    lua_replace(L, FS_PARENTS);
    return fs_make(L, w, fs_child(path, n));
  }
  if (code == UV_EEXIST && lua_toboolean(L, FS_EXIST_OK)) {
    r = asy_request_new(L, w);
    return fs_park(L, w, uv_fs_stat(fs_uv(w), &r->fs, path, asy_request_on_done), fs_k_exists);
  }
  return code ? asy_request_raise(L, w->loop->S, code, "mkdir", path) : 0;
}

/***
Make a directory.
@function fs.mkdir
@tparam string path its name
@tparam[opt] table opts parents (boolean: make the directories that lead to it, too), exist_ok
(boolean: it is no error if there is a directory of that name), mode (permission bits: an integer,
or a string of octal digits, "777"; the process's umask takes from them)
@return nothing
@waits yes
@cancel raises CancelledError; it may have been made, or only some of those that lead to it
@raise argument error; OSError (fields code, path), with code "EEXIST" if there is something of that
name
@usage local dir = asyncio.fs.mkdtemp(); asyncio.fs.mkdir(dir .. "/a/b", {parents = true})
asyncio.fs.rmdir(dir .. "/a/b"); asyncio.fs.rmdir(dir .. "/a"); asyncio.fs.rmdir(dir)
@see https://docs.python.org/3/library/os.html#os.mkdir
*/
static int fs_mkdir(lua_State *L) {
  static const char *const names[] = {"parents", "exist_ok", "mode", NULL};
  const char *path = asy_request_check_path(L, 1);
  int mode = FS_PERMISSIONS;
  asy_option_check(L, 2, names);
  bool parents = asy_option_boolean(L, 2, "parents", false);
  bool exist_ok = asy_option_boolean(L, 2, "exist_ok", false);
  if (asy_option_push(L, 2, "mode")) {
    mode = fs_mode_of(L, -1);
    lua_pop(L, 1);
    if (mode < 0) asy_option_error(L, 2, "mode", "permission bits expected, as in \"755\"");
  }
  asy_Wait *w = asy_wait_begin(L, asy_state(L));
  if (!w) return asy_wait_outside(L, asy_state(L));
  asy_request_check_allowed(L, w->loop, "asyncio.fs");
  lua_settop(L, 1);
  lua_pushinteger(L, 0);
  lua_pushinteger(L, mode);
  lua_pushboolean(L, parents);
  lua_pushboolean(L, exist_ok);
  return fs_make(L, w, strlen(path));
}

/* ---- rename, unlink, rmdir, copyfile, links */

/***
Give a file another name; a file that has that name already is replaced.
@function fs.rename
@tparam string path its name
@tparam string new the new one
@return nothing
@waits yes
@cancel raises CancelledError; it may have been done
@raise argument error; OSError (fields code, path, path2)
@usage local f, path = asyncio.fs.mkstemp(); f:close()
asyncio.fs.rename(path, path .. ".new"); asyncio.fs.unlink(path .. ".new")
@see https://docs.python.org/3/library/os.html#os.replace
*/
static int fs_rename(lua_State *L) {
  return fs_with_paths(L, uv_fs_rename);
}

/***
Remove a file.
@function fs.unlink
@tparam string path its name
@return nothing
@waits yes
@cancel raises CancelledError; it may have been done
@raise argument error; OSError (fields code, path)
@usage local f, path = asyncio.fs.mkstemp(); f:close(); asyncio.fs.unlink(path)
@see https://docs.python.org/3/library/os.html#os.unlink
*/
static int fs_unlink(lua_State *L) {
  return fs_with_path(L, uv_fs_unlink, fs_k_nothing);
}

/***
Remove an empty directory.
@function fs.rmdir
@tparam string path its name
@return nothing
@waits yes
@cancel raises CancelledError; it may have been done
@raise argument error; OSError (fields code, path), for example with code "ENOTEMPTY"
@usage asyncio.fs.rmdir(asyncio.fs.mkdtemp())
@see https://docs.python.org/3/library/os.html#os.rmdir
*/
static int fs_rmdir(lua_State *L) {
  return fs_with_path(L, uv_fs_rmdir, fs_k_nothing);
}

/***
Copy a file, with its permission bits; a file that has the new name already gets its content and
bits. A fifo is refused (EINVAL). If it fails or is cancelled, the copy is removed, but a file that
was there before is kept, with a part of the content.
@function fs.copyfile
@tparam string path its name
@tparam string new the copy's name
@tparam[opt] table opts exclusive (boolean: an error if there is a file of the new name)
@return nothing
@waits yes
@cancel raises CancelledError; copying stops
@raise argument error; OSError (fields code, path, path2)
@usage local f, path = asyncio.fs.mkstemp(); f:write("x"):close()
asyncio.fs.copyfile(path, path .. ".copy"); assert(asyncio.fs.stat(path .. ".copy").size == 1)
asyncio.fs.unlink(path); asyncio.fs.unlink(path .. ".copy")
@see https://docs.python.org/3/library/shutil.html#shutil.copyfile
*/
static int fs_copyfile(lua_State *L) {
  static const char *const names[] = {"exclusive", NULL};
  const char *path = asy_request_check_path(L, 1), *new_path = asy_request_check_path(L, 2);
  asy_option_check(L, 3, names);
  bool exclusive = asy_option_boolean(L, 3, "exclusive", false);
  asy_Wait *w;
  asy_Request *r = fs_enter(L, &w, 2);
  if (!r) return asy_wait_outside(L, asy_state(L));
  return fs_park(L, w, asy_copyfile_start(r, fs_uv(w), path, new_path, exclusive), fs_k_nothing);
}

/***
Give a file one more name.
@function fs.link
@tparam string path its name
@tparam string new the other one
@return nothing
@waits yes
@cancel raises CancelledError; it may have been done
@raise argument error; OSError (fields code, path, path2)
@usage local f, path = asyncio.fs.mkstemp(); f:close(); asyncio.fs.link(path, path .. ".too")
assert(asyncio.fs.stat(path).nlink == 2); asyncio.fs.unlink(path); asyncio.fs.unlink(path .. ".too")
@see https://docs.python.org/3/library/os.html#os.link
*/
static int fs_link(lua_State *L) {
  return fs_with_paths(L, uv_fs_link);
}

/***
Make a symbolic link.
@function fs.symlink
@tparam string target the path that it leads to; it need not exist
@tparam string path the name of the link
@return nothing
@waits yes
@cancel raises CancelledError; it may have been done
@raise argument error; OSError (fields code, path, path2)
@usage local dir = asyncio.fs.mkdtemp(); asyncio.fs.symlink("/", dir .. "/root")
assert(asyncio.fs.readlink(dir .. "/root") == "/")
asyncio.fs.unlink(dir .. "/root"); asyncio.fs.rmdir(dir)
@see https://docs.python.org/3/library/os.html#os.symlink
*/
static int fs_symlink(lua_State *L) {
  const char *path = asy_request_check_path(L, 1), *new_path = asy_request_check_path(L, 2);
  asy_Wait *w;
  asy_Request *r = fs_enter(L, &w, 2);
  if (!r) return asy_wait_outside(L, asy_state(L));
  return fs_park(L, w, uv_fs_symlink(fs_uv(w), &r->fs, path, new_path, 0, asy_request_on_done),
                 fs_k_nothing);
}

/***
Where a symbolic link leads to.
@function fs.readlink
@tparam string path the name of the link
@treturn string
@waits yes
@cancel raises CancelledError
@raise argument error; OSError (fields code, path), with code "EINVAL" if it is no link
@usage local dir = asyncio.fs.mkdtemp(); asyncio.fs.symlink("x", dir .. "/l")
assert(asyncio.fs.readlink(dir .. "/l") == "x"); asyncio.fs.unlink(dir .. "/l");
asyncio.fs.rmdir(dir)
@see https://docs.python.org/3/library/os.html#os.readlink
*/
static int fs_readlink(lua_State *L) {
  return fs_with_path(L, uv_fs_readlink, fs_k_path);
}

/***
The absolute path of a file that exists, without links, `.` and `..` in it.
@function fs.realpath
@tparam string path its name
@treturn string
@waits yes
@cancel raises CancelledError
@raise argument error; OSError (fields code, path)
@usage assert(asyncio.fs.realpath("/./") == "/")
@see https://docs.python.org/3/library/os.path.html#os.path.realpath
*/
static int fs_realpath(lua_State *L) {
  return fs_with_path(L, uv_fs_realpath, fs_k_path);
}

/* ---- chmod, utime */

/***
Set the permission bits of a file.
@function fs.chmod
@tparam string path its name
@tparam integer|string mode the number of the permission bits, or its octal digits, `"644"`
@return nothing
@waits yes
@cancel raises CancelledError; it may have been done
@raise argument error; OSError (fields code, path)
@usage local f, path = asyncio.fs.mkstemp(); f:close(); asyncio.fs.chmod(path, "640")
assert(asyncio.fs.stat(path).mode == tonumber("640", 8)); asyncio.fs.unlink(path)
@see https://docs.python.org/3/library/os.html#os.chmod
*/
static int fs_chmod(lua_State *L) {
  const char *path = asy_request_check_path(L, 1);
  if (lua_type(L, 2) != LUA_TSTRING) luaL_checkinteger(L, 2);
  int mode = fs_mode_of(L, 2);
  luaL_argcheck(L, mode >= 0, 2, "permission bits expected, as in \"644\"");
  asy_Wait *w;
  asy_Request *r = fs_enter(L, &w, 1);
  if (!r) return asy_wait_outside(L, asy_state(L));
  return fs_park(L, w, uv_fs_chmod(fs_uv(w), &r->fs, path, mode, asy_request_on_done),
                 fs_k_nothing);
}

static double fs_check_time(lua_State *L, int arg) {
  uv_timeval64_t now;
  if (!lua_isnoneornil(L, arg)) {
    double t = (double)luaL_checknumber(L, arg);
    luaL_argcheck(L, fabs(t) < 1e12, arg, "out of range");
    return t;
  }
  return uv_gettimeofday(&now) ? 0 : (double)now.tv_sec + (double)now.tv_usec / 1e6;
}

/***
Set the times of a file.
@function fs.utime
@tparam string path its name
@tparam[opt] number atime when it was last read: seconds since 1970; nil is now
@tparam[opt] number mtime when it was last written: seconds since 1970; nil is now
@return nothing
@waits yes
@cancel raises CancelledError; it may have been done
@raise argument error; OSError (fields code, path)
@usage local f, path = asyncio.fs.mkstemp(); f:close(); asyncio.fs.utime(path, 1, 2.5)
assert(asyncio.fs.stat(path).mtime == 2.5); asyncio.fs.unlink(path)
@see https://docs.python.org/3/library/os.html#os.utime
*/
static int fs_utime(lua_State *L) {
  const char *path = asy_request_check_path(L, 1);
  double atime = fs_check_time(L, 2), mtime = fs_check_time(L, 3);
  asy_Wait *w;
  asy_Request *r = fs_enter(L, &w, 1);
  if (!r) return asy_wait_outside(L, asy_state(L));
  return fs_park(L, w, uv_fs_utime(fs_uv(w), &r->fs, path, atime, mtime, asy_request_on_done),
                 fs_k_nothing);
}

/* ---- temporary files */

/* Put the name that libuv wants for the prefix at index 1 in its place. */
static const char *fs_template(lua_State *L) {
  if (lua_isnoneornil(L, 1)) {
    char dir[1024];
    size_t size = sizeof dir;
    int err = uv_os_tmpdir(dir, &size);
    if (err) asy_error_raise_os(L, asy_state(L), err, "tmpdir", NULL);
    lua_settop(L, 0);
    lua_pushfstring(L, "%s/lua-" FS_MARK, dir);
  } else {
    size_t n = lua_rawlen(L, 1), mark = strlen(FS_MARK);
    lua_settop(L, 1);
    if (n < mark || strcmp(lua_tostring(L, 1) + n - mark, FS_MARK) != 0) {
      lua_pushfstring(L, "%s" FS_MARK, lua_tostring(L, 1));
      lua_replace(L, 1);
    }
  }
  return lua_tostring(L, 1);
}

/* Nobody has taken what was made. It is empty: removing it does not take long. */
static void fs_discard_directory(asy_Request *r) {
  uv_fs_t req;
  if (r->fs.result < 0) return;
  uv_fs_rmdir(NULL, &req, r->fs.path, NULL);
  uv_fs_req_cleanup(&req);
}

static void fs_discard_file(asy_Request *r) {
  uv_fs_t req;
  if (r->fs.result < 0) return;
  uv_fs_close(NULL, &req, (uv_file)r->fs.result, NULL);
  uv_fs_req_cleanup(&req);
  uv_fs_unlink(NULL, &req, r->fs.path, NULL);
  uv_fs_req_cleanup(&req);
}

static int fs_k_mkdtemp(lua_State *L, asy_Wait *w) {
  asy_Request *r = fs_done(L, w);
  lua_pushstring(L, r->fs.path);
  r->discard = NULL;
  asy_request_free(L, -2);
  return 1;
}

/***
Make a directory with a new name, which nobody else may look into.
@function fs.mkdtemp
@tparam[opt] string prefix the beginning of its path, `"/tmp/job-"`; nil: in the system's directory
for temporary files
@treturn string its path
@waits yes
@cancel raises CancelledError; it is removed again if it was made
@raise argument error; OSError (fields code, path)
@usage local dir = asyncio.fs.mkdtemp(); asyncio.fs.rmdir(dir)
@see https://docs.python.org/3/library/tempfile.html#tempfile.mkdtemp
*/
static int fs_mkdtemp(lua_State *L) {
  if (!lua_isnoneornil(L, 1)) asy_request_check_path(L, 1);
  asy_Wait *w = asy_wait_begin(L, asy_state(L));
  if (!w) return asy_wait_outside(L, asy_state(L));
  const char *name = fs_template(L);
  asy_Request *r = fs_enter(L, &w, 1);
  r->discard = fs_discard_directory;
  return fs_park(L, w, uv_fs_mkdtemp(fs_uv(w), &r->fs, name, asy_request_on_done), fs_k_mkdtemp);
}

static int fs_k_mkstemp(lua_State *L, asy_Wait *w) {
  asy_Request *r = fs_done(L, w);
  const char *path = lua_pushstring(L, r->fs.path);
  asy_file_push(L, w, r, "mkstemp", path, ASY_DISK_READS | ASY_DISK_WRITES);
  asy_request_free(L, -3);
  lua_insert(L, -2);
  return 2;
}

/***
Make a file with a new name, which nobody else may read, and open it in mode "w+".
@function fs.mkstemp
@tparam[opt] string prefix the beginning of its path, `"/tmp/job-"`; nil: in the system's directory
for temporary files
@treturn File
@treturn string its path
@waits yes
@cancel raises CancelledError; it is removed again if it was made
@raise argument error; OSError (fields code, path)
@usage local f, path = asyncio.fs.mkstemp(); f:write("x"):close(); asyncio.fs.unlink(path)
@see https://docs.python.org/3/library/tempfile.html#tempfile.mkstemp
*/
static int fs_mkstemp(lua_State *L) {
  if (!lua_isnoneornil(L, 1)) asy_request_check_path(L, 1);
  asy_Wait *w = asy_wait_begin(L, asy_state(L));
  if (!w) return asy_wait_outside(L, asy_state(L));
  const char *name = fs_template(L);
  asy_Request *r = fs_enter(L, &w, 1);
  r->discard = fs_discard_file;
  return fs_park(L, w, uv_fs_mkstemp(fs_uv(w), &r->fs, name, asy_request_on_done), fs_k_mkstemp);
}

/* ---- scandir */

/* The iterator: upvalue 2 is the box of the request that holds the names. */
static int fs_next(lua_State *L) {
  static const char *const types[] = {"unknown", "file",   "directory", "link",
                                      "fifo",    "socket", "char",      "block"};
  asy_Request *r = asy_request_at(L, lua_upvalueindex(2));
  uv_dirent_t entry;
  if (!r || uv_fs_scandir_next(&r->fs, &entry)) {
    asy_request_free(L, lua_upvalueindex(2));
    lua_pushnil(L);
    return 1;
  }
  lua_pushstring(L, entry.name);
  lua_pushstring(L, types[(int)entry.type < 8 ? (int)entry.type : 0]);
  return 2;
}

/* Give the names back: libuv forgets the one that it has given last, if that is the last of all. */
static void fs_discard_names(asy_Request *r) {
  uv_dirent_t entry;
  while (uv_fs_scandir_next(&r->fs, &entry) == 0)
    continue;
}

static int fs_k_scandir(lua_State *L, asy_Wait *w) {
  fs_done(L, w);
  int box = lua_gettop(L);
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_pushvalue(L, box);
  lua_pushcclosure(L, fs_next, 2);
  lua_pushnil(L);
  lua_pushnil(L);
  lua_pushvalue(L, box); /* closed when the loop is left */
  return 4;
}

/***
Iterate over the names in a directory, but for `.` and `..`, in no promised order. They are all read
before the first one is given.
@function fs.scandir
@tparam string path the name of the directory
@return an iterator that gives the name and the type, as in `fs.stat`, of each; "unknown" where the
file system does not tell
@waits yes; the iterator does not
@cancel raises CancelledError
@raise argument error; OSError (fields code, path), for example with code "ENOTDIR"
@usage local dir = asyncio.fs.mkdtemp(); asyncio.open(dir .. "/x", "w"):close()
for name, type in asyncio.fs.scandir(dir) do assert(name == "x" and type == "file") end
asyncio.fs.unlink(dir .. "/x"); asyncio.fs.rmdir(dir)
@see https://docs.python.org/3/library/os.html#os.scandir
*/
static int fs_scandir(lua_State *L) {
  const char *path = asy_request_check_path(L, 1);
  asy_Wait *w;
  asy_Request *r = fs_enter(L, &w, 1);
  if (!r) return asy_wait_outside(L, asy_state(L));
  r->discard = fs_discard_names;
  return fs_park(L, w, uv_fs_scandir(fs_uv(w), &r->fs, path, 0, asy_request_on_done), fs_k_scandir);
}

void asy_fs_open(lua_State *L, asy_State *S) {
  static const luaL_Reg functions[] = {
      {"stat", fs_stat},       {"lstat", fs_lstat},       {"access", fs_access},
      {"mkdir", fs_mkdir},     {"rename", fs_rename},     {"unlink", fs_unlink},
      {"rmdir", fs_rmdir},     {"copyfile", fs_copyfile}, {"link", fs_link},
      {"symlink", fs_symlink}, {"readlink", fs_readlink}, {"realpath", fs_realpath},
      {"chmod", fs_chmod},     {"utime", fs_utime},       {"mkdtemp", fs_mkdtemp},
      {"mkstemp", fs_mkstemp}, {"scandir", fs_scandir},   {NULL, NULL}};
  asy_type_add(L, S, ASY_SLOT_FS, functions);
}

bool asy_fs_push(lua_State *L, asy_State *S, const char *name) {
  const luaL_Reg *functions;
  if (strcmp(name, "fs") != 0) return false;
  lua_createtable(L, 0, 24);
  for (int i = 0; (functions = asy_functions_next(S, ASY_SLOT_FS, &i)) != NULL;)
    asy_set_functions(L, S, functions);
  return true;
}
