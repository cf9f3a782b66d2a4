-- SPDX-License-Identifier: MIT
-- Written by `make guard-update`: instructions of an operation (bench/guard.lua).
return {
  environment = "Lua 5.4.4, libuv 1.44.2, x86_64",
  start_up = 1611322,
  sleep_0 = 934,
  sleep = 5835,
  create_and_await = 4094,
  spawn_and_gather = 3168,
  switch_of_100 = 803,
  future = 7302,
  lock_contended = 3301,
  queue = 2932,
  call_later_and_cancel = 2988,
  echo_64 = 8010,
}
