-- SPDX-License-Identifier: MIT
-- How much memory one operation of each kind asks for when the program has been running for a
-- while. Run by build/c/allocation_test (spec/c/allocation_test.c), which counts: `make test`
-- compares, `make allocations` prints the table.
--
-- Arguments: asyncio; a function that returns the allocations and bytes so far; the table to which
-- the results are added; what a received string takes beside its bytes.
local asyncio <const>, counted <const>, rows <const>, header <const> = ...
local sleep <const>, create_task <const> = asyncio.sleep, asyncio.create_task
local N <const> = 200

-- setup(n) prepares n operations and returns the function that does them. What that returns, if
-- anything, is how many strings of how many bytes in all were received: they are subtracted. The
-- rest, for each operation, must be as given (bytes: nil if it does not matter). The collector
-- rests, so that the counts are exact (it would also shrink the stacks of waiting tasks, which grow
-- again once); a round before fills what is kept: threads, their stacks, the heap of timers.
local function measure(name, allocations, bytes, setup)
  collectgarbage()
  collectgarbage "stop"
  setup(N)()
  for _ = 1, 3 do sleep(0) end -- tasks that it started end, and give their threads back
  local run = setup(N)
  sleep(0)
  local a1, b1 = counted()
  local strings, size = run()
  local a2, b2 = counted()
  collectgarbage "restart"
  local a, b = a2 - a1 - (strings or 0), b2 - b1 - (size or 0)
  rows[#rows + 1] = {
    name = name, allocations = a / N, bytes = b / N, strings = (strings or 0) / N,
    size = (size or 0) / N, good = a == allocations * N and (not bytes or b == bytes * N),
  }
end

asyncio.run(function()
  measure("sleep(0)", 0, 0, function(n)
    return function() for _ = 1, n do sleep(0) end end
  end)

  measure("sleep(t)", 0, 0, function(n)
    return function() for _ = 1, n do sleep(1e-5) end end
  end)
  local function complete(list)
    for _, future in ipairs(list) do future:set_result(1) sleep(0) end
  end

  measure("await of a pending future", 0, 0, function(n)
    local list = {}
    for i = 1, n do list[i] = asyncio.get_running_loop():create_future() end
    create_task(complete, list)
    return function() for _, future in ipairs(list) do future:await() end end
  end)

  measure("await of a pending task", 0, 0, function(n)
    local futures, tasks = {}, {}
    for i = 1, n do
      futures[i] = asyncio.get_running_loop():create_future()
      tasks[i] = create_task(asyncio.await, futures[i])
    end
    sleep(0)
    return function()
      for i, future in ipairs(futures) do future:set_result(1) tasks[i]:await() end
    end
  end)
  local function use(lock, n)
    for _ = 1, n do lock:acquire() sleep(0) lock:release() end
  end

  measure("lock, contended", 0, 0, function(n)
    local lock = asyncio.Lock()
    local other = create_task(use, lock, n // 2)
    sleep(0)
    return function() use(lock, n // 2) other:await() end
  end)
  local function produce(queue, n) for i = 1, n do queue:put(i) end end
  measure("queue, put and get that wait", 0, 0, function(n)
    local queue = asyncio.Queue(1)
    create_task(produce, queue, n)
    return function() for _ = 1, n do queue:get() end end
  end)
  local function nothing() end
  measure("call_soon", 1, nil, function(n)
    local loop = asyncio.get_running_loop()
    return function() for _ = 1, n do loop:call_soon(nothing) sleep(0) end end
  end)

  measure("call_later and cancel", 1, nil, function(n)
    local loop = asyncio.get_running_loop()
    return function() for _ = 1, n do loop:call_later(60, nothing):cancel() end end
  end)

  measure("create_task and await", 1, nil, function(n)
    return function() for _ = 1, n do create_task(nothing):await() end end
  end)

  measure("TaskGroup:create_task, and its end", 1, nil, function(n)
    local group = asyncio.TaskGroup()
    local function start(count)
      for _ = 1, count do
        group:create_task(nothing)
        sleep(0)
      end
    end
    start(2)
    return function()
      start(n)
      sleep(0)
      getmetatable(group).__close(group)
    end
  end)
end)

asyncio.run(function()
  local strings, size = 0, 0

  local function received(data)
    strings, size = strings + 1, size + #data + header
  end

  local function echo(stream)
    while true do
      local data = stream:recv(65536)
      if not data then return end
      received(data)
      stream:sendall(data)
    end
  end

  local server = asyncio.start_server(echo, "127.0.0.1", 0)
  local host, port = server:sockets()[1]:getsockname()

  local function connect()
    local client = asyncio.open_connection(host, port)
    client:sendall "x"
    client:recv(10)
    return client
  end

  local function exchange(name, message)
    measure(name, 0, 0, function(n)
      local client = connect()
      return function()
        strings, size = 0, 0
        for _ = 1, n do
          client:sendall(message)
          local got = 0
          while got < #message do
            local data = client:recv(65536)
            received(data)
            got = got + #data
          end
        end
        return strings, size
      end
    end)
  end

  exchange("echo: 2 sends, 2 recvs that wait, 64 B", ("m"):rep(64))
  exchange("echo: 2 sends, 2 recvs that wait, 16 KiB", ("m"):rep(16384))
  measure("sendall that goes out at once", 0, 0, function(n)
    local client, message = connect(), ("m"):rep(64)
    return function() for _ = 1, n do client:sendall(message) end end
  end)
  server:close()
end)
