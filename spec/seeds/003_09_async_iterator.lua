-- Document 003, block 9: an iterator that waits at each step.
-- Deviations: `__aiter__` and `__anext__` are the same `__call` as in block 8: an iterator that
-- waits is an async iterator. The sleeps are divided by 10.
local asyncio = require "asyncio"

local MyRange <const> = {}
MyRange.__index = MyRange

setmetatable(MyRange, {
  __call = function(class, start, stop)
    local self = setmetatable({}, class)
    if stop == nil then
      self.count = -1
      self.stop = start
    else
      self.count = start - 1
      self.stop = stop
    end
    return self
  end,
})

function MyRange:add_count()
  asyncio.sleep(0.1)

  self.count = self.count + 1

  if self.count == self.stop then
    return nil
  end

  return self.count
end

function MyRange:__call()
  return self:add_count()
end

local main = asyncio.async(function()
  for i in MyRange(3) do
    print(i)
  end
end)

asyncio.run(main())

--[[ output (0.4 s)
0
1
2
]]
