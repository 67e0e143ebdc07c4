/*
 * Pods that nobody else will remove: Kubernetes' pod garbage collector.
 *	on a node that is gone		after a quarantine; the node may come back
 *	to go, and on no node		at once
 *	to go, and on a node that is not ready and tainted as out of service
 *	over, and too many		the oldest, those that were evicted first
 * They are marked as failed and deleted without grace.
 *
 * Keys are names of nodes, to see whose pods have to go, of the pods that go
 * ("ns/name"), and ALL_OVER.
 */
#include "ctl/nodes.h"

#include <stdlib.h>

#include "base/time.h"

enum { OF_NODES, OF_PODS };
#define ALL_OVER "*"
#define SWEEP_EVERY_MS SEC_MS
#define SWEEP_MAX 500 /* removed at a time */

struct podgc_node { /* one that is missed */
	int64_t since_ms;
	bool gone; /* for good */
};

struct podgc {
	struct ctl_run *run;
	struct map *missing; /* struct podgc_node by name */
	int64_t swept_ms;
};

void *podgc_open(struct ctl_run *run)
{
	struct podgc *g = xcalloc(1, sizeof(*g));

	g->run = run;
	g->missing = map_new(free);
	return g;
}

void podgc_close(void *data)
{
	struct podgc *g = data;

	map_free(g->missing);
	free(g);
}

static bool podgc_is_over(const struct node *root)
{
	const struct node *phase = node_path(root, F_status, F_phase);

	return node_streq(phase, "Succeeded") || node_streq(phase, "Failed");
}

void podgc_key_of_pod(struct obj *o, struct buf *out)
{
	const struct node *root = obj_node(o);
	const char *node = node_gets(node_get(root, F_spec), F_nodeName);

	if (*node)
		buf_adds(out, node);
	else if (meta_is_deleting(root))
		ctl_key_self(o, out);
	else if (podgc_is_over(root))
		buf_adds(out, ALL_OVER);
}

/* --- nodes --- */

static bool podgc_is_out_of_service(struct obj *node)
{
	const struct node *root = obj_node(node);

	return taint_find(node_path(root, F_spec, F_taints), TAINT_OUT_OF_SERVICE, NULL) &&
	       !cond_is_true(node_path(root, F_status, F_conditions), "Ready");
}

static void podgc_wake_pods(const struct podgc *g, const struct ctl_view *v, const char *node, bool all)
{
	for (struct kid *c = NULL; (c = kids_on_node(v->kids[CTL_PODS], node, c));) {
		_cleanup_buf_ struct buf key = BUF_INIT;

		if (!all && !c->terminating)
			continue;
		obj_key_print(&key, c->obj->ns, c->obj->name);
		ctl_run_wake(g->run, key.s);
	}
}

/* A node that is not there, though there are pods of it. */
static void podgc_miss(struct podgc *g, const struct ctl_view *v, const char *name, struct plan *out)
{
	struct podgc_node *n = map_getc(g->missing, name);
	int64_t now = time_mono_ms(), due;

	if (!n) {
		n = xcalloc(1, sizeof(*n));
		n->since_ms = now;
		map_set(g->missing, str_of(name), n);
	}
	due = n->since_ms + v->settings->quarantine_ms;
	if (now < due) {
		plan_again(out, due - now);
		return;
	}
	n->gone = true;
	podgc_wake_pods(g, v, name, true);
}

static void podgc_look_at_node(struct podgc *g, const struct ctl_view *v, const char *name, struct plan *out)
{
	struct obj *node = informer_find(v->of[OF_NODES], "", name);
	int64_t max = v->settings->terminated_max;

	if (max && kids_n_over(v->kids[CTL_PODS]) > (size_t)max)
		ctl_run_wake(g->run, ALL_OVER);
	if (!node && kids_on_node(v->kids[CTL_PODS], name, NULL)) {
		podgc_miss(g, v, name, out);
		return;
	}
	map_del(g->missing, str_of(name));
	if (node && podgc_is_out_of_service(node))
		podgc_wake_pods(g, v, name, false);
}

