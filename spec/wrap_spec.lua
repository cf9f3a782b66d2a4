-- SPDX-License-Identifier: MIT
-- asyncio.wrap: generators that wait. asyncio.patch: the coroutine library for libraries that make
-- coroutines inside. And what happens to such coroutines when they are resumed or closed by hand:
-- a refusal, or an error in their task, never more.

local asyncio <const> = require "asyncio"
local helper <const> = require "spec.helper"

local run <const> = asyncio.testing.run

-- Lua's own functions, whatever the tests do to the global table.
local create <const>, close <const> = coroutine.create, coroutine.close
local resume <const>, status <const> = coroutine.resume, coroutine.status

local function in_task(f)
  return function() return run(f) end
end

local function collect()
  for _ = 1, 2 do collectgarbage() end
end

local function forget(t)
  for k in pairs(t) do t[k] = nil end
end

local function guard(log, name)
  return setmetatable({}, { __close = function(_, err)
    log[#log + 1] = err and name .. ": " .. tostring(err) or name
  end })
end

local function join(t)
  return table.concat(t, " ")
end

describe("asyncio.wrap", function()
  it("hands out what is yielded, with waits in between", in_task(function()
    local clock = asyncio.get_running_loop()
    local seen = {}
    for i, at in asyncio.wrap(function()
      for i = 1, 3 do
        asyncio.sleep(i)
        coroutine.yield(i, clock:time())
      end
    end) do
      seen[#seen + 1] = i .. "@" .. at
      asyncio.sleep(10)
    end
    assert.equal("1@1.0 2@13.0 3@26.0", join(seen))
  end))

  it("waits for what fails, and goes on with the stack that it had", in_task(function()
    local future = asyncio.get_running_loop():create_future()
    local task = asyncio.create_task(function()
      local results = {}
      for ok, err in asyncio.wrap(function()
        coroutine.yield(asyncio.pcall(asyncio.shield, future))
      end) do
        results[#results + 1] = { ok, err }
      end
      return results
    end)
    asyncio.sleep(1)
    future:set_exception("no")
    assert.same({ { false, "no" } }, task:await())
  end))

  it("returns the iterator, nil, nil and a closer", in_task(function()
    local results = table.pack(asyncio.wrap(print))
    assert.equal(4, results.n)
    assert.is_function(results[1])
    assert.is_nil(results[2])
    assert.is_nil(results[3])
    assert.is_userdata(results[4])
    local closer_close = getmetatable(results[4]).__close
    assert.error_matches(function() closer_close({}) end, "bad argument #1")
  end))

  it("passes arguments in, and any number of values either way", in_task(function()
    local log = {}
    local step = asyncio.wrap(function(...)
      log[#log + 1] = select("#", ...)
      asyncio.sleep(1)
      log[#log + 1] = select("#", coroutine.yield(nil, nil, nil))
      return "the", "end"
    end)
    assert.equal(3, select("#", step(nil, nil)))
    assert.same({ "the", "end" }, { step(1, nil, 3, nil) })
    assert.same({ 2, 4 }, log)
    local all = table.pack(asyncio.wrap(function(...)
      asyncio.sleep(1)
      return ...
    end)(table.unpack({}, 1, 150)))
    assert.equal(150, all.n)
  end))

  it("raises what the function raises, after its __close handlers, which may wait",
    in_task(function()
      local log = {}
      local step = asyncio.wrap(function()
        local _ <close> = setmetatable({}, { __close = function(_, err)
          asyncio.sleep(1)
          log[#log + 1] = err.reason
        end })
        asyncio.sleep(1)
        error { reason = "broken" }
      end)
      local ok, err = pcall(step)
      assert.is_false(ok)
      assert.equal("broken", err.reason)
      assert.same({ "broken" }, log)
      assert.error_matches(step, "cannot resume dead coroutine")
    end))

  it("does not change an error: no position is put in front", in_task(function()
    local ok, err = pcall(asyncio.wrap(function() error("plain", 0) end))
    assert.is_false(ok)
    assert.equal("plain", err)
  end))

  it("is closed by break, and by an error in the loop's body", in_task(function()
    local log = {}
    local function numbers()
      return asyncio.wrap(function()
        local _ <close> = guard(log, "closed")
        for i = 1, 9 do
          asyncio.sleep(1)
          coroutine.yield(i)
        end
      end)
    end
    for i in numbers() do if i == 2 then break end end
    assert.same({ "closed" }, log)
    assert.is_false(pcall(function()
      for _ in numbers() do error("body") end
    end))
    assert.same({ "closed", "closed" }, log)
  end))

  it("raises out of break what a __close raises, and refuses a wait there", in_task(function()
    local function numbers(f)
      return asyncio.wrap(function()
        local _ <close> = setmetatable({}, { __close = f })
        coroutine.yield(1)
      end)
    end
    local function first(f)
      return pcall(function()
        for i in numbers(f) do if i then break end end
      end)
    end
    assert.same({ false, "in close" }, { first(function() error("in close", 0) end) })
    local ok, err = first(function() asyncio.sleep(1) end)
    assert.is_false(ok)
    assert.matches("cannot wait while a coroutine is closed", err)
    asyncio.sleep(1)
  end))

  it("is not run, nor is anything closed, when the loop never starts it", in_task(function()
    local log = {}
    do
      local _, _, _, _closer <close> = asyncio.wrap(function()
        local _ <close> = guard(log, "closed")
      end)
    end
    assert.same({}, log)
  end))

  it("nests: generators over generators", in_task(function()
    local function count(n)
      return asyncio.wrap(function()
        for i = 1, n do
          asyncio.sleep(0.1)
          coroutine.yield(i)
        end
      end)
    end
    local function pairs_of(n)
      return asyncio.wrap(function()
        for a in count(n) do
          for b in count(n) do coroutine.yield(a, b) end
        end
      end)
    end
    local seen = {}
    for a, b in pairs_of(3) do seen[#seen + 1] = a * 10 + b end
    assert.equal("11 12 13 21 22 23 31 32 33", join(seen))
  end))

  it("recurses", in_task(function()
    local function walk(tree)
      return asyncio.wrap(function()
        if not tree then return end
        for v in walk(tree.left) do coroutine.yield(v) end
        asyncio.sleep(1)
        coroutine.yield(tree.value)
        for v in walk(tree.right) do coroutine.yield(v) end
      end)
    end
    local function build(low, high)
      if low > high then return nil end
      local middle = (low + high) // 2
      return { value = middle, left = build(low, middle - 1), right = build(middle + 1, high) }
    end
    local seen = {}
    for v in walk(build(1, 31)) do seen[#seen + 1] = v end
    for i = 1, 31 do assert.equal(i, seen[i]) end
  end))

  it("as deep as Lua allows; beyond, an error that can be caught", in_task(function()
    local function deep(n)
      return asyncio.wrap(function()
        if n > 1 then
          for v in deep(n - 1) do coroutine.yield(v) end
        end
        asyncio.sleep(1)
        coroutine.yield(n)
      end)
    end
    local count = 0
    for _ in deep(40) do count = count + 1 end
    assert.equal(40, count)
    local ok, err = pcall(function() for _ in deep(400) do count = count + 1 end end)
    assert.is_false(ok)
    assert.matches("C stack overflow", err)
    assert.equal("goes on", asyncio.sleep(1, "goes on"))
  end))

  it("cannot be entered again from inside", in_task(function()
    local step
    step = asyncio.wrap(function() return step() end)
    assert.error_matches(step, "cannot resume non%-suspended coroutine")
    local outer
    outer = asyncio.wrap(function() return asyncio.wrap(function() return outer() end)() end)
    assert.error_matches(outer, "cannot resume non%-suspended coroutine")
  end))

  it("serves two tasks in turn, but not while one waits in it", in_task(function()
    local step = asyncio.wrap(function()
      for i = 1, 9 do
        asyncio.sleep(1)
        coroutine.yield(i)
      end
    end)
    local task = asyncio.create_task(step)
    asyncio.sleep(0.5)
    assert.error_matches(step, "cannot resume a coroutine in which a task waits")
    assert.equal(1, task:await())
    assert.equal(2, step())
    assert.equal(3, asyncio.create_task(step):await())
  end))

  it("is resumed in a callback as long as it does not wait", in_task(function()
    local step = asyncio.wrap(function()
      coroutine.yield("first")
      asyncio.sleep(1)
    end)
    local seen = {}
    local loop = asyncio.get_running_loop()
    loop:call_soon(function()
      seen[1] = step()
      seen[2] = select(2, pcall(step))
    end)
    asyncio.sleep(1)
    assert.equal("first", seen[1])
    assert.matches("cannot wait in a callback of the loop", seen[2])
  end))

  it("raises the CancelledError of its task inside, and the task's in turn", in_task(function()
    local log = {}
    local task = asyncio.create_task(function()
      local _ <close> = guard(log, "task")
      local step = asyncio.wrap(function()
        local _ <close> = guard(log, "generator")
        asyncio.sleep(9)
      end)
      step()
    end)
    asyncio.sleep(1)
    task:cancel("enough")
    local ok, err = pcall(task.await, task)
    assert.is_false(ok)
    assert.is_true(asyncio.is(err, asyncio.CancelledError))
    assert.is_true(task:cancelled())
    assert.same({ "generator: CancelledError: enough", "task: CancelledError: enough" }, log)
  end))

  it("may catch a cancellation, yield, and wait on", in_task(function()
    local task = asyncio.create_task(function()
      local step = asyncio.wrap(function()
        local _, err = pcall(asyncio.sleep, 9)
        coroutine.yield(tostring(err))
        coroutine.yield(asyncio.sleep(1, "more"))
      end)
      return step(), step()
    end)
    asyncio.sleep(1)
    task:cancel()
    assert.same({ "CancelledError", "more" }, { task:await() })
  end))

  it("shows the generator's stack and the task's in a traceback", in_task(function()
    local function inside_generator() asyncio.sleep(1) end
    local function in_the_task() asyncio.wrap(function() inside_generator() end)() end
    local task = asyncio.create_task(function() in_the_task() end)
    asyncio.sleep(0.5)
    local trace = task:traceback()
    assert.matches("in upvalue 'inside_generator'.*in upvalue 'in_the_task'", trace)
    task:await()
  end))

  it("keeps coroutine.running, isyieldable and status right", in_task(function()
    local task_thread, is_main = coroutine.running()
    assert.is_false(is_main)
    local inner
    local step = asyncio.wrap(function()
      inner = coroutine.running()
      assert.is_true(inner ~= task_thread)
      assert.is_true(coroutine.isyieldable())
      assert.equal("running", status(inner))
      assert.equal("normal", status(task_thread))
      asyncio.sleep(1)
      assert.equal(inner, coroutine.running())
      coroutine.yield()
    end)
    step()
    assert.equal("suspended", status(inner))
    assert.equal(task_thread, (coroutine.running()))
    step()
    assert.equal("dead", status(inner))
  end))

  it("is an async generator at top level, too", function()
    asyncio.set_event_loop(asyncio.new_event_loop { clock = "virtual" })
    local seen = {}
    for i in asyncio.wrap(function()
      for i = 1, 3 do coroutine.yield(asyncio.sleep(1, i)) end
    end) do seen[#seen + 1] = i end
    asyncio.get_event_loop():close()
    asyncio.set_event_loop(nil)
    assert.equal("1 2 3", join(seen))
  end)

  it("can be dropped in the middle: nothing of it is left", in_task(function()
    local seen = setmetatable({}, { __mode = "k" })
    for _ = 1, helper.scale(100, 2) do
      local step = asyncio.wrap(function()
        local object = {}
        seen[object] = true
        asyncio.sleep(1)
        coroutine.yield(object)
      end)
      step()
    end
    collect()
    assert.is_nil(next(seen))
  end))

  it("wants a function", function()
    assert.error_matches(function() asyncio.wrap(1) end, "bad argument #1 to '.*wrap'")
    assert.error_matches(function() asyncio.wrap() end, "bad argument #1 to '.*wrap'")
  end)
end)

describe("asyncio.patch", function()
  local undo
  before_each(function() undo = asyncio.patch() end)
  after_each(function() undo() end)

  it("lets waits through resume", in_task(function()
    local co = coroutine.create(function(a)
      local b = coroutine.yield(asyncio.sleep(1, a))
      return asyncio.sleep(1, b)
    end)
    assert.same({ true, "one" }, { coroutine.resume(co, "one") })
    assert.same({ true, "two" }, { coroutine.resume(co, "two") })
    assert.same({ false, "cannot resume dead coroutine" }, { coroutine.resume(co) })
    assert.equal("dead", coroutine.status(co))
  end))

  it("lets waits through wrap", in_task(function()
    local seen = {}
    for i in coroutine.wrap(function()
      for i = 1, 3 do coroutine.yield(asyncio.sleep(1, i)) end
    end) do seen[#seen + 1] = i end
    assert.equal("1 2 3", join(seen))
  end))

  it("errors: resume returns them, wrap raises them with the position, as Lua does",
    in_task(function()
      local function failing()
        asyncio.sleep(1)
        error("message", 0)
      end
      assert.same({ false, "message" }, { coroutine.resume(coroutine.create(failing)) })
      local ok, err = pcall(function() coroutine.wrap(failing)() end)
      assert.is_false(ok)
      assert.matches("wrap_spec.lua:%d+: message$", err)
      local object = {}
      local raising = coroutine.wrap(function()
        asyncio.sleep(1)
        error(object)
      end)
      assert.equal(object, select(2, pcall(raising)))
      assert.error_matches(raising, "cannot resume dead coroutine")
    end))

  it("wrap closes what failed", in_task(function()
    local log = {}
    pcall(coroutine.wrap(function()
      local _ <close> = guard(log, "closed")
      asyncio.sleep(1)
      error("e", 0)
    end))
    assert.same({ "closed: e" }, log)
  end))

  it("status: normal while a wait passes, suspended after a yield", in_task(function()
    local co, seen = nil, {}
    asyncio.get_running_loop():call_later(0.5, function()
      seen[#seen + 1] = coroutine.status(co)
    end)
    co = coroutine.create(function()
      seen[#seen + 1] = coroutine.status(co)
      asyncio.sleep(1)
      coroutine.yield()
    end)
    seen[#seen + 1] = coroutine.status(co)
    coroutine.resume(co)
    seen[#seen + 1] = coroutine.status(co)
    coroutine.resume(co)
    seen[#seen + 1] = coroutine.status(co)
    assert.equal("suspended running normal suspended dead", join(seen))
  end))

  it("running and isyieldable", in_task(function()
    local co
    co = coroutine.create(function()
      assert.equal(co, (coroutine.running()))
      assert.is_true(coroutine.isyieldable())
      asyncio.sleep(1)
      assert.equal(co, (coroutine.running()))
    end)
    assert.is_true(coroutine.resume(co))
    assert.is_true(coroutine.isyieldable())
  end))

  it("close: what is suspended, dead or fresh; not what waits or runs", in_task(function()
    local log = {}
    local co = coroutine.create(function()
      local _ <close> = guard(log, "closed")
      coroutine.yield()
    end)
    coroutine.resume(co)
    assert.is_true(coroutine.close(co))
    assert.same({ "closed" }, log)
    assert.is_true(coroutine.close(co))
    assert.is_true(coroutine.close(coroutine.create(print)))
    local failing = coroutine.create(function()
      local _ <close> = setmetatable({}, { __close = function() error("in close", 0) end })
      coroutine.yield()
    end)
    coroutine.resume(failing)
    assert.same({ false, "in close" }, { coroutine.close(failing) })
    local waiting = coroutine.create(function() asyncio.sleep(1) end)
    local task = asyncio.create_task(coroutine.resume, waiting)
    asyncio.sleep(0.5)
    assert.error_matches(function() coroutine.close(waiting) end, "cannot close a normal coroutine")
    assert.is_true(task:await())
    local running
    running = coroutine.create(function() return pcall(coroutine.close, running) end)
    local _, ok, err = coroutine.resume(running)
    assert.is_false(ok)
    assert.matches("cannot close a running coroutine", err)
  end))

  it("works without a task and without a loop as Lua's own", function()
    local co = coroutine.create(function(a) return coroutine.yield(a + 1) end)
    assert.same({ true, 2 }, { coroutine.resume(co, 1) })
    assert.same({ true, "x", "y" }, { coroutine.resume(co, "x", "y") })
    assert.error_matches(function() coroutine.resume(1) end, "coroutine expected")
    assert.error_matches(function() coroutine.status({}) end, "coroutine expected")
    assert.error_matches(function() coroutine.wrap(1) end, "function expected")
    assert.error_matches(function() coroutine.close() end, "coroutine expected")
  end)

  it("lets a library that makes coroutines inside wait", in_task(function()
    -- A client in the manner of redis-lua: its transactions and pipelines run the user's function
    -- in a coroutine, and each request inside yields to the driver, which talks to the server.
    local server = asyncio.Queue()
    local function request(line)
      local reply = asyncio.get_running_loop():create_future()
      server:put { line = line, reply = reply }
      return reply:await()
    end
    local client = {}
    function client.transaction(body)
      local queued, replies = {}, {}
      local co = coroutine.create(function()
        body(setmetatable({}, { __index = function(_, command)
          return function(_, ...)
            queued[#queued + 1] = command
            return coroutine.yield(command, ...)
          end
        end }))
        return "EXEC"
      end)
      local ok, command, argument = coroutine.resume(co)
      while ok and command ~= "EXEC" do
        replies[#replies + 1] = request(command .. " " .. argument)
        ok, command, argument = coroutine.resume(co, replies[#replies])
      end
      if not ok then error(command, 0) end
      return replies, queued
    end
    local serving = asyncio.create_task(function()
      while true do
        local item = server:get()
        asyncio.sleep(0.1)
        item.reply:set_result("+" .. item.line)
      end
    end)
    local replies, queued = client.transaction(function(t)
      assert.equal("+get a", t:get("a"))
      asyncio.sleep(1)
      for key in coroutine.wrap(function()
        asyncio.sleep(1)
        coroutine.yield("b")
      end) do t:set(key) end
    end)
    assert.equal("+get a +set b", join(replies))
    assert.equal("get set", join(queued))
    local ok, err = pcall(client.transaction, function()
      asyncio.sleep(1)
      error("in the body", 0)
    end)
    assert.is_false(ok)
    assert.equal("in the body", err)
    serving:cancel()
  end))

  it("is cancelled inside", in_task(function()
    local log = {}
    local task = asyncio.create_task(function()
      return coroutine.resume(coroutine.create(function()
        local _ <close> = guard(log, "not before it is closed")
        asyncio.sleep(9)
      end))
    end)
    asyncio.sleep(1)
    task:cancel()
    local ok, err = task:await()
    assert.is_false(ok)
    assert.is_true(asyncio.is(err, asyncio.CancelledError))
    assert.same({}, log)
  end))

  it("mixes with asyncio.wrap, either inside the other", in_task(function()
    local step = asyncio.wrap(function()
      local co = coroutine.wrap(function()
        local inner = asyncio.wrap(function() coroutine.yield(asyncio.sleep(1, "deep")) end)
        coroutine.yield(inner())
      end)
      coroutine.yield(co())
    end)
    assert.equal("deep", step())
  end))

  it("is undone", in_task(function()
    undo()
    assert.equal(resume, coroutine.resume)
    assert.equal(status, coroutine.status)
    assert.equal(close, coroutine.close)
    local ok, err = coroutine.resume(coroutine.create(function() asyncio.sleep(1) end))
    assert.is_false(ok)
    assert.matches("asyncio.patch", err)
    undo()
    assert.equal(resume, coroutine.resume)
  end))

  it("twice: undone in the reverse order", function()
    local patched = coroutine.resume
    local again = asyncio.patch()
    assert.is_true(patched ~= coroutine.resume)
    again()
    assert.equal(patched, coroutine.resume)
  end)

  it("does not give back what a sandbox has taken out", function()
    local globals = package.loaded._G
    local saved, all = globals.coroutine, {}
    globals.coroutine = { resume = saved.resume, status = saved.status }
    local mine = globals.coroutine
    local again = asyncio.patch()
    for name in pairs(mine) do all[#all + 1] = name end
    local patched = mine.resume
    again()
    globals.coroutine = saved
    table.sort(all)
    assert.same({ "resume", "status" }, all)
    assert.is_true(patched ~= saved.resume)
    assert.same({ resume = saved.resume, status = saved.status }, mine)
  end)

  it("is an error without a table to patch", function()
    local globals = package.loaded._G
    local saved = globals.coroutine
    globals.coroutine = nil
    local ok, err = pcall(asyncio.patch)
    globals.coroutine = saved
    assert.is_false(ok)
    assert.matches("no global table 'coroutine'", err)
  end)
end)

-- Runs `use(threads, task)` while a task waits in a generator in a generator: threads.task,
-- threads.outer and threads.inner. `use` may do to them what it likes. Afterwards the task is
-- woken; its outcome is returned.
local function meddle(use)
  local threads = {}
  local future = asyncio.get_running_loop():create_future()
  local task = asyncio.create_task(function()
    threads.task = coroutine.running()
    return asyncio.wrap(function()
      threads.outer = coroutine.running()
      return asyncio.wrap(function()
        threads.inner = coroutine.running()
        return future:await()
      end)()
    end)()
  end)
  asyncio.sleep(1)
  use(threads, task)
  collect()
  tostring(task)
  task:traceback()
  if not future:done() then future:set_result("woken") end
  local ok, result = pcall(asyncio.wait_for, task, 5)
  collect()
  return ok, result, threads
end

describe("by hand", function()
  for _, name in ipairs { "task", "outer", "inner" } do
    it("resume of the " .. name .. " thread while a task waits is refused", in_task(function()
      local ok, result = meddle(function(threads)
        for _ = 1, 3 do
          local resumed, value, message = resume(threads[name], 1, 2, 3)
          assert.is_true(resumed)
          assert.is_nil(value)
          assert.matches("cannot resume by hand", message)
          assert.equal("suspended", status(threads[name]))
          collect()
        end
      end)
      assert.is_true(ok)
      assert.equal("woken", result)
    end))

    it("patched resume and close of the " .. name .. " thread are refused", in_task(function()
      local undo = asyncio.patch()
      local ok, result = meddle(function(threads)
        local resumed, message, more = coroutine.resume(threads[name])
        assert.matches("cannot resume", resumed and more or message)
        if name ~= "task" then
          assert.is_false(resumed)
          assert.equal("normal", coroutine.status(threads[name]))
          assert.is_false(pcall(coroutine.close, threads[name]))
        end
      end)
      undo()
      assert.is_true(ok)
      assert.equal("woken", result)
    end))

    it("close of the " .. name .. " thread fails the task", in_task(function()
      local ok, err, threads = meddle(function(threads)
        assert.is_true(close(threads[name]))
        collect()
      end)
      assert.is_false(ok)
      assert.matches("closed by hand", err)
      for _, thread in pairs(threads) do
        resume(thread)
        if status(thread) ~= "normal" and status(thread) ~= "running" then close(thread) end
      end
    end))

    it("close of the " .. name .. " thread, lost and collected", in_task(function()
      local ok, err = meddle(function(threads)
        close(threads[name])
        threads.task, threads.outer, threads.inner = nil, nil, nil
      end)
      assert.is_false(ok)
      assert.matches("closed by hand", err)
    end))

    it("close of the " .. name .. " thread, then cancel", in_task(function()
      local ok, err = meddle(function(threads, task)
        close(threads[name])
        collect()
        task:cancel()
      end)
      assert.is_false(ok)
      assert.is_true(asyncio.is(err, asyncio.CancelledError) or
        tostring(err):find("closed by hand") ~= nil)
    end))
  end

  it("resume and close of all threads after the task is done", in_task(function()
    local ok, _, threads = meddle(function() end)
    assert.is_true(ok)
    for _, thread in pairs(threads) do
      assert.is_false((resume(thread)))
      assert.is_true(close(thread))
    end
    forget(threads)
    collect()
    assert.equal("goes on", asyncio.create_task(asyncio.sleep, 1, "goes on"):await())
  end))

  it("resume of the inner thread after its task was closed: an error there", in_task(function()
    local _, _, threads = meddle(function(threads) close(threads.outer) end)
    local ok, err = resume(threads.inner)
    assert.is_false(ok)
    assert.matches("the task that waited here has ended", err)
    assert.equal("dead", status(threads.inner))
  end))

  it("after the loop is closed, and collected", function()
    for _, order in ipairs { "task outer inner", "inner outer task", "outer inner task" } do
      for _, act in ipairs { resume, close } do
        local threads = {}
        do
          local loop = asyncio.new_event_loop { clock = "virtual" }
          loop:run_until_complete(function()
            asyncio.create_task(function()
              threads.task = coroutine.running()
              asyncio.wrap(function()
                threads.outer = coroutine.running()
                asyncio.wrap(function()
                  threads.inner = coroutine.running()
                  asyncio.sleep(9)
                end)()
              end)()
            end)
            asyncio.sleep(1)
          end)
          loop:close()
        end
        collect()
        for name in order:gmatch("%a+") do
          for _ = 1, 3 do pcall(act, threads[name]) end
          collect()
        end
        forget(threads)
        collect()
      end
    end
    assert.equal("fine", run(asyncio.sleep, 1, "fine"))
  end)

  it("a loop that is lost without close, then its threads", function()
    local threads = {}
    do
      local loop = asyncio.new_event_loop { clock = "virtual" }
      loop:run_until_complete(function()
        asyncio.create_task(function()
          asyncio.wrap(function()
            threads.inner = coroutine.running()
            asyncio.Lock():with(asyncio.sleep, 9)
          end)()
        end)
        asyncio.sleep(1)
      end)
    end
    collect()
    for _ = 1, 3 do resume(threads.inner) end
    collect()
    close(threads.inner)
    assert.equal("dead", status(threads.inner))
  end)

  it("a task that has not begun: resume ends it, close ends it", in_task(function()
    for _, act in ipairs { resume, close } do
      local ran = false
      local task = asyncio.create_task(function() ran = true end)
      act(task:get_coro())
      collect()
      tostring(task)
      task:traceback()
      local ok, err = pcall(task.await, task)
      assert.is_false(ok)
      assert.matches("by hand", err)
      assert.is_false(ran)
    end
  end))

  it("a task that has not begun: its thread is no awaitable", in_task(function()
    local task = asyncio.create_task(function() return "ran" end)
    local thread = task:get_coro()
    for _, f in ipairs { asyncio.create_task, asyncio.await, asyncio.ensure_future } do
      assert.error_matches(function() f(thread) end, "a coroutine that has not started expected")
    end
    assert.equal("ran", task:await())
  end))

  it("get_coro of a task that waits", in_task(function()
    local task = asyncio.create_task(asyncio.sleep, 1, "slept")
    asyncio.sleep(0)
    local thread = task:get_coro()
    assert.equal("suspended", status(thread))
    local _, _, message = resume(thread)
    assert.matches("cannot resume by hand", message)
    assert.equal("slept", task:await())
    assert.equal("dead", status(thread))
    assert.is_true(close(thread))
    assert.is_nil((task:get_coro()))
  end))

  it("a thread of the pool: resume, close, and the next task on it", in_task(function()
    local thread
    asyncio.create_task(function() thread = coroutine.running() end):await()
    assert.is_false((resume(thread)))
    assert.is_true(close(thread))
    local again
    local task = asyncio.create_task(function()
      again = coroutine.running()
      return asyncio.sleep(1, "reused")
    end)
    assert.equal("reused", task:await())
    assert.is_thread(again)
  end))

  it("a thread in a lock's queue, closed: the others still get the lock", in_task(function()
    local lock = asyncio.Lock()
    lock:acquire()
    local thread
    local first = asyncio.create_task(function()
      asyncio.wrap(function()
        thread = coroutine.running()
        lock:acquire()
      end)()
    end)
    local second = asyncio.create_task(function()
      lock:acquire()
      lock:release()
      return "second"
    end)
    asyncio.sleep(1)
    close(thread)
    first:cancel()
    asyncio.sleep(1)
    assert.is_true(first:done())
    collect()
    lock:release()
    assert.equal("second", asyncio.wait_for(second, 5))
    pcall(first.result, first)
  end))

  it("a foreign coroutine that resumes a waiting one, and is itself resumed", in_task(function()
    local ok, result = meddle(function(threads)
      local meddler = create(function()
        while true do coroutine.yield(resume(threads.inner)) end
      end)
      for _ = 1, 3 do
        local _, _, _, message = resume(meddler)
        assert.matches("cannot resume by hand", message)
      end
    end)
    assert.is_true(ok)
    assert.equal("woken", result)
  end))
end)
