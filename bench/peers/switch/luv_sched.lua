-- SPDX-License-Identifier: MIT
local s, b = require "luvsched", require "benchutil"
local tasks, total = tonumber(arg[1]), tonumber(arg[2])
s.run(function()
  local each, sum, yield_now, t = total // tasks, 0, s.yield_now, {}
  b.begin()
  for i = 1, tasks do
    t[i] = s.spawn(function() for _ = 1, each do yield_now() sum = sum + 1 end end)
  end
  for i = 1, tasks do s.await(t[i]) end
  b.finish(total, sum)
end)
