-- SPDX-License-Identifier: MIT
-- Lint: proves of src/ what its reader relies on. The table of the house stands here, and only
-- here.
--
-- lua tools/check_structure.lua [ROOT] [OBJECTS]   OBJECTS: a directory of compiled .o files

package.path = "./?.lua;" .. package.path
local parser <const> = require "tools.ldoc_parser"

-- ---- the house

-- Rooms in layers, lowest first. A file may include its own header, every lower layer, and, where
-- the layer is `ordered`, the rooms that stand before it. `also` opens a door for one room, with a
-- reason.
local LAYERS <const> = {
  { name = "plain C", rooms = { "list", "heap", "buffer" }, plain = true },
  { name = "errors", rooms = { "core", "pin", "name", "option", "error" }, ordered = true },
  { name = "core", ordered = true,
    rooms = { "sys", "ready", "inbox", "timer", "wait", "context", "handle", "future", "coro",
      "task", "describe", "redeliver", "interrupt", "deadlock", "loop" } },
  { name = "waiting lists", rooms = { "waiters" }, no_uv = true },
  { name = "on the core", no_uv = true,
    rooms = { "wrap", "gather", "scope", "semaphores", "barrier", "locks", "queue" } },
  { name = "I/O base", ordered = true,
    rooms = { "resource", "disposition", "descriptor", "child", "arena", "addr", "sockopt",
      "datagram", "udp", "flow", "copy", "exit", "terminal", "port", "blocking" } },
  { name = "over a flow", rooms = { "reader", "writer", "socket", "pair" } },
  { name = "files", ordered = true,
    rooms = { "request", "copyfile", "disk", "fileread", "file", "fs", "watch", "sendfile" } },
  { name = "leaves",
    rooms = { "stream", "connect", "server", "listen", "inherit", "fd", "plan", "processes",
      "signals", "thread", "remote", "standard" } },
  { name = "roof", ordered = true,
    rooms = { "lua_parts", "parts", "script", "runner", "state", "asyncio" } },
}

local ALSO <const> = {
  ["gather > scope"] = "wait_for is a timeout around an await",
  ["locks > semaphores"] = "locks opens what is left of asyncio's locks",
  ["locks > barrier"] = "the same",
  ["listen > server"] = "it makes servers",
  ["processes > plan"] = "it carries out what plan has read of the options",
  ["server > stream"] = "a server makes streams",
}

-- Files that tools write, and that no rule of style holds for.
local GENERATED <const> = { ["lua_parts.h"] = true }

local SUSPENDING <const> = { lua_yieldk = true, lua_yield = true, lua_resume = true }
local SUSPENDS <const> = { ["wait.c"] = "the one room that suspends and resumes" }

-- The types that a room owns besides the one it is named after; their statics begin with them.
local WORDS <const> = {
  scope = { timeout = true, group = true },
  handle = { sleep = true, ring = true, loop = true }, -- a Loop's methods stand with what they make
  future = { failure = true, loop = true },
  task = { loop = true },
  script = { loop = true },
  wrap = { patch = true },
  semaphores = { semaphore = true },
  signals = { signal = true },
  processes = { process = true },
}

-- Callbacks that do get a lua_State.
local ENTERS_LUA <const> = {
  loop_on_turn = "the one libuv callback that runs Lua, through a protected call",
}

-- Writable data that must be.
local WRITABLE <const> = {
  ["interrupt.o"] = "signals belong to the process: the handler of SIGINT needs a pointer",
  ["exit.o"] = "the end of the process is the process's: exit() calls functions without argument",
  ["terminal.o"] = "signals again: the handler that gives the terminal's mode back",
}

local FUNCTION_LINES <const> = 60
local FILE_WARN <const>, FILE_FAIL <const> = 700, 900
local COLUMNS <const> = 100

-- name -> { lines, reason }
local LONGER_FUNCTIONS <const> = {}
local LONGER_FILES <const> = {}

-- ---- reading C

local problems = 0

