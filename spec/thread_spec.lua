-- SPDX-License-Identifier: MIT
-- asyncio.to_thread, loop:run_in_executor, loop:set_thread_count.

local asyncio <const> = require "asyncio"
local helper <const> = require "spec.helper"

local SLOW <const> = helper.SLOW

-- busted gives each spec an environment of its own; a function that is to be sent must have the
-- globals.
local describe <const>, it <const>, assert <const> = describe, it, assert
local _ENV <const> = _G

-- Runs fn on a loop of its own, which is closed before anything is asserted about it.
local function it_runs(name, fn, options)
  it(name, function()
    local runner <close> = asyncio.Runner {
      loop_factory = function() return asyncio.new_event_loop(options) end,
    }
    runner:run(function() fn(asyncio.get_running_loop()) end)
  end)
end

local function fails(pattern, fn, ...)
  local ok, err = pcall(fn, ...)
  assert.is_false(ok)
  assert.matches(pattern, tostring(err))
  return err
end

-- A job that lasts until `gate` is opened, and leaves a mark when it begins and when it ends.
local function new_gate()
  local base = os.tmpname()
  local gate = { base = base }
  function gate.has(what)
    local file = io.open(base .. what)
    if file then file:close() end
    return file ~= nil
  end
  function gate.open() io.open(base .. ".open", "w"):close() end
  function gate.wait_for(what)
    for _ = 1, 1000 * SLOW do
      if gate.has(what) then return end
      asyncio.sleep(0.01)
    end
    error("no " .. what)
  end
  function gate.remove()
    for _, what in ipairs { "", ".begun", ".open", ".ended" } do os.remove(base .. what) end
  end
  return gate
end

local function pass_gate(base, result)
  io.open(base .. ".begun", "w"):close()
  local file
  for _ = 1, 1000 do -- a spec that fails must not hang
    file = io.open(base .. ".open")
    if file then break end
    os.execute("sleep 0.01")
  end
  file:close()
  io.open(base .. ".ended", "w"):close()
  return result
end

