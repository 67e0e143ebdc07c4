/*
 * Bodies in Kubernetes' protobuf form, as documents.
 *
 * kubectl 1.32 and newer, and every client of client-go's typed kind that asks
 * for it, send what they create in it: four bytes "k8s\0", then a runtime.Unknown
 * { typeMeta = 1 { apiVersion = 1, kind = 2 }, raw = 2, contentEncoding = 3,
 * contentType = 4 }; raw is the message of the kind. The field numbers are those
 * of the type tables, so every type can be read; nothing is ever written (every
 * such client takes JSON for an answer).
 *
 * What comes out is the JSON that the same Go object would make: a field that is
 * no pointer and says omitempty is left out when it is zero (the wire carries
 * zeros), structs are {}, a zero time is absent. Embedded structs that are
 * messages of their own on the wire dissolve into their outer object
 * (schema_field.embedded). Numbers that no field has are skipped, as protobuf
 * has it. Every length is checked against what is left; depth and number of
 * values are limited as for JSON.
 */
#include "schema/internal.h"

#include <stdio.h>

#include "base/limits.h"
#include "base/time.h"

enum { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };

struct proto {
	struct doc *d;
	size_t values;
	int depth;
	struct err *e;
};

/* One field of a message as it stands on the wire. */
struct proto_item {
	uint32_t number;
	int wire;
	uint64_t n; /* varint, fixed */
	struct str s; /* bytes */
};

static int proto_message(struct proto *p, const struct schema_type *t, unsigned embedded, struct str in,
			 struct node *into);

static int proto_bad(struct proto *p, const char *what)
{
	return err_set(p->e, ERR_BAD_REQUEST, "proto: %s", what);
}

static bool proto_varint(struct str *in, uint64_t *ret)
{
	*ret = 0;
	for (unsigned shift = 0; shift < 64 && in->n; shift += 7) {
		uint8_t b = (uint8_t)*in->p++;

		in->n--;
		*ret |= (uint64_t)(b & 0x7f) << shift;
		if (!(b & 0x80))
			return true;
	}
	return false;
}

static bool proto_fixed(struct str *in, size_t n, uint64_t *ret)
{
	if (in->n < n)
		return false;
	*ret = 0;
	for (size_t i = 0; i < n; i++)
		*ret |= (uint64_t)(uint8_t)in->p[i] << (8 * i);
	*in = str_sub(*in, n, in->n);
	return true;
}

static bool proto_next(struct str *in, struct proto_item *i)
{
	uint64_t tag, n;

	if (!proto_varint(in, &tag) || tag >> 3 == 0 || tag >> 3 > 0x1fffffff)
		return false;
	*i = (struct proto_item){ .number = (uint32_t)(tag >> 3), .wire = (int)(tag & 7) };
	switch (i->wire) {
	case WIRE_VARINT:
		return proto_varint(in, &i->n);
	case WIRE_FIXED64:
		return proto_fixed(in, 8, &i->n);
	case WIRE_FIXED32:
		return proto_fixed(in, 4, &i->n);
	case WIRE_BYTES:
		if (!proto_varint(in, &n) || n > in->n)
			return false;
		i->s = str_sub(*in, 0, (size_t)n);
		*in = str_sub(*in, (size_t)n, in->n);
		return true;
	default:
		return false;
	}
}

/* The last item with this number of a small message; false: malformed. */
static bool proto_find(struct str in, uint32_t number, struct proto_item *ret)
{
	struct proto_item i;

	*ret = (struct proto_item){ .wire = -1 };
	while (in.n) {
		if (!proto_next(&in, &i))
			return false;
		if (i.number == number)
			*ret = i;
	}
	return true;
}

/* --- values that are messages on the wire and scalars in JSON --- */

