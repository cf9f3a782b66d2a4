-- Document 002, program 1: a coroutine object, run by the loop.
-- Deviations: the indents, which the document lost, are back.
local asyncio = require "asyncio"

local execute = asyncio.async(function(x)
  print("x = ", x)
end)

local coroutine = execute(1)
print("协程:", coroutine)
print("After calling execute")
local loop = asyncio.get_event_loop()
loop:run_until_complete(coroutine)
print("After calling loop")

--[[ output
协程: <coroutine object execute at 0x...>
After calling execute
x =  1
After calling loop
]]
