/*
 * What the server makes of an object before it validates and stores it:
 * Kubernetes' PrepareForCreate and PrepareForUpdate.
 *
 * A create starts with an empty status where a status subresource exists; an update
 * of the object keeps the old status, an update through "status" keeps everything
 * else. metadata.generation starts at 1 and counts changes of what the user asks
 * for (all members but metadata and status). KINDS holds what is special about a
 * kind. Name, uid, times and resourceVersion are the API's own business; where a
 * rule here needs the uid (Jobs), the API has set it before.
 *
 * To add a kind's rule: a row in KINDS.
 */
#include "schema/internal.h"

#include <stdio.h>

#include "base/time.h"

enum { /* bits of struct strategy.flags */
	SG_GENERATION = 1, /* counts generations */
	SG_KEEPS_STATUS = 2, /* a create may bring its status along */
	SG_META_FIXED = 4, /* "status" may not touch labels, annotations, finalizers, owners */
	SG_ANNOTATIONS_COUNT = 8, /* a change of annotations is a new generation, too */
	SG_LABELS_FIXED = 16 /* "status" may not touch labels */
};

struct prepare {
	const struct schema_res *r;
	struct doc *d;
	struct node *root;
	const struct node *old; /* NULL: create */
	const char *sub; /* "" for the object itself */
};

static struct node *prepare_meta(const struct prepare *x)
{
	return node_need_object(x->d, x->root, F_metadata);
}

/* Member f becomes what it is in `from` (absent there: absent). */
static void prepare_take(const struct prepare *x, struct node *to, const struct node *from, enum field f)
{
	const struct node *was = node_get(from, f);

	if (was)
		node_set(x->d, to, f, node_copy(x->d, was));
	else
		node_remove(to, f);
}

static bool prepare_same(const struct node *a, const struct node *b)
{
	bool none_a = !a || node_is(a, DOC_NULL) || (node_is(a, DOC_OBJECT) && a->len == 0);
	bool none_b = !b || node_is(b, DOC_NULL) || (node_is(b, DOC_OBJECT) && b->len == 0);

	return (none_a && none_b) || (a && b && node_equal(a, b));
}

/* --- pods --- */

/* 1: all of cpu and memory limited, requests alike; 0: nothing asked for; -1: between. */
static int qos_of(const struct node *resources)
{
	static const char *const NAMES[] = { "cpu", "memory" };
	const struct node *limits = node_get(resources, F_limits), *requests = node_get(resources, F_requests);
	unsigned full = 0, some = 0;

	for (size_t i = 0; i < ARRAY_SIZE(NAMES); i++) {
		struct quantity limit, request;
		bool l = quantity_from_node(&limit, node_getc(limits, NAMES[i])) && limit.nano > 0;
		bool q = quantity_from_node(&request, node_getc(requests, NAMES[i])) && request.nano > 0;

		some += l || q;
		full += l && (!q || quantity_cmp(&limit, &request) == 0);
	}
	return full == ARRAY_SIZE(NAMES) ? 1 : some ? -1 : 0;
}

const char *schema_pod_qos(const struct node *spec)
{
	static const enum field LISTS[] = { F_containers, F_initContainers };
	const struct node *whole = node_get(spec, F_resources);
	bool any = false, all = true;
	int q;

	if (node_count(whole) > 0) {
		q = qos_of(whole);
		return q > 0 ? "Guaranteed" : q < 0 ? "Burstable" : "BestEffort";
	}
	for (size_t i = 0; i < ARRAY_SIZE(LISTS); i++) {
		NODE_FOREACH(c, node_get(spec, LISTS[i])) {
			q = qos_of(node_get(c, F_resources));
			any = any || q != 0;
			all = all && q > 0;
		}
	}
	return !any ? "BestEffort" : all ? "Guaranteed" : "Burstable";
}

