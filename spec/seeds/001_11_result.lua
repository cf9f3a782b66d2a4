-- Document 001, block 11: the result read without a callback; a line that follows on block 10.
-- Deviations: block 10's program is repeated without its callback; its stand-in for `requests.get`
-- waits 0.05 s and has the status 200.
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

local coroutine = request()
local task = asyncio.ensure_future(coroutine)

local loop = asyncio.get_event_loop()
loop:run_until_complete(task)
print("Task Result:", task:result())

--[[ output
Task Result: 200
]]
