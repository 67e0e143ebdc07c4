/*
 * OpenAPI documents, made from the type tables when somebody asks.
 *
 * Version 2 is one document of everything, as JSON (/openapi/v2) or as
 * gnostic's protobuf, which kubectl asks for. Version 3 (/openapi/v3) is an
 * index and one document for each group version. What clients read out of
 * them: `kubectl explain` the descriptions and types, `kubectl apply` the
 * patch strategies and merge keys, dry-run and field validation the parameters
 * of PATCH, server-side apply the list and map types.
 *
 * Nothing is kept but the hash of each version 3 document, which stands in the
 * index so that clients may keep documents for ever. Definitions are written
 * in rounds: a definition asks for those that it refers to, until no new ones
 * are asked for.
 *
 * As in Kubernetes, version 2 has no defaults, no enums, and references with
 * other members beside them; version 3 has all three the other way round.
 */
#include "base/digest.h"
#include "schema/openapi.h"
#include "schema/crd.h"

#include <inttypes.h>

#define OA_EXT_GVK "x-kubernetes-group-version-kind"

/* --- names --- */
static struct str oa_type_package(const struct schema_type *t)
{
	struct str name = str_of(schema_type_name(t));

	return str_sub(name, 0, str_rfind(name, '.') < 0 ? 0 : (size_t)str_rfind(name, '.'));
}

void oa_type_gv(const struct schema_type *t, struct str *group, struct str *version)
{
	*version = oa_type_package(t);
	*group = str_cut(version, '/');
	if (str_eqc(*group, "core") || str_eqc(*group, "meta"))
		*group = STR_LIT("");
}

/* Types are named by Go package in Kubernetes' documents; tools know these names. */
void oa_definition_name(const struct schema_type *t, struct buf *out)
{
	static const struct {
		const char *ours, *go;
	} packages[] = {
		{"meta", "io.k8s.apimachinery.pkg.apis.meta."},
		{"apiextensions.k8s.io", "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions."},
		{"apiregistration.k8s.io", "io.k8s.kube-aggregator.pkg.apis.apiregistration."},
		{"resource", "io.k8s.apimachinery.pkg.api.resource"},
		{"intstr", "io.k8s.apimachinery.pkg.util.intstr"},
		{"runtime", "io.k8s.apimachinery.pkg.runtime"},
		{"version", "io.k8s.apimachinery.pkg.version"},
	};
	struct str version = oa_type_package(t), group = str_cut(&version, '/'), first;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(packages) && !str_eqc(group, packages[i].ours); i++)
		;
	if (i < ARRAY_SIZE(packages)) {
		buf_adds(out, packages[i].go);
	} else {
		/* "rbac.authorization.k8s.io" is package rbac */
		first = str_cut(&group, '.');
		buf_addf(out, "io.k8s.api.%" STR_FMT ".", STR_ARG(first));
	}
	buf_addf(out, "%" STR_FMT ".%s", STR_ARG(version), schema_type_base(t));
}

void oa_ext_gvk(struct oa *w, unsigned n, struct str group, struct str version, const char *kind, bool list)
{
	buf_clear(&w->text);
	buf_addf(&w->text, "%s{\"group\":\"%" STR_FMT "\",\"kind\":\"%s\",\"version\":\"%" STR_FMT "\"}%s",
		 list ? "[" : "", STR_ARG(group), kind, STR_ARG(version), list ? "]" : "");
	oa_ext(w, n, OA_EXT_GVK, w->text.s);
}

/* --- references --- */
void oa_want(struct oa *w, const struct schema_type *t)
{
	if (!w->wanted[t - schema_types])
		w->wanted[t - schema_types] = 1;
}

void oa_ref(struct oa *w, const struct schema_type *t)
{
	struct buf *b = &w->text;

	oa_want(w, t);
	buf_clear(b);
	buf_adds(b, w->form == OA_V3 ? "#/components/schemas/" : "#/definitions/");
	oa_definition_name(t, b);
	oa_text(w, "$ref", S_REF, b->s);
}

