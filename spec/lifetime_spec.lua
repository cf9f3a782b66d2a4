-- SPDX-License-Identifier: MIT
-- What lives how long: pending tasks run on though nobody holds them, finished ones are collected,
-- and a Lua state may be closed from anywhere with anything in flight.

local asyncio <const> = require "asyncio"
local helper <const> = require "spec.helper"

local run <const> = asyncio.testing.run
local scale <const> = helper.scale

local function collect()
  for _ = 1, 3 do collectgarbage() end
end

local function in_task(f)
  return function() return run(f) end
end

describe("a pending task", function()
  it("that nobody references runs on", in_task(function()
    local finished = 0
    for i = 1, scale(1000, 10) do
      asyncio.create_task(function()
        asyncio.sleep(i % 7)
        collectgarbage "step"
        finished = finished + 1
      end)
    end
    collect()
    asyncio.sleep(10)
    assert.equal(scale(1000, 10), finished)
  end))

  it("is held although only its waker knows it", in_task(function()
    -- Both are known only to the future's callbacks and to the task's own stack.
    local log = {}
    local function start()
      local future = asyncio.get_running_loop():create_future()
      asyncio.create_task(function() log[1] = future:await() end)
      asyncio.get_running_loop():call_later(5, function() future:set_result("woken") end)
    end
    start()
    collect()
    asyncio.sleep(1)
    collect()
    asyncio.sleep(10)
    assert.same({ "woken" }, log)
  end))

  it("holds what it will need: locals, arguments, its own thread", in_task(function()
    local seen = setmetatable({}, { __mode = "k" })
    local function start()
      local argument = {}
      seen[argument] = true
      asyncio.create_task(function(a)
        local object = {}
        seen[object] = true
        asyncio.sleep(5)
        return a, object
      end, argument)
    end
    start()
    asyncio.sleep(1)
    collect()
    local count = 0
    for _ in pairs(seen) do count = count + 1 end
    assert.equal(2, count)
    asyncio.sleep(10)
    collect()
    assert.is_nil(next(seen))
  end))
end)

