/*
 * Strategic merge patch, as Kubernetes' strategicpatch applies it on the server.
 *
 * A patch is a partial object. Maps are merged member by member (null deletes);
 * lists are replaced unless their field says patchStrategy=merge: lists of scalars
 * become the union, lists of maps are merged item by item by patchMergeKey.
 * Directives inside the patch change that:
 *
 *	$patch: replace | delete | merge         in a map or in an item of a list
 *	$retainKeys: [k...]                      all other members of the map go
 *	$deleteFromPrimitiveList/f: [v...]       takes scalars out of list f
 *	$setElementOrder/f: [v... or {key: v}...]  the order of list f afterwards
 *
 * A merged list has the items of the patch (or of $setElementOrder) in their order;
 * items that only the server has keep theirs and are put before the first item of
 * the patch that followed them on the server.
 *
 * The document is changed in place and may be half changed after an error; the
 * caller then drops it.
 */
#include "schema/internal.h"

#include "base/limits.h"
#include "base/vec.h"

#define DIRECTIVE "$patch"
#define RETAIN "$retainKeys"
#define DELETE_PREFIX "$deleteFromPrimitiveList/"
#define ORDER_PREFIX "$setElementOrder/"

struct smp {
	struct doc *d;
	struct err *e;
};

/* What is known of a map: a struct's type, or what the values of a free map are. */
struct smp_type {
	const struct schema_type *t;
	const struct schema_field *values;
};

static int smp_map(struct smp *x, struct node *orig, const struct node *patch, struct smp_type in);

/* --- schema --- */

static const struct schema_field *smp_field(struct smp_type in, struct str key)
{
	return in.t ? schema_type_field(in.t, doc_field(key)) : NULL;
}

/* What the map under `key` is. */
static struct smp_type smp_below(struct smp_type in, struct str key)
{
	const struct schema_field *f = smp_field(in, key);
	struct smp_type below = { NULL, NULL };

	if (in.values)
		below.t = schema_field_type(in.values);
	else if (f && f->shape == SH_MAP)
		below.values = f;
	else if (f)
		below.t = schema_field_type(f);
	if (below.t && (below.t->flags & (ST_ALIAS | ST_OPAQUE)))
		below.t = NULL;
	return below;
}

static bool smp_merges(const struct schema_field *f)
{
	return f && f->shape == SH_LIST && (f->flags & SF_PATCH_MERGE);
}

static enum field smp_merge_key(const struct schema_field *f)
{
	return f ? (enum field)f->merge_key : F_NONE;
}

/* --- values taken over from the patch --- */

static bool smp_is_directive(struct str key)
{
	return str_eqc(key, DIRECTIVE) || str_eqc(key, RETAIN) || str_starts(key, STR_LIT(DELETE_PREFIX)) ||
	       str_starts(key, STR_LIT(ORDER_PREFIX));
}

static const char *smp_directive(const struct node *n)
{
	return node_cstr(node_getc(n, DIRECTIVE));
}

/* A copy of a patch's value without directives, nulls in maps, and items marked for deletion. */
static struct node *smp_clean(struct smp *x, const struct node *n)
{
	struct node *copy;

	if (node_is(n, DOC_OBJECT)) {
		copy = node_new(x->d, DOC_OBJECT);
		NODE_FOREACH(c, n) {
			if (!node_is(c, DOC_NULL) && !smp_is_directive(node_key(c)))
				node_setk(x->d, copy, node_key(c), smp_clean(x, c));
		}
		return copy;
	}
	if (node_is(n, DOC_ARRAY)) {
		copy = node_new(x->d, DOC_ARRAY);
		NODE_FOREACH(c, n) {
			if (!node_is(c, DOC_OBJECT) || !smp_directive(c))
				node_append(copy, smp_clean(x, c));
		}
		return copy;
	}
	return node_copy(x->d, n);
}

/* --- order --- */

/* Whether a and b are the same item of a list. */
static bool smp_same_item(const struct node *a, const struct node *b, enum field key)
{
	if (key == F_NONE || !node_is(a, DOC_OBJECT) || !node_is(b, DOC_OBJECT))
		return node_equal(a, b);
	return node_get(a, key) && node_get(b, key) && node_equal(node_get(a, key), node_get(b, key));
}

