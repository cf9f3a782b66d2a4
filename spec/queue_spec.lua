-- SPDX-License-Identifier: MIT
-- Queue, LifoQueue, PriorityQueue. Cases of asyncio's tests and of relatives' bugs are named after
-- them.

local asyncio <const> = require "asyncio"
local helper <const> = require "spec.helper"

local function run(fn, ...)
  local loop <const> = asyncio.new_event_loop { clock = "virtual" }
  local results <const> = table.pack(pcall(loop.run_until_complete, loop, fn, ...))
  loop:close()
  if not results[1] then error(results[2], 0) end
  return table.unpack(results, 2, results.n)
end

local function it_runs(name, fn)
  it(name, function() run(fn) end)
end

local spawn <const> = asyncio.create_task

local function turn(n)
  for _ = 1, n or 1 do asyncio.sleep(0) end
end

-- The call raises an error object of the class.
local function assert_raises(class, f, ...)
  local ok, err = pcall(f, ...)
  assert.is_false(ok)
  assert.is_true(asyncio.is(err, asyncio[class]), tostring(err))
  return err
end

local function state_of(queue)
  local kind, state = tostring(queue):match("^<asyncio%.(%a+) 0x%x+ %[(.-)%]>$")
  return kind and kind .. ": " .. state
end

local KINDS <const> = { "Queue", "LifoQueue", "PriorityQueue" }

local function fill(queue, ...)
  for _, item in ipairs { ... } do queue:put(item) end
  return queue
end

