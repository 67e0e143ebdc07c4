/*
 * The pod network, in a network namespace of the test's own.
 */
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "net/net.h"
#include "tap.h"

/* A child in a network namespace of its own, until its stdin ends. */
static pid_t pod_start(int *hold, int *netns)
{
	int p[2], ready[2];
	char path[64], c;
	pid_t pid;

	if (pipe(p) < 0 || pipe(ready) < 0)
		abort();
	pid = fork();
	if (pid == 0) {
		close(p[1]);
		if (unshare(CLONE_NEWNET) < 0 || write(ready[1], "x", 1) != 1)
			_exit(1);
		while (read(p[0], &c, 1) > 0)
			;
		_exit(0);
	}
	close(p[0]);
	if (read(ready[0], &c, 1) != 1)
		abort();
	snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)pid);
	*netns = open(path, O_RDONLY | O_CLOEXEC);
	*hold = p[1];
	close(ready[0]);
	close(ready[1]);
	return pid;
}

static bool run(const char *cmd)
{
	return system(cmd) == 0;
}

static bool in_pod(pid_t pid, const char *cmd)
{
	char line[400];

	snprintf(line, sizeof(line), "nsenter -n/proc/%d/ns/net %s", (int)pid, cmd);
	return run(line);
}

static void test_prefixes(void)
{
	struct net_prefix v[NET_FAMILIES], w;
	struct net_addr a;
	char text[NET_ADDR_TEXT];

	ok(net_prefixes_parse(v, "10.42.0.0/16") == 1, "one network");
	ok(net_prefixes_parse(v, "fd42::/56, 10.42.0.0/16") == 2 && v[0].addr.family == AF_INET6, "two, in their order");
	ok(net_prefixes_parse(v, "10.42.0.0/16,10.43.0.0/16") < 0, "not two of one family");
	ok(net_prefixes_parse(v, "10.42.0.0/16,fd42::/56,fd43::/56") < 0 && net_prefixes_parse(v, "") < 0 &&
		   net_prefixes_parse(v, "10.42.0.0/16,") < 0 && net_prefixes_parse(v, "10.42.0.0/33") < 0,
	   "not three, none, half of one, and none that is too long");
	ok(net_prefix_parse(&w, "10.42.77.9/20"), "as written");
	net_prefix_first(&w);
	is_str(net_addr_print(&w.addr, text), "10.42.64.0", "the first of it");
	ok(net_prefix_parse(&w, "fd42:1:2:3ff::9/58"), "of IPv6");
	net_prefix_first(&w);
	is_str(net_addr_print(&w.addr, text), "fd42:1:2:3c0::", "and the first of that");
	ok(net_addr_parse(&a, "fd43::ffff"), "an address");
	a = net_addr_add(&a, 2);
	is_str(net_addr_print(&a, text), "fd43::1:1", "the second one behind it");
	ok(net_addr_parse(&a, "fd43::1") && net_addr_is_private(&a) && net_addr_parse(&a, "2001:db8::1") &&
		   !net_addr_is_private(&a),
	   "what is private");
	ok(net_prefixes_parse(v, "fd42::/56,10.42.0.0/16") == 2 && net_prefix_parse(&w, "10.0.0.0/8") &&
		   net_prefix_overlaps(&v[1], &w) && net_prefix_overlaps(&w, &v[1]) && !net_prefix_overlaps(&v[0], &w),
	   "overlaps, both ways, and of one family only");
}

/* Two families, IPv6 the primary one; an allocation of before the second one. */
static void test_two_families(pid_t pid, int ns)
{
	struct net_config cfg = { .bridge = "kltest1", .table = "kinglet-two", .pod_cidr = "fd99::/64,10.98.0.0/24",
				  .cluster_cidr = "fd99::/56,10.98.0.0/16", .state_file = "u-net.two" };
	_cleanup_err_ struct err e = ERR_INIT;
	struct buf report = BUF_INIT;
	struct net_addr addrs[NET_FAMILIES];
	struct net_attachment a;
	struct net *n = NULL;
	const char *keep[] = { "pod-two" };
	char what[NET_ADDR_TEXT + 32];

	unlink(cfg.state_file);
	ok(run("echo '10.98.0.7 pod-old' >u-net.two") && net_open(&n, &cfg, &e) == 0, "open for two families");
	is_str(err_msg(&e), "", "without a complaint");
	is_str(net_missing(n), "", "nothing is missing");
	ok(run("nft list table inet kinglet-two | grep -q 'ip6 saddr fd99::/64 ip6 daddr != fd99::/56 masquerade'"),
	   "private addresses of IPv6 are masqueraded");
	ok(net_addresses(n, "pod-old", addrs) == 1 && addrs[0].family == AF_INET, "who had one address has one");
	ok(net_attach(n, "pod-two", ns, &a, &e) == 0, "attach");
	is_str(a.ip[0], "fd99::2", "an address of the first family");
	is_str(a.ip[1], "10.98.0.2", "and of the second");
	ok(run("busybox ping -c1 -W2 10.98.0.2 >/dev/null && busybox ping -6 -c1 -W2 fd99::2 >/dev/null"), "it answers at both");
	ok(in_pod(pid, "ip -6 route | grep -q 'default via fd99::1 dev eth0'"), "its way out by IPv6");
	ok(in_pod(pid, "ip -o -6 addr show dev eth0 scope global | grep -q 'fd99::2/128'"), "its address alone");
	ok(run("! test -e /proc/sys/net/bridge || echo 0 | tee /proc/sys/net/bridge/bridge-nf-call-ip6tables "
	       ">/proc/sys/net/bridge/bridge-nf-call-iptables"), "bridges don't filter here");
	net_reconcile(n, keep, 1);
	ok(run("bridge -d link show | grep -A2 'master kltest1' | grep -q 'learning off flood off .*isolated on'"),
	   "its link learns and floods nothing, and is isolated");
	ok(run("ip neigh show dev kltest1 | grep -q '^fd99::2 .* PERMANENT'"), "nobody has to ask where it is");
	ok(run("nft list set bridge kinglet-two addresses6 | grep -q 'fd99::2'"), "it is guarded");
	ok(net_addresses(n, "pod-old", addrs) == 0 && net_addresses(n, "pod-two", addrs) == 2, "who is not kept goes");
	ok(run("ip link add klother type bridge && ip addr add 10.98.200.1/24 dev klother && ip link set klother up") &&
		   net_conflict(cfg.bridge, cfg.cluster_cidr, what),
	   "a network that is there already is found");
	is_str(what, "10.98.200.0/24 of klother", "and named");
	ok(!net_conflict(cfg.bridge, "10.97.0.0/16,fd98::/56", what), "others are free");
	ok(net_detach(n, "pod-two", &e) == 0, "detach");
	ok(run("test -z \"$(ip neigh show dev kltest1)\"") &&
		   run("! nft list table bridge kinglet-two | grep -q -e elements"),
	   "nothing is known of it any more");
	net_close(n);
	ok(net_kill_all(cfg.bridge, cfg.table, &report, &e) == 0 && strstr(report.s, "bridge kinglet-two"), "kill all");
	ok(run("ip link del klother"), "the other link goes");
	buf_release(&report);
	unlink(cfg.state_file);
}