/* What matchLabelKeys name becomes part of the selector, with the pod's own values. */
static void pod_merge_keys(const struct prepare *x, struct node *term, enum field keys, const char *operator)
{
	struct node *sel = node_get(term, F_labelSelector);

	NODE_FOREACH(key, sel ? node_get(term, keys) : NULL) {
		const struct node *value = node_getk(node_get(meta_of(x->root), F_labels), node_str(key));
		struct node *c;

		if (!value)
			continue;
		c = node_append(node_need_array(x->d, sel, F_matchExpressions), node_new(x->d, DOC_OBJECT));
		node_set(x->d, c, F_key, node_copy(x->d, key));
		node_sets(x->d, c, F_operator, operator);
		node_append(node_need_array(x->d, c, F_values), node_copy(x->d, value));
	}
}

static void pod_merge_terms(const struct prepare *x, const struct node *affinity)
{
	NODE_FOREACH(c, node_get(affinity, F_requiredDuringSchedulingIgnoredDuringExecution)) {
		pod_merge_keys(x, c, F_matchLabelKeys, "In");
		pod_merge_keys(x, c, F_mismatchLabelKeys, "NotIn");
	}
	NODE_FOREACH(c, node_get(affinity, F_preferredDuringSchedulingIgnoredDuringExecution)) {
		struct node *term = node_get(c, F_podAffinityTerm);

		pod_merge_keys(x, term, F_matchLabelKeys, "In");
		pod_merge_keys(x, term, F_mismatchLabelKeys, "NotIn");
	}
}

static void pod_create(const struct prepare *x)
{
	struct node *spec = node_get(x->root, F_spec);
	const struct node *affinity = node_get(spec, F_affinity);
	struct node *status = node_need_object(x->d, x->root, F_status), *c;

	node_sets(x->d, status, F_phase, "Pending");
	node_sets(x->d, status, F_qosClass, schema_pod_qos(spec));
	node_remove(spec, F_schedulingGroup); /* of the gate GenericWorkload, which is off: dropped as Kubernetes does it */
	pod_merge_terms(x, node_get(affinity, F_podAffinity));
	pod_merge_terms(x, node_get(affinity, F_podAntiAffinity));
	NODE_FOREACH(spread, node_get(spec, F_topologySpreadConstraints))
		pod_merge_keys(x, spread, F_matchLabelKeys, "In");
	if (node_count(node_get(spec, F_schedulingGates)) == 0)
		return;
	c = node_append(node_need_array(x->d, status, F_conditions), node_new(x->d, DOC_OBJECT));
	node_sets(x->d, c, F_type, "PodScheduled");
	node_sets(x->d, c, F_status, "False");
	node_sets(x->d, c, F_reason, "SchedulingGated");
	node_sets(x->d, c, F_message, "Scheduling is blocked due to non-empty scheduling gates");
	node_set(x->d, c, F_lastProbeTime, node_new(x->d, DOC_NULL));
	node_set(x->d, c, F_lastTransitionTime, node_new(x->d, DOC_NULL));
}

/* Only the named member of each container may differ from the old spec. */
static void pod_take_containers(const struct prepare *x, struct node *spec, const struct node *now, enum field list,
				enum field member)
{
	NODE_FOREACH(c, node_get(spec, list)) {
		NODE_FOREACH(n, node_get(now, list)) {
			if (node_streq(node_get(n, F_name), node_gets(c, F_name)))
				prepare_take(x, c, n, member);
		}
	}
}

static void pod_update(const struct prepare *x)
{
	struct node *now = node_get(x->root, F_spec), *spec;

	if (streq(x->sub, "status")) {
		prepare_take(x, prepare_meta(x), meta_of(x->old), F_ownerReferences);
		return;
	}
	if (!streq(x->sub, "resize") && !streq(x->sub, "ephemeralcontainers"))
		return;
	spec = node_copy(x->d, node_get(x->old, F_spec));
	if (streq(x->sub, "resize")) {
		pod_take_containers(x, spec, now, F_containers, F_resources);
		pod_take_containers(x, spec, now, F_containers, F_resizePolicy);
		pod_take_containers(x, spec, now, F_initContainers, F_resources);
	} else {
		prepare_take(x, spec, now, F_ephemeralContainers);
	}
	node_set(x->d, x->root, F_spec, spec);
}

