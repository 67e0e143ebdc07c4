/*
 * Validation of Services: create, update, status. The API allocates addresses and
 * node ports before it calls this, so clusterIP is empty only for ExternalName; what it
 * allocates by was checked alone before (v_service_ips).
 */
#include "schema/valid.h"

static const char *const PROTOCOLS[] = { "SCTP", "TCP", "UDP", NULL };

static bool svc_is(const struct node *svc, const char *type)
{
	return node_streq(node_path(svc, F_spec, F_type), type);
}

static bool svc_is_headless(const struct node *svc)
{
	return node_streq(node_first(node_path(svc, F_spec, F_clusterIPs)), "None") ||
	       node_streq(node_path(svc, F_spec, F_clusterIP), "None");
}

static bool svc_is_external(const struct node *svc)
{
	return svc_is(svc, "LoadBalancer") || svc_is(svc, "NodePort") ||
	       (svc_is(svc, "ClusterIP") && node_count(node_path(svc, F_spec, F_externalIPs)) > 0);
}

static bool svc_needs_health_check(const struct node *svc)
{
	return svc_is(svc, "LoadBalancer") && node_streq(node_path(svc, F_spec, F_externalTrafficPolicy), "Local");
}

/* --- type --- */

static void svc_type(struct valid *v, const struct vpath *p, const struct node *spec)
{
	bool headless = svc_is_headless(v->root);
	struct str name = v_str(spec, F_externalName);
	const char *type = node_gets(spec, F_type);

	if (node_count(node_get(spec, F_ports)) == 0 && !headless && !streq(type, "ExternalName"))
		v_required(v, VP(p, "ports"), NULL);
	if (headless && (streq(type, "LoadBalancer") || streq(type, "NodePort"))) {
		char *text = xasprintf("may not be set to 'None' for %s services", type);

		v_invalid(v, VPI(VP(p, "clusterIPs"), 0), STR_LIT("None"), text);
		free(text);
	}
	if (!streq(type, "ExternalName"))
		return;
	if (node_count(node_get(spec, F_clusterIPs)) > 0)
		v_forbidden(v, VP(p, "clusterIPs"), "may not be set for ExternalName services");
	if (node_count(node_get(spec, F_ipFamilies)) > 0)
		v_forbidden(v, VP(p, "ipFamilies"), "may not be set for ExternalName services");
	if (node_get(spec, F_ipFamilyPolicy))
		v_forbidden(v, VP(p, "ipFamilyPolicy"), "may not be set for ExternalName services");
	if (name.n > 0 && name.p[name.n - 1] == '.')
		name.n--;
	if (name.n == 0)
		v_required(v, VP(p, "externalName"), NULL);
	else
		v_name(v, VP(p, "externalName"), name, NF_DNS_SUBDOMAIN);
}

/* --- ports --- */

static void svc_port(struct valid *v, const struct vpath *p, const struct node *n, const struct node *list)
{
	struct str name = v_str(n, F_name);

	if (name.n == 0 && node_count(list) > 1) {
		v_required(v, VP(p, "name"), NULL);
	} else if (name.n > 0) {
		v_name(v, VP(p, "name"), name, NF_DNS_LABEL);
		NODE_FOREACH(other, list) {
			if (other == n)
				break;
			if (str_eq(v_str(other, F_name), name)) {
				v_duplicate_str(v, VP(p, "name"), name);
				break;
			}
		}
	}
	v_port_number(v, VP(p, "port"), node_get(n, F_port));
	v_one_of(v, VP(p, "protocol"), node_get(n, F_protocol), PROTOCOLS);
	v_port(v, VP(p, "targetPort"), node_get(n, F_targetPort));
	if (v_str(n, F_appProtocol).n > 0)
		v_name(v, VP(p, "appProtocol"), v_str(n, F_appProtocol), NF_QUALIFIED);
	if (node_int(node_get(n, F_nodePort), 0) != 0)
		v_port_number(v, VP(p, "nodePort"), node_get(n, F_nodePort));
}

