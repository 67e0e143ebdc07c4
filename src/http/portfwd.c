/*
 * Port forward, the kubelet's end (kubelet/pkg/cri/streaming/portforward): for
 * each TCP connection that the client accepts, it opens two SPDY streams with
 * the same `requestid` header, an error stream and a data stream, both naming
 * the `port`. A text on the error stream is printed by kubectl.
 *
 * The SPDY connection comes directly, or as the bytes of binary WebSocket
 * messages (kubectl since 1.31, through the API server).
 *
 * The protocol before that, which client libraries speak still, has no SPDY: the
 * ports stand in the query, the i-th has the WebSocket's channels 2i (data) and
 * 2i+1 (errors), each of which begins with a message of the port's number. Such
 * a session has its pairs from the start, one for each port, and ends with the
 * last; an id is a channel's number plus 1 there.
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
#define PORTFWD_CHANNELS "v4.channel.k8s.io"
#define PORTFWD_CHANNEL_PORTS 100
#define PORTFWD_WS_FRAME_MAX (32u << 20)

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
	struct spdy_conn *spdy; /* one of these two, until it is over */
	struct stream *ws; /* with channels */
	struct ws_reader reader;
	struct buf piece;
	int channel; /* of the message under way; -1: not known yet */
	bool paused;
	struct loop_task end; /* the last pair of a WebSocket is gone */
	struct loop *loop;
	const struct portfwd_ops *ops;
	void *arg;
	char *what;
	struct loop_timer *timer; /* for half-open pairs */
	struct loop_timer *idle; /* NULL: no limit */
	int64_t idle_ms, active_ms;
	TAILQ_HEAD(, portfwd_conn) pairs;
	size_t n_pairs, n_full;
	int refs;
};

/* --- life --- */

static void portfwd_unref(struct portfwd *p)
{
	if (--p->refs)
		return;
	buf_release(&p->piece);
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

/* --- SPDY or channels --- */

static void link_write(struct portfwd *p, uint32_t id, struct str data, bool fin)
{
	char channel = (char)(id - 1);

	if (p->spdy)
		spdy_conn_write(p->spdy, id, data, fin);
	else if (p->ws && data.n)
		ws_stream_write(p->ws, WS_BINARY, str_n(&channel, 1), data);
}

static void link_reset(struct portfwd *p, uint32_t id)
{
	if (p->spdy)
		spdy_conn_reset(p->spdy, id, SPDY_RST_CANCEL);
}

static size_t link_queued(const struct portfwd *p)
{
	return p->spdy ? spdy_conn_queued(p->spdy) : p->ws ? stream_queued(p->ws) : 0;
}

static void link_pause(struct portfwd *p, bool paused)
{
	p->paused = paused;
	if (p->spdy)
		spdy_conn_pause(p->spdy, paused);
	else
		stream_pause(p->ws, paused);
}

/* True when there was one to end. */
static bool link_end(struct portfwd *p)
{
	struct spdy_conn *spdy = take_ptr(&p->spdy);
	struct stream *ws = take_ptr(&p->ws);

	if (spdy)
		spdy_conn_end(spdy, true);
	else if (ws)
		ws_stream_close(ws, WS_CLOSE_NORMAL);
	return spdy || ws;
}

/* Reading goes on when no pair is full. */
static void portfwd_set_full(struct portfwd_conn *c, bool full)
{
	struct portfwd *p = c->p;

	if (!p || c->full == full)
		return;
	c->full = full;
	p->n_full += full ? 1 : (size_t)-1;
	if (p->spdy || p->ws)
		link_pause(p, p->n_full > 0);
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
	if (p->ws && !p->n_pairs)
		loop_defer(p->loop, &p->end);
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
	c->p->active_ms = loop_now_ms(c->loop);
	if (data.n)
		link_write(c->p, c->data_id, data, false);
	c->want_drain = link_queued(c->p) > CONN_HIGH;
	return !c->want_drain;
}

void portfwd_write_eof(struct portfwd_conn *c)
{
	if (!c->p || !c->data_id || c->out_eof)
		return;
	c->out_eof = true;
	link_write(c->p, c->data_id, STR_NONE, true);
}

void portfwd_end(struct portfwd_conn *c, const struct err *e)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	struct portfwd *p = c->p;

	if (p && e)
		buf_addf(&b, "error forwarding port %d to pod %s: %s", c->port, p->what, err_msg(e));
	if (p && c->error_id)
		link_write(p, c->error_id, buf_str(&b), true);
	portfwd_write_eof(c);
	/* Data that still comes has no taker; the client learns that nobody reads. */
	if (p && c->data_id && !c->in_eof)
		link_reset(p, c->data_id);
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
			link_write(p, c->error_id, STR_LIT("timed out waiting for streams"), true);
			c->error_id = 0;
		}
		if (c->data_id)
			link_reset(p, c->data_id);
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

	((struct portfwd *)arg)->active_ms = loop_now_ms(((struct portfwd *)arg)->loop);
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
	p->idle = loop_timer_free(p->idle);
}

