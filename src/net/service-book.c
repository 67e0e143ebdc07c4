/*
 * Whose is what: every address and port that some Service has, and who would have
 * it if that one were gone.
 */
#include "net/service.h"

#include <arpa/inet.h>
#include <stdio.h>

#include "base/hash.h"

#define BOOK_SLOTS 64

void book_init(struct service_book *b)
{
	*b = (struct service_book){ 0 };
	b->by_key = map_new(NULL);
	b->hairpins = map_new(NULL);
	b->n_slots = BOOK_SLOTS;
	b->slots = xcalloc(b->n_slots, sizeof(struct service_elem *));
}

void book_release(struct service_book *b)
{
	struct map_iter it = { 0 };

	while (map_next(b->by_key, &it))
		service_free(it.value);
	map_free(b->by_key);
	map_free(b->hairpins);
	VEC_RELEASE(&b->contested);
	free(b->slots);
}

bool elem_same(const struct service_elem *a, const struct service_elem *b)
{
	return a->kind == b->kind && a->family == b->family && a->protocol == b->protocol && a->port == b->port &&
	       memcmp(a->addr, b->addr, sizeof(a->addr)) == 0;
}

static struct service_elem **book_slot(const struct service_book *b, const struct service_elem *el)
{
	uint8_t key[22];

	memcpy(key, el->addr, 16);
	memcpy(key + 16, &el->port, 2);
	key[18] = el->kind;
	key[19] = el->family;
	key[20] = el->protocol;
	key[21] = 0;
	return &b->slots[hash_sip(str_n((const char *)key, sizeof(key))) & (b->n_slots - 1)];
}

struct service_elem *book_find(const struct service_book *b, const struct service_elem *like)
{
	struct service_elem *el = *book_slot(b, like);

	while (el && !elem_same(el, like))
		el = el->next;
	return el;
}

static void book_grow(struct service_book *b)
{
	struct service_elem **old = b->slots;
	size_t n = b->n_slots;

	b->n_slots *= 2;
	b->slots = xcalloc(b->n_slots, sizeof(struct service_elem *));
	for (size_t i = 0; i < n; i++)
		for (struct service_elem *el = old[i], *next; el; el = next) {
			struct service_elem **slot = book_slot(b, el);

			next = el->next;
			el->next = *slot;
			*slot = el;
		}
	free(old);
}

void book_add(struct service_book *b, struct service_elem *el)
{
	struct service_elem **slot;

	if (b->n >= b->n_slots)
		book_grow(b);
	slot = book_slot(b, el);
	el->next = *slot;
	*slot = el;
	b->n++;
}

void book_remove(struct service_book *b, struct service_elem *el)
{
	struct service_elem **at = book_slot(b, el);

	while (*at && *at != el)
		at = &(*at)->next;
	BUG_ON(!*at);
	*at = el->next;
	b->n--;
}

void elem_print(char out[80], const struct service_elem *el)
{
	const char *protocol = el->protocol == IPPROTO_UDP ? "UDP" : el->protocol == IPPROTO_SCTP ? "SCTP" : "TCP";
	char ip[NET_ADDR_TEXT] = "";

	inet_ntop(el->family, el->addr, ip, sizeof(ip));
	if (el->kind == SET_PORT)
		snprintf(out, 80, "node port %u/%s", el->port, protocol);
	else if (el->kind == SET_IP)
		snprintf(out, 80, "%s", ip);
	else
		snprintf(out, 80, el->family == AF_INET6 ? "[%s]:%u/%s" : "%s:%u/%s", ip, el->port, protocol);
}

bool service_is_older(const struct service *a, const struct service *b)
{
	return a->created != b->created ? a->created < b->created : strcmp(a->key, b->key) < 0;
}

void book_contest(struct service_book *b, struct service *s, bool on)
{
	if (s->contested == on)
		return;
	s->contested = on;
	if (on) {
		VEC_PUSH(&b->contested, s);
		return;
	}
	for (size_t i = 0; i < b->contested.n; i++)
		if (b->contested.v[i] == s) {
			b->contested.v[i] = b->contested.v[--b->contested.n];
			return;
		}
}

struct service_elem *book_heir(const struct service_book *b, const struct service_elem *like)
{
	struct service_elem *best = NULL;

	for (size_t i = 0; i < b->contested.n; i++) {
		struct service *s = b->contested.v[i];

		for (uint32_t k = 0; k < s->n_elems; k++)
			if (s->elems[k].lost && elem_same(&s->elems[k], like) &&
			    (!best || service_is_older(s, best->owner)))
				best = &s->elems[k];
	}
	return best;
}

size_t book_memory(const struct service_book *b)
{
	size_t n = b->n_slots * sizeof(void *);
	struct map_iter it = { 0 };

	while (map_next(b->by_key, &it)) {
		const struct service *s = it.value;

		n += sizeof(*s) + strlen(s->key) + 1 + s->n_ports * sizeof(*s->ports) + s->n_elems * sizeof(*s->elems) +
		     s->n_pods * sizeof(*s->pods) + 64;
	}
	return n;
}

