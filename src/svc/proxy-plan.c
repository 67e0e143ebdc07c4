/*
 * What a Service and its EndpointSlices ask of this node, as plain structs. The
 * rules are kube-proxy's: which Services are left alone, which endpoints serve
 * which traffic (traffic policies, topology hints, KEP-1669's terminating
 * endpoints), which addresses count.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/map.h"
#include "base/time.h"
#include "svc/proxy.h"

#define PROXY_NAME_LABEL "service.kubernetes.io/service-proxy-name"
#define PROXY_MAX_TARGETS 200000 /* ports times endpoints of one Service */
#define PROXY_MAX_ADDRESSES 1000 /* external ones, or source ranges, of one Service */

/* --- the choice --- */

static bool proxy_is_draining(const struct proxy_endpoint *e)
{
	return !e->ready && e->serving && e->terminating;
}

enum proxy_hints { HINTS_NONE, HINTS_NODE, HINTS_ZONE };

/* Hints count when every ready endpoint has some, and one is meant for us. */
static enum proxy_hints proxy_hints(const struct proxy_endpoint *v, size_t n)
{
	bool all_node = true, all_zone = true, for_node = false, for_zone = false;

	for (size_t i = 0; i < n; i++) {
		if (!v[i].ready)
			continue;
		all_node = all_node && v[i].node_hints;
		all_zone = all_zone && v[i].zone_hints;
		for_node = for_node || v[i].for_node;
		for_zone = for_zone || v[i].for_zone;
	}
	return all_node && for_node ? HINTS_NODE : all_zone && for_zone ? HINTS_ZONE : HINTS_NONE;
}

static void proxy_choose_cluster(const struct proxy_endpoint *v, size_t n, struct proxy_choice *c)
{
	enum proxy_hints hints = proxy_hints(v, n);

	for (size_t i = 0; i < n; i++)
		if (v[i].ready && (hints == HINTS_NONE || (hints == HINTS_NODE ? v[i].for_node : v[i].for_zone)))
			c->cluster[c->n_cluster++] = v[i].to;
	for (size_t i = 0, none = c->n_cluster == 0; none && i < n; i++)
		if (proxy_is_draining(&v[i]))
			c->cluster[c->n_cluster++] = v[i].to;
}

static void proxy_choose_local(const struct proxy_endpoint *v, size_t n, struct proxy_choice *c)
{
	for (size_t i = 0; i < n; i++) {
		c->any = c->any || v[i].ready || proxy_is_draining(&v[i]);
		if (v[i].local && v[i].ready)
			c->local[c->n_local++] = v[i].to;
	}
	for (size_t i = 0, none = c->n_local == 0; none && i < n; i++)
		if (v[i].local && proxy_is_draining(&v[i]))
			c->local[c->n_local++] = v[i].to;
}

void proxy_choose(const struct proxy_endpoint *v, size_t n, bool use_cluster, bool use_local, struct proxy_choice *c)
{
	c->n_cluster = c->n_local = 0;
	c->any = false;
	if (use_cluster)
		proxy_choose_cluster(v, n, c);
	c->any = c->n_cluster > 0;
	if (use_local)
		proxy_choose_local(v, n, c);
}

/* --- slices --- */

typedef VEC(struct proxy_endpoint) proxy_endpoints;
typedef VEC(struct doc *) proxy_docs;

struct proxy_make {
	struct proxy_plan *p;
	const struct proxy_view *view;
	const struct node *root, *spec;
	proxy_docs docs; /* of the slices */
	size_t max; /* endpoints of one port */
};

/* What no packet may be sent to by others' wish: loopback, link-local, multicast, nowhere. */
static bool proxy_may_lead_to(const struct net_addr *a)
{
	static const uint8_t nowhere[16] = { 0 }, loopback[16] = { [15] = 1 };

	if (a->family == AF_INET)
		return a->b[0] != 0 && a->b[0] != 127 && a->b[0] < 224 && !(a->b[0] == 169 && a->b[1] == 254);
	return memcmp(a->b, nowhere, 16) != 0 && memcmp(a->b, loopback, 16) != 0 && a->b[0] != 0xff &&
	       !(a->b[0] == 0xfe && (a->b[1] & 0xc0) == 0x80);
}

