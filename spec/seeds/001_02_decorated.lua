-- Document 001, block 2: coroutines in the manner of Python 3.4, `yield from`.
-- Deviations: the listing has a dozen typing errors (func20 for func2(), full-width brackets, lost
-- indents): mended. `@asyncio.coroutine` is asyncio.async. The sleeps are divided by 10.
local asyncio = require "asyncio"

local func1 = asyncio.async(function()
  print(1)
  asyncio.sleep(0.2) -- waits: the loop goes on with another task
  print(2)
end)

local func2 = asyncio.async(function()
  print(3)
  asyncio.sleep(0.2)
  print(4)
end)

local tasks = {
  asyncio.ensure_future(func1()),
  asyncio.ensure_future(func2()),
}

local loop = asyncio.get_event_loop()
loop:run_until_complete(asyncio.wait, tasks)

--[[ output (0.2 s)
1
3
2
4
]]
