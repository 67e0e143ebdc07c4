/*
 * Decoding: a document's shape is checked against its type and brought to the
 * form that Go's encoder would write.
 *
 * It mirrors sigs.k8s.io/json into Go structs and back: names match by case; the
 * first wrong type ends it with Go's words; unknown members are dropped and, for
 * strict field validation, reported in document order; a null member counts as
 * absent, a null item or map value as the zero value; an empty string, 0, false,
 * [] or {} of an `omitempty` field that is no pointer is dropped; quantities take
 * their canonical form. What Go writes although it was not set comes with
 * defaulting (default.c).
 *
 * Invariant: after success every node below the root has the JSON type that its
 * field wants, so that all later code may read without looking.
 */
#include "schema/crd.h"

#include "base/limits.h"
#include "base/time.h"

enum { MAX_ISSUES = 100 };

struct decode {
	struct doc *d;
	struct schema_issue **issues; /* where the next one goes; NULL: not wanted */
	unsigned n_issues;
	struct err *e;
	bool failed;
};

/* One step of the path to where we are; lives on the stack. */
struct decode_at {
	const struct decode_at *up;
	const struct schema_type *in; /* the struct that has `field`; NULL for an item or map value */
	struct str key; /* member or map key */
	ssize_t index; /* item; -1: none */
};

static void decode_value(struct decode *x, struct node *n, const struct schema_field *f,
			 const struct decode_at *at);
static void decode_struct(struct decode *x, struct node *n, const struct schema_type *t,
			  const struct decode_at *at);

struct schema_issue *schema_issues_free(struct schema_issue *i)
{
	while (i) {
		struct schema_issue *next = i->next;

		free(i->text);
		free(i);
		i = next;
	}
	return NULL;
}

/* spec.containers[0].name */
static void decode_path(const struct decode_at *at, struct buf *out)
{
	if (!at)
		return;
	decode_path(at->up, out);
	if (at->index >= 0) {
		buf_addf(out, "[%zd]", at->index);
		return;
	}
	if (out->len)
		buf_addch(out, '.');
	buf_addstr(out, at->key);
}

/* Go's: only struct fields, without indexes and map keys. */
static void decode_go_path(const struct decode_at *at, struct buf *out)
{
	if (!at)
		return;
	decode_go_path(at->up, out);
	if (!at->in)
		return;
	if (out->len)
		buf_addch(out, '.');
	buf_addstr(out, at->key);
}

void decode_issue(struct schema_issue ***at, unsigned *n, const char *path)
{
	struct schema_issue *i;

	if (*n >= MAX_ISSUES)
		return;
	(*n)++;
	i = xcalloc(1, sizeof(*i));
	i->text = xasprintf("unknown field \"%s\"", path);
	**at = i;
	*at = &i->next;
}

static void decode_unknown(struct decode *x, const struct decode_at *at)
{
	_cleanup_buf_ struct buf path = BUF_INIT;

	if (!x->issues)
		return;
	decode_path(at, &path);
	decode_issue(&x->issues, &x->n_issues, path.s);
}

/* --- Go's words for a wrong type --- */

static const char *decode_json_word(const struct node *n)
{
	static const char *const WORD[] = { "null", "bool", "number", "number", "string", "array", "object" };

	return WORD[node_type(n)];
}

static void decode_go_item_type(const struct schema_field *f, const struct decode_at *at, struct buf *out)
{
	static const char *const NAME[] = {
		"string", "bool", "int32", "int64", "float64", "[]uint8", "resource.Quantity",
		"intstr.IntOrString", "v1.Time", "v1.MicroTime", "v1.Duration", "runtime.RawExtension",
		"v1.FieldsV1", "v1.JSON", "interface {}", "map[string]interface {}"
	};
	const char *named = SCHEMA_STR(f->named), *slash = strrchr(named, '/');

	if (f->kind == SK_REF) {
		buf_adds(out, schema_type_go(schema_field_type(f)));
	} else if (f->kind == SK_STRING && slash) {
		buf_adds(out, slash + 1);
	} else if (f->kind == SK_STRING && *named) {
		while (at && !at->in)
			at = at->up;
		const char *go = at ? schema_type_go(at->in) : "v1.";

		buf_add(out, go, strchr(go, '.') + 1 - go);
		buf_adds(out, named);
	} else {
		buf_adds(out, NAME[f->kind]);
	}
}

