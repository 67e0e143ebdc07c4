/*
 * The messages to nf_tables, in a network namespace of the test's own; what came
 * of them is read by nft(8).
 */
#include <arpa/inet.h>
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <unistd.h>

#include "net/nft.h"
#include "tap.h"

static bool shows(const char *pattern)
{
	char cmd[400];

	snprintf(cmd, sizeof(cmd), "nft list ruleset 2>/dev/null | grep -qF -e '%s'", pattern);
	return system(cmd) == 0;
}

static const struct nft_set services = {
	.name = "services4", .key = { NFT_T_IP4, NFT_T_PROTO, NFT_T_PORT }, .data = { NFT_T_VERDICT }
};

static void service_elem(struct nft_batch *b, uint32_t n, const char *chain)
{
	uint8_t key[12] = { 10, 43, (uint8_t)(n >> 8), (uint8_t)n, IPPROTO_TCP, 0, 0, 0, 0, 80 };

	nft_elem(b, &(struct nft_elem){ .key = key, .key_len = sizeof(key), .has_verdict = true,
					.verdict = NFT_GOTO, .chain = chain });
}

static void count(void *arg, const char *name)
{
	(void)name;
	++*(int *)arg;
}

static void t_rules(struct nft *t)
{
	_cleanup_err_ struct err e = ERR_INIT;
	struct net_prefix p6;
	struct nft_batch b;

	ok(net_prefix_parse(&p6, "fd00:10::/61"), "a network");
	nft_begin(&b, t);
	ok(nft_batch_is_empty(&b), "nothing in it yet");
	nft_chain_base(&b, "pre", "filter", NF_INET_PRE_ROUTING, -5);
	nft_chain(&b, "other");
	nft_rule(&b, "pre");
	nft_match_family(&b, AF_INET6);
	nft_match_prefix(&b, true, NFT_CMP_NEQ, &p6);
	nft_mark_or(&b, 0x40);
	nft_verdict(&b, NFT_JUMP, "other");
	nft_rule_end(&b);
	nft_rule(&b, "other");
	nft_reject(&b, NFT_REJECT_ICMPX_UNREACH, NFT_REJECT_ICMPX_PORT_UNREACH);
	nft_rule_end(&b);
	ok(!nft_batch_is_empty(&b), "something in it");
	ok(nft_commit(&b, &e) == 0, "committed");
	ok(shows("ip6 saddr != fd00:10::/61 meta mark set meta mark | 0x00000040 jump other"), "a rule");
	ok(shows("reject"), "a rejection");
}

static void t_many(struct nft *t)
{
	_cleanup_err_ struct err e = ERR_INIT;
	struct nft_batch b;
	char name[32];
	int chains = 0, sets = 0;
	uint64_t batches = nft_stats(t)->batches;

	nft_begin(&b, t);
	nft_set_add(&b, &services);
	for (unsigned i = 0; i < 10000; i++) {
		snprintf(name, sizeof(name), "c%u", i);
		nft_chain(&b, name);
	}
	nft_elems(&b, NFT_MSG_NEWSETELEM, services.name, 0);
	for (unsigned i = 0; i < 10000; i++) {
		snprintf(name, sizeof(name), "c%u", i);
		service_elem(&b, i, name);
	}
	nft_elems_end(&b);
	ok(nft_commit(&b, &e) == 0, "10,000 chains and elements in one batch");
	ok(shows("10.43.39.15 . tcp . 80 : goto c9999"), "the last of them");
	is_int((long long)(nft_stats(t)->batches - batches), 1, "one batch");
	ok(nft_list_chains(t, count, &chains) == 0 && nft_list_sets(t, count, &sets) == 0, "listed");
	is_int(chains, 10002, "all chains");
	is_int(sets, 1, "all sets");
}

/* What is refused changes nothing, however many messages it was, and is told. */
static void t_refused(struct nft *t)
{
	_cleanup_err_ struct err e = ERR_INIT, e2 = ERR_INIT;
	struct nft_batch b;

	nft_begin(&b, t);
	nft_chain(&b, "new");
	nft_elems(&b, NFT_MSG_NEWSETELEM, services.name, 0);
	service_elem(&b, 10001, "missing");
	nft_elems_end(&b);
	is_int(nft_commit(&b, &e), -ENOENT, "an element that leads nowhere");
	ok(strstr(err_msg(&e), "adding elements to 'services4'") != NULL, "told what it was");
	ok(!shows("chain new"), "nothing of it was done");
	nft_begin(&b, t);
	for (int i = 0; i < 30000; i++)
		nft_chain_delete(&b, "missing");
	is_int(nft_commit(&b, &e2), -ENOENT, "30,000 errors in one batch");
	ok(strstr(err_msg(&e2), "removing a chain 'missing'") != NULL, "the first is told");
	nft_begin(&b, t);
	nft_chain_delete(&b, "c1");
	is_int(nft_commit(&b, &e), -EBUSY, "a chain that an element leads to stays");
	err_release(&e);
	nft_begin(&b, t);
	nft_elems(&b, NFT_MSG_DELSETELEM, services.name, 0);
	service_elem(&b, 1, "c1");
	nft_elems_end(&b);
	nft_chain_delete(&b, "c1");
	ok(nft_commit(&b, &e) == 0, "after its element it goes");
}

static void t_maps(struct nft *t)
{
	_cleanup_err_ struct err e = ERR_INIT;
	struct nft_batch b;
	uint32_t id;

	nft_begin(&b, t);
	nft_chain_base(&b, "nat", "nat", NF_INET_PRE_ROUTING, -100);
	id = nft_set_add(&b, &(struct nft_set){ .name = "__map%d", .key = { NFT_T_NUMBER },
						.data = { NFT_T_IP6, NFT_T_PORT },
						.flags = NFT_SET_ANONYMOUS | NFT_SET_CONSTANT });
	nft_elems(&b, NFT_MSG_NEWSETELEM, "__map%d", id);
	for (uint32_t i = 0; i < 5000; i++) {
		uint8_t data[20] = { 0xfd, [14] = (uint8_t)(i >> 8), (uint8_t)i, 31, 144 };

		nft_elem(&b, &(struct nft_elem){ .key = &i, .key_len = 4, .data = data, .data_len = sizeof(data) });
	}
	nft_elems_end(&b);
	nft_rule(&b, "nat");
	nft_match_family(&b, AF_INET6);
	nft_match_meta(&b, NFT_META_L4PROTO, &(uint8_t){ IPPROTO_TCP }, 1);
	nft_numgen(&b, 5000, 0);
	nft_lookup(&b, "__map%d", id, 0, 0);
	nft_dnat(&b, AF_INET6, 0, 4);
	nft_rule_end(&b);
	ok(nft_commit(&b, &e) == 0, "one of 5,000");
	ok(shows("numgen random mod 5000 map {"), "as nft reads it");
	ok(shows("4999 : fd00::1387 . 8080"), "the last");
}

int main(void)
{
	struct nft *t;

	if (geteuid() != 0 || unshare(CLONE_NEWNET) < 0) {
		printf("1..0 # SKIP needs root for a network namespace\n");
		return 0;
	}
	t = nft_new(NFPROTO_INET, "kinglet-test");
	is_int(nft_remove(t), -ENOENT, "nothing to remove");
	t_rules(t);
	t_many(t);
	t_refused(t);
	t_maps(t);
	is_int(nft_remove(t), 0, "removed");
	ok(!shows("table"), "nothing is left");
	nft_free(t);
	return done_testing();
}
