/*
 * The life of an announced address, and the sockets on the links.
 *
 *	PROBING	asked three times whether anybody has it	-> OURS, or TAKEN when somebody answers
 *	OURS	told to everybody a few times, then answered for whenever somebody asks
 *	TAKEN	another machine has it: waits, longer each time	-> PROBING
 *	HOMELESS	no link is in its network		-> PROBING when one comes to be
 *
 * A link in whose networks one of the addresses lies has two packet sockets, for ARP
 * and for neighbour discovery, each with a filter for our addresses in the kernel, and
 * is a member of the groups that questions for them are sent to. Links and their
 * addresses are followed by rtnetlink, and looked at anew when something changed.
 */
#include "net/announce.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <linux/filter.h>
#include <linux/if_packet.h>
#include <linux/rtnetlink.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <netinet/icmp6.h>
#include <stdio.h>
#include <sys/socket.h>

#include "base/log.h"
#include "base/path.h"
#include "base/vec.h"

#define PROBES 3
#define PROBE_MS 250 /* between them, and after the last */
#define TELLS 3
#define TELL_MS 1000 /* after the first; then twice that */
#define RETRY_MS 1000 /* a taken one; doubled each time, up to */
#define RETRY_MAX_MS 60000
#define DEFEND_MS 10000 /* at most one announcement in that time against somebody who claims it */
#define TOLD_MS 60000 /* at most one report of it in that time */
#define CONTEST_MS 2000 /* so long after it came to us, who had it before may not know yet */
#define RELOOK_MS 200
#define FRAMES_AT_ONCE 64
#define FILTER_EXACT 1000 /* addresses that a filter tests one by one */

enum { ARP, ND, N_PROTOCOLS };

enum ann_state { ANN_PROBING, ANN_OURS, ANN_TAKEN, ANN_HOMELESS };

struct ann_link;

struct ann_socket {
	struct ann_link *link;
	int fd;
	struct loop_fd *watch;
};

struct ann_link {
	struct announcer *owner;
	char name[IF_NAMESIZE];
	int index;
	uint8_t mac[6];
	VEC(struct net_prefix) networks;
	struct ann_socket sockets[N_PROTOCOLS];
	int groups; /* an IPv6 socket that is in the groups; -1: none */
	bool seen;
};

struct ann_address {
	struct announcer *owner;
	struct net_addr addr;
	enum ann_state state;
	unsigned step; /* probes or announcements sent */
	unsigned tries; /* that found it taken, one after the other */
	int64_t ours_ms; /* since when it is announced */
	int64_t defended_ms, told_ms; /* when that was done last */
	struct loop_timer *timer;
	bool wanted;
};

struct announcer {
	struct announcer_config cfg;
	VEC(struct ann_link *) links;
	VEC(struct ann_address *) addresses;
	int news_fd;
	struct loop_fd *news;
	struct loop_timer *relook;
};

/* --- sending --- */

static int ann_protocol(const struct net_addr *a)
{
	return a->family == AF_INET6 ? ND : ARP;
}

static bool link_holds(const struct ann_link *l, const struct net_addr *a)
{
	for (size_t i = 0; i < l->networks.n; i++)
		if (net_prefix_has(&l->networks.v[i], a))
			return true;
	return false;
}

static void link_send(struct ann_link *l, const struct net_addr *a, const uint8_t *frame, size_t n)
{
	const struct ann_socket *s = &l->sockets[ann_protocol(a)];

	if (s->fd >= 0 && send(s->fd, frame, n, MSG_DONTWAIT) < 0)
		log_debug("an announcement was not sent, ignoring", LS("link", l->name), LS("error", strerror(errno)));
}

/* On all links that hold it; how many. */
static size_t ann_probe(struct ann_address *x)
{
	struct announcer *a = x->owner;
	uint8_t frame[NEIGH_FRAME];
	size_t n = 0;

	for (size_t i = 0; i < a->links.n; i++) {
		if (!link_holds(a->links.v[i], &x->addr))
			continue;
		link_send(a->links.v[i], &x->addr, frame, neigh_probe(frame, &x->addr, a->links.v[i]->mac));
		n++;
	}
	return n;
}