/* --- records --- */

struct service_port *service_find_port(const struct service *s, const char *name, int family)
{
	for (uint32_t i = 0; s && i < s->n_ports; i++)
		if (s->ports[i].family == family && streq(s->ports[i].name, name))
			return &s->ports[i];
	return NULL;
}

static void service_add_elem(struct service *s, struct service_elem el)
{
	for (uint32_t i = 0; i < s->n_elems; i++)
		if (elem_same(&s->elems[i], &el))
			return;
	el.owner = s;
	s->elems[s->n_elems++] = el;
}

static struct service_elem service_elem_at(const struct net_service_port *p, enum service_set kind, uint32_t index,
					   const struct net_addr *a, enum service_chain chain)
{
	struct service_elem el = { .kind = kind, .family = (uint8_t)p->family, .index = (uint16_t)index,
				   .chain = (uint8_t)chain };

	if (a)
		memcpy(el.addr, a->b, net_addr_len(a));
	if (kind != SET_IP) {
		el.protocol = p->protocol;
		el.port = kind == SET_PORT ? p->node_port : p->port;
	}
	return el;
}

static void service_add_port_elems(struct service *s, const struct net_service_port *p, uint32_t index)
{
	if (p->cluster_ip.family) {
		service_add_elem(s, service_elem_at(p, SET_ADDR, index, &p->cluster_ip,
						    p->internal_local ? SERVICE_LOC : SERVICE_SVC));
		service_add_elem(s, service_elem_at(p, SET_IP, index, &p->cluster_ip, 0));
	}
	for (size_t i = 0; i < p->n_external; i++)
		service_add_elem(s, service_elem_at(p, SET_ADDR, index, &p->external[i], SERVICE_EXT));
	for (size_t i = 0; i < p->n_lb; i++)
		service_add_elem(s, service_elem_at(p, SET_ADDR, index, &p->lb[i],
						    p->restricted ? SERVICE_ALLOW : SERVICE_EXT));
	if (p->node_port)
		service_add_elem(s, service_elem_at(p, SET_PORT, index, NULL, SERVICE_EXT));
}

static void service_add_pod(struct service *s, const struct net_addr *a)
{
	for (uint32_t i = 0; i < s->n_pods; i++)
		if (net_addr_equal(&s->pods[i], a))
			return;
	s->pods = xreallocarray(s->pods, s->n_pods + 1, sizeof(*s->pods));
	s->pods[s->n_pods++] = *a;
}

/* A local endpoint may be in either list. */
static void service_add_pods(struct service *s, const struct net *n, const struct net_endpoint *v, size_t n_v)
{
	const struct nft_net *nets;
	size_t n_nets = net_nets(n, &nets);

	for (size_t i = 0; i < n_v; i++)
		for (size_t k = 0; k < n_nets; k++)
			if (net_prefix_has(&nets[k].pods, &v[i].addr))
				service_add_pod(s, &v[i].addr);
}

struct service *service_make(const struct net *n, const char *key, int64_t created, const struct net_service_port *v,
			     size_t n_ports)
{
	struct service *s = xcalloc(1, sizeof(*s));
	size_t elems = 0;

	s->key = xstrdup(key);
	s->created = created;
	s->n_ports = (uint32_t)n_ports;
	s->ports = xcalloc(n_ports + 1, sizeof(*s->ports));
	for (size_t i = 0; i < n_ports; i++)
		elems += 3 + v[i].n_external + v[i].n_lb;
	s->elems = xcalloc(elems + 1, sizeof(*s->elems));
	for (size_t i = 0; i < n_ports; i++) {
		struct service_port *p = &s->ports[i];

		*p = (struct service_port){ .name = xstrdup(v[i].name), .family = (uint8_t)v[i].family,
					    .protocol = v[i].protocol, .chains = (uint8_t)service_chains(&v[i]),
					    .affinity_s = v[i].affinity_s };
		for (unsigned c = 0; c < SERVICE_CHAINS; c++)
			p->hash[c] = p->chains & (1u << c) ? service_chain_hash(&v[i], c) : 0;
		service_add_port_elems(s, &v[i], (uint32_t)i);
		service_add_pods(s, n, v[i].cluster, v[i].n_cluster);
		service_add_pods(s, n, v[i].local, v[i].n_local);
	}
	s->elems = xreallocarray(s->elems, s->n_elems + 1, sizeof(*s->elems));
	return s;
}

struct service *service_free(struct service *s)
{
	if (!s)
		return NULL;
	for (uint32_t i = 0; i < s->n_ports; i++)
		free(s->ports[i].name);
	free(s->ports);
	free(s->elems);
	free(s->pods);
	free(s->key);
	free(s);
	return NULL;
}
