/*
 * ARP (RFC 826, 5227) and neighbour discovery (RFC 4861) as bytes. Pure.
 */
#include <arpa/inet.h>
#include <net/ethernet.h>
#include <netinet/icmp6.h>
#include <netinet/ip6.h>

#include "net/announce.h"

enum { ARP_ASK = 1, ARP_TELL = 2 };

struct arp_frame {
	struct ether_header eth;
	uint16_t link, network;
	uint8_t link_len, network_len;
	uint16_t op;
	uint8_t sender_mac[6], sender[4], target_mac[6], target[4];
} __attribute__((packed));

struct nd_frame {
	struct ether_header eth;
	struct ip6_hdr ip;
	uint8_t type, code;
	uint16_t sum;
	uint32_t flags;
	uint8_t target[16];
	uint8_t option[8]; /* type, length in units of 8, link address */
} __attribute__((packed));

#define ND_SOLICITED 0x40000000u
#define ND_OVERRIDE 0x20000000u

_Static_assert(sizeof(struct nd_frame) == NEIGH_FRAME, "the longest frame");

static const uint8_t everybody[6] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };

static struct net_addr neigh_addr(int family, const uint8_t *b)
{
	static const uint8_t none[16];
	struct net_addr a = { .family = family };
	size_t n = net_addr_len(&a);

	if (memcmp(b, none, n) == 0)
		return (struct net_addr){ 0 };
	memcpy(a.b, b, n);
	return a;
}

/* --- reading --- */

static bool arp_parse(struct neigh *ret, const struct arp_frame *f, size_t n)
{
	if (n < sizeof(*f) || f->link != htons(1) || f->network != htons(ETHERTYPE_IP) || f->link_len != 6 ||
	    f->network_len != 4)
		return false;
	ret->from = ret->claims = neigh_addr(AF_INET, f->sender);
	memcpy(ret->mac, f->sender_mac, 6);
	if (f->op == htons(ARP_ASK) && memcmp(f->sender, f->target, 4) != 0)
		ret->asks = neigh_addr(AF_INET, f->target);
	return f->op == htons(ARP_ASK) || f->op == htons(ARP_TELL);
}

static bool nd_parse(struct neigh *ret, const struct nd_frame *f, size_t n)
{
	const size_t least = sizeof(*f) - sizeof(f->option);

	if (n < least || f->ip.ip6_nxt != IPPROTO_ICMPV6 || f->ip.ip6_hlim != 255 || f->code || f->target[0] == 0xff)
		return false;
	memcpy(ret->mac, f->eth.ether_shost, 6);
	if (f->type == ND_NEIGHBOR_SOLICIT) {
		ret->asks = neigh_addr(AF_INET6, f->target);
		ret->from = neigh_addr(AF_INET6, f->ip.ip6_src.s6_addr);
		return true;
	}
	ret->claims = neigh_addr(AF_INET6, f->target);
	if (n >= sizeof(*f) && f->option[0] == ND_OPT_TARGET_LINKADDR && f->option[1] == 1)
		memcpy(ret->mac, f->option + 2, 6);
	return f->type == ND_NEIGHBOR_ADVERT;
}

bool neigh_parse(struct neigh *ret, const uint8_t *frame, size_t n)
{
	const struct ether_header *eth = (const struct ether_header *)frame;

	*ret = (struct neigh){ 0 };
	if (n < sizeof(*eth))
		return false;
	if (eth->ether_type == htons(ETHERTYPE_ARP))
		return arp_parse(ret, (const struct arp_frame *)frame, n);
	return eth->ether_type == htons(ETHERTYPE_IPV6) && nd_parse(ret, (const struct nd_frame *)frame, n);
}

/* --- writing --- */

static size_t arp_build(uint8_t *out, int op, const uint8_t mac[6], const uint8_t *sender, const uint8_t to_mac[6],
			const uint8_t *target)
{
	struct arp_frame f = { .link = htons(1), .network = htons(ETHERTYPE_IP), .link_len = 6, .network_len = 4,
			       .op = htons((uint16_t)op) };

	memcpy(f.eth.ether_shost, mac, 6);
	memcpy(f.eth.ether_dhost, to_mac, 6);
	f.eth.ether_type = htons(ETHERTYPE_ARP);
	memcpy(f.sender_mac, mac, 6);
	if (sender)
		memcpy(f.sender, sender, 4);
	if (op == ARP_TELL)
		memcpy(f.target_mac, to_mac, 6);
	memcpy(f.target, target, 4);
	memcpy(out, &f, sizeof(f));
	return sizeof(f);
}

