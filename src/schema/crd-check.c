/*
 * Validation of CustomResourceDefinitions, as apiextensions does it for v1.
 *
 * Kubernetes checks an internal form in which what all versions share (schema,
 * subresources, columns, selectable fields) stands once at the top, so its
 * errors speak of spec.validation where there is one version; so do these.
 */
#include "schema/crd.h"
#include "schema/valid.h"

#include <stdlib.h>

#define CHECK_DEPRECATION_MAX 256
#define CHECK_SELECTABLE_MAX 8

/* --- names --- */

static void check_label(struct valid *v, const struct vpath *p, struct str s, const char *prefix, bool lower)
{
	const char *m[NAME_MSGS];
	_cleanup_buf_ struct buf text = BUF_INIT;
	_cleanup_free_ char *low = str_dup(s);
	unsigned n;

	for (char *c = low; lower && *c; c++)
		if (*c >= 'A' && *c <= 'Z')
			*c += 'a' - 'A';
	n = s.n ? name_messages(NF_DNS1035_LABEL, str_of(low), false, m) : 0;
	if (!n)
		return;
	buf_adds(&text, prefix);
	for (unsigned i = 0; i < n; i++)
		buf_addf(&text, "%s%s", i ? "," : "", m[i]);
	v_invalid(v, p, s, text.s);
}

static void check_names(struct valid *v, const struct vpath *p, const struct node *n)
{
	static const char mixed[] = "may have mixed case, but should otherwise match: ";
	static const enum field lists[] = { F_shortNames, F_categories };

	check_label(v, VP(p, "plural"), v_str(n, F_plural), "", false);
	check_label(v, VP(p, "singular"), v_str(n, F_singular), "", false);
	check_label(v, VP(p, "kind"), v_str(n, F_kind), mixed, true);
	check_label(v, VP(p, "listKind"), v_str(n, F_listKind), mixed, true);
	if (v_str(n, F_kind).n && str_eq(v_str(n, F_kind), v_str(n, F_listKind)))
		v_invalid(v, VP(p, "listKind"), v_str(n, F_listKind), "kind and listKind may not be the same");
	for (size_t k = 0; k < ARRAY_SIZE(lists); k++) {
		size_t i = 0;

		NODE_FOREACH(c, node_get(n, lists[k])) {
			check_label(v, VPI(VP(p, doc_field_name(lists[k])), i), node_str(c), "", false);
			i++;
		}
	}
}

static void check_names_there(struct valid *v, const struct vpath *p, const struct node *n)
{
	static const enum field names[] = { F_plural, F_singular, F_kind, F_listKind };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (!v_str(n, names[i]).n)
			v_required(v, VP(p, doc_field_name(names[i])), NULL);
}

/* --- schemas: what no schema may say --- */

struct check {
	bool defaults; /* may be set */
	const char *reason; /* why they may not */
	bool in_meta; /* inside of apiVersion, kind or metadata of a resource */
};

static void check_schema(struct valid *v, const struct vpath *p, const struct node *s, struct check how, bool root);

static void check_sub(struct valid *v, const struct vpath *p, const char *name, const struct node *s, struct check how)
{
	if (node_is(s, DOC_OBJECT))
		check_schema(v, VP(p, name), s, how, false);
}

static void check_forbidden(struct valid *v, const struct vpath *p, const struct node *s, const struct check *how)
{
	static const char *const types[] = { "array", "boolean", "integer", "number", "object", "string", NULL };
	static const struct {
		enum field f;
		const char *name, *detail;
	} forbidden[] = {
		{ F_id, "id", "id is not supported" },
		{ F_additionalItems, "additionalItems", "additionalItems is not supported" },
		{ F_patternProperties, "patternProperties", "patternProperties is not supported" },
		{ F_definitions, "definitions", "definitions is not supported" },
		{ F_dependencies, "dependencies", "dependencies is not supported" },
		{ F__ref, "$ref", "$ref is not supported" },
	};
	struct str type = v_str(s, F_type);
	bool known = !type.n;

	for (size_t i = 0; types[i]; i++)
		known |= str_eqc(type, types[i]);
	if (!known)
		v_unsupported(v, VP(p, "type"), type, types);
	if (node_get(s, F_default) && !how->defaults) {
		_cleanup_free_ char *text = xasprintf("must not be set%s%s", how->reason ? " " : "", how->reason ? how->reason : "");

		v_forbidden(v, VP(p, "default"), text);
	}
	for (size_t i = 0; i < ARRAY_SIZE(forbidden); i++)
		if (!v_empty(node_get(s, forbidden[i].f)))
			v_forbidden(v, VP(p, forbidden[i].name), forbidden[i].detail);
	if (str_eqc(type, "null"))
		v_forbidden(v, VP(p, "type"), "type cannot be set to null, use nullable as an alternative");
	if (node_is(node_get(s, F_items), DOC_ARRAY))
		v_forbidden(v, VP(p, "items"), "items must be a schema object and not an array");
	if (how->in_meta && crd_is_embedded(s))
		v_forbidden(v, VP(p, "x-kubernetes-embedded-resource"), "must not be used inside of resource meta");
	if (node_bool(node_get(s, F_uniqueItems), false))
		v_forbidden(v, VP(p, "uniqueItems"),
			    "uniqueItems cannot be set to true since the runtime complexity becomes quadratic");
}

