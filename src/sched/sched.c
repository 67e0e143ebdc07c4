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

struct sched_reason {
	char *text;
	int64_t nodes;
};
struct sched_trial { /* one look at all nodes for one pod */
	VEC(struct sched_node *) fit;
	VEC(struct sched_reason) reasons;
	int64_t nodes, hopeless;
	unsigned helped_by;
};

static const struct resource *sched_pods(void)
{
	return schema_res("", "pods");
}

/* --- looking --- */

static void sched_trial_reason(struct sched_trial *t, struct str text)
{
	struct sched_reason fresh;

	for (size_t i = 0; i < t->reasons.n; i++)
		if (str_eqc(text, t->reasons.v[i].text)) {
			t->reasons.v[i].nodes++;
			return;
		}
	fresh = (struct sched_reason){ str_dup(text), 1 };
	VEC_PUSH(&t->reasons, fresh);
}

static bool sched_fits(const struct sched_pod *p, struct sched_node *n, struct sched_trial *t, struct buf *scratch)
{
	for (size_t i = 0; i < sched_n_filters; i++) {
		bool hopeless = false;
		const char *why = sched_filters[i].run(p, n, scratch, &hopeless);
		struct str rest = str_of(why);

		if (!why)
			continue;
		while (rest.p)
			sched_trial_reason(t, str_cut(&rest, '\n'));
		t->hopeless += hopeless;
		t->helped_by |= sched_filters[i].helped_by;
		return false;
	}
	return true;
}

static void sched_look(struct sched *s, const struct sched_pod *p, struct sched_trial *t)
{
	_cleanup_buf_ struct buf scratch = BUF_INIT;
	struct map_iter it = { 0 };

	while (map_next(s->by_name, &it)) {
		struct sched_node *n = it.value;

		if (!n->obj)
			continue;
		t->nodes++;
		if (sched_fits(p, n, t, &scratch))
			VEC_PUSH(&t->fit, n);
	}
}

static void sched_trial_release(struct sched_trial *t)
{
	for (size_t i = 0; i < t->reasons.n; i++)
		free(t->reasons.v[i].text);
	VEC_RELEASE(&t->reasons);
	VEC_RELEASE(&t->fit);
}

/* The best of the nodes that fit; among equals any, by chance. */
static struct sched_node *sched_best(const struct sched_pod *p, const struct sched_trial *t)
{
	_cleanup_free_ int64_t *total = xcalloc(t->fit.n, sizeof(int64_t));
	_cleanup_free_ int64_t *one = xcalloc(t->fit.n, sizeof(int64_t));
	size_t best = 0, equals = 1;

	if (t->fit.n == 1)
		return t->fit.v[0];
	for (size_t k = 0; k < sched_n_scores; k++) {
		const struct sched_score *sc = &sched_scores[k];
		int64_t max = 0;

		for (size_t i = 0; i < t->fit.n; i++) {
			one[i] = sc->run(p, t->fit.v[i]);
			max = one[i] > max ? one[i] : max;
		}
		for (size_t i = 0; i < t->fit.n; i++) {
			int64_t v = one[i];

			if (sc->normalise)
				v = max ? v * 100 / max : 0;
			total[i] += sc->weight * (sc->reversed ? 100 - v : v);
		}
	}
	for (size_t i = 1; i < t->fit.n; i++) {
		if (total[i] > total[best]) {
			best = i;
			equals = 1;
		} else if (total[i] == total[best] && rand_below(++equals) == 0) {
			best = i;
		}
	}
	return t->fit.v[best];
}

/* --- telling --- */

