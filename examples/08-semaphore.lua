-- A semaphore as a limiter: a hundred downloads, never more than ten at once.
local asyncio = require "asyncio"

local limit = asyncio.Semaphore(10)
local running, most, bytes = 0, 0, 0

local function download(n)
  local _ <close> = limit:acquire() -- waits while ten others are at it
  running = running + 1
  most = math.max(most, running)
  asyncio.sleep(0.02)
  bytes = bytes + 1000 + n
  running = running - 1
end

local function main()
  -- A group waits for all its tasks when its block ends; if one fails, it cancels the others.
  do
    local group <close> = asyncio.TaskGroup()
    for n = 1, 100 do
      group:create_task(download, n)
    end
    print("tasks are started, none has run:", bytes)
  end
  print("bytes:", bytes)
  print("at most at once:", most)
end

asyncio.run(main)

--[[ output (0.2 s)
tasks are started, none has run: 0
bytes: 105050
at most at once: 10
]]