static void check_typed(struct valid *v, const struct vpath *p, const struct node *s, const char *want, const char *what)
{
	_cleanup_free_ char *text = xasprintf("must be %s if %s is specified", want, what);

	if (v_str(s, F_type).n)
		v_invalid(v, VP(p, "type"), v_str(s, F_type), text);
	else
		v_required(v, VP(p, "type"), text);
}

static void check_set_items(struct valid *v, const struct vpath *p, const struct node *items)
{
	static const char detail[] = "must be atomic as item of a list with x-kubernetes-list-type=set";
	const char *type = node_gets(items, F_type);
	const struct node *list = node_get(items, F_x_kubernetes_list_type);

	if (streq(type, "array") && list && !node_streq(list, "atomic"))
		v_invalid_node(v, VP(VP(p, "items"), "x-kubernetes-list-type"), list, detail);
	else if (streq(type, "object") && !node_streq(node_get(items, F_x_kubernetes_map_type), "atomic"))
		v_invalid_node(v, VP(VP(p, "items"), "x-kubernetes-map-type"), list, detail);
}

static void check_map_keys(struct valid *v, const struct vpath *p, const struct node *s, const struct node *items)
{
	const struct node *keys = schema_custom_list_keys(s), *props = node_get(items, F_properties);
	const struct vpath *at = VP(p, "x-kubernetes-list-map-keys");

	NODE_FOREACH(k, keys) {
		const struct node *prop = node_getk(props, node_str(k));
		const struct vpath *pp = VPK(VP(VP(p, "items"), "properties"), node_str(k));
		bool required = false;

		for (const struct node *o = node_first(keys); o != k; o = o->next)
			if (node_equal(o, k))
				v_invalid_node(v, at, keys, "must not contain duplicate entries");
		if (!prop) {
			v_invalid_node(v, at, keys, "entries must all be names of item properties");
			continue;
		}
		if (streq(node_gets(prop, F_type), "array") || streq(node_gets(prop, F_type), "object"))
			v_invalid(v, VP(pp, "type"), v_str(items, F_type),
				  "must be a scalar type if parent array's x-kubernetes-list-type is map");
		NODE_FOREACH(r, node_get(items, F_required))
			required |= node_equal(r, k);
		if (!required && !node_get(prop, F_default))
			v_required(v, VP(pp, "default"),
				   "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property");
		if (node_bool(node_get(prop, F_nullable), false))
			v_forbidden(v, VP(pp, "nullable"),
				    "this property is in x-kubernetes-list-map-keys, so it cannot be nullable");
	}
}

static void check_list_map(struct valid *v, const struct vpath *p, const struct node *s)
{
	const struct node *items = node_get(s, F_items);

	if (!node_count(schema_custom_list_keys(s)))
		v_required(v, VP(p, "x-kubernetes-list-map-keys"), "must not be empty if x-kubernetes-list-type is map");
	if (!items)
		v_required(v, VP(p, "items"), "must have a schema if x-kubernetes-list-type is map");
	else if (!streq(node_gets(items, F_type), "object"))
		v_invalid(v, VP(VP(p, "items"), "type"), v_str(items, F_type),
			  "must be object if parent array's x-kubernetes-list-type is map");
	else
		check_map_keys(v, p, s, items);
}

