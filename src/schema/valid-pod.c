/*
 * Validation of pod specs, in pods and in templates: everything but containers
 * (valid-container.c), volumes (valid-volume.c) and updates (valid-podupdate.c).
 * The order of checks is that of Kubernetes' ValidatePodSpec.
 */
#include "schema/valid.h"

static const char *const TAINT_EFFECTS[] = { "NoSchedule", "PreferNoSchedule", "NoExecute", NULL };

/* --- affinity --- */

static void v_node_requirement(struct valid *v, const struct vpath *p, const struct node *n)
{
	struct str op = v_str(n, F_operator);
	size_t values = node_count(node_get(n, F_values)), i = 0;

	if (str_eqc(op, "In") || str_eqc(op, "NotIn")) {
		if (values == 0)
			v_required(v, VP(p, "values"), "must be specified when `operator` is 'In' or 'NotIn'");
	} else if (str_eqc(op, "Exists") || str_eqc(op, "DoesNotExist")) {
		if (values > 0)
			v_forbidden(v, VP(p, "values"),
				    "may not be specified when `operator` is 'Exists' or 'DoesNotExist'");
	} else if (str_eqc(op, "Gt") || str_eqc(op, "Lt")) {
		if (values != 1)
			v_required(v, VP(p, "values"), "must be specified single value when `operator` is 'Lt' or 'Gt'");
	} else {
		v_invalid(v, VP(p, "operator"), op, "not a valid selector operator");
	}
	v_name(v, VP(p, "key"), v_str(n, F_key), NF_QUALIFIED);
	NODE_FOREACH(c, node_get(n, F_values))
		v_name(v, VPI(VP(p, "values"), i++), node_str(c), NF_LABEL_VALUE);
}

static void v_node_field(struct valid *v, const struct vpath *p, const struct node *n)
{
	struct str op = v_str(n, F_operator), key = v_str(n, F_key);
	size_t i = 0;

	if (!str_eqc(op, "In") && !str_eqc(op, "NotIn"))
		v_invalid(v, VP(p, "operator"), op, "not a valid selector operator");
	else if (node_count(node_get(n, F_values)) != 1)
		v_required(v, VP(p, "values"),
			   "must be only one value when `operator` is 'In' or 'NotIn' for node field selector");
	if (!str_eqc(key, "metadata.name")) {
		v_invalid(v, VP(p, "key"), key, "not a valid field selector key");
		return;
	}
	NODE_FOREACH(c, node_get(n, F_values))
		v_name(v, VPI(VP(p, "values"), i++), node_str(c), NF_DNS_SUBDOMAIN);
}

static void v_node_term(struct valid *v, const struct vpath *p, const struct node *n)
{
	size_t i = 0;

	NODE_FOREACH(c, node_get(n, F_matchExpressions))
		v_node_requirement(v, VPI(VP(p, "matchExpressions"), i++), c);
	i = 0;
	NODE_FOREACH(c, node_get(n, F_matchFields))
		v_node_field(v, VPI(VP(p, "matchFields"), i++), c);
}

void v_node_selector(struct valid *v, const struct vpath *p, const struct node *n)
{
	const struct node *terms = node_get(n, F_nodeSelectorTerms);
	size_t i = 0;

	if (node_count(terms) == 0)
		v_required(v, VP(p, "nodeSelectorTerms"), "must have at least one node selector term");
	NODE_FOREACH(c, terms)
		v_node_term(v, VPI(VP(p, "nodeSelectorTerms"), i++), c);
}

static void v_weight(struct valid *v, const struct vpath *p, const struct node *n)
{
	int64_t weight = node_int(node_get(n, F_weight), 0);

	if (weight <= 0 || weight > 100)
		v_invalid_int(v, VP(p, "weight"), weight, "must be in the range 1-100");
}

