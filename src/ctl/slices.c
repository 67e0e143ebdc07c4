/*
 * A set of endpoints as EndpointSlices of SLICE_MAX at most.
 *
 * What a slice has and should have stays there, so that one change writes one
 * slice. What is new goes where something has to be written anyway, then into the
 * one other slice that it fills best, then into new ones; a slice that would be
 * deleted becomes the new one instead. A family without any endpoint has one slice
 * that is empty, so that everybody sees that it was looked for.
 */
#include <stdlib.h>
#include <string.h>

#include "ctl/pods.h"
#include "ctl/service.h"

struct slice_now { /* a slice that is there, or is to come */
	struct kid *kid; /* NULL: to come */
	const char *family;
	const struct slice_group *group; /* NULL: for none of them */
	VEC(struct node *) endpoints; /* that it is to have */
	bool changed;
};
struct slices_now {
	const struct slices *s;
	VEC(struct slice_now) v;
	VEC(struct map *) wanted; /* endpoints by key, of each group */
	struct map *placed; /* keys of endpoints that some slice has */
};

void slices_init(struct slices *s, struct obj *owner, const char *service, const char *manager)
{
	*s = (struct slices){ .doc = doc_new(), .owner = owner, .service = service, .manager = manager };
}

void slices_release(struct slices *s)
{
	for (size_t i = 0; i < s->groups.n; i++) {
		free(s->groups.v[i].key);
		VEC_RELEASE(&s->groups.v[i].endpoints);
	}
	VEC_RELEASE(&s->groups);
	doc_unref(s->doc);
}

/* --- what there is to be --- */

static char *slice_key(const char *family, const struct node *ports)
{
	struct buf b = BUF_INIT;

	buf_adds(&b, family);
	if (node_count(ports))
		doc_print_json(&b, ports, DOC_PRINT_SORTED);
	return buf_detach(&b, NULL);
}

static struct slice_group *slices_group(const struct slices *s, const char *key)
{
	for (size_t i = 0; i < s->groups.n; i++)
		if (streq(s->groups.v[i].key, key))
			return &s->groups.v[i];
	return NULL;
}

void slices_add(struct slices *s, const char *family, const struct node *ports, struct node *endpoint)
{
	_cleanup_free_ char *key = slice_key(family, ports);
	struct slice_group *g = slices_group(s, key);

	if (!g) {
		VEC_PUSH(&s->groups, ((struct slice_group){ .family = family, .ports = ports }));
		g = &s->groups.v[s->groups.n - 1];
		g->key = take_ptr(&key);
	}
	VEC_PUSH(&g->endpoints, endpoint);
}

/* --- what is there --- */

/* Which endpoint it is, whatever state it is in. */
static char *slice_endpoint_key(const struct slice_group *g, const struct node *ep)
{
	struct buf b = BUF_INIT;

	buf_addf(&b, "%s %s", g->key, node_gets(node_get(ep, F_targetRef), F_uid));
	NODE_FOREACH(a, node_get(ep, F_addresses))
		buf_addf(&b, " %s", node_cstr_or(a, ""));
	return buf_detach(&b, NULL);
}

static const char *slice_family(const struct node *root)
{
	static const char *const families[] = { "IPv4", "IPv6", "FQDN" };

	for (size_t i = 0; i < ARRAY_SIZE(families); i++)
		if (node_streq(node_get(root, F_addressType), families[i]))
			return families[i];
	return "";
}

static struct map *slice_wanted(const struct slice_group *g)
{
	struct map *m = map_new(NULL);

	for (size_t i = 0; i < g->endpoints.n; i++) {
		_cleanup_free_ char *key = slice_endpoint_key(g, g->endpoints.v[i]);

		map_set(m, str_of(key), g->endpoints.v[i]);
	}
	return m;
}

static void slice_keep(struct slices_now *n, struct slice_now *now, const struct node *root)
{
	const struct map *wanted = n->wanted.v[now->group - n->s->groups.v];

	NODE_FOREACH(ep, node_get(root, F_endpoints))
	{
		_cleanup_free_ char *key = slice_endpoint_key(now->group, ep);
		struct node *want = map_getc(wanted, key);

		if (!want || map_getc(n->placed, key)) {
			now->changed = true;
			continue;
		}
		map_set(n->placed, str_of(key), want);
		VEC_PUSH(&now->endpoints, want);
		now->changed = now->changed || !node_equal(ep, want);
	}
}

