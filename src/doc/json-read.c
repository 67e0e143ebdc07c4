/*
 * JSON in: yajl's callbacks build the tree. yajl is included here and nowhere
 * else, and only its lexer and grammar are used (never its own tree).
 *
 * Around it, because yajl leaves them to the caller or gets them wrong:
 *  - UTF-8 is checked over the whole text first (yajl accepts overlong forms and
 *    surrogates), so its own check is off;
 *  - a \u escape of a lone surrogate becomes U+FFFD as in Go (on a copy of the
 *    text; such texts are rare), and numbers keep their text through yajl_number;
 *  - depth, number of values and size are limited (base/limits.h);
 *  - duplicate keys are found when an object ends: a 64-bit filter of key hashes
 *    tells nearly all objects free of them without a look at the members. The
 *    last value wins, as Go's decoder has it;
 *  - errors are worded and placed by json-error.c, which walks the text again as
 *    Go's scanner does, since Kubernetes' clients know those texts.
 */
#include "doc/internal.h"

#include <stdio.h>

#include <yajl/yajl_parse.h>

#include "base/limits.h"
#include "base/vec.h"

struct json_reader {
	struct doc *d;
	struct node *stack[LIMIT_JSON_DEPTH]; /* open containers */
	uint64_t filter[LIMIT_JSON_DEPTH];    /* hashes of the keys seen, one bit each */
	bool suspect[LIMIT_JSON_DEPTH];	      /* a bit was set twice */
	size_t depth;
	size_t nodes;
	struct node *root;
	enum field name; /* the key whose value comes next */
	const char *key;
	uint32_t key_len;
	struct dups *dups;
	const char *refused; /* why a callback stopped the parser */
};

static int json_refuse(struct json_reader *r, const char *why)
{
	r->refused = why;
	return 0;
}

/* A new value at the current place. */
static struct node *json_place(struct json_reader *r, enum doc_type t)
{
	struct node *n;

	if (++r->nodes > LIMIT_DOC_NODES) {
		json_refuse(r, "too many values in one document");
		return NULL;
	}
	n = node_alloc(r->d, t);
	if (r->depth == 0) {
		r->root = n;
		return n;
	}
	if (r->stack[r->depth - 1]->type == DOC_OBJECT) {
		n->name = (uint16_t)r->name;
		n->key = r->key;
		n->key_len = r->key_len;
	}
	node_link(r->stack[r->depth - 1], n);
	return n;
}

static int json_null(void *ctx)
{
	return json_place(ctx, DOC_NULL) != NULL;
}

static int json_boolean(void *ctx, int value)
{
	struct node *n = json_place(ctx, DOC_BOOL);

	if (n)
		n->u.b = value != 0;
	return n != NULL;
}

/* An integer within int64; yajl has checked the grammar. */
static bool json_integer(const char *s, size_t len, int64_t *ret)
{
	bool negative = *s == '-';
	uint64_t v = 0;

	if (negative) {
		s++;
		len--;
	}
	if (len > 19)
		return false;
	for (size_t i = 0; i < len; i++) {
		unsigned digit = (unsigned)(uint8_t)s[i] - '0';

		if (digit > 9)
			return false;
		v = v * 10 + digit;
	}
	if (v > (uint64_t)INT64_MAX + negative)
		return false;
	*ret = negative ? (int64_t)(0 - v) : (int64_t)v;
	return true;
}

static int json_number(void *ctx, const char *s, size_t len)
{
	struct json_reader *r = ctx;
	struct node *n = json_place(r, DOC_INT);

	if (!n)
		return 0;
	if (!json_integer(s, len, &n->u.i)) {
		n->type = DOC_FLOAT;
		n->len = (uint32_t)len;
		n->u.s = arena_memdupz(doc_arena(r->d), s, len);
	}
	return 1;
}

static int json_string(void *ctx, const unsigned char *s, size_t len)
{
	struct json_reader *r = ctx;
	struct node *n = json_place(r, DOC_STRING);

	if (!n)
		return 0;
	n->len = (uint32_t)len;
	n->u.s = len ? arena_memdupz(doc_arena(r->d), s, len) : "";
	return 1;
}