static void ann_tell(struct ann_address *x)
{
	struct announcer *a = x->owner;
	uint8_t frame[NEIGH_FRAME];

	for (size_t i = 0; i < a->links.n; i++) {
		struct ann_link *l = a->links.v[i];

		if (!link_holds(l, &x->addr))
			continue;
		link_send(l, &x->addr, frame, neigh_announce(frame, &x->addr, l->mac, false));
		if (x->addr.family == AF_INET)
			link_send(l, &x->addr, frame, neigh_announce(frame, &x->addr, l->mac, true));
	}
}

static void ann_news(struct ann_address *x, enum announce_news what, const char *link, const uint8_t *mac)
{
	char text[18] = "";

	if (mac)
		snprintf(text, sizeof(text), "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]);
	x->owner->cfg.news(x->owner->cfg.arg, what, &x->addr, link, text);
}

/* --- the life of an address --- */

static const char *ann_first_link(const struct ann_address *x)
{
	const struct announcer *a = x->owner;

	for (size_t i = 0; i < a->links.n; i++)
		if (link_holds(a->links.v[i], &x->addr))
			return a->links.v[i]->name;
	return NULL;
}

static void ann_start(struct ann_address *x)
{
	bool homeless = x->state == ANN_HOMELESS;

	x->step = 0;
	if (!ann_first_link(x)) {
		loop_timer_clear(x->timer);
		x->state = ANN_HOMELESS;
		if (!homeless)
			ann_news(x, ANNOUNCE_NO_LINK, "", NULL);
		return;
	}
	x->state = ANN_PROBING;
	loop_timer_set(x->timer, 0);
}

static void ann_own(struct ann_address *x)
{
	x->state = ANN_OURS;
	x->step = x->tries = 0;
	x->ours_ms = loop_now_ms(x->owner->cfg.loop);
	ann_news(x, ANNOUNCE_OURS, ann_first_link(x), NULL);
}

static void ann_on_timer(void *arg)
{
	struct ann_address *x = arg;

	if (x->state == ANN_TAKEN || !ann_first_link(x)) {
		ann_start(x);
		return;
	}
	if (x->state == ANN_PROBING && x->step++ < PROBES) {
		ann_probe(x);
		loop_timer_set(x->timer, PROBE_MS);
		return;
	}
	if (x->state == ANN_PROBING)
		ann_own(x);
	ann_tell(x);
	if (++x->step < TELLS)
		loop_timer_set(x->timer, TELL_MS * x->step);
}

static void ann_taken(struct ann_address *x, const struct ann_link *l, const uint8_t mac[6])
{
	int64_t wait = RETRY_MS;

	for (unsigned i = 0; i < x->tries && wait < RETRY_MAX_MS; i++)
		wait *= 2;
	x->state = ANN_TAKEN;
	if (++x->tries == 2)
		ann_news(x, ANNOUNCE_TAKEN, l->name, mac);
	loop_timer_set(x->timer, wait < RETRY_MAX_MS ? wait : RETRY_MAX_MS);
}

static void ann_contested(struct ann_address *x, const struct ann_link *l, const uint8_t mac[6])
{
	int64_t now = loop_now_ms(x->owner->cfg.loop);

	if (!x->defended_ms || now - x->defended_ms >= DEFEND_MS) {
		x->defended_ms = now;
		ann_tell(x);
	}
	if (now - x->ours_ms < CONTEST_MS || (x->told_ms && now - x->told_ms < TOLD_MS))
		return;
	x->told_ms = now;
	ann_news(x, ANNOUNCE_CONTESTED, l->name, mac);
}

/* --- what comes in --- */

static struct ann_address *ann_find(const struct announcer *a, const struct net_addr *addr)
{
	for (size_t i = 0; addr->family && i < a->addresses.n; i++)
		if (net_addr_equal(&a->addresses.v[i]->addr, addr))
			return a->addresses.v[i];
	return NULL;
}

static bool ann_is_own_mac(const struct announcer *a, const uint8_t mac[6])
{
	for (size_t i = 0; i < a->links.n; i++)
		if (memcmp(a->links.v[i]->mac, mac, 6) == 0)
			return true;
	return false;
}

static void ann_heard(struct ann_link *l, const struct neigh *n)
{
	struct announcer *a = l->owner;
	struct ann_address *asked = ann_find(a, &n->asks), *claimed = ann_find(a, &n->claims);
	uint8_t frame[NEIGH_FRAME];

	if (ann_is_own_mac(a, n->mac))
		return;
	if (asked && asked->state == ANN_OURS && link_holds(l, &asked->addr))
		link_send(l, &asked->addr, frame, neigh_answer(frame, &asked->addr, l->mac, n));
	/* One who probes it wants it as we do: neither has it yet. */
	if (asked && asked->state == ANN_PROBING && !n->from.family)
		ann_taken(asked, l, n->mac);
	if (claimed && claimed->state == ANN_PROBING)
		ann_taken(claimed, l, n->mac);
	else if (claimed && claimed->state == ANN_OURS)
		ann_contested(claimed, l, n->mac);
}

static void link_on_frame(void *arg, int what UNUSED)
{
	struct ann_socket *s = arg;

	for (int i = 0; i < FRAMES_AT_ONCE; i++) {
		uint8_t frame[256];
		ssize_t got = recv(s->fd, frame, sizeof(frame), MSG_DONTWAIT);
		struct neigh n;

		if (got < 0)
			return; /* also ENETDOWN: the link's news come by rtnetlink */
		if (neigh_parse(&n, frame, (size_t)got))
			ann_heard(s->link, &n);
	}
}

/* --- sockets of a link --- */

typedef VEC(struct sock_filter) ann_program;

/* The word at offset is one of ours: pass. Words are sorted apart exactly, or (too many) by the least and the greatest. */
static void filter_words(ann_program *p, const uint32_t *words, size_t n, unsigned offset)
{
	uint32_t least = UINT32_MAX, most = 0;

	VEC_PUSH(p, ((struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offset)));
	for (size_t i = 0; i < n; i++) {
		least = words[i] < least ? words[i] : least;
		most = words[i] > most ? words[i] : most;
		if (n > FILTER_EXACT)
			continue;
		VEC_PUSH(p, ((struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, words[i], 0, 1)));
		VEC_PUSH(p, ((struct sock_filter)BPF_STMT(BPF_RET | BPF_K, UINT32_MAX)));
	}
	if (n <= FILTER_EXACT)
		return;
	VEC_PUSH(p, ((struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, least, 0, 2)));
	VEC_PUSH(p, ((struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, most, 1, 0)));
	VEC_PUSH(p, ((struct sock_filter)BPF_STMT(BPF_RET | BPF_K, UINT32_MAX)));
}

/* ARP: who is asked for, or who says it; ICMPv6 135, 136: the end of the target. */
static void filter_build(ann_program *p, int protocol, const uint32_t *words, size_t n)
{
	if (protocol == ARP) {
		filter_words(p, words, n, 38);
		filter_words(p, words, n, 28);
	} else {
		VEC_PUSH(p, ((struct sock_filter)BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 20)));
		VEC_PUSH(p, ((struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, IPPROTO_ICMPV6, 1, 0)));
		VEC_PUSH(p, ((struct sock_filter)BPF_STMT(BPF_RET | BPF_K, 0)));
		VEC_PUSH(p, ((struct sock_filter)BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 54)));
		VEC_PUSH(p, ((struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ND_NEIGHBOR_SOLICIT, 2, 0)));
		VEC_PUSH(p, ((struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ND_NEIGHBOR_ADVERT, 1, 0)));
		VEC_PUSH(p, ((struct sock_filter)BPF_STMT(BPF_RET | BPF_K, 0)));
		filter_words(p, words, n, 74);
	}
	VEC_PUSH(p, ((struct sock_filter)BPF_STMT(BPF_RET | BPF_K, 0)));
}