static void check_extensions(struct valid *v, const struct vpath *p, const struct node *s)
{
	static const char *const map_types[] = { "atomic", "granular", NULL }, *const list_types[] = { "atomic", "set", "map", NULL };
	const struct node *keep = node_get(s, F_x_kubernetes_preserve_unknown_fields);
	const struct node *map = node_get(s, F_x_kubernetes_map_type), *list = node_get(s, F_x_kubernetes_list_type);
	const struct node *items = schema_custom_items(s);
	const char *type = node_gets(s, F_type);

	if (node_is(keep, DOC_BOOL) && !keep->u.b)
		v_invalid_node(v, VP(p, "x-kubernetes-preserve-unknown-fields"), keep, "must be true or undefined");
	if (map && !streq(type, "object"))
		check_typed(v, p, s, "object", "x-kubernetes-map-type");
	if (map && !node_streq(map, "atomic") && !node_streq(map, "granular"))
		v_unsupported(v, VP(p, "x-kubernetes-map-type"), node_str(map), map_types);
	if (list && !streq(type, "array"))
		check_typed(v, p, s, "array", "x-kubernetes-list-type");
	else if (node_streq(list, "set") && items)
		check_set_items(v, p, items);
	if (list && !node_streq(list, "atomic") && !node_streq(list, "set") && !node_streq(list, "map"))
		v_unsupported(v, VP(p, "x-kubernetes-list-type"), node_str(list), list_types);
	if (node_count(schema_custom_list_keys(s)) && !node_streq(list, "map")) {
		static const char detail[] = "must be map if x-kubernetes-list-map-keys is non-empty";

		if (list)
			v_invalid(v, VP(p, "x-kubernetes-list-type"), node_str(list), detail);
		else
			v_required(v, VP(p, "x-kubernetes-list-type"), detail);
	}
	if (node_streq(list, "map"))
		check_list_map(v, p, s);
	if ((node_streq(list, "map") || node_streq(list, "set")) && node_bool(node_get(items, F_nullable), false)) {
		_cleanup_free_ char *text = xasprintf("cannot be nullable when x-kubernetes-list-type is %s", node_cstr(list));

		v_forbidden(v, VP(VP(p, "items"), "nullable"), text);
	}
}

/* The shape of CEL rules; they are kept, but not run. */
static void check_rules(struct valid *v, const struct vpath *p, const struct node *rules)
{
	static const char *const reasons[] = { "FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid",
					       "FieldValueRequired", NULL };
	size_t i = 0;

	NODE_FOREACH(r, rules) {
		const struct vpath *at = VPI(VP(p, "x-kubernetes-validations"), i);
		struct str rule = str_trim(v_str(r, F_rule)), message = str_trim(v_str(r, F_message));
		struct str reason = v_str(r, F_reason);
		bool known = !node_get(r, F_reason);

		i++;
		if (!rule.n)
			v_required(v, VP(at, "rule"), "rule is not specified");
		else if (v_str(r, F_message).n && !message.n)
			v_invalid(v, VP(at, "message"), v_str(r, F_message), "message must be non-empty if specified");
		else if (str_find(message, '\n') >= 0 || str_find(message, '\r') >= 0)
			v_invalid(v, VP(at, "message"), v_str(r, F_message), "message must not contain line breaks");
		else if ((str_find(rule, '\n') >= 0 || str_find(rule, '\r') >= 0) && !message.n)
			v_required(v, VP(at, "message"), "message must be specified if rule contains line breaks");
		if (v_str(r, F_messageExpression).n && !str_trim(v_str(r, F_messageExpression)).n)
			v_required(v, VP(at, "messageExpression"), "messageExpression must be non-empty if specified");
		for (size_t k = 0; reasons[k]; k++)
			known |= str_eqc(reason, reasons[k]);
		if (!known)
			v_unsupported(v, VP(at, "reason"), reason, reasons);
		if (v_str(r, F_fieldPath).n && !str_trim(v_str(r, F_fieldPath)).n)
			v_invalid(v, VP(at, "fieldPath"), v_str(r, F_fieldPath), "fieldPath must be non-empty if specified");
		if (str_find(v_str(r, F_fieldPath), '\n') >= 0)
			v_invalid(v, VP(at, "fieldPath"), v_str(r, F_fieldPath), "fieldPath must not contain line breaks");
	}
}

static void check_properties(struct valid *v, const struct vpath *p, const struct node *s, struct check how, bool root)
{
	NODE_FOREACH(c, node_get(s, F_properties)) {
		struct check sub = how;
		_cleanup_free_ char *reason = NULL;

		if ((root || crd_is_embedded(s)) && (c->name == F_metadata || c->name == F_kind || c->name == F_apiVersion)) {
			sub.in_meta = true;
			if (root) {
				sub.reason = reason = xasprintf("in top-level %s", c->key);
				sub.defaults = false;
			}
		}
		check_schema(v, VPK(VP(p, "properties"), node_key(c)), c, sub, false);
	}
}

