-- SPDX-License-Identifier: MIT
-- asyncio.fs: what is done to files by name.

local asyncio <const> = require "asyncio"
local helper <const> = require "spec.helper"
local virtual <const> = require "spec.virtual"
local on_loop <const> = require "spec.on_loop"(it, assert)

local it_runs <const> = on_loop.it_runs
local assert_code <const> = on_loop.assert_code

local fs <const> = asyncio.fs

local function remove_all(path)
  if fs.lstat(path).type ~= "directory" then return fs.unlink(path) end
  for name in fs.scandir(path) do remove_all(path .. "/" .. name) end
  fs.rmdir(path)
end

-- A directory that is removed at the end of the scope; `dir .. "name"` is a path in it.
local function directory()
  local path <const> = fs.mkdtemp()
  return setmetatable({ path = path }, {
    __concat = function(self, name) return self.path .. "/" .. name end,
    __close = function() remove_all(path) end,
  })
end

local function make(path, text)
  asyncio.open(path, "w"):write(text or ""):close()
  return path
end

local function exists(path)
  return (fs.access(path))
end

describe("fs.stat", function()
  it_runs("tells type, size, permissions and times", function()
    local dir <close> = directory()
    local path <const> = make(dir .. "file", "12345")
    fs.chmod(path, "640")
    local stat <const> = fs.stat(path)
    assert.equal("file", stat.type)
    assert.equal(5, stat.size)
    assert.equal(tonumber("640", 8), stat.mode)
    assert.equal(1, stat.nlink)
    for _, name in ipairs { "uid", "gid", "dev", "rdev", "ino", "blksize", "blocks" } do
      assert.equal("integer", math.type(stat[name]), name)
    end
    for _, name in ipairs { "atime", "mtime", "ctime", "birthtime" } do
      assert.equal("float", math.type(stat[name]), name)
    end
    assert.is_true(math.abs(stat.mtime - os.time()) < 100)
    assert.equal("directory", fs.stat(dir.path).type)
    assert.equal("char", fs.stat("/dev/null").type)
  end)

  it_runs("follows links, and lstat does not", function()
    local dir <close> = directory()
    fs.symlink(make(dir .. "file", "x"), dir .. "link")
    assert.equal("file", fs.stat(dir .. "link").type)
    assert.equal("link", fs.lstat(dir .. "link").type)
    assert.equal("file", fs.lstat(dir .. "file").type)
  end)

  it_runs("raises an OSError that names the path", function()
    local err <const> = assert_code("ENOENT", fs.stat, "/no/such/file")
    assert.equal("/no/such/file", err.path)
    assert.equal("stat", err.op)
    assert_code("ENOENT", fs.lstat, "/no/such/file")
    assert_code("ENOTDIR", fs.stat, "/dev/null/below")
    assert_code("ENAMETOOLONG", fs.stat, ("x"):rep(10000))
  end)
end)

describe("fs.access", function()
  it_runs("tells whether a file is there and may be used", function()
    local dir <close> = directory()
    local path <const> = make(dir .. "file")
    fs.chmod(path, "644")
    assert.is_true(fs.access(path))
    assert.is_true(fs.access(path, "rw"))
    assert.same({ false, "EACCES" }, { fs.access(path, "x") })
    assert.same({ false, "ENOENT" }, { fs.access(dir .. "none") })
    virtual.refuses("invalid mode", fs.access, path, "rq")
  end)
end)

