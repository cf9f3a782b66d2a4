-- Document 000, block 5: a callback gets the finished task and reads its result.
-- Deviations: the clock is the loop's.
local asyncio = require "asyncio"

local loop = asyncio.get_event_loop()

local function now()
  return loop:time()
end

local do_some_work = asyncio.async(function(x)
  print("waiting:", x)
  return ("Done after %ds"):format(x)
end)

local function callback(future)
  print("callback:", future:result())
end

local start = now()
local coroutine = do_some_work(2)

local task = asyncio.ensure_future(coroutine)
print(task)

task:add_done_callback(callback)
print(task)

loop:run_until_complete(task)
print("Time:", now() - start)

--[[ output
<Task pending name='Task-1' coro=<do_some_work() running at 000_05_callback.lua:11>>
<Task pending name='Task-1' coro=<do_some_work() running at 000_05_callback.lua:11>
    cb=[callback() at 000_05_callback.lua:16]>
waiting: 2
callback: Done after 2s
Time: {0 s}
]]
