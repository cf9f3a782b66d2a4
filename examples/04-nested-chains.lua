-- Chains: functions that wait for functions that wait, several such chains at once.
--
-- Nothing on the way has to know that something below it waits: to call is to wait. An error goes
-- up the chain like any error of Lua, through pcall and <close> variables.
local asyncio = require "asyncio"

local function read_block(file, n)
  asyncio.sleep(0.05)
  if file == "damaged" and n == 2 then
    error("block 2 cannot be read", 0)
  end
  return ("%s[%d]"):format(file, n)
end

local function read_file(file)
  local blocks = {}
  for n = 1, 3 do
    blocks[n] = read_block(file, n)
  end
  return table.concat(blocks, " ")
end

local function copy(file)
  local text = read_file(file)
  print("copied", text)
  return #text
end

local function main()
  -- Two chains side by side; each of them goes on step by step.
  local sizes = asyncio.gather(
    function() return copy("left") end,
    function() return copy("right") end)
  print("bytes:", sizes[1] + sizes[2])

  -- The error of the innermost function comes out where the chain began.
  print(asyncio.pcall(copy, "damaged"))

  -- A chain of tasks: each awaits the one before. The last one brings all of it.
  local previous
  for n = 1, 5 do
    local before = previous
    previous = asyncio.create_task(function()
      local sum = before and before:await() or 0
      asyncio.sleep(0.01)
      return sum + n
    end)
  end
  print("1 + 2 + 3 + 4 + 5 =", previous:await())
end

asyncio.run(main)

--[[ output (0.3 s)
copied left[1] left[2] left[3]
copied right[1] right[2] right[3]
bytes: 49
false block 2 cannot be read
1 + 2 + 3 + 4 + 5 = 15
]]
