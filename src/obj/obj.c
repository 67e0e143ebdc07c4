/*
 * The immutable, counted object and its cached tree.
 *
 * One allocation holds the struct, its cuts, its strings and its JSON bytes: a cut
 * says where a text belongs that is kept elsewhere (shared.c), namely the value of
 * a "fieldsV1". That these belong to managedFields is not looked at: they are texts
 * at places. Trees are
 * made on demand and kept on a list, oldest use first, that obj_trim shortens.
 */
#include "obj/obj.h"

#include <stdio.h>

#include "base/tree.h"
#include "obj/shared.h"

#define CUTS_MAX 64 /* in one object; what is beyond is its own */
#define CUT_MIN 96 /* bytes; less is not worth it */

struct obj_cut {
	uint32_t at; /* in o->own */
	struct shared *text;
};

struct obj_cached {
	TAILQ_ENTRY(obj_cached) link;
	struct obj *obj;
	struct doc *doc;
	size_t bytes;
};
static TAILQ_HEAD(, obj_cached) obj_cache = TAILQ_HEAD_INITIALIZER(obj_cache);
static size_t obj_cache_bytes;

static void obj_cache_put(struct obj *o, struct doc *d_take)
{
	struct obj_cached *c = xmalloc(sizeof(*c));

	c->obj = o;
	c->doc = d_take;
	c->bytes = doc_memory(d_take);
	o->tree = c;
	obj_cache_bytes += c->bytes;
	TAILQ_INSERT_TAIL(&obj_cache, c, link);
}

static void obj_cache_drop(struct obj_cached *c)
{
	TAILQ_REMOVE(&obj_cache, c, link);
	obj_cache_bytes -= c->bytes;
	c->obj->tree = NULL;
	doc_unref(c->doc);
	free(c);
}

void obj_trim(size_t keep)
{
	while (obj_cache_bytes > keep && !TAILQ_EMPTY(&obj_cache))
		obj_cache_drop(TAILQ_FIRST(&obj_cache));
}

static char *obj_put_str(char **at, const char *s)
{
	size_t n = strlen(s) + 1;
	char *p = *at;

	memcpy(p, s, n);
	*at += n;
	return p;
}

static struct obj_cut *obj_cuts(const struct obj *o)
{
	return (struct obj_cut *)(o + 1);
}

/* The length of the object that begins at p; 0: it does not end. */
static size_t json_object_len(const char *p, const char *end)
{
	size_t depth = 0;
	bool text = false;

	for (const char *c = p; c < end; c++) {
		if (text) {
			if (*c == '\\')
				c++;
			else if (*c == '"')
				text = false;
		} else if (*c == '"') {
			text = true;
		} else if (*c == '{') {
			depth++;
		} else if (*c == '}' && --depth == 0) {
			return (size_t)(c + 1 - p);
		}
	}
	return 0;
}

/* Where json's shareable parts are; a quote of a text inside would be escaped, so the key is one. */
static size_t json_find_cuts(struct str json, struct str cuts[CUTS_MAX])
{
	static const char key[] = "\"fieldsV1\":{";
	const char *p = json.p, *end = json.p + json.n;
	size_t n = 0;

	while (n < CUTS_MAX && (p = memmem(p, (size_t)(end - p), key, sizeof(key) - 1))) {
		size_t len;

		p += sizeof(key) - 2;
		len = json_object_len(p, end);
		if (!len)
			break;
		if (len >= CUT_MIN)
			cuts[n++] = str_n(p, len);
		p += len;
	}
	return n;
}

/* Copies json without the cuts to `to`; remembers where they were. */
static void obj_fill(struct obj *o, char *to, struct str json, const struct str *cuts)
{
	const char *from = json.p;

	o->own = to;
	for (size_t i = 0; i < o->n_cuts; i++) {
		size_t n = (size_t)(cuts[i].p - from);

		memcpy(to, from, n);
		to += n;
		from = cuts[i].p + cuts[i].n;
		obj_cuts(o)[i] = (struct obj_cut){ (uint32_t)(to - o->own), shared_get(cuts[i]) };
	}
	memcpy(to, from, (size_t)(json.p + json.n - from));
}

static struct obj *obj_make(const struct resource *res, const struct node *root, struct str json, int64_t rv)
{
	const char *ns = meta_ns(root), *name = meta_name(root), *uid = meta_uid(root);
	size_t strings = strlen(ns) + strlen(name) + strlen(uid) + 3, own = json.n, n;
	struct str cuts[CUTS_MAX];
	struct obj *o;
	char *at;

	BUG_ON(json.n > UINT32_MAX);
	n = json_find_cuts(json, cuts);
	for (size_t i = 0; i < n; i++)
		own -= cuts[i].n;
	o = xmalloc(sizeof(*o) + n * sizeof(struct obj_cut) + strings + own);
	*o = (struct obj){ .refs = 1, .res = res, .rv = rv, .json_len = json.n, .own_len = (uint32_t)own,
			   .n_cuts = (uint32_t)n };
	at = (char *)(obj_cuts(o) + n);
	o->ns = obj_put_str(&at, ns);
	o->name = obj_put_str(&at, name);
	o->uid = obj_put_str(&at, uid);
	obj_fill(o, at, json, cuts);
	return o;
}

