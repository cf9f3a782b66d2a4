/* SPDX-License-Identifier: MIT */
/* sys.h - the system calls that libuv does not wrap: making, binding and listening sockets,
 * accepting, datagrams, options, shutdown; positions in files, and sending one.
 *
 * Everything else of the library is free of #ifdefs for systems, but for signals, terminals and
 * standard streams (interrupt, terminal, port, blocking). A result below 0 is a libuv code.
 * Sockets that come from here do not block and are not inherited by child processes. */
#ifndef ASY_SYS_H
#define ASY_SYS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <uv.h>

#ifndef _WIN32
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/epoll.h>
#include <sys/sendfile.h>
#endif
#ifdef __APPLE__
#include <crt_externs.h>
#else
extern char **environ;
#endif

#define ASY_SYS_NO_SOCKET (-1)

/* accept4 is declared to those who define _GNU_SOURCE before their first include; the others need
 * three calls more */
#if defined(_GNU_SOURCE) || defined(__FreeBSD__) || defined(__NetBSD__) || defined(__OpenBSD__)
#define ASY_SYS_ACCEPT4
#endif

static inline int asy_sys_error(void) {
  return uv_translate_sys_error(errno);
}

static inline int asy_sys_prepare(int fd) {
  int flags = fcntl(fd, F_GETFL);
  if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
    return asy_sys_error();
  return 0;
}

/* A descriptor that others have opened: the same. */
static inline int asy_sys_take(uv_os_sock_t fd) {
  return asy_sys_prepare(fd);
}

static inline void asy_sys_close(uv_os_sock_t fd) {
  close(fd); /* not repeated after EINTR: the descriptor is gone then, as a rule */
}

static inline int asy_sys_finish(int made, uv_os_sock_t *fd) {
  int err = asy_sys_prepare(made);
  if (err) {
    close(made);
    return err;
  }
  *fd = made;
  return 0;
}

static inline int asy_sys_socket(int family, int type, uv_os_sock_t *fd) {
  *fd = ASY_SYS_NO_SOCKET;
#ifdef SOCK_CLOEXEC
  int made = socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (made < 0) return asy_sys_error();
  *fd = made;
  return 0;
#else
  int made = socket(family, type, 0);
  return made < 0 ? asy_sys_error() : asy_sys_finish(made, fd);
#endif
}

/* UV_EAGAIN: nobody waits to be accepted. */
static inline int asy_sys_accept(uv_os_sock_t listener, struct sockaddr_storage *peer,
                                 uv_os_sock_t *fd) {
  socklen_t length;
  int made;
  *fd = ASY_SYS_NO_SOCKET;
  do {
    length = sizeof *peer;
#ifdef ASY_SYS_ACCEPT4
    made = accept4(listener, (struct sockaddr *)peer, &length, SOCK_NONBLOCK | SOCK_CLOEXEC);
#else
    made = accept(listener, (struct sockaddr *)peer, &length);
#endif
  } while (made < 0 && (errno == EINTR || errno == ECONNABORTED));
  if (made < 0) return errno == EWOULDBLOCK ? UV_EAGAIN : asy_sys_error();
#ifdef ASY_SYS_ACCEPT4
  *fd = made;
  return 0;
#else
  return asy_sys_finish(made, fd);
#endif
}

static inline int asy_sys_listen(uv_os_sock_t fd, int backlog) {
  return listen(fd, backlog) ? asy_sys_error() : 0;
}

/* how: 0 read, 1 write, 2 both */
static inline int asy_sys_shutdown(uv_os_sock_t fd, int how) {
  static const int hows[] = {SHUT_RD, SHUT_WR, SHUT_RDWR};
  return shutdown(fd, hows[how]) ? asy_sys_error() : 0;
}

static inline int asy_sys_connect(uv_os_sock_t fd, const struct sockaddr *addr, socklen_t length) {
  int err;
  do
    err = connect(fd, addr, length);
  while (err && errno == EINTR);
  return err ? asy_sys_error() : 0;
}

