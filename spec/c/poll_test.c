/* SPDX-License-Identifier: MIT */
/*
** A host that drives the loop from its own frame: asyncio_poll under a budget, asyncio_timeout,
** opening and closing.
*/
#include "host.h"

/* ---- polling */

static void poll_runs_tasks(Check *t) {
  lua_State *L = host_new_state();
  asyncio_Loop *loop = host_open(t, L, NULL, 0);
  host_run(t, L,
           "local asyncio = require 'asyncio'\n"
           "assert(asyncio == require 'asyncio.core')\n"
           "local loop = asyncio.get_event_loop()\n"
           "order = ''\n"
           "for i = 1, 3 do\n"
           "  loop:create_task(function()\n"
           "    for _ = 1, 3 do\n"
           "      asyncio.sleep(i / 1000)\n"
           "      order = order .. i\n"
           "    end\n"
           "    done = #order == 9\n"
           "  end)\n"
           "end\n");
  host_check_string(t, L, "order", "");
  host_poll_until(t, L, loop, "done");
  check_int(t, asyncio_poll(loop, 0), 0);
  check(t, asyncio_timeout(loop) < 0);
  check_int(t, lua_gettop(L), 0);
  check_int(t, asyncio_close(L, loop), 0);
  lua_close(L);
}

/* With a budget of 0 each call is one turn: what a turn makes ready waits for the next call. */
static void poll_one_turn(Check *t) {
  lua_State *L = host_new_state();
  asyncio_Loop *loop = host_open(t, L, NULL, 0);
  host_run(
      t, L,
      "local loop = require 'asyncio'.get_event_loop()\n"
      "turns = 0\n"
      "local function step() turns = turns + 1; if turns < 5 then loop:call_soon(step) end end\n"
      "loop:call_soon(step)\n");
  for (int i = 1; i <= 5; i++) {
    check(t, asyncio_timeout(loop) == 0);
    check_int(t, asyncio_poll(loop, 0), i < 5);
    check_int(t, host_integer(L, "turns"), i);
  }
  check_int(t, asyncio_poll(loop, 0), 0);
  check_int(t, host_integer(L, "turns"), 5);
  lua_close(L);
}

/* It stops between two tasks when the budget is used up; the rest comes in the next calls, in the
 * same order, and what is queued meanwhile after it. */
static void poll_budget(Check *t) {
  lua_State *L = host_new_state();
  asyncio_Loop *loop = host_open(t, L, NULL, 0);
  host_run(t, L,
           "local asyncio = require 'asyncio'\n"
           "local loop = asyncio.get_event_loop()\n"
           "count, sorted, halves = 0, true, 0\n"
           "local last = 0\n"
           "for i = 1, 300 do\n"
           "  loop:create_task(function()\n"
           "    halves = halves + 1\n"
           "    local start = os.clock()\n"
           "    while os.clock() < start + 0.0002 do end\n"
           "    halves = halves - 1\n"
           "    count = count + 1\n"
           "    sorted = sorted and i == last + 1\n"
           "    last = i\n"
           "    if i == 1 then\n"
           "      loop:call_soon(function() late = count end)\n"
           "    end\n"
           "  end)\n"
           "end\n");
  int calls = 0;
  while (host_integer(L, "count") < 300 && calls < 1000) {
    lua_Integer before = host_integer(L, "count");
    int more = asyncio_poll(loop, 0.001);
    check_int(t, host_integer(L, "halves"), 0);
    check(t, host_integer(L, "count") > before);
    if (host_integer(L, "count") < 300) check_int(t, more, 1);
    calls++;
  }
  check(t, calls > 5); /* 60 ms of work, a millisecond each */
  while (asyncio_poll(loop, 0.001) == 1)
    continue;
  check_int(t, host_integer(L, "late"), 300);
  lua_getglobal(L, "sorted");
  check(t, lua_toboolean(L, -1));
  lua_close(L);
}

