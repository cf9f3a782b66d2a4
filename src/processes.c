/* SPDX-License-Identifier: MIT */
/* processes.c - see processes.h. In this order: starting, waiting, signals, the scope.
 *
 * A pipe to a child is made here, not by libuv, whose "pipes" are socket pairs: a child cannot open
 * those again as /dev/stdin. Starting allocates first; from the pin on nothing raises until the
 * child runs or everything is undone. `communicate` is written in Lua (lua/asyncio/subprocess.lua).
 */
#include "processes.h"

#include <math.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>

#include "error.h"
#include "loop.h"
#include "plan.h"
#include "request.h"
#include "sys.h"

/* The userdata; its user values are the Streams stdin, stdout, stderr. */
typedef struct process_Process {
  asy_Child *child; /* NULL only while it is being made, or after __gc */
  double grace;
  bool terminated; /* __close has sent SIGTERM */
} process_Process;

/* What libuv is given of the child's standard streams. */
typedef struct process_Pipes {
  uv_stdio_container_t io[ASY_PLAN_STREAMS];
  int theirs[ASY_PLAN_STREAMS]; /* the child's end of a pipe, to be closed here; or -1 */
} process_Pipes;

/* ---- starting */

/* Make a pipe, the Stream of our end, and keep the child's end. The process is on top. 0 or a libuv
 * code. [-0, +0, -] */
static int process_open_pipe(lua_State *L, asy_Loop *loop, size_t limit, int i, int *theirs) {
  uv_file ends[2];
  asy_Stream *s;
  int ours = i == 0 ? 1 : 0; /* we write to stdin, and read the others */
  int err = uv_pipe(ends, ours == 0 ? UV_NONBLOCK_PIPE : 0, ours == 1 ? UV_NONBLOCK_PIPE : 0);
  if (err) return err;
  *theirs = ends[1 - ours];
  err = asy_flow_open_pipe(loop, (uv_os_sock_t)ends[ours], ASY_FLOW_PIPE, &s);
  if (err) return err;
  lua_getiuservalue(L, -1, i + 1);
  asy_flow_fill(L, -1, s);
  lua_pop(L, 1);
  return asy_flow_configure(s, limit, ASY_FLOW_MARKS);
}

/* The descriptor that the child gets as its i-th, -1 for /dev/null, or a libuv code, in *fd. The
 * process is on top. [-0, +0, -] */
static int process_connect(lua_State *L, asy_Loop *loop, const asy_Plan *plan, int i,
                           process_Pipes *pipes) {
  int err = 0, fd = -1;
  asy_Stream *s = plan->handed[i];
  switch (plan->source[i]) {
  case ASY_PLAN_PIPE:
    err = process_open_pipe(L, loop, plan->limit, i, &pipes->theirs[i]);
    fd = pipes->theirs[i];
    break;
  case ASY_PLAN_INHERIT: fd = asy_sys_is_open(i) ? i : -1; break;
  case ASY_PLAN_DEVNULL: break;
  case ASY_PLAN_STDOUT: pipes->io[i] = pipes->io[1]; return 0;
  case ASY_PLAN_GIVEN:
    fd = s ? asy_sys_descriptor(s->fd) : plan->given[i];
    if (fd < 0) err = UV_EBADF; /* a finalizer has closed the stream meanwhile */
    break;
  }
  pipes->io[i].flags = fd < 0 ? UV_IGNORE : UV_INHERIT_FD; /* ignored: libuv opens /dev/null */
  pipes->io[i].data.fd = fd;
  return err;
}

