-- SPDX-License-Identifier: MIT
-- ContextVar: values that belong to a task and are inherited. On the virtual clock.

local asyncio <const> = require "asyncio"
local helper <const> = require "spec.helper"
local virtual <const> = require "spec.virtual"

local inside <const>, future <const>, turns <const> =
  virtual.inside, virtual.future, virtual.turns
local refuses <const> = virtual.refuses
local sleep <const>, create_task <const> = asyncio.sleep, asyncio.create_task
local ContextVar <const> = asyncio.ContextVar

local function collect()
  collectgarbage()
  collectgarbage()
end

describe("a ContextVar", function()
  it("needs a name", function()
    refuses("bad argument #1 to 'ContextVar' (string expected, got no value)",
      function() ContextVar() end)
    refuses("bad argument #1 to 'ContextVar' (string expected, got table)",
      function() ContextVar({}) end)
    assert.equal("<ContextVar name='user'>", tostring(ContextVar("user")))
    assert.equal("<ContextVar name='user'>", tostring(ContextVar("user", 123)))
  end)

  it("without a value and without a default raises", inside(function()
    local var <const> = ContextVar("var")
    refuses("context variable 'var' has no value", var.get, var)
    refuses("context variable 'var' has no value", var.get, var, nil)
    assert.equal("given", var:get("given"))
    assert.is_false(var:get(false))
  end))

  it("has a default, and a default for one call comes before it", inside(function()
    local var <const> = ContextVar("var", 123)
    assert.equal(123, var:get())
    assert.equal("given", var:get("given"))
    assert.is_false(ContextVar("var", false):get())
    local list <const> = {}
    assert.equal(list, ContextVar("var", list):get())
  end))

  it("gives what was set, until that is reset", inside(function()
    local var <const> = ContextVar("var")
    local first <const> = var:set(42)
    assert.is_userdata(first)
    assert.equal(42, var:get())
    assert.equal(42, var:get("not needed"))
    local second <const> = var:set("spam")
    assert.equal("spam", var:get())
    assert.equal(0, select("#", var:reset(second)))
    assert.equal(42, var:get())
    var:set("spam2")
    refuses("token has been used already", var.reset, var, second)
    assert.equal("spam2", var:get())
    var:reset(first)
    refuses("token has been used already", var.reset, var, first)
    refuses("has no value", var.get, var)
  end))

  it("keeps false", inside(function()
    local var <const> = ContextVar("var", "default")
    local token <const> = var:set(false)
    assert.is_false(var:get())
    local again <const> = var:set(true)
    var:reset(again)
    assert.is_false(var:get())
    var:reset(token)
    assert.equal("default", var:get())
  end))

  it("does not take nil, a foreign token, or another self", inside(function()
    local a <const>, b <const> = ContextVar("a"), ContextVar("b")
    refuses("bad argument #1 to 'set' (value expected)", function() a:set(nil) end)
    refuses("bad argument #1 to 'set' (value expected)", function() a:set() end)
    local token <const> = a:set(1)
    refuses("token was made by a different variable", b.reset, b, token)
    a:reset(token)
    refuses("bad argument #1 to 'reset' (asyncio.Token expected, got number)",
      function() a:reset(1) end)
    refuses("calling 'get' on bad self (asyncio.ContextVar expected, got table)",
      function()
        local object <const> = { get = a.get }
        object:get()
      end)
  end))

  it("does not take a token of another task, callback, or of the main chunk", function()
    local var <const> = ContextVar("var", 0)
    local outside <const> = var:set(1)
    virtual.run(function()
      local loop <const> = asyncio.get_running_loop()
      local foreign <const> = "token was made in a different context"
      refuses(foreign, var.reset, var, outside)
      local mine <const> = var:set(2)
      create_task(function()
        refuses(foreign, var.reset, var, mine)
        assert.equal(2, var:get())
      end):await()
      local f <const> = loop:create_future()
      loop:call_soon(function()
        local _, err = pcall(var.reset, var, mine)
        local own <const> = var:set(3)
        var:reset(own)
        f:set_result(err, var:set(4))
      end)
      local err <const>, of_callback <const> = f:await()
      assert.matches(foreign, err)
      refuses(foreign, var.reset, var, of_callback)
      asyncio.wrap(function() var:reset(mine) end)()
      assert.equal(1, var:get())
    end)
    var:reset(outside)
    assert.equal(0, var:get())
  end)

  it("is itself, whatever its name", inside(function()
    local a <const>, b <const> = ContextVar("same"), ContextVar("same")
    a:set(1)
    assert.equal("none", b:get("none"))
  end))

  it("works without any loop", function()
    local var <const> = ContextVar("var", "default")
    local token <const> = var:set("outside")
    assert.equal("outside", var:get())
    virtual.run(function()
      assert.equal("outside", var:get())
      var:set("inside")
      assert.equal("inside", var:get())
    end)
    assert.equal("outside", var:get())
    var:reset(token)
    assert.equal("default", var:get())
  end)
end)

