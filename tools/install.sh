#!/bin/sh
# SPDX-License-Identifier: MIT
# install.sh BUILD PREFIX LUA_VERSION: copies the module to where that Lua looks for modules,
# and asyncio.h and libasyncio.a for hosts.
set -eu
build=$1 prefix=$2 version=$3
install -d "$prefix/include" "$prefix/share/lua/$version/asyncio" "$prefix/lib/lua/$version/asyncio"
install -m 644 lua/asyncio/init.lua "$prefix/share/lua/$version/asyncio/init.lua"
install -m 755 "$build/asyncio/core.so" "$prefix/lib/lua/$version/asyncio/core.so"
install -m 644 src/asyncio.h "$prefix/include/asyncio.h"
install -m 644 "$build/libasyncio.a" "$prefix/lib/libasyncio.a"
echo "installed in $prefix/share/lua/$version and $prefix/lib/lua/$version"
