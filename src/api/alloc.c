/*
 * What a Service gets from the cluster: addresses of the service networks and
 * ports on every node.
 *
 * Pools of numbers (alloc-pool.c), made from the Services that are there when the
 * server starts. They are kept true by whoever writes: a create or update reserves
 * before the store is asked and gives back when it fails (alloc_undo); what a
 * stored change or delete frees is seen on the watch of Services. The first
 * address of the primary network is the `kubernetes` Service's.
 *
 * Addresses come from the networks that the server was started with and from those
 * of ServiceCIDRs that are ready and not about to go. IPAddresses that others than
 * the controller of ctl/ipaddress.c have made keep theirs from being given.
 *
 * A request that is done again, because a program outside was asked, comes to the
 * same addresses and ports again: chance depends on the request alone.
 */
#include "api/alloc.h"

#include "base/rand.h"

/* --- ranges --- */

static void alloc_mark(struct alloc *al, const struct ip_addr *a, bool foreign, bool on)
{
	for (size_t i = 0; i < al->ranges.n; i++) {
		struct alloc_range *g = al->ranges.v[i];
		int64_t k = alloc_range_index(g, a);

		if (k >= 0)
			pool_bits_set(foreign ? &g->pool.foreign : &g->pool.used, (uint32_t)k, on);
	}
}

static struct alloc_range *alloc_find_range(const struct alloc *al, const struct ip_prefix *p)
{
	for (size_t i = 0; i < al->ranges.n; i++)
		if (ip_prefix_equal(&al->ranges.v[i]->net, p))
			return al->ranges.v[i];
	return NULL;
}

static void mark_service_ips(struct alloc *al, const struct node *spec, bool on)
{
	struct ip_addr a;

	NODE_FOREACH(ip, node_get(spec, F_clusterIPs))
		if (ip_parse(&a, node_str(ip)))
			alloc_mark(al, &a, false, on);
}

static void mark_address(struct alloc *al, struct obj *o, bool on)
{
	struct ip_addr a;

	if (!streq_null(meta_label(obj_node(o), "ipaddress.kubernetes.io/managed-by"), "ipallocator.k8s.io") &&
	    ip_parse(&a, str_of(o->name)))
		alloc_mark(al, &a, true, on);
}

/* Writes that are under way are seen in the ranges that overlap, others in what is stored. */
static void range_copy_overlap(const struct alloc_range *from, struct alloc_range *to)
{
	if (!ip_prefix_covers(&from->net, &to->net) && !ip_prefix_covers(&to->net, &from->net))
		return;
	for (uint32_t i = from->pool.first; i < from->pool.end; i++) {
		struct ip_addr a = alloc_range_at(from, i);
		int64_t k = pool_bits_get(&from->pool.used, i) ? alloc_range_index(to, &a) : -1;

		if (k >= 0)
			pool_bits_set(&to->pool.used, (uint32_t)k, true);
	}
}

static int each_object(struct api *a, const struct resource *res, void (*f)(struct alloc *al, struct obj *o), int64_t *rv,
		       struct err *e)
{
	struct store_list l = { .res = res };

	if (store_list(a->store, &l, e) < 0)
		return -e->code;
	for (size_t i = 0; i < l.n; i++)
		f(a->alloc, l.objs[i]);
	*rv = l.rv;
	store_list_release(&l);
	return 0;
}

static void fill_from_service(struct alloc *al, struct obj *o)
{
	mark_service_ips(al, node_get(obj_node(o), F_spec), true);
}

static void fill_from_address(struct alloc *al, struct obj *o)
{
	mark_address(al, o, true);
}

static struct alloc_range *alloc_add_range(struct alloc *al, const struct ip_prefix *p)
{
	struct alloc_range *g = alloc_range_new(p);

	for (size_t i = 0; i < al->ranges.n; i++)
		range_copy_overlap(al->ranges.v[i], g);
	VEC_PUSH(&al->ranges, g);
	return g;
}

static void list_cidr(struct alloc *al, struct obj *o)
{
	const struct node *root = obj_node(o), *conditions = node_path(root, F_status, F_conditions);
	bool ready = !meta_is_deleting(root) && (!cond_find(conditions, "Ready") || cond_is_true(conditions, "Ready"));

	NODE_FOREACH(c, node_path(root, F_spec, F_cidrs)) {
		struct alloc_range *g;
		struct ip_prefix p;

		if (!ip_prefix_parse(&p, node_str(c)))
			continue;
		g = alloc_find_range(al, &p);
		if (!g)
			g = alloc_add_range(al, &p);
		g->listed = true;
		g->ready = g->ready || ready;
	}
}

