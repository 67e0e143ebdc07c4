/*
 * A client's connection: heads come in, requests find their way by the table, bodies
 * go through without being gathered. Whatever happens only records what it is; then
 * ing_conn_run takes every step that is possible, sends what is there, and says what
 * is waited for, and until when.
 */
#include "svc/ingress.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>

#include "base/limits.h"
#include "base/time.h"

#define CONN_IDLE_MS 75000 /* nothing asked on a connection that is kept; as nginx */
#define CONN_STALL_MS 60000 /* a body that does not come, an answer that nobody reads */
#define CONN_TUNNEL_MS 3600000 /* an upgraded connection that is silent both ways */
#define CONN_LINGER_MS 3000
#define CONN_TRIES 3
#define CONN_ROUNDS 32 /* steps in one turn, so that the others have theirs */

/* --- life --- */

static void conn_drop(struct ing_conn *c)
{
	struct ing *g = c->ing;

	ing_conn_release(c);
	if (c->idle)
		TAILQ_REMOVE(&g->idle, c, idle_link);
	TAILQ_REMOVE(&g->conns, c, link);
	g->n_conns--;
	loop_undefer(g->loop, &c->again);
	ing_io_release(&c->io);
	free(c);
}

void ing_conn_cut(struct ing_conn *c)
{
	if (c->running)
		c->dead = true;
	else
		conn_drop(c);
}

static void conn_set_idle(struct ing_conn *c, bool idle)
{
	if (c->idle == idle)
		return;
	c->idle = idle;
	if (idle)
		TAILQ_INSERT_TAIL(&c->ing->idle, c, idle_link);
	else
		TAILQ_REMOVE(&c->ing->idle, c, idle_link);
}

void ing_conn_release(struct ing_conn *c)
{
	struct ing_req *r = &c->r;

	if (!r->start_us)
		return;
	if (r->up)
		ing_up_cut(r->up);
	ing_count(c);
	ing_log_request(c);
	ing_limit_give(r->client);
	ing_endpoint_unref(r->ep);
	http_head_release(&r->head);
	free(r->rewritten);
	ing_ingress_unref(r->ingress);
	memset(r, 0, sizeof(*r));
	c->resolve_wait = false;
}

/* --- answers of our own --- */

static void conn_linger(struct ing_conn *c)
{
	c->state = ING_LINGER;
	c->head_ms = loop_now_ms(c->ing->loop);
	c->shut = false;
}

static void answer_text(int status, struct buf *out)
{
	if (status == 404)
		buf_adds(out, "404 page not found\n");
	else
		buf_addf(out, "%d %s\n", status, http_status_text(status));
}

void ing_conn_answer(struct ing_conn *c, int status, const char *location)
{
	struct ing_req *r = &c->r;
	_cleanup_buf_ struct buf text = BUF_INIT, head = BUF_INIT;
	bool keep = r->keep_alive && r->body_done;

	if (r->up)
		ing_up_cut(r->up);
	r->status = status;
	if (r->head_sent) {
		r->cut = true;
		return;
	}
	answer_text(status, &text);
	buf_addf(&head, "HTTP/1.1 %d %s\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: %zu\r\n", status,
		 http_status_text(status), text.len);
	if (location)
		buf_addf(&head, "Location: %s\r\n", location);
	buf_adds(&head, !keep ? "Connection: close\r\n\r\n" : r->head.minor < 1 ? "Connection: keep-alive\r\n\r\n" : "\r\n");
	ing_io_put(&c->io, head.s, head.len);
	if (!str_eqc(r->head.method, "HEAD")) {
		ing_io_put(&c->io, text.s, text.len);
		r->bytes_out = (int64_t)text.len;
	}
	r->head_sent = r->answered = true;
	r->keep_alive = keep;
}

/* --- a request: where to --- */

static bool request_allowed(const struct ing_conn *c, const struct ing_settings *s)
{
	for (size_t i = 0; i < s->allow.n; i++)
		if (net_prefix_has(&s->allow.v[i], &c->peer))
			return true;
	return !s->allow.n;
}

