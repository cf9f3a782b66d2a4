-- Which ports of a machine are open? Fifty connects at a time.
--
--   lua examples/21-port-scanner.lua [host [first [last]]]
--
-- Without arguments it opens three ports of its own and looks for them among their neighbours. Scan
-- only machines that are yours.
local asyncio = require "asyncio"

local AT_ONCE <const> = 50
local PATIENCE <const> = 1.0 -- seconds; a port behind a firewall never answers

-- true, or false and why not.
local function is_open(host, port)
  local ok, err = asyncio.pcall(function()
    local _, writer = asyncio.timeout(PATIENCE, asyncio.open_connection, host, port)
    writer:close()
  end)
  if ok then
    return true
  end
  return false, asyncio.is(err, asyncio.TimeoutError) and "no answer" or err.code
end

local function scan(host, first, last)
  local limiter = asyncio.Semaphore(AT_ONCE)
  local found, refused, silent = {}, 0, 0
  asyncio.TaskGroup(function(group)
    for port = first, last do
      local permit = limiter:acquire() -- waits while fifty are on their way
      group:create_task(function()
        local _ <close> = permit -- given back however this ends
        local open, why = is_open(host, port)
        if open then
          found[#found + 1] = port
        elseif why == "no answer" then
          silent = silent + 1
        else
          refused = refused + 1
        end
      end)
    end
  end)
  table.sort(found)
  return found, refused, silent
end

local function main(host, first, last)
  if host then
    local found, refused, silent = scan(host, first or 1, last or 1024)
    print("open: " .. table.concat(found, " "))
    print(("refused: %d, no answer: %d"):format(refused, silent))
    return
  end
  local ports, servers = {}, {}
  for i = 1, 3 do
    servers[i] = asyncio.start_server(function(_, writer)
      writer:close()
    end, "127.0.0.1", 0)
    ports[i] = select(2, servers[i]:sockets()[1]:getsockname())
  end
  for i, port in ipairs(ports) do
    local found = scan("127.0.0.1", port - 20, port + 20)
    local is_found = ("," .. table.concat(found, ",") .. ","):find("," .. port .. ",", 1, true)
    print("server " .. i .. ":", is_found and "open" or "not found")
    servers[i]:close()
  end
end

asyncio.run(main, arg[1], tonumber(arg[2]), tonumber(arg[3]))

--[[ output
server 1: open
server 2: open
server 3: open
]]
