-- SPDX-License-Identifier: MIT
-- start_server and Server. Names in brackets are those of asyncio's own tests, or of a bug of a
-- relative.

local asyncio <const> = require "asyncio"
local helper <const> = require "spec.helper"
local on_loop <const> = require "spec.on_loop"(it, assert)

local it_runs <const> = on_loop.it_runs
local start <const> = on_loop.start
local assert_code <const> = on_loop.assert_code
local assert_cancelled <const> = on_loop.assert_cancelled

-- A sanitizer, or valgrind, keeps what is freed.
local PLAIN <const> = (os.getenv("SPEC_LUA") or "") == ""
local UNDER_VALGRIND <const> = (os.getenv("SPEC_LUA") or ""):find("valgrind", 1, true) ~= nil

local function spawn(fn, ...)
  return asyncio.create_task(fn, ...)
end

local function serve(handler, options)
  local server <const> = asyncio.start_server(handler, "127.0.0.1", 0, options)
  return server, server:sockets()[1]:getsockname()
end

local function nothing() end

-- Collects what goes to the exception handler.
local function collect_reports(loop)
  local reports <const> = {}
  loop:set_exception_handler(function(_, context) reports[#reports + 1] = context end)
  return reports
end

describe("start_server", function()
  it_runs("runs the handler in a task for each connection", function()
    local names <const> = {}
    local server <close>, host, port = serve(function(reader, writer)
      assert(reader == writer)
      names[#names + 1] = asyncio.current_task():get_name()
      while true do
        local line <const> = reader:readline()
        if not line then break end
        writer:write(line:upper())
        writer:drain()
      end
      writer:close()
      writer:wait_closed()
    end)
    local function client(i)
      local conn <close> = asyncio.open_connection(host, port)
      for j = 1, 10 do
        conn:write(("client %d line %d\n"):format(i, j))
        assert.equal(("CLIENT %d LINE %d\n"):format(i, j), conn:readline())
        if j % 3 == 0 then asyncio.sleep(0) end
      end
      conn:write_eof()
      assert.is_nil(conn:readline())
    end
    local clients <const> = {}
    local count <const> = helper.scale(100, 5)
    for i = 1, count do clients[i] = spawn(client, i) end
    asyncio.gather(table.unpack(clients))
    assert.equal(count, #names)
    assert.are_not.equal(names[1], names[2])
    server:close()
    server:wait_closed()
  end)

  it_runs("passes the limit on", function()
    local failed <const> = asyncio.get_running_loop():create_future()
    local server <close>, host, port = serve(function(reader)
      failed:set_result(select(2, pcall(reader.readline, reader)))
    end, { limit = 10 })
    local conn <close> = asyncio.open_connection(host, port)
    conn:write(("x"):rep(30))
    assert.is_true(asyncio.is(failed:await(), asyncio.LimitOverrunError))
    server:close()
  end)

  it_runs("reports a port that is used, and leaves no socket open", function()
    local server <close>, host, port = serve(nothing)
    local before <const> = asyncio.socket()
    local err <const> = assert_code("EADDRINUSE", asyncio.start_server, nothing,
      { "127.0.0.1", host }, port)
    assert.matches("bind 127%.0%.0%.1:" .. port, tostring(err))
    local after <const> = asyncio.socket()
    assert.equal(before:fileno() + 1, after:fileno())
    before:close()
    after:close()
    server:close()
  end)

  it_runs("listens on several hosts, on names, on all addresses", function()
    local server <close> = asyncio.start_server(nothing, { "127.0.0.1", "127.0.0.2" }, 0)
    local sockets <const> = server:sockets()
    assert.equal(2, #sockets)
    assert.equal("127.0.0.2", (sockets[2]:getsockname()))
    local named <close> = asyncio.start_server(nothing, "localhost", 0, { family = "inet" })
    assert.equal("127.0.0.1", (named:sockets()[1]:getsockname()))
    local any <close> = asyncio.start_server(nothing, nil, 0)
    local _, port = any:sockets()[1]:getsockname()
    for _, sock in ipairs(any:sockets()) do assert.equal(port, select(2, sock:getsockname())) end
    local conn <close> = asyncio.open_connection("127.0.0.1", port)
    assert.matches("connected", tostring(conn))
    local wrong = assert_code("EADDRNOTAVAIL", asyncio.start_server, nothing, "192.0.2.1", 0)
    assert.equal("192.0.2.1:0", wrong.address)
    assert.is_false(pcall(asyncio.start_server, nothing, "no such name", 0))
  end)

  it_runs("shares a port with reuse_port", function()
    local ok, one = pcall(asyncio.start_server, nothing, "127.0.0.1", 0, { reuse_port = true })
    if not ok then return pending("this system has no SO_REUSEPORT") end
    local two <close> = asyncio.start_server(nothing, "127.0.0.1",
      select(2, one:sockets()[1]:getsockname()),
      { reuse_port = true })
    assert.is_true(two:is_serving())
    one:close()
  end)

  it_runs("begins later with start_serving = false (test_start_server_1)", function()
    local server <close>, host, port = serve(function(_, writer) writer:close() end,
      { start_serving = false })
    assert.is_false(server:is_serving())
    assert_code("ECONNREFUSED", asyncio.open_connection, host, port)
    server:start_serving()
    server:start_serving()
    assert.is_true(server:is_serving())
    local conn <close> = asyncio.open_connection(host, port)
    assert.is_nil(conn:read(1))
    server:close()
    assert.is_false(server:is_serving())
    local ok, err = pcall(server.start_serving, server)
    assert.is_false(ok)
    assert.matches("the server is closed", err)
  end)

  it_runs("a client may connect and be gone before the handler runs", function()
    local seen <const> = asyncio.get_running_loop():create_future()
    local server <close>, host, port = serve(function(reader, writer)
      local data <const> = reader:read()
      writer:close()
      seen:set_result(data)
    end)
    local conn <const> = asyncio.open_connection(host, port)
    conn:write("bye")
    conn:close()
    assert.equal("bye", seen:await())
    server:close()
  end)

  it_runs("a handler may be any value that can be called", function()
    local handler <const> = setmetatable({}, { __call = function(_, _, writer)
      writer:write("called")
      writer:close()
    end })
    local server <close>, host, port = serve(handler)
    local conn <close> = asyncio.open_connection(host, port)
    assert.equal("called", conn:read())
    server:close()
  end)

  it("waits at top level", function()
    local loop <const> = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    local server <const> = asyncio.start_server(function(reader, writer)
      writer:write(reader:readline())
      writer:close()
    end, "127.0.0.1", 0)
    local conn <close> = asyncio.open_connection(server:sockets()[1]:getsockname())
    conn:write("top\n")
    assert.equal("top\n", conn:read())
    server:close()
    asyncio.set_event_loop(nil)
    loop:close()
  end)

  it_runs("wrong arguments", function(loop)
    local function refuses(pattern, ...)
      local ok, err = pcall(...)
      assert.is_false(ok)
      assert.matches(pattern, err)
    end
    local start_server <const> = asyncio.start_server
    refuses("#1.*function expected, got no value", start_server)
    refuses("#1.*function expected, got string", start_server, "x")
    refuses("#2.*string expected, got number", start_server, nothing, 1)
    refuses("#2.*list of hosts is empty", start_server, nothing, {}, 0)
    refuses("#2.*list of hosts %(strings%) expected", start_server, nothing, { 1 }, 0)
    refuses("#2.*zero byte", start_server, nothing, "a\0b", 0)
    refuses("#2.*zero byte", start_server, nothing, { "a\0b" }, 0)
    refuses("#3.*number expected, got no value", start_server, nothing, "127.0.0.1")
    refuses("#3.*out of range", start_server, nothing, "127.0.0.1", 65536)
    refuses("#4.*table expected", start_server, nothing, "127.0.0.1", 0, 1)
    refuses("#4.*unknown option 'backlogg'", start_server, nothing, "127.0.0.1", 0,
      { backlogg = 1 })
    refuses("#4.*TLS is not supported", start_server, nothing, "127.0.0.1", 0, { ssl = {} })
    refuses("#4.*option 'limit': integer expected", start_server, nothing, "127.0.0.1", 0,
      { limit = {} })
    refuses("#4.*option 'backlog': out of range", start_server, nothing, "127.0.0.1", 0,
      { backlog = -1 })
    refuses("#4.*option 'reuse_port': boolean expected", start_server, nothing, "127.0.0.1", 0,
      { reuse_port = 1 })
    refuses("#4.*option 'family': invalid value", start_server, nothing, "127.0.0.1", 0,
      { family = "x" })
    local server <close> = serve(nothing)
    for _, method in ipairs {
      "start_serving", "serve_forever", "close", "wait_closed", "close_clients", "abort_clients",
        "sockets", "is_serving",
      "get_loop",
    } do
      refuses("#1.*asyncio.Server expected, got no value", server[method])
      refuses("#1.*asyncio.Server expected", server[method], loop)
    end
  end)
end)

describe("Server, a handler that fails", function()
  it_runs("B12: has its connection closed, and is reported (cpython 110894)", function(loop)
    local reports <const> = collect_reports(loop)
    local function fails_here() error({ "an error object" }) end
    local server <close>, host, port = serve(function(_, writer)
      writer:write("before")
      asyncio.sleep(0)
      fails_here()
    end)
    local conn <close> = asyncio.open_connection(host, port)
    assert.equal("before", conn:read())
    assert.equal(1, #reports)
    assert.same({ "an error object" }, reports[1].exception)
    assert.matches("handler of a connection", reports[1].message)
    assert.matches("fails_here", reports[1].traceback)
    assert.matches("asyncio.Stream", tostring(reports[1].stream))
    collectgarbage()
    assert.equal(1, #reports)
    assert.is_true(server:is_serving())
  end)

  it_runs("is cancelled: its connection is closed (test_unhandled_cancel)", function(loop)
    local reports <const> = collect_reports(loop)
    local task
    local server <close>, host, port = serve(function(reader)
      task = asyncio.current_task()
      reader:read()
    end)
    local conn <close> = asyncio.open_connection(host, port)
    asyncio.sleep(0.01)
    task:cancel()
    assert.is_nil(conn:read())
    assert.is_true(task:cancelled())
    assert.same({}, reports)
    server:close()
  end)

  it_runs("B13: is cancelled while it drains: nothing is reported (aiohttp 12281)", function(loop)
    local reports <const> = collect_reports(loop)
    local tasks <const> = {}
    local server <close>, host, port = serve(function(_, writer)
      tasks[1] = asyncio.current_task()
      while true do
        writer:write(("x"):rep(1000000))
        writer:drain()
      end
    end)
    local conn <close> = asyncio.open_connection(host, port)
    asyncio.sleep(0.05)
    tasks[1]:cancel()
    asyncio.sleep(0.01)
    assert.is_true(tasks[1]:cancelled()) -- and nobody has awaited it
    tasks[1] = nil
    conn:abort()
    asyncio.sleep(0.01)
    collectgarbage()
    collectgarbage()
    assert.same({}, reports)
    server:close()
    server:wait_closed()
  end)

  it_runs("after it closed the connection itself", function(loop)
    local reports <const> = collect_reports(loop)
    local server <close>, host, port = serve(function(_, writer)
      writer:close()
      error("late")
    end)
    local conn <close> = asyncio.open_connection(host, port)
    assert.is_nil(conn:read())
    asyncio.sleep(0)
    assert.equal(1, #reports)
    assert.matches("late", reports[1].exception)
    server:close()
  end)

  it_runs("with an error in a <close> variable: the last error is reported", function(loop)
    local reports <const> = collect_reports(loop)
    local server <close>, host, port = serve(function()
      local _ <close> = setmetatable({}, { __close = function()
        asyncio.sleep(0)
        error("from close", 0)
      end })
      error("first", 0)
    end)
    local conn <close> = asyncio.open_connection(host, port)
    assert.is_nil(conn:read())
    assert.equal(1, #reports)
    assert.equal("from close", reports[1].exception)
    server:close()
  end)

  it_runs("because its connection was closed by the server: nothing is reported", function(loop)
    local reports <const> = collect_reports(loop)
    local server <close>, host, port = serve(function(reader) reader:read() end)
    local one <close> = asyncio.open_connection(host, port)
    asyncio.sleep(0.01)
    server:close_clients()
    assert.is_nil(one:read())
    local two <close> = asyncio.open_connection(host, port)
    asyncio.sleep(0.01)
    server:abort_clients()
    pcall(two.read, two)
    asyncio.sleep(0.01)
    assert.same({}, reports)
    server:close()
    server:wait_closed()
  end)

  it_runs("is a task of its own, whose function is the handler", function(loop)
    local reports <const> = collect_reports(loop)
    local function my_handler()
      asyncio.sleep(0)
      error("in my handler")
    end
    local server <close>, host, port = serve(my_handler)
    local conn <close> = asyncio.open_connection(host, port)
    assert.is_nil(conn:read())
    asyncio.sleep(0)
    assert.equal(1, #reports)
    local frames = select(2, reports[1].traceback:gsub("\n", ""))
    assert.is_true(frames <= 5, reports[1].traceback)
    server:close()
  end)

  it_runs("with an eager task factory", function(loop)
    local reports <const> = collect_reports(loop)
    loop:set_task_factory(asyncio.eager_task_factory)
    local server <close>, host, port = serve(function(_, writer)
      writer:write("eager")
      error("and out", 0)
    end)
    local conn <close> = asyncio.open_connection(host, port)
    assert.equal("eager", conn:read())
    asyncio.sleep(0)
    assert.equal("and out", reports[1].exception)
    server:close()
  end)

  it_runs("of a server whose task factory fails: the connection is closed, the server goes on",
    function(loop)
    local reports <const> = collect_reports(loop)
    local server <close>, host, port = serve(function(_, writer)
      writer:write("fine")
      writer:close()
    end)
    local conn <close> = asyncio.open_connection(host, port)
    loop:set_task_factory(function() error("no task today", 0) end)
    asyncio.sleep(0.02)
    loop:set_task_factory(nil)
    assert.equal("fine", conn:read())
    local sock <close> = asyncio.socket()
    loop:set_task_factory(function() error("no task today", 0) end)
    sock:connect(host, port)
    assert.is_false(pcall(function() assert(sock:recv(1)) end))
    loop:set_task_factory(nil)
    assert.equal("no task today", reports[#reports].exception)
    local last <close> = asyncio.open_connection(host, port)
    assert.equal("fine", last:read())
    server:close()
  end)

  it_runs("one that returns leaves the connection open until it is collected", function()
    local server <close>, host, port = serve(function(_, writer) writer:write("hello") end)
    local conn <close> = asyncio.open_connection(host, port)
    assert.equal("hello", conn:read(100))
    local ended <const> = start(conn, "read")
    asyncio.sleep(0.02)
    collectgarbage()
    collectgarbage()
    assert.is_nil(ended:await())
    server:close()
  end)

  it_runs("is shown under its own name", function()
    local shown
    local function my_handler() shown = tostring(asyncio.current_task()) end
    local server <close>, host, port = serve(my_handler)
    local conn <close> = asyncio.open_connection(host, port)
    asyncio.sleep(0.02)
    assert.matches("server_spec", shown)
    conn:close()
    server:close()
  end)
end)

describe("serve_forever", function()
  it_runs("cancelled: the server is closed (test_start_server_1)", function()
    local server <const>, host, port = serve(function(_, writer) writer:close() end,
      { start_serving = false })
    local task <const> = start(server, "serve_forever")
    assert.is_true(server:is_serving())
    local conn <close> = asyncio.open_connection(host, port)
    assert.is_nil(conn:read())
    local ok, err = pcall(server.serve_forever, server)
    assert.is_false(ok)
    assert.matches("already awaited", err)
    task:cancel()
    assert_cancelled(task)
    assert.is_false(server:is_serving())
    assert.same({}, server:sockets())
    assert_code("ECONNREFUSED", asyncio.open_connection, host, port)
  end)

  it_runs("B12: cancelled with a client connected, returns (cpython 123720)", function()
    local server <const>, host, port = serve(function(reader) reader:read() end)
    local task <const> = start(server, "serve_forever")
    local conn <close> = asyncio.open_connection(host, port)
    asyncio.sleep(0.01)
    task:cancel()
    assert_cancelled(task)
    conn:write("the connection is still there")
    conn:drain()
  end)

  it_runs("ends with CancelledError when the server is closed, as in asyncio", function()
    local server <const> = serve(nothing)
    local task <const> = start(server, "serve_forever")
    server:close()
    assert_cancelled(task)
    local ok, err = pcall(server.serve_forever, server)
    assert.is_false(ok)
    assert.matches("the server is closed", err)
  end)
end)

describe("Server, closing", function()
  it_runs("wait_closed waits for the server and for its connections (test_wait_closed_basic)",
    function()
    local release <const> = asyncio.Event()
    local server <const>, host, port = serve(function(_, writer)
      release:wait()
      writer:close()
    end)
    local waiting <const> = start(server, "wait_closed")
    asyncio.sleep(0)
    assert.is_false(waiting:done())
    local conn <close> = asyncio.open_connection(host, port)
    asyncio.sleep(0.02)
    server:close()
    asyncio.sleep(0.02)
    assert.is_false(waiting:done())
    release:set()
    waiting:await()
    server:wait_closed()
    assert.is_nil(conn:read())
  end)

  it_runs("wait_closed does not wait when nobody is connected (test_wait_closed_race)", function()
    local server <const> = serve(nothing)
    local waiting <const> = start(server, "wait_closed")
    waiting:cancel()
    assert_cancelled(waiting)
    server:close()
    server:close()
    server:wait_closed()
  end)

  it_runs("close_clients closes them, and what was written is sent (test_close_clients)", function()
    local started <const> = asyncio.get_running_loop():create_future()
    local server <const>, host, port = serve(function(reader, writer)
      writer:write(("x"):rep(3000000))
      started:set_result(true)
      local ok, err = pcall(reader.read, reader)
      assert(not ok and err.code == "ECANCELED")
    end)
    local conn <close> = asyncio.open_connection(host, port)
    started:await()
    server:close()
    server:close_clients()
    assert.equal(3000000, #conn:read())
    server:wait_closed()
  end)

  it_runs("abort_clients does not wait for anything (test_abort_clients)", function()
    local started <const> = asyncio.get_running_loop():create_future()
    local server <const>, host, port = serve(function(_, writer)
      writer:write(("x"):rep(30000000))
      started:set_result(true)
      pcall(writer.drain, writer)
    end)
    local conn <close> = asyncio.open_connection(host, port)
    started:await()
    assert.matches("clients:1", tostring(server))
    server:close()
    server:abort_clients()
    server:wait_closed()
    assert.matches("%[closed, clients:0%]", tostring(server))
    local size = 0
    while true do
      local ok, data = pcall(conn.read, conn, 65536)
      if not ok or not data then break end
      size = size + #data
    end
    assert.is_true(size < 30000000)
  end)

  it_runs("close leaves clients alone", function()
    local server <const>, host, port = serve(function(reader, writer)
      for line in reader:lines("L") do writer:write(line) end
      writer:close()
    end)
    local conn <close> = asyncio.open_connection(host, port)
    conn:write("one\n")
    assert.equal("one\n", conn:readline())
    server:close()
    conn:write("two\n")
    assert.equal("two\n", conn:readline())
    assert_code("ECONNREFUSED", asyncio.open_connection, host, port)
  end)

  it_runs("closed while a connection is being handed out", function(loop)
    local handled = 0
    local server <const>, host, port = serve(function() handled = handled + 1 end)
    local conn <const> = asyncio.socket()
    local connecting <const> = spawn(conn.connect, conn, host, port)
    loop:call_soon(function() server:close() end)
    pcall(asyncio.await, connecting)
    asyncio.sleep(0.02)
    assert.is_true(handled <= 1)
    conn:close()
    server:wait_closed()
  end)

  -- Stop listening, give the handlers time, then cut off those who are left.
  local function stop(server, deadline)
    server:close()
    local ok, err = asyncio.pcall(asyncio.timeout, deadline, server.wait_closed, server)
    if ok then return "all done" end
    assert.is_true(asyncio.is(err, asyncio.TimeoutError), tostring(err))
    server:abort_clients()
    server:wait_closed()
    return "aborted"
  end

  it_runs("gracefully: handlers have until the deadline, then they are aborted", function(loop)
    local reports <const> = collect_reports(loop)
    local ended <const> = {}
    local server <const>, host, port = serve(function(reader, writer)
      local ok, line = pcall(reader.readline, reader)
      ended[#ended + 1] = ok and line or line.code
      if ok then writer:write(line:upper()) end
      writer:close()
    end)
    local quick <close> = asyncio.open_connection(host, port)
    local slow <close> = asyncio.open_connection(host, port)
    quick:write("a request that ")
    slow:write("never the whole ")
    asyncio.sleep(0.02)
    local before <const> = loop:time()
    local stopped <const> = spawn(stop, server, 0.1)
    asyncio.sleep(0.02)
    assert.is_false(server:is_serving())
    assert_code("ECONNREFUSED", asyncio.open_connection, host, port)
    quick:write("was under way\n")
    assert.equal("A REQUEST THAT WAS UNDER WAY\n", quick:read())
    assert.is_false(stopped:done())
    assert.equal("aborted", stopped:await())
    assert.is_true(loop:time() - before >= 0.1)
    asyncio.sleep(0) -- the handler is told
    assert.same({ "a request that was under way\n", "ECANCELED" }, ended)
    assert.is_false(pcall(slow.readexactly, slow, 1))
    assert.same({}, reports)
  end)

  it_runs("gracefully: nobody is aborted who is done in time", function()
    local server <const>, host, port = serve(function(_, writer)
      asyncio.sleep(0.03)
      writer:write("done")
      writer:close()
    end)
    local conn <close> = asyncio.open_connection(host, port)
    asyncio.sleep(0.01)
    assert.equal("all done", stop(server, 10))
    assert.equal("done", conn:read())
  end)

  it_runs("<close> closes it", function()
    local seen
    do
      local server <close> = serve(nothing)
      seen = server
    end
    assert.is_false(seen:is_serving())
  end)

  it_runs("its sockets refuse accept; closing one by hand is no harm", function()
    local server <close> = serve(nothing)
    local sock <const> = server:sockets()[1]
    local ok, err = pcall(sock.accept, sock)
    assert.is_false(ok)
    assert.matches("a server accepts", err)
    sock:close()
    server:close()
    server:wait_closed()
  end)

  it_runs("get_loop, tostring", function(loop)
    local server <close> = serve(nothing, { start_serving = false })
    assert.equal(loop, server:get_loop())
    assert.matches("^<asyncio.Server 0x%x+ %[not serving, clients:0%]>$", tostring(server))
    server:start_serving()
    assert.matches("%[serving", tostring(server))
  end)

  it("a server outlives the end of its loop", function()
    local server, conn
    asyncio.run(function()
      local host, port
      server, host, port = serve(function(reader) reader:read() end)
      conn = asyncio.open_connection(host, port)
      asyncio.sleep(0.01)
    end)
    assert.is_false(server:is_serving())
    assert.is_true(conn:is_closing())
    server:close_clients()
    server:close()
    assert.has_error(function() server:start_serving() end)
    local other <const> = serve
    asyncio.run(function()
      local mine <close> = other(nothing)
      local ok, err = pcall(server.wait_closed, server)
      assert.is_false(ok)
      assert.matches("another event loop", err)
      assert.is_true(mine:is_serving())
    end)
  end)

  it_runs("__gc by hand closes it", function()
    local server <const>, host, port = serve(function(reader) reader:read() end)
    local conn <close> = asyncio.open_connection(host, port)
    asyncio.sleep(0.01)
    getmetatable(server).__gc(server)
    getmetatable(server).__gc(server)
    getmetatable(server).__gc(conn)
    assert.is_false(server:is_serving())
    server:wait_closed()
  end)
end)

describe("Server, its life", function()
  it_runs("B16: one that nobody refers to serves on (cpython 91887)", function()
    local host, port = select(2, serve(function(_, writer)
      writer:write("here")
      writer:close()
    end))
    collectgarbage()
    collectgarbage()
    local conn <close> = asyncio.open_connection(host, port)
    assert.equal("here", conn:read())
  end)

  it("keeps a main task that waits for ever from being a deadlock", function()
    local result <const> = helper.run_script([[
      local asyncio = require "asyncio"
      asyncio.run(function()
        local server = asyncio.start_server(function() end, "127.0.0.1", 0)
        asyncio.create_task(function() asyncio.sleep(0.1) os.exit(7, true) end)
        asyncio.get_running_loop():create_future():await()
      end)
    ]])
    assert.equal("", result.err)
    assert.equal(7, result.status)
  end)

  it("descriptors run out while accepting: reported, then it goes on", function()
    if UNDER_VALGRIND then return pending("valgrind limits descriptors in its own way") end
    local result <const> = helper.run_script([[
      local asyncio = require "asyncio"
      asyncio.run(function()
        local loop = asyncio.get_running_loop()
        local reports = 0
        loop:set_exception_handler(function(_, context)
          reports = reports + 1
          if reports == 1 then
            print(context.message)
            print(context.exception.code, (tostring(context.server):match("serving")))
          end
        end)
        local server = asyncio.start_server(function(reader, writer)
          writer:write("served")
          writer:close()
        end, "127.0.0.1", 0)
        local client = asyncio.socket()
        local held = {}
        while true do
          local ok, s = pcall(asyncio.socket)
          if not ok then break end
          held[#held + 1] = s
        end
        client:connect(server:sockets()[1]:getsockname())
        local clock = os.clock()
        asyncio.sleep(0.3)
        print("reports", reports, os.clock() - clock < 0.2 and "quiet" or "busy")
        for _, s in ipairs(held) do s:close() end
        print(client:read())
      end)
    ]], { env = "ulimit -n 40;" })
    assert.equal("", result.err)
    assert.equal("a server cannot accept connections, it will try again\nEMFILE\tserving\n"
      .. "reports\t1\tquiet\nserved\n", result.out)
  end)

  it_runs("many connections at once, and all are gone afterwards", function()
    local before <const> = asyncio.socket()
    local fd <const> = before:fileno()
    before:close()
    do
      local server <const>, host, port = serve(function(reader, writer)
        writer:write(reader:readexactly(4))
        writer:close()
      end, { backlog = 1000 })
      local count <const> = helper.scale(400, 10)
      local tasks <const> = {}
      for i = 1, count do
        tasks[i] = spawn(function()
          local conn <close> = asyncio.open_connection(host, port)
          conn:write("ping")
          assert.equal("ping", conn:read())
        end)
      end
      asyncio.gather(table.unpack(tasks))
      server:close()
      server:wait_closed()
    end
    asyncio.sleep(0)
    local after <close> = asyncio.socket()
    assert.equal(fd, after:fileno())
  end)

  -- Half of the descriptors are in this process, half in that of the clients.
  it("ten thousand idle connections", function()
    if UNDER_VALGRIND then return pending("valgrind limits descriptors in its own way") end
    local limit <const> = io.popen("ulimit -H -n")
    local most <const> = limit:read("n") or math.huge -- or "unlimited"
    limit:close()
    local count <const> = math.floor(math.min(helper.scale(10000, 50), most - 100))
    local client <const> = helper.temporary_file [[
      local asyncio = require "asyncio"
      local port, count = math.tointeger(arg[1]), math.tointeger(arg[2])
      asyncio.run(function()
        local conns = {}
        local function connect()
          while #conns < count do
            local conn = asyncio.socket()
            conns[#conns + 1] = conn
            conn:connect("127.0.0.1", port)
          end
        end
        local tasks = {}
        for i = 1, 50 do tasks[i] = connect end
        asyncio.gather(tasks)
        asyncio.sleep(0.5) -- nothing happens; the server looks what it costs
        for _, conn in ipairs(conns) do conn:write("ping") end
        for _, conn in ipairs(conns) do assert(conn:readexactly(4) == "ping") end
        for _, conn in ipairs(conns) do
          conn:setsockopt("linger", 0) -- no port is to be left in TIME_WAIT
          conn:abort()
        end
      end)
    ]]
    local script <const> = ([[
      local asyncio = require "asyncio"
      asyncio.run(function()
        local loop = asyncio.get_running_loop()
        local connected, served, spent = 0, 0, 0
        local server = asyncio.start_server(function(reader, writer)
          connected = connected + 1
          writer:write(reader:readexactly(4))
          served = served + 1
          asyncio.pcall(reader.read, reader)
          writer:close()
        end, "127.0.0.1", 0, { backlog = 1000 })
        local _, port = server:sockets()[1]:getsockname()
        local client = loop:run_in_executor(nil, "os.execute", CLIENT .. port .. " COUNT")
        repeat asyncio.sleep(0.01) until connected == COUNT or client:done()
        collectgarbage()
        local clock = os.clock()
        asyncio.sleep(0.3)
        spent = os.clock() - clock
        print(client:await())
        print(connected, served, spent < 0.1 and "quiet" or spent)
        server:close()
        server:wait_closed()
      end)
    ]]):gsub("%u%u%u%u%u+", { COUNT = ("%d"):format(count),
      CLIENT = ("%q"):format(("%s %s "):format(helper.lua_command(), client)) })
    local result <const> = helper.run_script(script,
      { env = ("ulimit -S -n %d;"):format(count + 100), seconds = 60 })
    os.remove(client)
    assert.equal("", result.err)
    assert.equal(("true\texit\t0\n%d\t%d\tquiet\n"):format(count, count), result.out)
  end)

  -- uvloop 201, copas 151
  it("B20: a thousand connects and disconnects with timeouts armed leave nothing", function()
    asyncio.run(function()
      local loop <const> = asyncio.get_running_loop()
      local server <const>, host, port = serve(function(reader, writer)
        local ok, data = pcall(function() return asyncio.timeout(100, reader.read, reader) end)
        writer:close()
        assert(ok and data == nil)
      end)
      local function round(n)
        for _ = 1, n do
          local function connect() return (asyncio.open_connection(host, port)) end
          local conn <close> = asyncio.wait_for(connect, 100)
          local _ = conn
        end
        asyncio.sleep(0.05)
        collectgarbage()
        collectgarbage()
        return collectgarbage("count"), helper.resident()
      end
      local first <const> = asyncio.socket()
      local n <const> = helper.scale(1000, 10)
      local warm <const>, resident <const> = round(n)
      local later <const>, resident_later <const> = round(n)
      assert.is_true(later < warm + 100, later - warm)
      if resident and PLAIN then
        assert.is_true(resident_later < resident + 1024 * 1024, resident_later - resident)
      end
      local last <const> = asyncio.socket()
      assert.equal(first:fileno() + 1, last:fileno())
      first:close()
      last:close()
      server:close()
      assert.equal(loop, server:get_loop())
    end)
  end)
end)