static void check_schema(struct valid *v, const struct vpath *p, const struct node *s, struct check how, bool root)
{
	static const enum field lists[] = { F_allOf, F_oneOf, F_anyOf };
	const struct node *more = node_get(s, F_additionalProperties);
	struct check below = how;

	if (!node_is(s, DOC_OBJECT)) {
		v_invalid_node(v, p, s, "must be a schema");
		return;
	}
	check_forbidden(v, p, s, &how);
	if (more && node_count(node_get(s, F_properties)) && !(node_is(more, DOC_BOOL) && more->u.b))
		v_forbidden(v, VP(p, "additionalProperties"), "additionalProperties and properties are mutual exclusive");
	if (how.in_meta) {
		below.defaults = false;
		below.reason = "inside additionalProperties applying to object metadata";
	}
	check_sub(v, p, "additionalProperties", more, below);
	check_properties(v, p, s, how, root);
	check_sub(v, p, "not", node_get(s, F_not), how);
	for (size_t k = 0; k < ARRAY_SIZE(lists); k++) {
		size_t i = 0;

		NODE_FOREACH(c, node_get(s, lists[k])) {
			check_schema(v, VPI(VP(p, doc_field_name(lists[k])), i), c, how, false);
			i++;
		}
	}
	check_sub(v, p, "items", node_get(s, F_items), how);
	check_extensions(v, p, s);
	check_rules(v, p, node_get(s, F_x_kubernetes_validations));
}

/* --- defaults must fit their own schema --- */

static void check_default(struct valid *v, const struct vpath *p, const struct node *s)
{
	const struct node *value = node_get(s, F_default);
	_cleanup_doc_ struct doc *d = doc_new();
	_cleanup_buf_ struct buf at = BUF_INIT;
	size_t from = v->n;

	vpath_print(VP(p, "default"), &at);
	doc_set_root(d, node_copy(d, value));
	if (crd_prune_value(d, doc_root(d), s, false))
		v_invalid_node(v, VP(NULL, at.s), value, "must not have unknown fields");
	from = v->n;
	crd_value(v, "", value, s, NULL);
	for (size_t i = from; i < v->n; i++) {
		struct valid_error *e = &v->errors[i];
		bool itself = streq(e->field, "<nil>");
		char *field = itself ? xstrdup(at.s) : xasprintf("%s.%s", at.s, e->field);

		free(e->field);
		e->field = field;
	}
}

static void check_defaults(struct valid *v, const struct vpath *p, const struct node *s)
{
	const struct node *more = node_get(s, F_additionalProperties);

	if (node_get(s, F_default))
		check_default(v, p, s);
	NODE_FOREACH(c, node_get(s, F_properties))
		check_defaults(v, VPK(VP(p, "properties"), node_key(c)), c);
	if (node_is(more, DOC_OBJECT))
		check_defaults(v, VP(p, "additionalProperties"), more);
	if (schema_custom_items(s))
		check_defaults(v, VP(p, "items"), schema_custom_items(s));
}

/* --- a version's parts --- */

/* With a status subresource its schema is taken out alone: nothing at the root may bind it to the rest. */
static void check_root(struct valid *v, const struct vpath *p, const struct node *s, bool status)
{
	static const enum field allowed[] = { F_description, F_type, F_format, F_title, F_maximum, F_exclusiveMaximum, F_minimum,
					      F_exclusiveMinimum, F_maxLength, F_minLength, F_pattern, F_maxItems, F_minItems,
					      F_uniqueItems, F_multipleOf, F_required, F_items, F_properties, F_externalDocs,
					      F_example, F_x_kubernetes_preserve_unknown_fields, F_x_kubernetes_validations };

	NODE_FOREACH(c, s) {
		bool fine = !status;

		for (size_t i = 0; i < ARRAY_SIZE(allowed); i++)
			fine |= c->name == allowed[i];
		if (fine)
			continue;
		v_invalid_node(v, p, s,
			       "only [Description Type Format Title Maximum ExclusiveMaximum Minimum ExclusiveMinimum MaxLength MinLength "
			       "Pattern MaxItems MinItems UniqueItems MultipleOf Required Items Properties ExternalDocs Example "
			       "XPreserveUnknownFields XValidations] fields are allowed at the root of the schema if the status subresource is enabled");
		break;
	}
	if (node_bool(node_get(s, F_nullable), false))
		v_forbidden(v, VP(p, "nullable"), "nullable cannot be true at the root");
}

