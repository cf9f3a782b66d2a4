-- Document 003, block 11: the client as an async context manager, on the loop's own methods.
-- Deviations:
--   * It needs a server, as the document's program does: run 003_12_server.lua, or give this script
--     the port of another one.
--   * `__aenter__` is the constructor, `__aexit__` (not declared async in the document, a slip) is
--     `__close`; either may wait. A Lua string is bytes: no encode, no decode.
--   * The sleep is divided by 10. It never ends: the test stops it with Ctrl-C's signal after three
--     lines.
local asyncio = require "asyncio"

io.stdout:setvbuf("line")

local Client <const> = {}
Client.__index = Client

setmetatable(Client, {
  __call = function(class, ip, port)
    local self = setmetatable({ip = ip, port = port}, class)
    self.loop = asyncio.get_event_loop()
    self.c = asyncio.socket()

    -- Waits until the server has accepted.
    self.loop:sock_connect(self.c, {self.ip, self.port})

    return self
  end,
})

function Client:__close()
  self.c:close()
end

function Client:send(data)
  self.loop:sock_sendall(self.c, data)
end

function Client:recv(size)
  return self.loop:sock_recv(self.c, size or 1024)
end

local main = asyncio.async(function()
  local c <close> = Client("127.0.0.1", tonumber(arg[1]) or 9856)
  while true do
    c:send("abc")
    local data = c:recv()
    print(data)
    asyncio.sleep(0.1)
  end
end)

asyncio.run(main())

--[[ output, with the server 003_12_server.lua, ended by Ctrl-C after 3 lines
ABC
ABC
ABC
]]
