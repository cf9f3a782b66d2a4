-- A server that sends back each line in capitals, on streams.
--
--   lua examples/12-echo-server-streams.lua [port]      (9856; 0: any free port)
--
-- Then run 13-echo-client.lua with its port, or `nc 127.0.0.1 9856`. Ctrl-C ends it.
local asyncio = require "asyncio"

io.stdout:setvbuf("line")

-- The server starts this as a task for each client. reader and writer are the same object; the two
-- names only say what a line is about.
local function serve(reader, writer)
  while true do
    local line = reader:readline() -- with its "\n"; nil at the end
    if not line then
      break
    end
    writer:write(line:upper()) -- goes out at once, or is buffered
    writer:drain() -- waits while the client reads too slowly
  end
  writer:close()
end

local function main(port)
  local server <close> = asyncio.start_server(serve, "127.0.0.1", port)
  print("listening on port", select(2, server:sockets()[1]:getsockname()))
  server:serve_forever()
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
