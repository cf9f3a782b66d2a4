-- SPDX-License-Identifier: MIT
-- Reading from a Stream, beside a model of asyncio's StreamReader: random programs feed both in
-- random pieces. (The model is as simple as can be: each method looks at all bytes again.)

local asyncio <const> = require "asyncio"
local helper <const> = require "spec.helper"

-- ---- the model

-- Each gives a text that says what the method returns or raises, or nil: it waits for more.
local Model <const> = {}
Model.__index = Model

function Model:take(n)
  local taken <const> = self.bytes:sub(1, n)
  self.bytes = self.bytes:sub(n + 1)
  return taken
end

function Model:read(n)
  if n == 0 then return "got " end
  if self.bytes == "" then return self.ended and "end" or nil end
  return "got " .. self:take(n)
end

function Model:all()
  if not self.ended then return nil end
  return self.bytes == "" and "end" or "got " .. self:take(#self.bytes)
end

function Model:readexactly(n)
  if #self.bytes >= n then return "got " .. self:take(n) end
  return self.ended and ("incomplete %s of %d"):format(self:take(#self.bytes), n) or nil
end

-- Where the separator is that ends first, and the lengths of the shortest and the longest.
local function find(bytes, separators)
  local first, last, shortest, longest = nil, math.huge, math.huge, 0
  for _, separator in ipairs(separators) do
    local from <const>, to <const> = bytes:find(separator, 1, true)
    if to and (to < last or (to == last and from > first)) then first, last = from, to end
    shortest, longest = math.min(shortest, #separator), math.max(longest, #separator)
  end
  return first, last, shortest, longest
end

function Model:readuntil(separators)
  local from <const>, to <const>, shortest <const>, longest <const> = find(self.bytes, separators)
  if from then
    return from - 1 > self.limit and "limit " .. from - 1 or "got " .. self:take(to)
  end
  local seen <const> = #self.bytes + 1 - longest
  if #self.bytes >= shortest and seen > self.limit then return "limit " .. seen end
  return self.ended and ("incomplete %s of nil"):format(self:take(#self.bytes)) or nil
end

-- The end ends the last line, and a line that is too long is lost.
function Model:readline()
  local result = self:readuntil { "\n" }
  if not result then return nil end
  if result:find("^incomplete") then
    local rest <const> = result:match("^incomplete (.*) of nil$")
    return rest == "" and "end" or "got " .. rest
  elseif result:find("^limit") then
    self:take((self.bytes:find("\n", 1, true)) or #self.bytes)
    return "limit"
  end
  return result
end

function Model:at_eof()
  return tostring(self.ended and self.bytes == "")
end

-- ---- the same of a Stream

local function describe_result(ok, value)
  if ok then return value and "got " .. value or "end" end
  if asyncio.is(value, asyncio.IncompleteReadError) then
    return ("incomplete %s of %s"):format(value.partial, value.expected)
  elseif asyncio.is(value, asyncio.LimitOverrunError) then
    return "limit " .. value.consumed
  end
  return tostring(value)
end

local METHODS <const> = {
  read = function(r, n) return describe_result(pcall(r.read, r, n)) end,
  all = function(r) return describe_result(pcall(r.read, r)) end,
  readexactly = function(r, n) return describe_result(pcall(r.readexactly, r, n)) end,
  readuntil = function(r, separators)
    local what <const> = separators[2] and separators or separators[1]
    return describe_result(pcall(r.readuntil, r, what))
  end,
  readline = function(r)
    local ok, value
    if math.random(2) == 1 then
      ok, value = pcall(r.readline, r)
    else
      ok, value = pcall(r:lines("L"))
    end
    return (describe_result(ok, value):gsub("^limit %d+$", "limit"))
  end,
  at_eof = function(r) return tostring(r:at_eof()) end,
}

-- ---- programs

local function pick(list) return list[math.random(#list)] end

local function draw_text(most)
  local letters <const> = {}
  for i = 1, math.random(0, most) do letters[i] = pick { "a", "b", "\n", "X", "Y" } end
  return table.concat(letters)
end

local function draw_method()
  local name <const> = pick { "read", "read", "all", "readexactly", "readuntil", "readuntil",
    "readline", "readline", "at_eof" }
  if name == "read" then return name, pick { 0, 1, 2, 5, 100 } end
  if name == "readexactly" then return name, pick { 0, 1, 3, 7, 30 } end
  if name == "readuntil" then
    return name, pick { { "\n" }, { "X" }, { "XY" }, { "ab" }, { "aXb" }, { "X", "Y" },
      { "ab", "b" }, { "\n", "XY", "Y" } }
  end
  return name
end

-- Long enough for what was sent to come, and for a task to go on.
local function settle()
  for _ = 1, 6 do asyncio.sleep(0) end
end

-- One program; the first difference is an error. There is always at most one method that waits.
local function compare(seed)
  math.randomseed(seed)
  local limit <const> = pick { 4, 8, 16, 64 }
  local reader <const>, writer <const> = asyncio.testing.stream_pair { limit = limit }
  local model <const> = setmetatable({ bytes = "", limit = limit, ended = false }, Model)
  local trace <const> = {}
  local task, name, argument

  local function check()
    settle()
    if not task then return end
    local expected <const> = model[name](model, argument)
    trace[#trace + 1] = ("%s -> %s"):format(name, expected)
    assert.equal(expected ~= nil, task:done(), seed .. ": " .. table.concat(trace, ", "))
    if not expected then return end
    assert.equal(expected, task:result(), seed .. ": " .. table.concat(trace, ", "))
    task = nil
  end

  local function call(method, n)
    if task then return end
    name, argument = method, n
    task = asyncio.create_task(METHODS[name], reader, argument)
    check()
  end

  for _ = 1, math.random(3, 25) do
    if math.random(2) == 1 then
      -- never so much that reading would pause: what comes then depends on the carrier
      local text <const> = draw_text(math.min(20, 2 * limit - #model.bytes))
      trace[#trace + 1] = "feed " .. text
      writer:write(text)
      model.bytes = model.bytes .. text
      check()
    else
      call(draw_method())
    end
  end
  writer:write_eof()
  model.ended = true
  trace[#trace + 1] = "end"
  check()
  for _ = 1, 3 do call(draw_method()) end
  call("all")
  call("at_eof")
  assert.equal("", model.bytes)
  reader:close()
  writer:close()
end

describe("random programs read as with asyncio's StreamReader:", function()
  for first = 1, 4 do
    it("series " .. first, function()
      asyncio.run(function()
        for i = 1, helper.scale(250) do compare(first * 100000 + i) end
      end)
    end)
  end
end)
