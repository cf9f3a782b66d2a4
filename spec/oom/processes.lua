-- SPDX-License-Identifier: MIT
-- Child processes.

return {
  {
    name = "a child is started with every option, fed, read and waited for",
    covers = { "create_subprocess_exec", "Process:communicate", "Process:wait" },
    run = function(asyncio)
      local p = asyncio.create_subprocess_exec("cat", {
        stdin = "pipe", stdout = "pipe", stderr = "stdout", cwd = "/", limit = 1000,
        extra_env = { A = "1", B = false },
      })
      assert(p:communicate("x") == "x")
      assert(p:wait() == 0)
    end,
    check = function(asyncio)
      assert(asyncio.create_subprocess_exec("true"):wait() == 0)
    end,
  },
  {
    name = "a child of the shell is signalled, and one that is not there is named",
    covers = { "create_subprocess_shell", "Process:send_signal", "Process:terminate",
      "Process:kill" },
    run = function(asyncio)
      local p = asyncio.create_subprocess_shell("read x", { stdin = "pipe" })
      p:send_signal("SIGCONT")
      p:terminate()
      p:kill()
      p:wait()
      local ok, err = pcall(asyncio.create_subprocess_exec, "no-such-program", { stdin = "pipe" })
      assert(not ok)
      if asyncio.is(err, asyncio.OSError) and err.code == "ENOENT" then return end
      error(err, 0)
    end,
    check = function(asyncio)
      assert(asyncio.create_subprocess_exec("false"):wait() == 1)
    end,
  },
  {
    name = "a scope ends its child",
    covers = {},
    setup = function(asyncio)
      return asyncio.create_subprocess_exec("sleep", "60", { stdout = "pipe", grace = 1 })
    end,
    run = function(_, _, thing)
      local _ <close> = thing
    end,
    check = function(_, _, thing)
      if not thing.returncode then thing:kill() end
      assert(thing:wait() < 0)
    end,
  },
}
