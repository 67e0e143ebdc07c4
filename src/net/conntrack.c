/*
 * Connections of UDP that the kernel remembers (ctnetlink). A client that goes on
 * sending from its port stays with the endpoint that it once came to, be it gone,
 * or with none, if there was none then. So after a change those to our addresses
 * and ports that lead to nobody who is an endpoint now are forgotten: the next
 * packet is a new connection. Others are never touched.
 *
 * Of one address the kernel picks out the port's connections itself; of several it
 * is asked for all of UDP, once.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <linux/netlink.h>
#include <net/if.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "net/internal.h"

#define CT_RECEIVE (64 << 10)
#define CT_BY_PROTOCOL (1u << 3) /* bits of CTA_FILTER_ORIG_FLAGS */
#define CT_BY_PORT (1u << 5)
#define CT_DELETE_MAX (64 << 10)

struct ct {
	int fd;
	const struct conntrack_match *v;
	size_t n;
	uint8_t ports[65536 / 8]; /* those of v */
	struct ifaddrs *links;
	struct buf out; /* deletions to be sent */
	int forgotten;
};

/* --- attributes --- */

static struct str ct_attr(struct str in, int type)
{
	for (size_t at = 0; at + NLA_HDRLEN <= in.n;) {
		const struct nlattr *a = (const struct nlattr *)(in.p + at);

		if (a->nla_len < NLA_HDRLEN || at + a->nla_len > in.n)
			break;
		if ((a->nla_type & NLA_TYPE_MASK) == type)
			return str_n(in.p + at + NLA_HDRLEN, a->nla_len - NLA_HDRLEN);
		at += NLA_ALIGN(a->nla_len);
	}
	return (struct str){ 0 };
}

static void ct_put(struct buf *b, int type, const void *p, size_t n)
{
	struct nlattr a = { .nla_len = (uint16_t)(NLA_HDRLEN + n), .nla_type = (uint16_t)type };

	buf_add(b, &a, sizeof(a));
	buf_add(b, p, n);
	while (b->len % NLA_ALIGNTO)
		buf_addch(b, '\0');
}

static size_t ct_begin(struct buf *b, int type, int flags, int family)
{
	struct nlmsghdr h = { .nlmsg_type = (NFNL_SUBSYS_CTNETLINK << 8) | type, .nlmsg_flags = NLM_F_REQUEST | flags };
	struct nfgenmsg g = { .nfgen_family = (uint8_t)family, .version = NFNETLINK_V0 };
	size_t at = b->len;

	buf_add(b, &h, sizeof(h));
	buf_add(b, &g, sizeof(g));
	return at;
}

static void ct_end(struct buf *b, size_t at)
{
	((struct nlmsghdr *)(b->s + at))->nlmsg_len = (uint32_t)(b->len - at);
}

/* --- one connection --- */

static bool ct_addr(struct str tuple, int family, bool source, struct net_addr *a)
{
	struct str ip = ct_attr(tuple, CTA_TUPLE_IP);
	struct str p = family == AF_INET6 ? ct_attr(ip, source ? CTA_IP_V6_SRC : CTA_IP_V6_DST) :
					    ct_attr(ip, source ? CTA_IP_V4_SRC : CTA_IP_V4_DST);

	*a = (struct net_addr){ .family = family };
	if (p.n != net_addr_len(a))
		return false;
	memcpy(a->b, p.p, p.n);
	return true;
}

static uint16_t ct_port(struct str tuple, int attr)
{
	struct str p = ct_attr(ct_attr(tuple, CTA_TUPLE_PROTO), attr);
	uint16_t port = 0;

	if (p.n == 2)
		memcpy(&port, p.p, 2);
	return ntohs(port);
}

static bool ct_is_local(const struct ct *c, const struct net_addr *a)
{
	for (const struct ifaddrs *l = c->links; l; l = l->ifa_next) {
		const struct sockaddr *sa = l->ifa_addr;

		if (!sa || sa->sa_family != a->family)
			continue;
		if (memcmp(a->family == AF_INET6 ? (const void *)&((const struct sockaddr_in6 *)sa)->sin6_addr :
						   (const void *)&((const struct sockaddr_in *)sa)->sin_addr,
			   a->b, net_addr_len(a)) == 0)
			return true;
	}
	return false;
}

static bool ct_is_endpoint(const struct conntrack_match *m, const struct net_addr *a, uint16_t port)
{
	for (size_t i = 0; i < m->n; i++)
		if (m->to[i].port == port && net_addr_equal(&m->to[i].addr, a))
			return true;
	return false;
}

static bool ct_is_stale(const struct ct *c, const struct net_addr *to, uint16_t port, const struct net_addr *from,
			uint16_t from_port)
{
	for (size_t i = 0; i < c->n; i++) {
		const struct conntrack_match *m = &c->v[i];

		if (m->port == port && m->family == to->family &&
		    (m->addr.family ? net_addr_equal(&m->addr, to) : ct_is_local(c, to)))
			return !ct_is_endpoint(m, from, from_port);
	}
	return false;
}

static void ct_send(struct ct *c)
{
	if (c->out.len)
		(void)!send(c->fd, c->out.s, c->out.len, 0);
	buf_clear(&c->out);
}

