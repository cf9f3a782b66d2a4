-- Document 003, block 3: nested tasks, one of them cancelled.
-- Deviations: the listing shows the third task before the second (a set, in any order); here they
-- start in the order given. The sleeps are divided by 10.
local asyncio = require "asyncio"

local nested = asyncio.async(function(num)
  asyncio.sleep(0.1)
  return num
end)

local f1 = asyncio.async(function(name)
  print(name, "start")

  local task = asyncio.create_task(nested(11))
  local res = task:await()
  print(name .. "结果", res)

  print(name, "end")
end)

local f2 = asyncio.async(function(name)
  print(name, "start")

  local task = asyncio.create_task(nested(11))
  task:cancel()

  -- Raises CancelledError, which ends this task too: the lines below never run.
  local res = task:await()
  print(name .. "结果", res)

  print(name, "end")
end)

local task_list = {f1("任务1"), f1("任务2"), f2("任务3")}
asyncio.run(asyncio.wait, task_list)

--[[ output (0.1 s)
任务1 start
任务2 start
任务3 start
任务1结果 11
任务1 end
任务2结果 11
任务2 end
]]
