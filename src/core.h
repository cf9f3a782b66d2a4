/* SPDX-License-Identifier: MIT */
/* core.h - the two structs that everything hangs on: asy_State (one per Lua state) and asy_Loop
 * (one per event loop).
 *
 * asy_State is a userdata in the registry and the first upvalue of every function of the library:
 * no room has a global variable. What the core needs often as a Lua value lies on the *shelf*, the
 * stack of a Lua thread that is never run: fetching a value from there (asy_shelf_push) neither
 * allocates nor raises, and is faster than the registry. A loop has a shelf of its own, which dies
 * with the loop.
 *
 * Who sets a field is said beside it; each belongs to the room that is named. */
#ifndef ASY_CORE_H
#define ASY_CORE_H

#include <lauxlib.h>
#include <lua.h>
#include <stdbool.h>
#include <stdint.h>

#include "heap.h"
#include "list.h"

#if LUA_VERSION_NUM < 504
#error "lua-asyncio needs Lua 5.4.3 or newer"
#endif

/* shared between rooms, invisible outside the library; static in the one-file build */
#if defined(ASY_ONEFILE)
#define ASY_FUNC static
#elif defined(_WIN32)
#define ASY_FUNC extern
#else
#define ASY_FUNC extern __attribute__((visibility("hidden")))
#endif

#if defined(__GNUC__)
#define ASY_NORETURN __attribute__((noreturn))
#define ASY_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#define ASY_UNLIKELY(x) __builtin_expect(!!(x), 0)
#define ASY_INLINE inline __attribute__((always_inline))
#else
#define ASY_NORETURN
#define ASY_PRINTF(fmt, args)
#define ASY_UNLIKELY(x) (x)
#define ASY_INLINE inline
#endif

/* 5.4.5 gave it `from`, 5.4.6 another name; a suspended thread is unwound without the chance to
 * wait */
#if LUA_VERSION_NUM > 504 || LUA_VERSION_RELEASE_NUM >= 50406
#define asy_closethread(co, from) lua_closethread(co, from)
#elif LUA_VERSION_RELEASE_NUM == 50405
#define asy_closethread(co, from) lua_resetthread(co, from)
#else
#define asy_closethread(co, from) ((void)(from), lua_resetthread(co))
#endif

/* 5.5 keeps it to itself */
#if !defined(lua_writestringerror)
#include <stdio.h>
#define lua_writestringerror(s, p) (fprintf(stderr, (s), (p)), fflush(stderr))
#endif

struct sigaction;
typedef struct asy_State asy_State;
typedef struct asy_Loop asy_Loop;
typedef struct asy_Ready asy_Ready;
typedef struct asy_Wait asy_Wait;
typedef struct asy_Future asy_Future;
typedef struct asy_Task asy_Task;
typedef struct asy_ChildWatch asy_ChildWatch; /* child.c: the child processes of a loop */
typedef struct asy_Backend asy_Backend;       /* loop.c: what libuv can see of a loop */
typedef struct asy_Inbox asy_Inbox;           /* inbox.c */
typedef struct asy_Pool asy_Pool;             /* thread.c: the threads of a loop */

/* The classes of errors, in the order of the shelf's first slots. */
typedef enum asy_Class {
  ASY_CANCELLED_ERROR = 1,
  ASY_TIMEOUT_ERROR,
  ASY_INVALID_STATE_ERROR,
  ASY_QUEUE_EMPTY,
  ASY_QUEUE_FULL,
  ASY_QUEUE_SHUT_DOWN,
  ASY_INCOMPLETE_READ_ERROR,
  ASY_LIMIT_OVERRUN_ERROR,
  ASY_BROKEN_BARRIER_ERROR,
  ASY_EXCEPTION_GROUP,
  ASY_KEYBOARD_INTERRUPT,
  ASY_DEADLOCK_ERROR,
  ASY_OS_ERROR,
  ASY_CLASS_COUNT = ASY_OS_ERROR
} asy_Class;

/* Slots of the state's shelf; the error classes come first, then the metatables of the library's
 * types. */