/* --- namespaces --- */

static void namespace_create(const struct prepare *x)
{
	struct node *status = node_need_object(x->d, x->root, F_status);
	struct node *spec = node_need_object(x->d, x->root, F_spec);
	struct node *list = node_need_array(x->d, spec, F_finalizers);

	node_sets(x->d, status, F_phase, "Active");
	NODE_FOREACH(c, list) {
		if (node_streq(c, "kubernetes"))
			return;
	}
	node_append(list, node_new_cstr(x->d, "kubernetes"));
}

static void namespace_update(const struct prepare *x)
{
	if (!streq(x->sub, "finalize"))
		prepare_take(x, node_need_object(x->d, x->root, F_spec), node_get(x->old, F_spec), F_finalizers);
}

/* --- services --- */

static bool service_has_ip(const struct node *svc)
{
	const char *type = node_gets(node_get(svc, F_spec), F_type);

	return !streq(type, "ExternalName");
}

static bool service_has_node_ports(const struct node *svc)
{
	const char *type = node_gets(node_get(svc, F_spec), F_type);

	return streq(type, "NodePort") || streq(type, "LoadBalancer");
}

static bool service_balances(const struct node *svc)
{
	return streq(node_gets(node_get(svc, F_spec), F_type), "LoadBalancer");
}

static bool service_checks_health(const struct node *svc)
{
	return service_balances(svc) && streq(node_gets(node_get(svc, F_spec), F_externalTrafficPolicy), "Local");
}

/* Every node port that the new ports name was one before. */
static bool service_old_node_ports(const struct node *spec, const struct node *old)
{
	NODE_FOREACH(port, node_get(spec, F_ports)) {
		int64_t n = node_int(node_get(port, F_nodePort), 0);
		bool found = n == 0;

		NODE_FOREACH(o, node_get(old, F_ports))
			found = found || node_int(node_get(o, F_nodePort), 0) == n;
		if (!found)
			return false;
	}
	return true;
}

/* What only another type has use for goes with a change of the type, unless the client changed it too. */
static void service_drop(const struct prepare *x, struct node *spec, const struct node *old)
{
	static const struct {
		bool (*used)(const struct node *svc);
		enum field field;
	} drops[] = {
		{ service_has_ip, F_ipFamilies },
		{ service_has_ip, F_ipFamilyPolicy },
		{ service_checks_health, F_healthCheckNodePort },
		{ service_balances, F_allocateLoadBalancerNodePorts },
		{ service_balances, F_loadBalancerClass },
		{ service_has_node_ports, F_externalTrafficPolicy },
	};

	if (service_has_ip(x->old) && !service_has_ip(x->root) &&
	    prepare_same(node_get(spec, F_clusterIPs), node_get(old, F_clusterIPs))) {
		node_remove(spec, F_clusterIP);
		node_remove(spec, F_clusterIPs);
	}
	if (service_has_node_ports(x->old) && !service_has_node_ports(x->root) && service_old_node_ports(spec, old))
		NODE_FOREACH(port, node_get(spec, F_ports))
			node_remove(port, F_nodePort);
	for (size_t i = 0; i < ARRAY_SIZE(drops); i++)
		if (drops[i].used(x->old) && !drops[i].used(x->root) &&
		    prepare_same(node_get(spec, drops[i].field), node_get(old, drops[i].field)))
			node_remove(spec, drops[i].field);
	if (!service_balances(x->root))
		node_set(x->d, node_need_object(x->d, x->root, F_status), F_loadBalancer, node_new(x->d, DOC_OBJECT));
}

static void service_update(const struct prepare *x)
{
	if (!*x->sub)
		service_drop(x, node_get(x->root, F_spec), node_get(x->old, F_spec));
}

/* --- workloads --- */

