-- SPDX-License-Identifier: MIT
-- Random programs: thirty tasks do what comes to their minds with streams, sockets, files,
-- directories, child processes, threads, descriptors and each other, cancel each other, and are cut
-- short by timeouts. What is tested is that it ends, raises nothing but what is documented, and
-- leaves no descriptor and (where a sanitizer looks on) no memory behind. CHAOS=first..last takes
-- other seeds.

local asyncio <const> = require "asyncio"
local helper <const> = require "spec.helper"

local fs <const> = asyncio.fs
local MOST_OBJECTS <const> = 60
local TASKS <const> = 30

local first, last = (os.getenv "CHAOS" or ""):match "^(%d+)%.%.(%d+)$"
first, last = tonumber(first or 1), tonumber(last or helper.scale(6, 1))
local ROUNDS <const> = helper.scale(200, 20)

local function descriptors()
  return asyncio.run(function()
    local count = 0
    for _ in fs.scandir("/proc/self/fd") do count = count + 1 end
    return count
  end)
end

local function remove(path)
  if fs.lstat(path).type ~= "directory" then return fs.unlink(path) end
  for name in fs.scandir(path) do remove(path .. "/" .. name) end
  fs.rmdir(path)
end

-- One program: its random numbers, the objects that all of its tasks know, its directory.
local function new_program(seed)
  math.randomseed(seed)
  return { objects = {}, tasks = {}, servers = {}, dir = fs.mkdtemp(), errors = {} }
end

local random <const> = math.random

