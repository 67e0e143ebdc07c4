/*
 * Usage for quotas, see usage.h.
 *
 * Pods, Services and claims have rows of their own in `meters`; every other kind
 * counts its objects, as count/<plural>.<group>, a few of the core also under
 * their plural alone.
 *
 * A pod that is over only counts as an object (count/pods). Usage depends on the
 * object alone and not on the time, so that what was added can be taken away
 * again; a pod whose node is lost therefore counts until it is gone.
 */
#include "schema/usage.h"

#define COUNT "count/"
#define REQUESTS "requests."
#define LIMITS "limits."
#define BY_CLASS ".storageclass.storage.k8s.io/"
#define NANO 1000000000

static bool usage_one(struct quantity *ret, int64_t n)
{
	*ret = (struct quantity){ (__int128)n * NANO, 'd' };
	return n != 0;
}

static bool usage_in(const char *name, const char *const *list)
{
	for (; *list; list++)
		if (streq(name, *list))
			return true;
	return false;
}

/* --- pods --- */

static const char *const pod_fixed[] = { "pods",	       "cpu",		      "memory",
					 "ephemeral-storage",  "requests.cpu",	      "requests.memory",
					 "limits.cpu",	       "limits.memory",	      "requests.ephemeral-storage",
					 "limits.ephemeral-storage", NULL };

static bool pod_tracks(const char *name)
{
	const char *rest = name + strlen(REQUESTS);

	if (usage_in(name, pod_fixed) || starts_with(name, "hugepages-"))
		return true;
	if (!starts_with(name, REQUESTS))
		return false;
	/* Extended resources: with a domain that is not Kubernetes' own. */
	return starts_with(rest, "hugepages-") || (strchr(rest, '/') && !strstr(rest, "kubernetes.io/"));
}

/* Which list of the containers, and which key in it, a quota's resource speaks of. */
static enum field pod_key(const char *name, const char **key)
{
	if (starts_with(name, LIMITS)) {
		*key = name + strlen(LIMITS);
		return F_limits;
	}
	*key = starts_with(name, REQUESTS) ? name + strlen(REQUESTS) : name;
	return F_requests;
}

bool usage_pod_is_over(const struct node *root)
{
	const char *phase = node_gets(node_get(root, F_status), F_phase);

	return streq(phase, "Failed") || streq(phase, "Succeeded");
}

static bool pod_usage(const struct node *root, const char *name, struct quantity *ret)
{
	const char *key;
	enum field which;

	if (usage_pod_is_over(root))
		return false;
	if (streq(name, "pods"))
		return usage_one(ret, 1);
	which = pod_key(name, &key);
	return usage_pod_sum(node_get(root, F_spec), which, key, true, ret);
}

static bool usage_amount(const struct node *resources, enum field which, const char *name, struct quantity *q)
{
	return quantity_from_node(q, node_getc(node_get(resources, which), name));
}

static void usage_max(struct quantity *a, const struct quantity *b)
{
	if (quantity_cmp(a, b) < 0)
		*a = *b;
}

/* Adds what the init containers need: those that stay on top of the others, the rest one after the other. */
static bool usage_init(const struct node *spec, enum field which, const char *name, struct quantity *sum)
{
	struct quantity stay = { 0, 'd' }, most = { 0, 'd' };
	bool any = false;

	NODE_FOREACH(c, node_get(spec, F_initContainers)) {
		struct quantity q = { 0, 'd' }, now;

		any |= usage_amount(node_get(c, F_resources), which, name, &q);
		now = stay;
		quantity_add(&now, &q);
		if (node_streq(node_get(c, F_restartPolicy), "Always"))
			stay = now;
		usage_max(&most, &now);
	}
	quantity_add(sum, &stay);
	usage_max(sum, &most);
	return any;
}

bool usage_pod_sum(const struct node *spec, enum field which, const char *name, bool overhead, struct quantity *ret)
{
	struct quantity sum = { 0, 'd' }, q;
	bool any = false;

	NODE_FOREACH(c, node_get(spec, F_containers))
		if (usage_amount(node_get(c, F_resources), which, name, &q)) {
			quantity_add(&sum, &q);
			any = true;
		}
	any |= usage_init(spec, which, name, &sum);
	if (usage_amount(node_get(spec, F_resources), which, name, &q)) { /* the pod's own word counts */
		sum = q;
		any = true;
	}
	if (overhead && quantity_from_node(&q, node_getc(node_get(spec, F_overhead), name)) &&
	    (which == F_requests || sum.nano)) {
		quantity_add(&sum, &q);
		any = true;
	}
	*ret = sum;
	return any;
}

