-- SPDX-License-Identifier: MIT
-- Queues. Wherever memory ends, an item is in the queue or it is not, and who waits gets his turn.

local KINDS <const> = { "Queue", "LifoQueue", "PriorityQueue" }

local function expect(asyncio, class, f, ...)
  local ok, err = pcall(f, ...)
  assert(not ok)
  if not asyncio.is(err, class) then error(err, 0) end
end

-- Waits for tasks that wait for each other: if one fails, the others would wait for ever.
local function together(asyncio, tasks)
  asyncio.wait(tasks, { return_when = asyncio.FIRST_EXCEPTION })
  for _, task in ipairs(tasks) do
    if task:done() then task:result() end
  end
end

-- The names "Queue:get", "LifoQueue:get" ... of several methods.
local function of_all(...)
  local names = {}
  for _, method in ipairs { ... } do
    for _, kind in ipairs(KINDS) do names[#names + 1] = kind .. ":" .. method end
  end
  return names
end

local function make(maxsize)
  return function(asyncio)
    local queues = {}
    for i, kind in ipairs(KINDS) do queues[i] = asyncio[kind](maxsize) end
    return queues
  end
end

-- Whatever tasks are left come to their end; then each queue can be used.
local function all_work(asyncio, _, queues)
  for _ = 1, 5 do asyncio.sleep(0) end
  for _, task in ipairs(asyncio.all_tasks()) do
    if task ~= asyncio.current_task() then task:cancel() end
  end
  for _ = 1, 5 do asyncio.sleep(0) end
  for _, queue in ipairs(queues) do
    local seen = {}
    for _ = 1, queue:qsize() do
      local item = queue:get_nowait()
      assert(item and not seen[item], "an item is missing, or twice there")
      seen[item] = true
    end
    assert(queue:empty())
    assert(not tostring(queue):find("getters") and not tostring(queue):find("putters"))
    local getter = asyncio.create_task(queue.get, queue)
    asyncio.sleep(0)
    queue:put(1)
    assert(getter:await() == 1)
  end
end

return {
  {
    name = "queues are made and shown",
    covers = { "Queue", "LifoQueue", "PriorityQueue" },
    run = function(asyncio)
      for _, kind in ipairs(KINDS) do
        assert(#tostring(asyncio[kind](3)) > 10)
      end
      asyncio.PriorityQueue(0, function(a, b) return a < b end)
    end,
  },
  {
    name = "queues grow",
    covers = of_all("put_nowait", "get_nowait", "qsize", "empty", "full", "maxsize"),
    setup = make(0),
    run = function(asyncio, _, queues)
      for _, queue in ipairs(queues) do
        for i = 1, 40 do
          local size = queue:qsize()
          if not pcall(queue.put_nowait, queue, i) then
            assert(queue:qsize() == size, "a failed put has put something")
            queue:put_nowait(i)
          end
          if i == 20 then queue:get_nowait() end
        end
        assert(queue:qsize() == 39 and not queue:full() and queue:maxsize() == 0)
      end
      expect(asyncio, asyncio.QueueEmpty, function()
        while true do queues[1]:get_nowait() end
      end)
    end,
    check = all_work,
  },
  {
    name = "queues are waited for",
    covers = of_all("put", "get"),
    setup = make(1),
    run = function(asyncio, _, queues)
      for _, queue in ipairs(queues) do
        local cancelled = asyncio.create_task(queue.get, queue)
        local getter = asyncio.create_task(function() return queue:get() + queue:get() end)
        asyncio.sleep(0)
        queue:put(1)
        cancelled:cancel()
        expect(asyncio, asyncio.CancelledError, cancelled.await, cancelled)
        together(asyncio, { asyncio.create_task(queue.put, queue, 2), getter })
        queue:put(3)
        local putters = { asyncio.create_task(queue.put, queue, 4),
          asyncio.create_task(queue.put, queue, 5) }
        asyncio.sleep(0)
        assert(queue:get() == 3)
        putters[1]:cancel()
        expect(asyncio, asyncio.CancelledError, putters[1].await, putters[1])
        putters[2]:await()
        assert(queue:get() == 5)
      end
    end,
    check = all_work,
  },
  {
    name = "queues are worked off",
    covers = of_all("iter", "join", "task_done"),
    setup = make(0),
    run = function(asyncio, _, queues)
      for _, queue in ipairs(queues) do
        local sum = 0
        local worker = asyncio.create_task(function()
          for item in queue:iter() do
            sum = sum + item
            queue:task_done()
          end
        end)
        queue:put(1)
        queue:put(2)
        -- a worker that died for want of memory works nothing off
        local joiner = asyncio.create_task(queue.join, queue)
        asyncio.wait({ joiner, worker }, { return_when = asyncio.FIRST_COMPLETED })
        worker:cancel()
        expect(asyncio, asyncio.CancelledError, worker.await, worker)
        joiner:await()
        assert(sum == 3)
      end
    end,
    check = all_work,
  },
  {
    name = "queues are shut down",
    covers = of_all("shutdown"),
    setup = make(0),
    run = function(asyncio, _, queues)
      for _, queue in ipairs(queues) do
        local getter = asyncio.create_task(queue.get, queue)
        asyncio.sleep(0)
        queue:shutdown(true)
        expect(asyncio, asyncio.QueueShutDown, getter.await, getter)
        expect(asyncio, asyncio.QueueShutDown, queue.put, queue, 1)
      end
    end,
    check = function(asyncio, _, queues)
      for _ = 1, 3 do asyncio.sleep(0) end
      for _, queue in ipairs(queues) do
        assert(not tostring(queue):find("getters") or not tostring(queue):find("shutdown"))
      end
    end,
  },
}
