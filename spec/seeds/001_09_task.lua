-- Document 001, block 9: a coroutine object, the task made of it, and both printed.
-- Deviations: the listing behind the program is of an older Python, which did not print the name.
local asyncio = require "asyncio"

local execute = asyncio.async(function(x)
  print("Number:", x)
  return x
end)

local coroutine = execute(1)
print("Coroutine:", coroutine)
print("After calling execute")

local loop = asyncio.get_event_loop()

local task = loop:create_task(coroutine)
-- The task is with the loop now; it has not begun.

print("Task:", task)
loop:run_until_complete(task)
print("Task:", task)
print("After calling loop")

--[[ output
Coroutine: <coroutine object execute at 0x...>
After calling execute
Task: <Task pending name='Task-1' coro=<execute() running at 001_09_task.lua:5>>
Number: 1
Task: <Task finished name='Task-1' coro=<execute() done, defined at 001_09_task.lua:5> result=1>
After calling loop
]]