static int json_key(void *ctx, const unsigned char *s, size_t len)
{
	struct json_reader *r = ctx;
	struct node name = {0};
	uint64_t bit;

	node_name(r->d, &name, str_n((const char *)s, len), true);
	r->name = (enum field)name.name;
	r->key = name.key;
	r->key_len = name.key_len;
	if (name.name != F_NONE)
		bit = 1ull << (name.name & 63);
	else
		bit = 1ull << ((len * 7 + (len ? s[0] + s[len - 1] * 31u + s[len / 2] * 3u : 0)) & 63);
	if (r->filter[r->depth - 1] & bit)
		r->suspect[r->depth - 1] = true;
	r->filter[r->depth - 1] |= bit;
	return 1;
}

static int json_start(struct json_reader *r, enum doc_type t)
{
	struct node *n;

	if (r->depth == LIMIT_JSON_DEPTH)
		return json_refuse(r, "nested too deeply");
	n = json_place(r, t);
	if (!n)
		return 0;
	r->stack[r->depth] = n;
	r->filter[r->depth] = 0;
	r->suspect[r->depth] = false;
	r->depth++;
	return 1;
}

static int json_start_map(void *ctx)
{
	return json_start(ctx, DOC_OBJECT);
}

static int json_end_map(void *ctx)
{
	struct json_reader *r = ctx;

	if (r->suspect[r->depth - 1])
		node_dedup(r->stack[r->depth - 1], r->stack, r->depth, r->dups);
	r->depth--;
	return 1;
}

static int json_start_array(void *ctx)
{
	return json_start(ctx, DOC_ARRAY);
}

static int json_end_array(void *ctx)
{
	struct json_reader *r = ctx;

	r->depth--;
	return 1;
}

static const yajl_callbacks json_callbacks = {
	.yajl_null = json_null,
	.yajl_boolean = json_boolean,
	.yajl_number = json_number,
	.yajl_string = json_string,
	.yajl_start_map = json_start_map,
	.yajl_map_key = json_key,
	.yajl_end_map = json_end_map,
	.yajl_start_array = json_start_array,
	.yajl_end_array = json_end_array,
};

static void *json_malloc(void *ctx, size_t n)
{
	return xmalloc(n);
}

static void *json_realloc(void *ctx, void *p, size_t n)
{
	return xrealloc(p, n);
}

static void json_free(void *ctx, void *p)
{
	free(p);
}

/* --- lone surrogates --- */

/* The code unit of a \uXXXX at p, or -1. */
static int json_unit(const char *p, const char *end)
{
	int v = 0;

	if (end - p < 6 || p[0] != '\\' || p[1] != 'u')
		return -1;
	for (int i = 2; i < 6; i++) {
		int c = (unsigned char)p[i] | 0x20;

		if (c >= '0' && c <= '9')
			v = v * 16 + c - '0';
		else if (c >= 'a' && c <= 'f')
			v = v * 16 + c - 'a' + 10;
		else
			return -1;
	}
	return v;
}

/* Does the text hold an escape \ud...? memchr finds the few backslashes at once, memmem would take its time.
 */
static bool json_has_surrogate(struct str text)
{
	const char *end = text.p + text.n;

	for (const char *p = text.p; end - p > 6 && (p = memchr(p, '\\', (size_t)(end - p))); p++) {
		if (end - p > 2 && p[1] == 'u' && (p[2] | 0x20) == 'd')
			return true;
	}
	return false;
}

/* Replaces escapes of lone surrogates by \ufffd. False: nothing to replace, out is untouched. */
static bool json_mend_surrogates(struct str text, struct buf *out)
{
	if (!json_has_surrogate(text))
		return false;
	buf_addstr(out, text);
	for (char *p = out->s, *end = out->s + out->len; (p = memchr(p, '\\', (size_t)(end - p)));) {
		int unit = json_unit(p, end);

		if (unit >= 0xd800 && unit < 0xdc00) {
			int low = json_unit(p + 6, end);

			if (low >= 0xdc00 && low < 0xe000) {
				p += 12;
				continue;
			}
		}
		if (unit >= 0xd800 && unit < 0xe000)
			memcpy(p, "\\ufffd", 6);
		p += end - p >= 2 ? 2 : 1;
	}
	return true;
}

