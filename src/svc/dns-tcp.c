/*
 * DNS over TCP (RFC 7766): many questions on one connection, answered as they are
 * ready, in any order. A connection that is silent for TCP_IDLE_MS is closed; when
 * there are too many, the one that has been silent longest. Who sends more than he
 * reads, or has too many questions waiting, is not read from meanwhile.
 */
#include <errno.h>
#include <sys/socket.h>

#include "base/limits.h"
#include "base/log.h"
#include "svc/dns.h"

#define TCP_IDLE_MS 8000 /* as CoreDNS */
#define TCP_PIECE 4096 /* read at one time, and the longest question */
#define TCP_ACCEPTS 64 /* in one turn */
#define TCP_RETRY_MS 1000 /* when there are no file descriptors */

struct dns_tcp_conn {
	TAILQ_ENTRY(dns_tcp_conn) link;
	struct dns_tcp *t;
	int fd;
	struct loop_fd *watch;
	struct net_udp_peer peer;
	int64_t until_ms;
	unsigned pending; /* questions that wait for others */
	bool eof, dead;
	struct buf in, out;
};

struct dns_tcp {
	struct dns *d;
	int fd;
	struct loop_fd *watch;
	struct loop_timer *timer, *retry;
	TAILQ_HEAD(, dns_tcp_conn) conns; /* the one that has been silent longest first */
	size_t n;
};

static void tcp_conn_free(struct dns_tcp_conn *c)
{
	struct dns_tcp *t = c->t;

	if (c->pending)
		dns_forward_forget(t->d->forward, c);
	TAILQ_REMOVE(&t->conns, c, link);
	t->n--;
	loop_fd_free(c->watch);
	close_fd(c->fd);
	buf_release(&c->in);
	buf_release(&c->out);
	free(c);
}

static void tcp_touch(struct dns_tcp_conn *c)
{
	struct dns_tcp *t = c->t;

	c->until_ms = loop_now_ms(t->d->loop) + TCP_IDLE_MS;
	TAILQ_REMOVE(&t->conns, c, link);
	TAILQ_INSERT_TAIL(&t->conns, c, link);
	if (!loop_timer_is_set(t->timer))
		loop_timer_set(t->timer, TCP_IDLE_MS);
}

static void tcp_expire(void *arg)
{
	struct dns_tcp *t = arg;
	int64_t now = loop_now_ms(t->d->loop);
	struct dns_tcp_conn *c;

	while ((c = TAILQ_FIRST(&t->conns)) && c->until_ms <= now)
		tcp_conn_free(c);
	if (c)
		loop_timer_set(t->timer, c->until_ms - now);
}

/* What is wanted of the socket now. */
static void tcp_arm(struct dns_tcp_conn *c)
{
	bool read = !c->eof && c->pending < LIMIT_DNS_PIPELINE && c->out.len < LIMIT_DNS_UNSENT_BYTES;

	loop_fd_set(c->watch, (read ? LOOP_READ : 0) | (c->out.len || c->dead ? LOOP_WRITE : 0));
}

/* A connection that has failed is freed by its own callback, which follows. */
static void tcp_flush(struct dns_tcp_conn *c)
{
	ssize_t n = c->out.len ? send(c->fd, c->out.s, c->out.len, MSG_DONTWAIT | MSG_NOSIGNAL) : 0;

	if (n > 0) {
		buf_remove(&c->out, 0, (size_t)n);
		tcp_touch(c);
	}
	if (!c->out.len)
		buf_release(&c->out);
	c->dead |= (n < 0 && errno != EAGAIN && errno != EINTR) || (c->eof && !c->pending && !c->out.len);
	tcp_arm(c);
}

static void tcp_queue(struct dns_tcp_conn *c, const void *p, size_t n)
{
	uint8_t len[2] = { (uint8_t)(n >> 8), (uint8_t)n };

	buf_add(&c->out, len, sizeof(len));
	buf_add(&c->out, p, n);
}

void dns_tcp_send(struct dns_tcp_conn *c, const void *p, size_t n)
{
	c->pending--;
	if (c->dead)
		return;
	tcp_queue(c, p, n);
	tcp_flush(c);
}

const struct net_udp_peer *dns_tcp_peer(const struct dns_tcp_conn *c)
{
	return &c->peer;
}

