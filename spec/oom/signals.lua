-- SPDX-License-Identifier: MIT
-- Signal handlers.

return {
  {
    name = "a signal handler is added, called and removed",
    covers = { "Loop:add_signal_handler", "Loop:remove_signal_handler" },
    run = function(asyncio, loop)
      local came = asyncio.Event()
      loop:add_signal_handler("SIGUSR1", function() came:set() end)
      loop:add_signal_handler("SIGUSR1", came.set, came)
      assert(loop:remove_signal_handler("SIGUSR1"))
    end,
    check = function(_, loop)
      loop:remove_signal_handler("SIGUSR1")
      assert(not loop:remove_signal_handler("SIGUSR1"))
      loop:add_signal_handler("SIGUSR1", print)
      assert(loop:remove_signal_handler("SIGUSR1"))
    end,
  },
}
