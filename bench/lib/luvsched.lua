-- SPDX-License-Identifier: MIT
-- The scheduler that a Lua user would write by hand over luv: coroutines and a ready queue, which a
-- uv_idle handle runs.
local uv = require "luv"
local running, yield = coroutine.running, coroutine.yield
local create, resume = coroutine.create, coroutine.resume
local M = {}
local ready, head, tail = {}, 1, 0
local idle = uv.new_idle()
local active = false

local function step(co, ...)
  local ok, err = resume(co, ...)
  if not ok then error(debug.traceback(co, err), 0) end
end
M.step = step

local function drain()
  local last = tail               -- what becomes ready now runs in the next loop iteration
  while head <= last do
    local co = ready[head]
    ready[head] = nil
    head = head + 1
    step(co)
  end
  if head > tail then head, tail, active = 1, 0, false idle:stop() end
end

local function wake(co)
  tail = tail + 1
  ready[tail] = co
  if not active then active = true idle:start(drain) end
end
M.wake = wake

function M.yield_now() wake(running()) yield() end

function M.sleep(s)
  local co, t = running(), uv.new_timer()
  t:start(math.ceil(s * 1000), 0, function() t:close() step(co) end)
  yield()
end

-- a task is a table {done=, value=, waiter=}
function M.spawn(f, ...)
  local task = { done = false }
  local a = ...
  wake(create(function()
    task.value = f(a)
    task.done = true
    if task.waiter then wake(task.waiter) end
  end))
  return task
end

function M.await(task)
  if not task.done then task.waiter = running() yield() end
  return task.value
end

function M.queue(max)
  local q, items, getter, putter, h, t = {}, {}, nil, nil, 1, 0
  function q.put(v)
    while t - h + 1 >= max do putter = running() yield() end
    t = t + 1
    items[t] = v
    if getter then local g = getter getter = nil wake(g) end
  end
  function q.get()
    while h > t do getter = running() yield() end
    local v = items[h]
    items[h] = nil
    h = h + 1
    if putter then local p = putter putter = nil wake(p) end
    return v
  end
  return q
end

function M.run(f) wake(create(f)) uv.run() end
return M
