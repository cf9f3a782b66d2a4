-- Document 003, block 2: a coroutine waits for another coroutine.
-- Deviations: `current_thread` is a stand-in, as in block 1. The sleeps are divided by 10.
local asyncio = require "asyncio"

local function current_thread()
  return {name = "MainThread"}
end

local recv = asyncio.async(function(name)
  print("开始 IO")
  asyncio.sleep(0.1)
  print("结束 IO")

  return ("%s-hello"):format(name)
end)

local f1 = asyncio.async(function()
  print("f1 start", current_thread().name)

  local data = asyncio.await(recv("f1"))
  print("f1", data)

  print("f1 end", current_thread().name)
end)

local f2 = asyncio.async(function()
  print("f2 start", current_thread().name)

  local data = asyncio.await(recv("f2"))
  print("f2", data)

  print("f2 end", current_thread().name)
end)

local tasks = {f1(), f2()}
asyncio.run(asyncio.wait, tasks)

--[[ output (0.1 s)
f1 start MainThread
开始 IO
f2 start MainThread
开始 IO
结束 IO
f1 f1-hello
f1 end MainThread
结束 IO
f2 f2-hello
f2 end MainThread
]]
