-- SPDX-License-Identifier: MIT
-- Runs under busted and under spec/minibusted.lua (make test F=minibusted; SPEC_RUNNER=mini): what
-- passes and fails in one must pass and fail in the other.

local named <const> = setmetatable({}, { __tostring = function() return "named value" end })
local function raiser(e) return function() error(e, 0) end end
local function quiet() end

local HOLD <const> = {
  { "equal", 1, 1.0 },
  { "equals", "a", "a" },
  { "are.equal", nil, nil },
  { "are_equal", named, named },
  { "not_equal", {}, {} },
  { "are.not_equal", 1, 2 },
  { "same", { 1, { a = 2 } }, { 1, { a = 2 } } },
  { "are.same", 3, 3 },
  { "not_same", { 1 }, { 1, 2 } },
  { "is_not.same", { a = 1 }, { a = 2 } },
  { "is_true", true },
  { "is_false", false },
  { "is_not_true", 1 },
  { "is_nil", nil },
  { "is_not_nil", false },
  { "is.truthy", 0 },
  { "is_truthy", "" },
  { "is_falsy", false },
  { "falsy", nil },
  { "is_table", {} },
  { "is_string", "s" },
  { "is_number", 2.5 },
  { "is_function", quiet },
  { "is_boolean", false },
  { "is_thread", coroutine.create(quiet) },
  { "is_userdata", io.stdout },
  { "is_not_string", 1 },
  { "near", 1, 1.05, 0.1 },
  { "is_near", 10, 9, 1 },
  { "is_not_near", 1, 2, 0.5 },
  { "matches", "b.d", "abcd" },
  { "matches", ".", "a.b", 1, true },
  { "matches", "named", named },
  { "not_matches", "x", "abc" },
  { "is_not.match", "^b", "abc" },
  { "unique", { 1, 2, 3 } },
  { "is_not_unique", { 1, 2, 1 } },
  { "has_error", raiser("x") },
  { "has_error", raiser("x"), "x" },
  { "has_error", function() error("with a place") end, "with a place" },
  { "has.errors", raiser({ 1 }), { 1 } },
  { "error", raiser(named), "named value" },
  { "has_no_error", quiet },
  { "has_no.errors", quiet },
  { "no_error", quiet },
  { "error_matches", raiser("some text"), "me te" },
  { "matches_error", raiser(named), "^named" },
  { "error_matches", raiser("a.b"), ".b", 1, true },
  { "has_error_match", raiser("abc"), "b" },
}

local FAIL <const> = {
  { "equal", 1, 2 },
  { "equal", {}, {} },
  { "equal", 1, "1" },
  { "not_equal", 1, 1 },
  { "same", { 1 }, { 2 } },
  { "same", { 1 }, { 1, 2 } },
  { "same", { a = { b = 1 } }, { a = { b = 2 } } },
  { "not_same", { 1 }, { 1 } },
  { "is_true", 1 },
  { "is_false", nil },
  { "is_nil", false },
  { "is_not_nil", nil },
  { "is_truthy", nil },
  { "is_falsy", 0 },
  { "is_table", "s" },
  { "near", 1, 1.2, 0.1 },
  { "matches", "x", "abc" },
  { "matches", "a.c", "abc", 1, true },
  { "unique", { 1, 1 } },
  { "has_error", quiet },
  { "has_error", raiser("x"), "y" },
  { "has_error", raiser({ 1 }), { 2 } },
  { "has_error", raiser({ 1 }), "text" },
  { "has_no_error", raiser("x") },
  { "error_matches", quiet, "x" },
  { "error_matches", raiser("abc"), "x" },
  { "error_matches", raiser({}), "x" },
  { "no_such_assertion", 1 },
  { "equal", 1 },
  { "near", 1, 2 },
}

local function call(case)
  local f = assert
  for part in case[1]:gmatch("[^.]+") do f = f[part] end
  local n = #case
  if case[1] == "are.equal" and n == 1 then n = 3 end
  if case[1]:find("nil") or case[1]:find("fals") then n = 2 end
  return f(table.unpack(case, 2, n))
end

describe("an assertion", function()
  for i, case in ipairs(HOLD) do
    it(("holds (%d: %s)"):format(i, case[1]), function() call(case) end)
  end

  for i, case in ipairs(FAIL) do
    it(("fails (%d: %s)"):format(i, case[1]), function()
      local ok = pcall(call, case)
      assert(not ok, case[1] .. " should have failed")
    end)
  end

  it("returns what it was given, or what it caught", function()
    assert.equal("v", (assert("v", "message")))
    assert.equal("caught", (assert.has_error(raiser("caught"))))
    assert.equal("ell", (assert.matches("(ell)", "hello")))
  end)

  it("puts the message in front", function()
    local _, err = pcall(function() assert.equal(1, 2, "my words") end)
    assert.matches("my words", tostring(err))
    _, err = pcall(function() assert.message("other words").is_true(false) end)
    assert.matches("other words", tostring(err))
    _, err = pcall(function() assert(false, "plain words") end)
    assert.matches("plain words", tostring(err))
  end)

  it("sees equality of contents where it has to", function()
    local ring, other = {}, {}
    ring.self, other.self = ring, other
    assert.same(ring, other)
    local mt = { __eq = function() return true end }
    assert.same({ setmetatable({ 1 }, mt) }, { setmetatable({ 2 }, mt) })
    assert.not_same(setmetatable({ 1 }, mt), setmetatable({ 2 }, mt))
  end)
end)

local log = {}

describe("blocks", function()
  setup(function() log[#log + 1] = "setup" end)
  teardown(function() log[#log + 1] = "teardown" end)
  before_each(function() log[#log + 1] = "before" end)
  after_each(function() log[#log + 1] = "after" end)

  it("runs its hooks", function() log[#log + 1] = "first" end)

  describe("inside", function()
    before_each(function() log[#log + 1] = "inner before" end)
    after_each(function() log[#log + 1] = "inner after" end)

    it("runs them from outside in and back", function()
      finally(function() log[#log + 1] = "finally" end)
      log[#log + 1] = "second"
    end)
  end)
end)

insulate("an insulated block", function()
  it("may load and set what it likes", function()
    package.loaded["spec.no_such_module"] = true
    rawset(_G, "minibusted_leak", true)
  end)
end)

describe("afterwards", function()
  it("the order was right", function()
    assert.same({
      "setup", "before", "first", "after", "before", "inner before", "second", "finally",
      "inner after", "after", "teardown",
    }, log)
  end)

  it("nothing has leaked out of the insulated block", function()
    assert.is_nil(package.loaded["spec.no_such_module"])
    assert.is_nil(rawget(_G, "minibusted_leak"))
  end)
end)
