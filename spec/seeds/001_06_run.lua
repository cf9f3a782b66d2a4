-- Document 001, block 6: asyncio.run with a coroutine object.
-- Deviations: the greeting has lost its second half, which was not polite.
local asyncio = require "asyncio"

local func = asyncio.async(function()
  print("Hey!")
end)

local result = func()

-- asyncio.run(result) does what these two lines do, on a loop of its own that it closes afterwards:
--   local loop = asyncio.get_event_loop()
--   loop:run_until_complete(result)
asyncio.run(result)

--[[ output
Hey!
]]
