-- Document 002, program 7: three tasks at once through gather.
-- Deviations: the sleeps are divided by 10. The lost indents are back.
local asyncio = require "asyncio"

local task = asyncio.async(function(name, delay)
  print(("Task %s started"):format(name))
  asyncio.sleep(delay / 10) -- stands for something slow
  print(("Task %s completed"):format(name))
end)

local main = asyncio.async(function()
  local tasks = {
    task("A", 2),
    task("B", 1),
    task("C", 3),
  }
  -- Wait until all of them are done.
  asyncio.gather(table.unpack(tasks))
end)

asyncio.run(main())

--[[ output (0.3 s)
Task A started
Task B started
Task C started
Task B completed
Task A completed
Task C completed
]]
