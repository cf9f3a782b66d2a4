/* SPDX-License-Identifier: MIT */
/*
** A host that runs a uv_loop_t of its own, with handles of its own on it: timers, tasks and sockets
** of scripts run there, and everything may be closed in any order.
*/
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host.h"

/* Work of every kind that would go on for long. `ready` becomes true when it is under way. */
static const char in_flight[] =
    "local asyncio = require 'asyncio'\n"
    "local loop = asyncio.get_event_loop()\n"
    "closed = 0\n"
    "local lock, event = asyncio.Lock(), asyncio.Event()\n"
    "for i = 1, 20 do\n"
    "  loop:create_task(function()\n"
    "    local _ <close> = setmetatable({}, {__close = function() closed = closed + 1 end})\n"
    "    asyncio.sleep(1000)\n"
    "  end)\n"
    "  loop:create_task(lock.acquire, lock)\n"
    "  loop:create_task(event.wait, event)\n"
    "  loop:create_task(asyncio.wait_for, function() event:wait() end, 1000)\n"
    "  loop:call_later(1000, error)\n"
    "end\n"
    "loop:create_task(function()\n"
    "  local function serve(r) r:read(1) asyncio.sleep(1000) end\n"
    "  local server = asyncio.start_server(serve, '127.0.0.1', 0)\n"
    "  local _, port = server:sockets()[1]:getsockname()\n"
    "  local listener = asyncio.socket('inet', 'stream')\n"
    "  listener:bind('127.0.0.1', 0)\n"
    "  listener:listen()\n"
    "  loop:create_task(listener.accept, listener)\n"
    "  for i = 1, 5 do\n"
    "    local reader, writer = asyncio.open_connection('127.0.0.1', port)\n"
    "    writer:write(('x'):rep(10000000))\n"
    "    loop:create_task(reader.read, reader, 1)\n"
    "    loop:create_task(writer.drain, writer)\n"
    "  end\n"
    "  loop:create_task(asyncio.open_connection, 'localhost', port)\n"
    "  ready = true\n"
    "end)\n";

static int hostloop_is_true(lua_State *L, const char *global) {
  lua_getglobal(L, global);
  int yes = lua_toboolean(L, -1);
  lua_pop(L, 1);
  return yes;
}

static void hostloop_run_until(Check *t, lua_State *L, uv_loop_t *uv, const char *global) {
  uint64_t end = uv_hrtime() + UINT64_C(10000000000);
  while (!hostloop_is_true(L, global) && uv_hrtime() < end)
    uv_run(uv, UV_RUN_ONCE);
  check(t, hostloop_is_true(L, global));
}

/* Run what is left, and close. Nothing of the library may keep the loop alive or open. */
static void hostloop_finish(Check *t, uv_loop_t *uv) {
  check_int(t, uv_run(uv, UV_RUN_DEFAULT), 0);
  check_int(t, uv_loop_close(uv), 0);
}

/* ---- running */

static void hostloop_runs(Check *t) {
  uv_loop_t uv;
  uv_loop_init(&uv);
  lua_State *L = host_new_state();
  asyncio_Loop *loop = host_open(t, L, &uv, 0);
  host_run(t, L,
           "local asyncio = require 'asyncio'\n"
           "local loop = asyncio.get_event_loop()\n"
           "order = ''\n"
           "for i = 1, 3 do\n"
           "  loop:create_task(function()\n"
           "    for _ = 1, 3 do asyncio.sleep(i / 200); order = order .. i end\n"
           "  end)\n"
           "end\n"
           "loop:call_soon(function() order = order .. 's' end)\n");
  check_int(t, uv_run(&uv, UV_RUN_DEFAULT), 0); /* returns when all is done */
  lua_getglobal(L, "order");
  check_int(t, (long long)lua_rawlen(L, -1), 10);
  check(t, lua_tostring(L, -1)[0] == 's' && lua_tostring(L, -1)[1] == '1');
  lua_settop(L, 0);
  check_int(t, asyncio_poll(loop, 0), -1); /* not for this kind */
  check_int(t, asyncio_close(L, loop), 0);
  lua_close(L);
  hostloop_finish(t, &uv);
}

