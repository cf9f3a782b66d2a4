-- Document 000, block 3: calling a coroutine function runs nothing; the loop runs the object.
-- Deviations: none but the clock, which is the loop's.
local asyncio = require "asyncio"

local loop = asyncio.get_event_loop()

local function now()
  return loop:time()
end

local do_some_work = asyncio.async(function(x)
  print("waiting:", x)
end)

local start = now()
-- A coroutine object: do_some_work has not run yet.
local coroutine = do_some_work(2)
print(coroutine)
loop:run_until_complete(coroutine)
print("Time:", now() - start)

--[[ output
<coroutine object do_some_work at 0x...>
waiting: 2
Time: {0 s}
]]
