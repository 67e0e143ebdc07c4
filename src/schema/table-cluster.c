/*
 * Table rows of the kinds that configure a cluster: networking, access,
 * certificates, storage, admission, flow control, devices, scheduling.
 */
#include "schema/table.h"

#include <inttypes.h>
#include <stdio.h>

/* --- networking.k8s.io, discovery.k8s.io --- */
static void ingress_hosts(struct table_row *w, const struct node *rules)
{
	struct buf *b = table_text(w);
	size_t shown = 0;

	NODE_FOREACH (r, rules) {
		if (shown == 3) {
			buf_addf(b, " + %zu more...", node_count(rules) - 3);
			break;
		}
		if (!*node_gets(r, F_host))
			continue;
		table_join(b, ",", node_str(node_get(r, F_host)));
		shown++;
	}
	table_end(w, "*");
}

void table_row_ingresses(struct table_row *w, const struct node *n)
{
	const struct node *spec = node_get(n, F_spec);

	table_name(w, n);
	table_or(w, node_get(spec, F_ingressClassName), TABLE_NONE);
	ingress_hosts(w, node_get(spec, F_rules));
	table_balancer(table_text(w), n);
	table_end(w, "");
	table_cstr(w, node_count(node_get(spec, F_tls)) ? "80, 443" : "80");
	table_created(w, n);
}

void table_row_ingressclasses(struct table_row *w, const struct node *n)
{
	const struct node *p = node_path(n, F_spec, F_parameters);
	const char *group = node_gets(p, F_apiGroup);

	table_name(w, n);
	table_or(w, node_path(n, F_spec, F_controller), "");
	if (p)
		table_fmt(w, "%s%s%s/%s", node_gets(p, F_kind), *group ? "." : "", group,
			  node_gets(p, F_name));
	else
		table_cstr(w, TABLE_NONE);
	table_created(w, n);
}

void table_row_networkpolicies(struct table_row *w, const struct node *n)
{
	table_name(w, n);
	table_selector(w, node_path(n, F_spec, F_podSelector), TABLE_NONE, "<error>");
	table_created(w, n);
}

void table_row_servicecidrs(struct table_row *w, const struct node *n)
{
	table_name(w, n);
	table_join_all(table_text(w), node_path(n, F_spec, F_cidrs));
	table_end(w, "");
	table_created(w, n);
}

void table_row_ipaddresses(struct table_row *w, const struct node *n)
{
	const struct node *ref = node_path(n, F_spec, F_parentRef);
	const char *group = node_gets(ref, F_group), *ns = node_gets(ref, F_namespace);

	table_name(w, n);
	if (ref)
		table_fmt(w, "%s%s%s%s%s/%s", node_gets(ref, F_resource), *group ? "." : "", group,
			  *ns ? "/" : "", ns, node_gets(ref, F_name));
	else
		table_cstr(w, TABLE_NONE);
}

void table_row_endpointslices(struct table_row *w, const struct node *n)
{
	struct table_list l = {0};
	char number[24];

	table_name(w, n);
	table_or(w, node_get(n, F_addressType), "");
	l.b = table_text(w);
	NODE_FOREACH (p, node_get(n, F_ports)) {
		const struct node *port = node_get(p, F_port), *name = node_get(p, F_name);

		snprintf(number, sizeof(number), "%" PRId64, node_int(port, 0));
		table_list_add(&l, port ? str_of(number) : name ? node_str(name) : STR_LIT("*"));
	}
	table_list_end(w, &l, TABLE_UNSET);
	l = (struct table_list){.b = table_text(w)};
	NODE_FOREACH (e, node_get(n, F_endpoints))
		NODE_FOREACH (a, node_get(e, F_addresses))
			table_list_add(&l, node_str(a));
	table_list_end(w, &l, TABLE_UNSET);
	table_created(w, n);
}

/* --- rbac.authorization.k8s.io --- */
static void binding_subjects(struct table_row *w, const struct node *subjects, const char *kind)
{
	struct buf *b = table_text(w);

	NODE_FOREACH (s, subjects) {
		if (!streq(node_gets(s, F_kind), kind))
			continue;
		if (b->len)
			buf_adds(b, ", ");
		if (streq(kind, "ServiceAccount"))
			buf_addf(b, "%s/", node_gets(s, F_namespace));
		buf_adds(b, node_gets(s, F_name));
	}
	table_end(w, "");
}

