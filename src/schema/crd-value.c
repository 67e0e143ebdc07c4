/*
 * Values of custom resources against their OpenAPI schema: the subset of JSON
 * schema that apiextensions knows, with the words of kube-openapi's validator
 * (`spec.replicas in body should be less than or equal to 10`), in its order:
 * type, allOf/anyOf/oneOf/not, strings, formats, numbers, lists, enum, objects.
 * Behind it: lists that are sets or maps, metadata of embedded resources.
 *
 * Of a junctor that fails, the errors of the alternative that came furthest are
 * shown, as kube-openapi shows them. On updates, what did not change may stay as
 * it is even if the schema would refuse it today (ratcheting); list items are
 * told apart by their keys there. CEL rules are not evaluated.
 *
 * Work is bounded: STEPS checks and REGEX_STEPS steps of patterns for one object.
 */
#include "schema/crd.h"
#include "schema/regex.h"
#include "schema/valid.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/map.h"
#include "base/vec.h"

#define STEPS 1000000
#define REGEX_STEPS 10000000
#define PATTERNS_KEPT 256
#define PATTERNS_BYTES (512u << 10)

struct value {
	struct valid *v;
	struct buf path; /* "spec.ports[0].name" */
	size_t steps, regex_steps;
	bool tired; /* gave up: said at the end */
	unsigned score; /* checks made: which alternative came furthest */
};

static bool value_check(struct value *x, const struct node *n, const struct node *schema, const struct node *old);

/* --- errors --- */

static const char *value_field(const struct value *x)
{
	const char *p = x->path.s;

	return !*p ? "<nil>" : *p == '.' ? p + 1 : p;
}

static bool value_bad(struct value *x, const struct node *n, const char *fmt, ...) ATTR_PRINTF(3, 4);
/* "PATH: Invalid value: VALUE: PATH in body WORDS" */
static bool value_bad(struct value *x, const struct node *n, const char *fmt, ...)
{
	_cleanup_free_ char *words = NULL, *text = NULL;
	va_list ap;

	va_start(ap, fmt);
	words = xvasprintf(fmt, ap);
	va_end(ap);
	text = xasprintf("%s in body %s", x->path.s, words);
	v_invalid_node(x->v, VP(NULL, value_field(x)), n, text);
	return false;
}

static bool value_bad_count(struct value *x, int64_t count, const char *fmt, int64_t bound, const char *what)
{
	_cleanup_free_ char *text = xasprintf("%s in body %s %lld %s", x->path.s, fmt, (long long)bound, what);

	v_invalid_int(x->v, VP(NULL, value_field(x)), count, text);
	return false;
}

static bool value_bad_type(struct value *x, const char *want, struct str have)
{
	_cleanup_buf_ struct buf text = BUF_INIT;

	buf_addf(&text, "%s in body must be of type %s: ", x->path.s, want);
	buf_add_quoted(&text, have);
	v_type_invalid(x->v, VP(NULL, value_field(x)), have, text.s);
	return false;
}

/* A sentence of its own, about no field. */
static bool value_say(struct value *x, const char *fmt, ...) ATTR_PRINTF(2, 3);
static bool value_say(struct value *x, const char *fmt, ...)
{
	_cleanup_free_ char *text = NULL;
	va_list ap;

	va_start(ap, fmt);
	text = xvasprintf(fmt, ap);
	va_end(ap);
	v_invalid(x->v, VP(NULL, "<nil>"), STR_LIT(""), text);
	return false;
}

static bool value_tired(struct value *x)
{
	if (!x->steps || !x->regex_steps)
		x->tired = true;
	return x->tired;
}

/* --- patterns --- */

static void pattern_free(void *p)
{
	regex_free(p);
}

