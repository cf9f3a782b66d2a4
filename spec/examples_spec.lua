-- The examples: each runs in a process of its own and prints what its last comment says (see
-- spec/seeds/harness.lua).
local root <const> = debug.getinfo(1, "S").source:match("^@(.-)spec/[^/]*$") or ""
local harness <const> = dofile(root .. "spec/seeds/harness.lua")

describe("examples", function()
  local dir <const> = root .. "examples/"

  harness.define(it, dir, "%.lua$")

  -- The client starts a server of its own when it is run alone; here it talks to the other two.
  for _, server in ipairs({"11-echo-server-sockets.lua", "12-echo-server-streams.lua"}) do
    it(server .. " with 13-echo-client.lua", function()
      local expected = harness.expectation(dir, "13-echo-client.lua")
      expected.server = server
      harness.check(expected, harness.run({expected})[expected.name])
    end)
  end
end)
