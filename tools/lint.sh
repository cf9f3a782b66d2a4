#!/bin/sh
# SPDX-License-Identifier: MIT
# All that is checked without running the library. Every step runs, whatever the ones before it
# said; the last line counts. Called by `make lint`, which passes WARN, LUA_CFLAGS, UV_CFLAGS, LUA.
# A tool that is missing is a failure: `make deps-dev` installs them.
set -u
cd "$(dirname "$0")/.."
LUA=${LUA:-lua5.4}
work=build/lint
mkdir -p $work
passed=0 failed=0

# step NAME COMMAND...: prints what the command says only when it fails.
step() {
  name=$1
  shift
  if "$@" >$work/log 2>&1; then
    passed=$((passed + 1))
    echo "ok      $name"
  else
    failed=$((failed + 1))
    echo "FAILED  $name"
    tail -n "${LINES_SHOWN:-60}" $work/log | sed 's/^/  /'
  fi
}

warnings() {
  compiler=$1
  shift
  command -v "$compiler" || return 1
  status=0
  for file in "$@"; do
    # shellcheck disable=SC2086
    "$compiler" -std=gnu99 -O2 $WARN -Werror $LUA_CFLAGS $UV_CFLAGS -iquote src -c -fPIC \
      -o "$work/$(basename "$file" .c).o" "$file" || status=1
  done
  return $status
}

static_analysis() {
  # shellcheck disable=SC2086
  cppcheck --quiet --error-exitcode=1 --std=c99 --library=tools/cppcheck.cfg --inline-suppr \
    --enable=warning,portability --suppress=missingIncludeSystem \
    --suppress=preprocessorErrorDirective -DLUA_VERSION_NUM=504 -D__GNUC__=12 \
    -DLUA_VERSION_RELEASE_NUM=50404 -Isrc src spec/c tools
}

# Every room as Windows would see it. Only libuv's and Lua's headers are shown to the compiler:
# those of the C library that this machine has beside them are another system's.
windows() {
  command -v x86_64-w64-mingw32-gcc || return 1
  rm -rf $work/windows && mkdir -p $work/windows/include
  lua_dir=$(header_dir lua.h) && uv_dir=$(header_dir uv.h) || return 1
  for header in lua.h luaconf.h lauxlib.h lualib.h; do
    cp "$lua_dir/$header" $work/windows/include/
  done
  # Debian keeps a machine's own part of luaconf.h apart.
  cp "$lua_dir"/lua*deb*.h $work/windows/include/ 2>/dev/null
  cp -r "$uv_dir/uv.h" "$uv_dir/uv" $work/windows/include/
  status=0
  for file in src/*.c; do
    x86_64-w64-mingw32-gcc -std=gnu99 -Wall -Wextra -Werror -D_WIN32_WINNT=0x0602 -fsyntax-only \
      -isystem $work/windows/include -iquote src "$file" || status=1
  done
  return $status
}

# A host may build with -Isrc, for asyncio.h: no room's header stands in for one of the C library,
# POSIX, libuv or Lua. Two that glibc has beside those (error.h, wait.h) are ours for such a host.
shadows() {
  for header in assert ctype errno fenv inttypes limits locale math setjmp signal stdarg stdbool \
    stddef stdint stdio stdlib string time wchar wctype aio dirent dlfcn fcntl glob grp langinfo \
    memory netdb poll pthread pwd regex sched search semaphore spawn strings syslog termios \
    unistd utime wordexp arpa/inet net/if netinet/in netinet/tcp sys/ioctl sys/mman sys/resource \
    sys/select sys/socket sys/stat sys/time sys/types sys/uio sys/un sys/wait uv lua lauxlib \
    lualib asyncio; do
    echo "#include <$header.h>"
  done >$work/shadows.c
  # shellcheck disable=SC2086
  ${CC:-cc} -std=gnu99 $LUA_CFLAGS $UV_CFLAGS -Isrc -M $work/shadows.c >$work/shadows.d || return 1
  tr ' ' '\n' <$work/shadows.d | grep '^src/' >$work/shadows.ours
  echo src/asyncio.h | diff - $work/shadows.ours
}

header_dir() {
  # shellcheck disable=SC2086
  path=$(echo "#include <$1>" | ${CC:-cc} -E $LUA_CFLAGS $UV_CFLAGS -x c - |
    sed -n "s|^# [0-9]* \"\(.*\)/$1\".*|\1|p" | head -n 1)
  [ -n "$path" ] && echo "$path"
}

lua_sources() {
  find . \( -name build -o -path ./spec/oracle -o -name .git \) -prune -o \
    \( -name '*.lua' -o -name '*.rockspec' \) -print
}

hosts=$(ls spec/c/*.c tools/*.c 2>/dev/null)
# shellcheck disable=SC2086
step "gcc: no warning" warnings gcc src/*.c $hosts
# shellcheck disable=SC2086
step "clang: no warning" warnings clang src/*.c $hosts
step "cppcheck" static_analysis
step "mingw-w64: every room compiles" windows
step "system headers with -Isrc" shadows
# shellcheck disable=SC2046
step "luacheck" luacheck --quiet --no-color $(lua_sources)
step "clang-format" "$LUA" tools/format.lua --check
# The objects for this one are gcc's, made above with the module's own flags.
rm -rf $work/objects && mkdir -p $work/objects
for file in src/*.c; do
  # shellcheck disable=SC2086
  ${CC:-cc} -std=gnu99 -O2 -fPIC $LUA_CFLAGS $UV_CFLAGS -iquote src -c \
    -o "$work/objects/$(basename "$file" .c).o" "$file" 2>/dev/null
done
step "structure of src/" "$LUA" tools/check_structure.lua . $work/objects
step "documentation" "$LUA" tools/check_docs.lua
step "types/asyncio.lua" "$LUA" tools/gen_types.lua --check
step "src/lua_parts.h" "$LUA" tools/gen_lua_parts.lua --check
step "rockspec" "$LUA" tools/check_rockspec.lua

echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
