/*
 * A watch over WebSocket (RFC 6455), for browsers: each event is one text
 * message. What the client says is ignored, but for pings and its goodbye. Of the
 * subprotocols that it names the first is taken that does not carry a token.
 */
#include "api/watch-ws.h"

#include <event2/buffer.h>

#include "wire/websocket.h"

#define WS_TOKEN_PROTOCOL "base64url.bearer.authorization.k8s.io."
#define WS_FRAME_BYTES 4096 /* nobody has more to say */
#define WS_PONG_QUEUE (64u << 10) /* who does not read gets no more answers to pings */

struct watch_ws {
	struct stream *s; /* NULL: it is over */
	struct ws_reader in;
	struct buf scratch;
	void (*on_drain)(void *arg);
	void (*on_gone)(void *arg);
	void *arg;
};

bool watch_ws_wanted(const struct req *r)
{
	return r->head && r->head->upgrade && str_ieq(http_head_get(r->head, "Upgrade"), STR_LIT("websocket"));
}

static void ws_put_frame(struct watch_ws *ws, enum ws_opcode op, struct str payload)
{
	struct evbuffer *eb = evbuffer_new();
	uint8_t head[WS_HEAD_MAX];

	evbuffer_add(eb, head, ws_put_head(head, op, true, payload.n, NULL));
	evbuffer_add(eb, payload.p, payload.n);
	stream_write_evbuffer(ws->s, eb);
	evbuffer_free(eb);
}

static void ws_goodbye(struct watch_ws *ws, int code)
{
	const char text[2] = { (char)(code >> 8), (char)code };

	ws_put_frame(ws, WS_CLOSE, (struct str){ text, sizeof(text) });
	stream_close(take_ptr(&ws->s), true);
}

/* False: the client is done. */
static bool ws_heard(struct watch_ws *ws, const struct ws_event *ev)
{
	if (ev->opcode == WS_PING && stream_queued(ws->s) < WS_PONG_QUEUE)
		ws_put_frame(ws, WS_PONG, ev->data);
	return ev->opcode != WS_CLOSE;
}

static void ws_on_data(void *arg, struct evbuffer *in)
{
	struct watch_ws *ws = arg;

	while (evbuffer_get_length(in)) {
		size_t n = evbuffer_get_length(in), used = 0;
		struct str bytes = { (char *)evbuffer_pullup(in, -1), n };
		struct ws_event ev;
		enum ws_result got = ws_read(&ws->in, bytes, &used, &ws->scratch, &ev);
		bool go_on = got == WS_EVENT ? ws_heard(ws, &ev) : got == WS_MORE;

		evbuffer_drain(in, used);
		if (!go_on) {
			ws_goodbye(ws, got == WS_BAD ? ws->in.error : WS_CLOSE_NORMAL);
			ws->on_gone(ws->arg);
			return;
		}
		if (got == WS_MORE)
			return;
	}
}

static void ws_on_drain(void *arg)
{
	struct watch_ws *ws = arg;

	ws->on_drain(ws->arg);
}

static void ws_on_close(void *arg, const struct err *e)
{
	struct watch_ws *ws = arg;

	ws->s = NULL;
	ws->on_gone(ws->arg);
}

static const struct stream_ops ws_ops = {
	.on_data = ws_on_data,
	.on_drain = ws_on_drain,
	.on_close = ws_on_close,
};

/* The client's choice; empty: none. */
static struct str ws_protocol(const struct http_head *h)
{
	for (size_t i = 0; i < h->n_headers; i++) {
		struct str rest = h->headers[i].value;

		if (!str_ieq(h->headers[i].name, STR_LIT("Sec-WebSocket-Protocol")))
			continue;
		while (rest.p) {
			struct str p = str_trim(str_cut(&rest, ','));

			if (p.n && !str_starts(p, STR_LIT(WS_TOKEN_PROTOCOL)))
				return p;
		}
	}
	return (struct str){ NULL, 0 };
}

struct watch_ws *watch_ws_open(struct req *r, void (*on_drain)(void *arg), void (*on_gone)(void *arg), void *arg,
			       struct err *e)
{
	struct str key = http_head_get(r->head, "Sec-WebSocket-Key"), protocol = ws_protocol(r->head);
	struct http_header headers[3] = { { STR_LIT("Upgrade"), STR_LIT("websocket") } };
	struct http_resp resp = { .status = 101, .headers = headers, .n_headers = 2 };
	char accept[WS_ACCEPT_LEN];
	struct watch_ws *ws;

	if (!str_eqc(http_head_get(r->head, "Sec-WebSocket-Version"), "13")) {
		err_bad(e, "missing or bad WebSocket Version");
		return NULL;
	}
	if (key.n != 24) {
		err_bad(e, "challenge not found");
		return NULL;
	}
	ws_accept_key(key, accept);
	headers[1] = (struct http_header){ STR_LIT("Sec-WebSocket-Accept"), str_of(accept) };
	if (protocol.n)
		headers[resp.n_headers++] = (struct http_header){ STR_LIT("Sec-WebSocket-Protocol"),
								  arena_str(r->arena, protocol) };
	ws = xcalloc(1, sizeof(*ws));
	ws->in.masked_input = true;
	ws->in.max_frame = WS_FRAME_BYTES;
	buf_init(&ws->scratch);
	ws->on_drain = on_drain;
	ws->on_gone = on_gone;
	ws->arg = arg;
	http_req_on_gone(r->http, NULL, NULL);
	r->status = 101;
	r->head = NULL;
	ws->s = http_upgrade(take_ptr(&r->http), &resp);
	stream_set(ws->s, &ws_ops, ws);
	return ws;
}

void watch_ws_send(struct watch_ws *ws, struct str text)
{
	if (ws->s)
		ws_put_frame(ws, WS_TEXT, text);
}

size_t watch_ws_queued(const struct watch_ws *ws)
{
	return ws->s ? stream_queued(ws->s) : 0;
}

struct watch_ws *watch_ws_close(struct watch_ws *ws, bool orderly)
{
	if (!ws)
		return NULL;
	if (ws->s && orderly)
		ws_goodbye(ws, WS_CLOSE_NORMAL);
	else if (ws->s)
		stream_close(ws->s, false);
	buf_release(&ws->scratch);
	free(ws);
	return NULL;
}
