/*
 * The tables of filters and scores, in kube-scheduler's order and with its
 * default weights.
 */
#include "sched/internal.h"

const struct sched_filter sched_filters[] = {
	{ "NodeUnschedulable", NULL, filter_unschedulable, NULL, NULL, SCHED_ON_NODE | SCHED_ON_POD_CHANGE },
	{ "NodeName", filter_node_name_prepare, filter_node_name, NULL, NULL, SCHED_ON_NODE },
	{ "TaintToleration", NULL, filter_taints, NULL, NULL, SCHED_ON_NODE | SCHED_ON_POD_CHANGE },
	{ "NodeAffinity", filter_affinity_prepare, filter_affinity, NULL, NULL, SCHED_ON_NODE | SCHED_ON_POD_CHANGE },
	{ "NodePorts", filter_ports_prepare, filter_ports, NULL, NULL, SCHED_ON_NODE | SCHED_ON_POD_GONE },
	{ "NodeResourcesFit", NULL, filter_resources, NULL, NULL,
	  SCHED_ON_NODE | SCHED_ON_POD_GONE | SCHED_ON_POD_CHANGE },
	{ "DynamicResources", filter_devices_prepare, NULL, NULL, NULL, 0 },
	{ "VolumeBinding", filter_claims_prepare, filter_claims, filter_claims_count, filter_claims_done,
	  SCHED_ON_NODE | SCHED_ON_VOLUME | SCHED_ON_POD_GONE },
	{ "PodTopologySpread", filter_spread_prepare, filter_spread, filter_spread_count, filter_spread_done,
	  SCHED_ON_NODE | SCHED_ON_POD_GONE | SCHED_ON_POD_PLACED | SCHED_ON_POD_CHANGE },
	{ "InterPodAffinity", filter_near_prepare, filter_near, filter_near_count, filter_near_done,
	  SCHED_ON_NODE | SCHED_ON_POD_GONE | SCHED_ON_POD_PLACED | SCHED_ON_POD_CHANGE },
};
const size_t sched_n_filters = ARRAY_SIZE(sched_filters);

const struct sched_score sched_scores[] = {
	{ "NodeResourcesFit", 1, NULL, score_least_allocated, SCORE_AS_IS },
	{ "NodeResourcesBalancedAllocation", 1, score_balanced_prepare, score_balanced, SCORE_AS_IS },
	{ "ImageLocality", 1, score_image_prepare, score_image, SCORE_AS_IS },
	{ "NodeAffinity", 2, score_affinity_prepare, score_affinity, SCORE_HIGH_BEST },
	{ "TaintToleration", 3, NULL, score_taints, SCORE_LOW_BEST },
	{ "PodTopologySpread", 2, score_spread_prepare, score_spread, SCORE_SPREAD },
	{ "InterPodAffinity", 2, score_near_prepare, score_near, SCORE_RANGE },
};
const size_t sched_n_scores = ARRAY_SIZE(sched_scores);
