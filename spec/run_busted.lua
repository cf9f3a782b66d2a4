-- SPDX-License-Identifier: MIT
-- Runs one spec file with busted's library (never its command) and passes each result on.

return function(path, add, finish)
  local busted = require "busted.core"()
  require "busted"(busted)

  local function full_name(element)
    local names = {}
    while element and element.descriptor ~= "file" do
      if element.name then table.insert(names, 1, tostring(element.name)) end
      element = busted.context.parent(element)
    end
    return #names > 0 and table.concat(names, " ") or path
  end

  -- A test may fail twice (its body, its `finally`): it counts once, with both messages.
  local messages, reasons = {}, {}

  local function describe_failure(message, trace)
    local text = tostring(message)
    return trace and trace.traceback and text .. "\n" .. trace.traceback:gsub("^\n", "") or text
  end

  local function on_failure(element, _, message, trace)
    local text = describe_failure(message, trace)
    if element.descriptor == "it" then
      messages[element] = messages[element] and messages[element] .. "\n" .. text or text
    else
      add("failed", ("%s (%s)"):format(full_name(element), element.descriptor or "file"), text)
    end
    return nil, true
  end

  busted.subscribe({ "failure" }, on_failure)
  busted.subscribe({ "error" }, on_failure)
  busted.subscribe({ "pending" }, function(element, _, message)
    -- busted puts its own place in front of the reason.
    reasons[element] = message and tostring(message):gsub("^[^\n]-:%d+: ", "", 1) or nil
    return nil, true
  end)
  busted.subscribe({ "test", "end" }, function(element, _, status)
    if status == "success" then
      add("passed", full_name(element))
    elseif status == "pending" then
      add("skipped", full_name(element), reasons[element] or "pending")
    else
      add("failed", full_name(element), messages[element] or "failed outside its body")
    end
    return nil, true
  end)

  local load_files = require "busted.modules.test_file_loader"(busted, { "lua" })
  load_files({ path }, { "" }, { excludes = {} })
  require "busted.execute"(busted)(1, {})
  finish()
end
