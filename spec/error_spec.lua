-- SPDX-License-Identifier: MIT
-- Error objects and their classes, asyncio.is, pcall and xpcall, the exception handler, and what a
-- script that dies of an error shows.

local asyncio <const> = require "asyncio"
local helper <const> = require "spec.helper"
local virtual <const> = require "spec.virtual"

local inside <const>, future <const>, turns <const> =
  virtual.inside, virtual.future, virtual.turns
local raises <const>, refuses <const> = virtual.raises, virtual.refuses
local sleep <const>, create_task <const> = asyncio.sleep, asyncio.create_task

local CLASSES <const> = {
  "CancelledError", "TimeoutError", "InvalidStateError", "QueueEmpty", "QueueFull", "QueueShutDown",
  "IncompleteReadError", "LimitOverrunError", "BrokenBarrierError", "ExceptionGroup",
  "KeyboardInterrupt", "DeadlockError", "OSError",
}

describe("each error class", function()
  for _, name in ipairs(CLASSES) do
    it(name .. " makes errors with name, message and a text", function()
      local class <const> = asyncio[name]
      assert.equal(name, class.name)
      assert.equal(("<class asyncio.%s>"):format(name), tostring(class))
      local plain <const>, told <const> = class(), class("told")
      assert.equal(name, plain.name)
      assert.is_nil(plain.message)
      assert.equal(name, tostring(plain))
      assert.equal(name, told.name)
      assert.equal("told", told.message)
      assert.equal(name .. ": told", tostring(told))
      assert.is_false(plain == class())
      assert.equal(class, getmetatable(plain))
    end)

    it(name .. " is told from the others, and from all else", function()
      local class <const> = asyncio[name]
      for _, other in ipairs(CLASSES) do
        assert.equal(other == name, asyncio.is(class(), asyncio[other]))
      end
      assert.is_false(asyncio.is(class, class))
      for _, value in ipairs { 1, "s", {}, print, io.stdout, false, setmetatable({}, {}) } do
        assert.is_false(asyncio.is(value, class))
      end
      assert.is_false(asyncio.is(nil, class))
    end)
  end

  it("keeps any message, and fields of one's own", function()
    local list <const> = {}
    local err <const> = asyncio.OSError(list)
    assert.equal(list, err.message)
    err.code = "ECODE"
    assert.equal("ECODE", err.code)
    assert.is_nil(asyncio.OSError().code)
    assert.equal("TimeoutError: false", tostring(asyncio.TimeoutError(false)))
    assert.equal("TimeoutError: 5", tostring(asyncio.TimeoutError(5)))
    assert.is_nil(asyncio.TimeoutError(nil).message)
  end)

  it("is raised and caught as the same value", function()
    local err <const> = asyncio.TimeoutError("late")
    local ok, got = pcall(error, err)
    assert.is_false(ok)
    assert.is_true(rawequal(err, got))
  end)
end)

describe("asyncio.is", function()
  it("wants a value and a class", function()
    refuses("bad argument #1 to 'is' (value expected)", function() asyncio.is() end)
    refuses("bad argument #2 to 'is' (table expected, got no value)", function() asyncio.is(1) end)
    refuses("bad argument #2 to 'is' (table expected, got string)",
      function() asyncio.is(1, "TimeoutError") end)
  end)

  it("works with a class of one's own", function()
    local Mine <const> = { name = "Mine" }
    Mine.__index = Mine
    assert.is_true(asyncio.is(setmetatable({}, Mine), Mine))
    assert.is_false(asyncio.is(asyncio.TimeoutError(), Mine))
    assert.is_false(asyncio.is({}, Mine))
  end)

  it("does not ask __index, __eq or __metatable", function()
    local liar <const> = setmetatable({}, {
      __index = function() error("asked") end,
      __eq = function() return true end,
      __metatable = asyncio.TimeoutError,
    })
    assert.is_false(asyncio.is(liar, asyncio.TimeoutError))
  end)
end)

describe("the text of an ExceptionGroup", function()
  it("lists its members, indented", function()
    local inner <const> = asyncio.ExceptionGroup("inner")
    inner.exceptions = { "one", asyncio.TimeoutError("two") }
    local outer <const> = asyncio.ExceptionGroup("outer")
    outer.exceptions = { inner, 3 }
    assert.equal("ExceptionGroup: outer\n  ExceptionGroup: inner\n    one\n"
      .. "    TimeoutError: two\n  3", tostring(outer))
  end)

  it("copes with a list that is none", function()
    local group <const> = asyncio.ExceptionGroup("g")
    for _, value in ipairs { 5, "list", print } do
      group.exceptions = value
      assert.equal("ExceptionGroup: g", tostring(group))
    end
    group.exceptions = {}
    assert.equal("ExceptionGroup: g", tostring(group))
    group.exceptions = { group }
    refuses("stack overflow", tostring, group)
  end)
end)