static void nd_sum(struct nd_frame *f, size_t n)
{
	const uint8_t *p = (const uint8_t *)f + offsetof(struct nd_frame, ip.ip6_src);
	uint32_t sum = (uint32_t)(n - offsetof(struct nd_frame, type)) + IPPROTO_ICMPV6;

	for (const uint8_t *end = (const uint8_t *)f + n; p < end; p += 2)
		sum += (uint32_t)p[0] << 8 | p[1];
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	f->sum = htons((uint16_t)~sum);
}

/* from NULL: unspecified; a group has a link address of its own. */
static size_t nd_build(uint8_t *out, int type, uint32_t flags, const uint8_t mac[6], const uint8_t *from,
		       const uint8_t to_mac[6], const uint8_t *to, const uint8_t *target)
{
	struct nd_frame f = { .type = (uint8_t)type, .flags = htonl(flags) };
	size_t n = type == ND_NEIGHBOR_ADVERT ? sizeof(f) : sizeof(f) - sizeof(f.option);

	memcpy(f.eth.ether_shost, mac, 6);
	if (to[0] == 0xff) {
		f.eth.ether_dhost[0] = f.eth.ether_dhost[1] = 0x33;
		memcpy(f.eth.ether_dhost + 2, to + 12, 4);
	} else {
		memcpy(f.eth.ether_dhost, to_mac, 6);
	}
	f.eth.ether_type = htons(ETHERTYPE_IPV6);
	f.ip.ip6_vfc = 6 << 4;
	f.ip.ip6_plen = htons((uint16_t)(n - offsetof(struct nd_frame, type)));
	f.ip.ip6_nxt = IPPROTO_ICMPV6;
	f.ip.ip6_hlim = 255;
	if (from)
		memcpy(&f.ip.ip6_src, from, 16);
	memcpy(&f.ip.ip6_dst, to, 16);
	memcpy(f.target, target, 16);
	f.option[0] = ND_OPT_TARGET_LINKADDR;
	f.option[1] = 1;
	memcpy(f.option + 2, mac, 6);
	nd_sum(&f, n);
	memcpy(out, &f, n);
	return n;
}

struct net_addr neigh_group(const struct net_addr *a)
{
	struct net_addr g = { AF_INET6, { 0xff, 0x02, [11] = 1, [12] = 0xff } };

	memcpy(g.b + 13, a->b + 13, 3);
	return g;
}

size_t neigh_probe(uint8_t out[NEIGH_FRAME], const struct net_addr *a, const uint8_t mac[6])
{
	struct net_addr group = neigh_group(a);

	if (a->family == AF_INET)
		return arp_build(out, ARP_ASK, mac, NULL, everybody, a->b);
	return nd_build(out, ND_NEIGHBOR_SOLICIT, 0, mac, NULL, NULL, group.b, a->b);
}

static const uint8_t all_nodes[16] = { 0xff, 0x02, [15] = 1 };

size_t neigh_announce(uint8_t out[NEIGH_FRAME], const struct net_addr *a, const uint8_t mac[6], bool as_answer)
{
	if (a->family == AF_INET)
		return arp_build(out, as_answer ? ARP_TELL : ARP_ASK, mac, a->b, everybody, a->b);
	return nd_build(out, ND_NEIGHBOR_ADVERT, ND_OVERRIDE, mac, a->b, NULL, all_nodes, a->b);
}

size_t neigh_answer(uint8_t out[NEIGH_FRAME], const struct net_addr *a, const uint8_t mac[6], const struct neigh *asked)
{
	static const uint8_t nobody[4];

	if (a->family == AF_INET)
		return arp_build(out, ARP_TELL, mac, a->b, asked->mac, asked->from.family ? asked->from.b : nobody);
	if (!asked->from.family)
		return nd_build(out, ND_NEIGHBOR_ADVERT, ND_OVERRIDE, mac, a->b, NULL, all_nodes, a->b);
	return nd_build(out, ND_NEIGHBOR_ADVERT, ND_SOLICITED | ND_OVERRIDE, mac, a->b, asked->mac, asked->from.b, a->b);
}