static void ct_look_at(struct ct *c, int family, struct str attrs)
{
	struct str orig = ct_attr(attrs, CTA_TUPLE_ORIG), reply = ct_attr(attrs, CTA_TUPLE_REPLY), copy;
	struct str protocol = ct_attr(ct_attr(orig, CTA_TUPLE_PROTO), CTA_PROTO_NUM);
	uint16_t port = ct_port(orig, CTA_PROTO_DST_PORT);
	struct net_addr to, from;
	size_t at;

	if (protocol.n != 1 || protocol.p[0] != IPPROTO_UDP || !(c->ports[port / 8] & (1u << port % 8)) ||
	    !ct_addr(orig, family, false, &to) || !ct_addr(reply, family, true, &from) ||
	    !ct_is_stale(c, &to, port, &from, ct_port(reply, CTA_PROTO_SRC_PORT)))
		return;
	at = ct_begin(&c->out, IPCTNL_MSG_CT_DELETE, 0, family);
	ct_put(&c->out, CTA_TUPLE_ORIG | NLA_F_NESTED, orig.p, orig.n);
	if ((copy = ct_attr(attrs, CTA_ZONE)).n)
		ct_put(&c->out, CTA_ZONE, copy.p, copy.n);
	if ((copy = ct_attr(attrs, CTA_ID)).n)
		ct_put(&c->out, CTA_ID, copy.p, copy.n);
	ct_end(&c->out, at);
	c->forgotten++;
}

/* --- all of them --- */

static int ct_ask(struct ct *c, int family)
{
	_cleanup_buf_ struct buf b = BUF_INIT, proto = BUF_INIT, tuple = BUF_INIT, filter = BUF_INIT;
	uint32_t flags = CT_BY_PROTOCOL | (c->n == 1 ? CT_BY_PORT : 0), none = 0;
	uint16_t port = htons(c->v[0].port);
	size_t at = ct_begin(&b, IPCTNL_MSG_CT_GET, NLM_F_DUMP, family);

	ct_put(&proto, CTA_PROTO_NUM, &(uint8_t){ IPPROTO_UDP }, 1);
	if (c->n == 1)
		ct_put(&proto, CTA_PROTO_DST_PORT, &port, 2);
	ct_put(&tuple, CTA_TUPLE_PROTO | NLA_F_NESTED, proto.s, proto.len);
	ct_put(&filter, CTA_FILTER_ORIG_FLAGS, &flags, 4);
	ct_put(&filter, CTA_FILTER_REPLY_FLAGS, &none, 4);
	ct_put(&b, CTA_TUPLE_ORIG | NLA_F_NESTED, tuple.s, tuple.len);
	ct_put(&b, CTA_FILTER | NLA_F_NESTED, filter.s, filter.len);
	ct_end(&b, at);
	return send(c->fd, b.s, b.len, 0) < 0 ? -errno : 0;
}

/* 1: there is more. */
static int ct_take(struct ct *c, char *p, int n, int family)
{
	for (struct nlmsghdr *h = (struct nlmsghdr *)p; NLMSG_OK(h, n); h = NLMSG_NEXT(h, n)) {
		if (h->nlmsg_type == NLMSG_DONE)
			return 0;
		if (h->nlmsg_type == NLMSG_ERROR)
			return ((struct nlmsgerr *)NLMSG_DATA(h))->error;
		if (h->nlmsg_len > NLMSG_LENGTH(sizeof(struct nfgenmsg)))
			ct_look_at(c, family, str_n((char *)NLMSG_DATA(h) + sizeof(struct nfgenmsg),
						    h->nlmsg_len - NLMSG_LENGTH(sizeof(struct nfgenmsg))));
	}
	return 1;
}

static int ct_walk(struct ct *c, int family)
{
	_cleanup_free_ char *buf = xmalloc(CT_RECEIVE);
	int rc = ct_ask(c, family);

	if (rc < 0)
		return rc;
	do {
		ssize_t got = recv(c->fd, buf, CT_RECEIVE, 0);

		if (got < 0 && errno == EINTR) {
			rc = 1;
			continue;
		}
		rc = got < 0 ? -errno : ct_take(c, buf, (int)got, family);
	} while (rc == 1);
	return rc;
}

static bool ct_has_family(const struct ct *c, int family)
{
	for (size_t i = 0; i < c->n; i++)
		if (c->v[i].family == family)
			return true;
	return false;
}

/* Deletions are sent when the walk is over: answers to them are not waited for. */
static void ct_delete_all(struct ct *c)
{
	struct buf all = c->out;
	size_t from = 0;

	c->out = (struct buf)BUF_INIT;
	for (size_t at = 0; at < all.len;) {
		const struct nlmsghdr *h = (const struct nlmsghdr *)(all.s + at);
		size_t next = at + NLMSG_ALIGN(h->nlmsg_len);

		if (next - from >= CT_DELETE_MAX || next >= all.len) {
			buf_add(&c->out, all.s + from, next - from);
			ct_send(c);
			from = next;
		}
		at = next;
	}
	buf_release(&all);
}

int conntrack_forget(const struct conntrack_match *v, size_t n)
{
	struct ct *c = xcalloc(1, sizeof(*c));
	struct timeval patience = { .tv_sec = 1 };
	int rc = 0;

	*c = (struct ct){ .v = v, .n = n, .out = BUF_INIT };
	for (size_t i = 0; i < n; i++) {
		c->ports[v[i].port / 8] |= (uint8_t)(1u << v[i].port % 8);
		if (!v[i].addr.family && !c->links && getifaddrs(&c->links) < 0)
			c->links = NULL;
	}
	c->fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
	if (c->fd < 0)
		rc = -errno;
	else
		(void)setsockopt(c->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	for (int i = 0; rc == 0 && i < 2; i++)
		if (ct_has_family(c, i ? AF_INET6 : AF_INET))
			rc = ct_walk(c, i ? AF_INET6 : AF_INET);
	if (c->fd >= 0) {
		ct_delete_all(c);
		close(c->fd);
	}
	rc = rc < 0 ? rc : c->forgotten;
	if (c->links)
		freeifaddrs(c->links);
	buf_release(&c->out);
	free(c);
	return rc;
}