static bool proxy_has_hint(const struct node *list, const char *name)
{
	NODE_FOREACH(h, list)
		if (*name && node_streq(node_get(h, F_name), name))
			return true;
	return false;
}

static bool proxy_read_endpoint(const struct proxy_make *m, const struct node *ep, int family, uint16_t port,
				struct proxy_endpoint *out)
{
	const struct node *cond = node_get(ep, F_conditions), *hints = node_get(ep, F_hints);
	const char *address = node_cstr(node_first(node_get(ep, F_addresses)));

	*out = (struct proxy_endpoint){ .to.port = port };
	if (!address || !net_addr_parse(&out->to.addr, address) || out->to.addr.family != family ||
	    !proxy_may_lead_to(&out->to.addr))
		return false;
	out->ready = node_bool(node_get(cond, F_ready), true);
	out->serving = node_bool(node_get(cond, F_serving), true);
	out->terminating = node_bool(node_get(cond, F_terminating), false);
	out->local = node_streq(node_get(ep, F_nodeName), m->view->node_name);
	out->zone_hints = node_count(node_get(hints, F_forZones)) > 0;
	out->for_zone = proxy_has_hint(node_get(hints, F_forZones), m->view->zone);
	out->node_hints = node_count(node_get(hints, F_forNodes)) > 0;
	out->for_node = proxy_has_hint(node_get(hints, F_forNodes), m->view->node_name);
	return true;
}

static uint16_t proxy_slice_port(const struct node *slice, const char *name, const char *protocol)
{
	NODE_FOREACH(p, node_get(slice, F_ports)) {
		int64_t port = node_int(node_get(p, F_port), 0);

		if (streq(node_gets(p, F_name), name) && streq(node_cstr_or(node_get(p, F_protocol), "TCP"), protocol) &&
		    port > 0 && port <= 65535)
			return (uint16_t)port;
	}
	return 0;
}

static int proxy_cmp(const void *a, const void *b)
{
	const struct proxy_endpoint *x = a, *y = b;
	int c = memcmp(x->to.addr.b, y->to.addr.b, sizeof(x->to.addr.b));

	if (!c)
		c = (x->to.port > y->to.port) - (x->to.port < y->to.port);
	return c ? c : (int)y->ready - (int)x->ready;
}

/* In order, each once (the ready one of two), so that what is the same looks the same. */
static void proxy_sort(proxy_endpoints *v)
{
	size_t k = 0;

	if (v->n)
		qsort(v->v, v->n, sizeof(*v->v), proxy_cmp);
	for (size_t i = 0; i < v->n; i++)
		if (!k || v->v[k - 1].to.port != v->v[i].to.port ||
		    !net_addr_equal(&v->v[k - 1].to.addr, &v->v[i].to.addr))
			v->v[k++] = v->v[i];
	v->n = k;
}

static void proxy_gather(struct proxy_make *m, const char *name, const char *protocol, int family, proxy_endpoints *out)
{
	struct proxy_endpoint one;

	for (size_t i = 0; i < m->docs.n; i++) {
		const struct node *slice = doc_root(m->docs.v[i]);
		uint16_t port = proxy_slice_port(slice, name, protocol);

		if (!port || !streq(node_gets(slice, F_addressType), family == AF_INET6 ? "IPv6" : "IPv4"))
			continue;
		NODE_FOREACH(ep, node_get(slice, F_endpoints)) {
			if (!proxy_read_endpoint(m, ep, family, port, &one))
				continue;
			if (out->n < m->max)
				VEC_PUSH(out, one);
			else
				m->p->dropped++;
		}
	}
	proxy_sort(out);
}

/* --- the Service --- */

static bool proxy_is_ours(const struct node *root)
{
	const struct node *spec = node_get(root, F_spec);
	const char *ip = node_gets(spec, F_clusterIP);

	return !node_streq(node_get(spec, F_type), "ExternalName") && *ip && !streq(ip, "None") &&
	       !meta_label(root, PROXY_NAME_LABEL);
}

