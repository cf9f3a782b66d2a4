-- SPDX-License-Identifier: MIT
local cqueues, b = require "cqueues", require "benchutil"
local n, cq, sum, delay, sleep = tonumber(arg[1]), cqueues.new(), 0, b.delays(), cqueues.sleep
b.begin()
for i = 1, n do
  local d = delay()
  cq:wrap(function() sleep(d) sum = sum + i end)
end
assert(cq:loop())
b.finish(n, sum)
