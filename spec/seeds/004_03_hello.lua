-- Document 004, block 3: hello, a second, world.
-- Deviations: the sleep is divided by 10.
local asyncio = require "asyncio"

local main = asyncio.async(function()
  print("Hello ...")
  asyncio.sleep(0.1)
  print("... World!")
end)

asyncio.run(main())

--[[ output (0.1 s)
Hello ...
... World!
]]
