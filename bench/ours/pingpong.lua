-- SPDX-License-Identifier: MIT
-- pingpong.lua N: a producer and a consumer on a queue with room for one item.
local asyncio <const>, bench <const> = require "asyncio", require "benchutil"
local n <const> = tonumber(arg[1])

asyncio.run(function()
  local queue, sum = asyncio.Queue(1), 0
  bench.begin()
  local consumer = asyncio.create_task(function()
    for _ = 1, n do sum = sum + queue:get() end
  end)
  local producer = asyncio.create_task(function()
    for i = 1, n do queue:put(i) end
  end)
  asyncio.gather(consumer, producer)
  bench.finish(n, sum)
end)
