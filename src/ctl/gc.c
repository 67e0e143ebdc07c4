/*
 * The garbage collector, as Kubernetes has it: objects go when none of their
 * owners is there any more.
 *
 * What is done about one object (the key is its uid):
 *	its owner orphans	the reference to that owner is taken out
 *	it is to orphan		when no dependent is left: the finalizer "orphan" goes
 *	it goes foreground	when no dependent blocks: "foregroundDeletion" goes
 *	it has a solid owner	references to others (absent, or waiting for their
 *				dependents) are taken out
 *	an owner waits for it, and it has dependents: deleted, foreground
 *	else			deleted, as its own finalizers say
 *
 * A deletion names uid and resourceVersion, so it can't hit an object that got
 * another owner meanwhile: then it is looked at again. References to a kind that
 * does not exist, or of a cluster-scoped object into a namespace, decide nothing:
 * the object stays. An owner with the right uid in another namespace is none, and
 * an event OwnerRefInvalidNamespace says so.
 *
 * Objects that wait for each other in a circle: one of them is made not to block.
 */
#include "ctl/gc.h"

#include "base/log.h"

#define GC_ASK_AGAIN_MS 1000

struct gc {
	struct ctl_run *run;
	struct gc_graph graph;
	bool synced;
	TAILQ_HEAD(, gc_ask) asks;
	TAILQ_HEAD(, gc_job) jobs;
};

struct gc_ask { /* is this owner there? */
	TAILQ_ENTRY(gc_ask) link;
	struct gc *gc;
	struct call call;
	const struct resource *res;
	char *uid, *ns, *name, *selector;
};

struct gc_job { /* one write about one object */
	TAILQ_ENTRY(gc_job) link;
	struct gc *gc;
	char uid[];
};

static struct client *gc_client(struct gc *gc)
{
	return ctl_run_client(gc->run);
}

static void gc_wake(void *arg, struct gc_node *n)
{
	struct gc *gc = arg;

	if (gc->synced)
		ctl_run_wake(gc->run, n->uid);
}

/* --- writes --- */

static void gc_wrote(void *arg, struct obj *o, const struct err *err)
{
	struct gc_job *j = arg;
	struct gc *gc = j->gc;
	bool failed = err && err->reason != ERR_NOT_FOUND;

	if (failed)
		log_debug("the garbage collector's write failed, trying again", LS("uid", j->uid), LE(err));
	TAILQ_REMOVE(&gc->jobs, j, link);
	ctl_run_done(gc->run, j->uid, failed, 0);
	free(j);
}

static struct gc_job *gc_job_new(struct gc *gc, const struct gc_node *n)
{
	struct gc_job *j = xcalloc(1, sizeof(*j) + strlen(n->uid) + 1);

	j->gc = gc;
	strcpy(j->uid, n->uid);
	TAILQ_INSERT_TAIL(&gc->jobs, j, link);
	return j;
}

static void gc_delete(struct gc *gc, struct gc_node *n, const char *propagation)
{
	client_delete_at(gc_client(gc), n->obj, true, propagation, gc_wrote, gc_job_new(gc, n));
}

/* A merge patch of n's metadata that fits this state of it only. */
static struct doc *gc_patch_new(const struct gc_node *n, struct node **meta)
{
	struct doc *d = doc_new();
	struct node *root = node_new(d, DOC_OBJECT);

	doc_set_root(d, root);
	*meta = node_need_object(d, root, F_metadata);
	node_sets(d, *meta, F_uid, n->uid);
	node_set(d, *meta, F_resourceVersion, node_new_fmt(d, "%lld", (long long)n->obj->rv));
	return d;
}

static void gc_patch(struct gc *gc, struct gc_node *n, struct doc *d_take)
{
	client_patch(gc_client(gc), n->obj->res, n->obj->ns, n->obj->name, NULL, PATCH_MERGE, d_take, gc_wrote,
		     gc_job_new(gc, n));
}

static void gc_list_set(struct doc *d, struct node *meta, enum field f, struct node *list)
{
	node_set(d, meta, f, node_count(list) ? list : node_new(d, DOC_NULL));
}

