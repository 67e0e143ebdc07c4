/*
 * One connection: a bufferevent, plain or TLS, with corked writes, resumable
 * reads and an orderly end. Servers, clients and streams all sit on this; the
 * contract is in internal.h.
 *
 * Life: conn_new gives its owner the one reference that conn_free (at once) or
 * conn_finish (flush, then linger) takes back. Entry points from the loop hold
 * a reference of their own, so that any callback may end its connection.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>
#include <event2/event.h>
#include <event2/util.h>

#include "base/alloc.h"
#include "base/log.h"
#include "http/internal.h"

#define CONN_RECORD_BYTES (16u << 10) /* of a full TLS record */
#define CONN_PIECE_BYTES (128u << 10) /* a piece of output up to this size goes to the TLS library as it is */
#define CONN_READ_LIBEVENT 4096
#define CONN_READ_PIECE (32 << 10)
#define CONN_LINGER_MS 5000
#define CONN_LINGER_BYTES (64u << 20)

enum { CONN_WORK_FLUSH = 1, CONN_WORK_INPUT = 2 };
enum conn_end {
	CONN_OPEN,
	CONN_FLUSHING, /* finished by its owner; output is still going out */
	CONN_LINGERING, /* our direction is closed; waiting for the peer's end */
};

struct conn {
	struct loop *loop;
	struct bufferevent *bev; /* NULL once freed */
	struct evbuffer *cork; /* written and not yet given to bev; NULL while empty */
	struct loop_task work;
	struct ssl_st *ssl; /* bev's own */
	const struct conn_ops *ops;
	void *arg;
	void (*release)(void *arg);
	void *group;
	uint64_t added; /* bytes ever given to the bufferevent or the kernel */
	uint64_t mark; /* lingering: conn_sent when last looked, then bytes swallowed */
	struct loop_timer *timer; /* only while ending */
	TAILQ_ENTRY(conn) link; /* in conn_ending */
	int refs;
	unsigned char todo; /* CONN_WORK_ bits */
	unsigned char end; /* enum conn_end */
	bool reading; /* its owner wants to hear */
	bool eof, drain_due, shut_wanted, shut_done, open, failed;
};

static TAILQ_HEAD(conn_list, conn) conn_ending = TAILQ_HEAD_INITIALIZER(conn_ending);

static void conn_unref(struct conn *c)
{
	if (--c->refs)
		return;
	if (c->release)
		c->release(c->group);
	free(c);
}

/* Gives up the socket; the struct lives until the last reference. */
static void conn_destroy(struct conn *c)
{
	if (!c->bev)
		return;
	loop_undefer(c->loop, &c->work);
	bufferevent_setcb(c->bev, NULL, NULL, NULL, NULL);
	bufferevent_disable(c->bev, EV_READ | EV_WRITE);
	bufferevent_free(c->bev);
	c->bev = NULL;
	c->ssl = NULL;
	if (c->cork)
		evbuffer_free(c->cork);
	c->cork = NULL;
	if (c->end != CONN_OPEN)
		TAILQ_REMOVE(&conn_ending, c, link);
	c->end = CONN_OPEN;
	c->timer = loop_timer_free(c->timer);
	c->ops = NULL;
}

struct conn *conn_free(struct conn *c)
{
	if (c) {
		conn_destroy(c);
		conn_unref(c);
	}
	return NULL;
}

/* --- writing --- */

static size_t conn_pending_output(const struct conn *c)
{
	return evbuffer_get_length(bufferevent_get_output(c->bev));
}

size_t conn_queued(const struct conn *c)
{
	if (!c->bev)
		return 0;
	return conn_pending_output(c) + (c->cork ? evbuffer_get_length(c->cork) : 0);
}

uint64_t conn_sent(const struct conn *c)
{
	return c->bev ? c->added - conn_pending_output(c) : 0;
}

struct evbuffer *conn_out(struct conn *c)
{
	if (!c->cork) {
		c->cork = evbuffer_new();
		BUG_ON(!c->cork);
	}
	return c->cork;
}

static void conn_todo(struct conn *c, int what)
{
	c->todo |= what;
	loop_defer(c->loop, &c->work);
}

void conn_push(struct conn *c)
{
	if (!c->bev)
		return;
	if (conn_queued(c) > CONN_LOW)
		c->drain_due = true;
	conn_todo(c, CONN_WORK_FLUSH);
}

