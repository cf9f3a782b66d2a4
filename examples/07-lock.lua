-- A lock: when a task reads something, waits, and writes it, another one may come in between.
--
-- Between two waits a task has everything for itself, so most code needs no lock. It takes one
-- where a wait stands between reading and writing.
local asyncio = require "asyncio"

local balance = 100

local function withdraw(amount)
  if balance < amount then
    return false
  end
  asyncio.sleep(0.05) -- ask the bank
  balance = balance - amount
  return true
end

local lock = asyncio.Lock()

-- acquire() returns the lock, whose __close releases it: at the end of the block, and also when an
-- error or a cancellation leaves it.
local function withdraw_locked(amount)
  local _ <close> = lock:acquire()
  return withdraw(amount)
end

local function main()
  local function eighty() return withdraw(80) end
  local function eighty_locked() return withdraw_locked(80) end

  local got = asyncio.gather(eighty, eighty)
  print("without a lock:", got[1], got[2], balance)

  balance = 100
  got = asyncio.gather(eighty_locked, eighty_locked)
  print("with a lock:", got[1], got[2], balance)

  -- The same without a block: the lock is held while the function runs.
  local paid = lock:with(withdraw, 20)
  print("a function under the lock:", paid, balance)
end

asyncio.run(main)

--[[ output (0.15 s)
without a lock: true true -60
with a lock: true false 20
a function under the lock: true 0
]]
