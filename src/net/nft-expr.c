/*
 * nf_tables messages: attributes and the expressions of rules (nft.h is the manual).
 */
#include <arpa/inet.h>
#include <endian.h>
#include <linux/netlink.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdio.h>

#include "net/nft-attr.h"

/* --- attributes --- */

static void nft_pad(struct nft_batch *b)
{
	while (b->bytes.len % NLA_ALIGNTO)
		buf_addch(&b->bytes, '\0');
}

void nft_put(struct nft_batch *b, int attr, const void *p, size_t n)
{
	struct nlattr a = { .nla_len = (uint16_t)(NLA_HDRLEN + n), .nla_type = (uint16_t)attr };

	BUG_ON(n > UINT16_MAX - NLA_HDRLEN);
	buf_add(&b->bytes, &a, sizeof(a));
	buf_add(&b->bytes, p, n);
	nft_pad(b);
}

void nft_put_text(struct nft_batch *b, int attr, const char *text)
{
	nft_put(b, attr, text, strlen(text) + 1);
}

void nft_put_u32(struct nft_batch *b, int attr, uint32_t n)
{
	n = htonl(n);
	nft_put(b, attr, &n, sizeof(n));
}

void nft_put_u64(struct nft_batch *b, int attr, uint64_t n)
{
	n = htobe64(n);
	nft_put(b, attr, &n, sizeof(n));
}

void nft_nest(struct nft_batch *b, int attr)
{
	struct nlattr a = { .nla_type = (uint16_t)(attr | NLA_F_NESTED) };

	BUG_ON(b->depth >= NFT_NEST_MAX);
	b->nest[b->depth++] = b->bytes.len;
	buf_add(&b->bytes, &a, sizeof(a));
}

void nft_nest_end(struct nft_batch *b)
{
	size_t at, n;

	BUG_ON(!b->depth);
	at = b->nest[--b->depth];
	n = b->bytes.len - at;
	BUG_ON(n > UINT16_MAX);
	((struct nlattr *)(b->bytes.s + at))->nla_len = (uint16_t)n;
}

void nft_put_data(struct nft_batch *b, int attr, const void *p, size_t n)
{
	nft_nest(b, attr);
	nft_put(b, NFTA_DATA_VALUE, p, n);
	nft_nest_end(b);
}

void nft_put_verdict(struct nft_batch *b, int attr, int code, const char *chain)
{
	nft_nest(b, attr);
	nft_nest(b, NFTA_DATA_VERDICT);
	nft_put_u32(b, NFTA_VERDICT_CODE, (uint32_t)code);
	if (chain)
		nft_put_text(b, NFTA_VERDICT_CHAIN, chain);
	nft_nest_end(b);
	nft_nest_end(b);
}

struct str nft_get(const void *p, size_t n, int attr)
{
	size_t at = NLMSG_ALIGN(sizeof(struct nfgenmsg));

	while (at + NLA_HDRLEN <= n) {
		const struct nlattr *a = (const struct nlattr *)((const char *)p + at);

		if (a->nla_len < NLA_HDRLEN || at + a->nla_len > n)
			break;
		if ((a->nla_type & NLA_TYPE_MASK) == attr)
			return str_n((const char *)a + NLA_HDRLEN, a->nla_len - NLA_HDRLEN);
		at += NLA_ALIGN(a->nla_len);
	}
	return (struct str){ 0 };
}

/* --- expressions --- */

static void nft_expr(struct nft_batch *b, const char *name)
{
	nft_nest(b, NFTA_LIST_ELEM);
	nft_put_text(b, NFTA_EXPR_NAME, name);
	nft_nest(b, NFTA_EXPR_DATA);
}

static void nft_expr_end(struct nft_batch *b)
{
	nft_nest_end(b);
	nft_nest_end(b);
}

static void nft_put_reg(struct nft_batch *b, int attr, unsigned reg)
{
	nft_put_u32(b, attr, NFT_REG32_00 + reg);
}

void nft_payload(struct nft_batch *b, enum nft_payload_bases base, unsigned offset, unsigned len, unsigned reg)
{
	nft_expr(b, "payload");
	nft_put_reg(b, NFTA_PAYLOAD_DREG, reg);
	nft_put_u32(b, NFTA_PAYLOAD_BASE, base);
	nft_put_u32(b, NFTA_PAYLOAD_OFFSET, offset);
	nft_put_u32(b, NFTA_PAYLOAD_LEN, len);
	nft_expr_end(b);
}

void nft_meta(struct nft_batch *b, enum nft_meta_keys key, unsigned reg)
{
	nft_expr(b, "meta");
	nft_put_u32(b, NFTA_META_KEY, key);
	nft_put_reg(b, NFTA_META_DREG, reg);
	nft_expr_end(b);
}

void nft_meta_set(struct nft_batch *b, enum nft_meta_keys key, unsigned reg)
{
	nft_expr(b, "meta");
	nft_put_u32(b, NFTA_META_KEY, key);
	nft_put_reg(b, NFTA_META_SREG, reg);
	nft_expr_end(b);
}

