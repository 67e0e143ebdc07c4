/*
 * The HTTP server's connections: listening, telling TLS from plain bytes, heads,
 * limits of time and number, the end. See serving.h for the states.
 *
 * Behaviour mirrors Go's net/http as kube-apiserver configures it: plain HTTP on
 * a TLS port gets its famous sentence; a connection is kept alive unless asked
 * otherwise; a request is read only when the one before was answered. What Go
 * leaves open is bounded by base/limits.h.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>

#include <event2/buffer.h>

#include "base/log.h"
#include "http/serving.h"

#define SERVE_ACCEPT_BURST 64
#define SERVE_ACCEPT_RETRY_MS 1000

static const int64_t serve_wait_ms[SERVE_WAIT_KINDS] = {
	[SERVE_WAIT_HEAD] = LIMIT_HEADER_MS,
	[SERVE_WAIT_BODY] = LIMIT_BODY_MS,
	[SERVE_WAIT_IDLE] = LIMIT_IDLE_MS,
	[SERVE_WAIT_STALL] = LIMIT_WRITE_STALL_MS,
};

/* --- waiting --- */

static void serve_arm(struct http_server *s)
{
	int64_t first = INT64_MAX, now;

	for (int i = 0; i < SERVE_WAIT_KINDS; i++) {
		struct serve_conn *c = TAILQ_FIRST(&s->waiting[i]);

		if (c && c->wait_until < first)
			first = c->wait_until;
	}
	if (first == INT64_MAX) {
		loop_timer_clear(s->timer);
		s->timer_at = 0;
	} else if (!s->timer_at || first < s->timer_at) {
		now = loop_now_ms(s->cfg.loop);
		s->timer_at = first;
		loop_timer_set(s->timer, first > now ? first - now : 0);
	}
}

void serve_wait(struct serve_conn *c, enum serve_wait w)
{
	struct http_server *s = c->srv;

	if (c->wait != SERVE_WAIT_NONE)
		TAILQ_REMOVE(&s->waiting[c->wait], c, wait_link);
	c->wait = w;
	if (w == SERVE_WAIT_NONE)
		return;
	c->wait_until = loop_now_ms(s->cfg.loop) + serve_wait_ms[w];
	c->sent_mark = c->io ? conn_sent(c->io) : 0;
	TAILQ_INSERT_TAIL(&s->waiting[w], c, wait_link);
	if (!s->timer_at || c->wait_until < s->timer_at)
		serve_arm(s);
}

static void serve_expire(struct serve_conn *c)
{
	switch (c->wait) {
	case SERVE_WAIT_STALL:
		if (conn_queued(c->io) == 0)
			serve_wait(c, SERVE_WAIT_NONE);
		else if (conn_sent(c->io) != c->sent_mark)
			serve_wait(c, SERVE_WAIT_STALL);
		else
			serve_gone(c);
		break;
	case SERVE_WAIT_HEAD:
		if (c->state == SERVE_HEAD)
			request_refuse(c, 408, "Timeout", "the request's head did not come in time");
		else
			serve_close(c, false);
		break;
	case SERVE_WAIT_BODY:
		if (c->state == SERVE_REQUEST)
			request_refuse(c, 408, "Timeout", "the request's body did not come in time");
		else
			serve_close(c, true);
		break;
	default:
		serve_close(c, true);
	}
}

static void serve_on_timer(void *arg)
{
	struct http_server *s = arg;
	int64_t now = loop_now_ms(s->cfg.loop);

	s->timer_at = 0;
	for (int i = 0; i < SERVE_WAIT_KINDS; i++) {
		struct serve_conn *c;

		while ((c = TAILQ_FIRST(&s->waiting[i])) && c->wait_until <= now)
			serve_expire(c);
	}
	serve_arm(s);
}

/* --- the server's count of sockets --- */

static void server_accept_all(struct http_server *s, bool on)
{
	s->accept_off = !on;
	for (struct serve_listener *l = s->listeners; l; l = l->next)
		loop_fd_set(l->watch, on ? LOOP_READ : 0);
}

static void server_socket_gone(void *arg)
{
	struct http_server *s = arg;

	s->n_conns--;
	if (s->freed && s->n_conns == 0)
		free(s);
	else if (!s->freed && s->accept_off && s->n_conns < s->max && !loop_timer_is_set(s->accept_timer))
		server_accept_all(s, true);
}

