-- SPDX-License-Identifier: MIT
-- Long chains, deep nesting and large numbers: no stack overflows where a program could not expect
-- one, elsewhere it is an error and not a crash, and the memory comes back. Sizes follow SCALE.

local asyncio <const> = require "asyncio"
local helper <const> = require "spec.helper"
local virtual <const> = require "spec.virtual"

local inside <const>, future <const>, turns <const> =
  virtual.inside, virtual.future, virtual.turns
local raises <const>, refuses <const> = virtual.raises, virtual.refuses
local create_task <const>, sleep <const> = asyncio.create_task, asyncio.sleep
local scale <const> = helper.scale

local function kilobytes()
  collectgarbage()
  collectgarbage()
  return collectgarbage("count")
end

-- No more memory is in use than `limit` KB above `before`.
local function assert_given_back(before, limit)
  local now <const> = kilobytes()
  assert(now < before + limit, ("%.0f KB, then %.0f KB"):format(before, now))
end

local TASKS <const> = scale(10000, 20)

-- A chain of n tasks, each awaiting the one before it; the first one runs f. Returns the list.
local function chain(n, f)
  local tasks <const> = { create_task(f) }
  for i = 2, n do
    tasks[i] = create_task(function() return (tasks[i - 1]:await()) end)
  end
  return tasks
end

