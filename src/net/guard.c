/*
 * What may come from a pod's link: frames with the pod's own MAC and addresses, to
 * its gateway; of IPv6 also what finds neighbours. No answers to ARP or NDP in the
 * name of others, no router advertisements and redirects, no DHCP servers, no other
 * protocols. A table of family bridge:
 *
 *	table bridge kinglet {
 *		set links { type ifname }			# guarded links
 *		set macs { type ifname . ether_addr }
 *		set addresses { type ifname . ipv4_addr }
 *		set addresses6 { type ifname . ipv6_addr }
 *		chain guard { type filter hook prerouting priority dstnat;
 *			iifname != @links accept
 *			iifname . ether saddr != @macs drop
 *			ether daddr & 01:.. == 0 ether daddr != GATEWAY drop	# past the routing
 *			meta protocol arp goto arp
 *			meta protocol ip goto ip4
 *			meta protocol ip6 goto ip6
 *			drop
 *		}
 *		chain arp ..., ip4 ..., ip6 ...
 *	}
 *
 * Each pod is one element of each set. The table stays when this process ends, and
 * putting it in place again keeps the sets: what is in them is guarded at each moment.
 * Links of an earlier version are in no set, and pass.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <net/if.h>
#include <netinet/icmp6.h>
#include <netinet/ip_icmp.h>
#include <stddef.h>
#include <stdio.h>

#include "net/nft.h"

#define GUARD_HOOK 0u /* NF_BR_PRE_ROUTING; linux/netfilter_bridge.h and net/if.h exclude each other */
#define GUARD_PRIORITY (-300) /* before br_netfilter takes frames through the inet tables */
#define GUARD_LINK 0u /* registers: the link's name, and what is looked up with it */
#define GUARD_REST 4u
#define GUARD_ARP_SHA 8u /* offsets in ARP of Ethernet and IPv4 */
#define GUARD_ARP_SPA 14u
#define GUARD_NA_TARGET 8u

struct guard {
	struct nft *nft;
};

static const struct nft_set guard_sets[] = {
	{ .name = "links", .key = { NFT_T_LINK } },
	{ .name = "macs", .key = { NFT_T_LINK, NFT_T_ETHER } },
	{ .name = "addresses", .key = { NFT_T_LINK, NFT_T_IP4 } },
	{ .name = "addresses6", .key = { NFT_T_LINK, NFT_T_IP6 } },
};
enum { GUARD_LINKS, GUARD_MACS, GUARD_V4, GUARD_V6 };

/* Goes on when the n bytes there do not belong to the link. */
static void guard_foreign(struct nft_batch *b, int set, enum nft_payload_bases base, unsigned at, unsigned n)
{
	nft_meta(b, NFT_META_IIFNAME, GUARD_LINK);
	nft_payload(b, base, at, n, GUARD_REST);
	nft_lookup_not(b, guard_sets[set].name, 0, GUARD_LINK);
}

static void guard_end(struct nft_batch *b, int verdict, const char *chain)
{
	nft_verdict(b, verdict, chain);
	nft_rule_end(b);
}

static void guard_protocol(struct nft_batch *b, uint16_t ether, const char *chain)
{
	uint16_t type = htons(ether);

	nft_rule(b, "guard");
	nft_match_meta(b, NFT_META_PROTOCOL, &type, 2);
	guard_end(b, NFT_GOTO, chain);
}

static void guard_fill(struct nft_batch *b, struct link_mac gateway)
{
	static const uint8_t group = 1, none = 0;

	nft_rule(b, "guard");
	nft_meta(b, NFT_META_IIFNAME, GUARD_LINK);
	nft_lookup_not(b, "links", 0, GUARD_LINK);
	guard_end(b, NF_ACCEPT, NULL);
	nft_rule(b, "guard");
	guard_foreign(b, GUARD_MACS, NFT_PAYLOAD_LL_HEADER, offsetof(struct ethhdr, h_source), 6);
	guard_end(b, NF_DROP, NULL);
	nft_rule(b, "guard");
	nft_payload(b, NFT_PAYLOAD_LL_HEADER, 0, 1, 0);
	nft_bitwise(b, 0, &group, &none, 1);
	nft_cmp(b, NFT_CMP_EQ, 0, &none, 1);
	nft_payload(b, NFT_PAYLOAD_LL_HEADER, 0, 6, 0);
	nft_cmp(b, NFT_CMP_NEQ, 0, gateway.b, 6);
	guard_end(b, NF_DROP, NULL);
	guard_protocol(b, ETH_P_ARP, "arp");
	guard_protocol(b, ETH_P_IP, "ip4");
	guard_protocol(b, ETH_P_IPV6, "ip6");
	nft_rule(b, "guard");
	guard_end(b, NF_DROP, NULL);
}

