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

local watch_tree

-- What has changed: "made", "removed" or "changed".
local function classify(kind, path)
  if kind == "change" then
    return "changed"
  end
  return fs.access(path) and "made" or "removed"
end

local function watch_directory(group, dir, report)
  for kind, name in fs.watch(dir) do
    if kind == "overflow" then
      report("missed something", dir)
    else
      local path = dir .. "/" .. name
      local what = classify(kind, path)
      report(what, path)
      local ok, found = pcall(fs.lstat, path)
      if what == "made" and ok and found.type == "directory" then
        watch_tree(group, path, report)
      elseif what == "removed" and not fs.access(dir) then
        return -- the directory itself has gone
      end
    end
  end
end

function watch_tree(group, dir, report)
  group:create_task(watch_directory, group, dir, report)
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

local function demonstrate()
  local top = fs.mkdtemp()
  local watching = asyncio.create_task(watch, top, function(what, path)
    print(what, (path:gsub("^.*/lua%-%w+/", "")))
  end)
  local pause = 0.05
  asyncio.sleep(pause)
  fs.mkdir(top .. "/notes")
  asyncio.sleep(pause)
  local file = asyncio.open(top .. "/notes/today", "w")
  asyncio.sleep(pause)
  file:write("buy milk\n"):close()
  asyncio.sleep(pause)
  fs.unlink(top .. "/notes/today")
  asyncio.sleep(pause)
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
