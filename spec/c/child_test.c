/* SPDX-License-Identifier: MIT */
/*
** Child processes under a host: allowed or not, on a loop that the host polls or runs, and reaped
** behind the library's back.
*/
#include <errno.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host.h"

/* steal(pid): reap a child of this process as somebody else would who waits for any. */
static int child_steal(lua_State *L) {
  pid_t pid = (pid_t)luaL_checkinteger(L, 1);
  while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
    continue;
  return 0;
}

/* ignore(): the system reaps children itself, and tells nobody. */
static int child_ignore(lua_State *L) {
  (void)L;
  signal(SIGCHLD, SIG_IGN);
  return 0;
}

static lua_State *child_state(void) {
  lua_State *L = host_new_state();
  lua_register(L, "steal", child_steal);
  lua_register(L, "ignore", child_ignore);
  return L;
}

static int child_exists(lua_Integer pid) {
  return kill((pid_t)pid, 0) == 0;
}

static void child_refused(Check *t) {
  lua_State *L = child_state();
  struct sigaction before, now;
  sigaction(SIGCHLD, NULL, &before);
  asyncio_Loop *loop = host_open(t, L, NULL, ASYNCIO_ALLOW_THREADS);
  host_run(t, L,
           "local asyncio = require 'asyncio'\n"
           "asyncio.get_event_loop():create_task(function()\n"
           "  for _, name in ipairs{'create_subprocess_exec', 'create_subprocess_shell'} do\n"
           "    local ok, err = pcall(asyncio[name], 'true')\n"
           "    assert(not ok and err == name ..\n"
           "      ': the host of this event loop does not allow child processes', err)\n"
           "  end\n"
           "  done = true\n"
           "end)\n");
  host_poll_until(t, L, loop, "done");
  sigaction(SIGCHLD, NULL, &now);
  check(t, before.sa_handler == now.sa_handler);
  lua_close(L);
}

static const char child_talks[] = "local asyncio = require 'asyncio'\n"
                                  "local exec = asyncio.create_subprocess_exec\n"
                                  "asyncio.get_event_loop():create_task(function()\n"
                                  "  local p = exec('cat', {stdin = 'pipe', stdout = 'pipe'})\n"
                                  "  text = p:communicate('through')\n"
                                  "  code = exec('sh', '-c', 'exit 3'):wait()\n"
                                  "  done = true\n"
                                  "end)\n";

static void child_polled(Check *t) {
  lua_State *L = child_state();
  asyncio_Loop *loop = host_open(t, L, NULL, ASYNCIO_ALLOW_CHILDREN);
  host_run(t, L, child_talks);
  host_poll_until(t, L, loop, "done");
  host_check_string(t, L, "text", "through");
  check_int(t, host_integer(L, "code"), 3);
  check_int(t, asyncio_close(L, loop), 0);
  lua_close(L);
}

/* A child that runs keeps the host's uv_run going, and its end lets it go. */
static void child_hosted(Check *t) {
  uv_loop_t uv;
  lua_State *L = child_state();
  check_int(t, uv_loop_init(&uv), 0);
  host_open(t, L, &uv, ASYNCIO_ALLOW_CHILDREN);
  host_run(t, L, child_talks);
  check_int(t, uv_run(&uv, UV_RUN_DEFAULT), 0);
  host_check_string(t, L, "text", "through");
  check_int(t, host_integer(L, "code"), 3);
  lua_close(L);
  uv_run(&uv, UV_RUN_DEFAULT);
  check_int(t, uv_loop_close(&uv), 0);
}

