-- Document 002, program 2: a task from loop:create_task.
-- Deviations: the indents, which the document lost, are back.
local asyncio = require "asyncio"

local execute = asyncio.async(function(x)
  print("Number:", x)
  return x
end)

local coroutine = execute(1)
print("协程:", coroutine)
print("After calling execute")
local loop = asyncio.get_event_loop()
local task = loop:create_task(coroutine)
print("Task:", task)
loop:run_until_complete(task)
print("Task:", task)
print("After calling loop")

--[[ output
协程: <coroutine object execute at 0x...>
After calling execute
Task: <Task pending name='Task-1' coro=<execute() running at 002_02_create_task.lua:5>>
Number: 1
Task: <Task finished name='Task-1'
    coro=<execute() done, defined at 002_02_create_task.lua:5> result=1>
After calling loop
]]
