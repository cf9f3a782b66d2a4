-- SPDX-License-Identifier: MIT
local cqueues = require "cqueues"
local socket = require "cqueues.socket"
local cq = cqueues.new()
local server = assert(socket.listen {
  host = arg[1], port = tonumber(arg[2]), nodelay = true, reuseaddr = true,
})
assert(server:listen())
cq:wrap(function()
  while true do
    local con = server:accept { nodelay = true }
    if con then
      cq:wrap(function()
        con:setmode("bn", "bn")               -- binary; output not buffered
        con:onerror(function(_, _, code) return code end)
        while true do
          local data = con:read(-65536)       -- up to 64 KiB, what is there
          if not data then break end
          if not con:write(data) then break end
        end
        con:close()
      end)
    end
  end
end)
print("READY") io.stdout:flush()
assert(cq:loop())
