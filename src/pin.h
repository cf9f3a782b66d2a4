/* SPDX-License-Identifier: MIT */
/* pin.h - what the library does to the process once: it stays loaded, and SIGPIPE does not kill. */
#ifndef ASY_PIN_H
#define ASY_PIN_H

#include "core.h"

/* Keep the shared library in memory when Lua unloads its modules: libuv may still call back after
 * lua_close. */
ASY_FUNC void asy_pin_library(void);

/* Ignore SIGPIPE if its disposition is the default one: a write to a closed peer shall be an error,
 * not the end. */
ASY_FUNC void asy_pin_ignore_sigpipe(void);

#endif
