-- SPDX-License-Identifier: MIT
-- Draws what the last `make bench` measured: bench/comparison.svg from build/bench/results.lua.
-- Each bar is a ratio to the reference of its group (raw Lua coroutines, or raw libuv in C), on a
-- logarithmic axis: a shorter bar is less CPU time.
local results <const> = dofile((os.getenv "BENCH_BUILD" or "build/bench") .. "/results.lua")
local COLOURS <const> = { reference = "#9e9e9e", ours = "#1565c0", luv = "#2e7d32",
  cqueues = "#c0ca33", asyncio = "#ef6c00", uvloop = "#ad1457" }
local LABELS <const> = { reference = "reference", ours = "lua-asyncio",
  luv = "luv and coroutines" }
local LEFT <const>, WIDTH <const>, BAR <const> = 190, 520, 11
local LOW <const>, HIGH <const> = 0.25, 128

local out = {}
local function add(format, ...)
  out[#out + 1] = format:format(...)
end

local function text(x, y, size, anchor, s)
  s = s:gsub("[&<>]", { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;" })
  add('<text x="%.0f" y="%.0f" font-size="%d" text-anchor="%s" fill="#444">%s</text>', x, y, size,
    anchor, s)
end

local function place(ratio)
  ratio = math.max(LOW, math.min(HIGH, ratio))
  return LEFT + WIDTH * math.log(ratio / LOW) / math.log(HIGH / LOW)
end

local y = 54
for _, group in ipairs(results) do
  local reference
  for _, peer in ipairs(group) do
    if peer.name == "reference" then reference = peer.value end
  end
  if reference then
    text(LEFT - 8, y + 12, 12, "end", group.title)
    text(LEFT - 8, y + 26, 10, "end", group.unit)
    for _, peer in ipairs(group) do
      local x = place(peer.value / reference)
      add('<rect x="%d" y="%d" width="%.1f" height="%d" fill="%s"/>', LEFT, y, x - LEFT, BAR - 2,
        COLOURS[peer.name] or "#000")
      text(x + 4, y + BAR - 2, 9, "start", peer.name == "reference" and
        ("%.0f"):format(peer.value) or ("x%.2f"):format(peer.value / reference))
      y = y + BAR
    end
    y = y + 12
  end
end

local x = LEFT
for _, name in ipairs { "reference", "ours", "luv", "cqueues", "asyncio", "uvloop" } do
  local label = LABELS[name] or name
  add('<rect x="%d" y="28" width="10" height="10" fill="%s"/>', x, COLOURS[name])
  text(x + 14, 37, 11, "start", label)
  x = x + 28 + 6 * #label
end
text(LEFT, 16, 11, "start",
  "ratio to the reference (1: the dashed line); shorter is better; log scale")
add('<line x1="%.1f" y1="46" x2="%.1f" y2="%d" stroke="#444" stroke-dasharray="3 3"/>', place(1),
  place(1), y)
text(8, y + 14, 9, "start", results.machine)
local file = assert(io.open("bench/comparison.svg", "w"))
file:write(([[
<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif">
<rect width="100%%" height="100%%" fill="#fff"/>
]]):format(LEFT + WIDTH + 60, y + 26), table.concat(out, "\n"), "\n</svg>\n")
file:close()
print "written: bench/comparison.svg"