describe("a task", function()
  it("starts with a copy of its creator's context", inside(function()
    local var <const> = ContextVar("var", "nope")
    local child <const> = create_task(function()
      sleep(0.01)
      assert.equal("nope", var:get())
      var:set("something else")
      return var:get()
    end)
    var:set("yes")
    assert.equal("something else", child:await())
    assert.equal("yes", var:get())
  end))

  it("keeps its own values across waits", inside(function()
    local var <const> = ContextVar("var", -1)
    local list <const> = {}
    for i = 1, helper.scale(100, 5) do
      list[i] = create_task(function()
        for k = 1, 10 do
          var:set(i + k)
          sleep(i * 37 % 11 / 100)
          assert.equal(i + k, var:get())
        end
      end)
    end
    asyncio.gather(list)
    assert.equal(-1, var:get())
  end))

  it("passes it on to its own children", inside(function()
    local var <const> = ContextVar("var")
    local function descend(n)
      if n == 0 then return var:get() end
      var:set(n)
      local r <const> = create_task(descend, n - 1):await()
      assert.equal(n, var:get())
      return r
    end
    assert.equal(1, descend(5))
  end))

  it("made by gather, wait, TaskGroup and an eager factory does, too", inside(function(loop)
    local var <const> = ContextVar("var")
    var:set("parent")
    local function child()
      local before <const> = var:get()
      var:set("child")
      return before
    end
    assert.same({ "parent", "parent", n = 2 }, asyncio.gather(child, child))
    assert.equal("parent", asyncio.wait({ child })[1]:result())
    asyncio.TaskGroup(function(tg)
      assert.equal("parent", tg:create_task(child):await())
    end)
    loop:set_task_factory(asyncio.eager_task_factory)
    assert.equal("parent", create_task(child):result())
    loop:set_task_factory(nil)
    assert.equal("parent", var:get())
  end))

  it("shares its context with what it awaits inline", inside(function()
    local var <const> = ContextVar("var")
    local function set(value)
      return function() var:set(value) end
    end
    asyncio.await(set(1))
    assert.equal(1, var:get())
    asyncio.await(asyncio.async(set(2))())
    assert.equal(2, var:get())
    asyncio.await(coroutine.create(set(3)))
    assert.equal(3, var:get())
    asyncio.wait_for(set(4), 1)
    assert.equal(4, var:get())
  end))

  it("shares it with its coroutines and generators", inside(function()
    local var <const> = ContextVar("var")
    coroutine.wrap(function() var:set("coroutine") end)()
    assert.equal("coroutine", var:get())
    for i in asyncio.wrap(function()
      for i = 1, 3 do
        var:set(i)
        sleep(1)
        coroutine.yield(i)
        assert.equal("set by the body", var:get())
      end
    end) do
      assert.equal(i, var:get())
      var:set("set by the body")
    end
  end))

  it("shows it to its __close handlers", inside(function()
    local var <const> = ContextVar("var")
    local seen
    local t <const> = create_task(function()
      var:set("task")
      local _ <close> = setmetatable({}, { __close = function()
        sleep(1)
        seen = var:get()
        var:set("closed")
      end })
      sleep(10)
    end)
    turns()
    t:cancel()
    pcall(t.await, t)
    assert.equal("task", seen)
    assert.equal("none", var:get("none"))
  end))

  it("lets go of its values when it is done", inside(function()
    local weak <const> = setmetatable({}, { __mode = "v" })
    local var <const> = ContextVar("var")
    local t <const> = create_task(function()
      weak[1] = { "value" }
      var:set(weak[1])
      sleep(0)
    end)
    t:await()
    collect()
    assert.is_nil(weak[1])
    t:get_name()
  end))
end)

