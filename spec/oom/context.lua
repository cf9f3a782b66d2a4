-- SPDX-License-Identifier: MIT
-- Context variables.

return {
  {
    name = "a variable is made, set, read and reset",
    covers = { "ContextVar", "ContextVar:set", "ContextVar:get", "ContextVar:reset" },
    run = function(asyncio)
      local var = asyncio.ContextVar("name", "default")
      local token = var:set("new")
      assert(var:get() == "new")
      var:reset(token)
      assert(var:get() == "default")
    end,
  },
  {
    name = "a task has its own copy",
    covers = {},
    setup = function(asyncio)
      local var = asyncio.ContextVar("name")
      var:set("outer")
      return var
    end,
    run = function(asyncio, _, var)
      local task = asyncio.create_task(function()
        var:set("inner")
        return var:get()
      end)
      assert(asyncio.await(task) == "inner")
      assert(var:get() == "outer")
    end,
    check = function(_, _, var)
      -- a task of its own, started outside of the one that set it
      assert(var:get("none") == "none")
    end,
  },
}
