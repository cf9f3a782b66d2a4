-- SPDX-License-Identifier: MIT
-- How the process that runs one spec file tells its parent what happened: a file of one line per
-- test, closed by a line "end". A file without that line comes from a process that died.

local results = {}

local function escape(s)
  return (tostring(s):gsub("[\\\n\t\r\0]", {
    ["\\"] = "\\\\", ["\n"] = "\\n", ["\t"] = "\\t", ["\r"] = "\\r", ["\0"] = "\\0",
  }))
end

local UNESCAPED <const> = { n = "\n", t = "\t", r = "\r", ["0"] = "\0", ["\\"] = "\\" }

local function unescape(s)
  return (s:gsub("\\(.)", UNESCAPED))
end

-- Returns add(status, name, message) and finish(); each line is on disk before the next test runs.
function results.writer(path)
  local file <const> = assert(io.open(path or "/dev/stdout", "w"))
  local function add(status, name, message)
    file:write(status, "\t", escape(name), "\t", escape(message or ""), "\n")
    file:flush()
  end
  local function finish()
    file:write("end\n")
    file:close()
  end
  return add, finish
end

-- The list of {status=, name=, message=}, and whether the process came to its end.
function results.read(path)
  local list, complete = {}, false
  local file = io.open(path)
  if not file then return list, false end
  for line in file:lines() do
    local status, name, message = line:match("^(%l+)\t([^\t]*)\t([^\t]*)$")
    if status then
      list[#list + 1] = { status = status, name = unescape(name), message = unescape(message) }
    elseif line == "end" then
      complete = true
    end
  end
  file:close()
  return list, complete
end

function results.count(list)
  local n = { passed = 0, failed = 0, skipped = 0 }
  for _, result in ipairs(list) do n[result.status] = n[result.status] + 1 end
  return n
end

return results