static bool svc_same_port(const struct node *a, const struct node *b, enum field f)
{
	return node_int(node_get(a, f), 0) != 0 && node_int(node_get(a, f), 0) == node_int(node_get(b, f), 0) &&
	       str_eq(v_str(a, F_protocol), v_str(b, F_protocol));
}

static void svc_port_conflicts(struct valid *v, const struct vpath *p, const struct node *n, const struct node *list)
{
	bool node_port = false, port = false;

	NODE_FOREACH(other, list) {
		if (other == n)
			break;
		node_port = node_port || svc_same_port(other, n, F_nodePort);
		port = port || svc_same_port(other, n, F_port);
	}
	if (node_port)
		v_duplicate(v, VP(p, "nodePort"), node_get(n, F_nodePort));
	if (port)
		v_duplicate(v, p, n);
}

static void svc_ports(struct valid *v, const struct vpath *p, const struct node *spec)
{
	const struct node *list = node_get(spec, F_ports);
	bool cluster = streq(node_gets(spec, F_type), "ClusterIP");
	size_t i = 0;

	NODE_FOREACH(c, list) {
		const struct vpath *at = VPI(VP(p, "ports"), i++);

		svc_port(v, at, c, list);
		if (cluster && node_int(node_get(c, F_nodePort), 0) != 0)
			v_forbidden(v, VP(at, "nodePort"), "may not be used when `type` is 'ClusterIP'");
		svc_port_conflicts(v, at, c, list);
	}
}

/* --- affinity, addresses, policies --- */

static void svc_affinity(struct valid *v, const struct vpath *p, const struct node *spec)
{
	static const char *const KINDS[] = { "ClientIP", "None", NULL };
	const struct node *kind = node_get(spec, F_sessionAffinity), *config = node_get(spec, F_sessionAffinityConfig);
	const struct node *seconds = node_path(config, F_clientIP, F_timeoutSeconds);
	const struct vpath *at = VP(p, "sessionAffinityConfig");

	v_one_of(v, VP(p, "sessionAffinity"), kind, KINDS);
	if (node_streq(kind, "None")) {
		if (config)
			v_forbidden(v, at, "must not be set when session affinity is None");
	} else if (node_streq(kind, "ClientIP")) {
		if (!config)
			v_required(v, at, "when session affinity type is ClientIP");
		else if (!node_get(config, F_clientIP))
			v_required(v, VP(at, "clientIP"), "when session affinity type is ClientIP");
		else if (node_int(seconds, 0) <= 0 || node_int(seconds, 0) > 86400)
			v_invalid_int(v, VP(VP(at, "clientIP"), "timeoutSeconds"), node_int(seconds, 0),
				      "must be greater than 0 and less than 86400");
	}
}

/* A family once each, and each address of the family at its place. */
static void svc_families(struct valid *v, const struct vpath *p, const struct node *spec)
{
	static const char *const FAMILIES[] = { "IPv4", "IPv6", NULL };
	static const char *const POLICIES[] = { "PreferDualStack", "RequireDualStack", "SingleStack", NULL };
	const struct node *list = node_get(spec, F_ipFamilies);

	v_each_of(v, VP(p, "ipFamilies"), list, FAMILIES);
	if (node_get(spec, F_ipFamilyPolicy))
		v_may_be(v, p, spec, F_ipFamilyPolicy, POLICIES);
}

static void svc_family_of(struct valid *v, const struct vpath *p, const struct node *ip, const struct node *family, size_t i)
{
	bool v6 = node_streq(family, "IPv6");

	if ((!v6 && !node_streq(family, "IPv4")) || str_is_ip6(node_str(ip)) == v6)
		return;
	v_invalidf(v, VPI(p, i), ip, "expected an %s value as indicated by `ipFamilies[%zu]`", v6 ? "IPv6" : "IPv4", i);
}

