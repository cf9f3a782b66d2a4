/* SPDX-License-Identifier: MIT */
/*
** The standard streams of a host: its own, unless it says otherwise; on a loop that it polls or
** runs; and lua_close while they are read.
*/
#include <unistd.h>

#include "host.h"

/* What descriptor 0 was, while it is a pipe of ours. */
typedef struct Stdin {
  int before, input;
} Stdin;

static void stdin_replace(Check *t, Stdin *in) {
  int fds[2];
  in->before = dup(0);
  check_int(t, pipe(fds), 0);
  check_int(t, dup2(fds[0], 0), 0);
  close(fds[0]);
  in->input = fds[1];
}

static void stdin_restore(Stdin *in) {
  if (in->before >= 0) dup2(in->before, 0);
  close(in->before);
  close(in->input);
}

static void standard_refused(Check *t) {
  lua_State *L = host_new_state();
  host_open(t, L, NULL, ASYNCIO_ALLOW_FILES | ASYNCIO_ALLOW_THREADS);
  host_run(t, L,
           "local asyncio = require 'asyncio'\n"
           "text = ''\n"
           "for _, name in ipairs {'stdin', 'stdout', 'stderr'} do\n"
           "  local ok, err = pcall(asyncio[name])\n"
           "  text = text .. tostring(ok) .. ' ' .. tostring(err) .. '; '\n"
           "end\n");
  host_check_string(t, L, "text",
                    "false stdin: the host keeps its standard streams for itself; "
                    "false stdout: the host keeps its standard streams for itself; "
                    "false stderr: the host keeps its standard streams for itself; ");
  lua_close(L);
}

static const char standard_reads[] =
    "local asyncio = require 'asyncio'\n"
    "text = ''\n"
    "asyncio.get_event_loop():create_task(function()\n"
    "  for line in asyncio.stdin():lines() do text = text .. line .. ';' end\n"
    "  done = true\n"
    "end)\n";

static void standard_polled(Check *t) {
  Stdin in;
  stdin_replace(t, &in);
  lua_State *L = host_new_state();
  asyncio_Loop *loop = host_open(t, L, NULL, ASYNCIO_ALLOW_STDIO);
  host_run(t, L, standard_reads);
  check_int(t, asyncio_poll(loop, 10), 0);
  check_int(t, write(in.input, "one\ntwo\n", 8), 8);
  close(in.input);
  host_poll_until(t, L, loop, "done");
  host_check_string(t, L, "text", "one;two;");
  check_int(t, asyncio_close(L, loop), 0);
  lua_close(L);
  stdin_restore(&in);
}

/* A read that waits keeps the host's uv_run going, the end lets it go. */
static void standard_hosted(Check *t) {
  Stdin in;
  uv_loop_t uv;
  stdin_replace(t, &in);
  lua_State *L = host_new_state();
  check_int(t, uv_loop_init(&uv), 0);
  host_open(t, L, &uv, ASYNCIO_ALLOW_STDIO);
  host_run(t, L, standard_reads);
  check(t, uv_run(&uv, UV_RUN_NOWAIT) != 0);
  check(t, uv_run(&uv, UV_RUN_NOWAIT) != 0);
  check_int(t, write(in.input, "one\ntwo\n", 8), 8);
  close(in.input);
  check_int(t, uv_run(&uv, UV_RUN_DEFAULT), 0);
  host_check_string(t, L, "text", "one;two;");
  lua_close(L);
  uv_run(&uv, UV_RUN_DEFAULT);
  check_int(t, uv_loop_close(&uv), 0);
  stdin_restore(&in);
}

/* lua_close while a task reads, once from a pipe, once from a file (by a thread). */
static void standard_closed(Check *t) {
  for (int i = 0; i < 20; i++) {
    Stdin in;
    uv_loop_t uv;
    stdin_replace(t, &in);
    FILE *file = i % 2 ? tmpfile() : NULL;
    if (file) {
      for (int k = 0; k < 20000; k++)
        fputs("a line\n", file);
      rewind(file);
      check_int(t, dup2(fileno(file), 0), 0);
    }
    lua_State *L = host_new_state();
    check_int(t, uv_loop_init(&uv), 0);
    host_open(t, L, &uv, ASYNCIO_ALLOW_STDIO);
    host_run(t, L, standard_reads);
    for (int k = 0; k < i; k++)
      uv_run(&uv, UV_RUN_NOWAIT);
    lua_close(L);
    uv_run(&uv, UV_RUN_DEFAULT);
    check_int(t, uv_loop_close(&uv), 0);
    if (file) fclose(file);
    stdin_restore(&in);
  }
}

CHECK_MAIN({"refused", standard_refused}, {"polled", standard_polled}, {"hosted", standard_hosted},
           {"closed", standard_closed})
