/*
 * The pure codecs: HTTP/1.1 heads and chunks, WebSocket frames, SPDY frames.
 */
#include "base/limits.h"
#include "tap.h"
#include "wire/html.h"
#include "wire/http1.h"
#include "wire/spdy.h"
#include "wire/websocket.h"

static enum http_parse request(struct http_head *h, const char *s, size_t *used, int *st)
{
	*st = 0;
	return http1_parse_request(h, str_of(s), used, st);
}

static void test_http_request(void)
{
	static const char req[] = "POST /api/v1/pods?limit=5&watch HTTP/1.1\r\nHost: a\r\ncontent-LENGTH:  12 \r\n"
				  "Connection: keep-alive, Upgrade\r\nUpgrade: SPDY/3.1\r\nX: \r\n\r\nrest";
	struct http_head h;
	size_t used, n = sizeof(req) - 1;
	int st;
	bool more = true;

	is_int(request(&h, req, &used, &st), HTTP_DONE, "a request");
	is_int(used, n - 4, "and nothing behind it");
	ok(str_eqc(h.method, "POST") && str_eqc(h.path, "/api/v1/pods") && str_eqc(h.query, "limit=5&watch"), "its line");
	ok(h.content_length == 12 && h.upgrade && h.keep_alive && !h.chunked && h.n_headers == 5, "what follows from its headers");
	ok(str_eqc(http_head_get(&h, "host"), "a") && http_head_get(&h, "x").n == 0 && !http_head_get(&h, "y").p, "headers by name");
	http_head_release(&h);
	for (size_t i = 0; i < n - 5; i++)
		more = more && http1_parse_request(&h, str_n(req, i), &used, &st) == HTTP_MORE;
	ok(more, "every prefix wants more");
	is_int(request(&h, "GET http://h:1/p?q HTTP/1.1\r\nHost: a\r\n\r\n", &used, &st), HTTP_DONE, "absolute form");
	ok(str_eqc(h.path, "/p") && str_eqc(h.query, "q"), "its path");
	http_head_release(&h);
	is_int(request(&h, "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", &used, &st), HTTP_DONE, "asterisk form");
	http_head_release(&h);
	is_int(request(&h, "CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", &used, &st), HTTP_BAD, "authority form is refused");
	is_int(request(&h, "GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n", &used, &st), HTTP_BAD, "a bare CR");
	is_int(request(&h, "GET / HTTP/1.1\r\nHost: a\r\nX: a\x01\r\n\r\n", &used, &st), HTTP_BAD, "a control character");
	is_int(request(&h, "G\x80T / HTTP/1.1", &used, &st), HTTP_BAD, "garbage is not waited for");
}

static void test_http_many_headers(void)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	struct http_head h;
	size_t used;
	int st;

	buf_adds(&b, "GET / HTTP/1.1\r\nHost: a\r\n");
	for (int i = 0; i < LIMIT_HEADER_COUNT; i++)
		buf_adds(&b, "A: b\r\n");
	buf_adds(&b, "\r\n");
	ok(request(&h, b.s, &used, &st) == HTTP_BAD && st == 431, "too many headers");
}

static void test_http_response(void)
{
	struct http_head h;
	size_t used;

	is_int(http1_parse_response(&h, STR_LIT("HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n"), &used), HTTP_DONE, "a response");
	ok(h.status == 404 && str_eqc(h.reason, "Not Found") && h.chunked && h.keep_alive && h.content_length == -1, "its parts");
	http_head_release(&h);
	is_int(http1_parse_response(&h, STR_LIT("HTTP/1.0 200\r\n\r\n"), &used), HTTP_DONE, "no reason");
	ok(!h.keep_alive && h.minor == 0, "HTTP/1.0");
	http_head_release(&h);
	is_int(http1_parse_response(&h, STR_LIT("SSH-2.0-x"), &used), HTTP_BAD, "another protocol");
	is_int(http1_parse_response(&h, STR_LIT("HTTP/1.1 99 x\r\n\r\n"), &used), HTTP_BAD, "a bad status");
}

