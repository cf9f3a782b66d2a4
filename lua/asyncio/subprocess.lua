-- SPDX-License-Identifier: MIT
--- Child processes: the names of what their standard streams can be, and `communicate`.
-- Loaded at the first use of `asyncio.subprocess`.
local asyncio <const> = ... -- the module, from src/parts.c

-- So much of the input is sent at a time; a longer piece would be copied whole.
local SLICE <const> = 256 * 1024

-- What ends the sending of input, and is no error: the child does not want it.
local UNWANTED <const> = { EPIPE = true, ECONNRESET = true }

local function feed(stdin, input)
  local ok, err = asyncio.pcall(function()
    for i = 1, #input, SLICE do stdin:sendall(input:sub(i, i + SLICE - 1)) end
  end)
  stdin:close()
  if not ok and not (asyncio.is(err, asyncio.OSError) and UNWANTED[err.code]) then
    error(err, 0)
  end
end

-- process -> what a cancelled `communicate` has read of stdout and stderr: for the next one
local kept <const> = setmetatable({}, { __mode = "k" })

local function collect(got, name, stream)
  if got[name] then return end
  got[name] = stream:read("a")
  stream:close()
end

-- Process:communicate, whose arguments src/processes.c has checked
require("asyncio.process").communicate = function(process, input)
  local stdin, stdout, stderr = process.stdin, process.stdout, process.stderr
  local got <const> = kept[process] or {}
  kept[process] = got
  local work <const> = {}
  if stdout then work[#work + 1] = function() collect(got, "stdout", stdout) end end
  if stderr then work[#work + 1] = function() collect(got, "stderr", stderr) end end
  if stdin and input and input ~= "" then
    work[#work + 1] = function() feed(stdin, input) end
  elseif stdin then
    stdin:close()
  end
  if work[2] then
    asyncio.gather(work)
  elseif work[1] then
    work[1]()
  end
  process:wait()
  kept[process] = nil
  return got.stdout, got.stderr
end

return { PIPE = "pipe", DEVNULL = "devnull", STDOUT = "stdout" }
