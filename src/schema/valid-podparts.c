/*
 * Validation of the parts of a pod spec that depend on other parts: claims of
 * devices, label keys of selectors, the pod's own resources against its containers',
 * the operating system, host names, annotations with a meaning.
 */
#include "schema/valid.h"

#include "base/limits.h"

static const enum field CONTAINER_LISTS[] = { F_initContainers, F_containers, F_ephemeralContainers };

/* rule for each container of every list */
static void each_container(struct valid *v, const struct vpath *p, const struct node *spec, v_rule *rule)
{
	for (size_t i = 0; i < ARRAY_SIZE(CONTAINER_LISTS); i++)
		v_each(v, VP(p, doc_field_name(CONTAINER_LISTS[i])), node_get(spec, CONTAINER_LISTS[i]), rule);
}

/* --- devices --- */

void v_pod_claims(struct valid *v, const struct vpath *p, const struct node *list)
{
	size_t i = 0;

	NODE_FOREACH(c, list) {
		const struct vpath *at = VPI(p, i++);
		const struct node *claim = node_get(c, F_resourceClaimName), *tmpl = node_get(c, F_resourceClaimTemplateName);
		bool again = false;

		NODE_FOREACH(other, list) {
			if (other == c)
				break;
			again = again || str_eq(v_str(other, F_name), v_str(c, F_name));
		}
		if (again && v_str(c, F_name).n > 0)
			v_duplicate_str(v, VP(at, "name"), v_str(c, F_name));
		else
			v_need_name(v, at, c, F_name, NF_DNS_LABEL);
		if (claim && tmpl)
			v_invalid_node(v, at, c,
				       "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be "
				       "specified");
		if (!claim && !tmpl)
			v_invalid_node(v, at, c,
				       "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`");
		if (claim)
			v_name(v, VP(at, "resourceClaimName"), node_str(claim), NF_DNS_SUBDOMAIN);
		if (tmpl)
			v_name(v, VP(at, "resourceClaimTemplateName"), node_str(tmpl), NF_DNS_SUBDOMAIN);
	}
}

/* --- label keys --- */

static void label_key_list(struct valid *v, const struct vpath *p, const struct node *list, const struct node *sel)
{
	size_t i = 0;

	if (node_count(list) > 0 && !sel) {
		v_forbidden(v, p, "must not be specified when labelSelector is not set");
		return;
	}
	NODE_FOREACH(c, list)
		v_name(v, VPI(p, i++), node_str(c), NF_QUALIFIED);
}

/* Kubernetes has merged the keys into the selector: a key that is there twice was there before. */
void v_label_keys(struct valid *v, const struct vpath *p, const struct node *n)
{
	const struct node *match = node_get(n, F_matchLabelKeys), *not = node_get(n, F_mismatchLabelKeys);
	const struct node *sel = node_get(n, F_labelSelector);
	size_t i = 0;

	label_key_list(v, VP(p, "matchLabelKeys"), match, sel);
	label_key_list(v, VP(p, "mismatchLabelKeys"), not, sel);
	NODE_FOREACH(c, match) {
		if (node_getk(node_get(sel, F_matchLabels), node_str(c)))
			v_invalid(v, VPI(p, i), node_str(c), "exists in both matchLabelKeys and labelSelector");
		if (v_list_has(not, node_str(c)))
			v_invalid(v, VPI(VP(p, "matchLabelKeys"), i), node_str(c),
				  "exists in both matchLabelKeys and mismatchLabelKeys");
		i++;
	}
}