typedef enum asy_Slot {
  ASY_SLOT_STATE = ASY_CLASS_COUNT + 1, /* the State itself, for upvalues */
  ASY_SLOT_MODULE,                      /* the table that require returns */
  ASY_SLOT_EXTRAS, /* weak keys: object -> table of what few objects have (name, traceback ...) */
  ASY_SLOT_LOOP,   /* the loop of set_event_loop, or nil */
  ASY_SLOT_TRACEBACK, /* of the last error in a callback; error.c */
  ASY_SLOT_CONTEXT,   /* the context outside tasks and callbacks: table or nil */
  ASY_SLOT_FS,        /* the functions of asyncio.fs are listed under it; fs.c */
  ASY_SLOT_FUTURE,    /* metatables from here on; of Future and Task each loop has its own copy */
  ASY_SLOT_TASK,
  ASY_SLOT_FAILURE, /* internal: the error of a failed future, which reports itself when nobody has
                       looked */
  ASY_SLOT_HANDLE,
  ASY_SLOT_TIMER_HANDLE,
  ASY_SLOT_LOOP_TYPE,
  ASY_SLOT_CLOSER,    /* internal: closes a generator when its loop is left; wrap.c */
  ASY_SLOT_COROUTINE, /* a coroutine object, of asyncio.async */
  ASY_SLOT_CONTEXT_VAR,
  ASY_SLOT_TOKEN,
  ASY_SLOT_GATHER, /* internal: a gather, wait or as_completed in progress */
  ASY_SLOT_TIMEOUT,
  ASY_SLOT_TASK_GROUP,
  ASY_SLOT_LOCK,
  ASY_SLOT_EVENT,
  ASY_SLOT_CONDITION,
  ASY_SLOT_SEMAPHORE,
  ASY_SLOT_BOUNDED_SEMAPHORE,
  ASY_SLOT_BARRIER,
  ASY_SLOT_QUEUE,
  ASY_SLOT_LIFO_QUEUE,
  ASY_SLOT_PRIORITY_QUEUE,
  ASY_SLOT_STREAM,
  ASY_SLOT_DATAGRAM,
  ASY_SLOT_SERVER,
  ASY_SLOT_RUNNER,
  ASY_SLOT_REQUEST, /* internal: a request to the file system; request.c */
  ASY_SLOT_FILE,
  ASY_SLOT_WATCHER,
  ASY_SLOT_PROCESS,
  ASY_SLOT_COUNT = ASY_SLOT_PROCESS
} asy_Slot;

#define ASY_MOST_LISTS 128

/* One per Lua state. Who sets a field stands at the end of its comment. */
struct asy_State {
  lua_State *main;  /* the state's main thread; core.c */
  lua_State *shelf; /* a thread that never runs: its stack holds the values of asy_Slot; core.c */

  /* lua_topointer of each metatable, NULL for the other slots; asy_type_new */
  const void *types[ASY_SLOT_COUNT + 1];
  const char *names[ASY_SLOT_COUNT + 1]; /* of the types; asy_type_new */

  /* What the rooms have registered: functions of the module (ASY_SLOT_MODULE) and methods of types,
   * which become Lua values when they are needed; core.c */
  struct {
    const luaL_Reg *functions;
    uint8_t slot;
  } lists[ASY_MOST_LISTS];
  int list_count;

  const void
      *future_type; /* the same of the loop that was made or driven last, or NULL; future.c */
  const void *task_type;

  asy_Loop *running;  /* the loop that is being driven now, or NULL; loop.c */
  asy_Loop *current;  /* the loop of set_event_loop (see ASY_SLOT_LOOP), or NULL; loop.c */
  asy_Loop *host;     /* the loop that was opened from C last, while it is open, or NULL; loop.c */
  int strict_hosts;   /* open loops whose host lets no script block it; loop.c */
  asy_Loop *callback; /* whose callback is being executed (its ASY_LOOP_CALLBACK); handle.c */
  asy_Wait *waiter;   /* the wait record of the task that is being executed, or NULL; wait.c */
  lua_State *innermost; /* the one thread in which that task may wait now, or NULL; wait.c */

  /* innermost is NULL: the thread that entered a coroutine where it may not wait itself; wait.c */
  lua_State *blocked;

  const char *forbidden; /* why nothing may wait now ("while its loop closes"), or NULL */

  /* What lower rooms call in higher ones. */
  int (*toplevel)(lua_State *L); /* runs the calling C function in a task; script.c */
  bool (*cancel_task)(lua_State *L, asy_Future *task, int msg); /* asy_task_cancel; task.c */
  void (*stepped)(lua_State *L, asy_Wait *w, int how);          /* after an asy_Step; task.c */
  bool (*overdue)(lua_State *L, asy_Wait *w); /* it has parked `limit` times; redeliver.c */
  lua_CFunction base; /* the function at the bottom of every task's thread; task.c */

