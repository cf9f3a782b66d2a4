-- SPDX-License-Identifier: MIT
-- Task: making, running, names, cancelling, factories, and threads that a program closes or resumes
-- by hand. On the virtual clock.

local asyncio <const> = require "asyncio"
local helper <const> = require "spec.helper"
local virtual <const> = require "spec.virtual"

local inside <const>, future <const>, turns <const> =
  virtual.inside, virtual.future, virtual.turns
local raises <const>, refuses <const> = virtual.raises, virtual.refuses
local take_reports <const>, line <const> = virtual.take_reports, virtual.line
local create_task <const>, sleep <const> = asyncio.create_task, asyncio.sleep
local here <const> = debug.getinfo(1, "S").short_src

local function collect()
  collectgarbage()
  collectgarbage()
end

local function time()
  return asyncio.get_running_loop():time()
end

-- Notes and raises again what ends its wait.
local function sleeper(log, name)
  return function()
    local ok, err = pcall(sleep, 10)
    log[#log + 1] = name
    if not ok then error(err, 0) end
  end
end

describe("create_task", function()
  it("starts the function in the next turn, with its arguments", inside(function(loop)
    local log <const> = {}
    local t <const> = create_task(function(...)
      log[#log + 1] = table.pack(...)
      return "result", nil
    end, 1, nil, "three", nil)
    assert.same({}, log)
    assert.is_true(asyncio.isfuture(t))
    assert.is_false(t:done())
    assert.equal("pending", t:state())
    assert.equal(loop, t:get_loop())
    turns()
    assert.same({ { 1, nil, "three", nil, n = 4 } }, log)
    assert.is_true(t:done())
    assert.equal(2, select("#", t:await()))
    assert.equal("result", t:result())
  end))

  it("takes a last table as an argument of the function", inside(function()
    local options <const> = { name = "not an option" }
    assert.equal(options, create_task(function(x) return x end, options):await())
  end))

  it("takes awaitables of every kind", inside(function()
    local thread <const> = coroutine.create(function() return "thread" end)
    local object <const> = setmetatable({ value = "object" }, {
      __await = function(self)
        sleep(1)
        return self.value
      end,
    })
    assert.equal("function", create_task(function() return "function" end):await())
    assert.equal("coroutine", create_task(asyncio.async(function(x) return x end)("coroutine"))
      :await())
    assert.equal("thread", create_task(thread):await())
    assert.equal("dead", coroutine.status(thread))
    assert.equal("object", create_task(object):await())
    assert.equal(1, time())
  end))

  it("refuses everything else", inside(function()
    local started <const> = coroutine.create(coroutine.yield)
    coroutine.resume(started)
    refuses("bad argument #1 to 'create_task' (awaitable (future, task, coroutine object, "
      .. "function) expected, got table)", function() create_task({}) end)
    refuses("bad argument #1 to 'create_task' (a coroutine that has not started expected)",
      function() create_task(started) end)
    refuses("a coroutine that has not started expected", create_task, coroutine.running())
    refuses("function expected, got a Future", create_task, future())
    refuses("function expected, got a Future", create_task, asyncio.current_task())
    refuses("bad argument #2 to 'create_task' (no value expected: only a function takes arguments)",
      function() create_task(asyncio.async(print)(), 1) end)
    refuses("cannot await a coroutine object twice", function()
      local object <const> = asyncio.async(function() end)()
      create_task(object)
      create_task(object)
    end)
  end))

  it("needs a running loop", function()
    refuses("no running event loop", create_task, function() end)
  end)

  it("of a loop that does not run yet queues", function()
    local loop <const> = virtual.loop()
    local t <const> = loop:create_task(function(...) return ... end, 1, 2)
    assert.is_false(t:done())
    assert.same({ 1, 2 }, { loop:run_until_complete(t) })
    loop:close()
    refuses("the event loop is closed", loop.create_task, loop, function() end)
  end)

  it("of a callable table is refused: it is no awaitable", inside(function()
    refuses("awaitable", create_task, setmetatable({}, { __call = function() end }))
  end))

  it("starts tasks in the order of creation", inside(function()
    local log <const> = {}
    for i = 1, 5 do create_task(function() log[#log + 1] = i end) end
    turns()
    assert.same({ 1, 2, 3, 4, 5 }, log)
  end))

  it("takes a C function, also one that waits", inside(function()
    assert.equal("x", create_task(sleep, 3, "x"):await())
    assert.equal(3, time())
    assert.equal(7, create_task(math.max, 3, 7):await())
    assert.equal("y", create_task(asyncio.await, create_task(sleep, 1, "y")):await())
  end))
end)

describe("the result of a task", function()
  it("is what the function returns, all of it", inside(function()
    assert.equal(0, select("#", create_task(function() end):await()))
    assert.same({ 1, nil, 3, n = 3 },
      table.pack(create_task(function() return 1, nil, 3 end):await()))
  end))

  it("is the error that it raises, the same value", inside(function()
    for _, err in ipairs { {}, "text", 5, false, print, asyncio.TimeoutError("x") } do
      local t <const> = create_task(error, err, 0)
      local ok, got = pcall(t.await, t)
      assert.is_false(ok)
      assert.is_true(rawequal(err, got))
      assert.is_true(rawequal(err, t:exception()))
      assert.is_false(t:cancelled())
    end
    local t <const> = create_task(error)
    local ok, got = pcall(t.await, t)
    assert.is_false(ok)
    assert.equal(helper.NIL_RAISED, got)
  end))

  it("may be a future: it is not awaited", inside(function()
    local f <const> = future()
    assert.equal(f, create_task(function() return f end):await())
  end))

  it("cannot be set from outside", inside(function()
    local t <const> = create_task(function() return "own" end)
    refuses("a Task does not support set_result", t.set_result, t, 1)
    refuses("a Task does not support set_exception", t.set_exception, t, "x")
    assert.equal("own", t:await())
    refuses("a Task does not support set_result", t.set_result, t, 1)
  end))

  it("of a task that raises is reported when nobody awaits it", inside(function()
    create_task(function() error("lost", 0) end)
    turns()
    collect()
    local reports <const> = take_reports()
    assert.equal(1, #reports)
    assert.equal("task error was never retrieved", reports[1].message)
    assert.equal("lost", reports[1].exception)
    assert.matches("^<Task finished name='Task%-%d+' ", tostring(reports[1].task))
    assert.matches("stack traceback:", reports[1].traceback)
    assert.matches(here, reports[1].traceback, 1, true)
    assert.is_nil(reports[1].future)
  end))

  it("is not reported when the task was cancelled, or somebody looked", inside(function()
    local t <const> = create_task(error, "seen")
    create_task(sleep, 10):cancel()
    turns()
    t:cancel() -- too late
    assert.equal("seen", t:exception())
    collect()
    assert.same({}, take_reports())
  end))

  it("collected, runs finalizers that collect again", inside(function()
    local list <const> = {}
    for i = 1, helper.scale(100, 3) do
      list[i] = create_task(function()
        return setmetatable({}, { __gc = function() collectgarbage() end })
      end)
    end
    asyncio.gather(list)
    list[1] = nil
    collect()
  end))
end)

describe("a pending task", function()
  it("that nobody refers to runs on", inside(function()
    local log <const> = {}
    create_task(function()
      sleep(1)
      log[1] = "done"
    end)
    collect()
    sleep(0.5)
    collect()
    sleep(1)
    assert.same({ "done" }, log)
  end))

  it("is in all_tasks, in the order of creation, until it is done", inside(function(loop)
    local main <const> = asyncio.current_task()
    local a <const>, b <const> = create_task(sleep, 2), create_task(sleep, 1)
    assert.same({ main, a, b }, asyncio.all_tasks())
    assert.same({ main, a, b }, asyncio.all_tasks(loop))
    sleep(1)
    turns()
    assert.same({ main, a }, asyncio.all_tasks())
    a:cancel()
    assert.same({ main, a }, asyncio.all_tasks())
    turns()
    assert.same({ main }, asyncio.all_tasks())
  end))

  it("of another loop is not in all_tasks", inside(function()
    local other <const> = virtual.loop()
    local t <const> = other:create_task(sleep, 1)
    assert.same({ asyncio.current_task() }, asyncio.all_tasks())
    assert.same({ t }, asyncio.all_tasks(other))
    other:close()
    assert.same({}, asyncio.all_tasks(other))
    assert.is_true(t:cancelled())
  end))

  it("is collected once it is done, with what it held", inside(function()
    local weak <const> = setmetatable({}, { __mode = "v" })
    do
      local held <const> = { "held" }
      local t <const> = create_task(function(x)
        sleep(0)
        weak.upvalue = x
        return x
      end, held)
      weak.task, weak.held = t, held
      t:await()
    end
    collect()
    assert.is_nil(next(weak))
  end))
end)

describe("all_tasks and current_task outside a loop", function()
  it("need one", function()
    asyncio.set_event_loop(nil)
    refuses("no running event loop", asyncio.all_tasks)
    refuses("no running event loop", asyncio.current_task)
    local loop <const> = virtual.loop()
    assert.is_nil(asyncio.current_task(loop))
    assert.same({}, asyncio.all_tasks(loop))
    loop:close()
  end)
end)

describe("current_task", function()
  it("is the task that runs, also after its waits", inside(function(loop)
    local f <const>, g <const> = future(), future()
    local a, b
    a = create_task(function()
      assert.equal(a, asyncio.current_task())
      f:await()
      assert.equal(a, asyncio.current_task(loop))
      g:set_result()
      return "a"
    end)
    b = create_task(function()
      assert.equal(b, asyncio.current_task())
      f:set_result()
      g:await()
      assert.equal(b, asyncio.current_task(nil))
      return "b"
    end)
    assert.same({ "a", "b", n = 2 }, asyncio.gather(a, b))
  end))

  it("is nil in a callback, and on another loop", inside(function(loop)
    local seen <const> = {}
    loop:call_soon(function() seen[1] = asyncio.current_task() == nil end)
    turns()
    local other <const> = virtual.loop()
    assert.is_nil(asyncio.current_task(other))
    other:close()
    assert.same({ true }, seen)
  end))

  it("is the caller's in what is awaited inline", inside(function()
    local main <const> = asyncio.current_task()
    assert.equal(main, asyncio.await(asyncio.current_task))
    assert.equal(main, asyncio.await(asyncio.async(asyncio.current_task)()))
    assert.equal(main, asyncio.await(coroutine.create(function()
      sleep(0)
      return asyncio.current_task()
    end)))
  end))

  it("has the state running", inside(function()
    local main <const> = asyncio.current_task()
    assert.equal("running", main:state())
    local t <const> = create_task(function() return main:state() end)
    assert.equal("pending", t:state())
    assert.equal("pending", t:await())
    assert.equal("done", t:state())
  end))
end)

describe("a name", function()
  it("defaults to Task-n, counting up", inside(function()
    local a <const>, b <const> = create_task(sleep, 0), create_task(sleep, 0)
    local n <const> = assert.matches("^Task%-(%d+)$", a:get_name())
    assert.equal(("Task-%d"):format(n + 1), b:get_name())
    assert.equal(("Task-%d"):format(n - 1), asyncio.current_task():get_name())
  end))

  it("can be set, at any time", inside(function()
    local t <const> = create_task(function() return asyncio.current_task():get_name() end)
    assert.equal(t, t:set_name("first"))
    assert.equal("first", t:get_name())
    assert.equal("first", t:await())
    assert.equal("second", t:set_name("second"):get_name())
    assert.matches("name='second'", tostring(t))
  end))

  it("becomes a string", inside(function()
    local t <const> = create_task(sleep, 0)
    assert.equal("123456789", t:set_name(123456789):get_name())
    local named <const> = setmetatable({}, { __tostring = function() return "named" end })
    assert.equal("named", t:set_name(named):get_name())
    refuses("bad argument #1 to 'set_name' (value expected)", function() t:set_name() end)
    assert.equal("named", t:get_name())
  end))

  it("does not keep its task alive", inside(function()
    local weak <const> = setmetatable({}, { __mode = "k" })
    weak[create_task(sleep, 0):set_name("a")] = true
    turns(2)
    collect()
    assert.is_nil(next(weak))
  end))
end)

describe("cancel", function()
  it("raises CancelledError at the wait", inside(function()
    local log <const> = {}
    local t <const> = create_task(sleeper(log, "noted"))
    turns()
    assert.is_true(t:cancel())
    assert.is_false(t:done())
    assert.is_false(t:cancelled())
    raises(asyncio.CancelledError, t.await, t)
    assert.is_true(t:done())
    assert.is_true(t:cancelled())
    assert.equal("cancelled", t:state())
    assert.same({ "noted" }, log)
    assert.equal(0, time())
    assert.is_false(t:cancel())
  end))

  it("from a callback does the same", inside(function(loop)
    local t <const> = create_task(sleep, 10)
    loop:call_soon(t.cancel, t)
    raises(asyncio.CancelledError, t.await, t)
  end))

  it("before the first step: the task never starts", inside(function()
    local log <const> = {}
    local t <const> = create_task(function() log[1] = "ran" end)
    assert.is_true(t:cancel("early"))
    assert.is_true(t:cancel("later"))
    turns()
    assert.is_true(t:cancelled())
    assert.same({}, log)
    assert.equal("later", raises(asyncio.CancelledError, t.result, t).message)
  end))

  it("of sleep(0)", inside(function()
    local t <const> = create_task(function()
      sleep(0)
      sleep(0)
      return 12
    end)
    turns()
    t:cancel()
    raises(asyncio.CancelledError, t.await, t)
  end))

  it("gives everyone the same error, with the message", inside(function()
    for _, message in ipairs { "my message", 5, { "any value" }, false } do
      local caught
      local t <const> = create_task(function()
        local _, err = pcall(sleep, 10)
        caught = err
        error(err, 0)
      end)
      local waiters <const> = {}
      for i = 1, 3 do waiters[i] = create_task(pcall, t.await, t) end
      turns()
      t:cancel(message)
      for i = 1, 3 do
        local _ <const>, err <const> = waiters[i]:await()
        assert.is_true(rawequal(caught, err))
      end
      assert.is_true(rawequal(message, caught.message))
      assert.equal(caught, raises(asyncio.CancelledError, t.exception, t))
      assert.equal(caught, raises(asyncio.CancelledError, t.result, t))
    end
  end))

  it("without a message gives none", inside(function()
    for _, args in ipairs { { n = 0 }, { n = 1 } } do
      local t <const> = create_task(sleep, 10)
      turns()
      t:cancel(table.unpack(args, 1, args.n))
      local err <const> = raises(asyncio.CancelledError, t.await, t)
      assert.is_nil(err.message)
      assert.equal("CancelledError", tostring(err))
    end
  end))

  it("the last message before the delivery counts", inside(function()
    local t <const> = create_task(function()
      asyncio.current_task():cancel("one")
      asyncio.current_task():cancel("two")
      sleep(1)
    end)
    assert.equal("two", raises(asyncio.CancelledError, t.await, t).message)
    assert.equal(2, t:cancelling())
  end))

  it("cancels the future that the task awaits", inside(function()
    local f <const> = future()
    local t <const> = create_task(f.await, f)
    turns()
    t:cancel()
    assert.is_true(f:cancelled())
    raises(asyncio.CancelledError, t.await, t)
  end))

  it("of a task and of its future, in both orders", inside(function()
    for _, order in ipairs { { 1, 2 }, { 2, 1 } } do
      local f <const> = future()
      local t <const> = create_task(f.await, f)
      turns()
      local both <const> = { f, t }
      both[order[1]]:cancel()
      both[order[2]]:cancel()
      raises(asyncio.CancelledError, t.await, t)
      assert.is_true(f:cancelled())
      assert.is_true(t:cancelled())
    end
  end))

  it("is an error that may be caught", inside(function()
    local f1 <const>, f2 <const>, f3 <const> = future(), future(), future()
    local t <const> = create_task(function()
      f1:await()
      local ok, err = pcall(f2.await, f2)
      assert.is_false(ok)
      assert.is_true(asyncio.is(err, asyncio.CancelledError))
      return f3:await()
    end)
    turns()
    f1:set_result()
    turns()
    t:cancel()
    assert.is_true(f2:cancelled())
    turns()
    assert.is_false(t:done())
    f3:set_result(42)
    assert.equal(42, t:await())
    assert.is_false(t:cancelled())
    assert.is_false(f3:cancelled())
    assert.equal(1, t:cancelling())
  end))

  it("may be answered with another error", inside(function()
    local t <const> = create_task(function()
      pcall(sleep, 10)
      error("instead", 0)
    end)
    turns()
    t:cancel()
    assert.is_false(t:done())
    assert.equal("instead", t.exception and select(2, pcall(t.await, t)))
    assert.is_false(t:cancelled())
  end))

  it("of the current task is delivered at its next wait", inside(function()
    local log <const> = {}
    local t <const> = create_task(function()
      asyncio.current_task():cancel("self")
      log[1] = "goes on"
      sleep(100)
      log[2] = "never"
    end)
    assert.equal("self", raises(asyncio.CancelledError, t.await, t).message)
    assert.same({ "goes on" }, log)
    assert.equal(0, time())
    assert.is_false(t:cancel())
  end))

  it("of the current task passes a wait for what is done", inside(function()
    local log <const> = {}
    local t <const> = create_task(function()
      local f <const> = future()
      f:set_result("done")
      asyncio.current_task():cancel()
      log[1] = f:await()
      sleep(0)
      log[2] = "never"
    end)
    raises(asyncio.CancelledError, t.await, t)
    assert.same({ "done" }, log)
  end))

  it("right before the function returns counts", inside(function()
    local t <const> = create_task(function()
      asyncio.current_task():cancel("late")
      return 12
    end)
    assert.equal("late", raises(asyncio.CancelledError, t.await, t).message)
    assert.is_true(t:cancelled())
  end))

  it("right before the function raises does not", inside(function()
    local t <const> = create_task(function()
      asyncio.current_task():cancel()
      error("own", 0)
    end)
    refuses("own", t.await, t)
    assert.is_false(t:cancelled())
  end))

  it("of the current task goes into the task that it awaits next", inside(function()
    local f <const> = future()
    local nested
    local t <const> = create_task(function()
      nested = create_task(f.await, f)
      sleep(0)
      asyncio.current_task():cancel()
      nested:await()
    end)
    raises(asyncio.CancelledError, t.await, t)
    assert.is_true(nested:cancelled())
    assert.is_true(f:cancelled())
  end))

  it("goes down a chain of waits, and comes up one hop each", inside(function()
    local log, f <const> = {}, future()
    local tasks <const> = {}
    for i = 1, 4 do
      tasks[i] = create_task(function()
        local ok, err = pcall(asyncio.await, i == 1 and f or tasks[i - 1])
        log[#log + 1] = i
        if not ok then error(err, 0) end
      end)
    end
    turns(2)
    tasks[4]:cancel("deep")
    assert.is_true(f:cancelled())
    for i = 1, 4 do
      assert.equal(1, tasks[i]:cancelling())
      turns()
      assert.equal(i, #log)
    end
    assert.same({ 1, 2, 3, 4 }, log)
    local err <const> = raises(asyncio.CancelledError, tasks[4].result, tasks[4])
    assert.equal("deep", err.message)
    assert.equal(err, raises(asyncio.CancelledError, tasks[1].result, tasks[1]))
  end))

  it("of a woken task, before it runs, delivers the error once", inside(function()
    local f <const>, log <const> = future(), {}
    local t <const> = create_task(function()
      log[#log + 1] = { pcall(f.await, f) }
      log[#log + 1] = { pcall(sleep, 0) }
    end)
    turns()
    f:set_result("value")
    t:cancel("m")
    t:await()
    assert.equal("value", f:result())
    assert.is_false(log[1][1])
    assert.equal("m", log[1][2].message)
    assert.is_true(log[2][1])
  end))

  it("a second time, during cleanup, interrupts the cleanup", inside(function()
    local log <const> = {}
    local t <const> = create_task(function()
      local ok <const>, err <const> = pcall(sleep, 10)
      log[1] = not ok and err.message
      local _ <const>, again <const> = pcall(sleep, 10)
      log[2] = again.message
      error(again, 0)
    end)
    turns()
    t:cancel("first")
    turns()
    t:cancel("second")
    raises(asyncio.CancelledError, t.await, t)
    assert.same({ "first", "second" }, log)
    assert.equal(2, t:cancelling())
  end))

  it("twice in the same turn is delivered once", inside(function()
    local log <const> = {}
    local t <const> = create_task(function()
      log[1] = not pcall(sleep, 10)
      log[2] = pcall(sleep, 10)
    end)
    turns()
    assert.is_true(t:cancel())
    assert.is_true(t:cancel())
    turns()
    assert.is_false(t:done())
    t:await()
    assert.same({ true, true }, log)
    assert.equal(2, t:cancelling())
  end))

  it("leaves no trace in what was waited for", inside(function(loop)
    local t <const> = create_task(sleep, 1000)
    turns()
    t:cancel()
    turns()
    sleep(1)
    assert.equal(1, loop:time())
    assert.is_true(t:cancelled())
  end))

  it("from a finalizer is safe", inside(function()
    local t <const> = create_task(sleep, 10)
    turns()
    setmetatable({}, { __gc = function() t:cancel("collected") end })
    collect()
    assert.equal("collected", raises(asyncio.CancelledError, t.await, t).message)
  end))

  it("from a __close of the task itself, while an error unwinds it", inside(function()
    local closed
    local t <const> = create_task(function()
      local _ <close> = setmetatable({}, { __close = function()
        asyncio.current_task():cancel()
        closed = pcall(sleep, 1)
      end })
      error("own", 0)
    end)
    refuses("own", t.await, t)
    assert.is_false(closed)
    assert.equal(0, time())
  end))

  it("of a finished task is false, and changes nothing", inside(function()
    local t <const> = create_task(function() return 1 end)
    t:await()
    assert.is_false(t:cancel("m"))
    assert.equal(0, t:cancelling())
    assert.equal(1, t:result())
  end))
end)

describe("peers' races (research/peers.md, appendix B)", function()
  it("8: a task that is scheduled but not started runs nothing", inside(function(loop)
    local log <const> = {}
    local t
    loop:call_soon(function() t:cancel() end)
    t = create_task(function() log[1] = "ran" end)
    turns(2)
    assert.is_true(t:cancelled())
    assert.same({}, log)
  end))

  it("8: cancel from a done callback", inside(function()
    local log <const> = {}
    local a <const> = create_task(sleep, 1)
    local b <const> = create_task(sleeper(log, "b"))
    a:add_done_callback(function() b:cancel() end)
    raises(asyncio.CancelledError, b.await, b)
    assert.equal(1, time())
    a:add_done_callback(function(t) log[#log + 1] = t:cancel() end)
    turns()
    assert.same({ "b", false }, log)
  end))

  it("9: a cancelled wait stays cancelled, although its old wake-up is queued", inside(function()
    local f <const>, log <const> = future(), {}
    local t <const> = create_task(function()
      log[#log + 1] = pcall(f.await, f)
      log[#log + 1] = sleep(5, "slept")
      log[#log + 1] = time()
    end)
    turns()
    t:cancel() -- cancels f: its callbacks are queued
    raises(asyncio.InvalidStateError, f.set_result, f, "stale")
    t:await()
    assert.same({ false, "slept", 5 }, log)
  end))

  it("9: a timer that is due in the turn of the cancellation", inside(function(loop)
    local log <const> = {}
    local t <const> = create_task(function()
      log[1] = pcall(sleep, 1)
      sleep(1)
      log[2] = time()
    end)
    turns()
    loop:call_at(1, function() t:cancel() end)
    t:await()
    -- the timer of the sleep comes first: the task was woken, and gets the error all the same
    assert.same({ false, 2 }, log)
  end))

  it("16: a task held only by what will wake it is not collected", inside(function(loop)
    local log <const> = {}
    do
      local f <const> = future()
      create_task(function() log[1] = f:await() end)
      loop:call_later(1, f.set_result, f, "woken")
    end
    turns()
    collect()
    sleep(2)
    assert.same({ "woken" }, log)
  end))

  it("16: a task whose wakers are all gone is named in the deadlock report", function()
    local loop <const> = virtual.loop()
    local there
    local err <const> = raises(asyncio.DeadlockError, loop.run_until_complete, loop, function()
      there = line() + 1
      loop:create_future():await()
    end)
    assert.equal(1, #err.tasks)
    assert.matches(("waits for future 0x%%x+ at %s:%d"):format(here, there), err.message)
    loop:close()
  end)
end)

describe("cancelling and uncancel", function()
  it("count requests", inside(function()
    local t <const> = create_task(function()
      pcall(sleep, 10)
      pcall(sleep, 10)
    end)
    assert.equal(0, t:cancelling())
    assert.equal(0, t:uncancel())
    turns()
    t:cancel()
    t:cancel()
    assert.equal(2, t:cancelling())
    assert.equal(1, t:uncancel())
    assert.equal(0, t:uncancel())
    assert.equal(0, t:uncancel())
    turns()
    assert.is_false(t:done())
    assert.equal(0, t:cancelling())
  end))

  it("show in tostring", inside(function()
    local t <const> = create_task(function()
      pcall(sleep, 10)
      asyncio.current_task():uncancel()
      sleep(10)
    end)
    turns()
    assert.matches("^<Task pending name=", tostring(t))
    t:cancel()
    assert.matches("^<Task cancelling name=", tostring(t))
    turns()
    assert.matches("^<Task pending name=", tostring(t))
    assert.equal(0, t:cancelling())
    t:cancel()
    assert.equal(1, t:cancelling())
    raises(asyncio.CancelledError, t.await, t)
    assert.matches("^<Task cancelled name=", tostring(t))
    t:uncancel() -- too late
    assert.is_true(t:cancelled())
  end))

  it("withdraw a cancellation that was not delivered yet", inside(function()
    local f <const> = future()
    local t <const> = create_task(function()
      f:await()
      return 42
    end)
    turns()
    f:set_result()
    t:cancel()
    assert.equal(1, t:cancelling())
    assert.equal(0, t:uncancel())
    assert.equal(42, t:await())
  end))

  it("withdraw one of a task that has not started, and of the current one", inside(function()
    local t <const> = create_task(function()
      local me <const> = asyncio.current_task()
      me:cancel()
      me:uncancel()
      return sleep(1, "slept")
    end)
    t:cancel()
    t:uncancel()
    assert.equal("slept", t:await())
    local u <const> = create_task(function() return "never" end)
    u:cancel()
    u:cancel()
    assert.equal(1, u:uncancel())
    raises(asyncio.CancelledError, u.await, u)
  end))

  it("do not withdraw one that is on its way to a wait", inside(function()
    local t <const> = create_task(sleep, 10)
    turns()
    t:cancel()
    t:uncancel()
    raises(asyncio.CancelledError, t.await, t)
  end))

  it("are enough for a timeout of one's own", inside(function(loop)
    local function request(seconds, limit)
      local task <const> = asyncio.current_task()
      local timed_out = false
      local timer <const> = loop:call_later(limit, function()
        timed_out = true
        task:cancel()
      end)
      local ok, err = pcall(sleep, seconds)
      timer:cancel()
      local mine <const> = timed_out and task:uncancel() == 0
      if not ok and not (mine and asyncio.is(err, asyncio.CancelledError)) then error(err, 0) end
      sleep(0) -- outside: not affected
      return timed_out, ok
    end
    local t = create_task(request, 10, 0.1)
    assert.same({ true, false }, { t:await() })
    assert.equal(0, t:cancelling())
    t = create_task(request, 0, 10)
    assert.same({ false, true }, { t:await() })
  end))
end)

describe("a task that awaits itself", function()
  it("gets an error, one turn later", inside(function()
    local log <const> = {}
    local t
    t = create_task(function()
      refuses("a task cannot await itself", t.await, t)
      log[1] = true
      refuses("a task cannot await itself", asyncio.await, t)
      return "survives"
    end)
    turns()
    assert.same({}, log)
    turns()
    assert.same({ true }, log)
    assert.equal("survives", t:await())
  end))

  it("may be cancelled in that turn", inside(function()
    local t
    t = create_task(function() t:await() end)
    turns()
    t:cancel("m")
    assert.equal("m", raises(asyncio.CancelledError, t.await, t).message)
  end))
end)

describe("a ring of awaits", function()
  local function ring(n)
    local tasks <const> = {}
    for i = 1, n do
      tasks[i] = create_task(function() return tasks[i % n + 1]:await() end)
    end
    turns(2)
    return tasks
  end

  it("is broken by a cancellation of any of them", inside(function()
    for n = 2, 5 do
      for i = 1, n do
        local tasks <const> = ring(n)
        assert.is_true(tasks[i]:cancel("ring"))
        for j = 1, n do
          assert.equal(1, tasks[j]:cancelling())
          assert.equal("ring", raises(asyncio.CancelledError, tasks[j].await, tasks[j]).message)
        end
      end
    end
  end))

  it("with a tail, and through gather, is broken, too", inside(function()
    local a, b, c
    a = create_task(function() asyncio.gather(b) end)
    b = create_task(function() c:await() end)
    c = create_task(function() asyncio.gather(a, b) end)
    local tail <const> = create_task(function() a:await() end)
    turns(2)
    tail:cancel()
    for _, t in ipairs { a, b, c, tail } do raises(asyncio.CancelledError, t.await, t) end
  end))

  it("is reported as a deadlock when nothing cancels it", function()
    local loop <const> = virtual.loop()
    local err <const> = raises(asyncio.DeadlockError, loop.run_until_complete, loop, function()
      ring(3)[1]:await()
    end)
    assert.equal(4, #err.tasks)
    assert.matches("Task%-%d+ waits for Task%-%d+ at ", err.message)
    loop:close()
  end)
end)

describe("a bare coroutine.yield()", function()
  it("gives way once", inside(function(loop)
    local log <const> = {}
    local t <const> = create_task(function()
      assert.equal(0, select("#", coroutine.yield()))
      log[#log + 1] = "task"
    end)
    turns()
    loop:call_soon(function() log[#log + 1] = "callback" end)
    t:await()
    assert.same({ "task", "callback" }, log)
  end))

  it("raises the CancelledError when the task is cancelled", inside(function()
    local log <const> = {}
    local t <const> = create_task(function()
      local ok, err = pcall(function()
        coroutine.yield()
        log[#log + 1] = "not reached"
      end)
      log[#log + 1] = ok
      log[#log + 1] = err.message
      coroutine.yield()
      return "goes on"
    end)
    turns()
    t:cancel("m")
    assert.equal("goes on", t:await())
    assert.same({ false, "m" }, log)
  end))

  it("is reached by a cancellation in all positions", inside(function()
    local bodies <const> = {
      coroutine.yield,
      function() coroutine.yield() end,
      function() return coroutine.yield() end,
      function() return (coroutine.yield()) end,
      function() local x <const> = { coroutine.yield() } return #x + 1 end,
      function() pcall(coroutine.yield) end,
      function() return select(2, pcall(coroutine.yield)) end,
      function() asyncio.await(coroutine.yield) end,
      function() asyncio.pcall(coroutine.yield) sleep(0) end,
      function() repeat coroutine.yield() until false end,
      function() while coroutine.yield() == nil do local _ <const> = 1 end end,
      function()
        local _ <close> = setmetatable({}, { __close = function() coroutine.yield() end })
      end,
      function() return setmetatable({}, { __index = function() coroutine.yield() end }).x end,
      function() return -setmetatable({}, { __unm = function() return coroutine.yield() end }) end,
    }
    for i, body in ipairs(bodies) do
      local t <const> = create_task(body)
      turns()
      assert.is_false(t:done(), i)
      t:cancel()
      turns(2)
      assert.is_true(t:cancelled(), i)
    end
  end))

  it("with values fails the task, in all forms", inside(function()
    local bodies <const> = {
      function() coroutine.yield(1) end,
      function() return coroutine.yield(nil) end,
      function() pcall(coroutine.yield, 1, 2, 3) end,
      function() asyncio.await(function() return coroutine.yield(false) end) end,
      function() coroutine.yield(table.unpack({}, 1, 1000)) end,
      function() coroutine.yield(asyncio.current_task()) end,
    }
    for i, body in ipairs(bodies) do
      local t <const> = create_task(body)
      local ok, err = pcall(t.await, t)
      assert.is_false(ok, i)
      assert.matches("bad yield: a task may yield no values", err, 1, true)
      assert.is_false(t:cancelled())
    end
    local t = create_task(coroutine.yield, 1)
    refuses("bad yield", t.await, t)
    t = create_task(pcall, coroutine.yield, 1)
    refuses("bad yield", t.await, t)
  end))

  it("with values may be caught like any error", inside(function()
    assert.equal("caught", create_task(function()
      local ok <const>, err <const> = pcall(function() coroutine.yield(1) end)
      assert.is_false(ok)
      assert.matches("bad yield", err)
      sleep(1)
      coroutine.yield()
      return "caught"
    end):await())
  end))

  it("does not disturb a hook of the program's", inside(function()
    local count = 0
    local t <const> = create_task(function()
      debug.sethook(function() count = count + 1 end, "l")
      pcall(function() coroutine.yield() end)
      local hook, mask = debug.gethook()
      debug.sethook()
      return type(hook), mask
    end)
    turns()
    t:cancel()
    assert.same({ "function", "l" }, { t:await() })
    assert.is_true(count > 0)
  end))

  it("and waits may be mixed", inside(function()
    local log <const> = {}
    local t <const> = create_task(function()
      for i = 1, 3 do
        coroutine.yield()
        sleep(1)
        log[#log + 1] = i
      end
    end)
    t:await()
    assert.same({ 1, 2, 3 }, log)
    assert.equal(3, time())
  end))
end)

describe("a thread that is resumed by hand", function()
  local WAITS <const> = "cannot resume by hand: it waits in an asyncio task"

  -- Tasks in every state in which a program can get hold of their thread.
  local states <const> = {
    unstarted = function() return create_task(function() return sleep(1, "end") end) end,
    sleeping = function()
      local t <const> = create_task(function() return sleep(1, "end") end)
      turns()
      return t
    end,
    awaiting = function()
      local t <const> = create_task(function() return create_task(sleep, 1, "end"):await() end)
      turns(2)
      return t
    end,
    locked = function()
      local lock <const> = asyncio.Lock()
      lock:acquire()
      local t <const> = create_task(function()
        lock:acquire()
        return "end"
      end)
      turns()
      asyncio.get_running_loop():call_later(1, lock.release, lock)
      return t
    end,
    woken = function()
      local f <const> = future()
      local t <const> = create_task(f.await, f)
      turns()
      f:set_result("end")
      return t
    end,
    cancelled = function()
      local t <const> = create_task(function()
        pcall(sleep, 10)
        return "end"
      end)
      turns()
      t:cancel()
      return t
    end,
    yielded = function()
      local t <const> = create_task(function()
        coroutine.yield()
        return "end"
      end)
      turns()
      return t
    end,
    generator = function()
      local t <const> = create_task(function()
        local generator <const> = asyncio.wrap(function()
          sleep(1)
          coroutine.yield("end")
        end)
        return generator()
      end)
      turns()
      return t
    end,
    closing = function()
      local t <const> = create_task(function()
        local _ <close> = setmetatable({}, { __close = function() sleep(1) end })
        return "end"
      end)
      turns()
      return t
    end,
    gathering = function()
      local t <const> = create_task(function()
        return asyncio.gather(function() return sleep(1, "end") end)[1]
      end)
      turns()
      return t
    end,
  }

  for name, make in pairs(states) do
    it(name .. ": does not crash", inside(function()
      local t <const> = make()
      local co <const> = t:get_coro()
      for _ = 1, 3 do
        coroutine.resume(co)
        collect()
        coroutine.resume(co, 1, nil, "args")
      end
      local ok, result = pcall(t.await, t)
      assert.is_true(ok and result == "end" or type(result) == "string", tostring(result))
      assert.is_true(t:done())
      turns()
      assert.is_nil(t:get_coro())
      assert.is_false(coroutine.resume(co))
      collect()
      take_reports()
    end))

    it(name .. ": closed, it fails its task", inside(function()
      local t <const> = make()
      coroutine.close(t:get_coro())
      collect()
      assert.is_string(tostring(t))
      t:traceback()
      asyncio.all_tasks()
      refuses("the task's coroutine was closed by hand", t.await, t)
      assert.is_true(t:done())
      collect()
      take_reports()
    end))

    it(name .. ": closed, then cancelled", inside(function()
      local t <const> = make()
      local co <const> = t:get_coro()
      coroutine.close(co)
      collect()
      assert.is_true(t:cancel("m"))
      coroutine.resume(co)
      local ok <const>, err <const> = pcall(t.await, t)
      assert.is_false(ok)
      assert.is_true(t:done())
      assert.is_true(asyncio.is(err, asyncio.CancelledError) or type(err) == "string")
      take_reports()
    end))

    it(name .. ": cancelled, then closed", inside(function()
      local t <const> = make()
      t:cancel("m")
      coroutine.close(t:get_coro())
      collect()
      assert.is_false(pcall(t.await, t))
      assert.is_true(t:done())
      take_reports()
    end))

    it(name .. ": closed, when its loop closes", function()
      local loop <const> = virtual.loop()
      local t
      loop:run_until_complete(function()
        t = make()
        coroutine.close(t:get_coro())
        collect()
        t:add_done_callback(print)
      end)
      collect()
      loop:close()
      collect()
      assert.is_true(t:done())
    end)
  end

  it("in a wait stays suspended, and says so", inside(function()
    local t <const> = create_task(function() return sleep(1, "end") end)
    turns()
    local co <const> = t:get_coro()
    for _ = 1, 3 do
      local ok, a, b = coroutine.resume(co, "x")
      assert.is_true(ok)
      assert.is_nil(a)
      assert.equal(WAITS, b)
      assert.equal("suspended", coroutine.status(co))
    end
    assert.equal("end", t:await())
    assert.same({ false, "cannot resume dead coroutine" }, { coroutine.resume(co) })
  end))

  it("before its first step fails the task", inside(function()
    local t <const> = create_task(function() return "never" end)
    local ok, err = coroutine.resume(t:get_coro())
    assert.is_false(ok)
    assert.matches("cannot resume a task by hand", err)
    local same <const> = select(2, pcall(t.await, t))
    assert.matches("by hand", same)
  end))

  it("inside a generator is refused, too", inside(function()
    local inner
    local t <const> = create_task(function()
      local generator <const> = asyncio.wrap(function()
        inner = coroutine.running()
        sleep(1)
        coroutine.yield("end")
      end)
      return (generator())
    end)
    turns()
    for _ = 1, 2 do
      assert.same({ true, nil, WAITS }, { coroutine.resume(inner) })
      assert.same({ true, nil, WAITS }, { coroutine.resume(t:get_coro(), 1) })
    end
    assert.equal("end", t:await())
  end))

  it("whose generator is closed gets an error", inside(function()
    local inner
    local t <const> = create_task(function()
      local generator <const> = asyncio.wrap(function()
        inner = coroutine.running()
        sleep(1)
        coroutine.yield("end")
      end)
      return (generator())
    end)
    turns()
    coroutine.close(inner)
    collect()
    assert.is_string(tostring(t))
    assert.is_string(t:traceback())
    refuses("a coroutine through which the task waited was closed by hand", t.await, t)
  end))

  -- Lua 5.4 refuses that; in 5.5 a coroutine that closes itself ends there and then.
  it("closed from within its own task is Lua's error, or the task's end", inside(function()
    local log <const> = {}
    local t <const> = create_task(function()
      local _ <close> = setmetatable({}, { __close = function() log[#log + 1] = "closed" end })
      log[#log + 1] = pcall(coroutine.close, coroutine.running())
      return "went on"
    end)
    if _VERSION == "Lua 5.4" then
      assert.equal("went on", t:await())
      assert.same({ false, "closed" }, log)
    else
      refuses("the task's coroutine closed itself", t.await, t)
      assert.same({ "closed" }, log)
    end
  end))

  it("closed, runs its __close handlers, which cannot wait", inside(function()
    local log <const> = {}
    local t <const> = create_task(function()
      local _ <close> = setmetatable({}, { __close = function()
        log[1] = select(2, pcall(sleep, 1))
      end })
      sleep(10)
    end)
    turns()
    assert.is_true(coroutine.close(t:get_coro()))
    assert.matches("cannot wait in a coroutine that was not made for it", log[1])
    refuses("closed by hand", t.await, t)
  end))

  it("passed in by the program is not used again", inside(function()
    local thread <const> = coroutine.create(function() return sleep(0, 1) end)
    assert.equal(1, create_task(thread):await())
    refuses("a coroutine that has not started expected", asyncio.await, thread)
    assert.same({ false, "cannot resume dead coroutine" }, { coroutine.resume(thread) })
  end))
end)

describe("a __close handler that runs because its thread is closed", function()
  -- The frame at the bottom of such a thread is the handler's own, no longer the task's.
  local function closing(close)
    return function()
      local loop <const> = virtual.loop()
      local seen, t
      t = loop:create_task(function()
        local _ <close> = setmetatable({}, { __close = function()
          local c <const>, d <const>, e <const>, f <const>, g <const> = 1, 2, 3, 4, 5
          t:cancel("not here")
          t:uncancel()
          t:cancel("not here")
          assert(type(tostring(t)) == "string" and type(t:traceback()) == "string")
          t:set_name("closing")
          seen = { c, d, e, f, g }
        end })
        sleep(10)
      end)
      loop:run_until_complete(sleep, 0)
      close(loop, t)
      assert.same({ 1, 2, 3, 4, 5 }, seen)
      loop:close()
      assert.is_true(t:done())
      assert.same({}, take_reports())
    end
  end

  it("by hand finds its own variables as they were", closing(function(loop, t)
    assert.is_true(coroutine.close(t:get_coro()))
    refuses("closed by hand", loop.run_until_complete, loop, t)
  end))

  it("by the loop does, too", closing(function(loop, t)
    loop:close()
    assert.is_true(t:cancelled())
  end))
end)

describe("get_coro", function()
  it("is the thread on which the task runs, until it is done", inside(function()
    local t
    t = create_task(function()
      assert.equal(coroutine.running(), t:get_coro())
      sleep(0)
      return coroutine.running()
    end)
    local co <const> = t:get_coro()
    assert.is_thread(co)
    assert.equal(co, t:get_coro())
    assert.equal(co, t:await())
    assert.is_nil(t:get_coro())
  end))

  it("keeps the thread from being used again", inside(function()
    local t <const> = create_task(function() end)
    local co <const> = t:get_coro()
    t:await()
    for _ = 1, 300 do
      local u <const> = create_task(function() end)
      assert.is_false(u:get_coro() == co)
      u:await()
    end
    assert.equal("dead", coroutine.status(co))
  end))
end)

describe("tostring of a task", function()
  it("shows state, name and function, and where it is", inside(function()
    local start
    local function execute()
      start = line() + 1
      sleep(1)
      return 1
    end
    local defined <const> = debug.getinfo(execute, "S").linedefined
    local t <const> = create_task(execute):set_name("T")
    local running <const> = "<Task %s name='T' coro=<execute() running at %s:%d>>"
    assert.equal(running:format("pending", here, defined), tostring(t))
    turns()
    assert.equal(running:format("pending", here, start), tostring(t))
    t:cancel()
    assert.equal(running:format("cancelling", here, start), tostring(t))
    turns()
    assert.equal(("<Task cancelled name='T' coro=<execute() done, defined at %s:%d>>")
      :format(here, defined), tostring(t))
    local u <const> = create_task(execute):set_name("U")
    u:await()
    assert.equal(("<Task finished name='U' coro=<execute() done, defined at %s:%d> result=1>")
      :format(here, defined), tostring(u))
  end))

  it("shows an error, and callbacks", inside(function()
    local function failing() error("boom", 0) end
    local function callback() end
    local function place(f) return ("%s:%d"):format(here, debug.getinfo(f, "S").linedefined) end
    local t <const> = create_task(failing):set_name("T")
    t:add_done_callback(callback)
    assert.equal(("<Task pending name='T' coro=<failing() running at %s> cb=[callback() at %s]>")
      :format(place(failing), place(callback)), tostring(t))
    pcall(t.await, t)
    assert.equal(("<Task finished name='T' coro=<failing() done, defined at %s> exception='boom'>")
      :format(place(failing)), tostring(t))
  end))

  it("shows what it waits for", inside(function()
    local f <const> = future()
    local t <const> = create_task(function() f:await() end)
    local u <const> = create_task(function() t:await() end)
    turns()
    assert.matches(" wait_for=<Future pending>>$", tostring(t))
    -- what an awaited task waits for is left out: there may be rings of them
    assert.equal(1, select(2, tostring(u):gsub(" wait_for=", "")))
    assert.is_truthy(tostring(u):find((" wait_for=<Task pending name='%s' coro=<function() running"
      .. " at "):format(t:get_name()), 1, true))
    f:set_result()
    assert.matches(" wait_for=<Future finished result=nil>>$", tostring(t))
    turns()
    assert.not_matches("wait_for", tostring(t))
  end))

  it("has lost the function of a task whose thread was closed by hand", inside(function()
    local t <const> = create_task(function() future():await() end)
    turns()
    coroutine.close(t:get_coro())
    assert.matches("coro=<function%(%) running at %?>", tostring(t))
    t:cancel()
    pcall(t.await, t)
    assert.matches("coro=<function%(%) done, defined at %?> exception=", tostring(t))
  end))

  it("knows C functions, threads and objects", inside(function()
    assert.matches("coro=<asyncio%.sleep%(%) running at %[C%]>", tostring(create_task(sleep, 0)))
    assert.matches("coro=<math%.max%(%) running at %[C%]>", tostring(create_task(math.max, 1)))
    local execute <const> = asyncio.async(function() end)
    assert.matches("coro=<execute%(%) ", tostring(create_task(execute())))
    assert.matches("^<Task pending name='Task%-%d+' coro=<[%w_.]+%(%) running at ", tostring(
      create_task(coroutine.create(function() end))))
  end))

  it("of a task that runs is where it runs", inside(function()
    local t, at
    t = create_task(function()
      at = line() + 1
      return tostring(t)
    end)
    local text <const> = t:await()
    assert.matches(("running at %s:%d>>"):format(here, at), text, 1, true)
  end))

  it("works in every state, and allocates no task", inside(function()
    for _, f in ipairs { error, sleep, function() end, coroutine.yield } do
      local t <const> = create_task(f, f == sleep and 1 or nil)
      for _ = 1, 4 do
        assert.matches("^<Task %l+ name='Task%-%d+' coro=<.+>", tostring(t))
        turns()
      end
      t:cancel()
      pcall(t.await, t)
      assert.matches("^<Task %l+ name=", tostring(t))
    end
  end))
end)

describe("traceback", function()
  it("of a task that waits shows its stack", inside(function()
    local at
    local function inner()
      at = line() + 1
      sleep(10)
    end
    local t <const> = create_task(function()
      inner()
      return 1
    end)
    assert.matches("^stack traceback:", t:traceback())
    turns()
    local text <const> = t:traceback()
    assert.matches("^stack traceback:", text)
    assert.matches(("%s:%d: in "):format(here, at), text, 1, true)
    assert.matches("sleep", text)
    assert.equal(3, select(2, text:gsub(here:gsub("%p", "%%%0"), ""))) -- inner, its caller, by name
    t:cancel()
  end))

  it("of a task that waits in a generator shows both stacks", inside(function()
    local inner_at, outer_at
    local t <const> = create_task(function()
      local generator <const> = asyncio.wrap(function()
        inner_at = line() + 1
        sleep(10)
      end)
      outer_at = line() + 1
      generator()
    end)
    turns()
    local text <const> = t:traceback()
    local first <const> = text:find((":%d: in"):format(inner_at), 1, true)
    local second <const> = text:find((":%d: in"):format(outer_at), 1, true)
    assert.is_true(first and second and first < second, text)
  end))

  it("of the current task is where it is now", inside(function()
    local at <const> = line() + 1
    local text <const> = asyncio.current_task():traceback()
    assert.matches(("^stack traceback:\n\t%s:%d: in"):format(here, at), text)
  end))

  it("of a failed task is that of the error", inside(function()
    local at
    local function fail()
      at = line() + 1
      error("boom")
    end
    local t <const> = create_task(function()
      sleep(1)
      fail()
    end)
    pcall(t.await, t)
    assert.matches(("%s:%d: in "):format(here, at), t:traceback(), 1, true)
  end))

  it("of a task that awaited a failed one shows where the error was raised", inside(function()
    local raised_at, awaited_at
    local child <const> = create_task(function()
      raised_at = line() + 1
      error("boom")
    end)
    local parent <const> = create_task(function()
      awaited_at = line() + 1
      child:await()
      return 1
    end)
    pcall(parent.await, parent)
    local text <const> = parent:traceback()
    local first <const> = text:find((":%d: in"):format(awaited_at), 1, true)
    local note <const> = text:find("the error was raised in a task that it awaited:", 1, true)
    local second <const> = text:find((":%d: in"):format(raised_at), 1, true)
    assert.is_true(first and note and second and first < note and note < second, text)
  end))

  it("is nil for a task that has finished or was cancelled", inside(function()
    local t <const>, u <const> = create_task(function() end), create_task(sleep, 1)
    u:cancel()
    turns(2)
    assert.is_nil(t:traceback())
    assert.is_nil(u:traceback())
  end))

  it("shows in debug mode where the task was created", inside(function(loop)
    loop:set_debug(true)
    local at <const> = line() + 1
    local t <const> = create_task(error, "boom")
    pcall(t.await, t)
    loop:set_debug(false)
    local text <const> = t:traceback()
    local note <const> = text:find("the task was created here:", 1, true)
    local place <const> = text:find(("%s:%d: in"):format(here, at), 1, true)
    assert.is_true(note and place and note < place, text)
  end))

  it("after a long stack is cut, as Lua's", inside(function()
    local function deep(n)
      if n == 0 then return sleep(10) end
      deep(n - 1)
      return 1
    end
    local t <const> = create_task(deep, 1000)
    turns()
    assert.is_true(#t:traceback() < 5000)
    t:cancel()
  end))
end)

describe("print_stack", function()
  it("writes task and stack to stderr", function()
    local done <const> = helper.run_script([[
      local asyncio = require "asyncio"
      asyncio.run(function()
        local t = asyncio.create_task(function() asyncio.sleep(1) return 1 end):set_name("T")
        asyncio.sleep(0)
        t:print_stack()
        t:cancel()
        asyncio.sleep(0)
        t:print_stack()
        local f = asyncio.create_task(error, "boom", 0):set_name("F")
        pcall(f.await, f)
        f:print_stack()
      end)]])
    assert.equal(0, done.status)
    assert.matches("^<Task pending name='T' [^\n]+>\nstack traceback:\n", done.err)
    assert.matches("\n<Task cancelled name='T' [^\n]+>\n<Task finished name='F' ", done.err)
    assert.matches("exception='boom'>\nstack traceback:\n", done.err)
  end)
end)

describe("the eager task factory", function()
  local function eager(f)
    return inside(function(loop)
      loop:set_task_factory(asyncio.eager_task_factory)
      f(loop)
      loop:set_task_factory(nil)
    end)
  end

  it("is what was set", eager(function(loop)
    assert.equal(asyncio.eager_task_factory, loop:get_task_factory())
    loop:set_task_factory(nil)
    assert.is_nil(loop:get_task_factory())
  end))

  it("runs a task at once until its first wait", eager(function()
    local log <const> = {}
    local t <const> = create_task(function(x)
      log[#log + 1] = x
      sleep(0.1)
      log[#log + 1] = "after"
      return "finished after blocking"
    end, "before")
    assert.same({ "before" }, log)
    assert.is_false(t:done())
    assert.equal("finished after blocking", t:await())
    assert.same({ "before", "after" }, log)
  end))

  it("finishes what does not wait", eager(function(loop)
    local f <const> = future()
    local t <const> = loop:create_task(function() f:set_result("my message") return "hello" end)
    assert.is_true(t:done())
    assert.equal("my message", f:await())
    assert.equal("hello", t:await())
    local u <const> = create_task(error, "boom", 0)
    assert.is_true(u:done())
    assert.equal("boom", u:exception())
  end))

  it("cannot cancel what has finished", eager(function()
    local t <const> = create_task(function() return "done" end)
    assert.is_false(t:cancel())
    assert.equal("done", t:await())
  end))

  it("cancels after the first wait", eager(function()
    local t <const> = create_task(sleep, 0.1)
    t:cancel("cancellation message")
    assert.is_true(t:cancelling() > 0)
    assert.equal("cancellation message", raises(asyncio.CancelledError, t.await, t).message)
  end))

  it("is the current task in its first step, and not after it", eager(function()
    local main <const> = asyncio.current_task()
    local captured
    local t <const> = create_task(function()
      captured = asyncio.current_task()
      sleep(0.1)
      assert.equal(captured, asyncio.current_task())
    end)
    assert.equal(t, captured)
    assert.equal(main, asyncio.current_task())
    t:await()
  end))

  it("shows in all_tasks only while it is pending", eager(function()
    local seen
    local main <const> = asyncio.current_task()
    local t <const> = create_task(function() seen = asyncio.all_tasks() end)
    assert.same({ main, t }, seen)
    assert.same({ main }, asyncio.all_tasks())
    local u <const> = create_task(function()
      seen = asyncio.all_tasks()
      sleep(1)
    end)
    assert.same({ main, u }, seen)
    assert.same({ main, u }, asyncio.all_tasks())
  end))

  it("copies the context before the first step", eager(function()
    local var <const> = asyncio.ContextVar("var", 0)
    var:set(1)
    local t <const> = create_task(function()
      assert.equal(1, var:get())
      var:set(2)
      sleep(0.1)
      assert.equal(2, var:get())
      var:set(3)
    end)
    assert.equal(1, var:get())
    t:await()
    assert.equal(1, var:get())
  end))

  it("may be nested, and may cancel whoever made it", eager(function()
    local log <const> = {}
    local t
    t = create_task(function()
      local outer <const> = asyncio.current_task()
      create_task(function()
        log[#log + 1] = "inner"
        outer:cancel()
      end)
      log[#log + 1] = "outer"
      sleep(1)
    end)
    assert.same({ "inner", "outer" }, log)
    raises(asyncio.CancelledError, t.await, t)
  end))

  it("in a callback runs at once, too", eager(function(loop)
    local log <const> = {}
    loop:call_soon(function()
      create_task(function()
        log[#log + 1] = "task"
        assert.equal("x", sleep(0, "x"))
        log[#log + 1] = "rest"
      end)
      log[#log + 1] = "callback"
      refuses("cannot wait in a callback", sleep, 0)
    end)
    turns(3)
    assert.same({ "task", "callback", "rest" }, log)
  end))

  it("on a loop that does not run yet only queues", function()
    local loop <const>, log <const> = virtual.loop(), {}
    loop:set_task_factory(asyncio.eager_task_factory)
    local t <const> = loop:create_task(function() log[1] = "ran" end)
    assert.same({}, log)
    loop:run_until_complete(t)
    assert.same({ "ran" }, log)
    loop:close()
  end)

  it("makes one task, called by hand", inside(function(loop)
    local log <const> = {}
    local t <const> = asyncio.eager_task_factory(loop, function(...)
      log[#log + 1] = table.pack(...)
      return "result"
    end, 1, nil)
    assert.same({ { 1, nil, n = 2 } }, log)
    assert.equal("result", t:result())
    local object <const> = asyncio.async(function(x) return x end)("bound")
    assert.equal("bound", asyncio.eager_task_factory(loop, object):result())
    refuses("got a Future", asyncio.eager_task_factory, loop, future())
    refuses("only a function takes arguments", asyncio.eager_task_factory, loop,
      asyncio.async(print)(), 1)
  end))

  it("counts no task for a chain of plain calls", eager(function()
    local function chain(n)
      if n == 0 then return 0 end
      return 1 + asyncio.await(function() return chain(n - 1) end)
    end
    local before <const> = create_task(function() end):get_name():match("%d+")
    assert.equal(50, chain(50))
    local after <const> = create_task(function() end):get_name():match("%d+")
    assert.equal(1, after - before)
  end))

  it("serves gather and TaskGroup", eager(function()
    local count = 0
    local function recursive_gather(width, depth)
      count = count + 1
      if depth == 0 then return end
      local list <const> = {}
      for i = 1, width do list[i] = function() recursive_gather(width, depth - 1) end end
      asyncio.gather(list)
    end
    recursive_gather(3, 3)
    assert.equal(40, count)
    count = 0
    local function recursive_groups(width, depth)
      count = count + 1
      if depth == 0 then return end
      asyncio.TaskGroup(function(tg)
        for _ = 1, width do tg:create_task(recursive_groups, width, depth - 1) end
      end)
    end
    recursive_groups(3, 3)
    assert.equal(40, count)
  end))
end)

describe("a task factory", function()
  it("of one's own makes every task", inside(function(loop)
    local calls <const> = {}
    loop:set_task_factory(function(l, f, ...)
      assert.equal(loop, l)
      calls[#calls + 1] = table.pack(...)
      return asyncio.Task(f, ...):set_name("made " .. #calls)
    end)
    local t <const> = create_task(function(...) return ... end, 1, nil)
    assert.equal("made 1", t:get_name())
    assert.same({ 1, nil, n = 2 }, table.pack(t:await()))
    assert.equal("made 2", loop:create_task(sleep, 0):get_name())
    assert.equal("made 3", asyncio.ensure_future(function() end):get_name())
    asyncio.gather(function() end)
    assert.equal(4, #calls)
    assert.equal("bound", create_task(asyncio.async(function(x) return x end)("bound")):await())
    assert.same({ "bound", n = 1 }, calls[5])
    loop:set_task_factory(nil)
  end))

  it("may be any callable, and may raise", inside(function(loop)
    loop:set_task_factory(setmetatable({}, {
      __call = function(_, _, f) return asyncio.Task(f) end,
    }))
    assert.equal(1, create_task(function() return 1 end):await())
    loop:set_task_factory(function() error("no tasks today", 0) end)
    refuses("no tasks today", create_task, function() end)
    refuses("no tasks today", asyncio.gather, function() end)
    loop:set_task_factory(nil)
  end))

  it("must return a Task", inside(function(loop)
    for _, value in ipairs { 1, "s", {}, print, future() } do
      loop:set_task_factory(function() return value end)
      refuses("the task factory must return a Task, not " .. type(value), create_task, print)
    end
    loop:set_task_factory(function() end)
    refuses("the task factory must return a Task, not nil", create_task, print)
    local other <const> = asyncio.new_event_loop()
    loop:set_task_factory(function(_, ...) return asyncio.Task(other, ...) end)
    refuses("a Task of another loop", create_task, print)
    refuses("a Task of another loop", asyncio.gather, print)
    other:close()
    loop:set_task_factory(nil)
  end))

  it("may return the task that it returned before", inside(function(loop)
    local t <const> = create_task(sleep, 1)
    loop:set_task_factory(function() return t end)
    assert.equal(t, create_task(print))
    assert.equal(t, create_task(print))
    loop:set_task_factory(nil)
    t:await()
  end))

  it("that makes tasks by create_task ends in an error, not in a crash", inside(function(loop)
    loop:set_task_factory(function(_, ...) return create_task(...) end)
    refuses("stack overflow", create_task, function() end)
    loop:set_task_factory(nil)
  end))
end)

describe("asyncio.Task", function()
  it("takes what create_task takes, and asks no factory", inside(function(loop)
    loop:set_task_factory(function() error("not asked") end)
    assert.same({ 1, 2 }, { asyncio.Task(function(...) return ... end, 1, 2):await() })
    assert.equal("bound", asyncio.Task(asyncio.async(function(x) return x end)("bound")):await())
    loop:set_task_factory(nil)
    refuses("got a Future", asyncio.Task, future())
    refuses("got a Future", asyncio.Task, asyncio.current_task())
    refuses("only a function takes arguments", asyncio.Task, asyncio.async(print)(), 1)
    refuses("awaitable", asyncio.Task, {})
  end))

  it("needs a loop that runs, or one that is given", function()
    refuses("no running event loop", asyncio.Task, print)
    local loop <const>, other <const> = virtual.loop(), virtual.loop()
    local t <const> = asyncio.Task(loop, function(...) return ... end, 1, 2)
    assert.equal(loop, t:get_loop())
    assert.same({ 1, 2 }, { loop:run_until_complete(t) })
    loop:run_until_complete(function()
      assert.equal(other, asyncio.Task(other, print):get_loop())
    end)
    refuses("bad argument #2", asyncio.Task, loop)
    refuses("bad argument #2", asyncio.Task, loop, 5)
    other:close()
    refuses("the event loop is closed", asyncio.Task, other, print)
    loop:close()
  end)

  it("is a task factory, also for a loop that does not run", function()
    for _, factory in ipairs { asyncio.Task, asyncio.eager_task_factory } do
      local runner <close> = asyncio.Runner { loop_factory = function()
        local loop <const> = virtual.loop()
        loop:set_task_factory(factory)
        return loop
      end }
      assert.equal("made", runner:run(function(x)
        return asyncio.gather(function() return x end)[1]
      end, "made"))
    end
  end)
end)

describe("many tasks", function()
  it("use the pool's threads again, which are as new", inside(function()
    local hook <const> = debug.gethook()
    for round = 1, 3 do
      local list <const> = {}
      for i = 1, helper.scale(600, 3) do
        list[i] = create_task(function(...)
          assert.equal(i, (...))
          assert.is_true(debug.gethook() == hook)
          if i % 3 == 0 then sleep(0) end
          if i % 5 == 0 then error(i, 0) end
          return i
        end, i, round)
      end
      local results <const> = asyncio.gather(list, { return_exceptions = true })
      for i = 1, #list do assert.equal(i, results[i]) end
    end
  end))

  it("with many arguments", inside(function()
    local n <const> = helper.scale(100000, 300)
    local t <const> = create_task(function(...) return select("#", ...), (select(n, ...)) end,
      table.unpack({ [n] = "last" }, 1, n))
    assert.same({ n, "last" }, { t:await() })
  end))
end)
