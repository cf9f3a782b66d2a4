-- SPDX-License-Identifier: MIT
-- Handle and TimerHandle: call_soon, call_later, call_at. On the virtual clock.

local asyncio <const> = require "asyncio"
local helper <const> = require "spec.helper"
local virtual <const> = require "spec.virtual"

local inside <const>, future <const>, turns <const> =
  virtual.inside, virtual.future, virtual.turns
local refuses <const>, take_reports <const> = virtual.refuses, virtual.take_reports
local here <const> = debug.getinfo(1, "S").short_src

local function collect()
  collectgarbage()
  collectgarbage()
end

-- Collects values: log(1) appends 1.
local function recorder()
  local list <const> = {}
  return list, function(value) list[#list + 1] = value end
end

-- Each way to have a function called by the loop: queue(loop, f, ...).
local WAYS <const> = {
  call_soon = function(loop, ...) return loop:call_soon(...) end,
  call_soon_threadsafe = function(loop, ...) return loop:call_soon_threadsafe(...) end,
  call_later = function(loop, ...) return loop:call_later(0, ...) end,
  call_at = function(loop, ...) return loop:call_at(loop:time(), ...) end,
}

for name, queue in pairs(WAYS) do
  -- A timer is queued at the beginning of the next turn, behind the task that waits for that turn.
  local function run_them()
    turns(name:find("soon") and 1 or 2)
  end

  describe(name, function()
    it("calls in the next turn, with the arguments", inside(function(loop)
      local got
      queue(loop, function(...) got = table.pack(...) end, 1, nil, "x", nil)
      assert.is_nil(got)
      run_them()
      assert.same({ 1, nil, "x", nil, n = 4 }, got)
    end))

    it("calls in the order of the calls", inside(function(loop)
      local list <const>, log <const> = recorder()
      for i = 1, 20 do queue(loop, log, i) end
      run_them()
      for i = 1, 20 do assert.equal(i, list[i]) end
      assert.equal(20, #list)
    end))

    it("takes anything that can be called", inside(function(loop)
      local list <const> = {}
      queue(loop, table.insert, list, "C function")
      queue(loop, setmetatable({}, { __call = function(_, x) list[#list + 1] = x end }), "object")
      run_them()
      assert.same({ "C function", "object" }, list)
    end))

    it("what a callback adds runs one turn later", inside(function(loop)
      local list <const>, log <const> = recorder()
      queue(loop, function()
        log(1)
        loop:call_soon(log, 3)
      end)
      queue(loop, log, 2)
      run_them()
      assert.same({ 1, 2 }, list)
      turns()
      assert.same({ 1, 2, 3 }, list)
    end))

    it("reports what a callback raises, and goes on", inside(function(loop)
      local list <const>, log <const> = recorder()
      local err <const> = { "error" }
      local handle <const> = queue(loop, error, err)
      queue(loop, log, "after")
      run_them()
      assert.same({ "after" }, list)
      local reports <const> = take_reports()
      assert.equal(1, #reports)
      assert.equal("exception in callback", reports[1].message)
      assert.is_true(rawequal(err, reports[1].exception))
      assert.equal(handle, reports[1].handle)
      assert.matches("stack traceback", reports[1].traceback)
    end))

    it("refuses what cannot be called", inside(function(loop)
      for _, value in ipairs { 1, "s", {}, io.stdout, future() } do
        assert.error_matches(function() queue(loop, value) end, "function expected, got ")
      end
      run_them()
    end))

    it("cancel in time keeps it from being called", inside(function(loop)
      local list <const>, log <const> = recorder()
      local handle <const> = queue(loop, log, 1)
      queue(loop, log, 2)
      assert.is_false(handle:cancelled())
      assert.equal(0, select("#", handle:cancel()))
      assert.is_true(handle:cancelled())
      handle:cancel()
      run_them()
      turns()
      assert.same({ 2 }, list)
    end))

    it("cancel in the same turn, from a callback before it, does, too", inside(function(loop)
      local list <const>, log <const> = recorder()
      local second
      queue(loop, function() second:cancel() end)
      second = queue(loop, log, 2)
      queue(loop, log, 3)
      run_them()
      assert.same({ 3 }, list)
    end))

    it("cancel of one that runs, or has run, changes nothing but the mark", inside(function(loop)
      local list <const>, log <const> = recorder()
      local handle
      handle = queue(loop, function()
        handle:cancel()
        log("ran")
      end)
      run_them()
      assert.same({ "ran" }, list)
      assert.is_true(handle:cancelled())
      handle:cancel()
    end))

    it("keeps function and arguments until then, and not longer", inside(function(loop)
      local weak <const> = setmetatable({}, { __mode = "v" })
      do
        local argument <const> = {}
        local function callback(x) assert.equal(argument, x) end
        weak[1], weak[2] = callback, argument
        queue(loop, callback, argument)
      end
      collect()
      assert.is_function(weak[1])
      run_them()
      collect()
      assert.is_nil(next(weak))
    end))

    it("cancelled, lets go of function and arguments at once", inside(function(loop)
      local weak <const> = setmetatable({}, { __mode = "v" })
      local handle
      do
        local argument <const> = {}
        local function callback() error(argument) end
        weak[1], weak[2] = callback, argument
        handle = queue(loop, callback, argument, nil, argument)
      end
      handle:cancel()
      collect()
      assert.is_nil(next(weak))
      run_them()
      assert.is_true(handle:cancelled())
    end))

    it("takes many arguments; more than 65000 are refused", inside(function(loop)
      local n <const> = helper.scale(60000, 100)
      local got
      queue(loop, function(...) got = table.pack(select("#", ...), (select(n, ...))) end,
        table.unpack({ [n] = "last" }, 1, n))
      run_them()
      assert.same({ n, "last", n = 2 }, got)
      assert.error_matches(function() queue(loop, print, table.unpack({}, 1, 70000)) end,
        "too many arguments")
    end))

    it("a finalizer may queue and cancel", inside(function(loop)
      local list <const>, log <const> = recorder()
      local victim <const> = queue(loop, log, "victim")
      setmetatable({}, { __gc = function()
        victim:cancel()
        queue(loop, log, "from __gc")
      end })
      collect()
      queue(loop, log, "last")
      run_them()
      assert.same({ "from __gc", "last" }, list)
    end))

    it("may not wait in it", inside(function(loop)
      queue(loop, asyncio.sleep, 0)
      queue(loop, function() asyncio.Lock():acquire() end)
      run_them()
      local reports <const> = take_reports()
      assert.equal(2, #reports) -- a lock that is free is no exception
      for _, report in ipairs(reports) do
        assert.matches("cannot wait in a callback of the loop", report.exception, 1, true)
      end
    end))

    it("of a closed loop is refused", function()
      local loop <const> = virtual.loop()
      local at <const> = loop:time()
      loop:close()
      refuses("the event loop is closed", function()
        if name == "call_at" then return loop:call_at(at, print) end
        return queue(loop, print)
      end)
    end)
  end)
end

describe("call_later and call_at", function()
  it("call when it is time, in the order of times", inside(function(loop)
    local list <const>, log <const> = recorder()
    loop:call_later(3, log, "c")
    loop:call_later(1, log, "a")
    loop:call_at(2, log, "b")
    loop:call_later(-5, log, "at once")
    asyncio.sleep(2.5)
    assert.same({ "at once", "a", "b" }, list)
    asyncio.sleep(1)
    assert.same({ "at once", "a", "b", "c" }, list)
  end))

  it("of equal times call in the order of the calls", inside(function(loop)
    local list <const>, log <const> = recorder()
    for i = 1, 9 do
      if i % 2 == 0 then loop:call_later(1, log, i) else loop:call_at(loop:time() + 1, log, i) end
    end
    asyncio.sleep(2)
    assert.same({ 1, 2, 3, 4, 5, 6, 7, 8, 9 }, list)
  end))

  it("run after what was ready in their turn", inside(function(loop)
    local list <const>, log <const> = recorder()
    loop:call_later(0, log, "timer")
    loop:call_soon(log, "ready")
    turns(2)
    assert.same({ "ready", "timer" }, list)
  end))

  it("say when", inside(function(loop)
    asyncio.sleep(1)
    assert.equal(11, loop:call_later(10, print):when())
    assert.equal(5.5, loop:call_at(5.5, print):when())
    assert.equal(-1, loop:call_at(-1, function() end):when())
    local late <const> = loop:call_later(math.huge, print)
    assert.equal(math.huge, late:when())
    late:cancel()
    assert.equal(math.huge, late:when())
    assert.is_nil(loop:call_soon(function() end).when)
  end))

  it("refuse NaN and what is no number", inside(function(loop)
    local PLACE <const> = "bad argument #1 to 'call_%s' (number%s expected, got %s)"
    for _, name in ipairs { "later", "at" } do
      local call <const> = loop["call_" .. name]
      local nan <const> = 0 / 0
      refuses("number of seconds expected, got NaN", call, loop, nan, print)
      refuses("number expected, got table", call, loop, {}, print)
      refuses("number expected, got nil", call, loop, nil, print)
      refuses("function expected, got no value", call, loop, 1)
    end
    refuses(PLACE:format("later", " of seconds", "NaN"),
      function() loop:call_later(0 / 0, print) end)
    refuses(PLACE:format("at", "", "table"), function() loop:call_at({}, print) end)
  end))

  it("that are cancelled do not keep the clock going", inside(function(loop)
    local far <const> = loop:call_later(1000, print)
    loop:call_later(1, far.cancel, far)
    asyncio.sleep(2)
    assert.equal(2, loop:time())
    local weak <const> = setmetatable({}, { __mode = "v" })
    do
      local function callback() end
      weak[1] = callback
      loop:call_later(1000, callback):cancel()
    end
    collect()
    assert.is_nil(weak[1])
  end))

  it("cancelled in any order leave the others as they are", inside(function(loop)
    local n <const> = helper.scale(400, 12)
    local list <const>, log <const> = recorder()
    local handles <const>, expected <const> = {}, {}
    for i = 1, n do handles[i] = loop:call_later(i * 37 % n + 1, log, i) end
    for i = 1, n do
      if i % 3 == 0 then
        handles[i * 7 % n + 1]:cancel()
      end
    end
    for i = 1, n do
      if not handles[i]:cancelled() then expected[#expected + 1] = i end
    end
    table.sort(expected, function(a, b)
      local x <const>, y <const> = handles[a]:when(), handles[b]:when()
      return x < y or x == y and a < b
    end)
    asyncio.sleep(n + 1)
    assert.same(expected, list)
  end))

  it("may arm themselves again", inside(function(loop)
    local times <const> = {}
    local function tick()
      times[#times + 1] = loop:time()
      if #times < 5 then loop:call_later(0.5, tick) end
    end
    loop:call_later(0.5, tick)
    asyncio.sleep(10)
    assert.same({ 0.5, 1, 1.5, 2, 2.5 }, times)
  end))

  it("that started a task are not that task: cancelling them later leaves it alone (research/"
    .. "peers.md, appendix B, 10)", inside(function(loop)
      local log <const> = {}
      local t
      local handle <const> = loop:call_later(1, function()
        t = asyncio.create_task(function()
          asyncio.sleep(2)
          log[1] = "waited to its end"
        end)
      end)
      asyncio.sleep(2)
      handle:cancel()
      t:await()
      assert.same({ "waited to its end" }, log)
      assert.equal(3, loop:time())
    end))

  it("that raise each time are reported each time (10)", inside(function(loop)
    local function tick()
      loop:call_later(1, tick)
      error("tick")
    end
    local first <const> = loop:call_later(1, tick)
    asyncio.sleep(3.5)
    assert.equal(3, #take_reports())
    assert.is_false(first:cancelled())
  end))
end)

describe("a handle whose loop is gone", function()
  it("can still be asked and cancelled", function()
    local loop = virtual.loop()
    local handles <const> = {
      loop:call_later(10, print),
      loop:call_at(0, print),
      loop:call_soon(print),
      loop:call_later(10, print),
    }
    handles[4]:cancel()
    local closed <const> = virtual.loop()
    handles[5] = closed:call_later(10, print)
    handles[6] = closed:call_soon(print)
    closed:close()
    loop = nil -- luacheck: ignore
    collect()
    for i, handle in ipairs(handles) do
      assert.equal(i == 4, handle:cancelled())
      assert.is_string(tostring(handle))
      handle:cancel()
      assert.is_true(handle:cancelled())
      collect()
    end
  end)

  it("was not called", function()
    local list <const>, log <const> = recorder()
    local loop <const> = virtual.loop()
    loop:call_soon(log, 1)
    loop:call_later(0, log, 2)
    loop:close()
    assert.same({}, list)
  end)
end)

describe("tostring of a handle", function()
  it("shows the function, the time, and whether it was cancelled", inside(function(loop)
    local function callback() end
    local place <const> = ("callback() at %s:%d"):format(here,
      debug.getinfo(callback, "S").linedefined)
    local soon <const>, later <const> = loop:call_soon(callback), loop:call_at(5, callback)
    assert.equal(("<Handle %s>"):format(place), tostring(soon))
    assert.equal(("<TimerHandle when=5.0 %s>"):format(place), tostring(later))
    soon:cancel()
    later:cancel()
    assert.equal("<Handle cancelled>", tostring(soon))
    assert.equal("<TimerHandle cancelled when=5.0>", tostring(later))
  end))

  it("names what has a name", inside(function(loop)
    assert.equal("<Handle print() at [C]>", tostring(loop:call_soon(print)))
    turns()
    local object <const> = setmetatable({}, { __call = function() end })
    assert.matches("^<Handle [%w_]+%(%)>$", tostring(loop:call_soon(object)))
  end))
end)

describe("many callbacks", function()
  it("run in the order of the calls, and are all collected", inside(function(loop)
    local n <const> = helper.scale(100000, 50)
    local last, count = 0, 0
    local weak <const> = setmetatable({}, { __mode = "k" })
    for i = 1, n do
      local handle <const> = loop:call_soon(function()
        assert(i == last + 1)
        last, count = i, count + 1
      end)
      if i % 1000 == 1 then weak[handle] = true end
    end
    turns()
    assert.equal(n, count)
    collect()
    assert.is_nil(next(weak))
  end))

  it("of a long line of turns take no stack", inside(function(loop)
    local n <const>, done <const> = helper.scale(100000, 50), future()
    local count = 0
    local function step()
      count = count + 1
      if count < n then loop:call_soon(step) else done:set_result() end
    end
    step()
    done:await()
    assert.equal(n, count)
  end))
end)
