-- Document 000, block 8: a main task that takes the results of three others as they finish.
-- Deviations: the last line of the document holds two statements run together: mended. The sleeps
-- are divided by 10, the clock is the loop's.
local asyncio = require "asyncio"

local loop = asyncio.get_event_loop()

local function now()
  return loop:time()
end

local do_some_work = asyncio.async(function(x)
  print("waiting:", x)
  asyncio.sleep(x / 10)
  return ("Done after %ds"):format(x)
end)

local main = asyncio.async(function()
  local coroutine1 = do_some_work(1)
  local coroutine2 = do_some_work(2)
  local coroutine3 = do_some_work(4)
  local tasks = {
    asyncio.ensure_future(coroutine1),
    asyncio.ensure_future(coroutine2),
    asyncio.ensure_future(coroutine3),
  }
  for task in asyncio.as_completed(tasks) do
    local result = task:await()
    print(("Task ret: %s"):format(result))
  end
end)

local start = now()

loop:run_until_complete(main())
print("Time:", now() - start)

--[[ output (0.4 s)
waiting: 1
waiting: 2
waiting: 4
Task ret: Done after 1s
Task ret: Done after 2s
Task ret: Done after 4s
Time: {0.4 s}
]]