static int sched_str_cmp(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* "1 Insufficient cpu, 2 node(s) were unschedulable", sorted as texts. */
static void sched_say_reasons(const struct sched_trial *t, struct buf *out)
{
	VEC(char *) lines = VEC_INIT;

	for (size_t i = 0; i < t->reasons.n; i++)
		VEC_PUSH(&lines, xasprintf("%lld %s", (long long)t->reasons.v[i].nodes, t->reasons.v[i].text));
	if (lines.n)
		qsort(lines.v, lines.n, sizeof(char *), sched_str_cmp);
	for (size_t i = 0; i < lines.n; i++) {
		buf_addf(out, "%s%s", i ? ", " : " ", lines.v[i]);
		free(lines.v[i]);
	}
	VEC_RELEASE(&lines);
}

static char *sched_message(const struct sched_trial *t)
{
	struct buf b = BUF_INIT;
	int64_t hope = t->nodes - t->hopeless;

	if (!t->nodes)
		return xstrdup("no nodes available to schedule pods");
	buf_addf(&b, "0/%lld nodes are available:", (long long)t->nodes);
	sched_say_reasons(t, &b);
	buf_addf(&b, ". no new claims to deallocate, preemption: 0/%lld nodes are available:", (long long)t->nodes);
	if (hope)
		buf_addf(&b, " %lld No preemption victims found for incoming pod", (long long)hope);
	if (t->hopeless)
		buf_addf(&b, "%s %lld Preemption is not helpful for scheduling", hope ? "," : "",
			 (long long)t->hopeless);
	buf_addch(&b, '.');
	return buf_detach(&b, NULL);
}

static void sched_say_unschedulable(struct sched *s, struct sched_pod *p, const char *reason, const char *message)
{
	struct doc *d;
	struct node *root, *conds;

	client_event(s->client, p->obj, NULL, s->name, NULL, "Warning", "FailedScheduling", "%s", message);
	if (p->said && streq(p->said, message))
		return;
	free(p->said);
	p->said = xstrdup(message);
	d = doc_new();
	root = node_new(d, DOC_OBJECT);
	doc_set_root(d, root);
	conds = node_need_array(d, node_need_object(d, root, F_status), F_conditions);
	cond_set(d, conds, "PodScheduled", "False", reason, message);
	client_patch(s->client, sched_pods(), p->obj->ns, p->obj->name, "status", PATCH_STRATEGIC, d, NULL, NULL);
}

/* --- binding --- */

struct sched_bind {
	struct sched *sched;
	char *key, *uid, *node;
};

static void sched_bound(void *arg, struct obj *o, const struct err *err)
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
			p->assumed = false;
			p->queue = SCHED_IDLE;
			sched_unplace(p);
			queue_event(s, SCHED_ON_POD_GONE);
			if (err->reason != ERR_NOT_FOUND)
				queue_retry(s, p);
		}
	}
	free(b->key);
	free(b->uid);
	free(b->node);
	free(b);
}

static void sched_bind(struct sched *s, struct sched_pod *p, struct sched_node *n)
{
	struct sched_bind *b = xcalloc(1, sizeof(*b));
	struct doc *d = doc_new();
	struct node *root = node_new(d, DOC_OBJECT), *meta, *target;

	*b = (struct sched_bind){ s, xstrdup(p->key), xstrdup(p->obj->uid), xstrdup(n->name) };
	doc_set_root(d, root);
	node_sets(d, root, F_apiVersion, "v1");
	node_sets(d, root, F_kind, "Binding");
	meta = node_need_object(d, root, F_metadata);
	node_sets(d, meta, F_name, p->obj->name);
	node_sets(d, meta, F_namespace, p->obj->ns);
	node_sets(d, meta, F_uid, p->obj->uid);
	target = node_need_object(d, root, F_target);
	node_sets(d, target, F_kind, "Node");
	node_sets(d, target, F_name, n->name);
	p->assumed = true;
	p->queue = SCHED_BINDING;
	sched_place(s, p, n->name);
	client_create_sub(s->client, sched_pods(), p->obj->ns, p->obj->name, "binding", d, sched_bound, b);
}