/* Plain sockets take what they can at once, without a round through the poller. */
static void conn_write_now(struct conn *c)
{
	while (evbuffer_get_length(c->cork)) {
		int n = evbuffer_write(c->cork, bufferevent_getfd(c->bev));

		if (n <= 0)
			return;
		c->added += (uint64_t)n;
	}
}

static void conn_flush_plain(struct conn *c)
{
	if (c->open && conn_pending_output(c) == 0)
		conn_write_now(c);
	c->added += evbuffer_get_length(c->cork);
	bufferevent_write_buffer(c->bev, c->cork);
}

/* libevent makes a record and a system call of each small piece of its buffer, and SSL_write cannot take part of a
 * piece (the next would overtake it), so pieces of a record or more are made: small ones joined, huge ones cut. What is
 * between goes on as it is and is not copied; it counts as sent when all of it is. Only as much as the socket may soon
 * take is moved; the rest of a large reply stays what it is, references to shared bytes. */
static void conn_flush_tls(struct conn *c)
{
	struct evbuffer *piece = evbuffer_new();
	size_t left;

	BUG_ON(!piece);
	while ((left = evbuffer_get_length(c->cork)) && conn_pending_output(c) < CONN_HIGH) {
		size_t n = evbuffer_get_contiguous_space(c->cork);

		if (n < CONN_RECORD_BYTES / 2 || n > CONN_PIECE_BYTES)
			n = left < CONN_RECORD_BYTES ? left : CONN_RECORD_BYTES;
		evbuffer_remove_buffer(c->cork, piece, n);
		evbuffer_pullup(piece, -1);
		c->added += n;
		bufferevent_write_buffer(c->bev, piece);
	}
	evbuffer_free(piece);
}

static void conn_flush(struct conn *c)
{
	if (!c->cork)
		return;
	if (c->ssl)
		conn_flush_tls(c);
	else
		conn_flush_plain(c);
	if (evbuffer_get_length(c->cork))
		return;
	evbuffer_free(c->cork);
	c->cork = NULL;
}

static void conn_shutdown_now(struct conn *c)
{
	if (c->shut_done)
		return;
	c->shut_done = true;
	if (c->ssl)
		tls_session_shutdown(c->ssl);
	shutdown(bufferevent_getfd(c->bev), SHUT_WR);
}

static void conn_end_step(struct conn *c);

/* After output moved: tell the owner, or go on with the end. */
static void conn_after_write(struct conn *c)
{
	size_t left = conn_queued(c);

	if (left == 0 && c->shut_wanted)
		conn_shutdown_now(c);
	if (c->end != CONN_OPEN) {
		conn_end_step(c);
		return;
	}
	if (c->drain_due && left <= CONN_LOW) {
		c->drain_due = false;
		if (c->ops && c->ops->on_drain)
			c->ops->on_drain(c->arg);
	} else if (left && c->ops && c->ops->on_blocked) {
		c->ops->on_blocked(c->arg);
	}
}

void conn_shutdown_write(struct conn *c)
{
	if (!c->bev)
		return;
	c->shut_wanted = true;
	conn_todo(c, CONN_WORK_FLUSH);
}

/* --- reading --- */

struct evbuffer *conn_input(struct conn *c)
{
	return bufferevent_get_input(c->bev);
}

void conn_kick(struct conn *c)
{
	if (c->bev)
		conn_todo(c, CONN_WORK_INPUT);
}

/* libevent calls back without end while its high mark is reached and reading is on: input that its owner lets lie
 * turns reading off until he has taken some. */
static void conn_gate(struct conn *c)
{
	bool full;

	if (!c->bev || c->end != CONN_OPEN || !c->reading || c->eof || c->failed)
		return;
	full = evbuffer_get_length(bufferevent_get_input(c->bev)) >= CONN_HIGH;
	if (full && (bufferevent_get_enabled(c->bev) & EV_READ))
		bufferevent_disable(c->bev, EV_READ);
	else if (!full && !(bufferevent_get_enabled(c->bev) & EV_READ))
		bufferevent_enable(c->bev, EV_READ);
}