/* Ranges are those of the configuration and of all ServiceCIDRs. */
static int alloc_sync_ranges(struct api *a, int64_t *rv, struct err *e)
{
	struct alloc *al = a->alloc;
	size_t before = al->ranges.n;
	int64_t at = 0;

	for (size_t i = 0; i < al->ranges.n; i++)
		al->ranges.v[i]->listed = al->ranges.v[i]->ready = false;
	if (each_object(a, al->cidr_res, list_cidr, rv, e) < 0)
		return -e->code;
	if (al->ranges.n > before &&
	    (each_object(a, &a->services->r, fill_from_service, &at, e) < 0 ||
	     each_object(a, al->address_res, fill_from_address, &at, e) < 0))
		return -e->code;
	for (size_t i = al->ranges.n; i-- > 0;)
		if (!al->ranges.v[i]->listed && !al->ranges.v[i]->configured) {
			alloc_range_free(al->ranges.v[i]);
			VEC_REMOVE(&al->ranges, i);
		}
	return 0;
}

/* --- what is there --- */

static void mark_port(struct alloc *al, int64_t number, bool on)
{
	int64_t i = number - al->port_min;

	if (i >= 0 && i < al->ports.used.n)
		pool_bits_set(&al->ports.used, (uint32_t)i, on);
}

static void mark_service(struct alloc *al, struct obj *o, bool on)
{
	const struct node *spec = node_get(obj_node(o), F_spec);

	mark_service_ips(al, spec, on);
	NODE_FOREACH(p, node_get(spec, F_ports))
		mark_port(al, node_int(node_get(p, F_nodePort), 0), on);
	mark_port(al, node_int(node_get(spec, F_healthCheckNodePort), 0), on);
}

static void load_service(struct alloc *al, struct obj *o)
{
	mark_service(al, o, true);
}

static void alloc_on_service(void *arg, const struct store_event *ev)
{
	struct api *a = arg;

	if (ev->old)
		mark_service(a->alloc, ev->old, false);
	mark_service(a->alloc, ev->obj, ev->type != WATCH_DELETED);
}

static void alloc_on_address(void *arg, const struct store_event *ev)
{
	struct api *a = arg;

	if (ev->old)
		mark_address(a->alloc, ev->old, false);
	mark_address(a->alloc, ev->obj, ev->type != WATCH_DELETED);
}

static void alloc_on_cidr(void *arg, const struct store_event *ev UNUSED)
{
	_cleanup_err_ struct err e = ERR_INIT;
	int64_t rv;

	BUG_ON(alloc_sync_ranges(arg, &rv, &e) < 0); /* newest states are always there to be read */
}

static int alloc_load(struct api *a, struct err *e)
{
	struct alloc *al = a->alloc;
	int64_t cidrs = 0, services = 0, addresses = 0;

	if (alloc_sync_ranges(a, &cidrs, e) < 0 || each_object(a, &a->services->r, load_service, &services, e) < 0 ||
	    each_object(a, al->address_res, fill_from_address, &addresses, e) < 0)
		return -e->code;
	if (store_watch(&al->services, a->store, &a->services->r, NULL, services, alloc_on_service, a, e) < 0 ||
	    store_watch(&al->addresses, a->store, al->address_res, NULL, addresses, alloc_on_address, a, e) < 0 ||
	    store_watch(&al->cidrs, a->store, al->cidr_res, NULL, cidrs, alloc_on_cidr, a, e) < 0)
		return -e->code;
	return 0;
}

/* --- configuration --- */

static int alloc_add_network(struct alloc *al, struct str cidr, struct err *e)
{
	struct alloc_range *g;
	struct ip_prefix p;

	if (!ip_prefix_parse(&p, cidr) || (!p.addr.six && (p.bits < 8 || p.bits > 30)))
		return err_set(e, ERR_BAD_REQUEST, "the service network '%" STR_FMT "' is no network of /8 to /30 (IPv4), or "
			       "/64 to /126 (IPv6)", STR_ARG(cidr));
	if (p.addr.six && (p.bits < 64 || p.bits > 126))
		return err_set(e, ERR_BAD_REQUEST, "the service network '%" STR_FMT "' is not of /64 to /126", STR_ARG(cidr));
	if (al->has[p.addr.six])
		return err_set(e, ERR_BAD_REQUEST, "two service networks of one family, %s: '%" STR_FMT "'",
			       alloc_family_name(p.addr.six), STR_ARG(cidr));
	al->has[p.addr.six] = true;
	g = alloc_add_range(al, &p);
	g->configured = true;
	return 0;
}