/* The types behind kinds of values that are written alike everywhere. */
static const struct schema_type *oa_kind_type(enum schema_kind kind)
{
	static const char *const names[] = {
		[SK_QUANTITY] = "resource.Quantity", [SK_INTORSTRING] = "intstr.IntOrString",
		[SK_TIME] = "meta/v1.Time",	     [SK_MICROTIME] = "meta/v1.MicroTime",
		[SK_DURATION] = "meta/v1.Duration",  [SK_RAW] = "runtime.RawExtension",
		[SK_FIELDSV1] = "meta/v1.FieldsV1",  [SK_JSON] = "apiextensions.k8s.io/v1.JSON",
	};

	return kind < ARRAY_SIZE(names) && names[kind] ? schema_type_find(str_of(names[kind])) : NULL;
}

/* --- values --- */
static void oa_field_value(struct oa *w, const struct schema_field *f, bool alone);

static void oa_enum(struct oa *w, const struct schema_field *f)
{
	if (w->form != OA_V3 || !(f->flags & SF_ENUM))
		return;
	oa_open_list(w, "enum");
	for (size_t i = 0; i < schema_field_n_values(f); i++)
		oa_string(w, 0, schema_field_value_at(f, i));
	oa_close_list(w);
}

static const struct {
	const char *type, *format;
} oa_scalars[] = {
	[SK_STRING] = {"string", ""},	     [SK_BOOL] = {"boolean", ""},
	[SK_INT32] = {"integer", "int32"},   [SK_INT64] = {"integer", "int64"},
	[SK_FLOAT64] = {"number", "double"}, [SK_BYTES] = {"string", "byte"},
	[SK_OBJECT] = {"object", ""},
};

const char *oa_scalar_type(enum schema_kind kind)
{
	return kind < ARRAY_SIZE(oa_scalars) ? oa_scalars[kind].type : NULL;
}

/* One value of the field, or one item of its list or map. alone: nothing stands beside it. */
static void oa_value(struct oa *w, const struct schema_field *f, bool alone)
{
	const struct schema_type *t = f->kind == SK_REF ? schema_field_type(f) : oa_kind_type(f->kind);

	if (t && (t->flags & ST_ALIAS)) {
		oa_field_value(w, schema_type_fields(t), alone);
	} else if (t && (alone || w->form != OA_V3)) {
		oa_ref(w, t);
	} else if (t) {
		oa_open_list(w, "allOf");
		oa_open_element(w, NULL);
		oa_ref(w, t);
		oa_close(w);
		oa_close_list(w);
	} else if (oa_scalar_type(f->kind)) {
		oa_type(w, oa_scalars[f->kind].type);
		oa_text(w, "format", S_FORMAT, oa_scalars[f->kind].format);
		if (f->kind == SK_STRING)
			oa_enum(w, f);
	}
}

static void oa_field_value(struct oa *w, const struct schema_field *f, bool alone)
{
	if (f->shape == SH_ONE) {
		oa_value(w, f, alone);
		return;
	}
	oa_type(w, f->shape == SH_LIST ? "array" : "object");
	if (f->shape == SH_LIST)
		oa_open(w, "items", OA_N(S_ITEMS, 1));
	else
		oa_open(w, "additionalProperties", OA_N(S_ADDITIONAL, 1));
	oa_value(w, f, true);
	oa_close(w);
}

/* --- fields --- */
static void oa_list_keys(struct oa *w, const struct schema_field *f)
{
	const uint16_t *k = schema_keys + f->list_keys;

	if (!f->list_keys)
		return;
	buf_clear(&w->text);
	for (; *k != F_NONE; k++)
		buf_addf(&w->text, "%s\"%s\"", w->text.len ? "," : "[", doc_field_name(*k));
	buf_addch(&w->text, ']');
	oa_ext(w, S_EXT, "x-kubernetes-list-map-keys", w->text.s);
}