describe("what is finished is collected:", function()
  local function dies(name, make)
    it(name, in_task(function()
      local weak = setmetatable({}, { __mode = "v" })
      local function start() weak[1] = make() end
      start()
      asyncio.sleep(100)
      collect()
      assert.is_nil(weak[1])
    end))
  end

  dies("a task", function() return asyncio.create_task(asyncio.sleep, 1) end)
  dies("a task that failed", function()
    local task = asyncio.create_task(error, "expected")
    task:add_done_callback(task.exception)
    return task
  end)
  dies("a cancelled task", function()
    local task = asyncio.create_task(asyncio.sleep, 1000)
    asyncio.get_running_loop():call_later(1, task.cancel, task)
    return task
  end)
  dies("the results of a task", function()
    local result = {}
    asyncio.create_task(function() return result, result end)
    return result
  end)
  dies("the function of a task", function()
    local upvalue = {}
    local function f() return upvalue end
    asyncio.create_task(f)
    return f
  end)
  dies("a future with callbacks", function()
    local future = asyncio.get_running_loop():create_future()
    future:add_done_callback(function() return future end)
    future:set_result(future)
    return future
  end)
  dies("a pending future", function()
    local future = asyncio.get_running_loop():create_future()
    future:add_done_callback(function() return future end)
    return future
  end)
  dies("a handle", function() return asyncio.get_running_loop():call_soon(function() end) end)
  dies("a timer", function() return asyncio.get_running_loop():call_later(1, function() end) end)
  dies("a cancelled timer", function()
    local timer = asyncio.get_running_loop():call_later(1e6, error)
    timer:cancel()
    return timer
  end)
  dies("a gather", function()
    return asyncio.create_task(function()
      asyncio.gather(function() asyncio.sleep(1) end, function() asyncio.sleep(2) end)
    end)
  end)
  dies("a lock that was waited for", function()
    local lock = asyncio.Lock()
    for _ = 1, 3 do asyncio.create_task(lock.with, lock, asyncio.sleep, 1) end
    return lock
  end)
  it("what a task has waited for, though the task is held", in_task(function()
    local weak = setmetatable({}, { __mode = "v" })
    local function make()
      local queue = asyncio.Queue()
      weak[1] = queue
      local task = asyncio.create_task(queue.get, queue)
      asyncio.sleep(0)
      queue:put(1)
      return task
    end
    local task = make()
    assert.equal(1, task:await())
    collect()
    assert.is_nil(weak[1])
  end))
  dies("what a generator holds", function()
    local object = {}
    local step = asyncio.wrap(function()
      local held = object
      coroutine.yield(asyncio.sleep(1))
      return held
    end)
    asyncio.create_task(step)
    return object
  end)

  it("a loop that was closed", function()
    local weak = setmetatable({}, { __mode = "v" })
    local function make()
      local loop = asyncio.new_event_loop { clock = "virtual" }
      weak[1] = loop
      weak[2] = loop:create_task(asyncio.sleep, 9)
      loop:run_until_complete(asyncio.sleep, 1)
      loop:close()
    end
    make()
    collect()
    assert.is_nil(weak[1])
    assert.is_nil(weak[2])
  end)

  it("a loop that was never closed, with all that was in flight", function()
    local weak = setmetatable({}, { __mode = "v" })
    local function make()
      local loop = asyncio.new_event_loop()
      weak[1] = loop
      loop:run_until_complete(function()
        local server = asyncio.start_server(function(reader) reader:read(1) end, "127.0.0.1", 0)
        local _, port = server:sockets()[1]:getsockname()
        local reader = asyncio.open_connection("127.0.0.1", port)
        weak[2] = asyncio.create_task(reader.read, reader, 1)
        weak[3] = loop:call_later(1000, error)
        asyncio.sleep(0.001)
      end)
    end
    make()
    collect()
    for i = 1, 3 do assert.is_nil(weak[i]) end
  end)

  it("the memory of many tasks, one after the other", function()
    if helper.SCALE < 1 then pending("memory is measured at full size only") end
    local function batch()
      run(function()
        for _ = 1, 20 do
          local tasks = {}
          for i = 1, 1000 do tasks[i] = asyncio.create_task(asyncio.sleep, i % 5) end
          asyncio.gather(tasks)
        end
      end)
      collect()
      return collectgarbage "count"
    end
    batch()
    local before = batch()
    assert.is_true(batch() < before + 64)
  end)
end)