static int alloc_configure(struct alloc *al, const char *cidrs, struct err *e)
{
	struct str rest = str_of(cidrs);

	do {
		if (alloc_add_network(al, str_trim(str_cut(&rest, ',')), e) < 0)
			return -e->code;
	} while (rest.p);
	al->six_first = al->ranges.v[0]->net.addr.six;
	al->first = alloc_range_at(al->ranges.v[0], 1);
	ip_print(&al->first, al->first_text);
	return 0;
}

int alloc_new(struct api *a, struct err *e)
{
	struct alloc *al = xcalloc(1, sizeof(*al));
	int max = a->cfg.node_port_max ? a->cfg.node_port_max : 32767;
	uint32_t ports;

	a->alloc = al;
	al->address_res = schema_res("networking.k8s.io", "ipaddresses");
	al->cidr_res = schema_res("networking.k8s.io", "servicecidrs");
	al->port_min = a->cfg.node_port_min ? a->cfg.node_port_min : 30000;
	if (alloc_configure(al, a->cfg.service_cidr ? a->cfg.service_cidr : "10.43.0.0/16", e) < 0)
		return -e->code;
	if (max < al->port_min)
		return err_set(e, ERR_BAD_REQUEST, "the range of node ports is empty");
	ports = (uint32_t)(max - al->port_min + 1);
	pool_bits_init(&al->ports.used, ports);
	al->ports.end = ports;
	al->ports.band = pool_band(ports, 32, 16, 128);
	return alloc_load(a, e);
}

void alloc_free(struct api *a)
{
	struct alloc *al = a->alloc;

	if (!al)
		return;
	store_watch_stop(al->services);
	store_watch_stop(al->addresses);
	store_watch_stop(al->cidrs);
	for (size_t i = 0; i < al->ranges.n; i++)
		alloc_range_free(al->ranges.v[i]);
	VEC_RELEASE(&al->ranges);
	pool_bits_release(&al->ports.used);
	free(al);
	a->alloc = NULL;
}

const char *alloc_first_ip(struct api *a)
{
	return a->alloc->first_text;
}

/* --- reserving --- */