/* Make the pipes and start the child. The process is on top. 0 or a libuv code. [-0, +0, -] */
static int process_spawn(lua_State *L, asy_Loop *loop, asy_Plan *plan, asy_Child *child) {
  process_Pipes pipes = {.theirs = {-1, -1, -1}};
  int err = 0;
  for (int i = 0; i < ASY_PLAN_STREAMS && !err; i++)
    err = process_connect(L, loop, plan, i, &pipes);
  plan->uv.stdio = pipes.io;
  plan->uv.stdio_count = ASY_PLAN_STREAMS;
  if (!err) err = asy_child_start(child, loop, &plan->uv);
  for (int i = 0; i < ASY_PLAN_STREAMS; i++)
    if (pipes.theirs[i] >= 0) asy_sys_close_file(pipes.theirs[i]);
  for (int i = 0; i < ASY_PLAN_STREAMS && !err; i++)
    if (plan->handed[i]) asy_flow_close(plan->handed[i]);
  return err;
}

/* It has not started: nothing remains. The process is on top. [-0, +0, -] */
static void process_undo(lua_State *L, asy_Loop *loop, asy_Child *child) {
  for (int i = 1; i <= ASY_PLAN_STREAMS; i++) {
    asy_Stream *s = lua_getiuservalue(L, -1, i) == LUA_TUSERDATA ? asy_flow_at(L, -1) : NULL;
    if (s) asy_flow_abort(s);
    lua_pop(L, 1);
  }
  asy_resource_unpin(L, loop, child);
}

/* Why can a child not run in this directory? 0 or a libuv code. */
static int process_check_directory(const char *path) {
  uv_fs_t req;
  int err = uv_fs_stat(NULL, &req, path, NULL);
  if (!err && (req.statbuf.st_mode & S_IFMT) != S_IFDIR) err = UV_ENOTDIR;
  uv_fs_req_cleanup(&req);
  if (err) return err;
  err = uv_fs_access(NULL, &req, path, 1 /* X_OK */, NULL);
  uv_fs_req_cleanup(&req);
  return err;
}

/* libuv's code does not say whether it was the program or the directory. */
static int process_raise_start(lua_State *L, asy_State *S, int err, const asy_Plan *plan) {
  bool maybe = plan->uv.cwd && (err == UV_ENOENT || err == UV_ENOTDIR || err == UV_EACCES);
  int of_directory = maybe ? process_check_directory(plan->uv.cwd) : 0;
  if (of_directory) return asy_request_raise(L, S, of_directory, "chdir", plan->uv.cwd);
  return asy_request_raise(L, S, err, "exec", plan->uv.file);
}

/* Push the Process of a child that was started, or raise. [-0, +1, v] */
static int process_start(lua_State *L, asy_Loop *loop, asy_Plan *plan) {
  asy_State *S = loop->S;
  process_Process *p = asy_resource_box(L, S, ASY_SLOT_PROCESS, sizeof *p, ASY_PLAN_STREAMS);
  p->grace = plan->grace;
  for (int i = 0; i < ASY_PLAN_STREAMS; i++) {
    if (plan->source[i] != ASY_PLAN_PIPE) continue;
    asy_flow_box(L, S);
    lua_setiuservalue(L, -2, i + 1);
  }
  asy_Child *child = p->child = asy_child_new();
  if (!child) return luaL_error(L, "not enough memory");
  child->survives = plan->survives;
  child->group = plan->group;
  lua_pushvalue(L, -1);
  asy_resource_pin(L, loop, child);
  int err = process_spawn(L, loop, plan, child);
  if (!err) return 1;
  process_undo(L, loop, child);
  return process_raise_start(L, S, err, plan);
}

static asy_Loop *process_loop(lua_State *L, const char *name) {
  asy_Loop *loop = asy_loop_get(L, asy_state(L));
  asy_loop_check_open(L, loop);
  if (!loop->allows_children)
    luaL_error(L, "%s: the host of this event loop does not allow child processes", name);
  return loop;
}