static void v_pod_term(struct valid *v, const struct vpath *p, const struct node *n)
{
	struct str key = v_str(n, F_topologyKey);

	v_label_selector(v, VP(p, "labelSelector"), node_get(n, F_labelSelector));
	v_label_selector(v, VP(p, "namespaceSelector"), node_get(n, F_namespaceSelector));
	NODE_FOREACH(c, node_get(n, F_namespaces))
		v_name(v, VP(p, "namespace"), node_str(c), NF_DNS_LABEL);
	if (key.n == 0)
		v_required(v, VP(p, "topologyKey"), "can not be empty");
	v_name(v, VP(p, "topologyKey"), key, NF_QUALIFIED);
	v_label_keys(v, p, n);
}

static void v_pod_affinity(struct valid *v, const struct vpath *p, const struct node *n)
{
	size_t i = 0;

	NODE_FOREACH(c, node_get(n, F_requiredDuringSchedulingIgnoredDuringExecution))
		v_pod_term(v, VPI(VP(p, "requiredDuringSchedulingIgnoredDuringExecution"), i++), c);
	i = 0;
	NODE_FOREACH(c, node_get(n, F_preferredDuringSchedulingIgnoredDuringExecution)) {
		const struct vpath *at = VPI(VP(p, "preferredDuringSchedulingIgnoredDuringExecution"), i++);

		v_weight(v, at, c);
		v_pod_term(v, VP(at, "podAffinityTerm"), node_get(c, F_podAffinityTerm));
	}
}

void v_affinity(struct valid *v, const struct vpath *p, const struct node *n)
{
	const struct node *node = node_get(n, F_nodeAffinity);
	const struct vpath *np = VP(p, "nodeAffinity");
	size_t i = 0;

	if (node_get(node, F_requiredDuringSchedulingIgnoredDuringExecution))
		v_node_selector(v, VP(np, "requiredDuringSchedulingIgnoredDuringExecution"),
				node_get(node, F_requiredDuringSchedulingIgnoredDuringExecution));
	NODE_FOREACH(c, node_get(node, F_preferredDuringSchedulingIgnoredDuringExecution)) {
		const struct vpath *at = VPI(VP(np, "preferredDuringSchedulingIgnoredDuringExecution"), i++);

		v_weight(v, at, c);
		v_node_term(v, VP(at, "preference"), node_get(c, F_preference));
	}
	v_pod_affinity(v, VP(p, "podAffinity"), node_get(n, F_podAffinity));
	v_pod_affinity(v, VP(p, "podAntiAffinity"), node_get(n, F_podAntiAffinity));
}

/* --- tolerations --- */

void v_taint_effect(struct valid *v, const struct vpath *p, const struct node *n)
{
	v_one_of(v, p, n, TAINT_EFFECTS);
}

static void v_toleration(struct valid *v, const struct vpath *p, const struct node *n)
{
	static const char *const OPERATORS[] = { "Equal", "Exists", NULL };
	struct str key = v_str(n, F_key), op = v_str(n, F_operator), value = v_str(n, F_value);

	if (key.n > 0)
		v_name(v, VP(p, "key"), key, NF_QUALIFIED);
	else if (!str_eqc(op, "Exists"))
		v_invalid(v, VP(p, "operator"), op,
			  "operator must be Exists when `key` is empty, which means \"match all values and all keys\"");
	if (node_get(n, F_tolerationSeconds) && !str_eqc(v_str(n, F_effect), "NoExecute"))
		v_invalid(v, VP(p, "effect"), v_str(n, F_effect),
			  "effect must be 'NoExecute' when `tolerationSeconds` is set");
	if (op.n == 0 || str_eqc(op, "Equal")) {
		v_name(v, VP(p, "operator"), value, NF_LABEL_VALUE);
	} else if (str_eqc(op, "Exists")) {
		if (value.n > 0)
			v_invalid(v, VP(p, "operator"), value, "value must be empty when `operator` is 'Exists'");
	} else if (!str_eqc(op, "Lt") && !str_eqc(op, "Gt")) {
		v_unsupported(v, VP(p, "operator"), op, OPERATORS);
	}
	if (v_str(n, F_effect).n > 0)
		v_taint_effect(v, VP(p, "effect"), node_get(n, F_effect));
}

void v_tolerations(struct valid *v, const struct vpath *p, const struct node *n)
{
	size_t i = 0;

	NODE_FOREACH(c, n)
		v_toleration(v, VPI(p, i++), c);
}

