-- SPDX-License-Identifier: MIT
-- echo.lua HOST PORT: an echo server, one task per connection, until it is killed.
local asyncio <const> = require "asyncio"

local function echo(stream)
  while true do
    local data = stream:recv(65536)
    if not data then return end
    stream:sendall(data)
  end
end

local function handle(stream)
  asyncio.pcall(echo, stream) -- a peer may reset the connection
  stream:close()
end

asyncio.run(function()
  local server = asyncio.start_server(handle, arg[1], tonumber(arg[2]), { backlog = 4096 })
  print "READY"
  io.stdout:flush()
  server:serve_forever()
end)
