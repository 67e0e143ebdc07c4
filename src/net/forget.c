/*
 * Connections to and from our pods that the kernel still remembers when the pods are
 * gone (ctnetlink): translated ones of TCP would be kept for days. Others are left.
 */
#include <errno.h>
#include <ifaddrs.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "base/path.h"
#include "base/vec.h"
#include "net/internal.h"

#define FORGET_RECEIVE (64 << 10)
#define FORGET_MAX (1 << 20) /* bytes of requests */

struct forget {
	VEC(struct net_prefix) networks;
	struct buf out; /* requests to be sent */
	int n;
};

static struct str forget_attr(struct str in, int type)
{
	for (size_t at = 0; at + NLA_HDRLEN <= in.n;) {
		const struct nlattr *a = (const struct nlattr *)(in.p + at);

		if (a->nla_len < NLA_HDRLEN || at + a->nla_len > in.n)
			break;
		if ((a->nla_type & NLA_TYPE_MASK) == type)
			return str_n(in.p + at + NLA_HDRLEN, a->nla_len - NLA_HDRLEN);
		at += NLA_ALIGN(a->nla_len);
	}
	return STR_NONE;
}

static void forget_put(struct buf *b, int type, struct str value)
{
	struct nlattr a = { .nla_len = (uint16_t)(NLA_HDRLEN + value.n), .nla_type = (uint16_t)type };

	buf_add(b, &a, sizeof(a));
	buf_add(b, value.p, value.n);
	while (b->len % NLA_ALIGNTO)
		buf_addch(b, '\0');
}

/* One side of a connection: source or destination is ours. */
static bool forget_is_ours(const struct forget *f, struct str tuple)
{
	static const struct {
		int type, family;
	} kinds[] = { { CTA_IP_V4_SRC, AF_INET }, { CTA_IP_V4_DST, AF_INET }, { CTA_IP_V6_SRC, AF_INET6 },
		      { CTA_IP_V6_DST, AF_INET6 } };
	struct str ip = forget_attr(tuple, CTA_TUPLE_IP);

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		struct str value = forget_attr(ip, kinds[i].type);
		struct net_addr a = { .family = kinds[i].family };

		if (value.n != net_addr_len(&a))
			continue;
		memcpy(a.b, value.p, value.n);
		for (size_t k = 0; k < f->networks.n; k++)
			if (net_prefix_has(&f->networks.v[k], &a))
				return true;
	}
	return false;
}

static void forget_request(struct buf *b, int type, int flags, uint8_t family)
{
	struct nlmsghdr h = { .nlmsg_len = NLMSG_HDRLEN + sizeof(struct nfgenmsg),
			      .nlmsg_type = (uint16_t)(NFNL_SUBSYS_CTNETLINK << 8 | type),
			      .nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags) };
	struct nfgenmsg g = { .nfgen_family = family, .version = NFNETLINK_V0 };

	buf_add(b, &h, sizeof(h));
	buf_add(b, &g, sizeof(g));
}

static void forget_entry(struct forget *f, const struct nlmsghdr *h)
{
	const struct nfgenmsg *g = NLMSG_DATA(h);
	struct str attrs = str_n((const char *)(g + 1), h->nlmsg_len - NLMSG_HDRLEN - sizeof(*g));
	struct str orig = forget_attr(attrs, CTA_TUPLE_ORIG), zone = forget_attr(attrs, CTA_ZONE);
	size_t at = f->out.len;
	uint32_t len;

	if (at > FORGET_MAX || (!forget_is_ours(f, orig) && !forget_is_ours(f, forget_attr(attrs, CTA_TUPLE_REPLY))))
		return;
	forget_request(&f->out, IPCTNL_MSG_CT_DELETE, 0, g->nfgen_family);
	forget_put(&f->out, CTA_TUPLE_ORIG | NLA_F_NESTED, orig);
	if (zone.n)
		forget_put(&f->out, CTA_ZONE, zone);
	len = (uint32_t)(f->out.len - at);
	memcpy(f->out.s + at, &len, sizeof(len));
	f->n++;
}

/* False: that was the last, or an error. */
static bool forget_read(struct forget *f, int fd, char *buf)
{
	ssize_t got = recv(fd, buf, FORGET_RECEIVE, 0);
	int n = (int)got;

	if (got <= 0)
		return got < 0 && errno == EINTR;
	for (struct nlmsghdr *h = (struct nlmsghdr *)buf; NLMSG_OK(h, n); h = NLMSG_NEXT(h, n)) {
		if (h->nlmsg_type == NLMSG_DONE || h->nlmsg_type == NLMSG_ERROR)
			return false;
		if (h->nlmsg_len >= NLMSG_HDRLEN + sizeof(struct nfgenmsg))
			forget_entry(f, h);
	}
	return true;
}

static void forget_all(struct forget *f)
{
	_cleanup_close_ int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
	_cleanup_free_ char *buf = xmalloc(FORGET_RECEIVE);
	struct timeval wait = { .tv_sec = 5 };
	_cleanup_buf_ struct buf ask = BUF_INIT;
	uint32_t len;

	forget_request(&ask, IPCTNL_MSG_CT_GET, NLM_F_DUMP, AF_UNSPEC);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait)) < 0 || send(fd, ask.s, ask.len, 0) < 0)
		return;
	while (forget_read(f, fd, buf))
		;
	for (size_t at = 0; at < f->out.len; at += len) {
		memcpy(&len, f->out.s + at, sizeof(len));
		(void)!send(fd, f->out.s + at, len, 0); /* one that ended meanwhile is no matter */
	}
}

static void forget_note(struct forget *f, const struct ifaddrs *i)
{
	bool six = i->ifa_addr->sa_family == AF_INET6;
	size_t at = six ? offsetof(struct sockaddr_in6, sin6_addr) : offsetof(struct sockaddr_in, sin_addr);
	struct net_prefix p = { .addr.family = i->ifa_addr->sa_family };
	const uint8_t *mask = (const uint8_t *)i->ifa_netmask + at;

	memcpy(p.addr.b, (const char *)i->ifa_addr + at, net_addr_len(&p.addr));
	if (six && p.addr.b[0] == 0xfe && (p.addr.b[1] & 0xc0) == 0x80)
		return; /* link-local: every link has them */
	while (p.bits < 8 * net_addr_len(&p.addr) && mask[p.bits / 8] >> (7 - p.bits % 8) & 1)
		p.bits++;
	VEC_PUSH(&f->networks, p);
}

int net_forget(const char *bridge)
{
	struct forget f = { .out = BUF_INIT };
	struct ifaddrs *all;

	if (getifaddrs(&all) < 0)
		return -errno;
	for (const struct ifaddrs *i = all; i; i = i->ifa_next)
		if (streq(i->ifa_name, bridge) && i->ifa_netmask && i->ifa_addr &&
		    (i->ifa_addr->sa_family == AF_INET || i->ifa_addr->sa_family == AF_INET6))
			forget_note(&f, i);
	freeifaddrs(all);
	if (f.networks.n)
		forget_all(&f);
	VEC_RELEASE(&f.networks);
	buf_release(&f.out);
	return f.n;
}