static void portfwd_on_close(void *arg)
{
	struct portfwd *p = arg;

	p->spdy = NULL;
	p->ws = NULL;
	portfwd_drop(p);
	loop_undefer(p->loop, &p->end);
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

static void portfwd_is_idle(void *arg)
{
	struct portfwd *p = arg;
	int64_t left = p->active_ms + p->idle_ms - loop_now_ms(p->loop);

	if (left > 0) {
		loop_timer_set(p->idle, left);
		return;
	}
	link_end(p);
	portfwd_on_close(p);
}

void portfwd_limit_idle(struct portfwd *p, int64_t ms)
{
	if (ms <= 0)
		return;
	p->idle_ms = ms;
	p->active_ms = loop_now_ms(p->loop);
	p->idle = loop_timer_new(p->loop, portfwd_is_idle, p);
	loop_timer_set(p->idle, ms);
}

void portfwd_close(struct portfwd *p)
{
	if (!link_end(p))
		return;
	portfwd_drop(p);
	loop_undefer(p->loop, &p->end);
	portfwd_unref(p);
}

/* --- channels of a WebSocket --- */

static void portfwd_ws_message(struct portfwd *p, const struct ws_event *ev)
{
	struct str data = ev->data;

	if (ev->first)
		p->channel = -1;
	if (p->channel < 0 && data.n) {
		p->channel = (unsigned char)data.p[0];
		data = str_sub(data, 1, data.n);
	}
	if (p->channel >= 0 && data.n)
		portfwd_on_data(p, (uint32_t)p->channel + 1, data, false);
}

static void portfwd_ws_lost(struct portfwd *p, int code)
{
	struct stream *ws = take_ptr(&p->ws);

	ws_stream_close(ws, code);
	portfwd_on_close(p);
}

static void portfwd_ws_feed(struct portfwd *p, struct str in)
{
	while (p->ws) {
		struct ws_event ev;
		size_t used;
		enum ws_result res = ws_read(&p->reader, in, &used, &p->piece, &ev);

		in = str_sub(in, used, in.n);
		if (res == WS_BAD)
			portfwd_ws_lost(p, p->reader.error);
		if (res != WS_EVENT)
			return;
		if (ev.opcode == WS_TEXT || ev.opcode == WS_BINARY)
			portfwd_ws_message(p, &ev);
		else if (ev.opcode == WS_PING && stream_queued(p->ws) <= CONN_HIGH)
			ws_stream_write(p->ws, WS_PONG, ev.data, STR_NONE);
		else if (ev.opcode == WS_CLOSE)
			portfwd_ws_lost(p, WS_CLOSE_NORMAL);
	}
}

static void portfwd_ws_on_data(void *arg, struct evbuffer *in)
{
	struct portfwd *p = arg;
	size_t n;

	p->refs++;
	while (p->ws && !p->paused && (n = evbuffer_get_contiguous_space(in)) > 0) {
		portfwd_ws_feed(p, str_n((char *)evbuffer_pullup(in, (ev_ssize_t)n), n));
		if (p->ws)
			evbuffer_drain(in, n);
	}
	portfwd_unref(p);
}

static void portfwd_ws_on_close(void *arg, const struct err *e)
{
	portfwd_on_close(arg);
}

static const struct stream_ops portfwd_ws_ops = {
	.on_data = portfwd_ws_on_data,
	.on_drain = portfwd_on_drain,
	.on_close = portfwd_ws_on_close,
};

static void portfwd_ws_over(struct loop_task *t)
{
	struct portfwd *p = CONTAINER_OF(t, struct portfwd, end);

	if (p->ws)
		portfwd_ws_lost(p, WS_CLOSE_NORMAL);
}

/* The ports of the query; false when it was answered that they are wrong. */
static bool portfwd_ports(struct http_req *r, int ports[PORTFWD_CHANNEL_PORTS], size_t *n)
{
	_cleanup_buf_ struct buf name = BUF_INIT, value = BUF_INIT, text = BUF_INIT;
	struct str rest = http_req_head(r)->query;
	int64_t port;

	for (*n = 0; !text.len && *n < PORTFWD_CHANNEL_PORTS && http_query_next(&rest, &name, &value);) {
		if (!str_eqc(buf_str(&name), "port"))
			continue;
		if (!value.len)
			buf_adds(&text, "query parameter \"port\" cannot be empty");
		else if (!str_to_i64(buf_str(&value), &port) || port < 0 || port > 65535)
			buf_addf(&text, "unable to parse \"%.64s\" as a port", value.s);
		else if (!port)
			buf_addf(&text, "port \"%.64s\" must be > 0", value.s);
		else
			ports[(*n)++] = (int)port;
	}
	if (!*n && !text.len)
		buf_adds(&text, "query parameter \"port\" is required");
	if (text.len)
		upgrade_refuse(r, 400, text.s);
	return !text.len;
}

static void portfwd_ws_open(struct portfwd *p, const int *ports, size_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		struct portfwd_conn *c = portfwd_new_pair(p, STR_LIT(""), ports[i]);
		char number[2] = { (char)(ports[i] & 255), (char)(ports[i] >> 8) };

		c->data_id = 2 * i + 1;
		c->error_id = 2 * i + 2;
		c->open = true;
		link_write(p, c->data_id, str_n(number, 2), false);
		link_write(p, c->error_id, str_n(number, 2), false);
		loop_defer(c->loop, &c->task);
	}
}

