/*
 * What a Service gets from the cluster: an address of the service network and
 * ports on every node.
 *
 * Two bitmaps, made from the Services that are there when the server starts.
 * They are kept true by whoever writes: a create or update reserves before the
 * store is asked and gives back when it fails (alloc_undo); what a stored change
 * or delete frees is seen on the watch of Services. An address is chosen at
 * random from the upper band of the network, so that the lower one stays free for
 * those who ask for a certain one (KEP-3070); the first is the `kubernetes`
 * Service's. Node ports likewise (KEP-3668).
 *
 * Defaults of ipFamilies, ipFamilyPolicy and clusterIPs are set here too, as
 * they depend on the cluster and not on the type: one IPv4 network.
 */
#include "api/internal.h"

#include <arpa/inet.h>
#include <stdio.h>

#include "base/rand.h"

struct bitmap {
	uint8_t *bits;
	uint32_t n; /* items */
	uint32_t band; /* the first of the upper band */
};

struct alloc {
	uint32_t base; /* of the network, host order */
	int prefix;
	struct bitmap ips, ports;
	int port_min;
	struct store_watch *watch;
	char first_ip[INET_ADDRSTRLEN];
};

/* --- bitmaps --- */

static void bitmap_init(struct bitmap *b, uint32_t n, uint32_t lo, uint32_t hi, uint32_t step)
{
	uint32_t band = n / step;

	b->n = n;
	b->bits = xcalloc(n / 8 + 1, 1);
	band = band < lo ? lo : band > hi ? hi : band;
	b->band = n > 2 * band ? band : 0;
}

static bool bitmap_get(const struct bitmap *b, uint32_t i)
{
	return b->bits[i / 8] >> (i % 8) & 1;
}

static void bitmap_set(struct bitmap *b, uint32_t i, bool on)
{
	if (on)
		b->bits[i / 8] |= (uint8_t)(1u << (i % 8));
	else
		b->bits[i / 8] &= (uint8_t) ~(1u << (i % 8));
}

static int64_t bitmap_search(const struct bitmap *b, uint32_t from, uint32_t to)
{
	uint32_t n = to - from, at = n ? (uint32_t)rand_below(n) : 0;

	for (uint32_t i = 0; i < n; i++) {
		uint32_t k = from + (at + i) % n;

		if (!bitmap_get(b, k))
			return k;
	}
	return -1;
}

/* A free one, the upper band first; -1: none. */
static int64_t bitmap_pick(const struct bitmap *b)
{
	int64_t k = bitmap_search(b, b->band, b->n);

	return k >= 0 ? k : bitmap_search(b, 0, b->band);
}

/* --- addresses --- */

static int64_t ip_index(const struct alloc *al, const char *text)
{
	struct in_addr a;
	uint32_t i;

	if (inet_pton(AF_INET, text, &a) != 1)
		return -1;
	i = ntohl(a.s_addr) - al->base;
	return i < al->ips.n ? (int64_t)i : -1;
}

static void ip_text(const struct alloc *al, uint32_t i, char out[INET_ADDRSTRLEN])
{
	struct in_addr a = { htonl(al->base + i) };

	inet_ntop(AF_INET, &a, out, INET_ADDRSTRLEN);
}

static int alloc_parse_cidr(struct alloc *al, const char *cidr, struct err *e)
{
	struct str rest = str_of(cidr);
	_cleanup_free_ char *ip = str_dup(str_cut(&rest, '/'));
	struct in_addr a;
	int64_t bits;

	if (inet_pton(AF_INET, ip, &a) != 1 || !str_to_i64(rest, &bits) || bits < 8 || bits > 30)
		return err_set(e, ERR_BAD_REQUEST, "the service network '%s' is no IPv4 network of /8 to /30", cidr);
	al->prefix = (int)bits;
	al->base = ntohl(a.s_addr) & ~(uint32_t)((1ull << (32 - bits)) - 1);
	return 0;
}

/* --- what is there --- */

static bool service_has_ip(const struct node *spec)
{
	const char *ip = node_gets(spec, F_clusterIP);

	return *ip && !streq(ip, "None");
}