/* Can asy_sys_read read what uv_read_start watches? */
#define ASY_SYS_READS_ALL 1

/* From a socket or pipe that does not block. How many bytes, 0 at the end, UV_EAGAIN, or an error.
 */
static inline long asy_sys_read(uv_os_sock_t fd, char *bytes, size_t size) {
  ssize_t n;
  do
    n = read(fd, bytes, size);
  while (n < 0 && errno == EINTR);
  if (n >= 0) return (long)n;
  return errno == EWOULDBLOCK ? UV_EAGAIN : asy_sys_error();
}

/* One datagram, of which what is behind `size` bytes is lost. Its length, UV_EAGAIN, or an error.
 */
static inline long asy_sys_recvfrom(uv_os_sock_t fd, char *bytes, size_t size,
                                    struct sockaddr_storage *from, socklen_t *length) {
  ssize_t n;
  do {
    *length = sizeof *from;
    n = recvfrom(fd, bytes, size, 0, (struct sockaddr *)from, length);
  } while (n < 0 && errno == EINTR);
  if (n >= 0) return (long)n;
  return errno == EWOULDBLOCK ? UV_EAGAIN : asy_sys_error();
}

/* addr is NULL for a connected socket. 0, UV_EAGAIN (also where the system calls it ENOBUFS), or an
 * error. */
static inline int asy_sys_sendto(uv_os_sock_t fd, const char *bytes, size_t n,
                                 const struct sockaddr *addr, socklen_t length) {
  ssize_t sent;
  do
    sent = sendto(fd, bytes, n, 0, addr, length);
  while (sent < 0 && errno == EINTR);
  if (sent >= 0) return 0;
  return errno == EWOULDBLOCK || errno == ENOBUFS ? UV_EAGAIN : asy_sys_error();
}

/* Who has made the other end of a connected unix socket; *pid is -1 where the system does not say.
 */
static inline int asy_sys_peercred(uv_os_sock_t fd, long *pid, long *uid, long *gid) {
#if defined(SO_PEERCRED) && defined(_GNU_SOURCE) && defined(__linux__)
  struct ucred who;
  socklen_t length = sizeof who;
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &length)) return asy_sys_error();
  *pid = (long)who.pid;
  *uid = (long)who.uid;
  *gid = (long)who.gid;
  return 0;
#elif defined(__APPLE__) || defined(__FreeBSD__) || defined(__NetBSD__) || defined(__OpenBSD__)
  uid_t u;
  gid_t g;
  if (getpeereid(fd, &u, &g)) return asy_sys_error();
  *pid = -1;
  *uid = (long)u;
  *gid = (long)g;
  return 0;
#else
  (void)fd;
  (void)pid;
  (void)uid;
  (void)gid;
  return UV_ENOSYS;
#endif
}

/* ---- descriptors that somebody else has opened */

/* Go back in a file. False if that cannot be done. */
static inline bool asy_sys_rewind(uv_os_sock_t fd, size_t bytes) {
  return lseek(fd, -(off_t)bytes, SEEK_CUR) >= 0;
}

/* libuv ends the process when it is to close a descriptor of its own below 3: where the process was
 * started without a standard stream, /dev/null takes its number. */
static inline void asy_sys_fill_standard(void) {
  for (int i = 0; i < 3; i++) {
    int fd = fcntl(i, F_GETFD) < 0 ? open("/dev/null", O_RDWR) : -1;
    if (fd > 2) close(fd);
  }
}

/* What a descriptor refers to: another one after it was closed and its number used again. */
typedef struct asy_SysId {
  dev_t device;
  ino_t inode;
} asy_SysId;

static inline int asy_sys_identify(uv_os_sock_t fd, asy_SysId *id) {
  struct stat st;
  if (fstat(fd, &st)) return asy_sys_error();
  id->device = st.st_dev;
  id->inode = st.st_ino;
  return 0;
}

