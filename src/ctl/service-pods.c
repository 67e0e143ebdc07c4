/*
 * Which pods are behind a Service, at which addresses and ports.
 */
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "base/time.h"
#include "ctl/service.h"

/* --- Services --- */

bool service_has_pods(const struct node *root)
{
	const struct node *spec = node_get(root, F_spec);

	return node_count(node_get(spec, F_selector)) && !node_streq(node_get(spec, F_type), "ExternalName");
}

bool service_is_headless(const struct node *root)
{
	const char *ip = node_gets(node_get(root, F_spec), F_clusterIP);

	return !*ip || streq(ip, "None");
}

struct node *service_labels(struct doc *d, const struct node *root)
{
	struct node *labels = node_new(d, DOC_OBJECT);

	NODE_FOREACH(l, meta_labels(root))
	{
		struct str key = node_key(l);

		if (!str_eq(key, str_of(SLICE_SERVICE)) && !str_eq(key, str_of(SLICE_MANAGER)) &&
		    !str_eq(key, str_of(SERVICE_HEADLESS)))
			node_setk(d, labels, key, node_copy(d, l));
	}
	if (service_is_headless(root))
		node_setk(d, labels, STR_LIT(SERVICE_HEADLESS), node_new_cstr(d, ""));
	return labels;
}

/* --- which --- */

struct service_search {
	service_pods *out;
	bool terminating;
};

static void service_pod_found(void *arg, struct kid *c)
{
	struct service_search *s = arg;
	struct service_pod p = { .pod = c };

	if (c->phase >= POD_SUCCEEDED || !c->addresses || (c->terminating && !s->terminating))
		return;
	p.root = obj_node(c->obj);
	VEC_PUSH(s->out, p);
}

static int service_pod_order(const void *pa, const void *pb)
{
	const struct service_pod *a = pa, *b = pb;

	return strcmp(a->pod->obj->name, b->pod->obj->name);
}

void service_pods_find(const struct kids *k, struct obj *o, bool terminating, service_pods *out)
{
	struct service_search search = { out, terminating };
	struct selector *s = selector_from_map(node_path(obj_node(o), F_spec, F_selector));

	kids_selected(k, o->ns, s, service_pod_found, &search);
	selector_free(s);
	if (out->n)
		qsort(out->v, out->n, sizeof(*out->v), service_pod_order);
}

/* --- what each has --- */

bool service_pod_is_ready(const struct service_pod *p, const struct node *service)
{
	return p->pod->ready || node_bool(node_path(service, F_spec, F_publishNotReadyAddresses), false);
}

const char *service_pod_ip(const struct service_pod *p, bool six)
{
	NODE_FOREACH(ip, node_path(p->root, F_status, F_podIPs))
	{
		const char *text = node_gets(ip, F_ip);

		if (*text && (strchr(text, ':') != NULL) == six)
			return text;
	}
	return NULL;
}

static int64_t service_port_in(const struct node *containers, const char *name, const char *protocol, bool sidecars)
{
	NODE_FOREACH(c, containers)
	{
		if (sidecars && !node_streq(node_get(c, F_restartPolicy), "Always"))
			continue;
		NODE_FOREACH(p, node_get(c, F_ports))
			if (node_streq(node_get(p, F_name), name) &&
			    streq(node_cstr_or(node_get(p, F_protocol), "TCP"), protocol))
				return node_int(node_get(p, F_containerPort), 0);
	}
	return 0;
}

/* The number behind a targetPort; 0: the pod has no port of that name. */
static int64_t service_port_number(const struct node *port, const struct service_pod *p)
{
	const struct node *target = node_get(port, F_targetPort), *spec = node_get(p->root, F_spec);
	const char *name = node_cstr(target), *protocol = node_cstr_or(node_get(port, F_protocol), "TCP");
	int64_t n;

	if (!name)
		return node_int(target, 0) ? node_int(target, 0) : node_int(node_get(port, F_port), 0);
	n = service_port_in(node_get(spec, F_containers), name, protocol, false);
	return n ? n : service_port_in(node_get(spec, F_initContainers), name, protocol, true);
}

struct node *service_pod_ports(struct doc *d, const struct node *service, const struct service_pod *p)
{
	struct node *ports = node_new(d, DOC_ARRAY);

	NODE_FOREACH(port, node_path(service, F_spec, F_ports))
	{
		int64_t number = service_port_number(port, p);
		struct node *one;

		if (!number)
			continue;
		one = node_append(ports, node_new(d, DOC_OBJECT));
		node_sets(d, one, F_name, node_gets(port, F_name));
		node_seti(d, one, F_port, number);
		node_sets(d, one, F_protocol, node_cstr_or(node_get(port, F_protocol), "TCP"));
		if (node_get(port, F_appProtocol))
			node_sets(d, one, F_appProtocol, node_gets(port, F_appProtocol));
	}
	return ports;
}

const char *service_pod_hostname(const struct service_pod *p, struct obj *service)
{
	const struct node *spec = node_get(p->root, F_spec);
	const char *hostname = node_gets(spec, F_hostname);

	return *hostname && node_streq(node_get(spec, F_subdomain), service->name) ? hostname : NULL;
}

struct node *service_pod_ref(struct doc *d, const struct service_pod *p)
{
	struct node *ref = node_new(d, DOC_OBJECT);

	node_sets(d, ref, F_kind, "Pod");
	node_sets(d, ref, F_namespace, p->pod->obj->ns);
	node_sets(d, ref, F_name, p->pod->obj->name);
	node_sets(d, ref, F_uid, p->pod->obj->uid);
	return ref;
}

static void service_later(int64_t *last, const struct node *when)
{
	int64_t ns;

	if (time_parse_rfc3339(node_str(when), &ns) && ns > *last)
		*last = ns;
}

int64_t service_last_change(struct obj *o, const service_pods *pods)
{
	int64_t last = 0;

	service_later(&last, node_get(meta_of(obj_node(o)), F_creationTimestamp));
	for (size_t i = 0; i < pods->n; i++)
		service_later(&last, node_get(cond_find(node_path(pods->v[i].root, F_status, F_conditions), "Ready"),
					      F_lastTransitionTime));
	return last;
}
