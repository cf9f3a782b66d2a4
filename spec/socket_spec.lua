-- SPDX-License-Identifier: MIT
-- Stream as a socket: asyncio.socket, bind, listen, accept, connect, options, and loop:sock_*.
-- Names in brackets are those of asyncio's own tests.

local asyncio <const> = require "asyncio"
local helper <const> = require "spec.helper"
local on_loop <const> = require "spec.on_loop"(it, assert)

local it_runs <const> = on_loop.it_runs
local start <const> = on_loop.start
local assert_code <const> = on_loop.assert_code
local assert_cancelled <const> = on_loop.assert_cancelled

local UNDER_VALGRIND <const> = (os.getenv("SPEC_LUA") or ""):find("valgrind", 1, true) ~= nil

local function spawn(fn, ...)
  return asyncio.create_task(fn, ...)
end

local function listener()
  local sock <const> = asyncio.socket()
  sock:setsockopt("reuseaddr", true)
  sock:bind("127.0.0.1", 0)
  sock:listen()
  return sock, sock:getsockname()
end

local function connected()
  local sock <close>, host, port = listener()
  local a <const> = asyncio.socket()
  a:connect(host, port)
  return a, (sock:accept())
end

describe("socket", function()
  it_runs("echoes", function()
    local sock <close>, host, port = listener()
    local server <const> = spawn(function()
      local conn <close> = sock:accept()
      while true do
        local data <const> = conn:recv(1000)
        if not data then break end
        conn:sendall(data:upper())
      end
    end)
    local client <close> = asyncio.socket("inet", "stream")
    client:connect(host, port)
    client:sendall("hello")
    assert.equal("HELLO", client:recv(100))
    client:shutdown("write")
    assert.is_nil(client:recv(100))
    server:await()
  end)

  it_runs("gives the peer's address with each connection", function()
    local sock <close>, host, port = listener()
    local client <close> = asyncio.socket()
    client:connect(host, port)
    local conn <close>, peer_host, peer_port = sock:accept()
    assert.same({ client:getsockname() }, { peer_host, peer_port })
    assert.same({ client:getsockname() }, { conn:getpeername() })
    assert.same({ host, port }, { client:getpeername() })
    assert.same({ host, port }, { conn:getsockname() })
  end)

  it_runs("bind itself reports a used port", function()
    local sock <close>, host, port = listener()
    local other <close> = asyncio.socket()
    local err <const> = assert_code("EADDRINUSE", other.bind, other, host, port)
    assert.matches("bind 127%.0%.0%.1:" .. port, tostring(err))
    local third <close> = asyncio.socket()
    third:setsockopt("reuseaddr", true)
    assert_code("EADDRINUSE", third.bind, third, host, port)
    assert.equal(port, select(2, sock:getsockname()))
  end)

  it_runs("binds to every address, to a name, and to none that is not here", function()
    local any <close> = asyncio.socket()
    any:bind()
    assert.equal("0.0.0.0", (any:getsockname()))
    local empty <close> = asyncio.socket()
    empty:bind("", 0)
    assert.equal("0.0.0.0", (empty:getsockname()))
    local named <close> = asyncio.socket()
    named:bind("localhost", 0)
    assert.equal("127.0.0.1", (named:getsockname()))
    local wrong <close> = asyncio.socket()
    assert_code("EADDRNOTAVAIL", wrong.bind, wrong, "192.0.2.1", 0)
  end)

  it_runs("over IPv6", function()
    local sock <close> = asyncio.socket("inet6")
    if not pcall(sock.bind, sock, "::1", 0) then return pending("this machine has no IPv6") end
    sock:listen()
    local host, port = sock:getsockname()
    assert.equal("::1", host)
    local client <close> = asyncio.socket("inet6")
    client:connect(host, port)
    local conn <close>, peer = sock:accept()
    assert.equal("::1", peer)
    conn:sendall("six")
    assert.equal("six", client:recv(10))
    local four <close> = asyncio.socket("inet")
    local ok = pcall(four.connect, four, "::1", port)
    assert.is_false(ok)
  end)

  it_runs("options are set and read", function()
    local sock <close> = asyncio.socket()
    for _, name in ipairs { "reuseaddr", "nodelay", "keepalive", "broadcast" } do
      assert.is_false(sock:getsockopt(name))
      sock:setsockopt(name, true)
      assert.is_true(sock:getsockopt(name))
      sock:setsockopt(name, false)
      assert.is_false(sock:getsockopt(name))
    end
    sock:setsockopt("rcvbuf", 50000)
    assert.is_true(sock:getsockopt("rcvbuf") >= 50000)
    sock:setsockopt("sndbuf", 50000)
    assert.is_true(sock:getsockopt("sndbuf") >= 50000)
    assert.is_false(sock:getsockopt("linger"))
    sock:setsockopt("linger", 5)
    assert.equal(5, sock:getsockopt("linger"))
    sock:setsockopt("linger", 0)
    assert.equal(0, sock:getsockopt("linger"))
    sock:setsockopt("linger", false)
    assert.is_false(sock:getsockopt("linger"))
    sock:setsockopt("linger", 65535)
    assert.equal(65535, sock:getsockopt("linger"))
    assert.is_false(pcall(sock.setsockopt, sock, "linger", 65536))
  end)

  it_runs("two sockets share a port with reuseport", function()
    local one <close> = asyncio.socket()
    local two <close> = asyncio.socket()
    if not pcall(one.setsockopt, one, "reuseport", true) then
      return pending("this system has no SO_REUSEPORT")
    end
    two:setsockopt("reuseport", true)
    one:bind("127.0.0.1", 0)
    two:bind(one:getsockname())
    one:listen()
    two:listen()
  end)

  it_runs("a connection is refused; the socket can be used again", function()
    local sock <close> = asyncio.socket()
    local err <const> = assert_code("ECONNREFUSED", sock.connect, sock, "127.0.0.1", 1)
    assert.matches("connect 127%.0%.0%.1:1", tostring(err))
    assert_code("ENOTCONN", sock.getpeername, sock)
    local other <close>, host, port = listener()
    sock:connect(host, port)
    assert_code("EISCONN", sock.connect, sock, host, port)
    assert_code("EISCONN", sock.listen, sock)
    other:close()
  end)

  it_runs("connects by name", function()
    local sock <close>, _, port = listener()
    local client <close> = asyncio.socket()
    client:connect("localhost", port)
    assert.equal("127.0.0.1", (client:getpeername()))
    local lost <close> = asyncio.socket()
    assert_code("EAI_NONAME", lost.connect, lost, "no such name", 1)
    sock:close()
  end)

  it_runs("what needs a connection says so", function()
    local sock <close> = asyncio.socket()
    for _, way in ipairs {
      { "recv", 1 }, { "read", 1 }, { "readline" }, { "write", "x" }, { "sendall", "x" },
        { "shutdown", "both" },
      { "getpeername" }, { "write_eof" },
    } do
      assert_code("ENOTCONN", sock[way[1]], sock, way[2])
    end
    assert_code("EINVAL", sock.accept, sock)
    assert.is_false(sock:can_write_eof())
    sock:drain()
    sock:bind("127.0.0.1", 0)
    sock:listen()
    sock:listen()
    assert_code("EINVAL", sock.connect, sock, "127.0.0.1", 1)
    assert_code("ENOTCONN", sock.recv, sock, 1)
  end)

  it_runs("shutdown read, write, both", function()
    local a <close>, b = connected()
    b:sendall("x")
    assert.equal("x", a:recv(1))
    a:shutdown("read")
    assert.is_nil(a:recv(1))
    a:sendall("still")
    assert.equal("still", b:recv(10))
    a:shutdown("write")
    assert.is_nil(b:recv(10))
    assert.is_false(pcall(a.sendall, a, "x"))
    local c <close>, d = connected()
    local task <const> = start(c, "recv", 1)
    c:shutdown("both")
    assert.is_nil(task:await())
    assert.is_nil(d:recv(1))
    d:close()
    b:close()
  end)

  it_runs("close twice, fileno after it", function()
    local sock <const> = asyncio.socket()
    assert.is_true(sock:fileno() > 2)
    assert.matches("%[new%]", tostring(sock))
    sock:close()
    sock:close()
    assert.equal(-1, sock:fileno())
    assert.matches("%[closed%]", tostring(sock))
  end)
end)

