/*
 * exec and attach, the kubelet's end (kubelet/pkg/cri/streaming/remotecommand):
 * five channels (stdin 0, stdout 1, stderr 2, error 3, resize 4) over WebSocket
 * messages that begin with the channel's number, or over SPDY streams that name
 * their type in a header.
 *
 * The end of a session is a Status on the error channel (v4 and later: JSON;
 * before: the text of a failure only), the end of every stream, and an orderly
 * close of the connection. v5 adds a message {255, channel} by which a WebSocket
 * client closes stdin.
 *
 * Stdin waits in `in` until its user takes it; past CONN_HIGH reading stops.
 */
#include "http/remote.h"

#include <stdio.h>

#include <event2/buffer.h>

#include "http/upgrade.h"

#define REMOTE_OPEN_MS 30000 /* all of a client's SPDY streams; the kubelet's streamCreationTimeout */
#define REMOTE_PIECE (32u << 10)
#define REMOTE_RESIZE_MAX 1024
#define REMOTE_WS_FRAME_MAX (32u << 20) /* as golang.org/x/net/websocket */

enum { CH_STDIN, CH_STDOUT, CH_STDERR, CH_ERROR, CH_RESIZE, CH_COUNT, CH_CLOSE = 255, CH_NONE = -1 };

struct remote {
	struct loop *loop;
	struct stream *ws; /* one of these two, until the session is over */
	struct spdy_conn *spdy;
	struct remote_want want;
	const struct remote_ops *ops;
	void *arg;
	struct loop_task task;
	struct loop_timer *timer; /* until open */
	int refs;
	bool json_status, base64, ready, opened, stalled, paused, in_eof, eof_told;
	struct evbuffer *in; /* stdin not yet taken; NULL while empty */
	struct buf resize; /* JSON text of a size, gathered */
	int cols, rows; /* the latest size; 0 once told */
	/* WebSocket */
	struct ws_reader reader;
	struct buf piece, text; /* text: a base64 message, gathered */
	int channel; /* of the message under way */
	/* SPDY: stream ids, 0 where there is none (any more) */
	uint32_t id[CH_COUNT];
	int expected;
};

static const char *const remote_types[CH_COUNT] = { "stdin", "stdout", "stderr", "error", "resize" };

static const struct {
	const char *name;
	bool json, base64;
} remote_ws_forms[] = {
	{ "v5.channel.k8s.io", true, false },
	{ "v4.channel.k8s.io", true, false },
	{ "v4.base64.channel.k8s.io", true, true },
	{ "channel.k8s.io", false, false },
	{ "base64.channel.k8s.io", false, true },
};
static const char *const remote_spdy_forms[] = { "v5.channel.k8s.io", "v4.channel.k8s.io", "v3.channel.k8s.io",
						 "v2.channel.k8s.io", "channel.k8s.io", NULL };

static bool remote_flag(struct str query, const char *kubelet, const char *api)
{
	_cleanup_buf_ struct buf v = BUF_INIT;

	if (!http_query_get(query, kubelet, &v) && !http_query_get(query, api, &v))
		return false;
	return str_eqc(buf_str(&v), "1") || str_eqc(buf_str(&v), "true");
}

int remote_want_parse(struct remote_want *ret, struct str query, struct err *e)
{
	ret->in = remote_flag(query, "input", "stdin");
	ret->out = remote_flag(query, "output", "stdout");
	ret->err = remote_flag(query, "error", "stderr");
	ret->tty = remote_flag(query, "tty", "tty");
	if (ret->tty)
		ret->err = false;
	if (!ret->in && !ret->out && !ret->err)
		return err_set(e, ERR_BAD_REQUEST, "you must specify at least 1 of stdin, stdout, stderr");
	return 0;
}

/* --- life --- */

static bool remote_alive(const struct remote *s)
{
	return s->ws || s->spdy;
}

static void remote_unref(struct remote *s)
{
	if (--s->refs)
		return;
	if (s->in)
		evbuffer_free(s->in);
	buf_release(&s->resize);
	buf_release(&s->piece);
	buf_release(&s->text);
	free(s);
}