  /* C functions that call another one protected (pcall ...): see asy_add_protector */
  struct {
    lua_CFunction f;
    int place;
  } protectors[8];

  asy_List dispositions;           /* what was there before signals were watched; disposition.c */
  struct sigaction *sigint_before; /* the one of SIGINT among them, or NULL: the program has no
                                      handler of its own for it; disposition.c, interrupt.c */

  char *unread; /* of stdin, from asy_malloc: a loop that is closed has left it; port.c */
  size_t unread_count;

  uint64_t tasks_made; /* numbers the default names, Task-1 ...; task.c */
  bool closing;        /* lua_close has begun: no new loops; core.c */
};

/* Slots of a loop's shelf. */
typedef enum asy_LoopSlot {
  ASY_LOOP_SELF = 1, /* the Loop userdata */
  ASY_LOOP_RING, /* the newest handle in the ready queue: a ring of them through their user values;
                    handle.c */
  ASY_LOOP_THREADS, /* list: every Lua thread that a task runs on, or that waits in the pool; task.c
                     */
  ASY_LOOP_TASKS,  /* list: the pending task of the thread with the same number, or false; task.c */
  ASY_LOOP_TIMERS, /* list: every TimerHandle in the heap; handle.c */
  ASY_LOOP_CALLBACK,    /* the handle that is being run; handle.c */
  ASY_LOOP_HANDLER,     /* set_exception_handler's function or nil; error.c */
  ASY_LOOP_FACTORY,     /* set_task_factory's function or nil; task.c */
  ASY_LOOP_UNSEEN,      /* table, weak values: address of an asy_Failure -> the failure; future.c */
  ASY_LOOP_PINS,        /* table: what I/O in progress keeps alive; resource.c */
  ASY_LOOP_CONTEXT,     /* the context of a Runner's runs, or nil; context.c */
  ASY_LOOP_FUTURE_TYPE, /* metatables of the loop's futures and tasks; future.c */
  ASY_LOOP_TASK_TYPE,
  ASY_LOOP_COUNT = ASY_LOOP_TASK_TYPE
} asy_LoopSlot;

/* A Lua list in a loop's shelf whose entries are found by number; the free ones are chained, as
 * luaL_ref does it. */
typedef struct asy_Slots {
  lua_Integer free, count;
} asy_Slots;

/* A thread in the pool. */
typedef struct asy_Thread {
  lua_State *co;
  lua_Integer slot; /* its place in ASY_LOOP_THREADS */
} asy_Thread;

#define ASY_POOL_SIZE 1024

#define ASY_THREADS_MOST 1024 /* of asy_Loop.thread_limit */

/* Something that must be shut down when its loop closes: an open libuv handle, as a rule. Embedded
 * in what it belongs to. */
typedef struct asy_Closer {
  asy_Link link; /* in asy_Loop.resources while it is open */
  /* Release what libuv holds (uv_close). Runs no Lua and uses no lua_State: lua_close calls it,
   * too. Takes itself off the list. */
  void (*close)(struct asy_Closer *closer);
} asy_Closer;

/* One per event loop: a userdata. What libuv can see of it lies outside the Lua state's memory, in
 * `backend`. */
