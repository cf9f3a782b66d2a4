-- A chat server: everybody reads what anybody writes.
--
--   lua examples/20-chat-server.lua [port]      then `nc 127.0.0.1 port` in several terminals
--
-- Without a port three guests of its own talk to each other, and it ends.
--
-- Each guest has two tasks: one reads his lines, the other writes to him from a queue. So a guest
-- who reads slowly keeps nobody waiting: when his queue is full, he is sent away.
local asyncio = require "asyncio"

io.stdout:setvbuf("line")

local MOST_UNREAD <const> = 100 -- messages

local guests = {} -- name -> queue of what he has not been sent yet

local function tell_all(text)
  for name, inbox in pairs(guests) do
    if inbox:full() then
      guests[name] = nil
      inbox:shutdown(true) -- ends his writer, which closes his connection
    else
      inbox:put_nowait(text)
    end
  end
end

local function write_all(writer, inbox)
  for text in inbox:iter() do
    writer:write(text .. "\n")
    writer:drain() -- waits while he reads too slowly
  end
end

local function write_to(writer, inbox)
  asyncio.pcall(write_all, writer, inbox) -- he may have hung up: his reader sees it, too
  writer:close()
end

local function serve(reader, writer)
  writer:write("your name?\n")
  local name = reader:read("l")
  if not name or name == "" or guests[name] then
    writer:write("not that one\n")
    writer:close()
    return
  end
  local inbox = asyncio.Queue(MOST_UNREAD)
  guests[name] = inbox
  asyncio.create_task(write_to, writer, inbox)
  tell_all("* " .. name .. " is here")
  for line in reader:lines() do
    tell_all(name .. ": " .. line)
  end
  if guests[name] == inbox then
    guests[name] = nil
    tell_all("* " .. name .. " has left")
    inbox:shutdown()
  end
end

-- ---- guests, to see it at work

local function read_until(reader, text)
  local line
  repeat
    line = reader:read("l")
  until not line or line:find(text, 1, true)
  return line
end

local function join(port, name)
  local reader, writer = asyncio.open_connection("127.0.0.1", port)
  reader:readline() -- "your name?"
  writer:write(name .. "\n")
  read_until(reader, name .. " is here")
  return reader, writer
end

local function talk(name, reader, writer, waits_for, says)
  read_until(reader, waits_for)
  writer:write(says .. "\n")
  local line = read_until(reader, "bye")
  writer:close()
  return name .. " read: " .. line
end

local function main(port)
  local server <close> = asyncio.start_server(serve, "127.0.0.1", port or 0)
  local _, chosen = server:sockets()[1]:getsockname()
  if port then
    print("listening on port", chosen)
    server:serve_forever()
  end
  local ada_reads, ada_writes = join(chosen, "Ada")
  local grace_reads, grace_writes = join(chosen, "Grace")
  local linus_reads, linus_writes = join(chosen, "Linus")
  local read = asyncio.gather(
    asyncio.create_task(talk, "Ada", ada_reads, ada_writes, "Linus is here", "good morning"),
    asyncio.create_task(talk, "Grace", grace_reads, grace_writes, "good", "what shall we build?"),
    asyncio.create_task(talk, "Linus", linus_reads, linus_writes, "build", "something small, bye")
  )
  for _, text in ipairs(read) do
    print(text)
  end
end

asyncio.run(main, tonumber(arg[1]))

--[[ output
Ada read: Linus: something small, bye
Grace read: Linus: something small, bye
Linus read: Linus: something small, bye
]]
