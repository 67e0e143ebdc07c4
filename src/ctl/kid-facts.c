/*
 * What is kept of one pod: the few facts that controllers decide by (kids.h).
 */
#include "base/hash.h"
#include "base/time.h"
#include "ctl/kids.h"

#define KIDS_COST "controller.kubernetes.io/pod-deletion-cost"

static int64_t kid_time(const struct node *n)
{
	int64_t ns;

	return time_parse_rfc3339(node_str(n), &ns) ? ns / SEC_NS : 0;
}

static int64_t kid_restarts_sum(const struct node *statuses)
{
	int64_t n = 0;

	NODE_FOREACH(c, statuses)
		n += node_int(node_get(c, F_restartCount), 0);
	return n;
}

static int32_t kid_restarts(const struct node *statuses)
{
	int64_t most = 0;

	NODE_FOREACH(c, statuses)
		if (node_int(node_get(c, F_restartCount), 0) > most)
			most = node_int(node_get(c, F_restartCount), 0);
	return (int32_t)most;
}

static bool kid_is_sidecar(const struct node *spec, const char *name)
{
	NODE_FOREACH(c, node_get(spec, F_initContainers))
		if (node_streq(node_get(c, F_name), name))
			return node_streq(node_get(c, F_restartPolicy), "Always");
	return false;
}

static int32_t kid_sidecar_restarts(const struct node *spec, const struct node *statuses)
{
	int64_t most = 0;

	NODE_FOREACH(c, statuses)
		if (node_int(node_get(c, F_restartCount), 0) > most && kid_is_sidecar(spec, node_gets(c, F_name)))
			most = node_int(node_get(c, F_restartCount), 0);
	return (int32_t)most;
}

static bool kid_is_tracked(const struct node *meta)
{
	NODE_FOREACH(f, node_get(meta, F_finalizers))
		if (node_streq(f, KIDS_TRACKING))
			return true;
	return false;
}

static int32_t kid_index(const struct node *root)
{
	const char *text = meta_annotation(root, KIDS_INDEX);
	int64_t n;

	return text && str_to_i64(str_of(text), &n) && n >= 0 && n <= INT32_MAX ? (int32_t)n : -1;
}

/* When the last container ended; 0: not all have, or nothing says when. */
static int64_t kid_containers_finished_s(const struct node *statuses)
{
	int64_t last = 0;

	NODE_FOREACH(c, statuses)
	{
		int64_t t = kid_time(node_path(c, F_state, F_terminated, F_finishedAt));

		if (!t)
			return 0;
		if (t > last)
			last = t;
	}
	return last;
}

/* As Kubernetes guesses it: the containers know, or the condition Ready, or when it was told to go. */
static int64_t kid_finished_s(const struct kid *c, const struct node *root)
{
	const struct node *status = node_get(root, F_status), *meta = meta_of(root);
	const struct node *ready = cond_find(node_get(status, F_conditions), "Ready");
	int64_t t = kid_containers_finished_s(node_get(status, F_containerStatuses));

	if (!t && node_streq(node_get(ready, F_status), "False"))
		t = kid_time(node_get(ready, F_lastTransitionTime));
	if (!t && c->terminating)
		t = kid_time(node_get(meta, F_deletionTimestamp)) - node_int(node_get(meta, F_deletionGracePeriodSeconds), 0);
	return t ? t : c->created_s;
}

static uint64_t kid_addresses(const struct node *spec, const struct node *status)
{
	_cleanup_buf_ struct buf b = BUF_INIT;

	NODE_FOREACH(ip, node_get(status, F_podIPs))
		buf_addf(&b, "%s ", node_gets(ip, F_ip));
	if (!b.len)
		return 0;
	buf_addf(&b, "%s %s", node_gets(spec, F_hostname), node_gets(spec, F_subdomain));
	return hash_sip(buf_str(&b)) | 1;
}

static uint8_t kid_phase(const char *phase)
{
	static const char *const names[] = { [POD_PENDING] = "Pending", [POD_UNKNOWN] = "Unknown", [POD_RUNNING] = "Running",
					     [POD_SUCCEEDED] = "Succeeded", [POD_FAILED] = "Failed" };

	for (uint8_t i = 0; i < ARRAY_SIZE(names); i++)
		if (streq(phase, names[i]))
			return i;
	return POD_PENDING;
}

/* The node that a DaemonSet's pod is pinned to (daemonset.c); NULL: none. */
static const char *kid_pinned(const struct node *spec)
{
	const struct node *terms = node_path(spec, F_affinity, F_nodeAffinity, F_requiredDuringSchedulingIgnoredDuringExecution,
					     F_nodeSelectorTerms);

	NODE_FOREACH(term, terms)
		NODE_FOREACH(f, node_get(term, F_matchFields))
			if (node_streq(node_get(f, F_key), "metadata.name") && node_count(node_get(f, F_values)) == 1)
				return node_cstr(node_at(node_get(f, F_values), 0));
	return NULL;
}

void kid_look(struct kid *c, const struct node *root)
{
	const struct node *spec = node_get(root, F_spec), *status = node_get(root, F_status), *cond;
	const char *node = node_gets(spec, F_nodeName), *cost = meta_annotation(root, KIDS_COST);
	int64_t n;

	c->terminating = meta_is_deleting(root);
	c->created_s = kid_time(node_get(meta_of(root), F_creationTimestamp));
	c->phase = kid_phase(node_gets(status, F_phase));
	c->evicted = c->phase == POD_FAILED && node_streq(node_get(status, F_reason), "Evicted");
	cond = cond_find(node_get(status, F_conditions), "Ready");
	c->ready = node_streq(node_get(cond, F_status), "True");
	c->ready_s = c->ready ? kid_time(node_get(cond, F_lastTransitionTime)) : 0;
	c->restarts = kid_restarts(node_get(status, F_containerStatuses));
	n = kid_restarts_sum(node_get(status, F_containerStatuses)) +
	    kid_restarts_sum(node_get(status, F_initContainerStatuses));
	c->all_restarts = n < INT32_MAX ? (int32_t)n : INT32_MAX;
	c->sidecar_restarts = kid_sidecar_restarts(spec, node_get(status, F_initContainerStatuses));
	c->cost = cost && str_to_i64(str_of(cost), &n) && n >= INT32_MIN && n <= INT32_MAX ? (int32_t)n : 0;
	c->addresses = kid_addresses(spec, status);
	c->node = *node ? hash_sip(str_of(node)) : 0;
	c->target = c->node;
	if (!c->target && (node = kid_pinned(spec)))
		c->target = hash_sip(str_of(node));
	c->tracked = kid_is_tracked(meta_of(root));
	c->index = kid_index(root);
	c->finished_s = c->terminating || c->phase >= POD_SUCCEEDED ? kid_finished_s(c, root) : 0;
}