static void decode_go_type(const struct schema_field *f, const struct decode_at *at, bool item, struct buf *out)
{
	if (!item && f->shape == SH_MAP && f->kind == SK_QUANTITY) {
		buf_adds(out, "v1.ResourceList");
		return;
	}
	if (!item && f->shape == SH_LIST)
		buf_adds(out, "[]");
	else if (!item && f->shape == SH_MAP)
		buf_adds(out, "map[string]");
	decode_go_item_type(f, at, out);
}

static void decode_fail(struct decode *x, const char *text)
{
	if (!x->failed)
		err_set(x->e, ERR_BAD_REQUEST, "%s", text);
	x->failed = true;
}

/* value: "string", "number 1.5"; type: Go's name. */
static void decode_fail_type(struct decode *x, const char *value, const char *type, const struct decode_at *at)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	const struct decode_at *in = at;

	buf_addf(&b, "json: cannot unmarshal %s into Go ", value);
	while (in && !in->in)
		in = in->up;
	if (in) {
		_cleanup_buf_ struct buf path = BUF_INIT;

		decode_go_path(at, &path);
		buf_addf(&b, "struct field %s.%s of type %s", schema_type_base(in->in), path.s, type);
	} else {
		buf_addf(&b, "value of type %s", type);
	}
	decode_fail(x, b.s);
}

static void decode_wrong(struct decode *x, const struct node *n, const struct schema_field *f, bool item,
			 const struct decode_at *at)
{
	_cleanup_buf_ struct buf type = BUF_INIT;

	decode_go_type(f, at, item, &type);
	decode_fail_type(x, decode_json_word(n), type.s, at);
}

/* Types with an UnmarshalJSON of their own do not know their field. */
static void decode_wrong_inside(struct decode *x, const struct node *n, const char *type)
{
	decode_fail_type(x, decode_json_word(n), type, NULL);
}

/* --- scalars --- */

static void decode_int(struct decode *x, struct node *n, const struct schema_field *f, const struct decode_at *at)
{
	_cleanup_buf_ struct buf b = BUF_INIT;

	if (node_is(n, DOC_INT) &&
	    (f->kind == SK_INT64 || (n->u.i >= INT32_MIN && n->u.i <= INT32_MAX)))
		return;
	if (!node_is(n, DOC_INT) && !node_is(n, DOC_FLOAT)) {
		decode_wrong(x, n, f, true, at);
		return;
	}
	buf_adds(&b, "number ");
	if (node_is(n, DOC_INT))
		buf_addf(&b, "%lld", (long long)n->u.i);
	else
		buf_add(&b, n->u.s, n->len);
	decode_fail_type(x, b.s, f->kind == SK_INT32 ? "int32" : "int64", at);
}

static void decode_int_or_string(struct decode *x, struct node *n)
{
	if (node_is(n, DOC_STRING))
		return;
	if (node_is(n, DOC_INT) && n->u.i >= INT32_MIN && n->u.i <= INT32_MAX)
		return;
	if (node_is(n, DOC_INT) || node_is(n, DOC_FLOAT)) {
		_cleanup_buf_ struct buf b = BUF_INIT;

		buf_adds(&b, "number ");
		doc_print_json(&b, n, DOC_PRINT_COMPACT);
		decode_fail_type(x, b.s, "int32", NULL);
		return;
	}
	decode_wrong_inside(x, n, "int32");
}

/* Whether it is base64; *at says how far it was. Line ends are allowed, as Go allows them. */
static bool decode_base64(struct str s, struct buf *clean, size_t *at)
{
	size_t n = 0;

	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];
		bool digit = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
			     c == '+' || c == '/';

		if (c == '\n' || c == '\r')
			continue;
		*at = i;
		if (digit && n == clean->len)
			n++;
		else if (c != '=' || clean->len % 4 < 2)
			return false;
		buf_addch(clean, c);
		if (clean->len - n > 2)
			return false;
	}
	*at = s.n;
	return clean->len % 4 == 0;
}

static void decode_bytes(struct decode *x, struct node *n, const struct schema_field *f,
			 const struct decode_at *at)
{
	_cleanup_buf_ struct buf clean = BUF_INIT;
	_cleanup_free_ char *text = NULL;
	size_t good = 0;

	if (!node_is(n, DOC_STRING)) {
		decode_wrong(x, n, f, true, at);
		return;
	}
	if (!decode_base64(node_str(n), &clean, &good)) {
		text = xasprintf("illegal base64 data at input byte %zu", good);
		decode_fail(x, text);
	} else if (clean.len != n->len) {
		node_assign(x->d, n, node_new_str(x->d, buf_str(&clean)));
	}
}

