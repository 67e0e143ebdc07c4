/*
 * NodeAffinity: spec.nodeSelector, and required and preferred node affinity with
 * expressions over labels and over metadata.name.
 */
#include "sched/internal.h"

static const struct node *affinity_of(const struct node *spec, enum field which)
{
	return node_path(spec, F_affinity, F_nodeAffinity, which);
}

bool filter_affinity_prepare(struct sched_cycle *c)
{
	return node_count(node_get(c->spec, F_nodeSelector)) ||
	       affinity_of(c->spec, F_requiredDuringSchedulingIgnoredDuringExecution);
}

SCHED_FILTER(filter_affinity)
{
	*hopeless = true;
	return place_suits(&n->place, c->spec) ? NULL : "node(s) didn't match Pod's node affinity/selector";
}

SCHED_SCORE_PREPARE(score_affinity_prepare)
{
	return node_count(affinity_of(c->spec, F_preferredDuringSchedulingIgnoredDuringExecution)) > 0;
}

SCHED_SCORE(score_affinity)
{
	int64_t sum = 0;

	NODE_FOREACH(pref, affinity_of(c->spec, F_preferredDuringSchedulingIgnoredDuringExecution))
		if (place_matches_term(&n->place, node_get(pref, F_preference)))
			sum += node_int(node_get(pref, F_weight), 0);
	return sum;
}
