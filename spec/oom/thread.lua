-- SPDX-License-Identifier: MIT
-- Jobs on threads. Only what the loop's own thread allocates fails.

return {
  {
    name = "a job that is waited for",
    covers = { "to_thread" },
    setup = function() return assert(load "local x = ... return x") end,
    run = function(asyncio, _, job)
      local t = { 1, { 2 } }
      t.self = t
      local r = asyncio.to_thread(job, t)
      assert(r.self == r and r[2][1] == 2)
    end,
  },
  {
    name = "a job that fails",
    covers = { "Loop:run_in_executor", "Loop:set_thread_count" },
    run = function(_, loop)
      loop:set_thread_count(1)
      local future = loop:run_in_executor(nil, "error", "the error")
      local ok, err = pcall(future.await, future)
      assert(not ok)
      if err ~= "the error" then error(err, 0) end
    end,
  },
}
