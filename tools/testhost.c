/* SPDX-License-Identifier: MIT */
/*
** testhost.c: a small `lua` whose allocator and hook torture the library (`make gc`, `make oom`).
**
**   testhost [--gc-alloc | --gc-hook] SCRIPT [ARGS...]
**
** --gc-alloc  each growing allocation of Lua's fails once: Lua collects everything and tries again,
**             and whatever nobody holds is gone by then (such a collection runs no finalizers)
** --gc-hook   a full collection, finalizers included, every 100 instructions, in every coroutine
**
** Scripts reach it as the module "testhost": arm(bool) turns the mode on and off, fail_at(n) lets
** the n-th growing allocation from now on fail, stop() ends that and tells what happened,
** new_state(f, n) does it to a state of its own. TESTHOST_ARM=1 in the environment arms before the
** script starts.
**
** What the library allocates for itself, through Lua's allocator or malloc, is told from what Lua
** and libuv allocate by the caller's address, so nothing in src/ needs to know of this program. Lua
** tries an allocation again after a collection, hence both tries of it fail; the library does not.
*/
#define _GNU_SOURCE
#include <errno.h>
#include <execinfo.h>
#include <link.h>
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum Mode { MODE_NONE, MODE_GC_ALLOC, MODE_GC_HOOK };

/* This is a program, not the library: its state may be global. */
static struct Host {
  enum Mode mode;
  bool armed;
  bool retried;    /* gc-alloc: the last request has just failed, this is the second try */
  bool collecting; /* gc-hook: no collection from within one */
  bool learning;   /* host_learn_buffer_caller */
  const void *buffer_caller; /* where luaL_Buffer calls the allocator */
  pthread_t thread;          /* the one that counts */
  long left;                 /* fail_at: growing requests until the one that fails; 0: none will */
  long seen, own;            /* fail_at: growing requests so far, and those of the library itself */
  bool traced;               /* fail_at: show on stderr where the request was made */
  bool fired;                /* fail_at: the request has failed */
  bool again;                /* fail_at: Lua's second try is to fail, too */
  void *again_ptr;           /* what it will ask for */
  size_t again_size;
  uintptr_t core_begin, core_end; /* where the library's code lies */
  lua_State *interrupted;         /* whom SIGINT interrupts */
} host;

/* ---- whose request is it? */

static int host_find_core(struct dl_phdr_info *info, size_t size, void *data) {
  (void)size;
  (void)data;
  const char *name = info->dlpi_name;
  size_t length = strlen(name);
  if (length < 15 || strcmp(name + length - 15, "asyncio/core.so") != 0) return 0;
  for (int i = 0; i < info->dlpi_phnum; i++) {
    const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
    if (segment->p_type != PT_LOAD || !(segment->p_flags & PF_X)) continue;
    host.core_begin = info->dlpi_addr + segment->p_vaddr;
    host.core_end = host.core_begin + segment->p_memsz;
  }
  return 1;
}

static bool host_is_core(const void *caller) {
  uintptr_t address = (uintptr_t)caller;
  if (!host.core_begin && host.armed) dl_iterate_phdr(host_find_core, NULL);
  return address >= host.core_begin && address < host.core_end;
}

/* ---- failing */

static void host_show_stack(void) {
  void *frames[32];
  host.left = 0; /* what backtrace allocates does not count */
  int n = backtrace(frames, 32);
  backtrace_symbols_fd(frames, n, 2);
}

/* Counts a growing request; true if it must fail. `once`: it will not be tried again. */
static bool host_fails(void *ptr, size_t size, bool once, bool is_core) {
  if (host.again && !once && ptr == host.again_ptr && size == host.again_size) {
    host.again = false;
    return true;
  }
  if (host.left <= 0 || !pthread_equal(pthread_self(), host.thread)) return false;
  host.seen++;
  host.own += is_core;
  if (--host.left > 0) return false;
  host.fired = true;
  if (host.traced) host_show_stack();
  host.again = !once;
  host.again_ptr = ptr;
  host.again_size = size;
  return true;
}

/* Put before each of Lua's blocks; two words keep the block aligned. */
typedef struct Head {
  size_t is_stack;
  size_t unused;
} Head;

/* A thread's stack is born with this size, and as nothing else (`kind` is what Lua says it is for a
** new block). From 5.4.5 on Lua does not try again when a stack cannot grow. */
#define STACK_BYTES ((2 * LUA_MINSTACK + 5) * 2 * sizeof(void *))
#define STACK_TRIES_ONCE (LUA_VERSION_NUM > 504 || LUA_VERSION_RELEASE_NUM >= 50405)

static bool host_is_stack(const Head *head, size_t kind, size_t new_size) {
  if (!STACK_TRIES_ONCE) return false;
  return head ? head->is_stack : kind == 0 && new_size == STACK_BYTES;
}

