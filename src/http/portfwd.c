/*
 * Port forward, the kubelet's end (kubelet/pkg/cri/streaming/portforward): for
 * each TCP connection that the client accepts, it opens two SPDY streams with
 * the same `requestid` header, an error stream and a data stream, both naming
 * the `port`. A text on the error stream is printed by kubectl.
 *
 * The SPDY connection comes directly, or as the bytes of binary WebSocket
 * messages (kubectl since 1.31, through the API server).
 *
 * A pair's life: half open (one stream, up to 30 s), open (with its user), and
 * gone when its user was told by on_close or has called portfwd_end. A user who
 * has not set callbacks yet keeps its pointer valid, even after the client left
 * (`orphan`).
 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <event2/buffer.h>

#include "base/time.h"
#include "http/remote.h"
#include "http/upgrade.h"

#define PORTFWD_OPEN_MS 30000
#define PORTFWD_PAIRS_MAX 1024
#define PORTFWD_ID_MAX 256
#define PORTFWD_DIRECT "portforward.k8s.io"
#define PORTFWD_TUNNEL "SPDY/3.1+portforward.k8s.io"

struct portfwd_conn {
	struct portfwd *p; /* NULL: orphan */
	struct loop *loop;
	char *request_id;
	uint32_t data_id, error_id; /* 0: not opened, or reset by the client */
	int port;
	int64_t since_ms; /* half open */
	const struct portfwd_conn_ops *ops;
	void *arg;
	struct evbuffer *in; /* not yet taken; NULL while empty */
	struct stream *joined;
	struct loop_task task;
	int refs;
	bool open, told, stalled, full, in_eof, eof_told, out_eof, lost, want_drain, drain_now, over;
	TAILQ_ENTRY(portfwd_conn) link;
};

struct portfwd {
	struct spdy_conn *spdy; /* NULL once over */
	struct loop *loop;
	const struct portfwd_ops *ops;
	void *arg;
	char *what;
	struct loop_timer *timer; /* for half-open pairs */
	TAILQ_HEAD(, portfwd_conn) pairs;
	size_t n_pairs, n_full;
	int refs;
};

/* --- life --- */

static void portfwd_unref(struct portfwd *p)
{
	if (--p->refs)
		return;
	free(p->what);
	free(p);
}

static void portfwd_conn_unref(struct portfwd_conn *c)
{
	if (--c->refs)
		return;
	if (c->in)
		evbuffer_free(c->in);
	free(c->request_id);
	free(c);
}

/* Reading goes on when no pair is full. */
static void portfwd_set_full(struct portfwd_conn *c, bool full)
{
	struct portfwd *p = c->p;

	if (!p || c->full == full)
		return;
	c->full = full;
	p->n_full += full ? 1 : (size_t)-1;
	if (p->spdy)
		spdy_conn_pause(p->spdy, p->n_full > 0);
}

/* Takes the pair out of its session. */
static void portfwd_conn_detach(struct portfwd_conn *c)
{
	struct portfwd *p = c->p;

	if (!p)
		return;
	portfwd_set_full(c, false);
	TAILQ_REMOVE(&p->pairs, c, link);
	p->n_pairs--;
	c->p = NULL;
}

/* The pair is over for everybody. */
static void portfwd_conn_drop(struct portfwd_conn *c)
{
	if (c->over)
		return;
	c->over = true;
	portfwd_conn_detach(c);
	loop_undefer(c->loop, &c->task);
	portfwd_conn_unref(c);
}

/* The client let go of it: tell the user, now or when it has set its callbacks. */
static void portfwd_conn_lost(struct portfwd_conn *c)
{
	const struct portfwd_conn_ops *ops = c->ops;
	void *arg = c->arg;

	c->refs++;
	portfwd_conn_detach(c);
	c->lost = true;
	if (!c->told) {
		portfwd_conn_drop(c); /* nobody knows of it yet */
	} else if (ops) {
		portfwd_conn_drop(c);
		ops->on_close(arg);
	}
	portfwd_conn_unref(c);
}

/* --- data to the user --- */

