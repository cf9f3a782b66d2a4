-- Document 003, block 4: tasks with names.
-- Deviations: the document forgets `await` before asyncio.wait. `name=` is task:set_name, which
-- returns the task. The sleeps are divided by 10.
local asyncio = require "asyncio"

local nested = asyncio.async(function()
  asyncio.sleep(0.1)
  return 32
end)

local main = asyncio.async(function(name)
  print(name, "start")

  local task_list = {
    asyncio.create_task(nested()):set_name("task-a"),
    asyncio.create_task(nested()):set_name("task-b"),
  }

  -- done: the tasks that have finished; pending: those that have not
  local done, pending = asyncio.wait(task_list)
  assert(#pending == 0)

  for _, task in ipairs(done) do
    print(task:result(), task:get_name())
  end
end)

asyncio.run(main("任务"))

--[[ output (0.1 s)
任务 start
32 task-a
32 task-b
]]
