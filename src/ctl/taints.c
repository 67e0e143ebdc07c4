/*
 * A node's conditions as taints, so that the scheduler need not look at both:
 * NoSchedule for a node that is not ready, not reachable, under pressure, without
 * network, or cordoned. Mirrors the NoSchedule half of Kubernetes' node lifecycle
 * controller (the other is node-lifecycle.c); admission gives every new node the
 * first of them. As that controller does, it also keeps the labels of a node that
 * have an older name the same under both.
 */
#include "ctl/nodes.h"

#include "base/time.h"

static const struct {
	const char *condition, *status, *key;
} taint_rows[] = {
	{ "Ready", "False", TAINT_NOT_READY },
	{ "Ready", "Unknown", TAINT_UNREACHABLE },
	{ "MemoryPressure", "True", "node.kubernetes.io/memory-pressure" },
	{ "DiskPressure", "True", "node.kubernetes.io/disk-pressure" },
	{ "NetworkUnavailable", "True", "node.kubernetes.io/network-unavailable" },
	{ "PIDPressure", "True", "node.kubernetes.io/pid-pressure" },
	{ NULL, NULL, "node.kubernetes.io/unschedulable" }, /* spec.unschedulable */
};

static const struct {
	const char *label, *older;
} label_rows[] = {
	{ "kubernetes.io/os", "beta.kubernetes.io/os" },
	{ "kubernetes.io/arch", "beta.kubernetes.io/arch" },
};

static bool labels_sync(struct doc *d, const struct node *root)
{
	bool changed = false;

	for (size_t i = 0; i < ARRAY_SIZE(label_rows); i++) {
		const char *want = meta_label(root, label_rows[i].label), *have = meta_label(root, label_rows[i].older);
		struct node *meta = node_get(doc_root(d), F_metadata);

		if (!want || (have && streq(have, want)))
			continue;
		node_setk(d, node_need_object(d, meta, F_labels), str_of(label_rows[i].older), node_new_cstr(d, want));
		changed = true;
	}
	return changed;
}

static bool taint_wanted(const struct node *root, size_t i)
{
	const struct node *c;

	if (!taint_rows[i].condition)
		return node_bool(node_path(root, F_spec, F_unschedulable), false);
	c = cond_find(node_path(root, F_status, F_conditions), taint_rows[i].condition);
	return streq(node_gets(c, F_status), taint_rows[i].status);
}

const struct node *taint_find(const struct node *taints, const char *key, const char *effect)
{
	NODE_FOREACH(t, taints)
		if (node_streq(node_get(t, F_key), key) && (!effect || node_streq(node_get(t, F_effect), effect)))
			return t;
	return NULL;
}

static bool taint_drop(struct node *spec, const char *key, const char *effect)
{
	struct node *list = node_get(spec, F_taints);

	NODE_FOREACH(t, list)
		if (taint_find(list, key, effect) == t) {
			node_remove_child(list, t);
			if (!node_count(list))
				node_remove(spec, F_taints);
			return true;
		}
	return false;
}

bool taint_set(struct doc *d, struct node *spec, const char *key, const char *effect, bool want)
{
	char now[TIME_RFC3339_LEN];
	struct node *t;

	if (!want)
		return taint_drop(spec, key, effect);
	if (taint_find(node_get(spec, F_taints), key, effect))
		return false;
	t = node_append(node_need_array(d, spec, F_taints), node_new(d, DOC_OBJECT));
	node_sets(d, t, F_key, key);
	node_sets(d, t, F_effect, effect);
	node_sets(d, t, F_timeAdded, time_fmt_rfc3339(now, time_wall_s()));
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
		changed |= taint_set(d, spec, taint_rows[i].key, "NoSchedule", taint_wanted(obj_node(node), i));
	changed |= labels_sync(d, obj_node(node));
	if (changed)
		plan_update(out, schema_res("", "nodes"), NULL, key, NULL, d);
	else
		doc_unref(d);
	return 0;
}