static bool usage_wants_any(const struct node *resources)
{
	static const char *const names[] = { "cpu", "memory" };
	static const enum field lists[] = { F_requests, F_limits };
	struct quantity q;

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		for (size_t k = 0; k < ARRAY_SIZE(lists); k++)
			if (usage_amount(resources, lists[k], names[i], &q) && q.nano > 0)
				return true;
	return false;
}

bool usage_best_effort(const struct node *spec)
{
	static const enum field lists[] = { F_containers, F_initContainers };

	for (size_t i = 0; i < ARRAY_SIZE(lists); i++)
		NODE_FOREACH(c, node_get(spec, lists[i]))
			if (usage_wants_any(node_get(c, F_resources)))
				return false;
	return !usage_wants_any(node_get(spec, F_resources));
}

bool usage_must_be_given(const char *name)
{
	static const char *const names[] = { "cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu",
					     "limits.memory", NULL };

	return usage_in(name, names);
}

bool usage_is_given(const struct node *spec, const struct node *container, const char *name)
{
	const char *key;
	enum field which = pod_key(name, &key);

	return node_getc(node_path(container, F_resources, which), key) ||
	       node_getc(node_path(spec, F_resources, which), key);
}

/* --- scopes of pods --- */

static bool terms_cross(const struct node *terms, bool weighted)
{
	NODE_FOREACH(t, terms) {
		const struct node *term = weighted ? node_get(t, F_podAffinityTerm) : t;

		if (node_count(node_get(term, F_namespaces)) || node_get(term, F_namespaceSelector))
			return true;
	}
	return false;
}

static bool affinity_crosses(const struct node *affinity)
{
	return terms_cross(node_get(affinity, F_requiredDuringSchedulingIgnoredDuringExecution), false) ||
	       terms_cross(node_get(affinity, F_preferredDuringSchedulingIgnoredDuringExecution), true);
}

/* In, NotIn, Exists, DoesNotExist on one value, "" being none. */
static bool scope_value_matches(const struct node *req, const char *value)
{
	const char *op = node_gets(req, F_operator);
	bool in = false;

	if (streq(op, "Exists"))
		return *value;
	if (streq(op, "DoesNotExist"))
		return !*value;
	NODE_FOREACH(v, node_get(req, F_values))
		in |= node_streq(v, value);
	if (streq(op, "In"))
		return *value && in;
	return streq(op, "NotIn") && !(*value && in);
}

static bool pod_in_scope(const struct node *req, const char *scope, const struct node *root)
{
	const struct node *spec = node_get(root, F_spec), *deadline = node_get(spec, F_activeDeadlineSeconds);
	bool terminating = deadline && node_int(deadline, -1) >= 0;

	if (streq(scope, "Terminating"))
		return terminating;
	if (streq(scope, "NotTerminating"))
		return !terminating;
	if (streq(scope, "BestEffort"))
		return usage_best_effort(spec);
	if (streq(scope, "NotBestEffort"))
		return !usage_best_effort(spec);
	if (streq(scope, "CrossNamespacePodAffinity"))
		return affinity_crosses(node_path(spec, F_affinity, F_podAffinity)) ||
		       affinity_crosses(node_path(spec, F_affinity, F_podAntiAffinity));
	if (!streq(scope, "PriorityClass"))
		return false;
	return req ? scope_value_matches(req, node_gets(spec, F_priorityClassName)) :
		     *node_gets(spec, F_priorityClassName) != '\0';
}

/* --- claims --- */

static const char *const claim_fixed[] = { "persistentvolumeclaims", "requests.storage", NULL };

const char *usage_claim_class(const struct node *claim)
{
	const char *old = meta_annotation(claim, "volume.beta.kubernetes.io/storage-class");

	return old ? old : node_cstr(node_path(claim, F_spec, F_storageClassName));
}

static bool claim_tracks(const char *name)
{
	if (usage_in(name, claim_fixed))
		return true;
	for (size_t i = 0; claim_fixed[i]; i++) {
		_cleanup_free_ char *suffix = xasprintf(BY_CLASS "%s", claim_fixed[i]);

		if (ends_with(name, suffix))
			return true;
	}
	return false;
}

static bool claim_storage(const struct node *root, struct quantity *ret)
{
	struct quantity q;

	if (!quantity_from_node(ret, node_getc(node_path(root, F_spec, F_resources, F_requests), "storage")))
		return false;
	if (quantity_from_node(&q, node_getc(node_path(root, F_status, F_allocatedResources), "storage")))
		usage_max(ret, &q);
	quantity_round_up(ret, NANO); /* whole bytes */
	return true;
}

