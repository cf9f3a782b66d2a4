-- SPDX-License-Identifier: MIT
-- What CPython's test_runners.py asks.

local asyncio <const> = require "asyncio"
local base <const> = require "spec.cpython.base"
local virtual <const> = require "spec.virtual"

local refuses <const>, raises <const> = virtual.refuses, virtual.raises
local sleep <const> = asyncio.sleep

local function with_runner(options, f)
  local runner <close> = asyncio.Runner(options)
  f(runner)
end

local function interrupt_self()
  io.popen("kill -INT $PPID"):close() -- os.execute would have the signal ignored meanwhile
end

describe("CPython's test_runners", function()
  it("test_asyncio_run_return, test_asyncio_run_raises", function()
    assert.equal(42, asyncio.run(function()
      sleep(0)
      return 42
    end))
    refuses("spam", asyncio.run, function()
      sleep(0)
      error("spam")
    end)
  end)

  it("test_asyncio_run_only_coro, test_run_non_coro, test_run_future", function()
    refuses("bad argument #1", asyncio.run, 1)
    with_runner({}, function(runner)
      refuses("got number", runner.run, runner, 123)
      assert.is_false(pcall(runner.run, runner, nil))
    end)
  end)

  it("test_asyncio_run_debug, test_debug, test_non_debug", function()
    for _, debug in ipairs { true, false } do
      with_runner({ debug = debug }, function(runner)
        assert.equal(debug, runner:get_loop():get_debug())
        assert.equal(debug, runner:run(function() return asyncio.get_event_loop():get_debug() end))
      end)
    end
    assert.is_false(asyncio.run(function() return asyncio.get_event_loop():get_debug() end))
  end)

  it("test_asyncio_run_from_running_loop, test_recursive_run", function()
    asyncio.run(function()
      refuses("running event loop", asyncio.run, function() end)
    end)
    with_runner({}, function(runner)
      runner:run(function()
        refuses("running event loop", runner.run, runner, function() end)
      end)
    end)
  end)

  it("test_asyncio_run_cancels_hanging_tasks", function()
    local left
    assert.equal(123, asyncio.run(function()
      left = asyncio.create_task(sleep, 0.1)
      return 123
    end))
    assert.is_true(left:done())
  end)

  it("test_asyncio_run_reports_hanging_tasks_errors", function()
    local left, seen
    assert.equal(123, asyncio.run(function()
      asyncio.get_running_loop():set_exception_handler(function(_, context) seen = context end)
      left = asyncio.create_task(function()
        local _, err = pcall(sleep, 10)
        error(asyncio.is(err, asyncio.CancelledError) and "zero" or err, 0)
      end)
      sleep(0)
      return 123
    end))
    assert.is_true(left:done())
    assert.equal(left, seen.task)
    assert.equal("zero", seen.exception)
    assert.equal("unhandled exception during asyncio.run() shutdown", seen.message)
  end)

  it("test_asyncio_run_closes_gens_after_hanging_tasks_errors", function()
    local closed, lazyboy = false, nil
    refuses("FancyExit", asyncio.run, function()
      asyncio.get_running_loop():set_exception_handler(function() end)
      lazyboy = asyncio.create_task(function()
        local ok = pcall(function()
          for _ in asyncio.wrap(function()
            local _ <close> = setmetatable({}, { __close = function() closed = true end })
            while true do
              coroutine.yield(1)
              sleep(1)
            end
          end) do end
        end)
        error(ok and "?" or "zero", 0)
      end)
      sleep(0)
      error("FancyExit", 0)
    end)
    assert.is_true(lazyboy:done())
    assert.is_true(closed)
  end)

  it("test_asyncio_run_loop_factory, test_custom_factory", function()
    local made <const> = {}
    local function factory()
      made[#made + 1] = asyncio.new_event_loop()
      return made[#made]
    end
    with_runner({ loop_factory = factory }, function(runner)
      runner:run(function() assert.equal(made[1], asyncio.get_running_loop()) end)
      assert.equal(made[1], runner:get_loop())
    end)
    assert.equal(1, #made)
    assert.is_true(made[1]:is_closed())
  end)

  it("test_run, test_explicit_close, test_double_close, test_second_with_block_raises", function()
    local runner <const> = asyncio.Runner()
    assert.equal("done", runner:run(function()
      sleep(0)
      return "done"
    end))
    local loop <const> = runner:get_loop()
    runner:close()
    refuses("Runner is closed", runner.get_loop, runner)
    refuses("Runner is closed", runner.run, runner, function() end)
    assert.is_true(loop:is_closed())
    runner:close()
    assert.is_true(loop:is_closed())
  end)

  it("test_run_keeps_context", function()
    local cvar <const> = asyncio.ContextVar("cvar", -1)
    local function f(value)
      local old <const> = cvar:get()
      sleep(0)
      cvar:set(value)
      return old
    end
    with_runner({}, function(runner)
      assert.equal(-1, runner:run(f, 1))
      assert.equal(1, runner:run(f, 2))
      assert.equal(2, runner:run(function() return cvar:get() end))
    end)
    assert.equal(-1, cvar:get())
  end)

  it("test_interrupt_call_soon", function()
    with_runner({}, function(runner)
      runner:get_loop():call_later(0.02, interrupt_self)
      raises(asyncio.KeyboardInterrupt, runner.run, runner, function()
        base.cancelled(function()
          while true do sleep(0) end
        end)
        error(asyncio.CancelledError(), 0)
      end)
    end)
  end)

  it("test_interrupt_wait", function()
    with_runner({}, function(runner)
      local f <const> = runner:get_loop():create_future()
      runner:get_loop():call_later(0.02, interrupt_self)
      raises(asyncio.KeyboardInterrupt, runner.run, runner, function()
        base.cancelled(f.await, f)
        error(asyncio.CancelledError(), 0)
      end)
      assert.is_true(f:cancelled())
    end)
  end)

  it("test_interrupt_cancelled_task", function()
    with_runner({}, function(runner)
      base.cancelled(runner.run, runner, function()
        local task <const> = asyncio.current_task()
        asyncio.create_task(function()
          sleep(0)
          task:cancel()
          interrupt_self()
        end)
        sleep(10)
      end)
    end)
  end)

  it("test_no_repr_is_call_on_the_task_result", function()
    local count = 0
    local meta <const> = { __tostring = function()
      count = count + 1
      return "result"
    end }
    with_runner({}, function(runner)
      runner:run(function() return setmetatable({}, meta) end)
    end)
    assert.equal(0, count)
  end)

  it("test_set_event_loop_called_once: one loop for all runs", function()
    with_runner({}, function(runner)
      local first <const> = runner:run(asyncio.get_running_loop)
      assert.equal(first, runner:run(asyncio.get_running_loop))
      assert.equal(first, runner:run(asyncio.get_event_loop))
    end)
  end)
end)
