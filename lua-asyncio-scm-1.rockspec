-- SPDX-License-Identifier: MIT
rockspec_format = "3.0"
package = "lua-asyncio"
version = "scm-1"

-- Not published yet: there is no address to fetch from. `luarocks make` and `luarocks pack` in a
-- checkout do not ask for one; the first release puts its archive here.
source = {
  url = "git+file://.",
}

description = {
  summary = "What asyncio gives Python, for Lua 5.4, over libuv",
  detailed = [[
Tasks, futures, cancellation, gather and wait, timeouts, locks, queues, sockets and streams on one
thread, with the core in C over libuv. Tasks are Lua coroutines: whatever waits, waits, and no function
needs a special colour. The module is called asyncio.]],
  license = "MIT",
  labels = { "async", "coroutines", "networking", "libuv" },
}

dependencies = {
  "lua >= 5.4, < 5.6",
}

external_dependencies = {
  LIBUV = { header = "uv.h", library = "uv" },
}

build = {
  type = "builtin",
  modules = {
    ["asyncio"] = "lua/asyncio/init.lua",
    ["asyncio.core"] = {
      sources = {
        "src/addr.c",
        "src/arena.c",
        "src/asyncio.c",
        "src/barrier.c",
        "src/blocking.c",
        "src/child.c",
        "src/connect.c",
        "src/context.c",
        "src/copy.c",
        "src/copyfile.c",
        "src/core.c",
        "src/coro.c",
        "src/datagram.c",
        "src/deadlock.c",
        "src/describe.c",
        "src/descriptor.c",
        "src/disk.c",
        "src/disposition.c",
        "src/error.c",
        "src/exit.c",
        "src/fd.c",
        "src/file.c",
        "src/fileread.c",
        "src/flow.c",
        "src/fs.c",
        "src/future.c",
        "src/gather.c",
        "src/handle.c",
        "src/inbox.c",
        "src/inherit.c",
        "src/interrupt.c",
        "src/listen.c",
        "src/locks.c",
        "src/loop.c",
        "src/name.c",
        "src/option.c",
        "src/pair.c",
        "src/parts.c",
        "src/pin.c",
        "src/plan.c",
        "src/port.c",
        "src/processes.c",
        "src/queue.c",
        "src/reader.c",
        "src/redeliver.c",
        "src/remote.c",
        "src/request.c",
        "src/resource.c",
        "src/runner.c",
        "src/scope.c",
        "src/script.c",
        "src/semaphores.c",
        "src/sendfile.c",
        "src/server.c",
        "src/signals.c",
        "src/socket.c",
        "src/sockopt.c",
        "src/standard.c",
        "src/state.c",
        "src/stream.c",
        "src/task.c",
        "src/terminal.c",
        "src/thread.c",
        "src/timer.c",
        "src/udp.c",
        "src/wait.c",
        "src/waiters.c",
        "src/watch.c",
        "src/wrap.c",
        "src/writer.c",
      },
      incdirs = { "$(LIBUV_INCDIR)" },
      libdirs = { "$(LIBUV_LIBDIR)" },
      libraries = { "uv" },
    },
  },
  -- Merged over the list above by position.
  platforms = {
    linux = {
      modules = { ["asyncio.core"] = { libraries = { "uv", "pthread", "dl" } } },
    },
    windows = {
      modules = {
        ["asyncio.core"] = {
          libraries = { "uv", "ws2_32", "iphlpapi", "userenv", "psapi", "user32", "advapi32", "ole32",
            "shell32", "dbghelp" },
        },
      },
    },
  },
}

-- LuaRocks' own busted type would download busted; make takes Debian's.
test = {
  type = "command",
  command = "make test",
}