/***
Start a program as a child process. It is found along PATH (the child's, if `env` sets one); each
argument is one string, no shell looks at it.
@function create_subprocess_exec
@tparam string program name or path of the program
@param[opt] ... its arguments, strings; then perhaps a table of options:
`stdin`, `stdout`, `stderr`: "inherit" (also if not given), "pipe" (the Process has a Stream for
it), "devnull", an open file of Lua's, a File that has nothing left to write, a descriptor, an
object with a method `fileno`, `pollfd` or `getfd`, or a Stream, which is closed here once the child
runs; for stderr also "stdout": where stdout goes;
`cwd`: the child's directory; `env`: a table of all its variables; `extra_env`: variables to add to
them or to this process's own, `false` removes one; `uid`, `gid`: who it runs as;
`detached=true`: in a session of its own, and not killed when its loop closes;
`process_group=true` (or 0): in a session of its own; signals, also those at the end of a scope or
of the loop, go to the whole group, as long as the child itself runs;
`limit`: bytes, of the Streams' input (65536);
`grace`: seconds that the end of a scope gives it between SIGTERM and SIGKILL (5)
@treturn Process with the fields stdin, stdout, stderr, pid, returncode
@waits no
@raise argument error; OSError (fields code, path) that names the program (ENOENT: there is none,
EACCES: it cannot be run) or the directory; an error if the loop's host does not allow child
processes
@usage local p = asyncio.create_subprocess_exec("cat", {stdin = "pipe", stdout = "pipe"})
assert(p:communicate("hello") == "hello" and p.returncode == 0)
@see asyncio-subprocess.html#asyncio.create_subprocess_exec
*/
static int process_exec(lua_State *L) {
  asy_Plan plan;
  int opts = lua_gettop(L), last = opts;
  asy_plan_check_text(L, 1);
  if (opts > 1 && lua_istable(L, opts))
    last--;
  else
    lua_pushnil(L), opts++;
  luaL_checkstack(L, LUA_MINSTACK, NULL);
  char **argv = asy_plan_push_argv(L, 1, last, 0);
  asy_plan_read(L, opts, &plan);
  plan.uv.file = argv[0];
  plan.uv.args = argv;
  return process_start(L, process_loop(L, "create_subprocess_exec"), &plan);
}

/***
Start a command line of the shell (/bin/sh) as a child process. What comes from outside does not
belong into it unquoted: `create_subprocess_exec` has no such trap.
@function create_subprocess_shell
@tparam string command a line, or several
@tparam[opt] table opts those of create_subprocess_exec
@treturn Process of the shell
@waits no
@raise argument error; OSError as create_subprocess_exec
@usage local p = asyncio.create_subprocess_shell("echo one; exit 3", {stdout = "pipe"})
assert(p.stdout:readline() == "one\n" and p:wait() == 3)
@see asyncio-subprocess.html#asyncio.create_subprocess_shell
*/
static int process_shell(lua_State *L) {
  asy_Plan plan;
  lua_settop(L, 2);
  asy_plan_check_text(L, 1);
  char **argv = asy_plan_push_argv(L, 1, 1, 2);
  argv[0] = (char *)ASY_SYS_SHELL;
  argv[1] = (char *)ASY_SYS_SHELL_OPTION;
  asy_plan_read(L, 2, &plan);
  plan.uv.flags |= ASY_SYS_SHELL_FLAGS;
  plan.uv.file = ASY_SYS_SHELL;
  plan.uv.args = argv;
  return process_start(L, process_loop(L, "create_subprocess_shell"), &plan);
}

/* ---- waiting */

static process_Process *process_check(lua_State *L, int arg) {
  process_Process *p = asy_type_check(L, asy_state(L), arg, ASY_SLOT_PROCESS);
  if (!p->child) luaL_error(L, "the process was finalized");
  return p;
}

/* What wait() returns, or raises, of a child that does not run any more. */
static int process_push_end(lua_State *L, asy_State *S, const asy_Child *c) {
  if (c->state == ASY_CHILD_LEFT)
    return luaL_error(L, "wait: the event loop of process %d has been closed", c->pid);
  if (c->state == ASY_CHILD_ENDED) {
    lua_pushinteger(L, (lua_Integer)c->code);
    return 1;
  }
  asy_error_push_os(L, S, UV_ESRCH, "wait", NULL);
  lua_pushfstring(L, "wait: process %d was reaped by somebody else in this program (ECHILD)",
                  c->pid);
  lua_setfield(L, -2, "message");
  lua_pushliteral(L, "ECHILD");
  lua_setfield(L, -2, "code");
  lua_pushinteger(L, ASY_SYS_ECHILD);
  lua_setfield(L, -2, "errno");
  return lua_error(L);
}