/* --- security --- */

void v_seccomp(struct valid *v, const struct vpath *p, const struct node *n)
{
	static const char *const TYPES[] = { "Localhost", "RuntimeDefault", "Unconfined", NULL };
	const struct node *profile = node_get(n, F_localhostProfile);

	if (!n)
		return;
	if (v_str(n, F_type).n == 0)
		v_required(v, VP(p, "type"), "type is required when seccompProfile is set");
	else
		v_one_of(v, VP(p, "type"), node_get(n, F_type), TYPES);
	if (node_streq(node_get(n, F_type), "Localhost")) {
		if (!profile)
			v_required(v, VP(p, "localhostProfile"), "must be set when seccomp type is Localhost");
		else
			v_local_path(v, VP(p, "localhostProfile"), node_str(profile));
	} else if (profile) {
		v_invalid_node(v, VP(p, "localhostProfile"), n, "can only be set when seccomp type is Localhost");
	}
}

void v_apparmor(struct valid *v, const struct vpath *p, const struct node *n)
{
	static const char *const TYPES[] = { "Localhost", "RuntimeDefault", "Unconfined", NULL };
	const struct node *profile = node_get(n, F_localhostProfile);
	struct str s = v_str(n, F_localhostProfile);

	if (!n)
		return;
	if (v_str(n, F_type).n == 0) {
		v_required(v, VP(p, "type"), "type is required when appArmorProfile is set");
		return;
	}
	v_one_of(v, VP(p, "type"), node_get(n, F_type), TYPES);
	if (!node_streq(node_get(n, F_type), "Localhost")) {
		if (profile)
			v_invalid_node(v, VP(p, "localhostProfile"), profile,
				       "can only be set when AppArmor type is Localhost");
		return;
	}
	if (str_trim(s).n == 0)
		v_required(v, VP(p, "localhostProfile"), "must be set when AppArmor type is Localhost");
	else if (str_trim(s).n != s.n)
		v_invalid(v, VP(p, "localhostProfile"), s, "must not be padded with whitespace");
	if (s.n > 4095)
		v_too_long(v, VP(p, "localhostProfile"), 4095);
}

static bool is_sysctl_name(struct str s)
{
	bool start = true;

	if (s.n == 0 || s.n > 253)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];
		bool alnum = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');

		if (c == '.' || c == '/') {
			if (start || s.p[i - 1] == '-' || s.p[i - 1] == '_')
				return false;
			start = true;
			continue;
		}
		if (!alnum && (start || (c != '-' && c != '_')))
			return false;
		start = false;
	}
	return !start && s.p[s.n - 1] != '-' && s.p[s.n - 1] != '_';
}

static bool sysctl_is(struct str s, const char *prefix)
{
	struct str head = str_of(prefix);

	return s.n > head.n && str_eq(str_sub(s, 0, head.n), head) && (s.p[head.n] == '.' || s.p[head.n] == '/');
}

static void v_sysctls(struct valid *v, const struct vpath *p, const struct node *list, const struct node *spec)
{
	size_t i = 0;

	NODE_FOREACH(c, list) {
		const struct vpath *at = VP(VPI(p, i++), "name");
		struct str name = v_str(c, F_name);

		if (name.n == 0) {
			v_required(v, at, NULL);
			continue;
		}
		if (!is_sysctl_name(name))
			v_invalid(v, at, name,
				  "must have at most 253 characters and match regex "
				  "^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$");
		NODE_FOREACH(other, list) {
			if (other == c)
				break;
			if (str_eq(v_str(other, F_name), name)) {
				v_duplicate_str(v, at, name);
				break;
			}
		}
		if (sysctl_is(name, "net") && node_bool(node_get(spec, F_hostNetwork), false))
			v_invalid(v, at, name, "may not be specified when 'hostNetwork' is true");
		if ((sysctl_is(name, "fs.mqueue") || str_starts(name, STR_LIT("kernel.shm")) ||
		     str_starts(name, STR_LIT("kernel.msg")) || str_eqc(name, "kernel.sem")) &&
		    node_bool(node_get(spec, F_hostIPC), false))
			v_invalid(v, at, name, "may not be specified when 'hostIPC' is true");
	}
}

