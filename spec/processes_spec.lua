-- SPDX-License-Identifier: MIT
-- Child processes: their streams, their ends, signals, scopes, and that nothing of them remains.

local asyncio <const> = require "asyncio"
local helper <const> = require "spec.helper"

local exec <const>, shell <const> = asyncio.create_subprocess_exec, asyncio.create_subprocess_shell
local PIPE <const> = asyncio.subprocess.PIPE

-- Memory says something only where no sanitizer or the like keeps what is freed.
local PLAIN <const> = (os.getenv("SPEC_LUA") or "") == ""

-- Everything runs in a loop, and within a time.
local function inside(f)
  return function()
    asyncio.run(function() asyncio.timeout(60 * helper.SLOW, f) end)
  end
end

-- What a child writes to stdout, and how it ends.
local function output(...)
  local args <const> = table.pack(...)
  if type(args[args.n]) ~= "table" then
    args.n = args.n + 1
    args[args.n] = {}
  end
  args[args.n].stdout = PIPE
  local p <const> = exec(table.unpack(args, 1, args.n))
  local out <const> = p:communicate()
  return out, p.returncode
end

local function fails(f, ...)
  local ok, err = pcall(f, ...)
  assert.is_false(ok)
  return err
end

local function fails_with(code, f, ...)
  local err <const> = fails(f, ...)
  assert.is_true(asyncio.is(err, asyncio.OSError), tostring(err))
  assert.equal(code, err.code, tostring(err))
  return tostring(err)
end

local function refuses(message, f, ...)
  local err <const> = tostring(fails(f, ...))
  assert.truthy(err:find(message, 1, true), err)
end

-- The state of a process in /proc ("S", "Z" ...), or nil if there is none.
local function state_of(pid)
  local file <const> = io.open(("/proc/%d/stat"):format(pid))
  if not file then return nil end
  local text <const> = file:read("a")
  file:close()
  return text and text:match("%) (%a)")
end

-- Gone, or a zombie that is somebody else's to reap.
local function is_gone(pid)
  local state <const> = state_of(pid)
  return state == nil or state == "Z" or state == "X"
end

local function wait_until(condition, seconds)
  local deadline <const> = helper.now() + (seconds or 10) * helper.SLOW
  while not condition() do
    assert(helper.now() < deadline, "in time")
    asyncio.sleep(0.005)
  end
end

local function own_pid()
  local file <const> = io.open("/proc/self/stat")
  local pid <const> = file:read("n")
  file:close()
  return pid
end

-- Not through a pipe, of which this process may have both ends for a moment.
local function open_descriptors()
  local path <const> = os.tmpname()
  assert(os.execute(("ls /proc/%d/fd > %s"):format(own_pid(), path)))
  local count = 0
  for _ in io.lines(path) do count = count + 1 end
  os.remove(path)
  return count
end

