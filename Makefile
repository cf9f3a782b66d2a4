# SPDX-License-Identifier: MIT
# `make help` lists the commands. What is long stands in tools/; here is what depends on what.
#
# From make or the environment, to build elsewhere than on Debian: LUA= LUA_INCDIR= LUA_LIBDIR=
# LUA_LIBS= UV_CFLAGS= UV_LIBS= CC= CFLAGS= LDFLAGS=
# For one command: F=task,queue (specs and C tests by name)  SCALE=0.1 (sizes)  SEEDS= PROFILE=

ifndef LUA
LUA := $(firstword $(foreach l,lua5.4 lua5.5 lua54 lua55 lua,\
  $(if $(shell command -v $l),$l)) lua5.4)
endif
LUA_V := $(or $(shell $(LUA) -e 'io.write(_VERSION:match"%d.%d")' 2>/dev/null),5.4)
PKG_LUA := $(firstword $(foreach p,lua$(LUA_V) lua-$(LUA_V) lua$(subst .,,$(LUA_V)),\
  $(shell pkg-config --exists $p 2>/dev/null && echo $p)))

ifdef LUA_INCDIR
LUA_CFLAGS := -I$(LUA_INCDIR)
else
LUA_CFLAGS := $(if $(PKG_LUA),$(shell pkg-config --cflags $(PKG_LUA)),-I/usr/include/lua$(LUA_V))
endif
ifdef LUA_LIBDIR
LUA_LDFLAGS := -L$(LUA_LIBDIR) -Wl,-rpath,$(LUA_LIBDIR)
LUA_LIBS ?= -llua
else
ifndef LUA_LIBS
LUA_LIBS := $(if $(PKG_LUA),$(shell pkg-config --libs $(PKG_LUA)),-llua$(LUA_V))
endif
endif
ifndef UV_CFLAGS
UV_CFLAGS := $(shell pkg-config --cflags libuv 2>/dev/null)
endif
ifndef UV_LIBS
UV_LIBS := $(or $(shell pkg-config --libs libuv 2>/dev/null),-luv)
endif

# gnu99: C99 with what POSIX adds. No -fvisibility here: the source's attributes set it, so that
# LuaRocks' builtin build, which takes no flags, exports the same names. And -iquote, not -I: a
# room's header must not stand in for a system's of the same name (wait.h).
CFLAGS ?= -O2 -g
WARN := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wundef \
  -Wold-style-definition -Wwrite-strings -Wformat=2 -Werror=implicit-function-declaration
# Lua's API is called some fifty times for a task: without a detour over the linkage table, which Lua
# fills when it loads the library in any case. Not every compiler knows the flag.
NOPLT := $(if $(shell $(CC) -fno-plt -x c -S -o /dev/null /dev/null 2>&1),,-fno-plt)
ASY_CFLAGS = -std=gnu99 -fPIC $(NOPLT) $(WARN) $(CFLAGS) $(SAN) $(LUA_CFLAGS) $(UV_CFLAGS) \
  -iquote src
ifeq ($(shell uname -s),Darwin)
SHARED := -bundle -undefined dynamic_lookup
else
SHARED := -shared -Wl,--as-needed
EXPORT := -Wl,-E
HOST_LIBS := -ldl
endif

