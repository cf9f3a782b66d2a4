-- SPDX-License-Identifier: MIT
-- asyncio.open and File. What Lua's own files do is the measure: random programs run on both. A
-- thread that is busy with a file is made with a fifo, on which a read lasts until we write.

local asyncio <const> = require "asyncio"
local helper <const> = require "spec.helper"
local virtual <const> = require "spec.virtual"
local on_loop <const> = require "spec.on_loop"(it, assert)

local it_runs <const> = on_loop.it_runs
local start <const> = on_loop.start
local assert_code <const> = on_loop.assert_code
local assert_cancelled <const> = on_loop.assert_cancelled

local function spawn(fn, ...)
  return asyncio.create_task(fn, ...)
end

-- A path that is removed at the end of the scope: temporary(text).path
local function temporary(text)
  local path <const> = helper.temporary_file(text)
  return setmetatable({ path = path }, { __close = function() os.remove(path) end })
end

local function contents(path)
  local file <close> = assert(io.open(path, "rb"))
  return file:read("a")
end

-- A fifo: a File that reads it, and a file of Lua's that writes to it.
local function fifo()
  local path <const> = os.tmpname()
  os.remove(path)
  assert(os.execute("mkfifo " .. path))
  local reader <const> = asyncio.open(path, "r+")
  local writer <const> = assert(io.open(path, "w"))
  writer:setvbuf("no")
  os.remove(path)
  return reader, writer
end

-- Long enough for a thread to begin.
local function let_begin()
  asyncio.sleep(0.03 * helper.SLOW)
end

describe("open", function()
  it_runs("refuses modes that Lua refuses", function()
    for _, mode in ipairs { "", "x", "rw", "r++", "rb+", "br", "r+x" } do
      virtual.refuses("invalid mode", asyncio.open, "/dev/null", mode)
    end
    for _, mode in ipairs { "r", "rb", "r+b", "rbb", "w", "wb", "w+", "a", "a+b" } do
      asyncio.open("/dev/null", mode):close()
    end
  end)

  it_runs("raises an OSError that names the path", function()
    local err <const> = assert_code("ENOENT", asyncio.open, "/no/such/file")
    assert.equal("/no/such/file", err.path)
    assert.equal("open", err.op)
    assert.equal(2, err.errno)
    assert.equal("OSError: open /no/such/file: no such file or directory (ENOENT)", tostring(err))
    assert_code("EISDIR", asyncio.open, "/", "w")
    local file <close> = temporary("x")
    assert_code("ENOTDIR", asyncio.open, file.path .. "/below")
  end)

  it_runs("refuses a path with a zero byte", function()
    virtual.refuses("path contains a zero byte", asyncio.open, "/dev/null\0x")
  end)

  it("reports a file without permission", function()
    local file <close> = temporary("secret")
    assert(os.execute("chmod 000 " .. file.path))
    local id <close> = io.popen("id -u")
    -- root may read everything, unless this right is taken away
    local less <const> = "setpriv --bounding-set=-dac_override,-dac_read_search"
    local result <const> = helper.run_script(([[
      local asyncio = require "asyncio"
      local ok, err = pcall(asyncio.open, %q)
      print(ok, err.code, err.path == %q)
      print(asyncio.fs.access(%q, "r"))
    ]]):format(file.path, file.path, file.path), { env = id:read("n") == 0 and less or nil })
    assert.equal("false\tEACCES\ttrue\nfalse\tEACCES\n", result.out, result.err)
  end)

  it("works at top level", function()
    local file <close> = temporary("one\ntwo\n")
    do
      local f <close> = asyncio.open(file.path)
      assert.equal("one", f:read())
      for line in f:lines() do assert.equal("two", line) end
    end
    asyncio.get_event_loop():close()
    asyncio.set_event_loop(nil)
  end)

  it_runs("that is cancelled closes what it has opened", function()
    local function count()
      local n = 0
      for _ in asyncio.fs.scandir("/proc/self/fd") do n = n + 1 end
      return n
    end
    collectgarbage()
    local descriptors <const> = count()
    for i = 1, helper.scale(40, 4) do
      local task <const> = spawn(asyncio.open, "/dev/null")
      for _ = 1, i % 4 do asyncio.sleep(0) end
      if i % 2 == 0 then asyncio.sleep(0.001) end
      task:cancel()
      pcall(asyncio.await, task)
    end
    asyncio.sleep(0.01)
    collectgarbage()
    collectgarbage()
    asyncio.sleep(0.01)
    assert.equal(descriptors, count())
  end)
end)

