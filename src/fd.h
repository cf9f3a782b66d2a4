/* SPDX-License-Identifier: MIT */
/* fd.h - foreign descriptors: add_reader, add_writer, wait_readable, wait_writable.
 *
 * What watches them for a loop is made when the first one is watched. */
#ifndef ASY_FD_H
#define ASY_FD_H

#include "core.h"

/* Register the functions in the module table on top, the methods in the type Loop. [-0, +0, m] */
ASY_FUNC void asy_fd_open(lua_State *L, asy_State *S);

#endif
