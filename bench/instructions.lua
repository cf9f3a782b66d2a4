-- SPDX-License-Identifier: MIT
-- Written by `make guard-update`: instructions of an operation (bench/guard.lua).
return {
  environment = "Lua 5.4.4, libuv 1.44.2, x86_64",
  start_up = 1666871,
  sleep_0 = 934,
  sleep = 5839,
  create_and_await = 4095,
  spawn_and_gather = 3168,
  task_group_of_100 = 3627,
  switch_of_100 = 804,
  future = 6461,
  lock_contended = 3327,
  queue = 2877,
  call_later_and_cancel = 2754,
  echo_64 = 7935,
}
