-- SPDX-License-Identifier: MIT
-- Where a program may wait: in a task and in everything that Lua can suspend inside it; at the top
-- level of a script; and where Lua forbids it, an error that names what forbids it.

local asyncio <const> = require "asyncio"
local helper <const> = require "spec.helper"

local run <const> = asyncio.testing.run

-- Suspends for a (simulated) while and returns its arguments.
local function wait(...)
  asyncio.sleep(1)
  return ...
end

local function in_task(f)
  return function() return run(f) end
end

describe("waiting inside a task, through", function()
  it("pcall: results and errors", in_task(function()
    assert.same({ true, 1, 2 }, { pcall(wait, 1, 2) })
    local err = { "an object" }
    local ok, caught = pcall(function()
      wait()
      error(err)
    end)
    assert.is_false(ok)
    assert.equal(err, caught)
  end))

  it("xpcall: results, and the handler sees the stack of the error", in_task(function()
    assert.same({ true, "x" }, { xpcall(wait, print, "x") })
    local function failing()
      wait()
      error("after the wait")
    end
    local ok, trace = xpcall(failing, debug.traceback)
    assert.is_false(ok)
    assert.matches("after the wait", trace)
    assert.matches("wait_spec.lua:" .. debug.getinfo(failing, "S").linedefined + 2, trace)
  end))

  it("asyncio.pcall and asyncio.xpcall", in_task(function()
    assert.same({ true, 1 }, { asyncio.pcall(wait, 1) })
    assert.same({ true, 2 }, { asyncio.xpcall(wait, print, 2) })
  end))

  it("pcall in pcall, fifty deep", in_task(function()
    local function nest(n)
      if n == 0 then return wait("bottom") end
      local ok, value = pcall(nest, n - 1)
      assert.is_true(ok)
      return value
    end
    assert.equal("bottom", nest(50))
  end))

  it("dofile", in_task(function()
    local path = helper.temporary_file(
      "local asyncio = require 'asyncio'; return asyncio.sleep(1, 'from the file')")
    local value = dofile(path)
    os.remove(path)
    assert.equal("from the file", value)
  end))

  it("a chunk of load", in_task(function()
    local chunk = load("local wait = ...; return wait('loaded')")
    assert.equal("loaded", chunk(wait))
  end))

  it("the iterator of a for loop", in_task(function()
    local function countdown(_, n)
      wait()
      if n > 1 then return n - 1 end
    end
    local seen = {}
    for n in countdown, nil, 4 do
      wait()
      seen[#seen + 1] = n
    end
    assert.same({ 3, 2, 1 }, seen)
  end))

  it("__index, __newindex and __call", in_task(function()
    local stored = {}
    local object = setmetatable({}, {
      __index = function(_, key) return wait(key .. "!") end,
      __newindex = function(_, key, value) stored[key] = wait(value) end,
      __call = function(_, ...) return wait(...) end,
    })
    assert.equal("name!", object.name)
    assert.equal("method!", (object["method"]))
    object.x = 5
    assert.equal(5, stored.x)
    assert.same({ 1, 2, 3 }, { object(1, 2, 3) })
  end))

  it("arithmetic, concatenation, length and comparison", in_task(function()
    local mt = {}
    local function number(n) return setmetatable({ n = n }, mt) end
    mt.__add = function(a, b) return wait(number(a.n + b.n)) end
    mt.__unm = function(a) return wait(number(-a.n)) end
    mt.__idiv = function(a, b) return wait(number(a.n // b.n)) end
    mt.__band = function(a, b) return wait(number(a.n & b.n)) end
    mt.__concat = function(a, b) return wait(a.n .. "," .. b.n) end
    mt.__len = function(a) return wait(a.n) end
    mt.__lt = function(a, b) return wait(a.n < b.n) end
    mt.__le = function(a, b) return wait(a.n <= b.n) end
    mt.__eq = function(a, b) return wait(a.n == b.n) end
    local two, three = number(2), number(3)
    assert.equal(5, (two + three).n)
    assert.equal(-2, (-two).n)
    assert.equal(1, (three // two).n)
    assert.equal(2, (two & three).n)
    assert.equal("2,3", two .. three)
    assert.equal(2, #two)
    assert.is_true(two < three)
    assert.is_false(two > three)
    assert.is_true(two <= three)
    assert.is_true(two == number(2))
    assert.is_true(two ~= three)
  end))

  it("__close at the end of a block, and at break, goto and return", in_task(function()
    local log = {}
    local function guard(name)
      return setmetatable({}, { __close = function()
        wait()
        log[#log + 1] = name
      end })
    end
    do
      local _ <close> = guard "block"
    end
    for i = 1, 2 do
      local _ <close> = guard "break"
      if i == 1 then break end
    end
    local function leave()
      local _ <close> = guard "return"
      return "kept", "results"
    end
    assert.same({ "kept", "results" }, { leave() })
    assert.same({ "block", "break", "return" }, log)
  end))

  it("several __close while an error unwinds: all wait, the last error wins", in_task(function()
    local log = {}
    local function guard(name, raises)
      return setmetatable({}, { __close = function(_, err)
        wait()
        log[#log + 1] = name .. " saw " .. tostring(err)
        if raises then error(raises, 0) end
      end })
    end
    local function body()
      local _ <close> = guard("outer")
      local _ <close> = guard("middle", "second")
      local _ <close> = guard("inner")
      wait()
      error("first", 0)
    end
    local ok, err = pcall(body)
    assert.is_false(ok)
    assert.equal("second", err)
    assert.same({ "inner saw first", "middle saw first", "outer saw second" }, log)
  end))

  it("several __close while an error ends the task itself", in_task(function()
    local log = {}
    local function guard(name)
      return setmetatable({}, { __close = function(_, err)
        wait()
        log[#log + 1] = name .. " saw " .. err
      end })
    end
    local task = asyncio.create_task(function()
      local _ <close> = guard "outer"
      local _ <close> = guard "inner"
      error("end", 0)
    end)
    local ok, err = pcall(task.await, task)
    assert.is_false(ok)
    assert.equal("end", err)
    assert.same({ "inner saw end", "outer saw end" }, log)
  end))

  it("asyncio.await of a function, nested", in_task(function()
    local value = asyncio.await(function()
      return asyncio.await(function() return wait("inner") end)
    end)
    assert.equal("inner", value)
  end))

  it("tail calls", in_task(function()
    local function tail(n)
      if n == 0 then return wait("end") end
      return tail(n - 1)
    end
    assert.equal("end", tail(helper.scale(1000)))
  end))
end)

describe("waiting at top level", function()
  local function at_top(f)
    return function()
      asyncio.set_event_loop(asyncio.new_event_loop { clock = "virtual" })
      local ok, err = pcall(f)
      local loop = asyncio.get_event_loop()
      if not loop:is_closed() then loop:close() end
      asyncio.set_event_loop(nil)
      if not ok then error(err, 0) end
    end
  end

  it("returns the results", at_top(function()
    assert.equal("x", asyncio.sleep(1, "x"))
    local results = table.pack(asyncio.await(function() return wait(1, nil, 3, nil) end))
    assert.equal(4, results.n)
    assert.same({ 1, nil, 3 }, { results[1], results[2], results[3] })
  end))

  it("raises the error, the same value", at_top(function()
    local err = {}
    local ok, caught = pcall(asyncio.await, function()
      wait()
      error(err)
    end)
    assert.is_false(ok)
    assert.equal(err, caught)
  end))

  it("reports wrong arguments before anything runs", at_top(function()
    assert.error_matches(function() asyncio.sleep("soon") end, "bad argument #1 to '.*sleep'")
  end))

  it("lets the other tasks run meanwhile, and they stay for the next wait", at_top(function()
    local ticks = 0
    local ticker = asyncio.get_event_loop():create_task(function()
      while true do
        asyncio.sleep(1)
        ticks = ticks + 1
      end
    end)
    asyncio.sleep(3.5)
    assert.equal(3, ticks)
    asyncio.sleep(3)
    assert.equal(6, ticks)
    assert.is_false(ticker:done())
  end))

  it("works inside a plain coroutine, which may also yield", at_top(function()
    local co = coroutine.create(function(a)
      local b = coroutine.yield(asyncio.sleep(1, a))
      return asyncio.sleep(1, b)
    end)
    assert.same({ true, "first" }, { coroutine.resume(co, "first") })
    assert.same({ true, "second" }, { coroutine.resume(co, "second") })
    assert.equal("dead", coroutine.status(co))
  end))

  it("works inside asyncio.wrap, and where a task could not wait: in a sort", at_top(function()
    local seen = {}
    for n in asyncio.wrap(function()
      for i = 1, 3 do coroutine.yield(asyncio.sleep(1, i)) end
    end) do seen[#seen + 1] = n end
    assert.same({ 1, 2, 3 }, seen)
    table.sort(seen, function(a, b)
      asyncio.sleep(1)
      return a > b
    end)
    assert.same({ 3, 2, 1 }, seen)
  end))

  it("runs objects with waits: locks, queues, futures, gather", at_top(function()
    local lock, queue = asyncio.Lock(), asyncio.Queue()
    assert.equal(lock, lock:acquire())
    lock:release()
    asyncio.get_event_loop():call_later(1, queue.put_nowait, queue, "item")
    assert.equal("item", queue:get())
    local future = asyncio.get_event_loop():create_future()
    asyncio.get_event_loop():call_soon(future.set_result, future, 1, 2)
    assert.same({ 1, 2 }, { future:await() })
    local both = asyncio.gather(function() return wait(1) end, function() return wait(2) end)
    assert.same({ 1, 2 }, { both[1], both[2] })
  end))

  it("makes a new loop when the current one was closed", at_top(function()
    local loop = asyncio.get_event_loop()
    loop:close()
    assert.equal("again", asyncio.sleep(0, "again"))
    assert.is_true(loop ~= asyncio.get_event_loop())
  end))

  it("makes a loop after asyncio.run, which leaves none", function()
    asyncio.run(function() end)
    assert.equal("again", asyncio.sleep(0, "again"))
    asyncio.get_event_loop():close()
    asyncio.set_event_loop(nil)
  end)

  it("ends with an error when the loop is stopped, and can be used again", at_top(function()
    local loop = asyncio.get_event_loop()
    loop:call_soon(function() loop:stop() end)
    assert.error_matches(function() asyncio.sleep(1) end, "was stopped before the wait was over")
    assert.equal("later", asyncio.sleep(5, "later"))
  end))

  it("is refused in a scope that needs a task", at_top(function()
    assert.error_matches(function() local _ <close> = asyncio.TaskGroup() end, "task")
    assert.error_matches(function() local _ <close> = asyncio.timeout(1) end, "task")
  end))
end)

describe("where Lua forbids it, waiting is an error that names", function()
  -- Runs f, in which `wait` must fail, in a task; checks the error and that the task goes on.
  local function names(culprit, f)
    return in_task(function()
      local text
      local function try()
        local ok, err = pcall(wait)
        assert(not ok, "it could wait")
        text = text or err
      end
      f(try)
      assert.is_string(text)
      assert(text:find("cannot wait inside " .. culprit, 1, true), text)
      assert.matches("wait before or after it, or start a task", text, 1, true)
      assert.equal("goes on", wait("goes on"))
    end)
  end

  it("table.sort", names("'table.sort'", function(try)
    table.sort({ 2, 1 }, function(a, b)
      try()
      return a < b
    end)
  end))

  it("string.gsub", names("'string.gsub'", function(try)
    string.gsub("a", ".", try)
  end))

  it("string.gsub, through a table's __index", names("'string.gsub'", function(try)
    string.gsub("a", ".", setmetatable({}, { __index = try }))
  end))

  it("require", names("'require'", function(try)
    package.preload["spec.of.wait"] = try
    require "spec.of.wait"
    package.preload["spec.of.wait"], package.loaded["spec.of.wait"] = nil, nil
  end))

  it("tostring", names("'tostring'", function(try)
    tostring(setmetatable({}, { __tostring = function()
      try()
      return ""
    end }))
  end))

  it("string.format, through __tostring", names("'string.format'", function(try)
    string.format("%s", setmetatable({}, { __tostring = function()
      try()
      return ""
    end }))
  end))

  it("load, through its reader", names("'load'", function(try)
    load(function() try() end)
  end))

  it("ipairs, through __index", names("a C iterator (ipairs)", function(try)
    for _ in ipairs(setmetatable({}, { __index = function() try() end })) do
      error("not reached")
    end
  end))

  it("table.unpack, through __index", names("'table.unpack'", function(try)
    table.unpack(setmetatable({}, { __index = try }), 1, 1)
  end))

  it("table.concat, through __index", names("'table.concat'", function(try)
    table.concat(setmetatable({}, { __index = function()
      try()
      return ""
    end }), "", 1, 1)
  end))

  it("table.insert, through __newindex", names("'table.insert'", function(try)
    table.insert(setmetatable({}, { __newindex = try }), 1)
  end))

  it("a finalizer", names("a finalizer (__gc)", function(try)
    local ran = false
    setmetatable({}, { __gc = function()
      ran = true
      try()
    end })
    repeat collectgarbage() until ran
  end))

  it("a message handler, after error()", names("a message handler (xpcall)", function(try)
    xpcall(error, try, "x")
  end))

  it("a message handler, after an error of Lua's", names("a message handler (xpcall)",
    function(try)
      xpcall(function() return nil + 1 end, try)
    end))

  it("a message handler, after an error of a C function", names("a message handler (xpcall)",
    function(try)
      xpcall(string.rep, try)
    end))

  it("a message handler of asyncio.xpcall", names("a message handler (xpcall)", function(try)
    asyncio.xpcall(function() return nil + 1 end, try)
  end))

  it("a debug hook", names("a debug hook", function(try)
    debug.sethook(function()
      debug.sethook()
      try()
    end, "l")
    local line = 1
    debug.sethook()
    return line
  end))

  it("what calls it, also through pcall and asyncio.await", names("'table.sort'", function(try)
    table.sort({ 2, 1 }, function(a, b)
      pcall(asyncio.await, function() pcall(try) end)
      return a < b
    end)
  end))

  it("what calls a generator that would have to wait", names("'table.sort'", function(try)
    table.sort({ 2, 1 }, function(a, b)
      local step = asyncio.wrap(function() asyncio.wrap(try)() end)
      step()
      return a < b
    end)
  end))

  it("what is called in a generator", names("'string.gsub'", function(try)
    local step = asyncio.wrap(function() string.gsub("a", ".", try) end)
    step()
  end))

  it("create_task, in a task factory", names("'asyncio.create_task'", function(try)
    local loop = asyncio.get_running_loop()
    loop:set_task_factory(function(_, f, ...)
      try()
      return asyncio.Task(f, ...)
    end)
    asyncio.create_task(function() end)
    loop:set_task_factory(nil)
  end))

  it("a method of ours that calls back: PriorityQueue's less", names("a C function (put_nowait)",
    function(try)
      local queue = asyncio.PriorityQueue(0, function(a, b)
        try()
        return a < b
      end)
      queue:put_nowait(2)
      queue:put_nowait(1)
    end))

  local function in_callback(start)
    return in_task(function()
      local text
      start(function() text = select(2, pcall(wait)) end)
      wait()
      assert.matches("cannot wait in a callback of the loop", text, 1, true)
      assert.matches("asyncio.create_task", text, 1, true)
    end)
  end

  it("the loop's callback: call_soon", in_callback(function(f)
    asyncio.get_running_loop():call_soon(f)
  end))

  it("the loop's callback: call_later", in_callback(function(f)
    asyncio.get_running_loop():call_later(0.5, f)
  end))

  it("the loop's callback: a done callback", in_callback(function(f)
    asyncio.create_task(function() end):add_done_callback(f)
  end))

  it("the loop's callback: the exception handler", in_callback(function(f)
    local loop = asyncio.get_running_loop()
    loop:set_exception_handler(f)
    loop:call_soon(error, "x")
  end))

  it("the loop's callback: the exception handler, called by a task", in_callback(function(f)
    local loop = asyncio.get_running_loop()
    loop:set_exception_handler(f)
    loop:call_exception_handler { message = "x" }
    loop:set_exception_handler(nil)
  end))

  it("a coroutine of the user's: the error names asyncio.wrap and asyncio.patch",
    in_task(function()
      local function check(text)
        assert.matches("asyncio.wrap", text, 1, true)
        assert.matches("asyncio.patch", text, 1, true)
      end
      local co = coroutine.create(wait)
      local ok, err = coroutine.resume(co)
      assert.is_false(ok)
      check(err)
      assert.equal("dead", coroutine.status(co))
      check(select(2, pcall(coroutine.wrap(wait))))
      check(coroutine.wrap(function() return select(2, pcall(wait)) end)())
      assert.equal("goes on", wait("goes on"))
    end))

  it("a coroutine of the user's inside a generator", in_task(function()
    local step = asyncio.wrap(function() coroutine.wrap(wait)() end)
    local ok, err = pcall(step)
    assert.is_false(ok)
    assert.matches("asyncio.wrap", err, 1, true)
    assert.equal("goes on", wait("goes on"))
  end))

  it("coroutine.close, from a __close that would wait", in_task(function()
    local text
    local co = coroutine.create(function()
      local _ <close> = setmetatable({}, { __close = function()
        text = select(2, pcall(wait))
      end })
      coroutine.yield()
    end)
    coroutine.resume(co)
    coroutine.close(co)
    assert.matches("cannot wait", text)
  end))

  it("the end of a loop, from a __close that would wait", function()
    local loop = asyncio.new_event_loop { clock = "virtual" }
    local text
    loop:create_task(function()
      local _ <close> = setmetatable({}, { __close = function()
        text = select(2, pcall(wait))
      end })
      wait()
    end)
    loop:run_until_complete(asyncio.sleep, 0.5)
    loop:close()
    assert.matches("cannot wait while its loop closes", text)
  end)

  it("a finalizer with no loop running", function()
    local text
    setmetatable({}, { __gc = function() text = select(2, pcall(wait)) end })
    repeat collectgarbage() until text
    assert.matches("cannot wait inside a finalizer (__gc)", text, 1, true)
  end)

  it("a running loop, for asyncio.run and run_until_complete", in_task(function()
    assert.error_matches(function() asyncio.run(wait) end, "from a running event loop")
    local other = asyncio.new_event_loop()
    assert.error_matches(function() other:run_until_complete(wait) end, "another loop is running")
    local loop = asyncio.get_running_loop()
    assert.error_matches(function() loop:run_until_complete(wait) end, "running")
    assert.error_matches(function() loop:run_forever() end, "already running")
    other:close()
  end))
end)

describe("a wait", function()
  it("that was refused leaves nothing behind", in_task(function()
    local lock, queue, event = asyncio.Lock(), asyncio.Queue(1), asyncio.Event()
    queue:put_nowait("item")
    string.gsub("a", ".", function()
      pcall(lock.acquire, lock)
      pcall(queue.put, queue, "second")
      pcall(event.wait, event)
    end)
    assert.is_false(lock:locked())
    assert.equal(1, queue:qsize())
    event:set()
    assert.equal("item", queue:get())
    assert.is_true(queue:empty())
    lock:acquire()
    lock:release()
  end))

  it("keeps the arguments and the stack of the function that waits", in_task(function()
    local function many(...)
      local before = table.pack(...)
      wait()
      assert.same(before, table.pack(...))
      return select("#", ...)
    end
    local list = {}
    for i = 1, 200 do list[i] = i end
    assert.equal(200, many(table.unpack(list)))
  end))

  it("is seen in tostring and traceback of the task at its line", in_task(function()
    local task = asyncio.create_task(function() wait() end)
    asyncio.sleep(0)
    local line = debug.getinfo(1, "l").currentline - 2
    assert.matches("running at [^>]*wait_spec.lua:" .. line, tostring(task))
    assert.matches("wait_spec.lua:" .. line, task:traceback())
    task:await()
  end))

  it("allocates nothing", function()
    if helper.SCALE < 1 then pending("memory is collected behind the test's back") end
    local before, after
    run(function()
      local sleep = asyncio.sleep
      sleep(0)
      sleep(1)
      collectgarbage()
      collectgarbage "stop"
      before = collectgarbage "count"
      for _ = 1, 100 do
        sleep(0)
        sleep(1)
      end
      after = collectgarbage "count"
      collectgarbage "restart"
    end)
    assert.equal(before, after)
  end)
end)
