/* SPDX-License-Identifier: MIT */
/* TCP echo load generator: one thread, epoll, level triggered.
 *
 *   echo_load [-h host] -p port [-c conns] [-s size] [-P depth] [-t seconds] [-w warmup]
 *             [-S server_pid] [-v messages]
 *
 * timed mode   counts whole messages of `size` bytes that came back; every connection keeps `depth`
 * in flight. -v N         verify mode: sends N messages per connection, cut at pseudo-random
 * places, content unique to (connection, offset), compares every byte, half-closes and expects
 * exactly EOF. Exit 1 on a mismatch. -i           idle mode: opens the connections, exchanges one
 * message on each, prints IDLE, holds until stdin closes. -S PID       also reports the CPU time
 * all threads of PID used inside the measured window (schedstat). One JSON line on stdout. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

typedef struct {
  int fd, id, out; /* out: EPOLLOUT armed */
  size_t tosend,
      pos;    /* bytes still to send of the current batch; offset inside the message pattern */
  size_t got; /* bytes received of the current message */
  uint64_t sent, recvd; /* verify mode: stream offsets */
  unsigned head, tail;  /* ring of send times */
  uint64_t *stamp;
} conn;

static size_t size = 64;
static unsigned depth = 1;
static uint64_t verify; /* bytes per connection, 0 = timed mode */
static int ep, failed;
static char *pattern, rbuf[1 << 18];
static uint64_t done_msgs, hist[64 * 64];
static int measuring;

static uint64_t now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void die(const char *what) {
  perror(what);
  exit(2);
}

/* log-linear histogram: 32 buckets per power of two, <= 3 % error */
static unsigned bucket(uint64_t v) {
  if (v < 32) return (unsigned)v;
  unsigned e = 63u - (unsigned)__builtin_clzll(v);
  return (e - 4) * 32 + (unsigned)((v >> (e - 5)) & 31);
}
static double unbucket(unsigned b) {
  if (b < 32) return b;
  unsigned e = b / 32 + 4;
  return (double)(((uint64_t)(32 + b % 32)) << (e - 5)) + (double)(1ull << (e - 5)) / 2;
}
static double quantile(uint64_t total, double q) {
  uint64_t want = (uint64_t)((double)total * q), seen = 0;
  for (unsigned b = 0; b < sizeof hist / sizeof *hist; b++)
    if ((seen += hist[b]) > want) return unbucket(b) / 1000.0;
  return 0;
}

static uint64_t server_cpu(int pid) { /* ns on CPU of all threads */
  char path[300];
  uint64_t sum = 0, v;
  snprintf(path, sizeof path, "/proc/%d/task", pid);
  DIR *d = opendir(path);
  if (!d) return 0;
  for (struct dirent *e; (e = readdir(d));) {
    if (e->d_name[0] == '.') continue;
    snprintf(path, sizeof path, "/proc/%d/task/%s/schedstat", pid, e->d_name);
    FILE *f = fopen(path, "r");
    if (f) {
      if (fscanf(f, "%lu", &v) == 1) sum += v;
      fclose(f);
    }
  }
  closedir(d);
  return sum;
}

static unsigned char verify_byte(int id, uint64_t off) {
  uint64_t x = (off >> 3) * 0x9E3779B97F4A7C15u + (uint64_t)id * 0xD1B54A32D192ED03u;
  x ^= x >> 29;
  x *= 0xBF58476D1CE4E5B9u;
  return (unsigned char)(x >> (8 * (off & 7)));
}

static void arm(conn *c, int out) {
  if (c->out == out) return;
  c->out = out;
  struct epoll_event e = {.events = EPOLLIN | (out ? EPOLLOUT : 0), .data.ptr = c};
  if (epoll_ctl(ep, EPOLL_CTL_MOD, c->fd, &e)) die("epoll_ctl");
}

