/*
 * A node's conditions as taints, so that the scheduler need not look at both:
 * NoSchedule for a node that is not ready, not reachable, under pressure, without
 * network, or cordoned. Mirrors the NoSchedule half of Kubernetes' node lifecycle
 * controller; admission gives every new node the first of them.
 */
#include "ctl/internal.h"

static const struct {
	const char *condition, *status, *key;
} taint_rows[] = {
	{ "Ready", "False", "node.kubernetes.io/not-ready" },
	{ "Ready", "Unknown", "node.kubernetes.io/unreachable" },
	{ "MemoryPressure", "True", "node.kubernetes.io/memory-pressure" },
	{ "DiskPressure", "True", "node.kubernetes.io/disk-pressure" },
	{ "NetworkUnavailable", "True", "node.kubernetes.io/network-unavailable" },
	{ "PIDPressure", "True", "node.kubernetes.io/pid-pressure" },
	{ NULL, NULL, "node.kubernetes.io/unschedulable" }, /* spec.unschedulable */
};

static bool taint_wanted(const struct node *root, size_t i)
{
	const struct node *c;

	if (!taint_rows[i].condition)
		return node_bool(node_path(root, F_spec, F_unschedulable), false);
	c = cond_find(node_path(root, F_status, F_conditions), taint_rows[i].condition);
	return streq(node_gets(c, F_status), taint_rows[i].status);
}

static struct node *taint_find(const struct node *taints, const char *key)
{
	NODE_FOREACH(t, taints)
		if (streq(node_gets(t, F_key), key) && streq(node_gets(t, F_effect), "NoSchedule"))
			return t;
	return NULL;
}

static bool taint_set(struct doc *d, struct node *spec, const char *key, bool want)
{
	struct node *t = taint_find(node_get(spec, F_taints), key);

	if (want == (t != NULL))
		return false;
	if (!want) {
		node_remove_child(node_get(spec, F_taints), t);
		if (!node_count(node_get(spec, F_taints)))
			node_remove(spec, F_taints);
		return true;
	}
	t = node_append(node_need_array(d, spec, F_taints), node_new(d, DOC_OBJECT));
	node_sets(d, t, F_key, key);
	node_sets(d, t, F_effect, "NoSchedule");
	return true;
}

int taints_reconcile(const struct ctl_view *v, const char *key, struct plan *out, struct err *e)
{
	struct obj *node = informer_find(v->of[0], "", key);
	bool changed = false;
	struct node *spec;
	struct doc *d;

	if (!node || meta_is_deleting(obj_node(node)))
		return 0;
	d = doc_clone(obj_doc(node));
	spec = node_need_object(d, doc_root(d), F_spec);
	for (size_t i = 0; i < ARRAY_SIZE(taint_rows); i++)
		changed |= taint_set(d, spec, taint_rows[i].key, taint_wanted(obj_node(node), i));
	if (changed)
		plan_update(out, schema_res("", "nodes"), NULL, key, NULL, d);
	else
		doc_unref(d);
	return 0;
}
