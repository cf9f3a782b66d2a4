-- SPDX-License-Identifier: MIT
-- The @usage examples of the documentation, as tests (spec/usage_spec.lua runs them). An example
-- sees `asyncio` and, because it runs in a task, `loop`, the running loop. One whose first line is
-- "-- top level" runs outside any loop, as a script's main chunk does.

local parser <const> = require "tools.ldoc_parser"

local examples = {}

-- {{name=, code=, chunk=, top_level=}} of the tree at `root`.
function examples.list(root)
  local list = {}
  for _, entry in ipairs(parser.tree(root)) do
    for i, code in ipairs(entry.usages) do
      local suffix = #entry.usages > 1 and " (" .. i .. ")" or ""
      list[#list + 1] = {
        name = (entry.names[1] or entry.definition or "?") .. suffix,
        code = code,
        chunk = ("=%s:%d @usage"):format(entry.file, entry.line),
        top_level = code:find("^%-%-%s*top level") ~= nil,
      }
    end
  end
  return list
end

-- Runs one; raises what it raises.
function examples.run(example, asyncio)
  local code = "local asyncio, loop = ...; " .. example.code
  local f = assert(load(code, example.chunk, "t"))
  if example.top_level then return f(asyncio) end
  return asyncio.run(function() return f(asyncio, asyncio.get_running_loop()) end)
end

return examples