static void sched_try(struct sched *s, struct sched_pod *p)
{
	struct sched_trial t = { 0 };

	sched_look(s, p, &t);
	if (t.fit.n) {
		sched_bind(s, p, sched_best(p, &t));
	} else {
		_cleanup_free_ char *message = sched_message(&t);

		p->helped_by = t.helped_by | SCHED_ON_POD_CHANGE | (t.nodes ? 0 : SCHED_ON_NODE);
		sched_say_unschedulable(s, p, "Unschedulable", message);
		queue_park(s, p);
	}
	sched_trial_release(&t);
}

static void sched_run(struct loop_task *task)
{
	struct sched *s = CONTAINER_OF(task, struct sched, task);
	struct sched_pod *p;

	if (!s->pods_synced || !s->nodes_synced)
		return;
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
	bool was_placed = p->on != NULL;

	map_del(s->by_key, str_of(p->key));
	if (was_placed)
		queue_event(s, SCHED_ON_POD_GONE);
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
			sched_say_unschedulable(s, p, "SchedulingGated",
						"Scheduling is blocked due to non-empty scheduling gates");
		return;
	}
	if (p->queue == SCHED_IDLE || (p->queue == SCHED_UNSCHEDULABLE && spec_changed))
		queue_add(s, p);
}

static void sched_on_pod(void *arg, enum watch_type type, struct obj *obj, struct obj *old)
{
	struct sched *s = arg;
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
		queue_remove(s, p);
		p->assumed = false;
		if (p->on && !streq(p->on->name, node))
			sched_unplace(p);
		if (!p->on)
			sched_place(s, p, node);
	} else if (!p->assumed) {
		sched_pod_pending(s, p, spec_changed);
	}
}

static bool sched_node_changed(struct obj *obj, struct obj *old)
{
	const struct node *a = obj_node(obj), *b = old ? obj_node(old) : NULL;

	return !old || !node_equal(node_get(a, F_spec), node_get(b, F_spec)) ||
	       !node_equal(meta_labels(a), meta_labels(b)) ||
	       !node_equal(node_path(a, F_status, F_allocatable), node_path(b, F_status, F_allocatable));
}

static void sched_on_node(void *arg, enum watch_type type, struct obj *obj, struct obj *old)
{
	struct sched *s = arg;
	struct sched_node *n = sched_node_get(s, obj->name);

	sched_node_update(n, type == WATCH_DELETED ? NULL : obj);
	if (type != WATCH_DELETED && sched_node_changed(obj, old))
		queue_event(s, SCHED_ON_NODE);
}

static void sched_pods_synced(void *arg)
{
	struct sched *s = arg;

	s->pods_synced = true;
	loop_defer(s->loop, &s->task);
}

static void sched_nodes_synced(void *arg)
{
	struct sched *s = arg;

	s->nodes_synced = true;
	loop_defer(s->loop, &s->task);
}

static const struct informer_ops sched_pod_ops = { sched_on_pod, sched_pods_synced };
static const struct informer_ops sched_node_ops = { sched_on_node, sched_nodes_synced };

struct sched *sched_new(struct client *c, const char *scheduler_name)
{
	struct sched *s = xcalloc(1, sizeof(*s));

	s->client = c;
	s->loop = client_loop(c);
	s->name = xstrdup(scheduler_name);
	s->by_key = map_new(sched_pod_free);
	s->by_name = map_new(sched_node_free);
	RB_INIT(&s->active);
	TAILQ_INIT(&s->unschedulable);
	s->task.run = sched_run;
	s->nodes = informer_get(c, schema_res("", "nodes"), NULL);
	s->pods = informer_get(c, sched_pods(), NULL);
	informer_subscribe(s->nodes, &sched_node_ops, s);
	informer_subscribe(s->pods, &sched_pod_ops, s);
	return s;
}

struct sched *sched_free(struct sched *s)
{
	if (!s)
		return NULL;
	informer_unsubscribe(s->nodes, s);
	informer_unsubscribe(s->pods, s);
	loop_undefer(s->loop, &s->task);
	map_free(s->by_key);
	map_free(s->by_name);
	free(s->name);
	free(s);
	return NULL;
}