describe("to_thread", function()
  it_runs("returns what the function returns", function()
    assert.same({ 3, "x", nil, n = 4, [4] = false },
      table.pack(asyncio.to_thread(function(a, b) return a + b, "x", nil, false end, 1, 2)))
    assert.equal(0, select("#", asyncio.to_thread(function() end)))
    local function same(...) return ... end
    assert.equal(200, select("#", asyncio.to_thread(same, table.unpack({}, 1, 200))))
  end)

  it("waits at top level", function()
    assert.equal("top", asyncio.to_thread(function() return "top" end))
    local loop = asyncio.get_event_loop()
    asyncio.set_event_loop(nil)
    loop:close()
  end)

  it_runs("takes the name of a library function", function()
    assert.equal("ababab", asyncio.to_thread("string.rep", "ab", 3))
    assert.equal(12, asyncio.to_thread("tonumber", "12"))
    package.loaded["thread_spec.fake"] = { deep = { f = function() end } }
    fails("thread_spec.fake", asyncio.to_thread, "thread_spec.fake.deep.f") -- not to be found there
    package.loaded["thread_spec.fake"] = nil
    assert.equal("late", asyncio.to_thread("asyncio.sleep", 0, "late")) -- found by __index
    fails("no library function is called 'os.nothing'", asyncio.to_thread, "os.nothing")
    fails("no library function is called 'nothing'", asyncio.to_thread, "nothing")
    fails("no library function is called ''", asyncio.to_thread, "")
    fails("no library function is called '%.%.'", asyncio.to_thread, "..")
    fails("no library function is called 'os%.'", asyncio.to_thread, "os.")
  end)

  it_runs("lets other tasks go on meanwhile", function()
    local gate <const> = new_gate()
    local task = asyncio.create_task(asyncio.to_thread, pass_gate, gate.base, "through")
    gate.wait_for(".begun") -- this task runs while the job does
    assert.is_false(task:done())
    gate.open()
    assert.equal("through", task:await())
    gate.remove()
  end)

  it_runs("uses a thread's state again, which is not this one", function()
    _G.thread_spec = "here"
    assert.is_nil(asyncio.to_thread(function()
      local was = _G.thread_spec
      _G.thread_spec = "there"
      return was
    end))
    assert.equal("there", asyncio.to_thread(function() return _G.thread_spec end))
    assert.equal("here", _G.thread_spec)
    _G.thread_spec = nil
  end)

  it_runs("gives the thread the libraries and this state's paths", function()
    local path <const>, cpath <const> = package.path, package.cpath
    package.path = path .. ";./only-here/?.lua"
    local names, its_path, its_cpath = asyncio.to_thread(function()
      local found = {}
      local names_of = { "string", "table", "math", "io", "os", "coroutine", "utf8", "debug" }
      for _, name in ipairs(names_of) do
        found[#found + 1] = type(_G[name])
      end
      return found, package.path, package.cpath
    end)
    assert.equal(8, #names)
    for _, found in ipairs(names) do assert.equal("table", found) end
    assert.equal(package.path, its_path)
    assert.equal(cpath, its_cpath)
    package.path = path
    assert.equal(path, asyncio.to_thread(function() return package.path end))
    assert.equal(5, asyncio.to_thread(function()
      return require("asyncio").run(function() return 5 end) -- a library inside the library
    end))
  end)
end)

describe("what is copied", function()
  it_runs("comes as it was", function()
    local same = function(...) return ... end
    assert.same({ 1, -2.5, "a\0b", true, n = 4 },
      table.pack(asyncio.to_thread(same, 1, -2.5, "a\0b", true)))
    assert.equal("integer", math.type(asyncio.to_thread(same, math.mininteger)))
    assert.equal("float", math.type(asyncio.to_thread(same, 3.0)))
    assert.equal(math.huge, asyncio.to_thread(same, math.huge))
    local nan <const> = asyncio.to_thread(same, 0 / 0)
    assert.is_true(nan ~= nan)
    local list = { 1, 2, { x = { y = { "deep" } } }, [2.5] = false, [true] = "yes" }
    assert.same(list, asyncio.to_thread(same, list))
    local big <const> = ("x"):rep(helper.scale(1000000))
    assert.is_true(big == asyncio.to_thread(same, big))
  end)

  it_runs("keeps cycles and what is shared", function()
    local shared <const> = { "shared" }
    local t <const> = { a = shared, b = shared }
    t.self, t[t] = t, shared
    local there, r = asyncio.to_thread(function(x, y)
      return x.self == x and x.a == x.b and x[x] == x.a and x.a == y, x
    end, t, shared)
    assert.is_true(there)
    assert.is_true(r ~= t and r.self == r and r.a == r.b and r[r] == r.a)
  end)

  it_runs("may be as deep as memory allows", function()
    local depth <const> = helper.scale(100000, 500)
    local list
    for i = 1, depth do list = { i, next = list } end
    local r = asyncio.to_thread(function(l) return l end, list)
    local n = 0
    while r do n, r = n + 1, r.next end
    assert.equal(depth, n)
  end)

  it_runs("is all that can be sent: the rest is refused, by its path", function(loop)
    local ran <const> = os.tmpname()
    os.remove(ran)
    local function job(path) io.open(path, "w"):close() end
    local function refused(pattern, ...) fails(pattern, asyncio.to_thread, job, ...) end
    refused("^argument #3, %.items%[3%]: function:", ran, { items = { 1, 2, print } })
    refused("^argument #3, %.a%.b: table with a metatable:", ran,
      { a = { b = setmetatable({}, {}) } })
    refused("^argument #3: thread:", ran, coroutine.create(print))
    refused("^argument #3: userdata:", ran, io.stdout)
    refused("^argument #3, a key: function:", ran, { [print] = 1 })
    refused('^argument #3, %["a b"%]%[1%.5%]: function:', ran, { ["a b"] = { [1.5] = print } })
    local deep = { print }
    for _ = 1, 40 do deep = { x = deep } end
    refused("^argument #3, %.%.%.%.x%.x", ran, deep)
    refused("^argument #4: function:", ran, 1, print)
    fails("^argument #3, %.x: function:", loop.run_in_executor, loop, nil, job, { x = print })
    local up <const> = ran
    local number = 1
    local function counts() number = number + 1 end
    fails("upvalue 'number'", asyncio.to_thread, counts)
    fails("upvalue 'up'", asyncio.to_thread, function() return tostring(up) .. number end)
    fails("a C function cannot be sent", asyncio.to_thread, print)
    local other <const> = load("return function() return x end", "chunk", "t", { x = 1 })()
    fails("_ENV", asyncio.to_thread, other)
    fails("function or name of a library function expected, got number", asyncio.to_thread, 12)
    fails("library function expected, got no value", asyncio.to_thread)
    fails("nil expected", loop.run_in_executor, loop, "pool", job)
    asyncio.to_thread(function() end) -- whatever was queued before has run now
    assert.is_nil(io.open(ran))
  end)

  it_runs("must be copyable on the way back, too", function()
    fails("^result #2, %.f: function:", asyncio.to_thread, function() return 1, { f = print } end)
    assert.equal(1, asyncio.to_thread(function() return 1 end))
  end)
end)

describe("errors of a job", function()
  it_runs("come as the values that they were", function()
    fails("thread_spec.lua:%d+: boom$", asyncio.to_thread, function() error("boom") end)
    local _, err = pcall(asyncio.to_thread, function() error({ code = 3 }) end)
    assert.same({ code = 3 }, err)
    fails("<it>", asyncio.to_thread, function()
      error(setmetatable({}, { __tostring = function() return "<it>" end }))
    end)
    fails("^%(error object is a table value%)$", asyncio.to_thread, function()
      error(setmetatable({}, { __tostring = function() error("not even that") end }))
    end)
    local ok, none = pcall(asyncio.to_thread, function() error(nil) end)
    assert.is_false(ok)
    assert.is_true(none == nil or type(none) == "string") -- Lua 5.5 makes a string of it
    fails("attempt to", asyncio.to_thread, function() return _G.thread_spec.x end)
    fails("stack overflow", asyncio.to_thread, function()
      local function f() return 1 + f() end
      return f()
    end)
    fails("exit", asyncio.to_thread, function() error("exit", 0) end)
  end)

  it_runs("bring the traceback of the thread", function(loop)
    local function job()
      local function inner_of_the_job() error("deep") end
      inner_of_the_job()
    end
    local task = asyncio.create_task(asyncio.to_thread, job)
    pcall(task.await, task)
    assert.matches("inner_of_the_job", task:traceback())
    assert.matches("thread_spec.lua", task:traceback())
    local future = loop:run_in_executor(nil, job)
    assert.is_false(pcall(future.await, future))
    assert.matches("deep", future:exception())
  end)

  it_runs("are reported if nobody looks", function(loop)
    local seen = {}
    loop:set_exception_handler(function(_, context) seen[#seen + 1] = context end)
    local future = loop:run_in_executor(nil, function() error("unseen", 0) end)
    repeat asyncio.sleep(0.005) until future:done()
    future = nil -- luacheck: ignore
    collectgarbage()
    collectgarbage()
    asyncio.sleep(0)
    assert.equal(1, #seen)
    assert.equal("unseen", seen[1].exception)
    assert.matches("stack traceback", seen[1].traceback)
  end)
end)

describe("cancelling", function()
  it_runs("drops a job that has not begun", function(loop)
    loop:set_thread_count(1)
    local gate <const>, other <const> = new_gate(), new_gate()
    local first = loop:run_in_executor(nil, pass_gate, gate.base)
    gate.wait_for(".begun")
    local second = loop:run_in_executor(nil, pass_gate, other.base)
    local third = loop:run_in_executor(nil, function() return 3 end)
    local fourth = asyncio.create_task(asyncio.to_thread, pass_gate, other.base)
    fails("TimeoutError", asyncio.timeout, 0.01, asyncio.to_thread, pass_gate, other.base)
    assert.is_true(second:cancel())
    assert.is_true(fourth:cancel())
    fails("CancelledError", asyncio.await, fourth)
    gate.open()
    first:await()
    assert.equal(3, third:await())
    asyncio.to_thread("tostring", 1)
    assert.is_true(second:cancelled())
    assert.is_false(other.has(".begun"))
    gate.remove()
    other.remove()
  end, { threads = 4 })

  it_runs("lets a job run on that has begun", function()
    local gate <const> = new_gate()
    local task = asyncio.create_task(asyncio.to_thread, pass_gate, gate.base)
    gate.wait_for(".begun")
    task:cancel()
    local ok, err = pcall(task.await, task)
    assert.is_false(ok)
    assert.is_true(asyncio.is(err, asyncio.CancelledError))
    gate.open()
    gate.wait_for(".ended")
    assert.equal("next", asyncio.to_thread(function() return "next" end))
    gate.remove()
  end)

  it_runs("works through a timeout", function()
    local gate <const> = new_gate()
    local ok, err = pcall(asyncio.wait_for, function()
      asyncio.to_thread(pass_gate, gate.base)
    end, 0.05)
    assert.is_false(ok)
    assert.is_true(asyncio.is(err, asyncio.TimeoutError))
    gate.open()
    gate.wait_for(".ended")
    gate.remove()
  end)

  it_runs("bears a result that somebody else has set", function(loop)
    local future = loop:run_in_executor(nil, function() return "late" end)
    future:set_result("early")
    assert.equal("early", future:await())
    asyncio.to_thread(function() end)
  end)
end)

describe("the threads", function()
  it_runs("are as many as allowed", function(loop)
    local gates, futures = {}, {}
    for i = 1, 3 do
      gates[i] = new_gate()
      futures[i] = loop:run_in_executor(nil, pass_gate, gates[i].base, i)
    end
    gates[1].wait_for(".begun")
    gates[2].wait_for(".begun")
    asyncio.sleep(0.05)
    assert.is_false(gates[3].has(".begun"))
    loop:set_thread_count(3)
    gates[3].wait_for(".begun")
    for i = 3, 1, -1 do
      gates[i].open()
      assert.equal(i, futures[i]:await())
    end
    loop:set_thread_count(1)
    assert.equal("7", asyncio.to_thread("tostring", 7))
    for i = 1, 3 do gates[i].remove() end
  end, { threads = 2 })

  it("are counted by an integer from 1 to 1024", function()
    local loop = asyncio.new_event_loop()
    fails("out of range", loop.set_thread_count, loop, 0)
    fails("out of range", loop.set_thread_count, loop, 1025)
    fails("number expected", loop.set_thread_count, loop, "many")
    loop:close()
    fails("threads must be an integer", asyncio.new_event_loop, { threads = 0 })
    fails("threads must be an integer", asyncio.new_event_loop, { threads = "2" })
  end)

  it_runs("leave libuv's own to names and files, however many are blocked", function(loop)
    loop:set_thread_count(6)
    local gates, futures = {}, {}
    for i = 1, 6 do -- libuv has 4
      gates[i] = new_gate()
      futures[i] = loop:run_in_executor(nil, pass_gate, gates[i].base)
    end
    for i = 1, 6 do gates[i].wait_for(".begun") end
    local waiting <const> = asyncio.create_task(asyncio.to_thread, "tostring", 1)
    asyncio.timeout(5 * SLOW, function()
      assert.is_true(#loop:getaddrinfo("localhost", 80) >= 1)
      local address <const> = { "127.0.0.1", 80 }
      assert.equal("127.0.0.1", (loop:getnameinfo(address, { numeric_host = true })))
      local path <const> = os.tmpname()
      local file <close> = asyncio.open(path, "w+")
      file:write("moves", "\n"):seek("set")
      assert.equal("moves", file:read())
      assert.equal(6, asyncio.fs.stat(path).size)
      asyncio.fs.unlink(path)
      for name in asyncio.fs.scandir("/") do assert.is_string(name) end
    end)
    assert.is_false(waiting:done())
    for i = 1, 6 do assert.is_false(gates[i].has(".ended")) end
    for i = 1, 6 do
      gates[i].open()
      futures[i]:await()
      gates[i].remove()
    end
    assert.equal("1", waiting:await())
  end)

  it_runs("may run loops of their own, with children of their own", function(loop)
    local n <const>, futures = helper.scale(20, 3), {}
    local function job(i)
      local asyncio = require "asyncio" -- luacheck: ignore
      return asyncio.run(function()
        local p = asyncio.create_subprocess_shell(("echo %d; exit %d"):format(i, i),
          { stdout = "pipe" })
        return p:communicate(), p.returncode
      end)
    end
    local own <const> = asyncio.create_subprocess_exec("cat", { stdin = "pipe" })
    for i = 1, n do futures[i] = loop:run_in_executor(nil, job, i) end
    for i = 1, n do
      assert.same({ i .. "\n", i }, { futures[i]:await() })
    end
    own.stdin:close()
    assert.equal(0, own:wait())
  end)

  -- A stack for which there is no room; sanitizers need the room themselves.
  if (os.getenv("SPEC_LUA") or "") == "" then
    it("that cannot be started are an error, and the loop goes on", function()
      local r = helper.run_script([[
        local asyncio = require "asyncio"
        asyncio.run(function()
          local loop = asyncio.get_running_loop()
          print(pcall(asyncio.to_thread, "tostring", 1))
          print(pcall(loop.run_in_executor, loop, nil, "tostring", 1))
          print(asyncio.sleep(0.01, "on"))
        end)
      ]], { env = "ulimit -s 1000000; ulimit -v 800000;" })
      local message = "false\tOSError: thread: resource temporarily unavailable (EAGAIN)\n"
      assert.equal(message .. message .. "on\n", r.out, r.err)
    end)
  end

  it_runs("do many jobs", function(loop)
    local n <const>, sum = helper.scale(500, 20), 0
    local list = {}
    for i = 1, n do list[i] = loop:run_in_executor(nil, function(x) return { x } end, i) end
    for _, results in ipairs(asyncio.gather(list)) do sum = sum + results[1] end
    assert.equal(n * (n + 1) // 2, sum)
  end, { threads = 4 })

  it("are not overtaken by the virtual clock, and are no deadlock", function()
    local loop = asyncio.new_event_loop { clock = "virtual" }
    local gate <const> = new_gate()
    loop:run_until_complete(function()
      local future = loop:run_in_executor(nil, pass_gate, gate.base, "done")
      local late = loop:call_later(3600, function() end)
      repeat asyncio.sleep(0) until gate.has(".begun")
      gate.open()
      assert.equal("done", future:await())
      assert.is_true(loop:time() < 3600)
      late:cancel()
    end)
    assert.equal("alone", loop:run_until_complete(asyncio.to_thread, function()
      os.execute("sleep 0.05")
      return "alone"
    end))
    gate.remove()
    loop:close()
  end)
end)

describe("a job at the end", function()
  it("is waited for by close if it has begun, else dropped", function()
    local loop = asyncio.new_event_loop { threads = 1 }
    local gate <const>, other <const> = new_gate(), new_gate()
    local pending
    loop:run_until_complete(function()
      loop:run_in_executor(nil, pass_gate, gate.base)
      pending = loop:run_in_executor(nil, pass_gate, other.base)
      gate.wait_for(".begun")
    end)
    gate.open()
    loop:close()
    assert.is_true(gate.has(".ended"))
    assert.is_false(other.has(".begun"))
    assert.is_false(pending:done())
    fails("closed", loop.run_in_executor, loop, nil, function() end)
    gate.remove()
    other.remove()
  end)

  it("is named by debug mode when it holds up close", function()
    local r = helper.run_script [[
      local asyncio = require "asyncio"
      local loop = asyncio.new_event_loop{debug = true}
      loop.slow_callback_duration = 60
      loop:run_in_executor(nil, "os.execute", "sleep 0.3")
      loop:run_until_complete(asyncio.sleep, 0.1)
      loop:close()
      print "closed"]]
    assert.equal("closed\n", r.out)
    assert.matches("waits for jobs on threads: 1", r.err)
  end)

  -- The ways to leave a state in the middle of a job; the job has begun, one more has not.
  for name, how in pairs {
    ["lua_close"] = "local keep = loop",
    ["os.exit(0, true) in a task"] = "loop:run_until_complete(function() os.exit(0, true) end)",
    ["os.exit(0) in a task"] = "loop:run_until_complete(function() os.exit(0) end)",
    ["an error"] = "pcall(loop.run_until_complete, loop, function() error('x') end)",
    ["collection"] = "loop = nil collectgarbage() collectgarbage()",
  } do
    it("survives " .. name, function()
      local r = helper.run_script([[
        local asyncio = require "asyncio"
        local loop = asyncio.new_event_loop{threads = 1}
        loop:run_in_executor(nil, function() os.execute("sleep 0.3") return {1} end)
        loop:run_in_executor(nil, "print", "never")
        loop:run_until_complete(asyncio.sleep, 0.1)
      ]] .. how)
      -- without lua_close the threads go on until the process has ended
      if name ~= "os.exit(0) in a task" then assert.equal("", r.out) end
      assert.equal("", r.err)
      assert.equal(0, r.status)
    end)
  end

  it("is no hindrance to SIGINT", function()
    local r = helper.run_script([[
      local asyncio = require "asyncio"
      local ok, err = pcall(asyncio.run, function()
        local file = io.open("/proc/self/stat")
        local pid = file:read("n")
        file:close()
        local killer = io.popen("sleep 0.2; kill -INT " .. pid) -- luacheck: ignore
        asyncio.to_thread(function() io.popen("sleep 0.6"):close() end)
        print "not interrupted"
      end)
      print(ok, asyncio.is(err, asyncio.KeyboardInterrupt))]])
    assert.equal("false\ttrue\n", r.out)
  end)
end)
