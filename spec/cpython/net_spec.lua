-- SPDX-License-Identifier: MIT
-- What CPython's test_streams.py, test_sock_lowlevel.py and test_server.py ask; over a connection,
-- since a Stream is fed by nothing else.

local asyncio <const> = require "asyncio"
local base <const> = require "spec.cpython.base"
local helper <const> = require "spec.helper"
local virtual <const> = require "spec.virtual"

local raises <const>, refuses <const> = virtual.raises, virtual.refuses
local sleep <const>, create_task <const> = asyncio.sleep, asyncio.create_task
local scale <const> = helper.scale

-- The body runs as a main task, on a real loop, within a time limit; it gets the loop and the list
-- of what the exception handler gets.
local function net(f)
  return function()
    local loop <const> = asyncio.new_event_loop()
    local messages <const> = {}
    loop:set_exception_handler(function(_, context) messages[#messages + 1] = context end)
    local ok, err = pcall(loop.run_until_complete, loop, asyncio.wait_for, function()
      f(loop, messages)
    end, 20 * helper.SLOW)
    loop:close()
    if not ok then error(err, 0) end
  end
end

-- A Stream with a limit, and the other end of its connection, which feeds it.
local function pair(limit)
  local got <const> = asyncio.get_running_loop():create_future()
  local server <const> = asyncio.start_server(function(_, w) got:set_result(w) end,
    "127.0.0.1", 0)
  local stream <const> = asyncio.open_connection("127.0.0.1",
    select(2, server:sockets()[1]:getsockname()), { limit = limit })
  local feed <const> = got:await()
  server:close()
  return stream, feed
end

-- Feeds pieces, one after the other, so that they arrive one by one.
local function fed(limit, ...)
  local stream <const>, feed <const> = pair(limit)
  feed:setsockopt("nodelay", true)
  for _, piece in ipairs { ... } do
    feed:write(piece)
    sleep(0.002)
  end
  return stream, feed
end

local DATA <const> = "line1\nline2\nline3\n"

describe("CPython's test_streams", function()
  it("test_read_zero, test_read, test_read_line_breaks", net(function()
    local s <const>, feed <const> = fed(nil, DATA)
    assert.equal("", s:read(0))
    assert.equal("line1", s:read(5))
    assert.equal(DATA:sub(6), s:read(30))
    local t <const> = create_task(s.read, s, 30)
    sleep(0)
    feed:write(DATA)
    assert.equal(DATA, t:await())
  end))

  it("test_read_eof, test_read_until_eof, test_at_eof", net(function()
    local s <const>, feed <const> = pair()
    local t <const> = create_task(s.read, s, -1)
    feed:write("chunk1\n")
    feed:write("chunk2")
    assert.is_false(s:at_eof())
    feed:write_eof()
    assert.equal("chunk1\nchunk2", t:await())
    assert.is_true(s:at_eof())
    assert.is_nil(s:read(1024))
  end))

  it("test_invalid_limit", net(function()
    for _, limit in ipairs { 0, -1, 0.5, "x" } do
      refuses("limit", asyncio.open_connection, "127.0.0.1", 1, { limit = limit })
      refuses("limit", asyncio.start_server, print, "127.0.0.1", 0, { limit = limit })
    end
  end))

  it("test_read_limit, test_readexactly_limit", net(function()
    assert.equal("chunk", (fed(3, "chunk"):read(5)))
    assert.equal("chunk", (fed(3, "chunk"):readexactly(5)))
  end))

  it("test_readline, test_readline_nolimit_nowait, test_readline_read_byte_count", net(function()
    local s <const>, feed <const> = fed(nil, "chunk1 ")
    local t <const> = create_task(s.readline, s)
    sleep(0)
    feed:write("chunk2 ")
    feed:write("chunk3 ")
    feed:write("\n chunk4")
    assert.equal("chunk1 chunk2 chunk3 \n", t:await())
    assert.equal(" chunk4", s:read(100))
    feed:write(DATA)
    assert.equal("line1\n", s:readline())
    assert.equal("line2\nl", s:readexactly(7))
    assert.equal("ine3\n", s:readline())
  end))

  it("test_readline_limit_with_existing_data, test_readline_limit", net(function()
    local s <const>, feed <const> = fed(3, "li", "ne1\nline2\n")
    raises(asyncio.LimitOverrunError, s.readline, s)
    assert.equal("line2\n", s:readexactly(6))
    local s2 <const> = fed(3, "li", "ne1", "li")
    raises(asyncio.LimitOverrunError, s2.readline, s2)
    local s3 <const>, feed3 <const> = fed(7, "1234567\n")
    assert.equal("1234567\n", s3:readline())
    feed3:write("12345678\n")
    raises(asyncio.LimitOverrunError, s3.readline, s3)
    feed3:write("chunk\n")
    assert.equal("chunk\n", s3:readline())
    local s4 <const>, feed4 <const> = pair(7)
    local t <const> = create_task(s4.readline, s4)
    sleep(0)
    for _, piece in ipairs { "chunk1", "chunk2\n", "chunk3\n" } do feed4:write(piece) end
    feed4:write_eof()
    raises(asyncio.LimitOverrunError, t.await, t)
    assert.equal("chunk3\n", s4:readline())
    assert.is_nil(s4:readline())
    feed:close()
  end))

  it("test_readline_eof, test_readline_empty_eof", net(function()
    local s <const>, feed <const> = fed(nil, "some data")
    feed:write_eof()
    assert.equal("some data", s:readline())
    assert.is_nil(s:readline())
  end))

  it("test_readuntil_separator", net(function()
    local s <const> = pair()
    refuses("bad argument", s.readuntil, s, "")
    refuses("bad argument", s.readuntil, s, { "" })
    refuses("bad argument", s.readuntil, s, {})
    refuses("bad argument", s.readuntil, s, { 1, {} })
  end))

  it("test_readuntil_multi_chunks, test_readuntil_multi_chunks_1", net(function()
    local s <const>, feed <const> = fed(nil, "lineAAAxxx")
    assert.equal("lineAAA", s:readuntil("AAA"))
    assert.equal("xxx", s:readexactly(3))
    for _, pieces in ipairs { { "QWEaa", "XYaa", "a" }, { "QWEaa", "XYa", "aa" }, { "aaa" },
      { "Xaaa" }, { "XXX", "a", "a", "a" } } do
      local t <const> = create_task(s.readuntil, s, "aaa")
      for _, piece in ipairs(pieces) do
        feed:write(piece)
        sleep(0.001)
      end
      assert.equal(table.concat(pieces), t:await())
    end
  end))

  it("test_readuntil_eof", net(function()
    local s <const>, feed <const> = fed(nil, "some dataAA")
    feed:write_eof()
    local err <const> = raises(asyncio.IncompleteReadError, s.readuntil, s, "AAA")
    assert.equal("some dataAA", err.partial)
    assert.is_nil(err.expected)
    assert.is_nil(s:read())
  end))

  it("test_readuntil_limit_found_sep", net(function()
    local s <const>, feed <const> = fed(3, "some dataAA")
    assert.matches("not found", tostring(raises(asyncio.LimitOverrunError, s.readuntil, s, "AAA")))
    local s2 <const> = fed(3, "some dataAAA")
    assert.matches("is found", tostring(raises(asyncio.LimitOverrunError, s2.readuntil, s2, "AAA")))
    assert.equal("some dataAAA", s2:readexactly(12))
    feed:close()
    assert.equal("some dataAA", s:read())
  end))

  it("test_readuntil_multi_separator, and its limit, and negative_offset", net(function()
    local s <const>, feed <const> = fed(nil, "line 1\nline 2\r")
    assert.equal("line 1\n", s:readuntil { "\r", "\n" })
    assert.equal("line 2\r", s:readuntil { "\r", "\n" })
    feed:write("ABCDEFG")
    assert.equal("ABCDE", s:readuntil { "DEF", "BCDE" })
    assert.equal("FG", s:read(9))
    local t <const> = create_task(s.readuntil, s, { "A", "long sep" })
    for _, piece in ipairs { "data", "Z", "Aaaa" } do
      feed:write(piece)
      sleep(0.001)
    end
    assert.equal("dataZA", t:await())
    assert.equal("aaa", s:read(9))
    local s2 <const> = fed(3, "some dataA")
    assert.matches("is found", tostring(raises(asyncio.LimitOverrunError, s2.readuntil, s2,
      { "A", "ome dataA" })))
    assert.equal("some dataA", s2:readexactly(10))
  end))

  it("test_readexactly_zero_or_less, test_readexactly, test_readexactly_eof", net(function()
    local s <const>, feed <const> = fed(nil, DATA)
    assert.equal("", s:readexactly(0))
    refuses("bad argument", s.readexactly, s, -1)
    assert.equal(DATA, s:readexactly(#DATA))
    local t <const> = create_task(s.readexactly, s, 2 * #DATA)
    sleep(0)
    for _ = 1, 3 do feed:write(DATA) end
    assert.equal(DATA .. DATA, t:await())
    feed:write_eof()
    local err <const> = raises(asyncio.IncompleteReadError, s.readexactly, s, 36)
    assert.equal(DATA, err.partial)
    assert.equal(36, err.expected)
    assert.equal("IncompleteReadError: 18 bytes read on a total of 36 expected bytes",
      tostring(err))
    assert.is_nil(s:read())
  end))

  it("test_exception_waiter, test_exception_cancel, test_read_exception", net(function()
    local s <const>, feed <const> = fed(nil, "li")
    assert.equal("li", s:read(2))
    local t <const> = create_task(s.readline, s)
    sleep(0)
    t:cancel()
    sleep(0)
    feed:abort()
    sleep(0.005)
    local u <const> = create_task(s.readexactly, s, 100)
    pcall(u.await, u)
    assert.is_true(t:cancelled())
    assert.is_string(u:exception().name)
  end))

  it("test_start_server, the handler a function or one that makes a task", net(
    function(_, messages)
      local function handle(reader, writer)
        writer:write(reader:readline())
        writer:drain()
        writer:close()
        writer:wait_closed()
      end
      for _, handler in ipairs { handle, function(r, w) create_task(handle, r, w) end } do
        local server <const> = asyncio.start_server(handler, "127.0.0.1", 0)
        local reader <const>, writer <const> =
          asyncio.open_connection(server:sockets()[1]:getsockname())
        writer:write("hello world!\n")
        assert.equal("hello world!\n", reader:readline())
        writer:close()
        writer:wait_closed()
        server:close()
        server:wait_closed()
      end
      assert.same({}, messages)
    end))

  it("test_multiple_drain", net(function()
    local s <const>, feed <const> = pair()
    feed:set_write_buffer_limits { high_water = 0 }
    feed:write(("x"):rep(16000000)) -- more than the kernel takes
    local drained = 0
    local fs <const> = {}
    for i = 1, 10 do
      fs[i] = function()
        feed:drain()
        drained = drained + 1
      end
    end
    local all <const> = create_task(asyncio.gather, fs, {})
    sleep(0.01)
    assert.equal(0, drained)
    local reader <const> = create_task(function() while s:read(1 << 20) do end end)
    all:await()
    assert.equal(10, drained)
    feed:close()
    reader:await()
  end))

  it("test_drain_raises", net(function(_, messages)
    local s <const>, feed <const> = pair()
    feed:close()
    feed:wait_closed()
    local err <const> = raises(asyncio.OSError, function()
      while true do
        s:write("foo\n")
        s:drain()
        sleep(0)
      end
    end)
    assert.is_true(err.code == "ECONNRESET" or err.code == "EPIPE")
    assert.same({}, messages)
  end))

  it("test_wait_closed_on_close, with unread data; test_async_writer_api", net(
    function(_, messages)
      for _, unread in ipairs { false, true } do
        local s <const>, feed <const> = fed(nil, "line\nrest")
        assert.equal("line\n", s:readline())
        if not unread then
          feed:close()
          assert.equal("rest", s:read())
        end
        assert.is_false(s:is_closing())
        s:close()
        assert.is_true(s:is_closing())
        s:wait_closed()
      end
      assert.same({}, messages)
    end))

  it("test_async_writer_api_exception_after_close", net(function()
    local s <const> = pair()
    s:close()
    raises(asyncio.OSError, function()
      s:write("data")
      s:drain()
    end)
  end))

  it("test_eof_feed_when_closing_writer", net(function(_, messages)
    local s <const> = pair()
    s:close()
    s:wait_closed()
    assert.is_true(s:at_eof())
    assert.same({}, messages)
  end))

  it("test_unhandled_exception, test_unhandled_cancel", net(function(_, messages)
    for _, handler in ipairs { function() error("test", 0) end, function(_, w)
      w:close()
      asyncio.current_task():cancel()
    end } do
      local server <const> = asyncio.start_server(handler, "127.0.0.1", 0)
      local _ <const>, writer <const> = asyncio.open_connection(server:sockets()[1]:getsockname())
      writer:write("test msg")
      pcall(writer.drain, writer)
      writer:close()
      writer:wait_closed()
      server:close()
      server:wait_closed()
    end
    assert.equal(1, #messages)
    assert.equal("test", messages[1].exception)
  end))
end)

describe("CPython's test_sock_lowlevel", function()
  local function listener(loop)
    local l <const> = asyncio.socket()
    l:bind("127.0.0.1", 0)
    l:listen(1)
    return l, { l:getsockname() }, loop
  end

  it("test_sock_client_ops, test_sock_accept", net(function(loop)
    local l <const>, address <const> = listener()
    local client <const> = asyncio.socket()
    loop:sock_connect(client, address)
    local conn <const>, host <const>, port <const> = loop:sock_accept(l)
    local my_host <const>, my_port <const> = client:getsockname()
    assert.same({ my_host, my_port }, { host, port })
    assert.same(address, { client:getpeername() })
    loop:sock_sendall(client, "GET / HTTP/1.0\r\n\r\n")
    assert.equal("GET / HTTP/1.0\r\n\r\n", loop:sock_recv(conn, 1024))
    conn:close()
    assert.is_nil(loop:sock_recv(client, 1024))
    client:close()
    l:close()
  end))

  it("test_sock_client_racing: recv", net(function(loop)
    local l <const>, address <const> = listener()
    local sock <const> = asyncio.socket()
    loop:sock_connect(sock, address)
    local conn <const> = l:accept()
    local t <const> = create_task(loop.sock_recv, loop, sock, 1024)
    sleep(0)
    t:cancel()
    create_task(loop.sock_sendall, loop, conn, "HTTP/1.0 200 OK")
    assert.equal("HTTP/1.0 200 OK", loop:sock_recv(sock, 1024))
    assert.is_true(t:cancelled())
    for _, s in ipairs { sock, conn, l } do s:close() end
  end))

  it("test_sock_client_racing: send", net(function(loop)
    local l <const>, address <const> = listener()
    local sock <const> = asyncio.socket()
    sock:setsockopt("sndbuf", 1024)
    loop:sock_connect(sock, address)
    local server <const> = l:accept()
    local fill <const> = create_task(loop.sock_sendall, loop, sock, (" "):rep(8000000))
    sleep(0.005)
    fill:cancel()
    local t <const> = create_task(loop.sock_sendall, loop, sock, "hello")
    sleep(0)
    t:cancel()
    local reader <const> = create_task(function()
      local all = ""
      while true do
        local piece <const> = loop:sock_recv(server, 1 << 16)
        if not piece then return all end
        all = all .. piece:gsub(" ", "")
      end
    end)
    local ok <const> = pcall(loop.sock_sendall, loop, sock, "world")
    sock:shutdown("write")
    local all <const> = reader:await()
    assert.is_true(ok)
    assert.matches("world$", all)
    for _, s in ipairs { sock, server, l } do s:close() end
  end))

  it("test_sock_client_connect_racing", net(function(loop)
    local l <const> = asyncio.socket()
    l:bind("127.0.0.1", 0)
    local address <const> = { l:getsockname() }
    local sock <const> = asyncio.socket()
    local t <const> = create_task(loop.sock_connect, loop, sock, address)
    sleep(0)
    t:cancel()
    pcall(t.await, t)
    l:listen(1)
    -- The socket of a connect that was cancelled is of no more use; another one is.
    local other <const> = asyncio.socket()
    loop:sock_connect(other, address)
    for _, s in ipairs { sock, other, l } do s:close() end
  end))

  it("test_huge_content", net(function(loop)
    local size <const> = scale(1000000, 20000) // 10 * 10
    local chunk <const> = ("0123456789"):rep(size // 10)
    local s <const>, feed <const> = pair()
    local echo <const> = create_task(function()
      while true do
        local piece <const> = loop:sock_recv(feed, 65536)
        if not piece then break end
        loop:sock_sendall(feed, piece)
      end
      feed:close()
    end)
    local sender <const> = create_task(function()
      loop:sock_sendall(s, chunk)
      s:shutdown("write")
    end)
    local got <const> = {}
    while true do
      local piece <const> = loop:sock_recv(s, size)
      if not piece then break end
      got[#got + 1] = piece
    end
    assert.is_true(table.concat(got) == chunk)
    sender:await()
    echo:await()
    s:close()
  end))

  it("test_recvfrom, test_sendto_blocking", net(function(loop)
    local server <const> = asyncio.socket("inet", "dgram")
    server:bind("127.0.0.1", 0)
    local address <const> = { server:getsockname() }
    local echo <const> = create_task(function()
      local data <const>, host <const>, port <const> = loop:sock_recvfrom(server, 8192)
      loop:sock_sendto(server, data, { host, port })
    end)
    local sock <const> = asyncio.socket("inet", "dgram")
    local data <const> = ("\1"):rep(4096)
    loop:sock_sendto(sock, data, address)
    local got <const>, host <const>, port <const> = loop:sock_recvfrom(sock, 4096)
    assert.is_true(got == data)
    assert.same(address, { host, port })
    echo:await()
    sock:close()
    server:close()
  end))

  it("test_sock_client_fail", net(function(loop)
    local l <const>, address <const> = listener()
    l:close()
    local sock <const> = asyncio.socket()
    local err <const> = raises(asyncio.OSError, loop.sock_connect, loop, sock, address)
    assert.equal("ECONNREFUSED", err.code)
    sock:close()
  end))

  it("test_cancel_sock_accept", net(function(loop)
    local l <const>, address <const> = listener()
    raises(asyncio.TimeoutError, asyncio.wait_for, function() loop:sock_accept(l) end, 0.01)
    l:close()
    local client <const> = asyncio.socket()
    local err <const> = raises(asyncio.OSError, loop.sock_connect, loop, client, address)
    assert.equal("ECONNREFUSED", err.code)
    client:close()
  end))
end)

describe("CPython's test_server", function()
  local function serve(r, w)
    base.finally(function() r:read() end, function()
      w:close()
      w:wait_closed()
    end)
  end

  it("test_start_server_1", net(function()
    local server <const> = asyncio.start_server(serve, "127.0.0.1", 0, { start_serving = false })
    assert.is_false(server:is_serving())
    local main <const> = create_task(server.serve_forever, server)
    sleep(0)
    sleep(0)
    assert.is_true(server:is_serving())
    local _ <const>, w <const> = asyncio.open_connection(server:sockets()[1]:getsockname())
    main:cancel()
    base.cancelled(main.await, main)
    assert.same({}, server:sockets())
    assert.is_false(server:is_serving())
    refuses("closed", server.serve_forever, server)
    w:close()
  end))

  it("test_wait_closed_basic", net(function()
    local server <const> = asyncio.start_server(serve, "127.0.0.1", 0)
    local t1 <const> = create_task(server.wait_closed, server)
    sleep(0)
    assert.is_false(t1:done())
    local _ <const>, w <const> = asyncio.open_connection(server:sockets()[1]:getsockname())
    local t2 <const> = create_task(server.wait_closed, server)
    sleep(0.005)
    assert.is_false(t1:done() or t2:done())
    server:close()
    sleep(0)
    local t3 <const> = create_task(server.wait_closed, server)
    sleep(0.005)
    assert.is_false(t1:done() or t2:done() or t3:done())
    w:close()
    w:wait_closed()
    t1:await()
    t2:await()
    t3:await()
    server:wait_closed()
  end))

  it("test_wait_closed_race", net(function(loop)
    local server <const> = asyncio.start_server(serve, "127.0.0.1", 0)
    local t <const> = create_task(server.wait_closed, server)
    sleep(0)
    assert.is_false(t:done())
    local _ <const>, w <const> = asyncio.open_connection(server:sockets()[1]:getsockname())
    loop:call_soon(server.close, server)
    loop:call_soon(w.close, w)
    server:wait_closed()
    t:await()
  end))

  it("test_close_clients, test_abort_clients", net(function()
    for _, method in ipairs { "close_clients", "abort_clients" } do
      local got <const> = asyncio.get_running_loop():create_future()
      local server <const> = asyncio.start_server(function(_, w)
        got:set_result(w)
        w:wait_closed()
      end, "127.0.0.1", 0)
      local _ <const>, c <const> = asyncio.open_connection(server:sockets()[1]:getsockname())
      local w <const> = got:await()
      if method == "abort_clients" then
        w:write(("a"):rep(16000000)) -- more than the kernel takes
        assert.is_true(w:get_write_buffer_size() > 0)
      end
      local t <const> = create_task(server.wait_closed, server)
      sleep(0)
      assert.is_false(t:done())
      server:close()
      server[method](server)
      asyncio.wait_for(t, 5)
      c:close()
    end
  end))
end)
