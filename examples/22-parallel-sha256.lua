-- The checksums of all files below a directory: find tells the names, sha256sum runs for four of
-- them at a time.
--
--   lua examples/22-parallel-sha256.lua [directory]
--
-- Without an argument it makes a directory with three small files, and removes it again.
local asyncio = require "asyncio"

local AT_ONCE <const> = 4

local function checksum(path)
  local p <close> = asyncio.create_subprocess_exec("sha256sum", "-b", path, {stdout = "pipe"})
  local out = p:communicate()
  if p.returncode ~= 0 then
    return nil
  end
  return out:match("%x+")
end

-- path -> sum
local function checksums(directory)
  local limiter = asyncio.Semaphore(AT_ONCE)
  local sums = {}
  local find <close> = asyncio.create_subprocess_exec("find", directory, "-type", "f",
    {stdout = "pipe"})
  asyncio.TaskGroup(function(group)
    for path in find.stdout:lines() do
      local permit = limiter:acquire() -- while four run, find waits with us
      group:create_task(function()
        local _ <close> = permit
        sums[path] = checksum(path)
      end)
    end
  end)
  assert(find:wait() == 0, "find has failed")
  return sums
end

local function show(sums, skip)
  local paths = {}
  for path in pairs(sums) do
    paths[#paths + 1] = path
  end
  table.sort(paths)
  for _, path in ipairs(paths) do
    print(sums[path], path:sub(skip + 1))
  end
end

local function shell(command)
  assert(asyncio.create_subprocess_shell(command):wait() == 0)
end

asyncio.run(function()
  if arg[1] then
    show(checksums(arg[1]), 0)
    return
  end
  local directory = os.tmpname()
  os.remove(directory)
  shell(("mkdir %s && cd %s && echo one > a && echo two > b && echo three > c"):format(
    directory, directory))
  show(checksums(directory), #directory + 1)
  shell("rm -r " .. directory)
end)

--[[ output
2c8b08da5ce60398e1f19af0e5dccc744df274b826abe585eaba68c525434806 a
27dd8ed44a83ff94d557f9fd0412ed5a8cbca69ea04922d88c01184a07300a5a b
f6936912184481f5edd4c304ce27c5a1a827804fc7f329f43d273b8621870776 c
]]
