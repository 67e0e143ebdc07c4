/*
 * Whether what a pod asks for is left on this node. A critical pod that finds no
 * room makes some: less important pods are ended. Mirrors the kubelet's predicate
 * (lifecycle.NewPredicateAdmitHandler) and pkg/kubelet/preemption; of the pods
 * that could go, those of the least priority go first.
 */
#include "node/pressure.h"

static const char *const counted[] = {
	"cpu", "memory", "ephemeral-storage", "hugepages-2Mi", "hugepages-1Gi", "hugepages-64Ki", "hugepages-32Mi", "pods",
};

static int64_t asked(struct pod *p, const char *resource)
{
	return streq(resource, "pods") ? 1 : qos_pod_request(pod_spec(p), resource);
}

static int64_t used_by_others(struct pod *p, const char *resource)
{
	return pod_used_by_others(p, streq(resource, "pods") ? NULL : resource);
}

static int64_t priority_of(const struct pod *p)
{
	return node_int(node_get(pod_spec((struct pod *)p), F_priority), 0);
}

static int pod_cmp(const void *a, const void *b)
{
	struct pod *x = *(struct pod *const *)a, *y = *(struct pod *const *)b;
	int64_t px = priority_of(x), py = priority_of(y);

	if (px != py)
		return px < py ? -1 : 1;
	return (int)qos_of(pod_spec(y)) - (int)qos_of(pod_spec(x)); /* best effort first */
}

/* Ends pods until `need` more of the resource will be free. False: that cannot be reached. */
static bool make_room(struct pod *p, const char *resource, int64_t need)
{
	struct node_agent *n = p->agent;
	struct pod **v = xcalloc(map_count(n->by_uid) + 1, sizeof(struct pod *));
	int64_t found = 0;
	size_t k = 0, take = 0;

	for (struct map_iter it = {0}; map_next(n->by_uid, &it);) {
		struct pod *o = it.value;

		if (o != p && o->state != POD_OVER && o->start_s && !pod_critical(o) && asked(o, resource) > 0)
			v[k++] = o;
	}
	if (k)
		qsort(v, k, sizeof(struct pod *), pod_cmp);
	while (take < k && found < need)
		found += asked(v[take++], resource);
	for (size_t i = 0; found >= need && i < take; i++) {
		if (v[i]->fail_reason || v[i]->gone || pod_deleting(v[i]))
			continue; /* on its way already */
		v[i]->disrupted = true;
		pod_fail(v[i], "Preempting", "Preempted in order to admit critical pod");
	}
	free(v);
	return found >= need;
}

static bool admit_one(struct pod *p, const char *resource)
{
	int64_t want = asked(p, resource), used, capacity = node_allocatable(p->agent, resource);

	if (want <= 0)
		return true;
	used = used_by_others(p, resource);
	if (used + want <= capacity)
		return true;
	if (want <= capacity && pod_critical(p) && make_room(p, resource, used + want - capacity))
		return false;
	p->start_s = time_wall_s();
	pod_fail(p, out_of(resource),
		 "Pod was rejected: Node didn't have enough resource: %s, requested: %lld, used: %lld, capacity: %lld", resource,
		 (long long)want, (long long)used, (long long)capacity);
	return false;
}

bool admit_resources(struct pod *p)
{
	for (size_t i = 0; i < ARRAY_SIZE(counted); i++)
		if (!admit_one(p, counted[i]))
			return false;
	return true;
}
