/*
 * The OpenAPI definitions of custom resources: their schemas, completed by
 * apiVersion, kind and metadata, and their lists.
 *
 * Version 3 is the schema as it was written. Version 2 has no anyOf, oneOf, not,
 * nullable or int-or-string: such parts lose their type, as Kubernetes publishes
 * them, so that clients accept what the server may accept. What else a value must
 * be like (patterns, enums, bounds) is told there too.
 */
#include "schema/crd.h"
#include "schema/openapi.h"

#include <inttypes.h>

static const char *const crd_type_meta[][2] = {
	{ "apiVersion", "APIVersion defines the schema in which this object is written." },
	{ "kind", "The kind of object that this is." },
};

void crd_oa_name(const struct schema_res *r, bool list, struct buf *out)
{
	struct str group = str_of(r->r.group);

	/* "stable.example.com" is package com.example.stable */
	while (group.n) {
		ssize_t dot = str_rfind(group, '.');

		buf_addf(out, "%" STR_FMT ".", STR_ARG(str_sub(group, (size_t)(dot + 1), group.n)));
		group = str_sub(group, 0, dot < 0 ? 0 : (size_t)dot);
	}
	buf_addf(out, "%s.%s", r->r.version, list ? r->r.list_kind : r->r.kind);
}

void crd_oa_ref(struct oa *w, const struct schema_res *r, bool list)
{
	buf_clear(&w->text);
	buf_adds(&w->text, w->form == OA_V3 ? "#/components/schemas/" : "#/definitions/");
	crd_oa_name(r, list, &w->text);
	oa_text(w, "$ref", S_REF, w->text.s);
}

static void crd_oa_meta(struct oa *w, const char *type, const char *desc)
{
	const struct schema_type *t = schema_type_find(str_of(type));

	oa_text(w, "description", S_DESCRIPTION, desc);
	if (w->form == OA_V3) {
		oa_open_list(w, "allOf");
		oa_open_element(w, NULL);
		oa_ref(w, t);
		oa_close(w);
		oa_close_list(w);
	} else {
		oa_ref(w, t);
	}
}

/* apiVersion, kind, metadata, where the schema does not speak of them better. */
static void crd_oa_type_meta(struct oa *w, const char *meta_type)
{
	for (size_t i = 0; i < ARRAY_SIZE(crd_type_meta); i++) {
		oa_open_entry(w, crd_type_meta[i][0], MAP_ENTRY, NULL);
		oa_text(w, "description", S_DESCRIPTION, crd_type_meta[i][1]);
		oa_type(w, "string");
		oa_close(w);
	}
	oa_open_entry(w, "metadata", MAP_ENTRY, NULL);
	crd_oa_meta(w, meta_type, "Standard object's metadata.");
	oa_close(w);
}

static bool crd_oa_is_meta(const struct node *property)
{
	return property->name == F_apiVersion || property->name == F_kind || property->name == F_metadata;
}

static void crd_oa_gvk(struct oa *w, const struct schema_res *r, const char *kind)
{
	oa_ext_gvk(w, S_EXT, str_of(r->r.group), str_of(r->r.version), kind, true);
}

static void crd_oa_json(struct oa *w, const struct node *n, unsigned number, bool ext)
{
	_cleanup_buf_ struct buf b = BUF_INIT;

	doc_print_json(&b, n, DOC_PRINT_COMPACT);
	if (ext)
		oa_ext(w, number, n->key, b.s);
	else
		oa_any(w, n->key, number, b.s);
}

/* --- one schema --- */

static void crd_oa_schema(struct oa *w, const struct node *s, bool root);

static void crd_oa_properties(struct oa *w, const struct node *s, bool resource)
{
	const struct node *props = node_get(s, F_properties);

	if (!resource && !node_count(props))
		return;
	oa_open(w, "properties", OA_N(S_PROPERTIES));
	if (resource)
		crd_oa_type_meta(w, "meta/v1.ObjectMeta");
	NODE_FOREACH(p, props) {
		if (resource && crd_oa_is_meta(p))
			continue;
		oa_open_entry(w, p->key, MAP_ENTRY, NULL);
		crd_oa_schema(w, p, false);
		oa_close(w);
	}
	oa_close(w);
}

static bool crd_oa_is_extension(const struct node *c)
{
	return starts_with(c->key, "x-kubernetes-") && c->name != F_x_kubernetes_validations;
}

/* Kinds of values that version 2 cannot tell have no type there. */
static bool crd_oa_typeless(const struct node *s)
{
	return node_bool(node_get(s, F_nullable), false) || crd_preserves(s) ||
	       node_bool(node_get(s, F_x_kubernetes_int_or_string), false);
}

