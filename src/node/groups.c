/*
 * The cgroups of the QoS classes: kubepods, kubepods/burstable,
 * kubepods/besteffort (guaranteed pods are right below kubepods). Burstable has
 * the weight of all that its pods ask for, best effort the least there is.
 * Mirrors the kubelet's qosContainerManagerImpl, but at each change of the pods
 * instead of every minute.
 *
 * All pods together may not take the last of the machine's process numbers: the
 * node itself needs some to start, probe and end them.
 */
#include "node/isolate.h"
#include "node/pressure.h"

#define PIDS_RESERVED 1024

static int64_t burstable_cpu(struct node_agent *n)
{
	struct map_iter it = {0};
	int64_t sum = 0;

	while (map_next(n->by_uid, &it)) {
		struct pod *p = it.value;

		if (p->state != POD_OVER && p->start_s && !p->fail_reason &&
		    qos_of(pod_spec(p)) == QOS_BURSTABLE)
			sum += qos_pod_request(pod_spec(p), "cpu");
	}
	return sum;
}

static void group_set(struct node_agent *n, const char *path, const struct run_limits *l)
{
	_cleanup_err_ struct err e = ERR_INIT;

	if (run_group_limits(n->runtime, path, l, &e) < 0)
		log_warn("cannot set the limits of a class of pods, ignoring", LS("cgroup", path), LE(&e));
}

static void groups_begin(struct node_agent *n)
{
	const struct settings *s = n->settings;
	int64_t pids = observe_pid_max(), kept = max_i64(s->kube.pids + s->system.pids, PIDS_RESERVED);
	struct run_limits all = {.cpu_weight = qos_cpu_weight(node_allocatable(n, "cpu")), .memory_max = reserve_pods_memory(n)};
	struct run_limits rest = {.cpu_weight = qos_cpu_weight(0)};

	if (pids > 2 * kept && s->enforce)
		all.pids_max = pids - kept;
	if (!s->enforce)
		all.pids_max = all.memory_max = RUN_UNLIMITED;
	group_set(n, qos_cgroup(QOS_GUARANTEED), &all);
	group_set(n, qos_cgroup(QOS_BEST_EFFORT), &rest);
}

void groups_run(struct node_agent *n)
{
	struct run_limits l = {.cpu_weight = qos_cpu_weight(burstable_cpu(n))};

	if (!n->runtime || n->burstable_weight == l.cpu_weight)
		return;
	if (!n->burstable_weight)
		groups_begin(n);
	n->burstable_weight = l.cpu_weight;
	group_set(n, qos_cgroup(QOS_BURSTABLE), &l);
}