static void slices_look(struct slices_now *n, const struct kid_owner *own)
{
	struct kid *c;

	TAILQ_FOREACH(c, &own->list, link) {
		const struct node *root = obj_node(c->obj);
		struct slice_now now = { .kid = c, .family = slice_family(root) };
		_cleanup_free_ char *key = slice_key(now.family, node_get(root, F_ports));

		if (c->terminating || !streq_null(meta_label(root, SLICE_MANAGER), n->s->manager))
			continue;
		now.group = slices_group(n->s, key);
		if (now.group) {
			slice_keep(n, &now, root);
			if (!now.endpoints.n) { /* may serve any of them */
				now.group = NULL;
				now.changed = false;
			}
		}
		VEC_PUSH(&n->v, now);
	}
}

/* --- where the rest goes --- */

/* The fullest of those that are written anyway and have room. */
static struct slice_now *slices_changed(struct slices_now *n, const struct slice_group *g)
{
	struct slice_now *best = NULL;

	for (size_t i = 0; i < n->v.n; i++) {
		struct slice_now *now = &n->v.v[i];

		if (now->group == g && now->changed && now->endpoints.n < SLICE_MAX &&
		    (!best || now->endpoints.n > best->endpoints.n))
			best = now;
	}
	return best;
}

/* The one that has room for all `more`, and the least room left then. */
static struct slice_now *slices_fitting(struct slices_now *n, const struct slice_group *g, size_t more)
{
	struct slice_now *best = NULL;

	for (size_t i = 0; i < n->v.n; i++) {
		struct slice_now *now = &n->v.v[i];

		if (now->group == g && now->endpoints.n + more <= SLICE_MAX &&
		    (!best || now->endpoints.n > best->endpoints.n))
			best = now;
	}
	return best;
}

static struct slice_now *slices_fresh(struct slices_now *n, const struct slice_group *g, const char *family)
{
	struct slice_now *spare = NULL;

	for (size_t i = 0; i < n->v.n && !spare; i++)
		if (!n->v.v[i].group && !n->v.v[i].changed && streq(n->v.v[i].family, family))
			spare = &n->v.v[i];
	if (!spare) {
		VEC_PUSH(&n->v, ((struct slice_now){ .family = family }));
		spare = &n->v.v[n->v.n - 1];
	}
	spare->group = g;
	spare->changed = true;
	return spare;
}

static void slices_fill(struct slices_now *n, const struct slice_group *g)
{
	VEC(struct node *) rest = VEC_INIT;

	for (size_t i = 0; i < g->endpoints.n; i++) {
		_cleanup_free_ char *key = slice_endpoint_key(g, g->endpoints.v[i]);

		if (!map_getc(n->placed, key))
			VEC_PUSH(&rest, g->endpoints.v[i]);
		map_set(n->placed, str_of(key), g->endpoints.v[i]);
	}
	for (size_t i = 0; i < rest.n;) {
		struct slice_now *now = slices_changed(n, g);

		if (!now)
			now = slices_fitting(n, g, rest.n - i);
		if (!now)
			now = slices_fresh(n, g, g->family);
		now->changed = true;
		while (i < rest.n && now->endpoints.n < SLICE_MAX)
			VEC_PUSH(&now->endpoints, rest.v[i++]);
	}
	VEC_RELEASE(&rest);
}

/* --- writing --- */

static void slice_set_labels(const struct slices *s, struct doc *d, struct node *meta)
{
	struct node *labels = s->labels ? node_copy(d, s->labels) : node_new(d, DOC_OBJECT);

	node_setk(d, labels, STR_LIT(SLICE_SERVICE), node_new_cstr(d, s->service));
	node_setk(d, labels, STR_LIT(SLICE_MANAGER), node_new_cstr(d, s->manager));
	node_set(d, meta, F_labels, labels);
	NODE_FOREACH(a, s->annotations)
		node_setk(d, node_need_object(d, meta, F_annotations), node_key(a), node_copy(d, a));
}

