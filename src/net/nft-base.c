/*
 * What is in our table from the start, and the host ports:
 *
 *	table inet kinglet {
 *		chain postrouting { type nat hook postrouting priority srcnat;
 *			meta mark & 0x2000 == 0x2000 meta mark set mark & ~0x2000 masquerade	# or the answer would go past us
 *			ip saddr PODS ip daddr != CLUSTER masquerade				# each family that is private
 *		}
 *		chain guard { type filter hook prerouting priority raw;
 *			iifname BRIDGE ip daddr 127.0.0.0/8 drop	# route_localnet lets them in
 *			iifname BRIDGE ip saddr 127.0.0.0/8 drop
 *		}
 *		chain prerouting { type nat hook prerouting priority dstnat;
 *			jump services					# filled by service.c
 *			fib daddr type local jump hostports
 *		}
 *		chain output { type nat hook output priority dstnat;
 *			jump services
 *			fib daddr type local jump hostports
 *		}
 *		chain hostports {	# of each port, and with "ip daddr HOST-IP" where it has one:
 *			meta l4proto tcp th dport 8080 ip saddr PODS meta mark set mark | 0x2000
 *			meta l4proto tcp th dport 8080 ip saddr 127.0.0.0/8 meta mark set mark | 0x2000
 *			meta l4proto tcp th dport 8080 dnat to IP:PORT
 *		}
 *	}
 *
 * Putting it in place again changes nothing for the packets that pass meanwhile,
 * and leaves alone what other files have put into the table. The host's own tables
 * are never touched.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/rtnetlink.h>

#include "net/nft.h"

#define NFT_SRCNAT_PRIORITY 100
#define NFT_DSTNAT_PRIORITY (-100)
#define NFT_RAW_PRIORITY (-300)

static const struct net_prefix nft_loopback = { .addr = { AF_INET, { 127, 0, 0, 1 } }, .bits = 8 };

static void nft_fill_postrouting(struct nft_batch *b, const struct nft_net *v, size_t n)
{
	nft_rule(b, "postrouting");
	nft_match_mark(b, NFT_MASQUERADE_MARK);
	nft_mark_clear(b, NFT_MASQUERADE_MARK);
	nft_masquerade(b);
	nft_rule_end(b);
	for (size_t i = 0; i < n; i++) {
		if (v[i].no_masquerade)
			continue;
		nft_rule(b, "postrouting");
		nft_match_family(b, v[i].pods.addr.family);
		nft_match_prefix(b, true, NFT_CMP_EQ, &v[i].pods);
		nft_match_prefix(b, false, NFT_CMP_NEQ, &v[i].cluster);
		nft_masquerade(b);
		nft_rule_end(b);
	}
}

int nft_install(struct nft *t, const struct nft_net *v, size_t n, struct err *e)
{
	struct nft_batch b;

	nft_begin(&b, t);
	nft_chain_base(&b, "postrouting", "nat", NF_INET_POST_ROUTING, NFT_SRCNAT_PRIORITY);
	nft_chain_flush(&b, "postrouting");
	nft_fill_postrouting(&b, v, n);
	return nft_commit(&b, e);
}

static void nft_guard(struct nft_batch *b, const char *bridge, bool source)
{
	nft_rule(b, "guard");
	nft_match_link(b, NFT_META_IIFNAME, NFT_CMP_EQ, bridge);
	nft_match_family(b, AF_INET);
	nft_match_prefix(b, source, NFT_CMP_EQ, &nft_loopback);
	nft_verdict(b, NF_DROP, NULL);
	nft_rule_end(b);
}

static void nft_fill_dstnat(struct nft_batch *b, const char *chain)
{
	nft_rule(b, chain);
	nft_verdict(b, NFT_JUMP, "services");
	nft_rule_end(b);
	nft_rule(b, chain);
	nft_match_local(b, NFTA_FIB_F_DADDR);
	nft_verdict(b, NFT_JUMP, "hostports");
	nft_rule_end(b);
}

static const struct nft_base_chain {
	const char *name, *type;
	unsigned hook;
	int priority;
} nft_dstnat_chains[] = {
	{ "guard", "filter", NF_INET_PRE_ROUTING, NFT_RAW_PRIORITY },
	{ "prerouting", "nat", NF_INET_PRE_ROUTING, NFT_DSTNAT_PRIORITY },
	{ "output", "nat", NF_INET_LOCAL_OUT, NFT_DSTNAT_PRIORITY },
};

int nft_install_dstnat(struct nft *t, const char *bridge, struct err *e)
{
	struct nft_batch b;

	nft_begin(&b, t);
	nft_chain(&b, "hostports");
	nft_chain(&b, "services");
	for (size_t i = 0; i < ARRAY_SIZE(nft_dstnat_chains); i++) {
		const struct nft_base_chain *c = &nft_dstnat_chains[i];

		nft_chain_base(&b, c->name, c->type, c->hook, c->priority);
		nft_chain_flush(&b, c->name);
	}
	nft_guard(&b, bridge, false);
	nft_guard(&b, bridge, true);
	nft_fill_dstnat(&b, "prerouting");
	nft_fill_dstnat(&b, "output");
	return nft_commit(&b, e);
}

/* --- host ports --- */

static void nft_port_rule(struct nft_batch *b, const struct nft_port *p)
{
	uint16_t port = htons(p->host_port);

	nft_rule(b, "hostports");
	nft_match_family(b, p->ip.family);
	nft_match_meta(b, NFT_META_L4PROTO, &p->protocol, 1);
	nft_payload(b, NFT_PAYLOAD_TRANSPORT_HEADER, NFT_TH_DPORT, 2, 0);
	nft_cmp(b, NFT_CMP_EQ, 0, &port, 2);
	if (p->host_ip.family) {
		nft_load_addr(b, p->ip.family, false, 0);
		nft_cmp(b, NFT_CMP_EQ, 0, p->host_ip.b, net_addr_len(&p->host_ip));
	}
}

/* What comes from there must come back through us. */
static void nft_port_mark(struct nft_batch *b, const struct nft_port *p, const struct net_prefix *from)
{
	if (from->addr.family != p->ip.family)
		return;
	nft_port_rule(b, p);
	nft_match_prefix(b, true, NFT_CMP_EQ, from);
	nft_mark_or(b, NFT_MASQUERADE_MARK);
	nft_rule_end(b);
}

static void nft_port_dnat(struct nft_batch *b, const struct nft_port *p)
{
	uint16_t port = htons(p->port);

	nft_port_rule(b, p);
	nft_immediate(b, 0, p->ip.b, net_addr_len(&p->ip));
	nft_immediate(b, 4, &port, 2);
	nft_dnat(b, p->ip.family, 0, 4);
	nft_rule_end(b);
}

int nft_set_ports(struct nft *t, const struct nft_net *nets, size_t n_nets, const struct nft_port *v, size_t n,
		  struct err *e)
{
	struct nft_batch b;

	nft_begin(&b, t);
	nft_chain(&b, "hostports");
	nft_chain_flush(&b, "hostports");
	for (size_t i = 0; i < n; i++) {
		if (v[i].host_ip.family && v[i].host_ip.family != v[i].ip.family)
			continue;
		for (size_t k = 0; k < n_nets; k++)
			nft_port_mark(&b, &v[i], &nets[k].pods);
		nft_port_mark(&b, &v[i], &nft_loopback);
		nft_port_dnat(&b, &v[i]);
	}
	return nft_commit(&b, e);
}