static struct net_addr *proxy_addrs(struct proxy_make *m, const struct node *list, int family, bool ingress, size_t *n)
{
	size_t room = node_count(list);
	struct net_addr *v;

	room = room < PROXY_MAX_ADDRESSES ? room : PROXY_MAX_ADDRESSES;
	v = arena_alloc(m->p->arena, (room + 1) * sizeof(*v));
	*n = 0;
	NODE_FOREACH(x, list) {
		const char *text = ingress ? node_gets(x, F_ip) : node_cstr(x);

		if (*n == room || (ingress && node_streq(node_get(x, F_ipMode), "Proxy")))
			continue;
		if (text && net_addr_parse(&v[*n], text) && v[*n].family == family)
			++*n;
	}
	return v;
}

/* Where the node itself is among those who may, the load balancer's address is, too: a packet of the node to it may
 * come back with that for its source. */
static void proxy_sources(struct proxy_make *m, struct net_service_port *p)
{
	const struct node *list = node_get(m->spec, F_loadBalancerSourceRanges);
	size_t room = node_count(list) < PROXY_MAX_ADDRESSES ? node_count(list) : PROXY_MAX_ADDRESSES;
	struct net_prefix *v = arena_alloc(m->p->arena, (room + p->n_lb + 1) * sizeof(*v));
	bool node = false;

	p->sources = v;
	p->restricted = node_count(list) > 0;
	NODE_FOREACH(x, list) {
		struct str text = node_str(x);
		char *trimmed = arena_memdupz(m->p->arena, text.p ? text.p : "", text.n), *end;

		trimmed += strspn(trimmed, " \t");
		for (end = trimmed + strlen(trimmed); end > trimmed && (end[-1] == ' ' || end[-1] == '\t');)
			*--end = '\0';
		if (p->n_sources == room || !net_prefix_parse(&v[p->n_sources], trimmed))
			continue;
		node = node || net_prefix_has(&v[p->n_sources], &m->view->node_ip);
		p->n_sources++;
	}
	for (size_t i = 0; node && i < p->n_lb; i++)
		v[p->n_sources++] = (struct net_prefix){ p->lb[i], 8 * (unsigned)net_addr_len(&p->lb[i]) };
}

static void proxy_choose_for(struct proxy_make *m, struct net_service_port *p, const char *protocol)
{
	bool external = p->node_port || p->n_external || p->n_lb;
	proxy_endpoints all = VEC_INIT;
	struct proxy_choice c = { 0 };

	proxy_gather(m, p->name, protocol, p->family, &all);
	c.cluster = arena_alloc(m->p->arena, (all.n + 1) * sizeof(*c.cluster));
	c.local = arena_alloc(m->p->arena, (all.n + 1) * sizeof(*c.local));
	proxy_choose(all.v, all.n, !p->internal_local || external, p->internal_local || (p->external_local && external),
		     &c);
	p->cluster = c.cluster;
	p->n_cluster = c.n_cluster;
	p->local = c.local;
	p->n_local = c.n_local;
	p->any = c.any;
	m->p->endpoints += c.n_cluster + c.n_local;
	VEC_RELEASE(&all);
}

static uint32_t proxy_affinity(const struct node *spec)
{
	int64_t s = node_int(node_path(spec, F_sessionAffinityConfig, F_clientIP, F_timeoutSeconds), 10800);

	return node_streq(node_get(spec, F_sessionAffinity), "ClientIP") && s > 0 && s <= 86400 ? (uint32_t)s : 0;
}

