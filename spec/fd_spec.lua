-- SPDX-License-Identifier: MIT
-- Foreign descriptors: handlers and waits on what the library has not opened, and two libraries
-- with loops of their own that run beside ours.

local asyncio <const> = require "asyncio"
local helper <const> = require "spec.helper"
local posix <const> = require "spec.posix"

local get_running_loop <const> = asyncio.get_running_loop
local wait_readable <const>, wait_writable <const> = asyncio.wait_readable, asyncio.wait_writable

local function count_descriptors()
  local n = 0
  for fd = 0, 1000 do n = n + (posix.is_open(fd) and 1 or 0) end
  return n
end

-- For `it`: f in a task; afterwards no more descriptors are open than before.
local function inside(f, uncounted)
  return function()
    collectgarbage()
    local before <const> = count_descriptors()
    asyncio.run(function() asyncio.timeout(20 * helper.SLOW, f, get_running_loop()) end)
    collectgarbage()
    if not uncounted then assert.equal(before, count_descriptors()) end
  end
end

local function turns(n)
  for _ = 1, n or 3 do asyncio.sleep(0) end
end

local function refuses(message, f, ...)
  local ok, err = pcall(f, ...)
  assert.is_false(ok)
  assert.truthy(tostring(err):find(message, 1, true), tostring(err))
  return err
end

local fails <const> = require "spec.on_loop"(it, assert).assert_code

local function close_all(...)
  for _, fd in ipairs { ... } do posix.close(fd) end
end

asyncio.run(turns) -- what libuv opens for a process

