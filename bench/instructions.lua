-- SPDX-License-Identifier: MIT
-- Written by `make guard-update`: instructions of an operation (bench/guard.lua).
return {
  environment = "Lua 5.4.4, libuv 1.44.2, x86_64",
  start_up = 1667592,
  sleep_0 = 943,
  sleep = 5847,
  create_and_await = 4093,
  spawn_and_gather = 3169,
  switch_of_100 = 804,
  future = 7462,
  lock_contended = 3324,
  queue = 2878,
  call_later_and_cancel = 3065,
  echo_64 = 7987,
}