static void request_redirect(struct ing_conn *c, int status, const char *path_or_null)
{
	struct ing_req *r = &c->r;
	_cleanup_buf_ struct buf to = BUF_INIT;

	if (path_or_null) {
		ing_conn_answer(c, status, path_or_null);
		return;
	}
	buf_addf(&to, "https://%s", r->target.host);
	if (c->ing->svc->cfg.ingress_https_port != 443)
		buf_addf(&to, ":%d", c->ing->svc->cfg.ingress_https_port);
	buf_addstr(&to, r->head.path);
	if (r->head.query.p) {
		buf_addch(&to, '?');
		buf_addstr(&to, r->head.query);
	}
	ing_conn_answer(c, status, to.s);
}

static bool request_wants_tls(const struct ing_conn *c, const struct ing_settings *s)
{
	if (c->tls || s->redirect == ING_NO_REDIRECT)
		return false;
	return s->redirect == ING_REDIRECT_ALL || ing_certs_has(c->ing, c->r.target.host);
}

/* What its Ingress says of it before an endpoint is asked. True: it is answered. */
static bool request_checked(struct ing_conn *c, struct str path)
{
	struct ing_req *r = &c->r;
	const struct ing_settings *s = &r->ingress->set;

	if (!request_allowed(c, s))
		ing_conn_answer(c, 403, NULL);
	else if (request_wants_tls(c, s))
		request_redirect(c, 308, NULL);
	else if (!ing_limit_take(r->ingress, c, loop_now_ms(c->ing->loop), &r->client))
		ing_conn_answer(c, 503, NULL);
	else if (s->body_max && r->head.content_length > s->body_max)
		ing_conn_answer(c, 413, NULL);
	else if (s->app_root && str_eqc(path, "/"))
		request_redirect(c, 302, s->app_root);
	else
		return false;
	return true;
}

static void request_settle_target(struct ing_req *r)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	const struct ing_settings *s = &r->ingress->set;

	if (s->rewrite) {
		ing_rewrite(&b, &r->head, r->rule_path ? r->rule_path : "/", s->rewrite);
		r->rewritten = buf_detach(&b, NULL);
		r->path_query = str_of(r->rewritten);
		return;
	}
	r->path_query = r->head.path;
	if (r->head.query.p)
		r->path_query.n += r->head.query.n + 1; /* one text with the path */
}

static void request_affinity(struct ing_req *r)
{
	const struct ing_settings *s = &r->ingress->set;

	if (!s->sticky)
		return;
	r->has_mark = ing_cookie_mark(&r->head, s->cookie_name ? s->cookie_name : "INGRESSCOOKIE", &r->mark);
	r->give_cookie = true; /* until the endpoint asked is the one that it names */
}

static void request_route(struct ing_conn *c)
{
	struct ing_req *r = &c->r;
	struct buf *path = &c->ing->scratch;
	const struct ing_route *route;
	int status = ing_head_check(&r->target, &r->head);

	if (status) {
		r->keep_alive = false;
		ing_conn_answer(c, status, NULL);
		return;
	}
	buf_clear(path);
	if (!ing_path_normalize(path, r->head.path)) {
		ing_conn_answer(c, 400, NULL);
		return;
	}
	route = ing_table_find(&c->ing->table, str_of(r->target.host), buf_str(path));
	if (!route) {
		ing_conn_answer(c, 404, NULL);
		return;
	}
	r->ingress = route->ingress;
	r->ingress->refs++;
	r->backend = route->backend;
	r->rule_path = route->rule ? route->rule->path : NULL;
	if (request_checked(c, buf_str(path)))
		return;
	request_settle_target(r);
	request_affinity(r);
	ing_conn_ask(c);
}

static void request_begin(struct ing_conn *c, struct http_head *head)
{
	struct ing_req *r = &c->r;

	memset(r, 0, sizeof(*r));
	r->head = *head;
	r->start_us = time_mono_us();
	r->keep_alive = head->keep_alive;
	r->chunked = head->chunked;
	r->left = head->content_length > 0 ? head->content_length : 0;
	r->body_done = !r->chunked && !r->left;
	r->head.upgrade = r->upgrade = ing_head_upgrades(&r->head);
	r->expect = head->expect_continue && !r->body_done;
	c->state = ING_REQUEST;
	request_route(c);
}

/* --- an endpoint --- */

