/*
 * A request on the server's side: its body in, its response out, and what the
 * server answers by itself (as Kubernetes Status objects, which clients print).
 *
 * A body that its user does not want is read and dropped when it is small, so
 * that the connection lives on; else the connection ends with the response.
 */
#include <stdio.h>
#include <time.h>

#include <event2/buffer.h>

#include "base/time.h"
#include "http/serving.h"

#define REQUEST_SKIP_BYTES (256 << 10) /* as Go's server */
#define REQUEST_COPY_BYTES 4096 /* chunks up to this are copied */
#define REQUEST_TAKE_BYTES (64u << 10) /* body bytes handled in one step */

struct http_req *request_new(struct serve_conn *c, struct http_head *head)
{
	struct http_req *r = xcalloc(1, sizeof(*r));

	r->c = c;
	r->head = *head;
	r->keep = head->keep_alive;
	buf_init(&r->body);
	r->body_done = !head->chunked && head->content_length <= 0;
	return r;
}

void request_free(struct http_req *r)
{
	http_head_release(&r->head);
	buf_release(&r->body);
	free(r);
}

const struct http_head *http_req_head(const struct http_req *r)
{
	return &r->head;
}

const struct http_peer *http_req_peer(const struct http_req *r)
{
	return &r->c->peer;
}

void http_req_on_gone(struct http_req *r, void (*cb)(void *arg), void *arg)
{
	r->gone_cb = cb;
	r->gone_arg = arg;
}

void http_req_on_drain(struct http_req *r, void (*cb)(void *arg), void *arg)
{
	r->drain_cb = cb;
	r->drain_arg = arg;
}

size_t http_req_queued(const struct http_req *r)
{
	return conn_queued(r->c->io);
}

/* --- bodies --- */

/* The body is wanted: tells a client that waits for this. What comes, comes from the loop, never from in here. */
static void request_want(struct http_req *r, size_t max, void *arg)
{
	static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
	struct serve_conn *c = r->c;

	r->body_max = max;
	r->body_arg = arg;
	r->body_wanted = true;
	if (r->head.expect_continue && !r->body_done && !r->begun && (size_t)c->body_left <= max &&
	    evbuffer_get_length(conn_input(c->io)) == 0) {
		evbuffer_add(conn_out(c->io), go_on, sizeof(go_on) - 1);
		conn_push(c->io);
		r->continued = true;
	}
	conn_kick(c->io);
}

void http_req_want_body(struct http_req *r, size_t max, void (*cb)(void *arg, struct http_req *r, struct str body),
			void *arg)
{
	r->body_cb = cb;
	if (!r->body_done)
		serve_wait(r->c, SERVE_WAIT_BODY);
	request_want(r, max, arg);
}

void http_req_stream_body(struct http_req *r, void (*on_data)(void *arg, struct http_req *r, struct str data),
			  void (*on_end)(void *arg, struct http_req *r), void *arg)
{
	r->body_data = on_data;
	r->body_end = on_end;
	request_want(r, SIZE_MAX, arg);
}

void http_req_pause_body(struct http_req *r, bool paused)
{
	if (r->body_paused == paused)
		return;
	r->body_paused = paused;
	if (!paused)
		conn_kick(r->c->io);
}

/* Takes what is there of the body; out NULL drops it. HTTP_DONE at its end. */
static enum http_parse request_take(struct serve_conn *c, struct buf *out, size_t *ret_n)
{
	struct evbuffer *in = conn_input(c->io);
	size_t n = evbuffer_get_contiguous_space(in), used;
	enum http_parse p;
	char *data;

	*ret_n = 0;
	if (!c->chunked && c->body_left == 0)
		return HTTP_DONE;
	if (n == 0)
		return HTTP_MORE;
	if (n > REQUEST_TAKE_BYTES)
		n = REQUEST_TAKE_BYTES;
	data = (char *)evbuffer_pullup(in, (ev_ssize_t)n);
	if (c->chunked) {
		p = http1_chunked_read(&c->chunk, str_n(data, n), &used, out);
	} else {
		used = (int64_t)n < c->body_left ? n : (size_t)c->body_left;
		if (out)
			buf_add(out, data, used);
		c->body_left -= (int64_t)used;
		p = c->body_left ? HTTP_MORE : HTTP_DONE;
	}
	evbuffer_drain(in, used);
	if (p == HTTP_DONE)
		c->chunked = false;
	*ret_n = used;
	return p;
}

static bool request_skip(struct serve_conn *c)
{
	size_t n;
	enum http_parse p = request_take(c, NULL, &n);

	c->skipped += n;
	if (p == HTTP_BAD || c->skipped > REQUEST_SKIP_BYTES + LIMIT_HEADER_BYTES)
		serve_close(c, true);
	else if (p == HTTP_DONE)
		serve_next(c);
	return n > 0 || p == HTTP_DONE;
}

static void request_body_complete(struct http_req *r)
{
	void (*cb)(void *arg, struct http_req *r, struct str body) = r->body_cb;
	struct buf body = r->body;

	r->body_done = true;
	r->body_wanted = false;
	buf_init(&r->body);
	serve_wait(r->c, SERVE_WAIT_NONE);
	cb(r->body_arg, r, buf_str(&body));
	buf_release(&body);
}

