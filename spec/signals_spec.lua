-- SPDX-License-Identifier: MIT
-- Signal handlers of the program's own, on one loop and on several, and what they give back.

local asyncio <const> = require "asyncio"
local helper <const> = require "spec.helper"

local get_running_loop <const> = asyncio.get_running_loop

-- Sends a signal to this process. Lua's os.execute ignores SIGINT while it runs its command: the
-- kill comes later, from a shell of its own.
local function send(signal, seconds)
  assert(os.execute(("(sleep %s; kill -%s $PPID) &"):format(seconds or 0, signal)))
end

local function refuses(message, f, ...)
  local ok, err = pcall(f, ...)
  assert.is_false(ok)
  assert.truthy(tostring(err):find(message, 1, true), tostring(err))
end

describe("add_signal_handler", function()
  it("calls its function with its arguments, in a turn of the loop", function()
    asyncio.run(function()
      local loop <const> = get_running_loop()
      local came <const>, got = asyncio.Event(), nil
      local var <const> = asyncio.ContextVar("var")
      var:set("of the adder")
      loop:add_signal_handler("SIGUSR1", function(...)
        got = { var:get(), ... }
        came:set()
      end, 1, nil, "x")
      var:set("later")
      send("USR1")
      asyncio.timeout(5 * helper.SLOW, came.wait, came)
      assert.same({ "of the adder", 1, nil, "x" }, got)
      assert.is_true(loop:remove_signal_handler("SIGUSR1"))
      assert.is_false(loop:remove_signal_handler("SIGUSR1"))
    end)
  end)

  it("takes names and numbers, and has one handler for each signal", function()
    asyncio.run(function()
      local loop <const> = get_running_loop()
      local queue <const> = asyncio.Queue()
      local function put(what) queue:put_nowait(what) end
      loop:add_signal_handler(10, put, "replaced") -- SIGUSR1 on Linux
      loop:add_signal_handler("SIGUSR1", put, "one")
      loop:add_signal_handler("SIGUSR2", put, "two")
      send("USR1")
      assert.equal("one", asyncio.timeout(5 * helper.SLOW, queue.get, queue))
      send("USR2")
      assert.equal("two", asyncio.timeout(5 * helper.SLOW, queue.get, queue))
      assert.is_true(loop:remove_signal_handler(10))
      assert.is_true(loop:remove_signal_handler("SIGUSR2"))
    end)
  end)

  it("refuses what is no signal, and what cannot be caught", function()
    asyncio.run(function()
      local loop <const> = get_running_loop()
      refuses("unknown signal 'SIGFOO'", loop.add_signal_handler, loop, "SIGFOO", print)
      refuses("unknown signal 'TERM'", loop.remove_signal_handler, loop, "TERM")
      refuses("no signal of this number", loop.add_signal_handler, loop, 0, print)
      refuses("no signal of this number", loop.add_signal_handler, loop, 1000, print)
      refuses("integer", loop.add_signal_handler, loop, 1.5, print)
      refuses("name or number of a signal expected", loop.add_signal_handler, loop, {}, print)
      refuses("function expected", loop.add_signal_handler, loop, "SIGUSR1", "print")
      refuses("cannot be caught", loop.add_signal_handler, loop, "SIGKILL", print)
      refuses("cannot be caught", loop.add_signal_handler, loop, "SIGSTOP", print)
      assert.is_false(loop:remove_signal_handler("SIGKILL"))
    end)
    local closed <const> = asyncio.new_event_loop()
    closed:close()
    refuses("closed", closed.add_signal_handler, closed, "SIGUSR1", print)
    refuses("closed", closed.remove_signal_handler, closed, "SIGUSR1")
  end)

  it("reports what the function raises, and goes on", function()
    asyncio.run(function()
      local loop <const> = get_running_loop()
      local came <const>, calls, reported = asyncio.Queue(), 0, nil
      loop:set_exception_handler(function(_, context) reported = context end)
      loop:add_signal_handler("SIGUSR1", function()
        calls = calls + 1
        came:put_nowait(calls)
        error("in the handler", 0)
      end)
      for i = 1, 2 do
        send("USR1")
        assert.equal(i, asyncio.timeout(5 * helper.SLOW, came.get, came))
        assert.equal("in the handler", reported.exception)
        reported = nil
      end
    end)
  end)

  it("may be removed by its own function, also with more signals to tell", function()
    asyncio.run(function()
      local loop <const> = get_running_loop()
      local calls, came = 0, asyncio.Event()
      loop:add_signal_handler("SIGUSR1", function()
        calls = calls + 1
        assert(loop:remove_signal_handler("SIGUSR1"))
        collectgarbage()
        came:set()
      end)
      loop:add_signal_handler("SIGUSR2", function() error("never told") end)
      assert(os.execute("kill -USR1 $PPID"))
      asyncio.timeout(5 * helper.SLOW, came.wait, came)
      asyncio.sleep(0)
      assert.equal(1, calls)
      loop:remove_signal_handler("SIGUSR2")
    end)
  end)

  it("wakes who waits for nothing else: that is no deadlock", function()
    asyncio.run(function()
      local loop <const> = get_running_loop()
      local future <const> = loop:create_future()
      loop:add_signal_handler("SIGTERM", function() future:set_result("stop") end)
      send("TERM", 0.05)
      assert.equal("stop", future:await())
    end)
  end)

  it("refuses to wait in the function", function()
    asyncio.run(function()
      local loop <const> = get_running_loop()
      local came <const> = asyncio.Queue()
      loop:add_signal_handler("SIGUSR1", function()
        came:put_nowait(select(2, pcall(asyncio.sleep, 0)))
      end)
      send("USR1")
      local err <const> = asyncio.timeout(5 * helper.SLOW, came.get, came)
      assert.truthy(tostring(err):find("callback", 1, true), tostring(err))
    end)
  end)
end)