size_t obj_n_pieces(const struct obj *o)
{
	return 2 * (size_t)o->n_cuts + 1;
}

struct str obj_piece(const struct obj *o, size_t i)
{
	const struct obj_cut *cuts = obj_cuts(o);
	size_t k = i / 2, from;

	if (i % 2)
		return str_n(cuts[k].text->s, cuts[k].text->len);
	from = k ? cuts[k - 1].at : 0;
	return str_n(o->own + from, (k < o->n_cuts ? cuts[k].at : o->own_len) - from);
}

void obj_json_add(const struct obj *o, struct buf *out)
{
	buf_reserve(out, o->json_len);
	for (size_t i = 0, n = obj_n_pieces(o); i < n; i++)
		buf_addstr(out, obj_piece(o, i));
}

bool obj_json_has(const struct obj *o, const char *text)
{
	return memmem(o->own, o->own_len, text, strlen(text)) != NULL;
}

struct obj *obj_new(const struct resource *res, struct doc *d, int64_t rv)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	struct obj *o;

	doc_freeze(d);
	doc_print_json(&b, doc_root(d), DOC_PRINT_COMPACT);
	o = obj_make(res, doc_root(d), buf_str(&b), rv);
	obj_cache_put(o, doc_ref(d));
	return o;
}

struct obj *obj_from_json(const struct resource *res, struct str json, struct err *e)
{
	struct doc *d;
	struct obj *o;
	int64_t rv = 0;

	if (doc_parse_json(&d, json, NULL, e) < 0)
		return NULL;
	doc_freeze(d);
	if (!node_is(doc_root(d), DOC_OBJECT) || !*meta_name(doc_root(d))) {
		err_set(e, ERR_BAD_REQUEST, "a stored object has no metadata.name");
		doc_unref(d);
		return NULL;
	}
	(void)str_to_i64(node_str(node_path(doc_root(d), F_metadata, F_resourceVersion)), &rv);
	o = obj_make(res, doc_root(d), json, rv);
	doc_unref(d);
	return o;
}

struct obj *obj_ref(struct obj *o)
{
	o->refs++;
	return o;
}

struct obj *obj_unref(struct obj *o)
{
	if (!o || --o->refs)
		return NULL;
	if (o->tree)
		obj_cache_drop(o->tree);
	for (size_t i = 0; i < o->n_cuts; i++)
		shared_unref(obj_cuts(o)[i].text);
	free(o);
	return NULL;
}

void obj_unrefp(struct obj **o)
{
	*o = obj_unref(*o);
}

static struct doc *obj_parse(const struct obj *o)
{
	_cleanup_err_ struct err e = ERR_INIT;
	_cleanup_buf_ struct buf whole = BUF_INIT;
	struct doc_json_opts opts = { .max_bytes = SIZE_MAX };
	struct doc *d;

	if (o->n_cuts)
		obj_json_add(o, &whole);
	/* The bytes were made by our own printer or checked by obj_from_json. */
	BUG_ON(doc_parse_json(&d, o->n_cuts ? buf_str(&whole) : str_n(o->own, o->own_len), &opts, &e) < 0);
	doc_freeze(d);
	return d;
}

struct doc *obj_doc_once(struct obj *o)
{
	return o->tree ? doc_ref(o->tree->doc) : obj_parse(o);
}

struct doc *obj_doc(struct obj *o)
{
	struct obj_cached *c = o->tree;

	if (!c) {
		struct doc *d = obj_parse(o);

		obj_cache_put(o, d);
		return d;
	}
	if (TAILQ_NEXT(c, link)) {
		TAILQ_REMOVE(&obj_cache, c, link);
		TAILQ_INSERT_TAIL(&obj_cache, c, link);
	}
	return c->doc;
}

const struct node *obj_node(struct obj *o)
{
	return doc_root(obj_doc(o));
}

size_t obj_memory(const struct obj *o)
{
	return (size_t)(o->own - (const char *)o) + o->own_len;
}

void obj_key_print(struct buf *out, const char *ns, const char *name)
{
	if (!str_empty(ns))
		buf_addf(out, "%s/", ns);
	buf_adds(out, name);
}

struct node *obj_reference(struct doc *d, struct obj *o)
{
	struct node *r = node_new(d, DOC_OBJECT);
	char rv[24];

	snprintf(rv, sizeof(rv), "%lld", (long long)o->rv);
	node_sets(d, r, F_kind, o->res->kind);
	if (*o->ns)
		node_sets(d, r, F_namespace, o->ns);
	node_sets(d, r, F_name, o->name);
	node_sets(d, r, F_uid, o->uid);
	node_sets(d, r, F_apiVersion, o->res->api_version);
	node_sets(d, r, F_resourceVersion, rv);
	return r;
}
