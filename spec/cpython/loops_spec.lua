-- SPDX-License-Identifier: MIT
-- What CPython's test_base_events.py and test_events.py ask about the loop and its handles.

local asyncio <const> = require "asyncio"
local base <const> = require "spec.cpython.base"
local helper <const> = require "spec.helper"
local virtual <const> = require "spec.virtual"

local with_loop <const>, near <const> = base.with_loop, base.near
local raises <const>, refuses <const> = virtual.raises, virtual.refuses
local take_reports <const> = virtual.take_reports
local sleep <const> = asyncio.sleep

local function noop() end

local function here(f)
  local info <const> = debug.getinfo(f, "S")
  return ("%s:%d"):format(info.short_src, info.linedefined)
end

describe("CPython's test_base_events", function()
  it("test_close, of a loop that is closed again and again", with_loop(function(loop)
    assert.is_false(loop:is_closed())
    local f <const> = loop:create_future()
    for _ = 1, 3 do
      loop:close()
      assert.is_true(loop:is_closed())
    end
    refuses("closed", loop.run_forever, loop)
    refuses("closed", loop.run_until_complete, loop, f)
    refuses("closed", loop.call_soon, loop, noop)
    refuses("closed", loop.call_soon_threadsafe, loop, noop)
    refuses("closed", loop.call_later, loop, 1, noop)
    refuses("closed", loop.call_at, loop, 1, noop)
    refuses("closed", loop.create_task, loop, noop)
    refuses("closed", loop.add_signal_handler, loop, "SIGTERM", noop)
    refuses("closed", loop.run_in_executor, loop, nil, "os.time")
  end))

  it("test_call_soon_non_callable", with_loop(function(loop)
    refuses("bad argument #", loop.call_soon, loop, 1)
    refuses("bad argument #", loop.call_later, loop, nil, noop)
    refuses("bad argument #", loop.call_at, loop, nil, noop)
  end))

  it("test_call_later_negative_delays", with_loop(function(loop, briefly)
    local calls <const> = {}
    local function cb(arg) calls[#calls + 1] = arg end
    loop:call_later(-1, cb, "a")
    loop:call_later(-2, cb, "b")
    briefly()
    briefly()
    assert.same({ "b", "a" }, calls)
  end))

  it("test_time_and_call_at", with_loop(function(loop)
    local t0 <const> = loop:time()
    loop:call_at(t0 + 0.1, loop.stop, loop)
    loop:run_forever()
    near(t0 + 0.1, loop:time())
  end))

  it("test__run_once_schedule_handle", with_loop(function(loop, briefly)
    local ran = {}
    loop:call_at(loop:time() - 1, function()
      ran[#ran + 1] = "timer"
      loop:call_soon(function() ran[#ran + 1] = "soon" end)
    end)
    loop:call_soon(loop.stop, loop)
    loop:run_forever()
    assert.same({ "timer" }, ran)
    briefly()
    assert.same({ "timer", "soon" }, ran)
  end))

  it("test__run_once_cancelled_event_cleanup", with_loop(function(loop)
    collectgarbage()
    local before <const> = collectgarbage("count")
    for _ = 1, 100 do
      for _ = 1, 100 do loop:call_later(3600, noop):cancel() end
    end
    collectgarbage()
    collectgarbage()
    assert.is_true(collectgarbage("count") - before < 200)
  end))

  it("test_run_until_complete_type_error, test_run_until_complete_loop", with_loop(function(loop)
    refuses("bad argument #", loop.run_until_complete, loop, "blah")
    local other <const> = asyncio.new_event_loop()
    refuses("loop", other.run_until_complete, other, loop:create_future())
    other:close()
  end))

  it("test_run_until_complete_loop_orphan_future_close_loop", with_loop(function(loop)
    loop:call_soon(error, asyncio.KeyboardInterrupt())
    raises(asyncio.KeyboardInterrupt, loop.run_until_complete, loop, sleep, 0.1)
    loop:run_until_complete(sleep, 0.2)
    near(0.2, loop:time())
  end))

  it("test_default_exc_handler_callback", function()
    local ran <const> = helper.run_script([[
      local loop = require("asyncio").get_event_loop()
      local function zero_error(fut)
        fut:set_result(true)
        return nil + 1
      end
      for _, method in ipairs { "call_soon", "call_later" } do
        local fut = loop:create_future()
        if method == "call_soon" then loop:call_soon(zero_error, fut)
        else loop:call_later(0.001, zero_error, fut) end
        fut:add_done_callback(function() loop:stop() end)
        loop:run_forever()
      end
      loop:close()
    ]])
    assert.equal(0, ran.status)
    assert.equal(2, select(2, ran.err:gsub("attempt to perform arithmetic", "")))
    assert.matches("zero_error", ran.err)
  end)

  it("test_set_exc_handler_invalid, test_set_exc_handler_custom", with_loop(
    function(loop, briefly)
      refuses("bad argument #", loop.set_exception_handler, loop, "spam")
      local seen = {}
      local function handler(l, context)
        assert(l == loop)
        seen[#seen + 1] = context
      end
      loop:set_exception_handler(handler)
      assert.equal(handler, loop:get_exception_handler())
      local handle <const> = loop:call_soon(error, "zero", 0)
      briefly()
      assert.equal(1, #seen)
      assert.equal("zero", seen[1].exception)
      assert.equal(handle, seen[1].handle)
      assert.matches("callback", seen[1].message)
      loop:set_exception_handler(nil)
      assert.is_nil(loop:get_exception_handler())
    end))

  it("test_set_task_factory_invalid, test_set_task_factory", with_loop(function(loop)
    refuses("bad argument #", loop.set_task_factory, loop, 1)
    assert.is_nil(loop:get_task_factory())
    local made = 0
    local function factory(l, ...)
      made = made + 1
      return asyncio.Task(l, ...)
    end
    loop:set_task_factory(factory)
    assert.equal(factory, loop:get_task_factory())
    loop:run_until_complete(function() end)
    assert.equal(1, made)
    loop:set_task_factory(nil)
    assert.is_nil(loop:get_task_factory())
    loop:run_until_complete(function() end)
    assert.equal(1, made)
  end))

  it("test_create_task_error_closes_coro", with_loop(function(loop)
    loop:close()
    refuses("closed", loop.create_task, loop, asyncio.async(noop)())
    assert.same({}, take_reports())
  end))

  it("test_run_forever_keyboard_interrupt, test_run_until_complete_baseexception", with_loop(
    function(loop)
      raises(asyncio.KeyboardInterrupt, loop.run_until_complete, loop, function()
        error(asyncio.KeyboardInterrupt(), 0)
      end)
      collectgarbage()
      assert.same({}, take_reports())
      local called = false
      loop:call_soon(loop.call_soon, loop, function()
        loop:stop()
        called = true
      end)
      loop:run_forever()
      assert.is_true(called)
    end))

  it("test_run_once, test_run_forever_pre_stopped", with_loop(function(loop)
    local count = 0
    loop:call_soon(function() count = count + 1 end)
    loop:call_soon(loop.stop, loop)
    loop:run_forever()
    assert.equal(1, count)
    loop:stop()
    loop:run_forever()
  end))

  it("test_running_loop_within_a_loop", with_loop(function(loop)
    loop:run_until_complete(function()
      local other <const> = asyncio.new_event_loop()
      refuses("running", other.run_forever, other)
      other:close()
    end)
  end))
end)

describe("CPython's test_events", function()
  it("test_run_until_complete_nesting", with_loop(function(loop)
    loop:run_until_complete(function()
      assert.is_true(loop:is_running())
      refuses("running", loop.run_until_complete, loop, sleep, 0)
    end)
    assert.is_false(loop:is_running())
  end))

  it("test_run_until_complete_stopped", with_loop(function(loop)
    refuses("stopped", loop.run_until_complete, loop, function()
      loop:stop()
      sleep(0.1)
    end)
  end))

  it("test_call_later, test_call_soon, test_call_soon_threadsafe_same_thread", with_loop(
    function(loop)
      local results <const> = {}
      local function callback(...)
        results[#results + 1] = table.concat({ ... }, " ")
        if #results == 3 then loop:stop() end
      end
      loop:call_later(0.1, callback, "hello", "world")
      loop:call_soon_threadsafe(callback, "hello")
      loop:call_soon(callback, "world")
      loop:run_forever()
      assert.same({ "hello", "world", "hello world" }, results)
    end))

  it("test_add_signal_handler", function()
    local loop <const> = asyncio.new_event_loop()
    refuses("bad argument #", loop.add_signal_handler, loop, "boom", noop)
    refuses("bad argument #", loop.remove_signal_handler, loop, "boom")
    for _, number in ipairs { 1000, 0, -1 } do
      refuses("bad argument #", loop.add_signal_handler, loop, number, noop)
      refuses("bad argument #", loop.remove_signal_handler, loop, number)
    end
    assert.is_false(pcall(loop.add_signal_handler, loop, "SIGKILL", noop))
    assert.is_false(loop:remove_signal_handler("SIGKILL"))
    local caught = 0
    loop:add_signal_handler("SIGINT", function(...)
      caught = caught + select("#", ...)
      loop:stop()
    end, 42)
    loop:call_soon(function() io.popen("kill -INT $PPID"):close() end)
    loop:run_forever()
    assert.equal(1, caught)
    assert.is_true(loop:remove_signal_handler("SIGINT"))
    assert.is_false(loop:remove_signal_handler("SIGINT"))
    loop:close()
  end)

  it("test_close_running_event_loop", with_loop(function(loop)
    refuses("running", loop.run_until_complete, loop, function() loop:close() end)
    assert.is_false(loop:is_closed())
  end))

  it("test_timeout_rounding", function()
    local loop <const> = asyncio.new_event_loop()
    local t0 <const> = loop:time()
    loop:run_until_complete(function()
      for exponent = 2, 10, 2 do sleep(10 ^ -exponent) end
    end)
    assert.is_true(loop:time() - t0 >= 0.0101)
    loop:close()
  end)

  it("test_prompt_cancellation", function()
    local loop <const> = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    local a <const>, b <const> = asyncio.socket(), asyncio.socket()
    a:bind("127.0.0.1", 0)
    a:listen()
    loop:run_until_complete(function()
      loop:sock_connect(b, { a:getsockname() })
      local f <const> = asyncio.create_task(loop.sock_recv, loop, b, 1)
      loop:call_soon(f.cancel, f)
      base.cancelled(f.await, f)
      base.cancelled(f.result, f)
    end)
    a:close()
    b:close()
    loop:close()
    asyncio.set_event_loop(nil)
  end)

  it("test_handle, test_timer, test_when", with_loop(function(loop)
    local h <const> = loop:call_soon(noop)
    assert.is_false(h:cancelled())
    h:cancel()
    assert.is_true(h:cancelled())
    local when <const> = loop:time() + 5
    local t <const> = loop:call_at(when, noop)
    assert.equal(when, t:when())
    assert.is_false(t:cancelled())
    t:cancel()
    t:cancel()
    assert.is_true(t:cancelled())
  end))

  it("test_callback_with_exception", with_loop(function(loop, briefly)
    local h <const> = loop:call_soon(error, "value", 0)
    briefly()
    local seen <const> = take_reports()[1]
    assert.equal(h, seen.handle)
    assert.equal("value", seen.exception)
  end))

  it("test_handle_repr, test_timer_repr", with_loop(function(loop)
    local h <const> = loop:call_soon(noop, 1, 2)
    assert.equal(("<Handle noop() at %s>"):format(here(noop)), tostring(h))
    h:cancel()
    assert.equal("<Handle cancelled>", tostring(h))
    local t <const> = loop:call_at(123, noop)
    assert.matches("^<TimerHandle when=123%.?0* noop%(%) at ", tostring(t))
    t:cancel()
    assert.matches("^<TimerHandle cancelled when=123%.?0*>$", tostring(t))
  end))

  it("test_get_event_loop, test_set_event_loop, test_get_event_loop_after_set_none", function()
    asyncio.set_event_loop(nil)
    local loop <const> = asyncio.get_event_loop()
    assert.equal(loop, asyncio.get_event_loop())
    local other <const> = asyncio.new_event_loop()
    assert.is_true(loop ~= other)
    asyncio.set_event_loop(other)
    assert.equal(other, asyncio.get_event_loop())
    refuses("bad argument #1", asyncio.set_event_loop, 0)
    asyncio.set_event_loop(nil)
    refuses("no running event loop", asyncio.get_running_loop)
    loop:close()
    other:close()
  end)

  it("test_get_event_loop_returns_running_loop", function()
    local loop <const>, other <const> = asyncio.new_event_loop(), asyncio.new_event_loop()
    asyncio.set_event_loop(other)
    loop:run_until_complete(function()
      assert.equal(loop, asyncio.get_event_loop())
      assert.equal(loop, asyncio.get_running_loop())
      asyncio.set_event_loop(nil)
      assert.equal(loop, asyncio.get_event_loop())
    end)
    refuses("no running event loop", asyncio.get_running_loop)
    loop:close()
    other:close()
  end)
end)
