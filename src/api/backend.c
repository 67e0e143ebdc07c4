/*
 * Where a Service leads: the address and port of one ready endpoint, for those
 * who go there from here (the proxy subresource, webhooks). As the packet filter
 * would, without needing one.
 *
 * EndpointSlices are asked first, then Endpoints. Among several chance decides.
 * The texts, and that a port's name must be named, are those of the Service
 * storage's ResourceLocation in Kubernetes.
 */
#include "api/internal.h"

#include "base/rand.h"

struct backend_search {
	struct api *api;
	const char *ns, *service; /* names */
	bool only_pods;
	const struct node *spec; /* of the Service */
	const struct node *port; /* its port, an item of spec.ports */
	/* what was found: one of n, each as likely as another */
	unsigned n;
	char *host;
	int to;
};

static void backend_found(struct backend_search *s, const char *host, int port)
{
	if (str_empty(host) || port <= 0 || rand_below(++s->n) != 0)
		return;
	free(s->host);
	s->host = xstrdup(host);
	s->to = port;
}

/* Anybody who may write endpoints could lead the API server wherever he likes; a pod's address only its node says. */
static bool backend_is_pod(const struct backend_search *s, const struct node *target, const char *host)
{
	struct obj *pod;

	if (!s->only_pods)
		return true;
	if (!node_streq(node_get(target, F_kind), "Pod") || !node_streq(node_get(target, F_namespace), s->ns))
		return false;
	pod = store_get(s->api->store, &s->api->pods->r, s->ns, node_gets(target, F_name));
	if (!pod)
		return false;
	NODE_FOREACH(ip, node_path(obj_node(pod), F_status, F_podIPs))
		if (streq(node_gets(ip, F_ip), host))
			return true;
	return false;
}

/* The number of the endpoints' port that has the Service port's name. */
static int backend_named_port(const struct backend_search *s, const struct node *ports)
{
	NODE_FOREACH(p, ports)
		if (streq(node_gets(p, F_name), node_gets(s->port, F_name)))
			return (int)node_int(node_get(p, F_port), -1);
	return -1;
}

static bool backend_in_slice(void *arg, struct obj *o)
{
	struct backend_search *s = arg;
	const struct node *slice = obj_node(o);

	if (!streq_null(meta_label(slice, "kubernetes.io/service-name"), s->service))
		return false;
	NODE_FOREACH(ep, node_get(slice, F_endpoints))
		if (node_bool(node_path(ep, F_conditions, F_ready), true) &&
		    backend_is_pod(s, node_get(ep, F_targetRef), node_cstr(node_at(node_get(ep, F_addresses), 0))))
			backend_found(s, node_cstr(node_at(node_get(ep, F_addresses), 0)),
				      backend_named_port(s, node_get(slice, F_ports)));
	return false;
}

static void backend_in_endpoints(struct backend_search *s, struct obj *o)
{
	if (!o)
		return;
	NODE_FOREACH(subset, node_get(obj_node(o), F_subsets))
		NODE_FOREACH(a, node_get(subset, F_addresses))
			if (backend_is_pod(s, node_get(a, F_targetRef), node_gets(a, F_ip)))
				backend_found(s, node_gets(a, F_ip), backend_named_port(s, node_get(subset, F_ports)));
}

/* The visitors above match nothing, so that no list is made. */
static void backend_visit(struct api *a, const struct resource *res, const char *ns,
			  bool (*visit)(void *arg, struct obj *o), struct backend_search *s)
{
	struct store_list l = { .res = res, .ns = ns, .match = visit, .arg = s };
	_cleanup_err_ struct err e = ERR_INIT;

	if (store_list(a->store, &l, &e) == 0)
		store_list_release(&l);
}

static void backend_search(struct api *a, const char *ns, struct backend_search *s)
{
	backend_visit(a, schema_res("discovery.k8s.io", "endpointslices"), ns, backend_in_slice, s);
	if (!s->n)
		backend_in_endpoints(s, store_get(a->store, schema_res("", "endpoints"), ns, s->service));
}

static const struct node *backend_port(const struct node *spec, const char *port)
{
	int64_t n = 0;
	bool number = str_to_i64(str_of(port), &n);

	NODE_FOREACH(p, node_get(spec, F_ports))
		if (number ? node_int(node_get(p, F_port), 0) == n : streq(node_gets(p, F_name), port))
			return p;
	return NULL;
}

/* "name", as Kubernetes writes what was asked for: with its port, unless that was a number. */
static int backend_none(const char *name, const char *port, bool number, struct err *e)
{
	return err_set(e, ERR_SERVICE_UNAVAILABLE, "no endpoints available for service \"%s%s%s\"", name,
		       *port && !number ? ":" : "", number ? "" : port);
}

int backend_of_service(struct api *a, const char *ns, const char *name, const char *port, bool only_pods, char **host,
		       int *to, struct err *e)
{
	struct obj *svc = store_get(a->store, &a->services->r, ns, name);
	struct backend_search s = { .api = a, .ns = ns, .service = name, .only_pods = only_pods };
	int64_t n = 0;
	bool number = str_to_i64(str_of(port), &n);

	if (!svc)
		return err_not_found(e, &a->services->r, name);
	s.spec = node_get(obj_node(svc), F_spec);
	if (!only_pods && node_streq(node_get(s.spec, F_type), "ExternalName") && number) {
		*host = xstrdup(node_gets(s.spec, F_externalName));
		*to = (int)n;
		return 0;
	}
	s.port = backend_port(s.spec, port);
	if (!s.port && number)
		return err_set(e, ERR_SERVICE_UNAVAILABLE, "no service port %lld found for service \"%s\"", (long long)n, name);
	if (!s.port)
		return backend_none(name, port, false, e);
	backend_search(a, ns, &s);
	if (!s.host)
		return backend_none(name, port, number, e);
	*host = s.host;
	*to = s.to;
	return 0;
}
