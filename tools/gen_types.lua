-- SPDX-License-Identifier: MIT
-- Writes types/asyncio.lua, which tells editors (LuaCATS) what the library has, from the comments
-- on the definitions.
--
-- lua tools/gen_types.lua [--check] [ROOT]   --check only compares, and fails on a difference

package.path = "./?.lua;" .. package.path
local parser <const> = require "tools.ldoc_parser"

local BASIC <const> = { func = "function", int = "integer", tab = "table", bool = "boolean",
  str = "string", object = "table", awaitable = "asyncio.awaitable", callable = "function" }

-- What a type can do besides its own methods, unless an @type says so.
local BASES <const> = { Task = "Future", TimerHandle = "Handle" }

local KNOWN <const> = { any = 1, boolean = 1, string = 1, number = 1, integer = 1, table = 1,
  ["function"] = 1, thread = 1, userdata = 1, lightuserdata = 1, ["nil"] = 1, ["true"] = 1,
  ["false"] = 1, fun = 1, self = 1, unknown = 1 }

local function split_name(name)
  local class, sep, member = name:match("^([%w_.]+)([.:])([%w_]+)$")
  if class then return class, sep, member end
  return nil, ".", name
end

-- LDoc's spelling of a type -> LuaCATS's; `classes` are the library's own.
local function convert(kind, classes)
  if not kind then return "any" end
  local optional, rest = kind:match("^(%?)|?(.+)$")
  if optional then return convert(rest, classes) .. "?" end
  local element = kind:match("^{([%w_.]+),%s*%.%.%.}$")
  if element then return convert(element, classes) .. "[]" end
  return (kind:gsub("[%a_][%w_.]*", function(word)
    word = BASIC[word] or word
    if classes[word] then return "asyncio." .. word end
    return KNOWN[word] and word or word
  end))
end

local function comment_lines(out, entry)
  local text = entry.summary .. (entry.text ~= "" and " " .. entry.text or "")
  out[#out + 1] = "---" .. text
  if entry.waits and entry.waits:find("^yes") then
    out[#out + 1] = "---"
    out[#out + 1] = "---Waits: " .. entry.waits .. ". When cancelled: " .. (entry.cancel or "")
  end
end

local function write_function(out, entry, name, classes)
  local class, sep, member = split_name(name)
  out[#out + 1] = ""
  comment_lines(out, entry)
  local names = {}
  for _, param in ipairs(entry.params) do
    local kind = convert(param.type, classes)
    local is_rest = param.name:find("^%.%.%.")
    local param_name = is_rest and "..." or param.name:gsub("%W", "_")
    names[#names + 1] = param_name
    out[#out + 1] = ("---@param %s%s %s %s"):format(param_name,
      param.optional and not is_rest and "?" or "", kind, param.text)
  end
  for _, ret in ipairs(entry.returns) do
    if not (ret.type == nil and ret.text:find("^nothing")) then
      out[#out + 1] = ("---@return %s # %s"):format(convert(ret.type, classes), ret.text)
    end
  end
  local owner = class and (classes[class] and class or "asyncio." .. class) or "asyncio"
  out[#out + 1] = ("function %s%s%s(%s) end"):format(owner, sep, member, table.concat(names, ", "))
end

local function is_member(name, class)
  local owner = split_name(name)
  return owner == class
end

-- Classes are what has methods (Task:cancel) or an @type of its own; they keep the order of the
-- tree.
local function collect_classes(entries)
  local classes, order = {}, {}
  local function add(name, base)
    if not classes[name] then
      classes[name] = { base = base }
      order[#order + 1] = name
    end
    classes[name].base = classes[name].base or base or BASES[name]
  end
  for _, entry in ipairs(entries) do
    for _, name in ipairs(entry.names) do
      if entry.kind == "type" then
        add(name:match("^[%w_]+"), name:match(":%s*([%w_]+)"))
      elseif name:find(":", 1, true) then
        add((split_name(name)))
      end
    end
  end
  return classes, order
end

local function write_fields(out, entries, class, classes)
  for _, entry in ipairs(entries) do
    for _, name in ipairs(entry.kind == "field" and entry.names or {}) do
      local _, _, member = split_name(name)
      if is_member(name, class) then
        out[#out + 1] = ("---@field %s %s %s"):format(member, convert("any", classes), entry.text)
      end
    end
  end
end

local function type_summary(entries, class)
  for _, entry in ipairs(entries) do
    if entry.kind == "type" and entry.names[1]:match("^[%w_]+") == class then return entry end
  end
end

local function generate(entries)
  local classes, order = collect_classes(entries)
  local out = { "---@meta asyncio",
    "-- Written by tools/gen_types.lua from the comments in src/ and lua/; do not edit.", "",
    "---@alias asyncio.awaitable asyncio.Future|asyncio.Task|function|thread|table", "",
    "---@class asyncio" }
  write_fields(out, entries, nil, classes)
  out[#out + 1] = "local asyncio = {}"
  local spaces = {}
  for _, entry in ipairs(entries) do
    for _, name in ipairs(entry.kind == "function" and entry.names or {}) do
      local class = split_name(name)
      if class and not classes[class] and not spaces[class] then
        spaces[class] = true
        out[#out + 1] = ("\n---@class asyncio.%s\nasyncio.%s = {}"):format(class, class)
      end
    end
  end
  for _, class in ipairs(order) do
    out[#out + 1] = ""
    local entry = type_summary(entries, class)
    if entry then comment_lines(out, entry) end
    local base = classes[class].base
    out[#out + 1] = ("---@class asyncio.%s%s"):format(class, base and ": asyncio." .. base or "")
    write_fields(out, entries, class, classes)
    out[#out + 1] = ("local %s = {}"):format(class)
  end
  for _, entry in ipairs(entries) do
    for _, name in ipairs(entry.kind == "function" and entry.names or {}) do
      write_function(out, entry, name, classes)
    end
  end
  out[#out + 1] = "\nreturn asyncio\n"
  for i, line in ipairs(out) do out[i] = line:gsub(" +$", "") end
  return table.concat(out, "\n")
end

local check_only <const> = arg[1] == "--check"
local root <const> = arg[check_only and 2 or 1] or "."
local text <const> = generate(parser.tree(root))
local path <const> = root .. "/types/asyncio.lua"
if check_only then
  local file = io.open(path, "rb")
  local old = file and file:read("a")
  if file then file:close() end
  if old ~= text then
    print(path .. " is not what the comments say: run `make types`")
    os.exit(1)
  end
else
  os.execute(("mkdir -p '%s/types'"):format(root))
  local file = assert(io.open(path, "wb"))
  file:write(text)
  file:close()
end
