-- SPDX-License-Identifier: MIT
-- Lock, Event, Condition. The order of events is asyncio's: where a case comes from its tests or
-- from a bug of a relative, the name says so.

local asyncio <const> = require "asyncio"
local helper <const> = require "spec.helper"

-- Runs a function as the main task of a loop with simulated time, and closes the loop.
local function run(fn, ...)
  local loop <const> = asyncio.new_event_loop { clock = "virtual" }
  local results <const> = table.pack(pcall(loop.run_until_complete, loop, fn, ...))
  loop:close()
  if not results[1] then error(results[2], 0) end
  return table.unpack(results, 2, results.n)
end

-- it(), with the body as the main task.
local function it_runs(name, fn)
  it(name, function() run(fn) end)
end

local function spawn(fn, ...)
  return asyncio.create_task(fn, ...)
end

-- One turn of the loop, or several.
local function turn(n)
  for _ = 1, n or 1 do asyncio.sleep(0) end
end

local function assert_cancelled(f, ...)
  local ok, err = pcall(f, ...)
  assert.is_false(ok)
  assert.is_true(asyncio.is(err, asyncio.CancelledError))
  return err
end

-- What tostring shows in brackets.
local function state_of(object)
  local kind, state = tostring(object):match("^<asyncio%.(%a+) 0x%x+ %[(.-)%]>$")
  return kind and kind .. ": " .. state
end

