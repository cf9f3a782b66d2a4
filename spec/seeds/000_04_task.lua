-- Document 000, block 4: a task made of the coroutine object, printed before and after it ran.
-- Deviations: None is nil; the clock is the loop's.
local asyncio = require "asyncio"

local loop = asyncio.get_event_loop()

local function now()
  return loop:time()
end

local do_some_work = asyncio.async(function(x)
  print("waiting:", x)
end)

local start = now()
local coroutine = do_some_work(2)
local task = loop:create_task(coroutine)
print(task)

loop:run_until_complete(task)
print(task)

print("Time:", now() - start)

--[[ output
<Task pending name='Task-1' coro=<do_some_work() running at 000_04_task.lua:11>>
waiting: 2
<Task finished name='Task-1' coro=<do_some_work() done, defined at 000_04_task.lua:11> result=nil>
Time: {0 s}
]]
