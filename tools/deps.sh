#!/bin/sh
# SPDX-License-Identifier: MIT
# Installs from Debian's packages what is missing, and says what: `deps.sh run` for building, the
# demo and the tests, `deps.sh dev` for lint, docs, sanitizers and the rock. Where there is no apt,
# or no root, it names the packages and stops. When nothing is missing it only looks.
set -eu
LUA=${LUA:-lua5.4} CC=${CC:-cc}
missing=
can_install=no
if command -v apt-get >/dev/null 2>&1 && [ "$(id -u)" = 0 ]; then can_install=yes; fi

# need PROBE PACKAGE...: the packages are missing if the probe, a shell command, fails.
need() {
  if ! sh -c "$1" >/dev/null 2>&1 </dev/null; then
    shift
    missing="$missing $*"
  fi
}

# The same for what a spec does without, and says so: it is installed where that can be done.
want() {
  if [ "$can_install" = yes ]; then need "$@"; fi
}

includes() {
  echo "printf '#include <$1>\n' | $CC ${CFLAGS:-} ${2:-} -E -x c - -o /dev/null"
}

probe() {
  missing=
  case $1 in
  run)
    need "command -v $CC" gcc
    need "$(includes stdio.h)" libc6-dev
    need 'command -v pkg-config || command -v pkgconf' pkg-config
    need "command -v $LUA" lua5.4
    need "$(includes lua.h "${LUA_CFLAGS:-}")" liblua5.4-dev
    need "$(includes uv.h "${UV_CFLAGS:-}")" libuv1-dev
    # Names of services (http): the specs look some up.
    if command -v apt-get >/dev/null 2>&1; then need 'getent services http' netbase; fi
    # Debian's busted belongs to Debian's lua5.4; any other interpreter has spec/minibusted.lua.
    if [ "$LUA" = lua5.4 ]; then
      need "$LUA -e 'require \"busted.core\"'" lua-busted
      want "$LUA -e 'require \"cqueues\"'" lua-cqueues
    fi
    want 'pkg-config --exists libcurl' libcurl4-openssl-dev
    ;;
  dev)
    need 'command -v clang' clang
    need 'command -v clang-format-14 || command -v clang-format' clang-format
    need 'command -v cppcheck' cppcheck
    need 'command -v luacheck' lua-check
    need 'command -v ldoc' lua-ldoc
    need 'command -v valgrind' valgrind libc6-dbg
    need 'command -v python3' python3
    need 'command -v luarocks-5.4 || command -v luarocks' luarocks
    need 'command -v x86_64-w64-mingw32-gcc' gcc-mingw-w64-x86-64
    ;;
  *)
    echo "usage: deps.sh run | dev" >&2
    exit 2
    ;;
  esac
}

name_elsewhere() {
  echo "  Debian, Ubuntu: $missing"
  if [ "$1" = run ]; then
    echo "  Fedora:         gcc pkgconf-pkg-config lua lua-devel libuv-devel"
    echo "  Alpine:         build-base pkgconf lua5.4 lua5.4-dev libuv-dev"
    echo "  macOS:          lua libuv pkgconf (Homebrew), and Apple's command line tools"
    echo "Lua or libuv in another place: make LUA= LUA_INCDIR= LUA_LIBDIR= UV_CFLAGS= UV_LIBS="
  else
    echo "  Fedora:         clang clang-tools-extra cppcheck luacheck lua-ldoc valgrind luarocks"
    echo "  Alpine:         clang clang-extra-tools cppcheck luacheck valgrind luarocks5.4"
    echo "  macOS:          llvm clang-format cppcheck luacheck luarocks (Homebrew)"
  fi
}

probe "$1"
[ -n "$missing" ] || exit 0

if [ "$can_install" = no ]; then
  echo "These packages are missing, and only root on Debian can have them installed from here:"
  name_elsewhere "$1"
  exit 1
fi

echo "Installing from Debian's packages:$missing"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
install_missing() {
  # shellcheck disable=SC2086
  DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $missing >"$log" 2>&1
}
# The lists of a new machine are empty or old: fetched only when the first try needs it.
if ! install_missing && ! { apt-get update >"$log" 2>&1 && install_missing; }; then
  tail -n 20 "$log"
  echo "apt-get could not install:$missing"
  exit 1
fi
wanted=$missing
probe "$1"
if [ -n "$missing" ]; then
  echo "Installed:$wanted, but still not usable:$missing"
  exit 1
fi
