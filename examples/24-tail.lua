-- tail -F: prints the lines of a file as they are written to it, also after it was emptied, or
-- replaced by a new one of the same name (as log files are).
--
--   lua examples/24-tail.lua [file]      Ctrl-C ends it
--
-- Without a file it follows one that it writes itself, and ends.
local asyncio = require "asyncio"
local fs = asyncio.fs

io.stdout:setvbuf("line")

-- Print what there is from the file's position on. `half` is the beginning of a line whose end was
-- not written yet; returns that which is so now. The lines are put into the queue `told`, too.
local function print_new_lines(file, half, told)
  for text in file:lines("L") do
    half = half .. text
    if half:sub(-1) == "\n" then
      io.write(half)
      if told then
        told:put_nowait(half)
      end
      half = ""
    end
  end
  return half
end

-- Has the file become shorter than what we have read of it, or is another one in its place?
local function is_new(path, file, inode)
  local ok, now = pcall(fs.stat, path)
  return ok and (now.ino ~= inode or now.size < file:seek())
end

local function follow(path, told)
  local dir, name = path:match("^(.*/)([^/]+)$")
  -- The directory is watched, since a new file would not be seen otherwise; and it is watched
  -- before the first look at the file, so that nothing happens unseen in between.
  local watcher <close> = fs.watch(dir or ".")
  local file = asyncio.open(path)
  local inode, half = fs.stat(path).ino, ""
  while true do
    half = print_new_lines(file, half, told)
    if is_new(path, file, inode) then
      print_new_lines(file, half, told) -- what was written last before it was replaced
      file:close()
      file, inode, half = asyncio.open(path), fs.stat(path).ino, ""
    else
      local kind, changed
      repeat
        kind, changed = watcher()
      until changed == (name or path) or kind == "overflow"
    end
  end
end

-- Writes each line when the one before has been printed.
local function demonstrate()
  local dir = fs.mkdtemp()
  local path = dir .. "/log"
  local told = asyncio.Queue()
  local function write(mode, text)
    asyncio.open(path, mode):write(text):close()
  end
  write("w", "the first line\n")
  local following = asyncio.create_task(follow, path, told)
  told:get()
  write("a", "the sec")
  asyncio.sleep(0.05)
  write("a", "ond line\n")
  told:get()
  write("w", "emptied\n")
  told:get()
  fs.rename(path, dir .. "/log.1")
  write("w", "a new file\n")
  told:get()
  following:cancel()
  pcall(asyncio.await, following)
  for name in fs.scandir(dir) do
    fs.unlink(dir .. "/" .. name)
  end
  fs.rmdir(dir)
end

local ok, err = pcall(asyncio.run, arg[1] and follow or demonstrate, arg[1])
if not ok and not asyncio.is(err, asyncio.KeyboardInterrupt) then
  error(err, 0)
end

--[[ output
the first line
the second line
emptied
a new file
]]
