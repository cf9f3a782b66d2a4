/* SPDX-License-Identifier: MIT */
/* signals.c - see signals.h. A loop has at most one handler for a signal; each loop has its own,
 * and all of them are called.
 *
 * The function, its arguments and its context lie in a Handle, as those of call_soon do; it is
 * pinned under the address of the record that libuv sees. The callback of libuv only counts: the
 * function is called in the loop's next turn, as often as the signal came. While a SIGINT handler
 * exists, Ctrl-C is the program's business and asyncio.run leaves it alone (interrupt.c). */
#include "signals.h"

#include "handle.h"
#include "loop.h"
#include "resource.h"

/* The record of one handler. */
typedef struct signal_Handler {
  asy_Resource res;
  uv_signal_t uv;
  asy_Ready entry; /* in the ready queue while `pending` is not 0 */
  int signum;
  unsigned pending; /* how often it came and was not told */
  bool started;     /* the signal is watched; the Handle is pinned */
} signal_Handler;

static void signal_on_close(uv_handle_t *handle) {
  signal_Handler *h = ASY_CONTAINER(handle, signal_Handler, uv);
  if (asy_resource_release(&h->res, ASY_HELD_BY_UV)) asy_free(h);
}

/* Nothing is called any more. The pin is the caller's, or dies with the loop. */
static void signal_close(asy_Closer *closer) {
  signal_Handler *h = ASY_CONTAINER(closer, signal_Handler, res.closer);
  if (h->started) asy_disposition_unwatch(h->res.loop->S, &h->uv, h->signum);
  h->started = false;
  asy_list_remove(&h->entry.link);
  asy_resource_detach(&h->res);
  uv_close((uv_handle_t *)&h->uv, signal_on_close);
}

/* The loop's turn: call the function. It may remove the handler, and so free the record. */
static void signal_run(lua_State *L, asy_Loop *loop, asy_Ready *entry) {
  signal_Handler *h = ASY_CONTAINER(entry, signal_Handler, entry);
  unsigned times = h->pending;
  h->pending = 0;
  asy_resource_push_pinned(L, loop, h);
  asy_Handle *handle = lua_touserdata(L, -1);
  while (handle && times-- && !handle->cancelled)
    asy_handle_call(L, loop, handle);
  lua_pop(L, 1);
}

static void signal_on_signal(uv_signal_t *uv, int signum) {
  (void)signum;
  signal_Handler *h = ASY_CONTAINER(uv, signal_Handler, uv);
  if (!h->res.loop) return;
  if (h->pending++ == 0) asy_ready_append(h->res.loop, &h->entry);
}

static signal_Handler *signal_find(asy_Loop *loop, int signum) {
  for (asy_Link *link = asy_list_first(&loop->resources); link;
       link = asy_list_next(&loop->resources, link)) {
    asy_Closer *closer = ASY_CONTAINER(link, asy_Closer, link);
    signal_Handler *h = ASY_CONTAINER(closer, signal_Handler, res.closer);
    if (closer->close == signal_close && h->signum == signum) return h;
  }
  return NULL;
}

/* A record that watches nothing yet. */
static signal_Handler *signal_new(asy_Loop *loop, int signum) {
  signal_Handler *h = asy_malloc(sizeof *h);
  if (!h) return NULL;
  if (uv_signal_init(asy_loop_uv(loop), &h->uv)) {
    asy_free(h);
    return NULL;
  }
  asy_ready_init(&h->entry, signal_run);
  h->signum = signum;
  h->pending = 0;
  h->started = false;
  asy_resource_init(&h->res, loop, signal_close);
  asy_resource_hold(&h->res, ASY_HELD_BY_UV);
  return h;
}

/***
Call a function whenever a signal comes, in the loop's next turn. A handler that the loop had for
this signal before is replaced; other loops keep theirs. While there is one for SIGINT, Ctrl-C does
nothing else.
@function Loop:add_signal_handler
@param signal name ("SIGTERM") or number of the signal
@tparam function f what is called
@param[opt] ... its arguments
@return nothing
@waits no
@raise argument error, also for a signal that cannot be caught (SIGKILL, SIGSTOP); an error if the
loop is closed, or if its host keeps signals for itself
@usage local loop, came = asyncio.get_running_loop(), asyncio.Event()
loop:add_signal_handler("SIGUSR1", function() came:set() end); loop:remove_signal_handler("SIGUSR1")
@see asyncio-eventloop.html#asyncio.loop.add_signal_handler
*/
static int signal_add(lua_State *L) {
  asy_Loop *loop = asy_check_loop(L, asy_state(L), 1);
  int signum = asy_disposition_check(L, 2);
  asy_check_callable(L, 3);
  if (!loop->watches_sigint) /* opened from C, and the host has not said that it is a script's */
    return luaL_error(L, "add_signal_handler: the host keeps signals for itself");
  asy_handle_new(L, loop, lua_gettop(L) - 3);
  signal_Handler *h = signal_find(loop, signum);
  if (!h) h = signal_new(loop, signum);
  if (!h) return luaL_error(L, "not enough memory");
  asy_resource_pin(L, loop, h);
  if (h->started) return 0;
  int err = asy_disposition_watch(loop->S, &h->uv, signal_on_signal, signum);
  h->started = err == 0;
  if (!err) return 0;
  asy_resource_unpin(L, loop, h);
  signal_close(&h->res.closer);
  if (err == UV_ENOMEM) return luaL_error(L, "not enough memory");
  return luaL_argerror(L, 2, "this signal cannot be caught");
}

/***
Take back what `add_signal_handler` did: the disposition that was there before the first handler is
there again.
@function Loop:remove_signal_handler
@param signal name ("SIGTERM") or number of the signal
@treturn boolean false if the loop had no handler for it
@waits no
@raise argument error; an error if the loop is closed
@usage assert(asyncio.get_running_loop():remove_signal_handler("SIGTERM") == false)
@see asyncio-eventloop.html#asyncio.loop.remove_signal_handler
*/
static int signal_remove(lua_State *L) {
  asy_Loop *loop = asy_check_loop(L, asy_state(L), 1);
  signal_Handler *h = signal_find(loop, asy_disposition_check(L, 2));
  bool had = h && h->started;
  if (h) {
    asy_resource_push_pinned(L, loop, h);
    asy_Handle *handle = lua_touserdata(L, -1);
    if (handle) handle->cancelled = true;
    asy_resource_unpin(L, loop, h);
    signal_close(&h->res.closer);
  }
  lua_pushboolean(L, had);
  return 1;
}

void asy_signals_open(lua_State *L, asy_State *S) {
  static const luaL_Reg methods[] = {
      {"add_signal_handler", signal_add}, {"remove_signal_handler", signal_remove}, {NULL, NULL}};
  asy_type_add(L, S, ASY_SLOT_LOOP_TYPE, methods);
}
