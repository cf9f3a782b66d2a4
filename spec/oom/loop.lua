-- SPDX-License-Identifier: MIT
-- Loops and what drives them, outside of any task.

return {
  {
    name = "new_event_loop and close",
    covers = { "new_event_loop", "Loop:close" },
    outside = true,
    run = function(asyncio)
      asyncio.new_event_loop():close()
      asyncio.new_event_loop({ clock = "virtual" }):close()
    end,
  },
  {
    name = "get_event_loop makes one",
    covers = { "get_event_loop", "set_event_loop" },
    outside = true,
    run = function(asyncio)
      asyncio.set_event_loop(nil)
      local loop = asyncio.get_event_loop()
      assert(loop == asyncio.get_event_loop())
      loop:close()
    end,
  },
  {
    name = "run_until_complete",
    covers = { "Loop:run_until_complete" },
    outside = true,
    run = function(asyncio, loop)
      local a, b = loop:run_until_complete(function(x)
        asyncio.sleep(0)
        return x, "two"
      end, 1)
      assert(a == 1 and b == "two")
    end,
  },
  {
    name = "run_forever and stop",
    covers = { "Loop:run_forever", "Loop:stop" },
    outside = true,
    -- where memory is missing for the callback, that is reported, and nobody stops the loop
    setup = function(_, loop) return loop:call_later(0.02, loop.stop, loop) end,
    run = function(_, loop)
      loop:call_soon(loop.stop, loop)
      loop:run_forever()
    end,
    check = function(_, _, fallback) fallback:cancel() end,
  },
  {
    name = "run",
    covers = { "run" },
    outside = true,
    run = function(asyncio, loop)
      asyncio.set_event_loop(nil)
      local result = asyncio.run(function(x)
        asyncio.create_task(asyncio.sleep, 10)
        asyncio.sleep(0)
        return x
      end, 3)
      asyncio.set_event_loop(loop)
      assert(result == 3)
    end,
  },
  {
    name = "a Runner",
    covers = { "Runner", "Runner:run", "Runner:get_loop", "Runner:close" },
    outside = true,
    run = function(asyncio)
      local runner <close> = asyncio.Runner()
      assert(runner:run(function() return 1 end) == 1)
      assert(runner:run(function(x) return x end, 2) == 2)
      assert(runner:get_loop())
    end,
  },
  {
    name = "a top-level wait",
    covers = {},
    outside = true,
    run = function(asyncio)
      assert(asyncio.sleep(0, "result") == "result")
      assert(asyncio.await(function() return 1 end) == 1)
    end,
  },
  {
    name = "an exception handler is called",
    covers = { "Loop:set_exception_handler", "Loop:call_exception_handler",
      "Loop:default_exception_handler" },
    setup = function(_, loop) return { before = loop:get_exception_handler(), seen = 0 } end,
    run = function(asyncio, loop, t)
      loop:set_exception_handler(function(_, context)
        if context.message == "mine" then t.seen = t.seen + 1 end
      end)
      loop:call_exception_handler({ message = "mine" })
      loop:default_exception_handler({ message = "to stderr" })
      loop:call_soon(error, "not enough memory, says the test", 0)
      asyncio.sleep(0)
      loop:set_exception_handler(t.before)
    end,
    check = function(_, loop, t) loop:set_exception_handler(t.before) end,
  },
  {
    name = "a deadlock is told",
    covers = {},
    outside = true,
    run = function(asyncio, loop)
      local ok, err = pcall(loop.run_until_complete, loop, function()
        asyncio.await(loop:create_future())
      end)
      assert(not ok)
      if not asyncio.is(err, asyncio.DeadlockError) then error(err, 0) end
      assert(#tostring(err) > 0)
    end,
  },
}
