-- Document 000, block 1: five greetings, one after the other, in a program without a loop.
-- Deviations:
--   * `time.sleep` is `asyncio.sleep` called from the main chunk: stock Lua has no sleep, and a
--     waiting function called where no loop runs waits all the same.
--   * The time printed is counted from the start of the program; seconds are divided by 10.
local asyncio = require "asyncio"

local loop = asyncio.get_event_loop()
local start = loop:time()

local function hello()
  asyncio.sleep(0.1)
end

local function run()
  for _ = 1, 5 do
    hello()
    print(("Hello World:%.3f"):format(loop:time() - start))
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
