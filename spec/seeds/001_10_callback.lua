-- Document 001, block 10: a callback bound to a task.
-- Deviations:
--   * `requests.get(url)` is a stand-in that waits 0.05 s and has the status 200: HTTP is not part
--     of the library.
--   * The listing prints `<Response [200]>`; the code takes `.status_code`, which is the number.
local asyncio = require "asyncio"

local requests <const> = {
  get = function(_)
    asyncio.sleep(0.05)
    return {status_code = 200}
  end,
}

local request = asyncio.async(function()
  local url = "https://www.baidu.com"
  local status = requests.get(url).status_code
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
Task: <Task pending name='Task-1' coro=<request() running at 001_10_callback.lua:15>
    cb=[callback() at 001_10_callback.lua:21]>
Status: 200
Task: <Task finished name='Task-1' coro=<request() done, defined at 001_10_callback.lua:15>
    result=200>
]]