describe("an OSError", function()
  it("has code, errno, op and address", function()
    local loop <const> = asyncio.new_event_loop()
    local port, err
    loop:run_until_complete(function()
      local taken <close> = asyncio.socket()
      taken:bind("127.0.0.1", 0)
      port = select(2, taken:getsockname())
      taken:listen()
      local second <close> = asyncio.socket()
      err = raises(asyncio.OSError, function()
        second:bind("127.0.0.1", port)
        second:listen()
      end)
    end)
    loop:close()
    assert.equal("EADDRINUSE", err.code)
    assert.is_true(math.type(err.errno) == "integer" and err.errno > 0)
    assert.is_string(err.op)
    assert.matches(tostring(port), tostring(err), 1, true)
    assert.matches("^OSError: .*%(EADDRINUSE%)", tostring(err))
  end)
end)

for _, name in ipairs { "pcall", "xpcall" } do
  -- Both called the same way: with a handler that leaves the error as it is.
  local function protected(f, ...)
    if name == "pcall" then return asyncio.pcall(f, ...) end
    return asyncio.xpcall(f, function(e) return e end, ...)
  end

  describe("asyncio." .. name, function()
    it("returns true and the results", inside(function()
      assert.same({ true, 1, nil, 3, nil, n = 5 },
        table.pack(protected(function(...) return ... end, 1, nil, 3, nil)))
      assert.same({ true, n = 1 }, table.pack(protected(function() end)))
    end))

    it("returns false and the error, as it is", inside(function()
      for _, err in ipairs { {}, "text", 5, false, asyncio.TimeoutError("x") } do
        assert.same({ false, err, n = 2 }, table.pack(protected(error, err, 0)))
      end
      assert.same({ false, helper.NIL_RAISED, n = 2 }, table.pack(protected(error)))
    end))

    it("lets waits through", inside(function(loop)
      assert.same({ true, "slept" }, { protected(sleep, 1, "slept") })
      local ok, err = protected(function()
        sleep(1)
        error("after", 0)
      end)
      assert.is_false(ok)
      assert.equal("after", err)
      assert.equal(2, loop:time())
    end))

    it("lets a cancellation through", inside(function()
      local log <const> = {}
      local t <const> = create_task(function()
        log[1] = { protected(sleep, 10) }
        log[2] = "not reached"
      end)
      turns()
      t:cancel("m")
      assert.equal("m", raises(asyncio.CancelledError, t.await, t).message)
      assert.same({}, log)
      raises(asyncio.CancelledError, protected, error, asyncio.CancelledError())
    end))

    it("may be nested, and mixed with Lua's own", inside(function()
      local err <const> = asyncio.CancelledError()
      assert.same({ false, err }, { pcall(protected, protected, error, err) })
      assert.same({ true, true, false, "x" }, { protected(protected, pcall, error, "x") })
      assert.same({ true, false, "x" }, { pcall(protected, error, "x") })
    end))

    it("works at top level, in callbacks and in coroutines", function()
      assert.same({ false, "x" }, { protected(error, "x") })
      assert.same({ true, 1 }, { coroutine.wrap(function()
        return protected(function()
          coroutine.yield(5)
          return 1
        end)
      end)() == 5 and true, 1 })
      virtual.run(function()
        local got
        asyncio.get_running_loop():call_soon(function() got = { protected(error, "x") } end)
        turns()
        assert.same({ false, "x" }, got)
      end)
    end)

    it("of a coroutine keeps its yields", function()
      local co <const> = coroutine.wrap(function()
        return protected(function(...)
          return coroutine.yield(...)
        end, "out")
      end)
      assert.equal("out", co())
      assert.same({ true, "in" }, { co("in") })
    end)

    it("runs __close handlers, which may wait", inside(function(loop)
      assert.same({ false, "x" }, { protected(function()
        local _ <close> = setmetatable({}, { __close = function() sleep(1) end })
        error("x", 0)
      end) })
      assert.equal(1, loop:time())
    end))

    it("ends a stack overflow as an error", inside(function()
      local function endless() return (("x"):gsub("x", endless)) end
      local ok, err = protected(endless)
      assert.is_false(ok)
      assert.matches("stack overflow", err)
    end))
  end)
end

