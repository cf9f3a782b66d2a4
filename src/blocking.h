/* SPDX-License-Identifier: MIT */
/* blocking.h - the carrier of a port that cannot be polled, or only be read and written by calls
 * that may block: a thread of its own makes them.
 *
 * Plain files are read so, and pipes and terminals that cannot be opened once more (those of
 * another user, for example). The thread is started by the first read or write. It reads only while
 * the stream wants to: what is not asked for stays where it is. */
#ifndef ASY_BLOCKING_H
#define ASY_BLOCKING_H

#include "port.h"

ASY_FUNC const asy_Carrier *asy_blocking_carrier(void);

#endif
