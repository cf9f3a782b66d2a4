-- Ctrl-C: start it, press Ctrl-C, and see the tasks clean up behind themselves.
--
-- The signal cancels the main task: CancelledError is raised where it waits. asyncio.run then
-- cancels the tasks that are left, waits until they have ended, and raises KeyboardInterrupt.
local asyncio = require "asyncio"

io.stdout:setvbuf("line")

-- A <close> variable is closed however the block is left: by its end, an error or a cancellation.
-- Closing may wait, as here: a connection would say goodbye.
local function connection(name)
  return setmetatable({}, {
    __close = function()
      asyncio.sleep(0.05)
      print(name .. ": closed")
    end,
  })
end

local function worker(name, seconds)
  local _ <close> = connection(name)
  print(name .. ": at work, press Ctrl-C")
  while true do
    asyncio.sleep(seconds)
  end
end

local function main()
  asyncio.create_task(worker, "first", 0.1)
  asyncio.create_task(worker, "second", 0.2)
  worker("main", 1)
end

-- Without this pcall the script would end with the error's message and status 1.
local ok, err = pcall(asyncio.run, main)
if not ok and asyncio.is(err, asyncio.KeyboardInterrupt) then
  print("interrupted, and everything is closed")
elseif not ok then
  error(err, 0)
end

--[[ output, interrupted after 3 lines
main: at work, press Ctrl-C
first: at work, press Ctrl-C
second: at work, press Ctrl-C
main: closed
first: closed
second: closed
interrupted, and everything is closed
]]