static void portfwd_offer(struct portfwd_conn *c)
{
	while (!c->over && c->ops && c->in && !c->stalled) {
		size_t n = evbuffer_get_contiguous_space(c->in), took;

		if (n == 0) {
			evbuffer_free(c->in);
			c->in = NULL;
			break;
		}
		took = c->ops->on_data(c->arg, str_n((char *)evbuffer_pullup(c->in, (ev_ssize_t)n), n));
		BUG_ON(took > n);
		c->stalled = took < n;
		evbuffer_drain(c->in, took);
	}
	if (c->over)
		return;
	portfwd_set_full(c, c->in && evbuffer_get_length(c->in) > (c->full ? CONN_LOW : CONN_HIGH));
	if (c->ops && !c->in && c->in_eof && !c->eof_told) {
		c->eof_told = true;
		if (c->ops->on_eof)
			c->ops->on_eof(c->arg);
	}
}

static void portfwd_conn_run(struct loop_task *t)
{
	struct portfwd_conn *c = CONTAINER_OF(t, struct portfwd_conn, task);

	c->refs++;
	if (!c->told && c->p) {
		c->told = true;
		c->p->ops->on_open(c->p->arg, c, c->port);
	}
	if (c->lost && c->ops && !c->over)
		portfwd_conn_lost(c);
	else
		portfwd_offer(c);
	portfwd_conn_unref(c);
}

void portfwd_set(struct portfwd_conn *c, const struct portfwd_conn_ops *ops, void *arg)
{
	c->ops = ops;
	c->arg = arg;
	loop_defer(c->loop, &c->task);
}

void portfwd_ready(struct portfwd_conn *c)
{
	c->stalled = false;
	loop_defer(c->loop, &c->task);
}

/* --- data to the client --- */

bool portfwd_write(struct portfwd_conn *c, struct str data)
{
	if (!c->p || !c->data_id || c->out_eof)
		return true;
	if (data.n)
		spdy_conn_write(c->p->spdy, c->data_id, data, false);
	c->want_drain = spdy_conn_queued(c->p->spdy) > CONN_HIGH;
	return !c->want_drain;
}

void portfwd_write_eof(struct portfwd_conn *c)
{
	if (!c->p || !c->data_id || c->out_eof)
		return;
	c->out_eof = true;
	spdy_conn_write(c->p->spdy, c->data_id, STR_NONE, true);
}

void portfwd_end(struct portfwd_conn *c, const struct err *e)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	struct portfwd *p = c->p;

	if (p && e)
		buf_addf(&b, "error forwarding port %d to pod %s: %s", c->port, p->what, err_msg(e));
	if (p && c->error_id)
		spdy_conn_write(p->spdy, c->error_id, buf_str(&b), true);
	portfwd_write_eof(c);
	/* Data that still comes has no taker; the client learns that nobody reads. */
	if (p && c->data_id && !c->in_eof)
		spdy_conn_reset(p->spdy, c->data_id, SPDY_RST_CANCEL);
	portfwd_conn_drop(c);
}

/* --- joined to a socket --- */

static void portfwd_join_from_pod(void *arg, struct evbuffer *in)
{
	struct portfwd_conn *c = arg;
	size_t n;

	while ((n = evbuffer_get_contiguous_space(in)) > 0) {
		bool more = portfwd_write(c, str_n((char *)evbuffer_pullup(in, (ev_ssize_t)n), n));

		evbuffer_drain(in, n);
		if (!more) {
			stream_pause(c->joined, true);
			break;
		}
	}
}

static void portfwd_join_pod_drained(void *arg)
{
	portfwd_ready(arg);
}

static void portfwd_join_pod_eof(void *arg)
{
	portfwd_write_eof(arg);
}

/* "connect: connection refused", as Go words it. */
static void portfwd_connect_error(struct portfwd_conn *c, const struct err *e, struct err *ret)
{
	char text[128];

	snprintf(text, sizeof(text), "%s", strerror(e->code));
	text[0] = (char)tolower((unsigned char)text[0]);
	err_set(ret, ERR_UNKNOWN, "failed to connect to localhost:%d inside the pod's network namespace: connect: %s",
		c->port, text);
}

static void portfwd_join_pod_closed(void *arg, const struct err *e)
{
	struct portfwd_conn *c = arg;
	_cleanup_err_ struct err told = ERR_INIT;
	bool refused = e && (e->code == ECONNREFUSED || e->code == ETIMEDOUT || e->code == EHOSTUNREACH ||
			     e->code == ENETUNREACH);

	c->joined = NULL;
	if (refused)
		portfwd_connect_error(c, e, &told);
	portfwd_end(c, refused ? &told : NULL);
}

static const struct stream_ops portfwd_join_stream_ops = {
	.on_data = portfwd_join_from_pod,
	.on_drain = portfwd_join_pod_drained,
	.on_eof = portfwd_join_pod_eof,
	.on_close = portfwd_join_pod_closed,
};

