-- Several things at once, and the four ways to collect them.
local asyncio = require "asyncio"

local function work(name, seconds)
  asyncio.sleep(seconds)
  return name .. " after " .. seconds
end

-- A function without arguments that calls work, for those who start tasks from a list.
local function job(name, seconds)
  return function()
    return work(name, seconds)
  end
end

local function main()
  -- gather: all results, in the order of the arguments. Here both together take 0.2 s.
  local results = asyncio.gather(job("a", 0.2), job("b", 0.1))
  print("gather:", results[1] .. ", " .. results[2])

  -- An error is raised at once; return_exceptions puts it into the list instead.
  results = asyncio.gather({job("c", 0.1), function() error("no luck", 0) end},
    {return_exceptions = true})
  print("gather:", results[1] .. ", " .. results[2])

  -- wait: two lists of tasks, those that are done and those that are not.
  local d = asyncio.create_task(work, "d", 0.3)
  local e = asyncio.create_task(work, "e", 0.1)
  local done, pending = asyncio.wait({d, e}, {return_when = asyncio.FIRST_COMPLETED})
  print("wait:", done[1]:result(), "and still pending:", #pending)

  -- as_completed: an iterator that waits, and gives each task as it finishes.
  for task in asyncio.as_completed({d, asyncio.create_task(work, "f", 0.1)}) do
    print("as_completed:", task:result())
  end

  -- wait_for: the result, or a TimeoutError; what took too long is cancelled.
  local ok, err = asyncio.pcall(asyncio.wait_for, job("g", 10), 0.1)
  print("wait_for:", ok, asyncio.is(err, asyncio.TimeoutError))
end

asyncio.run(main)

--[[ output (0.7 s)
gather: a after 0.2, b after 0.1
gather: c after 0.1, no luck
wait: e after 0.1 and still pending: 1
as_completed: f after 0.1
as_completed: d after 0.3
wait_for: false true
]]
