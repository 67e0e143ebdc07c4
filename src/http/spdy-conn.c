/*
 * A SPDY connection on the server's side, as remote command and port forward
 * need it: the client opens streams, both sides send data on them.
 *
 * No flow control: the client library that everybody uses (moby/spdystream)
 * neither obeys nor sends windows, so waiting for them would stall it after
 * 64 KiB. Pressure is TCP's: pausing stops reading for all streams together.
 */
#include <event2/buffer.h>

#include "http/upgrade.h"

#define SPDY_CONN_PIECE (32u << 10) /* largest data frame that we send */
#define SPDY_CONN_STEP (64u << 10) /* bytes taken from the input in one step */

struct spdy_conn {
	struct stream *io; /* NULL once over */
	struct spdy_codec *codec;
	struct ws_reader ws;
	struct buf ws_piece;
	const struct spdy_conn_ops *ops;
	void *arg;
	uint32_t last_stream; /* the client's highest */
	int refs;
	bool tunnelled, paused;
};

static void spdy_conn_unref(struct spdy_conn *c)
{
	if (--c->refs)
		return;
	spdy_codec_free(c->codec);
	buf_release(&c->ws_piece);
	free(c);
}

static void spdy_conn_send(struct spdy_conn *c, struct str a, struct str b)
{
	if (!c->io)
		return;
	if (c->tunnelled) {
		ws_stream_write(c->io, WS_BINARY, a, b);
		return;
	}
	stream_write(c->io, a.p, a.n);
	stream_write(c->io, b.p, b.n);
}

static void spdy_conn_send_buf(struct spdy_conn *c, const struct buf *b)
{
	spdy_conn_send(c, buf_str(b), STR_NONE);
}

void spdy_conn_write(struct spdy_conn *c, uint32_t stream, struct str data, bool fin)
{
	uint8_t head[SPDY_DATA_HEAD];

	do {
		struct str piece = str_sub(data, 0, SPDY_CONN_PIECE);

		data = str_sub(data, piece.n, data.n);
		spdy_put_data_head(head, stream, fin && data.n == 0 ? SPDY_FIN : 0, (uint32_t)piece.n);
		spdy_conn_send(c, str_n((char *)head, sizeof(head)), piece);
	} while (data.n);
}

void spdy_conn_reset(struct spdy_conn *c, uint32_t stream, uint32_t status)
{
	_cleanup_buf_ struct buf b = BUF_INIT;

	spdy_put_rst_stream(&b, stream, status);
	spdy_conn_send_buf(c, &b);
}

size_t spdy_conn_queued(const struct spdy_conn *c)
{
	return c->io ? stream_queued(c->io) : 0;
}

void spdy_conn_pause(struct spdy_conn *c, bool paused)
{
	c->paused = paused;
	if (c->io)
		stream_pause(c->io, paused);
}

void spdy_conn_end(struct spdy_conn *c, bool orderly)
{
	struct stream *io;
	_cleanup_buf_ struct buf b = BUF_INIT;

	if (!c->io)
		return;
	if (orderly) {
		spdy_put_goaway(&b, c->last_stream, 0);
		spdy_conn_send_buf(c, &b);
	}
	io = take_ptr(&c->io);
	if (orderly && c->tunnelled)
		ws_stream_close(io, WS_CLOSE_NORMAL);
	else
		stream_close(io, orderly);
	spdy_conn_unref(c);
}

/* The client is gone, or must go: the user is told. */
static void spdy_conn_lost(struct spdy_conn *c, int ws_code)
{
	struct stream *io = take_ptr(&c->io);

	if (!io)
		return;
	if (ws_code && c->tunnelled)
		ws_stream_close(io, ws_code);
	else
		stream_close(io, ws_code != 0);
	c->ops->on_close(c->arg);
	spdy_conn_unref(c);
}

/* --- frames --- */

static void spdy_conn_open(struct spdy_conn *c, const struct spdy_event *ev)
{
	_cleanup_buf_ struct buf b = BUF_INIT;

	/* Client ids are odd and grow. */
	if (!(ev->stream & 1) || ev->stream <= c->last_stream) {
		spdy_put_rst_stream(&b, ev->stream, SPDY_RST_PROTOCOL_ERROR);
	} else {
		c->last_stream = ev->stream;
		if (c->ops->on_open(c->arg, ev))
			spdy_put_syn_reply(c->codec, &b, ev->stream, 0, NULL, 0);
		else
			spdy_put_rst_stream(&b, ev->stream, SPDY_RST_REFUSED_STREAM);
	}
	spdy_conn_send_buf(c, &b);
	if (c->io && (ev->flags & SPDY_FIN))
		c->ops->on_data(c->arg, ev->stream, STR_NONE, true);
}

