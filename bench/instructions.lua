-- SPDX-License-Identifier: MIT
-- Written by `make guard-update`: instructions of an operation (bench/guard.lua).
return {
  environment = "Lua 5.4.4, libuv 1.44.2, x86_64",
  start_up = 2018580,
  sleep_0 = 932,
  sleep = 5828,
  create_and_await = 4088,
  spawn_and_gather = 3166,
  switch_of_100 = 804,
  future = 7423,
  lock_contended = 3301,
  queue = 2878,
  call_later_and_cancel = 3073,
  echo_64 = 7947,
}