static bool claim_usage(const struct node *root, const char *name, struct quantity *ret)
{
	const char *by = strstr(name, BY_CLASS), *class = usage_claim_class(root);

	if (by) {
		if (str_empty(class) || !str_eqc(str_n(name, (size_t)(by - name)), class))
			return false;
		name = by + strlen(BY_CLASS);
	}
	return streq(name, "persistentvolumeclaims") ? usage_one(ret, 1) : claim_storage(root, ret);
}

static bool claim_in_scope(const struct node *req, const char *scope, const struct node *root)
{
	const char *names[] = { node_gets(node_get(root, F_spec), F_volumeAttributesClassName),
				node_gets(node_get(root, F_status), F_currentVolumeAttributesClassName),
				node_gets(node_path(root, F_status, F_modifyVolumeStatus),
					  F_targetVolumeAttributesClassName) };
	bool any = false;

	if (!streq(scope, "VolumeAttributesClass"))
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (!*names[i])
			continue;
		any = true;
		if (!req || scope_value_matches(req, names[i]))
			return true;
	}
	return !any && req && scope_value_matches(req, "");
}

/* --- services --- */

static bool service_tracks(const char *name)
{
	static const char *const names[] = { "services", "services.nodeports", "services.loadbalancers", NULL };

	return usage_in(name, names);
}

static int64_t service_ports(const struct node *spec)
{
	bool balanced = streq(node_gets(spec, F_type), "LoadBalancer");
	int64_t n = 0;

	if (!balanced && !streq(node_gets(spec, F_type), "NodePort"))
		return 0;
	if (!balanced || node_bool(node_get(spec, F_allocateLoadBalancerNodePorts), true))
		return (int64_t)node_count(node_get(spec, F_ports));
	NODE_FOREACH(p, node_get(spec, F_ports))
		n += node_int(node_get(p, F_nodePort), 0) != 0;
	return n;
}

static bool service_usage(const struct node *root, const char *name, struct quantity *ret)
{
	const struct node *spec = node_get(root, F_spec);

	if (streq(name, "services"))
		return usage_one(ret, 1);
	if (streq(name, "services.nodeports"))
		return usage_one(ret, service_ports(spec));
	return usage_one(ret, streq(node_gets(spec, F_type), "LoadBalancer"));
}

/* --- the table --- */

static const struct meter {
	const char *plural; /* of the core */
	bool (*tracks)(const char *name);
	bool (*usage)(const struct node *root, const char *name, struct quantity *ret);
	bool (*in_scope)(const struct node *req, const char *scope, const struct node *root);
} meters[] = {
	{ "pods", pod_tracks, pod_usage, pod_in_scope },
	{ "persistentvolumeclaims", claim_tracks, claim_usage, claim_in_scope },
	{ "services", service_tracks, service_usage, NULL },
};

static const struct meter *meter_of(const struct resource *r)
{
	for (size_t i = 0; i < ARRAY_SIZE(meters) && !*r->group; i++)
		if (streq(meters[i].plural, r->plural))
			return &meters[i];
	return NULL;
}

/* "count/deployments.apps", and the plain names that a few kinds had first. */
bool usage_is_count(const struct resource *r, const char *name)
{
	static const char *const plain[] = { "configmaps", "resourcequotas", "replicationcontrollers", "secrets", NULL };
	size_t n = strlen(r->plural);

	if (!starts_with(name, COUNT))
		return !*r->group && streq(name, r->plural) && usage_in(name, plain);
	name += strlen(COUNT);
	if (strncmp(name, r->plural, n) != 0)
		return false;
	return *r->group ? name[n] == '.' && streq(name + n + 1, r->group) : !name[n];
}

bool usage_tracks(const struct resource *r, const char *name)
{
	const struct meter *m = meter_of(r);

	return usage_is_count(r, name) || (m && m->tracks(name));
}

bool usage_of(const struct resource *r, const struct node *root, const char *name, struct quantity *ret)
{
	const struct meter *m = meter_of(r);

	if (usage_is_count(r, name))
		return usage_one(ret, 1);
	return m && m->usage(root, name, ret) && ret->nano != 0;
}

bool usage_in_scopes(const struct resource *r, const struct node *spec, const struct node *root)
{
	const struct node *exprs = node_path(spec, F_scopeSelector, F_matchExpressions);
	const struct meter *m = meter_of(r);

	if ((node_count(node_get(spec, F_scopes)) || node_count(exprs)) && (!m || !m->in_scope))
		return false;
	NODE_FOREACH(s, node_get(spec, F_scopes))
		if (!m->in_scope(NULL, node_cstr_or(s, ""), root))
			return false;
	NODE_FOREACH(e, exprs)
		if (!m->in_scope(e, node_gets(e, F_scopeName), root))
			return false;
	return true;
}
