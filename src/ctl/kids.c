/*
 * The index of kids by owner and by labels, and of pods by node (kids.h).
 */
#include "ctl/kids.h"

#include "base/hash.h"

struct kid_node { /* who is on a node */
	struct kid_list list;
};

struct kid_space { /* a namespace's sets of labels */
	LIST_HEAD(, kid_labels) list;
};

struct kids {
	struct map *by_uid; /* struct kid */
	struct map *nodes; /* struct kid_node by the hash of their names */
	size_t n_over;
	struct map *owners; /* struct kid_owner by "ns/uid" */
	struct map *labels; /* struct kid_labels by "ns/" and their text */
	struct map *spaces; /* struct kid_space */
	void (*changed)(void *arg, const struct kid_change *c);
	void *arg;
};

struct kids *kids_new(void (*changed)(void *arg, const struct kid_change *c), void *arg)
{
	struct kids *k = xcalloc(1, sizeof(*k));

	k->by_uid = map_new(NULL);
	k->nodes = map_new(free);
	k->owners = map_new(NULL);
	k->labels = map_new(NULL);
	k->spaces = map_new(free);
	k->changed = changed;
	k->arg = arg;
	return k;
}

/* --- labels --- */

static struct kid_space *kids_space(struct kids *k, const char *ns)
{
	struct kid_space *s = map_getc(k->spaces, ns);

	if (!s) {
		s = xcalloc(1, sizeof(*s));
		LIST_INIT(&s->list);
		map_set(k->spaces, str_of(ns), s);
	}
	return s;
}

static struct kid_labels *kids_labels_get(struct kids *k, const char *ns, const struct node *set)
{
	_cleanup_buf_ struct buf text = BUF_INIT;
	struct kid_labels *l;

	buf_addf(&text, "%s/", ns);
	if (node_count(set))
		doc_print_json(&text, set, DOC_PRINT_SORTED);
	l = map_get(k->labels, buf_str(&text));
	if (!l) {
		l = xcalloc(1, sizeof(*l));
		TAILQ_INIT(&l->list);
		LIST_INSERT_HEAD(&kids_space(k, ns)->list, l, link);
		if (node_count(set)) {
			l->doc = doc_new();
			l->set = node_copy(l->doc, set);
		}
		l->text = buf_detach(&text, NULL);
		map_set(k->labels, str_of(l->text), l);
	}
	l->refs++;
	return l;
}

static void kids_labels_put(struct kids *k, struct kid_labels *l)
{
	if (--l->refs)
		return;
	map_del(k->labels, str_of(l->text));
	LIST_REMOVE(l, link);
	doc_unref(l->doc);
	free(l->text);
	free(l);
}

void kids_selected(const struct kids *k, const char *ns, const struct selector *s, void (*fn)(void *arg, struct kid *c),
		   void *arg)
{
	const struct kid_space *space = map_getc(k->spaces, ns);
	struct kid_labels *l;
	struct kid *c;

	if (!space || !s)
		return;
	LIST_FOREACH(l, &space->list, link)
		if (selector_match(s, l->set))
			TAILQ_FOREACH(c, &l->list, alike)
				fn(arg, c);
}

/* --- owners --- */

static struct kid_owner *kids_owner_get(struct kids *k, const char *ns, const struct node *ref)
{
	_cleanup_free_ char *key = xasprintf("%s/%s", ns, node_gets(ref, F_uid));
	struct kid_owner *w = map_getc(k->owners, key);

	if (w)
		return w;
	w = xcalloc(1, sizeof(*w));
	TAILQ_INIT(&w->list);
	w->key = take_ptr(&key);
	if (ref) {
		w->kind = xstrdup(node_gets(ref, F_kind));
		w->name = xstrdup(node_gets(ref, F_name));
	}
	map_set(k->owners, str_of(w->key), w);
	return w;
}

static void kids_owner_put(struct kids *k, struct kid_owner *w)
{
	if (w->n)
		return;
	map_del(k->owners, str_of(w->key));
	free(w->key);
	free(w->kind);
	free(w->name);
	free(w);
}

const struct kid_owner *kids_of(const struct kids *k, const char *ns, const char *uid)
{
	_cleanup_free_ char *key = xasprintf("%s/%s", ns, uid);

	return map_getc(k->owners, key);
}

struct kid *kids_find(const struct kids *k, const char *uid)
{
	return map_getc(k->by_uid, uid);
}

void kids_of_name(const struct kids *k, const char *ns, const char *kind, const char *name,
		  void (*fn)(void *arg, struct kid *c), void *arg)
{
	struct map_iter it = { 0 };
	size_t n = strlen(ns);

	while (map_next(k->owners, &it)) {
		const struct kid_owner *w = it.value;
		struct kid *c;

		if (!w->kind || !streq(w->kind, kind) || !streq(w->name, name) || strncmp(w->key, ns, n) || w->key[n] != '/')
			continue;
		TAILQ_FOREACH(c, &w->list, link)
			fn(arg, c);
	}
}

/* --- nodes --- */

static struct str kids_node_key(const uint64_t *hash)
{
	return (struct str){ (const char *)hash, sizeof(*hash) };
}

