/*
 * The HTTP client: connections to one host, kept alive and reused, one call on
 * each at a time.
 *
 * A call (struct http_call, the impl of an exchange) goes through
 *	DIAL	waiting for a connection: name, TCP, TLS
 *	HEAD	the request is out (or going out); the response's head has not come
 *	BODY	its body is coming
 *	DONE	over; on_done was or will never be called
 * A connection that was idle may have been closed by the server at that very
 * moment: a call without side effects that dies on such a one before any answer
 * is sent once more, on a new connection (as Go's transport does).
 */
#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>

#include <event2/buffer.h>

#include "http/dial.h"
#include "http/internal.h"

#define CLIENT_IDLE_MS 90000
#define CLIENT_IDLE_MAX 16
#define CLIENT_CONNECT_MS 10000
#define CLIENT_HEAD_MS 30000

enum call_state { CALL_DIAL, CALL_HEAD, CALL_BODY, CALL_DONE };
enum call_framing { CALL_NO_BODY, CALL_LENGTH, CALL_CHUNKED, CALL_TO_EOF };

struct client_conn {
	struct http_client *cl;
	struct conn *io;
	struct http_call *call; /* NULL: idle */
	bool reused, open;
	int64_t idle_since;
	TAILQ_ENTRY(client_conn) link; /* in cl->idle or cl->busy */
};

struct http_call {
	struct http_client *cl;
	struct http_exchange *x;
	struct client_conn *conn;
	struct dial *dial;
	struct loop_timer *timer;
	struct loop_task start; /* goes on with an fd that a dial function gave at once */
	int fd;
	int refs;
	enum call_state state;
	enum call_framing framing;
	int64_t left;
	struct http1_chunked chunk;
	struct evbuffer *early; /* of a streamed body, before there is a connection; NULL: nothing */
	bool keep, retried, paused, wants_upgrade;
	bool body_out; /* the request's body is complete */
	TAILQ_ENTRY(http_call) link;
};

struct http_client {
	struct http_client_config cfg;
	char *host, *server_name;
	struct tls *tls;
	TAILQ_HEAD(client_conn_list, client_conn) idle, busy; /* idle: longest first */
	TAILQ_HEAD(, http_call) calls;
	struct loop_timer *idle_timer;
	bool closing;
};

static void call_run(struct http_call *k);
static void call_start(struct http_call *k, bool fresh);
static void call_fail_conn(struct http_call *k, const struct err *e);

/* --- connections --- */

static void client_conn_free(struct client_conn *c)
{
	if (c->call)
		TAILQ_REMOVE(&c->cl->busy, c, link);
	else
		TAILQ_REMOVE(&c->cl->idle, c, link);
	conn_free(c->io);
	free(c);
}

static void client_idle_expire(void *arg)
{
	struct http_client *cl = arg;
	int64_t now = loop_now_ms(cl->cfg.loop);
	struct client_conn *c;

	while ((c = TAILQ_FIRST(&cl->idle)) && c->idle_since + CLIENT_IDLE_MS <= now)
		client_conn_free(c);
	if (c)
		loop_timer_set(cl->idle_timer, c->idle_since + CLIENT_IDLE_MS - now);
}

static void client_conn_park(struct client_conn *c)
{
	struct http_client *cl = c->cl;
	struct client_conn *i;
	int n = 0;

	TAILQ_REMOVE(&cl->busy, c, link);
	c->call = NULL;
	c->reused = true;
	c->idle_since = loop_now_ms(cl->cfg.loop);
	TAILQ_INSERT_TAIL(&cl->idle, c, link);
	conn_read(c->io, true);
	TAILQ_FOREACH(i, &cl->idle, link)
		n++;
	if (n > CLIENT_IDLE_MAX)
		client_conn_free(TAILQ_FIRST(&cl->idle));
	if (!loop_timer_is_set(cl->idle_timer))
		loop_timer_set(cl->idle_timer, CLIENT_IDLE_MS);
}

/* --- the end of a call --- */

static void call_unref(struct http_call *k)
{
	if (--k->refs)
		return;
	if (k->early)
		evbuffer_free(k->early);
	free(k);
}