/* --- the life of a connection --- */

static void serve_unref(struct serve_conn *c)
{
	if (--c->refs)
		return;
	tls_peer_release(&c->cert);
	free(c);
}

void serve_close(struct serve_conn *c, bool orderly)
{
	struct http_server *s = c->srv;
	struct conn *io = take_ptr(&c->io);

	if (c->state == SERVE_DEAD)
		return;
	serve_wait(c, SERVE_WAIT_NONE);
	c->state = SERVE_DEAD;
	TAILQ_REMOVE(&s->conns, c, link);
	if (c->sniff) {
		c->sniff = loop_fd_free(c->sniff);
		close_fd(c->fd);
		server_socket_gone(s);
	}
	if (io && orderly)
		conn_finish(io);
	else
		conn_free(io);
	serve_unref(c);
}

void serve_gone(struct serve_conn *c)
{
	struct http_req *r = take_ptr(&c->req);
	void (*cb)(void *arg) = r ? r->gone_cb : NULL;
	void *arg = r ? r->gone_arg : NULL;

	if (r)
		request_free(r);
	serve_close(c, false);
	if (cb)
		cb(arg);
}

void serve_next(struct serve_conn *c)
{
	c->scanned = 0;
	c->skipped = 0;
	c->state = c->chunked || c->body_left > 0 ? SERVE_SKIP : SERVE_IDLE;
	serve_wait(c, c->state == SERVE_SKIP ? SERVE_WAIT_BODY : SERVE_WAIT_IDLE);
	conn_kick(c->io);
}

/* --- heads --- */

/* Is a whole head there? Looks at each byte once. */
static bool serve_head_complete(struct serve_conn *c, struct evbuffer *in)
{
	struct evbuffer_ptr from, end;
	size_t n = evbuffer_get_length(in), start = c->scanned > 3 ? c->scanned - 3 : 0;

	evbuffer_ptr_set(in, &from, start, EVBUFFER_PTR_SET);
	end = evbuffer_search(in, "\r\n\r\n", 4, &from);
	c->scanned = n;
	return end.pos >= 0 || n > LIMIT_HEADER_BYTES;
}

static void serve_refuse_head(struct serve_conn *c, int status)
{
	const char *reason = status == 413 ? "RequestEntityTooLarge" : status == 400 ? "BadRequest" : "";
	char msg[100];

	log_debug("malformed request", LS("peer", c->peer.addr), LI("status", status));
	if (status == 413)
		snprintf(msg, sizeof(msg), "Request entity too large: limit is %u", LIMIT_BODY_BYTES);
	else
		snprintf(msg, sizeof(msg), "%s", status == 400 ? "malformed HTTP request" : http_status_text(status));
	request_refuse(c, status, reason, msg);
}

static void serve_start_request(struct serve_conn *c, struct http_head *head)
{
	c->chunked = head->chunked;
	c->body_left = head->content_length > 0 ? head->content_length : 0;
	memset(&c->chunk, 0, sizeof(c->chunk));
	serve_wait(c, SERVE_WAIT_NONE);
	c->state = SERVE_REQUEST;
	c->req = request_new(c, head);
	c->srv->cfg.on_request(c->srv->cfg.arg, c->req);
}

/* True: the state changed. */
static bool serve_read_head(struct serve_conn *c)
{
	struct evbuffer *in = conn_input(c->io);
	size_t n = evbuffer_get_length(in), take, used;
	struct http_head head;
	int status;

	/* A client that asks on without reading its answers waits; on_drain goes on. */
	if (n == 0 || conn_queued(c->io) > CONN_HIGH)
		return false;
	if (c->state == SERVE_IDLE) {
		c->state = SERVE_HEAD;
		serve_wait(c, SERVE_WAIT_HEAD);
	}
	if (c->scanned && !serve_head_complete(c, in))
		return false;
	take = n < LIMIT_HEADER_BYTES + 8 ? n : LIMIT_HEADER_BYTES + 8;
	switch (http1_parse_request(&head, str_n((char *)evbuffer_pullup(in, (ev_ssize_t)take), take), &used, &status)) {
	case HTTP_MORE:
		c->scanned = n;
		return false;
	case HTTP_BAD:
		serve_refuse_head(c, status);
		return true;
	default:
		evbuffer_drain(in, used);
		serve_start_request(c, &head);
		return true;
	}
}