/* A quantity's canonical text; in a map (a ResourceList) nothing below a thousandth is kept. */
static void decode_quantity(struct decode *x, struct node *n, bool in_map)
{
	static const char BAD[] = "quantities must match the regular expression "
				  "'^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";
	_cleanup_buf_ struct buf b = BUF_INIT;
	struct quantity q;

	if (!quantity_from_node(&q, n)) {
		decode_fail(x, BAD);
		return;
	}
	if (in_map)
		quantity_round_up(&q, 1000000);
	quantity_print(&q, &b);
	if (node_is(n, DOC_STRING) && str_eq(node_str(n), buf_str(&b)))
		return;
	node_assign(x->d, n, node_new_str(x->d, buf_str(&b)));
}

static void decode_time(struct decode *x, struct node *n, bool micro)
{
	struct str s = node_str(n);
	_cleanup_free_ char *text = NULL;
	char out[TIME_MICRO_LEN];
	int64_t ns;

	if (!node_is(n, DOC_STRING)) {
		decode_wrong_inside(x, n, "string");
		return;
	}
	if (!time_parse_rfc3339(s, &ns)) {
		text = xasprintf("parsing time \"%" STR_FMT "\" as \"%s\": cannot parse \"%" STR_FMT "\" as \"2006\"",
				 STR_ARG(s), micro ? "2006-01-02T15:04:05.000000Z07:00" : "2006-01-02T15:04:05Z07:00",
				 STR_ARG(s));
		decode_fail(x, text);
		return;
	}
	if (ns == INT64_MIN || ns == INT64_MAX)
		return; /* a year that nanoseconds do not reach stays as it is written */
	if (micro)
		time_fmt_micro(out, ns / 1000 - (ns % 1000 < 0));
	else
		time_fmt_rfc3339(out, ns / SEC_NS - (ns % SEC_NS < 0));
	if (!str_eqc(s, out))
		node_assign(x->d, n, node_new_cstr(x->d, out));
}

static void decode_duration(struct decode *x, struct node *n)
{
	int64_t ns;

	if (!node_is(n, DOC_STRING)) {
		decode_wrong_inside(x, n, "string");
	} else if (!time_parse_go_duration(node_str(n), &ns)) {
		_cleanup_free_ char *text = xasprintf("time: invalid duration \"%s\"", node_cstr(n));

		decode_fail(x, text);
	}
}

/* One value: a field's own, or an item of its list or map. */
static void decode_one(struct decode *x, struct node *n, const struct schema_field *f, const struct decode_at *at)
{
	switch ((enum schema_kind)f->kind) {
	case SK_STRING:
		if (!node_is(n, DOC_STRING))
			decode_wrong(x, n, f, true, at);
		break;
	case SK_BOOL:
		if (!node_is(n, DOC_BOOL))
			decode_wrong(x, n, f, true, at);
		break;
	case SK_INT32:
	case SK_INT64:
		decode_int(x, n, f, at);
		break;
	case SK_FLOAT64:
		if (!node_is(n, DOC_INT) && !node_is(n, DOC_FLOAT))
			decode_wrong(x, n, f, true, at);
		break;
	case SK_BYTES:
		decode_bytes(x, n, f, at);
		break;
	case SK_QUANTITY:
		decode_quantity(x, n, f->shape == SH_MAP);
		break;
	case SK_INTORSTRING:
		decode_int_or_string(x, n);
		break;
	case SK_TIME:
	case SK_MICROTIME:
		decode_time(x, n, f->kind == SK_MICROTIME);
		break;
	case SK_DURATION:
		decode_duration(x, n);
		break;
	case SK_OBJECT:
		if (!node_is(n, DOC_OBJECT))
			decode_wrong(x, n, f, true, at);
		break;
	case SK_RAW:
	case SK_FIELDSV1:
	case SK_JSON:
	case SK_ANY:
		break;
	case SK_REF:
		decode_struct(x, n, schema_field_type(f), at);
		break;
	}
}

/* What a null item or map value becomes. */
static struct node *decode_zero(struct decode *x, const struct schema_field *f)
{
	struct node *n = schema_zero(x->d, f);

	if (n)
		return n;
	if (f->kind == SK_BYTES)
		return node_new_cstr(x->d, "");
	if (f->kind == SK_REF && !(schema_field_type(f)->flags & ST_ALIAS))
		return node_new(x->d, DOC_OBJECT);
	return NULL;
}

