/* SPDX-License-Identifier: MIT */
/*
** What the C tests share: a test is a function; check() counts; main() is CHECK_MAIN(tests...).
** Each test prints "ok NAME" or "not ok NAME", which spec/run.lua counts, and the status is 1 if
** any failed. A program whose name is given (build/c/heap_test order) runs only that test, for a
** debugger.
*/
#ifndef CHECK_H
#define CHECK_H

#include <stdio.h>
#include <string.h>

typedef struct Check {
  int failures; /* of the test that runs */
} Check;

typedef struct CheckTest {
  const char *name;
  void (*run)(Check *t);
} CheckTest;

#define check(t, cond) check_at((t), (cond) != 0, #cond, __FILE__, __LINE__)
#define check_int(t, got, want) check_int_at((t), (got), (want), #got, __FILE__, __LINE__)
#define check_str(t, got, want) check_str_at((t), (got), (want), #got, __FILE__, __LINE__)

static inline void check_at(Check *t, int ok, const char *text, const char *file, int line) {
  if (ok) return;
  t->failures++;
  printf("%s:%d: %s does not hold\n", file, line, text);
}

static inline void check_int_at(Check *t, long long got, long long want, const char *text,
                                const char *file, int line) {
  if (got == want) return;
  t->failures++;
  printf("%s:%d: %s is %lld, not %lld\n", file, line, text, got, want);
}

static inline void check_str_at(Check *t, const char *got, const char *want, const char *text,
                                const char *file, int line) {
  if (got && want && strcmp(got, want) == 0) return;
  t->failures++;
  printf("%s:%d: %s is \"%s\", not \"%s\"\n", file, line, text, got ? got : "(null)",
         want ? want : "(null)");
}

static inline int check_run(const CheckTest *tests, int argc, char **argv) {
  int failed = 0, ran = 0;
  for (const CheckTest *test = tests; test->name; test++) {
    if (argc > 1 && strcmp(argv[1], test->name) != 0) continue;
    Check t = {0};
    test->run(&t);
    printf("%s %s\n", t.failures ? "not ok" : "ok", test->name);
    fflush(stdout); /* what a later test crashes on must not take this away */
    failed += t.failures != 0;
    ran++;
  }
  return failed || !ran;
}

/* CHECK_MAIN({"order", heap_test_order}, {"remove", heap_test_remove}) */
#define CHECK_MAIN(...)                                           \
  int main(int argc, char **argv) {                               \
    static const CheckTest tests[] = {__VA_ARGS__, {NULL, NULL}}; \
    return check_run(tests, argc, argv);                          \
  }

#endif
