-- SPDX-License-Identifier: MIT
-- asyncio.sendfile and loop:sendfile: over sockets, where the kernel does it, and over streams in
-- memory, where it is read and written.

local asyncio <const> = require "asyncio"
local helper <const> = require "spec.helper"
local virtual <const> = require "spec.virtual"
local on_loop <const> = require "spec.on_loop"(it, assert)

local assert_code <const> = on_loop.assert_code

local function it_runs(name, fn)
  it(name, function()
    asyncio.run(function() asyncio.timeout(60 * helper.SLOW, fn, asyncio.get_running_loop()) end)
  end)
end

-- Two ends of a TCP connection.
local function connected()
  local listener <close> = asyncio.socket()
  listener:bind("127.0.0.1", 0)
  listener:listen()
  local a <const> = asyncio.open_connection(listener:getsockname())
  return a, (listener:accept())
end

local KINDS <const> = { socket = connected, memory = asyncio.testing.stream_pair }

-- A file without a name that holds the text, open for both.
local function file_with(text)
  local file <const>, path <const> = asyncio.fs.mkstemp()
  asyncio.fs.unlink(path)
  file:write(text):flush()
  return file
end

-- Text in which a piece that is lost, or comes twice, is seen: its period divides no size of ours.
local function pattern(n)
  local block <const> = {}
  for i = 1, 101 do block[i] = string.char(32 + i % 94) end
  return (table.concat(block) .. "\n"):rep(n // 102 + 1):sub(1, n)
end

local function read_all(stream)
  local parts <const> = {}
  while true do
    local part <const> = stream:recv(65536)
    if not part then return table.concat(parts) end
    parts[#parts + 1] = part
  end
end

for kind, pair in pairs(KINDS) do
  describe("sendfile over a " .. kind, function()
    it_runs("sends the whole file", function()
      local text <const> = pattern(helper.scale(5000000, 200000))
      local file <close> = file_with(text)
      local a <close>, b <const> = pair()
      local _ <close> = b
      local sending <const> = asyncio.create_task(function()
        local n <const> = asyncio.sendfile(file, a)
        a:write("behind it")
        a:close()
        return n
      end)
      assert.equal(text .. "behind it", read_all(b))
      assert.equal(#text, sending:await())
      assert.equal(#text, file:seek())
    end)

    it_runs("sends a part", function(loop)
      local text <const> = pattern(300000)
      local file <close> = file_with(text)
      local a <close>, b <const> = pair()
      local _ <close> = b
      assert.equal(10, asyncio.sendfile(file, a, 5, 10))
      assert.equal(text:sub(6, 15), b:readexactly(10))
      assert.equal(15, file:seek())
      assert.equal(3, loop:sendfile(a, file, #text - 3, 100))
      assert.equal(text:sub(-3), b:readexactly(3))
      assert.equal(0, asyncio.sendfile(file, a, #text + 10))
      assert.equal(0, asyncio.sendfile(file, a, 0, 0))
      assert.equal(100000, loop:sendfile(a, file, nil, 100000))
      assert.equal(text:sub(1, 100000), b:readexactly(100000))
    end)

    it_runs("sends what was written to the file and is still in its buffer", function()
      local file <close> = file_with("one ")
      local a <close>, b <const> = pair()
      local _ <close> = b
      file:write("two")
      assert.equal(7, asyncio.sendfile(file, a))
      assert.equal("one two", b:readexactly(7))
      file:write("!"):seek("set")
      assert.equal("one two!", file:read("a"))
    end)

    it_runs("keeps the order of what was written before and meanwhile", function()
      local text <const> = pattern(200000)
      local file <close> = file_with(text)
      local a <close>, b <const> = pair()
      local _ <close> = b
      local before <const> = ("x"):rep(3000000)
      a:write(before)
      local sending <const> = asyncio.create_task(asyncio.sendfile, file, a)
      asyncio.sleep(0)
      assert.equal(before, b:readexactly(#before))
      assert.equal(text, b:readexactly(#text))
      sending:await()
      a:write("end")
      assert.equal("end", b:readexactly(3))
    end)

    it_runs("mixes nothing into its pieces that others write", function()
      local text <const> = ("f"):rep(helper.scale(4000000, 300000))
      local file <close> = file_with(text)
      local a <close>, b <const> = pair()
      local _ <close> = b
      local sending <const> = asyncio.create_task(asyncio.sendfile, file, a)
      local writing <const> = asyncio.create_task(function()
        for i = 1, 20 do
          a:write(("[%05d]"):format(i))
          asyncio.sleep(0.0005)
        end
      end)
      asyncio.create_task(function()
        sending:await()
        writing:await()
        a:close()
      end)
      local got <const> = read_all(b)
      local i = 0
      for number in got:gmatch("%[(%d%d%d%d%d)%]") do
        i = i + 1
        assert.equal(i, tonumber(number))
      end
      assert.equal(20, i)
      assert.equal(#text, #got:gsub("%[%d+%]", ""))
    end)

    it_runs("is cancelled while the peer does not read", function()
      local text <const> = pattern(8000000)
      local file <close> = file_with(text)
      local a <const>, b <close> = pair()
      local sending <const> = asyncio.create_task(asyncio.sendfile, file, a)
      asyncio.sleep(0.03 * helper.SLOW)
      assert.is_true(sending:cancel())
      local ok, err = pcall(asyncio.await, sending)
      assert.is_false(ok)
      assert.is_true(asyncio.is(err, asyncio.CancelledError))
      a:close()
      local got <const> = read_all(b)
      assert.is_true(#got < #text)
      assert.equal(text:sub(1, #got), got)
      assert.equal(text:sub(1, 3), file:seek("set") == 0 and file:read(3))
    end)

    it_runs("is woken when the stream or the file is closed", function()
      local file <const> = file_with(pattern(8000000))
      local a <const>, peer <const> = pair()
      local _ <close> = peer
      local sending = asyncio.create_task(asyncio.sendfile, file, a)
      asyncio.sleep(0.02 * helper.SLOW)
      a:abort()
      local ok, err = pcall(asyncio.await, sending)
      assert.is_false(ok)
      assert.is_true(err.code == "ECANCELED" or err.code == "EBADF", tostring(err))
      local c <close>, d <const> = pair()
      sending = asyncio.create_task(asyncio.sendfile, file, c)
      asyncio.sleep(0.02 * helper.SLOW)
      file:close()
      local reading <const> = asyncio.create_task(read_all, d)
      ok, err = pcall(asyncio.await, sending)
      assert.is_false(ok)
      assert.is_true(err.code == "ECANCELED" or err.code == "EBADF", tostring(err))
      reading:cancel()
    end)

    it_runs("reports a peer that goes away", function()
      local file <close> = file_with(pattern(8000000))
      local a <close>, b <const> = pair()
      local sending <const> = asyncio.create_task(asyncio.sendfile, file, a)
      asyncio.sleep(0.02 * helper.SLOW)
      b:abort()
      local ok, err = pcall(asyncio.await, sending)
      assert.is_false(ok)
      assert.is_true(err.code == "ECONNRESET" or err.code == "EPIPE", tostring(err))
    end)

    it_runs("refuses what it cannot do", function(loop)
      local file <close> = file_with("x")
      local a <const>, b <close> = pair()
      virtual.refuses("negative offset", asyncio.sendfile, file, a, -1)
      virtual.refuses("negative count", asyncio.sendfile, file, a, 0, -1)
      virtual.refuses("asyncio.File expected", loop.sendfile, loop, a, a)
      local writer <close> = asyncio.open("/dev/null", "w")
      assert_code("EBADF", asyncio.sendfile, writer, a)
      a:write_eof()
      virtual.refuses("write_eof", asyncio.sendfile, file, a)
      a:close()
      assert_code("EBADF", asyncio.sendfile, file, a)
      file:close()
      assert_code("EBADF", asyncio.sendfile, file, b)
    end)

    it_runs("sends a pipe and a directory's error", function()
      local path <const> = os.tmpname()
      os.remove(path)
      assert(os.execute("mkfifo " .. path))
      local pipe <const> = asyncio.open(path, "r+")
      local writer <close> = io.open(path, "w")
      os.remove(path)
      writer:write("through a pipe")
      writer:flush()
      local a <close>, b <const> = pair()
      local _ <close> = b
      assert.equal(14, asyncio.sendfile(pipe, a, 0, 14))
      assert.equal("through a pipe", b:readexactly(14))
      assert_code("ESPIPE", asyncio.sendfile, pipe, a, 1)
      local closing <const> = asyncio.create_task(pipe.close, pipe)
      writer:write("x")
      closing:await()
      local root <close> = asyncio.open("/")
      assert_code("EISDIR", asyncio.sendfile, root, a)
    end)
  end)
end

describe("sendfile", function()
  local function resident()
    local file <close> = io.open("/proc/self/statm")
    return file and select(2, file:read("n", "n")) -- pages
  end

  it_runs("takes bounded memory", function()
    if helper.SCALE < 1 or helper.SLOW > 1 then
      return pending("memory is measured at full size")
    end
    if not resident() then return pending("this system has no /proc") end
    local file <close> = file_with("")
    file:truncate(1 << 28)
    for _, pair in pairs(KINDS) do
      local a <const>, b <close> = pair()
      local sending <const> = asyncio.create_task(function()
        asyncio.sendfile(file, a)
        a:close()
      end)
      local got, before, most = 0, nil, 0
      while true do
        local part <const> = b:recv(1 << 20)
        if not part then break end
        got = got + #part
        if got > 20000000 then before = before or resident() end
        if before then most = math.max(most, resident()) end
      end
      sending:await()
      assert.equal(1 << 28, got)
      assert.is_true((most - before) * 4096 < 8 << 20, (most - before) * 4096)
    end
  end)

  it("may be in flight when its loop closes", function()
    local result <const> = helper.run_script [[
      local asyncio = require "asyncio"
      local function busy()
        local server = asyncio.start_server(function() asyncio.sleep(100) end, "127.0.0.1", 0)
        for i = 1, 6 do
          local file, path = asyncio.fs.mkstemp()
          asyncio.fs.unlink(path)
          file:truncate(50000000)
          local stream = asyncio.open_connection(server:sockets()[1]:getsockname())
          asyncio.create_task(asyncio.sendfile, file, stream)
        end
        asyncio.sleep(0.005)
      end
      local loop = asyncio.new_event_loop()
      loop:run_until_complete(busy)
      loop:close()
      asyncio.run(function() busy() os.exit(5, true) end)
    ]]
    assert.equal(5, result.status, result.err)
    assert.equal("", result.err)
  end)
end)