/* The next piece of a streamed body. Its user may end the request with either callback. */
static bool request_give_piece(struct http_req *r)
{
	struct serve_conn *c = r->c;
	_cleanup_buf_ struct buf piece = BUF_INIT;
	enum http_parse p;
	size_t n;

	if (r->body_paused)
		return false;
	p = request_take(c, &piece, &n);
	if (p == HTTP_BAD && r->begun) {
		serve_gone(c);
		return true;
	}
	if (p == HTTP_BAD) {
		request_refuse(c, 400, "BadRequest", "malformed chunked body");
		return true;
	}
	if (piece.len)
		r->body_data(r->body_arg, r, buf_str(&piece));
	if (p == HTTP_DONE && c->req == r) {
		r->body_done = true;
		r->body_wanted = false;
		r->body_end(r->body_arg, r);
	}
	return n > 0 || p == HTTP_DONE;
}

static void request_too_large(struct http_req *r)
{
	char msg[80];

	snprintf(msg, sizeof(msg), "Request entity too large: limit is %zu", r->body_max);
	request_refuse(r->c, 413, "RequestEntityTooLarge", msg);
}

bool request_read_body(struct serve_conn *c)
{
	struct http_req *r = c->req;
	enum http_parse p;
	size_t n;

	if (c->state == SERVE_SKIP)
		return request_skip(c);
	if (!r->body_wanted)
		return false;
	if (r->body_data)
		return request_give_piece(r);
	if ((size_t)c->body_left + r->body.len > r->body_max) {
		request_too_large(r);
		return true;
	}
	if (r->body.len == 0 && c->body_left > 0)
		buf_reserve(&r->body, (size_t)c->body_left);
	p = request_take(c, &r->body, &n);
	if (p == HTTP_BAD)
		request_refuse(c, 400, "BadRequest", "malformed chunked body");
	else if (r->body.len > r->body_max)
		request_too_large(r);
	else if (p == HTTP_DONE)
		request_body_complete(r);
	else
		return n > 0;
	return true;
}

/* --- response heads --- */

/* "Date: ...\r\n", made once for each second. */
static const char *request_date(void)
{
	static char line[64];
	static int64_t made = -1;
	int64_t now = time_wall_s();

	if (now != made) {
		char text[TIME_HTTP_LEN];

		snprintf(line, sizeof(line), "Date: %s\r\n", time_fmt_http(text, now));
		made = now;
	}
	return line;
}

/* A value may quote what a user sent; it must not become a header of its own. */
static void request_add_header(struct buf *b, struct str name, struct str value)
{
	buf_addstr(b, name);
	buf_adds(b, ": ");
	for (size_t i = 0; i < value.n; i++) {
		unsigned char ch = value.p[i];

		buf_addch(b, (ch < 0x20 && ch != '\t') || ch == 0x7f ? ' ' : (char)ch);
	}
	buf_adds(b, "\r\n");
}

static void request_start_head(struct buf *b, const struct http_resp *resp)
{
	buf_clear(b);
	buf_addf(b, "HTTP/1.1 %d %s\r\n", resp->status, http_status_text(resp->status));
	if (resp->content_type)
		request_add_header(b, STR_LIT("Content-Type"), str_of(resp->content_type));
	for (size_t i = 0; i < resp->n_headers; i++)
		request_add_header(b, resp->headers[i].name, resp->headers[i].value);
}

/* Can the next request be found behind this one's body? */
static bool request_can_keep(const struct http_req *r)
{
	const struct serve_conn *c = r->c;

	if (!r->keep || c->eof || c->srv->draining)
		return false;
	if ((!c->chunked && c->body_left == 0) || r->body_data)
		return true;
	if (r->head.expect_continue && !r->continued)
		return false;
	return c->body_left <= REQUEST_SKIP_BYTES;
}

/* length -1: chunked, or for HTTP/1.0 up to the connection's end. */
static void request_write_head(struct http_req *r, const struct http_resp *resp, int64_t length)
{
	static struct buf b = BUF_INIT;
	bool bodyless = resp->status == 204 || resp->status == 304;

	r->no_body_out = bodyless || str_eqc(r->head.method, "HEAD");
	r->chunked_out = length < 0 && r->head.minor >= 1;
	r->keep = request_can_keep(r) && (length >= 0 || r->chunked_out);
	request_start_head(&b, resp);
	buf_adds(&b, request_date());
	if (r->chunked_out)
		buf_adds(&b, "Transfer-Encoding: chunked\r\n");
	else if (length >= 0 && !bodyless)
		buf_addf(&b, "Content-Length: %lld\r\n", (long long)length);
	if (!r->keep)
		buf_adds(&b, "Connection: close\r\n");
	else if (r->head.minor == 0)
		buf_adds(&b, "Connection: keep-alive\r\n");
	buf_adds(&b, "\r\n");
	evbuffer_add(conn_out(r->c->io), b.s, b.len);
}

