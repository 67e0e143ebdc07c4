/*
 * Requests that end somewhere else: see relay.h. Who is asked is found in
 * stream.c (the kubelet's streams) and proxy.c (proxy subresources); here is how.
 *
 * Both bodies pass as they come, each held back while the other end does not
 * read. After 101 the two connections are one stream and the request is over; any
 * other answer is passed on. What goes wrong before the far side has answered is
 * a Status; when it dies in the middle of its answer the client's connection is
 * cut, and when the client goes away, the far side's is.
 *
 * No byte of one side's framing reaches the other: heads are made anew from what
 * was parsed, without the headers that belong to one connection (those that
 * Connection names too), and bodies are framed again. A request to upgrade that
 * has a body is an ordinary one, since nobody could say where its stream begins.
 *
 * What a proxy subresource changes besides is what Kubernetes' proxy transport
 * (apimachinery, util/proxy) does: X-Forwarded-Uri and X-Forwarded-For, Location
 * and the links of HTML pages (wire/html.h), no CORS headers in the answer. Pages
 * are not unpacked for that: a client that might be given one is not said to take
 * compressed answers, and what is compressed all the same is left as it is.
 *
 *	struct relay	one such request. on_head, on_data and on_done are the far
 *			side's; relay_gone the client's. It ends in relay_end, on the
 *			loop's next turn, because the far side's callbacks are still on
 *			the stack when it is decided.
 */
#include "api/relay.h"

#include <errno.h>
#include <stdio.h>

#include "http/http.h"
#include "wire/html.h"

#define RELAY_QUEUE_BYTES (256u << 10)
#define RELAY_ERROR_BYTES (10u << 10) /* of the far side's own words in a Status */
#define RELAY_HEAD_MS 60000 /* of the kubelet; a site may take as long as its client waits */

struct relay {
	struct req *r;
	const struct relay_to *to;
	struct http_client *client;
	struct tls *tls; /* NULL: plain */
	struct http_exchange x;
	VEC(struct http_header) headers;
	bool head_seen, over;
	bool rewriting; /* the answer is a page: links */
	struct html_links links;
	struct html_base base;
	struct buf page; /* a piece of it */
	struct buf error_text;
	int error_status;
	struct err err;
};

/* --- the end --- */

static void relay_free(struct relay *p)
{
	http_client_free(p->client);
	tls_free(p->tls);
	VEC_RELEASE(&p->headers);
	html_links_release(&p->links);
	buf_release(&p->page);
	buf_release(&p->error_text);
	err_release(&p->err);
	free(p);
}

static void relay_end(struct loop_task *t)
{
	struct req *r = CONTAINER_OF(t, struct req, task);
	struct relay *p = take_ptr(&r->stream);
	struct err err = ERR_INIT;

	err_move(&err, &p->err);
	relay_free(p);
	if (err_is_set(&err))
		err_move(&r->err, &err);
	req_finish(r);
}

static void relay_over(struct relay *p)
{
	struct req *r = p->r;

	if (p->over)
		return;
	p->over = true;
	r->on_gone = NULL;
	if (r->http)
		http_req_pause_body(r->http, true);
	r->task.run = relay_end;
	loop_defer(r->api->loop, &r->task);
}

static void relay_gone(struct req *r)
{
	struct relay *p = r->stream;

	if (!p->over)
		http_client_cancel(&p->x);
	relay_over(p);
}

/* --- headers --- */

static bool header_in(struct str name, const char *const *list)
{
	for (size_t i = 0; list[i]; i++)
		if (str_ieq(name, str_of(list[i])))
			return true;
	return false;
}

/* Headers that belong to one connection, not to the message. */
static bool header_is_hop(const struct http_head *h, struct str name)
{
	static const char *const hop[] = { "Connection", "Proxy-Connection", "Keep-Alive", "Proxy-Authenticate",
					   "Proxy-Authorization", "TE", "Trailer", "Transfer-Encoding", "Upgrade",
					   "Content-Length", NULL };

	return http_head_names_hop(h, name) || header_in(name, hop);
}

/* A connection that is to become something else, and can: the body is not in its way. */
static bool relay_upgrades(const struct http_head *h)
{
	return h->upgrade && !h->chunked && h->content_length <= 0 && !http_head_has_token(h, "Upgrade", "h2c");
}

/* --- from the far side --- */

