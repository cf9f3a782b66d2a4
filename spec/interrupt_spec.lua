-- SPDX-License-Identifier: MIT
-- Ctrl-C. Every case is a process of its own that sends SIGINT to itself.

local helper <const> = require "spec.helper"

-- A shell that runs tests in the background ignores SIGINT, and we would inherit that.
local ENV <const> = "env --default-signal=INT"

local HEAD <const> = [[
local asyncio = require "asyncio"
io.stdout:setvbuf "line"
local shell = io.popen "echo $PPID"
local pid = shell:read "n"
shell:close()
-- io.popen, since os.execute ignores SIGINT while it waits.
local function interrupt() io.popen("kill -INT " .. pid):close() end
local function guard(name)
  return setmetatable({}, { __close = function(_, err)
    print(name .. ": " .. tostring(err))
    asyncio.sleep(0.001)
    print(name .. " clean")
  end })
end
local function busy()
  local start = os.clock()
  while os.clock() < start + 10 do end
  print "was not interrupted"
end
]]

local function run(source)
  if not os.execute(ENV .. " true 2>/dev/null") then
    pending("env cannot set what is done with SIGINT")
  end
  return helper.run_script(HEAD .. source, { env = ENV, seconds = 30 })
end

-- Runs to its end and has printed so.
local function prints(source, expected)
  local result = run(source)
  assert.equal("", result.err)
  assert.equal(expected, result.out)
  assert.equal(0, result.status)
end

describe("SIGINT in asyncio.run", function()
  it("cancels the main task, whose cleanup runs, then raises KeyboardInterrupt", function()
    prints([[
      local ok, err = pcall(asyncio.run, function()
        asyncio.get_running_loop():call_later(0.001, interrupt)
        local _ <close> = guard "main"
        asyncio.sleep(20)
      end)
      print(ok, err, asyncio.is(err, asyncio.KeyboardInterrupt))
    ]], "main: CancelledError\nmain clean\nfalse\tKeyboardInterrupt\ttrue\n")
  end)

  it("then cancels the other tasks as every end does", function()
    prints([[
      print(pcall(asyncio.run, function()
        asyncio.create_task(function()
          local _ <close> = guard "task"
          asyncio.sleep(20)
        end)
        asyncio.sleep(0)
        interrupt()
        asyncio.sleep(20)
      end))
    ]], "task: CancelledError\ntask clean\nfalse\tKeyboardInterrupt\n")
  end)

  it("comes from the terminal while the loop sleeps, or before it does", function()
    prints([[
      print(pcall(asyncio.run, function()
        os.execute("(sleep 0.05; kill -INT " .. pid .. ") &")
        asyncio.sleep(20)
      end))
      print(pcall(asyncio.run, function()
        interrupt()
        asyncio.sleep(20)
      end))
    ]], "false\tKeyboardInterrupt\nfalse\tKeyboardInterrupt\n")
  end)

  it("is only a cancellation if the main task ends otherwise", function()
    prints([[
      print(asyncio.run(function()
        interrupt()
        local ok, err = pcall(asyncio.sleep, 20)
        print(ok, err)
        return "result"
      end))
      print(pcall(asyncio.run, function()
        interrupt()
        pcall(asyncio.sleep, 20)
        error("other", 0)
      end))
    ]], "false\tCancelledError\nresult\nfalse\tother\n")
  end)

  it("uncaught: the message on stderr and status 1", function()
    local result = run [[
      asyncio.run(function()
        interrupt()
        asyncio.sleep(20)
      end)
    ]]
    assert.equal(1, result.status)
    assert.matches("^[^\n]*KeyboardInterrupt\n", result.err)
    assert.equal("", result.out)
  end)

  it("a second one interrupts a busy Lua loop", function()
    prints([[
      print(pcall(asyncio.run, function()
        interrupt()
        interrupt()
        busy()
      end))
    ]], "false\tKeyboardInterrupt\n")
  end)

  it("a second one interrupts a busy generator, callback, sort", function()
    prints([[
      print(pcall(asyncio.run, function()
        interrupt()
        asyncio.wrap(function()
          interrupt()
          busy()
        end)()
      end))
      print(pcall(asyncio.run, function()
        asyncio.get_running_loop():call_soon(function()
          interrupt()
          interrupt()
          busy()
        end)
        asyncio.sleep(20)
      end))
      print(pcall(asyncio.run, function()
        interrupt()
        interrupt()
        table.sort({ 3, 2, 1 }, function(a, b)
          busy()
          return a < b
        end)
      end))
    ]], ("false\tKeyboardInterrupt\n"):rep(3))
  end)

  it("a second one does not wait for a task that swallows the first", function()
    prints([[
      print(pcall(asyncio.run, function()
        interrupt()
        pcall(asyncio.sleep, 20)
        print "swallowed"
        interrupt()
        asyncio.sleep(20)
      end))
    ]], "swallowed\nfalse\tKeyboardInterrupt\n")
  end)

  it("during the end it raises KeyboardInterrupt; the loop is closed all the same", function()
    prints([[
      local loop
      print(pcall(asyncio.run, function()
        loop = asyncio.get_running_loop()
        asyncio.create_task(function()
          local _ <close> = setmetatable({}, { __close = function()
            interrupt()
            asyncio.sleep(20)
          end })
          asyncio.sleep(20)
        end)
        asyncio.sleep(0)
      end))
      print(loop:is_closed())
    ]], "false\tKeyboardInterrupt\ntrue\n")
  end)

  it("what the hook does not reach ends by the signal at last", function()
    local result = run [[
      asyncio.run(function()
        coroutine.wrap(function() -- a coroutine that the library does not know
          for _ = 1, 4 do interrupt() end
          busy()
        end)()
      end)
    ]]
    assert.equal("", result.out)
    assert.is_true(result.signal == 2 or result.status == 130)
  end)
end)

