/*
 * The scheduler's life: it follows pods and nodes, tries what is pending, binds.
 *
 * A pod that fits is assumed on its node while the binding is under way, so that
 * the next one sees the node as it will be. A pod that fits nowhere gets the
 * condition PodScheduled=False (Unschedulable) and a FailedScheduling event in
 * kube-scheduler's words.
 */
#include "base/log.h"
#include "base/rand.h"
#include "sched/internal.h"

#define SCHED_PER_TURN 64 /* pods tried in one turn of the loop */

static const struct resource *sched_pods(void)
{
	return schema_res("", "pods");
}

/* --- binding --- */

struct sched_bind {
	struct sched *sched;
	char *key, *uid, *node;
};

/* It does not get the node it was promised. */
static void sched_give_up(struct sched *s, struct sched_pod *p)
{
	struct sched_node *n = p->on;

	p->assumed = false;
	p->queue = SCHED_IDLE;
	sched_unplace(p);
	queue_event(s, n, SCHED_ON_POD_GONE);
}

static void sched_bound(void *arg, struct obj *o UNUSED, const struct err *err)
{
	struct sched_bind *b = arg;
	struct sched *s = b->sched;
	struct sched_pod *p = map_getc(s->by_key, b->key);

	if (p && p->assumed && streq(p->obj->uid, b->uid)) {
		if (!err) {
			client_event(s->client, p->obj, NULL, s->name, NULL, "Normal", "Scheduled",
				     "Successfully assigned %s to %s", p->key, b->node);
		} else {
			log_debug("binding failed, trying again", LS("pod", p->key), LE(err));
			sched_give_up(s, p);
			if (err->reason != ERR_NOT_FOUND)
				queue_retry(s, p);
		}
	}
	free(b->key);
	free(b->uid);
	free(b->node);
	free(b);
}

static void sched_send_binding(struct sched *s, struct sched_pod *p)
{
	struct sched_bind *b = xcalloc(1, sizeof(*b));
	struct doc *d = doc_new();
	struct node *root = node_new(d, DOC_OBJECT), *meta, *target;

	*b = (struct sched_bind){ s, xstrdup(p->key), xstrdup(p->obj->uid), xstrdup(p->on->name) };
	doc_set_root(d, root);
	node_sets(d, root, F_apiVersion, "v1");
	node_sets(d, root, F_kind, "Binding");
	meta = node_need_object(d, root, F_metadata);
	node_sets(d, meta, F_name, p->obj->name);
	node_sets(d, meta, F_namespace, p->obj->ns);
	node_sets(d, meta, F_uid, p->obj->uid);
	target = node_need_object(d, root, F_target);
	node_sets(d, target, F_kind, "Node");
	node_sets(d, target, F_name, p->on->name);
	client_create_sub(s->client, sched_pods(), p->obj->ns, p->obj->name, "binding", d, sched_bound, b);
}

void claims_bound(struct sched *s, struct sched_pod *p, bool ok)
{
	if (!p->assumed)
		return;
	if (ok) {
		sched_send_binding(s, p);
	} else {
		sched_give_up(s, p);
		queue_retry(s, p);
	}
}

/* The pod counts as placed from now on, while its binding (and that of its volumes) is under way. */
static void sched_assume(struct sched_cycle *c, struct sched_node *n)
{
	struct sched *s = c->s;
	struct sched_pod *p = c->p;

	sched_nominate(p, NULL);
	p->assumed = true;
	p->queue = SCHED_BINDING;
	sched_place(p, n);
	queue_event(s, n, SCHED_ON_POD_PLACED);
	if (!claims_bind(c, n))
		sched_send_binding(s, p);
}

static void sched_turned_away(struct sched_cycle *c, const struct sched_trial *t)
{
	struct sched_pod *p = c->p;
	_cleanup_free_ char *why = NULL, *message = NULL;
	struct sched_node *n = NULL;

	if (t->nodes) {
		n = preempt(c, t, &why);
		if (n || !why || strncmp(why, "not eligible", 12))
			sched_nominate(p, n);
	}
	message = say_message(t, why);
	p->helped_by = t->helped_by | SCHED_ON_POD_CHANGE | SCHED_ON_POD_GONE * (n != NULL) | SCHED_ON_NODE * !t->nodes;
	say_unschedulable(c->s, p, "Unschedulable", message);
	queue_park(c->s, p);
}

/* Others may have been left sleeping because this pod was woken for a node: it is looked at again without it. */
static void sched_pass_on(struct sched *s, struct sched_pod *p)
{
	struct sched_node *n;

	if (!p->woken_for)
		return;
	n = map_getc(s->by_name, p->woken_for);
	if (n && p->on != n)
		queue_event(s, n, SCHED_ON_NODE | SCHED_ON_POD_GONE);
	free(p->woken_for);
	p->woken_for = NULL;
}