static void guard_fill_arp(struct nft_batch *b)
{
	nft_rule(b, "arp");
	guard_foreign(b, GUARD_MACS, NFT_PAYLOAD_NETWORK_HEADER, GUARD_ARP_SHA, 6);
	guard_end(b, NF_DROP, NULL);
	nft_rule(b, "arp");
	guard_foreign(b, GUARD_V4, NFT_PAYLOAD_NETWORK_HEADER, GUARD_ARP_SPA, 4);
	guard_end(b, NF_DROP, NULL);
}

static void guard_from_port(struct nft_batch *b, const char *chain, uint16_t number)
{
	uint8_t udp = IPPROTO_UDP;
	uint16_t port = htons(number);

	nft_rule(b, chain);
	nft_match_meta(b, NFT_META_L4PROTO, &udp, 1);
	nft_payload(b, NFT_PAYLOAD_TRANSPORT_HEADER, 0, 2, 0);
	nft_cmp(b, NFT_CMP_EQ, 0, &port, 2);
	nft_payload(b, NFT_PAYLOAD_TRANSPORT_HEADER, NFT_TH_DPORT, 2, 0);
	port = htons(number == 67 ? 68 : 546);
	nft_cmp(b, NFT_CMP_EQ, 0, &port, 2);
	guard_end(b, NF_DROP, NULL);
}

static void guard_fill_ip4(struct nft_batch *b)
{
	nft_rule(b, "ip4");
	guard_foreign(b, GUARD_V4, NFT_PAYLOAD_NETWORK_HEADER, NFT_IP4_SADDR, 4);
	guard_end(b, NF_DROP, NULL);
	guard_from_port(b, "ip4", 67);
}

static void guard_icmp6(struct nft_batch *b, uint8_t type)
{
	uint8_t icmp = IPPROTO_ICMPV6;

	nft_match_meta(b, NFT_META_L4PROTO, &icmp, 1);
	nft_payload(b, NFT_PAYLOAD_TRANSPORT_HEADER, 0, 1, 0);
	nft_cmp(b, NFT_CMP_EQ, 0, &type, 1);
}

/* The address at that offset is (or is not) one that each link makes itself. */
static void guard_link_local(struct nft_batch *b, enum nft_payload_bases base, unsigned at, enum nft_cmp_ops op)
{
	static const uint8_t mask[2] = { 0xff, 0xc0 }, xor[2], want[2] = { 0xfe, 0x80 };

	nft_payload(b, base, at, 2, 8);
	nft_bitwise(b, 8, mask, xor, 2);
	nft_cmp(b, op, 8, want, 2);
}

static void guard_fill_ip6(struct nft_batch *b)
{
	static const uint8_t forbidden[] = { ND_ROUTER_ADVERT, ND_REDIRECT }, icmp = IPPROTO_ICMPV6, any[16];

	for (size_t i = 0; i < ARRAY_SIZE(forbidden); i++) {
		nft_rule(b, "ip6");
		guard_icmp6(b, forbidden[i]);
		guard_end(b, NF_DROP, NULL);
	}
	guard_from_port(b, "ip6", 547);
	nft_rule(b, "ip6");
	guard_icmp6(b, ND_NEIGHBOR_ADVERT);
	guard_link_local(b, NFT_PAYLOAD_TRANSPORT_HEADER, GUARD_NA_TARGET, NFT_CMP_NEQ);
	guard_foreign(b, GUARD_V6, NFT_PAYLOAD_TRANSPORT_HEADER, GUARD_NA_TARGET, 16);
	guard_end(b, NF_DROP, NULL);
	nft_rule(b, "ip6");
	guard_link_local(b, NFT_PAYLOAD_NETWORK_HEADER, NFT_IP6_SADDR, NFT_CMP_EQ);
	guard_end(b, NF_ACCEPT, NULL);
	nft_rule(b, "ip6");
	nft_match_meta(b, NFT_META_L4PROTO, &icmp, 1);
	nft_payload(b, NFT_PAYLOAD_NETWORK_HEADER, NFT_IP6_SADDR, 16, 0);
	nft_cmp(b, NFT_CMP_EQ, 0, any, 16);
	guard_end(b, NF_ACCEPT, NULL);
	nft_rule(b, "ip6");
	guard_foreign(b, GUARD_V6, NFT_PAYLOAD_NETWORK_HEADER, NFT_IP6_SADDR, 16);
	guard_end(b, NF_DROP, NULL);
}

