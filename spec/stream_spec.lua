-- SPDX-License-Identifier: MIT
-- Stream: reading, writing, closing. What needs no kernel runs on a pair in memory, at simulated
-- times; the rest over TCP on this machine. Names in brackets are those of asyncio's own tests.

local asyncio <const> = require "asyncio"
local helper <const> = require "spec.helper"
local on_loop <const> = require "spec.on_loop"(it, assert)

local start <const> = on_loop.start
local assert_cancelled <const> = on_loop.assert_cancelled

local OSError <const> = asyncio.OSError

-- it(), with the body as the main task of a loop with simulated time; it gets a connected pair.
local function it_pairs(name, fn)
  it(name, function()
    asyncio.testing.run(function() fn(asyncio.testing.stream_pair()) end)
  end)
end

-- it(), on a real loop, with the two ends of a TCP connection.
local function it_connects(name, fn)
  it(name, function()
    asyncio.run(function()
      on_loop.with_connection(function(a, b) asyncio.timeout(30 * helper.SLOW, fn, a, b) end)
    end)
  end)
end

local function spawn(fn, ...)
  return asyncio.create_task(fn, ...)
end

local function assert_raises(class, pattern, fn, ...)
  local ok, err = pcall(fn, ...)
  assert.is_false(ok)
  if class then assert.is_true(asyncio.is(err, class), tostring(err)) end
  assert.matches(pattern, tostring(err))
  return err
end

local function assert_code(code, fn, ...)
  local err <const> = assert_raises(OSError, code, fn, ...)
  assert.equal(code, err.code)
  assert.is_true(err.errno > 0)
  return err
end

-- Made before any test runs, where `make gc` does not collect at each of the many small strings.
local PATTERN <const> = (function()
  local parts <const> = {}
  for i = 1, 12000 do parts[i] = ("%d,"):format(i * 7919 % 1000003) end
  return table.concat(parts)
end)()

