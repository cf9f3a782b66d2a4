-- SPDX-License-Identifier: MIT
-- What specs of functions that wait have in common. `it` and `assert` belong to the spec's file:
-- load with `local on_loop = require "spec.on_loop"(it, assert)`.

local asyncio <const> = require "asyncio"
local helper <const> = require "spec.helper"

return function(it, assert)
  local on_loop <const> = {}

  -- A test that is the main task of a loop, and gets it; one that hangs fails.
  function on_loop.it_runs(name, fn)
    it(name, function()
      asyncio.run(function() asyncio.timeout(30 * helper.SLOW, fn, asyncio.get_running_loop()) end)
    end)
  end

  -- Call the function with the two ends of a TCP connection.
  function on_loop.with_connection(fn)
    local listener <close> = asyncio.socket()
    listener:bind("127.0.0.1", 0)
    listener:listen()
    local a <close> = asyncio.open_connection(listener:getsockname())
    local b <close> = listener:accept()
    fn(a, b)
  end

  -- A task that calls the method, and waits there if it has to.
  function on_loop.start(object, method, ...)
    local task <const> = asyncio.create_task(object[method], object, ...)
    asyncio.sleep(0)
    return task
  end

  -- The function raises an OSError with this code: the error.
  function on_loop.assert_code(code, fn, ...)
    local ok, err = pcall(fn, ...)
    assert.is_false(ok)
    assert.is_true(asyncio.is(err, asyncio.OSError), tostring(err))
    assert.equal(code, err.code)
    return err
  end

  function on_loop.assert_cancelled(task)
    local ok, err = pcall(asyncio.await, task)
    assert.is_false(ok)
    assert.is_true(asyncio.is(err, asyncio.CancelledError), tostring(err))
  end

  return on_loop
end