static void poll_timeout(Check *t) {
  lua_State *L = host_new_state();
  asyncio_Loop *loop = host_open(t, L, NULL, 0);
  check(t, asyncio_timeout(loop) < 0);
  host_run(t, L, "timer = require 'asyncio'.get_event_loop():call_later(100, print)");
  check(t, asyncio_timeout(loop) > 99 && asyncio_timeout(loop) <= 100);
  host_run(t, L, "soon = require 'asyncio'.get_event_loop():call_later(0.002, function() end)");
  check(t, asyncio_timeout(loop) <= 0.002);
  uv_sleep(4);
  check(t, asyncio_timeout(loop) == 0);
  check_int(t, asyncio_poll(loop, 0), 0);
  host_run(t, L, "timer:cancel()");
  check(t, asyncio_timeout(loop) < 0);
  lua_close(L);
}

/* A host that sleeps for long finds all that was due, once, in order. */
static void poll_late(Check *t) {
  lua_State *L = host_new_state();
  asyncio_Loop *loop = host_open(t, L, NULL, 0);
  host_run(t, L,
           "local asyncio = require 'asyncio'\n"
           "local loop = asyncio.get_event_loop()\n"
           "order = ''\n"
           "local now = loop:time()\n"
           "for i = 9, 1, -1 do\n"
           "  loop:call_at(now + i / 1000, function() order = order .. i end)\n"
           "end\n");
  uv_sleep(15);
  asyncio_poll(loop, 0);
  asyncio_poll(loop, 0);
  host_check_string(t, L, "order", "123456789");
  lua_close(L);
}

static void poll_virtual_clock(Check *t) {
  lua_State *L = host_new_state();
  asyncio_Loop *loop = host_open(t, L, NULL, ASYNCIO_VIRTUAL_CLOCK);
  host_run(t, L,
           "local asyncio = require 'asyncio'\n"
           "local loop = asyncio.get_event_loop()\n"
           "loop:create_task(function()\n"
           "  asyncio.sleep(3600)\n"
           "  asyncio.sleep(3600)\n"
           "  slept = math.tointeger(loop:time())\n"
           "end)\n");
  for (int i = 0; i < 20; i++)
    asyncio_poll(loop, 0);
  check_int(t, host_integer(L, "slept"), 7200);
  lua_close(L);
}

static void poll_sockets(Check *t) {
  lua_State *L = host_new_state();
  asyncio_Loop *loop = host_open(t, L, NULL, 0);
  host_run(t, L,
           "local asyncio = require 'asyncio'\n"
           "local loop = asyncio.get_event_loop()\n"
           "loop:create_task(function()\n"
           "  local server = asyncio.start_server(function(reader, writer)\n"
           "    for line in reader:lines() do writer:write(line:upper() .. '\\n') end\n"
           "    writer:close()\n"
           "  end, '127.0.0.1', 0)\n"
           "  local _, port = server:sockets()[1]:getsockname()\n"
           "  local reader, writer = asyncio.open_connection('127.0.0.1', port)\n"
           "  writer:write('one\\ntwo\\n')\n"
           "  got = reader:readline() .. reader:readline()\n"
           "  writer:close()\n"
           "  server:close()\n"
           "end)\n");
  host_poll_until(t, L, loop, "got");
  host_check_string(t, L, "got", "ONE\nTWO\n");
  check_int(t, asyncio_close(L, loop), 0);
  lua_close(L);
}

/* Called by a script: a poll inside a task does nothing, and closing is an error. */
static int poll_reenter(lua_State *L) {
  asyncio_Loop *loop = lua_touserdata(L, lua_upvalueindex(1));
  lua_pushinteger(L, asyncio_poll(loop, 1));
  lua_pushinteger(L, asyncio_close(L, loop));
  lua_insert(L, -2);
  return 3;
}