static const char *oa_patch_strategy(const struct schema_field *f)
{
	if (f->flags & SF_PATCH_RETAIN_KEYS)
		return f->flags & SF_PATCH_MERGE ? "\"merge,retainKeys\"" : "\"retainKeys\"";
	if (f->flags & SF_PATCH_MERGE)
		return "\"merge\"";
	return f->flags & SF_PATCH_REPLACE ? "\"replace\"" : NULL;
}

static void oa_field_extensions(struct oa *w, const struct schema_field *f)
{
	const char *strategy = oa_patch_strategy(f);

	oa_list_keys(w, f);
	if (f->flags & (SF_LIST_ATOMIC | SF_LIST_SET | SF_LIST_MAP))
		oa_ext(w, S_EXT, "x-kubernetes-list-type",
		       f->flags & SF_LIST_MAP	? "\"map\""
		       : f->flags & SF_LIST_SET ? "\"set\""
						: "\"atomic\"");
	if (f->flags & (SF_MAP_ATOMIC | SF_MAP_GRANULAR | SF_STRUCT_ATOMIC))
		oa_ext(w, S_EXT, "x-kubernetes-map-type",
		       f->flags & SF_MAP_GRANULAR ? "\"granular\"" : "\"atomic\"");
	if (f->merge_key) {
		buf_clear(&w->text);
		buf_addf(&w->text, "\"%s\"", doc_field_name(f->merge_key));
		oa_ext(w, S_EXT, "x-kubernetes-patch-merge-key", w->text.s);
	}
	if (strategy)
		oa_ext(w, S_EXT, "x-kubernetes-patch-strategy", strategy);
}

static void oa_field(struct oa *w, const struct schema_field *f)
{
	const unsigned marks = SF_LIST_ATOMIC | SF_LIST_SET | SF_LIST_MAP | SF_MAP_ATOMIC | SF_MAP_GRANULAR |
			       SF_STRUCT_ATOMIC | SF_PATCH_MERGE | SF_PATCH_REPLACE | SF_PATCH_RETAIN_KEYS;
	bool has_default = w->form == OA_V3 && f->dflt;

	oa_open_entry(w, doc_field_name(f->name), MAP_ENTRY, NULL);
	oa_text(w, "description", S_DESCRIPTION, SCHEMA_STR(f->desc));
	if (has_default)
		oa_any(w, "default", S_DEFAULT, SCHEMA_STR(f->dflt));
	oa_field_value(w, f, !f->desc && !has_default && !(f->flags & marks));
	oa_field_extensions(w, f);
	oa_close(w);
}

/* --- definitions --- */
/* Types that are one JSON value of their own sort. False: t is none of them. */
static bool oa_special(struct oa *w, const struct schema_type *t)
{
	static const struct {
		const char *name, *type, *format, *second; /* second: version 3 says oneOf */
	} special[] = {
		{"resource.Quantity", "string", "", "number"},
		{"intstr.IntOrString", "string", "int-or-string", "integer"},
		{"meta/v1.Time", "string", "date-time", NULL},
		{"meta/v1.MicroTime", "string", "date-time", NULL},
		{"meta/v1.Duration", "string", "", NULL},
		{"meta/v1.FieldsV1", "object", "", NULL},
		{"meta/v1.Patch", "object", "", NULL},
		{"runtime.RawExtension", "object", "", NULL},
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(special) && !streq(schema_type_name(t), special[i].name); i++)
		;
	if (i == ARRAY_SIZE(special))
		return t->flags & (ST_OPAQUE | ST_SCALAR);
	if (special[i].second && w->form == OA_V3) {
		oa_open_list(w, "oneOf");
		for (int k = 0; k < 2; k++) {
			oa_open_element(w, NULL);
			oa_type(w, k ? special[i].second : special[i].type);
			oa_close(w);
		}
		oa_close_list(w);
	} else {
		oa_type(w, special[i].type);
	}
	oa_text(w, "format", S_FORMAT, special[i].format);
	return true;
}

