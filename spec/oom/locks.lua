-- SPDX-License-Identifier: MIT
-- Locks, events, conditions, semaphores, barriers. Wherever memory ends, what was taken is given
-- back, and who waits gets his turn.

-- Runs f, and expects an error of the class; want of memory goes on.
local function expect(asyncio, class, f, ...)
  local ok, err = pcall(f, ...)
  assert(not ok)
  if not asyncio.is(err, class) then error(err, 0) end
end

-- Waits for tasks that wait for each other: if one fails, the others would wait for ever.
local function together(asyncio, tasks)
  asyncio.wait(tasks, { return_when = asyncio.FIRST_EXCEPTION })
  for _, task in ipairs(tasks) do
    if task:done() then task:result() end
  end
end

-- Whatever tasks are left come to their end.
local function settle(asyncio)
  for _ = 1, 5 do asyncio.sleep(0) end
  for _, task in ipairs(asyncio.all_tasks()) do
    if task ~= asyncio.current_task() then task:cancel() end
  end
  for _ = 1, 5 do asyncio.sleep(0) end
end

local function is_free(asyncio, _, lock)
  settle(asyncio)
  assert(not lock:locked())
  assert(tostring(lock):find("%[unlocked[^w]*%]") or tostring(lock):find("value:1]"))
  local task = asyncio.create_task(function() lock:with(asyncio.sleep, 0) end)
  asyncio.sleep(0)
  lock:with(asyncio.sleep, 0)
  task:await()
  assert(not lock:locked())
end

-- Two tasks take turns; a third one, in between, is cancelled.
local function contend(asyncio, _, lock)
  local cancelled, second
  do
    local _ <close> = lock:acquire()
    cancelled = asyncio.create_task(lock.with, lock, asyncio.sleep, 0)
    second = asyncio.create_task(lock.with, lock, asyncio.sleep, 0)
    asyncio.sleep(0)
    cancelled:cancel("enough")
  end
  expect(asyncio, asyncio.CancelledError, cancelled.await, cancelled)
  lock:with(asyncio.sleep, 0)
  second:await()
end

return {
  {
    name = "all are made and shown",
    covers = { "Lock", "Event", "Condition", "Semaphore", "BoundedSemaphore", "Barrier" },
    run = function(asyncio)
      for _, object in ipairs { asyncio.Lock(), asyncio.Event(), asyncio.Condition(),
        asyncio.Semaphore(2), asyncio.BoundedSemaphore(2), asyncio.Barrier(2) } do
        assert(#tostring(object) > 10)
      end
    end,
  },
  {
    name = "a lock changes hands",
    covers = { "Lock:acquire", "Lock:with", "Lock:release", "Lock:locked" },
    setup = function(asyncio) return asyncio.Lock() end,
    run = contend,
    check = is_free,
  },
  {
    name = "the lock of a condition changes hands",
    covers = { "Condition:acquire", "Condition:with", "Condition:release", "Condition:locked" },
    setup = function(asyncio) return asyncio.Condition() end,
    run = contend,
    check = is_free,
  },
  {
    name = "a permit changes hands",
    covers = { "Semaphore:acquire", "Semaphore:with", "Semaphore:release", "Semaphore:locked" },
    setup = function(asyncio) return asyncio.Semaphore(1) end,
    run = contend,
    check = is_free,
  },
  {
    name = "a bounded permit changes hands",
    covers = { "BoundedSemaphore:acquire", "BoundedSemaphore:with", "BoundedSemaphore:release",
      "BoundedSemaphore:locked" },
    setup = function(asyncio) return asyncio.BoundedSemaphore(1) end,
    run = function(asyncio, loop, sem)
      contend(asyncio, loop, sem)
      assert(not pcall(sem.release, sem))
    end,
    check = is_free,
  },
  {
    name = "an event is waited for",
    covers = { "Event:wait", "Event:set", "Event:clear", "Event:is_set" },
    setup = function(asyncio) return asyncio.Event() end,
    run = function(asyncio, _, event)
      local first = asyncio.create_task(event.wait, event)
      local second = asyncio.create_task(event.wait, event)
      asyncio.sleep(0)
      first:cancel()
      event:set()
      expect(asyncio, asyncio.CancelledError, first.await, first)
      assert(second:await() and event:is_set())
      event:clear()
    end,
    check = function(asyncio, _, event)
      settle(asyncio)
      assert(tostring(event):find("set]"))
    end,
  },
  {
    name = "a condition is waited for, and its lock is held after every wait",
    covers = { "Condition:wait", "Condition:wait_for", "Condition:notify", "Condition:notify_all" },
    setup = function(asyncio) return asyncio.Condition() end,
    run = function(asyncio, _, cond)
      local ready = false
      local first = asyncio.create_task(cond.with, cond, cond.wait, cond)
      local second = asyncio.create_task(cond.with, cond, cond.wait_for, cond, function()
        return ready
      end)
      asyncio.sleep(0)
      do
        local _ <close> = cond:acquire()
        cond:notify()
        asyncio.sleep(0)
        first:cancel("one")
        asyncio.sleep(0)
        first:cancel("two")
        ready = true
        cond:notify_all()
      end
      expect(asyncio, asyncio.CancelledError, first.await, first)
      second:await()
    end,
    check = is_free,
  },
  {
    name = "a barrier opens, and is broken",
    covers = { "Barrier:wait", "Barrier:abort", "Barrier:reset", "Barrier:parties",
      "Barrier:n_waiting", "Barrier:broken" },
    setup = function(asyncio) return asyncio.Barrier(2) end,
    run = function(asyncio, _, barrier)
      together(asyncio, { asyncio.create_task(barrier.wait, barrier),
        asyncio.create_task(barrier.wait, barrier) })
      local other = asyncio.create_task(barrier.wait, barrier)
      asyncio.sleep(0)
      barrier:reset()
      expect(asyncio, asyncio.BrokenBarrierError, other.await, other)
      barrier:abort()
      expect(asyncio, asyncio.BrokenBarrierError, barrier.wait, barrier)
      barrier:reset()
      assert(barrier:parties() == 2 and barrier:n_waiting() == 0 and not barrier:broken())
    end,
    check = function(asyncio, _, barrier)
      settle(asyncio)
      barrier:reset()
      asyncio.sleep(0)
      assert(barrier:n_waiting() == 0)
      local other = asyncio.create_task(barrier.wait, barrier)
      assert(barrier:wait() + other:await() == 1)
    end,
  },
}