static inline bool asy_sys_is_same(uv_os_sock_t fd, const asy_SysId *id) {
  asy_SysId now = {0, 0};
  return asy_sys_identify(fd, &now) == 0 && now.device == id->device && now.inode == id->inode;
}

/* Watching one: uv_poll_init would set O_NONBLOCK, for all who share the description, and libuv
 * cannot stop watching a number that was closed while a duplicate of it is open. So on Linux libuv
 * watches an epoll descriptor of ours, *own, in which there is just that one. It keeps nothing open
 * that the user closes. */
static inline int asy_sys_watch_init(uv_loop_t *uv, uv_poll_t *poll, uv_os_sock_t fd,
                                     uv_os_sock_t *own) {
#ifdef __linux__
  struct epoll_event event = {0, {0}};
  *own = epoll_create1(EPOLL_CLOEXEC);
  if (*own < 0) return asy_sys_error();
  int err = epoll_ctl(*own, EPOLL_CTL_ADD, fd, &event) ? asy_sys_error() : 0;
  if (!err) err = uv_poll_init(uv, poll, *own);
  if (err) close(*own);
#else
  struct stat st;
  int flags = fcntl(fd, F_GETFL);
  *own = fd;
  if (flags < 0 || fstat(fd, &st)) return asy_sys_error();
  if (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode)) return UV_EPERM;
  int err = uv_poll_init(uv, poll, fd);
  fcntl(fd, F_SETFL, flags);
#endif
  return err;
}

/* Watch for these events from now on: UV_READABLE, UV_WRITABLE, both, or none. */
static inline int asy_sys_watch_start(uv_poll_t *poll, uv_os_sock_t fd, uv_os_sock_t own,
                                      int events, uv_poll_cb on_poll) {
#ifdef __linux__
  struct epoll_event event = {0, {0}};
  if (events & UV_READABLE) event.events |= EPOLLIN;
  if (events & UV_WRITABLE) event.events |= EPOLLOUT;
  if (epoll_ctl(own, EPOLL_CTL_MOD, fd, &event)) return asy_sys_error();
  if (events) events = UV_READABLE; /* of the epoll descriptor */
#else
  (void)fd;
  (void)own;
#endif
  return events ? uv_poll_start(poll, events, on_poll) : uv_poll_stop(poll);
}

/* What on_poll was told. Errors count as readable and writable: whoever reads or writes learns what
 * has happened. */
static inline int asy_sys_watch_events(uv_os_sock_t own, int status, int events) {
#ifdef __linux__
  struct epoll_event event;
  (void)status;
  events = 0;
  if (epoll_wait(own, &event, 1, 0) == 1) {
    if (event.events & ~(unsigned)EPOLLOUT) events |= UV_READABLE;
    if (event.events & ~(unsigned)EPOLLIN) events |= UV_WRITABLE;
  }
#else
  (void)own;
  if (status < 0) events = UV_READABLE | UV_WRITABLE;
#endif
  return events;
}

/* libuv has stopped watching. */
static inline void asy_sys_watch_done(uv_os_sock_t own) {
#ifdef __linux__
  close(own);
#else
  (void)own;
#endif
}

/* ---- child processes */

#define ASY_SYS_SIGCHLD SIGCHLD
#define ASY_SYS_ECHILD ECHILD
#define ASY_SYS_HAS_GROUPS 1 /* a negative pid is a process group */
#define ASY_SYS_SHELL "/bin/sh"
#define ASY_SYS_SHELL_OPTION "-c"
#define ASY_SYS_SHELL_FLAGS 0

/* The environment, a list of "NAME=value" that ends with NULL. */
static inline char **asy_sys_environ(void) {
#ifdef __APPLE__
  return *_NSGetEnviron();
#else
  return environ;
#endif
}

