-- SPDX-License-Identifier: MIT
-- What more than one spec needs. Load with `local helper = require "spec.helper"`.

local helper = {}

-- Sizes: 1 in `make test`, less in gc and valgrind. scale(1000) is 1000, 1 in gc; never below
-- `least`.
helper.SCALE = tonumber(os.getenv("SCALE")) or 1

function helper.scale(n, least)
  return math.max(least or 1, math.floor(n * helper.SCALE))
end

-- Where real time is measured, a machine that runs us under valgrind or a sanitizer gets more of
-- it.
helper.SLOW = tonumber(os.getenv("SPEC_SLOW")) or 1

-- What error(nil) raises: Lua 5.5 puts a text in the place of nil.
helper.NIL_RAISED = _VERSION ~= "Lua 5.4" and "<no error object>" or nil

-- Seconds on a clock that only goes forward, for what a process took.
function helper.now()
  local file = io.open("/proc/uptime")
  if not file then return os.time() end
  local seconds = file:read("n")
  file:close()
  return seconds
end

-- Bytes of this process in the kernel's view; nil where there is no /proc.
function helper.resident()
  local file = io.open("/proc/self/statm")
  if not file then return nil end
  local pages = file:read("a"):match("%d+ (%d+)")
  file:close()
  return tonumber(pages) * 4096
end

function helper.quote(s)
  return "'" .. s:gsub("'", "'\\''") .. "'"
end

-- The command that runs a script as this spec is run: with the sanitizer's runtime, under valgrind,
-- by the testing host. `lua` itself is arg[-1] only where nothing stands in front of it.
function helper.lua_command()
  local command = os.getenv("SPEC_LUA")
  if command and command ~= "" then return command end
  local i = -1
  while arg[i - 1] do i = i - 1 end
  return helper.quote(arg[i])
end

-- Writes text to a temporary file and returns its path; the caller removes it.
function helper.temporary_file(text)
  local path = os.tmpname()
  local file = assert(io.open(path, "wb"))
  file:write(text or "")
  file:close()
  return path
end

local function read_and_remove(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read("a")
  file:close()
  os.remove(path)
  return text
end

-- Runs Lua source as a script of its own, in a process of its own, within `seconds` (20). Returns
-- {out=, err=, status=, signal=}: status is nil if a signal ended it, 124 if it took too long.
-- `options`: env (text put before the command, "A=1 B=2"), arguments, stdin (text), seconds.
function helper.run_script(source, options)
  options = options or {}
  local script = helper.temporary_file(source)
  local input = helper.temporary_file(options.stdin)
  local out, err = os.tmpname(), os.tmpname()
  local seconds = math.ceil((options.seconds or 20) * helper.SLOW)
  local command = ("TESTHOST_ARM=1 %s timeout -k 5 %d %s %s %s <%s >%s 2>%s"):format(
    options.env or "", seconds, helper.lua_command(), script, options.arguments or "", input, out,
    err)
  local _, how, code = os.execute(command)
  -- A shell in between reports a signal as 128 plus its number.
  if how == "exit" and code > 128 then how, code = "signal", code - 128 end
  os.remove(script)
  os.remove(input)
  return {
    out = read_and_remove(out),
    err = read_and_remove(err),
    status = how == "exit" and code or nil,
    signal = how == "signal" and code or nil,
  }
end

-- The same for a file of the tree ("examples/lock.lua").
function helper.run_file(path, options)
  local file = assert(io.open(path, "rb"))
  local source = file:read("a")
  file:close()
  return helper.run_script(source, options)
end

return helper