/* lua_close, with children running, on a loop that the host runs on. */
static void child_hosted_close(Check *t) {
  uv_loop_t uv;
  lua_State *L = child_state();
  check_int(t, uv_loop_init(&uv), 0);
  host_open(t, L, &uv, ASYNCIO_ALLOW_CHILDREN);
  host_run(t, L,
           "local asyncio = require 'asyncio'\n"
           "local options = {stdin = 'pipe', stdout = 'pipe'}\n"
           "p = asyncio.create_subprocess_exec('sleep', '60', options)\n"
           "asyncio.get_event_loop():create_task(p.communicate, p, ('x'):rep(1000000))\n"
           "asyncio.get_event_loop():create_task(p.wait, p)\n"
           "pid = p.pid\n");
  uv_run(&uv, UV_RUN_NOWAIT);
  uv_run(&uv, UV_RUN_NOWAIT);
  lua_Integer pid = host_integer(L, "pid");
  check(t, child_exists(pid));
  lua_close(L);
  check(t, !child_exists(pid));
  uv_run(&uv, UV_RUN_DEFAULT);
  check_int(t, uv_loop_close(&uv), 0);
}

/* Reaped by somebody else: an error for everybody who waits, and no returncode. */
static const char child_stolen_source[] =
    "local asyncio = require 'asyncio'\n"
    "local exec = asyncio.create_subprocess_exec\n"
    "asyncio.get_event_loop():create_task(function()\n"
    "  local p = exec('cat', {stdin = 'pipe', stdout = 'pipe'})\n"
    "  local early = asyncio.create_task(p.wait, p)\n"
    "  asyncio.sleep(0.01)\n"
    "  p.stdin:close()\n"
    "  steal(p.pid)\n"
    "  for _ = 1, 2 do\n"
    "    local ok, err = pcall(p.wait, p)\n"
    "    assert(not ok and err.code == 'ECHILD', tostring(err))\n"
    "    assert(tostring(err):find('process ' .. p.pid .. ' was reaped by somebody else'))\n"
    "  end\n"
    "  local ok, err = pcall(early.await, early)\n"
    "  assert(not ok and err.code == 'ECHILD', tostring(err))\n"
    "  assert(p.returncode == nil)\n"
    "  ok, err = pcall(p.kill, p)\n"
    "  assert(not ok and err.code == 'ESRCH', tostring(err))\n"
    "  assert(p.stdout:read('a') == '')\n"
    "  local q = exec('cat', {stdin = 'pipe'})\n"
    "  q.stdin:close()\n"
    "  steal(q.pid)\n"
    "  q:kill()\n" /* nobody has told yet; another process may have the pid by now */
    "  assert(not pcall(q.wait, q))\n"
    "  local scope <close> = exec('cat', {stdin = 'pipe'})\n"
    "  scope.stdin:close()\n"
    "  steal(scope.pid)\n"
    "  code = exec('sh', '-c', 'exit 3'):wait()\n"
    "  done = true\n"
    "end)\n";

static void child_stolen(Check *t) {
  lua_State *L = child_state();
  asyncio_Loop *loop = host_open(t, L, NULL, ASYNCIO_ALLOW_CHILDREN);
  host_run(t, L, child_stolen_source);
  host_poll_until(t, L, loop, "done");
  check_int(t, host_integer(L, "code"), 3);
  check_int(t, asyncio_close(L, loop), 0);
  lua_close(L);
}

/* The system reaps it, and SIGCHLD never comes: an error all the same, and no hang. */
static void child_ignored(Check *t) {
  lua_State *L = child_state();
  asyncio_Loop *loop = host_open(t, L, NULL, ASYNCIO_ALLOW_CHILDREN);
  host_run(t, L,
           "local asyncio = require 'asyncio'\n"
           "asyncio.get_event_loop():create_task(function()\n"
           "  local p = asyncio.create_subprocess_exec('cat', {stdin = 'pipe'})\n"
           "  ignore()\n"
           "  p.stdin:close()\n"
           "  local ok, err = pcall(p.wait, p)\n"
           "  assert(not ok and err.code == 'ECHILD', tostring(err))\n"
           "  done = true\n"
           "end)\n");
  host_poll_until(t, L, loop, "done");
  check_int(t, asyncio_close(L, loop), 0);
  lua_close(L);
  signal(SIGCHLD, SIG_DFL);
}

CHECK_MAIN({"refused", child_refused}, {"polled", child_polled}, {"hosted", child_hosted},
           {"hosted_close", child_hosted_close}, {"stolen", child_stolen},
           {"ignored", child_ignored})
