/*
 * Validation of what describes the network beside Services: Ingress, IngressClass,
 * NetworkPolicy, IPAddress, ServiceCIDR, Endpoints, EndpointSlice.
 */
#include "schema/valid.h"

#include "base/limits.h"

static const char *const PROTOCOLS[] = { "SCTP", "TCP", "UDP", NULL };

/* --- Ingress --- */

static void v_object_ref(struct valid *v, const struct vpath *p, const struct node *n)
{
	if (node_get(n, F_apiGroup))
		v_name(v, VP(p, "apiGroup"), v_str(n, F_apiGroup), NF_DNS_SUBDOMAIN);
	if (v_str(n, F_kind).n == 0)
		v_required(v, VP(p, "kind"), "kind is required");
	else
		v_name(v, VP(p, "kind"), v_str(n, F_kind), NF_PATH_SEGMENT);
	if (v_str(n, F_name).n == 0)
		v_required(v, VP(p, "name"), "name is required");
	else
		v_name(v, VP(p, "name"), v_str(n, F_name), NF_PATH_SEGMENT);
}

static void v_backend_service(struct valid *v, const struct vpath *p, const struct node *n)
{
	const struct node *port = node_get(n, F_port);
	const struct vpath *at = VP(p, "service");
	int64_t number = node_int(node_get(port, F_number), 0);

	v_need_name(v, at, n, F_name, NF_DNS1035_LABEL);
	if (v_str(port, F_name).n > 0 && number != 0)
		v_invalid(v, p, STR_LIT(""), "cannot set both port name & port number");
	else if (v_str(port, F_name).n > 0)
		v_name(v, VP(VP(at, "port"), "name"), v_str(port, F_name), NF_PORT_NAME);
	else if (number != 0)
		v_port_number(v, VP(VP(at, "port"), "number"), node_get(port, F_number));
	else
		v_required(v, p, "port name or number is required");
}

static void v_backend(struct valid *v, const struct vpath *p, const struct node *n)
{
	const struct node *resource = node_get(n, F_resource), *service = node_get(n, F_service);

	if (resource && service)
		v_invalid(v, p, STR_LIT(""), "cannot set both resource and service backends");
	else if (resource)
		v_object_ref(v, VP(p, "resource"), resource);
	else if (service)
		v_backend_service(v, p, service);
	else
		v_invalid(v, p, STR_LIT(""), "resource or service backend is required");
}

static void v_strict_path(struct valid *v, const struct vpath *p, struct str path)
{
	static const char *const INSIDE[] = { "//", "/./", "/../", "%2f", "%2F" };
	static const char *const AT_END[] = { "/..", "/." };
	_cleanup_free_ char *text = str_dup(path);

	for (size_t i = 0; i < ARRAY_SIZE(INSIDE); i++) {
		_cleanup_free_ char *why = xasprintf("must not contain '%s'", INSIDE[i]);

		if (strstr(text, INSIDE[i]))
			v_invalid(v, p, path, why);
	}
	for (size_t i = 0; i < ARRAY_SIZE(AT_END); i++) {
		_cleanup_free_ char *why = xasprintf("cannot end with '%s'", AT_END[i]);

		if (str_ends(path, str_of(AT_END[i])))
			v_invalid(v, p, path, why);
	}
}

static void v_ingress_path(struct valid *v, const struct vpath *p, const struct node *n)
{
	static const char *const TYPES[] = { "Exact", "ImplementationSpecific", "Prefix", NULL };
	struct str type = v_str(n, F_pathType), path = v_str(n, F_path);
	bool strict = str_eqc(type, "Exact") || str_eqc(type, "Prefix");

	if (type.n == 0) {
		v_required(v, VP(p, "pathType"), "pathType must be specified");
		return;
	}
	if (!v_is_one_of(type, TYPES))
		v_unsupported(v, VP(p, "pathType"), type, TYPES);
	else if ((strict || path.n > 0) && (path.n == 0 || path.p[0] != '/'))
		v_invalid(v, VP(p, "path"), path, "must be an absolute path");
	if (strict && path.n > 0)
		v_strict_path(v, VP(p, "path"), path);
	v_backend(v, VP(p, "backend"), node_get(n, F_backend));
}

