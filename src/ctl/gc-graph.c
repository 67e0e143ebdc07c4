/*
 * The garbage collector's graph: fed with every object's changes, it says which
 * nodes to look at.
 *
 * Events are no part of it, as in Kubernetes: they go by their time.
 *
 * Most objects have no owner: a search for a few bytes finds that out, and
 * neither a tree nor a node is made for them.
 */
#include "ctl/gc.h"

#define GC_FOREGROUND "foregroundDeletion"
#define GC_ORPHAN "orphan"

static void gc_node_free(void *p)
{
	struct gc_node *n = p;

	obj_unref(n->obj);
	for (size_t i = 0; i < n->refs.n; i++)
		free(n->refs.v[i]);
	VEC_RELEASE(&n->refs);
	free(n);
}

void gc_graph_init(struct gc_graph *g, void (*wake)(void *arg, struct gc_node *n), void *arg)
{
	*g = (struct gc_graph){ .nodes = map_new(gc_node_free), .wake = wake, .arg = arg };
}

void gc_graph_release(struct gc_graph *g)
{
	map_free(g->nodes);
}

struct gc_node *gc_graph_find(const struct gc_graph *g, const char *uid)
{
	return map_getc(g->nodes, uid);
}

static struct gc_node *gc_node_need(struct gc_graph *g, const char *uid)
{
	struct gc_node *n = gc_graph_find(g, uid);
	size_t len = strlen(uid) + 1;

	if (n)
		return n;
	n = xcalloc(1, sizeof(*n) + len);
	memcpy(n->uid, uid, len);
	TAILQ_INIT(&n->dependents);
	map_set(g->nodes, str_of(uid), n);
	return n;
}

/* A node that says nothing any more is forgotten. */
static void gc_node_tidy(struct gc_graph *g, struct gc_node *n)
{
	if (!n->refs.n && !n->n_dependents && !(n->deleting && (n->foreground || n->orphan)))
		map_del(g->nodes, str_of(n->uid));
}

/* --- references --- */

const char *gc_ref_ns(const struct gc_ref *r)
{
	return r->res && r->res->namespaced ? r->dependent->obj->ns : "";
}

bool gc_ref_same_place(const struct gc_ref *a, const struct gc_ref *b)
{
	return a->res == b->res && streq(a->name, b->name) && streq(gc_ref_ns(a), gc_ref_ns(b));
}

static bool gc_ref_fits(const struct gc_ref *r)
{
	const struct obj *o = r->owner->obj;

	return streq(o->res->prefix, r->res->prefix) && streq(o->name, r->name) && streq(o->ns, gc_ref_ns(r));
}

enum gc_state gc_ref_state(const struct gc_ref *r)
{
	const struct gc_node *owner = r->owner;

	if (r->absent)
		return GC_DANGLING;
	if (!r->res)
		return GC_NO_KIND;
	if (r->res->namespaced && !*r->dependent->obj->ns)
		return GC_BAD_SCOPE;
	if (!owner->obj)
		return r->asked ? GC_ASKED : GC_UNKNOWN;
	if (!gc_ref_fits(r))
		return GC_DANGLING;
	return owner->deleting && owner->foreground ? GC_WAITING : GC_SOLID;
}

static bool gc_ref_blocks(const struct gc_ref *r)
{
	return r->block && r->owner != r->dependent; /* nobody waits for itself */
}

/* What the reference names, as it is stored; NULL: nothing that could be an owner. */
static const struct resource *gc_ref_kind(const struct node *ref)
{
	const struct schema_res *r = schema_find_api(node_str(node_get(ref, F_apiVersion)),
						     node_str(node_get(ref, F_kind)));
	const struct schema_res *st = r && !r->is_virtual ? schema_storage(r) : NULL;

	return st ? &st->r : NULL;
}

