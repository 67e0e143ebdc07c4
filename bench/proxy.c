/*
 * What the service proxy costs: two pods (network namespaces) on a bridge of this
 * program's, connections a second and bytes a second from one to the other, directly
 * and through a ClusterIP among 10, 1,000 and 10,000 Services; and how long a change
 * takes to be written. For root; leaves nothing.
 *
 *	bench/proxy [SECONDS]
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "net/net.h"

#define PORT_SHORT 8001 /* accepts and closes */
#define PORT_LONG 8002 /* reads all */

static double seconds = 2;
static struct err e;

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void must(bool good, const char *what)
{
	if (good)
		return;
	fprintf(stderr, "proxy: %s: %s\n", what, e.code ? err_msg(&e) : "failed");
	exit(1);
}

/* A process in a network namespace of its own that sleeps. */
static pid_t pod_start(int *netns)
{
	char path[64], byte;
	int ready[2];
	pid_t pid;

	must(pipe(ready) == 0, "pipe");
	pid = fork();
	if (pid == 0) {
		must(unshare(CLONE_NEWNET) == 0 && write(ready[1], "x", 1) == 1, "namespace");
		for (;;)
			pause();
	}
	must(pid > 0 && read(ready[0], &byte, 1) == 1, "fork");
	close(ready[0]);
	close(ready[1]);
	snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)pid);
	*netns = open(path, O_RDONLY | O_CLOEXEC);
	return pid;
}

static struct sockaddr_in address(const char *ip, int port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };

	inet_pton(AF_INET, ip, &a.sin_addr);
	return a;
}

static pid_t serve(int netns, int port)
{
	struct sockaddr_in a = address("0.0.0.0", port);
	static char buf[1 << 18];
	int one = 1, s;
	pid_t pid = fork();

	if (pid)
		return pid;
	must(setns(netns, CLONE_NEWNET) == 0, "enter the pod");
	s = socket(AF_INET, SOCK_STREAM, 0);
	setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	must(bind(s, (struct sockaddr *)&a, sizeof(a)) == 0 && listen(s, 1024) == 0, "listen");
	for (;;) {
		int c = accept(s, NULL, NULL);

		while (port == PORT_LONG && read(c, buf, sizeof(buf)) > 0)
			;
		close(c);
	}
}

