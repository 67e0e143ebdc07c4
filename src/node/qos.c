/*
 * Quality of service and what a pod's resources mean for cgroups and the OOM
 * killer. Pure. Mirrors the kubelet's cm.ResourceConfigForPod,
 * qos.GetContainerOOMScoreAdjust and kuberuntime's calculateLinuxResources.
 */
#include <math.h>

#include "node/internal.h"

#define CPU_PERIOD_US 100000
#define CPU_QUOTA_MIN_US 1000

static bool quantity_of(const struct node *list, const char *name, struct quantity *q)
{
	return quantity_from_node(q, node_getc(list, name));
}

/* Requests count as limits where only limits are given; the API server defaults them, static documents may
 * not. */
static int64_t request_of(const struct node *resources, const char *name)
{
	struct quantity q;

	if (!quantity_of(node_get(resources, F_requests), name, &q) &&
	    !quantity_of(node_get(resources, F_limits), name, &q))
		return 0;
	return streq(name, "cpu") ? quantity_milli(&q) : quantity_value(&q);
}

static int64_t limit_of(const struct node *resources, const char *name)
{
	struct quantity q;

	if (!quantity_of(node_get(resources, F_limits), name, &q))
		return 0;
	return streq(name, "cpu") ? quantity_milli(&q) : quantity_value(&q);
}

static void qos_scan(const struct node *containers, bool *any, bool *guaranteed)
{
	static const char *const names[] = {"cpu", "memory"};

	NODE_FOREACH (c, containers) {
		const struct node *r = node_get(c, F_resources);

		for (size_t i = 0; i < 2; i++) {
			int64_t req = request_of(r, names[i]), lim = limit_of(r, names[i]);

			if (req > 0 || lim > 0)
				*any = true;
			if (lim <= 0 || req != lim)
				*guaranteed = false;
		}
	}
}

enum qos qos_of(const struct node *spec)
{
	bool any = false, guaranteed = true;

	qos_scan(node_get(spec, F_initContainers), &any, &guaranteed);
	qos_scan(node_get(spec, F_containers), &any, &guaranteed);
	if (!any)
		return QOS_BEST_EFFORT;
	return guaranteed ? QOS_GUARANTEED : QOS_BURSTABLE;
}

const char *qos_name(enum qos q)
{
	static const char *const names[] = {"Guaranteed", "Burstable", "BestEffort"};

	return names[q];
}

const char *qos_cgroup(enum qos q)
{
	static const char *const names[] = {"kubepods", "kubepods/burstable", "kubepods/besteffort"};

	return names[q];
}

/*
 * shares = milli * 1024 / 1000, at least 2; then the curve of runc 1.3.2 and crun 1.23 that maps 1024 shares
 * to the default weight of 100 (2 to 1, 262144 to 10000).
 */
uint64_t qos_cpu_weight(int64_t milli)
{
	int64_t shares = milli * 1024 / 1000;
	double l;

	if (shares <= 2)
		return 1;
	if (shares >= 262144)
		return 10000;
	l = log2((double)shares);
	return (uint64_t)ceil(pow(10, (l * l + 125 * l) / 612.0 - 7.0 / 34.0));
}

static void set_cpu(struct run_limits *out, int64_t request, int64_t limit)
{
	out->cpu_weight = qos_cpu_weight(request);
	if (limit > 0) {
		out->cpu_period_us = CPU_PERIOD_US;
		out->cpu_quota_us = max_i64(limit * CPU_PERIOD_US / 1000, CPU_QUOTA_MIN_US);
	}
}

void qos_container_limits(const struct node *resources, struct run_limits *out)
{
	memset(out, 0, sizeof(*out));
	set_cpu(out, request_of(resources, "cpu"), limit_of(resources, "cpu"));
	out->memory_max = limit_of(resources, "memory");
}

static bool is_sidecar(const struct node *init_container)
{
	return node_streq(node_get(init_container, F_restartPolicy), "Always");
}

/* max(sum of containers and sidecars, each init container with the sidecars before it) */
static int64_t pod_sum(const struct node *spec, const char *name,
		       int64_t (*of)(const struct node *, const char *))
{
	int64_t sum = 0, sidecars = 0, init = 0;

	NODE_FOREACH (c, node_get(spec, F_containers))
		sum += of(node_get(c, F_resources), name);
	NODE_FOREACH (c, node_get(spec, F_initContainers)) {
		int64_t v = of(node_get(c, F_resources), name);

		if (is_sidecar(c)) {
			sidecars += v;
			v = 0;
		}
		init = max_i64(init, sidecars + v);
	}
	return max_i64(sum + sidecars, init);
}

int64_t qos_pod_request(const struct node *spec, const char *name)
{
	struct quantity q;
	int64_t v = pod_sum(spec, name, request_of);

	if (quantity_of(node_path(spec, F_resources, F_requests), name, &q))
		v = streq(name, "cpu") ? quantity_milli(&q) : quantity_value(&q);
	if (quantity_of(node_get(spec, F_overhead), name, &q))
		v += streq(name, "cpu") ? quantity_milli(&q) : quantity_value(&q);
	return v;
}

/* A pod has a limit when every container has one, or the pod itself. */
static int64_t pod_limit(const struct node *spec, const char *name)
{
	int64_t own = limit_of(node_get(spec, F_resources), name);

	if (own > 0)
		return own;
	NODE_FOREACH (c, node_get(spec, F_containers))
		if (limit_of(node_get(c, F_resources), name) <= 0)
			return 0;
	NODE_FOREACH (c, node_get(spec, F_initContainers))
		if (limit_of(node_get(c, F_resources), name) <= 0)
			return 0;
	return pod_sum(spec, name, limit_of);
}

void qos_pod_limits(const struct node *spec, struct run_limits *out)
{
	memset(out, 0, sizeof(*out));
	set_cpu(out, qos_pod_request(spec, "cpu"), pod_limit(spec, "cpu"));
	out->memory_max = pod_limit(spec, "memory");
}

int qos_oom_score_adj(enum qos q, int64_t request, int64_t capacity, bool critical)
{
	int64_t adj;

	if (critical || q == QOS_GUARANTEED)
		return -997;
	if (q == QOS_BEST_EFFORT)
		return 1000;
	adj = capacity > 0 ? 1000 - (int64_t)((__int128)1000 * request / capacity) : 999;
	return (int)(adj < 3 ? 3 : adj > 999 ? 999 : adj);
}
