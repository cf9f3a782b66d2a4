-- SPDX-License-Identifier: MIT
-- Writes the reference: sorts the documented names into one page for the module's functions (by
-- room) and one for each type, and lets LDoc set the pages.
--
-- lua tools/gen_docs.lua OUT WORK [ROOT]   OUT gets the pages, WORK the files that LDoc reads

package.path = "./?.lua;" .. package.path
local parser <const> = require "tools.ldoc_parser"

local out_dir <const>, work <const>, root <const> = arg[1], arg[2], arg[3] or "."
if not work then
  io.stderr:write("usage: gen_docs.lua OUT WORK [ROOT]\n")
  os.exit(2)
end

local CONFIG <const> = [[
project = "lua-asyncio"
title = "lua-asyncio reference"
description = "What asyncio gives Python, for Lua 5.4: tasks, futures, streams over libuv."
all = false
format = "plain"
sort = false
use_markdown_titles = false
no_space_before_args = true
custom_tags = {
  { "waits", title = "Waits" },
  { "cancel", title = "When cancelled" },
  { "follows", title = "Follows" },
  { "origin", title = "Defined in" },
}
]]

if not os.execute("command -v ldoc >/dev/null 2>&1") then
  io.stderr:write("ldoc is not installed (Debian: lua-ldoc; or `make deps-dev`)\n")
  os.exit(1)
end

local function write(path, text)
  local file = assert(io.open(path, "wb"))
  file:write(text)
  file:close()
end

local function prefixed(text)
  return (text:gsub("\n", "\n-- "))
end

-- One entry under one of its names, as LDoc reads it. `name` is what stands on the page.
local function render(entry, name)
  local lines = { "--- " .. entry.summary }
  local function add(text) lines[#lines + 1] = "-- " .. prefixed(text) end
  if entry.text ~= "" then add(entry.text) end
  if entry.kind == "field" then
    add("@field " .. name)
    return table.concat(lines, "\n") .. "\n"
  end
  add("@function " .. name)
  for _, param in ipairs(entry.params) do
    local modifier = param.optional and (param.default and "[opt=" .. param.default .. "]"
      or "[opt]")
    local kind = param.type and "@tparam" or "@param"
    add(("%s%s %s%s %s"):format(kind, modifier or "", param.type and param.type .. " " or "",
      param.name, param.text))
  end
  for _, ret in ipairs(entry.returns) do
    add(("%s %s%s"):format(ret.type and "@treturn" or "@return", ret.type and ret.type .. " " or "",
      ret.text))
  end
  if entry.raise then add("@raise " .. entry.raise) end
  if entry.waits then add("@waits " .. entry.waits) end
  if entry.cancel then add("@cancel " .. entry.cancel) end
  for _, see in ipairs(entry.sees) do add("@follows " .. see) end
  add(("@origin %s:%d"):format(entry.file, entry.line))
  for _, usage in ipairs(entry.usages) do add("@usage\n" .. usage) end
  return table.concat(lines, "\n") .. "\n"
end

local pages, order = {}, {}

local function page(key, head)
  if not pages[key] then
    pages[key] = { head = head, parts = {} }
    order[#order + 1] = key
  end
  return pages[key]
end

page("asyncio", "--- The module: what `require \"asyncio\"` returns.\n-- @module asyncio\n")
local room
for _, entry in ipairs(parser.tree(root)) do
  for _, name in ipairs(entry.names) do
    local class, member = name:match("^([%w_]+):([%w_]+)$")
    if entry.kind == "type" then
      class = name:match("^[%w_]+")
      page(class).head = ("--- %s\n-- %s\n-- @classmod %s\n"):format(entry.summary,
        prefixed(entry.text), class)
    elseif class then
      local target = page(class, ("--- The type %s.\n-- @classmod %s\n"):format(class, class))
      target.head = target.head or ("--- The type %s.\n-- @classmod %s\n"):format(class, class)
      table.insert(target.parts, render(entry, member))
    else
      local target = page("asyncio")
      local origin = entry.file:match("([%w_]+)%.%l+$")
      if origin ~= room then
        room = origin
        table.insert(target.parts, ("--- %s\n-- @section %s\n"):format(origin, origin))
      end
      table.insert(target.parts, render(entry, name))
    end
  end
end

os.execute(("rm -rf '%s' && mkdir -p '%s' '%s'"):format(work, work .. "/pages", out_dir))
for i, key in ipairs(order) do
  local text = pages[key].head .. "\n" .. table.concat(pages[key].parts, "\n")
  write(("%s/pages/%02d-%s.lua"):format(work, i, key), text)
end
write(work .. "/config.ld", CONFIG)
local ok = os.execute(("ldoc -q -c '%s/config.ld' -d '%s' '%s/pages'"):format(work, out_dir, work))
if not ok then os.exit(1) end
print(("%d pages in %s/"):format(#order, out_dir))
