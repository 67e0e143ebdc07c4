/*
 * One nf_tables table of our own, through nfnetlink.
 *
 *	table ip kinglet {
 *		chain postrouting {
 *			type nat hook postrouting priority srcnat;
 *			ip saddr PODS ip daddr != CLUSTER masquerade
 *		}
 *		# and while there are host ports:
 *		chain guard { type filter hook prerouting priority raw;
 *			iifname BRIDGE ip daddr 127.0.0.0/8 drop	# route_localnet lets them in
 *			iifname BRIDGE ip saddr 127.0.0.0/8 drop
 *		}
 *		chain prerouting { type nat hook prerouting priority dstnat;
 *			fib daddr type local jump hostports
 *		}
 *		chain output { type nat hook output priority dstnat;
 *			fib daddr type local jump hostports
 *		}
 *		chain hostports {	# of each port, and with "ip daddr HOST-IP" where it has one:
 *			meta l4proto tcp th dport 8080 ip saddr PODS meta mark set mark | 0x2000
 *			meta l4proto tcp th dport 8080 ip saddr 127.0.0.0/8 meta mark set mark | 0x2000
 *			meta l4proto tcp th dport 8080 dnat to IP:PORT
 *		}
 *		chain hairpin { type nat hook postrouting priority srcnat - 1;
 *			meta mark & 0x2000 == 0x2000 masquerade	# or the answer would go past us
 *		}
 *	}
 *
 * A change is one batch, which the kernel takes whole or not at all; numbers in
 * attributes are big-endian. The host's own tables are never touched.
 */
#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netlink/attr.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <stdio.h>

#include "net/internal.h"

#define NFT_SRCNAT_PRIORITY 100
#define NFT_DSTNAT_PRIORITY (-100)
#define NFT_RAW_PRIORITY (-300)
#define NFT_SADDR 12 /* offsets in the IPv4 header */
#define NFT_DADDR 16
#define NFT_DPORT 2 /* in that of TCP, UDP, SCTP */
#define NFT_HAIRPIN_MARK 0x2000u

struct nft_batch {
	struct buf bytes;
	uint32_t seq;
};

static void nft_put(struct nft_batch *b, struct nl_msg *m)
{
	struct nlmsghdr *h = nlmsg_hdr(m);

	h->nlmsg_seq = ++b->seq;
	buf_add(&b->bytes, h, h->nlmsg_len);
	while (b->bytes.len % NLMSG_ALIGNTO)
		buf_addch(&b->bytes, '\0');
	nlmsg_free(m);
}

static struct nl_msg *nft_msg(int type, int flags)
{
	struct nfgenmsg g = { .nfgen_family = AF_INET, .version = NFNETLINK_V0 };

	return nl_msg_new((NFNL_SUBSYS_NFTABLES << 8) | type, flags, &g, sizeof(g));
}

static void nft_edge(struct nft_batch *b, int type)
{
	struct nfgenmsg g = { .nfgen_family = AF_UNSPEC, .version = NFNETLINK_V0, .res_id = htons(NFNL_SUBSYS_NFTABLES) };

	nft_put(b, nl_msg_new(type, 0, &g, sizeof(g)));
}

static void nft_table(struct nft_batch *b, int type, int flags, const char *table)
{
	struct nl_msg *m = nft_msg(type, flags);

	nla_put_string(m, NFTA_TABLE_NAME, table);
	nft_put(b, m);
}

/* type NULL: a chain that others jump to. */
static void nft_chain(struct nft_batch *b, const char *table, const char *name, const char *type, unsigned hook,
		      int priority)
{
	struct nl_msg *m = nft_msg(NFT_MSG_NEWCHAIN, NLM_F_CREATE);
	struct nlattr *h;

	nla_put_string(m, NFTA_CHAIN_TABLE, table);
	nla_put_string(m, NFTA_CHAIN_NAME, name);
	if (type) {
		h = nla_nest_start(m, NFTA_CHAIN_HOOK | NLA_F_NESTED);
		nla_put_u32(m, NFTA_HOOK_HOOKNUM, htonl(hook));
		nla_put_u32(m, NFTA_HOOK_PRIORITY, htonl((uint32_t)priority));
		nla_nest_end(m, h);
		nla_put_u32(m, NFTA_CHAIN_POLICY, htonl(NF_ACCEPT));
		nla_put_string(m, NFTA_CHAIN_TYPE, type);
	}
	nft_put(b, m);
}