static void oa_definition_gvk(struct oa *w, const struct schema_type *t)
{
	static const char *const everywhere[] = {"meta/v1.DeleteOptions", "meta/v1.WatchEvent"};
	struct str group, version;
	bool all = streq(schema_type_name(t), everywhere[0]) || streq(schema_type_name(t), everywhere[1]);

	if (!(t->flags & ST_KIND))
		return;
	oa_type_gv(t, &group, &version);
	if (!all) {
		oa_ext_gvk(w, S_EXT, group, version, schema_type_base(t), true);
		return;
	}
	/* These are kinds of every group version. */
	buf_clear(&w->text);
	for (size_t i = 0; i < schema_n_resources; i++) {
		const struct resource *r = &schema_resources[i].r;

		if (!schema_resources[i].served ||
		    (i && streq(r->api_version, schema_resources[i - 1].r.api_version)))
			continue;
		buf_addf(&w->text, "%s{\"group\":\"%s\",\"kind\":\"%s\",\"version\":\"%s\"}",
			 w->text.len ? "," : "[", r->group, schema_type_base(t), r->version);
	}
	buf_addch(&w->text, ']');
	oa_ext(w, S_EXT, OA_EXT_GVK, w->text.s);
}

static void oa_required(struct oa *w, const struct schema_type *t)
{
	const struct schema_field *f = schema_type_fields(t);
	bool open = false;

	for (unsigned i = 0; i < t->n_fields; i++) {
		if (!(f[i].flags & SF_REQUIRED))
			continue;
		if (!open)
			oa_open_list(w, "required");
		open = true;
		oa_string(w, S_REQUIRED, doc_field_name(f[i].name));
	}
	if (open)
		oa_close_list(w);
}

static void oa_definition(struct oa *w, const struct schema_type *t)
{
	_cleanup_buf_ struct buf name = BUF_INIT;
	const struct schema_field *f = schema_type_fields(t);

	oa_definition_name(t, &name);
	oa_open_entry(w, name.s, MAP_ENTRY, NULL);
	oa_text(w, "description", S_DESCRIPTION, SCHEMA_STR(t->desc));
	if (!oa_special(w, t)) {
		oa_type(w, "object");
		oa_required(w, t);
		if (t->n_fields) {
			oa_open(w, "properties", OA_N(S_PROPERTIES));
			for (unsigned i = 0; i < t->n_fields; i++)
				oa_field(w, &f[i]);
			oa_close(w);
		}
		oa_definition_gvk(w, t);
		if (t->flags & ST_ATOMIC)
			oa_ext(w, S_EXT, "x-kubernetes-map-type", "\"atomic\"");
	}
	oa_close(w);
}

/* Marks every type that a wanted one refers to; then all of them are written in order of names. */
static void oa_want_parts(struct oa *w)
{
	bool more = true;

	while (more) {
		more = false;
		for (size_t i = 0; i < schema_n_types; i++) {
			const struct schema_type *t = &schema_types[i];
			const struct schema_field *f = schema_type_fields(t);

			if (w->wanted[i] != 1)
				continue;
			w->wanted[i] = 2;
			more = true;
			for (unsigned k = 0; k < t->n_fields; k++) {
				const struct schema_type *part = f[k].kind == SK_REF
									 ? schema_field_type(&f[k])
									 : oa_kind_type(f[k].kind);

				if (part)
					oa_want(w, part);
			}
		}
	}
}

static void oa_definitions(struct oa *w)
{
	oa_want_parts(w);
	for (size_t i = 0; i < schema_n_types; i++)
		if (w->wanted[i] && !(schema_types[i].flags & ST_ALIAS))
			oa_definition(w, &schema_types[i]);
}

static void oa_want_name(struct oa *w, const char *name)
{
	const struct schema_type *t = schema_type_find(str_of(name));

	BUG_ON(!t);
	oa_want(w, t);
}

