/*
 * Services and endpoints as names need them: two hash tables, of Services by
 * namespace and name, and of addresses for reverse lookups. An endpoint is there
 * when it is ready; addresses that are published before they are have been made
 * ready by the EndpointSlice controller.
 *
 * Only what changed is read again: an EndpointSlice is known by its object, which
 * never changes.
 */
#include <arpa/inet.h>

#include "base/hash.h"
#include "base/time.h"
#include "svc/dns.h"

#define TABLE_FIRST 64

/* --- hash tables --- */

static void table_grow(struct dns_table *t)
{
	size_t size = t->size ? t->size * 2 : TABLE_FIRST;
	struct dns_link **slot = xcalloc(size, sizeof(*slot)), *l, *next;

	for (size_t i = 0; i < t->size; i++)
		for (l = t->slot[i]; l; l = next) {
			next = l->next;
			l->next = slot[l->hash & (size - 1)];
			slot[l->hash & (size - 1)] = l;
		}
	free(t->slot);
	t->slot = slot;
	t->size = size;
}

static void table_add(struct dns_table *t, struct dns_link *l, uint32_t hash)
{
	struct dns_link **slot;

	if (t->n >= t->size)
		table_grow(t);
	slot = &t->slot[hash & (t->size - 1)];
	l->hash = hash;
	l->next = *slot;
	*slot = l;
	t->n++;
}

static void table_del(struct dns_table *t, struct dns_link *l)
{
	struct dns_link **at = &t->slot[l->hash & (t->size - 1)];

	while (*at != l)
		at = &(*at)->next;
	*at = l->next;
	t->n--;
}

static struct dns_link *table_first(const struct dns_table *t, uint32_t hash)
{
	return t->size ? t->slot[hash & (t->size - 1)] : NULL;
}

/* --- addresses --- */

static uint32_t addr_hash(const uint8_t *b, int family)
{
	return (uint32_t)hash_sip(str_n((const char *)b, family == AF_INET6 ? 16 : 4));
}

struct dns_addr *dns_index_addr(const struct dns_index *x, const struct net_addr *a, struct dns_addr *prev)
{
	uint32_t hash = addr_hash(a->b, a->family);

	for (struct dns_link *l = prev ? prev->link.next : table_first(&x->addrs, hash); l; l = l->next) {
		struct dns_addr *d = CONTAINER_OF(l, struct dns_addr, link);

		if (l->hash == hash && d->family == a->family && memcmp(d->b, a->b, net_addr_len(a)) == 0)
			return d;
	}
	return NULL;
}

static bool addr_put(struct dns_index *x, struct dns_addr *d, struct dns_service *s, const char *text)
{
	struct net_addr a;

	if (!net_addr_parse(&a, text))
		return false;
	*d = (struct dns_addr){ .service = s, .family = (uint8_t)a.family };
	memcpy(d->b, a.b, sizeof(d->b));
	table_add(&x->addrs, &d->link, addr_hash(a.b, a.family));
	return true;
}

static void addrs_drop(struct dns_index *x, struct dns_addr *v, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		table_del(&x->addrs, &v[i].link);
		free(v[i].hostname);
	}
	free(v);
}

/* --- ports --- */

static uint8_t port_proto(const char *name)
{
	return streq(name, "UDP") ? IPPROTO_UDP : streq(name, "SCTP") ? IPPROTO_SCTP : IPPROTO_TCP;
}

static struct dns_port *ports_read(const struct node *list, size_t *ret_n)
{
	size_t n = node_count(list), i = 0;
	struct dns_port *v = n ? xcalloc(n, sizeof(*v)) : NULL;

	NODE_FOREACH(p, list) {
		const char *name = node_gets(p, F_name);

		v[i].port = (uint16_t)node_int(node_get(p, F_port), 0);
		v[i].proto = port_proto(node_gets(p, F_protocol));
		v[i++].name = *name ? xstrdup(name) : NULL;
	}
	*ret_n = n;
	return v;
}

static void ports_drop(struct dns_port *v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(v[i].name);
	free(v);
}

/* --- slices --- */

/* Absent is ready: consumers are told to take it so. */
static bool slice_is_ready(const struct node *endpoint)
{
	return node_bool(node_path(endpoint, F_conditions, F_ready), true);
}

static struct dns_slice *slice_read(struct dns_index *x, struct dns_service *s, struct obj *o)
{
	_cleanup_doc_ struct doc *d = obj_doc_once(o);
	const struct node *list = node_get(doc_root(d), F_endpoints);
	struct dns_slice *l = xcalloc(1, sizeof(*l));
	size_t n = 0, n_ports;

	l->obj = obj_ref(o);
	l->ports = ports_read(node_get(doc_root(d), F_ports), &n_ports);
	l->n_ports = (uint32_t)n_ports;
	NODE_FOREACH(e, list)
		n += slice_is_ready(e);
	if (n)
		l->addrs = xcalloc(n, sizeof(*l->addrs));
	NODE_FOREACH(e, list) {
		const char *host = node_gets(e, F_hostname);
		struct dns_addr *a;

		if (!slice_is_ready(e))
			continue;
		a = &l->addrs[l->n_addrs];
		if (!addr_put(x, a, s, node_cstr_or(node_at(node_get(e, F_addresses), 0), "")))
			continue;
		a->endpoint = true;
		a->hostname = *host ? xstrdup(host) : NULL;
		l->n_addrs++;
	}
	return l;
}

