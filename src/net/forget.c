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

#include "base/path.h"
#include "base/vec.h"
#include "net/ct.h"
#include "net/internal.h"

#define FORGET_PATIENCE_S 5
#define FORGET_MAX (1 << 20) /* bytes of requests */

struct forget {
	VEC(struct net_prefix) networks;
	struct buf out; /* requests to be sent */
	int n;
};

/* One side of a connection: source or destination is ours. */
static bool forget_is_ours(const struct forget *f, struct str tuple)
{
	static const struct {
		int type, family;
	} kinds[] = { { CTA_IP_V4_SRC, AF_INET }, { CTA_IP_V4_DST, AF_INET }, { CTA_IP_V6_SRC, AF_INET6 },
		      { CTA_IP_V6_DST, AF_INET6 } };
	struct str ip = ct_attr(tuple, CTA_TUPLE_IP);

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		struct str value = ct_attr(ip, kinds[i].type);
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

static void forget_look_at(void *arg, const struct ct_conn *c)
{
	struct forget *f = arg;

	if (f->out.len > FORGET_MAX || (!forget_is_ours(f, c->orig) && !forget_is_ours(f, c->reply)))
		return;
	ct_put_delete(&f->out, c);
	f->n++;
}

static int forget_all(struct forget *f)
{
	_cleanup_close_ int fd = ct_open(FORGET_PATIENCE_S);
	_cleanup_buf_ struct buf ask = BUF_INIT;
	int rc;

	if (fd < 0)
		return fd;
	ct_end(&ask, ct_begin(&ask, IPCTNL_MSG_CT_GET, NLM_F_DUMP, AF_UNSPEC));
	rc = ct_each(fd, &ask, forget_look_at, f);
	ct_send(fd, &f->out);
	return rc;
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
	int rc = 0;

	if (getifaddrs(&all) < 0)
		return -errno;
	for (const struct ifaddrs *i = all; i; i = i->ifa_next)
		if (streq(i->ifa_name, bridge) && i->ifa_netmask && i->ifa_addr &&
		    (i->ifa_addr->sa_family == AF_INET || i->ifa_addr->sa_family == AF_INET6))
			forget_note(&f, i);
	freeifaddrs(all);
	if (f.networks.n)
		rc = forget_all(&f);
	VEC_RELEASE(&f.networks);
	buf_release(&f.out);
	return rc < 0 ? rc : f.n;
}
