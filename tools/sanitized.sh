#!/bin/sh
# SPDX-License-Identifier: MIT
# sanitized.sh address|thread|none COMMAND...: runs a command with the sanitizer's runtime
# preloaded, because the interpreter itself is not instrumented, only the module is. `none` is for
# programs that were linked with the runtime (the C tests). What the command starts has no runtime,
# unless it comes through here again, as the scripts of the specs do: it would report what perl and
# sort do not free, and ThreadSanitizer's crashes a shell.
set -eu
which=$1
shift
here=$(cd "$(dirname "$0")" && pwd)
export ASAN_OPTIONS="detect_leaks=1:allocator_may_return_null=1:${ASAN_OPTIONS:-}"
export LSAN_OPTIONS="suppressions=$here/lsan.supp:print_suppressions=0"
export UBSAN_OPTIONS="print_stacktrace=1"
export TSAN_OPTIONS="suppressions=$here/tsan.supp:second_deadlock_stack=1"

runtime() {
  # A spec may run us again: the compiler is not what is under test.
  lib=$(LD_PRELOAD='' ${CC:-cc} -print-file-name="$1")
  if [ ! -e "$lib" ]; then
    echo "sanitized.sh: ${CC:-cc} has no $1 (use CC=gcc)" >&2
    exit 1
  fi
  echo "$lib"
}

case $which in
address)
  LD_PRELOAD="$(runtime libasan.so) $here/../build/asan/unpreload.so"
  set -- env LD_PRELOAD="$LD_PRELOAD" "$@"
  LD_PRELOAD=''
  ;;
# ThreadSanitizer wants its own address layout, which randomization can take away.
thread)
  LD_PRELOAD="$(runtime libtsan.so) $here/../build/tsan/unpreload.so"
  set -- env LD_PRELOAD="$LD_PRELOAD" "$@"
  LD_PRELOAD=''
  set -- setarch -R "$@"
  ;;
none) LD_PRELOAD= ;;
*) echo "usage: sanitized.sh address|thread|none COMMAND..." >&2 && exit 2 ;;
esac
export LD_PRELOAD
exec "$@"