static void service_mark(struct alloc *al, struct obj *o, bool on)
{
	const struct node *spec = node_get(obj_node(o), F_spec);
	int64_t i = service_has_ip(spec) ? ip_index(al, node_gets(spec, F_clusterIP)) : -1;
	int64_t health = node_int(node_get(spec, F_healthCheckNodePort), 0) - al->port_min;

	if (i >= 0)
		bitmap_set(&al->ips, (uint32_t)i, on);
	NODE_FOREACH(p, node_get(spec, F_ports)) {
		int64_t port = node_int(node_get(p, F_nodePort), 0) - al->port_min;

		if (port >= 0 && port < al->ports.n)
			bitmap_set(&al->ports, (uint32_t)port, on);
	}
	if (health >= 0 && health < al->ports.n)
		bitmap_set(&al->ports, (uint32_t)health, on);
}

static void alloc_on_event(void *arg, const struct store_event *ev)
{
	struct api *a = arg;

	if (ev->old)
		service_mark(a->alloc, ev->old, false);
	service_mark(a->alloc, ev->obj, ev->type != WATCH_DELETED);
}

static int alloc_load(struct api *a, struct alloc *al, struct err *e)
{
	struct store_list l = { .res = &a->services->r };

	if (store_list(a->store, &l, e) < 0)
		return -e->code;
	for (size_t i = 0; i < l.n; i++)
		service_mark(al, l.objs[i], true);
	store_list_release(&l);
	return store_watch(&al->watch, a->store, &a->services->r, NULL, l.rv, alloc_on_event, a, e);
}

int alloc_new(struct api *a, struct err *e)
{
	struct alloc *al = xcalloc(1, sizeof(*al));
	int max = a->cfg.node_port_max ? a->cfg.node_port_max : 32767;
	uint32_t hosts;

	a->alloc = al;
	al->port_min = a->cfg.node_port_min ? a->cfg.node_port_min : 30000;
	if (alloc_parse_cidr(al, a->cfg.service_cidr ? a->cfg.service_cidr : "10.43.0.0/16", e) < 0)
		return -e->code;
	if (max < al->port_min)
		return err_set(e, ERR_BAD_REQUEST, "the range of node ports is empty");
	hosts = 1u << (32 - al->prefix);
	if (hosts > 1u << 20)
		hosts = 1u << 20; /* as kube-apiserver: a larger network is used in part */
	bitmap_init(&al->ips, hosts, 16, 256, 16);
	bitmap_init(&al->ports, (uint32_t)(max - al->port_min + 1), 16, 128, 32);
	bitmap_set(&al->ips, 0, true);
	bitmap_set(&al->ips, 1, true);
	bitmap_set(&al->ips, hosts - 1, true);
	ip_text(al, 1, al->first_ip);
	return alloc_load(a, al, e);
}

void alloc_free(struct api *a)
{
	struct alloc *al = a->alloc;

	if (!al)
		return;
	store_watch_stop(al->watch);
	free(al->ips.bits);
	free(al->ports.bits);
	free(al);
	a->alloc = NULL;
}

const char *alloc_first_ip(struct api *a)
{
	return a->alloc->first_ip;
}

/* --- reserving --- */

void alloc_undo(struct req *r)
{
	struct alloc *al = r->api->alloc;

	if (!al)
		return;
	if (r->reserved_ip)
		bitmap_set(&al->ips, (uint32_t)r->reserved_ip, false);
	for (size_t i = 0; i < r->reserved_ports.n; i++)
		bitmap_set(&al->ports, (uint32_t)r->reserved_ports.v[i], false);
	r->reserved_ip = 0;
	r->reserved_ports.n = 0;
}

static int alloc_invalid(struct req *r, const char *field, struct err *e, const char *fmt, ...) ATTR_PRINTF(4, 5);
static int alloc_invalid(struct req *r, const char *field, struct err *e, const char *fmt, ...)
{
	_cleanup_free_ char *text = NULL;
	va_list ap;

	va_start(ap, fmt);
	text = xvasprintf(fmt, ap);
	va_end(ap);
	return err_invalid(e, NULL, "Service", r->at.name, "FieldValueInvalid", field, "%s", text);
}

