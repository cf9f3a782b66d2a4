-- SPDX-License-Identifier: MIT
-- timeout, timeout_at and TaskGroup, on the virtual clock.

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

local function ticks(n)
  for _ = 1, n do asyncio.sleep(0) end
end

-- Counts turns of the loop from the call on.
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

local function is_error(class, f, ...)
  local ok, err = pcall(f, ...)
  if ok then error(class.name .. " expected, nothing was raised", 2) end
  if not asyncio.is(err, class) then
    error(("%s expected, got %s"):format(class.name, tostring(err)), 2)
  end
  return err
end

local function late(f, ...) return is_error(asyncio.TimeoutError, f, ...) end
local function cancelled(f, ...) return is_error(asyncio.CancelledError, f, ...) end
local function group_error(f, ...) return is_error(asyncio.ExceptionGroup, f, ...) end

local function failing(seconds, err)
  return function()
    asyncio.sleep(seconds)
    error(err, 0)
  end
end

-- Sleeps; notes in `log` when that is cancelled.
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

-- Sleeps, and fails when it is cancelled.
local function crashing(seconds, err)
  return function()
    pcall(asyncio.sleep, seconds)
    error(err, 0)
  end
end

local function cancelling()
  return asyncio.current_task():cancelling()
end

-- What a function does in a scope made by `make`: as a block with <close>, or given to it.
local function block(make, f)
  local scope <close> = make()
  return f(scope)
end

