/* SPDX-License-Identifier: MIT */
/*
** Lua states on threads of their own, each with its own loop: nothing is shared. Under
*ThreadSanitizer
** (`make tsan F=threads`) this shows that there is no hidden state.
*/
#include "host.h"

#define THREADS 4

typedef struct Worker {
  uv_thread_t thread;
  int hosted; /* on a uv_loop_t that the worker runs; else polled */
  int rounds;
  lua_Integer count;
} Worker;

static const char work[] = "local asyncio = require 'asyncio'\n"
                           "local loop = asyncio.get_event_loop()\n"
                           "count, done = 0, false\n"
                           "loop:create_task(function()\n"
                           "  local server = asyncio.start_server(function(reader, writer)\n"
                           "    for line in reader:lines() do writer:write(line .. '\\n') end\n"
                           "    writer:close()\n"
                           "  end, '127.0.0.1', 0)\n"
                           "  local _, port = server:sockets()[1]:getsockname()\n"
                           "  local lock, queue = asyncio.Lock(), asyncio.Queue(2)\n"
                           "  asyncio.create_task(function()\n"
                           "    while true do queue:get() end\n"
                           "  end)\n"
                           "  local function client()\n"
                           "    local reader, writer = asyncio.open_connection('127.0.0.1', port)\n"
                           "    for i = 1, 10 do\n"
                           "      writer:write(i .. '\\n')\n"
                           "      assert(reader:readline() == i .. '\\n')\n"
                           "      lock:with(asyncio.sleep, 0)\n"
                           "      queue:put(i)\n"
                           "      count = count + 1\n"
                           "    end\n"
                           "    writer:close()\n"
                           "  end\n"
                           "  asyncio.gather(client, client, client)\n"
                           "  pcall(asyncio.wait_for, function() asyncio.sleep(1) end, 0.001)\n"
                           "  server:close()\n"
                           "  done = true\n"
                           "end)\n";

static int threads_is_done(lua_State *L) {
  lua_getglobal(L, "done");
  int done = lua_toboolean(L, -1);
  lua_pop(L, 1);
  return done;
}

static void threads_round(Worker *w) {
  uv_loop_t uv;
  lua_State *L = host_new_state();
  if (w->hosted) uv_loop_init(&uv);
  asyncio_Loop *loop = asyncio_open(L, w->hosted ? &uv : NULL, 0);
  if (loop && luaL_dostring(L, work) == LUA_OK) {
    uint64_t end = uv_hrtime() + UINT64_C(20000000000);
    while (!threads_is_done(L) && uv_hrtime() < end) {
      if (w->hosted)
        uv_run(&uv, UV_RUN_ONCE);
      else if (asyncio_poll(loop, 0.001) == 0)
        uv_sleep(1);
    }
    w->count += host_integer(L, "count");
    if (w->rounds % 2) asyncio_close(L, loop);
  }
  lua_close(L);
  if (!w->hosted) return;
  uv_run(&uv, UV_RUN_DEFAULT);
  uv_loop_close(&uv);
}

static void threads_main(void *arg) {
  Worker *w = arg;
  for (int i = 0; i < w->rounds; i++)
    threads_round(w);
}

static void threads_states(Check *t) {
  Worker workers[THREADS];
  memset(workers, 0, sizeof workers);
  for (int i = 0; i < THREADS; i++) {
    workers[i].hosted = i % 2;
    workers[i].rounds = 2 + i;
    check_int(t, uv_thread_create(&workers[i].thread, threads_main, &workers[i]), 0);
  }
  for (int i = 0; i < THREADS; i++) {
    uv_thread_join(&workers[i].thread);
    check_int(t, workers[i].count, 30 * workers[i].rounds);
  }
}

/* Scripts that run loops of their own: each watches SIGINT, which only one can do at a time. */
static void threads_script(void *arg) {
  lua_State *L = host_new_state();
  luaL_requiref(L, "asyncio.core", luaopen_asyncio_core, 0);
  lua_setglobal(L, "asyncio");
  *(int *)arg = luaL_dostring(L, "for _ = 1, 20 do\n"
                                 "  assert(asyncio.run(function()\n"
                                 "    local loop = asyncio.get_running_loop()\n"
                                 "    return asyncio.sleep(0.0001, loop:is_running())\n"
                                 "  end))\n"
                                 "end\n") == LUA_OK;
  lua_close(L);
}

static void threads_runs(Check *t) {
  uv_thread_t threads[THREADS];
  int ok[THREADS] = {0};
  for (int i = 0; i < THREADS; i++)
    uv_thread_create(&threads[i], threads_script, &ok[i]);
  for (int i = 0; i < THREADS; i++) {
    uv_thread_join(&threads[i]);
    check(t, ok[i]);
  }
}

CHECK_MAIN({"states", threads_states}, {"runs", threads_runs})