static void ask_send(struct ing_conn *c)
{
	struct ing_req *r = &c->r;
	struct ing_forward f = { &r->target, r->path_query, c->peer_text, c->tls, c->port, !r->body_done };
	struct buf *b = &c->ing->head;

	buf_clear(b);
	ing_head_forward(b, &r->head, &f);
	ing_io_put(&r->up->io, b->s, b->len);
	r->up_start_us = time_mono_us();
}

void ing_conn_ask(struct ing_conn *c)
{
	struct ing_req *r = &c->r;
	int64_t now = loop_now_ms(c->ing->loop);

	while (r->tries < CONN_TRIES) {
		struct ing_endpoint *ep =
			ing_backend_pick(r->backend, r->has_mark ? &r->mark : NULL, r->ep_failed ? r->ep : NULL, now);

		if (!ep && r->backend->resolving) {
			c->resolve_wait = true;
			return;
		}
		if (!ep) {
			ing_conn_answer(c, 503, NULL);
			return;
		}
		if (r->ep_failed && ep == r->ep)
			break;
		ep->refs++;
		ing_endpoint_unref(r->ep);
		r->ep = ep;
		r->tries++;
		r->give_cookie = r->ingress->set.sticky && !(r->has_mark && r->mark == ep->mark);
		if (ing_up_get(c, ep, r->fresh) == 0) {
			c->since_ms = c->connect_ms = now;
			ask_send(c);
			return;
		}
		r->ep_failed = true;
		ep->failed_until_ms = now + ING_REST_MS;
	}
	ing_conn_answer(c, r->status ? r->status : 502, NULL);
}

/* --- the request's body --- */

static bool body_over(struct ing_conn *c)
{
	int64_t max = c->r.ingress->set.body_max;

	if (!max || c->r.body_seen <= max)
		return false;
	ing_conn_answer(c, 413, NULL);
	return true;
}

static void body_chunk(struct ing_io *to, const struct buf *b)
{
	char head[24];

	ing_io_put(to, head, (size_t)snprintf(head, sizeof(head), "%zx\r\n", b->len));
	ing_io_put(to, b->s, b->len);
	ing_io_put(to, "\r\n", 2);
}

static void body_chunked(struct ing_conn *c, size_t room)
{
	struct ing_req *r = &c->r;
	struct buf *b = &c->ing->scratch;
	struct str in = ing_in(&c->io);
	enum http_parse p;
	size_t n;

	buf_clear(b);
	p = http1_chunked_read(&r->dechunk, str_n(in.p, in.n < room ? in.n : room), &n, b);
	ing_io_eat(&c->io, n);
	r->body_seen += (int64_t)b->len;
	if (p == HTTP_BAD) {
		r->keep_alive = false;
		ing_conn_answer(c, 400, NULL);
		return;
	}
	if (body_over(c))
		return;
	if (b->len)
		body_chunk(&r->up->io, b);
	if (p == HTTP_DONE) {
		ing_io_put(&r->up->io, "0\r\n\r\n", 5);
		r->body_done = true;
	}
}

/* From the client to the endpoint, as far as that takes it. */
static void body_pump(struct ing_conn *c)
{
	struct ing_req *r = &c->r;
	size_t room = r->up->io.out.len < ING_HIGH ? ING_HIGH - r->up->io.out.len : 0, n;
	struct str in;

	if (r->body_done || r->head_sent || !room)
		goto on;
	if (r->expect && !c->io.in.len) {
		ing_io_put(&c->io, "HTTP/1.1 100 Continue\r\n\r\n", 25);
		r->expect = false;
	}
on:
	if (r->body_done || !room || !c->io.in.len)
		return;
	r->expect = false;
	if (r->chunked) {
		body_chunked(c, room);
		return;
	}
	in = ing_in(&c->io);
	n = in.n < room ? in.n : room;
	n = (int64_t)n < r->left ? n : (size_t)r->left;
	ing_io_put(&r->up->io, in.p, n);
	ing_io_eat(&c->io, n);
	r->left -= (int64_t)n;
	r->body_seen += (int64_t)n;
	r->body_done = r->left == 0;
}

/* --- steps --- */

/* Each returns true when it made a step after which another may follow. */

