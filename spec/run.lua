-- SPDX-License-Identifier: MIT
-- Runs the specs and the C tests, each in a process of its own, so that one that crashes or hangs
-- is reported like any other failure. `make test` calls it; its last line is counted, never
-- assumed: "N passed, N failed, N skipped".
--
-- Environment: F (names: "task,queue", "spec/c/"), SPEC_LUA (command that runs a spec's
-- interpreter; default: the one that runs this), SPEC_RUNNER=mini (spec/minibusted.lua even if
-- busted is there), SPEC_C (the built C tests), SPEC_C_WRAP (command put before each), SPEC_SLOW
-- (factor on the time limit of a file, which is 120 s), V=1 (show the output of what passes too).

local results = require "spec.results"

local LIMIT <const> = 120

-- The interpreter that runs this file, as the operating system was told to start it.
local function this_lua()
  local i = 0
  while arg[i - 1] do i = i - 1 end
  return arg[i]
end

local function quote(s)
  return "'" .. s:gsub("'", "'\\''") .. "'"
end

local function read_file(path)
  local file = io.open(path, "rb")
  if not file then return "" end
  local text = file:read("a")
  file:close()
  return text
end

local function succeeds(command)
  return (os.execute(command .. " >/dev/null 2>&1"))
end

-- ---- what to run

