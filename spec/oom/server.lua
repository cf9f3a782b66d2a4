-- SPDX-License-Identifier: MIT
-- Sockets, servers and connections, over 127.0.0.1.

-- Memory that is missing in a handler is reported, and closes its connection: the client sees that.
local function sees_the_end(asyncio, err, reports)
  return reports > 0
    and (asyncio.is(err, asyncio.OSError) or tostring(err):find("the end came", 1, true) ~= nil)
end

local function must_read(stream, n)
  local text = stream:read(n)
  if not text then error("the end came", 0) end
  return text
end

return {
  {
    name = "a socket that listens, and one that connects",
    covers = { "socket", "Stream:bind", "Stream:listen", "Stream:accept", "Stream:connect",
      "Stream:setsockopt", "Stream:getsockopt", "Stream:getsockname", "Stream:getpeername",
      "Stream:shutdown", "Stream:get_extra_info" },
    run = function(asyncio)
      local listener <close> = asyncio.socket()
      listener:setsockopt("reuseaddr", true)
      assert(listener:getsockopt("reuseaddr"))
      listener:bind("127.0.0.1", 0)
      listener:listen()
      local host, port = listener:getsockname()
      local client <close> = asyncio.socket()
      client:connect(host, port)
      local served <close> = listener:accept()
      assert(select(2, client:getpeername()) == port)
      assert(client:get_extra_info("peername"))
      client:sendall("hello")
      client:shutdown("write")
      assert(served:read() == "hello")
    end,
  },
  {
    name = "the loop's functions for sockets",
    covers = { "Loop:sock_accept", "Loop:sock_connect" },
    run = function(asyncio, loop)
      local listener <close> = asyncio.socket()
      listener:bind("127.0.0.1", 0)
      listener:listen()
      local client <close> = asyncio.socket()
      loop:sock_connect(client, { listener:getsockname() })
      local served <close> = loop:sock_accept(listener)
      loop:sock_sendall(client, "x")
      assert(loop:sock_recv(served, 10) == "x")
    end,
  },
  {
    name = "a server and its client",
    covers = { "start_server", "open_connection", "Server:close", "Server:wait_closed",
      "Server:sockets" },
    accepts = sees_the_end,
    run = function(asyncio)
      local server <close> = asyncio.start_server(function(reader, writer)
        writer:write(must_read(reader, 100):upper())
        writer:close()
      end, "127.0.0.1", 0, { limit = 1000, high_water = 1000 })
      local host, port = server:sockets()[1]:getsockname()
      local client <close> = asyncio.open_connection(host, port, { limit = 1000 })
      client:write("hello")
      assert(must_read(client, 100) == "HELLO")
      client:close()
      server:close()
      server:wait_closed()
    end,
  },
  {
    name = "a server that is started, serves, and is stopped",
    covers = { "Server:start_serving", "Server:serve_forever", "Server:close_clients",
      "Server:abort_clients" },
    accepts = sees_the_end,
    run = function(asyncio)
      local server <close> = asyncio.start_server(function(reader)
        pcall(reader.read, reader) -- whichever way the connection ends
      end, "127.0.0.1", 0, { start_serving = false })
      server:start_serving()
      local serving = asyncio.create_task(server.serve_forever, server)
      local client <close> = asyncio.open_connection(server:sockets()[1]:getsockname())
      assert(not client:is_closing())
      asyncio.sleep(0.001)
      server:close_clients()
      server:abort_clients()
      serving:cancel()
      pcall(asyncio.await, serving)
    end,
  },
  {
    name = "names and addresses",
    covers = { "Loop:getaddrinfo", "Loop:getnameinfo" },
    run = function(_, loop)
      assert(loop:getaddrinfo("127.0.0.1", 80)[1].host == "127.0.0.1")
      assert(loop:getaddrinfo("localhost", 80)[1])
      local options = { numeric_host = true, numeric_service = true }
      assert(loop:getnameinfo({ "127.0.0.1", 80 }, options) == "127.0.0.1")
    end,
  },
}
