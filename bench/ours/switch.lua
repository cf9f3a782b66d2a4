-- SPDX-License-Identifier: MIT
-- switch.lua TASKS TOTAL: tasks that give way to each other, TOTAL times in all.
local asyncio <const>, bench <const> = require "asyncio", require "benchutil"
local tasks <const>, total <const> = tonumber(arg[1]), tonumber(arg[2])

asyncio.run(function()
  local each, count, sleep, running = total // tasks, 0, asyncio.sleep, {}
  bench.begin()
  for i = 1, tasks do
    running[i] = asyncio.create_task(function()
      for _ = 1, each do
        sleep(0)
        count = count + 1
      end
    end)
  end
  asyncio.gather(running)
  bench.finish(total, count)
end)
