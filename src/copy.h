/* SPDX-License-Identifier: MIT */
/* copy.h - values on their way from one Lua state to another.
 *
 * A parcel is a row of bytes, outside of any Lua state: one thread packs it, another one unpacks
 * it. nil, booleans, numbers, strings and plain tables of these can be sent; a table that is
 * reached in two ways, or from itself, is one table again at the other end. Tables are packed
 * breadth first, each as a number, so that neither depth nor cycles cost C stack. Whoever has the
 * parcel frees it. */
#ifndef ASY_COPY_H
#define ASY_COPY_H

#include "core.h"

typedef struct asy_Parcel {
  char *bytes; /* asy_malloc; NULL: none yet */
  size_t count, size;
} asy_Parcel;

/* Pack the n values from index `first` on, into an empty parcel. False if one of them cannot be
 * sent: then a string that names it is pushed, "argument #2, .items[3]: function", where `what` is
 * "argument" and `number` that of the first value. [-0, +(0|1), v] */
ASY_FUNC bool asy_copy_pack(lua_State *L, asy_Parcel *parcel, int first, int n, const char *what,
                            int number);

/* Push what is in the parcel, which stays as it is; returns how many values. [-0, +n, v] */
ASY_FUNC int asy_copy_unpack(lua_State *L, const asy_Parcel *parcel);

/* Free the bytes: the parcel is empty. */
ASY_FUNC void asy_copy_clear(asy_Parcel *parcel);

#endif
