-- SPDX-License-Identifier: MIT
-- Options of open_connection: local_addr, sock, happy eyeballs (RFC 8305), scopes of IPv6.

local asyncio <const> = require "asyncio"
local helper <const> = require "spec.helper"
local on_loop <const> = require "spec.on_loop"(it, assert)

local it_runs <const> = on_loop.it_runs
local assert_code <const> = on_loop.assert_code

-- Loop:getaddrinfo gives this list while f runs.
local function with_addresses(list, f, ...)
  local meta <const> = debug.getmetatable(asyncio.get_running_loop())
  local before <const> = meta.__index
  local asked <const> = {}
  local function getaddrinfo(_, host, port, opts)
    asked[#asked + 1] = { host = host, port = port, family = opts.family }
    return list
  end
  meta.__index = function(loop, key)
    return key == "getaddrinfo" and getaddrinfo or before(loop, key)
  end
  local results <const> = table.pack(pcall(f, ...))
  meta.__index = before
  if not results[1] then error(results[2], 0) end
  return asked, table.unpack(results, 2, results.n)
end

local function address(host)
  return { family = host:find(":") and "inet6" or "inet", type = "stream", host = host }
end

local function serve(host, port, text)
  return asyncio.start_server(function(_, writer)
    writer:write(text or host)
    writer:close()
  end, host, port or 0)
end

-- A host and port where a connect waits for ever: its queue is full. Linux drops what is too many.
local function full(host, port)
  local sock <const> = asyncio.socket()
  sock:setsockopt("reuseaddr", true)
  sock:bind(host, port or 0)
  sock:listen(0)
  local _, bound = sock:getsockname()
  local fillers <const> = {}
  for i = 1, 4 do fillers[i] = asyncio.create_task(asyncio.open_connection, host, bound) end
  asyncio.sleep(0.02)
  return sock, bound, function()
    sock:close()
    for _, task in ipairs(fillers) do
      task:cancel()
      local ok, conn = pcall(task.await, task)
      if ok then conn:abort() end
    end
  end
end

describe("open_connection", function()
  it_runs("comes from where it is told to", function()
    local server <close> = serve("127.0.0.1")
    local _, port = server:sockets()[1]:getsockname()
    local conn <close> = asyncio.open_connection("127.0.0.1", port,
      { local_addr = { "127.0.0.3", 0 } })
    assert.equal("127.0.0.3", (conn:getsockname()))
    assert_code("EADDRNOTAVAIL", asyncio.open_connection, "127.0.0.1", port,
      { local_addr = { "192.0.2.99", 0 } })
    assert_code("EINVAL", asyncio.open_connection, "127.0.0.1", port, { local_addr = { "::1", 0 } })
  end)

  it_runs("does not mind who changes its options while it waits", function()
    local opts <const> = { local_addr = { "127.0.0.1", 0 }, limit = 10 }
    local function meanwhile(change)
      local task <const> = asyncio.create_task(asyncio.open_connection, "localhost", 1, opts)
      asyncio.sleep(0)
      change()
      return pcall(asyncio.await, task)
    end
    local ok, err = meanwhile(function() opts.local_addr, opts.limit = 5, "x" end)
    assert.is_false(ok)
    assert.equal("ECONNREFUSED", err.code, tostring(err))
    opts.local_addr, opts.limit = { "127.0.0.1", 0 }, nil
    ok, err = meanwhile(function() opts.local_addr[1] = nil end)
    assert.is_false(ok)
    assert.matches("option 'local_addr': {host, port} expected", tostring(err), 1, true)
  end)

  it_runs("uses a socket that is connected", function()
    local server <close> = serve("127.0.0.1")
    local sock <const> = asyncio.socket()
    sock:connect(server:sockets()[1]:getsockname())
    local reader <close>, writer = asyncio.open_connection(nil, nil, { sock = sock, limit = 5,
      high_water = 9 })
    assert.equal(sock, reader)
    assert.equal(sock, writer)
    assert.same({ 2, 9 }, { writer:get_write_buffer_limits() })
    assert.is_true(asyncio.is(select(2, pcall(reader.readuntil, reader, "0.1")),
      asyncio.LimitOverrunError))
    assert.equal("127.0.0.1", reader:read("a"))
    local fresh <close> = asyncio.socket()
    local ok, err = pcall(asyncio.open_connection, nil, nil, { sock = fresh })
    assert.is_false(ok)
    assert.matches("option 'sock': a connected socket expected", err)
    ok, err = pcall(asyncio.open_connection, "127.0.0.1", 1, { sock = fresh })
    assert.is_false(ok)
    assert.matches("host and port must be nil", err)
    ok, err = pcall(asyncio.open_connection, nil, nil, { sock = 1 })
    assert.is_false(ok)
    assert.matches("asyncio.Stream expected", err)
    for name, value in pairs { family = "inet", interleave = 1, happy_eyeballs_delay = 1,
      local_addr = { "127.0.0.1", 0 } } do
      ok, err = pcall(asyncio.open_connection, nil, nil, { sock = fresh, [name] = value })
      assert.is_false(ok)
      assert.matches("option '" .. name .. "': has no meaning with 'sock'", err, 1, true)
    end
    fresh:close()
    assert_code("EBADF", asyncio.open_connection, nil, nil, { sock = fresh })
  end)

  it_runs("over a link-local address with its scope", function()
    local host
    for line in io.lines("/proc/net/if_inet6") do
      local digits <const>, name <const> = line:match("^(fe80%x+) .* (%S+)$")
      if digits then host = digits:gsub("%x%x%x%x", "%0:"):sub(1, -2) .. "%" .. name end
    end
    if not host then return pending("this machine has no link-local address") end
    local server <close> = serve(host)
    local at, port = server:sockets()[1]:getsockname()
    assert.matches("^fe80:.*%%%w+$", at)
    local conn <close> = asyncio.open_connection(at, port)
    assert.equal(host, conn:read("a"))
    assert.equal(at, (conn:getpeername()))
    assert.is_false((pcall(asyncio.open_connection, (at:gsub("%%.*", "%%nosuchif")), port)))
  end)
end)

describe("happy eyeballs", function()
  it_runs("over a real name, with nothing in the way", function()
    local server <close> = serve("127.0.0.1")
    local _, port = server:sockets()[1]:getsockname()
    local conn <close> = asyncio.open_connection("localhost", port, { happy_eyeballs_delay = 0.25 })
    assert.equal("127.0.0.1", conn:read("a"))
    local plain <close> = asyncio.open_connection("127.0.0.1", port, { interleave = 1 })
    assert.equal("127.0.0.1", plain:read("a"))
    assert_code("EAI_NONAME", asyncio.open_connection, ("x"):rep(70) .. ".invalid", port,
      { happy_eyeballs_delay = 0.25, family = "inet" })
  end)

  it_runs("keeps the other options", function()
    local server <close> = serve("127.0.0.1", 0, ("x"):rep(30))
    local _, port = server:sockets()[1]:getsockname()
    local conn <close> = asyncio.open_connection("localhost", port, { happy_eyeballs_delay = 1,
      limit = 10, high_water = 8, low_water = 7, local_addr = { "127.0.0.3", 0 },
      family = "inet" })
    assert.equal("127.0.0.3", (conn:getsockname()))
    assert.same({ 7, 8 }, { conn:get_write_buffer_limits() })
    local ok, err = pcall(conn.readline, conn)
    assert.is_false(ok)
    assert.is_true(asyncio.is(err, asyncio.LimitOverrunError), tostring(err))
  end)

  it_runs("an address that does not answer does not hold up the next", function(loop)
    local blocked <const>, port, free = full("127.0.0.2")
    local _ <close> = serve("127.0.0.1", port)
    local list <const> = { address "127.0.0.2", address "127.0.0.1" }
    local before <const> = loop:time()
    local _, conn <const> = with_addresses(list, asyncio.open_connection, "name", port,
      { happy_eyeballs_delay = 0.05 })
    local _ <close> = conn
    assert.equal("127.0.0.1", conn:read("a"))
    local took <const> = loop:time() - before
    assert.is_true(took >= 0.045 and took < 0.5 * helper.SLOW, took)
    assert.is_true(blocked:fileno() >= 0)
    free()
  end)

  it_runs("one that fails does not wait for the delay; the first error is raised", function(loop)
    local server <close> = serve("127.0.0.1")
    local _, port = server:sockets()[1]:getsockname()
    local before <const> = loop:time()
    local asked, conn = with_addresses({ address "127.0.0.5", address "127.0.0.6",
      address "127.0.0.1" }, asyncio.open_connection, "name", port,
      { happy_eyeballs_delay = 10, family = "inet" })
    assert.equal("127.0.0.1", conn:read("a"))
    conn:close()
    assert.same({ { host = "name", port = port, family = "inet" } }, asked)
    assert.is_true(loop:time() - before < 5)
    local err <const> = assert_code("ECONNREFUSED", with_addresses,
      { address "127.0.0.5", address "127.0.0.6" }, asyncio.open_connection, "name", port,
      { happy_eyeballs_delay = 10 })
    assert.matches("127%.0%.0%.5:" .. port, tostring(err))
  end)

  it_runs("families are mixed", function()
    local server <close> = serve("127.0.0.1")
    local _, port = server:sockets()[1]:getsockname()
    local list <const> = { address "2001:db8::1", address "2001:db8::2", address "2001:db8::3",
      address "127.0.0.1" }
    local tried = {}
    local real <const> = asyncio.open_connection
    local function open(opts)
      return with_addresses(list, function()
        tried = {} -- luacheck: ignore
        asyncio.open_connection = function(host)
          tried[#tried + 1] = host
          if host == "127.0.0.1" then return "a stream" end
          error("no", 0)
        end
        local ok, result = pcall(real, "name", port, opts)
        asyncio.open_connection = real
        return ok and result
      end)
    end
    open { happy_eyeballs_delay = 1 }
    assert.same({ "2001:db8::1", "127.0.0.1" }, tried)
    open { interleave = 2 }
    assert.same({ "2001:db8::1", "2001:db8::2", "127.0.0.1" }, tried)
    open { happy_eyeballs_delay = 1, interleave = 0 }
    assert.same({ "2001:db8::1", "2001:db8::2", "2001:db8::3", "127.0.0.1" }, tried)
  end)

  it_runs("cancelled, nothing is left behind", function()
    local _, port, free = full("127.0.0.2")
    local list <const> = { address "127.0.0.2", address "127.0.0.2", address "127.0.0.2" }
    local before <const> = #asyncio.all_tasks()
    local ok, err = pcall(with_addresses, list, asyncio.timeout, 0.05, asyncio.open_connection,
      "name", port, { happy_eyeballs_delay = 0.01 })
    assert.is_false(ok)
    assert.is_true(asyncio.is(err, asyncio.TimeoutError), tostring(err))
    assert.equal(before, #asyncio.all_tasks())
    free()
  end)

  it_runs("cancelled when it has a connection already, it closes that", function()
    local _, port, free = full("127.0.0.2")
    local ended <const> = asyncio.Event()
    local _ <close> = asyncio.start_server(function(stream)
      stream:read("a")
      ended:set()
    end, "127.0.0.1", port)
    local list <const> = { address "127.0.0.2", address "127.0.0.1" }
    local wait <const> = asyncio.wait
    asyncio.wait = function(tasks, opts) -- luacheck: ignore
      if not opts then asyncio.current_task():cancel() end -- for those that have lost
      return wait(tasks, opts)
    end
    collectgarbage("stop")
    local task <const> = asyncio.create_task(with_addresses, list, asyncio.open_connection,
      "name", port, { happy_eyeballs_delay = 0.01 })
    local ok, err = pcall(task.await, task)
    asyncio.wait = wait -- luacheck: ignore
    local closed <const> = pcall(asyncio.timeout, 5 * helper.SLOW, ended.wait, ended)
    collectgarbage("restart")
    assert.is_false(ok)
    assert.is_true(asyncio.is(err, asyncio.CancelledError), tostring(err))
    assert.is_true(closed, "the connection is still open")
    free()
  end)

  it_runs("wrong options", function()
    local function refuses(pattern, opts)
      local ok, err = pcall(asyncio.open_connection, "127.0.0.1", 1, opts)
      assert.is_false(ok)
      assert.matches("#3.*" .. pattern, err)
    end
    refuses("option 'happy_eyeballs_delay': number of seconds", { happy_eyeballs_delay = "1" })
    refuses("option 'happy_eyeballs_delay': number of seconds", { happy_eyeballs_delay = 0 / 0 })
    refuses("option 'interleave': integer expected", { interleave = true })
    refuses("option 'interleave': out of range", { interleave = -1 })
  end)
end)
