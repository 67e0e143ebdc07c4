/*
 * What the crd-*.c files share, and what the other files of this folder ask of
 * them when a resource is a custom one. Private to src/schema.
 *
 * Schemas are walked as documents: a `schema` here is a node of an
 * openAPIV3Schema, NULL where nothing is known.
 */
#ifndef SCHEMA_CRD_H
#define SCHEMA_CRD_H

#include "schema/custom.h"
#include "schema/internal.h"

struct valid;
struct vpath;
struct oa;
struct table_row;

/* --- registry --- */
const struct schema_res *crd_find(struct str group, struct str version, struct str plural);
const struct schema_res *crd_find_kind(struct str group, struct str version, struct str kind);
/* v2 before v1 before v1beta1: Kubernetes' order of versions, as for qsort. */
int schema_version_cmp(const char *a, const char *b);

/* --- documents (crd-prune.c) --- */
int crd_decode(const struct schema_res *r, struct doc *d, struct schema_issue **issues, struct err *e) MUST_CHECK;
void crd_default(const struct schema_res *r, struct doc *d);
/* What a value becomes under a schema: without unknown members. True when something went. */
bool crd_prune_value(struct doc *d, struct node *n, const struct node *schema, bool resource);
void crd_default_value(struct doc *d, struct node *n, const struct node *schema);
bool crd_preserves(const struct node *schema);
bool crd_is_embedded(const struct node *schema);
/* metadata, wherever it stands (decode.c); path: "metadata" */
int decode_meta(struct doc *d, struct node *meta, const char *path, struct schema_issue **issues,
		struct err *e) MUST_CHECK;
/* Adds `unknown field "path"` behind the last of the list. */
void decode_issue(struct schema_issue ***at, unsigned *n, const char *path);

/* --- values (crd-value.c) --- */
void v_custom(struct valid *v);
/* n against schema; path as text ("spec.x"; "" for the root); old: the former value, whose faults are
 * forgiven where nothing changed. */
bool crd_value(struct valid *v, const char *path, const struct node *n, const struct node *schema,
	       const struct node *old);
/* Kubernetes' formats; true for those that it does not know. */
bool crd_format_ok(struct str format, struct str value);
bool crd_format_known(const char *format);
/* NULL when the pattern cannot be compiled; kept for the next who asks. */
struct regex;
const struct regex *crd_pattern(struct str pattern, struct err *e);

/* --- definitions (crd-check.c, crd-struct.c) --- */
void v_custom_resource_definition(struct valid *v);
void crd_structural(struct valid *v, const struct vpath *p, const struct node *schema);

/* --- tables and selectors (crd-table.c) --- */
void crd_table_columns(const struct schema_res *r, struct buf *out);
void crd_table_cells(const struct schema_res *r, const struct node *root, int64_t now, struct buf *out);
/* NULL: the field may not be selected; else its path in the object. */
const char *crd_selectable(const struct schema_res *r, const char *label);
bool crd_has_selectable(const struct schema_res *r);

/* --- JSON paths (crd-path.c) --- */
struct jsonpath;
int jsonpath_parse(struct jsonpath **ret, struct str text, struct err *e) MUST_CHECK;
struct jsonpath *jsonpath_free(struct jsonpath *p);
/* Calls found for each value; false from it ends the walk. */
void jsonpath_eval(const struct jsonpath *p, const struct node *root,
		   bool (*found)(void *arg, const struct node *n), void *arg);

/* --- field sets (crd-fields.c) --- */
struct fs_type;
struct fs_type crd_fs_type(const struct schema_res *r);

/* --- OpenAPI (crd-openapi.c) --- */
/* The definitions of a resource and of its list. */
void crd_oa_definitions(struct oa *w, const struct schema_res *r);
/* "com.example.v1.Foo"; list: "com.example.v1.FooList" */
void crd_oa_name(const struct schema_res *r, bool list, struct buf *out);
/* {"$ref": that}: members of the open object. */
void crd_oa_ref(struct oa *w, const struct schema_res *r, bool list);

#endif
