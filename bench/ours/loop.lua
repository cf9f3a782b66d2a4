-- SPDX-License-Identifier: MIT
-- loop.lua N: N turns of a loop that watches a quiet socket and finds nothing. The poll itself is
-- left out while something is ready, until 256 entries have run or a millisecond has passed.
local asyncio <const>, bench <const> = require "asyncio", require "benchutil"
local n <const> = tonumber(arg[1])

asyncio.run(function()
  asyncio.start_server(function() end, "127.0.0.1", 0)
  local sleep = asyncio.sleep
  bench.begin()
  for _ = 1, n do sleep(0) end
  bench.finish(n, n)
end)