static void hostloop_nothing_to_do(Check *t) {
  uv_loop_t uv;
  uv_loop_init(&uv);
  lua_State *L = host_new_state();
  asyncio_Loop *loop = host_open(t, L, &uv, 0);
  check_int(t, uv_run(&uv, UV_RUN_DEFAULT), 0);
  host_run(t, L, /* waits that can never end do not keep it */
           "local asyncio = require 'asyncio'\n"
           "local loop = asyncio.get_event_loop()\n"
           "local future = loop:create_future()\n"
           "task = loop:create_task(future.await, future)\n");
  check_int(t, uv_run(&uv, UV_RUN_DEFAULT), 0);
  check_int(t, uv_run(&uv, UV_RUN_ONCE), 0);
  host_run(t, L, "assert(not task:done() and tostring(task):find 'wait_for=')");
  check_int(t, asyncio_close(L, loop), 0);
  host_run(t, L, "assert(task:cancelled())");
  lua_close(L);
  hostloop_finish(t, &uv);
}

static void hostloop_order(Check *t) {
  uv_loop_t uv;
  uv_loop_init(&uv);
  lua_State *L = host_new_state();
  host_open(t, L, &uv, 0);
  host_run(t, L,
           "local loop = require 'asyncio'.get_event_loop()\n"
           "order = ''\n"
           "local function add(x) order = order .. x end\n"
           "loop:call_soon(function() add 'a' loop:call_soon(add, 'd') end)\n"
           "loop:call_soon(add, 'b')\n"
           "loop:call_later(0, add, 'c')\n"
           "loop:call_later(0.004, add, 'f')\n"
           "loop:call_later(0.002, add, 'e')\n");
  uv_run(&uv, UV_RUN_DEFAULT);
  host_check_string(t, L, "order", "abcdef");
  lua_close(L);
  hostloop_finish(t, &uv);
}

/* A timer is never early, and at most a few milliseconds late, between other timers of the host. */
static void hostloop_timers(Check *t) {
  uv_loop_t uv;
  uv_loop_init(&uv);
  lua_State *L = host_new_state();
  host_open(t, L, &uv, 0);
  host_run(t, L,
           "local asyncio = require 'asyncio'\n"
           "local loop = asyncio.get_event_loop()\n"
           "early, count = 0, 0\n"
           "for i = 1, 20 do\n"
           "  loop:create_task(function()\n"
           "    local start = loop:time()\n"
           "    asyncio.sleep(i * 0.0013)\n"
           "    if loop:time() < start + i * 0.0013 then early = early + 1 end\n"
           "    count = count + 1\n"
           "  end)\n"
           "end\n");
  uv_run(&uv, UV_RUN_DEFAULT);
  check_int(t, host_integer(L, "early"), 0);
  check_int(t, host_integer(L, "count"), 20);
  lua_close(L);
  hostloop_finish(t, &uv);
}

static void hostloop_sockets(Check *t) {
  uv_loop_t uv;
  uv_loop_init(&uv);
  lua_State *L = host_new_state();
  host_open(t, L, &uv, 0);
  host_run(t, L,
           "local asyncio = require 'asyncio'\n"
           "local loop = asyncio.get_event_loop()\n"
           "replies = 0\n"
           "loop:create_task(function()\n"
           "  local server = asyncio.start_server(function(reader, writer)\n"
           "    for line in reader:lines() do writer:write(line:upper() .. '\\n') end\n"
           "    writer:close()\n"
           "  end, '127.0.0.1', 0)\n"
           "  local _, port = server:sockets()[1]:getsockname()\n"
           "  local function client(i)\n"
           "    local reader, writer = asyncio.open_connection('127.0.0.1', port)\n"
           "    for n = 1, 10 do\n"
           "      writer:write('line ' .. i .. ' ' .. n .. '\\n')\n"
           "      assert(reader:readline() == 'LINE ' .. i .. ' ' .. n .. '\\n')\n"
           "      replies = replies + 1\n"
           "    end\n"
           "    writer:close()\n"
           "    writer:wait_closed()\n"
           "  end\n"
           "  local clients = {}\n"
           "  for i = 1, 10 do clients[i] = function() client(i) end end\n"
           "  asyncio.gather(clients)\n"
           "  server:close()\n"
           "end)\n");
  check_int(t, uv_run(&uv, UV_RUN_DEFAULT), 0);
  check_int(t, host_integer(L, "replies"), 100);
  lua_close(L);
  hostloop_finish(t, &uv);
}

/* ---- the host's own handles, with any data */

typedef struct Foreign {
  uv_timer_t timer;
  uv_idle_t idle;
  uv_prepare_t prepare;
  uv_check_t check;
  uv_async_t async;
  int ticks, others, closed;
  lua_State *L;
} Foreign;

