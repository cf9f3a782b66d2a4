-- SPDX-License-Identifier: MIT
local s, b = require "luvsched", require "benchutil"
local n, batch = tonumber(arg[1]), tonumber(arg[2])
s.run(function()
  local sum = 0
  local function f(i) return i end
  b.begin()
  for base = 0, n - 1, batch do
    local t = {}
    for i = 1, batch do t[i] = s.spawn(f, base + i) end
    for i = 1, batch do sum = sum + s.await(t[i]) end
  end
  b.finish(n, sum)
end)
