-- SPDX-License-Identifier: MIT
-- asyncio.stdin, stdout and stderr over everything that they can be: each script runs in a process
-- of its own, on descriptors that the module spec.posix (C) has made for it, terminals among them.

local helper <const> = require "spec.helper"
local posix <const> = require "spec.posix"

local SIGHUP <const>, SIGINT <const>, SIGTERM <const> = 1, 2, 15
local MILLISECONDS <const> = math.ceil(20000 * helper.SLOW)

-- ---- running scripts

local PRELUDE <const> = [[
local asyncio = require "asyncio"
local stdin, stdout, stderr = asyncio.stdin, asyncio.stdout, asyncio.stderr
]]

local running <const> = {}

-- Starts a script on descriptors (see posix.spawn); its stderr goes to a file; `line` is
-- what the shell does, if that is more than COMMAND.
local function start(source, fds)
  local run <const> = { script = helper.temporary_file(PRELUDE .. source), err = os.tmpname() }
  local err <const> = posix.open(run.err, "w")
  local all <const> = { stderr = err }
  for name, fd in pairs(fds) do all[name] = fd end
  local command <const> = (fds.line or "exec COMMAND"):gsub("COMMAND",
    { COMMAND = helper.lua_command() .. " " .. run.script })
  run.pid = posix.spawn({ "/bin/sh", "-c", "export TESTHOST_ARM=1; " .. command }, all)
  posix.close(err)
  running[#running + 1] = run
  return run
end

-- How it ended ("exit" or "signal" or "stopped", number), and what it wrote to stderr.
local function finish(run)
  local how <const>, code <const> = posix.wait(run.pid, MILLISECONDS)
  assert(how, "the script has not ended in time")
  if how ~= "stopped" then run.pid = nil end
  local file <const> = assert(io.open(run.err))
  local text <const> = file:read("a")
  file:close()
  return how, code, text
end

local function ends_well(run)
  local how <const>, code <const>, err <const> = finish(run)
  assert.equal("", err)
  assert.equal("exit 0", how .. " " .. code)
end

local function clean_up()
  for i, run in ipairs(running) do
    if run.pid then
      pcall(posix.kill, run.pid, 9)
      pcall(posix.wait, run.pid)
    end
    os.remove(run.script)
    os.remove(run.err)
    running[i] = nil
  end
end

local function read_all(fd)
  local parts <const> = {}
  repeat
    assert(posix.readable(fd, MILLISECONDS), "nothing comes")
    local part <const> = posix.read(fd, 65536) or "" -- a terminal without a user: an error
    parts[#parts + 1] = part
  until part == ""
  posix.close(fd)
  return table.concat(parts)
end

local function nap(milliseconds)
  posix.readable(-1, milliseconds)
end

-- Reads until the text has come; returns what came before.
local function expect(fd, text)
  local got = ""
  while not got:find(text, 1, true) do
    assert(posix.readable(fd, MILLISECONDS), "this came: " .. got)
    local part <const> = posix.read(fd, 1)
    assert(part and part ~= "", "the end came after: " .. got)
    got = got .. part
  end
  return got:sub(1, -#text - 1)
end

-- A script between two pipes: run, where its input is written, where its output is read.
local function between_pipes(source, fds)
  local from <const>, input <const> = posix.pipe()
  local output <const>, to <const> = posix.pipe()
  fds = fds or {}
  fds.stdin, fds.stdout = from, to
  local run <const> = start(source, fds)
  posix.close(from)
  posix.close(to)
  return run, input, output
end

-- A script on a terminal: run, the user's side, the slave.
local function on_terminal(source, fds)
  local user <const>, slave <const> = posix.pty()
  fds = fds or {}
  fds.terminal = slave
  return start(source, fds), user, slave
end

local function close(...)
  for _, fd in ipairs { ... } do posix.close(fd) end
end

-- The same again with descriptors that cannot be opened once more: a thread reads and writes then.
local function both_ways(name, f)
  it(name, function() f({}) end)
  it(name .. ", by a thread", function() f({ shut = true }) end)
end

local can_stop <const> = not (os.getenv("SPEC_LUA") or ""):find("valgrind", 1, true)

local NORMAL <const> = "icanon echo isig icrnl opost "
local RAW <const> = "opost "

describe("stdin", function()
  after_each(clean_up)

  local LINES <const> = [[
    asyncio.run(function()
      for line in stdin():lines() do print(("%q"):format(line)) end
    end)]]

  both_ways("gives the lines of a pipe", function(fds)
    local run <const>, input <const>, output <const> = between_pipes(LINES, fds)
    posix.write(input, "one\ntw")
    expect(output, '"one"\n')
    posix.write(input, "o\n\nlast")
    close(input)
    assert.equal('"two"\n""\n"last"\n', read_all(output))
    ends_well(run)
  end)

  it("gives the lines of a file, and of /dev/null", function()
    local r = helper.run_script(PRELUDE .. LINES, { stdin = "one\ntwo\nlast" })
    assert.equal('"one"\n"two"\n"last"\n', r.out, r.err)
    assert.equal("", r.err)
    local null <const> = posix.open("/dev/null", "r")
    local output <const>, to <const> = posix.pipe()
    local run <const> = start(LINES, { stdin = null, stdout = to })
    close(null, to)
    assert.equal("", read_all(output))
    ends_well(run)
  end)

  it("gives all of a big file", function()
    local text <const> = ("0123456789abcde\n"):rep(helper.scale(100000))
    local r <const> = helper.run_script(PRELUDE .. [[
      asyncio.run(function()
        local count, bytes = 0, 0
        for line in stdin():lines("L") do count, bytes = count + 1, bytes + #line end
        print(count, bytes)
      end)]], { stdin = text })
    assert.equal(("%d\t%d\n"):format(#text // 16, #text), r.out, r.err)
  end)

  it("gives the lines of a socket, and does not make it non-blocking", function()
    local ours <const>, theirs <const> = posix.socketpair()
    local run <const> = start([[
      asyncio.run(function()
        for line in stdin():lines() do stdout():write("<" .. line .. ">\n") end
      end)]], { stdin = theirs, stdout = theirs })
    posix.write(ours, "one\n")
    expect(ours, "<one>\n")
    assert.is_false(posix.is_nonblocking(theirs))
    posix.write(ours, "two\n")
    expect(ours, "<two>\n")
    close(theirs)
    posix.shutdown(ours)
    assert.equal("", read_all(ours))
    ends_well(run)
  end)

  it("is one Stream until it is closed, and leaves descriptor 0 open", function()
    local r <const> = helper.run_script(PRELUDE .. [[
      asyncio.run(function()
        local s = stdin()
        assert(s == stdin() and stdin { limit = 10 } == s)
        assert(s:fileno() == 0 and not s:isatty())
        assert(tostring(s):find("connected, stdin", 1, true), tostring(s))
        assert(s:readline() == "one\n")
        s:close()
        s:close()
        assert(s:fileno() == -1 and stdin() ~= s)
        print(pcall(s.read, s, 1))
        print(pcall(s.isatty, s))
        assert(stdin():read("a") == "two\n")
      end)]], { stdin = "one\ntwo\n" })
    assert.equal("", r.err)
    assert.matches("false\tOSError: read stdin: the stream is closed %(EBADF%)", r.out)
    assert.matches("false\tOSError: isatty stdin: the stream is closed %(EBADF%)", r.out)
  end)

  it("keeps the limit of a line", function()
    local r <const> = helper.run_script(PRELUDE .. [[
      asyncio.run(function()
        local s = stdin { limit = 8 }
        print(s:readline() == "short\n", pcall(s.readline, s))
        print(pcall(stdin, { limit = 0 }))
        print(pcall(stdin, { limits = 1 }))
        print(pcall(stdin, 5))
      end)]], { stdin = "short\na line that is too long\n" })
    assert.matches("^true\tfalse\tLimitOverrunError", r.out)
    assert.matches("option 'limit': out of range", r.out)
    assert.matches("unknown option 'limits'", r.out)
    assert.matches("table expected, got number", r.out)
    assert.equal("", r.err)
  end)

  it("cannot be written to, and stdout not be read", function()
    local r <const> = helper.run_script(PRELUDE .. [[
      asyncio.run(function()
        stdin():write("x")
        for _, f in ipairs { stdin().drain, stdin().sendall } do
          print(pcall(f, stdin(), "x"))
        end
        print(pcall(stdout().read, stdout(), 1))
      end)]])
    assert.equal("", r.err)
    assert.matches("OSError: drain stdin: bad file descriptor %(EBADF%)", r.out)
    assert.matches("OSError: sendall stdin: bad file descriptor %(EBADF%)", r.out)
    assert.matches("OSError: read stdout: bad file descriptor %(EBADF%)", r.out)
  end)

  it("is an OSError if it was closed before", function()
    local output <const>, to <const> = posix.pipe()
    local run <const> = start([[
      asyncio.run(function()
        require("spec.posix").close(0)
        local ok, err = pcall(stdin)
        stdout():write(("%s %s %s"):format(ok, err.code, err))
      end)]], { stdin = to, stdout = to })
    close(to)
    assert.matches("^false EBADF OSError: open stdin: ", read_all(output))
    ends_well(run)
  end)

  it("is empty if the process was started without it; stdout then is lost", function()
    local report <const> = os.tmpname()
    local run <const> = start(([[
      asyncio.run(function()
        stdout():sendall("x")
        local server <close> = asyncio.start_server(function(r, w) w:close() end, "127.0.0.1", 0)
        asyncio.open_connection(server:sockets()[1]:getsockname()):read()
        asyncio.create_subprocess_exec("true"):wait()
        io.open(%q, "w"):write(tostring(stdin():read())):close()
      end)]]):format(report), { line = "exec COMMAND <&- >&-" })
    ends_well(run)
    assert.equal("nil", io.open(report):read("a"))
    os.remove(report)
  end)

  it("loses no byte when the loop is closed while a thread reads", function()
    local size <const> = helper.scale(4000000)
    local file <const> = os.tmpname()
    io.open(file, "w"):write(("0123456789"):rep(size // 10)):close()
    local from <const> = posix.open(file, "r")
    local output <const>, to <const> = posix.pipe()
    local run <const> = start(([[
      local got = 0
      for i = 1, %d do
        local task
        asyncio.run(function()
          task = asyncio.create_task(stdin().read, stdin(), 1)
          for _ = 1, i %% 7 do asyncio.sleep(0) end
        end)
        if not task:cancelled() and task:result() then got = got + 1 end
      end
      asyncio.run(function() got = got + #(stdin():read("a") or "") end)
      print(got)]]):format(helper.scale(1000)), { stdin = from, stdout = to })
    close(from, to)
    assert.equal(size // 10 * 10 .. "\n", read_all(output))
    ends_well(run)
    os.remove(file)
  end)

  it("is read by the main chunk, too", function()
    local r <const> = helper.run_script(PRELUDE .. [[
      for line in stdin():lines() do stdout():write("<" .. line .. ">") end
      stdout():drain()
      print(stdin():at_eof())]], { stdin = "one\ntwo" })
    assert.equal("<one><two>true\n", r.out, r.err)
  end)

  both_ways("loses no byte when a read is cancelled", function(fds)
    local run <const>, input <const>, output <const> = between_pipes([[
      asyncio.run(function()
        local s = stdin()
        for _ = 1, 3 do assert(not pcall(asyncio.timeout, 0.001, s.readline, s)) end
        print("ready")
        io.stdout:flush()
        local task = asyncio.create_task(s.readline, s)
        while not pcall(asyncio.timeout, 0.01, asyncio.shield, task) do end
        print(task:result())
        print(s:read("a"))
      end)]], fds)
    posix.write(input, "on")
    expect(output, "ready\n")
    posix.write(input, "e\nrest")
    close(input)
    assert.equal("one\n\nrest\n", read_all(output))
    ends_well(run)
  end)

  both_ways("wakes its reader when it is closed", function(fds)
    local run <const>, input <const>, output <const> = between_pipes([[
      asyncio.run(function()
        local s = stdin()
        local task = asyncio.create_task(s.read, s)
        asyncio.sleep(0.01)
        print(select(2, pcall(s.readline, s)))
        s:close()
        print(pcall(task.await, task))
      end)]], fds)
    assert.equal("readline: another task is reading from this stream\n"
      .. "false\tOSError: read stdin: the stream was closed (ECANCELED)\n", read_all(output))
    ends_well(run)
    close(input)
  end)

  both_ways("holds up no end of the script", function(fds)
    local run <const>, input <const>, output <const> = between_pipes([[
      local loop = asyncio.get_event_loop()
      loop:create_task(function() stdin():read() end)
      loop:run_until_complete(asyncio.sleep, 0.01)
      print("end")]], fds)
    assert.equal("end\n", read_all(output))
    ends_well(run)
    close(input)
  end)

  both_ways("is not read while nobody asks: a child can go on", function(fds)
    local run <const>, input <const>, output <const> = between_pipes([[
      asyncio.run(function()
        local s = stdin()
        print(s:readline())
        io.stdout:flush()
        asyncio.sleep(0.02)
        local p = asyncio.create_subprocess_shell("read line; echo child $line", {
          stdin = s, stdout = stdout(), stderr = stderr() })
        p:wait()
        print(s:fileno(), s:readline())
      end)]], fds)
    posix.write(input, "one\n")
    expect(output, "one\n")
    posix.write(input, "two\n")
    expect(output, "child two\n")
    posix.write(input, "three\n")
    assert.equal("0\tthree\n\n", read_all(output))
    ends_well(run)
    close(input)
  end)

  it("is not for a child if something of it has come here", function()
    local r <const> = helper.run_script(PRELUDE .. [[
      asyncio.run(function()
        assert(stdin():readline() == "one\n")
        print(pcall(asyncio.create_subprocess_exec, "cat", { stdin = stdin() }))
      end)]], { stdin = "one\ntwo\n" })
    assert.matches("option 'stdin': the stream has input that has come here already", r.out, 1,
      true)
  end)

  it("leaves to the next loop, and to io.read, what was not read", function()
    local script <const> = [[
      asyncio.run(function() assert(stdin():readline() == "one\n") end)
      asyncio.run(function() assert(stdin():readline() == "two\n") end)
      MORE
      asyncio.run(function() assert(stdin():read("a") == "four\n") end)
      print("read")]]
    local in_file <const> = script:gsub("MORE", [[
      assert(io.read() == "three")
      io.stdin:seek("cur", 0) -- back from what the C library has read ahead]])
    local r <const> = helper.run_script(PRELUDE .. in_file, { stdin = "one\ntwo\nthree\nfour\n" })
    assert.equal("read\n", r.out, r.err)
    local in_pipe <const> = script:gsub("MORE", [[
      asyncio.run(function() assert(stdin():readline() == "three\n") end)]])
    local run <const>, input <const>, output <const> = between_pipes(in_pipe)
    posix.write(input, "one\ntwo\nthree\nfour\n")
    close(input)
    assert.equal("read\n", read_all(output))
    ends_well(run)
  end)

  it("that nobody reads is no reason to wait: a deadlock is found", function()
    local run <const>, input <const>, output <const> = between_pipes([[
      asyncio.run(function()
        assert(stdin():readline() == "one\n")
        print(pcall(asyncio.await, asyncio.get_running_loop():create_future()))
      end)]])
    posix.write(input, "one\n")
    assert.matches("^false\tDeadlockError", read_all(output))
    ends_well(run)
    close(input)
  end)

  it("can be shared by scripts that take turns", function()
    local from <const>, input <const> = posix.pipe()
    local output <const>, to <const> = posix.pipe()
    local script <const> = [[asyncio.run(function() print(stdin():read("l")) end)]]
    for i = 1, 2 do
      local run <const> = start(script, { stdin = from, stdout = to })
      posix.write(input, ("line %d\n"):format(i))
      assert.equal("", expect(output, ("line %d\n"):format(i)))
      ends_well(run)
      assert.is_false(posix.is_nonblocking(from))
    end
    close(from, input, output, to)
  end)
end)

describe("stdout", function()
  after_each(clean_up)

  local BIG <const> = helper.scale(1000000, 200000)

  both_ways("writes to a pipe, among what print writes", function(fds)
    local run <const>, input <const>, output <const> = between_pipes([[
      asyncio.run(function()
        local out = stdout()
        assert(out == stdout() and out:fileno() == 1)
        print("one")
        out:sendall("two\n")
        io.write("three\n")
        out:sendall("four\n")
        out:writelines { "fi", "ve\n" }
      end)
      print("six")]], fds)
    assert.equal("one\ntwo\nthree\nfour\nfive\nsix\n", read_all(output))
    ends_well(run)
    close(input)
  end)

  it("writes to a file, to stderr, to /dev/null", function()
    local script <const> = PRELUDE .. [[
      asyncio.run(function()
        print("one")
        stdout():write("two\n")
        stdout():sendall("three\n")
        stderr():write("a warning\n")
        print("four")
      end)]]
    local r <const> = helper.run_script(script)
    assert.equal("one\ntwo\nthree\nfour\n", r.out)
    assert.equal("a warning\n", r.err)
    local null <const> = posix.open("/dev/null", "w")
    ends_well(start([[
      asyncio.run(function()
        for _ = 1, 100 do stdout():write(("x"):rep(10000)) stdout():drain() end
        assert(stdout():get_write_buffer_size() == 0)
      end)]], { stdin = null, stdout = null }))
    close(null)
  end)

  it("takes a string of any length, also where all of it is taken at once", function()
    local size <const> = 16 * 1024 * 1024 + 10
    local r <const> = helper.run_script(PRELUDE .. ([[
      asyncio.run(function()
        local text = ("x"):rep(%d)
        stdout():write(text)
        stdout():sendall(text)
        stdout():write("end")
      end)]]):format(size))
    assert.equal("", r.err)
    assert.equal(2 * size + 3, #r.out)
    assert.equal("xend", r.out:sub(-4))
  end)

  it("tells of a full disk", function()
    local full <const> = posix.open("/dev/full", "w")
    ends_well(start([[
      asyncio.run(function()
        local ok, err = pcall(stdout().sendall, stdout(), "x")
        assert(not ok and err.code == "ENOSPC", tostring(err))
        assert(tostring(err):find("sendall stdout: ", 1, true), tostring(err))
        stdout():write("y")
        ok, err = pcall(stdout().drain, stdout())
        assert(not ok and err.code == "ENOSPC", tostring(err))
      end)]], { stdin = full, stdout = full }))
    close(full)
  end)

  both_ways("tells of a reader who has gone", function(fds)
    local run <const>, input <const>, output <const> = between_pipes([[
      asyncio.run(function()
        stdin():readline()
        local ok, err
        repeat
          stdout():write(("x"):rep(1000))
          ok, err = pcall(stdout().drain, stdout())
          asyncio.sleep(0)
        until not ok
        assert(err.code == "EPIPE", tostring(err))
        assert(tostring(err):find("drain stdout: broken pipe", 1, true), tostring(err))
      end)]], fds)
    close(output)
    posix.write(input, "go\n")
    ends_well(run)
    close(input)
  end)

  local FRAMES <const> = {
    ["in a task"] = "asyncio.get_event_loop():run_until_complete(function() %s end)",
    ["in asyncio.run"] = "asyncio.run(function() %s end)",
    ["where no loop runs"] = "%s",
  }
  local ENDS <const> = {
    ["its end"] = { "", 0 },
    ["os.exit"] = { "os.exit(3)", 3 },
    ["os.exit that closes the state"] = { "os.exit(3, true)", 3 },
    ["an error"] = { "error('this is the end', 0)", 1 },
  }
  for name, way in pairs(ENDS) do
    for where, frame in pairs(FRAMES) do
      both_ways("has written all when the script ends by " .. name .. " " .. where, function(fds)
        local body <const> = ([[
          print("begin")
          stdout():write(("x"):rep(%d))
          stdout():write("end")]]):format(BIG)
        local source <const> = frame:format(body .. " " .. way[1])
        local run <const>, input <const>, output <const> = between_pipes(source, fds)
        assert(posix.readable(output, MILLISECONDS))
        nap(20) -- the pipe is full for a while
        assert.equal("begin\n" .. ("x"):rep(BIG) .. "end", read_all(output))
        local how <const>, code <const>, err <const> = finish(run)
        assert.equal("exit " .. way[2], how .. " " .. code, err)
        close(input)
      end)
    end
  end

  it("has written all when Ctrl-C ends the script", function()
    local run <const>, input <const>, output <const> = between_pipes(([[
      asyncio.run(function()
        stdout():write("begin\n")
        stdout():write(("x"):rep(%d))
        asyncio.sleep(3600)
      end)]]):format(BIG))
    expect(output, "begin\n")
    posix.kill(run.pid, SIGINT)
    assert.equal(BIG, #read_all(output))
    local how <const>, code <const>, err <const> = finish(run)
    assert.equal("exit 1", how .. " " .. code)
    assert.matches("KeyboardInterrupt", err)
    close(input)
  end)

  it("closes after what was written, and leaves descriptor 1 open", function()
    local run <const>, input <const>, output <const> = between_pipes(([[
      asyncio.run(function()
        local out = stdout()
        out:write(("x"):rep(%d))
        out:close()
        out:wait_closed()
        print(out:fileno(), pcall(out.write, out, "x"))
        stdout():write("again\n")
      end)]]):format(BIG))
    local text <const> = read_all(output)
    assert.equal(("x"):rep(BIG), text:sub(1, BIG))
    assert.equal("-1\tfalse\tOSError: write stdout: the stream is closed (EBADF)\nagain\n",
      text:sub(BIG + 1))
    ends_well(run)
    close(input)
  end)

  both_ways("leaves the pipe blocking for print and for children", function(fds)
    local from <const>, input <const> = posix.pipe()
    local output <const>, to <const> = posix.pipe()
    fds.stdin, fds.stdout = from, to
    local run <const> = start(([[
      asyncio.run(function()
        stdout():write(("x"):rep(%d)) -- more than the pipe takes
        local reading = asyncio.create_task(function() return stdin():readline() end)
        stderr():write("")
        asyncio.sleep(0.01)
        local p = asyncio.create_subprocess_shell(
          "head -c %d /dev/zero && head -c %d /dev/zero >&2", { stderr = "stdout" })
        assert(p:wait() == 0)
        print(("y"):rep(%d))
        assert(os.execute("head -c 100000 /dev/zero"))
        assert(reading:await() == "go\n")
      end)]]):format(BIG, BIG, BIG, BIG), fds)
    posix.write(input, "go\n")
    assert(posix.readable(output, MILLISECONDS))
    nap(20)
    assert.is_false(posix.is_nonblocking(from))
    assert.is_false(posix.is_nonblocking(to))
    close(to)
    local text <const> = read_all(output)
    local _, xs <const> = text:gsub("x", "")
    local _, ys <const> = text:gsub("y", "")
    local _, zeros <const> = text:gsub("%z", "")
    assert.same({ BIG, BIG, 2 * BIG + 100000 }, { xs, ys, zeros })
    ends_well(run)
    close(from, input)
  end)

  both_ways("holds a writer back until the pipe is read", function(fds)
    local run <const>, input <const>, output <const> = between_pipes([[
      asyncio.run(function()
        local out, most = stdout(), 0
        for _ = 1, 300 do
          out:write(("x"):rep(1000))
          out:drain()
          most = math.max(most, out:get_write_buffer_size())
        end
        assert(most <= 64 * 1024, most)
      end)]], fds)
    nap(50)
    assert.equal(300000, #read_all(output))
    ends_well(run)
    close(input)
  end)

  it("takes a whole file by sendfile", function()
    local run <const>, input <const>, output <const> = between_pipes([[
      asyncio.run(function()
        local path = os.tmpname()
        local file = io.open(path, "w")
        file:write(("x"):rep(300000)):close()
        local f <close> = asyncio.open(path)
        assert(asyncio.sendfile(f, stdout()) == 300000)
        os.remove(path)
      end)]])
    assert.equal(("x"):rep(300000), read_all(output))
    ends_well(run)
    close(input)
  end)

  it("copies its input", function()
    local text <const> = ("a line of some length, to be copied\n"):rep(helper.scale(20000))
    local run <const>, input <const>, output <const> = between_pipes([[
      asyncio.run(function()
        local i, o = stdin(), stdout()
        while true do
          local part = i:read(65536)
          if not part then break end
          o:write(part)
          o:drain()
        end
      end)]])
    local sent, got = 0, {}
    while sent < #text do
      sent = sent + posix.write(input, text:sub(sent + 1, sent + 16000))
      while posix.readable(output, 0) do got[#got + 1] = posix.read(output, 65536) end
    end
    close(input)
    got[#got + 1] = read_all(output)
    assert.is_true(table.concat(got) == text)
    ends_well(run)
  end)
end)

describe("stdin and stdout", function()
  after_each(clean_up)

  -- Not under a sanitizer or valgrind, which keep what is freed.
  local plain <const> = (os.getenv("SPEC_LUA") or "") == ""

  both_ways("stay small when much goes through to a slow reader", function(fds)
    if not helper.resident() then return pending("this system has no /proc") end
    local size <const> = helper.scale(plain and 256 or 16) * 1024 * 1024
    local from <const>, input <const> = posix.pipe()
    local output <const>, to <const> = posix.pipe()
    local report <const> = os.tmpname()
    fds.stdin, fds.stdout = from, to
    local source <const> = posix.spawn({ "/bin/sh", "-c",
      "exec head -c " .. size .. " /dev/zero" }, { stdout = input })
    local run <const> = start(([[
      local function resident()
        local file = io.open("/proc/self/statm")
        local pages = file:read("a"):match("%%d+ (%%d+)")
        file:close()
        return tonumber(pages) * 4096
      end
      asyncio.run(function()
        collectgarbage()
        local i, o, got, before, most = stdin(), stdout(), 0, resident(), 0
        for part in i:lines(65536) do
          if got == 0 then asyncio.sleep(0.01) end -- the source fills what there is
          got = got + #part
          o:write(part)
          o:drain()
          if got %% 1000000 < 65536 then most = math.max(most, resident()) end
        end
        io.open(%q, "w"):write(got, " ", most - before):close()
      end)]]):format(report), fds)
    close(from, input, to)
    local got = 0
    repeat
      assert(posix.readable(output, MILLISECONDS))
      local part <const> = posix.read(output, 1024 * 1024)
      if got // 16777216 ~= (got + #part) // 16777216 then nap(5) end
      got = got + #part
    until part == ""
    close(output)
    assert.equal(size, got)
    ends_well(run)
    posix.wait(source)
    local file <const> = assert(io.open(report))
    local there <const>, growth <const> = file:read("n", "n")
    file:close()
    os.remove(report)
    assert.equal(size, there)
    if plain then assert.is_true(growth < 8 * 1024 * 1024, tostring(growth)) end
  end)
end)

describe("a terminal", function()
  after_each(clean_up)

  both_ways("is read by lines, and echoed", function(fds)
    local run <const>, user <const>, slave <const> = on_terminal([[
      asyncio.run(function()
        assert(stdin():isatty() and stdout():isatty() and not stderr():isatty())
        stdout():write("name? ")
        stdout():write("hello " .. stdin():readline())
        assert(stdin():read() == nil) -- Ctrl-D
      end)]], fds)
    expect(user, "name? ")
    posix.write(user, "worle\127d\n")
    expect(user, "hello world\r\n")
    assert.is_false(posix.is_nonblocking(slave))
    posix.write(user, "\4")
    ends_well(run)
    close(user, slave)
  end)

  both_ways("stops a script in the background that reads", function(fds)
    if not can_stop then return pending("valgrind carries out no signal that stops a process") end
    if not helper.resident() then return pending("this system has no /proc") end
    fds.line = [[
      set -m
      COMMAND &
      while state=$(cut -d ' ' -f 3 /proc/$!/stat) && [ $state != T ] && [ $state != Z ]; do
        sleep 0.01
      done
      kill -KILL $!
      echo state $state]]
    local run <const>, user <const>, slave <const> = on_terminal([[
      asyncio.run(function() print("read", stdin():readline()) end)]], fds)
    posix.write(user, "hello\n")
    expect(user, "state T\r\n")
    finish(run)
    close(user, slave)
  end)

  it("can be the other side, of which there is just one", function()
    local user <const>, slave <const> = posix.pty()
    local run <const> = start([[
      asyncio.run(function()
        local line = asyncio.timeout(60, stdin().readline, stdin())
        assert(line == "hello\r\n", line)
        stdout():write("back\n")
      end)]], { stdin = user, stdout = user })
    posix.write(slave, "hello\n")
    expect(slave, "back\n")
    ends_well(run)
    close(user, slave)
  end)

  it("has a size, which SIGWINCH tells of", function()
    local user <const>, slave <const> = posix.pty()
    posix.set_winsize(user, 100, 30)
    local run <const> = start([[
      asyncio.run(function()
        local changed = asyncio.Event()
        asyncio.get_running_loop():add_signal_handler("SIGWINCH", function() changed:set() end)
        print(stdout():winsize())
        changed:wait()
        print(stdin():winsize())
      end)]], { terminal = slave })
    expect(user, "100\t30\r\n")
    posix.set_winsize(user, 60, 20)
    expect(user, "60\t20\r\n")
    ends_well(run)
    close(user, slave)
  end)

  it("has modes", function()
    local run <const>, user <const>, slave <const> = on_terminal([[
      asyncio.run(function()
        for mode in stdin():lines() do
          local command = mode:match("%w+")
          stdin():set_mode(command)
          stdout():write(command .. "!\n")
          if command == "raw" or command == "cbreak" then
            local key = stdin():read(10)
            stdin():set_mode("normal")
            stdout():write(("key %q\n"):format(key))
          end
        end
      end)]])
    for mode, switches in pairs { raw = RAW, cbreak = "isig icrnl opost ",
      noecho = "icanon isig icrnl opost ", normal = NORMAL } do
      posix.write(user, mode .. "\n")
      expect(user, mode .. "!\r\n")
      assert.equal(switches, posix.mode(slave))
      if mode == "raw" or mode == "cbreak" then
        posix.write(user, "k")
        assert.equal("", expect(user, 'key "k"\r\n')) -- there was no echo
        assert.equal(NORMAL, posix.mode(slave))
      end
    end
    posix.write(user, "normal\n\4")
    ends_well(run)
    close(user, slave)
  end)

  it("makes no signal of keys in mode raw", function()
    local run <const>, user <const>, slave <const> = on_terminal([[
      asyncio.run(function()
        stdin():set_mode("raw")
        stdout():write("ready\n")
        stdout():write(("%q\n"):format(stdin():readexactly(4)))
      end)]])
    expect(user, "ready\r\n")
    posix.write(user, "\3\26\4\r")
    expect(user, '"\\3\\26\\4\\13"\r\n')
    ends_well(run)
    assert.equal(NORMAL, posix.mode(slave))
    close(user, slave)
  end)

  -- What ends it, the status, and what is on stderr.
  local ENDS <const> = {
    ["the stream is closed"] = { "stdin():close() print('closed') asyncio.sleep(0)", 0 },
    ["the task returns"] = { "", 0 },
    ["the task fails"] = { "error('this is the end', 0)", 1, "this is the end" },
    ["os.exit is called"] = { "os.exit(3)", 3 },
    ["os.exit closes the state"] = { "os.exit(3, true)", 3 },
  }
  for name, way in pairs(ENDS) do
    both_ways("has its own mode again when " .. name, function(fds)
      for _, frame in ipairs { "asyncio.run(function() %s end)", "%s" } do
        local run <const>, user <const>, slave <const> = on_terminal(frame:format(
          "stdin():set_mode('raw') stdout():write('ready\\n') assert(stdin():read(1) == 'k') "
          .. way[1]), fds)
        expect(user, "ready\r\n")
        assert.equal(RAW, posix.mode(slave))
        posix.write(user, "k")
        local how <const>, code <const>, err <const> = finish(run)
        assert.equal("exit " .. way[2], how .. " " .. code, err)
        if way[3] then assert.matches(way[3], err, 1, true) else assert.equal("", err) end
        assert.equal(NORMAL, posix.mode(slave))
        close(user, slave)
      end
    end)
  end

  it("has its own mode again when another thread than the one that has set it ends the script",
    function()
      for _, source in ipairs { [[
        asyncio.run(function()
          stdin():set_mode("raw")
          stdout():write("ready\n")
          assert(stdin():read(1) == "k")
          asyncio.to_thread(function() os.exit(3) end)
        end)]], [[
        asyncio.run(function()
          asyncio.create_task(asyncio.to_thread, function()
            local asyncio = require "asyncio"
            asyncio.stdin():set_mode("raw")
            asyncio.stdout():sendall("ready\n")
            asyncio.sleep(3600)
          end)
          assert(stdin():read(1) == "k")
          os.exit(3)
        end)]] } do
        local run <const>, user <const>, slave <const> = on_terminal(source)
        expect(user, "ready\r\n")
        assert.equal(RAW, posix.mode(slave))
        posix.write(user, "k")
        local how <const>, code <const>, err <const> = finish(run)
        assert.equal("exit 3", how .. " " .. code, err)
        assert.equal(NORMAL, posix.mode(slave))
        close(user, slave)
      end
    end)

  it("has its own mode again after Ctrl-C", function()
    local run <const>, user <const>, slave <const> = on_terminal([[
      asyncio.run(function()
        stdin():set_mode("cbreak")
        stdout():write("ready\n")
        stdin():read(1)
      end)]])
    expect(user, "ready\r\n")
    posix.write(user, "\3")
    local how <const>, code <const>, err <const> = finish(run)
    assert.equal("exit 1", how .. " " .. code, err)
    assert.matches("KeyboardInterrupt", err)
    assert.equal(NORMAL, posix.mode(slave))
    close(user, slave)
  end)

  it("has its own mode again after a signal that ends the process", function()
    for _, signal in ipairs { SIGTERM, SIGHUP } do
      local run <const>, user <const>, slave <const> = on_terminal([[
        asyncio.run(function()
          stdin():set_mode("raw")
          stdout():write("ready\n")
          stdin():read(1)
        end)]])
      expect(user, "ready\r\n")
      assert.equal(RAW, posix.mode(slave))
      posix.kill(run.pid, signal)
      local how <const>, code <const> = finish(run)
      assert.equal("signal " .. signal, how .. " " .. code)
      assert.equal(NORMAL, posix.mode(slave))
      close(user, slave)
    end
  end)

  it("leaves a signal to a handler of the script's own", function()
    local run <const>, user <const>, slave <const> = on_terminal([[
      asyncio.run(function()
        local came = asyncio.Event()
        asyncio.get_running_loop():add_signal_handler("SIGTERM", function() came:set() end)
        stdin():set_mode("raw")
        stdout():write("ready\n")
        came:wait()
        asyncio.get_running_loop():remove_signal_handler("SIGTERM")
        stdout():write("came\n")
        stdin():read(1)
      end)]])
    expect(user, "ready\r\n")
    posix.kill(run.pid, SIGTERM)
    expect(user, "came\r\n")
    assert.equal(RAW, posix.mode(slave))
    posix.kill(run.pid, SIGTERM)
    local how <const>, code <const> = finish(run)
    assert.equal("signal 15", how .. " " .. code)
    close(user, slave)
  end)

  it("has its own mode while the process is stopped", function()
    if not can_stop then return pending("valgrind carries out no signal that stops a process") end
    -- With a shell that has jobs: the system would not stop a process that nobody can continue.
    local run <const>, user <const>, slave <const> = on_terminal([[
      asyncio.run(function()
        stdin():set_mode("cbreak")
        stdout():write("ready\n")
        while true do
          local key = stdin():read(1)
          if key == "q" then return end
          stdout():write("key " .. key .. "\n")
        end
      end)]], { line = "set -m; COMMAND; echo stopped; read line; fg; echo over" })
    expect(user, "ready\r\n")
    posix.write(user, "\26") -- Ctrl-Z
    expect(user, "stopped\r\n")
    assert.equal(NORMAL, posix.mode(slave))
    posix.write(user, "go on\n")
    posix.write(user, "k")
    expect(user, "key k\r\n")
    assert.equal("isig icrnl opost ", posix.mode(slave))
    posix.write(user, "q")
    expect(user, "over\r\n")
    assert.equal(NORMAL, posix.mode(slave))
    ends_well(run)
    close(user, slave)
  end)

  it("lets io.read go on where the process was stopped", function()
    if not can_stop then return pending("valgrind carries out no signal that stops a process") end
    local run <const>, user <const>, slave <const> = on_terminal([[
      stdin():set_mode("noecho")
      io.write("ready\n"):flush()
      print("<" .. tostring(io.read()) .. ">")]],
      { line = "set -m; COMMAND; echo stopped; read line; fg; echo over" })
    expect(user, "ready\r\n")
    nap(20)
    posix.write(user, "\26")
    expect(user, "stopped\r\n")
    posix.write(user, "go on\n")
    posix.write(user, "hello\n")
    expect(user, "<hello>\r\n")
    expect(user, "over\r\n")
    ends_well(run)
    close(user, slave)
  end)

  it("is not touched from the background", function()
    local run <const>, user <const>, slave <const> = on_terminal([[
      asyncio.run(function()
        stdin():set_mode("raw")
        stdout():write("ready\n")
        stdin():read(1)
        os.execute("kill -STOP $PPID")
      end)]], { line = "set -m; COMMAND; stty cbreak; bg >/dev/null; wait; echo over" })
    expect(user, "ready\r\n")
    posix.write(user, "k")
    expect(user, "over\r\n")
    assert.falsy(posix.mode(slave):find("icanon"))
    ends_well(run)
    close(user, slave)
  end)

  it("is the only one with another mode", function()
    local user <const>, slave <const> = posix.pty()
    local user2 <const>, slave2 <const> = posix.pty()
    local run <const> = start([[
      asyncio.run(function()
        stdin():set_mode("raw")
        stdin():set_mode("cbreak")
        local ok, err = pcall(stdout().set_mode, stdout(), "raw")
        assert(not ok and err.code == "EBUSY", tostring(err))
        stdin():set_mode("normal")
        stdin():set_mode("normal")
        stdout():set_mode("raw")
        stdout():write("ready\n")
        stdin():readline()
      end)]], { stdin = slave, stdout = slave2, terminal = slave })
    expect(user2, "ready\r\n")
    assert.equal(NORMAL, posix.mode(slave))
    assert.equal(RAW, posix.mode(slave2))
    posix.write(user, "\n")
    ends_well(run)
    assert.equal(NORMAL, posix.mode(slave2))
    close(user, slave, user2, slave2)
  end)

  both_ways("that hangs up is the end of stdin", function(fds)
    local user <const>, slave <const> = posix.pty()
    fds.stdin, fds.stdout = slave, slave
    local run <const> = start([[
      asyncio.run(function()
        stdout():write("ready\n")
        assert(stdin():read() == nil)
        local ok, err = pcall(stdout().sendall, stdout(), "x")
        assert(not ok and err.code == "EIO", tostring(err))
      end)]], fds)
    close(slave)
    expect(user, "ready\r\n")
    close(user)
    ends_well(run)
  end)

  it("is none if it is none", function()
    local r <const> = helper.run_script(PRELUDE .. [[
      asyncio.run(function()
        for _, s in ipairs { stdin(), stdout(), (asyncio.testing.stream_pair()) } do
          assert(s:isatty() == false)
          for _, name in ipairs { "winsize", "set_mode" } do
            local ok, err = pcall(s[name], s, "raw")
            assert(not ok and err.code == "ENOTTY", tostring(err))
          end
        end
        print(pcall(stdin().set_mode, stdin(), "rare"))
      end)]])
    assert.equal("", r.err)
    assert.matches("invalid option 'rare'", r.out)
  end)
end)
