-- Document 004, block 9: a lock around shared state.
-- Deviations: the document shows three lines with a comment for the work. Here two tasks take the
-- lock, and each finds the shared state as it left it; without the lock both would read 0.
local asyncio = require "asyncio"

local lock = asyncio.Lock()
local shared = 0

local function add()
  local _ <close> = lock:acquire()
  -- access shared state
  local before = shared
  asyncio.sleep(0.05)
  shared = before + 1
  print("shared:", shared)
end

asyncio.run(function()
  asyncio.gather(add, add)
  print("locked:", lock:locked())
end)

--[[ output (0.1 s)
shared: 1
shared: 2
locked: false
]]
