/*
 * A store in memory with all kinds that an API server stores.
 */
#ifndef T_UNIT_MEMORY_STORE_H
#define T_UNIT_MEMORY_STORE_H

#include "base/vec.h"
#include "schema/schema.h"
#include "store/store.h"

/* ttl_s may be NULL (store/store.h). */
static inline struct store *memory_store(struct loop *loop, int64_t (*ttl_s)(const struct resource *r))
{
	static VEC(const struct resource *) kinds = VEC_INIT; /* as long as the program */
	struct store_config sc = { .loop = loop, .ttl_s = ttl_s };
	struct err e = ERR_INIT;
	struct store *s;

	for (const struct schema_res *r = kinds.n ? NULL : schema_next(NULL); r; r = schema_next(r))
		if (!r->is_virtual && r->served && schema_storage(r) == r)
			VEC_PUSH(&kinds, &r->r);
	sc.resources = kinds.v;
	sc.n_resources = kinds.n;
	BUG_ON(store_open(&s, &sc, &e) < 0);
	return s;
}

#endif
