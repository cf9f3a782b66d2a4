-- Document 002, program 3: a task from asyncio.ensure_future, made before a loop was asked for.
-- Deviations: the indents, which the document lost, are back.
local asyncio = require "asyncio"

local execute = asyncio.async(function(x)
  print("Number:", x)
  return x
end)

local coroutine = execute(1)
print("协程:", coroutine)
print("After calling execute")
local task = asyncio.ensure_future(coroutine)
print("Task:", task)
local loop = asyncio.get_event_loop()
loop:run_until_complete(task)
print("Task:", task)
print("After calling loop")

--[[ output
协程: <coroutine object execute at 0x...>
After calling execute
Task: <Task pending name='Task-1' coro=<execute() running at 002_03_ensure_future.lua:5>>
Number: 1
Task: <Task finished name='Task-1'
    coro=<execute() done, defined at 002_03_ensure_future.lua:5> result=1>
After calling loop
]]
