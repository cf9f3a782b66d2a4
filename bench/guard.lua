-- SPDX-License-Identifier: MIT
-- Does an operation take more instructions than it did? `make guard` runs each under callgrind with
-- two counts and divides the difference, so that start-up and set-up fall out; the result must not
-- be more than 5 % above the record in bench/instructions.lua. It is a count, not a time: the same
-- on a busy machine. What is counted is Lua, libuv and this library, as Debian 12 builds them; with
-- another Lua or libuv the record does not apply, and the command says so.
-- `make guard-update` writes the record anew, in the commit that means to change it.

local TOLERANCE <const> = 1.05
local RECORD <const> = "bench/instructions.lua"
local LUA <const> = os.getenv "LUA" or "lua5.4"

-- Each is run inside asyncio.run with `asyncio` and the count `n` in scope.
local OPERATIONS <const> = {
  { "start_up", 0, 1, "" }, -- the whole process, with n = 0
  { "sleep_0", 1000, 3000, "for _ = 1, n do asyncio.sleep(0) end" },
  { "sleep", 200, 600, [[
    local tasks = {}
    for i = 1, n do tasks[i] = asyncio.create_task(asyncio.sleep, 0.001 * (i % 7)) end
    asyncio.gather(tasks)]] },
  { "create_and_await", 1000, 3000, [[
    local function f() end
    for _ = 1, n do asyncio.create_task(f):await() end]] },
  { "spawn_and_gather", 1000, 3000, [[
    local function f(i) return i end
    for _ = 1, n / 100 do
      local tasks = {}
      for i = 1, 100 do tasks[i] = asyncio.create_task(f, i) end
      asyncio.gather(tasks)
    end]] },
  { "task_group_of_100", 1000, 3000, [[
    local function f(i) return i end
    for _ = 1, n / 100 do
      local group <close> = asyncio.TaskGroup()
      for i = 1, 100 do group:create_task(f, i) end
    end]] },
  { "switch_of_100", 2000, 6000, [[
    local tasks = {}
    for i = 1, 100 do
      tasks[i] = asyncio.create_task(function() for _ = 1, n / 100 do asyncio.sleep(0) end end)
    end
    asyncio.gather(tasks)]] },
  { "future", 1000, 3000, [[
    local loop = asyncio.get_running_loop()
    for _ = 1, n do
      local future = loop:create_future()
      loop:call_soon(future.set_result, future, 1)
      future:await()
    end]] },
  { "lock_contended", 1000, 3000, [[
    local lock, tasks = asyncio.Lock(), {}
    for i = 1, 2 do
      tasks[i] = asyncio.create_task(function()
        for _ = 1, n / 2 do lock:acquire() asyncio.sleep(0) lock:release() end
      end)
    end
    asyncio.gather(tasks)]] },
  { "queue", 1000, 3000, [[
    local queue = asyncio.Queue(1)
    asyncio.create_task(function() for i = 1, n do queue:put(i) end end)
    for _ = 1, n do queue:get() end]] },
  { "call_later_and_cancel", 1000, 3000, [[
    local loop = asyncio.get_running_loop()
    for _ = 1, n do loop:call_later(60, print):cancel() end]] },
  { "echo_64", 200, 600, [[
    local server = asyncio.start_server(function(stream)
      while true do
        local data = stream:recv(65536)
        if not data then return end
        stream:sendall(data)
      end
    end, "127.0.0.1", 0)
    local client = asyncio.open_connection(server:sockets()[1]:getsockname())
    local message = ("x"):rep(64)
    for _ = 1, n do client:sendall(message) client:recv(100) end
    client:close()]] },
}

local function read_all(command)
  local pipe = assert(io.popen(command))
  local text = pipe:read "a"
  return text, pipe:close()
end

local function instructions(code, n)
  local path = os.tmpname()
  local file = assert(io.open(path, "w"))
  file:write(([[
local asyncio <const>, n <const> = require "asyncio", %d
collectgarbage "stop"
asyncio.run(function()
%s
end)
os.exit(0)
]]):format(n, code))
  file:close()
  local text, ok = read_all(("valgrind --tool=callgrind --callgrind-out-file=/dev/null %s %s 2>&1")
    :format(LUA, path))
  os.remove(path)
  local count = text:match "Collected : (%d+)"
  if not ok or not count then error(text, 0) end
  return tonumber(count)
end

local function measure(operation)
  local name, few, many, code = table.unpack(operation)
  if name == "start_up" then return instructions(code, 0) end
  return (instructions(code, many) - instructions(code, few)) / (many - few)
end

local function environment()
  local lua = read_all(LUA .. " -v 2>&1"):match "Lua [%d.]+" or "?"
  local uv = read_all "pkg-config --modversion libuv 2>&1":match "[%d.]+" or "?"
  return ("%s, libuv %s, %s"):format(lua, uv, read_all "uname -m":match "%S+" or "?")
end

local function update(results)
  local file = assert(io.open(RECORD, "w"))
  file:write "-- SPDX-License-Identifier: MIT\n"
  file:write "-- Written by `make guard-update`: instructions of an operation (bench/guard.lua).\n"
  file:write(("return {\n  environment = %q,\n"):format(environment()))
  for _, operation in ipairs(OPERATIONS) do
    file:write(("  %s = %.0f,\n"):format(operation[1], results[operation[1]]))
  end
  file:write "}\n"
  file:close()
  print("written: " .. RECORD)
end

if not os.execute "command -v valgrind >/dev/null" then
  print "make guard needs valgrind: make deps-dev"
  os.exit(1)
end
local updating <const> = arg[1] == "--update"
local record <const> = updating and {} or dofile(RECORD)
if not updating and record.environment ~= environment() then
  print(("not compared: the record is of %s, this is %s"):format(record.environment, environment()))
  os.exit(0)
end
local results, slower = {}, 0
for _, operation in ipairs(OPERATIONS) do
  local name = operation[1]
  results[name] = measure(operation)
  local before = record[name]
  local bad = before and results[name] > before * TOLERANCE
  if bad then slower = slower + 1 end
  print(("%-8s %-22s %10.0f instructions%s"):format(bad and "SLOWER" or "ok", name, results[name],
    before and (", %+.1f %% of the record"):format((results[name] / before - 1) * 100) or ""))
end
if updating then update(results) end
print(("%d of %d operations are more than 5 %% slower"):format(slower, #OPERATIONS))
os.exit(slower == 0)