static void test_http_chunked(void)
{
	static const char body[] = "4;ext=\"1\"\r\nWiki\r\n5\r\npedia\r\nE\r\n in\r\n\r\nchunks.\r\n0\r\nT: x\r\n\r\nnext";
	_cleanup_buf_ struct buf out = BUF_INIT;
	struct http1_chunked c = { 0 };
	size_t used, total = 0;
	enum http_parse p = HTTP_MORE;

	for (size_t i = 0; i < sizeof(body) - 1 && p == HTTP_MORE; i++) {
		p = http1_chunked_read(&c, str_n(body + i, 1), &used, &out);
		total += used;
	}
	ok(p == HTTP_DONE && total == sizeof(body) - 5, "a chunked body, byte by byte");
	is_str(out.s, "Wikipedia in\r\n\r\nchunks.", "its payload");
	memset(&c, 0, sizeof(c));
	is_int(http1_chunked_read(&c, STR_LIT("fffffffffffffffff\r\n"), &used, NULL), HTTP_BAD, "a huge chunk");
	memset(&c, 0, sizeof(c));
	is_int(http1_chunked_read(&c, STR_LIT("1\r\nab"), &used, NULL), HTTP_BAD, "a chunk longer than it says");
	memset(&c, 0, sizeof(c));
	is_int(http1_chunked_read(&c, STR_LIT("1\nab"), &used, NULL), HTTP_BAD, "a bare LF");
}

static void test_http_query(void)
{
	_cleanup_buf_ struct buf b = BUF_INIT, v = BUF_INIT;
	struct str q = STR_LIT("a=1&b=x%2Fy+z&&c&command=sh&command=-c&bad=%zz"), rest = q;
	int n = 0;

	ok(http_query_get(q, "b", &b) && !strcmp(b.s, "x/y z"), "decoded");
	ok(http_query_get(q, "c", &b) && b.len == 0 && !http_query_get(q, "d", &b), "empty and absent");
	while (http_query_next(&rest, &b, &v))
		n += !strcmp(b.s, "command");
	is_int(n, 2, "repeated parameters");
}

/* Reads everything, `step` bytes at a time, into a text that describes it. */
static void ws_describe(struct str in, bool masked, size_t step, struct buf *out)
{
	struct ws_reader r = { .masked_input = masked, .max_frame = 100000 };
	_cleanup_buf_ struct buf scratch = BUF_INIT;
	enum ws_result res = WS_MORE;

	buf_clear(out);
	while (in.n || res == WS_EVENT) {
		struct ws_event ev;
		size_t used;

		res = ws_read(&r, str_sub(in, 0, step), &used, &scratch, &ev);
		in = str_sub(in, used, in.n);
		if (res == WS_BAD) {
			buf_addf(out, "bad %d", r.error);
			return;
		}
		if (res == WS_EVENT)
			buf_addf(out, "%s%d:%" STR_FMT "%s", ev.first ? "<" : "", ev.opcode, STR_ARG(ev.data), ev.last ? ">" : "");
		if (res == WS_EVENT && ev.opcode == WS_CLOSE)
			buf_addf(out, "=%d", ev.close_code);
	}
}