static void proxy_add_port(struct proxy_make *m, const struct node *port, const struct net_addr *ip)
{
	const char *protocol = node_cstr_or(node_get(port, F_protocol), "TCP");
	int64_t number = node_int(node_get(port, F_port), 0), node_port = node_int(node_get(port, F_nodePort), 0);
	struct net_service_port p = {
		.name = arena_strdup(m->p->arena, node_gets(port, F_name)), .family = ip->family, .cluster_ip = *ip,
		.protocol = streq(protocol, "UDP") ? IPPROTO_UDP : streq(protocol, "SCTP") ? IPPROTO_SCTP : IPPROTO_TCP,
		.internal_local = node_streq(node_get(m->spec, F_internalTrafficPolicy), "Local"),
		.external_local = node_streq(node_get(m->spec, F_externalTrafficPolicy), "Local"),
		.affinity_s = proxy_affinity(m->spec),
	};

	if (number <= 0 || number > 65535)
		return;
	p.port = (uint16_t)number;
	p.node_port = node_port > 0 && node_port <= 65535 ? (uint16_t)node_port : 0;
	p.external = proxy_addrs(m, node_get(m->spec, F_externalIPs), ip->family, false, &p.n_external);
	p.lb = proxy_addrs(m, node_path(m->root, F_status, F_loadBalancer, F_ingress), ip->family, true, &p.n_lb);
	if (!node_streq(node_get(m->spec, F_type), "LoadBalancer"))
		p.n_lb = 0;
	proxy_sources(m, &p);
	proxy_choose_for(m, &p, protocol);
	VEC_PUSH(&m->p->ports, p);
}

static void proxy_add_family(struct proxy_make *m, const char *text)
{
	struct net_addr ip;

	if (!text || !net_addr_parse(&ip, text))
		return;
	NODE_FOREACH(port, node_get(m->spec, F_ports))
		proxy_add_port(m, port, &ip);
}

/* Distinct addresses of ready endpoints on this node. */
static size_t proxy_count_local(const struct proxy_make *m)
{
	struct map *seen = map_new(NULL);
	struct proxy_endpoint e;
	size_t n;

	for (size_t i = 0; i < m->docs.n; i++) {
		const struct node *slice = doc_root(m->docs.v[i]);
		int family = streq(node_gets(slice, F_addressType), "IPv6") ? AF_INET6 : AF_INET;

		NODE_FOREACH(ep, node_get(slice, F_endpoints))
			if (proxy_read_endpoint(m, ep, family, 1, &e) && e.local && e.ready)
				map_set(seen, str_n((const char *)e.to.addr.b, sizeof(e.to.addr.b)), seen);
	}
	n = map_count(seen);
	map_free(seen);
	return n;
}

static void proxy_health(struct proxy_make *m)
{
	int64_t port = node_int(node_get(m->spec, F_healthCheckNodePort), 0);

	if (!node_streq(node_get(m->spec, F_type), "LoadBalancer") || port <= 0 || port > 65535 ||
	    !node_streq(node_get(m->spec, F_externalTrafficPolicy), "Local"))
		return;
	m->p->health_port = (int)port;
	m->p->local_ready = proxy_count_local(m);
}

void proxy_plan_make(struct proxy_plan *p, const struct proxy_view *v, struct obj *service, const svc_slice_list *slices)
{
	_cleanup_doc_ struct doc *d = obj_doc_once(service);
	struct proxy_make m = { .p = p, .view = v, .root = doc_root(d), .spec = node_get(doc_root(d), F_spec) };
	const struct node *ips = node_get(m.spec, F_clusterIPs);
	int64_t created = 0;

	*p = (struct proxy_plan){ .arena = arena_new() };
	if (!proxy_is_ours(m.root))
		return;
	if (time_parse_rfc3339(node_str(node_path(m.root, F_metadata, F_creationTimestamp)), &created))
		p->created = created / 1000000000;
	for (size_t i = 0; slices && i < slices->n; i++)
		VEC_PUSH(&m.docs, obj_doc_once(slices->v[i]));
	m.max = PROXY_MAX_TARGETS / (node_count(node_get(m.spec, F_ports)) + 1) + 1;
	NODE_FOREACH(ip, ips)
		proxy_add_family(&m, node_cstr(ip));
	if (!node_count(ips))
		proxy_add_family(&m, node_cstr(node_get(m.spec, F_clusterIP)));
	proxy_health(&m);
	for (size_t i = 0; i < m.docs.n; i++)
		doc_unref(m.docs.v[i]);
	VEC_RELEASE(&m.docs);
}

void proxy_plan_release(struct proxy_plan *p)
{
	VEC_RELEASE(&p->ports);
	arena_free(p->arena);
	p->arena = NULL;
}
