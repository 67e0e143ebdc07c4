/*
 * nf_tables through nfnetlink: a table of ours, and batches that change it. Only
 * net's own files speak to the kernel's packet filter, and only through this.
 *
 *	struct nft_batch b;
 *
 *	nft_begin(&b, t);
 *	nft_chain(&b, "services");
 *	nft_rule(&b, "services");
 *		nft_payload(&b, NFT_PAYLOAD_NETWORK_HEADER, NFT_IP4_DADDR, 4, 0);
 *		nft_cmp(&b, NFT_CMP_EQ, 0, &address, 4);
 *		nft_verdict(&b, NF_DROP, NULL);
 *	nft_rule_end(&b);
 *	rc = nft_commit(&b, e);
 *
 * The kernel takes a batch whole or not at all, in the order in which it was written:
 * what is referred to comes before what refers to it, and goes after it. Names and
 * data are copied into the batch at once. Nothing here fails before nft_commit.
 *
 * Registers are numbered 0 to 15 and hold 4 bytes each; a value of 16 bytes takes
 * four of them, one of 1 or 2 bytes a whole one. A concatenation lies in registers
 * that follow each other.
 */
#ifndef NET_NFT_H
#define NET_NFT_H

#include <netinet/in.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>

#include "net/internal.h"

/* --- the table --- */
struct nft; /* keeps one netlink socket, opened when it is first needed */
/* family: NFPROTO_INET, NFPROTO_BRIDGE. Nothing is asked of the kernel yet. */
struct nft *nft_new(uint8_t family, const char *table);
struct nft *nft_free(struct nft *t); /* the kernel keeps its table */
int nft_remove(struct nft *t); /* 0 or -errno; -ENOENT when absent */
/* What was sent so far: for tests and measurements. */
struct nft_stats {
	uint64_t batches, messages, bytes, refused;
};
const struct nft_stats *nft_stats(const struct nft *t);
uint8_t nft_family(const struct nft *t);

/* The names of all chains or sets of the table, called one by one; 0 or -errno. */
int nft_list_chains(struct nft *t, void (*each)(void *arg, const char *name), void *arg);
int nft_list_sets(struct nft *t, void (*each)(void *arg, const char *name), void *arg);

/* --- batches --- */
#define NFT_NEST_MAX 8
struct nft_batch {
	struct nft *t;
	struct buf bytes;
	uint32_t seq, last_set;
	size_t msg, nest[NFT_NEST_MAX]; /* offsets of what is being written */
	unsigned depth;
	struct nft_elems {
		int type;
		const char *set;
		uint32_t id;
		size_t list;
	} elems;
};
void nft_begin(struct nft_batch *b, struct nft *t); /* makes the table where it is missing */
/* Sends and ends the batch: 0, or the kernel's -errno, and *e says which message it did not like. */
int nft_commit(struct nft_batch *b, struct err *e) MUST_CHECK;
void nft_cancel(struct nft_batch *b);
bool nft_batch_is_empty(const struct nft_batch *b);

/* --- chains and rules --- */
void nft_chain(struct nft_batch *b, const char *name); /* there already: success */
void nft_chain_base(struct nft_batch *b, const char *name, const char *type, unsigned hook, int priority);
void nft_chain_flush(struct nft_batch *b, const char *name); /* its rules go; it must exist */
void nft_chain_delete(struct nft_batch *b, const char *name); /* nothing may jump to it any more */
void nft_rule(struct nft_batch *b, const char *chain); /* at the chain's end */
void nft_rule_end(struct nft_batch *b);

/* --- expressions of the rule that is being written --- */
#define NFT_IP4_SADDR 12u /* offsets in headers */
#define NFT_IP4_DADDR 16u
#define NFT_IP6_SADDR 8u
#define NFT_IP6_DADDR 24u
#define NFT_TH_DPORT 2u
#define NFT_NO_REG (-1)
#define NFT_TO_VERDICT (-2) /* a lookup's result is what happens to the packet */

void nft_payload(struct nft_batch *b, enum nft_payload_bases base, unsigned offset, unsigned len, unsigned reg);
void nft_meta(struct nft_batch *b, enum nft_meta_keys key, unsigned reg);
void nft_meta_set(struct nft_batch *b, enum nft_meta_keys key, unsigned reg);
void nft_ct(struct nft_batch *b, enum nft_ct_keys key, unsigned reg);
void nft_ct_set(struct nft_batch *b, enum nft_ct_keys key, unsigned reg);
/* flags: NFTA_FIB_F_*; result: NFT_FIB_RESULT_* */
void nft_fib(struct nft_batch *b, unsigned flags, unsigned result, unsigned reg);
void nft_numgen(struct nft_batch *b, uint32_t modulus, unsigned reg); /* random, host order */
/* reg = (reg & mask) ^ xor, n bytes */
void nft_bitwise(struct nft_batch *b, unsigned reg, const void *mask, const void *xor, size_t n);
void nft_cmp(struct nft_batch *b, enum nft_cmp_ops op, unsigned reg, const void *p, size_t n);
void nft_range(struct nft_batch *b, enum nft_range_ops op, unsigned reg, const void *from, const void *to, size_t n);
void nft_immediate(struct nft_batch *b, unsigned reg, const void *p, size_t n);
/* code: NF_ACCEPT, NF_DROP, NFT_JUMP, NFT_GOTO, NFT_RETURN; chain NULL: none */
void nft_verdict(struct nft_batch *b, int code, const char *chain);
/* Goes on when sreg is in the set (invert: when it is not); of a map, dreg gets what it leads to. id: of a set made in
 * this batch, 0: by its name alone. */
