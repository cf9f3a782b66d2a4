-- SPDX-License-Identifier: MIT
-- A program that waits for what can never come is told so: who waits, for what, at which line.

local asyncio <const> = require "asyncio"
local helper <const> = require "spec.helper"

-- The line on which this is called.
local function here()
  return debug.getinfo(2, "l").currentline
end

local function deadlock(f, ...)
  local ok, err = pcall(f, ...)
  assert.is_false(ok)
  if not asyncio.is(err, asyncio.DeadlockError) then
    error("DeadlockError expected, got " .. tostring(err), 2)
  end
  return err
end

local function forever()
  asyncio.get_running_loop():create_future():await()
end

-- Runs with a virtual and with a real clock: both must see it.
local function on_both_clocks(f)
  return function()
    f(asyncio.testing.run)
    f(asyncio.run)
  end
end

describe("a deadlock", function()
  it("is raised in the main task, at its wait, and can be caught there", on_both_clocks(
    function(run)
      local result = run(function()
        local err = deadlock(forever)
        return err.name
      end)
      assert.equal("DeadlockError", result)
    end))

  it("comes out of run, run_until_complete and a wait at top level", on_both_clocks(
    function(run)
      deadlock(run, forever)
      local loop = asyncio.new_event_loop()
      asyncio.set_event_loop(loop)
      deadlock(loop.run_until_complete, loop, forever)
      local future = loop:create_future()
      deadlock(future.await, future)
      assert.is_false(future:done())
      assert.equal("usable", asyncio.sleep(0, "usable"))
      asyncio.set_event_loop(nil)
      loop:close()
    end))

  it("comes out of run_until_complete for a plain future, which no task awaits", function()
    local loop = asyncio.new_event_loop()
    local future = loop:create_future()
    local task = loop:create_task(forever)
    local err = deadlock(loop.run_until_complete, loop, future)
    assert.same({ task }, err.tasks)
    future:set_result(5)
    assert.equal(5, loop:run_until_complete(future))
    loop:close()
  end)

  it("says who waits for what, and where", function()
    local lines = {}
    local err = deadlock(asyncio.testing.run, function()
      asyncio.current_task():set_name "main"
      local lock, event, queue = asyncio.Lock(), asyncio.Event(), asyncio.Queue()
      lock:acquire()
      local function wait_for_lock()
        lines.locker = here() + 1
        lock:acquire()
      end
      local function wait_for_event()
        lines.eventful = here() + 1
        event:wait()
      end
      local locker = asyncio.create_task(wait_for_lock):set_name "locker"
      asyncio.create_task(wait_for_event):set_name "eventful"
      asyncio.create_task(function()
        lines.queuer = here() + 1
        asyncio.wrap(function() queue:get() end)()
      end):set_name "queuer"
      asyncio.create_task(event.wait, event):set_name "plain"
      asyncio.create_task(function()
        lines.awaiter = here() + 1
        locker:await()
      end):set_name "awaiter"
      lines.main = here() + 1
      asyncio.sleep(1, locker):await()
    end)
    local text = tostring(err)
    assert.matches("^DeadlockError: deadlock: nothing can wake the main task any more\n", text)
    local function says(name, what)
      local pattern = ("\n  %s waits for %s[^\n]* at [^\n]*deadlock_spec.lua:%d"):format(
        name, what, lines[name])
      assert(text:find(pattern), pattern .. "\nnot in\n" .. text)
    end
    says("locker", "lock")
    says("eventful", "event")
    says("queuer", "item of a queue")
    says("awaiter", "locker")
    says("main", "locker")
    assert.matches("\n  plain waits for event [^\n]* in ", text)
    assert.equal(6, #err.tasks)
    for _, task in ipairs(err.tasks) do assert.is_true(asyncio.isfuture(task)) end
    assert.equal("main", err.tasks[1]:get_name())
  end)

  it("has the line of the script where it waited at top level", function()
    local result = helper.run_script("local asyncio = require 'asyncio'\n\n" ..
      "asyncio.get_event_loop():create_future():await()\n")
    assert.equal(1, result.status)
    assert.matches("Task%-1 waits for future [^\n]* at [^\n]*:3\n", result.err)
  end)

  it("stops the program; nothing hangs", function()
    local result = helper.run_script([[
      local asyncio = require "asyncio"
      asyncio.run(function()
        local a, b = asyncio.Lock(), asyncio.Lock()
        local function both(first, second)
          local _ <close> = first:acquire()
          asyncio.sleep(0.001)
          local _ <close> = second:acquire()
        end
        asyncio.gather(function() both(a, b) end, function() both(b, a) end)
      end)
    ]], { seconds = 10 })
    assert.equal(1, result.status)
    assert.matches("DeadlockError", result.err)
    assert.matches("Task%-2 waits for lock.*Task%-3 waits for lock", result.err)
  end)

  it("is raised again at the next wait that can never end", on_both_clocks(function(run)
    local n = run(function()
      local count = 0
      for _ = 1, 5 do
        deadlock(forever)
        count = count + 1
        asyncio.sleep(0.001)
      end
      return count
    end)
    assert.equal(5, n)
  end))

  it("is raised inside a generator and inside a __close", on_both_clocks(function(run)
    run(function()
      local step = asyncio.wrap(function()
        deadlock(forever)
        coroutine.yield("caught inside")
      end)
      assert.equal("caught inside", step())
      local caught
      do
        local _ <close> = setmetatable({}, { __close = function() caught = deadlock(forever) end })
      end
      assert.is_table(caught)
    end)
  end))

  it("leaves what was waited for usable", on_both_clocks(function(run)
    run(function()
      local lock, queue, event = asyncio.Lock(), asyncio.Queue(), asyncio.Event()
      lock:acquire()
      deadlock(lock.acquire, lock)
      assert.is_true(lock:locked())
      lock:release()
      assert.is_false(lock:locked())
      lock:acquire()
      deadlock(queue.get, queue)
      queue:put_nowait("item")
      assert.equal("item", queue:get())
      deadlock(event.wait, event)
      event:set()
      assert.is_true(event:wait())
      local task = asyncio.create_task(forever)
      deadlock(task.await, task)
      assert.is_false(task:done())
      deadlock(asyncio.gather, task)
      deadlock(asyncio.wait, { task })
      deadlock(asyncio.shield, task)
      task:cancel()
      asyncio.sleep(0)
      assert.is_true(task:cancelled())
    end)
  end))

  it("cancels the other tasks at the end of run, as ever", function()
    local cleaned = false
    local err = deadlock(asyncio.testing.run, function()
      asyncio.create_task(function()
        local _ <close> = setmetatable({}, { __close = function()
          asyncio.sleep(5)
          cleaned = true
        end })
        forever()
      end)
      forever()
    end)
    assert.equal(2, #err.tasks)
    assert.is_true(cleaned)
  end)

  it("of a task that every waker has lost is found, not leaked", function()
    local err = deadlock(asyncio.testing.run, function()
      local tasks = {}
      for i = 1, helper.scale(100, 2) do tasks[i] = asyncio.create_task(forever) end
      asyncio.gather(tasks)
    end)
    assert.equal(helper.scale(100, 2) + 1, #err.tasks)
  end)
end)

describe("no deadlock is seen", function()
  it("while a timer runs", on_both_clocks(function(run)
    assert.equal("x", run(function()
      local loop = asyncio.get_running_loop()
      local future = loop:create_future()
      loop:call_later(0.01, future.set_result, future, "x")
      return future:await()
    end))
  end))

  it("while a task sleeps that will wake the main task", on_both_clocks(function(run)
    assert.equal("x", run(function()
      local queue = asyncio.Queue()
      asyncio.create_task(function()
        asyncio.sleep(0.01)
        queue:put("x")
      end)
      return queue:get()
    end))
  end))

  it("while a connection is awaited", function()
    asyncio.run(function()
      local seen = asyncio.Event()
      local server = asyncio.start_server(function(_, writer)
        seen:set()
        writer:close()
      end, "127.0.0.1", 0)
      local _, port = server:sockets()[1]:getsockname()
      asyncio.create_task(function()
        asyncio.sleep(0.01)
        local _, writer = asyncio.open_connection("127.0.0.1", port)
        writer:close()
      end)
      seen:wait()
      server:close()
    end)
  end)

  it("while data may still come", function()
    asyncio.run(function()
      local server = asyncio.start_server(function(reader, writer)
        asyncio.sleep(0.01)
        writer:write(reader:readline())
        writer:close()
      end, "127.0.0.1", 0)
      local _, port = server:sockets()[1]:getsockname()
      local reader, writer = asyncio.open_connection("127.0.0.1", port)
      server:close()
      writer:write("line\n")
      assert.equal("line\n", reader:readline())
      writer:close()
    end)
  end)

  it("when a finalizer wakes somebody", on_both_clocks(function(run)
    assert.equal("by __gc", run(function()
      local future = asyncio.get_running_loop():create_future()
      do
        local _ = setmetatable({}, { __gc = function() future:set_result("by __gc") end })
      end
      return future:await()
    end))
  end))

  it("by run_forever", function()
    local loop = asyncio.new_event_loop { clock = "virtual" }
    loop:create_task(function() loop:create_future():await() end)
    loop:call_later(1000, loop.stop, loop)
    loop:run_forever()
    loop:close()
  end)
end)