static void gc_drop_finalizer(struct gc *gc, struct gc_node *n, const char *name)
{
	struct node *meta, *list;
	struct doc *d = gc_patch_new(n, &meta);

	list = node_new(d, DOC_ARRAY);
	NODE_FOREACH(f, node_get(meta_of(obj_node(n->obj)), F_finalizers))
		if (!node_streq(f, name))
			node_append(list, node_copy(d, f));
	gc_list_set(d, meta, F_finalizers, list);
	gc_patch(gc, n, d);
}

static bool gc_orphans(const struct gc_node *owner)
{
	return owner->deleting && owner->orphan;
}

enum gc_keep { GC_KEEP_SOLID, GC_KEEP_NOT_ORPHANED, GC_KEEP_UNBLOCKED };

static bool gc_ref_stays(const struct gc_node *n, const struct node *ref, enum gc_keep keep)
{
	for (size_t i = 0; i < n->refs.n; i++) {
		const struct gc_ref *r = n->refs.v[i];
		enum gc_state state = gc_ref_state(r);

		if (!node_streq(node_get(ref, F_uid), r->owner->uid) || !node_streq(node_get(ref, F_name), r->name))
			continue;
		return keep == GC_KEEP_SOLID ? state != GC_DANGLING && state != GC_WAITING : !gc_orphans(r->owner);
	}
	return true;
}

static void gc_patch_refs(struct gc *gc, struct gc_node *n, enum gc_keep keep)
{
	struct node *meta, *list;
	struct doc *d = gc_patch_new(n, &meta);

	list = node_new(d, DOC_ARRAY);
	NODE_FOREACH(ref, node_get(meta_of(obj_node(n->obj)), F_ownerReferences))
		if (keep == GC_KEEP_UNBLOCKED || gc_ref_stays(n, ref, keep)) {
			struct node *copy = node_append(list, node_copy(d, ref));

			if (keep == GC_KEEP_UNBLOCKED)
				node_setb(d, copy, F_blockOwnerDeletion, false);
		}
	gc_list_set(d, meta, F_ownerReferences, list);
	gc_patch(gc, n, d);
}

/* --- asking --- */

static void gc_report(struct gc *gc, struct gc_ref *r)
{
	struct obj *o = r->dependent->obj;

	if (r->reported)
		return;
	r->reported = true;
	client_event(gc_client(gc), o, NULL, "garbage-collector-controller", NULL, "Warning", "OwnerRefInvalidNamespace",
		     "ownerRef [%s/%s, namespace: %s, name: %s, uid: %s] does not exist in namespace \"%s\"",
		     r->res->api_version, r->res->kind, o->ns, r->name, r->owner->uid, o->ns);
}

static bool gc_ask_is_about(const struct gc_ask *a, const struct gc_ref *r)
{
	return r->res == a->res && streq(r->name, a->name) && streq(gc_ref_ns(r), a->ns);
}

static void gc_ask_free(struct gc_ask *a)
{
	TAILQ_REMOVE(&a->gc->asks, a, link);
	free(a->uid);
	free(a->ns);
	free(a->name);
	free(a->selector);
	free(a);
}

/* What was found out holds for all who asked. */
static void gc_ask_over(struct gc_ask *a, bool absent, bool elsewhere, int64_t again_ms)
{
	struct gc_node *owner = gc_graph_find(&a->gc->graph, a->uid);
	struct gc_ref *r;

	if (owner)
		TAILQ_FOREACH(r, &owner->dependents, link) {
			if (!r->asked || !gc_ask_is_about(a, r))
				continue;
			if (elsewhere)
				gc_report(a->gc, r);
			r->asked = false;
			if (gc_ref_state(r) == GC_BAD_SCOPE) {
				r->reported = true; /* once is enough; nothing else follows */
				continue;
			}
			r->absent |= absent;
			ctl_run_wake_after(a->gc->run, r->dependent->uid, again_ms);
		}
	gc_ask_free(a);
}

static void gc_ask_found_elsewhere(struct call *c, const struct err *err)
{
	struct gc_ask *a = c->arg;
	bool elsewhere = false;

	for (size_t i = 0; !err && i < c->n_list; i++)
		elsewhere |= streq(c->list[i]->uid, a->uid);
	gc_ask_over(a, true, elsewhere, 0);
}