void conn_read(struct conn *c, bool on)
{
	if (!c->bev || c->end != CONN_OPEN)
		return;
	c->reading = on;
	if (!on) {
		bufferevent_disable(c->bev, EV_READ);
		return;
	}
	if (!c->eof)
		bufferevent_enable(c->bev, EV_READ);
	if (evbuffer_get_length(bufferevent_get_input(c->bev)) || c->eof)
		conn_kick(c);
}

static void conn_deliver(struct conn *c)
{
	if (c->end != CONN_OPEN)
		conn_end_step(c);
	else if (c->ops)
		c->ops->on_input(c->arg);
}

static void conn_run(struct loop_task *t)
{
	struct conn *c = CONTAINER_OF(t, struct conn, work);
	unsigned todo = c->todo;

	c->todo = 0;
	c->refs++;
	if (c->bev && (todo & CONN_WORK_FLUSH)) {
		conn_flush(c);
		conn_after_write(c);
	}
	if (c->bev && (todo & CONN_WORK_INPUT))
		conn_deliver(c);
	conn_gate(c);
	conn_unref(c);
}

/* --- the bufferevent's callbacks --- */

/* libevent reads a plain socket 4 KiB at a time; when that was not all, the rest is fetched in larger pieces.
 * Ends and errors are left for libevent to find. */
static void conn_read_on(struct conn *c)
{
	struct evbuffer *in = bufferevent_get_input(c->bev);
	struct evbuffer_iovec v;
	ssize_t n = CONN_READ_PIECE;

	if (c->ssl || evbuffer_get_length(in) < CONN_READ_LIBEVENT || c->end != CONN_OPEN)
		return;
	evbuffer_unfreeze(in, 0);
	while (n == CONN_READ_PIECE && evbuffer_get_length(in) + CONN_READ_PIECE <= CONN_HIGH) {
		if (evbuffer_reserve_space(in, CONN_READ_PIECE, &v, 1) < 1)
			break;
		n = recv(bufferevent_getfd(c->bev), v.iov_base, CONN_READ_PIECE, MSG_DONTWAIT);
		v.iov_len = n > 0 ? (size_t)n : 0;
		evbuffer_commit_space(in, &v, 1);
	}
	evbuffer_freeze(in, 0);
}

static void conn_on_read(struct bufferevent *bev, void *arg)
{
	struct conn *c = arg;

	c->refs++;
	conn_read_on(c);
	conn_deliver(c);
	conn_gate(c);
	conn_unref(c);
}

static void conn_on_write(struct bufferevent *bev, void *arg)
{
	struct conn *c = arg;

	c->refs++;
	conn_flush(c);
	conn_after_write(c);
	conn_gate(c);
	conn_unref(c);
}

static void conn_error(struct conn *c, struct err *e)
{
	int eno = EVUTIL_SOCKET_ERROR();
	unsigned long code = c->ssl ? bufferevent_get_openssl_error(c->bev) : 0;

	if (c->ssl && (code || !eno || eno == EAGAIN))
		tls_session_error(c->ssl, code, e);
	else
		err_errno(e, eno ? eno : ECONNRESET, "connection");
}

static void conn_fail(struct conn *c)
{
	_cleanup_err_ struct err e = ERR_INIT;

	if (c->end != CONN_OPEN) {
		conn_free(c);
		return;
	}
	if (c->failed)
		return;
	c->failed = true;
	conn_error(c, &e);
	if (c->ops)
		c->ops->on_dead(c->arg, &e);
}

static void conn_on_event(struct bufferevent *bev, short what, void *arg)
{
	struct conn *c = arg;

	c->refs++;
	if (what & BEV_EVENT_CONNECTED) {
		c->open = true;
		if (c->ops && c->ops->on_open)
			c->ops->on_open(c->arg);
	} else if ((what & BEV_EVENT_EOF) && c->open) {
		c->eof = true;
		if (c->end != CONN_OPEN)
			conn_end_step(c);
		else if (c->ops)
			c->ops->on_eof(c->arg);
	} else {
		conn_fail(c);
	}
	conn_unref(c);
}

/* --- the end --- */

static void conn_end_timeout(void *arg)
{
	struct conn *c = arg;

	if (c->end == CONN_FLUSHING && conn_sent(c) != c->mark) {
		c->mark = conn_sent(c);
		loop_timer_set(c->timer, LIMIT_WRITE_STALL_MS);
		return;
	}
	conn_free(c);
}

