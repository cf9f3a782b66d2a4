/* SPDX-License-Identifier: MIT */
/* copyfile.h - the work of asyncio.fs.copyfile, on one of libuv's threads. libuv's own function
 * (1.44 to 1.52) copies as many bytes as the file had at first, and if it was cut short meanwhile
 * tries for ever; nor can it be stopped. */
#ifndef ASY_COPYFILE_H
#define ASY_COPYFILE_H

#include "request.h"

/* Let a new request copy a file; fs.result will be 0 or a libuv code. Returns 0, or a code if it
 * was not started. [-0, +0, -] */
ASY_FUNC int asy_copyfile_start(asy_Request *r, uv_loop_t *uv, const char *path,
                                const char *new_path, bool exclusive);

#endif