static void daemon_set_template_generation(const struct prepare *x, int64_t n)
{
	struct node *notes = node_need_object(x->d, prepare_meta(x), F_annotations);

	node_setk(x->d, notes, STR_LIT("deprecated.daemonset.template.generation"),
		  node_new_fmt(x->d, "%lld", (long long)n));
}

static void daemon_set_create(const struct prepare *x)
{
	daemon_set_template_generation(x, 1);
}

static void daemon_set_update(const struct prepare *x)
{
	const char *was = meta_annotation(x->old, "deprecated.daemonset.template.generation");
	int64_t n = 0;

	if (*x->sub)
		return;
	if (!was || !str_to_i64(str_of(was), &n))
		n = 1;
	else if (!prepare_same(node_path(x->root, F_spec, F_template), node_path(x->old, F_spec, F_template)))
		n++;
	daemon_set_template_generation(x, n);
}

/* The selector and labels that tie pods to their Job, unless the user ties them by hand. */
static void job_create(const struct prepare *x)
{
	struct node *spec = node_get(x->root, F_spec), *sel, *labels, *tmpl;
	const char *uid = meta_uid(x->root), *name = meta_name(x->root);

	if (node_bool(node_get(spec, F_manualSelector), false) || !*uid)
		return;
	tmpl = node_need_object(x->d, spec, F_template);
	labels = node_need_object(x->d, node_need_object(x->d, tmpl, F_metadata), F_labels);
	node_setk(x->d, labels, STR_LIT("batch.kubernetes.io/controller-uid"), node_new_cstr(x->d, uid));
	node_setk(x->d, labels, STR_LIT("batch.kubernetes.io/job-name"), node_new_cstr(x->d, name));
	node_setk(x->d, labels, STR_LIT("controller-uid"), node_new_cstr(x->d, uid));
	node_setk(x->d, labels, STR_LIT("job-name"), node_new_cstr(x->d, name));
	sel = node_need_object(x->d, spec, F_selector);
	node_setk(x->d, node_need_object(x->d, sel, F_matchLabels), STR_LIT("batch.kubernetes.io/controller-uid"),
		  node_new_cstr(x->d, uid));
}

/* --- volumes --- */

static void prepare_now(const struct prepare *x, struct node *to, enum field f)
{
	char text[TIME_RFC3339_LEN];

	node_sets(x->d, to, f, time_fmt_rfc3339(text, time_wall_s()));
}

/* When its phase last became another. */
static void volume_create(const struct prepare *x)
{
	struct node *status = node_need_object(x->d, x->root, F_status);

	node_sets(x->d, status, F_phase, "Pending");
	prepare_now(x, status, F_lastPhaseTransitionTime);
}

static void volume_update(const struct prepare *x)
{
	struct node *status = node_get(x->root, F_status);
	const struct node *old = node_get(x->old, F_status);

	if (streq(x->sub, "status") && status && !prepare_same(node_get(status, F_phase), node_get(old, F_phase)) &&
	    prepare_same(node_get(status, F_lastPhaseTransitionTime), node_get(old, F_lastPhaseTransitionTime)))
		prepare_now(x, status, F_lastPhaseTransitionTime);
}

/* dataSource and dataSourceRef say the same, unless the one is in another namespace. */
static void claim_create(const struct prepare *x)
{
	static const enum field SHARED[] = { F_apiGroup, F_kind, F_name };
	struct node *spec = node_get(x->root, F_spec);
	const struct node *source = node_get(spec, F_dataSource), *ref = node_get(spec, F_dataSourceRef), *from;
	struct node *to;

	if (!spec || !source == !ref || (ref && *node_gets(ref, F_namespace)))
		return;
	from = source ? source : ref;
	to = node_need_object(x->d, spec, source ? F_dataSourceRef : F_dataSource);
	for (size_t i = 0; i < ARRAY_SIZE(SHARED); i++)
		prepare_take(x, to, from, SHARED[i]);
}

/* --- API services --- */

