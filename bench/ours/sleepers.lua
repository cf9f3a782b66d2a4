-- SPDX-License-Identifier: MIT
-- sleepers.lua N: N tasks sleep at the same time, each for a time of its own.
local asyncio <const>, bench <const> = require "asyncio", require "benchutil"
local n <const> = tonumber(arg[1])
asyncio.run(function()
  local sum, delay, sleep, tasks = 0, bench.delays(), asyncio.sleep, {}
  bench.begin()
  for i = 1, n do
    local d = delay()
    tasks[i] = asyncio.create_task(function()
      sleep(d)
      return i
    end)
  end
  for i = 1, n do sum = sum + tasks[i]:await() end
  bench.finish(n, sum)
end)