local function one_of(list) return list[random(#list)] end

local function odds(n) return random(n) == 1 end

local function keep(program, kind, object)
  local objects <const> = program.objects
  objects[#objects < MOST_OBJECTS and #objects + 1 or random(#objects)] = { kind, object }
end

local function a(program, kind)
  local fitting <const> = {}
  for _, entry in ipairs(program.objects) do
    if entry[1] == kind then fitting[#fitting + 1] = entry[2] end
  end
  return one_of(fitting)
end

local function text() return ("x"):rep(odds(3) and 300000 or random(100)) .. "\n" end

local function path(program) return program.dir .. "/" .. random(6) end

-- What one connection of a server does.
local function serve(program, stream)
  local mode <const> = random(4)
  if mode == 1 then
    for line in stream:lines() do stream:write(line .. "\n") end
    stream:close()
  elseif mode == 2 then
    keep(program, "stream", stream)
    asyncio.sleep(random() * 0.05)
  elseif mode == 3 then
    stream:abort()
  else
    while true do
      local data <const> = stream:recv(1000)
      if not data then break end
      stream:sendall(data)
    end
    stream:close()
  end
end

local function start_servers(program)
  local function handler(stream) serve(program, stream) end
  for i = 1, 2 do
    local server <const> = asyncio.start_server(handler, "127.0.0.1", 0)
    local _, port = server:sockets()[1]:getsockname()
    program.servers[i] = function() return asyncio.open_connection("127.0.0.1", port) end
  end
  local unix <const> = program.dir .. "/socket"
  asyncio.start_unix_server(handler, unix)
  program.servers[3] = function() return (asyncio.open_unix_connection(unix)) end
end

-- What is done with an object of a kind, if there is one.
local WITH <const> = {
  { "stream", function(_, s) s:write(text()) end },
  { "stream", function(_, s) s:sendall(text()) end },
  { "stream", function(_, s) s:drain() end },
  { "stream", function(_, s) s:read(one_of { "l", "n", "L", 10, "a" }) end },
  { "stream", function(_, s) s:recv(random(5000)) end },
  { "stream", function(_, s) s:readuntil("\n") end },
  { "stream", function(_, s) s:readexactly(random(200)) end },
  { "stream", function(_, s) if odds(3) then s:close() end end },
  { "stream", function(_, s) if odds(3) then s:abort() end end },
  { "stream", function(_, s) if odds(3) then s:write_eof() end end },
  { "stream", function(_, s) s:wait_closed() end },
  { "stream", function(_, s) for _ in s:lines() do if odds(3) then break end end end },
  { "stream", function(_, s) asyncio.get_running_loop():sock_recv(s, random(100)) end },
  { "stream", function(p, s) asyncio.sendfile(a(p, "file") or s, s) end },
  { "stream", function(_, s) asyncio.wait_readable(s:fileno()) end },
  { "file", function(_, f) f:write(text(), random(100)) end },
  { "file", function(_, f) f:read(one_of { "l", "n", "a", 5, 70000 }) end },
  { "file", function(_, f) f:seek(one_of { "set", "cur", "end" }, random(100)) end },
  { "file", function(_, f) f:flush() end },
  { "file", function(_, f) if odds(2) then f:close() end end },
  { "process", function(_, process) process:wait() end },
  { "process", function(_, process) process:communicate(text()) end },
  { "process", function(_, process) process:terminate() end },
  { "process", function(_, process)
    local _ <close> = process
    asyncio.sleep(random() * 0.01)
  end },
  { "udp", function(p, u) u:sendto(("y"):rep(random(1000)), a(p, "udp"):getsockname()) end },
  { "udp", function(_, u) u:recvfrom(random(2000)) end },
  { "udp", function(_, u) if odds(3) then u:close() end end },
  { "task", function(_, task) task:cancel() end },
  { "task", function(_, task) asyncio.wait({ task }, { timeout = random() * 0.02 }) end },
  { "task", function(_, task)
    asyncio.get_running_loop():call_later(random() * 0.01, task.cancel, task)
  end },
}

local ALONE <const> = {
  function(p)
    for _, stream in ipairs { asyncio.testing.stream_pair() } do keep(p, "stream", stream) end
  end,
  function(p) keep(p, "stream", one_of(p.servers)()) end,
  function(p)
    keep(p, "file", asyncio.open(path(p), one_of { "r", "w", "a", "r+", "w+", "a+" }))
  end,
  function(p)
    local seen = 0
    for _ in fs.watch(p.dir) do
      seen = seen + 1
      if seen > 2 then break end
    end
  end,
  function(p)
    for _ in fs.scandir(p.dir) do
      if odds(8) then break end
      asyncio.sleep(0)
    end
  end,
  function(p) fs.stat(path(p)) end,
  function(p) fs.unlink(path(p)) end,
  function(p) fs.copyfile(path(p), path(p)) end,
  function(p)
    local process <const> = asyncio.create_subprocess_exec("cat",
      { stdin = "pipe", stdout = "pipe" })
    keep(p, "process", process)
    keep(p, "stream", process.stdin)
    keep(p, "stream", process.stdout)
  end,
  function(p)
    local command <const> = ("echo hi; sleep 0.0%d; exit %d"):format(random(9), random(9))
    keep(p, "process", asyncio.create_subprocess_shell(command,
      { stdout = one_of { "pipe", "devnull" } }))
  end,
  function()
    asyncio.to_thread(function(n)
      local sum = 0
      for i = 1, n do sum = sum + i end
      return sum
    end, random(200000))
  end,
  function() asyncio.get_running_loop():getaddrinfo("127.0.0.1", 80) end,
  function(p)
    local u <const> = asyncio.socket("inet", "dgram")
    u:bind("127.0.0.1", 0)
    keep(p, "udp", u)
  end,
  function() collectgarbage(one_of { "collect", "step" }) end,
  function() asyncio.sleep(random() * 0.01) end,
}

local function act(program)
  if odds(3) then return one_of(ALONE)(program) end
  local kind, f = table.unpack(one_of(WITH))
  local object
  if kind == "task" then
    object = one_of(program.tasks)
    if object == asyncio.current_task() then return end
  else
    object = a(program, kind)
  end
  if object then f(program, object) end
end

-- An error of ours: one of the classes, or one that names where a function was used wrongly (for
-- what communicate does, that is in its own part).
local function is_documented(err)
  for _, name in ipairs { "OSError", "TimeoutError", "CancelledError", "IncompleteReadError",
    "LimitOverrunError", "InvalidStateError" } do
    if asyncio.is(err, asyncio[name]) then return true end
  end
  return type(err) == "string" and
    (err:find("chaos_spec.lua:%d+: ") or err:find("asyncio.subprocess:%d+: ")) ~= nil
end

local function work(program)
  for _ = 1, random(20) do
    local ok, err
    if odds(3) then
      ok, err = pcall(asyncio.wait_for, function() act(program) end, random() * 0.02)
    else
      ok, err = pcall(act, program)
    end
    if not ok and not is_documented(err) then
      program.errors[#program.errors + 1] = tostring(err)
    elseif not ok and asyncio.is(err, asyncio.CancelledError) and odds(2) then
      error(err, 0)
    end
  end
end

local function run_program(seed)
  local program
  local function main()
    program = new_program(seed)
    asyncio.get_running_loop():set_exception_handler(function(_, context)
      if not is_documented(context.exception) then
        program.errors[#program.errors + 1] = context.message .. tostring(context.exception)
      end
    end)
    start_servers(program)
    for i = 1, TASKS do program.tasks[i] = asyncio.create_task(work, program) end
    for _ = 1, ROUNDS do
      program.tasks[random(TASKS)] = asyncio.create_task(work, program)
      asyncio.sleep(random() * 0.004)
    end
  end
  asyncio.run(asyncio.timeout, 120 * helper.SLOW, main)
  asyncio.run(remove, program.dir)
  return program.errors
end

describe("random programs of input and output", function()
  for seed = first, last do
    it(("end well: CHAOS=%d..%d"):format(seed, seed), function()
      if seed == first then run_program(seed) end -- the worker threads and the like are there now
      collectgarbage()
      collectgarbage()
      local before <const> = descriptors()
      assert.same({}, run_program(seed))
      collectgarbage()
      collectgarbage()
      assert.equal(before, descriptors())
    end)
  end
end)