static size_t portfwd_join_data(void *arg, struct str data)
{
	struct portfwd_conn *c = arg;

	if (stream_queued(c->joined) > CONN_HIGH)
		return 0;
	stream_write(c->joined, data.p, data.n);
	return data.n;
}

static void portfwd_join_eof(void *arg)
{
	struct portfwd_conn *c = arg;

	stream_shutdown_write(c->joined);
}

static void portfwd_join_drain(void *arg)
{
	struct portfwd_conn *c = arg;

	stream_pause(c->joined, false);
}

static void portfwd_join_closed(void *arg)
{
	struct portfwd_conn *c = arg;

	stream_close(take_ptr(&c->joined), false);
}

static const struct portfwd_conn_ops portfwd_join_ops = {
	.on_data = portfwd_join_data,
	.on_eof = portfwd_join_eof,
	.on_drain = portfwd_join_drain,
	.on_close = portfwd_join_closed,
};

void portfwd_join(struct portfwd_conn *c, int fd)
{
	c->joined = stream_new(c->loop, fd);
	stream_set(c->joined, &portfwd_join_stream_ops, c);
	portfwd_set(c, &portfwd_join_ops, c);
}

/* --- streams into pairs --- */

static struct portfwd_conn *portfwd_find(struct portfwd *p, struct str request_id)
{
	struct portfwd_conn *c;

	TAILQ_FOREACH(c, &p->pairs, link) {
		if (str_eqc(request_id, c->request_id) && !c->open)
			return c;
	}
	return NULL;
}

static struct portfwd_conn *portfwd_find_stream(struct portfwd *p, uint32_t id)
{
	struct portfwd_conn *c;

	TAILQ_FOREACH(c, &p->pairs, link) {
		if (c->data_id == id || c->error_id == id)
			return c;
	}
	return NULL;
}

static struct portfwd_conn *portfwd_new_pair(struct portfwd *p, struct str request_id, int port)
{
	struct portfwd_conn *c;

	if (p->n_pairs >= PORTFWD_PAIRS_MAX)
		return NULL;
	c = xcalloc(1, sizeof(*c));
	c->p = p;
	c->loop = p->loop;
	c->refs = 1;
	c->request_id = str_dup(request_id);
	c->port = port;
	c->since_ms = loop_now_ms(p->loop);
	c->task.run = portfwd_conn_run;
	TAILQ_INSERT_TAIL(&p->pairs, c, link);
	p->n_pairs++;
	if (!loop_timer_is_set(p->timer))
		loop_timer_set(p->timer, PORTFWD_OPEN_MS);
	return c;
}

/* Half-open pairs that waited too long are dropped. */
static void portfwd_late(void *arg)
{
	struct portfwd *p = arg;
	int64_t now = loop_now_ms(p->loop), first = -1;
	struct portfwd_conn *c, *next;

	for (c = TAILQ_FIRST(&p->pairs); c; c = next) {
		next = TAILQ_NEXT(c, link);
		if (c->open)
			continue;
		if (now - c->since_ms < PORTFWD_OPEN_MS) {
			first = first < 0 ? c->since_ms : first;
			continue;
		}
		if (c->error_id) {
			spdy_conn_write(p->spdy, c->error_id, STR_LIT("timed out waiting for streams"), true);
			c->error_id = 0;
		}
		if (c->data_id)
			spdy_conn_reset(p->spdy, c->data_id, SPDY_RST_CANCEL);
		portfwd_conn_drop(c);
	}
	if (first >= 0)
		loop_timer_set(p->timer, first + PORTFWD_OPEN_MS - now);
}

/* Old clients send no request id: their streams come in pairs, error first (kubelet's rule). */
static struct str portfwd_request_id(const struct spdy_event *ev, bool is_error, char scratch[16])
{
	struct str id = spdy_event_header(ev, "requestid");

	if (id.n)
		return id;
	snprintf(scratch, 16, "%u", is_error ? ev->stream : ev->stream - 2);
	return str_of(scratch);
}

