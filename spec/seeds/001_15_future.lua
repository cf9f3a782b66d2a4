-- Document 001, block 15: a future that a task completes.
-- Deviations: the sleep is divided by 10.
local asyncio = require "asyncio"

local set_after = asyncio.async(function(fut)
  asyncio.sleep(0.2)
  fut:set_result("666")
end)

local main = asyncio.async(function()
  local loop = asyncio.get_event_loop()

  -- A future alone: nobody knows when it will be done.
  local fut = loop:create_future()

  -- A task that completes it, by hand, after its sleep.
  loop:create_task(set_after(fut)):await()

  -- The result; without the task this would wait for ever.
  local data = fut:await()
  print(data)
end)

asyncio.run(main())

--[[ output (0.2 s)
666
]]
