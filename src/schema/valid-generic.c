/*
 * Validation from the type tables alone: required fields, closed enums, duplicates
 * in lists that are maps or sets, numeric and length bounds, declared formats.
 *
 * It runs after the hand-written rules and keeps silent about every path that has
 * an error already, so that a kind whose rules are by hand gets from here only what
 * they leave out. Metadata and status are not looked at; Kubernetes checks the one
 * by hand and the other hardly at all.
 */
#include "schema/valid.h"

#include <stdio.h>

/* Required in the tables, that is, always written; empty all the same. */
static const struct {
	const char *type;
	enum field field;
} MAY_BE_EMPTY[] = {
	{ "core/v1.HTTPHeader", F_value },
	{ "core/v1.Sysctl", F_value },
	{ "core/v1.LimitRangeSpec", F_limits },
	{ "batch/v1.PodFailurePolicy", F_rules },
	{ "rbac.authorization.k8s.io/v1.ClusterRole", F_rules },
	{ "rbac.authorization.k8s.io/v1.Role", F_rules },
	{ "rbac.authorization.k8s.io/v1.RoleRef", F_apiGroup },
	{ "storage.k8s.io/v1.CSINodeSpec", F_drivers },
	{ "storage.k8s.io/v1.TokenRequest", F_audience },
};

/* Lists that are maps or sets to server-side apply, but may hold a key twice. */
static const struct {
	const char *type;
	enum field field;
} MAY_REPEAT[] = {
	{ "core/v1.Container", F_ports },
	{ "core/v1.Container", F_env },
	{ "core/v1.EphemeralContainer", F_ports },
	{ "core/v1.EphemeralContainer", F_env },
	{ "core/v1.PodSpec", F_imagePullSecrets },
	{ "core/v1.PodSpec", F_hostAliases },
	{ "core/v1.PodSpec", F_volumes }, /* checked by hand */
	{ "core/v1.ServiceAccount", F_secrets },
	{ "core/v1.NodeSpec", F_podCIDRs },
};

static void generic_struct(struct valid *v, const struct vpath *p, const struct node *n,
			   const struct schema_type *t);

static bool generic_may_be_empty(const struct schema_type *t, enum field f)
{
	for (size_t i = 0; i < ARRAY_SIZE(MAY_BE_EMPTY); i++) {
		if (MAY_BE_EMPTY[i].field == f && streq(MAY_BE_EMPTY[i].type, schema_type_name(t)))
			return true;
	}
	return false;
}

static bool generic_may_repeat(const struct schema_type *t, enum field f)
{
	for (size_t i = 0; i < ARRAY_SIZE(MAY_REPEAT); i++) {
		if (MAY_REPEAT[i].field == f && streq(MAY_REPEAT[i].type, schema_type_name(t)))
			return true;
	}
	return false;
}