# A variant (asan, tsan) is this same file run again with its own B and SAN.
B ?= build
SRC := $(wildcard src/*.c)
OBJ := $(SRC:src/%.c=$(B)/obj/%.o)
C_TESTS := $(patsubst spec/c/%.c,$(B)/c/%,$(wildcard spec/c/*_test.c))
# Lua modules in C that specs use (require "spec.posix"). The one of libcurl needs its headers.
CURL := $(shell pkg-config --exists libcurl 2>/dev/null && echo curl)
MODULES := $(patsubst %,$(B)/spec/%.so,posix $(CURL))
# What links a host of the static library: the C tests and tools/testhost.c.
HOST_LINK = $(B)/libasyncio.a $(EXPORT) $(LDFLAGS) $(LUA_LDFLAGS) $(LUA_LIBS) $(UV_LIBS) \
  $(HOST_LIBS) -lm -lpthread

F ?=
SEEDS ?= 1..200
PROFILE ?= all
export F LUA CC
unexport LUA_PATH_5_4 LUA_CPATH_5_4 LUA_PATH_5_5 LUA_CPATH_5_5
TREE_PATH = $(CURDIR)/lua/?.lua;$(CURDIR)/lua/?/init.lua
TREE = LUA_PATH='$(TREE_PATH);$(CURDIR)/?.lua;;' LUA_CPATH='$(CURDIR)/$(B)/?.so;;'
SPECS = $(TREE) SPEC_C='$(C_TESTS)' $(SPEC_ENV) $(LUA) spec/run.lua
AGAIN = $(MAKE) --no-print-directory

.PHONY: all help deps deps-dev demo test check ctests asan tsan gc oom valgrind lint format docs \
  types parts bench bench-more plot allocations guard guard-update oracle env onefile install rock clean FORCE
.DELETE_ON_ERROR:

all: $(B)/asyncio/core.so $(B)/libasyncio.a ## build the module and, for static hosts, the library

help: ## list the commands
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' Makefile | \
	  while IFS='|' read -r name what; do printf '  make %-10s %s\n' "$$name" "$$what"; done

deps: ## install what building and testing need, where it is missing (Debian; else name it)
	@LUA_CFLAGS='$(LUA_CFLAGS)' LUA_LINK='$(LUA_LDFLAGS) $(LUA_LIBS)' UV_CFLAGS='$(UV_CFLAGS)' \
	  UV_LIBS='$(UV_LIBS)' CFLAGS='$(CFLAGS)' sh tools/deps.sh run

deps-dev: deps ## the same for lint, docs, asan, valgrind, rock
	@sh tools/deps.sh dev

# The second make reads this file again, after the packages have come.
demo: deps ## build, then an echo server and 200 clients, every byte checked
	@$(AGAIN) all
	@$(AGAIN) run-demo

test: deps ## build and run every spec and C test; F=task for one room
	@$(AGAIN) check

.PHONY: run-demo run-asan run-tsan run-gc run-oom run-valgrind modules
run-demo:
	@$(TREE) $(LUA) examples/demo.lua

check: all
	-@$(AGAIN) -s -k ctests modules
	@$(SPECS)

asan: ## the specs with the module under AddressSanitizer and UBSan
	@$(AGAIN) B=build/asan CFLAGS='-O1 -g -fno-omit-frame-pointer' \
	  SAN='-fsanitize=address,undefined -fno-sanitize-recover=undefined' run-asan

run-asan: all $(B)/unpreload.so
	-@$(AGAIN) -s -k ctests modules
	@SPEC_SLOW=$${SPEC_SLOW:-4} SPEC_LUA='sh $(CURDIR)/tools/sanitized.sh address $(LUA)' \
	  SPEC_C_WRAP='sh $(CURDIR)/tools/sanitized.sh none' $(SPECS)

# Without the calls at the entry and exit of functions: Lua's errors and yields jump over them, in
# Debian's build by a longjmp that the sanitizer does not see, and its own stack runs full.
tsan: ## the specs with the module under ThreadSanitizer
	@$(AGAIN) B=build/tsan CFLAGS='-O1 -g' \
	  SAN='-fsanitize=thread --param=tsan-instrument-func-entry-exit=0' run-tsan

run-tsan: all $(B)/unpreload.so
	-@$(AGAIN) -s -k ctests modules
	@SPEC_SLOW=$${SPEC_SLOW:-8} SPEC_LUA='sh $(CURDIR)/tools/sanitized.sh thread $(LUA)' \
	  SPEC_C_WRAP='setarch -R sh $(CURDIR)/tools/sanitized.sh none' $(SPECS)

gc: all modules $(B)/testhost ## each spec twice: collecting at each allocation, then every 100 instructions
	@for mode in alloc hook; do echo "--- gc $$mode"; SCALE=$${SCALE:-0.001} SPEC_RUNNER=mini \
	  SPEC_SLOW=$${SPEC_SLOW:-10} SPEC_LUA='$(CURDIR)/$(B)/testhost --gc-'$$mode \
	  $(TREE) SPEC_C= $(LUA) spec/run.lua || failed=1; done; test -z "$$failed"

oom: all $(B)/testhost ## each allocation fails once, in a scenario for each public function
	@$(TREE) $(LUA) tools/oom.lua --all '$(CURDIR)/$(B)/testhost'

valgrind: all ## the specs under valgrind; F=task,locks for some rooms
	-@$(AGAIN) -s -k ctests modules
	@SCALE=$${SCALE:-0.01} SPEC_SLOW=$${SPEC_SLOW:-20} SPEC_RUNNER=mini \
	  SPEC_LUA='sh $(CURDIR)/tools/valgrind.sh $(LUA)' \
	  SPEC_C_WRAP='sh $(CURDIR)/tools/valgrind.sh' $(SPECS)

lint: ## warnings as errors (gcc, clang), cppcheck, luacheck, format, structure, documentation
	@WARN='$(WARN)' LUA_CFLAGS='$(LUA_CFLAGS)' UV_CFLAGS='$(UV_CFLAGS)' TREE="$(TREE)" sh tools/lint.sh

format: ## put the C sources into shape with clang-format
	@$(LUA) tools/format.lua

docs: ## the reference, from the comments in src/ and lua/: docs/reference/
	@$(LUA) tools/gen_docs.lua docs/reference $(B)/docs

types: ## types/asyncio.lua for editors, from the same comments
	@$(LUA) tools/gen_types.lua

parts: ## src/lua_parts.h from lua/asyncio/*.lua, and the rockspec's list of C files from src/
	@$(LUA) tools/gen_lua_parts.lua
	@$(LUA) tools/check_rockspec.lua --write

# What bench/ runs: C programs with libuv alone, and the clocks of the Lua programs.
BENCH = $(addprefix $(B)/bench/,echo_load echo_uv loop_uv sleepers_uv benchutil_c.so)
BENCH_ENV = LUA_PATH='$(TREE_PATH);$(CURDIR)/bench/lib/?.lua;;' BENCH_BUILD='$(CURDIR)/$(B)/bench' \
  LUA_CPATH='$(CURDIR)/$(B)/?.so;$(CURDIR)/$(B)/bench/?.so;;'
bench: all $(BENCH) ## compare with coroutines, libuv in C and installed peers, under two minutes
	@$(BENCH_ENV) $(LUA) bench/run.lua

allocations: $(B)/c/allocation_test ## allocations and bytes of an operation of each kind
	@ALLOCATIONS=1 $<

bench-more: all $(BENCH) ## combinators beside asyncio; curves of growth: some minutes
	@$(BENCH_ENV) $(LUA) bench/combinators.lua
	@$(BENCH_ENV) $(LUA) bench/growth.lua

plot: ## bench/comparison.svg from the last `make bench`
	@$(LUA) bench/plot.lua

guard: all ## instructions of eleven operations under callgrind, compared with the record
	@$(BENCH_ENV) $(LUA) bench/guard.lua

guard-update: all ## write the record anew: a deliberate change of speed
	@$(BENCH_ENV) $(LUA) bench/guard.lua --update

oracle: all ## random programs against CPython's asyncio; SEEDS=1..200 PROFILE=all
	@$(TREE) python3 spec/oracle/compare.py --seeds $(SEEDS) --profile $(PROFILE) --lua '$(LUA)'

env: ## print exports that let any script find the built tree: eval "$(make -s env)"
	@printf "export LUA_PATH='%s;;'\nexport LUA_CPATH='%s/?.so;;'\n" '$(TREE_PATH)' '$(CURDIR)/$(B)'
	@printf 'unset LUA_PATH_$(subst .,_,$(LUA_V)) LUA_CPATH_$(subst .,_,$(LUA_V))\n'

onefile: ## write asyncio_all.c and asyncio_all.h, the library as one file, and try it
	@$(LUA) tools/onefile.lua $(B)/onefile
	@CC='$(CC)' CFLAGS='$(LUA_CFLAGS) $(UV_CFLAGS)' LIBS='$(wordlist 2,99,$(HOST_LINK))' \
	  sh tools/onefile_test.sh $(B)/onefile

PREFIX ?= /usr/local
install: all ## copy the module to PREFIX=/usr/local (DESTDIR= for packagers)
	@sh tools/install.sh $(B) '$(DESTDIR)$(PREFIX)' $(LUA_V)

rock: ## install the rock with LuaRocks into build/rock
	@sh tools/rock.sh build/rock $(LUA_V)

clean: ## remove what was built
	rm -rf build asyncio_all.c asyncio_all.h

# ---- files

# Written only when it changes: other flags, headers or compiler build everything anew.
FLAGS = $(CC) $(ASY_CFLAGS) $(LDFLAGS) $(LUA_LIBS) $(UV_LIBS)
$(B)/flags: FORCE
	@mkdir -p $(B)/obj $(B)/c $(B)/asyncio
	@echo '$(FLAGS)' | cmp -s - $@ || echo '$(FLAGS)' > $@

$(B)/obj/%.o: src/%.c $(B)/flags
	$(CC) $(ASY_CFLAGS) -MMD -MP -c -o $@ $<

$(B)/asyncio/core.so: $(OBJ)
	$(CC) $(SHARED) $(SAN) $(LDFLAGS) -o $@ $^ $(UV_LIBS) $(HOST_LIBS)

$(B)/libasyncio.a: $(OBJ)
	rm -f $@ && $(AR) rcs $@ $^

$(B)/bench/%.so: bench/%.c $(B)/flags
	@mkdir -p $(B)/bench
	$(CC) $(ASY_CFLAGS) -Ibench $(SHARED) -o $@ $<

$(B)/bench/%: bench/%.c bench/benchutil.h $(B)/flags
	@mkdir -p $(B)/bench
	$(CC) -std=gnu99 $(CFLAGS) -Wall -Wextra $(UV_CFLAGS) -o $@ $< $(UV_LIBS)

# It counts what the library takes with malloc.
$(B)/c/allocation_test: HOST_LINK += -Wl,--wrap=malloc

ctests: $(C_TESTS)
$(B)/c/%: spec/c/%.c $(B)/libasyncio.a $(B)/flags
	$(CC) $(ASY_CFLAGS) -MMD -MP -o $@ $< $(HOST_LINK)

modules: $(MODULES)
$(B)/spec/%.so: spec/c/%_module.c $(B)/flags
	@mkdir -p $(B)/spec
	$(CC) $(ASY_CFLAGS) -MMD -MP $(SHARED) -o $@ $< $(if $(filter curl,$*),\
	  $(shell pkg-config --cflags --libs libcurl))

$(B)/testhost: tools/testhost.c $(B)/flags
	$(CC) $(ASY_CFLAGS) -MMD -MP -o $@ $< $(wordlist 2,99,$(HOST_LINK))

$(B)/unpreload.so: tools/unpreload.c $(B)/flags
	$(CC) -O1 -fPIC $(WARN) $(SHARED) -o $@ $<

-include $(OBJ:.o=.d) $(C_TESTS:=.d) $(MODULES:.so=.d)