static ssize_t smp_index(const struct node *list, const struct node *item, enum field key)
{
	ssize_t i = 0;

	NODE_FOREACH(c, list) {
		if (smp_same_item(c, item, key))
			return i;
		i++;
	}
	return -1;
}

/* Puts the items of `merged` in order: those in `wanted` as they stand there, the others where `server`
 * (the list as it was) has them relative to those. */
static struct node *smp_order(struct smp *x, const struct node *merged, const struct node *wanted,
			      const struct node *server, enum field key)
{
	struct node *out = node_new(x->d, DOC_ARRAY);
	VEC(const struct node *) left = VEC_INIT, right = VEC_INIT;
	size_t i = 0, k = 0;

	NODE_FOREACH(w, wanted) {
		ssize_t at = smp_index(merged, w, key);

		if (at >= 0)
			VEC_PUSH(&right, node_at(merged, (size_t)at));
	}
	NODE_FOREACH(m, merged) {
		if (smp_index(wanted, m, key) < 0)
			VEC_PUSH(&left, m);
	}
	while (i < left.n || k < right.n) {
		bool take_left = k >= right.n;

		if (i < left.n && k < right.n) {
			ssize_t l = smp_index(server, left.v[i], key), r = smp_index(server, right.v[k], key);

			take_left = l >= 0 && r >= 0 && l < r;
		}
		node_append(out, node_copy(x->d, take_left ? left.v[i++] : right.v[k++]));
	}
	VEC_RELEASE(&left);
	VEC_RELEASE(&right);
	return out;
}

/* --- lists --- */

static int smp_bad(struct smp *x, const char *what)
{
	return err_set(x->e, ERR_BAD_REQUEST, "invalid patch format of %s", what);
}

static int smp_no_key(struct smp *x, const struct node *item, enum field key)
{
	_cleanup_buf_ struct buf b = BUF_INIT;

	doc_print_go(&b, item);
	err_set(x->e, ERR_UNKNOWN, "map: %s does not contain declared merge key: %s", b.s, doc_field_name(key));
	x->e->http_code = 500; /* as Kubernetes, which has no class for it */
	return -x->e->code;
}

/* The items themselves, in their order, be they alike or not. */
static void smp_replace_items(struct smp *x, struct node *list, const struct node *patch)
{
	while (node_first(list))
		node_remove_child(list, node_first(list));
	NODE_FOREACH(c, patch)
		if (!smp_directive(c))
			node_append(list, smp_clean(x, c));
}

/* Items with $patch: delete take their match out of merged. 1: one with replace makes the others all there is. */
static int smp_special_items(struct smp *x, struct node *merged, const struct node *patch, enum field key)
{
	bool replace = false;
	struct node *next;

	NODE_FOREACH(c, patch) {
		const char *what = smp_directive(c);

		if (!what)
			continue;
		if (streq(what, "replace")) {
			replace = true;
		} else if (streq(what, "delete")) {
			if (!node_get(c, key))
				return smp_no_key(x, c, key);
			for (struct node *m = node_first(merged); m; m = next) {
				next = m->next;
				if (smp_same_item(m, c, key))
					node_remove_child(merged, m);
			}
		} else {
			return err_set(x->e, ERR_BAD_REQUEST, "unknown patch type: %s in map: %s", what,
				       doc_field_name(key));
		}
	}
	return replace;
}

static int smp_merge_items(struct smp *x, struct node *merged, const struct node *patch, enum field key,
			   const struct schema_field *f)
{
	struct smp_type in = { schema_field_type(f), NULL };

	NODE_FOREACH(c, patch) {
		ssize_t at;

		if (!node_is(c, DOC_OBJECT))
			return err_set(x->e, ERR_BAD_REQUEST, "invalid JSON document");
		if (smp_directive(c))
			continue;
		if (!node_get(c, key))
			return smp_no_key(x, c, key);
		at = smp_index(merged, c, key);
		if (at < 0)
			node_append(merged, smp_clean(x, c));
		else if (smp_map(x, node_at(merged, (size_t)at), c, in) < 0)
			return -x->e->code;
	}
	return 0;
}