local function drain(queue)
  local items <const> = {}
  while not queue:empty() do items[#items + 1] = queue:get_nowait() end
  return items
end

describe("Queue", function()
  it_runs("is shown with what it has", function()
    local queue <const> = asyncio.Queue()
    assert.equal("Queue: maxsize:0", state_of(queue))
    local getter <const> = spawn(queue.get, queue)
    turn()
    assert.equal("Queue: maxsize:0, getters:1", state_of(queue))
    queue:put_nowait(0)
    assert.equal("Queue: maxsize:0, items:1, tasks:1", state_of(queue))
    assert.equal(0, getter:await())
    local full <const> = fill(asyncio.Queue(1), "a")
    local putter <const> = spawn(full.put, full, "b")
    turn()
    assert.equal("Queue: maxsize:1, items:1, putters:1, tasks:1", state_of(full))
    full:shutdown()
    assert.equal("Queue: maxsize:1, items:1, tasks:1, shutdown", state_of(full))
    assert_raises("QueueShutDown", putter.await, putter)
    assert.equal("LifoQueue: maxsize:0", state_of(asyncio.LifoQueue()))
    assert.equal("PriorityQueue: maxsize:-1", state_of(asyncio.PriorityQueue(-1)))
  end)

  it_runs("tells its size (test_empty, test_full, test_maxsize)", function()
    for _, kind in ipairs(KINDS) do
      local queue <const> = asyncio[kind](2)
      assert.equal(2, queue:maxsize())
      assert.is_true(queue:empty())
      assert.is_false(queue:full())
      assert.equal(0, select("#", queue:put(1)))
      assert.equal(1, queue:qsize())
      assert.is_false(queue:empty())
      assert.equal(0, select("#", queue:put_nowait(2)))
      assert.is_true(queue:full())
      queue:get()
      queue:get()
      assert.equal(0, queue:qsize())
      assert.is_false(asyncio[kind]():full())
      assert.equal(0, asyncio[kind](nil):maxsize())
      local free <const> = fill(asyncio[kind](-1), 1, 2, 3)
      assert.is_false(free:full())
    end
  end)

  it_runs("keeps the order", function()
    assert.same({ 1, 3, 2 }, drain(fill(asyncio.Queue(), 1, 3, 2)))
    assert.same({ 2, 3, 1 }, drain(fill(asyncio.LifoQueue(), 1, 3, 2)))
    assert.same({ 1, 2, 3 }, drain(fill(asyncio.PriorityQueue(), 1, 3, 2)))
  end)

  it_runs("keeps it however it grows and shrinks", function()
    for _, kind in ipairs(KINDS) do
      local queue <const>, model <const>, seed = asyncio[kind](), {}, 7
      for i = 1, helper.scale(20000, 300) do
        seed = (1103515245 * seed + 12345) & 0x7fffffff
        local grows <const> = (i // 700) % 2 == 0 and 5 or 3
        if seed >> 16 & 7 < grows then
          queue:put_nowait(seed)
          model[#model + 1] = seed
          if kind == "PriorityQueue" then table.sort(model) end
        elseif #model > 0 then
          local expected <const> = table.remove(model, kind == "LifoQueue" and #model or 1)
          assert.equal(expected, queue:get_nowait())
        else
          assert_raises("QueueEmpty", queue.get_nowait, queue)
        end
        assert.equal(#model, queue:qsize())
        if #model > 300 and kind == "PriorityQueue" then
          assert.same(model, drain(queue)) -- sorting the model is slow
          while #model > 0 do model[#model] = nil end
        end
      end
    end
  end)

  it_runs("holds nil, false and any other value, the same one", function()
    local values <const> = table.pack(nil, false, {}, print, 1.5, nil, "x", nil)
    for _, kind in ipairs { "Queue", "LifoQueue" } do
      local queue <const> = asyncio[kind]()
      for i = 1, values.n do queue:put(values[i]) end
      assert.equal(values.n, queue:qsize())
      for i = 1, values.n do
        assert.equal(values[kind == "Queue" and i or values.n + 1 - i], queue:get())
      end
      assert.is_true(queue:empty())
    end
    assert.error_matches(function() asyncio.Queue():put() end, "value expected")
    assert.error_matches(function() asyncio.Queue():put_nowait() end, "value expected")
  end)

  it_runs("lets go of what was taken", function()
    for _, kind in ipairs(KINDS) do
      local queue <const> = asyncio[kind](0, kind == "PriorityQueue" and function() return false end
        or nil)
      local seen <const> = setmetatable({}, { __mode = "k" })
      for _ = 1, 20 do
        local item <const> = {}
        seen[item] = true
        queue:put(item)
      end
      for _ = 1, 19 do queue:get() end
      collectgarbage()
      local n = 0
      for _ in pairs(seen) do n = n + 1 end
      assert.equal(1, n)
      queue:shutdown(true)
      collectgarbage()
      assert.is_nil(next(seen))
    end
  end)

  it_runs("gives memory back when it is empty", function()
    local queue <const>, n <const> = asyncio.Queue(), 100000
    collectgarbage()
    local before <const> = collectgarbage("count")
    for i = 1, n do queue:put_nowait(i) end
    for i = 1, n do assert(queue:get_nowait() == i) end
    collectgarbage()
    assert.is_true(collectgarbage("count") - before < 100)
    queue:put_nowait("again")
    assert.equal("again", queue:get_nowait())
  end)
end)

describe("get", function()
  it_runs("waits for an item (test_blocking_get_wait)", function()
    local queue <const>, finished = asyncio.Queue(), false
    local task <const> = spawn(function()
      local item <const> = queue:get()
      finished = true
      return item
    end)
    turn()
    assert.is_false(finished)
    asyncio.get_running_loop():call_later(0.01, queue.put_nowait, queue, 1)
    assert.equal(1, task:await())
  end)

  it_runs("does not wait when there is one", function()
    for _, kind in ipairs(KINDS) do
      local queue <const>, ran = fill(asyncio[kind](), 1), false
      asyncio.get_running_loop():call_soon(function() ran = true end)
      assert.equal(1, queue:get())
      queue:put(2)
      assert.is_false(ran)
    end
  end)

  it_runs("takes what is there at once, or raises (test_nonblocking_get)", function()
    for _, kind in ipairs(KINDS) do
      local queue <const> = asyncio[kind]()
      assert.equal("QueueEmpty: the queue is empty",
        tostring(assert_raises("QueueEmpty", queue.get_nowait, queue)))
      queue:put_nowait(1)
      assert.equal(1, queue:get_nowait())
    end
  end)

  it_runs("serves getters in their order, items in theirs", function()
    local queue <const>, got <const> = asyncio.Queue(), {}
    for i = 1, 3 do spawn(function() got[i] = queue:get() end) end
    turn()
    for _, item in ipairs { "a", "b", "c" } do queue:put_nowait(item) end
    turn()
    assert.same({ "a", "b", "c" }, got)
  end)

  it_runs("lets a newcomer take the item of a getter that has not run yet, who waits on", function()
    local queue <const> = asyncio.Queue()
    local task <const> = spawn(queue.get, queue)
    turn()
    queue:put_nowait("a")
    assert.equal("a", queue:get()) -- as in asyncio: a woken getter owns nothing yet
    turn(3)
    assert.is_false(task:done())
    queue:put_nowait("b")
    assert.equal("b", task:await())
  end)

  it_runs("lets putters in (test_get_with_waiting_putters)", function()
    local queue <const> = asyncio.Queue(1)
    spawn(queue.put, queue, "a")
    spawn(queue.put, queue, "b")
    assert.equal("a", queue:get())
    assert.equal("b", queue:get())
  end)

  it_runs("goes on with a producer (test_why_are_getters_waiting)", function()
    for _, kind in ipairs(KINDS) do
      local queue <const>, got <const> = asyncio[kind](1), {}
      asyncio.gather(function()
        for i = 1, 5 do queue:put(i) end
      end, function()
        for i = 1, 5 do got[i] = queue:get() end
      end)
      assert.same({ 1, 2, 3, 4, 5 }, got)
    end
  end)

  it_runs("forgets a getter that is cancelled (test_get_cancelled_race)", function()
    local queue <const> = asyncio.Queue()
    local first <const>, second <const> = spawn(queue.get, queue), spawn(queue.get, queue)
    turn()
    first:cancel("why")
    turn()
    assert.equal("why", assert_raises("CancelledError", first.await, first).message)
    assert.equal("Queue: maxsize:0, getters:1", state_of(queue))
    queue:put("a")
    turn()
    assert.equal("a", second:result())
    assert_raises("TimeoutError", asyncio.wait_for, function() queue:get() end, 0.1)
    assert.equal("Queue: maxsize:0, tasks:1", state_of(queue))
  end)

  it_runs("B1: loses no item (test_get_cancel_drop_one_pending_reader)", function()
    local queue <const> = asyncio.Queue()
    local reader <const> = spawn(queue.get, queue)
    turn()
    queue:put_nowait(1)
    queue:put_nowait(2)
    reader:cancel()
    assert_raises("CancelledError", reader.await, reader)
    assert.equal(1, queue:get())
    assert.equal(2, queue:get())
  end)

  it_runs("B1: hands its wake-up on (test_get_cancel_drop_many_pending_readers)", function()
    for _, kind in ipairs(KINDS) do
      local queue <const>, readers <const> = asyncio[kind](), {}
      for i = 1, 3 do readers[i] = spawn(queue.get, queue) end
      turn()
      queue:put_nowait(1)
      queue:put_nowait(2)
      readers[1]:cancel()
      assert_raises("CancelledError", readers[1].await, readers[1])
      assert.equal(3, readers[2]:await() + readers[3]:await())
      assert.is_true(queue:empty())
    end
  end)

  it_runs("B1: the item is there although its getter is cancelled in the same turn", function()
    local queue <const> = asyncio.Queue()
    local first <const>, second <const> = spawn(queue.get, queue), spawn(queue.get, queue)
    turn()
    queue:put_nowait("only")
    first:cancel()
    turn()
    assert.is_true(first:cancelled())
    assert.is_false(second:done())
    turn()
    assert.equal("only", second:result())
  end)

  it_runs("B3: a wait that times out at once leaves no trace", function()
    local queue <const> = asyncio.Queue()
    for _ = 1, 10 do
      assert_raises("TimeoutError", asyncio.wait_for, function() queue:get() end, 0)
    end
    assert.equal("Queue: maxsize:0", state_of(queue))
  end)
end)

describe("put", function()
  it_runs("waits for room (test_blocking_put_wait)", function()
    for _, kind in ipairs(KINDS) do
      local queue <const>, finished = asyncio[kind](1), false
      local task <const> = spawn(function()
        queue:put(1)
        queue:put(2)
        finished = true
      end)
      turn()
      assert.is_false(finished)
      asyncio.get_running_loop():call_later(0.01, queue.get_nowait, queue)
      task:await()
      assert.is_true(finished)
      assert.equal(2, queue:get())
    end
  end)

  it_runs("raises where it must not wait (test_nonblocking_put_exception)", function()
    for _, kind in ipairs(KINDS) do
      local queue <const> = fill(asyncio[kind](1), 1)
      assert.equal("QueueFull: the queue is full",
        tostring(assert_raises("QueueFull", queue.put_nowait, queue, 2)))
      assert.equal(1, queue:qsize())
    end
  end)

  it_runs("keeps the order of putters (test_put_cancelled_race)", function()
    local queue <const> = asyncio.Queue(1)
    local a <const>, b <const>, c <const> =
      spawn(queue.put, queue, "a"), spawn(queue.put, queue, "b"), spawn(queue.put, queue, "X")
    turn()
    assert.is_true(a:done())
    assert.is_false(b:done())
    c:cancel()
    turn()
    assert.is_true(c:cancelled())
    assert.equal("a", queue:get_nowait())
    turn()
    assert.equal("b", queue:get_nowait())
    b:await()
    assert.equal("Queue: maxsize:1, tasks:2", state_of(queue))
  end)

  it_runs("goes on when several items are taken at once (test_why_are_putters_waiting)", function()
    local queue <const>, got <const> = asyncio.Queue(2), {}
    asyncio.gather(function()
      turn()
      for _ = 1, queue:qsize() do got[#got + 1] = queue:get_nowait() end
    end, function() queue:put(0) end, function() queue:put(1) end,
      function() queue:put(2) end, function() queue:put(3) end)
    assert.same({ 0, 1 }, got)
    assert.same({ 2, 3 }, drain(queue))
  end)

  it_runs("does not put when it is cancelled (test_put_cancel_drop)", function()
    local queue <const> = fill(asyncio.Queue(1), 1)
    local writer <const> = spawn(queue.put, queue, 2)
    turn()
    assert.equal(1, queue:get_nowait())
    writer:cancel() -- woken already
    assert_raises("CancelledError", writer.await, writer)
    assert.is_true(queue:empty())
    queue:put(2)
    assert.equal(2, queue:get_nowait())
  end)

  it_runs("B1: hands the room on to the next putter", function()
    for _, kind in ipairs(KINDS) do
      local queue <const> = fill(asyncio[kind](1), 1)
      local first <const>, second <const> = spawn(queue.put, queue, 2), spawn(queue.put, queue, 3)
      turn()
      queue:get_nowait()
      first:cancel()
      turn()
      assert.is_true(first:cancelled())
      assert.is_false(second:done())
      turn()
      assert.is_true(second:done())
      assert.equal(3, queue:get_nowait())
    end
  end)
end)

describe("PriorityQueue", function()
  local function by_key(a, b) return a.key < b.key end

  it_runs("orders by a comparison of one's own", function()
    local queue <const> = asyncio.PriorityQueue(0, by_key)
    for _, key in ipairs { 5, 3, 8, 1, 9, 2 } do queue:put({ key = key }) end
    local keys <const> = {}
    for i, item in ipairs(drain(queue)) do keys[i] = item.key end
    assert.same({ 1, 2, 3, 5, 8, 9 }, keys)
    assert.same({ 3, 2, 1 }, drain(fill(asyncio.PriorityQueue(0, function(a, b) return a > b end),
      2, 1, 3)))
  end)

  it_runs("orders by <, also by __lt", function()
    local mt <const> = { __lt = by_key }
    local queue <const> = asyncio.PriorityQueue()
    for _, key in ipairs { 2, 3, 1 } do queue:put(setmetatable({ key = key }, mt)) end
    assert.equal(1, queue:get().key)
    assert.same({ "a", "b", "c" }, drain(fill(asyncio.PriorityQueue(), "b", "c", "a")))
  end)

  it_runs("sorts as table.sort does, for every size", function()
    local seed = 1
    for n = 1, 40 do
      local queue <const>, model <const> = asyncio.PriorityQueue(), {}
      for i = 1, n do
        seed = (1103515245 * seed + 12345) & 0x7fffffff
        model[i] = seed >> 20
        queue:put_nowait(model[i])
      end
      table.sort(model)
      assert.same(model, drain(queue))
    end
  end)

  it_runs("stays whole when a comparison raises while putting", function()
    local fails, compared = nil, 0
    local queue <const> = asyncio.PriorityQueue(0, function(a, b)
      compared = compared + 1
      if fails == 0 then error("cannot compare", 0) end
      fails = fails and fails - 1
      return a < b
    end)
    for i = 20, 1, -1 do queue:put(i) end
    for n = 0, 3 do -- the way up from place 21 has four steps
      fails = n
      assert.has_error(function() queue:put(0) end, "cannot compare")
      assert.has_error(function()
        fails = n
        queue:put_nowait(0)
      end, "cannot compare")
    end
    fails = nil
    assert.equal("PriorityQueue: maxsize:0, items:20, tasks:20", state_of(queue))
    for i = 1, 20 do assert.equal(i, queue:get()) end
    assert.is_true(compared > 0)
  end)

  it_runs("stays whole when a comparison raises while taking", function()
    local fails = nil
    local queue <const> = asyncio.PriorityQueue(0, function(a, b)
      if fails == 0 then error("cannot compare", 0) end
      fails = fails and fails - 1
      return a < b
    end)
    for i = 20, 1, -1 do queue:put(i) end
    for n = 0, 5 do
      fails = n
      local ok, item = pcall(queue.get, queue)
      fails = nil
      assert.is_true(n > 3 or not ok) -- at least four comparisons
      if ok then queue:put(item) end
      assert.equal(20, queue:qsize())
    end
    for i = 1, 20 do assert.equal(i, queue:get()) end
  end)

  it_runs("refuses what cannot be compared, and keeps the rest", function()
    local queue <const> = fill(asyncio.PriorityQueue(), 2, 1)
    assert.error_matches(function() queue:put("x") end, "attempt to compare")
    assert.error_matches(function() queue:put(nil) end, "attempt to compare")
    assert.error_matches(function() queue:put({}) end, "attempt to compare")
    assert.same({ 1, 2 }, drain(queue))
  end)

  it_runs("wakes the next putter when a comparison fails", function()
    local queue <const> = fill(asyncio.PriorityQueue(2), 1, 2)
    local bad <const>, good <const> = spawn(queue.put, queue, "x"), spawn(queue.put, queue, 3)
    turn()
    assert.equal(1, queue:get_nowait())
    assert.error_matches(function() bad:await() end, "attempt to compare")
    good:await()
    assert.same({ 2, 3 }, drain(queue))
  end)

  it_runs("wakes the next getter when a comparison fails", function()
    local fails = false
    local queue <const> = asyncio.PriorityQueue(0, function(a, b)
      if fails then
        fails = false
        error("cannot compare", 0)
      end
      return a < b
    end)
    local bad <const>, good <const> = spawn(queue.get, queue), spawn(queue.get, queue)
    turn()
    for i = 1, 3 do queue:put_nowait(i) end
    queue:get_nowait()
    -- one item more than getters were woken for: the failing one's item goes to the other
    queue:put_nowait(1)
    fails = true
    assert.has_error(function() bad:await() end, "cannot compare")
    assert.equal(1, good:await())
  end)

  it_runs("lets no comparison wait", function()
    local queue <const> = asyncio.PriorityQueue(0, function(a, b)
      asyncio.sleep(0)
      return a < b
    end)
    queue:put(1)
    assert.error_matches(function() queue:put(2) end, "cannot wait")
    assert.equal(1, queue:qsize())
  end)

  it_runs("begins anew when a comparison changes the queue", function()
    local queue, depth = nil, 0
    queue = asyncio.PriorityQueue(0, function(a, b)
      if depth == 0 then
        depth = 1
        queue:put_nowait(50)
        for i = 101, 130 do queue:put_nowait(i) end -- the table grows, too
      elseif depth == 1 and a == 0 then
        depth = 2
        assert.equal(50, queue:get_nowait())
      end
      return a < b
    end)
    depth = -1
    for i = 20, 11, -1 do queue:put(i) end
    depth = 0
    queue:put(100)
    assert.equal(1, depth)
    assert.equal(42, queue:qsize())
    for i = 11, 20 do assert.equal(i, queue:get()) end
    queue:put(0)
    assert.equal(2, depth)
    assert.equal(0, queue:get())
    for i = 100, 130 do assert.equal(i, queue:get()) end
    assert.is_true(queue:empty())
  end)

  it_runs("begins anew when a comparison changes the queue while an item is taken", function()
    local queue, steal = nil, false
    queue = asyncio.PriorityQueue(0, function(a, b)
      if steal then
        steal = false
        assert.equal(1, queue:get_nowait())
        queue:put_nowait(21)
      end
      return a < b
    end)
    for i = 20, 1, -1 do queue:put(i) end
    steal = true
    assert.equal(2, queue:get())
    for i = 3, 21 do assert.equal(i, queue:get()) end
    -- the last item goes away under the hand
    queue:put(1)
    queue:put(2)
    queue:put(3)
    local ok = pcall(function()
      steal = true
      return queue:get()
    end)
    assert.is_true(ok)
  end)

  it_runs("survives any comparison", function()
    local n = 0
    local queue <const> = asyncio.PriorityQueue(0, function()
      n = n + 1
      return n % 3 == 0
    end)
    local sum = 0
    for i = 1, 100 do queue:put(i) end
    for _ = 1, 100 do sum = sum + queue:get() end
    assert.equal(5050, sum)
  end)
end)

describe("join", function()
  it_runs("waits until all is done (test_task_done)", function()
    for _, kind in ipairs(KINDS) do
      local queue <const>, sum, running = asyncio[kind](), 0, true
      for i = 0, 99 do queue:put_nowait(i) end
      local function worker()
        while running do
          sum = sum + queue:get()
          queue:task_done()
        end
      end
      local a <const>, b <const> = spawn(worker), spawn(worker)
      assert.equal(0, select("#", queue:join()))
      assert.equal(4950, sum)
      running = false
      queue:put_nowait(0)
      queue:put_nowait(0)
      a:await()
      b:await()
    end
  end)

  it_runs("returns at once when nothing was put (test_join_empty_queue)", function()
    for _, kind in ipairs(KINDS) do
      local queue <const> = asyncio[kind]()
      queue:join()
      queue:join()
      assert.error_matches(function() queue:task_done() end,
        "task_done%(%) called too many times")
    end
  end)

  it_runs("wakes all who join, also if something is put at once", function()
    local queue <const>, n = fill(asyncio.Queue(), 1), 0
    for _ = 1, 3 do
      spawn(function()
        queue:join()
        n = n + 1
      end)
    end
    turn()
    queue:get()
    turn()
    assert.equal(0, n)
    queue:task_done()
    queue:put(2)
    turn()
    assert.equal(3, n)
  end)

  it_runs("can be cancelled", function()
    local queue <const> = fill(asyncio.Queue(), 1)
    local task <const> = spawn(queue.join, queue)
    turn()
    task:cancel()
    assert_raises("CancelledError", task.await, task)
    queue:get()
    queue:task_done()
    queue:join()
  end)
end)

describe("shutdown", function()
  local function assert_shut(queue)
    assert_raises("QueueShutDown", queue.put, queue, "data")
    assert_raises("QueueShutDown", queue.put_nowait, queue, "data")
    assert_raises("QueueShutDown", queue.get, queue)
    assert_raises("QueueShutDown", queue.get_nowait, queue)
  end

  it_runs("of an empty queue (test_shutdown_empty)", function()
    for _, kind in ipairs(KINDS) do
      local queue <const> = asyncio[kind]()
      local getter <const> = spawn(queue.get, queue)
      turn()
      assert.equal(0, select("#", queue:shutdown()))
      assert.equal(0, queue:qsize())
      queue:join()
      turn()
      assert.is_true(getter:done())
      assert.equal("QueueShutDown: the queue is shut down",
        tostring(assert_raises("QueueShutDown", getter.await, getter)))
      assert_shut(queue)
      queue:shutdown()
    end
  end)

  it_runs("of one with items (test_shutdown_nonempty)", function()
    for _, kind in ipairs(KINDS) do
      local queue <const> = asyncio[kind](1)
      queue:put_nowait("data")
      local joiner <const>, putter <const> = spawn(queue.join, queue),
        spawn(queue.put, queue, "more")
      turn()
      assert.is_false(putter:done())
      queue:shutdown(false)
      assert.equal(1, queue:qsize())
      turn()
      assert.is_true(putter:done())
      assert_raises("QueueShutDown", putter.await, putter)
      assert.equal("data", queue:get())
      turn()
      assert.is_false(joiner:done())
      assert_shut(queue)
      queue:task_done()
      turn()
      assert.is_true(joiner:done())
      assert.error_matches(function() queue:task_done() end, "called too many times")
    end
  end)

  it_runs("at once (test_shutdown_immediate)", function()
    for _, kind in ipairs(KINDS) do
      local queue <const> = fill(asyncio[kind](), "data")
      local joiner <const> = spawn(queue.join, queue)
      turn()
      queue:shutdown(true)
      assert.equal(0, queue:qsize())
      turn()
      assert.is_true(joiner:done())
      assert_shut(queue)
      assert.error_matches(function() queue:task_done() end, "called too many times")
    end
  end)

  it_runs("at once, with work unfinished (test_shutdown_immediate_with_unfinished)", function()
    for _, kind in ipairs(KINDS) do
      local queue <const> = fill(asyncio[kind](), "data", "data")
      local joiner <const> = spawn(queue.join, queue)
      assert.equal("data", queue:get())
      queue:shutdown(true)
      assert.equal(0, queue:qsize())
      turn()
      assert.is_false(joiner:done())
      assert_shut(queue)
      queue:task_done()
      assert.error_matches(function() queue:task_done() end, "called too many times")
      joiner:await()
    end
  end)
end)

describe("iter", function()
  it_runs("goes on until the queue is shut down and empty", function()
    for _, kind in ipairs(KINDS) do
      local queue <const>, sum = asyncio[kind](1), 0
      local producer <const> = spawn(function()
        for i = 1, 10 do
          queue:put(i)
          if i % 3 == 0 then asyncio.sleep(1) end
        end
        queue:shutdown()
      end)
      for item in queue:iter() do
        sum = sum + item
        queue:task_done()
      end
      assert.equal(55, sum)
      queue:join()
      producer:await()
      for _ in queue:iter() do error("not reached") end
    end
  end)

  it_runs("wakes when the queue is shut down", function()
    local queue <const>, n = asyncio.Queue(), 0
    local task <const> = spawn(function()
      for _ in queue:iter() do n = n + 1 end
      return "end"
    end)
    turn()
    queue:shutdown()
    assert.equal("end", task:await())
    assert.equal(0, n)
  end)

  it_runs("passes false, and ends at nil", function()
    local queue <const>, items <const> = asyncio.Queue(), {}
    queue:put(1)
    queue:put(false)
    queue:put(nil)
    queue:put(2)
    for item in queue:iter() do items[#items + 1] = item end
    assert.same({ 1, false }, items)
    assert.equal(1, queue:qsize())
  end)

  it_runs("is cancelled as get is, and is no generator that must be closed", function()
    local queue <const> = asyncio.Queue()
    local next_item <const> = queue:iter()
    local task <const> = spawn(next_item)
    turn()
    task:cancel()
    assert_raises("CancelledError", task.await, task)
    queue:put("a")
    assert.equal("a", next_item())
    queue:put("b")
    for item in queue:iter() do
      assert.equal("b", item)
      if item then break end
    end
  end)
end)

describe("a queue", function()
  it_runs("B16: holds nobody back whom only it knows", function()
    local queue <const>, got = asyncio.Queue(), nil
    spawn(function() got = queue:get() end)
    turn()
    for _ = 1, 3 do collectgarbage() end
    queue:put("a")
    turn()
    assert.equal("a", got)
  end)

  it("ends a deadlock, and is whole then", function()
    local queue <const> = asyncio.Queue(1)
    for _, what in ipairs { "get", "put", "join" } do
      local ok, err = pcall(run, function()
        local own <const> = asyncio.Queue(1)
        if what ~= "get" then own:put("a") end
        own[what](own, "b")
      end)
      assert.is_false(ok)
      assert.is_true(asyncio.is(err, asyncio.DeadlockError))
      assert.matches("queue", tostring(err))
    end
    run(function()
      assert_raises("DeadlockError", queue.get, queue)
      assert.equal("Queue: maxsize:1", state_of(queue))
      queue:put("a")
      assert.equal("a", queue:get())
    end)
  end)

  it("belongs to the loop on which it was first waited for", function()
    local queue <const> = asyncio.Queue(1)
    run(function()
      queue:put("a") -- no wait
      queue:get()
    end)
    run(function()
      asyncio.get_running_loop():call_soon(queue.put_nowait, queue, "a")
      assert.equal("a", queue:get())
    end)
    run(function()
      local pattern <const> = "<asyncio%.Queue 0x%x+ .*> is bound to a different event loop"
      assert.error_matches(function() queue:get() end, pattern)
      assert.error_matches(function() queue:join() end, pattern)
      queue:put("b")
      assert.error_matches(function() queue:put("c") end, pattern)
      assert.equal("b", queue:get())
    end)
  end)

  it("forgets its waiters when their loop closes", function()
    local queue <const>, full <const> = asyncio.Queue(), asyncio.Queue(1)
    local loop <const> = asyncio.new_event_loop { clock = "virtual" }
    loop:run_until_complete(function()
      full:put(1)
      for _ = 1, 2 do
        spawn(queue.get, queue)
        spawn(full.put, full, 2)
        spawn(full.join, full)
      end
      turn()
    end)
    assert.equal("Queue: maxsize:0, getters:2", state_of(queue))
    assert.equal("Queue: maxsize:1, items:1, putters:2, tasks:1", state_of(full))
    loop:close()
    assert.equal("Queue: maxsize:0", state_of(queue))
    assert.equal("Queue: maxsize:1, items:1, tasks:1", state_of(full))
    queue:put_nowait(1)
    full:get_nowait()
    full:task_done()
  end)

  it("runs the current loop when it is waited for at top level", function()
    local queue <const> = asyncio.Queue(1)
    local loop <const> = asyncio.new_event_loop { clock = "virtual" }
    asyncio.set_event_loop(loop)
    loop:call_later(1, queue.put_nowait, queue, "a")
    assert.equal("a", queue:get())
    queue:put("b")
    loop:call_later(1, queue.get_nowait, queue)
    queue:put("c")
    assert.equal(2, loop:time())
    loop:call_later(1, function()
      queue:task_done()
      queue:task_done()
      queue:task_done()
    end)
    queue:join()
    loop:call_later(1, queue.shutdown, queue)
    for item in queue:iter() do assert.equal("c", item) end
    assert.equal(4, loop:time())
    asyncio.set_event_loop(nil)
    loop:close()
  end)

  it_runs("cannot be waited for where nothing can wait", function()
    local queue <const>, errs <const> = asyncio.Queue(1), {}
    asyncio.get_running_loop():call_soon(function()
      errs[1] = select(2, pcall(queue.get, queue))
      errs[2] = select(2, pcall(queue.put, queue, 1))
      errs[3] = select(2, pcall(queue.join, queue))
      errs[4] = select(2, pcall(queue:iter()))
    end)
    turn()
    for i = 1, 4 do assert.matches("cannot wait in a callback", errs[i]) end
    assert.is_true(queue:empty())
  end)

  it_runs("may be used by callbacks and finalizers", function()
    local queue <const> = asyncio.Queue()
    local task <const> = spawn(function() end)
    task:add_done_callback(function() queue:put_nowait("callback") end)
    assert.equal("callback", queue:get())
    local getter <const> = spawn(queue.get, queue)
    turn()
    setmetatable({}, { __gc = function() queue:put_nowait("finalizer") end })
    collectgarbage()
    assert.equal("finalizer", getter:await())
  end)

  it_runs("may be used by finalizers while its table grows", function()
    for _, kind in ipairs(KINDS) do
      local queue <const>, n <const>, made = asyncio[kind](), helper.scale(3000, 100), 0
      local stop <const> = collectgarbage("generational")
      for i = 1, n do
        setmetatable({}, {
          __gc = function()
            made = made + 1
            queue:put_nowait(n + made)
            if made % 3 == 0 then queue:get_nowait() end
          end,
        })
        queue:put_nowait(i)
      end
      collectgarbage(stop)
      collectgarbage()
      local seen <const>, count = {}, queue:qsize()
      for _, item in ipairs(drain(queue)) do
        assert.is_nil(seen[item])
        seen[item] = true
      end
      assert.equal(n + made - made // 3, count)
    end
  end)

  it_runs("passes many items between many tasks", function()
    for _, kind in ipairs(KINDS) do
      local queue <const>, n <const>, sum = asyncio[kind](3), helper.scale(2000, 50), 0
      local producers <const> = {}
      for i = 1, 10 do
        producers[i] = function()
          for j = i, n, 10 do queue:put(j) end
        end
        spawn(function()
          for item in queue:iter() do
            sum = sum + item
            if item % 5 == 0 then asyncio.sleep(0) end
            queue:task_done()
          end
        end)
      end
      asyncio.gather(producers)
      queue:join()
      queue:shutdown()
      assert.equal(n * (n + 1) // 2, sum)
    end
  end)

  it("refuses wrong arguments", function()
    local names <const> = { "put", "put_nowait", "get", "get_nowait", "iter", "join", "task_done",
      "shutdown", "qsize", "maxsize", "empty", "full" }
    for _, kind in ipairs(KINDS) do
      local queue <const> = asyncio[kind]()
      for _, name in ipairs(names) do
        for _, wrong in ipairs { {}, 1, "x", asyncio.Lock(), io.stdout } do
          assert.error_matches(function() queue[name](wrong) end,
            "bad argument #1 to '[%w_.?]+' %(asyncio%.Queue expected, got ")
        end
        assert.error_matches(function() queue[name]() end, "asyncio%.Queue expected, got no value")
      end
      assert.error_matches(function() asyncio[kind]("x") end, "number expected, got string")
      assert.error_matches(function() asyncio[kind]({}) end, "number expected, got table")
      assert.error_matches(function() asyncio[kind](1.5) end, "no integer representation")
    end
    for _, wrong in ipairs { 1, "x", {} } do
      assert.error_matches(function() asyncio.PriorityQueue(0, wrong) end,
        "bad argument #2 to '[%w_.?]+' %(function expected, got ")
    end
  end)
end)
