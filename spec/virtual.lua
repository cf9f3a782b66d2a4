-- SPDX-License-Identifier: MIT
-- Runs the body of a test as the main task of a loop whose clock is simulated, and notes what the
-- loop's exception handler gets: a test that leaves a report behind, and did not ask for it, fails.
-- Load with `local virtual = require "spec.virtual"`.

local asyncio <const> = require "asyncio"

local virtual = {}

local reports -- of the loop that was made last

-- The contexts that its exception handler got since the last call.
function virtual.take_reports()
  local taken <const> = table.move(reports, 1, #reports, 1, {})
  for i = #reports, 1, -1 do reports[i] = nil end
  return taken
end

-- A loop of this kind; the caller closes it.
function virtual.loop()
  local loop <const> = asyncio.new_event_loop { clock = "virtual" }
  local list <const> = {}
  reports = list
  loop:set_exception_handler(function(_, context) list[#list + 1] = context end)
  return loop
end

local function check_reports()
  local first <const> = virtual.take_reports()[1]
  if not first then return end
  error(("unexpected report: %s: %s"):format(first.message, tostring(first.exception)), 0)
end

local function close_later(loop, list)
  return setmetatable({}, {
    __close = function(self)
      loop:close()
      asyncio.set_event_loop(nil)
      reports = list
      if self.results then check_reports() end
    end,
  })
end

-- Runs f(...) as the main task; returns its results. The loop is closed afterwards.
function virtual.run(f, ...)
  local loop <const> = virtual.loop()
  asyncio.set_event_loop(loop)
  local run <close> = close_later(loop, reports)
  run.results = table.pack(loop:run_until_complete(f, ...))
  return table.unpack(run.results, 1, run.results.n)
end

-- For `it`: the body runs as a main task, and gets the loop.
function virtual.inside(f)
  return function()
    virtual.run(function() f(asyncio.get_running_loop()) end)
  end
end

function virtual.future()
  return asyncio.get_running_loop():create_future()
end

-- Lets the loop run n turns (1).
function virtual.turns(n)
  for _ = 1, n or 1 do asyncio.sleep(0) end
end

-- Brings everything to rest: whatever can go on without time has done so.
function virtual.settle()
  asyncio.sleep(1e-6)
end

-- What f(...) raises must be of the class; returns it.
function virtual.raises(class, f, ...)
  local ok, err = pcall(f, ...)
  if ok then error(class.name .. " expected, but nothing was raised", 2) end
  if not asyncio.is(err, class) then
    error(("%s expected, got %s"):format(class.name, tostring(err)), 2)
  end
  return err
end

-- f(...) must raise something that, as text, contains `text`; returns it.
function virtual.refuses(text, f, ...)
  local ok, err = pcall(f, ...)
  if ok then error(("an error with %q expected, but nothing was raised"):format(text), 2) end
  if not tostring(err):find(text, 1, true) then
    error(("an error with %q expected, got %s"):format(text, tostring(err)), 2)
  end
  return err
end

-- The line on which the caller of this function stands.
function virtual.line()
  return debug.getinfo(2, "l").currentline
end

return virtual
