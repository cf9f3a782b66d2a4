-- Document 000, block 7: three tasks at once take as long as the longest of them.
-- Deviations: the sleeps are divided by 10, the clock is the loop's.
local asyncio = require "asyncio"

local loop = asyncio.get_event_loop()

local function now()
  return loop:time()
end

local do_some_work = asyncio.async(function(x)
  print("Waiting:", x)
  asyncio.sleep(x / 10)
  return ("Done after %ds"):format(x)
end)

local start = now()

local coroutine1 = do_some_work(1)
local coroutine2 = do_some_work(2)
local coroutine3 = do_some_work(4)

local tasks = {
  asyncio.ensure_future(coroutine1),
  asyncio.ensure_future(coroutine2),
  asyncio.ensure_future(coroutine3),
}

loop:run_until_complete(asyncio.wait, tasks)
for _, task in ipairs(tasks) do
  print("Task ret:", task:result())
end
print("Time:", now() - start)

--[[ output (0.4 s)
Waiting: 1
Waiting: 2
Waiting: 4
Task ret: Done after 1s
Task ret: Done after 2s
Task ret: Done after 4s
Time: {0.4 s}
]]
