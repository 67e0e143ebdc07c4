/*
 * Addresses that are announced: the messages, and two machines on one link, one of
 * which announces, in network namespaces of the test's own. The other's kernel is
 * what asks, and what answers for the addresses that it has.
 */
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/time.h"
#include "net/announce.h"
#include "tap.h"

static const uint8_t mac[6] = { 2, 0, 0, 0, 0, 1 }, other[6] = { 2, 0, 0, 0, 0, 2 };

static struct net_addr addr(const char *text)
{
	struct net_addr a;

	BUG_ON(!net_addr_parse(&a, text));
	return a;
}

/* --- messages --- */

static void test_family(const char *text, const char *asker)
{
	struct net_addr a = addr(text);
	struct neigh n, asked = { .asks = a, .from = addr(asker) };
	uint8_t f[NEIGH_FRAME];
	size_t len = neigh_probe(f, &a, mac);

	memcpy(asked.mac, other, 6);
	ok(neigh_parse(&n, f, len) && net_addr_equal(&n.asks, &a) && !n.from.family && !n.claims.family &&
		   memcmp(n.mac, mac, 6) == 0, "a probe asks, and claims nothing");
	for (size_t i = 0; i < len; i++)
		if (neigh_parse(&n, f, i) && i < 42)
			ok(false, "a probe that is cut off is none");
	len = neigh_announce(f, &a, mac, false);
	ok(neigh_parse(&n, f, len) && net_addr_equal(&n.claims, &a) && !n.asks.family, "an announcement claims, and asks nothing");
	len = neigh_announce(f, &a, mac, true);
	ok(neigh_parse(&n, f, len) && net_addr_equal(&n.claims, &a) && !n.asks.family, "as an answer too");
	len = neigh_answer(f, &a, mac, &asked);
	ok(neigh_parse(&n, f, len) && net_addr_equal(&n.claims, &a) && memcmp(f, other, 6) == 0 && memcmp(n.mac, mac, 6) == 0,
	   "an answer goes to who asked");
	asked.from.family = 0;
	len = neigh_answer(f, &a, mac, &asked);
	ok(neigh_parse(&n, f, len) && net_addr_equal(&n.claims, &a), "one who probes is answered");
}

static void test_odd(void)
{
	struct net_addr a = addr("fd00::1"), four = addr("10.0.0.1");
	uint8_t f[NEIGH_FRAME];
	struct neigh n;
	size_t len = neigh_probe(f, &a, mac);

	f[21] = 64;
	ok(!neigh_parse(&n, f, len), "what came through a router is no neighbour's");
	len = neigh_announce(f, &a, mac, false);
	f[79] = 0;
	ok(neigh_parse(&n, f, len) && memcmp(n.mac, mac, 6) == 0, "an option without a length does no harm");
	len = neigh_announce(f, &four, mac, false);
	f[18] = 8;
	ok(!neigh_parse(&n, f, len), "ARP for other lengths of addresses");
	f[18] = 6;
	f[21] = 3;
	ok(!neigh_parse(&n, f, len), "ARP of other kinds");
}

/* --- two machines --- */

static struct loop *loop;
static struct announcer *announcer;
static int said[4];
static pid_t there;
static char last[128];

static void on_news(void *arg UNUSED, enum announce_news what, const struct net_addr *a, const char *link, const char *who)
{
	char text[NET_ADDR_TEXT];

	said[what]++;
	snprintf(last, sizeof(last), "%s %s %s", net_addr_print(a, text), link, *who ? "other" : "-");
}

static void turn(int ms)
{
	for (int64_t end = time_mono_ms() + ms; time_mono_ms() < end;)
		loop_turn(loop, 20);
}

static bool until(int *n, int want)
{
	for (int64_t end = time_mono_ms() + 10000; *n < want && time_mono_ms() < end;)
		loop_turn(loop, 20);
	return *n == want;
}