static void relay_joined(struct relay *p, const struct http_head *h)
{
	static const char *const upgrade[] = { "Upgrade", "Connection", NULL };
	struct http_resp resp = { .status = 101 };
	VEC(struct http_header) v = VEC_INIT;
	struct stream *down, *up = take_ptr(&p->x.upgraded);

	for (size_t i = 0; i < h->n_headers; i++)
		if (header_in(h->headers[i].name, upgrade) || !header_is_hop(h, h->headers[i].name))
			VEC_PUSH(&v, h->headers[i]);
	VEC_PUSH(&v, ((struct http_header){ STR_LIT("Audit-Id"), str_of(p->r->id) }));
	resp.headers = v.v;
	resp.n_headers = v.n;
	http_req_on_gone(p->r->http, NULL, NULL);
	down = http_upgrade(take_ptr(&p->r->http), &resp);
	VEC_RELEASE(&v);
	p->r->on_gone = NULL;
	p->r->status = 101;
	audit_started(p->r);
	if (down && up)
		stream_join(down, up, NULL, NULL);
	else if (down)
		stream_close(down, false);
	else if (up)
		stream_close(up, false);
}

static void relay_drained(void *arg)
{
	struct relay *p = arg;

	if (!p->over)
		http_exchange_pause(&p->x, false);
}

/* Is the answer a page whose links are to be changed? */
static bool relay_is_page(const struct relay *p, const struct http_head *h)
{
	struct str type = http_head_get(h, "Content-Type");

	return p->to->prefix && str_ieq(str_trim(str_cut(&type, ';')), STR_LIT("text/html")) &&
	       !http_head_get(h, "Content-Encoding").n && !http_head_get(h, "Location").n &&
	       !http_head_get(h, "Content-Range").n;
}

/* One header of the answer, as the client gets it; false: not at all. */
static bool relay_answer_header(struct relay *p, const struct http_head *h, struct http_header *f)
{
	static const char *const ours[] = { "Content-Type", "Audit-Id", "Date", NULL };
	static const char *const cors[] = { "Access-Control-Allow-Credentials", "Access-Control-Allow-Headers",
					    "Access-Control-Allow-Methods", "Access-Control-Allow-Origin", NULL };
	_cleanup_buf_ struct buf b = BUF_INIT;

	if (header_is_hop(h, f->name) || header_in(f->name, ours))
		return false;
	if (!p->to->prefix)
		return true;
	if (str_ieq(f->name, STR_LIT("Location"))) {
		html_link(&p->base, f->value, &b);
		f->value = arena_str(p->r->arena, buf_str(&b));
	}
	return !header_in(f->name, cors);
}

static void relay_answer(struct relay *p, const struct http_head *h)
{
	struct http_resp resp = { .status = h->status };
	_cleanup_free_ char *type = NULL;
	VEC(struct http_header) v = VEC_INIT;

	p->rewriting = relay_is_page(p, h);
	for (size_t i = 0; i < h->n_headers; i++) {
		struct http_header f = h->headers[i];

		if (str_ieq(f.name, STR_LIT("Content-Type")) && !type)
			type = str_dup(f.value);
		else if (relay_answer_header(p, h, &f))
			VEC_PUSH(&v, f);
	}
	VEC_PUSH(&v, ((struct http_header){ STR_LIT("Audit-Id"), str_of(p->r->id) }));
	resp.content_type = type || p->to->prefix ? type : "text/plain";
	resp.headers = v.v;
	resp.n_headers = v.n;
	resp.has_length = h->content_length >= 0 && !p->rewriting;
	resp.length = h->content_length;
	p->r->status = h->status;
	audit_started(p->r);
	http_begin(p->r->http, &resp);
	http_req_on_drain(p->r->http, relay_drained, p);
	VEC_RELEASE(&v);
}

static void relay_on_head(struct http_exchange *x, const struct http_head *h)
{
	struct relay *p = x->arg;

	p->head_seen = true;
	if (!p->r->http)
		return;
	if (h->status == 101)
		relay_joined(p, h);
	else if (p->to->status_from_text && h->status >= 400)
		p->error_status = h->status;
	else
		relay_answer(p, h);
}

static void relay_pass(struct relay *p, struct str data)
{
	p->r->sent += data.n;
	http_chunk(p->r->http, data);
}

static void relay_on_data(struct http_exchange *x, struct str data)
{
	struct relay *p = x->arg;

	if (p->error_status) {
		if (p->error_text.len < RELAY_ERROR_BYTES)
			buf_addstr(&p->error_text, str_sub(data, 0, RELAY_ERROR_BYTES - p->error_text.len));
		return;
	}
	if (!p->r->http)
		return;
	if (p->rewriting) {
		buf_clear(&p->page);
		html_links_feed(&p->links, data, &p->page);
		data = buf_str(&p->page);
	}
	relay_pass(p, data);
	if (http_req_queued(p->r->http) > RELAY_QUEUE_BYTES)
		http_exchange_pause(x, true);
}

