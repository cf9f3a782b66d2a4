-- SPDX-License-Identifier: MIT
-- Coroutine objects (asyncio.async), asyncio.await of every kind of awaitable, and the tests for
-- them. On the virtual clock.

local asyncio <const> = require "asyncio"
local helper <const> = require "spec.helper"
local virtual <const> = require "spec.virtual"

local inside <const>, future <const>, turns <const> =
  virtual.inside, virtual.future, virtual.turns
local raises <const>, refuses <const> = virtual.raises, virtual.refuses
local take_reports <const> = virtual.take_reports
local await <const>, async <const>, sleep <const> = asyncio.await, asyncio.async, asyncio.sleep

local function collect()
  collectgarbage()
  collectgarbage()
end

local function echo(...)
  return ...
end

local function awaitable(f)
  return setmetatable({}, { __await = f })
end

-- Each makes an awaitable of a function without arguments.
local KINDS <const> = {
  ["a function"] = function(f) return f end,
  ["a coroutine object"] = function(f) return async(f)() end,
  ["a thread"] = function(f) return coroutine.create(f) end,
  ["an object with __await"] = function(f) return awaitable(function() return f() end) end,
  ["a task"] = function(f) return asyncio.create_task(f) end,
  ["a future"] = function(f)
    local result <const> = future()
    asyncio.create_task(function()
      local r <const> = table.pack(pcall(f))
      if r[1] then
        result:set_result(table.unpack(r, 2, r.n))
      else
        result:set_exception(r[2])
      end
    end)
    return result
  end,
}

for name, make in pairs(KINDS) do
  describe("await of " .. name, function()
    it("returns all results", inside(function()
      assert.equal(0, select("#", await(make(function() end))))
      assert.same({ 1, nil, 3, nil, n = 4 },
        table.pack(await(make(function() return 1, nil, 3, nil end))))
      assert.same({ "after", nil, n = 2 },
        table.pack(await(make(function()
          sleep(1)
          return "after", nil
        end))))
      assert.equal(1, asyncio.get_running_loop():time())
    end))

    it("raises its error, the same value", inside(function()
      local err <const> = { "error" }
      for _, seconds in ipairs { 0, 1 } do
        local ok, got = pcall(await, make(function()
          if seconds > 0 then sleep(seconds) end
          error(err)
        end))
        assert.is_false(ok)
        assert.is_true(rawequal(err, got))
      end
    end))

    it("is cancelled in mid-wait", inside(function(loop)
      local log <const> = {}
      local t <const> = asyncio.create_task(function()
        await(make(function()
          local _ <close> = setmetatable({}, { __close = function(_, err)
            log[1] = asyncio.is(err, asyncio.CancelledError)
          end })
          sleep(10)
          log[2] = "not reached"
        end))
      end)
      turns(3)
      t:cancel("enough")
      assert.equal("enough", raises(asyncio.CancelledError, t.await, t).message)
      turns(3)
      if name ~= "a future" then assert.same({ true }, log) end
      assert.equal(0, loop:time())
    end))

    it("works at top level", function()
      local loop <const> = virtual.loop()
      asyncio.set_event_loop(loop)
      if name == "a task" or name == "a future" then
        local f <const> = loop:create_future()
        loop:call_later(2, f.set_result, f, "x", "y")
        assert.same({ "x", "y" }, { await(f) })
      else
        assert.same({ "x", "y" }, { await(make(function()
          sleep(2)
          return "x", "y"
        end)) })
      end
      assert.equal(2, loop:time())
      asyncio.set_event_loop(nil)
      loop:close()
    end)

    it("through the other functions that take one", inside(function()
      local function value()
        sleep(0)
        return name, 2
      end
      assert.same({ name, 2 }, { asyncio.ensure_future(make(value)):await() })
      assert.same({ name, n = 1 }, asyncio.gather(make(value)))
      assert.same({ name, 2 }, { asyncio.wait_for(make(value), 5) })
      assert.same({ name, 2 }, { asyncio.shield(make(value)) })
      assert.equal(name, asyncio.wait({ make(value) })[1]:result())
    end))
  end)
end