static void v_pod_security(struct valid *v, const struct vpath *p, const struct node *spec)
{
	static const enum field IDS[] = { F_fsGroup, F_runAsUser, F_runAsGroup };
	static const char *const CHANGE[] = { "Always", "OnRootMismatch", NULL };
	const struct node *sc = node_get(spec, F_securityContext);
	size_t i = 0;

	for (size_t k = 0; k < ARRAY_SIZE(IDS); k++)
		v_range(v, VP(p, doc_field_name(IDS[k])), node_get(sc, IDS[k]), 0, INT32_MAX);
	NODE_FOREACH(c, node_get(sc, F_supplementalGroups))
		v_range(v, VPI(VP(p, "supplementalGroups"), i++), c, 0, INT32_MAX);
	if (node_bool(node_get(spec, F_shareProcessNamespace), false) && node_bool(node_get(spec, F_hostPID), false))
		v_invalid_node(v, VP(p, "shareProcessNamespace"), node_get(spec, F_shareProcessNamespace),
			       "ShareProcessNamespace and HostPID cannot both be enabled");
	v_sysctls(v, VP(p, "sysctls"), node_get(sc, F_sysctls), spec);
	if (node_get(sc, F_fsGroupChangePolicy))
		v_one_of(v, VP(p, "fsGroupChangePolicy"), node_get(sc, F_fsGroupChangePolicy), CHANGE);
	v_seccomp(v, VP(p, "seccompProfile"), node_get(sc, F_seccompProfile));
	v_apparmor(v, VP(p, "appArmorProfile"), node_get(sc, F_appArmorProfile));
}

/* --- network --- */

static void v_host_ports(struct valid *v, const struct vpath *p, const struct node *spec, bool is_pod)
{
	size_t i = 0;

	if (!node_bool(node_get(spec, F_hostNetwork), false))
		return;
	NODE_FOREACH(c, node_get(spec, F_containers)) {
		const struct vpath *at = VP(VPI(VP(p, "containers"), i++), "ports");
		size_t k = 0;

		NODE_FOREACH(port, node_get(c, F_ports)) {
			int64_t host = node_int(node_get(port, F_hostPort), 0);
			const struct vpath *here = VP(VPI(at, k++), "hostPort");

			if ((is_pod || host != 0) && host != node_int(node_get(port, F_containerPort), 0))
				v_invalid_int(v, here, host, "must match `containerPort` when `hostNetwork` is true");
		}
	}
}

static void v_dns_search(struct valid *v, const struct vpath *p, struct str s)
{
	if (str_eqc(s, "."))
		return;
	if (s.n > 0 && s.p[s.n - 1] == '.')
		s.n--;
	v_name(v, p, s, NF_SUBDOMAIN_UNDERSCORE);
}

static void v_dns_config(struct valid *v, const struct vpath *p, const struct node *n, const struct node *policy)
{
	const struct node *servers = node_get(n, F_nameservers), *searches = node_get(n, F_searches);
	size_t i = 0, length = 0;

	if (node_streq(policy, "None")) {
		if (!n) {
			v_required(v, p, "must provide `dnsConfig` when `dnsPolicy` is None");
			return;
		}
		if (node_count(servers) == 0) {
			v_required(v, VP(p, "nameservers"),
				   "must provide at least one DNS nameserver when `dnsPolicy` is None");
			return;
		}
	}
	if (node_count(servers) > 3)
		v_invalid_node(v, VP(p, "nameservers"), servers, "must not have more than 3 nameservers");
	NODE_FOREACH(c, servers)
		v_ip(v, VPI(VP(p, "nameservers"), i++), node_str(c));
	if (node_count(searches) > 32)
		v_invalid_node(v, VP(p, "searches"), searches, "must not have more than 32 search paths");
	NODE_FOREACH(c, searches)
		length += node_str(c).n + 1;
	if (length > 2049)
		v_invalid_node(v, VP(p, "searches"), searches,
			       "must not have more than 2048 characters (including spaces) in the search list");
	i = 0;
	NODE_FOREACH(c, searches)
		v_dns_search(v, VPI(VP(p, "searches"), i++), node_str(c));
	i = 0;
	NODE_FOREACH(c, node_get(n, F_options)) {
		if (v_str(c, F_name).n == 0)
			v_required(v, VPI(VP(p, "options"), i), "must not be empty");
		i++;
	}
}

