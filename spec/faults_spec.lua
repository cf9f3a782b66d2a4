-- SPDX-License-Identifier: MIT
-- What goes wrong with connections, and what a server lives through. More of it stands with the
-- rooms: stream_spec (resets, half-close, closing under a reader or writer, cancelled reads and
-- writes), socket_spec (accepting, connecting), server_spec (a handler that fails, descriptors that
-- run out while accepting), addr_spec (names).

local asyncio <const> = require "asyncio"
local helper <const> = require "spec.helper"

local OSError <const> = asyncio.OSError
local UNDER_VALGRIND <const> = (os.getenv("SPEC_LUA") or ""):find("valgrind", 1, true) ~= nil

local function it_runs(name, fn)
  it(name, function()
    asyncio.run(function() asyncio.timeout(30 * helper.SLOW, fn, asyncio.get_running_loop()) end)
  end)
end

-- The same with the two ends of a TCP connection.
local function it_connects(name, fn)
  it_runs(name, function()
    local listener <close> = asyncio.socket()
    listener:bind("127.0.0.1", 0)
    listener:listen()
    local a <close> = asyncio.open_connection(listener:getsockname())
    local b <close> = listener:accept()
    fn(a, b)
  end)
end

local function start(object, method, ...)
  local task <const> = asyncio.create_task(object[method], object, ...)
  asyncio.sleep(0)
  return task
end

local function assert_code(code, fn, ...)
  local ok, err = pcall(fn, ...)
  assert.is_false(ok)
  assert.is_true(asyncio.is(err, OSError), tostring(err))
  assert.equal(code, err.code)
  return err
end

-- The number of the next descriptor: the same again if none was left open.
local function next_descriptor()
  local sock <close> = asyncio.socket()
  return sock:fileno()
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
        print(code(asyncio.new_event_loop))
        print(code(asyncio.to_thread, "tostring", 1))
        local name = code(loop.getaddrinfo, loop, "localhost", 80) -- /etc/hosts cannot be opened
        print(name == "fine" or name:sub(1, 4) == "EAI_" or name == "EMFILE" or name)
        for _, s in ipairs(held) do s:close() end
        asyncio.sleep(0)
        print(code(asyncio.open_connection, host, port))
        print(code(asyncio.to_thread, "tostring", 1))
        held = {}
        fill()
        local before = #held
        for _, s in ipairs(held) do s:close() end
        asyncio.sleep(0)
        held = {}
        fill()
        print(#held == before)
      end)
    ]], { env = "ulimit -S -n 64;" })
    assert.equal("", result.err)
    assert.equal("true\nEMFILE\nEMFILE\nEMFILE\nEMFILE\nfine\ntrue\nfine\nfine\ntrue\n", result.out)
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
