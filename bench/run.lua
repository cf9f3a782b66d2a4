-- SPDX-License-Identifier: MIT
-- The comparison: `make bench`, in less than two minutes. Every program of bench/ours beside the
-- same work in raw Lua coroutines or raw libuv in C (the reference), and in whichever of luv,
-- cqueues, asyncio and uvloop is installed. All run in turn, round after round, so that a change of
-- the machine's speed meets all alike; printed are medians and their ratio to the reference.
--
--   PYTHON=/usr/bin/python3 make bench     another Python;   ROUNDS=5, SECONDS=300: a longer run
--   ONLY=echo,spawn                        some workloads
-- The medians are also written to build/bench/results.lua, from which bench/plot.lua draws.

local clock <const> = require "benchutil_c"
local LUA <const> = os.getenv "LUA" or "lua5.4"
local PYTHON <const> = os.getenv "PYTHON" or "python3"
local ROUNDS <const> = tonumber(os.getenv "ROUNDS") or 3
local BUDGET <const> = (tonumber(os.getenv "SECONDS") or 105) * 1e9
local ONLY <const> = os.getenv "ONLY"
local BUILD <const> = os.getenv "BENCH_BUILD" or "build/bench"

local function runs(command)
  return (os.execute(command .. " >/dev/null 2>&1"))
end

-- ---- who takes part

-- A program is a command before the workload's arguments, and what stands behind them.
local PEERS <const> = {
  { name = "reference" },
  { name = "ours" },
  { name = "luv", needs = LUA .. " -e 'require \"luv\"'",
    files = { echo = "luv_co.lua", loop = "luv.lua", startup = "luv.lua", "luv_sched.lua" } },
  { name = "cqueues", needs = LUA .. " -e 'require \"cqueues\"'", files = { "cqueues.lua" } },
  { name = "asyncio", needs = PYTHON .. " -c 'import asyncio'",
    files = { echo = "asyncio_streams.py", "py_asyncio.py" } },
  { name = "uvloop", needs = PYTHON .. " -c 'import uvloop'", tail = " uvloop",
    files = { echo = "asyncio_streams.py", startup = false, "py_asyncio.py" } },
}

local function triangle(n)
  return n * (n + 1) // 2
end

-- args, count and check: a run that prints another count or sum has failed.
local WORKLOADS <const> = {
  { name = "echo", title = "64 B x50", reference = "echo_uv", unit = "server CPU, ns a message",
    size = 64, connections = 50 },
  { name = "echo", title = "16 KiB x50", reference = "echo_uv", unit = "server CPU, ns a message",
    size = 16384, connections = 50 },
  { name = "spawn", title = "spawn and join", args = "100000 1000", count = 100000,
    check = triangle(100000), unit = "CPU, ns a task" },
  { name = "switch", title = "2 tasks", args = "2 200000", count = 200000, check = 200000,
    unit = "CPU, ns a switch" },
  { name = "switch", title = "1,000 tasks", args = "1000 200000", count = 200000, check = 200000,
    unit = "CPU, ns a switch" },
  { name = "pingpong", title = "queue ping-pong", args = "100000", count = 100000,
    check = triangle(100000), unit = "CPU, ns an item" },
  { name = "sleepers", title = "50,000 sleepers", args = "50000", count = 50000,
    check = triangle(50000), unit = "CPU, ns a task", reference = "sleepers_uv" },
  { name = "loop", title = "a turn that finds nothing", args = "100000", count = 100000,
    check = 100000, unit = "CPU, ns a turn", reference = "loop_uv" },
  { name = "startup", title = "start-up", args = "", unit = "us of wall time" },
}

local pinned <const> = runs "taskset -c 0,1 true"
local function on_cpu(cpu)
  return pinned and ("taskset -c %d "):format(cpu) or ""
end

-- The command that runs this workload with this peer; nil if the peer has no such program.
local function command_of(workload, peer)
  if peer.name == "reference" then
    if workload.reference then return BUILD .. "/" .. workload.reference end
    local file = workload.name == "startup" and "lua.lua" or "coroutine.lua"
    return ("%s bench/peers/%s/%s"):format(LUA, workload.name, file)
  end
  if peer.name == "ours" then return ("%s bench/ours/%s.lua"):format(LUA, workload.name) end
  local file = peer.files[workload.name]
  if file == nil then file = peer.files[1] end
  if not file then return nil end
  local program = file:match "%.py$" and PYTHON or LUA
  return ("%s bench/peers/%s/%s"):format(program, workload.name, file)
end

-- ---- one run

local function number(text, key)
  return tonumber(text:match('"' .. key .. '": (%-?[%d.]+)'))
end

local function read_all(command)
  local pipe = assert(io.popen(command))
  local text = pipe:read "a"
  return text, pipe:close()
end

local function run_program(workload, peer)
  local command = command_of(workload, peer)
  local text, ok = read_all(("%stimeout 60 %s %s%s 2>&1"):format(on_cpu(0), command, workload.args,
    peer.tail or ""))
  local last = text:match "([^\n]+)\n*$" or "nothing printed"
  if not ok or not number(text, "wall_ns") then return nil, last end
  if number(text, "count") ~= workload.count or number(text, "check") ~= workload.check then
    return nil, "wrong result: " .. last
  end
  return number(text, "cpu_ns") / workload.count -- others may use this machine, too
end

local function run_startup(workload, peer)
  local times = 10
  local begin = clock.wall()
  local ok = os.execute(("%ssh -ec 'for _ in 1 2 3 4 5 6 7 8 9 10; do %s; done' >/dev/null 2>&1")
    :format(on_cpu(0), command_of(workload, peer)))
  if not ok then return nil, "failed" end
  return (clock.wall() - begin) / times / 1000