static bool portfwd_on_open(void *arg, const struct spdy_event *ev)
{
	struct portfwd *p = arg;
	struct str type = spdy_event_header(ev, "streamtype"), id;
	bool is_error = str_eqc(type, "error");
	struct portfwd_conn *c;
	char scratch[16];
	int64_t port;

	if (!str_to_i64(spdy_event_header(ev, "port"), &port) || port < 1 || port > 65535)
		return false;
	if (!is_error && !str_eqc(type, "data"))
		return false;
	id = portfwd_request_id(ev, is_error, scratch);
	if (id.n > PORTFWD_ID_MAX)
		return false;
	c = portfwd_find(p, id);
	if (!c)
		c = portfwd_new_pair(p, id, (int)port);
	if (!c || (is_error ? c->error_id : c->data_id))
		return false;
	if (is_error) {
		c->error_id = ev->stream;
	} else {
		c->data_id = ev->stream;
		c->port = (int)port;
	}
	if (c->error_id && c->data_id) {
		c->open = true;
		loop_defer(c->loop, &c->task);
	}
	return true;
}

static void portfwd_on_data(void *arg, uint32_t id, struct str data, bool fin)
{
	struct portfwd_conn *c = portfwd_find_stream(arg, id);

	if (!c || c->data_id != id || c->in_eof)
		return;
	if (data.n) {
		if (!c->in) {
			c->in = evbuffer_new();
			BUG_ON(!c->in);
		}
		evbuffer_add(c->in, data.p, data.n);
		if (evbuffer_get_length(c->in) > CONN_HIGH)
			portfwd_set_full(c, true);
	}
	c->in_eof = fin;
	if (c->open)
		loop_defer(c->loop, &c->task);
}

static void portfwd_on_reset(void *arg, uint32_t id)
{
	struct portfwd_conn *c = portfwd_find_stream(arg, id);

	if (!c)
		return;
	if (c->error_id == id) {
		c->error_id = 0;
		if (c->open)
			return;
	}
	if (c->data_id == id)
		c->data_id = 0;
	portfwd_conn_lost(c);
}

static struct portfwd_conn *portfwd_find_draining(struct portfwd *p)
{
	struct portfwd_conn *c;

	TAILQ_FOREACH(c, &p->pairs, link) {
		if (c->drain_now)
			return c;
	}
	return NULL;
}

static void portfwd_on_drain(void *arg)
{
	struct portfwd *p = arg;
	struct portfwd_conn *c;

	p->refs++;
	TAILQ_FOREACH(c, &p->pairs, link) {
		c->drain_now = c->want_drain;
		c->want_drain = false;
	}
	/* A callback may take any pair away, so each search begins anew. */
	while ((c = portfwd_find_draining(p))) {
		c->drain_now = false;
		if (c->ops && c->ops->on_drain)
			c->ops->on_drain(c->arg);
	}
	portfwd_unref(p);
}

/* Every pair goes, then the session. */
static void portfwd_drop(struct portfwd *p)
{
	struct portfwd_conn *c;

	while ((c = TAILQ_FIRST(&p->pairs)))
		portfwd_conn_lost(c);
	p->timer = loop_timer_free(p->timer);
}

static void portfwd_on_close(void *arg)
{
	struct portfwd *p = arg;

	p->spdy = NULL;
	portfwd_drop(p);
	p->ops->on_close(p->arg);
	portfwd_unref(p);
}

static const struct spdy_conn_ops portfwd_spdy_ops = {
	.on_open = portfwd_on_open,
	.on_data = portfwd_on_data,
	.on_reset = portfwd_on_reset,
	.on_drain = portfwd_on_drain,
	.on_close = portfwd_on_close,
};

void portfwd_close(struct portfwd *p)
{
	struct spdy_conn *spdy = take_ptr(&p->spdy);

	if (!spdy)
		return;
	spdy_conn_end(spdy, true);
	portfwd_drop(p);
	portfwd_unref(p);
}

struct portfwd *portfwd_accept(struct http_req *r, const char *what, const struct portfwd_ops *ops, void *arg)
{
	static const char *const tunnel[] = { PORTFWD_TUNNEL, NULL }, *const direct[] = { PORTFWD_DIRECT, NULL };
	bool ws = upgrade_is_websocket(http_req_head(r));
	struct stream *io;
	struct portfwd *p;
	int form;

	io = ws ? upgrade_websocket(r, tunnel, false, &form) : upgrade_spdy(r, direct, &form);
	if (!io)
		return NULL;
	p = xcalloc(1, sizeof(*p));
	p->loop = stream_loop(io);
	p->ops = ops;
	p->arg = arg;
	p->what = xstrdup(what);
	p->refs = 1;
	TAILQ_INIT(&p->pairs);
	p->timer = loop_timer_new(p->loop, portfwd_late, p);
	p->spdy = spdy_conn_new(io, ws, &portfwd_spdy_ops, p);
	return p;
}