struct portfwd *portfwd_accept(struct http_req *r, const char *what, const struct portfwd_ops *ops, void *arg)
{
	static const char *const tunnel[] = { PORTFWD_TUNNEL, NULL }, *const direct[] = { PORTFWD_DIRECT, NULL };
	static const char *const channels[] = { PORTFWD_CHANNELS, NULL };
	bool ws = upgrade_is_websocket(http_req_head(r));
	bool tunnelled = ws && http_head_has_token(http_req_head(r), "Sec-WebSocket-Protocol", PORTFWD_TUNNEL);
	int ports[PORTFWD_CHANNEL_PORTS], form;
	struct stream *io;
	struct portfwd *p;
	size_t n = 0;

	if (ws && !tunnelled && !portfwd_ports(r, ports, &n))
		return NULL;
	io = !ws ? upgrade_spdy(r, direct, &form) : upgrade_websocket(r, tunnelled ? tunnel : channels, !tunnelled, &form);
	if (!io)
		return NULL;
	p = xcalloc(1, sizeof(*p));
	p->loop = stream_loop(io);
	p->ops = ops;
	p->arg = arg;
	p->what = xstrdup(what);
	p->refs = 1;
	p->end.run = portfwd_ws_over;
	buf_init(&p->piece);
	TAILQ_INIT(&p->pairs);
	p->timer = loop_timer_new(p->loop, portfwd_late, p);
	if (ws && !tunnelled) {
		p->ws = io;
		p->reader.masked_input = true;
		p->reader.max_frame = PORTFWD_WS_FRAME_MAX;
		portfwd_ws_open(p, ports, n);
		stream_set(io, &portfwd_ws_ops, p);
	} else {
		p->spdy = spdy_conn_new(io, ws, &portfwd_spdy_ops, p);
	}
	return p;
}
