-- Runs scripts in processes of their own, and compares their output with the comment at their end.
-- Used by seeds_spec.lua and examples_spec.lua. Needs sh and GNU coreutils (timeout, env, date).
--
-- The comment is the last thing in the file:
--
--   --[[ output (0.2 s), with the argument 5
--   waiting: 2
--   Time: {0.2 s}
--   ]]
--
-- Its first line may say, after "output":
--   (0.2 s)                    the whole run takes so long: never less, and hardly more
--   with the argument X        X is given on the command line
--   with the server FILE       FILE runs beside it with the argument 0; its port is the argument
--   as a server                it is run only by the scripts that name it, then gets SIGINT
--   interrupted after N lines  it gets SIGINT when it has printed so many, and goes on
--   ended by Ctrl-C            it ends by SIGINT (where "after N lines" follows, it gets it then):
--                              status 1, and KeyboardInterrupt on stderr, or lua's "interrupted!"
--                              between two waits of the main chunk; such a script is endless, and
--                              may have repeated its last line
--
-- Without the last, the exit status must be 0 and stderr empty.
--
-- In a line, `0x...` stands for an address, `{0.2 s}` for a number of seconds as long as that,
-- `{number}` for any number, `{port}` for the port, `{text}` for any text. A line that
-- begins with four spaces continues the one before it. A tab in the output counts as a space, and
-- the script's directory before a file name is dropped.

local M = {}

-- A run may start late and be slow on a busy machine. What took too long is run again, alone.
local SLACK <const> = 0.25
local ATTEMPTS <const> = 3
local AT_ONCE <const> = 6

-- Instrumented runs are checked for what they print and for the lower bounds of durations only.
local slow <const> = tonumber(os.getenv("SPEC_SLOW")) or 1
local LIMIT <const> = math.ceil(20 * slow)
local KILLED <const> = 128 + 9

local function quote(text)
  return "'" .. text:gsub("'", "'\\''") .. "'"
end

-- The command that runs the spec's interpreter: what spec/run.lua was told, else the first word of
-- the command line.
local function interpreter()
  local command = os.getenv("SPEC_LUA") or ""
  if command ~= "" then
    return command
  end
  local i = 0
  while arg and arg[i - 1] do
    i = i - 1
  end
  return quote(i < 0 and arg[i] or os.getenv("LUA") or "lua")
end