struct asy_Loop {
  asy_State *S;
  lua_State *shelf;     /* as S->shelf, with the slots of asy_LoopSlot; dies with the loop */
  asy_Backend *backend; /* loop.c; NULL when the loop is closed */
  asy_List ready;       /* asy_Ready: what runs in the next turn; ready.h */
  asy_Link marker;      /* in `ready` while a turn is under way: behind what it runs; loop.c */
  asy_Heap timers;      /* asy_Timer; timer.c */
  asy_List tasks;     /* asy_Task.all: tasks that are not done, in the order of creation; task.c */
  asy_List unseen;    /* asy_Failure.link: errors of futures that nobody has looked at; future.c */
  asy_List resources; /* asy_Closer: what must be shut down with the loop; resource.c */
  asy_Slots thread_slots,
      timer_slots; /* of ASY_LOOP_THREADS and ASY_LOOP_TASKS; of ASY_LOOP_TIMERS */
  asy_Thread
      *pool; /* threads to be used again: room for ASY_POOL_SIZE; NULL before the first; task.c */
  int pool_count;
  double now;           /* the virtual clock's time; timer.c */
  uint64_t polled_at;   /* asy_sys_tick of the last poll; loop.c */
  unsigned polls;       /* how often libuv has been asked; loop.c */
  int run_since_poll;   /* entries since then; loop.c */
  double slow_callback; /* seconds; debug mode reports what takes longer */
  uint32_t stamps;      /* the last value of asy_Future.stamp; gather.c */
  int cancel_depth;     /* nested walks of cancel() down the chain of waits; task.c */
  void (*after_turn)(lua_State *L,
                     asy_Loop *loop); /* called by the driver after each turn, if set; runner.c */
  asy_Wait *sharer;         /* of the task whose context a Runner keeps; only compared; context.c */
  int interrupts;           /* SIGINTs that became a cancellation of the main task; loop.c */
  asy_Inbox *inbox;         /* for other threads; NULL before the first needs it; loop.c */
  asy_Pool *workers;        /* the threads for jobs; NULL before the first job; thread.c */
  struct fd_Set *foreign;   /* descriptors of others that are watched, or NULL; fd.c */
  asy_ChildWatch *children; /* NULL before the first child process; child.c */
  int thread_limit;         /* how many of them there may be; 0: as many as is usual; thread.c */
  int holds;                /* who outside may still complete something: no deadlock while > 0 */
  int in_flight;            /* requests that the virtual clock must not overtake; resource.c */
  uint8_t factory;          /* asy_Factory: how tasks are made; task.c */
  bool is_virtual;          /* new_event_loop{clock = "virtual"} */
  bool debug;
  bool stopping; /* stop() was called: the drive ends after this turn; loop.c */
  bool closed;
  bool closing;          /* its tasks are being closed: what they do must not close it again */
  bool hosted;           /* the host runs the uv_loop_t; loop.c */
  bool of_host;          /* opened from C; loop.c */
  bool by_host;          /* a host's turn: nobody is there to raise a KeyboardInterrupt; loop.c */
  bool interrupted;      /* SIGINT: the drive ends now with a KeyboardInterrupt; interrupt.c */
  bool allows_threads;   /* made by a script, or the host allows it; loop.c */
  bool allows_files;     /* the same for files */
  bool allows_children;  /* the same for child processes */
  bool allows_stdio;     /* the same for stdin, stdout and stderr */
  bool watches_sigint;   /* made by a script, not from C: Ctrl-C works while it is driven */
  bool cancel_on_sigint; /* the first SIGINT cancels the main task; runner.c */
};

/* ---- State and shelf (core.c) */

/* Key of the State in the registry: the address of this function's code is unique in the process.
 */
ASY_FUNC asy_State *asy_state_from_registry(lua_State *L);

/* Make the State of a Lua state and put it into the registry. [-0, +0, m] */
ASY_FUNC asy_State *asy_state_new(lua_State *L);

/* The State of a function of ours, from its first upvalue. [-0, +0, -] */
static inline asy_State *asy_state(lua_State *L) {
  return (asy_State *)lua_touserdata(L, lua_upvalueindex(1));
}

/* Push the value in a slot of a shelf. [-0, +1, -] */
static inline void asy_shelf_push(lua_State *L, lua_State *shelf, int slot) {
  lua_pushvalue(shelf, slot);
  lua_xmove(shelf, L, 1);
}

/* Pop a value into a slot of a shelf. [-1, +0, -] */
static inline void asy_shelf_set(lua_State *L, lua_State *shelf, int slot) {
  lua_xmove(L, shelf, 1);
  lua_replace(shelf, slot);
}

/* Where Lua's xpcall and asyncio's keep the function that they call; their message handler lies
 * at 2. */
#define ASY_PLACE_IN_XPCALL 4

/* Make a C function known that calls another one protected (lua_pcallk), whose function lies at
 * stack index `place`: see asy_wait_unwinds. [-0, +0, -] */
ASY_FUNC void asy_add_protector(asy_State *S, lua_CFunction f, int place);

/* ---- Types (core.c) */

/* Opening the library makes hardly any Lua values: a program that only runs a task need not pay for
 * what it never looks at. A type's metatable is made with its first object, a function of the
 * module when it is first looked at. Until then there are only lists, which are static. */

/* Declare a type: `name` as in "asyncio.Lock"; methods get the State as upvalue and go into
 * __index, metamethods (names with __) into the metatable itself. An __index function gets as
 * second upvalue an empty table of methods, for asy_method_push. [-0, +0, v] */
ASY_FUNC void asy_type_new(lua_State *L, asy_State *S, asy_Slot slot, const char *name,
                           const luaL_Reg *methods);

/* Add methods (and metamethods) to a type that was declared, or functions to ASY_SLOT_FS.
 * [-0, +0, v] */
