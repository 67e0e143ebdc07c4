/*
 * Connections to endpoints. One serves a request at a time and is kept for the next
 * when both sides have said all and said so cleanly; whatever comes on one that is
 * idle ends it. An answer goes on as it comes; one that breaks off takes the
 * client's connection with it, so that nobody takes a part for the whole.
 */
#include "svc/ingress.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#include "base/time.h"

#define UP_IDLE_EACH 64 /* kept for one endpoint */
#define UP_IDLE_ALL 1024

/* --- life --- */

static void up_leave_idle(struct ing_up *u)
{
	struct ing *g = u->io.ing;

	TAILQ_REMOVE(&u->ep->idle, u, link);
	TAILQ_REMOVE(&g->idle_ups, u, lru);
	u->ep->n_idle--;
	g->n_idle_ups--;
}

void ing_up_cut(struct ing_up *u)
{
	if (u->conn)
		u->conn->r.up = NULL;
	else
		up_leave_idle(u);
	ing_io_release(&u->io);
	ing_endpoint_unref(u->ep);
	tls_free(u->tls);
	free(u->server_name);
	free(u);
}

void ing_up_put(struct ing_up *u)
{
	struct ing *g = u->io.ing;
	struct ing_endpoint *e = u->ep;

	if (e->gone || e->n_idle >= UP_IDLE_EACH || u->io.eof || u->io.broken) {
		ing_up_cut(u);
		return;
	}
	if (g->n_idle_ups >= UP_IDLE_ALL)
		ing_up_cut(TAILQ_FIRST(&g->idle_ups));
	u->conn->r.up = NULL;
	u->conn = NULL;
	u->used = true;
	u->idle_ms = loop_now_ms(g->loop);
	TAILQ_INSERT_HEAD(&e->idle, u, link);
	TAILQ_INSERT_TAIL(&g->idle_ups, u, lru);
	e->n_idle++;
	g->n_idle_ups++;
	ing_io_watch(&u->io, true);
	if (g->n_idle_ups == 1)
		ing_sweep_by(g, u->idle_ms + ING_UP_IDLE_MS);
}

void ing_up_failed(struct ing_conn *c, int status)
{
	struct ing_req *r = &c->r;

	if (r->up)
		ing_up_cut(r->up);
	r->ep->failed_until_ms = loop_now_ms(c->ing->loop) + ING_REST_MS;
	r->ep_failed = true;
	r->status = status;
	c->ing->stats.retries++;
	ing_conn_ask(c);
}

/* It has the socket; TLS may still have to be spoken. 0: open; -EAGAIN; else it failed. */
static int up_open(struct ing_up *u)
{
	struct err e = ERR_INIT;
	int r = 0;

	if (!u->tls) {
		u->io.open = true;
		return 0;
	}
	if (!u->io.tls)
		u->io.tls = tls_sock_new(u->tls, u->io.fd, u->server_name);
	r = ing_io_handshake(&u->io, &e);
	err_release(&e);
	return r;
}

