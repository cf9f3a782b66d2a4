-- Document 000, block 12, second program: a thousand requests, never more than 500 at once.
-- Deviations:
--   * The HTTP request is a stand-in, `fetch`, that waits 0.1 s and returns a text: the program is
--     there for its semaphore. (The block's first program is only HTTP: see INDEX.md.)
--   * The document makes its list at module level, where `semaphore` does not exist, and waits
--     outside a function: both are moved into `run`, as they are meant.
--   * The document prints nothing. Here the largest number of requests in flight is printed.
local asyncio = require "asyncio"

local in_flight, most = 0, 0

local function fetch(url)
  in_flight = in_flight + 1
  most = math.max(most, in_flight)
  asyncio.sleep(0.1)
  in_flight = in_flight - 1
  return "the page at " .. url
end

local url <const> = "https://www.baidu.com/"

local hello = asyncio.async(function(address, semaphore)
  local _ <close> = semaphore:acquire()
  return fetch(address)
end)

local function run()
  local semaphore = asyncio.Semaphore(500) -- never more than 500 at once
  local to_get = {}
  for i = 1, 1000 do
    to_get[i] = hello(url, semaphore)
  end
  local done, pending = asyncio.wait(to_get)
  print("done:", #done, "pending:", #pending, "at once:", most)
end

local loop = asyncio.get_event_loop()
loop:run_until_complete(run)
loop:close()

--[[ output (0.2 s)
done: 1000 pending: 0 at once: 500
]]
