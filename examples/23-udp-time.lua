-- A time server over UDP, and a client that asks it.
--
--   lua examples/23-udp-time.lua serve [port]            Ctrl-C ends it
--   lua examples/23-udp-time.lua ask [host [port]]
--
-- Without arguments it is both, with a server that loses the first question.
--
-- A datagram may be lost, or come late. So the client numbers its questions, asks again when no
-- answer has come in time, and takes no answer but that to its last question.
local asyncio = require "asyncio"

local PORT <const> = 3737
local PATIENCE <const>, ATTEMPTS <const> = 0.2, 5 -- seconds for one attempt

io.stdout:setvbuf("line")

-- Answers "number" with "number time", for ever. `loses` says which questions never arrive.
local function serve(sock, loses)
  local count = 0
  while true do
    local question, host, port = sock:recvfrom()
    count = count + 1
    local number = question:match("^%d+$")
    if number and not (loses and loses(count)) then
      sock:sendto(number .. " " .. os.date("!%Y-%m-%d %H:%M:%S"), host, port)
    end
  end
end

-- Wait for the answer to one question; older ones are passed over.
local function receive(sock, number)
  while true do
    local got, time = sock:recv():match("^(%d+) (.*)$")
    if tonumber(got) == number then
      return time
    end
  end
end

-- The time, and at which attempt it came.
local function ask(host, port)
  local sock <close> = asyncio.socket(host:find(":", 1, true) and "inet6" or "inet", "dgram")
  sock:connect(host, port) -- only from there will anything be received
  for attempt = 1, ATTEMPTS do
    sock:sendall(tostring(attempt))
    local ok, time = asyncio.pcall(asyncio.timeout, PATIENCE, receive, sock, attempt)
    if ok then
      return time, attempt
    elseif not asyncio.is(time, asyncio.TimeoutError) then
      error(time, 0) -- for example: nobody listens there
    end
  end
  error("no answer from " .. host, 0)
end

local function demonstrate()
  local sock <close> = asyncio.socket("inet", "dgram")
  sock:bind("127.0.0.1", 0)
  local host, port = sock:getsockname()
  local server = asyncio.create_task(serve, sock, function(count)
    return count == 1
  end)
  local time, attempt = ask(host, port)
  print("the time is " .. time)
  print("it came at attempt " .. attempt)
  server:cancel()
  pcall(asyncio.await, server)
  sock:close()
  local ok, err = asyncio.pcall(ask, host, port)
  print("without a server:", ok, err.code)
end

local ok, err = pcall(asyncio.run, function(what, first, second)
  if what == "serve" then
    local sock <close> = asyncio.socket("inet", "dgram")
    sock:bind("0.0.0.0", tonumber(first) or PORT)
    print("listening on port " .. select(2, sock:getsockname()))
    serve(sock)
  elseif what == "ask" then
    print((ask(first or "127.0.0.1", tonumber(second) or PORT)))
  else
    demonstrate()
  end
end, arg[1], arg[2], arg[3])
if not ok and not asyncio.is(err, asyncio.KeyboardInterrupt) then
  error(err, 0)
end

--[[ output
the time is {text}
it came at attempt 2
without a server: false ECONNREFUSED
]]