static void v_host_aliases(struct valid *v, const struct vpath *p, const struct node *list)
{
	size_t i = 0;

	NODE_FOREACH(c, list) {
		const struct vpath *at = VPI(p, i++);
		size_t k = 0;

		v_ip(v, VP(at, "ip"), v_str(c, F_ip));
		NODE_FOREACH(name, node_get(c, F_hostnames))
			v_name(v, VPI(VP(at, "hostnames"), k++), node_str(name), NF_DNS_SUBDOMAIN);
	}
}

/* --- lists of names --- */

static void v_topology(struct valid *v, const struct vpath *p, const struct node *list)
{
	static const char *const ACTIONS[] = { "DoNotSchedule", "ScheduleAnyway", NULL };
	size_t i = 0;

	NODE_FOREACH(c, list) {
		const struct vpath *at = VPI(p, i++);
		struct str key = v_str(c, F_topologyKey), action = v_str(c, F_whenUnsatisfiable);

		if (node_int(node_get(c, F_maxSkew), 0) <= 0)
			v_invalid_int(v, VP(at, "maxSkew"), node_int(node_get(c, F_maxSkew), 0),
				      "must be greater than zero");
		if (key.n == 0)
			v_required(v, VP(at, "topologyKey"), "can not be empty");
		v_one_of(v, VP(at, "whenUnsatisfiable"), node_get(c, F_whenUnsatisfiable), ACTIONS);
		NODE_FOREACH(other, list) {
			if (other == c)
				break;
			if (str_eq(v_str(other, F_topologyKey), key) &&
			    str_eq(v_str(other, F_whenUnsatisfiable), action)) {
				char *text = xasprintf("{%" STR_FMT ", %" STR_FMT "}", STR_ARG(key), STR_ARG(action));

				v_duplicate_str(v, VP(at, "{topologyKey, whenUnsatisfiable}"), str_of(text));
				free(text);
				break;
			}
		}
		v_spread_more(v, at, c);
		v_label_selector(v, VP(at, "labelSelector"), node_get(c, F_labelSelector));
	}
}

static void v_scheduling_gates(struct valid *v, const struct vpath *p, const struct node *list)
{
	size_t i = 0;

	NODE_FOREACH(c, list) {
		const struct vpath *at = VPI(p, i++);

		v_name(v, at, v_str(c, F_name), NF_QUALIFIED);
		NODE_FOREACH(other, list) {
			if (other == c)
				break;
			if (str_eq(v_str(other, F_name), v_str(c, F_name)))
				v_duplicate_str(v, at, v_str(c, F_name));
		}
	}
}

static void v_optional_name(struct valid *v, const struct vpath *p, const struct node *spec, enum field f,
			    enum name_format format)
{
	struct str s = v_str(spec, f);

	if (s.n > 0)
		v_name(v, VP(p, doc_field_name(f)), s, format);
}

static void v_pod_names(struct valid *v, const struct vpath *p, const struct node *spec)
{
	const struct node *deadline = node_get(spec, F_activeDeadlineSeconds);

	v_optional_name(v, p, spec, F_serviceAccountName, NF_DNS_SUBDOMAIN);
	v_optional_name(v, p, spec, F_nodeName, NF_DNS_SUBDOMAIN);
	if (deadline)
		v_range(v, VP(p, "activeDeadlineSeconds"), deadline, 1, INT32_MAX);
	v_optional_name(v, p, spec, F_hostname, NF_DNS_LABEL);
	v_optional_name(v, p, spec, F_subdomain, NF_DNS_LABEL);
	v_tolerations(v, VP(p, "tolerations"), node_get(spec, F_tolerations));
	v_host_aliases(v, VP(p, "hostAliases"), node_get(spec, F_hostAliases));
	v_optional_name(v, p, spec, F_priorityClassName, NF_DNS_SUBDOMAIN);
	v_optional_name(v, p, spec, F_runtimeClassName, NF_DNS_SUBDOMAIN);
}

