-- Generators: asyncio.wrap is coroutine.wrap for code that also waits.
--
-- coroutine.yield(v) hands v to the for that asks; asyncio.sleep and the like suspend the whole
-- task instead, right through the generator. (A plain coroutine.wrap cannot tell the two apart.)
local asyncio = require "asyncio"

-- A stream of lines as it comes from a slow place: pieces, not lines.
local function pieces()
  return asyncio.wrap(function()
    for _, piece in ipairs({"first li", "ne\nsecond", " line\nthird line\nfo", "urth\n"}) do
      asyncio.sleep(0.02)
      coroutine.yield(piece)
    end
  end)
end

-- A generator over a generator: makes lines of pieces.
local function lines(source)
  return asyncio.wrap(function()
    local rest = ""
    for piece in source do
      rest = rest .. piece
      for line in rest:gmatch("([^\n]*)\n") do
        coroutine.yield(line)
      end
      rest = rest:match("[^\n]*$")
    end
  end)
end

local function countdown(n)
  return asyncio.wrap(function()
    local _ <close> = setmetatable({}, {__close = function() print("generator closed") end})
    for i = n, 1, -1 do
      asyncio.sleep(0.01)
      coroutine.yield(i)
    end
  end)
end

local function main()
  for line in lines(pieces()) do
    print("line:", line)
  end

  -- wrap also returns what closes the generator when the for is left early: its <close> variables
  -- run.
  for i in countdown(10) do
    print("count:", i)
    if i == 9 then
      break
    end
  end

  -- Values can be sent in: the argument of the call is what coroutine.yield returns.
  local average = asyncio.wrap(function(value)
    local sum, n = 0, 0
    while true do
      sum, n = sum + value, n + 1
      value = coroutine.yield(sum / n)
    end
  end)
  print("average:", average(10), average(20), average(60))
end

asyncio.run(main)

--[[ output (0.1 s)
line: first line
line: second line
line: third line
line: fourth
count: 10
count: 9
generator closed
average: 10.0 15.0 30.0
]]
