-- SPDX-License-Identifier: MIT
-- Cancelling again what has swallowed its cancellation, in groups (of Runner: runner_spec.lua).
local asyncio <const> = require "asyncio"

describe("a TaskGroup whose child swallows its cancellation", function()
  it("cancels it again after a thousand waits more, and abandons it in the end", function()
    local reports, waits = {}, 0
    local ok, err = pcall(asyncio.testing.run, function()
      asyncio.get_running_loop():set_exception_handler(function(_, context)
        reports[#reports + 1] = context.message
      end)
      local group <close> = asyncio.TaskGroup()
      group:create_task(function()
        while true do
          pcall(asyncio.sleep, 0.001)
          waits = waits + 1
        end
      end)
      group:create_task(function()
        asyncio.sleep(0.01)
        error("the group ends", 0)
      end)
      asyncio.sleep(10)
    end)
    assert.is_false(ok)
    assert.is_true(asyncio.is(err, asyncio.ExceptionGroup))
    assert.equal("the group ends", err.exceptions[1])
    assert.is_true(waits > 1000)
    assert.equal(1, #reports)
    assert.matches("swallowed its cancellation", reports[1])
  end)

  it("leaves a child alone that goes on for less, as asyncio does", function()
    local waits = 0
    pcall(asyncio.testing.run, function()
      local group <close> = asyncio.TaskGroup()
      group:create_task(function()
        pcall(asyncio.sleep, 10)
        for _ = 1, 900 do
          asyncio.sleep(0.001)
          waits = waits + 1
        end
      end)
      group:create_task(error, "now")
      asyncio.sleep(20)
    end)
    assert.equal(900, waits)
  end)

  it("leaves a child alone that has called uncancel", function()
    local waits = 0
    pcall(asyncio.testing.run, function()
      local group <close> = asyncio.TaskGroup()
      group:create_task(function()
        pcall(asyncio.sleep, 10)
        asyncio.current_task():uncancel()
        for _ = 1, 1500 do
          asyncio.sleep(0.001)
          waits = waits + 1
        end
      end)
      group:create_task(function()
        asyncio.sleep(0)
        error("now", 0)
      end)
      asyncio.sleep(20)
    end)
    assert.equal(1500, waits)
  end)
end)

describe("debug mode", function()
  local function reports_of(body)
    local reports = {}
    local runner <close> = asyncio.Runner { debug = true }
    runner:run(function()
      asyncio.get_running_loop():set_exception_handler(function(_, context)
        reports[#reports + 1] = context
      end)
      local task = asyncio.create_task(body)
      asyncio.sleep(0)
      task:cancel()
      pcall(task.await, task)
    end)
    return reports
  end

  it("reports a task that swallows its cancellation, with the place of the wait", function()
    local reports = reports_of(function() pcall(asyncio.sleep, 5) end)
    assert.equal(1, #reports)
    assert.matches("swallowed its cancellation", reports[1].message)
    assert.matches("redeliver_spec.lua:%d+", reports[1].traceback)
    assert.is_true(asyncio.isfuture(reports[1].task))
  end)

  it("reports the await of a task that was cancelled with it", function()
    local reports = reports_of(function()
      local child = asyncio.create_task(asyncio.sleep, 5)
      pcall(child.await, child)
    end)
    assert.equal(1, #reports)
    assert.matches("redeliver_spec.lua:%d+", reports[1].traceback)
  end)

  it("reports nothing when it was uncancelled, or let through", function()
    assert.equal(0, #reports_of(function()
      pcall(asyncio.sleep, 5)
      asyncio.current_task():uncancel()
    end))
    assert.equal(0, #reports_of(function() asyncio.sleep(5) end))
  end)
end)
