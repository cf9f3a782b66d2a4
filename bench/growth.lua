-- SPDX-License-Identifier: MIT
-- Does the cost of one operation stay the same when there are more? Tasks from 1,000 to LIMIT
-- (1,000,000; argument 1), each size in a process of its own, CPU time; then connections from 10 to
-- what the limit of descriptors allows (15,000 at most), server and load in processes of their own.
local LUA <const> = os.getenv "LUA" or "lua5.4"
local BUILD <const> = os.getenv "BENCH_BUILD" or "build/bench"

local function tasks(n)
  local asyncio <const>, clock <const> = require "asyncio", require "benchutil_c"
  local create_task <const>, sleep <const> = asyncio.create_task, asyncio.sleep
  local at
  local function lap(count)
    local now = clock.cpu()
    local ns = at and (now - at) / count
    at = clock.cpu()
    return ns
  end

  asyncio.run(function()
    local before, list = clock.rss(), {}
    local function switch()
      for _ = 1, 3 do sleep(0) end
      sleep(3600)
    end
    lap(n)
    for i = 1, n do list[i] = create_task(switch) end
    local spawn = lap(n)
    sleep(0) -- the first step of each: threads and their stacks
    local first = lap(n)
    sleep(0)
    sleep(0)
    local switched = lap(2 * n)
    sleep(0)
    local armed = lap(n)
    local memory = (clock.rss() - before) / n
    collectgarbage()
    lap(1)
    collectgarbage()
    local pause = lap(1)
    for i = 1, n do list[i]:cancel() end
    asyncio.wait(list)
    local cancelled = lap(n)
    print(("%9d %8.0f %8.0f %8.0f %8.0f %8.0f %9.0f %10.1f %8.0f"):format(n, spawn, first,
      switched, armed, cancelled, memory, pause / 1e6, pause / n))
  end)
end

if arg[1] == "run" then
  tasks(tonumber(arg[2]))
  os.exit(0) -- not the freeing of a million tasks
end

local limit <const> = tonumber(arg[1]) or 1000000
print "CPU, ns for each task; memory: resident bytes of a sleeping task; a full collection while"
print "all sleep: ms in all, ns for each task"
print(("%9s %8s %8s %8s %8s %8s %9s %10s %8s"):format("tasks", "create", "1st step", "switch",
  "sleep", "cancel", "memory", "collect,ms", "ns"))
local n = 1000
while n <= limit do
  assert(os.execute(("%s bench/growth.lua run %d"):format(LUA, n)))
  n = n * (tostring(n):match "^1" and 3 or 10 / 3) // 1 | 0
end

-- ---- connections

local function read_all(command)
  local pipe = assert(io.popen(command))
  local text = pipe:read "a"
  return text, pipe:close()
end

local descriptors <const> = tonumber((read_all "ulimit -Hn")) or 1048576
print(("\nlimit of descriptors: %d; echo of 64 B, a task for each connection"):format(descriptors))
print(("%12s %14s %22s"):format("connections", "messages/s", "server CPU, ns/message"))
for i, connections in ipairs { 10, 100, 1000, 5000, 15000 } do
  if connections + 50 > descriptors then break end
  local port = 29500 + os.time() % 3000 + i
  local server = assert(io.popen(("ulimit -n %d; echo $$; exec %s bench/ours/echo.lua 127.0.0.1 %d")
    :format(descriptors, LUA, port)))
  local pid = server:read "n"
  server:read "L"
  assert(server:read "l" == "READY")
  local text = read_all(("ulimit -n %d; %s/echo_load -p %d -s 64 -c %d -t 1 -w 0.2 -S %d 2>&1")
    :format(descriptors, BUILD, port, connections, pid))
  os.execute("kill -9 " .. pid)
  server:close()
  local rate = text:match '"msgs_per_s": ([%d.]+)'
  local cpu = text:match '"server_cpu_ns_per_msg": ([%d.]+)'
  print(rate and ("%12d %14.0f %22.0f"):format(connections, rate, cpu) or
    ("%12d failed: %s"):format(connections, text))
end
