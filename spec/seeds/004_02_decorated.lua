-- Document 004, block 2: coroutines in the manner of Python 3.4, gathered.
-- Deviations: `@asyncio.coroutine` is asyncio.async, `yield from compute(x, y)` is asyncio.await.
-- `loop:run_until_complete(asyncio.gather, ...)` hands the function over. Seconds divided by 10.
local asyncio = require "asyncio"

local compute = asyncio.async(function(x, y)
  print(("Compute %s + %s ..."):format(x, y))
  asyncio.sleep(0.1)
  return x + y
end)

local print_sum = asyncio.async(function(x, y)
  local result = asyncio.await(compute(x, y))
  print(("%s + %s = %s"):format(x, y, result))
end)

local loop = asyncio.get_event_loop()
local tasks = {print_sum(1, 2), print_sum(3, 4)}
loop:run_until_complete(asyncio.gather, table.unpack(tasks))
loop:close()

--[[ output (0.1 s)
Compute 1 + 2 ...
Compute 3 + 4 ...
1 + 2 = 3
3 + 4 = 7
]]
