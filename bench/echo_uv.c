/* SPDX-License-Identifier: MIT */
/* Raw libuv. Reference: uv_try_write first, the rest by uv_write. -DPLAIN_WRITE: always uv_write,
 * buffer owned by the request (what a binding without try_write does). One shared read buffer in
 * both. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

typedef struct {
  uv_write_t req;
  uv_stream_t *s;
  char data[];
} wreq;
static char buf[65536];

static void on_alloc(uv_handle_t *h, size_t hint, uv_buf_t *b) {
  (void)h;
  (void)hint;
  b->base = buf;
  b->len = sizeof buf;
}
static void on_close(uv_handle_t *h) {
  free(h);
}
static void on_read(uv_stream_t *s, ssize_t n, const uv_buf_t *b);

static void on_write(uv_write_t *r, int status) {
  uv_stream_t *s = ((wreq *)r)->s;
  free(r);
  if (status < 0) {
    if (!uv_is_closing((uv_handle_t *)s)) uv_close((uv_handle_t *)s, on_close);
  }
#ifndef PLAIN_WRITE
  else
    uv_read_start(s, on_alloc, on_read);
#endif
}
static void write_later(uv_stream_t *s, const char *p, size_t n) {
  wreq *w = malloc(sizeof *w + n);
  w->s = s;
  memcpy(w->data, p, n);
  uv_buf_t b = uv_buf_init(w->data, (unsigned)n);
  if (uv_write(&w->req, s, &b, 1, on_write)) free(w);
}
static void on_read(uv_stream_t *s, ssize_t n, const uv_buf_t *b) {
  (void)b;
  if (n == 0) return;
  if (n < 0) {
    uv_close((uv_handle_t *)s, on_close);
    return;
  }
#ifdef PLAIN_WRITE
  write_later(s, buf, (size_t)n);
#else
  uv_buf_t o = uv_buf_init(buf, (unsigned)n);
  int w = uv_try_write(s, &o, 1);
  if (w == n) return;
  if (w < 0) {
    if (w != UV_EAGAIN) {
      uv_close((uv_handle_t *)s, on_close);
      return;
    }
    w = 0;
  }
  uv_read_stop(s);
  write_later(s, buf + w, (size_t)(n - w));
#endif
}
static void on_connection(uv_stream_t *ls, int status) {
  if (status) return;
  uv_tcp_t *c = malloc(sizeof *c);
  uv_tcp_init(ls->loop, c);
  if (uv_accept(ls, (uv_stream_t *)c)) {
    uv_close((uv_handle_t *)c, on_close);
    return;
  }
  uv_tcp_nodelay(c, 1);
  uv_read_start((uv_stream_t *)c, on_alloc, on_read);
}
int main(int argc, char **argv) {
  if (argc < 3) return 2;
  uv_loop_t *l = uv_default_loop();
  uv_tcp_t ls;
  struct sockaddr_in a;
  uv_ip4_addr(argv[1], atoi(argv[2]), &a);
  uv_tcp_init(l, &ls);
  if (uv_tcp_bind(&ls, (struct sockaddr *)&a, 0) ||
      uv_listen((uv_stream_t *)&ls, 1024, on_connection))
    return 1;
  puts("READY");
  fflush(stdout);
  return uv_run(l, UV_RUN_DEFAULT);
}