/* True: there was one. */
static bool tcp_question(struct dns_tcp_conn *c, size_t *at)
{
	struct dns *d = c->t->d;
	struct dns_client client = { .tcp = c, .peer = c->peer };
	size_t left = c->in.len - *at, n, len;
	struct str msg;

	if (left < 2)
		return false;
	n = (size_t)(uint8_t)c->in.s[*at] << 8 | (uint8_t)c->in.s[*at + 1];
	if (n > TCP_PIECE || n < DNS_HEADER_BYTES) {
		c->dead = true; /* it is no DNS */
		return false;
	}
	if (left < n + 2)
		return false;
	msg = str_n(c->in.s + *at + 2, n);
	*at += n + 2;
	c->pending++;
	len = dns_handle(d, &client, msg, d->out, DNS_MESSAGE_BYTES);
	if (len) {
		c->pending--;
		tcp_queue(c, d->out, len);
	}
	return true;
}

static void tcp_questions(struct dns_tcp_conn *c)
{
	size_t at = 0;

	while (!c->dead && c->pending < LIMIT_DNS_PIPELINE && c->out.len < LIMIT_DNS_UNSENT_BYTES && tcp_question(c, &at))
		;
	buf_remove(&c->in, 0, at);
	if (!c->in.len)
		buf_release(&c->in);
}

static void tcp_ready(void *arg, int what)
{
	struct dns_tcp_conn *c = arg;
	char piece[TCP_PIECE];
	ssize_t n;

	if (what & LOOP_READ && !c->dead) {
		n = recv(c->fd, piece, sizeof(piece), MSG_DONTWAIT);
		c->eof |= n == 0;
		c->dead |= n < 0 && errno != EAGAIN && errno != EINTR;
		if (n > 0) {
			buf_add(&c->in, piece, (size_t)n);
			tcp_touch(c);
		}
	}
	if (!c->dead) {
		tcp_questions(c);
		tcp_flush(c);
	}
	if (c->dead)
		tcp_conn_free(c);
}

static void tcp_accept_one(struct dns_tcp *t, int fd, const struct net_udp_peer *peer)
{
	struct dns_tcp_conn *c = xcalloc(1, sizeof(*c));

	if (t->n >= LIMIT_DNS_CONNECTIONS)
		tcp_conn_free(TAILQ_FIRST(&t->conns));
	c->t = t;
	c->fd = fd;
	c->peer = *peer;
	buf_init(&c->in);
	buf_init(&c->out);
	c->watch = loop_fd_new(t->d->loop, fd, LOOP_READ, tcp_ready, c);
	TAILQ_INSERT_TAIL(&t->conns, c, link);
	t->n++;
	tcp_touch(c);
}

static void tcp_retry(void *arg)
{
	loop_fd_set(((struct dns_tcp *)arg)->watch, LOOP_READ);
}

static void tcp_accept(void *arg, int what)
{
	struct dns_tcp *t = arg;

	(void)what;
	for (int i = 0; i < TCP_ACCEPTS; i++) {
		struct net_udp_peer peer;
		socklen_t len = sizeof(peer.u);
		int fd = accept4(t->fd, &peer.u.sa, &len, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)) {
			loop_fd_set(t->watch, 0);
			loop_timer_set(t->retry, TCP_RETRY_MS);
		}
		if (fd < 0)
			return;
		peer.len = (uint8_t)len;
		tcp_accept_one(t, fd, &peer);
	}
}

int dns_tcp_listen(struct dns_tcp **ret, struct dns *d, const struct net_addr *a, struct err *e)
{
	char text[NET_ADDR_TEXT];
	int fd = net_listen(a, DNS_PORT, SOCK_STREAM);
	struct dns_tcp *t;

	if (fd < 0)
		return err_errno(e, -fd, "listen on TCP port %d of %s", DNS_PORT, net_addr_print(a, text));
	t = xcalloc(1, sizeof(*t));
	t->d = d;
	t->fd = fd;
	TAILQ_INIT(&t->conns);
	t->watch = loop_fd_new(d->loop, fd, LOOP_READ, tcp_accept, t);
	t->timer = loop_timer_new(d->loop, tcp_expire, t);
	t->retry = loop_timer_new(d->loop, tcp_retry, t);
	*ret = t;
	return 0;
}

struct dns_tcp *dns_tcp_free(struct dns_tcp *t)
{
	if (!t)
		return NULL;
	while (!TAILQ_EMPTY(&t->conns))
		tcp_conn_free(TAILQ_FIRST(&t->conns));
	loop_fd_free(t->watch);
	loop_timer_free(t->timer);
	loop_timer_free(t->retry);
	close_fd(t->fd);
	free(t);
	return NULL;
}