/* The original list and the patch's become one; its order is that of smp_order by `wanted`. */
static int smp_merge_list(struct smp *x, struct node *orig, const struct node *patch, const struct node *wanted,
			  const struct schema_field *f)
{
	enum field key = smp_merge_key(f);
	struct node *merged, *ordered;
	int special;

	if (node_count(orig) + node_count(patch) + node_count(wanted) > LIMIT_MERGE_ITEMS)
		return err_set(x->e, ERR_TOO_LARGE, "lists of more than %d items cannot be merged", LIMIT_MERGE_ITEMS);
	merged = node_copy(x->d, orig);
	if (f->kind == SK_REF) {
		if (key == F_NONE)
			return err_set(x->e, ERR_INVALID, "cannot merge lists without merge key for %s",
				       schema_type_go(schema_field_type(f)));
		special = smp_special_items(x, merged, patch, key);
		if (special > 0)
			smp_replace_items(x, orig, patch);
		if (special)
			return special < 0 ? special : 0;
		if (smp_merge_items(x, merged, patch, key, f) < 0)
			return -x->e->code;
	} else {
		NODE_FOREACH(c, patch) {
			if (smp_index(merged, c, F_NONE) < 0)
				node_append(merged, node_copy(x->d, c));
		}
	}
	ordered = smp_order(x, merged, wanted ? wanted : patch, orig, key);
	node_assign(x->d, orig, ordered);
	return 0;
}

/* --- directives of a map --- */

static int smp_retain_keys(struct smp *x, struct node *orig, const struct node *patch)
{
	const struct node *keep = node_getc(patch, RETAIN);
	struct node *next;

	if (!keep)
		return 0;
	if (!node_is(keep, DOC_ARRAY))
		return smp_bad(x, "retainKeys");
	NODE_FOREACH(c, patch) {
		bool listed = node_is(c, DOC_NULL) || smp_is_directive(node_key(c));

		NODE_FOREACH(k, keep)
			listed = listed || str_eq(node_str(k), node_key(c));
		if (!listed)
			return smp_bad(x, "retainKeys");
	}
	for (struct node *c = node_first(orig); c; c = next) {
		bool listed = false;

		next = c->next;
		NODE_FOREACH(k, keep)
			listed = listed || str_eq(node_str(k), node_key(c));
		if (!listed)
			node_remove_child(orig, c);
	}
	return 0;
}

static int smp_delete_primitives(struct smp *x, struct node *orig, const struct node *patch)
{
	NODE_FOREACH(c, patch) {
		struct str key = node_key(c);
		struct node *list, *next;

		if (!str_starts(key, STR_LIT(DELETE_PREFIX)))
			continue;
		if (!node_is(c, DOC_ARRAY))
			return smp_bad(x, "primitive list");
		list = node_getk(orig, str_sub(key, sizeof(DELETE_PREFIX) - 1, key.n));
		for (struct node *item = node_first(list); item; item = next) {
			next = item->next;
			if (smp_index(c, item, F_NONE) >= 0)
				node_remove_child(list, item);
		}
	}
	return 0;
}

/* The patch's own items must stand in $setElementOrder, in that order. */
static int smp_check_order(struct smp *x, const struct node *items, const struct node *order, enum field key)
{
	ssize_t last = -1;

	NODE_FOREACH(c, items) {
		ssize_t at;

		if (node_is(c, DOC_OBJECT) && smp_directive(c))
			continue;
		at = smp_index(order, c, key);
		if (at < 0 || at < last)
			return smp_bad(x, "setElementOrder list");
		last = at;
	}
	return 0;
}

/* One $setElementOrder/f with the list f of the patch, if there is one. */
static int smp_ordered_list(struct smp *x, struct node *orig, const struct node *patch, const struct node *order,
			    struct smp_type in)
{
	struct str key = str_sub(node_key(order), sizeof(ORDER_PREFIX) - 1, node_key(order).n);
	const struct schema_field *f = smp_field(in, key);
	struct node *had = node_getk(orig, key);
	const struct node *items = node_getk(patch, key);

