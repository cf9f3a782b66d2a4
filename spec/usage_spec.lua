-- SPDX-License-Identifier: MIT
-- Every example in the documentation runs (@usage, see tools/check_examples.lua).

local asyncio <const> = require "asyncio"
local examples <const> = require "tools.check_examples"

describe("the example of", function()
  local list = examples.list(".")

  it("any function is found", function() assert.is_true(#list > 0) end)

  for _, example in ipairs(list) do
    it(example.name, function() examples.run(example, asyncio) end)
  end
end)
