/*
 * Warnings: what is accepted but probably not meant. They go out as Warning
 * headers; the texts are Kubernetes' (pkg/api/.../warnings.go and its strategies).
 * Those about pods are in warnings-pod.c.
 *
 * To add one: a function for its kind, a row in KINDS.
 */
#include "schema/warnings.h"

#include <stdarg.h>

#include "base/limits.h"
#include "schema/claims.h"

void warn(const struct warn *w, const char *fmt, ...)
{
	_cleanup_free_ char *text = NULL;
	va_list ap;

	va_start(ap, fmt);
	text = xvasprintf(fmt, ap);
	va_end(ap);
	w->f(w->arg, text);
}

/* --- what several kinds share --- */

const char *warn_node_label(struct str key)
{
	static const struct {
		const char *old, *now;
	} LABELS[] = {
		{ "beta.kubernetes.io/arch", "deprecated since v1.14; use \"kubernetes.io/arch\" instead" },
		{ "beta.kubernetes.io/os", "deprecated since v1.14; use \"kubernetes.io/os\" instead" },
		{ "failure-domain.beta.kubernetes.io/region",
		  "deprecated since v1.17; use \"topology.kubernetes.io/region\" instead" },
		{ "failure-domain.beta.kubernetes.io/zone",
		  "deprecated since v1.17; use \"topology.kubernetes.io/zone\" instead" },
		{ "beta.kubernetes.io/instance-type",
		  "deprecated since v1.17; use \"node.kubernetes.io/instance-type\" instead" },
		{ "app.kubernetes.io/created-by", "deprecated since v1.9" },
		{ "scheduler.alpha.kubernetes.io/preferAvoidPods",
		  "deprecated since v1.22; use Taints and Tolerations instead" },
		{ "node-role.kubernetes.io/master", "use \"node-role.kubernetes.io/control-plane\" instead" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(LABELS); i++) {
		if (str_eqc(key, LABELS[i].old))
			return LABELS[i].now;
	}
	return NULL;
}

void warn_ip(const struct warn *w, const char *path, struct str s)
{
	struct v_addr a;

	if (!v_parse_ip(s, &a))
		return;
	if (a.odd || a.is_mapped)
		warn(w,
		     "%s: non-standard IP address \"%" STR_FMT
		     "\" will be considered invalid in a future Kubernetes release: use \"%s\"",
		     path, STR_ARG(s), a.text);
	else if (a.is_v6 && !str_eqc(s, a.text))
		warn(w, "%s: IPv6 address \"%" STR_FMT "\" should be in RFC 5952 canonical format (\"%s\")", path,
		     STR_ARG(s), a.text);
}

void warn_cidr(const struct warn *w, const char *path, struct str s)
{
	struct v_addr net, host;
	bool said = false;

	if (!v_parse_cidr(s, &net) || !v_parse_ip(str_sub(s, 0, (size_t)str_find(s, '/')), &host))
		return;
	if (memcmp(net.b, host.b, sizeof(net.b)) != 0) {
		warn(w,
		     "%s: CIDR value \"%" STR_FMT "\" is ambiguous in this context (should be \"%s\" or \"%s/%u\"?)",
		     path, STR_ARG(s), net.text, host.text, host.bits);
		said = true;
	}
	if (net.odd || net.is_mapped)
		warn(w,
		     "%s: non-standard CIDR value \"%" STR_FMT
		     "\" will be considered invalid in a future Kubernetes release: use \"%s\"",
		     path, STR_ARG(s), net.text);
	else if (!said && net.is_v6 && !str_eqc(s, net.text))
		warn(w, "%s: IPv6 CIDR value \"%" STR_FMT "\" should be in RFC 5952 canonical format (\"%s\")", path,
		     STR_ARG(s), net.text);
}

/* Each string of a list, at path[i]. */
static void warn_list(const struct warn *w, const char *path, const struct node *list,
		      void (*f)(const struct warn *w, const char *path, struct str s))
{
	size_t i = 0;

	NODE_FOREACH(c, list) {
		_cleanup_free_ char *at = xasprintf("%s[%zu]", path, i++);

		f(w, at, node_str(c));
	}
}

void warn_node_term(const struct warn *w, const char *path, const struct node *term, bool values)
{
	size_t i = 0;

	NODE_FOREACH(c, node_get(term, F_matchExpressions)) {
		const char *why = warn_node_label(v_str(c, F_key));
		size_t k = 0;

		if (why)
			warn(w, "%s.matchExpressions[%zu].key: %s is %s", path, i, node_gets(c, F_key), why);
		NODE_FOREACH(value, values ? node_get(c, F_values) : NULL) {
			why = schema_check_label_value(node_str(value));
			if (why)
				warn(w, "%s.matchExpressions[%zu].values[%zu]: %s is invalid, %s", path, i, k,
				     node_cstr_or(value, ""), why);
			k++;
		}
		i++;
	}
}

static void warn_fraction(const struct warn *w, const char *path, const char *list, const struct node *n)
{
	struct quantity q;

	if (quantity_from_node(&q, n) && q.nano % 1000000000 != 0)
		warn(w, "%s.resources.%s[storage]: fractional byte value \"%s\" is invalid, must be an integer", path,
		     list, node_cstr_or(n, ""));
}

void warn_claim(const struct warn *w, const char *path, const struct node *spec)
{
	warn_fraction(w, path, "requests", node_getc(node_path(spec, F_resources, F_requests), "storage"));
	warn_fraction(w, path, "limits", node_getc(node_path(spec, F_resources, F_limits), "storage"));
}

static void warn_finalizers(const struct warn *w, const struct node *root)
{
	NODE_FOREACH(c, node_get(meta_of(root), F_finalizers)) {
		struct str s = node_str(c);

		if (str_find(s, '/') < 0 && !str_eqc(s, "orphan") && !str_eqc(s, "foregroundDeletion") &&
		    !str_eqc(s, "kubernetes"))
			warn(w,
			     "metadata.finalizers: \"%" STR_FMT "\": prefer a domain-qualified finalizer name including "
			     "a path (/) to avoid accidental conflicts with other finalizer writers",
			     STR_ARG(s));
	}
}

static void warn_annotation(const struct warn *w, const struct node *root, const char *key, const char *why)
{
	if (meta_annotation(root, key))
		warn(w, "metadata.annotations[%s]: %s", key, why);
}

/* A name that becomes a part of its pods' names. */
static void warn_name(const struct warn *w, const struct node *root, const char *what)
{
	const char *why = *meta_name(root) ? schema_check_dns_label(str_of(meta_name(root))) : NULL;

	if (why)
		warn(w,
		     "metadata.name: this is used in %s, which can result in surprising behavior; a DNS label is "
		     "recommended: [%s]",
		     what, why);
}

/* --- core --- */

static void warn_service(const struct warn *w, const struct node *root)
{
	const struct node *spec = node_get(root, F_spec);
	const char *type = node_gets(spec, F_type);

	if (meta_annotation(root, "service.kubernetes.io/topology-aware-hints"))
		warn(w, "annotation service.kubernetes.io/topology-aware-hints is deprecated, please use "
			"service.kubernetes.io/topology-mode instead");
	if (node_streq(node_get(spec, F_clusterIP), "None")) {
		if (v_str(spec, F_loadBalancerIP).n > 0)
			warn(w, "spec.loadBalancerIP is ignored for headless services");
		if (node_count(node_get(spec, F_externalIPs)) > 0)
			warn(w, "spec.externalIPs is ignored for headless services");
		if (streq(node_gets(spec, F_sessionAffinity), "ClientIP"))
			warn(w, "spec.SessionAffinity is ignored for headless services");
	} else {
		warn_list(w, "spec.clusterIPs", node_get(spec, F_clusterIPs), warn_ip);
	}
	warn_list(w, "spec.externalIPs", node_get(spec, F_externalIPs), warn_ip);
	warn_ip(w, "spec.loadBalancerIP", v_str(spec, F_loadBalancerIP));
	warn_list(w, "spec.loadBalancerSourceRanges", node_get(spec, F_loadBalancerSourceRanges), warn_cidr);
	if (streq(type, "ExternalName") && node_count(node_get(spec, F_externalIPs)) > 0)
		warn(w, "spec.externalIPs is ignored when spec.type is \"ExternalName\"");
	if (*node_gets(spec, F_externalName) && !streq(type, "ExternalName"))
		warn(w, "spec.externalName is ignored when spec.type is not \"ExternalName\"");
}

static void warn_endpoints(const struct warn *w, const struct node *root)
{
	static const enum field LISTS[] = { F_addresses, F_notReadyAddresses };
	size_t i = 0;

	warn(w, "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice");
	NODE_FOREACH(subset, node_get(root, F_subsets)) {
		for (size_t k = 0; k < ARRAY_SIZE(LISTS); k++) {
			size_t n = 0;

			NODE_FOREACH(c, node_get(subset, LISTS[k])) {
				_cleanup_free_ char *at = xasprintf("subsets[%zu].%s[%zu].ip", i,
								    doc_field_name(LISTS[k]), n++);

				warn_ip(w, at, v_str(c, F_ip));
			}
		}
		i++;
	}
}

static void warn_component_status(const struct warn *w, const struct node *root UNUSED)
{
	warn(w, "v1 ComponentStatus is deprecated in v1.19+");
}

void warn_cloud_disk(const struct warn *w, const char *path, const struct node *source)
{
	static const enum field DISKS[] = {
		F_awsElasticBlockStore, F_azureDisk, F_azureFile, F_cinder, F_gcePersistentDisk, F_vsphereVolume,
	};

	for (size_t i = 0; i < ARRAY_SIZE(DISKS); i++)
		if (node_get(source, DISKS[i]))
			warn(w, "%s.%s: " VOLUME_FOREIGN, path, doc_field_name(DISKS[i]));
}

static void warn_volume(const struct warn *w, const struct node *root)
{
	static const struct {
		enum field field;
		const char *name, *why;
	} PLUGINS[] = {
		{ F_photonPersistentDisk, "photonPersistentDisk", "deprecated in v1.11, non-functional in v1.16+" },
		{ F_scaleIO, "scaleIO", "deprecated in v1.16, non-functional in v1.22+" },
		{ F_storageos, "storageOS", "deprecated in v1.22, non-functional in v1.25+" },
		{ F_glusterfs, "glusterfs", "deprecated in v1.25, non-functional in v1.26+" },
		{ F_cephfs, "cephfs", "deprecated in v1.28, non-functional in v1.31+" },
		{ F_rbd, "rbd", "deprecated in v1.28, non-functional in v1.31+" },
	};
	const struct node *spec = node_get(root, F_spec);
	size_t i = 0;

	warn_annotation(w, root, "volume.beta.kubernetes.io/storage-class",
			"deprecated since v1.8; use \"storageClassName\" attribute instead");
	warn_annotation(w, root, "volume.beta.kubernetes.io/mount-options",
			"deprecated since v1.31; use \"mountOptions\" attribute instead");
	if (node_streq(node_get(spec, F_persistentVolumeReclaimPolicy), "Recycle"))
		warn(w, "spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. Instead, the "
			"recommended approach is to use dynamic provisioning.");
	NODE_FOREACH(c, node_path(spec, F_nodeAffinity, F_required, F_nodeSelectorTerms)) {
		_cleanup_free_ char *at = xasprintf("spec.nodeAffinity.required.nodeSelectorTerms[%zu]", i++);

		warn_node_term(w, at, c, false);
	}
	for (size_t k = 0; k < ARRAY_SIZE(PLUGINS); k++) {
		if (node_get(spec, PLUGINS[k].field))
			warn(w, "spec.%s: %s", PLUGINS[k].name, PLUGINS[k].why);
	}
	warn_cloud_disk(w, "spec", spec);
}

static void warn_volume_claim(const struct warn *w, const struct node *root)
{
	warn_annotation(w, root, "volume.beta.kubernetes.io/storage-class",
			"deprecated since v1.8; use \"storageClassName\" attribute instead");
	warn_claim(w, "spec", node_get(root, F_spec));
}

static void warn_node(const struct warn *w, const struct node *root)
{
	const struct node *spec = node_get(root, F_spec);

	if (node_get(spec, F_configSource))
		warn(w, "spec.configSource: the feature is no longer supported");
	if (v_str(spec, F_externalID).n > 0)
		warn(w, "spec.externalID: this field is deprecated, and is unused by Kubernetes");
	warn_list(w, "spec.podCIDRs", node_get(spec, F_podCIDRs), warn_cidr);
}

static void warn_service_account(const struct warn *w, const struct node *root)
{
	warn_annotation(w, root, "kubernetes.io/enforce-mountable-secrets",
			"deprecated in v1.32+; prefer separate namespaces to isolate access to mounted secrets");
}

/* --- networking --- */

static void warn_ingress(const struct warn *w, const struct node *root)
{
	if (meta_annotation(root, "kubernetes.io/ingress.class"))
		warn(w, "annotation \"kubernetes.io/ingress.class\" is deprecated, please use 'spec.ingressClassName' "
			"instead");
}

static void warn_peers(const struct warn *w, const char *dir, size_t rule, const char *side, const struct node *peers)
{
	size_t i = 0;

	NODE_FOREACH(c, peers) {
		const struct node *block = node_get(c, F_ipBlock);
		_cleanup_free_ char *at = xasprintf("spec.%s[%zu].%s[%zu].ipBlock.cidr", dir, rule, side, i);
		_cleanup_free_ char *except = xasprintf("spec.%s[%zu].%s[%zu].ipBlock.except", dir, rule, side, i);

		warn_cidr(w, at, v_str(block, F_cidr));
		warn_list(w, except, node_get(block, F_except), warn_cidr);
		i++;
	}
}

static void warn_network_policy(const struct warn *w, const struct node *root)
{
	const struct node *spec = node_get(root, F_spec);
	size_t i = 0;

	NODE_FOREACH(rule, node_get(spec, F_ingress))
		warn_peers(w, "ingress", i++, "from", node_get(rule, F_from));
	i = 0;
	NODE_FOREACH(rule, node_get(spec, F_egress))
		warn_peers(w, "egress", i++, "to", node_get(rule, F_to));
}

static void warn_endpoint_slice(const struct warn *w, const struct node *root)
{
	size_t i = 0;

	if (node_streq(node_get(root, F_addressType), "FQDN")) {
		warn(w, "addressType: FQDN endpoints are deprecated");
		return;
	}
	NODE_FOREACH(c, node_get(root, F_endpoints)) {
		_cleanup_free_ char *at = xasprintf("endpoints[%zu].addresses", i++);

		warn_list(w, at, node_get(c, F_addresses), warn_ip);
	}
}

/* --- others --- */

static void warn_storage_class(const struct warn *w, const struct node *root)
{
	size_t i = 0;

	NODE_FOREACH(term, node_get(root, F_allowedTopologies)) {
		size_t k = 0;

		NODE_FOREACH(c, node_get(term, F_matchLabelExpressions)) {
			const char *why = warn_node_label(v_str(c, F_key));

			if (why)
				warn(w, "allowedTopologies[%zu].matchLabelExpressions[%zu].key: %s", i, k, why);
			k++;
		}
		i++;
	}
}

static void warn_storage_capacity(const struct warn *w, const struct node *root)
{
	const struct node *sel = node_get(root, F_nodeTopology);

	warn_node_term(w, "nodeTopology", sel, false);
	NODE_FOREACH(c, node_get(sel, F_matchLabels)) {
		const char *why = warn_node_label(node_key(c));

		if (why)
			warn(w, "nodeTopology.matchLabels.%s: %s", c->key, why);
	}
}

static void warn_runtime_class(const struct warn *w, const struct node *root)
{
	NODE_FOREACH(c, node_path(root, F_scheduling, F_nodeSelector)) {
		const char *why = warn_node_label(node_key(c));

		if (why)
			warn(w, "scheduling.nodeSelector: %s", why);
	}
}

static void warn_stateful_set(const struct warn *w, const struct node *root)
{
	const struct node *spec = node_get(root, F_spec);
	size_t i = 0;

	NODE_FOREACH(c, node_get(spec, F_volumeClaimTemplates)) {
		_cleanup_free_ char *at = xasprintf("spec.volumeClaimTemplates[%zu].Spec", i++);

		warn_claim(w, at, node_get(c, F_spec));
	}
	if (node_int(node_get(spec, F_revisionHistoryLimit), 0) < 0)
		warn(w, "spec.revisionHistoryLimit: a negative value retains all historical revisions; a value >= 0 is "
			"recommended");
}

static void warn_pod_owner(const struct warn *w, const struct node *root)
{
	warn_name(w, root, "Pod names and hostnames");
}

static void warn_job(const struct warn *w, const struct node *root)
{
	const struct node *spec = node_get(root, F_spec);

	warn_pod_owner(w, root);
	if (node_streq(node_get(spec, F_completionMode), "Indexed") &&
	    node_int(node_get(spec, F_completions), 0) > 100000 && node_int(node_get(spec, F_parallelism), 0) > 10000)
		warn(w, "In Indexed Jobs with a number of completions higher than 10^5 and a parallelism higher than "
			"10^4, Kubernetes might not be able to track completedIndexes when a big number of indexes fail");
}

static void warn_cron_job(const struct warn *w, const struct node *root)
{
	warn_pod_owner(w, root);
	if (strstr(node_gets(node_get(root, F_spec), F_schedule), "TZ"))
		warn(w, "CRON_TZ or TZ used in spec.schedule is not officially supported, see "
			"https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more details");
}

static void warn_pod_object(const struct warn *w, const struct node *root)
{
	warn_name(w, root, "the Pod's hostname");
}

/* tmpl: where the kind keeps its pod's template ("": it is a pod, NULL: no pods). */
static const struct {
	const char *group, *kind, *tmpl;
	void (*warn)(const struct warn *w, const struct node *root);
} KINDS[] = {
	{ "", "ComponentStatus", NULL, warn_component_status },
	{ "", "Endpoints", NULL, warn_endpoints },
	{ "", "Node", NULL, warn_node },
	{ "", "PersistentVolume", NULL, warn_volume },
	{ "", "PersistentVolumeClaim", NULL, warn_volume_claim },
	{ "", "Pod", "", warn_pod_object },
	{ "", "PodTemplate", "template", NULL },
	{ "", "ReplicationController", "spec.template", warn_pod_owner },
	{ "", "Service", NULL, warn_service },
	{ "", "ServiceAccount", NULL, warn_service_account },
	{ "apps", "DaemonSet", "spec.template", NULL },
	{ "apps", "Deployment", "spec.template", warn_pod_owner },
	{ "apps", "ReplicaSet", "spec.template", warn_pod_owner },
	{ "apps", "StatefulSet", "spec.template", warn_stateful_set },
	{ "batch", "CronJob", "spec.jobTemplate.spec.template", warn_cron_job },
	{ "batch", "Job", "spec.template", warn_job },
	{ "discovery.k8s.io", "EndpointSlice", NULL, warn_endpoint_slice },
	{ "networking.k8s.io", "Ingress", NULL, warn_ingress },
	{ "networking.k8s.io", "NetworkPolicy", NULL, warn_network_policy },
	{ "node.k8s.io", "RuntimeClass", NULL, warn_runtime_class },
	{ "storage.k8s.io", "CSIStorageCapacity", NULL, warn_storage_capacity },
	{ "storage.k8s.io", "StorageClass", NULL, warn_storage_class },
};

static const struct node *warn_find(const struct node *n, const char *path)
{
	struct str rest = str_of(path);

	while (*path && rest.p)
		n = node_getk(n, str_cut(&rest, '.'));
	return n;
}

void schema_warnings(const struct schema_res *r, const struct node *root, void (*f)(void *arg, const char *text),
		     void *arg)
{
	struct warn w = { f, arg };

	warn_finalizers(&w, root);
	for (size_t i = 0; i < ARRAY_SIZE(KINDS); i++) {
		const char *path = KINDS[i].tmpl;
		const struct node *pod;
		_cleanup_free_ char *prefix = NULL;

		if (!streq(KINDS[i].kind, r->r.kind) || !streq(KINDS[i].group, r->r.group))
			continue;
		if (KINDS[i].warn)
			KINDS[i].warn(&w, root);
		if (!path)
			continue;
		pod = warn_find(root, path);
		prefix = xasprintf("%s%s", path, *path ? "." : "");
		warn_pod(&w, prefix, node_get(pod, F_spec), node_get(pod, F_metadata));
	}
}
