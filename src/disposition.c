/* SPDX-License-Identifier: MIT */
/* disposition.c - see disposition.h. */
#include "disposition.h"

#include <signal.h>
#include <string.h>

/* ---- names */

typedef struct disposition_Name {
  const char *name;
  int signum;
} disposition_Name;

static const disposition_Name disposition_names[] = {{"SIGINT", SIGINT},
                                                     {"SIGTERM", SIGTERM},
                                                     {"SIGABRT", SIGABRT},
                                                     {"SIGFPE", SIGFPE},
                                                     {"SIGILL", SIGILL},
                                                     {"SIGSEGV", SIGSEGV},
                                                     {"SIGHUP", SIGHUP},
                                                     {"SIGKILL", SIGKILL},
                                                     {"SIGWINCH", SIGWINCH},
#ifndef _WIN32
                                                     {"SIGQUIT", SIGQUIT},
                                                     {"SIGTRAP", SIGTRAP},
                                                     {"SIGBUS", SIGBUS},
                                                     {"SIGUSR1", SIGUSR1},
                                                     {"SIGUSR2", SIGUSR2},
                                                     {"SIGPIPE", SIGPIPE},
                                                     {"SIGALRM", SIGALRM},
                                                     {"SIGCHLD", SIGCHLD},
                                                     {"SIGCONT", SIGCONT},
                                                     {"SIGSTOP", SIGSTOP},
                                                     {"SIGTSTP", SIGTSTP},
                                                     {"SIGTTIN", SIGTTIN},
                                                     {"SIGTTOU", SIGTTOU},
                                                     {"SIGURG", SIGURG},
                                                     {"SIGXCPU", SIGXCPU},
                                                     {"SIGXFSZ", SIGXFSZ},
                                                     {"SIGVTALRM", SIGVTALRM},
                                                     {"SIGPROF", SIGPROF},
                                                     {"SIGIO", SIGIO},
                                                     {"SIGSYS", SIGSYS},
#endif
#ifdef SIGPWR
                                                     {"SIGPWR", SIGPWR},
#endif
                                                     {NULL, 0}};

#define DISPOSITION_MOST 64 /* signals are numbered from 1 */

int asy_disposition_check(lua_State *L, int arg) {
  if (lua_type(L, arg) == LUA_TNUMBER) {
    lua_Integer n = luaL_checkinteger(L, arg);
    luaL_argcheck(L, n >= 1 && n <= DISPOSITION_MOST, arg, "there is no signal of this number");
    return (int)n;
  }
  if (lua_type(L, arg) != LUA_TSTRING) return luaL_typeerror(L, arg, "name or number of a signal");
  const char *given = lua_tostring(L, arg);
  for (const disposition_Name *n = disposition_names; n->name; n++)
    if (strcmp(given, n->name) == 0) return n->signum;
  return luaL_argerror(L, arg, lua_pushfstring(L, "unknown signal '%s'", given));
}

const char *asy_disposition_name(int signum) {
  for (const disposition_Name *n = disposition_names; n->name; n++)
    if (n->signum == signum) return n->name;
  return NULL;
}

/* ---- dispositions */

#ifdef _WIN32

int asy_disposition_watch(asy_State *S, uv_signal_t *handle, uv_signal_cb on_signal, int signum) {
  (void)S;
  return uv_signal_start(handle, on_signal, signum);
}

void asy_disposition_unwatch(asy_State *S, uv_signal_t *handle, int signum) {
  (void)S;
  (void)signum;
  uv_signal_stop(handle);
}

#else

/* What was there before the first watcher of a signal; in asy_State.dispositions. */
typedef struct disposition_Note {
  asy_Link link;
  int signum;
  int watchers;
  bool unknown; /* libuv's own handler was there: somebody else watched it already */
  struct sigaction before;
} disposition_Note;

static disposition_Note *disposition_find(asy_State *S, int signum) {
  for (asy_Link *link = asy_list_first(&S->dispositions); link;
       link = asy_list_next(&S->dispositions, link)) {
    disposition_Note *note = ASY_CONTAINER(link, disposition_Note, link);
    if (note->signum == signum) return note;
  }
  return NULL;
}

static void disposition_forget(asy_State *S, disposition_Note *note) {
  if (S->sigint_before == &note->before) S->sigint_before = NULL;
  asy_list_remove(&note->link);
  asy_free(note);
}

/* Begin a note: the signal is not watched yet. 0 or a libuv code. */
static int disposition_note(asy_State *S, int signum, disposition_Note **out) {
  disposition_Note *note = asy_malloc(sizeof *note);
  if (!note) return UV_ENOMEM;
  memset(note, 0, sizeof *note);
  if (sigaction(signum, NULL, &note->before) != 0) {
    asy_free(note);
    return UV_EINVAL;
  }
  note->signum = signum;
  asy_list_append(&S->dispositions, &note->link);
  *out = note;
  return 0;
}

static bool disposition_is_same(const struct sigaction *a, const struct sigaction *b) {
  if ((a->sa_flags ^ b->sa_flags) & SA_SIGINFO) return false;
  return a->sa_flags & SA_SIGINFO ? a->sa_sigaction == b->sa_sigaction
                                  : a->sa_handler == b->sa_handler;
}

int asy_disposition_watch(asy_State *S, uv_signal_t *handle, uv_signal_cb on_signal, int signum) {
  disposition_Note *note = disposition_find(S, signum);
  struct sigaction now;
  int err = note ? 0 : disposition_note(S, signum, &note);
  if (err) return err;
  err = uv_signal_start(handle, on_signal, signum);
  if (err) {
    if (note->watchers == 0) disposition_forget(S, note);
    return err;
  }
  if (note->watchers++) return 0;
  note->unknown = sigaction(signum, NULL, &now) == 0 && disposition_is_same(&now, &note->before);
  if (signum == SIGINT) S->sigint_before = &note->before;
  return 0;
}

/* The signal is held back meanwhile, so that it never meets SIG_DFL in between. */
void asy_disposition_unwatch(asy_State *S, uv_signal_t *handle, int signum) {
  disposition_Note *note = disposition_find(S, signum);
  struct sigaction now;
  sigset_t held, mask;
  sigemptyset(&held);
  sigaddset(&held, signum);
  pthread_sigmask(SIG_BLOCK, &held, &mask);
  uv_signal_stop(handle);
  if (note && --note->watchers == 0) {
    if (!note->unknown && sigaction(signum, NULL, &now) == 0 && !(now.sa_flags & SA_SIGINFO) &&
        now.sa_handler == SIG_DFL)
      sigaction(signum, &note->before, NULL);
    disposition_forget(S, note);
  }
  pthread_sigmask(SIG_SETMASK, &mask, NULL);
}

#endif

void asy_disposition_open(lua_State *L, asy_State *S) {
  (void)L;
  asy_list_init(&S->dispositions);
}
