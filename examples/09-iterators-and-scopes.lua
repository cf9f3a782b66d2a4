-- Async iterators and context managers, which are Lua's own.
--
-- Python has `async for` and `async with` beside `for` and `with`. Here the iterator of a generic
-- for may wait, and so may the __close of a <close> variable: there is nothing else to learn.
local asyncio = require "asyncio"

-- An iterator that waits for each of its values.
local function ticks(n, seconds)
  local i = 0
  return function()
    if i < n then
      asyncio.sleep(seconds)
      i = i + 1
      return i
    end
  end
end

-- A scope: opening it waits, and closing it waits. __close gets the error that ends the block, if
-- one does, and cannot swallow it.
local function session(name)
  asyncio.sleep(0.02)
  print("open " .. name)
  return setmetatable({name = name}, {
    __close = function(self, err)
      asyncio.sleep(0.02)
      print("close " .. self.name, err)
    end,
  })
end

local function main()
  local function count(name, n, seconds)
    for i in ticks(n, seconds) do
      print(name, i)
    end
  end
  -- Two loops at the same time.
  asyncio.gather(
    function() count("a", 3, 0.10) end,
    function() count("b", 2, 0.13) end)

  do
    local outer <close> = session("outer")
    local inner <close> = session("inner")
    print("using " .. outer.name .. " and " .. inner.name)
  end

  print(asyncio.pcall(function()
    local _ <close> = session("third")
    error("an error in the block", 0)
  end))

  -- A timeout is a scope too: what takes longer ends with a TimeoutError.
  local ok, err = asyncio.pcall(function()
    local _ <close> = asyncio.timeout(0.05)
    for _ in ticks(10, 0.02) do
      -- three ticks do not fit
    end
  end)
  print(ok, asyncio.is(err, asyncio.TimeoutError))
end

asyncio.run(main)

--[[ output (0.47 s)
a 1
b 1
a 2
b 2
a 3
open outer
open inner
using outer and inner
close inner nil
close outer nil
open third
close third an error in the block
false an error in the block
false true
]]
