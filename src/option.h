/* SPDX-License-Identifier: MIT */
/* option.h - the table of named options that many functions take as their last argument.
 *
 * Whoever takes options lists their names first (asy_option_check), so that a name that is not
 * known is an error and no option is ever ignored. Everything that is wrong is an argument error
 * that names the option. */
#ifndef ASY_OPTION_H
#define ASY_OPTION_H

#include "core.h"

/* nil, none, or a table whose keys are all among the names (the list ends with NULL). [-0, +0, v]
 */
ASY_FUNC void asy_option_check(lua_State *L, int arg, const char *const names[]);

/* Put a copy in the place of the table at arg, if there is one: nobody can change it while a task
 * waits. [-0, +0, m] */
ASY_FUNC void asy_option_copy(lua_State *L, int arg);

/* The value of an option: true, false, or the default when it is not given. [-0, +0, v] */
ASY_FUNC bool asy_option_boolean(lua_State *L, int arg, const char *name, bool otherwise);

/* An integer from `least` to `most`. [-0, +0, v] */
ASY_FUNC lua_Integer asy_option_integer(lua_State *L, int arg, const char *name,
                                        lua_Integer otherwise, lua_Integer least, lua_Integer most);

/* The index in names (which ends with NULL) of the string that is given; -1 when it is not given.
 * [-0, +0, v] */
ASY_FUNC int asy_option_choice(lua_State *L, int arg, const char *name, const char *const names[]);

/* Push an option's value, of any type; false and nothing pushed when it is not given. [-0, +(0|1),
 * -] */
ASY_FUNC bool asy_option_push(lua_State *L, int arg, const char *name);

/* Is the option there? [-0, +0, -] */
ASY_FUNC bool asy_option_is_given(lua_State *L, int arg, const char *name);

/* If the option is given, none of the names (a list that ends with NULL) may be: they would be
 * ignored. [-0, +0, v] */
ASY_FUNC void asy_option_excludes(lua_State *L, int arg, const char *name,
                                  const char *const names[]);

/* The option ssl is an error that says why. [-0, +0, v] */
ASY_FUNC void asy_option_refuse_ssl(lua_State *L, int arg);

/* Raise the argument error: "option 'limit': integer expected, got string". [-0, +0, v] */
ASY_FUNC int asy_option_error(lua_State *L, int arg, const char *name, const char *problem);

#endif
