-- SPDX-License-Identifier: MIT
local s, b = require "luvsched", require "benchutil"
local n = tonumber(arg[1])
s.run(function()
  local q, sum = s.queue(1), 0
  b.begin()
  local c = s.spawn(function() for _ = 1, n do sum = sum + q.get() end end)
  local p = s.spawn(function() for i = 1, n do q.put(i) end end)
  s.await(c) s.await(p)
  b.finish(n, sum)
end)
