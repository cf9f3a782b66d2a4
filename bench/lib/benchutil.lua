-- SPDX-License-Identifier: MIT
-- begin() ... finish(count, check): measures what lies between, and prints one line of JSON for
-- bench/run.lua.
local c = require "benchutil_c"
local M = {}
local w, p, r

function M.begin()
  r = c.rss()
  p, w = c.cpu(), c.wall()
end

function M.finish(count, check)
  local wall, cpu = c.wall() - w, c.cpu() - p
  local line = '{"count": %d, "check": %d, "wall_ns": %d, "cpu_ns": %d, "rss0": %d, "peak": %d}'
  print(line:format(count, check, wall, cpu, r, c.peak()))
end

-- the delays of `sleepers`: the i-th call gives the i-th delay in seconds, 0 <= d < 1
function M.delays()
  local x = 1
  return function()
    x = (x * 1103515245 + 12345) & 0x7fffffff
    return x / 2147483648
  end
end

return M
