/* SPDX-License-Identifier: MIT */
/* terminal.h - the mode of a terminal, and its size.
 *
 * Who changes the mode must give it back: when the stream closes, when the loop does, at exit(),
 * and when a signal ends or stops the process. One terminal of a process can be in another mode
 * than its own at a time. */
#ifndef ASY_TERMINAL_H
#define ASY_TERMINAL_H

#include "exit.h"

typedef enum asy_TerminalMode {
  ASY_TERMINAL_NORMAL, /* as it was */
  ASY_TERMINAL_NOECHO, /* lines as usual, which are not shown */
  ASY_TERMINAL_CBREAK, /* bytes come one by one, and are not shown; Ctrl-C still is a signal */
  ASY_TERMINAL_RAW     /* neither are signals made of keys; output is still processed */
} asy_TerminalMode;

typedef struct asy_Terminal asy_Terminal;

/* 0 or a libuv code: UV_ENOTTY, UV_EBUSY, UV_ENOTSUP. *held is NULL before the first change. */
ASY_FUNC int asy_terminal_set(asy_Terminal **held, uv_os_sock_t fd, asy_TerminalMode mode);

/* Give the mode back; before the descriptor is closed. NULL is allowed. */
ASY_FUNC void asy_terminal_release(asy_Terminal **held);

/* 0 or a libuv code. */
ASY_FUNC int asy_terminal_size(uv_os_sock_t fd, int *columns, int *rows);

#endif
