-- SPDX-License-Identifier: MIT
local uv, b = require "luv", require "benchutil"
local n, done, run = tonumber(arg[1]), 0, uv.run
local s = uv.new_tcp()
s:bind("127.0.0.1", 0)
s:listen(1, function() error "unexpected" end)
b.begin()
for _ = 1, n do if run("nowait") then done = done + 1 end end
b.finish(n, done)
