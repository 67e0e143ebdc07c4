/*
 * Whether a schema is structural, as apiextensions means it: every field that
 * anything is said about has a type outside of allOf, anyOf, oneOf and not, and
 * inside of those nothing but values is spoken of.
 *
 * The errors come in the order of their texts, as Kubernetes sorts them.
 */
#include "schema/crd.h"
#include "schema/regex.h"
#include "schema/valid.h"

#include <stdlib.h>

enum struct_level { SL_ROOT, SL_ITEM, SL_FIELD };

struct nested {
	enum struct_level level;
	bool skip_any_of; /* the one that int-or-string may have */
};

static void struct_nested(struct valid *v, const struct vpath *p, const struct node *s, struct nested how);

static bool struct_true(const struct node *s, enum field f)
{
	return node_bool(node_get(s, f), false);
}

static bool struct_is_schema(const struct node *n)
{
	return node_is(n, DOC_OBJECT);
}

/* anyOf: [{type: integer}, {type: string}] */
static bool struct_int_or_string(const struct node *any_of)
{
	const struct node *a = node_at(any_of, 0), *b = node_at(any_of, 1);

	return node_count(any_of) == 2 && node_count(a) == 1 && node_count(b) == 1 &&
	       streq(node_gets(a, F_type), "integer") && streq(node_gets(b, F_type), "string");
}

/* --- values --- */

static void struct_list(struct valid *v, const struct vpath *p, const char *name, const struct node *list,
			enum struct_level level, bool skip_first_any_of)
{
	size_t i = 0;

	NODE_FOREACH(c, list) {
		struct nested how = { level, skip_first_any_of && i == 0 };

		struct_nested(v, VPI(VP(p, name), i), c, how);
		i++;
	}
}

static void struct_values(struct valid *v, const struct vpath *p, const struct node *s, bool skip_any_of,
			  enum struct_level level)
{
	const struct node *all_of = node_get(s, F_allOf), *pattern = node_get(s, F_pattern);
	bool ios = struct_true(s, F_x_kubernetes_int_or_string);
	_cleanup_err_ struct err e = ERR_INIT;

	if (!skip_any_of && !(ios && struct_int_or_string(node_get(s, F_anyOf))))
		struct_list(v, p, "anyOf", node_get(s, F_anyOf), level, false);
	struct_list(v, p, "allOf", all_of, level, ios && struct_int_or_string(node_get(node_at(all_of, 0), F_anyOf)));
	struct_list(v, p, "oneOf", node_get(s, F_oneOf), level, false);
	if (struct_is_schema(node_get(s, F_not)))
		struct_nested(v, VP(p, "not"), node_get(s, F_not), (struct nested){ level, false });
	if (node_str(pattern).n && !crd_pattern(node_str(pattern), &e)) {
		_cleanup_free_ char *text =
			xasprintf("must be a valid regular expression, but isn't: %s", err_msg(&e));

		v_invalid(v, VP(p, "pattern"), node_str(pattern), text);
	}
}

static void struct_nested(struct valid *v, const struct vpath *p, const struct node *s, struct nested how)
{
	static const struct {
		enum field f;
		const char *detail;
	} forbidden[] = {
		{ F_type, "must be empty to be structural" },
		{ F_additionalProperties, "must be undefined to be structural" },
		{ F_default, "must be undefined to be structural" },
		{ F_title, "must be empty to be structural" },
		{ F_description, "must be empty to be structural" },
		{ F_nullable, "must be false to be structural" },
		{ F_externalDocs, "must be undefined to be structural" },
		{ F_x_kubernetes_preserve_unknown_fields, "must be false to be structural" },
		{ F_x_kubernetes_embedded_resource, "must be false to be structural" },
		{ F_x_kubernetes_int_or_string, "must be false to be structural" },
		{ F_x_kubernetes_list_map_keys, "must be empty to be structural" },
		{ F_x_kubernetes_list_type, "must be undefined to be structural" },
		{ F_x_kubernetes_map_type, "must be undefined to be structural" },
		{ F_x_kubernetes_validations, "must be empty to be structural" },
	};

	struct_values(v, p, s, how.skip_any_of, how.level);
	if (struct_is_schema(node_get(s, F_items)))
		struct_nested(v, VP(p, "items"), node_get(s, F_items), (struct nested){ how.level, false });
	NODE_FOREACH(c, node_get(s, F_properties))
		struct_nested(v, VPK(VP(p, "properties"), node_key(c)), c, (struct nested){ SL_FIELD, false });
	for (size_t i = 0; i < ARRAY_SIZE(forbidden); i++) {
		const struct node *n = node_get(s, forbidden[i].f);

		if (n && !(node_is(n, DOC_BOOL) && !n->u.b) && !(node_is(n, DOC_STRING) && !n->len))
			v_forbidden(v, VP(p, n->key), forbidden[i].detail);
	}
	if (node_get(node_get(s, F_properties), F_metadata))
		v_forbidden(v, VPK(VP(p, "properties"), STR_LIT("metadata")), "must not be specified in a nested context");
}