static void send_more(conn *c) {
  while (c->tosend) {
    size_t n = size * 16 - c->pos; /* the pattern buffer holds 16 copies of the message */
    if (n > c->tosend) n = c->tosend;
    ssize_t r = send(c->fd, pattern + c->pos, n, MSG_NOSIGNAL);
    if (r < 0) {
      if (errno == EAGAIN) break;
      die("send");
    }
    c->tosend -= (size_t)r;
    c->pos = (c->pos + (size_t)r) % size;
  }
  arm(c, c->tosend != 0);
}

static void queue_messages(conn *c, unsigned n, uint64_t t) {
  for (unsigned i = 0; i < n; i++)
    c->stamp[c->tail++ % depth] = t;
  c->tosend += size * n;
  send_more(c);
}

static void on_read(conn *c) {
  ssize_t r = recv(c->fd, rbuf, sizeof rbuf, 0);
  if (r < 0 && errno == EAGAIN) return;
  if (r <= 0) {
    fprintf(stderr, "server closed connection\n");
    exit(2);
  }
  c->got += (size_t)r;
  unsigned k = (unsigned)(c->got / size);
  if (!k) return;
  c->got %= size;
  uint64_t t = now();
  if (measuring) {
    done_msgs += k;
    for (unsigned i = 0; i < k; i++)
      hist[bucket(t - c->stamp[(c->head + i) % depth])]++;
  }
  c->head += k;
  queue_messages(c, k, t);
}

static int live; /* verify mode: connections not finished */

static void verify_step(conn *c, uint32_t events) {
  if (events & EPOLLIN) {
    ssize_t r = recv(c->fd, rbuf, 1 + (size_t)rand() % sizeof rbuf, 0);
    if (r < 0 && errno != EAGAIN) die("recv");
    if (r == 0) { /* EOF must come exactly after all bytes came back */
      if (c->recvd != verify) {
        fprintf(stderr, "conn %d: EOF after %lu of %lu\n", c->id, c->recvd, verify);
        failed = 1;
      }
      close(c->fd);
      c->fd = -1;
      live--;
      return;
    }
    for (ssize_t i = 0; i < r; i++)
      if ((unsigned char)rbuf[i] != verify_byte(c->id, c->recvd + (uint64_t)i) ||
          c->recvd + (uint64_t)i >= verify) {
        fprintf(stderr, "conn %d: wrong byte at %lu\n", c->id, c->recvd + (uint64_t)i);
        exit(1);
      }
    if (r > 0) c->recvd += (uint64_t)r;
  }
  if (c->out && (events & EPOLLOUT)) {
    char b[40000];
    uint64_t n = 1 + (uint64_t)rand() % sizeof b, window = (uint64_t)size * depth;
    if (n > verify - c->sent) n = verify - c->sent;
    if (c->sent + n - c->recvd > window) n = window - (c->sent - c->recvd);
    for (uint64_t i = 0; i < n; i++)
      b[i] = (char)verify_byte(c->id, c->sent + i);
    ssize_t r = n ? send(c->fd, b, n, MSG_NOSIGNAL) : 0;
    if (r < 0 && errno != EAGAIN) die("send");
    if (r > 0) c->sent += (uint64_t)r;
  }
  if (c->sent == verify && c->out) {
    shutdown(c->fd, SHUT_WR);
    arm(c, 0);
  } else if (c->sent < verify)
    arm(c, c->sent - c->recvd < (uint64_t)size * depth);
}

