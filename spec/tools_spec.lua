-- SPDX-License-Identifier: MIT
-- The tools that judge the sources, on small sources made for them: each rule finds what breaks it,
-- and nothing else.

local helper <const> = require "spec.helper"
local parser <const> = require "tools.ldoc_parser"

local root

local function write(path, text)
  local directory = (root .. "/" .. path):match("^(.*)/")
  os.execute("mkdir -p " .. directory)
  local file = assert(io.open(root .. "/" .. path, "wb"))
  file:write(text)
  file:close()
end

-- Runs a tool on the little tree; returns its output and whether it was content. The tools are not
-- the library: no sanitizer and no valgrind for them.
local function tool(name, options)
  local command = ("LD_PRELOAD= %s tools/%s.lua %s %s 2>&1")
  local lua = os.getenv("LUA") or helper.lua_command()
  local pipe = assert(io.popen(command:format(lua, name, options or "", root)))
  local output = pipe:read("a")
  return output, pipe:close() == true
end

local SPDX <const> = "/* SPDX-License-Identifier: MIT */\n"

local DOCUMENTED <const> = SPDX .. [[
/***
Suspend the current task for a while. It gives way at least once.
@function sleep
@tparam number delay seconds; 0 gives way once
@param[opt] result any value, returned
@return `result`
@waits yes
@cancel raises CancelledError at the wait; the timer is disarmed
@raise argument error
@usage
  local x = asyncio.sleep(0, "x")
  assert(x == "x")
@see asyncio-task.html#asyncio.sleep
*/
static int timer_sleep(lua_State *L) {
  return 0;
}

static const luaL_Reg timer_functions[] = {
    {"sleep", timer_sleep},
    {"_inner", timer_inner},
    {NULL, NULL},
};
]]

before_each(function()
  root = os.tmpname()
  os.remove(root)
  os.execute("mkdir -p " .. root)
end)

after_each(function() os.execute("rm -rf " .. root) end)

