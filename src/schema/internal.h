/*
 * The shape of the generated type tables (tables.gen.c, made by
 * scripts/gen-schema from the .tsv files) and what the files of this folder
 * share. Private to src/schema.
 *
 * All tables are constant and joined by indexes; strings are offsets into one
 * pool (SCHEMA_STR), so that they need no relocation and stay clean pages of the
 * file. Offset 0 is the empty string and means "none". Types are sorted by name,
 * so is an index order of schema_types an order of names.
 *
 * A type's fields stand in Go's order. Embedded structs (`*inline`) are dissolved
 * into the fields of the outer type; schema_field.embedded keeps the number that
 * protobuf needs. TypeMeta's fields (apiVersion, kind) come first and have
 * number 0.
 */
#ifndef SCHEMA_INTERNAL_H
#define SCHEMA_INTERNAL_H

#include "schema/schema.h"

extern const char schema_pool[];
#define SCHEMA_STR(off) (schema_pool + (off))

enum schema_kind { /* of a value, or of a list's or map's items */
	SK_STRING, SK_BOOL, SK_INT32, SK_INT64, SK_FLOAT64,
	SK_BYTES, /* base64 in JSON */
	SK_QUANTITY, SK_INTORSTRING,
	SK_TIME, /* RFC 3339 in seconds */
	SK_MICROTIME, SK_DURATION,
	SK_RAW, /* runtime.RawExtension: an object, not looked into */
	SK_FIELDSV1, /* an object, not looked into */
	SK_JSON, SK_ANY, /* any value */
	SK_OBJECT, /* any object */
	SK_REF /* another type: schema_field.type */
};
enum schema_shape { SH_ONE, SH_LIST, SH_MAP /* string keys */ };

enum { /* bits of schema_field.flags */
	SF_REQUIRED = 1 << 0,
	SF_OPTIONAL = 1 << 1,
	SF_NULLABLE = 1 << 2, /* a Go pointer, list or map: nil is told from empty */
	SF_OMITEMPTY = 1 << 3,
	SF_ENUM = 1 << 4, /* values is a closed set; else known examples */
	SF_DEPRECATED = 1 << 5,
	SF_PATCH_MERGE = 1 << 6, /* patchStrategy=merge */
	SF_PATCH_REPLACE = 1 << 7, /* patchStrategy=replace */
	SF_PATCH_RETAIN_KEYS = 1 << 8,
	SF_LIST_ATOMIC = 1 << 9,
	SF_LIST_SET = 1 << 10,
	SF_LIST_MAP = 1 << 11, /* by list_keys */
	SF_MAP_ATOMIC = 1 << 12,
	SF_MAP_GRANULAR = 1 << 13,
	SF_STRUCT_ATOMIC = 1 << 14, /* structType=atomic */
	SF_PROTO_REPEATED = 1 << 15,
	SF_FILL = 1 << 16, /* Go writes it even when it was not set: {}, null, "", 0 or false */
	SF_STRUCT_GRANULAR = 1 << 17, /* structType=granular, whatever the type says */
};

struct schema_field {
	uint32_t flags; /* SF_* */
	uint32_t desc; /* pool: one or more sentences; 0: none */
	uint32_t dflt; /* pool: the +default marker's value as JSON text; 0: none */
	uint32_t named; /* pool: Go's named string type ("PullPolicy", "core/v1.Protocol"); 0: none */
	uint16_t name; /* enum field; text: doc_field_name() */
	uint16_t number; /* protobuf; 0: none */
	uint16_t type; /* SK_REF: index into schema_types */
	uint16_t values; /* index into schema_values; 0: none */
	uint16_t list_keys; /* index into schema_keys; 0: none */
	uint16_t merge_key; /* patchMergeKey: enum field; F_NONE: none */
	uint8_t kind; /* enum schema_kind */
	uint8_t shape; /* enum schema_shape */
	uint8_t embedded; /* protobuf number of the embedded message that holds it; 0: none */
	uint8_t rules; /* how many rows of schema_rules are about it; found with schema_field_rules */
};

enum { /* bits of schema_type.flags */
	ST_KIND = 1 << 0, /* a runtime object with apiVersion and kind */
	ST_CLUSTER = 1 << 1, /* not namespaced */
	ST_ALIAS = 1 << 2, /* a named list or map: its only field (without name) says what of */
	ST_OPAQUE = 1 << 3, /* several JSON shapes (JSONSchemaPropsOrBool): not looked into */
	ST_SCALAR = 1 << 4, /* written as one JSON string or number (meta/v1.Time); only here for its description */
	ST_UNION = 1 << 5,
	ST_ATOMIC = 1 << 6, /* structType=atomic */
	ST_REMOVED = 1 << 7, /* of an API version that is served no more */
};

struct schema_type {
	uint32_t name; /* pool: "core/v1.Pod", "meta/v1.ObjectMeta", "resource.Quantity" */
	uint32_t desc; /* pool; 0: none */
	uint16_t fields; /* index of the first in schema_fields */
	uint16_t n_fields;
	uint16_t flags; /* ST_* */
	uint16_t defaults; /* index of the first in schema_defaults */
	uint16_t n_defaults;
};