describe("create_subprocess_exec", function()
  it("gives each argument as it is", inside(function()
    local out <const>, code <const> = output("printf", "[%s]", "a b", "", "'\"$HOME*", 12, 1.5)
    assert.equal("[a b][]['\"$HOME*][12][1.5]", out)
    assert.equal(0, code)
  end))

  it("makes a Process with pid, streams and returncode", inside(function()
    local p <const> = exec("cat", { stdin = PIPE, stdout = PIPE })
    assert.equal("integer", math.type(p.pid))
    assert.equal(("<Process %d>"):format(p.pid), tostring(p))
    assert.truthy(tostring(p.stdin):find("^<asyncio.Stream"))
    assert.truthy(tostring(p.stdout):find("^<asyncio.Stream"))
    assert.is_nil(p.stderr)
    assert.is_nil(p.returncode)
    assert.is_nil(p.no_such_field)
    assert.not_nil(state_of(p.pid))
    p.stdin:close()
    assert.equal(0, p:wait())
    assert.equal(0, p.returncode)
    assert.is_nil(p.stdout:read())
  end))

  it("inherits what is not asked for", function()
    local r <const> = helper.run_script([[
      local asyncio = require "asyncio"
      local p = asyncio.create_subprocess_shell("cat; echo warning >&2")
      assert(not p.stdin and not p.stdout and not p.stderr)
      assert(p:wait() == 0)
    ]], { stdin = "from above\n" })
    assert.equal("from above\n", r.out, r.err)
    assert.equal("warning\n", r.err)
  end)

  it("names a program that is not there, or cannot be run", inside(function()
    assert.equal("OSError: exec no-such-program: no such file or directory (ENOENT)",
      fails_with("ENOENT", exec, "no-such-program", "x"))
    assert.matches("exec /no/such/program: ", fails_with("ENOENT", exec, "/no/such/program"))
    local path <const> = helper.temporary_file("no program")
    assert.matches("exec " .. path .. ": ", fails_with("EACCES", exec, path), 1, true)
    os.remove(path)
    fails_with("ENOENT", exec, "no-such", { stdout = PIPE, stdin = PIPE, stderr = PIPE })
    local _, err <const> = pcall(exec, "") -- libuv 1.52 finds the directories of PATH
    assert.is_true(err.code == "ENOENT" or err.code == "EACCES", tostring(err))
  end))

  it("names a directory that is not there", inside(function()
    assert.equal("/no/such/program", fails(exec, "/no/such/program").path)
    assert.equal("/no/such/dir", fails(exec, "true", { cwd = "/no/such/dir" }).path)
    assert.equal("OSError: chdir /no/such/dir: no such file or directory (ENOENT)",
      fails_with("ENOENT", exec, "true", { cwd = "/no/such/dir" }))
    assert.matches("chdir /dev/null", fails_with("ENOTDIR", exec, "true", { cwd = "/dev/null" }))
    assert.matches("exec no%-such", fails_with("ENOENT", exec, "no-such", { cwd = "/" }))
  end))

  it("refuses arguments of a wrong kind", inside(function()
    refuses("create_subprocess_exec' (string expected", exec)
    refuses("create_subprocess_exec' (string expected, got boolean", exec,
      "true", true)
    refuses("create_subprocess_exec' (string contains zeros", exec, "echo",
      "a", "b\0c")
    refuses("string contains zeros", exec, "tr\0ue")
    refuses("create_subprocess_exec' (string expected, got table", exec,
      "true", {}, {})
    refuses("unknown option 'stdinn'", exec, "true", { stdinn = PIPE })
    refuses("option 'stdin': invalid value 'stdout'", exec, "true", { stdin = "stdout" })
    refuses("option 'stdout': invalid value 'stdout'", exec, "true", { stdout = "stdout" })
    refuses("option 'stderr': \"pipe\", \"inherit\"", exec, "true", { stderr = true })
    refuses("option 'stderr': \"pipe\", \"inherit\"", exec, "true", { stderr = {} })
    refuses("option 'stdin': this descriptor is not open", exec, "true", { stdin = 12345 })
    refuses("option 'stdin': this descriptor is not open", exec, "true", { stdin = -1 })
    refuses("option 'cwd': string", exec, "true", { cwd = 1 })
    refuses("option 'env': table expected", exec, "true", { env = "A=1" })
    refuses("option 'env': the value of A must be a string", exec, "true", { env = { A = true } })
    refuses("option 'env': the value of A must be", exec, "true", { env = { A = false } })
    refuses("option 'env': the name of a variable", exec, "true", { env = { ["A=B"] = "x" } })
    refuses("option 'extra_env': the name of a variable", exec, "true", { extra_env = { "x" } })
    refuses("or false", exec, "true", { extra_env = { A = "x\0" } })
    refuses("option 'uid': integer expected", exec, "true", { uid = "root" })
    refuses("option 'gid': out of range", exec, "true", { gid = -1 })
    refuses("option 'detached': boolean expected", exec, "true", { detached = 1 })
    refuses("option 'process_group': boolean or 0", exec, "true", { process_group = 5 })
    refuses("option 'limit': out of range", exec, "true", { limit = 0 })
    refuses("option 'grace': number of seconds", exec, "true", { grace = -1 })
    refuses("option 'grace': number of seconds", exec, "true", { grace = 0 / 0 })
  end))

  it("works where no loop runs", function()
    local p <const> = exec("sh", "-c", "read line; echo got $line", { stdin = PIPE, stdout = PIPE })
    p.stdin:write("it\n")
    assert.equal("got it\n", p.stdout:readline())
    assert.equal(0, p:wait())
    asyncio.get_event_loop():close()
    asyncio.set_event_loop(nil)
  end)
end)

describe("create_subprocess_shell", function()
  it("runs a line of the shell", inside(function()
    local p <const> = shell("echo $((1 + 2)) | tr 3 4; exit 5", { stdout = PIPE })
    assert.equal("4\n", p:communicate())
    assert.equal(5, p.returncode)
  end))

  it("tells of a command that is not there by the shell's status", inside(function()
    assert.equal(127, shell("no-such-command", { stderr = "devnull" }):wait())
  end))
end)

