-- SPDX-License-Identifier: MIT
local s, b = require "luvsched", require "benchutil"
local n = tonumber(arg[1])
s.run(function()
  local sum, delay, t = 0, b.delays(), {}
  b.begin()
  for i = 1, n do
    local d = delay()
    t[i] = s.spawn(function() s.sleep(d) return i end)
  end
  for i = 1, n do sum = sum + s.await(t[i]) end
  b.finish(n, sum)
end)
