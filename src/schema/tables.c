/*
 * Lookups in the generated tables: resources by plural and by kind, types by
 * name, fields of a type.
 *
 * A request names a group, a version and a plural; a document an apiVersion and
 * a kind. Both find their row through a hash of 256 slots that is filled at the
 * first call (one byte a slot, 92 rows); types are sorted by name and found by
 * bisection; a type's field is found by a scan over its 16-bit names.
 *
 * What the tables do not have, a CustomResourceDefinition may (crd-registry.c).
 *
 * To add a kind, add its rows to types.tsv and resources.tsv.
 */
#include "schema/crd.h"

#include <stdio.h>

enum { SLOTS = 256 };
static uint8_t by_plural[SLOTS], by_kind[SLOTS]; /* index + 1; 0: empty */

static unsigned tables_hash(struct str group, struct str version, struct str name)
{
	const struct str part[3] = { group, version, name };
	uint32_t h = 2166136261u;

	for (int p = 0; p < 3; p++) {
		for (size_t i = 0; i < part[p].n; i++)
			h = (h ^ (uint8_t)part[p].p[i]) * 16777619u;
		h = (h ^ '/') * 16777619u;
	}
	return (h ^ h >> 16) % SLOTS;
}

static void tables_enter(uint8_t *slots, const struct schema_res *r, const char *name)
{
	unsigned at = tables_hash(str_of(r->r.group), str_of(r->r.version), str_of(name));

	while (slots[at])
		at = (at + 1) % SLOTS;
	slots[at] = (uint8_t)(r - schema_resources + 1);
}

static void tables_fill(void)
{
	BUG_ON(schema_n_resources > SLOTS / 2);
	for (size_t i = 0; i < schema_n_resources; i++) {
		tables_enter(by_plural, &schema_resources[i], schema_resources[i].r.plural);
		tables_enter(by_kind, &schema_resources[i], schema_resources[i].r.kind);
	}
}

static const struct schema_res *tables_lookup(const uint8_t *slots, struct str group, struct str version,
					      struct str name, bool kind)
{
	static bool filled;

	if (!filled)
		tables_fill();
	filled = true;
	for (unsigned at = tables_hash(group, version, name); slots[at]; at = (at + 1) % SLOTS) {
		const struct schema_res *r = &schema_resources[slots[at] - 1];

		if (r->served && str_eqc(name, kind ? r->r.kind : r->r.plural) && str_eqc(group, r->r.group) &&
		    str_eqc(version, r->r.version))
			return r;
	}
	return NULL;
}

const struct schema_res *schema_find(struct str group, struct str version, struct str plural)
{
	const struct schema_res *r = tables_lookup(by_plural, group, version, plural, false);

	return r ? r : crd_find(group, version, plural);
}

const struct schema_res *schema_find_kind(struct str group, struct str version, struct str kind)
{
	const struct schema_res *r = tables_lookup(by_kind, group, version, kind, true);

	return r ? r : crd_find_kind(group, version, kind);
}

const struct schema_res *schema_find_api(struct str api_version, struct str kind)
{
	ssize_t slash = str_find(api_version, '/');

	if (slash < 0)
		return schema_find_kind(STR_LIT(""), api_version, kind);
	return schema_find_kind(str_sub(api_version, 0, slash), str_sub(api_version, slash + 1, api_version.n),
				kind);
}

const struct schema_res *schema_storage(const struct schema_res *r)
{
	if (r->custom)
		return r->custom->storage;
	return &schema_resources[schema_extra(r)->storage];
}

const struct schema_subres *schema_subres(const struct schema_res *r, struct str name)
{
	for (size_t i = 0; i < r->n_subres; i++) {
		if (str_eqc(name, r->subres[i].name))
			return &r->subres[i];
	}
	return NULL;
}

bool schema_group_served(struct str group)
{
	for (const struct schema_res *r = schema_next(NULL); r; r = schema_next(r)) {
		if (r->served && str_eqc(group, r->r.group))
			return true;
	}
	return false;
}

const struct resource *schema_res(const char *group, const char *plural)
{
	for (size_t i = 0; i < schema_n_resources; i++) {
		const struct schema_res *r = &schema_resources[i];

		if (r->served && r->preferred && streq(r->r.plural, plural) && streq(r->r.group, group))
			return &r->r;
	}
	fprintf(stderr, "kinglet: no resource %s in group '%s'\n", plural, group);
	abort();
}

const struct schema_type *schema_type_find(struct str name)
{
	size_t lo = 0, hi = schema_n_types;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		int c = str_cmp(name, str_of(schema_type_name(&schema_types[mid])));

		if (c == 0)
			return &schema_types[mid];
		if (c < 0)
			hi = mid;
		else
			lo = mid + 1;
	}
	return NULL;
}

const char *schema_type_go(const struct schema_type *t)
{
	const char *name = schema_type_name(t), *slash = strrchr(name, '/');

	return slash ? slash + 1 : name;
}

const char *schema_type_base(const struct schema_type *t)
{
	return strrchr(schema_type_name(t), '.') + 1;
}

const struct schema_field *schema_type_field(const struct schema_type *t, enum field f)
{
	const uint16_t *names = schema_field_names + t->fields;

	if (f == F_NONE)
		return NULL;
	for (unsigned i = 0; i < t->n_fields; i++) {
		if (names[i] == f)
			return &schema_fields[t->fields + i];
	}
	return NULL;
}

const struct schema_rule *schema_field_rules(const struct schema_field *f)
{
	size_t lo = 0, hi = schema_n_rules, want = f - schema_fields;

	if (f->rules == 0)
		return NULL;
	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (schema_rules[mid].field < want)
			lo = mid + 1;
		else
			hi = mid;
	}
	return &schema_rules[lo];
}

struct node *schema_zero(struct doc *d, const struct schema_field *f)
{
	switch ((enum schema_kind)f->kind) {
	case SK_STRING:
		return node_new_cstr(d, "");
	case SK_BOOL:
		return node_new_bool(d, false);
	case SK_INT32:
	case SK_INT64:
	case SK_FLOAT64:
	case SK_INTORSTRING:
		return node_new_int(d, 0);
	case SK_QUANTITY:
		return node_new_cstr(d, "0");
	case SK_DURATION:
		return node_new_cstr(d, "0s");
	default:
		return NULL;
	}
}
