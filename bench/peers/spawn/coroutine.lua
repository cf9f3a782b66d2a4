-- SPDX-License-Identifier: MIT
-- Reference: coroutine.create + one resume to completion, no scheduler.
local b = require "benchutil"
local n, batch = tonumber(arg[1]), tonumber(arg[2])
local create, resume, sum = coroutine.create, coroutine.resume, 0
local function f(i) return i end
b.begin()
for base = 0, n - 1, batch do
  local t = {}
  for i = 1, batch do t[i] = create(f) end
  for i = 1, batch do
    local _, v = resume(t[i], base + i)
    sum = sum + v
  end
end
b.finish(n, sum)