static void foreign_on_timer(uv_timer_t *timer) {
  Foreign *f = (Foreign *)(void *)timer;
  f->ticks++;
  uv_async_send(&f->async);
  /* outside a turn: what a script starts here must run although the loop would sleep */
  if (f->L) (void)luaL_dostring(f->L, "start()");
}

static void foreign_on_idle(uv_idle_t *handle) {
  handle->data = (void *)((char *)handle->data + 1);
}

static void foreign_on_prepare(uv_prepare_t *handle) {
  handle->data = (void *)((char *)handle->data + 1);
}

static void foreign_on_check(uv_check_t *handle) {
  handle->data = (void *)((char *)handle->data + 1);
}

static void foreign_on_async(uv_async_t *handle) {
  handle->data = (void *)((char *)handle->data + 1);
}

static void foreign_on_close(uv_handle_t *handle) {
  handle->data = (void *)1;
}

static void foreign_start(uv_loop_t *uv, Foreign *f, lua_State *L) {
  memset(f, 0xdb, sizeof *f);
  f->ticks = f->others = f->closed = 0;
  f->L = L;
  uv_timer_init(uv, &f->timer);
  uv_idle_init(uv, &f->idle);
  uv_prepare_init(uv, &f->prepare);
  uv_check_init(uv, &f->check);
  uv_async_init(uv, &f->async, foreign_on_async);
  f->timer.data = f->idle.data = f->prepare.data = f->check.data = f->async.data = (void *)17;
  uv_timer_start(&f->timer, foreign_on_timer, 0, 2);
  uv_prepare_start(&f->prepare, foreign_on_prepare);
  uv_check_start(&f->check, foreign_on_check);
  uv_idle_start(&f->idle, foreign_on_idle);
}

static void foreign_close(Foreign *f) {
  uv_close((uv_handle_t *)&f->timer, foreign_on_close);
  uv_close((uv_handle_t *)&f->idle, foreign_on_close);
  uv_close((uv_handle_t *)&f->prepare, foreign_on_close);
  uv_close((uv_handle_t *)&f->check, NULL);
  uv_close((uv_handle_t *)&f->async, NULL);
}

static void hostloop_foreign_handles(Check *t) {
  uv_loop_t uv;
  Foreign f;
  uv_loop_init(&uv);
  uv.data = (void *)23;
  lua_State *L = host_new_state();
  foreign_start(&uv, &f, L);
  asyncio_Loop *loop = host_open(t, L, &uv, 0);
  host_run(t, L,
           "local asyncio = require 'asyncio'\n"
           "local loop = asyncio.get_event_loop()\n"
           "started, ran = 0, 0\n"
           "function start()\n"
           "  if started == 10 then return end\n"
           "  started = started + 1\n"
           "  loop:create_task(function()\n"
           "    asyncio.sleep(0)\n"
           "    asyncio.sleep(0.001)\n"
           "    ran = ran + 1\n"
           "    done = ran == 10\n"
           "  end)\n"
           "end\n");
  hostloop_run_until(t, L, &uv, "done");
  check_int(t, host_integer(L, "ran"), 10);
  check(t, f.ticks >= 10);
  check(t, f.timer.data == (void *)17 && uv.data == (void *)23);
  f.L = NULL;
  host_run(t, L, in_flight);
  hostloop_run_until(t, L, &uv, "ready");
  check_int(t, asyncio_close(L, loop), 0);
  int ticks = f.ticks;
  for (int i = 0; i < 20; i++) {
    uv_run(&uv, UV_RUN_NOWAIT);
    uv_sleep(1);
  }
  check(t, f.ticks > ticks);
  lua_close(L);
  foreign_close(&f);
  hostloop_finish(t, &uv);
}

/* Without an idle handle of the host the loop would sleep: work from the host's callback wakes it.
 */
static void hostloop_woken_outside(Check *t) {
  uv_loop_t uv;
  Foreign f;
  uv_loop_init(&uv);
  lua_State *L = host_new_state();
  foreign_start(&uv, &f, L);
  uv_idle_stop(&f.idle);
  uv_timer_stop(&f.timer);
  uv_timer_start(&f.timer, foreign_on_timer, 5, 0);
  host_open(t, L, &uv, 0);
  host_run(t, L,
           "local loop = require 'asyncio'.get_event_loop()\n"
           "function start()\n"
           "  local begun = loop:time()\n"
           "  loop:call_soon(function() soon = math.floor((loop:time() - begun) * 1000) end)\n"
           "  loop:call_later(0.005, function() later = 1 end)\n"
           "end\n");
  uv_unref((uv_handle_t *)&f.async);
  uv_unref((uv_handle_t *)&f.prepare);
  uv_unref((uv_handle_t *)&f.check);
  check_int(t, uv_run(&uv, UV_RUN_DEFAULT), 0);
  check_int(t, host_integer(L, "later"), 1);
  check(t, host_integer(L, "soon") >= 0 && host_integer(L, "soon") < 1000);
  lua_close(L);
  foreign_close(&f);
  hostloop_finish(t, &uv);
}

