-- Document 003, block 10: a client as a context manager, in a program without a loop.
-- Deviations:
--   * It needs a server, as the document's program does: run 003_12_server.lua with the argument
--     8080, or give this script the port of another one.
--   * `__enter__` is the constructor, `__exit__` is `__close`. The waits are called from the main
--     chunk, where they block the script, as Python's plain sockets do.
--   * encode and decode have no counterpart: a Lua string is bytes. The sleep is divided by 20.
--   * It never ends: the test stops it after three lines with Ctrl-C's signal.
local asyncio = require "asyncio"

io.stdout:setvbuf("line")

local Client <const> = {}
Client.__index = Client

setmetatable(Client, {
  __call = function(class, ip, port)
    local self = setmetatable({ip = ip, port = port}, class)
    self.c = asyncio.socket()
    self.c:connect(self.ip, self.port)
    return self
  end,
})

function Client:__close()
  self.c:close()
end

function Client:send(data)
  self.c:sendall(data)
end

function Client:recv(size)
  return self.c:recv(size or 1024)
end

do
  local c <close> = Client("127.0.0.1", tonumber(arg[1]) or 8080)
  while true do
    c:send("abc")
    print(c:recv())
    asyncio.sleep(0.1)
  end
end

--[[ output, with the server 003_12_server.lua, ended by Ctrl-C after 3 lines
ABC
ABC
ABC
]]
