-- SPDX-License-Identifier: MIT
-- luv with a coroutine per connection; read() and write() suspend it, as hand-written wrappers do.
local uv = require "luv"
local running, yield = coroutine.running, coroutine.yield
local create, resume = coroutine.create, coroutine.resume
local function step(co, ...)
  local ok, err = resume(co, ...)
  if not ok then io.stderr:write(debug.traceback(co, err), "\n") end
end

local function wrap(sock)
  local queue, head, tail, reader, eof = {}, 1, 0, nil, false
  sock:read_start(function(err, data)
    if err or not data then eof = true end
    if reader then local co = reader reader = nil step(co, data)
    elseif data then tail = tail + 1 queue[tail] = data end
  end)
  local self = {}
  function self.read()
    if head <= tail then
      local d = queue[head]
      queue[head] = nil
      head = head + 1
      return d
    end
    if eof then return nil end
    reader = running()
    return yield()
  end
  function self.write(data)
    local co = running()
    sock:write(data, function(err) step(co, not err) end)
    return yield()
  end
  return self
end

local server = uv.new_tcp()
server:bind(arg[1], tonumber(arg[2]))
assert(server:listen(1024, function(err)
  assert(not err, err)
  local client = uv.new_tcp()
  server:accept(client)
  client:nodelay(true)
  step(create(function()
    local s = wrap(client)
    while true do
      local data = s.read()
      if not data or not s.write(data) then break end
    end
    client:close()
  end))
end))
print("READY") io.stdout:flush()
uv.run()
