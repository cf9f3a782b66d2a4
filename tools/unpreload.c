/* SPDX-License-Identifier: MIT */
/*
** unpreload.c: preloaded behind a sanitizer's runtime, it takes LD_PRELOAD out of the environment
** again: a shell that inherits ThreadSanitizer's crashes, and programs that free nothing at their
** end fail under AddressSanitizer's. A script that a spec starts goes through tools/sanitized.sh,
** and so has the runtime all the same.
*/
#include <stdlib.h>

__attribute__((constructor)) static void unpreload(void) {
  unsetenv("LD_PRELOAD");
}