static void check_version_schema(struct valid *v, const struct vpath *p, const struct node *s, bool status)
{
	struct check how = { .defaults = true };
	size_t from = v->n;

	check_root(v, p, s, status);
	crd_structural(v, p, s);
	if (v->n == from)
		check_defaults(v, p, s);
	check_schema(v, p, s, how, true);
}

static void check_path(struct valid *v, const struct vpath *p, struct str path, const char *under, const char *or_under,
		       const char *detail)
{
	if (path.p[0] != '.')
		v_invalid(v, p, path, "must be a simple json path starting with .");
	else if (under && !str_starts(path, str_of(under)) && !(or_under && str_starts(path, str_of(or_under))))
		v_invalid(v, p, path, detail);
}

static void check_subresources(struct valid *v, const struct vpath *p, const struct node *n)
{
	static const struct {
		enum field f;
		const char *name, *under, *or_under, *detail;
		bool required;
	} paths[] = {
		{ F_specReplicasPath, "scale.specReplicasPath", ".spec.", NULL, "should be a json path under .spec", true },
		{ F_statusReplicasPath, "scale.statusReplicasPath", ".status.", NULL, "should be a json path under .status", true },
		{ F_labelSelectorPath, "scale.labelSelectorPath", ".spec.", ".status.",
		  "should be a json path under either .spec or .status", false },
	};
	const struct node *scale = node_get(n, F_scale);

	for (size_t i = 0; scale && i < ARRAY_SIZE(paths); i++) {
		struct str path = v_str(scale, paths[i].f);

		if (path.n)
			check_path(v, VP(p, paths[i].name), path, paths[i].under, paths[i].or_under, paths[i].detail);
		else if (paths[i].required)
			v_required(v, VP(p, paths[i].name), NULL);
	}
}

static bool check_among(struct str s, const char *list)
{
	struct str rest = str_of(list);

	while (rest.p)
		if (str_eq(str_cut(&rest, ','), s))
			return true;
	return false;
}

static void check_columns(struct valid *v, const struct vpath *p, const struct node *list)
{
	static const char types[] = "boolean,date,integer,number,string";
	static const char formats[] = "byte,date,date-time,double,float,int32,int64,password";
	size_t i = 0;

	NODE_FOREACH(c, list) {
		const struct vpath *at = VPI(p, i);
		struct str type = v_str(c, F_type), format = v_str(c, F_format), path = v_str(c, F_jsonPath);

		i++;
		if (!v_str(c, F_name).n)
			v_required(v, VP(at, "name"), NULL);
		if (!type.n)
			v_required(v, VP(at, "type"), "must be one of boolean,date,integer,number,string");
		else if (!check_among(type, types))
			v_invalid(v, VP(at, "type"), type, "must be one of boolean,date,integer,number,string");
		if (format.n && !check_among(format, formats))
			v_invalid(v, VP(at, "format"), format,
				  "must be one of byte,date,date-time,double,float,int32,int64,password");
		if (!path.n)
			v_required(v, VP(at, "JSONPath"), NULL);
		else
			check_path(v, VP(at, "JSONPath"), path, NULL, NULL, NULL);
	}
}

/* The schema at a simple path. */
static const struct node *check_path_schema(const struct node *s, struct str path)
{
	struct str rest = str_sub(path, 1, path.n);

	while (rest.p && s)
		s = node_getk(node_get(s, F_properties), str_cut(&rest, '.'));
	return s;
}

static void check_selectable(struct valid *v, const struct vpath *p, const struct node *list, const struct node *schema)
{
	size_t i = 0, unique = 0;

	NODE_FOREACH(c, list) {
		const struct vpath *at = VP(VPI(p, i), "jsonPath");
		struct str path = v_str(c, F_jsonPath);
		const struct node *s = path.n && path.p[0] == '.' ? check_path_schema(schema, path) : NULL;
		const char *type = node_gets(s, F_type);
		bool again = false;

		i++;
		if (!path.n) {
			v_required(v, at, NULL);
			continue;
		}
		if (str_starts(path, STR_LIT(".metadata"))) {
			v_invalid(v, at, path, "must not point to fields in metadata");
			continue;
		}
		if (!s) {
			v_invalid(v, at, path, path.p[0] == '.' ? "is an invalid path: does not refer to a valid field" :
								   "is an invalid path: expected a leading dot");
			continue;
		}
		if (!streq(type, "string") && !streq(type, "boolean") && !streq(type, "integer"))
			v_invalid(v, at, path,
				  "must point to a field of type string, boolean or integer. Enum string fields and strings with formats are allowed.");
		for (const struct node *o = node_first(list); o != c; o = o->next)
			again |= str_eq(v_str(o, F_jsonPath), path);
		if (again)
			v_duplicate_str(v, at, path);
		unique += !again;
	}
	if (unique > CHECK_SELECTABLE_MAX)
		v_too_many(v, p, unique, CHECK_SELECTABLE_MAX);
}

