-- SPDX-License-Identifier: MIT
-- Lint: the rockspec lists exactly the C and Lua files of the tree; LuaRocks' builtin build would
-- otherwise install a module that does not load.
--
-- lua tools/check_rockspec.lua [--write] [ROOT]   --write puts the list of C files right

package.path = "./?.lua;" .. package.path
local parser <const> = require "tools.ldoc_parser"

local write <const> = arg[1] == "--write"
local root <const> = arg[write and 2 or 1] or "."
local rockspec <const> = root .. "/lua-asyncio-scm-1.rockspec"

local function write_sources()
  local lines = {}
  for _, path in ipairs(parser.list(root .. "/src", "%.c$")) do
    lines[#lines + 1] = ("        %q,\n"):format(path:sub(#root + 2))
  end
  local text = parser.read(rockspec):gsub("(sources = {\n).-(      },\n)", function(head, tail)
    return head .. table.concat(lines) .. tail
  end)
  local file = assert(io.open(rockspec, "wb"))
  file:write(text)
  file:close()
end

if write then write_sources() end
local spec <const> = {}
assert(loadfile(rockspec, "t", spec))()

local problems = 0
local function complain(text, ...)
  problems = problems + 1
  print("lua-asyncio-scm-1.rockspec: " .. text:format(...))
end

local function compare(listed, found)
  local set = {}
  for _, path in ipairs(listed) do set[path] = true end
  for _, path in ipairs(found) do
    if not set[path] then complain("%s is not listed", path) end
    set[path] = nil
  end
  for path in pairs(set) do complain("%s is listed, but does not exist", path) end
end

local function in_tree(directory, pattern)
  local paths = {}
  for _, path in ipairs(parser.list(root .. "/" .. directory, pattern)) do
    paths[#paths + 1] = path:sub(#root + 2)
  end
  return paths
end

local modules <const> = spec.build.modules
compare(modules["asyncio.core"].sources, in_tree("src", "%.c$"))

-- The parts of lua/asyncio/ are compiled in; only init.lua is a file of the rock.
if modules["asyncio"] ~= "lua/asyncio/init.lua" then
  complain("the module asyncio is not init.lua")
end
for name in pairs(modules) do
  if name ~= "asyncio" and name ~= "asyncio.core" then
    complain("module %s is not expected", name)
  end
end
print(("rockspec: %d problems"):format(problems))
os.exit(problems == 0)
