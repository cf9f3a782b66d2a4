-- Document 001, block 3: the same two coroutines as in block 2, with async and await.
-- Deviations: plain functions are handed to ensure_future, which is how this library is used when
-- nobody asks for coroutine objects. The sleeps are divided by 10.
local asyncio = require "asyncio"

local function func1()
  print(1)
  asyncio.sleep(0.2)
  print(2)
end

local function func2()
  print(3)
  asyncio.sleep(0.2)
  print(4)
end

local tasks = {
  asyncio.ensure_future(func1),
  asyncio.ensure_future(func2),
}
local loop = asyncio.get_event_loop()
loop:run_until_complete(asyncio.wait, tasks)

--[[ output (0.2 s)
1
3
2
4
]]