/* Has this child ended? UV_EAGAIN: no. 0: yes, with this status, or killed by a signal, whose
 * negative number it is. Else it is no child of ours (any more). */
static inline int asy_sys_reap(int pid, int64_t *code) {
  int status;
  pid_t got;
  do
    got = waitpid((pid_t)pid, &status, WNOHANG);
  while (got < 0 && errno == EINTR);
  if (got == 0) return UV_EAGAIN;
  if (got < 0) return asy_sys_error();
  *code = WIFSIGNALED(status) ? -(int64_t)WTERMSIG(status) : (int64_t)WEXITSTATUS(status);
  return 0;
}

static inline int asy_sys_fileno(FILE *file) {
  return fileno(file);
}

static inline void asy_sys_close_file(int fd) {
  close(fd);
}

static inline bool asy_sys_is_open(int fd) {
  return fcntl(fd, F_GETFD) >= 0;
}

/* The descriptor that a child process can be given of a socket or pipe; negative: none. */
static inline int asy_sys_descriptor(uv_os_sock_t fd) {
  return fd;
}

#else /* _WIN32 */
#include <io.h>
#include <stdlib.h>
#include <ws2tcpip.h>
/* after it */
#include <afunix.h>
#include <iphlpapi.h>

#define ASY_SYS_NO_SOCKET INVALID_SOCKET

static inline int asy_sys_error(void) {
  return uv_translate_sys_error(WSAGetLastError());
}

static inline void asy_sys_close(uv_os_sock_t fd) {
  closesocket(fd);
}

static inline int asy_sys_finish(SOCKET made, uv_os_sock_t *fd) {
  unsigned long on = 1;
  if (made == INVALID_SOCKET) return asy_sys_error();
  SetHandleInformation((HANDLE)made, HANDLE_FLAG_INHERIT, 0);
  if (ioctlsocket(made, FIONBIO, &on)) {
    int err = asy_sys_error();
    closesocket(made);
    return err;
  }
  *fd = made;
  return 0;
}

static inline int asy_sys_take(uv_os_sock_t fd) {
  unsigned long on = 1;
  return ioctlsocket(fd, FIONBIO, &on) ? asy_sys_error() : 0;
}

static inline int asy_sys_socket(int family, int type, uv_os_sock_t *fd) {
  return asy_sys_finish(WSASocketW(family, type, 0, NULL, 0, WSA_FLAG_OVERLAPPED), fd);
}

static inline int asy_sys_accept(uv_os_sock_t listener, struct sockaddr_storage *peer,
                                 uv_os_sock_t *fd) {
  int length = sizeof *peer;
  return asy_sys_finish(accept(listener, (struct sockaddr *)peer, &length), fd);
}

static inline int asy_sys_listen(uv_os_sock_t fd, int backlog) {
  return listen(fd, backlog) ? asy_sys_error() : 0;
}

static inline int asy_sys_shutdown(uv_os_sock_t fd, int how) {
  static const int hows[] = {SD_RECEIVE, SD_SEND, SD_BOTH};
  return shutdown(fd, hows[how]) ? asy_sys_error() : 0;
}

static inline int asy_sys_connect(uv_os_sock_t fd, const struct sockaddr *addr, socklen_t length) {
  return connect(fd, addr, length) ? asy_sys_error() : 0;
}

/* libuv's pipes are no sockets here, and it begins its reads ahead. */
#define ASY_SYS_READS_ALL 0

static inline long asy_sys_read(uv_os_sock_t fd, char *bytes, size_t size) {
  (void)fd, (void)bytes, (void)size;
  return UV_ENOSYS;
}

static inline long asy_sys_recvfrom(uv_os_sock_t fd, char *bytes, size_t size,
                                    struct sockaddr_storage *from, socklen_t *length) {
  *length = sizeof *from;
  int n = recvfrom(fd, bytes, (int)size, 0, (struct sockaddr *)from, length);
  if (n >= 0) return n;
  return WSAGetLastError() == WSAEMSGSIZE ? (long)size : asy_sys_error();
}

