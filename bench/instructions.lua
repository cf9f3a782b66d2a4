-- SPDX-License-Identifier: MIT
-- Written by `make guard-update`: instructions of an operation (bench/guard.lua).
return {
  environment = "Lua 5.4.4, libuv 1.44.2, x86_64",
  start_up = 1981895,
  sleep_0 = 933,
  sleep = 5931,
  create_and_await = 4077,
  spawn_and_gather = 3275,
  switch_of_100 = 799,
  future = 7412,
  lock_contended = 3217,
  queue = 2876,
  call_later_and_cancel = 3065,
  echo_64 = 7995,
}
