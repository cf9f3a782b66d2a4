-- A server that sends back in capitals what it gets, on plain sockets.
--
--   lua examples/11-echo-server-sockets.lua [port]      (9856; 0: any free port)
--
-- Then run 13-echo-client.lua with its port, or `nc 127.0.0.1 9856`. Ctrl-C ends it.
-- The next example is the same server on streams, which is shorter.
local asyncio = require "asyncio"

io.stdout:setvbuf("line")

-- One task for each client, which waits for its own client only.
local function serve(conn)
  local loop = asyncio.get_running_loop()
  local _ <close> = conn
  while true do
    local data = loop:sock_recv(conn, 1024) -- same as conn:recv(1024)
    if not data then
      return -- the client has closed its end
    end
    loop:sock_sendall(conn, data:upper())
  end
end

local function main(port)
  local loop = asyncio.get_running_loop()
  local server <close> = asyncio.socket()
  server:setsockopt("reuseaddr", true)
  server:bind("127.0.0.1", port)
  server:listen(5)
  print("listening on port", select(2, server:getsockname()))

  while true do
    local conn = loop:sock_accept(server)
    asyncio.create_task(serve, conn)
  end
end

local ok, err = pcall(asyncio.run, main, tonumber(arg[1]) or 9856)
if not ok and asyncio.is(err, asyncio.KeyboardInterrupt) then
  print("stopped")
elseif not ok then
  error(err, 0)
end

--[[ output, as a server
listening on port {port}
stopped
]]