describe("the end of a child", function()
  it("is its exit status, or minus the signal", inside(function()
    for _, status in ipairs { 0, 1, 7, 137, 255 } do
      assert.equal(status, shell("exit " .. status):wait())
    end
    for _, signal in ipairs { 1, 6, 9, 15 } do
      local p <const> = shell(("kill -%d $$"):format(signal), { stderr = "devnull" })
      assert.equal(-signal, p:wait())
      assert.equal(-signal, p.returncode)
    end
  end))

  it("is told to all who wait, now and later", inside(function()
    local p <const> = shell("read x; exit 3", { stdin = PIPE })
    local function wait() return p:wait() end
    local t1 <const>, t2 <const> = asyncio.create_task(wait), asyncio.create_task(wait)
    asyncio.sleep(0.01)
    p.stdin:close()
    assert.same({ 3, 3, 3, n = 3 }, asyncio.gather(t1, t2, wait))
    assert.equal(3, p:wait())
  end))

  it("is not waited for when the Process is finalized by hand", inside(function()
    local p <const> = exec("sleep", "60")
    local t <const> = asyncio.create_task(p.wait, p)
    local scope <const> = asyncio.create_task(function()
      local q <close> = exec("sleep", "60", { grace = 0.05 })
      getmetatable(q).__gc(q)
    end)
    asyncio.sleep(0)
    getmetatable(p).__gc(p)
    assert.matches("the process was finalized", tostring(fails(asyncio.await, t)), 1, true)
    assert.matches("the process was finalized", tostring(fails(asyncio.await, scope)), 1, true)
    assert.matches("the process was finalized", tostring(fails(p.kill, p)), 1, true)
  end))

  it("is waited for again after a cancelled wait, which leaves the child alone", inside(function()
    local p <const> = exec("cat", { stdin = PIPE })
    local t <const> = asyncio.create_task(p.wait, p)
    asyncio.sleep(0.01)
    t:cancel()
    assert.is_true(asyncio.is(fails(asyncio.await, t), asyncio.CancelledError))
    assert.is_true(asyncio.is(fails(asyncio.timeout, 0.02, p.wait, p), asyncio.TimeoutError))
    assert.is_nil(p.returncode)
    assert.not_nil(state_of(p.pid))
    p.stdin:close()
    assert.equal(0, p:wait())
  end))

  it("leaves no zombie, also of a child that nobody waits for", inside(function()
    local pids <const> = {}
    for i = 1, helper.scale(20, 3) do pids[i] = exec("true").pid end
    collectgarbage()
    wait_until(function()
      for _, pid in ipairs(pids) do
        if state_of(pid) then return false end
      end
      return true
    end)
  end))

  it("comes for a child whose Process is collected, with its pipes kept open", inside(function()
    local path <const> = os.tmpname()
    exec("sh", "-c", "sleep 0.1; echo to nobody; echo done > " .. path, { stdout = PIPE })
    collectgarbage()
    collectgarbage()
    wait_until(function()
      local file <const> = io.open(path)
      local text <const> = file:read("a")
      file:close()
      return text == "done\n"
    end)
    os.remove(path)
  end))

  it("wakes a task that waits for nothing else: that is no deadlock", function()
    assert.equal(4, asyncio.run(function() return shell("sleep 0.05; exit 4"):wait() end))
  end)

  it("is not overtaken by simulated time", function()
    local code <const>, time <const> = asyncio.testing.run(function()
      local loop <const> = asyncio.get_running_loop()
      local p <const> = shell("sleep 0.05; exit 6")
      local begun <const> = loop:time()
      local result <const> = asyncio.timeout(1, p.wait, p)
      return result, loop:time() - begun
    end)
    assert.equal(6, code)
    assert.equal(0, time)
  end)

  it("of another loop's child cannot be waited for", function()
    local a <const>, b <const> = asyncio.new_event_loop(), asyncio.new_event_loop()
    local p = a:run_until_complete(function() return exec("cat", { stdin = PIPE }) end)
    refuses("belongs to another event loop", b.run_until_complete, b, function() p:wait() end)
    p.stdin:close()
    assert.equal(0, a:run_until_complete(function() return p:wait() end))
    assert.equal(0, b:run_until_complete(function() return p:wait() end)) -- known by now
    a:close()
    b:close()
  end)

  it("comes for many at once", inside(function()
    local count <const> = helper.scale(200, 10)
    exec("cat", { stdin = PIPE }):communicate() -- libuv opens descriptors of its own
    local before <const> = open_descriptors()
    local all <const>, work <const> = {}, {}
    for i = 1, count do
      all[i] = exec("sh", "-c", "read x; echo $x; exit " .. i % 100,
        { stdin = PIPE, stdout = PIPE })
      work[i] = function() assert.equal(i .. "\n", (all[i]:communicate(i .. "\n"))) end
    end
    for i = 1, count do assert.is_false(is_gone(all[i].pid)) end
    asyncio.gather(work)
    for i = 1, count do
      assert.equal(i % 100, all[i].returncode)
      assert.is_nil(state_of(all[i].pid))
    end
    asyncio.sleep(0)
    assert.equal(before, open_descriptors())
  end))

  it("gives back what was there for SIGCHLD", function()
    local r <const> = helper.run_script([[
      local asyncio = require "asyncio"
      local function caught()
        for line in io.lines "/proc/self/status" do
          local mask = line:match "^SigCgt:%s*(%x+)"
          if mask then return tonumber(mask, 16) >> 16 & 1 end
        end
      end
      local before = caught()
      asyncio.run(function()
        local p = asyncio.create_subprocess_exec("true")
        print(before, caught())
        p:wait()
        asyncio.sleep(0)
        print(caught())
        local q = asyncio.create_subprocess_exec("sleep", "60")
        print(caught())
      end)
      print(caught())
    ]])
    assert.equal("0\t1\n0\n1\n0\n", r.out, r.err)
  end)

  it("is seen beside a signal handler of the program's own", inside(function()
    local loop <const>, came <const> = asyncio.get_running_loop(), asyncio.Event()
    loop:add_signal_handler("SIGCHLD", came.set, came)
    local p <const> = exec("true")
    assert.equal(0, p:wait())
    came:wait()
    loop:remove_signal_handler("SIGCHLD")
    assert.equal(1, exec("false"):wait())
  end))

  it("is seen beside os.execute and io.popen", inside(function()
    local p <const> = shell("exit 9")
    assert(os.execute("sleep 0.05"))
    local pipe <const> = io.popen("sleep 0.05; echo x")
    assert.equal("x\n", pipe:read("a"))
    assert.is_true(pipe:close())
    assert.equal(9, p:wait())
  end))
end)

