/*
 * Custom documents on their way in: metadata is decoded as everybody's, unknown
 * members are pruned (and reported to strict clients), nulls and defaults come
 * to be what the structural schema says.
 *
 * Kubernetes' rules: below x-kubernetes-preserve-unknown-fields nothing unknown
 * is removed, but known members are looked into; an embedded resource has
 * apiVersion, kind and metadata whatever its schema says; a null of a property
 * that is not nullable is replaced by the default, or removed when there is none;
 * defaults of the schema's outer parts come first, so they get theirs in turn.
 */
#include "schema/crd.h"

#include <math.h>

#include "base/limits.h"

bool crd_preserves(const struct node *schema)
{
	return node_bool(node_get(schema, F_x_kubernetes_preserve_unknown_fields), false);
}

bool crd_is_embedded(const struct node *schema)
{
	return node_bool(node_get(schema, F_x_kubernetes_embedded_resource), false);
}

static bool prune_is_meta(const struct node *c)
{
	return c->name == F_metadata || c->name == F_kind || c->name == F_apiVersion;
}

/* --- schemas as a structure --- */

const struct node *schema_custom_member(const struct node *schema, struct str key)
{
	const struct node *p = node_getk(node_get(schema, F_properties), key);
	const struct node *more = node_get(schema, F_additionalProperties);

	if (p)
		return p;
	return node_is(more, DOC_OBJECT) ? more : NULL;
}

const struct node *schema_custom_items(const struct node *schema)
{
	const struct node *n = node_get(schema, F_items);

	return node_is(n, DOC_OBJECT) ? n : NULL;
}

const struct node *schema_custom_list_keys(const struct node *schema)
{
	return node_get(schema, F_x_kubernetes_list_map_keys);
}

enum schema_custom_shape schema_custom_shape(const struct node *schema)
{
	const char *type = node_gets(schema, F_type), *list = node_gets(schema, F_x_kubernetes_list_type);

	if (streq(type, "array"))
		return streq(list, "set") ? SCS_LIST_SET : streq(list, "map") ? SCS_LIST_MAP : SCS_LIST;
	if (streq(type, "object")) {
		if (streq(node_gets(schema, F_x_kubernetes_map_type), "atomic"))
			return SCS_ATOMIC_MAP;
		if (node_count(node_get(schema, F_properties)))
			return SCS_STRUCT;
		if (node_get(schema, F_additionalProperties))
			return SCS_MAP;
		return SCS_UNTYPED;
	}
	if (*type || node_bool(node_get(schema, F_x_kubernetes_int_or_string), false))
		return SCS_SCALAR;
	return SCS_UNTYPED;
}

/* --- pruning --- */

struct prune {
	struct doc *d;
	struct schema_issue **issues; /* where the next one goes; NULL: not wanted */
	unsigned n_issues;
	struct buf path;
	bool changed;
};

static void prune_value(struct prune *x, struct node *n, const struct node *schema, bool resource, bool keep);

static void prune_report(struct prune *x)
{
	if (x->issues)
		decode_issue(&x->issues, &x->n_issues, x->path.s);
}

static size_t prune_enter(struct prune *x, struct str key)
{
	size_t len = x->path.len;

	if (!x->issues)
		return len;
	if (len)
		buf_addch(&x->path, '.');
	buf_addstr(&x->path, key);
	return len;
}

static void prune_object(struct prune *x, struct node *n, const struct node *schema, bool resource, bool keep)
{
	const struct node *properties = node_get(schema, F_properties), *more = node_get(schema, F_additionalProperties);
	struct node *next;

	for (struct node *c = node_first(n); c; c = next) {
		const struct node *p = node_getk(properties, node_key(c));
		size_t len;

		next = c->next;
		if (resource && prune_is_meta(c))
			continue;
		len = prune_enter(x, node_key(c));
		if (p || (more && !(node_is(more, DOC_BOOL) && !more->u.b))) {
			if (!p && node_is(more, DOC_OBJECT))
				p = more;
			if (p || !keep)
				prune_value(x, c, p, crd_is_embedded(p), false);
		} else if (!keep) {
			prune_report(x);
			node_remove_child(n, c);
			x->changed = true;
		}
		if (x->issues)
			buf_truncate(&x->path, len);
	}
}