/* One without a service is this server's own. */
static void api_service_create(const struct prepare *x)
{
	struct node *status, *c;

	if (node_path(x->root, F_spec, F_service))
		return;
	status = node_need_object(x->d, x->root, F_status);
	c = node_append(node_need_array(x->d, status, F_conditions), node_new(x->d, DOC_OBJECT));
	node_sets(x->d, c, F_type, "Available");
	node_sets(x->d, c, F_status, "True");
	prepare_now(x, c, F_lastTransitionTime);
	node_sets(x->d, c, F_reason, "Local");
	node_sets(x->d, c, F_message, "Local APIServices are always available");
}

/* --- certificate requests --- */

static void csr_update(const struct prepare *x)
{
	struct node *status;

	prepare_take(x, x->root, x->old, F_spec);
	if (streq(x->sub, "approval")) {
		status = node_need_object(x->d, x->root, F_status);
		prepare_take(x, status, node_get(x->old, F_status), F_certificate);
	}
}

/* --- the table --- */

/* --- custom resource definitions --- */

/* What is stored from now on has been stored. */
static void definition_update(const struct prepare *x)
{
	struct node *list;

	if (*x->sub)
		return;
	NODE_FOREACH(v, node_path(x->root, F_spec, F_versions)) {
		bool have = !node_bool(node_get(v, F_storage), false);

		list = node_need_array(x->d, node_need_object(x->d, x->root, F_status), F_storedVersions);
		NODE_FOREACH(s, list)
			have |= node_streq(s, node_gets(v, F_name));
		if (!have)
			node_append(list, node_new_cstr(x->d, node_gets(v, F_name)));
	}
}

static const struct strategy {
	const char *group, *kind;
	unsigned flags;
	void (*create)(const struct prepare *x);
	void (*update)(const struct prepare *x);
} KINDS[] = {
	{ "", "Namespace", 0, namespace_create, namespace_update },
	{ "", "Node", SG_KEEPS_STATUS, NULL, NULL },
	{ "", "PersistentVolume", 0, volume_create, volume_update },
	{ "", "PersistentVolumeClaim", 0, claim_create, NULL },
	{ "", "Pod", SG_GENERATION, pod_create, pod_update },
	{ "", "ReplicationController", SG_GENERATION, NULL, NULL },
	{ "", "Service", 0, NULL, service_update },
	{ "admissionregistration.k8s.io", "MutatingAdmissionPolicy", SG_GENERATION, NULL, NULL },
	{ "admissionregistration.k8s.io", "MutatingAdmissionPolicyBinding", SG_GENERATION, NULL, NULL },
	{ "admissionregistration.k8s.io", "MutatingWebhookConfiguration", SG_GENERATION, NULL, NULL },
	{ "admissionregistration.k8s.io", "ValidatingAdmissionPolicy", SG_GENERATION | SG_META_FIXED, NULL, NULL },
	{ "admissionregistration.k8s.io", "ValidatingAdmissionPolicyBinding", SG_GENERATION, NULL, NULL },
	{ "admissionregistration.k8s.io", "ValidatingWebhookConfiguration", SG_GENERATION, NULL, NULL },
	{ "apiextensions.k8s.io", "CustomResourceDefinition", SG_GENERATION | SG_META_FIXED, NULL, definition_update },
	{ "apiregistration.k8s.io", "APIService", SG_META_FIXED, api_service_create, NULL },
	{ "apps", "DaemonSet", SG_GENERATION, daemon_set_create, daemon_set_update },
	{ "apps", "Deployment", SG_GENERATION | SG_ANNOTATIONS_COUNT | SG_LABELS_FIXED, NULL, NULL },
	{ "apps", "ReplicaSet", SG_GENERATION, NULL, NULL },
	{ "apps", "StatefulSet", SG_GENERATION, NULL, NULL },
	{ "batch", "CronJob", SG_GENERATION, NULL, NULL },
	{ "batch", "Job", SG_GENERATION, job_create, NULL },
	{ "certificates.k8s.io", "CertificateSigningRequest", 0, NULL, csr_update },
	{ "discovery.k8s.io", "EndpointSlice", SG_GENERATION, NULL, NULL },
	{ "flowcontrol.apiserver.k8s.io", "FlowSchema", SG_GENERATION | SG_META_FIXED, NULL, NULL },
	{ "flowcontrol.apiserver.k8s.io", "PriorityLevelConfiguration", SG_GENERATION | SG_META_FIXED, NULL, NULL },
	{ "networking.k8s.io", "Ingress", SG_GENERATION, NULL, NULL },
	{ "networking.k8s.io", "IngressClass", SG_GENERATION, NULL, NULL },
	{ "networking.k8s.io", "NetworkPolicy", SG_GENERATION, NULL, NULL },
	{ "networking.k8s.io", "ServiceCIDR", SG_META_FIXED, NULL, NULL },
	{ "policy", "PodDisruptionBudget", SG_GENERATION, NULL, NULL },
	{ "resource.k8s.io", "DeviceClass", SG_GENERATION, NULL, NULL },
	{ "resource.k8s.io", "ResourceClaim", SG_META_FIXED, NULL, NULL },
	{ "resource.k8s.io", "ResourceSlice", SG_GENERATION, NULL, NULL },
	{ "scheduling.k8s.io", "PriorityClass", SG_GENERATION, NULL, NULL },
	{ "storage.k8s.io", "VolumeAttachment", SG_META_FIXED, NULL, NULL },
};

