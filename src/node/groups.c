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

static int64_t number_in(const char *path)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	_cleanup_err_ struct err e = ERR_INIT;
	int64_t v;

	return path_read(path, 64, &b, &e) == 0 && str_to_i64(str_trim(buf_str(&b)), &v) ? v : INT64_MAX;
}

static void group_set(struct node_agent *n, const char *path, const struct run_limits *l)
{
	_cleanup_err_ struct err e = ERR_INIT;

	if (run_group_limits(n->runtime, path, l, &e) < 0)
		log_warn("cannot set the limits of a class of pods, ignoring", LS("cgroup", path), LE(&e));
}

static void groups_begin(struct node_agent *n)
{
	int64_t pids = number_in("/proc/sys/kernel/pid_max"), threads = number_in("/proc/sys/kernel/threads-max");
	struct run_limits all = {.cpu_weight = qos_cpu_weight(n->cpu_milli)};
	struct run_limits rest = {.cpu_weight = qos_cpu_weight(0)};

	pids = threads < pids ? threads : pids;
	if (pids != INT64_MAX && pids > 2 * PIDS_RESERVED)
		all.pids_max = pids - PIDS_RESERVED;
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
