-- SPDX-License-Identifier: MIT
-- The clock and the heap of timers: sleep, loop:time(), simulated and real time.

local asyncio <const> = require "asyncio"
local helper <const> = require "spec.helper"
local virtual <const> = require "spec.virtual"

local inside <const>, turns <const> = virtual.inside, virtual.turns
local raises <const>, refuses <const> = virtual.raises, virtual.refuses
local sleep <const>, create_task <const> = asyncio.sleep, asyncio.create_task

describe("sleep", function()
  it("returns its result when it is time", inside(function(loop)
    assert.equal("yeah", sleep(0.5, "yeah"))
    assert.equal(0.5, loop:time())
    assert.is_nil((sleep(0.5)))
    assert.equal(1, loop:time())
    local t <const> = {}
    assert.equal(t, sleep(0, t))
    assert.is_false(sleep(1, false))
    assert.equal(1, select("#", sleep(1, "one", "two")))
  end))

  it("of nothing or less gives way once", inside(function(loop)
    for _, delay in ipairs { 0, 0.0, -0.0, -1, -math.huge } do
      local log <const> = {}
      loop:call_soon(function() log[#log + 1] = "callback" end)
      assert.equal("x", sleep(delay, "x"))
      assert.same({ "callback" }, log)
    end
    assert.equal(0, loop:time())
  end))

  it("takes whole numbers and numbers as text, as Lua does", inside(function(loop)
    sleep(1)
    sleep("0x2")
    sleep(1e-3)
    assert.near(3.001, loop:time(), 1e-12)
    refuses("bad argument #1 to 'sleep' (number expected, got no value)", function() sleep() end)
    refuses("bad argument #1 to 'sleep' (number expected, got nil)", function() sleep(nil) end)
    refuses("bad argument #1 to 'sleep' (number expected, got string)", function() sleep("x") end)
    refuses("bad argument #1 to 'sleep' (number of seconds expected, got NaN)",
      function() sleep(0 / 0) end)
    refuses("bad argument #1 to 'sleep' (number expected, got table)", function() sleep({}) end)
  end))

  it("wakes in the order of times, equal ones in the order of the calls", inside(function()
    local log <const> = {}
    local delays <const> = { 3, 1, 2, 1, 3, 0.5, 2, 1 }
    local list <const> = {}
    for i, delay in ipairs(delays) do
      list[i] = create_task(function()
        sleep(delay)
        log[#log + 1] = i
      end)
    end
    asyncio.gather(list)
    assert.same({ 6, 2, 4, 8, 3, 7, 1, 5 }, log)
  end))

  it("is two entries: the timer's, and the task's one turn later", inside(function(loop)
    local log <const> = {}
    local t <const> = create_task(function()
      sleep(1)
      log[#log + 1] = "task"
    end)
    turns()
    loop:call_at(1, function()
      log[#log + 1] = "same time"
      loop:call_soon(function() log[#log + 1] = "next turn" end)
    end)
    t:await()
    turns()
    assert.same({ "same time", "task", "next turn" }, log)
  end))

  it("that is cancelled disarms its timer", inside(function(loop)
    local t <const> = create_task(sleep, 1000)
    turns()
    loop:call_later(0.1, t.cancel, t)
    raises(asyncio.CancelledError, t.await, t)
    assert.equal(0.1, loop:time())
    sleep(1)
    assert.equal(1.1, loop:time())
  end))

  it("that is due and cancelled in the same turn raises", inside(function(loop)
    for _, first in ipairs { true, false } do
      local start <const> = loop:time()
      local t
      if first then loop:call_later(1, function() t:cancel() end) end
      t = create_task(sleep, 1)
      turns()
      if not first then loop:call_later(1, function() t:cancel() end) end
      raises(asyncio.CancelledError, t.await, t)
      assert.equal(start + 1, loop:time())
    end
  end))

  it("of a task whose thread was closed harms nobody", inside(function(loop)
    local t <const> = create_task(sleep, 1)
    turns()
    coroutine.close(t:get_coro())
    collectgarbage()
    sleep(2)
    assert.equal(2, loop:time())
    refuses("closed by hand", t.await, t)
  end))

  it("without end waits on, until it is cancelled", inside(function(loop)
    local t <const> = create_task(sleep, math.huge)
    sleep(1e9)
    assert.is_false(t:done())
    t:cancel()
    raises(asyncio.CancelledError, t.await, t)
    assert.equal(1e9, loop:time())
  end))

  it("in a __close, in an iterator, in a metamethod", inside(function(loop)
    do
      local _ <close> = setmetatable({}, { __close = function() sleep(1) end })
    end
    for i in function(_, i) if i < 3 then return sleep(1, i + 1) end end, nil, 0 do
      assert.is_number(i)
    end
    assert.equal("k", setmetatable({}, { __index = function(_, k) return sleep(1, k) end }).k)
    assert.equal(5, loop:time())
  end))

  it("at top level runs the current loop", function()
    local loop <const> = virtual.loop()
    asyncio.set_event_loop(loop)
    assert.equal("x", sleep(60, "x"))
    assert.equal(60, loop:time())
    asyncio.set_event_loop(nil)
    loop:close()
  end)
end)

describe("the heap", function()
  it("gives any times back in order", inside(function(loop)
    local n <const> = helper.scale(3000, 40)
    local random, seed = {}, 12345
    for i = 1, n do
      seed = (seed * 1103515245 + 12345) % 2147483648
      random[i] = seed % 500 / 8
    end
    local times <const>, list <const> = {}, {}
    for i = 1, n do
      list[i] = create_task(function()
        sleep(random[i])
        times[#times + 1] = loop:time()
      end)
    end
    turns()
    for i = 1, n, 3 do list[i]:cancel() end
    asyncio.wait(list)
    local expected <const> = {}
    for i = 1, n do
      if i % 3 ~= 1 then expected[#expected + 1] = random[i] end
    end
    table.sort(expected)
    assert.equal(#expected, #times)
    for i = 1, #times do assert.equal(expected[i], times[i]) end
  end))

  it("adds times as doubles, as asyncio does", inside(function(loop)
    local log <const> = {}
    loop:call_later(0.1 + 0.2, function() log[#log + 1] = "0.1 + 0.2" end)
    loop:call_later(0.3, function() log[#log + 1] = "0.3" end)
    sleep(1)
    assert.same({ "0.3", "0.1 + 0.2" }, log)
  end))
end)

describe("simulated time", function()
  it("begins at 0 and jumps to the next timer only when nothing is ready", inside(function(loop)
    assert.equal(0, loop:time())
    for _ = 1, 100 do
      turns()
      assert.equal(0, loop:time())
    end
    sleep(86400 * 365)
    assert.equal(86400 * 365, loop:time())
  end))

  it("stands still while a step runs", inside(function(loop)
    local start <const> = os.clock()
    local t <const> = loop:time()
    while os.clock() - start < 0.005 do assert.equal(t, loop:time()) end
    sleep(1)
    assert.equal(t + 1, loop:time())
  end))

  it("goes on where it was in the next run", function()
    local loop <const> = virtual.loop()
    loop:run_until_complete(sleep, 5)
    loop:run_until_complete(sleep, 5)
    assert.equal(10, loop:time())
    loop:close()
    assert.equal(10, loop:time())
  end)

  it("is one loop's own", function()
    local a <const>, b <const> = virtual.loop(), virtual.loop()
    a:run_until_complete(sleep, 5)
    assert.equal(0, b:time())
    a:close()
    b:close()
  end)

  it("has a helper, which closes its loop", function()
    local loop
    assert.same({ "a", "b" }, { asyncio.testing.run(function(...)
      loop = asyncio.get_running_loop()
      sleep(3600)
      return ...
    end, "a", "b") })
    assert.equal(3600, loop:time())
    assert.is_true(loop:is_closed())
    refuses("boom", asyncio.testing.run, error, "boom")
  end)
end)

describe("real time", function()
  local function real(f)
    return function()
      local loop <const> = asyncio.new_event_loop()
      loop:run_until_complete(function() f(loop) end)
      loop:close()
    end
  end

  it("never wakes too early", real(function(loop)
    for _, delay in ipairs { 0.0004, 0.001, 0.0031, 0.0105 } do
      local start <const> = loop:time()
      sleep(delay)
      local took <const> = loop:time() - start
      assert.is_true(took >= delay, took)
      assert.is_true(took < delay + 2 * helper.SLOW, took)
    end
  end))

  it("goes forward, in seconds", real(function(loop)
    local a <const> = loop:time()
    local clock <const> = os.clock()
    while os.clock() - clock < 0.002 do assert.is_true(loop:time() >= a) end
    assert.is_true(loop:time() > a)
    assert.is_true(loop:time() - a < 10 * helper.SLOW)
  end))

  it("lets sleepers wait at the same time", real(function(loop)
    local start <const> = loop:time()
    local list <const> = {}
    for i = 1, 50 do list[i] = create_task(sleep, 0.01) end
    asyncio.gather(list)
    assert.is_true(loop:time() - start < 0.4 * helper.SLOW)
  end))

  it("wakes in the order of times, also when all are late", real(function(loop)
    local log <const> = {}
    for i = 5, 1, -1 do
      loop:call_later(i / 5000, function() log[#log + 1] = i end)
    end
    local clock <const> = os.clock()
    while os.clock() - clock < 0.003 do end -- luacheck: ignore
    sleep(0.002)
    assert.same({ 1, 2, 3, 4, 5 }, log)
  end))
end)
