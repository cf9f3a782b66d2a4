-- SPDX-License-Identifier: MIT
-- Coroutine objects, what else can be awaited, generators, patch.

return {
  {
    name = "a coroutine object",
    covers = { "async", "Coroutine:close", "await" },
    run = function(asyncio)
      local double = asyncio.async(function(x)
        asyncio.sleep(0)
        return 2 * x
      end)
      assert(asyncio.await(double(4)) == 8)
      double(1):close()
    end,
  },
  {
    name = "a thread, a function, an object with __await",
    covers = { "ensure_future" },
    run = function(asyncio)
      assert(asyncio.await(coroutine.create(function() return 1 end)) == 1)
      assert(asyncio.await(function() return 2 end) == 2)
      local object = setmetatable({}, { __await = function()
        asyncio.sleep(0)
        return 3
      end })
      assert(asyncio.await(object) == 3)
      assert(asyncio.await(asyncio.ensure_future(object)) == 3)
    end,
  },
  {
    name = "wrap: a generator that waits",
    covers = { "wrap" },
    run = function(asyncio)
      local sum = 0
      for i in asyncio.wrap(function()
        for i = 1, 3 do
          asyncio.sleep(0)
          coroutine.yield(i)
        end
      end) do sum = sum + i end
      assert(sum == 6)
    end,
  },
  {
    name = "wrap: left early",
    covers = {},
    setup = function() return { closed = 0, begun = 0 } end,
    run = function(asyncio, _, t)
      for i in asyncio.wrap(function()
        t.begun = t.begun + 1
        local _ <close> = setmetatable({}, { __close = function() t.closed = t.closed + 1 end })
        for i = 1, 3 do coroutine.yield(i) end
      end) do
        if i == 2 then break end
      end
      assert(t.closed == 1)
    end,
    check = function(_, _, t) assert(t.closed <= t.begun) end,
  },
  {
    name = "patch: waits pass through a coroutine",
    covers = { "patch" },
    -- `undo` is there from the start: a new field would need memory after the patch is in place.
    setup = function() return { global = coroutine.resume, undo = false } end,
    run = function(asyncio, _, t)
      t.undo = asyncio.patch()
      local co = coroutine.create(function(a)
        asyncio.sleep(0)
        local b = coroutine.yield(a + 1)
        asyncio.sleep(0)
        return b + 1
      end)
      local _, one = assert(coroutine.resume(co, 1))
      local _, two = assert(coroutine.resume(co, 10))
      assert(one == 2 and two == 11)
      t.undo()
      t.undo = false
    end,
    check = function(asyncio, _, t)
      if t.undo then t.undo() end
      -- a patch that failed half-way must be complete or not there at all
      asyncio.patch()()
      assert(coroutine.resume == t.global, "the global library is not as it was")
    end,
  },
  {
    name = "patch: of a library that lacks a function",
    covers = {},
    setup = function()
      local whole = coroutine
      local lib = { resume = whole.resume, status = whole.status, close = whole.close }
      _G.coroutine = lib
      return { whole = whole, lib = lib, undo = false }
    end,
    run = function(asyncio, _, t)
      t.undo = asyncio.patch()
      t.undo()
      t.undo = false
    end,
    check = function(_, _, t)
      _G.coroutine = t.whole
      for name, f in pairs(t.lib) do
        assert(f == t.whole[name], "patch or its undo stopped half-way")
      end
      assert(t.lib.wrap == nil)
    end,
  },
  {
    name = "pcall and xpcall",
    covers = { "pcall", "xpcall" },
    run = function(asyncio)
      local ok, err = asyncio.pcall(function()
        asyncio.sleep(0)
        error("mine", 0)
      end)
      assert(not ok)
      if err ~= "mine" then error(err, 0) end
      local good, handled = asyncio.xpcall(function() error("mine", 0) end, function(e)
        return e == "mine" and { "handled" } or e
      end)
      assert(not good)
      if type(handled) ~= "table" then error(handled, 0) end
      assert(handled[1] == "handled")
    end,
  },
}
