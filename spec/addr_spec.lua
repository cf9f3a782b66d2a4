-- SPDX-License-Identifier: MIT
-- loop:getaddrinfo, loop:getnameinfo. Nothing here asks a name server.

local asyncio <const> = require "asyncio"

local function it_runs(name, fn)
  it(name, function() asyncio.run(function() fn(asyncio.get_running_loop()) end) end)
end

local function assert_code(pattern, fn, ...)
  local ok, err = pcall(fn, ...)
  assert.is_false(ok)
  assert.is_true(asyncio.is(err, asyncio.OSError), tostring(err))
  assert.matches(pattern, err.code)
  return err
end

describe("getaddrinfo", function()
  it_runs("answers numeric addresses at once", function(loop)
    assert.same({ { family = "inet", type = "stream", host = "127.0.0.1", port = 80 } },
      loop:getaddrinfo("127.0.0.1", 80))
    assert.same({ { family = "inet6", type = "stream", host = "::1", port = 0 } },
      loop:getaddrinfo("::1"))
    assert.same({ { family = "inet", type = "dgram", host = "10.0.0.1", port = 53 } },
      loop:getaddrinfo("10.0.0.1", 53, { type = "dgram", family = "inet" }))
    local turns = 0
    loop:call_soon(function() turns = turns + 1 end)
    loop:getaddrinfo("127.0.0.1", 80)
    assert.equal(0, turns)
  end)

  it_runs("knows localhost", function(loop)
    local list <const> = loop:getaddrinfo("localhost", 80, { type = "stream" })
    assert.is_true(#list >= 1)
    local found
    for _, entry in ipairs(list) do
      assert.equal("stream", entry.type)
      assert.equal(80, entry.port)
      found = found or entry.host == "127.0.0.1" and entry.family == "inet"
    end
    assert.is_true(found)
  end)

  it_runs("takes names of services, and nil for this machine", function(loop)
    local list <const> = loop:getaddrinfo("127.0.0.1", "http", { type = "stream" })
    assert.equal(80, list[1].port)
    assert.equal(8080, loop:getaddrinfo("127.0.0.1", "8080")[1].port)
    list[1] = loop:getaddrinfo(nil, 7, { family = "inet", type = "stream" })[1]
    assert.equal("127.0.0.1", list[1].host)
    list[1] = loop:getaddrinfo(nil, 7, { family = "inet", type = "stream", passive = true })[1]
    assert.equal("0.0.0.0", list[1].host)
  end)

  it_runs("keeps the scope of an IPv6 address, a name or a number", function(loop)
    local scoped = loop:getaddrinfo("fe80::1%lo", 80)
    if scoped[1].host ~= "fe80::1%lo" then return pending("no interface is called lo") end
    local number <const> = io.open("/sys/class/net/lo/ifindex")
    if number then
      scoped = loop:getaddrinfo("fe80::1%" .. number:read("n"), 80)
      number:close()
      assert.equal("fe80::1%lo", scoped[1].host)
    end
    assert.same({ "fe80::1%lo", "80" }, { loop:getnameinfo({ "fe80::1%lo", 80 },
      { numeric_host = true, numeric_service = true }) })
    for _, scope in ipairs { "nosuchif", "", "1x", "99999999999" } do
      assert_code("^EAI_", loop.getaddrinfo, loop, "fe80::1%" .. scope, 80)
      assert_code("^EAI_", asyncio.open_connection, "::1%" .. scope, 80)
    end
  end)

  it_runs("raises an OSError with the code of getaddrinfo", function(loop)
    local err <const> = assert_code("^EAI_NONAME$", loop.getaddrinfo, loop, "localhost", 80,
      { numeric = true })
    assert.matches("getaddrinfo localhost", tostring(err))
    assert.equal("getaddrinfo", err.op)
    assert.equal("localhost", err.address)
    assert.is_true(err.errno > 0)
    assert_code("^EAI_", loop.getaddrinfo, loop, "127.0.0.1", "no such service")
    assert_code("^E", loop.getaddrinfo, loop, ("x"):rep(70) .. ".invalid", 80)
    assert_code("^EAI_", loop.getaddrinfo, loop, "::1", 80, { family = "inet", numeric = true })
  end)

  it_runs("is cancelled; the loop goes on, and others get their answer", function(loop)
    local tasks <const> = {}
    for i = 1, 8 do tasks[i] = asyncio.create_task(loop.getaddrinfo, loop, "localhost", "http") end
    asyncio.sleep(0)
    for i = 1, 8, 2 do tasks[i]:cancel() end
    for i, task in ipairs(tasks) do
      local ok, result = pcall(asyncio.await, task)
      assert.equal(i % 2 == 0, ok)
      if ok then
        assert.equal(80, result[1].port)
      else
        assert.is_true(asyncio.is(result, asyncio.CancelledError))
      end
    end
  end)

  it("a loop is closed while names are looked up", function()
    local loop <const> = asyncio.new_event_loop()
    for _ = 1, 6 do loop:create_task(loop.getaddrinfo, loop, "localhost", "http") end
    loop:run_until_complete(function() asyncio.sleep(0) end)
    loop:close()
  end)

  it("simulated time does not overtake a look-up", function()
    asyncio.testing.run(function()
      local loop <const> = asyncio.get_running_loop()
      local before <const> = loop:time()
      local function lookup() return loop:getaddrinfo("localhost", "http") end
      local list <const> = asyncio.wait_for(lookup, 1)
      assert.equal(80, list[1].port)
      assert.equal(before, loop:time())
    end)
  end)

  it("waits at top level", function()
    local loop <const> = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    assert.equal(80, loop:getaddrinfo("localhost", "http")[1].port)
    asyncio.set_event_loop(nil)
    loop:close()
  end)

  it_runs("wrong arguments", function(loop)
    local function refuses(pattern, ...)
      local ok, err = pcall(loop.getaddrinfo, ...)
      assert.is_false(ok)
      assert.matches(pattern, err)
    end
    refuses("#1.*asyncio.Loop expected")
    refuses("#2.*host or port expected", loop)
    refuses("#2.*string expected, got table", loop, {}, 1)
    refuses("#2.*string expected, got number", loop, 1, 1)
    refuses("#2.*zero byte", loop, "a\0", 1)
    refuses("#2.*too long", loop, ("x"):rep(2000), 1)
    refuses("#3.*number expected, got table", loop, "localhost", {})
    refuses("#3.*out of range", loop, "localhost", 70000)
    refuses("#4.*unknown option 'familly'", loop, "localhost", 1, { familly = "inet" })
    refuses("#4.*invalid value 'ipv4'", loop, "localhost", 1, { family = "ipv4" })
    refuses("#4.*boolean expected, got number", loop, "localhost", 1, { passive = 1 })
    refuses("#4.*table expected", loop, "localhost", 1, 1)
  end)
end)

describe("getnameinfo", function()
  it_runs("gives names", function(loop)
    local host, service = loop:getnameinfo { "127.0.0.1", 80 }
    assert.is_string(host)
    assert.equal("http", service)
  end)

  it_runs("gives numbers when asked", function(loop)
    assert.same({ "127.0.0.1", "80" },
      { loop:getnameinfo({ "127.0.0.1", 80 }, { numeric_host = true, numeric_service = true }) })
    assert.same({ "::1", "domain" },
      { loop:getnameinfo({ "::1", 53 }, { numeric_host = true, dgram = true }) })
  end)

  it_runs("raises an OSError with the code of getaddrinfo", function(loop)
    local err <const> = assert_code("^EAI_NONAME$", loop.getnameinfo, loop, { "127.0.0.1", 80 },
      { numeric_host = true, name_required = true })
    assert.matches("getnameinfo 127%.0%.0%.1", tostring(err))
    assert.equal("getnameinfo", err.op)
  end)

  it_runs("is cancelled", function(loop)
    local task <const> = asyncio.create_task(loop.getnameinfo, loop, { "127.0.0.1", 80 })
    asyncio.sleep(0)
    task:cancel()
    local ok, err = pcall(asyncio.await, task)
    assert.is_false(ok)
    assert.is_true(asyncio.is(err, asyncio.CancelledError))
  end)

  it_runs("wrong arguments", function(loop)
    local function refuses(pattern, ...)
      local ok, err = pcall(loop.getnameinfo, ...)
      assert.is_false(ok)
      assert.matches(pattern, err)
    end
    refuses("#1.*asyncio.Loop expected")
    refuses("#2.*table expected, got no value", loop)
    refuses("#2.*{host, port} expected", loop, {})
    refuses("#2.*{host, port} expected", loop, { "127.0.0.1", "80" })
    refuses("#2.*numeric host expected", loop, { "localhost", 80 })
    refuses("#2.*out of range", loop, { "127.0.0.1", 70000 })
    refuses("#3.*unknown option", loop, { "127.0.0.1", 80 }, { numeric = true })
  end)
end)