describe("a collection", function()
  it("at any point changes nothing, finalizers included", function()
    local function scenario(collecting)
      local trace = {}
      local function note(what) trace[#trace + 1] = what end
      local function garbage()
        if not collecting then return end
        local loop = asyncio.get_running_loop()
        setmetatable({}, { __gc = function()
          -- Whatever a finalizer may do that has no effect on the others.
          loop:call_soon(function() end):cancel()
          loop:create_future():cancel()
          loop:call_later(5, error):cancel()
          pcall(asyncio.sleep, 0)
          tostring(asyncio.current_task())
          asyncio.all_tasks()
        end })
        collectgarbage()
      end
      run(function()
        local lock, queue = asyncio.Lock(), asyncio.Queue(2)
        local group = {}
        for i = 1, 5 do
          group[i] = asyncio.create_task(function()
            for n = 1, 3 do
              garbage()
              local _ <close> = lock:acquire()
              garbage()
              asyncio.sleep(i / 10)
              garbage()
              queue:put(i * 10 + n)
              note("put " .. i * 10 + n)
            end
          end)
        end
        local consumer = asyncio.create_task(function()
          for v in asyncio.wrap(function()
            while true do
              garbage()
              coroutine.yield(queue:get())
            end
          end) do
            note("got " .. v)
            garbage()
            asyncio.sleep(0.05)
          end
        end)
        asyncio.gather(group)
        asyncio.sleep(10)
        garbage()
        consumer:cancel()
        local ok, err = pcall(consumer.await, consumer)
        note(tostring(ok) .. tostring(err))
      end)
      return table.concat(trace, "\n")
    end
    assert.equal(scenario(false), scenario(true))
  end)

  it("whose finalizers wake, cancel and start tasks", in_task(function()
    local loop = asyncio.get_running_loop()
    local done = 0
    local function finalizer(f) setmetatable({}, { __gc = f }) end
    for _ = 1, scale(50, 3) do
      local future = loop:create_future()
      local waiter = asyncio.create_task(function()
        pcall(future.await, future)
        done = done + 1
      end)
      local sleeper = asyncio.create_task(function()
        pcall(asyncio.sleep, 1000)
        done = done + 1
      end)
      asyncio.sleep(0)
      finalizer(function() future:set_result() end)
      finalizer(function() sleeper:cancel() end)
      finalizer(function() asyncio.create_task(function() done = done + 1 end) end)
      collectgarbage()
      asyncio.sleep(0.1)
      assert.is_true(waiter:done())
    end
    collect()
    asyncio.sleep(1)
    assert.equal(3 * scale(50, 3), done)
  end))
end)

-- ---- the end of a state

-- Fills a loop with work of every kind; `leave` is called where a test says.
local IN_FLIGHT <const> = [[
  local asyncio = require "asyncio"
  local N <const> = %d
  local log = { n = 0 }
  local kept = {} -- else what is unread in a collected connection resets it
  local function fill()
    local loop = asyncio.get_running_loop()
    local lock, event, queue = asyncio.Lock(), asyncio.Event(), asyncio.Queue()
    local server = asyncio.start_server(function(reader, writer)
      writer:write(reader:readline() or "")
      reader:read(1)
      kept[#kept + 1] = reader
    end, "127.0.0.1", 0)
    local _, port = server:sockets()[1]:getsockname()
    local plain = asyncio.socket("inet", "stream")
    plain:bind("127.0.0.1", 0)
    plain:listen()
    asyncio.create_task(plain.accept, plain)
    asyncio.create_task(asyncio.open_connection, "localhost", port)
    for i = 1, N do
      asyncio.create_task(function()
        local _ <close> = setmetatable({}, { __close = function() log.n = log.n + 1 end })
        asyncio.sleep(1000 + i)
      end)
      asyncio.create_task(lock.acquire, lock)
      asyncio.create_task(event.wait, event)
      asyncio.create_task(queue.get, queue)
      asyncio.create_task(asyncio.gather, function() event:wait() end, function() queue:get() end)
      asyncio.create_task(asyncio.wait_for, function() event:wait() end, 1000)
      asyncio.create_task(asyncio.timeout, 1000, event.wait, event)
      asyncio.create_task(asyncio.shield, function() event:wait() end)
      asyncio.create_task(function()
        local tg <close> = asyncio.TaskGroup()
        tg:create_task(asyncio.sleep, 1000)
      end)
      asyncio.create_task(function()
        for _ in asyncio.wrap(function() asyncio.sleep(1000) end) do error "never" end
      end)
      loop:call_later(1000 + i, error, "never")
      loop:create_future():add_done_callback(error)
    end
    for _ = 1, math.min(N, 20) do
      asyncio.create_task(function()
        local reader, writer = asyncio.open_connection("127.0.0.1", port)
        writer:write("hello\n")
        assert(reader:readline() == "hello\n")
        writer:write(("x"):rep(400000))
        reader:read(1)
      end)
    end
    asyncio.sleep(0.05)
    for _ = 1, N do loop:call_soon(rawlen, "soon") end
    for _ = 1, N do asyncio.create_task(rawlen, "soon") end
  end
]]

-- What is done at the place: the state ends there.
local WAYS <const> = {
  ["os.exit(0, true)"] = { code = "os.exit(0, true)", status = 0 },
  ["os.exit(7, true)"] = { code = "os.exit(7, true)", status = 7 },
}

local PLACES <const> = {
  ["a task"] = "asyncio.run(function() fill() leave() end)",
  ["a second task"] = [[
    asyncio.run(function()
      fill()
      asyncio.create_task(function() asyncio.sleep(0.01) leave() end)
      asyncio.sleep(100)
    end)]],
  ["a callback"] = [[
    local loop = asyncio.new_event_loop()
    loop:run_until_complete(fill)
    loop:set_exception_handler(function() end)
    loop:call_later(0, function() leave() end)
    loop:run_forever()]],
  ["a done callback"] = [[
    asyncio.run(function()
      fill()
      asyncio.create_task(function() end):add_done_callback(function() leave() end)
      asyncio.get_running_loop():set_exception_handler(function() end)
      asyncio.sleep(100)
    end)]],
  ["the exception handler"] = [[
    asyncio.run(function()
      fill()
      asyncio.get_running_loop():set_exception_handler(function() leave() end)
      asyncio.get_running_loop():call_soon(error, "x")
      asyncio.sleep(100)
    end)]],
  ["a generator"] = [[
    asyncio.run(function()
      fill()
      asyncio.wrap(function() asyncio.wrap(function() leave() end)() end)()
    end)]],
  ["a foreign coroutine in a task"] = [[
    asyncio.run(function()
      fill()
      coroutine.wrap(function() leave() end)()
    end)]],
  ["a sort in a task"] = [[
    asyncio.run(function()
      fill()
      table.sort({ 3, 2, 1 }, function() leave() end)
    end)]],
  ["a finalizer in a task"] = [[
    asyncio.run(function()
      fill()
      setmetatable({}, { __gc = function() leave() end })
      collectgarbage()
      collectgarbage()
    end)]],
  ["a finalizer while the state is closed"] = [[
    asyncio.get_event_loop():run_until_complete(fill)
    setmetatable({}, { __gc = function() collectgarbage() end })
    leave()]],
  ["a __close in a task"] = [[
    asyncio.run(function()
      local _ <close> = setmetatable({}, { __close = function() leave() end })
      fill()
    end)]],
  ["a __close while the loop closes its tasks"] = [[
    local loop = asyncio.new_event_loop()
    loop:run_until_complete(function()
      asyncio.create_task(function()
        local _ <close> = setmetatable({}, { __close = function() leave() end })
        asyncio.sleep(1000)
      end)
      fill()
    end)
    loop:close()]],
  ["the end of run"] = [[
    asyncio.run(function()
      asyncio.create_task(function()
        pcall(asyncio.sleep, 1000)
        leave()
      end)
      fill()
      for _, task in ipairs(asyncio.all_tasks()) do task:set_name "leaving" end
    end)]],
  ["the main chunk, the loop left open"] = [[
    local loop = asyncio.new_event_loop()
    loop:run_until_complete(fill)
    leave()]],
  ["a coroutine that runs the loop"] = [[
    coroutine.wrap(function()
      asyncio.run(function() fill() leave() end)
    end)()]],
  ["a Runner in a to-be-closed variable"] = [[
    local runner <close> = asyncio.Runner()
    runner:run(function() fill() leave() end)]],
}

local function in_order(t)
  local names = {}
  for name in pairs(t) do names[#names + 1] = name end
  table.sort(names)
  local i = 0
  return function()
    i = i + 1
    return names[i], t[names[i]]
  end
end

local function leaving(way, place, n)
  return IN_FLIGHT:format(n) .. ("local function leave() %s end\n"):format(way) .. place
end

describe("B14: a state is closed with thousands of things in flight, from", function()
  for place, code in in_order(PLACES) do
    for name, way in in_order(WAYS) do
      it(("%s, by %s"):format(place, name), function()
        local result = helper.run_script(leaving(way.code, code, scale(300, 3)))
        assert.equal("", result.out)
        assert(not result.err:find("stack traceback"), result.err:sub(1, 2000))
        assert.equal(way.status, result.status)
      end)
    end
  end

  it("an error in the main chunk", function()
    local place = PLACES["the main chunk, the loop left open"]
    local result = helper.run_script(leaving("error 'the end'", place, scale(300, 3)))
    assert.matches("the end", result.err)
    assert.equal(1, result.status)
  end)

  it("the end of the main chunk", function()
    local result = helper.run_script(leaving("", PLACES["the main chunk, the loop left open"],
      scale(300, 3)))
    assert.equal("", result.err)
    assert.equal(0, result.status)
  end)

  it("an error in the main task: the run ends in order, then the state", function()
    local result = helper.run_script(leaving("error 'the end'", PLACES["a task"], scale(300, 3)))
    assert.matches("the end", result.err)
    assert.equal(1, result.status)
  end)

  it("several loops, open, closed and lost, in turn", function()
    local result = helper.run_script(leaving("", [[
      for i = 1, 6 do
        local loop = asyncio.new_event_loop()
        loop:run_until_complete(fill)
        if i % 3 == 0 then loop:close() elseif i % 3 == 1 then _G["loop" .. i] = loop end
        loop = nil
        collectgarbage()
      end
      print "end"]], scale(30, 2)))
    assert.equal("end\n", result.out)
    assert.equal(0, result.status)
  end)

  it("no task code runs then, nor does any __close of a task", function()
    local result = helper.run_script [[
      local asyncio = require "asyncio"
      local loop = asyncio.new_event_loop()
      loop:create_task(function()
        local _ <close> = setmetatable({}, { __close = function() print "closed" end })
        pcall(asyncio.sleep, 1000)
        print "ran"
      end)
      loop:run_until_complete(asyncio.sleep, 0)
      os.exit(0, true)
    ]]
    assert.equal("", result.out)
    assert.equal(0, result.status)
  end)

  it("finalizers that use the library while the state is closed get errors at most", function()
    local result = helper.run_script [[
      local before = setmetatable({}, { __gc = function(self) self.f() end })
      local asyncio = require "asyncio"
      local loop = asyncio.new_event_loop()
      local task = loop:create_task(asyncio.sleep, 1000)
      local future, lock = loop:create_future(), asyncio.Lock()
      local queue, event = asyncio.Queue(), asyncio.Event()
      local step = asyncio.wrap(function() coroutine.yield() asyncio.sleep(1) end)
      step()
      loop:run_until_complete(asyncio.sleep, 0)
      local server = loop:run_until_complete(asyncio.start_server, print, "127.0.0.1", 0)
      local timer = loop:call_later(100, print)
      local tries = {
        function() task:cancel() end, function() tostring(task) end,
        function() task:traceback() end, function() task:get_coro() end,
        function() future:set_result(1) end,
        function() future:add_done_callback(print) end, function() lock:acquire() end,
        function() queue:put_nowait(1) end, function() event:set() end, function() step() end,
        function() asyncio.sleep(0) end, function() asyncio.sleep(1) end,
        function() asyncio.run(asyncio.sleep, 0) end, function() asyncio.new_event_loop() end,
        function() asyncio.get_event_loop() end, function() loop:run_until_complete(task) end,
        function() asyncio.set_event_loop(nil) end,
        function() loop:run_forever() end, function() loop:call_soon(print) end,
        function() loop:create_task(print) end, function() loop:close() end,
        function() timer:cancel() end, function() server:close() end,
        function() asyncio.socket("inet", "stream") end, function() asyncio.current_task() end,
        function() asyncio.all_tasks(loop) end, function() loop:time() end,
        function() asyncio.create_task(print) end, function() asyncio.gather(print, print) end,
        function() asyncio.TaskGroup() end, function() asyncio.timeout(1) end,
        function() asyncio.ContextVar("x"):set(1) end, function() tostring(loop) end,
        function() asyncio.Runner():run(print) end, function() asyncio.testing.run(print) end,
      }
      local function all()
        for _ = 1, 2 do
          for _, try in ipairs(tries) do pcall(try) end
        end
      end
      before.f = all
      local after = setmetatable({}, { __gc = all })
      keep = { before, after }
    ]]
    assert.equal("", result.err)
    assert.equal(0, result.status)
  end)
end)

describe("under valgrind, no error and no leak after the state was closed from", function()
  local valgrind = helper.SCALE == 1 and (os.getenv("SPEC_LUA") or "") == "" and
    os.execute "command -v valgrind >/dev/null 2>&1"
  for _, place in ipairs { "a task", "a callback", "a finalizer in a task",
    "a __close while the loop closes its tasks", "the main chunk, the loop left open" } do
    it(place, function()
      if not valgrind then pending("valgrind is not installed, or is what runs this already") end
      local script = helper.temporary_file(leaving("os.exit(0, true)", PLACES[place], 3))
      local log = os.tmpname()
      local ok = os.execute(("timeout 120 sh tools/valgrind.sh %s %s >%s 2>&1"):format(
        helper.lua_command(), script, log))
      local file = io.open(log)
      local text = file:read("a")
      file:close()
      os.remove(log)
      os.remove(script)
      assert(ok, text)
    end)
  end
end)

describe("the module", function()
  it("required again after package.loaded was cleared is the same", function()
    local result = helper.run_script [[
      local function fresh()
        for name in pairs(package.loaded) do
          if name:match "^asyncio" then package.loaded[name] = nil end
        end
        collectgarbage()
        return require "asyncio"
      end
      local first = require "asyncio"
      local loop = first.new_event_loop { clock = "virtual" }
      local task = loop:create_task(first.sleep, 5, "slept")
      for _ = 1, 5 do
        local again = fresh()
        assert(again.isfuture(task))
        assert(again.CancelledError == first.CancelledError)
        assert(again.testing.run(again.sleep, 1, "x") == "x")
        again.set_event_loop(loop)
        assert(again.get_event_loop() == first.get_event_loop())
        assert(loop:run_until_complete(again.sleep, 0.5, true))
      end
      assert(loop:run_until_complete(task) == "slept")
      loop:close()
      print "same"
    ]]
    assert.equal("", result.err)
    assert.equal("same\n", result.out)
  end)

  it("required again inside a task", function()
    local result = helper.run_script [[
      local asyncio = require "asyncio"
      print(asyncio.run(function()
        package.loaded.asyncio, package.loaded["asyncio.core"] = nil, nil
        local again = require "asyncio"
        return again.sleep(0, again.current_task() == asyncio.current_task())
      end))
    ]]
    assert.equal("", result.err)
    assert.equal("true\n", result.out)
  end)

  it("first required inside a coroutine that dies", function()
    local result = helper.run_script [[
      local asyncio
      do
        local co = coroutine.create(function()
          asyncio = require "asyncio"
          asyncio.sleep(0.001)
          coroutine.yield()
          error "dies"
        end)
        assert(coroutine.resume(co))
        assert(not coroutine.resume(co))
      end
      collectgarbage()
      collectgarbage()
      for i = 1, 3 do
        assert(asyncio.run(function() return asyncio.sleep(0.001, i) end) == i)
        assert(asyncio.sleep(0.001, i) == i)
        collectgarbage()
      end
      for v in asyncio.wrap(function() coroutine.yield(asyncio.sleep(0, "end")) end) do print(v) end
    ]]
    assert.equal("", result.err)
    assert.equal("end\n", result.out)
    assert.equal(0, result.status)
  end)

  it("required in a finalizer, in a sort, and while the state is closed", function()
    local result = helper.run_script [[
      local asyncio
      setmetatable({}, { __gc = function() asyncio = require "asyncio" end })
      collectgarbage()
      table.sort({ 2, 1 }, function(a, b) require "asyncio" return a < b end)
      assert(asyncio.run(asyncio.sleep, 0, 1) == 1)
      print "fine"
    ]]
    assert.equal("", result.err)
    assert.equal("fine\n", result.out)
    result = helper.run_script [[
      setmetatable({}, { __gc = function()
        local asyncio = require "asyncio"
        print(pcall(asyncio.run, asyncio.sleep, 0))
      end })
    ]]
    assert.equal(0, result.status)
    assert.equal("", result.err)
  end)

  it("is kept while something of it is alive, though nobody holds the table", function()
    local result = helper.run_script [[
      local loop = require "asyncio".new_event_loop()
      local sleep = require "asyncio".sleep
      package.loaded.asyncio, package.loaded["asyncio.core"] = nil, nil
      for _ = 1, 3 do collectgarbage() end
      print(loop:run_until_complete(sleep, 0.001, "alive"))
    ]]
    assert.equal("alive\n", result.out)
  end)
end)
