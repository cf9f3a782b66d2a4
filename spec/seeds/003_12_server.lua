-- Document 003, block 12: a server that sends back in capitals what it gets.
-- Deviations:
--   * The port may be given as an argument (0: one that is free); it is printed, so that the test
--     can find it. `setblocking(False)` has no counterpart: no socket here ever blocks the loop.
--   * It never ends: the test stops it with Ctrl-C's signal when its clients are gone.
--   * Block 13 is this program on uvloop, whose place libuv has here from the start.
local asyncio = require "asyncio"

io.stdout:setvbuf("line")

local waiter = asyncio.async(function(conn, loop)
  while true do
    local ok, data = asyncio.pcall(function()
      local data = loop:sock_recv(conn, 1024)

      if data then
        loop:sock_sendall(conn, data:upper())
      end
      return data
    end)

    if not ok then
      if asyncio.is(data, asyncio.OSError) and data.code == "ECONNRESET" then
        break
      end
      error(data, 0)
    end
    if not data then
      break
    end
  end

  conn:close()
end)

local main = asyncio.async(function(ip, port)
  local server <close> = asyncio.socket()

  server:setsockopt("reuseaddr", true)
  server:bind(ip, port)
  server:listen(5)
  print("listening on", select(2, server:getsockname()))

  local loop = asyncio.get_event_loop()

  while true do
    local conn = loop:sock_accept(server)

    -- A task for each client.
    loop:create_task(waiter(conn, loop))
  end
end)

asyncio.run(main("127.0.0.1", tonumber(arg[1]) or 9856))

--[[ output, as a server, ended by Ctrl-C
listening on {port}
]]