const struct regex *crd_pattern(struct str pattern, struct err *e)
{
	static struct map *kept;
	static size_t bytes;
	struct regex *re;

	if (!kept)
		kept = map_new(pattern_free);
	re = map_get(kept, pattern);
	if (re)
		return re;
	if (regex_compile(&re, pattern, e) < 0)
		return NULL;
	if (map_count(kept) >= PATTERNS_KEPT || bytes > PATTERNS_BYTES) {
		map_clear(kept);
		bytes = 0;
	}
	bytes += regex_memory(re) + pattern.n;
	map_set(kept, pattern, re);
	return re;
}

/* --- types --- */

static const char *value_type_name(const struct node *n)
{
	static const char *const NAMES[] = { "null", "boolean", "integer", "number", "string", "array", "object" };

	return NAMES[node_type(n)];
}

static bool value_is_whole(const struct node *n)
{
	double d;

	if (node_is(n, DOC_INT))
		return true;
	d = node_double(n, 0.5);
	return fabs(d) < 9007199254740992.0 && d == floor(d);
}

static bool value_has_type(const struct node *n, const char *type)
{
	if (node_is(n, DOC_FLOAT))
		return streq(type, "number") || (streq(type, "integer") && value_is_whole(n));
	return streq(type, value_type_name(n)) || (node_is(n, DOC_INT) && streq(type, "number"));
}

static bool value_type(struct value *x, const struct node *n, const struct node *schema)
{
	const char *type = node_gets(schema, F_type), *format = node_gets(schema, F_format);

	if (node_bool(node_get(schema, F_x_kubernetes_int_or_string), false)) {
		if (node_is(n, DOC_STRING) || (node_is(n, DOC_INT) || (node_is(n, DOC_FLOAT) && value_is_whole(n))) ||
		    (node_is(n, DOC_NULL) && node_bool(node_get(schema, F_nullable), false)))
			return true;
		return value_bad_type(x, "integer,string", str_of(value_type_name(n)));
	}
	if (!*type)
		return true;
	if (node_is(n, DOC_NULL))
		return node_bool(node_get(schema, F_nullable), false) || value_bad_type(x, type, STR_LIT("null"));
	if (value_has_type(n, type))
		return true;
	if (*format && crd_format_known(format) && !node_is(n, DOC_STRING) && !node_is(n, DOC_ARRAY))
		return value_bad_type(x, format, str_of(node_is(n, DOC_INT) ? "int64" : node_is(n, DOC_FLOAT) ? "double" : ""));
	if (*format && crd_format_known(format) && !streq(type, "number") && !streq(type, "integer"))
		return true; /* the validator's own exception */
	return value_bad_type(x, type, str_of(value_type_name(n)));
}

/* --- junctors --- */

struct value_errors { /* set aside */
	VEC(struct valid_error) v;
};

static void value_cut(struct value *x, size_t from, struct value_errors *to)
{
	for (size_t i = from; i < x->v->n; i++) {
		if (to) {
			VEC_PUSH(&to->v, x->v->errors[i]);
			continue;
		}
		free(x->v->errors[i].field);
		free(x->v->errors[i].body);
	}
	x->v->n = from;
}

static void value_errors_release(struct value_errors *es)
{
	for (size_t i = 0; i < es->v.n; i++) {
		free(es->v.v[i].field);
		free(es->v.v[i].body);
	}
	VEC_RELEASE(&es->v);
}

static void value_errors_add(struct value *x, struct value_errors *es)
{
	for (size_t i = 0; i < es->v.n; i++) {
		struct valid_error *e = &es->v.v[i];

		v_add_made(x->v, e->reason, e->field, e->body);
	}
	VEC_RELEASE(&es->v);
}

/* How many of the alternatives hold; the errors of the one that came furthest go to best. */
static unsigned value_alternatives(struct value *x, const struct node *n, const struct node *list, bool one_is_enough,
				   struct value_errors *best)
{
	unsigned holds = 0, score = x->score, best_score = 0;
	bool have = false;