/* --- structure --- */

static void struct_metadata(struct valid *v, const struct vpath *p, const struct node *s, bool checked,
			    enum struct_level level)
{
	const char *type = node_gets(s, F_type);

	if (checked && !streq(type, "object"))
		v_invalid(v, VP(p, "type"), str_of(type), "must be object");
	if (level != SL_ROOT)
		return;
	NODE_FOREACH(c, s) {
		bool fine = c->name == F_type || c->name == F_description || c->name == F_default;

		if (c->name == F_properties) {
			fine = true;
			NODE_FOREACH(m, c)
				fine &= m->name == F_name || m->name == F_generateName;
		}
		if (fine)
			continue;
		v_forbidden(v, p, "must not specify anything other than name and generateName, but metadata is implicitly specified");
		return;
	}
}

static void struct_type(struct valid *v, const struct vpath *p, const struct node *s, enum struct_level level)
{
	static const char *const missing[] = { "must not be empty at the root",
					       "must not be empty for specified array items",
					       "must not be empty for specified object fields" };
	const char *type = node_gets(s, F_type);
	bool ios = struct_true(s, F_x_kubernetes_int_or_string);

	if (crd_is_embedded(s) && !streq(type, "object")) {
		static const char detail[] = "must be object if x-kubernetes-embedded-resource is true";

		if (*type)
			v_invalid(v, VP(p, "type"), str_of(type), detail);
		else
			v_required(v, VP(p, "type"), detail);
	} else if (!*type && !ios && !crd_preserves(s)) {
		v_required(v, VP(p, "type"), missing[level]);
	}
	if (level == SL_ROOT && *type && !streq(type, "object"))
		v_invalid(v, VP(p, "type"), str_of(type), "must be object at the root");
	if (ios && crd_preserves(s))
		v_invalid_node(v, VP(p, "x-kubernetes-preserve-unknown-fields"),
			       node_get(s, F_x_kubernetes_preserve_unknown_fields),
			       "must be false if x-kubernetes-int-or-string is true");
	if (ios && crd_is_embedded(s))
		v_invalid_node(v, VP(p, "x-kubernetes-embedded-resource"), node_get(s, F_x_kubernetes_embedded_resource),
			       "must be false if x-kubernetes-int-or-string is true");
}

static void struct_resource(struct valid *v, const struct vpath *p, const struct node *s, enum struct_level level)
{
	static const enum field strings[] = { F_kind, F_apiVersion };
	const struct node *props = node_get(s, F_properties), *meta = node_get(props, F_metadata);
	bool checked = level == SL_ROOT || crd_is_embedded(s);

	if (crd_is_embedded(s) && node_get(s, F_additionalProperties))
		v_forbidden(v, VP(p, "additionalProperties"), "must not be used if x-kubernetes-embedded-resource is set");
	for (size_t i = 0; checked && i < ARRAY_SIZE(strings); i++) {
		const struct node *n = node_get(props, strings[i]);

		if (n && !streq(node_gets(n, F_type), "string"))
			v_invalid(v, VP(VPK(VP(p, "properties"), node_key(n)), "type"), str_of(node_gets(n, F_type)),
				  "must be string");
	}
	if (meta)
		struct_metadata(v, VPK(VP(p, "properties"), STR_LIT("metadata")), meta, checked, level);
	if (crd_is_embedded(s) && !crd_preserves(s) && !node_count(props))
		v_required(v, VP(p, "properties"),
			   "must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields");
}

static void struct_schema(struct valid *v, const struct vpath *p, const struct node *s, enum struct_level level)
{
	const struct node *items = node_get(s, F_items), *more = node_get(s, F_additionalProperties);

	if (streq(node_gets(s, F_type), "array") && !items)
		v_required(v, VP(p, "items"), "must be specified");
	if (struct_is_schema(items))
		struct_schema(v, VP(p, "items"), items, SL_ITEM);
	NODE_FOREACH(c, node_get(s, F_properties))
		if (!(level == SL_ROOT && c->name == F_metadata))
			struct_schema(v, VPK(VP(p, "properties"), node_key(c)), c, SL_FIELD);
	if (more && level == SL_ROOT)
		v_forbidden(v, VP(p, "additionalProperties"), "must not be used at the root");
	if (struct_is_schema(more))
		struct_schema(v, VP(p, "additionalProperties"), more, SL_FIELD);
	struct_values(v, p, s, false, level);
	struct_type(v, p, s, level);
	struct_resource(v, p, s, level);
}