local function complain(file, line, text, ...)
  problems = problems + 1
  print(("src/%s:%d: %s"):format(file, line, text:format(...)))
end

-- The text with comments, strings and characters made blank; lines stay where they are.
local function strip(text)
  local out, i = {}, 1
  local function blank(s) out[#out + 1] = s:gsub("[^\n]", " ") end
  while i <= #text do
    local plain = text:match('^[^/"\']+', i)
    if plain then
      out[#out + 1] = plain
      i = i + #plain
    else
      local token = text:match("^/%*.-%*/", i) or text:match("^//[^\n]*", i)
      if token then
        blank(token)
      else
        local quote = text:match("^[\"']", i)
        if quote then
          local j = i + 1
          while j <= #text and text:sub(j, j) ~= quote do
            j = j + (text:sub(j, j) == "\\" and 2 or 1)
          end
          token = text:sub(i, j)
          out[#out + 1] = quote .. (" "):rep(#token - 2) .. quote
        else
          token = text:sub(i, i)
          out[#out + 1] = token
        end
      end
      i = i + #token
    end
  end
  return table.concat(out)
end

local function lines_of(text)
  local lines = {}
  for line in (text:gsub("\n$", "") .. "\n"):gmatch("(.-)\n") do lines[#lines + 1] = line end
  return lines
end

-- Function definitions: {{name=, parameters=, first=, last=}}. A definition starts in the first
-- column, its body ends with a brace in the first column: clang-format sees to that.
local function functions_of(lines)
  local list, start, signature = {}, nil, ""
  local open
  for n, line in ipairs(lines) do
    if open then
      if line:find("^}") then
        open.last = n
        list[#list + 1] = open
        open = nil
      end
    elseif line:find("^[%a_]") or start then
      start = start or n
      signature = signature .. " " .. line
      if line:find("[;}]%s*$") or line:find("=%s*{?%s*$") then
        start, signature = nil, ""
      elseif line:find("{%s*$") then
        local name, parameters = signature:match("([%a_][%w_]*)%s*(%b())%s*{%s*$")
        if name then open = { name = name, parameters = parameters, first = start } end
        start, signature = nil, ""
      end
    end
  end
  return list
end

-- ---- the rules

local place = {}
for depth, layer in ipairs(LAYERS) do
  for order, room in ipairs(layer.rooms) do
    place[room] = { depth = depth, order = order, layer = layer }
  end
end

local function may_include(from, to)
  local a, b = place[from], place[to]
  if from == to or ALSO[from .. " > " .. to] or b.depth < a.depth then return true end
  return b.depth == a.depth and a.layer.ordered and b.order < a.order
end

local function check_includes(file, room, text)
  local number = 0
  for _, line in ipairs(lines_of(text)) do
    number = number + 1
    local own = line:match('^%s*#%s*include%s*"([^"]+)"')
    local system = line:match("^%s*#%s*include%s*<([^>]+)>")
    local target = own and own:match("([%w_]+)%.h$")
    if target and not place[target] then
      complain(file, number, "%s is no room of the table in tools/check_structure.lua", own)
    elseif target and not may_include(room, target) then
      complain(file, number, "%s (%s) may not include %s (%s): includes go down", room,
        place[room].layer.name, target, place[target].layer.name)
    elseif system and place[room].layer.plain and (system:find("^lua") or system:find("^lauxlib")
        or system:find("^uv")) then
      complain(file, number, "%s is plain C: it includes no <%s>", room, system)
    end
  end
end

local function check_calls(file, room, lines)
  for number, line in ipairs(lines) do
    for name in line:gmatch("[%a_][%w_]*") do
      if SUSPENDING[name] and not SUSPENDS[file] then
        complain(file, number, "%s: only wait.c suspends and resumes", name)
      elseif name:find("^uv_") and place[room].layer.no_uv then
        complain(file, number, "%s: a room on the core calls no libuv", name)
      end
    end
  end
end

local function check_functions(file, room, functions)
  for _, f in ipairs(functions) do
    local length = f.last - f.first + 1
    local allowed = LONGER_FUNCTIONS[f.name] and LONGER_FUNCTIONS[f.name][1] or FUNCTION_LINES
    if length > allowed then
      complain(file, f.first, "%s has %d lines; %d is the limit", f.name, length, allowed)
    end
    local is_callback = f.name:find("^%l+_on_") or f.name:find("^%l+_abort_")
    if is_callback and f.parameters:find("lua_State") and not ENTERS_LUA[f.name] then
      complain(file, f.first, "%s gets a lua_State: a callback never enters Lua", f.name)
    end
  end
end

local statics = {}

local function check_static(file, room, number, line)
  if not line:find("^static%s") then return end
  local is_header = file:find("%.h$")
  -- the name stands in front of the parameters, the size, the value or the end, whichever is first
  local declared = line:match("^[^%(%[=;{]*") or line
  local name = declared:match("([%a_][%w_]*)%s*$")
  if not name then return end
  if statics[name] and statics[name] ~= file then
    complain(file, number, "%s is static in %s, too: the one-file build needs one of each", name,
      statics[name])
  end
  statics[name] = file
  local word = name:match("^(%l+)_")
  if is_header and word ~= "asy" or not is_header and word ~= room and
    not (WORDS[room] and WORDS[room][word]) then
    complain(file, number, "static '%s' does not begin with '%s_'", name,
      is_header and "asy" or room)
  end
end

local function check_file(root, file)
  local room = file:match("^([%w_]+)%.")
  local text = parser.read(root .. "/src/" .. file)
  if not place[room] then
    complain(file, 1, "%s is no room of the table in tools/check_structure.lua", room)
    return
  end
  check_includes(file, room, text)
  if GENERATED[file] then return end
  local raw = lines_of(text)
  if not raw[1]:find("SPDX-License-Identifier: MIT", 1, true) then
    complain(file, 1, "the first line is the SPDX line")
  end
  for number, line in ipairs(raw) do
    local width = utf8.len(line) or #line
    if width > COLUMNS then
      complain(file, number, "%d columns; %d is the limit", width, COLUMNS)
    end
  end
  local limit = LONGER_FILES[file] and LONGER_FILES[file][1] or FILE_FAIL
  if #raw > limit then
    complain(file, 1, "%d lines; %d is the limit", #raw, limit)
  elseif #raw > FILE_WARN and not LONGER_FILES[file] then
    print(("src/%s: warning: %d lines; more than %d fail"):format(file, #raw, FILE_FAIL))
  end
  local lines = lines_of(strip(text))
  check_calls(file, room, lines)
  check_functions(file, room, functions_of(lines))
  for number, line in ipairs(lines) do check_static(file, room, number, line) end
end

-- Writable sections of the objects: `objdump -t` names the section of each symbol. Constant tables
-- of pointers lie in .data.rel.ro, which the loader makes read-only.
local function check_data(objects)
  for _, path in ipairs(parser.list(objects, "%.o$")) do
    local file = path:match("[^/]+$")
    local pipe = assert(io.popen(("objdump -t '%s'"):format(path)))
    for line in pipe:lines() do
      local section, size, name = line:match("([%.%*][%w%._%*]+)\t(%x+)%s+(.+)$")
      local writable = section and (section == "*COM*" or section:find("^%.t?bss") or
        section:find("^%.t?data") and not section:find("^%.data%.rel%.ro"))
      if writable and tonumber(size, 16) > 0 and not name:find("^%.") and not WRITABLE[file] then
        complain((file:gsub("%.o$", ".c")), 1,
          "%s is writable (%s): state belongs to a Lua state or loop", name, section)
      end
    end
    pipe:close()
  end
end

local root <const>, objects <const> = arg[1] or ".", arg[2]
local count = 0
for _, path in ipairs(parser.list(root .. "/src", "%.[ch]$")) do
  check_file(root, path:match("[^/]+$"))
  count = count + 1
end
if objects then check_data(objects) end
print(("structure: %d files, %d problems"):format(count, problems))
os.exit(problems == 0 and count > 0)