static void v_host(struct valid *v, const struct vpath *p, struct str host)
{
	v_name(v, p, host, str_find(host, '*') >= 0 ? NF_WILDCARD : NF_DNS_SUBDOMAIN);
}

static void v_ingress_rule(struct valid *v, const struct vpath *p, const struct node *n)
{
	const struct node *http = node_get(n, F_http);
	const struct vpath *at = VP(VP(p, "http"), "paths");
	struct str host = v_str(n, F_host);

	if (host.n > 0 && str_is_ip(host))
		v_invalid(v, VP(p, "host"), host, "must be a DNS name, not an IP address");
	else if (host.n > 0)
		v_host(v, VP(p, "host"), host);
	if (!http)
		return;
	if (node_count(node_get(http, F_paths)) == 0)
		v_required(v, at, NULL);
	v_each(v, at, node_get(http, F_paths), v_ingress_path);
}

static void v_ingress_tls(struct valid *v, const struct vpath *p, const struct node *n)
{
	size_t i = 0;

	NODE_FOREACH(c, node_get(n, F_hosts))
		v_host(v, VPI(VP(p, "hosts"), i++), node_str(c));
	v_may_name(v, p, n, F_secretName, NF_DNS_SUBDOMAIN);
}

static void v_ingress_status(struct valid *v, const struct vpath *p, const struct node *n)
{
	struct str host = v_str(n, F_hostname);

	if (v_str(n, F_ip).n > 0)
		v_ip(v, VP(p, "ip"), v_str(n, F_ip));
	if (host.n == 0)
		return;
	v_name(v, VP(p, "hostname"), host, NF_DNS_SUBDOMAIN);
	if (str_is_ip(host))
		v_invalid(v, VP(p, "hostname"), host, "must be a DNS name, not an IP address");
}

void v_ingress(struct valid *v)
{
	static const char CLASS[] = "kubernetes.io/ingress.class";
	const struct node *spec = node_get(v->root, F_spec), *backend = node_get(spec, F_defaultBackend);
	const char *old_class = meta_annotation(v->root, CLASS);
	const struct vpath *p = VP(NULL, "spec");

	if (streq(v->sub, "status")) {
		v_each(v, VP(VP(VP(NULL, "status"), "loadBalancer"), "ingress"),
		       node_path(v->root, F_status, F_loadBalancer, F_ingress), v_ingress_status);
		return;
	}
	if (node_count(node_get(spec, F_rules)) == 0 && !backend)
		v_invalid_node(v, p, node_get(spec, F_rules), "either `defaultBackend` or `rules` must be specified");
	if (backend)
		v_backend(v, VP(p, "defaultBackend"), backend);
	v_each(v, VP(p, "rules"), node_get(spec, F_rules), v_ingress_rule);
	v_each(v, VP(p, "tls"), node_get(spec, F_tls), v_ingress_tls);
	if (node_get(spec, F_ingressClassName))
		v_name(v, VP(p, "ingressClassName"), v_str(spec, F_ingressClassName), NF_DNS_SUBDOMAIN);
	if (!v->old && old_class && node_get(spec, F_ingressClassName) &&
	    !node_streq(node_get(spec, F_ingressClassName), old_class))
		v_invalid(v, VP(VP(NULL, "annotations"), CLASS), str_of(old_class),
			  "must match `ingressClassName` when both are specified");
}

/* --- IngressClass --- */

static void v_class_parameters(struct valid *v, const struct vpath *p, const struct node *n)
{
	static const char *const SCOPES[] = { "Cluster", "Namespace", NULL };
	const struct node *scope = node_get(n, F_scope), *ns = node_get(n, F_namespace);

	v_object_ref(v, p, n);
	if (!scope) {
		v_required(v, VP(p, "scope"), NULL);
		return;
	}
	v_may_be(v, p, n, F_scope, SCOPES);
	if (node_streq(scope, "Namespace") && !ns)
		v_required(v, VP(p, "namespace"), "`parameters.scope` is set to 'Namespace'");
	else if (node_streq(scope, "Namespace"))
		v_name(v, VP(p, "namespace"), node_str(ns), NF_DNS_LABEL);
	else if (node_streq(scope, "Cluster") && ns)
		v_forbidden(v, VP(p, "namespace"), "`parameters.scope` is set to 'Cluster'");
}

