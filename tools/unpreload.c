/* SPDX-License-Identifier: MIT */
/*
** unpreload.c: preloaded behind ThreadSanitizer's runtime, it takes LD_PRELOAD out of the
** environment again, because a shell that inherits that runtime crashes. A script that a spec
** starts goes through tools/sanitized.sh, and so has the runtime all the same.
*/
#include <stdlib.h>

__attribute__((constructor)) static void unpreload(void) {
  unsetenv("LD_PRELOAD");
}
