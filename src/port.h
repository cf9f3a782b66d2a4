/* SPDX-License-Identifier: MIT */
/* port.h - the carrier of a Stream over a descriptor that was there before us: 0, 1 or 2.
 *
 * Such a description is shared, with other processes and with print: O_NONBLOCK is never set on it.
 * A pipe or a terminal is opened once more, which gives a description of our own; a socket is asked
 * not to block each time. What is neither is the room blocking's. Plain files and the like are
 * always ready: they are written to at once. */
#ifndef ASY_PORT_H
#define ASY_PORT_H

#include "exit.h"
#include "flow.h"
#include "terminal.h"

typedef enum asy_PortKind {
  ASY_PORT_TERMINAL,
  ASY_PORT_PIPE,
  ASY_PORT_SOCKET,
  ASY_PORT_FILE /* also /dev/null, and what else cannot be polled */
} asy_PortKind;

typedef struct asy_Port {
  asy_Stream *s;      /* NULL once it is closed */
  asy_Loop *loop;     /* valid as long as s */
  asy_Chunk *chunk;   /* that is being written */
  size_t done;        /* of it */
  asy_Exit exit;      /* of an output */
  asy_Terminal *mode; /* what the mode of a terminal has to be given back to */
  void *worker;       /* of the room blocking */
  uv_os_sock_t fd;    /* what is read or written, and closed in the end */
  uv_os_sock_t own;   /* see asy_sys_watch_init */
  uv_poll_t poll;
  int number; /* 0, 1 or 2 */
  int events; /* what is polled for */
  int error;  /* of a file: what the rest of a write has met */
  uint8_t kind;
  bool output;
  bool shared; /* the description is not ours alone: it may block */
  bool polled; /* poll is initialised */
} asy_Port;

/* Open a port for the standard stream of this number. 0 or a libuv code. */
ASY_FUNC int asy_port_new(asy_Loop *loop, int number, asy_Port **out);

/* Free what has no stream yet. */
ASY_FUNC void asy_port_free(asy_Port *p);

/* What print has written goes out first. */
ASY_FUNC void asy_port_flush_print(const asy_Port *p);

/* The carriers: whether the port is to be polled, or is a file that is written to. */
ASY_FUNC const asy_Carrier *asy_port_polled(void);
ASY_FUNC const asy_Carrier *asy_port_file(void);

/* Give the port to a stream, whose carrier is ready for it. 0 or a libuv code. */
ASY_FUNC int asy_port_begin(asy_Port *p, asy_Stream *s);

/* The descriptor is the carrier's no more: give the mode back, close it. */
ASY_FUNC void asy_port_end(asy_Port *p);

/* Write out what the stream has kept, and wait for that: the process or the loop ends. */
ASY_FUNC void asy_port_flush(asy_Port *p);

/* read(2) and write(2) without blocking, unless `wait`. The number of bytes, 0 at the end, or a
 * libuv code. */
ASY_FUNC long asy_port_read(asy_Port *p, char *bytes, size_t n, bool wait);
ASY_FUNC long asy_port_write(asy_Port *p, const char *bytes, size_t n, bool wait);

#endif
