-- SPDX-License-Identifier: MIT
-- Future: completing, results, errors, done callbacks, reports, tostring. On the virtual clock.

local asyncio <const> = require "asyncio"
local helper <const> = require "spec.helper"
local virtual <const> = require "spec.virtual"

local inside <const>, future <const>, turns <const> =
  virtual.inside, virtual.future, virtual.turns
local raises <const>, refuses <const> = virtual.raises, virtual.refuses
local take_reports <const> = virtual.take_reports

local function collect()
  collectgarbage()
  collectgarbage()
end

-- A callback that appends a value to a list.
local function appender(list, value)
  return function() list[#list + 1] = value end
end

describe("a new future", function()
  it("is pending and belongs to its loop", inside(function(loop)
    local f <const> = loop:create_future()
    assert.is_false(f:done())
    assert.is_false(f:cancelled())
    assert.equal("pending", f:state())
    assert.equal(loop, f:get_loop())
    assert.is_true(asyncio.isfuture(f))
    raises(asyncio.InvalidStateError, f.result, f)
    raises(asyncio.InvalidStateError, f.exception, f)
  end))

  it("needs no running loop", function()
    local loop <const> = virtual.loop()
    local f <const> = loop:create_future()
    f:set_result(1)
    assert.equal(1, loop:run_until_complete(f))
    loop:close()
  end)

  it("cannot be made by a closed loop", function()
    local loop <const> = virtual.loop()
    loop:close()
    refuses("the event loop is closed", loop.create_future, loop)
  end)

  it("is also made by asyncio.Future: of the loop given, the running, or the current one",
    function()
    local one <const>, two <const> = virtual.loop(), virtual.loop()
    asyncio.set_event_loop(nil)
    refuses("no running event loop", asyncio.Future)
    refuses("asyncio.Loop expected, got table", asyncio.Future, {})
    assert.equal(two, asyncio.Future(two):get_loop())
    asyncio.set_event_loop(two)
    assert.equal(two, asyncio.Future():get_loop())
    one:run_until_complete(function()
      local f <const> = asyncio.Future()
      assert.equal(one, f:get_loop())
      assert.is_false(f:done())
      f:set_result("x")
      assert.equal("x", f:await())
      assert.equal(two, asyncio.Future(two):get_loop())
    end)
    asyncio.set_event_loop(nil)
    one:close()
    two:close()
    refuses("the event loop is closed", asyncio.Future, one)
  end)

  it("keeps its loop alive", function()
    local weak <const> = setmetatable({}, { __mode = "v" })
    local f = virtual.loop():create_future()
    weak[1] = f:get_loop()
    collect()
    assert.equal(f:get_loop(), weak[1])
    f:get_loop():close()
    assert.is_true(f:get_loop():is_closed())
    f = nil -- luacheck: ignore
    collect()
    assert.is_nil(weak[1])
  end)
end)

describe("set_result", function()
  it("completes", inside(function()
    local f <const> = future()
    assert.equal(0, select("#", f:set_result(42)))
    assert.is_true(f:done())
    assert.is_false(f:cancelled())
    assert.equal("done", f:state())
    assert.equal(42, f:result())
    assert.is_nil(f:exception())
    raises(asyncio.InvalidStateError, f.set_result, f, 1)
    raises(asyncio.InvalidStateError, f.set_exception, f, "x")
    assert.is_false(f:cancel())
    assert.equal(42, f:await())
  end))

  it("keeps several results, nils among them", inside(function()
    for n = 0, 5 do
      local f <const> = future()
      f:set_result(table.unpack({ 1, nil, 3, nil, nil }, 1, n))
      assert.equal(n, select("#", f:result()))
      assert.equal(n, select("#", f:await()))
      assert.same(table.pack(table.unpack({ 1, nil, 3, nil, nil }, 1, n)), table.pack(f:await()))
    end
  end))

  it("keeps as many as Lua can pass", inside(function()
    local n <const> = helper.scale(200000, 300)
    local list <const> = {}
    for i = 1, n do list[i] = i end
    local f <const> = future()
    f:set_result(table.unpack(list))
    assert.equal(n, select("#", f:await()))
    assert.equal(n, (select(n, f:await())))
  end))

  it("keeps functions, tables and false as they are", inside(function()
    local t <const> = {}
    for _, value in ipairs { t, print, false, "s", future() } do
      local f <const> = future()
      f:set_result(value)
      assert.is_true(rawequal(value, f:await()))
    end
  end))

  it("is refused after a cancellation", inside(function()
    local f <const> = future()
    f:cancel()
    raises(asyncio.InvalidStateError, f.set_result, f, 1)
    raises(asyncio.InvalidStateError, f.set_exception, f, 1)
  end))

  it("wakes everyone, in the order in which they waited", inside(function()
    local f <const>, log <const> = future(), {}
    for i = 1, 4 do
      asyncio.create_task(function()
        local value <const> = f:await()
        log[#log + 1] = i .. value
      end)
    end
    turns()
    f:set_result("x")
    assert.same({}, log)
    turns()
    assert.same({ "1x", "2x", "3x", "4x" }, log)
  end))
end)

describe("set_exception", function()
  it("takes any value but nil, and raises it as it is", inside(function()
    for _, err in ipairs { "text", { 1 }, 5, false, print, asyncio.TimeoutError("late") } do
      local f <const> = future()
      assert.equal(0, select("#", f:set_exception(err)))
      assert.is_true(f:done())
      assert.is_false(f:cancelled())
      assert.is_true(rawequal(err, f:exception()))
      for _, call in ipairs { f.result, f.await } do
        local ok, got = pcall(call, f)
        assert.is_false(ok)
        assert.is_true(rawequal(err, got))
      end
      assert.is_false(f:cancel())
      raises(asyncio.InvalidStateError, f.set_exception, f, "again")
    end
    local f <const> = future()
    refuses("bad argument #1 to 'set_exception' (error value expected, got nil)",
      function() f:set_exception(nil) end)
    assert.is_false(f:done())
  end))

  it("makes an error of a class", inside(function()
    local f <const> = future()
    f:set_exception(asyncio.TimeoutError)
    local err <const> = raises(asyncio.TimeoutError, f.await, f)
    assert.is_nil(err.message)
    assert.equal(err, f:exception())
  end))

  it("with a CancelledError cancels the task that awaits, not the future", inside(function()
    local f <const> = future()
    f:set_exception(asyncio.CancelledError("odd"))
    assert.is_false(f:cancelled())
    local t <const> = asyncio.create_task(f.await, f)
    turns()
    assert.is_true(t:cancelled())
  end))
end)

describe("cancel of a future", function()
  it("cancels at once", inside(function()
    local f <const> = future()
    assert.is_true(f:cancel())
    assert.is_true(f:cancelled())
    assert.is_true(f:done())
    assert.equal("cancelled", f:state())
    assert.is_false(f:cancel())
    raises(asyncio.CancelledError, f.result, f)
    raises(asyncio.CancelledError, f.exception, f)
    raises(asyncio.CancelledError, f.await, f)
  end))

  it("gives the message to everyone, in one error", inside(function()
    for _, message in ipairs { "my message", 5, { "table" }, false } do
      local f <const> = future()
      local t <const> = asyncio.create_task(f.await, f)
      turns()
      f:cancel(message)
      turns()
      local err <const> = raises(asyncio.CancelledError, f.result, f)
      assert.is_true(rawequal(message, err.message))
      assert.equal(err, raises(asyncio.CancelledError, f.exception, f))
      assert.equal(err, raises(asyncio.CancelledError, t.result, t))
    end
  end))

  it("has no message if none was given", inside(function()
    local f <const>, g <const> = future(), future()
    f:cancel()
    g:cancel(nil)
    assert.is_nil(raises(asyncio.CancelledError, f.result, f).message)
    assert.is_nil(raises(asyncio.CancelledError, g.result, g).message)
  end))

  it("cancels the tasks that wait for it", inside(function()
    local f <const> = future()
    local t <const> = asyncio.create_task(f.await, f)
    turns()
    f:cancel()
    raises(asyncio.CancelledError, t.await, t)
    assert.is_true(t:cancelled())
    assert.equal(0, t:cancelling())
  end))
end)

describe("await of a future", function()
  it("does not wait when it is done", inside(function(loop)
    local f <const>, log <const> = future(), {}
    f:set_result("x")
    loop:call_soon(appender(log, "callback"))
    assert.equal("x", f:await())
    assert.same({}, log)
    assert.equal("x", asyncio.await(f))
    assert.same({}, log)
  end))

  it("that is cancelled in mid-wait cancels the future", inside(function()
    local f <const> = future()
    local t <const> = asyncio.create_task(f.await, f)
    turns()
    t:cancel("enough")
    assert.is_true(f:cancelled())
    assert.equal("enough", raises(asyncio.CancelledError, t.await, t).message)
  end))

  it("goes on after another waiter was cancelled: the future is", inside(function()
    local f <const> = future()
    local a <const> = asyncio.create_task(f.await, f)
    local b <const> = asyncio.create_task(f.await, f)
    turns()
    a:cancel()
    turns()
    assert.is_true(a:cancelled())
    assert.is_true(b:cancelled())
  end))

  it("outside a task runs the current loop", function()
    local loop <const> = virtual.loop()
    asyncio.set_event_loop(loop)
    local f <const> = loop:create_future()
    loop:call_later(5, f.set_result, f, 1, 2)
    assert.same({ 1, 2 }, { f:await() })
    assert.equal(5, loop:time())
    asyncio.set_event_loop(nil)
    loop:close()
  end)

  it("in a callback is an error that says so", inside(function(loop)
    local f <const> = future()
    loop:call_soon(f.await, f)
    turns()
    local report <const> = take_reports()[1]
    assert.matches("cannot wait in a callback of the loop", report.exception, 1, true)
  end))

  it("of another loop is an error", inside(function()
    local other <const> = virtual.loop()
    local f <const> = other:create_future()
    refuses("belongs to a different event loop", f.await, f)
    refuses("belongs to a different event loop", asyncio.gather, f)
    f:set_result(1)
    assert.equal(1, f:await()) -- it is done: nothing to wait for
    other:close()
  end))

  it("twice gives the same results", inside(function()
    local f <const>, log <const> = future(), {}
    local t <const> = asyncio.create_task(function()
      log[1] = f:await()
      log[2] = f:await()
    end)
    turns()
    f:set_result(42)
    t:await()
    assert.same({ 42, 42 }, log)
  end))
end)

describe("done callbacks", function()
  it("run in the turn after, in the order in which they were added", inside(function()
    local f <const>, log <const> = future(), {}
    for i = 1, 5 do f:add_done_callback(appender(log, i)) end
    f:set_result("foo")
    assert.same({}, log)
    turns()
    assert.same({ 1, 2, 3, 4, 5 }, log)
    turns()
    assert.equal(5, #log)
  end))

  it("get the future and nothing else", inside(function()
    local f <const> = future()
    local got
    f:add_done_callback(function(...) got = table.pack(...) end)
    f:set_result(1, 2)
    turns()
    assert.equal(1, got.n)
    assert.equal(f, got[1])
  end))

  it("run after an error and after a cancellation", inside(function()
    local log <const> = {}
    local f <const>, g <const> = future(), future()
    f:add_done_callback(function(x) log[#log + 1] = x:exception() end)
    g:add_done_callback(function(x) log[#log + 1] = x:cancelled() end)
    f:set_exception("no")
    g:cancel()
    turns()
    assert.same({ "no", true }, log)
  end))

  it("added to a future that is done run in the next turn", inside(function()
    local f <const>, log <const> = future(), {}
    f:set_result(1)
    f:add_done_callback(appender(log, 1))
    f:add_done_callback(appender(log, 2))
    assert.same({}, log)
    turns()
    assert.same({ 1, 2 }, log)
  end))

  it("may be anything that can be called", inside(function()
    local log <const> = {}
    local object <const> = setmetatable({}, {
      __call = function(_, f) log[#log + 1] = f:result() end,
    })
    local f <const> = future()
    f:add_done_callback(object)
    f:set_result("called")
    turns()
    assert.same({ "called" }, log)
    assert.equal(0, f:remove_done_callback(object))
  end))

  it("stand among the waiters where they were added", inside(function()
    local f <const>, log <const> = future(), {}
    local function waiter(i)
      return function()
        f:await()
        log[#log + 1] = i
      end
    end
    f:add_done_callback(appender(log, 1))
    asyncio.create_task(waiter(2))
    turns()
    f:add_done_callback(appender(log, 3))
    asyncio.create_task(waiter(4))
    turns()
    f:add_done_callback(appender(log, 5))
    f:set_result()
    turns()
    assert.same({ 1, 2, 3, 4, 5 }, log)
  end))

  it("that raise are reported, and the others run", inside(function()
    local f <const>, log <const> = future(), {}
    f:add_done_callback(function() error("first", 0) end)
    f:add_done_callback(appender(log, 2))
    f:set_result()
    turns()
    assert.same({ 2 }, log)
    local reports <const> = take_reports()
    assert.equal(1, #reports)
    assert.equal("first", reports[1].exception)
    assert.equal("exception in callback", reports[1].message)
    assert.matches("stack traceback", reports[1].traceback)
    assert.matches("^<Handle ", tostring(reports[1].handle))
  end))

  it("may complete, await nothing, add and remove", inside(function()
    local f <const>, g <const>, log <const> = future(), future(), {}
    local last <const> = appender(log, "last")
    f:add_done_callback(function(x)
      g:set_result(x:result())
      x:add_done_callback(last)
      assert.equal(0, x:remove_done_callback(last)) -- they are on their way
      raises(asyncio.InvalidStateError, x.set_result, x, 2)
    end)
    g:add_done_callback(function(x) log[#log + 1] = x:result() end)
    f:set_result(1)
    turns(3)
    assert.same({ 1, "last" }, log)
  end))

  it("that cancel a task in mid-wait take effect in its next step", inside(function()
    local f <const>, log <const> = future(), {}
    local t <const> = asyncio.create_task(function()
      local ok <const> = pcall(asyncio.sleep, 10)
      log[#log + 1] = ok
    end)
    turns()
    f:add_done_callback(function() t:cancel() end)
    f:set_result()
    t:await()
    assert.same({ false }, log)
    assert.equal(0, asyncio.get_running_loop():time())
  end))

  it("do not run when the loop has closed", function()
    local loop <const>, log <const> = virtual.loop(), {}
    local f <const> = loop:create_future()
    f:add_done_callback(appender(log, 1))
    loop:close()
    refuses("the event loop is closed", f.add_done_callback, f, print)
    assert.equal(0, f:remove_done_callback(print))
    f:set_result(1)
    assert.equal(1, f:result())
    assert.same({}, log)
  end)
end)

describe("remove_done_callback", function()
  local function with_callbacks(body)
    return inside(function()
      local bag <const> = {}
      local f <const> = future()
      body(f, bag, appender(bag, 1), appender(bag, 2), appender(bag, 3))
    end)
  end

  it("takes the first away", with_callbacks(function(f, bag, a, b, c)
    for _, cb in ipairs { a, b, c } do f:add_done_callback(cb) end
    assert.equal(1, f:remove_done_callback(a))
    assert.equal(0, f:remove_done_callback(a))
    f:set_result()
    turns()
    assert.same({ 2, 3 }, bag)
  end))

  it("takes the first and the second away", with_callbacks(function(f, bag, a, b, c)
    for _, cb in ipairs { a, b, c } do f:add_done_callback(cb) end
    f:remove_done_callback(a)
    f:remove_done_callback(b)
    f:set_result()
    turns()
    assert.same({ 3 }, bag)
  end))

  it("takes the last away", with_callbacks(function(f, bag, a, b, c)
    for _, cb in ipairs { a, b, c } do f:add_done_callback(cb) end
    f:remove_done_callback(c)
    f:add_done_callback(a)
    f:set_result()
    turns()
    assert.same({ 1, 2, 1 }, bag)
  end))

  it("takes all of them away, and new ones may come", with_callbacks(function(f, bag, a, b)
    f:add_done_callback(a)
    assert.equal(1, f:remove_done_callback(a))
    assert.equal("<Future pending>", tostring(f))
    f:add_done_callback(b)
    f:set_result()
    turns()
    assert.same({ 2 }, bag)
  end))

  it("counts how often it was there", with_callbacks(function(f, bag, a, b, c)
    f:add_done_callback(a)
    f:add_done_callback(b)
    assert.equal(1, f:remove_done_callback(b))
    assert.equal(0, f:remove_done_callback(c))
    f:add_done_callback(b)
    for _ = 1, 5 do f:add_done_callback(a) end
    assert.equal(6, f:remove_done_callback(a))
    f:set_result()
    turns()
    assert.same({ 2 }, bag)
  end))

  it("leaves those who wait", with_callbacks(function(f, bag, a)
    f:add_done_callback(a)
    local t <const> = asyncio.create_task(f.await, f)
    turns()
    f:add_done_callback(a)
    assert.equal(2, f:remove_done_callback(a))
    f:set_result("woken")
    assert.equal("woken", t:await())
    assert.same({}, bag)
  end))

  it("compares without asking __eq", with_callbacks(function(f, bag, a)
    local evil <const> = setmetatable({}, {
      __call = function() end,
      __eq = function() f:remove_done_callback(a) return true end,
    })
    for _ = 1, 5 do f:add_done_callback(a) end
    assert.equal(0, f:remove_done_callback(evil))
    f:set_result()
    turns()
    assert.equal(5, #bag)
  end))

  it("from a callback finds nothing: they have all been queued", with_callbacks(function(f, bag, a)
    f:add_done_callback(function() assert.equal(0, f:remove_done_callback(a)) end)
    f:add_done_callback(a)
    f:set_result()
    turns()
    assert.same({ 1 }, bag)
  end))
end)

describe("an error that nobody looked at", function()
  it("is reported when the future is collected, once", inside(function()
    local err <const> = {}
    future():set_exception(err)
    collect()
    local reports <const> = take_reports()
    assert.equal(1, #reports)
    assert.equal("future error was never retrieved", reports[1].message)
    assert.equal(err, reports[1].exception)
    assert.matches("^<Future finished exception=", tostring(reports[1].future))
    assert.is_nil(reports[1].task)
    collect()
    assert.same({}, take_reports())
  end))

  it("is reported when the loop closes", function()
    local loop <const> = virtual.loop()
    local f <const>, g <const> = loop:create_future(), loop:create_future()
    f:set_exception("f")
    g:set_exception("g")
    take_reports()
    loop:close()
    local reports <const> = take_reports()
    assert.equal(2, #reports)
    assert.equal("f", reports[1].exception)
    assert.equal(g, reports[2].future)
    collect()
    assert.same({}, take_reports())
    assert.equal("f", f:exception())
  end)

  it("is not reported after exception, result or await", inside(function()
    for _, look in ipairs { "exception", "result", "await" } do
      local f = future()
      f:set_exception("seen")
      pcall(f[look], f)
      f = nil -- luacheck: ignore
      collect()
      assert.same({}, take_reports())
    end
  end))

  it("is reported if only tostring, done or a callback saw the future", inside(function()
    local f = future()
    f:add_done_callback(function() end)
    f:set_exception("unseen")
    assert.matches("unseen", tostring(f))
    f:done()
    turns()
    f = nil -- luacheck: ignore
    collect()
    assert.equal("unseen", take_reports()[1].exception)
  end))

  it("is not reported after cancel, which changes nothing else", inside(function()
    do
      local f <const> = future()
      f:set_exception("boom")
      assert.is_false(f:cancel())
      assert.equal("done", f:state())
    end
    collectgarbage()
    collectgarbage()
    assert.same({}, take_reports())
  end))

  it("is not reported for results and cancellations", inside(function()
    future():set_result(1)
    future():cancel()
    future() -- abandoned
    collect()
    assert.same({}, take_reports())
  end))

  it("can be looked at in the handler, which may do anything", inside(function(loop)
    local seen <const> = {}
    loop:set_exception_handler(function(l, context)
      seen[#seen + 1] = context.future:exception()
      seen[#seen + 1] = l == loop
      collectgarbage()
      future():set_exception("from the handler")
      l:call_soon(appender(seen, "callback"))
      l:create_task(appender(seen, "task"))
      refuses("cannot wait in a callback", asyncio.sleep, 0)
      loop:set_exception_handler(function() end)
    end)
    future():set_exception("first")
    collect()
    turns(2)
    assert.same({ "first", true, "callback", "task" }, seen)
  end))

  it("is reported although a finalizer closes the loop in the same collection", function()
    local loop <const> = virtual.loop()
    loop:create_future():set_exception("not lost")
    setmetatable({}, { __gc = function() loop:close() end })
    collect()
    assert.is_true(loop:is_closed())
    local reports <const> = take_reports()
    assert.equal(1, #reports)
    assert.equal("not lost", reports[1].exception)
  end)

  it("is printed when there is no handler", function()
    local done <const> = helper.run_script([[
      local asyncio = require "asyncio"
      asyncio.run(function()
        asyncio.get_running_loop():create_future():set_exception("nobody")
        collectgarbage() collectgarbage()
        asyncio.sleep(0)
      end)]])
    assert.equal(0, done.status)
    assert.matches("future error was never retrieved\n  future: <Future finished "
      .. "exception='nobody'>\n  error: nobody\n", done.err, 1, true)
  end)
end)

local function first_callback() end
local function middle_callback() end
local function last_callback() end

describe("tostring of a future", function()
  local here <const> = debug.getinfo(1, "S").short_src

  local function shown(name, f)
    return ("%s() at %s:%d"):format(name, here, debug.getinfo(f, "S").linedefined)
  end

  it("shows its state", inside(function()
    local f = future()
    assert.equal("<Future pending>", tostring(f))
    f:cancel()
    assert.equal("<Future cancelled>", tostring(f))
    f = future()
    f:set_result(4)
    assert.equal("<Future finished result=4>", tostring(f))
    f = future()
    f:set_result("s", 2)
    assert.equal("<Future finished result='s'>", tostring(f))
    f = future()
    f:set_result()
    assert.equal("<Future finished result=nil>", tostring(f))
    f = future()
    f:set_exception("boom")
    assert.equal("<Future finished exception='boom'>", tostring(f))
    f:exception()
    f = future()
    f:set_exception(asyncio.TimeoutError("late"))
    assert.equal("<Future finished exception=TimeoutError: late>", tostring(f))
    f:exception()
  end))

  it("shows one, two or many callbacks", inside(function()
    local f <const> = future()
    f:add_done_callback(first_callback)
    assert.equal(("<Future pending cb=[%s]>"):format(shown("first_callback", first_callback)),
      tostring(f))
    f:add_done_callback(last_callback)
    assert.equal(("<Future pending cb=[%s, %s]>"):format(shown("first_callback", first_callback),
      shown("last_callback", last_callback)), tostring(f))
    f:remove_done_callback(last_callback)
    for _ = 1, 8 do f:add_done_callback(middle_callback) end
    f:add_done_callback(last_callback)
    assert.equal(("<Future pending cb=[%s, <8 more>, %s]>"):format(
      shown("first_callback", first_callback), shown("last_callback", last_callback)), tostring(f))
    f:cancel()
    assert.equal("<Future cancelled>", tostring(f))
  end))

  it("does not go round in a circle", inside(function()
    local f <const>, g <const> = future(), future()
    f:set_result(g)
    g:set_result(f)
    assert.matches("^<Future finished result=<Future at 0x%x+>>$", tostring(f))
    local t <const> = asyncio.create_task(asyncio.current_task)
    t:await()
    assert.matches("result=<Task at 0x%x+>>$", tostring(t))
    local h <const> = future()
    h:set_exception(h)
    assert.matches("^<Future finished exception=<Future at 0x%x+>>$", tostring(h))
    h:exception()
  end))

  it("raises what the result's __tostring raises", inside(function()
    local f <const> = future()
    f:set_result(setmetatable({}, { __tostring = function() error("evil", 0) end }))
    refuses("evil", tostring, f)
  end))
end)

describe("a finalizer", function()
  -- Runs f in a __gc while `body` allocates.
  local function finalize(f)
    setmetatable({}, { __gc = f })
    f = nil -- luacheck: ignore
    collect()
  end

  it("may complete a future that others wait for", inside(function()
    local f <const> = future()
    local t <const> = asyncio.create_task(f.await, f)
    turns()
    finalize(function() f:set_result("collected") end)
    assert.equal("collected", t:await())
  end))

  it("may complete the future that is being completed", inside(function()
    -- set_result with several results allocates, and so may collect: whoever is first wins
    for _ = 1, helper.scale(200, 2) do
      local f <const> = future()
      setmetatable({}, { __gc = function()
        if not f:done() then f:set_result("finalizer") end
      end })
      local ok, err = pcall(f.set_result, f, 1, {}, {}, {})
      assert.is_true(ok or asyncio.is(err, asyncio.InvalidStateError))
      assert.is_true(f:done())
    end
    collect()
  end))

  it("cannot wait", inside(function()
    local err
    finalize(function() err = select(2, pcall(asyncio.sleep, 0)) end)
    assert.matches("cannot wait inside a finalizer (__gc)", err, 1, true)
  end))

  it("may cancel, add callbacks and make futures", inside(function()
    local f <const>, log <const> = future(), {}
    f:add_done_callback(appender(log, "before"))
    finalize(function()
      f:add_done_callback(appender(log, "added"))
      f:cancel("collected")
      future():cancel()
    end)
    turns()
    assert.same({ "before", "added" }, log)
    assert.equal("collected", raises(asyncio.CancelledError, f.result, f).message)
  end))
end)

describe("asyncio.isfuture", function()
  it("is not deceived by what a script takes from a future's metatable", inside(function(loop)
    local meta <const>, added <const> = getmetatable(io.stdout), {}
    for key, value in pairs(getmetatable(loop:create_future())) do
      if meta[key] == nil then
        meta[key] = value
        added[#added + 1] = key
      end
    end
    local taken <const> = asyncio.isfuture(io.stdout)
    for _, key in ipairs(added) do meta[key] = nil end
    assert.is_true(#added > 0)
    assert.is_false(taken)
  end))

  it("tells futures and tasks from all else", inside(function()
    assert.is_true(asyncio.isfuture(asyncio.current_task()))
    assert.is_true(asyncio.isfuture(future()))
    for _, value in ipairs { 1, "s", {}, print, io.stdout, false, coroutine.create(print) } do
      assert.is_false(asyncio.isfuture(value))
    end
    assert.is_false(asyncio.isfuture(nil))
    assert.is_false(asyncio.isfuture())
  end))
end)

describe("a future that somebody waits for", function()
  it("is kept alive by the waiting task alone", inside(function()
    local weak <const> = setmetatable({}, { __mode = "v" })
    local t <const> = asyncio.create_task(function()
      local f <const> = future()
      weak[1] = f
      return f:await()
    end)
    turns()
    collect()
    weak[1]:set_result("alive")
    assert.equal("alive", t:await())
  end))

  it("is collected after it", inside(function()
    local weak <const> = setmetatable({}, { __mode = "v" })
    do
      local f <const> = future()
      weak[1] = f
      f:add_done_callback(function() return f end)
      f:set_result({})
      f:await()
      turns()
    end
    collect()
    assert.is_nil(weak[1])
  end))

  it("lets go of its callbacks when it is abandoned", inside(function()
    local weak <const> = setmetatable({}, { __mode = "v" })
    do
      local f <const> = future()
      for i = 1, 3 do
        local function callback() return i end
        weak[i] = callback
        f:add_done_callback(callback)
      end
    end
    collect()
    assert.is_nil(next(weak))
  end))
end)
