-- SPDX-License-Identifier: MIT
-- Reference: the consumer resumes the producer for every item; no queue, no scheduler.
local b = require "benchutil"
local n, sum, resume, yield = tonumber(arg[1]), 0, coroutine.resume, coroutine.yield
b.begin()
local producer = coroutine.create(function() for i = 1, n do yield(i) end end)
for _ = 1, n do
  local _, v = resume(producer)
  sum = sum + v
end
b.finish(n, sum)
