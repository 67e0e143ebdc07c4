/*
 * The IP families of a Service: ipFamilyPolicy, ipFamilies and clusterIPs, as
 * kube-apiserver works them out before it validates (its registry of Services).
 *
 * They depend on the networks that the cluster was started with: the first one's
 * family is the default, two make dual stack possible. A create that says nothing
 * is SingleStack; without selector and headless it is RequireDualStack, on any
 * cluster. An update goes up to two families by PreferDualStack or
 * RequireDualStack, and back by SingleStack alone; whoever leaves the policy out
 * keeps it. A Service that prefers two is never changed by the way.
 */
#include "api/alloc.h"

/* --- clusterIP and clusterIPs, and what an update left out --- */

static bool list_same(const struct node *a, const struct node *b)
{
	if (node_count(a) != node_count(b))
		return false;
	return node_count(a) == 0 || node_equal(a, b);
}

static void list_one(struct doc *d, struct node *spec, enum field f, const char *only)
{
	struct node *list = node_set(d, spec, f, node_new(d, DOC_ARRAY));

	node_append(list, node_new_cstr(d, only));
}

static void keep_cluster_ips(struct doc *d, struct node *spec, const struct node *old)
{
	const char *was = node_gets(old, F_clusterIP);

	if (!service_has_ip(spec) || !service_has_ip(old))
		return;
	if (!*node_gets(spec, F_clusterIP) && *was)
		node_sets(d, spec, F_clusterIP, was);
	if (node_count(node_get(spec, F_clusterIPs)) == 0 && streq(node_gets(spec, F_clusterIP), was) &&
	    node_get(old, F_clusterIPs))
		node_set(d, spec, F_clusterIPs, node_copy(d, node_get(old, F_clusterIPs)));
}

static int64_t port_of_name(const struct node *ports, const char *name)
{
	NODE_FOREACH(p, ports)
		if (streq(node_gets(p, F_name), name))
			return node_int(node_get(p, F_nodePort), 0);
	return 0;
}

static bool has_node_port(const struct node *ports, int64_t number)
{
	NODE_FOREACH(p, ports)
		if (node_int(node_get(p, F_nodePort), 0) == number)
			return true;
	return false;
}

/* By the ports' names; one that another port has now is not given twice. */
static void keep_node_ports(struct doc *d, struct node *spec, const struct node *old)
{
	struct node *ports = node_get(spec, F_ports);

	if (!service_wants_node_ports(spec) || !service_has_node_ports(old))
		return;
	NODE_FOREACH(p, ports) {
		int64_t was = port_of_name(node_get(old, F_ports), node_gets(p, F_name));

		if (!node_int(node_get(p, F_nodePort), 0) && was && !has_node_port(ports, was))
			node_seti(d, p, F_nodePort, was);
	}
}

void alloc_normalize(struct doc *d, struct node *spec, const struct node *old)
{
	const char *ip, *was = node_gets(old, F_clusterIP);
	int64_t health = node_int(node_get(old, F_healthCheckNodePort), 0);

	if (old) {
		keep_cluster_ips(d, spec, old);
		keep_node_ports(d, spec, old);
		if (health && service_wants_health_port(spec) && service_wants_health_port(old) &&
		    !node_int(node_get(spec, F_healthCheckNodePort), 0))
			node_seti(d, spec, F_healthCheckNodePort, health);
	}
	ip = node_gets(spec, F_clusterIP);
	if (!old) {
		if (*ip && node_count(node_get(spec, F_clusterIPs)) == 0)
			list_one(d, spec, F_clusterIPs, ip);
	} else if (!streq(ip, was) && list_same(node_get(spec, F_clusterIPs), node_get(old, F_clusterIPs))) {
		if (*ip)
			list_one(d, spec, F_clusterIPs, ip);
		else
			node_remove(spec, F_clusterIPs);
	}
}

/* --- faults: all that are found at once --- */

struct faults {
	struct req *r;
	struct {
		const char *field, *body;
	} v[8];
	size_t n;
};

static void fault_add(struct faults *f, const char *field, const struct node *value, const char *why)
{
	_cleanup_buf_ struct buf b = BUF_INIT;

	if (f->n == ARRAY_SIZE(f->v))
		return;
	doc_print_json(&b, value, DOC_PRINT_COMPACT);
	f->v[f->n].field = field;
	f->v[f->n++].body = arena_printf(f->r->arena, "Invalid value: %s: %s", b.s, why);
}

static int faults_set(const struct faults *f, struct err *e)
{
	_cleanup_buf_ struct buf b = BUF_INIT;

	if (!f->n)
		return 0;
	for (size_t i = 0; i < f->n; i++)
		buf_addf(&b, "%s%s: %s", i ? ", " : "", f->v[i].field, f->v[i].body);
	err_set(e, ERR_INVALID, "Service \"%s\" is invalid: %s%s%s", f->r->at.name, f->n > 1 ? "[" : "", b.s,
		f->n > 1 ? "]" : "");
	err_about(e, "", "Service", f->r->at.name);
	for (size_t i = 0; i < f->n; i++)
		err_add_cause(e, "FieldValueInvalid", f->v[i].field, "%s", f->v[i].body);
	return -e->code;
}

/* --- families --- */

static bool policy_is(const struct node *spec, const char *policy)
{
	return node_streq(node_get(spec, F_ipFamilyPolicy), policy);
}

static void policy_default(struct doc *d, struct node *spec, const struct node *old)
{
	const char *policy = "SingleStack";

	if (*node_gets(spec, F_ipFamilyPolicy))
		return;
	if (*node_gets(old, F_ipFamilyPolicy))
		policy = node_gets(old, F_ipFamilyPolicy);
	else if (service_is_headless(spec) && node_count(node_get(spec, F_selector)) == 0)
		policy = "RequireDualStack";
	node_sets(d, spec, F_ipFamilyPolicy, policy);
}