describe("accept", function()
  it_runs("takes what has connected before anybody asked", function()
    local sock <close>, host, port = listener()
    local clients <const> = {}
    for i = 1, 5 do
      clients[i] = asyncio.socket()
      clients[i]:connect(host, port)
    end
    for i = 1, 5 do
      local conn <close>, _, peer_port = sock:accept()
      assert.equal(select(2, clients[i]:getsockname()), peer_port)
      assert.matches("connected", tostring(conn))
      clients[i]:close()
    end
  end)

  it_runs("serves tasks first come, first served", function()
    local sock <close>, host, port = listener()
    local order <const>, tasks <const> = {}, {}
    for i = 1, 3 do
      tasks[i] = spawn(function()
        local conn <close> = sock:accept()
        order[#order + 1] = i
        conn:close()
      end)
    end
    asyncio.sleep(0)
    for _ = 1, 3 do
      local client <close> = asyncio.open_connection(host, port)
      assert.is_nil(client:read(1))
    end
    asyncio.gather(table.unpack(tasks))
    assert.same({ 1, 2, 3 }, order)
  end)

  it_runs("cancelled, it loses no connection", function()
    local sock <close>, host, port = listener()
    local task <const> = start(sock, "accept")
    task:cancel()
    assert_cancelled(task)
    local client <close> = asyncio.open_connection(host, port)
    local conn <close> = sock:accept()
    conn:write("x")
    assert.equal("x", client:read(1))
  end)

  it_runs("B4: woken and then cancelled, it hands the connection on", function()
    local sock <close>, host, port = listener()
    local a <close>, b = connected()
    local canceller, first, second
    canceller = spawn(function()
      a:recv(1)
      first:cancel()
    end)
    first = spawn(function() sock:accept() end)
    second = spawn(function()
      local conn <close> = sock:accept()
      conn:sendall("second")
    end)
    asyncio.sleep(0)
    -- Both happen before the loop looks: the canceller is woken first, and runs when `first` is
    -- woken, too.
    b:write("x")
    local client <close> = asyncio.socket()
    client:connect(host, port)
    canceller:await()
    assert_cancelled(first)
    assert.equal("second", client:recv(100))
    second:await()
    b:close()
  end)

  it_runs("closed under it", function()
    local sock <const> = listener()
    local one <const>, two <const> = start(sock, "accept"), start(sock, "accept")
    sock:close()
    assert.matches("was closed", tostring(assert_code("ECANCELED", asyncio.await, one)))
    assert_code("ECANCELED", asyncio.await, two)
  end)

  it_runs("a listening socket is collected although tasks had waited", function()
    local fd
    do
      local sock <const> = listener()
      fd = sock:fileno()
      local task <const> = start(sock, "accept")
      task:cancel()
      assert_cancelled(task)
    end
    collectgarbage()
    collectgarbage()
    local sock <close> = asyncio.socket()
    assert.is_true(sock:fileno() <= fd)
  end)

  it("raises EMFILE, and goes on when there are descriptors again", function()
    if UNDER_VALGRIND then return pending("valgrind limits descriptors in its own way") end
    local result <const> = helper.run_script([[
      local asyncio = require "asyncio"
      asyncio.run(function()
        local sock = asyncio.socket()
        sock:bind("127.0.0.1", 0)
        sock:listen()
        local client = asyncio.socket()
        local held = {}
        while true do
          local ok, s = pcall(asyncio.socket)
          if not ok then break end
          held[#held + 1] = s
        end
        client:connect(sock:getsockname())
        local ok, err = pcall(sock.accept, sock)
        print(ok, err.code)
        local task = asyncio.create_task(sock.accept, sock)
        asyncio.sleep(0)
        print(select(2, pcall(asyncio.await, task)).code)
        for _, s in ipairs(held) do s:close() end
        print((tostring(sock:accept()):match("connected")))
      end)
    ]], { env = "ulimit -n 40;" })
    assert.equal("", result.err)
    assert.equal("false\tEMFILE\nEMFILE\nconnected\n", result.out)
  end)
end)

describe("connect", function()
  it_runs("is cancelled: the socket is closed", function()
    local sock <close> = asyncio.socket()
    sock:bind("127.0.0.1", 0)
    sock:listen(0)
    local host, port = sock:getsockname()
    local socks <const>, tasks <const> = {}, {}
    for i = 1, 5 do
      socks[i] = asyncio.socket()
      tasks[i] = spawn(socks[i].connect, socks[i], host, port)
    end
    asyncio.sleep(0.05)
    local hung = 0
    for i, task in ipairs(tasks) do
      if not task:done() then
        hung = hung + 1
        assert_code("EALREADY", socks[i].connect, socks[i], host, port)
        task:cancel()
        assert_cancelled(task)
        assert.is_true(socks[i]:is_closing())
      end
      socks[i]:close()
    end
    assert.is_true(hung > 0)
  end)

  it_runs("closed under it", function()
    local sock <close> = asyncio.socket()
    sock:bind("127.0.0.1", 0)
    sock:listen(0)
    local host, port = sock:getsockname()
    local hung = 0
    for _ = 1, 5 do
      local client <const> = asyncio.socket()
      local task <const> = spawn(client.connect, client, host, port)
      asyncio.sleep(0.01)
      local done <const> = task:done()
      client:close()
      if not done then
        hung = hung + 1
        assert_code("ECANCELED", asyncio.await, task)
      end
    end
    assert.is_true(hung > 0)
  end)
end)

describe("loop:sock_*", function()
  it_runs("are the same under asyncio's names (test_sock_client_ops)", function(loop)
    local sock <close>, host, port = listener()
    local client <close> = asyncio.socket()
    local accepting <const> = spawn(loop.sock_accept, loop, sock)
    loop:sock_connect(client, { host, port })
    local conn <close>, peer_host = accepting:await()
    assert.equal("127.0.0.1", peer_host)
    loop:sock_sendall(client, "ping")
    assert.equal("pi", loop:sock_recv(conn, 2))
    assert.equal("ng", loop:sock_recv(conn, 2))
    conn:close()
    assert.is_nil(loop:sock_recv(client, 10))
  end)

  it_runs("a recv is cancelled, another one gets the data (test_sock_client_connect_racing)",
    function(loop)
    local a <close>, b = connected()
    local one <const> = spawn(loop.sock_recv, loop, a, 10)
    asyncio.sleep(0)
    one:cancel()
    assert_cancelled(one)
    b:sendall("data")
    assert.equal("data", loop:sock_recv(a, 10))
  end)

  it_runs("much data (test_huge_content)", function(loop)
    local a <close>, b = connected()
    local data <const> = ("0123456789"):rep(helper.scale(500000, 10000))
    local task <const> = spawn(loop.sock_sendall, loop, a, data)
    local parts, size = {}, 0
    while size < #data do
      parts[#parts + 1] = loop:sock_recv(b, 65536)
      size = size + #parts[#parts]
    end
    task:await()
    assert.is_true(table.concat(parts) == data)
  end)

  it_runs("wrong arguments", function(loop)
    local sock <close> = asyncio.socket()
    local function refuses(pattern, fn, ...)
      local ok, err = pcall(fn, ...)
      assert.is_false(ok)
      assert.matches(pattern, err)
    end
    for _, name in ipairs { "sock_accept", "sock_connect", "sock_recv", "sock_sendall" } do
      refuses("#1.*asyncio.Loop expected", loop[name], sock)
      refuses("#2.*asyncio.Stream expected", loop[name], loop, 1)
    end
    refuses("#3.*table expected", loop.sock_connect, loop, sock, "127.0.0.1")
    refuses("#3.*{host, port} expected", loop.sock_connect, loop, sock, { "127.0.0.1" })
    refuses("#3.*number expected", loop.sock_recv, loop, sock)
    refuses("#3.*string expected", loop.sock_sendall, loop, sock)
    refuses("#1.*invalid option 'ipv4'", asyncio.socket, "ipv4")
    refuses("#2.*invalid option 'raw'", asyncio.socket, "inet", "raw")
    refuses("#1.*option 'fileno'", asyncio.socket, {})
    refuses("#2.*string expected", sock.bind, sock, {})
    refuses("#3.*out of range", sock.bind, sock, "127.0.0.1", 65536)
    refuses("#3.*number expected", sock.bind, sock, "127.0.0.1", "x")
    refuses("#2.*number expected", sock.listen, sock, "x")
    refuses("#2.*out of range", sock.listen, sock, -1)
    refuses("#2.*string expected, got no value", sock.connect, sock)
    refuses("#2.*string expected, got number", sock.connect, sock, 1)
    refuses("#3.*number expected, got no value", sock.connect, sock, "127.0.0.1")
    refuses("#2.*string expected", sock.shutdown, sock)
    refuses("#2.*invalid option 'rw'", sock.shutdown, sock, "rw")
    refuses("#2.*unknown socket option 'nodely'", sock.setsockopt, sock, "nodely", true)
    refuses("#3.*boolean expected", sock.setsockopt, sock, "nodelay", 1)
    refuses("#3.*number expected", sock.setsockopt, sock, "rcvbuf", true)
    refuses("#3.*out of range", sock.setsockopt, sock, "rcvbuf", -1)
    refuses("#2.*unknown socket option", sock.getsockopt, sock, "x")
    for _, name in ipairs {
      "bind", "listen", "accept", "connect", "shutdown", "setsockopt", "getsockopt", "getsockname",
        "getpeername", "fileno",
    } do
      refuses("#1.*asyncio.Stream expected", sock[name], loop)
    end
  end)

  it("another loop is refused", function()
    local other <const> = asyncio.new_event_loop()
    asyncio.run(function()
      local sock <close> = asyncio.socket()
      local ok, err = pcall(other.sock_recv, other, sock, 1)
      assert.is_false(ok)
      assert.matches("not the running event loop", err)
    end)
    other:close()
  end)
end)