void v_spread_more(struct valid *v, const struct vpath *p, const struct node *n)
{
	static const char *const POLICIES[] = { "Honor", "Ignore", NULL };
	const struct node *min = node_get(n, F_minDomains);

	if (min && node_int(min, 0) <= 0)
		v_invalid_node(v, VP(p, "minDomains"), min, "must be greater than zero");
	if (min && !node_streq(node_get(n, F_whenUnsatisfiable), "DoNotSchedule"))
		v_invalidf(v, VP(p, "minDomains"), min,
			   "can only use minDomains if whenUnsatisfiable=DoNotSchedule, not %s",
			   node_gets(n, F_whenUnsatisfiable));
	v_may_be(v, p, n, F_nodeAffinityPolicy, POLICIES);
	v_may_be(v, p, n, F_nodeTaintsPolicy, POLICIES);
	v_label_keys(v, p, n);
}

/* --- the pod's own resources --- */

static void pod_limits(struct valid *v, const struct vpath *p, const struct node *spec)
{
	const struct node *limits = node_path(spec, F_resources, F_limits);
	size_t i = 0;

	NODE_FOREACH(c, node_get(spec, F_containers)) {
		NODE_FOREACH(limit, node_path(c, F_resources, F_limits)) {
			const struct node *most = node_getk(limits, node_key(limit));
			struct quantity a, b;

			if (quantity_from_node(&a, limit) && quantity_from_node(&b, most) && quantity_cmp(&a, &b) > 0)
				v_invalidf(v, VP(VPK(VPI(VP(p, "containers"), i), node_key(limit)), "limits"), limit,
					   "must be less than or equal to pod limits of %s", node_cstr_or(most, ""));
		}
		i++;
	}
}

void v_pod_resources(struct valid *v, const struct vpath *p, const struct node *spec)
{
	static const char *const KNOWN[] = { "cpu", "memory", NULL };
	static const enum field LISTS[] = { F_limits, F_requests };
	const struct node *own = node_get(spec, F_resources);

	if (!own)
		return;
	if (node_get(own, F_claims))
		v_forbidden(v, VP(p, "claims"), "claims may not be set for Resources at pod-level");
	for (size_t i = 0; i < ARRAY_SIZE(LISTS); i++) {
		NODE_FOREACH(c, node_get(own, LISTS[i])) {
			const struct vpath *at = VPK(VP(p, doc_field_name(LISTS[i])), node_key(c));

			if (!v_is_one_of(node_key(c), KNOWN) && !v_is_hugepages(node_key(c)))
				v_unsupported(v, at, node_key(c), KNOWN);
			v_quantity_of(v, at, node_key(c), c);
		}
	}
	NODE_FOREACH(c, node_get(own, F_requests)) {
		_cleanup_buf_ struct buf text = BUF_INIT;
		struct quantity all, sum;

		if (!schema_sum_requests(spec, node_key(c), &sum) || !quantity_from_node(&all, c) ||
		    quantity_cmp(&sum, &all) <= 0)
			continue;
		quantity_print(&sum, &text);
		v_invalidf(v, VPK(VP(p, "requests"), node_key(c)), c,
			   "must be greater than or equal to aggregate container requests of %s", text.s);
	}
	pod_limits(v, p, spec);
}

/* --- operating system --- */

static void not_on_linux(struct valid *v, const struct vpath *p, const struct node *n)
{
	if (node_path(n, F_securityContext, F_windowsOptions))
		v_forbidden(v, VP(VP(p, "securityContext"), "windowsOptions"),
			    "windows options cannot be set for a linux pod");
}

static const char NOT_WINDOWS[] = "cannot be set for a windows pod";

static void no_members(struct valid *v, const struct vpath *p, const struct node *n, const enum field *fields)
{
	for (; *fields; fields++) {
		if (node_get(n, *fields) && !v_empty(node_get(n, *fields)))
			v_forbidden(v, VP(p, doc_field_name(*fields)), NOT_WINDOWS);
	}
}

static void not_on_windows(struct valid *v, const struct vpath *p, const struct node *n)
{
	static const enum field FIELDS[] = { F_appArmorProfile, F_seLinuxOptions, F_seccompProfile, F_capabilities,
					     F_readOnlyRootFilesystem, F_privileged, F_allowPrivilegeEscalation,
					     F_procMount, F_runAsUser, F_runAsGroup, F_NONE };

	no_members(v, VP(p, "securityContext"), node_get(n, F_securityContext), FIELDS);
}

