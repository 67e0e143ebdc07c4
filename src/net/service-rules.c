/*
 * What is in the chains of one port of a Service, of one family. G is the
 * generation (service.c):
 *
 *	chain svc-G/NS/NAME/PORT {		# to any endpoint
 *		numgen random mod 3 == 0 dnat ip to 10.42.0.5:8080
 *		numgen random mod 2 == 0 dnat ip to 10.42.0.6:8080
 *		dnat ip to 10.42.0.7:8080	# of many: numgen random mod 100 map { 0 : 10.42.0.5 . 8080, ... }
 *	}					# of none: reject
 *	chain loc-G/NS/NAME/PORT {		# to those of this node; of none while there are others: drop
 *	}
 *	chain ext-G/NS/NAME/PORT {		# by a node port, an external address
 *		meta mark set mark | 0x2000 goto svc	# with policy Cluster: the answer must come back through us
 *	}					# with policy Local:
 *		ip saddr CLUSTER goto svc		# what is inside comes to all of them
 *		fib saddr type local meta mark set mark | 0x2000 goto svc
 *		goto loc
 *	chain allow-G/NS/NAME/PORT {		# by the address of a load balancer with loadBalancerSourceRanges
 *		ip saddr 192.0.2.0/24 goto ext
 *		drop
 *	}
 *
 * With session affinity there is a map from clients to endpoints that forgets. Endpoints
 * have numbers there, which say nothing once the endpoint is gone:
 *
 *		update @aff { ip saddr : ip saddr map @aff } dnat ip to (ip saddr map @aff) map { 0x123 : 10.42.0.5 . 8080, ... }
 *		delete @aff { ip saddr } update @aff { ip saddr : one of the numbers } dnat ip to that endpoint
 *		dnat ip to one of the endpoints		# @aff is full
 *
 * The choice among many endpoints is one look into a map.
 */
#include <arpa/inet.h>
#include <stdio.h>

#include "base/hash.h"
#include "base/map.h"
#include "net/nft.h"

/* So many endpoints have a rule each: the kernel walks through all sets of a table for each new one without a name, which
 * makes 10,000 Services with a map each slow to write. */
#define RULES_FEW 8
#define R_ADDR 0u
#define R_CLIENT 8u
#define R_NUMBER 12u

static const char *const service_chain_names[] = { "allow", "ext", "loc", "svc" };

void service_chain_name(char out[SERVICE_NAME], enum service_chain c, char generation, const char *key, const char *port,
			int family)
{
	snprintf(out, SERVICE_NAME, "%s-%c/%s%s%s%s", service_chain_names[c], generation, key, *port ? "/" : "", port,
		 family == AF_INET6 ? "/6" : "");
}

void service_affinity_name(char out[SERVICE_NAME], const char *key, const char *port, int family, uint32_t seconds)
{
	snprintf(out, SERVICE_NAME, "aff/%s/%s/%c/%u", key, port, family == AF_INET6 ? '6' : '4', seconds);
}

static bool service_is_external(const struct net_service_port *p)
{
	return p->node_port || p->n_external || p->n_lb;
}

unsigned service_chains(const struct net_service_port *p)
{
	bool ext = service_is_external(p);
	unsigned bits = 0;

	if (!p->internal_local || ext)
		bits |= 1u << SERVICE_SVC;
	if (p->internal_local || (ext && p->external_local))
		bits |= 1u << SERVICE_LOC;
	if (ext)
		bits |= 1u << SERVICE_EXT;
	if (p->n_lb && p->restricted)
		bits |= 1u << SERVICE_ALLOW;
	return bits;
}

/* --- endpoints --- */

static unsigned rules_port_reg(int family)
{
	return family == AF_INET6 ? 4 : 1;
}

