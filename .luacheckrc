std = "lua54"
max_line_length = 100
unused_args = false
cache = false

exclude_files = { "build", "spec/oracle", "types" }

-- a <close> variable is there for its __close
ignore = { "211/_.*", "231/_.*" }

files["spec/**/*_spec.lua"] = { std = "+busted" }
files["lua-asyncio-*.rockspec"] = { std = "+rockspec" }