static struct nlattr *nft_expr(struct nl_msg *m, const char *name, struct nlattr **elem)
{
	*elem = nla_nest_start(m, NFTA_LIST_ELEM | NLA_F_NESTED);
	nla_put_string(m, NFTA_EXPR_NAME, name);
	return nla_nest_start(m, NFTA_EXPR_DATA | NLA_F_NESTED);
}

static void nft_expr_end(struct nl_msg *m, struct nlattr *elem, struct nlattr *data)
{
	nla_nest_end(m, data);
	nla_nest_end(m, elem);
}

static void nft_data(struct nl_msg *m, int attr, const void *p, size_t n)
{
	struct nlattr *d = nla_nest_start(m, attr | NLA_F_NESTED);

	nla_put(m, NFTA_DATA_VALUE, (int)n, p);
	nla_nest_end(m, d);
}

static void nft_payload(struct nl_msg *m, unsigned base, unsigned offset, unsigned len)
{
	struct nlattr *elem, *d = nft_expr(m, "payload", &elem);

	nla_put_u32(m, NFTA_PAYLOAD_DREG, htonl(NFT_REG_1));
	nla_put_u32(m, NFTA_PAYLOAD_BASE, htonl(base));
	nla_put_u32(m, NFTA_PAYLOAD_OFFSET, htonl(offset));
	nla_put_u32(m, NFTA_PAYLOAD_LEN, htonl(len));
	nft_expr_end(m, elem, d);
}

static void nft_bitwise(struct nl_msg *m, uint32_t mask, uint32_t xor)
{
	struct nlattr *elem, *d = nft_expr(m, "bitwise", &elem);

	nla_put_u32(m, NFTA_BITWISE_SREG, htonl(NFT_REG_1));
	nla_put_u32(m, NFTA_BITWISE_DREG, htonl(NFT_REG_1));
	nla_put_u32(m, NFTA_BITWISE_LEN, htonl(4));
	nft_data(m, NFTA_BITWISE_MASK, &mask, 4);
	nft_data(m, NFTA_BITWISE_XOR, &xor, 4);
	nft_expr_end(m, elem, d);
}

static void nft_cmp(struct nl_msg *m, enum nft_cmp_ops op, const void *p, size_t n)
{
	struct nlattr *elem, *d = nft_expr(m, "cmp", &elem);

	nla_put_u32(m, NFTA_CMP_SREG, htonl(NFT_REG_1));
	nla_put_u32(m, NFTA_CMP_OP, htonl(op));
	nft_data(m, NFTA_CMP_DATA, p, n);
	nft_expr_end(m, elem, d);
}

/* set: the register to the packet's property, else the other way round. */
static void nft_meta(struct nl_msg *m, enum nft_meta_keys key, bool set)
{
	struct nlattr *elem, *d = nft_expr(m, "meta", &elem);

	nla_put_u32(m, NFTA_META_KEY, htonl(key));
	nla_put_u32(m, set ? NFTA_META_SREG : NFTA_META_DREG, htonl(NFT_REG_1));
	nft_expr_end(m, elem, d);
}

static void nft_immediate(struct nl_msg *m, unsigned reg, const void *p, size_t n)
{
	struct nlattr *elem, *d = nft_expr(m, "immediate", &elem);

	nla_put_u32(m, NFTA_IMMEDIATE_DREG, htonl(reg));
	nft_data(m, NFTA_IMMEDIATE_DATA, p, n);
	nft_expr_end(m, elem, d);
}

