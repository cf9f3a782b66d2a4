/* SPDX-License-Identifier: MIT */
/* posix_module.c - require "spec.posix": the system calls that the specs of descriptors and of
 * terminals need. Each raises what fails, unless it says otherwise. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <lauxlib.h>
#include <lua.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif

int luaopen_spec_posix(lua_State *L);

static int fail(lua_State *L, const char *what) {
  return luaL_error(L, "%s: %s", what, strerror(errno));
}

static int check_fd(lua_State *L, int arg) {
  return (int)luaL_checkinteger(L, arg);
}

static int push_pair(lua_State *L, const int fds[2]) {
  lua_pushinteger(L, fds[0]);
  lua_pushinteger(L, fds[1]);
  return 2;
}

/* pipe() -> reading end, writing end */
static int px_pipe(lua_State *L) {
  int fds[2];
  return pipe2(fds, O_CLOEXEC) ? fail(L, "pipe") : push_pair(L, fds);
}

static int px_socketpair(lua_State *L) {
  int fds[2];
  return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) ? fail(L, "socketpair")
                                                                 : push_pair(L, fds);
}

/* open(path, "r" | "w" | "rw") -> fd */
static int px_open(lua_State *L) {
  const char *mode = luaL_checkstring(L, 2);
  int flags = strcmp(mode, "r") == 0 ? O_RDONLY : strcmp(mode, "w") == 0 ? O_WRONLY : O_RDWR;
  int fd = open(luaL_checkstring(L, 1), flags | O_CLOEXEC | O_NOCTTY);
  if (fd < 0) return fail(L, "open");
  lua_pushinteger(L, fd);
  return 1;
}

static int px_mkfifo(lua_State *L) {
  return mkfifo(luaL_checkstring(L, 1), 0600) ? fail(L, "mkfifo") : 0;
}

static int px_chmod(lua_State *L) {
  return chmod(luaL_checkstring(L, 1), (mode_t)luaL_checkinteger(L, 2)) ? fail(L, "chmod") : 0;
}

static int px_close(lua_State *L) {
  return close(check_fd(L, 1)) ? fail(L, "close") : 0;
}

static int px_dup(lua_State *L) {
  int fd = fcntl(check_fd(L, 1), F_DUPFD_CLOEXEC, 3);
  if (fd < 0) return fail(L, "dup");
  lua_pushinteger(L, fd);
  return 1;
}

static int px_dup2(lua_State *L) {
  return dup3(check_fd(L, 1), check_fd(L, 2), O_CLOEXEC) < 0 ? fail(L, "dup2") : 0;
}

/* read(fd, n) -> bytes, "" at the end; nil, code */
static int px_read(lua_State *L) {
  luaL_Buffer b;
  size_t n = (size_t)luaL_checkinteger(L, 2);
  ssize_t got = read(check_fd(L, 1), luaL_buffinitsize(L, &b, n), n);
  if (got >= 0) {
    luaL_pushresultsize(&b, (size_t)got);
    return 1;
  }
  lua_pushnil(L);
  lua_pushinteger(L, errno);
  return 2;
}

/* write(fd, s) -> number; nil, code */
static int px_write(lua_State *L) {
  size_t n;
  const char *s = luaL_checklstring(L, 2, &n);
  ssize_t done = write(check_fd(L, 1), s, n);
  if (done >= 0) {
    lua_pushinteger(L, (lua_Integer)done);
    return 1;
  }
  lua_pushnil(L);
  lua_pushinteger(L, errno);
  return 2;
}

/* readable(fd, milliseconds) -> boolean */
static int px_readable(lua_State *L) {
  struct pollfd p = {check_fd(L, 1), POLLIN, 0};
  lua_pushboolean(L, poll(&p, 1, (int)luaL_checkinteger(L, 2)) > 0);
  return 1;
}