/* Not where it should be. In another namespace it would be none either, but somebody should know. */
static void gc_ask_elsewhere(struct gc_ask *a)
{
	a->selector = xasprintf("metadata.name=%s", a->name);
	a->call = (struct call){ .verb = VERB_LIST, .res = a->res, .done = gc_ask_found_elsewhere, .arg = a };
	a->call.opts.field_selector = a->selector;
	client_submit(gc_client(a->gc), &a->call);
}

/* The kind itself is gone: nobody can tell any more. */
static bool gc_ask_kind_gone(struct gc_ask *a)
{
	struct gc_node *owner = gc_graph_find(&a->gc->graph, a->uid);
	const struct schema_res *res = schema_find(str_of(a->res->group), str_of(a->res->version), str_of(a->res->plural));

	if (res && res->served)
		return false;
	if (owner)
		gc_graph_kind_gone(&a->gc->graph, owner, a->res);
	gc_ask_free(a);
	return true;
}

static void gc_ask_answered(struct call *c, const struct err *err)
{
	struct gc_ask *a = c->arg;

	if (err && err->reason == ERR_NOT_FOUND && gc_ask_kind_gone(a))
		return;
	if (!err && c->obj && streq(c->obj->uid, a->uid)) {
		gc_graph_put(&a->gc->graph, c->obj);
		gc_ask_over(a, false, false, 0);
	} else if (err && err->reason != ERR_NOT_FOUND) {
		log_debug("can't find out whether an owner is there", LS("name", a->name), LE(err));
		gc_ask_over(a, false, false, GC_ASK_AGAIN_MS);
	} else if (a->res->namespaced) {
		gc_ask_elsewhere(a);
	} else {
		gc_ask_over(a, true, false, 0);
	}
}

static void gc_ask(struct gc *gc, struct gc_ref *ref)
{
	struct gc_ask *a = xcalloc(1, sizeof(*a));
	struct gc_ref *r;

	TAILQ_FOREACH(r, &ref->owner->dependents, link)
		r->asked |= gc_ref_same_place(r, ref);
	a->gc = gc;
	a->res = ref->res;
	a->uid = xstrdup(ref->owner->uid);
	a->ns = xstrdup(gc_ref_ns(ref));
	a->name = xstrdup(ref->name);
	TAILQ_INSERT_TAIL(&gc->asks, a, link);
	if (gc_ref_state(ref) == GC_BAD_SCOPE) {
		gc_ask_elsewhere(a);
		return;
	}
	a->call = (struct call){ .verb = VERB_GET, .res = a->res, .ns = a->ns, .name = a->name, .done = gc_ask_answered,
				 .arg = a };
	client_submit(gc_client(gc), &a->call);
}

/* --- deciding; each gives true when it has begun a write --- */

static bool gc_leave_orphaning(struct gc *gc, struct gc_node *n)
{
	for (size_t i = 0; i < n->refs.n; i++)
		if (gc_orphans(n->refs.v[i]->owner)) {
			gc_patch_refs(gc, n, GC_KEEP_NOT_ORPHANED);
			return true;
		}
	return false;
}

/* n and one of its owners wait for each other, perhaps by way of others. */
static bool gc_break_cycle(struct gc *gc, struct gc_node *n)
{
	for (size_t i = 0; i < n->refs.n; i++) {
		const struct gc_ref *r = n->refs.v[i];

		if (r->block && gc_ref_state(r) == GC_WAITING && gc_in_cycle(&gc->graph, n, r->owner)) {
			gc_patch_refs(gc, n, GC_KEEP_UNBLOCKED);
			return true;
		}
	}
	return false;
}

static bool gc_go_on(struct gc *gc, struct gc_node *n)
{
	if (n->orphan) {
		if (n->n_dependents)
			return false;
		gc_drop_finalizer(gc, n, "orphan");
		return true;
	}
	if (!n->foreground)
		return false;
	if (!n->n_blocking) {
		gc_drop_finalizer(gc, n, "foregroundDeletion");
		return true;
	}
	return gc_break_cycle(gc, n);
}