static const struct strategy *strategy_of(const struct schema_res *r)
{
	static const struct strategy PLAIN = { "", "", 0, NULL, NULL };
	static const struct strategy CUSTOM = { "", "", SG_GENERATION | SG_META_FIXED, NULL, NULL };

	if (r->custom)
		return &CUSTOM;

	for (size_t i = 0; i < ARRAY_SIZE(KINDS); i++) {
		if (streq(KINDS[i].kind, r->r.kind) && streq(KINDS[i].group, r->r.group))
			return &KINDS[i];
	}
	return &PLAIN;
}

/* --- create --- */

static void prepare_create(const struct prepare *x, const struct strategy *s)
{
	struct node *meta = prepare_meta(x);
	bool has_status = schema_subres(x->r, STR_LIT("status")) != NULL;

	node_remove(meta, F_deletionTimestamp);
	node_remove(meta, F_deletionGracePeriodSeconds);
	if (s->flags & SG_GENERATION)
		node_seti(x->d, meta, F_generation, 1);
	if (has_status && !(s->flags & SG_KEEPS_STATUS))
		node_remove(x->root, F_status);
	if (s->create)
		s->create(x);
	if (has_status)
		schema_default(x->r, x->d); /* the status that an empty one stands for */
}

/* --- update --- */

static bool prepare_is_asked(enum field f)
{
	return f != F_metadata && f != F_status && f != F_apiVersion && f != F_kind;
}

/* Whether what the user asks for differs. */
static bool prepare_changed(const struct prepare *x, const struct strategy *s)
{
	bool status_too = x->r->custom && !schema_subres(x->r, STR_LIT("status"));

	NODE_FOREACH(c, x->root) {
		if ((prepare_is_asked(c->name) || (status_too && c->name == F_status)) &&
		    !prepare_same(c, node_getk(x->old, node_key(c))))
			return true;
	}
	NODE_FOREACH(c, x->old) {
		if ((prepare_is_asked(c->name) || (status_too && c->name == F_status)) &&
		    !prepare_same(c, node_getk(x->root, node_key(c))))
			return true;
	}
	return (s->flags & SG_ANNOTATIONS_COUNT) &&
	       !prepare_same(node_get(meta_of(x->root), F_annotations), node_get(meta_of(x->old), F_annotations));
}

