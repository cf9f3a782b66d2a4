-- Document 004, block 6 (block 7 is its output): the same waits, as tasks that run at once.
-- Deviations: the times printed are seconds since the start of the program, not the time of day;
-- the sleeps are divided by 10.
local asyncio = require "asyncio"

local say_after = asyncio.async(function(delay, what)
  asyncio.sleep(delay / 10)
  return what
end)

local main = asyncio.async(function()
  local loop = asyncio.get_running_loop()
  local start = loop:time()

  local task1 = asyncio.create_task(say_after(2, "hello"))
  local task2 = asyncio.create_task(say_after(1, "world"))
  print(("started at %.3f"):format(loop:time() - start))
  print(task1:await())
  print(task2:await())
  print(("finished at %.3f"):format(loop:time() - start))
end)

asyncio.run(main())

--[[ output (0.2 s)
started at {0 s}
hello
world
finished at {0.2 s}
]]