describe("a callback", function()
  it("runs in the context in which it was queued", inside(function(loop)
    local var <const> = ContextVar("var", "none")
    local seen <const> = {}
    local function note() seen[#seen + 1] = var:get() end
    var:set("soon")
    loop:call_soon(note)
    var:set("later")
    loop:call_later(0, note)
    var:set("done")
    local f <const> = future()
    f:add_done_callback(note)
    var:set("now")
    f:set_result()
    turns(3)
    assert.same({ "soon", "done", "later" }, seen)
  end))

  it("has a copy: what it sets, nobody else sees", inside(function(loop)
    local var <const> = ContextVar("var", "nope")
    local function pollute()
      var:set("polluted")
      assert.equal("polluted", var:get())
    end
    for i = 1, 2 do
      local f <const> = future()
      f:add_done_callback(pollute)
      var:set(i)
      loop:call_soon(pollute)
      loop:call_soon(f.set_result, f)
      f:await()
      assert.equal(i, var:get())
      sleep(0.001)
      assert.equal(i, var:get())
    end
  end))

  it("passes its own on to tasks and callbacks that it starts", inside(function(loop)
    local var <const> = ContextVar("var", "none")
    local seen <const> = {}
    loop:call_soon(function()
      var:set("callback")
      create_task(function() seen[#seen + 1] = var:get() end)
      loop:call_soon(function() seen[#seen + 1] = var:get() end)
      var:set("changed")
    end)
    turns(3)
    assert.same({ "callback", "callback" }, seen)
    assert.equal("none", var:get())
  end))

  it("after an eager task has run in it, has its own again", inside(function(loop)
    local var <const> = ContextVar("var")
    local seen
    loop:set_task_factory(asyncio.eager_task_factory)
    loop:call_soon(function()
      var:set("callback")
      create_task(function()
        assert.equal("callback", var:get())
        var:set("task")
        sleep(0)
      end)
      seen = var:get()
    end)
    turns(2)
    loop:set_task_factory(nil)
    assert.equal("callback", seen)
  end))
end)

describe("many variables", function()
  it("do not disturb each other", inside(function()
    local n <const> = helper.scale(300, 10)
    local vars <const>, tokens <const> = {}, {}
    for i = 1, n do vars[i] = ContextVar("var" .. i) end
    for i = 1, n do tokens[i] = vars[i]:set(i) end
    create_task(function()
      for i = 1, n do
        assert.equal(i, vars[i]:get())
        vars[i]:set(-i)
      end
    end):await()
    for i = 1, n, 2 do vars[i]:reset(tokens[i]) end
    for i = 1, n do assert.equal(i % 2 == 0 and i or "none", vars[i]:get("none")) end
  end))

  it("set in a finalizer are harmless", inside(function()
    local a <const>, b <const> = ContextVar("a"), ContextVar("b")
    for i = 1, helper.scale(100, 3) do
      setmetatable({}, { __gc = function() b:set(i) end })
      a:set({ i })
      assert.equal(i, a:get()[1])
    end
    collect()
    assert.is_number(b:get())
  end))
end)
