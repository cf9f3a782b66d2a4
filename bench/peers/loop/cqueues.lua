-- SPDX-License-Identifier: MIT
local cqueues, socket, b = require "cqueues", require "cqueues.socket", require "benchutil"
local n, cq, done = tonumber(arg[1]), cqueues.new(), 0
local s = socket.listen("127.0.0.1", 0)
cq:wrap(function() s:accept() end)
cq:step(0)
b.begin()
for _ = 1, n do if cq:step(0) then done = done + 1 end end
b.finish(n, done)