static void nft_verdict(struct nl_msg *m, int code, const char *chain)
{
	struct nlattr *elem, *d = nft_expr(m, "immediate", &elem), *data, *v;

	nla_put_u32(m, NFTA_IMMEDIATE_DREG, htonl(NFT_REG_VERDICT));
	data = nla_nest_start(m, NFTA_IMMEDIATE_DATA | NLA_F_NESTED);
	v = nla_nest_start(m, NFTA_DATA_VERDICT | NLA_F_NESTED);
	nla_put_u32(m, NFTA_VERDICT_CODE, htonl((uint32_t)code));
	if (chain)
		nla_put_string(m, NFTA_VERDICT_CHAIN, chain);
	nla_nest_end(m, v);
	nla_nest_end(m, data);
	nft_expr_end(m, elem, d);
}

/* The IPv4 address at offset of the header, masked, compared with the network. */
static void nft_match_net(struct nl_msg *m, unsigned offset, const struct net_cidr *c, enum nft_cmp_ops op)
{
	uint32_t mask = htonl(c->bits ? 0xffffffffu << (32 - c->bits) : 0), net = c->addr.s_addr & mask;

	nft_payload(m, NFT_PAYLOAD_NETWORK_HEADER, offset, 4);
	nft_bitwise(m, mask, 0);
	nft_cmp(m, op, &net, 4);
}

/* A rule is begun, gets its expressions, and ends. */
static struct nl_msg *nft_rule(const char *table, const char *chain, struct nlattr **list)
{
	struct nl_msg *m = nft_msg(NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND);

	nla_put_string(m, NFTA_RULE_TABLE, table);
	nla_put_string(m, NFTA_RULE_CHAIN, chain);
	*list = nla_nest_start(m, NFTA_RULE_EXPRESSIONS | NLA_F_NESTED);
	return m;
}

static void nft_rule_end(struct nft_batch *b, struct nl_msg *m, struct nlattr *list)
{
	nla_nest_end(m, list);
	nft_put(b, m);
}

static void nft_masquerade(struct nl_msg *m)
{
	struct nlattr *elem, *d = nft_expr(m, "masq", &elem);

	nft_expr_end(m, elem, d);
}

static void nft_masquerade_rule(struct nft_batch *b, const char *table, const struct net_cidr *pods,
				const struct net_cidr *cluster)
{
	struct nlattr *list;
	struct nl_msg *m = nft_rule(table, "postrouting", &list);

	nft_match_net(m, NFT_SADDR, pods, NFT_CMP_EQ);
	nft_match_net(m, NFT_DADDR, cluster, NFT_CMP_NEQ);
	nft_masquerade(m);
	nft_rule_end(b, m, list);
}

/* Ends the batch, sends it, waits. */
static int nft_commit(struct nft_batch *b)
{
	_cleanup_err_ struct err e = ERR_INIT;
	struct nl_sock *s;
	int rc;

	/* The last real message asks for the acknowledgement; the kernel answers when the batch is in. */
	nft_edge(b, NFNL_MSG_BATCH_END);
	if (nl_open(&s, NETLINK_NETFILTER, &e) < 0) {
		buf_release(&b->bytes);
		return -EPROTONOSUPPORT;
	}
	rc = nl_batch(s, b->bytes.s, b->bytes.len, b->seq - 1);
	nl_close_(s);
	buf_release(&b->bytes);
	return rc;
}

static void nft_begin(struct nft_batch *b)
{
	*b = (struct nft_batch){ .bytes = BUF_INIT };
	nft_edge(b, NFNL_MSG_BATCH_BEGIN);
}

int nft_install(const char *table, const struct net_cidr *pods, const struct net_cidr *cluster, struct err *e)
{
	struct nft_batch b;
	int rc;

	nft_begin(&b);
	nft_table(&b, NFT_MSG_NEWTABLE, NLM_F_CREATE, table); /* so that the next one finds it */
	nft_table(&b, NFT_MSG_DELTABLE, 0, table);
	nft_table(&b, NFT_MSG_NEWTABLE, NLM_F_CREATE, table);
	nft_chain(&b, table, "postrouting", "nat", NF_INET_POST_ROUTING, NFT_SRCNAT_PRIORITY);
	nft_masquerade_rule(&b, table, pods, cluster);
	nft_table(&b, NFT_MSG_NEWTABLE, NLM_F_CREATE | NLM_F_ACK, table);
	rc = nft_commit(&b);
	if (rc < 0)
		return err_errno(e, -rc, "set up the nf_tables table '%s'", table);
	return 0;
}

