-- SPDX-License-Identifier: MIT
-- Reads the public documentation, which stands on the definitions: /*** ... */ comments on the C
-- functions of src/*.c, --- comments on the Lua functions of lua/asyncio/*.lua. Lint, the
-- reference, the editor's types, the examples' test and `make oom` all ask here.
--
-- A comment becomes an entry: {names={"Task:cancel"}, summary=, text=, params={{name=, type=,
-- text=, optional=, default=}}, returns={{type=, text=}}, waits=, cancel=, raise=, usages={},
-- sees={}, kind= "function" | "type" | "field", file=, line=, definition= the C or Lua function
-- that follows}.

local parser = {}

local ONCE <const> = { waits = true, cancel = true, raise = true }

-- ---- one comment

local function trim(s)
  return (s:gsub("^%s+", ""):gsub("%s+$", ""))
end

local function join_lines(s)
  return trim((s:gsub("%s*\n%s*", " ")))
end

-- Removes the indentation that all lines of an example share.
local function dedent(s)
  local least
  for line in (s .. "\n"):gmatch("(.-)\n") do
    local indent = line:match("^( *)[^ ]")
    if indent and (not least or #indent < least) then least = #indent end
  end
  local lines = {}
  for line in (s .. "\n"):gmatch("(.-)\n") do lines[#lines + 1] = line:sub((least or 0) + 1) end
  return (table.concat(lines, "\n"):gsub("^\n+", ""):gsub("%s+$", ""))
end

-- A type is one word, but may hold spaces inside brackets: fun(a: number, b), {string, ...}.
local function take_type(s)
  local depth, i = 0, 1
  while i <= #s do
    local c = s:sub(i, i)
    if c:find("[%(%[{<]") then depth = depth + 1 end
    if c:find("[%)%]}>]") then depth = depth - 1 end
    if c:find("%s") and depth <= 0 then break end
    i = i + 1
  end
  return s:sub(1, i - 1), trim(s:sub(i))
end

local function add_param(entry, modifier, value, typed)
  local kind
  if typed then kind, value = take_type(value) end
  local name, text = value:match("^(%S+)%s*(.*)$")
  local optional = modifier:match("^opt") ~= nil
  entry.params[#entry.params + 1] = {
    name = name or "?", type = kind, text = text or "", optional = optional,
    default = modifier:match("^opt=(.*)$"),
  }
end

local function add_return(entry, value, typed)
  local kind
  if typed then kind, value = take_type(value) end
  entry.returns[#entry.returns + 1] = { type = kind, text = value }
end

local handlers = {
  ["function"] = function(entry, _, value) table.insert(entry.names, value) end,
  tparam = function(entry, modifier, value) add_param(entry, modifier, value, true) end,
  param = function(entry, modifier, value) add_param(entry, modifier, value, false) end,
  treturn = function(entry, _, value) add_return(entry, value, true) end,
  ["return"] = function(entry, _, value) add_return(entry, value, false) end,
  see = function(entry, _, value) table.insert(entry.sees, value) end,
  type = function(entry, _, value)
    entry.kind = "type"
    table.insert(entry.names, value)
  end,
  field = function(entry, _, value)
    entry.kind = "field"
    local name, text = value:match("^(%S+)%s*(.*)$")
    table.insert(entry.names, name)
    entry.text = text
  end,
}

local function add_tag(entry, tag, modifier, raw)
  if tag == "usage" then
    table.insert(entry.usages, dedent(raw))
  elseif ONCE[tag] then
    if entry[tag] then table.insert(entry.problems, "@" .. tag .. " twice") end
    entry[tag] = join_lines(raw)
  elseif handlers[tag] then
    handlers[tag](entry, modifier, join_lines(raw))
  else
    table.insert(entry.problems, "unknown tag @" .. tag)
  end
end

-- The text of a comment without its delimiters -> entry.
function parser.parse_comment(text, file, line)
  local entry = { names = {}, params = {}, returns = {}, usages = {}, sees = {}, problems = {},
    kind = "function", file = file, line = line, text = "" }
  local head, current = {}, nil
  local function finish()
    if not current then return end
    add_tag(entry, current.tag, current.modifier, table.concat(current.lines, "\n"))
  end
  for raw in (text .. "\n"):gmatch("(.-)\n") do
    local tag, modifier, rest = raw:match("^%s*@(%l+)(%b[])%s?(.*)$")
    if not tag then
      tag, rest = raw:match("^%s*@(%l+)%s?(.*)$")
      modifier = "[]"
    end
    if tag then
      finish()
      current = { tag = tag, modifier = modifier:sub(2, -2), lines = { rest } }
    elseif current then
      table.insert(current.lines, raw)
    else
      head[#head + 1] = raw
    end
  end
  finish()
  local summary = join_lines(table.concat(head, "\n"))
  entry.summary = summary:match("^(.-%.)%s") or summary
  if entry.kind ~= "field" then entry.text = trim(summary:sub(#entry.summary + 1)) end
  return entry
end

-- ---- files

local function line_of(text, position)
  local _, n = text:sub(1, position - 1):gsub("\n", "")
  return n + 1
end

-- The C function that is defined right behind a comment.
local function c_definition(text, position)
  local signature = text:match("^%s*([%a_][^;{}]-)%s*{", position)
  return signature and signature:match("([%a_][%w_]*)%s*%(")
end

function parser.parse_c(text, file)
  local entries = {}
  for first, body, last in text:gmatch("()/%*%*%*(.-)%*/()") do
    -- a row of stars is a line of decoration, not documentation
    if not body:find("^%*") then
      body = body:gsub("\n%s*%*%s?", "\n")
      local entry = parser.parse_comment(trim(body), file, line_of(text, first))
      entry.definition = c_definition(text, last)
      entries[#entries + 1] = entry
    end
  end
  return entries
end

function parser.parse_lua(text, file)
  local entries = {}
  local block, start, number = nil, nil, 0
  for line in (text .. "\n"):gmatch("(.-)\n") do
    number = number + 1
    local first = line:match("^%-%-%-([^%-].*)$") or line:match("^%-%-%-()$") and ""
    local more = line:match("^%-%- ?(.*)$")
    if not block and first then
      block, start = { trim(first) }, number
    elseif block and (first or more) then
      block[#block + 1] = first and first:gsub("^ ", "") or more
    elseif block then
      local entry = parser.parse_comment(table.concat(block, "\n"), file, start)
      entry.definition = line:match("function%s+([%w_.:]+)%s*%(")
        or line:match("^([%w_.]+)%s*=%s*function")
      -- what stands on no function and names none describes the file
      if entry.definition or #entry.names > 0 then entries[#entries + 1] = entry end
      block = nil
    end
  end
  return entries
end

-- The functions that a C file registers: {{name=, definition=, line=, table=}}.
function parser.registered(text)
  local list = {}
  local at = 1
  while true do
    local first, _, array = text:find("luaL_Reg%s+([%a_][%w_]*)%s*%[%s*%]%s*=%s*{", at)
    if not first then return list end
    local open = text:find("{", first, true)
    local body = text:match("^%b{}", open)
    if not body then return list end
    for offset, name, definition in body:gmatch('(){%s*"([^"]+)"%s*,%s*([%a_][%w_]*)%s*}') do
      if definition ~= "NULL" then
        list[#list + 1] = { name = name, definition = definition, table = array,
          line = line_of(text, open + offset) }
      end
    end
    at = open + #body
  end
end

-- ---- the tree

function parser.read(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read("a")
  file:close()
  return text
end

-- Sorted paths of the files in a directory that match a pattern.
function parser.list(directory, pattern)
  local paths = {}
  local pipe = assert(io.popen(("ls -1 '%s' 2>/dev/null | LC_ALL=C sort"):format(directory)))
  for name in pipe:lines() do
    if name:find(pattern) then paths[#paths + 1] = directory .. "/" .. name end
  end
  pipe:close()
  return paths
end

-- Every entry of the tree, in the order of files and lines. `root` is the directory of src/ and
-- lua/.
function parser.tree(root)
  root = root or "."
  local entries = {}
  local function take(list)
    for _, entry in ipairs(list) do entries[#entries + 1] = entry end
  end
  for _, path in ipairs(parser.list(root .. "/src", "%.c$")) do
    take(parser.parse_c(parser.read(path), path:sub(#root + 2)))
  end
  for _, path in ipairs(parser.list(root .. "/lua/asyncio", "%.lua$")) do
    take(parser.parse_lua(parser.read(path), path:sub(#root + 2)))
  end
  return entries
end

return parser