/* The connection was handed on or is gone: no callback comes from here on. */
static void remote_drop(struct remote *s)
{
	s->ws = NULL;
	s->spdy = NULL;
	loop_undefer(s->loop, &s->task);
	s->timer = loop_timer_free(s->timer);
	remote_unref(s);
}

/* The client ended it (ws_code: what we answer), or is gone already (0). */
static void remote_lost(struct remote *s, int ws_code)
{
	const struct remote_ops *ops = s->ops;
	void *arg = s->arg;

	if (!remote_alive(s))
		return;
	if (s->ws && ws_code)
		ws_stream_close(s->ws, ws_code);
	else if (s->spdy && ws_code)
		spdy_conn_end(s->spdy, true);
	remote_drop(s);
	ops->on_close(arg);
}

static void remote_late(void *arg)
{
	remote_lost(arg, WS_CLOSE_PROTOCOL);
}

/* --- stdin to its user --- */

static void remote_set_paused(struct remote *s, bool paused)
{
	if (s->paused == paused || !remote_alive(s))
		return;
	s->paused = paused;
	if (s->ws)
		stream_pause(s->ws, paused);
	else
		spdy_conn_pause(s->spdy, paused);
}

static void remote_offer(struct remote *s)
{
	while (remote_alive(s) && s->in && !s->stalled) {
		size_t n = evbuffer_get_contiguous_space(s->in), took;

		if (n == 0) {
			evbuffer_free(s->in);
			s->in = NULL;
			break;
		}
		took = s->ops->on_stdin(s->arg, str_n((char *)evbuffer_pullup(s->in, (ev_ssize_t)n), n));
		BUG_ON(took > n);
		s->stalled = took < n;
		evbuffer_drain(s->in, took);
	}
	if (remote_alive(s))
		remote_set_paused(s, s->in && evbuffer_get_length(s->in) > (s->paused ? CONN_LOW : CONN_HIGH));
	if (remote_alive(s) && !s->in && s->in_eof && !s->eof_told) {
		s->eof_told = true;
		if (s->ops->on_stdin_eof)
			s->ops->on_stdin_eof(s->arg);
	}
}

static void remote_tell_size(struct remote *s)
{
	int cols = s->cols;

	s->cols = 0;
	if (cols && remote_alive(s) && s->ops->on_resize)
		s->ops->on_resize(s->arg, cols, s->rows);
}

static void remote_run(struct loop_task *t)
{
	struct remote *s = CONTAINER_OF(t, struct remote, task);

	s->refs++;
	if (s->ready && !s->opened) {
		s->opened = true;
		s->timer = loop_timer_free(s->timer);
		s->ops->on_open(s->arg);
	}
	if (s->opened)
		remote_tell_size(s);
	if (s->opened)
		remote_offer(s);
	remote_unref(s);
}

static void remote_got_stdin(struct remote *s, struct str data)
{
	if (!s->want.in || s->in_eof || data.n == 0)
		return;
	if (!s->in) {
		s->in = evbuffer_new();
		BUG_ON(!s->in);
	}
	evbuffer_add(s->in, data.p, data.n);
	if (evbuffer_get_length(s->in) > CONN_HIGH)
		remote_set_paused(s, true);
	loop_defer(s->loop, &s->task);
}

static void remote_got_stdin_eof(struct remote *s)
{
	if (!s->want.in)
		return;
	s->in_eof = true;
	loop_defer(s->loop, &s->task);
}

void remote_ready(struct remote *s)
{
	s->stalled = false;
	loop_defer(s->loop, &s->task);
}

/* --- sizes: {"Width":80,"Height":24} --- */

/* The number behind "name": , case folded as Go's decoder; -1 when there is none. */
static int remote_json_number(struct str s, const char *name)
{
	size_t n = strlen(name);

	for (size_t i = 0; i + n + 2 < s.n; i++) {
		int v = 0;
		size_t k = i + n + 2;

		if (s.p[i] != '"' || s.p[i + n + 1] != '"' || strncasecmp(s.p + i + 1, name, n) != 0)
			continue;
		while (k < s.n && strchr(" \t\r\n:", s.p[k]))
			k++;
		if (k == s.n || s.p[k] < '0' || s.p[k] > '9')
			return -1;
		while (k < s.n && s.p[k] >= '0' && s.p[k] <= '9' && v <= 65535)
			v = v * 10 + (s.p[k++] - '0');
		return v <= 65535 ? v : -1;
	}
	return -1;
}

