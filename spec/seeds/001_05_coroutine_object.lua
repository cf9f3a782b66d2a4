-- Document 001, block 5: a coroutine function, and the object that it returns.
-- Deviations: the document's three lines print nothing; here the object is looked at. As in Python
-- it has not run, and nobody runs it (debug mode would warn).
local asyncio = require "asyncio"

local func = asyncio.async(function()
end)

local result = func()

print(asyncio.iscoroutinefunction(func), asyncio.iscoroutine(func))
print(asyncio.iscoroutinefunction(result), asyncio.iscoroutine(result))
print(result)

--[[ output
true false
false true
<coroutine object func at 0x...>
]]