describe("several loops", function()
  it("each have their own handler of one signal, and all are called", function()
    local a <const>, b <const> = asyncio.new_event_loop(), asyncio.new_event_loop()
    local calls <const> = {}
    for name, loop in pairs { a = a, b = b } do
      loop:add_signal_handler("SIGUSR1", function()
        calls[name] = (calls[name] or 0) + 1
        loop:stop()
      end)
    end
    assert(os.execute("kill -USR1 $PPID"))
    a:run_forever()
    b:run_forever()
    assert.same({ a = 1, b = 1 }, calls)
    assert.is_true(a:remove_signal_handler("SIGUSR1"))
    assert(os.execute("kill -USR1 $PPID")) -- would end this process if nobody watched it
    b:run_forever()
    assert.same({ a = 1, b = 2 }, calls)
    a:close()
    b:close()
  end)
end)

-- Scripts of their own: what they do to signals is theirs.
describe("the disposition that was there before", function()
  it("is the system's: the signal ends the process", function()
    for _, how in ipairs { 'loop:remove_signal_handler("SIGUSR1")', "loop:close()" } do
      local r <const> = helper.run_script(([[
        local asyncio = require "asyncio"
        local loop = asyncio.new_event_loop()
        loop:add_signal_handler("SIGUSR1", function() loop:stop() end)
        os.execute "kill -USR1 $PPID"
        loop:run_forever()
        %s
        print "told" io.stdout:flush()
        os.execute "kill -USR1 $PPID"
        print "still there"
      ]]):format(how))
      assert.equal("told\n", r.out, r.err)
      assert.equal(10, r.signal)
    end
  end)

  it("is that of whoever ignored it", function()
    local r <const> = helper.run_script([[
      local asyncio = require "asyncio"
      local loop = asyncio.new_event_loop()
      local other = asyncio.new_event_loop()
      loop:add_signal_handler("SIGUSR2", function() print "told" loop:stop() end)
      other:add_signal_handler("SIGUSR2", print)
      os.execute "kill -USR2 $PPID"
      loop:run_forever()
      loop:remove_signal_handler("SIGUSR2") -- the first who came goes first
      other:close()
      os.execute "kill -USR2 $PPID"
      print "still there"
    ]], { env = "true; trap '' USR2; TESTHOST_ARM=1" })
    assert.equal("told\nstill there\n", r.out, r.err)
    assert.equal(0, r.status)
  end)

  -- os.time, because ThreadSanitizer holds a signal back until the C library is called.
  it("is lua's own for SIGINT: it interrupts a busy script again", function()
    local r <const> = helper.run_script([[
      local asyncio = require "asyncio"
      local loop = asyncio.new_event_loop()
      loop:add_signal_handler("SIGINT", function() print "told" loop:stop() end)
      os.execute "(sleep 0.2; kill -INT $PPID) &"
      loop:run_forever()
      loop:close()
      os.execute "(sleep 0.2; kill -INT $PPID) &"
      print(pcall(function() while true do os.time() end end))
    ]])
    assert.truthy(r.out:find("^told\nfalse\t.*interrupted!"), r.out .. r.err)
  end)
end)

