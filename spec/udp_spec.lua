-- SPDX-License-Identifier: MIT
-- DatagramSocket: UDP over IPv4 and IPv6, unix datagrams; loop:sock_recvfrom, loop:sock_sendto.

local asyncio <const> = require "asyncio"
local helper <const> = require "spec.helper"
local on_loop <const> = require "spec.on_loop"(it, assert)

local it_runs <const> = on_loop.it_runs
local start <const> = on_loop.start
local assert_code <const> = on_loop.assert_code
local assert_cancelled <const> = on_loop.assert_cancelled

-- A path for a socket, free.
local function socket_path()
  local path <const> = os.tmpname()
  os.remove(path)
  return path
end

local HOSTS <const> = { inet = "127.0.0.1", inet6 = "::1" }

-- A socket that others can send to, and its address.
local function receiver(family)
  local sock <const> = asyncio.socket(family or "inet", "dgram")
  if family == "unix" then
    sock:bind(socket_path())
  else
    sock:bind(HOSTS[family or "inet"], 0)
  end
  return sock, sock:getsockname()
end

local function sender(family)
  return asyncio.socket(family or "inet", "dgram")
end

-- Two sockets that are connected with one another.
local function pair(family)
  local a, b = receiver(family), receiver(family)
  a:connect(b:getsockname())
  b:connect(a:getsockname())
  return a, b
end

