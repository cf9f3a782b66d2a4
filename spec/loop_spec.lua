-- SPDX-License-Identifier: MIT
-- The loop: the order of a turn, running and stopping, closing, the exception handler, debug mode,
-- the clocks.

local asyncio <const> = require "asyncio"
local helper <const> = require "spec.helper"

local function join(t)
  return table.concat(t, " ")
end

-- A log and a maker of functions that write into it.
local function logger()
  local log = {}
  return log, function(what)
    return function() log[#log + 1] = what end
  end
end

-- Calls f(loop) with a new loop, whose clock is simulated, and closes it.
local function with_loop(f, options)
  return function()
    local loop <const> = asyncio.new_event_loop(options or { clock = "virtual" })
    local _ <close> = setmetatable({}, { __close = function() loop:close() end })
    f(loop)
  end
end

-- Runs the loop until nothing is left to do at this moment, for `seconds` of its time.
local function spin(loop, seconds)
  loop:run_until_complete(asyncio.sleep, seconds or 0)
end

describe("a turn", function()
  it("runs what was ready when it began, in order", with_loop(function(loop)
    local log, note = logger()
    loop:call_soon(function()
      log[#log + 1] = "a"
      loop:call_soon(note "a's")
      loop:stop()
    end)
    loop:call_soon(note "b")
    loop:run_forever()
    assert.equal("a b", join(log))
    spin(loop)
    assert.equal("a b a's", join(log))
  end))

  it("runs due timers after what was ready", with_loop(function(loop)
    local log, note = logger()
    loop:call_later(0, note "timer")
    loop:call_soon(note "soon")
    spin(loop)
    assert.equal("soon timer", join(log))
  end))

  it("runs timers by time, and those of the same time in the order of their making",
    with_loop(function(loop)
      local log, note = logger()
      loop:call_at(2, note "2a")
      loop:call_at(1, note "1a")
      loop:call_at(2, note "2b")
      loop:call_at(1, note "1b")
      loop:call_later(-5, note "past")
      spin(loop, 3)
      assert.equal("past 1a 1b 2a 2b", join(log))
    end))

  it("keeps the order of many timers of few times", with_loop(function(loop)
    local seen = {}
    local n = helper.scale(2000, 50)
    for i = 1, n do
      local at = i * 7919 % 13
      loop:call_at(at, function() seen[#seen + 1] = at * n + i end)
    end
    spin(loop, 20)
    assert.equal(n, #seen)
    for i = 2, n do assert.is_true(seen[i - 1] < seen[i]) end
  end))

  it("wakes I/O before timers that became due during the same poll", function()
    asyncio.run(function()
      local loop = asyncio.get_running_loop()
      local log, note = logger()
      local server = asyncio.socket("inet", "stream")
      server:bind("127.0.0.1", 0)
      server:listen()
      local client = asyncio.socket("inet", "stream")
      local _, port = server:getsockname()
      client:connect("127.0.0.1", port)
      local peer = server:accept()
      local reader = asyncio.create_task(function()
        peer:recv(10)
        log[#log + 1] = "data"
      end)
      asyncio.sleep(0)
      loop:call_soon(function()
        loop:call_later(0.002 * helper.SLOW, note "timer")
        asyncio.create_task(client.sendall, client, "x")
      end)
      loop:call_soon(loop.call_soon, loop, function()
        local start = os.clock()
        while os.clock() < start + 0.01 * helper.SLOW do end
      end)
      asyncio.sleep(0.05 * helper.SLOW)
      reader:await()
      assert.equal("data timer", join(log))
      for _, socket in ipairs { server, client, peer } do socket:close() end
    end)
  end)

  it("passes arguments, nil among them", with_loop(function(loop)
    local got
    loop:call_soon(function(...) got = table.pack(...) end, nil, 2, nil)
    spin(loop)
    assert.equal(3, got.n)
    assert.equal(2, got[2])
    loop:call_later(1, function(...) got = table.pack(...) end)
    spin(loop, 2)
    assert.equal(0, got.n)
  end))

  it("calls objects with __call", with_loop(function(loop)
    local got
    loop:call_soon(setmetatable({}, { __call = function(_, x) got = x end }), "called")
    spin(loop)
    assert.equal("called", got)
  end))

  it("leaves out what was cancelled, also by its forerunner in the same turn",
    with_loop(function(loop)
      local log, note = logger()
      local second, timer
      loop:call_soon(function()
        second:cancel()
        timer:cancel()
      end)
      second = loop:call_soon(note "second")
      timer = loop:call_later(0, note "timer")
      local third = loop:call_soon(note "third")
      assert.is_false(second:cancelled())
      spin(loop)
      assert.is_true(second:cancelled())
      assert.is_true(timer:cancelled())
      assert.is_false(third:cancelled())
      third:cancel()
      assert.equal("third", join(log))
    end))

  it("cancels each of many timers", with_loop(function(loop)
    local ran = 0
    local handles = {}
    local n = helper.scale(1000, 20)
    for i = 1, n do
      handles[i] = loop:call_later(i * 37 % 11, function() ran = ran + 1 end)
    end
    for i = 1, n, 2 do handles[i]:cancel() end
    collectgarbage()
    spin(loop, 20)
    assert.equal(n // 2, ran)
  end))

  it("goes on with the loop's other work while a task is busy with waits of no length",
    with_loop(function(loop)
      local ticks = 0
      loop:call_later(1, function() loop:stop() end)
      loop:create_task(function()
        while true do
          ticks = ticks + 1
          if ticks % 100 == 0 then asyncio.sleep(0.1) else asyncio.sleep(0) end
        end
      end)
      loop:run_forever()
      assert.is_true(ticks >= 900)
    end))

  it("runs a chain of callbacks, each queued by the one before, without end of stack",
    with_loop(function(loop)
      local n = helper.scale(100000, 100)
      local count = 0
      local function step()
        count = count + 1
        if count < n then loop:call_soon(step) else loop:stop() end
      end
      loop:call_soon(step)
      loop:run_forever()
      assert.equal(n, count)
    end))
end)

describe("handles", function()
  it("tell when a timer is due", with_loop(function(loop)
    assert.equal(5, loop:call_at(5, print):when())
    assert.equal(3, loop:call_later(3, print):when())
    spin(loop, 1)
    assert.equal(4, loop:call_later(3, print):when())
    for _, task in ipairs(asyncio.all_tasks(loop)) do task:cancel() end
    loop:stop()
  end))

  it("may be cancelled twice, after they ran, after the loop was closed and collected", function()
    local soon, later, never
    with_loop(function(loop)
      soon, later = loop:call_soon(function() end), loop:call_later(1, function() end)
      never = loop:call_later(9, error)
      spin(loop, 2)
      for _ = 1, 2 do
        soon:cancel()
        later:cancel()
      end
    end)()
    never:cancel()
    assert.is_true(never:cancelled())
    collectgarbage()
    collectgarbage()
    never:cancel()
    assert.equal(9, never:when())
    tostring(never)
  end)

  it("show their function in tostring", with_loop(function(loop)
    local function callback() end
    local line = debug.getinfo(callback, "S").linedefined
    local handle = loop:call_soon(callback)
    assert.matches("^<Handle callback%(%) at .*loop_spec.lua:" .. line .. ">$", tostring(handle))
    handle:cancel()
    assert.equal("<Handle cancelled>", tostring(handle))
    local timer = loop:call_at(1.5, callback)
    assert.matches("^<TimerHandle when=1%.50* callback", tostring(timer))
    timer:cancel()
  end))
end)

describe("run_forever", function()
  it("ends after the turn in which stop is called", with_loop(function(loop)
    local log, note = logger()
    loop:call_soon(function()
      loop:stop()
      assert.is_true(loop:is_running())
    end)
    loop:call_soon(note "same turn")
    loop:call_later(1, note "later")
    assert.equal(0, select("#", loop:run_forever()))
    assert.equal("same turn", join(log))
    assert.is_false(loop:is_running())
    loop:call_later(2, loop.stop, loop)
    loop:run_forever()
    assert.equal("same turn later", join(log))
  end))

  it("runs one turn when stop was called before", with_loop(function(loop)
    local log, note = logger()
    loop:call_soon(note "one")
    loop:call_later(9, note "not this one")
    loop:stop()
    loop:run_forever()
    assert.equal("one", join(log))
  end))

  it("does not end because nothing is to do", with_loop(function(loop)
    local future = loop:create_future()
    loop:create_task(future.await, future)
    loop:call_later(1000, loop.stop, loop)
    loop:run_forever()
    assert.equal(1000, loop:time())
    assert.is_false(future:done())
  end))

  it("keeps tasks and timers for the next run", with_loop(function(loop)
    local log, note = logger()
    local task = loop:create_task(function()
      for i = 1, 3 do
        asyncio.sleep(1)
        log[#log + 1] = i
      end
    end)
    for _ = 1, 3 do
      loop:call_later(1.1, loop.stop, loop)
      loop:run_forever()
      note "stopped"()
    end
    assert.is_true(task:done())
    assert.equal("1 stopped 2 stopped 3 stopped", join(log))
  end))
end)

describe("run_until_complete", function()
  it("returns all results of a function with arguments", with_loop(function(loop)
    local results = table.pack(loop:run_until_complete(function(...)
      asyncio.sleep(1)
      return select("#", ...), ...
    end, "a", nil))
    assert.equal(3, results.n)
    assert.same({ 2, "a" }, { results[1], results[2] })
  end))

  it("takes futures, tasks, coroutine objects, threads, objects with __await",
    with_loop(function(loop)
      local future = loop:create_future()
      loop:call_soon(future.set_result, future, 1, 2)
      assert.same({ 1, 2 }, { loop:run_until_complete(future) })
      assert.same({ 1, 2 }, { loop:run_until_complete(future) })
      local task = loop:create_task(asyncio.sleep, 1, "task")
      assert.equal("task", loop:run_until_complete(task))
      assert.equal("object", loop:run_until_complete(asyncio.async(asyncio.sleep)(1, "object")))
      local thread = coroutine.create(function() return asyncio.sleep(1, "thread") end)
      assert.equal("thread", loop:run_until_complete(thread))
      local function await() return asyncio.sleep(1, "__await") end
      local object = setmetatable({}, { __await = await })
      assert.equal("__await", loop:run_until_complete(object))
    end))

  it("raises the error, the same value", with_loop(function(loop)
    local object = {}
    local ok, err = pcall(loop.run_until_complete, loop, function()
      asyncio.sleep(1)
      error(object)
    end)
    assert.is_false(ok)
    assert.equal(object, err)
    local task = loop:create_task(asyncio.sleep, 9)
    loop:call_soon(task.cancel, task, "why")
    ok, err = pcall(loop.run_until_complete, loop, task)
    assert.is_false(ok)
    assert.equal("CancelledError: why", tostring(err))
  end))

  it("raises an error when it is stopped before; the task stays", with_loop(function(loop)
    local task = loop:create_task(asyncio.sleep, 9, "slept")
    loop:call_later(1, loop.stop, loop)
    assert.error_matches(function() loop:run_until_complete(task) end,
      "the event loop was stopped before the future was done")
    assert.is_false(task:done())
    assert.equal("slept", loop:run_until_complete(task))
  end))

  it("does not run what became ready with the result", with_loop(function(loop)
    local log, note = logger()
    local task = loop:create_task(function()
      loop:call_soon(function() loop:call_soon(note "next turn but one") end)
    end)
    task:add_done_callback(note "callback")
    loop:run_until_complete(task)
    assert.equal("callback", join(log))
    spin(loop)
    assert.equal("callback next turn but one", join(log))
  end))

  it("wants an awaitable", with_loop(function(loop)
    assert.error_matches(function() loop:run_until_complete() end, "awaitable.*, got no value")
    assert.error_matches(function() loop:run_until_complete(5) end, "awaitable.*, got number")
    assert.error_matches(function() loop:run_until_complete(loop:create_future(), 5) end,
      "only a function takes arguments")
    local other = asyncio.new_event_loop()
    local future = other:create_future()
    assert.error_matches(function() loop:run_until_complete(future) end, "different event loop")
    other:close()
  end))
end)

describe("several loops", function()
  it("one after the other, each with its own tasks and time", function()
    local loops = {}
    for i = 1, 5 do loops[i] = asyncio.new_event_loop { clock = "virtual" } end
    local log = {}
    for i, loop in ipairs(loops) do
      loop:create_task(function()
        for n = 1, 3 do
          asyncio.sleep(i)
          log[#log + 1] = i .. "." .. n
        end
      end)
    end
    for round = 1, 3 do
      for i, loop in ipairs(loops) do
        spin(loop, i * 1.1)
        if round == 1 then assert.equal(i * 1.1, loop:time()) end
      end
    end
    assert.equal("1.1 2.1 3.1 4.1 5.1 1.2 2.2 3.2 4.2 5.2 1.3 2.3 3.3 4.3 5.3",
      join(log))
    for _, loop in ipairs(loops) do loop:close() end
  end)

  it("many, made and closed", function()
    for i = 1, helper.scale(200, 3) do
      assert.equal(i, asyncio.run(asyncio.sleep, 0, i))
    end
  end)

  it("a future of another loop cannot be awaited, nor a task be made of it", function()
    local other = asyncio.new_event_loop()
    local future = other:create_future()
    asyncio.testing.run(function()
      assert.error_matches(function() future:await() end, "different event loop")
      assert.error_matches(function() asyncio.wait_for(future, 1) end, "different")
    end)
    other:close()
  end)

  it("what runs sees its own loop", function()
    local first, second = asyncio.new_event_loop(), asyncio.new_event_loop()
    asyncio.set_event_loop(first)
    assert.equal(first, asyncio.get_event_loop())
    second:run_until_complete(function()
      assert.equal(second, asyncio.get_running_loop())
      assert.equal(second, asyncio.get_event_loop())
      assert.is_true(second:is_running())
      assert.is_false(first:is_running())
      assert.equal(second, asyncio.current_task():get_loop())
      assert.is_nil((asyncio.current_task(first)))
    end)
    assert.equal(first, asyncio.get_event_loop())
    asyncio.set_event_loop(nil)
    first:close()
    second:close()
  end)

  it("get_running_loop outside is an error; get_event_loop makes one and keeps it", function()
    assert.error_matches(asyncio.get_running_loop, "no running event loop")
    asyncio.set_event_loop(nil)
    local loop = asyncio.get_event_loop()
    assert.equal(loop, asyncio.get_event_loop())
    asyncio.set_event_loop(nil)
    assert.is_true(loop ~= asyncio.get_event_loop())
    asyncio.get_event_loop():close()
    loop:close()
    asyncio.set_event_loop(nil)
    assert.error_matches(function() asyncio.set_event_loop(5) end, "Loop expected, got number")
  end)
end)

describe("close", function()
  it("closes pending tasks in the order of creation, their variables, and counts them cancelled",
    function()
      local loop = asyncio.new_event_loop { clock = "virtual" }
      local log, tasks = {}, {}
      for i = 1, 4 do
        tasks[i] = loop:create_task(function()
          local _ <close> = setmetatable({}, { __close = function(_, err)
            log[#log + 1] = i .. tostring(err)
          end })
          asyncio.sleep(9)
          log[#log + 1] = "not reached"
        end)
      end
      local fresh
      spin(loop, 1)
      fresh = loop:create_task(function() log[#log + 1] = "never begun" end)
      loop:close()
      assert.equal("1nil 2nil 3nil 4nil", join(log))
      for _, task in ipairs { tasks[1], tasks[4], fresh } do
        assert.is_true(task:cancelled())
        assert.is_true(asyncio.is(select(2, pcall(task.result, task)), asyncio.CancelledError))
      end
      assert.same({}, asyncio.all_tasks(loop))
    end)

  it("again, from what it runs itself, does nothing; it cannot be run then", function()
    for _, debug in ipairs { false, true } do
      local loop = asyncio.new_event_loop()
      loop:set_debug(debug)
      local log = {}
      local function closer()
        return setmetatable({}, { __close = function()
          loop:close()
          log[#log + 1] = select(2, pcall(loop.run_until_complete, loop, asyncio.sleep, 0))
          log[#log + 1] = asyncio.run(function() return asyncio.sleep(0, "another runs") end)
          loop:create_task(print)
        end })
      end
      loop:set_exception_handler(function()
        loop:close()
        pcall(loop.run_forever, loop)
      end)
      local held = {} -- not collected, and reported, before the loop is closed
      for i = 1, 3 do
        loop:create_task(function()
          local _ <close> = closer()
          asyncio.sleep(1)
        end)
        held[i] = loop:create_future()
        held[i]:set_exception("unseen")
      end
      loop:run_until_complete(asyncio.sleep, 0)
      loop:close()
      held[1], held[2], held[3] = nil, nil, nil
      collectgarbage()
      assert.is_true(loop:is_closed())
      assert.equal(6, #log)
      assert.matches("being closed", log[1])
      assert.equal("another runs", log[2])
    end
  end)

  it("reports an error of a __close and goes on", function()
    local loop = asyncio.new_event_loop { clock = "virtual" }
    local reports = {}
    loop:set_exception_handler(function(_, context) reports[#reports + 1] = context end)
    for i = 1, 2 do
      loop:create_task(function()
        local _ <close> = setmetatable({}, { __close = function() error("e" .. i, 0) end })
        asyncio.sleep(9)
      end)
    end
    spin(loop, 1)
    loop:close()
    assert.equal(2, #reports)
    assert.equal("e1", reports[1].exception)
    assert.matches("in __close", reports[1].message)
    assert.equal("e2", reports[2].exception)
  end)

  it("copes with a __close that starts tasks and completes futures", function()
    local loop = asyncio.new_event_loop { clock = "virtual" }
    local future = loop:create_future()
    local woken = false
    loop:create_task(function()
      local _ <close> = setmetatable({}, { __close = function()
        future:set_result(1)
        loop:call_soon(error, "never")
        loop:create_task(error, "never")
      end })
      asyncio.sleep(9)
    end)
    local waiter = loop:create_task(function()
      future:await()
      woken = true
    end)
    spin(loop, 1)
    loop:close()
    assert.is_true(waiter:cancelled())
    assert.is_false(woken)
    assert.is_true(loop:is_closed())
  end)

  it("reports errors that nobody has looked at", function()
    local loop = asyncio.new_event_loop { clock = "virtual" }
    local reports = {}
    loop:set_exception_handler(function(_, context) reports[#reports + 1] = context end)
    local task = loop:create_task(error, "lost")
    local future = loop:create_future()
    future:set_exception("lost, too")
    local seen = loop:create_future()
    seen:set_exception("seen")
    seen:exception()
    spin(loop, 1)
    loop:close()
    local messages = { reports[1].message, reports[2].message }
    table.sort(messages)
    assert.equal(2, #reports)
    assert.matches("future error was never retrieved", messages[1])
    assert.matches("task error was never retrieved", messages[2])
    assert.is_true(reports[1].task == task or reports[2].task == task)
  end)

  it("twice does nothing; while it runs it is an error", function()
    local loop = asyncio.new_event_loop { clock = "virtual" }
    loop:run_until_complete(function()
      assert.error_matches(function() loop:close() end, "cannot close a running event loop")
    end)
    loop:close()
    loop:close()
    assert.is_true(loop:is_closed())
    assert.matches("closed=true", tostring(loop))
  end)

  it("of another loop, from inside a running one", function()
    local other = asyncio.new_event_loop { clock = "virtual" }
    local closed
    other:create_task(function()
      local _ <close> = setmetatable({}, { __close = function()
        closed = select(2, pcall(asyncio.sleep, 1))
      end })
      asyncio.sleep(9)
    end)
    spin(other, 1)
    asyncio.testing.run(function()
      other:close()
      asyncio.sleep(1)
    end)
    assert.matches("cannot wait while its loop closes", closed)
  end)

  it("makes everything that needs an open loop an error", function()
    local loop = asyncio.new_event_loop()
    local future = loop:create_future()
    loop:close()
    local function refused(f, ...)
      local args = table.pack(...)
      assert.error_matches(function() f(table.unpack(args, 1, args.n)) end, "event loop is closed")
    end
    refused(loop.call_soon, loop, print)
    refused(loop.call_soon_threadsafe, loop, print)
    refused(loop.call_later, loop, 1, print)
    refused(loop.call_at, loop, 1, print)
    refused(loop.create_task, loop, print)
    refused(loop.run_forever, loop)
    refused(loop.run_until_complete, loop, print)
    refused(future.add_done_callback, future, print)
    assert.is_true(future:cancel())
    assert.is_number(loop:time())
    assert.is_false(loop:is_running())
  end)
end)

describe("the exception handler", function()
  it("gets the loop and a context with message, exception, traceback, handle",
    with_loop(function(loop)
      local got, context
      loop:set_exception_handler(function(...)
        got = ...
        context = select(2, ...)
      end)
      assert.is_function(loop:get_exception_handler())
      local object = { "an error" }
      local function failing() error(object) end
      local handle = loop:call_soon(failing)
      spin(loop)
      assert.equal(loop, got)
      assert.equal("exception in callback", context.message)
      assert.equal(object, context.exception)
      assert.equal(handle, context.handle)
      local line = debug.getinfo(failing, "S").linedefined
      assert.matches("loop_spec.lua:" .. line, context.traceback, 1, true)
    end))

  it("gets the context of call_exception_handler as it is", with_loop(function(loop)
    local context
    loop:set_exception_handler(function(_, c) context = c end)
    local mine = { message = "mine", exception = "e", more = 1 }
    loop:call_exception_handler(mine)
    assert.equal(mine, context)
  end))

  it("hears of a failed done callback, and the others run all the same", with_loop(function(loop)
    local reports, log, note = {}, logger()
    loop:set_exception_handler(function(_, context) reports[#reports + 1] = context.exception end)
    local future = loop:create_future()
    future:add_done_callback(function() error("first", 0) end)
    future:add_done_callback(note "second")
    future:set_result()
    spin(loop)
    assert.same({ "first" }, reports)
    assert.equal("second", join(log))
  end))

  it("hears of an error that nobody retrieved when the task is collected", with_loop(function(loop)
    local context
    loop:set_exception_handler(function(_, c) context = c end)
    local function failing() error("unseen", 0) end
    loop:create_task(failing):set_name "unlucky"
    spin(loop)
    collectgarbage()
    collectgarbage()
    assert.equal("unseen", context.exception)
    assert.matches("never retrieved", context.message)
    assert.equal("unlucky", context.task:get_name())
    local line = debug.getinfo(failing, "S").linedefined
    assert.matches("loop_spec.lua:" .. line, context.traceback, 1, true)
  end))

  it("can be taken away, and must be a function", with_loop(function(loop)
    loop:set_exception_handler(print)
    loop:set_exception_handler(nil)
    assert.is_nil((loop:get_exception_handler()))
    assert.error_matches(function() loop:set_exception_handler(5) end, "function expected")
    assert.error_matches(function() loop:call_exception_handler("text") end, "table expected")
  end))

  it("by default writes to stderr; one that fails is reported with what it was called for",
    function()
      local result = helper.run_script [[
        local asyncio = require "asyncio"
        local loop = asyncio.new_event_loop()
        loop:call_soon(function() error("in the callback") end)
        loop:run_until_complete(asyncio.sleep, 0)
        io.stderr:write("--\n")
        loop:set_exception_handler(function() error("handler broken") end)
        loop:call_soon(function() error("second") end)
        loop:run_until_complete(asyncio.sleep, 0)
        io.stderr:write("--\n")
        loop:set_exception_handler(nil)
        loop:call_exception_handler { message = "told", exception = setmetatable({},
          { __tostring = function() error("nested") end }) }
        loop:call_exception_handler { message = 5 }
        loop:call_exception_handler { }
        loop:close()
        print("alive")
      ]]
      assert.equal(0, result.status)
      assert.equal("alive\n", result.out)
      local first, second, third = result.err:match("^(.-)%-%-\n(.-)%-%-\n(.*)$")
      assert.matches("asyncio: exception in callback\n", first, 1, true)
      assert.matches("in the callback\n", first, 1, true)
      assert.matches("stack traceback:", first, 1, true)
      assert.matches("the exception handler itself failed", second, 1, true)
      assert.matches("second", second, 1, true)
      assert.matches("handler broken", second, 1, true)
      assert.matches("asyncio: told", third, 1, true)
      assert.matches("asyncio: unhandled error", third, 1, true)
    end)
end)

describe("debug mode", function()
  it("is off, and can be switched", with_loop(function(loop)
    assert.is_false(loop:get_debug())
    loop:set_debug(true)
    assert.is_true(loop:get_debug())
    assert.matches("debug=true", tostring(loop))
    assert.error_matches(function() loop:set_debug() end, "boolean expected")
    local other = asyncio.new_event_loop { debug = true }
    assert.is_true(other:get_debug())
    other:close()
  end))

  it("reports callbacks and steps that take longer than slow_callback_duration", function()
    local result = helper.run_script [[
      local asyncio = require "asyncio"
      local loop = asyncio.new_event_loop { debug = true }
      assert(loop.slow_callback_duration == 0.1)
      loop.slow_callback_duration = 0.02
      local function busy(seconds)
        local start = os.clock()
        while os.clock() < start + seconds do end
      end
      local function slow_callback() busy(0.03) end
      local function quick_callback() end
      loop:call_soon(slow_callback)
      loop:call_soon(quick_callback)
      loop:run_until_complete(function() asyncio.sleep(0) busy(0.03) asyncio.sleep(0) end)
      loop:set_debug(false)
      loop:call_soon(slow_callback)
      loop:run_until_complete(asyncio.sleep, 0)
      loop:close()
    ]]
    assert.equal(0, result.status)
    assert.matches("asyncio: <Handle slow_callback() at ", result.err, 1, true)
    assert.matches("<Task pending name='Task%-1' [^\n]*> took 0%.%d+ seconds", result.err)
    assert.is_nil(result.err:find("quick_callback", 1, true))
    local _, reports = result.err:gsub(" took ", "")
    if helper.SLOW == 1 then assert.equal(2, reports) end
  end)

  it("reports tasks that are closed while they are pending", function()
    local loop = asyncio.new_event_loop { clock = "virtual", debug = true }
    local reports = {}
    loop:set_exception_handler(function(_, context) reports[#reports + 1] = context end)
    local task = loop:create_task(asyncio.sleep, 9)
    spin(loop, 1)
    loop:close()
    assert.equal(1, #reports)
    assert.matches("closed while it was pending", reports[1].message)
    assert.equal(task, reports[1].task)
  end)

  it("reports coroutine objects that are never awaited", function()
    local result = helper.run_script [[
      local asyncio = require "asyncio"
      local loop = asyncio.new_event_loop { debug = true }
      loop:run_until_complete(function()
        local forgotten = asyncio.async(function() end)
        forgotten()
        forgotten():close()
        asyncio.await(forgotten())
        collectgarbage()
      end)
      loop:close()
    ]]
    assert.equal(0, result.status)
    local _, reports = result.err:gsub("was never awaited", "")
    assert.equal(1, reports)
    assert.matches("forgotten", result.err)
  end)

  it("remembers where a task was created", with_loop(function(loop)
    loop:set_debug(true)
    local line
    loop:run_until_complete(function()
      line = debug.getinfo(1, "l").currentline + 1
      local task = asyncio.create_task(asyncio.sleep, 1)
      asyncio.sleep(0)
      assert.matches("the task was created here:.*loop_spec.lua:" .. line, task:traceback())
      task:await()
    end)
  end))
end)

describe("the clock", function()
  it("that is simulated starts at 0 and jumps to the next timer", with_loop(function(loop)
    assert.equal(0, loop:time())
    local before = helper.now()
    loop:run_until_complete(function()
      asyncio.sleep(3600)
      assert.equal(3600, loop:time())
      asyncio.gather(function() asyncio.sleep(10) end, function() asyncio.sleep(20) end)
      assert.equal(3620, loop:time())
      for _ = 1, 10 do asyncio.sleep(0) end
      assert.equal(3620, loop:time())
    end)
    assert.is_true(helper.now() - before < 5 * helper.SLOW)
  end))

  it("that is simulated waits for a connection under way, and for nothing else", function()
    asyncio.testing.run(function()
      local loop = asyncio.get_running_loop()
      local server = asyncio.start_server(function(reader, writer)
        writer:write(reader:read(5) or "")
        writer:close()
      end, "127.0.0.1", 0)
      local _, port = server:sockets()[1]:getsockname()
      local reader = asyncio.wait_for(function()
        return (asyncio.open_connection("127.0.0.1", port))
      end, 3600)
      assert.equal(0, loop:time())
      local ok, err = pcall(asyncio.wait_for, function() return reader:read(5) end, 3600)
      assert.is_false(ok)
      assert.is_true(asyncio.is(err, asyncio.TimeoutError))
      assert.equal(3600, loop:time())
      reader:close()
      server:close()
    end)
  end)

  it("that is real does not go back, and timers are never early", function()
    local loop = asyncio.new_event_loop { clock = "real" }
    local last = loop:time()
    loop:run_until_complete(function()
      for i = 1, 10 do
        local delay = i / 2000
        local start = loop:time()
        asyncio.sleep(delay)
        local now = loop:time()
        assert.is_true(now - start >= delay)
        assert.is_true(now >= last)
        last = now
      end
    end)
    loop:close()
  end)

  it("accepts far and infinite times", with_loop(function(loop)
    local timer = loop:call_at(math.huge, error)
    loop:call_later(1e15, error):cancel()
    spin(loop, 1e9)
    assert.equal(1e9, loop:time())
    timer:cancel()
  end))

  it("refuses NaN", with_loop(function(loop)
    local nan = 0 / 0
    assert.error_matches(function() loop:call_later(nan, print) end, "NaN")
    assert.error_matches(function() loop:call_at(nan, print) end, "NaN")
    assert.error_matches(function() asyncio.sleep(nan) end, "NaN")
    assert.error_matches(function() loop.slow_callback_duration = nan end, "NaN")
  end))
end)

describe("wrong use", function()
  it("of options", function()
    local new = asyncio.new_event_loop
    assert.error_matches(function() new(5) end, "table expected, got number")
    assert.error_matches(function() new { clock = "sundial" } end, "clock must be")
    assert.error_matches(function() new { speed = 1 } end, "unknown option 'speed'")
  end)

  it("of fields", with_loop(function(loop)
    assert.is_nil(loop.nothing)
    assert.error_matches(function() loop.nothing = 1 end, "no field 'nothing'")
    assert.error_matches(function() loop.slow_callback_duration = "long" end, "number expected")
  end))

  it("of what is called", with_loop(function(loop)
    assert.error_matches(function() loop:call_soon() end, "bad argument #1.*function expected")
    assert.error_matches(function() loop:call_soon {} end, "function expected, got table")
    assert.error_matches(function() loop:call_later("x", print) end, "number expected, got string")
    assert.error_matches(function() loop:call_later(1) end, "bad argument #2.*function expected")
    assert.error_matches(function() loop.call_soon(5, print) end, "Loop expected, got number")
  end))
end)