/* For the addresses of the family that the link holds. How many these are, or -errno. */
static int link_filter(struct ann_link *l, int protocol, int fd)
{
	VEC(uint32_t) words = VEC_INIT;
	ann_program p = VEC_INIT;
	struct sock_fprog prog;
	int rc;

	for (size_t i = 0; i < l->owner->addresses.n; i++) {
		const struct net_addr *a = &l->owner->addresses.v[i]->addr;
		uint32_t word;

		if (ann_protocol(a) != protocol || !link_holds(l, a))
			continue;
		memcpy(&word, a->b + net_addr_len(a) - 4, 4);
		VEC_PUSH(&words, ntohl(word));
	}
	rc = (int)words.n;
	filter_build(&p, protocol, words.v, words.n);
	prog = (struct sock_fprog){ (unsigned short)p.n, p.v };
	if (words.n && fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &prog, sizeof(prog)) < 0)
		rc = -errno;
	VEC_RELEASE(&p);
	VEC_RELEASE(&words);
	return rc;
}

static void link_close_socket(struct ann_socket *s)
{
	s->watch = loop_fd_free(s->watch);
	if (s->fd >= 0)
		close_fd(s->fd);
	s->fd = -1;
}

/* Bound last, so that nothing comes in that the filter would keep out. */
static int link_open_socket(struct ann_link *l, int protocol)
{
	struct sockaddr_ll to = { .sll_family = AF_PACKET, .sll_ifindex = l->index,
				  .sll_protocol = htons(protocol == ARP ? ETH_P_ARP : ETH_P_IPV6) };
	struct ann_socket *s = &l->sockets[protocol];
	int rc;

	s->fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (s->fd < 0)
		return -errno;
	rc = link_filter(l, protocol, s->fd);
	if (rc < 0)
		return rc;
	if (bind(s->fd, (struct sockaddr *)&to, sizeof(to)) < 0)
		return -errno;
	s->watch = loop_fd_new(l->owner->cfg.loop, s->fd, LOOP_READ, link_on_frame, s);
	return 0;
}