	NODE_FOREACH(alt, list) {
		size_t from = x->v->n;

		x->score = 0;
		if (value_check(x, n, alt, NULL)) {
			value_cut(x, from, NULL);
			holds++;
			if (one_is_enough)
				break;
		} else if (!holds && (!have || x->score > best_score)) {
			value_errors_release(best);
			value_cut(x, from, best);
			best_score = x->score;
			have = true;
		} else {
			value_cut(x, from, NULL);
		}
		if (value_tired(x))
			break;
	}
	if (holds)
		value_errors_release(best);
	x->score = score + 1;
	return holds;
}

static bool value_any_of(struct value *x, const struct node *n, const struct node *list)
{
	struct value_errors best = { VEC_INIT };

	if (!node_count(list) || value_alternatives(x, n, list, true, &best))
		return true;
	value_say(x, "\"%s\" must validate at least one schema (anyOf)", x->path.s);
	value_errors_add(x, &best);
	return false;
}

static bool value_one_of(struct value *x, const struct node *n, const struct node *list)
{
	struct value_errors best = { VEC_INIT };
	unsigned holds;

	if (!node_count(list))
		return true;
	holds = value_alternatives(x, n, list, false, &best);
	if (holds == 1)
		return true;
	if (!holds)
		value_say(x, "\"%s\" must validate one and only one schema (oneOf). Found none valid", x->path.s);
	else
		value_say(x, "\"%s\" must validate one and only one schema (oneOf). Found %u valid alternatives", x->path.s,
			  holds);
	value_errors_add(x, &best);
	return false;
}

static bool value_all_of(struct value *x, const struct node *n, const struct node *list)
{
	size_t holds = 0;

	NODE_FOREACH(part, list)
		holds += value_check(x, n, part, NULL);
	if (holds == node_count(list))
		return true;
	return value_say(x, "\"%s\" must validate all the schemas (allOf)%s", x->path.s, holds ? "" : ". None validated");
}

static bool value_not(struct value *x, const struct node *n, const struct node *schema)
{
	size_t from = x->v->n;
	unsigned score = x->score;
	bool holds;

	if (!schema)
		return true;
	holds = value_check(x, n, schema, NULL);
	value_cut(x, from, NULL);
	x->score = score + 1;
	return !holds || value_say(x, "\"%s\" must not validate the schema (not)", x->path.s);
}

static bool value_junctors(struct value *x, const struct node *n, const struct node *schema)
{
	bool ok = value_any_of(x, n, node_get(schema, F_anyOf));

	ok &= value_one_of(x, n, node_get(schema, F_oneOf));
	ok &= value_all_of(x, n, node_get(schema, F_allOf));
	ok &= value_not(x, n, node_get(schema, F_not));
	return ok;
}

/* --- strings --- */

static int64_t value_runes(struct str s)
{
	int64_t n = 0;

	for (size_t i = 0; i < s.n; i++)
		n += ((unsigned char)s.p[i] & 0xc0) != 0x80;
	return n;
}

static bool value_pattern(struct value *x, const struct node *n, struct str pattern)
{
	_cleanup_err_ struct err e = ERR_INIT;
	const struct regex *re = crd_pattern(pattern, &e);

	if (!re || regex_match(re, node_str(n), &x->regex_steps) || value_tired(x))
		return true;
	return value_bad(x, n, "should match '%" STR_FMT "'", STR_ARG(pattern));
}

static bool value_string(struct value *x, const struct node *n, const struct node *schema)
{
	const struct node *max = node_get(schema, F_maxLength), *min = node_get(schema, F_minLength);
	const struct node *pattern = node_get(schema, F_pattern);
	struct str format = node_str(node_get(schema, F_format));
	bool ok = true;

	if (max && value_runes(node_str(n)) > node_int(max, INT64_MAX)) {
		v_too_long_chars(x->v, VP(NULL, value_field(x)), (size_t)node_int(max, 0));
		ok = false;
	} else if (min && value_runes(node_str(n)) < node_int(min, 0)) {
		ok = value_bad(x, n, "should be at least %lld chars long", (long long)node_int(min, 0));
	} else if (node_str(pattern).n) {
		ok = value_pattern(x, n, node_str(pattern));
	}
	if (format.n && !crd_format_ok(format, node_str(n)))
		ok = value_bad_type(x, format.p, node_str(n));
	return ok;
}

