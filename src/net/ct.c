/*
 * The messages of ctnetlink (ct.h), written and read by hand: libnl has them in a
 * library of its own that is not worth its size.
 */
#include "net/ct.h"

#include <errno.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <linux/netlink.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define CT_RECEIVE (64 << 10)
#define CT_SEND (64 << 10) /* at one time */

int ct_open(int patience_s)
{
	struct timeval patience = { .tv_sec = patience_s };
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER), rc;

	if (fd < 0)
		return -errno;
	if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) == 0)
		return fd;
	rc = -errno;
	close(fd);
	return rc;
}

struct str ct_attr(struct str in, int type)
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

size_t ct_begin(struct buf *b, int type, int flags, int family)
{
	struct nlmsghdr h = { .nlmsg_type = (uint16_t)(NFNL_SUBSYS_CTNETLINK << 8 | type),
			      .nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags) };
	struct nfgenmsg g = { .nfgen_family = (uint8_t)family, .version = NFNETLINK_V0 };
	size_t at = b->len;

	buf_add(b, &h, sizeof(h));
	buf_add(b, &g, sizeof(g));
	return at;
}

void ct_put(struct buf *b, int type, struct str value)
{
	struct nlattr a = { .nla_len = (uint16_t)(NLA_HDRLEN + value.n), .nla_type = (uint16_t)type };

	buf_add(b, &a, sizeof(a));
	buf_addstr(b, value);
	while (b->len % NLA_ALIGNTO)
		buf_addch(b, '\0');
}

void ct_end(struct buf *b, size_t at)
{
	uint32_t len = (uint32_t)(b->len - at);

	memcpy(b->s + at + offsetof(struct nlmsghdr, nlmsg_len), &len, sizeof(len));
}

static void ct_conn_read(struct ct_conn *c, const struct nlmsghdr *h)
{
	const struct nfgenmsg *g = NLMSG_DATA(h);

	c->family = g->nfgen_family;
	c->attrs = str_n((const char *)(g + 1), h->nlmsg_len - NLMSG_LENGTH(sizeof(*g)));
	c->orig = ct_attr(c->attrs, CTA_TUPLE_ORIG);
	c->reply = ct_attr(c->attrs, CTA_TUPLE_REPLY);
}

/* 1: there is more. */
static int ct_take(char *p, int n, void (*each)(void *arg, const struct ct_conn *c), void *arg)
{
	for (struct nlmsghdr *h = (struct nlmsghdr *)p; NLMSG_OK(h, n); h = NLMSG_NEXT(h, n)) {
		struct ct_conn c;

		if (h->nlmsg_type == NLMSG_DONE)
			return 0;
		if (h->nlmsg_type == NLMSG_ERROR)
			return ((struct nlmsgerr *)NLMSG_DATA(h))->error;
		if (h->nlmsg_len < NLMSG_LENGTH(sizeof(struct nfgenmsg)))
			continue;
		ct_conn_read(&c, h);
		each(arg, &c);
	}
	return 1;
}

int ct_each(int fd, const struct buf *request, void (*each)(void *arg, const struct ct_conn *c), void *arg)
{
	_cleanup_free_ char *buf = xmalloc(CT_RECEIVE);
	int rc = send(fd, request->s, request->len, 0) < 0 ? -errno : 1;

	while (rc == 1) {
		ssize_t got = recv(fd, buf, CT_RECEIVE, 0);

		if (got >= 0)
			rc = ct_take(buf, (int)got, each, arg);
		else if (errno != EINTR)
			rc = -errno;
	}
	return rc;
}

void ct_put_delete(struct buf *out, const struct ct_conn *c)
{
	static const int which[] = { CTA_ZONE, CTA_ID }; /* besides its addresses and ports */
	size_t at = ct_begin(out, IPCTNL_MSG_CT_DELETE, 0, c->family);

	ct_put(out, CTA_TUPLE_ORIG | NLA_F_NESTED, c->orig);
	for (size_t i = 0; i < ARRAY_SIZE(which); i++) {
		struct str value = ct_attr(c->attrs, which[i]);

		if (value.n)
			ct_put(out, which[i], value);
	}
	ct_end(out, at);
}

void ct_send(int fd, const struct buf *messages)
{
	size_t from = 0;

	for (size_t at = 0; at < messages->len;) {
		const struct nlmsghdr *h = (const struct nlmsghdr *)(messages->s + at);
		size_t next = at + NLMSG_ALIGN(h->nlmsg_len);

		if (next - from >= CT_SEND || next >= messages->len) {
			(void)!send(fd, messages->s + from, next - from, 0);
			from = next;
		}
		at = next;
	}
}
