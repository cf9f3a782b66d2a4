-- SPDX-License-Identifier: MIT
-- asyncio.run and Runner: results, errors, and the end: what is left is cancelled, cleans up, is
-- closed; what does not want to end is told so again, and at last abandoned. And what a script
-- shows that dies of an error in a task.

local asyncio <const> = require "asyncio"
local helper <const> = require "spec.helper"

local function virtual()
  return asyncio.new_event_loop { clock = "virtual" }
end

-- Runs f as asyncio.run does, on simulated time; reports gets the contexts of the exception
-- handler, which it returns after f's results.
local function run_reporting(f)
  local reports = {}
  local runner <close> = asyncio.Runner { loop_factory = function()
    local loop = virtual()
    loop:set_exception_handler(function(_, context) reports[#reports + 1] = context end)
    return loop
  end }
  local results = table.pack(runner:run(f))
  return reports, table.unpack(results, 1, results.n)
end

-- Runs a main task that starts `f` as a task, gives it one turn and ends; returns the reports.
local function shut_down(f)
  local task
  local reports = run_reporting(function()
    task = asyncio.create_task(f)
    asyncio.sleep(0)
    asyncio.sleep(0)
  end)
  return reports, task
end

describe("asyncio.run", function()
  it("returns all results", function()
    local results = table.pack(asyncio.run(function(...)
      asyncio.sleep(0)
      return ...
    end, 1, nil, 3, nil))
    assert.equal(4, results.n)
    assert.same({ 1, nil, 3 }, { results[1], results[2], results[3] })
    assert.equal(0, select("#", asyncio.run(function() end)))
  end)

  it("raises the error, the same value", function()
    local object = setmetatable({}, { __tostring = function() return "object" end })
    for _, err in ipairs { object, "text", 5, false } do
      local ok, caught = pcall(asyncio.run, function() error(err, 0) end)
      assert.is_false(ok)
      assert.equal(err, caught)
    end
    local ok, caught = pcall(asyncio.run, function() error(nil) end)
    assert.is_false(ok)
    assert.equal(helper.NIL_RAISED, caught)
  end)

  it("takes coroutine objects, threads and objects with __await, but no futures of others",
    function()
      assert.equal(5, asyncio.run(asyncio.async(function(x) return x end)(5)))
      assert.equal(6, asyncio.run(coroutine.create(function() return asyncio.sleep(0, 6) end)))
      local object = setmetatable({}, { __await = function(self) return self end })
      assert.equal(object, asyncio.run(object))
      local loop = asyncio.new_event_loop()
      local future = loop:create_future()
      assert.error_matches(function() asyncio.run(future) end, "different event loop")
      loop:close()
      assert.error_matches(function() asyncio.run() end, "awaitable.*expected, got no value")
      assert.error_matches(function() asyncio.run(5) end, "awaitable.*expected, got number")
      assert.error_matches(function() asyncio.run(asyncio.async(print)(), 1) end,
        "only a function takes arguments")
    end)

  it("runs on a loop of its own, closes it, and leaves no current one", function()
    local loop
    local before = asyncio.get_event_loop()
    asyncio.run(function()
      loop = asyncio.get_running_loop()
      assert.is_true(loop ~= before)
      assert.is_true(loop:is_running())
    end)
    assert.is_true(loop:is_closed())
    local after = asyncio.get_event_loop()
    assert.is_true(after ~= before and after ~= loop)
    after:close()
    before:close()
    asyncio.set_event_loop(nil)
  end)

  it("closes the loop also after an error, and after a wrong argument", function()
    local loop
    pcall(asyncio.run, function()
      loop = asyncio.get_running_loop()
      error "x"
    end)
    assert.is_true(loop:is_closed())
    assert.error_matches(asyncio.get_running_loop, "no running event loop")
  end)

  it("works inside a coroutine of the user's", function()
    local co = coroutine.create(function()
      coroutine.yield(asyncio.run(asyncio.sleep, 0, 1))
      return asyncio.run(asyncio.sleep, 0, 2)
    end)
    assert.same({ true, 1 }, { coroutine.resume(co) })
    assert.same({ true, 2 }, { coroutine.resume(co) })
  end)

  it("raises CancelledError when the main task was cancelled", function()
    local ok, err = pcall(asyncio.run, function()
      asyncio.current_task():cancel "enough"
      asyncio.sleep(1)
    end)
    assert.is_false(ok)
    assert.equal("CancelledError: enough", tostring(err))
  end)

  it("raises an error when somebody stops the loop; cleanup runs", function()
    local cleaned
    local ok, err = pcall(asyncio.run, function()
      local _ <close> = setmetatable({}, { __close = function()
        asyncio.sleep(0)
        cleaned = true
      end })
      asyncio.get_running_loop():stop()
      asyncio.sleep(9)
    end)
    assert.is_false(ok)
    assert.matches("stopped before the main task was done", err)
    assert.is_true(cleaned)
  end)

  it("raises a KeyboardInterrupt that a task raises, at once", function()
    local log = {}
    local ok, err = pcall(asyncio.testing.run, function()
      asyncio.create_task(function() error(asyncio.KeyboardInterrupt()) end)
      local _ <close> = setmetatable({}, { __close = function() log[#log + 1] = "cleaned" end })
      asyncio.sleep(1000)
      log[#log + 1] = "not reached"
    end)
    assert.is_false(ok)
    assert.is_true(asyncio.is(err, asyncio.KeyboardInterrupt))
    assert.same({ "cleaned" }, log)
  end)
end)

describe("the end of a run", function()
  it("cancels what is left, in the order of creation, and lets it clean up with waits", function()
    local log = {}
    local tasks = {}
    local reports = run_reporting(function()
      local loop = asyncio.get_running_loop()
      for i = 1, 3 do
        tasks[i] = asyncio.create_task(function()
          local ok, err = pcall(asyncio.sleep, 1000)
          log[#log + 1] = i .. " " .. tostring(ok) .. " " .. tostring(err)
          local _ <close> = setmetatable({}, { __close = function()
            asyncio.sleep(4 - i)
            log[#log + 1] = i .. " clean at " .. loop:time()
          end })
          error(err, 0)
        end)
      end
      asyncio.sleep(1)
    end)
    assert.same({ "1 false CancelledError", "2 false CancelledError", "3 false CancelledError",
      "3 clean at 2.0", "2 clean at 3.0", "1 clean at 4.0" }, log)
    assert.same({}, reports)
    for _, task in ipairs(tasks) do assert.is_true(task:cancelled()) end
  end)

  it("does not start tasks that had not begun", function()
    local began = false
    local task
    run_reporting(function()
      asyncio.current_task():add_done_callback(function()
        task = asyncio.create_task(function() began = true end)
      end)
    end)
    assert.is_false(began)
    assert.is_true(task:cancelled())
  end)

  it("comes after an error of the main task, too, and does not hide it", function()
    local cleaned = false
    local ok, err = pcall(asyncio.testing.run, function()
      asyncio.create_task(function()
        local _ <close> = setmetatable({}, { __close = function()
          asyncio.sleep(5)
          cleaned = true
        end })
        asyncio.sleep(1000)
      end)
      asyncio.sleep(1)
      error("main", 0)
    end)
    assert.is_false(ok)
    assert.equal("main", err)
    assert.is_true(cleaned)
  end)

  it("reports what tasks raise then", function()
    local reports, task = shut_down(function()
      pcall(asyncio.sleep, 1000)
      error("during the end", 0)
    end)
    assert.equal(1, #reports)
    assert.equal("during the end", reports[1].exception)
    assert.equal(task, reports[1].task)
    assert.matches("runner_spec", reports[1].traceback)
  end)

  it("accepts that a task ends with a result instead", function()
    local reports, task = shut_down(function()
      pcall(asyncio.sleep, 1000)
      return "result"
    end)
    assert.same({}, reports)
    assert.equal("result", task:result())
  end)

  it("closes tasks that were started then", function()
    local late, closed
    local reports, task = shut_down(function()
      local _ <close> = setmetatable({}, { __close = function()
        late = asyncio.create_task(function()
          local _ <close> = setmetatable({}, { __close = function() closed = true end })
          asyncio.sleep(1000)
        end)
        asyncio.sleep(1)
      end })
      asyncio.sleep(1000)
    end)
    assert.same({}, reports)
    assert.is_true(task:cancelled())
    assert.is_true(late:cancelled())
    assert.is_true(closed)
  end)

  it("leaves waits of a __close alone while the CancelledError is on its way", function()
    local seen = {}
    local function guard(name, seconds)
      return setmetatable({}, { __close = function()
        local ok = pcall(asyncio.sleep, seconds)
        seen[#seen + 1] = name .. tostring(ok)
      end })
    end
    local reports, task = shut_down(function()
      local _ <close> = guard("outer", 50)
      local _ <close> = guard("inner", 50)
      asyncio.wrap(function()
        local _ <close> = guard("generator", 50)
        local function nested()
          local _ <close> = guard("function", 50)
          asyncio.sleep(1000)
        end
        local ok, err = pcall(nested)
        if not ok then error(err, 0) end
      end)()
    end)
    assert.same({}, reports)
    assert.is_true(task:cancelled())
    assert.same({ "functiontrue", "generatortrue", "innertrue", "outertrue" }, seen)
  end)

  it("cancels again what swallowed it and waits: each time, a turn later", function()
    local caught = 0
    local reports, task = shut_down(function()
      for _ = 1, 5 do
        local ok, err = pcall(asyncio.sleep, 1000)
        assert(not ok and asyncio.is(err, asyncio.CancelledError))
        caught = caught + 1
      end
      return "gave in"
    end)
    assert.equal(5, caught)
    assert.same({}, reports)
    assert.equal("gave in", task:result())
  end)

  -- Loops that swallow every cancellation. Each is told 101 times, reported and closed.
  local stubborn = {
    ["sleep"] = function() pcall(asyncio.sleep, 1) end,
    ["sleep(0)"] = function() pcall(asyncio.sleep, 0) end,
    ["a bare yield"] = function() pcall(function() coroutine.yield() end) end,
    ["xpcall"] = function() xpcall(asyncio.sleep, function() end, 1) end,
    ["a queue"] = function() pcall(asyncio.Queue().get, asyncio.Queue()) end,
    ["a lock"] = function()
      local lock = asyncio.Lock()
      lock:acquire()
      pcall(lock.acquire, lock)
    end,
    ["another task"] = function()
      pcall(asyncio.await, asyncio.create_task(asyncio.sleep, 1000))
    end,
    ["a generator"] = function()
      local step = asyncio.wrap(function()
        while true do pcall(asyncio.sleep, 1) end
      end)
      step()
    end,
    ["shield"] = function() pcall(asyncio.shield, function() asyncio.sleep(1000) end) end,
    ["timeouts"] = function() pcall(asyncio.timeout, 5, asyncio.sleep, 1000) end,
    ["wait_for"] = function() pcall(asyncio.wait_for, function() asyncio.sleep(9) end, 5) end,
  }
  for name, step in pairs(stubborn) do
    it("is not kept by a loop of pcall around " .. name, function()
      local closed
      local reports, task = shut_down(function()
        local _ <close> = setmetatable({}, { __close = function() closed = true end })
        while true do step() end
      end)
      assert.is_true(task:cancelled())
      assert.is_true(closed)
      local abandoned = 0
      for _, report in ipairs(reports) do
        if report.task == task then
          abandoned = abandoned + 1
          assert.matches("swallowed its cancellation 100 times", report.message)
          assert.matches("runner_spec.lua:%d+.*last cancellation was raised here.*runner_spec",
            report.traceback)
        end
      end
      assert.equal(1, abandoned)
    end)
  end

  it("is not kept by many such tasks", function()
    local n = helper.scale(100, 3)
    local reports = run_reporting(function()
      for _ = 1, n do
        asyncio.create_task(function() while true do pcall(asyncio.sleep, 1) end end)
      end
      asyncio.sleep(10)
    end)
    assert.equal(n, #reports)
  end)

  it("comes again for a task that has got its 100 deliveries and ends itself", function()
    local count = 0
    local reports, task = shut_down(function()
      for _ = 1, 101 do
        if not pcall(asyncio.sleep, 1000) then count = count + 1 end
      end
    end)
    assert.equal(101, count)
    assert.same({}, reports)
    assert.is_true(task:done())
    assert.is_false(task:cancelled())
  end)

  it("survives a report whose handler fails, cancels and starts tasks", function()
    local result = helper.run_script [[
      local asyncio = require "asyncio"
      asyncio.run(function()
        asyncio.get_running_loop():set_exception_handler(function(loop, context)
          for _, task in ipairs(asyncio.all_tasks(loop)) do task:cancel() end
          loop:create_task(asyncio.sleep, 1000)
          collectgarbage()
          error "handler"
        end)
        for _ = 1, 3 do
          asyncio.create_task(function() while true do pcall(asyncio.sleep, 1) end end)
        end
        asyncio.sleep(0)
      end)
      print "over"
    ]]
    assert.equal("over\n", result.out)
    assert.equal(0, result.status)
    local _, n = result.err:gsub("swallowed its cancellation", "")
    assert.equal(3, n)
  end)
end)

describe("Runner", function()
  it("keeps the context from run to run, also after an error", function()
    local var <const> = asyncio.ContextVar("var", "default")
    local outer <const> = var:set("outer")
    local runner <close> = asyncio.Runner { loop_factory = virtual }
    local token
    assert.has_error(function()
      runner:run(function()
        assert.equal("outer", var:get())
        asyncio.sleep(1)
        token = var:set("first")
        asyncio.create_task(function() var:set("child's own") end):await()
        error("the end", 0)
      end)
    end, "the end")
    assert.equal("outer", var:get())
    var:reset(outer)
    assert.equal("first", runner:run(function()
      asyncio.await(function() var:set("second") end)
      runner:get_loop():call_soon(function() var:set("callback's own") end)
      asyncio.sleep(1)
      return token and "first"
    end))
    runner:run(function()
      assert.equal("second", var:get())
      var:reset(token) -- it is still the same context
      assert.equal("outer", var:get())
    end)
    assert.equal("outer", runner:run(asyncio.async(function() return var:get() end)()))
    assert.equal("default", var:get())
    local other <close> = asyncio.Runner { loop_factory = virtual }
    assert.equal("default", other:run(function() return var:get() end))
  end)

  it("runs several functions on one loop; tasks live on between", function()
    local ticks = 0
    local runner <close> = asyncio.Runner { loop_factory = virtual }
    local loop = runner:get_loop()
    local ticker = runner:run(function()
      assert.equal(loop, asyncio.get_running_loop())
      return asyncio.create_task(function()
        while true do
          asyncio.sleep(1)
          ticks = ticks + 1
        end
      end)
    end)
    runner:run(asyncio.sleep, 3.5)
    assert.equal(3, ticks)
    assert.equal(7.5, runner:run(function()
      asyncio.sleep(4)
      return loop:time()
    end))
    assert.equal(7, ticks)
    runner:close()
    assert.is_true(ticker:cancelled())
    assert.is_true(loop:is_closed())
  end)

  it("passes arguments and results, and raises errors", function()
    local runner <close> = asyncio.Runner { loop_factory = virtual }
    assert.same({ 1, 2 }, { runner:run(function(...) return ... end, 1, 2) })
    assert.error_matches(function() runner:run(error, "x") end, "x")
    assert.equal("after an error", runner:run(asyncio.sleep, 1, "after an error"))
  end)

  it("makes its loop at the first use", function()
    local made = 0
    local runner = asyncio.Runner { loop_factory = function()
      made = made + 1
      return virtual()
    end }
    assert.equal(0, made)
    local loop = runner:get_loop()
    assert.equal(loop, runner:get_loop())
    runner:run(asyncio.sleep, 1)
    assert.equal(1, made)
    runner:close()
    assert.is_true(loop:is_closed())
  end)

  it("sets debug", function()
    for _, on in ipairs { true, false } do
      local runner <close> = asyncio.Runner { debug = on }
      assert.equal(on, runner:get_loop():get_debug())
    end
  end)

  it("is closed by <close>, with and without use; closing again does nothing", function()
    local unused
    do
      local runner <close> = asyncio.Runner()
      unused = runner
    end
    unused:close()
    for _, f in ipairs { unused.run, unused.get_loop } do
      assert.error_matches(function() f(unused, print) end, "the Runner is closed")
    end
    do
      local runner <close> = asyncio.Runner()
      runner:run(asyncio.sleep, 0)
      runner:close()
    end
  end)

  it("cannot be used or closed while a loop runs", function()
    local runner = asyncio.Runner { loop_factory = virtual }
    runner:run(function()
      assert.error_matches(function() runner:run(print) end, "from a running event loop")
      assert.error_matches(function() runner:close() end, "while an event loop is running")
      local other = asyncio.Runner()
      assert.error_matches(function() other:run(print) end, "from a running event loop")
      other:close()
    end)
    runner:close()
  end)

  it("copes with a loop that was closed by somebody else", function()
    local runner = asyncio.Runner { loop_factory = virtual }
    runner:get_loop():close()
    assert.error_matches(function() runner:run(asyncio.sleep, 1) end, "closed")
    runner:close()
  end)

  it("refuses wrong options and factories", function()
    assert.error_matches(function() asyncio.Runner(5) end, "table expected, got number")
    assert.error_matches(function() asyncio.Runner { speed = 1 } end, "unknown option 'speed'")
    assert.error_matches(function() asyncio.Runner { loop_factory = 5 } end,
      "loop_factory must be a function")
    local runner = asyncio.Runner { loop_factory = function() return 5 end }
    assert.error_matches(function() runner:get_loop() end, "must return a Loop, not number")
    runner = asyncio.Runner { loop_factory = function() error("no loop", 0) end }
    assert.error_matches(function() runner:run(print) end, "no loop")
    runner:close()
  end)

  it("that is lost is collected with its loop and its tasks", function()
    local seen = setmetatable({}, { __mode = "k" })
    do
      local runner = asyncio.Runner { loop_factory = virtual }
      runner:run(function()
        local object = {}
        seen[object] = true
        asyncio.create_task(function()
          asyncio.sleep(1000)
          return object
        end)
      end)
      asyncio.set_event_loop(nil)
    end
    for _ = 1, 3 do collectgarbage() end
    assert.is_nil(next(seen))
  end)
end)

describe("a script that dies of an error in a task", function()
  local function dies(source, expected)
    local result = helper.run_script(source)
    assert.equal(1, result.status)
    for _, text in ipairs(expected) do
      assert(result.err:find(text, 1, true), ("no %q in:\n%s"):format(text, result.err))
    end
    return result.err
  end

  local nested = [[
    local asyncio = require "asyncio"
    local function innermost() asyncio.sleep(0) error("gone wrong") end
    local function middle() innermost() return 1 end
    local function main() middle() return 1 end
  ]]

  it("shows that task's own stack: run", function()
    local err = dies(nested .. "asyncio.run(main)", { "gone wrong", "'innermost'", "'middle'" })
    local _, n = err:gsub("upvalue 'innermost'", "")
    assert.equal(1, n)
  end)

  it("run_until_complete, Runner, a wait at top level", function()
    dies(nested .. "asyncio.get_event_loop():run_until_complete(main)", { "'innermost'" })
    dies(nested .. "asyncio.Runner():run(main)", { "'innermost'" })
    dies(nested .. "asyncio.await(main)", { "'innermost'" })
    dies(nested .. "asyncio.testing.run(main)", { "'innermost'" })
  end)

  it("shows the stack of the task that it awaited", function()
    dies(nested .. [[
      local function outer() asyncio.create_task(main):await() return 1 end
      asyncio.run(function() outer() end)
    ]], { "gone wrong", "'innermost'", "'outer'", "raised in a task that it awaited" })
    dies(nested .. [[
      local function outer() asyncio.gather(main, main) return 1 end
      asyncio.run(function() outer() end)
    ]], { "gone wrong", "'outer'" })
  end)

  it("shows error objects by their __tostring", function()
    dies([[
      local asyncio = require "asyncio"
      asyncio.run(function() asyncio.wait_for(function() asyncio.sleep(5) end, 0.01) end)
    ]], { "TimeoutError" })
  end)

  it("also from a chunk of require and dofile", function()
    local path = helper.temporary_file(nested .. "asyncio.run(main)")
    dies(("dofile(%q)"):format(path), { "gone wrong", "'innermost'" })
    dies(("package.preload.app = loadfile(%q); require 'app'"):format(path),
      { "gone wrong", "'innermost'" })
    os.remove(path)
  end)

  it("prints nothing when the error is caught", function()
    for _, catch in ipairs {
      "assert(not pcall(asyncio.run, main))",
      "assert(not xpcall(asyncio.run, debug.traceback, main))",
      "assert(not pcall(function() asyncio.run(main) end))",
      "assert(not pcall(function() asyncio.get_event_loop():run_until_complete(main) end))",
      "assert(not pcall(asyncio.await, main))",
      "assert(not coroutine.resume(coroutine.create(function() asyncio.run(main) end)))",
      "assert(asyncio.run(function() return not pcall(main) end))",
      [[assert(asyncio.run(function()
          local t = asyncio.create_task(main)
          return not pcall(t.await, t)
        end))]],
    } do
      local result = helper.run_script(nested .. catch)
      assert.equal("", result.err)
      assert.equal(0, result.status)
    end
  end)

  it("reports, and does not die of, the error of a task that nobody awaits", function()
    local result = helper.run_script(nested .. [[
      asyncio.run(function()
        asyncio.create_task(main)
        asyncio.sleep(0.001)
      end)
      print "alive"
    ]])
    assert.equal(0, result.status)
    assert.equal("alive\n", result.out)
    local _, n = result.err:gsub("task error was never retrieved", "")
    assert.equal(1, n)
    assert.matches("error: [^\n]*gone wrong", result.err)
    assert.matches("'innermost'", result.err)
  end)
end)