describe("fs.mkdir", function()
  it_runs("makes one directory", function()
    local dir <close> = directory()
    fs.mkdir(dir .. "a", { mode = "700" })
    assert.equal("directory", fs.stat(dir .. "a").type)
    assert.equal(tonumber("700", 8), fs.stat(dir .. "a").mode)
    fs.mkdir(dir .. "b", { mode = tonumber("500", 8) })
    assert.equal(tonumber("500", 8), fs.stat(dir .. "b").mode)
    assert_code("ENOENT", fs.mkdir, dir .. "no/way")
    local err <const> = assert_code("EEXIST", fs.mkdir, dir .. "a")
    assert.equal(dir .. "a", err.path)
    for _, mode in ipairs { "", "8", "77777777", -1, 1.5, true, 010000 } do
      virtual.refuses("option 'mode'", fs.mkdir, dir .. "c", { mode = mode })
    end
  end)

  it_runs("makes the parents, too", function()
    local dir <close> = directory()
    fs.mkdir(dir .. "a/b/c", { parents = true })
    fs.mkdir(dir .. "a/b/d/", { parents = true })
    fs.mkdir(dir .. "a//b/./e//f///", { parents = true })
    for _, name in ipairs { "a/b/c", "a/b/d", "a/b/e/f" } do
      assert.equal("directory", fs.stat(dir .. name).type)
    end
    assert_code("EEXIST", fs.mkdir, dir .. "a/b", { parents = true })
    fs.mkdir(dir .. "a/b", { parents = true, exist_ok = true })
    make(dir .. "file")
    assert_code("EEXIST", fs.mkdir, dir .. "file", { exist_ok = true })
    assert_code("ENOTDIR", fs.mkdir, dir .. "file/a/b", { parents = true })
    fs.symlink("nowhere", dir .. "broken")
    assert_code("ENOENT", fs.mkdir, dir .. "broken/a", { parents = true })
    assert_code("ENOENT", fs.mkdir, "", { parents = true })
  end)

  it_runs("makes the same tree from many tasks", function()
    local dir <close> = directory()
    local tasks <const> = {}
    for i = 1, 8 do
      tasks[i] = function() fs.mkdir(dir .. "a/b/c/d/e", { parents = true, exist_ok = true }) end
    end
    asyncio.gather(table.unpack(tasks))
    assert.is_true(exists(dir .. "a/b/c/d/e"))
  end)
end)

describe("fs.rename, unlink, rmdir", function()
  it_runs("change and remove names", function()
    local dir <close> = directory()
    make(dir .. "a", "text")
    make(dir .. "b", "other")
    fs.rename(dir .. "a", dir .. "b")
    assert.is_false(exists(dir .. "a"))
    assert.equal(4, fs.stat(dir .. "b").size)
    fs.unlink(dir .. "b")
    assert.is_false(exists(dir .. "b"))
    fs.mkdir(dir .. "d")
    fs.rmdir(dir .. "d")
    assert.is_false(exists(dir .. "d"))
  end)

  it_runs("raise what the system refuses", function()
    local dir <close> = directory()
    local err <const> = assert_code("ENOENT", fs.rename, dir .. "a", dir .. "b")
    assert.same({ dir .. "a", dir .. "b" }, { err.path, err.path2 })
    assert.matches("rename " .. dir.path:gsub("%p", "%%%0") .. "/a %-> ", tostring(err))
    assert_code("ENOENT", fs.unlink, dir .. "a")
    make(dir .. "file")
    assert_code("ENOTDIR", fs.rmdir, dir .. "file")
    assert_code("ENOTEMPTY", fs.rmdir, dir.path)
    assert_code("EISDIR", fs.unlink, dir.path)
  end)
end)

describe("fs.copyfile, link, symlink, readlink, realpath", function()
  it_runs("copy", function()
    local dir <close> = directory()
    make(dir .. "a", ("x"):rep(100000))
    make(dir .. "b", "other")
    fs.copyfile(dir .. "a", dir .. "b")
    assert.equal(100000, fs.stat(dir .. "b").size)
    assert_code("EEXIST", fs.copyfile, dir .. "a", dir .. "b", { exclusive = true })
    assert_code("ENOENT", fs.copyfile, dir .. "none", dir .. "c")
  end)

  it_runs("copy what has no length, to itself, onto a device, no directory and no fifo", function()
    local dir <close> = directory()
    local function content(path)
      local file <close> = io.open(path, "rb")
      return file:read "a"
    end
    fs.copyfile("/proc/self/cmdline", dir .. "made up")
    assert.equal(content "/proc/self/cmdline", content(dir .. "made up"))
    make(dir .. "a", "text")
    fs.chmod(dir .. "a", "640")
    fs.copyfile(dir .. "a", dir .. "a")
    fs.copyfile(dir .. "a", "/dev/null")
    fs.copyfile(dir .. "a", dir .. "b")
    assert.equal("text", content(dir .. "a") and content(dir .. "b"))
    assert.equal(tonumber("640", 8), fs.stat(dir .. "b").mode & tonumber("777", 8))
    assert_code("ENOSPC", fs.copyfile, dir .. "a", "/dev/full")
    assert_code("EISDIR", fs.copyfile, dir.path, dir .. "c")
    os.execute(("mkfifo '%s'"):format(dir .. "fifo"))
    assert_code("EINVAL", fs.copyfile, dir .. "fifo", dir .. "c")
    assert_code("ENOENT", fs.stat, dir .. "c")
  end)

  it_runs("copy a file that is cut short meanwhile: libuv's copyfile would not end", function()
    local dir <close> = directory()
    make(dir .. "a", ("x"):rep(helper.scale(20000000, 2000000)))
    local copies <const> = {}
    for i = 1, 4 do copies[i] = asyncio.create_task(fs.copyfile, dir .. "a", dir .. i) end
    asyncio.sleep(0.001)
    io.open(dir .. "a", "w"):close()
    asyncio.gather(copies)
  end)

  it_runs("stop copying when cancelled", function()
    local dir <close> = directory()
    local task <const> = asyncio.create_task(fs.copyfile, "/dev/zero", dir .. "endless")
    asyncio.sleep(0.01)
    task:cancel()
    assert.is_false(pcall(task.await, task))
    while pcall(fs.stat, dir .. "endless") do asyncio.sleep(0.001) end
  end)

  it_runs("link", function()
    local dir <close> = directory()
    make(dir .. "a")
    fs.link(dir .. "a", dir .. "b")
    assert.equal(fs.stat(dir .. "a").ino, fs.stat(dir .. "b").ino)
    fs.symlink("a", dir .. "c")
    assert.equal("a", fs.readlink(dir .. "c"))
    assert.equal(fs.realpath(dir .. "a"), fs.realpath(dir .. "./c"))
    assert_code("EINVAL", fs.readlink, dir .. "a")
    assert_code("ENOENT", fs.realpath, dir .. "none")
    assert_code("EEXIST", fs.symlink, "a", dir .. "c")
    assert_code("EEXIST", fs.link, dir .. "a", dir .. "c")
  end)
end)