void v_ingress_class(struct valid *v)
{
	enum { MAX_CONTROLLER = 250 };
	const struct node *spec = node_get(v->root, F_spec), *params = node_get(spec, F_parameters);
	const struct vpath *p = VP(NULL, "spec");
	struct str controller = v_str(spec, F_controller);

	if (v->old)
		v_fixed(v, p, spec, node_get(v->old, F_spec), F_controller);
	if (controller.n > MAX_CONTROLLER)
		v_too_long(v, VP(p, "controller"), MAX_CONTROLLER);
	v_domain_path(v, VP(p, "controller"), controller);
	if (params)
		v_class_parameters(v, VP(p, "parameters"), params);
}

/* --- NetworkPolicy --- */

static void v_policy_port(struct valid *v, const struct vpath *p, const struct node *n)
{
	static const char *const KINDS[] = { "TCP", "UDP", "SCTP", NULL };
	const struct node *port = node_get(n, F_port), *end = node_get(n, F_endPort);

	v_may_be(v, p, n, F_protocol, KINDS);
	if (!port) {
		if (end)
			v_invalid_node(v, VP(p, "endPort"), end, "may not be specified when `port` is not specified");
		return;
	}
	if (!node_is(port, DOC_INT) && end)
		v_invalid_node(v, VP(p, "endPort"), end, "may not be specified when `port` is non-numeric");
	v_port(v, VP(p, "port"), port);
	if (!node_is(port, DOC_INT) || !end)
		return;
	if (node_int(end, 0) < node_int(port, 0))
		v_invalid_node(v, VP(p, "endPort"), port, "must be greater than or equal to `port`");
	v_port_number(v, VP(p, "endPort"), end);
}

static void v_ip_block(struct valid *v, const struct vpath *p, const struct node *n)
{
	struct str cidr = v_str(n, F_cidr);
	struct v_addr net, except;
	size_t i = 0;

	if (cidr.n == 0) {
		v_required(v, VP(p, "cidr"), NULL);
		return;
	}
	v_cidr(v, VP(p, "cidr"), cidr);
	if (!v_parse_cidr(cidr, &net))
		return;
	NODE_FOREACH(c, node_get(n, F_except)) {
		const struct vpath *at = VPI(VP(p, "except"), i++);

		v_cidr(v, at, node_str(c));
		if (v_parse_cidr(node_str(c), &except) && (!v_addr_in(&net, &except) || net.bits >= except.bits))
			v_invalid(v, at, node_str(c), "must be a strict subset of `cidr`");
	}
}

static void v_policy_peer(struct valid *v, const struct vpath *p, const struct node *n)
{
	static const enum field SELECTORS[] = { F_podSelector, F_namespaceSelector };
	const struct node *block = node_get(n, F_ipBlock);
	unsigned peers = block != NULL;

	for (size_t i = 0; i < ARRAY_SIZE(SELECTORS); i++) {
		const struct node *sel = node_get(n, SELECTORS[i]);

		peers += sel != NULL;
		v_label_selector(v, VP(p, doc_field_name(SELECTORS[i])), sel);
	}
	if (block)
		v_ip_block(v, VP(p, "ipBlock"), block);
	if (peers == 0)
		v_required(v, p, "must specify a peer");
	else if (peers > 1 && block)
		v_forbidden(v, p, "may not specify both ipBlock and another peer");
}

static void v_policy_rule(struct valid *v, const struct vpath *p, const struct node *n)
{
	v_each(v, VP(p, "ports"), node_get(n, F_ports), v_policy_port);
	v_each(v, VP(p, "from"), node_get(n, F_from), v_policy_peer);
	v_each(v, VP(p, "to"), node_get(n, F_to), v_policy_peer);
}