static int proto_time(struct proto *p, struct str in, bool micro, struct node **ret)
{
	struct proto_item s, n;
	char text[TIME_MICRO_LEN];

	if (!proto_find(in, 1, &s) || !proto_find(in, 2, &n))
		return proto_bad(p, "malformed time");
	*ret = NULL;
	if (!in.n || (int64_t)s.n == -62135596800)
		return 0;
	if ((int64_t)s.n < -62135596800 || (int64_t)s.n > 253402300799 || n.n >= (uint64_t)SEC_NS)
		return proto_bad(p, "time out of range");
	if (micro)
		time_fmt_micro(text, (int64_t)s.n * SEC_US + (int64_t)n.n / 1000);
	else
		time_fmt_rfc3339(text, (int64_t)s.n);
	*ret = node_new_cstr(p->d, text);
	return 0;
}

/* Go's time.Duration.String. */
static struct node *proto_duration_text(struct proto *p, int64_t ns)
{
	uint64_t u = ns < 0 ? -(uint64_t)ns : (uint64_t)ns, s = u / SEC_NS, frac = u % SEC_NS;
	char digits[16] = "", text[64];
	const char *sign = ns < 0 ? "-" : "";

	if (s == 0 && frac) /* as ms with a fraction: good enough to be read back to the same value */
		return node_new_fmt(p->d, "%s%llu.%06llums", sign, (unsigned long long)(frac / 1000000),
				    (unsigned long long)(frac % 1000000));
	if (frac) {
		size_t n = (size_t)snprintf(digits, sizeof(digits), ".%09llu", (unsigned long long)frac);

		while (n && digits[n - 1] == '0')
			digits[--n] = '\0';
	}
	if (s >= 3600)
		snprintf(text, sizeof(text), "%s%lluh%llum%llu%ss", sign, (unsigned long long)(s / 3600),
			 (unsigned long long)(s / 60 % 60), (unsigned long long)(s % 60), digits);
	else if (s >= 60)
		snprintf(text, sizeof(text), "%s%llum%llu%ss", sign, (unsigned long long)(s / 60),
			 (unsigned long long)(s % 60), digits);
	else
		snprintf(text, sizeof(text), "%s%llu%ss", sign, (unsigned long long)s, digits);
	return node_new_cstr(p->d, text);
}

static int proto_text(struct proto *p, struct str s, struct node **ret)
{
	if (!str_is_utf8(s))
		return proto_bad(p, "string contains invalid UTF-8");
	*ret = node_new_str(p->d, s);
	return 0;
}

static int proto_int_or_string(struct proto *p, struct str in, struct node **ret)
{
	struct proto_item type, i, s;

	if (!proto_find(in, 1, &type) || !proto_find(in, 2, &i) || !proto_find(in, 3, &s))
		return proto_bad(p, "malformed IntOrString");
	if (type.n == 1)
		return proto_text(p, s.s, ret);
	*ret = node_new_int(p->d, (int32_t)i.n);
	return 0;
}

/* Field 1 of the message holds JSON text. */
static int proto_json(struct proto *p, struct str in, struct node **ret)
{
	_cleanup_doc_ struct doc *d = NULL;
	struct proto_item raw;

	if (!proto_find(in, 1, &raw))
		return proto_bad(p, "malformed raw value");
	*ret = NULL;
	if (!raw.s.n)
		return 0;
	if (doc_parse_json(&d, raw.s, NULL, p->e) < 0)
		return -p->e->code;
	*ret = node_copy(p->d, doc_root(d));
	return 0;
}

static int proto_quantity(struct proto *p, struct str in, struct node **ret)
{
	struct proto_item s;

	if (!proto_find(in, 1, &s))
		return proto_bad(p, "malformed quantity");
	if (!s.s.n) {
		*ret = node_new_cstr(p->d, "0");
		return 0;
	}
	return proto_text(p, s.s, ret);
}

static struct node *proto_base64(struct proto *p, struct str s)
{
	_cleanup_buf_ struct buf b = BUF_INIT;

	buf_add_base64(&b, s.p ? s.p : "", s.n, false);
	return node_new_str(p->d, buf_str(&b));
}

static struct node *proto_double(struct proto *p, uint64_t bits)
{
	double v;
	char text[40];

