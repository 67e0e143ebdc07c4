/*
 * The schema: what the Kubernetes types are, as tables generated at build time
 * from types.tsv, resources.tsv, defaults.tsv, columns.tsv and selectable.tsv.
 * Decoding, defaulting, validation, strategic merge, OpenAPI, discovery and
 * tables all walk these; nothing about a type is written twice. What Kubernetes
 * validates by hand is by hand here too (valid-*.c), one file for each group of
 * kinds, entered in one table.
 */
#ifndef SCHEMA_SCHEMA_H
#define SCHEMA_SCHEMA_H

#include "obj/obj.h"

/* The release whose API the tables describe. */
#define SCHEMA_KUBERNETES_VERSION "v1.36.2"

/* --- resources --- */
struct schema_type; /* private */
struct schema_custom;

enum { /* bits of struct schema_res.verbs, named as RBAC names them */
	SV_GET = 1, SV_LIST = 2, SV_WATCH = 4, SV_CREATE = 8, SV_UPDATE = 16, SV_PATCH = 32,
	SV_DELETE = 64, SV_DELETECOLLECTION = 128
};

struct schema_subres {
	const char *name; /* "status" */
	const char *kind; /* "Scale" */
	const char *group, *version; /* of the kind; NULL: the parent's */
	unsigned verbs;
};

struct schema_res {
	struct resource r; /* first: a struct resource * may be cast back */
	unsigned verbs;
	const char *const *short_names; /* NULL-terminated; never NULL */
	const char *const *categories;
	const struct schema_subres *subres;
	size_t n_subres;
	const struct schema_type *type;
	bool preferred; /* this version is the group's preferred one */
	bool served; /* false: another server's (aggregated) */
	bool is_virtual; /* no storage: bindings, reviews, componentstatuses */
	bool volatile_tier; /* Events, Leases: rarely written to disk */
	/* A version that Kubernetes dropped, served by conversion: what a Warning header says of it. Else NULL. */
	const char *deprecation;
	const struct schema_custom *custom; /* of a CustomResourceDefinition (custom.h); then type is NULL */
};

/* group "" is core. NULL when unknown or not served. */
const struct schema_res *schema_find(struct str group, struct str version, struct str plural);
const struct schema_res *schema_find_kind(struct str group, struct str version, struct str kind);
/* From "apps/v1" and "Deployment". */
const struct schema_res *schema_find_api(struct str api_version, struct str kind);
/* The one that is stored and that other versions convert to. */
const struct schema_res *schema_storage(const struct schema_res *r);
const struct schema_subres *schema_subres(const struct schema_res *r, struct str name);
/* Those of the tables, in discovery order: core first, then groups by priority, versions newest first. */
extern const struct schema_res schema_resources[];
extern const size_t schema_n_resources;
/* All that are known now, in discovery order, custom ones too; starts with NULL, ends with NULL. */
const struct schema_res *schema_next(const struct schema_res *prev);
bool schema_group_served(struct str group);
/* For the code that means one kind. */
const struct resource *schema_res(const char *group, const char *plural); /* the preferred version; dies when unknown */

/* --- a document on its way in --- */
struct schema_issue { /* what strict decoding finds */
	struct schema_issue *next;
	char *text; /* `unknown field "spec.foo"`, `duplicate field "metadata.name"` */
};
struct schema_issue *schema_issues_free(struct schema_issue *i);

/* Checks the shape against the type: JSON types, int ranges, base64, times, quantities; drops unknown
 * fields (collecting them in *issues when not NULL), drops null members as Go's decoder does. A wrong type
 * is ERR_BAD_REQUEST in Kubernetes' words, whole: `Pod in version "v1" cannot be handled as a Pod: json:
 * cannot unmarshal string into Go struct field ...` (schema_decode_type: from "json:" on). */
int schema_decode(const struct schema_res *r, struct doc *d, struct schema_issue **issues,
		  struct err *e) MUST_CHECK;
/* The same for a type by name ("meta/v1.DeleteOptions", "core/v1.PodExecOptions", "autoscaling/v1.Scale"). */
int schema_decode_type(const char *type, struct doc *d, struct schema_issue **issues,
		       struct err *e) MUST_CHECK;
/* A body in Kubernetes' protobuf form ("k8s\0" and a runtime.Unknown) as the JSON document that it stands for;
 * decode and default follow as for any other. */