static void check_deprecation(struct valid *v, const struct vpath *p, const struct node *version)
{
	const struct node *warning = node_get(version, F_deprecationWarning);
	const struct vpath *at = VP(p, "deprecationWarning");
	struct str s = node_str(warning);

	if (!warning)
		return;
	if (!node_bool(node_get(version, F_deprecated), false)) {
		v_invalid(v, at, s, "can only be set for deprecated versions");
		return;
	}
	if (s.n > CHECK_DEPRECATION_MAX)
		v_invalid(v, at, s, "must be <= 256 characters long");
	if (!s.n)
		v_invalid(v, at, s, "must not be an empty string");
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] < ' ' || s.p[i] == 0x7f) {
			v_invalidf(v, at, warning,
				   "must only contain printable UTF-8 characters; non-printable character found at index %zu", i);
			break;
		}
}

/* --- versions --- */

/* Whether all versions say the same in f (and something at all): then it stands at the top. */
static bool check_shared(const struct node *versions, enum field f)
{
	const struct node *first = node_get(node_at(versions, 0), f);

	NODE_FOREACH(c, versions)
		if (!first || !node_get(c, f) || !node_equal(first, node_get(c, f)))
			return false;
	return true;
}

static void check_version(struct valid *v, const struct node *versions, const struct node *version,
			  const struct vpath *own, bool top)
{
	static const enum field parts[] = { F_schema, F_subresources, F_additionalPrinterColumns, F_selectableFields };
	const struct node *schema = node_path(version, F_schema, F_openAPIV3Schema);
	bool status = node_path(version, F_subresources, F_status) != NULL;

	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		bool shared = check_shared(versions, parts[i]);
		const struct node *n = node_get(version, parts[i]);
		const struct vpath *p = shared ? VP(NULL, "spec") : own;

		if (!n || shared != top)
			continue;
		if (parts[i] == F_schema && schema)
			check_version_schema(v, VP(VP(p, shared ? "validation" : "schema"), "openAPIV3Schema"), schema, status);
		else if (parts[i] == F_subresources)
			check_subresources(v, VP(p, "subresources"), n);
		else if (parts[i] == F_additionalPrinterColumns)
			check_columns(v, VP(p, "additionalPrinterColumns"), n);
		else if (parts[i] == F_selectableFields)
			check_selectable(v, VP(p, "selectableFields"), n, schema);
	}
}

static void check_versions(struct valid *v, const struct vpath *p, const struct node *versions)
{
	size_t i = 0, storages = 0;
	bool twice = false;

	NODE_FOREACH(c, versions) {
		const struct vpath *at = VPI(p, i);

		i++;
		storages += node_bool(node_get(c, F_storage), false);
		for (const struct node *o = node_first(versions); o != c; o = o->next)
			twice |= str_eq(v_str(o, F_name), v_str(c, F_name));
		if (!node_path(c, F_schema, F_openAPIV3Schema))
			v_required(v, VP(VP(at, "schema"), "openAPIV3Schema"), "schemas are required");
		if (v_str(c, F_name).n)
			check_label(v, VP(at, "name"), v_str(c, F_name), "", false);
		else
			v_name(v, VP(at, "name"), STR_LIT(""), NF_DNS1035_LABEL);
		check_deprecation(v, at, c);
		check_version(v, versions, c, at, false);
	}
	if (twice)
		v_invalid_node(v, p, versions, "must contain unique version names");
	if (storages != 1)
		v_invalid_node(v, p, versions, "must have exactly one version marked as storage version");
}

/* --- conversion --- */