void table_row_rolebindings(struct table_row *w, const struct node *n)
{
	const struct node *ref = node_get(n, F_roleRef), *subjects = node_get(n, F_subjects);

	table_name(w, n);
	table_fmt(w, "%s/%s", node_gets(ref, F_kind), node_gets(ref, F_name));
	table_created(w, n);
	binding_subjects(w, subjects, "User");
	binding_subjects(w, subjects, "Group");
	binding_subjects(w, subjects, "ServiceAccount");
}

void table_row_clusterrolebindings(struct table_row *w, const struct node *n)
{
	table_row_rolebindings(w, n);
}

/* --- certificates.k8s.io --- */
static bool csr_has(const struct node *n, const char *type)
{
	return cond_find(node_path(n, F_status, F_conditions), type);
}

void table_row_certificatesigningrequests(struct table_row *w, const struct node *n)
{
	const struct node *spec = node_get(n, F_spec), *seconds = node_get(spec, F_expirationSeconds);

	table_name(w, n);
	table_created(w, n);
	table_or(w, node_get(spec, F_signerName), TABLE_NONE);
	table_or(w, node_get(spec, F_username), "");
	if (seconds)
		table_duration(w, node_int(seconds, 0));
	else
		table_cstr(w, TABLE_NONE);
	table_fmt(w, "%s%s%s",
		  csr_has(n, "Denied")	   ? "Denied"
		  : csr_has(n, "Approved") ? "Approved"
					   : "Pending",
		  csr_has(n, "Failed") ? ",Failed" : "",
		  *node_gets(node_get(n, F_status), F_certificate) ? ",Issued" : "");
}

/* --- coordination.k8s.io --- */
void table_row_leases(struct table_row *w, const struct node *n)
{
	table_name(w, n);
	table_or(w, node_path(n, F_spec, F_holderIdentity), "");
	table_created(w, n);
}

void table_row_leasecandidates(struct table_row *w, const struct node *n)
{
	table_name(w, n);
	table_or(w, node_path(n, F_spec, F_leaseName), "");
	table_or(w, node_path(n, F_spec, F_binaryVersion), "");
	table_or(w, node_path(n, F_spec, F_emulationVersion), "");
	table_created(w, n);
}

/* --- storage.k8s.io --- */
static bool annotated_true(const struct node *n, const char *key)
{
	return streq_null(meta_annotation(n, key), "true");
}

void table_row_storageclasses(struct table_row *w, const struct node *n)
{
	bool dflt = annotated_true(n, "storageclass.kubernetes.io/is-default-class") ||
		    annotated_true(n, "storageclass.beta.kubernetes.io/is-default-class");

	table_fmt(w, "%s%s", meta_name(n), dflt ? " (default)" : "");
	table_or(w, node_get(n, F_provisioner), "");
	table_or(w, node_get(n, F_reclaimPolicy), "Delete");
	table_or(w, node_get(n, F_volumeBindingMode), "Immediate");
	table_bool(w, node_bool(node_get(n, F_allowVolumeExpansion), false));
	table_created(w, n);
}

void table_row_volumeattributesclasses(struct table_row *w, const struct node *n)
{
	table_name(w, n);
	table_or(w, node_get(n, F_driverName), "");
	table_created(w, n);
}

void table_row_volumeattachments(struct table_row *w, const struct node *n)
{
	table_name(w, n);
	table_or(w, node_path(n, F_spec, F_attacher), "");
	table_or(w, node_path(n, F_spec, F_source, F_persistentVolumeName), "");
	table_or(w, node_path(n, F_spec, F_nodeName), "");
	table_bool(w, node_bool(node_path(n, F_status, F_attached), false));
	table_created(w, n);
}

void table_row_csinodes(struct table_row *w, const struct node *n)
{
	table_name(w, n);
	table_int(w, (int64_t)node_count(node_path(n, F_spec, F_drivers)));
	table_created(w, n);
}

