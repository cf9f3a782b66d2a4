-- SPDX-License-Identifier: MIT
-- What CPython's test_futures.py and test_eager_task_factory.py ask.

local asyncio <const> = require "asyncio"
local base <const> = require "spec.cpython.base"
local virtual <const> = require "spec.virtual"

local with_loop <const>, cancelled_error <const> = base.with_loop, base.cancelled
local inside <const> = virtual.inside
local raises <const>, refuses <const> = virtual.raises, virtual.refuses
local take_reports <const> = virtual.take_reports
local sleep <const>, create_task <const> = asyncio.sleep, asyncio.create_task

local function collect()
  collectgarbage()
  collectgarbage()
end

describe("CPython's test_futures", function()
  it("test_isfuture", with_loop(function(loop)
    assert.is_true(asyncio.isfuture(loop:create_future()))
    assert.is_false(asyncio.isfuture(1))
    assert.is_false(asyncio.isfuture({ result = print, done = print }))
    assert.is_false(asyncio.isfuture(loop))
  end))

  it("test_initial_state, test_cancel", with_loop(function(loop)
    local f <const> = loop:create_future()
    assert.is_false(f:cancelled())
    assert.is_false(f:done())
    assert.is_true(f:cancel())
    assert.is_true(f:cancelled())
    assert.is_true(f:done())
    cancelled_error(f.result, f)
    cancelled_error(f.exception, f)
    raises(asyncio.InvalidStateError, f.set_result, f, nil)
    raises(asyncio.InvalidStateError, f.set_exception, f, "x")
    assert.is_false(f:cancel())
  end))

  it("test_future_cancel_message_getter", with_loop(function(loop)
    local f <const> = loop:create_future()
    f:cancel("my message")
    assert.equal("my message", cancelled_error(loop.run_until_complete, loop, f).message)
  end))

  it("test_result, test_exception", with_loop(function(loop)
    local err <const> = {}
    local f <const>, g <const> = loop:create_future(), loop:create_future()
    raises(asyncio.InvalidStateError, f.result, f)
    raises(asyncio.InvalidStateError, f.exception, f)
    f:set_result(42)
    g:set_exception(err)
    assert.equal(42, f:result())
    assert.is_nil(f:exception())
    local _, got <const> = pcall(g.result, g)
    assert.equal(err, got)
    assert.equal(err, g:exception())
    for _, x in ipairs { f, g } do
      assert.is_false(x:cancelled())
      assert.is_true(x:done())
      raises(asyncio.InvalidStateError, x.set_result, x, nil)
      raises(asyncio.InvalidStateError, x.set_exception, x, "x")
      assert.is_false(x:cancel())
    end
  end))

  it("test_exception_class", with_loop(function(loop)
    local f <const> = loop:create_future()
    f:set_exception(asyncio.TimeoutError)
    assert.is_true(asyncio.is(f:exception(), asyncio.TimeoutError))
  end))

  it("test_yield_from_twice", with_loop(function(loop)
    loop:run_until_complete(function()
      local f <const> = loop:create_future()
      loop:call_soon(f.set_result, f, 42)
      assert.equal(42, f:await())
      assert.equal(42, f:await())
    end)
  end))

  it("test_tb_logger_*", with_loop(function(loop)
    local function abandon(how, look)
      do
        local f <const> = loop:create_future()
        if how then f[how](f, "boom") end
        if look then pcall(f[look], f) end
      end
      collect()
      return #take_reports()
    end
    assert.equal(0, abandon())
    assert.equal(0, abandon("set_exception", "cancel"))
    assert.equal(0, abandon("set_result"))
    assert.equal(0, abandon("set_result", "result"))
    assert.equal(1, abandon("set_exception"))
    assert.equal(0, abandon("set_exception", "exception"))
    assert.equal(0, abandon("set_exception", "result"))
  end))

  it("test_future_exception_never_retrieved", with_loop(function(loop)
    for _, debug in ipairs { false, true } do
      loop:set_debug(debug)
      do
        loop:create_future():set_exception("memory")
      end
      collect()
      local seen <const> = take_reports()
      assert.equal(1, #seen)
      assert.matches("never retrieved", seen[1].message)
      assert.equal("memory", seen[1].exception)
    end
  end))

  it("test_future_del_collect", with_loop(function(loop)
    for _ = 1, 100 do
      loop:create_future():set_result(setmetatable({}, { __gc = function() collectgarbage() end }))
    end
  end))

  local function bag_of(bag, thing)
    return function() bag[#bag + 1] = thing end
  end

  it("test_callbacks_remove_*", with_loop(function(loop, briefly)
    for _, case in ipairs { { { 1, 1 }, { 17, 100 } }, { { 1, 2, 1 }, { 100 } },
      { { 3, 3 }, { 42, 17 } } } do
      local bag <const> = {}
      local f <const> = loop:create_future()
      local cbs <const> = { bag_of(bag, 42), bag_of(bag, 17), bag_of(bag, 100) }
      for _, cb in ipairs(cbs) do f:add_done_callback(cb) end
      for _, i in ipairs(case[1]) do f:remove_done_callback(cbs[i]) end
      assert.same({}, bag)
      f:set_result("foo")
      briefly()
      assert.same(case[2], bag)
      assert.equal("foo", f:result())
    end
  end))

  it("test_callbacks_invoked_on_set_result, test_callbacks_invoked_on_set_exception", with_loop(
    function(loop, briefly)
      for _, how in ipairs { "set_result", "set_exception" } do
        local bag <const> = {}
        local f <const> = loop:create_future()
        f:add_done_callback(bag_of(bag, 42))
        f:add_done_callback(bag_of(bag, 17))
        assert.same({}, bag)
        f[how](f, "foo")
        briefly()
        assert.same({ 42, 17 }, bag)
        pcall(f.result, f)
      end
    end))

  it("test_remove_done_callback", with_loop(function(loop, briefly)
    local bag <const> = {}
    local f <const> = loop:create_future()
    local cb1 <const>, cb2 <const>, cb3 <const> = bag_of(bag, 1), bag_of(bag, 2), bag_of(bag, 3)
    f:add_done_callback(cb1)
    f:add_done_callback(cb2)
    assert.equal(1, f:remove_done_callback(cb2))
    assert.equal(0, f:remove_done_callback(cb3))
    f:add_done_callback(cb2)
    for _ = 1, 5 do f:add_done_callback(cb1) end
    assert.equal(6, f:remove_done_callback(cb1))
    f:set_result("foo")
    briefly()
    assert.same({ 2 }, bag)
  end))

  it("test_remove_done_callbacks_list_mutation and the like", with_loop(function(loop, briefly)
    local f <const> = loop:create_future()
    local evil <const> = setmetatable({}, {
      __eq = function()
        f:remove_done_callback(print)
        f:add_done_callback(print)
        return false
      end,
      __call = function() end,
    })
    local calls = 0
    local function count() calls = calls + 1 end
    f:add_done_callback(evil)
    for _ = 1, 63 do f:add_done_callback(count) end
    f:remove_done_callback(setmetatable({}, getmetatable(evil)))
    f:add_done_callback(function() f:remove_done_callback(count) end)
    f:add_done_callback(count)
    f:set_result(1)
    briefly()
    assert.equal(64, calls)
  end))
end)

describe("CPython's test_eager_task_factory", function()
  local function eager(f)
    return inside(function(loop)
      loop:set_task_factory(asyncio.eager_task_factory)
      f(loop)
    end)
  end

  it("test_eager_task_factory_set", eager(function(loop)
    assert.equal(asyncio.eager_task_factory, loop:get_task_factory())
  end))

  it("test_await_future_during_eager_step", eager(function(loop)
    local function set_result(f, value)
      sleep(0)
      f:set_result(value)
      return "done"
    end
    local f <const> = loop:create_future()
    local t <const> = create_task(set_result, f, "value")
    assert.is_false(t:done())
    assert.equal("value", f:await())
    assert.equal("done", t:await())
    assert.equal("x", create_task(function() return f:await() and "x" end):await())
  end))

  it("test_eager_completion, test_block_after_eager_step", eager(function()
    local function coro() return "hello" end
    local t <const> = create_task(coro)
    assert.is_true(t:done())
    assert.equal("hello", t:await())
    local u <const> = create_task(function()
      sleep(0.1)
      return "finished after blocking"
    end)
    assert.is_false(u:done())
    assert.equal("finished after blocking", u:await())
    assert.is_true(u:done())
  end))

  it("test_cancellation_after_eager_completion", eager(function()
    local t <const> = create_task(function() return "finished without blocking" end)
    assert.is_true(t:done())
    assert.is_false(t:cancel())
    assert.equal("finished without blocking", t:await())
  end))

  it("test_cancellation_after_eager_step_blocks", eager(function()
    local t <const> = create_task(sleep, 0.1)
    assert.is_false(t:done())
    t:cancel("cancellation message")
    assert.is_true(t:cancelling() > 0)
    assert.equal("cancellation message", cancelled_error(t.await, t).message)
  end))

  it("test_current_task, test_all_tasks_*", eager(function()
    local main <const> = asyncio.current_task()
    local count
    create_task(function()
      assert.is_true(asyncio.current_task() ~= main)
      count = #asyncio.all_tasks()
    end):await()
    assert.equal(2, count)
    assert.equal(main, asyncio.current_task())
    local blocked <const> = create_task(sleep, 0.1)
    assert.same({ main, blocked }, asyncio.all_tasks())
    blocked:await()
    assert.same({ main }, asyncio.all_tasks())
  end))

  it("test_context_vars", eager(function()
    local cv <const> = asyncio.ContextVar("cv", 0)
    local function coro()
      assert.equal(1, cv:get())
      cv:set(2)
      assert.equal(2, cv:get())
      sleep(0.1)
      assert.equal(2, cv:get())
    end
    cv:set(1)
    local t <const> = create_task(coro)
    assert.equal(1, cv:get())
    t:await()
    assert.equal(1, cv:get())
  end))

  it("test_issue105987, test_issue122332", eager(function()
    local t <const> = create_task(function() end)
    refuses("set_result", t.set_result, t, 1)
    assert.is_nil(t:get_coro())
  end))

  it("AsyncTaskCounter: how many tasks are made", inside(function(loop)
    local made
    local function factory(_, ...)
      made = made + 1
      return asyncio.Task(...)
    end
    local function fib(n)
      if n < 2 then return n end
      local r <const> = asyncio.gather(function() return fib(n - 1) end,
        function() return fib(n - 2) end)
      return r[1] + r[2]
    end
    local function tree(depth)
      local g <close> = asyncio.TaskGroup()
      for _ = 1, depth > 0 and 2 or 0 do g:create_task(tree, depth - 1) end
    end
    loop:set_task_factory(factory)
    made = 0
    assert.equal(5, create_task(fib, 5):await())
    assert.equal(15, made)
    made = 0
    create_task(tree, 3):await()
    assert.equal(15, made)
  end))
end)
