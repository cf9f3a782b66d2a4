-- SPDX-License-Identifier: MIT
-- Written by `make guard-update`: instructions of an operation (bench/guard.lua).
return {
  environment = "Lua 5.4.4, libuv 1.44.2, x86_64",
  start_up = 2043552,
  sleep_0 = 961,
  sleep = 6623,
  create_and_await = 4447,
  spawn_and_gather = 3912,
  switch_of_100 = 856,
  future = 7446,
  lock_contended = 3211,
  queue = 2891,
  call_later_and_cancel = 3102,
  echo_64 = 7938,
}