/* Anew each time: what is not asked for any more is left. The old socket goes last, so that groups which stay are not
 * left in between. */
static void link_join(struct ann_link *l)
{
	int old = l->groups;

	l->groups = -1;
	for (size_t i = 0; i < l->owner->addresses.n; i++) {
		const struct net_addr *a = &l->owner->addresses.v[i]->addr;
		struct net_addr group = neigh_group(a);
		struct ipv6_mreq m = { .ipv6mr_interface = (unsigned)l->index };

		if (a->family != AF_INET6 || !link_holds(l, a))
			continue;
		if (l->groups < 0)
			l->groups = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
		memcpy(&m.ipv6mr_multiaddr, group.b, 16);
		if (setsockopt(l->groups, IPPROTO_IPV6, IPV6_ADD_MEMBERSHIP, &m, sizeof(m)) < 0 && errno != EADDRINUSE)
			log_warn("can't hear questions for an address", LS("link", l->name), LS("error", strerror(errno)));
	}
	if (old >= 0)
		close_fd(old);
}

static void link_listen(struct ann_link *l)
{
	for (int p = 0; p < N_PROTOCOLS; p++) {
		struct ann_socket *s = &l->sockets[p];
		int n = link_filter(l, p, s->fd);

		if (n > 0 && s->fd < 0)
			n = link_open_socket(l, p);
		else if (n == 0)
			link_close_socket(s);
		if (n >= 0)
			continue;
		log_warn("can't announce addresses on a link", LS("link", l->name), LS("error", strerror(-n)));
		link_close_socket(s);
	}
	link_join(l);
}

