-- SPDX-License-Identifier: MIT
local cqueues, b = require "cqueues", require "benchutil"
local tasks, total = tonumber(arg[1]), tonumber(arg[2])
local cq, each, sum, sleep = cqueues.new(), total // tasks, 0, cqueues.sleep
b.begin()
for i = 1, tasks do cq:wrap(function() for _ = 1, each do sleep(0) sum = sum + 1 end end) end
assert(cq:loop())
b.finish(total, sum)
