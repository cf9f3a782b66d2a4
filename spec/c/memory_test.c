/* SPDX-License-Identifier: MIT */
/*
** A host that limits the memory of its state: every allocation may fail, none of that panics, and
** the state can be closed, or go on, afterwards.
*/
#include "host.h"

typedef struct Limit {
  size_t used, most; /* bytes */
  long left;         /* allocations that still succeed; negative: any number */
} Limit;

static void *limit_alloc(void *ud, void *ptr, size_t old_size, size_t new_size) {
  Limit *limit = ud;
  if (!ptr) old_size = 0;
  if (new_size == 0) {
    limit->used -= old_size;
    free(ptr);
    return NULL;
  }
  if (new_size > old_size) {
    if (limit->left == 0 || limit->used + new_size - old_size > limit->most) return NULL;
    if (limit->left > 0) limit->left--;
  }
  void *block = realloc(ptr, new_size);
  if (block) limit->used += new_size - old_size;
  return block;
}

static lua_State *limit_new_state(Limit *limit) {
  *limit = (Limit){0, (size_t)1 << 30, -1};
  lua_State *L = host_newstate(limit_alloc, limit);
  lua_atpanic(L, host_on_panic);
  luaL_openlibs(L);
  return L;
}

/* Every allocation of asyncio_open fails in turn; then it is tried again in the same state. */
static void memory_open(Check *t) {
  long n = 0, failed = 0;
  for (int done = 0; !done; n++) {
    Limit limit;
    lua_State *L = limit_new_state(&limit);
    limit.left = n;
    asyncio_Loop *loop = asyncio_open(L, NULL, 0);
    done = loop != NULL;
    limit.left = -1;
    if (!loop) {
      failed++;
      check(t, lua_isstring(L, -1));
      lua_settop(L, 0);
      if (n % 8 == 0) { /* the whole of it takes long */
        loop = host_open(t, L, NULL, 0);
        host_run(t, L,
                 "local asyncio = require 'asyncio'\n"
                 "asyncio.get_event_loop():create_task(function() asyncio.sleep(0) ok = 1 end)\n");
        for (int i = 0; i < 5; i++)
          asyncio_poll(loop, 0);
        check_int(t, host_integer(L, "ok"), 1);
      }
    }
    lua_close(L);
    check_int(t, (long long)limit.used, 0);
    if (t->failures) break;
  }
  check(t, failed > 50);
}

/* A script that takes more and more: its tasks get "not enough memory", the host goes on polling.
 */
static void memory_limit(Check *t) {
  Limit limit;
  lua_State *L = limit_new_state(&limit);
  asyncio_Loop *loop = host_open(t, L, NULL, 0);
  host_run(t, L,
           "asyncio = require 'asyncio'\n"
           "loop = asyncio.get_event_loop()\n"
           "loop:set_exception_handler(function(_, context)\n"
           "  reports = (reports or 0) + 1\n"
           "  if context.exception == 'not enough memory' then short = 1 end\n"
           "end)\n"
           "ticks = 0\n"
           "loop:create_task(function() while true do asyncio.sleep(0) ticks = ticks + 1 end end)\n"
           "loop:create_task(function()\n"
           "  hoard = {}\n"
           "  while true do hoard[#hoard + 1] = ('x'):rep(10000) .. #hoard asyncio.sleep(0) end\n"
           "end)\n");
  limit.most = limit.used + 2000000;
  for (int i = 0; i < 1000; i++)
    check(t, asyncio_poll(loop, 0) >= 0);
  limit.most = (size_t)1 << 30;
  host_run(t, L, "hoard = nil collectgarbage() collectgarbage()");
  asyncio_poll(loop, 0);
  check_int(t, host_integer(L, "short"), 1);
  lua_Integer ticks = host_integer(L, "ticks");
  for (int i = 0; i < 10; i++)
    asyncio_poll(loop, 0);
  check(t, host_integer(L, "ticks") > ticks); /* the other task never knew */
  check_int(t, lua_gettop(L), 0);
  check_int(t, asyncio_close(L, loop), 0);
  lua_close(L);
  check_int(t, (long long)limit.used, 0);
}