/* --- numbers --- */

static int value_cmp(const struct node *a, const struct node *b)
{
	double x, y;

	if (node_is(a, DOC_INT) && node_is(b, DOC_INT))
		return a->u.i < b->u.i ? -1 : a->u.i > b->u.i;
	x = node_double(a, 0);
	y = node_double(b, 0);
	return x < y ? -1 : x > y;
}

static bool value_multiple(const struct node *n, const struct node *of)
{
	double f = node_double(of, 1), q;

	if (node_is(n, DOC_INT) && node_is(of, DOC_INT))
		return of->u.i <= 0 || n->u.i % of->u.i == 0;
	if (f <= 0)
		return true;
	q = node_double(n, 0) / f;
	return q == floor(q);
}

static bool value_bound(struct value *x, const struct node *n, const char *words, const struct node *bound)
{
	_cleanup_buf_ struct buf b = BUF_INIT;

	doc_print_json(&b, bound, DOC_PRINT_COMPACT);
	return value_bad(x, n, "should be %s %s", words, b.s);
}

static bool value_number(struct value *x, const struct node *n, const struct node *schema)
{
	const struct node *of = node_get(schema, F_multipleOf), *max = node_get(schema, F_maximum);
	const struct node *min = node_get(schema, F_minimum);
	bool ex_max = node_bool(node_get(schema, F_exclusiveMaximum), false), ok = true;
	bool ex_min = node_bool(node_get(schema, F_exclusiveMinimum), false);

	if (of && !value_multiple(n, of))
		ok = value_bound(x, n, "a multiple of", of);
	if (max && value_cmp(n, max) >= (ex_max ? 0 : 1))
		ok = value_bound(x, n, ex_max ? "less than" : "less than or equal to", max);
	if (min && value_cmp(n, min) <= (ex_min ? 0 : -1))
		ok = value_bound(x, n, ex_min ? "greater than" : "greater than or equal to", min);
	return ok;
}

/* --- lists --- */

static bool value_same_keys(const struct node *a, const struct node *b, const struct node *keys)
{
	NODE_FOREACH(k, keys) {
		const struct node *x = node_getk(a, node_str(k)), *y = node_getk(b, node_str(k));

		if (!x != !y || (x && !node_equal(x, y)))
			return false;
	}
	return true;
}

/* What an item was before: lists that are maps tell. */
static const struct node *value_old_item(const struct node *item, const struct node *schema, const struct node *old)
{
	if (!old || !streq(node_gets(schema, F_x_kubernetes_list_type), "map"))
		return NULL;
	NODE_FOREACH(c, old)
		if (value_same_keys(item, c, schema_custom_list_keys(schema)))
			return c;
	return NULL;
}

static bool value_list(struct value *x, const struct node *n, const struct node *schema, const struct node *old)
{
	const struct node *items = schema_custom_items(schema), *max = node_get(schema, F_maxItems);
	const struct node *min = node_get(schema, F_minItems);
	size_t len = x->path.len, i = 0;
	bool ok = true, correlate = old && node_count(old) <= 1000;

	if (items)
		NODE_FOREACH(c, n) {
			buf_addf(&x->path, "[%zu]", i++);
			ok &= value_check(x, c, items, correlate ? value_old_item(c, schema, old) : NULL);
			buf_truncate(&x->path, len);
			if (x->tired)
				return false;
		}
	if (min && (int64_t)node_count(n) < node_int(min, 0))
		ok = value_bad_count(x, (int64_t)node_count(n), "should have at least", node_int(min, 0), "items");
	if (max && (int64_t)node_count(n) > node_int(max, INT64_MAX)) {
		v_too_many(x->v, VP(NULL, value_field(x)), node_count(n), (size_t)node_int(max, 0));
		ok = false;
	}
	return ok;
}

