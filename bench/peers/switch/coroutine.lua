-- SPDX-License-Identifier: MIT
-- Reference: raw resume/yield, round robin over the tasks.
local b = require "benchutil"
local tasks, total = tonumber(arg[1]), tonumber(arg[2])
local resume, yield, each, sum, t = coroutine.resume, coroutine.yield, total // tasks, 0, {}
b.begin()
for i = 1, tasks do
  t[i] = coroutine.create(function() for _ = 1, each do yield() sum = sum + 1 end end)
end
for _ = 0, each do for i = 1, tasks do resume(t[i]) end end
b.finish(total, sum)