static void *host_resize(Head *head, size_t new_size, bool is_stack) {
  head = realloc(head, sizeof *head + new_size);
  if (!head) return NULL;
  head->is_stack = is_stack;
  return head + 1;
}

/* Lua's allocator. What the library asks for itself must not fail in gc-alloc: nobody would try it
** again. */
static void *host_alloc(void *ud, void *ptr, size_t old_size, size_t new_size) {
  (void)ud;
  Head *head = ptr ? (Head *)ptr - 1 : NULL;
  if (new_size == 0) {
    free(head);
    return NULL;
  }
  bool is_stack = host_is_stack(head, old_size, new_size);
  const void *caller = __builtin_return_address(0);
  if (host.learning && new_size > 0) host.buffer_caller = caller;
  /* a new stack is an allocation like any other */
  bool tries_once = (is_stack && head) || caller == host.buffer_caller;
  bool is_core = host_is_core(caller);
  if (!ptr || new_size > old_size) {
    if (host.mode == MODE_GC_ALLOC && host.armed && !is_core && !tries_once) {
      host.retried = !host.retried;
      if (host.retried) return NULL;
    }
    if (host_fails(ptr, new_size, is_core || tries_once, is_core)) return NULL;
  }
  return host_resize(head, new_size, is_stack);
}

#if defined(__GLIBC__)
/* The library's own calls of malloc and its family come here, as everybody's do: a program's names
** go before those of libc. Only calls from the library's code may fail. */
extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t n, size_t size);
extern void *__libc_realloc(void *ptr, size_t size);

static bool host_malloc_fails(void *ptr, size_t size, const void *caller) {
  if (!host_is_core(caller) || !host_fails(ptr, size, true, true)) return false;
  errno = ENOMEM;
  return true;
}

void *malloc(size_t size) {
  if (host_malloc_fails(NULL, size, __builtin_return_address(0))) return NULL;
  return __libc_malloc(size);
}

void *calloc(size_t n, size_t size) {
  if (host_malloc_fails(NULL, n * size, __builtin_return_address(0))) return NULL;
  return __libc_calloc(n, size);
}

void *realloc(void *ptr, size_t size) {
  if (host_malloc_fails(ptr, size, __builtin_return_address(0))) return NULL;
  return __libc_realloc(ptr, size);
}
#endif

/* ---- collecting */

/* A coroutine inherits the hook of the thread that creates it: setting it once is enough. */
static void host_on_count(lua_State *L, lua_Debug *ar) {
  (void)ar;
  if (!host.armed || host.collecting) return;
  host.collecting = true;
  lua_gc(L, LUA_GCCOLLECT);
  host.collecting = false;
}

/* The hook that a thread of this program has when nothing is to be interrupted. */
static void host_set_hook(lua_State *L) {
  bool counts = host.mode == MODE_GC_HOOK;
  lua_sethook(L, counts ? host_on_count : NULL, counts ? LUA_MASKCOUNT : 0, counts ? 100 : 0);
}

/* ---- Ctrl-C, as lua has it: it interrupts the script, the next one ends the process */

static void host_on_interrupted(lua_State *L, lua_Debug *ar) {
  (void)ar;
  host_set_hook(L);
  luaL_error(L, "interrupted!");
}

static void host_on_sigint(int signum) {
  signal(signum, SIG_DFL);
  lua_sethook(host.interrupted, host_on_interrupted,
              LUA_MASKCALL | LUA_MASKRET | LUA_MASKLINE | LUA_MASKCOUNT, 1);
}

/* ---- the module */

static int host_arm(lua_State *L) {
  host.armed = lua_toboolean(L, 1);
  host.retried = false;
  return 0;
}

/* fail_at(n [, trace]) */
static int host_fail_at(lua_State *L) {
  long n = (long)luaL_checkinteger(L, 1);
  luaL_argcheck(L, n > 0, 1, "must be positive");
  dl_iterate_phdr(host_find_core, NULL);
  host.thread = pthread_self();
  host.traced = lua_toboolean(L, 2);
  host.seen = host.own = 0;
  host.fired = host.again = false;
  host.left = n;
  return 0;
}

/* stop() -> whether it failed, requests seen, those of the library itself */
static int host_stop(lua_State *L) {
  host.left = 0;
  host.again = false;
  lua_pushboolean(L, host.fired);
  lua_pushinteger(L, host.seen);
  lua_pushinteger(L, host.own);
  return 3;
}

static int host_open_module(lua_State *L);

/* luaL_Buffer asks the allocator itself, at one place of its code, and does not try again. That
 *place
 ** is known by the return address once a buffer has grown: it is the last request in here. */