void nft_ct(struct nft_batch *b, enum nft_ct_keys key, unsigned reg)
{
	nft_expr(b, "ct");
	nft_put_u32(b, NFTA_CT_KEY, key);
	nft_put_reg(b, NFTA_CT_DREG, reg);
	nft_expr_end(b);
}

void nft_ct_set(struct nft_batch *b, enum nft_ct_keys key, unsigned reg)
{
	nft_expr(b, "ct");
	nft_put_u32(b, NFTA_CT_KEY, key);
	nft_put_reg(b, NFTA_CT_SREG, reg);
	nft_expr_end(b);
}

void nft_fib(struct nft_batch *b, unsigned flags, unsigned result, unsigned reg)
{
	nft_expr(b, "fib");
	nft_put_reg(b, NFTA_FIB_DREG, reg);
	nft_put_u32(b, NFTA_FIB_RESULT, result);
	nft_put_u32(b, NFTA_FIB_FLAGS, flags);
	nft_expr_end(b);
}

void nft_numgen(struct nft_batch *b, uint32_t modulus, unsigned reg)
{
	nft_expr(b, "numgen");
	nft_put_reg(b, NFTA_NG_DREG, reg);
	nft_put_u32(b, NFTA_NG_MODULUS, modulus);
	nft_put_u32(b, NFTA_NG_TYPE, NFT_NG_RANDOM);
	nft_put_u32(b, NFTA_NG_OFFSET, 0);
	nft_expr_end(b);
}

void nft_bitwise(struct nft_batch *b, unsigned reg, const void *mask, const void *xor, size_t n)
{
	nft_expr(b, "bitwise");
	nft_put_reg(b, NFTA_BITWISE_SREG, reg);
	nft_put_reg(b, NFTA_BITWISE_DREG, reg);
	nft_put_u32(b, NFTA_BITWISE_LEN, (uint32_t)n);
	nft_put_data(b, NFTA_BITWISE_MASK, mask, n);
	nft_put_data(b, NFTA_BITWISE_XOR, xor, n);
	nft_expr_end(b);
}

void nft_cmp(struct nft_batch *b, enum nft_cmp_ops op, unsigned reg, const void *p, size_t n)
{
	nft_expr(b, "cmp");
	nft_put_reg(b, NFTA_CMP_SREG, reg);
	nft_put_u32(b, NFTA_CMP_OP, op);
	nft_put_data(b, NFTA_CMP_DATA, p, n);
	nft_expr_end(b);
}

void nft_range(struct nft_batch *b, enum nft_range_ops op, unsigned reg, const void *from, const void *to, size_t n)
{
	nft_expr(b, "range");
	nft_put_reg(b, NFTA_RANGE_SREG, reg);
	nft_put_u32(b, NFTA_RANGE_OP, op);
	nft_put_data(b, NFTA_RANGE_FROM_DATA, from, n);
	nft_put_data(b, NFTA_RANGE_TO_DATA, to, n);
	nft_expr_end(b);
}

void nft_immediate(struct nft_batch *b, unsigned reg, const void *p, size_t n)
{
	nft_expr(b, "immediate");
	nft_put_reg(b, NFTA_IMMEDIATE_DREG, reg);
	nft_put_data(b, NFTA_IMMEDIATE_DATA, p, n);
	nft_expr_end(b);
}

void nft_verdict(struct nft_batch *b, int code, const char *chain)
{
	nft_expr(b, "immediate");
	nft_put_u32(b, NFTA_IMMEDIATE_DREG, NFT_REG_VERDICT);
	nft_put_verdict(b, NFTA_IMMEDIATE_DATA, code, chain);
	nft_expr_end(b);
}

static void nft_lookup_(struct nft_batch *b, const char *set, uint32_t id, unsigned sreg, int dreg, uint32_t flags)
{
	nft_expr(b, "lookup");
	nft_put_text(b, NFTA_LOOKUP_SET, set);
	if (id)
		nft_put_u32(b, NFTA_LOOKUP_SET_ID, id);
	nft_put_reg(b, NFTA_LOOKUP_SREG, sreg);
	if (dreg == NFT_TO_VERDICT)
		nft_put_u32(b, NFTA_LOOKUP_DREG, NFT_REG_VERDICT);
	else if (dreg >= 0)
		nft_put_reg(b, NFTA_LOOKUP_DREG, (unsigned)dreg);
	if (flags)
		nft_put_u32(b, NFTA_LOOKUP_FLAGS, flags);
	nft_expr_end(b);
}

void nft_lookup(struct nft_batch *b, const char *set, uint32_t id, unsigned sreg, int dreg)
{
	nft_lookup_(b, set, id, sreg, dreg, 0);
}

void nft_lookup_not(struct nft_batch *b, const char *set, uint32_t id, unsigned sreg)
{
	nft_lookup_(b, set, id, sreg, NFT_NO_REG, NFT_LOOKUP_F_INV);
}

