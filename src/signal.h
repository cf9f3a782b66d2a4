/* SPDX-License-Identifier: MIT */
/* signal.h - loop:add_signal_handler and loop:remove_signal_handler. */
#ifndef ASY_SIGNAL_H
#define ASY_SIGNAL_H

#include "disposition.h"

/* Add the methods to the type Loop. [-0, +0, m] */
ASY_FUNC void asy_signal_open(lua_State *L, asy_State *S);

#endif