void v_network_policy(struct valid *v)
{
	static const char *const TYPES[] = { "Ingress", "Egress", NULL };
	const struct node *spec = node_get(v->root, F_spec), *types = node_get(spec, F_policyTypes);
	const struct vpath *p = VP(NULL, "spec");
	size_t i = 0;

	v_label_selector(v, VP(p, "podSelector"), node_get(spec, F_podSelector));
	v_each(v, VP(p, "ingress"), node_get(spec, F_ingress), v_policy_rule);
	v_each(v, VP(p, "egress"), node_get(spec, F_egress), v_policy_rule);
	if (node_count(types) > 2) {
		v_invalid_node(v, VP(p, "policyTypes"), types, "may not specify more than two policyTypes");
		return;
	}
	NODE_FOREACH(c, types) {
		if (!v_is_one_of(node_str(c), TYPES))
			v_unsupported(v, VPI(VP(p, "policyTypes"), i), node_str(c), TYPES);
		i++;
	}
}

/* --- IPAddress, ServiceCIDR --- */

static void v_address_name(struct valid *v, const struct vpath *p, struct str name)
{
	struct v_addr a;

	if (!v_parse_ip(name, &a) || a.odd) {
		_cleanup_free_ char *text = xasprintf("ParseAddr(\"%" STR_FMT "\"): unable to parse IP", STR_ARG(name));

		v_invalid(v, p, name, text);
	} else if (!a.is_mapped && !str_eqc(name, a.text)) {
		v_invalid(v, p, name, "must be a canonical format IP address");
	}
}

void v_ip_address(struct valid *v)
{
	const struct node *spec = node_get(v->root, F_spec), *ref = node_get(spec, F_parentRef);
	const struct vpath *p = VP(VP(NULL, "spec"), "parentRef");

	if (v->old) {
		v_fixed(v, VP(NULL, "spec"), spec, node_get(v->old, F_spec), F_parentRef);
		return;
	}
	v_address_name(v, VP(VP(NULL, "metadata"), "name"), str_of(meta_name(v->root)));
	if (!ref) {
		v_required(v, p, NULL);
		return;
	}
	v_may_name(v, p, ref, F_group, NF_DNS_SUBDOMAIN);
	v_need_name(v, p, ref, F_resource, NF_PATH_SEGMENT);
	v_need_name(v, p, ref, F_name, NF_PATH_SEGMENT);
	v_may_name(v, p, ref, F_namespace, NF_PATH_SEGMENT);
}

static void v_strict_cidr(struct valid *v, const struct vpath *p, struct str s)
{
	ssize_t slash = str_find(s, '/');
	struct v_addr net, host;

	if (!v_parse_cidr(s, &net) || net.odd || net.is_mapped || !v_parse_ip(str_sub(s, 0, slash), &host)) {
		_cleanup_free_ char *text = xasprintf("netip.ParsePrefix(\"%" STR_FMT "\"): %s", STR_ARG(s),
						      slash < 0 ? "no '/'" : "unable to parse IP");

		v_invalid(v, p, s, text);
		return;
	}
	if (memcmp(host.b, net.b, sizeof(host.b)) != 0)
		v_invalid(v, p, s, "wrong CIDR format, IP doesn't match network IP address");
	else if (!str_eqc(s, net.text))
		v_invalid(v, p, s, "CIDR not in RFC 5952 canonical format");
}

void v_service_cidr(struct valid *v)
{
	const struct node *spec = node_get(v->root, F_spec), *list = node_get(spec, F_cidrs);
	const struct node *old = node_path(v->old, F_spec, F_cidrs);
	const struct vpath *p = VP(VP(NULL, "spec"), "cidrs");
	size_t i = 0;

	if (streq(v->sub, "status"))
		return;
	if (v->old && v_same(list, old))
		return;
	if (v->old && !(node_count(old) == 1 && node_count(list) == 2 && v_same(node_first(list), node_first(old)))) {
		v_invalid_node(v, p, list, "field is immutable");
		return;
	}
	if (node_count(list) == 0) {
		v_required(v, p, "at least one CIDR required");
	} else if (node_count(list) > 2) {
		v_invalid_node(v, p, spec, "may only hold up to 2 values");
	} else if (node_count(list) == 2 &&
		   (str_find(node_str(node_at(list, 0)), ':') >= 0) == (str_find(node_str(node_at(list, 1)), ':') >= 0)) {
		v_invalid_node(v, p, spec,
			       "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and "
			       "2001:db8::/64");
	} else {
		NODE_FOREACH(c, list)
			v_strict_cidr(v, VPI(p, i++), node_str(c));
	}
}