describe("await inline", function()
  it("takes no trip through the loop", inside(function(loop)
    local log <const> = {}
    loop:call_soon(function() log[1] = "callback" end)
    for name, make in pairs(KINDS) do
      if name ~= "a task" and name ~= "a future" then await(make(function() end)) end
    end
    assert.same({}, log)
  end))

  it("takes the function out of a thread, which is dead then", inside(function()
    local inner
    local thread <const> = coroutine.create(function()
      inner = coroutine.running()
      sleep(0)
      return "x"
    end)
    assert.equal("x", await(thread))
    assert.equal("dead", coroutine.status(thread))
    assert.is_false(inner == thread)
    assert.same({ false, "cannot resume dead coroutine" }, { coroutine.resume(thread) })
    refuses("bad argument #1 to 'await' (a coroutine that has not started expected)",
      function() await(thread) end)
  end))

  it("refuses a thread that has started", inside(function()
    local started <const> = coroutine.create(function() coroutine.yield() end)
    coroutine.resume(started)
    refuses("a coroutine that has not started expected", await, started)
    coroutine.resume(started)
    refuses("a coroutine that has not started expected", await, started)
    refuses("a coroutine that has not started expected", await, (coroutine.running()))
    local failed <const> = coroutine.create(error)
    coroutine.resume(failed)
    refuses("a coroutine that has not started expected", await, failed)
    local closed <const> = coroutine.create(print)
    coroutine.close(closed)
    refuses("a coroutine that has not started expected", await, closed)
    local outer <const> = coroutine.running()
    refuses("a coroutine that has not started expected",
      coroutine.wrap(function() return await(outer) end))
  end))

  it("refuses a task's thread", inside(function()
    local t <const> = asyncio.create_task(function() return "own" end)
    refuses("a coroutine that has not started expected", await, t:get_coro())
    assert.equal("own", t:await())
    local u <const> = asyncio.create_task(sleep, 1)
    turns()
    refuses("a coroutine that has not started expected", await, u:get_coro())
    u:await()
  end))

  it("lets a __close wait when an error leaves", inside(function(loop)
    for _, make in pairs(KINDS) do
      local start <const> = loop:time()
      local ok, err = pcall(await, make(function()
        local _ <close> = setmetatable({}, { __close = function() sleep(1) end })
        error("left", 0)
      end))
      assert.is_false(ok)
      assert.equal("left", err)
      assert.equal(start + 1, loop:time())
    end
  end))

  it("may be nested a hundred times; too deep is an error", inside(function()
    local function nest(n, leaf)
      if n == 0 then return leaf() end
      return (await(function() return (nest(n - 1, leaf)) end))
    end
    assert.equal("leaf", nest(100, function() return sleep(0, "leaf") end))
    refuses("stack overflow", nest, 100000, echo)
    assert.equal("leaf", nest(100, function() return sleep(0, "leaf") end))
  end))

  it("works in a callback as long as nothing waits", inside(function(loop)
    local log <const> = {}
    loop:call_soon(function()
      log[1] = await(echo, nil) == nil
    end)
    loop:call_soon(function() log[1] = await(async(echo)("value")) end)
    loop:call_soon(function() await(function() sleep(0) end) end)
    turns()
    assert.same({ "value" }, log)
    local reports <const> = take_reports()
    assert.equal(2, #reports)
    assert.matches("bad argument #2 to 'await'", reports[1].exception)
    assert.matches("cannot wait in a callback of the loop", reports[2].exception, 1, true)
  end))

  it("in a coroutine that was not made for it names both ways out", inside(function()
    local ok, err = coroutine.resume(coroutine.create(function() return await(sleep, nil) end))
    assert.is_false(ok)
    assert.matches("bad argument #2", err)
    ok, err = coroutine.resume(coroutine.create(function() -- luacheck: ignore
      return await(function() sleep(0) end)
    end))
    assert.is_false(ok)
    assert.matches("asyncio.wrap", err, 1, true)
    assert.matches("asyncio.patch()", err, 1, true)
    assert.equal("no wait", coroutine.wrap(function()
      return await(function() return "no wait" end)
    end)())
  end))

  it("takes one argument", inside(function()
    refuses("bad argument #2 to 'await' (no value expected: bind arguments with a function or "
      .. "asyncio.async)", function() await(echo, 1) end)
    refuses("bad argument #2 to 'await'", function() await(future(), nil) end)
    refuses("bad argument #1 to 'await' (awaitable (future, task, coroutine object, function) "
      .. "expected, got no value)", function() await() end)
    refuses("expected, got nil)", function() await(nil) end)
    refuses("expected, got table)", function() await({}) end)
    refuses("expected, got FILE*)", function() await(io.stdout) end)
    refuses("expected, got asyncio.Lock)", function() await(asyncio.Lock()) end)
  end))
end)

describe("an object with __await", function()
  it("is called with itself, in the awaiting task", inside(function()
    local seen
    local object <const> = awaitable(function(...)
      seen = table.pack(...)
      return asyncio.current_task()
    end)
    assert.equal(asyncio.current_task(), await(object))
    assert.equal(1, seen.n)
    assert.equal(object, seen[1])
  end))

  it("may be awaited again and again", inside(function()
    local n = 0
    local object <const> = awaitable(function()
      n = n + 1
      return n
    end)
    assert.equal(1, await(object))
    assert.equal(2, await(object))
    assert.equal(3, asyncio.create_task(object):await())
  end))

  it("may be of any type with a metatable", inside(function()
    debug.setmetatable(1, { __await = function(n) return sleep(n, "slept") end })
    finally(function() debug.setmetatable(1, nil) end)
    assert.equal("slept", await(3))
    assert.equal(3, asyncio.get_running_loop():time())
  end))

  it("whose __await cannot be called is Lua's error", inside(function()
    refuses("attempt to call a number value", await, awaitable(5))
    assert.equal("called", await(awaitable(setmetatable({}, {
      __call = function() return "called" end,
    }))))
    local t <const> = asyncio.create_task(awaitable(5))
    refuses("attempt to call a number value", t.await, t)
  end))

  it("may await itself until the stack ends", inside(function()
    local object
    object = awaitable(function(self) return (await(self)) end)
    refuses("stack overflow", await, object)
  end))
end)

describe("asyncio.async", function()
  it("makes a function that runs nothing", inside(function()
    local ran = false
    local f <const> = async(function(...)
      ran = true
      return ...
    end)
    local object <const> = f(1, nil, 3, nil)
    assert.is_false(ran)
    assert.is_userdata(object)
    assert.same({ 1, nil, 3, nil, n = 4 }, table.pack(await(object)))
    assert.is_true(ran)
  end))

  it("binds none, or as many arguments as Lua can keep", inside(function()
    assert.equal(0, select("#", await(async(echo)())))
    local n <const> = helper.scale(60000, 100)
    local list <const> = {}
    for i = 1, n do list[i] = i end
    local got <const> = table.pack(await(async(echo)(table.unpack(list))))
    assert.equal(n, got.n)
    assert.equal(n, got[n])
    refuses("too many arguments", async(echo), table.unpack({}, 1, 70000))
  end))

  it("works outside of every loop", function()
    local object <const> = async(echo)("bound")
    assert.equal("bound", virtual.run(object))
  end)

  it("of a coroutine function gives an object whose result is another one", inside(function()
    local twice <const> = async(async(function(x) return x end))
    assert.equal("x", await(await(twice("x"))))
  end))

  it("takes a function, nothing else", function()
    refuses("bad argument #1 to 'async' (function expected, got nil)", function() async(nil) end)
    refuses("bad argument #1 to 'async' (function expected, got table)",
      function() async(setmetatable({}, { __call = echo })) end)
  end)

  it("gives methods: self is the first argument", inside(function()
    local class <const> = { name = "object" }
    class.__index = class
    class.get = async(function(self, suffix) return self.name .. suffix end)
    assert.equal("object!", await(setmetatable({}, class):get("!")))
  end))
end)

describe("a coroutine object", function()
  it("can be awaited once", inside(function()
    local TWICE <const> = "cannot await a coroutine object twice"
    local object <const> = async(echo)("x")
    assert.equal("x", await(object))
    refuses(TWICE, await, object)
    refuses(TWICE, asyncio.create_task, object)
    refuses(TWICE, asyncio.gather, object)
    refuses(TWICE, asyncio.ensure_future, object)
    local failed <const> = async(error)("boom", 0)
    refuses("boom", await, failed)
    refuses(TWICE, await, failed)
  end))

  it("cannot await itself", inside(function()
    local object
    object = async(function() return await(object) end)()
    refuses("cannot await a coroutine object twice", await, object)
  end))

  it("that became a task cannot be awaited, while the task can", inside(function()
    local object <const> = async(sleep)(1, "x")
    local t <const> = asyncio.create_task(object)
    refuses("twice", await, object)
    assert.equal("x", t:await())
  end))

  it("can be dropped with close", inside(function()
    local object <const> = async(echo)(1)
    assert.equal(0, select("#", object:close()))
    object:close()
    refuses("twice", await, object)
    refuses("bad argument #1 to 'close' (asyncio.Coroutine expected, got table)",
      function() object.close({}) end)
  end))

  it("shows its function", function()
    local function execute() end
    assert.matches("^<coroutine object execute at 0x%x+>$", tostring(async(execute)()))
    assert.matches("^<coroutine object print at 0x%x+>$", tostring(async(print)(1)))
    assert.matches("^<coroutine object function at ", tostring(async(load("return 1"))()))
  end)

  it("does not keep its arguments once it is collected", inside(function()
    local weak <const> = setmetatable({}, { __mode = "v" })
    do
      local argument <const> = {}
      weak[1] = argument
      async(echo)(argument)
    end
    collect()
    assert.is_nil(weak[1])
  end))

  it("that is never awaited is named in debug mode, else not", function()
    local done <const> = helper.run_script([[
      local asyncio = require "asyncio"
      local function forgotten() end
      local runner = asyncio.Runner { debug = true }
      runner:run(function()
        asyncio.async(forgotten)(1)
        asyncio.async(forgotten)(1):close()
        asyncio.await(asyncio.async(forgotten)(1))
        collectgarbage() collectgarbage()
      end)
      runner:close()
      asyncio.run(function() asyncio.async(forgotten)(1) collectgarbage() collectgarbage() end)
    ]])
    assert.equal(0, done.status)
    local _, count = done.err:gsub("\n", "")
    assert.equal(1, count, done.err)
    assert.matches("^asyncio: coroutine 'forgotten%(%) at [^\n]+:2' was never awaited\n$", done.err)
  end)
end)

describe("iscoroutine and iscoroutinefunction", function()
  it("tell objects from functions", function()
    local f <const> = async(echo)
    assert.is_true(asyncio.iscoroutinefunction(f))
    assert.is_true(asyncio.iscoroutine(f()))
    assert.is_true(asyncio.iscoroutine(coroutine.create(echo)))
    assert.is_true(asyncio.iscoroutine((coroutine.running())))
    assert.is_false(asyncio.iscoroutine(f))
    assert.is_false(asyncio.iscoroutinefunction(f()))
    for _, value in ipairs { 1, "s", {}, echo, print, io.stdout, false, awaitable(echo) } do
      assert.is_false(asyncio.iscoroutine(value))
      assert.is_false(asyncio.iscoroutinefunction(value))
    end
    assert.is_false(asyncio.iscoroutine())
    assert.is_false(asyncio.iscoroutine(nil))
    assert.is_false(asyncio.iscoroutinefunction())
    assert.is_false(asyncio.iscoroutinefunction(sleep))
  end)
end)

describe("ensure_future", function()
  it("gives a future or task back as it is", inside(function()
    local f <const>, t <const> = future(), asyncio.current_task()
    assert.is_true(rawequal(f, asyncio.ensure_future(f)))
    assert.is_true(rawequal(t, asyncio.ensure_future(t)))
  end))

  it("makes a task of all else", inside(function(loop)
    local t <const> = asyncio.ensure_future(async(echo)("ok"))
    assert.is_function(t.get_name)
    assert.equal(loop, t:get_loop())
    assert.is_false(t:done())
    assert.equal("ok", t:await())
    assert.is_nil(t:get_coro())
  end))

  it("outside a loop uses the current one", function()
    local loop <const> = virtual.loop()
    asyncio.set_event_loop(loop)
    local t <const> = asyncio.ensure_future(function() return "ok" end)
    assert.equal(loop, t:get_loop())
    assert.equal("ok", loop:run_until_complete(t))
    asyncio.set_event_loop(nil)
    loop:close()
  end)

  it("of a future of another loop is refused when that matters", function()
    local loop <const> = virtual.loop()
    local f <const> = loop:create_future()
    local other <const> = virtual.loop()
    assert.equal(f, asyncio.ensure_future(f))
    refuses("belongs to a different event loop", other.run_until_complete, other, f)
    loop:close()
    other:close()
  end)

  it("refuses what is not awaitable", inside(function()
    refuses("bad argument #1 to 'ensure_future' (awaitable (future, task, coroutine object, "
      .. "function) expected, got string)", function() asyncio.ensure_future("ok") end)
    refuses("bad argument #2 to 'ensure_future' (no value expected: bind arguments",
      function() asyncio.ensure_future(echo, 1) end)
  end))
end)