describe("fs.chmod and utime", function()
  it_runs("set what stat tells", function()
    local dir <close> = directory()
    local path <const> = make(dir .. "a")
    fs.chmod(path, tonumber("600", 8))
    assert.equal(tonumber("600", 8), fs.stat(path).mode)
    fs.chmod(path, fs.stat("/").mode)
    fs.utime(path, 10, 20.5)
    assert.same({ 10.0, 20.5 }, { fs.stat(path).atime, fs.stat(path).mtime })
    fs.utime(path)
    assert.is_true(math.abs(fs.stat(path).mtime - os.time()) < 100)
    assert_code("ENOENT", fs.chmod, dir .. "none", "644")
    assert_code("ENOENT", fs.utime, dir .. "none")
    virtual.refuses("permission bits expected", fs.chmod, path, "rwx")
    virtual.refuses("out of range", fs.utime, path, 0 / 0)
    virtual.refuses("out of range", fs.utime, path, math.huge)
  end)
end)

describe("fs.mkdtemp and mkstemp", function()
  it_runs("make what nobody else has", function()
    local dir <close> = directory()
    local one <const>, two <const> = fs.mkdtemp(dir .. "job-"), fs.mkdtemp(dir .. "job-")
    assert.not_equal(one, two)
    assert.equal(dir .. "job-", one:sub(1, -7))
    assert.equal(tonumber("700", 8), fs.stat(one).mode)
    local named <const> = fs.mkdtemp(dir .. "XXXXXX")
    assert.equal(#(dir .. "XXXXXX"), #named)
    local f <close>, path <const> = fs.mkstemp(dir .. "file-")
    f:write("hello"):seek("set")
    assert.equal("hello", f:read("a"))
    assert.equal(dir .. "file-", path:sub(1, -7))
    assert.equal(5, fs.stat(path).size)
    assert_code("ENOENT", fs.mkdtemp, dir .. "none/x")
    assert_code("ENOENT", fs.mkstemp, dir .. "none/x")
  end)

  it_runs("remove it again when they are cancelled", function()
    local dir <close> = directory()
    for i = 1, helper.scale(60, 6) do
      local make_one <const> = i % 2 == 0 and fs.mkdtemp or fs.mkstemp
      local task <const> = asyncio.create_task(make_one, dir .. "x")
      for _ = 1, i % 5 do asyncio.sleep(0) end
      if i % 3 == 0 then asyncio.sleep(0.0005) end
      if task:cancel() then pcall(asyncio.await, task) else task:result() end
      if not task:cancelled() then
        local first <const>, second <const> = task:result()
        if second then fs.unlink(second) else fs.rmdir(first) end
      end
    end
    asyncio.sleep(0.02 * helper.SLOW)
    collectgarbage()
    collectgarbage()
    for name in fs.scandir(dir.path) do error(name .. " is left") end
  end)
end)

describe("fs.scandir", function()
  it_runs("iterates over names and types", function()
    local dir <close> = directory()
    make(dir .. "file")
    fs.mkdir(dir .. "sub")
    fs.symlink("file", dir .. "link")
    local found <const> = {}
    for name, kind in fs.scandir(dir.path) do found[name] = kind end
    assert.same({ file = "file", sub = "directory", link = "link" }, found)
    for _ in fs.scandir(dir .. "sub") do error("it is empty") end
  end)

  it_runs("reads a thousand names, and can be left", function()
    local dir <close> = directory()
    local count <const> = helper.scale(1000, 10)
    for i = 1, count do io.open(dir .. tostring(i), "w"):close() end
    local n = 0
    for name in fs.scandir(dir.path) do
      n = n + 1
      assert.is_true(tonumber(name) <= count)
    end
    assert.equal(count, n)
    for name in fs.scandir(dir.path) do
      if name then break end
    end
    local step <const>, _, _, closer <const> = fs.scandir(dir.path)
    assert.is_string(step())
    getmetatable(closer).__close(closer)
    assert.is_nil(step())
    local abandoned <const> = fs.scandir(dir.path)
    assert.is_string(abandoned())
  end)

  it_runs("can be left at the last name, of which libuv loses the memory", function() -- make asan
    local dir <close> = directory()
    for i = 1, 2 do
      make(dir .. i)
      local seen = 0
      for _ in fs.scandir(dir.path) do
        seen = seen + 1
        if seen == i then break end
      end
      assert.equal(i, seen)
    end
  end)

  it_runs("raises what the system refuses", function()
    assert_code("ENOENT", fs.scandir, "/no/such/dir")
    assert_code("ENOTDIR", fs.scandir, "/dev/null")
  end)
end)

describe("every function of fs", function()
  local function calls(dir)
    return {
      stat = { dir .. "a" }, lstat = { dir .. "a" }, access = { dir .. "a" },
      mkdir = { dir .. "new/new", { parents = true } }, rename = { dir .. "a", dir .. "b" },
      unlink = { dir .. "a" }, rmdir = { dir .. "sub" }, copyfile = { dir .. "a", dir .. "c" },
      link = { dir .. "a", dir .. "d" }, symlink = { "a", dir .. "e" },
      readlink = { dir .. "link" }, realpath = { dir .. "a" }, chmod = { dir .. "a", "600" },
      utime = { dir .. "a" }, mkdtemp = { dir .. "t" }, mkstemp = { dir .. "t" },
      scandir = { dir.path },
    }
  end

  it_runs("can be cancelled at once", function()
    local dir <close> = directory()
    for name, arguments in pairs(calls(dir)) do
      local task <const> = asyncio.create_task(fs[name], table.unpack(arguments))
      asyncio.sleep(0)
      assert.is_true(task:cancel(), name)
      local ok, err = pcall(asyncio.await, task)
      assert.is_false(ok, name)
      assert.is_true(asyncio.is(err, asyncio.CancelledError), name)
    end
    asyncio.sleep(0.01)
  end)

  it_runs("runs beside the others", function()
    local dir <close> = directory()
    local tasks <const> = {}
    for i = 1, helper.scale(200, 8) do
      tasks[i] = asyncio.create_task(function()
        make(dir .. tostring(i), "x")
        fs.rename(dir .. tostring(i), dir .. "n" .. i)
        return fs.stat(dir .. "n" .. i).size
      end)
    end
    for _, task in ipairs(tasks) do assert.equal(1, task:await()) end
  end)

  it("works at top level, and a closed loop gives its request up", function()
    assert.equal("directory", fs.stat("/").type)
    local loop <const> = asyncio.get_event_loop()
    local task <const> = loop:create_task(fs.scandir, "/")
    loop:run_until_complete(asyncio.sleep, 0)
    loop:close()
    assert.is_true(task:done()) -- cancelled, unless a thread was very fast
    asyncio.set_event_loop(nil)
  end)

  it("is refused in a callback", function()
    asyncio.run(function()
      local err
      asyncio.get_running_loop():call_soon(function() err = select(2, pcall(fs.stat, "/")) end)
      asyncio.sleep(0)
      asyncio.sleep(0)
      assert.matches("callback", tostring(err))
    end)
  end)
end)
