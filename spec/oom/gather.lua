-- SPDX-License-Identifier: MIT
-- The combinators. Wherever memory ends, the children go on, and nothing wakes who no longer waits.

local function double(asyncio, x)
  return function()
    asyncio.sleep(0)
    return 2 * x
  end
end

-- Lets go of what an attempt has left waiting.
local function release(asyncio, _, t)
  if not t.future:done() then t.future:set_result("released") end
  for _ = 1, 4 do asyncio.sleep(0) end
end

local function one_future(_, loop)
  return { future = loop:create_future() }
end

return {
  {
    name = "gather functions",
    covers = { "gather" },
    run = function(asyncio)
      local list = asyncio.gather(double(asyncio, 1), double(asyncio, 2), double(asyncio, 3))
      assert(list.n == 3 and list[1] == 2 and list[2] == 4 and list[3] == 6)
    end,
  },
  {
    name = "gather a list in which a future comes twice, and an error",
    setup = function(_, loop)
      local t = one_future(nil, loop)
      t.future:set_result(1)
      return t
    end,
    run = function(asyncio, _, t)
      local list = asyncio.gather({ t.future, t.future, function() error("mine", 0) end },
        { return_exceptions = true })
      assert(list[1] == 1 and list[2] == 1)
      if list[3] ~= "mine" then error(list[3], 0) end
    end,
    check = release,
  },
  {
    name = "a gather that is cancelled",
    setup = one_future,
    run = function(asyncio, _, t)
      local task = asyncio.create_task(asyncio.gather, t.future, double(asyncio, 1))
      asyncio.sleep(0)
      task:cancel("enough")
      local ok, err = pcall(task.await, task)
      assert(not ok)
      if not asyncio.is(err, asyncio.CancelledError) then error(err, 0) end
    end,
    check = release,
  },
  {
    name = "wait with a timeout",
    covers = { "wait" },
    setup = one_future,
    run = function(asyncio, _, t)
      local done, pending = asyncio.wait({ t.future, double(asyncio, 1) }, { timeout = 0.001 })
      assert(#done + #pending == 2 and pending[1] == t.future)
    end,
    check = release,
  },
  {
    name = "as_completed",
    covers = { "as_completed" },
    run = function(asyncio)
      local n = 0
      local three = { double(asyncio, 1), double(asyncio, 2), double(asyncio, 3) }
      for task in asyncio.as_completed(three, { timeout = 9 }) do n = n + task:result() end
      assert(n == 12)
    end,
  },
  {
    name = "wait_for a function and a task",
    covers = { "wait_for" },
    run = function(asyncio)
      assert(asyncio.wait_for(double(asyncio, 1), 5) == 2)
      assert(asyncio.wait_for(asyncio.create_task(double(asyncio, 2)), 5) == 4)
    end,
  },
  {
    name = "wait_for that is too late",
    setup = one_future,
    run = function(asyncio, _, t)
      for _, seconds in ipairs { 0.001, 0 } do
        local ok, err = pcall(asyncio.wait_for, t.future, seconds)
        assert(not ok)
        local expected = asyncio.is(err, asyncio.TimeoutError) or
          t.future:cancelled() and asyncio.is(err, asyncio.CancelledError)
        if not expected then error(err, 0) end
      end
    end,
    check = release,
  },
  {
    name = "shield",
    covers = { "shield" },
    run = function(asyncio)
      assert(asyncio.shield(double(asyncio, 4)) == 8)
    end,
  },
}