static void serve_run(struct serve_conn *c)
{
	bool more = true;

	c->refs++;
	while (more) {
		switch (c->state) {
		case SERVE_IDLE:
		case SERVE_HEAD:
			more = serve_read_head(c);
			break;
		case SERVE_REQUEST:
		case SERVE_SKIP:
			more = request_read_body(c);
			break;
		default:
			more = false;
		}
	}
	serve_unref(c);
}

/* --- what the connection tells --- */

static void serve_on_input(void *arg)
{
	struct serve_conn *c = arg;

	if (c->eof && c->req && c->req->begun)
		serve_gone(c);
	else
		serve_run(c);
}

static void serve_on_eof(void *arg)
{
	struct serve_conn *c = arg;
	struct http_req *r = c->req;

	c->eof = true;
	/* Half-closed after a whole plain request: it is still answered. */
	if (c->state == SERVE_REQUEST && !conn_is_tls(c->io) && !r->begun &&
	    (r->body_done || !r->body_wanted || r->body_data) && !c->chunked &&
	    c->body_left <= (int64_t)evbuffer_get_length(conn_input(c->io)))
		return;
	if (c->state == SERVE_REQUEST)
		serve_gone(c);
	else
		serve_close(c, true);
}

static void serve_on_dead(void *arg, const struct err *e)
{
	struct serve_conn *c = arg;

	if (c->state == SERVE_HANDSHAKE)
		log_debug("TLS handshake failed", LS("peer", c->peer.addr), LE(e));
	else if (c->state != SERVE_IDLE)
		log_debug("connection failed", LS("peer", c->peer.addr), LE(e));
	serve_gone(c);
}

static void serve_on_drain(void *arg)
{
	struct serve_conn *c = arg;

	if (!c->req)
		serve_run(c);
	else if (c->req->drain_cb)
		c->req->drain_cb(c->req->drain_arg);
}

static void serve_on_blocked(void *arg)
{
	struct serve_conn *c = arg;

	if (c->wait == SERVE_WAIT_NONE)
		serve_wait(c, SERVE_WAIT_STALL);
}

static void serve_on_open(void *arg)
{
	struct serve_conn *c = arg;

	tls_session_peer(conn_session(c->io), &c->cert);
	c->peer.cert_bad = c->cert.bad;
	c->peer.cert_cn = c->cert.cn ? c->cert.cn : "";
	c->peer.cert_uid = c->cert.uid;
	c->peer.cert_sha256 = c->cert.sha256;
	c->peer.cert_not_after = c->cert.not_after;
	c->peer.cert_orgs = (const char *const *)c->cert.orgs;
	c->state = SERVE_IDLE;
	serve_wait(c, SERVE_WAIT_IDLE);
}

static const struct conn_ops serve_conn_ops = {
	.on_open = serve_on_open,
	.on_input = serve_on_input,
	.on_eof = serve_on_eof,
	.on_drain = serve_on_drain,
	.on_blocked = serve_on_blocked,
	.on_dead = serve_on_dead,
};

/* --- new connections --- */

static void serve_open(struct serve_conn *c, int fd, struct tls *tls)
{
	c->io = conn_new(c->srv->cfg.loop, fd, tls, NULL);
	conn_set_release(c->io, server_socket_gone, c->srv);
	conn_set_ops(c->io, &serve_conn_ops, c);
	c->state = tls ? SERVE_HANDSHAKE : SERVE_IDLE;
	c->peer.tls = tls != NULL;
	conn_read(c->io, true);
}

/* Go's words, to the letter. */
static void serve_plain_on_tls(struct serve_conn *c, int fd)
{
	static const char text[] = "HTTP/1.0 400 Bad Request\r\n\r\n"
				   "Client sent an HTTP request to an HTTPS server.\n";

	serve_open(c, fd, NULL);
	evbuffer_add(conn_out(c->io), text, sizeof(text) - 1);
	conn_push(c->io);
	serve_close(c, true);
}

