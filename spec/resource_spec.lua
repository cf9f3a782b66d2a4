-- SPDX-License-Identifier: MIT
-- Who holds what, and what happens to sockets in flight when their loop, or the Lua state, closes.
-- Scripts that end in the middle of things run in processes of their own; under ASan and valgrind
-- these look for leaks and freed memory.

local asyncio <const> = require "asyncio"
local helper <const> = require "spec.helper"

-- What every script has: a loop full of everything that can be in flight. (Threads are waited for:
-- see thread_spec.)
local BUSY <const> = [[
  local asyncio = require "asyncio"

  -- Where it is slow, clients may be collected before it is over: that is no error here.
  local function serve(reader, writer)
    asyncio.pcall(function()
      writer:write(("x"):rep(MUCH // 4))
      writer:drain()
      reader:read()
    end)
  end

  -- Unix sockets, files and directories. The directory is removed at once: all of it is open; what
  -- is looked up again and again has an abstract name.
  local function busy_with_paths()
    local fs = asyncio.fs
    local dir = fs.mkdtemp()
    local server = asyncio.start_unix_server(serve, dir .. "/s", { cleanup_socket = false })
    for _ = 1, 3 do
      local conn = asyncio.open_unix_connection(dir .. "/s")
      asyncio.create_task(conn.sendall, conn, ("y"):rep(MUCH))
      asyncio.create_task(conn.readexactly, conn, 1000000000)
    end
    asyncio.create_task(server.serve_forever, server)
    local full = asyncio.socket("unix")
    full:bind("\0full " .. dir)
    full:listen(0)
    for _ = 1, 3 do asyncio.create_task(asyncio.open_unix_connection, full:getsockname()) end
    local receiver = asyncio.socket("unix", "dgram")
    receiver:bind("\0dgram " .. dir)
    local receiver_name = receiver:getsockname()
    asyncio.create_task(function()
      local sender = asyncio.socket("unix", "dgram")
      while true do sender:sendto("more than it takes", receiver_name) end
    end)
    asyncio.create_task(function()
      local file = asyncio.open("/dev/zero", "rb")
      while true do file:read(100000) end
    end)
    local big = asyncio.open(dir .. "/f", "w+")
    big:truncate(MUCH)
    local conn = asyncio.open_unix_connection(dir .. "/s")
    asyncio.create_task(asyncio.sendfile, big, conn)
    for _ = 1, 2 do
      asyncio.create_task(function()
        for _ in fs.watch(dir) do asyncio.sleep(0) end
      end)
    end
    asyncio.sleep(0.01)
    assert(os.execute("rm -r " .. dir))
    return full, receiver
  end

  -- Datagrams, child processes, signals, and descriptors of others.
  local function busy_with_descriptors(loop)
    local udp = asyncio.socket("inet", "dgram")
    udp:bind("127.0.0.1", 0)
    for _ = 1, 3 do asyncio.create_task(udp.recvfrom, udp) end
    asyncio.create_task(udp.sendto, udp, "x", "localhost", 9)
    local child = asyncio.create_subprocess_exec("sh", "-c", "exec sleep 100",
      { stdin = "pipe", stdout = "pipe" })
    asyncio.create_task(child.stdin.sendall, child.stdin, ("x"):rep(1000000))
    asyncio.create_task(child.stdout.read, child.stdout)
    asyncio.create_task(child.wait, child)
    loop:add_signal_handler("SIGUSR1", error)
    local posix = require "spec.posix"
    local r, w = posix.pipe()
    asyncio.create_task(asyncio.wait_readable, r)
    loop:add_reader(r, error)
    loop:add_writer(w, function() end)
  end

  local function busy()
    local loop = asyncio.get_running_loop()
    local server = asyncio.start_server(serve, "127.0.0.1", 0)
    local host, port = server:sockets()[1]:getsockname()
    local conns = {}
    for i = 1, 5 do
      local conn = asyncio.open_connection(host, port)
      conns[i] = conn
      asyncio.create_task(function() conn:readexactly(100) conn:readexactly(1000000000) end)
    end
    for _ = 1, 5 do
      asyncio.create_task(function()
        local conn = asyncio.open_connection(host, port)
        conn:sendall(("y"):rep(MUCH))
      end)
    end
    local listener = asyncio.socket()
    listener:bind("127.0.0.1", 0)
    listener:listen(0)
    for _ = 1, 4 do -- some of them hang: the backlog is full
      asyncio.create_task(function() asyncio.open_connection(listener:getsockname()) end)
    end
    local accepting = asyncio.socket()
    accepting:bind("127.0.0.1", 0)
    accepting:listen()
    for _ = 1, 3 do asyncio.create_task(accepting.accept, accepting) end
    for _ = 1, 3 do asyncio.create_task(loop.getaddrinfo, loop, "localhost", "http") end
    asyncio.create_task(server.wait_closed, server)
    asyncio.create_task(server.serve_forever, server)
    local a, b = asyncio.testing.stream_pair()
    asyncio.create_task(a.read, a)
    asyncio.create_task(b.sendall, b, ("z"):rep(1000000))
    asyncio.create_task(conns[1].wait_closed, conns[1])
    held = { busy_with_paths() }
    busy_with_descriptors(loop)
    asyncio.sleep(0.05)
    return conns, server
  end
]]

-- More than the kernel keeps for two ends that do not read.
local MUCH <const> = tostring(helper.scale(20000000, 8000000))

local function run_busy(source, options)
  return helper.run_script(BUSY:gsub("MUCH", MUCH) .. source, options)
end

describe("B14: the state is closed with everything in flight", function()
  it("by os.exit in a task", function()
    local result <const> = run_busy("asyncio.run(function() busy() os.exit(3, true) end)")
    assert.equal("", result.err)
    assert.equal(3, result.status)
  end)

  it("by os.exit in a callback", function()
    local result <const> = run_busy([[
      asyncio.run(function()
        busy()
        asyncio.get_running_loop():call_soon(os.exit, 4, true)
        asyncio.sleep(10)
      end)
    ]])
    assert.equal("", result.err)
    assert.equal(4, result.status)
  end)

  it("by os.exit in a finalizer", function()
    local result <const> = run_busy([[
      asyncio.run(function()
        busy()
        setmetatable({}, { __gc = function() os.exit(5, true) end })
        collectgarbage()
        asyncio.sleep(10)
      end)
    ]])
    assert.equal(5, result.status)
  end)

  it("by the end of the script, the loop not closed", function()
    local result <const> = run_busy([[
      local loop = asyncio.new_event_loop()
      asyncio.set_event_loop(loop)
      keep = { loop:run_until_complete(busy) }
    ]])
    assert.equal("", result.err)
    assert.equal(0, result.status)
  end)

  it("by an error in the main task: run cancels what is left", function()
    local result <const> = run_busy([[
      print(pcall(asyncio.run, function() busy() error("out", 0) end))
    ]])
    assert.equal("", result.err)
    assert.equal("false\tout\n", result.out)
  end)

  it("streams that outlive a loop that was collected", function()
    local result <const> = run_busy([[
      local loop = asyncio.new_event_loop()
      asyncio.set_event_loop(loop)
      local conns = loop:run_until_complete(busy)
      asyncio.set_event_loop(nil)
      loop = nil
      collectgarbage()
      collectgarbage()
      print(conns[1]:is_closing(), pcall(conns[1].write, conns[1], "x"))
    ]])
    assert.equal("", result.err)
    assert.matches("^true\tfalse\tOSError", result.out)
  end)
end)

describe("The loop is closed", function()
  it("with everything in flight: nothing can be used any more, nothing crashes", function()
    local result <const> = run_busy([[
      local loop = asyncio.new_event_loop()
      asyncio.set_event_loop(loop)
      local conns, server = loop:run_until_complete(busy)
      loop:close()
      for _, conn in ipairs(conns) do
        print(conn:is_closing(), conn:fileno())
        conn:close()
        conn:abort()
        print(select(2, pcall(conn.write, conn, "x")).code)
      end
      server:close()
      server:close_clients()
      print(server)
      loop, conns, server = nil, nil, nil
      collectgarbage()
    ]])
    assert.equal("", result.err)
    assert.matches("^true\t%-1\nEBADF\n", result.out)
    assert.equal(0, result.status)
  end)

  it("after it another one works in the same state", function()
    for _ = 1, 3 do
      asyncio.run(function()
        local server <const> = asyncio.start_server(function(reader, writer)
          writer:write(reader:readline())
        end, "127.0.0.1", 0)
        local conn <const> = asyncio.open_connection(server:sockets()[1]:getsockname())
        conn:write("hello\n")
        assert.equal("hello\n", conn:readline())
      end)
    end
  end)

  it("while a stream closes in the background", function()
    local a, b
    asyncio.run(function()
      local function handler(_, writer) b = writer end
      local server <close> = asyncio.start_server(handler, "127.0.0.1", 0)
      a = asyncio.open_connection(server:sockets()[1]:getsockname())
      a:write(("x"):rep(20000000))
      a:close()
      asyncio.sleep(0.01)
      assert.matches("closing", tostring(a))
    end)
    assert.matches("closed", tostring(a))
    assert.matches("closed", tostring(b))
  end)
end)

describe("Collection", function()
  it("a stream in use is held by the task that waits for it", function()
    asyncio.run(function()
      local server <close> = asyncio.start_server(function(_, writer)
        asyncio.sleep(0.02)
        writer:write("late\n")
      end, "127.0.0.1", 0)
      local host, port = server:sockets()[1]:getsockname()
      local task <const> = asyncio.create_task(function()
        return (asyncio.open_connection(host, port)):readline()
      end)
      for _ = 1, 10 do
        asyncio.sleep(0.005)
        collectgarbage()
      end
      assert.equal("late\n", task:await())
    end)
  end)

  it("a connection that nobody refers to is closed", function()
    asyncio.run(function()
      local server <close> = asyncio.start_server(function(reader, writer)
        assert(reader:read() == nil)
        writer:close()
      end, "127.0.0.1", 0)
      asyncio.open_connection(server:sockets()[1]:getsockname())
      collectgarbage()
      collectgarbage()
      server:close()
      server:wait_closed()
    end)
  end)

  it("at any moment changes nothing", function()
    asyncio.run(function()
      local server <close> = asyncio.start_server(function(reader, writer)
        for line in reader:lines("L") do
          collectgarbage("step")
          writer:write(line)
          writer:drain()
        end
        writer:close()
      end, "127.0.0.1", 0)
      local host, port = server:sockets()[1]:getsockname()
      local function client(n)
        local conn <close> = asyncio.open_connection(host, port)
        for i = 1, 20 do
          conn:write(("line %d of %d\n"):format(i, n))
          collectgarbage()
          assert.equal(("line %d of %d\n"):format(i, n), conn:readline())
        end
      end
      asyncio.gather(function() client(1) end, function() client(2) end, function() client(3) end)
    end)
  end)
end)

describe("Memory", function()
  -- Not under a sanitizer or valgrind, which keep what is freed.
  local plain <const> = (os.getenv("SPEC_LUA") or "") == ""

  it("a connection that is idle costs little", function()
    if not helper.resident() then return pending("this system has no /proc") end
    local script <const> = [[
      local asyncio = require "asyncio"
      local function resident()
        local file = io.open("/proc/self/statm")
        local pages = file:read("a"):match("%d+ (%d+)")
        file:close()
        return tonumber(pages) * 4096
      end
      asyncio.run(function()
        local server = asyncio.start_server(function(reader, writer)
          while true do
            local data = reader:read(65536)
            if not data then break end
            writer:write(data)
            writer:drain()
          end
          writer:close()
        end, "127.0.0.1", 0)
        local host, port = server:sockets()[1]:getsockname()
        local keep = {}
        local function connect(n)
          for _ = 1, n do
            local conn = asyncio.socket()
            conn:connect(host, port)
            conn:sendall("hello")
            conn:recv(5)
            keep[#keep + 1] = conn
          end
        end
        connect(50)
        collectgarbage()
        local before = resident()
        connect(COUNT)
        collectgarbage()
        print((resident() - before) // COUNT)
      end)
    ]]
    local count <const> = tostring(helper.scale(400, 20))
    local result <const> = helper.run_script((script:gsub("COUNT", count)))
    assert.equal("", result.err)
    -- both ends of a connection lie in this process, and a task is only on one
    if plain then assert.is_true(tonumber(result.out) < 6000, result.out) end
  end)

  -- A GiB through a reader that is slower than the writer, in a process of its own. Each way gives
  -- the writing and the reading Stream; `send` waits until the writer may go on.
  local TCP <const> = [[
    local listener = asyncio.socket()
    listener:bind("127.0.0.1", 0)
    listener:listen()
    return (asyncio.open_connection(listener:getsockname())), (listener:accept())]]
  local UNIX <const> = [[
    local path = os.tmpname()
    os.remove(path)
    local listener = asyncio.socket("unix")
    listener:bind(path)
    listener:listen()
    local writer = asyncio.open_unix_connection(path)
    os.remove(path)
    return writer, (listener:accept())]]
  local CHILD <const> = [[
    local p = asyncio.create_subprocess_exec("cat", { stdin = "pipe", stdout = "pipe" })
    return p.stdin, p.stdout]]
  local WAYS <const> = {
    ["TCP, write and drain"] = { connect = TCP },
    ["TCP, sendall"] = { connect = TCP, send = "writer:sendall(piece)" },
    ["a unix socket, write and drain"] = { connect = UNIX },
    ["a unix socket, sendall"] = { connect = UNIX, send = "writer:sendall(piece)" },
    ["the pipes of a child, sendall"] = { connect = CHILD, send = "writer:sendall(piece)" },
    ["a pair in memory"] = { connect = "return asyncio.testing.stream_pair()" },
  }
  for name, way in pairs(WAYS) do
    it("a big transfer through a slow reader stays small: " .. name, function()
      if not helper.resident() then return pending("this system has no /proc") end
      local size <const> = helper.scale(plain and 1024 or 100) * 1024 * 1024
      local script <const> = ([[
        local asyncio = require "asyncio"
        local function connect() CONNECT end
        local function resident()
          local file = io.open("/proc/self/statm")
          local pages = file:read("a"):match("%d+ (%d+)")
          file:close()
          return tonumber(pages) * 4096
        end
        asyncio.run(function()
          local writer, reader = connect()
          local piece = ("x"):rep(65536)
          collectgarbage()
          local before, most, got, nap = resident(), 0, 0, 0
          local task = asyncio.create_task(function()
            for _ = 1, SIZE // #piece do SEND end
            writer:close()
          end)
          for part in reader:lines(65536) do
            got = got + #part
            if got >= nap then
              asyncio.sleep(0.005) -- now everything is full
              most = math.max(most, resident())
              nap = got + SIZE // 200
            end
          end
          task:await()
          print(got, most - before)
        end)
      ]]):gsub("%u%u%u%u+", { CONNECT = way.connect, SIZE = ("%d"):format(size),
        SEND = way.send or "writer:write(piece) writer:drain()" })
      local result <const> = helper.run_script(script, { seconds = 60 })
      assert.equal("", result.err)
      local got, growth = result.out:match("^(%d+)\t(%-?%d+)\n$")
      assert.equal(size, tonumber(got))
      if plain then assert.is_true(tonumber(growth) < 8 * 1024 * 1024, growth) end
    end)
  end
end)
