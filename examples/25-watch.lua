-- Tells what happens to the files in a tree of directories.
--
--   lua examples/25-watch.lua [directory]      Ctrl-C ends it
--
-- Without a directory it watches one in which it works itself, and ends.
--
-- The system watches single directories only. So each directory has a task with a watcher of its
-- own; a TaskGroup holds them together, and a new directory gets a new task.
local asyncio = require "asyncio"
local fs = asyncio.fs

io.stdout:setvbuf("line")

local watched = {} -- directories by path
local watch_tree

-- What has changed: "made", "removed" or "changed".
local function classify(kind, path)
  if kind == "change" then
    return "changed"
  end
  return fs.access(path) and "made" or "removed"
end

local function watch_directory(group, dir, watcher, report)
  for kind, name in watcher do
    if kind == "overflow" then
      report("missed something", dir)
    else
      local path = dir .. "/" .. name
      local what = classify(kind, path)
      local ok, found = pcall(fs.lstat, path)
      if what == "made" and ok and found.type == "directory" then
        watch_tree(group, path, report)
      end
      report(what, path)
      if what == "removed" and not fs.access(dir) then
        break -- the directory itself has gone
      end
    end
  end
  watched[dir] = nil
end

-- The watcher comes before the look around, so that nothing is missed; but then a directory may be
-- found twice.
function watch_tree(group, dir, report)
  if watched[dir] then
    return
  end
  watched[dir] = true
  group:create_task(watch_directory, group, dir, fs.watch(dir), report)
  for name, kind in fs.scandir(dir) do
    if kind == "directory" then
      watch_tree(group, dir .. "/" .. name, report)
    end
  end
end

local function watch(dir, report)
  asyncio.TaskGroup(function(group)
    watch_tree(group, dir, report)
  end)
end

-- Does one thing after the other, each when the one before has been reported.
local function demonstrate()
  local top = fs.mkdtemp()
  local reports = asyncio.Queue()
  local watching = asyncio.create_task(watch, top, function(what, path)
    print(what, (path:gsub("^.*/lua%-%w+/", "")))
    reports:put(path)
  end)
  asyncio.sleep(0)
  fs.mkdir(top .. "/notes")
  reports:get()
  local file = asyncio.open(top .. "/notes/today", "w")
  reports:get()
  file:write("buy milk\n"):close()
  reports:get()
  fs.unlink(top .. "/notes/today")
  reports:get()
  watching:cancel()
  pcall(asyncio.await, watching)
  fs.rmdir(top .. "/notes")
  fs.rmdir(top)
end

local ok, err = pcall(asyncio.run, function()
  if arg[1] then
    watch(arg[1], print)
  else
    demonstrate()
  end
end)
if not ok and not asyncio.is(err, asyncio.KeyboardInterrupt) then
  error(err, 0)
end

--[[ output
made notes
made notes/today
changed notes/today
removed notes/today
]]
