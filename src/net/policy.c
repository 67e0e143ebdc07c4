/*
 * Who may speak to the pods of this node, in our table:
 *
 *	chain policy-out { type filter hook forward priority 0;
 *		ct state established,related accept		# judged when they began; and all replies
 *		ip saddr . ip daddr @policy-self-out-4 accept	# a pod that calls itself through a service
 *		ip saddr vmap @policy-out-4			# ADDRESS : jump policy-GROUP-4, or drop
 *	}
 *	chain policy-in { type filter hook forward priority 1;	# the same with daddr, policy-self-in-4, policy-in-4
 *	}
 *	chain policy-GROUP-4 { jump policy-CHAIN-4; ...; drop }
 *	chain policy-CHAIN-4 {	# of a policy, this way or that: each line accepts
 *		ip saddr @policy-PEER-4 meta l4proto . th dport @policy-PORTS accept
 *		ip daddr . meta l4proto . th dport @policy-PODPORTS-4 accept
 *	}
 *
 * and each with -6 where pods have such addresses. An accept ends the one base chain
 * only, so what goes out of one pod and in to another is judged twice, at the
 * destination that a Service led it to and from its true source: the hook lies
 * between the two kinds of translation. What the machine itself sends or gets does
 * not pass here.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <stdio.h>

#include "base/vec.h"
#include "net/nft.h"

#define POLICY_PREFIX "policy-"
#define POLICY_NAME 32

struct policy_batch {
	struct nft_batch b;
	bool has[2]; /* families: 4, 6 */
	bool adding; /* elements, to this set: */
	int type;
	char set[POLICY_NAME];
};

static const int policy_families[] = { AF_INET, AF_INET6 };
static const char *const policy_dirs[] = { "in", "out" }; /* enum net_dir */

static const char *policy_name(char out[POLICY_NAME], uint32_t id, int family)
{
	snprintf(out, POLICY_NAME, POLICY_PREFIX "%u-%c", id, family == AF_INET ? '4' : family ? '6' : 'p');
	return out;
}

/* A map or chain that is always there. */
static const char *policy_fixed_name(char out[POLICY_NAME], const char *what, enum net_dir dir, int family)
{
	snprintf(out, POLICY_NAME, POLICY_PREFIX "%s%s-%c", what, policy_dirs[dir], family == AF_INET ? '4' : '6');
	return out;
}

static const char *policy_base_name(char out[POLICY_NAME], enum net_dir dir)
{
	snprintf(out, POLICY_NAME, POLICY_PREFIX "%s", policy_dirs[dir]);
	return out;
}

/* --- the base --- */

static void policy_maps(struct policy_batch *p, enum net_dir dir, int family)
{
	enum nft_type type = family == AF_INET ? NFT_T_IP4 : NFT_T_IP6;
	char map[POLICY_NAME], self[POLICY_NAME];
	struct nft_set m = { .name = policy_fixed_name(map, "", dir, family), .key = { type }, .data = { NFT_T_VERDICT } };
	struct nft_set s = { .name = policy_fixed_name(self, "self-", dir, family), .key = { type, type } };

	nft_set_add(&p->b, &m);
	nft_set_add(&p->b, &s);
}

static void policy_established(struct policy_batch *p, const char *chain)
{
	uint32_t mask = NF_CT_STATE_BIT(IP_CT_ESTABLISHED) | NF_CT_STATE_BIT(IP_CT_RELATED), none = 0;

	nft_rule(&p->b, chain);
	nft_ct(&p->b, NFT_CT_STATE, 0);
	nft_bitwise(&p->b, 0, &mask, &none, sizeof(mask));
	nft_cmp(&p->b, NFT_CMP_NEQ, 0, &none, sizeof(none));
	nft_verdict(&p->b, NF_ACCEPT, NULL);
	nft_rule_end(&p->b);
}

static void policy_dispatch(struct policy_batch *p, const char *chain, enum net_dir dir, int family)
{
	char name[POLICY_NAME];

	nft_rule(&p->b, chain);
	nft_match_family(&p->b, family);
	nft_load_addr(&p->b, family, true, 0);
	nft_load_addr(&p->b, family, false, family == AF_INET ? 1 : 4);
	nft_lookup(&p->b, policy_fixed_name(name, "self-", dir, family), 0, 0, NFT_NO_REG);
	nft_verdict(&p->b, NF_ACCEPT, NULL);
	nft_rule_end(&p->b);
	nft_rule(&p->b, chain);
	nft_match_family(&p->b, family);
	nft_load_addr(&p->b, family, dir == NET_OUT, 0);
	nft_lookup(&p->b, policy_fixed_name(name, "", dir, family), 0, 0, NFT_TO_VERDICT);
	nft_rule_end(&p->b);
}