/* Gives up what the call holds. reuse: its connection may serve another. */
static void call_detach(struct http_call *k, bool reuse)
{
	struct client_conn *c = take_ptr(&k->conn);

	k->dial = dial_cancel(k->dial);
	k->fd = close_fd(k->fd);
	loop_undefer(k->cl->cfg.loop, &k->start);
	if (!c)
		return;
	if (reuse && !conn_is_eof(c->io) && conn_queued(c->io) == 0 && evbuffer_get_length(conn_input(c->io)) == 0)
		client_conn_park(c);
	else
		client_conn_free(c);
}

static void call_end(struct http_call *k, bool reuse)
{
	if (k->state == CALL_DONE)
		return;
	k->state = CALL_DONE;
	call_detach(k, reuse);
	k->timer = loop_timer_free(k->timer);
	TAILQ_REMOVE(&k->cl->calls, k, link);
	k->x->impl = NULL;
}

/* The last thing done with a call: its user may free everything from in there. */
static void call_finish(struct http_call *k, const struct err *e)
{
	struct http_exchange *x = k->x;

	if (k->state == CALL_DONE)
		return;
	call_end(k, !e && k->keep && k->body_out);
	call_unref(k);
	x->on_done(x, e);
}

static void call_fail(struct http_call *k, int eno, const char *what)
{
	_cleanup_err_ struct err e = ERR_INIT;
	struct http_client *cl = k->cl;

	err_errno(&e, eno, "%.*s %s of %s:%d: %s", 16, k->x->method, k->x->target, cl->host, cl->cfg.port, what);
	call_finish(k, &e);
}

static void call_timeout(void *arg)
{
	struct http_call *k = arg;

	call_fail(k, ETIMEDOUT, k->state == CALL_DIAL ? "no connection in time" : "no answer in time");
}

/* --- sending --- */

/* The answer's head is awaited from the request's end on. */
static void call_await_head(struct http_call *k)
{
	int ms = k->x->timeout_ms;

	if (ms < 0 || !k->body_out)
		loop_timer_clear(k->timer);
	else
		loop_timer_set(k->timer, ms ? ms : CLIENT_HEAD_MS);
}

/* How the request's body is framed, in its head. */
static void call_frame_request(const struct http_exchange *x, struct buf *b)
{
	bool writes = strcmp(x->method, "POST") == 0 || strcmp(x->method, "PUT") == 0 || strcmp(x->method, "PATCH") == 0;
	int64_t n = x->streams ? x->body_length : (int64_t)x->body.n;

	if (n < 0)
		buf_adds(b, "Transfer-Encoding: chunked\r\n");
	else if (n > 0 || writes)
		buf_addf(b, "Content-Length: %lld\r\n", (long long)n);
}

static void call_write(struct http_call *k)
{
	struct http_exchange *x = k->x;
	struct http_client *cl = k->cl;
	_cleanup_buf_ struct buf b = BUF_INIT;
	bool host = false;
	struct evbuffer *out = conn_out(k->conn->io);

	buf_addf(&b, "%s %s HTTP/1.1\r\n", x->method, x->target);
	for (size_t i = 0; i < x->n_headers; i++) {
		host = host || str_ieq(x->headers[i].name, STR_LIT("Host"));
		k->wants_upgrade = k->wants_upgrade || str_ieq(x->headers[i].name, STR_LIT("Upgrade"));
		buf_addf(&b, "%" STR_FMT ": %" STR_FMT "\r\n", STR_ARG(x->headers[i].name), STR_ARG(x->headers[i].value));
	}
	if (!host)
		buf_addf(&b, strchr(cl->host, ':') ? "Host: [%s]:%d\r\n" : "Host: %s:%d\r\n", cl->host, cl->cfg.port);
	call_frame_request(x, &b);
	buf_adds(&b, "\r\n");
	evbuffer_add(out, b.s, b.len);
	if (!x->streams)
		evbuffer_add(out, x->body.p, x->body.n);
	else if (k->early)
		evbuffer_add_buffer(out, k->early);
	conn_push(k->conn->io);
	k->state = CALL_HEAD;
	call_await_head(k);
}

/* Where a streamed body goes for now; NULL: nowhere any more. */
static struct evbuffer *call_body_out(struct http_call *k)
{
	if (!k || k->state == CALL_DONE || k->body_out)
		return NULL;
	if (k->state != CALL_DIAL)
		return conn_out(k->conn->io);
	if (!k->early)
		k->early = evbuffer_new();
	BUG_ON(!k->early);
	return k->early;
}

static void call_body_push(struct http_call *k)
{
	if (k->state != CALL_DIAL)
		conn_push(k->conn->io);
}

