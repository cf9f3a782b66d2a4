-- Document 001, block 8: a coroutine that waits for another one.
-- Deviations: `await others()` is asyncio.await(others()); the sleep is divided by 10.
local asyncio = require "asyncio"

local others = asyncio.async(function()
  print("start")
  asyncio.sleep(0.2)
  print("end")
  return "value of return"
end)

local fun = asyncio.async(function()
  print("执行协程函数内部的代码")

  -- This task waits until the other function has returned; other tasks could run meanwhile.
  local response = asyncio.await(others())

  print("The request result of IO：", response)
end)

asyncio.run(fun())

--[[ output (0.2 s)
执行协程函数内部的代码
start
end
The request result of IO： value of return
]]
