-- SPDX-License-Identifier: MIT
-- Public functions that `make oom` has no scenario for, because they allocate nothing: they look,
-- or set a flag.

local LOOKS <const> = "tells what is there"
local SETS <const> = "sets a field"

return {
  iscoroutine = LOOKS, iscoroutinefunction = LOOKS, isfuture = LOOKS, is = LOOKS,
  get_running_loop = LOOKS,
  ["Future:done"] = LOOKS, ["Future:cancelled"] = LOOKS, ["Future:state"] = LOOKS,
  ["Future:get_loop"] = LOOKS,
  ["Task:cancelling"] = LOOKS, ["Task:uncancel"] = SETS,
  ["Handle:cancelled"] = LOOKS, ["TimerHandle:when"] = LOOKS,
  ["Loop:time"] = LOOKS, ["Loop:is_running"] = LOOKS, ["Loop:is_closed"] = LOOKS,
  ["Loop:get_debug"] = LOOKS, ["Loop:set_debug"] = SETS,
  ["Loop:get_exception_handler"] = LOOKS, ["Loop:get_task_factory"] = LOOKS,
  ["Stream:at_eof"] = LOOKS, ["Stream:is_closing"] = LOOKS, ["Stream:can_write_eof"] = LOOKS,
  ["Stream:get_write_buffer_size"] = LOOKS, ["Stream:get_write_buffer_limits"] = LOOKS,
  ["Stream:isatty"] = LOOKS, ["Stream:winsize"] = LOOKS,
  ["Stream:fileno"] = LOOKS, ["DatagramSocket:fileno"] = LOOKS,
  ["DatagramSocket:close"] = "gives back",
  ["Server:is_serving"] = LOOKS, ["Server:get_loop"] = LOOKS,
  ["File:is_closed"] = LOOKS, ["File:fileno"] = LOOKS,
}
