-- SPDX-License-Identifier: MIT
-- Lint: every function that src/*.c registers (luaL_Reg) and every public function of
-- lua/asyncio/*.lua is documented where it is defined, with all the fields that a reader needs.
-- Names that begin with "_" are internal; metamethods belong to their type.
--
-- lua tools/check_docs.lua [ROOT]

package.path = "./?.lua;" .. package.path
local parser <const> = require "tools.ldoc_parser"

-- A number says what it counts: one of these stands in the parameter's text.
local UNITS <const> = { "second", "byte", "how many", "number of", "index", "port", "count",
  "signal", "descriptor", "permits", "items", "parties", "errno", "loop%-clock", "loop's clock",
  "length", "connections", "backlog", "status", "family" }

-- A parameter of such a name is a time or a size, and says so.
local SECONDS <const> = { delay = true, seconds = true, timeout = true, when = true,
  deadline = true, interval = true, s = true }

-- Tables of functions that have no page of their own, with the reason.
local WITHOUT_PAGE <const> = {
  patch_functions = "stand in for functions of Lua's coroutine library: asyncio.patch tells",
  loaders = "package.preload",
}

local problems = 0

local function complain(file, line, text, ...)
  problems = problems + 1
  print(("%s:%d: %s"):format(file, line, text:format(...)))
end

local function has_unit(text)
  text = text:lower()
  for _, unit in ipairs(UNITS) do
    if text:find(unit) then return true end
  end
  return false
end

local function check_params(entry, name)
  for _, param in ipairs(entry.params) do
    if param.text == "" then
      complain(entry.file, entry.line, "%s: parameter '%s' is not described", name, param.name)
    end
    local is_number = param.type and (param.type:find("number") or param.type:find("integer"))
    if is_number and SECONDS[param.name] and not param.text:lower():find("second") then
      complain(entry.file, entry.line, "%s: '%s' is a time: say 'seconds'", name, param.name)
    elseif is_number and param.name ~= "port" and not has_unit(param.text) then
      complain(entry.file, entry.line, "%s: the number '%s' has no unit (seconds, bytes, ...)",
        name, param.name)
    end
  end
end

local function check_entry(entry)
  local name = entry.names[1] or entry.definition or "?"
  local function need(ok, what)
    if not ok then complain(entry.file, entry.line, "%s: %s is missing", name, what) end
  end
  for _, problem in ipairs(entry.problems) do
    complain(entry.file, entry.line, "%s: %s", name, problem)
  end
  need(#entry.names > 0, "@function")
  need(entry.summary ~= "", "a sentence that says what it does")
  if entry.kind ~= "function" then return end
  check_params(entry, name)
  need(#entry.returns > 0, "@return or @treturn ('@return nothing')")
  need(entry.waits, "@waits")
  if entry.waits and not (entry.waits:find("^yes") or entry.waits:find("^no")) then
    complain(entry.file, entry.line, "%s: @waits begins with yes or no", name)
  end
  if entry.waits and entry.waits:find("^yes") then need(entry.cancel, "@cancel") end
  if entry.waits and entry.waits:find("^no") and entry.cancel then
    complain(entry.file, entry.line, "%s: @cancel, although it does not wait", name)
  end
  need(entry.raise and entry.raise ~= "", "@raise ('@raise nothing')")
  need(#entry.usages > 0, "@usage")
  need(#entry.sees > 0, "@see")
end

local function last_part(name)
  return name:match("([^.:]+)$")
end

local function names_it(entry, name)
  for _, documented in ipairs(entry.names) do
    if last_part(documented) == name then return true end
  end
  return false
end

local function check_c(path, shown)
  local text = parser.read(path)
  local by_definition = {}
  for _, entry in ipairs(parser.parse_c(text, shown)) do
    check_entry(entry)
    if entry.definition then by_definition[entry.definition] = entry end
  end
  local count = 0
  for _, reg in ipairs(parser.registered(text)) do
    if not reg.name:find("^_") and not WITHOUT_PAGE[reg.table] then
      count = count + 1
      local entry = by_definition[reg.definition]
      if not entry then
        complain(shown, reg.line, "'%s' (%s) is registered, but not documented", reg.name,
          reg.definition)
      elseif not names_it(entry, reg.name) then
        complain(shown, reg.line, "'%s': the comment on %s does not name it", reg.name,
          reg.definition)
      end
    end
  end
  return count
end

local function check_lua(path, shown)
  local text = parser.read(path)
  local documented, count = {}, 0
  for _, entry in ipairs(parser.parse_lua(text, shown)) do
    check_entry(entry)
    if entry.definition then documented[entry.definition] = entry end
  end
  local number = 0
  for line in (text .. "\n"):gmatch("(.-)\n") do
    number = number + 1
    local definition = line:match("^function%s+([%w_.:]+)%s*%(")
    local name = definition and definition:find("[.:]") and last_part(definition)
    if name and not name:find("^_") then
      count = count + 1
      local entry = documented[definition]
      if not entry then
        complain(shown, number, "'%s' is public, but not documented", definition)
      elseif not names_it(entry, name) then
        complain(shown, number, "'%s': its comment does not name it", definition)
      end
    end
  end
  return count
end

-- Two entries of one name would make one page that contradicts itself.
local function check_unique(entries)
  local seen = {}
  for _, entry in ipairs(entries) do
    for _, name in ipairs(entry.names) do
      if seen[name] then
        complain(entry.file, entry.line, "%s is documented at %s:%d, too", name, seen[name].file,
          seen[name].line)
      end
      seen[name] = entry
    end
  end
end

local root <const> = arg[1] or "."
local count = 0
for _, path in ipairs(parser.list(root .. "/src", "%.c$")) do
  count = count + check_c(path, path:sub(#root + 2))
end
for _, path in ipairs(parser.list(root .. "/lua/asyncio", "%.lua$")) do
  count = count + check_lua(path, path:sub(#root + 2))
end
check_unique(parser.tree(root))
if count == 0 then complain(root, 1, "no registered function found") end
print(("documentation: %d public functions, %d problems"):format(count, problems))
os.exit(problems == 0)
