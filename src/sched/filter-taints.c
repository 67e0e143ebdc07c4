/*
 * TaintToleration: taints with NoSchedule or NoExecute keep out pods that do not
 * tolerate them; PreferNoSchedule makes a node less liked.
 */
#include "sched/internal.h"

bool taints_tolerated(const struct sched_node *n, const struct node *tolerations)
{
	for (size_t i = 0; i < n->taints.n; i++)
		if (!streq(n->taints.v[i].effect, "PreferNoSchedule") && !taint_tolerated(&n->taints.v[i], tolerations))
			return false;
	return true;
}

SCHED_FILTER(filter_taints)
{
	*hopeless = true;
	return !n->taints.n || taints_tolerated(n, node_get(c->spec, F_tolerations)) ? NULL
										      : "node(s) had untolerated taint(s)";
}

SCHED_SCORE(score_taints)
{
	const struct node *tolerations = node_get(c->spec, F_tolerations);
	int64_t intolerable = 0;

	for (size_t i = 0; i < n->taints.n; i++)
		intolerable += streq(n->taints.v[i].effect, "PreferNoSchedule") &&
			       !taint_tolerated(&n->taints.v[i], tolerations);
	return intolerable;
}
