/*
 * Which nodes a DaemonSet's pods belong on: nodeName, nodeSelector, required node
 * affinity and taints, as the scheduler will see them for a pod that tolerates
 * what every daemon tolerates (not ready, unreachable, pressure, unschedulable).
 */
#include "ctl/daemonset.h"

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

/* --- affinity --- */

static bool daemonset_has(const struct node *values, struct str value)
{
	NODE_FOREACH(v, values)
		if (str_eq(node_str(v), value))
			return true;
	return false;
}

static bool daemonset_compares(const struct node *values, struct str value, bool greater)
{
	int64_t a, b;

	if (node_count(values) != 1 || !str_to_i64(value, &a) || !str_to_i64(node_str(node_at(values, 0)), &b))
		return false;
	return greater ? a > b : a < b;
}

/* One requirement on a value that is there or not. */
static bool daemonset_meets(const struct node *req, const struct node *value)
{
	const char *op = node_gets(req, F_operator);
	const struct node *values = node_get(req, F_values);
	struct str s = node_str(value);

	if (streq(op, "In"))
		return value && daemonset_has(values, s);
	if (streq(op, "NotIn"))
		return !value || !daemonset_has(values, s);
	if (streq(op, "Exists"))
		return value != NULL;
	if (streq(op, "DoesNotExist"))
		return !value;
	return value && daemonset_compares(values, s, streq(op, "Gt"));
}

static bool daemonset_term(const struct node *term, const struct node *node)
{
	if (!node_count(node_get(term, F_matchExpressions)) && !node_count(node_get(term, F_matchFields)))
		return false; /* an empty term matches nothing */
	NODE_FOREACH(req, node_get(term, F_matchExpressions))
		if (!daemonset_meets(req, node_getk(meta_labels(node), node_str(node_get(req, F_key)))))
			return false;
	NODE_FOREACH(req, node_get(term, F_matchFields))
		if (!node_streq(node_get(req, F_key), "metadata.name") ||
		    !daemonset_meets(req, node_get(meta_of(node), F_name)))
			return false;
	return true;
}

static bool daemonset_affinity(const struct node *spec, const struct node *node)
{
	const struct node *required = node_path(spec, F_affinity, F_nodeAffinity,
						F_requiredDuringSchedulingIgnoredDuringExecution);

	NODE_FOREACH(l, node_get(spec, F_nodeSelector))
		if (!str_eq(node_str(node_getk(meta_labels(node), node_key(l))), node_str(l)))
			return false;
	if (!required)
		return true;
	NODE_FOREACH(term, node_get(required, F_nodeSelectorTerms))
		if (daemonset_term(term, node))
			return true;
	return false;
}

/* --- taints --- */

static bool daemonset_tolerates(const struct node *spec, const struct node *taint)
{
	const char *key = node_gets(taint, F_key), *effect = node_gets(taint, F_effect);

	for (size_t i = 0; i < ARRAY_SIZE(daemonset_tolerated); i++)
		if (streq(daemonset_tolerated[i].key, key) && streq(daemonset_tolerated[i].effect, effect) &&
		    (!daemonset_tolerated[i].host_network || node_bool(node_get(spec, F_hostNetwork), false)))
			return true;
	NODE_FOREACH(t, node_get(spec, F_tolerations))
	{
		bool exists = node_streq(node_get(t, F_operator), "Exists");

		if (*node_gets(t, F_effect) && !streq(node_gets(t, F_effect), effect))
			continue;
		if (*node_gets(t, F_key) ? !streq(node_gets(t, F_key), key) : !exists)
			continue;
		if (exists || streq(node_gets(t, F_value), node_gets(taint, F_value)))
			return true;
	}
	return false;
}

void daemonset_fits(const struct node *spec, struct obj *node, bool *should, bool *may_stay)
{
	const struct node *root = obj_node(node);
	const char *name = node_gets(spec, F_nodeName);

	*should = *may_stay = false;
	if ((*name && !streq(name, node->name)) || !daemonset_affinity(spec, root))
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