static void policy_base(struct policy_batch *p)
{
	char chain[POLICY_NAME];

	for (int dir = NET_IN; dir <= NET_OUT; dir++) {
		policy_base_name(chain, (enum net_dir)dir);
		nft_chain_base(&p->b, chain, "filter", NF_INET_FORWARD, dir == NET_OUT ? 0 : 1);
		nft_chain_flush(&p->b, chain);
		policy_established(p, chain);
		for (size_t f = 0; f < ARRAY_SIZE(policy_families); f++) {
			if (!p->has[f])
				continue;
			policy_maps(p, (enum net_dir)dir, policy_families[f]);
			policy_dispatch(p, chain, (enum net_dir)dir, policy_families[f]);
		}
	}
}

/* --- what a former run has left --- */

typedef VEC(char *) policy_names;

static void policy_note(void *arg, const char *name)
{
	policy_names *names = arg;

	if (starts_with(name, POLICY_PREFIX))
		VEC_PUSH(names, xstrdup(name));
}

static void policy_names_release(policy_names *n)
{
	for (size_t i = 0; i < n->n; i++)
		free(n->v[i]);
	VEC_RELEASE(n);
}

static int policy_list(struct nft *t, policy_names *chains, policy_names *sets, struct err *e)
{
	int rc = nft_list_chains(t, policy_note, chains);

	if (rc == 0)
		rc = nft_list_sets(t, policy_note, sets);
	if (rc < 0 && rc != -ENOENT)
		return err_errno(e, -rc, "look for the policies that are in force");
	return 0;
}

static bool policy_stays(const char *name, bool keep_base)
{
	char base[POLICY_NAME];

	return keep_base && (streq(name, policy_base_name(base, NET_IN)) || streq(name, policy_base_name(base, NET_OUT)));
}

/* What leads elsewhere goes first. The base chains may stay: they are filled again. */
static void policy_wipe(struct policy_batch *p, const policy_names *chains, const policy_names *sets, bool keep_base)
{
	for (size_t i = 0; i < chains->n; i++)
		nft_chain_flush(&p->b, chains->v[i]);
	for (size_t i = 0; i < sets->n; i++)
		nft_set_flush(&p->b, sets->v[i]); /* maps lead to chains */
	for (size_t i = 0; i < sets->n; i++)
		nft_set_delete(&p->b, sets->v[i]);
	for (size_t i = 0; i < chains->n; i++)
		if (!policy_stays(chains->v[i], keep_base))
			nft_chain_delete(&p->b, chains->v[i]);
}

/* --- changes --- */

static void policy_elems_end(struct policy_batch *p)
{
	if (p->adding)
		nft_elems_end(&p->b);
	p->adding = false;
}

/* Elements of one set go together. */
static void policy_elem(struct policy_batch *p, int type, const char *set, const struct nft_elem *el)
{
	if (!p->adding || p->type != type || !streq(p->set, set)) {
		policy_elems_end(p);
		snprintf(p->set, sizeof(p->set), "%s", set);
		p->type = type;
		p->adding = true;
		nft_elems(&p->b, type, p->set, 0);
	}
	nft_elem(&p->b, el);
}

static void policy_make_set(struct policy_batch *p, const struct net_policy_op *op, int family)
{
	enum nft_type addr = family == AF_INET ? NFT_T_IP4 : NFT_T_IP6;
	char name[POLICY_NAME];
	struct nft_set s = { .name = policy_name(name, op->set, family) };

	switch ((enum net_policy_set)op->kind) {
	case NET_SET_BLOCK:
		s.flags = NFT_SET_INTERVAL;
		s.key[0] = addr;
		break;
	case NET_SET_ADDR:
		s.key[0] = addr;
		break;
	case NET_SET_PORT:
		s.flags = NFT_SET_INTERVAL;
		s.key[0] = NFT_T_PROTO;
		s.key[1] = NFT_T_PORT;
		break;
	case NET_SET_POD_PORT:
		s.key[0] = addr;
		s.key[1] = NFT_T_PROTO;
		s.key[2] = NFT_T_PORT;
	}
	nft_set_add(&p->b, &s);
}

/* As it lies in registers; returns its length. */
static unsigned policy_port_key(uint8_t *out, uint8_t protocol, uint16_t port)
{
	uint16_t number = htons(port);

	memset(out, 0, 8);
	out[0] = protocol;
	memcpy(out + 4, &number, sizeof(number));
	return 8;
}