/* The first byte of a TLS record of a handshake is 22; a request begins with a letter. */
static void serve_sniff(void *arg, int what)
{
	struct serve_conn *c = arg;
	unsigned char first;
	ssize_t n = recv(c->fd, &first, 1, MSG_PEEK | MSG_DONTWAIT);
	int fd;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		serve_close(c, false);
		return;
	}
	if (first != 22 && !(first >= 'A' && first <= 'Z')) {
		log_debug("client spoke neither TLS nor HTTP", LS("peer", c->peer.addr), LI("first_byte", first));
		serve_close(c, false);
		return;
	}
	c->sniff = loop_fd_free(c->sniff);
	fd = take_fd(&c->fd);
	if (first == 22) {
		serve_open(c, fd, c->srv->tls);
		return;
	}
	log_debug("client spoke HTTP on the TLS port", LS("peer", c->peer.addr));
	serve_plain_on_tls(c, fd);
}

static void serve_format_addr(char out[64], const struct sockaddr_storage *sa)
{
	char host[INET6_ADDRSTRLEN] = "?";

	if (sa->ss_family == AF_INET) {
		const struct sockaddr_in *in = (const void *)sa;

		inet_ntop(AF_INET, &in->sin_addr, host, sizeof(host));
		snprintf(out, 64, "%s:%d", host, ntohs(in->sin_port));
	} else if (sa->ss_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const void *)sa;
		const uint8_t *b = in6->sin6_addr.s6_addr;

		if (IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr))
			snprintf(out, 64, "%d.%d.%d.%d:%d", b[12], b[13], b[14], b[15], ntohs(in6->sin6_port));
		else
			snprintf(out, 64, "[%s]:%d", inet_ntop(AF_INET6, b, host, sizeof(host)), ntohs(in6->sin6_port));
	} else {
		snprintf(out, 64, "local");
	}
}

static struct serve_conn *serve_new(struct http_server *s, enum serve_state st)
{
	struct serve_conn *c = xcalloc(1, sizeof(*c));

	c->srv = s;
	c->refs = 1;
	c->fd = -1;
	c->state = st;
	c->wait = SERVE_WAIT_NONE;
	c->peer.cert_cn = "";
	TAILQ_INSERT_TAIL(&s->conns, c, link);
	s->n_conns++;
	return c;
}

static void serve_accepted(struct http_server *s, int fd, const struct sockaddr_storage *sa)
{
	struct serve_conn *c = serve_new(s, s->tls ? SERVE_SNIFF : SERVE_IDLE);

	serve_format_addr(c->peer.addr, sa);
	serve_wait(c, SERVE_WAIT_HEAD);
	if (!s->tls) {
		serve_open(c, fd, NULL);
		return;
	}
	c->fd = fd;
	c->sniff = loop_fd_new(s->cfg.loop, fd, LOOP_READ, serve_sniff, c);
}

/* --- listening --- */

static void server_accept_again(void *arg)
{
	server_accept_all(arg, true);
}

/* At the limit, the connection that has been idle longest makes room. */
static bool server_has_room(struct http_server *s)
{
	struct serve_conn *idle = TAILQ_FIRST(&s->waiting[SERVE_WAIT_IDLE]);

	if (s->n_conns < s->max)
		return true;
	if (idle)
		serve_close(idle, false);
	return s->n_conns < s->max;
}

static void server_on_accept(void *arg, int what)
{
	struct serve_listener *l = arg;
	struct http_server *s = l->srv;

	for (int i = 0; i < SERVE_ACCEPT_BURST; i++) {
		struct sockaddr_storage sa;
		socklen_t len = sizeof(sa);
		int fd;

		if (!server_has_room(s)) {
			server_accept_all(s, false);
			return;
		}
		fd = accept4(l->fd, (struct sockaddr *)&sa, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd >= 0) {
			serve_accepted(s, fd, &sa);
		} else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
			log_warn("cannot accept connections for a moment", LS("error", strerror(errno)));
			server_accept_all(s, false);
			loop_timer_set(s->accept_timer, SERVE_ACCEPT_RETRY_MS);
			return;
		} else if (errno == EAGAIN) {
			return;
		}
	}
}

