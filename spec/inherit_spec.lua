-- SPDX-License-Identifier: MIT
-- asyncio.listen_fds: sockets that the process was started with, as systemd does it. Here perl
-- opens them, which every Debian has.

local asyncio <const> = require "asyncio"
local helper <const> = require "spec.helper"

-- Opens descriptors 3 and 4 and becomes what it is told.
local OPEN <const> = [[
  use Socket; $^F = 20;
  socket(TCP, PF_INET, SOCK_STREAM, 0) && bind(TCP, sockaddr_in(0, INADDR_LOOPBACK))
    && listen(TCP, 5) && fileno(TCP) == 3 or die "no socket: $!";
  socket(UDP, PF_INET, SOCK_DGRAM, 0) && bind(UDP, sockaddr_in(0, INADDR_LOOPBACK))
    && fileno(UDP) == 4 or die "no socket: $!";
  $ENV{LISTEN_PID} = $ENV{ANOTHER} // $$; $ENV{LISTEN_FDS} = $ENV{COUNT} // 2;
  exec @ARGV or die "no exec: $!";
]]

-- Runs a script in a process that was given these sockets; its output.
local function activated(source, env)
  local script <const> = helper.temporary_file(source)
  local command <const> = ("%s perl -e %s sh -c %s 2>&1 3<&- 4<&- </dev/null"):format(env or "",
    helper.quote(OPEN), helper.quote(("exec %s %s"):format(helper.lua_command(), script)))
  local pipe <close> = assert(io.popen(command))
  local out <const> = pipe:read("a")
  os.remove(script)
  return out
end

local HAS_PERL <const> = os.execute("perl -MSocket -e 1 2>/dev/null")

local function it_activates(name, source, expected, env)
  it(name, function()
    if not HAS_PERL then return pending("this machine has no perl") end
    assert.equal(expected, activated(source, env))
  end)
end

describe("listen_fds", function()
  it("gives nothing without activation", function()
    asyncio.run(function() assert.same({ {}, {} }, { asyncio.listen_fds() }) end)
  end)

  it("refuses wrong arguments", function()
    local ok, err = pcall(asyncio.listen_fds, { names = true })
    assert.is_false(ok)
    assert.matches("#1.*unknown option 'names'", err)
    ok, err = pcall(asyncio.listen_fds, { keep_env = 1 })
    assert.is_false(ok)
    assert.matches("#1.*boolean expected", err)
  end)

  it_activates("gives the sockets, by name, once", [[
    local asyncio = require "asyncio"
    asyncio.run(function()
      local sockets, names = asyncio.listen_fds()
      print(#sockets, names[1], names[2], (sockets[1]:getsockname()), (sockets[2]:getsockname()))
      local server <close> = asyncio.start_server(function(_, w) w:write("served") w:close() end,
        nil, nil, { sock = sockets[1] })
      local conn <close> = asyncio.open_connection(sockets[1]:getsockname())
      print(conn:read("a"))
      sockets[2]:sendto("to itself", sockets[2]:getsockname())
      print((sockets[2]:recvfrom()))
      print(#asyncio.listen_fds(), os.getenv "LISTEN_FDS")
    end)
  ]], "2\tweb\tunknown\t127.0.0.1\t127.0.0.1\nserved\nto itself\n0\tnil\n", "LISTEN_FDNAMES=web")

  it_activates("leaves the environment alone if it is told to", [[
    local asyncio = require "asyncio"
    local sockets, names = asyncio.listen_fds { keep_env = true }
    print(#sockets, names[1], names[2], os.getenv "LISTEN_FDS")
    print(pcall(asyncio.listen_fds))
  ]], "2\ta\tb\t2\nfalse\tOSError: listen_fds a: file already exists (EEXIST)\n",
    "LISTEN_FDNAMES=a:b")

  it_activates("keeps them from children", [[
    local asyncio = require "asyncio"
    local function inherited()
      local pipe <close> = io.popen("for i in 3 4; do test -e /proc/self/fd/$i && echo $i; done")
      return (pipe:read("a"):gsub("%s+", " "))
    end
    print(inherited())
    local sockets = asyncio.listen_fds()
    print(#sockets, inherited(), os.getenv "LISTEN_FDNAMES", os.getenv "LISTEN_PID")
  ]], "3 4 \n2\t\tnil\tnil\n", "LISTEN_FDNAMES=a:b")

  it_activates("is not for a child of the process that was meant", [[
    print(#require "asyncio".listen_fds())
  ]], "0\n", "ANOTHER=1")

  it_activates("a number that is none counts as none", [[
    print(#require "asyncio".listen_fds())
  ]], "0\n", "COUNT=many")
end)
