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

-- What a handler raises closes its connection and is reported: but not that a peer has gone.
local function report(loop, context)
  local code = context.exception.code
  if code ~= "ECONNRESET" and code ~= "EPIPE" then loop:default_exception_handler(context) end
end

asyncio.run(function()
  asyncio.get_running_loop():set_exception_handler(report)
  local server = asyncio.start_server(handle, arg[1], tonumber(arg[2]), { backlog = 4096 })
  print "READY"
  io.stdout:flush()
  server:serve_forever()
end)