static void host_learn_buffer_caller(lua_State *L) {
  luaL_Buffer buffer;
  luaL_buffinit(L, &buffer);
  host.learning = true;
  luaL_prepbuffsize(&buffer, 8 * LUAL_BUFFERSIZE);
  host.learning = false;
  luaL_pushresultsize(&buffer, 0);
  lua_settop(L, 0);
}

static lua_State *host_new_state(void) {
#if LUA_VERSION_NUM >= 505
  lua_State *L = lua_newstate(host_alloc, NULL, luaL_makeseed(NULL));
#else
  lua_State *L = lua_newstate(host_alloc, NULL);
#endif
  if (!L) return NULL;
  luaL_openlibs(L);
  luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
  lua_pushcfunction(L, host_open_module);
  lua_setfield(L, -2, "testhost");
  lua_settop(L, 0);
  if (!host.buffer_caller) host_learn_buffer_caller(L);
  host_set_hook(L);
  return L;
}

/* new_state(source [, n]) -> nil or error text, whether an allocation failed.
** Runs the chunk in a Lua state of its own, the n-th allocation failing, and closes that state. */
static int host_in_new_state(lua_State *L) {
  const char *source = luaL_checkstring(L, 1);
  lua_Integer n = luaL_optinteger(L, 2, 0);
  lua_State *other = host_new_state();
  if (!other) return luaL_error(L, "no memory for a state");
  int status = luaL_loadstring(other, source);
  if (status == LUA_OK && n > 0) {
    lua_pushinteger(L, n);
    lua_replace(L, 1);
    lua_settop(L, 1);
    host_fail_at(L);
  }
  if (status == LUA_OK) status = lua_pcall(other, 0, 0, 0);
  host.left = 0;
  host.again = false;
  if (status == LUA_OK) {
    lua_pushnil(L);
  } else {
    const char *text = luaL_tolstring(other, -1, NULL);
    lua_pushstring(L, text);
  }
  lua_pushboolean(L, host.fired);
  lua_close(other);
  return 2;
}

static int host_open_module(lua_State *L) {
  static const luaL_Reg functions[] = {{"arm", host_arm},
                                       {"fail_at", host_fail_at},
                                       {"stop", host_stop},
                                       {"new_state", host_in_new_state},
                                       {NULL, NULL}};
  luaL_newlib(L, functions);
  return 1;
}

/* ---- the program */

static int host_handle(lua_State *L) {
  host.armed = false;
  const char *text = luaL_tolstring(L, 1, NULL);
  luaL_traceback(L, L, text, 1);
  return 1;
}

/* Global `arg`, as lua has it: the script at 0, this program before. */
static void host_set_arg(lua_State *L, int argc, char **argv, int script) {
  lua_createtable(L, argc - script, script + 1);
  for (int i = 0; i < argc; i++) {
    lua_pushstring(L, argv[i]);
    lua_rawseti(L, -2, i - script);
  }
  lua_setglobal(L, "arg");
}

static int host_main(lua_State *L) {
  int argc = (int)lua_tointeger(L, 1);
  char **argv = (char **)lua_touserdata(L, 2);
  int script = (int)lua_tointeger(L, 3);
  host_set_arg(L, argc, argv, script);
  if (luaL_loadfile(L, argv[script]) != LUA_OK) return lua_error(L);
  for (int i = script + 1; i < argc; i++)
    lua_pushstring(L, argv[i]);
  const char *arm = getenv("TESTHOST_ARM");
  host.armed = arm && strcmp(arm, "1") == 0;
  lua_call(L, argc - script - 1, 0);
  return 0;
}

int main(int argc, char **argv) {
  int script = 1;
  if (argc > 1 && strcmp(argv[1], "--gc-alloc") == 0) host.mode = MODE_GC_ALLOC;
  if (argc > 1 && strcmp(argv[1], "--gc-hook") == 0) host.mode = MODE_GC_HOOK;
  if (host.mode != MODE_NONE) script = 2;
  if (script >= argc) {
    fprintf(stderr, "usage: testhost [--gc-alloc | --gc-hook] SCRIPT [ARGS...]\n");
    return 2;
  }
  lua_State *L = host_new_state();
  if (!L) return 3;
  lua_pushcfunction(L, host_handle);
  lua_pushcfunction(L, host_main);
  lua_pushinteger(L, argc);
  lua_pushlightuserdata(L, argv);
  lua_pushinteger(L, script);
  host.interrupted = L;
  signal(SIGINT, host_on_sigint);
  int status = lua_pcall(L, 3, 0, 1);
  signal(SIGINT, SIG_DFL);
  host.armed = false;
  if (status != LUA_OK) fprintf(stderr, "testhost: %s\n", lua_tostring(L, -1));
  lua_close(L);
  return status == LUA_OK ? 0 : 1;
}
