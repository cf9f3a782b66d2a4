/* SPDX-License-Identifier: MIT */
/* signals.h - loop:add_signal_handler and loop:remove_signal_handler. */
#ifndef ASY_SIGNALS_H
#define ASY_SIGNALS_H

#include "disposition.h"

/* Add the methods to the type Loop. [-0, +0, m] */
ASY_FUNC void asy_signals_open(lua_State *L, asy_State *S);

#endif
