-- SPDX-License-Identifier: MIT
-- cqueues has no queue: one slot and two condition variables.
local cqueues, condition, b = require "cqueues", require "cqueues.condition", require "benchutil"
local n, cq = tonumber(arg[1]), cqueues.new()
local slot, full, empty, sum = nil, condition.new(), condition.new(), 0
b.begin()
cq:wrap(function()
  for _ = 1, n do
    while slot == nil do full:wait() end
    sum = sum + slot
    slot = nil
    empty:signal()
  end
end)
cq:wrap(function()
  for i = 1, n do
    while slot ~= nil do empty:wait() end
    slot = i
    full:signal()
  end
end)
assert(cq:loop())
b.finish(n, sum)