/* What declarative validation says beyond required, enum and list keys. */
enum schema_rule_kind { SR_MINIMUM, SR_MIN_LENGTH, SR_MAX_LENGTH, SR_MAX_ITEMS, SR_MAX_BYTES, SR_FORMAT, SR_PATTERN };
struct schema_rule {
	uint16_t field; /* index into schema_fields; rows are sorted by it */
	uint16_t what; /* enum schema_rule_kind */
	int32_t n; /* a number, or a pool offset (format, pattern) */
};

/* One row of columns.tsv. */
struct schema_column {
	uint32_t name, type, format; /* pool */
	uint32_t desc; /* pool */
	int priority;
};

struct schema_selectable {
	uint32_t field; /* pool: the label */
	uint32_t path; /* pool: where the value is; the same offset when it is the label */
};

struct table_row; /* table.h */

/* What struct schema_res does not say; same index as schema_resources. */
struct schema_res_extra {
	uint16_t columns, n_columns; /* of schema_columns; 0 rows: Name and Created At */
	uint16_t selectable, n_selectable;
	uint16_t storage; /* index into schema_resources */
	/* Writes the cells of those columns (table-*.c). NULL: no columns of its own. */
	void (*row)(struct table_row *w, const struct node *n);
};

extern const struct schema_type schema_types[];
extern const size_t schema_n_types;
extern const struct schema_field schema_fields[];
extern const size_t schema_n_fields;
extern const uint16_t schema_field_names[]; /* schema_fields[i].name, tight for scanning */
extern const uint32_t schema_values[]; /* at values: a count, then as many pool offsets */
extern const uint16_t schema_keys[]; /* at list_keys: enum field ..., F_NONE */
extern const struct schema_rule schema_rules[];
extern const size_t schema_n_rules;
extern const struct schema_column schema_columns[];
extern const struct schema_selectable schema_selectables[];
extern const struct schema_res_extra schema_res_extras[];
/* Group names in discovery order ("" first), served or not: pool offsets. */
extern const uint32_t schema_groups[];
extern const size_t schema_n_groups;

/* --- defaults.tsv, compiled --- */
/* A path is a row of uint16: enum field ids, these marks, SP_END. */
enum { SP_END = 0, SP_ITEMS = 0xfffe /* [] */, SP_KEYS = 0xfffd /* [r] */ };
extern const uint16_t schema_paths[];
enum schema_default_value {
	DV_INT, /* n */
	DV_BOOL, /* n */
	DV_STRING, /* n: pool */
	DV_JSON, /* n: pool, JSON text */
	DV_COPY, /* n: schema_paths, from the type's own object */
	DV_REMOVE, /* null */
	DV_COMPUTED /* by the condition's own code */
};
struct schema_dflt {
	uint32_t n;
	uint16_t path; /* index into schema_paths */
	uint8_t cond; /* enum schema_cond, generated */
	uint8_t value; /* enum schema_default_value */
};
extern const struct schema_dflt schema_defaults[];

/* --- lookups (tables.c) --- */
const struct schema_type *schema_type_find(struct str name);
static inline const char *schema_type_name(const struct schema_type *t)
{
	return SCHEMA_STR(t->name);
}
/* "v1.Pod" of "core/v1.Pod": Go's name for it in error texts. */
const char *schema_type_go(const struct schema_type *t);
/* "Pod" */
const char *schema_type_base(const struct schema_type *t);
const struct schema_field *schema_type_field(const struct schema_type *t, enum field f);
static inline const struct schema_field *schema_type_fields(const struct schema_type *t)
{
	return schema_fields + t->fields;
}
static inline const struct schema_type *schema_field_type(const struct schema_field *f)
{
	return f->kind == SK_REF ? &schema_types[f->type] : NULL;
}
/* The first of f->rules rows. */
const struct schema_rule *schema_field_rules(const struct schema_field *f);
static inline size_t schema_field_n_values(const struct schema_field *f)
{
	return f->values ? schema_values[f->values] : 0;
}
static inline const char *schema_field_value_at(const struct schema_field *f, size_t i)
{
	return SCHEMA_STR(schema_values[f->values + 1 + i]);
}
/* NULL: a custom resource, the tables say nothing of it. */
static inline const struct schema_res_extra *schema_extra(const struct schema_res *r)
{
	return r->custom ? NULL : &schema_res_extras[r - schema_resources];
}

/* "Guaranteed", "Burstable", "BestEffort" (strategy.c) */
const char *schema_pod_qos(const struct node *spec);

/* What the containers of a pod's spec request of one resource together; false: none requests any. */
bool schema_sum_requests(const struct node *spec, struct str name, struct quantity *sum);

/* Go's zero value of a scalar field, as it prints; NULL for bytes, structures and what has no type of its own. */
struct node *schema_zero(struct doc *d, const struct schema_field *f);
/* What Go writes for an SF_FILL field that was not set. */
struct node *schema_fill_value(struct doc *d, const struct schema_field *f);

#endif
