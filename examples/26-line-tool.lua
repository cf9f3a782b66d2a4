-- Reminders: a tool that reads lines and goes on working while it waits for them.
--
--   lua examples/26-line-tool.lua      type "help"; Ctrl-D or "quit" ends it
--
-- It works the same at a terminal and in a pipe (echo "in 1 tea" | lua ...). With the argument
-- `demo` the lines come from a task instead: a Stream is a Stream, whatever stands behind it.
local asyncio = require "asyncio"

local HELP <const> = [[
in SECONDS TEXT   shows the text later
list              what is to come
run COMMAND       runs a line of the shell, which may read the next lines itself
quit]]

local commands = {}

commands["in"] = function(tool, seconds, text)
  local delay = tonumber(seconds)
  if not delay or delay < 0 or text == "" then
    return tool:say("in SECONDS TEXT")
  end
  tool.waiting[text] = tool.group:create_task(function()
    asyncio.sleep(delay)
    tool.waiting[text] = nil
    tool:say("* " .. text)
  end)
end

function commands.list(tool)
  local names = {}
  for text in pairs(tool.waiting) do
    names[#names + 1] = text
  end
  table.sort(names)
  tool:say(#names == 0 and "nothing" or table.concat(names, ", "))
end

-- The child gets what we do not read meanwhile, and writes where we do.
function commands.run(tool, ...)
  local p = asyncio.create_subprocess_shell(table.concat({...}, " "), {
    stdin = tool.input:fileno() == 0 and "inherit" or "devnull",
  })
  local status = p:wait()
  if status ~= 0 then
    tool:say("status " .. status)
  end
end

function commands.help(tool)
  tool:say(HELP)
end

local Tool = {}
Tool.__index = Tool

function Tool:say(text)
  self.output:write(text .. "\n")
  self.output:drain() -- whoever reads us slowly slows us down
end

function Tool:prompt()
  if self.input:isatty() then
    self.output:write("> ")
  end
end

-- Obeys each line until the end, or "quit"; what is still to come then is dropped.
function Tool:work()
  self:prompt()
  for line in self.input:lines() do
    local word, rest = line:match("^%s*(%S+)%s*(.-)%s*$")
    if word == "quit" then
      break
    elseif commands[word] then
      commands[word](self, rest:match("^(%S*)%s*(.*)$"))
    elseif word then
      self:say(word .. ": no such command, try help")
    end
    self:prompt()
  end
  for _, task in pairs(self.waiting) do
    task:cancel()
  end
end

local function run(input)
  asyncio.TaskGroup(function(group)
    local tool = setmetatable({
      input = input,
      output = asyncio.stdout(),
      group = group,
      waiting = {},
    }, Tool)
    tool:work()
  end)
end

-- Types, not too fast.
local function demonstrate()
  local ours, theirs = asyncio.testing.stream_pair()
  local function enter(...)
    for _, line in ipairs({...}) do
      theirs:write(line .. "\n")
      asyncio.sleep(0.01)
    end
  end
  local typing = asyncio.create_task(function()
    enter("in 0.5 tea is ready", "in 0.6 call home", "list", "dance", "in soon x", "")
    asyncio.sleep(0.8)
    enter("list", "run echo a child says hello", "in 100 never", "list", "run exit 3", "quit")
  end)
  run(ours)
  typing:await()
end

asyncio.run(function()
  if arg[1] == "demo" then
    demonstrate()
  else
    run(asyncio.stdin())
  end
end)

--[[ output with the argument demo
call home, tea is ready
dance: no such command, try help
in SECONDS TEXT
* tea is ready
* call home
nothing
a child says hello
never
status 3
]]
