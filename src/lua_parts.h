/* SPDX-License-Identifier: MIT */
/* Written by tools/gen_lua_parts.lua from lua/asyncio/; do not edit (`make parts`). */
#ifndef ASY_LUA_PARTS_H
#define ASY_LUA_PARTS_H

#include <stddef.h>

typedef struct asy_LuaPart {
  const char *name; /* of the module, "asyncio.testing"; NULL ends the list */
  const char *code;
  size_t size;
} asy_LuaPart;

static const char lua_part_testing[] =
    "-- SPDX-License-Identifier: MIT\n"
    "--- Help for tests of asynchronous code: time is simulated, nothing sleeps.\n"
    "-- Loaded at the first use of `asyncio.testing`.\n"
    "local asyncio <const> = ... -- the module, from src/parts.c\n"
    "\n"
    "local testing <const> = {\n"
    "  stream_pair = require(\"asyncio.pair\").stream_pair, -- src/pair.c\n"
    "}\n"
    "\n"
    "local function virtual_loop()\n"
    "  return asyncio.new_event_loop { clock = \"virtual\" }\n"
    "end\n"
    "\n"
    "--- Run a function as `asyncio.run` does, on a loop whose clock jumps to the next timer when nothing\n"
    "-- is ready.\n"
    "-- @function testing.run\n"
    "-- @tparam function fn what is run\n"
    "-- @param[opt] ... its arguments\n"
    "-- @return its results\n"
    "-- @waits no\n"
    "-- @raise its error; an error if a loop is running\n"
    "-- @usage -- in a script: asyncio.testing.run(function() asyncio.sleep(3600) end)\n"
    "-- @see asyncio-runner.html#asyncio.run\n"
    "function testing.run(fn, ...)\n"
    "  local runner <close> = asyncio.Runner { loop_factory = virtual_loop }\n"
    "  return (function(...) return ... end)(runner:run(fn, ...))\n"
    "end\n"
    "\n"
    "return testing\n";

static const asy_LuaPart asy_lua_parts[] = {
    {"asyncio.testing", lua_part_testing, sizeof lua_part_testing - 1},
    {NULL, NULL, 0},
};

#endif