/* The keywords of JSON Schema that version 2 knows as they are, with gnostic's field numbers of Schema. */
static void crd_oa_rules(struct oa *w, const struct node *s)
{
	static const struct {
		enum field field;
		uint8_t number;
		enum { RULE_TEXT, RULE_ANY, RULE_LIST, RULE_NUMBER, RULE_WHOLE } how;
	} rules[] = {
		{ F_title, 3, RULE_TEXT },
		{ F_default, S_DEFAULT, RULE_ANY },
		{ F_multipleOf, 6, RULE_NUMBER },
		{ F_maximum, 7, RULE_NUMBER },
		{ F_exclusiveMaximum, 8, RULE_WHOLE },
		{ F_minimum, 9, RULE_NUMBER },
		{ F_exclusiveMinimum, 10, RULE_WHOLE },
		{ F_maxLength, 11, RULE_WHOLE },
		{ F_minLength, 12, RULE_WHOLE },
		{ F_pattern, 13, RULE_TEXT },
		{ F_maxItems, 14, RULE_WHOLE },
		{ F_minItems, 15, RULE_WHOLE },
		{ F_uniqueItems, 16, RULE_WHOLE },
		{ F_maxProperties, 17, RULE_WHOLE },
		{ F_minProperties, 18, RULE_WHOLE },
		{ F_enum, 20, RULE_LIST },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rules); i++) {
		const struct node *c = node_get(s, rules[i].field);
		_cleanup_buf_ struct buf b = BUF_INIT;

		if (!c || (node_is(c, DOC_BOOL) && !node_bool(c, false) && rules[i].how == RULE_WHOLE))
			continue;
		doc_print_json(&b, c, DOC_PRINT_COMPACT);
		if (rules[i].how == RULE_TEXT) {
			oa_text(w, c->key, rules[i].number, node_cstr_or(c, ""));
		} else if (rules[i].how == RULE_LIST && w->form == OA_V2_PROTO) {
			NODE_FOREACH(v, c)
				crd_oa_json(w, v, rules[i].number, false);
		} else if (rules[i].how == RULE_ANY || rules[i].how == RULE_LIST) {
			oa_any(w, c->key, rules[i].number, b.s);
		} else {
			oa_number(w, c->key, rules[i].number, b.s, rules[i].how == RULE_WHOLE);
		}
	}
}

static void crd_oa_v2(struct oa *w, const struct node *s, bool root)
{
	const struct node *more = node_get(s, F_additionalProperties);
	bool typeless = crd_oa_typeless(s) && !root;

	oa_text(w, "format", S_FORMAT, node_gets(s, F_format));
	oa_text(w, "description", S_DESCRIPTION, node_gets(s, F_description));
	crd_oa_rules(w, s);
	if (!typeless && node_count(node_get(s, F_required))) {
		oa_open_list(w, "required");
		NODE_FOREACH(k, node_get(s, F_required))
			oa_string(w, S_REQUIRED, node_cstr_or(k, ""));
		oa_close_list(w);
	}
	if (!typeless && node_is(more, DOC_OBJECT)) {
		oa_open(w, "additionalProperties", OA_N(S_ADDITIONAL, 1));
		crd_oa_schema(w, more, false);
		oa_close(w);
	}
	if (!typeless && *node_gets(s, F_type))
		oa_type(w, node_gets(s, F_type));
	if (!typeless && schema_custom_items(s)) {
		oa_open(w, "items", OA_N(S_ITEMS, 1));
		crd_oa_schema(w, schema_custom_items(s), false);
		oa_close(w);
	}
	if (!typeless)
		crd_oa_properties(w, s, root);
}

static void crd_oa_v3(struct oa *w, const struct node *s, bool root)
{
	NODE_FOREACH(c, s) {
		if (crd_oa_is_extension(c) || c->name == F_x_kubernetes_validations)
			continue;
		if (c->name == F_properties)
			continue;
		if ((c->name == F_items || c->name == F_additionalProperties) && node_is(c, DOC_OBJECT)) {
			oa_open(w, c->key, NULL);
			crd_oa_schema(w, c, false);
			oa_close(w);
		} else {
			crd_oa_json(w, c, 0, false);
		}
	}
	crd_oa_properties(w, s, root || (crd_is_embedded(s) && node_is(s, DOC_OBJECT)));
}

static void crd_oa_schema(struct oa *w, const struct node *s, bool root)
{
	if (w->form == OA_V3)
		crd_oa_v3(w, s, root);
	else
		crd_oa_v2(w, s, root);
	NODE_FOREACH(c, s)
		if (crd_oa_is_extension(c))
			crd_oa_json(w, c, S_EXT, true);
	if (w->form == OA_V3 && node_get(s, F_x_kubernetes_validations))
		crd_oa_json(w, node_get(s, F_x_kubernetes_validations), S_EXT, true);
}

/* --- definitions --- */

static void crd_oa_list(struct oa *w, const struct schema_res *r)
{
	_cleanup_buf_ struct buf name = BUF_INIT, desc = BUF_INIT;

	crd_oa_name(r, true, &name);
	buf_addf(&desc, "%s is a list of %s", r->r.list_kind, r->r.kind);
	oa_open_entry(w, name.s, MAP_ENTRY, NULL);
	oa_text(w, "description", S_DESCRIPTION, desc.s);
	oa_open_list(w, "required");
	oa_string(w, S_REQUIRED, "items");
	oa_close_list(w);
	oa_type(w, "object");
	oa_open(w, "properties", OA_N(S_PROPERTIES));
	crd_oa_type_meta(w, "meta/v1.ListMeta");
	oa_open_entry(w, "items", MAP_ENTRY, NULL);
	buf_clear(&desc);
	buf_addf(&desc, "List of %s.", r->r.plural);
	oa_text(w, "description", S_DESCRIPTION, desc.s);
	oa_type(w, "array");
	oa_open(w, "items", OA_N(S_ITEMS, 1));
	crd_oa_ref(w, r, false);
	oa_close(w);
	oa_close(w);
	oa_close(w);
	crd_oa_gvk(w, r, r->r.list_kind);
	oa_close(w);
}

void crd_oa_definitions(struct oa *w, const struct schema_res *r)
{
	const struct node *s = node_path(schema_custom_entry(r->custom), F_schema, F_openAPIV3Schema);
	_cleanup_buf_ struct buf name = BUF_INIT;

	crd_oa_name(r, false, &name);
	oa_open_entry(w, name.s, MAP_ENTRY, NULL);
	if (s)
		crd_oa_schema(w, s, true);
	else
		oa_type(w, "object");
	crd_oa_gvk(w, r, r->r.kind);
	oa_close(w);
	crd_oa_list(w, r);
}