/* Address and port as they lie in registers; returns their length. */
static unsigned rules_target(const struct net_endpoint *ep, uint8_t out[20])
{
	unsigned n = (unsigned)net_addr_len(&ep->addr);
	uint16_t port = htons(ep->port);

	memset(out, 0, 20);
	memcpy(out, ep->addr.b, n);
	memcpy(out + n, &port, 2);
	return n + 4;
}

static enum nft_type rules_addr_type(int family)
{
	return family == AF_INET6 ? NFT_T_IP6 : NFT_T_IP4;
}

/* A map from 0 to n - 1 to the endpoints, for one rule. */
static uint32_t rules_map(struct nft_batch *b, int family, const struct net_endpoint *v, size_t n)
{
	struct nft_set set = { .name = "__map%d", .key = { NFT_T_NUMBER }, .flags = NFT_SET_ANONYMOUS | NFT_SET_CONSTANT,
			       .data = { rules_addr_type(family), NFT_T_PORT }, .size = (uint32_t)n };
	uint32_t id;

	if (n < 2)
		return 0;
	id = nft_set_add(b, &set);
	nft_elems(b, NFT_MSG_NEWSETELEM, set.name, id);
	for (uint32_t i = 0; i < n; i++) {
		uint8_t data[20];
		unsigned len = rules_target(&v[i], data);

		nft_elem(b, &(struct nft_elem){ .key = &i, .key_len = 4, .data = data, .data_len = len });
	}
	nft_elems_end(b);
	return id;
}

/* Endpoints by numbers that stay with them, for session affinity. */
static uint32_t *rules_numbers(const struct net_endpoint *v, size_t n)
{
	uint32_t *ids = xreallocarray(NULL, n, sizeof(*ids));
	struct map *seen = map_new(NULL);

	for (size_t i = 0; i < n; i++) {
		uint8_t key[20];
		unsigned len = rules_target(&v[i], key);

		ids[i] = hash_fnv32a(str_n((const char *)key, len));
		while (map_get(seen, str_n((const char *)&ids[i], 4)))
			ids[i]++;
		map_set(seen, str_n((const char *)&ids[i], 4), seen);
	}
	map_free(seen);
	return ids;
}

/* A map for one rule: from numbers to endpoints, or (to NULL) from 0 to n - 1 to numbers. */
static uint32_t rules_number_map(struct nft_batch *b, int family, const uint32_t *ids, const struct net_endpoint *to,
				 size_t n)
{
	struct nft_set set = { .name = "__map%d", .key = { to ? NFT_T_MARK : NFT_T_NUMBER },
			       .flags = NFT_SET_ANONYMOUS | NFT_SET_CONSTANT, .size = (uint32_t)n,
			       .data = { to ? rules_addr_type(family) : NFT_T_MARK, to ? NFT_T_PORT : NFT_T_NONE } };
	uint32_t id = nft_set_add(b, &set);

	nft_elems(b, NFT_MSG_NEWSETELEM, set.name, id);
	for (uint32_t i = 0; i < n; i++) {
		struct nft_elem el = { .key = to ? &ids[i] : &i, .key_len = 4, .data = &ids[i], .data_len = 4 };
		uint8_t data[20];

		if (to) {
			el.data = data;
			el.data_len = rules_target(&to[i], data);
		}
		nft_elem(b, &el);
	}
	nft_elems_end(b);
	return id;
}

/* One endpoint's address and port come into the registers. */
static void rules_choose(struct nft_batch *b, int family, const struct net_endpoint *v, size_t n, uint32_t map)
{
	uint16_t port = htons(v[0].port);

	if (n > 1) {
		nft_numgen(b, (uint32_t)n, R_ADDR);
		nft_lookup(b, "__map%d", map, R_ADDR, R_ADDR);
		return;
	}
	nft_immediate(b, R_ADDR, v[0].addr.b, net_addr_len(&v[0].addr));
	nft_immediate(b, rules_port_reg(family), &port, 2);
}