static void sched_try(struct sched *s, struct sched_pod *p)
{
	struct sched_trial t = { 0 };
	struct sched_cycle c;

	cycle_begin(&c, s, p);
	trial_look(&c, &t);
	if (t.fit.n)
		sched_assume(&c, trial_best(&c, &t));
	else
		sched_turned_away(&c, &t);
	sched_pass_on(s, p);
	cycle_end(&c);
	trial_release(&t);
}

static bool sched_ready(const struct sched *s)
{
	return s->synced == (1u << KINDS) - 1;
}

static void sched_run(struct loop_task *task)
{
	struct sched *s = CONTAINER_OF(task, struct sched, task);
	struct sched_pod *p;

	if (!sched_ready(s))
		return;
	queue_wake(s);
	for (int i = 0; i < SCHED_PER_TURN && (p = queue_pop(s)); i++)
		sched_try(s, p);
	if (!RB_EMPTY(&s->active))
		loop_defer(s->loop, &s->task);
}

/* --- following --- */

static bool sched_is_over(const struct node *root)
{
	const char *phase = node_gets(node_get(root, F_status), F_phase);

	return streq(phase, "Succeeded") || streq(phase, "Failed");
}

static void sched_pod_gone(struct sched *s, struct sched_pod *p)
{
	struct sched_node *was_on = p->on;

	map_del(s->by_key, str_of(p->key));
	if (was_on)
		queue_event(s, was_on, SCHED_ON_POD_GONE);
}

/* Waits for us: named for this scheduler, not placed, not gated, not going away. */
static bool sched_is_pending(const struct sched *s, const struct node *root)
{
	const struct node *spec = node_get(root, F_spec);

	return streq(node_cstr_or(node_get(spec, F_schedulerName), "default-scheduler"), s->name) &&
	       !node_count(node_get(spec, F_schedulingGates)) && !meta_is_deleting(root);
}

static void sched_pod_pending(struct sched *s, struct sched_pod *p, bool spec_changed)
{
	const struct node *root = obj_node(p->obj);
	const struct node *gates = node_path(root, F_spec, F_schedulingGates);

	if (!sched_is_pending(s, root)) {
		queue_remove(s, p);
		if (node_count(gates) && !p->said)
			say_unschedulable(s, p, "SchedulingGated",
					  "Scheduling is blocked due to non-empty scheduling gates");
		return;
	}
	if (p->queue == SCHED_IDLE || (p->queue == SCHED_UNSCHEDULABLE && spec_changed))
		queue_add(s, p);
}

/* The API says where it is nominated: after a restart that is all that is known of a preemption. */
static void sched_pod_nominated(struct sched *s, struct sched_pod *p, const struct node *root)
{
	const char *name = node_gets(node_get(root, F_status), F_nominatedNodeName);

	if (*name && !p->nominated && !p->said)
		sched_nominate(p, sched_node_get(s, name));
}

static void sched_pod_placed(struct sched *s, struct sched_pod *p, const char *node, bool news)
{
	struct sched_node *n = sched_node_get(s, node);

	queue_remove(s, p);
	claims_cancel(p);
	sched_nominate(p, NULL);
	p->assumed = false;
	if (p->on && p->on != n)
		sched_unplace(p);
	if (p->on && !news)
		return;
	if (!p->on)
		sched_place(p, n);
	queue_event(s, n, SCHED_ON_POD_PLACED);
}

static bool sched_labels_changed(const struct node *root, struct obj *old)
{
	return !old || !node_equal(meta_labels(root), meta_labels(obj_node(old)));
}

static void sched_on_pod(struct sched *s, enum watch_type type, struct obj *obj, struct obj *old)
{
	_cleanup_free_ char *key = xasprintf("%s/%s", obj->ns, obj->name);
	struct sched_pod *p = map_getc(s->by_key, key);
	const struct node *root = obj_node(obj);
	const char *node = node_gets(node_get(root, F_spec), F_nodeName);
	bool spec_changed = !old || !node_equal(node_get(root, F_spec), node_get(obj_node(old), F_spec));

	if (p && !streq(p->obj->uid, obj->uid)) {
		sched_pod_gone(s, p);
		p = NULL;
	}
	if (type == WATCH_DELETED || sched_is_over(root)) {
		if (p)
			sched_pod_gone(s, p);
		return;
	}
	if (!p) {
		p = sched_pod_new(s, obj);
		map_set(s->by_key, str_of(key), p);
	} else {
		sched_pod_update(p, obj);
	}
	if (*node) {
		sched_pod_placed(s, p, node, spec_changed || sched_labels_changed(root, old));
	} else if (!p->assumed) {
		sched_pod_nominated(s, p, root);
		sched_pod_pending(s, p, spec_changed || sched_labels_changed(root, old));
	}
}