end

local port = 20000 + clock.wall() // 1000 % 9000 -- below those that the system hands out

-- A server that listens, and its process id; another program may have taken the port.
local function start_server(workload, peer)
  local line
  for _ = 1, 5 do
    port = port + 1
    local server = assert(io.popen(("echo $$; exec %s%s 127.0.0.1 %d%s 2>&1"):format(on_cpu(0),
      command_of(workload, peer), port, peer.tail or "")))
    local pid = server:read "n"
    line = server:read "L" and server:read "l"
    if line == "READY" then return server, pid end
    server:close()
  end
  return nil, "did not start: " .. tostring(line)
end

local function run_echo(workload, peer)
  local server, pid = start_server(workload, peer)
  if not server then return nil, pid end
  local load = ("%s%s/echo_load -p %d "):format(on_cpu(1), BUILD, port)
  local _, verified = read_all(load .. "-c 3 -s 1000 -P 4 -v 20 2>&1")
  local text = read_all(("%s-s %d -c %d -t 0.5 -w 0.1 -S %d 2>&1"):format(load, workload.size,
    workload.connections, pid))
  os.execute("kill -9 " .. pid)
  server:close()
  if not verified then return nil, "a byte came back wrong" end
  return number(text, "server_cpu_ns_per_msg"), text
end

local RUN <const> = { echo = run_echo, startup = run_startup }

-- ---- rounds

local function median(list)
  table.sort(list)
  local n = #list
  return n % 2 == 1 and list[n // 2 + 1] or (list[n // 2] + list[n // 2 + 1]) / 2
end

local function wanted(workload)
  return not ONLY or ("," .. ONLY .. ","):find("," .. workload.name .. ",", 1, true)
end

-- Runs every workload with every peer once; adds to results[workload][peer name].
local function round(peers, results, failures, first)
  for _, workload in ipairs(WORKLOADS) do
    for i = 0, wanted(workload) and #peers - 1 or -1 do
      local peer = peers[(i + first) % #peers + 1] -- every round begins with another one
      local key = workload.title .. ", " .. peer.name
      if command_of(workload, peer) and not failures[key] then
        local value, why = (RUN[workload.name] or run_program)(workload, peer)
        local list = results[workload][peer.name] or {}
        results[workload][peer.name] = list
        list[#list + 1] = value
        if not value then failures[key] = why end
      end
    end
  end
end

local function version(command)
  return (read_all(command .. " 2>&1"):match "[^\n]*" or "?")
end

local function machine()
  local cpus = read_all "nproc 2>/dev/null":match "%d+" or "?"
  local load = read_all "cat /proc/loadavg 2>/dev/null":match "[%d.]+" or "?"
  return ("%s; %s; libuv %s; %s; %s processors, load %s when it began; %s"):format(
    os.date "!%Y-%m-%d", version(LUA .. " -v"):match "Lua [%d.]+",
    version "pkg-config --modversion libuv", version(PYTHON .. " --version"), cpus, load,
    version "uname -sm")
end

local function show(results, peers)
  for _, workload in ipairs(WORKLOADS) do
    if wanted(workload) then
      local reference = results[workload].reference and median(results[workload].reference)
      print(("\n%s: %s, %s"):format(workload.name, workload.title, workload.unit))
      for _, peer in ipairs(peers) do
        local list = results[workload][peer.name]
        if list and list[1] then
          local value = median(list)
          print(("  %-10s %10.0f   %6.2f of the reference"):format(peer.name, value,
            reference and value / reference or 0 / 0))
        end
      end
    end
  end
end

local function save(results, peers, header)
  local file = assert(io.open(BUILD .. "/results.lua", "w"))
  file:write(("return {\n  machine = %q,\n"):format(header))
  for _, workload in ipairs(WORKLOADS) do
    if wanted(workload) then
      file:write(("  { title = %q, unit = %q,\n"):format(workload.name == "echo"
        and "echo " .. workload.title or workload.name == "switch" and "switch, " .. workload.title
        or workload.title, workload.unit))
      for _, peer in ipairs(peers) do
        local list = results[workload][peer.name]
        if list and list[1] then
          file:write(("    { name = %q, value = %.1f },\n"):format(peer.name, median(list)))
        end
      end
      file:write "  },\n"
    end
  end
  file:write "}\n"
  file:close()
end

local begin <const> = clock.wall()
local peers, results, failures = {}, {}, {}
local header <const> = machine()
print(header)
for _, peer in ipairs(PEERS) do
  if not peer.needs or runs(peer.needs) then
    peers[#peers + 1] = peer
  else
    print(("left out: %s, because `%s` fails"):format(peer.name, peer.needs))
  end
end
if not pinned then print "not pinned to processors: there is no taskset, or only one processor" end
for _, workload in ipairs(WORKLOADS) do results[workload] = {} end
local rounds, longest = 0, 0
while rounds < ROUNDS and clock.wall() - begin + longest < BUDGET do
  local started = clock.wall()
  round(peers, results, failures, rounds)
  rounds = rounds + 1
  longest = math.max(longest, clock.wall() - started)
end
show(results, peers)
save(results, peers, header)
print(("\n%d of %d rounds, %.0f s%s"):format(rounds, ROUNDS, (clock.wall() - begin) / 1e9,
  rounds < ROUNDS and "; the time was up" or ""))
for key, why in pairs(failures) do print(("FAILED %s: %s"):format(key, why)) end
os.exit(next(failures) == nil)