/* False: it can't be told yet, or ever. */
static bool gc_classify(struct gc *gc, struct gc_node *n, size_t count[3])
{
	for (size_t i = 0; i < n->refs.n; i++) {
		struct gc_ref *r = n->refs.v[i];
		enum gc_state state = gc_ref_state(r);

		if (state == GC_UNKNOWN || (state == GC_BAD_SCOPE && !r->asked && !r->reported))
			gc_ask(gc, r);
		if (state > GC_DANGLING)
			return false;
		if (state == GC_DANGLING && r->owner->obj && r->res->namespaced && *r->owner->obj->ns &&
		    !streq(r->owner->obj->ns, n->obj->ns))
			gc_report(gc, r);
		count[state]++;
	}
	return n->refs.n > 0;
}

static bool gc_has_waiting_dependent(const struct gc_node *n)
{
	const struct gc_ref *r;

	TAILQ_FOREACH(r, &n->dependents, link)
		if (r->dependent->deleting && r->dependent->foreground)
			return true;
	return false;
}

static bool gc_blocks(const struct gc_node *n)
{
	for (size_t i = 0; i < n->refs.n; i++)
		if (n->refs.v[i]->block)
			return true;
	return false;
}

static bool gc_collect(struct gc *gc, struct gc_node *n)
{
	size_t count[3] = { 0 };

	if (!gc_classify(gc, n, count))
		return false;
	if (count[GC_SOLID]) {
		if (!count[GC_DANGLING] && !count[GC_WAITING])
			return false;
		gc_patch_refs(gc, n, GC_KEEP_SOLID);
	} else if (count[GC_WAITING] && n->n_dependents) {
		/* Perhaps a circle: first let nobody wait for n; the change brings us back here. */
		if (gc_has_waiting_dependent(n) && gc_blocks(n))
			gc_patch_refs(gc, n, GC_KEEP_UNBLOCKED);
		else
			gc_delete(gc, n, "Foreground");
	} else {
		gc_delete(gc, n, n->orphan ? "Orphan" : n->foreground ? "Foreground" : "Background");
	}
	return true;
}

void gc_start(struct ctl_run *run, const struct ctl_view *v, const char *key)
{
	struct gc *gc = ctl_run_data(run);
	struct gc_node *n = gc_graph_find(&gc->graph, key);
	bool busy = false;

	if (n && n->obj)
		busy = gc_leave_orphaning(gc, n) || (n->deleting ? gc_go_on(gc, n) : gc_collect(gc, n));
	if (!busy)
		ctl_run_done(run, key, false, 0);
}

/* --- life --- */

static void gc_all(struct gc *gc)
{
	struct map_iter it = { 0 };

	gc->synced = true;
	while (map_next(gc->graph.nodes, &it))
		if (gc_is_due(it.value))
			gc_wake(gc, it.value);
}

void gc_feed(struct ctl_run *run, enum watch_type t, struct obj *o)
{
	struct gc *gc = ctl_run_data(run);

	if (t == WATCH_BOOKMARK)
		gc_all(gc);
	else if (t == WATCH_DELETED)
		gc_graph_drop(&gc->graph, o);
	else
		gc_graph_put(&gc->graph, o);
	if (o && streq(o->res->plural, "customresourcedefinitions"))
		gc_graph_kinds_changed(&gc->graph);
}

void *gc_open(struct ctl_run *run)
{
	struct gc *gc = xcalloc(1, sizeof(*gc));

	gc->run = run;
	TAILQ_INIT(&gc->asks);
	TAILQ_INIT(&gc->jobs);
	gc_graph_init(&gc->graph, gc_wake, gc);
	return gc;
}

void gc_close(void *data)
{
	struct gc *gc = data;
	struct gc_ask *a;
	struct gc_job *j;

	while ((a = TAILQ_FIRST(&gc->asks))) {
		client_cancel(gc_client(gc), &a->call);
		gc_ask_free(a);
	}
	while ((j = TAILQ_FIRST(&gc->jobs))) {
		TAILQ_REMOVE(&gc->jobs, j, link);
		free(j);
	}
	gc_graph_release(&gc->graph);
	free(gc);
}