static void slice_drop(struct dns_index *x, struct dns_slice *l)
{
	addrs_drop(x, l->addrs, l->n_addrs);
	ports_drop(l->ports, l->n_ports);
	obj_unref(l->obj);
	free(l);
}

static struct dns_slice *slice_take(struct dns_slice **list, const struct obj *o)
{
	struct dns_slice *l;

	for (; (l = *list); list = &l->next)
		if (l->obj == o) {
			*list = l->next;
			return l;
		}
	return NULL;
}

static void slices_drop(struct dns_index *x, struct dns_slice *l)
{
	struct dns_slice *next;

	for (; l; l = next) {
		next = l->next;
		slice_drop(x, l);
	}
}

void dns_index_slices(struct dns_index *x, struct dns_service *s, const svc_slice_list *list)
{
	struct dns_slice *old = s->slices, **end = &s->slices;

	*end = NULL;
	for (size_t i = 0; list && i < list->n; i++) {
		struct dns_slice *l = slice_take(&old, list->v[i]);

		if (!l)
			l = slice_read(x, s, list->v[i]);
		l->next = NULL;
		*end = l;
		end = &l->next;
	}
	slices_drop(x, old);
	x->serial = (uint32_t)time_wall_s();
}

/* --- Services --- */

static uint32_t service_hash(struct str ns, struct str name)
{
	return (uint32_t)(hash_sip(ns) * 31 + hash_sip(name));
}

static struct str service_ns(const struct dns_service *s)
{
	return str_n(s->key, s->ns_len);
}

static struct str service_name(const struct dns_service *s)
{
	return str_n(s->key + s->ns_len, s->name_len);
}

struct dns_service *dns_index_find(const struct dns_index *x, struct str ns, struct str name)
{
	uint32_t hash = service_hash(ns, name);

	for (struct dns_link *l = table_first(&x->services, hash); l; l = l->next) {
		struct dns_service *s = CONTAINER_OF(l, struct dns_service, link);

		if (l->hash == hash && str_eq(service_ns(s), ns) && str_eq(service_name(s), name))
			return s;
	}
	return NULL;
}

static struct dns_service *service_new(struct dns_index *x, struct str ns, struct str name)
{
	struct dns_service *s = xcalloc(1, sizeof(*s) + ns.n + name.n);

	s->ns_len = (uint16_t)ns.n;
	s->name_len = (uint16_t)name.n;
	memcpy(s->key, ns.p, ns.n);
	memcpy(s->key + ns.n, name.p, name.n);
	table_add(&x->services, &s->link, service_hash(ns, name));
	return s;
}

static void service_clear(struct dns_index *x, struct dns_service *s)
{
	addrs_drop(x, s->addrs, s->n_addrs);
	ports_drop(s->ports, s->n_ports);
	s->external = free_null(s->external);
	s->addrs = NULL;
	s->ports = NULL;
	s->n_addrs = 0;
	s->n_ports = 0;
}

static void service_drop(struct dns_index *x, struct dns_service *s)
{
	service_clear(x, s);
	slices_drop(x, s->slices);
	table_del(&x->services, &s->link);
	free(s);
}

/* clusterIPs, or the one of before they were. */
static void service_read_addrs(struct dns_index *x, struct dns_service *s, const struct node *spec)
{
	const struct node *ips = node_get(spec, F_clusterIPs);
	size_t n = node_count(ips);

	s->addrs = xcalloc(n ? n : 1, sizeof(*s->addrs));
	NODE_FOREACH(ip, ips)
		s->n_addrs = (uint8_t)(s->n_addrs + addr_put(x, &s->addrs[s->n_addrs], s, node_cstr_or(ip, "")));
	if (!n)
		s->n_addrs = addr_put(x, &s->addrs[0], s, node_gets(spec, F_clusterIP));
}

struct dns_service *dns_index_service(struct dns_index *x, const char *ns, const char *name, const struct node *root)
{
	struct dns_service *s = dns_index_find(x, str_of(ns), str_of(name));
	const struct node *spec = node_get(root, F_spec);
	size_t n_ports;

	x->serial = (uint32_t)time_wall_s();
	if (!root) {
		if (s)
			service_drop(x, s);
		return NULL;
	}
	if (!s)
		s = service_new(x, str_of(ns), str_of(name));
	service_clear(x, s);
	if (streq(node_gets(spec, F_type), "ExternalName")) {
		s->kind = DNS_EXTERNAL;
		s->external = xstrdup(node_gets(spec, F_externalName));
		return s;
	}
	s->kind = streq(node_gets(spec, F_clusterIP), "None") ? DNS_HEADLESS : DNS_CLUSTER_IP;
	s->ports = ports_read(node_get(spec, F_ports), &n_ports);
	s->n_ports = (uint16_t)n_ports;
	if (s->kind == DNS_CLUSTER_IP)
		service_read_addrs(x, s, spec);
	return s;
}

void dns_index_init(struct dns_index *x)
{
	*x = (struct dns_index){ .serial = (uint32_t)time_wall_s() };
}

void dns_index_release(struct dns_index *x)
{
	for (size_t i = 0; i < x->services.size; i++)
		while (x->services.slot[i])
			service_drop(x, CONTAINER_OF(x->services.slot[i], struct dns_service, link));
	free(x->services.slot);
	free(x->addrs.slot);
}
