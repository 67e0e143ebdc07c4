/*
 * What is inside a field set: for fieldset.c and the walks along documents
 * (fieldwalk.c). Everything lives in the arena of the operation.
 */
#ifndef SCHEMA_FIELDSET_H
#define SCHEMA_FIELDSET_H

#include "schema/apply.h"

enum fe_kind { FE_FIELD, FE_KEY, FE_VALUE, FE_INDEX }; /* in the order of sorting */

struct fe_key {
	struct str name;
	const struct node *value; /* a scalar */
};
struct fe { /* a path element */
	uint8_t kind;
	uint32_t n; /* FE_KEY: how many */
	union {
		struct str name;
		const struct fe_key *keys; /* sorted by name */
		const struct node *value;
		int64_t index;
	} u;
};
struct fset_item {
	struct fe e;
	bool member;
	struct fset *sub; /* NULL or not empty */
};
struct fset { /* sorted by element, each once */
	struct fset_item *v;
	size_t n, cap;
};

int fe_cmp(const struct fe *a, const struct fe *b);
void fe_print(struct buf *out, const struct fe *e); /* `.spec`, `[name="a"]`, `[="x"]`, `[0]` */
static inline struct fe fe_field(struct str name)
{
	return (struct fe){ .kind = FE_FIELD, .u.name = name };
}

/* Building: items in any order, the same element several times; then sealed. s NULL: a new one. */
struct fset *fset_add(struct fsx *x, struct fset *s, struct fe e, bool member, struct fset *sub);
struct fset *fset_seal(struct fsx *x, struct fset *s); /* NULL when nothing is in it */
const struct fset_item *fset_find(const struct fset *s, const struct fe *e);

#endif
