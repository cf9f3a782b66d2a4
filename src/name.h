/* SPDX-License-Identifier: MIT */
/* name.h - what to call a function in a report. Lua functions have no names: a name is found where
 * the function is stored. */
#ifndef ASY_NAME_H
#define ASY_NAME_H

#include "core.h"

/* Push the name under which the function at idx stands in a loaded module or among the globals
 * ("table.sort"); pushes nothing and returns NULL if there is none. [-0, +(0|1), -] */
ASY_FUNC const char *asy_name_global(lua_State *L, int idx);

/* Push a name of the function at idx: global, or of a local variable or upvalue that can be seen
 * from here; "function" if none is found. [-0, +1, m] */
ASY_FUNC const char *asy_name_push(lua_State *L, int idx);

/* Push "name() at file:line", of its definition. [-0, +1, m] */
ASY_FUNC const char *asy_name_push_place(lua_State *L, int idx);

/* Push a value as a report shows it: strings in quotes, all else by tostring. [-0, +1, v] */
ASY_FUNC const char *asy_name_push_value(lua_State *L, int idx);

#endif