static void list_truncate(struct node *list)
{
	while (node_count(list) > 1)
		node_remove_child(list, node_at(list, node_count(list) - 1));
}

static bool list_is_reduced(const struct node *now, const struct node *old)
{
	return node_count(now) > 0 && node_count(now) < node_count(old);
}

/* SingleStack alone is enough to give the second family back; nothing else does. */
static void families_of_update(struct faults *f, struct node *spec, const struct node *old)
{
	static const struct {
		enum field field;
		const char *why;
	} lists[] = {
		{ F_clusterIPs, "must be 'SingleStack' to release the secondary cluster IP" },
		{ F_ipFamilies, "must be 'SingleStack' to release the secondary IP family" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
		struct node *now = node_get(spec, lists[i].field), *was = node_get(old, lists[i].field);

		if (policy_is(spec, "SingleStack")) {
			if (list_same(now, was))
				list_truncate(now);
		} else if (list_is_reduced(now, was)) {
			fault_add(f, "spec.ipFamilyPolicy", node_get(spec, F_ipFamilyPolicy), lists[i].why);
		}
	}
}

static void families_check_single(struct faults *f, const struct node *spec)
{
	const struct node *policy = node_get(spec, F_ipFamilyPolicy);

	if (!policy_is(spec, "SingleStack"))
		return;
	if (node_count(node_get(spec, F_clusterIPs)) == 2)
		fault_add(f, "spec.ipFamilyPolicy", policy,
			  "must be 'RequireDualStack' or 'PreferDualStack' when multiple cluster IPs are specified");
	if (node_count(node_get(spec, F_ipFamilies)) == 2)
		fault_add(f, "spec.ipFamilyPolicy", policy,
			  "must be 'RequireDualStack' or 'PreferDualStack' when multiple IP families are specified");
}

static void families_from_ips(struct faults *f, struct doc *d, struct node *spec)
{
	const struct alloc *al = f->r->api->alloc;
	size_t i = 0;

	NODE_FOREACH(ip, node_get(spec, F_clusterIPs)) {
		bool six = str_find(node_str(ip), ':') >= 0;

		if (node_streq(ip, "None"))
			break;
		if (i++ < node_count(node_get(spec, F_ipFamilies)))
			continue;
		if (!al->has[six])
			fault_add(f, arena_printf(f->r->arena, "spec.clusterIPs[%zu]", i - 1), node_get(spec, F_clusterIPs),
				  six ? "IPv6 is not configured on this cluster" : "IPv4 is not configured on this cluster");
		else
			node_append(node_need_array(d, spec, F_ipFamilies), node_new_cstr(d, alloc_family_name(six)));
	}
}

static void families_check_cluster(struct faults *f, const struct node *spec)
{
	const struct alloc *al = f->r->api->alloc;
	size_t i = 0;

	if (policy_is(spec, "RequireDualStack") && !(al->has[0] && al->has[1]))
		fault_add(f, "spec.ipFamilyPolicy", node_get(spec, F_ipFamilyPolicy),
			  "this cluster is not configured for dual-stack services");
	NODE_FOREACH(family, node_get(spec, F_ipFamilies)) {
		if (!al->has[node_streq(family, "IPv6")])
			fault_add(f, arena_printf(f->r->arena, "spec.ipFamilies[%zu]", i), family,
				  "not configured on this cluster");
		i++;
	}
}

/* The default family, and the other one where two are wished for. */
static void families_fill(const struct alloc *al, struct doc *d, struct node *spec, bool both)
{
	struct node *list = node_need_array(d, spec, F_ipFamilies);

	if (node_count(list) == 0)
		node_append(list, node_new_cstr(d, alloc_family_name(al->six_first)));
	if (both && node_count(list) == 1 && !policy_is(spec, "SingleStack"))
		node_append(list, node_new_cstr(d, alloc_family_name(!node_streq(node_first(list), "IPv6"))));
}

bool alloc_families_stay(const struct node *spec, const struct node *old)
{
	return old && *node_gets(spec, F_ipFamilyPolicy) && streq(node_gets(old, F_type), node_gets(spec, F_type)) &&
	       service_has_ip(spec) && policy_is(spec, "PreferDualStack") &&
	       (!*node_gets(old, F_ipFamilyPolicy) || policy_is(old, "PreferDualStack")) &&
	       list_same(node_get(spec, F_clusterIPs), node_get(old, F_clusterIPs)) &&
	       list_same(node_get(spec, F_ipFamilies), node_get(old, F_ipFamilies));
}

int alloc_families(struct req *r, struct doc *d, struct node *spec, const struct node *old, struct err *e)
{
	const struct alloc *al = r->api->alloc;
	struct faults f = { .r = r };

	if (!service_has_ip(spec) || alloc_families_stay(spec, old))
		return 0;
	policy_default(d, spec, old);
	if (schema_validate_service_ips(r->st, doc_root(d), e) < 0)
		return -e->code;
	if (old)
		families_of_update(&f, spec, old);
	families_check_single(&f, spec);
	families_from_ips(&f, d, spec);
	if (faults_set(&f, e) < 0)
		return -e->code;
	if (service_is_headless(spec) && node_count(node_get(spec, F_selector)) == 0) {
		families_fill(al, d, spec, true);
		return 0;
	}
	families_check_cluster(&f, spec);
	if (faults_set(&f, e) < 0)
		return -e->code;
	families_fill(al, d, spec, al->has[0] && al->has[1]);
	return 0;
}