void v_pod_os(struct valid *v, const struct vpath *p, const struct node *spec)
{
	static const char *const OS[] = { "linux", "windows", NULL };
	static const enum field POD[] = { F_appArmorProfile, F_seLinuxOptions, F_seccompProfile, F_fsGroup,
					  F_fsGroupChangePolicy, F_sysctls, F_runAsUser, F_runAsGroup,
					  F_supplementalGroups, F_supplementalGroupsPolicy, F_NONE };
	static const enum field HOST[] = { F_hostPID, F_hostIPC, F_hostUsers, F_shareProcessNamespace };
	const struct node *os = node_get(spec, F_os);

	if (!os)
		return;
	if (v_str(os, F_name).n == 0) {
		v_required(v, VP(VP(p, "os"), "name"), NULL);
	} else if (!v_is_one_of(v_str(os, F_name), OS)) {
		v_unsupported(v, VP(p, "os"), v_str(os, F_name), OS);
	} else if (node_streq(node_get(os, F_name), "linux")) {
		not_on_linux(v, p, spec);
		each_container(v, p, spec, not_on_linux);
	} else {
		no_members(v, VP(p, "securityContext"), node_get(spec, F_securityContext), POD);
		for (size_t i = 0; i < ARRAY_SIZE(HOST); i++) {
			const struct node *n = node_get(spec, HOST[i]);

			if (n && (HOST[i] == F_hostUsers || node_bool(n, false)))
				v_forbidden(v, VP(p, doc_field_name(HOST[i])), NOT_WINDOWS);
		}
		each_container(v, p, spec, not_on_windows);
	}
}

/* --- names and small members --- */

static void file_key_volumes(struct valid *v, const struct vpath *p, const struct node *ctr, const struct node *volumes)
{
	size_t i = 0;

	NODE_FOREACH(env, node_get(ctr, F_env)) {
		const struct node *ref = node_path(env, F_valueFrom, F_fileKeyRef), *volume = NULL;
		const struct vpath *at = VP(VP(VPI(VP(p, "env"), i++), "valueFrom"), "fileKeyRef");

		if (!ref)
			continue;
		NODE_FOREACH(c, volumes) {
			if (str_eq(v_str(c, F_name), v_str(ref, F_volumeName)))
				volume = c;
		}
		if (!volume)
			v_not_found(v, VP(at, "volumeName"), v_str(ref, F_volumeName));
		else if (!node_get(volume, F_emptyDir))
			v_invalid(v, VP(at, "volumeName"), v_str(ref, F_volumeName),
				  "referenced volume must be of type emptyDir");
	}
}

static void host_name_override(struct valid *v, const struct vpath *p, const struct node *spec)
{
	enum { MAX_HOST_NAME = 64 };
	const struct node *name = node_get(spec, F_hostnameOverride);
	const struct vpath *at = VP(p, "hostnameOverride");

	if (!name)
		return;
	if (node_bool(node_get(spec, F_setHostnameAsFQDN), false))
		v_forbidden(v, at, "may not be specified when setHostnameAsFQDN is true");
	if (node_bool(node_get(spec, F_hostNetwork), false))
		v_forbidden(v, at, "may not be specified when hostNetwork is true");
	if (node_str(name).n > MAX_HOST_NAME)
		v_too_long(v, at, MAX_HOST_NAME);
	v_name(v, at, node_str(name), NF_DNS_SUBDOMAIN);
}

