/*
 * TaintToleration: taints with NoSchedule or NoExecute keep out pods that do not
 * tolerate them; PreferNoSchedule makes a node less liked.
 */
#include "sched/internal.h"

static bool toleration_covers(const struct node *t, const struct node *taint)
{
	const char *key = node_gets(t, F_key), *effect = node_gets(t, F_effect), *op = node_gets(t, F_operator);
	int64_t have, want;

	if (*effect && !streq(effect, node_gets(taint, F_effect)))
		return false;
	if (*key && !streq(key, node_gets(taint, F_key)))
		return false;
	if (streq(op, "Exists"))
		return true;
	if (streq(op, "Gt") || streq(op, "Lt")) {
		if (!str_to_i64(node_str(node_get(taint, F_value)), &have) ||
		    !str_to_i64(node_str(node_get(t, F_value)), &want))
			return false;
		return streq(op, "Gt") ? have > want : have < want;
	}
	return *key && streq(node_gets(t, F_value), node_gets(taint, F_value));
}

bool taint_tolerated(const struct node *taint, const struct node *tolerations)
{
	NODE_FOREACH(t, tolerations)
		if (toleration_covers(t, taint))
			return true;
	return false;
}

const char *filter_taints(const struct sched_pod *p, const struct sched_node *n, struct buf *scratch, bool *hopeless)
{
	const struct node *tolerations = node_path(obj_node(p->obj), F_spec, F_tolerations);

	*hopeless = true;
	NODE_FOREACH(taint, node_path(obj_node(n->obj), F_spec, F_taints))
		if (!node_streq(node_get(taint, F_effect), "PreferNoSchedule") && !taint_tolerated(taint, tolerations))
			return "node(s) had untolerated taint(s)";
	return NULL;
}

int64_t score_taints(const struct sched_pod *p, const struct sched_node *n)
{
	const struct node *tolerations = node_path(obj_node(p->obj), F_spec, F_tolerations);
	int64_t intolerable = 0;

	NODE_FOREACH(taint, node_path(obj_node(n->obj), F_spec, F_taints))
		intolerable += node_streq(node_get(taint, F_effect), "PreferNoSchedule") &&
			       !taint_tolerated(taint, tolerations);
	return intolerable;
}