static int reserve_ip(struct req *r, struct doc *d, struct node *spec, struct err *e)
{
	struct alloc *al = r->api->alloc;
	const char *want = node_gets(spec, F_clusterIP);
	char text[INET_ADDRSTRLEN];
	int64_t i;

	if (!*want) {
		i = bitmap_pick(&al->ips);
		if (i < 0)
			return err_set(e, ERR_INTERNAL,
				       "Internal error occurred: failed to allocate a serviceIP: range is full");
		ip_text(al, (uint32_t)i, text);
		node_sets(d, spec, F_clusterIP, text);
	} else {
		i = ip_index(al, want);
		if (i < 0)
			return alloc_invalid(r, "spec.clusterIPs", e,
					     "[]string{\"%s\"}: failed to allocate IP %s: the provided IP (%s) is not in "
					     "the valid range. The range of valid IPs is %s",
					     want, want, want, r->api->cfg.service_cidr);
		if (bitmap_get(&al->ips, (uint32_t)i) && !(i == 1 && r->user->part))
			return alloc_invalid(r, "spec.clusterIPs", e,
					     "[]string{\"%s\"}: failed to allocate IP %s: provided IP is already allocated",
					     want, want);
	}
	if (i > 1) {
		bitmap_set(&al->ips, (uint32_t)i, true);
		r->reserved_ip = i;
	}
	return 0;
}

static void reserve_mark_port(struct req *r, int64_t i)
{
	bitmap_set(&r->api->alloc->ports, (uint32_t)i, true);
	VEC_PUSH(&r->reserved_ports, (int)i);
}

/* The same number may serve two protocols of one Service. */
static bool port_reserved_here(const struct req *r, int64_t i)
{
	for (size_t k = 0; k < r->reserved_ports.n; k++)
		if (r->reserved_ports.v[k] == i)
			return true;
	return false;
}

/* The port that member f of n names; when it names none, one that is free is written there. */
static int reserve_port(struct req *r, struct doc *d, struct node *n, enum field f, const char *field, struct err *e)
{
	struct alloc *al = r->api->alloc;
	int64_t want = node_int(node_get(n, f), 0), i = want - al->port_min;

	if (!want) {
		i = bitmap_pick(&al->ports);
		if (i < 0)
			return err_set(e, ERR_INTERNAL, "Internal error occurred: failed to allocate a nodePort: range is full");
		node_seti(d, n, f, i + al->port_min);
	} else if (i < 0 || i >= al->ports.n) {
		return alloc_invalid(r, field, e,
				     "%lld: provided port is not in the valid range. The range of valid ports is %d-%d",
				     (long long)want, al->port_min, al->port_min + (int)al->ports.n - 1);
	} else if (bitmap_get(&al->ports, (uint32_t)i)) {
		if (port_reserved_here(r, i))
			return 0;
		return alloc_invalid(r, field, e, "%lld: provided port is already allocated", (long long)want);
	}
	reserve_mark_port(r, i);
	return 0;
}

/* --- a Service on its way in --- */

static bool type_has_ip(const char *type)
{
	return !streq(type, "ExternalName");
}

static bool type_has_node_ports(const struct node *spec)
{
	const char *type = node_gets(spec, F_type);

	return streq(type, "NodePort") ||
	       (streq(type, "LoadBalancer") && node_bool(node_get(spec, F_allocateLoadBalancerNodePorts), true));
}

/* Balancers that send to nodes with a pod only ask each node at this port whether it has one. */
static bool type_has_health_port(const struct node *spec)
{
	return streq(node_gets(spec, F_type), "LoadBalancer") && streq(node_gets(spec, F_externalTrafficPolicy), "Local");
}

static const struct node *same_port(const struct node *old_ports, const struct node *port)
{
	NODE_FOREACH(p, old_ports)
		if (node_int(node_get(p, F_port), 0) == node_int(node_get(port, F_port), -1) &&
		    streq(node_gets(p, F_protocol), node_gets(port, F_protocol)))
			return p;
	return NULL;
}

static bool old_has_node_port(const struct node *old_spec, int64_t port)
{
	NODE_FOREACH(p, node_get(old_spec, F_ports))
		if (port && node_int(node_get(p, F_nodePort), 0) == port)
			return true;
	return false;
}

/* An update that leaves out what was given keeps it. */
static void keep_allocated(struct doc *d, struct node *spec, const struct node *old)
{
	const char *type = node_gets(spec, F_type), *old_type = node_gets(old, F_type);

	if (type_has_ip(type) && type_has_ip(old_type) && !*node_gets(spec, F_clusterIP))
		node_sets(d, spec, F_clusterIP, node_gets(old, F_clusterIP));
	if (type_has_health_port(spec) && !node_int(node_get(spec, F_healthCheckNodePort), 0) &&
	    node_get(old, F_healthCheckNodePort))
		node_seti(d, spec, F_healthCheckNodePort, node_int(node_get(old, F_healthCheckNodePort), 0));
	if (type_has_node_ports(spec) && !streq(old_type, "ClusterIP"))
		NODE_FOREACH(p, node_get(spec, F_ports)) {
			const struct node *o = same_port(node_get(old, F_ports), p);
			int64_t port = node_int(node_get(o, F_nodePort), 0);

			if (!node_int(node_get(p, F_nodePort), 0) && port)
				node_seti(d, p, F_nodePort, port);
		}
}