	memcpy(&v, &bits, sizeof(v));
	if (v >= -9e15 && v <= 9e15 && v == (double)(int64_t)v)
		return node_new_int(p->d, (int64_t)v);
	if (v != v || v - v != 0)
		return node_new_int(p->d, 0); /* JSON has no word for it */
	snprintf(text, sizeof(text), "%.17g", v);
	return node_new_float_text(p->d, str_of(text));
}

/* --- types with several JSON shapes --- */

static const struct schema_type *proto_json_schema(void)
{
	return schema_type_find(STR_LIT("apiextensions.k8s.io/v1.JSONSchemaProps"));
}

static int proto_object(struct proto *p, const struct schema_type *t, struct str in, struct node **ret)
{
	*ret = node_new(p->d, DOC_OBJECT);
	return proto_message(p, t, 0, in, *ret);
}

/* JSONSchemaPropsOrBool { allows = 1, schema = 2 }, ...OrArray { schema = 1, jSONSchemas = 2 },
 * ...OrStringArray { schema = 1, property = 2 }. */
static int proto_opaque(struct proto *p, const struct schema_type *t, struct str in, struct node **ret)
{
	const char *name = schema_type_name(t);
	bool or_bool = ends_with(name, "OrBool"), strings = ends_with(name, "OrStringArray");
	struct proto_item i;
	struct node *item = NULL;

	*ret = or_bool ? node_new_bool(p->d, false) : node_new(p->d, DOC_ARRAY);
	while (in.n) {
		if (!proto_next(&in, &i))
			return proto_bad(p, "malformed schema");
		if (or_bool && i.number == 1) {
			if (node_is(*ret, DOC_BOOL))
				*ret = node_new_bool(p->d, i.n != 0);
		} else if (i.number == (or_bool ? 2 : 1)) {
			if (proto_object(p, proto_json_schema(), i.s, ret) < 0)
				return -p->e->code;
		} else if (i.number == 2 && node_is(*ret, DOC_ARRAY)) {
			if ((strings ? proto_text(p, i.s, &item) : proto_object(p, proto_json_schema(), i.s, &item)) < 0)
				return -p->e->code;
			node_append(*ret, item);
		}
	}
	return 0;
}

/* --- fields --- */

static int proto_ref(struct proto *p, const struct schema_field *f, struct str in, struct node **ret)
{
	const struct schema_type *t = schema_field_type(f);

	if (t->flags & ST_OPAQUE)
		return proto_opaque(p, t, in, ret);
	if (t->flags & ST_ALIAS) { /* a named list: the items are field 1 of a message */
		struct node *holder = node_new(p->d, DOC_OBJECT);
		const struct schema_field *items = schema_type_fields(t);

		if (proto_message(p, t, 0, in, holder) < 0)
			return -p->e->code;
		*ret = node_first(holder) ? node_copy(p->d, node_first(holder)) :
					    node_new(p->d, items->shape == SH_MAP ? DOC_OBJECT : DOC_ARRAY);
		return 0;
	}
	return proto_object(p, t, in, ret);
}

/* One value; *ret NULL: it says "absent". */
static int proto_value(struct proto *p, const struct schema_field *f, const struct proto_item *i, struct node **ret)
{
	struct proto_item ns;

	if (++p->values > LIMIT_DOC_NODES)
		return err_set(p->e, ERR_TOO_LARGE, "the document has more than %d values", LIMIT_DOC_NODES);
	*ret = NULL;
	switch ((enum schema_kind)f->kind) {
	case SK_STRING:
		return proto_text(p, i->s, ret);
	case SK_BOOL:
		*ret = node_new_bool(p->d, i->n != 0);
		return 0;
	case SK_INT32:
		*ret = node_new_int(p->d, (int32_t)i->n);
		return 0;
	case SK_INT64:
		*ret = node_new_int(p->d, (int64_t)i->n);
		return 0;
	case SK_FLOAT64:
		*ret = proto_double(p, i->n);
		return 0;
	case SK_BYTES:
		*ret = proto_base64(p, i->s);
		return 0;
	case SK_QUANTITY:
		return proto_quantity(p, i->s, ret);
	case SK_INTORSTRING:
		return proto_int_or_string(p, i->s, ret);
	case SK_TIME:
	case SK_MICROTIME:
		return proto_time(p, i->s, f->kind == SK_MICROTIME, ret);
	case SK_DURATION:
		if (!proto_find(i->s, 1, &ns))
			return proto_bad(p, "malformed duration");
		*ret = proto_duration_text(p, (int64_t)ns.n);
		return 0;
	case SK_RAW:
	case SK_FIELDSV1:
	case SK_JSON:
	case SK_ANY:
	case SK_OBJECT:
		return proto_json(p, i->s, ret);
	case SK_REF:
		return proto_ref(p, f, i->s, ret);
	}
	return 0;
}

