-- SPDX-License-Identifier: MIT
-- asyncio.fs.watch. What happens to the files is done with Lua's own functions: it has happened
-- when they return, and the events come in the loop's next polls.

local asyncio <const> = require "asyncio"
local helper <const> = require "spec.helper"
local virtual <const> = require "spec.virtual"
local on_loop <const> = require "spec.on_loop"(it, assert)

local it_runs <const> = on_loop.it_runs
local assert_code <const> = on_loop.assert_code

local fs <const> = asyncio.fs

-- A directory that is removed, with the files in it, at the end of the scope.
local function directory()
  local path <const> = fs.mkdtemp()
  return setmetatable({ path = path }, {
    __concat = function(self, name) return self.path .. "/" .. name end,
    __close = function()
      for name in fs.scandir(path) do fs.unlink(path .. "/" .. name) end
      fs.rmdir(path)
    end,
  })
end

local function put(path, text)
  local file <close> = assert(io.open(path, "a"))
  file:write(text or "")
end

describe("fs.watch", function()
  it_runs("tells what is made, changed, renamed and removed in a directory", function()
    local dir <close> = directory()
    local watcher <close> = fs.watch(dir.path)
    put(dir .. "a")
    assert.same({ "rename", "a" }, { watcher() })
    put(dir .. "a", "text")
    assert.same({ "change", "a" }, { watcher() })
    os.rename(dir .. "a", dir .. "b")
    assert.same({ "rename", "a" }, { watcher() })
    assert.same({ "rename", "b" }, { watcher() })
    os.remove(dir .. "b")
    assert.same({ "rename", "b" }, { watcher() })
  end)

  it_runs("tells what happens to a file", function()
    local dir <close> = directory()
    put(dir .. "a")
    local watcher <close> = fs.watch(dir .. "a")
    put(dir .. "other")
    put(dir .. "a", "text")
    assert.same({ "change", "a" }, { watcher() })
  end)

  it_runs("is an iterator for a for loop, which waits and closes", function()
    local dir <close> = directory()
    local seen <const> = {}
    local kept
    asyncio.get_running_loop():call_later(0.01, put, dir .. "a")
    for kind, name in (function(...)
      kept = ...
      return ...
    end)(fs.watch(dir.path)) do
      seen[#seen + 1] = kind .. " " .. name
      if #seen == 2 then break end
      put(dir .. "b")
    end
    assert.same({ "rename a", "rename b" }, seen)
    assert.matches("^<asyncio%.Watcher 0x%x+ %[closed, ", tostring(kept))
    assert.is_nil(kept())
  end)

  it_runs("ends for those who wait when it is closed", function()
    local dir <close> = directory()
    local watcher <const> = fs.watch(dir.path)
    assert.matches("%[open, ", tostring(watcher))
    local waiting <const> = {}
    for i = 1, 3 do
      waiting[i] = asyncio.create_task(function()
        for _ in watcher do error("nothing happens") end
        return "ended"
      end)
    end
    asyncio.sleep(0)
    watcher:close()
    watcher:close()
    for i = 1, 3 do assert.equal("ended", waiting[i]:await()) end
    put(dir .. "a")
    assert.is_nil(watcher())
  end)

  it_runs("that is cancelled loses no event", function()
    local dir <close> = directory()
    local watcher <close> = fs.watch(dir.path)
    local first <const> = asyncio.create_task(function() return watcher() end)
    local second <const> = asyncio.create_task(function() return watcher() end)
    asyncio.sleep(0)
    put(dir .. "a")
    first:cancel()
    assert.is_false(pcall(asyncio.await, first))
    assert.same({ "rename", "a" }, { second:await() })
    put(dir .. "b")
    local third <const> = asyncio.create_task(function() return watcher() end)
    asyncio.sleep(0)
    third:cancel()
    if not pcall(asyncio.await, third) then assert.same({ "rename", "b" }, { watcher() }) end
  end)

  it_runs("serves several tasks in the order in which they came", function()
    local dir <close> = directory()
    local watcher <close> = fs.watch(dir.path)
    local tasks <const> = {}
    for i = 1, 3 do
      tasks[i] = asyncio.create_task(function() return select(2, watcher()) end)
      asyncio.sleep(0)
    end
    for i = 1, 3 do put(dir .. tostring(i)) end
    for i = 1, 3 do assert.equal(tostring(i), tasks[i]:await()) end
  end)

  it_runs("says how many events it had no room for", function()
    local dir <close> = directory()
    local watcher <close> = fs.watch(dir.path, { limit = 3 })
    for i = 1, 10 do put(dir .. tostring(i)) end
    asyncio.sleep(0.05)
    for i = 1, 3 do assert.same({ "rename", tostring(i) }, { watcher() }) end
    local kind <const>, name <const>, lost <const> = watcher()
    assert.same({ "overflow", 7 }, { kind, lost })
    assert.is_nil(name)
    put(dir .. "later")
    assert.same({ "rename", "later" }, { watcher() })
  end)

  it_runs("makes one event of equal ones that nobody has taken", function()
    local dir <close> = directory()
    put(dir .. "a")
    local watcher <close> = fs.watch(dir.path)
    for _ = 1, 5 do
      put(dir .. "a", "text")
      asyncio.sleep(0.001)
    end
    put(dir .. "b")
    assert.same({ "change", "a" }, { watcher() })
    assert.same({ "rename", "b" }, { watcher() })
  end)

  it_runs("watches one path twice", function()
    local dir <close> = directory()
    local one <close> = fs.watch(dir.path)
    local two <close> = fs.watch(dir.path)
    put(dir .. "a")
    assert.same({ "rename", "a" }, { one() })
    assert.same({ "rename", "a" }, { two() })
    one:close()
    put(dir .. "b")
    assert.same({ "rename", "b" }, { two() })
  end)

  it_runs("raises what the system refuses", function()
    local err <const> = assert_code("ENOENT", fs.watch, "/no/such/file")
    assert.equal("/no/such/file", err.path)
    virtual.refuses("unknown option", fs.watch, "/", { recursive = true })
    virtual.refuses("out of range", fs.watch, "/", { limit = 0 })
  end)

  it("raises where descriptors run out, and works again when there are some", function()
    local result <const> = helper.run_script([[
      local asyncio = require "asyncio"
      asyncio.run(function()
        asyncio.fs.stat("/")
        local files = {}
        repeat files[#files + 1] = io.open("/dev/null") until not io.open("/dev/null")
        local ok, err = pcall(asyncio.fs.watch, "/tmp")
        print(ok, err.code, err.path)
        for _, f in ipairs(files) do f:close() end
        local watcher <close> = asyncio.fs.watch("/tmp")
        print(watcher ~= nil)
      end)
    ]], { env = "ulimit -n 64;" })
    assert.equal("false\tEMFILE\t/tmp\ntrue\n", result.out, result.err)
  end)

  it_runs("belongs to its loop, and ends with it", function()
    local other <const> = asyncio.new_event_loop()
    other:close()
    local watcher <const> = fs.watch("/tmp")
    assert.matches("open", tostring(watcher))
  end)

  it("of a closed loop gives nothing", function()
    local watcher
    asyncio.run(function() watcher = fs.watch("/tmp") end)
    assert.is_nil(watcher())
    assert.matches("closed", tostring(watcher))
    watcher:close()
    collectgarbage()
  end)

  it("can be in flight when the state closes, or be collected", function()
    local result <const> = helper.run_script [[
      local asyncio = require "asyncio"
      asyncio.run(function()
        for _ = 1, 5 do asyncio.fs.watch("/tmp") end
        collectgarbage()
        for i = 1, 5 do
          local watcher = asyncio.fs.watch("/tmp")
          asyncio.create_task(function() for _ in watcher do end end)
        end
        local one = asyncio.fs.watch("/tmp")
        getmetatable(one).__gc(one)
        assert(not pcall(one))
        asyncio.sleep(0.001)
        os.exit(3, true)
      end)
    ]]
    assert.equal(3, result.status, result.err)
    assert.equal("", result.err)
  end)
end)