/* --- documents --- */
static void oa_info(struct oa *w)
{
	oa_open(w, "info", OA_N(DOC_INFO));
	oa_text(w, "title", INFO_TITLE, "Kubernetes");
	oa_text(w, "version", INFO_VERSION, SCHEMA_KUBERNETES_VERSION);
	oa_close(w);
}

/* f for each custom resource that is served, of one group version (NULL: of all). */
static void oa_custom(struct oa *w, const char *group, const char *version,
		      void (*f)(struct oa *w, const struct schema_res *r))
{
	for (const struct schema_res *r = schema_next(NULL); r; r = schema_next(r))
		if (r->custom && r->served &&
		    (!group || (streq(r->r.group, group) && streq(r->r.version, version))))
			f(w, r);
}

void schema_openapi_v2(bool protobuf, struct buf *out)
{
	/* What discovery and errors answer; no resource refers to it. */
	static const char *const others[] = {
		"meta/v1.APIGroup",    "meta/v1.APIGroupList", "meta/v1.APIResourceList",
		"meta/v1.APIVersions", "meta/v1.Status",       "meta/v1.WatchEvent",
		"version.Info",
	};
	struct oa w;

	oa_begin(&w, protobuf ? OA_V2_PROTO : OA_V2_JSON, out);
	oa_text(&w, "swagger", DOC_SWAGGER, "2.0");
	oa_info(&w);
	oa_open(&w, "paths", OA_N(DOC_PATHS));
	oa_paths(&w, schema_resources, schema_n_resources);
	oa_custom(&w, NULL, NULL, oa_resource_paths);
	oa_close(&w);
	oa_open(&w, "definitions", OA_N(DOC_DEFINITIONS));
	oa_custom(&w, NULL, NULL, crd_oa_definitions);
	for (size_t i = 0; i < ARRAY_SIZE(others); i++)
		oa_want_name(&w, others[i]);
	oa_definitions(&w);
	oa_close(&w);
	oa_open(&w, "parameters", OA_N(DOC_PARAMETERS));
	oa_parameters(&w);
	oa_close(&w);
	oa_end(&w);
}

/* The group versions are runs of rows with the same api_version. */
static size_t oa_run(size_t i)
{
	size_t n = 1;

	while (i + n < schema_n_resources &&
	       streq(schema_resources[i + n].r.api_version, schema_resources[i].r.api_version))
		n++;
	return n;
}

/* first: n rows of the tables, or one custom resource whose whole group version is meant (n 0). */
static void oa_v3(const struct schema_res *first, size_t n, struct buf *out)
{
	struct oa w;

	oa_begin(&w, OA_V3, out);
	oa_text(&w, "openapi", 0, "3.0.0");
	oa_info(&w);
	oa_open(&w, "paths", NULL);
	oa_paths(&w, first, n);
	oa_custom(&w, first->r.group, first->r.version, oa_resource_paths);
	oa_close(&w);
	oa_open(&w, "components", NULL);
	oa_open(&w, "schemas", NULL);
	oa_custom(&w, first->r.group, first->r.version, crd_oa_definitions);
	oa_want_name(&w, "meta/v1.APIResourceList");
	oa_want_name(&w, "meta/v1.WatchEvent");
	oa_definitions(&w);
	oa_close(&w);
	oa_open(&w, "securitySchemes", NULL);
	oa_open(&w, "BearerToken", NULL);
	oa_text(&w, "description", 0, "A bearer token.");
	oa_text(&w, "type", 0, "apiKey");
	oa_text(&w, "name", 0, "authorization");
	oa_text(&w, "in", 0, "header");
	oa_close(&w);
	oa_close(&w);
	oa_close(&w);
	oa_end(&w);
}

/* "api/v1", "apis/apps/v1" */
static void oa_gv_path(const struct resource *r, struct buf *out)
{
	buf_addf(out, "%s/%s", *r->group ? "apis" : "api", r->api_version);
}

