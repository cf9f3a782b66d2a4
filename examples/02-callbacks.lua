-- Callbacks: for code that does not want to wait for a task, but to be told when it is done.
--
-- A callback runs in the loop, between the steps of the tasks. It may not wait itself; it may start
-- a task that does.
local asyncio = require "asyncio"

local function fetch(name, seconds)
  asyncio.sleep(seconds)
  if name == "broken" then
    error("nothing is there", 0)
  end
  return "the contents of " .. name
end

-- The task is finished: result() returns or raises at once, exception() returns the error.
local function report(task)
  if task:exception() then
    print(task:get_name(), "failed:", task:exception())
  else
    print(task:get_name(), "brought", task:result())
  end
end

local function main()
  local loop = asyncio.get_running_loop()

  local good = asyncio.create_task(fetch, "page", 0.1):set_name("first")
  local bad = asyncio.create_task(fetch, "broken", 0.05):set_name("second")
  good:add_done_callback(report)
  bad:add_done_callback(report)

  -- Callbacks without a task: at the next turn of the loop, or later.
  loop:call_soon(print, "at the next turn")
  local timer = loop:call_later(0.05, print, "never printed")
  timer:cancel()

  -- wait does not care how the tasks end; it is here to keep main until both are done.
  asyncio.wait({good, bad})
end

asyncio.run(main)

--[[ output (0.1 s)
at the next turn
second failed: nothing is there
first brought the contents of page
]]
