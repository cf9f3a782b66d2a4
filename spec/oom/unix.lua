-- SPDX-License-Identifier: MIT
-- Unix servers and their clients, several addresses at a time, sockets that are open already.

return {
  {
    name = "a unix server and its client",
    covers = { "start_unix_server", "open_unix_connection" },
    setup = function()
      local path = os.tmpname()
      os.remove(path)
      return path
    end,
    run = function(asyncio, _, path)
      local accepted
      local listener <close> = asyncio.start_unix_server(function(_, writer)
        accepted = writer
        writer:write("x")
      end, path, { mode = tonumber("600", 8) })
      local conn <close> = asyncio.open_unix_connection(path, { limit = 1000 })
      local text = conn:read(1)
      if not text then error("not enough memory", 0) end -- in the handler
      assert(text == "x" and conn:get_extra_info("peercred").uid)
      assert(listener:sockets()[1]:getsockname() == path)
      accepted:close()
    end,
    check = function(asyncio, _, path)
      collectgarbage() -- what is left of a server holds its file
      collectgarbage()
      asyncio.start_unix_server(print, path):close()
    end,
  },
  {
    name = "several addresses at a time",
    covers = {},
    setup = function(asyncio)
      return asyncio.start_server(function(_, writer) writer:close() end, "127.0.0.1", 0)
    end,
    run = function(asyncio, _, listening)
      local _, port = listening:sockets()[1]:getsockname()
      local conn <close> = asyncio.open_connection("127.0.0.1", port, { interleave = 1 })
      assert(conn:fileno() >= 0)
    end,
  },
  {
    name = "sockets that are open already",
    covers = { "listen_fds" },
    run = function(asyncio)
      assert(#asyncio.listen_fds() == 0)
      local ok, err = pcall(asyncio.socket, { fileno = 9999 })
      assert(not ok)
      if err.code ~= "EBADF" then error(err, 0) end
    end,
  },
}