static void policy_change_block(struct policy_batch *p, int type, const char *set, const struct net_policy_elem *e)
{
	size_t n = net_addr_len(&e->addr);
	struct nft_elem el = { .key = e->addr.b, .key_len = (unsigned)n };
	uint8_t behind[16];

	policy_elem(p, type, set, &el);
	memcpy(behind, e->last.b, sizeof(behind));
	while (n > 0 && ++behind[n - 1] == 0)
		n--;
	if (!n) /* to the very end */
		return;
	el.key = behind;
	el.interval_end = true;
	policy_elem(p, type, set, &el);
}

static void policy_change(struct policy_batch *p, const struct net_policy_op *op)
{
	int type = op->verb == NET_POLICY_ADD ? NFT_MSG_NEWSETELEM : NFT_MSG_DELSETELEM, family = op->elem.addr.family;
	uint8_t key[24], end[8];
	struct nft_elem el = { .key = key };
	char set[POLICY_NAME];

	if (family && !p->has[family == AF_INET6])
		return;
	policy_name(set, op->set, family);
	memcpy(key, op->elem.addr.b, sizeof(op->elem.addr.b));
	if (family)
		el.key_len = (unsigned)net_addr_len(&op->elem.addr);
	switch ((enum net_policy_set)op->kind) {
	case NET_SET_BLOCK:
		policy_change_block(p, type, set, &op->elem);
		return;
	case NET_SET_ADDR:
		break;
	case NET_SET_PORT:
		policy_port_key(end, op->elem.protocol, op->elem.last_port);
		el.key_end = end;
		/* fallthrough */
	case NET_SET_POD_PORT:
		el.key_len += policy_port_key(key + el.key_len, op->elem.protocol, op->elem.port);
	}
	policy_elem(p, type, set, &el);
}

static void policy_guard(struct policy_batch *p, int type, enum net_dir dir, const struct net_addr *a, uint32_t chain)
{
	size_t n = net_addr_len(a);
	char set[POLICY_NAME], name[POLICY_NAME];
	uint8_t twice[32];
	struct nft_elem el = { .key = a->b, .key_len = (unsigned)n };

	if (!p->has[a->family == AF_INET6])
		return;
	el.has_verdict = type == NFT_MSG_NEWSETELEM;
	el.verdict = chain ? NFT_JUMP : NF_DROP;
	el.chain = chain ? policy_name(name, chain, a->family) : NULL;
	policy_elem(p, type, policy_fixed_name(set, "", dir, a->family), &el);
	memcpy(twice, a->b, n);
	memcpy(twice + n, a->b, n);
	el = (struct nft_elem){ .key = twice, .key_len = (unsigned)(2 * n) };
	policy_elem(p, type, policy_fixed_name(set, "self-", dir, a->family), &el);
}

static void policy_match_ports(struct policy_batch *p, const struct net_policy_op *op, int family)
{
	bool pods = op->kind == NET_SET_POD_PORT;
	unsigned reg = 0;
	char set[POLICY_NAME];

	if (pods) {
		nft_load_addr(&p->b, family, false, 0);
		reg = family == AF_INET ? 1 : 4;
	}
	nft_meta(&p->b, NFT_META_L4PROTO, reg);
	nft_payload(&p->b, NFT_PAYLOAD_TRANSPORT_HEADER, NFT_TH_DPORT, 2, reg + 1);
	nft_lookup(&p->b, policy_name(set, op->set, pods ? family : 0), 0, 0, NFT_NO_REG);
}

static void policy_rule(struct policy_batch *p, const struct net_policy_op *op, int family)
{
	char name[POLICY_NAME], set[POLICY_NAME];

	nft_rule(&p->b, policy_name(name, op->chain, family));
	if (op->verb == NET_POLICY_ACCEPT && op->peer) {
		nft_load_addr(&p->b, family, op->dir == NET_IN, 0);
		nft_lookup(&p->b, policy_name(set, op->peer, family), 0, 0, NFT_NO_REG);
	}
	if (op->verb == NET_POLICY_ACCEPT && op->set)
		policy_match_ports(p, op, family);
	nft_verdict(&p->b,
		    op->verb == NET_POLICY_ACCEPT ? NF_ACCEPT :
		    op->verb == NET_POLICY_CALL	  ? NFT_JUMP :
						    NF_DROP,
		    op->verb == NET_POLICY_CALL ? policy_name(set, op->to, family) : NULL);
	nft_rule_end(&p->b);
}