describe("stdin, stdout and stderr", function()
  it("are apart, or one", inside(function()
    local both <const> = "echo out; echo err >&2"
    local p <const> = shell(both, { stdout = PIPE, stderr = PIPE })
    assert.same({ "out\n", "err\n" }, { p:communicate() })
    local one <const> = shell(both, { stdout = PIPE, stderr = asyncio.subprocess.STDOUT })
    assert.same({ "out\nerr\n" }, { one:communicate() })
    assert.is_nil(one.stderr)
    local none <const> = shell(both, { stdout = asyncio.subprocess.DEVNULL, stderr = "stdout" })
    assert.same({}, { none:communicate() })
    assert.equal(0, none.returncode)
  end))

  it("are nothing with devnull", inside(function()
    assert.equal("0\n", (output("sh", "-c", "cat | wc -c | tr -d ' '", { stdin = "devnull" })))
  end))

  it("are pipes, which the child can open again", inside(function()
    local p <const> = exec("sh", "-c", "cat /dev/stdin > /dev/stdout",
      { stdin = PIPE, stdout = PIPE })
    assert.equal("again", p:communicate("again"))
    assert.equal(0, p.returncode)
  end))

  it("are files, in order with what Lua has written", inside(function()
    local path <const> = helper.temporary_file("line 1\nline 2\n")
    local target <const> = os.tmpname()
    local input <const>, file <const> = assert(io.open(path)), assert(io.open(target, "w"))
    assert.equal("line 1", input:read())
    file:write("before\n")
    local p <const> = exec("cat", { stdin = input, stdout = file })
    assert.equal(0, p:wait())
    file:write("after\n")
    file:close()
    input:close()
    local result <const> = assert(io.open(target))
    assert.equal("before\nline 2\nafter\n", result:read("a"))
    result:close()
    os.remove(path)
    os.remove(target)
    refuses("option 'stdout': the file is closed", exec, "true", { stdout = file })
  end))

  it("are Files, which go on where the child has stopped", inside(function()
    local path <const> = helper.temporary_file("line 1\nline 2\n")
    local target <const> = os.tmpname()
    local input <const>, file <const> = asyncio.open(path), asyncio.open(target, "w")
    assert.equal("line 1", input:read()) -- and the other one was read ahead
    file:write("before\n")
    refuses("option 'stdout': the file has output that is not written yet: flush it before", exec,
      "cat", { stdin = input, stdout = file })
    file:flush()
    local p <const> = exec("cat", { stdin = input, stdout = file })
    assert.equal(0, p:wait())
    assert.is_nil(input:read())
    file:write("after\n")
    file:close()
    input:close()
    local result <close> = assert(io.open(target))
    assert.equal("before\nline 2\nafter\n", result:read("a"))
    os.remove(target)
    refuses("option 'stdout': the file is closed", exec, "true", { stdout = file })
    os.remove(path)
    assert(os.execute("mkfifo " .. path))
    local fifo <close> = asyncio.open(path, "r+")
    fifo:write("one\ntwo\n"):flush()
    assert.equal("one", fifo:read())
    refuses("option 'stdin': the file has input that has come here already", exec, "cat",
      { stdin = fifo })
    assert.equal("two", fifo:read())
    local reading <const> = asyncio.create_task(fifo.read, fifo)
    asyncio.sleep(0)
    refuses("option 'stdin': the file is in use", exec, "cat", { stdin = fifo })
    local writer <close> = assert(io.open(path, "w"))
    writer:write("three\n"):flush()
    assert.equal("three", reading:await())
    os.remove(path)
  end))

  it("are descriptors, also an object's", inside(function()
    local function plain(fd) return fd end
    local function object(fd) return { fileno = function() return fd end } end
    local function socket(fd) return { getfd = function() return fd end } end -- as luasocket's
    for _, as in ipairs { plain, object, socket } do
      local a <const> = exec("printf", "x", { stdout = PIPE })
      local b <const> = exec("cat", { stdin = as(a.stdout:fileno()), stdout = PIPE })
      assert.is_false(a.stdout:is_closing())
      a.stdout:close()
      assert.equal("x", b:communicate())
    end
    refuses("its method 'fileno' gave no descriptor but a nil", exec, "true",
      { stdin = { fileno = function() end } })
  end))

  it("are the Stream of another child: a pipeline without us in between", inside(function()
    local a <const> = exec("printf", "hello", { stdout = PIPE })
    local b <const> = exec("cat", "-", "/dev/null", { stdin = a.stdout, stdout = PIPE })
    assert.is_true(a.stdout:is_closing())
    local c <const> = exec("cat", { stdin = b.stdout, stdout = PIPE })
    assert.equal("hello", c:communicate())
    assert.same({ 0, 0, 0 }, { a:wait(), b:wait(), c:wait() })
  end))

  it("are a socket that was accepted", inside(function()
    local listener <close> = asyncio.socket()
    listener:bind("127.0.0.1", 0)
    listener:listen()
    local conn <close> = asyncio.open_connection(listener:getsockname())
    conn:write("hello\n")
    conn:write_eof()
    local accepted <const> = listener:accept()
    local p <const> = exec("tr", "a-z", "A-Z", { stdin = accepted, stdout = accepted })
    assert.is_true(accepted:is_closing())
    assert.equal("HELLO\n", conn:read("a"))
    p:wait()
  end))

  it("are no Stream that is closed, has come here in part, or has no descriptor", inside(function()
    local one <const>, other <const> = asyncio.testing.stream_pair()
    refuses("option 'stdin': this stream has no descriptor", exec, "cat", { stdin = one })
    one:close()
    other:close()
    refuses("option 'stdin': the stream is closed", exec, "cat", { stdin = one })
    local p <const> = exec("printf", "a\\nb\\n", { stdout = PIPE })
    assert.equal("a\n", p.stdout:readline())
    refuses("option 'stdin': the stream has input that has come here", exec, "cat",
      { stdin = p.stdout })
    assert.equal("b\n", p.stdout:read("a"))
  end))

  it("survive options that change while they are read", inside(function()
    local options <const> = { stdin = exec("true", { stdout = PIPE }).stdout }
    options.stdout = { fileno = function()
      options.stdin = nil
      collectgarbage()
      collectgarbage()
      return 2
    end }
    assert.equal(0, exec("cat", options):wait())
  end))

  it("can only be used in their direction", inside(function()
    local p <const> = exec("cat", { stdin = PIPE, stdout = PIPE })
    assert.is_true(asyncio.is(fails(p.stdin.read, p.stdin), asyncio.OSError))
    p.stdout:write("x")
    assert.is_true(asyncio.is(fails(p.stdout.drain, p.stdout), asyncio.OSError))
    p.stdin:close()
    assert.equal(0, p:wait())
  end))

  it("take turns with the child", inside(function()
    local p <const> = exec("cat", { stdin = PIPE, stdout = PIPE })
    for i = 1, helper.scale(100, 3) do
      p.stdin:write(i .. "\n")
      assert.equal(i .. "\n", p.stdout:readline())
    end
    p.stdin:write_eof()
    assert.equal("", p.stdout:read("a"))
    assert.equal(0, p:wait())
  end))

  it("tell of a child that has gone: EPIPE, and the end", inside(function()
    local p <const> = exec("true", { stdin = PIPE, stdout = PIPE })
    p:wait()
    fails_with("EPIPE", p.stdin.sendall, p.stdin, ("x"):rep(100000))
    assert.is_nil(p.stdout:read(10))
  end))

  it("have the limit that was asked for", inside(function()
    local p <const> = exec("sh", "-c", "head -c 100000 /dev/zero; echo", { stdout = PIPE,
      limit = 1000 })
    assert.is_true(asyncio.is(fails(p.stdout.readline, p.stdout), asyncio.LimitOverrunError))
    p.stdout:close()
    p:wait()
  end))

  it("wake who reads when they are closed", inside(function()
    local p <const> = exec("sleep", "60", { stdout = PIPE })
    local t <const> = asyncio.create_task(p.stdout.read, p.stdout)
    asyncio.sleep(0)
    p.stdout:close()
    fails_with("ECANCELED", asyncio.await, t)
    p:kill()
    p:wait()
  end))
end)