void table_row_csidrivers(struct table_row *w, const struct node *n)
{
	const struct node *spec = node_get(n, F_spec), *tokens = node_get(spec, F_tokenRequests);
	struct buf *b;

	table_name(w, n);
	table_bool(w, node_bool(node_get(spec, F_attachRequired), true));
	table_bool(w, node_bool(node_get(spec, F_podInfoOnMount), false));
	table_bool(w, node_bool(node_get(spec, F_storageCapacity), false));
	b = table_text(w);
	NODE_FOREACH (t, tokens)
		table_join(b, ",", node_str(node_get(t, F_audience)));
	table_end(w, tokens ? "" : TABLE_UNSET);
	table_bool(w, node_bool(node_get(spec, F_requiresRepublish), false));
	table_join_all(table_text(w), node_get(spec, F_volumeLifecycleModes));
	table_end(w, TABLE_NONE);
	table_created(w, n);
}

void table_row_csistoragecapacities(struct table_row *w, const struct node *n)
{
	table_name(w, n);
	table_or(w, node_get(n, F_storageClassName), "");
	table_quantity(table_text(w), node_get(n, F_capacity), TABLE_UNSET);
	table_end(w, "");
}

/* --- admissionregistration.k8s.io --- */
static void admission_count(struct table_row *w, const struct node *n, const struct node *list)
{
	table_name(w, n);
	table_int(w, (int64_t)node_count(list));
}

void table_row_mutatingwebhookconfigurations(struct table_row *w, const struct node *n)
{
	admission_count(w, n, node_get(n, F_webhooks));
	table_created(w, n);
}

void table_row_validatingwebhookconfigurations(struct table_row *w, const struct node *n)
{
	table_row_mutatingwebhookconfigurations(w, n);
}

static void admission_policy(struct table_row *w, const struct node *n, enum field list)
{
	const struct node *kind = node_path(n, F_spec, F_paramKind);

	admission_count(w, n, node_get(node_get(n, F_spec), list));
	if (kind)
		table_fmt(w, "%s/%s", node_gets(kind, F_apiVersion), node_gets(kind, F_kind));
	else
		table_cstr(w, TABLE_UNSET);
	table_created(w, n);
}

void table_row_validatingadmissionpolicies(struct table_row *w, const struct node *n)
{
	admission_policy(w, n, F_validations);
}

void table_row_mutatingadmissionpolicies(struct table_row *w, const struct node *n)
{
	admission_policy(w, n, F_mutations);
}

/* A label selector in the notation that Go's generated String() has, as Kubernetes shows it here. */
static void admission_selector(struct buf *b, const struct node *selector)
{
	buf_adds(b, "&LabelSelector{MatchLabels:map[string]string{");
	NODE_FOREACH (l, node_get(selector, F_matchLabels))
		buf_addf(b, "%" STR_FMT ": %" STR_FMT ",", STR_ARG(node_key(l)), STR_ARG(node_str(l)));
	buf_adds(b, "},MatchExpressions:[]LabelSelectorRequirement{");
	NODE_FOREACH (x, node_get(selector, F_matchExpressions)) {
		bool first = true;

		buf_addf(b, "LabelSelectorRequirement{Key:%s,Operator:%s,Values:[", node_gets(x, F_key),
			 node_gets(x, F_operator));
		NODE_FOREACH (v, node_get(x, F_values)) {
			buf_addf(b, "%s%" STR_FMT, first ? "" : " ", STR_ARG(node_str(v)));
			first = false;
		}
		buf_adds(b, "],},");
	}
	buf_adds(b, "},}");
}

void table_row_validatingadmissionpolicybindings(struct table_row *w, const struct node *n)
{
	const struct node *ref = node_path(n, F_spec, F_paramRef), *selector = node_get(ref, F_selector);
	const char *name = node_gets(ref, F_name), *ns = node_gets(ref, F_namespace);
	struct buf *b;

	table_name(w, n);
	table_or(w, node_path(n, F_spec, F_policyName), "");
	b = table_text(w);
	if (*name)
		buf_addf(b, "%s/%s", *ns ? ns : "*", name);
	else if (selector)
		admission_selector(b, selector);
	table_end(w, TABLE_UNSET);
	table_created(w, n);
}

void table_row_mutatingadmissionpolicybindings(struct table_row *w, const struct node *n)
{
	table_row_validatingadmissionpolicybindings(w, n);
}

