-- SPDX-License-Identifier: MIT
-- Formats the C sources with clang-format. LDoc comments (/*** ... */) hold examples, so they stay
-- as they are; other comments are broken at the limit too, which .clang-format alone leaves off so
-- that an editor that calls clang-format harms no example.
--
-- lua tools/format.lua [--check] [FILES...]   --check only says what would change, and then fails

package.path = "./?.lua;" .. package.path
local parser <const> = require "tools.ldoc_parser"

local check_only <const> = arg[1] == "--check"

-- Version 14 (Debian 12) is the one that counts: others break lines elsewhere.
local function find_tool()
  for _, name in ipairs { "clang-format-14", "clang-format" } do
    local pipe = assert(io.popen(name .. " --version 2>/dev/null"))
    local version = pipe:read("a")
    pipe:close()
    if version:find("version 14%.") then return name end
  end
  io.stderr:write("clang-format 14 is not installed (Debian 12: clang-format; or make deps-dev)\n")
  os.exit(1)
end

-- .clang-format on one line, with comments reflowed.
local function style()
  local parts = {}
  for line in parser.read(".clang-format"):gmatch("[^\n]+") do
    if not line:find("^#") then
      parts[#parts + 1] = line == "ReflowComments: false" and "ReflowComments: true" or line
    end
  end
  return "{" .. table.concat(parts, ", ") .. "}"
end

local function write(path, text)
  local file = assert(io.open(path, "wb"))
  file:write(text)
  file:close()
end

local tool <const>, options <const> = find_tool(), style()
local input <const> = os.tmpname()

local function formatted(text, path)
  local kept = {}
  local hidden = text:gsub("/%*%*%*.-%*/", function(comment)
    if comment:find("^/%*%*%*%*") then return nil end
    kept[#kept + 1] = comment
    return ("/*LDOC%d*/"):format(#kept)
  end)
  write(input, hidden)
  local command = ("%s --style='%s' --assume-filename='%s' <%s"):format(tool, options, path, input)
  local pipe = assert(io.popen(command))
  local result = pipe:read("a")
  if not pipe:close() then error(tool .. " failed on " .. path, 0) end
  return (result:gsub("/%*LDOC(%d+)%*/", function(n) return kept[tonumber(n)] end))
end

-- The first line that differs, for the report.
local function first_difference(a, b)
  local number = 0
  local next_b = (b .. "\n"):gmatch("(.-)\n")
  for line in (a .. "\n"):gmatch("(.-)\n") do
    number = number + 1
    if line ~= next_b() then return number, line end
  end
  return number + 1, ""
end

local function all_files()
  local files = {}
  for _, directory in ipairs { "src", "spec/c", "tools", "bench", "examples", "examples/embed" } do
    for _, path in ipairs(parser.list(directory, "%.[ch]$")) do
      if not path:find("lua_parts%.h$") then files[#files + 1] = path end
    end
  end
  return files
end

local files = table.pack(table.unpack(arg, check_only and 2 or 1))
if #files == 0 then files = all_files() end
local changed = 0
for _, path in ipairs(files) do
  local text = parser.read(path)
  local result = formatted(text, path)
  if result ~= text then
    changed = changed + 1
    if check_only then
      print(("%s:%d: make format would change this:\n%s"):format(path,
        first_difference(text, result)))
    else
      write(path, result)
    end
  end
end
os.remove(input)
print(("clang-format: %d files %s"):format(changed, check_only and "would change" or "changed"))
os.exit(changed == 0 or not check_only)