static void rules_dnat(struct nft_batch *b, int family)
{
	nft_dnat(b, family, R_ADDR, (int)rules_port_reg(family));
	nft_rule_end(b);
}

/* What came out of a map goes once through the packet's priority, which nobody has set yet for the first packet of a
 * connection: nft(8) dies of maps within maps when it lists rules. */
static void rules_launder(struct nft_batch *b)
{
	nft_meta_set(b, NFT_META_PRIORITY, R_NUMBER);
	nft_meta(b, NFT_META_PRIORITY, R_NUMBER);
}

static void rules_unlaunder(struct nft_batch *b)
{
	uint32_t none = 0;

	nft_immediate(b, R_NUMBER, &none, 4);
	nft_meta_set(b, NFT_META_PRIORITY, R_NUMBER);
}

static void rules_affinity(struct nft_batch *b, const struct service_rules *r, const char *chain,
			   const struct net_endpoint *v, size_t n)
{
	_cleanup_free_ uint32_t *ids = rules_numbers(v, n);
	int family = r->p->family;
	char clients[SERVICE_NAME];
	uint32_t to = rules_number_map(b, family, ids, v, n), any;

	service_affinity_name(clients, r->key, r->p->name, family, r->p->affinity_s);
	nft_rule(b, chain);
	nft_load_addr(b, family, true, R_CLIENT);
	nft_lookup(b, clients, 0, R_CLIENT, R_NUMBER);
	rules_launder(b);
	nft_lookup(b, "__map%d", to, R_NUMBER, R_ADDR);
	nft_dynset(b, NFT_DYNSET_OP_UPDATE, clients, R_CLIENT, R_NUMBER, 0);
	rules_unlaunder(b);
	rules_dnat(b, family);
	to = rules_number_map(b, family, ids, v, n);
	any = rules_number_map(b, family, ids, NULL, n);
	nft_rule(b, chain);
	nft_load_addr(b, family, true, R_CLIENT);
	nft_numgen(b, (uint32_t)n, R_NUMBER);
	nft_lookup(b, "__map%d", any, R_NUMBER, R_NUMBER);
	rules_launder(b);
	nft_dynset(b, NFT_DYNSET_OP_DELETE, clients, R_CLIENT, R_NUMBER, 0); /* or an old one would stay */
	nft_dynset(b, NFT_DYNSET_OP_UPDATE, clients, R_CLIENT, R_NUMBER, 0);
	nft_lookup(b, "__map%d", to, R_NUMBER, R_ADDR);
	rules_unlaunder(b);
	rules_dnat(b, family);
}

/* The first of n endpoints, in one of n cases. */
static void rules_perhaps(struct nft_batch *b, const struct service_rules *r, const char *chain,
			  const struct net_endpoint *v, size_t n)
{
	uint32_t hit = 0;

	nft_rule(b, chain);
	nft_numgen(b, (uint32_t)n, R_NUMBER);
	nft_cmp(b, NFT_CMP_EQ, R_NUMBER, &hit, 4);
	rules_choose(b, r->p->family, v, 1, 0);
	if (r->p->affinity_s)
		rules_unlaunder(b);
	rules_dnat(b, r->p->family);
}

static void rules_endpoints(struct nft_batch *b, const struct service_rules *r, const char *chain,
			    const struct net_endpoint *v, size_t n, bool others)
{
	uint32_t id;

	if (!n) {
		nft_rule(b, chain);
		if (others)
			nft_verdict(b, NF_DROP, NULL);
		else
			nft_reject(b, NFT_REJECT_ICMPX_UNREACH, NFT_REJECT_ICMPX_PORT_UNREACH);
		nft_rule_end(b);
		return;
	}
	if (r->p->affinity_s)
		rules_affinity(b, r, chain, v, n);
	for (; n > 1 && n <= RULES_FEW; v++, n--)
		rules_perhaps(b, r, chain, v, n);
	id = rules_map(b, r->p->family, v, n);
	nft_rule(b, chain);
	rules_choose(b, r->p->family, v, n, id);
	if (r->p->affinity_s)
		rules_unlaunder(b);
	rules_dnat(b, r->p->family);
}

