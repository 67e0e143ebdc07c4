/*
 * Services in the kernel, in a network namespace of the test's own: what a change
 * costs among few and among many, who has what two want, and a process that takes
 * over from another.
 */
#include <arpa/inet.h>
#include <sched.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "net/net.h"
#include "tap.h"

static char lost[200];

static void on_lost(void *arg, const char *key, const char *what, const char *owner)
{
	(void)arg;
	snprintf(lost, sizeof(lost), "%s: %s of %s", key, what, owner);
}

static struct net_addr addr(const char *text)
{
	struct net_addr a;

	if (!net_addr_parse(&a, text))
		a.family = 0;
	return a;
}

/* A Service of two endpoints: the n-th. */
static void put(struct net_services *s, unsigned n, uint16_t target)
{
	struct net_endpoint to[] = { { addr("10.99.0.7"), target }, { addr("10.99.1.8"), target } };
	struct net_service_port p = { .name = "http", .family = AF_INET, .protocol = IPPROTO_TCP, .port = 80,
				      .cluster = to, .n_cluster = 2, .any = true };
	char key[40], ip[20];

	snprintf(key, sizeof(key), "default/service-%u", n);
	snprintf(ip, sizeof(ip), "10.43.%u.%u", n >> 8 & 255, n & 255);
	p.cluster_ip = addr(ip);
	net_services_set(s, key, 1000 + n, &p, 1);
}

static bool shows(const char *pattern)
{
	char cmd[400];

	snprintf(cmd, sizeof(cmd), "nft list ruleset 2>/dev/null | grep -qF -e '%s'", pattern);
	return system(cmd) == 0;
}

static double now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1000 + (double)t.tv_nsec / 1e6;
}

static bool commit(struct net_services *s)
{
	struct err e = ERR_INIT;
	bool good = net_services_commit(s, &e) == 0;

	if (!good)
		printf("# %s\n", err_msg(&e));
	err_release(&e);
	return good;
}

static bool switch_to(struct net_services *s)
{
	struct err e = ERR_INIT;
	bool good = net_services_switch(s, &e) == 0;

	if (!good)
		printf("# %s\n", err_msg(&e));
	err_release(&e);
	while (net_services_tidy(s))
		;
	return good;
}

/* Bytes of one change among count Services, and how long the quickest of 20 took. */
static uint64_t cost(struct net_services *s, unsigned count)
{
	struct net_service_stats before, after = { 0 };
	double best = 1e9, start = now_ms();

	net_services_begin(s);
	for (unsigned i = 0; i < count; i++) {
		put(s, i, 8080);
		if (i % 200 == 199)
			(void)commit(s);
	}
	ok(switch_to(s), "all Services are in place");
	printf("# %u Services: %.0f ms to write them all, %zu bytes of memory\n", count, now_ms() - start,
	       net_services_memory(s));
	for (int i = 0; i < 20; i++) {
		double took;

		before = net_services_stats(s);
		start = now_ms();
		put(s, 5, (uint16_t)(9000 + i));
		(void)commit(s);
		took = now_ms() - start;
		best = took < best ? took : best;
		after = net_services_stats(s);
	}
	printf("# %u Services: %.3f ms for a change, %llu messages, %llu bytes\n", count, best,
	       (unsigned long long)(after.messages - before.messages), (unsigned long long)(after.bytes - before.bytes));
	return after.bytes - before.bytes;
}

static void t_conflict(struct net_services *s)
{
	struct net_endpoint to = { addr("10.99.0.7"), 80 };
	struct net_addr shared = addr("198.51.100.1");
	struct net_service_port p = { .name = "", .family = AF_INET, .protocol = IPPROTO_TCP, .port = 80, .external = &shared,
				      .n_external = 1, .cluster = &to, .n_cluster = 1 };

	net_services_set(s, "default/young", 2, &p, 1);
	ok(commit(s) && shows("198.51.100.1 . tcp . 80 : goto ext-"), "an external address");
	net_services_set(s, "default/old", 1, &p, 1);
	ok(commit(s) && shows("/default/old,") + shows("/default/old }") > 0, "the older one takes it");
	is_str(lost, "default/young: 198.51.100.1:80/TCP of default/old", "the other is told");
	lost[0] = '\0';
	net_services_set(s, "default/young", 2, &p, 1);
	ok(commit(s) && !lost[0], "once");
	net_services_set(s, "default/old", 1, NULL, 0);
	ok(commit(s) && shows("198.51.100.1 . tcp . 80 : goto ext-"), "and gets it back");
	ok(!shows("chain ext-a/default/old") && !shows("chain ext-b/default/old"), "nothing of the old one is left");
	net_services_set(s, "default/young", 2, NULL, 0);
	ok(commit(s) && !shows("198.51.100.1"), "gone");
}