static void poll_from_inside(Check *t) {
  lua_State *L = host_new_state();
  asyncio_Loop *loop = host_open(t, L, NULL, 0);
  lua_pushlightuserdata(L, loop);
  lua_pushcclosure(L, poll_reenter, 1);
  lua_setglobal(L, "reenter");
  host_run(t, L,
           "local loop = require 'asyncio'.get_event_loop()\n"
           "loop:create_task(function() polled, closed, message = reenter() end)\n"
           "loop:call_soon(function() nested = true end)\n");
  asyncio_poll(loop, 0);
  check_int(t, host_integer(L, "polled"), 1);
  check_int(t, host_integer(L, "closed"), -1);
  lua_getglobal(L, "message");
  check(t, lua_tostring(L, -1) && strstr(lua_tostring(L, -1), "cannot close a running event loop"));
  check_int(t, asyncio_close(L, loop), 0);
  lua_close(L);
}

/* Errors reach the exception handler; the host sees nothing of them. */
static void poll_errors(Check *t) {
  lua_State *L = host_new_state();
  asyncio_Loop *loop = host_open(t, L, NULL, ASYNCIO_DEBUG);
  host_run(t, L,
           "local asyncio = require 'asyncio'\n"
           "local loop = asyncio.get_event_loop()\n"
           "assert(loop:get_debug())\n"
           "errors = 0\n"
           "loop:set_exception_handler(function() errors = errors + 1; error 'the handler' end)\n"
           "loop:call_soon(error, 'a callback')\n"
           "loop:create_task(error, 'a task')\n"
           "loop:create_task(function() error(asyncio.KeyboardInterrupt()) end)\n"
           "loop:create_task(function() coroutine.yield('values') end)\n"
           "loop:call_soon(function() loop:stop() end)\n"
           "loop:call_soon(function() last = 1 end)\n");
  for (int i = 0; i < 5; i++)
    asyncio_poll(loop, 0.01);
  check_int(t, host_integer(L, "last"), 1);
  lua_gc(L, LUA_GCCOLLECT);
  check_int(t, host_integer(L, "errors"), 4);
  check_int(t, lua_gettop(L), 0);
  lua_close(L);
}

/* ---- opening and closing */

static void poll_refuses_toplevel(Check *t) {
  lua_State *L = host_new_state();
  host_open(t, L, NULL, 0);
  host_run(t, L,
           "local asyncio = require 'asyncio'\n"
           "local ok, message = pcall(asyncio.sleep, 0)\n"
           "assert(not ok and message:find 'the host drives the event loop', message)\n"
           "ok, message = pcall(function() return asyncio.Event():wait() end)\n"
           "assert(not ok and message:find 'the host drives the event loop', message)\n"
           "assert(#asyncio.all_tasks() == 0)\n");
  lua_close(L);
}

/* Nothing that a script runs may block the host, and its loop stays the current one. */
static void poll_refuses_runs(Check *t) {
  lua_State *L = host_new_state();
  asyncio_Loop *loop = host_open(t, L, NULL, 0);
  host_run(t, L,
           "local asyncio = require 'asyncio'\n"
           "local loop, ran = asyncio.get_event_loop(), 0\n"
           "local function main() ran = ran + 1 end\n"
           "local function refused(f, ...)\n"
           "  local ok, message = pcall(f, ...)\n"
           "  assert(not ok and message:find 'would block the host', message)\n"
           "  assert(message:find 'get_event_loop%(%):create_task', message)\n"
           "  assert(asyncio.get_event_loop() == loop and not loop:is_closed())\n"
           "  assert(#asyncio.all_tasks() == 0)\n"
           "end\n"
           "refused(asyncio.run, main)\n"
           "refused(asyncio.testing.run, main)\n"
           "local runner = asyncio.Runner()\n"
           "refused(runner.run, runner, main)\n"
           "runner:close()\n"
           "refused(loop.run_until_complete, loop, main)\n"
           "refused(loop.run_forever, loop)\n"
           "local own = asyncio.new_event_loop()\n"
           "refused(own.run_until_complete, own, main)\n"
           "refused(own.run_forever, own)\n"
           "asyncio.set_event_loop(own)\n"
           "local ok, message = pcall(asyncio.sleep, 0)\n"
           "assert(not ok and message:find 'the host drives the event loop', message)\n"
           "asyncio.set_event_loop(nil)\n"
           "assert(asyncio.get_event_loop() == loop)\n"
           "asyncio.set_event_loop(own)\n"
           "own:close()\n"
           "ok, message = pcall(asyncio.sleep, 0)\n"
           "assert(not ok and message:find 'the host drives the event loop', message)\n"
           "assert(asyncio.get_event_loop() == loop)\n"
           "loop:create_task(function()\n"
           "  local ok, message = pcall(asyncio.run, main)\n"
           "  assert(not ok and message:find 'from a running event loop', message)\n"
           "  assert(ran == 0)\n"
           "  done = true\n"
           "end)\n");
  host_poll_until(t, L, loop, "done");
  check_int(t, asyncio_close(L, loop), 0);
  host_run(t, L, "assert(require 'asyncio'.run(function() return 5 end) == 5)");
  lua_close(L);
}

