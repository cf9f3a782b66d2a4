/* SPDX-License-Identifier: MIT */
/* plan.c - see plan.h. */
#include "plan.h"

#include <string.h>

#include "descriptor.h"
#include "disk.h"
#include "option.h"
#include "sys.h"

#define PLAN_GRACE 5.0 /* seconds between SIGTERM and SIGKILL when a scope is closed */

const char *asy_plan_name(int i) {
  static const char *const names[ASY_PLAN_STREAMS] = {"stdin", "stdout", "stderr"};
  return names[i];
}

/* ---- options: strings */

/* The string at arg, which becomes a C string. */
const char *asy_plan_check_text(lua_State *L, int arg) {
  size_t n;
  const char *text = luaL_checklstring(L, arg, &n);
  luaL_argcheck(L, strlen(text) == n, arg, "string contains zeros");
  return text;
}

/* The arguments from `first` to `last` as a list for uv_spawn, behind `more` places; pushes its
 * memory. */
char **asy_plan_push_argv(lua_State *L, int first, int last, int more) {
  int count = last - first + 1;
  char **argv = lua_newuserdatauv(L, ((size_t)(count + more) + 1) * sizeof *argv, 0);
  for (int i = 0; i < count; i++)
    argv[more + i] = (char *)asy_plan_check_text(L, first + i);
  argv[more + count] = NULL;
  return argv;
}

static bool plan_is_text(lua_State *L, int idx) {
  size_t n;
  if (lua_type(L, idx) != LUA_TSTRING && lua_type(L, idx) != LUA_TNUMBER) return false;
  lua_pushvalue(L, idx); /* lua_tolstring would change a number in place */
  const char *text = lua_tolstring(L, -1, &n);
  bool ok = strlen(text) == n;
  lua_pop(L, 1);
  return ok;
}

/* Put the variables of the table on top into the map at `map`. [-1, +0, v] */
static void plan_add_variables(lua_State *L, int arg, const char *option, int map,
                               bool may_remove) {
  if (!lua_istable(L, -1)) asy_option_error(L, arg, option, "table expected");
  for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
    const char *name = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "";
    if (*name == '\0' || strchr(name, '=') || !plan_is_text(L, -2))
      asy_option_error(L, arg, option, "the name of a variable is a string without '=' and zeros");
    bool removed = may_remove && lua_isboolean(L, -1) && !lua_toboolean(L, -1);
    if (!removed && !plan_is_text(L, -1))
      asy_option_error(L, arg, option,
                       lua_pushfstring(L, "the value of %s must be a string without zeros%s", name,
                                       may_remove ? ", or false" : ""));
    lua_pushvalue(L, -2);
    if (removed)
      lua_pushnil(L);
    else
      lua_pushvalue(L, -2);
    lua_rawset(L, map);
  }
  lua_pop(L, 1);
}

/* Put this process's own variables into the map at `map`. [-0, +0, m] */
static void plan_add_own(lua_State *L, int map) {
  for (char **variable = asy_sys_environ(); variable && *variable; variable++) {
    const char *sign = **variable ? strchr(*variable + 1, '=') : NULL;
    if (!sign) continue;
    lua_pushlstring(L, *variable, (size_t)(sign - *variable));
    lua_pushstring(L, sign + 1);
    lua_rawset(L, map);
  }
}

/* Make uv_spawn's list of the map on top: pushes the strings, and the list's memory. */
static char **plan_list_variables(lua_State *L) {
  int map = lua_gettop(L), count = 0;
  for (lua_pushnil(L); lua_next(L, map); lua_pop(L, 1))
    count++;
  lua_createtable(L, count, 0);
  char **list = lua_newuserdatauv(L, ((size_t)count + 1) * sizeof *list, 0);
  count = 0;
  for (lua_pushnil(L); lua_next(L, map); lua_pop(L, 1)) {
    lua_pushvalue(L, -1);
    list[count] = (char *)lua_pushfstring(L, "%s=%s", lua_tostring(L, -3), lua_tostring(L, -1));
    lua_rawseti(L, map + 1, ++count);
    lua_pop(L, 1);
  }
  list[count] = NULL;
  return list;
}

