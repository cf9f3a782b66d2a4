-- SPDX-License-Identifier: MIT
-- How reports call functions and show values, seen through tostring of handles, coroutine objects,
-- tasks and futures.

local asyncio <const> = require "asyncio"
local virtual <const> = require "spec.virtual"

local inside <const>, future <const> = virtual.inside, virtual.future
local here <const> = debug.getinfo(1, "S").short_src

-- What a report calls the function: name and place. It comes in a table, lest it be called after a
-- variable in here.
local function shown(box)
  local loop <const> = asyncio.get_running_loop()
  local handle <const> = loop:call_soon(box[1])
  local text <const> = tostring(handle)
  handle:cancel()
  return text:match("^<Handle (.+)>$")
end

local function place(f)
  return ("%s:%d"):format(here, debug.getinfo(f, "S").linedefined)
end

local function in_upvalue() end

describe("the name of a function", function()
  it("is that of a local variable that can be seen", inside(function()
    local function visible() end
    assert.equal(("visible() at %s"):format(place(visible)), shown { visible })
    local function parameter(callback) return (shown { callback }) end
    assert.equal(("callback() at %s"):format(place(visible)), (parameter(visible)))
  end))

  it("is that of an upvalue of a running function", inside(function()
    assert.equal(("in_upvalue() at %s"):format(place(in_upvalue)), shown { in_upvalue })
  end))

  it("of a function that calls itself is its own upvalue", inside(function()
    local made
    do
      local function recursive(n) return n and recursive(n - 1) end
      made = { recursive }
    end
    assert.equal(("recursive() at %s"):format(place(made[1])), shown(made))
  end))

  it("is its global name, or the one in a loaded module", inside(function()
    assert.equal("print() at [C]", shown { print })
    assert.equal("string.format() at [C]", shown { string.format })
    assert.equal("asyncio.sleep() at [C]", shown { asyncio.sleep })
    package.loaded["my.module"] = { run = function() end }
    finally(function() package.loaded["my.module"] = nil end)
    assert.matches("^my%.module%.run%(%) at ", shown { package.loaded["my.module"].run })
    rawset(_G, "global_for_names", function() end)
    assert.matches("^global_for_names%(%) at ", shown { rawget(_G, "global_for_names") })
    rawset(_G, "global_for_names", nil)
  end))

  it("is 'function' where none is found", inside(function()
    assert.matches("^function%(%) at ", shown { function() end })
    assert.matches("^function%(%) at ", shown { load("return") })
  end))

  it("of what asyncio.async made is the inner one's", inside(function()
    local execute <const> = asyncio.async(function() end)
    assert.matches("^<coroutine object execute at ", tostring(execute()))
    local t <const> = asyncio.create_task(execute())
    assert.matches("coro=<execute() running at", tostring(t), 1, true)
    t:await()
    assert.matches("coro=<execute() done, defined at", tostring(t), 1, true)
  end))

  it("of a chunk is its source", inside(function()
    local chunk <const> = load("return function() end", "=chunk name")()
    assert.matches(" at chunk name:1$", shown { chunk })
    local text <const> = load("return function() end", "return function() end")()
    assert.matches(' at %[string "return function%(%) end"%]:1$', shown { text })
  end))

  it("survives strange modules", inside(function()
    local trap <const> = setmetatable({}, {
      __index = function() error("__index") end,
      __pairs = function() error("__pairs") end,
      __len = function() error("__len") end,
    })
    package.loaded["strange one"] = trap
    package.loaded["strange two"] = { [1] = print, [trap] = print, [2.5] = in_upvalue }
    package.loaded[1] = { print = in_upvalue }
    package.loaded[true] = 5
    finally(function()
      for _, key in ipairs { "strange one", "strange two", 1, true } do
        package.loaded[key] = nil
      end
    end)
    assert.equal(("in_upvalue() at %s"):format(place(in_upvalue)), shown { in_upvalue })
  end))

  it("of an object that can be called has no place", inside(function()
    assert.matches("^[%w_]+%(%)$", shown { setmetatable({}, { __call = print }) })
  end))
end)

describe("a value in a report", function()
  it("is a text in quotes, or what tostring gives", inside(function()
    local object <const> = setmetatable({}, { __tostring = function() return "an object" end })
    for text, value in pairs {
      ["'s'"] = "s", ["''"] = "", ["5"] = 5, ["5.0"] = 5.0, ["true"] = true, ["an object"] = object,
      ["'it's'"] = "it's", ["TimeoutError: x"] = asyncio.TimeoutError("x"),
    } do
      local f <const> = future()
      f:set_result(value)
      assert.equal(("<Future finished result=%s>"):format(text), tostring(f))
    end
    local f <const> = future()
    f:set_result({})
    assert.matches("^<Future finished result=table: 0x%x+>$", tostring(f))
  end))

  it("may be long", inside(function()
    local f <const> = future()
    f:set_result(("x"):rep(100000))
    assert.equal(100000 + #"<Future finished result=''>", #tostring(f))
  end))

  it("may change things while it is shown", inside(function()
    local f <const> = future()
    local g <const> = future()
    f:set_result(setmetatable({}, { __tostring = function()
      g:cancel()
      collectgarbage()
      return tostring(g)
    end }))
    assert.equal("<Future finished result=<Future cancelled>>", tostring(f))
  end))
end)