static int px_is_nonblocking(lua_State *L) {
  int flags = fcntl(check_fd(L, 1), F_GETFL);
  if (flags < 0) return fail(L, "fcntl");
  lua_pushboolean(L, flags & O_NONBLOCK);
  return 1;
}

static int px_set_nonblocking(lua_State *L) {
  int fd = check_fd(L, 1), flags = fcntl(fd, F_GETFL);
  flags = lua_toboolean(L, 2) ? flags | O_NONBLOCK : flags & ~O_NONBLOCK;
  return fcntl(fd, F_SETFL, flags) ? fail(L, "fcntl") : 0;
}

/* No more will be written. */
static int px_shutdown(lua_State *L) {
  return shutdown(check_fd(L, 1), SHUT_WR) ? fail(L, "shutdown") : 0;
}

/* Is this number a descriptor? */
static int px_is_open(lua_State *L) {
  lua_pushboolean(L, fcntl(check_fd(L, 1), F_GETFD) >= 0);
  return 1;
}

/* ---- terminals */

/* pty() -> master, slave, name of the slave */
static int px_pty(lua_State *L) {
  int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
  char name[128];
  if (master < 0 || grantpt(master) || unlockpt(master)) return fail(L, "pty");
  if (ptsname_r(master, name, sizeof name)) return fail(L, "ptsname");
  int slave = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (slave < 0) return fail(L, "open the slave");
  int fds[2] = {master, slave};
  push_pair(L, fds);
  lua_pushstring(L, name);
  return 3;
}

/* mode(fd) -> a word for each switch of the terminal that is on */
static int px_mode(lua_State *L) {
  struct termios t;
  if (tcgetattr(check_fd(L, 1), &t)) return fail(L, "tcgetattr");
  lua_pushfstring(L, "%s%s%s%s%s", t.c_lflag & ICANON ? "icanon " : "",
                  t.c_lflag & ECHO ? "echo " : "", t.c_lflag & ISIG ? "isig " : "",
                  t.c_iflag & ICRNL ? "icrnl " : "", t.c_oflag & OPOST ? "opost " : "");
  return 1;
}

static int px_set_winsize(lua_State *L) {
  struct winsize size;
  memset(&size, 0, sizeof size);
  size.ws_col = (unsigned short)luaL_checkinteger(L, 2);
  size.ws_row = (unsigned short)luaL_checkinteger(L, 3);
  return ioctl(check_fd(L, 1), TIOCSWINSZ, &size) ? fail(L, "winsize") : 0;
}

/* ---- processes */

static int option_fd(lua_State *L, const char *name) {
  int fd = lua_getfield(L, 2, name) == LUA_TNUMBER ? (int)lua_tointeger(L, -1) : -1;
  lua_pop(L, 1);
  return fd;
}

/* From now on, also behind execv, nobody can open 0, 1 or 2 once more: as if they were another
 * user's. Root can, by two rights that it gives up. */
static void shut_off(void) {
  for (int i = 0; i < 3; i++)
    fchmod(i, 0);
#ifdef __linux__
  prctl(PR_CAPBSET_DROP, 1, 0, 0, 0); /* CAP_DAC_OVERRIDE */
  prctl(PR_CAPBSET_DROP, 2, 0, 0, 0); /* CAP_DAC_READ_SEARCH */
#endif
}

/* In the child: fds are what becomes 0, 1 and 2; -1 leaves it. */
static void become(const int fds[3], int terminal, int shut, char **argv) {
  int copies[3];
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  setsid();
  for (int i = 0; i < 3; i++)
    copies[i] = fds[i] < 0 ? -1 : fcntl(fds[i], F_DUPFD_CLOEXEC, 10);
  for (int i = 0; i < 3; i++)
    if (copies[i] >= 0) dup2(copies[i], i);
  if (terminal >= 0) ioctl(0, TIOCSCTTY, 0);
  if (shut) shut_off();
  execv(argv[0], argv);
  _exit(127);
}

