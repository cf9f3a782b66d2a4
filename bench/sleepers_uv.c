/* SPDX-License-Identifier: MIT */
/* Reference: one uv_timer_t per sleeper in one array, no task at all. */
#include <stdlib.h>
#include <uv.h>
#include "benchutil.h"
static long long sum;
static void on_timer(uv_timer_t *t) {
  sum += (long long)(size_t)t->data;
}
int main(int argc, char **argv) {
  long n = argc > 1 ? atol(argv[1]) : 1000;
  uint32_t x = 1;
  uv_loop_t *l = uv_default_loop();
  begin();
  uv_timer_t *t = malloc((size_t)n * sizeof *t);
  uv_update_time(l);
  for (long i = 0; i < n; i++) {
    x = (x * 1103515245u + 12345u) & 0x7fffffff;
    uv_timer_init(l, &t[i]);
    t[i].data = (void *)(size_t)(i + 1);
    uv_timer_start(&t[i], on_timer, (uint64_t)(x / 2147483648.0 * 1000) + 1, 0);
  }
  uv_run(l, UV_RUN_DEFAULT);
  finish(n, sum);
}
