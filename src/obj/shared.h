/*
 * Texts that many objects have in common, kept once. Private to src/obj; loop's
 * thread only, but the bytes of a text that somebody holds may be read anywhere.
 */
#ifndef OBJ_SHARED_H
#define OBJ_SHARED_H

#include "base/str.h"

struct shared {
	struct shared *next; /* of its slot */
	uint64_t hash;
	unsigned refs;
	uint32_t len;
	char s[];
};

/* The text s, referenced: that of another holder, or a copy. */
struct shared *shared_get(struct str s);
struct shared *shared_unref(struct shared *t); /* returns NULL */
size_t shared_count(void);

#endif
