-- SPDX-License-Identifier: MIT
-- Datagrams over 127.0.0.1, and over a unix socket.

return {
  {
    name = "datagrams are sent to an address and answered",
    covers = { "DatagramSocket:bind", "DatagramSocket:recvfrom", "DatagramSocket:sendto",
      "DatagramSocket:recv", "DatagramSocket:connect", "DatagramSocket:sendall",
      "DatagramSocket:getsockname", "DatagramSocket:getpeername" },
    run = function(asyncio)
      local a <close> = asyncio.socket("inet", "dgram")
      a:bind("127.0.0.1", 0)
      local b <close> = asyncio.socket("inet", "dgram")
      local waits = asyncio.create_task(a.recvfrom, a)
      asyncio.sleep(0)
      b:sendto("ping", a:getsockname())
      local data, host, port = waits:await()
      assert(data == "ping")
      a:connect(host, port)
      assert(select(2, a:getpeername()) == port)
      a:sendall("pong")
      assert(b:recv(70000) == "pong")
    end,
  },
  {
    name = "options, groups, and the loop's functions",
    covers = { "DatagramSocket:setsockopt", "DatagramSocket:getsockopt",
      "DatagramSocket:join_group", "DatagramSocket:leave_group", "Loop:sock_recvfrom",
      "Loop:sock_sendto" },
    run = function(asyncio, loop)
      local a <close> = asyncio.socket("inet", "dgram")
      a:bind("", 0)
      a:setsockopt("multicast_interface", "127.0.0.1")
      assert(a:getsockopt("multicast_interface") == "127.0.0.1")
      a:join_group("239.255.7.7", { interface = "127.0.0.1" })
      a:leave_group("239.255.7.7", { interface = "127.0.0.1" })
      loop:sock_sendto(a, "x", { "localhost", select(2, a:getsockname()) })
      assert(loop:sock_recvfrom(a, 10) == "x")
    end,
  },
  {
    name = "unix datagrams",
    covers = {},
    run = function(asyncio)
      local a <close> = asyncio.socket("unix", "dgram")
      a:bind()
      local b <close> = asyncio.socket("unix", "dgram")
      b:connect(a:getsockname())
      b:sendall("x")
      assert(a:recvfrom(100000) == "x")
      assert(tostring(b))
    end,
  },
}