-- n bytes that do not repeat soon.
local function pattern_bytes(n)
  return PATTERN:rep(n // #PATTERN + 1):sub(1, n)
end

describe("Stream reading", function()
  it_pairs("read(n) gives what there is, at most n, and nil at the end", function(a, b)
    a:write("hello world")
    assert.equal("hello", b:read(5))
    assert.equal(" world", b:read(100))
    a:close()
    assert.is_nil(b:read(1))
    assert.is_nil(b:read(1))
  end)

  it_pairs("read(0) gives an empty string, also at the end", function(a, b)
    assert.equal("", b:read(0))
    a:close()
    assert.equal("", b:read(0))
    assert.is_nil(b:read(1))
    assert.equal("", b:read(0))
  end)

  it_pairs("read() and read(-1) give all until the end, then nil (test_read_until_eof)",
    function(a, b)
    local all <const> = start(b, "read")
    a:write("one")
    asyncio.sleep(1)
    a:write("two")
    asyncio.sleep(1)
    assert.is_false(all:done())
    a:write_eof()
    assert.equal("onetwo", all:await())
    assert.is_nil(b:read())
    assert.is_nil(b:read(-1))
    b:write("back")
    b:write_eof()
    assert.equal("back", a:read(-1))
  end)

  it_pairs('read("a") gives "" at the end, as Lua does', function(a, b)
    a:write("rest")
    a:close()
    assert.equal("rest", b:read("a"))
    assert.equal("", b:read("a"))
    assert.equal("", b:read("*a"))
  end)

  it_pairs('read("l") and read("L") read lines; the last may have no newline', function(a, b)
    a:write("one\ntwo\n\nlast")
    a:close()
    assert.equal("one", b:read("l"))
    assert.equal("two\n", b:read("L"))
    assert.equal("", b:read("*l"))
    assert.equal("last", b:read("L"))
    assert.is_nil(b:read("l"))
  end)

  it_pairs("readline keeps the newline and gives nil at the end (test_readline)", function(a, b)
    local line <const> = start(b, "readline")
    a:write("chunk1 ")
    asyncio.sleep(1)
    a:write("chunk2 ")
    asyncio.sleep(1)
    a:write("chunk3 \n chunk4")
    assert.equal("chunk1 chunk2 chunk3 \n", line:await())
    a:close()
    assert.equal(" chunk4", b:readline())
    assert.is_nil(b:readline())
  end)

  it_pairs("a line that is longer than the limit is dropped (test_readline_limit)", function()
    local a, b = asyncio.testing.stream_pair { limit = 7 }
    a:write("1234567890")
    local err = assert_raises(asyncio.LimitOverrunError, "longer than limit", b.readline, b)
    assert.equal(10, err.consumed)
    a:write("rest\n")
    assert.equal("rest\n", b:readline())
    a:write("far too long\nnext\n")
    err = assert_raises(asyncio.LimitOverrunError, "longer than limit", b.read, b, "l")
    assert.equal(12, err.consumed)
    assert.equal("next", b:read("l"))
    a:write("1234567\n")
    assert.equal("1234567\n", b:readline())
  end)

  it_pairs("lines() iterates until the end, and waits", function(a, b)
    local seen <const> = {}
    local task <const> = spawn(function()
      for line in b:lines() do seen[#seen + 1] = line end
    end)
    a:write("one\ntw")
    asyncio.sleep(1)
    assert.same({ "one" }, seen)
    a:write("o\nthree")
    a:close()
    task:await()
    assert.same({ "one", "two", "three" }, seen)
  end)

  it_pairs("lines(format) takes the formats of read", function(a, b)
    a:write("one\ntwo\n")
    a:close()
    local seen <const> = {}
    for line in b:lines("L") do seen[#seen + 1] = line end
    assert.same({ "one\n", "two\n" }, seen)
    local c, d = asyncio.testing.stream_pair()
    c:write("abcdefg")
    c:close()
    seen[3] = nil
    local pieces <const> = {}
    for piece in d:lines(3) do pieces[#pieces + 1] = piece end
    assert.same({ "abc", "def", "g" }, pieces)
    assert.has_error(function() d:lines("a") end)
    assert.has_error(function() d:lines(0) end)
  end)

  it_pairs("readexactly waits for all of it (test_readexactly)", function(a, b)
    assert.equal("", b:readexactly(0))
    local task <const> = start(b, "readexactly", 9)
    a:write("abc")
    asyncio.sleep(1)
    a:write("def")
    asyncio.sleep(1)
    assert.is_false(task:done())
    a:write("ghi and more")
    assert.equal("abcdefghi", task:await())
    assert.equal(" and more", b:read(100))
  end)

  it_pairs("readexactly says what was missing (test_readexactly_eof)", function(a, b)
    a:write("some")
    a:close()
    local err <const> = assert_raises(asyncio.IncompleteReadError, "4 bytes read on a total of 10",
      b.readexactly, b, 10)
    assert.equal("some", err.partial)
    assert.equal(10, err.expected)
    assert.is_true(b:at_eof())
  end)

  it_pairs("readexactly may ask for more than the limit (test_readexactly_limit)", function()
    local a, b = asyncio.testing.stream_pair { limit = 3 }
    local data <const> = pattern_bytes(100000)
    local writer <const> = start(a, "sendall", data .. "x")
    assert.equal(data, b:readexactly(#data))
    assert.equal("x", b:read(10))
    writer:await()
  end)

  it_pairs("readuntil finds a separator that comes in parts (test_readuntil_separator)",
    function(a, b)
    local task <const> = start(b, "readuntil", "\r\n")
    for piece in ("one\rtwo\r"):gmatch(".") do
      a:write(piece)
      asyncio.sleep(1)
    end
    assert.is_false(task:done())
    a:write("\nthree\n")
    assert.equal("one\rtwo\r\n", task:await())
    assert.equal("three\n", b:readuntil())
  end)

  it_pairs("readuntil takes the separator that ends first (test_readuntil_multi_separator)",
    function(a, b)
    a:write("AABBCC|DD--EE")
    assert.equal("AABB", b:readuntil { "|", "BB", "CC" })
    assert.equal("CC|", b:readuntil { "--", "|" })
    assert.equal("DD--", b:readuntil { "--E", "--" })
    assert.equal("EE", b:read(10))
  end)

  it_pairs("of two separators that end together the shorter one counts", function()
    local a, b = asyncio.testing.stream_pair { limit = 4 }
    a:write("aaaaXY")
    local err <const> =
      assert_raises(asyncio.LimitOverrunError, "is found", b.readuntil, b, { "XY", "Y" })
    assert.equal(5, err.consumed)
  end)

  it_pairs("readuntil raises with what there was at the end (test_readuntil_eof)", function(a, b)
    a:write("some bytes")
    a:close()
    local err <const> = assert_raises(asyncio.IncompleteReadError, "", b.readuntil, b, ";")
    assert.equal("some bytes", err.partial)
    assert.is_nil(err.expected)
  end)

  it_pairs("readuntil keeps to the limit (test_readuntil_limit_found_sep)", function()
    local a, b = asyncio.testing.stream_pair { limit = 3 }
    a:write("some dataAA")
    local err = assert_raises(asyncio.LimitOverrunError, "separator is found", b.readuntil, b, "AA")
    assert.equal(9, err.consumed)
    assert.equal("some dataAA", b:readexactly(11))
    local c, d = asyncio.testing.stream_pair { limit = 3 }
    c:write("some dataA")
    err = assert_raises(asyncio.LimitOverrunError, "not found", d.readuntil, d, "AA")
    assert.equal(9, err.consumed)
    assert.equal("some dataA", d:readexactly(10))
  end)

  it_pairs("at_eof is true when everything has been read", function(a, b)
    a:write("x")
    a:close()
    assert.is_false(b:at_eof())
    b:read(1)
    assert.is_true(b:at_eof())
  end)

  it_pairs("at_eof is true when it was closed here, whatever had come", function(a, b)
    a:write("x")
    asyncio.sleep(0.01)
    assert.is_false(b:at_eof())
    b:close()
    b:wait_closed()
    assert.is_true(b:at_eof())
  end)

  it_pairs("one read* at a time (test_wait_concurrent)", function(a, b)
    local first <const> = start(b, "readline")
    for _, call in ipairs { { "read" }, { "readline" }, { "readexactly", 1 }, { "readuntil" },
      { "recv", 1 } } do
      local ok, err = pcall(b[call[1]], b, call[2])
      assert.is_false(ok)
      assert.matches("another task is reading", err)
    end
    local ok, err = pcall(b:lines())
    assert.is_false(ok)
    assert.matches("another task is reading", err)
    a:write("x\n")
    assert.equal("x\n", first:await())
  end)

  it_pairs("recv queues first come, first served; read is refused meanwhile", function(a, b)
    local got <const> = {}
    local tasks <const> = {}
    for i = 1, 3 do
      tasks[i] = spawn(function()
        local data <const> = b:recv(2)
        got[#got + 1] = i .. ":" .. data
      end)
    end
    asyncio.sleep(0)
    local ok, err = pcall(b.read, b)
    assert.is_false(ok)
    assert.matches("another task is reading", err)
    a:write("aabbc")
    asyncio.gather(table.unpack(tasks))
    assert.same({ "1:aa", "2:bb", "3:c" }, got)
    assert.equal("", b:recv(0))
  end)

  it_pairs("recv: who finds nothing left stays the first in the queue", function(a, b)
    local got <const> = {}
    local function receiver(name)
      local data <const> = b:recv(10)
      got[#got + 1] = name .. data
    end
    local tasks <const> = { spawn(receiver, "1"), spawn(receiver, "2"), spawn(receiver, "3") }
    asyncio.sleep(0)
    for _, data in ipairs { "a", "b", "c" } do
      a:write(data)
      asyncio.sleep(1)
    end
    asyncio.gather(table.unpack(tasks))
    assert.same({ "1a", "2b", "3c" }, got)
  end)

  it_pairs("recv at the end gives nil to everybody who waits", function(a, b)
    local first <const>, second <const> = start(b, "recv", 1), start(b, "recv", 1)
    a:close()
    assert.is_nil(first:await())
    assert.is_nil(second:await())
  end)
end)

describe("Stream reading, cancelled", function()
  local ways <const> = {
    { "read", 100 }, { "read" }, { "read", "l" }, { "readline" }, { "readexactly", 10 },
    { "readuntil", ";" }, { "recv", 100 },
  }

  for _, way in ipairs(ways) do
    it_pairs(("%s(%s) loses no byte"):format(way[1], way[2] or ""), function(a, b)
      local task <const> = start(b, table.unpack(way))
      if way[1] == "read" and way[2] == 100 or way[1] == "recv" then
        task:cancel()
      else
        a:write("abc")
        asyncio.sleep(1)
        assert.is_false(task:done())
        task:cancel()
      end
      assert_cancelled(task)
      a:write("def")
      a:close()
      assert.matches("^a?b?c?def$", b:read())
    end)

    it_pairs(("%s(%s), woken and then cancelled, loses no byte"):format(way[1], way[2] or ""),
      function(a, b)
      local task <const> = start(b, table.unpack(way))
      a:write("0123456789;\n")
      if way[1] == "read" and not way[2] then a:close() end
      task:cancel() -- it is in the ready queue now, with its data
      assert_cancelled(task)
      assert.equal("0123456789;\n", b:readexactly(12))
    end)
  end

  it_pairs("B4: a recv that is cancelled after it was woken wakes the next one (copas 208)",
    function(a, b)
    local first <const>, second <const> = start(b, "recv", 10), start(b, "recv", 10)
    a:write("data")
    first:cancel()
    assert_cancelled(first)
    assert.equal("data", second:await())
  end)

  it_pairs("a recv that is cancelled in the middle of the queue leaves it in order", function(a, b)
    local first <const>, second <const>, third <const> = start(b, "recv", 1), start(b, "recv", 1),
      start(b, "recv", 1)
    second:cancel()
    assert_cancelled(second)
    a:write("xy")
    assert.equal("x", first:await())
    assert.equal("y", third:await())
  end)

  -- Two connections, both of which get something before the loop polls: who runs first does
  -- something to the second reader, who is woken but has not taken his bytes from the kernel.
  local function it_reads_second(name, act, check, send)
    it_connects(name, function(a, b)
      on_loop.with_connection(function(c, d)
        local second
        local first <const> = spawn(function()
          local got <const> = b:recv(10)
          act(second, d)
          return got
        end)
        second = start(d, "recv", 10)
        asyncio.sleep(0)
        a:sendall("one")
        if send then send(c) else c:sendall("two") end
        assert.equal("one", first:await())
        check(second, d, c)
      end)
    end)
  end

  it_reads_second("over TCP: woken and then cancelled, the bytes stay", function(second)
    second:cancel()
  end, function(second, d)
    assert_cancelled(second)
    assert.equal("two", d:recv(10))
  end)

  it_reads_second("over TCP: woken and then cancelled, the next one in the queue is served",
    function(second, d)
    second:cancel()
    start(d, "recv", 1)
  end, function(second, d)
    assert_cancelled(second)
    asyncio.sleep(0.01)
    assert.equal("wo", d:recv(10))
  end)

  it_reads_second("over TCP: woken, and then the stream is closed", function(_, d)
    d:close()
  end, function(second)
    assert_code("ECANCELED", second.await, second)
  end)

  it_reads_second("over TCP: woken by a reset, of which another one who writes is told first",
    function(_, d)
    assert_code("ECONNRESET", d.sendall, d, "x")
  end, function(second)
    assert_code("ECONNRESET", second.await, second)
  end, function(c)
    c:setsockopt("linger", 0)
    c:abort()
  end)

  it_reads_second("over TCP: woken, and another reader queues behind", function(_, d)
    spawn(function()
      assert.equal("more", d:recv(10))
      d:sendall("seen")
    end)
  end, function(second, _, c)
    assert.equal("two", second:await())
    c:sendall("more")
    assert.equal("seen", c:recv(10))
  end)

  it_connects("over TCP: timeout, then the rest comes", function(a, b)
    b:write("first ")
    assert_raises(asyncio.TimeoutError, "", asyncio.timeout, 0.02, a.readexactly, a, 12)
    b:write("second")
    assert.equal("first second", a:readexactly(12))
  end)
end)

describe("Stream closed under a reader", function()
  for _, way in ipairs { { "read", 5 }, { "read" }, { "read", "l" }, { "readline" },
    { "readexactly", 5 }, { "readuntil" }, { "recv", 5 } } do
    it_pairs(("%s(%s) is woken with ECANCELED"):format(way[1], way[2] or ""), function(_, b)
      local task <const> = start(b, table.unpack(way))
      b:close()
      local err <const> = assert_code("ECANCELED", asyncio.await, task)
      assert.matches("was closed", tostring(err))
    end)
  end

  it_pairs("lines() too", function(_, b)
    local task <const> = spawn(function() for _ in b:lines() do end end)
    asyncio.sleep(0)
    b:abort()
    assert_code("ECANCELED", asyncio.await, task)
  end)

  it_pairs("all recv in the queue", function(_, b)
    local first <const>, second <const> = start(b, "recv", 5), start(b, "recv", 5)
    b:close()
    assert_code("ECANCELED", asyncio.await, first)
    assert_code("ECANCELED", asyncio.await, second)
  end)

  it_pairs("who was woken with data before gets it", function(a, b)
    local task <const> = start(b, "read", 5)
    a:write("late")
    b:close()
    assert.equal("late", task:await())
  end)

  it_pairs("afterwards every method says that it is closed", function(_, b)
    b:close()
    b:close()
    b:abort()
    for _, way in ipairs {
      { "read" }, { "readline" }, { "readexactly", 1 }, { "readuntil" }, { "recv", 1 },
        { "write", "x" },
      { "writelines", { "x" } }, { "write_eof" }, { "sendall", "x" }, { "shutdown", "both" },
        { "getsockname" },
      { "getpeername" }, { "accept" }, { "listen" }, { "bind", "127.0.0.1", 0 },
        { "connect", "127.0.0.1", 1 },
      { "setsockopt", "nodelay", true }, { "getsockopt", "nodelay" },
    } do
      local err <const> = assert_code("EBADF", b[way[1]], b, table.unpack(way, 2))
      assert.matches("is closed", tostring(err))
    end
    assert.equal(-1, b:fileno())
    assert.is_true(b:is_closing())
    b:drain()
    b:wait_closed()
  end)

  it_connects("over TCP, by another task", function(a)
    local task <const> = start(a, "read", 5)
    asyncio.sleep(0.01)
    a:close()
    local err <const> = assert_code("ECANCELED", asyncio.await, task)
    assert.matches("127%.0%.0%.1:%d+: the stream was closed", tostring(err))
  end)
end)

describe("Stream writing", function()
  it_pairs("goes out in order, by whatever method", function(a, b)
    a:write("1")
    a:writelines { "2", "3", 4 }
    a:sendall("5")
    a:write(6)
    a:writelines {}
    a:write("")
    a:sendall("")
    assert.equal("123456", b:read(100))
  end)

  it_pairs("write_eof ends one side only", function(a, b)
    assert.is_true(a:can_write_eof())
    a:write("question")
    a:write_eof()
    a:write_eof()
    assert.equal("question", b:read())
    b:write("answer")
    b:close()
    assert.equal("answer", a:read())
    for _, method in ipairs { "write", "sendall" } do
      local ok, err = pcall(a[method], a, "x")
      assert.is_false(ok)
      assert.matches("write_eof", err)
    end
  end)

  it_pairs("drain waits while much is left, for all who call it", function(a, b)
    a:drain()
    a:write(("x"):rep(500000))
    local drained <const>, also <const> = start(a, "drain"), start(a, "drain")
    asyncio.sleep(1)
    assert.is_false(drained:done() or also:done())
    b:readexactly(400000)
    b:readexactly(100000)
    drained:await()
    also:await()
    assert.equal(0, a:get_write_buffer_size())
  end)

  it("drain: from more than the high mark to no more than the low one", function()
    asyncio.testing.run(function()
      local a, b = asyncio.testing.stream_pair { limit = 1 } -- b stops reading at once
      assert.same({ 16384, 65536 }, { a:get_write_buffer_limits() })
      a:write("!")
      a:write("!!") -- b has more than twice its limit
      local function write(n)
        a:write(("x"):rep(n))
        return start(a, "drain"):done()
      end
      for _ = 1, 8 do assert.is_true(write(8192)) end
      assert.equal(65536, a:get_write_buffer_size())
      assert.is_true(start(a, "drain"):done())
      a:write("x") -- one more than the mark
      local waiting <const> = start(a, "drain")
      assert.is_false(waiting:done())
      local least = math.huge
      while not waiting:done() do -- each chunk is given to b when it has read the one before
        least = a:get_write_buffer_size()
        b:read(65536)
        asyncio.sleep(0)
      end
      assert.is_true(least > 16384)
      assert.is_true(a:get_write_buffer_size() <= 16384)
      assert.is_true(a:get_write_buffer_size() > 0, "it did not wait until all was out")
      assert.is_true(write(40000)) -- up again, below the high mark
    end)
  end)

  it("the marks can be set: one follows from the other, and who waits is judged anew", function()
    asyncio.testing.run(function()
      local a, b = asyncio.testing.stream_pair { limit = 1 }
      local function set(limits, low, high)
        a:set_write_buffer_limits(limits)
        assert.same({ low, high }, { a:get_write_buffer_limits() })
      end
      set({ high_water = 1000 }, 250, 1000)
      set({ low_water = 1000 }, 1000, 4000)
      set({ high_water = 10, low_water = 10 }, 10, 10)
      set({ high_water = 0 }, 0, 0)
      set({}, 16384, 65536)
      set(nil, 16384, 65536)
      assert_raises(nil, "option 'low_water': no more than high_water expected",
        a.set_write_buffer_limits, a, { high_water = 5, low_water = 6 })
      a:write("!!!")
      a:write(("x"):rep(1000))
      a:drain()
      set({ high_water = 999 }, 249, 999)
      local waiting <const> = start(a, "drain")
      assert.is_false(waiting:done())
      set({ low_water = 1000 }, 1000, 4000)
      waiting:await()
      set({ high_water = 0 }, 0, 0)
      local last <const> = start(a, "drain")
      assert.is_false(last:done())
      b:readexactly(3)
      last:await()
      assert.equal(0, a:get_write_buffer_size())
    end)
  end)

  it_pairs("what a cancelled sendall leaves behind does not hold up drain", function(a, b)
    local sender <const> = start(a, "sendall", ("x"):rep(3000000))
    local drained <const> = start(a, "drain")
    assert.is_true(a:get_write_buffer_size() > 2000000)
    a:set_write_buffer_limits { low_water = 300000 } -- what libuv has in its hands is less
    sender:cancel()
    assert_cancelled(sender)
    drained:await()
    assert.is_true(a:get_write_buffer_size() <= 300000)
    b:close()
  end)

  it_pairs("drain is cancelled, and what was written is sent all the same", function(a, b)
    a:write(("x"):rep(500000))
    local drained <const> = start(a, "drain")
    drained:cancel()
    assert_cancelled(drained)
    a:write_eof()
    assert.equal(500000, #b:read())
  end)

  it_pairs("the writer is held back while nobody reads (backpressure)", function(a, b)
    local sent = 0
    local task <const> = spawn(function()
      while true do
        a:sendall(("x"):rep(1000))
        sent = sent + 1000
      end
    end)
    asyncio.sleep(1)
    local before <const> = sent
    assert.is_true(before > 64000 and before < 200000, before)
    asyncio.sleep(1)
    assert.equal(before, sent)
    b:read(100000)
    asyncio.sleep(1)
    assert.is_true(sent > before)
    task:cancel()
    assert_cancelled(task)
  end)

  it_pairs("sendall queues: the data of two tasks is not mixed", function(a, b)
    local one <const> = start(a, "sendall", ("1"):rep(300000))
    local two <const> = start(a, "sendall", ("2"):rep(300000))
    a:write("3")
    a:write_eof()
    assert.matches("^1+2+3$", b:read())
    one:await()
    two:await()
  end)

  it_pairs("a sendall that is cancelled sends no more; what comes behind it is sent", function(a, b)
    local data <const> = pattern_bytes(2000000)
    local task <const> = start(a, "sendall", data)
    local behind <const> = start(a, "sendall", ("!"):rep(1000))
    task:cancel()
    assert_cancelled(task)
    a:write_eof()
    local all <const> = b:read()
    behind:await()
    local sent <const> = #all - 1000
    assert.is_true(sent > 0 and sent < #data)
    assert.equal(data:sub(1, sent) .. ("!"):rep(1000), all)
  end)

  it_pairs("the middle one of three sendalls is cancelled before it began", function(a, b)
    local one <const> = start(a, "sendall", ("1"):rep(300000))
    local two <const> = start(a, "sendall", ("2"):rep(300000))
    local three <const> = start(a, "sendall", ("3"):rep(300000))
    two:cancel()
    assert_cancelled(two)
    a:write_eof()
    assert.equal(("1"):rep(300000) .. ("3"):rep(300000), b:read())
    one:await()
    three:await()
  end)

  it_pairs("close sends what was written, and wakes a sendall, whose rest is dropped",
    function(a, b)
    a:write(("w"):rep(300000))
    local task <const> = start(a, "sendall", ("s"):rep(300000))
    a:close()
    local err <const> = assert_code("ECANCELED", asyncio.await, task)
    assert.matches("was closed", tostring(err))
    assert.is_true(a:is_closing())
    assert.equal(("w"):rep(300000), b:read())
    a:wait_closed()
  end)

  it_pairs("close does not wait for the rest of a sendall", function(a, b)
    local task <const> = start(a, "sendall", ("s"):rep(3000000))
    a:close()
    assert_code("ECANCELED", asyncio.await, task)
    a:wait_closed() -- although b has read nothing
    assert.matches("^s+$", b:read())
  end)

  it_pairs("wait_closed waits until what was written is out", function(a, b)
    a:write(("x"):rep(300000))
    a:close()
    local closed <const> = start(a, "wait_closed")
    asyncio.sleep(1)
    assert.is_false(closed:done())
    assert.equal(300000, #b:read())
    closed:await()
  end)

  it_pairs("wait_closed waits for somebody to close it; it can be cancelled", function(a)
    local closed <const>, cancelled <const> = start(a, "wait_closed"), start(a, "wait_closed")
    cancelled:cancel()
    assert_cancelled(cancelled)
    assert.is_false(closed:done())
    a:close()
    closed:await()
  end)

  it_pairs("abort throws away what was written; who drains is told", function(a, b)
    a:write(("x"):rep(500000))
    local drained <const>, sender <const> = start(a, "drain"), start(a, "sendall", "more")
    a:abort()
    assert_code("ECANCELED", asyncio.await, drained)
    assert_code("ECANCELED", asyncio.await, sender)
    assert.is_true(#b:read() < 500000)
    a:wait_closed()
  end)

  it_pairs("writing to a peer that has gone is reported where the program waits", function(a, b)
    b:close()
    a:write("x")
    a:write("y")
    assert_code("EPIPE", a.drain, a)
    assert_code("EPIPE", a.sendall, a, "z")
    assert.is_true(a:is_closing())
    a:close()
    assert_code("EPIPE", a.wait_closed, a)
  end)

  it_pairs("a sendall in progress ends when the peer goes", function(a, b)
    local task <const> = start(a, "sendall", ("x"):rep(500000))
    b:close()
    assert_code("EPIPE", asyncio.await, task)
  end)
end)

describe("Stream, its life", function()
  it_pairs("<close> closes", function()
    local b
    do
      local c <close>, d = asyncio.testing.stream_pair()
      c:write("bye")
      b = d
    end
    assert.equal("bye", b:read())
  end)

  it_pairs("is shown with its state", function(a)
    assert.matches("^<asyncio.Stream 0x%x+ %[connected%]>$", tostring(a))
    a:close()
    assert.matches("%[closed%]>$", tostring(a))
  end)

  it_pairs("one that is collected is closed, and still sends what was written", function(a, b)
    a:write(("x"):rep(400000))
    a = nil -- luacheck: ignore
    collectgarbage()
    collectgarbage()
    assert.equal(400000, #b:read())
  end)

  it_pairs("get_extra_info gives a default", function(a)
    assert.is_nil(a:get_extra_info("peername"))
    assert.equal("?", a:get_extra_info("nothing", "?"))
    assert.equal(a, a:get_extra_info("socket"))
  end)

  it_pairs("a call of __gc by hand closes it, no more", function(a, b)
    local task <const> = start(b, "read")
    local drained <const> = start(b, "wait_closed")
    getmetatable(b).__gc(b)
    assert.is_false(pcall(asyncio.await, task))
    assert.is_false(pcall(asyncio.await, drained))
    assert.is_false(pcall(b.read, b))
    assert.is_false(pcall(tostring, b))
    getmetatable(b).__gc(b)
    getmetatable(b).__gc(io.stdout)
    getmetatable(b).__gc(nil)
    assert.is_nil(a:read())
  end)

  it("a stream of another loop is refused", function()
    local loop <const> = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    local a, b = asyncio.testing.stream_pair()
    asyncio.run(function()
      for _, way in ipairs { { "read" }, { "drain" }, { "sendall", "x" }, { "wait_closed" } } do
        local ok, err = pcall(a[way[1]], a, way[2])
        assert.is_false(ok)
        assert.matches("another event loop", err)
      end
    end)
    loop:close()
    assert_code("EBADF", a.write, a, "x")
    assert.is_true(b:is_closing())
    asyncio.set_event_loop(nil)
  end)

  it("waits at top level, where no loop runs", function()
    asyncio.set_event_loop(asyncio.new_event_loop())
    local a, b = asyncio.testing.stream_pair()
    a:write("top\n")
    assert.equal("top\n", b:readline())
    a:write("one\ntwo\n")
    a:close()
    local seen <const> = {}
    for line in b:lines() do seen[#seen + 1] = line end
    assert.same({ "one", "two" }, seen)
    asyncio.get_event_loop():close()
    asyncio.set_event_loop(nil)
  end)

  it_pairs("refuses to wait in a callback of the loop", function(a)
    local message
    asyncio.get_running_loop():call_soon(function() message = select(2, pcall(a.read, a)) end)
    asyncio.sleep(0)
    assert.matches("cannot wait in a callback", message)
  end)

  it("wrong arguments", function()
    asyncio.run(function()
      local a <const> = asyncio.testing.stream_pair()
      local function refuses(pattern, method, ...)
        local ok, err = pcall(a[method], ...)
        assert.is_false(ok)
        assert.matches(pattern, err)
      end
      for _, method in ipairs {
        "read", "readline", "readexactly", "readuntil", "lines", "at_eof", "recv", "write",
          "writelines", "write_eof",
        "can_write_eof", "drain", "sendall", "close", "abort", "is_closing", "wait_closed",
          "get_extra_info",
      } do
        refuses("asyncio.Stream expected", method)
        refuses("asyncio.Stream expected", method, io.stdout)
        refuses("asyncio.Stream expected", method, {})
      end
      refuses("#2.*integer or format expected, got table", "read", a, {})
      refuses("invalid format", "read", a, "x")
      refuses("invalid format", "read", a, "n")
      refuses("no integer representation", "read", a, 1.5)
      refuses("number expected, got no value", "readexactly", a)
      refuses("negative", "readexactly", a, -1)
      refuses("number expected, got no value", "recv", a)
      refuses("negative", "recv", a, -1)
      refuses("string expected, got boolean", "readuntil", a, true)
      refuses("empty separator", "readuntil", a, "")
      refuses("separators", "readuntil", a, {})
      refuses("separators must be strings", "readuntil", a, { "a", 1 })
      refuses("string expected, got no value", "write", a)
      refuses("string expected, got table", "write", a, {})
      refuses("table expected, got string", "writelines", a, "x")
      refuses("list of strings expected, got boolean at %[2%]", "writelines", a, { "x", true })
      refuses("string expected, got nil", "sendall", a, nil)
      refuses("string expected", "get_extra_info", a)
      assert.has_error(function() asyncio.testing.stream_pair { limt = 1 } end)
      assert.has_error(function() asyncio.testing.stream_pair { limit = 0 } end)
      assert.has_error(function() asyncio.testing.stream_pair { limit = "x" } end)
      assert.has_error(function() asyncio.testing.stream_pair(1) end)
    end)
  end)
end)

describe("Stream over TCP", function()
  it_connects("carries much in both directions at once, every byte right", function(a, b)
    local size <const> = helper.scale(8 * 1024 * 1024, 100000)
    local one <const>, two <const> = pattern_bytes(size), pattern_bytes(size):reverse()
    local function send(stream, data)
      local at = 1
      local step = 1
      while at <= #data do
        stream:write(data:sub(at, at + step - 1))
        at = at + step
        step = step * 3 % 200003 + 1
        stream:drain()
      end
      stream:write_eof()
    end
    local function receive(stream)
      local parts = {}
      for part in stream:lines(100000) do parts[#parts + 1] = part end
      return table.concat(parts)
    end
    local results <const> = asyncio.gather(
      function() send(a, one) end, function() send(b, two) end,
      function() return receive(a) end, function() return receive(b) end)
    assert.is_true(results[3] == two)
    assert.is_true(results[4] == one)
  end)

  it("takes the marks of open_connection and start_server", function()
    asyncio.run(function()
      local theirs
      local server <close> = asyncio.start_server(function(_, writer)
        theirs = { writer:get_write_buffer_limits() }
        writer:close()
      end, "127.0.0.1", 0, { high_water = 5000 })
      local host, port = server:sockets()[1]:getsockname()
      local conn <close> = asyncio.open_connection(host, port, { low_water = 7, high_water = 8 })
      assert.same({ 7, 8 }, { conn:get_write_buffer_limits() })
      assert.is_nil(conn:read())
      assert.same({ 1250, 5000 }, theirs)
      assert_raises(nil, "option 'low_water'", asyncio.open_connection, host, port,
        { low_water = 9, high_water = 8 })
      assert_raises(nil, "option 'high_water'", asyncio.start_server, print, host, port,
        { high_water = -1 })
    end)
  end)

  it_connects("a slow reader holds the writer back", function(a, b)
    local sent = 0
    local task <const> = spawn(function()
      while sent < 200 * 1024 * 1024 do
        a:sendall(("x"):rep(65536))
        sent = sent + 65536
      end
    end)
    b:read(1) -- b reads ahead from now on, up to its limit
    asyncio.sleep(0.2)
    local before <const> = sent
    assert.is_true(before < 50 * 1024 * 1024, before) -- what the kernel buffers, and our 128 KiB
    asyncio.sleep(0.1)
    assert.equal(before, sent)
    task:cancel()
    assert_cancelled(task)
  end)

  it_connects("half-close, one way and then the other", function(a, b)
    a:write("from a")
    a:write_eof()
    assert.equal("from a", b:read())
    assert.is_true(b:at_eof())
    b:write("from b")
    b:drain()
    b:write_eof()
    assert.equal("from b", a:read())
    assert.is_nil(a:read(1))
  end)

  it_connects("write_eof waits for what is still to be sent", function(a, b)
    local data <const> = pattern_bytes(6000000)
    a:write(data)
    a:write_eof()
    assert.is_true(b:read() == data)
  end)

  it_connects("close sends what was written, without anybody waiting for it", function(a, b)
    local data <const> = pattern_bytes(6000000)
    a:write(data)
    a:close()
    assert.is_true(b:read() == data)
    a:wait_closed()
  end)

  it_connects("one that is collected sends what was written, then closes", function()
    local b
    local data <const> = pattern_bytes(6000000)
    do
      local listener <close> = asyncio.socket()
      listener:bind("127.0.0.1", 0)
      listener:listen()
      b = asyncio.open_connection(listener:getsockname())
      listener:accept():write(data)
    end
    collectgarbage()
    collectgarbage()
    assert.is_true(b:read() == data)
    b:close()
  end)

  it_connects("the peer resets in mid-read", function(a, b)
    local task <const> = start(a, "read")
    b:setsockopt("linger", 0)
    b:abort()
    local err <const> = assert_code("ECONNRESET", asyncio.await, task)
    assert.matches("^OSError: read 127%.0%.0%.1:%d+: ", tostring(err))
    assert_code("ECONNRESET", a.read, a, 1)
    assert_code("ECONNRESET", a.drain, a)
    assert.is_true(a:is_closing())
    assert.is_false(a:at_eof())
  end)

  it_connects("the peer resets in mid-write: sendall", function(a, b)
    local task <const> = start(a, "sendall", ("x"):rep(20000000))
    asyncio.sleep(0.02)
    b:setsockopt("linger", 0)
    b:abort()
    local err <const> = assert_raises(OSError, "", asyncio.await, task)
    assert.is_true(err.code == "ECONNRESET" or err.code == "EPIPE")
  end)

  it_connects("B13: the peer resets in mid-write: drain (python/asyncio 263, cpython 80982)",
    function(a, b)
    a:write(("x"):rep(20000000))
    local task <const> = start(a, "drain")
    asyncio.sleep(0.02)
    b:setsockopt("linger", 0)
    b:abort()
    assert_raises(OSError, "", asyncio.await, task)
    for _ = 1, 3 do assert_raises(OSError, "", a.drain, a) end -- again and again, it does not spin
    a:write("more")
    a:close()
    assert_raises(OSError, "", a.wait_closed, a)
  end)

  it_connects("what had come before the reset can still be read", function(a, b)
    b:write("last words")
    assert.equal("l", a:read(1))
    b:setsockopt("linger", 0)
    b:abort()
    asyncio.sleep(0.02)
    assert.equal("ast words", a:read(100))
    assert_code("ECONNRESET", a.read, a, 100)
  end)

  it_connects("B13: a writer that is cancelled during backpressure (aiohttp 12281)", function(a)
    local reports <const> = {}
    asyncio.get_running_loop():set_exception_handler(function(_, context)
      reports[#reports + 1] = context.message
    end)
    a:write(("x"):rep(20000000))
    local task <const> = start(a, "drain")
    task:cancel()
    assert_cancelled(task)
    a:abort()
    asyncio.sleep(0.01)
    collectgarbage()
    assert.same({}, reports)
  end)

  it_connects("knows its addresses, the peer's also after close", function(a, b)
    local host, port = a:getsockname()
    assert.same({ host, port }, b:get_extra_info("peername"))
    assert.same({ b:getsockname() }, { a:getpeername() })
    assert.same({ a:getsockname() }, a:get_extra_info("sockname"))
    assert.matches("%[connected, 127%.0%.0%.1:%d+%]", tostring(a))
    b:close()
    assert.same({ host, port }, b:get_extra_info("peername"))
    assert.is_nil(b:get_extra_info("sockname"))
  end)

  it_connects("B4: reading and writing tasks of one stream do not disturb each other (eco)",
    function(a, b)
    local reader <const> = start(a, "read", 10)
    local writer <const> = start(a, "sendall", ("x"):rep(20000000))
    reader:cancel()
    assert_cancelled(reader)
    local size = 0
    while size < 20000000 do size = size + #b:read(1000000) end
    writer:await()
    b:write("still there")
    assert.equal("still there", a:read(100))
  end)
end)

describe("open_connection", function()
  it("gives the same Stream twice, with a limit", function()
    asyncio.run(function()
      local function handler(_, w) w:write(("x"):rep(50) .. "\n") end
      local server <close> = asyncio.start_server(handler, "127.0.0.1", 0)
      local host, port = server:sockets()[1]:getsockname()
      local reader <close>, writer = asyncio.open_connection(host, port, { limit = 20 })
      assert.equal(reader, writer)
      assert_raises(asyncio.LimitOverrunError, "", reader.readline, reader)
      assert.is_true(reader:getsockopt("nodelay"))
    end)
  end)

  it("is refused: the error names address and port", function()
    asyncio.run(function()
      local sock <const> = asyncio.socket()
      sock:bind("127.0.0.1", 0) -- bound, but nobody listens
      local _, port = sock:getsockname()
      local err <const> = assert_code("ECONNREFUSED", asyncio.open_connection, "127.0.0.1", port)
      assert.equal("127.0.0.1:" .. port, err.address)
      assert.equal("connect", err.op)
      assert.matches("connect 127%.0%.0%.1:" .. port, tostring(err))
      sock:close()
    end)
  end)

  it("tries one address after the other", function()
    asyncio.run(function()
      local server <close> = asyncio.start_server(function(_, w) w:close() end, "127.0.0.1", 0)
      local _, port = server:sockets()[1]:getsockname()
      local conn <close> = asyncio.open_connection("localhost", port)
      assert.equal("127.0.0.1", (conn:getpeername()))
      assert_code("ECONNREFUSED", asyncio.open_connection, "localhost", 1)
    end)
  end)

  it("names that cannot be resolved", function()
    asyncio.run(function()
      local err <const> = assert_raises(OSError, "getaddrinfo", asyncio.open_connection,
        ("x"):rep(70) .. ".invalid", 1)
      assert.matches("^E", err.code)
    end)
  end)

  it("comes from local_addr", function()
    asyncio.run(function()
      local server <close> = asyncio.start_server(function(_, w) w:close() end, "127.0.0.1", 0)
      local _, port = server:sockets()[1]:getsockname()
      local conn <close> = asyncio.open_connection("127.0.0.1", port,
        { local_addr = { "127.0.0.1", 0 } })
      assert.equal("127.0.0.1", (conn:getsockname()))
      assert_raises(OSError, "", asyncio.open_connection, "127.0.0.1", port,
        { local_addr = { "192.0.2.1", 0 } })
    end)
  end)

  it("over IPv6", function()
    asyncio.run(function()
      local function handler(r, w)
        w:write(r:readline())
        w:close()
      end
      local ok, server = pcall(asyncio.start_server, handler, "::1", 0)
      if not ok then return pending("this machine has no IPv6") end
      local host, port = server:sockets()[1]:getsockname()
      assert.equal("::1", host)
      local conn <close> = asyncio.open_connection("::1", port)
      conn:write("six\n")
      assert.equal("six\n", conn:readline())
      assert.matches("%[::1%]:%d+", tostring(conn))
      assert_code("ECONNREFUSED", asyncio.open_connection, "::1", 1)
      server:close()
    end)
  end)

  it("is cancelled while it connects", function()
    asyncio.run(function()
      local sock <close> = asyncio.socket()
      sock:bind("127.0.0.1", 0)
      sock:listen(0)
      local host, port = sock:getsockname()
      local held <const> = {} -- the backlog is full: the next ones wait for an answer
      for i = 1, 5 do held[i] = spawn(asyncio.open_connection, host, port) end
      asyncio.sleep(0.05)
      local waiting = 0
      for _, task in ipairs(held) do
        if not task:done() then
          waiting = waiting + 1
          task:cancel()
          assert_cancelled(task)
        else
          task:result():close()
        end
      end
      assert.is_true(waiting > 0)
    end)
  end)

  it("wrong arguments", function()
    asyncio.run(function()
      local function refuses(pattern, ...)
        local ok, err = pcall(asyncio.open_connection, ...)
        assert.is_false(ok)
        assert.matches(pattern, err)
      end
      refuses("#1.*string expected, got no value")
      refuses("#1.*string expected, got table", {})
      refuses("#1.*zero byte", "a\0b", 1)
      refuses("#2.*number expected, got no value", "localhost")
      refuses("#2.*out of range", "localhost", 65536)
      refuses("#2.*out of range", "localhost", -1)
      refuses("#3.*table expected, got boolean", "localhost", 1, true)
      refuses("#3.*unknown option 'limits'", "localhost", 1, { limits = 1 })
      refuses("#3.*names of options expected, got a key of type number", "localhost", 1, { 1 })
      refuses("#3.*option 'ssl': TLS is not supported", "localhost", 1, { ssl = true })
      refuses("#3.*option 'limit': integer expected, got string", "localhost", 1, { limit = "1" })
      refuses("#3.*option 'limit': out of range", "localhost", 1, { limit = 0 })
      refuses("#3.*option 'family': invalid value 'unix'", "localhost", 1, { family = "unix" })
      refuses("#3.*option 'local_addr'", "localhost", 1, { local_addr = { "localhost", 1 } })
      refuses("#3.*option 'local_addr'", "localhost", 1, { local_addr = "x" })
    end)
  end)
end)
