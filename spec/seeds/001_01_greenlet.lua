-- Document 001, block 1: two greenlets that switch to each other by hand.
-- Deviations:
--   * A greenlet switches straight to another one; a coroutine of Lua yields to whoever resumed it.
--     So each yields the one that is next, and a loop of three lines resumes that.
--   * The functions are called func1 and func2, as the document's own last comment calls them.
--   * It runs inside a task, on coroutines made by asyncio.wrap, so that either could also wait.
local asyncio = require "asyncio"

local gr1, gr2

local function func1()
  print(1)
  coroutine.yield(gr2) -- switch to gr2
  print(2)
  coroutine.yield(gr2)
end

local function func2()
  print(3)
  coroutine.yield(gr1)
  print(4)
end

asyncio.run(function()
  gr1 = asyncio.wrap(func1)
  gr2 = asyncio.wrap(func2)
  local current = gr1 -- step 1: go to func1
  while current do
    current = current()
  end
end)

--[[ output
1
3
2
4
]]