static void remote_got_resize(struct remote *s, struct str data)
{
	ssize_t end;

	buf_addstr(&s->resize, data);
	while ((end = str_find(buf_str(&s->resize), '}')) >= 0) {
		struct str one = str_n(s->resize.s, (size_t)end + 1);
		int cols = remote_json_number(one, "width"), rows = remote_json_number(one, "height");

		buf_remove(&s->resize, 0, one.n);
		if (cols > 0 && rows > 0) {
			s->cols = cols;
			s->rows = rows;
			loop_defer(s->loop, &s->task);
		}
	}
	if (s->resize.len > REMOTE_RESIZE_MAX)
		buf_clear(&s->resize);
}

/* --- WebSocket --- */

static void remote_ws_channel(struct remote *s, struct str data)
{
	if (s->channel == CH_STDIN)
		remote_got_stdin(s, data);
	else if (s->channel == CH_RESIZE)
		remote_got_resize(s, data);
	else if (s->channel == CH_CLOSE && data.n && data.p[0] == CH_STDIN)
		remote_got_stdin_eof(s);
}

static void remote_ws_base64(struct remote *s, const struct ws_event *ev)
{
	_cleanup_buf_ struct buf raw = BUF_INIT;

	buf_addstr(&s->text, ev->data);
	if (s->text.len > LIMIT_FRAME_BYTES) {
		remote_lost(s, WS_CLOSE_TOO_BIG);
		return;
	}
	if (!ev->last)
		return;
	if (s->text.len && buf_add_base64_decoded(&raw, str_sub(buf_str(&s->text), 1, s->text.len), false)) {
		s->channel = (unsigned char)s->text.s[0] - '0';
		remote_ws_channel(s, buf_str(&raw));
	}
	buf_clear(&s->text);
}

static void remote_ws_message(struct remote *s, const struct ws_event *ev)
{
	struct str data = ev->data;

	if (s->base64) {
		remote_ws_base64(s, ev);
		return;
	}
	if (ev->first)
		s->channel = CH_NONE;
	if (s->channel == CH_NONE && data.n) {
		s->channel = (unsigned char)data.p[0];
		data = str_sub(data, 1, data.n);
	}
	remote_ws_channel(s, data);
}

static void remote_ws_event(struct remote *s, const struct ws_event *ev)
{
	switch (ev->opcode) {
	case WS_TEXT:
	case WS_BINARY:
		remote_ws_message(s, ev);
		break;
	case WS_PING:
		if (stream_queued(s->ws) <= CONN_HIGH)
			ws_stream_write(s->ws, WS_PONG, ev->data, STR_NONE);
		break;
	case WS_CLOSE:
		remote_lost(s, WS_CLOSE_NORMAL);
		break;
	default:
		break;
	}
}

static void remote_ws_feed(struct remote *s, struct str in)
{
	while (s->ws) {
		struct ws_event ev;
		size_t used;
		enum ws_result res = ws_read(&s->reader, in, &used, &s->piece, &ev);

		in = str_sub(in, used, in.n);
		if (res == WS_BAD)
			remote_lost(s, s->reader.error);
		if (res != WS_EVENT)
			return;
		remote_ws_event(s, &ev);
	}
}

static void remote_ws_on_data(void *arg, struct evbuffer *in)
{
	struct remote *s = arg;
	size_t n;

	s->refs++;
	while (s->ws && !s->paused && (n = evbuffer_get_contiguous_space(in)) > 0) {
		n = n < REMOTE_PIECE ? n : REMOTE_PIECE;
		remote_ws_feed(s, str_n((char *)evbuffer_pullup(in, (ev_ssize_t)n), n));
		if (s->ws)
			evbuffer_drain(in, n);
	}
	remote_unref(s);
}

static void remote_on_drain(void *arg)
{
	struct remote *s = arg;

	if (s->opened && s->ops->on_drain)
		s->ops->on_drain(s->arg);
}

static void remote_ws_on_close(void *arg, const struct err *e)
{
	struct remote *s = arg;

	s->refs++;
	remote_lost(s, 0);
	remote_unref(s);
}

