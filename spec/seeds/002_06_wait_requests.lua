-- Document 002, program 6: five tasks in a list, and wait.
-- Deviations:
--   * `requests.get(url)` is a stand-in that waits 0.05 s and returns a response with the status
--     200. (The real one would block the loop; the document means the five together.)
--   * Lua prints no lists: `list` does it, one task a line. The lost indents are back.
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

local function list(values)
  local texts = {}
  for i, value in ipairs(values) do
    texts[i] = tostring(value)
  end
  return "[" .. table.concat(texts, ",\n") .. "]"
end

local request = asyncio.async(function()
  local url = "https://www.baidu.com"
  local status = requests.get(url)
  return status
end)

local tasks = {}
for i = 1, 5 do
  tasks[i] = asyncio.ensure_future(request())
end
print("Tasks:", list(tasks))
local loop = asyncio.get_event_loop()
loop:run_until_complete(asyncio.wait, tasks)
for _, task in ipairs(tasks) do
  print("Task Result:", task:result())
end

--[[ output
Tasks: [<Task pending name='Task-1' coro=<request() running at 002_06_wait_requests.lua:29>>,
<Task pending name='Task-2' coro=<request() running at 002_06_wait_requests.lua:29>>,
<Task pending name='Task-3' coro=<request() running at 002_06_wait_requests.lua:29>>,
<Task pending name='Task-4' coro=<request() running at 002_06_wait_requests.lua:29>>,
<Task pending name='Task-5' coro=<request() running at 002_06_wait_requests.lua:29>>]
Task Result: <Response [200]>
Task Result: <Response [200]>
Task Result: <Response [200]>
Task Result: <Response [200]>
Task Result: <Response [200]>
]]