static void t_shapes(struct net_services *s)
{
	struct net_endpoint to[] = { { addr("10.99.0.7"), 80 }, { addr("10.99.1.9"), 80 } };
	struct net_addr lb = addr("192.0.2.9");
	struct net_prefix from;
	struct net_service_port p = { .name = "x", .family = AF_INET, .protocol = IPPROTO_SCTP, .port = 80, .node_port = 30080,
				      .lb = &lb, .n_lb = 1, .sources = &from, .n_sources = 1, .restricted = true,
				      .external_local = true, .cluster = to, .n_cluster = 2, .local = to, .n_local = 1,
				      .any = true, .affinity_s = 60, .cluster_ip = addr("10.43.200.1") };

	ok(net_prefix_parse(&from, "203.0.113.0/24"), "a range");
	net_services_set(s, "default/all", 2, &p, 1);
	ok(commit(s), "all at once");
	ok(shows("ip saddr 203.0.113.0/24 goto ext-"), "source ranges");
	ok(shows("10.99.0.7 . 10.99.0.7"), "a pod that may come to itself; those of other nodes not");
	ok(shows("sctp . 30080 : goto ext-"), "the node port");
	p.n_local = 0;
	net_services_set(s, "default/all", 2, &p, 1);
	ok(commit(s), "no local endpoint");
	p.affinity_s = 120;
	net_services_set(s, "default/all", 2, &p, 1);
	ok(commit(s) && shows("timeout 2m") && !shows("timeout 1m"), "another time of affinity");
	p.cluster = NULL;
	p.n_cluster = 0;
	p.any = p.external_local = p.restricted = false;
	p.affinity_s = 0;
	net_services_set(s, "default/all", 2, &p, 1);
	ok(commit(s) && !shows("allow-") && !shows("timeout"), "no endpoint at all, and policy Cluster");
	net_services_set(s, "default/all", 2, NULL, 0);
	ok(commit(s) && !shows("default/all"), "gone without a trace");
}

int main(void)
{
	struct net_config cfg = { .bridge = "kltest1", .table = "kinglet-test", .pod_cidr = "10.99.0.0/24",
				  .cluster_cidr = "10.99.0.0/16", .state_file = "u-service.addresses" };
	struct net_services_config sc = { .service_cidr = "10.43.0.0/16", .lost = on_lost };
	struct net_services *s;
	struct err e = ERR_INIT;
	struct buf report = BUF_INIT;
	uint64_t few, many;

	if (geteuid() != 0 || unshare(CLONE_NEWNET) < 0) {
		printf("1..0 # SKIP needs root for a network namespace\n");
		return 0;
	}
	unlink(cfg.state_file);
	ok(net_open(&sc.net, &cfg, &e) == 0, "open");
	s = net_services_new(&sc);
	few = cost(s, 10);
	many = cost(s, 10000);
	is_int((long long)many, (long long)few, "a change costs the same among 10 and among 10,000");
	ok(net_services_memory(s) < 5u << 20, "10,000 Services need a few MB");
	ok(shows("10.43.39.15 . tcp . 80"), "the last of them");
	net_services_free(s);
	s = net_services_new(&sc);
	ok(shows("10.43.39.15 . tcp . 80"), "another process: what is there stays");
	net_services_begin(s);
	put(s, 1, 80);
	ok(commit(s) && shows("10.43.39.15 . tcp . 80"), "until the new state is known in whole");
	ok(switch_to(s) && !shows("10.43.39.15") && shows("10.43.0.1 . tcp . 80"), "and then it is in its place");
	ok(!shows("service-5/"), "nothing of before is left");
	t_conflict(s);
	t_shapes(s);
	net_services_free(s);
	net_close(sc.net);
	ok(net_kill_all(cfg.bridge, cfg.table, &report, &e) == 0 && !shows("table"), "nothing is left");
	buf_release(&report);
	err_release(&e);
	unlink(cfg.state_file);
	return done_testing();
}