/* --- Endpoints --- */

/* The API's own endpoints are what the server listens on, which may be the loopback alone. */
static bool is_own_endpoint(const struct valid *v)
{
	return streq(meta_name(v->root), "kubernetes") && streq(meta_ns(v->root), "default");
}

static void v_endpoint_address(struct valid *v, const struct vpath *p, const struct node *n)
{
	struct str ip = v_str(n, F_ip);

	v_ip(v, VP(p, "ip"), ip);
	v_may_name(v, p, n, F_hostname, NF_DNS_LABEL);
	if (node_get(n, F_nodeName))
		v_name(v, VP(p, "nodeName"), v_str(n, F_nodeName), NF_DNS_SUBDOMAIN);
	if (!is_own_endpoint(v))
		v_endpoint_ip(v, VP(p, "ip"), ip);
}

static void v_endpoint_port(struct valid *v, const struct vpath *p, const struct node *n, bool named)
{
	if (named)
		v_need_name(v, p, n, F_name, NF_DNS_LABEL);
	else
		v_may_name(v, p, n, F_name, NF_DNS_LABEL);
	v_port_number(v, VP(p, "port"), node_get(n, F_port));
	v_one_of(v, VP(p, "protocol"), node_get(n, F_protocol), PROTOCOLS);
	if (node_get(n, F_appProtocol))
		v_name(v, VP(p, "appProtocol"), v_str(n, F_appProtocol), NF_QUALIFIED);
}

static void v_subset(struct valid *v, const struct vpath *p, const struct node *n)
{
	static const enum field LISTS[] = { F_addresses, F_notReadyAddresses };
	const struct node *ports = node_get(n, F_ports);
	size_t i = 0;

	if (node_count(node_get(n, F_addresses)) == 0 && node_count(node_get(n, F_notReadyAddresses)) == 0)
		v_required(v, p, "must specify `addresses` or `notReadyAddresses`");
	for (size_t k = 0; k < ARRAY_SIZE(LISTS); k++)
		v_each(v, VP(p, doc_field_name(LISTS[k])), node_get(n, LISTS[k]), v_endpoint_address);
	NODE_FOREACH(c, ports)
		v_endpoint_port(v, VPI(VP(p, "ports"), i++), c, node_count(ports) > 1);
}

void v_endpoints(struct valid *v)
{
	const struct node *subsets = node_get(v->root, F_subsets);

	if (!v->old || !v_same(subsets, node_get(v->old, F_subsets)))
		v_each(v, VP(NULL, "subsets"), subsets, v_subset);
}

/* --- EndpointSlice --- */

static void v_fqdn(struct valid *v, const struct vpath *p, struct str s)
{
	const char *m[NAME_MSGS];

	if (s.n == 0) {
		v_required(v, p, NULL);
		return;
	}
	if (s.p[s.n - 1] == '.')
		s.n--;
	if (name_messages(NF_DNS_SUBDOMAIN, s, false, m) > 0)
		v_invalid(v, p, s, m[0]);
	else if (str_find(s, '.') < 0)
		v_invalid(v, p, s, "should be a domain with at least two segments separated by dots");
}

static void v_slice_address(struct valid *v, const struct vpath *p, struct str s, struct str type)
{
	bool v6 = str_eqc(type, "IPv6");

	if (str_eqc(type, "FQDN")) {
		v_fqdn(v, p, s);
	} else if (v6 || str_eqc(type, "IPv4")) {
		if (!str_is_ip(s) || str_is_ip6(s) != v6)
			v_invalid(v, p, s, v6 ? "must be a valid IPv6 address" : "must be a valid IPv4 address");
		if (!is_own_endpoint(v))
			v_endpoint_ip(v, p, s);
	}
}

