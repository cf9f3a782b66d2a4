-- SPDX-License-Identifier: MIT
-- Tasks: made, run, awaited, cancelled.

return {
  {
    name = "create_task and await",
    covers = { "create_task", "await", "sleep" },
    run = function(asyncio)
      local task = asyncio.create_task(function(a, b)
        asyncio.sleep(0)
        return a .. b
      end, "x", "y")
      assert(asyncio.await(task) == "xy")
    end,
  },
  {
    name = "cancel a task that waits",
    covers = { "Task:cancel" },
    setup = function(asyncio, loop)
      local t = { future = loop:create_future(), closed = 0 }
      t.task = asyncio.create_task(function()
        local _ <close> = setmetatable({}, { __close = function() t.closed = t.closed + 1 end })
        asyncio.await(t.future)
      end)
      asyncio.sleep(0)
      return t
    end,
    run = function(asyncio, _, t)
      t.task:cancel("the message")
      local ok, err = pcall(asyncio.await, t.task)
      assert(not ok)
      if not asyncio.is(err, asyncio.CancelledError) then error(err, 0) end
    end,
    -- Cancelling may fail, or the task may end with the memory error; it is never left waiting.
    check = function(asyncio, _, t)
      if not t.task:done() then t.task:cancel() end
      pcall(asyncio.await, t.task)
      assert(t.task:done() and t.closed == 1, "its <close> variable was not closed once")
    end,
  },
}
