-- SPDX-License-Identifier: MIT
-- startup.lua: load the library, run an empty main task, exit.
require "asyncio".run(function() end)
