-- Document 003, block 8: an iterator written as a class.
-- Deviations: the document prints the letter i (`print('i')`); its comment shows the numbers, which
-- is what it means. `__iter__` and `__next__` are Lua's `__call`: the object is the iterator of a
-- generic for. Nothing here waits, so nothing of the library is used; block 9 is the one that does.
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
  self.count = self.count + 1

  if self.count == self.stop then
    return nil
  end

  return self.count
end

function MyRange:__call()
  return self:add_count() -- nil ends the for
end

for i in MyRange(8, 10) do
  print(i) -- 8 9
end

--[[ output
8
9
]]
