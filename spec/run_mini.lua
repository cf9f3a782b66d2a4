-- SPDX-License-Identifier: MIT
-- Runs one spec file with spec/minibusted.lua.

return function(path, add, finish)
  require("spec.minibusted").run(path, add)
  finish()
end
