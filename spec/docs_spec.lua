-- SPDX-License-Identifier: MIT
-- The documents: no example, name, command or link in them may rot.
--
-- What is checked depends on the word behind the ``` of a block:
--   lua              a complete program; it runs as a script of its own. What it prints is compared
--                    with the `text` block behind it (none: it prints nothing), its status is 0
--   lua fails        the same, but it ends with status 1; what it wrote to stderr comes last
--   lua interrupted  the same, but it gets SIGINT, and ends by that signal
--   lua fragment     a part of a program: its syntax, and the names of the library in it
--   c                a complete host: compiled, linked with build/libasyncio.a, run, compared
--   c fragment       a part of one: the names of the library in it
-- In output, `0x...` stands for an address, the script is called program.lua, a tab counts as a
-- space.
local helper <const> = require "spec.helper"
local parser <const> = require "tools.ldoc_parser"
local asyncio <const> = require "asyncio"

local root <const> = debug.getinfo(1, "S").source:match("^@(.-)spec/[^/]*$") or ""
local DOCUMENTS <const> = {"README.md", "CONTRIBUTING.md", "docs/tutorial.md",
  "docs/from-python.md", "docs/io.md",
  "docs/internals.md", "docs/performance.md", "docs/embedding.md"}

-- Times are real: what a busy machine delayed is run again.
local ATTEMPTS <const> = 3

local function read_file(path)
  local file <close> = assert(io.open(root .. path, "rb"))
  return file:read("a")
end

-- ---- the blocks of a document

-- {{info=, code=, line=, output=}}, and the text between the blocks.
local function parse(text)
  local blocks, prose, block, last = {}, {}, nil, nil
  local number = 0
  for line in (text .. "\n"):gmatch("(.-)\n") do
    number = number + 1
    local info = line:match("^```(.*)$")
    if info and not block then
      block = {info = info, lines = {}, line = number + 1}
    elseif info then
      block.code = table.concat(block.lines, "\n") .. "\n"
      if block.info == "text" and last then
        last.output = block.code
      else
        blocks[#blocks + 1] = block
      end
      last = block.info ~= "text" and block or nil
      block = nil
    elseif block then
      block.lines[#block.lines + 1] = line
    else
      prose[#prose + 1] = line
      if line:find("%S") then
        last = nil
      end
    end
  end
  assert(not block, "a block has no end")
  return blocks, table.concat(prose, "\n")
end

-- ---- output

-- Lua calls a library function by either of the module's two names, as it finds it first; and what
-- a traceback says of a C function is not the same in all versions.
local function normalise(text)
  return (text:gsub("/tmp/lua_%w+", "program.lua"):gsub("0x%x+", "0x..."):gsub("\t", " ")
    :gsub("[ ]+\n", "\n"):gsub("asyncio%.core%.", "asyncio.")
    :gsub("%[C%]: in [^\n]*", "[C]: in ...")
    :gsub("%f[^\n\0][^%s]*lua[%d.]*: ", "lua: "))
end

-- Under valgrind and the like a duration says nothing.
local function forget_durations(text)
  return helper.SLOW > 1 and text:gsub("%d+%.%d+ seconds", "? seconds") or text
end

local function check_output(expected, got)
  assert.equal(forget_durations(normalise(expected or "")), forget_durations(normalise(got)))
end

local function check_run(block, result)
  local how = block.info:match("^lua (%a+)$")
  if how == "interrupted" then
    assert.equal(2, result.signal, result.err)
  else
    assert.equal(how == "fails" and 1 or 0, result.status, result.out .. result.err)
  end
  if how == "fails" and (os.getenv("SPEC_LUA") or ""):find("testhost", 1, true) then
    return -- another program than lua reports errors in its own way
  end
  check_output(block.output, result.out .. (how == "fails" and result.err or ""))
  if not how then
    assert.equal("", result.err)
  end
end

local function run(block)
  local env
  if block.info == "lua interrupted" then
    env = ("env --default-signal=INT timeout --foreground --preserve-status -s INT %g"):format(
      math.min(helper.SLOW, 5))
  end
  for attempt = 1, ATTEMPTS do
    local result = helper.run_script(block.code, {env = env})
    local ok, err = pcall(check_run, block, result)
    if ok then
      return
    elseif attempt == ATTEMPTS then
      error(err, 0)
    end
  end
end

-- ---- programs in C

-- The flags that `make` has noted, or nil: the tree was not built as `make test` does it.
local function build_flags()
  local file = (os.getenv("SPEC_LUA") or "") == "" and io.open(root .. "build/flags")
  if not file then
    return nil
  end
  local flags = file:read("l")
  file:close()
  return flags
end

local function shell(command)
  local pipe = assert(io.popen(command .. " 2>&1"))
  local output = pipe:read("a")
  local ok = pipe:close()
  assert(ok, output)
  return output
end

local function run_c(block, flags)
  local source, binary = os.tmpname(), os.tmpname()
  local file <close> = assert(io.open(source, "wb"))
  file:write(block.code)
  file:flush()
  local libs = {}
  for word in flags:gmatch("%S+") do
    if word:find("^%-[lL]") then
      libs[#libs + 1] = word
    end
  end
  if os.getenv("LUA_LIBDIR") then
    table.insert(libs, 1, ("-L%s -Wl,-rpath,%s"):format(os.getenv("LUA_LIBDIR"),
      os.getenv("LUA_LIBDIR")))
  end
  local _ <close> = setmetatable({}, {__close = function()
    os.remove(source)
    os.remove(binary)
  end})
  shell(("cd './%s' && %s -Werror -x c %s -x none -o %s build/libasyncio.a %s -lm -ldl -lpthread")
    :format(root, flags:gsub("%-l%S+", ""), source, binary, table.concat(libs, " ")))
  check_output(block.output, shell(("cd / && LUA_PATH= LUA_CPATH= timeout 20 %s"):format(binary)))
end

-- ---- names

local methods <const> = {} -- of any type: {cancel = true ...}
local sources -- the text of src/

for _, entry in ipairs(parser.tree(root == "" and "." or root)) do
  for _, name in ipairs(entry.names) do
    methods[name:match(":([%w_]+)$") or name:match("^testing%.(.*)$") or name] = true
  end
end

-- A Loop's methods that have no entry of their own.
local loop_methods <const> = asyncio.new_event_loop()
loop_methods:close()

-- Methods of Lua's own strings and files, which programs in the documents call.
for _, name in ipairs({"upper", "format", "gsub", "gmatch", "match", "write", "setvbuf", "close",
  "lines", "read"}) do
  methods[name] = true
end

-- The library's names in code: `asyncio.name` and `x:method(`. Returns those that do not exist.
local function unknown_names(code)
  local unknown = {}
  for name in code:gmatch("%f[%w_]asyncio%.([%a_][%w_]*)") do
    if asyncio[name] == nil and name ~= "core" then
      unknown[#unknown + 1] = "asyncio." .. name
    end
  end
  for name in code:gmatch("[%w_%)%]]:([%a_][%w_]*)%(") do
    if not methods[name] and not loop_methods[name] then
      unknown[#unknown + 1] = ":" .. name
    end
  end
  return table.concat(unknown, " ")
end

local function read_sources()
  local pipe <close> = assert(io.popen("cat './" .. root .. "src/'*.[ch]"))
  return pipe:read("a")
end

-- C names: those with the prefixes of the library, and `file.c` or `file.h`.
local function unknown_c_names(code)
  sources = sources or read_sources()
  local unknown = {}
  for name in code:gmatch("[%a_][%w_]*") do
    local ours = name:find("^asy_%l") or name:find("^ASY_%u") or name:find("^asyncio_%l")
      or name:find("^ASYNCIO_%u")
    if ours and name ~= "asyncio_all" and not sources:find("%f[%w_]" .. name .. "%f[^%w_]") then
      unknown[#unknown + 1] = name
    end
  end
  return table.concat(unknown, " ")
end

-- In a document about C each `name_with_underscores` is one of the sources'.
local function unknown_code_words(prose)
  sources = sources or read_sources()
  local unknown = {}
  for word in prose:gmatch("`([%l]+_[%w_]*)%(?%)?`") do
    if not sources:find("%f[%w_]" .. word .. "%f[^%w_]") and not word:find("^uv_")
      and not word:find("^lua_") then
      unknown[#unknown + 1] = word
    end
  end
  return table.concat(unknown, " ")
end

-- The right-hand column of each table whose head ends in "here".
local function table_cells(prose)
  local cells, inside = {}, false
  for line in prose:gmatch("[^\n]+") do
    if line:find("^|.*| *here *|$") then
      inside = true
    elseif not line:find("^|") then
      inside = false
    elseif inside then
      cells[#cells + 1] = line:match("|([^|]*)|$")
    end
  end
  return table.concat(cells, "\n")
end

-- The rooms of the first table of docs/internals.md, and those of src/.
local function listed_rooms(prose)
  local rooms = {}
  for line in prose:match("| layer.-\n\n"):gmatch("[^\n]+") do
    for room in line:match("|([^|]*)|$"):gmatch("%l+") do
      rooms[room] = true
    end
  end
  rooms.rooms = nil -- the table's head
  return rooms
end

local function existing_rooms()
  local rooms = {}
  local pipe <close> = assert(io.popen("ls './" .. root .. "src'"))
  for name in pipe:lines() do
    rooms[name:match("^(%l+)%.[ch]$") or ""] = true
  end
  rooms[""] = nil
  return rooms
end

-- ---- the tests

describe("documents", function()
  local flags <const> = build_flags()
  local makefile <const> = read_file("Makefile")

  local function define_block(block, name)
    if block.info:find("^lua") and block.info ~= "lua fragment" then
      it("runs " .. name, function() run(block) end)
    elseif block.info == "lua fragment" then
      it("can parse " .. name, function()
        assert(load(block.code, "=" .. name, "t"))
        assert.equal("", unknown_names(block.code))
      end)
    elseif block.info == "c" and flags then
      it("compiles and runs " .. name, function() run_c(block, flags) end)
    elseif block.info:find("^c%f[%A]") then
      it("knows the names in " .. name, function()
        assert.equal("", unknown_c_names(block.code))
      end)
    end
  end

  for _, path in ipairs(DOCUMENTS) do
    local text <const> = read_file(path)
    local blocks <const>, prose <const> = parse(text)

    for _, block in ipairs(blocks) do
      define_block(block, path .. ":" .. block.line)
    end

    it("names only what exists, in " .. path, function()
      assert.equal("", unknown_names(table_cells(prose)))
      assert.equal("", unknown_c_names(prose))
      if path == "docs/internals.md" or path == "docs/embedding.md" then
        assert.equal("", unknown_code_words(prose))
      end
      if path == "docs/internals.md" then
        assert.same(existing_rooms(), listed_rooms(prose))
      end
    end)

    it("names only commands that make knows, in " .. path, function()
      for target in text:gmatch("`make (%l[%l%-]*)") do
        assert.truthy(("\n" .. makefile):find("\n" .. target .. ":", 1, true), target)
      end
      for _, block in ipairs(blocks) do
        for target in (block.info == "sh" and block.code or ""):gmatch("%f[%w]make (%l[%l%-]*)") do
          assert.truthy(("\n" .. makefile):find("\n" .. target .. ":", 1, true), target)
        end
      end
    end)

    it("links only to files that exist, in " .. path, function()
      local dir = path:match("^(.*/)[^/]*$") or ""
      for target in prose:gmatch("%]%(([^%)#]+)") do
        if not target:find("^https?:") then
          local file = io.open(root .. dir .. target)
          assert.truthy(file, target)
          file:close()
        end
      end
    end)
  end
end)