static void set_families(struct doc *d, struct node *spec, bool headless_external)
{
	struct node *ips, *families;
	const char *ip = node_gets(spec, F_clusterIP);

	ips = node_set(d, spec, F_clusterIPs, node_new(d, DOC_ARRAY));
	node_append(ips, node_new_cstr(d, ip));
	if (!node_count(node_get(spec, F_ipFamilies))) {
		families = node_set(d, spec, F_ipFamilies, node_new(d, DOC_ARRAY));
		node_append(families, node_new_cstr(d, "IPv4"));
		if (headless_external)
			node_append(families, node_new_cstr(d, "IPv6"));
	}
	if (!*node_gets(spec, F_ipFamilyPolicy))
		node_sets(d, spec, F_ipFamilyPolicy, headless_external ? "RequireDualStack" : "SingleStack");
}

static void clear_families(struct node *spec)
{
	static const enum field all[] = { F_clusterIP, F_clusterIPs, F_ipFamilies, F_ipFamilyPolicy };

	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		node_remove(spec, all[i]);
}

static int alloc_address(struct req *r, struct doc *d, struct node *spec, const struct node *old, struct err *e)
{
	const char *ip = node_gets(spec, F_clusterIP), *first = node_cstr_or(node_at(node_get(spec, F_clusterIPs), 0), "");

	if (!type_has_ip(node_gets(spec, F_type))) {
		clear_families(spec);
		return 0;
	}
	if (!*ip && *first) {
		node_sets(d, spec, F_clusterIP, first);
		ip = node_gets(spec, F_clusterIP);
	}
	if (streq(ip, "None")) {
		set_families(d, spec, !node_count(node_get(spec, F_selector)));
		return 0;
	}
	if (!(*ip && old && streq(node_gets(old, F_clusterIP), ip)) && reserve_ip(r, d, spec, e) < 0)
		return -e->code;
	set_families(d, spec, false);
	return 0;
}

static int alloc_ports(struct req *r, struct doc *d, struct node *spec, const struct node *old, struct err *e)
{
	size_t at = 0;

	NODE_FOREACH(p, node_get(spec, F_ports)) {
		if (!type_has_node_ports(spec) && streq(node_gets(spec, F_type), "ClusterIP"))
			node_remove(p, F_nodePort);
		else if (type_has_node_ports(spec) && !old_has_node_port(old, node_int(node_get(p, F_nodePort), 0)) &&
			 reserve_port(r, d, p, F_nodePort, arena_printf(r->arena, "spec.ports[%zu].nodePort", at), e) < 0)
			return -e->code;
		at++;
	}
	return 0;
}

static int alloc_health(struct req *r, struct doc *d, struct node *spec, const struct node *old, struct err *e)
{
	int64_t now = node_int(node_get(spec, F_healthCheckNodePort), 0);

	if (!type_has_health_port(spec) || (now && now == node_int(node_get(old, F_healthCheckNodePort), 0)))
		return 0;
	return reserve_port(r, d, spec, F_healthCheckNodePort, "spec.healthCheckNodePort", e);
}

static bool alloc_concerns(const struct req *r)
{
	return r->st == r->api->services && !*r->at.subresource && r->api->alloc;
}

void alloc_keep(struct req *r, struct doc *d, struct obj *old)
{
	if (old && alloc_concerns(r))
		keep_allocated(d, node_need_object(d, doc_root(d), F_spec), node_get(obj_node(old), F_spec));
}

int alloc_service(struct req *r, struct doc *d, struct obj *old, struct err *e)
{
	struct node *spec;
	const struct node *old_spec = NULL;

	if (!alloc_concerns(r))
		return 0;
	spec = node_need_object(d, doc_root(d), F_spec);
	if (old)
		old_spec = node_get(obj_node(old), F_spec);
	if (alloc_address(r, d, spec, old_spec, e) < 0 || alloc_ports(r, d, spec, old_spec, e) < 0 ||
	    alloc_health(r, d, spec, old_spec, e) < 0)
		return -e->code;
	return 0;
}