describe("File", function()
  it_runs("shows its path and whether it is open", function()
    local f <const> = asyncio.open("/dev/null")
    assert.matches("^<asyncio%.File 0x%x+ %[open, /dev/null%]>$", tostring(f))
    assert.is_false(f:is_closed())
    assert.is_true(f:fileno() >= 0)
    assert.is_true(f:close())
    assert.matches("%[closed, /dev/null%]>$", tostring(f))
    assert.is_true(f:is_closed())
    assert.equal(-1, f:fileno())
    assert.is_true(f:close())
  end)

  it_runs("refuses everything when it is closed", function()
    local f <const> = asyncio.open("/dev/null", "r+")
    f:close()
    for _, method in ipairs { "read", "write", "flush", "seek", "sync", "truncate" } do
      local err <const> = assert_code("EBADF", f[method], f)
      assert.matches("/dev/null: the file is closed %(EBADF%)$", tostring(err))
    end
    assert_code("EBADF", f.setvbuf, f, "no")
    assert_code("EBADF", f.lines(f))
  end)

  it_runs("refuses what its mode does not allow", function()
    local file <close> = temporary("x")
    local r <close> = asyncio.open(file.path)
    assert_code("EBADF", r.write, r, "x")
    local w <close> = asyncio.open(file.path, "a")
    assert_code("EBADF", w.read, w)
  end)

  it_runs("belongs to its loop", function()
    local file <close> = temporary("x")
    local other <const> = asyncio.new_event_loop()
    local f
    local thread <const> = coroutine.wrap(function()
      f = other:run_until_complete(asyncio.open, file.path)
    end)
    assert.is_false(pcall(thread)) -- a loop is running
    other:close()
    assert.is_nil(f)
  end)

  it("is closed with its loop, and written out", function()
    local file <close> = temporary()
    local f
    asyncio.run(function()
      f = asyncio.open(file.path, "w")
      f:write("hello")
    end)
    assert.is_true(f:is_closed())
    assert.equal("hello", contents(file.path))
    assert.is_true(f:close())
  end)

  it_runs("is written out and closed when it is collected", function()
    local file <close> = temporary()
    asyncio.open(file.path, "w"):write("hello")
    asyncio.sleep(0)
    repeat
      collectgarbage()
      asyncio.sleep(0.001)
    until contents(file.path) == "hello"
  end)
end)

