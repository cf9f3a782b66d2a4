-- SPDX-License-Identifier: MIT
-- What goes wrong with connections, and what a server lives through. More of it stands with the
-- rooms: stream_spec (resets, half-close, closing under a reader or writer, cancelled reads and
-- writes), socket_spec (accepting, connecting), server_spec (a handler that fails, descriptors that
-- run out while accepting), addr_spec (names).

local asyncio <const> = require "asyncio"
local helper <const> = require "spec.helper"
local posix <const> = require "spec.posix"
local on_loop <const> = require "spec.on_loop"(it, assert)

local it_runs <const> = on_loop.it_runs
local start <const> = on_loop.start
local assert_code <const> = on_loop.assert_code

local OSError <const> = asyncio.OSError
local UNDER_VALGRIND <const> = (os.getenv("SPEC_LUA") or ""):find("valgrind", 1, true) ~= nil

-- The same with the two ends of a TCP connection.
local function it_connects(name, fn)
  it_runs(name, function() on_loop.with_connection(fn) end)
end

-- The number of the next descriptor: the same again if none was left open.
local function next_descriptor()
  local sock <close> = asyncio.socket()
  return sock:fileno()
end

-- How many are open when all that nobody refers to is gone.
local function settled_descriptors()
  local n = 0
  for _ = 1, 2 do
    collectgarbage()
    asyncio.sleep(0.01 * helper.SLOW)
  end
  for fd = 0, 1000 do n = n + (posix.is_open(fd) and 1 or 0) end
  return n
end

-- A listening socket whose queue is full: who connects now waits for an answer. Calls fn(host,
-- port).
local function with_full_listener(fn)
  local sock <close> = asyncio.socket()
  sock:bind("127.0.0.1", 0)
  sock:listen(0)
  local host, port = sock:getsockname()
  local held <const> = {}
  for i = 1, 4 do
    held[i] = asyncio.create_task(asyncio.open_connection, host, port)
  end
  asyncio.sleep(0.02)
  fn(host, port)
  for _, task in ipairs(held) do
    if not task:cancel() then task:result():close() end
  end
  asyncio.sleep(0)
end

describe("Connecting", function()
  it_runs("that gets no answer runs into a timeout, and leaves no descriptor", function()
    with_full_listener(function(host, port)
      local before <const> = next_descriptor()
      for _ = 1, 3 do
        local ok, err = pcall(asyncio.timeout, 0.03, asyncio.open_connection, host, port)
        assert.is_false(ok)
        assert.is_true(asyncio.is(err, asyncio.TimeoutError), tostring(err))
        ok, err = pcall(asyncio.wait_for, function()
          return asyncio.open_connection(host, port)
        end, 0.03)
        assert.is_false(ok)
        assert.is_true(asyncio.is(err, asyncio.TimeoutError), tostring(err))
      end
      asyncio.sleep(0)
      assert.equal(before, next_descriptor())
    end)
  end)

  it_runs("that the system gives up", function()
    with_full_listener(function(host, port)
      local sock <close> = asyncio.socket()
      if not pcall(sock.setsockopt, sock, "user_timeout", 100) then
        return pending("this system has no TCP_USER_TIMEOUT")
      end
      local err <const> = assert_code("ETIMEDOUT", sock.connect, sock, host, port) -- a second
      assert.matches("connect 127%.0%.0%.1:" .. port, tostring(err))
    end)
  end)

  it_runs("that is refused or cancelled a hundred times leaves no descriptor", function()
    local sock <close> = asyncio.socket()
    sock:bind("127.0.0.1", 0) -- bound, but nobody listens
    local host, port = sock:getsockname()
    with_full_listener(function(full_host, full_port)
      local before <const> = next_descriptor()
      for _ = 1, helper.scale(100, 5) do
        assert_code("ECONNREFUSED", asyncio.open_connection, host, port)
        local task <const> = asyncio.create_task(asyncio.open_connection, full_host, full_port)
        asyncio.sleep(0)
        task:cancel()
        assert.is_false(pcall(asyncio.await, task))
        assert.is_true(task:cancelled())
      end
      asyncio.sleep(0)
      assert.equal(before, next_descriptor())
    end)
  end)

  it_runs("by a name that no server is asked for: over-long, an unknown service", function(loop)
    local before <const> = next_descriptor()
    local function fails(fn, ...)
      local ok, err = pcall(fn, ...)
      assert.is_false(ok)
      assert.is_true(asyncio.is(err, OSError), tostring(err))
      assert.matches("^E", err.code)
      assert.matches("getaddrinfo", tostring(err))
    end
    local label <const> = ("x"):rep(64)
    fails(asyncio.open_connection, label, 80)
    fails(asyncio.open_connection, ("x"):rep(300), 80)
    fails(asyncio.start_server, print, label, 0)
    fails(loop.getaddrinfo, loop, "127.0.0.1", "no-such-service")
    asyncio.sleep(0)
    assert.equal(before, next_descriptor())
  end)
end)