describe("Lock", function()
  it("is shown as asyncio shows it", function()
    run(function()
      local lock <const> = asyncio.Lock()
      assert.equal("Lock: unlocked", state_of(lock))
      lock:acquire()
      assert.equal("Lock: locked", state_of(lock))
      spawn(lock.acquire, lock)
      spawn(lock.acquire, lock)
      turn()
      assert.equal("Lock: locked, waiters:2", state_of(lock))
    end)
  end)

  it_runs("is taken in the order of the waits (test_acquire)", function()
    local lock <const>, order <const> = asyncio.Lock(), {}
    assert.equal(lock, lock:acquire())
    local function taker(n)
      assert.equal(lock, lock:acquire())
      order[#order + 1] = n
    end
    local first <const>, second <const> = spawn(taker, 1), spawn(taker, 2)
    turn()
    assert.same({}, order)
    lock:release()
    turn()
    assert.same({ 1 }, order)
    turn()
    assert.same({ 1 }, order)
    local third <const> = spawn(taker, 3)
    lock:release()
    turn()
    assert.same({ 1, 2 }, order)
    lock:release()
    turn()
    assert.same({ 1, 2, 3 }, order)
    assert.is_true(first:done() and second:done() and third:done())
  end)

  it_runs("does not wait when it is free", function()
    local lock <const>, seen <const> = asyncio.Lock(), {}
    asyncio.get_running_loop():call_soon(function() seen[#seen + 1] = "callback" end)
    lock:acquire()
    seen[#seen + 1] = "acquired"
    turn()
    assert.same({ "acquired", "callback" }, seen)
  end)

  it_runs("is not taken from a waiter that was woken", function()
    local lock <const>, order <const> = asyncio.Lock(), {}
    lock:acquire()
    spawn(function()
      lock:acquire()
      order[#order + 1] = "waiter"
      lock:release()
    end)
    turn()
    lock:release()
    assert.is_false(lock:locked())
    lock:acquire() -- lines up, although it is free
    order[#order + 1] = "newcomer"
    assert.same({ "waiter", "newcomer" }, order)
  end)

  it_runs("passes over waiters that were cancelled", function()
    local lock <const> = asyncio.Lock()
    lock:acquire()
    local waiter <const> = spawn(lock.acquire, lock)
    turn()
    waiter:cancel()
    lock:release()
    asyncio.get_running_loop():call_soon(error, "acquire has waited")
    lock:acquire()
    assert.is_true(lock:locked())
    assert.is_false(waiter:done())
    asyncio.get_running_loop():set_exception_handler(function() end)
    turn()
    assert.is_true(waiter:cancelled())
  end)

  it_runs("is released by <close>, also after an error", function()
    local lock <const> = asyncio.Lock()
    do
      local _ <close> = lock:acquire()
      assert.is_true(lock:locked())
    end
    assert.is_false(lock:locked())
    assert.has_error(function()
      local _ <close> = lock:acquire()
      error("inside", 0)
    end, "inside")
    assert.is_false(lock:locked())
    local task <const> = spawn(function()
      local _ <close> = lock:acquire()
      asyncio.sleep(10)
    end)
    turn()
    assert.is_true(lock:locked())
    task:cancel()
    assert_cancelled(task.await, task)
    assert.is_false(lock:locked())
  end)

  it_runs("cannot be released when it is free (test_release_not_acquired)", function()
    local lock <const> = asyncio.Lock()
    assert.error_matches(function() lock:release() end, "the lock is not acquired")
    assert.error_matches(function()
      local _ <close> = lock:acquire()
      lock:release()
    end, "the lock is not acquired")
  end)

  it_runs("may be released by another task", function()
    local lock <const> = asyncio.Lock()
    lock:acquire()
    spawn(lock.release, lock)
    lock:acquire()
    assert.is_true(lock:locked())
  end)

  describe("with", function()
    it_runs("passes arguments and results, all of them", function()
      local lock <const> = asyncio.Lock()
      local results <const> = table.pack(lock:with(function(...)
        assert.is_true(lock:locked())
        return select("#", ...), ...
      end, 1, nil, 3, nil))
      assert.same({ 4, 1, nil, 3, nil, n = 5 }, results)
      assert.is_false(lock:locked())
      assert.equal(0, select("#", lock:with(function() end)))
    end)

    it_runs("releases when the function raises, and raises the same value", function()
      local lock <const>, err <const> = asyncio.Lock(), { "an error" }
      local ok, got = pcall(lock.with, lock, error, err)
      assert.is_false(ok)
      assert.equal(err, got)
      assert.is_false(lock:locked())
    end)

    it_runs("lets the function wait, and be cancelled there", function()
      local lock <const> = asyncio.Lock()
      local function nap(result)
        asyncio.sleep(1)
        return result
      end
      local first <const>, second <const> = spawn(lock.with, lock, nap, "a"),
        spawn(lock.with, lock, nap, "b")
      assert.equal("a", first:await())
      assert.equal("b", second:await())
      assert.equal(2, asyncio.get_running_loop():time())
      local third <const> = spawn(lock.with, lock, nap)
      turn()
      third:cancel("enough")
      assert.equal("enough", assert_cancelled(third.await, third).message)
      assert.is_false(lock:locked())
    end)

    it_runs("calls nothing when the wait is cancelled", function()
      local lock <const>, called = asyncio.Lock(), false
      lock:acquire()
      local task <const> = spawn(lock.with, lock, function() called = true end)
      turn()
      task:cancel()
      assert_cancelled(task.await, task)
      assert.is_false(called)
      assert.is_true(lock:locked())
    end)

    it_runs("raises if the function has released the lock", function()
      local lock <const> = asyncio.Lock()
      assert.error_matches(function() lock:with(lock.release, lock) end, "the lock is not acquired")
    end)

    it_runs("takes what can be called", function()
      local callable <const> = setmetatable({}, { __call = function(_, x) return x end })
      assert.equal(7, asyncio.Lock():with(callable, 7))
    end)
  end)

  describe("when a waiter is cancelled", function()
    it_runs("forgets it (test_acquire_cancel)", function()
      local lock <const> = asyncio.Lock()
      lock:acquire()
      local task <const> = spawn(lock.acquire, lock)
      asyncio.get_running_loop():call_soon(task.cancel, task, "why")
      assert.equal("why", assert_cancelled(task.await, task).message)
      assert.equal("Lock: locked", state_of(lock))
    end)

    it_runs("goes to the next one (test_cancel_race)", function()
      local lock <const> = asyncio.Lock()
      local future <const> = asyncio.get_running_loop():create_future()
      local function hold(blocker)
        local _ <close> = lock:acquire()
        if blocker then blocker:await() end
      end
      local a <const> = spawn(hold, future)
      turn()
      local b <const> = spawn(hold)
      turn()
      local c <const> = spawn(hold)
      turn()
      assert.equal("Lock: locked, waiters:2", state_of(lock))
      future:set_result()
      b:cancel()
      turn()
      assert.is_false(lock:locked())
      assert.is_true(a:done() and b:cancelled())
      c:await()
    end)

    it_runs("is not taken twice (test_cancel_release_race)", function()
      local lock <const>, called, taken = asyncio.Lock(), 0, 0
      local function take()
        called = called + 1
        lock:acquire()
        taken = taken + 1
      end
      lock:acquire()
      local first <const>, second <const>, third <const> = spawn(take), spawn(take), spawn(take)
      turn()
      asyncio.get_running_loop():call_soon(function()
        first:cancel()
        lock:release()
      end)
      assert_cancelled(first.await, first)
      turn()
      assert.equal(1, taken)
      assert.equal(3, called)
      assert.is_true(first:cancelled() and second:done())
      third:cancel()
      turn()
      assert.is_true(third:cancelled())
    end)

    it_runs("wakes the next one although it was woken first (test_finished_waiter_cancelled)",
      function()
        local lock <const> = asyncio.Lock()
        lock:acquire()
        local b <const> = spawn(lock.acquire, lock)
        turn()
        local c <const> = spawn(lock.acquire, lock)
        b:cancel()
        lock:release()
        turn()
        assert.is_true(lock:locked())
        assert.is_true(b:cancelled())
        c:await()
      end)

    it_runs("B1: woken, then cancelled before it runs: handed on, two turns later", function()
      local lock <const>, order <const> = asyncio.Lock(), {}
      lock:acquire()
      local function take(n)
        lock:acquire()
        order[#order + 1] = n
      end
      local woken <const> = spawn(take, 1)
      spawn(take, 2)
      spawn(take, 3)
      turn()
      lock:release()
      assert.is_true(woken:cancel())
      turn()
      assert.is_true(woken:cancelled())
      assert.is_false(lock:locked())
      assert.same({}, order)
      turn()
      assert.same({ 2 }, order)
      assert.equal("Lock: locked, waiters:1", state_of(lock))
    end)

    it_runs("B1: woken, cancelled, uncancelled: it has the lock", function()
      local lock <const> = asyncio.Lock()
      lock:acquire()
      local task <const> = spawn(lock.acquire, lock)
      turn()
      lock:release()
      task:cancel()
      assert.equal(0, task:uncancel())
      assert.equal(lock, task:await())
      assert.is_true(lock:locked())
    end)

    it_runs("B3: a wait that times out at once leaves no trace", function()
      local lock <const> = asyncio.Lock()
      lock:acquire()
      for _ = 1, 10 do
        local ok, err = pcall(asyncio.wait_for, function() lock:acquire() end, 0)
        assert.is_false(ok)
        assert.is_true(asyncio.is(err, asyncio.TimeoutError))
      end
      local ok = pcall(asyncio.timeout, 0, lock.acquire, lock)
      assert.is_false(ok)
      assert.equal("Lock: locked", state_of(lock))
      lock:release()
      asyncio.wait_for(function() lock:acquire() end, 1)
    end)

    it_runs("B9: a stale wake-up does not touch the next wait", function()
      local lock <const>, event <const> = asyncio.Lock(), asyncio.Event()
      lock:acquire()
      local task <const> = spawn(function()
        assert_cancelled(lock.acquire, lock)
        event:wait()
        return "event"
      end)
      turn()
      lock:release()
      task:cancel()
      turn(5)
      assert.is_false(task:done())
      lock:acquire()
      lock:release()
      turn(5)
      assert.is_false(task:done())
      event:set()
      assert.equal("event", task:await())
    end)
  end)

  it_runs("B16: holds nobody back whom only it knows", function()
    local lock, done = asyncio.Lock(), false
    lock:acquire()
    spawn(function()
      lock:acquire()
      done = true
    end)
    turn()
    for _ = 1, 3 do collectgarbage() end
    lock:release()
    turn()
    assert.is_true(done)
  end)

  it("ends a deadlock with an error in the main task, and is whole then", function()
    local lock <const> = asyncio.Lock()
    local err = run(function()
      lock:acquire()
      local ok, e = pcall(lock.acquire, lock)
      assert.is_false(ok)
      assert.equal("Lock: locked", state_of(lock))
      lock:release()
      lock:acquire()
      return e
    end)
    assert.is_true(asyncio.is(err, asyncio.DeadlockError))
  end)

  it("belongs to the loop on which it was first waited for", function()
    local lock <const> = asyncio.Lock()
    run(function() lock:acquire() end) -- no wait
    run(function()
      spawn(function()
        asyncio.sleep(1)
        lock:release()
      end)
      lock:acquire()
    end)
    run(function()
      assert.error_matches(function() lock:acquire() end,
        "<asyncio%.Lock 0x%x+ %[locked%]> is bound to a different event loop")
      assert.error_matches(function() lock:with(print) end, "is bound to a different event loop")
      lock:release()
      lock:acquire() -- what needs no wait, needs no loop
    end)
  end)

  it("forgets its waiters when their loop closes", function()
    local lock <const>, loop <const> = asyncio.Lock(), asyncio.new_event_loop { clock = "virtual" }
    loop:run_until_complete(function()
      lock:acquire()
      for _ = 1, 3 do spawn(lock.acquire, lock) end
      turn()
    end)
    assert.equal("Lock: locked, waiters:3", state_of(lock))
    loop:close()
    assert.equal("Lock: locked", state_of(lock))
    lock:release()
    assert.is_false(lock:locked())
  end)

  it("runs the current loop when it is waited for at top level", function()
    local lock <const> = asyncio.Lock()
    local loop <const> = asyncio.new_event_loop { clock = "virtual" }
    asyncio.set_event_loop(loop)
    assert.equal(lock, lock:acquire())
    loop:call_later(5, lock.release, lock)
    assert.equal(lock, lock:acquire())
    assert.equal(5, loop:time())
    loop:call_later(5, lock.release, lock)
    assert.equal("x", lock:with(function(...) return ... end, "x"))
    asyncio.set_event_loop(nil)
    loop:close()
  end)

  it_runs("cannot be acquired where nothing can wait", function()
    local lock <const>, err = asyncio.Lock(), nil
    asyncio.get_running_loop():call_soon(function() err = select(2, pcall(lock.acquire, lock)) end)
    turn()
    assert.matches("cannot wait in a callback", err)
    assert.error_matches(function()
      table.sort({ 2, 1 }, function() return lock:acquire() end)
    end, "sort")
    assert.is_false(lock:locked())
  end)

  it_runs("may be released by callbacks and finalizers", function()
    local lock <const> = asyncio.Lock()
    lock:acquire()
    local task <const> = spawn(function() end)
    task:add_done_callback(function() lock:release() end)
    lock:acquire()
    setmetatable({}, { __gc = function() lock:release() end })
    collectgarbage()
    assert.is_false(lock:locked())
    lock:acquire()
    local waiter <const> = spawn(function()
      local _ <close> = lock:acquire()
      -- a finalizer on the task's own thread, while it holds the lock
      setmetatable({}, { __gc = function() return lock:locked() or error("not locked") end })
      collectgarbage()
    end)
    turn()
    setmetatable({}, { __gc = function() lock:release() end })
    collectgarbage()
    waiter:await()
    assert.is_false(lock:locked())
  end)

  it_runs("and the others outlive a coroutine that is closed by hand in mid-wait", function()
    local function wait_for_what_only_it_knows(name, ...)
      local object <const> = asyncio[name](...)
      if object.acquire then object:acquire() end
      if object.wait then object:wait() end
      if object.acquire then object:acquire() end
      if object.get then object:get() end
    end
    local waits <const> = { { "Lock" }, { "Event" }, { "Semaphore" }, { "Barrier", 2 }, { "Queue" },
      { "Condition" }, { "PriorityQueue" } }
    waits[#waits + 1] = {
      function()
        local cond <const> = asyncio.Condition()
        cond:acquire()
        cond:acquire()
      end,
    }
    for _, wait in ipairs(waits) do
      local co
      local function body()
        co = coroutine.running()
        if type(wait[1]) == "function" then wait[1]() end
        wait_for_what_only_it_knows(table.unpack(wait))
      end
      for _, fn in ipairs { body, function() asyncio.wrap(body)() end } do
        local task <const> = spawn(fn)
        turn()
        assert.is_true(coroutine.close(co))
        collectgarbage()
        task:cancel()
        assert.error_matches(function() task:await() end, "closed by hand")
      end
    end
  end)

  it_runs("serves many, each in its turn", function()
    local lock <const>, n <const>, order <const> = asyncio.Lock(), helper.scale(10000, 10), {}
    local tasks <const> = {}
    for i = 1, n do
      tasks[i] = spawn(function()
        local _ <close> = lock:acquire()
        order[#order + 1] = i
        if i % 7 == 0 then asyncio.sleep(0) end
      end)
    end
    turn()
    for i = 3, n, 3 do tasks[i]:cancel() end
    for i = 1, n do pcall(tasks[i].await, tasks[i]) end
    local expected <const> = {}
    for i = 1, n do
      assert.equal(i % 3 == 0 and i > 7, tasks[i]:cancelled())
      if not tasks[i]:cancelled() then expected[#expected + 1] = i end
    end
    assert.same(expected, order)
    assert.equal("Lock: unlocked", state_of(lock))
  end)

  it("refuses wrong arguments", function()
    local lock <const> = asyncio.Lock()
    for _, name in ipairs { "acquire", "release", "locked", "with" } do
      for _, wrong in ipairs { {}, 1, "x", asyncio.Event(), io.stdout, print } do
        assert.error_matches(function() lock[name](wrong) end,
          "bad argument #1 to '[%w_.?]+' %(asyncio%.Lock expected, got ")
      end
      assert.error_matches(function() lock[name]() end,
        "bad argument #1 .*asyncio%.Lock expected, got no value")
    end
    assert.error_matches(function() lock:with() end, "function expected, got no value")
    assert.error_matches(function() lock:with({}) end, "function expected, got table")
    assert.is_false(lock:locked())
  end)
end)

describe("Event", function()
  it_runs("is shown as asyncio shows it", function()
    local event <const> = asyncio.Event()
    assert.equal("Event: unset", state_of(event))
    spawn(event.wait, event)
    turn()
    assert.equal("Event: unset, waiters:1", state_of(event))
    event:set()
    assert.equal("Event: set, waiters:1", state_of(event))
    turn()
    assert.equal("Event: set", state_of(event))
  end)

  it_runs("wakes all in the order of their waits (test_wait)", function()
    local event <const>, order <const> = asyncio.Event(), {}
    local function waiter(n)
      assert.is_true(event:wait())
      order[#order + 1] = n
    end
    spawn(waiter, 1)
    spawn(waiter, 2)
    turn()
    assert.same({}, order)
    spawn(waiter, 3) -- finds it set
    event:set()
    turn()
    assert.same({ 3, 1, 2 }, order)
  end)

  it_runs("is not waited for when it is set (test_wait_on_set)", function()
    local event <const> = asyncio.Event()
    assert.equal(0, select("#", event:set()))
    assert.is_true(event:is_set())
    assert.is_true(event:wait())
    event:clear()
    assert.is_false(event:is_set())
  end)

  it_runs("wakes who waited, although it is cleared at once (test_clear_with_waiters)", function()
    local event <const> = asyncio.Event()
    local task <const> = spawn(event.wait, event)
    turn()
    event:set()
    event:clear()
    assert.is_false(event:is_set())
    event:set()
    event:set()
    assert.equal("Event: set, waiters:1", state_of(event))
    event:clear()
    turn()
    assert.is_true(task:done() and task:result())
    assert.equal("Event: unset", state_of(event))
  end)

  it_runs("forgets a waiter that is cancelled (test_wait_cancel)", function()
    local event <const> = asyncio.Event()
    local task <const> = spawn(event.wait, event)
    asyncio.get_running_loop():call_soon(task.cancel, task)
    assert_cancelled(task.await, task)
    assert.equal("Event: unset", state_of(event))
    event:set()
  end)

  it_runs("raises the cancellation of a waiter that was woken", function()
    local event <const> = asyncio.Event()
    local task <const> = spawn(event.wait, event)
    turn()
    event:set()
    task:cancel()
    assert_cancelled(task.await, task)
  end)

  it_runs("B3: has 10,000 waiters, some of which leave", function()
    local event <const>, n <const>, tasks <const> = asyncio.Event(), helper.scale(10000, 10), {}
    local woken = 0
    for i = 1, n do
      tasks[i] = spawn(function()
        event:wait()
        woken = woken + 1
      end)
    end
    turn()
    for i = 1, n, 2 do tasks[i]:cancel() end
    event:set()
    turn()
    assert.equal(n // 2, woken)
  end)

  it("belongs to the loop on which it was first waited for", function()
    local event <const> = asyncio.Event()
    run(function()
      asyncio.get_running_loop():call_soon(event.set, event)
      event:wait()
    end)
    run(function()
      assert.is_true(event:wait())
      event:clear()
      assert.error_matches(function() event:wait() end,
        "<asyncio%.Event 0x%x+ %[unset%]> is bound to a different event loop")
    end)
  end)

  it_runs("may be set by a finalizer, and by who it wakes", function()
    local event <const>, again <const> = asyncio.Event(), asyncio.Event()
    setmetatable({}, { __gc = function() event:set() end })
    local task <const> = spawn(function()
      event:wait()
      event:clear()
      again:set()
      event:wait()
      return "twice"
    end)
    turn()
    collectgarbage()
    again:wait()
    event:set()
    assert.equal("twice", task:await())
  end)

  it("names a deadlock", function()
    local ok, err = pcall(run, function() asyncio.Event():wait() end)
    assert.is_false(ok)
    assert.is_true(asyncio.is(err, asyncio.DeadlockError))
    assert.matches("event", tostring(err))
  end)

  it("refuses wrong arguments", function()
    local event <const> = asyncio.Event()
    for _, name in ipairs { "wait", "set", "clear", "is_set" } do
      for _, wrong in ipairs { {}, 1, "x", asyncio.Lock() } do
        assert.error_matches(function() event[name](wrong) end,
          "bad argument #1 to '[%w_.?]+' %(asyncio%.Event expected, got ")
      end
    end
  end)
end)

describe("Condition", function()
  it_runs("is shown as asyncio shows it", function()
    local cond <const> = asyncio.Condition()
    assert.equal("Condition: unlocked", state_of(cond))
    spawn(function()
      cond:acquire()
      cond:wait()
    end)
    turn()
    cond:acquire()
    assert.equal("Condition: locked, waiters:1", state_of(cond))
    cond:notify()
    assert.equal("Condition: locked, waiters:1", state_of(cond))
    turn()
    assert.equal("Condition: locked", state_of(cond))
  end)

  it_runs("wakes as many as it notifies, one after the other (test_wait)", function()
    local cond <const>, order <const>, tasks <const> = asyncio.Condition(), {}, {}
    for i = 1, 3 do
      tasks[i] = spawn(function()
        assert.equal(cond, cond:acquire())
        assert.is_true(cond:wait())
        order[#order + 1] = i
      end)
    end
    turn()
    assert.same({}, order)
    assert.is_false(cond:locked())
    cond:acquire()
    cond:notify()
    turn()
    assert.same({}, order)
    assert.is_true(cond:locked())
    cond:release()
    turn()
    assert.same({ 1 }, order)
    assert.is_true(cond:locked())
    cond:notify(2)
    turn()
    assert.same({ 1 }, order)
    cond:release()
    turn()
    assert.same({ 1, 2 }, order)
    cond:release()
    turn()
    assert.same({ 1, 2, 3 }, order)
    assert.is_true(tasks[1]:done() and tasks[2]:done() and tasks[3]:done())
  end)

  it_runs("notifies no more than there are (test_notify, test_notify_all)", function()
    local cond <const>, order <const> = asyncio.Condition(), {}
    for i = 1, 4 do
      spawn(function()
        local _ <close> = cond:acquire()
        cond:wait()
        order[#order + 1] = i
      end)
    end
    turn()
    cond:with(cond.notify, cond, 1)
    turn()
    assert.same({ 1 }, order)
    cond:with(cond.notify, cond, 0)
    cond:with(cond.notify, cond, -1)
    turn(3)
    assert.same({ 1 }, order)
    cond:with(cond.notify_all, cond)
    turn()
    assert.same({ 1, 2, 3, 4 }, order)
    cond:with(function()
      assert.equal(0, select("#", cond:notify(2048)))
      assert.equal(0, select("#", cond:notify_all()))
    end)
  end)

  it_runs("needs the lock (test_wait_unacquired, test_notify_unacquired)", function()
    local cond <const> = asyncio.Condition()
    assert.error_matches(function() cond:wait() end, "cannot wait on un%-acquired lock")
    assert.error_matches(function() cond:notify() end, "cannot notify on un%-acquired lock")
    assert.error_matches(function() cond:notify_all() end, "cannot notify on un%-acquired lock")
    assert.error_matches(function() cond:release() end, "the lock is not acquired")
    -- a predicate that holds at once needs none (test_wait_for_unacquired)
    assert.same({ 1, 2 }, cond:wait_for(function() return { 1, 2 } end))
    assert.error_matches(function() cond:wait_for(function() return false end) end,
      "cannot wait on un%-acquired lock")
  end)

  it_runs("shares a lock that it is given (test_explicit_lock)", function()
    local lock <const> = asyncio.Lock()
    local cond <const>, other <const> = asyncio.Condition(lock), asyncio.Condition(lock)
    do
      local _ <close> = cond:acquire()
      assert.is_true(lock:locked() and other:locked())
    end
    do
      local _ <close> = lock:acquire()
      assert.is_true(cond:locked())
    end
    assert.is_false(lock:locked())
    assert.equal("a", cond:with(function(x)
      assert.is_true(lock:locked())
      return x
    end, "a"))
    local order <const> = {}
    for name, c in pairs { cond = cond, other = other } do
      spawn(function()
        local _ <close> = lock:acquire()
        c:wait()
        order[#order + 1] = name
      end)
    end
    turn()
    lock:with(other.notify_all, other)
    turn(3)
    assert.same({ "other" }, order)
    lock:with(cond.notify_all, cond)
    turn(3)
    assert.same({ "other", "cond" }, order)
  end)

  describe("wait_for", function()
    it_runs("asks at once, and after each wait (test_wait_for)", function()
      local cond <const>, ready, asked = asyncio.Condition(), nil, 0
      local task <const> = spawn(function()
        local _ <close> = cond:acquire()
        return cond:wait_for(function(...)
          assert.equal(0, select("#", ...))
          assert.is_true(cond:locked())
          asked = asked + 1
          return ready
        end)
      end)
      turn()
      assert.equal(1, asked)
      cond:with(cond.notify, cond)
      turn()
      assert.equal(2, asked)
      assert.is_false(task:done())
      ready = "ready"
      cond:with(cond.notify, cond)
      turn()
      assert.equal("ready", task:result())
      assert.equal(3, asked)
    end)

    it_runs("raises what the predicate raises, with the lock held", function()
      local cond <const>, broken = asyncio.Condition(), false
      local task <const> = spawn(function()
        cond:acquire()
        cond:wait_for(function() if broken then error("predicate", 0) end end)
      end)
      turn()
      broken = true
      cond:with(cond.notify, cond)
      assert.has_error(function() task:await() end, "predicate")
      assert.is_true(cond:locked())
    end)

    it_runs("takes a predicate that waits", function()
      local cond <const>, calls = asyncio.Condition(), 0
      local task <const> = spawn(function()
        local _ <close> = cond:acquire()
        return cond:wait_for(function()
          asyncio.sleep(1)
          calls = calls + 1
          return calls == 3 and calls
        end)
      end)
      asyncio.sleep(1.5)
      cond:with(cond.notify, cond)
      asyncio.sleep(1)
      cond:with(cond.notify, cond)
      assert.equal(3, task:await())
      assert.equal(3.5, asyncio.get_running_loop():time())
    end)

    it_runs("does not pile up on the stack", function()
      local cond <const>, n, rounds <const> = asyncio.Condition(), 0, helper.scale(5000, 300)
      local task <const> = spawn(function()
        local _ <close> = cond:acquire()
        return cond:wait_for(function() return n == rounds and n end)
      end)
      while not task:done() do
        cond:acquire()
        n = n + 1
        cond:notify()
        cond:release()
        turn()
      end
      assert.equal(rounds, task:result())
    end)
  end)

  describe("when a waiter is cancelled", function()
    it_runs("takes the lock back first (test_wait_cancel)", function()
      local cond <const> = asyncio.Condition()
      cond:acquire()
      local task <const> = spawn(cond.wait, cond)
      asyncio.get_running_loop():call_soon(task.cancel, task)
      assert_cancelled(task.await, task)
      assert.is_true(cond:locked())
      assert.equal("Condition: locked", state_of(cond))
    end)

    it_runs("waits for the lock (test_wait_cancel_contested)", function()
      local cond <const> = asyncio.Condition()
      cond:acquire()
      local task <const> = spawn(cond.wait, cond)
      turn()
      assert.is_false(cond:locked())
      cond:acquire()
      cond:notify()
      local loop <const> = asyncio.get_running_loop()
      loop:call_soon(task.cancel, task)
      loop:call_soon(cond.release, cond)
      assert_cancelled(task.await, task)
      assert.is_true(cond:locked())
    end)

    it_runs("raises when it has the lock (test_wait_cancel_after_notify)", function()
      local cond <const>, came = asyncio.Condition(), false
      local task <const> = spawn(function()
        local _ <close> = cond:acquire()
        came = true
        cond:wait()
      end)
      turn()
      cond:acquire()
      cond:notify()
      turn() -- it lines up for the lock
      task:cancel()
      turn()
      assert.is_false(task:done())
      cond:release()
      turn()
      assert.is_true(task:cancelled())
      assert.is_true(came)
      assert.is_false(cond:locked())
    end)

    it_runs("waits for the lock through many cancellations, and raises the last", function()
      local cond <const> = asyncio.Condition()
      local task <const> = spawn(function()
        local _ <close> = cond:acquire()
        cond:wait()
      end)
      turn()
      cond:acquire()
      for i = 1, 5 do
        assert.is_true(task:cancel("m" .. i))
        turn(2)
        assert.is_false(task:done())
      end
      cond:release()
      assert.equal("m5", assert_cancelled(task.await, task).message)
      assert.equal("Condition: unlocked", state_of(cond))
    end)

    it_runs("B2: raises the error itself (test_cancelled_error_wakeup)", function()
      local cond <const>, raised = asyncio.Condition(), nil
      local task <const> = spawn(function()
        local _ <close> = cond:acquire()
        raised = assert_cancelled(cond.wait_for, cond, function() return false end)
        error(raised, 0)
      end)
      turn()
      task:cancel("foo")
      local err <const> = assert_cancelled(task.await, task)
      assert.equal("foo", err.message)
      assert.equal(raised, err)
    end)

    it_runs("B2: raises the error itself, also of the second wait (test_cancelled_error_re_aquire)",
      function()
        local cond <const>, wake, raised = asyncio.Condition(), false, nil
        local task <const> = spawn(function()
          local _ <close> = cond:acquire()
          raised = assert_cancelled(cond.wait_for, cond, function() return wake end)
          error(raised, 0)
        end)
        turn()
        cond:acquire()
        wake = true
        cond:notify()
        turn()
        task:cancel("foo")
        cond:release()
        local err <const> = assert_cancelled(task.await, task)
        assert.equal("foo", err.message)
        assert.equal(raised, err)
      end)

    -- Two consumers, one item: the first is notified and cancelled; the second must get it.
    local function lose_a_notification(wait_between)
      local cond <const>, state = asyncio.Condition(), 0
      local function consumer()
        local _ <close> = cond:acquire()
        while true do
          cond:wait_for(function() return state ~= 0 end)
          if state < 0 then return end
          state = state - 1
        end
      end
      local first <const>, second <const> = spawn(consumer), spawn(consumer)
      turn()
      local _ <close> = cond:acquire()
      state = state + 1
      cond:notify(1)
      if wait_between then turn() end
      first:cancel()
      pcall(asyncio.timeout, 0.01, cond.wait_for, cond, function() return state == 0 end)
      assert.equal(0, state)
      state = -1
      cond:notify_all()
      cond:release()
      second:await()
      cond:acquire()
      assert.is_true(first:cancelled())
    end

    it_runs("B2: notified, then cancelled in the same turn: handed on (test_cancelled_wakeup)",
      function() lose_a_notification(false) end)

    it_runs("B2: notified, then cancelled at the lock: handed on (test_cancelled_wakeup_relock)",
      function() lose_a_notification(true) end)

    it_runs("times out in the block (test_timeout_in_block)", function()
      local cond <const> = asyncio.Condition()
      local _ <close> = cond:acquire()
      local ok, err = pcall(asyncio.wait_for, function() cond:wait() end, 0.5)
      assert.is_false(ok)
      assert.is_true(asyncio.is(err, asyncio.TimeoutError))
      assert.is_true(cond:locked())
    end)

    it_runs("is not disturbed by a later notification", function()
      local cond <const> = asyncio.Condition()
      local first <const>, second <const> = spawn(cond.with, cond, cond.wait, cond),
        spawn(cond.with, cond, cond.wait, cond)
      turn()
      first:cancel()
      cond:with(cond.notify, cond) -- passes over the cancelled one
      assert_cancelled(first.await, first)
      assert.is_true(second:await())
      assert.is_false(cond:locked())
    end)
  end)

  it("ends a deadlock although its lock is held by another task", function()
    local err = run(function()
      local cond <const> = asyncio.Condition()
      cond:acquire()
      spawn(function()
        cond:acquire()
        asyncio.Event():wait()
      end)
      return select(2, pcall(cond.wait, cond))
    end)
    assert.is_true(asyncio.is(err, asyncio.DeadlockError))
  end)

  it("has its lock again when a deadlock ends the wait", function()
    local err, locked = run(function()
      local cond <const> = asyncio.Condition()
      cond:acquire()
      local _, e = pcall(cond.wait, cond)
      return e, cond:locked()
    end)
    assert.is_true(asyncio.is(err, asyncio.DeadlockError))
    assert.is_true(locked)
  end)

  it("lets its loop close while a task waits that would release the lock", function()
    local loop <const>, reports <const> = asyncio.new_event_loop { clock = "virtual" }, {}
    loop:set_exception_handler(function(_, ctx) reports[#reports + 1] = ctx.message end)
    local cond <const>, closed = asyncio.Condition(), 0
    loop:run_until_complete(function()
      for _ = 1, 2 do
        spawn(function()
          local _ <close> = setmetatable({}, { __close = function() closed = closed + 1 end })
          local _ <close> = cond:acquire()
          cond:wait()
        end)
      end
      turn()
    end)
    loop:close()
    assert.equal(2, closed)
    assert.same({}, reports)
    assert.equal("Condition: unlocked", state_of(cond))
  end)

  it("belongs to the loop on which it was first waited for, with its lock", function()
    local lock <const> = asyncio.Lock()
    local cond <const>, other <const> = asyncio.Condition(lock), asyncio.Condition(lock)
    run(function()
      local _ <close> = cond:acquire()
      spawn(cond.with, cond, cond.notify, cond)
      cond:wait()
    end)
    run(function()
      local _ <close> = cond:acquire()
      assert.error_matches(function() cond:wait() end,
        "<asyncio%.Condition 0x%x+ %[locked%]> is bound to a different event loop")
      assert.error_matches(function() other:wait() end,
        "asyncio%.Lock .* bound to a different event loop")
      assert.is_true(cond:locked())
      assert.error_matches(function() cond:acquire() end, "bound to a different event loop")
    end)
  end)

  it("keeps its lock alive", function()
    run(function()
      local cond <const> = asyncio.Condition()
      local lock = setmetatable({ asyncio.Lock() }, { __mode = "v" })
      local shared <const> = asyncio.Condition(lock[1])
      collectgarbage()
      assert.is_not_nil(lock[1])
      cond:with(collectgarbage)
      shared:with(collectgarbage)
    end)
  end)

  it_runs("may be notified by callbacks and finalizers", function()
    local cond <const> = asyncio.Condition()
    local task <const> = spawn(cond.with, cond, function()
      cond:wait()
      return "notified"
    end)
    turn()
    cond:acquire()
    setmetatable({}, {
      __gc = function()
        cond:notify()
        cond:release()
      end,
    })
    collectgarbage()
    assert.equal("notified", task:await())
  end)

  it("refuses wrong arguments", function()
    local cond <const> = asyncio.Condition()
    for _, name in ipairs { "wait", "wait_for", "notify", "notify_all" } do
      for _, wrong in ipairs { {}, 1, "x", asyncio.Lock() } do
        assert.error_matches(function() cond[name](wrong) end,
          "bad argument #1 to '[%w_.?]+' %(asyncio%.Condition expected, got ")
      end
    end
    for _, name in ipairs { "acquire", "release", "locked", "with" } do
      assert.error_matches(function() cond[name]({}) end,
        "bad argument #1 to '[%w_.?]+' %(asyncio%.Lock expected, got table%)")
    end
    for _, wrong in ipairs { {}, 1, "x", asyncio.Event(), asyncio.Semaphore(), cond } do
      assert.error_matches(function() asyncio.Condition(wrong) end,
        "bad argument #1 to '[%w_.?]+' %(asyncio%.Lock expected, got ")
    end
    assert.error_matches(function() cond:wait_for() end, "function expected, got no value")
    assert.error_matches(function() cond:wait_for(1) end, "function expected, got number")
    assert.error_matches(function() cond:notify("x") end, "number expected, got string")
    assert.error_matches(function() cond:notify(1.5) end, "no integer representation")
    assert.error_matches(function() cond:with(nil) end, "function expected, got nil")
  end)
end)