/* --- completeness: what values speak of has a place in the structure --- */

static void complete_nested(struct valid *v, const struct vpath *sp, const struct node *s, const struct vpath *np,
			    const struct node *n);

static void complete_missing(struct valid *v, const struct vpath *sp, const struct vpath *np)
{
	_cleanup_buf_ struct buf b = BUF_INIT;

	vpath_print(np, &b);
	buf_insert(&b, 0, "because it is defined in ", strlen("because it is defined in "));
	v_required(v, sp, b.s);
}

static void complete_values(struct valid *v, const struct vpath *sp, const struct node *s, const struct vpath *np,
			    const struct node *n)
{
	static const enum field lists[] = { F_allOf, F_anyOf, F_oneOf };

	for (size_t k = 0; k < ARRAY_SIZE(lists); k++) {
		size_t i = 0;

		NODE_FOREACH(c, node_get(n, lists[k])) {
			complete_nested(v, sp, s, VPI(VP(np, doc_field_name(lists[k])), i), c);
			i++;
		}
	}
	if (struct_is_schema(node_get(n, F_not)))
		complete_nested(v, sp, s, VP(np, "not"), node_get(n, F_not));
}

static void complete_nested(struct valid *v, const struct vpath *sp, const struct node *s, const struct vpath *np,
			    const struct node *n)
{
	const struct node *items = node_get(n, F_items);

	complete_values(v, sp, s, np, n);
	if (struct_is_schema(items)) {
		if (struct_is_schema(node_get(s, F_items)))
			complete_nested(v, VP(sp, "items"), node_get(s, F_items), VP(np, "items"), items);
		else
			complete_missing(v, VP(sp, "items"), VP(np, "items"));
	}
	NODE_FOREACH(c, node_get(n, F_properties)) {
		const struct node *at = node_getk(node_get(s, F_properties), node_key(c));
		const struct vpath *sat = VPK(VP(sp, "properties"), node_key(c));
		const struct vpath *nat = VPK(VP(np, "properties"), node_key(c));

		if (at)
			complete_nested(v, sat, at, nat, c);
		else
			complete_missing(v, sat, nat);
	}
}

static void complete_schema(struct valid *v, const struct vpath *p, const struct node *s)
{
	const struct node *items = node_get(s, F_items), *more = node_get(s, F_additionalProperties);

	complete_values(v, p, s, p, s);
	NODE_FOREACH(c, node_get(s, F_properties))
		complete_schema(v, VPK(VP(p, "properties"), node_key(c)), c);
	if (struct_is_schema(items))
		complete_schema(v, VP(p, "items"), items);
	if (struct_is_schema(more))
		complete_schema(v, VP(p, "additionalProperties"), more);
}

static int struct_error_cmp(const void *a, const void *b)
{
	const struct valid_error *x = a, *y = b;
	int c = strcmp(x->field, y->field);

	return c ? c : strcmp(x->body, y->body);
}

void crd_structural(struct valid *v, const struct vpath *p, const struct node *schema)
{
	size_t from = v->n;

	struct_schema(v, p, schema, SL_ROOT);
	complete_schema(v, p, schema);
	if (v->n > from)
		qsort(v->errors + from, v->n - from, sizeof(*v->errors), struct_error_cmp);
}

bool schema_custom_structural(const struct node *crd, struct buf *why)
{
	struct valid v = { .root = crd, .sub = "" };
	size_t i = 0;

	NODE_FOREACH(c, node_path(crd, F_spec, F_versions)) {
		const struct node *s = node_path(c, F_schema, F_openAPIV3Schema);

		if (s)
			crd_structural(&v, VP(VP(VPI(VP(VP(NULL, "spec"), "versions"), i), "schema"), "openAPIV3Schema"), s);
		i++;
	}
	for (size_t k = 0; k < v.n; k++) {
		buf_addf(why, "%s%s: %s", k ? ", " : "", v.errors[k].field, v.errors[k].body);
		free(v.errors[k].field);
		free(v.errors[k].body);
	}
	free(v.errors);
	return v.n == 0;
}