static int generic_cmp(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void generic_enum(struct valid *v, const struct vpath *p, const struct node *n, const struct schema_field *f)
{
	const char *list[160];
	size_t count = schema_field_n_values(f);

	if (count >= ARRAY_SIZE(list) || !node_is(n, DOC_STRING) || n->len == 0)
		return;
	for (size_t i = 0; i < count; i++) {
		list[i] = schema_field_value_at(f, i);
		if (node_streq(n, list[i]))
			return;
	}
	qsort(list, count, sizeof(list[0]), generic_cmp);
	list[count] = NULL;
	if (!v_has_error_at(v, p) && !(p->index >= 0 && v_has_error_at(v, p->up)))
		v_unsupported(v, p, node_str(n), count && !*list[0] ? list + 1 : list);
}

/* --- duplicates --- */

static bool generic_same_key(const struct node *a, const struct node *b, const struct schema_field *f)
{
	if (f->flags & SF_LIST_SET)
		return node_equal(a, b);
	for (const uint16_t *k = schema_keys + f->list_keys; *k; k++) {
		const struct node *x = node_get(a, (enum field)*k), *y = node_get(b, (enum field)*k);

		if (!v_same(x, y))
			return false;
	}
	return true;
}

static void generic_repeated(struct valid *v, const struct vpath *p, const struct node *item,
			     const struct schema_field *f)
{
	const uint16_t *keys = schema_keys + f->list_keys;

	if (v_has_error_at(v, p))
		return;
	if (!(f->flags & SF_LIST_SET) && !keys[1]) {
		const char *name = doc_field_name((enum field)keys[0]);

		if (!v_has_error_at(v, VP(p, name)))
			v_duplicate(v, VP(p, name), node_get(item, (enum field)keys[0]));
	} else {
		v_duplicate(v, p, item);
	}
}

static void generic_duplicates(struct valid *v, const struct vpath *p, const struct node *n,
			       const struct schema_field *f)
{
	size_t i = 0;

	if (node_count(n) > 2000 || (!(f->flags & SF_LIST_SET) && !f->list_keys))
		return; /* quadratic; lists of that length have limits of their own */
	NODE_FOREACH(item, n) {
		NODE_FOREACH(before, n) {
			if (before == item)
				break;
			if (generic_same_key(before, item, f)) {
				generic_repeated(v, VPI(p, i), item, f);
				break;
			}
		}
		i++;
	}
}

/* --- declared rules --- */

static void generic_format(struct valid *v, const struct vpath *p, const struct node *n, const char *format)
{
	if (!node_is(n, DOC_STRING) || n->len == 0)
		return;
	if (streq(format, "k8s-short-name"))
		v_name(v, p, node_str(n), NF_DNS_LABEL);
	else if (streq(format, "k8s-long-name"))
		v_name(v, p, node_str(n), NF_DNS_SUBDOMAIN);
	else if (streq(format, "k8s-uuid"))
		v_name(v, p, node_str(n), NF_UUID);
	else if (streq(format, "k8s-label-key"))
		v_name(v, p, node_str(n), NF_QUALIFIED);
}

static void generic_rule(struct valid *v, const struct vpath *p, const struct node *n, const struct schema_rule *r)
{
	char text[64];

	switch ((enum schema_rule_kind)r->what) {
	case SR_MINIMUM:
		if (node_is(n, DOC_INT) && n->u.i < r->n) {
			snprintf(text, sizeof(text), "must be greater than or equal to %d", r->n);
			v_invalid_int(v, p, n->u.i, text);
		}
		break;
	case SR_MIN_LENGTH:
		if (node_is(n, DOC_STRING) && n->len < (uint32_t)r->n)
			v_required(v, p, NULL);
		break;
	case SR_MAX_LENGTH:
	case SR_MAX_BYTES:
		if (node_is(n, DOC_STRING) && n->len > (uint32_t)r->n)
			v_too_long(v, p, (size_t)r->n);
		break;
	case SR_MAX_ITEMS:
		if (node_count(n) > (size_t)r->n)
			v_too_many(v, p, node_count(n), (size_t)r->n);
		break;
	case SR_FORMAT:
		generic_format(v, p, n, SCHEMA_STR(r->n));
		break;
	case SR_PATTERN:
		break; /* only on fields of status */
	}
}

/* --- the walk --- */

static void generic_field(struct valid *v, const struct vpath *p, const struct node *n,
			  const struct schema_field *f, const struct schema_type *owner)
{
	const struct schema_type *t = schema_field_type(f);
	const struct schema_rule *r = schema_field_rules(f);
	size_t i = 0;

	if (f->rules && !v_has_error_at(v, p)) {
		for (unsigned k = 0; k < f->rules; k++)
			generic_rule(v, p, n, &r[k]);
	}
	if ((f->flags & SF_ENUM) && f->shape == SH_ONE)
		generic_enum(v, p, n, f);
	if ((f->flags & (SF_LIST_MAP | SF_LIST_SET)) && node_count(n) > 1 &&
	    !generic_may_repeat(owner, (enum field)f->name))
		generic_duplicates(v, p, n, f);
	if (f->shape == SH_ONE) {
		if (t)
			generic_struct(v, p, n, t);
		return;
	}
	NODE_FOREACH(c, n) {
		const struct vpath *at = f->shape == SH_LIST ? VPI(p, i) : VPK(p, node_key(c));

		i++;
		if (f->flags & SF_ENUM)
			generic_enum(v, at, c, f);
		if (t)
			generic_struct(v, at, c, t);
	}
}

static bool generic_missing(const struct node *n, const struct schema_field *f)
{
	if (f->shape != SH_ONE || f->kind == SK_STRING || f->kind == SK_BYTES)
		return v_empty(n);
	return f->kind == SK_REF && (f->flags & SF_NULLABLE) && node_type(n) == DOC_NULL;
}

static void generic_struct(struct valid *v, const struct vpath *p, const struct node *n,
			   const struct schema_type *t)
{
	const struct schema_field *f = schema_type_fields(t);

	if (!node_is(n, DOC_OBJECT) || (t->flags & (ST_ALIAS | ST_OPAQUE)))
		return;
	for (unsigned i = 0; i < t->n_fields; i++, f++) {
		const struct node *c;
		const struct vpath *at;

		if (!p && (f->name == F_metadata || f->name == F_status || f->name == F_kind ||
			   f->name == F_apiVersion))
			continue;
		c = node_get(n, (enum field)f->name);
		at = VP(p, doc_field_name((enum field)f->name));
		if ((f->flags & SF_REQUIRED) && generic_missing(c, f)) {
			if (!generic_may_be_empty(t, (enum field)f->name) && !v_has_error_at(v, at))
				v_required(v, at, NULL);
		} else if (node_type(c) != DOC_NULL && f->name != F_metadata) {
			generic_field(v, at, c, f, t);
		}
	}
}

void v_generic(struct valid *v)
{
	if (v->r->is_virtual || streq(v->sub, "status"))
		return;
	generic_struct(v, NULL, v->root, v->r->type);
}