void http_exchange_write(struct http_exchange *x, struct str data)
{
	struct evbuffer *out = call_body_out(x->impl);

	if (!out || !data.n)
		return;
	if (x->body_length < 0)
		evbuffer_add_printf(out, "%zx\r\n", data.n);
	evbuffer_add(out, data.p, data.n);
	if (x->body_length < 0)
		evbuffer_add(out, "\r\n", 2);
	call_body_push(x->impl);
}

void http_exchange_write_end(struct http_exchange *x)
{
	struct http_call *k = x->impl;
	struct evbuffer *out = call_body_out(k);

	if (!out)
		return;
	if (x->body_length < 0)
		evbuffer_add(out, "0\r\n\r\n", 5);
	k->body_out = true;
	call_body_push(k);
	if (k->state == CALL_HEAD)
		call_await_head(k);
}

size_t http_exchange_queued(const struct http_exchange *x)
{
	const struct http_call *k = x->impl;

	if (!k || k->state == CALL_DONE)
		return 0;
	if (k->state == CALL_DIAL)
		return k->early ? evbuffer_get_length(k->early) : 0;
	return conn_queued(k->conn->io);
}

/* --- what a connection tells --- */

static void client_on_open(void *arg)
{
	struct client_conn *c = arg;

	c->open = true;
	if (c->call)
		call_write(c->call);
}

static void client_on_input(void *arg)
{
	struct client_conn *c = arg;

	if (c->call)
		call_run(c->call);
	else if (conn_is_eof(c->io) || evbuffer_get_length(conn_input(c->io)))
		client_conn_free(c); /* nothing was asked */
}

static void client_on_drain(void *arg)
{
	struct client_conn *c = arg;

	if (c->call && c->call->x->on_drain)
		c->call->x->on_drain(c->call->x);
}

static void client_on_dead(void *arg, const struct err *e)
{
	struct client_conn *c = arg;

	if (c->call)
		call_fail_conn(c->call, e);
	else
		client_conn_free(c);
}

static const struct conn_ops client_conn_ops = {
	.on_open = client_on_open,
	.on_input = client_on_input,
	.on_eof = client_on_input,
	.on_drain = client_on_drain,
	.on_dead = client_on_dead,
};

static void call_use_fd(struct http_call *k, int fd)
{
	struct http_client *cl = k->cl;
	struct client_conn *c = xcalloc(1, sizeof(*c));

	c->cl = cl;
	c->io = conn_new(cl->cfg.loop, fd, cl->tls, cl->server_name);
	conn_set_release(c->io, NULL, cl);
	conn_set_ops(c->io, &client_conn_ops, c);
	c->call = k;
	k->conn = c;
	TAILQ_INSERT_TAIL(&cl->busy, c, link);
	conn_read(c->io, true);
	if (!cl->tls)
		client_on_open(c);
}

static void call_dialled(void *arg, int fd, const struct err *e)
{
	struct http_call *k = arg;

	k->dial = NULL;
	if (e)
		call_finish(k, e);
	else
		call_use_fd(k, fd);
}

static void call_start_task(struct loop_task *t)
{
	struct http_call *k = CONTAINER_OF(t, struct http_call, start);
	int fd = take_fd(&k->fd);

	if (fd < 0)
		call_fail(k, fd == -1 ? ECONNREFUSED : -fd, "connect");
	else
		call_use_fd(k, fd);
}

static void call_start(struct http_call *k, bool fresh)
{
	struct http_client *cl = k->cl;
	struct client_conn *c = TAILQ_LAST(&cl->idle, client_conn_list);
	int ms = cl->cfg.connect_timeout_ms > 0 ? cl->cfg.connect_timeout_ms : CLIENT_CONNECT_MS;

	k->state = CALL_DIAL;
	memset(&k->chunk, 0, sizeof(k->chunk));
	if (c && !fresh) {
		TAILQ_REMOVE(&cl->idle, c, link);
		TAILQ_INSERT_TAIL(&cl->busy, c, link);
		c->call = k;
		k->conn = c;
		call_write(k);
		return;
	}
	loop_timer_set(k->timer, ms);
	if (!cl->cfg.dial) {
		k->dial = dial_start(cl->cfg.loop, cl->host, cl->cfg.port, ms, call_dialled, k);
		return;
	}
	k->fd = cl->cfg.dial(cl->cfg.arg);
	loop_defer(cl->cfg.loop, &k->start);
}

