-- Document 001, block 13: create_task inside a main function, then wait.
-- Deviations: the set of finished tasks is a list in the order given, printed by `set`, one task a
-- line; the sleeps are divided by 10.
local asyncio = require "asyncio"

local function set(values)
  local texts = {}
  for i, value in ipairs(values) do
    texts[i] = tostring(value)
  end
  return "{" .. table.concat(texts, ",\n") .. "}"
end

local func = asyncio.async(function()
  print(1)
  asyncio.sleep(0.2)
  print(2)
  return "value"
end)

local main = asyncio.async(function()
  print("main start")

  local task_list = {
    asyncio.create_task(func()),
    asyncio.create_task(func()), -- with the loop at once; it begins when main waits
  }

  print("main end")

  local done = asyncio.wait(task_list, {timeout = nil})
  print(set(done))
end)

asyncio.run(main())

--[[ output (0.2 s)
main start
main end
1
1
2
2
{<Task finished name='Task-2' coro=<func() done, defined at 001_13_create_task.lua:14>
    result='value'>,
<Task finished name='Task-3' coro=<func() done, defined at 001_13_create_task.lua:14>
    result='value'>}
]]
