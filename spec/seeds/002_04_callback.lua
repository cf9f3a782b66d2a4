-- Document 002, program 4: a callback bound to a task.
-- Deviations: `requests.get(url)` is a stand-in that waits 0.05 s and returns a response with the
-- status 200: HTTP is not part of the library. The lost indents are back.
local asyncio = require "asyncio"

local Response <const> = {
  __tostring = function(self)
    return ("<Response [%d]>"):format(self.status_code)
  end,
}

local requests <const> = {
  get = function(_)
    asyncio.sleep(0.05)
    return setmetatable({status_code = 200}, Response)
  end,
}

local request = asyncio.async(function()
  local url = "https://www.baidu.com"
  local status = requests.get(url)
  return status
end)

local function callback(task)
  print("Status:", task:result())
end

local coroutine = request()
local task = asyncio.ensure_future(coroutine)
task:add_done_callback(callback)
print("Task:", task)
local loop = asyncio.get_event_loop()
loop:run_until_complete(task)
print("Task:", task)

--[[ output
Task: <Task pending name='Task-1' coro=<request() running at 002_04_callback.lua:19>
    cb=[callback() at 002_04_callback.lua:25]>
Status: <Response [200]>
Task: <Task finished name='Task-1' coro=<request() done, defined at 002_04_callback.lua:19>
    result=<Response [200]>>
]]
