-- SPDX-License-Identifier: MIT
-- What CPython's test_locks.py and test_queues.py ask and the specs of the rooms (locks,
-- semaphores, barrier, queue) do not ask under these names.

local asyncio <const> = require "asyncio"
local base <const> = require "spec.cpython.base"
local virtual <const> = require "spec.virtual"

local inside <const>, raises <const>, refuses <const> =
  virtual.inside, virtual.raises, virtual.refuses
local cancelled_error <const>, set <const> = base.cancelled, base.set
local sleep <const>, create_task <const> = asyncio.sleep, asyncio.create_task

describe("CPython's test_locks", function()
  it("test_lock, test_semaphore, test_barrier: no awaitables", inside(function()
    local text <const> = "awaitable"
    for _, make in ipairs { asyncio.Lock, asyncio.Event, asyncio.Condition, asyncio.Semaphore,
      function() return asyncio.Barrier(2) end, asyncio.Queue } do
      refuses(text, asyncio.await, make())
    end
  end))

  it("test_lock_by_with_statement, test_context_manager", inside(function()
    for _, make in ipairs { asyncio.Lock, asyncio.Condition, asyncio.Semaphore,
      asyncio.BoundedSemaphore } do
      local lock <const> = make()
      sleep(0.01)
      assert.is_false(lock:locked())
      do
        local _ <close> = lock:acquire()
        assert.is_true(lock:locked())
      end
      assert.is_false(lock:locked())
      assert.same({ true, 7 }, { lock:with(function(x) return lock:locked(), x end, 7) })
      assert.is_false(lock:locked())
      refuses("in the block", lock.with, lock, error, "in the block")
      assert.is_false(lock:locked())
    end
  end))

  it("test_wait, test_clear of Event", inside(function()
    local ev <const> = asyncio.Event()
    assert.is_false(ev:is_set())
    local result <const> = {}
    local function c(n)
      return function()
        if ev:wait() then result[#result + 1] = n end
      end
    end
    local t1 <const>, t2 <const> = create_task(c(1)), create_task(c(2))
    sleep(0)
    assert.same({}, result)
    local t3 <const> = create_task(c(3))
    ev:set()
    sleep(0)
    assert.same({ 3, 1, 2 }, result)
    assert.is_true(t1:done() and t2:done() and t3:done())
    ev:clear()
    assert.is_false(ev:is_set())
  end))

  it("test_wait_cancel_contested", inside(function(loop)
    local cond <const> = asyncio.Condition()
    cond:acquire()
    local t <const> = create_task(cond.wait, cond)
    sleep(0)
    assert.is_false(cond:locked())
    cond:acquire()
    cond:notify()
    loop:call_soon(t.cancel, t)
    loop:call_soon(cond.release, cond)
    pcall(t.await, t)
    assert.is_true(cond:locked())
  end))

  it("test_wait_for_unacquired, test_notify_all_unacquired", inside(function()
    local cond <const> = asyncio.Condition()
    assert.same({ 1, 2, 3 }, cond:wait_for(function() return { 1, 2, 3 } end))
    refuses("lock", cond.wait_for, cond, function() return false end)
    refuses("lock", cond.wait, cond)
    refuses("lock", cond.notify, cond)
    refuses("lock", cond.notify_all, cond)
  end))

  it("test_explicit_lock", inside(function()
    for _, given in ipairs { false, true } do
      local lock <const> = given and asyncio.Lock()
      local cond <const> = given and asyncio.Condition(lock) or asyncio.Condition()
      assert.is_false(cond:locked())
      do
        local _ <close> = cond:acquire()
        assert.is_true(cond:locked())
        if given then assert.is_true(lock:locked()) end
      end
      if given then
        local _ <close> = lock:acquire()
        assert.is_true(cond:locked())
      end
    end
  end))

  it("test_ambiguous_loops", inside(function()
    local lock <const> = asyncio.Lock()
    local other <const> = asyncio.new_event_loop { clock = "virtual" }
    lock:acquire()
    local waiter <const> = create_task(lock.acquire, lock) -- now it belongs to this loop
    sleep(0)
    local cond <const> = asyncio.Condition(lock)
    local t <const> = other:create_task(function() cond:acquire() end)
    waiter:cancel()
    sleep(0)
    local seen
    coroutine.wrap(function() -- the other loop cannot run inside this one
      local ok, err = pcall(other.run_until_complete, other, t)
      seen = not ok and err
    end)()
    assert.matches("running", seen)
    lock:release()
    other:close()
  end))

  it("test_timeout_in_block", inside(function()
    local cond <const> = asyncio.Condition()
    local _ <close> = cond:acquire()
    raises(asyncio.TimeoutError, asyncio.wait_for, function() cond:wait() end, 0.5)
    assert.is_true(cond:locked())
  end))

  it("test_initial_value_zero, test_semaphore_value", inside(function()
    assert.is_true(asyncio.Semaphore(0):locked())
    refuses("bad argument #1", asyncio.Semaphore, -1)
    refuses("bad argument #1", asyncio.BoundedSemaphore, -1)
  end))

  it("test_acquire_fifo_order", inside(function()
    local sem <const> = asyncio.Semaphore(1)
    local result <const> = {}
    do
      local tg <close> = asyncio.TaskGroup()
      for i = 1, 3 do
        tg:create_task(function()
          for round = 1, 2 do
            sem:acquire()
            result[#result + 1] = ("c%d_%d"):format(i, round)
            sleep(0.01)
            sem:release()
          end
        end)
      end
    end
    assert.same({ "c1_1", "c2_1", "c3_1", "c1_2", "c2_2", "c3_2" }, result)
  end))

  -- Runs n tasks of f, each to its end; returns their results.
  local function run_all(n, f)
    local fs <const> = {}
    for i = 1, n do fs[i] = f end
    return asyncio.gather(fs, {})
  end

  it("test_filling_one_task, test_context_manager of Barrier", inside(function()
    local one <const> = asyncio.Barrier(1)
    assert.equal(0, one:wait())
    assert.equal(0, one:n_waiting())
    local barrier <const> = asyncio.Barrier(3)
    local results <const> = run_all(3, function() return barrier:wait() end)
    table.sort(results)
    assert.same({ 0, 1, 2, n = 3 }, results)
    assert.equal(0, barrier:n_waiting())
    assert.is_false(barrier:broken())
  end))

  it("test_filling_tasks_wait_twice, test_filling_tasks_check_return_value", inside(function()
    local barrier <const> = asyncio.Barrier(5)
    local first, second = 0, 0
    local results <const> = run_all(5, function()
      barrier:wait()
      first = first + 1
      local i <const> = barrier:wait()
      assert(first == 5)
      second = second + 1
      return i
    end)
    table.sort(results)
    assert.same({ 0, 1, 2, 3, 4, n = 5 }, results)
    assert.equal(5, second)
    assert.equal(0, barrier:n_waiting())
  end))

  -- pcall that lets everything but a BrokenBarrierError through.
  local function broken(barrier)
    local ok, err = pcall(barrier.wait, barrier)
    if ok then return false end
    if not asyncio.is(err, asyncio.BrokenBarrierError) then error(err, 0) end
    return true
  end

  it("test_reset_barrier_when_tasks_half_draining_half_blocking", inside(function()
    local barrier <const> = asyncio.Barrier(5)
    local still_waiting, blocked, count = 0, 0, 0
    run_all(5, function()
      if broken(barrier) then
        still_waiting = still_waiting + 1
        barrier:wait()
        return
      end
      count = count + 1
      if count > 2 then
        barrier:reset()
        barrier:wait()
      elseif broken(barrier) then
        blocked = blocked + 1
      end
    end)
    assert.equal(2, still_waiting)
    assert.equal(0, blocked)
    assert.equal(0, barrier:n_waiting())
    assert.is_false(barrier:broken())
  end))

  it("test_abort_barrier_when_tasks_half_draining_half_blocking", inside(function()
    local barrier <const> = asyncio.Barrier(5)
    local to_drain, drained, count = 0, 0, 0
    run_all(5, function()
      if broken(barrier) then
        to_drain = to_drain + 1
        return
      end
      count = count + 1
      if count > 2 then
        barrier:abort()
      elseif broken(barrier) then
        drained = drained + 1
      end
    end)
    assert.is_true(barrier:broken())
    assert.equal(2, to_drain)
    assert.equal(2, drained)
    assert.equal(0, barrier:n_waiting())
  end))
end)

describe("CPython's test_queues", function()
  it("test_str, test_format", inside(function()
    local q <const> = asyncio.Queue(1)
    local function shows(text)
      assert.is_truthy(tostring(q):find(text, 1, true), tostring(q))
    end
    assert.matches("^<asyncio.Queue 0x", tostring(q))
    shows("maxsize:1")
    local getter <const> = create_task(q.get, q)
    sleep(0)
    shows("getters:1")
    q:put_nowait(0)
    assert.equal(0, getter:await())
    q:put_nowait(1)
    local putter <const> = create_task(q.put, q, 2)
    sleep(0)
    shows("putters:1")
    shows("tasks:2")
    q:get_nowait()
    putter:await()
    q:shutdown()
    shows("shutdown")
  end))

  it("test_order, test_blocking_get, test_blocking_put, test_nonblocking_put", inside(function()
    for make, expected in pairs {
      [asyncio.Queue] = { 1, 3, 2 }, [asyncio.LifoQueue] = { 2, 3, 1 },
      [asyncio.PriorityQueue] = { 1, 2, 3 },
    } do
      local q <const> = make()
      for _, i in ipairs { 1, 3, 2 } do q:put(i) end
      assert.same(expected, { q:get(), q:get(), q:get_nowait() })
      raises(asyncio.QueueEmpty, q.get_nowait, q)
      q:task_done()
      q:task_done()
      q:task_done()
      refuses("task_done", q.task_done, q)
    end
  end))

  it("test_float_maxsize", inside(function()
    -- A size is a number of items: 1.3 is refused here.
    refuses("bad argument #1", asyncio.Queue, 1.3)
    local q <const> = asyncio.Queue(2.0)
    q:put_nowait(1)
    q:put_nowait(2)
    assert.is_true(q:full())
    raises(asyncio.QueueFull, q.put_nowait, q, 3)
    assert.is_false(asyncio.Queue(-1):full())
  end))

  it("test_get_with_putters, test_put_with_waiting_getters, test_put_cancelled", inside(function()
    local q <const> = asyncio.Queue(1)
    q:put(1)
    local putter <const> = create_task(q.put, q, 2)
    sleep(0)
    assert.equal(1, q:get())
    sleep(0)
    assert.is_true(putter:done())
    assert.equal(2, q:get())
    local getter <const> = create_task(q.get, q)
    sleep(0)
    q:put("a")
    assert.equal("a", getter:await())
  end))

  it("test_cancelled_getters_not_being_held_in_self_getters, and putters", inside(function()
    local q <const> = asyncio.Queue(1)
    raises(asyncio.TimeoutError, asyncio.wait_for, function() return q:get() end, 0.1)
    assert.is_nil(tostring(q):find("getters", 1, true))
    q:put_nowait(1)
    local putter <const> = create_task(q.put, q, 1)
    sleep(0)
    putter:cancel()
    cancelled_error(putter.await, putter)
    assert.is_nil(tostring(q):find("putters", 1, true))
  end))

  it("test_cancelled_put_silence_value_error_exception, test_put_cancel_drop", inside(function()
    local q <const> = asyncio.Queue(1)
    q:put_nowait(1)
    local putter <const> = create_task(q.put, q, 2)
    sleep(0)
    assert.equal(1, q:get_nowait())
    putter:cancel()
    cancelled_error(putter.await, putter)
    create_task(q.put, q, 2):await()
    assert.equal(2, q:get_nowait())
    assert.equal(0, q:qsize())
  end))

  it("test_get_cancel_drop_many_pending_readers", inside(function()
    local q <const> = asyncio.Queue()
    local tg <close> = asyncio.TaskGroup()
    local r1 <const>, r2 <const>, r3 <const> =
      tg:create_task(q.get, q), tg:create_task(q.get, q), tg:create_task(q.get, q)
    sleep(0)
    q:put_nowait(1)
    q:put_nowait(2)
    r1:cancel()
    cancelled_error(r1.await, r1)
    r3:await()
    assert.same(set { 1, 2 }, set { r2:result(), r3:result() })
  end))

  it("test_task_done_underflow, test_format, test_shutdown_*", inside(function()
    for _, make in ipairs { asyncio.Queue, asyncio.LifoQueue, asyncio.PriorityQueue } do
      refuses("task_done", function() make():task_done() end)
      local q <const> = make()
      local getter <const> = create_task(q.get, q)
      sleep(0)
      q:shutdown()
      q:join()
      sleep(0)
      assert.is_true(getter:done())
      raises(asyncio.QueueShutDown, getter.await, getter)
      for _, method in ipairs { "put", "put_nowait", "get", "get_nowait" } do
        raises(asyncio.QueueShutDown, q[method], q, "data")
      end
      local p <const> = make()
      p:put_nowait("data")
      p:put_nowait("data")
      local join <const> = create_task(p.join, p)
      assert.equal("data", p:get())
      p:shutdown(true)
      assert.equal(0, p:qsize())
      sleep(0)
      assert.is_false(join:done())
      p:task_done()
      refuses("task_done", p.task_done, p)
      sleep(0)
      assert.is_true(join:done())
    end
  end))
end)
