/*
 * The types of the tables as field sets see them (struct fs_type).
 *
 * A structure is a granular map unless it is marked atomic, at its type or where it
 * is used; a list is atomic unless its field says set or map; a map is granular
 * unless marked. What is not looked into (RawExtension, any object) has its shape
 * deduced; values of several forms (JSON) are one piece.
 */
#include "schema/apply.h"
#include "schema/crd.h"

enum { /* struct fs_type.how: what `at` is and how it is meant */
	HOW_TYPE, /* a structure: struct schema_type */
	HOW_TYPE_ATOMIC,
	HOW_FIELD, /* a list or map: struct schema_field */
	HOW_SCALAR, /* struct schema_field */
	HOW_PIECE, /* any value, in one piece */
};

static const struct fs_ops table_ops;

static struct fs_type table_type(const struct schema_type *t, bool atomic);

/* A field's value, or an item of it when it is a list or map. */
static struct fs_type table_value(const struct schema_field *f)
{
	const struct schema_type *t = schema_field_type(f);

	switch ((enum schema_kind)f->kind) {
	case SK_REF:
		if (t->flags & ST_SCALAR)
			return (struct fs_type){ &table_ops, f, HOW_SCALAR };
		return table_type(t, (f->flags & SF_STRUCT_ATOMIC) ||
					     ((t->flags & ST_ATOMIC) && !(f->flags & SF_STRUCT_GRANULAR)));
	case SK_RAW:
	case SK_FIELDSV1:
	case SK_OBJECT:
		return (struct fs_type){ NULL, NULL, 0 };
	case SK_JSON:
	case SK_ANY:
		return (struct fs_type){ &table_ops, NULL, HOW_PIECE };
	default:
		return (struct fs_type){ &table_ops, f, HOW_SCALAR };
	}
}

static struct fs_type table_field(const struct schema_field *f)
{
	return f->shape == SH_ONE ? table_value(f) : (struct fs_type){ &table_ops, f, HOW_FIELD };
}

static struct fs_type table_type(const struct schema_type *t, bool atomic)
{
	if (t->flags & ST_OPAQUE)
		return (struct fs_type){ &table_ops, NULL, HOW_PIECE };
	if (t->flags & ST_ALIAS)
		return table_field(schema_type_fields(t));
	return (struct fs_type){ &table_ops, t, atomic ? HOW_TYPE_ATOMIC : HOW_TYPE };
}

struct fs_type fs_type_of(const struct schema_res *r)
{
	return r->custom ? crd_fs_type(r) : table_type(r->type, false);
}

struct fs_type fs_type_named(const char *type)
{
	const struct schema_type *t = schema_type_find(str_of(type));

	BUG_ON(!t);
	return table_type(t, false);
}

static enum fs_kind table_kind_of_field(const struct schema_field *f)
{
	if (f->shape == SH_MAP)
		return f->flags & SF_MAP_ATOMIC ? FS_MAP_ATOMIC : FS_MAP;
	if ((f->flags & SF_LIST_MAP) && f->list_keys)
		return FS_LIST_MAP;
	return f->flags & SF_LIST_SET ? FS_LIST_SET : FS_LIST_ATOMIC;
}

static enum fs_kind table_kind(struct fs_type t, const struct node *v)
{
	switch (t.how) {
	case HOW_TYPE:
		return FS_MAP;
	case HOW_TYPE_ATOMIC:
		return FS_MAP_ATOMIC;
	case HOW_FIELD:
		return table_kind_of_field(t.at);
	case HOW_SCALAR:
		return FS_SCALAR;
	default:
		return node_is(v, DOC_OBJECT) ? FS_MAP_ATOMIC : node_is(v, DOC_ARRAY) ? FS_LIST_ATOMIC : FS_SCALAR;
	}
}

static enum fs_scalar table_scalar(struct fs_type t)
{
	const struct schema_field *f = t.at;

	if (t.how != HOW_SCALAR)
		return FS_ANY;
	switch ((enum schema_kind)f->kind) {
	case SK_STRING:
	case SK_BYTES:
	case SK_TIME:
	case SK_MICROTIME:
	case SK_DURATION:
		return FS_STRING;
	case SK_BOOL:
		return FS_BOOL;
	case SK_INT32:
	case SK_INT64:
	case SK_FLOAT64:
		return FS_NUMBER;
	default:
		return FS_ANY;
	}
}

static const char *table_key(struct fs_type t, size_t i)
{
	const struct schema_field *f = t.at;
	enum field name = t.how == HOW_FIELD ? (enum field)schema_keys[f->list_keys + i] : F_NONE;

	return name == F_NONE ? NULL : doc_field_name(name);
}

static struct str table_key_default(struct fs_type t, const char *key)
{
	const struct schema_type *item = schema_field_type(t.at);
	const struct schema_field *f = item ? schema_type_field(item, doc_field(str_of(key))) : NULL;

	return f && f->dflt ? str_of(SCHEMA_STR(f->dflt)) : STR_NONE;
}

static struct fs_type table_item(struct fs_type t)
{
	return t.how == HOW_FIELD ? table_value(t.at) : (struct fs_type){ NULL, NULL, 0 };
}

static bool table_member(struct fs_type t, struct str key, struct fs_type *ret, bool *named)
{
	const struct schema_field *f;

	*named = t.how == HOW_TYPE || t.how == HOW_TYPE_ATOMIC;
	if (!*named) {
		*ret = table_item(t);
		return true;
	}
	f = schema_type_field(t.at, doc_field(key));
	if (f)
		*ret = table_field(f);
	return f;
}

static struct node *table_zero_of(const struct schema_type *t, struct doc *d)
{
	const struct schema_field *f = schema_type_fields(t);
	struct node *n = node_new(d, DOC_OBJECT), *v;

	for (unsigned i = 0; i < t->n_fields; i++, f++) {
		if (!(f->flags & SF_FILL))
			continue;
		v = schema_fill_value(d, f);
		if (node_is(v, DOC_OBJECT) && !(schema_field_type(f)->flags & (ST_ALIAS | ST_SCALAR)))
			v = table_zero_of(schema_field_type(f), d);
		node_set(d, n, (enum field)f->name, v);
	}
	return n;
}

static struct node *table_zero(struct fs_type t, struct doc *d)
{
	return t.how == HOW_TYPE ? table_zero_of(t.at, d) : NULL;
}

static const struct fs_ops table_ops = { table_kind, table_scalar, table_key, table_key_default, table_item,
					 table_member, table_zero };