/* --- receiving --- */

static bool call_may_repeat(const struct http_exchange *x)
{
	if (x->streams)
		return false;
	return strcmp(x->method, "GET") == 0 || strcmp(x->method, "HEAD") == 0 || strcmp(x->method, "OPTIONS") == 0;
}

/* The connection failed under the call, or ended where it should not (e NULL). */
static void call_fail_conn(struct http_call *k, const struct err *e)
{
	_cleanup_err_ struct err mine = ERR_INIT;

	if (k->state == CALL_HEAD && k->conn->reused && !k->retried && call_may_repeat(k->x)) {
		k->retried = true;
		call_detach(k, false);
		call_start(k, true);
		return;
	}
	if (!e)
		err_errno(&mine, ECONNRESET, "the server closed the connection");
	else
		err_copy(&mine, e);
	err_wrap(&mine, "%s of %s:%d", k->x->method, k->cl->host, k->cl->cfg.port);
	call_finish(k, &mine);
}

/* 101: the connection leaves the client for good. */
static void call_upgraded(struct http_call *k, struct http_head *h)
{
	struct client_conn *c = take_ptr(&k->conn);
	struct http_exchange *x = k->x;

	x->status = h->status;
	TAILQ_REMOVE(&k->cl->busy, c, link);
	conn_set_release(c->io, NULL, NULL);
	x->upgraded = stream_from_conn(c->io);
	free(c);
	if (x->on_head)
		x->on_head(x, h);
	http_head_release(h);
	call_finish(k, NULL);
}

static void call_frame_body(struct http_call *k, const struct http_head *h)
{
	k->left = h->content_length;
	k->keep = h->keep_alive;
	if (strcmp(k->x->method, "HEAD") == 0 || h->status == 204 || h->status == 304 ||
	    (!h->chunked && h->content_length == 0))
		k->framing = CALL_NO_BODY;
	else if (h->chunked)
		k->framing = CALL_CHUNKED;
	else if (h->content_length > 0)
		k->framing = CALL_LENGTH;
	else
		k->framing = CALL_TO_EOF;
	k->keep = k->keep && k->framing != CALL_TO_EOF;
	k->state = CALL_BODY;
}

/* True: look again. */
static bool call_read_head(struct http_call *k)
{
	struct evbuffer *in = conn_input(k->conn->io);
	size_t n = evbuffer_get_length(in), used;
	struct http_exchange *x = k->x;
	struct http_head h;

	if (n == 0)
		return false;
	if (n > LIMIT_HEADER_BYTES + 8)
		n = LIMIT_HEADER_BYTES + 8;
	switch (http1_parse_response(&h, str_n((char *)evbuffer_pullup(in, (ev_ssize_t)n), n), &used)) {
	case HTTP_MORE:
		return false;
	case HTTP_BAD:
		call_fail(k, EPROTO, "malformed answer");
		return true;
	default:
		break;
	}
	evbuffer_drain(in, used);
	if (h.status == 101 && k->wants_upgrade) {
		call_upgraded(k, &h);
		return true;
	}
	if (h.status < 200) {
		http_head_release(&h);
		return true;
	}
	loop_timer_clear(k->timer);
	x->status = h.status;
	call_frame_body(k, &h);
	if (x->on_head)
		x->on_head(x, &h);
	http_head_release(&h);
	return true;
}

/* False: over the limit, and the call has ended. */
static bool call_give(struct http_call *k, struct str data)
{
	struct http_exchange *x = k->x;
	size_t max = x->max_body ? x->max_body : LIMIT_BODY_BYTES;

	if (data.n == 0)
		return true;
	if (x->on_data) {
		x->on_data(x, data);
		return k->state == CALL_BODY;
	}
	if (x->resp_body.len + data.n > max) {
		call_fail(k, EMSGSIZE, "the answer is too large");
		return false;
	}
	buf_add(&x->resp_body, data.p, data.n);
	return true;
}

static bool call_read_chunked(struct http_call *k, struct evbuffer *in, struct str piece)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	size_t used;
	enum http_parse p = http1_chunked_read(&k->chunk, piece, &used, &b);

	evbuffer_drain(in, used);
	if (p == HTTP_BAD)
		call_fail(k, EPROTO, "malformed chunked answer");
	else if (call_give(k, buf_str(&b)) && p == HTTP_DONE)
		call_finish(k, NULL);
	return true;
}