static bool step_hello(struct ing_conn *c)
{
	struct err e = ERR_INIT;
	int r = ing_io_handshake(&c->io, &e);

	err_release(&e);
	if (r == 0) {
		c->state = ING_HEAD;
		return true;
	}
	if (r != -EAGAIN) {
		c->ing->stats.tls_failed++;
		c->dead = true;
	}
	return false;
}

static bool step_head(struct ing_conn *c)
{
	struct http_head h;
	enum http_parse p;
	int status = 400;
	size_t n;

	if (!c->io.in.len || c->io.out.len > ING_HIGH) {
		c->dead |= c->io.eof || c->io.broken;
		conn_set_idle(c, !c->io.in.len);
		return false;
	}
	if (!c->head_ms)
		c->head_ms = loop_now_ms(c->ing->loop);
	conn_set_idle(c, false);
	p = http1_parse_request(&h, ing_in(&c->io), &n, &status);
	if (p == HTTP_MORE && (c->io.eof || c->io.broken)) {
		c->dead = true;
		return false;
	}
	if (p == HTTP_MORE && c->io.in.len <= ING_HEAD_MAX)
		return false;
	if (p == HTTP_DONE && n <= ING_HEAD_MAX) {
		ing_io_eat(&c->io, n);
		c->head_ms = 0;
		request_begin(c, &h);
		return true;
	}
	if (p == HTTP_DONE)
		http_head_release(&h);
	c->ing->stats.bad_requests++;
	memset(&c->r, 0, sizeof(c->r));
	c->r.start_us = time_mono_us();
	ing_conn_answer(c, p == HTTP_BAD ? status : 431, NULL);
	ing_conn_release(c);
	conn_linger(c);
	return true;
}

static bool request_end(struct ing_conn *c)
{
	bool keep = c->r.keep_alive && c->r.body_done && !c->r.cut;
	bool cut = c->r.cut;

	if (!keep && c->r.body_done && !c->io.in.len && !c->io.out.len && c->io.eof)
		cut = true;
	if (c->r.cut)
		ing_io_flush(&c->io); /* what came; the end shows that it is not all */
	ing_conn_release(c);
	c->dead |= cut;
	if (keep)
		c->state = ING_HEAD;
	else
		conn_linger(c);
	return !cut;
}

/* Until there is nothing more to send, or the endpoint takes no more. */
static void request_send(struct ing_conn *c)
{
	struct ing_up *u;
	size_t queued;

	do {
		body_pump(c);
		u = c->r.up;
		if (!u)
			return;
		queued = u->io.out.len;
		/* One that takes no more may have said why. */
		if (!ing_io_flush(&u->io)) {
			u->io.broken = false;
			u->io.broken = !ing_io_read(&u->io, ING_HEAD_MAX + 1);
			return;
		}
	} while (queued && !u->io.out.len && c->io.in.len && !c->r.body_done);
}

static bool step_request(struct ing_conn *c)
{
	struct ing_req *r = &c->r;

	/* Nobody is there to be answered. */
	if (c->io.broken || (c->io.eof && !r->answered && (!r->body_done || !c->io.in.len))) {
		r->status = r->head_sent ? r->status : 499;
		c->dead = true;
		return false;
	}
	if (r->up && r->up->io.open)
		request_send(c);
	if (r->up && !r->answered && !r->cut)
		ing_up_pump(c);
	if (c->state == ING_TUNNEL)
		return true;
	return (r->answered || r->cut) ? request_end(c) : false;
}

void ing_conn_tunnel(struct ing_conn *c)
{
	c->state = ING_TUNNEL;
	c->shut = c->up_shut = false;
}

static void tunnel_way(struct ing_io *from, struct ing_io *to, bool *shut)
{
	size_t room, n;

	do {
		room = to->out.len < ING_HIGH ? ING_HIGH - to->out.len : 0;
		n = from->in.len < room ? from->in.len : room;
		if (n) {
			ing_io_put(to, from->in.p + from->in.off, n);
			ing_io_eat(from, n);
		}
	} while (ing_io_flush(to) && !to->out.len && from->in.len);
	if (from->eof && !from->in.len && !to->out.len && !*shut) {
		if (to->tls)
			tls_sock_shutdown(to->tls);
		else
			shutdown(to->fd, SHUT_WR);
		*shut = true;
	}
}