/* What is there once for each family. */
static void policy_op_of(struct policy_batch *p, const struct net_policy_op *op, int family)
{
	char name[POLICY_NAME];

	switch ((enum net_policy_verb)op->verb) {
	case NET_POLICY_SET:
		policy_make_set(p, op, family);
		break;
	case NET_POLICY_UNSET:
		nft_set_delete(&p->b, policy_name(name, op->set, family));
		break;
	case NET_POLICY_CHAIN:
		nft_chain(&p->b, policy_name(name, op->chain, family));
		nft_chain_flush(&p->b, name);
		break;
	case NET_POLICY_UNCHAIN:
		nft_chain_flush(&p->b, policy_name(name, op->chain, family));
		nft_chain_delete(&p->b, name);
		break;
	default:
		policy_rule(p, op, family);
	}
}

static void policy_op(struct policy_batch *p, const struct net_policy_op *op)
{
	switch ((enum net_policy_verb)op->verb) {
	case NET_POLICY_ADD:
	case NET_POLICY_DEL:
		policy_change(p, op);
		return;
	case NET_POLICY_GUARD:
		policy_guard(p, NFT_MSG_NEWSETELEM, (enum net_dir)op->dir, &op->elem.addr, op->chain);
		return;
	case NET_POLICY_UNGUARD:
		policy_guard(p, NFT_MSG_DELSETELEM, (enum net_dir)op->dir, &op->elem.addr, 0);
		return;
	default:
		break;
	}
	policy_elems_end(p);
	if ((op->verb == NET_POLICY_SET || op->verb == NET_POLICY_UNSET) && op->kind == NET_SET_PORT) {
		policy_op_of(p, op, 0);
		return;
	}
	for (size_t f = 0; f < ARRAY_SIZE(policy_families); f++)
		if (p->has[f])
			policy_op_of(p, op, policy_families[f]);
}

static void policy_begin(struct policy_batch *p, struct net *n)
{
	*p = (struct policy_batch){ .adding = false };
	for (size_t f = 0; f < ARRAY_SIZE(policy_families); f++)
		p->has[f] = net_has_family(n, policy_families[f]);
	nft_begin(&p->b, net_nft(n));
}

static int policy_commit(struct policy_batch *p, struct err *e)
{
	policy_elems_end(p);
	return nft_commit(&p->b, e);
}

int net_policy_apply(struct net *n, const struct net_policy_op *v, size_t count, bool anew, size_t *bytes, struct err *e)
{
	policy_names chains = VEC_INIT, sets = VEC_INIT;
	uint64_t before = nft_stats(net_nft(n))->bytes;
	struct policy_batch p;
	int rc = 0;

	if (anew)
		rc = policy_list(net_nft(n), &chains, &sets, e);
	if (rc == 0) {
		policy_begin(&p, n);
		policy_wipe(&p, &chains, &sets, true);
		if (anew)
			policy_base(&p);
		for (size_t i = 0; i < count; i++)
			policy_op(&p, &v[i]);
		rc = policy_commit(&p, e);
	}
	*bytes = (size_t)(nft_stats(net_nft(n))->bytes - before);
	policy_names_release(&chains);
	policy_names_release(&sets);
	return rc < 0 ? err_wrap(e, "put network policies in force") : 0;
}

int net_policy_remove(struct net *n, struct err *e)
{
	policy_names chains = VEC_INIT, sets = VEC_INIT;
	struct policy_batch p;
	int rc = policy_list(net_nft(n), &chains, &sets, e);

	if (rc == 0 && (chains.n || sets.n)) {
		policy_begin(&p, n);
		policy_wipe(&p, &chains, &sets, false);
		rc = policy_commit(&p, e);
	}
	policy_names_release(&chains);
	policy_names_release(&sets);
	return rc < 0 ? err_wrap(e, "take network policies out of force") : 0;
}

static int policy_shut(struct net *n, const struct net_addr *a, enum net_dir dir, bool guarded, struct err *e)
{
	struct policy_batch p;

	policy_begin(&p, n);
	if (guarded)
		policy_guard(&p, NFT_MSG_DELSETELEM, dir, a, 0);
	policy_guard(&p, NFT_MSG_NEWSETELEM, dir, a, 0);
	return policy_commit(&p, e);
}

int net_policy_shut(struct net *n, const struct net_addr *a, struct err *e)
{
	policy_names chains = VEC_INIT, sets = VEC_INIT;
	int rc = policy_list(net_nft(n), &chains, &sets, e);
	bool none = !sets.n;

	policy_names_release(&chains);
	policy_names_release(&sets);
	for (int dir = NET_IN; rc == 0 && !none && dir <= NET_OUT; dir++) {
		_cleanup_err_ struct err first = ERR_INIT;

		/* of a pod that had the address before */
		if (policy_shut(n, a, (enum net_dir)dir, true, &first) < 0)
			rc = policy_shut(n, a, (enum net_dir)dir, false, e);
	}
	return rc < 0 ? err_wrap(e, "shut the address of a pod") : 0;
}
