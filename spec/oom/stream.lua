-- SPDX-License-Identifier: MIT
-- Streams: reading and writing between the two ends of a pair, which needs no network.

-- Memory that is missing on one side breaks the pair: the other side sees that.
local function sees_a_break(asyncio, err)
  return asyncio.is(err, asyncio.OSError)
end

local function pair(asyncio)
  local a, b = asyncio.testing.stream_pair()
  return { a = a, b = b }
end

return {
  {
    name = "a pair is made and closed",
    covers = { "testing.stream_pair", "Stream:close", "Stream:wait_closed" },
    setup = function(asyncio) assert(asyncio.testing) end,
    run = function(asyncio)
      local a, b = asyncio.testing.stream_pair { limit = 1000 }
      a:write("the last words")
      a:close()
      a:wait_closed()
      assert(b:read() == "the last words")
      local waiting = asyncio.create_task(b.wait_closed, b)
      asyncio.sleep(0)
      b:close()
      asyncio.await(waiting)
    end,
  },
  {
    name = "each way of reading",
    covers = { "Stream:read", "Stream:readline", "Stream:readuntil", "Stream:readexactly",
      "Stream:lines", "Stream:recv", "Loop:sock_recv" },
    setup = pair,
    run = function(_, loop, t)
      t.a:write("one\ntwo;abcdefgh\nxy\nlast\n")
      assert(t.b:readline() == "one\n")
      assert(t.b:readuntil(";") == "two;")
      assert(t.b:readexactly(4) == "abcd")
      assert(t.b:read(2) == "ef")
      assert(t.b:recv(2) == "gh")
      assert(loop:sock_recv(t.b, 1) == "\n")
      t.a:write_eof()
      local lines = {}
      for line in t.b:lines() do lines[#lines + 1] = line end
      assert(table.concat(lines, ",") == "xy,last")
      assert(t.b:read("a") == "")
    end,
  },
  {
    name = "each way of writing",
    accepts = sees_a_break,
    covers = { "Stream:write", "Stream:writelines", "Stream:drain", "Stream:sendall",
      "Loop:sock_sendall", "Stream:write_eof", "Stream:set_write_buffer_limits" },
    setup = pair,
    run = function(_, loop, t)
      t.a:write("1")
      t.a:writelines({ "2", "3" })
      t.a:set_write_buffer_limits { high_water = 0 }
      t.a:drain()
      t.a:sendall("4")
      loop:sock_sendall(t.a, "5")
      t.a:write_eof()
      assert(t.b:read() == "12345")
    end,
  },
  {
    name = "more than the other end takes at once",
    accepts = sees_a_break,
    covers = {},
    setup = function(asyncio)
      local t = pair(asyncio)
      t.text = ("0123456789"):rep(30000)
      return t
    end,
    run = function(asyncio, _, t)
      -- side by side: if one fails, the other may wait for ever, and gather raises all the same
      local results = asyncio.gather(function()
        local parts = {}
        for part in function() return t.b:read(65536) end do parts[#parts + 1] = part end
        return table.concat(parts)
      end, function()
        t.a:write(t.text)
        t.a:drain()
        t.a:write_eof()
      end)
      assert(results[1] == t.text)
    end,
    check = function(asyncio, _, t)
      -- a reader that is left waits for an end that may not have been written
      t.a:abort()
      t.b:abort()
      asyncio.sleep(0)
    end,
  },
  {
    name = "a reader is woken by abort",
    covers = { "Stream:abort" },
    setup = pair,
    run = function(asyncio, _, t)
      local reader = asyncio.create_task(function() return t.b:readline() end)
      asyncio.sleep(0)
      t.b:abort()
      local ok, err = pcall(asyncio.await, reader)
      assert(not ok)
      if not asyncio.is(err, asyncio.OSError) then error(err, 0) end
    end,
    check = function(_, _, t) t.b:abort() end,
  },
  {
    name = "testing.run",
    covers = { "testing.run" },
    outside = true,
    setup = function(asyncio) assert(asyncio.testing) end,
    run = function(asyncio)
      assert(asyncio.testing.run(function()
        asyncio.sleep(1000)
        return 5
      end) == 5)
    end,
  },
}
