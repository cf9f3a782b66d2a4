#!/bin/sh
# SPDX-License-Identifier: MIT
# valgrind.sh COMMAND...: runs a command under memcheck; an error or a definite leak gives status 9.
here=$(cd "$(dirname "$0")" && pwd)
exec valgrind -q --error-exitcode=9 --leak-check=full --show-leak-kinds=definite \
  --errors-for-leak-kinds=definite --suppressions="$here/valgrind.supp" "$@"