/* spawn({"/path", "argument" ...}, {stdin=, stdout=, stderr=: fd; terminal=: fd,
 * becomes the controlling one, and what is not given; shut=: see shut_off}) -> pid. The child leads
 * a session of its own. */
static int px_spawn(lua_State *L) {
  char *argv[64] = {NULL};
  luaL_checktype(L, 1, LUA_TTABLE);
  luaL_checktype(L, 2, LUA_TTABLE);
  lua_settop(L, 2);
  int count = (int)lua_rawlen(L, 1);
  luaL_argcheck(L, count > 0 && count < 63, 1, "1 to 62 words expected");
  for (int i = 0; i < count; i++) {
    lua_rawgeti(L, 1, i + 1);
    argv[i] = (char *)luaL_checkstring(L, -1); /* the table keeps it */
    lua_pop(L, 1);
  }
  int terminal = option_fd(L, "terminal"), shut = lua_getfield(L, 2, "shut") == LUA_TBOOLEAN;
  int fds[3] = {option_fd(L, "stdin"), option_fd(L, "stdout"), option_fd(L, "stderr")};
  for (int i = 0; i < 3; i++)
    if (fds[i] < 0) fds[i] = terminal;
  pid_t pid = fork();
  if (pid < 0) return fail(L, "fork");
  if (pid == 0) become(fds, terminal, shut, argv);
  lua_pushinteger(L, pid);
  return 1;
}

/* wait(pid [, milliseconds]) -> "exit" | "signal" | "stopped", number; nil if it still runs */
static int px_wait(lua_State *L) {
  int status = 0;
  pid_t pid = (pid_t)luaL_checkinteger(L, 1);
  lua_Integer left = luaL_optinteger(L, 2, 60000);
  for (;; left -= 2) {
    pid_t got = waitpid(pid, &status, WNOHANG | WUNTRACED);
    if (got < 0) return fail(L, "waitpid");
    if (got > 0) break;
    if (left <= 0) return 0;
    poll(NULL, 0, 2);
  }
  lua_pushstring(L, WIFEXITED(status) ? "exit" : WIFSIGNALED(status) ? "signal" : "stopped");
  lua_pushinteger(L, WIFEXITED(status)     ? WEXITSTATUS(status)
                     : WIFSIGNALED(status) ? WTERMSIG(status)
                                           : WSTOPSIG(status));
  return 2;
}

static int px_kill(lua_State *L) {
  return kill((pid_t)luaL_checkinteger(L, 1), (int)luaL_checkinteger(L, 2)) ? fail(L, "kill") : 0;
}

static int px_getpid(lua_State *L) {
  lua_pushinteger(L, getpid());
  return 1;
}

static int px_getuid(lua_State *L) {
  lua_pushinteger(L, getuid());
  return 1;
}

int luaopen_spec_posix(lua_State *L) {
  static const luaL_Reg functions[] = {{"pipe", px_pipe},
                                       {"socketpair", px_socketpair},
                                       {"open", px_open},
                                       {"mkfifo", px_mkfifo},
                                       {"chmod", px_chmod},
                                       {"close", px_close},
                                       {"dup", px_dup},
                                       {"dup2", px_dup2},
                                       {"read", px_read},
                                       {"write", px_write},
                                       {"readable", px_readable},
                                       {"is_nonblocking", px_is_nonblocking},
                                       {"set_nonblocking", px_set_nonblocking},
                                       {"shutdown", px_shutdown},
                                       {"is_open", px_is_open},
                                       {"pty", px_pty},
                                       {"mode", px_mode},
                                       {"set_winsize", px_set_winsize},
                                       {"spawn", px_spawn},
                                       {"wait", px_wait},
                                       {"kill", px_kill},
                                       {"getpid", px_getpid},
                                       {"getuid", px_getuid},
                                       {NULL, NULL}};
  luaL_newlib(L, functions);
  return 1;
}
