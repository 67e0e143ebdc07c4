/*
 * UDP sockets that answer (net/udp.h).
 */
#include "net/udp.h"

#include <errno.h>
#include <sys/socket.h>

#define UDP_BATCH 32
#define UDP_BUFFER (1 << 20) /* of the kernel, for bursts; it gives what it may */

struct net_udp {
	struct loop_fd *watch;
	int fd;
	net_udp_answer answer;
	void *arg;
	struct net_udp_peer from[UDP_BATCH];
	uint8_t in[UDP_BATCH][NET_UDP_QUESTION], out[UDP_BATCH][NET_UDP_ANSWER];
};

void net_peer_addr(const struct net_udp_peer *p, struct net_addr *ret)
{
	*ret = (struct net_addr){ .family = p->u.sa.sa_family };
	if (ret->family == AF_INET) {
		memcpy(ret->b, &p->u.v4.sin_addr, 4);
	} else if (IN6_IS_ADDR_V4MAPPED(&p->u.v6.sin6_addr)) {
		ret->family = AF_INET;
		memcpy(ret->b, p->u.v6.sin6_addr.s6_addr + 12, 4);
	} else {
		memcpy(ret->b, &p->u.v6.sin6_addr, 16);
	}
}

static void udp_sockaddr(const struct net_addr *a, uint16_t port, struct net_udp_peer *ret)
{
	*ret = (struct net_udp_peer){ .len = 0 };
	if (a->family == AF_INET6) {
		ret->u.v6 = (struct sockaddr_in6){ .sin6_family = AF_INET6, .sin6_port = htons(port) };
		memcpy(&ret->u.v6.sin6_addr, a->b, 16);
		ret->len = sizeof(ret->u.v6);
	} else {
		ret->u.v4 = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(port) };
		memcpy(&ret->u.v4.sin_addr, a->b, 4);
		ret->len = sizeof(ret->u.v4);
	}
}

int net_listen(const struct net_addr *a, uint16_t port, int type)
{
	struct net_udp_peer at;
	int one = 1, fd = socket(a->family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -errno;
	udp_sockaddr(a, port, &at);
	if (type == SOCK_STREAM)
		(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	/* The address may still be on its way to the link. */
	(void)setsockopt(fd, SOL_IP, IP_FREEBIND, &one, sizeof(one));
	if (bind(fd, &at.u.sa, at.len) < 0 || (type == SOCK_STREAM && listen(fd, 256) < 0)) {
		int eno = errno;

		close_fd(fd);
		return -eno;
	}
	return fd;
}

/* Only what is there can be bound to without asking for more. */
bool net_is_local(const struct net_addr *a)
{
	_cleanup_close_ int fd = socket(a->family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct net_udp_peer at;

	udp_sockaddr(a, 0, &at);
	return fd >= 0 && bind(fd, &at.u.sa, at.len) == 0;
}

static void udp_batch(struct net_udp *u, struct mmsghdr *m, struct iovec *v)
{
	memset(m, 0, UDP_BATCH * sizeof(*m));
	for (int i = 0; i < UDP_BATCH; i++) {
		v[i] = (struct iovec){ u->in[i], NET_UDP_QUESTION };
		m[i].msg_hdr = (struct msghdr){ .msg_name = &u->from[i].u, .msg_namelen = sizeof(u->from[i].u),
						.msg_iov = &v[i], .msg_iovlen = 1 };
	}
}

static void udp_send_all(struct net_udp *u, struct mmsghdr *m, unsigned n)
{
	for (unsigned done = 0; done < n;) {
		int sent = sendmmsg(u->fd, m + done, n - done, MSG_DONTWAIT);

		/* One that can't be sent is left out, it says nothing of the others. */
		done += sent > 0 ? (unsigned)sent : 1;
	}
}

static void udp_readable(void *arg, int what)
{
	struct net_udp *u = arg;
	struct mmsghdr in[UDP_BATCH], out[UDP_BATCH];
	struct iovec in_v[UDP_BATCH], out_v[UDP_BATCH];
	unsigned n_out = 0;
	int n;

	(void)what;
	udp_batch(u, in, in_v);
	n = recvmmsg(u->fd, in, UDP_BATCH, MSG_DONTWAIT, NULL);
	for (int i = 0; i < n; i++) {
		size_t len;

		u->from[i].len = (uint8_t)in[i].msg_hdr.msg_namelen;
		if (in[i].msg_hdr.msg_flags & MSG_TRUNC)
			continue;
		len = u->answer(u->arg, u, &u->from[i], str_n((const char *)u->in[i], in[i].msg_len), u->out[n_out]);
		if (!len)
			continue;
		out_v[n_out] = (struct iovec){ u->out[n_out], len };
		out[n_out] = (struct mmsghdr){ .msg_hdr = { .msg_name = &u->from[i].u, .msg_namelen = u->from[i].len,
							    .msg_iov = &out_v[n_out], .msg_iovlen = 1 } };
		n_out++;
	}
	udp_send_all(u, out, n_out);
}

int net_udp_open(struct net_udp **ret, struct loop *l, const struct net_addr *a, uint16_t port, net_udp_answer answer,
		 void *arg, struct err *e)
{
	char text[NET_ADDR_TEXT];
	int fd = net_listen(a, port, SOCK_DGRAM), size = UDP_BUFFER;
	struct net_udp *u;

	if (fd < 0)
		return err_errno(e, -fd, "listen on UDP port %d of %s", port, net_addr_print(a, text));
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	u = xmalloc(sizeof(*u)); /* its buffers are memory once they are used */
	u->fd = fd;
	u->answer = answer;
	u->arg = arg;
	u->watch = loop_fd_new(l, fd, LOOP_READ, udp_readable, u);
	*ret = u;
	return 0;
}

struct net_udp *net_udp_close(struct net_udp *u)
{
	if (!u)
		return NULL;
	loop_fd_free(u->watch);
	close_fd(u->fd);
	free(u);
	return NULL;
}

void net_udp_send(struct net_udp *u, const struct net_udp_peer *to, const void *p, size_t n)
{
	(void)!sendto(u->fd, p, n, MSG_DONTWAIT, &to->u.sa, to->len);
}
