-- The demo: a server that sends each line back in capitals, and 200 clients that check every byte.
--
--   make demo      or      lua examples/demo.lua [clients]
--
-- Each client is a task with a connection of its own. It sends the whole text of the licences in
-- /usr/share/common-licenses (or the project's own files, where these are missing), 32 lines at a
-- time, and compares each reply. Server and clients share one thread and one loop. The exit status
-- is not 0 if a single byte is wrong.
local asyncio = require "asyncio"

local LICENCES <const> = "/usr/share/common-licenses"
local WINDOW <const> = 32 -- lines on their way for each client
local OWN_LIMIT <const> = 300000 -- bytes of the project's own files, about as much as the licences

-- ---- the server

local function serve(reader, writer)
  local line = reader:readline()
  while line do
    writer:write(line:upper())
    writer:drain()
    line = reader:readline()
  end
  writer:close()
end

-- ---- the text

local function list_files()
  local find = "find " .. LICENCES .. " -maxdepth 1 -type f 2>/dev/null | sort"
  local pipe = assert(io.popen(find))
  local names = {}
  for name in pipe:lines() do
    names[#names + 1] = name
  end
  pipe:close()
  if #names > 0 then
    return names, LICENCES, math.huge
  end
  local root = arg[0]:match("^(.*)/examples/[^/]*$") or "."
  pipe = assert(io.popen("find '" .. root .. "' -type f -name '*.[clmh]*' -not -path '*/build/*' "
    .. "-not -path '*/.git/*' | sort"))
  for name in pipe:lines() do
    names[#names + 1] = name
  end
  pipe:close()
  return names, "the project's own files", OWN_LIMIT
end

-- All lines, each with its "\n", and the same in capitals.
local function read_text()
  local names, where, limit = list_files()
  local text = {where = where, files = 0, bytes = 0, lines = {}, upper = {}}
  for _, name in ipairs(names) do
    if text.bytes >= limit then
      break
    end
    for bare in io.lines(name) do
      local line = bare .. "\n"
      text.bytes = text.bytes + #line
      table.insert(text.lines, line)
      table.insert(text.upper, line:upper())
    end
    text.files = text.files + 1
  end
  return text
end

-- ---- a client

-- Round trips are counted in steps of 0.01 ms, not kept one by one.
local function count_round_trip(stats, seconds)
  local step = math.floor(seconds * 1e5)
  stats.trips[step] = (stats.trips[step] or 0) + 1
  stats.lines = stats.lines + 1
end

local function client(port, text, stats)
  local loop = asyncio.get_running_loop()
  local lines, upper = text.lines, text.upper
  local reader, writer = asyncio.open_connection("127.0.0.1", port)
  stats.connections = stats.connections + 1

  for first = 1, #lines, WINDOW do
    local last = math.min(first + WINDOW - 1, #lines)
    local sent = loop:time()
    writer:write(table.concat(lines, "", first, last))
    writer:drain()
    for i = first, last do
      local reply = reader:readline()
      if reply ~= upper[i] then
        error(("line %d should be %q, the reply is %q"):format(i, upper[i], reply or "the end"), 0)
      end
      count_round_trip(stats, loop:time() - sent)
      stats.bytes = stats.bytes + #reply
    end
  end

  writer:write_eof()
  if reader:readline() then
    error("the server sent more than it was asked for", 0)
  end
  writer:close()
end

-- ---- the report

local function percentile(stats, share)
  local steps = {}
  for step in pairs(stats.trips) do
    steps[#steps + 1] = step
  end
  table.sort(steps)
  local seen = 0
  for _, step in ipairs(steps) do
    seen = seen + stats.trips[step]
    if seen >= share * stats.lines then
      return (step + 1) / 100 -- in ms, the end of the step
    end
  end
end

local function progress(stats, total)
  while true do
    local percent = 100 * stats.lines // total
    io.stderr:write(("\r%3d %%  %d of %d lines"):format(percent, stats.lines, total))
    asyncio.sleep(0.2)
  end
end

local function report(text, stats, seconds)
  print(("text         %d files, %d lines, %d bytes, from %s"):format(text.files, #text.lines,
    text.bytes, text.where))
  print(("connections  %d, each of which sent all of it, %d lines at a time"):format(
    stats.connections, WINDOW))
  print(("lines        %d, every reply right"):format(stats.lines))
  print(("bytes        %d there, as many back"):format(stats.bytes))
  print(("seconds      %.2f, which is %.0f lines a second"):format(seconds, stats.lines / seconds))
  print(("round trip   p50 %.2f ms, p99 %.2f ms (a line, from the sending of its window)"):format(
    percentile(stats, 0.50), percentile(stats, 0.99)))
end

local function main(clients)
  local loop = asyncio.get_running_loop()
  local text = read_text()
  local stats = {connections = 0, lines = 0, bytes = 0, trips = {}}
  local server <close> = asyncio.start_server(serve, "127.0.0.1", 0, {backlog = clients})
  local _, port = server:sockets()[1]:getsockname()

  local terminal = os.execute("test -t 2")
  local line = terminal and asyncio.create_task(progress, stats, clients * #text.lines)

  local start = loop:time()
  do
    local group <close> = asyncio.TaskGroup()
    for _ = 1, clients do
      group:create_task(client, port, text, stats)
    end
  end
  local seconds = loop:time() - start

  if line then
    line:cancel()
    io.stderr:write("\r\27[K")
  end
  assert(stats.lines == clients * #text.lines and stats.bytes == clients * text.bytes)
  report(text, stats, seconds)
end

asyncio.run(main, tonumber(arg[1]) or 200)

--[[ output, with the argument 3
text         {number} files, {number} lines, {number} bytes, from {text}
connections  3, each of which sent all of it, 32 lines at a time
lines        {number}, every reply right
bytes        {number} there, as many back
seconds      {number}, which is {number} lines a second
round trip   p50 {number} ms, p99 {number} ms (a line, from the sending of its window)
]]