static bool step_tunnel(struct ing_conn *c)
{
	struct ing_up *u = c->r.up;
	size_t n = u->io.in.len;

	tunnel_way(&c->io, &u->io, &c->up_shut);
	tunnel_way(&u->io, &c->io, &c->shut);
	c->r.bytes_out += (int64_t)(n - u->io.in.len);
	if (c->io.broken || u->io.broken || (c->shut && c->up_shut))
		c->dead = true;
	return false;
}

static bool step_linger(struct ing_conn *c)
{
	ing_io_eat(&c->io, c->io.in.len);
	if (c->io.eof || c->io.broken)
		c->dead |= c->io.broken || !c->io.out.len;
	return false;
}

static bool conn_step(struct ing_conn *c)
{
	switch (c->state) {
	case ING_HELLO:
		return step_hello(c);
	case ING_HEAD:
		return step_head(c);
	case ING_REQUEST:
		return step_request(c);
	case ING_TUNNEL:
		return step_tunnel(c);
	case ING_LINGER:
		return step_linger(c);
	}
	return false;
}

/* --- waiting --- */

static size_t conn_room(const struct ing_conn *c)
{
	return c->state == ING_HEAD ? ING_HEAD_MAX + 1 : ING_BLOCK;
}

/* TLS may hold bytes that the socket says nothing of. */
static bool conn_read_more(struct ing_conn *c)
{
	struct ing_up *u = c->r.up;
	bool got = false;

	if (c->io.tls && c->io.maybe && c->io.open)
		got = ing_io_read(&c->io, conn_room(c));
	if (u && u->io.tls && u->io.maybe && u->io.open)
		got |= ing_io_read(&u->io, c->r.head_sent ? ING_BLOCK : ING_HEAD_MAX + 1);
	return got;
}

static int64_t conn_patience(const struct ing_conn *c)
{
	const struct ing_req *r = &c->r;
	const struct ing_settings *s = r->ingress ? &r->ingress->set : NULL;

	if (r->up && !r->up->io.open)
		return c->connect_ms + s->connect_ms;
	if (c->io.out.len || c->resolve_wait || !s)
		return c->since_ms + CONN_STALL_MS;
	if (r->up && r->up->io.out.len)
		return c->since_ms + s->send_ms;
	return c->since_ms + (r->body_done ? s->read_ms : CONN_STALL_MS);
}

static int64_t conn_until(const struct ing_conn *c)
{
	switch (c->state) {
	case ING_HELLO:
		return c->since_ms + LIMIT_HEADER_MS;
	case ING_HEAD:
		if (c->io.out.len)
			return c->since_ms + CONN_STALL_MS;
		return c->head_ms ? c->head_ms + LIMIT_HEADER_MS : c->since_ms + CONN_IDLE_MS;
	case ING_REQUEST:
		return conn_patience(c);
	case ING_TUNNEL:
		return c->since_ms + CONN_TUNNEL_MS;
	case ING_LINGER:
		return c->io.out.len ? c->since_ms + CONN_STALL_MS : c->head_ms + CONN_LINGER_MS;
	}
	return 0;
}

static void conn_wait(struct ing_conn *c)
{
	struct ing_up *u = c->r.up;
	bool hello = c->state == ING_HELLO;

	if (c->state == ING_LINGER && !c->io.out.len && !c->shut) {
		if (c->io.tls)
			tls_sock_shutdown(c->io.tls);
		shutdown(c->io.fd, SHUT_WR);
		c->shut = true;
	}
	ing_io_watch(&c->io, !hello && c->io.in.len < conn_room(c));
	if (u && u->io.open)
		ing_io_watch(&u->io, u->io.in.len < (c->r.head_sent ? ING_BLOCK : ING_HEAD_MAX + 1));
	c->deadline_ms = conn_until(c);
	ing_sweep_by(c->ing, c->deadline_ms);
}

/* What there is for the client goes out. True: it is all gone, and more waits for the room. */
static bool conn_flush(struct ing_conn *c)
{
	const struct ing_up *u = c->r.up;
	size_t queued = c->io.out.len;

	if (!queued || !ing_io_flush(&c->io) || c->io.out.len)
		return false;
	return u ? u->io.open && u->io.in.len : c->state == ING_HEAD && c->io.in.len && queued > ING_HIGH;
}