static void gc_ref_add(struct gc_graph *g, struct gc_node *n, const struct node *ref)
{
	const char *name = node_gets(ref, F_name);
	struct gc_ref *r = xcalloc(1, sizeof(*r) + strlen(name) + 1);

	strcpy(r->name, name);
	r->owner = gc_node_need(g, node_gets(ref, F_uid));
	r->dependent = n;
	r->res = gc_ref_kind(ref);
	r->block = node_bool(node_get(ref, F_blockOwnerDeletion), false);
	r->absent = r->owner->gone;
	g->n_unknown += !r->res;
	TAILQ_INSERT_TAIL(&r->owner->dependents, r, link);
	r->owner->n_dependents++;
	r->owner->n_blocking += gc_ref_blocks(r);
	VEC_PUSH(&n->refs, r);
}

/* Owners that wait may go on when nothing holds them any more. */
static void gc_owner_eased(struct gc_graph *g, struct gc_node *owner)
{
	if (owner->deleting && ((owner->foreground && !owner->n_blocking) || (owner->orphan && !owner->n_dependents)))
		g->wake(g->arg, owner);
}

static void gc_ref_drop(struct gc_graph *g, struct gc_ref *r)
{
	struct gc_node *owner = r->owner;

	TAILQ_REMOVE(&owner->dependents, r, link);
	owner->n_dependents--;
	owner->n_blocking -= gc_ref_blocks(r);
	g->n_unknown -= !r->res;
	gc_owner_eased(g, owner);
	if (owner != r->dependent)
		gc_node_tidy(g, owner);
	free(r);
}

static void gc_ref_set_block(struct gc_graph *g, struct gc_ref *r, bool block)
{
	r->owner->n_blocking -= gc_ref_blocks(r);
	r->block = block;
	r->owner->n_blocking += gc_ref_blocks(r);
	gc_owner_eased(g, r->owner);
}

static bool gc_ref_is(const struct gc_ref *r, const struct node *ref)
{
	return node_streq(node_get(ref, F_uid), r->owner->uid) && node_streq(node_get(ref, F_name), r->name) &&
	       gc_ref_kind(ref) == r->res;
}

/* n's references become those of the list; those that stay keep what is known about them. */
static void gc_refs_set(struct gc_graph *g, struct gc_node *n, const struct node *list)
{
	VEC(struct gc_ref *) old = VEC_INIT;

	for (size_t i = 0; i < n->refs.n; i++)
		VEC_PUSH(&old, n->refs.v[i]);
	n->refs.n = 0;
	NODE_FOREACH(ref, list)
	{
		struct gc_ref *found = NULL;

		if (!*node_gets(ref, F_uid))
			continue;
		for (size_t i = 0; i < old.n && !found; i++)
			if (old.v[i] && gc_ref_is(old.v[i], ref)) {
				found = old.v[i];
				old.v[i] = NULL;
			}
		if (!found) {
			gc_ref_add(g, n, ref);
			continue;
		}
		VEC_PUSH(&n->refs, found);
		if (found->block != node_bool(node_get(ref, F_blockOwnerDeletion), false))
			gc_ref_set_block(g, found, !found->block);
	}
	for (size_t i = 0; i < old.n; i++)
		if (old.v[i])
			gc_ref_drop(g, old.v[i]);
	VEC_RELEASE(&old);
}

/* --- objects --- */

static bool gc_concerns(const struct obj *o)
{
	return obj_json_has(o, "\"ownerReferences\":[{") ||
	       (obj_json_has(o, "\"deletionTimestamp\":\"") &&
		(obj_json_has(o, "\"" GC_FOREGROUND "\"") || obj_json_has(o, "\"" GC_ORPHAN "\"")));
}

static bool gc_meta_has_finalizer(const struct node *meta, const char *name)
{
	NODE_FOREACH(f, node_get(meta, F_finalizers))
		if (node_streq(f, name))
			return true;
	return false;
}

static void gc_wake_dependents(struct gc_graph *g, struct gc_node *n, bool all)
{
	struct gc_ref *r;

	TAILQ_FOREACH(r, &n->dependents, link)
		if (all || gc_ref_state(r) != GC_SOLID)
			g->wake(g->arg, r->dependent);
}

bool gc_is_due(const struct gc_node *n)
{
	if (!n->obj)
		return false;
	if (n->deleting && (n->foreground || n->orphan))
		return true;
	for (size_t i = 0; i < n->refs.n; i++)
		if (gc_ref_state(n->refs.v[i]) != GC_SOLID ||
		    (n->refs.v[i]->owner->deleting && n->refs.v[i]->owner->orphan))
			return true;
	return false;
}

