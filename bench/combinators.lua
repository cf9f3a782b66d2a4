-- SPDX-License-Identifier: MIT
-- The combinators beside asyncio and uvloop, in one run: bench/combinators.py does the same with
-- the same sizes. Without an argument: runs both, ROUNDS (3) times in turn, and prints the medians
-- of the CPU time of an operation. With "run": does the work once, prints "name nanoseconds" lines.
local ROUNDS <const> = tonumber(os.getenv "ROUNDS") or 3
local PYTHON <const> = os.getenv "PYTHON" or "python3"
local LUA <const> = os.getenv "LUA" or "lua5.4"

local function work()
  local asyncio <const>, clock <const> = require "asyncio", require "benchutil_c"
  local loop <const> = asyncio.get_running_loop()
  local create_task <const>, sleep <const> = asyncio.create_task, asyncio.sleep

  -- n operations; f does them all, three times; the middle time counts
  local function measure(name, n, f)
    local times = {}
    for i = 1, 3 do
      local begin = clock.cpu()
      f()
      times[i] = (clock.cpu() - begin) / n
    end
    table.sort(times)
    print(name, ("%.1f"):format(times[2]))
  end

  local function nothing() end
  local function tasks(n, f, ...)
    local list = {}
    for i = 1, n do list[i] = create_task(f, ...) end
    return list
  end
  local function times(n, f, ...)
    for _ = 1, n do f(...) end
  end

  measure("gather, 1,000 that end at once", 20000, function()
    for _ = 1, 20 do asyncio.gather(tasks(1000, nothing)) end
  end)
  measure("gather, 1,000 that sleep", 20000, function()
    for _ = 1, 20 do asyncio.gather(tasks(1000, sleep, 0.001)) end
  end)
  measure("wait, 1,000 that end at once", 20000, function()
    for _ = 1, 20 do asyncio.wait(tasks(1000, nothing)) end
  end)
  measure("wait, 1,000 that sleep", 20000, function()
    for _ = 1, 20 do asyncio.wait(tasks(1000, sleep, 0.001)) end
  end)
  measure("as_completed, 1,000", 20000, function()
    for _ = 1, 20 do
      for task in asyncio.as_completed(tasks(1000, nothing)) do task:await() end
    end
  end)
  measure("wait_for", 10000, function() times(10000, asyncio.wait_for, nothing, 10) end)
  measure("wait_for that waits", 10000, function()
    local function once() sleep(0) end
    times(10000, asyncio.wait_for, once, 10)
  end)
  measure("timeout", 10000, function()
    for _ = 1, 10000 do
      local _ <close> = asyncio.timeout(10)
      sleep(0)
    end
  end)
  measure("TaskGroup of 100", 20000, function()
    for _ = 1, 200 do
      local group <close> = asyncio.TaskGroup()
      for _ = 1, 100 do group:create_task(nothing) end
    end
  end)
  measure("Lock, free", 100000, function()
    local lock = asyncio.Lock()
    for _ = 1, 100000 do
      lock:acquire()
      lock:release()
    end
  end)
  measure("Lock, 10 contend", 20000, function()
    local lock = asyncio.Lock()
    asyncio.gather(tasks(10, function()
      for _ = 1, 2000 do
        lock:acquire()
        sleep(0)
        lock:release()
      end
    end))
  end)
  measure("Semaphore(3), 10 contend", 20000, function()
    local semaphore = asyncio.Semaphore(3)
    asyncio.gather(tasks(10, function()
      for _ = 1, 2000 do
        semaphore:acquire()
        sleep(0)
        semaphore:release()
      end
    end))
  end)
  measure("Event, 10,000 waiters", 10000, function()
    local event = asyncio.Event()
    local list = tasks(10000, event.wait, event)
    sleep(0)
    event:set()
    asyncio.gather(list)
  end)
  measure("call_soon", 100000, function()
    for _ = 1, 100 do
      for _ = 1, 1000 do loop:call_soon(nothing) end
      sleep(0)
    end
  end)
  measure("call_later and cancel", 100000, function()
    for _ = 1, 100000 do loop:call_later(60, nothing):cancel() end
  end)
end

if arg[1] == "run" then
  require("asyncio").run(work)
  os.exit(0)
end

local function runs(command)
  return (os.execute(command .. " >/dev/null 2>&1"))
end

local candidates <const> = {
  { "ours", LUA .. " bench/combinators.lua run" },
  { "asyncio", PYTHON .. " bench/combinators.py" },
  { "uvloop", PYTHON .. " bench/combinators.py uvloop" },
}
local columns, names, results = {}, {}, {}
for _, column in ipairs(candidates) do
  local name, command = column[1], column[2]
  local module = name == "ours" and "asyncio" or name
  if name == "ours" or runs(("%s -c 'import %s'"):format(PYTHON, module)) then
    columns[#columns + 1] = { name = name, command = command }
  else
    print(("left out: %s, %s does not find it"):format(name, PYTHON))
  end
end
for _ = 1, ROUNDS do
  for _, column in ipairs(columns) do
    local pipe = assert(io.popen(column.command))
    for line in pipe:lines() do
      local name, ns = line:match "^(.-)\t([%d.]+)$"
      if name then
        if not results[name] then
          names[#names + 1] = name
          results[name] = {}
        end
        local list = results[name][column.name] or {}
        results[name][column.name] = list
        list[#list + 1] = tonumber(ns)
      end
    end
    assert(pipe:close(), column.name .. " failed")
  end
end

local function median(list)
  table.sort(list)
  return list[#list // 2 + 1]
end

io.write(("%-32s"):format "CPU, ns an operation")
for _, column in ipairs(columns) do io.write(("%18s"):format(column.name)) end
print()
for _, name in ipairs(names) do
  io.write(("%-32s"):format(name))
  local ours = median(results[name].ours)
  for _, column in ipairs(columns) do
    local value = results[name][column.name] and median(results[name][column.name])
    if not value then
      io.write(("%18s"):format "-")
    elseif column.name == "ours" then
      io.write(("%18.0f"):format(value))
    else
      io.write(("%18s"):format(("%.0f (x%.1f)"):format(value, value / ours)))
    end
  end
  print()
end