static void poll_allows_runs(Check *t) {
  lua_State *L = host_new_state();
  asyncio_Loop *loop = host_open(t, L, NULL, ASYNCIO_SCRIPT);
  host_run(t, L,
           "asyncio = require 'asyncio'\n"
           "host = asyncio.get_event_loop()\n"
           "assert(asyncio.run(asyncio.sleep, 0.001, 'slept') == 'slept')\n"
           "assert(asyncio.get_event_loop() == host and not host:is_closed())\n"
           "do\n"
           "  local runner <close> = asyncio.Runner()\n"
           "  assert(runner:run(function() return 5 end) == 5)\n"
           "end\n"
           "assert(asyncio.get_event_loop() == host)\n"
           "assert(not pcall(asyncio.run, error, 'failed'))\n"
           "assert(asyncio.get_event_loop() == host)\n"
           "assert(host:run_until_complete(asyncio.sleep, 0, 6) == 6)\n"
           "host:create_task(function() done = true end)\n");
  asyncio_Loop *strict = host_open(t, L, NULL, 0); /* a second one, which must not be held up */
  host_run(t, L, "assert(not pcall(asyncio.run, asyncio.sleep, 0))");
  check_int(t, asyncio_close(L, strict), 0);
  host_run(t, L, "assert(asyncio.run(asyncio.sleep, 0, 7) == 7)");
  host_poll_until(t, L, loop, "done");
  lua_close(L);
}

static void poll_allows_toplevel(Check *t) {
  lua_State *L = host_new_state();
  asyncio_Loop *loop = host_open(t, L, NULL, ASYNCIO_SCRIPT);
  host_run(t, L, "assert(require 'asyncio'.sleep(0.001, 'slept') == 'slept')");
  check_int(t, asyncio_poll(loop, 0), 0);
  lua_close(L);
}

/* Two loops in one state: each runs only its own tasks; the last one is the current one. */
static void poll_two_loops(Check *t) {
  lua_State *L = host_new_state();
  asyncio_Loop *first = host_open(t, L, NULL, 0);
  host_run(t, L,
           "asyncio = require 'asyncio'\n"
           "one = asyncio.get_event_loop()\n"
           "log = ''\n"
           "one:create_task(function() log = log .. '1' end)\n");
  asyncio_Loop *second = host_open(t, L, NULL, 0);
  check(t, first != second);
  host_run(t, L,
           "local two = asyncio.get_event_loop()\n"
           "assert(one ~= two and asyncio == require 'asyncio')\n"
           "two:create_task(function() log = log .. '2' end)\n");
  asyncio_poll(second, 0);
  host_check_string(t, L, "log", "2");
  asyncio_poll(first, 0);
  host_check_string(t, L, "log", "21");
  check_int(t, asyncio_close(L, second), 0);
  host_run(t, L, "one:create_task(function() log = log .. '3' end)");
  asyncio_poll(first, 0);
  host_check_string(t, L, "log", "213");
  lua_close(L);
}