static void slice_set(const struct slices *s, struct doc *d, const struct slice_now *now)
{
	struct node *root = doc_root(d), *list = node_new(d, DOC_ARRAY);

	slice_set_labels(s, d, node_need_object(d, root, F_metadata));
	node_sets(d, root, F_addressType, now->family);
	for (size_t i = 0; i < now->endpoints.n; i++)
		node_append(list, node_copy(d, now->endpoints.v[i]));
	node_set(d, root, F_endpoints, list);
	node_set(d, root, F_ports, now->group ? node_copy(d, now->group->ports) : node_new(d, DOC_ARRAY));
}

static struct doc *slice_new(const struct slices *s)
{
	struct doc *d = doc_new();
	struct node *root = node_new(d, DOC_OBJECT), *meta;

	doc_set_root(d, root);
	meta = node_need_object(d, root, F_metadata);
	node_set(d, meta, F_generateName, node_new_fmt(d, "%s-", s->service));
	pod_set_controller(d, meta, s->owner);
	return d;
}

static bool slice_has_labels(const struct slices *s, const struct node *root)
{
	_cleanup_doc_ struct doc *d = doc_new();
	struct node *meta = node_new(d, DOC_OBJECT);

	slice_set_labels(s, d, meta);
	return node_equal(node_get(meta, F_labels), meta_labels(root));
}

static void slice_write(const struct slices *s, const struct slice_now *now, bool empty, struct plan *out)
{
	struct obj *o = now->kid ? now->kid->obj : NULL;
	struct doc *d;

	if (o && !now->group && !empty) {
		plan_delete(out, o->res, o->ns, o->name, o->uid);
		return;
	}
	if (o && !now->changed && slice_has_labels(s, obj_node(o)))
		return;
	d = o ? doc_clone(obj_doc(o)) : slice_new(s);
	slice_set(s, d, now);
	if (o)
		plan_update(out, o->res, o->ns, o->name, NULL, d);
	else
		plan_create(out, schema_res("discovery.k8s.io", "endpointslices"), s->owner->ns, d);
}

/* The slice that says that a family has nothing; NULL: it has something. */
static const struct slice_now *slices_empty(struct slices_now *n, const char *family)
{
	struct slice_now *now;

	for (size_t i = 0; i < n->v.n; i++)
		if (n->v.v[i].group && streq(n->v.v[i].family, family))
			return NULL;
	now = slices_fresh(n, NULL, family);
	if (now->kid) {
		const struct node *root = obj_node(now->kid->obj);

		now->changed = node_count(node_get(root, F_endpoints)) || node_count(node_get(root, F_ports));
	}
	return now;
}

static bool slices_has_family(const struct slices *s, const char *family)
{
	for (size_t f = 0; s->families[f]; f++)
		if (streq(s->families[f], family))
			return true;
	return false;
}

static void slices_write(struct slices_now *n, struct plan *out)
{
	for (size_t f = 0; n->s->families[f]; f++) {
		const struct slice_now *empty = slices_empty(n, n->s->families[f]);

		if (empty)
			slice_write(n->s, empty, true, out);
		for (size_t i = 0; i < n->v.n; i++)
			if (&n->v.v[i] != empty && streq(n->v.v[i].family, n->s->families[f]))
				slice_write(n->s, &n->v.v[i], false, out);
	}
	for (size_t i = 0; i < n->v.n; i++)
		if (!slices_has_family(n->s, n->v.v[i].family))
			slice_write(n->s, &n->v.v[i], false, out);
}

void slices_plan(const struct slices *s, const struct kids *k, struct plan *out)
{
	const struct kid_owner *own = kids_of(k, s->owner->ns, s->owner->uid);
	struct slices_now n = { .s = s, .placed = map_new(NULL) };

	for (size_t i = 0; i < s->groups.n; i++)
		VEC_PUSH(&n.wanted, slice_wanted(&s->groups.v[i]));
	if (own)
		slices_look(&n, own);
	for (size_t i = 0; i < s->groups.n; i++)
		slices_fill(&n, &s->groups.v[i]);
	slices_write(&n, out);
	for (size_t i = 0; i < n.v.n; i++)
		VEC_RELEASE(&n.v.v[i].endpoints);
	for (size_t i = 0; i < n.wanted.n; i++)
		map_free(n.wanted.v[i]);
	VEC_RELEASE(&n.wanted);
	VEC_RELEASE(&n.v);
	map_free(n.placed);
}
