/* SPDX-License-Identifier: MIT */
/* descriptor.h - the number of a descriptor, of whatever has one: a file of Lua's io library, an
 * object of this library's, of luasocket's, luaposix's or the user's own. */
#ifndef ASY_DESCRIPTOR_H
#define ASY_DESCRIPTOR_H

#include "core.h"

/* The descriptor of the file or object at idx, whose method fileno, pollfd or getfd is called; it
 * is negative if the object says that it is closed. False: it is neither. *problem is NULL, or
 * what is wrong with the object, a string on the stack. [-0, +?, v] */
ASY_FUNC bool asy_descriptor_of(lua_State *L, int idx, lua_Integer *fd, const char **problem);

#endif
