/*
 * An IPAddress for each address of a Service, as kube-apiserver's allocator and its
 * repair controller keep them: named by the address, with the Service as its
 * parentRef. The API chooses addresses without them (api/alloc.c); they are made and
 * deleted here, so that everybody sees who has which address, and those that others
 * made stay theirs.
 *
 * A key is a Service ("ns/name"), and the addresses that are in question behind it:
 * those that it has or had ("ns/name 10.43.0.7 fd43::7"), or the one that claims to
 * be its ("ns/name 10.43.0.7").
 */
#include "base/ip.h"
#include "ctl/internal.h"

enum { OF_SERVICES, OF_ADDRESSES, OF_CIDRS };

#define MANAGED_BY "ipaddress.kubernetes.io/managed-by"
#define FAMILY "ipaddress.kubernetes.io/ip-family"
#define ALLOCATOR "ipallocator.k8s.io"

bool ipaddress_is_managed(const struct node *root)
{
	return streq_null(meta_label(root, MANAGED_BY), ALLOCATOR);
}

static const char *address_family(const char *ip)
{
	return strchr(ip, ':') ? "IPv6" : "IPv4";
}

/* --- keys --- */

void ipaddress_key_of_service(struct obj *o, struct buf *out)
{
	const struct node *ips = node_path(obj_node(o), F_spec, F_clusterIPs);

	if (node_count(ips) == 0 || node_streq(node_first(ips), "None"))
		return;
	obj_key_print(out, o->ns, o->name);
	NODE_FOREACH(ip, ips)
		buf_addf(out, " %s", node_cstr_or(ip, ""));
}

static const struct node *address_parent(struct obj *o)
{
	return node_path(obj_node(o), F_spec, F_parentRef);
}

void ipaddress_key(struct obj *o, struct buf *out)
{
	const struct node *ref = address_parent(o);

	buf_addf(out, "%s/%s %s", node_gets(ref, F_namespace), node_gets(ref, F_name), o->name);
}

/* --- one address of one Service --- */

struct claim {
	const struct ctl_view *v;
	struct plan *out;
	const char *ns, *name;
	struct obj *service; /* NULL: there is none of that name */
	const char *ip;
};

static bool service_has(struct obj *service, const char *ip)
{
	NODE_FOREACH(n, service ? node_path(obj_node(service), F_spec, F_clusterIPs) : NULL)
		if (node_streq(n, ip))
			return true;
	return false;
}

static bool address_is_in_range(const struct claim *c)
{
	struct ip_addr a;
	struct ip_prefix p;

	if (!ip_parse(&a, str_of(c->ip)))
		return false;
	for (struct obj *o = NULL; (o = informer_next(c->v->of[OF_CIDRS], NULL, o));)
		NODE_FOREACH(n, node_path(obj_node(o), F_spec, F_cidrs))
			if (ip_prefix_parse(&p, node_str(n)) && ip_prefix_has(&p, &a))
				return true;
	return false;
}

static void address_create(const struct claim *c)
{
	struct doc *d = doc_new();
	struct node *meta, *labels, *ref;

	doc_set_root(d, node_new(d, DOC_OBJECT));
	meta = node_need_object(d, doc_root(d), F_metadata);
	node_sets(d, meta, F_name, c->ip);
	labels = node_need_object(d, meta, F_labels);
	node_setk(d, labels, STR_LIT(FAMILY), node_new_cstr(d, address_family(c->ip)));
	node_setk(d, labels, STR_LIT(MANAGED_BY), node_new_cstr(d, ALLOCATOR));
	ref = node_need_object(d, node_need_object(d, doc_root(d), F_spec), F_parentRef);
	node_sets(d, ref, F_resource, "services");
	node_sets(d, ref, F_namespace, c->ns);
	node_sets(d, ref, F_name, c->name);
	plan_create(c->out, schema_res("networking.k8s.io", "ipaddresses"), NULL, d);
}