function M.scripts(dir, pattern)
  local names = {}
  local pipe = assert(io.popen("ls " .. quote(dir)))
  for name in pipe:lines() do
    if name:find(pattern) then
      names[#names + 1] = name
    end
  end
  pipe:close()
  return names
end

function M.read(path)
  local file <close> = assert(io.open(path, "rb"))
  return file:read("a")
end

-- What a script's last comment says.
function M.expectation(dir, name)
  local head, body = M.read(dir .. name):match("\n%-%-%[%[ output([^\n]*)\n(.*)%]%]\n$")
  if not head then
    error(name .. " does not end with a comment that shows its output", 0)
  end
  local lines = {}
  for line in body:gsub("\n    ", " "):gmatch("([^\n]*)\n") do
    lines[#lines + 1] = line
  end
  return {
    dir = dir,
    name = name,
    lines = lines,
    seconds = tonumber(head:match("%(([%d.]+) s%)")),
    argument = head:match("with the argument ([%w.]+)"),
    server = head:match("with the server ([%w_.-]+)"),
    after = tonumber(head:match("after (%d+) lines?")),
    is_server = head:find("as a server", 1, true) ~= nil,
    interrupted = head:find("ended by Ctrl-C", 1, true) ~= nil,
  }
end

-- Starts the script. The pipe's first line is the process id, the last is status and duration.
local function start(expected, argument)
  local errors = os.tmpname()
  local command = table.concat({
    "env --default-signal=INT",
    "LUA_PATH=" .. quote(package.path),
    "LUA_CPATH=" .. quote(package.cpath),
    "timeout --foreground -s KILL " .. LIMIT,
    interpreter(),
    quote(expected.dir .. expected.name),
    argument or "",
    "2>" .. quote(errors),
  }, " ")
  local pipe = assert(io.popen(table.concat({
    "unset LUA_PATH_5_4 LUA_CPATH_5_4 LUA_PATH_5_5 LUA_CPATH_5_5",
    "b=$(date +%s%N)",
    "sh -c " .. quote("echo $$; exec " .. command),
    "s=$?",
    "e=$(date +%s%N)",
    [[printf '\n@ %d %d\n' $s $(((e-b)/1000))]],
  }, "; ")))
  return {pipe = pipe, errors = errors, pid = pipe:read("l"), lines = {}}
end

local function read_line(process)
  local line = process.pipe:read("l")
  process.lines[#process.lines + 1] = line
  return line
end

local function interrupt(process)
  os.execute("kill -INT " .. process.pid .. " 2>/dev/null")
end

-- Reads the rest of the output, status and duration.
local function finish(process)
  while read_line(process) do
    -- read_line keeps it
  end
  process.pipe:close()
  local lines = process.lines
  local status, microseconds = table.remove(lines):match("^@ (%d+) (%d+)$")
  process.status, process.seconds = tonumber(status), tonumber(microseconds) / 1e6
  if lines[#lines] == "" then
    lines[#lines] = nil -- the newline before the @
  end
  process.stderr = M.read(process.errors)
  os.remove(process.errors)
  return process
end

-- Starts a script and, before it, the server that it needs.
local function launch(expected)
  local argument = expected.argument
  local server
  if expected.server then
    server = start({dir = expected.dir, name = expected.server}, "0")
    argument = (read_line(server) or ""):match("(%d+)$") or "0"
  end
  local process = start(expected, argument)
  process.server = server
  return process
end

local function complete(expected, process)
  if expected.after then
    for _ = 1, expected.after do
      read_line(process)
    end
    interrupt(process)
  end
  finish(process)
  if process.server then
    interrupt(process.server)
    finish(process.server)
  end
  return process
end

-- Runs all of them, several at once; returns the finished processes by name.
function M.run(list)
  local done, running = {}, {}
  local function complete_first()
    local first = table.remove(running, 1)
    done[first.expected.name] = complete(first.expected, first.process)
  end
  for _, expected in ipairs(list) do
    if #running == AT_ONCE then
      complete_first()
    end
    running[#running + 1] = {expected = expected, process = launch(expected)}
  end
  while running[1] do
    complete_first()
  end
  return done
end

-- An expected line as a pattern, and the durations that its captures must have.
local function to_pattern(line)
  local durations = {}
  local function placeholder(text)
    local seconds = text:match("^{([%d.]+) s}$")
    if seconds then
      durations[#durations + 1] = tonumber(seconds)
      return "(%d+%.?%d*[e%d-]*)"
    elseif text == "{number}" then
      return "%d+%.?%d*"
    elseif text == "{port}" then
      return "%d+"
    elseif text == "{text}" then
      return ".+"
    end
    return (text:gsub("%p", "%%%0"))
  end
  local parts, at = {}, 1
  line = line:gsub("0x%.%.%.", "\1")
  while at <= #line do
    local from, to = line:find("{[^{}]*}", at)
    parts[#parts + 1] = line:sub(at, (from or 0) - 1):gsub("%p", "%%%0")
    if from then
      parts[#parts + 1] = placeholder(line:sub(from, to))
    end
    at = (to or #line) + 1
  end
  return "^" .. table.concat(parts):gsub("\1", "0x%%x+") .. "$", durations
end

local function add(problems, text, ...)
  problems[#problems + 1] = text:format(...)
end

-- Short of a duration is wrong; past it may only mean that the machine is busy.
local function check_duration(problems, what, got, wanted)
  if got < wanted - 0.002 then
    add(problems, "%s: %.3f s, less than %g s", what, got, wanted)
  elseif slow <= 1 and got > wanted + SLACK then
    add(problems, "%s: %.3f s, more than %g s", what, got, wanted)
    problems.late = (problems.late or 0) + 1
  end
end

local function check_line(problems, number, got, wanted)
  local pattern, durations = to_pattern(wanted)
  local captures = {got:find(pattern)}
  if not captures[1] then
    add(problems, "line %d is      %s\n  it should be %s", number, got, wanted)
    return
  end
  for i, seconds in ipairs(durations) do
    check_duration(problems, "line " .. number, tonumber(captures[i + 2]), seconds)
  end
end

local function check_output(problems, expected, process)
  local prefix = expected.dir:gsub("%p", "%%%0")
  local repeated = expected.interrupted and expected.after and expected.lines[#expected.lines]
  for i = 1, math.max(#expected.lines, #process.lines) do
    local got, wanted = process.lines[i], expected.lines[i] or repeated
    if not wanted then
      add(problems, "a line too many: %s", got)
    elseif not got then
      add(problems, "line %d is missing: %s", i, wanted)
    else
      check_line(problems, i, got:gsub("\t", " "):gsub(prefix, ""), wanted)
    end
  end
end

local function check_end(problems, expected, process)
  local status = expected.interrupted and 1 or 0
  if process.status == KILLED then
    add(problems, "it did not end within %d s", LIMIT)
  elseif process.status ~= status then
    add(problems, "status %d instead of %d", process.status, status)
  end
  if expected.interrupted then
    if not process.stderr:find("KeyboardInterrupt", 1, true)
      and not process.stderr:find("interrupted!", 1, true) then
      add(problems, "stderr says nothing of an interrupt")
    end
  elseif process.stderr ~= "" then
    add(problems, "stderr is not empty")
  end
end

local function check(problems, expected, process)
  check_output(problems, expected, process)
  check_end(problems, expected, process)
  if problems[1] and process.stderr ~= "" then
    problems.stderr = (problems.stderr or "") .. process.stderr
  end
  if expected.seconds then
    check_duration(problems, "the whole run", process.seconds, expected.seconds)
  end
end

local function verdict(expected, process)
  local problems = {}
  check(problems, expected, process)
  if expected.server then
    check(problems, M.expectation(expected.dir, expected.server), process.server)
  end
  return problems
end

-- Raises what is wrong with a finished process. One that was only late gets another chance.
function M.check(expected, process)
  local problems = verdict(expected, process)
  local attempt = 1
  while problems.late and problems.late == #problems and attempt < ATTEMPTS do
    problems = verdict(expected, complete(expected, launch(expected)))
    attempt = attempt + 1
  end
  if problems[1] then
    local text = expected.dir .. expected.name .. ":\n  " .. table.concat(problems, "\n  ")
    error(problems.stderr and text .. "\nstderr:\n" .. problems.stderr or text, 0)
  end
end

-- Defines one test for each script of a directory; all of them run when the first is asked for.
function M.define(it, dir, pattern)
  local list, done = {}, nil
  for _, name in ipairs(M.scripts(dir, pattern)) do
    local expected = M.expectation(dir, name)
    if not expected.is_server then
      list[#list + 1] = expected
    end
  end
  for _, expected in ipairs(list) do
    it(expected.name, function()
      done = done or M.run(list)
      M.check(expected, done[expected.name])
    end)
  end
end

return M
