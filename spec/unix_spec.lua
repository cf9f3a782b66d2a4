-- SPDX-License-Identifier: MIT
-- Unix stream sockets: asyncio.socket("unix"), open_unix_connection, start_unix_server.

local asyncio <const> = require "asyncio"
local helper <const> = require "spec.helper"
local on_loop <const> = require "spec.on_loop"(it, assert)

local it_runs <const> = on_loop.it_runs
local start <const> = on_loop.start
local assert_code <const> = on_loop.assert_code

local function socket_path()
  local path <const> = os.tmpname()
  os.remove(path)
  return path
end

local function exists(path)
  return os.execute(("test -e %s"):format(path)) == true
end

local function plain(path)
  return (path:gsub("%p", "%%%0"))
end

local LONG <const> = "/tmp/" .. ("x"):rep(200)

local function echo(reader, writer)
  for line in reader:lines() do writer:write(line:upper() .. "\n") end
  writer:close()
end

describe("a unix server", function()
  it_runs("and its client", function()
    local path <const> = socket_path()
    local server <close> = asyncio.start_unix_server(echo, path)
    assert.is_true(server:is_serving())
    assert.equal(path, (server:sockets()[1]:getsockname()))
    local reader, writer = asyncio.open_unix_connection(path)
    assert.equal(reader, writer)
    writer:write("hello\n")
    assert.equal("HELLO", reader:read("l"))
    assert.equal(path, (reader:getpeername()))
    assert.equal(path, reader:get_extra_info("peername"))
    assert.matches("connected, " .. plain(path), tostring(reader))
    writer:write_eof()
    assert.is_nil(reader:read("l"))
    writer:close()
    writer:wait_closed()
    assert.is_nil(reader:get_extra_info("peername"))
  end)

  it_runs("many clients, many bytes, both ways", function()
    local path <const> = socket_path()
    local server <close> = asyncio.start_unix_server(function(reader, writer)
      while true do
        local data <const> = reader:read(65536)
        if not data then break end
        writer:write(data)
        writer:drain()
      end
      writer:close()
    end, path)
    local size <const> = helper.scale(1 << 20, 70000)
    local tasks <const> = {}
    for i = 1, helper.scale(20, 2) do
      tasks[i] = asyncio.create_task(function()
        local conn <close> = asyncio.open_unix_connection(path)
        local text <const> = string.char(i + 64):rep(size)
        asyncio.create_task(function()
          conn:sendall(text)
          conn:write_eof()
        end)
        assert(conn:read("a") == text)
      end)
    end
    asyncio.gather(table.unpack(tasks))
    server:close()
    server:wait_closed()
  end)

  it_runs("takes limits and marks at both ends", function()
    local path <const> = socket_path()
    local theirs <const> = asyncio.get_running_loop():create_future()
    local server <close> = asyncio.start_unix_server(function(reader, writer)
      theirs:set_result(select(2, pcall(reader.readline, reader)), writer:get_write_buffer_limits())
      writer:write(("x"):rep(30))
      writer:close()
    end, path, { limit = 10, high_water = 5000 })
    local conn <close> = asyncio.open_unix_connection(path,
      { limit = 11, high_water = 8, low_water = 7 })
    assert.same({ 7, 8 }, { conn:get_write_buffer_limits() })
    conn:write(("x"):rep(30))
    local err <const>, low, high = theirs:await()
    assert.is_true(asyncio.is(err, asyncio.LimitOverrunError), tostring(err))
    assert.same({ 1250, 5000 }, { low, high })
    local ok, mine = pcall(conn.readline, conn)
    assert.is_false(ok)
    assert.is_true(asyncio.is(mine, asyncio.LimitOverrunError), tostring(mine))
    local sock <const> = asyncio.socket("unix")
    sock:connect(path)
    local same <close> = asyncio.open_unix_connection(nil, { sock = sock, high_water = 4 })
    assert.equal(sock, same)
    assert.same({ 1, 4 }, { same:get_write_buffer_limits() })
    assert.is_true(server:is_serving())
  end)

  it_runs("has room for as many as its backlog says", function()
    local waiting <const> = {}
    for _, backlog in ipairs { 0, 20 } do
      local path <const> = socket_path()
      local server <close> = asyncio.start_unix_server(function(_, w) w:close() end, path,
        { backlog = backlog })
      local tasks <const> = {}
      for i = 1, 10 do tasks[i] = asyncio.create_task(asyncio.open_unix_connection, path) end
      asyncio.sleep(0)
      waiting[backlog] = 0
      for _, task in ipairs(tasks) do
        if not task:done() then waiting[backlog] = waiting[backlog] + 1 end
      end
      asyncio.gather(tasks) -- the others come later
      assert.is_true(server:is_serving())
    end
    assert.same({ [0] = 9, [20] = 0 }, waiting)
  end)

  it_runs("its file goes when it closes", function()
    local path <const> = socket_path()
    local server <const> = asyncio.start_unix_server(echo, path)
    assert.is_true(exists(path))
    server:close()
    assert.is_false(exists(path))
    local other <const> = asyncio.start_unix_server(echo, path, { cleanup_socket = false })
    other:close()
    assert.is_true(exists(path))
    os.remove(path)
  end)

  it("its file goes with its loop", function()
    local path <const> = socket_path()
    local result <const> = helper.run_script(([[
      local asyncio = require "asyncio"
      asyncio.run(function()
        local server = asyncio.start_unix_server(print, %q)
        assert(os.execute("test -S " .. %q))
        if arg[1] then os.exit(3, true) end
      end)
    ]]):format(path, path), { arguments = "now" })
    assert.equal(3, result.status, result.err)
    assert.is_false(exists(path))
  end)

  it_runs("takes the place of a socket file, and leaves the one that took its own", function()
    local path <const> = socket_path()
    do
      local dead <close> = asyncio.socket("unix")
      dead:bind(path)
    end
    assert.is_true(exists(path))
    local first <const> = asyncio.start_unix_server(function(_, w) w:write("1") w:close() end, path)
    local second <const> = asyncio.start_unix_server(function(_, w) w:write("2") w:close() end,
      path)
    first:close()
    assert.is_true(exists(path))
    local conn <close> = asyncio.open_unix_connection(path)
    assert.equal("2", conn:read("a"))
    second:close()
    assert.is_false(exists(path))
  end)

  it_runs("a plain file in the way stays", function()
    local path <const> = helper.temporary_file("mine")
    local err <const> = assert_code("EADDRINUSE", asyncio.start_unix_server, echo, path)
    assert.matches("bind " .. plain(path), tostring(err))
    local file <close> = assert(io.open(path))
    assert.equal("mine", file:read("a"))
    os.remove(path)
  end)

  it_runs("paths that are no good", function()
    assert_code("ENAMETOOLONG", asyncio.start_unix_server, echo, LONG)
    assert_code("ENAMETOOLONG", asyncio.open_unix_connection, LONG)
    assert_code("ENOENT", asyncio.start_unix_server, echo, "/no such directory/socket")
    local path <const> = socket_path()
    local err <const> = assert_code("ENOENT", asyncio.open_unix_connection, path)
    assert.matches("connect " .. plain(path), tostring(err))
    assert.equal(path, err.address)
    local dead <const> = asyncio.socket("unix")
    dead:bind(path)
    assert_code("ECONNREFUSED", asyncio.open_unix_connection, path)
    dead:close()
    assert_code("ECONNREFUSED", asyncio.open_unix_connection, path)
    os.remove(path)
    local dgram <close> = asyncio.socket("unix", "dgram")
    dgram:bind(path)
    assert_code("EPROTOTYPE", asyncio.open_unix_connection, path)
    os.remove(path)
  end)

  it_runs("permissions", function()
    local path <const> = socket_path()
    local server <close> = asyncio.start_unix_server(echo, path, { mode = tonumber("600", 8) })
    local pipe <close> = assert(io.popen("stat -c %a " .. path))
    assert.equal("600", pipe:read("l"))
    local conn <close> = asyncio.open_unix_connection(path)
    conn:write("x\n")
    assert.equal("X", conn:read("l"))
    assert.is_true(server:is_serving())
  end)

  it("a path without permission", function()
    -- root may do everything, unless it gives up the right to
    local pipe <close> = assert(io.popen("id -u"))
    local as <const> = pipe:read("n") == 0
      and "setpriv --bounding-set -dac_override,-dac_read_search" or ""
    local directory <const> = socket_path()
    os.execute(("mkdir %s && chmod 000 %s"):format(directory, directory))
    local script <const> = helper.temporary_file(([[
      local asyncio = require "asyncio"
      asyncio.run(function()
        for _, f in ipairs { function() asyncio.start_unix_server(print, %q) end,
          function() asyncio.open_unix_connection(%q) end } do
          local ok, err = pcall(f)
          io.write(tostring(ok or err.code), " ")
        end
      end)
    ]]):format(directory .. "/s", directory .. "/s"))
    local run <close> = assert(io.popen(("%s %s %s 2>&1"):format(as, helper.lua_command(), script)))
    local out <const> = run:read("a")
    os.execute(("rm -rf %s %s"):format(directory, script))
    if as ~= "" and not out:find("^E") then
      return pending("root cannot give up its rights here: " .. out)
    end
    assert.equal("EACCES EACCES ", out)
  end)

  it_runs("abstract names", function()
    local name <const> = "\0asyncio " .. math.random(1 << 40)
    local server <close> = asyncio.start_unix_server(echo, name)
    assert.equal(name, (server:sockets()[1]:getsockname()))
    local conn <close> = asyncio.open_unix_connection(name)
    conn:write("x\n")
    assert.equal("X", conn:read("l"))
    assert.equal(name, (conn:getpeername()))
    assert.matches("@asyncio %d+", tostring(conn))
    assert_code("EADDRINUSE", asyncio.start_unix_server, echo, name)
    server:close()
    local err <const> = assert_code("ECONNREFUSED", asyncio.open_unix_connection, name)
    assert.equal("@" .. name:sub(2), err.address)
  end)

  it_runs("knows who its client is", function()
    local path <const> = socket_path()
    local asked <const> = asyncio.get_running_loop():create_future()
    local server <close> = asyncio.start_unix_server(function(_, writer)
      asked:set_result(writer:get_extra_info("peercred"), writer:get_extra_info("peername", "none"),
        writer:get_extra_info("sockname"))
      writer:close()
    end, path)
    local conn <close> = asyncio.open_unix_connection(path)
    local who, peer, mine = asked:await()
    local pipe <close> = assert(io.popen("id -u; id -g; echo $PPID"))
    assert.equal(pipe:read("n"), who.uid)
    assert.equal(pipe:read("n"), who.gid)
    assert.equal(pipe:read("n"), who.pid)
    assert.equal("none", peer)
    assert.equal(path, mine)
    assert.same(who, conn:get_extra_info("peercred"))
    local a <const> = asyncio.testing.stream_pair()
    assert.is_nil(a:get_extra_info("peercred"))
    assert.is_true(server:is_serving())
  end)

  it_runs("handlers, close_clients and wait_closed", function()
    local path <const> = socket_path()
    local server <const> = asyncio.start_unix_server(function(reader) reader:read("a") end, path)
    local conn <close> = asyncio.open_unix_connection(path)
    conn:write("x")
    asyncio.sleep(0.01)
    server:close()
    local task <const> = start(server, "wait_closed")
    asyncio.sleep(0.01)
    assert.is_false(task:done())
    server:close_clients()
    task:await()
    assert.is_nil(conn:read())
  end)

  it_runs("a client that finds the server busy waits until there is room", function()
    local path <const> = socket_path()
    local listener <const> = asyncio.socket("unix")
    listener:bind(path)
    listener:listen(0)
    local clients <const> = {}
    for i = 1, 4 do clients[i] = asyncio.create_task(asyncio.open_unix_connection, path) end
    asyncio.sleep(0.02)
    assert.is_false(clients[4]:done())
    clients[3]:cancel()
    for _ = 1, 3 do
      local conn <close> = listener:accept()
      conn:write("hello")
    end
    for _, i in ipairs { 1, 2, 4 } do
      local conn <close> = clients[i]:await()
      assert.equal("hello", conn:read(5))
    end
    assert.is_true(clients[3]:cancelled())
    -- and one whose server goes away meanwhile is told
    local first <close> = asyncio.open_unix_connection(path)
    local late <const> = asyncio.create_task(asyncio.open_unix_connection, path)
    local sock <const> = asyncio.socket("unix")
    local own <const> = start(sock, "connect", path)
    asyncio.sleep(0.01)
    assert.is_false(late:done())
    sock:close()
    assert_code("ECANCELED", own.await, own)
    listener:close()
    assert_code("ECONNREFUSED", late.await, late)
    assert_code("ECONNRESET", first.recv, first, 1)
    os.remove(path)
  end)

  it("waits at top level", function()
    local loop <const> = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    local path <const> = socket_path()
    local server <const> = asyncio.start_unix_server(echo, path)
    local conn <const> = asyncio.open_unix_connection(path)
    conn:write("top\n")
    assert.equal("TOP", conn:read("l"))
    conn:close()
    server:close()
    asyncio.set_event_loop(nil)
    loop:close()
    assert.is_false(exists(path))
  end)

  it_runs("wrong arguments", function()
    local function refuses(pattern, fn, ...)
      local ok, err = pcall(fn, ...)
      assert.is_false(ok)
      assert.matches(pattern, err)
    end
    refuses("#1.*function expected", asyncio.start_unix_server, 1, "x")
    refuses("#2.*string expected", asyncio.start_unix_server, echo)
    refuses("#2.*zero byte", asyncio.start_unix_server, echo, "a\0b")
    refuses("#3.*unknown option 'port'", asyncio.start_unix_server, echo, "x", { port = 1 })
    refuses("#3.*option 'mode'.*out of range", asyncio.start_unix_server, echo, "x",
      { mode = 4096 })
    refuses("#3.*TLS", asyncio.start_unix_server, echo, "x", { ssl = true })
    refuses("#3.*option 'sock'", asyncio.start_unix_server, echo, nil, { sock = 1 })
    refuses("#3.*path must be nil", asyncio.start_unix_server, echo, "x",
      { sock = asyncio.socket("unix") })
    refuses("#1.*string expected", asyncio.open_unix_connection)
    refuses("#2.*unknown option", asyncio.open_unix_connection, "x", { family = "inet" })
    refuses("#2.*TLS", asyncio.open_unix_connection, "x", { ssl = true })
  end)
end)

