-- SPDX-License-Identifier: MIT
local cqueues, condition, b = require "cqueues", require "cqueues.condition", require "benchutil"
local n, batch = tonumber(arg[1]), tonumber(arg[2])
local cq, sum = cqueues.new(), 0
cq:wrap(function()
  b.begin()
  for base = 0, n - 1, batch do
    local left, r, done = batch, {}, condition.new()
    for i = 1, batch do
      cq:wrap(function(v)
        r[i] = v
        left = left - 1
        if left == 0 then done:signal() end
      end, base + i)
    end
    while left > 0 do done:wait() end
    for i = 1, batch do sum = sum + r[i] end
  end
  b.finish(n, sum)
end)
assert(cq:loop())
