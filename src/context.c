/* SPDX-License-Identifier: MIT */
/* context.c - ContextVar and its tokens. A context is a table that is replaced, never changed, when
 * a variable is set. */
#include "context.h"

#include "error.h"

enum { CONTEXT_VAR_NAME = 1, CONTEXT_VAR_DEFAULT };
enum { CONTEXT_TOKEN_VAR = 1, CONTEXT_TOKEN_OLD };

typedef struct ContextVar {
  bool has_default;
} ContextVar;

typedef struct ContextToken {
  const void *owner; /* whose context it was; only compared */
  bool used;
} ContextToken;

bool asy_context_push(lua_State *L, asy_State *S) {
  if (S->waiter) {
    if (!S->waiter->has_context) return false;
    asy_wait_push_slot(L, S->waiter, ASY_BASE_CONTEXT);
  } else if (S->callback) {
    asy_shelf_push(L, S->callback->shelf, ASY_LOOP_CALLBACK);
    lua_getiuservalue(L, -1, ASY_CONTEXT_OF_HANDLE);
    lua_remove(L, -2);
  } else {
    asy_shelf_push(L, S->shelf, ASY_SLOT_CONTEXT);
  }
  if (!lua_isnil(L, -1)) return true;
  lua_pop(L, 1);
  return false;
}

/* Does what runs now share its context with the other runs of a Runner? */
static bool context_is_shared(asy_State *S) {
  return S->waiter && S->waiter == S->waiter->loop->sharer;
}

/* Whose the current context is: a task's, a callback's, a Runner's, or the state's. [-0, +0, -] */
static const void *context_owner(lua_State *L, asy_State *S) {
  if (context_is_shared(S)) return S->waiter->loop;
  if (S->waiter) return S->waiter;
  if (!S->callback) return S;
  asy_shelf_push(L, S->callback->shelf, ASY_LOOP_CALLBACK);
  const void *handle = lua_touserdata(L, -1);
  lua_pop(L, 1);
  return handle;
}

/* Pop a table and make it the current context. */
static void context_replace(lua_State *L, asy_State *S) {
  if (S->waiter) {
    if (context_is_shared(S)) {
      lua_pushvalue(L, -1);
      asy_shelf_set(L, S->waiter->loop->shelf, ASY_LOOP_CONTEXT);
    }
    asy_wait_set_slot(L, S->waiter, ASY_BASE_CONTEXT);
    S->waiter->has_context = true;
  } else if (S->callback) {
    asy_shelf_push(L, S->callback->shelf, ASY_LOOP_CALLBACK);
    lua_insert(L, -2);
    lua_setiuservalue(L, -2, ASY_CONTEXT_OF_HANDLE);
    lua_pop(L, 1);
  } else {
    asy_shelf_set(L, S->shelf, ASY_SLOT_CONTEXT);
  }
}

void asy_context_share(lua_State *L, asy_Wait *w, bool again) {
  asy_Loop *loop = w->loop;
  if (again) {
    asy_shelf_push(L, loop->shelf, ASY_LOOP_CONTEXT);
    w->has_context = !lua_isnil(L, -1);
    asy_wait_set_slot(L, w, ASY_BASE_CONTEXT);
  } else {
    asy_wait_push_slot(L, w, ASY_BASE_CONTEXT);
    asy_shelf_set(L, loop->shelf, ASY_LOOP_CONTEXT);
  }
  loop->sharer = w;
}

/* Set the variable at index var to the value on top (popped; nil removes it) in a copy of the
 * context. */
static void context_set(lua_State *L, asy_State *S, int var) {
  int value = lua_gettop(L);
  lua_createtable(L, 0, 1);
  if (asy_context_push(L, S)) {
    for (lua_pushnil(L); lua_next(L, -2);) {
      lua_pushvalue(L, -2);
      lua_insert(L, -2);
      lua_rawset(L, value + 1);
    }
  }
  lua_settop(L, value + 1);
  lua_pushvalue(L, var);
  lua_pushvalue(L, value);
  lua_rawset(L, value + 1);
  context_replace(L, S);
  lua_pop(L, 1);
}

/* Push the value of the variable at index var in the current context; false, and nil, if it has
 * none there. */
static bool context_get(lua_State *L, asy_State *S, int var) {
  if (!asy_context_push(L, S)) {
    lua_pushnil(L);
    return false;
  }
  lua_pushvalue(L, var);
  lua_rawget(L, -2);
  lua_remove(L, -2);
  return !lua_isnil(L, -1);
}

/***
A variable whose value belongs to a task and is inherited by the tasks that it starts.
@function ContextVar
@tparam string name for tostring
@param[opt] default what `get` returns where no value was set
@treturn ContextVar with :get, :set, :reset
@waits no
@raise argument error
@usage local user = asyncio.ContextVar("user", "nobody"); assert(user:get() == "nobody")
@see contextvars.html#contextvars.ContextVar
*/
static int context_var_new(lua_State *L) {
  asy_State *S = asy_state(L);
  luaL_checkstring(L, 1);
  bool has_default = !lua_isnoneornil(L, 2);
  lua_settop(L, 2);
  ContextVar *var = asy_type_create(L, S, ASY_SLOT_CONTEXT_VAR, sizeof *var, 2);
  var->has_default = has_default;
  lua_pushvalue(L, 1);
  lua_setiuservalue(L, 3, CONTEXT_VAR_NAME);
  lua_pushvalue(L, 2);
  lua_setiuservalue(L, 3, CONTEXT_VAR_DEFAULT);
  return 1;
}

