-- The first steps: run a function on a loop, wait in it, start others beside it.
--
-- A function needs no mark to be allowed to wait. asyncio.run(f) runs f in a task, and whatever
-- waits inside (here asyncio.sleep) suspends that task only: the others go on meanwhile.
local asyncio = require "asyncio"

local function greet(name, seconds)
  asyncio.sleep(seconds)
  print("hello, " .. name)
  return #name
end

local function main()
  -- A plain call waits: these two take 0.1 + 0.1 seconds.
  greet("Ada", 0.1)
  greet("Grace", 0.1)

  -- To run something beside this task, hand the function over; its arguments come after it.
  local slow = asyncio.create_task(greet, "Barbara", 0.2)
  local quick = asyncio.create_task(greet, "Edith", 0.1)
  print("both have been started, neither has run yet")

  -- await() returns what the function returned, or raises the error that it raised.
  print("letters:", slow:await() + quick:await())
end

asyncio.run(main)

--[[ output (0.4 s)
hello, Ada
hello, Grace
both have been started, neither has run yet
hello, Edith
hello, Barbara
letters: 12
]]