/* No memory at all during polls, the timeout and the close: nothing panics, nothing is lost for
 * good. */
static void memory_none(Check *t) {
  for (long left = 0; left < 200; left++) {
    Limit limit;
    lua_State *L = limit_new_state(&limit);
    asyncio_Loop *loop = host_open(t, L, NULL, 0);
    host_run(t, L,
             "local asyncio = require 'asyncio'\n"
             "local loop = asyncio.get_event_loop()\n"
             "local quiet = function() end\n"
             "loop:set_exception_handler(quiet)\n"
             "local lock = asyncio.Lock()\n"
             "for i = 1, 5 do\n"
             "  loop:create_task(function()\n"
             "    local _ <close> = setmetatable({}, {__close = function() return {} end})\n"
             "    while true do\n"
             "      pcall(function()\n"
             "        lock:with(asyncio.sleep, 0)\n"
             "        asyncio.gather(function() return {} end, function() error {} end)\n"
             "      end)\n"
             "      asyncio.create_task(function() error('' .. i) end)\n"
             "      asyncio.sleep(0)\n"
             "    end\n"
             "  end)\n"
             "  loop:call_later(0, function() loop:call_soon(error, {}) end)\n"
             "end\n");
    asyncio_poll(loop, 0);
    limit.left = left;
    for (int i = 0; i < 4; i++)
      check(t, asyncio_poll(loop, 0) >= 0);
    (void)asyncio_timeout(loop);
    if (asyncio_close(L, loop) != 0) {
      lua_settop(L, 0);
      limit.left = -1;
      check_int(t, asyncio_close(L, loop), 0);
    }
    limit.left = -1;
    lua_close(L);
    check_int(t, (long long)limit.used, 0);
    if (t->failures) break;
  }
}

/* ---- libuv's memory: a request to the file system is refused before it has begun */

static int memory_refusals; /* of the next allocations of libuv */

static void *memory_uv_malloc(size_t size) {
  if (memory_refusals == 0) return malloc(size);
  memory_refusals--;
  return NULL;
}

static int memory_refuse(lua_State *L) {
  memory_refusals = (int)luaL_checkinteger(L, 1);
  return 0;
}

static void memory_libuv(Check *t) {
  check_int(t, uv_replace_allocator(memory_uv_malloc, realloc, calloc, free), 0);
  lua_State *L = host_new_state();
  asyncio_Loop *loop = host_open(t, L, NULL, ASYNCIO_SCRIPT);
  lua_register(L, "refuse", memory_refuse);
  host_run(
      t, L,
      "local asyncio = require 'asyncio'\n"
      "asyncio.fs.stat('/')\n"
      "refused = 0\n"
      "for name, args in pairs{stat = {'/'}, rename = {'/no/a', '/no/b'}, unlink = {'/no/a'},\n"
      "    symlink = {'/', '/no/a'}, mkdtemp = {'/no/'}, mkstemp = {'/no/'}, scandir = {'/'}} do\n"
      "  refuse(1)\n"
      "  local ok, err = pcall(asyncio.fs[name], table.unpack(args))\n"
      "  refuse(0)\n"
      "  if not ok and err.code == 'ENOMEM' then refused = refused + 1 end\n"
      "end\n"
      "alive = asyncio.fs.stat('/').type == 'directory' and 1 or 0\n");
  check_int(t, host_integer(L, "refused"), 7);
  check_int(t, host_integer(L, "alive"), 1);
  check_int(t, asyncio_close(L, loop), 0);
  lua_close(L);
}

CHECK_MAIN({"open", memory_open}, {"limit", memory_limit}, {"none", memory_none},
           {"libuv", memory_libuv})