static bool call_read_body(struct http_call *k)
{
	struct evbuffer *in;
	struct str piece;

	if (k->framing == CALL_NO_BODY || (k->framing == CALL_LENGTH && k->left == 0)) {
		call_finish(k, NULL);
		return true;
	}
	in = conn_input(k->conn->io);
	piece.n = evbuffer_get_contiguous_space(in);
	if (piece.n == 0 || k->paused)
		return false;
	piece.p = (char *)evbuffer_pullup(in, (ev_ssize_t)piece.n);
	if (k->framing == CALL_CHUNKED)
		return call_read_chunked(k, in, piece);
	if (k->framing == CALL_LENGTH) {
		piece.n = (int64_t)piece.n < k->left ? piece.n : (size_t)k->left;
		k->left -= (int64_t)piece.n;
	}
	if (call_give(k, piece))
		evbuffer_drain(in, piece.n);
	return true;
}

static void call_run(struct http_call *k)
{
	bool more = true;

	k->refs++;
	while (more && (k->state == CALL_HEAD || k->state == CALL_BODY))
		more = k->state == CALL_HEAD ? call_read_head(k) : call_read_body(k);
	if (k->state != CALL_DONE && k->conn && conn_is_eof(k->conn->io) && !k->paused) {
		if (k->state == CALL_BODY && k->framing == CALL_TO_EOF)
			call_finish(k, NULL);
		else
			call_fail_conn(k, NULL);
	}
	call_unref(k);
}

/* --- the public face --- */

struct http_client *http_client_new(const struct http_client_config *cfg)
{
	struct http_client *cl = xcalloc(1, sizeof(*cl));

	cl->cfg = *cfg;
	cl->host = xstrdup(cfg->host ? cfg->host : "localhost");
	cl->server_name = xstrdup(cfg->server_name ? cfg->server_name : cl->host);
	cl->tls = tls_ref(cfg->tls);
	TAILQ_INIT(&cl->idle);
	TAILQ_INIT(&cl->busy);
	TAILQ_INIT(&cl->calls);
	cl->idle_timer = loop_timer_new(cfg->loop, client_idle_expire, cl);
	if (!cfg->dial)
		dial_hold(cfg->loop);
	return cl;
}

struct http_client *http_client_free(struct http_client *cl)
{
	struct http_call *k;
	struct client_conn *c;

	if (!cl)
		return NULL;
	cl->closing = true;
	while ((k = TAILQ_FIRST(&cl->calls)))
		call_fail(k, ECANCELED, "the client is closing");
	while ((c = TAILQ_FIRST(&cl->idle)))
		client_conn_free(c);
	conn_cut(cl);
	if (!cl->cfg.dial)
		dial_release(cl->cfg.loop);
	loop_timer_free(cl->idle_timer);
	tls_free(cl->tls);
	free(cl->host);
	free(cl->server_name);
	free(cl);
	return NULL;
}

void http_client_send(struct http_client *cl, struct http_exchange *x)
{
	struct http_call *k;

	x->status = 0;
	x->upgraded = NULL;
	x->impl = NULL;
	buf_init(&x->resp_body);
	if (cl->closing) {
		_cleanup_err_ struct err e = ERR_INIT;

		err_errno(&e, ECANCELED, "%s of %s: the client is closing", x->method, x->target);
		x->on_done(x, &e);
		return;
	}
	k = xcalloc(1, sizeof(*k));
	k->cl = cl;
	k->x = x;
	k->refs = 1;
	k->fd = -1;
	k->body_out = !x->streams;
	k->start.run = call_start_task;
	k->timer = loop_timer_new(cl->cfg.loop, call_timeout, k);
	x->impl = k;
	TAILQ_INSERT_TAIL(&cl->calls, k, link);
	call_start(k, false);
}

void http_client_cancel(struct http_exchange *x)
{
	struct http_call *k = x->impl;

	if (!k)
		return;
	call_end(k, false);
	call_unref(k);
	buf_release(&x->resp_body);
}

void http_exchange_pause(struct http_exchange *x, bool paused)
{
	struct http_call *k = x->impl;

	if (!k || k->paused == paused)
		return;
	k->paused = paused;
	if (k->conn) {
		conn_read(k->conn->io, !paused);
		if (!paused)
			conn_kick(k->conn->io);
	}
}