void v_pod_parts(struct valid *v, const struct vpath *p, const struct node *spec)
{
	static const char *const GROUPS[] = { "Merge", "Strict", NULL };
	static const char *const SELINUX[] = { "MountOption", "Recursive", NULL };
	const struct node *sc = node_get(spec, F_securityContext);
	const struct vpath *at = VP(p, "securityContext");

	v_may_be(v, at, sc, F_supplementalGroupsPolicy, GROUPS);
	v_may_be(v, at, sc, F_seLinuxChangePolicy, SELINUX);
	host_name_override(v, p, spec);
	NODE_FOREACH(c, node_get(spec, F_overhead)) {
		const struct vpath *over = VPK(VP(VP(p, "overhead"), "limits"), node_key(c));

		v_container_resource_name(v, over, node_key(c));
		v_quantity_of(v, over, node_key(c), c);
	}
	for (size_t k = 0; k < ARRAY_SIZE(CONTAINER_LISTS); k++) {
		size_t i = 0;

		NODE_FOREACH(c, node_get(spec, CONTAINER_LISTS[k]))
			file_key_volumes(v, VPI(VP(p, doc_field_name(CONTAINER_LISTS[k])), i++), c,
					 node_get(spec, F_volumes));
	}
}

/* --- containers --- */

void v_restart_rules(struct valid *v, const struct vpath *p, const struct node *ctr)
{
	enum { MAX_RULES = 20, MAX_VALUES = 255 };
	static const char *const POLICIES[] = { "Always", "Never", "OnFailure", NULL };
	static const char *const ACTIONS[] = { "Restart", NULL };
	static const char *const OPERATORS[] = { "In", "NotIn", NULL };
	const struct node *rules = node_get(ctr, F_restartPolicyRules);
	size_t i = 0;

	if (!node_get(ctr, F_restartPolicy) && node_count(rules) > 0)
		v_required(v, VP(p, "restartPolicy"), "must specify restartPolicy when restart rules are used");
	v_may_be(v, p, ctr, F_restartPolicy, POLICIES);
	if (node_count(rules) > MAX_RULES)
		v_too_long(v, VP(p, "restartPolicyRules"), MAX_RULES);
	NODE_FOREACH(c, rules) {
		const struct vpath *at = VPI(VP(p, "restartPolicyRules"), i++);
		const struct node *codes = node_get(c, F_exitCodes);

		if (!v_is_one_of(v_str(c, F_action), ACTIONS))
			v_unsupported(v, VP(at, "action"), v_str(c, F_action), ACTIONS);
		if (!codes)
			v_required(v, VP(at, "exitCodes"), "must be specified");
		else if (!v_is_one_of(v_str(codes, F_operator), OPERATORS))
			v_unsupported(v, VP(VP(at, "exitCodes"), "operator"), v_str(codes, F_operator), OPERATORS);
		if (node_count(node_get(codes, F_values)) > MAX_VALUES)
			v_too_long(v, VP(VP(at, "exitCodes"), "values"), MAX_VALUES);
	}
}

void v_read_only_mount(struct valid *v, const struct vpath *p, const struct node *mount)
{
	static const char *const MODES[] = { "Disabled", "Enabled", "IfPossible", NULL };
	const struct node *mode = node_get(mount, F_recursiveReadOnly), *how = node_get(mount, F_mountPropagation);

	if (!mode)
		return;
	if (!v_is_one_of(node_str(mode), MODES))
		v_unsupported(v, p, node_str(mode), MODES);
	if (node_streq(mode, "Disabled") || !v_is_one_of(node_str(mode), MODES))
		return;
	if (!node_bool(node_get(mount, F_readOnly), false))
		v_forbidden(v, p, "may only be specified when readOnly is true");
	if (how && !node_streq(how, "None"))
		v_forbidden(v, p, "may only be specified when mountPropagation is None or not specified");
}