static bool sched_node_changed(struct obj *obj, struct obj *old)
{
	const struct node *a = obj_node(obj), *b = old ? obj_node(old) : NULL;

	return !old || !node_equal(node_get(a, F_spec), node_get(b, F_spec)) ||
	       !node_equal(meta_labels(a), meta_labels(b)) ||
	       !node_equal(node_path(a, F_status, F_allocatable), node_path(b, F_status, F_allocatable)) ||
	       !node_equal(node_path(a, F_status, F_images), node_path(b, F_status, F_images));
}

static void sched_on_node(struct sched *s, enum watch_type type, struct obj *obj, struct obj *old)
{
	struct sched_node *n = sched_node_get(s, obj->name);

	if (type == WATCH_DELETED) {
		sched_node_update(s, n, NULL);
		sched_node_drop(s, n);
		queue_event(s, NULL, SCHED_ON_NODE);
	} else if (!n->there || sched_node_changed(obj, old)) {
		sched_node_update(s, n, obj);
		queue_event(s, n, SCHED_ON_NODE);
	}
}

static void sched_on_namespace(struct sched *s, enum watch_type type, struct obj *obj, struct obj *old UNUSED)
{
	struct sched_namespace *n = sched_namespace_get(s, obj->name);

	n->there = type != WATCH_DELETED;
	labels_read(&n->labels, n->there ? meta_labels(obj_node(obj)) : NULL);
	sched_namespace_drop(s, n);
	queue_event(s, NULL, SCHED_ON_POD_PLACED);
}

static void sched_on_claim(struct sched *s, enum watch_type type UNUSED, struct obj *obj, struct obj *old)
{
	claims_changed(s, obj, old);
	queue_event(s, NULL, SCHED_ON_VOLUME);
}

static void sched_on_volume(struct sched *s, enum watch_type type UNUSED, struct obj *obj UNUSED, struct obj *old UNUSED)
{
	queue_event(s, NULL, SCHED_ON_VOLUME);
}

static const struct {
	const char *group, *plural;
	void (*on)(struct sched *s, enum watch_type type, struct obj *obj, struct obj *old); /* NULL: looked up only */
} sched_kinds[KINDS] = {
	[KIND_NODES] = { "", "nodes", sched_on_node },
	[KIND_NAMESPACES] = { "", "namespaces", sched_on_namespace },
	[KIND_BUDGETS] = { "policy", "poddisruptionbudgets", NULL },
	[KIND_CLAIMS] = { "", "persistentvolumeclaims", sched_on_claim },
	[KIND_VOLUMES] = { "", "persistentvolumes", sched_on_volume },
	[KIND_CLASSES] = { "storage.k8s.io", "storageclasses", sched_on_volume },
	[KIND_PODS] = { "", "pods", sched_on_pod },
};

struct sched_follow { /* one informer's subscription */
	struct sched *s;
	enum sched_kind kind;
};

static void sched_on_event(void *arg, enum watch_type type, struct obj *obj, struct obj *old)
{
	struct sched_follow *f = arg;

	if (sched_kinds[f->kind].on)
		sched_kinds[f->kind].on(f->s, type, obj, old);
}

static void sched_on_synced(void *arg)
{
	struct sched_follow *f = arg;

	f->s->synced |= 1u << f->kind;
	loop_defer(f->s->loop, &f->s->task);
}

static const struct informer_ops sched_ops = { sched_on_event, sched_on_synced };

struct sched *sched_new(struct client *c, const char *scheduler_name)
{
	struct sched *s = xcalloc(1, sizeof(*s));

	s->client = c;
	s->loop = client_loop(c);
	s->name = xstrdup(scheduler_name);
	s->by_key = map_new(sched_pod_free);
	s->by_name = map_new(NULL);
	s->by_ns = map_new(sched_namespace_free);
	s->by_owner = map_new(sched_owner_free);
	s->image_nodes = map_new(NULL);
	s->follow = xcalloc(KINDS, sizeof(*s->follow));
	RB_INIT(&s->active);
	RB_INIT(&s->unschedulable);
	TAILQ_INIT(&s->with_rules);
	TAILQ_INIT(&s->woke);
	s->task.run = sched_run;
	for (int k = 0; k < KINDS; k++) {
		s->follow[k] = (struct sched_follow){ s, (enum sched_kind)k };
		s->of[k] = informer_get(c, schema_res(sched_kinds[k].group, sched_kinds[k].plural), NULL);
		informer_subscribe(s->of[k], &sched_ops, &s->follow[k]);
	}
	return s;
}

struct sched *sched_free(struct sched *s)
{
	struct map_iter it = { 0 };

	if (!s)
		return NULL;
	for (int k = 0; k < KINDS; k++)
		informer_unsubscribe(s->of[k], &s->follow[k]);
	loop_undefer(s->loop, &s->task);
	map_free(s->by_key);
	while (map_next(s->by_name, &it))
		sched_node_free(it.value);
	map_free(s->by_name);
	map_free(s->by_ns);
	map_free(s->by_owner);
	map_free(s->image_nodes);
	VEC_RELEASE(&s->nodes);
	free(s->follow);
	free(s->name);
	free(s);
	return NULL;
}