static void svc_cluster_ips(struct valid *v, const struct vpath *p, const struct node *spec)
{
	const struct node *ips = node_get(spec, F_clusterIPs), *family = node_first(node_get(spec, F_ipFamilies));
	const struct vpath *at = VP(p, "clusterIPs");
	size_t before = v->n, i = 0;

	NODE_FOREACH(c, ips) {
		if (i == 0 && node_streq(c, "None")) {
			if (node_count(ips) > 1)
				v_invalid_node(v, at, ips, "'None' must be the first and only value");
		} else {
			v_ip(v, VPI(at, i), node_str(c));
		}
		i++;
	}
	if (node_count(ips) > 2)
		v_invalid_node(v, at, ips, "may only hold up to 2 values");
	if (v->n > before || svc_is_headless(v->root))
		return;
	if (node_count(ips) == 2 && str_is_ip6(node_str(node_at(ips, 0))) == str_is_ip6(node_str(node_at(ips, 1))))
		v_invalid_node(v, at, ips, "may specify no more than one IP for each IP family");
	i = 0;
	for (const struct node *c = node_first(ips); c && family; c = c->next, family = family->next)
		svc_family_of(v, at, c, family, i++);
}

void v_service_ips(struct valid *v)
{
	const struct node *spec = node_get(v->root, F_spec);
	const struct node *ips = node_get(spec, F_clusterIPs), *ip = node_get(spec, F_clusterIP);
	const struct vpath *p = VP(NULL, "spec");

	if (svc_is(v->root, "ExternalName"))
		return;
	if (node_str(ip).n > 0 && node_count(ips) == 0)
		v_required(v, VP(p, "clusterIPs"), NULL);
	else if (node_str(ip).n > 0 && !v_same(node_first(ips), ip))
		v_invalid_node(v, VP(p, "clusterIPs"), ips, "first value must match `clusterIP`");
	else if (node_str(ip).n == 0 && node_count(ips) > 0)
		v_invalid_node(v, VP(p, "clusterIPs"), ips, "must be empty when `clusterIP` is not specified");
	svc_families(v, p, spec);
	svc_cluster_ips(v, p, spec);
}

static void svc_addresses(struct valid *v, const struct vpath *p, const struct node *spec)
{
	const struct node *external = node_get(spec, F_externalIPs);
	size_t i = 0;

	v_service_ips(v);
	NODE_FOREACH(c, external) {
		const struct vpath *at = VPI(VP(p, "externalIPs"), i++);

		if (str_is_ip(node_str(c)))
			v_endpoint_ip(v, at, node_str(c));
		else
			v_ip(v, at, node_str(c));
	}
}

static void svc_range_annotation(struct valid *v, bool lb)
{
	static const char RANGES[] = "service.beta.kubernetes.io/load-balancer-source-ranges";
	const char *text = meta_annotation(v->root, RANGES), *was = meta_annotation(v->old, RANGES);
	const struct vpath *p = VPK(VP(VP(NULL, "metadata"), "annotations"), str_of(RANGES));

	if (!text)
		return;
	if (!lb)
		v_forbidden(v, p, "may only be used when `type` is 'LoadBalancer'");
	if ((was && streq(was, text)) || str_trim(str_of(text)).n == 0)
		return;
	for (struct str rest = str_of(text); rest.p;)
		v_cidr(v, p, str_trim(str_cut(&rest, ',')));
}

static void svc_load_balancer(struct valid *v, const struct vpath *p, const struct node *spec)
{
	bool lb = streq(node_gets(spec, F_type), "LoadBalancer");
	const struct node *ranges = node_get(spec, F_loadBalancerSourceRanges);
	size_t i = 0;

	if (node_count(ranges) > 0 && !lb)
		v_forbidden(v, VP(p, "LoadBalancerSourceRanges"), "may only be used when `type` is 'LoadBalancer'");
	NODE_FOREACH(c, ranges)
		v_cidr(v, VPI(VP(p, "LoadBalancerSourceRanges"), i++), str_trim(node_str(c)));
	if (node_count(ranges) == 0)
		svc_range_annotation(v, lb);
	if (node_get(spec, F_allocateLoadBalancerNodePorts) && !lb)
		v_forbidden(v, VP(p, "allocateLoadBalancerNodePorts"),
			    "may only be used when `type` is 'LoadBalancer'");
	if (node_get(spec, F_loadBalancerClass) && !lb)
		v_forbidden(v, VP(p, "loadBalancerClass"), "may only be used when `type` is 'LoadBalancer'");
	else if (node_get(spec, F_loadBalancerClass))
		v_name(v, VP(p, "loadBalancerClass"), v_str(spec, F_loadBalancerClass), NF_QUALIFIED);
}