ASY_FUNC void asy_type_add(lua_State *L, asy_State *S, asy_Slot slot, const luaL_Reg *methods);

/* Push a type's metatable. [-0, +1, m] */
ASY_FUNC void asy_type_push(lua_State *L, asy_State *S, asy_Slot slot);

/* For a type's __index function: push the method whose name is at 2, or nil. What was looked at
 * before is in the table of upvalue 2. [-0, +1, m] */
ASY_FUNC void asy_method_push(lua_State *L, asy_State *S, asy_Slot slot);

/* Declare functions of the module, which get the State as upvalue. [-0, +0, v] */
ASY_FUNC void asy_add_functions(lua_State *L, asy_State *S, const luaL_Reg *functions);

/* Push the function that a type's or (ASY_SLOT_MODULE) the module's lists have under this name;
 * false, and nothing is pushed, if there is none. [-0, +(0|1), m] */
ASY_FUNC bool asy_function_push(lua_State *L, asy_State *S, asy_Slot slot, const char *name);

/* The first of these lists from number i (0 at first) on, or NULL; i becomes the number after it.
 * [-0, +0, -] */
ASY_FUNC const luaL_Reg *asy_functions_next(const asy_State *S, asy_Slot slot, int *i);

/* Put functions into the table on top, with the State as upvalue. [-0, +0, m] */
ASY_FUNC void asy_set_functions(lua_State *L, asy_State *S, const luaL_Reg *functions);

/* New userdata of a type with n user values, zeroed. [-0, +1, m] */
ASY_FUNC void *asy_type_create(lua_State *L, asy_State *S, asy_Slot slot, size_t size, int nuv);

/* The userdata at idx if its metatable is that of `slot`, else NULL. [-0, +0, -] */
static inline void *asy_type_test(lua_State *L, asy_State *S, int idx, asy_Slot slot) {
  void *p = lua_touserdata(L, idx);
  if (!p || !lua_getmetatable(L, idx)) return NULL;
  const void *mt = lua_topointer(L, -1);
  lua_pop(L, 1);
  return mt == S->types[slot] ? p : NULL;
}

/* The same, or an argument error that names the type. [-0, +0, v] */
ASY_FUNC void *asy_type_check(lua_State *L, asy_State *S, int arg, asy_Slot slot);

/* ---- Small helpers for bindings (core.c) */

/* The Loop at arg; an error if it is closed. [-0, +0, v] */
ASY_FUNC asy_Loop *asy_check_loop(lua_State *L, asy_State *S, int arg);

/* The Loop at arg; if that is nil, the running loop, else the current one; an error if there is
 * none.
 * [-0, +0, v] */
ASY_FUNC asy_Loop *asy_opt_loop(lua_State *L, asy_State *S, int arg);

/* The number of seconds at arg; NaN is an argument error. [-0, +0, v] */
ASY_FUNC double asy_check_seconds(lua_State *L, int arg);

/* nil or none: false; else a number of seconds in *out. [-0, +0, v] */
ASY_FUNC bool asy_opt_seconds(lua_State *L, int arg, double *out);

/* Argument error unless arg can be called (a function, or a value with __call). [-0, +0, v] */
ASY_FUNC void asy_check_callable(lua_State *L, int arg);

/* The table of rare fields of the object at idx (ASY_SLOT_EXTRAS): pushes the field's value, nil if
 * none. [-0, +1, -] */
ASY_FUNC void asy_extra_get(lua_State *L, asy_State *S, int idx, const char *field);

/* Pop a value into the object's rare field. [-1, +0, m] */
ASY_FUNC void asy_extra_set(lua_State *L, asy_State *S, int idx, const char *field);

/* Put the value on top into a list of a loop's shelf; returns its number. [-1, +0, m] */
ASY_FUNC lua_Integer asy_slots_add(lua_State *L, asy_Loop *loop, int list, asy_Slots *slots);

/* Take an entry out again; never allocates. [-0, +0, -] */
ASY_FUNC void asy_slots_remove(asy_Loop *loop, int list, asy_Slots *slots, lua_Integer n);

/* ---- Memory outside Lua objects.
 * asy_alloc: of the state's own allocator, so that a host's limit counts it; dies with the state.
 * It runs no collection and returns NULL when there is none. asy_malloc: for what libuv or another
 * thread may see after lua_close. */
ASY_FUNC void *asy_alloc(asy_State *S, void *ptr, size_t old_size, size_t new_size);
ASY_FUNC void *asy_malloc(size_t size);
ASY_FUNC void asy_free(void *ptr);

#endif