/* Flushed? Then close our direction. Lingering: swallow. May free c (callers hold a reference). */
static void conn_end_step(struct conn *c)
{
	struct evbuffer *in = bufferevent_get_input(c->bev);

	if (c->end == CONN_FLUSHING && (conn_queued(c) == 0 || (c->eof && c->ssl))) {
		c->end = CONN_LINGERING;
		c->mark = 0;
		conn_shutdown_now(c);
		loop_timer_set(c->timer, CONN_LINGER_MS);
	}
	if (c->end == CONN_LINGERING)
		c->mark += evbuffer_get_length(in);
	evbuffer_drain(in, evbuffer_get_length(in));
	if (c->end == CONN_LINGERING && (c->eof || c->mark > CONN_LINGER_BYTES))
		conn_free(c);
}

void conn_finish(struct conn *c)
{
	if (!c->bev || c->failed) {
		conn_free(c);
		return;
	}
	c->ops = NULL;
	c->end = CONN_FLUSHING;
	TAILQ_INSERT_TAIL(&conn_ending, c, link);
	c->timer = loop_timer_new(c->loop, conn_end_timeout, c);
	c->mark = conn_sent(c);
	loop_timer_set(c->timer, LIMIT_WRITE_STALL_MS);
	if (!c->eof)
		bufferevent_enable(c->bev, EV_READ);
	conn_todo(c, CONN_WORK_FLUSH);
}

void conn_cut(void *group)
{
	struct conn *c, *next;

	for (c = TAILQ_FIRST(&conn_ending); c; c = next) {
		next = TAILQ_NEXT(c, link);
		if (c->group == group)
			conn_free(c);
	}
}

/* --- making one --- */

void sock_tune(int fd)
{
	int on = 1, idle = 60, interval = 15, count = 4;

	if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0)
		return;
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof(interval));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof(count));
}

struct conn *conn_new(struct loop *l, int fd, struct tls *tls, const char *server_name)
{
	struct conn *c = xcalloc(1, sizeof(*c));
	struct event_base *base = loop_event_base(l);
	int opt = BEV_OPT_CLOSE_ON_FREE | BEV_OPT_DEFER_CALLBACKS;

	c->loop = l;
	c->refs = 1;
	c->work.run = conn_run;
	evutil_make_socket_nonblocking(fd);
	if (tls) {
		c->ssl = tls_session_new(tls, server_name);
		c->bev = bufferevent_openssl_socket_new(base, fd, c->ssl,
							tls_is_server(tls) ? BUFFEREVENT_SSL_ACCEPTING :
									     BUFFEREVENT_SSL_CONNECTING,
							opt);
		BUG_ON(!c->bev);
		bufferevent_openssl_set_allow_dirty_shutdown(c->bev, 1);
	} else {
		c->bev = bufferevent_socket_new(base, fd, opt);
		BUG_ON(!c->bev);
		c->open = true;
	}
	sock_tune(fd);
	bufferevent_set_max_single_write(c->bev, CONN_HIGH);
	bufferevent_setwatermark(c->bev, EV_READ, 0, CONN_HIGH);
	bufferevent_setwatermark(c->bev, EV_WRITE, CONN_LOW, 0);
	bufferevent_setcb(c->bev, conn_on_read, conn_on_write, conn_on_event, c);
	return c;
}

void conn_connecting(struct conn *c)
{
	c->open = false;
	bufferevent_socket_connect(c->bev, NULL, 0);
}

void conn_set_ops(struct conn *c, const struct conn_ops *ops, void *arg)
{
	c->ops = ops;
	c->arg = arg;
}

void conn_set_release(struct conn *c, void (*release)(void *arg), void *arg)
{
	c->release = release;
	c->group = arg;
}

bool conn_is_tls(const struct conn *c)
{
	return c->ssl != NULL;
}

bool conn_is_eof(const struct conn *c)
{
	return c->eof || c->failed;
}

struct ssl_st *conn_session(struct conn *c)
{
	return c->ssl;
}

int conn_fd(const struct conn *c)
{
	return c->bev ? bufferevent_getfd(c->bev) : -1;
}

struct loop *conn_loop(const struct conn *c)
{
	return c->loop;
}
