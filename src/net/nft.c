/*
 * One nf_tables table of our own, through nfnetlink.
 *
 *	table ip kinglet {
 *		chain postrouting {
 *			type nat hook postrouting priority srcnat;
 *			ip saddr PODS ip daddr != CLUSTER masquerade
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
#include <netlink/attr.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>

#include "net/internal.h"

#define NFT_SRCNAT_PRIORITY 100

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

static void nft_chain(struct nft_batch *b, const char *table)
{
	struct nl_msg *m = nft_msg(NFT_MSG_NEWCHAIN, NLM_F_CREATE);
	struct nlattr *hook;

	nla_put_string(m, NFTA_CHAIN_TABLE, table);
	nla_put_string(m, NFTA_CHAIN_NAME, "postrouting");
	hook = nla_nest_start(m, NFTA_CHAIN_HOOK | NLA_F_NESTED);
	nla_put_u32(m, NFTA_HOOK_HOOKNUM, htonl(NF_INET_POST_ROUTING));
	nla_put_u32(m, NFTA_HOOK_PRIORITY, htonl(NFT_SRCNAT_PRIORITY));
	nla_nest_end(m, hook);
	nla_put_u32(m, NFTA_CHAIN_POLICY, htonl(NF_ACCEPT));
	nla_put_string(m, NFTA_CHAIN_TYPE, "nat");
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

/* The IPv4 address at offset of the header, masked, compared with the network. */
static void nft_match_net(struct nl_msg *m, unsigned offset, const struct net_cidr *c, enum nft_cmp_ops op)
{
	uint32_t mask = htonl(c->bits ? 0xffffffffu << (32 - c->bits) : 0), zero = 0;
	uint32_t net = c->addr.s_addr & mask;
	struct nlattr *elem, *d;

	d = nft_expr(m, "payload", &elem);
	nla_put_u32(m, NFTA_PAYLOAD_DREG, htonl(NFT_REG_1));
	nla_put_u32(m, NFTA_PAYLOAD_BASE, htonl(NFT_PAYLOAD_NETWORK_HEADER));
	nla_put_u32(m, NFTA_PAYLOAD_OFFSET, htonl(offset));
	nla_put_u32(m, NFTA_PAYLOAD_LEN, htonl(4));
	nft_expr_end(m, elem, d);
	d = nft_expr(m, "bitwise", &elem);
	nla_put_u32(m, NFTA_BITWISE_SREG, htonl(NFT_REG_1));
	nla_put_u32(m, NFTA_BITWISE_DREG, htonl(NFT_REG_1));
	nla_put_u32(m, NFTA_BITWISE_LEN, htonl(4));
	nft_data(m, NFTA_BITWISE_MASK, &mask, 4);
	nft_data(m, NFTA_BITWISE_XOR, &zero, 4);
	nft_expr_end(m, elem, d);
	d = nft_expr(m, "cmp", &elem);
	nla_put_u32(m, NFTA_CMP_SREG, htonl(NFT_REG_1));
	nla_put_u32(m, NFTA_CMP_OP, htonl(op));
	nft_data(m, NFTA_CMP_DATA, &net, 4);
	nft_expr_end(m, elem, d);
}

static void nft_masquerade_rule(struct nft_batch *b, const char *table, const struct net_cidr *pods,
				const struct net_cidr *cluster)
{
	struct nl_msg *m = nft_msg(NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND);
	struct nlattr *list, *elem, *d;

	nla_put_string(m, NFTA_RULE_TABLE, table);
	nla_put_string(m, NFTA_RULE_CHAIN, "postrouting");
	list = nla_nest_start(m, NFTA_RULE_EXPRESSIONS | NLA_F_NESTED);
	nft_match_net(m, 12, pods, NFT_CMP_EQ);
	nft_match_net(m, 16, cluster, NFT_CMP_NEQ);
	d = nft_expr(m, "masq", &elem);
	nft_expr_end(m, elem, d);
	nla_nest_end(m, list);
	nft_put(b, m);
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
	nft_chain(&b, table);
	nft_masquerade_rule(&b, table, pods, cluster);
	nft_table(&b, NFT_MSG_NEWTABLE, NLM_F_CREATE | NLM_F_ACK, table);
	rc = nft_commit(&b);
	if (rc < 0)
		return err_errno(e, -rc, "set up the nf_tables table '%s'", table);
	return 0;
}

int nft_remove(const char *table)
{
	struct nft_batch b;

	nft_begin(&b);
	nft_table(&b, NFT_MSG_DELTABLE, NLM_F_ACK, table);
	return nft_commit(&b);
}
