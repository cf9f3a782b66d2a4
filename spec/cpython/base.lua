-- SPDX-License-Identifier: MIT
-- What the specs in this directory share. They ask what CPython's own tests of asyncio ask; each
-- test bears the names of the methods there. What has no counterpart in Lua is left out:
-- subclasses, generic aliases, the twins of C and Python, chained exceptions, policies.
-- Load with `local base = require "spec.cpython.base"`.

local asyncio <const> = require "asyncio"
local virtual <const> = require "spec.virtual"

local base = {}

-- For `it`: f gets a loop with a simulated clock, which is the current one and does not run, and a
-- function that lets it run briefly.
function base.with_loop(f)
  return function()
    local loop <const> = virtual.loop()
    asyncio.set_event_loop(loop)
    local _ <close> = setmetatable({}, { __close = function()
      loop:close()
      asyncio.set_event_loop(nil)
    end })
    f(loop, function() loop:run_until_complete(function() end) end)
  end
end

function base.near(expected, got)
  if math.abs(expected - got) < 1e-6 then return end
  error(("%s expected, got %s"):format(expected, got), 2)
end

-- The values of a list as keys, for comparisons without order.
function base.set(list)
  local t <const> = {}
  for _, v in ipairs(list) do t[v] = true end
  return t
end

function base.cancelled(f, ...)
  return virtual.raises(asyncio.CancelledError, f, ...)
end

-- f(...) must raise an ExceptionGroup; returns its errors as a set.
function base.group(f, ...)
  return base.set(virtual.raises(asyncio.ExceptionGroup, f, ...).exceptions)
end

-- Runs f; what it raises is raised again after `cleanup`, or replaced by what that raises.
function base.finally(f, cleanup)
  local ok, err = pcall(f)
  cleanup()
  if not ok then error(err, 0) end
end

function base.never() asyncio.sleep(10) end

return base