static inline int asy_sys_sendto(uv_os_sock_t fd, const char *bytes, size_t n,
                                 const struct sockaddr *addr, socklen_t length) {
  return sendto(fd, bytes, (int)n, 0, addr, length) < 0 ? asy_sys_error() : 0;
}

static inline int asy_sys_peercred(uv_os_sock_t fd, long *pid, long *uid, long *gid) {
  (void)fd;
  (void)pid;
  (void)uid;
  (void)gid;
  return UV_ENOSYS;
}

static inline void asy_sys_fill_standard(void) {}

static inline bool asy_sys_rewind(uv_os_sock_t fd, size_t bytes) {
  (void)fd;
  (void)bytes;
  return false;
}

/* A socket cannot be told apart from the next one of its number. */
typedef struct asy_SysId {
  char none;
} asy_SysId;

static inline int asy_sys_identify(uv_os_sock_t fd, asy_SysId *id) {
  (void)fd;
  id->none = 0;
  return 0;
}

static inline bool asy_sys_is_same(uv_os_sock_t fd, const asy_SysId *id) {
  (void)fd;
  (void)id;
  return true;
}

static inline int asy_sys_watch_init(uv_loop_t *uv, uv_poll_t *poll, uv_os_sock_t fd,
                                     uv_os_sock_t *own) {
  *own = fd;
  return uv_poll_init_socket(uv, poll, fd);
}

static inline int asy_sys_watch_start(uv_poll_t *poll, uv_os_sock_t fd, uv_os_sock_t own,
                                      int events, uv_poll_cb on_poll) {
  (void)fd;
  (void)own;
  return events ? uv_poll_start(poll, events, on_poll) : uv_poll_stop(poll);
}

static inline int asy_sys_watch_events(uv_os_sock_t own, int status, int events) {
  (void)own;
  return status < 0 ? UV_READABLE | UV_WRITABLE : events;
}

static inline void asy_sys_watch_done(uv_os_sock_t own) {
  (void)own;
}

/* ---- child processes: libuv itself tells when one has ended */

#define ASY_SYS_SIGCHLD 0
#define ASY_SYS_ECHILD 10
#define ASY_SYS_HAS_GROUPS 0
#define ASY_SYS_SHELL "cmd.exe"
#define ASY_SYS_SHELL_OPTION "/c"
#define ASY_SYS_SHELL_FLAGS UV_PROCESS_WINDOWS_VERBATIM_ARGUMENTS

static inline char **asy_sys_environ(void) {
  return _environ;
}

static inline int asy_sys_reap(int pid, int64_t *code) {
  (void)pid;
  (void)code;
  return UV_EAGAIN;
}

static inline int asy_sys_fileno(FILE *file) {
  return _fileno(file);
}

static inline void asy_sys_close_file(int fd) {
  _close(fd);
}

static inline bool asy_sys_is_open(int fd) {
  (void)fd;
  return true;
}

static inline int asy_sys_descriptor(uv_os_sock_t fd) {
  (void)fd;
  return -1;
}
#endif

static inline socklen_t asy_sys_length(const struct sockaddr *addr) {
  return addr->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
}

static inline int asy_sys_bind(uv_os_sock_t fd, const struct sockaddr *addr, socklen_t length) {
  return bind(fd, addr, length) ? asy_sys_error() : 0;
}

static inline int asy_sys_getsockname(uv_os_sock_t fd, struct sockaddr_storage *addr,
                                      socklen_t *length) {
  *length = sizeof *addr;
  memset(addr, 0, sizeof *addr);
  return getsockname(fd, (struct sockaddr *)addr, length) ? asy_sys_error() : 0;
}

