-- The documents' programs: each twin in this directory is run and compared (see harness.lua), and
-- INDEX.md names each of them.
local here <const> = debug.getinfo(1, "S").source:match("^@(.*/)") or "./"
local harness <const> = dofile(here .. "harness.lua")

local TWIN <const> = "^%d%d%d_%d%d_[%w_]+%.lua$"

describe("seeds", function()
  harness.define(it, here, TWIN)

  it("has an index that names each twin, and no other", function()
    local index = harness.read(here .. "INDEX.md")
    local exists, named = {}, {}
    for _, name in ipairs(harness.scripts(here, TWIN)) do
      exists[name] = true
    end
    for name in index:gmatch("%d%d%d_%d%d_[%w_]+%.lua") do
      named[name] = true
      assert(exists[name], "INDEX.md names a twin that is not there: " .. name)
    end
    for name in pairs(exists) do
      assert(named[name], "INDEX.md does not name " .. name)
    end
  end)

  it("has a server that a client uses", function()
    local used = {}
    for _, name in ipairs(harness.scripts(here, TWIN)) do
      local server = harness.expectation(here, name).server
      if server then
        used[server] = true
      end
    end
    for _, name in ipairs(harness.scripts(here, TWIN)) do
      if harness.expectation(here, name).is_server then
        assert(used[name], "no client runs " .. name)
      end
    end
  end)
end)