int main(void)
{
	struct err e = ERR_INIT;
	struct buf report = BUF_INIT;
	struct net_config cfg = { .bridge = "kltest0", .table = "kinglet-test", .pod_cidr = "10.99.0.0/24",
				  .cluster_cidr = "10.99.0.0/16", .state_file = "u-net.addresses" };
	struct net_attachment a, b, again;
	struct net *n = NULL;
	int hold1, ns1, hold2, ns2;
	pid_t p1, p2;
	const char *keep[] = { "pod-one" };

	if (geteuid() != 0 || unshare(CLONE_NEWNET) < 0) {
		printf("1..0 # SKIP needs root for a network namespace\n");
		return 0;
	}
	test_prefixes();
	unlink(cfg.state_file);
	ok(net_open(&n, &cfg, &e) == 0, "open");
	if (!n) {
		printf("# %s\n", err_msg(&e));
		return done_testing();
	}
	is_str(net_missing(n), "", "nothing is missing");
	ok(run("nft list table inet kinglet-test | grep -q 'ip saddr 10.99.0.0/24 ip daddr != 10.99.0.0/16 masquerade'"),
	   "the masquerade rule as nft reads it");
	p1 = pod_start(&hold1, &ns1);
	p2 = pod_start(&hold2, &ns2);
	ok(net_attach(n, "pod-one", ns1, &a, &e) == 0 && net_attach(n, "pod-two", ns2, &b, &e) == 0, "attach two pods");
	is_str(a.ip[0], "10.99.0.2", "the first address");
	is_str(b.ip[0], "10.99.0.3", "the second address");
	is_str(a.gateway[0], "10.99.0.1", "the gateway");
	is_str(a.ip[1], "", "there is no second family");
	ok(run("busybox ping -c1 -W2 10.99.0.2 >/dev/null"), "the host reaches a pod");
	ok(run("ip route get 10.99.0.2 | grep -q kltest0"), "by the bridge");
	{
		char cmd[200];

		snprintf(cmd, sizeof(cmd), "nsenter -n/proc/%d/ns/net busybox ping -c1 -W2 10.99.0.3 >/dev/null", (int)p1);
		ok(run(cmd), "a pod reaches a pod");
		snprintf(cmd, sizeof(cmd), "nsenter -n/proc/%d/ns/net ip route | grep -q 'default via 10.99.0.1'", (int)p1);
		ok(run(cmd), "its default route");
	}
	net_close(n);
	ok(net_open(&n, &cfg, &e) == 0, "open again");
	ok(net_detach(n, "pod-one", &e) == 0 && net_attach(n, "pod-one", ns1, &again, &e) == 0, "detach and attach");
	ok(strcmp(again.ip[0], "10.99.0.4") == 0 || strcmp(again.ip[0], "10.99.0.2") == 0, "gets an address that is free");
	net_reconcile(n, keep, 1);
	ok(net_attach(n, "pod-one", ns1, &again, &e) == 0, "attaching twice repairs");
	net_close(n);
	ok(net_kill_all(cfg.bridge, cfg.table, &report, &e) == 0, "kill all");
	ok(!run("ip link show kltest0 >/dev/null 2>&1"), "the bridge is gone");
	ok(run("test -z \"$(nft list ruleset)\""), "no rule is left");
	ok(run("! ip -o link | grep -q \"kv[0-9a-f]\\{12\\}\""), "no link is left");
	buf_clear(&report);
	ok(net_kill_all(cfg.bridge, cfg.table, &report, &e) == 0 && report.len == 0, "kill all of nothing");
	test_two_families(p2, ns2);
	close(hold1);
	close(hold2);
	waitpid(p1, NULL, 0);
	waitpid(p2, NULL, 0);
	buf_release(&report);
	err_release(&e);
	unlink(cfg.state_file);
	return done_testing();
}
