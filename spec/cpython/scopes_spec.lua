-- SPDX-License-Identifier: MIT
-- What CPython's test_taskgroups.py, test_timeouts.py and test_waitfor.py ask.

local asyncio <const> = require "asyncio"
local base <const> = require "spec.cpython.base"
local virtual <const> = require "spec.virtual"

local inside <const>, refuses <const> = virtual.inside, virtual.refuses
local raises <const> = virtual.raises
local near <const>, group <const>, finally <const> = base.near, base.group, base.finally
local cancelled_error <const> = base.cancelled
local sleep <const>, create_task <const> = asyncio.sleep, asyncio.create_task
local TaskGroup <const>, timeout <const> = asyncio.TaskGroup, asyncio.timeout
local current_task <const> = asyncio.current_task

-- sleeps, then `cleanup` runs however it ended.
local function sleep_finally(seconds, cleanup)
  finally(function() sleep(seconds) end, cleanup)
end

local function crash() error("zero", 0) end

local function crash_after(seconds, err)
  return function()
    sleep(seconds)
    error(err or "zero", 0)
  end
end

-- A task that runs f, after 0.1 seconds; it must not be done then.
local function started(f)
  local t <const> = create_task(f)
  sleep(0.1)
  assert.is_false(t:done())
  return t
end

local function await(t) return t:await() end

