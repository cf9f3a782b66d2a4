-- SPDX-License-Identifier: MIT
-- Barrier. Cases of asyncio's tests are named after them.

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

-- n tasks that run fn; waits for all of them and returns their first results.
local function gather(n, fn)
  local tasks <const> = {}
  for i = 1, n do tasks[i] = spawn(fn) end
  return asyncio.gather(tasks)
end

-- barrier:wait(), as true or false for a BrokenBarrierError.
local function passes(barrier)
  local ok, err = pcall(barrier.wait, barrier)
  if not ok and not asyncio.is(err, asyncio.BrokenBarrierError) then error(err, 0) end
  return ok
end

local function state_of(barrier)
  return tostring(barrier):match("^<asyncio%.Barrier 0x%x+ %[(.-)%]>$")
end

local N <const> = 5

describe("Barrier", function()
  it_runs("is shown as asyncio shows it (test_repr)", function()
    local barrier <const>, tasks <const> = asyncio.Barrier(N), {}
    local function more(n)
      for _ = 1, n do tasks[#tasks + 1] = spawn(barrier.wait, barrier) end
      turn()
    end
    assert.equal("filling, waiters:0/5", state_of(barrier))
    more(2)
    assert.equal("filling, waiters:2/5", state_of(barrier))
    more(barrier:parties() - barrier:n_waiting())
    assert.equal("draining, waiters:0/5", state_of(barrier))
    more(2)
    barrier:reset()
    assert.equal("resetting, waiters:0/5", state_of(barrier))
    more(2)
    barrier:abort()
    assert.equal("broken", state_of(barrier))
    assert.is_true(barrier:broken())
    asyncio.gather(tasks, { return_exceptions = true })
  end)

  it("needs a party (test_barrier_parties)", function()
    for _, n in ipairs { 0, -4 } do
      assert.error_matches(function() asyncio.Barrier(n) end,
        "bad argument #1 to '[%w_.?]+' %(number of parties must be positive%)")
    end
    assert.equal(3, asyncio.Barrier(3):parties())
  end)

  it_runs("of one opens at once (test_filling_one_task_twice)", function()
    local barrier <const> = asyncio.Barrier(1)
    for _ = 1, 2 do
      asyncio.get_running_loop():call_soon(function() assert.equal(0, barrier:n_waiting()) end)
      assert.equal(0, barrier:wait())
    end
    assert.equal("filling, waiters:0/1", state_of(barrier))
  end)

  it_runs("fills, opens, and can be used again (test_filling_task_by_task)", function()
    local barrier <const>, order <const> = asyncio.Barrier(3), {}
    for round = 1, 3 do
      local tasks <const> = {}
      for i = 1, 3 do
        tasks[i] = spawn(function()
          local index <const> = barrier:wait()
          order[#order + 1] = index
          return index
        end)
        turn()
        if i < 3 then assert.equal(i, barrier:n_waiting()) end
      end
      assert.same({ 0, 1, 2, n = 3 }, asyncio.gather(tasks))
      assert.same({ 2, 0, 1 }, { table.unpack(order, 3 * round - 2) })
      assert.equal("filling, waiters:0/3", state_of(barrier))
    end
  end)

  it_runs("lets nobody into the next round before the last has left", function()
    local barrier <const>, rounds <const> = asyncio.Barrier(N), {}
    gather(N, function()
      for round = 1, 4 do
        rounds[#rounds + 1] = round
        barrier:wait()
      end
    end)
    for i = 1, 4 * N do assert.equal((i - 1) // N + 1, rounds[i]) end
    assert.equal("filling, waiters:0/5", state_of(barrier))
  end)

  it_runs("is draining until the last has left (test_draining_state)", function()
    local barrier <const>, states <const> = asyncio.Barrier(N), {}
    gather(N, function()
      barrier:wait()
      states[#states + 1] = state_of(barrier):match("%l+")
    end)
    assert.same({ "draining", "draining", "draining", "draining", "filling" }, states)
  end)

  it_runs("blocks newcomers while it drains (test_blocking_tasks_while_draining)", function()
    local barrier <const>, rest <const>, again = asyncio.Barrier(N), asyncio.Barrier(N - 2), 2
    gather(N, function()
      barrier:wait()
      if again > 0 then
        again = again - 1
        barrier:wait()
      else
        rest:wait()
        barrier:wait()
      end
    end)
    assert.equal(0, again)
    assert.equal("filling, waiters:0/5", state_of(barrier))
  end)

  it_runs("does not count who is cancelled (test_filling_tasks_cancel_one)", function()
    local barrier <const>, passed = asyncio.Barrier(3), 0
    local function pass()
      barrier:wait()
      passed = passed + 1
    end
    local first <const> = spawn(pass)
    turn()
    local second <const> = spawn(pass)
    turn()
    assert.equal(2, barrier:n_waiting())
    first:cancel("gone")
    turn()
    assert.equal(1, barrier:n_waiting())
    local ok, err = pcall(first.await, first)
    assert.is_false(ok)
    assert.is_true(asyncio.is(err, asyncio.CancelledError))
    assert.equal("gone", err.message)
    local third <const> = spawn(pass)
    turn()
    assert.equal(2, barrier:n_waiting())
    asyncio.gather(second, third, spawn(pass))
    assert.equal(3, passed)
    assert.equal("filling, waiters:0/3", state_of(barrier))
  end)

  it_runs("B1: opened, then cancelled before it runs: the others go on", function()
    local barrier <const>, tasks <const> = asyncio.Barrier(3), {}
    for i = 1, 3 do tasks[i] = spawn(barrier.wait, barrier) end
    turn()
    assert.equal("draining, waiters:0/3", state_of(barrier))
    tasks[1]:cancel()
    local late <const> = spawn(barrier.wait, barrier)
    turn()
    assert.is_true(tasks[1]:cancelled())
    assert.equal(1, tasks[2]:await())
    assert.equal(2, tasks[3]:await())
    turn()
    assert.equal(1, barrier:n_waiting())
    late:cancel()
    turn()
    assert.equal("filling, waiters:0/3", state_of(barrier))
  end)

  it_runs("forgets a newcomer that is cancelled while it drains", function()
    local barrier <const>, tasks <const> = asyncio.Barrier(2), {}
    for i = 1, 4 do tasks[i] = spawn(barrier.wait, barrier) end
    turn()
    tasks[3]:cancel()
    turn(3)
    assert.equal(1, barrier:n_waiting())
    assert.equal(1, barrier:wait())
    assert.equal(0, tasks[4]:await())
  end)

  describe("reset", function()
    it_runs("does nothing to an empty one (test_reset_barrier)", function()
      local barrier <const> = asyncio.Barrier(1)
      assert.equal(0, select("#", barrier:reset()))
      assert.equal("filling, waiters:0/1", state_of(barrier))
      assert.equal(0, barrier:wait())
    end)

    it_runs("breaks the waits (test_reset_barrier_while_tasks_waiting)", function()
      local barrier <const>, tasks <const> = asyncio.Barrier(N), {}
      for i = 1, N - 1 do tasks[i] = spawn(passes, barrier) end
      turn()
      barrier:reset()
      for i = 1, N - 1 do assert.is_false(tasks[i]:await()) end
      assert.equal("filling, waiters:0/5", state_of(barrier))
    end)

    it_runs("halfway through draining (test_reset_barrier_when_tasks_half_draining)", function()
      local barrier <const>, broken, left = asyncio.Barrier(N), 0, 0
      gather(N, function()
        if not passes(barrier) then
          broken = broken + 1
          return
        end
        left = left + 1
        if left == N - N // 2 then barrier:reset() end
      end)
      assert.equal(N // 2, broken)
      assert.equal("filling, waiters:0/5", state_of(barrier))
    end)

    it_runs("while some wait to come in again (test_..._half_draining_half_blocking)", function()
      local barrier <const>, blocking <const> = asyncio.Barrier(N), N // 2
      local broken, wrong, count = 0, 0, 0
      gather(N, function()
        if not passes(barrier) then
          broken = broken + 1
          barrier:wait()
          return
        end
        count = count + 1
        if count > blocking then
          barrier:reset()
          barrier:wait()
        elseif not passes(barrier) then
          wrong = wrong + 1
        end
      end)
      assert.equal(blocking, broken)
      assert.equal(0, wrong)
      assert.equal("filling, waiters:0/5", state_of(barrier))
    end)

    it_runs("and wait again (test_reset_barrier_while_tasks_waiting_and_waiting_again)", function()
      local barrier <const>, tasks <const>, broken, passed = asyncio.Barrier(N), {}, 0, 0
      for i = 1, N - 1 do
        tasks[i] = spawn(function()
          if not passes(barrier) then broken = broken + 1 end
          barrier:wait()
          passed = passed + 1
        end)
      end
      spawn(barrier.reset, barrier)
      turn()
      spawn(function()
        barrier:wait()
        passed = passed + 1
      end)
      asyncio.gather(tasks)
      turn()
      assert.equal(N - 1, broken)
      assert.equal(N, passed)
    end)

    it_runs("by the last who leaves (test_reset_barrier_while_tasks_draining)", function()
      local barrier <const>, count, second, third = asyncio.Barrier(N), 0, 0, 0
      gather(N, function()
        barrier:wait()
        count = count + 1
        if count == N then
          barrier:reset()
          barrier:wait()
        else
          barrier:wait()
          second = second + 1
        end
        barrier:wait()
        third = third + 1
      end)
      assert.equal(N - 1, second)
      assert.equal(N, third)
      assert.equal("filling, waiters:0/5", state_of(barrier))
    end)
  end)

  describe("abort", function()
    it_runs("breaks an empty one until it is reset (test_abort_barrier)", function()
      local barrier <const> = asyncio.Barrier(1)
      assert.equal(0, select("#", barrier:abort()))
      assert.is_true(barrier:broken())
      assert.equal(0, barrier:n_waiting())
      assert.is_false(passes(barrier))
      barrier:reset()
      assert.is_false(barrier:broken())
      assert.is_true(passes(barrier))
    end)

    it_runs("breaks all waits (test_abort_barrier_when_..._half_draining_half_blocking)", function()
      local barrier <const>, blocking <const> = asyncio.Barrier(N), N // 2
      local draining, blocked, count = 0, 0, 0
      gather(N, function()
        if not passes(barrier) then
          draining = draining + 1
          return
        end
        count = count + 1
        if count > blocking then
          barrier:abort()
        elseif not passes(barrier) then
          blocked = blocked + 1
        end
      end)
      assert.equal(blocking, draining)
      assert.equal(N - blocking - 1, blocked)
      assert.equal("broken", state_of(barrier))
      assert.equal(0, barrier:n_waiting())
    end)

    it_runs("by one that fails (test_abort_barrier_when_exception)", function()
      local barrier <const>, passed, broken = asyncio.Barrier(N), 0, 0
      gather(N, function()
        local ok, index = pcall(barrier.wait, barrier)
        if ok and index == N // 2 then
          barrier:abort()
        elseif ok and passes(barrier) then
          passed = passed + 1
        else
          broken = broken + 1
        end
      end)
      assert.equal(0, passed)
      assert.equal(N - 1, broken)
      assert.is_true(barrier:broken())
    end)

    it_runs("then reset (test_abort_barrier_when_exception_then_resetting)", function()
      local first <const>, second <const> = asyncio.Barrier(N), asyncio.Barrier(N)
      local broken, passed = 0, 0
      gather(N, function()
        if not pcall(function()
          if first:wait() == N // 2 then first:abort() else first:wait() end
        end) then
          broken = broken + 1
        end
        if second:wait() == N // 2 then first:reset() end
        second:wait()
        first:wait()
        passed = passed + 1
      end)
      assert.equal(N - 1, broken)
      assert.equal(N, passed)
      assert.is_false(first:broken())
    end)

    it_runs("says what has happened", function()
      local barrier <const> = asyncio.Barrier(2)
      local task <const> = spawn(barrier.wait, barrier)
      turn()
      barrier:abort()
      assert.error_matches(function() task:await() end, "the barrier was aborted or reset")
      assert.error_matches(function() barrier:wait() end, "the barrier is broken")
    end)
  end)

  it_runs("may be aborted and reset by callbacks and finalizers", function()
    local barrier <const> = asyncio.Barrier(2)
    asyncio.get_running_loop():call_soon(barrier.abort, barrier)
    assert.is_false(passes(barrier))
    setmetatable({}, { __gc = function() barrier:reset() end })
    collectgarbage()
    local task <const> = spawn(passes, barrier)
    turn()
    assert.equal(1, barrier:n_waiting())
    setmetatable({}, { __gc = function() barrier:reset() end })
    collectgarbage()
    assert.is_false(task:await())
  end)

  it("belongs to the loop on which it was first waited for", function()
    local barrier <const> = asyncio.Barrier(2)
    run(function() gather(2, function() barrier:wait() end) end)
    run(function()
      assert.error_matches(function() barrier:wait() end,
        "<asyncio%.Barrier 0x%x+ %[filling, waiters:0/2%]> is bound to a different event loop")
      assert.equal(0, barrier:n_waiting())
    end)
  end)

  it("ends a deadlock, and does not count who was in it", function()
    local barrier <const> = asyncio.Barrier(2)
    local ok, err = pcall(run, barrier.wait, barrier)
    assert.is_false(ok)
    assert.is_true(asyncio.is(err, asyncio.DeadlockError))
    assert.matches("barrier", tostring(err))
    assert.equal(0, barrier:n_waiting())
  end)

  it_runs("opens for many", function()
    local n <const> = helper.scale(5000, 10)
    local barrier <const>, sum = asyncio.Barrier(n), 0
    gather(n, function()
      local index <const> = barrier:wait()
      sum = sum + index
    end)
    assert.equal(n * (n - 1) // 2, sum)
  end)

  it("refuses wrong arguments", function()
    local barrier <const> = asyncio.Barrier(1)
    for _, name in ipairs { "wait", "reset", "abort", "parties", "n_waiting", "broken" } do
      for _, wrong in ipairs { {}, 1, "x", asyncio.Lock() } do
        assert.error_matches(function() barrier[name](wrong) end,
          "bad argument #1 to '[%w_.?]+' %(asyncio%.Barrier expected, got ")
      end
    end
    assert.error_matches(function() asyncio.Barrier() end, "number expected, got no value")
    assert.error_matches(function() asyncio.Barrier("x") end, "number expected, got string")
    assert.error_matches(function() asyncio.Barrier(1.5) end, "no integer representation")
  end)
end)