static void svc_policies(struct valid *v, const struct vpath *p, const struct node *spec)
{
	static const char *const TRAFFIC[] = { "Cluster", "Local", NULL };
	static const char *const DISTRIBUTION[] = { "PreferClose", "PreferSameZone", "PreferSameNode", NULL };
	const struct node *external = node_get(spec, F_externalTrafficPolicy);
	int64_t health = node_int(node_get(spec, F_healthCheckNodePort), 0);

	if (svc_is_external(v->root))
		v_one_of(v, VP(p, "externalTrafficPolicy"), external, TRAFFIC);
	else if (!v_empty(external))
		v_invalid_node(v, VP(p, "externalTrafficPolicy"), external,
			       "may only be set for externally-accessible services");
	if (svc_needs_health_check(v->root)) {
		if (health != 0)
			v_range(v, VP(p, "healthCheckNodePort"), node_get(spec, F_healthCheckNodePort), 1, 65535);
	} else if (health != 0) {
		v_invalid_int(v, VP(p, "healthCheckNodePort"), health,
			      "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'");
	}
	if (node_get(spec, F_internalTrafficPolicy))
		v_one_of(v, VP(p, "internalTrafficPolicy"), node_get(spec, F_internalTrafficPolicy), TRAFFIC);
	else if (!svc_is(v->root, "ExternalName"))
		v_required(v, VP(p, "internalTrafficPolicy"), NULL);
	if (node_get(spec, F_trafficDistribution))
		v_one_of(v, VP(p, "trafficDistribution"), node_get(spec, F_trafficDistribution), DISTRIBUTION);
}

/* --- update --- */

/* An address or family list: its first stays, a second may come, and may go with 'SingleStack'. */
static void svc_fixed_list(struct valid *v, const struct vpath *p, const struct node *now, const struct node *old,
			   enum field f, const char *what)
{
	const struct node *a = node_get(now, f), *b = node_get(old, f);
	const struct vpath *at = VP(p, doc_field_name(f));
	bool cluster = f == F_clusterIPs;
	size_t i = 0;

	if (node_count(a) == node_count(b)) {
		for (const struct node *x = node_first(a), *y = node_first(b); x && y; x = x->next, y = y->next) {
			if (!node_equal(x, y))
				v_invalid_node(v, VPI(at, cluster ? i : 0), a, "may not change once set");
			i++;
		}
		return;
	}
	if (node_count(a) == 0 && node_count(node_get(now, F_clusterIPs)) == 0) {
		_cleanup_free_ char *why = xasprintf("primary %s can not be unset", what);

		v_invalid_node(v, VPI(at, 0), a, why);
	}
	if (node_count(a) > 0 && node_count(b) > 0 && !node_equal(node_first(a), node_first(b)))
		v_invalid_node(v, VPI(at, 0), a, "may not change once set");
	if (node_count(a) == 1 && node_count(b) > 1 && !node_streq(node_get(now, F_ipFamilyPolicy), "SingleStack"))
		v_invalidf(v, VP(p, "ipFamilyPolicy"), node_get(now, F_ipFamilyPolicy),
			   "must be set to 'SingleStack' when releasing the secondary %s", what);
}