/* --- */

static int json_run(struct json_reader *r, struct str text, bool prefix, size_t *ret_used)
{
	static yajl_alloc_funcs mem = {json_malloc, json_realloc, json_free, NULL};
	yajl_handle h = yajl_alloc(&json_callbacks, &mem, r);
	yajl_status st;

	yajl_config(h, yajl_dont_validate_strings, 1);
	if (prefix)
		yajl_config(h, yajl_allow_trailing_garbage, 1);
	st = yajl_parse(h, (const unsigned char *)text.p, text.n);
	*ret_used = yajl_get_bytes_consumed(h);
	if (st == yajl_status_ok)
		st = yajl_complete_parse(h);
	yajl_free(h);
	return st == yajl_status_ok && r->root ? 0 : -1;
}

static void json_reader_init(struct json_reader *r, struct doc *d, struct dups *dups)
{
	/* Not the whole struct: the stack is as deep as the limit. */
	r->d = d;
	r->depth = r->nodes = 0;
	r->root = NULL;
	r->dups = dups;
	r->refused = NULL;
}

static int json_read(struct doc **ret, struct str text, bool prefix, struct dups *dups, struct err *e)
{
	_cleanup_doc_ struct doc *d = doc_new();
	_cleanup_buf_ struct buf mended = BUF_INIT;
	struct json_reader r;
	size_t used;

	json_reader_init(&r, d, dups);
	if (!str_is_utf8(text))
		return json_explain(text, prefix, "invalid UTF-8", e);
	if (json_mend_surrogates(text, &mended))
		text = buf_str(&mended);
	if (json_run(&r, text, prefix, &used) < 0)
		return json_explain(text, prefix, r.refused, e);
	doc_set_root(d, r.root);
	*ret = take_ptr(&d);
	return 0;
}

int json_read_stream(struct doc ***ret, size_t *ret_n, struct str text, struct dups *dups)
{
	_cleanup_buf_ struct buf mended = BUF_INIT;
	VEC(struct doc *) docs = VEC_INIT;
	struct json_reader r;
	size_t used = 0;

	if (json_mend_surrogates(text, &mended))
		text = buf_str(&mended);
	for (text = str_trim(text); text.n; text = str_trim(str_sub(text, used, text.n))) {
		_cleanup_doc_ struct doc *d = doc_new();

		json_reader_init(&r, d, dups);
		if (docs.n == LIMIT_YAML_DOCS || json_run(&r, text, true, &used) < 0 || used == 0)
			break;
		doc_set_root(d, r.root);
		VEC_PUSH(&docs, take_ptr(&d));
	}
	if (text.n) {
		for (size_t i = 0; i < docs.n; i++)
			doc_unref(docs.v[i]);
		VEC_RELEASE(&docs);
		return -1;
	}
	*ret = docs.v;
	*ret_n = docs.n;
	return 0;
}

int doc_check_size(struct str text, const struct doc_json_opts *opts, struct err *e)
{
	size_t max = opts && opts->max_bytes ? opts->max_bytes : LIMIT_BODY_BYTES;

	if (text.n > max)
		return err_set(e, ERR_TOO_LARGE, "Request entity too large: limit is %zu", max);
	return 0;
}

int doc_parse_json(struct doc **ret, struct str text, const struct doc_json_opts *opts, struct err *e)
{
	struct dups dups = {.n = 0};
	int r;

	if (doc_check_size(text, opts, e) < 0)
		return -e->code;
	r = json_read(ret, text, opts && opts->trailing_ok, &dups, e);
	if (r == 0)
		dups_tell(&dups, opts);
	dups_release(&dups);
	return r;
}
