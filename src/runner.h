/* SPDX-License-Identifier: MIT */
/* runner.h - asyncio.run and Runner: a loop of its own for a main task, and an orderly end. */
#ifndef ASY_RUNNER_H
#define ASY_RUNNER_H

#include "script.h"

ASY_FUNC void asy_runner_open(lua_State *L, asy_State *S);

#endif
