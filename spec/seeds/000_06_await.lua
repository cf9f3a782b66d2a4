-- Document 000, block 6: a wait inside the task, its result read afterwards.
-- Deviations: the sleep is divided by 10, the clock is the loop's.
local asyncio = require "asyncio"

local loop = asyncio.get_event_loop()

local function now()
  return loop:time()
end

local do_some_work = asyncio.async(function(x)
  print("waiting:", x)
  -- Where something slow is called, the task waits and others run.
  asyncio.sleep(x / 10)
  return ("Done after %ds"):format(x)
end)

local start = now()

local coroutine = do_some_work(2)
local task = asyncio.ensure_future(coroutine)
loop:run_until_complete(task)

print("Task ret:", task:result())
print("Time:", now() - start)

--[[ output (0.2 s)
waiting: 2
Task ret: Done after 2s
Time: {0.2 s}
]]
