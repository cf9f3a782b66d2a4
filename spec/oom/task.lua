-- SPDX-License-Identifier: MIT
-- Tasks: made, run, awaited, cancelled, described.

return {
  {
    name = "create_task and await",
    covers = { "create_task", "await", "Loop:create_task", "Task" },
    run = function(asyncio, loop)
      local function join(a, b)
        asyncio.sleep(0)
        return a .. b
      end
      assert(asyncio.await(asyncio.create_task(join, "x", "y")) == "xy")
      assert(asyncio.await(loop:create_task(join, 1, 2)) == "12")
      assert(asyncio.await(asyncio.Task(join, 3, 4)) == "34")
    end,
  },
  {
    name = "many tasks",
    covers = {},
    run = function(asyncio)
      local list = {}
      for i = 1, 30 do
        list[i] = asyncio.create_task(function()
          asyncio.sleep(0)
          return i
        end)
      end
      for i = 1, 30 do assert(asyncio.await(list[i]) == i) end
    end,
  },
  {
    name = "eager tasks",
    covers = { "eager_task_factory", "Loop:set_task_factory" },
    setup = function(asyncio, loop) loop:set_task_factory(asyncio.eager_task_factory) end,
    run = function(asyncio, loop)
      local ran = false
      local task = asyncio.create_task(function()
        ran = true
        asyncio.sleep(0)
        return 5
      end)
      -- what failed before it ran is the task's error
      assert(asyncio.await(task) == 5 and ran)
      loop:set_task_factory(nil)
      loop:set_task_factory(asyncio.eager_task_factory)
    end,
  },
  {
    name = "cancel a task that waits",
    covers = { "Future:cancel" },
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
  {
    name = "names, lists, tracebacks",
    covers = { "Task:set_name", "Task:get_name", "Task:get_coro", "Task:traceback",
      "Task:print_stack", "all_tasks", "current_task" },
    setup = function(asyncio)
      local t = {}
      t.task = asyncio.create_task(function() asyncio.sleep(5) end)
      asyncio.sleep(0)
      return t
    end,
    run = function(asyncio, _, t)
      assert(t.task:set_name("the name"):get_name() == "the name")
      local other = asyncio.create_task(function() end)
      assert(other:get_name():find("^Task%-%d+$"))
      assert(type(t.task:get_coro()) == "thread")
      assert(#asyncio.all_tasks() == 3)
      assert(t.task:traceback():find("task.lua", 1, true))
      assert(tostring(t.task):find("the name", 1, true))
      t.task:cancel()
    end,
    check = function(asyncio, _, t)
      t.task:cancel()
      pcall(asyncio.await, t.task)
    end,
  },
  {
    name = "an error that nobody retrieves",
    covers = {},
    run = function(asyncio)
      asyncio.create_task(function() error("not enough memory, says the test", 0) end)
      asyncio.sleep(0)
      asyncio.sleep(0)
      collectgarbage()
    end,
  },
}
