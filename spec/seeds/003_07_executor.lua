-- Document 003, block 7: a function that blocks runs on a thread.
-- Deviations: `await future()` calls the future, a slip: it is awaited. `f1` has no upvalues, as a
-- function for a thread must not. The sleep is the shell's, and divided by 10.
local asyncio = require "asyncio"

local function f1(x)
  os.execute("sleep 0.2")
  return x
end

local main = asyncio.async(function()
  local loop = asyncio.get_event_loop()
  local future = loop:run_in_executor(nil, f1, "xxx")

  local res = future:await()
  print(res)
end)

asyncio.run(main()) -- prints xxx after its sleep

--[[ output (0.2 s)
xxx
]]
