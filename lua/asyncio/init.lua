-- SPDX-License-Identifier: MIT
return require "asyncio.core"
