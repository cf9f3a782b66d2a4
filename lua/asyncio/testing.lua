-- SPDX-License-Identifier: MIT
--- Help for tests of asynchronous code: time is simulated, nothing sleeps.
-- Loaded at the first use of `asyncio.testing`.
local asyncio <const> = ... -- the module, from src/parts.c

local testing <const> = {
  stream_pair = require("asyncio.pair").stream_pair, -- src/pair.c
}

local function virtual_loop()
  return asyncio.new_event_loop { clock = "virtual" }
end

--- Run a function as `asyncio.run` does, on a loop whose clock jumps to the next timer when nothing
-- is ready.
-- @function testing.run
-- @tparam function fn what is run
-- @param[opt] ... its arguments
-- @return its results
-- @waits no
-- @raise its error; an error if a loop is running
-- @usage -- in a script: asyncio.testing.run(function() asyncio.sleep(3600) end)
-- @see asyncio-runner.html#asyncio.run
function testing.run(fn, ...)
  local runner <close> = asyncio.Runner { loop_factory = virtual_loop }
  return (function(...) return ... end)(runner:run(fn, ...))
end

return testing
