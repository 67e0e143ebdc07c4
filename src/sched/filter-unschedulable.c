/*
 * NodeUnschedulable: `kubectl cordon`.
 */
#include "sched/internal.h"

SCHED_FILTER(filter_unschedulable)
{
	static const struct taint taint = { "node.kubernetes.io/unschedulable", "", "NoSchedule" };

	*hopeless = true;
	if (!n->unschedulable || taint_tolerated(&taint, node_get(c->spec, F_tolerations)))
		return NULL;
	return "node(s) were unschedulable";
}