static inline int asy_sys_getpeername(uv_os_sock_t fd, struct sockaddr_storage *addr,
                                      socklen_t *length) {
  *length = sizeof *addr;
  memset(addr, 0, sizeof *addr);
  return getpeername(fd, (struct sockaddr *)addr, length) ? asy_sys_error() : 0;
}

static inline int asy_sys_setopt(uv_os_sock_t fd, int level, int name, const void *value,
                                 size_t size) {
  return setsockopt(fd, level, name, (const char *)value, (socklen_t)size) ? asy_sys_error() : 0;
}

static inline int asy_sys_setflag(uv_os_sock_t fd, int level, int name, int value) {
  return asy_sys_setopt(fd, level, name, &value, sizeof value);
}

static inline int asy_sys_getopt(uv_os_sock_t fd, int level, int name, void *value, size_t size) {
  socklen_t length = (socklen_t)size;
  return getsockopt(fd, level, name, (char *)value, &length) ? asy_sys_error() : 0;
}

/* Is it the mode of a socket's file? */
static inline bool asy_sys_is_socket(uint64_t mode) {
#ifdef S_ISSOCK
  return S_ISSOCK((mode_t)mode);
#else
  (void)mode;
  return false;
#endif
}

/* The number of a network interface by its name; 0 if there is none. */
static inline unsigned asy_sys_interface(const char *name) {
  return if_nametoindex(name);
}

/* ---- flags that one thread sets and another one looks at */

typedef volatile long asy_Flag;

#ifdef _MSC_VER
static inline void asy_sys_flag_set(asy_Flag *flag) {
  *flag = 1;
}

static inline bool asy_sys_flag_is_set(asy_Flag *flag) {
  return *flag != 0;
}
#else
static inline void asy_sys_flag_set(asy_Flag *flag) {
  __atomic_store_n(flag, 1, __ATOMIC_RELAXED);
}

static inline bool asy_sys_flag_is_set(asy_Flag *flag) {
  return __atomic_load_n(flag, __ATOMIC_RELAXED) != 0;
}
#endif

/* ---- files */

#ifndef _WIN32
static inline int64_t asy_sys_seek(uv_file fd, int64_t offset, int whence) {
  off_t at = lseek(fd, (off_t)offset, whence);
  return at < 0 ? asy_sys_error() : (int64_t)at;
}

/* A descriptor of our own for the same socket. */
static inline int asy_sys_dup(uv_os_sock_t fd) {
  int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
  return copy < 0 ? asy_sys_error() : copy;
}
#else
#include <io.h>
#include <stdio.h>

static inline int64_t asy_sys_seek(uv_file fd, int64_t offset, int whence) {
  __int64 at = _lseeki64(fd, offset, whence);
  return at < 0 ? UV_EINVAL : (int64_t)at;
}

static inline int asy_sys_dup(uv_os_sock_t fd) {
  (void)fd;
  return UV_ENOSYS;
}
#endif

/* Send from a file's position on, which moves: how many bytes; 0 at its end. */
static inline int64_t asy_sys_sendfile(uv_file socket, uv_file file, size_t n) {
#ifdef __linux__
  ssize_t sent;
  do
    sent = sendfile(socket, file, NULL, n);
  while (sent < 0 && errno == EINTR);
  if (sent >= 0) return sent;
  return errno == EWOULDBLOCK ? UV_EAGAIN : asy_sys_error();
#else
  (void)socket, (void)file, (void)n;
  return UV_ENOSYS;
#endif
}

/* A cheap clock in nanoseconds that moves in ticks of 1 to 4 ms, where the system has one: for "has
 * some time passed?". */
static inline uint64_t asy_sys_tick(void) {
#ifdef CLOCK_MONOTONIC_COARSE
  struct timespec now;
  if (clock_gettime(CLOCK_MONOTONIC_COARSE, &now) == 0)
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
#endif
  return uv_hrtime();
}

#endif
