-- SPDX-License-Identifier: MIT
-- Callbacks and timers.

-- A callback that was accepted is called once, or its want of memory was reported.
local function check_calls(asyncio, _, t, reports)
  asyncio.sleep(0.002)
  for i = 1, t.accepted do
    if t.calls[i] ~= 1 then
      assert(not t.calls[i] and reports > 0, ("callback %d: %s calls"):format(i, t.calls[i]))
    end
  end
end

local function counters()
  return { accepted = 0, calls = {} }
end

local function called(t, i)
  t.calls[i] = (t.calls[i] or 0) + 1
end

return {
  {
    name = "call_soon",
    covers = { "Loop:call_soon", "Loop:call_soon_threadsafe" },
    setup = counters,
    run = function(asyncio, loop, t)
      loop:call_soon(called, t, 1)
      t.accepted = 1
      loop:call_soon_threadsafe(called, t, 2)
      t.accepted = 2
      asyncio.sleep(0)
    end,
    check = check_calls,
  },
  {
    name = "call_later and call_at",
    covers = { "Loop:call_later", "Loop:call_at" },
    setup = counters,
    run = function(asyncio, loop, t)
      loop:call_later(0, called, t, 1)
      t.accepted = 1
      loop:call_at(loop:time() + 0.0001, called, t, 2)
      t.accepted = 2
      asyncio.sleep(0.001)
    end,
    check = check_calls,
  },
  {
    name = "many timers, half of them cancelled",
    covers = { "Handle:cancel" },
    setup = function() return { calls = 0 } end,
    run = function(asyncio, loop, t)
      local handles = {}
      local function count() t.calls = t.calls + 1 end
      for i = 1, 40 do handles[i] = loop:call_later(0.0001 * (i % 7), count) end
      for i = 1, 40, 2 do handles[i]:cancel() end
      t.due = 20
      asyncio.sleep(0.002)
    end,
    check = function(asyncio, _, t, reports)
      asyncio.sleep(0.002)
      assert(not t.due or t.calls + reports == t.due, t.calls .. " calls")
    end,
  },
  {
    name = "sleep",
    covers = { "sleep" },
    run = function(asyncio)
      local list = {}
      for i = 1, 5 do list[i] = asyncio.create_task(asyncio.sleep, 0.0001 * i, i) end
      for i = 1, 5 do assert(asyncio.await(list[i]) == i) end
    end,
  },
}