describe("asyncio.xpcall", function()
  it("calls the handler where the error was raised, and returns what it returns", inside(function()
    local ok, text = asyncio.xpcall(function() error("boom") end, debug.traceback)
    assert.is_false(ok)
    assert.matches("boom\nstack traceback:", text)
    assert.same({ false, "boom!" },
      { asyncio.xpcall(error, function(e) return e .. "!" end, "boom", 0) })
    assert.same({ false, helper.NIL_RAISED },
      { asyncio.xpcall(error, function() end, "boom", 0) })
  end))

  it("never shows the handler a cancellation", inside(function()
    local seen <const> = {}
    local t <const> = create_task(asyncio.xpcall, sleep, function(e) seen[#seen + 1] = e end, 10)
    turns()
    t:cancel()
    raises(asyncio.CancelledError, t.await, t)
    assert.same({}, seen)
  end))

  it("refuses a wait in the handler, and says why", inside(function()
    local message
    asyncio.xpcall(error, function() message = select(2, pcall(sleep, 1)) end, "x")
    assert.matches("cannot wait inside a message handler (xpcall)", message, 1, true)
  end))

  it("whose handler fails ends in an error, as Lua's", inside(function()
    assert.is_false((asyncio.xpcall(error, function() error("again") end, "x")))
  end))

  it("wants a function for a handler", function()
    refuses("bad argument #2 to 'xpcall' (function expected, got no value)",
      function() asyncio.xpcall(print) end)
    refuses("bad argument #2 to 'xpcall' (function expected, got table)",
      function() asyncio.xpcall(print, {}) end)
    refuses("bad argument #1 to 'pcall' (value expected)", function() asyncio.pcall() end)
    assert.is_false(asyncio.pcall(nil))
    assert.is_false((asyncio.pcall(5)))
  end)
end)

describe("the exception handler", function()
  it("gets the loop and a context of its own", inside(function(loop)
    local got
    local function handler(...) got = table.pack(...) end
    assert.equal(0, select("#", loop:set_exception_handler(handler)))
    assert.equal(handler, loop:get_exception_handler())
    local handle <const> = loop:call_soon(error, "boom", 0)
    turns()
    assert.equal(2, got.n)
    assert.equal(loop, got[1])
    assert.equal("exception in callback", got[2].message)
    assert.equal("boom", got[2].exception)
    assert.equal(handle, got[2].handle)
    assert.is_string(got[2].traceback)
    local context <const> = { message = "mine", extra = 1 }
    assert.equal(0, select("#", loop:call_exception_handler(context)))
    assert.equal(context, got[2])
  end))

  it("may be any callable, or none", inside(function(loop)
    local got
    loop:set_exception_handler(setmetatable({}, { __call = function(_, _, c) got = c end }))
    local context <const> = { message = "m" }
    loop:call_exception_handler(context)
    assert.equal(context, got)
    loop:set_exception_handler(nil)
    assert.is_nil(loop:get_exception_handler())
    loop:set_exception_handler()
    for _, value in ipairs { 1, "s", {}, io.stdout } do
      assert.error_matches(function() loop:set_exception_handler(value) end,
        "bad argument #1 to 'set_exception_handler' %(function expected, got ")
    end
    assert.error_matches(function() loop:call_exception_handler("m") end,
      "bad argument #1 to 'call_exception_handler' %(table expected, got string%)")
  end))

  it("may not wait, and what it raises is not lost", function()
    local done <const> = helper.run_script([[
      local asyncio = require "asyncio"
      asyncio.run(function()
        local loop = asyncio.get_running_loop()
        loop:set_exception_handler(function(_, context)
          io.stderr:write(context.message, "\n", select(2, pcall(asyncio.sleep, 0)), "\n")
          error("handler failed", 0)
        end)
        loop:call_soon(error, "boom", 0)
        asyncio.sleep(0)
        asyncio.sleep(0)
        io.stdout:write("goes on")
      end)]])
    assert.equal(0, done.status)
    assert.equal("goes on", done.out)
    assert.matches("^exception in callback\ncannot wait in a callback of the loop", done.err)
    assert.matches("asyncio: the exception handler itself failed\n", done.err)
    assert.matches("asyncio: exception in callback\n", done.err)
    assert.matches("error: boom\n", done.err)
    assert.matches("handler failed\n", done.err)
  end)

  it("may cause further reports", inside(function(loop)
    local messages <const> = {}
    loop:set_exception_handler(function(_, context)
      messages[#messages + 1] = context.exception
      if #messages == 1 then
        loop:call_soon(error, "second", 0)
        future():set_exception("third")
        collectgarbage()
        collectgarbage()
        loop:call_exception_handler { exception = "nested" }
      end
    end)
    loop:call_soon(error, "first", 0)
    turns(2)
    assert.same({ "first", "third", "nested", "second" }, messages)
  end))

  it("may close over anything, replace itself and stop the loop", function()
    local loop <const> = virtual.loop()
    local count = 0
    loop:set_exception_handler(function()
      count = count + 1
      loop:set_exception_handler(nil)
      loop:stop()
      refuses("cannot close a running event loop", loop.close, loop)
    end)
    loop:call_soon(error, "boom", 0)
    loop:run_forever()
    assert.equal(1, count)
    loop:close()
  end)
end)

describe("the default handler", function()
  it("writes message, object, error and traceback to stderr", function()
    local done <const> = helper.run_script([[
      local asyncio = require "asyncio"
      asyncio.run(function()
        local loop = asyncio.get_running_loop()
        local function callback() error("boom") end
        loop:call_soon(callback)
        asyncio.sleep(0)
        loop:call_exception_handler { message = "only a message" }
        loop:call_exception_handler {}
        loop:call_exception_handler { message = 5, exception = setmetatable({}, {
          __tostring = function() error("evil") end }) }
        loop:call_exception_handler { message = "after all that", exception = {} }
      end)]])
    assert.equal(0, done.status)
    assert.matches("^asyncio: exception in callback\n  handle: <Handle %w+%(%) at [^\n]+:4>\n"
      .. "  error: [^\n]+:4: boom\n  stack traceback:\n", done.err)
    assert.matches("\nasyncio: only a message\nasyncio: unhandled error\nasyncio: 5\n"
      .. "  error: table that cannot be shown: its __tostring has failed\nasyncio: after all that\n"
      .. "  error: table: 0x%x+\n$", done.err)
  end)
end)

describe("Loop:default_exception_handler", function()
  it("does the same, for a handler that leaves some errors to it", function()
    local done <const> = helper.run_script([[
      local asyncio = require "asyncio"
      asyncio.run(function()
        local loop = asyncio.get_running_loop()
        loop:set_exception_handler(function(l, context)
          if context.exception ~= "expected" then l:default_exception_handler(context) end
        end)
        loop:call_soon(error, "expected", 0)
        loop:call_soon(error, "not expected", 0)
        asyncio.sleep(0)
      end)]])
    assert.equal(0, done.status)
    assert.matches("^asyncio: exception in callback\n  handle: [^\n]+\n  error: not expected\n",
      done.err)
  end)
end)

describe("the default handler, given an error without a text,", function()
  it("says so, and goes on with the traceback", function()
    local ran <const> = helper.run_script([[
      local asyncio = require "asyncio"
      local loop = asyncio.get_event_loop()
      local function raise(text)
        error(setmetatable({}, { __tostring = text }))
      end
      loop:call_soon(raise, function() error("evil") end)
      loop:call_soon(raise, function() asyncio.sleep(1) end)
      loop:call_soon(raise, function() return 5 end)
      loop:call_soon(error, nil)
      asyncio.sleep(0)
      loop:close()
    ]])
    assert.equal(0, ran.status)
    assert.equal(2, select(2, ran.err:gsub("  error: table that cannot be shown: ", "")))
    assert.equal(3, select(2, ran.err:gsub("in function <[^\n]+:3>", "")))
    assert.equal(4, select(2, ran.err:gsub("  stack traceback:", "")))
  end)
end)

describe("a script that dies of an error in a task", function()
  local FAILING <const> = [[
    local asyncio = require "asyncio"
    local function deep() error(MAKE) end
    local function main()
      asyncio.sleep(0)
      deep()
      return 1
    end
  ]]

  local function run(make, call)
    return helper.run_script(FAILING:gsub("MAKE", make) .. call)
  end

  it("shows the task's own stack, and ends with status 1", function()
    for _, call in ipairs {
      "asyncio.run(main)",
      "asyncio.get_event_loop():run_until_complete(main)",
      "local runner = asyncio.Runner() runner:run(main)",
      "asyncio.run(function() return asyncio.create_task(main):await() end)",
      "asyncio.await(main)",
    } do
      local done <const> = run('"boom"', call)
      assert.equal(1, done.status, call)
      assert.matches(":2: boom", done.err, call)
      assert.matches(":2: in [^\n]*deep", done.err, call)
      assert.matches(":5: in ", done.err, call)
    end
  end)

  it("shows error objects as text", function()
    local done <const> = run('asyncio.TimeoutError("late")', "asyncio.run(main)")
    assert.equal(1, done.status)
    assert.matches("TimeoutError: late", done.err, 1, true)
  end)

  it("that is caught prints nothing", function()
    local done <const> = run('"boom"', [[
      print(pcall(asyncio.run, main))
      print(asyncio.run(pcall, main))
      local f = asyncio.get_event_loop():create_task(main)
      print(pcall(asyncio.await, f))
      asyncio.get_event_loop():close()]])
    assert.equal(0, done.status)
    assert.equal("", done.err)
    local _, count = done.out:gsub(":2: boom", "")
    assert.equal(3, count)
  end)
end)