static const asy_WaitKind process_wait_kind = {"a child process to end", NULL, true};

/* How a continuation begins. NULL if the process was finalized meanwhile, by hand. */
static asy_Child *process_resumed(lua_State *L, asy_Wait *w) {
  asy_Child *c = ((process_Process *)lua_touserdata(L, 1))->child;
  if (c) asy_child_awaited(c, w);
  return c;
}

static int process_k_wait(lua_State *L, asy_Wait *w) {
  process_resumed(L, w);
  if (asy_wait_failed(w)) return asy_wait_raise(L, w);
  return process_push_end(L, w->loop->S, process_check(L, 1)->child);
}

/***
Wait until the child has ended. Several tasks may do so. Streams may have output of the child's that
is not read yet; a child that writes more than a pipe holds, to a pipe that nobody reads, never
ends: `communicate` reads.
@function Process:wait
@treturn integer its exit status; or, if a signal killed it, minus the number of the signal
@waits yes
@cancel raises CancelledError; the child runs on
@raise OSError with code "ECHILD" if somebody else in the program has reaped it; an error if its
loop was closed before it ended
@usage assert(asyncio.create_subprocess_exec("false"):wait() == 1)
@see asyncio-subprocess.html#asyncio.subprocess.Process.wait
*/
static int process_wait(lua_State *L) {
  asy_State *S = asy_state(L);
  asy_Child *c = process_check(L, 1)->child;
  lua_settop(L, 1);
  if (c->state != ASY_CHILD_RUNNING) return process_push_end(L, S, c);
  asy_Wait *w = asy_wait_begin(L, S);
  if (!w) return asy_wait_outside(L, S);
  if (c->res.loop != w->loop)
    return luaL_error(L, "wait: the process belongs to another event loop");
  asy_child_await(c, w);
  return asy_wait_park(L, w, &process_wait_kind, lua_touserdata(L, 1), process_k_wait);
}

/* ---- communicate */

#define PROCESS_PART "asyncio.process"

/* Push the function that the part asyncio.subprocess has left here. */
static void process_push_communicate(lua_State *L, asy_State *S) {
  asy_shelf_push(L, S->shelf, ASY_SLOT_MODULE);
  lua_getfield(L, -1, "subprocess"); /* loads it, if that has not been done */
  luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
  lua_getfield(L, -1, PROCESS_PART);
  if (lua_istable(L, -1)) lua_getfield(L, -1, "communicate");
  if (!lua_isfunction(L, -1)) luaL_error(L, "package.loaded[\"" PROCESS_PART "\"] was changed");
}

static int process_k_communicate(lua_State *L, int status, lua_KContext base) {
  (void)status;
  return lua_gettop(L) - (int)base;
}

/***
Send input to the child, read what it writes until both ends are there, and wait for its end: all at
once, so that neither side blocks the other. That the child does not read all of its input is no
error.
@function Process:communicate
@tparam[opt] string input for its stdin, which is closed then, and also if there is no input
@treturn ?string what it wrote to stdout; nil if that is no pipe
@treturn ?string what it wrote to stderr; nil if that is no pipe
@waits yes
@cancel raises CancelledError; the child runs on. Call it again, without input: nothing that was
read is lost
@raise argument error, also if there is input and stdin is no pipe; OSError as wait
@usage local p = asyncio.create_subprocess_exec("sort", {stdin = "pipe", stdout = "pipe"})
assert(p:communicate("b\na\n") == "a\nb\n")
@see asyncio-subprocess.html#asyncio.subprocess.Process.communicate
*/
static int process_communicate(lua_State *L) {
  asy_State *S = asy_state(L);
  process_check(L, 1);
  lua_settop(L, 2);
  if (!lua_isnil(L, 2)) {
    luaL_checkstring(L, 2);
    lua_getiuservalue(L, 1, 1);
    luaL_argcheck(L, lua_isuserdata(L, -1), 2, "stdin of this process is not a pipe");
    lua_pop(L, 1);
  }
  process_push_communicate(L, S);
  lua_replace(L, 3);
  lua_settop(L, 3);
  lua_pushvalue(L, 1);
  lua_pushvalue(L, 2);
  lua_callk(L, 2, LUA_MULTRET, 2, process_k_communicate);
  return process_k_communicate(L, LUA_OK, 2);
}

