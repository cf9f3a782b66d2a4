-- SPDX-License-Identifier: MIT
-- Writes src/lua_parts.h: the text of lua/asyncio/*.lua (init.lua aside), so that a host that links
-- the library statically needs no file. The room that loads them looks a part up by its module's
-- name.
--
-- lua tools/gen_lua_parts.lua [--check] [ROOT]   --check only compares, and fails on a difference

package.path = "./?.lua;" .. package.path
local parser <const> = require "tools.ldoc_parser"

-- Some compilers refuse a string literal of more; a part that long should be two.
local LONGEST <const> = 60000

local HEAD <const> = [[
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

]]

local function c_literal(line)
  return '"' .. line:gsub('[\\"]', "\\%0"):gsub("[^\32-\126]", function(c)
    return ("\\%03o"):format(c:byte())
  end):gsub("%?%?", "?\\?") .. '\\n"'
end

local function generate(root)
  local out, rows = { HEAD }, {}
  for _, path in ipairs(parser.list(root .. "/lua/asyncio", "%.lua$")) do
    local name = path:match("([%w_]+)%.lua$")
    if name ~= "init" then
      local text = parser.read(path)
      if #text > LONGEST then error(path .. " is too long for one string literal; split it") end
      out[#out + 1] = ("static const char lua_part_%s[] =\n"):format(name)
      local lines = {}
      for line in (text:gsub("\n$", "") .. "\n"):gmatch("(.-)\n") do
        lines[#lines + 1] = c_literal(line)
      end
      out[#out + 1] = "    " .. table.concat(lines, "\n    ") .. ";\n\n"
      rows[#rows + 1] = ('    {"asyncio.%s", lua_part_%s, sizeof lua_part_%s - 1},\n'):format(
        name, name, name)
    end
  end
  out[#out + 1] = "static const asy_LuaPart asy_lua_parts[] = {\n" .. table.concat(rows)
    .. "    {NULL, NULL, 0},\n};\n\n#endif\n"
  return table.concat(out)
end

local check_only <const> = arg[1] == "--check"
local root <const> = arg[check_only and 2 or 1] or "."
local path <const> = root .. "/src/lua_parts.h"
local text <const> = generate(root)
local file = io.open(path, "rb")
local old = file and file:read("a")
if file then file:close() end
if old == text then os.exit(true) end
if check_only then
  print(path .. " is not what lua/asyncio/ says: run `make parts`")
  os.exit(false)
end
file = assert(io.open(path, "wb"))
file:write(text)
file:close()
