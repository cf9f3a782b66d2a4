-- Document 003, block 1: two coroutines on one thread.
-- Deviations: Lua knows no thread names: `current_thread` is a stand-in that says "MainThread",
-- where this program runs from end to end. The sleeps are divided by 10.
local asyncio = require "asyncio"

local function current_thread()
  return {name = "MainThread"}
end

local f1 = asyncio.async(function()
  print("f1 start", current_thread().name)
  asyncio.sleep(0.1)
  print("f1 end", current_thread().name)
end)

local f2 = asyncio.async(function()
  print("f2 start", current_thread().name)
  asyncio.sleep(0.1)
  print("f2 end", current_thread().name)
end)

local tasks = {f1(), f2()}
asyncio.run(asyncio.wait, tasks)

--[[ output (0.1 s)
f1 start MainThread
f2 start MainThread
f1 end MainThread
f2 end MainThread
]]