/* What the node said in plain words, as the API's error. */
static void relay_status(struct relay *p)
{
	struct str text = str_trim(buf_str(&p->error_text));

	if (p->error_status == 400)
		err_set(&p->err, ERR_BAD_REQUEST, "%" STR_FMT, STR_ARG(text));
	else if (p->error_status == 404)
		err_set(&p->err, ERR_NOT_FOUND, "the server could not find the requested resource (%" STR_FMT ")",
			STR_ARG(text));
	else
		err_set(&p->err, ERR_INTERNAL, "Internal error occurred: %" STR_FMT, STR_ARG(text));
}

/* Nobody answered. */
static void relay_unanswered(struct relay *p, const struct err *err)
{
	const char *why = err ? err_msg(err) : "no answer";

	if (p->to->prefix)
		err_set(&p->err, ERR_SERVICE_UNAVAILABLE, "error trying to reach service: %s", why);
	else
		err_set(&p->err, ERR_INTERNAL, "Internal error occurred: error dialing backend: %s", why);
}

static void relay_on_done(struct http_exchange *x, const struct err *err)
{
	struct relay *p = x->arg;
	struct req *r = p->r;

	if (p->error_status) {
		relay_status(p);
	} else if (r->http && !p->head_seen) {
		relay_unanswered(p, err);
	} else if (r->http) {
		http_req_on_gone(r->http, NULL, NULL);
		if (p->rewriting && !err) {
			buf_clear(&p->page);
			html_links_end(&p->links, &p->page);
			relay_pass(p, buf_str(&p->page));
		}
		if (err)
			http_abort(take_ptr(&r->http));
		else
			http_end(take_ptr(&r->http));
	}
	relay_over(p);
}

/* --- from the client --- */

static void relay_body_data(void *arg, struct http_req *h, struct str data)
{
	struct relay *p = arg;

	if (p->over)
		return;
	http_exchange_write(&p->x, data);
	if (http_exchange_queued(&p->x) > RELAY_QUEUE_BYTES)
		http_req_pause_body(h, true);
}

static void relay_body_end(void *arg, struct http_req *h)
{
	struct relay *p = arg;

	if (!p->over)
		http_exchange_write_end(&p->x);
}

static void relay_body_drain(struct http_exchange *x)
{
	struct relay *p = x->arg;

	if (!p->over && p->r->http)
		http_req_pause_body(p->r->http, false);
}

/* --- beginning --- */

static int relay_dial(void *arg)
{
	struct relay *p = arg;
	const struct api_config *cfg = &p->r->api->cfg;

	return cfg->dial_node ? cfg->dial_node(cfg->arg, p->to->node) : -EHOSTUNREACH;
}

/* What the client says to us alone: credentials, and what is said anew. */
static bool relay_keeps_back(const struct relay *p, struct str name)
{
	static const char *const ours[] = { "Authorization", "Expect", NULL };
	static const char *const kubelets[] = { "Host", "Cookie", NULL };
	static const char *const sites[] = { "X-Forwarded-For", "X-Forwarded-Uri", NULL };
	struct str accept = http_head_get(p->r->head, "Accept");

	if (header_in(name, ours) || str_ieq(str_sub(name, 0, strlen("Impersonate-")), STR_LIT("Impersonate-")))
		return true;
	if (!p->to->prefix)
		return header_in(name, kubelets);
	if (str_ieq(name, STR_LIT("Accept-Encoding")))
		return !accept.n || memmem(accept.p, accept.n, "*/*", 3) || memmem(accept.p, accept.n, "text/html", 9);
	return header_in(name, sites);
}

/* A token that came as a WebSocket's subprotocol is a credential too; "": it was all there was. */
static struct str relay_value(struct req *r, const struct http_header *h)
{
	if (r->ws_protocols && str_ieq(h->name, STR_LIT("Sec-WebSocket-Protocol")))
		return str_of(r->ws_protocols);
	return h->value;
}

static void relay_add(struct relay *p, const char *name, const char *value)
{
	VEC_PUSH(&p->headers, ((struct http_header){ str_of(name), str_of(value) }));
}