void ing_conn_run(struct ing_conn *c)
{
	int rounds = 0;
	bool more;

	if (c->running || c->dead)
		return;
	c->running = true;
	do {
		while (!c->dead && rounds < CONN_ROUNDS && conn_step(c))
			rounds++;
		more = !c->dead && c->state != ING_HELLO && conn_flush(c);
		if (c->io.broken && c->state != ING_REQUEST && c->state != ING_TUNNEL)
			c->dead = true;
	} while (!c->dead && ++rounds < CONN_ROUNDS && (more || conn_read_more(c) || c->io.broken));
	c->running = false;
	if (c->dead) {
		conn_drop(c);
		return;
	}
	if (rounds >= CONN_ROUNDS)
		loop_defer(c->ing->loop, &c->again);
	conn_wait(c);
}

static void conn_run_again(struct loop_task *t)
{
	ing_conn_run(CONTAINER_OF(t, struct ing_conn, again));
}

static void conn_on_event(void *arg, int what)
{
	struct ing_conn *c = arg;

	c->since_ms = loop_now_ms(c->ing->loop);
	if ((what & LOOP_READ) && c->state != ING_HELLO)
		ing_io_read(&c->io, conn_room(c));
	ing_conn_run(c);
}

/* --- time is up --- */

static void expire_request(struct ing_conn *c)
{
	struct ing_req *r = &c->r;

	if (r->up && !r->up->io.open) {
		ing_up_failed(c, 504);
	} else if (r->head_sent || c->io.out.len) {
		ing_conn_cut(c);
		return;
	} else if (r->up && (r->body_done || r->up->io.out.len)) {
		ing_conn_answer(c, 504, NULL);
	} else {
		r->keep_alive = false;
		ing_conn_answer(c, r->up ? 408 : 504, NULL);
	}
	ing_conn_run(c);
}

void ing_conn_expire(struct ing_conn *c)
{
	if (c->state == ING_REQUEST) {
		expire_request(c);
	} else if (c->state == ING_HEAD && c->io.in.len && !c->io.out.len) {
		memset(&c->r, 0, sizeof(c->r));
		c->r.start_us = time_mono_us();
		ing_conn_answer(c, 408, NULL);
		ing_conn_release(c);
		ing_io_eat(&c->io, c->io.in.len);
		conn_linger(c);
		c->since_ms = c->head_ms;
		ing_conn_run(c);
	} else {
		ing_conn_cut(c);
	}
}

/* --- the beginning --- */

static void conn_name_peer(struct ing_conn *c, const struct sockaddr_storage *sa)
{
	const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)sa;

	if (sa->ss_family == AF_INET6 && !IN6_IS_ADDR_V4MAPPED(&six->sin6_addr)) {
		c->peer.family = AF_INET6;
		memcpy(c->peer.b, &six->sin6_addr, 16);
	} else {
		c->peer.family = AF_INET;
		memcpy(c->peer.b, sa->ss_family == AF_INET6 ? six->sin6_addr.s6_addr + 12 :
			(const uint8_t *)&((const struct sockaddr_in *)sa)->sin_addr, 4);
	}
	net_addr_print(&c->peer, c->peer_text);
}

void ing_conn_new(struct ing *g, int fd_take, const struct sockaddr_storage *sa, int port, bool tls)
{
	struct ing_conn *c = xcalloc(1, sizeof(*c));
	int on = 1;

	c->ing = g;
	c->port = port;
	c->tls = tls;
	c->again.run = conn_run_again;
	setsockopt(fd_take, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	setsockopt(fd_take, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	conn_name_peer(c, sa);
	ing_io_init(&c->io, g, fd_take);
	c->io.open = !tls;
	if (tls)
		c->io.tls = tls_sock_new(g->tls, fd_take, NULL);
	c->state = tls ? ING_HELLO : ING_HEAD;
	c->since_ms = loop_now_ms(g->loop);
	TAILQ_INSERT_TAIL(&g->conns, c, link);
	g->n_conns++;
	g->stats.connections++;
	ing_io_start(&c->io, conn_on_event, c, LOOP_READ);
	ing_conn_run(c);
}