static void kids_node_join(struct kids *k, struct kid *c)
{
	struct kid_node *n = map_get(k->nodes, kids_node_key(&c->node));

	k->n_over += c->phase >= POD_SUCCEEDED;
	if (!n) {
		n = xcalloc(1, sizeof(*n));
		TAILQ_INIT(&n->list);
		map_set(k->nodes, kids_node_key(&c->node), n);
	}
	TAILQ_INSERT_TAIL(&n->list, c, beside);
}

static void kids_node_leave(struct kids *k, struct kid *c)
{
	struct kid_node *n = map_get(k->nodes, kids_node_key(&c->node));

	k->n_over -= c->phase >= POD_SUCCEEDED;
	TAILQ_REMOVE(&n->list, c, beside);
	if (TAILQ_EMPTY(&n->list))
		map_del(k->nodes, kids_node_key(&c->node));
}

struct kid *kids_on_node(const struct kids *k, const char *name, struct kid *prev)
{
	uint64_t hash = *name ? hash_sip(str_of(name)) : 0;
	struct kid_node *n = prev ? NULL : map_get(k->nodes, kids_node_key(&hash));

	return prev ? TAILQ_NEXT(prev, beside) : n ? TAILQ_FIRST(&n->list) : NULL;
}

size_t kids_n_over(const struct kids *k)
{
	return k->n_over;
}

void kids_over(const struct kids *k, void (*each)(void *arg, struct kid *c), void *arg)
{
	struct map_iter it = { 0 };

	while (map_next(k->by_uid, &it))
		if (((struct kid *)it.value)->phase >= POD_SUCCEEDED)
			each(arg, it.value);
}

/* --- events --- */

static void kids_drop(struct kids *k, struct kid *c)
{
	struct kid_owner *w = c->owner;
	struct kid_change change = { .ns = c->obj->ns, .before = w, .labels_before = c->labels, .news = true };

	map_del(k->by_uid, str_of(c->obj->uid));
	kids_node_leave(k, c);
	TAILQ_REMOVE(&w->list, c, link);
	TAILQ_REMOVE(&c->labels->list, c, alike);
	w->n--;
	k->changed(k->arg, &change);
	kids_labels_put(k, c->labels);
	kids_owner_put(k, w);
	obj_unref(c->obj);
	free(c);
}

static bool kid_is_news(const struct kid *was, const struct kid *c)
{
	return was->labels != c->labels || was->owner != c->owner || was->addresses != c->addresses || was->ready != c->ready ||
	       was->terminating != c->terminating || was->phase != c->phase;
}

static void kids_put(struct kids *k, struct obj *o)
{
	const struct node *root = obj_node(o);
	struct kid *c = kids_find(k, o->uid);
	struct kid_owner *w = kids_owner_get(k, o->ns, meta_controller(root)), *before = c ? c->owner : NULL;
	struct kid_labels *labels = kids_labels_get(k, o->ns, meta_labels(root)), *old_labels = c ? c->labels : NULL;
	struct kid_change change = { .ns = o->ns, .before = before, .after = w, .labels_before = old_labels };
	struct kid was = c ? *c : (struct kid){ 0 };

	if (!c) {
		c = xcalloc(1, sizeof(*c));
		map_set(k->by_uid, str_of(o->uid), c);
	} else {
		kids_node_leave(k, c);
	}
	if (before != w) {
		if (before) {
			TAILQ_REMOVE(&before->list, c, link);
			before->n--;
		}
		TAILQ_INSERT_TAIL(&w->list, c, link);
		w->n++;
		c->owner = w;
	}
	obj_ref(o);
	obj_unref(c->obj);
	c->obj = o;
	if (old_labels)
		TAILQ_REMOVE(&old_labels->list, c, alike);
	TAILQ_INSERT_TAIL(&labels->list, c, alike);
	c->labels = labels;
	kid_look(c, root);
	kids_node_join(k, c);
	change.news = kid_is_news(&was, c);
	change.kid = c;
	change.orphan_news = !w->kind && (before != w || labels != old_labels);
	k->changed(k->arg, &change);
	if (old_labels)
		kids_labels_put(k, old_labels);
	if (before)
		kids_owner_put(k, before);
}

void kids_event(struct kids *k, enum watch_type t, struct obj *o, struct obj *old)
{
	struct kid *c = old && (t == WATCH_DELETED || !streq(old->uid, o->uid)) ? kids_find(k, old->uid) : NULL;

	if (c)
		kids_drop(k, c);
	if (t != WATCH_DELETED)
		kids_put(k, o);
}

static void kids_ignore(void *arg, const struct kid_change *c)
{
}

struct kids *kids_free(struct kids *k)
{
	struct map_iter it = { 0 };

	if (!k)
		return NULL;
	k->changed = kids_ignore;
	while (map_next(k->by_uid, &it))
		kids_drop(k, it.value);
	map_free(k->by_uid);
	map_free(k->nodes);
	map_free(k->owners);
	map_free(k->labels);
	map_free(k->spaces);
	free(k);
	return NULL;
}