static void v_hints(struct valid *v, const struct vpath *p, const struct node *list)
{
	enum { MAX_HINTS = 8 };
	size_t i = 0;

	if (node_count(list) > MAX_HINTS) {
		v_too_many(v, p, node_count(list), MAX_HINTS);
		return;
	}
	NODE_FOREACH(c, list) {
		const struct vpath *at = VP(VPI(p, i++), "name");

		NODE_FOREACH(other, list) {
			if (other == c)
				break;
			if (str_eq(v_str(other, F_name), v_str(c, F_name))) {
				v_duplicate_str(v, at, v_str(c, F_name));
				break;
			}
		}
		v_name(v, at, v_str(c, F_name), NF_LABEL_VALUE);
	}
}

static void v_slice_endpoint(struct valid *v, const struct vpath *p, const struct node *n)
{
	enum { MAX_ADDRESSES = 100, MAX_TOPOLOGY = 16 };
	const struct node *list = node_get(n, F_addresses), *topology = node_get(n, F_deprecatedTopology);
	struct str type = v_str(v->root, F_addressType);
	size_t i = 0;

	if (node_count(list) == 0)
		v_required(v, VP(p, "addresses"), "must contain at least 1 address");
	else if (node_count(list) > MAX_ADDRESSES)
		v_too_many(v, VP(p, "addresses"), node_count(list), MAX_ADDRESSES);
	NODE_FOREACH(c, list)
		v_slice_address(v, VPI(VP(p, "addresses"), i++), node_str(c), type);
	if (node_get(n, F_nodeName))
		v_name(v, VP(p, "nodeName"), v_str(n, F_nodeName), NF_DNS_SUBDOMAIN);
	if (node_count(topology) > MAX_TOPOLOGY)
		v_too_many(v, VP(p, "deprecatedTopology"), node_count(topology), MAX_TOPOLOGY);
	v_labels(v, VP(p, "deprecatedTopology"), topology);
	if (node_get(n, F_hostname))
		v_name(v, VP(p, "hostname"), v_str(n, F_hostname), NF_DNS_LABEL);
	v_hints(v, VP(VP(p, "hints"), "forZones"), node_path(n, F_hints, F_forZones));
	v_hints(v, VP(VP(p, "hints"), "forNodes"), node_path(n, F_hints, F_forNodes));
}

static void v_slice_port(struct valid *v, const struct vpath *p, const struct node *n)
{
	const struct node *list = node_get(v->root, F_ports);

	v_may_name(v, p, n, F_name, NF_DNS_LABEL);
	NODE_FOREACH(other, list) {
		if (other == n || node_count(list) > LIMIT_LIST_ITEMS)
			break;
		if (str_eq(v_str(other, F_name), v_str(n, F_name))) {
			v_duplicate_str(v, VP(p, "name"), v_str(n, F_name));
			break;
		}
	}
	v_one_of(v, VP(p, "protocol"), node_get(n, F_protocol), PROTOCOLS);
	if (node_get(n, F_appProtocol))
		v_name(v, VP(p, "appProtocol"), v_str(n, F_appProtocol), NF_QUALIFIED);
}

void v_endpoint_slice(struct valid *v)
{
	static const char *const TYPES[] = { "FQDN", "IPv4", "IPv6", NULL };
	enum { MAX_ENDPOINTS = 1000, MAX_PORTS = 20000 };
	static const struct {
		enum field field;
		size_t max;
		v_rule *rule;
	} LISTS[] = { { F_endpoints, MAX_ENDPOINTS, v_slice_endpoint }, { F_ports, MAX_PORTS, v_slice_port } };

	v_one_of(v, VP(NULL, "addressType"), node_get(v->root, F_addressType), TYPES);
	for (size_t i = 0; i < ARRAY_SIZE(LISTS); i++) {
		const struct node *list = node_get(v->root, LISTS[i].field);
		const struct vpath *at = VP(NULL, doc_field_name(LISTS[i].field));

		if (node_count(list) > LISTS[i].max)
			v_too_many(v, at, node_count(list), LISTS[i].max);
		else
			v_each(v, at, list, LISTS[i].rule);
	}
	if (v->old)
		v_fixed(v, NULL, v->root, v->old, F_addressType);
}