/* --- host ports --- */

static struct net_cidr nft_loopback(void)
{
	return (struct net_cidr){ .addr.s_addr = htonl(INADDR_LOOPBACK), .bits = 8 };
}

static void nft_port_match(struct nl_msg *m, const struct nft_port *p)
{
	uint16_t port = htons(p->host_port);

	nft_meta(m, NFT_META_L4PROTO, false);
	nft_cmp(m, NFT_CMP_EQ, &p->protocol, 1);
	nft_payload(m, NFT_PAYLOAD_TRANSPORT_HEADER, NFT_DPORT, 2);
	nft_cmp(m, NFT_CMP_EQ, &port, 2);
	if (p->host_ip.s_addr) {
		nft_payload(m, NFT_PAYLOAD_NETWORK_HEADER, NFT_DADDR, 4);
		nft_cmp(m, NFT_CMP_EQ, &p->host_ip.s_addr, 4);
	}
}

/* What comes from there must come back through us. */
static void nft_port_mark(struct nft_batch *b, const char *table, const struct nft_port *p, const struct net_cidr *from)
{
	struct nlattr *list;
	struct nl_msg *m = nft_rule(table, "hostports", &list);

	nft_port_match(m, p);
	nft_match_net(m, NFT_SADDR, from, NFT_CMP_EQ);
	nft_meta(m, NFT_META_MARK, false);
	nft_bitwise(m, ~NFT_HAIRPIN_MARK, NFT_HAIRPIN_MARK);
	nft_meta(m, NFT_META_MARK, true);
	nft_rule_end(b, m, list);
}

static void nft_port_dnat(struct nft_batch *b, const char *table, const struct nft_port *p)
{
	struct nlattr *list, *elem, *d;
	struct nl_msg *m = nft_rule(table, "hostports", &list);
	uint16_t port = htons(p->port);

	nft_port_match(m, p);
	nft_immediate(m, NFT_REG_1, &p->ip.s_addr, 4);
	nft_immediate(m, NFT_REG_2, &port, 2);
	d = nft_expr(m, "nat", &elem);
	nla_put_u32(m, NFTA_NAT_TYPE, htonl(NFT_NAT_DNAT));
	nla_put_u32(m, NFTA_NAT_FAMILY, htonl(AF_INET));
	nla_put_u32(m, NFTA_NAT_REG_ADDR_MIN, htonl(NFT_REG_1));
	nla_put_u32(m, NFTA_NAT_REG_PROTO_MIN, htonl(NFT_REG_2));
	nft_expr_end(m, elem, d);
	nft_rule_end(b, m, list);
}

static void nft_local_jump(struct nft_batch *b, const char *table, const char *chain)
{
	struct nlattr *list, *elem, *d;
	struct nl_msg *m = nft_rule(table, chain, &list);
	uint32_t local = RTN_LOCAL;

	d = nft_expr(m, "fib", &elem);
	nla_put_u32(m, NFTA_FIB_DREG, htonl(NFT_REG_1));
	nla_put_u32(m, NFTA_FIB_RESULT, htonl(NFT_FIB_RESULT_ADDRTYPE));
	nla_put_u32(m, NFTA_FIB_FLAGS, htonl(NFTA_FIB_F_DADDR));
	nft_expr_end(m, elem, d);
	nft_cmp(m, NFT_CMP_EQ, &local, 4);
	nft_verdict(m, NFT_JUMP, "hostports");
	nft_rule_end(b, m, list);
}

static void nft_guard(struct nft_batch *b, const char *table, const char *bridge, unsigned offset)
{
	struct nlattr *list;
	struct nl_msg *m = nft_rule(table, "guard", &list);
	struct net_cidr loopback = nft_loopback();
	char name[IF_NAMESIZE] = "";

	snprintf(name, sizeof(name), "%s", bridge);
	nft_meta(m, NFT_META_IIFNAME, false);
	nft_cmp(m, NFT_CMP_EQ, name, sizeof(name));
	nft_match_net(m, offset, &loopback, NFT_CMP_EQ);
	nft_verdict(m, NF_DROP, NULL);
	nft_rule_end(b, m, list);
}