static bool proto_wire_fits(const struct schema_field *f, int wire)
{
	switch ((enum schema_kind)f->kind) {
	case SK_BOOL:
	case SK_INT32:
	case SK_INT64:
		return wire == WIRE_VARINT;
	case SK_FLOAT64:
		return wire == WIRE_FIXED64;
	default:
		return wire == WIRE_BYTES;
	}
}

static bool proto_is_zero(const struct node *n)
{
	switch (node_type(n)) {
	case DOC_NULL:
		return true;
	case DOC_BOOL:
		return !node_bool(n, true);
	case DOC_INT:
		return node_int(n, 1) == 0;
	case DOC_STRING:
		return node_str(n).n == 0;
	default:
		return false;
	}
}

static int proto_map_entry(struct proto *p, const struct schema_field *f, struct str in, struct node *map)
{
	struct proto_item key, value;
	struct node *n = NULL;

	if (!proto_find(in, 1, &key) || !proto_find(in, 2, &value) || !str_is_utf8(key.s))
		return proto_bad(p, "malformed map entry");
	if (value.wire >= 0 && !proto_wire_fits(f, value.wire))
		return proto_bad(p, "malformed map value");
	if (proto_value(p, f, &value, &n) < 0)
		return -p->e->code;
	node_setk(p->d, map, str_n(key.s.p ? key.s.p : "", key.s.n), n ? n : node_new(p->d, DOC_NULL));
	return 0;
}

/* Scalars of a list may come packed into one item. */
static int proto_packed(struct proto *p, const struct schema_field *f, struct str in, struct node *list)
{
	struct node *n;

	while (in.n) {
		struct proto_item i = { .wire = f->kind == SK_FLOAT64 ? WIRE_FIXED64 : WIRE_VARINT };

		if (!(i.wire == WIRE_VARINT ? proto_varint(&in, &i.n) : proto_fixed(&in, 8, &i.n)))
			return proto_bad(p, "malformed packed list");
		if (proto_value(p, f, &i, &n) < 0)
			return -p->e->code;
		node_append(list, n);
	}
	return 0;
}

/* The member f of an object; an alias' only field has no name and any key will do. */
static struct node *proto_member(struct proto *p, struct node *into, const struct schema_field *f, struct node *n)
{
	return f->name ? node_set(p->d, into, f->name, n) : node_setk(p->d, into, STR_LIT("items"), n);
}

static struct node *proto_container(struct proto *p, struct node *into, const struct schema_field *f)
{
	struct node *have = f->name ? node_get(into, f->name) : node_getc(into, "items");

	return have ? have : proto_member(p, into, f, node_new(p->d, f->shape == SH_MAP ? DOC_OBJECT : DOC_ARRAY));
}

static int proto_field(struct proto *p, const struct schema_field *f, const struct proto_item *i, struct node *into)
{
	struct node *n;

	if (f->shape == SH_MAP)
		return i->wire == WIRE_BYTES ? proto_map_entry(p, f, i->s, proto_container(p, into, f)) :
					       proto_bad(p, "wrong wire type");
	if (f->shape == SH_LIST && i->wire == WIRE_BYTES && !proto_wire_fits(f, WIRE_BYTES))
		return proto_packed(p, f, i->s, proto_container(p, into, f));
	if (!proto_wire_fits(f, i->wire))
		return proto_bad(p, "wrong wire type");
	if (proto_value(p, f, i, &n) < 0)
		return -p->e->code;
	if (f->shape == SH_LIST)
		node_append(proto_container(p, into, f), n ? n : node_new(p->d, DOC_NULL));
	else if (n && !((f->flags & SF_OMITEMPTY) && !(f->flags & SF_NULLABLE) && proto_is_zero(n)))
		proto_member(p, into, f, n);
	return 0;
}