void nft_dynset(struct nft_batch *b, enum nft_dynset_ops op, const char *set, unsigned key_reg, int data_reg,
		uint64_t timeout_ms)
{
	nft_expr(b, "dynset");
	nft_put_text(b, NFTA_DYNSET_SET_NAME, set);
	nft_put_u32(b, NFTA_DYNSET_OP, op);
	nft_put_reg(b, NFTA_DYNSET_SREG_KEY, key_reg);
	if (data_reg >= 0)
		nft_put_reg(b, NFTA_DYNSET_SREG_DATA, (unsigned)data_reg);
	if (timeout_ms)
		nft_put_u64(b, NFTA_DYNSET_TIMEOUT, timeout_ms);
	nft_expr_end(b);
}

void nft_dnat(struct nft_batch *b, int family, unsigned addr_reg, int port_reg)
{
	nft_expr(b, "nat");
	nft_put_u32(b, NFTA_NAT_TYPE, NFT_NAT_DNAT);
	nft_put_u32(b, NFTA_NAT_FAMILY, (uint32_t)family);
	nft_put_reg(b, NFTA_NAT_REG_ADDR_MIN, addr_reg);
	if (port_reg >= 0)
		nft_put_reg(b, NFTA_NAT_REG_PROTO_MIN, (unsigned)port_reg);
	nft_expr_end(b);
}

void nft_masquerade(struct nft_batch *b)
{
	nft_expr(b, "masq");
	nft_expr_end(b);
}

void nft_redirect(struct nft_batch *b, int port_reg)
{
	nft_expr(b, "redir");
	if (port_reg >= 0)
		nft_put_reg(b, NFTA_REDIR_REG_PROTO_MIN, (unsigned)port_reg);
	nft_expr_end(b);
}

void nft_reject(struct nft_batch *b, enum nft_reject_types type, uint8_t code)
{
	nft_expr(b, "reject");
	nft_put_u32(b, NFTA_REJECT_TYPE, type);
	nft_put(b, NFTA_REJECT_ICMP_CODE, &code, 1);
	nft_expr_end(b);
}

/* --- several at once --- */

void nft_match_meta(struct nft_batch *b, enum nft_meta_keys key, const void *p, size_t n)
{
	nft_meta(b, key, 0);
	nft_cmp(b, NFT_CMP_EQ, 0, p, n);
}

void nft_match_family(struct nft_batch *b, int family)
{
	uint8_t proto = family == AF_INET6 ? NFPROTO_IPV6 : NFPROTO_IPV4;

	nft_match_meta(b, NFT_META_NFPROTO, &proto, 1);
}

void nft_match_link(struct nft_batch *b, enum nft_meta_keys key, enum nft_cmp_ops op, const char *name)
{
	char padded[IF_NAMESIZE] = "";

	snprintf(padded, sizeof(padded), "%s", name);
	nft_meta(b, key, 0);
	nft_cmp(b, op, 0, padded, sizeof(padded));
}

void nft_match_local(struct nft_batch *b, unsigned flag)
{
	uint32_t local = RTN_LOCAL;

	nft_fib(b, flag, NFT_FIB_RESULT_ADDRTYPE, 0);
	nft_cmp(b, NFT_CMP_EQ, 0, &local, 4);
}

void nft_load_addr(struct nft_batch *b, int family, bool source, unsigned reg)
{
	if (family == AF_INET6)
		nft_payload(b, NFT_PAYLOAD_NETWORK_HEADER, source ? NFT_IP6_SADDR : NFT_IP6_DADDR, 16, reg);
	else
		nft_payload(b, NFT_PAYLOAD_NETWORK_HEADER, source ? NFT_IP4_SADDR : NFT_IP4_DADDR, 4, reg);
}

void nft_match_prefix(struct nft_batch *b, bool source, enum nft_cmp_ops op, const struct net_prefix *p)
{
	uint8_t mask[16] = { 0 }, none[16] = { 0 }, net[16];
	size_t n = net_addr_len(&p->addr);

	for (size_t i = 0; i < n; i++) {
		unsigned left = p->bits > 8 * i ? p->bits - 8 * (unsigned)i : 0;

		mask[i] = left >= 8 ? 0xff : (uint8_t)(0xff00u >> left);
		net[i] = p->addr.b[i] & mask[i];
	}
	nft_load_addr(b, p->addr.family, source, 0);
	if (p->bits < 8 * n)
		nft_bitwise(b, 0, mask, none, n);
	nft_cmp(b, op, 0, net, n);
}

static void nft_mark_set(struct nft_batch *b, uint32_t mask, uint32_t xor)
{
	nft_meta(b, NFT_META_MARK, 0);
	nft_bitwise(b, 0, &mask, &xor, 4);
	nft_meta_set(b, NFT_META_MARK, 0);
}

void nft_mark_or(struct nft_batch *b, uint32_t bits)
{
	nft_mark_set(b, ~bits, bits);
}

void nft_mark_clear(struct nft_batch *b, uint32_t bits)
{
	nft_mark_set(b, ~bits, 0);
}

void nft_match_mark(struct nft_batch *b, uint32_t bits)
{
	uint32_t none = 0;

	nft_meta(b, NFT_META_MARK, 0);
	nft_bitwise(b, 0, &bits, &none, 4);
	nft_cmp(b, NFT_CMP_EQ, 0, &bits, 4);
}