/* Who asked, behind those that the client names already. */
static void relay_forwarded_for(struct relay *p)
{
	struct req *r = p->r;
	_cleanup_buf_ struct buf b = BUF_INIT;
	struct str peer = str_of(http_req_peer(r->http)->addr);
	ssize_t colon = str_rfind(peer, ':');

	for (size_t i = 0; i < r->head->n_headers; i++)
		if (str_ieq(r->head->headers[i].name, STR_LIT("X-Forwarded-For"))) {
			buf_addstr(&b, r->head->headers[i].value);
			buf_adds(&b, ", ");
		}
	if (colon > 0)
		peer = str_sub(peer, 0, (size_t)colon);
	if (peer.n > 2 && peer.p[0] == '[')
		peer = str_sub(peer, 1, peer.n - 1);
	buf_addstr(&b, peer);
	relay_add(p, "X-Forwarded-For", arena_strdup(r->arena, b.s));
}

/* The client's headers, but for those of its connection to us and its credentials. */
static void relay_headers(struct relay *p)
{
	static const char *const upgrade[] = { "Upgrade", NULL };
	const struct http_head *h = p->r->head;
	bool upgrades = relay_upgrades(h);

	for (size_t i = 0; i < h->n_headers; i++) {
		const struct http_header *f = &h->headers[i];
		struct str value = relay_value(p->r, f);

		if (upgrades && header_in(f->name, upgrade))
			VEC_PUSH(&p->headers, *f);
		else if (!header_is_hop(h, f->name) && !relay_keeps_back(p, f->name) && (value.n || !f->value.n))
			VEC_PUSH(&p->headers, ((struct http_header){ f->name, value }));
	}
	if (upgrades)
		relay_add(p, "Connection", "Upgrade");
	if (!p->to->prefix)
		return;
	relay_forwarded_for(p);
	relay_add(p, "X-Forwarded-Uri",
		  arena_printf(p->r->arena, "%s%.*s", p->to->prefix, (int)strcspn(p->to->target, "?"), p->to->target));
}

/* Whose links are to be moved, and where. */
static void relay_set_base(struct relay *p)
{
	const struct relay_to *to = p->to;

	if (!to->prefix)
		return;
	p->base.prefix = str_of(to->prefix);
	p->base.asked = http_head_get(p->r->head, "Host");
	if (!p->base.asked.p)
		p->base.asked = STR_LIT("");
	p->base.asked = arena_str(p->r->arena, p->base.asked);
	p->base.host = str_of(arena_printf(p->r->arena, to->host && strchr(to->host, ':') ? "[%s]:%d" : "%s:%d",
					   to->host ? to->host : to->node, to->port));
	p->links.base = p->base;
}

static void relay_set_body(struct relay *p)
{
	struct req *r = p->r;
	const struct http_head *h = r->head;

	if (relay_upgrades(h) || (!h->chunked && h->content_length <= 0))
		return;
	p->x.streams = true;
	p->x.body_length = h->chunked ? -1 : h->content_length;
	p->x.on_drain = relay_body_drain;
	http_req_stream_body(r->http, relay_body_data, relay_body_end, p);
}

int relay_start(struct req *r, const struct relay_to *to, struct err *e)
{
	struct tls_config insecure = { .insecure = true };
	struct http_client_config cfg = { .loop = r->api->loop, .host = to->host, .port = to->port };
	struct tls *tls = NULL;
	struct relay *p;

	if (to->secure && tls_new(&tls, &insecure, false, e) < 0)
		return -e->code;
	p = xcalloc(1, sizeof(*p));
	p->r = r;
	p->to = to;
	p->tls = cfg.tls = tls;
	buf_init(&p->error_text);
	buf_init(&p->page);
	buf_init(&p->links.tag);
	r->stream = p;
	relay_set_base(p);
	relay_headers(p);
	p->x = (struct http_exchange){
		.method = arena_memdupz(r->arena, r->head->method.p, r->head->method.n),
		.target = to->target,
		.headers = p->headers.v,
		.n_headers = p->headers.n,
		.timeout_ms = to->prefix ? -1 : RELAY_HEAD_MS,
		.on_head = relay_on_head,
		.on_data = relay_on_data,
		.on_done = relay_on_done,
		.arg = p,
	};
	if (to->node) {
		cfg.host = to->node;
		cfg.dial = relay_dial;
		cfg.arg = p;
	}
	p->client = http_client_new(&cfg);
	r->on_gone = relay_gone;
	relay_set_body(p);
	http_client_send(p->client, &p->x);
	return STEP_WAIT;
}