/* --- the whole --- */

static void v_host_users(struct valid *v, const struct vpath *p, const struct node *spec)
{
	static const struct {
		enum field field;
		const char *name;
	} HOST[] = { { F_hostNetwork, "hostNetwork" }, { F_hostPID, "HostPID" }, { F_hostIPC, "HostIPC" } };

	if (node_bool(node_get(spec, F_hostUsers), true))
		return;
	for (size_t i = 0; i < ARRAY_SIZE(HOST); i++) {
		if (node_bool(node_get(spec, HOST[i].field), false))
			v_forbidden(v, VP(p, HOST[i].name), "when `hostUsers` is false");
	}
}

void v_pod_spec(struct valid *v, const struct vpath *p, const struct node *spec, bool is_pod)
{
	static const char *const RESTART[] = { "Always", "OnFailure", "Never", NULL };
	static const char *const DNS[] = { "ClusterFirstWithHostNet", "ClusterFirst", "Default", "None", NULL };
	static const char *const PREEMPT[] = { "PreemptLowerPriority", "Never", NULL };
	struct vpod pod = { spec, is_pod, node_bool(node_get(spec, F_hostUsers), true) };
	size_t i = 0;

	v_volumes(v, VP(p, "volumes"), node_get(spec, F_volumes));
	v_pod_claims(v, VP(p, "resourceClaims"), node_get(spec, F_resourceClaims));
	v_containers(v, p, &pod);
	v_pod_resources(v, VP(p, "resources"), spec);
	v_host_ports(v, p, spec, is_pod);
	v_one_of(v, VP(p, "restartPolicy"), node_get(spec, F_restartPolicy), RESTART);
	v_one_of(v, VP(p, "dnsPolicy"), node_get(spec, F_dnsPolicy), DNS);
	v_labels(v, VP(p, "nodeSelector"), node_get(spec, F_nodeSelector));
	v_pod_security(v, VP(p, "securityContext"), spec);
	v_affinity(v, VP(p, "affinity"), node_get(spec, F_affinity));
	v_dns_config(v, VP(p, "dnsConfig"), node_get(spec, F_dnsConfig), node_get(spec, F_dnsPolicy));
	NODE_FOREACH(c, node_get(spec, F_readinessGates))
		v_name(v, VP(VPI(VP(p, "readinessGates"), i++), "conditionType"), v_str(c, F_conditionType),
		       NF_QUALIFIED);
	v_scheduling_gates(v, VP(p, "schedulingGates"), node_get(spec, F_schedulingGates));
	v_topology(v, VP(p, "topologySpreadConstraints"), node_get(spec, F_topologySpreadConstraints));
	v_host_users(v, p, spec);
	v_pod_names(v, p, spec);
	if (node_get(spec, F_preemptionPolicy))
		v_one_of(v, VP(p, "preemptionPolicy"), node_get(spec, F_preemptionPolicy), PREEMPT);
	v_pod_os(v, p, spec);
	v_pod_parts(v, p, spec);
}

void v_pod_template(struct valid *v, const struct vpath *p, const struct node *tmpl)
{
	const struct node *meta = node_get(tmpl, F_metadata), *spec = node_get(tmpl, F_spec);

	v_labels(v, VP(p, "labels"), node_get(meta, F_labels));
	v_annotations(v, VP(p, "annotations"), node_get(meta, F_annotations));
	v_pod_annotations(v, VP(p, "annotations"), node_get(meta, F_annotations), spec);
	v_pod_spec(v, VP(p, "spec"), spec, false);
	if (node_count(node_get(spec, F_ephemeralContainers)) > 0)
		v_forbidden(v, VP(VP(p, "spec"), "ephemeralContainers"),
			    "ephemeral containers not allowed in pod template");
}

void v_pod_template_object(struct valid *v)
{
	v_pod_template(v, VP(NULL, "template"), node_get(v->root, F_template));
}
