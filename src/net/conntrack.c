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

#include "base/path.h"
#include "net/ct.h"
#include "net/internal.h"

#define CT_BY_PROTOCOL (1u << 3) /* bits of CTA_FILTER_ORIG_FLAGS */
#define CT_BY_PORT (1u << 5)
#define CT_PATIENCE_S 1

struct conntrack {
	const struct conntrack_match *v;
	size_t n;
	uint8_t ports[65536 / 8]; /* those of v */
	struct ifaddrs *links;
	struct buf out; /* deletions to be sent */
	int forgotten;
};

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

static bool ct_is_local(const struct conntrack *c, const struct net_addr *a)
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

static bool ct_is_stale(const struct conntrack *c, const struct net_addr *to, uint16_t port, const struct net_addr *from,
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

static void ct_look_at(void *arg, const struct ct_conn *conn)
{
	struct conntrack *c = arg;
	struct str protocol = ct_attr(ct_attr(conn->orig, CTA_TUPLE_PROTO), CTA_PROTO_NUM);
	uint16_t port = ct_port(conn->orig, CTA_PROTO_DST_PORT);
	struct net_addr to, from;

	if (protocol.n != 1 || protocol.p[0] != IPPROTO_UDP || !(c->ports[port / 8] & (1u << port % 8)) ||
	    !ct_addr(conn->orig, conn->family, false, &to) || !ct_addr(conn->reply, conn->family, true, &from) ||
	    !ct_is_stale(c, &to, port, &from, ct_port(conn->reply, CTA_PROTO_SRC_PORT)))
		return;
	ct_put_delete(&c->out, conn);
	c->forgotten++;
}

/* --- all of them --- */

static int ct_walk(struct conntrack *c, int fd, int family)
{
	_cleanup_buf_ struct buf b = BUF_INIT, proto = BUF_INIT, tuple = BUF_INIT, filter = BUF_INIT;
	uint32_t flags = CT_BY_PROTOCOL | (c->n == 1 ? CT_BY_PORT : 0), none = 0;
	uint16_t port = htons(c->v[0].port);
	size_t at = ct_begin(&b, IPCTNL_MSG_CT_GET, NLM_F_DUMP, family);

	ct_put(&proto, CTA_PROTO_NUM, str_n((const char *)&(uint8_t){ IPPROTO_UDP }, 1));
	if (c->n == 1)
		ct_put(&proto, CTA_PROTO_DST_PORT, str_n((const char *)&port, sizeof(port)));
	ct_put(&tuple, CTA_TUPLE_PROTO | NLA_F_NESTED, buf_str(&proto));
	ct_put(&filter, CTA_FILTER_ORIG_FLAGS, str_n((const char *)&flags, sizeof(flags)));
	ct_put(&filter, CTA_FILTER_REPLY_FLAGS, str_n((const char *)&none, sizeof(none)));
	ct_put(&b, CTA_TUPLE_ORIG | NLA_F_NESTED, buf_str(&tuple));
	ct_put(&b, CTA_FILTER | NLA_F_NESTED, buf_str(&filter));
	ct_end(&b, at);
	return ct_each(fd, &b, ct_look_at, c);
}

static bool ct_has_family(const struct conntrack *c, int family)
{
	for (size_t i = 0; i < c->n; i++)
		if (c->v[i].family == family)
			return true;
	return false;
}

/* Deletions are sent when the walk is over. */
int conntrack_forget(const struct conntrack_match *v, size_t n)
{
	static const int families[] = { AF_INET, AF_INET6 };
	_cleanup_close_ int fd = ct_open(CT_PATIENCE_S);
	struct conntrack *c;
	int rc = 0;

	if (fd < 0)
		return fd;
	c = xcalloc(1, sizeof(*c));
	*c = (struct conntrack){ .v = v, .n = n, .out = BUF_INIT };
	for (size_t i = 0; i < n; i++) {
		c->ports[v[i].port / 8] |= (uint8_t)(1u << v[i].port % 8);
		if (!v[i].addr.family && !c->links && getifaddrs(&c->links) < 0)
			c->links = NULL;
	}
	for (size_t i = 0; rc == 0 && i < ARRAY_SIZE(families); i++)
		if (ct_has_family(c, families[i]))
			rc = ct_walk(c, fd, families[i]);
	ct_send(fd, &c->out);
	rc = rc < 0 ? rc : c->forgotten;
	if (c->links)
		freeifaddrs(c->links);
	buf_release(&c->out);
	free(c);
	return rc;
}
