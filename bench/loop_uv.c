/* SPDX-License-Identifier: MIT */
/* Reference: uv_run(NOWAIT) with one quiet listening socket. */
#include <stdlib.h>
#include <uv.h>
#include "benchutil.h"
static void never(uv_stream_t *s, int st) {
  (void)s;
  (void)st;
  abort();
}
int main(int argc, char **argv) {
  long n = argc > 1 ? atol(argv[1]) : 1000, done = 0;
  uv_loop_t *l = uv_default_loop();
  uv_tcp_t ls;
  struct sockaddr_in a;
  uv_ip4_addr("127.0.0.1", 0, &a);
  uv_tcp_init(l, &ls);
  uv_tcp_bind(&ls, (struct sockaddr *)&a, 0);
  if (uv_listen((uv_stream_t *)&ls, 1, never)) return 1;
  begin();
  for (long i = 0; i < n; i++)
    done += uv_run(l, UV_RUN_NOWAIT) != 0;
  finish(n, done);
}