	if (!node_is(order, DOC_ARRAY) || (items && !node_is(items, DOC_ARRAY) && !node_is(items, DOC_NULL)))
		return smp_bad(x, "setElementOrder list");
	if (smp_check_order(x, items, order, smp_merge_key(f)) < 0)
		return -x->e->code;
	if (!smp_merges(f) || node_is(items, DOC_NULL))
		return 0; /* the list itself is handled as any other */
	if (!had && !items)
		return 0;
	if (!had || !node_is(had, DOC_ARRAY))
		had = node_setk(x->d, orig, key, node_new(x->d, DOC_ARRAY));
	return smp_merge_list(x, had, items, order, f);
}

static bool smp_is_ordered(const struct node *patch, struct str key, struct smp_type in)
{
	_cleanup_free_ char *name = xasprintf(ORDER_PREFIX "%" STR_FMT, STR_ARG(key));

	return node_getc(patch, name) && smp_merges(smp_field(in, key)) && !node_is(node_getk(patch, key), DOC_NULL);
}

/* --- maps --- */

static int smp_member(struct smp *x, struct node *orig, const struct node *c, struct smp_type in)
{
	struct str key = node_key(c);
	const struct schema_field *f = smp_field(in, key);
	struct node *had = node_getk(orig, key);

	if (node_is(c, DOC_NULL)) {
		if (had)
			had->flags |= NODE_MARK; /* all go together: smp_map */
		return 0;
	}
	if (had && node_is(had, DOC_OBJECT) && node_is(c, DOC_OBJECT) && !(f && (f->flags & SF_PATCH_REPLACE)))
		return smp_map(x, had, c, smp_below(in, key));
	if (had && node_is(had, DOC_ARRAY) && node_is(c, DOC_ARRAY) && smp_merges(f))
		return smp_merge_list(x, had, c, NULL, f);
	if (had)
		node_assign(x->d, had, smp_clean(x, c));
	else
		node_setk(x->d, orig, key, smp_clean(x, c));
	return 0;
}

static int smp_map(struct smp *x, struct node *orig, const struct node *patch, struct smp_type in)
{
	const char *what = smp_directive(patch);

	if (what && streq(what, "replace")) {
		node_assign(x->d, orig, smp_clean(x, patch));
		return 0;
	}
	if (what && streq(what, "delete")) {
		node_assign(x->d, orig, node_new(x->d, DOC_OBJECT));
		return 0;
	}
	if (node_getc(patch, DIRECTIVE) && !(what && streq(what, "merge")))
		return err_set(x->e, ERR_BAD_REQUEST, "unknown patch type: %s in map", what ? what : "not a string");
	if (smp_retain_keys(x, orig, patch) < 0 || smp_delete_primitives(x, orig, patch) < 0)
		return -x->e->code;
	NODE_FOREACH(c, patch) {
		if (str_starts(node_key(c), STR_LIT(ORDER_PREFIX)) &&
		    smp_ordered_list(x, orig, patch, c, in) < 0)
			return -x->e->code;
	}
	NODE_FOREACH(c, patch) {
		if (smp_is_directive(node_key(c)) || smp_is_ordered(patch, node_key(c), in))
			continue;
		if (smp_member(x, orig, c, in) < 0)
			return -x->e->code;
	}
	node_cut_marked(orig);
	return 0;
}

int schema_patch_strategic(const struct schema_res *r, struct doc *d, const struct node *patch, struct err *e)
{
	struct smp x = { d, e };
	struct smp_type in = { r->type, NULL };

	if (r->custom)
		return err_set(e, ERR_UNSUPPORTED_MEDIA_TYPE,
			       "strategic merge patch is not supported for resources of CustomResourceDefinitions");
	if (!node_is(patch, DOC_OBJECT) || !node_is(doc_root(d), DOC_OBJECT))
		return err_set(e, ERR_BAD_REQUEST, "invalid JSON document");
	return smp_map(&x, doc_root(d), patch, in);
}
