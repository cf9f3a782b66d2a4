-- SPDX-License-Identifier: MIT
-- The combinators.

return {
  {
    name = "gather functions",
    covers = { "gather" },
    run = function(asyncio)
      local function double(x)
        return function()
          asyncio.sleep(0)
          return 2 * x
        end
      end
      local list = asyncio.gather(double(1), double(2), double(3))
      assert(list.n == 3 and list[1] == 2 and list[2] == 4 and list[3] == 6)
    end,
  },
}