describe("a SIGINT handler of the program's", function()
  it("comes before the Ctrl-C of run, and gives it back when it is removed", function()
    local r <const> = helper.run_script([[
      local asyncio = require "asyncio"
      local function interrupt() os.execute "(sleep 0.2; kill -INT $PPID) &" end
      print(pcall(asyncio.run, function()
        local loop, came = asyncio.get_running_loop(), asyncio.Event()
        loop:add_signal_handler("SIGINT", function() came:set() end)
        interrupt()
        came:wait()
        print "told"
        loop:remove_signal_handler("SIGINT")
        interrupt()
        asyncio.sleep(20)
      end))
    ]])
    assert.truthy(r.out:find("^told\nfalse\tKeyboardInterrupt"), r.out .. r.err)
  end)

  it("that is there before the loop runs stays, and so does one that a run leaves", function()
    local r <const> = helper.run_script([[
      local asyncio = require "asyncio"
      local function interrupt() os.execute "(sleep 0.2; kill -INT $PPID) &" end
      local loop = asyncio.get_event_loop()
      loop:add_signal_handler("SIGINT", function() print "first" loop:stop() end)
      interrupt()
      loop:run_forever()
      loop:remove_signal_handler("SIGINT")
      loop:run_until_complete(function()
        loop:add_signal_handler("SIGINT", function() print "second" loop:stop() end)
      end)
      interrupt()
      loop:run_forever()
      loop:remove_signal_handler("SIGINT")
      interrupt()
      print(pcall(function() while true do os.time() end end))
      loop:close()
    ]])
    assert.truthy(r.out:find("^first\nsecond\nfalse\t.*interrupted!"), r.out .. r.err)
  end)

  it("stops a server in order", function()
    local r <const> = helper.run_script([[
      local asyncio = require "asyncio"
      asyncio.run(function()
        local server <close> = asyncio.start_server(function() end, "127.0.0.1", 0)
        local task = asyncio.current_task()
        asyncio.get_running_loop():add_signal_handler("SIGTERM", task.cancel, task)
        os.execute "(sleep 0.1; kill -TERM $PPID) &"
        local ok, err = pcall(server.serve_forever, server)
        print(ok, asyncio.is(err, asyncio.CancelledError))
        task:uncancel()
      end)
      print "in order"
    ]])
    assert.equal("false\ttrue\nin order\n", r.out, r.err)
    assert.equal(0, r.status)
  end)
end)

describe("lua_close", function()
  it("is safe with handlers in place and signals on their way", function()
    for _, ending in ipairs { "os.exit(0, true)", "return", "os.exit(0)" } do
      local r <const> = helper.run_script(([[
        local asyncio = require "asyncio"
        local loop = asyncio.get_event_loop()
        loop:add_signal_handler("SIGUSR1", print, "never told")
        loop:add_signal_handler("SIGINT", print, "never told")
        loop:run_until_complete(function() asyncio.sleep(0) end)
        os.execute "kill -USR1 $PPID"
        %s
      ]]):format(ending))
      assert.equal("", r.out .. r.err)
      assert.equal(0, r.status)
    end
  end)
end)
