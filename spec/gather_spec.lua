-- SPDX-License-Identifier: MIT
-- gather, wait, as_completed, wait_for and shield. All of it on the virtual clock.

local asyncio <const> = require "asyncio"
local helper <const> = require "spec.helper"

-- Runs f as the main task of a new loop whose clock is simulated; `reports` gets the contexts of
-- errors that nobody caught.
local reports
local function run(f, ...)
  local loop <const> = asyncio.new_event_loop { clock = "virtual" }
  local list <const> = {} -- an error may be collected in a later test
  reports = list
  loop:set_exception_handler(function(_, context) list[#list + 1] = context end)
  asyncio.set_event_loop(loop)
  local _ <close> = setmetatable({}, { __close = function()
    loop:close()
    asyncio.set_event_loop(nil)
  end })
  return loop:run_until_complete(f, ...)
end

local function refused(pattern, f, ...)
  local args <const> = table.pack(...)
  return assert.error_matches(function() f(table.unpack(args, 1, args.n)) end, pattern)
end

local function in_loop(f)
  return function() return run(f) end
end

local function now()
  return asyncio.get_running_loop():time()
end

local function future()
  return asyncio.get_running_loop():create_future()
end

-- Counts turns of the loop from the call on: every turn runs one step of this before what `event`
-- has made ready.
local function count_hops(event)
  local loop <const> = asyncio.get_running_loop()
  local hops, stopped = 0, false
  local function step()
    hops = hops + 1
    if not stopped then loop:call_soon(step) end
  end
  loop:call_soon(step)
  event()
  return function()
    stopped = true
    return hops
  end
end

local function ticks(n)
  for _ = 1, n do asyncio.sleep(0) end
end

local function is_error(class, f, ...)
  local ok, err = pcall(f, ...)
  assert.is_false(ok)
  if not asyncio.is(err, class) then
    error(("%s expected, got %s"):format(class.name, tostring(err)), 2)
  end
  return err
end

local function cancelled(f, ...)
  return is_error(asyncio.CancelledError, f, ...)
end

-- A function that sleeps, notes that it was cancelled, and returns or raises.
local function sleeper(seconds, result, log)
  return function()
    local ok, err = pcall(asyncio.sleep, seconds)
    if not ok then
      if log then log[#log + 1] = result end
      error(err, 0)
    end
    return result
  end
end

local function failing(seconds, err)
  return function()
    asyncio.sleep(seconds)
    error(err, 0)
  end
end

local function values(tasks)
  local list = {}
  for i, task in ipairs(tasks) do list[i] = task:result() end
  return list
end

describe("asyncio.gather", function()
  it("gives the first results in the order given, and their number", in_loop(function()
    local t <const> = asyncio.create_task(sleeper(0.1, "task"))
    local f <const> = future()
    f:set_result("future", 2)
    local r <const> = asyncio.gather(sleeper(0.3, "function"), t, f, function() end,
      asyncio.async(function(x) return x end)("object"),
      coroutine.create(function() return "thread" end),
      setmetatable({}, { __await = function() return "await" end }))
    assert.same({ "function", "task", "future", nil, "object", "thread", "await", n = 7 }, r)
    assert.near(0.3, now(), 1e-9)
  end))

  it("takes a list", in_loop(function()
    assert.same({ 1, 2, n = 2 },
      asyncio.gather({ sleeper(0.2, 1), sleeper(0.1, 2) }))
    assert.same({ 1, n = 1 }, asyncio.gather({ sleeper(0, 1) }, { return_exceptions = false }))
  end))

  it("of nothing is an empty list, at once", in_loop(function()
    local hops <const> = count_hops(function() end)
    assert.same({ n = 0 }, asyncio.gather())
    assert.same({ n = 0 }, asyncio.gather({}))
    assert.equal(0, hops())
  end))

  it("runs its functions as tasks, in the order given", in_loop(function()
    local seen, main = {}, asyncio.current_task()
    local function note(x)
      return function()
        seen[#seen + 1] = x
        assert.is_false(asyncio.current_task() == main)
      end
    end
    asyncio.gather(note(1), note(2), note(3))
    assert.same({ 1, 2, 3 }, seen)
  end))

  it("counts a future, a task, a coroutine object given twice once", in_loop(function()
    local runs = 0
    local object <const> = asyncio.async(function()
      runs = runs + 1
      return runs
    end)()
    local task <const> = asyncio.create_task(sleeper(0.1, "t"))
    assert.same({ "t", 1, "t", 1, 1, n = 5 }, asyncio.gather(task, object, task, object, object))
    assert.equal(1, runs)
  end))

  it("runs a function as often as it is given", in_loop(function()
    local runs = 0
    local function f()
      runs = runs + 1
      return runs
    end
    assert.same({ 1, 2, 3, n = 3 }, asyncio.gather(f, f, f))
  end))

  it("raises the first error, the same value, and lets the others go on", in_loop(function()
    local err <const> = { "mine" }
    local other <const> = asyncio.create_task(sleeper(1, "other"))
    local ok, e = pcall(asyncio.gather, other, failing(0.1, err), failing(0.2, "later"))
    assert.is_false(ok)
    assert.equal(err, e)
    assert.near(0.1, now(), 1e-9)
    assert.equal("other", other:await())
  end))

  it("takes charge of the errors that come later", function()
    run(function()
      local a <const>, b <const> = failing(0.1, "first"), failing(0.2, "second")
      assert.has_error(function() asyncio.gather(a, b) end, "first")
      asyncio.sleep(1)
      collectgarbage()
      collectgarbage()
    end)
    assert.equal(0, #reports)
  end)

  it("with return_exceptions puts errors into the list", in_loop(function()
    local err <const> = { "mine" }
    local fut <const> = future()
    fut:cancel("why")
    local r <const> = asyncio.gather({ sleeper(0.2, 1), failing(0.1, err), fut },
      { return_exceptions = true })
    assert.equal(3, r.n)
    assert.equal(1, r[1])
    assert.equal(err, r[2])
    assert.is_true(asyncio.is(r[3], asyncio.CancelledError))
    assert.equal("why", r[3].message)
  end))

  it("with return_exceptions does not report the errors again", function()
    run(function()
      asyncio.gather({ failing(0, "x") }, { return_exceptions = true })
      collectgarbage()
      collectgarbage()
    end)
    assert.equal(0, #reports)
  end)

  it("raises at once what had failed before", in_loop(function()
    local bad <const>, good <const> = future(), future()
    bad:set_exception("bad")
    local hops <const> = count_hops(function() end)
    assert.has_error(function() asyncio.gather(good, bad) end, "bad")
    assert.equal(0, hops())
  end))

  it("raises the CancelledError of a child that was cancelled, and is not cancelled itself",
    in_loop(function()
      local a <const>, b <const> = asyncio.create_task(sleeper(1)), asyncio.create_task(sleeper(2))
      asyncio.create_task(function() b:cancel("b") end)
      local err <const> = cancelled(asyncio.gather, a, b)
      assert.equal("b", err.message)
      assert.is_false(a:done())
      assert.equal(0, asyncio.current_task():cancelling())
    end))

  it("cancelled: cancels all children and raises", in_loop(function()
    local log <const> = {}
    local gathering <const> = asyncio.create_task(asyncio.gather, sleeper(5, "a", log),
      sleeper(6, "b", log))
    asyncio.sleep(1)
    assert.is_true(gathering:cancel("enough"))
    local err <const> = cancelled(gathering.await, gathering)
    assert.equal("enough", err.message)
    assert.same({ "a", "b" }, log)
    assert.near(1, now(), 1e-9)
    assert.is_true(gathering:cancelled())
  end))

  it("cancelled with return_exceptions: waits for all children", in_loop(function()
    local function stubborn()
      pcall(asyncio.sleep, 9)
      asyncio.sleep(2)
      return "late"
    end
    local gathering <const> = asyncio.create_task(asyncio.gather, { stubborn, sleeper(9) },
      { return_exceptions = true })
    asyncio.sleep(1)
    gathering:cancel("m")
    local err <const> = cancelled(gathering.await, gathering)
    assert.is_nil(err.message) -- the last child was not cancelled
    assert.near(3, now(), 1e-9)
  end))

  it("cancelled, and every child swallows it: CancelledError all the same", in_loop(function()
    local function stubborn() pcall(asyncio.sleep, 9) end
    local gathering <const> = asyncio.create_task(asyncio.gather, stubborn, stubborn)
    asyncio.sleep(1)
    gathering:cancel()
    cancelled(gathering.await, gathering)
  end))

  it("cancels a child twice if it was given twice", in_loop(function()
    local child <const> = asyncio.create_task(sleeper(9))
    local gathering <const> = asyncio.create_task(asyncio.gather, child, child)
    asyncio.sleep(1)
    gathering:cancel()
    assert.equal(2, child:cancelling())
    cancelled(gathering.await, gathering)
  end))

  it("cancelled before it waits", in_loop(function()
    local f <const> = future()
    local t <const> = asyncio.create_task(function()
      asyncio.current_task():cancel("self")
      asyncio.gather(f, sleeper(9))
    end)
    assert.equal("self", cancelled(t.await, t).message)
    assert.is_true(f:cancelled())
  end))

  it("cancelled when all children are done already: must cancel, the results are dropped",
    in_loop(function()
      local f <const> = future()
      local t <const> = asyncio.create_task(asyncio.gather, f)
      asyncio.sleep(0)
      f:set_result(1)
      assert.is_true(t:cancel("late"))
      assert.equal("late", cancelled(t.await, t).message)
    end))

  it("cancels through a chain of gathers", in_loop(function()
    local log <const> = {}
    local depth <const> = helper.scale(1000, 10)
    local function nest(n)
      if n == 0 then return sleeper(9, "leaf", log)() end
      asyncio.gather(function() return nest(n - 1) end, sleeper(9, "side", log))
    end
    local t <const> = asyncio.create_task(nest, depth)
    asyncio.sleep(1)
    t:cancel()
    cancelled(t.await, t)
    asyncio.sleep(0)
    assert.equal(depth + 1, #log)
  end))

  it("of tasks that gather each other can be cancelled", in_loop(function()
    local a, b
    a = asyncio.create_task(function() asyncio.gather(b) end)
    b = asyncio.create_task(function() asyncio.gather(a, sleeper(9)) end)
    asyncio.sleep(1)
    a:cancel()
    asyncio.sleep(1)
    cancelled(a.await, a)
    cancelled(b.await, b)
  end))

  it("of a dozen tasks that all gather each other can be cancelled", in_loop(function()
    local tasks <const> = {}
    for i = 1, 12 do tasks[i] = asyncio.create_task(function() asyncio.gather(tasks) end) end
    asyncio.sleep(1)
    tasks[1]:cancel("ring")
    for _, task in ipairs(tasks) do assert.equal("ring", cancelled(task.await, task).message) end
  end))

  it("cancels what can be reached on several ways as often", in_loop(function()
    local leaf <const> = asyncio.create_task(sleeper(9))
    local function gathering() asyncio.gather(leaf) end
    local a <const>, b <const> = asyncio.create_task(gathering), asyncio.create_task(gathering)
    local top <const> = asyncio.create_task(asyncio.gather, a, b)
    asyncio.sleep(1)
    top:cancel()
    assert.equal(2, leaf:cancelling())
    cancelled(top.await, top)
  end))

  it("waits 2 hops for its last child, 3 when the functions do not wait", in_loop(function()
    local f <const>, g <const> = future(), future()
    f:set_result(1)
    local hops
    asyncio.create_task(function() hops = count_hops(function() g:set_result(2) end) end)
    asyncio.gather(f, g)
    assert.equal(2, hops())
    hops = count_hops(function() end)
    asyncio.gather(function() end, function() end)
    assert.equal(3, hops())
    hops = count_hops(function() end)
    asyncio.gather(f, g)
    assert.equal(0, hops())
  end))

  it("waits 2 hops for a first error", in_loop(function()
    local f <const> = future()
    local hops
    asyncio.create_task(function() hops = count_hops(function() f:set_exception("x") end) end)
    pcall(asyncio.gather, f, future())
    assert.equal(2, hops())
  end))

  it("of bare futures that is cancelled: 2 hops; of tasks that wait: 3", in_loop(function()
    for n, make in pairs {
      [2] = future,
      [3] = function() return asyncio.create_task(sleeper(9)) end,
    } do
      local child, hops = make(), nil
      local t <const> = asyncio.create_task(function()
        pcall(asyncio.gather, child)
        return hops()
      end)
      ticks(2)
      hops = count_hops(function() t:cancel() end)
      assert.equal(n, t:await())
    end
  end))

  it("leaves nothing behind in a future that it has let go", in_loop(function()
    local rest <const> = future()
    for _ = 1, 100 do
      local f <const> = future()
      f:set_exception("x")
      pcall(asyncio.gather, f, rest)
    end
    collectgarbage()
    rest:set_result(1)
    ticks(3)
    assert.equal(1, rest:result())
  end))

  it("survives that its task is closed with the loop", function()
    run(function()
      local f <const> = future()
      asyncio.create_task(asyncio.gather, f, sleeper(9), asyncio.create_task(sleeper(10)))
      asyncio.sleep(0)
    end)
    collectgarbage()
  end)

  it("works in an inner coroutine under asyncio.wrap", in_loop(function()
    local seen <const> = {}
    for x in asyncio.wrap(function()
      for i = 1, 3 do coroutine.yield(asyncio.gather(sleeper(0.1, i), sleeper(0.2, -i))) end
    end) do
      seen[#seen + 1] = x[1] + 10 * x[2]
    end
    assert.same({ -9, -18, -27 }, seen)
  end))

  it("cancelled in an inner coroutine under asyncio.wrap", in_loop(function()
    local f <const> = future()
    local t <const> = asyncio.create_task(function()
      asyncio.wrap(function() coroutine.yield(asyncio.gather(f)) end)()
    end)
    asyncio.sleep(1)
    t:cancel("in")
    assert.equal("in", cancelled(t.await, t).message)
    assert.is_true(f:cancelled())
  end))

  it("at top level runs the loop", function()
    asyncio.set_event_loop(asyncio.new_event_loop { clock = "virtual" })
    assert.same({ 1, 2, n = 2 }, asyncio.gather(sleeper(1, 1), sleeper(2, 2)))
    assert.same({ n = 0 }, asyncio.gather())
    asyncio.get_event_loop():close()
    asyncio.set_event_loop(nil)
  end)

  it("with eager tasks that do not wait is done at once", in_loop(function()
    asyncio.get_running_loop():set_task_factory(asyncio.eager_task_factory)
    local hops <const> = count_hops(function() end)
    assert.same({ 1, 2, n = 2 }, asyncio.gather(function() return 1 end, function() return 2 end))
    assert.equal(0, hops())
  end))

  it("with an eager task that completes a future given before", in_loop(function()
    asyncio.get_running_loop():set_task_factory(asyncio.eager_task_factory)
    local f <const> = future()
    assert.same({ 1, 2, n = 2 }, asyncio.gather(f, function()
      f:set_result(1)
      return 2
    end))
  end))

  it("is refused in a callback of the loop", in_loop(function()
    local done <const> = future()
    asyncio.get_running_loop():call_soon(function()
      done:set_result(pcall(asyncio.gather, done))
    end)
    local ok, message = done:await()
    assert.is_false(ok)
    assert.matches("callback", message)
  end))

  it("checks its arguments before it starts anything", in_loop(function()
    local started = false
    local function f() started = true end
    refused("bad argument #2 to '.-' %(awaitable expected, got number%)", asyncio.gather, f, 5)
    refused("#2.*options", asyncio.gather, f, { return_exceptions = true })
    refused("#1.*index 2, got boolean", asyncio.gather, { f, false })
    refused("#2.*unknown option 'retrun'", asyncio.gather, { f }, { retrun = true })
    refused("#2.*boolean", asyncio.gather, { f }, { return_exceptions = 1 })
    refused("#2.*table expected", asyncio.gather, { f }, 7)
    refused("#3.*no value expected", asyncio.gather, { f }, nil, f)
    refused("#2", asyncio.gather, { f }, { [1] = f })
    asyncio.sleep(1)
    assert.is_false(started)
  end))

  it("refuses a future of another loop, and a coroutine object that was awaited", in_loop(function()
    local other <const> = asyncio.new_event_loop()
    refused("different event loop", asyncio.gather, other:create_future())
    other:close()
    local object <const> = asyncio.async(function() end)()
    asyncio.await(object)
    assert.has_error(function() asyncio.gather(object) end)
  end))

  it("holds its children, whatever is collected", in_loop(function()
    local function f(i)
      return function()
        asyncio.sleep(0.1 * i)
        collectgarbage()
        return { i }
      end
    end
    local r <const> = asyncio.gather(f(1), f(2), f(3))
    assert.equal(6, r[1][1] + r[2][1] + r[3][1])
  end))

  it("of 100,000 tasks", in_loop(function()
    local n <const> = helper.scale(100000, 100)
    local list <const> = {}
    for i = 1, n do list[i] = function() return i end end
    local r <const> = asyncio.gather(list)
    assert.equal(n, r.n)
    assert.equal(n, r[n])
  end))

  it("of 100,000 futures, cancelled", in_loop(function()
    local n <const> = helper.scale(100000, 100)
    local list <const> = {}
    for i = 1, n do list[i] = future() end
    local t <const> = asyncio.create_task(asyncio.gather, list)
    asyncio.sleep(0)
    t:cancel()
    cancelled(t.await, t)
    assert.is_true(list[n]:cancelled())
  end))

  -- peers.md, appendix B, 18
  it("B18: 200 gathers within each other", in_loop(function()
    local function nest(n)
      if n == 0 then return 0 end
      return 1 + asyncio.gather(function() return nest(n - 1) end)[1]
    end
    assert.equal(200, nest(200))
  end))
end)

describe("a deadlock in a gather and its like", function()
  for name, wait in pairs {
    gather = function() asyncio.gather(future()) end,
    wait = function() asyncio.wait({ future() }) end,
    as_completed = function() asyncio.as_completed({ future() })() end,
    wait_for = function() asyncio.wait_for(future()) end,
    shield = function() asyncio.shield(future()) end,
  } do
    it("is reported with the line: " .. name, function()
      local err <const> = is_error(asyncio.DeadlockError, run, wait)
      assert.matches("gather_spec.lua:%d+", tostring(err))
    end)
  end
end)

describe("asyncio.wait", function()
  it("waits for all, and gives done and pending in the order given", in_loop(function()
    local a <const>, b <const>, c <const> = asyncio.create_task(sleeper(0.3, "a")), future(),
      asyncio.create_task(failing(0.1, "x"))
    b:cancel()
    local done, pending = asyncio.wait({ a, b, c })
    assert.same({ a, b, c }, done)
    assert.same({}, pending)
    assert.near(0.3, now(), 1e-9)
    c:exception()
  end))

  it("makes tasks of functions and coroutine objects", in_loop(function()
    local object <const> = asyncio.async(sleeper(1, 2))()
    local done, pending = asyncio.wait({ sleeper(1, 1), object, object })
    assert.same({ 1, 2 }, values(done))
    assert.same({}, pending)
  end))

  it("FIRST_COMPLETED", in_loop(function()
    local a <const> = asyncio.create_task(sleeper(0.3))
    local b <const> = asyncio.create_task(sleeper(0.1))
    local done, pending = asyncio.wait({ a, b }, { return_when = asyncio.FIRST_COMPLETED })
    assert.same({ b }, done)
    assert.same({ a }, pending)
    assert.near(0.1, now(), 1e-9)
  end))

  it("FIRST_EXCEPTION: an error, but not a cancellation", in_loop(function()
    local a <const>, b <const>, c <const> = asyncio.create_task(sleeper(0.1)),
      asyncio.create_task(failing(0.2, "x")), asyncio.create_task(sleeper(0.3))
    a:cancel()
    local done, pending = asyncio.wait({ c, b, a }, { return_when = asyncio.FIRST_EXCEPTION })
    assert.same({ b, a }, done)
    assert.same({ c }, pending)
    assert.equal("x", b:exception())
  end))

  it("FIRST_EXCEPTION without an error waits for all", in_loop(function()
    local done, pending = asyncio.wait({ sleeper(0.1), sleeper(0.2) },
      { return_when = "FIRST_EXCEPTION" })
    assert.equal(2, #done)
    assert.equal(0, #pending)
  end))

  it("the constants are strings", function()
    assert.same({ "FIRST_COMPLETED", "FIRST_EXCEPTION", "ALL_COMPLETED" },
      { asyncio.FIRST_COMPLETED, asyncio.FIRST_EXCEPTION, asyncio.ALL_COMPLETED })
  end)

  it("returns at its timeout, and cancels nothing", in_loop(function()
    local a <const>, b <const> = asyncio.create_task(sleeper(0.1)), asyncio.create_task(sleeper(3))
    local done, pending = asyncio.wait({ a, b }, { timeout = 1 })
    assert.same({ a }, done)
    assert.same({ b }, pending)
    assert.near(1, now(), 1e-9)
    asyncio.sleep(5)
    assert.is_false(b:cancelled())
  end))

  it("with no time left gives way and looks", in_loop(function()
    local a <const>, b <const> = future(), future()
    a:set_result()
    for _, timeout in ipairs { 0, -1 } do
      local done, pending = asyncio.wait({ b, a }, { timeout = timeout })
      assert.same({ a }, done)
      assert.same({ b }, pending)
    end
    assert.equal(0, now())
  end))

  it("leaves no timer behind", in_loop(function()
    asyncio.wait({ sleeper(0.1) }, { timeout = 1000 })
    asyncio.gather(sleeper(1), function()
      local f <const> = future()
      asyncio.get_running_loop():call_later(1, f.set_result, f)
      f:await()
    end)
    assert.near(1.1, now(), 1e-9)
  end))

  it("cancelled: the tasks go on", in_loop(function()
    local a <const> = asyncio.create_task(sleeper(1, "a"))
    local t <const> = asyncio.create_task(asyncio.wait, { a }, { timeout = 7 })
    asyncio.sleep(0.5)
    t:cancel("w")
    assert.equal("w", cancelled(t.await, t).message)
    assert.is_false(a:cancelled())
    assert.equal("a", a:await())
    assert.near(1, now(), 1e-9)
  end))

  it("cancelled after it was woken: CancelledError", in_loop(function()
    local f <const> = future()
    local t <const> = asyncio.create_task(asyncio.wait, { f })
    asyncio.sleep(0)
    f:set_result()
    asyncio.sleep(0) -- now its entry has run
    assert.is_true(t:cancel())
    cancelled(t.await, t)
  end))

  it("takes 2 hops, also for what is done; 1 when it is cancelled", in_loop(function()
    local f <const>, g <const> = future(), future()
    local hops
    asyncio.create_task(function() hops = count_hops(function() f:set_result() end) end)
    asyncio.wait({ f })
    assert.equal(2, hops())
    hops = count_hops(function() end)
    asyncio.wait({ f })
    assert.equal(2, hops())
    local t <const> = asyncio.create_task(function()
      pcall(asyncio.wait, { g })
      return hops()
    end)
    ticks(2)
    hops = count_hops(function() t:cancel() end)
    assert.equal(1, t:await())
  end))

  it("its timeout takes 1 hop from the turn in which it is due", in_loop(function()
    local loop <const> = asyncio.get_running_loop()
    local hops
    loop:call_at(1, function() hops = count_hops(function() end) end)
    asyncio.wait({ future() }, { timeout = 1 })
    assert.equal(1, hops())
  end))

  it("listens to tasks that several others listen to", in_loop(function()
    local f <const> = future()
    local list <const> = {}
    for i = 1, 10 do
      list[i] = function()
        return #(asyncio.wait({ f, future() }, { return_when = "FIRST_COMPLETED" }))
      end
    end
    asyncio.get_running_loop():call_later(1, f.set_result, f)
    assert.same({ 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, n = 10 }, asyncio.gather(list))
  end))

  it("checks its arguments", in_loop(function()
    local f <const> = future()
    refused("#1.*list of awaitables expected, got no value", asyncio.wait)
    refused("#1.*list of awaitables expected", asyncio.wait, f)
    refused("#1.*empty", asyncio.wait, {})
    refused("#1.*index 2, got number", asyncio.wait, { f, 1 })
    refused("#2.*return_when.*SOON", asyncio.wait, { f }, { return_when = "SOON" })
    refused("#2.*timeout.*number", asyncio.wait, { f }, { timeout = "1" })
    refused("#2.*NaN", asyncio.wait, { f }, { timeout = 0 / 0 })
    refused("#2.*unknown option", asyncio.wait, { f }, { return_exceptions = true })
    refused("#3", asyncio.wait, { f }, {}, 1)
  end))

  it("at top level", function()
    asyncio.set_event_loop(asyncio.new_event_loop { clock = "virtual" })
    local done, pending = asyncio.wait({ sleeper(1), sleeper(3) }, { timeout = 2 })
    assert.equal(1, #done)
    assert.equal(1, #pending)
    asyncio.get_event_loop():close()
    asyncio.set_event_loop(nil)
  end)
end)

describe("asyncio.as_completed", function()
  local function collect(...)
    local list <const> = {}
    for task in asyncio.as_completed(...) do list[#list + 1] = task:result() end
    return list
  end

  it("gives the tasks as they finish", in_loop(function()
    local list <const> = collect({ sleeper(0.3, "c"), sleeper(0.1, "a"), sleeper(0.2, "b") })
    assert.same({ "a", "b", "c" }, list)
    assert.near(0.3, now(), 1e-9)
  end))

  it("gives futures and tasks as they are", in_loop(function()
    local t <const>, f <const> = asyncio.create_task(sleeper(1)), future()
    f:set_result()
    local seen <const> = {}
    for x in asyncio.as_completed({ t, f, t }) do seen[#seen + 1] = x end
    assert.same({ f, t }, seen)
  end))

  it("of nothing ends at once", in_loop(function()
    for _ in asyncio.as_completed({}, { timeout = 1 }) do error("nothing was given") end
    assert.equal(0, now())
  end))

  it("gives failed ones, too", in_loop(function()
    local n = 0
    for task in asyncio.as_completed({ failing(0.1, "x"), sleeper(0.2) }) do
      n = n + 1
      if n == 1 then assert.equal("x", task:exception()) end
    end
    assert.equal(2, n)
  end))

  it("starts before it is iterated over", in_loop(function()
    local iterator <const> = asyncio.as_completed({ sleeper(1, "x") })
    asyncio.sleep(5)
    for task in iterator do assert.equal("x", task:result()) end
    assert.near(5, now(), 1e-9)
  end))

  it("can be left and taken up again", in_loop(function()
    local iterator <const> = asyncio.as_completed({ sleeper(1, 1), sleeper(2, 2), sleeper(3, 3) })
    local got <const> = {}
    for task in iterator do
      got[#got + 1] = task:result()
      if #got == 2 then break end
    end
    assert.same({ 1, 2 }, got)
    for task in iterator do got[#got + 1] = task:result() end
    assert.same({ 1, 2, 3 }, got)
    assert.is_nil(iterator())
  end))

  it("raises TimeoutError at its timeout, also when that came between two steps", in_loop(function()
    local got <const> = {}
    is_error(asyncio.TimeoutError, function()
      local three <const> = { sleeper(0.1, "a"), sleeper(0.2, "b"), sleeper(0.9, "c") }
      for task in asyncio.as_completed(three, { timeout = 0.5 }) do
        got[#got + 1] = task:result()
        asyncio.sleep(0.25)
      end
    end)
    assert.same({ "a", "b" }, got)
    assert.near(0.6, now(), 1e-9)
  end))

  it("raises one TimeoutError for each that is late", in_loop(function()
    local iterator <const> = asyncio.as_completed({ sleeper(5), sleeper(6) }, { timeout = 1 })
    is_error(asyncio.TimeoutError, iterator)
    is_error(asyncio.TimeoutError, iterator)
    assert.is_nil(iterator())
  end))

  it("a timeout that was not needed is disarmed", in_loop(function()
    collect({ sleeper(0.1) }, { timeout = 100 })
    asyncio.sleep(1)
    assert.near(1.1, now(), 1e-9)
  end))

  it("a step that is cancelled loses nothing", in_loop(function()
    local iterator <const> = asyncio.as_completed({ sleeper(2, "x"), sleeper(3, "y") })
    local t <const> = asyncio.create_task(iterator)
    asyncio.sleep(1)
    t:cancel()
    cancelled(t.await, t)
    assert.equal("x", iterator():result())
    assert.equal("y", iterator():result())
    assert.is_nil(iterator())
  end))

  it("a step that is woken and then cancelled wakes the next one", in_loop(function()
    local f <const>, g <const> = future(), future()
    local iterator <const> = asyncio.as_completed({ f, g })
    local a <const>, b <const> = asyncio.create_task(iterator), asyncio.create_task(iterator)
    asyncio.sleep(0)
    f:set_result()
    asyncio.sleep(0) -- its entry wakes a
    a:cancel()
    cancelled(a.await, a)
    assert.equal(f, b:await())
  end))

  it("can be shared by several tasks", in_loop(function()
    local four <const>, got <const> = {}, {}
    for i = 1, 4 do four[i] = sleeper(i, i) end
    local iterator <const> = asyncio.as_completed(four)
    local function consume()
      for task in iterator do got[#got + 1] = task:result() end
    end
    asyncio.gather(consume, consume)
    assert.same({ 1, 2, 3, 4 }, got)
  end))

  it("takes 2 hops", in_loop(function()
    local f <const> = future()
    local iterator <const> = asyncio.as_completed({ f })
    local hops
    asyncio.create_task(function() hops = count_hops(function() f:set_result() end) end)
    iterator()
    assert.equal(2, hops())
    hops = count_hops(function() end)
    asyncio.as_completed({ f })()
    assert.equal(2, hops())
  end))

  it("that nobody holds any more disarms itself", in_loop(function()
    local f <const> = future()
    do
      asyncio.as_completed({ f, sleeper(9) }, { timeout = 5 })
    end
    collectgarbage()
    collectgarbage()
    f:set_result()
    ticks(3)
    asyncio.sleep(10)
  end))

  it("at top level makes the loop and waits in each step", function()
    asyncio.set_event_loop(asyncio.new_event_loop { clock = "virtual" })
    assert.same({ "a", "b" }, collect({ sleeper(2, "b"), sleeper(1, "a") }))
    asyncio.get_event_loop():close()
    asyncio.set_event_loop(nil)
  end)

  it("checks its arguments", in_loop(function()
    local f <const> = future()
    refused("#1.*list of awaitables expected", asyncio.as_completed, f)
    refused("#1.*index 1, got number", asyncio.as_completed, { 1 })
    refused("#2.*timeout", asyncio.as_completed, { f }, { timeout = false })
    refused("#2.*unknown", asyncio.as_completed, { f }, { return_when = "ALL_COMPLETED" })
    refused("#3", asyncio.as_completed, { f }, nil, 1)
    local iterator <const> = asyncio.as_completed({ f })
    assert.equal("function", type(iterator))
  end))
end)

describe("asyncio.wait_for", function()
  it("returns all results, without a limit and within it", in_loop(function()
    assert.same({ 1, nil, 3, n = 3 }, table.pack(asyncio.wait_for(function()
      asyncio.sleep(1)
      return 1, nil, 3
    end)))
    assert.equal("x", asyncio.wait_for(sleeper(1, "x"), 2))
    assert.equal("x", asyncio.wait_for(asyncio.create_task(sleeper(1, "x")), 2))
    assert.equal("x", asyncio.wait_for(asyncio.async(sleeper(1, "x"))(), 2))
    assert.equal("x", asyncio.wait_for(coroutine.create(sleeper(1, "x")), 2))
    assert.equal("x", asyncio.wait_for(setmetatable({}, { __await = sleeper(1, "x") }), 2))
  end))

  it("runs functions in the current task", in_loop(function()
    local main <const> = asyncio.current_task()
    assert.equal(main, asyncio.wait_for(asyncio.current_task, 1))
    assert.equal(main, asyncio.wait_for(asyncio.async(asyncio.current_task)()))
  end))

  it("raises TimeoutError, when what was too slow has ended", in_loop(function()
    local ended = false
    is_error(asyncio.TimeoutError, asyncio.wait_for, function()
      local _ <close> = setmetatable({}, { __close = function()
        asyncio.sleep(0.5)
        ended = true
      end })
      asyncio.sleep(10)
    end, 0.1)
    assert.is_true(ended)
    assert.near(0.6, now(), 1e-9)
    assert.equal(0, asyncio.current_task():cancelling())
  end))

  it("cancels a task that is too slow, and waits for it", in_loop(function()
    local log <const> = {}
    local task <const> = asyncio.create_task(sleeper(10, "t", log))
    is_error(asyncio.TimeoutError, asyncio.wait_for, task, 0.1)
    assert.is_true(task:cancelled())
    assert.same({ "t" }, log)
  end))

  it("with no time left takes what is done", in_loop(function()
    local f <const> = future()
    f:set_result("done")
    assert.equal("done", asyncio.wait_for(f, 0))
    f:cancel()
    local bad <const> = future()
    bad:set_exception("bad")
    assert.has_error(function() asyncio.wait_for(bad, 0) end, "bad")
  end))

  it("with no time left never starts a function", in_loop(function()
    local started = false
    for _, timeout in ipairs { 0, -1 } do
      is_error(asyncio.TimeoutError, asyncio.wait_for, function() started = true end, timeout)
    end
    assert.is_false(started)
  end))

  it("with no time left cancels a task that runs, and waits for it", in_loop(function()
    local running
    local task <const> = asyncio.create_task(function()
      running = true
      local ok, err = pcall(asyncio.sleep, 10)
      asyncio.sleep(0.5)
      running = false
      if not ok then error(err, 0) end
    end)
    asyncio.sleep(0)
    is_error(asyncio.TimeoutError, asyncio.wait_for, task, 0)
    assert.is_false(running)
    assert.is_true(task:cancelled())
    assert.near(0.5, now(), 1e-9)
  end))

  it("returns the value of what swallowed the cancellation", in_loop(function()
    local function stubborn()
      pcall(asyncio.sleep, 10)
      return 42
    end
    assert.equal(42, asyncio.wait_for(stubborn, 0.1))
    assert.equal(42, asyncio.wait_for(asyncio.create_task(stubborn), 0.1))
    local task <const> = asyncio.create_task(stubborn)
    asyncio.sleep(0)
    assert.equal(42, asyncio.wait_for(task, 0))
  end))

  it("raises the error that came in the place of the cancellation", in_loop(function()
    local function failing_cleanup()
      pcall(asyncio.sleep, 10)
      error("cleanup", 0)
    end
    assert.has_error(function() asyncio.wait_for(failing_cleanup, 0.1) end, "cleanup")
    local task <const> = asyncio.create_task(failing_cleanup)
    asyncio.sleep(0)
    assert.has_error(function() asyncio.wait_for(task, 0) end, "cleanup")
  end))

  it("cancelled: cancels what it waits for", in_loop(function()
    for _, limit in ipairs { 60, 1 / 0 } do
      local task <const> = asyncio.create_task(sleeper(100))
      local t <const> = asyncio.create_task(asyncio.wait_for, task, limit < 1 / 0 and limit or nil)
      asyncio.sleep(1)
      t:cancel("outer")
      assert.equal("outer", cancelled(t.await, t).message)
      assert.is_true(task:cancelled())
    end
    assert.near(2, now(), 1e-9)
  end))

  it("cancelled while it waits for a task that it has cancelled", in_loop(function()
    local task <const> = asyncio.create_task(function()
      pcall(asyncio.sleep, 10)
      asyncio.sleep(5)
    end)
    local t <const> = asyncio.create_task(asyncio.wait_for, task, 0)
    asyncio.sleep(0)
    asyncio.sleep(0)
    t:cancel("outer")
    assert.equal("outer", cancelled(t.await, t).message)
    assert.is_false(task:done())
    task:await()
  end))

  it("with shield leaves the task alone", in_loop(function()
    local task <const> = asyncio.create_task(sleeper(1, "done"))
    local function shielded() return asyncio.shield(task) end
    is_error(asyncio.TimeoutError, asyncio.wait_for, shielded, 0.1)
    is_error(asyncio.TimeoutError, asyncio.wait_for, shielded, 0)
    assert.is_false(task:done())
    assert.equal("done", task:await())
  end))

  it("takes 0, 1, 2 and 3 hops as CPython", in_loop(function()
    local hops
    hops = count_hops(function() end)
    asyncio.wait_for(function() end, 1)
    assert.equal(0, hops())
    hops = count_hops(function() end)
    pcall(asyncio.wait_for, function() end, 0)
    assert.equal(3, hops())
    hops = count_hops(function() end)
    pcall(asyncio.wait_for, future(), 0)
    assert.equal(2, hops())
    local f <const> = future()
    asyncio.create_task(function() hops = count_hops(function() f:set_result() end) end)
    asyncio.wait_for(f, 1)
    assert.equal(1, hops())
  end))

  it("expires 1 hop after its timer, 2 for a task that waits", in_loop(function()
    local loop <const> = asyncio.get_running_loop()
    local hops
    loop:call_at(1, function() hops = count_hops(function() end) end)
    pcall(asyncio.wait_for, future(), 1)
    assert.equal(1, hops())
    local task <const> = asyncio.create_task(sleeper(9))
    asyncio.sleep(0)
    loop:call_at(2, function() hops = count_hops(function() end) end)
    pcall(asyncio.wait_for, task, 1)
    assert.equal(2, hops())
  end))

  -- peers.md, appendix B, 6
  it("B6: the result that comes in the turn in which the time is over", in_loop(function()
    local f <const> = future()
    asyncio.get_running_loop():call_at(1, f.set_result, f, "in time")
    is_error(asyncio.TimeoutError, asyncio.wait_for, f, 1) -- as CPython; the future keeps it
    assert.equal("in time", f:result())
    assert.equal(0, asyncio.current_task():cancelling())
    local task <const> = asyncio.create_task(sleeper(1, "late"))
    assert.equal("late", asyncio.wait_for(task, 1.125))
  end))

  it("B6: the time that is over first wins", in_loop(function()
    local f <const> = future()
    local t <const> = asyncio.create_task(asyncio.wait_for, f, 1)
    asyncio.sleep(0.5)
    asyncio.get_running_loop():call_at(1, function()
      if not f:done() then f:set_result("late") end
    end)
    is_error(asyncio.TimeoutError, t.await, t)
  end))

  it("B6: a cancellation from outside in the same turn is not hidden", in_loop(function()
    local f <const> = future()
    local t <const> = asyncio.create_task(asyncio.wait_for, f, 1)
    asyncio.get_running_loop():call_at(1, function() t:cancel("outer") end)
    cancelled(t.await, t)
    assert.is_true(t:cancelled())
  end))

  it("B6: a task that is done when its waiter is cancelled (gh-86296)", in_loop(function()
    local inner <const> = asyncio.create_task(function() return "done" end)
    local reached = false
    local t <const> = asyncio.create_task(function()
      asyncio.wait_for(inner, 100)
      asyncio.sleep(1)
      reached = true
    end)
    asyncio.sleep(0)
    t:cancel()
    cancelled(t.await, t)
    assert.equal("done", inner:await())
    assert.is_false(reached)
  end))

  it("at top level", function()
    asyncio.set_event_loop(asyncio.new_event_loop { clock = "virtual" })
    assert.equal("x", asyncio.wait_for(sleeper(1, "x"), 2))
    is_error(asyncio.TimeoutError, asyncio.wait_for, sleeper(3), 2)
    is_error(asyncio.TimeoutError, asyncio.wait_for, sleeper(3), 0)
    asyncio.get_event_loop():close()
    asyncio.set_event_loop(nil)
  end)

  it("checks its arguments", in_loop(function()
    refused("#1.*awaitable", asyncio.wait_for)
    refused("#1.*awaitable", asyncio.wait_for, {}, 1)
    refused("#2.*number", asyncio.wait_for, future(), "soon")
    refused("#2.*NaN", asyncio.wait_for, future(), 0 / 0)
    refused("#3", asyncio.wait_for, future(), 1, 2)
  end))
end)

describe("asyncio.shield", function()
  it("returns the results, raises the error", in_loop(function()
    assert.same({ 1, 2 }, { asyncio.shield(function()
      asyncio.sleep(1)
      return 1, 2
    end) })
    assert.has_error(function() asyncio.shield(failing(1, "x")) end, "x")
    local f <const> = future()
    f:set_result("at once")
    local hops <const> = count_hops(function() end)
    assert.equal("at once", asyncio.shield(f))
    assert.equal(0, hops())
  end))

  it("cancelled: the inner task goes on", in_loop(function()
    local proof = 0
    local inner <const> = asyncio.create_task(function()
      asyncio.sleep(2)
      proof = proof + 1
    end)
    local outer <const> = asyncio.create_task(function()
      asyncio.shield(inner)
      proof = proof + 100
    end)
    asyncio.sleep(1)
    outer:cancel("outer")
    assert.equal("outer", cancelled(outer.await, outer).message)
    inner:await()
    assert.equal(1, proof)
  end))

  it("whose inner task is cancelled raises a CancelledError without message", in_loop(function()
    local inner <const> = asyncio.create_task(sleeper(9))
    asyncio.create_task(function() inner:cancel("secret") end)
    assert.is_nil(cancelled(asyncio.shield, inner).message)
    -- once it is done, its own error is raised
    assert.equal("secret", cancelled(asyncio.shield, inner).message)
  end))

  it("that was left: the error is reported if nobody looks", function()
    run(function()
      local outer <const> = asyncio.create_task(asyncio.shield, failing(2, "unseen"))
      asyncio.sleep(1)
      outer:cancel()
      asyncio.sleep(3)
      collectgarbage()
      collectgarbage()
    end)
    assert.equal(1, #reports)
    assert.equal("unseen", reports[1].exception)
  end)

  it("that was left: nothing is reported if somebody looks", function()
    run(function()
      local inner <const> = asyncio.create_task(failing(2, "seen"))
      local outer <const> = asyncio.create_task(asyncio.shield, inner)
      asyncio.sleep(1)
      outer:cancel()
      assert.has_error(function() inner:await() end, "seen")
    end)
    collectgarbage()
    assert.equal(0, #reports)
  end)

  it("takes 2 hops, cancelled 1", in_loop(function()
    local f <const>, g <const> = future(), future()
    local hops
    asyncio.create_task(function() hops = count_hops(function() f:set_result() end) end)
    asyncio.shield(f)
    assert.equal(2, hops())
    asyncio.create_task(function() hops = count_hops(function() g:cancel() end) end)
    pcall(asyncio.shield, g)
    assert.equal(2, hops())
    local t <const> = asyncio.create_task(function()
      pcall(asyncio.shield, future())
      return hops()
    end)
    ticks(2)
    hops = count_hops(function() t:cancel() end)
    assert.equal(1, t:await())
  end))

  it("of a gather, and a gather of shields", in_loop(function()
    local a <const>, b <const> = future(), future()
    local gathering <const> = asyncio.create_task(asyncio.gather, a, b)
    local outer <const> = asyncio.create_task(asyncio.shield, gathering)
    asyncio.sleep(0)
    outer:cancel()
    cancelled(outer.await, outer)
    a:set_result(1)
    b:set_result(2)
    assert.same({ 1, 2, n = 2 }, gathering:await())

    local c <const> = future()
    local shields <const> = asyncio.create_task(asyncio.gather,
      function() return asyncio.shield(c) end, function() return asyncio.shield(c) end)
    ticks(3)
    shields:cancel()
    cancelled(shields.await, shields)
    assert.is_false(c:done())
  end))

  it("at top level", function()
    asyncio.set_event_loop(asyncio.new_event_loop { clock = "virtual" })
    assert.equal("x", asyncio.shield(sleeper(1, "x")))
    asyncio.get_event_loop():close()
    asyncio.set_event_loop(nil)
  end)

  it("checks its arguments", in_loop(function()
    refused("#1.*awaitable", asyncio.shield)
    refused("#1.*awaitable", asyncio.shield, "x")
    refused("#2", asyncio.shield, future(), 1)
  end))
end)

-- peers.md, appendix B, 17
describe("B17: gather and the others wait inside", function()
  local cases <const> = {
    ["an iterator"] = function(f)
      local result
      for x in function(_, last) if not last then return f() end end do result = x end
      return result
    end,
    __index = function(f) return setmetatable({}, { __index = f }).x end,
    __call = function(f) return setmetatable({}, { __call = f })() end,
    pcall = function(f) return select(2, pcall(f)) end,
    xpcall = function(f) return select(2, xpcall(f, debug.traceback)) end,
    __close = function(f)
      local result
      do
        local _ <close> = setmetatable({}, { __close = function() result = f() end })
      end
      return result
    end,
    __lt = function(f)
      local result
      local object <const> = setmetatable({}, { __lt = function()
        result = f()
        return true
      end })
      assert.is_true(object < object)
      return result
    end,
  }

  for name, case in pairs(cases) do
    it(name, in_loop(function()
      assert.equal("r", case(function() return asyncio.gather(sleeper(1, "r"))[1] end))
      assert.equal("r", case(function() return asyncio.shield(sleeper(1, "r")) end))
      assert.equal("r", case(function() return asyncio.wait_for(sleeper(1, "r"), 2) end))
      assert.equal("r", case(function() return (asyncio.wait({ sleeper(1, "r") }))[1]:result() end))
      assert.equal("r", case(function()
        return asyncio.as_completed({ sleeper(1, "r") })():result()
      end))
    end))
  end

  it("and say so where Lua forbids it", in_loop(function()
    local message
    pcall(table.sort, { 1, 2, 3 }, function()
      local _, e = pcall(asyncio.gather, sleeper(1))
      message = e
      return false
    end)
    assert.matches("table.sort", message)
    message = select(2, pcall(string.gsub, "x", "x", function() asyncio.shield(sleeper(1)) end))
    assert.matches("gsub", message)
  end))
end)