static const struct stream_ops remote_ws_ops = {
	.on_data = remote_ws_on_data,
	.on_drain = remote_on_drain,
	.on_close = remote_ws_on_close,
};

static void remote_ws_send(struct remote *s, int channel, struct str data)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	char ch = (char)(s->base64 ? '0' + channel : channel);

	if (!s->base64) {
		ws_stream_write(s->ws, WS_BINARY, str_n(&ch, 1), data);
		return;
	}
	buf_add_base64(&b, data.p, data.n, false);
	ws_stream_write(s->ws, WS_TEXT, str_n(&ch, 1), buf_str(&b));
}

/* --- SPDY --- */

static int remote_spdy_channel(const struct remote *s, uint32_t id)
{
	for (int i = 0; i < CH_COUNT; i++) {
		if (s->id[i] == id)
			return i;
	}
	return CH_NONE;
}

static bool remote_spdy_open(void *arg, const struct spdy_event *ev)
{
	struct remote *s = arg;
	struct str type = spdy_event_header(ev, "streamtype");
	int ch = 0;

	while (ch < CH_COUNT && !str_eqc(type, remote_types[ch]))
		ch++;
	if (ch == CH_COUNT || s->id[ch] || s->ready)
		return false;
	s->id[ch] = ev->stream;
	s->expected &= ~(1 << ch);
	if (!s->expected) {
		s->ready = true;
		loop_defer(s->loop, &s->task);
	}
	return true;
}

static void remote_spdy_data(void *arg, uint32_t id, struct str data, bool fin)
{
	struct remote *s = arg;
	int ch = remote_spdy_channel(s, id);

	s->refs++;
	if (ch == CH_STDIN)
		remote_got_stdin(s, data);
	else if (ch == CH_RESIZE)
		remote_got_resize(s, data);
	if (ch == CH_STDIN && fin)
		remote_got_stdin_eof(s);
	remote_unref(s);
}

static void remote_spdy_reset(void *arg, uint32_t id)
{
	struct remote *s = arg;
	int ch = remote_spdy_channel(s, id);

	if (ch == CH_NONE)
		return;
	s->id[ch] = 0;
	if (ch == CH_STDIN)
		remote_got_stdin_eof(s);
}

static void remote_spdy_close(void *arg)
{
	remote_lost(arg, 0);
}

static const struct spdy_conn_ops remote_spdy_ops = {
	.on_open = remote_spdy_open,
	.on_data = remote_spdy_data,
	.on_reset = remote_spdy_reset,
	.on_drain = remote_on_drain,
	.on_close = remote_spdy_close,
};

/* --- accepting --- */

static struct remote *remote_new(struct stream *io, struct remote_want want, const struct remote_ops *ops, void *arg)
{
	struct remote *s = xcalloc(1, sizeof(*s));

	s->loop = stream_loop(io);
	s->want = want;
	s->want.err = want.err && !want.tty;
	s->ops = ops;
	s->arg = arg;
	s->refs = 1;
	s->task.run = remote_run;
	s->channel = CH_NONE;
	buf_init(&s->resize);
	buf_init(&s->piece);
	buf_init(&s->text);
	return s;
}

static struct remote *remote_accept_ws(struct http_req *r, struct remote_want want, const struct remote_ops *ops, void *arg)
{
	const char *names[ARRAY_SIZE(remote_ws_forms) + 1] = { NULL };
	struct stream *io;
	struct remote *s;
	int form;

	for (size_t i = 0; i < ARRAY_SIZE(remote_ws_forms); i++)
		names[i] = remote_ws_forms[i].name;
	io = upgrade_websocket(r, names, true, &form);
	if (!io)
		return NULL;
	s = remote_new(io, want, ops, arg);
	s->ws = io;
	s->json_status = form >= 0 && remote_ws_forms[form].json;
	s->base64 = form >= 0 && remote_ws_forms[form].base64;
	s->reader.masked_input = true;
	s->reader.max_frame = REMOTE_WS_FRAME_MAX;
	s->ready = true;
	/* An empty message tells the client that the connection stands. */
	remote_ws_send(s, s->want.out ? CH_STDOUT : s->want.err ? CH_STDERR : CH_ERROR, STR_NONE);
	stream_set(io, &remote_ws_ops, s);
	loop_defer(s->loop, &s->task);
	return s;
}

