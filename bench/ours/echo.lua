-- SPDX-License-Identifier: MIT
-- echo.lua HOST PORT: an echo server, one task per connection, until it is killed.
local asyncio <const> = require "asyncio"

local function handle(stream)
  while true do
    local data = stream:recv(65536)
    if not data then break end
    stream:sendall(data)
  end
  stream:close()
end

asyncio.run(function()
  local server = asyncio.start_server(handle, arg[1], tonumber(arg[2]), { backlog = 4096 })
  print "READY"
  io.stdout:flush()
  server:serve_forever()
end)