static void poll_close_in_flight(Check *t) {
  lua_State *L = host_new_state();
  asyncio_Loop *loop = host_open(t, L, NULL, 0);
  host_run(t, L,
           "local asyncio = require 'asyncio'\n"
           "local loop = asyncio.get_event_loop()\n"
           "log = ''\n"
           "for i = 1, 5 do\n"
           "  loop:create_task(function()\n"
           "    local _ <close> = setmetatable({}, {__close = function() log = log .. i end})\n"
           "    asyncio.sleep(1000)\n"
           "  end)\n"
           "end\n"
           "loop:create_task(function()\n"
           "  local server = asyncio.start_server(function(r) r:read(1) end, '127.0.0.1', 0)\n"
           "  local _, port = server:sockets()[1]:getsockname()\n"
           "  local reader = asyncio.open_connection('127.0.0.1', port)\n"
           "  connected = true\n"
           "  reader:read(1)\n"
           "end)\n");
  host_poll_until(t, L, loop, "connected");
  asyncio_poll(loop, 0);
  host_check_string(t, L, "log", "");
  check_int(t, asyncio_close(L, loop), 0);
  host_check_string(t, L, "log", "12345");
  loop = host_open(t, L, NULL, 0); /* and again, in the same state */
  host_run(t, L,
           "local asyncio = require 'asyncio'\n"
           "asyncio.get_event_loop():create_task(function() again = true end)\n");
  host_poll_until(t, L, loop, "again");
  lua_close(L); /* without asyncio_close */
}

static void poll_closed_by_script(Check *t) {
  lua_State *L = host_new_state();
  asyncio_Loop *loop = host_open(t, L, NULL, 0);
  host_run(t, L,
           "require 'asyncio'.get_event_loop():close()\n"
           "collectgarbage() collectgarbage()\n");
  check_int(t, asyncio_poll(loop, 0), -1);
  check_int(t, asyncio_poll(loop, 1), -1);
  check(t, asyncio_timeout(loop) < 0);
  check_int(t, asyncio_close(L, loop), 0);
  lua_close(L);
}

static void poll_opened_in_a_coroutine(Check *t) {
  lua_State *L = host_new_state();
  lua_State *co = lua_newthread(L);
  asyncio_Loop *loop = host_open(t, co, NULL, 0);
  lua_settop(L, 0);
  lua_gc(L, LUA_GCCOLLECT);
  lua_gc(L, LUA_GCCOLLECT);
  host_run(
      t, L,
      "local asyncio = require 'asyncio'\n"
      "asyncio.get_event_loop():create_task(function() asyncio.sleep(0.001) done = true end)\n");
  host_poll_until(t, L, loop, "done");
  check_int(t, asyncio_close(L, loop), 0);
  lua_close(L);
}

static void poll_preloaded(Check *t) {
  lua_State *L = host_new_state();
  luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
  lua_pushcfunction(L, luaopen_asyncio_core);
  lua_setfield(L, -2, "asyncio");
  lua_settop(L, 0);
  host_run(t, L,
           "local asyncio = require 'asyncio'\n"
           "assert(asyncio.run(function() return asyncio.sleep(0.001, 5) end) == 5)\n"
           "assert(asyncio.testing.run(asyncio.sleep, 100, 6) == 6)\n");
  asyncio_Loop *loop = host_open(t, L, NULL, 0);
  host_run(t, L, "assert(package.loaded['asyncio.core'] == require 'asyncio')");
  check_int(t, asyncio_poll(loop, 0), 0);
  lua_close(L);
}

CHECK_MAIN({"runs_tasks", poll_runs_tasks}, {"one_turn", poll_one_turn}, {"budget", poll_budget},
           {"timeout", poll_timeout}, {"late", poll_late}, {"virtual_clock", poll_virtual_clock},
           {"sockets", poll_sockets}, {"from_inside", poll_from_inside}, {"errors", poll_errors},
           {"refuses_toplevel", poll_refuses_toplevel}, {"allows_toplevel", poll_allows_toplevel},
           {"refuses_runs", poll_refuses_runs}, {"allows_runs", poll_allows_runs},
           {"two_loops", poll_two_loops}, {"close_in_flight", poll_close_in_flight},
           {"closed_by_script", poll_closed_by_script},
           {"opened_in_a_coroutine", poll_opened_in_a_coroutine}, {"preloaded", poll_preloaded})
