-- SPDX-License-Identifier: MIT
-- Files: asyncio.open and what is done with a File, asyncio.fs, sendfile.

return {
  {
    name = "a file is written, read, and closed",
    covers = { "open", "File:write", "File:flush", "File:seek", "File:read", "File:lines",
      "File:truncate", "File:sync", "File:setvbuf", "File:close" },
    setup = function() return os.tmpname() end,
    run = function(asyncio, _, path)
      local _ <close> = setmetatable({}, { __close = function() os.remove(path) end })
      local f = asyncio.open(path, "w+")
      f:setvbuf("full", 16)
      f:write("one\n", 2, " ", 3.5, "\n", ("x"):rep(40), "\n"):flush()
      assert(f:seek("set") == 0)
      assert(f:read("l") == "one")
      local n, rest = f:read("n", "L")
      assert(n == 2 and rest == " 3.5\n")
      for line in f:lines() do assert(#line == 40) end
      f:seek("set", 2)
      f:write("E")
      assert(f:read("a"):find("^\n2 3.5\n"))
      f:truncate(3):sync()
      f:close()
    end,
  },
  {
    name = "a file that is left open",
    run = function(asyncio)
      asyncio.open("/dev/null", "w"):write(("x"):rep(1000))
      collectgarbage()
    end,
  },
  {
    name = "two tasks use a file, one is cancelled",
    run = function(asyncio)
      local f <close> = asyncio.open("/dev/zero")
      local one = asyncio.create_task(f.read, f, 200000)
      local two = asyncio.create_task(f.read, f, 300000)
      asyncio.sleep(0)
      one:cancel()
      pcall(asyncio.await, one)
      assert(#two:await() == 300000)
    end,
  },
  {
    name = "files by name",
    covers = { "fs.stat", "fs.lstat", "fs.access", "fs.mkdir", "fs.rename", "fs.unlink", "fs.rmdir",
      "fs.copyfile", "fs.link", "fs.symlink", "fs.readlink", "fs.realpath", "fs.chmod", "fs.utime",
      "fs.scandir" },
    setup = function(asyncio) return asyncio.fs.mkdtemp() end,
    run = function(asyncio, _, dir)
      local fs = asyncio.fs
      local _ <close> = setmetatable({}, { __close = function() os.execute("rm -r " .. dir) end })
      fs.mkdir(dir .. "/a/b", { parents = true })
      local file = assert(io.open(dir .. "/f", "w"))
      file:write("text")
      file:close()
      fs.copyfile(dir .. "/f", dir .. "/g")
      fs.rename(dir .. "/g", dir .. "/h")
      fs.link(dir .. "/h", dir .. "/i")
      fs.symlink("h", dir .. "/l")
      assert(fs.readlink(dir .. "/l") == "h")
      assert(fs.realpath(dir .. "/l"))
      fs.chmod(dir .. "/h", "600")
      fs.utime(dir .. "/h", 1, 2)
      assert(fs.stat(dir .. "/h").mtime == 2 and fs.lstat(dir .. "/l").type == "link")
      assert(fs.access(dir .. "/h", "r") and not fs.access(dir .. "/none"))
      local n = 0
      for _ in fs.scandir(dir) do n = n + 1 end
      assert(n == 5)
      fs.unlink(dir .. "/f")
      fs.rmdir(dir .. "/a/b")
      pcall(fs.mkdir, dir .. "/h")
    end,
  },
  {
    name = "temporary files",
    covers = { "fs.mkdtemp", "fs.mkstemp" },
    setup = function(asyncio) return asyncio.fs.mkdtemp() end,
    run = function(asyncio, _, dir)
      local _ <close> = setmetatable({}, { __close = function() os.execute("rm -r " .. dir) end })
      asyncio.fs.rmdir(asyncio.fs.mkdtemp(dir .. "/x"))
      local f, path = asyncio.fs.mkstemp(dir .. "/y")
      f:write("x"):close()
      asyncio.fs.unlink(path)
    end,
  },
  {
    name = "a directory is watched",
    covers = { "fs.watch", "Watcher:close" },
    setup = function(asyncio) return asyncio.fs.mkdtemp() end,
    run = function(asyncio, _, dir)
      local _ <close> = setmetatable({}, { __close = function() os.execute("rm -r " .. dir) end })
      local watcher <close> = asyncio.fs.watch(dir)
      io.open(dir .. "/a", "w"):close()
      local kind = watcher()
      assert(kind == "rename" or kind == "overflow", kind)
      watcher:close()
    end,
  },
  {
    name = "a file goes out on a socket, and on a stream in memory",
    covers = { "sendfile", "Loop:sendfile" },
    setup = function(asyncio)
      local file, path = asyncio.fs.mkstemp()
      asyncio.fs.unlink(path)
      file:write(("x"):rep(100000)):flush()
      local listener <close> = asyncio.socket()
      listener:bind("127.0.0.1", 0)
      listener:listen()
      local a = asyncio.open_connection(listener:getsockname())
      local c, d = asyncio.testing.stream_pair()
      return { file = file, pairs = { { a, (listener:accept()) }, { c, d } } }
    end,
    run = function(asyncio, loop, thing)
      for _, pair in ipairs(thing.pairs) do
        local a <close>, b = pair[1], pair[2]
        local reading = asyncio.create_task(b.readexactly, b, 100000)
        local ok, err = pcall(loop.sendfile, loop, a, thing.file)
        if not ok then
          reading:cancel()
          pcall(asyncio.await, reading)
          error(err, 0)
        end
        assert(#reading:await() == 100000)
        assert(asyncio.sendfile(thing.file, a, 99999) == 1)
      end
    end,
  },
}