void gc_graph_put(struct gc_graph *g, struct obj *o)
{
	struct gc_node *n = gc_graph_find(g, o->uid);
	_cleanup_doc_ struct doc *d = NULL;
	const struct node *meta;
	bool first, waited;

	if (!*o->uid || streq(o->res->kind, "Event") || (!n && !gc_concerns(o)) || (n && (n->gone || (n->obj && n->obj->rv >= o->rv))))
		return;
	n = gc_node_need(g, o->uid);
	first = !n->obj;
	waited = n->deleting && (n->foreground || n->orphan);
	obj_unref(n->obj);
	n->obj = obj_ref(o);
	d = obj_doc_once(o);
	meta = meta_of(doc_root(d));
	n->deleting = meta_is_deleting(doc_root(d));
	n->foreground = gc_meta_has_finalizer(meta, GC_FOREGROUND);
	n->orphan = gc_meta_has_finalizer(meta, GC_ORPHAN);
	gc_refs_set(g, n, node_get(meta, F_ownerReferences));
	if (!waited && n->deleting && (n->foreground || n->orphan))
		gc_wake_dependents(g, n, true);
	else if (first)
		gc_wake_dependents(g, n, false);
	if (gc_is_due(n))
		g->wake(g->arg, n);
	gc_node_tidy(g, n);
}

void gc_graph_drop(struct gc_graph *g, struct obj *last)
{
	struct gc_node *n = gc_graph_find(g, last->uid);
	struct gc_ref *r;

	if (!n)
		return;
	/* Its own references first: they speak of its namespace. */
	gc_refs_set(g, n, NULL);
	n->obj = obj_unref(n->obj);
	n->gone = true;
	n->deleting = n->foreground = n->orphan = false;
	TAILQ_FOREACH(r, &n->dependents, link) {
		r->absent = true;
		g->wake(g->arg, r->dependent);
	}
	gc_node_tidy(g, n);
}

void gc_graph_kinds_changed(struct gc_graph *g)
{
	struct map_iter it = { 0 };
	VEC(struct obj *) again = VEC_INIT;

	if (!g->n_unknown)
		return;
	while (map_next(g->nodes, &it)) {
		struct gc_node *n = it.value;

		for (size_t i = 0; i < n->refs.n; i++)
			if (!n->refs.v[i]->res) {
				VEC_PUSH(&again, obj_ref(n->obj));
				break;
			}
	}
	for (size_t i = 0; i < again.n; i++) {
		struct gc_node *n = gc_graph_find(g, again.v[i]->uid);
		_cleanup_doc_ struct doc *d = obj_doc_once(again.v[i]);

		gc_refs_set(g, n, node_get(meta_of(doc_root(d)), F_ownerReferences));
		if (gc_is_due(n))
			g->wake(g->arg, n);
		obj_unref(again.v[i]);
	}
	VEC_RELEASE(&again);
}

void gc_graph_kind_gone(struct gc_graph *g, struct gc_node *owner, const struct resource *res)
{
	struct gc_ref *r;

	TAILQ_FOREACH(r, &owner->dependents, link)
		if (r->res == res) {
			r->res = NULL;
			r->asked = false;
			g->n_unknown++;
		}
}

bool gc_in_cycle(struct gc_graph *g, struct gc_node *n, const struct gc_node *to)
{
	VEC(struct gc_node *) todo = VEC_INIT;
	bool found = false;

	g->visits++;
	VEC_PUSH(&todo, n);
	while (todo.n && !found) {
		struct gc_node *at = todo.v[--todo.n];
		struct gc_ref *r;

		TAILQ_FOREACH(r, &at->dependents, link) {
			struct gc_node *d = r->dependent;

			if (!gc_ref_blocks(r) || !d->deleting || !d->foreground || d->visit == g->visits)
				continue;
			d->visit = g->visits;
			found |= d == to;
			VEC_PUSH(&todo, d);
		}
	}
	VEC_RELEASE(&todo);
	return found;
}