static int server_bind(const struct addrinfo *ai)
{
	_cleanup_close_ int fd = socket(ai->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int on = 1;

	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, ai->ai_addr, ai->ai_addrlen) < 0 || listen(fd, 4096) < 0)
		return -errno;
	return take_fd(&fd);
}

static int server_port(int fd)
{
	struct sockaddr_storage sa = { 0 };
	socklen_t len = sizeof(sa);

	getsockname(fd, (struct sockaddr *)&sa, &len);
	return ntohs(sa.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&sa)->sin6_port :
						((struct sockaddr_in *)&sa)->sin_port);
}

int http_server_listen(struct http_server *s, const char *addr, int port, int *ret_port, struct err *e)
{
	struct addrinfo hints = { .ai_flags = AI_PASSIVE | AI_NUMERICHOST | AI_NUMERICSERV, .ai_socktype = SOCK_STREAM };
	struct addrinfo *ai;
	struct serve_listener *l;
	char service[16];
	int fd;

	snprintf(service, sizeof(service), "%d", port);
	if (getaddrinfo(addr, service, &hints, &ai) != 0)
		return err_set(e, ERR_BAD_REQUEST, "listen on '%s' port %d: not an address", addr, port);
	fd = server_bind(ai);
	freeaddrinfo(ai);
	if (fd < 0)
		return err_errno(e, -fd, "listen on '%s' port %d", addr, port);
	l = xcalloc(1, sizeof(*l));
	l->srv = s;
	l->fd = fd;
	l->watch = loop_fd_new(s->cfg.loop, fd, LOOP_READ, server_on_accept, l);
	l->next = s->listeners;
	s->listeners = l;
	if (ret_port)
		*ret_port = server_port(fd);
	return 0;
}

void http_server_adopt(struct http_server *s, int fd, const char *peer_name)
{
	struct serve_conn *c = serve_new(s, SERVE_IDLE);

	snprintf(c->peer.addr, sizeof(c->peer.addr), "%s", peer_name ? peer_name : "local");
	serve_wait(c, SERVE_WAIT_HEAD);
	serve_open(c, fd, NULL);
}

/* --- the server itself --- */

struct http_server *http_server_new(const struct http_server_config *cfg)
{
	struct http_server *s = xcalloc(1, sizeof(*s));

	s->cfg = *cfg;
	s->tls = tls_ref(cfg->tls);
	s->max = cfg->max_connections > 0 ? (size_t)cfg->max_connections : LIMIT_CONNECTIONS;
	TAILQ_INIT(&s->conns);
	for (int i = 0; i < SERVE_WAIT_KINDS; i++)
		TAILQ_INIT(&s->waiting[i]);
	s->timer = loop_timer_new(cfg->loop, serve_on_timer, s);
	s->accept_timer = loop_timer_new(cfg->loop, server_accept_again, s);
	return s;
}

static void server_stop_listening(struct http_server *s)
{
	struct serve_listener *l;

	while ((l = s->listeners)) {
		s->listeners = l->next;
		loop_fd_free(l->watch);
		close_fd(l->fd);
		free(l);
	}
	loop_timer_clear(s->accept_timer);
}

void http_server_drain(struct http_server *s)
{
	struct serve_conn *c, *next;

	server_stop_listening(s);
	s->draining = true;
	for (c = TAILQ_FIRST(&s->conns); c; c = next) {
		next = TAILQ_NEXT(c, link);
		if (c->state != SERVE_REQUEST)
			serve_close(c, true);
	}
}

struct http_server *http_server_free(struct http_server *s)
{
	struct serve_conn *c;

	if (!s)
		return NULL;
	server_stop_listening(s);
	s->draining = true;
	while ((c = TAILQ_FIRST(&s->conns)))
		serve_gone(c);
	conn_cut(s);
	s->timer = loop_timer_free(s->timer);
	s->accept_timer = loop_timer_free(s->accept_timer);
	s->tls = tls_free(s->tls);
	s->freed = true;
	if (s->n_conns == 0)
		free(s);
	return NULL;
}

size_t http_server_connections(const struct http_server *s)
{
	return s->n_conns;
}

void http_server_set_tls(struct http_server *s, struct tls *t)
{
	tls_ref(t);
	tls_free(s->tls);
	s->tls = t;
}
