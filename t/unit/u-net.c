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
	close(hold1);
	close(hold2);
	waitpid(p1, NULL, 0);
	waitpid(p2, NULL, 0);
	buf_release(&report);
	err_release(&e);
	unlink(cfg.state_file);
	return done_testing();
}