describe("asyncio.timeout", function()
  it("turns the cancellation that it caused into TimeoutError", in_loop(function()
    local scope
    local err <const> = late(function()
      local t <close> = asyncio.timeout(0.1)
      scope = t
      asyncio.sleep(10)
    end)
    assert.is_nil(err.message)
    assert.is_true(scope:expired())
    assert.near(0.1, now(), 1e-9)
    assert.equal(0, cancelling())
  end))

  it("that is not needed changes nothing", in_loop(function()
    local scope
    do
      local t <close> = asyncio.timeout(10)
      scope = t
      asyncio.sleep(0.1)
      assert.near(10, t:when(), 1e-9)
    end
    assert.is_false(scope:expired())
    asyncio.sleep(20)
  end))

  it("timeout_at takes a time of the clock", in_loop(function()
    asyncio.sleep(1)
    local scope
    late(function()
      local t <close> = asyncio.timeout_at(now() + 0.5)
      scope = t
      asyncio.sleep(10)
    end)
    assert.is_true(scope:expired())
    assert.near(1.5, scope:when(), 1e-9)
    assert.near(1.5, now(), 1e-9)
  end))

  it("without a limit", in_loop(function()
    for _, make in ipairs { asyncio.timeout, asyncio.timeout_at } do
      local t <close> = make(nil)
      asyncio.sleep(1)
      assert.is_nil(t:when())
      assert.is_false(t:expired())
    end
  end))

  it("nested: only the outermost that is over raises TimeoutError", in_loop(function()
    local was_cancelled, inner, outer
    local deadline <const> = now() + 0.1
    late(function()
      local t1 <close> = asyncio.timeout_at(deadline)
      outer = t1
      local err <const> = cancelled(function()
        local t2 <close> = asyncio.timeout_at(deadline)
        inner = t2
        asyncio.sleep(10)
      end)
      was_cancelled = true
      error(err, 0)
    end)
    assert.is_true(was_cancelled)
    assert.is_true(inner:expired())
    assert.is_true(outer:expired())
  end))

  it("nested: the inner one first, then the outer one", in_loop(function()
    late(function()
      local _ <close> = asyncio.timeout(0.2)
      late(function()
        local _ <close> = asyncio.timeout(0.1)
        asyncio.sleep(10)
      end)
      assert.near(0.1, now(), 1e-9)
      asyncio.sleep(10)
    end)
    assert.near(0.2, now(), 1e-9)
  end))

  it("of 0 or less is over at the first wait", in_loop(function()
    for _, s in ipairs { 0, -11 } do
      local scope
      late(function()
        local t <close> = asyncio.timeout(s)
        scope = t
        asyncio.sleep(s == 0 and 10 or 0)
      end)
      assert.is_true(scope:expired())
      assert.equal(s, scope:when())
    end
    assert.equal(0, now())
  end))

  it("of 0 does not touch what does not wait", in_loop(function()
    local t <close> = asyncio.timeout(0)
    assert.is_false(t:expired())
  end))

  it("that expires in a function that swallows it ends quietly", in_loop(function()
    do
      local t <close> = asyncio.timeout(1)
      pcall(asyncio.sleep, 5)
      assert.is_true(t:expired())
    end
    assert.equal(0, cancelling())
    asyncio.sleep(1)
  end))

  it("lets other errors through", in_loop(function()
    local err <const> = { "mine" }
    local ok, e = pcall(function()
      local _ <close> = asyncio.timeout(1)
      error(err)
    end)
    assert.is_false(ok)
    assert.equal(err, e)
  end))

  it("lets an error through that came in place of its cancellation", in_loop(function()
    assert.has_error(function()
      local _ <close> = asyncio.timeout(0.1)
      crashing(10, "crash")()
    end, "crash")
    assert.equal(0, cancelling())
  end))

  it("lets a cancellation from outside through", in_loop(function()
    local scope
    local t <const> = asyncio.create_task(function()
      local s <close> = asyncio.timeout(10)
      scope = s
      asyncio.sleep(20)
    end)
    asyncio.sleep(1)
    t:cancel("outer")
    assert.equal("outer", cancelled(t.await, t).message)
    assert.is_false(scope:expired())
  end))

  it("lets the task's own cancellation through", in_loop(function()
    local t <const> = asyncio.create_task(function()
      local _ <close> = asyncio.timeout(10)
      asyncio.current_task():cancel("self")
      asyncio.sleep(20)
    end)
    assert.equal("self", cancelled(t.await, t).message)
  end))

  it("the task that it cancelled is not cancelled", in_loop(function()
    local t <const> = asyncio.create_task(function()
      late(function()
        local _ <close> = asyncio.timeout(0.1)
        asyncio.sleep(10)
      end)
    end)
    t:await()
    assert.is_false(t:cancelled())
  end))

  it("in a cleanup after a cancellation", in_loop(function()
    local t <const> = asyncio.create_task(function()
      asyncio.current_task():cancel()
      pcall(asyncio.sleep, 1)
      assert.equal(1, cancelling())
      late(function()
        local _ <close> = asyncio.timeout(0)
        asyncio.sleep(1)
      end)
      cancelled(function()
        local _ <close> = asyncio.timeout(1)
        asyncio.current_task():cancel()
        asyncio.sleep(2)
      end)
      return cancelling()
    end)
    assert.equal(2, t:await())
  end))

  it("in a __close, while another one is on its way", in_loop(function()
    late(function()
      local _ <close> = asyncio.timeout(0.1)
      local _ <close> = setmetatable({}, { __close = function()
        late(function()
          local _ <close> = asyncio.timeout(0.1)
          asyncio.sleep(10)
        end)
      end })
      asyncio.sleep(1)
    end)
    assert.near(0.2, now(), 1e-9)
  end))

  it("reschedule: later, never, sooner, at once", in_loop(function()
    local scope
    local t <const> = asyncio.create_task(function()
      local s <close> = asyncio.timeout(10)
      scope = s
      asyncio.sleep(50)
    end)
    asyncio.sleep(1)
    scope:reschedule(30)
    assert.equal(30, scope:when())
    asyncio.sleep(19)
    assert.is_false(scope:expired())
    scope:reschedule(nil)
    assert.is_nil(scope:when())
    asyncio.sleep(20)
    assert.is_false(t:done())
    scope:reschedule(5)
    assert.equal(5, scope:when())
    late(t.await, t)
    assert.near(40, now(), 1e-9)
    assert.is_true(scope:expired())
  end))

  it("reschedule takes a deadline back that was due in this turn", in_loop(function()
    local t <close> = asyncio.timeout(0)
    t:reschedule(5)
    asyncio.sleep(1)
    t:reschedule(now())
    t:reschedule(nil)
    asyncio.sleep(10)
    assert.is_false(t:expired())
  end))

  it("reschedule is refused once it is expiring, expired or finished", in_loop(function()
    local scope
    late(function()
      local t <close> = asyncio.timeout(0.1)
      scope = t
      local err <const> = cancelled(asyncio.sleep, 1)
      refused("expiring", t.reschedule, t, 5)
      error(err, 0)
    end)
    refused("expired", scope.reschedule, scope, 5)
    do
      local t <close> = asyncio.timeout(0.1)
      scope = t
    end
    refused("finished", scope.reschedule, scope, 5)
  end))

  it("whose loop has closed cannot be rescheduled", function()
    local t
    run(function()
      asyncio.create_task(function()
        local scope <close> = asyncio.timeout(5)
        t = scope
        asyncio.sleep(9)
      end)
      asyncio.sleep(0)
    end)
    assert.error_matches(function() t:reschedule(1) end, "cannot reschedule a timeout that is")
    local stale
    run(function()
      asyncio.create_task(function()
        stale = asyncio.timeout(5)
        asyncio.sleep(9)
      end)
      asyncio.sleep(0)
    end)
    assert.error_matches(function() stale:reschedule(1) end, "the event loop is closed")
  end)

  it("tostring", in_loop(function()
    local scope
    do
      local t <close> = asyncio.timeout(1.5)
      assert.equal("<Timeout [active] when=1.5>", tostring(t))
      t:reschedule(nil)
      assert.equal("<Timeout [active] when=nil>", tostring(t))
      scope = t
    end
    assert.equal("<Timeout [finished]>", tostring(scope))
    pcall(block, function()
      scope = asyncio.timeout(0)
      return scope
    end, function() asyncio.sleep(1) end)
    assert.equal("<Timeout [expired]>", tostring(scope))
  end))

  it("with a function runs it in this task and returns its results", in_loop(function()
    local main <const> = asyncio.current_task()
    assert.same({ main, 1, nil, 3, n = 4 }, table.pack(asyncio.timeout(5, function(...)
      asyncio.sleep(1)
      return asyncio.current_task(), ...
    end, 1, nil, 3)))
    assert.equal("x", asyncio.timeout_at(now() + 5, sleeper(1, "x")))
    assert.equal("x", asyncio.timeout(nil, sleeper(1, "x")))
  end))

  it("with a function raises TimeoutError, or the function's error", in_loop(function()
    late(asyncio.timeout, 1, asyncio.sleep, 5)
    late(asyncio.timeout_at, now() + 1, asyncio.sleep, 5)
    assert.near(2, now(), 1e-9)
    local err <const> = {}
    local ok, e = pcall(asyncio.timeout, 1, error, err)
    assert.is_false(ok)
    assert.equal(err, e)
    assert.equal(0, cancelling())
  end))

  it("with another awaitable", in_loop(function()
    assert.equal("x", asyncio.timeout(5, asyncio.create_task(sleeper(1, "x"))))
    assert.equal("x", asyncio.timeout(5, asyncio.async(sleeper(1, "x"))()))
    assert.equal("x", asyncio.timeout(5, coroutine.create(sleeper(1, "x"))))
    local task <const> = asyncio.create_task(sleeper(9))
    late(asyncio.timeout, 1, task)
    assert.is_true(task:cancelled())
  end))

  it("with a function keeps the traceback of its error", in_loop(function()
    local function here() error("deep") end
    local ok, text = xpcall(asyncio.timeout, function(e) return debug.traceback(e) end, 1, here)
    assert.is_false(ok)
    assert.matches("in upvalue 'here'", text:gsub("in function <", "in upvalue 'here' <"))
    assert.matches("scope_spec.lua:%d+: deep", text)
    local _, lines = text:gsub("scope_spec.lua", "")
    assert.is_true(lines >= 2)
  end))

  it("with a function works at top level", function()
    asyncio.set_event_loop(asyncio.new_event_loop { clock = "virtual" })
    assert.equal("x", asyncio.timeout(5, sleeper(1, "x")))
    late(asyncio.timeout, 5, sleeper(6))
    late(asyncio.timeout_at, asyncio.get_event_loop():time() + 1, sleeper(6))
    asyncio.get_event_loop():close()
    asyncio.set_event_loop(nil)
  end)

  it("without one is an error outside a task", in_loop(function()
    local done <const> = future()
    asyncio.get_running_loop():call_soon(function()
      done:set_result(select(2, pcall(asyncio.timeout, 5)), select(2, pcall(asyncio.timeout_at, 5)),
        select(2, pcall(asyncio.timeout, 5, print)))
    end)
    local a, b, c = done:await()
    assert.matches("inside a task", a)
    assert.matches("inside a task", b)
    assert.matches("callback", c)
  end))

  it("without one is an error at top level", function()
    refused("inside a task", asyncio.timeout, 5)
    refused("inside a task", asyncio.timeout_at, nil)
  end)

  it("that nobody closes disarms itself and says so when it is collected", function()
    run(function()
      asyncio.timeout(5)
      collectgarbage()
      collectgarbage()
      asyncio.sleep(10)
      assert.equal(0, cancelling())
    end)
    assert.equal(1, #reports)
    assert.matches("never closed", reports[1].message)
    assert.equal("userdata", type(reports[1].task))
  end)

  it("of a task that is closed with its loop is left", function()
    local scope, ended
    run(function()
      asyncio.create_task(function()
        local t <close> = asyncio.timeout(5)
        scope = t
        asyncio.sleep(9)
      end)
      asyncio.create_task(function()
        asyncio.timeout(5, function()
          local _ <close> = setmetatable({}, { __close = function() ended = true end })
          asyncio.sleep(9)
        end)
      end)
      asyncio.sleep(1)
    end)
    assert.equal("<Timeout [finished]>", tostring(scope))
    assert.is_true(ended)
    collectgarbage()
    assert.equal(0, #reports)
  end)

  it("takes 1 hop from its timer, 2 when it begins over, 0 when it is left", in_loop(function()
    local loop <const> = asyncio.get_running_loop()
    local hops
    loop:call_at(1, function() hops = count_hops(function() end) end)
    late(asyncio.timeout, 1, asyncio.sleep, 9)
    assert.equal(1, hops())
    hops = count_hops(function() end)
    late(asyncio.timeout, 0, asyncio.sleep, 9)
    assert.equal(2, hops())
    hops = count_hops(function() end)
    asyncio.timeout(1, function() end)
    assert.equal(0, hops())
  end))

  it("works in an inner coroutine", in_loop(function()
    late(function()
      for _ in asyncio.wrap(function()
        local _ <close> = asyncio.timeout(1)
        coroutine.yield(1)
        asyncio.sleep(9)
      end) do asyncio.sleep(0.1) end
    end)
    assert.near(1, now(), 1e-9)
    assert.equal(0, cancelling())
  end))

  it("checks its arguments", in_loop(function()
    for _, f in ipairs { asyncio.timeout, asyncio.timeout_at } do
      refused("#1.*value expected", f)
      refused("#1.*number expected", f, "soon")
      refused("#1.*NaN", f, 0 / 0)
      refused("#2.*awaitable", f, 1, 2)
      refused("#2.*awaitable", f, 1, nil)
      refused("#3", f, 1, future(), 3)
    end
    local t <close> = asyncio.timeout(1)
    refused("value expected", t.reschedule, t)
    refused("number expected", t.reschedule, t, {})
    refused("NaN", t.reschedule, t, 0 / 0)
    for _, name in ipairs { "when", "reschedule", "expired" } do
      assert.error_matches(function() t[name](5, 5) end, "Timeout expected")
    end
    refused("Timeout expected", getmetatable(t).__close, 5)
  end))

  -- peers.md, appendix B, 6
  it("B6: expires in the turn in which the result comes", in_loop(function()
    local loop <const> = asyncio.get_running_loop()
    local f <const> = future()
    loop:call_at(1, f.set_result, f, "in time")
    do
      local t <close> = asyncio.timeout(1)
      assert.equal(1, t:when())
      cancelled(f.await, f) -- both came: the cancellation is not lost, nor is it raised twice
    end
    assert.equal(0, cancelling())
    assert.equal("in time", f:await())
  end))

  it("B6: a cancellation from outside in the same turn wins", in_loop(function()
    for _, order in ipairs { "before", "after" } do
      local t
      local at <const> = now() + 1
      local function cancel()
        asyncio.get_running_loop():call_at(at, function() t:cancel("outer") end)
      end
      t = asyncio.create_task(function()
        local _ <close> = asyncio.timeout_at(at)
        asyncio.sleep(9)
      end)
      if order == "before" then cancel() end
      asyncio.sleep(0.5)
      if order == "after" then cancel() end
      cancelled(t.await, t)
      assert.equal(1, t:cancelling())
    end
  end))
end)

describe("asyncio.TaskGroup", function()
  it("awaits its tasks when the block ends", in_loop(function()
    local t1, t2
    do
      local tg <close> = asyncio.TaskGroup()
      t1 = tg:create_task(sleeper(0.1, 42))
      asyncio.sleep(0.15)
      t2 = tg:create_task(sleeper(0.2, 11))
      assert.is_true(t1:done())
    end
    assert.equal(42, t1:result())
    assert.equal(11, t2:result())
    assert.near(0.35, now(), 1e-9)
  end))

  it("takes functions with arguments, coroutine objects, threads and others", in_loop(function()
    local tasks <const> = {}
    asyncio.TaskGroup(function(tg)
      tasks[1] = tg:create_task(math.max, 1, 3, 2)
      tasks[2] = tg:create_task(asyncio.async(math.max)(4))
      tasks[3] = tg:create_task(coroutine.create(function() return 5 end))
      tasks[4] = tg:create_task(setmetatable({}, { __await = function() return 6 end }))
      assert.equal("yolo", tg:create_task(sleeper(0)):set_name("yolo"):get_name())
    end)
    for i, task in ipairs(tasks) do assert.equal(i + 2, task:result()) end
  end))

  it("without tasks is left at once", in_loop(function()
    local hops <const> = count_hops(function() end)
    do
      local _ <close> = asyncio.TaskGroup()
    end
    assert.equal("x", asyncio.TaskGroup(function() return "x" end))
    assert.equal(0, hops())
  end))

  it("a task that is cancelled is no error", in_loop(function()
    local t1, t2
    do
      local tg <close> = asyncio.TaskGroup()
      t1 = tg:create_task(sleeper(1))
      asyncio.sleep(0.15)
      t1:cancel()
      t2 = tg:create_task(sleeper(0.2, 11))
    end
    assert.is_true(t1:cancelled())
    assert.equal(11, t2:result())
  end))

  it("the first failure cancels the others and the block", in_loop(function()
    local log <const> = {}
    local reached, t2 = false, nil
    local err <const> = group_error(function()
      local tg <close> = asyncio.TaskGroup()
      tg:create_task(failing(0.1, "first"))
      t2 = tg:create_task(sleeper(1, "sibling", log))
      sleeper(10, "block", log)()
      reached = true
    end)
    assert.same({ "first" }, err.exceptions)
    assert.equal("unhandled errors in a TaskGroup", err.message)
    assert.is_false(reached)
    assert.is_true(t2:cancelled())
    table.sort(log)
    assert.same({ "block", "sibling" }, log)
    assert.near(0.1, now(), 1e-9)
    assert.equal(0, cancelling())
  end))

  it("the same when the block has ended", in_loop(function()
    local log <const> = {}
    local err <const> = group_error(asyncio.TaskGroup, function(tg)
      tg:create_task(failing(0.1, { 7 }))
      tg:create_task(sleeper(1, "sibling", log))
    end)
    assert.same({ { 7 } }, err.exceptions)
    assert.same({ "sibling" }, log)
    assert.equal(0, cancelling())
  end))

  it("keeps the error values in their order, the block's own last", in_loop(function()
    local e1 <const>, e2 <const>, e3 <const> = {}, {}, {}
    local err <const> = group_error(function()
      local tg <close> = asyncio.TaskGroup()
      tg:create_task(crashing(10, e2))
      tg:create_task(failing(0.1, e1))
      crashing(10, e3)()
    end)
    assert.equal(3, #err.exceptions)
    assert.equal(e1, err.exceptions[1])
    local last <const> = { [err.exceptions[2]] = true, [err.exceptions[3]] = true }
    assert.is_true(last[e2] and last[e3])
    assert.equal(e3, err.exceptions[3])
  end))

  it("an error of the block cancels the tasks and joins the group of errors", in_loop(function()
    for _, wait in ipairs { 0.1, 0 } do
      local t1, t2
      local err <const> = group_error(function()
        local tg <close> = asyncio.TaskGroup()
        t1 = tg:create_task(sleeper(1))
        t2 = tg:create_task(sleeper(2))
        if wait > 0 then asyncio.sleep(wait) end
        error("block", 0)
      end)
      assert.same({ "block" }, err.exceptions)
      assert.is_true(t1:cancelled())
      assert.is_true(t2:cancelled())
    end
    assert.near(0.1, now(), 1e-9)
  end))

  it("cancelled at its exit: cancels the tasks in their order, and raises", in_loop(function()
    local log <const> = {}
    local t <const> = asyncio.create_task(asyncio.TaskGroup, function(tg)
      for i = 1, 5 do tg:create_task(sleeper(5, i, log)) end
    end)
    asyncio.sleep(0.1)
    t:cancel("outer")
    assert.equal("outer", cancelled(t.await, t).message)
    assert.same({ 1, 2, 3, 4, 5 }, log)
    assert.is_true(t:cancelled())
  end))

  it("cancelled in its block", in_loop(function()
    local log <const> = {}
    local t <const> = asyncio.create_task(function()
      local tg <close> = asyncio.TaskGroup()
      for i = 1, 5 do tg:create_task(sleeper(5, i, log)) end
      sleeper(10, 0, log)()
    end)
    asyncio.sleep(0.1)
    t:cancel("outer")
    assert.equal("outer", cancelled(t.await, t).message)
    assert.same({ 0, 1, 2, 3, 4, 5 }, log)
  end))

  it("cancelled, and the tasks fail: their errors go first", in_loop(function()
    local t <const> = asyncio.create_task(function()
      local tg <close> = asyncio.TaskGroup()
      for i = 1, 5 do tg:create_task(crashing(10, i)) end
      asyncio.sleep(10)
    end)
    asyncio.sleep(0.1)
    t:cancel()
    assert.same({ 1, 2, 3, 4, 5 }, group_error(t.await, t).exceptions)
    assert.equal(1, t:cancelling())
  end))

  it("in a group: the error groups nest", in_loop(function()
    for _, more in ipairs { false, true } do
      local t <const> = asyncio.create_task(function()
        local outer <close> = asyncio.TaskGroup()
        if more then outer:create_task(sleeper(10)) end
        local inner <close> = asyncio.TaskGroup()
        for _ = 1, 5 do inner:create_task(crashing(10, "x")) end
        asyncio.sleep(10)
      end)
      asyncio.sleep(0.1)
      assert.is_false(t:done())
      t:cancel()
      local err <const> = group_error(t.await, t)
      assert.equal(1, #err.exceptions)
      assert.is_true(asyncio.is(err.exceptions[1], asyncio.ExceptionGroup))
      assert.same({ "x", "x", "x", "x", "x" }, err.exceptions[1].exceptions)
    end
  end))

  it("in a group: a task of the outer one fails", in_loop(function()
    local err <const> = group_error(function()
      local outer <close> = asyncio.TaskGroup()
      outer:create_task(failing(0.1, "outer"))
      local inner <close> = asyncio.TaskGroup()
      inner:create_task(failing(10, "inner"))
    end)
    assert.same({ "outer" }, err.exceptions)
    assert.equal(0, cancelling())
  end))

  it("in a group: a task of the inner one fails", in_loop(function()
    local err <const> = group_error(function()
      local outer <close> = asyncio.TaskGroup()
      outer:create_task(failing(10, "outer"))
      local inner <close> = asyncio.TaskGroup()
      inner:create_task(failing(0.1, "inner"))
    end)
    assert.same({ "inner" }, err.exceptions[1].exceptions)
    assert.near(0.1, now(), 1e-9)
  end))

  it("in a group: both fail in one turn, and the count of cancellations is kept", in_loop(function()
    local between
    local err <const> = group_error(function()
      local outer <close> = asyncio.TaskGroup()
      group_error(function()
        local inner <close> = asyncio.TaskGroup()
        inner:create_task(failing(0, "inner"))
        outer:create_task(failing(0, "outer"))
      end)
      between = cancelling()
    end)
    assert.equal(1, between)
    assert.same({ "outer" }, err.exceptions)
    assert.equal(0, cancelling())
  end))

  it("cancelled while the block cleans up, and a task fails", in_loop(function()
    local function block_with_cleanup()
      local tg <close> = asyncio.TaskGroup()
      tg:create_task(crashing(0.3, "crash"))
      local ok, err = pcall(asyncio.sleep, 10)
      asyncio.sleep(0.5)
      if not ok then error(err, 0) end
    end
    local function through_a_task() asyncio.create_task(block_with_cleanup):await() end
    for _, f in ipairs { block_with_cleanup, through_a_task } do
      local t <const> = asyncio.create_task(f)
      asyncio.sleep(0.1)
      t:cancel()
      assert.same({ "crash" }, group_error(t.await, t).exceptions)
    end
  end))

  it("an error and a cancellation: the cancellation is raised at the next wait", in_loop(function()
    local started <const> = asyncio.Event()
    local counts, reached = {}, false
    local t <const> = asyncio.create_task(function()
      group_error(function()
        local tg <close> = asyncio.TaskGroup()
        tg:create_task(function()
          started:set()
          asyncio.sleep(0)
          error("x", 0)
        end)
        asyncio.sleep(1)
        reached = true
      end)
      counts[1] = cancelling()
      asyncio.sleep(1)
      reached = true
    end)
    started:wait()
    assert.equal(0, t:cancelling())
    t:cancel()
    cancelled(t.await, t)
    assert.same({ 1 }, counts)
    assert.is_false(reached)
  end))

  it("a __close between the block and the group fails, too (gh-95289)", in_loop(function()
    local err <const> = group_error(function()
      local tg <close> = asyncio.TaskGroup()
      local _ <close> = setmetatable({}, { __close = function() error("database", 0) end })
      tg:create_task(failing(0, "task"))
      asyncio.sleep(1)
    end)
    assert.same({ "task", "database" }, err.exceptions)
    assert.equal(0, cancelling())
  end))

  it("tasks may start tasks, also while the group waits for them", in_loop(function()
    local n = 0
    asyncio.TaskGroup(function(tg)
      local function grow(depth)
        n = n + 1
        asyncio.sleep(0.1)
        for _ = 1, depth < 4 and 2 or 0 do tg:create_task(grow, depth + 1) end
      end
      tg:create_task(grow, 1)
    end)
    assert.equal(15, n)
  end))

  it("takes no more tasks when one has failed", in_loop(function()
    local heads = 0
    group_error(asyncio.TaskGroup, function(tg)
      local function hydra()
        heads = heads + 1
        asyncio.sleep(0.1)
        tg:create_task(hydra)
        tg:create_task(hydra)
      end
      tg:create_task(hydra)
      tg:create_task(function()
        while heads < 10 do asyncio.sleep(0.15) end
        error("hercules", 0)
      end)
    end)
    assert.is_true(heads >= 10)
    local before <const> = heads
    asyncio.sleep(5)
    assert.equal(before, heads)
  end))

  it("create_task is refused while it shuts down and when it is finished", in_loop(function()
    local message, object
    group_error(asyncio.TaskGroup, function(tg)
      tg:create_task(failing(0, "x"))
      tg:create_task(function()
        pcall(asyncio.sleep, 1)
        object = asyncio.async(function() end)()
        message = select(2, pcall(tg.create_task, tg, object))
      end)
    end)
    assert.matches("shutting down", message)
    assert.has_error(function() asyncio.await(object) end) -- it counts as awaited
    local group
    asyncio.TaskGroup(function(tg) group = tg end)
    object = asyncio.async(function() end)()
    refused("finished", group.create_task, group, object)
    assert.has_error(function() asyncio.await(object) end)
    refused("finished", group.create_task, group, print)
  end))

  it("a KeyboardInterrupt among the errors is raised as it is", in_loop(function()
    local interrupt <const> = asyncio.KeyboardInterrupt()
    local ok, err = pcall(asyncio.TaskGroup, function(tg)
      tg:create_task(failing(0.1, "x"))
      crashing(10, interrupt)()
    end)
    assert.is_false(ok)
    assert.equal(interrupt, err)
  end))

  it("error(nil) of the block looks like its end, but not in Lua 5.5", in_loop(function()
    local ended = false
    local ok, err = pcall(function()
      local tg <close> = asyncio.TaskGroup()
      tg:create_task(function()
        asyncio.sleep(1)
        ended = true
      end)
      error(nil)
    end)
    assert.is_false(ok)
    if helper.NIL_RAISED then -- an error like any other
      assert.is_false(ended)
      assert.is_true(asyncio.is(err, asyncio.ExceptionGroup))
      assert.same({ helper.NIL_RAISED }, err.exceptions)
    else
      assert.is_true(ended)
      assert.is_nil(err)
    end
  end))

  it("with a function returns its results, and raises its errors in a group", in_loop(function()
    assert.same({ 1, nil, 3, n = 3 }, table.pack(asyncio.TaskGroup(function(tg)
      tg:create_task(sleeper(1))
      return 1, nil, 3
    end)))
    assert.near(1, now(), 1e-9)
    local err <const> = group_error(asyncio.TaskGroup, function() error("own", 0) end)
    assert.same({ "own" }, err.exceptions)
    assert.equal(2, asyncio.TaskGroup(setmetatable({}, { __call = function() return 2 end })))
  end))

  it("with a function works at top level", function()
    asyncio.set_event_loop(asyncio.new_event_loop { clock = "virtual" })
    local task
    assert.equal("x", asyncio.TaskGroup(function(tg)
      task = tg:create_task(sleeper(1, "t"))
      return "x"
    end))
    assert.equal("t", task:result())
    assert.same({ "y" }, group_error(asyncio.TaskGroup, function(tg)
      tg:create_task(failing(1, "y"))
    end).exceptions)
    asyncio.get_event_loop():close()
    asyncio.set_event_loop(nil)
  end)

  it("without one is an error outside a task", in_loop(function()
    local done <const> = future()
    asyncio.get_running_loop():call_soon(function()
      local _, a = pcall(asyncio.TaskGroup)
      local _, b = pcall(asyncio.TaskGroup, print)
      done:set_result(a, b)
    end)
    local a, b = done:await()
    assert.matches("inside a task", a)
    assert.matches("callback", b)
  end))

  it("without one is an error at top level", function()
    refused("inside a task", asyncio.TaskGroup)
  end)

  it("that nobody closes is held by its tasks, and says so when it is collected", function()
    run(function()
      local t
      do
        t = asyncio.TaskGroup():create_task(sleeper(1, "x"))
      end
      collectgarbage()
      assert.equal("x", t:await())
      asyncio.sleep(0)
      collectgarbage()
      collectgarbage()
    end)
    assert.equal(1, #reports)
    assert.matches("never closed", reports[1].message)
  end)

  it("that nobody closes still cancels its task when one fails", function()
    run(function()
      local t <const> = asyncio.create_task(function()
        asyncio.TaskGroup():create_task(failing(1, "x"))
        collectgarbage()
        asyncio.sleep(10)
      end)
      cancelled(t.await, t)
      assert.near(1, now(), 1e-9)
    end)
  end)

  it("that is left while create_task is under way still knows its task", in_loop(function()
    local loop <const> = asyncio.get_running_loop()
    local function leave(tg) getmetatable(tg).__close(tg) end
    local left
    loop:set_task_factory(asyncio.eager_task_factory)
    local eager = asyncio.TaskGroup()
    local t <const> = eager:create_task(function()
      leave(eager)
      asyncio.sleep(1)
    end)
    loop:set_task_factory(function(l, ...)
      leave(left)
      return asyncio.Task(l, ...)
    end)
    left = asyncio.TaskGroup()
    local u <const> = left:create_task(asyncio.sleep, 2)
    loop:set_task_factory(nil)
    assert.matches("finished", tostring(left))
    eager, left = nil, nil
    collectgarbage()
    collectgarbage()
    t:await()
    u:await()
    assert.same({}, reports)
  end))

  it("a task that fails after its parent is done is reported", function()
    run(function()
      local t <const> = asyncio.create_task(function()
        asyncio.TaskGroup():create_task(failing(1, "orphan"))
      end)
      t:await()
      asyncio.sleep(2)
    end)
    local found = false
    for _, context in ipairs(reports) do found = found or context.exception == "orphan" end
    assert.is_true(found)
  end)

  it("of another loop cannot be waited for", function()
    local tg
    local loop <const> = asyncio.new_event_loop { clock = "virtual" }
    loop:run_until_complete(function()
      asyncio.create_task(function()
        tg = asyncio.TaskGroup()
        asyncio.sleep(5)
      end)
      asyncio.sleep(0)
      tg:create_task(asyncio.sleep, 1)
    end)
    run(function()
      refused("different event loop", getmetatable(tg).__close, tg)
    end)
    loop:run_until_complete(asyncio.sleep, 2)
    loop:close()
  end)

  it("of a task that is closed with its loop", function()
    local ended = 0
    run(function()
      for _, as_function in ipairs { true, false } do
        asyncio.create_task(function()
          local _ <close> = setmetatable({}, { __close = function() ended = ended + 1 end })
          local function body(tg)
            tg:create_task(sleeper(5))
            asyncio.sleep(as_function and 0 or 9)
          end
          if as_function then asyncio.TaskGroup(body) else block(asyncio.TaskGroup, body) end
        end)
      end
      asyncio.sleep(1)
    end)
    assert.equal(2, ended)
    collectgarbage()
    collectgarbage()
    assert.equal(0, #reports)
  end)

  it("and timeouts in flight are silent when the state is closed", function()
    local source <const> = [[
      local asyncio = require "asyncio"
      local loop = asyncio.new_event_loop { clock = "virtual" }
      local main = function()
        for i = 1, 20 do
          asyncio.create_task(function()
            local t <close> = asyncio.timeout(9)
            local tg <close> = asyncio.TaskGroup()
            tg:create_task(asyncio.wait_for, loop:create_future(), 8)
            asyncio.gather(loop:create_future(), function() asyncio.sleep(i) end)
          end)
        end
        asyncio.sleep(1)
        if END then os.exit(0, true) end
      end
      loop:run_until_complete(main)
      main, loop = nil, nil
      collectgarbage()
    ]]
    for _, ending in ipairs { "true", "false" } do
      local result <const> = helper.run_script("END = " .. ending .. "\n" .. source)
      assert.same({ out = "", err = "", status = 0 }, result)
    end
  end)

  it("closed where nothing can wait: cancels its tasks and says so", in_loop(function()
    local task, message
    pcall(table.sort, { 1, 2 }, function()
      message = select(2, pcall(function()
        local tg <close> = asyncio.TaskGroup()
        task = tg:create_task(sleeper(9))
      end))
      return false
    end)
    assert.matches("table.sort", message)
    ticks(2)
    assert.is_true(task:cancelled())
  end))

  it("a deadlock at its exit is reported with the lines of all", function()
    local err <const> = is_error(asyncio.DeadlockError, run, function()
      local tg <close> = asyncio.TaskGroup()
      tg:create_task(function() future():await() end)
    end)
    local _, n = tostring(err):gsub("scope_spec.lua:%d+", "")
    assert.equal(2, n)
  end)

  it("tostring", in_loop(function()
    local group
    group_error(function()
      local tg <close> = asyncio.TaskGroup()
      group = tg
      assert.equal("<TaskGroup entered>", tostring(tg))
      tg:create_task(failing(0, "x"))
      tg:create_task(function()
        pcall(asyncio.sleep, 1)
        assert.equal("<TaskGroup tasks=1 errors=1 cancelling>", tostring(tg))
      end)
      assert.equal("<TaskGroup tasks=2 entered>", tostring(tg))
    end)
    assert.matches("finished", tostring(group))
  end))

  it("takes 2 hops from the last task; 2 and 4 when one fails", in_loop(function()
    local hops
    do
      local tg <close> = asyncio.TaskGroup()
      tg:create_task(function()
        ticks(3)
        hops = count_hops(function() end)
      end)
    end
    assert.equal(2, hops())
    for n, sibling in pairs { [2] = false, [4] = true } do
      pcall(function()
        local tg <close> = asyncio.TaskGroup()
        tg:create_task(function()
          ticks(3)
          hops = count_hops(function() end)
          error("x", 0)
        end)
        if sibling then tg:create_task(sleeper(9)) end
        asyncio.sleep(9)
      end)
      assert.equal(n, hops())
    end
  end))

  it("cancelled at its exit: 4 hops", in_loop(function()
    local hops
    local t <const> = asyncio.create_task(function()
      pcall(asyncio.TaskGroup, function(tg) tg:create_task(function() future():await() end) end)
      return hops()
    end)
    ticks(3)
    hops = count_hops(function() t:cancel() end)
    assert.equal(4, t:await())
  end))

  it("with eager tasks that do not wait: 0 hops", in_loop(function()
    asyncio.get_running_loop():set_task_factory(asyncio.eager_task_factory)
    local hops <const> = count_hops(function() end)
    local task
    do
      local tg <close> = asyncio.TaskGroup()
      task = tg:create_task(function() return 1 end)
      assert.equal(1, task:result())
    end
    assert.equal(0, hops())
  end))

  it("checks its arguments", in_loop(function()
    refused("#1.*function expected", asyncio.TaskGroup, 5)
    refused("#1.*function expected", asyncio.TaskGroup, nil)
    refused("#2", asyncio.TaskGroup, print, 5)
    local tg <close> = asyncio.TaskGroup()
    refused("awaitable", tg.create_task, tg)
    refused("awaitable", tg.create_task, tg, "x")
    refused("got a Future", tg.create_task, tg, future())
    refused("no value expected", tg.create_task, tg, asyncio.async(print)(), 1)
    refused("TaskGroup expected", tg.create_task, {}, print)
    refused("TaskGroup expected", getmetatable(tg).__close, {})
  end))

  it("with 10,000 tasks", in_loop(function()
    local n <const> = helper.scale(10000, 20)
    local sum = 0
    asyncio.TaskGroup(function(tg)
      for i = 1, n do
        tg:create_task(function()
          asyncio.sleep(i % 7)
          sum = sum + 1
        end)
      end
    end)
    assert.equal(n, sum)
    local err <const> = group_error(asyncio.TaskGroup, function(tg)
      for _ = 1, n do tg:create_task(sleeper(9)) end
      tg:create_task(failing(1, "x"))
    end)
    assert.same({ "x" }, err.exceptions)
  end))

  -- Runs n tasks that do nothing in the group, in places that are free or new.
  local function pass_through(tg, n)
    for _ = 1, n do tg:create_task(function() end) end
    ticks(2)
  end

  it("cancels in the order of creation, whichever places its tasks have", in_loop(function()
    local log <const> = {}
    local t <const> = asyncio.create_task(asyncio.TaskGroup, function(tg)
      for i = 1, 30 do
        pass_through(tg, i % 5)
        tg:create_task(sleeper(i == 9 and 1 or 9, i, log))
        if i % 4 == 0 then pass_through(tg, 20) end
      end
      asyncio.sleep(2)
      for i = 31, 40 do tg:create_task(sleeper(9, i, log)) end
    end)
    asyncio.sleep(3)
    t:cancel()
    cancelled(t.await, t)
    local order <const> = {}
    for i = 1, 40 do
      if i ~= 9 then order[#order + 1] = i end
    end
    assert.same(order, log)
  end))

  it("keeps many errors in their order", in_loop(function()
    local n <const> = helper.scale(3000, 20)
    local expected <const> = {}
    local err <const> = group_error(asyncio.TaskGroup, function(tg)
      pass_through(tg, 10)
      for i = 1, n do
        tg:create_task(crashing(9, i))
        expected[i + 1] = i
      end
      tg:create_task(failing(1, 0))
      expected[1] = 0
    end)
    collectgarbage()
    assert.same(expected, err.exceptions)
  end))

  it("lets go of its tasks when they have ended", in_loop(function()
    local alive <const> = setmetatable({}, { __mode = "k" })
    local loop <const> = asyncio.get_running_loop()
    local function start(tg, f)
      for _ = 1, 20 do alive[tg:create_task(f)] = true end
    end
    asyncio.TaskGroup(function(tg)
      tg:create_task(asyncio.sleep, 2)
      start(tg, function() return {} end)
      start(tg, function() asyncio.sleep(1) end)
      start(tg, function() asyncio.current_task():cancel() end)
      loop:set_task_factory(asyncio.eager_task_factory)
      start(tg, function() return {} end)
      loop:set_task_factory(nil)
      asyncio.sleep(1.5)
      collectgarbage()
      collectgarbage()
      assert.is_nil(next(alive))
      assert.equal("<TaskGroup tasks=1 entered>", tostring(tg))
    end)
  end))

  it("holds a task that has ended until the group has seen it", in_loop(function()
    local done <const> = {}
    local err <const> = group_error(asyncio.TaskGroup, function(tg)
      for i = 1, 10 do
        tg:create_task(function()
          done[#done + 1] = i
          asyncio.get_running_loop():call_soon(collectgarbage)
          if i == 5 then error("x", 0) end
        end)
      end
    end)
    assert.same({ "x" }, err.exceptions)
    assert.equal(10, #done)
  end))

  it("eager tasks that start tasks in it, at every number of tasks", in_loop(function()
    local depth <const> = helper.scale(40, 20)
    asyncio.get_running_loop():set_task_factory(asyncio.eager_task_factory)
    for first = 0, 17 do
      local ended, log = 0, {}
      local function nest(tg, level)
        if level > 0 then tg:create_task(nest, tg, level - 1) end
        asyncio.sleep(level % 3)
        ended = ended + 1
      end
      asyncio.TaskGroup(function(tg)
        for _ = 1, first do tg:create_task(asyncio.sleep, 1) end
        tg:create_task(nest, tg, depth)
      end)
      assert.equal(depth + 1, ended)
      local err <const> = group_error(asyncio.TaskGroup, function(tg)
        for i = 1, first do tg:create_task(sleeper(9, i, log)) end
        local function inner(level)
          if level > 0 then return tg:create_task(inner, level - 1) end
          error("inner", 0)
        end
        tg:create_task(inner, 20)
      end)
      assert.same({ "inner" }, err.exceptions)
      assert.equal(first, #log)
    end
  end))

  -- Lua 5.4 collects everything at each allocation of f.
  local function pressed(f)
    if _VERSION ~= "Lua 5.4" then return f() end
    collectgarbage("incremental", 1, 100, 30)
    collectgarbage() -- the next collection begins at once
    local _ <close> = setmetatable({}, { __close = function()
      collectgarbage("incremental", 200, 100, 13)
    end })
    return f()
  end

  it("a finalizer starts tasks in it while it grows", in_loop(function()
    local crash <const> = crashing(9, "x")
    for round = 1, 20 do
      local by_finalizers, open = 0, true
      local err <const> = group_error(asyncio.TaskGroup, function(tg)
        local litter <const> = { __gc = function()
          if not open then return end
          by_finalizers = by_finalizers + round
          for _ = 1, round do tg:create_task(crash) end
        end }
        for _ = 1, 7 do tg:create_task(crash) end
        pressed(function()
          for _ = 1, 3 do
            local _ = setmetatable({}, litter)
            _ = nil
            tg:create_task(crash) -- the table is collected here, if it was not before
          end
        end)
        open = false
        tg:create_task(failing(1, "x"))
      end)
      assert.equal(11 + by_finalizers, #err.exceptions)
    end
  end))

  -- peers.md, appendix B, 7
  it("B7: the block swallows the cancellation; cancelling() is 0 afterwards", in_loop(function()
    local err <const> = group_error(function()
      local tg <close> = asyncio.TaskGroup()
      tg:create_task(failing(0, "x"))
      pcall(asyncio.sleep, 1)
      asyncio.sleep(0.1)
    end)
    assert.same({ "x" }, err.exceptions)
    assert.equal(0, cancelling())
    asyncio.sleep(1)
  end))

  it("B7: an eager task fails before the block waits", in_loop(function()
    asyncio.get_running_loop():set_task_factory(asyncio.eager_task_factory)
    local reached = false
    local err <const> = group_error(function()
      local tg <close> = asyncio.TaskGroup()
      tg:create_task(error, "eager", 0)
      asyncio.sleep(1)
      reached = true
    end)
    assert.same({ "eager" }, err.exceptions)
    assert.is_false(reached)
    assert.equal(0, cancelling())
    err.exceptions = nil
    group_error(function()
      local tg <close> = asyncio.TaskGroup()
      tg:create_task(error, "eager", 0) -- and the block does not wait at all
    end)
    assert.equal(0, cancelling())
    asyncio.sleep(1)
  end))

  it("B7: an eager task fails inside another one (gh-128550)", in_loop(function()
    asyncio.get_running_loop():set_task_factory(asyncio.eager_task_factory)
    local err <const> = group_error(function()
      local tg <close> = asyncio.TaskGroup()
      tg:create_task(function()
        tg:create_task(error, "inner", 0)
        asyncio.sleep(1000)
      end)
    end)
    assert.same({ "inner" }, err.exceptions)
    assert.equal(0, now())
  end))

  it("B7: the parent is cancelled while it waits for the last task", in_loop(function()
    local t <const> = asyncio.create_task(asyncio.TaskGroup, function(tg)
      tg:create_task(function()
        pcall(asyncio.sleep, 10)
        asyncio.sleep(1) -- takes its time to end
      end)
    end)
    asyncio.sleep(1)
    t:cancel("first")
    asyncio.sleep(0.5)
    assert.is_false(t:done())
    t:cancel("second")
    assert.equal("first", cancelled(t.await, t).message)
    assert.near(2, now(), 1e-9)
  end))

  it("B7: the parent is cancelled in the turn in which the last task ends", in_loop(function()
    local f <const> = future()
    local t <const> = asyncio.create_task(asyncio.TaskGroup, function(tg)
      tg:create_task(function() return f:await() end)
    end)
    ticks(3)
    f:set_result()
    ticks(2) -- the entry of the last task has woken the parent
    assert.is_true(t:cancel("late"))
    assert.equal("late", cancelled(t.await, t).message)
  end))

  -- peers.md, appendix B, 8
  it("B8: a task that is cancelled before it starts never runs", in_loop(function()
    local started = false
    asyncio.TaskGroup(function(tg) tg:create_task(function() started = true end):cancel() end)
    assert.is_false(started)
    group_error(asyncio.TaskGroup, function(tg)
      tg:create_task(function() started = true end)
      error("x", 0)
    end)
    assert.is_false(started)
  end))

  it("B8: a task cancels itself, and in its cleanup the parent", in_loop(function()
    local cleaned = false
    local t <const> = asyncio.create_task(function()
      local parent <const> = asyncio.current_task()
      asyncio.TaskGroup(function(tg)
        tg:create_task(function()
          asyncio.current_task():cancel()
          local _ <close> = setmetatable({}, { __close = function()
            parent:cancel("by its child")
            asyncio.sleep(0.5)
            cleaned = true
          end })
          asyncio.sleep(9)
        end)
      end)
    end)
    assert.equal("by its child", cancelled(t.await, t).message)
    assert.is_false(cleaned)
    assert.equal(0, now())
  end))

  it("B8: a second cancellation during the cleanup", in_loop(function()
    local cleaned = false
    local t <const> = asyncio.create_task(asyncio.TaskGroup, function(tg)
      tg:create_task(function()
        local _ <close> = setmetatable({}, { __close = function()
          asyncio.sleep(0.5)
          cleaned = true
        end })
        asyncio.sleep(9)
      end)
    end)
    asyncio.sleep(1)
    t:cancel("first")
    asyncio.sleep(0.2)
    t:cancel("second") -- the group is shutting down: it goes on waiting, and the first is raised
    assert.equal("first", cancelled(t.await, t).message)
    assert.is_true(cleaned)
    assert.equal(2, t:cancelling())
  end))

  it("B8: the parent is cancelled from a done callback of its task", in_loop(function()
    local t
    t = asyncio.create_task(asyncio.TaskGroup, function(tg)
      tg:create_task(sleeper(1)):add_done_callback(function() t:cancel("callback") end)
    end)
    assert.equal("callback", cancelled(t.await, t).message)
  end))

  -- peers.md, appendix B, 17 and 18
  it("B17: waits in a __close reached through pcall, an iterator, a metamethod", in_loop(function()
    local function group()
      local tg <close> = asyncio.TaskGroup()
      tg:create_task(sleeper(1))
      return true
    end
    assert.is_true(pcall(group))
    assert.is_true(setmetatable({}, { __index = group }).x)
    assert.is_true(setmetatable({}, { __call = group })())
    for x in function(_, last) if not last then return group() end end do assert.is_true(x) end
    for x in asyncio.wrap(function() coroutine.yield(group()) end) do assert.is_true(x) end
    assert.near(5, now(), 1e-9)
  end))

  it("B18: 150 groups within each other, 10,000 one after the other", in_loop(function()
    local function nest(n)
      if n == 0 then return 0 end
      local tg <close> = asyncio.TaskGroup()
      local task <const> = tg:create_task(nest, n - 1)
      return 1 + task:await()
    end
    assert.equal(150, nest(150))
    for i = 1, helper.scale(10000, 20) do
      assert.equal(i, asyncio.TaskGroup(function(tg)
        tg:create_task(function() end)
        return i
      end))
    end
  end))
end)

describe("timeout and TaskGroup together", function()
  it("the error of a task's cleanup goes before the TimeoutError", in_loop(function()
    local err <const> = group_error(function()
      local _ <close> = asyncio.timeout(0.1)
      local tg <close> = asyncio.TaskGroup()
      tg:create_task(crashing(2, "cleanup"))
      asyncio.sleep(1)
    end)
    assert.same({ "cleanup" }, err.exceptions)
    assert.equal(0, cancelling())
  end))

  it("a group that takes too long is cancelled and left", in_loop(function()
    local log <const> = {}
    late(asyncio.timeout, 1, asyncio.TaskGroup, function(tg)
      tg:create_task(sleeper(5, "a", log))
      tg:create_task(sleeper(6, "b", log))
    end)
    assert.same({ "a", "b" }, log)
    assert.near(1, now(), 1e-9)
    assert.equal(0, cancelling())
  end))

  it("a timeout in a task of a group is an error like others", in_loop(function()
    local err <const> = group_error(asyncio.TaskGroup, function(tg)
      tg:create_task(asyncio.timeout, 1, asyncio.sleep, 9)
      tg:create_task(sleeper(9))
    end)
    assert.is_true(asyncio.is(err.exceptions[1], asyncio.TimeoutError))
    assert.near(1, now(), 1e-9)
  end))
end)