int schema_from_protobuf(struct doc **ret, struct str bytes, struct err *e) MUST_CHECK;
bool schema_is_protobuf(struct str bytes);
/* Constants and copies of defaults.tsv, and the computed ones that it names, and whatever else Go's encoder
 * writes unasked ("resources": {}, "eventTime": null); Secret.stringData becomes data. Idempotent. */
void schema_default(const struct schema_res *r, struct doc *d);
/* What an object becomes before its first store: status dropped where a status subresource exists, and the
 * fields that a create or update must not set, generation, per kind (schema/strategy.c). old NULL: create;
 * uid and name are set by then. For an update through a subresource: d is the whole object as sent. */
void schema_prepare(const struct schema_res *r, struct doc *d, const struct node *old, const char *subresource);
/* Dotted paths ("*": any item of a list) of the fields that this undoes, so that no write through subresource
 * ("": the object) comes to own them; *only: of those alone that it does not undo. */
const char *const *schema_reset_fields(const struct schema_res *r, const char *subresource, size_t *n, bool *only);

/* Every error of the object at once as ERR_INVALID with causes in field order:
 * `Pod "x" is invalid: spec.containers[0].name: Required value`. Generic rules (required, enum, names,
 * labels, metadata) and the hand-written ones. old NULL: create. subresource: NULL, "status", ... */
int schema_validate(const struct schema_res *r, const struct node *root, const struct node *old,
		    const char *subresource, struct err *e) MUST_CHECK;
/* Of a Service's addresses and IP families alone: what allocation takes for granted. */
int schema_validate_service_ips(const struct schema_res *r, const struct node *root, struct err *e) MUST_CHECK;
/* Warnings for headers (deprecated fields, suspicious values): f for each text. */
void schema_warnings(const struct schema_res *r, const struct node *root,
		     void (*f)(void *arg, const char *text), void *arg);

/* Strategic merge patch with $patch, $deleteFromPrimitiveList, $setElementOrder, $retainKeys. */
int schema_patch_strategic(const struct schema_res *r, struct doc *d, const struct node *patch,
			   struct err *e) MUST_CHECK;

/* names: IsDNS1123Label, IsDNS1123Subdomain, ...: NULL when fine, else Kubernetes' message (static). */
const char *schema_check_dns_label(struct str s);
const char *schema_check_dns_subdomain(struct str s);
const char *schema_check_qualified_name(struct str s); /* label and annotation keys */
const char *schema_check_label_value(struct str s);

/* --- selection --- */
/* The value of a selectable field of r ("status.phase"); false: the field may not be selected. */
bool schema_field_value(const struct schema_res *r, const struct node *root, const char *path,
			struct buf *scratch, struct str *ret);
/* ERR_BAD_REQUEST `field label not supported: x` for the first one that may not be selected. */
int schema_check_fieldsel(const struct schema_res *r, const struct fieldsel *s, struct err *e) MUST_CHECK;
bool schema_fieldsel_match(const struct schema_res *r, const struct fieldsel *s, const struct node *root);

/* --- documents on their way out --- */
/* Appends `"columnDefinitions":[...]` and one row's `"cells":[...]`: meta.k8s.io/v1 Table, with the
 * columns and cell values that kube-apiserver prints. now: unix seconds. */
void schema_table_columns(const struct schema_res *r, struct buf *out);
void schema_table_cells(const struct schema_res *r, const struct node *root, int64_t now, struct buf *out);

/* Discovery: /api, /apis, /api/v1, /apis/G, /apis/G/V bodies; aggregated (apidiscovery.k8s.io/v2, or
 * v2beta1) for core (true) or the groups. */
void schema_discovery_root(bool core, const char *server_address, struct buf *out);
bool schema_discovery_group(struct str group, struct buf *out); /* APIGroup; false: unknown */
bool schema_discovery_version(struct str group, struct str version, struct buf *out); /* APIResourceList */
void schema_discovery_aggregated(bool core, const char *version, struct buf *out);

/* OpenAPI. v2 whole, as JSON or protobuf (gnostic); v3 index and one document for each group version
 * ("api/v1", "apis/apps/v1"). The hash in the index changes only when the document does. */
void schema_openapi_v2(bool protobuf, struct buf *out);
void schema_openapi_v3_index(struct buf *out);
bool schema_openapi_v3(struct str path, struct buf *out);

#endif