/***
The variable's value in the current context.
@function ContextVar:get
@param[opt] default returned where no value was set; comes before the variable's own default
@return the value
@waits no
@raise an error if there is neither a value nor a default
@usage local v = asyncio.ContextVar("v"); assert(v:get(1) == 1)
@see contextvars.html#contextvars.ContextVar.get
*/
static int context_var_get(lua_State *L) {
  asy_State *S = asy_state(L);
  ContextVar *var = asy_type_check(L, S, 1, ASY_SLOT_CONTEXT_VAR);
  if (context_get(L, S, 1)) return 1;
  if (lua_gettop(L) >= 3 && !lua_isnil(L, 2)) {
    lua_pushvalue(L, 2);
    return 1;
  }
  lua_getiuservalue(L, 1, CONTEXT_VAR_DEFAULT);
  if (var->has_default) return 1;
  lua_getiuservalue(L, 1, CONTEXT_VAR_NAME);
  return luaL_error(L, "context variable '%s' has no value", lua_tostring(L, -1));
}

/***
Set the variable in the current context: of the running task, or of the callback.
@function ContextVar:set
@param value any value but nil
@treturn Token for :reset
@waits no
@raise argument error
@usage local v = asyncio.ContextVar("v"); v:set(2); assert(v:get() == 2)
@see contextvars.html#contextvars.ContextVar.set
*/
static int context_var_set(lua_State *L) {
  asy_State *S = asy_state(L);
  asy_type_check(L, S, 1, ASY_SLOT_CONTEXT_VAR);
  luaL_argcheck(L, !lua_isnoneornil(L, 2), 2, "value expected");
  lua_settop(L, 2);
  ContextToken *token = asy_type_create(L, S, ASY_SLOT_TOKEN, sizeof *token, 2);
  lua_pushvalue(L, 1);
  lua_setiuservalue(L, 3, CONTEXT_TOKEN_VAR);
  token->owner = context_owner(L, S);
  context_get(L, S, 1);
  lua_setiuservalue(L, 3, CONTEXT_TOKEN_OLD);
  lua_pushvalue(L, 2);
  context_set(L, S, 1);
  lua_settop(L, 3);
  return 1;
}

/***
Give the variable back the value that it had before the `set` that returned the token.
@function ContextVar:reset
@tparam Token token of this variable's `set`; good for one time
@return nothing
@waits no
@raise argument error; an error for a token of another variable, of another task or callback, or
one that was used
@usage local v = asyncio.ContextVar("v", 1); local t = v:set(2); v:reset(t); assert(v:get() == 1)
@see contextvars.html#contextvars.ContextVar.reset
*/
static int context_var_reset(lua_State *L) {
  asy_State *S = asy_state(L);
  asy_type_check(L, S, 1, ASY_SLOT_CONTEXT_VAR);
  ContextToken *token = asy_type_check(L, S, 2, ASY_SLOT_TOKEN);
  lua_settop(L, 2);
  if (token->used) return luaL_error(L, "token has been used already");
  lua_getiuservalue(L, 2, CONTEXT_TOKEN_VAR);
  if (!lua_rawequal(L, -1, 1)) return luaL_error(L, "token was made by a different variable");
  if (token->owner != context_owner(L, S))
    return luaL_error(L, "token was made in a different context");
  lua_getiuservalue(L, 2, CONTEXT_TOKEN_OLD);
  context_set(L, S, 1);
  token->used = true;
  return 0;
}

static int context_var_tostring(lua_State *L) {
  asy_type_check(L, asy_state(L), 1, ASY_SLOT_CONTEXT_VAR);
  lua_getiuservalue(L, 1, CONTEXT_VAR_NAME);
  lua_pushfstring(L, "<ContextVar name='%s'>", lua_tostring(L, -1));
  return 1;
}

void asy_context_open(lua_State *L, asy_State *S) {
  static const luaL_Reg methods[] = {{"get", context_var_get},
                                     {"set", context_var_set},
                                     {"reset", context_var_reset},
                                     {"__tostring", context_var_tostring},
                                     {NULL, NULL}};
  static const luaL_Reg token_methods[] = {{NULL, NULL}};
  static const luaL_Reg functions[] = {{"ContextVar", context_var_new}, {NULL, NULL}};
  asy_type_new(L, S, ASY_SLOT_CONTEXT_VAR, "asyncio.ContextVar", methods);
  asy_type_new(L, S, ASY_SLOT_TOKEN, "asyncio.Token", token_methods);
  asy_add_functions(L, S, functions);
}