static void check_hook_url(struct valid *v, const struct vpath *p, struct str url)
{
	static const char example[] = "; desired format: https://host[/path]";
	_cleanup_free_ char *text = NULL;
	struct str rest = url;
	struct str scheme = str_find(url, ':') >= 0 ? str_cut(&rest, ':') : STR_LIT("");

	if (!str_eqc(scheme, "https"))
		text = xasprintf("'https' is the only allowed URL scheme%s", example);
	else if (!str_starts(rest, STR_LIT("//")) || rest.n == 2 || rest.p[2] == '/')
		text = xasprintf("host must be specified%s", example);
	else if (str_find(rest, '@') >= 0)
		text = xstrdup("user information is not permitted in the URL");
	else if (str_find(rest, '#') >= 0)
		text = xstrdup("fragments are not permitted in the URL");
	else if (str_find(rest, '?') >= 0)
		text = xstrdup("query parameters are not permitted in the URL");
	if (text)
		v_invalid(v, p, url, text);
}

static void check_hook_service(struct valid *v, const struct vpath *p, const struct node *n)
{
	int64_t port = node_int(node_get(n, F_port), 443);
	struct str path = v_str(n, F_path);

	if (!v_str(n, F_name).n)
		v_required(v, VP(p, "name"), "service name is required");
	if (!v_str(n, F_namespace).n)
		v_required(v, VP(p, "namespace"), "service namespace is required");
	if (port < 1 || port > 65535)
		v_invalid_int(v, VP(p, "port"), port, "port is not valid: must be between 1 and 65535, inclusive");
	if (path.n && path.p[0] != '/')
		v_invalid(v, VP(p, "path"), path, "must start with a '/'");
}

static void check_review_versions(struct valid *v, const struct vpath *p, const struct node *list)
{
	bool known = false;
	size_t i = 0;

	if (!node_count(list)) {
		v_required(v, p, NULL);
		return;
	}
	NODE_FOREACH(c, list) {
		bool again = false;

		for (const struct node *o = node_first(list); o != c; o = o->next)
			again |= node_equal(o, c);
		if (again)
			v_invalid(v, VPI(p, i), node_str(c), "duplicate version");
		else
			v_name(v, VPI(p, i), node_str(c), NF_DNS1035_LABEL);
		known |= node_streq(c, "v1") || node_streq(c, "v1beta1");
		i++;
	}
	if (!known)
		v_invalid_node(v, p, list, "must include at least one of v1, v1beta1");
}

static void check_conversion(struct valid *v, const struct vpath *p, const struct node *n)
{
	static const char *const strategies[] = { "None", "Webhook", NULL };
	const struct node *hook = node_get(n, F_webhook), *cc = node_get(hook, F_clientConfig);
	const struct vpath *at = VP(p, "webhookClientConfig"), *versions = VP(p, "conversionReviewVersions");
	struct str strategy = v_str(n, F_strategy);

	if (!n)
		return;
	if (!strategy.n)
		v_required(v, VP(p, "strategy"), NULL);
	else if (!str_eqc(strategy, "None") && !str_eqc(strategy, "Webhook"))
		v_unsupported(v, VP(p, "strategy"), strategy, strategies);
	if (!str_eqc(strategy, "Webhook")) {
		if (cc)
			v_forbidden(v, at, "should not be set when strategy is not set to Webhook");
		if (node_count(node_get(hook, F_conversionReviewVersions)))
			v_forbidden(v, versions, "should not be set when strategy is not set to Webhook");
		return;
	}
	if (!cc)
		v_required(v, at, "required when strategy is set to Webhook");
	else if (!node_get(cc, F_url) == !node_get(cc, F_service))
		v_required(v, at, "exactly one of url or service is required");
	else if (node_get(cc, F_url))
		check_hook_url(v, VP(at, "url"), v_str(cc, F_url));
	else
		check_hook_service(v, VP(at, "service"), node_get(cc, F_service));
	check_review_versions(v, versions, node_get(hook, F_conversionReviewVersions));
}

/* --- approval of community groups --- */

bool schema_custom_protected(const char *group)
{
	return streq(group, "k8s.io") || ends_with(group, ".k8s.io") || streq(group, "kubernetes.io") ||
	       ends_with(group, ".kubernetes.io");
}

enum schema_custom_approval schema_custom_approval(const struct node *crd)
{
	const char *a = meta_annotation(crd, "api-approved.kubernetes.io");

	if (str_empty(a))
		return SCA_MISSING;
	if (starts_with(a, "unapproved"))
		return SCA_BYPASSED;
	return (starts_with(a, "https://") || starts_with(a, "http://")) && a[8] && !strchr(a, ' ') ? SCA_APPROVED : SCA_INVALID;
}