static void spdy_conn_ping(struct spdy_conn *c, const struct spdy_event *ev)
{
	_cleanup_buf_ struct buf b = BUF_INIT;

	/* Even ids answer ours, which we do not send; a flood that nobody reads the answers of is not answered. */
	if (!(ev->stream & 1) || spdy_conn_queued(c) > CONN_HIGH)
		return;
	spdy_put_ping(&b, ev->stream);
	spdy_conn_send_buf(c, &b);
}

static void spdy_conn_event(struct spdy_conn *c, const struct spdy_event *ev)
{
	switch (ev->type) {
	case SPDY_SYN_STREAM:
		if (spdy_conn_queued(c) > 4 * CONN_HIGH)
			spdy_conn_lost(c, WS_CLOSE_TOO_BIG);
		else
			spdy_conn_open(c, ev);
		break;
	case SPDY_DATA:
		c->ops->on_data(c->arg, ev->stream, ev->data, ev->last && (ev->flags & SPDY_FIN));
		break;
	case SPDY_RST_STREAM:
		c->ops->on_reset(c->arg, ev->stream);
		break;
	case SPDY_PING:
		spdy_conn_ping(c, ev);
		break;
	default:
		break; /* replies, settings, windows, GOAWAY: the client's end follows by itself */
	}
}

/* Feeds SPDY bytes. A pause in the middle does not hold back what was read already; it is bounded by the step. */
static void spdy_conn_feed(struct spdy_conn *c, struct str in)
{
	while (c->io) {
		struct spdy_event ev;
		size_t used;
		enum spdy_result res = spdy_read(c->codec, in, &used, &ev, NULL);

		in = str_sub(in, used, in.n);
		if (res == SPDY_BAD)
			spdy_conn_lost(c, WS_CLOSE_PROTOCOL);
		if (res != SPDY_EVENT)
			return;
		spdy_conn_event(c, &ev);
	}
}

static void spdy_conn_ws_event(struct spdy_conn *c, const struct ws_event *ev)
{
	switch (ev->opcode) {
	case WS_BINARY:
		spdy_conn_feed(c, ev->data);
		break;
	case WS_PING:
		if (spdy_conn_queued(c) <= CONN_HIGH)
			ws_stream_write(c->io, WS_PONG, ev->data, STR_NONE);
		break;
	case WS_CLOSE:
		spdy_conn_lost(c, WS_CLOSE_NORMAL);
		break;
	case WS_TEXT:
		spdy_conn_lost(c, 1003); /* unsupported data */
		break;
	default:
		break;
	}
}

static void spdy_conn_feed_ws(struct spdy_conn *c, struct str in)
{
	while (c->io) {
		struct ws_event ev;
		size_t used;
		enum ws_result res = ws_read(&c->ws, in, &used, &c->ws_piece, &ev);

		in = str_sub(in, used, in.n);
		if (res == WS_BAD)
			spdy_conn_lost(c, c->ws.error);
		if (res != WS_EVENT)
			return;
		spdy_conn_ws_event(c, &ev);
	}
}

static void spdy_conn_on_data(void *arg, struct evbuffer *in)
{
	struct spdy_conn *c = arg;
	size_t n;

	c->refs++;
	while (c->io && !c->paused && (n = evbuffer_get_contiguous_space(in)) > 0) {
		struct str piece;

		n = n < SPDY_CONN_STEP ? n : SPDY_CONN_STEP;
		piece = str_n((char *)evbuffer_pullup(in, (ev_ssize_t)n), n);
		if (c->tunnelled)
			spdy_conn_feed_ws(c, piece);
		else
			spdy_conn_feed(c, piece);
		if (c->io)
			evbuffer_drain(in, n);
	}
	spdy_conn_unref(c);
}

static void spdy_conn_on_drain(void *arg)
{
	struct spdy_conn *c = arg;

	if (c->ops->on_drain)
		c->ops->on_drain(c->arg);
}

static void spdy_conn_on_close(void *arg, const struct err *e)
{
	struct spdy_conn *c = arg;

	c->io = NULL;
	c->ops->on_close(c->arg);
	spdy_conn_unref(c);
}

static const struct stream_ops spdy_conn_stream_ops = {
	.on_data = spdy_conn_on_data,
	.on_drain = spdy_conn_on_drain,
	.on_close = spdy_conn_on_close,
};

struct spdy_conn *spdy_conn_new(struct stream *s, bool tunnelled, const struct spdy_conn_ops *ops, void *arg)
{
	struct spdy_conn *c = xcalloc(1, sizeof(*c));

	c->io = s;
	c->refs = 1;
	c->codec = spdy_codec_new();
	c->tunnelled = tunnelled;
	c->ws.masked_input = true;
	buf_init(&c->ws_piece);
	c->ops = ops;
	c->arg = arg;
	stream_set(s, &spdy_conn_stream_ops, c);
	return c;
}
