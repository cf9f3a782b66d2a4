-- Document 000, block 2: the greetings as coroutine objects, each run by the loop.
-- Deviations:
--   * The document forgets `await` before `asyncio.sleep(1)`, so that Python does not sleep at all.
--     Here a call that waits waits: nothing can be forgotten, and each greeting takes its second.
--   * The time printed is counted from the start of the program; seconds are divided by 10.
local asyncio = require "asyncio"

local loop = asyncio.get_event_loop()
local start = loop:time()

local hello = asyncio.async(function()
  asyncio.sleep(0.1)
  print(("Hello World:%.3f"):format(loop:time() - start))
end)

local function run()
  for _ = 1, 5 do
    loop:run_until_complete(hello())
  end
end

run()

--[[ output (0.5 s)
Hello World:{0.1 s}
Hello World:{0.2 s}
Hello World:{0.3 s}
Hello World:{0.4 s}
Hello World:{0.5 s}
]]