/* The field with this number; NULL and *inner: the number is an embedded struct's. */
static const struct schema_field *proto_field_find(const struct schema_type *t, unsigned embedded, uint32_t number,
						   bool *inner)
{
	const struct schema_field *f = schema_type_fields(t);

	*inner = false;
	for (unsigned k = 0; k < t->n_fields; k++, f++) {
		if (f->number == number && f->embedded == embedded && number)
			return f;
		*inner |= !embedded && f->embedded == number;
	}
	return NULL;
}

static int proto_message(struct proto *p, const struct schema_type *t, unsigned embedded, struct str in,
			 struct node *into)
{
	struct proto_item i;
	int rc = 0;

	if (++p->depth > LIMIT_JSON_DEPTH)
		return err_set(p->e, ERR_BAD_REQUEST, "the document is nested more than %d deep", LIMIT_JSON_DEPTH);
	while (in.n && rc == 0) {
		const struct schema_field *f;
		bool inner;

		if (!proto_next(&in, &i))
			return proto_bad(p, "unexpected end or malformed field");
		f = proto_field_find(t, embedded, i.number, &inner);
		if (f)
			rc = proto_field(p, f, &i, into);
		else if (inner && i.wire == WIRE_BYTES)
			rc = proto_message(p, t, i.number, i.s, into);
	}
	p->depth--;
	return rc;
}

/* --- the envelope --- */

static const struct schema_type *proto_type(struct str api_version, struct str kind)
{
	char name[200];
	struct str rest = api_version, group = str_cut(&rest, '/');
	bool core = !rest.p;
	const struct schema_type *t;

	if (str_find(api_version, '\0') >= 0 || str_find(kind, '\0') >= 0)
		return NULL;
	snprintf(name, sizeof(name), "%" STR_FMT "/%" STR_FMT ".%" STR_FMT, STR_ARG(core ? STR_LIT("core") : group),
		 STR_ARG(core ? group : rest), STR_ARG(kind));
	t = schema_type_find(str_of(name));
	if (t)
		return t;
	snprintf(name, sizeof(name), "meta/v1.%" STR_FMT, STR_ARG(kind)); /* DeleteOptions, of any group */
	return schema_type_find(str_of(name));
}

bool schema_is_protobuf(struct str in)
{
	return in.n >= 4 && memcmp(in.p, "k8s\0", 4) == 0;
}

int schema_from_protobuf(struct doc **ret, struct str in, struct err *e)
{
	_cleanup_doc_ struct doc *d = doc_new();
	struct proto p = { .d = d, .e = e };
	struct proto_item meta, raw, version, kind;
	const struct schema_type *t;
	struct node *root = node_new(d, DOC_OBJECT);

	if (!schema_is_protobuf(in))
		return proto_bad(&p, "the body lacks the prefix of Kubernetes' protobuf form");
	in = str_sub(in, 4, in.n);
	if (!proto_find(in, 1, &meta) || !proto_find(in, 2, &raw) || !proto_find(meta.s, 1, &version) ||
	    !proto_find(meta.s, 2, &kind))
		return proto_bad(&p, "malformed envelope");
	t = proto_type(version.s, kind.s);
	if (!t)
		return err_set(e, ERR_BAD_REQUEST, "no kind \"%" STR_FMT "\" is registered for version \"%" STR_FMT "\"",
			       STR_ARG(str_sub(kind.s, 0, 64)), STR_ARG(str_sub(version.s, 0, 64)));
	doc_set_root(d, root);
	node_set(d, root, F_kind, node_new_str(d, kind.s));
	node_set(d, root, F_apiVersion, node_new_str(d, version.s));
	if (proto_message(&p, t, 0, raw.s, root) < 0)
		return -e->code;
	*ret = take_ptr(&d);
	return 0;
}
