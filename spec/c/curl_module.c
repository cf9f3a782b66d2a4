/* SPDX-License-Identifier: MIT */
/* curl_module.c - require "spec.curl": a libcurl multi handle with its two hooks, for the spec that
 * runs one beside the loop. Debian has no binding of libcurl for Lua 5.4.
 *
 * multi(on_socket, on_timer) -> an object. on_socket(fd, "in" | "out" | "inout" | "remove"),
 * on_timer(milliseconds or -1: none). Its methods: add(url), start a transfer; act(fd, can_read,
 * can_write), or act() when the time is over, -> number of transfers that run; done() -> url,
 * error or nil, body: of a transfer that has ended, or nothing. */
#include <curl/curl.h>
#include <lauxlib.h>
#include <lua.h>
#include <stdlib.h>
#include <string.h>

int luaopen_spec_curl(lua_State *L);

#define CURL_TYPE "spec.curl"

typedef struct Multi {
  CURLM *handle;
  lua_State *L; /* who calls libcurl now */
} Multi;

typedef struct Transfer {
  char *body;
  size_t count;
} Transfer;

static Multi *check(lua_State *L) {
  return luaL_checkudata(L, 1, CURL_TYPE);
}

/* The hooks are called from inside libcurl: they must not raise. */
static void call(lua_State *L, int nargs) {
  if (lua_pcall(L, nargs, 0, 0) == LUA_OK) return;
  fprintf(stderr, "in a hook of libcurl: %s\n", lua_tostring(L, -1));
  abort();
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *data) {
  static const char *const names[] = {"", "in", "out", "inout", "remove"};
  Multi *m = arg;
  (void)easy;
  (void)data;
  lua_getiuservalue(m->L, 1, 1);
  lua_pushinteger(m->L, fd);
  lua_pushstring(m->L, names[what]);
  call(m->L, 2);
  return 0;
}

static int on_timer(CURLM *handle, long milliseconds, void *arg) {
  Multi *m = arg;
  (void)handle;
  lua_getiuservalue(m->L, 1, 2);
  lua_pushinteger(m->L, milliseconds);
  call(m->L, 1);
  return 0;
}

static size_t on_data(char *data, size_t size, size_t n, void *arg) {
  Transfer *t = arg;
  char *body = realloc(t->body, t->count + size * n);
  if (!body) return 0;
  memcpy(body + t->count, data, size * n);
  t->body = body;
  t->count += size * n;
  return size * n;
}

static int multi_add(lua_State *L) {
  Multi *m = check(L);
  const char *url = luaL_checkstring(L, 2);
  Transfer *t = calloc(1, sizeof *t);
  CURL *easy = curl_easy_init();
  if (!t || !easy) return luaL_error(L, "not enough memory");
  curl_easy_setopt(easy, CURLOPT_URL, url);
  curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_data);
  curl_easy_setopt(easy, CURLOPT_WRITEDATA, t);
  curl_easy_setopt(easy, CURLOPT_PRIVATE, t);
  curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(easy, CURLOPT_NOPROXY, "*");
  m->L = L;
  curl_multi_add_handle(m->handle, easy);
  return 0;
}

static int multi_act(lua_State *L) {
  Multi *m = check(L);
  int running, bits = 0;
  curl_socket_t fd = lua_isnoneornil(L, 2) ? CURL_SOCKET_TIMEOUT : (int)luaL_checkinteger(L, 2);
  if (lua_toboolean(L, 3)) bits |= CURL_CSELECT_IN;
  if (lua_toboolean(L, 4)) bits |= CURL_CSELECT_OUT;
  m->L = L;
  curl_multi_socket_action(m->handle, fd, bits, &running);
  lua_pushinteger(L, running);
  return 1;
}

static int multi_done(lua_State *L) {
  Multi *m = check(L);
  int left;
  CURLMsg *message = curl_multi_info_read(m->handle, &left);
  if (!message) return 0;
  CURL *easy = message->easy_handle;
  CURLcode code = message->data.result;
  Transfer *t;
  char *url;
  curl_easy_getinfo(easy, CURLINFO_PRIVATE, (char **)&t);
  curl_easy_getinfo(easy, CURLINFO_EFFECTIVE_URL, &url);
  lua_pushstring(L, url);
  if (code == CURLE_OK)
    lua_pushnil(L);
  else
    lua_pushstring(L, curl_easy_strerror(code));
  lua_pushlstring(L, t->body ? t->body : "", t->count);
  m->L = L;
  curl_multi_remove_handle(m->handle, easy);
  curl_easy_cleanup(easy);
  free(t->body);
  free(t);
  return 3;
}

static int multi_close(lua_State *L) {
  Multi *m = check(L);
  m->L = L;
  if (m->handle) curl_multi_cleanup(m->handle);
  m->handle = NULL;
  return 0;
}

static int multi_new(lua_State *L) {
  luaL_checktype(L, 1, LUA_TFUNCTION);
  luaL_checktype(L, 2, LUA_TFUNCTION);
  Multi *m = lua_newuserdatauv(L, sizeof *m, 2);
  m->handle = curl_multi_init();
  luaL_setmetatable(L, CURL_TYPE);
  for (int i = 1; i <= 2; i++) {
    lua_pushvalue(L, i);
    lua_setiuservalue(L, -2, i);
  }
  curl_multi_setopt(m->handle, CURLMOPT_SOCKETFUNCTION, on_socket);
  curl_multi_setopt(m->handle, CURLMOPT_SOCKETDATA, m);
  curl_multi_setopt(m->handle, CURLMOPT_TIMERFUNCTION, on_timer);
  curl_multi_setopt(m->handle, CURLMOPT_TIMERDATA, m);
  return 1;
}

int luaopen_spec_curl(lua_State *L) {
  static const luaL_Reg methods[] = {{"add", multi_add},    {"act", multi_act},
                                     {"done", multi_done},  {"close", multi_close},
                                     {"__gc", multi_close}, {NULL, NULL}};
  static const luaL_Reg functions[] = {{"multi", multi_new}, {NULL, NULL}};
  curl_global_init(CURL_GLOBAL_DEFAULT);
  luaL_newmetatable(L, CURL_TYPE);
  luaL_setfuncs(L, methods, 0);
  lua_pushvalue(L, -1);
  lua_setfield(L, -2, "__index");
  luaL_newlib(L, functions);
  return 1;
}
