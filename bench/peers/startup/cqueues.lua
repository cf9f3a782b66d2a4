-- SPDX-License-Identifier: MIT
local cq = require("cqueues").new() cq:wrap(function() end) assert(cq:loop())
