-- Futures: a result that does not exist yet. One task waits for it, another one sets it.
--
-- It is what stands between tasks and anything that calls back: a library with callbacks, a game's
-- event, an answer that must be matched with its question, as here.
local asyncio = require "asyncio"

local waiting = {} -- the futures of the questions without an answer, by number

local function ask(number)
  local future = asyncio.get_running_loop():create_future()
  waiting[number] = future
  print("question", number)
  return future:await()
end

-- Answers arrive in any order, each with the number of its question.
local function receive_answers()
  for _, number in ipairs({3, 1, 2}) do
    asyncio.sleep(0.05)
    local future = waiting[number]
    if number == 2 then
      future:set_exception("nobody knows")
    else
      future:set_result("answer " .. number)
    end
    print("answered", number, future:done())
  end
end

local function asker(number)
  print("got", asyncio.pcall(ask, number))
end

local function main()
  asyncio.gather({
    function() asker(1) end,
    function() asker(2) end,
    function() asker(3) end,
    receive_answers,
  })

  -- A future can be awaited again and again, by anyone; its result stays.
  print(waiting[1]:await(), waiting[1]:result())
end

asyncio.run(main)

--[[ output (0.15 s)
question 1
question 2
question 3
answered 3 true
got true answer 3
answered 1 true
got true answer 1
answered 2 true
got false nobody knows
answer 1 answer 1
]]