static int guard_install(struct guard *g, struct link_mac gateway, struct err *e)
{
	static const char *const chains[] = { "arp", "ip4", "ip6" };
	struct nft_batch b;

	nft_begin(&b, g->nft);
	for (size_t i = 0; i < ARRAY_SIZE(guard_sets); i++)
		nft_set_add(&b, &guard_sets[i]);
	nft_chain_base(&b, "guard", "filter", GUARD_HOOK, GUARD_PRIORITY);
	nft_chain_flush(&b, "guard");
	for (size_t i = 0; i < ARRAY_SIZE(chains); i++) {
		nft_chain(&b, chains[i]);
		nft_chain_flush(&b, chains[i]);
	}
	guard_fill_arp(&b);
	guard_fill_ip4(&b);
	guard_fill_ip6(&b);
	guard_fill(&b, gateway);
	return nft_commit(&b, e);
}

struct guard *guard_open(const char *table, const char *bridge, struct link_mac gateway, struct buf *missing)
{
	struct guard *g = xcalloc(1, sizeof(*g));
	_cleanup_err_ struct err e = ERR_INIT;

	g->nft = nft_new(NFPROTO_BRIDGE, table);
	if (guard_install(g, gateway, &e) == 0)
		return g;
	buf_addf(missing,
		 "nobody watches that pods on '%s' send from their own addresses only: %s; load the kernel's "
		 "nf_tables with its bridge family (CONFIG_NF_TABLES_BRIDGE)\n",
		 bridge, err_msg(&e));
	return guard_close(g);
}

struct guard *guard_close(struct guard *g)
{
	if (!g)
		return NULL;
	nft_free(g->nft);
	free(g);
	return NULL;
}

struct guard_key {
	uint8_t b[IFNAMSIZ + 16];
};

static void guard_element(struct nft_batch *b, int type, int set, struct guard_key *key, const void *rest, unsigned n)
{
	struct nft_elem el = { .key = key, .key_len = IFNAMSIZ + (n + 3) / 4 * 4 };

	memset(key->b + IFNAMSIZ, 0, 16);
	if (n)
		memcpy(key->b + IFNAMSIZ, rest, n);
	nft_elems(b, type, guard_sets[set].name, 0);
	nft_elem(b, &el);
	nft_elems_end(b);
}

static void guard_elements(struct nft_batch *b, int type, const struct guard_pod *p)
{
	struct guard_key key = { 0 };

	snprintf((char *)key.b, IFNAMSIZ, "%s", p->link);
	for (size_t i = 0; i < p->n; i++)
		guard_element(b, type, p->addrs[i].family == AF_INET ? GUARD_V4 : GUARD_V6, &key, p->addrs[i].b,
			      (unsigned)net_addr_len(&p->addrs[i]));
	guard_element(b, type, GUARD_MACS, &key, p->mac.b, sizeof(p->mac.b));
	guard_element(b, type, GUARD_LINKS, &key, NULL, 0);
}

int guard_set(struct guard *g, const struct guard_pod *p, bool there, struct err *e)
{
	struct nft_batch b;

	if (!g)
		return 0;
	nft_begin(&b, g->nft);
	guard_elements(&b, NFT_MSG_NEWSETELEM, p); /* there already or not: then what follows finds them */
	if (!there)
		guard_elements(&b, NFT_MSG_DELSETELEM, p);
	return nft_commit(&b, e);
}

/* --- the other way round --- */

/* What is routed out of the link it came from makes a router tell of a nearer way; IPv6 has no sysctl against it. */
int guard_redirects(struct nft *t, const char *bridge, struct err *e)
{
	static const struct {
		int family;
		uint8_t protocol, type;
	} all[] = { { AF_INET, IPPROTO_ICMP, ICMP_REDIRECT }, { AF_INET6, IPPROTO_ICMPV6, ND_REDIRECT } };
	struct nft_batch b;

	nft_begin(&b, t);
	nft_chain_base(&b, "redirects", "filter", NF_INET_LOCAL_OUT, 0);
	nft_chain_flush(&b, "redirects");
	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		nft_rule(&b, "redirects");
		nft_match_link(&b, NFT_META_OIFNAME, NFT_CMP_EQ, bridge);
		nft_match_family(&b, all[i].family);
		nft_match_meta(&b, NFT_META_L4PROTO, &all[i].protocol, 1);
		nft_payload(&b, NFT_PAYLOAD_TRANSPORT_HEADER, 0, 1, 0);
		nft_cmp(&b, NFT_CMP_EQ, 0, &all[i].type, 1);
		guard_end(&b, NF_DROP, NULL);
	}
	return nft_commit(&b, e);
}
