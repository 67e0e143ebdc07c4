/*
 * Policies in a real kernel, in both families: three pods that are network
 * namespaces of this test, and who reaches whom by TCP and UDP.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/vec.h"
#include "net/net.h"
#include "tap.h"

#define PODS 3
#define PORT 80

static struct net *net;
static struct pod {
	pid_t pid;
	int netns;
	struct net_addr addr[2]; /* IPv4, IPv6 */
} pods[PODS];
static VEC(struct net_policy_op) ops;

static int listen_on(int family, uint16_t port)
{
	struct sockaddr_in6 six = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
	struct sockaddr_in four = { .sin_family = AF_INET, .sin_port = htons(port) };
	int fd = socket(family, SOCK_STREAM, 0), one = 1;

	(void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
	if (bind(fd, family == AF_INET ? (void *)&four : (void *)&six, family == AF_INET ? sizeof(four) : sizeof(six)) < 0)
		return -1;
	return listen(fd, 10);
}

/* A process in a network namespace of its own, where ports 80 and 81 are listened on. */
static void pod_up(size_t i)
{
	_cleanup_err_ struct err e = ERR_INIT;
	struct net_attachment at;
	char id[8], path[64], c;
	int ready[2];

	BUG_ON(pipe(ready) < 0);
	pods[i].pid = fork();
	if (pods[i].pid == 0) {
		if (unshare(CLONE_NEWNET) < 0 || listen_on(AF_INET, PORT) < 0 || listen_on(AF_INET6, PORT) < 0 ||
		    listen_on(AF_INET, PORT + 1) < 0 || listen_on(AF_INET6, PORT + 1) < 0 || write(ready[1], "x", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	close(ready[1]);
	BUG_ON(read(ready[0], &c, 1) != 1);
	close(ready[0]);
	snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)pods[i].pid);
	pods[i].netns = open(path, O_RDONLY | O_CLOEXEC);
	snprintf(id, sizeof(id), "pod%zu", i);
	if (net_attach(net, id, pods[i].netns, &at, &e) < 0)
		printf("# %s\n", err_msg(&e));
	BUG_ON(net_addresses(net, id, pods[i].addr) != 2);
}

/* From one pod to the other's port, in a child. Addresses of IPv6 take a moment to be there. */
static bool reaches(size_t from, size_t to, int family, uint16_t port)
{
	struct sockaddr_in6 six = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
	struct sockaddr_in four = { .sin_family = AF_INET, .sin_port = htons(port) };
	int status = 0;
	pid_t pid;

	memcpy(&six.sin6_addr, pods[to].addr[1].b, 16);
	memcpy(&four.sin_addr, pods[to].addr[0].b, 4);
	pid = fork();
	if (pid == 0) {
		struct pollfd p = { .events = POLLOUT };
		int error = 0;
		socklen_t n = sizeof(error);

		if (setns(pods[from].netns, CLONE_NEWNET) < 0)
			_exit(2);
		p.fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK, 0);
		if (connect(p.fd, family == AF_INET ? (void *)&four : (void *)&six,
			    family == AF_INET ? sizeof(four) : sizeof(six)) < 0 && errno != EINPROGRESS)
			_exit(3);
		if (poll(&p, 1, 400) != 1 || getsockopt(p.fd, SOL_SOCKET, SO_ERROR, &error, &n) < 0 || error)
			_exit(4);
		_exit(0);
	}
	waitpid(pid, &status, 0);
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static bool reaches_both(size_t from, size_t to, uint16_t port, bool want)
{
	bool good = true;

	for (int f = 0; f < 2; f++) {
		bool got = reaches(from, to, f ? AF_INET6 : AF_INET, port);

		if (got != want)
			printf("# %zu to %zu, port %u, IPv%d: %s\n", from, to, port, f ? 6 : 4, got ? "open" : "closed");
		good &= got == want;
	}
	return good;
}

static void op(struct net_policy_op o)
{
	VEC_PUSH(&ops, o);
}

static bool apply(bool anew)
{
	_cleanup_err_ struct err e = ERR_INIT;
	size_t bytes;
	int rc = net_policy_apply(net, ops.v, ops.n, anew, &bytes, &e);

	if (rc < 0)
		printf("# %s\n", err_msg(&e));
	ops.n = 0;
	return rc == 0;
}

static void guard(enum net_policy_verb verb, size_t pod, enum net_dir dir, uint32_t chain)
{
	for (int f = 0; f < 2; f++)
		op((struct net_policy_op){ .verb = verb, .dir = dir, .chain = chain, .elem.addr = pods[pod].addr[f] });
}

/* Chain 2 calls chain 1, which accepts peers of set 3 at the ports of set 4, or of set 5 (pods' ports). */
static void t_apply(void)
{
	struct net_policy_elem all = { .addr = { .family = AF_INET6 }, .last = { .family = AF_INET6 } };

	op((struct net_policy_op){ .verb = NET_POLICY_SET, .set = 3, .kind = NET_SET_ADDR });
	op((struct net_policy_op){ .verb = NET_POLICY_SET, .set = 4, .kind = NET_SET_PORT });
	op((struct net_policy_op){ .verb = NET_POLICY_SET, .set = 5, .kind = NET_SET_POD_PORT });
	op((struct net_policy_op){ .verb = NET_POLICY_SET, .set = 6, .kind = NET_SET_BLOCK });
	for (int f = 0; f < 2; f++)
		op((struct net_policy_op){ .verb = NET_POLICY_ADD, .set = 3, .kind = NET_SET_ADDR,
					   .elem.addr = pods[1].addr[f] });
	op((struct net_policy_op){ .verb = NET_POLICY_ADD, .set = 4, .kind = NET_SET_PORT,
				   .elem = { .protocol = IPPROTO_TCP, .port = 70, .last_port = PORT } });
	op((struct net_policy_op){ .verb = NET_POLICY_ADD, .set = 4, .kind = NET_SET_PORT,
				   .elem = { .protocol = IPPROTO_UDP, .port = 0, .last_port = 65535 } });
	memset(all.last.b, 0xff, 16);
	op((struct net_policy_op){ .verb = NET_POLICY_ADD, .set = 6, .kind = NET_SET_BLOCK, .elem = all });
	op((struct net_policy_op){ .verb = NET_POLICY_CHAIN, .chain = 1 });
	op((struct net_policy_op){ .verb = NET_POLICY_ACCEPT, .chain = 1, .dir = NET_IN, .peer = 3, .set = 4,
				   .kind = NET_SET_PORT });
	op((struct net_policy_op){ .verb = NET_POLICY_ACCEPT, .chain = 1, .dir = NET_IN, .set = 5,
				   .kind = NET_SET_POD_PORT });
	op((struct net_policy_op){ .verb = NET_POLICY_CHAIN, .chain = 2 });
	op((struct net_policy_op){ .verb = NET_POLICY_CALL, .chain = 2, .to = 1 });
	op((struct net_policy_op){ .verb = NET_POLICY_DROP, .chain = 2 });
	guard(NET_POLICY_GUARD, 0, NET_IN, 2);
	ok(apply(true), "a kernel takes all of it");
	ok(reaches_both(1, 0, PORT, true), "a peer at a port");
	ok(reaches_both(1, 0, PORT + 1, false), "... at another port");
	ok(reaches_both(2, 0, PORT, false), "another pod");
	ok(reaches_both(0, 2, PORT, true), "what goes out is nobody's concern, and answers come back");
}

static void t_change(void)
{
	for (int f = 0; f < 2; f++)
		op((struct net_policy_op){ .verb = NET_POLICY_ADD, .set = 5, .kind = NET_SET_POD_PORT,
					   .elem = { .addr = pods[0].addr[f], .protocol = IPPROTO_TCP, .port = PORT + 1 } });
	ok(apply(false) && reaches_both(2, 0, PORT + 1, true) && reaches_both(2, 0, PORT, false), "a pod's own port");
	op((struct net_policy_op){ .verb = NET_POLICY_CHAIN, .chain = 1 });
	op((struct net_policy_op){ .verb = NET_POLICY_ACCEPT, .chain = 1, .dir = NET_IN, .peer = 6 });
	ok(apply(false) && reaches(2, 0, AF_INET6, PORT) && !reaches(2, 0, AF_INET, PORT),
	   "a block of all addresses of one family");
	guard(NET_POLICY_GUARD, 1, NET_OUT, 0);
	ok(apply(false) && reaches_both(1, 2, PORT, false) && reaches_both(2, 1, PORT, true), "shut, one way");
	op((struct net_policy_op){ .verb = NET_POLICY_UNSET, .set = 6, .kind = NET_SET_BLOCK });
	ok(!apply(false), "a set that is in use doesn't go");
	ok(reaches(2, 0, AF_INET6, PORT) && !reaches(2, 0, AF_INET, PORT), "... and nothing has changed");
}

static void t_shut(void)
{
	_cleanup_err_ struct err e = ERR_INIT;

	ok(net_policy_shut(net, &pods[2].addr[0], &e) == 0 && net_policy_shut(net, &pods[2].addr[1], &e) == 0 &&
	   reaches_both(1, 2, PORT, false) && reaches_both(2, 0, PORT, false), "an address is shut");
	ok(net_policy_shut(net, &pods[0].addr[0], &e) == 0, "... also one that was guarded");
	ok(apply(true) && reaches_both(1, 2, PORT, true) && reaches_both(2, 0, PORT + 1, true), "anew, with nothing in it");
	ok(net_policy_remove(net, &e) == 0 && net_policy_remove(net, &e) == 0, "all goes, and it may go twice");
	ok(net_policy_shut(net, &pods[0].addr[0], &e) == 0 && reaches_both(1, 0, PORT, true),
	   "where there is no policy nothing is shut");
}

int main(void)
{
	_cleanup_err_ struct err e = ERR_INIT;
	char dir[] = "/tmp/u-policy.XXXXXX", state[64], command[80];
	struct net_config cfg = { .bridge = "kpol0", .table = "kpol", .pod_cidr = "10.42.0.0/24,fd42::/64",
				  .cluster_cidr = "10.42.0.0/16,fd42::/56", .state_file = state };

	if (geteuid() != 0 || unshare(CLONE_NEWNET) < 0) {
		printf("1..0 # SKIP needs root and network namespaces\n");
		return 0;
	}
	BUG_ON(!mkdtemp(dir));
	snprintf(state, sizeof(state), "%s/addresses", dir);
	if (net_open(&net, &cfg, &e) < 0) {
		printf("# %s\n", err_msg(&e));
		ok(false, "the pod network");
		return done_testing();
	}
	for (size_t i = 0; i < PODS; i++)
		pod_up(i);
	for (int i = 0; i < 50 && !reaches_both(1, 0, PORT, true); i++)
		usleep(100000);
	t_apply();
	t_change();
	t_shut();
	for (size_t i = 0; i < PODS; i++) {
		kill(pods[i].pid, SIGKILL);
		waitpid(pods[i].pid, NULL, 0);
		close(pods[i].netns);
	}
	VEC_RELEASE(&ops);
	net_close(net);
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	return system(command) != 0 || done_testing();
}
