-- Document 004, block 8: the results of gather, in the order given.
-- Deviations: Lua prints no lists: the results are joined by hand. The sleeps are divided by 10.
local asyncio = require "asyncio"

local coroutine_1 = asyncio.async(function()
  asyncio.sleep(0.1)
  return 1
end)

local coroutine_2 = asyncio.async(function()
  asyncio.sleep(0.2)
  return 2
end)

local main = asyncio.async(function()
  local results = asyncio.gather(coroutine_1(), coroutine_2())
  print("[" .. table.concat(results, ", ") .. "]")
end)

asyncio.run(main())

--[[ output (0.2 s)
[1, 2]
]]
