/*
 * An arena: memory of one request or one document, freed whole.
 */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include "base/str.h"

struct arena; /* chunks that double from 1 KiB to 64 KiB; large blocks stand alone */

struct arena *arena_new(void);
struct arena *arena_free(struct arena *a); /* runs the clean-ups, last first; returns NULL */
void *arena_alloc(struct arena *a, size_t n); /* 8-byte aligned, not cleared */
void *arena_zalloc(struct arena *a, size_t n);
char *arena_strdup(struct arena *a, const char *s);
char *arena_memdupz(struct arena *a, const void *p, size_t n);
struct str arena_str(struct arena *a, struct str s);
char *arena_printf(struct arena *a, const char *fmt, ...) ATTR_PRINTF(2, 3);
/* f(arg) runs when the arena is freed. */
void arena_on_free(struct arena *a, void (*f)(void *), void *arg);
size_t arena_size(const struct arena *a); /* bytes that it holds from malloc */

#endif