describe("CPython's test_taskgroups", function()
  local function value_after(seconds, value)
    sleep(seconds)
    return value
  end

  it("test_taskgroup_01, test_taskgroup_02", inside(function()
    for _, pause in ipairs { 0, 0.15 } do
      local t1, t2
      do
        local g <close> = TaskGroup()
        t1 = g:create_task(value_after, 0.1, 42)
        if pause > 0 then sleep(pause) end
        t2 = g:create_task(value_after, 0.2, 11)
      end
      assert.equal(42, t1:result())
      assert.equal(11, t2:result())
    end
  end))

  it("test_taskgroup_03", inside(function()
    local t1, t2
    do
      local g <close> = TaskGroup()
      t1 = g:create_task(value_after, 1, 42)
      sleep(0.15)
      t1:cancel()
      t2 = g:create_task(value_after, 0.2, 11)
    end
    assert.is_true(t1:cancelled())
    assert.equal(11, t2:result())
  end))

  it("test_taskgroup_04, test_cancel_children_on_child_error", inside(function()
    for _, in_block in ipairs { false, true } do
      local n, cancelled, t2 = 0, 0, nil
      local r <const> = create_task(function()
        do
          local g <close> = TaskGroup()
          g:create_task(crash_after(0.1))
          t2 = g:create_task(function()
            sleep_finally(1, function() cancelled = cancelled + 1 end)
            n = n + 1
          end)
          if in_block then sleep_finally(10, function() cancelled = cancelled + 1 end) end
        end
        n = n + 10
      end)
      assert.same({ zero = true }, group(await, r))
      assert.equal(0, n)
      assert.equal(in_block and 2 or 1, cancelled)
      assert.is_true(t2:cancelled())
    end
  end))

  it("test_cancellation, test_taskgroup_07, test_taskgroup_17, test_taskgroup_22", inside(function()
    for _, case in ipairs { { 5, false }, { 5, true }, { 0, true }, { 2, false } } do
      local n = 0
      local r <const> = started(function()
        local g <close> = TaskGroup()
        for _ = 1, case[1] do
          g:create_task(sleep_finally, 5, function() n = n + 1 end)
        end
        if case[2] then sleep_finally(10, function() n = n + 10 end) end
      end)
      r:cancel()
      cancelled_error(await, r)
      assert.equal(case[1] + (case[2] and 10 or 0), n)
    end
  end))

  it("test_taskgroup_08", inside(function()
    local r <const> = started(function()
      local g <close> = TaskGroup()
      for _ = 1, 5 do g:create_task(sleep_finally, 10, crash) end
      sleep(10)
    end)
    r:cancel()
    assert.same({ zero = true }, group(await, r))
  end))

  it("test_taskgroup_09, test_taskgroup_10", inside(function()
    for _, pause in ipairs { 0.1, 0 } do
      local t1, t2
      assert.same({ zero = true }, group(function()
        local g <close> = TaskGroup()
        t1 = g:create_task(value_after, 1, 42)
        t2 = g:create_task(value_after, 2, 11)
        if pause > 0 then sleep(pause) end
        error("zero", 0)
      end))
      assert.is_true(t1:cancelled())
      assert.is_true(t2:cancelled())
    end
  end))

  it("test_taskgroup_11, test_taskgroup_12", inside(function()
    for _, outer_task in ipairs { false, true } do
      local r <const> = started(function()
        local g1 <close> = TaskGroup()
        if outer_task then g1:create_task(sleep, 10) end
        local g2 <close> = TaskGroup()
        for _ = 1, 5 do g2:create_task(sleep_finally, 10, crash) end
        sleep(10)
      end)
      r:cancel()
      local err <const> = raises(asyncio.ExceptionGroup, await, r)
      assert.equal(1, #err.exceptions)
      assert.is_true(asyncio.is(err.exceptions[1], asyncio.ExceptionGroup))
      assert.same({ "zero", "zero", "zero", "zero", "zero" }, err.exceptions[1].exceptions)
    end
  end))

  it("test_taskgroup_13, test_taskgroup_14", inside(function()
    assert.same({ value = true }, group(function()
      local g1 <close> = TaskGroup()
      g1:create_task(crash_after(0.1, "value"))
      local g2 <close> = TaskGroup()
      g2:create_task(crash_after(10, "value"))
    end))
    local err <const> = raises(asyncio.ExceptionGroup, function()
      local g1 <close> = TaskGroup()
      g1:create_task(crash_after(10, "value"))
      local g2 <close> = TaskGroup()
      g2:create_task(crash_after(0.1, "value"))
    end)
    assert.equal(1, #err.exceptions)
    assert.same({ "value" }, err.exceptions[1].exceptions)
  end))

  it("test_taskgroup_15, test_taskgroup_16", inside(function()
    local function runner()
      local g <close> = TaskGroup()
      g:create_task(crash_after(0.3))
      sleep_finally(10, function() sleep(0.5) end)
    end
    for _, f in ipairs { runner, function() create_task(runner):await() end } do
      local r <const> = started(f)
      r:cancel()
      assert.same({ zero = true }, group(await, r))
    end
  end))

  it("test_taskgroup_18", inside(function()
    local n = 0
    local r <const> = started(function()
      local g <close> = TaskGroup()
      local ok = pcall(sleep, 10)
      if not ok then
        n = n + 10
        error("mine", 0)
      end
      return g
    end)
    r:cancel()
    assert.same({ mine = true }, group(await, r))
    assert.equal(10, n)
  end))

  it("test_taskgroup_19, test_taskgroup_20a, test_taskgroup_21a", inside(function()
    assert.same({ zero = true, mine = true }, group(function()
      local g <close> = TaskGroup()
      g:create_task(crash_after(0.1))
      sleep_finally(10, function() error("mine", 0) end)
    end))
  end))

  it("test_taskgroup_20", inside(function()
    raises(asyncio.KeyboardInterrupt, function()
      local g <close> = TaskGroup()
      g:create_task(crash_after(0.1))
      sleep_finally(10, function() error(asyncio.KeyboardInterrupt(), 0) end)
    end)
  end))

  it("test_taskgroup_23, test_taskgroup_24", inside(function()
    do
      local g <close> = TaskGroup()
      for _ = 1, 10 do
        sleep(0.1)
        g:create_task(sleep, 0.3)
      end
      sleep(1.35)
      assert.equal(1, #asyncio.all_tasks())
    end
    local g <close> = TaskGroup()
    g:create_task(function()
      sleep(0.1)
      g:create_task(sleep, 0.1)
      g:create_task(sleep, 0.2)
    end)
  end))

  it("test_taskgroup_25", inside(function()
    local hydras = 0
    local function hydra(g)
      hydras = hydras + 1
      sleep(0.01)
      g:create_task(hydra, g)
      g:create_task(hydra, g)
    end
    assert.same({ zero = true }, group(function()
      local g <close> = TaskGroup()
      g:create_task(hydra, g)
      g:create_task(function()
        while hydras < 10 do sleep(0.015) end
        crash()
      end)
    end))
    assert.is_true(hydras >= 10)
  end))

  it("test_taskgroup_task_name", inside(function()
    local g <close> = TaskGroup()
    assert.equal("yolo", g:create_task(sleep, 0):set_name("yolo"):get_name())
  end))

  it("test_taskgroup_no_create_task_after_failure", inside(function()
    assert.same({ zero = true }, group(function()
      local g <close> = TaskGroup()
      g:create_task(crash_after(0.001))
      g:create_task(function()
        local ok = pcall(sleep, 1)
        assert(not ok)
        refuses("shutting down", g.create_task, g, crash)
      end)
    end))
  end))

  it("test_taskgroup_context_manager_exit_raises", inside(function()
    local task <const> = current_task()
    local database <const> = { __close = function() error("custom", 0) end }
    local err <const> = raises(asyncio.ExceptionGroup, function()
      local g <close> = TaskGroup()
      local _ <close> = setmetatable({}, database)
      g:create_task(error, "custom", 0)
      sleep(1)
    end)
    assert.equal(0, task:cancelling())
    assert.same({ "custom", "custom" }, err.exceptions)
  end))

  it("test_taskgroup_finished, test_coro_closed_when_tg_closed", inside(function()
    local group_object
    do
      local g <close> = TaskGroup()
      group_object = g
    end
    refuses("finished", group_object.create_task, group_object, sleep, 0)
  end))

  it("test_taskgroup_without_parent_task", inside(function(loop)
    local f <const> = loop:create_future()
    loop:call_soon(function()
      local _, err = pcall(TaskGroup)
      f:set_result(err)
    end)
    assert.matches("task", f:await())
  end))

  it("test_cancelling_level_preserved", inside(function()
    assert.same({ runtime = true }, group(function()
      local g <close> = TaskGroup()
      g:create_task(crash_after(0, "runtime"))
    end))
    assert.equal(0, current_task():cancelling())
  end))

  it("test_nested_groups_both_cancelled", inside(function()
    assert.same({ value = true }, group(function()
      local outer <close> = TaskGroup()
      assert.same({ runtime = true }, group(function()
        local inner <close> = TaskGroup()
        inner:create_task(crash_after(0, "runtime"))
        outer:create_task(crash_after(0, "value"))
      end))
      assert.equal(1, current_task():cancelling())
    end))
    assert.equal(0, current_task():cancelling())
  end))

  it("test_error_and_cancel", inside(function()
    local event <const> = asyncio.Event()
    local reached = false
    local t <const> = create_task(function()
      local errors <const> = group(function()
        local g <close> = TaskGroup()
        g:create_task(function()
          event:set()
          sleep(0)
          error("runtime", 0)
        end)
        sleep(1)
        reached = true
      end)
      assert.same({ runtime = true }, errors)
      assert.equal(1, current_task():cancelling())
      sleep(1)
      reached = true
    end)
    event:wait()
    assert.equal(0, t:cancelling())
    t:cancel()
    assert.equal(1, t:cancelling())
    cancelled_error(await, t)
    assert.is_true(t:cancelled())
    assert.is_false(reached)
  end))
end)

describe("CPython's test_timeouts", function()
  -- Runs f in a timeout, which must expire; returns the scope.
  local function times_out(scope, f)
    local cm
    raises(asyncio.TimeoutError, function()
      local t <close> = scope
      cm = t
      f(t)
    end)
    return cm
  end

  it("test_timeout_basic, test_outer_task_is_not_cancelled", inside(function()
    local t <const> = create_task(function()
      assert.is_true(times_out(timeout(0.01), base.never):expired())
    end)
    t:await()
    assert.is_false(t:cancelled())
  end))

  it("test_timeout_at_basic", inside(function(loop)
    local deadline <const> = loop:time() + 0.01
    local cm <const> = times_out(asyncio.timeout_at(deadline), base.never)
    assert.is_true(cm:expired())
    assert.equal(deadline, cm:when())
  end))

  it("test_nested_timeouts", inside(function(loop)
    local deadline <const> = loop:time() + 0.01
    local cancelled, cm2 = false, nil
    local cm1 <const> = times_out(asyncio.timeout_at(deadline), function()
      local ok, err = pcall(function()
        local t <close> = asyncio.timeout_at(deadline)
        cm2 = t
        sleep(10)
      end)
      assert(not ok)
      cancelled = asyncio.is(err, asyncio.CancelledError)
      error(err, 0)
    end)
    assert.is_true(cancelled)
    assert.is_true(cm1:expired())
    assert.is_true(cm2:expired())
  end))

  it("test_waiter_cancelled", inside(function()
    local cancelled = false
    times_out(timeout(0.01), function()
      local _, err = pcall(sleep, 10)
      cancelled = asyncio.is(err, asyncio.CancelledError)
      error(err, 0)
    end)
    assert.is_true(cancelled)
  end))

  it("test_timeout_not_called", inside(function(loop)
    local cm
    do
      local t <close> = timeout(10)
      cm = t
      sleep(0.01)
    end
    assert.is_false(cm:expired())
    assert.is_true(cm:when() > loop:time())
  end))

  it("test_timeout_disabled, test_timeout_at_disabled, test_repr_disabled", inside(function()
    for _, make in ipairs { timeout, asyncio.timeout_at } do
      local cm
      do
        local t <close> = make(nil)
        cm = t
        assert.equal("<Timeout [active] when=nil>", tostring(t))
        sleep(0.01)
      end
      assert.is_false(cm:expired())
      assert.is_nil(cm:when())
    end
  end))

  it("test_timeout_zero, test_timeout_zero_sleep_zero, test_timeout_in_the_past_sleep_zero",
    inside(function(loop)
      for _, case in ipairs { { 0, 10 }, { 0, 0 }, { -11, 0 } } do
        local t0 <const> = loop:time()
        local cm <const> = times_out(timeout(case[1]), function() sleep(case[2]) end)
        assert.is_true(cm:expired())
        near(t0 + case[1], cm:when())
        near(t0, loop:time())
      end
    end))

  it("test_foreign_exception_passed", inside(function()
    local cm
    local ok, err = pcall(function()
      local t <close> = timeout(0.01)
      cm = t
      error("key", 0)
    end)
    assert.is_false(ok)
    assert.equal("key", err)
    assert.is_false(cm:expired())
  end))

  it("test_timeout_exception_context, test_nested_timeout_in_finally", inside(function()
    times_out(timeout(0.01), function()
      finally(crash, function() sleep(1) end)
    end)
    times_out(timeout(0.01), function()
      sleep_finally(1, function() times_out(timeout(0.01), base.never) end)
    end)
  end))

  it("test_foreign_exception_on_timeout, test_foreign_exception_on_timeout_2", inside(function()
    for _, body in ipairs { function() sleep(1) end,
      function() finally(function() error("value") end, function() sleep(1) end) end } do
      local ok, err = pcall(function()
        local _ <close> = timeout(0.01)
        finally(body, crash)
      end)
      assert.is_false(ok)
      assert.equal("zero", err)
    end
  end))

  it("test_foreign_cancel_doesnt_timeout_if_not_expired", inside(function()
    local cm
    cancelled_error(function()
      local t <close> = timeout(10)
      cm = t
      current_task():cancel()
      sleep(10)
    end)
    assert.is_false(cm:expired())
  end))

  it("test_nested_timeouts_concurrent, test_nested_timeouts_loop_busy", function()
    -- The loop is busy for longer than both limits; on a real clock.
    local loop <const> = asyncio.new_event_loop()
    local ok, err = pcall(loop.run_until_complete, loop, function()
      local function busy(seconds)
        local till <const> = loop:time() + seconds
        while loop:time() < till do end
      end
      times_out(timeout(0.002), function()
        local _ <close> = timeout(1)
        busy(0.01)
        sleep(9)
      end)
      local t0 <const> = loop:time()
      times_out(timeout(0.02), function()
        local _ <close> = timeout(0.005) -- due in the same turn as the outer one
        busy(0.03)
        sleep(9)
      end)
      assert.is_true(loop:time() - t0 < 5)
    end)
    loop:close()
    if not ok then error(err, 0) end
  end)

  it("test_reschedule", inside(function(loop)
    local f <const> = loop:create_future()
    local deadline1 <const> = loop:time() + 10
    local deadline2 <const> = deadline1 + 20
    local task <const> = create_task(function()
      local t <close> = asyncio.timeout_at(deadline1)
      f:set_result(t)
      sleep(50)
    end)
    local cm <const> = f:await()
    assert.equal(deadline1, cm:when())
    cm:reschedule(deadline2)
    assert.equal(deadline2, cm:when())
    cm:reschedule(nil)
    assert.is_nil(cm:when())
    task:cancel()
    cancelled_error(await, task)
    assert.is_false(cm:expired())
  end))

  it("test_repr_active, test_repr_expired, test_repr_finished", inside(function()
    local cm
    do
      local t <close> = timeout(10)
      cm = t
      assert.matches("^<Timeout %[active%] when=%d+%.%d*>$", tostring(t))
      sleep(0)
    end
    assert.equal("<Timeout [finished]>", tostring(cm))
    assert.equal("<Timeout [expired]>", tostring(times_out(timeout(0.01), base.never)))
  end))

  it("test_timeout_after_cancellation, test_cancel_in_timeout_after_cancellation", inside(function()
    current_task():cancel()
    cancelled_error(sleep, 1)
    times_out(timeout(0), function() sleep(1) end)
    cancelled_error(function()
      local _ <close> = timeout(1)
      current_task():cancel()
      sleep(2)
    end)
    current_task():uncancel()
    current_task():uncancel()
  end))

  it("test_timeout_finished, test_timeout_expired, test_timeout_expiring", inside(function()
    local cm
    do
      local t <close> = timeout(0.01)
      cm = t
    end
    refuses("finished", cm.reschedule, cm, 0.02)
    local expired <const> = times_out(timeout(0.01), base.never)
    refuses("expired", expired.reschedule, expired, 0.02)
    do
      local t <close> = timeout(0.01)
      cancelled_error(sleep, 1)
      refuses("expiring", t.reschedule, t, 0.02)
    end
  end))

  it("test_timeout_without_task", inside(function(loop)
    local f <const> = loop:create_future()
    loop:call_soon(function()
      local _, err = pcall(timeout, 0.01)
      f:set_result(err)
    end)
    assert.matches("task", f:await())
  end))

  it("test_timeout_taskgroup", inside(function()
    assert.same({ zero = true }, group(function()
      local _ <close> = timeout(0.01)
      local g <close> = TaskGroup()
      g:create_task(sleep_finally, 2, crash)
      finally(function() error("value") end, function() sleep(1) end)
    end))
  end))
end)

describe("CPython's test_waitfor", function()
  local wait_for <const> = asyncio.wait_for

  -- Runs for 0.2 seconds, whatever cancels it.
  local function slow(state)
    local loop <const> = asyncio.get_running_loop()
    local till <const> = loop:time() + 0.2
    while loop:time() < till do pcall(sleep, till - loop:time()) end
    state.exited = true
  end

  it("test_asyncio_wait_for_cancelled, test_asyncio_wait_for_timeout", inside(function()
    local state = {}
    local t <const> = create_task(wait_for, function() slow(state) end, 0.4)
    sleep(0)
    t:cancel()
    asyncio.wait { t }
    assert.is_true(state.exited)
    state = {}
    pcall(wait_for, function() slow(state) end, 0.1)
    assert.is_true(state.exited)
  end))

  it("test_wait_for_timeout_less_then_0_or_0_future_done, "
    .. "test_wait_for_timeout_less_then_0_or_0_coroutine_do_not_started", inside(function(loop)
    local f <const> = loop:create_future()
    f:set_result("done")
    assert.equal("done", wait_for(f, 0))
    local begun = false
    raises(asyncio.TimeoutError, wait_for, function() begun = true end, 0)
    assert.is_false(begun)
  end))

  it("test_wait_for_timeout_less_then_0_or_0, test_wait_for", inside(function()
    for _, limit in ipairs { 0, -1, 0.1 } do
      local running = nil
      local t <const> = create_task(function()
        running = true
        sleep_finally(10, function() running = false end)
        return "done"
      end)
      sleep(0)
      raises(asyncio.TimeoutError, wait_for, t, limit)
      assert.is_true(t:done())
      assert.is_true(t:cancelled())
      assert.is_false(running)
    end
  end))

  it("test_wait_for_blocking, test_wait_for_race_condition", inside(function(loop)
    assert.equal("done", wait_for(function() return "done" end, nil))
    local f <const> = loop:create_future()
    loop:call_soon(f.set_result, f, "ok")
    assert.equal("ok", wait_for(f, 0.2))
  end))

  it("test_wait_for_cancellation_race_condition, test_wait_for_cancel_suppressed", inside(function()
    assert.equal(42, wait_for(function()
      cancelled_error(sleep, 1)
      return 42
    end, 0.01))
  end))

  it("test_wait_for_waits_for_task_cancellation, and with timeout 0", inside(function()
    for _, limit in ipairs { 0.0001, 0 } do
      local done = false
      local t <const> = create_task(function()
        local _, err = pcall(sleep, 10)
        sleep(0.0001)
        done = true
        error(err, 0)
      end)
      sleep(0.00005)
      raises(asyncio.TimeoutError, wait_for, t, limit)
      assert.is_true(done)
    end
  end))

  it("test_wait_for_reraises_exception_during_cancellation", inside(function()
    local t <const> = create_task(sleep_finally, 0.2, function() error("foo", 0) end)
    refuses("foo", wait_for, t, 0.0001)
  end))

  it("test_cancel_blocking_wait_for, test_cancel_wait_for", inside(function(loop)
    for _, limit in ipairs { false, 60 } do
      local t <const> = create_task(function() loop:create_future():await() end)
      local waiting <const> = create_task(wait_for, t, limit or nil)
      loop:call_soon(waiting.cancel, waiting)
      cancelled_error(await, waiting)
      assert.is_true(t:cancelled())
    end
  end))

  it("test_wait_for_issue86296", inside(function()
    local inner <const> = create_task(function() return "done" end)
    local reached = false
    local t <const> = create_task(function()
      wait_for(inner, 100)
      sleep(1)
      reached = true
    end)
    assert.is_false(t:done())
    sleep(0)
    t:cancel()
    cancelled_error(await, t)
    assert.is_true(inner:done())
    assert.equal("done", inner:await())
    assert.is_false(reached)
  end))

  it("WaitForShieldTests", inside(function()
    local function work(seconds)
      sleep(seconds)
      return "done"
    end
    local t <const> = create_task(work, 0.01)
    raises(asyncio.TimeoutError, wait_for, function() return asyncio.shield(t) end, 0)
    assert.is_false(t:done())
    sleep(0.1)
    assert.is_true(t:done())
    local u <const> = create_task(work, 0.1)
    assert.equal("done", wait_for(function() return asyncio.shield(u) end, nil))
    local v <const> = create_task(work, 0.1)
    raises(asyncio.TimeoutError, wait_for, function() return asyncio.shield(v) end, 0.01)
    assert.is_false(v:done())
    assert.equal("done", v:await())
  end))
end)