/* The response is complete: the request goes, the connection stays or ends. */
static void request_finish(struct http_req *r)
{
	struct serve_conn *c = r->c;
	bool keep = r->keep;

	conn_push(c->io);
	c->req = NULL;
	request_free(r);
	if (keep)
		serve_next(c);
	else
		serve_close(c, true);
}

/* --- responses --- */

void http_reply(struct http_req *r, const struct http_resp *resp, struct str body)
{
	request_write_head(r, resp, (int64_t)body.n);
	if (!r->no_body_out)
		evbuffer_add(conn_out(r->c->io), body.p, body.n);
	request_finish(r);
}

void http_reply_evbuffer(struct http_req *r, const struct http_resp *resp, struct evbuffer *body)
{
	request_write_head(r, resp, (int64_t)evbuffer_get_length(body));
	if (r->no_body_out)
		evbuffer_drain(body, evbuffer_get_length(body));
	else
		evbuffer_add_buffer(conn_out(r->c->io), body);
	request_finish(r);
}

void http_begin(struct http_req *r, const struct http_resp *resp)
{
	request_write_head(r, resp, resp->has_length ? resp->length : -1);
	r->begun = true;
	conn_push(r->c->io);
	/* A client that closed already reads no stream; its user hears of it from the loop. */
	if (r->c->eof)
		conn_kick(r->c->io);
}

/* Head, data and end of a chunk as one piece: for small data a copy costs less, in time and in memory, than the
 * three buffers that a reference needs. */
static void request_chunk_copy(struct http_req *r, struct str data)
{
	struct evbuffer *out = conn_out(r->c->io);
	char head[24];
	int n = r->chunked_out ? snprintf(head, sizeof(head), "%zx\r\n", data.n) : 0;

	evbuffer_expand(out, (size_t)n + data.n + 2);
	evbuffer_add(out, head, (size_t)n);
	evbuffer_add(out, data.p, data.n);
	if (n)
		evbuffer_add(out, "\r\n", 2);
	conn_push(r->c->io);
}

void http_chunk_evbuffer(struct http_req *r, struct evbuffer *data)
{
	size_t n = evbuffer_get_length(data);
	struct evbuffer *out;

	if (n == 0 || r->no_body_out) {
		evbuffer_drain(data, n);
		return;
	}
	if (n <= REQUEST_COPY_BYTES) {
		request_chunk_copy(r, str_n((char *)evbuffer_pullup(data, -1), n));
		evbuffer_drain(data, n);
		return;
	}
	out = conn_out(r->c->io);
	if (r->chunked_out)
		evbuffer_add_printf(out, "%zx\r\n", n);
	evbuffer_add_buffer(out, data);
	if (r->chunked_out)
		evbuffer_add(out, "\r\n", 2);
	conn_push(r->c->io);
}

void http_chunk(struct http_req *r, struct str data)
{
	if (data.n && !r->no_body_out)
		request_chunk_copy(r, data);
}

void http_end(struct http_req *r)
{
	if (r->chunked_out && !r->no_body_out)
		evbuffer_add(conn_out(r->c->io), "0\r\n\r\n", 5);
	request_finish(r);
}

struct stream *http_upgrade(struct http_req *r, const struct http_resp *resp)
{
	struct serve_conn *c = r->c;
	struct conn *io = c->io;
	_cleanup_buf_ struct buf b = BUF_INIT;
	bool named = false;

	for (size_t i = 0; i < resp->n_headers; i++)
		named = named || str_ieq(resp->headers[i].name, STR_LIT("Connection"));
	request_start_head(&b, resp);
	if (!named)
		buf_adds(&b, "Connection: Upgrade\r\n");
	buf_adds(&b, "\r\n");
	evbuffer_add(conn_out(io), b.s, b.len);
	conn_push(io);
	c->req = NULL;
	request_free(r);
	c->io = NULL;
	serve_close(c, false);
	return stream_from_conn(io);
}

void http_abort(struct http_req *r)
{
	struct serve_conn *c = r->c;

	c->req = NULL;
	request_free(r);
	serve_close(c, false);
}

/* --- the server's own answers --- */

void request_refuse(struct serve_conn *c, int status, const char *reason, const char *message)
{
	struct http_req *r = take_ptr(&c->req);
	struct http_resp resp = { .status = status, .content_type = "application/json" };
	void (*cb)(void *arg) = r ? r->gone_cb : NULL;
	void *arg = r ? r->gone_arg : NULL;
	_cleanup_buf_ struct buf b = BUF_INIT;
	struct http_head none = { .minor = 1 };

	buf_adds(&b, "{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},\"status\":\"Failure\",\"message\":");
	buf_add_json_string(&b, str_of(message));
	if (*reason) {
		buf_adds(&b, ",\"reason\":");
		buf_add_json_string(&b, str_of(reason));
	}
	buf_addf(&b, ",\"code\":%d}\n", status);
	if (r)
		r->gone_cb = NULL;
	else
		r = request_new(c, &none);
	r->keep = false;
	http_reply(r, &resp, buf_str(&b));
	if (cb)
		cb(arg);
}
