-- A client for the two servers before it: three connections at once.
--
--   lua examples/13-echo-client.lua [port]
--
-- Without a port it starts a server of its own in the same program and talks to that.
local asyncio = require "asyncio"

local function talk(port, name, lines)
  local reader, writer = asyncio.open_connection("127.0.0.1", port)
  local replies = {}
  for i, line in ipairs(lines) do
    writer:write(line .. "\n")
    writer:drain()
    replies[i] = reader:readline():gsub("\n$", "")
  end
  writer:close()
  writer:wait_closed()
  return name .. ": " .. table.concat(replies, ", ")
end

local function talk_to(port)
  local tasks = {
    asyncio.create_task(talk, port, "first", {"one", "two", "three"}),
    asyncio.create_task(talk, port, "second", {"hello", "world"}),
    asyncio.create_task(talk, port, "third", {"lua 5.4"}),
  }
  for _, text in ipairs(asyncio.gather(tasks)) do
    print(text)
  end
end

local function serve(reader, writer)
  for line in reader:lines() do
    writer:write(line:upper() .. "\n")
    writer:drain()
  end
  writer:close()
end

local function main(port)
  if port then
    talk_to(port)
  else
    local server <close> = asyncio.start_server(serve, "127.0.0.1", 0)
    talk_to(select(2, server:sockets()[1]:getsockname()))
  end
end

asyncio.run(main, tonumber(arg[1]))

--[[ output
first: ONE, TWO, THREE
second: HELLO, WORLD
third: LUA 5.4
]]