/* Through "status": all but status and metadata stays as it was. */
static void prepare_status(const struct prepare *x, const struct strategy *s)
{
	static const enum field META[] = { F_labels, F_annotations, F_finalizers, F_ownerReferences };
	struct node *meta = prepare_meta(x), *next;

	for (struct node *c = node_first(x->root); c; c = next) {
		next = c->next;
		if (prepare_is_asked(c->name) && !node_getk(x->old, node_key(c)))
			node_remove_child(x->root, c);
	}
	NODE_FOREACH(c, x->old) {
		if (prepare_is_asked(c->name))
			node_setk(x->d, x->root, node_key(c), node_copy(x->d, c));
	}
	if (s->flags & SG_LABELS_FIXED)
		prepare_take(x, meta, meta_of(x->old), F_labels);
	for (size_t i = 0; (s->flags & SG_META_FIXED) && i < ARRAY_SIZE(META); i++)
		prepare_take(x, meta, meta_of(x->old), META[i]);
}

static void prepare_update(const struct prepare *x, const struct strategy *s)
{
	struct node *meta = prepare_meta(x);
	int64_t generation = node_int(node_get(meta_of(x->old), F_generation), 0);
	bool status = streq(x->sub, "status");

	if (status)
		prepare_status(x, s);
	else if (schema_subres(x->r, STR_LIT("status")) && !streq(x->sub, "approval"))
		prepare_take(x, x->root, x->old, F_status);
	if (s->update)
		s->update(x);
	if (!status && (s->flags & SG_GENERATION) && generation < INT64_MAX && prepare_changed(x, s))
		generation++;
	if (generation > 0)
		node_seti(x->d, meta, F_generation, generation);
	else
		node_remove(meta, F_generation);
}

void schema_prepare(const struct schema_res *r, struct doc *d, const struct node *old, const char *subresource)
{
	const struct strategy *s = strategy_of(r);
	struct prepare x = { r, d, doc_root(d), old, subresource ? subresource : "" };

	if (r->is_virtual)
		return;
	if (old)
		prepare_update(&x, s);
	else
		prepare_create(&x, s);
}

/* --- fields that a write cannot change --- */

static const struct reset { /* the first that fits */
	const char *kind, *subresource; /* NULL: any; kinds of these names are in one group only */
	unsigned flags; /* of struct strategy: one of them set; 0: any */
	const char *paths[6];
	bool only;
} RESETS[] = {
	{ "Pod", "status", 0, { "spec", "metadata.deletionTimestamp", "metadata.ownerReferences" }, false },
	{ "Pod", "ephemeralcontainers", 0, { "spec.ephemeralContainers" }, true },
	{ "Pod", "resize", 0,
	  { "spec.containers.*.resources", "spec.containers.*.resizePolicy", "spec.initContainers.*.resources",
	    "spec.initContainers.*.resizePolicy", "spec.resources" }, true },
	{ "CertificateSigningRequest", "status", 0, { "spec", "status.conditions" }, false },
	{ "CertificateSigningRequest", "approval", 0, { "spec", "status.certificate" }, false },
	{ NULL, "status", SG_META_FIXED, { "spec", "metadata" }, false },
	{ NULL, "status", SG_LABELS_FIXED, { "spec", "metadata.labels" }, false },
	{ NULL, "status", 0, { "spec" }, false },
	{ NULL, "finalize", 0, { "status" }, false },
	{ NULL, "", 0, { "status" }, false },
};

const char *const *schema_reset_fields(const struct schema_res *r, const char *subresource, size_t *n, bool *only)
{
	unsigned flags = strategy_of(r)->flags;
	bool has_status = schema_subres(r, STR_LIT("status")) != NULL;

	*n = 0;
	*only = false;
	for (size_t i = 0; i < ARRAY_SIZE(RESETS) && has_status; i++) {
		const struct reset *x = &RESETS[i];

		if (!streq(x->subresource, subresource) || (x->kind && !streq(x->kind, r->r.kind)) ||
		    (x->flags && !(x->flags & flags)))
			continue;
		while (*n < ARRAY_SIZE(x->paths) && x->paths[*n])
			++*n;
		*only = x->only;
		return x->paths;
	}
	return NULL;
}