/* --- flowcontrol.apiserver.k8s.io --- */
void table_row_flowschemas(struct table_row *w, const struct node *n)
{
	const struct node *spec = node_get(n, F_spec);
	const struct node *dangling = cond_find(node_path(n, F_status, F_conditions), "Dangling");

	table_name(w, n);
	table_or(w, node_path(spec, F_priorityLevelConfiguration, F_name), "");
	table_int(w, node_int(node_get(spec, F_matchingPrecedence), 0));
	table_or(w, node_path(spec, F_distinguisherMethod, F_type), TABLE_NONE);
	table_created(w, n);
	table_or(w, node_get(dangling, F_status), dangling ? "" : "?");
}

static void priority_int(struct table_row *w, const struct node *parent, enum field f)
{
	if (parent)
		table_int(w, node_int(node_get(parent, f), 0));
	else
		table_cstr(w, TABLE_NONE);
}

void table_row_prioritylevelconfigurations(struct table_row *w, const struct node *n)
{
	const struct node *limited = node_path(n, F_spec, F_limited);
	const struct node *queuing = node_path(limited, F_limitResponse, F_queuing);

	table_name(w, n);
	table_or(w, node_path(n, F_spec, F_type), "");
	priority_int(w, limited, F_nominalConcurrencyShares);
	priority_int(w, queuing, F_queues);
	priority_int(w, queuing, F_handSize);
	priority_int(w, queuing, F_queueLengthLimit);
	table_created(w, n);
}

/* --- scheduling.k8s.io, node.k8s.io --- */
void table_row_priorityclasses(struct table_row *w, const struct node *n)
{
	table_name(w, n);
	table_int(w, node_int(node_get(n, F_value), 0));
	table_bool(w, node_bool(node_get(n, F_globalDefault), false));
	table_created(w, n);
	table_or(w, node_get(n, F_preemptionPolicy), "");
}

void table_row_runtimeclasses(struct table_row *w, const struct node *n)
{
	table_name(w, n);
	table_or(w, node_get(n, F_handler), "");
	table_created(w, n);
}

/* --- resource.k8s.io --- */
void table_row_deviceclasses(struct table_row *w, const struct node *n)
{
	table_name(w, n);
	table_created(w, n);
}

void table_row_resourceclaimtemplates(struct table_row *w, const struct node *n)
{
	table_name(w, n);
	table_created(w, n);
}

void table_row_resourceclaims(struct table_row *w, const struct node *n)
{
	bool allocated = node_path(n, F_status, F_allocation), deleted = meta_is_deleting(n);
	struct buf *b;

	table_name(w, n);
	b = table_text(w);
	if (deleted)
		table_join(b, ",", STR_LIT("deleted"));
	if (allocated)
		table_join(b, ",", STR_LIT("allocated"));
	else if (!deleted)
		table_join(b, ",", STR_LIT("pending"));
	if (allocated && node_count(node_path(n, F_status, F_reservedFor)))
		table_join(b, ",", STR_LIT("reserved"));
	table_end(w, "");
	table_created(w, n);
}

void table_row_resourceslices(struct table_row *w, const struct node *n)
{
	table_name(w, n);
	table_or(w, node_path(n, F_spec, F_nodeName), "");
	table_or(w, node_path(n, F_spec, F_driver), "");
	table_or(w, node_path(n, F_spec, F_pool, F_name), "");
	table_created(w, n);
}

/* --- apiregistration.k8s.io --- */
void table_row_apiservices(struct table_row *w, const struct node *n)
{
	const struct node *service = node_path(n, F_spec, F_service);
	const struct node *c = cond_find(node_path(n, F_status, F_conditions), "Available");
	const char *status = node_gets(c, F_status);

	table_name(w, n);
	if (service)
		table_fmt(w, "%s/%s", node_gets(service, F_namespace), node_gets(service, F_name));
	else
		table_cstr(w, "Local");
	if (!c)
		table_cstr(w, "Unknown");
	else if (streq(status, "True"))
		table_cstr(w, status);
	else
		table_fmt(w, "%s (%s)", status, node_gets(c, F_reason));
	table_created(w, n);
}
