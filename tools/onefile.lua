-- SPDX-License-Identifier: MIT
-- Writes the library as one C file, asyncio_all.c, and its header, for hosts that compile it along
-- with their own sources. Every name but those of asyncio.h and luaopen_asyncio_core is static in
-- it.
--
-- lua tools/onefile.lua OUT [ROOT]

package.path = "./?.lua;" .. package.path
local parser <const> = require "tools.ldoc_parser"

local out_dir <const>, root <const> = arg[1], arg[2] or "."
if not out_dir then
  io.stderr:write("usage: onefile.lua OUT [ROOT]\n")
  os.exit(2)
end

local HEAD <const> = [[
/* SPDX-License-Identifier: MIT */
/* lua-asyncio as one file, written by tools/onefile.lua. Compile it as C99 or later, the headers
** of Lua and libuv in sight, link with both, and open it with
** luaL_requiref(L, "asyncio", luaopen_asyncio_core, 0). */
#define ASY_ONEFILE 1
/* What systems have beyond C: asked for here, in front of every header. */
]]

local PRAGMA <const> = [[
#if defined(__GLIBC__) && !defined(__USE_GNU)
#error "compile asyncio_all.c alone, or include it before the system's headers"
#endif
/* What a host does not use is static here, and so unused. */
#if defined(__GNUC__)
#pragma GCC diagnostic ignored "-Wunused-function"
#endif

]]

local done, features, body = {}, {}, {}

-- Feature macros only count in front of the first system header, so they go to the top.
local function take_feature(line)
  line = line:gsub("%s*/%*.-%*/%s*$", "")
  local name = line:match("^%s*#%s*define%s+(_[%w_]+_SOURCE)%s*$")
    or line:match("^%s*#%s*define%s+(_[%w_]+_SOURCE%s+%w+)%s*$")
  if name and not features[name] then
    features[name] = true
    features[#features + 1] = ("#ifndef %s\n#define %s\n#endif\n"):format(name:match("%S+"), name)
  end
  return name
end

local function append(path, name)
  if done[name] then return end
  done[name] = true
  body[#body + 1] = ("\n/* ---- %s */\n"):format(name)
  for line in (parser.read(path):gsub("\n$", "") .. "\n"):gmatch("(.-)\n") do
    local header = line:match('^%s*#%s*include%s*"([^"]+)"')
    local exists = header and io.open(root .. "/src/" .. header)
    if exists then
      exists:close()
      append(root .. "/src/" .. header, header)
    elseif not take_feature(line) then
      body[#body + 1] = line .. "\n"
    end
  end
end

for _, path in ipairs(parser.list(root .. "/src", "%.c$")) do append(path, path:match("[^/]+$")) end

os.execute(("mkdir -p '%s'"):format(out_dir))
local function write(name, text)
  local file = assert(io.open(out_dir .. "/" .. name, "wb"))
  file:write(text)
  file:close()
end
write("asyncio_all.c", HEAD .. table.concat(features) .. PRAGMA .. table.concat(body))
write("asyncio_all.h", parser.read(root .. "/src/asyncio.h"))
print(out_dir .. "/asyncio_all.c")
