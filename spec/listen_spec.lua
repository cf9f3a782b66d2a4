-- SPDX-License-Identifier: MIT
-- What start_server listens on: both families, one socket for both, several hosts, a socket that is
-- given; and descriptors that are open already.

local asyncio <const> = require "asyncio"
local helper <const> = require "spec.helper"
local on_loop <const> = require "spec.on_loop"(it, assert)

local it_runs <const> = on_loop.it_runs
local assert_code <const> = on_loop.assert_code

local function refuses(pattern, fn, ...)
  local ok, err = pcall(fn, ...)
  assert.is_false(ok)
  assert.matches(pattern, err)
end

-- A handler that says to whom it speaks.
local function greet(_, writer)
  writer:write((writer:getpeername()) or "nobody")
  writer:close()
end

local function greeting(...)
  local conn <close> = asyncio.open_connection(...)
  return conn:read("a")
end

describe("start_server", function()
  it_runs("on both families", function()
    for _, host in ipairs { false, "" } do
      local server <close> = asyncio.start_server(greet, host or nil, 0)
      local sockets <const> = server:sockets()
      local any, port = sockets[1]:getsockname()
      assert.equal("0.0.0.0", any)
      assert.equal("127.0.0.1", greeting("127.0.0.1", port))
      if #sockets == 2 then
        assert.same({ "::", port }, { sockets[2]:getsockname() })
        assert.is_true(sockets[2]:getsockopt("ipv6_only"))
        assert.equal("::1", greeting("::1", port))
      end
    end
  end)

  it_runs("on one socket for both", function()
    local server <close> = asyncio.start_server(greet, nil, 0, { ipv6_only = false })
    local sockets <const> = server:sockets()
    assert.equal(1, #sockets)
    local any, port = sockets[1]:getsockname()
    if any ~= "::" then return pending("this machine has no IPv6") end
    assert.is_false(sockets[1]:getsockopt("ipv6_only"))
    assert.equal("::ffff:127.0.0.1", greeting("127.0.0.1", port))
    assert.equal("::1", greeting("::1", port))
    local four <close> = asyncio.start_server(greet, nil, 0, { ipv6_only = false, family = "inet" })
    assert.equal("0.0.0.0", (four:sockets()[1]:getsockname()))
    local six <close> = asyncio.start_server(greet, "::", 0, { ipv6_only = false })
    assert.equal("::ffff:127.0.0.1", greeting("127.0.0.1",
      (select(2, six:sockets()[1]:getsockname()))))
  end)

  it_runs("on several hosts", function()
    local server <close> = asyncio.start_server(greet, { "127.0.0.1", "127.0.0.2", "localhost" }, 0,
      { family = "inet" })
    local hosts <const> = {}
    for i, sock in ipairs(server:sockets()) do hosts[i] = (sock:getsockname()) end
    assert.same({ "127.0.0.1", "127.0.0.2", "127.0.0.1" }, hosts)
  end)

  it_runs("shares a port", function()
    local first <close> = asyncio.start_server(greet, "127.0.0.1", 0, { reuse_port = true })
    local host, port = first:sockets()[1]:getsockname()
    local second <close> = asyncio.start_server(greet, host, port, { reuse_port = true })
    assert.equal(port, (select(2, second:sockets()[1]:getsockname())))
    assert_code("EADDRINUSE", asyncio.start_server, greet, host, port)
  end)

  it_runs("has room for as many as its backlog says", function()
    local waiting <const> = {}
    for _, backlog in ipairs { 0, 20 } do
      local server <close> = asyncio.start_server(greet, "127.0.0.1", 0,
        { backlog = backlog, start_serving = false })
      server:start_serving()
      local host, port = server:sockets()[1]:getsockname()
      local tasks <const> = {}
      for i = 1, 10 do tasks[i] = asyncio.create_task(asyncio.open_connection, host, port) end
      -- whom the system has turned away it lets try again in a second
      asyncio.sleep(0.02 * helper.SLOW)
      waiting[backlog] = 0
      for _, task in ipairs(tasks) do
        if not task:done() then waiting[backlog] = waiting[backlog] + 1 end
        task:cancel()
        local ok, conn = pcall(task.await, task)
        if ok then conn:abort() end
      end
    end
    assert.is_true(waiting[0] > 0)
    assert.equal(0, waiting[20])
  end)

  it_runs("connections keep alive", function()
    local server <close> = asyncio.start_server(function(_, writer)
      writer:write(tostring(writer:getsockopt("keepalive")))
      writer:close()
    end, "127.0.0.1", 0, { keep_alive = true })
    assert.equal("true", greeting(server:sockets()[1]:getsockname()))
    local sock <close> = asyncio.socket()
    for name, value in pairs { keepidle = 30, keepintvl = 5, keepcnt = 3 } do
      sock:setsockopt(name, value)
      assert.equal(value, sock:getsockopt(name))
    end
  end)

  it_runs("cancelled while it looks up a name, it holds no port", function()
    local free <const> = asyncio.socket()
    free:bind("127.0.0.1", 0)
    local _, port = free:getsockname()
    free:close()
    local task <const> = asyncio.create_task(asyncio.start_server, greet,
      { "127.0.0.1", "localhost" }, port, { family = "inet" })
    asyncio.sleep(0)
    task:cancel()
    assert.is_false((pcall(task.await, task)))
    local again <close> = asyncio.socket()
    again:bind("127.0.0.1", port)
    assert.equal(port, (select(2, again:getsockname())))
  end)

  it_runs("takes a socket that is bound, and one that listens", function()
    local bound <const> = asyncio.socket()
    bound:bind("127.0.0.1", 0)
    local server <close> = asyncio.start_server(greet, nil, nil, { sock = bound, backlog = 5 })
    assert.equal(bound, server:sockets()[1])
    assert.equal("127.0.0.1", greeting(bound:getsockname()))
    server:close()
    assert.equal(-1, bound:fileno())
    local listening <const> = asyncio.socket()
    listening:bind("127.0.0.1", 0)
    listening:listen()
    local early <close> = asyncio.open_connection(listening:getsockname())
    local other <close> = asyncio.start_server(greet, nil, nil, { sock = listening })
    assert.equal("127.0.0.1", early:read("a"))
    assert.equal("127.0.0.1", greeting(listening:getsockname()))
    refuses("a server accepts from this socket", listening.accept, listening)
    refuses("option 'sock': a socket that is bound", asyncio.start_server, greet, nil, nil,
      { sock = listening })
    assert.is_true(other:is_serving())
    local path <const> = os.tmpname()
    os.remove(path)
    local file <const> = asyncio.socket("unix")
    file:bind(path)
    local third <const> = asyncio.start_unix_server(greet, nil, { sock = file })
    local conn <close> = asyncio.open_unix_connection(path)
    assert.equal("nobody", conn:read("a"))
    third:close()
    assert.is_true((os.remove(path))) -- who has made it removes it
  end)

  it_runs("sockets that are no good", function()
    local sock <const> = asyncio.socket()
    sock:bind("127.0.0.1", 0)
    refuses("#2.*host and option 'sock' given", asyncio.start_server, greet, "x", nil,
      { sock = sock })
    refuses("#4.*host and port must be nil", asyncio.start_server, greet, "x", 1, { sock = sock })
    refuses("#4.*asyncio.Stream expected", asyncio.start_server, greet, nil, nil, { sock = 1 })
    for _, name in ipairs { "reuse_address", "reuse_port", "ipv6_only", "keep_alive" } do
      local opts <const> = { sock = sock, [name] = true }
      refuses("#4.*'" .. name .. "': has no meaning", asyncio.start_server, greet, nil, nil, opts)
    end
    refuses("#3.*'mode': has no meaning", asyncio.start_unix_server, greet, nil,
      { sock = sock, mode = 1 })
    refuses("#3.*number expected", asyncio.start_server, greet, nil, nil, {})
    local a <const> = asyncio.testing.stream_pair()
    refuses("#4.*a socket that is bound", asyncio.start_server, greet, nil, nil, { sock = a })
    sock:close()
    assert_code("EBADF", asyncio.start_server, greet, nil, nil, { sock = sock })
  end)
end)

describe("a descriptor that is open already", function()
  -- Two objects for one descriptor can only be had on two loops. One of them must be forgotten.
  local function reopened(make)
    local first <const> = asyncio.new_event_loop()
    asyncio.set_event_loop(first)
    local before <const> = first:run_until_complete(make)
    local second <const> = asyncio.new_event_loop()
    asyncio.set_event_loop(second)
    return before, first, second
  end

  it("is known for what it is", function()
    local made <const> = {
      fresh = function() return asyncio.socket() end,
      bound = function()
        local s <const> = asyncio.socket("inet6")
        s:bind("::1", 0)
        return s
      end,
      listening = function()
        local s <const> = asyncio.socket()
        s:bind("127.0.0.1", 0)
        s:listen()
        return s
      end,
      dgram = function()
        local s <const> = asyncio.socket("inet", "dgram")
        s:bind("127.0.0.1", 0)
        return s
      end,
      unix = function() return asyncio.socket("unix", "dgram") end,
    }
    for name, make in pairs(made) do
      local before, first, second = reopened(make)
      local same <const> = asyncio.socket { fileno = before:fileno() }
      assert.equal(before:fileno(), same:fileno())
      assert.same({ before:getsockname() }, { same:getsockname() })
      if name == "listening" then
        second:run_until_complete(function()
          local conn <close> = asyncio.open_connection(same:getsockname())
          local accepted <close> = same:accept()
          conn:write("x")
          assert.equal("x", accepted:read(1))
        end)
      end
      local code <const> = select(2, pcall(asyncio.socket, { fileno = same:fileno() })).code
      assert.equal("EEXIST", code)
      same:close()
      -- closed behind its back: an error, no crash
      if name == "dgram" then
        assert.is_false((pcall(first.run_until_complete, first, function() before:recv() end)))
      end
      asyncio.set_event_loop(nil)
      second:close()
      first:close()
    end
  end)

  it("of a unix socket that listens becomes a server's", function()
    local before <const>, first, second = reopened(function()
      local sock <const> = asyncio.socket("unix")
      sock:bind("\0" .. math.random(1 << 40))
      sock:listen()
      return sock
    end)
    second:run_until_complete(function()
      local same <const> = asyncio.socket { fileno = before:fileno() }
      local server <close> = asyncio.start_unix_server(greet, nil, { sock = same })
      local conn <close> = asyncio.open_unix_connection(before:getsockname())
      assert.equal("nobody", conn:read("a"))
      assert.is_true(server:is_serving())
    end)
    asyncio.set_event_loop(nil)
    second:close()
    first:close()
  end)

  it_runs("connected", function()
    local server <close> = asyncio.start_server(greet, "127.0.0.1", 0)
    local _, port = server:sockets()[1]:getsockname()
    local result <const> = helper.run_script([[
      local asyncio = require "asyncio"
      asyncio.run(function()
        local conn <close> = asyncio.socket { fileno = 9 }
        print(conn:getpeername())
        conn:write("x")
      end)
    ]], { env = ("bash -c 'exec 9<>/dev/tcp/127.0.0.1/%d; exec \"$@\"' x"):format(port) })
    assert.matches("^127%.0%.0%.1\t" .. port, result.out, result.err)
  end)

  it_runs("that is none, or no socket", function()
    assert_code("EBADF", asyncio.socket, { fileno = 9999 })
    local sock <const> = asyncio.socket()
    local fd <const> = sock:fileno() -- the lowest that was free, and is again
    sock:close()
    local file <close> = assert(io.open("/dev/null"))
    assert_code("ENOTSOCK", asyncio.socket, { fileno = fd })
    assert.is_truthy(file)
    refuses("#1.*unknown option 'fd'", asyncio.socket, { fd = 1 })
    refuses("#1.*option 'fileno'", asyncio.socket, {})
    refuses("#1.*option 'fileno': out of range", asyncio.socket, { fileno = -1 })
    refuses("#1.*option 'fileno': integer expected", asyncio.socket, { fileno = "3" })
  end)
end)
