/*
 * HTTP/1.1: a head parses alike whatever follows it, all its slices lie within
 * its block, and a chunked body comes out the same however it is cut.
 */
#include "fuzz.h"
#include "wire/http1.h"

static size_t fuzz_touch(struct str s)
{
	size_t sum = 0;

	for (size_t i = 0; i < s.n; i++)
		sum += (unsigned char)s.p[i];
	return sum;
}

static void fuzz_head(const struct http_head *h)
{
	size_t sum = fuzz_touch(h->method) + fuzz_touch(h->target) + fuzz_touch(h->path) + fuzz_touch(h->query) +
			      fuzz_touch(h->reason);

	for (size_t i = 0; i < h->n_headers; i++) {
		sum += fuzz_touch(h->headers[i].name) + fuzz_touch(h->headers[i].value);
		BUG_ON(h->headers[i].name.n == 0);
	}
	BUG_ON(sum > (64u << 10) * 255 * 4);
	BUG_ON(h->chunked && h->content_length >= 0);
	(void)http_head_has_token(h, "Connection", "close");
}

static void fuzz_request(struct str in)
{
	struct http_head a, b;
	size_t used, used2;
	int st = 0;

	switch (http1_parse_request(&a, in, &used, &st)) {
	case HTTP_BAD:
		BUG_ON(st < 400 || st > 505);
		break;
	case HTTP_MORE:
		BUG_ON(in.n > (64u << 10) + 8);
		break;
	case HTTP_DONE:
		BUG_ON(used > in.n || used == 0);
		fuzz_head(&a);
		BUG_ON(http1_parse_request(&b, str_n(in.p, used), &used2, &st) != HTTP_DONE || used2 != used);
		BUG_ON(!str_eq(a.target, b.target) || a.n_headers != b.n_headers || a.content_length != b.content_length);
		http_head_release(&b);
		http_head_release(&a);
		/* Without its last byte it is not complete, and not wrong either. */
		BUG_ON(http1_parse_request(&b, str_n(in.p, used - 1), &used2, &st) != HTTP_MORE);
	}
}

static void fuzz_response(struct str in)
{
	struct http_head h;
	size_t used;

	if (http1_parse_response(&h, in, &used) != HTTP_DONE)
		return;
	BUG_ON(used > in.n || h.status < 100 || h.status > 999);
	fuzz_head(&h);
	http_head_release(&h);
}

static void fuzz_chunked(struct str in)
{
	_cleanup_buf_ struct buf whole = BUF_INIT, cut = BUF_INIT;
	struct http1_chunked a = { 0 }, b = { 0 };
	enum http_parse p, q = HTTP_MORE;
	size_t used, at = 0, step = 1;

	p = http1_chunked_read(&a, in, &used, &whole);
	BUG_ON(used > in.n);
	while (q == HTTP_MORE && at < in.n) {
		size_t n;

		q = http1_chunked_read(&b, str_sub(in, at, at + step), &n, &cut);
		at += n;
		step = step % 7 + 1;
	}
	BUG_ON(p != q && in.n);
	BUG_ON(p != HTTP_BAD && (at != used || !str_eq(buf_str(&whole), buf_str(&cut))));
}

static void fuzz_query(struct str in)
{
	_cleanup_buf_ struct buf n = BUF_INIT, v = BUF_INIT;
	struct str rest = in;

	while (http_query_next(&rest, &n, &v))
		BUG_ON(n.len > in.n || v.len > in.n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str in = str_n((const char *)data, size);

	fuzz_request(in);
	fuzz_response(in);
	fuzz_chunked(in);
	fuzz_query(in);
	return 0;
}