describe("wait_readable and wait_writable", function()
  it("wait for a number, a file, and objects with a method", inside(function()
    local r <const>, w <const> = posix.pipe()
    local order <const> = {}
    for _, fd in ipairs { r, { fileno = function() return r end },
      { pollfd = function() return r end }, setmetatable({}, { __index = {
        getfd = function() return r end } }) } do
      local t <const> = asyncio.create_task(function()
        assert.equal(0, select("#", wait_readable(fd)))
        order[#order + 1] = posix.read(r, 1)
      end)
      asyncio.sleep(0.005)
      posix.write(w, "x")
      t:await()
    end
    assert.equal("xxxx", table.concat(order))
    wait_writable(w)
    local pipe <const> = io.popen("echo hello")
    wait_readable(pipe)
    assert.equal("hello", pipe:read())
    pipe:close()
    close_all(r, w)
  end))

  it("work on whatever the system can poll", inside(function()
    local fifo <const> = os.tmpname()
    os.remove(fifo)
    posix.mkfifo(fifo)
    local both <const> = posix.open(fifo, "rw")
    local a <const>, b <const> = posix.socketpair()
    local master <const>, terminal <const> = posix.pty()
    local kinds <const> = {
      { "a fifo", both, both }, { "a socket", a, b }, { "a pseudo-terminal", master, terminal },
      { "its other side", terminal, master }, -- the last: what it gets is echoed
    }
    for _, kind in ipairs(kinds) do
      local name <const>, r <const>, w <const> = table.unpack(kind)
      wait_writable(w)
      local t <const> = asyncio.create_task(wait_readable, r)
      turns()
      assert.is_false(t:done(), name)
      posix.write(w, "x\n")
      t:await()
      assert.matches("^x\r?\n$", posix.read(r, 10))
    end
    os.remove(fifo)
    close_all(both, a, b, master, terminal)
  end))

  it("run the loop at top level", function()
    local r <const>, w <const> = posix.pipe()
    posix.write(w, "x")
    wait_readable(r)
    wait_writable(w)
    close_all(r, w)
    asyncio.get_event_loop():close()
    asyncio.set_event_loop(nil)
  end)

  it("never set O_NONBLOCK on the description", inside(function(loop)
    local a <const>, b <const> = posix.socketpair()
    local t <const> = asyncio.create_task(wait_readable, a)
    loop:add_writer(a, loop.remove_writer, loop, a)
    assert.is_false(posix.is_nonblocking(a))
    turns()
    assert.is_false(posix.is_nonblocking(a))
    posix.set_nonblocking(a, true)
    posix.write(b, "x")
    t:await()
    turns()
    assert.is_true(posix.is_nonblocking(a))
    close_all(a, b)
  end))

  it("queue on a descriptor, first come, first served", inside(function()
    local r <const>, w <const> = posix.pipe()
    local order, tasks <const> = "", {}
    for i = 1, 4 do
      tasks[i] = asyncio.create_task(function()
        wait_readable(r)
        order = order .. i .. posix.read(r, 1)
      end)
    end
    turns()
    tasks[2]:cancel()
    for _, text in ipairs { "a", "bc" } do
      posix.write(w, text)
      asyncio.sleep(0.01)
    end
    asyncio.wait(tasks)
    assert.equal("1a3b4c", order)
    close_all(r, w)
  end))

  it("B4: hand on what came for a task that is cancelled in the same turn", inside(function()
    local r <const>, w <const> = posix.pipe()
    local first <const> = asyncio.create_task(wait_readable, r)
    local second <const> = asyncio.create_task(wait_readable, r)
    turns()
    posix.write(w, "x")
        -- the poll wakes the first, which another entry of that turn cancels
    local canceller <const> = asyncio.create_task(function() first:cancel() end)
    asyncio.await(canceller)
    pcall(first.await, first)
    second:await()
    close_all(r, w)
  end))

  it("are cancelled, and leave the descriptor as it was", inside(function(loop)
    local r <const>, w <const> = posix.pipe()
    for _ = 1, helper.scale(100, 5) do
      local ok, err = pcall(asyncio.timeout, 0, wait_readable, r)
      assert.is_false(ok)
      assert.is_true(asyncio.is(err, asyncio.TimeoutError))
    end
    local t <const> = asyncio.create_task(wait_readable, r)
    turns()
    t:cancel("enough")
    local ok, err = pcall(t.await, t)
    assert.is_false(ok)
    assert.equal("enough", err.message)
    assert.is_false(loop:remove_reader(r))
    posix.write(w, "x")
    wait_readable(r)
    close_all(r, w)
  end))

  it("see the end, and errors, as something to read", inside(function()
    local r, w = posix.pipe()
    posix.close(w)
    wait_readable(r)
    assert.equal("", posix.read(r, 1))
    posix.close(r)
    r, w = posix.pipe()
    posix.close(r)
    wait_writable(w) -- the system reports an error condition: the write tells which
    assert.is_nil((posix.write(w, "x")))
    wait_writable(w)
    posix.close(w)
  end))

  it("wait both ways at once, and each is told alone", inside(function()
    local a <const>, b <const> = posix.socketpair()
    posix.set_nonblocking(a, true)
    posix.set_nonblocking(b, true)
    while posix.write(a, ("x"):rep(4096)) do asyncio.sleep(0) end
    local reading <const> = asyncio.create_task(wait_readable, a)
    local writing <const> = asyncio.create_task(wait_writable, a)
    asyncio.sleep(0.01)
    assert.is_false(reading:done() or writing:done())
    posix.write(b, "y")
    reading:await()
    assert.is_false(writing:done())
    while not writing:done() do
      posix.read(b, 65536)
      asyncio.sleep(0)
    end
    close_all(a, b)
  end))

  it("refuse plain files, /dev/null, and what is no descriptor", inside(function(loop)
    local file <const> = assert(io.open("Makefile"))
    local err <const> = fails("EPERM", wait_readable, file)
    assert.matches("plain file", tostring(err), 1, true)
    fails("EPERM", loop.add_reader, loop, file, print)
    file:close()
    fails("EBADF", wait_readable, file)
    local null <const> = assert(io.open("/dev/null"))
    fails("EPERM", wait_writable, null)
    null:close()
    fails("EBADF", wait_readable, 1000000)
    fails("EBADF", loop.add_writer, loop, 1000000, print)
    fails("EBADF", wait_readable, { fileno = function() return -1 end })
    refuses("out of range", wait_readable, -1)
    refuses("descriptor (integer, file", wait_readable, "0")
    refuses("no integer representation", wait_readable, 0.5)
    refuses("method 'pollfd' gave no descriptor but a table", wait_readable,
      { pollfd = function() return {} end })
    refuses("oops", wait_readable, { pollfd = function() error("oops") end })
    refuses("function expected", loop.add_reader, loop, 0)
  end))

  it("refuse the descriptor of a Stream of ours", inside(function(loop)
    local server <close> = asyncio.start_server(function() end, "127.0.0.1", 0)
    local conn <close> = asyncio.open_connection(server:sockets()[1]:getsockname())
    local err <const> = fails("EEXIST", wait_readable, conn)
    assert.matches("Stream", tostring(err), 1, true)
    fails("EEXIST", loop.add_reader, loop, conn:fileno(), print)
    fails("EEXIST", loop.add_writer, loop, server:sockets()[1], print)
    conn:close()
    fails("EBADF", wait_readable, conn)
  end))
end)

describe("a descriptor that is closed behind our back", function()
  it("is an error for those who wait, and is left alone then", inside(function()
    local r <const>, w <const> = posix.pipe()
    local tasks <const> = {}
    for i = 1, 3 do tasks[i] = asyncio.create_task(wait_readable, r) end
    turns()
    tasks[2]:cancel()
    posix.close(r)
    for i = 1, 3 do
      local ok, err = pcall(tasks[i].await, tasks[i])
      assert.is_false(ok)
      if i == 2 then
        assert.is_true(asyncio.is(err, asyncio.CancelledError))
      else
        assert.equal("EBADF", err.code)
        assert.equal("wait_readable", err.op)
      end
    end
    assert.is_nil((posix.write(w, "x"))) -- nobody holds the reading end any more
    posix.close(w)
  end))

  it("does not keep the loop busy although a duplicate is open", inside(function(loop)
    local r <const>, w <const> = posix.pipe()
    local copy <const> = posix.dup(r)
    local t <const> = asyncio.create_task(wait_readable, r)
    local reported
    loop:set_exception_handler(function(_, context) reported = context end)
    loop:add_reader(copy, error)
    loop:add_reader(r, error)
    asyncio.sleep(0.02) -- it is looked for once in a tick of some milliseconds
    assert.is_true(loop:remove_reader(copy))
    posix.close(r)
    posix.write(w, "x") -- readable, for the duplicate
    fails("EBADF", t.await, t)
    turns()
    assert.matches("closed while a function waited", reported.message, 1, true)
    assert.equal("EBADF", reported.exception.code)
    local begun <const> = os.clock()
    asyncio.sleep(0.1 * helper.SLOW)
    assert.is_true(os.clock() - begun < 0.05 * helper.SLOW)
    close_all(copy, w)
  end))

  it("is closed at once: we hold nothing open", inside(function(loop)
    loop:set_exception_handler(function() end)
    local pipe <const> = io.popen("cat >/dev/null", "w")
    loop:add_writer(pipe, function() end)
    wait_writable(pipe)
    assert.is_true(pipe:close()) -- waits for the child, which waits for the end
    asyncio.sleep(0.01)
  end))

  it("B5: is another one when its number is used again", inside(function()
    local r <const>, w <const> = posix.pipe()
    local r2 <const>, w2 <const> = posix.pipe()
    local stale <const> = asyncio.create_task(wait_readable, r)
    turns()
    posix.dup2(r2, r) -- closes the first pipe's end
    local fresh <const> = asyncio.create_task(wait_readable, r)
    posix.write(w2, "x")
    fails("EBADF", stale.await, stale)
    fresh:await()
    assert.equal("x", posix.read(r, 1))
    close_all(r, w, r2, w2)
  end))

  it("is found out also when the loop never sleeps", inside(function(loop)
    local r <const>, w <const> = posix.pipe()
    local t <const> = asyncio.create_task(wait_readable, r)
    turns()
    local busy = true
    local function spin() if busy then loop:call_soon(spin) end end
    spin()
    posix.close(r)
    fails("EBADF", t.await, t)
    busy = false
    posix.close(w)
  end))

  it("is reported for a handler, which is forgotten", inside(function(loop)
    local r <const>, w <const> = posix.pipe()
    local reports = 0
    loop:set_exception_handler(function(_, context)
      reports = reports + 1
      assert.equal("EBADF", context.exception.code)
    end)
    loop:add_reader(r, error)
    loop:add_writer(r, error)
    posix.close(r)
    asyncio.sleep(0.01)
    assert.equal(1, reports)
    assert.is_false(loop:remove_reader(r))
    close_all(w)
  end))
end)

describe("add_reader and add_writer", function()
  it("call their functions in the loop's turn while there is something", inside(function(loop)
    local r <const>, w <const> = posix.pipe()
    local var <const> = asyncio.ContextVar("var")
    local came <const> = asyncio.Queue()
    var:set("of the adder")
    assert.equal(0, select("#", loop:add_reader(r, function(...)
      came:put_nowait { posix.read(r, 1), var:get(), ... }
    end, 1, nil, "x")))
    var:set("later")
    posix.write(w, "abc")
    for _, c in ipairs { "a", "b", "c" } do
      assert.same({ c, "of the adder", 1, nil, "x" }, came:get())
    end
    turns()
    assert.is_true(came:empty())
    assert.is_true(loop:remove_reader(r))
    assert.is_false(loop:remove_reader(r))
    posix.write(w, "d")
    turns()
    assert.is_true(came:empty())
    close_all(r, w)
  end))

  it("replace the function that was there, and leave the other way alone", inside(function(loop)
    local a <const>, b <const> = posix.socketpair()
    local calls <const> = { 0, 0, 0 }
    local function count(i) calls[i] = calls[i] + 1 end
    loop:add_reader(a, count, 1)
    loop:add_writer(a, count, 3)
    posix.write(b, "x")
    loop:add_reader(a, count, 2)
    asyncio.sleep(0.005)
    assert.equal(0, calls[1])
    assert.is_true(calls[2] > 0 and calls[3] > 0)
    assert.is_true(loop:remove_writer(a))
    local n <const> = calls[3]
    turns()
    assert.equal(n, calls[3])
    assert.is_true(loop:remove_reader(a))
    close_all(a, b)
  end))

  it("may be removed by their own function, by each other, and while they are due",
    inside(function(loop)
      local a <const>, b <const> = posix.socketpair()
      local calls = 0
      loop:add_reader(a, function()
        calls = calls + 1
        assert.is_true(loop:remove_reader(a))
        assert.is_true(loop:remove_writer(a))
        collectgarbage()
      end)
      loop:add_writer(a, function()
        calls = calls + 1
        assert.is_true(loop:remove_writer(a))
        assert.is_true(loop:remove_reader(a))
        collectgarbage()
      end)
      posix.write(b, "x")
      asyncio.sleep(0.005)
      assert.equal(1, calls)
      close_all(a, b)
    end))

  it("report what the function raises, and go on", inside(function(loop)
    local r <const>, w <const> = posix.pipe()
    local reports = 0
    loop:set_exception_handler(function(_, context)
      reports = reports + 1
      assert.equal("in the handler", context.exception)
    end)
    loop:add_reader(r, function()
      posix.read(r, 1)
      error("in the handler", 0)
    end)
    posix.write(w, "xyz")
    while reports < 3 do asyncio.sleep(0) end
    loop:remove_reader(r)
    close_all(r, w)
  end))

  it("serve tasks that wait for the same descriptor, too", inside(function(loop)
    local r <const>, w <const> = posix.pipe()
    local called = false
    loop:add_reader(r, function() called = true end)
    local t <const> = asyncio.create_task(wait_readable, r)
    posix.write(w, "x")
    t:await()
    asyncio.sleep(0)
    assert.is_true(called)
    loop:remove_reader(r)
    close_all(r, w)
  end))

  it("end with the loop", function()
    local r <const>, w <const> = posix.pipe()
    local loop <const> = asyncio.new_event_loop()
    loop:add_reader(r, error)
    loop:add_writer(w, function() end)
    local task <const> = loop:create_task(function() wait_readable(r) end)
    loop:run_until_complete(function() turns() end)
    loop:close()
    assert.is_true(task:cancelled())
    assert.is_false(loop:remove_reader(r))
    refuses("closed", loop.add_reader, loop, r, print)
    local other <const> = asyncio.new_event_loop()
    other:run_until_complete(function()
      posix.write(w, "x")
      wait_readable(r)
    end)
    other:close()
    close_all(r, w)
  end)

  it("take any number of descriptors", inside(function(loop)
    local ends <const>, calls = {}, 0
    for i = 1, helper.scale(300, 10) do
      local r, w = posix.pipe()
      ends[i] = { r, w }
      loop:add_reader(r, function()
        calls = calls + 1
        loop:remove_reader(r)
      end)
    end
    for _, pair in ipairs(ends) do posix.write(pair[2], "x") end
    while calls < #ends do asyncio.sleep(0.001) end
    for _, pair in ipairs(ends) do close_all(pair[1], pair[2]) end
  end))
end)

describe("a wait on a descriptor", function()
  it("survives that its coroutine is closed by hand", inside(function()
    local r <const>, w <const> = posix.pipe()
    local thread
    local t <const> = asyncio.create_task(function()
      thread = coroutine.running()
      wait_readable(r)
    end)
    turns()
    coroutine.close(thread)
    posix.write(w, "x")
    turns(10)
    t:cancel()
    pcall(t.await, t)
    wait_readable(r)
    close_all(r, w)
  end))

  it("is no deadlock, but lets one be seen afterwards", function()
    local r <const>, w <const> = posix.pipe()
    local ok, err = pcall(asyncio.run, function()
      pcall(asyncio.timeout, 0.01, wait_readable, r)
      asyncio.get_running_loop():create_future():await()
    end)
    assert.is_false(ok)
    assert.is_true(asyncio.is(err, asyncio.DeadlockError))
    close_all(r, w)
  end)

  it("is dropped by os.exit in its midst", function()
    local result <const> = helper.run_script [[
      local asyncio <const> = require "asyncio"
      asyncio.run(function()
        local pipe <const> = require "spec.posix".pipe()
        local loop <const> = asyncio.get_running_loop()
        asyncio.create_task(asyncio.wait_readable, pipe)
        loop:add_reader(pipe, print)
        asyncio.sleep(0.01)
        os.exit(3, true)
      end)
    ]]
    assert.equal("", result.err)
    assert.equal(3, result.status)
  end)
end)

-- ---- other people's loops

local has_cqueues <const>, cqueues = pcall(require, "cqueues")
local has_curl <const>, curl = pcall(require, "spec.curl")

-- What drives a cqueues controller from a task.
local function drive(controller)
  while not controller:empty() do
    local timeout <const> = controller:timeout()
    local events <const> = controller:events()
    local wait = (events or "r"):find("w") and wait_writable or wait_readable
    if timeout then
      pcall(asyncio.timeout, timeout, wait, controller)
    else
      wait(controller)
    end
    assert(controller:step(0))
  end
end

describe("a cqueues controller", function()
  if not has_cqueues then
    pending("Debian's package lua-cqueues is not installed")
    return
  end

  it("runs in a task beside others", inside(function()
    local controller <const>, condition = cqueues.new(), require("cqueues.condition").new()
    local trace <const>, ticks = {}, 0
    controller:wrap(function()
      for i = 1, 3 do
        cqueues.sleep(0.01)
        trace[#trace + 1] = "slept " .. i
      end
      condition:signal()
    end)
    controller:wrap(function()
      condition:wait()
      trace[#trace + 1] = "signalled"
    end)
    local ticker <const> = asyncio.create_task(function()
      while true do
        asyncio.sleep(0.001)
        ticks = ticks + 1
      end
    end)
    drive(controller)
    ticker:cancel()
    assert.same({ "slept 1", "slept 2", "slept 3", "signalled" }, trace)
    assert.is_true(ticks >= 3)
    controller:close()
  end))

  it("talks to a server of ours", inside(function()
    local socket <const> = require "cqueues.socket"
    local server <close> = asyncio.start_server(function(reader, writer)
      for line in reader:lines() do writer:write(line:upper() .. "\n") end
      writer:close()
    end, "127.0.0.1", 0)
    local host <const>, port <const> = server:sockets()[1]:getsockname()
    local controller <const>, got = cqueues.new(), {}
    local count <const> = helper.scale(20, 3)
    for i = 1, count do
      controller:wrap(function()
        local conn <const> = socket.connect(host, port)
        conn:write("line " .. i .. "\n")
        conn:flush()
        got[i] = conn:read("*l")
        conn:close()
      end)
    end
    drive(controller)
    for i = 1, count do assert.equal("LINE " .. i, got[i]) end
    controller:close()
  end, "cqueues keeps some"))
end)

-- A multi handle of libcurl on the loop: its sockets and its timer.
local function curl_on(loop)
  local multi, timer, finished = nil, nil, asyncio.Queue()
  local function collect()
    while true do
      local url, err, body = multi:done()
      if not url then return end
      finished:put_nowait { url = url, err = err, body = body }
    end
  end
  local function act(...)
    multi:act(...)
    collect()
  end
  multi = curl.multi(function(fd, what)
    if what == "in" or what == "inout" then
      loop:add_reader(fd, act, fd, true, false)
    else
      loop:remove_reader(fd)
    end
    if what == "out" or what == "inout" then
      loop:add_writer(fd, act, fd, false, true)
    else
      loop:remove_writer(fd)
    end
  end, function(milliseconds)
    if timer then timer:cancel() end
    timer = milliseconds >= 0 and loop:call_later(milliseconds / 1000, act)
  end)
  return multi, finished
end

describe("a libcurl multi handle", function()
  if not has_curl then
    pending("spec.curl is not built: there are no headers of libcurl, or the library is missing")
    return
  end

  it("makes transfers from a server of ours, beside it", inside(function(loop)
    local server <close> = asyncio.start_server(function(reader, writer)
      local path <const> = reader:readline():match("^GET (%S+)")
      repeat local line = reader:readline() until line == "\r\n"
      asyncio.sleep(0.01)
      local body <const> = path:rep(1000)
      writer:write(("HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n"):format(
        #body))
      writer:write(body)
      writer:close()
    end, "127.0.0.1", 0)
    local _, port = server:sockets()[1]:getsockname()
    local multi <const>, finished <const> = curl_on(loop)
    local count <const> = helper.scale(20, 3)
    for i = 1, count do multi:add(("http://127.0.0.1:%d/%d"):format(port, i)) end
    local seen = 0
    for _ = 1, count do
      local transfer <const> = finished:get()
      assert.is_nil(transfer.err)
      assert.equal(("/" .. transfer.url:match("%d+$")):rep(1000), transfer.body)
      seen = seen + 1
    end
    assert.equal(count, seen)
    multi:close()
    server:close()
    server:wait_closed()
  end))

  it("learns that nobody listens", inside(function(loop)
    local sock <const> = asyncio.socket()
    sock:bind("127.0.0.1", 0)
    local _, port = sock:getsockname()
    sock:close()
    local multi <const>, finished <const> = curl_on(loop)
    multi:add(("http://127.0.0.1:%d/"):format(port))
    assert.matches("connect", finished:get().err)
    multi:close()
  end))
end)