void v_divisor(struct valid *v, const struct vpath *p, const struct node *ref)
{
	static const char *const CPU[] = { "1", "1m", NULL };
	static const char *const BYTES[] = { "1",   "1E",  "1Ei", "1G", "1Gi", "1Ki", "1M", "1Mi", "1P", "1Pi",
					     "1T",  "1Ti", "1k", NULL };
	static const struct {
		const char *resource, *what;
	} KINDS[] = { { "cpu", "cpu" },
		      { "memory", "memory" },
		      { "ephemeral-storage", "local ephemeral storage" },
		      { "hugepages-", "hugepages" } };
	struct str name = v_str(ref, F_resource), resource = str_sub(name, (size_t)(str_find(name, '.') + 1), name.n);
	_cleanup_buf_ struct buf text = BUF_INIT;
	struct quantity q;

	if (!quantity_from_node(&q, node_get(ref, F_divisor)) || q.nano == 0)
		return;
	quantity_print(&q, &text);
	for (size_t i = 0; i < ARRAY_SIZE(KINDS); i++) {
		if (!str_starts(resource, str_of(KINDS[i].resource)))
			continue;
		if (!v_is_one_of(buf_str(&text), i == 0 ? CPU : BYTES))
			v_invalidf(v, VP(p, "divisor"), node_get(ref, F_resource),
				   "only divisor's values %s are supported with the %s resource",
				   i == 0 ? "1m and 1" : "1, 1k, 1M, 1G, 1T, 1P, 1E, 1Ki, 1Mi, 1Gi, 1Ti, 1Pi, 1Ei",
				   KINDS[i].what);
	}
}

/* An amount of huge pages is a whole number of them. */
void v_hugepages(struct valid *v, const struct vpath *p, const struct node *n)
{
	struct quantity page, q;
	struct str name = node_key(n);

	if (!v_is_hugepages(name) || !quantity_from_node(&q, n) ||
	    !quantity_parse(&page, str_sub(name, strlen("hugepages-"), name.n)))
		return;
	if (page.nano <= 0 || q.nano < page.nano || q.nano % page.nano != 0)
		v_invalidf(v, p, n, "%s is not positive integer multiple of %" STR_FMT, node_cstr_or(n, ""),
			   STR_ARG(name));
}

/* --- annotations --- */

void v_pod_annotations(struct valid *v, const struct vpath *p, const struct node *notes, const struct node *spec)
{
	static const char MIRROR[] = "kubernetes.io/config.mirror";
	static const char COST[] = "controller.kubernetes.io/pod-deletion-cost";
	const struct node *mirror = node_getc(notes, MIRROR), *cost = node_getc(notes, COST);
	struct str s = node_str(cost);
	int64_t value;

	if (mirror && v_str(spec, F_nodeName).n == 0)
		v_invalid_node(v, VPK(p, str_of(MIRROR)), mirror,
			       "must set spec.nodeName if mirror pod annotation is set");
	if (cost && (!str_to_i64(s, &value) || value < INT32_MIN || value > INT32_MAX || (s.n && s.p[0] == '+') ||
		     (s.n > 1 && s.p[0] == '0')))
		v_invalid_node(v, VPK(p, str_of(COST)), cost, "must be a 32bit integer");
}

void v_pod_annotations_update(struct valid *v, const struct vpath *p, const struct node *now, const struct node *old)
{
	static const char MIRROR[] = "kubernetes.io/config.mirror";
	static const char ARMOR[] = "container.apparmor.security.beta.kubernetes.io/";

	NODE_FOREACH(c, old) {
		if (v_same(c, node_getk(now, node_key(c))) && node_getk(now, node_key(c)))
			continue;
		if (str_starts(node_key(c), str_of(ARMOR)))
			v_forbidden(v, VPK(p, node_key(c)), "may not remove or update AppArmor annotations");
		if (str_eqc(node_key(c), MIRROR))
			v_forbidden(v, VPK(p, node_key(c)), "may not remove or update mirror pod annotation");
	}
	NODE_FOREACH(c, now) {
		if (node_getk(old, node_key(c)))
			continue;
		if (str_starts(node_key(c), str_of(ARMOR)))
			v_forbidden(v, VPK(p, node_key(c)), "may not add AppArmor annotations");
		if (str_eqc(node_key(c), MIRROR))
			v_forbidden(v, VPK(p, node_key(c)), "may not add mirror pod annotation");
	}
}
