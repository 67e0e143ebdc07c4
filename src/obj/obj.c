/*
 * The immutable, counted object and its cached tree.
 *
 * One allocation holds the struct, its strings and its JSON bytes. Trees are
 * made on demand and kept on a list, oldest use first, that obj_trim shortens.
 */
#include "obj/obj.h"

#include <stdio.h>

#include "base/tree.h"

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

static struct obj *obj_make(const struct resource *res, const struct node *root, struct str json, int64_t rv)
{
	const char *ns = meta_ns(root), *name = meta_name(root), *uid = meta_uid(root);
	size_t strings = strlen(ns) + strlen(name) + strlen(uid) + 3;
	struct obj *o = xmalloc(sizeof(*o) + strings + json.n + 1);
	char *at = (char *)(o + 1);
	char *bytes;

	*o = (struct obj){ .refs = 1, .res = res, .rv = rv, .json_len = json.n };
	o->ns = obj_put_str(&at, ns);
	o->name = obj_put_str(&at, name);
	o->uid = obj_put_str(&at, uid);
	bytes = at;
	memcpy(bytes, json.p, json.n);
	bytes[json.n] = '\0';
	o->json = bytes;
	return o;
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
	struct doc_json_opts opts = { .max_bytes = SIZE_MAX };
	struct doc *d;

	/* The bytes were made by our own printer or checked by obj_from_json. */
	BUG_ON(doc_parse_json(&d, str_n(o->json, o->json_len), &opts, &e) < 0);
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
	return sizeof(*o) + (size_t)(o->json - (const char *)(o + 1)) + o->json_len + 1;
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
