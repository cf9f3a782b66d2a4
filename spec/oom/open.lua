-- SPDX-License-Identifier: MIT
-- Opening the library, and a first loop, in a state of their own.

return {
  { name = "require", covers = {}, source = [[require "asyncio"]] },
  {
    name = "require, again after a failure",
    covers = {},
    source = [[
      local ok, err = pcall(require, "asyncio")
      local asyncio = ok and err or require "asyncio"
      local result = asyncio.run(function() asyncio.sleep(0) return 42 end)
      assert(result == 42)
    ]],
  },
}
