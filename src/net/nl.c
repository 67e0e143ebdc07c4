/*
 * Netlink requests: one message out, the kernel's acknowledgement in. The
 * kernel's own errno is kept (libnl's codes are coarser).
 */
#include <errno.h>
#include <fcntl.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <sched.h>
#include <sys/socket.h>

#include "base/path.h"
#include "net/internal.h"

#define NL_BUFFER (64 << 10)

int nl_open(struct nl_sock **ret, int protocol, struct err *e)
{
	struct nl_sock *s = nl_socket_alloc();
	int rc;

	if (!s)
		return err_errno(e, ENOMEM, "open a netlink socket");
	rc = nl_connect(s, protocol);
	if (rc < 0) {
		nl_socket_free(s);
		return err_set(e, ERR_UNKNOWN, "open a netlink socket (protocol %d): %s", protocol, nl_geterror(rc));
	}
	fd_set_cloexec(nl_socket_get_fd(s), true);
	*ret = s;
	return 0;
}

struct nl_sock *nl_close_(struct nl_sock *s)
{
	if (s)
		nl_socket_free(s);
	return NULL;
}

struct nl_msg *nl_msg_new(int type, int flags, const void *header, size_t header_len)
{
	struct nl_msg *m = nlmsg_alloc_simple(type, NLM_F_REQUEST | flags);

	BUG_ON(!m || nlmsg_append(m, (void *)header, header_len, NLMSG_ALIGNTO) < 0);
	return m;
}

/* Reads answers until the acknowledgement of seq (or an error before it). */
static int nl_wait_ack(struct nl_sock *s, uint32_t seq)
{
	_cleanup_free_ char *buf = xmalloc(NL_BUFFER);
	int fd = nl_socket_get_fd(s), first = 0;

	for (;;) {
		ssize_t got = recv(fd, buf, NL_BUFFER, 0);
		int n = (int)got;

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		for (struct nlmsghdr *h = (struct nlmsghdr *)buf; NLMSG_OK(h, n); h = NLMSG_NEXT(h, n)) {
			int code;

			if (h->nlmsg_type != NLMSG_ERROR)
				continue;
			code = ((struct nlmsgerr *)NLMSG_DATA(h))->error;
			if (code && !first)
				first = code;
			if (h->nlmsg_seq == seq || code)
				return first;
		}
	}
}

int nl_request(struct nl_sock *s, struct nl_msg *msg)
{
	uint32_t seq;
	int rc;

	nlmsg_hdr(msg)->nlmsg_flags |= NLM_F_ACK;
	nl_complete_msg(s, msg);
	seq = nlmsg_hdr(msg)->nlmsg_seq;
	rc = nl_send(s, msg);
	nlmsg_free(msg);
	return rc < 0 ? -EIO : nl_wait_ack(s, seq);
}

int nl_open_in(struct nl_sock **ret, int netns_fd, struct err *e)
{
	_cleanup_close_ int here = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	int rc;

	if (here < 0)
		return err_errno(e, errno, "open the own network namespace");
	if (setns(netns_fd, CLONE_NEWNET) < 0)
		return err_errno(e, errno, "enter the pod's network namespace");
	rc = nl_open(ret, NETLINK_ROUTE, e);
	BUG_ON(setns(here, CLONE_NEWNET) < 0);
	return rc;
}