/* ---- signals */

static int process_send(lua_State *L, int signum, const char *op) {
  asy_Child *c = process_check(L, 1)->child;
  int err = asy_child_signal(c, signum);
  if (!err) return 0;
  return asy_error_raise_os(L, asy_state(L), err, op, lua_pushfstring(L, "process %d", c->pid));
}

/***
Send a signal to the child; to its whole group, if it was started with `process_group`.
@function Process:send_signal
@param signal name ("SIGHUP") or number of the signal
@return nothing
@waits no
@raise argument error; OSError: ESRCH if the child has ended, EPERM if it is not ours to signal
@usage local p = asyncio.create_subprocess_exec("sleep", "60"); p:send_signal("SIGINT")
assert(p:wait() == -2)
@see asyncio-subprocess.html#asyncio.subprocess.Process.send_signal
*/
static int process_send_signal(lua_State *L) {
  process_check(L, 1);
  return process_send(L, asy_disposition_check(L, 2), "send_signal");
}

/***
Ask the child to end: SIGTERM.
@function Process:terminate
@return nothing
@waits no
@raise OSError: ESRCH if the child has ended
@usage local p = asyncio.create_subprocess_exec("sleep", "60"); p:terminate()
assert(p:wait() == -15)
@see asyncio-subprocess.html#asyncio.subprocess.Process.terminate
*/
static int process_terminate(lua_State *L) {
  return process_send(L, SIGTERM, "terminate");
}

/***
End the child: SIGKILL.
@function Process:kill
@return nothing
@waits no
@raise OSError: ESRCH if the child has ended
@usage local p = asyncio.create_subprocess_exec("sleep", "60"); p:kill(); assert(p:wait() == -9)
@see asyncio-subprocess.html#asyncio.subprocess.Process.kill
*/
static int process_kill(lua_State *L) {
  return process_send(L, SIGKILL, "kill");
}

/* ---- the scope: local p <close> = ... */

/* Nobody here reads or writes any more. The process is at index 1. [-0, +0, -] */
static void process_close_streams(lua_State *L) {
  for (int i = 1; i <= ASY_PLAN_STREAMS; i++) {
    asy_Stream *s = lua_getiuservalue(L, 1, i) == LUA_TUSERDATA ? asy_flow_at(L, -1) : NULL;
    if (s && i == 1)
      asy_flow_abort(s);
    else if (s)
      asy_flow_close(s);
    lua_pop(L, 1);
  }
}

static int process_k_killed(lua_State *L, asy_Wait *w) {
  process_resumed(L, w);
  return asy_wait_failed(w) ? asy_wait_raise(L, w) : 0;
}

static int process_kill_and_wait(lua_State *L, asy_Wait *w, asy_Child *c) {
  asy_child_signal(c, SIGKILL);
  if (c->state != ASY_CHILD_RUNNING) return 0;
  asy_child_await(c, w);
  return asy_wait_park(L, w, &process_wait_kind, lua_touserdata(L, 1), process_k_killed);
}

static int process_k_terminated(lua_State *L, asy_Wait *w) {
  asy_Child *c = process_resumed(L, w);
  asy_timer_stop(w->loop, &w->u.timer);
  if (!asy_wait_failed(w)) return c ? process_kill_and_wait(L, w, c) : 0;
  if (c) asy_child_signal(c, SIGKILL); /* cancelled while it waited for the end: no more patience */
  return asy_wait_raise(L, w);
}

