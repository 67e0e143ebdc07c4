/*
 * EndpointSlices of Services with a selector: every pod that has an address, with
 * what it is good for: ready, serving, terminating.
 */
#include "base/time.h"
#include "ctl/service.h"

enum { OF_SERVICES, OF_SLICES, OF_NODES, OF_PODS };

#define MANAGER "endpointslice-controller.k8s.io"

void endpointslice_key(struct obj *o, struct buf *out)
{
	const struct node *root = obj_node(o);
	const char *service = meta_label(root, SLICE_SERVICE);

	if (service && streq_null(meta_label(root, SLICE_MANAGER), MANAGER))
		obj_key_print(out, o->ns, service);
}

/* Traffic that is to stay close goes to the endpoints of its own zone. */
static void endpoint_hint(struct doc *d, struct node *ep, const struct node *service, const char *zone)
{
	const char *wish = node_gets(node_get(service, F_spec), F_trafficDistribution);
	struct node *one;

	if (!streq(wish, "PreferClose") && !streq(wish, "PreferSameZone"))
		return;
	one = node_append(node_need_array(d, node_need_object(d, ep, F_hints), F_forZones), node_new(d, DOC_OBJECT));
	node_sets(d, one, F_name, zone);
}

static void endpoint_place(const struct ctl_view *v, struct doc *d, struct node *ep, const struct node *service,
			   const struct service_pod *p, bool ready)
{
	const char *name = node_gets(node_get(p->root, F_spec), F_nodeName);
	struct obj *node = *name ? informer_find(v->of[OF_NODES], "", name) : NULL;
	const char *zone = node ? meta_label(obj_node(node), "topology.kubernetes.io/zone") : NULL;

	if (*name)
		node_sets(d, ep, F_nodeName, name);
	if (!zone || !*zone)
		return;
	node_sets(d, ep, F_zone, zone);
	if (ready)
		endpoint_hint(d, ep, service, zone);
}

static struct node *endpoint_of(const struct ctl_view *v, struct doc *d, struct obj *o, const struct service_pod *p,
				const char *ip)
{
	const struct node *service = obj_node(o);
	struct node *ep = node_new(d, DOC_OBJECT), *conditions;
	const char *hostname = service_pod_hostname(p, o);
	bool publish = node_bool(node_path(service, F_spec, F_publishNotReadyAddresses), false);
	bool ready = publish || (p->pod->ready && !p->pod->terminating);

	node_append(node_need_array(d, ep, F_addresses), node_new_cstr(d, ip));
	conditions = node_need_object(d, ep, F_conditions);
	node_setb(d, conditions, F_ready, ready);
	node_setb(d, conditions, F_serving, p->pod->ready);
	node_setb(d, conditions, F_terminating, p->pod->terminating);
	if (hostname)
		node_sets(d, ep, F_hostname, hostname);
	node_set(d, ep, F_targetRef, service_pod_ref(d, p));
	endpoint_place(v, d, ep, service, p, ready);
	return ep;
}

static void endpointslice_family(const struct ctl_view *v, struct slices *s, struct obj *o, const service_pods *pods,
				 const char *family)
{
	bool six = streq(family, "IPv6");

	for (size_t i = 0; i < pods->n; i++) {
		const struct service_pod *p = &pods->v[i];
		const char *ip = service_pod_ip(p, six);

		if (ip)
			slices_add(s, family, service_pod_ports(s->doc, obj_node(o), p), endpoint_of(v, s->doc, o, p, ip));
	}
}

static const char *endpointslice_family_name(const struct node *n)
{
	return node_streq(n, "IPv6") ? "IPv6" : "IPv4";
}

int endpointslice_reconcile(const struct ctl_view *v, const char *key, struct plan *out, struct err *e UNUSED)
{
	struct obj *o = ctl_find(v->of[OF_SERVICES], key);
	service_pods pods = VEC_INIT;
	char when[TIME_NANO_LEN];
	struct slices s;
	size_t n = 0;

	if (!o || meta_is_deleting(obj_node(o)) || !service_has_pods(obj_node(o)))
		return 0;
	slices_init(&s, o, o->name, MANAGER);
	service_pods_find(v->kids[CTL_PODS], o, true, &pods);
	s.labels = service_labels(s.doc, obj_node(o));
	s.annotations = node_new(s.doc, DOC_OBJECT);
	node_setk(s.doc, s.annotations, STR_LIT(LAST_CHANGE),
		  node_new_cstr(s.doc, time_fmt_nano(when, service_last_change(o, &pods))));
	NODE_FOREACH(f, node_path(obj_node(o), F_spec, F_ipFamilies))
	{
		if (n + 1 < ARRAY_SIZE(s.families))
			s.families[n++] = endpointslice_family_name(f);
		endpointslice_family(v, &s, o, &pods, endpointslice_family_name(f));
	}
	slices_plan(&s, v->kids[CTL_SLICES], out);
	slices_release(&s);
	VEC_RELEASE(&pods);
	return 0;
}