describe("File:read", function()
  it_runs("reads Lua's formats", function()
    local file <close> = temporary("12 0x10 -7.5e1 nan\nline\n\nlast")
    local f <close> = asyncio.open(file.path)
    assert.same({ 12, 16, -75.0 }, { f:read("n", "*n", "n") })
    assert.same({ n = 1 }, table.pack(f:read("n", "l")))
    assert.equal("nan\n", f:read("L"))
    assert.equal("", f:read(0))
    assert.same({ "line", "", "la" }, { f:read("l", "*l", 2) })
    assert.equal("st", f:read(100))
    assert.is_nil(f:read(0))
    assert.is_nil(f:read(1))
    assert.is_nil(f:read("l"))
    assert.is_nil(f:read("n"))
    assert.equal("", f:read("a"))
    assert.same({ "", n = 2 }, table.pack(f:read("a", "l")))
  end)

  it_runs("refuses other formats before it reads", function()
    local file <close> = temporary("text")
    local f <close> = asyncio.open(file.path)
    for _, format in ipairs { "x", "", "*", -1, 1.5, true } do
      assert.is_false(pcall(f.read, f, 1, format))
    end
    assert.is_false(pcall(f.read, f, table.unpack({}, 1, 300)))
    assert.equal("text", f:read("a"))
  end)

  it_runs("reads lines longer than its buffer", function()
    local long <const> = ("x"):rep(helper.scale(1000000, 2000))
    local file <close> = temporary(long .. "\n" .. long)
    local f <close> = asyncio.open(file.path)
    f:setvbuf("full", 100)
    assert.equal(long, f:read("l"))
    assert.equal(long, f:read("l"))
    assert.is_nil(f:read("l"))
  end)

  it_runs("goes on when a file has grown behind its end", function()
    local file <close> = temporary("one\n")
    local f <close> = asyncio.open(file.path)
    assert.equal("one", f:read())
    assert.is_nil(f:read())
    local more <close> = io.open(file.path, "a")
    more:write("two\n")
    more:flush()
    assert.equal("two", f:read())
  end)

  it_runs("raises for a directory", function()
    local f <close> = asyncio.open("/")
    local err <const> = assert_code("EISDIR", f.read, f)
    assert.equal("/", err.path)
    assert_code("EISDIR", f.lines(f))
  end)

  it_runs("lets other tasks run meanwhile", function()
    local f <close>, writer <const> = fifo()
    local _ <close> = writer
    local reading <const> = start(f, "read", 4)
    local ticks = 0
    for _ = 1, 10 do
      asyncio.sleep(0.001)
      ticks = ticks + 1
    end
    assert.is_false(reading:done())
    writer:write("data")
    assert.equal("data", reading:await())
    assert.equal(10, ticks)
  end)

  it_runs("that is cancelled loses no byte", function()
    local f <close>, writer <const> = fifo()
    local _ <close> = writer
    for i = 1, 3 do
      local reading <const> = start(f, "read", "l", 10)
      if i > 1 then let_begin() end
      reading:cancel()
      assert_cancelled(reading)
      assert.is_false(f:is_closed())
    end
    local next_one <const> = start(f, "read", "l", 3)
    writer:write("line\nabc")
    assert.same({ "line", "abc" }, { next_one:await() })
  end)

  it_runs("that is cancelled after its bytes have come leaves them to the next", function()
    local f <close>, writer <const> = fifo()
    local _ <close> = writer
    local reading <const> = start(f, "read", "l")
    let_begin()
    writer:write("line\n")
    let_begin()
    -- the task may be done; if it is only woken it must not have the line
    if reading:cancel() then
      local ok, got = pcall(asyncio.await, reading)
      if ok then return assert.equal("line", got) end
      assert.equal("line", f:read())
    else
      assert.equal("line", reading:await())
    end
  end)

  it_runs("with several formats takes nothing if it is cancelled between them", function()
    local f <close>, writer <const> = fifo()
    local _ <close> = writer
    writer:write("one\ntw")
    local reading <const> = start(f, "read", "l", "l")
    let_begin()
    reading:cancel()
    assert_cancelled(reading)
    writer:write("o\n")
    assert.same({ "one", "two" }, { f:read("l", "l") })
  end)

  it_runs("is woken at once when the file is closed, though its thread is not back", function()
    local f <const>, writer <const> = fifo()
    local _ <close> = writer
    local reading <const> = start(f, "read", 1)
    let_begin()
    local closing <const> = start(f, "close")
    local err <const> = assert_code("ECANCELED", asyncio.await, reading)
    assert.matches("the file was closed %(ECANCELED%)$", tostring(err))
    assert.is_true(f:is_closed())
    assert.is_false(closing:done())
    writer:write("x") -- lets the thread come back
    assert.is_true(closing:await())
    assert.matches("closed,", tostring(f))
  end)

  it_runs("is done by one task after the other", function()
    local f <close>, writer <const> = fifo()
    local _ <close> = writer
    local tasks <const> = {}
    for i = 1, 5 do tasks[i] = start(f, "read", 1) end
    local last <const> = start(f, "read", "L")
    tasks[2]:cancel()
    writer:write("abcd")
    assert_cancelled(tasks[2])
    local got = ""
    for _, i in ipairs { 1, 3, 4, 5 } do got = got .. tasks[i]:await() end
    assert.equal("abcd", got)
    writer:write("end\n")
    assert.equal("end\n", last:await())
  end)

  it_runs("wakes all who wait for their turn when the file is closed", function()
    local f <const>, writer <const> = fifo()
    local _ <close> = writer
    local tasks <const> = {}
    for i = 1, 4 do tasks[i] = start(f, "read", 1) end
    let_begin()
    local closing <const> = start(f, "close")
    for i = 1, 4 do assert_code("ECANCELED", asyncio.await, tasks[i]) end
    writer:write("x")
    closing:await()
  end)

  it_runs("waits in coroutines of asyncio.wrap", function()
    local file <close> = temporary("a\nb\n")
    local got = ""
    for line in asyncio.wrap(function()
      local f <close> = asyncio.open(file.path)
      for line in f:lines() do coroutine.yield(line) end
    end) do got = got .. line end
    assert.equal("ab", got)
  end)
end)

