-- SPDX-License-Identifier: MIT
-- Semaphore, BoundedSemaphore. Cases of asyncio's tests and of relatives' bugs are named after
-- them.

local asyncio <const> = require "asyncio"
local helper <const> = require "spec.helper"

local function run(fn, ...)
  local loop <const> = asyncio.new_event_loop { clock = "virtual" }
  local results <const> = table.pack(pcall(loop.run_until_complete, loop, fn, ...))
  loop:close()
  if not results[1] then error(results[2], 0) end
  return table.unpack(results, 2, results.n)
end

local function it_runs(name, fn)
  it(name, function() run(fn) end)
end

local spawn <const> = asyncio.create_task

local function turn(n)
  for _ = 1, n or 1 do asyncio.sleep(0) end
end

local function assert_cancelled(f, ...)
  local ok, err = pcall(f, ...)
  assert.is_false(ok)
  assert.is_true(asyncio.is(err, asyncio.CancelledError))
end

local function state_of(object)
  local kind, state = tostring(object):match("^<asyncio%.(%a+) 0x%x+ %[(.-)%]>$")
  return kind and kind .. ": " .. state
end

describe("Semaphore", function()
  it_runs("is shown as asyncio shows it", function()
    local sem <const> = asyncio.Semaphore()
    assert.equal("Semaphore: unlocked, value:1", state_of(sem))
    sem:acquire()
    assert.equal("Semaphore: locked", state_of(sem))
    spawn(sem.acquire, sem)
    spawn(sem.acquire, sem)
    turn()
    assert.equal("Semaphore: locked, waiters:2", state_of(sem))
    sem:release()
    assert.equal("Semaphore: locked, waiters:2", state_of(sem))
    assert.equal("BoundedSemaphore: unlocked, value:3", state_of(asyncio.BoundedSemaphore(3)))
  end)

  it("has as many permits as it is told", function()
    assert.is_true(asyncio.Semaphore(0):locked())
    assert.is_false(asyncio.Semaphore():locked())
    assert.error_matches(function() asyncio.Semaphore(-1) end,
      "bad argument #1 to '[%w_.?]+' %(number of permits must not be negative%)")
    assert.error_matches(function() asyncio.BoundedSemaphore(-1) end, "must not be negative")
  end)

  it_runs("gives its permits away, then lets wait (test_acquire)", function()
    local sem <const>, order <const>, tasks <const> = asyncio.Semaphore(3), {}, {}
    assert.equal(sem, sem:acquire())
    assert.equal(sem, sem:acquire())
    assert.is_false(sem:locked())
    local function take(n)
      assert.equal(sem, sem:acquire())
      order[#order + 1] = n
    end
    for i = 1, 3 do tasks[i] = spawn(take, i) end
    turn()
    assert.same({ 1 }, order)
    assert.equal("Semaphore: locked, waiters:2", state_of(sem))
    tasks[4] = spawn(take, 4)
    sem:release()
    sem:release()
    turn()
    assert.same({ 1, 2, 3 }, order)
    assert.equal("Semaphore: locked, waiters:1", state_of(sem))
    sem:release()
    asyncio.gather(table.unpack(tasks))
    assert.same({ 1, 2, 3, 4 }, order)
  end)

  it_runs("counts (test_release_no_waiters)", function()
    local sem <const> = asyncio.Semaphore(0)
    for _ = 1, 3 do assert.equal(0, select("#", sem:release())) end
    assert.equal("Semaphore: unlocked, value:3", state_of(sem))
    for _ = 1, 3 do sem:acquire() end
    assert.is_true(sem:locked())
  end)

  it_runs("limits how many run at a time", function()
    local sem <const>, now, most = asyncio.Semaphore(3), 0, 0
    local function job()
      local _ <close> = sem:acquire()
      now = now + 1
      most = math.max(most, now)
      asyncio.sleep(1)
      now = now - 1
    end
    local jobs <const> = {}
    for i = 1, 10 do jobs[i] = job end
    asyncio.gather(jobs)
    assert.equal(3, most)
    assert.equal(4, asyncio.get_running_loop():time())
    assert.equal("Semaphore: unlocked, value:3", state_of(sem))
  end)

  it_runs("gives the permit back, with results or an error", function()
    local sem <const> = asyncio.Semaphore(1)
    local results <const> = table.pack(sem:with(function(...)
      assert.is_true(sem:locked())
      asyncio.sleep(1)
      return ...
    end, 1, nil))
    assert.same({ 1, nil, n = 2 }, results)
    local err <const> = {}
    local ok, got = pcall(sem.with, sem, error, err)
    assert.is_false(ok)
    assert.equal(err, got)
    assert.has_error(function()
      local _ <close> = sem:acquire()
      error("inside", 0)
    end, "inside")
    assert.equal("Semaphore: unlocked, value:1", state_of(sem))
    sem:acquire()
    local task <const> = spawn(sem.with, sem, function() return "late" end)
    turn()
    sem:release()
    assert.equal("late", task:await())
  end)

  it_runs("keeps the order of arrival (test_acquire_fifo_order)", function()
    local sem <const>, order <const> = asyncio.Semaphore(1), {}
    local function job(tag)
      for i = 1, 2 do
        sem:acquire()
        order[#order + 1] = tag .. i
        asyncio.sleep(0.01)
        sem:release()
      end
    end
    asyncio.gather(function() job("a") end, function() job("b") end, function() job("c") end)
    assert.same({ "a1", "b1", "c1", "a2", "b2", "c2" }, order)
  end)

  it_runs("keeps it for a task that comes again (test_acquire_fifo_order_2)", function()
    local sem <const>, order <const> = asyncio.Semaphore(1), {}
    local function take(n)
      sem:acquire()
      order[#order + 1] = n
    end
    local tasks <const> = {
      spawn(take, 1),
      spawn(function()
        take(2)
        sem:release()
        take(4)
      end),
      spawn(take, 3),
    }
    turn()
    sem:release()
    sem:release()
    asyncio.gather(tasks)
    assert.same({ 1, 2, 3, 4 }, order)
  end)

  it_runs("passes over who has left (test_acquire_fifo_order_3)", function()
    local sem <const>, order <const>, tasks <const> = asyncio.Semaphore(0), {}, {}
    for i = 1, 3 do
      tasks[i] = spawn(function()
        sem:acquire()
        order[#order + 1] = i
      end)
    end
    turn()
    tasks[1]:cancel()
    turn()
    sem:release()
    sem:release()
    asyncio.gather(tasks, { return_exceptions = true })
    assert.same({ 2, 3 }, order)
  end)

  it_runs("wakes all for whom there are permits (test_acquire_fifo_order_4)", function()
    local sem <const>, order <const>, fourth = asyncio.Semaphore(0), {}, nil
    local tasks <const> = {
      spawn(function()
        sem:acquire()
        fourth = spawn(function() order[#order + 1] = 4 end)
        order[#order + 1] = 1
      end),
      spawn(function()
        for _ = 1, 3 do sem:release() end
        assert.is_true(sem:locked()) -- two permits, but the first task has not run yet
        sem:acquire()
        order[#order + 1] = 2
      end),
      spawn(function()
        sem:acquire()
        order[#order + 1] = 3
      end),
    }
    turn()
    assert.equal("Semaphore: locked, waiters:3", state_of(sem))
    turn()
    asyncio.gather(tasks)
    fourth:await()
    assert.same({ 1, 2, 3, 4 }, order)
  end)

  it_runs("is locked while a waiter that was woken has not run", function()
    local sem <const> = asyncio.Semaphore(0)
    local waiter <const> = spawn(sem.acquire, sem)
    turn()
    sem:release()
    sem:release()
    assert.is_true(sem:locked())
    waiter:await()
    assert.equal("Semaphore: unlocked, value:1", state_of(sem))
  end)

  describe("when a waiter is cancelled", function()
    it_runs("forgets it (test_acquire_cancel)", function()
      local sem <const> = asyncio.Semaphore(0)
      local task <const> = spawn(sem.acquire, sem)
      asyncio.get_running_loop():call_soon(task.cancel, task)
      assert_cancelled(task.await, task)
      assert.equal("Semaphore: locked", state_of(sem))
      sem:release()
      assert.is_false(sem:locked())
    end)

    it_runs("gives the permit to the next (test_acquire_cancel_before_awoken)", function()
      local sem <const>, tasks <const> = asyncio.Semaphore(0), {}
      for i = 1, 4 do tasks[i] = spawn(sem.acquire, sem) end
      turn()
      tasks[1]:cancel()
      tasks[2]:cancel()
      sem:release()
      turn(2)
      assert.is_true(tasks[3]:done())
      assert.is_false(tasks[4]:done())
      tasks[4]:cancel()
      turn()
      assert.equal("Semaphore: locked", state_of(sem))
    end)

    it_runs("does not hang (test_acquire_hang)", function()
      local sem <const> = asyncio.Semaphore(0)
      local first <const>, second <const> = spawn(sem.acquire, sem), spawn(sem.acquire, sem)
      turn()
      first:cancel()
      sem:release()
      turn(2)
      assert.is_true(sem:locked())
      assert.is_true(second:done())
    end)

    it_runs("has its permit free again (test_acquire_no_hang)", function()
      local sem <const>, second = asyncio.Semaphore(1), nil
      local first <const> = spawn(function()
        do
          local _ <close> = sem:acquire()
          turn()
        end
        second:cancel()
      end)
      second = spawn(function()
        local _ <close> = sem:acquire()
        error("not reached")
      end)
      local results <const> = asyncio.gather({ first, second }, { return_exceptions = true })
      assert.is_nil(results[1])
      assert.is_true(asyncio.is(results[2], asyncio.CancelledError))
      asyncio.wait_for(function() sem:acquire() end, 1)
    end)

    it_runs("B1: woken, then cancelled before it runs: the permit goes on", function()
      local sem <const>, order <const>, tasks <const> = asyncio.Semaphore(0), {}, {}
      for i = 1, 4 do
        tasks[i] = spawn(function()
          sem:acquire()
          order[#order + 1] = i
        end)
      end
      turn()
      sem:release()
      sem:release()
      tasks[1]:cancel()
      tasks[2]:cancel()
      turn()
      assert.same({}, order)
      turn()
      assert.same({ 3, 4 }, order)
      assert.equal("Semaphore: locked", state_of(sem))
    end)

    it_runs("B1: the last one cancelled gives the permit back", function()
      local sem <const> = asyncio.BoundedSemaphore(1)
      sem:acquire()
      local task <const> = spawn(sem.acquire, sem)
      turn()
      sem:release()
      task:cancel()
      assert_cancelled(task.await, task)
      assert.equal("BoundedSemaphore: unlocked, value:1", state_of(sem))
      assert.error_matches(function() sem:release() end, "released too many times")
    end)

    it_runs("B3: a wait that times out at once leaves no trace", function()
      local sem <const> = asyncio.Semaphore(0)
      for _ = 1, 10 do
        local ok, err = pcall(asyncio.wait_for, function() sem:acquire() end, 0)
        assert.is_false(ok)
        assert.is_true(asyncio.is(err, asyncio.TimeoutError))
      end
      assert.equal("Semaphore: locked", state_of(sem))
      sem:release()
      assert.equal("Semaphore: unlocked, value:1", state_of(sem))
    end)
  end)

  it_runs("serves many, and is released many times at once", function()
    local sem <const>, n <const>, order <const> = asyncio.Semaphore(0), helper.scale(10000, 10), {}
    for i = 1, n do
      spawn(function()
        sem:acquire()
        order[#order + 1] = i
      end)
    end
    turn()
    for _ = 1, n do sem:release() end
    turn()
    assert.equal(n, #order)
    for i = 1, n do assert.equal(i, order[i]) end
  end)

  it("belongs to the loop on which it was first waited for", function()
    local sem <const> = asyncio.Semaphore(1)
    run(sem.acquire, sem)
    run(function()
      asyncio.get_running_loop():call_soon(sem.release, sem)
      sem:acquire()
    end)
    run(function()
      assert.error_matches(function() sem:acquire() end,
        "<asyncio%.Semaphore 0x%x+ %[locked%]> is bound to a different event loop")
      assert.error_matches(function() sem:with(print) end, "is bound to a different event loop")
      sem:release()
      sem:acquire()
    end)
  end)

  it_runs("may be released by callbacks and finalizers", function()
    local sem <const> = asyncio.Semaphore(0)
    local task <const> = spawn(function() end)
    task:add_done_callback(function() sem:release() end)
    sem:acquire()
    local waiter <const> = spawn(sem.acquire, sem)
    turn()
    setmetatable({}, { __gc = function() sem:release() end })
    collectgarbage()
    waiter:await()
    assert.equal("Semaphore: locked", state_of(sem))
  end)

  it("ends a deadlock", function()
    local ok, err = pcall(run, function() asyncio.Semaphore(0):acquire() end)
    assert.is_false(ok)
    assert.is_true(asyncio.is(err, asyncio.DeadlockError))
    assert.matches("semaphore", tostring(err))
  end)

  it("refuses wrong arguments", function()
    local sem <const>, bounded <const> = asyncio.Semaphore(), asyncio.BoundedSemaphore()
    for _, object in ipairs { sem, bounded } do
      for _, name in ipairs { "acquire", "release", "locked", "with" } do
        for _, wrong in ipairs { {}, 1, "x", asyncio.Lock() } do
          assert.error_matches(function() object[name](wrong) end,
            "bad argument #1 to '[%w_.?]+' %(asyncio%.Semaphore expected, got ")
        end
      end
      assert.error_matches(function() object:with() end, "function expected, got no value")
    end
    for _, new in ipairs { asyncio.Semaphore, asyncio.BoundedSemaphore } do
      assert.error_matches(function() new("x") end, "number expected, got string")
      assert.error_matches(function() new({}) end, "number expected, got table")
      assert.error_matches(function() new(1.5) end, "no integer representation")
    end
  end)
end)

describe("BoundedSemaphore", function()
  it_runs("is released no more often than acquired (test_release_not_acquired)", function()
    local sem <const> = asyncio.BoundedSemaphore(2)
    assert.error_matches(function() sem:release() end, "the semaphore is released too many times")
    sem:acquire()
    assert.is_false(sem:locked())
    sem:acquire()
    assert.is_true(sem:locked())
    sem:release()
    sem:release()
    assert.error_matches(function() sem:release() end, "the semaphore is released too many times")
    assert.error_matches(function()
      sem:with(sem.release, sem)
    end, "the semaphore is released too many times")
  end)
end)
