-- Document 001, block 7: what a wait returns.
-- Deviations: the string with full-width quotes inside the function is left out; None is nil; the
-- sleep is divided by 10.
local asyncio = require "asyncio"

local func1 = asyncio.async(function()
  print("come to play")
  local response = asyncio.sleep(0.2)
  print("结束", response)
end)

asyncio.run(func1())

--[[ output (0.2 s)
come to play
结束 nil
]]