describe("cwd and the environment", function()
  it("are the child's own", inside(function()
    assert.equal("/\n", (output("pwd", { cwd = "/" })))
    assert.equal("A=1\nB=two words\n", (output("env", { env = { A = "1", B = "two words" } })
      :gsub("^B=[^\n]*\nA=1\n$", "A=1\nB=two words\n")))
    local own <const> = os.getenv("HOME") or ""
    assert.equal(own .. " x y\n", (output("sh", "-c", "echo $HOME $A $B",
      { extra_env = { A = "x", B = "y" } })))
    assert.equal("none\n", (output("sh", "-c", "echo ${HOME-none}",
      { extra_env = { HOME = false } })))
    assert.equal("1 4\n", (output("/bin/sh", "-c", "echo $A $B",
      { env = { A = 1, B = 3 }, extra_env = { B = 4, C = false } })))
  end))

  it("has the PATH along which the program is found", inside(function()
    fails_with("ENOENT", exec, "env", { env = { PATH = "/no/such/dir" } })
  end))
end)

describe("a child", function()
  it("begins with the system's dispositions of signals", inside(function()
    local ignored <const> = output("grep", "SigIgn", "/proc/self/status"):match("(%x+)\n")
    assert.equal(0, tonumber(ignored, 16) & 0x7fffffff) -- those above belong to the C library
    assert.equal("0\n", (output("sh", "-c", "yes | head -n 1 > /dev/null; echo $?")))
  end))

  it("can be somebody else", inside(function()
    local whoami <const> = output("id", "-u")
    if whoami == "0\n" then
      assert.equal("65534\n", (output("id", "-u", { uid = 65534 })))
      assert.equal("65533 65534\n",
        (output("sh", "-c", "echo $(id -u) $(id -g)", { uid = 65533, gid = 65534 })))
    else
      fails_with("EPERM", exec, "true", { uid = 0 })
      fails_with("EPERM", exec, "true", { gid = 0 })
    end
  end))

  it("is in our session, or leads one of its own", inside(function()
    local function ids(opts)
      local out <const> = output("cut", "-d", " ", "-f", "1,5,6", "/proc/self/stat", opts)
      return out:match("(%d+) (%d+) (%d+)")
    end
    local pid, group, session = ids {}
    assert.not_equal(pid, session)
    assert.not_equal(pid, group)
    local leads <const> = { { detached = true }, { process_group = true }, { process_group = 0 } }
    for _, option in ipairs(leads) do
      pid, group, session = ids(option)
      assert.equal(pid, group)
      assert.equal(pid, session)
    end
    pid, group = ids { process_group = false }
    assert.not_equal(pid, group)
  end))

  it("that leads a group is signalled with all of it", inside(function()
    for _, whole in ipairs { true, false } do
      local p <const> = shell("sleep 60 & echo $!; wait", { stdout = PIPE, process_group = whole })
      local grandchild <const> = math.tointeger(p.stdout:readline())
      p:kill()
      assert.equal(-9, p:wait())
      if whole then
        wait_until(function() return is_gone(grandchild) end)
      else
        assert.is_false(is_gone(grandchild))
        os.execute("kill " .. grandchild)
      end
    end
  end))

  it("takes no descriptor along", inside(function()
    local function count()
      return output("sh", "-c", "ls /proc/self/fd | wc -l")
    end
    local before <const> = count()
    local p <const> = exec("cat", { stdin = PIPE, stdout = PIPE, stderr = PIPE })
    local server <close> = asyncio.start_server(function() end, "127.0.0.1", 0)
    assert.equal(before, count())
    assert.is_true(server:is_serving())
    p:communicate()
  end))
end)