local function find_specs()
  local list = {}
  local find = assert(io.popen("find spec -name '*_spec.lua' -not -path 'spec/oracle/*' | sort"))
  for path in find:lines() do list[#list + 1] = { path = path, kind = "lua" } end
  find:close()
  for binary in (os.getenv("SPEC_C") or ""):gmatch("%S+") do
    list[#list + 1] = { path = "spec/c/" .. binary:match("[^/]+$"), kind = "c", binary = binary }
  end
  return list
end

-- A word of F is a room's name; where no file has exactly that name, a part of a path.
local function matches(job, word, exact)
  local name = job.path:match("([^/]+)$"):gsub("_spec%.lua$", ""):gsub("_test$", "")
  if exact then return name == word end
  return job.path:find(word, 1, true) ~= nil
end

local function choose(jobs, filter)
  if not filter:find("%S") then return jobs end
  local chosen = {}
  for word in filter:gmatch("[^%s,]+") do
    local before = #chosen
    for _, exact in ipairs { true, false } do
      for _, job in ipairs(jobs) do
        if not job.chosen and matches(job, word, exact) then
          job.chosen = true
          chosen[#chosen + 1] = job
        end
      end
      if #chosen > before then break end
    end
    if #chosen == before then
      for _, job in ipairs(jobs) do
        if job.chosen and matches(job, word, false) then goto found end
      end
      io.stderr:write(("no spec and no C test is named %q\n"):format(word))
      os.exit(1)
      ::found::
    end
  end
  return chosen
end

-- ---- running one

local function how_it_ended(ok, how, code)
  if ok then return nil end
  if how == "exit" and code > 128 then how, code = "signal", code - 128 end
  if how == "exit" and code == 124 then return "hung: stopped at the time limit" end
  return how == "signal" and "killed by signal " .. code or "exit status " .. code
end

-- `timeout` puts a file that hangs to an end; where there is none, a hang stays one.
local function limited(command)
  if not succeeds("command -v timeout") then return command end
  local seconds = LIMIT * (tonumber(os.getenv("SPEC_SLOW")) or 1)
  return ("timeout -k 10 %d %s"):format(math.ceil(seconds), command)
end

-- The processes of this very test run must not look armed to tools/testhost.c: a spec arms it.
local function run_process(command, result_path)
  local log = os.tmpname()
  local line = ("TESTHOST_ARM= SPEC_RESULT=%s %s >%s 2>&1 </dev/null"):format(
    quote(result_path), limited(command), quote(log))
  local ended = how_it_ended(os.execute(line))
  local output = read_file(log)
  os.remove(log)
  return ended, output
end

local function run_spec(job, lua)
  local path = os.tmpname()
  local command = ("%s spec/run.lua --file %s"):format(lua, quote(job.path))
  local ended, output = run_process(command, path)
  local list, complete = results.read(path)
  os.remove(path)
  if not complete or (ended and results.count(list).failed == 0) then
    local why = ended or "ended before its last test"
    list[#list + 1] = { status = "failed", name = "the process of " .. job.path, message = why }
  end
  return list, output
end

-- A C test prints "ok NAME" and "not ok NAME" lines (spec/c/check.h).
local function run_c_test(job)
  local wrap = os.getenv("SPEC_C_WRAP") or ""
  local list = {}
  local file = io.open(job.binary, "rb")
  if not file then
    return { { status = "failed", name = job.path, message = "it was not built" } }, ""
  end
  file:close()
  local ended, output = run_process(wrap .. " " .. quote(job.binary), "/dev/null")
  for line in output:gmatch("[^\n]+") do
    local status, name = line:match("^(n?o?t? ?ok) (.+)$")
    if status == "ok" then
      list[#list + 1] = { status = "passed", name = name }
    elseif status == "not ok" then
      list[#list + 1] = { status = "failed", name = name, message = "see its output" }
    end
  end
  if #list == 0 or (ended and results.count(list).failed == 0) then
    list[#list + 1] = { status = "failed", name = "the process of " .. job.path,
      message = ended or "checked nothing" }
  end
  return list, output
end

-- ---- report

local function indent(text)
  return "    " .. text:gsub("\n$", ""):gsub("\n", "\n    ")
end

local function report(job, list, output, seconds)
  local n = results.count(list)
  print(("%-40s %4d passed%s%s  %.1f s"):format(job.path, n.passed,
    n.failed > 0 and (", %d failed"):format(n.failed) or "",
    n.skipped > 0 and (", %d skipped"):format(n.skipped) or "", seconds))
  for _, result in ipairs(list) do
    if result.status == "failed" then
      print("  failed: " .. result.name)
      print(indent(result.message))
    end
  end
  if (n.failed > 0 or os.getenv("V")) and output:find("%S") then
    print("  its output:")
    print(indent(#output > 8000 and "...\n" .. output:sub(-8000) or output))
  end
  io.stdout:flush()
end

local function now()
  local file = io.open("/proc/uptime")
  if not file then return os.time() end
  local seconds = file:read("n")
  file:close()
  return seconds
end

local function main()
  local lua = os.getenv("SPEC_LUA")
  if not lua or lua == "" then lua = quote(this_lua()) end
  local total = { passed = 0, failed = 0, skipped = 0 }
  local skips = {}
  local jobs = choose(find_specs(), os.getenv("F") or "")
  for _, job in ipairs(jobs) do
    local start = now()
    local list, output
    if job.kind == "lua" then
      list, output = run_spec(job, lua)
    else
      list, output = run_c_test(job)
    end
    report(job, list, output, now() - start)
    for status, n in pairs(results.count(list)) do total[status] = total[status] + n end
    for _, result in ipairs(list) do
      if result.status == "skipped" then
        skips[#skips + 1] = ("%s: %s: %s"):format(job.path, result.name, result.message)
      end
    end
  end
  if #skips > 0 then print("\nskipped:\n  " .. table.concat(skips, "\n  ")) end
  print(("\n%d passed, %d failed, %d skipped"):format(total.passed, total.failed, total.skipped))
  os.exit(total.failed == 0 and total.passed > 0, true)
end

if arg[1] == "--file" then
  local path <const> = arg[2]
  local runner = "mini"
  if os.getenv("SPEC_RUNNER") ~= "mini" and pcall(require, "busted.core") then runner = "busted" end
  require("spec.run_" .. runner)(path, results.writer(os.getenv("SPEC_RESULT")))
else
  main()
end