static void prune_value(struct prune *x, struct node *n, const struct node *schema, bool resource, bool keep)
{
	size_t i = 0, len = x->path.len;

	keep = keep || crd_preserves(schema);
	if (node_is(n, DOC_OBJECT)) {
		prune_object(x, n, schema, resource, keep);
	} else if (node_is(n, DOC_ARRAY)) {
		const struct node *items = schema_custom_items(schema);

		NODE_FOREACH(c, n) {
			if (x->issues)
				buf_addf(&x->path, "[%zu]", i++);
			if (items || !keep)
				prune_value(x, c, items, crd_is_embedded(items), keep && items);
			if (x->issues)
				buf_truncate(&x->path, len);
		}
	}
}

bool crd_prune_value(struct doc *d, struct node *n, const struct node *schema, bool resource)
{
	struct prune x = { .d = d, .path = BUF_INIT };

	prune_value(&x, n, schema, resource || crd_is_embedded(schema), false);
	buf_release(&x.path);
	return x.changed;
}

/* --- embedded resources' metadata --- */

static int prune_embedded(struct doc *d, struct node *n, const struct node *schema, struct schema_issue **issues,
			  bool root, struct err *e)
{
	struct node *meta = node_is(n, DOC_OBJECT) ? node_get(n, F_metadata) : NULL;
	const struct node *items = schema_custom_items(schema);

	if (!root && meta && crd_is_embedded(schema) && node_is(meta, DOC_OBJECT) &&
	    decode_meta(d, meta, "metadata", issues, e) < 0)
		return -e->code;
	if (node_is(n, DOC_OBJECT)) {
		NODE_FOREACH(c, n) {
			const struct node *p = schema_custom_member(schema, node_key(c));

			if (p && node_count(c) && prune_embedded(d, c, p, issues, false, e) < 0)
				return -e->code;
		}
	} else if (items) {
		NODE_FOREACH(c, n)
			if (node_count(c) && prune_embedded(d, c, items, issues, false, e) < 0)
				return -e->code;
	}
	return 0;
}

/* --- nulls and defaults --- */

static bool default_is_bad_null(const struct node *n, const struct node *schema)
{
	return node_is(n, DOC_NULL) && schema && !node_bool(node_get(schema, F_nullable), false);
}

/* Nulls that nothing allows and nothing replaces go. */
static void default_drop_nulls(struct node *n, const struct node *schema)
{
	struct node *next;

	if (node_is(n, DOC_OBJECT)) {
		for (struct node *c = node_first(n); c; c = next) {
			const struct node *p = schema_custom_member(schema, node_key(c));

			next = c->next;
			if (default_is_bad_null(c, p) && !node_get(p, F_default))
				node_remove_child(n, c);
			else if (p && node_count(c))
				default_drop_nulls(c, p);
		}
	} else if (node_is(n, DOC_ARRAY) && schema_custom_items(schema)) {
		NODE_FOREACH(c, n)
			default_drop_nulls(c, schema_custom_items(schema));
	}
}

static void default_members(struct doc *d, struct node *n, const struct node *schema)
{
	NODE_FOREACH(p, node_get(schema, F_properties)) {
		const struct node *value = node_get(p, F_default);
		struct node *c = value ? node_getk(n, node_key(p)) : NULL;

		if (value && !c)
			node_setk(d, n, node_key(p), node_copy(d, value));
		else if (value && default_is_bad_null(c, p))
			node_assign(d, c, value);
	}
}

void crd_default_value(struct doc *d, struct node *n, const struct node *schema)
{
	if (!schema)
		return;
	if (node_is(n, DOC_OBJECT)) {
		default_members(d, n, schema);
		NODE_FOREACH(c, n) {
			const struct node *p = schema_custom_member(schema, node_key(c));

			if (!p)
				continue;
			if (default_is_bad_null(c, p) && node_get(p, F_default))
				node_assign(d, c, node_get(p, F_default));
			crd_default_value(d, c, p);
		}
	} else if (node_is(n, DOC_ARRAY)) {
		const struct node *items = schema_custom_items(schema);

		NODE_FOREACH(c, n) {
			if (default_is_bad_null(c, items) && node_get(items, F_default))
				node_assign(d, c, node_get(items, F_default));
			crd_default_value(d, c, items);
		}
	}
}

/* --- whole documents --- */