describe("signals", function()
  it("are sent by name and number", inside(function()
    for _, signal in ipairs { "SIGINT", 2 } do
      local p <const> = exec("sleep", "60")
      p:send_signal(signal)
      assert.equal(-2, p:wait())
    end
    local p <const> = shell("trap 'exit 40' USR1; echo ready; while :; do sleep 0.01; done",
      { stdout = PIPE })
    p.stdout:readline()
    p:send_signal("SIGUSR1")
    assert.equal(40, p:wait())
    local t <const>, k <const> = exec("sleep", "60"), exec("sleep", "60")
    t:terminate()
    k:kill()
    assert.same({ -15, -9 }, { t:wait(), k:wait() })
    refuses("unknown signal", p.send_signal, p, "USR1")
  end))

  it("to a child that has ended are an error", inside(function()
    local p <const> = exec("true")
    p:wait()
    for _, f in ipairs { p.kill, p.terminate } do fails_with("ESRCH", f, p) end
    assert.equal(("OSError: send_signal process %d: no such process (ESRCH)"):format(p.pid),
      fails_with("ESRCH", p.send_signal, p, "SIGHUP"))
  end))

  it("learn of an end that no turn has told yet", inside(function()
    local p <const> = exec("true")
    while state_of(p.pid) ~= "Z" do assert(os.execute("sleep 0.005")) end
    p:kill() -- too late, and no error: nobody could know
    assert.equal(0, p.returncode)
    assert.equal(0, p:wait())
    assert.is_nil(state_of(p.pid))
  end))
end)