/* Connections a second (of each: connect, and wait for its end), or bytes a second. */
static double ask(int netns, const char *ip, int port, bool many)
{
	struct linger hard = { 1, 0 };
	static char buf[1 << 18];
	int out[2];
	double rate = 0;
	pid_t pid;

	must(pipe(out) == 0, "pipe");
	pid = fork();
	if (pid == 0) {
		struct sockaddr_in a = address(ip, port);
		double start = now(), n = 0;

		must(setns(netns, CLONE_NEWNET) == 0, "enter the pod");
		while (now() - start < seconds) {
			int s = socket(AF_INET, SOCK_STREAM, 0);

			setsockopt(s, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
			must(connect(s, (struct sockaddr *)&a, sizeof(a)) == 0, "connect");
			for (ssize_t k; !many && now() - start < seconds && (k = write(s, buf, sizeof(buf))) > 0;)
				n += (double)k;
			if (many && read(s, buf, 1) == 0)
				n++;
			close(s);
		}
		rate = n / (now() - start);
		must(write(out[1], &rate, sizeof(rate)) == sizeof(rate), "tell");
		_exit(0);
	}
	must(read(out[0], &rate, sizeof(rate)) == sizeof(rate), "ask");
	close(out[0]);
	close(out[1]);
	waitpid(pid, NULL, 0);
	return rate;
}

static void put(struct net_services *s, unsigned n, const char *ip, const char *to, uint16_t port)
{
	struct net_endpoint ep = { .port = port };
	struct net_service_port p = { .name = "p", .family = AF_INET, .protocol = IPPROTO_TCP, .port = 80, .cluster = &ep,
				      .n_cluster = 1, .any = true };
	char key[40];

	snprintf(key, sizeof(key), "default/service-%u", n);
	must(net_addr_parse(&p.cluster_ip, ip) && net_addr_parse(&ep.addr, to), "address");
	net_services_set(s, key, n, &p, 1);
}

static int by_size(const void *a, const void *b)
{
	return (*(const double *)a > *(const double *)b) - (*(const double *)a < *(const double *)b);
}

static void round_of(struct net_services *s, unsigned count, int client, const char *to)
{
	double start = now(), all, took[51];
	char ip[20];

	net_services_begin(s);
	for (unsigned i = 0; i < count; i++) {
		snprintf(ip, sizeof(ip), "10.43.%u.%u", 1 + (i >> 8), i & 255);
		put(s, i, ip, to, (uint16_t)(i + 2 < count ? 80 : i + 2 == count ? PORT_SHORT : PORT_LONG));
		if (i % 200 == 199)
			must(net_services_commit(s, &e) == 0, "commit");
	}
	must(net_services_switch(s, &e) == 0, "switch");
	all = now() - start;
	while (net_services_tidy(s))
		;
	for (int i = 0; i < 51; i++) {
		start = now();
		put(s, 3, "10.43.1.3", to, (uint16_t)(1000 + i));
		must(net_services_commit(s, &e) == 0, "commit");
		took[i] = now() - start;
	}
	qsort(took, 51, sizeof(*took), by_size);
	snprintf(ip, sizeof(ip), "10.43.%u.%u", 1 + ((count - 2) >> 8), (count - 2) & 255);
	printf("%u services: %.0f connections/s, ", count, ask(client, ip, 80, true));
	snprintf(ip, sizeof(ip), "10.43.%u.%u", 1 + ((count - 1) >> 8), (count - 1) & 255);
	printf("%.0f MB/s; all written in %.0f ms, a change in %.2f ms, %.1f MB of memory\n", ask(client, ip, 80, false) / 1e6,
	       all * 1e3, took[25] * 1e3, (double)net_services_memory(s) / 1e6);
	fflush(stdout);
}

int main(int argc, char **argv)
{
	struct net_config cfg = { .bridge = "klbench0", .table = "kinglet-bench", .pod_cidr = "10.98.0.0/24",
				  .cluster_cidr = "10.98.0.0/16", .state_file = "bench-proxy.addresses" };
	struct net_services_config sc = { .service_cidr = "10.43.0.0/16" };
	struct net_attachment a[2];
	struct net_services *s;
	int ns[2];
	pid_t pids[4];

	seconds = argc > 1 ? atof(argv[1]) : 2;
	must(unshare(CLONE_NEWNET) == 0, "a network namespace");
	unlink(cfg.state_file);
	must(net_open(&sc.net, &cfg, &e) == 0, "open the network");
	s = net_services_new(&sc);
	for (int i = 0; i < 2; i++) {
		pids[i] = pod_start(&ns[i]);
		must(net_attach(sc.net, i ? "server" : "client", ns[i], &a[i], &e) == 0, "attach");
	}
	pids[2] = serve(ns[1], PORT_SHORT);
	pids[3] = serve(ns[1], PORT_LONG);
	usleep(200000);
	printf("directly: %.0f connections/s, ", ask(ns[0], a[1].ip[0], PORT_SHORT, true));
	printf("%.0f MB/s\n", ask(ns[0], a[1].ip[0], PORT_LONG, false) / 1e6);
	fflush(stdout);
	round_of(s, 10, ns[0], a[1].ip[0]);
	round_of(s, 1000, ns[0], a[1].ip[0]);
	round_of(s, 10000, ns[0], a[1].ip[0]);
	for (int i = 0; i < 4; i++) {
		kill(pids[i], SIGKILL);
		waitpid(pids[i], NULL, 0);
	}
	net_services_free(s);
	net_close(sc.net);
	unlink(cfg.state_file);
	return 0;
}