/* SIGTERM; after the grace time SIGKILL; and wait. Where waiting is impossible: SIGKILL. */
static int process_scope(lua_State *L) {
  asy_State *S = asy_state(L);
  process_Process *p = process_check(L, 1);
  asy_Child *c = p->child;
  if (c->state == ASY_CHILD_RUNNING && !p->terminated) {
    p->terminated = true;
    asy_child_signal(c, S->forbidden || p->grace == 0 ? SIGKILL : SIGTERM);
  }
  process_close_streams(L);
  if (c->state != ASY_CHILD_RUNNING || S->forbidden) return 0;
  asy_Wait *w = asy_wait_begin(L, S);
  if (!w) return asy_wait_outside(L, S);
  if (c->res.loop != w->loop) return 0; /* that loop reaps it */
  lua_settop(L, 1);
  if (p->grace == 0) return process_kill_and_wait(L, w, c);
  asy_timer_reserve(L, w->loop);
  if (p->grace < HUGE_VAL)
    asy_timer_start(w->loop, &w->u.timer, asy_timer_now(w->loop) + p->grace, asy_wait_due);
  asy_child_await(c, w);
  return asy_wait_park(L, w, &process_wait_kind, lua_touserdata(L, 1), process_k_terminated);
}

/* ---- the object */

static void process_push_field(lua_State *L, const asy_Child *c, bool is_pid) {
  if (c && is_pid)
    lua_pushinteger(L, c->pid);
  else if (c && c->state == ASY_CHILD_ENDED)
    lua_pushinteger(L, (lua_Integer)c->code);
  else
    lua_pushnil(L);
}

/* Fields; everything else is a method. Upvalue 2: the methods. */
static int process_index(lua_State *L) {
  asy_State *S = asy_state(L);
  process_Process *p = asy_type_check(L, S, 1, ASY_SLOT_PROCESS);
  const char *key = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "";
  lua_settop(L, 2);
  for (int i = 0; i < ASY_PLAN_STREAMS; i++)
    if (strcmp(key, asy_plan_name(i)) == 0) {
      lua_getiuservalue(L, 1, i + 1);
      return 1;
    }
  bool is_pid = strcmp(key, "pid") == 0;
  if (is_pid || strcmp(key, "returncode") == 0)
    process_push_field(L, p->child, is_pid);
  else
    asy_method_push(L, S, ASY_SLOT_PROCESS);
  return 1;
}

static int process_tostring(lua_State *L) {
  lua_pushfstring(L, "<Process %d>", process_check(L, 1)->child->pid);
  return 1;
}

static int process_gc(lua_State *L) {
  process_Process *p = asy_type_test(L, asy_state(L), 1, ASY_SLOT_PROCESS);
  asy_Child *c = p ? p->child : NULL;
  if (c) {
    p->child = NULL;
    asy_child_release(c);
  }
  return 0;
}

/* package.preload["asyncio.process"]: where the part leaves its function */
static int process_load(lua_State *L) {
  lua_createtable(L, 0, 1);
  return 1;
}

void asy_processes_open(lua_State *L, asy_State *S) {
  static const luaL_Reg functions[] = {{"create_subprocess_exec", process_exec},
                                       {"create_subprocess_shell", process_shell},
                                       {NULL, NULL}};
  static const luaL_Reg methods[] = {{"wait", process_wait},
                                     {"communicate", process_communicate},
                                     {"send_signal", process_send_signal},
                                     {"terminate", process_terminate},
                                     {"kill", process_kill},
                                     {"__close", process_scope},
                                     {"__index", process_index},
                                     {"__tostring", process_tostring},
                                     {"__gc", process_gc},
                                     {NULL, NULL}};
  static const luaL_Reg loaders[] = {{PROCESS_PART, process_load}, {NULL, NULL}};
  asy_add_functions(L, S, functions);
  asy_type_new(L, S, ASY_SLOT_PROCESS, "asyncio.Process", methods);
  luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
  asy_set_functions(L, S, loaders);
  lua_pop(L, 1);
}