/* --- enum --- */

static bool value_enum(struct value *x, const struct node *n, const struct node *values)
{
	VEC(const char *) texts = VEC_INIT;

	if (!node_count(values))
		return true;
	NODE_FOREACH(c, values)
		if (node_equal(c, n))
			return true;
	NODE_FOREACH(c, values) {
		struct buf b = BUF_INIT;

		if (node_is(c, DOC_STRING))
			buf_addstr(&b, node_str(c));
		else
			doc_print_json(&b, c, DOC_PRINT_COMPACT);
		VEC_PUSH(&texts, buf_detach(&b, NULL));
	}
	VEC_PUSH(&texts, NULL);
	v_unsupported_node(x->v, VP(NULL, value_field(x)), n, texts.v);
	for (size_t i = 0; i + 1 < texts.n; i++)
		free((char *)texts.v[i]);
	VEC_RELEASE(&texts);
	return false;
}

/* --- objects --- */

static size_t value_enter(struct value *x, struct str key)
{
	size_t len = x->path.len;

	if (len)
		buf_addch(&x->path, '.');
	buf_addstr(&x->path, key);
	return len;
}

static bool value_member(struct value *x, const struct node *c, const struct node *schema, const struct node *old)
{
	size_t len = value_enter(x, node_key(c));
	bool ok = value_check(x, c, schema, node_getk(old, node_key(c)));

	buf_truncate(&x->path, len);
	return ok;
}

static bool value_forbidden(struct value *x, struct str key)
{
	_cleanup_free_ char *text =
		xasprintf("%s.%" STR_FMT " in body is a forbidden property", x->path.s, STR_ARG(key));

	v_invalid(x->v, VP(NULL, value_field(x)), key, text);
	return false;
}

static bool value_members(struct value *x, const struct node *n, const struct node *schema, const struct node *old)
{
	const struct node *more = node_get(schema, F_additionalProperties), *props = node_get(schema, F_properties);
	bool ok = true;

	if (more)
		NODE_FOREACH(c, n) {
			if (x->tired)
				return false;
			if (node_getk(props, node_key(c)))
				continue;
			if (node_is(more, DOC_BOOL) && !more->u.b)
				ok = value_forbidden(x, node_key(c));
			else if (node_is(more, DOC_OBJECT))
				ok &= value_member(x, c, more, old);
		}
	NODE_FOREACH(p, props) {
		const struct node *c = node_getk(n, node_key(p));

		if (c)
			ok &= value_member(x, c, p, old);
		if (x->tired)
			return false;
	}
	return ok;
}

static bool value_object(struct value *x, const struct node *n, const struct node *schema, const struct node *old)
{
	const struct node *min = node_get(schema, F_minProperties), *max = node_get(schema, F_maxProperties);
	bool ok;

	if (min && (int64_t)node_count(n) < node_int(min, 0))
		return value_bad_count(x, (int64_t)node_count(n), "should have at least", node_int(min, 0), "properties");
	if (max && (int64_t)node_count(n) > node_int(max, INT64_MAX)) {
		v_too_many(x->v, VP(NULL, value_field(x)), node_count(n), (size_t)node_int(max, 0));
		return false;
	}
	ok = value_members(x, n, schema, old);
	NODE_FOREACH(k, node_get(schema, F_required)) {
		size_t len;

		if (node_getk(n, node_str(k)))
			continue;
		len = value_enter(x, node_str(k));
		v_required(x->v, VP(NULL, value_field(x)), NULL);
		buf_truncate(&x->path, len);
		ok = false;
	}
	return ok;
}

/* --- one value --- */