int main(int argc, char **argv) {
  const char *host = "127.0.0.1";
  int port = 0, n = 1, pid = 0, idle = 0, o;
  double secs = 1, warm = 0.1;
  while ((o = getopt(argc, argv, "h:p:c:s:P:t:w:S:v:i")) != -1)
    switch (o) {
    case 'h': host = optarg; break;
    case 'p': port = atoi(optarg); break;
    case 'c': n = atoi(optarg); break;
    case 's': size = (size_t)atol(optarg); break;
    case 'P': depth = (unsigned)atoi(optarg); break;
    case 't': secs = atof(optarg); break;
    case 'w': warm = atof(optarg); break;
    case 'S': pid = atoi(optarg); break;
    case 'v': verify = (uint64_t)atol(optarg); break;
    case 'i': idle = 1; break;
    default: return 2;
    }
  verify *= size;
  pattern = malloc(size * 16);
  for (size_t i = 0; i < size * 16; i++)
    pattern[i] = (char)('a' + i % size % 26);
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  inet_pton(AF_INET, host, &a.sin_addr);
  ep = epoll_create1(0);
  conn *cs = calloc((size_t)n, sizeof *cs);
  for (int i = 0; i < n; i++) {
    conn *c = &cs[i];
    c->id = i;
    c->stamp = calloc(depth, sizeof *c->stamp);
    if ((c->fd = socket(AF_INET, SOCK_STREAM, 0)) < 0) die("socket");
    if (connect(c->fd, (struct sockaddr *)&a, sizeof a)) die("connect");
    int one = 1;
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (idle) { /* one blocking round trip, so that the server's task exists and waits for more */
      if (send(c->fd, pattern, size, 0) != (ssize_t)size) die("send");
      if (recv(c->fd, rbuf, size, MSG_WAITALL) != (ssize_t)size) die("recv");
    }
  }
  if (idle) {
    puts("IDLE");
    fflush(stdout);
    return (int)read(0, rbuf, 1) * 0;
  }
  struct epoll_event ev[512];
  for (int i = 0; i < n; i++) {
    struct epoll_event e = {.events = EPOLLIN | (verify ? EPOLLOUT : 0), .data.ptr = &cs[i]};
    cs[i].out = verify != 0;
    fcntl(cs[i].fd, F_SETFL, O_NONBLOCK);
    if (epoll_ctl(ep, EPOLL_CTL_ADD, cs[i].fd, &e)) die("epoll_ctl");
  }
  if (verify) {
    uint64_t limit = now() + 20000000000u;
    for (live = n; live && !failed;) {
      int k = epoll_wait(ep, ev, 512, 2000);
      for (int i = 0; i < k; i++)
        if (((conn *)ev[i].data.ptr)->fd >= 0) verify_step(ev[i].data.ptr, ev[i].events);
      if (now() > limit) {
        fprintf(stderr, "verify timed out, %d connections open\n", live);
        return 1;
      }
    }
    if (!failed) printf("{\"verified_bytes\": %lu}\n", verify * (uint64_t)n);
    return failed;
  }
  uint64_t t0 = now(), begin = t0 + (uint64_t)(warm * 1e9), end = 0, cpu0 = 0, t = t0;
  for (int i = 0; i < n; i++)
    queue_messages(&cs[i], depth, now());
  for (;;) {
    int k = epoll_wait(ep, ev, 512, 3000);
    if (k == 0) {
      fprintf(stderr, "stalled\n");
      return 2;
    }
    for (int i = 0; i < k; i++) {
      conn *c = ev[i].data.ptr;
      if (ev[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) on_read(c);
      if (ev[i].events & EPOLLOUT) send_more(c);
    }
    t = now();
    if (!measuring && t >= begin) {
      if (pid) cpu0 = server_cpu(pid);
      measuring = 1;
      begin = now();
      end = begin + (uint64_t)(secs * 1e9);
    } else if (measuring && t >= end)
      break;
  }
  uint64_t cpu = pid ? server_cpu(pid) - cpu0 : 0, dt = now() - begin;
  if (!done_msgs) {
    fprintf(stderr, "no message came back\n");
    return 2;
  }
  printf(
      "{\"msgs_per_s\": %.1f, \"p50_us\": %.1f, \"p99_us\": %.1f, \"p999_us\": %.1f, \"msgs\": %lu, "
      "\"secs\": %.4f, \"server_cpu_ns_per_msg\": %.1f, \"server_cpu_share\": %.3f}\n",
      (double)done_msgs / ((double)dt / 1e9), quantile(done_msgs, .5), quantile(done_msgs, .99),
      quantile(done_msgs, .999), done_msgs, (double)dt / 1e9, (double)cpu / (double)done_msgs,
      (double)cpu / (double)dt);
  return 0;
}