bool schema_openapi_v3(struct str path, struct buf *out)
{
	_cleanup_buf_ struct buf name = BUF_INIT;

	for (size_t i = 0, n; i < schema_n_resources; i += n) {
		n = oa_run(i);
		buf_clear(&name);
		oa_gv_path(&schema_resources[i].r, &name);
		if (!schema_resources[i].served || !str_eq(path, buf_str(&name)))
			continue;
		oa_v3(&schema_resources[i], n, out);
		return true;
	}
	for (const struct schema_res *r = schema_next(NULL); r; r = schema_next(r)) {
		buf_clear(&name);
		oa_gv_path(&r->r, &name);
		if (!r->custom || !r->served || !str_eq(path, buf_str(&name)))
			continue;
		oa_v3(r, 0, out);
		return true;
	}
	return false;
}

/* What the document of a custom resource's group version depends on, instead of the document. */
static void oa_custom_hash(const struct schema_res *first, char hex[DIGEST_SHA256_HEX])
{
	_cleanup_buf_ struct buf b = BUF_INIT;

	buf_adds(&b, SCHEMA_KUBERNETES_VERSION);
	for (const struct schema_res *r = first; r && streq(r->r.api_version, first->r.api_version); r = schema_next(r))
		if (r->custom && r->served)
			buf_addf(&b, " %s %s %s %" PRId64, r->custom->crd->uid, r->r.kind, r->r.list_kind,
				 r->custom->schema_rv);
	digest_sha256_hex(buf_str(&b), hex);
	for (char *c = hex; *c; c++)
		if (*c >= 'a' && *c <= 'f')
			*c += 'A' - 'a';
}

static void oa_custom_index(struct buf *out)
{
	_cleanup_buf_ struct buf path = BUF_INIT;
	const char *last = "";

	for (const struct schema_res *r = schema_next(NULL); r; r = schema_next(r)) {
		char hex[DIGEST_SHA256_HEX];

		if (!r->custom || !r->served || streq(last, r->r.api_version))
			continue;
		last = r->r.api_version;
		buf_clear(&path);
		oa_gv_path(&r->r, &path);
		oa_custom_hash(r, hex);
		buf_addf(out, ",\"%s\":{\"serverRelativeURL\":\"/openapi/v3/%s?hash=%s\"}", path.s, path.s, hex);
	}
}

/* The tables are constant, so a document's hash is computed once; slot: its place among the group versions.
 */
static const char *oa_hash(size_t slot, size_t first, size_t n)
{
	enum { MAX_GROUP_VERSIONS = 96 };
	static char hashes[MAX_GROUP_VERSIONS][DIGEST_SHA256_HEX];
	_cleanup_buf_ struct buf doc = BUF_INIT;
	char *h;

	BUG_ON(slot >= MAX_GROUP_VERSIONS);
	h = hashes[slot];
	if (*h)
		return h;
	oa_v3(&schema_resources[first], n, &doc);
	digest_sha256_hex(buf_str(&doc), h);
	for (char *c = h; *c; c++)
		if (*c >= 'a' && *c <= 'f')
			*c += 'A' - 'a';
	return h;
}

void schema_openapi_v3_index(struct buf *out)
{
	_cleanup_buf_ struct buf path = BUF_INIT;
	bool first = true;
	size_t slot = 0;

	buf_adds(out, "{\"paths\":{");
	for (size_t i = 0, n; i < schema_n_resources; i += n, slot++) {
		n = oa_run(i);
		if (!schema_resources[i].served)
			continue;
		buf_clear(&path);
		oa_gv_path(&schema_resources[i].r, &path);
		buf_addf(out, "%s\"%s\":{\"serverRelativeURL\":\"/openapi/v3/%s?hash=%s\"}", first ? "" : ",",
			 path.s, path.s, oa_hash(slot, i, n));
		first = false;
	}
	oa_custom_index(out);
	buf_adds(out, "}}\n");
}