static bool value_check(struct value *x, const struct node *n, const struct node *schema, const struct node *old)
{
	bool ok;

	if (!node_is(schema, DOC_OBJECT))
		return true;
	if (old && node_equal(old, n))
		return true;
	if (x->steps)
		x->steps--;
	if (value_tired(x))
		return false;
	ok = value_type(x, n, schema);
	x->score += ok;
	if (!node_is(n, DOC_NULL))
		ok &= value_junctors(x, n, schema);
	if (node_is(n, DOC_STRING))
		ok &= value_string(x, n, schema);
	else if (node_is(n, DOC_INT) || node_is(n, DOC_FLOAT))
		ok &= value_number(x, n, schema);
	else if (node_is(n, DOC_ARRAY))
		ok &= value_list(x, n, schema, old);
	ok &= value_enum(x, n, node_get(schema, F_enum));
	if (node_is(n, DOC_OBJECT))
		ok &= value_object(x, n, schema, old);
	x->score += 1 + ok;
	return ok;
}

/* --- sets and maps --- */

static int value_text_cmp(const void *a, const void *b)
{
	const struct { const char *s; size_t i; } *x = a, *y = b;
	int c = strcmp(x->s, y->s);

	return c ? c : (x->i > y->i) - (x->i < y->i);
}

/* What tells an item from others, as text; NULL: it has no keys. */
static char *value_item_text(const struct node *item, const struct node *keys, bool is_map)
{
	struct buf b = BUF_INIT;

	if (!is_map) {
		doc_print_json(&b, item, DOC_PRINT_COMPACT | DOC_PRINT_SORTED);
		return buf_detach(&b, NULL);
	}
	buf_addch(&b, '{');
	NODE_FOREACH(k, keys) {
		const struct node *v = node_getk(item, node_str(k));

		if (!v)
			continue;
		if (b.len > 1)
			buf_addch(&b, ',');
		buf_add_json_string(&b, node_str(k));
		buf_addch(&b, ':');
		doc_print_json(&b, v, DOC_PRINT_COMPACT);
	}
	buf_addch(&b, '}');
	return buf_detach(&b, NULL);
}

static void value_unique(struct value *x, const struct node *n, const struct node *schema, bool is_map)
{
	struct { const char *s; size_t i; } *v = xcalloc(node_count(n) + 1, sizeof(*v));
	_cleanup_free_ bool *again = xcalloc(node_count(n) + 1, 1);
	size_t i = 0, len = x->path.len;

	NODE_FOREACH(c, n) {
		v[i].s = value_item_text(c, schema_custom_list_keys(schema), is_map);
		v[i].i = i;
		i++;
	}
	qsort(v, i, sizeof(*v), value_text_cmp);
	for (size_t k = 1; k < i; k++)
		again[v[k].i] = streq(v[k].s, v[k - 1].s);
	for (size_t k = 0; k < i; k++) {
		_cleanup_doc_ struct doc *d = NULL;
		_cleanup_err_ struct err e = ERR_INIT;

		if (!again[v[k].i])
			continue;
		buf_addf(&x->path, "[%zu]", v[k].i);
		if (doc_parse_json(&d, str_of(v[k].s), NULL, &e) == 0)
			v_duplicate(x->v, VP(NULL, value_field(x)), doc_root(d));
		buf_truncate(&x->path, len);
	}
	for (size_t k = 0; k < i; k++)
		free((char *)v[k].s);
	free(v);
}

/* Duplicates in sets and maps; below metadata of the root nothing is looked at. */
static void value_lists(struct value *x, const struct node *n, const struct node *schema, const struct node *old)
{
	size_t len = x->path.len, i = 0;

	if (!schema || (old && node_equal(old, n)))
		return;
	if (node_is(n, DOC_OBJECT)) {
		NODE_FOREACH(c, n) {
			const struct node *p = schema_custom_member(schema, node_key(c));

			if (!p || !node_count(c))
				continue;
			if (node_getk(node_get(schema, F_properties), node_key(c)))
				value_enter(x, node_key(c));
			else
				buf_addf(&x->path, "[%" STR_FMT "]", STR_ARG(node_key(c)));
			value_lists(x, c, p, node_getk(old, node_key(c)));
			buf_truncate(&x->path, len);
		}
	} else if (node_is(n, DOC_ARRAY)) {
		const char *type = node_gets(schema, F_x_kubernetes_list_type);

		if (streq(type, "set") || streq(type, "map"))
			value_unique(x, n, schema, streq(type, "map"));
		NODE_FOREACH(c, n) {
			buf_addf(&x->path, "[%zu]", i++);
			value_lists(x, c, schema_custom_items(schema), NULL);
			buf_truncate(&x->path, len);
		}
	}
}