static void test_websocket(void)
{
	_cleanup_buf_ struct buf b = BUF_INIT, d = BUF_INIT;
	static const uint8_t mask[4] = { 0x37, 0xfa, 0x21, 0x3d };
	uint8_t head[WS_HEAD_MAX];
	char accept[WS_ACCEPT_LEN];

	ws_accept_key(STR_LIT("dGhlIHNhbXBsZSBub25jZQ=="), accept);
	is_str(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", "the RFC's handshake");
	ws_describe(STR_LIT("\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"), true, 100, &d);
	is_str(d.s, "<1:Hello>", "the RFC's masked Hello");
	ws_describe(STR_LIT("\x01\x03Hel\x89\x02hi\x80\x02lo"), false, 100, &d);
	is_str(d.s, "<1:Hel<9:hi>1:lo>", "fragments with a ping between");
	ws_put(&b, WS_BINARY, STR_LIT("abc"), mask);
	ws_put(&b, WS_BINARY, STR_LIT(""), mask);
	ws_put_close(&b, 1000, mask);
	ws_describe(buf_str(&b), true, 100, &d);
	is_str(d.s, "<2:abc><2:><8:\x03\xe8>=1000", "written and read");
	ws_describe(buf_str(&b), true, 1, &d);
	is_str(d.s, "<2:a2:b2:c><2:><8:\x03\xe8>=1000", "byte by byte");
	ws_describe(STR_LIT("\x81\x01x"), true, 100, &d);
	is_str(d.s, "bad 1002", "a client must mask");
	ws_describe(STR_LIT("\x80\x01x"), false, 100, &d);
	is_str(d.s, "bad 1002", "a continuation of nothing");
	ws_describe(STR_LIT("\x01\x01x\x01\x01x"), false, 100, &d);
	is_str(d.s, "<1:xbad 1002", "a message inside a message");
	ws_describe(STR_LIT("\xc1\x01x"), false, 100, &d);
	is_str(d.s, "bad 1002", "reserved bits");
	ws_describe(STR_LIT("\x09\x01x"), false, 100, &d);
	is_str(d.s, "bad 1002", "a fragmented control frame");
	ws_describe(STR_LIT("\x82\x7e\x00\x01x"), false, 100, &d);
	is_str(d.s, "bad 1002", "a length not in its shortest form");
	is_int(ws_put_head(head, WS_BINARY, true, 100001, NULL), 10, "a long frame's head");
	ws_describe(str_n((char *)head, 10), false, 100, &d);
	is_str(d.s, "bad 1009", "a frame over the limit");
}

static void spdy_describe(struct spdy_codec *c, struct str in, size_t step, struct buf *out)
{
	enum spdy_result res = SPDY_MORE;
	const char *why = "";

	buf_clear(out);
	while (in.n || res == SPDY_EVENT) {
		struct spdy_event ev;
		size_t used;

		res = spdy_read(c, str_sub(in, 0, step), &used, &ev, &why);
		in = str_sub(in, used, in.n);
		if (res == SPDY_BAD) {
			buf_addf(out, "bad: %s", why);
			return;
		}
		if (res != SPDY_EVENT)
			continue;
		buf_addf(out, "[%d %u f%d v%u", ev.type, ev.stream, ev.flags, ev.value);
		for (size_t i = 0; i < ev.n_headers; i++)
			buf_addf(out, " %" STR_FMT "=%" STR_FMT, STR_ARG(ev.headers[i].name), STR_ARG(ev.headers[i].value));
		if (ev.type == SPDY_DATA)
			buf_addf(out, " %" STR_FMT "%s", STR_ARG(ev.data), ev.last ? "." : "");
		if (ev.type == SPDY_SETTINGS)
			buf_addf(out, " w%u", ev.initial_window);
		buf_adds(out, "]");
	}
}

static void test_spdy(void)
{
	struct spdy_codec *a = spdy_codec_new(), *b = spdy_codec_new();
	_cleanup_buf_ struct buf w = BUF_INIT, d = BUF_INIT;
	struct spdy_pair h[] = { { STR_LIT("streamtype"), STR_LIT("error") }, { STR_LIT("port"), STR_LIT("80") } };

	spdy_put_syn_stream(a, &w, 1, 0, h, 2);
	spdy_put_syn_stream(a, &w, 3, SPDY_FIN, h, 1);
	spdy_put_syn_reply(a, &w, 1, 0, NULL, 0);
	spdy_put_data(&w, 1, SPDY_FIN, STR_LIT("hey"));
	spdy_put_rst_stream(&w, 3, SPDY_RST_CANCEL);
	spdy_put_initial_window(&w, 65536);
	spdy_put_ping(&w, 7);
	spdy_put_goaway(&w, 3, 0);
	spdy_put_window_update(&w, 1, 99);
	spdy_describe(b, buf_str(&w), 1 << 20, &d);
	is_str(d.s, "[1 1 f0 v0 streamtype=error port=80][1 3 f1 v0 streamtype=error][2 1 f0 v0][0 1 f1 v0 hey.][3 3 f0 v5]"
		    "[4 0 f0 v0 w65536][6 7 f0 v0][7 3 f0 v0][9 1 f0 v99]", "written and read");
	spdy_codec_free(b);
	b = spdy_codec_new();
	spdy_describe(b, buf_str(&w), 1, &d);
	is_str(d.s, "[1 1 f0 v0 streamtype=error port=80][1 3 f1 v0 streamtype=error][2 1 f0 v0][0 1 f1 v0 h][0 1 f1 v0 e]"
		    "[0 1 f1 v0 y.][3 3 f0 v5][4 0 f0 v0 w65536][6 7 f0 v0][7 3 f0 v0][9 1 f0 v99]", "byte by byte");
	spdy_codec_free(a);
	spdy_codec_free(b);
}

static void spdy_bad(struct str in, const char *want)
{
	struct spdy_codec *c = spdy_codec_new();
	_cleanup_buf_ struct buf d = BUF_INIT;

	spdy_describe(c, in, 1 << 20, &d);
	is_str(d.s, want, want);
	spdy_codec_free(c);
}

static void test_spdy_bad(void)
{
	_cleanup_buf_ struct buf w = BUF_INIT, big = BUF_INIT;
	struct spdy_codec *a = spdy_codec_new();
	struct spdy_pair h;

	spdy_bad(STR_LIT("\x80\x02\x00\x06\x00\x00\x00\x04\x00\x00\x00\x01"), "bad: not SPDY version 3");
	spdy_bad(STR_LIT("\x80\x03\x00\x06\x00\xff\xff\xff"), "bad: control frame too large");
	spdy_bad(STR_LIT("\x80\x03\x00\x06\x00\x00\x00\x02\x00\x00"), "bad: short control frame");
	spdy_bad(STR_LIT("\x00\x00\x00\x00\x00\x00\x00\x00"), "bad: data on stream 0");
	spdy_bad(STR_LIT("\x80\x03\x00\x01\x00\x00\x00\x0c\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00zz"), "bad: malformed header block");
	spdy_bad(STR_LIT("\x80\x03\x00\x04\x00\x00\x00\x04\x00\x00\x00\x09"), "bad: malformed SETTINGS");
	spdy_bad(STR_LIT("\x80\x03\x00\x63\x00\x00\x00\x04xxxx\x80\x03\x00\x06\x00\x00\x00\x04\x00\x00\x00\x01"), "[6 1 f0 v0]");
	for (int i = 0; i < 100000; i++)
		buf_addch(&big, 'a');
	h = (struct spdy_pair){ STR_LIT("bomb"), buf_str(&big) };
	spdy_put_syn_stream(a, &w, 1, 0, &h, 1);
	ok(w.len < 2000, "a small block that inflates to much");
	spdy_bad(buf_str(&w), "bad: malformed header block");
	spdy_codec_free(a);
}

/* --- links --- */

static void html_is(const char *page, const char *want)
{
	for (size_t step = 1; step < 9; step += 7) {
		struct html_links h = { .base = { STR_LIT("/p/proxy"), STR_LIT("10.0.0.1:80"), STR_LIT("asked:8001") } };
		_cleanup_buf_ struct buf out = BUF_INIT;

		buf_init(&h.tag);
		for (struct str in = str_of(page); in.n; in = str_sub(in, step, in.n))
			html_links_feed(&h, str_sub(in, 0, step), &out);
		html_links_end(&h, &out);
		is_str(out.s, want, want);
	}
}

static void test_html(void)
{
	static const char *const links[][2] = {
		{ "/x", "/p/proxy/x" },
		{ "/", "/p/proxy/" },
		{ "/p/proxy/x", "/p/proxy/x" },
		{ "x/y", "x/y" },
		{ "", "" },
		{ "?q", "?q" },
		{ "#top", "#top" },
		{ "//10.0.0.1:80/x", "/p/proxy/x" },
		{ "http://10.0.0.1:80/x?y#z", "/p/proxy/x?y#z" },
		{ "https://asked:8001/x", "https://asked:8001/p/proxy/x" },
		{ "http://asked:8001", "http://asked:8001" },
		{ "http://elsewhere/x", "http://elsewhere/x" },
		{ "//elsewhere/x", "//elsewhere/x" },
		{ "http:/x", "http:/x" },
		{ "mailto:/x", "mailto:/x" },
		{ "javascript:/x", "javascript:/x" },
		{ "/x\ny", "/x\ny" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(links); i++) {
		struct html_base base = { STR_LIT("/p/proxy"), STR_LIT("10.0.0.1:80"), STR_LIT("asked:8001") };
		_cleanup_buf_ struct buf out = BUF_INIT;

		html_link(&base, str_of(links[i][0]), &out);
		is_str(out.s, links[i][1], links[i][0]);
	}
	html_is("<a href=\"/rewriteme\">test</a>", "<a href=\"/p/proxy/rewriteme\">test</a>");
	html_is("<A class=x HREF = '/x' title=\"a>b\" href2='/y'>", "<A class=x HREF = '/p/proxy/x' title=\"a>b\" href2='/y'>");
	html_is("<a href=/x><a href=/y/><p href=/z>", "<a href=/p/proxy/x><a href=/p/proxy/y/><p href=/z>");
	html_is("<img src=\"/i\"longdesc=\"/l\"/>", "<img src=\"/p/proxy/i\"longdesc=\"/p/proxy/l\"/>");
	html_is("<script src='/s'>if (1<a) '<a href=\"/no\">'</script ><a href='/x'>",
		"<script src='/p/proxy/s'>if (1<a) '<a href=\"/no\">'</script ><a href='/p/proxy/x'>");
	html_is("<!-- <a href='/no'> -> --><a href='/x'><!x <a href='/no'>", "<!-- <a href='/no'> -> --><a href='/p/proxy/x'><!x <a href='/no'>");
	html_is("a < b << c <> </a href='/no'> <", "a < b << c <> </a href='/no'> <");
	html_is("<a href='/open", "<a href='/open");
	html_is("<a href", "<a href");
}

static void test_html_long(void)
{
	struct html_links h = { .base = { STR_LIT("/p"), STR_LIT("h"), STR_LIT("a") } };
	_cleanup_buf_ struct buf in = BUF_INIT, out = BUF_INIT;

	buf_init(&h.tag);
	buf_adds(&in, "<a title='");
	for (int i = 0; i < 100000; i++)
		buf_addch(&in, '>');
	html_links_feed(&h, buf_str(&in), &out);
	ok(h.tag.len < 70000, "a tag without end is not held back for ever");
	html_links_feed(&h, STR_LIT("' href='/x'><a href='/x'>"), &out);
	html_links_end(&h, &out);
	buf_adds(&in, "' href='/x'><a href='/p/x'>");
	is_int((int)out.len, (int)in.len, "and what follows it is changed again");
	ok(str_eq(buf_str(&in), buf_str(&out)), "nothing else is");
}

int main(void)
{
	test_html();
	test_html_long();
	test_http_request();
	test_http_many_headers();
	test_http_response();
	test_http_chunked();
	test_http_query();
	test_websocket();
	test_spdy();
	test_spdy_bad();
	return done_testing();
}
