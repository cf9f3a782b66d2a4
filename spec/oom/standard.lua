-- SPDX-License-Identifier: MIT
-- The standard streams of the process that runs the scenarios; what it writes is empty, and nothing
-- is read, since they may be anything.

return {
  {
    name = "the standard streams are opened, told apart and closed",
    covers = { "stdin", "stdout", "stderr", "Stream:set_mode" },
    run = function(asyncio)
      for _, name in ipairs { "stdin", "stdout", "stderr" } do
        local s = asyncio[name] { limit = 100 }
        assert(s == asyncio[name]())
        if name ~= "stdin" then s:sendall("") end
        if s:isatty() then s:set_mode("normal") end
        s:close()
      end
      local pair = asyncio.testing.stream_pair()
      local ok, err = pcall(pair.set_mode, pair, "raw")
      assert(not ok)
      if asyncio.is(err, asyncio.OSError) and err.code == "ENOTTY" then return end
      error(err, 0)
    end,
    check = function(asyncio)
      asyncio.stdin():close()
      asyncio.stdout():sendall("")
      asyncio.stdout():close()
      asyncio.stderr():close()
    end,
  },
}
