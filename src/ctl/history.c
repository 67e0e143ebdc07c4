/*
 * ControllerRevisions (history.h). A revision holds the strategic merge patch that
 * brings its template back, as kubectl applies it.
 */
#include "ctl/history.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/hash.h"

#define HISTORY_PREFIX_MAX 223

static int64_t history_number(struct obj *rev)
{
	return node_int(node_get(obj_node(rev), F_revision), 0);
}

static int history_by_number(const void *pa, const void *pb)
{
	struct kid *a = *(struct kid *const *)pa, *b = *(struct kid *const *)pb;
	int64_t na = history_number(a->obj), nb = history_number(b->obj);

	if (na != nb)
		return na < nb ? -1 : 1;
	if (a->created_s != b->created_s)
		return a->created_s < b->created_s ? -1 : 1;
	return strcmp(a->obj->name, b->obj->name);
}

const struct node *history_template(struct obj *rev)
{
	return node_path(obj_node(rev), F_data, F_spec, F_template);
}

/* {"spec":{"template":{"$patch":"replace",...}}} */
static struct node *history_data(struct doc *d, struct obj *o)
{
	struct node *data = node_new(d, DOC_OBJECT), *tmpl;

	tmpl = node_need_object(d, node_need_object(d, data, F_spec), F_template);
	node_setk(d, tmpl, STR_LIT("$patch"), node_new_cstr(d, "replace"));
	NODE_FOREACH(c, node_path(obj_node(o), F_spec, F_template))
		node_setk(d, tmpl, node_key(c), node_copy(d, c));
	return data;
}

static char *history_hash(struct obj *o, const struct node *data)
{
	const struct node *collisions = node_path(obj_node(o), F_status, F_collisionCount);
	_cleanup_buf_ struct buf b = BUF_INIT;

	doc_print_json(&b, data, DOC_PRINT_SORTED);
	if (node_int(collisions, 0))
		buf_addf(&b, "%lld", (long long)node_int(collisions, 0));
	return pod_hash(buf_str(&b));
}

void history_load(struct history *h, const struct ctl_view *v, struct obj *o, const struct selector *s, struct plan *p)
{
	_cleanup_doc_ struct doc *d = doc_new();
	struct node *data = history_data(d, o);

	*h = (struct history){ 0 };
	kids_claim(v->kids[CTL_REVISIONS], o, s, NULL, p, &h->revs);
	if (h->revs.n)
		qsort(h->revs.v, h->revs.n, sizeof(*h->revs.v), history_by_number);
	for (size_t i = h->revs.n; i-- > 0 && !h->now;)
		if (node_equal(node_get(obj_node(h->revs.v[i]->obj), F_data), data))
			h->now = h->revs.v[i]->obj;
	h->hash = history_hash(o, data);
	h->name = xasprintf("%.*s-%s", HISTORY_PREFIX_MAX, o->name, h->hash);
	if (!h->now)
		return;
	free(h->name);
	h->name = xstrdup(h->now->name);
	free(h->hash);
	h->hash = xstrdup(strrchr(h->name, '-') ? strrchr(h->name, '-') + 1 : h->name);
}

void history_release(struct history *h)
{
	VEC_RELEASE(&h->revs);
	free(h->name);
	free(h->hash);
}

struct obj *history_find(const struct history *h, const char *name)
{
	for (size_t i = 0; i < h->revs.n; i++)
		if (streq(h->revs.v[i]->obj->name, name))
			return h->revs.v[i]->obj;
	return NULL;
}

static void history_create(struct history *h, struct obj *o, const char *hash_label, int64_t number, struct plan *p)
{
	const struct node *labels = node_path(obj_node(o), F_spec, F_template, F_metadata, F_labels);
	const struct node *annotations = node_get(meta_of(obj_node(o)), F_annotations);
	struct doc *d = doc_new();
	struct node *root = node_new(d, DOC_OBJECT), *meta;

	doc_set_root(d, root);
	node_sets(d, root, F_apiVersion, "apps/v1");
	node_sets(d, root, F_kind, "ControllerRevision");
	meta = node_need_object(d, root, F_metadata);
	node_sets(d, meta, F_name, h->name);
	if (labels)
		node_set(d, meta, F_labels, node_copy(d, labels));
	node_setk(d, node_need_object(d, meta, F_labels), str_of(hash_label), node_new_cstr(d, h->hash));
	if (annotations)
		node_set(d, meta, F_annotations, node_copy(d, annotations));
	pod_set_controller(d, meta, o);
	node_set(d, root, F_data, history_data(d, o));
	node_seti(d, root, F_revision, number);
	plan_create(p, schema_res("apps", "controllerrevisions"), o->ns, d);
	plan_then(p);
}

/* Another object has the name: the next one will be another. */
static void history_collided(struct obj *o, struct plan *p)
{
	struct doc *d = doc_clone(obj_doc(o));
	struct node *status = node_need_object(d, doc_root(d), F_status);

	node_seti(d, status, F_collisionCount, node_int(node_get(status, F_collisionCount), 0) + 1);
	plan_update(p, o->res, o->ns, o->name, "status", d);
}

bool history_write(struct history *h, const struct ctl_view *v, struct obj *o, const char *hash_label, struct plan *p)
{
	int64_t newest = h->revs.n ? history_number(h->revs.v[h->revs.n - 1]->obj) : 0;
	struct doc *d;

	if (!h->now) {
		if (informer_find(v->of[2], o->ns, h->name))
			history_collided(o, p);
		else
			history_create(h, o, hash_label, newest + 1, p);
		return false;
	}
	if (history_number(h->now) < newest) {
		d = doc_clone(obj_doc(h->now));
		node_seti(d, doc_root(d), F_revision, newest + 1);
		plan_update(p, h->now->res, h->now->ns, h->now->name, NULL, d);
		plan_then(p);
	}
	return true;
}

void history_trim(const struct history *h, struct obj *o, bool (*is_live)(void *arg, struct obj *rev), void *arg,
		  struct plan *p)
{
	size_t keep = (size_t)node_int(node_path(obj_node(o), F_spec, F_revisionHistoryLimit), 10), idle = 0;

	for (size_t i = 0; i < h->revs.n; i++)
		idle += h->revs.v[i]->obj != h->now && !is_live(arg, h->revs.v[i]->obj);
	for (size_t i = 0; i < h->revs.n && idle > keep; i++) {
		struct obj *rev = h->revs.v[i]->obj;

		if (rev == h->now || is_live(arg, rev))
			continue;
		plan_delete(p, rev->res, rev->ns, rev->name, rev->uid);
		idle--;
	}
}