/* --- pods --- */

/* missing: its node is. */
static bool podgc_must_go(const struct podgc *g, const struct ctl_view *v, const struct node *root, bool *missing)
{
	const char *name = node_gets(node_get(root, F_spec), F_nodeName);
	struct obj *node = *name ? informer_find(v->of[OF_NODES], "", name) : NULL;
	const struct podgc_node *n = map_getc(g->missing, name);

	*missing = *name && !node && n && n->gone;
	if (*missing)
		return true;
	return meta_is_deleting(root) && (!*name || (node && podgc_is_out_of_service(node)));
}

static void podgc_fail(struct obj *pod, bool missing, struct plan *out)
{
	struct doc *d = doc_clone(obj_doc(pod));
	struct node *status = node_need_object(d, doc_root(d), F_status);

	node_sets(d, status, F_phase, "Failed");
	if (missing)
		cond_set(d, node_need_array(d, status, F_conditions), "DisruptionTarget", "True", "DeletionByPodGC",
			 "PodGC: node no longer exists");
	plan_update(out, pod->res, pod->ns, pod->name, "status", d);
	plan_then(out);
}

static void podgc_look_at_pod(const struct podgc *g, const struct ctl_view *v, struct obj *pod, struct plan *out)
{
	const struct node *root = pod ? obj_node(pod) : NULL;
	bool missing;

	if (!pod || !podgc_must_go(g, v, root, &missing))
		return;
	if (!podgc_is_over(root))
		podgc_fail(pod, missing, out);
	else if (meta_is_deleting(root) && node_int(node_get(meta_of(root), F_deletionGracePeriodSeconds), 0) == 0)
		return; /* it waits for finalizers alone */
	plan_delete_now(out, pod);
}

/* --- too many --- */

typedef VEC(struct kid *) podgc_vec;

static void podgc_take(void *arg, struct kid *c)
{
	VEC_PUSH((podgc_vec *)arg, c);
}

static int podgc_order(const void *pa, const void *pb)
{
	const struct kid *a = *(struct kid *const *)pa, *b = *(struct kid *const *)pb;

	if (a->evicted != b->evicted)
		return a->evicted ? -1 : 1;
	if (a->created_s != b->created_s)
		return a->created_s < b->created_s ? -1 : 1;
	return strcmp(a->obj->name, b->obj->name);
}

static void podgc_sweep(struct podgc *g, const struct ctl_view *v, struct plan *out)
{
	size_t max = (size_t)v->settings->terminated_max, n = kids_n_over(v->kids[CTL_PODS]);
	int64_t now = time_mono_ms();
	podgc_vec over = VEC_INIT;

	if (!max || n <= max)
		return;
	if (g->swept_ms && now < g->swept_ms + SWEEP_EVERY_MS) {
		plan_again(out, g->swept_ms + SWEEP_EVERY_MS - now);
		return;
	}
	g->swept_ms = now;
	kids_over(v->kids[CTL_PODS], podgc_take, &over);
	qsort(over.v, over.n, sizeof(*over.v), podgc_order);
	for (size_t i = 0; i < n - max && out->ops.n < SWEEP_MAX; i++)
		if (!over.v[i]->terminating)
			plan_delete_now(out, over.v[i]->obj);
	if (out->ops.n == SWEEP_MAX)
		plan_again(out, SWEEP_EVERY_MS);
	VEC_RELEASE(&over);
}

int podgc_reconcile(const struct ctl_view *v, const char *key, struct plan *out, struct err *e UNUSED)
{
	if (streq(key, ALL_OVER))
		podgc_sweep(v->data, v, out);
	else if (strchr(key, '/'))
		podgc_look_at_pod(v->data, v, ctl_find(v->of[OF_PODS], key), out);
	else
		podgc_look_at_node(v->data, v, key, out);
	return 0;
}