describe("ldoc_parser", function()
  it("reads a comment on a C function", function()
    local entry = parser.parse_c(DOCUMENTED, "timer.c")[1]
    assert.same({ "sleep" }, entry.names)
    assert.equal("Suspend the current task for a while.", entry.summary)
    assert.equal("It gives way at least once.", entry.text)
    assert.equal("timer_sleep", entry.definition)
    assert.equal(2, entry.line)
    assert.same({ name = "delay", type = "number", text = "seconds; 0 gives way once",
      optional = false }, entry.params[1])
    assert.same({ name = "result", text = "any value, returned", optional = true }, entry.params[2])
    assert.same({ { text = "`result`" } }, entry.returns)
    assert.same({ 'local x = asyncio.sleep(0, "x")\nassert(x == "x")' }, entry.usages)
    assert.same({}, entry.problems)
  end)

  it("reads a comment on a Lua function", function()
    local entry = parser.parse_lua([[
local M = {}
--- Run a function.
-- @function testing.run
-- @tparam fun(a: number, b) fn what to run
-- @treturn {string,...} lines
-- @usage
--   if true then
--     run()
--   end
function M.run(fn) end
]], "testing.lua")[1]
    assert.equal("M.run", entry.definition)
    assert.equal("fun(a: number, b)", entry.params[1].type)
    assert.equal("{string,...}", entry.returns[1].type)
    assert.equal("if true then\n  run()\nend", entry.usages[1])
  end)

  it("finds what is registered", function()
    local list = parser.registered(DOCUMENTED)
    assert.equal(2, #list)
    assert.equal("timer_sleep", list[1].definition)
    assert.equal(21, list[1].line)
  end)
end)

describe("check_docs", function()
  it("is content with a complete comment", function()
    write("src/timer.c", DOCUMENTED)
    local output, ok = tool("check_docs")
    assert.is_true(ok, output)
  end)

  for field, rest in pairs {
    ["@waits"] = "@cancel [^\n]*", ["@raise"] = "", ["@see"] = "", ["@return"] = "",
  } do
    it("misses " .. field, function()
      local text = DOCUMENTED:gsub(field .. "[^\n]*\n", "", 1)
      if rest ~= "" then text = text:gsub(rest .. "\n", "", 1) end
      write("src/timer.c", text)
      local output, ok = tool("check_docs")
      assert.is_false(ok)
      assert.matches("sleep: " .. field, output)
    end)
  end

  it("misses @cancel where it waits, the unit of a number, a comment", function()
    local text = DOCUMENTED:gsub("@cancel[^\n]*\n", ""):gsub("seconds; ", "")
      :gsub('{"_inner", timer_inner}', '{"bare", timer_bare}')
    write("src/timer.c", text)
    local output, ok = tool("check_docs")
    assert.is_false(ok)
    assert.matches("@cancel is missing", output, 1, true)
    assert.matches("'delay' is a time", output, 1, true)
    assert.matches("'bare' (timer_bare) is registered, but not documented", output, 1, true)
  end)

  it("misses the comment of a public Lua function", function()
    write("src/timer.c", DOCUMENTED)
    write("lua/asyncio/more.lua",
      "local M = {}\nfunction M.open() end\nfunction M._own() end\nreturn M\n")
    local output, ok = tool("check_docs")
    assert.is_false(ok)
    assert.matches("'M.open' is public, but not documented", output, 1, true)
    assert.not_matches("_own", output, 1, true)
  end)
end)

describe("check_structure", function()
  local function finds(file, text, complaint)
    write("src/" .. file, SPDX .. text)
    local output, ok = tool("check_structure")
    assert.is_false(ok, "nothing was found")
    assert.matches(complaint, output, 1, true)
  end

  it("is content with a good room", function()
    write("src/gather.c", SPDX .. '#include "task.h"\n#include "scope.h"\n\n'
      .. "/* uv_run and lua_resume in a comment */\n"
      .. 'static const char *const gather_words[] = {"lua_resume", "uv_run"};\n\n'
      .. "static int gather_new(lua_State *L) {\n  return 0;\n}\n")
    local output, ok = tool("check_structure")
    assert.is_true(ok, output)
  end)

  it("finds an include that goes up or aside", function()
    finds("timer.c", '#include "task.h"\n', "timer (core) may not include task (core)")
    finds("gather.c", '#include "queue.h"\n', "gather (on the core) may not include queue")
    finds("list.h", "#include <lua.h>\n", "list is plain C")
    finds("gather.c", '#include "nowhere.h"\n', "nowhere.h is no room")
  end)

  it("finds who suspends, and who calls libuv on the core", function()
    finds("task.c", "static int task_x(void) {\n  return lua_resume(0, 0, 0, 0);\n}\n",
      "lua_resume: only wait.c")
    finds("queue.c", "static int queue_x(void) {\n  return uv_run(0, 0);\n}\n", "calls no libuv")
  end)

  it("finds a callback with a lua_State", function()
    finds("stream.c", "static void stream_on_read(uv_stream_t *s,\n                           "
      .. "lua_State *L) {\n}\n", "stream_on_read gets a lua_State")
  end)

  it("finds names that are not the room's, or not unique", function()
    finds("queue.c", "static int put(void) {\n  return 0;\n}\n", "static 'put'")
    finds("list.h", "static inline int list_len(void) {\n  return 0;\n}\n", "static 'list_len'")
  end)

  it("finds long functions, lines and files", function()
    finds("queue.c", "static void queue_x(void) {\n" .. ("  f();\n"):rep(59) .. "}\n", "61 lines")
    finds("queue.c", "int x; /* " .. ("x"):rep(100) .. " */\n", "columns")
    finds("queue.c", ("\n"):rep(900), "901 lines; 900 is the limit")
  end)
end)

describe("the generators", function()
  it("gen_lua_parts keeps every byte", function()
    local text = 'local s = "a\\n\\"b\\" ??/ \t\1\255é"\n-- end\nreturn s\n'
    write("lua/asyncio/part.lua", text)
    write("lua/asyncio/init.lua", "return 1\n")
    write("src/x.c", "")
    assert.is_true(select(2, tool("gen_lua_parts")))
    local header = parser.read(root .. "/src/lua_parts.h")
    local literal = header:match("lua_part_part%[%] =\n(.-);\n")
    local code = (literal .. "\n"):gsub("%s*\"([^\n]*)\"\n", "%1")
    local bytes = code:gsub("\\(%d%d%d)", function(n) return string.char(tonumber(n, 8)) end)
      :gsub("\\(.)", function(c) return c == "n" and "\n" or c end)
    assert.equal(text, bytes)
    assert.not_matches("init", header, 1, true)
    assert.is_true(select(2, tool("gen_lua_parts", "--check")))
    write("lua/asyncio/part.lua", text .. "-- more\n")
    assert.is_false(select(2, tool("gen_lua_parts", "--check")))
  end)

  it("gen_types writes Lua that an editor understands", function()
    write("src/timer.c", DOCUMENTED)
    assert.is_true(select(2, tool("gen_types")))
    local types = parser.read(root .. "/types/asyncio.lua")
    assert.is_truthy(load(types))
    assert.matches("---@param delay number seconds; 0 gives way once\n", types, 1, true)
    assert.matches("---@param result? any any value, returned\n", types, 1, true)
    assert.matches("function asyncio.sleep(delay, result) end", types, 1, true)
    assert.is_true(select(2, tool("gen_types", "--check")))
  end)
end)