struct remote *remote_accept(struct http_req *r, struct remote_want want, const struct remote_ops *ops, void *arg)
{
	struct stream *io;
	struct remote *s;
	int form;

	if (upgrade_is_websocket(http_req_head(r)))
		return remote_accept_ws(r, want, ops, arg);
	io = upgrade_spdy(r, remote_spdy_forms, &form);
	if (!io)
		return NULL;
	s = remote_new(io, want, ops, arg);
	s->json_status = form <= 1;
	s->expected = 1 << CH_ERROR | (want.in ? 1 << CH_STDIN : 0) | (want.out ? 1 << CH_STDOUT : 0) |
		      (s->want.err ? 1 << CH_STDERR : 0) | (want.tty && form <= 2 ? 1 << CH_RESIZE : 0);
	s->spdy = spdy_conn_new(io, false, &remote_spdy_ops, s);
	s->timer = loop_timer_new(s->loop, remote_late, s);
	loop_timer_set(s->timer, REMOTE_OPEN_MS);
	return s;
}

/* --- output and the end --- */

size_t remote_queued(const struct remote *s)
{
	return s->ws ? stream_queued(s->ws) : s->spdy ? spdy_conn_queued(s->spdy) : 0;
}

bool remote_write(struct remote *s, enum remote_channel c, struct str data)
{
	if (!(c == REMOTE_STDOUT ? s->want.out : s->want.err))
		return true;
	if (s->spdy && s->id[c] && data.n)
		spdy_conn_write(s->spdy, s->id[c], data, false);
	while (s->ws && data.n) {
		struct str piece = str_sub(data, 0, REMOTE_PIECE);

		remote_ws_send(s, (int)c, piece);
		data = str_sub(data, piece.n, data.n);
	}
	return remote_queued(s) <= CONN_HIGH;
}

/* Ends with text on the error channel. */
static void remote_end(struct remote *s, struct str text)
{
	if (s->ws) {
		if (text.n)
			remote_ws_send(s, CH_ERROR, text);
		ws_stream_close(s->ws, WS_CLOSE_NORMAL);
	} else {
		for (int ch = CH_STDIN; ch < CH_COUNT; ch++) {
			if (s->id[ch] && ch != CH_ERROR)
				spdy_conn_write(s->spdy, s->id[ch], STR_NONE, true);
		}
		if (s->id[CH_ERROR])
			spdy_conn_write(s->spdy, s->id[CH_ERROR], text, true);
		spdy_conn_end(s->spdy, true);
	}
	remote_drop(s);
}

void remote_exit(struct remote *s, int exit_code)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	char text[100];

	snprintf(text, sizeof(text), "command terminated with non-zero exit code: exit status %d", exit_code);
	if (s->json_status && exit_code == 0)
		buf_adds(&b, "{\"metadata\":{},\"status\":\"Success\"}\n");
	else if (s->json_status)
		buf_addf(&b, "{\"metadata\":{},\"status\":\"Failure\",\"message\":\"%s\",\"reason\":\"NonZeroExitCode\","
			 "\"details\":{\"causes\":[{\"reason\":\"ExitCode\",\"message\":\"%d\"}]}}\n", text, exit_code);
	else if (exit_code)
		buf_adds(&b, text);
	remote_end(s, buf_str(&b));
}

void remote_fail(struct remote *s, const struct err *e)
{
	_cleanup_buf_ struct buf b = BUF_INIT, msg = BUF_INIT;

	buf_addf(&msg, "Internal error occurred: %s", err_msg(e));
	if (s->json_status) {
		buf_adds(&b, "{\"metadata\":{},\"status\":\"Failure\",\"message\":");
		buf_add_json_string(&b, buf_str(&msg));
		buf_adds(&b, ",\"reason\":\"InternalError\",\"details\":{\"causes\":[{\"message\":");
		buf_add_json_string(&b, str_of(err_msg(e)));
		buf_adds(&b, "}]},\"code\":500}\n");
	} else {
		buf_addstr(&b, buf_str(&msg));
	}
	remote_end(s, buf_str(&b));
}

void remote_abort(struct remote *s)
{
	if (s->ws)
		stream_close(s->ws, false);
	else
		spdy_conn_end(s->spdy, false);
	remote_drop(s);
}