/* env and extra_env: NULL if neither is given; else what it needs is pushed. [-0, +?, v] */
static char **plan_push_env(lua_State *L, int opts) {
  lua_newtable(L);
  int map = lua_gettop(L);
  bool changed = asy_option_push(L, opts, "env");
  if (changed)
    plan_add_variables(L, opts, "env", map, false);
  else
    plan_add_own(L, map);
  if (asy_option_push(L, opts, "extra_env")) {
    plan_add_variables(L, opts, "extra_env", map, true);
    changed = true;
  }
  return changed ? plan_list_variables(L) : NULL;
}

/* ---- options: stdin, stdout, stderr */

static int plan_check_descriptor(lua_State *L, int opts, const char *name, lua_Integer fd) {
  if (fd < 0 || fd > INT32_MAX || !asy_sys_is_open((int)fd))
    asy_option_error(L, opts, name, "this descriptor is not open");
  return (int)fd;
}

/* The Stream on top is given to the child, and closed here once that runs; but asyncio.stdin and
 * the like are shared. */
static int plan_take_stream(lua_State *L, int opts, int i, asy_Plan *plan) {
  const char *name = asy_plan_name(i);
  asy_Stream *s = asy_flow_at(L, -1);
  if (!s || asy_flow_is_closed(s)) return asy_option_error(L, opts, name, "the stream is closed");
  int fd = asy_flow_carrier(s) ? s->uv.carried.fd : asy_sys_descriptor(s->fd);
  if (fd < 0) return asy_option_error(L, opts, name, "this stream has no descriptor for a child");
  if (s->input.buffer.count)
    return asy_option_error(L, opts, name, "the stream has input that has come here already");
  if (asy_flow_first_output(s))
    return asy_option_error(L, opts, name, "the stream has output that is not sent yet");
  plan->given[i] = fd;
  if (!asy_flow_carrier(s)) plan->handed[i] = s;
  return 0;
}

/* The File on top. */
static int plan_take_disk(lua_State *L, int opts, const char *name) {
  asy_File *f = asy_disk_check(L, asy_state(L), -1);
  const char *problem = asy_disk_hand_over(f);
  if (problem) asy_option_error(L, opts, name, problem);
  return f->fd;
}

/* The descriptor of the file or object on top. What a file of Lua's has in its buffer comes before
 * what the child writes. */
static int plan_take_object(lua_State *L, int opts, const char *name) {
  lua_Integer fd;
  const char *problem;
  int top = lua_gettop(L);
  luaL_Stream *file = luaL_testudata(L, -1, LUA_FILEHANDLE);
  if (file && !file->closef) asy_option_error(L, opts, name, "the file is closed");
  if (file) fflush(file->f);
  if (!asy_descriptor_of(L, -1, &fd, &problem))
    asy_option_error(L, opts, name,
                     "\"pipe\", \"inherit\", \"devnull\", an open file, a Stream or a descriptor "
                     "expected");
  if (problem) asy_option_error(L, opts, name, problem);
  lua_settop(L, top);
  return plan_check_descriptor(L, opts, name, fd);
}

static asy_PlanSource plan_choose(lua_State *L, int opts, int i) {
  static const char *const choices[] = {"pipe", "inherit", "devnull", "stdout"};
  const char *given = lua_tostring(L, -1);
  for (int k = 0; k <= (i == 2 ? ASY_PLAN_STDOUT : ASY_PLAN_DEVNULL); k++)
    if (strcmp(given, choices[k]) == 0) return (asy_PlanSource)k;
  asy_option_error(L, opts, asy_plan_name(i), lua_pushfstring(L, "invalid value '%s'", given));
  return ASY_PLAN_INHERIT;
}

