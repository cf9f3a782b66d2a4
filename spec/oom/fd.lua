-- SPDX-License-Identifier: MIT
-- Foreign descriptors.

local function open(_, loop)
  -- popen needs no memory of the state's that is not its own
  local pipe = io.popen("echo hello; sleep 0.01", "r")
  return { pipe = pipe, loop = loop }
end

return {
  {
    name = "handlers of a descriptor are added, replaced and removed",
    covers = { "Loop:add_reader", "Loop:add_writer", "Loop:remove_reader", "Loop:remove_writer" },
    setup = open,
    run = function(asyncio, loop, t)
      local came = asyncio.Event()
      loop:add_reader(t.pipe, error)
      loop:add_reader(t.pipe, came.set, came)
      loop:add_writer(t.pipe, print)
      assert(loop:remove_writer(t.pipe))
      came:wait()
      assert(loop:remove_reader(t.pipe))
    end,
    check = function(_, loop, t)
      loop:remove_reader(t.pipe)
      loop:remove_writer(t.pipe)
      loop:add_reader(t.pipe, print)
      assert(loop:remove_reader(t.pipe))
      t.pipe:close()
    end,
  },
  {
    name = "tasks wait for a descriptor",
    covers = { "wait_readable", "wait_writable" },
    setup = open,
    run = function(asyncio, _, t)
      asyncio.wait_readable(t.pipe)
      local other = asyncio.create_task(asyncio.wait_writable, t.pipe)
      asyncio.wait_readable(t.pipe)
      other:cancel()
    end,
    check = function(asyncio, _, t)
      asyncio.wait_readable(t.pipe)
      t.pipe:close()
    end,
  },
}
