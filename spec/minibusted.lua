-- SPDX-License-Identifier: MIT
-- The part of busted and luassert that the specs use, under the same names and with the same
-- meaning, for interpreters that cannot load busted and for runs in which every instruction counts
-- (gc, valgrind). spec/minibusted_spec.lua runs under both and so compares them.
--
-- Not here: spies, stubs, mocks, matchers, tags, shuffling.

local M = {}

-- ---- values as text, and equality by content

local function show_key(key)
  if type(key) == "string" and key:match("^[%a_][%w_]*$") then return key end
  return "[" .. tostring(key) .. "]"
end

local function show(value, depth)
  if type(value) == "string" then return ("%q"):format(value) end
  local mt = debug.getmetatable(value)
  if type(value) ~= "table" or mt and mt.__tostring then return tostring(value) end
  if depth == 0 then return "{...}" end
  local parts = {}
  for k, v in next, value do parts[#parts + 1] = show_key(k) .. " = " .. show(v, depth - 1) end
  table.sort(parts)
  return "{ " .. table.concat(parts, ", ") .. " }"
end

local function display(value)
  return ("(%s) %s"):format(type(value), show(value, 3))
end

-- As luassert's `same`: two tables with the same contents, __eq left aside at the top and used
-- below.
local function same(a, b, seen, is_top)
  if type(a) ~= "table" or type(b) ~= "table" then return a == b end
  local mt <const> = debug.getmetatable(a)
  if not is_top and mt and mt == debug.getmetatable(b) and mt.__eq then return a == b end
  if rawequal(a, b) then return true end
  if seen[a] and seen[a][b] then return true end
  seen[a] = seen[a] or {}
  seen[a][b] = true
  for k, v in next, a do
    if b[k] == nil or not same(v, b[k], seen, false) then return false end
  end
  for k in next, b do
    if a[k] == nil then return false end
  end
  return true
end

local function deep_equal(a, b)
  return same(a, b, {}, true)
end

-- ---- assert

local Failure = {}
Failure.__index = Failure
function Failure:__tostring() return self.message end

-- A failed assertion is a table, as busted's is: no text can be mistaken for one.
local function fail(message)
  local where = debug.traceback("", 3)
  error(setmetatable({ message = message, where = where }, Failure), 0)
end

local Pending = { __tostring = function(self) return self.message end }

-- Each gets its packed arguments and returns: whether it holds, what it says if not, and (packed)
-- what the call returns instead of its arguments. `at` is the place of the optional message.
local checks = {}

local function check(names, at, f)
  for name in names:gmatch("%S+") do checks[name] = { f = f, at = at, least = at - 1 } end
end

local function compared(ok, what, actual, expected)
  return ok, ("%s\nPassed in:\n%s\nExpected:\n%s"):format(what, display(actual), display(expected))
end

check("equal equals", 3, function(a)
  return compared(a[1] == a[2], "Expected objects to be equal.", a[2], a[1])
end)

check("same", 3, function(a)
  return compared(deep_equal(a[1], a[2]), "Expected objects to be the same.", a[2], a[1])
end)

check("true", 2, function(a)
  return compared(a[1] == true, "Expected true.", a[1], true)
end)

check("false", 2, function(a)
  return compared(a[1] == false, "Expected false.", a[1], false)
end)

check("truthy", 2, function(a)
  return a[1] ~= nil and a[1] ~= false, "Expected to be truthy, but value was:\n" .. display(a[1])
end)

check("falsy", 2, function(a)
  return a[1] == nil or a[1] == false, "Expected to be falsy, but value was:\n" .. display(a[1])
end)

for kind in ("nil boolean number string table function userdata thread"):gmatch("%S+") do
  check(kind, 2, function(a)
    return type(a[1]) == kind, ("Expected type %s, but value was:\n%s"):format(kind, display(a[1]))
  end)
end

check("near", 4, function(a)
  local expected, actual, tolerance = tonumber(a[1]), tonumber(a[2]), tonumber(a[3])
  if not (expected and actual and tolerance) then error("near: three numbers expected", 0) end
  local text = ("Expected values to be near.\nPassed in:\n%s\nExpected:\n%s +/- %s")
  return actual >= expected - tolerance and actual <= expected + tolerance,
    text:format(actual, expected, tolerance)
end)

-- The arguments init and plain, and the message that may stand in their place or after them.
local function match_options(a)
  local init, plain = a[3], a[4]
  if type(init) == "string" and not tonumber(init) then init, plain = nil, nil end
  return init, plain
end

local function search(text, pattern, init, plain)
  if plain then
    local found = text:find(pattern, init or 1, true) ~= nil
    return found, table.pack(found and pattern or nil)
  end
  local captures = table.pack(text:match(pattern, init or 1))
  return captures[1] ~= nil, captures
end

local function as_text(value)
  local mt = debug.getmetatable(value)
  if type(value) == "string" or type(value) == "number" or mt and mt.__tostring then
    return tostring(value)
  end
end

check("matches match", 3, function(a)
  local text = as_text(a[2])
  if type(a[1]) ~= "string" or not text then error("matches: pattern and string expected", 0) end
  local ok, captures = search(text, a[1], match_options(a))
  local message = ("Expected strings to match.\nPassed in:\n%s\nExpected:\n%s"):format(text, a[1])
  return ok, message, captures
end)

check("unique", 2, function(a)
  local deep = a[2] == true or a[3] == true
  for k, v in pairs(a[1]) do
    for k2, v2 in pairs(a[1]) do
      if k ~= k2 and (v == v2 or deep and deep_equal(v, v2)) then
        return false, "Expected object to be unique:\n" .. display(a[1])
      end
    end
  end
  return true, "Expected object to not be unique:\n" .. display(a[1])
end)

-- Lua's "file:line: " in front of a string is not part of what is compared.
local function call_and_catch(f)
  local mt = debug.getmetatable(f)
  if type(f) ~= "function" and not (mt and mt.__call) then error("function expected", 0) end
  local ok, err = pcall(f)
  if type(err) == "string" then err = err:gsub("^.-:%d+: ", "", 1) end
  return ok, err
end

local function error_text(ok, err, expected)
  return ("Expected a different error.\nCaught:\n%s\nExpected:\n%s"):format(
    ok and "(no error)" or display(err), expected == nil and "(error)" or display(expected))
end

check("error errors", 2, function(a)
  local ok, err = call_and_catch(a[1])
  local expected = a[2]
  local text = error_text(ok, err, expected)
  if ok or expected == nil then return not ok, text, table.pack(err) end
  if type(expected) == "string" and as_text(err) and type(err) ~= "number" then
    err = tostring(err)
    return err == expected, text, table.pack(err)
  end
  return deep_equal(expected, err), text, table.pack(err)
end)
for _, name in ipairs { "error", "errors" } do
  checks[name].at = 3
  checks[name].least = 1
end

check("error_matches error_match matches_error match_error", 3, function(a)
  local ok, err = call_and_catch(a[1])
  local text = error_text(ok, err, a[2])
  if ok then return false, text, table.pack(err) end
  local caught = as_text(err) or type(err) == "boolean" and tostring(err)
  if not caught then return false, text, table.pack(err) end
  local found, captures = search(caught, a[2], match_options(a))
  return found, text, found and captures or table.pack(caught)
end)

-- is, are, was, has, does only read well; not and no turn the check round.
local MODIFIERS <const> = { is = 0, are = 0, was = 0, has = 0, does = 0, ["not"] = 1, no = 1 }

local function resolve(words)
  local flipped, rest = false, words
  while not checks[rest] do
    local word, more = rest:match("^(%l+)_(.+)$")
    if not MODIFIERS[word] then error("no assertion is called " .. words, 0) end
    flipped = flipped ~= (MODIFIERS[word] == 1)
    rest = more
  end
  return checks[rest], not flipped
end

local function run_check(words, message, ...)
  local found, expected = resolve(words)
  local args = table.pack(...)
  if args.n < found.least then
    error(("%s: at least %d arguments expected, got %d"):format(words, found.least, args.n), 0)
  end
  local ok, text, returned = found.f(args)
  if (not not ok) ~= expected then
    if not expected then text = "Expected the opposite (" .. words .. ").\n" .. text end
    local note = message
    for i = found.at, args.n do
      if note == nil and type(args[i]) == "string" then note = args[i] end
    end
    fail(note and tostring(note) .. "\n" .. text or text)
  end
  if returned then return table.unpack(returned, 1, returned.n) end
  return ...
end

local Chain = {}
function Chain.__index(self, key)
  local words = rawget(self, "words")
  key = tostring(key):lower()
  return setmetatable(
    { words = words and words .. "_" .. key or key, note = rawget(self, "note") }, Chain)
end
function Chain.__call(self, ...)
  local words = rawget(self, "words")
  if words == "message" then return setmetatable({ note = (...) }, Chain) end
  return run_check(words, rawget(self, "note"), ...)
end

M.assert = setmetatable({}, {
  __index = function(_, key) return Chain.__index({}, key) end,
  __call = function(_, value, message, ...)
    if not value then
      if message ~= nil and type(message) ~= "string" then error(message, 0) end
      fail(message or "assertion failed!")
    end
    return value, message, ...
  end,
})

-- ---- blocks

-- tools/testhost.c, when it runs us: it tortures only while a test runs.
local has_host, host = pcall(require, "testhost")

local function armed(f)
  if has_host then host.arm(true) end
  local ok, err = xpcall(f, function(e)
    if has_host then host.arm(false) end
    if getmetatable(e) == Pending then return e end
    if getmetatable(e) == Failure then return tostring(e) .. e.where end
    return debug.traceback(as_text(e) or display(e), 2)
  end)
  if has_host then host.arm(false) end
  return ok, err
end

local function new_block(name, parent)
  return { name = name, parent = parent, children = {}, setup = {}, teardown = {},
    before_each = {}, after_each = {} }
end

local function full_name(block, name)
  local names = { name }
  while block and block.name do
    table.insert(names, 1, block.name)
    block = block.parent
  end
  return table.concat(names, " ")
end

-- Runs hooks of a kind; returns nil or the first error.
local function run_hooks(list)
  local first
  for _, f in ipairs(list) do
    local ok, err = armed(f)
    if not ok then first = first or tostring(err) end
  end
  return first
end

local function hooks_outside_in(block, kind)
  local list = {}
  while block do
    for i = #block[kind], 1, -1 do table.insert(list, 1, block[kind][i]) end
    block = block.parent
  end
  return list
end

local function hooks_inside_out(block, kind)
  local list = {}
  while block do
    for _, f in ipairs(block[kind]) do list[#list + 1] = f end
    block = block.parent
  end
  return list
end

local Runner = {}
Runner.__index = Runner

function Runner:run_test(block, test)
  local name = full_name(block, test.name)
  local problems = { run_hooks(hooks_outside_in(block, "before_each")) }
  local reason
  if #problems == 0 then
    local finally
    self.env.finally = function(f) finally = f end
    local ok, err = armed(test.body)
    if not ok and getmetatable(err) == Pending then
      reason = err.message
    elseif not ok then
      problems[1] = tostring(err)
    end
    if finally then
      ok, err = armed(finally)
      if not ok then problems[#problems + 1] = tostring(err) end
    end
    self.env.finally = nil
  end
  problems[#problems + 1] = run_hooks(hooks_inside_out(block, "after_each"))
  if #problems > 0 then
    self.add("failed", name, table.concat(problems, "\n"))
  elseif reason then
    self.add("skipped", name, reason)
  else
    self.add("passed", name)
  end
end

-- The body of a block runs first and collects; then its setup, its tests and blocks in order.
function Runner:run_block(block, body)
  local outer = self.current
  self.current = block
  local ok, err = xpcall(body, debug.traceback)
  self.current = outer
  if not ok then
    self.add("failed", full_name(block) .. " (describe)", tostring(err))
    return
  end
  local problem = run_hooks(block.setup)
  if problem then
    self.add("failed", full_name(block) .. " (setup)", problem)
  else
    for _, child in ipairs(block.children) do
      if child.kind == "test" then
        self:run_test(block, child)
      elseif child.kind == "pending" then
        self.add("skipped", full_name(block, child.name), "pending")
      else
        child.run()
      end
    end
  end
  problem = run_hooks(block.teardown)
  if problem then self.add("failed", full_name(block) .. " (teardown)", problem) end
end

-- An insulated block leaves the loaded modules and globals as they were.
local function insulated(run)
  return function()
    local loaded, globals = {}, {}
    for k, v in pairs(package.loaded) do loaded[k] = v end
    for k, v in pairs(_G) do globals[k] = v end
    run()
    for k in pairs(package.loaded) do package.loaded[k] = loaded[k] end
    for k in pairs(_G) do _G[k] = globals[k] end
  end
end

function Runner:environment()
  local env = setmetatable({}, { __index = _G })
  local function describe(wrap)
    return function(name, body)
      local block = new_block(name, self.current)
      local function run() self:run_block(block, body) end
      table.insert(self.current.children, { kind = "block", run = wrap and wrap(run) or run })
    end
  end
  env.describe = describe()
  env.context, env.expose = env.describe, env.describe
  env.insulate = describe(insulated)
  function env.it(name, body)
    table.insert(self.current.children, { kind = "test", name = name, body = body })
  end
  env.test, env.spec = env.it, env.it
  -- Inside a block it names a test that is not written; inside a test it ends the test as skipped.
  function env.pending(name)
    if self.current then
      table.insert(self.current.children, { kind = "pending", name = name })
    else
      error(setmetatable({ message = name or "pending" }, Pending), 0)
    end
  end
  for _, kind in ipairs { "setup", "teardown", "before_each", "after_each" } do
    env[kind] = function(f) table.insert(self.current[kind], f) end
  end
  env.strict_setup, env.lazy_setup = env.setup, env.setup
  env.strict_teardown, env.lazy_teardown = env.teardown, env.teardown
  env.assert = M.assert
  return env
end

-- Runs the spec file; add(status, name, message) is called for each test.
function M.run(path, add)
  local self = setmetatable({ add = add }, Runner)
  self.env = self:environment()
  local body, err = loadfile(path, "t", self.env)
  if not body then
    add("failed", path, err)
    return
  end
  self:run_block(new_block(), body)
end

return M
