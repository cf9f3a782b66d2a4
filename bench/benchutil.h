/* SPDX-License-Identifier: MIT */
/* begin() ... finish(count, check) for the C programs. */
#include <stdio.h>
#include <string.h>
#include <time.h>

static long long bu_wall, bu_cpu, bu_rss;

static long long bu_clock(clockid_t id) {
  struct timespec t;
  clock_gettime(id, &t);
  return (long long)t.tv_sec * 1000000000 + t.tv_nsec;
}
static long long bu_status(const char *key) {
  char line[256];
  long long kb = 0;
  FILE *f = fopen("/proc/self/status", "r");
  while (f && fgets(line, sizeof line, f))
    if (!strncmp(line, key, strlen(key))) {
      sscanf(line + strlen(key), "%lld", &kb);
      break;
    }
  if (f) fclose(f);
  return kb * 1024;
}
static void begin(void) {
  bu_rss = bu_status("VmRSS:");
  bu_cpu = bu_clock(CLOCK_PROCESS_CPUTIME_ID);
  bu_wall = bu_clock(CLOCK_MONOTONIC);
}
static void finish(long long count, long long check) {
  long long w = bu_clock(CLOCK_MONOTONIC) - bu_wall,
            c = bu_clock(CLOCK_PROCESS_CPUTIME_ID) - bu_cpu;
  printf(
      "{\"count\": %lld, \"check\": %lld, \"wall_ns\": %lld, \"cpu_ns\": %lld, \"rss0\": %lld, \"peak\": %lld}\n",
      count, check, w, c, bu_rss, bu_status("VmHWM:"));
}