static void decode_items(struct decode *x, struct node *n, const struct schema_field *f,
			 const struct decode_at *at)
{
	ssize_t i = 0;

	NODE_FOREACH(c, n) {
		struct decode_at here = { at, NULL, f->shape == SH_MAP ? node_key(c) : STR_NONE,
					  f->shape == SH_LIST ? i++ : -1 };

		if (node_is(c, DOC_NULL)) {
			struct node *zero = decode_zero(x, f);

			if (zero)
				node_assign(x->d, c, zero);
			continue;
		}
		decode_one(x, c, f, &here);
		if (x->failed)
			return;
	}
}

static void decode_value(struct decode *x, struct node *n, const struct schema_field *f,
			 const struct decode_at *at)
{
	if (f->shape == SH_ONE) {
		decode_one(x, n, f, at);
		return;
	}
	if (!node_is(n, f->shape == SH_LIST ? DOC_ARRAY : DOC_OBJECT)) {
		decode_wrong(x, n, f, false, at);
		return;
	}
	decode_items(x, n, f, at);
}

/* Go's zero time, which its encoder writes as null. */
static bool decode_is_zero_time(const struct node *n, const struct schema_field *f)
{
	return f->shape == SH_ONE && (f->kind == SK_TIME || f->kind == SK_MICROTIME) &&
	       (node_streq(n, "0001-01-01T00:00:00Z") || node_streq(n, "0001-01-01T00:00:00.000000Z"));
}

/* Whether Go's encoder would leave the value out. */
static bool decode_omits(const struct node *n, const struct schema_field *f)
{
	if (!(f->flags & SF_OMITEMPTY))
		return false;
	if (f->shape != SH_ONE)
		return node_count(n) == 0;
	if (f->flags & SF_NULLABLE)
		return false;
	switch ((enum schema_kind)f->kind) {
	case SK_STRING:
	case SK_BYTES:
		return n->len == 0;
	case SK_BOOL:
		return !n->u.b;
	case SK_INT32:
	case SK_INT64:
	case SK_FLOAT64:
		return node_is(n, DOC_INT) && n->u.i == 0;
	default:
		return false;
	}
}

static void decode_struct(struct decode *x, struct node *n, const struct schema_type *t,
			  const struct decode_at *at)
{
	struct node *next;

	if (t->flags & ST_OPAQUE)
		return;
	if (t->flags & ST_ALIAS) {
		decode_value(x, n, schema_type_fields(t), at);
		return;
	}
	if (!node_is(n, DOC_OBJECT)) {
		decode_fail_type(x, decode_json_word(n), schema_type_go(t), at);
		return;
	}
	for (struct node *c = node_first(n); c && !x->failed; c = next) {
		const struct schema_field *f = schema_type_field(t, c->name);
		struct decode_at here = { at, t, node_key(c), -1 };

		next = c->next;
		if (!f) {
			decode_unknown(x, &here);
			node_remove_child(n, c);
			continue;
		}
		if (decode_is_zero_time(c, f)) {
			node_remove_child(n, c);
			continue;
		}
		if (!node_is(c, DOC_NULL))
			decode_value(x, c, f, &here);
		if (!x->failed && (node_is(c, DOC_NULL) || decode_omits(c, f)))
			node_remove_child(n, c);
	}
}

static int decode_run(const struct schema_type *t, struct doc *d, struct node *n, const struct decode_at *at,
		      struct schema_issue **issues, struct err *e)
{
	struct decode x = { .d = d, .e = e };

	if (issues) {
		while (*issues)
			issues = &(*issues)->next;
		x.issues = issues;
	}
	decode_struct(&x, n, t, at);
	return x.failed ? -e->code : 0;
}

int decode_meta(struct doc *d, struct node *meta, const char *path, struct schema_issue **issues, struct err *e)
{
	struct decode_at at = { NULL, NULL, str_of(path), -1 };

	return decode_run(schema_type_find(STR_LIT("meta/v1.ObjectMeta")), d, meta, &at, issues, e);
}

int schema_decode(const struct schema_res *r, struct doc *d, struct schema_issue **issues, struct err *e)
{
	if ((r->custom ? crd_decode(r, d, issues, e) : decode_run(r->type, d, doc_root(d), NULL, issues, e)) < 0)
		return err_wrap(e, "%s in version \"%s\" cannot be handled as a %s", r->r.kind, r->r.version,
				r->r.kind);
	return 0;
}

int schema_decode_type(const char *type, struct doc *d, struct schema_issue **issues, struct err *e)
{
	const struct schema_type *t = schema_type_find(str_of(type));

	BUG_ON(!t);
	return decode_run(t, d, doc_root(d), NULL, issues, e);
}