static void link_free(struct ann_link *l)
{
	for (int p = 0; p < N_PROTOCOLS; p++)
		link_close_socket(&l->sockets[p]);
	if (l->groups >= 0)
		close_fd(l->groups);
	VEC_RELEASE(&l->networks);
	free(l);
}

/* --- which links there are --- */

static struct ann_link *link_get(struct announcer *a, const struct ifaddrs *i, const struct sockaddr_ll *ll)
{
	struct ann_link *l;

	for (size_t k = 0; k < a->links.n; k++) {
		l = a->links.v[k];
		if (l->index == ll->sll_ifindex && streq(l->name, i->ifa_name))
			return l;
	}
	l = xcalloc(1, sizeof(*l));
	l->owner = a;
	l->index = ll->sll_ifindex;
	l->groups = -1;
	snprintf(l->name, sizeof(l->name), "%s", i->ifa_name);
	for (int p = 0; p < N_PROTOCOLS; p++)
		l->sockets[p] = (struct ann_socket){ .link = l, .fd = -1 };
	VEC_PUSH(&a->links, l);
	return l;
}

static void links_note(struct announcer *a, const struct ifaddrs *i)
{
	const struct sockaddr_ll *ll = (const struct sockaddr_ll *)i->ifa_addr;
	struct ann_link *l;

	if (!ll || ll->sll_family != AF_PACKET || ll->sll_hatype != ARPHRD_ETHER || !(i->ifa_flags & IFF_UP) ||
	    (i->ifa_flags & (IFF_LOOPBACK | IFF_NOARP)) || streq(i->ifa_name, a->cfg.bridge))
		return;
	l = link_get(a, i, ll);
	l->seen = true;
	l->networks.n = 0;
	memcpy(l->mac, ll->sll_addr, 6);
}

static unsigned mask_bits(const uint8_t *mask, size_t n)
{
	unsigned bits = 0;

	for (size_t i = 0; i < n; i++)
		for (unsigned m = mask[i]; m; m = m << 1 & 0xff)
			bits += 1;
	return bits;
}

static void links_note_network(struct announcer *a, const struct ifaddrs *i)
{
	int family = i->ifa_addr ? i->ifa_addr->sa_family : 0;
	struct net_prefix p = { .addr = { .family = family } };
	size_t at = family == AF_INET6 ? offsetof(struct sockaddr_in6, sin6_addr) : offsetof(struct sockaddr_in, sin_addr);

	if ((family != AF_INET && family != AF_INET6) || !i->ifa_netmask)
		return;
	memcpy(p.addr.b, (const char *)i->ifa_addr + at, net_addr_len(&p.addr));
	p.bits = mask_bits((const uint8_t *)i->ifa_netmask + at, net_addr_len(&p.addr));
	for (size_t k = 0; k < a->links.n; k++)
		if (streq(a->links.v[k]->name, i->ifa_name))
			VEC_PUSH(&a->links.v[k]->networks, p);
}

static void links_look(struct announcer *a)
{
	struct ifaddrs *all;

	for (size_t k = 0; k < a->links.n; k++)
		a->links.v[k]->seen = false;
	if (getifaddrs(&all) < 0) {
		log_warn("can't list the links", LS("error", strerror(errno)));
		return;
	}
	for (const struct ifaddrs *i = all; i; i = i->ifa_next)
		links_note(a, i);
	for (const struct ifaddrs *i = all; i; i = i->ifa_next)
		links_note_network(a, i);
	freeifaddrs(all);
	for (size_t k = a->links.n; k-- > 0;)
		if (!a->links.v[k]->seen) {
			link_free(a->links.v[k]);
			VEC_REMOVE(&a->links, k);
		}
}

