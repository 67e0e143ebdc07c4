/*
 * A hash map from byte strings to pointers, keyed SipHash (users choose the
 * keys). A NULL map is an empty map for every reader. Order of iteration is not
 * defined; where order matters use tree.h.
 */
#ifndef BASE_MAP_H
#define BASE_MAP_H

#include "base/str.h"

struct map;

/* free_value (may be NULL) runs for each value that leaves the map. */
struct map *map_new(void (*free_value)(void *));
struct map *map_free(struct map *m);
void *map_get(const struct map *m, struct str key); /* NULL when absent */
void *map_getc(const struct map *m, const char *key);
/* Replaces (and frees) a former value; the key is copied. */
void map_set(struct map *m, struct str key, void *value);
/* True when it was there. */
bool map_del(struct map *m, struct str key);
/* Takes the value out without freeing it. */
void *map_take(struct map *m, struct str key);
void map_clear(struct map *m);
size_t map_count(const struct map *m);

/* struct map_iter it = { 0 }; while (map_next(m, &it)) use it.key, it.value.
 * Removing the current entry while iterating is allowed, inserting is not. */
struct map_iter {
	struct str key;
	void *value;
	size_t slot_; /* private */
	void *next_;
};
bool map_next(const struct map *m, struct map_iter *it);

#endif
