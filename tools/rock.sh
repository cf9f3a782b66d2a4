#!/bin/sh
# SPDX-License-Identifier: MIT
# rock.sh DIR LUA_VERSION: makes the rock in DIR/a, packs it, installs the packed one in DIR/b, and
# runs an example on it from another directory, as the README shows.
set -eu
dir=$1 version=$2
root=$(pwd)
luarocks=luarocks-$version
if ! command -v "$luarocks" >/dev/null 2>&1; then luarocks="luarocks --lua-version=$version"; fi
rm -rf "$dir" && mkdir -p "$dir"
dir=$(cd "$dir" && pwd)
export HOME="$dir/home" # LuaRocks' caches stay here
mkdir -p "$HOME"

say() {
  echo "\$ $*"
  "$@" >"$dir/log" 2>&1 || {
    cat "$dir/log"
    echo "FAILED: $*"
    exit 1
  }
}

# The builtin build leaves objects beside the sources: it works on a copy.
mkdir "$dir/tree"
cp -r src lua Makefile README.md LICENSE lua-asyncio-scm-1.rockspec "$dir/tree/"
cd "$dir/tree"
# shellcheck disable=SC2086
say $luarocks --tree "$dir/a" make
# shellcheck disable=SC2086
say $luarocks --tree "$dir/a" pack lua-asyncio
# shellcheck disable=SC2086,SC2046
say $luarocks --tree "$dir/b" install ./lua-asyncio-*.rock
cd /
export LUA_PATH="$dir/b/share/lua/$version/?.lua;$dir/b/share/lua/$version/?/init.lua"
export LUA_CPATH="$dir/b/lib/lua/$version/?.so"
say "${LUA:-lua$version}" "$root/examples/01-first-coroutine.lua"
cat "$dir/log"
echo "rock: made, packed, installed, ran"