static void svc_update(struct valid *v, const struct vpath *p, const struct node *now, const struct node *old)
{
	bool was_headless = svc_is_headless(v->old), headless = svc_is_headless(v->root);

	if (!svc_is(v->old, "ExternalName") && !svc_is(v->root, "ExternalName")) {
		if (!(was_headless && headless))
			svc_fixed_list(v, p, now, old, F_clusterIPs, "clusterIP");
		if (!was_headless && !headless)
			svc_fixed_list(v, p, now, old, F_ipFamilies, "ipFamily");
	}
	if (svc_is(v->old, "LoadBalancer") && svc_is(v->root, "LoadBalancer") &&
	    !v_same(node_get(now, F_loadBalancerClass), node_get(old, F_loadBalancerClass)))
		v_invalid_node(v, VP(p, "loadBalancerClass"), node_get(now, F_loadBalancerClass),
			       "may not change once set");
	if (svc_needs_health_check(v->old) && svc_needs_health_check(v->root) &&
	    !v_same(node_get(old, F_healthCheckNodePort), node_get(now, F_healthCheckNodePort)))
		v_forbidden(v, VP(p, "healthCheckNodePort"), "field is immutable");
}

static void svc_status(struct valid *v)
{
	static const char *const MODES[] = { "Proxy", "VIP", NULL };
	const struct vpath *p = VP(VP(VP(NULL, "status"), "loadBalancer"), "ingress");
	size_t i = 0;

	if (!svc_is(v->root, "LoadBalancer") &&
	    node_count(node_path(v->root, F_status, F_loadBalancer, F_ingress)) > 0) {
		v_forbidden(v, p, "may only be used when `spec.type` is 'LoadBalancer'");
		return;
	}
	NODE_FOREACH(c, node_path(v->root, F_status, F_loadBalancer, F_ingress)) {
		const struct vpath *at = VPI(p, i++);
		struct str host = v_str(c, F_hostname);

		if (v_str(c, F_ip).n > 0)
			v_ip(v, VP(at, "ip"), v_str(c, F_ip));
		if (!node_get(c, F_ipMode) && v_str(c, F_ip).n > 0)
			v_required(v, VP(at, "ipMode"), "must be specified when `ip` is set");
		else if (node_get(c, F_ipMode) && v_str(c, F_ip).n == 0)
			v_forbidden(v, VP(at, "ipMode"), "may not be specified when `ip` is not set");
		else
			v_may_be(v, at, c, F_ipMode, MODES);
		v_may_name(v, at, c, F_hostname, NF_DNS_SUBDOMAIN);
		if (host.n > 0 && str_is_ip(host))
			v_invalid(v, VP(at, "hostname"), host, "must be a DNS name, not an IP address");
	}
}

static void svc_annotations(struct valid *v)
{
	static const char MODE[] = "service.kubernetes.io/topology-mode";
	static const char HINTS[] = "service.kubernetes.io/topology-aware-hints";
	const char *mode = meta_annotation(v->root, MODE), *hints = meta_annotation(v->root, HINTS);

	if (mode && hints && !streq(mode, hints))
		v_invalid(v, VPK(VP(VP(NULL, "metadata"), "annotations"), str_of(MODE)), str_of(mode),
			  "must match annotations[service.kubernetes.io/topology-aware-hints] when both are specified");
}

void v_service(struct valid *v)
{
	static const char *const TYPES[] = { "ClusterIP", "ExternalName", "LoadBalancer", "NodePort", NULL };
	const struct node *spec = node_get(v->root, F_spec);
	const struct vpath *p = VP(NULL, "spec");

	if (streq(v->sub, "status")) {
		svc_status(v);
		return;
	}
	if (v->old)
		svc_update(v, p, spec, node_get(v->old, F_spec));
	svc_annotations(v);
	svc_type(v, p, spec);
	svc_ports(v, p, spec);
	v_labels(v, VP(p, "selector"), node_get(spec, F_selector));
	svc_affinity(v, p, spec);
	svc_addresses(v, p, spec);
	v_one_of(v, VP(p, "type"), node_get(spec, F_type), TYPES);
	svc_load_balancer(v, p, spec);
	svc_policies(v, p, spec);
}