static void run(const char *fmt, ...)
{
	char command[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(command, sizeof(command), fmt, ap);
	va_end(ap);
	if (system(command) != 0)
		printf("# failed: %s\n", command);
}

static void machines(void)
{
	int ready[2];
	char c;

	BUG_ON(unshare(CLONE_NEWNET) < 0 || pipe(ready) < 0);
	there = fork();
	if (there == 0) {
		if (unshare(CLONE_NEWNET) < 0 || write(ready[1], "x", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	BUG_ON(read(ready[0], &c, 1) != 1);
	run("ip link add lan0 type veth peer name lan1 netns %d", (int)there);
	run("ip addr add 192.0.2.1/24 dev lan0; ip addr add fd00::1/64 dev lan0 nodad; ip link set lan0 up");
	run("nsenter -t %d -n sh -c 'ip addr add 192.0.2.2/24 dev lan1; ip addr add fd00::2/64 dev lan1 nodad; "
	    "ip link set lan1 up'", (int)there);
}

static bool asked(const char *text)
{
	bool six = strchr(text, ':');
	char command[256];

	run("nsenter -t %d -n ip neigh flush dev lan1 to %s", (int)there, text);
	run("nsenter -t %d -n curl -s -m 0.3 -o /dev/null 'http://%s%s%s:9/' &", (int)there, six ? "[" : "", text, six ? "]" : "");
	turn(400);
	snprintf(command, sizeof(command),
		 "nsenter -t %d -n ip neigh show dev lan1 to %s | grep -q \"lladdr $(cat /sys/class/net/lan0/address 2>/dev/null || "
		 "ip -o link show lan0 | sed 's/.*ether \\([^ ]*\\).*/\\1/')\"", (int)there, text);
	return system(command) == 0;
}

static void test_machines(void)
{
	struct announcer_config cfg = { .bridge = "kinglet0", .news = on_news };
	struct net_addr list[] = { addr("192.0.2.240"), addr("fd00::240"), addr("203.0.113.1") };
	struct err e = ERR_INIT;

	cfg.loop = loop = loop_new();
	machines();
	ok(announcer_new(&announcer, &cfg, &e) == 0, "an announcer");
	announcer_set(announcer, list, 2);
	ok(until(&said[ANNOUNCE_OURS], 2), "both families are free, and announced");
	ok(asked("192.0.2.240") && asked("fd00::240"), "the other machine finds both here");
	ok(!asked("192.0.2.241") && !asked("fd00::241"), "and no others");
	announcer_set(announcer, list + 1, 1);
	ok(!asked("192.0.2.240") && asked("fd00::240"), "one that is given up is answered for no more");
	announcer_set(announcer, list + 1, 2);
	ok(until(&said[ANNOUNCE_NO_LINK], 1), "without a link in its network one is not announced");
	run("ip addr add 203.0.113.7/24 dev lan0");
	ok(until(&said[ANNOUNCE_OURS], 3), "until there is one");
	announcer_set(announcer, NULL, 0);
	run("nsenter -t %d -n sh -c 'ip addr add 192.0.2.240/32 dev lan1; ip addr add fd00::240/128 dev lan1 nodad'", (int)there);
	announcer_set(announcer, list, 1);
	ok(until(&said[ANNOUNCE_TAKEN], 1) && streq(last, "192.0.2.240 lan0 other"), "what the other has is not announced");
	announcer_set(announcer, list + 1, 1);
	ok(until(&said[ANNOUNCE_TAKEN], 2) && streq(last, "fd00::240 lan0 other"), "of IPv6 neither");
	run("nsenter -t %d -n sh -c 'ip addr del fd00::240/128 dev lan1'", (int)there);
	ok(until(&said[ANNOUNCE_OURS], 4), "until the other gives it up");
	run("ip link del lan0");
	ok(until(&said[ANNOUNCE_NO_LINK], 2), "a link that goes");
	announcer_free(announcer);
	loop_free(loop);
	kill(there, SIGKILL);
	waitpid(there, NULL, 0);
}

int main(void)
{
	test_family("192.0.2.240", "192.0.2.2");
	test_family("fd00::240", "fd00::2");
	test_odd();
	if (geteuid() == 0)
		test_machines();
	return done_testing();
}