static void nft_hairpin(struct nft_batch *b, const char *table)
{
	struct nlattr *list;
	struct nl_msg *m = nft_rule(table, "hairpin", &list);
	uint32_t mark = NFT_HAIRPIN_MARK;

	nft_meta(m, NFT_META_MARK, false);
	nft_bitwise(m, mark, 0);
	nft_cmp(m, NFT_CMP_EQ, &mark, 4);
	nft_masquerade(m);
	nft_rule_end(b, m, list);
}

/* Those that jump come before the one that they jump to: chains go in this order. */
static const struct nft_port_chain {
	const char *name, *type;
	unsigned hook;
	int priority;
} nft_port_chains[] = {
	{ "guard", "filter", NF_INET_PRE_ROUTING, NFT_RAW_PRIORITY },
	{ "prerouting", "nat", NF_INET_PRE_ROUTING, NFT_DSTNAT_PRIORITY },
	{ "output", "nat", NF_INET_LOCAL_OUT, NFT_DSTNAT_PRIORITY },
	{ "hairpin", "nat", NF_INET_POST_ROUTING, NFT_SRCNAT_PRIORITY - 1 },
	{ "hostports", NULL, 0, 0 },
};

static void nft_drop(struct nft_batch *b, int type, const char *table, const char *chain)
{
	struct nl_msg *m = nft_msg(type, 0);

	nla_put_string(m, type == NFT_MSG_DELRULE ? (int)NFTA_RULE_TABLE : (int)NFTA_CHAIN_TABLE, table);
	nla_put_string(m, type == NFT_MSG_DELRULE ? (int)NFTA_RULE_CHAIN : (int)NFTA_CHAIN_NAME, chain);
	nft_put(b, m);
}

static void nft_fill_ports(struct nft_batch *b, const char *table, const char *bridge, const struct net_cidr *pods,
			   const struct nft_port *v, size_t n)
{
	struct net_cidr loopback = nft_loopback();

	nft_guard(b, table, bridge, NFT_DADDR);
	nft_guard(b, table, bridge, NFT_SADDR);
	nft_local_jump(b, table, "prerouting");
	nft_local_jump(b, table, "output");
	nft_hairpin(b, table);
	for (size_t i = 0; i < n; i++) {
		nft_port_mark(b, table, &v[i], pods);
		nft_port_mark(b, table, &v[i], &loopback);
		nft_port_dnat(b, table, &v[i]);
	}
}

int nft_set_ports(const char *table, const char *bridge, const struct net_cidr *pods, const struct nft_port *v, size_t n,
		  struct err *e)
{
	struct nft_batch b;
	int rc;

	nft_begin(&b);
	nft_table(&b, NFT_MSG_NEWTABLE, NLM_F_CREATE, table);
	for (size_t i = 0; i < ARRAY_SIZE(nft_port_chains); i++) {
		const struct nft_port_chain *c = &nft_port_chains[i];

		nft_chain(&b, table, c->name, c->type, c->hook, c->priority); /* so that the next one finds it */
		nft_drop(&b, NFT_MSG_DELRULE, table, c->name);
	}
	if (n)
		nft_fill_ports(&b, table, bridge, pods, v, n);
	for (size_t i = 0; i < ARRAY_SIZE(nft_port_chains) && !n; i++)
		nft_drop(&b, NFT_MSG_DELCHAIN, table, nft_port_chains[i].name);
	nft_table(&b, NFT_MSG_NEWTABLE, NLM_F_CREATE | NLM_F_ACK, table);
	rc = nft_commit(&b);
	return rc < 0 ? err_errno(e, -rc, "set up the host ports") : 0;
}

int nft_remove(const char *table)
{
	struct nft_batch b;

	nft_begin(&b);
	nft_table(&b, NFT_MSG_DELTABLE, NLM_F_ACK, table);
	return nft_commit(&b);
}