describe("SIGINT in Runner", function()
  it("the same; the runner can go on", function()
    prints([[
      local runner = asyncio.Runner()
      for _ = 1, 2 do
        print(pcall(runner.run, runner, function()
          interrupt()
          local _ <close> = guard "main"
          asyncio.sleep(20)
        end))
      end
      print(runner:run(asyncio.sleep, 0, "fine"))
      runner:close()
    ]], ("main: CancelledError\nmain clean\nfalse\tKeyboardInterrupt\n"):rep(2) .. "fine\n")
  end)
end)

describe("SIGINT elsewhere raises KeyboardInterrupt and leaves the tasks as they are:", function()
  it("run_until_complete", function()
    prints([[
      local loop = asyncio.new_event_loop()
      local task = loop:create_task(asyncio.sleep, 0.01, "slept")
      loop:call_soon(interrupt)
      print(pcall(loop.run_until_complete, loop, task))
      print(task:done(), task:cancelling())
      print(loop:run_until_complete(task))
      loop:close()
    ]], "false\tKeyboardInterrupt\nfalse\t0\nslept\n")
  end)

  it("run_forever", function()
    prints([[
      local loop = asyncio.new_event_loop()
      for _ = 1, 2 do
        loop:call_soon(interrupt)
        print(pcall(loop.run_forever, loop))
      end
      loop:close()
    ]], ("false\tKeyboardInterrupt\n"):rep(2))
  end)

  it("a wait at top level", function()
    prints([[
      asyncio.get_event_loop():call_soon(interrupt)
      print(pcall(asyncio.sleep, 20))
      print(asyncio.sleep(0, "again"))
    ]], "false\tKeyboardInterrupt\nagain\n")
  end)

  it("a busy task, at the first", function()
    prints([[
      local loop = asyncio.new_event_loop()
      print(pcall(loop.run_until_complete, loop, function()
        interrupt()
        busy()
      end))
      loop:close()
    ]], "false\tKeyboardInterrupt\n")
  end)

  it("a busy callback in run_forever, at the first", function()
    prints([[
      local loop = asyncio.new_event_loop()
      loop:call_soon(function()
        interrupt()
        busy()
      end)
      print(pcall(loop.run_forever, loop))
      loop:close()
    ]], "false\tKeyboardInterrupt\n")
  end)

  it("uncaught there, too: status 1", function()
    local result = run [[
      local loop = asyncio.get_event_loop()
      loop:call_soon(interrupt)
      loop:run_forever()
    ]]
    assert.equal(1, result.status)
    assert.matches("KeyboardInterrupt", result.err)
  end)
end)

describe("what is done with signals", function()
  it("is as before after each run: lua's own interrupt works again", function()
    local result = run [[
      asyncio.run(asyncio.sleep, 0)
      print(pcall(asyncio.run, function() interrupt() asyncio.sleep(20) end))
      print "now"
      interrupt()
      busy()
    ]]
    assert.equal("false\tKeyboardInterrupt\nnow\n", result.out)
    assert.equal(1, result.status)
    assert.matches("interrupted!", result.err)
  end)

  it("does not change before a loop runs", function()
    local result = run [[
      asyncio.get_event_loop():create_task(asyncio.sleep, 1)
      interrupt()
      busy()
    ]]
    assert.equal(1, result.status)
    assert.matches("interrupted!", result.err)
  end)

  it("SIGPIPE does not kill once there is a loop", function()
    local source = [[
      %s
      local pipe = io.popen("exit 0", "w")
      os.execute "sleep 0.05"
      local ok, err
      for _ = 1, 10 do ok, err = pipe:write(("x"):rep(100000)) end
      pipe:close()
      print(ok, err)
    ]]
    local without = helper.run_script(source:format(""))
    assert.equal("", without.out)
    local with = helper.run_script(source:format('require "asyncio".new_event_loop():close()'))
    assert.equal(0, with.status)
    assert.matches("nil\tBroken pipe", with.out)
  end)
end)
