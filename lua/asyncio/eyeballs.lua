-- SPDX-License-Identifier: MIT
-- Happy eyeballs (RFC 8305): open_connection with the options happy_eyeballs_delay and interleave,
-- which src/connect.c leaves to this. Several addresses of a name are tried at the same time, each
-- begun when the one before it has failed or has had its time.
local asyncio <const> = ... -- the module, from src/parts.c

-- The addresses by turns of their families, in the order in which the families first come; `count`
-- of the first one at the beginning.
local function interleave(list, count)
  local order, of = {}, {}
  for _, address in ipairs(list) do
    local family = address.family
    if not of[family] then
      of[family] = { at = 0 }
      order[#order + 1] = of[family]
    end
    table.insert(of[family], address)
  end
  local mixed = {}
  local function take(family)
    family.at = family.at + 1
    mixed[#mixed + 1] = family[family.at]
  end
  for _ = 2, count do
    if #order > 0 then take(order[1]) end
  end
  while #mixed < #list do
    for _, family in ipairs(order) do take(family) end
  end
  return mixed
end

-- What is still being tried when the race is over is cancelled, and closed if it has succeeded; so
-- is the winner if this is cancelled itself, as nobody gets it then.
local function abandon(race)
  local ok, err = true, nil
  for _, task in ipairs(race.pending) do task:cancel() end
  if #race.pending > 0 then ok, err = pcall(asyncio.wait, race.pending) end
  for _, task in ipairs(race.pending) do
    local made, stream = pcall(task.result, task)
    if made then stream:abort() end
  end
  if ok then return end
  if race.winner then race.winner:abort() end
  error(err, 0)
end

-- The tasks that have ended: the first stream wins; or note the first error.
local function judge(race, done)
  for _, task in ipairs(done) do
    local ok, result = pcall(task.result, task)
    if not ok then
      race.err = race.err or result
    elseif race.winner then
      result:abort()
    else
      race.winner = result
    end
  end
end

-- In place of open_connection(host, port, opts); delay and count are nil if they were not given.
local function open(host, port, opts, delay, count)
  local plain = {}
  for name, value in pairs(opts) do plain[name] = value end
  plain.happy_eyeballs_delay, plain.interleave = nil, nil
  local list = asyncio.get_running_loop():getaddrinfo(host, port,
    { family = opts.family, type = "stream" })
  count = count or delay and 1 or 0
  if count > 0 then list = interleave(list, count) end
  local race <close> = setmetatable({ pending = {} }, { __close = abandon })
  local next_one = 1
  while not race.winner do
    local address = list[next_one]
    if address then
      table.insert(race.pending,
        asyncio.create_task(asyncio.open_connection, address.host, port, plain))
      next_one = next_one + 1
    elseif #race.pending == 0 then
      error(race.err, 0)
    end
    local done
    done, race.pending = asyncio.wait(race.pending,
      { timeout = list[next_one] and delay or nil, return_when = asyncio.FIRST_COMPLETED })
    judge(race, done)
  end
  return race.winner, race.winner
end

-- Under a number, since it is no function of the module's users.
return { open }
