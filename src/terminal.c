/* SPDX-License-Identifier: MIT */
/* terminal.c - see terminal.h. The signals that end or stop a process are caught while the mode is
 * changed, those only that have the default disposition: others are the program's own business, or
 * asyncio.run's, which ends in good order. The handler gives the mode back and lets the signal do
 * what it does. */
#include "terminal.h"

#ifndef _WIN32
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

static const int terminal_signals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP};

struct asy_Terminal {
  asy_Exit exit;
  int fd;
  struct termios before, now;
};

/* The one whose mode is changed: signals belong to the process. */
static asy_Terminal *volatile terminal_changed;

static void terminal_on_signal(int signum);

/* In the background the terminal is somebody else's: the shell's, as a rule. */
static void terminal_apply(const asy_Terminal *t, const struct termios *mode) {
  pid_t foreground = tcgetpgrp(t->fd);
  if (foreground <= 0 || foreground == getpgrp()) tcsetattr(t->fd, TCSANOW, mode);
}

static void terminal_catch(int signum) {
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_handler = terminal_on_signal;
  action.sa_flags = SA_RESTART; /* as where the signal is not caught: print and io.read go on */
  sigfillset(&action.sa_mask);
  sigaction(signum, &action, NULL);
}

/* A stopped process goes on behind raise, when it is continued. */
static void terminal_on_signal(int signum) {
  int saved = errno;
  asy_Terminal *t = terminal_changed;
  struct sigaction standard;
  sigset_t set;
  memset(&standard, 0, sizeof standard);
  standard.sa_handler = SIG_DFL;
  if (t) terminal_apply(t, &t->before);
  sigaction(signum, &standard, NULL);
  raise(signum);
  sigemptyset(&set);
  sigaddset(&set, signum);
  sigprocmask(SIG_UNBLOCK, &set, NULL);
  if (t && t == terminal_changed) {
    terminal_apply(t, &t->now);
    terminal_catch(signum);
  }
  errno = saved;
}

static void terminal_watch_signals(bool on) {
  struct sigaction action;
  for (size_t i = 0; i < sizeof terminal_signals / sizeof *terminal_signals; i++) {
    if (sigaction(terminal_signals[i], NULL, &action) || (action.sa_flags & SA_SIGINFO)) continue;
    if (on && action.sa_handler == SIG_DFL) terminal_catch(terminal_signals[i]);
    if (on || action.sa_handler != terminal_on_signal) continue;
    action.sa_handler = SIG_DFL;
    sigaction(terminal_signals[i], &action, NULL);
  }
}

static void terminal_restore(asy_Terminal *t) {
  if (terminal_changed != t) return;
  terminal_apply(t, &t->before);
  terminal_changed = NULL;
  terminal_watch_signals(false);
  asy_exit_remove(&t->exit);
}

/* The process ends, perhaps on another thread than the one that has changed the mode. */
static void terminal_leave(asy_Exit *e) {
  const asy_Terminal *t = ASY_CONTAINER(e, asy_Terminal, exit);
  terminal_apply(t, &t->before);
  terminal_changed = NULL; /* last: that one may free it now */
}

static void terminal_describe(const struct termios *before, asy_TerminalMode mode,
                              struct termios *now) {
  *now = *before;
  now->c_lflag &= (tcflag_t)~ECHO;
  if (mode == ASY_TERMINAL_NOECHO) return;
  now->c_lflag &= (tcflag_t)~ICANON;
  now->c_cc[VMIN] = 1;
  now->c_cc[VTIME] = 0;
  if (mode == ASY_TERMINAL_CBREAK) return;
  now->c_iflag &= (tcflag_t) ~(BRKINT | ICRNL | INPCK | ISTRIP | IXON);
  now->c_cflag |= CS8;
  now->c_lflag &= (tcflag_t) ~(IEXTEN | ISIG);
}

int asy_terminal_set(asy_Terminal **held, uv_os_sock_t fd, asy_TerminalMode mode) {
  struct termios now;
  if (tcgetattr(fd, &now)) return uv_translate_sys_error(errno);
  if (mode == ASY_TERMINAL_NORMAL) {
    if (*held) terminal_restore(*held);
    return 0;
  }
  asy_Terminal *t = *held;
  if (!t) {
    t = *held = asy_malloc(sizeof *t);
    if (!t) return UV_ENOMEM;
    asy_exit_init(&t->exit, true);
  }
  t->fd = fd;
  if (terminal_changed != t) t->before = now;
  terminal_describe(&t->before, mode, &t->now);
  asy_Terminal *other = __sync_val_compare_and_swap(&terminal_changed, NULL, t);
  if (other && other != t) return UV_EBUSY;
  if (!other) {
    asy_exit_add(&t->exit, terminal_leave);
    terminal_watch_signals(true);
  }
  if (!tcsetattr(fd, TCSANOW, &t->now)) return 0;
  int err = uv_translate_sys_error(errno);
  terminal_restore(t);
  return err;
}

void asy_terminal_release(asy_Terminal **held) {
  if (!*held) return;
  terminal_restore(*held);
  asy_free(*held);
  *held = NULL;
}

int asy_terminal_size(uv_os_sock_t fd, int *columns, int *rows) {
  struct winsize size;
  if (ioctl(fd, TIOCGWINSZ, &size)) return uv_translate_sys_error(errno);
  *columns = size.ws_col;
  *rows = size.ws_row;
  return 0;
}

#else /* _WIN32 */

int asy_terminal_set(asy_Terminal **held, uv_os_sock_t fd, asy_TerminalMode mode) {
  (void)held;
  (void)fd;
  (void)mode;
  return UV_ENOTSUP;
}

void asy_terminal_release(asy_Terminal **held) {
  (void)held;
}

int asy_terminal_size(uv_os_sock_t fd, int *columns, int *rows) {
  (void)fd;
  (void)columns;
  (void)rows;
  return UV_ENOTSUP;
}
#endif