static void check_approval(struct valid *v, const char *group)
{
	static const char see[] = "see https://github.com/kubernetes/enhancements/pull/1111";
	enum schema_custom_approval state = schema_custom_approval(v->root);
	const struct vpath *p = VPK(VP(VP(NULL, "metadata"), "annotations"), STR_LIT("api-approved.kubernetes.io"));
	_cleanup_free_ char *text = NULL;

	if (!schema_custom_protected(group) || (v->old && schema_custom_approval(v->old) == SCA_MISSING))
		return;
	if (state == SCA_MISSING) {
		text = xasprintf("protected groups must have approval annotation \"api-approved.kubernetes.io\", %s", see);
		v_required(v, p, text);
	} else if (state == SCA_INVALID) {
		text = xasprintf("protected groups must have approval annotation \"api-approved.kubernetes.io\" with either a URL or a "
				 "reason starting with \"unapproved\", %s",
				 see);
		v_invalid(v, p, str_of(meta_annotation(v->root, "api-approved.kubernetes.io")), text);
	}
}

/* --- the whole --- */

static void check_group(struct valid *v, const struct vpath *p, struct str group)
{
	if (!group.n) {
		v_required(v, p, NULL);
		return;
	}
	v_name(v, p, group, NF_DNS_SUBDOMAIN);
	if (!v_has_error_at(v, p) && str_find(group, '.') < 0)
		v_invalid(v, p, group, "should be a domain with at least one dot");
}

static void check_name(struct valid *v, const struct node *spec)
{
	_cleanup_free_ char *want =
		xasprintf("%s.%s", node_gets(node_get(spec, F_names), F_plural), node_gets(spec, F_group));

	if (!streq(meta_name(v->root), want))
		v_invalid(v, VP(VP(NULL, "metadata"), "name"), str_of(meta_name(v->root)),
			  "must be spec.names.plural+\".\"+spec.group");
}

static void check_spec(struct valid *v, const struct vpath *p, const struct node *spec)
{
	static const char *const scopes[] = { "Cluster", "Namespaced", NULL };
	const struct node *versions = node_get(spec, F_versions), *keep = node_get(spec, F_preserveUnknownFields);

	check_group(v, VP(p, "group"), v_str(spec, F_group));
	v_one_of(v, VP(p, "scope"), node_get(spec, F_scope), scopes);
	if (node_bool(keep, false))
		v_invalid_node(v, VP(p, "preserveUnknownFields"), keep,
			       "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead");
	check_versions(v, VP(p, "versions"), versions);
	check_names_there(v, VP(p, "names"), node_get(spec, F_names));
	check_names(v, VP(p, "names"), node_get(spec, F_names));
	if (node_count(versions))
		check_version(v, versions, node_at(versions, 0), p, true);
	check_conversion(v, VP(p, "conversion"), node_get(spec, F_conversion));
}

static void check_update(struct valid *v, const struct vpath *p, const struct node *spec, const struct node *old)
{
	const struct node *names = node_get(spec, F_names), *was = node_get(old, F_names);
	size_t i = 0;

	if (cond_is_true(node_path(v->old, F_status, F_conditions), "Established")) {
		v_immutable(v, VP(p, "scope"), node_get(spec, F_scope), node_get(old, F_scope));
		v_immutable(v, VP(VP(p, "names"), "kind"), node_get(names, F_kind), node_get(was, F_kind));
	}
	v_immutable(v, VP(p, "group"), node_get(spec, F_group), node_get(old, F_group));
	v_immutable(v, VP(VP(p, "names"), "plural"), node_get(names, F_plural), node_get(was, F_plural));
	NODE_FOREACH(s, node_path(v->root, F_status, F_storedVersions)) {
		bool there = false;

		NODE_FOREACH(c, node_get(spec, F_versions))
			there |= str_eq(v_str(c, F_name), node_str(s));
		if (!there)
			v_invalid(v, VPI(VP(VP(NULL, "status"), "storedVersions"), i), node_str(s), "must appear in spec.versions");
		i++;
	}
}

void v_custom_resource_definition(struct valid *v)
{
	const struct vpath *p = VP(NULL, "spec"), *status = VP(NULL, "status");
	const struct node *spec = node_get(v->root, F_spec);

	if (!streq(v->sub, "status")) {
		check_name(v, spec);
		check_spec(v, p, spec);
		if (v->old)
			check_update(v, p, spec, node_get(v->old, F_spec));
		check_approval(v, node_gets(spec, F_group));
	}
	check_names(v, VP(status, "acceptedNames"), node_path(v->root, F_status, F_acceptedNames));
}
