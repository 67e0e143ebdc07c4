/*
 * What Services are given: addresses of ranges and ports on every node
 * (alloc.c), and what of their IP families follows from the cluster
 * (alloc-family.c).
 */
#ifndef API_ALLOC_H
#define API_ALLOC_H

#include "api/internal.h"

/* --- pools (alloc-pool.c): numbers that are taken or free --- */
struct pool_bits { /* pages are made when something in them is set */
	uint8_t **pages;
	uint32_t n;
};
void pool_bits_init(struct pool_bits *b, uint32_t n);
void pool_bits_release(struct pool_bits *b);
bool pool_bits_get(const struct pool_bits *b, uint32_t i);
void pool_bits_set(struct pool_bits *b, uint32_t i, bool on);

struct pool {
	struct pool_bits used;
	struct pool_bits foreign; /* not by us; n 0: there is nothing of the kind */
	uint32_t first, end; /* those in between may be given */
	uint32_t band; /* below, one is only given to who asks for it, until all others are taken */
};
/* A free one near where chance points, the upper band first; -1: none. */
int64_t pool_pick(const struct pool *p, uint64_t chance);
static inline bool pool_is_free(const struct pool *p, uint32_t i)
{
	return !pool_bits_get(&p->used, i) && !pool_bits_get(&p->foreign, i);
}
/* Where the upper band of so many begins. */
uint32_t pool_band(uint32_t n, uint32_t step, uint32_t min, uint32_t max);

/* --- ranges of addresses (alloc-pool.c) --- */
#define ALLOC_RANGE_MAX (1u << 20) /* of a larger network the first so many are used */

struct alloc_range {
	struct ip_prefix net;
	struct pool pool; /* numbers are offsets into the network */
	bool configured; /* the server was started with it */
	bool listed, ready; /* some ServiceCIDR has it; one that addresses may be taken from */
};
struct alloc_range *alloc_range_new(const struct ip_prefix *net);
struct alloc_range *alloc_range_free(struct alloc_range *g);
int64_t alloc_range_index(const struct alloc_range *g, const struct ip_addr *a); /* -1: not in it */
struct ip_addr alloc_range_at(const struct alloc_range *g, uint32_t i);
static inline bool alloc_range_is_open(const struct alloc_range *g)
{
	return g->listed ? g->ready : g->configured;
}

struct alloc {
	VEC(struct alloc_range *) ranges; /* those configured first */
	bool six_first; /* the primary family */
	bool has[2]; /* families of the cluster: IPv4, IPv6 */
	struct ip_addr first; /* of the primary network: the `kubernetes` Service's */
	char first_text[IP_TEXT];
	struct pool ports;
	int port_min;
	struct store_watch *services, *addresses, *cidrs;
	const struct resource *address_res, *cidr_res;
};

/* --- alloc-family.c --- */
/* "IPv4" or "IPv6" */
static inline const char *alloc_family_name(bool six)
{
	return six ? "IPv6" : "IPv4";
}
/* An update that leaves out what was given keeps it; clusterIP and clusterIPs say the same. old NULL: create. */
void alloc_normalize(struct doc *d, struct node *spec, const struct node *old);
/* ipFamilyPolicy and ipFamilies as they will be, or what is wrong with them. */
int alloc_families(struct req *r, struct doc *d, struct node *spec, const struct node *old, struct err *e) MUST_CHECK;
/* Nothing is to be done about the addresses of this update: it leaves a Service alone that prefers two. */
bool alloc_families_stay(const struct node *spec, const struct node *old);

static inline bool service_has_ip(const struct node *spec)
{
	return !streq(node_gets(spec, F_type), "ExternalName");
}
static inline bool service_is_headless(const struct node *spec)
{
	return node_streq(node_get(spec, F_clusterIP), "None") || node_streq(node_first(node_get(spec, F_clusterIPs)), "None");
}
static inline bool service_has_node_ports(const struct node *spec)
{
	return streq(node_gets(spec, F_type), "NodePort") || streq(node_gets(spec, F_type), "LoadBalancer");
}
/* Does it get them without naming them? */
static inline bool service_wants_node_ports(const struct node *spec)
{
	return streq(node_gets(spec, F_type), "NodePort") ||
	       (streq(node_gets(spec, F_type), "LoadBalancer") &&
		node_bool(node_get(spec, F_allocateLoadBalancerNodePorts), true));
}
/* Balancers that send to nodes with a pod only ask each node at a port whether it has one. */
static inline bool service_wants_health_port(const struct node *spec)
{
	return streq(node_gets(spec, F_type), "LoadBalancer") && streq(node_gets(spec, F_externalTrafficPolicy), "Local");
}

#endif