static void address_delete(const struct claim *c, struct obj *o)
{
	plan_delete(c->out, o->res, NULL, o->name, o->uid);
}

static void address_make_anew(const struct claim *c, struct obj *o)
{
	if (!ipaddress_is_managed(obj_node(o)))
		plan_event(c->out, c->service, "Warning", "ClusterIPNotAllocated",
			   "the ClusterIP [%s]: %s for Service %s/%s has a wrong reference; repairing", address_family(c->ip),
			   c->ip, c->ns, c->name);
	address_delete(c, o);
	plan_then(c->out);
	address_create(c);
}

static bool address_is_of_services(struct obj *o)
{
	const struct node *ref = address_parent(o);

	return !*node_gets(ref, F_group) && streq(node_gets(ref, F_resource), "services");
}

static bool address_is_of(const struct claim *c, struct obj *o)
{
	const struct node *ref = address_parent(o);

	return address_is_of_services(o) && streq(node_gets(ref, F_namespace), c->ns) && streq(node_gets(ref, F_name), c->name);
}

static bool address_has_labels(const struct claim *c, struct obj *o)
{
	return ipaddress_is_managed(obj_node(o)) && streq_null(meta_label(obj_node(o), FAMILY), address_family(c->ip));
}

/* The Service has this address: so it must be its. */
static void claim_keep(const struct claim *c, struct obj *o)
{
	const struct node *ref = o ? address_parent(o) : NULL;
	struct obj *other;

	if (!address_is_in_range(c)) {
		if (informer_count(c->v->of[OF_CIDRS]))
			plan_event(c->out, c->service, "Warning", "ClusterIPOutOfRange",
				   "Cluster IP [%s]: %s is not within any configured Service CIDR; please recreate service",
				   address_family(c->ip), c->ip);
		return;
	}
	if (!o) {
		address_create(c);
		return;
	}
	if (address_is_of(c, o)) {
		if (!address_has_labels(c, o))
			address_make_anew(c, o);
		return;
	}
	other = address_is_of_services(o) ?
			informer_find(c->v->of[OF_SERVICES], node_gets(ref, F_namespace), node_gets(ref, F_name)) : NULL;
	if (service_has(other, c->ip))
		plan_event(c->out, c->service, "Warning", "ClusterIPAlreadyAllocated",
			   "Cluster IP [%s]:%s was assigned to multiple services; please recreate service",
			   address_family(c->ip), c->ip);
	else
		address_make_anew(c, o);
}

/* The Service does not have this address: so it must not be its. */
static void claim_drop(const struct claim *c, struct obj *o)
{
	const struct node *ref = address_parent(o);

	if (!ipaddress_is_managed(obj_node(o)))
		return;
	if (!address_is_of_services(o))
		plan_event(c->out, o, "Warning", "IPAddressNotAllocated",
			   "IPAddress %s appears to have been modified, not referencing a Service %s/%s: cleaning up", o->name,
			   node_gets(ref, F_namespace), node_gets(ref, F_name));
	else if (!address_is_of(c, o))
		return;
	address_delete(c, o);
}

static void claim_check(struct claim *c, const char *ip)
{
	struct obj *o = informer_find(c->v->of[OF_ADDRESSES], "", ip);

	c->ip = ip;
	if (service_has(c->service, ip))
		claim_keep(c, o);
	else if (o)
		claim_drop(c, o);
}

int ipaddress_reconcile(const struct ctl_view *v, const char *key, struct plan *out, struct err *e UNUSED)
{
	struct str rest = str_of(key), service = str_cut(&rest, ' ');
	_cleanup_free_ char *name = str_dup(service), *ns = str_dup(str_cut(&service, '/'));
	struct claim c = { .v = v, .out = out, .ns = ns, .name = name + strlen(ns) + 1 };

	c.service = informer_find(v->of[OF_SERVICES], ns, c.name);
	while (rest.p) {
		_cleanup_free_ char *ip = str_dup(str_cut(&rest, ' '));

		claim_check(&c, ip);
	}
	return 0;
}
