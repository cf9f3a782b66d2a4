-- SPDX-License-Identifier: MIT
-- Futures: made, completed, awaited, called back.

return {
  {
    name = "create_future and its result",
    covers = { "Loop:create_future", "Future", "Future:set_result", "Future:result" },
    run = function(asyncio, loop)
      local future = asyncio.Future(loop)
      future:cancel()
      future = loop:create_future()
      future:set_result(1, "two", { 3 })
      local a, b, c = future:result()
      assert(a == 1 and b == "two" and c[1] == 3)
    end,
  },
  {
    name = "a callback of a future",
    covers = { "Future:add_done_callback", "Future:remove_done_callback" },
    setup = function(_, loop)
      return { future = loop:create_future(), calls = 0 }
    end,
    run = function(asyncio, _, t)
      local function callback() t.calls = t.calls + 1 end
      local function unused() t.calls = t.calls + 100 end
      t.future:add_done_callback(unused)
      t.future:add_done_callback(callback)
      assert(t.future:remove_done_callback(unused) == 1)
      t.added = true
      t.future:set_result()
      asyncio.sleep(0)
    end,
    -- Once it is added, it is called, or it is reported that memory was missing for the call.
    check = function(asyncio, _, t, reports)
      asyncio.sleep(0)
      if t.future:done() then
        assert(t.calls == 1 or t.calls == 0 and reports == 1, t.calls .. " calls of the callback")
      end
    end,
  },
  {
    name = "an error of a future",
    covers = { "Future:set_exception", "Future:exception", "Future:await" },
    run = function(_, loop)
      local future = loop:create_future()
      future:set_exception("the error")
      assert(future:exception() == "the error")
      local ok, err = pcall(future.await, future)
      assert(not ok)
      -- this pcall catches both errors; want of memory goes on
      if err ~= "the error" then error(err, 0) end
    end,
  },
}