static int up_connected(struct ing_up *u)
{
	int error = 0;
	socklen_t len = sizeof(error);

	if (u->io.tls)
		return up_open(u);
	if (getsockopt(u->io.fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0 || error)
		return error ? -error : -EIO;
	return up_open(u);
}

static void up_on_event(void *arg, int what)
{
	struct ing_up *u = arg;
	struct ing_conn *c = u->conn;
	int r;

	if (!c) { /* nobody asked anything */
		ing_up_cut(u);
		return;
	}
	c->since_ms = loop_now_ms(c->ing->loop);
	if (!u->io.open) {
		r = up_connected(u);
		if (r == -EAGAIN) {
			ing_io_watch(&u->io, false);
			return;
		}
		if (r < 0)
			ing_up_failed(c, 502);
	} else if (what & LOOP_READ) {
		ing_io_read(&u->io, c->r.head_sent ? ING_BLOCK : ING_HEAD_MAX + 1);
	}
	ing_conn_run(c);
}

static int up_new(struct ing_up **ret, struct ing_conn *c, struct ing_endpoint *ep)
{
	int fd = socket(ep->sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1, r;
	struct ing_up *u;

	if (fd < 0)
		return -errno;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	r = connect(fd, (struct sockaddr *)&ep->sa, ep->sa_len) < 0 ? -errno : 0;
	if (r && r != -EINPROGRESS) {
		close_fd(fd);
		return r;
	}
	u = xcalloc(1, sizeof(*u));
	ing_io_init(&u->io, c->ing, fd);
	u->ep = ep;
	ep->refs++;
	ing_io_start(&u->io, up_on_event, u, LOOP_WRITE);
	*ret = u;
	return 0;
}

static struct tls *up_tls(struct ing_backend *b)
{
	/* As nginx: what proves an endpoint's identity is not known, so anybody's certificate will do. */
	struct tls_config cfg = { .insecure = true };
	struct err e = ERR_INIT;

	if (!b->tls && tls_new(&b->tls, &cfg, false, &e) < 0)
		err_release(&e);
	return b->tls;
}

int ing_up_get(struct ing_conn *c, struct ing_endpoint *ep, bool fresh)
{
	struct ing_up *u = fresh ? NULL : TAILQ_FIRST(&ep->idle);
	bool tls = c->r.ingress->set.backend_tls;
	int r;

	if (u && !!u->tls == tls) {
		up_leave_idle(u);
	} else {
		if (tls && !up_tls(c->r.backend))
			return -ENOMEM;
		r = up_new(&u, c, ep);
		if (r < 0)
			return r;
		u->tls = tls ? tls_ref(c->r.backend->tls) : NULL;
		u->server_name = tls ? xstrdup(c->r.target.host) : NULL;
	}
	u->conn = c;
	c->r.up = u;
	return 0;
}

/* --- the answer --- */

/* The connection ended, or failed, before a head came. One that had been kept may have been closed by the endpoint
 * just as the request went out: that is asked again, when asking twice does no harm. */
static void up_lost(struct ing_conn *c)
{
	struct ing_req *r = &c->r;
	struct str m = r->head.method;
	bool harmless = str_eqc(m, "GET") || str_eqc(m, "HEAD") || str_eqc(m, "OPTIONS") || str_eqc(m, "PUT") ||
			str_eqc(m, "DELETE") || str_eqc(m, "TRACE");
	bool used = r->up->used, nothing = !r->up->io.in.len;

	ing_up_cut(r->up);
	if (harmless && nothing && !r->body_seen && used && !r->fresh) {
		r->fresh = true;
		r->tries--;
		c->ing->stats.retries++;
		ing_conn_ask(c);
	} else if (harmless && nothing && !r->body_seen && r->body_done) {
		r->ep_failed = true;
		r->status = 502;
		c->ing->stats.retries++;
		ing_conn_ask(c);
	} else {
		ing_conn_answer(c, 502, NULL);
	}
}

/* Between the request and its answer: 103 Early Hints and what else is only news. */
static void up_news(struct ing_conn *c, const struct http_head *h)
{
	struct ing_answer a = { .length = -1, .keep_alive = true };
	struct buf *b = &c->ing->head;

	if (h->status == 100 || c->r.head.minor < 1)
		return;
	buf_clear(b);
	ing_head_answer(b, h, &a);
	ing_io_put(&c->io, b->s, b->len);
}

static void up_cookie(struct ing_conn *c, struct buf *out)
{
	const struct ing_req *r = &c->r;

	ing_cookie_print(out, &r->ingress->set, r->ep->mark, r->rule_path && *r->rule_path ? r->rule_path : "/",
			 time_wall_s());
}

static void up_send_head(struct ing_conn *c, const struct http_head *h)
{
	_cleanup_buf_ struct buf cookie = BUF_INIT;
	struct ing_req *r = &c->r;
	struct buf *b = &c->ing->head;
	bool to_head = str_eqc(r->head.method, "HEAD");
	/* A request that is not there yet will not be read to its end. */
	struct ing_answer a = { .old = r->head.minor < 1, .keep_alive = r->keep_alive && r->body_done };

	r->status = h->status;
	r->framing = ing_head_framing(h, to_head);
	r->resp_left = r->framing == ING_LENGTH ? h->content_length : 0;
	r->resp_dechunk = (struct http1_chunked){ 0 };
	ing_answer_frame(&a, h, r->framing, to_head);
	r->out_chunked = a.chunked;
	r->keep_alive = a.keep_alive;
	if (r->give_cookie) {
		up_cookie(c, &cookie);
		a.set_cookie = cookie.s;
	}
	buf_clear(b);
	ing_head_answer(b, h, &a);
	ing_io_put(&c->io, b->s, b->len);
	r->head_sent = true;
	r->up_us = time_mono_us() - r->up_start_us;
	r->up_close = !h->keep_alive;
}

/* True: a head went on to the client, and a body may follow. */
static bool up_head(struct ing_conn *c)
{
	struct ing_req *r = &c->r;
	struct http_head h;
	size_t n;

	for (;;) {
		enum http_parse p;

		if (!r->up || c->io.out.len > ING_HIGH)
			return false;
		p = r->up->io.in.len ? http1_parse_response(&h, ing_in(&r->up->io), &n) : HTTP_MORE;
		if (p == HTTP_MORE && r->up->io.in.len > ING_HEAD_MAX)
			p = HTTP_BAD;
		if (p == HTTP_MORE && (r->up->io.eof || r->up->io.broken)) {
			up_lost(c);
			return false;
		}
		if (p == HTTP_MORE)
			return false;
		if (p == HTTP_DONE && n > ING_HEAD_MAX) {
			http_head_release(&h);
			p = HTTP_BAD;
		}
		if (p == HTTP_BAD || (h.status == 101 && !r->upgrade)) {
			if (p == HTTP_DONE)
				http_head_release(&h);
			ing_up_cut(r->up);
			ing_conn_answer(c, 502, NULL);
			return false;
		}
		ing_io_eat(&r->up->io, n);
		if (h.status < 200 && h.status != 101) {
			up_news(c, &h);
			http_head_release(&h);
			continue;
		}
		up_send_head(c, &h);
		if (h.status == 101)
			ing_conn_tunnel(c);
		http_head_release(&h);
		return true;
	}
}

static void up_put_chunk(struct ing_conn *c, const char *p, size_t n)
{
	static const char digits[] = "0123456789abcdef";
	char head[20];
	size_t at = sizeof(head);

	c->r.bytes_out += (int64_t)n;
	if (!c->r.out_chunked) {
		ing_io_put(&c->io, p, n);
		return;
	}
	head[--at] = '\n';
	head[--at] = '\r';
	for (size_t v = n; v; v >>= 4)
		head[--at] = digits[v & 15];
	ing_io_put(&c->io, head + at, sizeof(head) - at);
	ing_io_put(&c->io, p, n);
	ing_io_put(&c->io, "\r\n", 2);
}

static size_t up_room(const struct ing_conn *c)
{
	return c->io.out.len < ING_HIGH ? ING_HIGH - c->io.out.len : 0;
}

/* Passes on what came. 1: that was all; 0: more is to come; -1: it is no body. */
static int up_body(struct ing_conn *c)
{
	struct ing_req *r = &c->r;
	struct ing_io *in = &r->up->io;
	size_t n = in->in.len < up_room(c) ? in->in.len : up_room(c);
	struct buf *b = &c->ing->scratch;
	enum http_parse p;

	switch (r->framing) {
	case ING_NO_BODY:
		return 1;
	case ING_LENGTH:
		n = (int64_t)n < r->resp_left ? n : (size_t)r->resp_left;
		r->resp_left -= (int64_t)n;
		break;
	case ING_CHUNKED:
		buf_clear(b);
		if (!in->in.len || !n)
			return 0;
		p = http1_chunked_read(&r->resp_dechunk, str_n(in->in.p + in->in.off, n), &n, b);
		ing_io_eat(in, n);
		if (b->len)
			up_put_chunk(c, b->s, b->len);
		return p == HTTP_MORE ? 0 : p == HTTP_DONE ? 1 : -1;
	case ING_TO_END:
		break;
	}
	if (n)
		up_put_chunk(c, in->in.p + in->in.off, n);
	ing_io_eat(in, n);
	if (r->framing == ING_LENGTH)
		return r->resp_left == 0;
	return in->eof && !in->in.len;
}

static void up_end(struct ing_conn *c)
{
	struct ing_req *r = &c->r;
	struct ing_up *u = r->up;

	if (r->out_chunked)
		ing_io_put(&c->io, "0\r\n\r\n", 5);
	r->answered = true;
	if (r->up_close || !r->body_done || u->io.out.len || u->io.in.len || u->io.maybe || r->framing == ING_TO_END)
		ing_up_cut(u);
	else
		ing_up_put(u);
}

void ing_up_pump(struct ing_conn *c)
{
	struct ing_req *r = &c->r;
	int end;

	if (!r->up || !r->up->io.open)
		return;
	if (!r->head_sent && !up_head(c))
		return;
	if (c->state != ING_REQUEST || !r->up)
		return;
	end = up_body(c);
	if (end > 0)
		up_end(c);
	else if (end < 0 || ((r->up->io.eof || r->up->io.broken) && !r->up->io.in.len))
		r->cut = true;
}
