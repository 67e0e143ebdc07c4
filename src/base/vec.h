/*
 * Typed arrays that grow: struct { T *v; size_t n, cap; }.
 *
 *	VEC(char *) names = VEC_INIT;
 *	VEC_PUSH(&names, xstrdup("a"));
 *	for (size_t i = 0; i < names.n; i++) ...
 *	VEC_RELEASE(&names);
 */
#ifndef BASE_VEC_H
#define BASE_VEC_H

#include <string.h>

#include "base/alloc.h"

#define VEC(T)                 \
	struct {               \
		T *v;          \
		size_t n, cap; \
	}
#define VEC_INIT { NULL, 0, 0 }
#define VEC_RESERVE(vec, extra)                                                              \
	do {                                                                                 \
		if ((vec)->n + (extra) > (vec)->cap) {                                       \
			size_t want_ = (vec)->cap ? (vec)->cap * 2 : 8;                      \
			if (want_ < (vec)->n + (extra))                                      \
				want_ = (vec)->n + (extra);                                  \
			(vec)->v = xreallocarray((vec)->v, want_, sizeof(*(vec)->v));        \
			(vec)->cap = want_;                                                  \
		}                                                                            \
	} while (0)
#define VEC_PUSH(vec, item)                   \
	do {                                  \
		VEC_RESERVE(vec, 1);          \
		(vec)->v[(vec)->n++] = (item); \
	} while (0)
/* Order is kept. */
#define VEC_REMOVE(vec, i)                                                                \
	do {                                                                              \
		memmove((vec)->v + (i), (vec)->v + (i) + 1,                               \
			((vec)->n - (i) - 1) * sizeof(*(vec)->v));                        \
		(vec)->n--;                                                               \
	} while (0)
#define VEC_RELEASE(vec)         \
	do {                     \
		free((vec)->v);  \
		(vec)->v = NULL; \
		(vec)->n = (vec)->cap = 0; \
	} while (0)

#endif