describe("a chain of 10,000 tasks, each awaiting the next", function()
  it("passes a result on", inside(function()
    local tasks <const> = chain(TASKS, function() return sleep(1, "result") end)
    assert.equal("result", tasks[TASKS]:await())
  end))

  it("passes an error on, the same value, with a traceback that does not grow", inside(function()
    local err <const> = {}
    local function fail()
      sleep(1)
      error(err)
    end
    local tasks <const> = chain(TASKS, fail)
    local ok, got = pcall(asyncio.await, tasks[TASKS])
    assert.is_false(ok)
    assert.is_true(rawequal(err, got))
    local text <const> = tasks[TASKS]:traceback()
    local place <const> = debug.getinfo(fail, "S")
    assert.matches(("%s:%d: in "):format(place.short_src, place.linedefined + 2), text, 1, true)
    assert.is_true(#text < 5000, #text)
  end))

  it("passes a cancellation down and up", inside(function(loop)
    local tasks <const> = chain(TASKS, function() sleep(1) end)
    turns(2)
    assert.is_true(tasks[TASKS]:cancel("all"))
    local err <const> = raises(asyncio.CancelledError, tasks[TASKS].await, tasks[TASKS])
    assert.equal("all", err.message)
    for i = 1, TASKS do assert.is_true(tasks[i]:cancelled()) end
    assert.equal(0, loop:time())
  end))

  it("made the other way round works as well", inside(function()
    local function descend(n)
      if n == 0 then return sleep(1, "bottom") end
      return (create_task(descend, n - 1):await())
    end
    assert.equal("bottom", descend(TASKS))
  end))

  it("may be closed with its loop, and reported as a deadlock", function()
    local loop <const> = virtual.loop()
    local tasks
    local err <const> = raises(asyncio.DeadlockError, loop.run_until_complete, loop, function()
      tasks = chain(TASKS, function() future():await() end)
      tasks[TASKS]:await()
    end)
    assert.is_true(#err.message < 20000)
    assert.equal(TASKS + 1, #err.tasks)
    loop:close()
    for i = 1, TASKS do assert.is_true(tasks[i]:cancelled()) end
  end)

  it("is cancelled by the end of a Runner", function()
    local tasks
    asyncio.testing.run(function()
      tasks = chain(TASKS, function() sleep(1) end)
      turns(2)
    end)
    for i = 1, TASKS do assert.is_true(tasks[i]:cancelled()) end
  end)
end)

describe("gather of 100,000 tasks", function()
  local N <const> = scale(100000, 30)

  local function many(f)
    local list <const> = {}
    for i = 1, N do list[i] = create_task(f, i) end
    return list
  end

  it("collects the results in order", inside(function()
    local results <const> = asyncio.gather(many(function(i)
      sleep(i % 7)
      return i
    end))
    assert.equal(N, results.n)
    for i = 1, N do assert(results[i] == i) end
  end))

  it("raises the first error, and collects the others", inside(function()
    local list <const> = many(function(i)
      if i % 2 == 0 then error(i, 0) end
      return i
    end)
    refuses("2", asyncio.gather, list)
    local results <const> = asyncio.gather(list, { return_exceptions = true })
    for i = 1, N do assert(results[i] == i) end
  end))

  it("cancels them all", inside(function()
    local list
    local t <const> = create_task(function()
      list = many(function() sleep(1) end)
      asyncio.gather(list)
    end)
    turns(2)
    t:cancel("all")
    raises(asyncio.CancelledError, t.await, t)
    for i = 1, N do assert(list[i]:cancelled()) end
  end))

  it("of functions, waited for and as they are completed", inside(function()
    local n <const> = scale(20000, 30)
    local list <const> = {}
    for i = 1, n do list[i] = function() return sleep(i % 5, i) end end
    assert.equal(n, #asyncio.wait(list))
    local sum = 0
    for t in asyncio.as_completed(list) do sum = sum + t:await() end
    assert.equal(n * (n + 1) // 2, sum)
  end))
end)

describe("done callbacks", function()
  local N <const> = scale(100000, 30)

  it("in a chain of 100,000 take no stack", inside(function()
    local last = future()
    local first <const> = last
    for _ = 1, N do
      local f <const> = future()
      last:add_done_callback(function(done) f:set_result(done:result() + 1) end)
      last = f
    end
    first:set_result(0)
    assert.equal(N, last:await())
  end))

  it("100,000 on one future run in order", inside(function()
    local f <const> = future()
    local count = 0
    for i = 1, N do
      f:add_done_callback(function()
        assert(count == i - 1)
        count = i
      end)
    end
    assert.equal(N > 2 and 1 or 0, select(2, tostring(f):gsub("more>", "")))
    f:set_result()
    turns()
    assert.equal(N, count)
  end))

  it("100,000 of the same are removed at once", inside(function()
    local f <const> = future()
    for _ = 1, N do f:add_done_callback(print) end
    assert.equal(N, f:remove_done_callback(print))
    assert.equal("<Future pending>", tostring(f))
  end))
end)

describe("one future with 10,000 waiters", function()
  it("wakes them in order", inside(function()
    local f <const> = future()
    local list <const> = {}
    local last = 0
    for i = 1, TASKS do
      list[i] = create_task(function()
        f:await()
        assert(last == i - 1)
        last = i
      end)
    end
    turns()
    f:set_result()
    asyncio.gather(list)
    assert.equal(TASKS, last)
  end))
end)

describe("a million tasks in one program", function()
  local N <const>, BATCH <const> = scale(1000000, 100), scale(10000, 10)

  it("one batch after the other take the memory of one batch", inside(function()
    -- lua itself runs in generational mode, which lets batches of this size pile up for a while
    local mode <const> = collectgarbage("incremental")
    local _ <close> = setmetatable({}, { __close = function() collectgarbage(mode) end })
    local count, most = 0, 0
    local function work(i)
      if i % 10 == 0 then sleep(0) end
      count = count + 1
    end
    local before, batch
    for round = 1, N // BATCH do
      local list <const> = {}
      for i = 1, BATCH do list[i] = create_task(work, i) end
      if round == 2 then batch = kilobytes() end
      asyncio.wait(list)
      if round == 2 then before = kilobytes() end
      if round % 10 == 2 then most = math.max(most, collectgarbage("count")) end
    end
    assert.equal(N // BATCH * BATCH, count)
    -- what grows once, the pool of threads and some tables, has grown by round 2
    assert_given_back(before, 200)
    assert.is_true(most < 4 * batch, most)
  end))

  it("100,000 at a time, asleep, give their memory back", inside(function()
    local n <const> = scale(100000, 30)
    local before <const> = kilobytes()
    do
      local list <const> = {}
      for i = 1, n do list[i] = create_task(sleep, i % 100) end
      turns()
      local each <const> = (kilobytes() - before) * 1024 / n
      assert.is_true(each < 2500, each)
      asyncio.wait(list)
    end
    -- what stays: 256 threads, and the loop's tables of so many places
    assert_given_back(before, 1500 + n * 0.1)
  end))

  it("all is gone with the loop", function()
    local before <const> = kilobytes()
    virtual.run(function()
      local list <const> = {}
      for i = 1, scale(20000, 30) do list[i] = create_task(sleep, 1) end
      asyncio.wait(list)
    end)
    assert_given_back(before, 100)
  end)

  it("dropped while they wait, is gone with the loop as well", function()
    local before <const> = kilobytes()
    virtual.run(function()
      for _ = 1, scale(20000, 30) do create_task(sleep, 1) end
      turns()
    end)
    assert_given_back(before, 100)
  end)
end)

describe("nesting (research/peers.md, appendix B, 18)", function()
  local DEPTH <const> = scale(1000, 20)

  it("200 creates, awaits and gathers in each other", inside(function()
    local n <const> = scale(200, 20)
    local function creates(i) return i == 0 and 0 or 1 + create_task(creates, i - 1):await() end
    local function gathers(i)
      return i == 0 and 0 or 1 + asyncio.gather(function() return gathers(i - 1) end)[1]
    end
    local function mixed(i)
      if i == 0 then return sleep(1, 0) end
      if i % 3 == 0 then return 1 + create_task(mixed, i - 1):await() end
      if i % 3 == 1 then return 1 + asyncio.gather(create_task(mixed, i - 1))[1] end
      return 1 + asyncio.shield(create_task(mixed, i - 1))
    end
    assert.equal(n, creates(n))
    assert.equal(n, gathers(n))
    assert.equal(n, mixed(n))
  end))

  local function nested_gathers(n, tasks)
    tasks[#tasks + 1] = asyncio.current_task()
    if n == 0 then return sleep(1, 0) end
    return 1 + asyncio.gather(function() return nested_gathers(n - 1, tasks) end)[1]
  end

  it("gathers a thousand deep", inside(function()
    assert.equal(DEPTH, nested_gathers(DEPTH, {}))
  end))

  it("gathers, cancelled: all of them are, however deep", inside(function()
    for _, depth in ipairs { DEPTH, scale(5000, 30) } do
      local tasks <const> = {}
      local t <const> = create_task(nested_gathers, depth, tasks)
      while #tasks < depth + 1 do turns() end
      turns(2)
      t:cancel()
      raises(asyncio.CancelledError, t.await, t)
      assert.is_true(t:cancelled())
      for _, task in ipairs(tasks) do task:cancel() end -- beyond 2000 levels a gather lets go
      turns(5)
      asyncio.wait(tasks)
      for _, task in ipairs(tasks) do assert.is_true(task:cancelled()) end
    end
  end))

  it("TaskGroups in each other", inside(function()
    local function groups(n)
      if n == 0 then return sleep(1, 0) end
      local result
      asyncio.TaskGroup(function(tg)
        local t <const> = tg:create_task(groups, n - 1)
        result = 1 + t:await()
      end)
      return result
    end
    assert.equal(DEPTH, groups(DEPTH))
    local t <const> = create_task(groups, DEPTH)
    sleep(0.5)
    t:cancel()
    raises(asyncio.CancelledError, t.await, t)
  end))

  it("eager tasks in each other: too deep is an error", inside(function(loop)
    loop:set_task_factory(asyncio.eager_task_factory)
    local function eager(n)
      if n == 0 then return sleep(1, 0) end
      return 1 + create_task(eager, n - 1):await()
    end
    local n <const> = scale(40, 10)
    assert.equal(n, eager(n))
    refuses("stack overflow", eager, 100000)
    loop:set_task_factory(nil)
    assert.equal(5, eager(5))
  end))

  it("generators in each other: too deep is an error", inside(function()
    local function generator(n)
      return asyncio.wrap(function()
        if n == 0 then
          coroutine.yield(sleep(1, 0))
        else
          for i in generator(n - 1) do coroutine.yield(i + 1) end
        end
      end)
    end
    local n <const> = scale(50, 10)
    assert.equal(n, (generator(n)()))
    refuses("stack overflow", function() return (generator(100000)()) end)
    assert.equal(5, (generator(5)()))
  end))

  it("timeouts in each other", inside(function(loop)
    local function within(n)
      if n == 0 then return sleep(1000) end
      return asyncio.timeout(n, within, n - 1)
    end
    raises(asyncio.TimeoutError, within, scale(50, 10))
    assert.equal(1, loop:time())
  end))

  it("__close handlers in each other", inside(function(loop)
    local function closing(n)
      local _ <close> = setmetatable({}, { __close = function()
        sleep(1)
        if n > 1 then closing(n - 1) end
      end })
    end
    local n <const> = scale(50, 10)
    closing(n)
    assert.equal(n, loop:time())
  end))

  it("locks taken one after the other", inside(function(loop)
    local lock <const> = asyncio.Lock()
    local list <const> = {}
    local last = 0
    for i = 1, TASKS do
      list[i] = create_task(function()
        local _ <close> = lock:acquire()
        if i % 100 == 0 then sleep(1) end
        assert(last == i - 1)
        last = i
      end)
    end
    asyncio.gather(list)
    assert.equal(TASKS // 100, loop:time())
  end))
end)
