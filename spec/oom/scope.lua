-- SPDX-License-Identifier: MIT
-- Timeouts and task groups. Wherever memory ends, the scope is left, and the count of cancellations
-- is what it was.

local function count_is_zero(asyncio, _, t)
  asyncio.sleep(0)
  assert(t.cancelling == 0, ("%s cancellations are left over"):format(t.cancelling))
end

-- Runs f in a task of its own, and notes what its count of cancellations is then.
local function in_task(asyncio, t, f)
  local task = asyncio.create_task(function()
    local ok, err = pcall(f)
    t.cancelling = asyncio.current_task():cancelling()
    if not ok then error(err, 0) end
  end)
  task:await()
end

local function zero() return { cancelling = 0 } end

-- One way or the other a timeout that is too late ends; want of memory goes on.
local function expect(asyncio, class, f, ...)
  local ok, err = pcall(f, ...)
  assert(not ok)
  if not asyncio.is(err, class) then error(err, 0) end
  return err
end

return {
  {
    name = "a timeout that is not needed",
    covers = { "timeout", "timeout_at", "Timeout:reschedule", "Timeout:when", "Timeout:expired" },
    setup = zero,
    run = function(asyncio, loop, t)
      in_task(asyncio, t, function()
        local scope <close> = asyncio.timeout(5)
        scope:reschedule(loop:time() + 9)
        assert(scope:when() and not scope:expired())
        assert(asyncio.timeout_at(loop:time() + 5, asyncio.sleep, 0, "x") == "x")
      end)
    end,
    check = count_is_zero,
  },
  {
    name = "a timeout that is needed",
    setup = zero,
    run = function(asyncio, _, t)
      in_task(asyncio, t, function()
        expect(asyncio, asyncio.TimeoutError, asyncio.timeout, 0.001, asyncio.sleep, 0.1)
      end)
    end,
    check = count_is_zero,
  },
  {
    name = "a group of tasks",
    covers = { "TaskGroup", "TaskGroup:create_task" },
    setup = zero,
    run = function(asyncio, _, t)
      in_task(asyncio, t, function()
        local group <close> = asyncio.TaskGroup()
        for i = 1, 3 do group:create_task(asyncio.sleep, 0, i) end
        group:create_task(asyncio.async(asyncio.sleep)(0))
      end)
    end,
    check = count_is_zero,
  },
  {
    name = "a group that grows, also while a task is entered",
    setup = zero,
    run = function(asyncio, loop, t)
      in_task(asyncio, t, function()
        local _ <close> = setmetatable({}, { __close = function() loop:set_task_factory(nil) end })
        loop:set_task_factory(asyncio.eager_task_factory)
        local ended = 0
        local ok, err = pcall(asyncio.TaskGroup, function(group)
          for i = 1, 10 do
            group:create_task(function()
              if i == 8 then group:create_task(asyncio.sleep, 0) end
              asyncio.sleep(0)
              ended = ended + 1
            end)
          end
        end)
        if asyncio.is(err, asyncio.ExceptionGroup) then error(err.exceptions[1], 0) end
        assert(ok and ended == 10, err)
      end)
    end,
    check = count_is_zero,
  },
  {
    name = "a group one of whose tasks fails",
    setup = zero,
    run = function(asyncio, _, t)
      in_task(asyncio, t, function()
        local err = expect(asyncio, asyncio.ExceptionGroup, asyncio.TaskGroup, function(group)
          group:create_task(error, "mine", 0)
          group:create_task(asyncio.sleep, 0.1)
        end)
        for _, e in ipairs(err.exceptions) do
          if e ~= "mine" then error(e, 0) end
        end
      end)
    end,
    check = count_is_zero,
  },
}