describe("File:lines", function()
  it_runs("iterates with formats", function()
    local file <close> = temporary("1 2\n3 4\n")
    local f <close> = asyncio.open(file.path)
    local sum = 0
    for a, b in f:lines("n", "n") do sum = sum + a * b end
    assert.equal(14, sum)
    f:seek("set")
    local kept = {}
    for line in f:lines("L") do kept[#kept + 1] = line end
    assert.same({ "1 2\n", "3 4\n" }, kept)
    f:seek("set")
    local pieces = {}
    for piece in f:lines(3) do pieces[#pieces + 1] = piece end
    assert.same({ "1 2", "\n3 ", "4\n" }, pieces)
    assert.is_false(f:is_closed())
  end)

  it_runs("can be left and taken up again", function()
    local file <close> = temporary("one\ntwo\nthree\n")
    local f <close> = asyncio.open(file.path)
    local seen
    for line in f:lines() do
      seen = line
      if seen then break end
    end
    assert.equal("one", seen)
    assert.equal("two", f:read())
  end)

  it_runs("checks formats when it is called", function()
    local f <close> = asyncio.open("/dev/null")
    virtual.refuses("invalid format", f.lines, f, "z")
  end)
end)

describe("File:write", function()
  it_runs("takes strings and numbers, and gives the file", function()
    local file <close> = temporary()
    local expected <close> = temporary()
    local f <close> = asyncio.open(file.path, "w")
    local own <close> = io.open(expected.path, "w")
    for _, target in ipairs { f, own } do
      assert.equal(target, target:write("a", 1, " ", 1.5, " ", 1.0, " ", 2^53, " ", -0.0, "\n"))
      target:write():write("")
      target:flush()
    end
    assert.equal(contents(expected.path), contents(file.path))
  end)

  it_runs("checks everything before it writes anything", function()
    local file <close> = temporary()
    local f <close> = asyncio.open(file.path, "w")
    virtual.refuses("bad argument #2 to 'write' (string expected, got table)",
      function() f:write("x", {}) end)
    f:flush()
    assert.equal("", contents(file.path))
  end)

  it_runs("keeps what it is given until the buffer is full", function()
    local file <close> = temporary()
    local f <close> = asyncio.open(file.path, "w")
    assert.is_true(f:setvbuf("full", 10))
    f:write("123456789")
    assert.equal("", contents(file.path))
    f:write("0")
    assert.equal("1234567890", contents(file.path))
    f:write(("x"):rep(25), "y")
    f:flush()
    assert.equal(36, #contents(file.path))
  end)

  it_runs("goes out at each newline, or at once, if setvbuf says so", function()
    local file <close> = temporary()
    local f <close> = asyncio.open(file.path, "w")
    f:setvbuf("line")
    f:write("one")
    assert.equal("", contents(file.path))
    f:write(" line\nrest")
    assert.equal("one line\nrest", contents(file.path))
    f:setvbuf("no")
    f:write(".")
    assert.equal("one line\nrest.", contents(file.path))
    f:setvbuf("full")
    f:write("!")
    f:seek("cur")
    assert.equal("one line\nrest.!", contents(file.path))
    virtual.refuses("out of range", f.setvbuf, f, "full", 0)
    virtual.refuses("invalid option", f.setvbuf, f, "most")
  end)

  it_runs("writes more than a megabyte in one call", function()
    local file <close> = temporary()
    local text <const> = ("0123456789"):rep(helper.scale(350000, 20000))
    local f <close> = asyncio.open(file.path, "w")
    f:write("<", text, ">"):close()
    assert.equal("<" .. text .. ">", contents(file.path))
  end)

  it_runs("keeps the values of one call together", function()
    local file <close> = temporary()
    local f <close> = asyncio.open(file.path, "w")
    f:setvbuf("no")
    local tasks <const> = {}
    for i = 1, 10 do
      local line <const> = (tostring(i % 10)):rep(helper.scale(200000, 10))
      tasks[i] = function() f:write(line, line, "\n") end
    end
    asyncio.gather(table.unpack(tasks))
    f:flush()
    local i = 0
    for line in io.lines(file.path) do
      i = i + 1
      assert.is_nil(line:find("[^" .. i % 10 .. "]"))
    end
    assert.equal(10, i)
  end)

  it_runs("reports a full disk, and tries it again", function()
    local f <const> = asyncio.open("/dev/full", "w")
    f:setvbuf("no")
    local err <const> = assert_code("ENOSPC", f.write, f, "x")
    assert.equal("/dev/full", err.path)
    assert_code("ENOSPC", f.flush, f)
    assert_code("ENOSPC", f.close, f)
    assert.is_true(f:is_closed())
    assert.equal(-1, f:fileno())
  end)

  it_runs("that was buffered is reported by close, unless an error is on its way", function()
    assert_code("ENOSPC", function()
      local f <close> = asyncio.open("/dev/full", "w")
      f:write("x")
    end)
    virtual.refuses("mine", function()
      local f <close> = asyncio.open("/dev/full", "w")
      f:write("x")
      error("mine")
    end)
  end)

  it_runs("that is cancelled wrote a part from the beginning, and no more", function()
    local path <const> = os.tmpname()
    os.remove(path)
    assert(os.execute("mkfifo " .. path))
    local keep <close> = asyncio.open(path, "r+") -- lest writing fail for want of a reader
    local f <const> = asyncio.open(path, "w")
    f:setvbuf("full", 1000)
    local writing <const> = start(f, "write", ("a"):rep(3000000))
    let_begin()
    writing:cancel()
    assert_cancelled(writing)
    local next_one <const> = start(f, "write", "B\n")
    local flushing <const> = start(f, "flush")
    local got <const> = keep:read("l") -- takes it all, so that the thread comes back
    next_one:await()
    flushing:await()
    assert.matches("^a+B$", got)
    assert.is_true(#got < 3000000)
    f:close()
    os.remove(path)
  end)

  it_runs("waits where a reader of a pipe is slow, and close waits for it", function()
    local path <const> = os.tmpname()
    os.remove(path)
    assert(os.execute("mkfifo " .. path))
    local reader <close> = asyncio.open(path, "r+")
    local f <const> = asyncio.open(path, "w")
    f:setvbuf("no")
    local writing <const> = start(f, "write", ("a"):rep(200000))
    let_begin()
    local closing <const> = start(f, "close")
    assert_code("ECANCELED", asyncio.await, writing)
    assert.is_false(closing:done())
    assert.equal(200000, #reader:read(200000))
    closing:await()
    os.remove(path)
  end)
end)

describe("File:seek", function()
  it_runs("gives positions that count the buffers", function()
    local file <close> = temporary("0123456789")
    local f <close> = asyncio.open(file.path, "r+")
    assert.equal("01", f:read(2))
    assert.equal(2, f:seek())
    assert.equal("2", f:read(1))
    f:write("xy")
    assert.equal(5, f:seek("cur"))
    assert.equal("5", f:read(1))
    assert.equal(4, f:seek("cur", -2))
    assert.equal("y5", f:read(2))
    assert.equal(8, f:seek("end", -2))
    assert.equal("89", f:read("a"))
    assert.equal(20, f:seek("set", 20))
    assert.is_nil(f:read(1))
    f:seek("set", 1)
    f:write("Z"):flush()
    assert.equal("0Z2xy56789", contents(file.path))
  end)

  it_runs("raises what the system refuses", function()
    local file <close> = temporary("0123456789")
    local f <close> = asyncio.open(file.path)
    f:read(1)
    assert_code("EINVAL", f.seek, f, "set", -1)
    assert_code("EINVAL", f.seek, f, "cur", math.mininteger)
    assert.equal("1", f:read(1))
    virtual.refuses("invalid option", f.seek, f, "middle")
    local pipe <close>, writer <const> = fifo()
    local _ <close> = writer
    assert_code("ESPIPE", pipe.seek, pipe)
    writer:write("still")
    assert.equal("still", pipe:read(5))
    pipe:write("both ways\n")
    assert.equal("both ways", pipe:read())
  end)

  it_runs("of a file for appending begins at its end", function()
    local file <close> = temporary("0123456789")
    local f <close> = asyncio.open(file.path, "a")
    assert.equal(10, f:seek())
    local both <close> = asyncio.open(file.path, "a+")
    assert.equal("01", both:read(2))
    both:write("end"):seek("set", 8)
    assert.equal("89end", both:read("a"))
  end)
end)

describe("File:truncate and sync", function()
  it_runs("cut and lengthen the file, and keep its position", function()
    local file <close> = temporary("0123456789")
    local f <close> = asyncio.open(file.path, "r+")
    assert.equal("01", f:read(2))
    assert.equal(f, f:truncate(5))
    assert.equal("234", f:read("a"))
    f:write("x"):truncate(8):sync()
    assert.equal("01234x\0\0", contents(file.path))
    f:truncate()
    assert.equal("", contents(file.path))
    virtual.refuses("negative size", f.truncate, f, -1)
  end)

  it_runs("report a descriptor that cannot do it", function()
    local f <close> = asyncio.open("/dev/null", "w")
    assert_code("EINVAL", f.truncate, f, 1)
    assert_code("EINVAL", f.sync, f)
  end)

  it_runs("are cancelled without harm", function()
    local file <close> = temporary("x")
    local f <close> = asyncio.open(file.path, "r+")
    for _, method in ipairs { "sync", "truncate", "flush", "seek" } do
      f:write("y")
      local task <const> = start(f, method)
      task:cancel()
      assert_cancelled(task)
    end
    f:truncate(0)
    f:seek("set")
    f:write("z")
    f:close()
    assert.equal("z", contents(file.path))
  end)
end)

-- ---- the same as Lua's own

local WORDS <const> = { "12 ", "0x1p4 ", "-7.5e2 ", "abc", "\n", " ", "..", "nan", "e", "\n\n", "x",
  "1e+", "0x", "+5", "\r\n", "\0", ("9"):rep(210) }
local FORMATS <const> = { "l", "L", "n", "*n", 0, 1, 5, 17, "*L", 300, "l", "a" }
local VALUES <const> = { "x", "hello\n", 12, -1.5, ("z"):rep(100), ("y\n"):rep(30), "\0" }

local function pick(list, n) return list[math.random(n or #list)] end

local function draw(list, least, most, n)
  local drawn <const> = {}
  for i = 1, math.random(least, most) do drawn[i] = pick(list, n) end
  return drawn
end

-- One step of a program: what kind it is, and what is done to both files. `late`: reads may take
-- everything.
local function draw_step(late)
  local kind <const> = pick { "read", "read", "read", "lines", "write", "write", "seek", "other" }
  if kind == "read" then
    local formats <const> = draw(FORMATS, 0, 3, late and #FORMATS or #FORMATS - 1)
    return "read", function(f) return f:read(table.unpack(formats)) end
  elseif kind == "lines" then
    local format <const>, most <const> = pick(FORMATS, 8), math.random(4)
    return "read", function(f)
      local seen <const> = {}
      for value in f:lines(format) do
        seen[#seen + 1] = value
        if #seen == most then break end
      end
      return table.unpack(seen)
    end
  elseif kind == "write" then
    local values <const> = draw(VALUES, 1, 3)
    return "write", function(f) return f:write(table.unpack(values)) end
  elseif kind == "seek" then
    local whence <const>, offset <const> = pick { "set", "cur", "end" }, math.random(-20, 200)
    return "seek", function(f) return f:seek(whence, offset) end
  end
  local mode <const>, size <const> = pick { "full", "line", "no" }, pick { 1, 7, 40, 4096 }
  return "other", pick {
    function(f) return f:seek() end,
    function(f) return f:flush() end,
    function(f) return f:setvbuf(mode, size) end,
  }
end

-- What a step gives. Failures are one: Lua's files return those of the system, ours raise them. The
-- file itself is true: so is what `flush` of Lua 5.4 gives.
local function outcome(f, step)
  local results <const> = table.pack(pcall(step, f))
  if not results[1] or (results[2] == nil and math.type(results[4]) == "integer") then
    return { "failed" }
  end
  if results[2] == f then results[2] = true end
  return results
end

-- One random program on both kinds of file; the first difference is an error.
local function compare(seed, mode)
  math.randomseed(seed)
  local text <const> = table.concat(draw(WORDS, 0, pick { 0, 5, 300 }))
  local mine <close> = temporary(text)
  local theirs <close> = temporary(text)
  local f <close> = asyncio.open(mine.path, mode)
  local own <const> = io.open(theirs.path, mode)
  f:setvbuf(pick { "full", "line", "no" }, math.random(1, 40))
  local last
  for number = 1, 60 do
    local kind <const>, step <const> = draw_step(number > 40)
    local turn <const> = (last or "") .. kind
    if turn == "readwrite" or turn == "writeread" then own:seek("cur", 0) end -- C wants it so
    assert.same(outcome(own, step), outcome(f, step),
      ("seed %d, mode %s, step %d: %s"):format(seed, mode, number, kind))
    if kind ~= "other" then last = kind end
  end
  f:close()
  own:close()
  assert.equal(contents(theirs.path), contents(mine.path))
end

describe("random programs do the same as with io.open in mode", function()
  for _, mode in ipairs { "r", "r+", "w", "w+", "a", "a+", "rb", "w+b" } do
    it_runs(mode, function()
      for seed = 1, helper.scale(40) do compare(seed, mode) end
    end)
  end
end)

-- ---- clocks, states

describe("simulated time", function()
  it("waits for files", function()
    local file <close> = temporary("text")
    asyncio.testing.run(function()
      local before <const> = asyncio.get_running_loop():time()
      asyncio.timeout(1, function()
        local f <close> = asyncio.open(file.path, "r+")
        assert.equal("text", f:read("a"))
        f:write("more"):flush()
      end)
      assert.equal(before, asyncio.get_running_loop():time())
    end)
  end)
end)

-- A loop full of files in flight.
local BUSY <const> = [[
  local asyncio = require "asyncio"
  local files = {}
  local function busy()
    asyncio.get_running_loop():set_exception_handler(function() end)
    for i = 1, 8 do
      local path = os.tmpname()
      files[i] = asyncio.open(path, "w+")
      os.remove(path)
      for _ = 1, 3 do
        asyncio.create_task(function()
          while true do
            files[i]:write(("x"):rep(100000))
            files[i]:seek("set")
            files[i]:read("a")
          end
        end)
      end
      asyncio.create_task(function() while true do asyncio.open("/dev/null"):close() end end)
      asyncio.create_task(function() while true do asyncio.fs.stat("/") end end)
      asyncio.create_task(function() while true do asyncio.fs.scandir("/") end end)
    end
    for i = 1, 3 do
      local f = asyncio.open("/dev/zero")
      asyncio.create_task(function() while true do f:read(100000) end end)
      asyncio.create_task(function() asyncio.sleep(0.002 * i) f:close() end)
    end
    asyncio.sleep(0.02)
    return files
  end
]]

local function ends(source, status)
  local result <const> = helper.run_script(BUSY .. source)
  assert.equal(status or 0, result.status, result.err)
  assert.equal(status and "" or "end\n", result.out, result.err)
  assert.equal("", result.err)
end

describe("with files in flight", function()
  it("a loop can be closed", function()
    ends [[
      local loop = asyncio.new_event_loop()
      loop:set_exception_handler(function() end)
      loop:run_until_complete(busy)
      loop:close()
      collectgarbage()
      print("end")
    ]]
  end)

  it("run ends", function()
    ends [[
      pcall(asyncio.run, function() busy() end)
      print("end")
    ]]
  end)

  it("the state can be closed, from a task", function()
    ends([[asyncio.run(function() busy() os.exit(7, true) end)]], 7)
  end)

  it("the state can be closed, at top level", function()
    ends [[
      local loop = asyncio.get_event_loop()
      loop:set_exception_handler(function() end)
      loop:run_until_complete(busy)
      print("end")
    ]]
  end)

  it("files and loops can be collected in any order", function()
    ends [[
      for _ = 1, 3 do
        local loop = asyncio.new_event_loop()
        loop:set_exception_handler(function() end)
        loop:run_until_complete(busy)
        loop = nil
        files = {}
        collectgarbage()
        collectgarbage()
      end
      print("end")
    ]]
  end)

  it("finalizers can be called by hand", function()
    ends [[
      local loop = asyncio.new_event_loop()
      loop:set_exception_handler(function() end)
      loop:run_until_complete(function()
        busy()
        for _, f in ipairs(files) do
          getmetatable(f).__gc(f)
          assert(not pcall(f.read, f))
        end
        asyncio.sleep(0.01)
      end)
      print("end")
    ]]
  end)
end)
