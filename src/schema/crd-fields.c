/*
 * The types of custom resources as field sets see them (struct fs_type): their
 * schemas' nodes. Lists are atomic unless x-kubernetes-list-type says set or map,
 * objects granular unless x-kubernetes-map-type says atomic; metadata, of the
 * resource itself and of embedded ones, is everybody's; what a schema preserves
 * but does not know has its type deduced.
 */
#include "schema/apply.h"
#include "schema/crd.h"

enum { HOW_PLAIN, HOW_RESOURCE /* has apiVersion, kind and metadata */, HOW_NAME /* of those: a string */ };

static const struct fs_ops custom_ops;

static const struct fs_type custom_deduced;

static struct fs_type custom_type(const struct node *schema)
{
	if (!schema || schema_custom_shape(schema) == SCS_UNTYPED)
		return custom_deduced;
	return (struct fs_type){ &custom_ops, schema, crd_is_embedded(schema) ? HOW_RESOURCE : HOW_PLAIN };
}

struct fs_type crd_fs_type(const struct schema_res *r)
{
	return (struct fs_type){ &custom_ops, schema_custom_schema(r->custom), HOW_RESOURCE };
}

static enum fs_kind custom_kind(struct fs_type t, const struct node *v)
{
	if (t.how == HOW_NAME)
		return FS_SCALAR;
	switch (t.at ? schema_custom_shape(t.at) : SCS_STRUCT) {
	case SCS_LIST:
		return FS_LIST_ATOMIC;
	case SCS_LIST_SET:
		return FS_LIST_SET;
	case SCS_LIST_MAP:
		return FS_LIST_MAP;
	case SCS_ATOMIC_MAP:
		return FS_MAP_ATOMIC;
	case SCS_SCALAR:
		return FS_SCALAR;
	default:
		return FS_MAP;
	}
}

static enum fs_scalar custom_scalar(struct fs_type t)
{
	const char *type = t.at ? node_gets(t.at, F_type) : "";

	if (t.how == HOW_NAME || streq(type, "string"))
		return FS_STRING;
	if (streq(type, "integer") || streq(type, "number"))
		return FS_NUMBER;
	return streq(type, "boolean") ? FS_BOOL : FS_ANY;
}

static const char *custom_key(struct fs_type t, size_t i)
{
	return node_cstr(node_at(schema_custom_list_keys(t.at), i));
}

static struct str custom_key_default(struct fs_type t, const char *key)
{
	static struct buf text = BUF_INIT; /* read before the next call */
	const struct node *property = schema_custom_member(schema_custom_items(t.at), str_of(key));
	const struct node *value = node_get(property, F_default);

	if (!value)
		return STR_NONE;
	buf_clear(&text);
	doc_print_json(&text, value, DOC_PRINT_COMPACT);
	return buf_str(&text);
}

static struct fs_type custom_item(struct fs_type t)
{
	return custom_type(schema_custom_items(t.at));
}

static bool custom_member(struct fs_type t, struct str key, struct fs_type *ret, bool *named)
{
	const struct node *property = node_getk(node_get(t.at, F_properties), key), *more = node_get(t.at, F_additionalProperties);

	*named = true;
	if (t.how == HOW_RESOURCE && str_eqc(key, "metadata")) {
		*ret = fs_type_named("meta/v1.ObjectMeta");
		return true;
	}
	if (t.how == HOW_RESOURCE && (str_eqc(key, "apiVersion") || str_eqc(key, "kind"))) {
		*ret = (struct fs_type){ &custom_ops, NULL, HOW_NAME };
		return true;
	}
	if (property) {
		*ret = custom_type(property);
		return true;
	}
	*named = !more;
	*ret = node_is(more, DOC_OBJECT) ? custom_type(more) : custom_deduced;
	return more || crd_preserves(t.at);
}

static struct node *custom_zero(struct fs_type t, struct doc *d)
{
	return NULL;
}

static const struct fs_ops custom_ops = { custom_kind, custom_scalar, custom_key, custom_key_default, custom_item,
					  custom_member, custom_zero };
