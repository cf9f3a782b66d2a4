-- Document 003, block 5: wait makes tasks of coroutine objects; their names are counted.
-- Deviations: the listing says 42, the code returns 32. Python refuses coroutine objects in `wait`
-- from 3.11 on; here they stay allowed. The sleeps are divided by 10.
local asyncio = require "asyncio"

local nested = asyncio.async(function()
  asyncio.sleep(0.1)
  return 32
end)

local task_list = {
  nested(),
  nested(),
}

local done, pending = asyncio.run(asyncio.wait, task_list)
assert(#pending == 0)

for _, task in ipairs(done) do
  print(task:result(), task:get_name())
end

--[[ output (0.1 s)
32 Task-2
32 Task-3
]]
