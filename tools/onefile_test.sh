#!/bin/sh
# SPDX-License-Identifier: MIT
# onefile_test.sh DIR: compiles DIR/asyncio_all.c without a warning, links it to a tiny host that
# has no Lua files at hand, and runs a script there. CC, CFLAGS and LIBS say how.
set -eu
dir=$1
cat >"$dir/host.c" <<'EOF'
#include <stdio.h>
#include <lua.h>
#include <lauxlib.h>
#include <lualib.h>
#include "asyncio_all.h"

int luaopen_asyncio_core(lua_State *L);

int main(void) {
  lua_State *L = luaL_newstate();
  luaL_openlibs(L);
  luaL_requiref(L, "asyncio", luaopen_asyncio_core, 0);
  lua_settop(L, 0);
  int failed = luaL_dostring(L, "local asyncio = require 'asyncio'\n"
                                "assert(asyncio.run(function()\n"
                                "  local t = asyncio.create_task(asyncio.sleep, 0, 42)\n"
                                "  return asyncio.await(t)\n"
                                "end) == 42)");
  if (failed) fprintf(stderr, "%s\n", lua_tostring(L, -1));
  lua_close(L);
  return failed;
}
EOF
# A host may ask for bare C99; then only what the file asks for itself is declared.
for std in c99 c11; do
  # shellcheck disable=SC2086
  $CC -std=$std -O1 -Wall -Wextra -Werror -Werror=implicit-function-declaration ${CFLAGS:-} \
    -fsyntax-only "$dir/asyncio_all.c"
done
# shellcheck disable=SC2086
$CC -std=gnu99 -O1 -Wall -Wextra -Werror ${CFLAGS:-} -c -o "$dir/asyncio_all.o" "$dir/asyncio_all.c"
# shellcheck disable=SC2086
$CC -std=gnu99 ${CFLAGS:-} -I"$dir" -o "$dir/host" "$dir/host.c" "$dir/asyncio_all.o" ${LIBS:-}
(cd / && LUA_PATH='' LUA_CPATH='' "$OLDPWD/$dir/host")
echo "one file: compiled, linked, ran"
