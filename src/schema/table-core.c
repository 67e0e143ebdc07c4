/*
 * Table rows of the core group's kinds other than pods and controllers.
 */
#include "schema/table.h"

#include <inttypes.h>

/* --- nodes --- */
static int role_cmp(const void *a, const void *b)
{
	return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

/* node-role.kubernetes.io/ROLE and kubernetes.io/role=ROLE, sorted, each once. */
static void node_roles(struct table_row *w, const struct node *labels)
{
	static const char prefix[] = "node-role.kubernetes.io/";
	_cleanup_free_ struct str *roles = xcalloc(node_count(labels) + 1, sizeof(*roles));
	struct buf *b = table_text(w);
	size_t n = 0;

	NODE_FOREACH (l, labels) {
		struct str key = node_key(l);

		if (str_starts(key, str_of(prefix)) && key.n > sizeof(prefix) - 1)
			roles[n++] = str_sub(key, sizeof(prefix) - 1, key.n);
		else if (str_eqc(key, "kubernetes.io/role") && node_str(l).n)
			roles[n++] = node_str(l);
	}
	qsort(roles, n, sizeof(*roles), role_cmp);
	for (size_t i = 0; i < n; i++)
		if (!i || !str_eq(roles[i], roles[i - 1]))
			table_join(b, ",", roles[i]);
	table_end(w, TABLE_NONE);
}

static void node_address(struct table_row *w, const struct node *n, const char *type)
{
	NODE_FOREACH (a, node_path(n, F_status, F_addresses))
		if (streq(node_gets(a, F_type), type)) {
			table_or(w, node_get(a, F_address), "");
			return;
		}
	table_cstr(w, TABLE_NONE);
}

static void node_kernel(struct table_row *w, const struct node *info)
{
	const char *kernel = node_gets(info, F_kernelVersion), *arch = node_gets(info, F_architecture);

	if (*kernel && *arch)
		table_fmt(w, "%s (%s)", kernel, arch);
	else
		table_cstr(w, *kernel ? kernel : TABLE_UNKNOWN);
}

void table_row_nodes(struct table_row *w, const struct node *n)
{
	const struct node *ready = cond_find(node_path(n, F_status, F_conditions), "Ready");
	const struct node *info = node_path(n, F_status, F_nodeInfo);
	bool off = node_bool(node_path(n, F_spec, F_unschedulable), false);

	table_name(w, n);
	table_fmt(w, "%s%s",
		  !ready				      ? "Unknown"
		  : streq(node_gets(ready, F_status), "True") ? "Ready"
							      : "NotReady",
		  off ? ",SchedulingDisabled" : "");
	node_roles(w, meta_labels(n));
	table_created(w, n);
	table_or(w, node_get(info, F_kubeletVersion), "");
	node_address(w, n, "InternalIP");
	node_address(w, n, "ExternalIP");
	table_or(w, node_get(info, F_osImage), TABLE_UNKNOWN);
	node_kernel(w, info);
	table_or(w, node_get(info, F_containerRuntimeVersion), TABLE_UNKNOWN);
}

/* --- namespaces, configuration --- */
void table_row_namespaces(struct table_row *w, const struct node *n)
{
	table_name(w, n);
	table_or(w, node_path(n, F_status, F_phase), "");
	table_created(w, n);
}

void table_row_configmaps(struct table_row *w, const struct node *n)
{
	table_name(w, n);
	table_int(w, (int64_t)(node_count(node_get(n, F_data)) + node_count(node_get(n, F_binaryData))));
	table_created(w, n);
}

void table_row_secrets(struct table_row *w, const struct node *n)
{
	table_name(w, n);
	table_or(w, node_get(n, F_type), "");
	table_int(w, (int64_t)node_count(node_get(n, F_data)));
	table_created(w, n);
}

void table_row_serviceaccounts(struct table_row *w, const struct node *n)
{
	table_name(w, n);
	table_created(w, n);
}

/* One column of a ResourceQuota: "pods: 2/10, ..." of those with or without the prefix "limits.". */
static void quota_column(struct table_row *w, const struct node *n, bool limits)
{
	const struct node *hard = node_path(n, F_status, F_hard), *used = node_path(n, F_status, F_used);
	struct buf *b = table_text(w);
	struct str last = STR_NONE;

	/* In order of names without an array: each round takes the next larger one; quotas are few. */
	while (node_is(hard, DOC_OBJECT)) {
		const struct node *next = NULL;

		NODE_FOREACH (h, hard)
			if ((!last.p || str_cmp(node_key(h), last) > 0) &&
			    (!next || str_cmp(node_key(h), node_key(next)) < 0))
				next = h;
		if (!next)
			break;
		last = node_key(next);
		if (str_starts(last, STR_LIT("limits.")) != limits)
			continue;
		table_join(b, ", ", last);
		buf_adds(b, ": ");
		table_quantity(b, node_getk(used, last), "0");
		buf_addch(b, '/');
		table_quantity(b, next, "0");
	}
	table_end(w, "");
}

void table_row_resourcequotas(struct table_row *w, const struct node *n)
{
	table_name(w, n);
	quota_column(w, n, false);
	quota_column(w, n, true);
	table_created(w, n);
}

void table_row_componentstatuses(struct table_row *w, const struct node *n)
{
	const struct node *c = cond_find(node_get(n, F_conditions), "Healthy");

	table_name(w, n);
	table_cstr(w, !c ? "Unknown" : streq(node_gets(c, F_status), "True") ? "Healthy" : "Unhealthy");
	table_or(w, node_get(c, F_message), "");
	table_or(w, node_get(c, F_error), "");
}

/* --- services and endpoints --- */
static int address_cmp(const void *a, const void *b)
{
	return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

static struct str address_of(const struct node *ingress)
{
	struct str ip = node_str(node_get(ingress, F_ip));

	return ip.n ? ip : node_str(node_get(ingress, F_hostname));
}

/* The addresses of status.loadBalancer, sorted, each once; Ingress has the same shape. */
void table_balancer(struct buf *b, const struct node *n)
{
	const struct node *list = node_path(n, F_status, F_loadBalancer, F_ingress);
	_cleanup_free_ struct str *v = xcalloc(node_count(list) + 1, sizeof(*v));
	size_t count = 0;

	NODE_FOREACH (i, list)
		if (address_of(i).n)
			v[count++] = address_of(i);
	qsort(v, count, sizeof(*v), address_cmp);
	for (size_t i = 0; i < count; i++)
		if (!i || !str_eq(v[i], v[i - 1]))
			table_join(b, ",", v[i]);
}

static void service_external(struct table_row *w, const struct node *n)
{
	const struct node *spec = node_get(n, F_spec);
	const char *type = node_gets(spec, F_type);
	struct buf *b = table_text(w);

	if (streq(type, "ExternalName")) {
		table_or(w, node_get(spec, F_externalName), "");
	} else if (streq(type, "LoadBalancer")) {
		table_balancer(b, n);
		table_join_all(b, node_get(spec, F_externalIPs));
		table_end(w, "<pending>");
	} else if (streq(type, "ClusterIP") || streq(type, "NodePort")) {
		table_join_all(b, node_get(spec, F_externalIPs));
		table_end(w, TABLE_NONE);
	} else {
		table_cstr(w, TABLE_UNKNOWN);
	}
}

static void service_ports(struct table_row *w, const struct node *ports)
{
	struct buf *b = table_text(w);

	NODE_FOREACH (p, ports) {
		int64_t node_port = node_int(node_get(p, F_nodePort), 0);

		buf_addf(b, "%s%" PRId64, b->len ? "," : "", node_int(node_get(p, F_port), 0));
		if (node_port > 0)
			buf_addf(b, ":%" PRId64, node_port);
		buf_addf(b, "/%s", node_gets(p, F_protocol));
	}
	table_end(w, TABLE_NONE);
}

void table_row_services(struct table_row *w, const struct node *n)
{
	const struct node *spec = node_get(n, F_spec);

	table_name(w, n);
	table_or(w, node_get(spec, F_type), "");
	table_or(w, node_first(node_get(spec, F_clusterIPs)), TABLE_NONE);
	service_external(w, n);
	service_ports(w, node_get(spec, F_ports));
	table_created(w, n);
	table_labels(w, node_get(spec, F_selector));
}

static void endpoints_add(struct table_list *l, const struct node *addresses, const struct node *port)
{
	_cleanup_buf_ struct buf one = BUF_INIT;

	NODE_FOREACH (a, addresses) {
		const char *ip = node_gets(a, F_ip);
		bool v6 = port && strchr(ip, ':');

		buf_clear(&one);
		buf_addf(&one, "%s%s%s", v6 ? "[" : "", ip, v6 ? "]" : "");
		if (port)
			buf_addf(&one, ":%" PRId64, node_int(node_get(port, F_port), 0));
		table_list_add(l, buf_str(&one));
	}
}

void table_row_endpoints(struct table_row *w, const struct node *n)
{
	const struct node *subsets = node_get(n, F_subsets);
	struct table_list l = {0};

	table_name(w, n);
	l.b = table_text(w);
	NODE_FOREACH (s, subsets) {
		const struct node *ports = node_get(s, F_ports), *addresses = node_get(s, F_addresses);

		if (!node_count(ports))
			endpoints_add(&l, addresses, NULL);
		NODE_FOREACH (p, ports)
			endpoints_add(&l, addresses, p);
	}
	table_list_end(w, &l, node_count(subsets) ? "" : TABLE_NONE);
	table_created(w, n);
}

/* --- events --- */
/* A member that core/v1 and events.k8s.io/v1 call differently. */
static const struct node *either(const struct node *n, enum field a, enum field b)
{
	const struct node *v = node_get(n, a);

	return v ? v : node_get(n, b);
}

static void event_object(struct table_row *w, const struct node *about)
{
	struct buf *b = table_text(w);

	for (const char *k = node_gets(about, F_kind); *k; k++)
		buf_addch(b, *k >= 'A' && *k <= 'Z' ? *k - 'A' + 'a' : *k);
	if (*node_gets(about, F_name))
		buf_addf(b, "/%s", node_gets(about, F_name));
	table_end(w, "");
}

static void event_source(struct table_row *w, const struct node *n)
{
	const struct node *source = either(n, F_source, F_deprecatedSource);
	const char *component = node_gets(source, F_component), *host = node_gets(source, F_host);
	const char *controller = node_cstr_or(either(n, F_reportingComponent, F_reportingController), "");

	if (!*component)
		component = controller;
	if (!*host)
		host = node_gets(n, F_reportingInstance);
	table_fmt(w, "%s%s%s", component, *host ? ", " : "", host);
}

void table_row_events(struct table_row *w, const struct node *n)
{
	const struct node *about = either(n, F_involvedObject, F_regarding), *series = node_get(n, F_series);
	const struct node *first = either(n, F_firstTimestamp, F_deprecatedFirstTimestamp);
	const struct node *last = either(n, F_lastTimestamp, F_deprecatedLastTimestamp);
	int64_t count = node_int(either(n, F_count, F_deprecatedCount), 0);

	if (!node_str(first).n)
		first = node_get(n, F_eventTime);
	if (!node_str(last).n)
		last = first;
	if (series) {
		last = node_get(series, F_lastObservedTime);
		count = node_int(node_get(series, F_count), 0);
	} else if (!count) {
		count = 1;
	}
	table_age(w, last);
	table_or(w, node_get(n, F_type), "");
	table_or(w, node_get(n, F_reason), "");
	event_object(w, about);
	table_or(w, node_get(about, F_fieldPath), "");
	event_source(w, n);
	table_str(w, str_trim(node_str(either(n, F_message, F_note))));
	table_age(w, first);
	table_int(w, count);
	table_name(w, n);
}

/* --- volumes --- */
static void volume_modes(struct table_row *w, const struct node *modes)
{
	static const struct {
		const char *mode, *abbr;
	} known[] = {
		{"ReadWriteOnce", "RWO"},
		{"ReadOnlyMany", "ROX"},
		{"ReadWriteMany", "RWX"},
		{"ReadWriteOncePod", "RWOP"},
	};
	struct buf *b = table_text(w);

	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		NODE_FOREACH (m, modes)
			if (node_streq(m, known[i].mode)) {
				table_join(b, ",", str_of(known[i].abbr));
				break;
			}
	table_end(w, "");
}

static void volume_phase(struct table_row *w, const struct node *n)
{
	if (meta_is_deleting(n))
		table_cstr(w, "Terminating");
	else
		table_or(w, node_path(n, F_status, F_phase), "");
}

static void volume_class(struct table_row *w, const struct node *n)
{
	const char *beta = meta_annotation(n, "volume.beta.kubernetes.io/storage-class");

	if (beta)
		table_cstr(w, beta);
	else
		table_or(w, node_path(n, F_spec, F_storageClassName), "");
}

void table_row_persistentvolumes(struct table_row *w, const struct node *n)
{
	const struct node *spec = node_get(n, F_spec), *claim = node_get(spec, F_claimRef);

	table_name(w, n);
	table_quantity(table_text(w), node_getc(node_get(spec, F_capacity), "storage"), "0");
	table_end(w, "");
	volume_modes(w, node_get(spec, F_accessModes));
	table_or(w, node_get(spec, F_persistentVolumeReclaimPolicy), "");
	volume_phase(w, n);
	if (claim)
		table_fmt(w, "%s/%s", node_gets(claim, F_namespace), node_gets(claim, F_name));
	else
		table_cstr(w, "");
	volume_class(w, n);
	table_or(w, node_get(spec, F_volumeAttributesClassName), TABLE_UNSET);
	table_or(w, node_path(n, F_status, F_reason), "");
	table_created(w, n);
	table_or(w, node_get(spec, F_volumeMode), TABLE_UNSET);
}

void table_row_persistentvolumeclaims(struct table_row *w, const struct node *n)
{
	const struct node *spec = node_get(n, F_spec), *status = node_get(n, F_status);
	bool bound = *node_gets(spec, F_volumeName);

	table_name(w, n);
	volume_phase(w, n);
	table_or(w, node_get(spec, F_volumeName), "");
	if (bound)
		table_quantity(table_text(w), node_getc(node_get(status, F_capacity), "storage"), "0");
	else
		table_text(w);
	table_end(w, "");
	volume_modes(w, bound ? node_get(status, F_accessModes) : NULL);
	volume_class(w, n);
	table_or(w, node_get(spec, F_volumeAttributesClassName), TABLE_UNSET);
	table_created(w, n);
	table_or(w, node_get(spec, F_volumeMode), TABLE_UNSET);
}
