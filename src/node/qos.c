/*
 * Quality of service and what a pod's resources mean for cgroups and the OOM
 * killer. Pure. Mirrors the kubelet's cm.ResourceConfigForPod,
 * qos.GetContainerOOMScoreAdjust and kuberuntime's calculateLinuxResources,
 * with resources of the pod as a whole (spec.resources). memory.high stays
 * unset: the feature that sets it (MemoryQoS) is off in Kubernetes, too.
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

static const char *const qos_resources[] = {"cpu", "memory"};

static void qos_scan_one(const struct node *resources, bool *any, bool *guaranteed)
{
	for (size_t i = 0; i < ARRAY_SIZE(qos_resources); i++) {
		int64_t req = request_of(resources, qos_resources[i]),
			lim = limit_of(resources, qos_resources[i]);

		if (req > 0 || lim > 0)
			*any = true;
		if (lim <= 0 || req != lim)
			*guaranteed = false;
	}
}

static void qos_scan(const struct node *containers, bool *any, bool *guaranteed)
{
	NODE_FOREACH (c, containers)
		qos_scan_one(node_get(c, F_resources), any, guaranteed);
}

/* spec.resources: then it alone makes the class. */
static bool has_pod_level(const struct node *spec)
{
	const struct node *r = node_get(spec, F_resources);

	return node_count(node_get(r, F_requests)) || node_count(node_get(r, F_limits));
}

enum qos qos_of(const struct node *spec)
{
	bool any = false, guaranteed = true;

	if (has_pod_level(spec)) {
		qos_scan_one(node_get(spec, F_resources), &any, &guaranteed);
	} else {
		qos_scan(node_get(spec, F_initContainers), &any, &guaranteed);
		qos_scan(node_get(spec, F_containers), &any, &guaranteed);
	}
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

/* "hugepages-2Mi": 2 MiB; 0 for other resources. */
static uint64_t page_size_of(struct str resource)
{
	static const char prefix[] = "hugepages-";
	struct quantity q;

	if (!str_starts(resource, STR_LIT("hugepages-")) ||
	    !quantity_parse(&q, str_sub(resource, strlen(prefix), resource.n)))
		return 0;
	return (uint64_t)max_i64(quantity_value(&q), 0);
}

static void add_hugetlb(const struct node *limits, struct run_limits *out)
{
	NODE_FOREACH (l, limits) {
		uint64_t page = page_size_of(node_key(l));
		struct quantity q;
		size_t i = 0;

		if (!page || !quantity_from_node(&q, l))
			continue;
		while (i < out->n_hugetlb && out->hugetlb[i].page_bytes != page)
			i++;
		if (i == RUN_HUGETLB_MAX)
			continue;
		if (i == out->n_hugetlb)
			out->hugetlb[out->n_hugetlb++] = (struct run_hugetlb){.page_bytes = page};
		out->hugetlb[i].max_bytes += quantity_value(&q);
	}
}

/* A container without a limit of its own is held to the pod's. */
static int64_t limit_or_pods(const struct node *spec, const struct node *resources, const char *name)
{
	int64_t own = limit_of(resources, name);

	return own > 0 ? own : limit_of(node_get(spec, F_resources), name);
}

void qos_container_limits(const struct node *spec, const struct node *container, struct run_limits *out)
{
	const struct node *res = node_get(container, F_resources), *requests = node_get(res, F_requests);
	int64_t cpu_limit = limit_or_pods(spec, res, "cpu");

	memset(out, 0, sizeof(*out));
	set_cpu(out, node_getc(requests, "cpu") ? request_of(res, "cpu") : cpu_limit, cpu_limit);
	out->memory_max = limit_or_pods(spec, res, "memory");
	out->hugetlb_set = true;
	add_hugetlb(node_get(res, F_limits), out);
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
	static const enum field lists[] = {F_containers, F_initContainers};
	int64_t sum = limit_of(node_get(spec, F_resources), name);
	struct quantity q;

	for (size_t i = 0; i < ARRAY_SIZE(lists) && sum <= 0; i++)
		NODE_FOREACH (c, node_get(spec, lists[i]))
			if (limit_of(node_get(c, F_resources), name) <= 0)
				return 0;
	if (sum <= 0)
		sum = pod_sum(spec, name, limit_of);
	if (sum > 0 && quantity_of(node_get(spec, F_overhead), name, &q))
		sum += streq(name, "cpu") ? quantity_milli(&q) : quantity_value(&q);
	return sum;
}

void qos_pod_limits(const struct node *spec, struct run_limits *out)
{
	static const enum field lists[] = {F_containers, F_initContainers};
	const struct node *own = node_path(spec, F_resources, F_limits);

	memset(out, 0, sizeof(*out));
	if (qos_of(spec) == QOS_BEST_EFFORT) {
		set_cpu(out, 0, 0);
	} else {
		set_cpu(out, qos_pod_request(spec, "cpu"), pod_limit(spec, "cpu"));
		out->memory_max = pod_limit(spec, "memory");
	}
	out->hugetlb_set = true;
	add_hugetlb(own, out);
	for (size_t i = 0; i < ARRAY_SIZE(lists) && !out->n_hugetlb; i++)
		NODE_FOREACH (c, node_get(spec, lists[i]))
			add_hugetlb(node_path(c, F_resources, F_limits), out);
}

/* --- the OOM killer --- */

static bool is_node_critical(const struct node *spec)
{
	return node_streq(node_get(spec, F_priorityClassName), "system-node-critical");
}

/* What the pod asks for beyond its containers, in equal parts. */
static int64_t rest_for_each(const struct node *spec)
{
	int64_t rest, n = (int64_t)node_count(node_get(spec, F_containers));
	struct quantity q;

	if (!quantity_of(node_path(spec, F_resources, F_requests), "memory", &q))
		return 0;
	rest = quantity_value(&q) - pod_sum(spec, "memory", request_of);
	NODE_FOREACH (c, node_get(spec, F_initContainers))
		n += is_sidecar(c);
	return rest > 0 && n ? rest / n : 0;
}

static int64_t oom_share(int64_t bytes, int64_t capacity)
{
	return capacity > 0 ? 1000 - (int64_t)((__int128)1000 * bytes / capacity) : 999;
}

/* A sidecar is no likelier to be killed than the container that asks for the least. */
static int64_t oom_of_least(const struct node *spec, int64_t rest, int64_t capacity)
{
	int64_t least = INT64_MAX;

	NODE_FOREACH (c, node_get(spec, F_containers)) {
		int64_t v = request_of(node_get(c, F_resources), "memory");

		least = v < least ? v : least;
	}
	return oom_share(least == INT64_MAX ? 0 : least + rest, capacity);
}

int qos_oom_score_adj(const struct node *spec, const struct node *container, int64_t capacity)
{
	enum qos q = qos_of(spec);
	int64_t rest = rest_for_each(spec), adj;

	if (q == QOS_GUARANTEED || is_node_critical(spec))
		return -997;
	if (q == QOS_BEST_EFFORT)
		return 1000;
	adj = oom_share(request_of(node_get(container, F_resources), "memory") + rest, capacity);
	if (is_sidecar(container)) {
		int64_t other = oom_of_least(spec, rest, capacity);

		adj = other < adj ? other : adj;
	}
	return (int)(adj < 3 ? 3 : adj > 999 ? 999 : adj);
}
