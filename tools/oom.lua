-- SPDX-License-Identifier: MIT
-- `make oom`: each allocation fails once in turn, and the loop must work afterwards.
--
-- lua tools/oom.lua --all TESTHOST   every file of spec/oom/, each in a process of its own, and the
--                                    check that every public function has its scenario
-- TESTHOST tools/oom.lua FILE        one file, run by tools/testhost.c
--
-- A scenario file returns a list of
--   { name =, covers = { "create_task", "Task:cancel" }, as the documentation names them
--     setup = function(asyncio, loop) return thing end: allocates undisturbed, in the task
--     run = function(asyncio, loop, thing) end: every allocation in it fails once
--     check = function(asyncio, loop, thing, reports) end: in a task, after each failure; `reports`
--       is how many memory errors the exception handler was given
--     accepts = function(asyncio, err, reports) end: may `run` raise this, because memory was
--       missing elsewhere?
--     outside = true: setup and run are called outside any task
--     source = "...": instead of all that a script for a Lua state of its own }
-- `run` may raise, but only for want of memory, and must not raise when nothing failed.

local LIMIT <const> = 20000
local PATIENCE <const> = 2 -- seconds

-- ---- one file, inside the testing host

-- Is it the error of a failed allocation, or of a group in which each is one?
local function is_memory_error(asyncio, err)
  if type(err) == "string" then return err:find("not enough memory", 1, true) ~= nil end
  if asyncio and asyncio.is and asyncio.is(err, asyncio.ExceptionGroup) then
    for _, inner in ipairs(err.exceptions) do
      if not is_memory_error(asyncio, inner) then return false end
    end
    return true
  end
  return asyncio and asyncio.is and asyncio.is(err, asyncio.OSError) and err.code == "ENOMEM"
end

-- What a loop must still be able to do.
local function still_works(asyncio)
  asyncio.sleep(0)
  local future = asyncio.get_running_loop():create_future()
  local task = asyncio.create_task(function() return asyncio.await(future) end)
  future:set_result(7)
  assert(asyncio.await(task) == 7, "a task and a future did not give 7")
end

-- One run of a scenario with the n-th allocation failing. Returns whether one failed.
local function attempt(asyncio, host, scenario, n, trace)
  local loop = asyncio.new_event_loop()
  asyncio.set_event_loop(loop)
  local strange
  local reports = 0 -- of memory errors
  loop:set_exception_handler(function(_, context)
    if context.exception ~= nil and not is_memory_error(asyncio, context.exception) then
      strange = strange or ("reported: %s: %s"):format(context.message, tostring(context.exception))
    elseif context.exception ~= nil then
      reports = reports + 1
    end
  end)
  local thing, fired, ok, err
  local function body()
    if scenario.setup then thing = scenario.setup(asyncio, loop) end
    collectgarbage()
    local main = not scenario.outside and asyncio.current_task()
    local watchdog = main and loop:call_later(PATIENCE, main.cancel, main, "it hangs")
    host.fail_at(n, trace)
    ok, err = pcall(scenario.run, asyncio, loop, thing)
    fired = host.stop()
    if watchdog then watchdog:cancel() end
  end
  local drove, drive_error
  if scenario.outside then
    drove, drive_error = pcall(body)
  else
    drove, drive_error = pcall(loop.run_until_complete, loop, body)
  end
  -- The main task itself may have been what died for want of memory.
  if fired == nil then fired = host.stop() end
  if not drove and ok == nil then ok, err = false, drive_error end
  assert(ok or fired, "raised although nothing had failed: " .. tostring(err))
  local fits = ok or is_memory_error(asyncio, err)
    or scenario.accepts and scenario.accepts(asyncio, err, reports)
  assert(fits, "raised something else: " .. tostring(err))
  assert(drove or is_memory_error(asyncio, drive_error), tostring(drive_error))
  asyncio.set_event_loop(loop)
  loop:run_until_complete(function()
    still_works(asyncio)
    if scenario.check then scenario.check(asyncio, loop, thing, reports) end
  end)
  assert(not strange, strange)
  loop:close()
  asyncio.set_event_loop(nil)
  collectgarbage()
  return fired
end

local function attempt_in_state(host, scenario, n)
  local err, fired = host.new_state(scenario.source, n)
  assert(err == nil or fired, "raised although nothing had failed: " .. tostring(err))
  assert(err == nil or is_memory_error(nil, err), "raised something else: " .. tostring(err))
  return fired