describe("Closed by another task", function()
  it_connects("while one writes: sendall and drain are told", function(a, b)
    a:write(("x"):rep(20000000))
    local drained <const>, sender <const> = start(a, "drain"), start(a, "sendall", "more")
    a:close()
    assert_code("ECANCELED", asyncio.await, sender)
    asyncio.sleep(0.02)
    assert.is_false(drained:done()) -- what was written before is still sent
    assert.equal(20000000, #b:read())
    drained:await()
    a:wait_closed()
  end)

  it_connects("abort: sendall, drain and wait_closed end", function(a)
    a:write(("x"):rep(20000000))
    local drained <const>, sender <const>, closed <const> = start(a, "drain"),
      start(a, "sendall", "more"), start(a, "wait_closed")
    a:abort()
    assert_code("ECANCELED", asyncio.await, drained)
    assert_code("ECANCELED", asyncio.await, sender)
    closed:await()
  end)

  it_connects("while several read and write at once", function(a, b)
    local readers <const> = {}
    for i = 1, 5 do readers[i] = start(a, "recv", 10) end
    local sender <const> = start(a, "sendall", ("x"):rep(20000000))
    a:close()
    for i = 1, 5 do assert_code("ECANCELED", asyncio.await, readers[i]) end
    assert_code("ECANCELED", asyncio.await, sender)
    assert.is_true(#b:read() < 20000000)
  end)

  it_runs("while it accepts, several times, and while it connects", function()
    local sock <const> = asyncio.socket()
    sock:bind("127.0.0.1", 0)
    sock:listen()
    local waiting <const> = { start(sock, "accept"), start(sock, "accept") }
    sock:close()
    for _, task in ipairs(waiting) do assert_code("ECANCELED", asyncio.await, task) end
    with_full_listener(function(host, port)
      local connecting <const> = asyncio.socket()
      local task <const> = start(connecting, "connect", host, port)
      connecting:close()
      assert_code("ECANCELED", asyncio.await, task)
    end)
  end)
end)

describe("Cancelled", function()
  -- Random ways to read, each cancelled at a random moment, against a writer in random pieces.
  it_connects("reading, again and again: no byte is lost", function(a, b)
    local parts <const> = {}
    for i = 1, helper.scale(1000, 100) do parts[i] = ("%d"):format(i):rep(100) .. "\n" end
    local sent <const> = table.concat(parts)
    local function write_all()
      local at = 1
      while at <= #sent do
        local n <const> = math.random(800)
        a:write(sent:sub(at, at + n - 1))
        at = at + n
        for _ = 1, math.random(20) do asyncio.sleep(0) end
      end
      a:write_eof()
    end
    local ways <const> = {
      function() return b:read(math.random(5000)) end,
      function() return b:recv(math.random(5000)) end,
      function() return b:readline() end,
      function() return b:readuntil("\n") end,
      function() return b:readexactly(math.random(5000)) end,
    }
    -- The first one of each way is cancelled for certain: nothing has been written yet.
    for _, way in ipairs(ways) do
      local task <const> = asyncio.create_task(way)
      asyncio.sleep(0)
      assert.is_true(task:cancel())
      assert.is_false(pcall(asyncio.await, task))
      assert.is_true(task:cancelled())
    end
    asyncio.create_task(write_all)
    local got = {}
    while true do
      local task <const> = asyncio.create_task(ways[math.random(#ways)])
      if math.random(4) > 1 then
        for _ = 0, math.random(3) do asyncio.sleep(0) end
        task:cancel()
      end
      local ok, piece = pcall(asyncio.await, task)
      if ok and not piece then break end
      if not ok and asyncio.is(piece, asyncio.IncompleteReadError) then piece = piece.partial end
      if type(piece) == "string" then got[#got + 1] = piece end
      if not ok and type(piece) ~= "string" then
        assert.is_true(asyncio.is(piece, asyncio.CancelledError), tostring(piece))
      end
      if b:at_eof() then break end
    end
    assert.is_true(table.concat(got) == sent)
  end)

  it_connects("a sendall in the middle: its beginning has been sent, and what follows is in order",
    function(a, b)
    local data <const> = ("0123456789"):rep(2000000)
    local task <const> = start(a, "sendall", data)
    asyncio.sleep(0.01)
    task:cancel()
    assert.is_false(pcall(asyncio.await, task))
    assert.is_true(task:cancelled())
    a:write("END")
    a:write_eof()
    local got <const> = b:read()
    local n <const> = #got - 3
    assert.is_true(n > 0 and n < #data)
    assert.is_true(got == data:sub(1, n) .. "END")
  end)

  it_connects("by a timeout while the peer does not read: the stream can be used on", function(a, b)
    local ok, err = pcall(asyncio.timeout, 0.05, a.sendall, a, ("x"):rep(20000000))
    assert.is_false(ok)
    assert.is_true(asyncio.is(err, asyncio.TimeoutError), tostring(err))
    local reader <const> = start(b, "read")
    a:sendall("END")
    a:close()
    assert.equal("END", reader:await():sub(-3))
  end)
end)

describe("The peer resets", function()
  local function reset(stream)
    stream:setsockopt("linger", 0)
    stream:abort()
  end

  it_connects("while one task reads and another one writes: both are told", function(a, b)
    local reader <const> = start(a, "readline")
    local sender <const> = start(a, "sendall", ("x"):rep(20000000))
    asyncio.sleep(0.02)
    reset(b)
    for _, task in ipairs { reader, sender } do
      local ok, err = pcall(asyncio.await, task)
      assert.is_false(ok)
      assert.is_true(asyncio.is(err, OSError), tostring(err))
      assert.is_true(err.code == "ECONNRESET" or err.code == "EPIPE", err.code)
    end
    a:close()
    pcall(a.wait_closed, a)
  end)

  it_runs("under a server's handlers: each is reported, the server goes on", function(loop)
    local reports <const> = {}
    loop:set_exception_handler(function(_, context) reports[#reports + 1] = context end)
    local server <close> = asyncio.start_server(function(reader, writer)
      writer:write(reader:readexactly(4))
      writer:drain()
      writer:close()
    end, "127.0.0.1", 0)
    local host, port = server:sockets()[1]:getsockname()
    for _ = 1, 5 do
      local conn <const> = asyncio.open_connection(host, port)
      conn:write("pi")
      asyncio.sleep(0.01)
      reset(conn)
    end
    local conn <close> = asyncio.open_connection(host, port)
    conn:write("ping")
    assert.equal("ping", conn:read())
    for _ = 1, 100 do
      if #reports == 5 then break end
      asyncio.sleep(0.01)
    end
    assert.equal(5, #reports)
    for _, context in ipairs(reports) do
      assert.equal("ECONNRESET", context.exception.code)
      assert.equal("unhandled error in the handler of a connection", context.message)
    end
  end)
end)

-- Numbers are those of a list of races that have bitten relatives of this library.
describe("One poll wakes two tasks, and the first of them cancels the other:", function()
  -- Functions that wait; `provoke` makes both ready before the loop looks. Which one was cancelled.
  local function race(waits, provoke)
    local tasks <const>, winner, result = {}, nil, nil
    for i = 1, 2 do
      tasks[i] = asyncio.create_task(function()
        result = waits[i]()
        winner = i
        tasks[3 - i]:cancel()
      end)
    end
    asyncio.sleep(0)
    provoke()
    asyncio.wait(tasks)
    assert.is_false(tasks[winner]:cancelled())
    assert.is_true(tasks[3 - winner]:cancelled())
    return 3 - winner, result
  end

  local function two_connections(listener, connect)
    local ends <const> = {}
    for i = 1, 2 do
      ends[i] = connect()
      ends[i + 2] = listener:accept()
    end
    return table.unpack(ends)
  end

  it_runs("B4: both read, each from its stream; the other one's bytes stay", function()
    local listener <close> = asyncio.socket()
    listener:bind("127.0.0.1", 0)
    listener:listen()
    local a, b, peer_a, peer_b = two_connections(listener, function()
      return (asyncio.open_connection(listener:getsockname()))
    end)
    for _, way in ipairs { { "read", 10 }, { "readline" }, { "recv", 10 }, { "readexactly", 2 },
      { "readuntil", "\n" } } do
      local function wait(s) return function() return s[way[1]](s, way[2]) end end
      local left <const>, text = race({ wait(a), wait(b) }, function()
        peer_a:write("1\n")
        peer_b:write("2\n")
      end)
      assert.equal(3 - left .. "\n", text)
      assert.equal(left .. "\n", (left == 1 and a or b):readline())
    end
    for _, s in ipairs { a, b, peer_a, peer_b } do s:close() end
  end)

  it_runs("B4: one reads, one writes: what follows on the stream is in order", function()
    local fd <const>, peer <const> = posix.socketpair()
    posix.set_nonblocking(peer, true)
    local s <close> = asyncio.socket { fileno = fd }
    local data <const> = ("0123456789"):rep(100000)
    local got <const> = {}
    local function take()
      local piece <const> = posix.read(peer, 65536)
      if piece then got[#got + 1] = piece end
      return piece and #piece > 0
    end
    local left <const> = race({ function() s:read(1) end, function() s:sendall(data) end },
      function()
        posix.write(peer, "x")
        while take() do end
      end)
    if left == 1 then assert.equal("x", s:read(1)) end
    s:write("END")
    s:close()
    repeat
      asyncio.sleep(0)
      while take() do end
    until table.concat(got):find("END$")
    local all <const> = table.concat(got):sub(1, -4)
    assert.is_true(#all > 0 and all == data:sub(1, #all))
    posix.close(peer)
  end)

  it_runs("B4: both receive datagrams, each from its socket; the other one's stays", function()
    for _, family in ipairs { "inet", "unix" } do
      local socks <const>, paths <const> = {}, {}
      for i = 1, 3 do
        socks[i] = asyncio.socket(family, "dgram")
        socks[i]:bind(family == "inet" and "127.0.0.1" or nil)
        paths[i] = { socks[i]:getsockname() }
      end
      local function wait(s) return function() return s:recv() end end
      local left <const> = race({ wait(socks[1]), wait(socks[2]) }, function()
        for i = 1, 2 do socks[3]:sendto(tostring(i), table.unpack(paths[i])) end
      end)
      assert.equal(tostring(left), socks[left]:recv())
      for i = 1, 3 do socks[i]:close() end
    end
  end)

  it_runs("B4: both accept, each from its socket; the other one's connection stays", function()
    local listeners <const>, clients <const> = {}, {}
    for i = 1, 2 do
      listeners[i] = asyncio.socket("unix")
      listeners[i]:bind("\0" .. math.random(1 << 40))
      listeners[i]:listen()
    end
    local function wait(s) return function() return (s:accept()) end end
    local left <const> = race({ wait(listeners[1]), wait(listeners[2]) }, function()
      for i = 1, 2 do
        clients[i] = asyncio.socket("unix")
        clients[i]:connect(listeners[i]:getsockname()) -- done at once
      end
    end)
    local conn <close> = listeners[left]:accept()
    clients[left]:write("x")
    assert.equal("x", conn:read(1))
    for i = 1, 2 do
      listeners[i]:close()
      clients[i]:close()
    end
  end)

  it_runs("B4: both wait for one foreign descriptor, to read and to write", function()
    local fd <const>, peer <const> = posix.socketpair()
    posix.set_nonblocking(fd, true)
    posix.set_nonblocking(peer, true)
    while posix.write(fd, ("x"):rep(65536)) do end
    race({ function() asyncio.wait_readable(fd) end, function() asyncio.wait_writable(fd) end },
      function()
        posix.write(peer, "x")
        while posix.read(peer, 65536) do end
      end)
    asyncio.wait_writable(fd)
    asyncio.wait_readable(fd)
    posix.close(fd)
    posix.close(peer)
  end)
end)

-- The number of a closed descriptor is the next one's. What the system had to tell about the old
-- one, and whoever waited for it, must not be mixed up with the new one.
describe("B5: a descriptor is closed under who waits, its number is used again at once:", function()
  -- `wait` waits on the first; `tell` makes it ready; `renew` makes the second.
  local function reuse(first, wait, tell, renew)
    collectgarbage() -- or a smaller number is freed meanwhile
    collectgarbage()
    for _, ready in ipairs { false, true } do
      local old <const> = first()
      local fd <const> = old:fileno()
      local tasks <const> = {}
      for i = 1, 2 do tasks[i] = asyncio.create_task(wait, old) end
      asyncio.sleep(0)
      if ready then tell(old) end -- the loop has not looked yet
      old:close()
      local new <close> = renew(fd)
      for i = 1, 2 do assert_code("ECANCELED", asyncio.await, tasks[i]) end
      asyncio.sleep(0)
      assert.is_false(new:is_closing())
    end
  end

  local function same_number(fd, sock)
    assert.equal(fd, sock:fileno())
    return sock
  end

  it_runs("a stream", function()
    local listener <close> = asyncio.socket("unix")
    listener:bind("\0" .. math.random(1 << 40))
    listener:listen()
    local path <const> = listener:getsockname()
    local peer
    local function connect()
      local sock <const> = asyncio.socket("unix")
      sock:connect(path)
      peer = listener:accept()
      return sock
    end
    reuse(connect, function(s) return s:recv(10) end, function() peer:write("old") end,
      function(fd)
        peer:close()
        local sock <const> = same_number(fd, asyncio.socket("unix"))
        sock:connect(path)
        peer = listener:accept()
        local reading <const> = start(sock, "recv", 10)
        asyncio.sleep(0.01)
        assert.is_false(reading:done())
        peer:write("new")
        assert.equal("new", reading:await())
        return sock
      end)
    peer:close()
  end)

  it_runs("a stream whose writer waits", function()
    local listener <close> = asyncio.socket("unix")
    listener:bind("\0" .. math.random(1 << 40))
    listener:listen()
    local path <const> = listener:getsockname()
    local peer
    local function connect()
      local sock <const> = asyncio.socket("unix")
      sock:connect(path)
      peer = listener:accept()
      return sock
    end
    reuse(connect, function(s) s:sendall(("x"):rep(3000000)) end,
      function() peer:read(100000) end, function(fd)
        peer:close()
        local sock <const> = same_number(fd, asyncio.socket("unix"))
        sock:connect(path)
        peer = listener:accept()
        sock:sendall("new")
        assert.equal("new", peer:read(10))
        return sock
      end)
    peer:close()
  end)

  it_runs("a socket that listens", function()
    local path, client
    local function listen()
      local sock <const> = asyncio.socket("unix")
      path = "\0" .. math.random(1 << 40)
      sock:bind(path)
      sock:listen()
      return sock
    end
    reuse(listen, function(s) return (s:accept()) end, function()
      client = asyncio.socket("unix")
      client:connect(path)
    end, function(fd)
      local sock <const> = same_number(fd, listen())
      local accepting <const> = start(sock, "accept")
      asyncio.sleep(0.01)
      assert.is_false(accepting:done())
      if client then client:close() end
      client = asyncio.open_unix_connection(path)
      accepting:await():close()
      return sock
    end)
    client:close()
  end)

  it_runs("a datagram socket", function()
    local sender <close> = asyncio.socket("inet", "dgram")
    local function bound()
      local sock <const> = asyncio.socket("inet", "dgram")
      sock:bind("127.0.0.1", 0)
      return sock
    end
    reuse(bound, function(s) return s:recv() end,
      function(old) sender:sendto("old", old:getsockname()) end, function(fd)
        local sock <const> = same_number(fd, bound())
        local receiving <const> = start(sock, "recv")
        asyncio.sleep(0.01)
        assert.is_false(receiving:done())
        sender:sendto("new", sock:getsockname())
        assert.equal("new", receiving:await())
        return setmetatable({ is_closing = function() return sock:fileno() < 0 end },
          { __close = function() sock:close() end })
      end)
  end)
end)

-- Many tasks do things by chance to the two ends of one connection, are cancelled, and the ends
-- closed under them. Whatever happens, every wait ends, with a result or an error of ours.
describe("At any moment", function()
  local BIG <const> = ("x\n"):rep(300000)
  local random <const> = math.random

  local MAKERS <const> = {
    TCP = function()
      local listener <close> = asyncio.socket()
      listener:bind("127.0.0.1", 0)
      listener:listen()
      local a <const> = asyncio.open_connection(listener:getsockname())
      return a, (listener:accept())
    end,
    ["a unix socket"] = function()
      local a <const>, b <const> = posix.socketpair()
      return asyncio.socket { fileno = a }, asyncio.socket { fileno = b }
    end,
    ["a pair in memory"] = asyncio.testing.stream_pair,
    ["the pipes of a child"] = function()
      local p <const> = asyncio.create_subprocess_exec("cat", { stdin = "pipe", stdout = "pipe" })
      return p.stdin, p.stdout
    end,
  }

  local OPERATIONS <const> = {
    function(s) s:read(random(100000)) end,
    function(s) s:read() end,
    function(s) s:readline() end,
    function(s) s:readexactly(random(100000)) end,
    function(s) s:readuntil("none") end,
    function(s) s:recv(random(100000)) end,
    function(s) s:recv(10) end,
    function(s) for _ in s:lines() do if random(50) == 1 then asyncio.sleep(0) end end end,
    function(s)
      s:write(BIG:sub(1, random(#BIG)))
      s:drain()
    end,
    function(s) s:sendall(BIG:sub(1, random(#BIG))) end,
    function(s) s:sendall("little") end,
    function(s) s:wait_closed() end,
    function(s) s:write_eof() end,
    function(s) s:shutdown(({ "read", "write", "both" })[random(3)]) end,
    function(s) s:set_write_buffer_limits { high_water = random(100000) } end,
    function(s)
      asyncio.sleep(random() / 1000)
      s:close()
      s:wait_closed()
    end,
    function(s)
      asyncio.sleep(random() / 1000)
      s:abort()
    end,
    function(s)
      s:setsockopt("linger", 0)
      s:abort()
    end,
    function(s) asyncio.timeout(random() / 500, s.read, s, 10) end,
    function(s) asyncio.timeout(random() / 500, s.sendall, s, BIG) end,
    function(s)
      local file <close>, path <const> = asyncio.fs.mkstemp()
      asyncio.fs.unlink(path)
      file:truncate(random(3000000))
      asyncio.sendfile(file, s)
    end,
    function() collectgarbage() end,
  }

  local REFUSALS <const> = { "another task is reading", "was called before" }

  local function check(err)
    if type(err) ~= "string" then return assert.is_truthy(err.name) end
    for _, text in ipairs(REFUSALS) do
      if err:find(text, 1, true) then return end
    end
    error(err, 0)
  end

  local function one_round(make)
    local ends <const>, tasks <const> = { make() }, {}
    for i = 1, random(12) do
      local s <const>, operation <const> = ends[random(2)], OPERATIONS[random(#OPERATIONS)]
      tasks[i] = asyncio.create_task(function()
        local ok, err = asyncio.pcall(operation, s)
        if not ok then check(err) end
      end)
      if random(3) == 1 then asyncio.sleep(0) end
    end
    for _ = 1, random(6) do
      if random(2) == 1 then tasks[random(#tasks)]:cancel() end
      if random(3) == 1 then asyncio.sleep(random() / 1000) end
    end
    if random(2) == 1 then
      for _, s in ipairs(ends) do s:close() end
      asyncio.sleep(0)
    end
    for _, s in ipairs(ends) do s:abort() end
    local _, pending_tasks = asyncio.wait(tasks, { timeout = 10 * helper.SLOW })
    assert.same({}, pending_tasks)
    for _, task in ipairs(tasks) do
      if not task:cancelled() then task:result() end
    end
  end

  for name, make in pairs(MAKERS) do
    it_runs("the ends are closed, over " .. name, function()
      local seed <const> = os.time()
      math.randomseed(seed)
      local before
      for round = 0, helper.scale(50, 3) do
        if round == 1 then before = settled_descriptors() end -- libuv keeps one for streams
        local ok, err = pcall(one_round, make)
        if not ok then error(("seed %d, round %d: %s"):format(seed, round, err), 0) end
      end
      assert.equal(before, settled_descriptors())
    end)
  end

  local function handler(reader, writer)
    local what <const> = random(7)
    if what == 1 then error("of the handler", 0) end
    if what == 2 then return end
    if what == 3 then return writer:abort() end
    if what == 4 then
      writer:write(BIG)
      writer:drain()
    elseif what == 5 then
      asyncio.timeout(random() / 200, reader.read, reader)
    else
      for line in reader:lines("L") do
        writer:write(line)
        writer:drain()
      end
    end
    writer:close()
  end

  local SERVER_OPERATIONS <const> = {
    function(server) server:close() end,
    function(server) server:wait_closed() end,
    function(server) server:close_clients() end,
    function(server) server:abort_clients() end,
    function(server) asyncio.timeout(random() / 200, server.serve_forever, server) end,
    function(server) server:start_serving() end,
    function(server)
      local sock <const> = server:sockets()[1]
      if sock then sock:close() end
    end,
    function() collectgarbage() end,
  }

  local function serve()
    local options <const> = { backlog = random(4) - 1, start_serving = random(3) > 1 }
    if random(2) == 1 then
      local name <const> = "\0" .. random(1 << 40)
      return asyncio.start_unix_server(handler, name, options),
        function() return (asyncio.open_unix_connection(name)) end
    end
    local server <const> = asyncio.start_server(handler, "127.0.0.1", 0, options)
    local _, port = server:sockets()[1]:getsockname()
    local connecting <const> = { happy_eyeballs_delay = random(2) == 1 and 0.001 or nil }
    return server, function()
      return (asyncio.open_connection("localhost", port, connecting))
    end
  end

  local SERVER_REFUSALS <const> = { "the server is closed", "is already awaited" }

  local function one_server()
    local server <const>, connect <const> = serve()
    local tasks <const> = {}
    local function client()
      local conn <const> = asyncio.timeout(random(5) == 1 and random() / 300 or 3, connect)
      if random(2) == 1 then conn:write("hello\n") end
      if random(2) == 1 then conn:readline() end
      if random(3) == 1 then conn:close() end
    end
    for i = 1, 3 + random(10) do
      local operation <const> = SERVER_OPERATIONS[random(#SERVER_OPERATIONS)]
      local is_client <const> = random(3) > 1
      tasks[i] = asyncio.create_task(function()
        local ok, err = asyncio.pcall(is_client and client or operation, server)
        if not ok and type(err) == "string" then
          assert.is_truthy(err:find(SERVER_REFUSALS[1]) or err:find(SERVER_REFUSALS[2]), err)
        end
      end)
      if random(3) == 1 then asyncio.sleep(0) end
    end
    for _ = 1, random(6) do
      if random(2) == 1 then tasks[random(#tasks)]:cancel() end
      if random(3) == 1 then asyncio.sleep(random() / 300) end
    end
    server:close()
    server:abort_clients()
    local _, pending_tasks = asyncio.wait(tasks, { timeout = 10 * helper.SLOW })
    assert.same({}, pending_tasks)
    for _, task in ipairs(tasks) do
      if not task:cancelled() then task:result() end
    end
    server:abort_clients()
    asyncio.timeout(10 * helper.SLOW, server.wait_closed, server)
  end

  it_runs("a server is closed, and its clients", function(loop)
    local seed <const> = os.time()
    math.randomseed(seed)
    loop:set_exception_handler(function() end)
    for _, conn in ipairs { MAKERS.TCP() } do conn:close() end -- libuv keeps one for streams
    local before <const> = settled_descriptors()
    for round = 1, helper.scale(50, 3) do
      local ok, err = pcall(one_server)
      if not ok then error(("seed %d, round %d: %s"):format(seed, round, err), 0) end
    end
    assert.equal(before, settled_descriptors())
  end)
end)

describe("Descriptors run out (ulimit -n 64)", function()
  it("whoever needs one is told; when there are some again everything works", function()
    if UNDER_VALGRIND then return pending("valgrind limits descriptors in its own way") end
    local result <const> = helper.run_script([[
      local asyncio = require "asyncio"
      local function code(fn, ...)
        local ok, err = pcall(fn, ...)
        if ok then return "fine" end
        return asyncio.is(err, asyncio.OSError) and err.code or tostring(err)
      end
      asyncio.run(function()
        local loop = asyncio.get_running_loop()
        local server = asyncio.start_server(function(_, writer) writer:close() end, "127.0.0.1", 0)
        local host, port = server:sockets()[1]:getsockname()
        local held = {}
        local function fill()
          repeat
            local ok, s = pcall(asyncio.socket)
            if ok then held[#held + 1] = s end
          until not ok
        end
        fill()
        print(#held > 40 and #held < 64)
        print(code(asyncio.socket))
        print(code(asyncio.open_connection, host, port))
        print(code(asyncio.start_server, print, "127.0.0.1", 0))
        print(code(asyncio.socket, "inet6", "dgram"))
        print(code(asyncio.start_unix_server, print, "/tmp/never made"))
        print(code(asyncio.open_unix_connection, "/tmp/never made"))
        print(code(asyncio.open, "Makefile"))
        print(code(asyncio.fs.watch, "."))
        print(code(asyncio.create_subprocess_exec, "true", { stdin = "pipe" }))
        print(code(function() for _ in asyncio.fs.scandir(".") do break end end))
        print(code(asyncio.new_event_loop))
        print(code(asyncio.to_thread, "tostring", 1))
        local name = code(loop.getaddrinfo, loop, "localhost", 80) -- /etc/hosts cannot be opened
        print(name == "fine" or name:sub(1, 4) == "EAI_" or name == "EMFILE" or name)
        for _, s in ipairs(held) do s:close() end
        asyncio.sleep(0)
        print(code(asyncio.open_connection, host, port))
        print(code(asyncio.to_thread, "tostring", 1))
        local function count()
          held = {}
          collectgarbage() -- the connection
          asyncio.sleep(0.01) -- and its end at the server
          fill()
          for _, s in ipairs(held) do s:close() end
          return #held
        end
        print(count() == count())
      end)
    ]], { env = "ulimit -S -n 64;" })
    assert.equal("", result.err)
    assert.equal("true\n" .. ("EMFILE\n"):rep(11) .. "fine\ntrue\nfine\nfine\ntrue\n", result.out)
  end)

  it("a server that waits for descriptors can be closed, and the loop, and the state", function()
    if UNDER_VALGRIND then return pending("valgrind limits descriptors in its own way") end
    for _, last in ipairs {
      "server:close() server:wait_closed()", "task:cancel() pcall(task.await, task)", "return",
      "os.exit(0, true)",
    } do
      local result <const> = helper.run_script(([[
        local asyncio = require "asyncio"
        asyncio.run(function()
          local paused = asyncio.Event()
          asyncio.get_running_loop():set_exception_handler(function() paused:set() end)
          local function handler(reader) reader:read() end
          local server = asyncio.start_server(handler, "127.0.0.1", 0)
          local task = asyncio.create_task(server.serve_forever, server)
          local client = asyncio.socket()
          local held = {}
          repeat
            local ok, s = pcall(asyncio.socket)
            held[#held + 1] = ok and s
          until not ok
          client:connect(server:sockets()[1]:getsockname())
          paused:wait()
          LAST
        end)
      ]]):gsub("LAST", last), { env = "ulimit -S -n 64;", seconds = 10 })
      assert.same({ out = "", err = "", status = 0 }, result, last)
    end
  end)

  it("a server with more clients than descriptors serves them all", function()
    if UNDER_VALGRIND then return pending("valgrind limits descriptors in its own way") end
    local client <const> = helper.temporary_file [[
      local asyncio = require "asyncio"
      local port = math.tointeger(arg[1])
      asyncio.run(function()
        local function call()
          local conn <close> = asyncio.open_connection("127.0.0.1", port)
          conn:write("ping")
          return conn:read()
        end
        local tasks = {}
        for i = 1, 100 do tasks[i] = call end
        for _, answer in ipairs(asyncio.gather(tasks)) do assert(answer == "ping") end
      end)
    ]]
    local script <const> = ([[
      local asyncio = require "asyncio"
      asyncio.run(function()
        local served, reports = 0, 0
        asyncio.get_running_loop():set_exception_handler(function(_, context)
          reports = reports + 1
          if context.exception.code ~= "EMFILE" then print(context.message, context.exception) end
        end)
        local server = asyncio.start_server(function(reader, writer)
          writer:write(reader:readexactly(4))
          asyncio.sleep(0.2)
          served = served + 1
          writer:close()
        end, "127.0.0.1", 0)
        local _, port = server:sockets()[1]:getsockname()
        local clock = os.clock()
        print(asyncio.to_thread("os.execute", "ulimit -S -n 1000; " .. CLIENT .. port))
        print(served, reports > 0 and reports < 10, os.clock() - clock < 1.5)
        server:close()
        server:wait_closed()
      end)
    ]]):gsub("CLIENT", ("%q"):format(helper.lua_command() .. " " .. client .. " "))
    local result <const> = helper.run_script(script, { env = "ulimit -S -n 64;", seconds = 30 })
    os.remove(client)
    assert.equal("", result.err)
    assert.equal("true\texit\t0\n100\ttrue\ttrue\n", result.out)
  end)
end)
