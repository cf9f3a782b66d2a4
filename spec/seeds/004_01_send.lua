-- Document 004, block 1: generators that are sent values: a producer and a consumer.
-- Deviations: `generator.send(v)` is the call of the iterator with v. Both are asyncio.wrap, so
-- that either could also wait; at the top level, as here, they behave as coroutine.wrap.
local asyncio = require "asyncio"

local function consumer()
  local status = true
  while true do
    -- hands out the status, and receives n
    local n = coroutine.yield(status)
    print(("我拿到了%d!"):format(n))
    if n == 3 then
      status = false
    end
  end
end

local function producer(send)
  local n = 5
  while n > 0 do
    -- hands the consumer's status to the main program
    coroutine.yield(send(n))
    n = n - 1
  end
end

local c = asyncio.wrap(consumer)

-- Goes to the first yield, which then waits to receive.
c()

for status in asyncio.wrap(function() producer(c) end) do
  if status == false then
    print("我只要3,4,5就行啦")
    break
  end
end

--[[ output
我拿到了5!
我拿到了4!
我拿到了3!
我只要3,4,5就行啦
]]