/* Links came, went, or have other addresses. */
static void ann_relook(void *arg)
{
	struct announcer *a = arg;

	links_look(a);
	for (size_t k = 0; k < a->links.n; k++)
		link_listen(a->links.v[k]);
	for (size_t i = 0; i < a->addresses.n; i++) {
		struct ann_address *x = a->addresses.v[i];
		bool home = ann_first_link(x);

		if (x->state == ANN_HOMELESS ? home : !home)
			ann_start(x);
		else if (x->state == ANN_OURS)
			ann_tell(x); /* a link may have come up again, behind another switch */
	}
}

static void ann_on_link_news(void *arg, int what UNUSED)
{
	struct announcer *a = arg;
	char buf[8192];

	while (recv(a->news_fd, buf, sizeof(buf), MSG_DONTWAIT) > 0)
		;
	if (!loop_timer_is_set(a->relook))
		loop_timer_set(a->relook, RELOOK_MS);
}

static int ann_follow_links(struct announcer *a, struct err *e)
{
	struct sockaddr_nl sa = { .nl_family = AF_NETLINK,
				  .nl_groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR };

	a->news_fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
	if (a->news_fd < 0 || bind(a->news_fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
		return err_errno(e, errno, "follow the changes of links");
	a->news = loop_fd_new(a->cfg.loop, a->news_fd, LOOP_READ, ann_on_link_news, a);
	return 0;
}

/* --- the whole --- */

int announcer_new(struct announcer **ret, const struct announcer_config *cfg, struct err *e)
{
	struct announcer *a = xcalloc(1, sizeof(*a));

	a->cfg = *cfg;
	a->cfg.bridge = xstrdup(cfg->bridge);
	a->relook = loop_timer_new(cfg->loop, ann_relook, a);
	if (ann_follow_links(a, e) < 0) {
		announcer_free(a);
		return -e->code;
	}
	*ret = a;
	return 0;
}

static void ann_drop(struct announcer *a, size_t i)
{
	loop_timer_free(a->addresses.v[i]->timer);
	free(a->addresses.v[i]);
	VEC_REMOVE(&a->addresses, i);
}

struct announcer *announcer_free(struct announcer *a)
{
	if (!a)
		return NULL;
	while (a->addresses.n)
		ann_drop(a, a->addresses.n - 1);
	for (size_t k = 0; k < a->links.n; k++)
		link_free(a->links.v[k]);
	VEC_RELEASE(&a->links);
	VEC_RELEASE(&a->addresses);
	loop_fd_free(a->news);
	if (a->news_fd >= 0)
		close_fd(a->news_fd);
	loop_timer_free(a->relook);
	free((char *)a->cfg.bridge);
	free(a);
	return NULL;
}

static void ann_add(struct announcer *a, const struct net_addr *addr)
{
	struct ann_address *x = xcalloc(1, sizeof(*x));

	x->owner = a;
	x->addr = *addr;
	x->wanted = true;
	x->timer = loop_timer_new(a->cfg.loop, ann_on_timer, x);
	VEC_PUSH(&a->addresses, x);
}

void announcer_set(struct announcer *a, const struct net_addr *v, size_t n)
{
	size_t had = a->addresses.n;
	bool changed = false;

	for (size_t i = 0; i < had; i++)
		a->addresses.v[i]->wanted = false;
	for (size_t i = 0; i < n; i++) {
		struct ann_address *x = ann_find(a, &v[i]);

		if (x)
			x->wanted = true;
		else
			ann_add(a, &v[i]);
	}
	changed = a->addresses.n > had;
	for (size_t i = had; i-- > 0;)
		if (!a->addresses.v[i]->wanted) {
			ann_drop(a, i);
			had--;
			changed = true;
		}
	if (!changed)
		return;
	links_look(a);
	for (size_t k = 0; k < a->links.n; k++)
		link_listen(a->links.v[k]);
	for (size_t i = had; i < a->addresses.n; i++)
		ann_start(a->addresses.v[i]);
}