/* --- embedded resources --- */

static void value_embedded(struct value *x, const struct node *n, const struct node *schema, bool root)
{
	size_t len = x->path.len, i = 0;

	if (!schema || !node_count(n))
		return;
	if (!root && crd_is_embedded(schema) && node_is(n, DOC_OBJECT)) {
		struct buf name = BUF_INIT;

		buf_addstr(&name, buf_str(&x->path));
		if (!node_get(n, F_apiVersion))
			v_required(x->v, VP(VP(NULL, name.s), "apiVersion"), "must not be empty");
		if (!node_get(n, F_kind))
			v_required(x->v, VP(VP(NULL, name.s), "kind"), "must not be empty");
		buf_release(&name);
	}
	NODE_FOREACH(c, n) {
		const struct node *p = node_is(n, DOC_ARRAY) ? schema_custom_items(schema) :
							       schema_custom_member(schema, node_key(c));

		if (!p || !node_count(c))
			continue;
		if (node_is(n, DOC_ARRAY))
			buf_addf(&x->path, "[%zu]", i++);
		else
			value_enter(x, node_key(c));
		value_embedded(x, c, p, false);
		buf_truncate(&x->path, len);
	}
}

/* --- */

static struct value value_new(struct valid *v, const char *path)
{
	struct value x = { .v = v, .path = BUF_INIT, .steps = STEPS, .regex_steps = REGEX_STEPS };

	buf_adds(&x.path, path);
	return x;
}

static bool value_end(struct value *x)
{
	if (x->tired)
		value_say(x, "the object is too large to be checked against its schema");
	buf_release(&x->path);
	return !x->tired;
}

bool crd_value(struct valid *v, const char *path, const struct node *n, const struct node *schema,
	       const struct node *old)
{
	struct value x = value_new(v, path);
	bool ok = value_check(&x, n, schema, old);

	return value_end(&x) && ok;
}

/* Replicas, where scale is told to find them. */
static void value_scale(struct valid *v)
{
	static const enum field paths[] = { F_specReplicasPath, F_statusReplicasPath };
	const struct node *scale = schema_custom_scale(v->r->custom);

	for (size_t i = 0; scale && i < ARRAY_SIZE(paths); i++) {
		const char *path = node_gets(scale, paths[i]);
		const struct node *n = *path ? schema_path_get(v->root, path) : NULL;

		if (!n)
			continue;
		if (!node_is(n, DOC_INT))
			v_invalid_node(v, VP(NULL, path), n, "should be an integer");
		else if (n->u.i < 0)
			v_invalid_int(v, VP(NULL, path), n->u.i, "should be a non-negative integer");
		else if (n->u.i > INT32_MAX)
			v_invalid_int(v, VP(NULL, path), n->u.i, "should be less than or equal to 2147483647");
	}
}

void v_custom(struct valid *v)
{
	const struct node *schema = schema_custom_schema(v->r->custom);
	struct value x = value_new(v, "");

	if (schema && streq(v->sub, "status")) {
		/* Through "status" only the status is looked at. */
		const struct node *status = node_get(v->root, F_status);
		const struct node *part = node_get(node_get(schema, F_properties), F_status);

		buf_adds(&x.path, "status");
		if (status && part && value_check(&x, status, part, node_get(v->old, F_status)))
			value_lists(&x, status, part, node_get(v->old, F_status));
	} else if (schema) {
		value_check(&x, v->root, schema, v->old);
		value_embedded(&x, v->root, schema, true);
		value_lists(&x, v->root, schema, v->old);
	}
	value_scale(v);
	value_end(&x);
}