void nft_lookup(struct nft_batch *b, const char *set, uint32_t id, unsigned sreg, int dreg);
void nft_lookup_not(struct nft_batch *b, const char *set, uint32_t id, unsigned sreg);
/* op: NFT_DYNSET_OP_*; data_reg NFT_NO_REG: a set. Adding to a full set ends the rule. */
void nft_dynset(struct nft_batch *b, enum nft_dynset_ops op, const char *set, unsigned key_reg, int data_reg,
		uint64_t timeout_ms);
void nft_dnat(struct nft_batch *b, int family, unsigned addr_reg, int port_reg);
void nft_masquerade(struct nft_batch *b);
void nft_redirect(struct nft_batch *b, int port_reg);
void nft_reject(struct nft_batch *b, enum nft_reject_types type, uint8_t code);

/* Several at once; they use register 0 (and those behind it, for addresses). */
void nft_match_family(struct nft_batch *b, int family); /* AF_INET, AF_INET6: in tables of family inet */
void nft_match_meta(struct nft_batch *b, enum nft_meta_keys key, const void *p, size_t n);
void nft_match_link(struct nft_batch *b, enum nft_meta_keys key, enum nft_cmp_ops op, const char *name);
void nft_match_local(struct nft_batch *b, unsigned flag); /* NFTA_FIB_F_DADDR or SADDR: an address of this machine */
/* The source or destination is (NFT_CMP_EQ) or is not (NFT_CMP_NEQ) in the network; the family was matched before. */
void nft_match_prefix(struct nft_batch *b, bool source, enum nft_cmp_ops op, const struct net_prefix *p);
void nft_load_addr(struct nft_batch *b, int family, bool source, unsigned reg);
/* mark = mark | bits; mark = mark & ~bits; goes on when all bits are set */
void nft_mark_or(struct nft_batch *b, uint32_t bits);
void nft_mark_clear(struct nft_batch *b, uint32_t bits);
void nft_match_mark(struct nft_batch *b, uint32_t bits);

/* --- sets and maps --- */
enum nft_type { NFT_T_NONE, NFT_T_NUMBER, NFT_T_IP4, NFT_T_IP6, NFT_T_ETHER, NFT_T_PROTO, NFT_T_PORT, NFT_T_MARK,
		NFT_T_LINK, NFT_T_VERDICT };
#define NFT_CONCAT_MAX 4
struct nft_set {
	const char *name; /* with NFT_SET_ANONYMOUS "__set%d" or "__map%d" */
	enum nft_type key[NFT_CONCAT_MAX], data[NFT_CONCAT_MAX]; /* data[0] NFT_T_NONE: a set */
	uint32_t flags; /* NFT_SET_INTERVAL, CONSTANT, ANONYMOUS, TIMEOUT, EVAL (changed by rules); MAP, CONCAT are added */
	uint32_t size; /* at most so many; 0: as it comes */
	uint64_t timeout_ms;
};
uint32_t nft_set_add(struct nft_batch *b, const struct nft_set *s); /* returns its id within this batch */
void nft_set_delete(struct nft_batch *b, const char *name);
void nft_set_flush(struct nft_batch *b, const char *name);
unsigned nft_type_len(enum nft_type t); /* in a register: padded to 4 */

/* Keys and data as they lie in registers: each part of a concatenation padded to 4 bytes. */
struct nft_elem {
	const void *key, *key_end, *data; /* key_end: of a range in a set of concatenated intervals */
	unsigned key_len, data_len;
	int verdict; /* where chain is not NULL or data_len is 0 and the set is a verdict map */
	const char *chain;
	bool has_verdict, interval_end; /* interval_end: the first key behind an interval (sets that are no concatenation) */
	uint64_t timeout_ms;
};
/* type: NFT_MSG_NEWSETELEM (the same again: success), NFT_MSG_DELSETELEM. As many as there are. set must live until
 * nft_elems_end. */
void nft_elems(struct nft_batch *b, int type, const char *set, uint32_t id);
void nft_elem(struct nft_batch *b, const struct nft_elem *el);
void nft_elems_end(struct nft_batch *b);

#endif