end

local function run_file(path)
  local host <const> = require "testhost"
  local failed = 0
  for _, scenario in ipairs(assert(loadfile(path))()) do
    local asyncio = not scenario.source and require "asyncio"
    local n = 0
    local ok, err = xpcall(function()
      repeat
        n = n + 1
        local fired
        if scenario.source then
          fired = attempt_in_state(host, scenario, n)
        else
          fired = attempt(asyncio, host, scenario, n)
        end
        assert(n < LIMIT, "it never comes to its end")
      until not fired
    end, function(e)
      host.stop()
      return debug.traceback(tostring(e))
    end)
    if ok and n == 1 then
      ok, err = false, "it allocates nothing: list it in spec/oom/nothing.lua"
    end
    if ok then
      print(("ok %s (%d failures)"):format(scenario.name, n - 1))
    else
      failed = failed + 1
      print(("not ok %s (allocation %d): %s"):format(scenario.name, n, err))
      io.stdout:flush()
      if not scenario.source then pcall(attempt, asyncio, host, scenario, n, true) end
    end
  end
  os.exit(failed == 0, true)
end

-- ---- all of them

-- The public functions that no scenario names, and that spec/oom/nothing.lua does not excuse.
local function uncovered(files)
  local parser = require "tools.ldoc_parser"
  local covered = {}
  for _, path in ipairs(files) do
    for _, scenario in ipairs(assert(loadfile(path))()) do
      for _, name in ipairs(scenario.covers or {}) do covered[name] = true end
    end
  end
  local excuse = loadfile("spec/oom/nothing.lua")
  for name in pairs(excuse and excuse() or {}) do covered[name] = true end
  local missing, known = {}, {}
  for _, entry in ipairs(parser.tree(".")) do
    for _, name in ipairs(entry.kind == "function" and entry.names or {}) do
      known[name] = true
      if not covered[name] then missing[#missing + 1] = name end
    end
  end
  local unknown = {}
  for name in pairs(covered) do
    if not known[name] then unknown[#unknown + 1] = name end
  end
  table.sort(unknown)
  return missing, unknown
end

-- A line of the stack that the testing host shows: the library's functions by name, others not.
local function with_function(line)
  local object, address = line:match("^(/.*)%(%+(0x%x+)%)%[0x%x+%]$")
  if not object then return line:find("^/.*%[0x%x+%]$") == nil and line or nil end
  if not object:find("asyncio/core%.so$") then return nil end
  local pipe = assert(io.popen(("addr2line -fse '%s' %s"):format(object, address)))
  local name, place = pipe:read("l", "l")
  pipe:close()
  return ("  in %s (%s)"):format(name, place)
end

local function run_all(host)
  local parser = require "tools.ldoc_parser"
  local passed, failed = 0, 0
  local files = {}
  for _, path in ipairs(parser.list("spec/oom", "%.lua$")) do
    if not path:find("/nothing%.lua$") then files[#files + 1] = path end
  end
  local filter = os.getenv("F") or ""
  for _, path in ipairs(files) do
    if filter == "" or path:find(filter, 1, true) then
      local command = ("timeout -k 5 300 '%s' tools/oom.lua %s 2>&1"):format(host, path)
      local pipe = assert(io.popen(command))
      local bad = 0
      print(path)
      for line in pipe:lines() do
        local shown = with_function(line)
        if shown then print("  " .. shown) end
        if line:find("^ok ") then passed = passed + 1 end
        if line:find("^not ok ") then bad = bad + 1 end
      end
      local ok, how, code = pipe:close()
      if not ok and bad == 0 then
        print(("  not ok: the process ended with %s %s"):format(how, code))
        bad = 1
      end
      failed = failed + bad
    end
  end
  local missing, unknown = uncovered(files)
  if filter == "" and #missing + #unknown > 0 then
    failed = failed + 1
    print("public functions without a scenario: " .. table.concat(missing, " "))
    print("scenarios of functions that do not exist: " .. table.concat(unknown, " "))
  end
  print(("%d passed, %d failed"):format(passed, failed))
  os.exit(failed == 0 and passed > 0)
end

if arg[1] == "--all" then
  run_all(arg[2])
else
  run_file(arg[1])
end