for _, family in ipairs { "inet", "inet6", "unix" } do
  describe("datagrams over " .. family, function()
    it_runs("are sent to an address, and answered", function()
      local a <close>, host, port = receiver(family)
      local b <close> = receiver(family)
      assert.equal(5, b:sendto("hello", host, port))
      local data, from, from_port = a:recvfrom()
      assert.equal("hello", data)
      assert.same({ b:getsockname() }, { from, from_port })
      a:sendto(data:upper(), from, from_port)
      assert.equal("HELLO", b:recv())
      if family == "unix" then os.remove(host) os.remove(from) end
    end)

    it_runs("a task waits until one comes", function()
      local a <close>, host, port = receiver(family)
      local b <close> = sender(family)
      local task <const> = start(a, "recvfrom", 100)
      asyncio.sleep(0.01)
      assert.is_false(task:done())
      b:sendto("x", host, port)
      assert.equal("x", (task:await()))
    end)

    it_runs("over a connection", function(loop)
      local a <close>, b <const> = pair(family)
      local _ <close> = b
      a:sendall("one")
      loop:sock_sendall(a, "two")
      assert.equal("one", b:recv())
      assert.equal("two", loop:sock_recv(b, 10))
      assert.same({ b:getsockname() }, { a:getpeername() })
      assert.matches("connected", tostring(a))
    end)

    it_runs("what is longer than asked for is cut off", function()
      local a <close>, host, port = receiver(family)
      local b <close> = sender(family)
      for _, text in ipairs { "abcdef", "ghi", "", "jkl", "mno" } do b:sendto(text, host, port) end
      assert.equal("abc", (a:recvfrom(3)))
      assert.equal("ghi", a:recv(3))
      assert.equal("", a:recv(3))
      assert.equal("", a:recv(0))
      assert.equal("mno", a:recv(1 << 40))
    end)

    it_runs("as long as the system allows", function()
      local a <close>, host, port = receiver(family)
      local b <close> = sender(family)
      local long <const> = ("0123456789"):rep(6000)
      b:sendto(long, host, port)
      assert.equal(long, (a:recvfrom()))
      assert.equal(60000, b:sendto(long, host, port))
      assert.equal(long, (a:recvfrom(1000000)))
      local err <const> = assert_code("EMSGSIZE", b.sendto, b, long:rep(100), host, port)
      assert.equal("sendto", err.op)
    end)

    it_runs("waiting tasks are served in their order", function()
      local a <close>, host, port = receiver(family)
      local b <close> = sender(family)
      local tasks <const>, got <const> = {}, {}
      for i = 1, 5 do
        tasks[i] = asyncio.create_task(function()
          local data <const> = a:recv()
          got[#got + 1] = i .. data
        end)
      end
      asyncio.sleep(0)
      for i = 1, 5 do b:sendto(tostring(i), host, port) end
      asyncio.gather(table.unpack(tasks))
      assert.same({ "11", "22", "33", "44", "55" }, got)
    end)

    it_runs("a cancelled wait takes none", function()
      local a <close>, host, port = receiver(family)
      local b <close> = sender(family)
      local first <const>, second <const> = start(a, "recv"), start(a, "recv")
      first:cancel()
      assert_cancelled(first)
      b:sendto("x", host, port)
      assert.equal("x", second:await())
      local third <const>, fourth <const> = start(a, "recv"), start(a, "recv")
      b:sendto("y", host, port)
      b:sendto("z", host, port)
      -- as soon as the third is woken, before it runs
      asyncio.create_task(function()
        while third:state() == "pending" and not third:cancel() do asyncio.sleep(0) end
      end)
      assert_cancelled(third)
      assert.equal("y", fourth:await())
      assert.equal("z", a:recv())
      assert.is_false((pcall(asyncio.timeout, 0.01, a.recv, a)))
      b:sendto("late", host, port)
      assert.equal("late", a:recv())
    end)

    it_runs("closing wakes whoever waits", function()
      local a <const> = receiver(family)
      local tasks <const> = { start(a, "recv"), start(a, "recvfrom"), start(a, "recv", 10) }
      a:close()
      for _, task in ipairs(tasks) do
        local err <const> = assert_code("ECANCELED", task.await, task)
        assert.matches("was closed", tostring(err))
      end
      a:close()
      assert.equal(-1, a:fileno())
      assert.matches("closed", tostring(a))
      for _, method in ipairs { "recv", "recvfrom", "getsockname", "getpeername" } do
        local err <const> = assert_code("EBADF", a[method], a)
        assert.matches("is closed", tostring(err))
      end
      assert_code("EBADF", a.sendall, a, "x")
      assert_code("EBADF", a.sendto, a, "x", "127.0.0.1", 9)
      assert_code("EBADF", a.bind, a, "x", 1)
      assert_code("EBADF", a.connect, a, "x", 1)
      assert_code("EBADF", a.setsockopt, a, "rcvbuf", 1)
      assert_code("EBADF", a.getsockopt, a, "rcvbuf")
      assert_code("EBADF", a.join_group, a, "239.1.1.1")
    end)

    it_runs("nobody listens at the other end", function()
      local gone <const>, host, port = receiver(family)
      local b <close> = sender(family)
      b:connect(host, port)
      gone:close()
      if family == "unix" then
        assert_code("ECONNREFUSED", b.sendall, b, "x")
        os.remove(host)
        return
      end
      local task <const> = start(b, "recv")
      b:sendall("x")
      local err <const> = assert_code("ECONNREFUSED", task.await, task)
      assert.matches("recv .*" .. port, tostring(err))
      assert.is_false((pcall(asyncio.timeout, 0.01, b.recv, b))) -- it is told once
      b:sendall("x")
      asyncio.sleep(0.01)
      local first <const>, second <const> = start(b, "recv"), start(b, "recv")
      assert_code("ECONNREFUSED", first.await, first)
      assert.is_false(second:done())
      second:cancel()
    end)
  end)
end

describe("a datagram socket", function()
  it_runs("leaves to the kernel what nobody asked for", function()
    local a <close>, host, port = receiver()
    local b <close> = sender()
    a:setsockopt("rcvbuf", 8192)
    local task <const> = start(a, "recv")
    b:sendto("first", host, port)
    assert.equal("first", task:await())
    for i = 1, 1000 do b:sendto(("%04d"):format(i) .. ("x"):rep(500), host, port) end
    asyncio.sleep(0.01)
    local count, last = 0, 0
    while true do
      local ok, data = pcall(asyncio.timeout, 0.02 * helper.SLOW, a.recv, a)
      if not ok then break end
      count = count + 1
      assert.is_true(tonumber(data:sub(1, 4)) > last)
      last = tonumber(data:sub(1, 4))
    end
    assert.is_true(count >= 1 and count < 100, count)
  end)

  it_runs("that always has something lets the others have their turn", function()
    local a <close>, host, port = receiver()
    local b <close> = sender()
    local turns, done = 0, false
    asyncio.create_task(function()
      while not done do
        turns = turns + 1
        asyncio.sleep(0)
      end
    end)
    for _ = 1, 500 do
      b:sendto("x", host, port)
      a:recv()
    end
    done = true
    assert.is_true(turns >= 5, turns)
  end)

  it_runs("is received from by a task while another sends on it", function()
    local a <close>, host, port = receiver()
    local echo <const> = asyncio.create_task(function()
      while true do
        local data, from, from_port = a:recvfrom()
        a:sendto(data, from, from_port)
      end
    end)
    local b <close> = sender()
    b:connect(host, port)
    for i = 1, helper.scale(200, 5) do
      b:sendall("ping" .. i)
      assert.equal("ping" .. i, b:recv())
    end
    echo:cancel()
  end)

  it_runs("is bound, once", function()
    local a <close> = sender()
    assert.same({ "0.0.0.0", 0 }, { a:getsockname() })
    a:bind()
    local host, port = a:getsockname()
    assert.equal("0.0.0.0", host)
    assert.is_true(port > 0)
    local b <close> = sender()
    local err <const> = assert_code("EADDRINUSE", b.bind, b, "127.0.0.1", port)
    assert.matches("bind 127%.0%.0%.1:" .. port, tostring(err))
    assert_code("EADDRNOTAVAIL", b.bind, b, "192.0.2.77", 0)
    assert_code("ENOTCONN", b.getpeername, b)
    assert.is_true(b:fileno() >= 0)
  end)

  it_runs("takes names", function()
    local a <close> = sender()
    a:bind("localhost", 0)
    local host, port = a:getsockname()
    assert.equal("127.0.0.1", host)
    local b <close> = sender()
    b:sendto("to a name", "localhost", port)
    assert.equal("to a name", a:recv())
    b:connect("localhost", port)
    b:sendall("x")
    assert.equal("x", a:recv())
    local label <const> = ("x"):rep(70) .. ".invalid"
    for _, method in ipairs { "bind", "connect" } do
      local ok, err = pcall(b[method], b, label, 1)
      assert.is_false(ok)
      assert.matches("^EAI_", err.code)
    end
    local ok, err = pcall(b.sendto, b, "x", label, 1)
    assert.is_false(ok)
    assert.matches("getaddrinfo xxx", tostring(err))
    assert.is_false((pcall(b.sendto, b, "x", "::1", port))) -- of another family
  end)

  it_runs("closed while a name is looked up", function()
    local a <const> = sender()
    local task <const> = start(a, "sendto", "x", "localhost", 9)
    a:close()
    assert_code("ECANCELED", task.await, task)
    local b <close> = sender()
    local other <const> = start(b, "sendto", "x", "localhost", 9)
    other:cancel()
    assert_cancelled(other)
  end)

  it_runs("connects again, elsewhere", function()
    local a <close>, b <const> = receiver(), receiver()
    local _ <close> = b
    local c <close> = sender()
    c:connect(a:getsockname())
    c:connect(b:getsockname())
    c:sendall("x")
    assert.equal("x", b:recv())
    local stranger <close> = sender()
    stranger:sendto("not from there", c:getsockname())
    b:sendto("answer", c:getsockname())
    assert.equal("answer", c:recv())
  end)

  it_runs("sends to nobody without an address", function()
    local a <close> = sender()
    local err <const> = assert_code("EDESTADDRREQ", a.sendall, a, "x")
    assert.equal("sendall", err.op)
  end)

  it_runs("the loop's methods take an address as a table", function(loop)
    local a <close>, host, port = receiver()
    local b <close> = sender()
    assert.equal(4, loop:sock_sendto(b, "data", { host, port }))
    local data, from, from_port = loop:sock_recvfrom(a, 100)
    assert.equal("data", data)
    assert.same({ "127.0.0.1", (select(2, b:getsockname())) }, { from, from_port })
    loop:sock_connect(b, { host, port })
    loop:sock_sendall(b, "more")
    assert.equal("more", loop:sock_recv(a, 100))
    loop:sock_sendto(b, "", { "localhost", port })
    assert.equal("", loop:sock_recvfrom(a))
  end)

  it_runs("broadcasts when it is allowed to", function()
    local a <close> = sender()
    a:bind("", 0)
    local _, port = a:getsockname()
    local b <close> = sender()
    assert_code("EACCES", b.sendto, b, "x", "127.255.255.255", port)
    b:setsockopt("broadcast", true)
    b:sendto("to all", "127.255.255.255", port)
    assert.equal("to all", a:recv())
  end)

  it_runs("shares its port", function()
    local a <close>, b <const> = sender(), sender()
    local _ <close> = b
    a:setsockopt("reuseport", true)
    b:setsockopt("reuseport", true)
    a:bind("127.0.0.1", 0)
    b:bind(a:getsockname())
    assert.same({ a:getsockname() }, { b:getsockname() })
    local c <close> = sender()
    assert_code("EADDRINUSE", c.bind, c, a:getsockname())
  end)

  it_runs("options", function()
    for _, family in ipairs { "inet", "inet6" } do
      local a <close> = sender(family)
      for name, value in pairs { ttl = 7, multicast_ttl = 9, tos = 16 } do
        a:setsockopt(name, value)
        assert.equal(value, a:getsockopt(name))
      end
      for _, name in ipairs { "multicast_loop", "broadcast", "reuseaddr" } do
        for _, value in ipairs { false, true } do
          a:setsockopt(name, value)
          assert.equal(value, a:getsockopt(name))
        end
      end
      assert.is_nil(a:getsockopt("multicast_interface"))
      a:setsockopt("multicast_interface", HOSTS[family])
      assert.equal(family == "inet" and "127.0.0.1" or "lo", a:getsockopt("multicast_interface"))
      a:setsockopt("multicast_interface", nil)
      assert.is_nil(a:getsockopt("multicast_interface"))
      assert_code("ENODEV", a.setsockopt, a, "multicast_interface", "no such interface")
      assert_code("EINVAL", a.setsockopt, a, "ttl", 1000)
    end
  end)

  it("belongs to one loop, and is closed with it", function()
    local first <const>, second <const> = asyncio.new_event_loop(), asyncio.new_event_loop()
    local a
    first:run_until_complete(function()
      a = receiver()
      start(a, "recv")
      start(a, "recvfrom")
    end)
    local ok, err = pcall(second.run_until_complete, second, a.recv, a)
    assert.is_false(ok)
    assert.matches("belongs to another event loop", err)
    first:close()
    second:close()
    assert.equal(-1, a:fileno())
    a:close()
  end)

  it("waits at top level", function()
    local loop <const> = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    local a <const>, host, port = receiver()
    local b <const> = sender()
    b:sendto("x", host, port)
    assert.equal("x", a:recv())
    assert.equal(1, loop:sock_sendto(b, "y", { host, port }))
    assert.equal("y", (loop:sock_recvfrom(a)))
    a:close()
    b:close()
    asyncio.set_event_loop(nil)
    loop:close()
  end)

  it("is no reason to wait for ever when nobody waits for it", function()
    local ok, err = pcall(asyncio.run, function()
      local a <close>, host, port = receiver()
      local b <close> = sender()
      local task <const> = start(a, "recv")
      b:sendto("x", host, port)
      task:await()
      asyncio.get_running_loop():create_future():await()
    end)
    assert.is_false(ok)
    assert.is_true(asyncio.is(err, asyncio.DeadlockError), tostring(err))
  end)

  it_runs("that is collected gives its descriptor back", function()
    local fd <const> = sender():fileno()
    collectgarbage()
    collectgarbage()
    local again <close> = sender()
    assert.equal(fd, again:fileno())
  end)

  it("the Lua state is closed in mid-wait", function()
    local result <const> = helper.run_script [[
      local asyncio = require "asyncio"
      asyncio.run(function()
        local a = asyncio.socket("inet", "dgram")
        a:bind("127.0.0.1", 0)
        asyncio.create_task(a.recv, a)
        asyncio.create_task(function() asyncio.sleep(0.01) os.exit(7, true) end)
        a:recv()
      end)
    ]]
    assert.equal(7, result.status, result.err)
  end)

  it_runs("refuses wrong arguments", function(loop)
    local a <close>, host, port = receiver()
    local function refuses(pattern, fn, ...)
      local ok, err = pcall(fn, ...)
      assert.is_false(ok)
      assert.matches(pattern, err)
    end
    refuses("#2.*negative", a.recv, a, -1)
    refuses("#2.*number expected, got boolean", a.recvfrom, a, true)
    refuses("#3.*string expected, got no value", a.sendto, a, "x")
    refuses("#4.*number expected, got no value", a.sendto, a, "x", host)
    refuses("#4.*out of range", a.sendto, a, "x", host, 70000)
    refuses("#3.*zero byte", a.sendto, a, "x", "a\0", 1)
    refuses("#2.*string expected", a.sendall, a)
    refuses("#2.*string expected", a.connect, a)
    refuses("#2.*unknown socket option 'x'", a.setsockopt, a, "x", 1)
    refuses("#3.*boolean expected", a.setsockopt, a, "broadcast", 1)
    refuses("#3.*string expected", a.setsockopt, a, "multicast_interface", 1)
    refuses("#2.*numeric address of the socket's family", a.join_group, a, "localhost")
    refuses("#2.*numeric address of the socket's family", a.join_group, a, "ff02::1")
    refuses("#3.*unknown option 'x'", a.join_group, a, "239.1.1.1", { x = 1 })
    refuses("#3.*option 'interface'", a.join_group, a, "239.1.1.1", { interface = 1 })
    refuses("#3.*option 'source'", a.join_group, a, "239.1.1.1", { source = "x" })
    refuses("#4.*{host, port} expected", loop.sock_sendto, loop, a, "x", {})
    refuses("#4.*table expected", loop.sock_sendto, loop, a, "x", host)
    refuses("#2.*DatagramSocket expected", loop.sock_recvfrom, loop, 1)
    refuses("invalid option 'raw'", asyncio.socket, "inet", "raw")
    assert.is_true(port > 0)
  end)
end)

describe("multicast", function()
  local GROUP <const> = "239.255.77.7"

  it_runs("groups are joined and left", function()
    local a <close> = sender()
    a:bind("", 0)
    local _, port = a:getsockname()
    local b <close> = sender()
    b:setsockopt("multicast_interface", "127.0.0.1")
    local function hears(text)
      b:sendto(text, GROUP, port)
      local ok, data = pcall(asyncio.timeout, 0.05 * helper.SLOW, a.recv, a)
      return ok and data
    end
    a:join_group(GROUP, { interface = "127.0.0.1" })
    assert.equal("one", hears("one"))
    assert_code("EADDRINUSE", a.join_group, a, GROUP, { interface = "lo" })
    a:leave_group(GROUP, { interface = "lo" })
    assert.is_false(hears("two"))
    local err <const> = assert_code("EADDRNOTAVAIL", a.leave_group, a, GROUP, { interface = "lo" })
    assert.matches("leave_group 239%.255%.77%.7", tostring(err))
    assert_code("ENODEV", a.join_group, a, GROUP, { interface = "no such" })
    assert_code("EINVAL", a.join_group, a, "127.0.0.1")
  end)

  it_runs("only from one source", function()
    local a <close> = sender()
    a:bind("", 0)
    local _, port = a:getsockname()
    a:join_group(GROUP, { interface = "lo", source = "127.0.0.1" })
    a:join_group("239.255.77.8", { interface = "lo", source = "127.0.0.9" })
    local b <close> = sender()
    b:setsockopt("multicast_interface", "lo")
    b:sendto("from elsewhere", "239.255.77.8", port)
    b:sendto("good", GROUP, port)
    assert.equal("good", a:recv())
    a:leave_group(GROUP, { interface = "lo", source = "127.0.0.1" })
  end)

  it_runs("over IPv6", function()
    local a <close> = sender("inet6")
    a:bind("::", 0)
    local _, port = a:getsockname()
    a:join_group("ff02::7777", { interface = "lo" })
    a:leave_group("ff02::7777", { interface = "::1" })
    assert_code("EADDRNOTAVAIL", a.leave_group, a, "ff02::7777", { interface = "lo" })
    -- the loopback rarely has a route for multicast: where there is another way out, use it
    local scope
    for line in io.lines("/proc/net/if_inet6") do
      scope = scope or line:match("^fe80%x+ .* (%S+)$")
    end
    if not scope then return pending("this machine has no link-local address") end
    a:join_group("ff02::7777", { interface = scope })
    local b <close> = sender("inet6")
    b:setsockopt("multicast_interface", scope)
    assert.equal(scope, b:getsockopt("multicast_interface"))
    b:sendto("six", "ff02::7777", port)
    local data, from = asyncio.timeout(5 * helper.SLOW, a.recvfrom, a)
    assert.equal("six", data)
    assert.matches("^fe80:.*%%" .. scope:gsub("%p", "%%%0") .. "$", from)
    local c <close> = sender("inet6")
    c:sendto("by its scope", "ff02::7777%" .. scope, port)
    assert.equal("by its scope", asyncio.timeout(5 * helper.SLOW, a.recv, a))
  end)
end)

describe("a unix datagram socket", function()
  it_runs("has a path, an abstract name, one that Linux chose, or none", function()
    local path <const> = socket_path()
    local a <close> = sender("unix")
    assert.is_nil((a:getsockname()))
    assert.equal(1, select("#", a:getsockname()))
    a:bind(path)
    assert.equal(path, (a:getsockname()))
    local other <close> = sender("unix")
    local err <const> = assert_code("EADDRINUSE", other.bind, other, path)
    assert.matches("bind " .. path:gsub("%p", "%%%0"), tostring(err))
    local name <const> = ("\0asyncio %d"):format(math.random(1 << 40))
    other:bind(name)
    assert.equal(name, (other:getsockname()))
    assert.matches("@asyncio %d+", tostring(other))
    local chosen <close> = sender("unix")
    chosen:bind()
    assert.equal("\0", chosen:getsockname():sub(1, 1))
    local nameless <close> = sender("unix")
    nameless:sendto("x", path)
    assert.same({ "x", n = 2 }, table.pack(a:recvfrom())) -- nil in place of the path
    other:sendto("to a path", path)
    local data, from, port = a:recvfrom()
    assert.same({ "to a path", name }, { data, from })
    assert.is_nil(port)
    a:sendto("to a name", from)
    assert.equal("to a name", other:recv())
    os.remove(path)
  end)

  it_runs("paths that are no good", function(loop)
    local a <close> = sender("unix")
    local long <const> = "/tmp/" .. ("x"):rep(200)
    for _, method in ipairs { "bind", "connect" } do
      local err <const> = assert_code("ENAMETOOLONG", a[method], a, long)
      assert.matches("/tmp/xxx", tostring(err))
      assert.equal(method, err.op)
    end
    assert_code("ENAMETOOLONG", a.sendto, a, "x", long)
    assert_code("ENAMETOOLONG", loop.sock_sendto, loop, a, "x", long)
    assert_code("ENOENT", a.sendto, a, "x", socket_path())
    assert_code("ENOENT", a.bind, a, "/no such directory/socket")
    assert_code("ECONNREFUSED", a.connect, a, "\0no such name " .. math.random(1 << 40))
    assert_code("ENOTSUP", a.join_group, a, "239.1.1.1")
    local ok, err = pcall(a.bind, a, "a\0b")
    assert.is_false(ok)
    assert.matches("zero byte", err)
  end)

  it_runs("a sender waits when the receiver's queue is full; none is lost, and their order kept",
    function()
      for _, connected in ipairs { true, false } do
        local a <close>, path = receiver("unix")
        local b <close> = sender("unix")
        if connected then b:connect(path) end
        local count <const> = helper.scale(400, 60)
        local task <const> = asyncio.create_task(function()
          for i = 1, count do
            if connected then b:sendall(tostring(i)) else b:sendto(tostring(i), path) end
          end
        end)
        asyncio.sleep(0.01)
        assert.is_false(task:done())
        for i = 1, count do
          if i % 50 == 0 then asyncio.sleep(0.002) end
          assert.equal(tostring(i), a:recv())
        end
        task:await()
        os.remove(path)
      end
    end)

  it_runs("a sender that waits is cancelled, or its socket closed", function()
    for _, connected in ipairs { true, false } do
      local a <close>, path = receiver("unix")
      local b <const> = sender("unix")
      if connected then b:connect(path) end
      local sent = 0
      local function fill()
        while true do
          if connected then b:sendall("x") else b:sendto("x", path) end
          sent = sent + 1
        end
      end
      local first <const> = asyncio.create_task(fill)
      asyncio.sleep(0.02)
      local before <const> = sent
      local second <const> = start(b, connected and "sendall" or "sendto", "y", path)
      first:cancel()
      assert_cancelled(first)
      assert.is_false(second:done())
      b:close()
      assert_code("ECANCELED", second.await, second)
      for _ = 1, before do assert.equal("x", a:recv()) end
      assert.is_false((pcall(asyncio.timeout, 0.01, a.recv, a)))
      os.remove(path)
    end
  end)
end)