describe("communicate", function()
  it("sends and reads at the same time, whatever the size", inside(function()
    local size <const> = helper.scale(100 * 1024 * 1024, 300000)
    local data <const> = ("0123456789abcdef"):rep(size // 16)
    local p <const> = exec("sh", "-c", "tee /dev/stderr", { stdin = PIPE, stdout = PIPE,
      stderr = PIPE })
    local out <const>, err <const> = p:communicate(data)
    assert.is_true(out == data)
    assert.is_true(err == data)
    assert.equal(0, p.returncode)
  end))

  it("does not mind a child that leaves its input", inside(function()
    local data <const> = ("x"):rep(1000000)
    assert.is_nil(exec("true", { stdin = PIPE }):communicate(data))
    local p <const> = exec("head", "-c", "3", { stdin = PIPE, stdout = PIPE })
    assert.equal("xxx", p:communicate(data))
    local killed <const> = shell("exec < /dev/null; kill -9 $$", { stdin = PIPE, stdout = PIPE })
    assert.equal("", killed:communicate(data))
    assert.equal(-9, killed.returncode)
  end))

  it("closes stdin, also without input", inside(function()
    for _, input in ipairs { "", false } do
      local p <const> = exec("cat", { stdin = PIPE, stdout = PIPE })
      assert.equal("", p:communicate(input or nil))
    end
  end))

  it("takes all bytes", inside(function()
    local data <const> = "\0\r\n\255" .. string.char(0, 1, 2, 128, 254)
    local p <const> = exec("cat", { stdin = PIPE, stdout = PIPE })
    assert.equal(data, p:communicate(data))
  end))

  it("refuses input for what has no pipe", inside(function()
    local p <const> = exec("true", { stdout = PIPE })
    refuses("bad argument #1 to 'communicate' (stdin of this process is not a pipe)",
      load("local p = ... p:communicate('x')"), p)
    refuses("string expected, got table", p.communicate, p, {})
    assert.equal("", p:communicate())
  end))

  it("that is cancelled leaves the child, and what has come", inside(function()
    local p <const> = shell("echo one; read line; echo $line", { stdin = PIPE, stdout = PIPE })
    local function later() p.stdin:write("two\n") end
    local t <const> = asyncio.create_task(p.stdout.read, p.stdout, "a")
    asyncio.sleep(0.1)
    t:cancel()
    assert.is_true(asyncio.is(fails(asyncio.await, t), asyncio.CancelledError))
    assert.is_nil(p.returncode)
    later()
    assert.equal("one\ntwo\n", p:communicate())
    local slow <const> = shell("echo one; sleep 0.3; echo two", { stdout = PIPE, stderr = PIPE })
    assert.is_true(asyncio.is(fails(asyncio.timeout, 0.1, slow.communicate, slow),
      asyncio.TimeoutError))
    assert.same({ "one\ntwo\n", "" }, { slow:communicate() })
    assert.equal(0, slow.returncode)
  end))

  it("that is cancelled keeps what was read to its end", inside(function()
    local p <const> = shell("echo one; exec >&-; sleep 0.3; echo two >&2",
      { stdout = PIPE, stderr = PIPE })
    local t <const> = asyncio.create_task(p.communicate, p)
    repeat asyncio.sleep(0.01) until p.stdout:fileno() == -1
    t:cancel()
    assert.is_true(asyncio.is(fails(asyncio.await, t), asyncio.CancelledError))
    assert.same({ "one\n", "two\n" }, { p:communicate() })
  end))

  it("works at top level", function()
    local p <const> = exec("cat", { stdin = PIPE, stdout = PIPE })
    assert.equal("top", p:communicate("top"))
    asyncio.get_event_loop():close()
    asyncio.set_event_loop(nil)
  end)
end)

-- In scripts of their own: after a big collection Lua lets its garbage grow for a while.
describe("big transfers", function()
  local HEAD <const> = [[
    local asyncio = require "asyncio"
    local function resident()
      local file <close> = io.open "/proc/self/status"
      return tonumber(file:read("a"):match "VmRSS:%s*(%d+)")
    end
    local size, most = SIZE, 0
    asyncio.create_subprocess_exec("cat", {stdin = "pipe", stdout = "pipe"}):communicate "warm"
    collectgarbage()
    local before = resident()
    local function look() most = math.max(most, resident() - before) end
  ]]

  local function run(source, size)
    local r <const> = helper.run_script(HEAD:gsub("SIZE", size) .. source, { seconds = 60 })
    local got <const>, grown <const> = r.out:match("^(%d+) (%d+)\n")
    assert.truthy(got, r.out .. r.err)
    if PLAIN then assert.is_true(tonumber(grown) < 8 * 1024, grown .. " KiB") end
    return tonumber(got)
  end

  it("through a child stay in bounded memory, however slow its reader", function()
    local size <const> = helper.scale(PLAIN and 1024 or 100) * 1024 * 1024
    assert.equal(size, run([[
      asyncio.run(function()
        local p = asyncio.create_subprocess_exec("cat", {stdin = "pipe", stdout = "pipe"})
        local piece = ("x"):rep(65536)
        local writer = asyncio.create_task(function()
          for _ = 1, size // #piece do
            p.stdin:write(piece)
            p.stdin:drain()
          end
          p.stdin:close()
        end)
        local got, reads = 0, 0
        for data in function() return p.stdout:read(65536) end do
          got = got + #data
          reads = reads + 1
          if reads % 64 == 0 then
            look()
            asyncio.sleep(0.0005)
          end
        end
        writer:await()
        assert(p:wait() == 0)
        look()
        print(("%d %d"):format(got, most))
      end)
    ]], size))
  end)

  it("both ways at once, as lines, are no deadlock and stay in bounded memory", function()
    local size <const> = helper.scale(100) * 1024 * 1024
    assert.equal(size, run([[
      local line = ("x"):rep(4095) .. "\n"
      asyncio.run(function()
        local p = asyncio.create_subprocess_exec("cat", {stdin = "pipe", stdout = "pipe"})
        local got, lines = 0, 0
        asyncio.gather(function()
          for _ = 1, size // #line do
            p.stdin:write(line)
            p.stdin:drain()
          end
          p.stdin:close()
        end, function()
          for text in p.stdout:lines("L") do
            assert(text == line)
            got, lines = got + #text, lines + 1
            if lines % 1000 == 0 then look() end
          end
        end)
        assert(p:wait() == 0)
        look()
        print(("%d %d"):format(got, most))
      end)
    ]], size))
  end)

  it("are read by lines", function()
    local count <const> = helper.scale(1000000, 1000)
    assert.equal(count, run([[
      asyncio.run(function()
        local p = asyncio.create_subprocess_shell(
          "yes 'a line of some length, as lines are' | head -n " .. size, {stdout = "pipe"})
        local lines = 0
        for line in p.stdout:lines() do
          assert(line == "a line of some length, as lines are")
          lines = lines + 1
          if lines % 10000 == 0 then look() end
        end
        assert(p:wait() == 0)
        look()
        print(("%d %d"):format(lines, most))
      end)
    ]], count))
  end)
end)

describe("a scope", function()
  local DEAF <const> = "trap '' TERM; echo ready; while :; do sleep 0.05; done"

  it("terminates its child, and waits for it", inside(function()
    local pid, process
    do
      local p <close> = exec("sleep", "60", { stdin = PIPE, stdout = PIPE })
      pid, process = p.pid, p
    end
    assert.equal(-15, process.returncode)
    assert.is_nil(state_of(pid))
    assert.is_true(process.stdin:is_closing() and process.stdout:is_closing())
  end))

  it("leaves alone a child that has ended", inside(function()
    local process
    do
      local p <close> = exec("true", { stdout = PIPE })
      p:wait()
      process = p
    end
    assert.equal(0, process.returncode)
    assert.is_true(process.stdout:is_closing())
  end))

  it("lets a child clean up, within its grace time", inside(function()
    local process
    do
      local p <close> = shell("trap 'exit 21' TERM; echo ready; while :; do sleep 0.01; done",
        { stdout = PIPE })
      p.stdout:readline()
      process = p
    end
    assert.equal(21, process.returncode)
  end))

  it("kills a child that does not listen, after the grace time", inside(function()
    local loop <const> = asyncio.get_running_loop()
    local process, begun
    do
      local p <close> = shell(DEAF, { stdout = PIPE, grace = 0.1 })
      p.stdout:readline()
      process, begun = p, loop:time()
    end
    assert.equal(-9, process.returncode)
    assert.is_true(loop:time() - begun >= 0.1)
  end))

  it("with grace = 0 kills at once", inside(function()
    local process
    do
      local p <close> = shell(DEAF, { stdout = PIPE, grace = 0 })
      p.stdout:readline()
      process = p
    end
    assert.equal(-9, process.returncode)
  end))

  it("ends its child when an error or a cancellation leaves it", inside(function()
    local process
    assert.equal("from inside", fails(function()
      local p <close> = exec("sleep", "60")
      process = p
      error("from inside", 0)
    end))
    assert.equal(-15, process.returncode)
    local t <const> = asyncio.create_task(function()
      local p <close> = exec("sleep", "60")
      process = p
      p:wait()
    end)
    asyncio.sleep(0.01)
    t:cancel()
    assert.is_true(asyncio.is(fails(asyncio.await, t), asyncio.CancelledError))
    assert.equal(-15, process.returncode)
  end))

  it("that is cancelled while it waits for the end kills", inside(function()
    local process
    local t <const> = asyncio.create_task(function()
      local p <close> = shell(DEAF, { stdout = PIPE, grace = 60 })
      process = p
      p.stdout:readline()
    end)
    wait_until(function() return process and process.stdout:is_closing() end)
    t:cancel()
    assert.is_true(asyncio.is(fails(asyncio.await, t), asyncio.CancelledError))
    assert.equal(-9, process:wait())
  end))

  it("works at top level, and where nothing may wait", function()
    local process
    do
      local p <close> = exec("sleep", "60")
      process = p
    end
    assert.equal(-15, process.returncode)
    asyncio.get_event_loop():close()
    asyncio.set_event_loop(nil)
    local loop <const> = asyncio.new_event_loop()
    loop:create_task(function()
      local p <close> = exec("sleep", "60")
      process = p
      asyncio.sleep(60)
    end)
    loop:run_until_complete(function() asyncio.sleep(0) end)
    loop:close() -- closes the task, whose scope cannot wait
    assert.equal(-9, process.returncode)
    assert.is_nil(state_of(process.pid))
  end)
end)

describe("a loop that closes", function()
  it("kills its children, and reaps them", function()
    local children <const> = {}
    asyncio.run(function()
      for i = 1, helper.scale(20, 2) do children[i] = exec("sleep", "60", { stdout = PIPE }) end
    end)
    for _, p in ipairs(children) do
      assert.equal(-9, p.returncode)
      assert.is_nil(state_of(p.pid))
      assert.equal(-9, asyncio.run(function() return p:wait() end))
    end
  end)

  it("leaves one that is detached", function()
    local r <const> = helper.run_script([[
      local asyncio = require "asyncio"
      local p
      asyncio.run(function()
        p = asyncio.create_subprocess_exec("sleep", "60", {detached = true, stdout = "devnull"})
      end)
      print(p.returncode, p.pid)
      print(pcall(p.wait, p))
      print(pcall(p.kill, p))
      print(os.execute("kill -0 " .. p.pid))
    ]])
    local pid <const> = math.tointeger(r.out:match("^nil\t(%d+)\n"))
    assert.truthy(pid, r.out .. r.err)
    assert.matches("false\twait: the event loop of process %d+ has been closed\n", r.out)
    assert.matches("false\tOSError: kill process %d+: no such process", r.out)
    assert.matches("true\texit\t0\n$", r.out)
    assert.is_false(is_gone(pid))
    assert(os.execute("kill " .. pid))
  end)

  it("does so as well when the Lua state is closed in mid-flight", function()
    for _, ending in ipairs { "os.exit(0, true)", "return" } do
      local r <const> = helper.run_script(([[
        local asyncio = require "asyncio"
        local loop = asyncio.get_event_loop()
        p = asyncio.create_subprocess_exec("sleep", "60", {stdin = "pipe", stdout = "pipe"})
        loop:create_task(p.wait, p)
        loop:create_task(p.communicate, p, ("x"):rep(1000000))
        loop:run_until_complete(function() asyncio.sleep(0.01) end)
        print(p.pid)
        io.stdout:flush()
        %s
      ]]):format(ending))
      assert.equal("", r.err)
      assert.equal(0, r.status)
      assert.is_true(is_gone(math.tointeger(r.out:match("%d+"))))
    end
  end)
end)

describe("nothing remains", function()
  it("of children, nor of those that could not be started", inside(function()
    local function round()
      for _ = 1, helper.scale(30, 3) do
        exec("cat", { stdin = PIPE, stdout = PIPE, stderr = PIPE }):communicate("x")
        pcall(exec, "no-such-program", { stdin = PIPE, stdout = PIPE, stderr = PIPE })
        local _ <close> = exec("sleep", "60", { stdin = PIPE, grace = 0 })
      end
      collectgarbage()
      collectgarbage()
      asyncio.sleep(0)
    end
    round()
    local before <const> = open_descriptors()
    round()
    assert.equal(before, open_descriptors())
  end))

  it("where descriptors run out: an error, and the loop goes on", function()
    local r <const> = helper.run_script([[
      local asyncio = require "asyncio"
      asyncio.run(function()
        asyncio.create_subprocess_exec("true"):wait()
        local files, held = {}, {}
        local ok, err
        repeat
          ok, err = pcall(asyncio.create_subprocess_exec, "cat",
            {stdin = "pipe", stdout = "pipe", stderr = "pipe"})
          if ok then held[#held + 1] = err end
        until not ok
        print(err.code, #held > 3)
        for _, p in ipairs(held) do assert(p:communicate("x") == "x") end
        print(asyncio.create_subprocess_exec("true"):wait())
      end)
    ]], { env = "ulimit -n 64;" })
    assert.equal("EMFILE\ttrue\n0\n", r.out, r.err)
  end)
end)