/* ---- closing, in any order */

static void hostloop_close_then_run(Check *t) {
  uv_loop_t uv;
  uv_loop_init(&uv);
  lua_State *L = host_new_state();
  asyncio_Loop *loop = host_open(t, L, &uv, 0);
  host_run(t, L, in_flight);
  hostloop_run_until(t, L, &uv, "ready");
  check_int(t, asyncio_close(L, loop), 0);
  check_int(t, host_integer(L, "closed"), 20);
  check_int(t, uv_run(&uv, UV_RUN_DEFAULT), 0); /* the state still lives */
  host_run(t, L, "collectgarbage()");
  lua_close(L);
  hostloop_finish(t, &uv);
}

static void hostloop_close_both_then_run(Check *t) {
  uv_loop_t uv;
  uv_loop_init(&uv);
  lua_State *L = host_new_state();
  asyncio_Loop *loop = host_open(t, L, &uv, 0);
  host_run(t, L, in_flight);
  hostloop_run_until(t, L, &uv, "ready");
  check_int(t, asyncio_close(L, loop), 0);
  lua_close(L);
  hostloop_finish(t, &uv);
}

static void hostloop_lua_close_first(Check *t) {
  uv_loop_t uv;
  Foreign f;
  uv_loop_init(&uv);
  lua_State *L = host_new_state();
  host_open(t, L, &uv, 0);
  host_run(t, L, in_flight);
  hostloop_run_until(t, L, &uv, "ready");
  lua_close(L);
  foreign_start(&uv, &f, NULL);
  for (int i = 0; i < 10; i++)
    uv_run(&uv, UV_RUN_NOWAIT);
  foreign_close(&f);
  hostloop_finish(t, &uv);
}

static void hostloop_lua_close_at_once(Check *t) {
  uv_loop_t uv;
  uv_loop_init(&uv);
  lua_State *L = host_new_state();
  host_open(t, L, &uv, 0);
  host_run(t, L, in_flight);
  lua_close(L); /* nothing has run yet */
  hostloop_finish(t, &uv);
}

/* The script's loop is lost without close, and collected while the host goes on. */
static void hostloop_collected(Check *t) {
  uv_loop_t uv;
  uv_loop_init(&uv);
  lua_State *L = host_new_state();
  for (int i = 0; i < 5; i++) {
    asyncio_Loop *loop = host_open(t, L, &uv, 0);
    host_run(t, L, "ready = false");
    host_run(t, L, in_flight);
    hostloop_run_until(t, L, &uv, "ready");
    if (i % 2) check_int(t, asyncio_close(L, loop), 0);
    lua_gc(L, LUA_GCCOLLECT);
    uv_run(&uv, UV_RUN_NOWAIT);
  }
  lua_close(L);
  hostloop_finish(t, &uv);
}

typedef struct Closer {
  uv_timer_t timer;
  lua_State *L;
  asyncio_Loop *loop;
} Closer;

static void closer_on_timer(uv_timer_t *timer) {
  Closer *c = (Closer *)(void *)timer;
  if (c->loop) asyncio_close(c->L, c->loop);
  lua_close(c->L);
  uv_close((uv_handle_t *)timer, NULL);
}

static void hostloop_close_in_callback(Check *t) {
  for (int with_close = 0; with_close <= 1; with_close++) {
    uv_loop_t uv;
    Closer c;
    uv_loop_init(&uv);
    c.L = host_new_state();
    c.loop = host_open(t, c.L, &uv, 0);
    host_run(t, c.L, in_flight);
    hostloop_run_until(t, c.L, &uv, "ready");
    if (!with_close) c.loop = NULL;
    uv_timer_init(&uv, &c.timer);
    uv_timer_start(&c.timer, closer_on_timer, 1, 0);
    hostloop_finish(t, &uv);
  }
}