void alloc_undo(struct req *r)
{
	struct alloc *al = r->api->alloc;

	for (size_t i = 0; al && i < r->reserved_ips.n; i++)
		alloc_mark(al, &r->reserved_ips.v[i], false, false);
	for (size_t i = 0; al && i < r->reserved_ports.n; i++)
		pool_bits_set(&al->ports.used, (uint32_t)r->reserved_ports.v[i], false);
	r->reserved_ips.n = r->reserved_ports.n = 0;
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

/* A number for the n-th choice of this request. */
static uint64_t alloc_chance(struct req *r)
{
	uint64_t x;

	if (!r->alloc_seed)
		r->alloc_seed = rand_u64() | 1;
	x = r->alloc_seed + (r->reserved_ips.n + r->reserved_ports.n) * 0x9e3779b97f4a7c15u;
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
	x = (x ^ x >> 27) * 0x94d049bb133111ebu;
	return x ^ x >> 31;
}

static void hold_ip(struct req *r, const struct ip_addr *a)
{
	alloc_mark(r->api->alloc, a, false, true);
	VEC_PUSH(&r->reserved_ips, *a);
}

static int pick_ip(struct req *r, bool six, struct ip_addr *ret, struct err *e)
{
	struct alloc *al = r->api->alloc;

	for (size_t i = 0; i < al->ranges.n; i++) {
		struct alloc_range *g = al->ranges.v[i];
		struct pool p = g->pool;
		int64_t k;

		if (g->net.addr.six != six || !alloc_range_is_open(g))
			continue;
		if (alloc_range_index(g, &al->first) == p.first)
			p.first++;
		k = pool_pick(&p, alloc_chance(r));
		if (k >= 0) {
			*ret = alloc_range_at(g, (uint32_t)k);
			hold_ip(r, ret);
			return 0;
		}
	}
	return err_set(e, ERR_INTERNAL, "Internal error occurred: failed to allocate a serviceIP: range is full");
}

/* Why this address can't be had, or NULL. */
static const char *ip_refused(struct req *r, const struct ip_addr *a)
{
	struct alloc *al = r->api->alloc;
	const char *why = "the provided network does not match the current range";

	if (ip_equal(a, &al->first) && !r->user->part)
		return "provided IP is already allocated";
	for (size_t i = 0; i < al->ranges.n; i++) {
		struct alloc_range *g = al->ranges.v[i];
		int64_t k = alloc_range_is_open(g) ? alloc_range_index(g, a) : -1;

		if (k < 0)
			continue;
		if (!pool_is_free(&g->pool, (uint32_t)k))
			return "provided IP is already allocated";
		why = NULL;
	}
	return why;
}

/* The i-th of clusterIPs, of the i-th family: the one that is written there, or one that is free. */
static int reserve_ip(struct req *r, struct doc *d, struct node *spec, size_t i, struct err *e)
{
	bool six = node_streq(node_at(node_get(spec, F_ipFamilies), i), "IPv6");
	struct node *ips = node_need_array(d, spec, F_clusterIPs);
	const char *why;
	struct ip_addr a;
	char text[IP_TEXT];

	if (i < node_count(ips)) {
		const char *want = node_cstr_or(node_at(ips, i), "");
		_cleanup_buf_ struct buf list = BUF_INIT;

		why = ip_parse(&a, str_of(want)) ? ip_refused(r, &a) : "not a valid IP";
		if (!why) {
			hold_ip(r, &a);
			return 0;
		}
		doc_print_json(&list, ips, DOC_PRINT_COMPACT);
		return alloc_invalid(r, "spec.clusterIPs", e, "%s: failed to allocate IP %s: %s", list.s, want, why);
	}
	if (pick_ip(r, six, &a, e) < 0)
		return -e->code;
	node_append(ips, node_new_cstr(d, ip_print(&a, text)));
	if (i == 0)
		node_sets(d, spec, F_clusterIP, text);
	return 0;
}

static void hold_port(struct req *r, int64_t i)
{
	pool_bits_set(&r->api->alloc->ports.used, (uint32_t)i, true);
	VEC_PUSH(&r->reserved_ports, (int)i);
}

static bool port_held_here(const struct req *r, int64_t i)
{
	for (size_t k = 0; k < r->reserved_ports.n; k++)
		if (r->reserved_ports.v[k] == i)
			return true;
	return false;
}

/* Why this port can't be had, or NULL: then it is held. The same number may serve two protocols of one Service. */
static const char *take_port(struct req *r, int64_t want)
{
	struct alloc *al = r->api->alloc;
	int64_t i = want - al->port_min;

	if (i < 0 || i >= al->ports.end)
		return arena_printf(r->arena, "provided port is not in the valid range. The range of valid ports is %d-%d",
				    al->port_min, al->port_min + (int)al->ports.end - 1);
	if (port_held_here(r, i))
		return NULL;
	if (pool_bits_get(&al->ports.used, (uint32_t)i))
		return "provided port is already allocated";
	hold_port(r, i);
	return NULL;
}

static int64_t next_port(struct req *r)
{
	struct alloc *al = r->api->alloc;
	int64_t i = pool_pick(&al->ports, alloc_chance(r));

	if (i < 0)
		return 0;
	hold_port(r, i);
	return i + al->port_min;
}

static int give_port(struct req *r, struct doc *d, struct node *port, struct err *e)
{
	int64_t number = next_port(r);

	if (!number)
		return err_set(e, ERR_INTERNAL, "Internal error occurred: failed to allocate a nodePort: range is full");
	node_seti(d, port, F_nodePort, number);
	return 0;
}

static int want_port(struct req *r, size_t at, int64_t number, struct err *e)
{
	const char *why = take_port(r, number);

	if (!why)
		return 0;
	return alloc_invalid(r, arena_printf(r->arena, "spec.ports[%zu].nodePort", at), e, "%lld: %s", (long long)number, why);
}

/* --- a Service on its way in --- */

static int alloc_addresses(struct req *r, struct doc *d, struct node *spec, const struct node *old, struct err *e)
{
	size_t n = node_count(node_get(spec, F_ipFamilies)), had = node_count(node_get(old, F_ipFamilies));
	size_t from = 0;

	if (!service_has_ip(spec) || service_is_headless(spec) || alloc_families_stay(spec, old))
		return 0;
	if (old && service_has_ip(old)) {
		if (service_is_headless(old) || n <= had)
			return 0; /* what goes is free when the change is stored */
		from = had;
	}
	for (size_t i = from; i < n; i++)
		if (reserve_ip(r, d, spec, i, e) < 0)
			return -e->code;
	return 0;
}

static int64_t port_number(const struct node *p)
{
	return node_int(node_get(p, F_port), 0);
}

static int64_t node_port(const struct node *p)
{
	return node_int(node_get(p, F_nodePort), 0);
}

/* The node port of the first among ports[..end) with p's number that has one, or 0. */
static int64_t same_port(const struct node *ports, const struct node *p, const struct node *end)
{
	NODE_FOREACH(o, ports) {
		if (o == end)
			break;
		if (port_number(o) == port_number(p) && node_port(o))
			return node_port(o);
	}
	return 0;
}

/* Ports that differ in their protocol alone (DNS) get one node port. */
static int alloc_new_ports(struct req *r, struct doc *d, struct node *spec, struct err *e)
{
	struct node *ports = node_get(spec, F_ports);
	size_t at = 0;

	NODE_FOREACH(p, ports) {
		size_t i = at++;
		int64_t shared;

		if (!node_port(p) && !service_wants_node_ports(spec))
			continue;
		shared = node_port(p) ? node_port(p) : same_port(ports, p, NULL);
		if (shared && want_port(r, i, shared, e) < 0)
			return -e->code;
		if (shared)
			node_seti(d, p, F_nodePort, shared);
		else if (give_port(r, d, p, e) < 0)
			return -e->code;
	}
	return 0;
}

static bool old_has_node_port(const struct node *old, int64_t number)
{
	NODE_FOREACH(p, node_get(old, F_ports))
		if (node_port(p) == number)
			return true;
	return false;
}

static int alloc_changed_ports(struct req *r, struct doc *d, struct node *spec, const struct node *old, struct err *e)
{
	size_t at = 0;

	NODE_FOREACH(p, node_get(spec, F_ports)) {
		size_t i = at++;

		if (!node_port(p) && service_wants_node_ports(spec) && give_port(r, d, p, e) < 0)
			return -e->code;
		if (node_port(p) && !port_held_here(r, node_port(p) - r->api->alloc->port_min) &&
		    !old_has_node_port(old, node_port(p)) && want_port(r, i, node_port(p), e) < 0)
			return -e->code;
	}
	return 0;
}

static int alloc_health_port(struct req *r, struct doc *d, struct node *spec, const struct node *old, struct err *e)
{
	int64_t number = node_int(node_get(spec, F_healthCheckNodePort), 0);
	const char *why;

	if (!service_wants_health_port(spec) || (old && service_wants_health_port(old)))
		return 0;
	why = number ? take_port(r, number) : NULL;
	if (why)
		return err_set(e, ERR_INTERNAL,
			       "Internal error occurred: failed to allocate requested HealthCheck NodePort %lld: %s",
			       (long long)number, why);
	if (!number) {
		number = next_port(r);
		if (!number)
			return err_set(e, ERR_INTERNAL,
				       "Internal error occurred: failed to allocate a HealthCheck NodePort 0: range is full");
		node_seti(d, spec, F_healthCheckNodePort, number);
	}
	return 0;
}

static bool alloc_concerns(const struct req *r)
{
	return r->st == r->api->services && !*r->at.subresource && r->api->alloc;
}

int alloc_service(struct req *r, struct doc *d, struct obj *old_obj, struct err *e)
{
	const struct node *old = old_obj ? node_get(obj_node(old_obj), F_spec) : NULL;
	struct node *spec;
	int rc;

	if (!alloc_concerns(r))
		return 0;
	alloc_undo(r); /* of a former try */
	spec = node_need_object(d, doc_root(d), F_spec);
	if (node_count(node_get(spec, F_ports)) > LIMIT_LIST_ITEMS)
		return 0; /* validation refuses it */
	alloc_normalize(d, spec, old);
	if (alloc_families(r, d, spec, old, e) < 0 || alloc_addresses(r, d, spec, old, e) < 0)
		return -e->code;
	if (service_has_node_ports(spec)) {
		rc = old ? alloc_changed_ports(r, d, spec, old, e) : alloc_new_ports(r, d, spec, e);
		if (rc < 0)
			return rc;
	}
	return alloc_health_port(r, d, spec, old, e);
}