describe("a unix socket", function()
  it_runs("binds, listens, accepts, connects", function(loop)
    local path <const> = socket_path()
    local listener <close> = asyncio.socket("unix")
    assert.is_nil((listener:getsockname()))
    listener:bind(path)
    listener:listen()
    local task <const> = start(listener, "accept")
    local a <close> = asyncio.socket("unix", "stream")
    local mine <const> = socket_path()
    a:bind(mine)
    a:connect(path)
    local conn <const>, peer = task:await()
    local _ <close> = conn
    assert.equal(mine, peer)
    assert.equal(mine, (conn:getpeername()))
    a:sendall("hello")
    assert.equal("hello", conn:recv(10))
    conn:shutdown("write")
    assert.is_nil(a:recv(10))
    assert_code("EISCONN", a.connect, a, path)
    local b <close> = asyncio.socket("unix")
    loop:sock_connect(b, path)
    local other <close>, nobody = loop:sock_accept(listener)
    assert.is_nil(nobody)
    assert.is_true(other:fileno() >= 0)
    loop:sock_sendall(b, "x")
    assert.equal("x", loop:sock_recv(other, 1))
    os.remove(path)
    os.remove(mine)
  end)

  it_runs("errors name its path", function()
    local path <const> = socket_path()
    local a <close> = asyncio.socket("unix")
    assert_code("ENAMETOOLONG", a.bind, a, LONG)
    assert_code("ENOENT", a.connect, a, path)
    a:bind(path)
    local err <const> = assert_code("EADDRINUSE", a.bind, a, path)
    assert.matches("bind " .. plain(path), tostring(err))
    a:listen()
    local client <close> = asyncio.open_unix_connection(path)
    local _conn <close> = a:accept()
    local reading <const> = start(client, "read")
    client:write("x")
    client:abort()
    assert_code("ECANCELED", reading.await, reading)
    local _other <close> = asyncio.open_unix_connection(path)
    local accepted <const> = a:accept()
    local task <const> = start(accepted, "recv", 1)
    accepted:close()
    local closed <const> = assert_code("ECANCELED", task.await, task)
    assert.matches("was closed", tostring(closed))
    os.remove(path)
  end)

  it_runs("a peer that closes in mid-write", function()
    local path <const> = socket_path()
    local server <close> = asyncio.start_unix_server(function(reader, writer)
      reader:read(1)
      writer:abort()
    end, path)
    local conn <close> = asyncio.open_unix_connection(path)
    local big <const> = ("x"):rep(1 << 20)
    local ok, err = pcall(function()
      while true do conn:sendall(big) end
    end)
    assert.is_false(ok)
    assert.is_true(err.code == "EPIPE" or err.code == "ECONNRESET", err.code)
    assert.is_true(server:is_serving())
  end)

  it_runs("many connects and disconnects leave no descriptor behind", function()
    local path <const> = socket_path()
    local server <close> = asyncio.start_unix_server(echo, path)
    local function lowest()
      local sock <close> = asyncio.socket("unix")
      return sock:fileno()
    end
    local function once()
      local conn <close> = asyncio.open_unix_connection(path)
      conn:write("x\n")
      asyncio.timeout(10 * helper.SLOW, conn.read, conn, "l")
    end
    once()
    asyncio.sleep(0.01)
    local before <const> = lowest()
    for _ = 1, helper.scale(200, 3) do once() end
    asyncio.sleep(0.01)
    assert.equal(before, lowest())
    assert.is_true(server:is_serving())
  end)
end)