/* --- who comes from where --- */

static void rules_goto(struct nft_batch *b, const struct service_rules *r, enum service_chain c)
{
	char name[SERVICE_NAME];

	service_chain_name(name, c, r->generation, r->key, r->p->name, r->p->family);
	nft_verdict(b, NFT_GOTO, name);
	nft_rule_end(b);
}

static void rules_ext(struct nft_batch *b, const struct service_rules *r, const char *chain)
{
	if (!r->p->external_local) {
		nft_rule(b, chain);
		nft_mark_or(b, NFT_MASQUERADE_MARK);
		rules_goto(b, r, SERVICE_SVC);
		return;
	}
	if (r->cluster) {
		nft_rule(b, chain);
		nft_match_family(b, r->p->family);
		nft_match_prefix(b, true, NFT_CMP_EQ, r->cluster);
		rules_goto(b, r, SERVICE_SVC);
	}
	nft_rule(b, chain);
	nft_match_local(b, NFTA_FIB_F_SADDR);
	nft_mark_or(b, NFT_MASQUERADE_MARK);
	rules_goto(b, r, SERVICE_SVC);
	nft_rule(b, chain);
	rules_goto(b, r, SERVICE_LOC);
}

static void rules_allow(struct nft_batch *b, const struct service_rules *r, const char *chain)
{
	for (size_t i = 0; i < r->p->n_sources; i++) {
		if (r->p->sources[i].addr.family != r->p->family)
			continue;
		nft_rule(b, chain);
		nft_match_family(b, r->p->family);
		nft_match_prefix(b, true, NFT_CMP_EQ, &r->p->sources[i]);
		rules_goto(b, r, SERVICE_EXT);
	}
	nft_rule(b, chain);
	nft_verdict(b, NF_DROP, NULL);
	nft_rule_end(b);
}

void service_chain_fill(struct nft_batch *b, const struct service_rules *r, enum service_chain c)
{
	char chain[SERVICE_NAME];

	service_chain_name(chain, c, r->generation, r->key, r->p->name, r->p->family);
	switch (c) {
	case SERVICE_SVC:
		rules_endpoints(b, r, chain, r->p->cluster, r->p->n_cluster, false);
		break;
	case SERVICE_LOC:
		rules_endpoints(b, r, chain, r->p->local, r->p->n_local, r->p->any);
		break;
	case SERVICE_EXT:
		rules_ext(b, r, chain);
		break;
	default:
		rules_allow(b, r, chain);
	}
}

static void hash_endpoints(struct buf *b, const struct net_endpoint *v, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		buf_add(b, v[i].addr.b, net_addr_len(&v[i].addr));
		buf_add(b, &v[i].port, sizeof(v[i].port));
	}
}

uint64_t service_chain_hash(const struct net_service_port *p, enum service_chain c)
{
	_cleanup_buf_ struct buf b = BUF_INIT;

	buf_addch(&b, (char)c);
	switch (c) {
	case SERVICE_SVC:
		buf_addf(&b, "%u ", p->affinity_s);
		hash_endpoints(&b, p->cluster, p->n_cluster);
		break;
	case SERVICE_LOC:
		buf_addf(&b, "%u %d ", p->affinity_s, p->any);
		hash_endpoints(&b, p->local, p->n_local);
		break;
	case SERVICE_EXT:
		buf_addf(&b, "%d", p->external_local);
		break;
	default:
		for (size_t i = 0; i < p->n_sources; i++) {
			buf_add(&b, p->sources[i].addr.b, sizeof(p->sources[i].addr.b));
			buf_addf(&b, "/%u", p->sources[i].bits);
		}
	}
	return hash_sip(buf_str(&b));
}
