/*
 * The tables of filters and scores, in kube-scheduler's order and with its
 * default weights.
 */
#include "sched/internal.h"

const struct sched_filter sched_filters[] = {
	{ "NodeUnschedulable", filter_unschedulable, SCHED_ON_NODE | SCHED_ON_POD_CHANGE },
	{ "NodeName", filter_node_name, SCHED_ON_NODE },
	{ "TaintToleration", filter_taints, SCHED_ON_NODE | SCHED_ON_POD_CHANGE },
	{ "NodeAffinity", filter_affinity, SCHED_ON_NODE | SCHED_ON_POD_CHANGE },
	{ "NodePorts", filter_ports, SCHED_ON_NODE | SCHED_ON_POD_GONE },
	{ "NodeResourcesFit", filter_resources, SCHED_ON_NODE | SCHED_ON_POD_GONE | SCHED_ON_POD_CHANGE },
};
const size_t sched_n_filters = ARRAY_SIZE(sched_filters);

const struct sched_score sched_scores[] = {
	{ "NodeResourcesFit", 1, score_least_allocated, false, false },
	{ "NodeResourcesBalancedAllocation", 1, score_balanced, false, false },
	{ "PodTopologySpread", 2, score_spread, true, true },
	{ "ImageLocality", 1, score_image, false, false },
	{ "NodeAffinity", 2, score_affinity, true, false },
	{ "TaintToleration", 3, score_taints, true, true },
};
const size_t sched_n_scores = ARRAY_SIZE(sched_scores);