void crd_default(const struct schema_res *r, struct doc *d)
{
	const struct node *schema = schema_custom_schema(r->custom);

	if (!schema)
		return;
	default_drop_nulls(doc_root(d), schema);
	crd_default_value(d, doc_root(d), schema);
}

static int crd_decode_type_meta(struct doc *d, struct err *e)
{
	static const enum field names[] = { F_apiVersion, F_kind };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		const struct node *n = node_get(doc_root(d), names[i]);

		if (n && !node_is(n, DOC_STRING))
			return err_set(e, ERR_BAD_REQUEST, "%s: must be a string", doc_field_name(names[i]));
	}
	return 0;
}

/* A number that no double holds would be an object that no client can read. */
static int crd_decode_numbers(const struct node *n, struct err *e)
{
	if (node_is(n, DOC_FLOAT) && isinf(node_double(n, 0)))
		return err_set(e, ERR_BAD_REQUEST, "json: cannot unmarshal number %" STR_FMT " into Go value of type float64",
			       STR_ARG(str_n(n->u.s, n->len)));
	if (!node_is(n, DOC_OBJECT) && !node_is(n, DOC_ARRAY))
		return 0;
	NODE_FOREACH(c, n) {
		if (crd_decode_numbers(c, e) < 0)
			return -e->code;
	}
	return 0;
}

int crd_decode(const struct schema_res *r, struct doc *d, struct schema_issue **issues, struct err *e)
{
	const struct node *schema = schema_custom_schema(r->custom);
	struct node *root = doc_root(d), *meta = node_get(root, F_metadata);
	struct prune x = { .d = d, .path = BUF_INIT };

	if (crd_decode_type_meta(d, e) < 0 || crd_decode_numbers(root, e) < 0)
		return -e->code;
	if (meta && !node_is(meta, DOC_OBJECT) && !node_is(meta, DOC_NULL))
		return err_set(e, ERR_BAD_REQUEST, "json: cannot unmarshal %s into Go struct field .metadata of type v1.ObjectMeta",
			       node_is(meta, DOC_STRING) ? "string" : node_is(meta, DOC_ARRAY) ? "array" :
			       node_is(meta, DOC_BOOL) ? "bool" : "number");
	if (node_is(meta, DOC_NULL))
		node_remove(root, F_metadata);
	else if (meta && decode_meta(d, meta, "metadata", issues, e) < 0)
		return -e->code;
	if (prune_embedded(d, root, schema, issues, true, e) < 0)
		return -e->code;
	if (issues) {
		while (*issues)
			issues = &(*issues)->next;
		x.issues = issues;
	}
	prune_value(&x, root, schema, true, false);
	buf_release(&x.path);
	return 0;
}

/* --- reading what is old --- */

bool schema_custom_outdated(const struct schema_res *r, const struct obj *o)
{
	return r->custom && o->rv <= r->custom->schema_rv;
}

void schema_custom_prune(const struct schema_res *r, struct doc *d)
{
	const struct node *schema = r->custom->crd ? schema_custom_schema(r->custom) : NULL;

	if (schema)
		crd_prune_value(d, doc_root(d), schema, true);
}

void schema_custom_refresh(const struct schema_res *r, struct doc *d)
{
	if (!r->custom->crd)
		return;
	schema_custom_prune(r, d);
	crd_default(r, d);
}

/* --- simple paths --- */

const struct node *schema_path_get(const struct node *root, const char *path)
{
	struct str rest = str_of(path);

	if (rest.n && rest.p[0] == '.')
		rest = str_sub(rest, 1, rest.n);
	while (rest.p && root)
		root = node_getk(root, str_cut(&rest, '.'));
	return root;
}

bool schema_path_set(struct doc *d, const char *path, struct node *value)
{
	struct str rest = str_of(path), key;
	struct node *at = doc_root(d);

	if (rest.n && rest.p[0] == '.')
		rest = str_sub(rest, 1, rest.n);
	for (;;) {
		struct node *next;

		key = str_cut(&rest, '.');
		if (!rest.p)
			break;
		next = node_getk(at, key);
		if (!next)
			next = node_setk(d, at, key, node_new(d, DOC_OBJECT));
		if (!node_is(next, DOC_OBJECT))
			return false;
		at = next;
	}
	if (!key.n || !node_is(at, DOC_OBJECT))
		return false;
	node_setk(d, at, key, value);
	return true;
}
