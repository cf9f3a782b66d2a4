-- SPDX-License-Identifier: MIT
-- spawn.lua N BATCH: start N tasks, BATCH at a time, and wait for their results.
local asyncio <const>, bench <const> = require "asyncio", require "benchutil"
local n <const>, batch <const> = tonumber(arg[1]), tonumber(arg[2])

asyncio.run(function()
  local create_task, gather, sum = asyncio.create_task, asyncio.gather, 0
  local function f(i) return i end
  bench.begin()
  for base = 0, n - 1, batch do
    local tasks = {}
    for i = 1, batch do tasks[i] = create_task(f, base + i) end
    local results = gather(tasks)
    for i = 1, batch do sum = sum + results[i] end
  end
  bench.finish(n, sum)
end)
