-- Document 004, block 4 (block 5 is its output): two waits, one after the other.
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

  print(("started at %.3f"):format(loop:time() - start))
  print(asyncio.await(say_after(2, "hello")))
  print(asyncio.await(say_after(1, "world")))
  print(("finished at %.3f"):format(loop:time() - start))
end)

asyncio.run(main())

--[[ output (0.3 s)
started at {0 s}
hello
world
finished at {0.3 s}
]]