/* os.exit(n, true) in a task, inside the host's uv_run: the process ends with that status. */
static void hostloop_exit_in_task(Check *t) {
  fflush(stdout);
  pid_t pid = fork();
  if (pid == 0) {
    uv_loop_t uv;
    uv_loop_init(&uv);
    lua_State *L = host_new_state();
    asyncio_open(L, &uv, 0);
    (void)luaL_dostring(L, in_flight);
    (void)luaL_dostring(L, "local asyncio = require 'asyncio'\n"
                           "asyncio.get_event_loop():create_task(function()\n"
                           "  while not ready do asyncio.sleep(0.001) end\n"
                           "  os.exit(7, true)\n"
                           "end)\n");
    alarm(30);
    uv_run(&uv, UV_RUN_DEFAULT);
    _exit(99);
  }
  int status = 0;
  check(t, pid > 0 && waitpid(pid, &status, 0) == pid);
  check(t, WIFEXITED(status));
  check_int(t, WEXITSTATUS(status), 7);
}

/* ---- refusals, several */

static void hostloop_refusals(Check *t) {
  uv_loop_t uv;
  uv_loop_init(&uv);
  lua_State *L = host_new_state();
  check(t, asyncio_open(L, &uv, ASYNCIO_VIRTUAL_CLOCK) == NULL);
  check(t, lua_isstring(L, -1));
  check(t, asyncio_open(L, &uv, ASYNCIO_SCRIPT) == NULL);
  lua_settop(L, 0);
  host_open(t, L, &uv, 0);
  host_run(t, L,
           "local asyncio = require 'asyncio'\n"
           "local loop = asyncio.get_event_loop()\n"
           "local function refused(f, ...)\n"
           "  local ok, message = pcall(f, ...)\n"
           "  assert(not ok and message:find 'host', message)\n"
           "end\n"
           "refused(asyncio.sleep, 0)\n"
           "refused(asyncio.run, asyncio.sleep, 0)\n"
           "assert(asyncio.get_event_loop() == loop)\n"
           "refused(loop.run_forever, loop)\n"
           "refused(loop.run_until_complete, loop, asyncio.sleep, 0)\n"
           "assert(#asyncio.all_tasks(loop) == 0)\n");
  lua_close(L);
  hostloop_finish(t, &uv);
}

static void hostloop_two_states(Check *t) {
  uv_loop_t uv;
  uv_loop_init(&uv);
  lua_State *states[3];
  for (int i = 0; i < 3; i++) {
    states[i] = host_new_state();
    host_open(t, states[i], &uv, 0);
    host_run(t, states[i],
             "local asyncio = require 'asyncio'\n"
             "count = 0\n"
             "for _ = 1, 10 do\n"
             "  asyncio.get_event_loop():create_task(function()\n"
             "    for _ = 1, 10 do asyncio.sleep(0.001) count = count + 1 end\n"
             "  end)\n"
             "end\n");
  }
  check_int(t, uv_run(&uv, UV_RUN_DEFAULT), 0);
  for (int i = 0; i < 3; i++)
    check_int(t, host_integer(states[i], "count"), 100);
  lua_close(states[1]);
  host_run(
      t, states[0],
      "local asyncio = require 'asyncio'\n"
      "asyncio.get_event_loop():create_task(function() asyncio.sleep(0.001) more = true end)\n");
  check_int(t, uv_run(&uv, UV_RUN_DEFAULT), 0);
  check(t, hostloop_is_true(states[0], "more"));
  lua_close(states[2]);
  lua_close(states[0]);
  hostloop_finish(t, &uv);
}

/* What forks comes first: ThreadSanitizer wants that nobody has started libuv's threads yet. */
CHECK_MAIN({"exit_in_task", hostloop_exit_in_task}, {"runs", hostloop_runs},
           {"nothing_to_do", hostloop_nothing_to_do}, {"order", hostloop_order},
           {"timers", hostloop_timers}, {"sockets", hostloop_sockets},
           {"foreign_handles", hostloop_foreign_handles}, {"woken_outside", hostloop_woken_outside},
           {"close_then_run", hostloop_close_then_run},
           {"close_both_then_run", hostloop_close_both_then_run},
           {"lua_close_first", hostloop_lua_close_first},
           {"lua_close_at_once", hostloop_lua_close_at_once}, {"collected", hostloop_collected},
           {"close_in_callback", hostloop_close_in_callback}, {"refusals", hostloop_refusals},
           {"two_states", hostloop_two_states})