/* The value of the option stays on the stack. */
static void plan_stream(lua_State *L, int opts, int i, asy_Plan *plan) {
  const char *name = asy_plan_name(i);
  plan->source[i] = ASY_PLAN_INHERIT;
  if (!asy_option_push(L, opts, name)) return;
  if (lua_type(L, -1) == LUA_TSTRING) {
    plan->source[i] = plan_choose(L, opts, i);
  } else {
    plan->source[i] = ASY_PLAN_GIVEN;
    if (lua_isinteger(L, -1))
      plan->given[i] = plan_check_descriptor(L, opts, name, lua_tointeger(L, -1));
    else if (asy_type_test(L, asy_state(L), -1, ASY_SLOT_STREAM))
      plan_take_stream(L, opts, i, plan);
    else if (asy_type_test(L, asy_state(L), -1, ASY_SLOT_FILE))
      plan->given[i] = plan_take_disk(L, opts, name);
    else
      plan->given[i] = plan_take_object(L, opts, name);
  }
}

/* ---- options: the rest */

static void plan_user(lua_State *L, int opts, asy_Plan *plan) {
  lua_Integer uid = asy_option_integer(L, opts, "uid", -1, 0, UINT32_MAX - (lua_Integer)1);
  lua_Integer gid = asy_option_integer(L, opts, "gid", -1, 0, UINT32_MAX - (lua_Integer)1);
  if (uid >= 0) plan->uv.flags |= UV_PROCESS_SETUID;
  if (gid >= 0) plan->uv.flags |= UV_PROCESS_SETGID;
  plan->uv.uid = uid >= 0 ? (uv_uid_t)uid : 0;
  plan->uv.gid = gid >= 0 ? (uv_gid_t)gid : 0;
}

/* true, or 0 as in Python: a group of its own */
static bool plan_wants_group(lua_State *L, int opts) {
  if (!asy_option_push(L, opts, "process_group")) return false;
  bool zero = lua_isinteger(L, -1) && lua_tointeger(L, -1) == 0;
  if (!zero && !lua_isboolean(L, -1))
    asy_option_error(L, opts, "process_group", "boolean or 0 expected: a group of the child's own");
  bool wants = zero || lua_toboolean(L, -1);
  lua_pop(L, 1);
  return wants;
}

static double plan_check_grace(lua_State *L, int opts) {
  if (!asy_option_push(L, opts, "grace")) return PLAN_GRACE;
  double grace = lua_tonumber(L, -1);
  if (lua_type(L, -1) != LUA_TNUMBER || !(grace >= 0))
    asy_option_error(L, opts, "grace", "number of seconds expected, 0 or more");
  lua_pop(L, 1);
  return grace;
}

/* Read the options at `opts`; strings that are needed until the child has started are pushed.
 * [-0, +?, v] */
void asy_plan_read(lua_State *L, int opts, asy_Plan *plan) {
  static const char *const names[] = {"stdin",         "stdout", "stderr", "cwd",   "env",
                                      "extra_env",     "uid",    "gid",    "limit", "detached",
                                      "process_group", "grace",  NULL};
  memset(plan, 0, sizeof *plan);
  luaL_checkstack(L, LUA_MINSTACK, NULL);
  asy_option_check(L, opts, names);
  for (int i = 0; i < ASY_PLAN_STREAMS; i++)
    plan_stream(L, opts, i, plan);
  plan_user(L, opts, plan);
  plan->limit = (size_t)asy_option_integer(L, opts, "limit", (lua_Integer)ASY_FLOW_LIMIT, 1,
                                           (lua_Integer)1 << 40);
  plan->grace = plan_check_grace(L, opts);
  plan->survives = asy_option_boolean(L, opts, "detached", false);
  plan->group = plan_wants_group(L, opts);
  if (plan->survives || plan->group) plan->uv.flags |= UV_PROCESS_DETACHED; /* setsid */
  plan->uv.env = plan_push_env(L, opts);
  if (asy_option_push(L, opts, "cwd")) {
    if (lua_type(L, -1) != LUA_TSTRING || !plan_is_text(L, -1))
      asy_option_error(L, opts, "cwd", "string without zeros expected");
    plan->uv.cwd = lua_tostring(L, -1);
  }
}
