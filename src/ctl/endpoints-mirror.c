/*
 * EndpointSlices of Endpoints that somebody wrote by hand: for Services without a
 * selector, so that what reads slices need not read both.
 */
#include "ctl/service.h"

#include <string.h>

enum { OF_ENDPOINTS, OF_SERVICES, OF_SLICES };

#define MANAGER "endpointslicemirroring-controller.k8s.io"
#define MIRROR_MAX 1000 /* addresses of a subset, as --mirroring-max-endpoints-per-subset */

void endpoints_mirror_key(struct obj *o, struct buf *out)
{
	const struct node *root = obj_node(o);
	const char *service = meta_label(root, SLICE_SERVICE);

	if (service && streq_null(meta_label(root, SLICE_MANAGER), MANAGER))
		obj_key_print(out, o->ns, service);
}

static bool mirror_wanted(struct obj *endpoints, struct obj *service)
{
	const struct node *root = obj_node(endpoints);

	return service && !node_count(node_path(obj_node(service), F_spec, F_selector)) &&
	       !streq_null(meta_label(root, SLICE_SKIP_MIRROR), "true") &&
	       !meta_annotation(root, "control-plane.alpha.kubernetes.io/leader");
}

static struct node *mirror_copy(struct doc *d, const struct node *map, const char *const *without)
{
	struct node *copy = node_new(d, DOC_OBJECT);

	NODE_FOREACH(m, map)
	{
		bool skip = false;

		for (size_t i = 0; without[i]; i++)
			skip |= str_eq(node_key(m), str_of(without[i]));
		if (!skip)
			node_setk(d, copy, node_key(m), node_copy(d, m));
	}
	return copy;
}

static struct node *mirror_endpoint(struct doc *d, const struct node *address, bool ready)
{
	static const enum field same[] = { F_hostname, F_nodeName, F_targetRef };
	struct node *ep = node_new(d, DOC_OBJECT);

	node_append(node_need_array(d, ep, F_addresses), node_new_cstr(d, node_gets(address, F_ip)));
	node_setb(d, node_need_object(d, ep, F_conditions), F_ready, ready);
	for (size_t i = 0; i < ARRAY_SIZE(same); i++)
		if (node_get(address, same[i]))
			node_set(d, ep, same[i], node_copy(d, node_get(address, same[i])));
	return ep;
}

static struct node *mirror_ports(struct doc *d, const struct node *subset)
{
	struct node *ports = node_new(d, DOC_ARRAY);

	NODE_FOREACH(p, node_get(subset, F_ports))
	{
		struct node *one = node_append(ports, node_copy(d, p));

		if (!node_get(one, F_name))
			node_sets(d, one, F_name, "");
	}
	return ports;
}

static void mirror_family(struct slices *s, const char *family)
{
	size_t n = 0;

	while (s->families[n] && !streq(s->families[n], family))
		n++;
	s->families[n] = family;
}

static void mirror_addresses(struct slices *s, const struct node *list, struct node *ports, bool ready, size_t *left)
{
	NODE_FOREACH(a, list)
	{
		const char *family = strchr(node_gets(a, F_ip), ':') ? "IPv6" : "IPv4";

		if (!*left)
			return;
		--*left;
		mirror_family(s, family);
		slices_add(s, family, ports, mirror_endpoint(s->doc, a, ready));
	}
}

int endpoints_mirror_reconcile(const struct ctl_view *v, const char *key, struct plan *out, struct err *e UNUSED)
{
	static const char *const not_labels[] = { SLICE_SERVICE, SLICE_MANAGER, SERVICE_HEADLESS, NULL };
	static const char *const not_annotations[] = { "kubectl.kubernetes.io/last-applied-configuration", LAST_CHANGE,
						       "endpoints.kubernetes.io/over-capacity", NULL };
	struct obj *o = ctl_find(v->of[OF_ENDPOINTS], key), *service = ctl_find(v->of[OF_SERVICES], key);
	struct slices s;

	if (!o || meta_is_deleting(obj_node(o)))
		return 0;
	slices_init(&s, o, o->name, MANAGER);
	if (mirror_wanted(o, service)) {
		s.labels = mirror_copy(s.doc, meta_labels(obj_node(o)), not_labels);
		s.annotations = mirror_copy(s.doc, node_get(meta_of(obj_node(o)), F_annotations), not_annotations);
		if (service_is_headless(obj_node(service)))
			node_setk(s.doc, s.labels, STR_LIT(SERVICE_HEADLESS), node_new_cstr(s.doc, ""));
		NODE_FOREACH(subset, node_get(obj_node(o), F_subsets))
		{
			struct node *ports = mirror_ports(s.doc, subset);
			size_t left = MIRROR_MAX;

			mirror_addresses(&s, node_get(subset, F_addresses), ports, true, &left);
			mirror_addresses(&s, node_get(subset, F_notReadyAddresses), ports, false, &left);
		}
	}
	slices_plan(&s, v->kids[CTL_SLICES], out);
	slices_release(&s);
	return 0;
}
