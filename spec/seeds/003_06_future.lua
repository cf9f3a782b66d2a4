-- Document 003, block 6: a future that another task completes.
-- Deviations: `await future()` calls the future, a slip: it is awaited. The sleep is divided by 10.
local asyncio = require "asyncio"

local f1 = asyncio.async(function(future)
  asyncio.sleep(0.2)
  future:set_result("abc")
end)

local main = asyncio.async(function()
  local loop = asyncio.get_event_loop()
  local future = loop:create_future()
  loop:create_task(f1(future))

  local res = future:await()
  print(res)
end)

asyncio.run(main()) -- prints abc after its sleep

--[[ output (0.2 s)
abc
]]
