/*
 * Which nodes a DaemonSet's pods belong on: nodeName, nodeSelector, required node
 * affinity and taints, as the scheduler will see them for a pod that tolerates
 * what every daemon tolerates (not ready, unreachable, pressure, unschedulable).
 */
#include "ctl/daemonset.h"
#include "schema/placement.h"

#define NODE_TAINT "node.kubernetes.io/"

static const struct {
	const char *key, *effect;
	bool host_network; /* only for pods on the node's own network */
} daemonset_tolerated[] = {
	{ NODE_TAINT "not-ready", "NoExecute", false },
	{ NODE_TAINT "unreachable", "NoExecute", false },
	{ NODE_TAINT "disk-pressure", "NoSchedule", false },
	{ NODE_TAINT "memory-pressure", "NoSchedule", false },
	{ NODE_TAINT "pid-pressure", "NoSchedule", false },
	{ NODE_TAINT "unschedulable", "NoSchedule", false },
	{ NODE_TAINT "network-unavailable", "NoSchedule", true },
};

/* --- taints --- */

static bool daemonset_tolerates(const struct node *spec, const struct node *taint)
{
	const char *key = node_gets(taint, F_key), *effect = node_gets(taint, F_effect);

	for (size_t i = 0; i < ARRAY_SIZE(daemonset_tolerated); i++)
		if (streq(daemonset_tolerated[i].key, key) && streq(daemonset_tolerated[i].effect, effect) &&
		    (!daemonset_tolerated[i].host_network || node_bool(node_get(spec, F_hostNetwork), false)))
			return true;
	return taint_tolerated(&(struct taint){ key, node_gets(taint, F_value), effect }, node_get(spec, F_tolerations));
}

void daemonset_fits(const struct node *spec, struct obj *node, bool *should, bool *may_stay)
{
	const struct node *root = obj_node(node);
	const char *name = node_gets(spec, F_nodeName);
	struct place place = place_of(root);

	*should = *may_stay = false;
	if ((*name && !streq(name, node->name)) || !place_suits(&place, spec))
		return;
	*should = *may_stay = true;
	NODE_FOREACH(t, node_path(root, F_spec, F_taints))
	{
		const char *effect = node_gets(t, F_effect);

		if (streq(effect, "PreferNoSchedule") || daemonset_tolerates(spec, t))
			continue;
		*should = false;
		if (streq(effect, "NoExecute"))
			*may_stay = false;
	}
}

/* --- the pod --- */

static bool daemonset_has_toleration(const struct node *list, const char *key, const char *effect)
{
	NODE_FOREACH(t, list)
		if (node_streq(node_get(t, F_key), key) && node_streq(node_get(t, F_operator), "Exists") &&
		    node_streq(node_get(t, F_effect), effect) && !node_get(t, F_tolerationSeconds))
			return true;
	return false;
}

void daemonset_pin(struct doc *d, struct node *spec, const char *node)
{
	struct node *affinity = node_need_object(d, node_need_object(d, spec, F_affinity), F_nodeAffinity), *terms, *req, *t;

	node_remove(affinity, F_requiredDuringSchedulingIgnoredDuringExecution);
	terms = node_need_array(d, node_need_object(d, affinity, F_requiredDuringSchedulingIgnoredDuringExecution),
				F_nodeSelectorTerms);
	t = node_append(terms, node_new(d, DOC_OBJECT));
	req = node_append(node_need_array(d, t, F_matchFields), node_new(d, DOC_OBJECT));
	node_sets(d, req, F_key, "metadata.name");
	node_sets(d, req, F_operator, "In");
	node_append(node_need_array(d, req, F_values), node_new_cstr(d, node));
	for (size_t i = 0; i < ARRAY_SIZE(daemonset_tolerated); i++) {
		const char *key = daemonset_tolerated[i].key, *effect = daemonset_tolerated[i].effect;
		struct node *list = node_need_array(d, spec, F_tolerations);

		if ((daemonset_tolerated[i].host_network && !node_bool(node_get(spec, F_hostNetwork), false)) ||
		    daemonset_has_toleration(list, key, effect))
			continue;
		t = node_append(list, node_new(d, DOC_OBJECT));
		node_sets(d, t, F_key, key);
		node_sets(d, t, F_operator, "Exists");
		node_sets(d, t, F_effect, effect);
	}
}
