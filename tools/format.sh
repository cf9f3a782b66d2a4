#!/bin/sh
# SPDX-License-Identifier: MIT
# format.sh -i: reformats the C sources; format.sh --check: fails if that would change one.
# Version 14 is the one that counts: others break lines elsewhere.
set -eu
tool=
for name in clang-format-14 clang-format; do
  if command -v $name >/dev/null 2>&1; then
    tool=$name
    break
  fi
done
if [ -z "$tool" ] || ! $tool --version | grep -q 'version 14\.'; then
  echo "clang-format 14 is not installed (Debian 12: clang-format; or make deps-dev)" >&2
  exit 1
fi
set -- "$1" $(find src spec/c tools bench examples -name '*.[ch]' 2>/dev/null | grep -v lua_parts.h)
case $1 in
-i) exec $tool "$@" ;;
--check)
  shift
  exec $tool --dry-run --Werror "$@"
  ;;
*) exit 2 ;;
esac
